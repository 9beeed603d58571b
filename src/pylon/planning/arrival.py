"""Where and when one job runs: the cheapest of all options that no limit forbids, and what stands beside it.

    cost = energy + carbon + stress + migration + wait + scarcity        (docs/concepts/arrival.md)

An option is a site and a time. A job runs in one piece; an interruptible one may also run in whole half hours, of
which the last may be used in part. Ties go to the earliest end, then to the lower site.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pylon.errors import Invalid
from pylon.planning import _kernels, _limits, _split
from pylon.planning._ask import Ask, Bests, Cells, Codes, read_field, read_job
from pylon.planning.field import HALF_HOUR_MINS, Field, Floats, Job, Option, Terms, Weights

__all__ = ["LIMITS", "Placement", "SiteRefusal", "evaluate", "place"]

LIMITS: Final = _limits.NAMES
"""What can forbid an option, in the order in which it is checked."""

SIGNALS: Final = ("price", "carbon", "stress")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRefusal:
    """A site where the job cannot run, and the last limit, in the order of `LIMITS`, that forbade an option."""

    site: int
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The choice for one job, and what it was chosen from."""

    chosen: Option | None
    baseline: Option | None
    """Run at the earliest moment at origin, whether or not a limit forbids it; None without an origin here."""
    refused: Mapping[str, int]
    """Of the options looked at, how many each limit was the first to forbid; in the order of `LIMITS`.

    An option looked at is a start in one piece at a site; for a job that may be interrupted also the best choice of
    half hours at each site.
    """
    binding: str | None
    """When nothing is chosen: the limit that stopped those options that came furthest, the last in the order of
    `LIMITS`. When it is `max_price` or `value`, money alone stands in the way."""
    to_fit: Option | None
    """When money alone stands in the way: the option that the least of it lets through."""
    price_to_fit_gbp: float | None
    """The least `max_price_gbp` or `value_gbp`, whichever `binding` names, that lets `to_fit` through. Where a
    higher `max_price_gbp` alone would not do, the value too must be raised to the total of `to_fit`."""
    left_out: tuple[str, ...]
    """Which of price, carbon and stress are known nowhere in the field, and so in no sum."""
    is_exact: bool
    """Whether the choice is proven best; False when the search for half hours under caps came to its limit."""
    found: _Found = dataclasses.field(repr=False, compare=False)
    """All of it as the kernels give it, for `by_site`."""

    @property
    def by_site(self) -> tuple[Option | SiteRefusal, ...]:
        """For every site its best option, or what forbids them all there; made when asked for."""
        return tuple(
            self.found.option(site) or SiteRefusal(site=site, limit=_furthest(refused))
            for site, refused in enumerate(self.found.bests.refused.tolist())
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """The best option of each site and, in one row more, the baseline; as the kernels give them."""

    origin: int
    bests: Bests
    rows: Floats
    limits: Codes
    cheapest: int
    """The row of the cheapest of all; -1 without any."""
    is_known: NDArray[np.bool_]
    is_exact: bool

    def option(self, row: int) -> Option | None:
        """Return one row as an option, or None where there is none."""
        size = self.bests.sizes[row] if row >= 0 else 0
        if not size:
            return None
        begins, ends = self.bests.begins[row, :size].tolist(), self.bests.ends[row, :size].tolist()
        site = row if row < self.bests.costs.size else self.origin
        return _option(site, begins, ends, self.rows[row].tolist(), int(self.limits[row]))


def place(job: Job, field: Field, weights: Weights) -> Placement:
    """Return where and when `job` costs least, its baseline, and the best option of every site.

    Raises `Invalid` when the arrays do not fit each other or the job could run nowhere at any time.
    """
    cells = read_field(field)
    ask = read_job(job, weights, field.sites)
    found = _search(cells, ask)
    chosen = found.option(found.cheapest)
    refused = dict(zip(LIMITS, found.bests.refused.sum(axis=0).tolist(), strict=True))
    binding = None if chosen or not any(refused.values()) else _furthest(list(refused.values()))
    richer = _with_money(cells, ask, binding)
    to_fit = richer.option(richer.cheapest) if richer else None
    return Placement(
        chosen=chosen,
        baseline=found.option(field.sites),
        refused=refused,
        binding=binding,
        to_fit=to_fit,
        price_to_fit_gbp=_price_to_fit(binding, to_fit),
        left_out=tuple(
            name for name, is_known in zip(SIGNALS, found.is_known.tolist(), strict=True) if not is_known
        ),
        is_exact=found.is_exact and (richer is None or richer.is_exact),
        found=found,
    )


def evaluate(job: Job, field: Field, weights: Weights, site: int, spans: Sequence[tuple[float, float]]) -> Option:
    """Return what running `job` at `site` in `spans` costs, and the first limit that forbids it.

    `spans` are [begins, ends) in minutes, in order and not touching, together as long as the job; they may lie
    beyond the field, where nothing is known. Raises `Invalid` when they are not that, and as `place` does.
    """
    cells = read_field(field)
    ask = read_job(job, weights, field.sites)
    if not 0 <= site < field.sites:
        raise Invalid(f"There is no site {site}; the field has {field.sites}, numbered from 0.")
    _check_spans(job, spans)
    begins, ends = (np.array(moments, np.float64) for moments in zip(*spans, strict=True))
    row, limit = _kernels.measure(cells, ask, site, begins, ends)
    return _option(site, begins.tolist(), ends.tolist(), row.tolist(), limit)


def _option(site: int, begins: list[float], ends: list[float], row: list[float], limit: int) -> Option:
    if math.isnan(sum(row)):  # one NaN for all, so that options of the same terms are equal
        row = [math.nan if math.isnan(value) else value for value in row]
    energy, carbon, stress, migration, wait, scarcity, energy_mwh, carbon_kg, unknown_mins = row
    return Option(
        site=site,
        spans=tuple(zip(begins, ends, strict=True)),
        energy_mwh=energy_mwh,
        carbon_kg=carbon_kg,
        terms=Terms(energy=energy, carbon=carbon, stress=stress, migration=migration, wait=wait, scarcity=scarcity),
        stress_unknown_mins=unknown_mins,
        refused_by=None if limit == _limits.NONE else LIMITS[limit],
    )


def _search(cells: Cells, ask: Ask, *, by_energy: bool = False) -> _Found:
    """Return the best option of each site, by its total or by its energy term alone."""
    reading, bests = _kernels.survey(cells, ask, by_energy)
    is_exact = True
    if ask.is_interruptible and ask.duration_mins > HALF_HOUR_MINS:
        splits, is_exact = _split.split(cells, ask, reading, bests, by_energy)
        bests = _kernels.better_of(bests, splits)
    rows, limits, cheapest = _kernels.measure_all(cells, ask, reading, bests)
    return _Found(
        origin=ask.origin,
        bests=bests,
        rows=rows,
        limits=limits,
        cheapest=cheapest,
        is_known=reading.is_known,
        is_exact=is_exact,
    )


def _with_money(cells: Cells, ask: Ask, binding: str | None) -> _Found | None:
    """Return what could be had for more money, the least of it first, when money is what binds."""
    if binding == "value":
        return _search(cells, ask._replace(value_gbp=math.inf))
    if binding != "max_price":
        return None
    richer = ask._replace(max_price_gbp=math.inf)
    found = _search(cells, richer, by_energy=True)
    return found if found.cheapest >= 0 else _search(cells, richer._replace(value_gbp=math.inf))


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
