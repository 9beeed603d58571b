"""The best half hours for a job that may be interrupted: found by a scan, and under caps by prices and branching.

A split is L half hours at one site, of which the last in time may be used in part. Without caps the best split that
ends with a given half hour takes the L - 1 cheapest before it: one scan finds all of them. A cap on carbon or money
gets a price (a Lagrange multiplier), so that the same scan keeps to it and gives a lower bound; branching over the
half hours in order of their priced cost then closes what is left between the bound and the best split found.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import Final

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import CAPS, CELL, COST, ROWS, SEARCH_SLACK, Ask, Bests, Cells, Codes, Items, Reading
from pylon.planning._compiled import compiled
from pylon.planning.field import Floats

__all__ = ["split"]

PRICE_STEPS: Final = 20
PRICE_TURNS: Final = 3 * CAPS  # each cap's price depends on the other's
MOST_NODES, SPARE_NODES = 20_000, 200  # of branching at a site that may give the choice, or an alternative only


@compiled
def split(cells: Cells, ask: Ask, reading: Reading, pieces: Bests, by_energy: bool) -> tuple[Bests, bool]:
    """Return the best split at each site, by total or by energy alone, and whether the best of all is proven.

    `pieces` are the best options in one piece, which a split has to beat.
    """
    sites = reading.closed_by.shape[0]
    size = ceil(ask.duration_mins / CELL)
    begins, ends = np.zeros((sites + 1, size)), np.zeros((sites + 1, size))
    sizes, costs = np.zeros(sites + 1, np.int64), np.full(sites, inf)
    refused = np.zeros((sites, _limits.NONE), np.int64)
    picks = np.zeros(size, np.int64)
    is_exact, rival = True, inf
    for cost in pieces.costs:
        rival = min(rival, cost)
    for site in range(sites):
        limit = _too_few(cells, ask, reading.closed_by[site], site, size)
        if limit == _limits.NONE:
            items = _items(cells, ask, reading, site, size, by_energy)
            limit, cost, is_proven = _solve(items, picks, rival)
            is_exact = is_exact and is_proven
            if limit == _limits.NONE and not by_energy and cost > _allowance(ask.value_gbp):
                limit = _limits.VALUE
        if limit == _limits.NONE:
            costs[site], sizes[site] = cost, _write_spans(ask, items.columns, picks, begins[site], ends[site])
            rival = min(rival, cost)
        else:
            refused[site, limit] = 1
    return Bests(begins, ends, sizes, costs, refused), is_exact


@compiled
def _allowance(limit: float) -> float:
    return inf if limit == inf else limit + SEARCH_SLACK * max(1.0, abs(limit))


@compiled
def _saves(cost: float, other: float) -> bool:
    """Return whether a cost is lower by more than rounding, as in `_kernels`."""
    return cost < other - (0.0 if other == inf else 1e-9 + 1e-12 * abs(other))


@compiled
def _last_mins(ask: Ask, size: int) -> float:
    """Return how much a split uses of its last half hour."""
    return ask.duration_mins - CELL * (size - 1)


@compiled
def _window(ask: Ask, size: int, half_hours: int) -> tuple[int, int, float]:
    """Return the half hours of the field that a split may use, as a range, and how many more lie beyond it."""
    first = ceil(ask.earliest_mins / CELL)
    beyond = (_allowance(ask.latest_end_mins) - _last_mins(ask, size)) / CELL + 1
    if beyond <= half_hours:
        return first, max(first, floor(beyond)), 0.0
    return first, max(first, half_hours), np.floor(beyond) - max(first, half_hours)


@compiled
def _too_few(cells: Cells, ask: Ask, closed_by: Codes, site: int, size: int) -> int:
    """Return the first limit after which fewer half hours of a site are left than the job needs."""
    if not ask.allowed[site]:
        return _limits.REGION
    if not cells.is_open[site]:
        return _limits.SITE_OPEN
    first, end, beyond = _window(ask, size, closed_by.size)
    if end - first + beyond < size:
        return _limits.LATEST_END
    closed = np.zeros(_limits.NONE + 1, np.int64)
    for column in range(first, end):
        closed[closed_by[column]] += 1
    left = end - first
    for limit in range(_limits.POWER, _limits.SIGNALS + 1):
        left -= closed[limit]
        if left + beyond < size:
            return limit
    return _limits.HORIZON if left < size else _limits.NONE


@compiled
def _items(cells: Cells, ask: Ask, reading: Reading, site: int, size: int, by_energy: bool) -> Items:
    first, end, _ = _window(ask, size, reading.closed_by.shape[1])
    columns = first + np.flatnonzero(reading.closed_by[site, first:end] == _limits.NONE)
    whole, last = np.zeros((ROWS, columns.size)), np.zeros((ROWS, columns.size))
    budgets = np.full(CAPS, inf)
    mins, power_mw = _last_mins(ask, size), ask.it_power_mw * cells.pue[site]
    small, capped, money = reading.rate_gbp_mwh[site], cells.price_gbp_mwh[site], ask.max_price_gbp
    if by_energy:
        small, capped, money = capped, small, ask.value_gbp
    _fill(whole[COST], last[COST], small, columns, power_mw, mins)
    if ask.carbon_cap_gco2_kwh != inf:
        _fill(whole[1], last[1], cells.carbon_gco2_kwh[site], columns, 1.0, mins)
        budgets[0] = _allowance(ask.carbon_cap_gco2_kwh) * ask.duration_mins / 60
    if money != inf:
        _fill(whole[2], last[2], capped, columns, power_mw, mins)
        budgets[1] = _allowance(money)
    if not by_energy or money != inf:
        _add_fixed(ask, last[2 if by_energy else COST], columns, mins, site)
    return Items(columns, whole, last, budgets)


@compiled
def _fill(whole: Floats, last: Floats, values: Floats, columns: Codes, power: float, last_mins: float) -> None:
    for item in range(columns.size):
        whole[item] = power * CELL / 60 * values[columns[item]]
        last[item] = power * last_mins / 60 * values[columns[item]]


@compiled
def _add_fixed(ask: Ask, totals: Floats, columns: Codes, last_mins: float, site: int) -> None:
    """Add to the total of each last half hour what moving the job and waiting until then cost."""
    migration = 0.0 if site == ask.origin else ask.migration_gbp
    for item in range(columns.size):
        waited_mins = CELL * columns[item] + last_mins - ask.duration_mins - ask.arrived_mins
        totals[item] += migration + ask.wait_gbp_per_hour / 60 * waited_mins


@compiled
def _write_spans(ask: Ask, columns: Codes, picks: Codes, begins: Floats, ends: Floats) -> int:
    """Write the spans of a split, half hours that touch as one; return how many they are."""
    is_picked = np.zeros(columns.size, np.bool_)
    for pick in picks:
        is_picked[pick] = True
    spans, touching = 0, -1
    for item in range(columns.size):
        if is_picked[item]:
            if columns[item] != touching:
                begins[spans] = CELL * columns[item]
                spans += 1
            touching = columns[item] + 1
            ends[spans - 1] = CELL * touching
    ends[spans - 1] -= CELL - _last_mins(ask, picks.size)
    return spans


@compiled
def _solve(items: Items, picks: Codes, rival: float) -> tuple[int, float, bool]:
    """Write the best split within its caps to `picks`; return the cap that leaves none, its cost, if proven.

    `picks` are places in `items`, the last half hour of the split in the last place.
    """
    cost = _scan(items.whole[COST], items.last[COST], picks)
    if _is_within(items, picks):
        return _limits.NONE, cost, True
    trial, prices, best = np.zeros(picks.size, np.int64), np.zeros(CAPS), inf
    for turn in range(PRICE_TURNS if max(items.budgets) < inf else CAPS):
        cap = turn % CAPS
        if items.budgets[cap] < inf:
            is_possible, best = _find_price(items, prices, cap, trial, picks, best)
            if not is_possible:
                return _limits.CARBON_CAP + cap, inf, True
    if best == inf and max(items.budgets) < inf:
        is_possible, best = _meet_both(items, trial, picks)
        if not is_possible:
            return _limits.MAX_PRICE, inf, True
    best, is_proven = _branch(items, prices, trial, picks, best, rival)
    return (_limits.MAX_PRICE if best == inf else _limits.NONE), best, is_proven


@compiled
def _scan(costs: Floats, last_costs: Floats, picks: Codes) -> float:
    """Write the cheapest split to `picks` and return its cost; of equals the one that ends first."""
    size = picks.size - 1
    kept = np.zeros(size, np.int64)  # the cheapest so far, cheapest first
    kept_cost, least = 0.0, inf
    for item in range(costs.size):
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
def _taken(values: Floats, last_values: Floats, picks: Codes) -> float:
    """Return the cost or load of a split."""
    taken: float = last_values[picks[picks.size - 1]]
    for i in range(picks.size - 1):
        taken += values[picks[i]]
    return taken


@compiled
def _is_within(items: Items, picks: Codes) -> bool:
    is_within = True
    for cap in range(CAPS):
        taken = _taken(items.whole[1 + cap], items.last[1 + cap], picks)
        is_within = is_within and taken <= items.budgets[cap]
    return is_within


@compiled
def _keep(items: Items, trial: Codes, picks: Codes, best: float) -> float:
    """Return the lower of `best` and what a split costs that keeps to all caps; the better one is in `picks`."""
    cost = _taken(items.whole[COST], items.last[COST], trial)
    if not _saves(cost, best) or not _is_within(items, trial):
        return best
    for i in range(picks.size):
        picks[i] = trial[i]
    return cost


@compiled
def _priced(values: Floats, prices: Floats) -> Floats:
    """Return each cost with what the loads cost at the prices of the caps."""
    priced = np.empty(values.shape[1])
    for item in range(priced.size):
        priced[item] = values[COST, item] + prices[0] * values[1, item] + prices[1] * values[2, item]
    return priced


@compiled
def _find_price(
    items: Items, prices: Floats, cap: int, trial: Codes, picks: Codes, best: float
) -> tuple[bool, float]:
    """Set the price of a cap to where the bound is highest; return whether it can be kept, and the best cost.

    The bound is the least of lines: cost + price x excess, one for each split. Between a split that exceeds the cap
    and one that keeps to it, the next price to try is where their lines cross. Splits within all caps are kept.
    """
    prices[cap] = 0.0
    costs, last_costs = _priced(items.whole, prices), _priced(items.last, prices)
    loads, last_loads, budget = items.whole[1 + cap], items.last[1 + cap], items.budgets[cap]
    _scan(costs, last_costs, trial)
    best = _keep(items, trial, picks, best)
    low_cost, low_excess = _taken(costs, last_costs, trial), _taken(loads, last_loads, trial) - budget
    if low_excess <= 0:
        return True, best
    _scan(loads, last_loads, trial)
    best = _keep(items, trial, picks, best)
    high_cost, high_excess = _taken(costs, last_costs, trial), _taken(loads, last_loads, trial) - budget
    if high_excess > 0:
        return False, best
    for _ in range(PRICE_STEPS):
        price = prices[cap] = (high_cost - low_cost) / (low_excess - high_excess)
        _scan(_priced(items.whole, prices), _priced(items.last, prices), trial)
        best = _keep(items, trial, picks, best)
        cost, excess = _taken(costs, last_costs, trial), _taken(loads, last_loads, trial) - budget
        if not _saves(cost + price * excess, low_cost + price * low_excess):
            break
        if excess > 0:
            low_cost, low_excess = cost, excess
        else:
            high_cost, high_excess = cost, excess
    return True, best


@compiled
def _meet_both(items: Items, trial: Codes, picks: Codes) -> tuple[bool, float]:
    """Look for a split within both caps: the least load of one under the other; return whether one can exist."""
    probe = Items(items.columns, items.whole.copy(), items.last.copy(), items.budgets)
    probe.whole[COST], probe.last[COST] = items.whole[1], items.last[1]
    prices = np.zeros(CAPS)
    _, load = _find_price(probe, prices, 1, trial, picks, inf)
    if load < inf:
        return True, _taken(items.whole[COST], items.last[COST], picks)
    least = _scan(_priced(probe.whole, prices), _priced(probe.last, prices), trial) - prices[1] * items.budgets[1]
    return least <= items.budgets[0], inf


@compiled
def _branch(
    items: Items, prices: Floats, trial: Codes, picks: Codes, best: float, rival: float
) -> tuple[float, bool]:
    """Improve the best split by trying each whose bound is below it; return its cost, and whether it is proven.

    For each last half hour, those before it are taken in order of their priced cost: then the bound of what comes
    next only rises, and the first that is too high ends the row. What cannot beat `rival` need not be proven.
    """
    size, nodes, spare = picks.size - 1, MOST_NODES, SPARE_NODES
    priced, last_priced = _priced(items.whole, prices), _priced(items.last, prices)
    rent = 0.0
    for cap in range(CAPS):
        rent += prices[cap] * items.budgets[cap] if prices[cap] > 0 else 0.0
    ranked = np.zeros(priced.size, np.int64)
    for last in range(priced.size):
        trial[size], fixed = last, last_priced[last] - rent
        bound = fixed + _cheapest_sum(priced, ranked, size) if last >= size else inf
        if _saves(bound, min(best, rival)):
            best, nodes = _branch_before(items, ranked[:last], priced, fixed, trial, picks, best, nodes)
        elif _saves(bound, best):
            best, spare = _branch_before(items, ranked[:last], priced, fixed, trial, picks, best, spare)
        place = last
        while place > 0 and priced[last] < priced[ranked[place - 1]]:
            ranked[place] = ranked[place - 1]
            place -= 1
        ranked[place] = last
    return best, nodes > 0


@compiled
def _cheapest_sum(priced: Floats, ranked: Codes, size: int) -> float:
    total = 0.0
    for rank in range(size):
        total += priced[ranked[rank]]
    return total


@compiled
def _branch_before(
    items: Items,
    ranked: Codes,
    priced: Floats,
    fixed: float,
    trial: Codes,
    picks: Codes,
    best: float,
    nodes: int,
) -> tuple[float, int]:
    """Try the splits whose last half hour is that of `trial`; return the best cost and the nodes left.

    `ranks` are the places in `ranked` taken so far, and row n of `sums` what the first n of them cost, priced, and
    take of each cap.
    """
    size = trial.size - 1
    ahead, least = _ahead(items, ranked, priced)
    ranks, sums = np.zeros(size, np.int64), np.zeros((size + 1, ROWS))
    depth = rank = 0
    while depth >= 0:
        left = size - depth
        is_worth = nodes > 0 and rank + left <= ranked.size
        if is_worth:
            bound = fixed + sums[depth, COST] + ahead[rank + left] - ahead[rank]
            is_worth = _saves(bound, best) and _has_room(items, trial[size], sums[depth], least[rank], left)
        if not is_worth:
            depth -= 1
            rank = ranks[max(depth, 0)] + 1
            continue
        nodes -= 1
        ranks[depth], trial[depth] = rank, ranked[rank]
        sums[depth + 1, COST] = sums[depth, COST] + priced[ranked[rank]]
        for cap in range(1, ROWS):
            sums[depth + 1, cap] = sums[depth, cap] + items.whole[cap, ranked[rank]]
        rank += 1
        if left > 1:
            depth += 1
        else:
            best = _keep(items, trial, picks, best)
    return best, nodes


@compiled
def _ahead(items: Items, ranked: Codes, priced: Floats) -> tuple[Floats, Floats]:
    """Return the priced costs summed up to each rank, and the least that any item from there takes of a cap."""
    ahead, least = np.zeros(ranked.size + 1), np.full((ranked.size + 1, CAPS), inf)
    for rank in range(ranked.size):
        ahead[rank + 1] = ahead[rank] + priced[ranked[rank]]
    for rank in range(ranked.size - 1, -1, -1):
        for cap in range(CAPS):
            least[rank, cap] = min(least[rank + 1, cap], items.whole[1 + cap, ranked[rank]])
    return ahead, least


@compiled
def _has_room(items: Items, last: int, sums: Floats, least: Floats, left: int) -> bool:
    """Return whether the caps could be kept if each half hour still to take took as little as the least of them."""
    has_room = True
    for cap in range(CAPS):
        load = sums[1 + cap] + left * least[cap] + items.last[1 + cap, last]
        has_room = has_room and load <= items.budgets[cap]
    return has_room
