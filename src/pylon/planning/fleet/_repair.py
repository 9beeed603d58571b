"""From a standing that takes too much to one that keeps to all limits: jobs move, or go."""

from __future__ import annotations

import numpy as np

from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import (
    FALL,
    GPUS,
    POWER,
    RISE,
    SLACK,
    Cells,
    Records,
    Standing,
)
from pylon.planning.fleet._choice import Floors
from pylon.planning.fleet._field import Push
from pylon.planning.fleet._pass import sweep, weigh
from pylon.planning.fleet._problem import Codes, Flags

__all__ = ["HARD", "keep_to_limits", "over_limits"]

HARD = Push(0.0, 0.0, 0.0, 0.0, True)
"""A pass that takes nothing beyond its room."""

MOVES = 3  # passes that look for another place before jobs are dropped


def keep_to_limits(records: Records, cells: Cells, least: Floors, standing: Standing, prices: Floats) -> None:
    """Move jobs out of half hours that are taken beyond their room; drop those that find no other place."""
    smallest_first = np.argsort(records["power"] * records["length"], kind="stable")
    for _ in range(MOVES):
        weigh(records, cells, standing)
        order = smallest_first[_is_crowded(records, cells, standing)[smallest_first]]
        if not order.size:
            break
        sweep(records, order, cells, prices, HARD, least, standing)
    _drop(records, cells, standing)
    _clear(records, cells, standing)


def over_limits(cells: Cells, standing: Standing) -> Floats:
    """Return (4, D, T): by how much each limit is exceeded, negative where it is not."""
    over = -cells.limits
    over[:2] += standing.load
    if cells.has_ramps:
        change = np.diff(standing.load[POWER], axis=1)
        over[RISE, :, :-1] += change
        over[FALL, :, :-1] -= change
    return over


def _drop(records: Records, cells: Cells, standing: Standing) -> None:
    """In each half hour beyond its room drop the job of least value that alone cures it, or else the largest."""
    weigh(records, cells, standing)
    over = np.argwhere(over_limits(cells, standing)[:2] > SLACK).tolist()
    owners, places = _by_place(records, standing) if over else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    for resource, site, slot in over:
        place = site * cells.limits.shape[2] + slot
        jobs = owners[slice(*np.searchsorted(places, (place, place + 1)))]
        while (excess := standing.load[resource, site, slot] - cells.limits[resource, site, slot]) > SLACK:
            jobs = jobs[standing.site[jobs] >= 0]
            needs = records["power"][jobs] * cells.pue[site] if resource == POWER else records["gpus"][jobs]
            cures = jobs[needs >= excess - SLACK]
            worst = cures[np.argmin(records["value"][cures])] if cures.size else jobs[np.argmax(needs)]
            standing.site[worst] = -1
            job = records[worst]
            slots = standing.slots[job["offset"] : job["offset"] + job["length"]]
            standing.load[POWER, site, slots] -= job["power"] * cells.pue[site]
            standing.load[GPUS, site, slots] -= job["gpus"]
    weigh(records, cells, standing)


def _clear(records: Records, cells: Cells, standing: Standing) -> None:
    """Empty the sites that still exceed a ramp limit; hard passes fill them again."""
    over: Flags = np.any(over_limits(cells, standing) > SLACK, axis=(0, 2))
    standing.site[(standing.site >= 0) & over[standing.site]] = -1
    weigh(records, cells, standing)


def _owners(records: Records) -> Codes:
    return np.repeat(np.arange(records.size), records["length"])


def _is_crowded(records: Records, cells: Cells, standing: Standing) -> Flags:
    """Return (N,): whether a job stands in a half hour that is taken beyond its room."""
    over: Flags = np.any(over_limits(cells, standing)[:2] > SLACK, axis=0)
    owners = _owners(records)
    held = (standing.site[owners] >= 0) & over[standing.site[owners], standing.slots]
    crowded = np.zeros(records.size, np.bool_)
    crowded[owners[held]] = True
    return crowded


def _by_place(records: Records, standing: Standing) -> tuple[Codes, Codes]:
    """Return the job of each half hour that is held and which one of all sites' it is, in the order of these."""
    owners = _owners(records)
    held = np.flatnonzero(standing.site[owners] >= 0)
    places = standing.site[owners[held]] * standing.load.shape[2] + standing.slots[held]
    order = np.argsort(places, kind="stable")
    return owners[held[order]], places[order]
