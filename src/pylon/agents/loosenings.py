"""Loosenings: the changes of its own limits with which a job that fits nowhere would, each tried by placing it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import numpy as np

from pylon.agents import jobs
from pylon.agents.contract import View
from pylon.planning import arrival
from pylon.planning.arrival import Placement
from pylon.planning.field import HALF_HOUR_MINS, Job, Option, Weights

__all__ = ["Loosening", "loosenings", "placed"]

_ANSWER_MINS: Final = 5.0
"""A later end that is named leaves at least this for sending it to a job that would start at once."""
_MOST_GCO2_KWH: Final = 10_000
_MOST_DEFERRAL_MINS: Final = 43_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Loosening:
    """A change of a job's limits, and the cheapest option that it lets through."""

    changes: Mapping[str, Any]
    """Parameters of `amend_workload`, in plain values."""
    option: Option


def loosenings(
    view: View, seen: Mapping[str, Any], job: Job, weights: Weights, placement: Placement
) -> list[Loosening]:
    """Return what would let through a job that fits nowhere, by what it would then cost, the cheapest first.

    Each limit is loosened by itself, by the least that does; all of them together where none does by itself. What
    was tried and still does not fit is not there. `placement` is that of the job as it is.
    """
    if placement.chosen is not None or placement.binding is None:
        return []
    trial = _Trial(view, seen, job, weights)
    options = [placement.to_fit, trial.with_later_end(), trial.with_carbon(), trial.elsewhere()]
    found = [loosened for option in options if option and (loosened := trial.let_through(option))]
    if not found and (option := trial.without_limits()) and (loosened := trial.let_through(option)):
        found = [loosened]
    distinct = {repr(one.changes): one for one in found}
    return sorted(distinct.values(), key=lambda one: one.option.terms.total)


def placed(view: View, seen: Mapping[str, Any], job: Job, weights: Weights) -> tuple[Job, Placement]:
    """Return where and when a job is to run, and the job as it was placed.

    One that may not wait is placed to end as soon as it can, and where that costs least.
    """
    placement = arrival.place(job, view.field, weights)
    if placement.chosen is not None and not seen.get("may_wait", True):
        job = _soonest(view, job, weights)
        placement = arrival.place(job, view.field, weights)
    return job, placement


def _soonest(view: View, job: Job, weights: Weights) -> Job:
    """Return a job that fits somewhere with the earliest end by which it does."""
    first = job.earliest_mins + job.duration_mins
    ends = [first, *_half_hours(first, job.latest_end_mins), job.latest_end_mins]

    def fits(end: float) -> bool:
        return arrival.place(replace(job, latest_end_mins=end), view.field, weights).chosen is not None

    return replace(job, latest_end_mins=ends[min(bisect_left(ends, True, key=fits), len(ends) - 1)])


@dataclass(frozen=True, slots=True)
class _Trial:
    """A job that fits nowhere, to be placed with other limits."""

    view: View
    seen: Mapping[str, Any]
    job: Job
    weights: Weights

    def with_later_end(self) -> Option | None:
        """Return the cheapest option by the earliest end, later than its own, by which there is one."""
        ends = list(_half_hours(self.job.latest_end_mins, self._horizon))
        return self._least([{"latest_end_mins": end} for end in ends])

    def with_carbon(self) -> Option | None:
        """Return the cheapest option under the lowest cap, higher than its own, under which there is one."""
        cap = self.job.carbon_cap_gco2_kwh
        dirty = None if math.isnan(cap) else self._placed(carbon_cap_gco2_kwh=float(_MOST_GCO2_KWH))
        if dirty is None:
            return None
        caps = range(math.floor(cap) + 1, int(_carbon_of(dirty)) + 1)
        return self._least([{"carbon_cap_gco2_kwh": float(cap)} for cap in caps])

    def elsewhere(self) -> Option | None:
        """Return the cheapest option in any region."""
        return None if self.job.allowed.all() else self._placed(allowed=np.ones_like(self.job.allowed))

    def without_limits(self) -> Option | None:
        """Return the cheapest option without those limits of its own that no option keeps to together."""
        lifted: dict[str, Any] = {
            "allowed": np.ones_like(self.job.allowed),
            "latest_end_mins": self._horizon,
            **dict.fromkeys(("carbon_cap_gco2_kwh", "value_gbp", "max_price_gbp"), math.nan),
        }
        for name in tuple(lifted):
            others = {other: limit for other, limit in lifted.items() if other != name}
            if self._fits(**others):
                lifted = others
        return self._placed(**lifted)

    def let_through(self, option: Option) -> Loosening | None:
        """Return the changes that the option needs, with what is chosen when they are made; None if nothing is."""
        limits, changes = dict[str, Any](), dict[str, Any]()
        for limit, value, change in self._needed(option):
            limits[limit] = value
            changes.update(change)
        chosen = self._placed(**limits) if changes else None
        return None if chosen is None else Loosening(changes=changes, option=chosen)

    def _needed(self, option: Option) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        """Yield each limit of the job that the option breaks, what it must become, and the parameters for it."""
        job, money = self.job, option.terms
        for name, spent, limit in (
            ("max_price_gbp", money.energy, job.max_price_gbp),
            ("value_gbp", money.total, job.value_gbp),
        ):
            if spent > limit:
                pounds = math.ceil(spent * 100 - 1e-9) / 100
                yield name, pounds, {name: pounds}
        if (grams := _carbon_of(option)) > job.carbon_cap_gco2_kwh:
            cap = int(grams) if math.isfinite(grams) else None  # what is not known keeps to no cap: it is lifted
            yield "carbon_cap_gco2_kwh", math.nan if cap is None else grams, {"carbon_cap_gco2": cap}
        if not job.allowed[option.site]:
            numbers = sorted({*self.seen["allowed_region_ids"], self.view.regions[option.site]})
            allowed = np.array([number in numbers for number in self.view.regions], dtype=np.bool_)
            yield "allowed", allowed, {"allowed_region_ids": numbers}
        if option.ends > job.latest_end_mins:
            end = self._end_for(option)
            yield "latest_end_mins", min(end, self._horizon), self._ending_by(end)

    def _end_for(self, option: Option) -> float:
        """Return the half hour by which the option has ended; one that starts at once may start a little later."""
        starts_now = option.begins <= self.job.earliest_mins
        return math.ceil((option.ends + _ANSWER_MINS * starts_now) / HALF_HOUR_MINS) * float(HALF_HOUR_MINS)

    def _ending_by(self, end: float) -> dict[str, Any]:
        """Return the parameters with which a job may end as late as `end`, of those limits that forbid it."""
        own = {by: self._minutes(at) for by, at in self.seen.get("ends", {}).items() if by != "horizon_hours"}
        changes: dict[str, Any] = {}
        if own.get("deadline", math.inf) < end:
            changes["deadline"] = jobs.instant(self.view.at(end))
        if own.get("deferral_window_mins", math.inf) < end:
            arrived = jobs.full_second(jobs.moment(self.seen["arrived_at"]))
            waits = (self.view.at(end) - arrived) / timedelta(minutes=1) - self.job.duration_mins
            changes["deferral_window_mins"] = min(math.ceil(waits), _MOST_DEFERRAL_MINS)
        return changes

    @property
    def _horizon(self) -> float:
        ends = self.seen.get("ends", {})
        return self._minutes(ends["horizon_hours"]) if ends else self.job.latest_end_mins

    def _minutes(self, at: str) -> float:
        return self.view.minutes(jobs.moment(at))

    def _least(self, limits: Sequence[Mapping[str, Any]]) -> Option | None:
        """Return what is chosen under the first of ever looser limits under which anything is."""
        first = bisect_left(limits, True, key=lambda those: self._fits(**those))
        return None if first == len(limits) else self._placed(**limits[first])

    def _fits(self, **limits: Any) -> bool:
        return arrival.place(replace(self.job, **limits), self.view.field, self.weights).chosen is not None

    def _placed(self, **limits: Any) -> Option | None:
        return placed(self.view, self.seen, replace(self.job, **limits), self.weights)[1].chosen


def _half_hours(after: float, until: float) -> Iterator[float]:
    """Yield the ends of half hours after a moment, up to another."""
    first = math.floor(after / HALF_HOUR_MINS) + 1
    for number in range(first, math.floor(until / HALF_HOUR_MINS) + 1):
        yield float(number * HALF_HOUR_MINS)


def _carbon_of(option: Option) -> float:
    """Return the lowest whole cap in gCO2/kWh that an option keeps to; infinite when its carbon is not known."""
    if math.isnan(option.capped_carbon_kg):
        return math.inf
    return float(math.ceil(option.capped_carbon_kg / option.energy_mwh - 1e-9)) if option.energy_mwh else 0.0
