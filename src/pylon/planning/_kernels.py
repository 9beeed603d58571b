"""The loops of placing one job: what closes a cell, every start in one piece, and what an option costs.

A cell is one site in one half hour. A job is its `numbers`, in the order of `_ask`. Kernels write into the arrays
they are given; those come last.
"""

from __future__ import annotations

from math import ceil, floor, inf, isfinite, isnan, nan
from typing import Final

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import (
    ARRIVED_MINS,
    CARBON_CAP,
    CARBON_PRICE,
    CELL,
    DURATION_MINS,
    LATEST_END_MINS,
    MAX_PRICE,
    POWER_MW,
    ROOM_SLACK,
    SEARCH_SLACK,
    SLACK,
    STRESS_PRICE,
    VALUE,
    WAIT_GBP_PER_HOUR,
    Codes,
)
from pylon.planning._compiled import compiled, inner
from pylon.planning.field import Floats

__all__ = ["ROW", "is_known", "measure", "read", "starts", "survey"]

ROW: Final = 9  # numbers that `measure` writes

FIRST, TOUCHED, LAST = 0, 1, 2
"""Of a piece: the half hour it begins in, the last that it touches, and the one that its end is in."""


@compiled
def is_known(values: Floats) -> bool:
    """Return whether some number of a grid is known."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            if isfinite(values[row, column]):
                return True
    return False


@compiled
def read(
    job: Floats,
    price_gbp_mwh: Floats,
    carbon_gco2_kwh: Floats,
    stress: Floats,
    scarcity_gbp_mwh: Floats,
    room: Floats,
    pue: Floats,
    needs_price: bool,
    needs_carbon: bool,
    rate_gbp_mwh: Floats,
    closed_by: Codes,
) -> None:
    """Write what an MWh costs in each cell, without moving and waiting, and the first limit that closes the cell.

    What is not known has no term; a cell without a price, or carbon, is closed when the job needs one.
    """
    for site in range(pue.size):
        for column in range(stress.size):
            price, carbon, strain = price_gbp_mwh[site, column], carbon_gco2_kwh[site, column], stress[column]
            rate = scarcity_gbp_mwh[site, column]
            rate += price if isfinite(price) else 0.0
            rate += job[CARBON_PRICE] / 1000 * carbon if isfinite(carbon) else 0.0
            rate += job[STRESS_PRICE] * strain if isfinite(strain) else 0.0
            rate_gbp_mwh[site, column] = rate
            is_short = (needs_price and not isfinite(price)) or (needs_carbon and not isfinite(carbon))
            closed_by[site, column] = _limits.SIGNALS if is_short else _limits.NONE
        for resource in range(3, -1, -1):  # the first limit is written last, and stays
            need = job[resource] * pue[site] if resource == POWER_MW else job[resource]
            if need > 0:
                for column in range(stress.size):
                    if not need <= room[resource, site, column] + ROOM_SLACK:
                        closed_by[site, column] = _limits.POWER + resource


@compiled
def starts(duration_mins: float, earliest_mins: float, latest_end_mins: float, half_hours: int) -> Floats:
    """Return every moment worth starting at in one piece, in order: the first alone when it would end too late.

    Between two moments at which a job begins or ends with a half hour its cost changes in a straight line, so no
    other moment is cheaper than those, the earliest and the one that ends at the latest end.
    """
    moments = np.empty(2 * half_hours + 3)
    moments[0] = moment = earliest_mins
    size, last, end = 1, latest_end_mins - duration_mins, CELL * half_hours
    until = last if last < end else end
    while size < moments.size - 1:
        begin = CELL * (floor(moment / CELL) + 1)
        finish = CELL * (floor((moment + duration_mins) / CELL) + 1) - duration_mins
        moment = begin if begin < finish else finish
        if moment >= until:
            break
        moments[size] = moment
        size += 1
    if earliest_mins < last < end:
        moments[size] = last
        size += 1
    return moments[:size]


@compiled
def survey(
    job: Floats,
    moments: Floats,
    gates: Codes,
    mwh_per_min: Floats,
    moving_gbp: Floats,
    rate_gbp_mwh: Floats,
    price_gbp_mwh: Floats,
    carbon_gco2_kwh: Floats,
    closed_by: Codes,
    by_energy: bool,
    costs: Floats,
    begins: Floats,
    refused: Codes,
) -> None:
    """Write the cost and the begin of each site's best start in one piece, by its total or by its energy alone.

    The cost is infinite without one. `refused` counts the starts that each limit is the first to forbid there.
    """
    columns, mins = np.empty((3, moments.size), np.int64), np.empty((2, moments.size))
    late, limits = np.empty(moments.size, np.int64), np.empty(moments.size, np.int64)
    sums = np.empty((3, moments.size))
    _write_pieces(job, moments, closed_by.shape[1], columns, mins, late)
    for site in range(gates.size):
        if gates[site] != _limits.NONE:
            costs[site], begins[site] = inf, moments[0]
            refused[site, gates[site]] = moments.size
            continue
        _write_limits(closed_by[site], columns, late, limits)
        _integrate(rate_gbp_mwh[site], columns, mins, sums[0])
        if by_energy or job[MAX_PRICE] != inf:
            _integrate(price_gbp_mwh[site], columns, mins, sums[1])
        if job[CARBON_CAP] != inf:
            _integrate(carbon_gco2_kwh[site], columns, mins, sums[2])
        best, costs[site] = _best_piece(
            job, moments, limits, sums, mwh_per_min[site], moving_gbp[site], by_energy, refused[site]
        )
        begins[site] = moments[best]


@inner
def _best_piece(
    job: Floats,
    moments: Floats,
    limits: Codes,
    sums: Floats,
    mwh_per_min: float,
    moving_gbp: float,
    by_energy: bool,
    refused: Codes,
) -> tuple[int, float]:
    """Return the cheapest piece at one site and its cost, infinite without one; count what forbids the others."""
    best, least = 0, inf
    for piece in range(moments.size):
        wait = job[WAIT_GBP_PER_HOUR] / 60 * (moments[piece] - job[ARRIVED_MINS])
        energy = mwh_per_min * sums[1, piece]
        total = mwh_per_min * sums[0, piece] + moving_gbp + wait
        cost, limit = energy if by_energy else total, limits[piece]
        if limit == _limits.NONE:
            limit = _too_dear(job, sums[2, piece] / job[DURATION_MINS], energy, total, SEARCH_SLACK)
        if limit != _limits.NONE:
            refused[limit] += 1
        elif cost < least - (0.0 if least == inf else 1e-9 + 1e-12 * abs(least)):  # by more than rounding
            best, least = piece, cost
    return best, least


@inner
def _write_pieces(job: Floats, moments: Floats, half_hours: int, columns: Codes, mins: Floats, late: Codes) -> None:
    """Write where each piece begins and ends, as half hours and minutes into them, and whether it ends too late."""
    for piece in range(moments.size):
        begins, ends = moments[piece], moments[piece] + job[DURATION_MINS]
        for end, moment in ((0, begins), (1, ends)):
            column = floor(moment / CELL)
            columns[LAST * end, piece] = column if column < half_hours else half_hours
            mins[end, piece] = moment - CELL * column if column < half_hours else 0.0
        columns[TOUCHED, piece] = _touched(ends, half_hours)
        late[piece] = _too_late(job, ends, half_hours)


@inner
def _touched(ends: float, half_hours: int) -> int:
    """Return the last half hour of the field that a span ending then touches."""
    column = ceil(ends / CELL)
    return (column if column < half_hours else half_hours) - 1


@inner
def _too_late(job: Floats, ends: float, half_hours: int) -> int:
    if _exceeds(ends, job[LATEST_END_MINS], SLACK):
        return _limits.LATEST_END
    return _limits.HORIZON if ends > CELL * half_hours else _limits.NONE


@inner
def _write_limits(closed_by: Codes, columns: Codes, late: Codes, limits: Codes) -> None:
    """Write the first limit of room, signals and time that forbids each piece at one site.

    Pieces are in order of time, so the half hours that one touches are a window that only moves forward.
    """
    counts = np.empty(_limits.NONE + 1, np.int64)
    for limit in range(counts.size):
        counts[limit] = 0
    entered = left = 0
    for piece in range(limits.size):
        while entered <= columns[TOUCHED, piece]:
            counts[closed_by[entered]] += 1
            entered += 1
        while left < columns[FIRST, piece]:
            counts[closed_by[left]] -= 1
            left += 1
        limit = _limits.POWER if counts[_limits.NONE] < entered - left else _limits.NONE
        while limit < _limits.NONE and counts[limit] == 0:
            limit += 1
        limits[piece] = limit if limit < _limits.NONE else late[piece]


@inner
def _integrate(values: Floats, columns: Codes, mins: Floats, integrals: Floats) -> None:
    """Write the integral of a row over each piece, in its unit x minutes; unknown values count as nothing."""
    size = values.size
    levels, sums = np.empty(size + 1), np.empty(size + 1)
    sums[0] = levels[size] = 0.0
    for column in range(size):
        levels[column] = values[column] if isfinite(values[column]) else 0.0
        sums[column + 1] = sums[column] + CELL * levels[column]
    for piece in range(integrals.size):
        first, last = columns[FIRST, piece], columns[LAST, piece]
        begun = sums[first] + mins[0, piece] * levels[first]
        integrals[piece] = sums[last] + mins[1, piece] * levels[last] - begun


@inner
def _exceeds(amount: float, limit: float, slack: float) -> bool:
    """Return whether an amount is above a limit that is set; one that is not known is."""
    if limit == inf:
        return False
    size = abs(limit)
    return not amount <= limit + slack * (size if size > 1.0 else 1.0)


@inner
def _too_dear(job: Floats, intensity_gco2_kwh: float, energy_gbp: float, total_gbp: float, slack: float) -> int:
    """Return the first cap that an option breaks."""
    if _exceeds(intensity_gco2_kwh, job[CARBON_CAP], slack):
        return _limits.CARBON_CAP
    if _exceeds(energy_gbp, job[MAX_PRICE], slack):
        return _limits.MAX_PRICE
    return _limits.VALUE if _exceeds(total_gbp, job[VALUE], slack) else _limits.NONE


@compiled
def measure(
    job: Floats,
    spans: Floats,
    site: int,
    gates: Codes,
    mwh_per_min: Floats,
    moving_gbp: Floats,
    price_gbp_mwh: Floats,
    carbon_gco2_kwh: Floats,
    stress: Floats,
    scarcity_gbp_mwh: Floats,
    closed_by: Codes,
    row: Floats,
) -> int:
    """Write what running at one site in some spans comes to; return the first limit that forbids it.

    The row is the terms in the order of `Terms`, MWh, kg and the minutes of unknown stress.
    """
    sums = np.empty(5)
    _add_up(spans, price_gbp_mwh[site], carbon_gco2_kwh[site], stress, scarcity_gbp_mwh[site], sums)
    price, carbon, strain, scarcity, unknown_mins = sums[0], sums[1], sums[2], sums[3], sums[4]
    ended, mwh = spans[spans.shape[0] - 1, 1], mwh_per_min[site]
    row[0] = mwh * price
    row[1] = mwh * carbon * job[CARBON_PRICE] / 1000
    row[2] = mwh * strain * job[STRESS_PRICE] if unknown_mins < job[DURATION_MINS] else nan
    row[3] = moving_gbp[site]
    row[4] = job[WAIT_GBP_PER_HOUR] / 60 * (ended - job[DURATION_MINS] - job[ARRIVED_MINS])
    row[5] = mwh * scarcity
    row[6], row[7], row[8] = mwh * job[DURATION_MINS], mwh * carbon, unknown_mins
    limit: int = gates[site]
    if limit == _limits.NONE:
        limit = _closed(spans, closed_by[site])
    if limit == _limits.NONE:
        limit = _too_late(job, ended, stress.size)
    if limit == _limits.NONE:
        total = 0.0
        for term in range(6):
            total += 0.0 if isnan(row[term]) else row[term]
        limit = _too_dear(job, carbon / job[DURATION_MINS], row[0], total, SLACK)
    return limit


@inner
def _add_up(spans: Floats, price: Floats, carbon: Floats, stress: Floats, scarcity: Floats, sums: Floats) -> None:
    """Write the integrals over some spans, NaN where price or carbon is not known, and the unknown minutes."""
    for i in range(sums.size):
        sums[i] = 0.0
    for span in range(spans.shape[0]):
        begins, ends = spans[span, 0], spans[span, 1]
        for column in range(floor(begins / CELL), _touched(ends, stress.size) + 1):
            since, until = CELL * column, CELL * (column + 1)
            mins = (ends if ends < until else until) - (begins if begins > since else since)
            sums[0] += mins * price[column] if isfinite(price[column]) else nan
            sums[1] += mins * carbon[column] if isfinite(carbon[column]) else nan
            sums[2] += mins * stress[column] if isfinite(stress[column]) else 0.0
            sums[3] += mins * scarcity[column]
            sums[4] += 0.0 if isfinite(stress[column]) else mins
        beyond = ends - (begins if begins > CELL * stress.size else CELL * stress.size)
        if beyond > 0:
            sums[0] = sums[1] = nan
            sums[4] += beyond


@inner
def _closed(spans: Floats, closed_by: Codes) -> int:
    """Return the first limit that closes a half hour that some spans touch."""
    limit = _limits.NONE
    for span in range(spans.shape[0]):
        for column in range(floor(spans[span, 0] / CELL), _touched(spans[span, 1], closed_by.size) + 1):
            limit = closed_by[column] if closed_by[column] < limit else limit
    return limit
