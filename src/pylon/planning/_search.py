"""The search for one job: what the kernels are given, and what is made of what they find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pylon.planning import _kernels, _limits, _split
from pylon.planning._ask import (
    CARBON_CAP,
    CELL,
    DURATION_MINS,
    EARLIEST_MINS,
    LATEST_END_MINS,
    MAX_PRICE,
    SEARCH_SLACK,
    VALUE,
    WAIT_GBP_PER_HOUR,
    Ask,
    Cells,
    Codes,
)
from pylon.planning.field import Floats, Option, Terms

__all__ = ["Found", "Reading", "measured", "read", "search"]

Spans = Sequence[tuple[float, float]]


class Reading(NamedTuple):
    """What one job finds in a field."""

    known: tuple[bool, bool, bool]
    """Whether price, carbon and stress are known somewhere."""
    rate_gbp_mwh: Floats
    """(D, T). What an MWh costs, without moving and waiting."""
    closed_by: Codes
    """(D, T). The first limit that closes the cell."""


class Splits(NamedTuple):
    """The best split of each site."""

    columns: Codes
    """(D, items). The half hours that the job may use."""
    picks: Codes
    """(D, size). The places in `columns` of those it takes, the last in time in the last place."""
    costs: list[float]
    ends: list[float]
    limits: list[int]
    """What forbids them all; `_limits.NONE` where there is one."""
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """The best option of each of D sites; its terms are measured when it is asked for."""

    cells: Cells
    ask: Ask
    reading: Reading
    costs: list[float]
    """Infinite without an option."""
    begins: list[float]
    """Of the best start in one piece."""
    ends: list[float]
    refused: Codes
    """(D, limits). How many options each limit was the first to forbid."""
    splits: Splits | None = None
    is_split: frozenset[int] = frozenset()
    """The sites where the best option is a split."""

    @property
    def is_exact(self) -> bool:
        """Whether the cheapest is proven."""
        return self.splits is None or self.splits.is_exact

    @property
    def cheapest(self) -> int | None:
        """The site of the cheapest of all: of equals the one that ends first, then the origin, then the lower."""
        least = min(self.costs, default=math.inf)
        if least == math.inf:
            return None
        equal = [site for site, cost in enumerate(self.costs) if not _saves(least, cost)]
        return min(equal, key=lambda site: (self.ends[site], site != self.ask.origin))

    def option(self, site: int | None) -> Option | None:
        """Return the best option of a site, or None without one."""
        if site is None or self.costs[site] == math.inf:
            return None
        spans = [(self.begins[site], self.ends[site])]
        if self.splits and site in self.is_split:
            taken = self.splits.columns[site, self.splits.picks[site]]
            spans = _spans(sorted(taken.tolist()), self.ends[site])
        return measured(self.cells, self.ask, self.reading, site, spans)

    def baseline(self) -> Option | None:
        """Return what running at the earliest moment at origin is, forbidden or not; None without an origin."""
        if self.ask.origin < 0:
            return None
        begins = float(self.ask.numbers[EARLIEST_MINS])
        spans = [(begins, begins + float(self.ask.numbers[DURATION_MINS]))]
        return measured(self.cells, self.ask, self.reading, self.ask.origin, spans)


class _Bests(NamedTuple):
    """The same, while it is looked for."""

    costs: list[float]
    ends: list[float]
    refused: Codes


class _Window(NamedTuple):
    """The half hours that a split may use."""

    size: int
    """How many it takes."""
    last_mins: float
    """How much it uses of its last."""
    first: int
    end: int
    beyond: float
    """How many more it might use that lie beyond the field; may be infinite."""


def read(cells: Cells, ask: Ask) -> Reading:
    """Return what each cell costs the job and what closes it."""
    known = (
        _kernels.is_known(cells.price_gbp_mwh),
        _kernels.is_known(cells.carbon_gco2_kwh),
        _kernels.is_known(cells.stress.reshape(1, -1)),
    )
    shape = cells.price_gbp_mwh.shape
    reading = Reading(known, np.empty(shape), np.empty(shape, np.int64))
    _kernels.read(
        ask.numbers,
        cells.price_gbp_mwh,
        cells.carbon_gco2_kwh,
        cells.stress,
        cells.scarcity_gbp_mwh,
        cells.room,
        cells.pue,
        known[0] or bool(ask.numbers[MAX_PRICE] != math.inf),
        known[1] or bool(ask.numbers[CARBON_CAP] != math.inf),
        reading.rate_gbp_mwh,
        reading.closed_by,
    )
    return reading


def search(cells: Cells, ask: Ask, *, by_energy: bool = False) -> Found:
    """Return the best option of each site, by its total or by its energy term alone."""
    reading = read(cells, ask)
    sites, half_hours = reading.closed_by.shape
    costs, begins = np.empty(sites), np.empty(sites)
    refused = np.zeros((sites, _limits.NONE), np.int64)
    duration, _, earliest, latest_end = ask.numbers[DURATION_MINS : LATEST_END_MINS + 1].tolist()
    _kernels.survey(
        ask.numbers,
        _kernels.starts(duration, earliest, latest_end, half_hours),
        ask.gates,
        ask.mwh_per_min,
        ask.moving_gbp,
        reading.rate_gbp_mwh,
        cells.price_gbp_mwh,
        cells.carbon_gco2_kwh,
        reading.closed_by,
        by_energy,
        costs,
        begins,
        refused,
    )
    found = _Bests(costs.tolist(), (begins + duration).tolist(), refused)
    splits, is_split = None, frozenset[int]()
    if ask.is_interruptible and duration > CELL:
        splits = _best_splits(cells, ask, reading, min(found.costs, default=math.inf), by_energy)
        is_split = _improve(found, splits)
    return Found(
        cells=cells,
        ask=ask,
        reading=reading,
        costs=found.costs,
        begins=begins.tolist(),
        ends=found.ends,
        refused=refused,
        splits=splits,
        is_split=is_split,
    )


def _improve(found: _Bests, splits: Splits) -> frozenset[int]:
    """Take the split at each site where it is better than the piece; return those sites.

    Of equals it is the one that ends first, then the piece.
    """
    is_split = set()
    for site, (limit, cost, ends) in enumerate(zip(splits.limits, splits.costs, splits.ends, strict=True)):
        if limit != _limits.NONE:
            found.refused[site, limit] += 1
            continue
        other = found.costs[site]
        if _saves(cost, other) or (ends < found.ends[site] and not _saves(other, cost)):
            found.costs[site], found.ends[site] = cost, ends
            is_split.add(site)
    return frozenset(is_split)


def _best_splits(cells: Cells, ask: Ask, reading: Reading, rival: float, by_energy: bool) -> Splits:
    """Return the best split of each site; it need not be proven where it cannot beat `rival`."""
    sites = ask.gates.size
    window = _window(ask, reading.closed_by.shape[1])
    columns = np.zeros((sites, max(1, window.end - window.first)), np.int64)
    sizes, limits = np.empty(sites, np.int64), np.empty(sites, np.int64)
    _split.find_items(
        reading.closed_by,
        ask.gates,
        window.first,
        window.end,
        window.beyond,
        window.size,
        columns,
        sizes,
        limits,
    )
    items, budgets = _items(cells, ask, reading, window, columns, sizes, by_energy)
    picks, costs = np.zeros((sites, window.size), np.int64), np.full(sites, math.inf)
    most, is_exact = math.inf if by_energy else _allowance(float(ask.numbers[VALUE])), True
    if budgets is None:
        _split.scan(items, sizes, most, picks, costs, limits)
    else:
        is_exact = _split.solve(items, sizes, budgets, most, rival, picks, costs, limits)
    ends = CELL * columns[np.arange(sites), picks[:, -1]] + window.last_mins
    return Splits(columns, picks, costs.tolist(), ends.tolist(), limits.tolist(), is_exact)


def _window(ask: Ask, half_hours: int) -> _Window:
    duration, _, earliest, latest_end = ask.numbers[DURATION_MINS : LATEST_END_MINS + 1].tolist()
    size = math.ceil(duration / CELL)
    last_mins = duration - CELL * (size - 1)
    first = math.ceil(earliest / CELL)
    until = (_allowance(latest_end) - last_mins) / CELL + 1
    if until <= half_hours:
        return _Window(size, last_mins, first, max(first, math.floor(until)), 0.0)
    end = max(first, half_hours)
    return _Window(size, last_mins, first, end, until if until == math.inf else math.floor(until) - float(end))


def _items(
    cells: Cells, ask: Ask, reading: Reading, window: _Window, columns: Codes, sizes: Codes, by_energy: bool
) -> tuple[Floats, Floats | None]:
    """Return each site's items as `_split` takes them, and the budgets of the caps; None without any."""
    carbon_cap, max_price, value = ask.numbers[CARBON_CAP : VALUE + 1].tolist()
    duration, arrived, *_, wait_gbp_per_hour = ask.numbers[DURATION_MINS : WAIT_GBP_PER_HOUR + 1].tolist()
    small, capped, money = reading.rate_gbp_mwh, cells.price_gbp_mwh, max_price
    if by_energy:
        small, capped, money = capped, small, value
    in_small, in_capped = (0.0, 1.0) if by_energy else (1.0, 0.0)  # moving and waiting are in the total alone
    is_capped = min(carbon_cap, money) < math.inf
    items = np.zeros((sizes.size, _split.PARTS, _split.ROWS if is_capped else 1, columns.shape[1]))
    cell_mwh, share, none = ask.mwh_per_min * CELL, window.last_mins / CELL, np.zeros(sizes.size)
    wait = wait_gbp_per_hour / 60
    at_end = ask.moving_gbp + wait * (window.last_mins - duration - arrived)
    _split.load(
        small, cell_mwh, share, in_small * at_end, in_small * wait * CELL, columns, sizes, _split.COST, items
    )
    if carbon_cap < math.inf:
        _split.load(cells.carbon_gco2_kwh, none + CELL / 60, share, none, 0.0, columns, sizes, 1, items)
    if money < math.inf:
        _split.load(capped, cell_mwh, share, in_capped * at_end, in_capped * wait * CELL, columns, sizes, 2, items)
    if not is_capped:
        return items, None
    return items, np.array([_allowance(carbon_cap) * duration / 60, _allowance(money)])


def _allowance(limit: float) -> float:
    return limit if limit == math.inf else limit + SEARCH_SLACK * max(1.0, abs(limit))


def _saves(cost: float, other: float) -> bool:
    """Return whether a cost is lower by more than rounding, as in `_split`."""
    return cost < other - (0.0 if other == math.inf else 1e-9 + 1e-12 * abs(other))


def _spans(columns: list[int], ends: float) -> list[tuple[float, float]]:
    """Return the half hours of a split as spans, those that touch as one; the last ends inside its half hour."""
    spans: list[tuple[float, float]] = []
    for column in columns:
        begins = spans.pop()[0] if spans and spans[-1][1] == CELL * column else CELL * column
        spans.append((begins, CELL * (column + 1)))
    spans[-1] = (spans[-1][0], ends)
    return spans


def measured(cells: Cells, ask: Ask, reading: Reading, site: int, spans: Spans) -> Option:
    """Return what running at a site in some spans costs, and the first limit that forbids it."""
    edges, numbers = np.array(spans, np.float64), np.empty(_kernels.ROW)
    limit = _kernels.measure(
        ask.numbers,
        edges,
        site,
        ask.gates,
        ask.mwh_per_min,
        ask.moving_gbp,
        cells.price_gbp_mwh,
        cells.carbon_gco2_kwh,
        cells.stress,
        cells.scarcity_gbp_mwh,
        reading.closed_by,
        numbers,
    )
    row = numbers.tolist()
    if math.isnan(sum(row)):  # one NaN for all, so that options of the same terms are equal
        row = [math.nan if math.isnan(number) else number for number in row]
    energy, carbon, stress, migration, wait, scarcity, energy_mwh, carbon_kg, unknown_mins = row
    return Option(
        site=site,
        spans=tuple(zip(edges[:, 0].tolist(), edges[:, 1].tolist(), strict=True)),
        energy_mwh=energy_mwh,
        carbon_kg=carbon_kg,
        terms=Terms(energy=energy, carbon=carbon, stress=stress, migration=migration, wait=wait, scarcity=scarcity),
        stress_unknown_mins=unknown_mins,
        refused_by=None if limit == _limits.NONE else _limits.NAMES[limit],
    )
