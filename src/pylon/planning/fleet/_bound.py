"""The bound: what all jobs cost at least when each chooses alone at the prices given, less the worth of the room.

For prices of 0 or more no plan costs less (Lagrangian duality; a half hour too small for a job alone is closed to
it, since no plan can cut a job in two). Jobs are taken in 16 fixed blocks whose sums are added in order:
the same bytes with any number of threads.
"""

from __future__ import annotations

from math import inf
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from pylon.planning._compiled import in_blocks
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import COST, FALL, HOURS, RISE, Cells, Records, total_of
from pylon.planning.fleet._choice import Floors, choose
from pylon.planning.fleet._field import Push, price_row
from pylon.planning.fleet._option import cheapest, scratch_for
from pylon.planning.fleet._problem import Codes, Flags

__all__ = ["bound", "floors"]

BLOCKS: Final = 16

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


def bound(records: Records, cells: Cells, prices: Floats, least: Floors, guesses: Codes) -> float:
    """Return the lower bound in GBP at prices (4, D, T) of 0 or more.

    `guesses` (N,) are sites to look at first; only speed depends on them.
    """
    if cells.has_ramps:  # their prices may be earned, so that a floor is none
        least = least._replace(gbp=np.where(np.isfinite(least.gbp), -inf, inf))
    sums = np.zeros(BLOCKS)
    _least_costs(records, _priced(cells, prices), prices, _nothing(cells), ALONE, least, guesses, sums)
    return total_of(sums) - HOURS * total_of(prices * np.where(prices > 0, cells.limits, 0.0))


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


@in_blocks
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
    sites = cells.pue.size
    for block in numba.prange(BLOCKS):
        scratch = scratch_for(load.shape[2])
        for j in range(block * records.size // BLOCKS, (block + 1) * records.size // BLOCKS):
            job = records[j]
            for site in range(sites):
                if allowed[j, site]:
                    price_row(job, site, cells, prices, load, push, scratch)
                    moved = job.migration if site != job.origin else 0.0
                    gbp[j, site] = cheapest(job, site, cells, scratch)[0] + moved
                place = site
                while place > 0 and gbp[j, site] < gbp[j, order[j, place - 1]]:
                    order[j, place] = order[j, place - 1]
                    place -= 1
                order[j, place] = site


@in_blocks
def _least_costs(
    records: Records,
    cells: Cells,
    prices: Floats,
    load: Floats,
    push: Push,
    least: Floors,
    guesses: Codes,
    sums: Floats,
) -> None:
    for block in numba.prange(BLOCKS):
        scratch, total = scratch_for(load.shape[2]), 0.0
        for j in range(block * records.size // BLOCKS, (block + 1) * records.size // BLOCKS):
            job = records[j]
            total += choose(j, job, guesses[j], least, cells, prices, load, push, scratch, True)[0]
        sums[block] = total
