"""From a problem to what the kernels work on: fixed jobs out of the room, jobs without an option set aside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import (
    CARBON,
    COST,
    HOURS,
    PRICE,
    SLACK,
    Cells,
    Records,
    Standing,
    nobody,
    read_cells,
    read_jobs,
    terms_of_field,
    total_of,
)
from pylon.planning.fleet._bound import floors
from pylon.planning.fleet._choice import Floors
from pylon.planning.fleet._method import Fleet, costs_of
from pylon.planning.fleet._pass import TERMS, weigh
from pylon.planning.fleet._problem import Codes, Flags, FleetProblem, Places

__all__ = ["Reading", "places_of", "read", "standing_of"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A problem, taken apart."""

    fleet: Fleet
    """The jobs that choose."""
    free: Codes
    """Which jobs these are, in an order of their own."""
    aside: Codes
    """Jobs that would not run if they were alone."""
    floors: Floats
    """(N, D). What each job costs at least at each site; infinite where it cannot run."""
    records: Records
    """Of all jobs."""
    allowed: Flags
    cells: Cells
    """What fixed jobs leave."""
    forced: Floats
    """GBP by `TERMS` of fixed jobs, and the value of those set aside."""


def read(problem: FleetProblem, *, by_content: bool = False) -> Reading:
    """Return the problem as the method needs it, its jobs as they come or in an order that is all their own."""
    records, allowed = read_jobs(problem)
    terms = terms_of_field(problem)[0]
    is_fixed = np.zeros(records.size, np.bool_) if problem.jobs.is_fixed is None else problem.jobs.is_fixed
    sequence = _by_content(records, allowed, problem.jobs.present) if by_content else np.arange(records.size)
    cells, forced = _without(problem, records, sequence[is_fixed[sequence]], terms)
    gbp, sites = floors(records, allowed & ~is_fixed[:, None], cells)
    # A job that costs more than it is worth may still run to fill a dip that a ramp limit forbids.
    most = np.inf if cells.has_ramps else records["value"]
    is_free = (gbp.min(axis=1, initial=np.inf) < most) & ~is_fixed
    free, aside = sequence[is_free[sequence]], np.flatnonzero(~is_free & ~is_fixed)
    forced[-1] += total_of(records["value"][aside])
    chosen, present = _part_of(records, free, problem.jobs.present)
    may_stay = _may_stay(chosen, allowed[free], present, cells)
    fleet = Fleet(
        chosen, cells, Floors(gbp[free], sites[free], np.zeros_like(cells.limits[:2]), present, may_stay), terms
    )
    return Reading(fleet, free, aside, gbp, records, allowed, cells, forced)


def places_of(problem: FleetProblem, reading: Reading, standing: Standing) -> Places:
    """Return the places of all jobs, from those of the jobs that chose."""
    offsets, present = problem.jobs.offsets, problem.jobs.present
    site, slots = np.full(offsets.size - 1, -1, np.int64), np.full(int(offsets[-1]), -1, np.int64)
    site[reading.free] = standing.site
    held = np.repeat(standing.site >= 0, reading.fleet.records["length"])
    slots[_slots_of(reading.records, reading.free)[held]] = standing.slots[held]
    if present is not None and problem.jobs.is_fixed is not None:
        fixed = np.flatnonzero(problem.jobs.is_fixed)
        site[fixed] = present.site[fixed]
        which = _slots_of(reading.records, fixed)
        slots[which] = present.slots[which]
    return Places(site=site, slots=slots, offsets=offsets)


def standing_of(reading: Reading, places: Places) -> Standing:
    """Return where the jobs that choose stand by these places of all jobs."""
    fleet = reading.fleet
    standing = nobody(fleet.records, fleet.cells)
    standing.site[:] = places.site[reading.free]
    standing.slots[:] = np.maximum(places.slots[_slots_of(reading.records, reading.free)], 0)
    weigh(fleet.records, fleet.cells, standing)
    return standing


def _by_content(records: Records, allowed: Flags, present: Places | None) -> Codes:
    """Return the jobs in an order that only they decide, so that the order they are given in does not matter."""
    keys = [*np.packbits(allowed, axis=1).T]
    keys += [records[name] for name in records.dtype.names or () if name != "offset"]
    if present is not None and records.size:
        keys.insert(0, np.add.reduceat(present.slots**3, present.offsets[:-1]))
    return np.lexsort(keys)


def _without(problem: FleetProblem, records: Records, which: Codes, terms: Floats) -> tuple[Cells, Floats]:
    """Return the field that fixed jobs leave, and what they cost."""
    cells = read_cells(problem)
    if not which.size:
        return cells, np.zeros(len(TERMS))
    fixed, present = _part_of(records, which, problem.jobs.present)
    standing = nobody(fixed, cells)._replace(site=fixed["present"].copy(), slots=present)
    weigh(fixed, cells, standing)
    nowhere = np.zeros((fixed.size, 0))
    least = Floors(
        nowhere, nowhere.astype(np.int16), np.zeros_like(cells.limits[:2]), present, np.zeros(fixed.size, np.bool_)
    )
    return read_cells(problem, standing), costs_of(Fleet(fixed, cells, least, terms), standing)


def _part_of(records: Records, which: Codes, present: Places | None) -> tuple[Records, Codes]:
    """Return some of the jobs with their half hours one after another, and where those stand now."""
    part = records[which]
    part["offset"] = np.cumsum(part["length"]) - part["length"]
    if present is None:
        return part, np.zeros(int(part["length"].sum()), np.int64)
    return part, present.slots[_slots_of(records, which)]


def _slots_of(records: Records, which: Codes) -> Codes:
    """Return where the half hours of these jobs are among those of all."""
    part = records[which]
    starts = np.cumsum(part["length"]) - part["length"]
    return np.repeat(part["offset"] - starts, part["length"]) + np.arange(int(part["length"].sum()))


def _may_stay(records: Records, allowed: Flags, slots: Codes, cells: Cells) -> Flags:
    """Return which jobs' present places are within their own limits; room is for the passes to see."""
    may = records["present"] >= 0
    if not may.any():
        return np.zeros(records.size, np.bool_)
    site, starts, length = np.maximum(records["present"], 0), records["offset"], records["length"]
    at = np.repeat(site, length), np.where(np.repeat(may, length), slots, 0)
    first, last = slots[starts], slots[starts + length - 1]
    carbon, price = cells.field[CARBON][at], cells.field[PRICE][at]
    dirtiest = np.where(
        records["splits"], np.maximum.reduceat(carbon, starts), np.add.reduceat(carbon, starts) / length
    )
    money = HOURS * records["power"] * cells.pue[site] * np.add.reduceat(price, starts)
    return np.asarray(
        may
        & np.logical_and.reduceat(np.isfinite(cells.field[COST][at]), starts)
        & allowed[np.arange(records.size), site]
        & (first >= records["first"])
        & (last < records["end"])
        & (records["splits"] | (last - first == length - 1))
        & (dirtiest <= records["carbon_cap"] + SLACK)
        & (money <= records["max_price"] + SLACK)
    )
