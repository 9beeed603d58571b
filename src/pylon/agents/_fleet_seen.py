"""What a fleet plan is worked out from, as a document in plain values: sites, room, jobs and where they stand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import numpy as np

from pylon.agents import jobs
from pylon.agents._fleet_storage import set_aside
from pylon.agents.carbon_optimizer import Optimizing
from pylon.agents.contract import Booking, View
from pylon.agents.standing import over, runs
from pylon.agents.storage_agent import StorageConfig
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DataCentreStatus, WorkloadStatus
from pylon.ontology.fleet import DataCentre
from pylon.planning.field import HALF_HOUR_MINS, RESOURCES, Floats

__all__ = ["describe", "half_hours_of"]

_POWER, _GPUS = RESOURCES.index("power_mw"), RESOURCES.index("gpus")
_HOURS: Final = HALF_HOUR_MINS / 60
_PLACES: Final = 6
_PRICELESS_GBP_MWH: Final = 10_000.0
"""What a MWh of IT energy is taken to be worth where work is always worth running, or has been promised a place.
Above GBP 6,000, the value of lost load in GB's imbalance price, so that it gives way only to want of room."""
_SLACK: Final = 1e-9


def describe(view: View, config: Optimizing, storage: StorageConfig | None = None) -> dict[str, Any]:
    """Return everything that a plan of the fleet is worked out from, in plain values.

    Storage is planned as its own agent would with `storage`, or its defaults, but at the weights of `config`.
    `view` is a whole one. The document is the same after a round trip through JSON; a plan needs nothing else.
    """
    seen = _Seen.of(view, config)
    weights = {
        "carbon_price_gbp_t": config.carbon_price_gbp_t,
        "stress_price_gbp_mwh": config.stress_price_gbp_mwh,
    }
    beside = set_aside(view, seen.room[_POWER], (storage or StorageConfig()).model_copy(update=weights))
    rows = [row for one in sorted(view.workloads, key=_by_id) if (row := seen.take(one)) is not None]
    series = _Series()
    return {
        "view": view.digest,
        "after_seq": view.after_seq,
        "now": jobs.instant(view.now),
        "starts_at": jobs.instant(view.starts_at),
        "half_hours": view.field.half_hours,
        "first_slot": seen.first,
        "weights": weights,
        "stress": _known(view.field.stress),
        "sites": [_site(view, seen, row, series) for row in range(len(view.sites))],
        "series": series.values,
        "jobs": rows,
        "storage": beside,
        "start": _start(view),
        "simulated": list(view.simulated),
    }


def _by_id(workload: ComputeWorkload) -> UUID:
    return workload.id


def half_hours_of(duration_mins: int) -> int:
    """Return how many half hours a job takes; it has the whole of its last one."""
    return -(-duration_mins // HALF_HOUR_MINS)


class _Series:
    """Rows of values, each kept once: sites in one region have the same carbon, most have the same price."""

    def __init__(self) -> None:
        self.values: list[list[float | None]] = []
        self._numbers: dict[tuple[float | None, ...], int] = {}

    def number(self, values: Floats) -> int:
        """Return the number of a row, which is kept if it is new."""
        row = _known(values)
        number = self._numbers.setdefault(tuple(row), len(self.values))
        if number == len(self.values):
            self.values.append(row)
        return number


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is made of the view for the plan; its room is that which the plan's own jobs leave when they go."""

    view: View
    config: Optimizing
    first: int
    """The first half hour that is planned: one that has begun is not."""
    room: Floats
    cost_gbp_mwh: Floats
    """(D, T). Energy, carbon and stress; NaN where a half hour holds no job."""
    cap_gco2_kwh: Floats
    """(D, T). What is held against caps on carbon."""
    base_mw: Floats
    """(D, T). What a site draws besides the plan's own jobs."""

    @classmethod
    def of(cls, view: View, config: Optimizing) -> _Seen:
        field = view.field
        known = [
            values
            for values in (field.price_gbp_mwh, config.carbon_price_gbp_t / 1000 * field.carbon_gco2_kwh)
            if not np.isnan(values).all()
        ]
        stress = config.stress_price_gbp_mwh * np.nan_to_num(field.stress)
        cost = np.sum(known, axis=0) + stress if known else np.zeros_like(field.price_gbp_mwh) + stress
        base = np.array([float(site.base_load_mw) for site in view.sites]).reshape(-1, 1)
        return cls(
            view=view,
            config=config,
            first=0 if view.now <= view.starts_at else 1,
            room=field.room.copy(),
            cost_gbp_mwh=cost,
            cap_gco2_kwh=field.carbon_gco2_kwh
            if field.carbon_upper_gco2_kwh is None
            else np.where(
                np.isnan(field.carbon_upper_gco2_kwh), field.carbon_gco2_kwh, field.carbon_upper_gco2_kwh
            ),
            base_mw=np.repeat(base, field.half_hours, axis=1),
        )

    def take(self, workload: ComputeWorkload) -> dict[str, Any] | None:
        """Return a workload as a job of the plan, its room given back; None when it stays as it is."""
        is_running, booking = workload.status is WorkloadStatus.RUNNING, self.view.bookings.get(workload.id)
        site = None if booking is None else self.view.site(booking.data_centre_id)
        if booking is None or site is None or (self._is_closed(site) and not is_running):
            return self._job(workload, None, 0.0) if jobs.may_wait(workload) and not is_running else None
        columns = jobs.columns(jobs.spans_of(self.view, booking), self.view.field.half_hours)
        if is_running or not self._is_movable(workload, booking, site, columns):
            self.base_mw[site, columns] += self._energy_mwh(workload, site) / _HOURS
            return None
        self._give_back(workload, booking, site)
        present = {"site": site, "slots": list(_stretches(columns))}
        return self._job(workload, present, self._churn(workload, site, columns))

    def _is_closed(self, site: int) -> bool:
        """Return whether a site starts nothing, so that what is booked there has no place."""
        return self.view.sites[site].status not in (DataCentreStatus.ACTIVE, DataCentreStatus.CONSTRAINED)

    def _is_movable(self, workload: ComputeWorkload, booking: Booking, site: int, columns: Sequence[int]) -> bool:
        """Return whether the plan may move a booking, or leave it where it is.

        It may not when a client chose it, when it may not wait, has begun or is not of whole half hours, when its
        site takes nothing new, and when by the plan's own limits it could not stay.
        """
        edges = [span.starts_at for span in booking.spans] + [span.ends_at for span in booking.spans[:-1]]
        is_whole = len(columns) == half_hours_of(workload.duration_mins) and all(
            (edge - self.view.starts_at) % HALF_HOUR == timedelta() for edge in edges
        )
        return (
            not booking.is_by_hand
            and jobs.may_wait(workload)
            and edges[0] >= self.view.half_hour(self.first)
            and self.view.sites[site].status is DataCentreStatus.ACTIVE
            and is_whole
            and self._may_stay(workload, site, columns)
        )

    def _may_stay(self, workload: ComputeWorkload, site: int, columns: Sequence[int]) -> bool:
        field, allowed = self.view.field, workload.allowed_region_ids
        is_known = not np.isnan(self.cost_gbp_mwh[site, columns]).any()
        carbon, cap = self.cap_gco2_kwh[site, columns], workload.carbon_cap_gco2
        if cap is not None and not (carbon.max() if workload.interruptible else carbon.mean()) <= cap + _SLACK:
            return False
        money = self._energy_mwh(workload, site) * float(np.sum(field.price_gbp_mwh[site, columns]))
        most = workload.max_price_gbp
        if most is not None and not money <= float(most) * _whole(workload) + _SLACK:
            return False
        is_in_time = columns[-1] < self._end(workload)
        return is_known and is_in_time and (allowed is None or self.view.regions[site] in allowed)

    def _energy_mwh(self, workload: ComputeWorkload, site: int) -> float:
        """Return the facility energy of one of its half hours."""
        return _HOURS * float(workload.power_kw) / 1000 * float(self.view.field.pue[site])

    def _churn(self, workload: ComputeWorkload, site: int, columns: Sequence[int]) -> float:
        """Return by how much another place must be better: what leaving this one costs the plan, in GBP."""
        used = self._energy_mwh(workload, site) * float(np.sum(self.cost_gbp_mwh[site, columns]))
        return round(self.config.churn(used / _whole(workload)), _PLACES)

    def _give_back(self, workload: ComputeWorkload, booking: Booking, site: int) -> None:
        needed = np.array(
            [
                round(float(workload.power_kw) / 1000 * float(self.view.field.pue[site]), 9),
                round((workload.required_gpu_mins or 0) / workload.duration_mins, 9),
                float(workload.required_cpu_cores or 0),
                float(workload.required_memory_gb or 0),
            ]
        )
        jobs.occupy(self.room, site, jobs.spans_of(self.view, booking), -needed)

    def _end(self, workload: ComputeWorkload) -> int:
        """Return the half hour before which it must have ended, its last one counted whole."""
        horizon = self.view.now.timestamp() / 60 + self.config.horizon_hours * 60
        own = jobs.latest_end(workload)
        latest = horizon if own is None else min(horizon, own.timestamp() / 60)
        mins = latest - self.view.starts_at.timestamp() / 60 - workload.duration_mins
        return math.floor(mins / HALF_HOUR_MINS + _SLACK) + half_hours_of(workload.duration_mins)

    def _job(
        self, workload: ComputeWorkload, present: Mapping[str, Any] | None, leaving_gbp: float
    ) -> dict[str, Any]:
        config, it_mwh = self.config, float(workload.power_kw) / 1000 * workload.duration_mins / 60
        wait = round(config.delay_gbp_mwh_hour[workload.urgency] * it_mwh, 9)
        value = jobs.value_of(workload, config)[0]
        if value is None or present is not None:
            value = round(_PRICELESS_GBP_MWH * it_mwh + abs(float(workload.migration_cost_gbp)), 4)
        return {
            "workload_id": str(workload.id),
            "job_id": workload.job_id,
            "duration_mins": workload.duration_mins,
            "first_slot": self.first,
            "end_slot": self._end(workload),
            "it_power_mw": round(float(workload.power_kw) / 1000, 9),
            "gpus": round((workload.required_gpu_mins or 0) / workload.duration_mins, 9),
            "interruptible": workload.interruptible,
            "origin": None if workload.origin_dc_id is None else self.view.site(workload.origin_dc_id),
            "allowed_region_ids": workload.allowed_region_ids,
            "migration_gbp": float(workload.migration_cost_gbp),
            "wait_gbp_per_hour": wait,
            "waited_gbp": round(wait * max(self._hours_since(workload.created_at), 0.0), _PLACES),
            "carbon_cap_gco2_kwh": workload.carbon_cap_gco2,
            "max_price_gbp": None if workload.max_price_gbp is None else float(workload.max_price_gbp),
            "value_gbp": value,
            "present": present,
            "leaving_gbp": leaving_gbp,
            "is_simulated": workload.is_simulated,
        }

    def _hours_since(self, arrived_at: datetime) -> float:
        """Return how long it will have waited when the first half hour of the plan begins."""
        return (self.view.half_hour(self.first) - arrived_at).total_seconds() / 3600


def _whole(workload: ComputeWorkload) -> float:
    """Return how much longer than the job its half hours are."""
    return half_hours_of(workload.duration_mins) * HALF_HOUR_MINS / workload.duration_mins


def _site(view: View, seen: _Seen, row: int, series: _Series) -> dict[str, Any]:
    site, field = view.sites[row], view.field
    room = seen.room[:, row] if field.is_open[row] else np.zeros((len(RESOURCES), field.half_hours))
    ramp = _ramp(site)
    return {
        "data_centre_id": str(site.id),
        "dc_id": site.dc_id,
        "region_id": view.regions[row],
        "is_open": bool(field.is_open[row]),
        "is_simulated": site.is_simulated,
        "pue": float(field.pue[row]),
        "price": series.number(field.price_gbp_mwh[row]),
        "carbon": series.number(field.carbon_gco2_kwh[row]),
        "carbon_upper": None
        if field.carbon_upper_gco2_kwh is None
        else series.number(field.carbon_upper_gco2_kwh[row]),
        "room_mw": runs(room[_POWER]),
        "room_gpus": runs(room[_GPUS]),
        "ramp_mw": ramp,
        "base_mw": None if ramp is None else runs(seen.base_mw[row]),
    }


def _ramp(site: DataCentre) -> float | None:
    """Return the MW by which the draw may change from one half hour to the next; None when that never binds."""
    if site.ramp_rate_mw_per_min is None:
        return None
    ramp = float(site.ramp_rate_mw_per_min) * HALF_HOUR_MINS
    return round(ramp, _PLACES) if ramp < float(site.total_capacity_mw) else None


def _start(view: View) -> dict[str, Any] | None:
    """Return the prices of the standing plan over the half hours of this view, site by site."""
    if view.plan is None:
        return None
    sites, half_hours = [site.id for site in view.sites], view.field.half_hours
    return {
        limit: [runs(row) for row in over(view.plan, limit, sites, view.starts_at, half_hours)]
        for limit in sorted(view.plan.prices)
    }


def _known(values: Floats) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _stretches(columns: Sequence[int]) -> Iterator[list[int]]:
    """Yield half hours as [first, how many] of each stretch."""
    for _, those in groupby(enumerate(columns), key=lambda one: one[1] - one[0]):
        held = [column for _, column in those]
        yield [held[0], len(held)]
