"""The loops of placing one job: what closes a cell, every start in one piece, and what an option costs.

A cell is one site in one half hour. Options are rows of spans, in minutes from the start of the field.
"""

from __future__ import annotations

from math import ceil, floor, inf, isfinite, isnan, nan
from typing import Final, NamedTuple

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import CELL, SEARCH_SLACK, SLACK, Ask, Bests, Cells, Codes, Reading
from pylon.planning._compiled import compiled
from pylon.planning.field import Floats

__all__ = ["better_of", "measure", "measure_all", "starts", "survey"]

ROW: Final = 9  # numbers in a row of `measure`


class Pieces(NamedTuple):
    """Every start in one piece, the same at all sites: begin and end as a half hour and minutes into it."""

    begins: Floats
    first: Codes
    first_mins: Floats
    last: Codes
    last_mins: Floats
    touched: Codes
    """The last half hour that it touches."""
    limits: Codes
    """_limits.LATEST_END or _limits.HORIZON where it ends too late."""


@compiled
def _is_cheaper(cost: float, other: float) -> bool:
    """Return whether a cost is lower by more than rounding, so that options that cost the same stay in order."""
    return cost < other - (0.0 if other == inf else 1e-9 + 1e-12 * abs(other))


@compiled
def _exceeds(amount: float, limit: float, slack: float) -> bool:
    """Return whether an amount is above a limit that is set; one that is not known is."""
    return limit != inf and not amount <= limit + slack * max(1.0, abs(limit))


@compiled
def survey(cells: Cells, ask: Ask, by_energy: bool) -> tuple[Reading, Bests]:
    """Return what the job finds, and at each site its best start in one piece by total or by energy alone."""
    reading = _read(cells, ask)
    sites, half_hours = reading.closed_by.shape
    moments = starts(ask.duration_mins, ask.earliest_mins, ask.latest_end_mins, half_hours)
    at = _pieces(ask, moments, half_hours)
    begins, ends = np.zeros((sites + 1, 1)), np.zeros((sites + 1, 1))
    sizes, costs = np.zeros(sites + 1, np.int64), np.full(sites, inf)
    refused = np.zeros((sites, _limits.NONE), np.int64)
    for site in range(sites):
        gate = _gate(cells, ask, site)
        if gate == _limits.NONE:
            limits = _first_limits(at, reading.closed_by[site])
            best, costs[site] = _best_start(cells, ask, reading, at, site, limits, by_energy, refused[site])
            begins[site, 0], sizes[site] = moments[max(best, 0)], best >= 0
        else:
            refused[site, gate] = moments.size
    begins[sites, 0], sizes[sites] = moments[0], ask.origin >= 0
    for row in range(sites + 1):
        ends[row, 0] = begins[row, 0] + ask.duration_mins
    return reading, Bests(begins, ends, sizes, costs, refused)


@compiled
def _read(cells: Cells, ask: Ask) -> Reading:
    """Return what each cell costs and what closes it.

    A cell without a price is closed when another has one or the job caps it; so with carbon.
    """
    sites, half_hours = cells.price_gbp_mwh.shape
    rate, closed_by = cells.scarcity_gbp_mwh.copy(), np.full((sites, half_hours), _limits.NONE)
    is_known = np.array(
        (_is_known(cells.price_gbp_mwh), _is_known(cells.carbon_gco2_kwh), _is_known(cells.stress.reshape(1, -1)))
    )
    for site in range(sites):
        _add(rate[site], cells.price_gbp_mwh[site], 1.0)
        _add(rate[site], cells.carbon_gco2_kwh[site], ask.carbon_price_gbp_t / 1000)
        _add(rate[site], cells.stress, ask.stress_price_gbp_mwh)
        if is_known[0] or ask.max_price_gbp != inf:
            _close_unknown(closed_by[site], cells.price_gbp_mwh[site])
        if is_known[1] or ask.carbon_cap_gco2_kwh != inf:
            _close_unknown(closed_by[site], cells.carbon_gco2_kwh[site])
        needs = (ask.it_power_mw * cells.pue[site], ask.gpus, ask.cpu_cores, ask.memory_gb)
        for resource in range(3, -1, -1):  # the first limit is written last, and stays
            if needs[resource] > 0:
                _close_short(closed_by[site], cells.room[resource, site], needs[resource], _limits.POWER + resource)
    return Reading(rate, closed_by, is_known)


@compiled
def _is_known(values: Floats) -> bool:
    for row in values:
        for value in row:
            if isfinite(value):
                return True
    return False


@compiled
def _add(rate: Floats, values: Floats, factor: float) -> None:
    """Add what is known of a quantity; what is not known has no term, or closes the cell."""
    for column in range(rate.size):
        rate[column] += factor * values[column] if isfinite(values[column]) else 0.0


@compiled
def _close_unknown(closed_by: Codes, values: Floats) -> None:
    for column in range(values.size):
        closed_by[column] = closed_by[column] if isfinite(values[column]) else _limits.SIGNALS


@compiled
def _close_short(closed_by: Codes, room: Floats, need: float, limit: int) -> None:
    for column in range(room.size):
        closed_by[column] = closed_by[column] if need <= room[column] + SLACK else limit


@compiled
def starts(duration_mins: float, earliest_mins: float, latest_end_mins: float, half_hours: int) -> Floats:
    """Return every moment worth starting at in one piece, in order: the first alone when it would end too late.

    Between two moments at which a job begins or ends with a half hour its cost changes in a straight line, so no
    other moment is cheaper than those, the earliest and the one that ends at the latest end.
    """
    moments = np.empty(2 * half_hours + 3)
    moments[0] = moment = earliest_mins
    size, last, end = 1, latest_end_mins - duration_mins, CELL * half_hours
    while size < moments.size - 1:
        boundary = CELL * (floor(moment / CELL) + 1)
        moment = min(boundary, CELL * (floor((moment + duration_mins) / CELL) + 1) - duration_mins)
        if moment >= min(last, end):
            break
        moments[size] = moment
        size += 1
    if earliest_mins < last < end:
        moments[size] = last
        size += 1
    return moments[:size]


@compiled
def _pieces(ask: Ask, begins: Floats, half_hours: int) -> Pieces:
    """Return the pieces that begin at the moments given; beyond the field they are cut off."""
    size = begins.size
    first, first_mins = np.empty(size, np.int64), np.empty(size)
    last, last_mins = np.empty(size, np.int64), np.empty(size)
    touched, limits = np.empty(size, np.int64), np.empty(size, np.int64)
    for i in range(size):
        ends = begins[i] + ask.duration_mins
        limits[i] = _out_of_time(ask, ends, half_hours)
        touched[i] = _touched(ends, half_hours)
        first[i], first_mins[i] = _place(begins[i], half_hours)
        last[i], last_mins[i] = _place(ends, half_hours)
    return Pieces(begins, first, first_mins, last, last_mins, touched, limits)


@compiled
def _place(moment: float, half_hours: int) -> tuple[int, float]:
    """Return the half hour of a moment and the minutes into it; the end of the field for what is later."""
    column = floor(moment / CELL)
    return (column, moment - CELL * column) if column < half_hours else (half_hours, 0.0)


@compiled
def _touched(ends: float, half_hours: int) -> int:
    """Return the last half hour of the field that a span ending then touches."""
    return min(ceil(ends / CELL), half_hours) - 1


@compiled
def _out_of_time(ask: Ask, ends: float, half_hours: int) -> int:
    if _exceeds(ends, ask.latest_end_mins, SLACK):
        return _limits.LATEST_END
    return _limits.HORIZON if ends > CELL * half_hours else _limits.NONE


@compiled
def _gate(cells: Cells, ask: Ask, site: int) -> int:
    """Return the limit that closes a whole site to the job."""
    if not ask.allowed[site]:
        return _limits.REGION
    return _limits.NONE if cells.is_open[site] else _limits.SITE_OPEN


@compiled
def _first_limits(at: Pieces, closed_by: Codes) -> Codes:
    """Return the first limit of room, signals and time that forbids each piece at one site."""
    limits = at.limits.copy()
    is_closed = np.zeros(_limits.NONE + 1, np.bool_)
    for limit in closed_by:
        is_closed[limit] = True
    for limit in range(_limits.SIGNALS, _limits.POWER - 1, -1):
        if is_closed[limit]:
            _forbid(limits, at, closed_by, limit)
    return limits


@compiled
def _forbid(limits: Codes, at: Pieces, closed_by: Codes, limit: int) -> None:
    """Write a limit over those of the pieces that touch a half hour it closes."""
    nearest = np.full(closed_by.size + 1, closed_by.size)  # at or after each half hour
    for column in range(closed_by.size - 1, -1, -1):
        nearest[column] = column if closed_by[column] == limit else nearest[column + 1]
    for piece in range(limits.size):
        if nearest[at.first[piece]] <= at.touched[piece]:
            limits[piece] = limit


@compiled
def _best_start(
    cells: Cells,
    ask: Ask,
    reading: Reading,
    at: Pieces,
    site: int,
    limits: Codes,
    by_energy: bool,
    refused: Codes,
) -> tuple[int, float]:
    """Return the cheapest piece at a site (-1: none) and its cost; count what forbids the others."""
    mwh_per_min = ask.it_power_mw * cells.pue[site] / 60
    migration = 0.0 if site == ask.origin else ask.migration_gbp
    rates = prices = carbon = _over(
        reading.rate_gbp_mwh[site], at
    )  # prices and carbon only where they are asked for
    if by_energy or ask.max_price_gbp != inf:
        prices = _over(cells.price_gbp_mwh[site], at)
    if ask.carbon_cap_gco2_kwh != inf:
        carbon = _over(cells.carbon_gco2_kwh[site], at)
    best, least = -1, inf
    for piece in range(limits.size):
        limit = limits[piece]
        energy = mwh_per_min * prices[piece]
        wait = ask.wait_gbp_per_hour / 60 * (at.begins[piece] - ask.arrived_mins)
        total = mwh_per_min * rates[piece] + migration + wait
        if limit == _limits.NONE:
            limit = _too_dear(ask, carbon[piece] / ask.duration_mins, energy, total, SEARCH_SLACK)
        if limit != _limits.NONE:
            refused[limit] += 1
        elif _is_cheaper(energy if by_energy else total, least):
            best, least = piece, energy if by_energy else total
    return best, least


@compiled
def _over(values: Floats, at: Pieces) -> Floats:
    """Return the integral of a row over each piece, in its unit x minutes; unknown values count as nothing."""
    levels, sums = np.zeros(values.size + 1), np.zeros(values.size + 1)
    for column in range(values.size):
        levels[column] = values[column] if isfinite(values[column]) else 0.0
        sums[column + 1] = sums[column] + CELL * levels[column]
    integrals = np.empty(at.begins.size)
    for piece in range(integrals.size):
        first, last = at.first[piece], at.last[piece]
        begun = sums[first] + at.first_mins[piece] * levels[first]
        integrals[piece] = sums[last] + at.last_mins[piece] * levels[last] - begun
    return integrals


@compiled
def _too_dear(ask: Ask, intensity_gco2_kwh: float, energy_gbp: float, total_gbp: float, slack: float) -> int:
    """Return the first cap that an option breaks."""
    if _exceeds(intensity_gco2_kwh, ask.carbon_cap_gco2_kwh, slack):
        return _limits.CARBON_CAP
    if _exceeds(energy_gbp, ask.max_price_gbp, slack):
        return _limits.MAX_PRICE
    return _limits.VALUE if _exceeds(total_gbp, ask.value_gbp, slack) else _limits.NONE


@compiled
def better_of(pieces: Bests, splits: Bests) -> Bests:
    """Return the better of two at each site: of equals the one that ends first, then the one in one piece."""
    for row in range(splits.sizes.size):
        size, site = splits.sizes[row], min(row, splits.costs.size - 1)
        is_worse = size == 0 or _is_cheaper(pieces.costs[site], splits.costs[site])
        is_equal = not is_worse and not _is_cheaper(splits.costs[site], pieces.costs[site])
        if is_worse or (is_equal and pieces.ends[row, 0] <= splits.ends[row, size - 1]):
            splits.begins[row, 0], splits.ends[row, 0] = pieces.begins[row, 0], pieces.ends[row, 0]
            splits.sizes[row] = pieces.sizes[row]
            if row < splits.costs.size:
                splits.costs[row] = pieces.costs[row]
    for site in range(splits.costs.size):
        for limit in range(_limits.NONE):
            splits.refused[site, limit] += pieces.refused[site, limit]
    return splits


@compiled
def measure_all(cells: Cells, ask: Ask, reading: Reading, bests: Bests) -> tuple[Floats, Codes, int]:
    """Return the row of terms and the first limit of each of `bests`, and the site of the cheapest (-1: none).

    Of equals it is the one that ends first, then the lower site.
    """
    sites = bests.costs.size
    rows, limits = np.zeros((sites + 1, ROW)), np.full(sites + 1, _limits.NONE)
    best, least, ended = -1, inf, inf
    for row in range(sites + 1):
        size = bests.sizes[row]
        if size == 0:
            continue
        site, begins, ends = row if row < sites else ask.origin, bests.begins[row, :size], bests.ends[row, :size]
        limits[row] = _measure(cells, ask, reading.closed_by, site, begins, ends, rows[row])
        if row < sites:
            cost, end = bests.costs[row], ends[size - 1]
            if _is_cheaper(cost, least) or (end < ended and not _is_cheaper(least, cost)):
                best, least, ended = row, cost, end
    return rows, limits, best


@compiled
def measure(cells: Cells, ask: Ask, site: int, begins: Floats, ends: Floats) -> tuple[Floats, int]:
    """Return the row of terms of one option, and the first limit that forbids it."""
    row = np.zeros(ROW)
    return row, _measure(cells, ask, _read(cells, ask).closed_by, site, begins, ends, row)


@compiled
def _measure(cells: Cells, ask: Ask, closed_by: Codes, site: int, begins: Floats, ends: Floats, row: Floats) -> int:
    """Write the terms in the order of `Terms`, MWh, kg and minutes of unknown stress; return the first limit."""
    last, half_hours = ends[ends.size - 1], closed_by.shape[1]
    carbon = _sum(cells.carbon_gco2_kwh[site], begins, ends)
    mwh_per_min = ask.it_power_mw * cells.pue[site] / 60
    stress, unknown_mins = _known_sum(cells.stress, begins, ends)
    row[0] = mwh_per_min * _sum(cells.price_gbp_mwh[site], begins, ends)
    row[1] = mwh_per_min * carbon * ask.carbon_price_gbp_t / 1000
    row[2] = nan if unknown_mins >= ask.duration_mins else mwh_per_min * stress * ask.stress_price_gbp_mwh
    row[3] = 0.0 if site == ask.origin else ask.migration_gbp
    row[4] = ask.wait_gbp_per_hour / 60 * (last - ask.duration_mins - ask.arrived_mins)
    row[5] = mwh_per_min * _known_sum(cells.scarcity_gbp_mwh[site], begins, ends)[0]
    row[6], row[7], row[8] = mwh_per_min * ask.duration_mins, mwh_per_min * carbon, unknown_mins
    limit = min(
        _gate(cells, ask, site), _closed(closed_by[site], begins, ends), _out_of_time(ask, last, half_hours)
    )
    if limit == _limits.NONE:
        limit = _too_dear(ask, carbon / ask.duration_mins, row[0], _total(row), SLACK)
    return limit


@compiled
def _closed(closed_by: Codes, begins: Floats, ends: Floats) -> int:
    """Return the first limit that closes a half hour that some spans touch."""
    limit = _limits.NONE
    for span in range(begins.size):
        for column in range(floor(begins[span] / CELL), _touched(ends[span], closed_by.size) + 1):
            limit = min(limit, closed_by[column])
    return limit


@compiled
def _sum(values: Floats, begins: Floats, ends: Floats) -> float:
    """Return the integral of a row over some spans; NaN when it is not known all the time."""
    known, unknown_mins = _known_sum(values, begins, ends)
    return nan if unknown_mins > 0 else known


@compiled
def _known_sum(values: Floats, begins: Floats, ends: Floats) -> tuple[float, float]:
    """Return the integral of what is known of a row over some spans, and for how many minutes it is not known."""
    known = unknown_mins = 0.0
    for span in range(begins.size):
        for column in range(floor(begins[span] / CELL), _touched(ends[span], values.size) + 1):
            mins = min(ends[span], CELL * (column + 1)) - max(begins[span], CELL * column)
            if isfinite(values[column]):
                known += mins * values[column]
            else:
                unknown_mins += mins
        unknown_mins += max(0.0, ends[span] - max(begins[span], CELL * values.size))
    return known, unknown_mins


@compiled
def _total(row: Floats) -> float:
    total = 0.0
    for term in range(6):
        total += 0.0 if isnan(row[term]) else row[term]
    return total
