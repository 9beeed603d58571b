"""One pass: job after job leaves its place and takes the cheapest at the prices of that moment.

This is block-coordinate descent on the augmented Lagrangian of the room and the ramps. In a hard pass no half hour
is taken beyond its room, and a job that finds nothing stays where it was.
"""

from __future__ import annotations

from typing import Final

from pylon.planning._compiled import compiled, inner
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import (
    FALL,
    GPUS,
    HOURS,
    POWER,
    RISE,
    SLACK,
    Cells,
    Records,
    Standing,
)
from pylon.planning.fleet._choice import Floors, choose, falls_of
from pylon.planning.fleet._field import Push, rates_of
from pylon.planning.fleet._option import BEST, Record, scratch_for
from pylon.planning.fleet._problem import Codes

__all__ = ["TERMS", "sweep", "terms_of", "weigh"]

TERMS: Final = ("energy", "carbon", "stress", "migration", "wait", "leaving", "lost")
MIGRATION, WAIT, LEAVING, LOST = 3, 4, 5, 6


def sweep(
    records: Records,
    order: Codes,
    cells: Cells,
    prices: Floats,
    push: Push,
    floors: Floors,
    standing: Standing,
) -> int:
    """Let each job of `order` choose anew in `standing`; return how many moved."""
    weigh(records, cells, standing)
    # How prices fall during the pass is seen in the next one.
    falls = falls_of(floors, rates_of(cells, prices, standing.load, push))
    moved: int = _sweep(records, order, cells, prices, push, floors, falls, standing)
    return moved


@compiled
def weigh(records: Records, cells: Cells, standing: Standing) -> None:
    """Add up afresh what the jobs take, without the rounding of many small steps."""
    standing.load[:] = 0.0
    for j in range(records.size):
        if standing.site[j] >= 0:
            _load(standing, j, records[j], cells, 1.0)


@compiled
def _sweep(
    records: Records,
    order: Codes,
    cells: Cells,
    prices: Floats,
    push: Push,
    floors: Floors,
    falls: Floats,
    standing: Standing,
) -> int:
    scratch, moved = scratch_for(standing.load.shape[2]), 0
    for j in order:
        job, was = records[j], standing.site[j]
        if was >= 0:
            _load(standing, j, job, cells, -1.0)
            if push.is_hard and cells.has_ramps and _is_beyond_ramps(standing, job, was, cells):
                _load(standing, j, job, cells, 1.0)
                continue
        site = choose(j, job, was, floors, falls, cells, prices, standing.load, push, scratch, False)[1]
        if site >= 0 and _settle(standing, j, job, site, scratch.slots[BEST]):
            standing.calm[j] = 0
            moved += 1
        elif site < 0 and was >= 0 and not push.is_hard:
            standing.site[j], standing.calm[j] = -1, 0
            moved += 1
        else:
            standing.calm[j] += 1
        if standing.site[j] >= 0:
            _load(standing, j, job, cells, 1.0)
    return moved


@compiled
def terms_of(
    records: Records, terms: Floats, pue: Floats, floors: Floors, standing: Standing, sums: Floats
) -> None:
    """Add to `sums` what the jobs cost by each of `TERMS`; `terms` (3, D, T) are those of the field."""
    for j in range(records.size):
        job, site = records[j], standing.site[j]
        if site < 0:
            sums[LOST] += job.value
            continue
        slots = standing.slots[job.offset : job.offset + job.length]
        stayed = site == job.present
        for i in range(job.length):
            stayed = stayed and slots[i] == floors.present[job.offset + i]
            for term in range(3):
                sums[term] += HOURS * job.power * pue[site] * terms[term, site, slots[i]]
        if site != job.origin:
            sums[MIGRATION] += job.migration
        sums[WAIT] += job.wait * (slots[job.length - 1] + 1 - job.length - job.first)
        if not stayed:
            sums[LEAVING] += job.leaving


@inner
def _load(standing: Standing, j: int, job: Record, cells: Cells, sign: float) -> None:
    """Add the job to what is taken where it stands, or take it away."""
    site = standing.site[j]
    power = sign * job.power * cells.pue[site]
    for i in range(job.offset, job.offset + job.length):
        standing.load[POWER, site, standing.slots[i]] += power
        standing.load[GPUS, site, standing.slots[i]] += sign * job.gpus


@inner
def _settle(standing: Standing, j: int, job: Record, site: int, slots: Codes) -> bool:
    """Give the job its place, its half hours in order of time; return whether it is another than before."""
    is_new: bool = standing.site[j] != site
    for i in range(1, job.length):
        slot, place = slots[i], i
        while place > 0 and slot < slots[place - 1]:
            slots[place] = slots[place - 1]
            place -= 1
        slots[place] = slot
    for i in range(job.length):
        is_new = is_new or standing.slots[job.offset + i] != slots[i]
        standing.slots[job.offset + i] = slots[i]
    standing.site[j] = site
    return is_new


@inner
def _is_beyond_ramps(standing: Standing, job: Record, site: int, cells: Cells) -> bool:
    """Return whether a step beside the job's half hours exceeds its ramp limit."""
    taken, rise, fall = standing.load[POWER, site], cells.limits[RISE, site], cells.limits[FALL, site]
    for i in range(job.offset, job.offset + job.length):
        slot = standing.slots[i]
        for t in range(max(0, slot - 1), min(slot + 1, taken.size - 1)):
            step = taken[t + 1] - taken[t]
            if step > rise[t] + SLACK or -step > fall[t] + SLACK:
                return True
    return False
