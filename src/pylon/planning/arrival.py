"""Where and when one job runs: the cheapest of all options that no limit forbids, and what stands beside it.

    cost = energy + carbon + stress + migration + wait + scarcity        (docs/concepts/arrival.md)

An option is a site and a time. A job runs in one piece; an interruptible one may also run in whole half hours, of
which the last may be used in part. Ties go to the earliest end, then to the origin, then to the lower site.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from pylon.errors import Invalid
from pylon.planning import _limits, _pieces
from pylon.planning._ask import MAX_PRICE, VALUE, Ask, read_job
from pylon.planning._search import Search, evaluated, search
from pylon.planning.field import RESOURCES, Field, Job, Option, Weights

__all__ = ["LIMITS", "Placement", "SiteRefusal", "evaluate", "place", "warm"]

LIMITS: Final = _limits.NAMES
"""What can forbid an option, in the order in which it is checked."""

SIGNALS: Final = ("price", "carbon", "stress")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRefusal:
    """A site where the job cannot run, and the last limit, in the order of `LIMITS`, that forbade an option."""

    site: int
    limit: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The choice for one job, and what it was chosen from; what few ask for is made when it is asked for."""

    chosen: Option | None
    baseline: Option | None
    """Run at the earliest moment at origin, whether or not a limit forbids it; None without an origin here."""
    binding: str | None
    """When nothing is chosen: the limit that stopped those options that came furthest, the last in the order of
    `LIMITS`. When it is `max_price` or `value`, money alone stands in the way."""
    to_fit: Option | None
    """When money alone stands in the way: the option that the least of it lets through."""
    price_to_fit_gbp: float | None
    """The least `max_price_gbp` or `value_gbp`, whichever `binding` names, that lets `to_fit` through. Where a
    higher `max_price_gbp` alone would not do, the value too must be raised to the total of `to_fit`."""
    is_exact: bool
    """Whether the choice is proven best; False when the search for half hours under caps came to its limit."""
    search: Search = dataclasses.field(repr=False, compare=False)
    """What it was found by."""

    @cached_property
    def by_site(self) -> tuple[Option | SiteRefusal, ...]:
        """For every site its best option, or what forbids them all there."""
        return tuple(
            option or SiteRefusal(site=site, limit=_furthest(refused))
            for site, (option, refused) in enumerate(zip(*self._complete, strict=True))
        )

    @cached_property
    def refused(self) -> Mapping[str, int]:
        """Of the options looked at, how many each limit was the first to forbid; in the order of `LIMITS`.

        An option looked at is a start in one piece at a site; for a job that may be interrupted also the best
        choice of half hours at each site.
        """
        refused = self._complete[1]
        return {name: sum(site[limit] for site in refused) for limit, name in enumerate(LIMITS)}

    @cached_property
    def _complete(self) -> tuple[list[Option | None], list[list[int]]]:
        """The best option of every site, and how many options each limit was the first to forbid there.

        The search for the choice leaves out sites that cannot give it; here all are searched.
        """
        found = self.search.everywhere()
        return found.options(), found.refused.tolist()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Which of price, carbon and stress are known nowhere in the field, and so in no sum."""
        return tuple(name for name, is_known in zip(SIGNALS, self.search.known, strict=True) if not is_known)


def place(job: Job, field: Field, weights: Weights) -> Placement:
    """Return where and when `job` costs least, its baseline, and the best option of every site.

    Raises `Invalid` when the job could run nowhere at any time.
    """
    ask = read_job(job, weights, field.sites)
    found = search(field, ask)
    to_fit, is_least = _with_money(field, ask, found.binding)
    return Placement(
        chosen=found.chosen,
        baseline=found.baseline,
        binding=found.binding,
        to_fit=to_fit,
        price_to_fit_gbp=_price_to_fit(found.binding, to_fit),
        is_exact=found.is_exact and is_least,
        search=found,
    )


def evaluate(job: Job, field: Field, weights: Weights, site: int, spans: Sequence[tuple[float, float]]) -> Option:
    """Return what running `job` at `site` in `spans` costs, and the first limit that forbids it.

    `spans` are [begins, ends) in minutes, in order and not touching, together as long as the job; they may lie
    beyond the field, where nothing is known. Raises `Invalid` when they are not that, and as `place` does.
    """
    ask = read_job(job, weights, field.sites)
    if not 0 <= site < field.sites:
        raise Invalid(f"There is no site {site}; the field has {field.sites}, numbered from 0.")
    _check_spans(job, spans)
    return evaluated(field, ask, site, spans)


def warm() -> None:
    """Compile everything by placing a small job: seconds the first time, then kept where it can be.

    Nothing but time is spent: `place` compiles what it lacks by itself.
    """
    flat = np.ones((1, 4))
    field = Field(
        price_gbp_mwh=flat * (2.0, 1.0, 3.0, 1.0),
        carbon_gco2_kwh=flat * (1.0, 3.0, 1.0, 2.0),
        stress=flat[0],
        scarcity_gbp_mwh=flat,
        room=np.full((len(RESOURCES), 1, 4), math.inf),
        is_open=np.array([True]),
        pue=flat[0, :1],
    )
    job = Job(
        it_power_mw=1.0,
        duration_mins=60,
        arrived_mins=0.0,
        earliest_mins=0.0,
        latest_end_mins=120.0,
        interruptible=False,
        gpus=0.0,
        cpu_cores=0.0,
        memory_gb=0.0,
        carbon_cap_gco2_kwh=math.nan,
        max_price_gbp=math.nan,
        value_gbp=math.nan,
        migration_gbp=0.0,
        wait_gbp_per_hour=0.0,
        origin=0,
        allowed=np.array([True]),
    )
    weights = Weights(carbon_price_gbp_t=0.0, stress_price_gbp_mwh=0.0)
    place(dataclasses.replace(job, interruptible=True), field, weights)
    evaluate(job, field, weights, 0, [(0.0, 60.0)])
    _pieces.starts(60.0, 0.0, 120.0, 4)  # which `windows` calls too


def _with_money(field: Field, ask: Ask, binding: str | None) -> tuple[Option | None, bool]:
    """Return what the least more money would let through, when money is what binds, and whether it is proven."""
    if binding not in ("max_price", "value"):
        return None, True
    if binding == "value":
        found = search(field, ask.without_limit(VALUE))
    else:
        richer = ask.without_limit(MAX_PRICE)
        found = search(field, richer, by_energy=True)
        if found.chosen is None:
            found = search(field, richer.without_limit(VALUE))
    return found.chosen, found.is_exact


def _price_to_fit(binding: str | None, to_fit: Option | None) -> float | None:
    if to_fit is None:
        return None
    return to_fit.terms.energy if binding == "max_price" else to_fit.terms.total


def _furthest(refused: Sequence[int]) -> str:
    """Return the last limit, in the order they are checked, that forbade an option."""
    return LIMITS[max(limit for limit, count in enumerate(refused) if count)]


def _check_spans(job: Job, spans: Sequence[tuple[float, float]]) -> None:
    if not spans or (len(spans) > 1 and not job.interruptible):
        raise Invalid(f"{len(spans)} spans were given; an uninterruptible job runs in exactly one.")
    edges = [edge for span in spans for edge in span]
    if not all(earlier < later for earlier, later in itertools.pairwise((-1e-9, *edges))):
        raise Invalid(
            f"The spans {list(spans)} are not in order from minute 0, apart and each longer than nothing."
        )
    mins = math.fsum(ends - begins for begins, ends in spans)
    if not math.isclose(mins, job.duration_mins, abs_tol=1e-6):
        raise Invalid(f"The spans last {mins} minutes together; the job lasts {job.duration_mins}.")
