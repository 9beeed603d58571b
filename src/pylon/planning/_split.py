"""A job that may be interrupted: the best split of each site, which replaces its best piece where it is better.

A split is some half hours at one site, all used whole but the last in time, of which a part may be used. Under caps
sites come in the order of their best split without: no split of theirs costs less, so that those that cannot beat
the best found need not be searched.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import TypeAlias

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import (
    ARRIVED_MINS,
    CARBON_CAP,
    CARBON_UPPER,
    CELL,
    DURATION_MINS,
    EARLIEST_MINS,
    LATEST_END_MINS,
    MAX_PRICE,
    POWER_MW,
    PRICE,
    VALUE,
    WAIT_GBP_PER_HOUR,
    Codes,
    Flags,
)
from pylon.planning._choose import CAPS, COST, GRAMS, LAST, MONEY, PARTS, ROWS, WHOLE, is_within, scan, solve
from pylon.planning._compiled import compiled, inner
from pylon.planning._measure import allowance, moving_gbp, place_of_least, saves, surely_saves
from pylon.planning.field import Floats

__all__ = ["improve"]

Given: TypeAlias = tuple[Floats, Floats, Floats, Floats, bool, Floats]
"""Job, signals, PUE, the cost of an MWh in each cell, whether the least energy is looked for, and the budgets."""
Best: TypeAlias = tuple[Floats, Floats, Codes, Codes]
"""Of each site the cost, the spans and how many they are; and what refuses its options."""


@compiled
def improve(
    job: Floats,
    signals: Floats,
    pue: Floats,
    rate_gbp_mwh: Floats,
    closed_by: Codes,
    gates: Codes,
    by_energy: bool,
    all_sites: bool,
    is_done: Flags,
    costs: Floats,
    spans: Floats,
    sizes: Codes,
    refused: Codes,
) -> bool:
    """Replace each site's best piece by its best split where that is better; of equals the first to end stays.

    `costs` and `spans` (D, halves, 2), of which `sizes` are used, are those of the pieces; `refused` counts what
    leaves no split. Without `all_sites`, a site that cannot have the cheapest is left for later: it is not done.
    Return whether the cheapest of all is proven.
    """
    sites, halves = spans.shape[:2]
    given = (job, signals, pue, rate_gbp_mwh, by_energy, _budgets(job, by_energy))
    best = (costs, spans, sizes, refused)
    columns, counts = np.empty((sites, closed_by.shape[1]), np.int64), np.empty(sites, np.int64)
    picks, bounds = np.empty((sites, halves), np.int64), np.full(sites, inf)
    _scan_sites(given, all_sites, closed_by, gates, columns, counts, picks, bounds, is_done, best)
    return _search_in_turn(given, all_sites, columns, counts, picks, bounds, is_done, best)


@inner
def _scan_sites(
    given: Given,
    all_sites: bool,
    closed_by: Codes,
    gates: Codes,
    columns: Codes,
    counts: Codes,
    picks: Codes,
    bounds: Floats,
    is_done: Flags,
    best: Best,
) -> None:
    """Settle each site that has no split, or whose best without caps keeps to them.

    Of the others that is the bound; the half hours that a split may use, their count and the picks are kept too.
    """
    (job, _, _, _, by_energy, budgets), (costs, _, _, _), halves = given, best, picks.shape[1]
    may_skip = costs.size > 0 and not (all_sites or by_energy)
    rival = costs[place_of_least(costs)] if may_skip else inf
    for site in range(gates.size):
        if is_done[site]:
            continue
        counts[site], limit = _find_columns(job, closed_by[site], gates[site], halves, columns[site])
        cost, own = inf, columns[site, : counts[site]]
        if may_skip and limit == _limits.NONE and surely_saves(rival, _floor(given, site, own, halves)):
            continue
        if limit == _limits.NONE:
            items = _items(given, site, own)
            cost = scan(items[WHOLE, COST], items[LAST, COST], picks[site])
            if items.shape[1] == ROWS and not is_within(items, budgets, picks[site]):
                bounds[site] = cost
                continue
        _settle(given, site, limit, cost, own, picks[site], best)
        is_done[site] = True
        rival = min(rival, costs[site])


@inner
def _floor(given: Given, site: int, columns: Codes, halves: int) -> float:
    """Return less than any split at a site costs: all of it in its cheapest half hour, done as early as can be."""
    job, _, pue, rate_gbp_mwh, _, _ = given
    least, rates = inf, rate_gbp_mwh[site]
    for column in columns:
        least = rates[column] if rates[column] < least else least
    starts = CELL * columns[halves - 1] + _last_mins(job) - job[DURATION_MINS] - job[ARRIVED_MINS]
    mwh = job[POWER_MW] * pue[site] * job[DURATION_MINS] / 60
    floor_gbp: float = mwh * least + moving_gbp(job, site) + job[WAIT_GBP_PER_HOUR] / 60 * starts
    return floor_gbp


@inner
def _search_in_turn(
    given: Given,
    all_sites: bool,
    columns: Codes,
    counts: Codes,
    picks: Codes,
    bounds: Floats,
    is_done: Flags,
    best: Best,
) -> bool:
    """Search under caps the sites that have a bound, the lowest first; return whether the cheapest is proven."""
    (costs, _, _, _), is_exact = best, True
    for _ in range(bounds.size):
        site, rival = place_of_least(bounds), costs[place_of_least(costs)]
        bound, ceiling, own = bounds[site], inf if all_sites else rival, columns[site, : counts[site]]
        if bound == inf or saves(ceiling, bound):
            break
        bounds[site] = inf
        items = _items(given, site, own)
        limit, cost, is_proven = solve(items, given[-1], picks[site], rival, ceiling)
        is_exact = is_exact and is_proven
        is_done[site] = limit != _limits.NONE or cost < inf
        if is_done[site]:
            _settle(given, site, limit, cost, own, picks[site], best)
    return is_exact


@inner
def _budgets(job: Floats, by_energy: bool) -> Floats:
    """Return how much a split may take of each cap: kg per MW, and GBP; infinite where there is no cap."""
    budgets = np.empty(CAPS)
    budgets[0] = allowance(job[CARBON_CAP]) * job[DURATION_MINS] / 60
    budgets[1] = allowance(job[VALUE] if by_energy else job[MAX_PRICE])
    return budgets


@inner
def _last_mins(job: Floats) -> float:
    """Return how much of its last half hour a split uses."""
    duration: float = job[DURATION_MINS]
    return duration - CELL * (ceil(duration / CELL) - 1)


@inner
def _find_columns(job: Floats, closed_by: Codes, gate: int, halves: int, columns: Codes) -> tuple[int, int]:
    """Write a site's open half hours that a split may use; return how many, and the limit that leaves too few."""
    if gate != _limits.NONE:
        return 0, gate
    first, until = ceil(job[EARLIEST_MINS] / CELL), (allowance(job[LATEST_END_MINS]) - _last_mins(job)) / CELL + 1
    until = until if until == inf else float(floor(until))
    if until - first < halves:
        return 0, _limits.LATEST_END
    end = closed_by.size if until > closed_by.size else int(until)
    counts = np.zeros(_limits.NONE + 1, np.int64)
    for column in range(first, end):
        closed = closed_by[column]
        if closed == _limits.NONE:
            columns[counts[closed]] = column
        counts[closed] += 1
    left = until - first
    for limit in range(_limits.POWER, _limits.SIGNALS + 1):
        left -= counts[limit]
        if left < halves:
            return 0, limit
    count = counts[_limits.NONE]
    return count, _limits.NONE if count >= halves else _limits.HORIZON


@inner
def _items(given: Given, site: int, columns: Codes) -> Floats:
    """Return the items of some half hours at a site."""
    job, signals, pue, rate_gbp_mwh, by_energy, budgets = given
    is_capped, last_mins = budgets[0] < inf or budgets[1] < inf, _last_mins(job)
    items = np.zeros((PARTS, ROWS if is_capped else 1, columns.size))
    cell_mwh, share, wait = job[POWER_MW] * pue[site] * CELL / 60, last_mins / CELL, job[WAIT_GBP_PER_HOUR] / 60
    at_end = wait * (last_mins - job[DURATION_MINS] - job[ARRIVED_MINS]) + moving_gbp(job, site)
    energy, total = (COST, MONEY) if by_energy else (MONEY, COST)
    if by_energy or budgets[1] < inf:
        _load(signals[PRICE, site], columns, cell_mwh, share, 0.0, 0.0, items[:, energy])
    if not by_energy or budgets[1] < inf:
        _load(rate_gbp_mwh[site], columns, cell_mwh, share, at_end, wait, items[:, total])
    if budgets[0] < inf:
        _load(signals[CARBON_UPPER, site], columns, CELL / 60, share, 0.0, 0.0, items[:, GRAMS])
    return items


@inner
def _load(
    values: Floats, columns: Codes, factor: float, share: float, at_end: float, wait: float, taken: Floats
) -> None:
    """Write a quantity used whole, and a `share` of it with what the end adds."""
    for item in range(columns.size):
        column = columns[item]
        whole = factor * values[column]
        taken[WHOLE, item], taken[LAST, item] = whole, share * whole + at_end + wait * CELL * column


@inner
def _settle(given: Given, site: int, limit: int, cost: float, columns: Codes, picks: Codes, best: Best) -> None:
    """Take the best split of a site where it is better than its piece, or count what leaves none."""
    (job, _, _, _, by_energy, _), (costs, spans, sizes, refused) = given, best
    if limit == _limits.NONE and not by_energy and cost > allowance(job[VALUE]):
        limit = _limits.VALUE
    if limit != _limits.NONE:
        refused[site, limit] += 1
        return
    ends = CELL * columns[picks[picks.size - 1]] + _last_mins(job)
    if saves(cost, costs[site]) or (ends < spans[site, 0, 1] and not saves(costs[site], cost)):
        costs[site], sizes[site] = cost, _write_spans(columns, picks, ends, spans[site])


@inner
def _write_spans(columns: Codes, picks: Codes, ends: float, spans: Floats) -> int:
    """Write the half hours of a split as spans, those that touch as one; return how many there are."""
    is_taken = np.zeros(columns.size, np.bool_)
    for pick in picks:
        is_taken[pick] = True
    size, until = 0, -1.0
    for item in range(columns.size):
        if is_taken[item]:
            if CELL * columns[item] != until:
                spans[size, 0] = CELL * columns[item]
                size += 1
            until = CELL * (columns[item] + 1)
            spans[size - 1, 1] = until
    spans[size - 1, 1] = ends
    return size
