"""The best half hours for a job that may be interrupted: found by a scan, and under caps by prices and branching.

A split is L half hours at one site, of which the last in time may be used in part. Without caps the best split that
ends with a given half hour takes the L - 1 cheapest before it: one scan finds all of them. A cap on carbon or money
gets a price (a Lagrange multiplier), so that the same scan keeps to it and gives a lower bound; branching over the
half hours in order of their priced cost then closes what is left between the bound and the best split found.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import Final, NamedTuple

import numpy as np

from pylon.planning._ask import (
    CARBON_CAP,
    CELL,
    HORIZON,
    LATEST_END,
    MAX_PRICE,
    NO_LIMIT,
    POWER,
    REGION,
    SEARCH_SLACK,
    SIGNALS,
    SITE_OPEN,
    VALUE,
    Ask,
    Bests,
    Cells,
    Codes,
    Reading,
)
from pylon.planning._compiled import compiled
from pylon.planning.field import Floats

__all__ = ["split"]

COST: Final = 0  # rows of Items.whole: what is made small, then what is taken of each cap
CAPS: Final = 2  # carbon, and money
ROWS: Final = 1 + CAPS

PRICE_STEPS: Final = 20
PRICE_ROUNDS: Final = 3
MOST_NODES: Final = 20_000
"""Of branching, for one site."""


class Items(NamedTuple):
    """The half hours that a job may use at one site, in order of time."""

    columns: Codes
    whole: Floats
    """(ROWS, items). Cost and load of each half hour used whole; no load for a cap that is not set."""
    last: Floats
    """The same for the half hour that is the last of a split: used in part, and with all that the end decides."""
    budgets: Floats
    """(CAPS,)."""


@compiled
def split(cells: Cells, ask: Ask, reading: Reading, by_energy: bool) -> tuple[Bests, bool]:
    """Return the best split at each site, by total or by the energy term alone, and whether all are proven best."""
    sites = reading.closed_by.shape[0]
    size = ceil(ask.duration_mins / CELL)
    begins, ends = np.zeros((sites + 1, size)), np.zeros((sites + 1, size))
    sizes, costs = np.zeros(sites + 1, np.int64), np.full(sites, inf)
    refused = np.zeros((sites, NO_LIMIT), np.int64)
    picks = np.zeros(size, np.int64)
    is_exact = True
    for site in range(sites):
        limit = _gate(cells, ask, site)
        if limit == NO_LIMIT:
            limit = _too_few(ask, reading.closed_by[site], size)
        if limit == NO_LIMIT:
            items = _items(cells, ask, reading, site, size, by_energy)
            limit, cost, is_proven = _solve(items, picks)
            is_exact = is_exact and is_proven
            if limit == NO_LIMIT and not by_energy and cost > _allowance(ask.value_gbp):
                limit = VALUE
        if limit == NO_LIMIT:
            costs[site], sizes[site] = cost, _write_spans(ask, items.columns, picks, begins[site], ends[site])
        else:
            refused[site, limit] = 1
    return Bests(sizes, begins, ends, sizes, costs, refused), is_exact


@compiled
def _gate(cells: Cells, ask: Ask, site: int) -> int:
    if not ask.allowed[site]:
        return REGION
    return NO_LIMIT if cells.is_open[site] else SITE_OPEN


@compiled
def _allowance(limit: float) -> float:
    return inf if limit == inf else limit + SEARCH_SLACK * max(1.0, abs(limit))


@compiled
def _saves(cost: float, other: float) -> bool:
    """Return whether a cost is lower by more than rounding."""
    return cost < other - (0.0 if other == inf else 1e-9 + 1e-12 * abs(other))


@compiled
def _last_mins(ask: Ask, size: int) -> float:
    """Return how much a split uses of its last half hour."""
    return ask.duration_mins - CELL * (size - 1)


@compiled
def _window(ask: Ask, size: int, half_hours: int) -> tuple[int, int, float]:
    """Return the half hours of the field that a split may use, as a range, and how many more there are beyond it."""
    first = ceil(ask.earliest_mins / CELL)
    beyond = (_allowance(ask.latest_end_mins) - _last_mins(ask, size)) / CELL + 1
    if beyond <= half_hours:
        return first, max(first, floor(beyond)), 0.0
    return first, max(first, half_hours), np.floor(beyond) - max(first, half_hours)


@compiled
def _too_few(ask: Ask, closed_by: Codes, size: int) -> int:
    """Return the first limit after which fewer half hours are left than the job needs."""
    first, end, beyond = _window(ask, size, closed_by.size)
    if end - first + beyond < size:
        return LATEST_END
    closed = np.zeros(NO_LIMIT + 1, np.int64)
    for column in range(first, end):
        closed[closed_by[column]] += 1
    left = end - first
    for limit in range(POWER, SIGNALS + 1):
        left -= closed[limit]
        if left + beyond < size:
            return limit
    return HORIZON if left < size else NO_LIMIT


@compiled
def _items(cells: Cells, ask: Ask, reading: Reading, site: int, size: int, by_energy: bool) -> Items:
    first, end, _ = _window(ask, size, reading.closed_by.shape[1])
    columns = _open_columns(reading.closed_by[site], first, end)
    whole, last = np.zeros((ROWS, columns.size)), np.zeros((ROWS, columns.size))
    rates, prices, carbon = reading.rate_gbp_mwh[site], cells.price_gbp_mwh[site], cells.carbon_gco2_kwh[site]
    total, energy = (2, COST) if by_energy else (COST, 2)  # what is not made small may be capped
    money_cap = ask.value_gbp if by_energy else ask.max_price_gbp
    mwh, last_mwh = (ask.it_power_mw * cells.pue[site] / 60 * mins for mins in (CELL, _last_mins(ask, size)))
    migration = 0.0 if site == ask.origin else ask.migration_gbp
    for item in range(columns.size):
        column = columns[item]
        ...
