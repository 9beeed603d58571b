"""The cheapest option of one job at one site, where each half hour has its price: one piece, or split half hours.

`ROW` of the scratch says what the job costs in each half hour, infinite where it cannot run. In one piece the cost
of every start is a difference of prefix sums. A split that ends with a given half hour takes the cheapest before
it, which one scan keeps in a sorted buffer. A cap on money is met by raising the price of money (a Lagrange
multiplier).
"""

from __future__ import annotations

from math import inf
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from pylon.planning._compiled import inlined
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import (
    CARBON,
    CARBON_SUM,
    HOURS,
    PRICE,
    PRICE_SUM,
    SLACK,
    Cells,
)
from pylon.planning.fleet._problem import Codes

__all__ = ["BEGIN", "BEST", "FINISH", "PICKS", "ROW", "Record", "Scratch", "cheapest", "cost_of", "scratch_for"]

Record: TypeAlias = Any
"""One row of `JOB`."""

MONEY_STEPS: Final = 30  # the price of money has needed 9 at most


ROW, BEGIN, FINISH, SUMS, PRICED, MONEY, KEPT_GBP = range(7)
"""GBP of the job in each half hour; GBP more where it begins there, and where it ends there (ramp limits); and what
the search for an option writes down."""
PICKS, BEST, KEPT, WITHIN = range(4)
"""Half hours: of the option found last, of the best of several, of a scan, and within a cap on money."""


class Scratch(NamedTuple):
    """What is written anew for each job and site."""

    gbp: Floats
    """(7, T + 1) by `ROW` and the names after it."""
    slots: Codes
    """(4, T) by `PICKS` and the names after it."""


@inlined
def scratch_for(half_hours: int) -> Scratch:
    """Return scratch for a field of so many half hours."""
    return Scratch(np.zeros((7, half_hours + 1)), np.zeros((4, half_hours), np.int64))


@inlined
def cheapest(job: Record, site: int, cells: Cells, scratch: Scratch) -> tuple[float, float]:
    """Return a lower bound and the cost of the option now in `picks`; infinite when there is none.

    The two differ only for a split under a cap on money.
    """
    if not job.splits:
        cost = _in_one_piece(job, site, cells, scratch)
        return cost, cost
    if job.carbon_cap < inf:
        for t in range(job.first, job.end):
            if cells.field[CARBON, site, t] > job.carbon_cap + SLACK:
                scratch.gbp[ROW, t] = inf
    cost = _scan(ROW, job, job.wait, scratch)
    if job.max_price < inf and cost < inf:
        return _within_money(job, site, cells, cost, scratch)
    return cost, cost


@inlined
def _in_one_piece(job: Record, site: int, cells: Cells, scratch: Scratch) -> float:
    """Return the cost of the cheapest start; of equals the earliest."""
    first, end, length, wait = job.first, job.end, job.length, job.wait
    gbp, sums = scratch.gbp[ROW, first:end], scratch.gbp[SUMS, first : end + 1]
    begins, finishes = scratch.gbp[BEGIN, first:end], scratch.gbp[FINISH, first:end]
    carbon, money = cells.field[CARBON_SUM, site, first : end + 1], cells.field[PRICE_SUM, site, first : end + 1]
    carbon_most = length * job.carbon_cap + SLACK
    price_most = (job.max_price + SLACK) / (HOURS * job.power * cells.pue[site])
    least, chosen, clear, total = inf, -1, length - 1, 0.0
    sums[0] = 0.0
    for i in range(end - first):
        if gbp[i] == inf:
            clear = i + length
        else:
            total += gbp[i]
        sums[i + 1] = total
        if i < clear:
            continue
        begin = i + 1 - length
        cost = total - sums[begin] + wait * begin + begins[begin] + finishes[i]
        if (
            cost < least
            and carbon[i + 1] - carbon[begin] <= carbon_most
            and money[i + 1] - money[begin] <= price_most
        ):
            least, chosen = cost, first + begin
    if chosen >= 0:
        for i in range(length):
            scratch.slots[PICKS, i] = chosen + i
    return least


@inlined
def _scan(row: int, job: Record, wait: float, scratch: Scratch) -> float:
    """Return the cost of the cheapest split in that row; of equals the one that ends first."""
    first, end, size = job.first, job.end, job.length - 1
    gbp, kept_gbp = scratch.gbp[row, first:end], scratch.gbp[KEPT_GBP]
    picks, kept = scratch.slots[PICKS], scratch.slots[KEPT]
    least, total, held = inf, 0.0, 0
    for i in range(end - first):
        cost = gbp[i]
        if cost == inf:
            continue
        if held == size:
            whole = total + cost + wait * (i - size)
            if whole < least:
                least = whole
                for k in range(size):
                    picks[k] = kept[k]
                picks[size] = first + i
            if cost >= kept_gbp[size - 1]:
                continue
            total -= kept_gbp[size - 1]
            held -= 1
        total += cost
        place = held
        while place > 0 and cost < kept_gbp[place - 1]:
            kept[place], kept_gbp[place] = kept[place - 1], kept_gbp[place - 1]
            place -= 1
        kept[place], kept_gbp[place] = first + i, cost
        held += 1
    return least


@inlined
def _within_money(job: Record, site: int, cells: Cells, cost: float, scratch: Scratch) -> tuple[float, float]:
    """Return the highest bound over all prices of money, and the best split found that keeps to the cap.

    The bound is the least of lines, cost + price x (money - cap), one for each split. Between a split that costs
    too much money and one that does not, the next price to try is where their lines cross.
    """
    gbp, budget, power = scratch.gbp, job.max_price + SLACK, job.power * cells.pue[site]
    for t in range(job.first, job.end):
        gbp[MONEY, t] = HOURS * power * cells.field[PRICE, site, t] if gbp[ROW, t] < inf else inf
    spent = _picked(MONEY, job, scratch)
    if spent <= budget:
        return cost, cost
    bound, over_gbp, over_spent = cost, cost, spent
    if _scan(MONEY, job, 0.0, scratch) > budget:
        return inf, inf
    under_gbp, under_spent = _picked_gbp(job, scratch), _picked(MONEY, job, scratch)
    value = under_gbp
    _copy(scratch, PICKS, WITHIN, job)
    for _ in range(MONEY_STEPS):
        theta = (under_gbp - over_gbp) / (over_spent - under_spent)
        for t in range(job.first, job.end):
            gbp[PRICED, t] = gbp[ROW, t] + theta * gbp[MONEY, t] if gbp[ROW, t] < inf else inf
        least = _scan(PRICED, job, job.wait, scratch)
        bound = max(bound, least - theta * budget)
        if least >= over_gbp + theta * over_spent - SLACK:
            break
        cost, spent = _picked_gbp(job, scratch), _picked(MONEY, job, scratch)
        if spent > budget:
            over_gbp, over_spent = cost, spent
            continue
        under_gbp, under_spent = cost, spent
        if cost < value:
            value = cost
            _copy(scratch, PICKS, WITHIN, job)
    _copy(scratch, WITHIN, PICKS, job)
    return bound, value


@inlined
def cost_of(job: Record, slots: Codes, scratch: Scratch) -> float:
    """Return what the job costs in half hours in order of time, at the prices now in `scratch`."""
    for i in range(job.length):
        scratch.slots[PICKS, i] = slots[job.offset + i]
    cost = _picked_gbp(job, scratch)
    if not job.splits:
        cost += scratch.gbp[BEGIN, scratch.slots[PICKS, 0]]
        cost += scratch.gbp[FINISH, scratch.slots[PICKS, job.length - 1]]
    return cost


@inlined
def _picked_gbp(job: Record, scratch: Scratch) -> float:
    """Return what the half hours in `PICKS` cost with the wait; their last in time is in the last place."""
    wait: float = job.wait * (scratch.slots[PICKS, job.length - 1] + 1 - job.length - job.first)
    return _picked(ROW, job, scratch) + wait


@inlined
def _picked(row: int, job: Record, scratch: Scratch) -> float:
    total: float = 0.0
    for i in range(job.length):
        total += scratch.gbp[row, scratch.slots[PICKS, i]]
    return total


@inlined
def _copy(scratch: Scratch, of: int, to: int, job: Record) -> None:
    for i in range(job.length):
        scratch.slots[to, i] = scratch.slots[of, i]
