"""The best half hours for a job that may be interrupted: found by a scan, and under caps by prices and branching.

A split is L half hours at one site, of which the last in time may be used in part. Without caps the best split that
ends with a given half hour takes the L - 1 cheapest before it: one scan finds all of them. A cap on carbon or money
gets a price (a Lagrange multiplier), so that the same scan keeps to it and gives a lower bound; branching over the
half hours in order of their priced cost then closes what is left between the bound and the best split found.

An item is a half hour that the job may use at one site; `items` is (PARTS, ROWS, items): what each costs and takes
of each cap, used whole and used as the last of a split: in part, and with all that the end decides. A split is
written as `picks`, places among the items, the last half hour in the last place.
"""

from __future__ import annotations

from math import inf
from typing import Final

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import Codes
from pylon.planning._compiled import inner
from pylon.planning._measure import saves
from pylon.planning.field import Floats

__all__ = ["CAPS", "COST", "GRAMS", "LAST", "MONEY", "PARTS", "ROWS", "WHOLE", "is_within", "scan", "solve"]

WHOLE, LAST, PARTS = 0, 1, 2
COST, GRAMS, MONEY = 0, 1, 2  # of the rows: what is made small, and what is taken of each cap
CAPS: Final = 2  # carbon, and money; the budget of one that is not set is infinite
ROWS: Final = 1 + CAPS
PRICE_STEPS: Final = 20
PRICE_TURNS: Final = 3 * CAPS  # each cap's price depends on the other's
MOST_NODES, SPARE_NODES = 20_000, 200  # of branching at a site that may give the choice, or an alternative only


@inner
def scan(costs: Floats, last_costs: Floats, picks: Codes) -> float:
    """Write the cheapest split to `picks` and return its cost; of equals the one that ends first."""
    size = picks.size - 1
    kept, kept_costs = np.empty(size, np.int64), np.empty(size)  # the cheapest so far, cheapest first
    total, least = 0.0, inf
    for item in range(costs.size):
        place, cost = item, costs[item]
        if item >= size:
            if saves(total + last_costs[item], least):
                least = total + last_costs[item]
                for i in range(size):
                    picks[i] = kept[i]
                picks[size] = item
            place = size - 1
            if cost >= kept_costs[place]:
                continue
            total -= kept_costs[place]
        total += cost
        while place > 0 and cost < kept_costs[place - 1]:
            kept[place], kept_costs[place] = kept[place - 1], kept_costs[place - 1]
            place -= 1
        kept[place], kept_costs[place] = item, cost
    return least


@inner
def solve(items: Floats, budgets: Floats, picks: Codes, rival: float, ceiling: float) -> tuple[int, float, bool]:
    """Write the best split within its caps to `picks`; return the cap that leaves none, its cost, if proven.

    `picks` holds the best without caps. The cost is infinite where it is found to be above `ceiling`.
    """
    trial, prices, best = np.empty(picks.size, np.int64), np.empty(CAPS), inf
    prices[0] = prices[1] = 0.0
    for i in range(picks.size):
        trial[i] = picks[i]
    has_both = budgets[0] < inf and budgets[1] < inf
    for turn in range(PRICE_TURNS if has_both else CAPS):
        cap = turn % CAPS
        if budgets[cap] < inf:
            is_possible, bound, best = _find_price(items, budgets, prices, cap, trial, picks, best, ceiling)
            if not is_possible:
                return _limits.CARBON_CAP + cap, inf, True
            if saves(ceiling, bound):
                return _limits.NONE, inf, True
    if best == inf and has_both:
        is_possible, best = _meet_both(items, budgets, trial, picks)
        if not is_possible:
            return _limits.MAX_PRICE, inf, True
    best, is_proven = _branch(items, budgets, prices, trial, picks, best, rival)
    return (_limits.MAX_PRICE if best == inf else _limits.NONE), best, is_proven


@inner
def _taken(values: Floats, last_values: Floats, picks: Codes) -> float:
    """Return the cost or load of a split."""
    taken: float = last_values[picks[picks.size - 1]]
    for i in range(picks.size - 1):
        taken += values[picks[i]]
    return taken


@inner
def is_within(items: Floats, budgets: Floats, picks: Codes) -> bool:
    """Return whether a split keeps to all caps."""
    is_within = True
    for cap in range(CAPS):
        taken = _taken(items[WHOLE, 1 + cap], items[LAST, 1 + cap], picks)
        is_within = is_within and taken <= budgets[cap]
    return is_within


@inner
def _keep(items: Floats, budgets: Floats, trial: Codes, picks: Codes, best: float) -> float:
    """Return the lower of `best` and what a split costs that keeps to all caps; the better one is in `picks`."""
    cost = _taken(items[WHOLE, COST], items[LAST, COST], trial)
    if not saves(cost, best) or not is_within(items, budgets, trial):
        return best
    for i in range(picks.size):
        picks[i] = trial[i]
    return cost


@inner
def _priced(items: Floats, prices: Floats) -> Floats:
    """Return (PARTS, items): each cost with what the loads cost at the prices of the caps."""
    priced = np.empty((PARTS, items.shape[2]))
    for part in range(PARTS):
        for item in range(items.shape[2]):
            loads = prices[0] * items[part, 1, item] + prices[1] * items[part, 2, item]
            priced[part, item] = items[part, COST, item] + loads
    return priced


@inner
def _find_price(
    items: Floats,
    budgets: Floats,
    prices: Floats,
    cap: int,
    trial: Codes,
    picks: Codes,
    best: float,
    ceiling: float,
) -> tuple[bool, float, float]:
    """Price a cap where the bound is highest, or above `ceiling`; return if it can be kept, bound and best cost.

    The bound is the least of lines: cost + price x excess, one for each split. Between a split that exceeds the cap
    and one that keeps to it, the next to try is where their lines cross. Splits within all caps are kept.
    """
    prices[cap] = bound = low_cost = low_excess = high_cost = high_excess = 0.0
    unpriced, rent = _priced(items, prices), _rent(prices, budgets)  # at the price of the other cap alone
    loads, last_loads = items[WHOLE, 1 + cap], items[LAST, 1 + cap]
    for step in range(2 + PRICE_STEPS):
        if step == 1:  # the split that takes least
            scan(loads, last_loads, trial)
        else:  # the cheapest, first at no price
            if step > 1:
                prices[cap] = (high_cost - low_cost) / (low_excess - high_excess)
            priced = _priced(items, prices)
            scan(priced[WHOLE], priced[LAST], trial)
        best, cost = _keep(items, budgets, trial, picks, best), _taken(unpriced[WHOLE], unpriced[LAST], trial)
        excess = _taken(loads, last_loads, trial) - budgets[cap]
        if step != 1:
            bound = cost + prices[cap] * excess - rent
        if step == 1 and excess > 0:
            return False, bound, best
        is_highest = step > 1 and not saves(bound, low_cost + prices[cap] * low_excess - rent)
        if (step == 0 and excess <= 0) or is_highest or saves(ceiling, bound):
            break
        if excess > 0:
            low_cost, low_excess = cost, excess
        else:
            high_cost, high_excess = cost, excess
    return True, bound, best


@inner
def _rent(prices: Floats, budgets: Floats) -> float:
    """Return what the budgets are worth at the prices of the caps."""
    rent = 0.0
    for cap in range(CAPS):
        rent += prices[cap] * budgets[cap] if prices[cap] > 0 else 0.0
    return rent


@inner
def _meet_both(items: Floats, budgets: Floats, trial: Codes, picks: Codes) -> tuple[bool, float]:
    """Look for a split within both caps: the least load of one under the other; return whether one can exist."""
    probe, prices, money = items.copy(), np.empty(CAPS), budgets.size - 1
    prices[0] = 0.0
    for part in range(PARTS):
        for item in range(items.shape[2]):
            probe[part, COST, item] = items[part, 1, item]
    _, _, load = _find_price(probe, budgets, prices, money, trial, picks, inf, inf)
    if load < inf:
        return True, _taken(items[WHOLE, COST], items[LAST, COST], picks)
    priced = _priced(probe, prices)
    return scan(priced[WHOLE], priced[LAST], trial) - prices[money] * budgets[money] <= budgets[0], inf


@inner
def _branch(
    items: Floats, budgets: Floats, prices: Floats, trial: Codes, picks: Codes, best: float, rival: float
) -> tuple[float, bool]:
    """Improve the best split by trying each whose bound is below it; return its cost, and whether it is proven.

    For each last half hour, those before it are taken in order of their priced cost: then the bound of what comes
    next only rises, and the first that is too high ends the row. What cannot beat `rival` need not be proven.
    """
    size, nodes, spare = picks.size - 1, MOST_NODES, SPARE_NODES
    priced, rent = _priced(items, prices), _rent(prices, budgets)
    costs = priced[WHOLE]
    ranked = np.empty(costs.size, np.int64)
    for last in range(costs.size):
        bound = fixed = priced[LAST, last] - rent
        for rank in range(size if last >= size else 0):
            bound += costs[ranked[rank]]
        if last >= size and saves(bound, best):
            trial[size], is_rival = last, saves(bound, rival)
            left = nodes if is_rival else spare
            best, left = _branch_before(items, budgets, ranked[:last], costs, fixed, trial, picks, best, left)
            nodes, spare = (left, spare) if is_rival else (nodes, left)
        place = last
        while place > 0 and costs[last] < costs[ranked[place - 1]]:
            ranked[place] = ranked[place - 1]
            place -= 1
        ranked[place] = last
    return best, nodes > 0


@inner
def _branch_before(
    items: Floats,
    budgets: Floats,
    ranked: Codes,
    costs: Floats,
    fixed: float,
    trial: Codes,
    picks: Codes,
    best: float,
    nodes: int,
) -> tuple[float, int]:
    """Try the splits whose last half hour is that of `trial`; return the best cost and the nodes left.

    `ranks` are the places in `ranked` taken so far; row n of `sums` is what the last and n of them cost and take.
    """
    size, last = trial.size - 1, trial[trial.size - 1]
    ahead, ranks, sums = _ahead(items, ranked, costs), np.empty(size, np.int64), np.empty((size + 1, ROWS))
    sums[0, COST], sums[0, 1], sums[0, 2] = fixed, items[LAST, 1, last], items[LAST, 2, last]
    depth = rank = 0
    while depth >= 0:
        left = size - depth
        if nodes == 0 or rank + left > ranked.size or not _is_worth(sums[depth], ahead, rank, left, budgets, best):
            depth -= 1
            rank = ranks[depth] + 1 if depth >= 0 else 0
            continue
        nodes -= 1
        taken = ranked[rank]
        ranks[depth], trial[depth] = rank, taken
        sums[depth + 1, COST] = sums[depth, COST] + costs[taken]
        for row in range(1, ROWS):
            sums[depth + 1, row] = sums[depth, row] + items[WHOLE, row, taken]
        rank += 1
        if left > 1:
            depth += 1
        else:
            best = _keep(items, budgets, trial, picks, best)
    return best, nodes


@inner
def _ahead(items: Floats, ranked: Codes, costs: Floats) -> Floats:
    """Return (ranks + 1, ROWS): the priced costs summed up to each rank, and the least load from there on."""
    size = ranked.size
    ahead = np.empty((size + 1, ROWS))
    ahead[0, COST] = 0.0
    for rank in range(size):
        ahead[rank + 1, COST] = ahead[rank, COST] + costs[ranked[rank]]
    for row in range(1, ROWS):
        ahead[size, row] = inf
        for rank in range(size - 1, -1, -1):
            load, least = items[WHOLE, row, ranked[rank]], ahead[rank + 1, row]
            ahead[rank, row] = load if load < least else least
    return ahead


@inner
def _is_worth(sums: Floats, ahead: Floats, rank: int, left: int, budgets: Floats, best: float) -> bool:
    """Return whether the next `left` in rank could give a better split, and the least loads could keep the caps."""
    is_worth = saves(sums[COST] + ahead[rank + left, COST] - ahead[rank, COST], best)
    for row in range(1, ROWS):
        is_worth = is_worth and sums[row] + left * ahead[rank, row] <= budgets[row - 1]
    return is_worth
