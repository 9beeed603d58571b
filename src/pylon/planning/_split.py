"""The best half hours for a job that may be interrupted: found by a scan, and under caps by prices and branching.

A split is L half hours at one site, of which the last in time may be used in part. Without caps the best split that
ends with a given half hour takes the L - 1 cheapest before it: one scan finds all of them. A cap on carbon or money
gets a price (a Lagrange multiplier), so that the same scan keeps to it and gives a lower bound; branching over the
half hours in order of their priced cost then closes what is left between the bound and the best split found.

An item is a half hour that the job may use at one site. `whole` is what it costs and takes of each cap when used
whole, `last` the same when it is the last: used in part, and with all that the end decides. A split is written as
`picks`, places among the items, the last half hour in the last place.
"""

from __future__ import annotations

from math import inf
from typing import Final

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import Codes
from pylon.planning._compiled import compiled, inner
from pylon.planning.field import Floats

__all__ = ["CAPS", "COST", "ROWS", "find_items", "load", "scan", "solve"]

COST: Final = 0  # rows of `whole` and `last`: what is made small, then what is taken of each cap
CAPS: Final = 2  # carbon, and money; infinite budgets where they are not set
ROWS: Final = 1 + CAPS
PRICE_STEPS: Final = 20
PRICE_TURNS: Final = 3 * CAPS  # each cap's price depends on the other's
MOST_NODES, SPARE_NODES = 20_000, 200  # of branching at a site that may give the choice, or an alternative only


@compiled
def find_items(
    closed_by: Codes, gates: Codes, first: int, end: int, beyond: float, size: int, columns: Codes, limits: Codes
) -> None:
    """Write each site's open half hours from `first` to `end` in order, and the limit that leaves fewer than `size`.

    `beyond` is how many more the job may use that lie behind the field.
    """
    counts = np.empty(_limits.NONE + 1, np.int64)
    for site in range(gates.size):
        for limit in range(counts.size):
            counts[limit] = 0
        for column in range(first, end):
            closed = closed_by[site, column]
            if closed == _limits.NONE:
                columns[site, counts[closed]] = column
            counts[closed] += 1
        limits[site] = _too_few(counts, end - first, beyond, size) if gates[site] == _limits.NONE else gates[site]


@inner
def _too_few(counts: Codes, left: int, beyond: float, size: int) -> int:
    """Return the first limit after which fewer half hours are left than the job needs."""
    if left + beyond < size:
        return _limits.LATEST_END
    for limit in range(_limits.POWER, _limits.SIGNALS + 1):
        left -= counts[limit]
        if left + beyond < size:
            return limit
    return _limits.HORIZON if left < size else _limits.NONE


@compiled
def load(values: Floats, columns: Codes, sizes: Codes, factors: Floats, share: float, whole: Floats, last: Floats) -> None:
    """Write what each item takes of a quantity, used whole and used for a `share` of its half hour."""
    for site in range(sizes.size):
        for item in range(sizes[site]):
            taken = factors[site] * values[site, columns[site, item]]
            whole[site, item], last[site, item] = taken, share * taken


@compiled
def scan(whole: Floats, last: Floats, sizes: Codes, picks: Codes, costs: Floats) -> None:
    """Write the cheapest split of each site that has items, without caps."""
    for site in range(sizes.size):
        if sizes[site] > 0:
            costs[site] = _scan(whole[site], last[site], sizes[site], picks[site])


@inner
def _saves(cost: float, other: float) -> bool:
    """Return whether a cost is lower by more than rounding, as in `_kernels`."""
    return cost < other - (0.0 if other == inf else 1e-9 + 1e-12 * abs(other))


@inner
def _scan(costs: Floats, last_costs: Floats, items: int, picks: Codes) -> float:
    """Write the cheapest split to `picks` and return its cost; of equals the one that ends first."""
    size = picks.size - 1
    kept = np.empty(size, np.int64)  # the cheapest so far, cheapest first
    kept_cost, least = 0.0, inf
    for item in range(items):
        place = item
        if item >= size:
            if _saves(kept_cost + last_costs[item], least):
                least = kept_cost + last_costs[item]
                for i in range(size):
                    picks[i] = kept[i]
                picks[size] = item
            place = size - 1
            if costs[item] >= costs[kept[place]]:
                continue
            kept_cost -= costs[kept[place]]
        kept_cost += costs[item]
        while place > 0 and costs[item] < costs[kept[place - 1]]:
            kept[place] = kept[place - 1]
            place -= 1
        kept[place] = item
    return least


@compiled
def solve(
    whole: Floats, last: Floats, items: int, budgets: Floats, rival: float, picks: Codes, limit: Codes
) -> tuple[float, bool]:
    """Write the best split within its caps to `picks`; return the cap that leaves none, its cost, if proven.

    It need not be proven when it cannot beat `rival`.
    """
    cost = _scan(whole[COST], last[COST], items, picks)
    if _is_within(whole, last, budgets, picks):
        return cost, True
    trial, prices, best = np.empty(picks.size, np.int64), np.zeros(CAPS), inf
    priced, last_priced = np.empty(items), np.empty(items)
    for turn in range(PRICE_TURNS if budgets[0] < inf and budgets[1] < inf else CAPS):
        cap = turn % CAPS
        if budgets[cap] < inf:
            is_possible, best = _find_price(
                whole, last, items, budgets, prices, cap, priced, last_priced, trial, picks, best
            )
            if not is_possible:
                return _limits.CARBON_CAP + cap, inf, True
    if best == inf and max(items.budgets) < inf:
        is_possible, best = _meet_both(items, trial, picks)
        if not is_possible:
            return _limits.MAX_PRICE, inf, True
    best, is_proven = _branch(items, prices, trial, picks, best, rival)
    return (_limits.MAX_PRICE if best == inf else _limits.NONE), best, is_proven
