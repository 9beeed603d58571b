"""The bound: what all jobs cost at least when each chooses alone at the prices given, less the worth of the room.

For prices of 0 or more no plan costs less (Lagrangian duality; a half hour too small for a job alone is closed to
it, since no plan can cut a job in two). What each job costs at each site at the last prices is kept as a floor.
As it is known how far prices have fallen since, most sites need not be looked at again.
"""

from __future__ import annotations

from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pylon.planning._compiled import compiled, inlined
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import (
    COST,
    FALL,
    HOURS,
    RISE,
    Cells,
    Records,
    total_of,
)
from pylon.planning.fleet._choice import Floors, choose, falls_of
from pylon.planning.fleet._field import Push, price_row, rates_of
from pylon.planning.fleet._option import cheapest, scratch_for
from pylon.planning.fleet._problem import Codes, Flags

__all__ = ["ask", "floors"]

ALONE: Final = Push(0.0, 0.0, 0.0, 0.0, True)
"""How a job sees a field that nothing else takes room of."""


def floors(
    records: Records, allowed: Flags, cells: Cells, prices: Floats | None = None
) -> tuple[Floats, NDArray[np.int16]]:
    """Return what each job costs at least at each site, and its sites in that order: (N, D) each.

    With migration and without leaving its present place; at no scarcity, or at prices (4, D, T).
    """
    shape = (records.size, cells.pue.size)
    gbp, order = np.full(shape, inf), np.zeros(shape, np.int16)
    if prices is None:
        prices = np.zeros_like(cells.limits)
    _floors(records, allowed, _priced(cells, prices), prices, _nothing(cells), ALONE, gbp, order)
    return gbp, order


def ask(
    records: Records, cells: Cells, prices: Floats, least: Floors, guesses: Codes | None = None
) -> tuple[float, Floors]:
    """Return the lower bound in GBP at prices (4, D, T) of 0 or more, and the floors at these prices.

    `guesses` (N,) are sites to look at first. Only speed depends on them, and on the floors given, of any prices.
    """
    rates = rates_of(cells, prices, _nothing(cells), ALONE)
    first = np.full(records.size, -1, np.int64) if guesses is None else guesses
    gbp, order, costs = least.gbp.copy(), least.order.copy(), np.zeros(records.size)
    now = least._replace(gbp=gbp, order=order)
    field, load, falls = _priced(cells, prices), _nothing(cells), falls_of(least, rates)
    _ask(records, field, prices, load, ALONE, now, falls, first, costs)
    worth = HOURS * total_of(prices * np.where(prices > 0, cells.limits, 0.0))
    return total_of(costs) - worth, now._replace(rates=rates)


def _priced(cells: Cells, prices: Floats) -> Cells:
    """Return the field with prices in place of ramp limits: paid for a rise into a half hour, earned out."""
    if not cells.has_ramps:
        return cells
    field, net = cells.field.copy(), prices[RISE] - prices[FALL]
    field[COST, :, :-1] -= net
    field[COST, :, 1:-1] += net[:, :-1]
    return cells._replace(field=field, has_ramps=False)


def _nothing(cells: Cells) -> Floats:
    """Return the load of nobody."""
    return np.zeros_like(cells.limits[:2])


@compiled
def _floors(
    records: Records,
    allowed: Flags,
    cells: Cells,
    prices: Floats,
    load: Floats,
    push: Push,
    gbp: Floats,
    order: NDArray[np.int16],
) -> None:
    scratch = scratch_for(load.shape[2])
    for j in range(records.size):
        job = records[j]
        for site in range(order.shape[1]):
            if allowed[j, site]:
                price_row(job, site, cells, prices, load, push, scratch)
                moved = job.migration if site != job.origin else 0.0
                gbp[j, site] = cheapest(job, site, cells, scratch)[0] + moved
            order[j, site] = site
        _rank(gbp[j], order[j])


@compiled
def _ask(
    records: Records,
    cells: Cells,
    prices: Floats,
    load: Floats,
    push: Push,
    least: Floors,
    falls: Floats,
    guesses: Codes,
    costs: Floats,
) -> None:
    scratch = scratch_for(load.shape[2])
    for j in range(records.size):
        costs[j] = choose(j, records[j], guesses[j], least, falls, cells, prices, load, push, scratch, True)[0]
        _rank(least.gbp[j], least.order[j])


@inlined
def _rank(gbp: Floats, order: NDArray[np.int16]) -> None:
    """Put sites in the order of what they cost; of equals keep theirs."""
    for i in range(1, order.size):
        site, place = order[i], i
        while place > 0 and gbp[site] < gbp[order[place - 1]]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = site
