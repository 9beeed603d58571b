"""A job in one piece: every start worth trying, and the best of them at each site.

A job is its numbers, in the order of `_ask`. Kernels write into the arrays they are given; those come last.
"""

from __future__ import annotations

from math import ceil, floor, inf, isfinite

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import (
    ARRIVED_MINS,
    CARBON_CAP,
    CARBON_UPPER,
    CELL,
    DURATION_MINS,
    EARLIEST_MINS,
    LATEST_END_MINS,
    MAX_PRICE,
    POWER_MW,
    PRICE,
    STEP_MINS,
    VALUE,
    WAIT_GBP_PER_HOUR,
    Codes,
)
from pylon.planning._compiled import compiled, inner
from pylon.planning._measure import (
    allowance,
    moving_gbp,
    place_of_least,
    saves,
    surely_saves,
    too_late,
    touched,
)
from pylon.planning.field import Floats

__all__ = ["starts", "survey"]

FIRST, TOUCHED, LAST = 0, 1, 2
"""Of a piece: the half hour it begins in, the last that it touches, and the one that its end is in."""

MOST_GBP = 1e300
"""The bound of a site where no piece ends in time: it comes last, and is looked at where nothing else is found."""

GRAMS, MONEY, TOTAL, CAPPED = 0, 1, 2, 3
"""What a piece comes to, in the order of the limits from `CARBON_CAP` on; -infinite where it is not asked."""


@compiled
def starts(duration_mins: float, earliest_mins: float, latest_end_mins: float, half_hours: int) -> Floats:
    """Return every moment worth starting at in one piece, in order: the first alone when it would end too late.

    Between two moments at which a job begins or ends with a half hour its cost changes in a straight line, so no
    other moment is cheaper than those, the earliest and the one that ends at the latest end; where a cap forbids
    one of two neighbours, a moment `_between` them may be the best that is left.
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


@inner
def survey(
    job: Floats,
    signals: Floats,
    pue: Floats,
    rate_gbp_mwh: Floats,
    closed_by: Codes,
    gates: Codes,
    by_energy: bool,
    all_sites: bool,
    costs: Floats,
    spans: Floats,
    refused: Codes,
) -> None:
    """Write the cost and the first span of each site's best start in one piece, by its total or its energy alone.

    The cost is infinite without one. `refused` counts the starts that each limit is the first to forbid there.
    Without `all_sites` those that cannot have the cheapest by far are left as if they had none.
    """
    duration, half_hours = job[DURATION_MINS], closed_by.shape[1]
    moments = starts(duration, job[EARLIEST_MINS], job[LATEST_END_MINS], half_hours)
    columns, mins = np.empty((3, moments.size), np.int64), np.empty((2, moments.size))
    late, limits, waits = np.empty(moments.size, np.int64), np.empty(moments.size, np.int64), np.empty(moments.size)
    _write_pieces(job, moments, half_hours, columns, mins, late, waits)
    sums, rates = np.empty((3, 2, half_hours + 1)), np.empty((gates.size, 2, half_hours + 1))
    costs[:], spans[:, 0, 0], spans[:, 0, 1] = inf, moments[0], moments[0] + duration
    may_skip, least = not (all_sites or by_energy), inf
    bounds = _bounds(job, pue, rate_gbp_mwh, gates, columns, mins, late, waits, may_skip, rates, refused)
    for _ in range(gates.size):
        site = place_of_least(bounds)
        if bounds[site] == inf or surely_saves(least, bounds[site]):
            break
        bounds[site] = inf
        _write_limits(closed_by[site], columns, late, limits)
        sums[0] = rates[site]
        _add_up_caps(job, signals[:, site], by_energy, sums)
        begins, costs[site] = _best_piece(
            job, site, pue[site], moments, limits, columns, mins, waits, sums, by_energy, refused[site]
        )
        least = min(least, costs[site])
        spans[site, 0, 0], spans[site, 0, 1] = begins, begins + duration


@inner
def _add_up_caps(job: Floats, signals: Floats, by_energy: bool, sums: Floats) -> None:
    """Write the sums of price and carbon at one site, where something is held against them."""
    if by_energy or job[MAX_PRICE] < inf:
        _add_up(signals[PRICE], sums[1])
    if job[CARBON_CAP] < inf:
        _add_up(signals[CARBON_UPPER], sums[2])


@inner
def _bounds(
    job: Floats,
    pue: Floats,
    rate_gbp_mwh: Floats,
    gates: Codes,
    columns: Codes,
    mins: Floats,
    late: Codes,
    waits: Floats,
    may_skip: bool,
    rates: Floats,
    refused: Codes,
) -> Floats:
    """Return a bound of each site's pieces, infinite where it is closed; write its sums, or its gate."""
    bounds = np.full(gates.size, inf)
    for site in range(gates.size):
        if gates[site] == _limits.NONE:
            _add_up(rate_gbp_mwh[site], rates[site])
            bounds[site] = (
                _bound(job, site, pue[site], columns, mins, late, waits, rates[site]) if may_skip else -inf
            )
        else:
            refused[site, gates[site]] = waits.size
    return bounds


@inner
def _bound(
    job: Floats, site: int, pue: float, columns: Codes, mins: Floats, late: Codes, waits: Floats, rates: Floats
) -> float:
    """Return less than any piece at one site costs, by and large the least of them, whatever but time forbids it.

    Between the first and the last piece all begin or end with a half hour: each half hour is tried as both.
    """
    duration, last, least = job[DURATION_MINS], waits.size - 1, MOST_GBP
    mwh_per_min, wait = job[POWER_MW] * pue / 60, job[WAIT_GBP_PER_HOUR] / 60
    for piece in range(0, waits.size, last if last > 0 else 1):
        cost = mwh_per_min * _over(rates, columns, mins, piece) + waits[piece]
        least = cost if cost < least and late[piece] == _limits.NONE else least
    whole, first, until = floor(duration / CELL), columns[FIRST, 0], columns[LAST, last]
    begun, part = rates[1], duration - CELL * whole
    for column in range(first, until - whole + 1):
        rate = begun[column + whole] + part * rates[0, column + whole] - begun[column]
        cost = mwh_per_min * rate + wait * (CELL * column - job[ARRIVED_MINS])
        least = cost if cost < least else least
    for column in range(first + whole + 1, until + 1):
        early = column - whole - 1
        rate = begun[column] - begun[early] - (CELL - part) * rates[0, early]
        cost = mwh_per_min * rate + wait * (CELL * column - duration - job[ARRIVED_MINS])
        least = cost if cost < least else least
    bound_gbp: float = least + moving_gbp(job, site)
    return bound_gbp


@inner
def _best_piece(
    job: Floats,
    site: int,
    pue: float,
    moments: Floats,
    limits: Codes,
    columns: Codes,
    mins: Floats,
    waits: Floats,
    sums: Floats,
    by_energy: bool,
    refused: Codes,
) -> tuple[float, float]:
    """Return when the cheapest piece at one site begins and its cost, infinite without one.

    What forbids the pieces that begin at the given moments is counted.
    """
    most, mwh_per_min, moving = _most(job), job[POWER_MW] * pue / 60, moving_gbp(job, site)
    has_carbon_cap, needs_energy = most[GRAMS] < inf, by_energy or most[MONEY] < inf
    rates, prices, carbons, row = sums[0], sums[1], sums[2], MONEY if by_energy else TOTAL
    begins, least, came, limit_before = moments[0], inf, np.empty((2, CAPPED)), -1
    for piece in range(limits.size):
        limit, before, now = limits[piece], came[1 - piece % 2], came[piece % 2]
        if limit == _limits.NONE:
            now[TOTAL] = mwh_per_min * _over(rates, columns, mins, piece) + moving + waits[piece]
            now[MONEY] = mwh_per_min * _over(prices, columns, mins, piece) if needs_energy else -inf
            now[GRAMS] = _over(carbons, columns, mins, piece) if has_carbon_cap else -inf
            limit = _broken(now, most)
            if limit != limit_before and limit_before >= _limits.CARBON_CAP:
                ends = moments[piece - 1 : piece + 1]
                moment, cost = _between(ends, job[STEP_MINS], before, now, most, row)
                if saves(cost, least):
                    begins, least = moment, cost
            if limit == _limits.NONE and saves(now[row], least):
                begins, least = moments[piece], now[row]
        if limit != _limits.NONE:
            refused[limit] += 1
        limit_before = limit
    return begins, least


@inner
def _most(job: Floats) -> Floats:
    """Return what a piece may come to, in gCO2/kWh x minutes, GBP of energy and GBP; infinite without a cap."""
    most = np.empty(CAPPED)
    most[GRAMS] = allowance(job[CARBON_CAP]) * job[DURATION_MINS]
    most[MONEY], most[TOTAL] = allowance(job[MAX_PRICE]), allowance(job[VALUE])
    return most


@inner
def _broken(came: Floats, most: Floats) -> int:
    """Return the first cap that what a piece comes to is above."""
    for row in range(CAPPED):
        if came[row] > most[row]:
            return _limits.CARBON_CAP + row
    return _limits.NONE


@inner
def _between(
    ends: Floats, step: float, before: Floats, after: Floats, most: Floats, row: int
) -> tuple[float, float]:
    """Return the cheapest step between two pieces at which all caps are kept, and its cost, or infinity.

    What a piece comes to changes in a straight line from one to the other: a cap is kept up to some moment, or from
    one on.
    """
    early, mins, since, until = ends[0], ends[1] - ends[0], 0.0, 1.0  # shares of the way
    for cap in range(CAPPED):
        if before[cap] > most[cap] and after[cap] > most[cap]:
            return early, inf
        if before[cap] > most[cap]:
            since = max(since, (before[cap] - most[cap]) / (before[cap] - after[cap]))
        elif after[cap] > most[cap]:
            until = min(until, (most[cap] - before[cap]) / (after[cap] - before[cap]))
    first, last = step * ceil((early + since * mins) / step), step * floor((early + until * mins) / step)
    begins = first if before[row] < after[row] else last
    if not first <= last or not early < begins < ends[1]:
        return early, inf
    return begins, before[row] + (begins - early) / mins * (after[row] - before[row])


@inner
def _write_limits(closed_by: Codes, columns: Codes, late: Codes, limits: Codes) -> None:
    """Write the first limit of room, signals and time that forbids each piece at one site.

    Pieces are in order of time, so the half hours that one touches are a window that only moves forward.
    """
    newest = np.full(_limits.NONE, -1)  # the last half hour so far that each limit closes
    newest_of_all = entered = -1
    for piece in range(limits.size):
        while entered < columns[TOUCHED, piece]:
            entered += 1
            if closed_by[entered] != _limits.NONE:
                newest[closed_by[entered]] = newest_of_all = entered
        limits[piece] = late[piece]
        if newest_of_all >= columns[FIRST, piece]:
            for limit in range(_limits.SIGNALS, _limits.POWER - 1, -1):
                if newest[limit] >= columns[FIRST, piece]:
                    limits[piece] = limit


@inner
def _add_up(values: Floats, sums: Floats) -> None:
    """Write a row and its integral up to each half hour, in its unit x minutes; unknown values count as nothing."""
    total = 0.0
    for column in range(values.size):
        value = values[column] if isfinite(values[column]) else 0.0
        sums[0, column], sums[1, column] = value, total
        total += CELL * value
    sums[0, values.size], sums[1, values.size] = 0.0, total


@inner
def _over(sums: Floats, columns: Codes, mins: Floats, piece: int) -> float:
    """Return the integral of a row over a piece."""
    first, last = columns[FIRST, piece], columns[LAST, piece]
    begun: float = sums[1, first] + mins[0, piece] * sums[0, first]
    ended: float = sums[1, last] + mins[1, piece] * sums[0, last]
    return ended - begun


@inner
def _write_pieces(
    job: Floats, moments: Floats, half_hours: int, columns: Codes, mins: Floats, late: Codes, waits: Floats
) -> None:
    """Write where each piece begins and ends, as half hours and minutes into them, and whether it ends too late."""
    wait = job[WAIT_GBP_PER_HOUR] / 60
    for piece in range(moments.size):
        begins, ends = moments[piece], moments[piece] + job[DURATION_MINS]
        for end, moment in ((0, begins), (1, ends)):
            column = floor(moment / CELL)
            columns[LAST * end, piece] = column if column < half_hours else half_hours
            mins[end, piece] = moment - CELL * column if column < half_hours else 0.0
        columns[TOUCHED, piece] = touched(ends, half_hours)
        late[piece], waits[piece] = too_late(job, ends, half_hours), wait * (begins - job[ARRIVED_MINS])
