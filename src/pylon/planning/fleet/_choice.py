"""The cheapest place of one job: over all its sites, beside staying where it is, below what it is worth."""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pylon.planning._compiled import inlined
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import GPUS, HOURS, POWER, SLACK, Cells
from pylon.planning.fleet._field import Push, price_row
from pylon.planning.fleet._option import BEST, PICKS, Record, Scratch, cheapest, cost_of
from pylon.planning.fleet._problem import Codes

__all__ = ["Floors", "choose", "falls_of"]

STRETCH: Final = 4
"""Half hours whose falls are known together."""


class Floors(NamedTuple):
    """What each job costs at least at each site at some prices, and where it stands now."""

    gbp: Floats
    """(N, D), with migration and without leaving; infinite where the job cannot run."""
    order: NDArray[np.int16]
    """(N, D). The sites of each job, cheapest first."""
    rates: Floats
    """(2, D, T) GBP per MWh and per GPU hour: the scarcity that `gbp` holds at, beside the field."""
    present: Codes
    """Where each job stands now, by `offset`."""
    may_stay: NDArray[np.bool_]
    """(N,). Whether its present place is within its limits."""


def falls_of(floors: Floors, rates: Floats) -> Floats:
    """Return (2, D, T / STRETCH): by how much a MWh and a GPU hour cost less at most than at the floors."""
    fallen = np.maximum(floors.rates - rates, 0.0)
    falls: Floats = np.maximum.reduceat(fallen, np.arange(0, fallen.shape[2], STRETCH), axis=2)
    return falls


@inlined
def choose(
    j: int,
    job: Record,
    guess: int,
    floors: Floors,
    falls: Floats,
    cells: Cells,
    prices: Floats,
    load: Floats,
    push: Push,
    scratch: Scratch,
    by_bound: bool,
) -> tuple[float, int]:
    """Return the least cost and its site, -1 where the value is less; the half hours are in `BEST` of `scratch`.

    Of equals the `guess` stays. A site whose floor, less its `falls` since, is no less is passed by.
    """
    gbp, least, chosen = floors.gbp, job.value, -1
    for i in range(-1, floors.order.shape[1]):
        site = guess if i < 0 else floors.order[j, i]
        if site < 0 or (i >= 0 and site == guess) or gbp[j, site] == inf:
            continue
        floor = -inf if i < 0 else gbp[j, site] - _fallen(job, site, falls, cells)
        if floor >= least:
            gbp[j, site] = floor if by_bound else gbp[j, site]
            continue
        price_row(job, site, cells, prices, load, push, scratch)
        moved = job.migration if site != job.origin else 0.0
        if site == job.present and floors.may_stay[j]:
            cost = cost_of(job, floors.present, scratch) + moved
            if cost < least:
                least, chosen = cost, site
                _keep_best(scratch, job)
        bound, value = cheapest(job, site, cells, scratch)
        gbp[j, site] = bound + moved if by_bound else gbp[j, site]
        cost = (bound if by_bound else value) + moved + job.leaving
        if cost < least:
            least, chosen = cost, site
            _keep_best(scratch, job)
    return least, chosen


@inlined
def _fallen(job: Record, site: int, falls: Floats, cells: Cells) -> float:
    """Return by how much less the job may cost at a site than its floor."""
    a_mwh, a_gpu_hour = 0.0, 0.0
    for i in range(job.first // STRETCH, (job.end - 1) // STRETCH + 1):
        a_mwh = max(a_mwh, falls[POWER, site, i])
        a_gpu_hour = max(a_gpu_hour, falls[GPUS, site, i])
    an_hour = job.power * cells.pue[site] * a_mwh + job.gpus * a_gpu_hour
    fallen: float = HOURS * job.length * an_hour + SLACK
    return fallen


@inlined
def _keep_best(scratch: Scratch, job: Record) -> None:
    for i in range(job.length):
        scratch.slots[BEST, i] = scratch.slots[PICKS, i]
