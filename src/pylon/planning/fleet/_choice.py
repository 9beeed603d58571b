"""The cheapest place of one job: over all its sites, beside staying where it is, below what it is worth."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pylon.planning._compiled import inlined
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import Cells
from pylon.planning.fleet._field import Push, price_row
from pylon.planning.fleet._option import BEST, PICKS, Record, Scratch, cheapest, cost_of
from pylon.planning.fleet._problem import Codes

__all__ = ["Floors", "choose"]


class Floors(NamedTuple):
    """What each job costs at least at each site, whatever others do: at no scarcity."""

    gbp: Floats
    """(N, D), infinite where the job cannot run."""
    order: NDArray[np.int16]
    """(N, D). The sites of each job, cheapest first."""
    present: Codes
    """Where each job stands now, by `offset`."""
    may_stay: NDArray[np.bool_]
    """(N,). Whether its present place is within its limits."""


@inlined
def choose(
    j: int,
    job: Record,
    guess: int,
    floors: Floors,
    cells: Cells,
    prices: Floats,
    load: Floats,
    push: Push,
    scratch: Scratch,
    by_bound: bool,
) -> tuple[float, int]:
    """Return the least cost and its site, -1 where the value is less; the half hours are in `BEST` of `scratch`.

    The `guess` comes first, and of equals stays; then sites by their floor, until one is no less than the best.
    """
    least, chosen = job.value, -1
    for i in range(-1, floors.order.shape[1]):
        site = guess if i < 0 else floors.order[j, i]
        if site < 0 or (i >= 0 and site == guess):
            continue
        if floors.gbp[j, site] >= (inf if cells.has_ramps else least):
            if i < 0:
                continue
            break
        price_row(job, site, cells, prices, load, push, scratch)
        moved = job.migration if site != job.origin else 0.0
        if site == job.present and floors.may_stay[j]:
            cost = cost_of(job, floors.present, scratch) + moved
            if cost < least:
                least, chosen = cost, site
                _keep_best(scratch, job)
        bound, value = cheapest(job, site, cells, scratch)
        cost = (bound if by_bound else value) + moved + job.leaving
        if cost < least:
            least, chosen = cost, site
            _keep_best(scratch, job)
    return least, chosen


@inlined
def _keep_best(scratch: Scratch, job: Record) -> None:
    for i in range(job.length):
        scratch.slots[BEST, i] = scratch.slots[PICKS, i]
