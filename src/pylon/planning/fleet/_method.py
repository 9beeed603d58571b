"""The method: prices by passes that raise them where room is short, then a plan that keeps to every limit.

Where nothing is short, every job has its cheapest place, and that is all. Else:

1. Warm-up, on a sample of a large fleet: a pass, prices up by rho x (taken - room), the bound at these prices; with
   large steps first, smaller ones as the bound stalls.
2. Polishing: passes of all jobs, and a growing price kappa of what is above the room.
3. What is still above the room moves, or goes; then hard passes improve the plan within all limits. So they do with
   the places that jobs have now: no plan is worse than what stands, where that is still possible.

No clock, no chance and no solver: the same problem gives the same plan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

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
    copy_of,
    nobody,
    total_of,
)
from pylon.planning.fleet._bound import ask
from pylon.planning.fleet._choice import Floors
from pylon.planning.fleet._field import Push
from pylon.planning.fleet._pass import TERMS, sweep, terms_of, weigh
from pylon.planning.fleet._problem import Codes
from pylon.planning.fleet._repair import HARD, keep_to_limits, over_limits

__all__ = ["Fleet", "Solved", "costs_of", "place_greedily", "solve"]

Progress = Callable[[str, int, int], None]

STEP_GBP_MWH: Final = 0.1  # what one average job adds to a price: the accuracy of the method
BOOST: Final = 1000.0  # the first steps are so much larger
WARM_BOOST: Final = 5.0  # from the prices of a standing plan
DECAY: Final = 0.6
GAIN: Final = 0.001
MOST_WARM_UPS: Final = 60
WHOLE: Final = 20_000  # of a fleet above this a sample is asked
SAMPLE: Final = 5_000
SAMPLE_ERROR: Final = 0.01  # of a price: what a sample may be wrong by
AFTER_SAMPLE: Final = (0.0, 0.0, 0.0, 0.0)  # passes more, before those of every fleet
KAPPAS: Final = (0.0, 0.0, 0.0, 5.0, 15.0, 50.0, 150.0)  # GBP/MWh
FEW: Final = 3_000  # jobs so large that which of them fit together matters more than prices
FEW_KAPPAS: Final = (0.0, 0.0, 0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
FEW_STEPS: Final = (1.0, 3.0, 10.0, 30.0, 100.0) * 8  # one plan is made with each; the best is kept
RAMP_KAPPAS: Final = (0.0, 0.0, 5.0, 20.0, 80.0, 320.0, 1280.0)
MOST_PRESSES: Final = 10
PLACES: Final = 6  # of the prices that are kept
GUIDES: Final = (1.0, 0.7, 0.0)  # share of the prices that leads the hard passes
STRIDES: Final = (7919, 104_729, 15_485_863, 32_452_843, 49_979_687)
SETTLED: Final = 2  # a job that stayed for so many passes is not asked again


class Fleet(NamedTuple):
    """Jobs that have an option, and the field they choose in."""

    records: Records
    cells: Cells
    floors: Floors
    terms: Floats
    """(3, D, T) GBP/MWh that the field is made of."""


class Priced(NamedTuple):
    """Prices, the bound at them, and what each job costs at least at each site at them or at others."""

    prices: Floats
    bound_gbp: float
    least: Floors


@dataclass(frozen=True, slots=True)
class Solved:
    """A standing that keeps to all limits, and the prices whose bound is highest."""

    standing: Standing
    prices: Floats
    """(4, D, T)."""
    bound_gbp: float


def solve(fleet: Fleet, start: Floats, progress: Progress, is_quick: bool = False) -> Solved:
    """Return the best plan found, led by the prices of `start`; when quick, the first of what would be many."""
    records = fleet.records
    if not records.size:
        return Solved(nobody(records, fleet.cells), np.zeros_like(fleet.cells.limits), 0.0)
    unhindered = _unhindered(fleet)
    if unhindered is not None:
        return unhindered
    orders, rho = _orders(records.size), _rho(records, fleet.cells)
    first, standing = _find_prices(fleet, start, orders, progress)
    if standing is None:
        standing = nobody(records, fleet.cells)
        _pass(fleet, _biggest_first(records), first, _push(rho), standing)
    steps = FEW_STEPS if records.size <= FEW and not is_quick else (1.0,)
    best, best_gbp, proof = standing, math.inf, first
    for turn, step in enumerate(steps):
        progress("plan", turn, len(steps))
        trial = copy_of(best if turn % 4 else standing)  # most begin with the best, some afresh
        found = _polish(fleet, trial, first, step * rho, orders)
        trials = [trial] if turn else [trial, *_other_starts(fleet, found)]
        for one in trials:
            keep_to_limits(records, fleet.cells, found.least, one, found.prices)
            gbp = _improve(fleet, one, found, orders)
            if gbp < best_gbp:
                best, best_gbp = one, gbp
        proof = max(proof, found, key=lambda one: one.bound_gbp)
    return Solved(best, proof.prices, proof.bound_gbp)


def place_greedily(fleet: Fleet) -> Solved:
    """Return what one hard pass without prices finds: the jobs with the fewest options first, then the largest."""
    records, cells, least, _ = fleet
    standing, prices = nobody(records, cells), np.zeros_like(cells.limits)
    starts = records["end"] - records["first"] - records["length"] + 1
    options = starts * np.isfinite(least.gbp).sum(axis=1)
    order = np.lexsort((-records["power"] * records["length"], options))
    sweep(records, order, cells, prices, HARD, least, standing)
    return Solved(standing, prices, ask(records, cells, prices, least)[0])


def costs_of(fleet: Fleet, standing: Standing) -> Floats:
    """Return the GBP of each of `TERMS`."""
    sums = np.zeros(len(TERMS))
    terms_of(fleet.records, fleet.terms, fleet.cells.pue, fleet.floors, standing, sums)
    return sums


def _push(rho: Floats, kappa: Floats | None = None) -> Push:
    hold = np.zeros(2) if kappa is None else kappa
    return Push(float(rho[POWER]), float(hold[POWER]), float(rho[GPUS]), float(hold[GPUS]), False)


def _unhindered(fleet: Fleet) -> Solved | None:
    """Return the plan in which every job has its cheapest place, or None where that breaks a limit."""
    records, cells, least, _ = fleet
    standing, prices = nobody(records, cells), np.zeros_like(cells.limits)
    sweep(records, np.arange(records.size), cells, prices, _push(np.zeros(2)), least, standing)
    if (over_limits(cells, standing) > SLACK).any():
        return None
    return Solved(standing, prices, ask(records, cells, prices, least, standing.site)[0])


def _other_starts(fleet: Fleet, by: Priced) -> Iterator[Standing]:
    """Yield standings that the prices did not lead to: what stands now; of a small fleet, by value a MWh."""
    records, cells, least, _ = fleet
    if least.may_stay.any():
        site = np.where(least.may_stay, records["present"], -1)
        yield nobody(records, cells)._replace(site=site, slots=np.maximum(least.present, 0))
    if records.size <= FEW:
        standing = nobody(records, cells)
        dearest_first = np.argsort(-records["value"] / (records["power"] * records["length"]), kind="stable")
        sweep(records, dearest_first, cells, by.prices, HARD, by.least, standing)
        yield standing


def _at(fleet: Fleet, prices: Floats, least: Floors, guesses: Codes | None = None) -> Priced:
    """Return the bound at these prices, rounded so that they can be stored."""
    rounded = np.round(prices, PLACES)
    return Priced(rounded, *ask(fleet.records, fleet.cells, rounded, least, guesses))


def _find_prices(
    fleet: Fleet, start: Floats, orders: Iterator[Codes], progress: Progress
) -> tuple[Priced, Standing | None]:
    """Return prices, and the standing that they were found with unless that is of a sample only."""
    boost = WARM_BOOST if start.any() else BOOST
    if fleet.records.size <= WHOLE:
        return _warm_up(fleet, start, boost, orders, progress)
    sample = _sample_of(fleet)
    prices = _warm_up(sample, start, boost, _orders(sample.records.size), progress)[0].prices
    return _at(fleet, prices, fleet.floors), None


def _sample_of(fleet: Fleet) -> Fleet:
    """Return every so manieth job, as large as the jobs that it stands for."""
    every = fleet.records.size // SAMPLE
    records = fleet.records[::every].copy()
    whole, part = (total_of(some["power"] * some["length"]) for some in (fleet.records, records))
    for name in ("power", "gpus", "migration", "wait", "leaving", "max_price", "value"):
        records[name] *= whole / part
    records["present"] = -1
    records["leaving"] = 0.0
    lengths = np.cumsum(records["length"])
    records["offset"] = lengths - records["length"]
    slots = np.zeros(int(lengths[-1]), np.int64)
    gbp = fleet.floors.gbp[::every] * (whole / part)
    chosen = Floors(
        gbp, fleet.floors.order[::every].copy(), fleet.floors.rates, slots, np.zeros(records.size, np.bool_)
    )
    return Fleet(records, fleet.cells, chosen, fleet.terms)


def _warm_up(
    fleet: Fleet, prices: Floats, boost: float, orders: Iterator[Codes], progress: Progress
) -> tuple[Priced, Standing]:
    """Raise prices where room is short until the bound no longer gains, with ever smaller steps."""
    records, cells, least, _ = fleet
    standing, rho = nobody(records, cells), _rho(records, cells)
    found, best, stalls = Priced(prices, -math.inf, least), -math.inf, 0
    for turn in range(MOST_WARM_UPS):
        progress("prices", turn, MOST_WARM_UPS)
        order = next(orders) if turn else _biggest_first(records)
        _pass(fleet, order, found, _push(boost * rho), standing)
        found = _at(fleet, _raised(found.prices, cells, standing, boost * rho), found.least, standing.site)
        if turn == 0 or found.bound_gbp > best + GAIN * abs(best):
            stalls = 0
        elif boost > 1:
            boost = max(1.0, boost * DECAY)
        else:
            stalls += 1
        best = max(best, found.bound_gbp)
        if stalls == 2:
            break
    return found, standing


def _pass(
    fleet: Fleet, order: Codes, by: Priced, push: Push, standing: Standing, cells: Cells | None = None
) -> None:
    sweep(fleet.records, order, cells or fleet.cells, by.prices, push, by.least, standing)


def _polish(fleet: Fleet, standing: Standing, by: Priced, rho: Floats, orders: Iterator[Codes]) -> Priced:
    """Pass with small steps, then press ever harder on what is above the limits; return the prices."""
    records, cells = fleet.records, fleet.cells
    kappas = RAMP_KAPPAS if cells.has_ramps else FEW_KAPPAS if records.size <= FEW else KAPPAS
    kappas = (*AFTER_SAMPLE, *kappas) if records.size > WHOLE else kappas
    strides = _strides(records, by.prices[POWER])
    for turn, kappa in enumerate(kappas):
        order = next(orders)
        if turn >= 3:
            order = order[standing.calm[order] < SETTLED]
        stride = next(strides) if kappa == 0 else 0.0
        _pass(fleet, order, by, _push(max(1.0, stride) * rho, _of_average_job(kappa, records, cells)), standing)
        if stride:
            by = by._replace(prices=_raised(by.prices, cells, standing, stride * rho))
    for turn in range(MOST_PRESSES if cells.has_ramps else 0):
        if not (over_limits(cells, standing) > SLACK).any():
            break
        tighter = cells._replace(limits=cells.limits * (0.999 - 0.001 * turn))
        push = _push(rho, _of_average_job(640.0 * 2**turn, records, cells))
        _pass(fleet, next(orders), by, push, standing, tighter)
    return _at(fleet, by.prices, by.least, standing.site)


def _strides(records: Records, prices: Floats) -> Iterator[float]:
    """Yield how many steps each pass may move prices: those of a sample first by as much as they may be wrong."""
    known, wrong = prices[prices > 0], 1.0
    if records.size > WHOLE and known.size:
        wrong = max(1.0, SAMPLE_ERROR * total_of(known) / known.size / STEP_GBP_MWH)
    yield wrong / 2
    yield math.sqrt(wrong) / 2
    yield from itertools.repeat(0.5)


def _improve(fleet: Fleet, standing: Standing, by: Priced, orders: Iterator[Codes]) -> float:
    """Let jobs choose again within all limits, led less and less by prices; keep the best and return its cost."""
    records, cells = fleet.records, fleet.cells
    best, best_gbp = (standing.site.copy(), standing.slots.copy()), total_of(costs_of(fleet, standing))
    for guide in GUIDES:
        lost = np.flatnonzero(standing.site < 0)
        lost = lost[np.argsort(-records["value"][lost], kind="stable")]
        order, least = np.concatenate((lost, next(orders))), _between(fleet.floors, by.least, guide)
        sweep(records, order, cells, guide * by.prices, HARD, least, standing)
        gbp = total_of(costs_of(fleet, standing))
        if gbp < best_gbp:
            best, best_gbp = (standing.site.copy(), standing.slots.copy()), gbp
    standing.site[:], standing.slots[:] = best
    weigh(records, cells, standing)
    return best_gbp


def _between(alone: Floors, priced: Floors, share: float) -> Floors:
    """Return floors at that share of the prices: what a job costs at least is concave in them."""
    gbp = np.full_like(alone.gbp, math.inf)
    can_run = priced.gbp < math.inf
    gbp[can_run] = share * priced.gbp[can_run] + (1 - share) * alone.gbp[can_run]
    return priced._replace(gbp=gbp, rates=share * priced.rates)


def _raised(prices: Floats, cells: Cells, standing: Standing, rho: Floats) -> Floats:
    """Return prices after one step: up where more is taken than there is, down where less, never below 0."""
    change = np.zeros_like(prices)
    change[:2] = standing.load
    if cells.has_ramps:
        change[RISE, :, :-1] = np.diff(standing.load[POWER], axis=1)
        change[FALL] = -change[RISE]
    scale = np.array([rho[POWER], rho[GPUS], rho[POWER], rho[POWER]])
    return np.maximum(prices + scale[:, None, None] * (change - cells.limits), 0.0)


def _rho(records: Records, cells: Cells) -> Floats:
    """Return the price step per MW and per GPU at which one average job adds `STEP_GBP_MWH`."""
    rho = np.zeros(2)
    for resource, step in enumerate(_of_average_job(STEP_GBP_MWH, records, cells).tolist()):
        need = _mean_need(records, cells, resource)
        rho[resource] = step / need if need > 0 else 0.0
    return rho


def _of_average_job(gbp_mwh: float, records: Records, cells: Cells) -> Floats:
    """Return that price per MWh, and the price per GPU and hour that costs an average job as much."""
    power, gpus = (_mean_need(records, cells, resource) for resource in (POWER, GPUS))
    return np.array([gbp_mwh, gbp_mwh * power / gpus if gpus > 0 else 0.0])


def _mean_need(records: Records, cells: Cells, resource: int) -> float:
    if not records.size:
        return 0.0
    if resource == GPUS:
        return total_of(records["gpus"]) / records.size
    return total_of(records["power"]) / records.size * total_of(cells.pue) / cells.pue.size


def _biggest_first(records: Records) -> Codes:
    return np.argsort(-records["power"] * records["length"], kind="stable")


def _orders(size: int) -> Iterator[Codes]:
    """Yield ever new orders of so many jobs: all of them, in strides that have no common divisor with their number.

    An order that only turns back and forth would let the last movers of one pass move first in the next.
    """
    count = 0
    while size:
        count += 1
        stride = STRIDES[count % len(STRIDES)]
        while math.gcd(stride, size) > 1:
            stride += 2
        yield (np.arange(size) * stride + 12_345 * count) % size
