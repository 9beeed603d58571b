"""What an option comes to: its terms, and the first limit that forbids it.

A job is its numbers, in the order of `_ask`. Kernels write into the arrays they are given; those come last.
"""

from __future__ import annotations

from math import ceil, floor, inf, isfinite, isnan, nan
from typing import Final

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import (
    ARRIVED_MINS,
    CARBON,
    CARBON_CAP,
    CARBON_PRICE,
    CARBON_UPPER,
    CELL,
    DURATION_MINS,
    LATEST_END_MINS,
    MAX_PRICE,
    MIGRATION_GBP,
    ORIGIN,
    POWER_MW,
    PRICE,
    SCARCITY,
    SEARCH_SLACK,
    SLACK,
    STRESS_PRICE,
    VALUE,
    WAIT_GBP_PER_HOUR,
    Codes,
)
from pylon.planning._compiled import inner
from pylon.planning.field import Floats

__all__ = [
    "ROW",
    "allowance",
    "measure",
    "moving_gbp",
    "place_of_least",
    "saves",
    "surely_saves",
    "too_late",
    "touched",
]

ROW: Final = 11  # numbers that `measure` writes


@inner
def measure(
    job: Floats,
    site: int,
    spans: Floats,
    signals: Floats,
    stress: Floats,
    pue: Floats,
    closed_by: Codes,
    gates: Codes,
    row: Floats,
) -> None:
    """Write what running at one site in some spans comes to.

    The row is the terms in the order of `Terms`, MWh, kg, the minutes of unknown stress, the kg that a cap is held
    against and the first limit.
    """
    sums = np.empty(6)
    _add_up(spans, signals[:, site], stress, sums)
    price, carbon, strain, scarcity, unknown_mins, upper = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    ended, mwh = spans[spans.shape[0] - 1, 1], job[POWER_MW] * pue[site] / 60
    row[0] = mwh * price
    row[1] = mwh * carbon * job[CARBON_PRICE] / 1000
    row[2] = mwh * strain * job[STRESS_PRICE] if unknown_mins < job[DURATION_MINS] else nan
    row[3] = moving_gbp(job, site)
    row[4] = job[WAIT_GBP_PER_HOUR] / 60 * (ended - job[DURATION_MINS] - job[ARRIVED_MINS])
    row[5] = mwh * scarcity
    row[6], row[7], row[8], row[9] = mwh * job[DURATION_MINS], mwh * carbon, unknown_mins, mwh * upper
    limit: int = gates[site]
    if limit == _limits.NONE:
        limit = _closed(spans, closed_by[site])
    if limit == _limits.NONE:
        limit = too_late(job, ended, stress.size)
    if limit == _limits.NONE:
        total = 0.0
        for term in range(6):
            total += 0.0 if isnan(row[term]) else row[term]
        limit = _too_dear(job, upper / job[DURATION_MINS], row[0], total)
    row[10] = limit


@inner
def _add_up(spans: Floats, signals: Floats, stress: Floats, sums: Floats) -> None:
    """Write the integrals over some spans, NaN where price or carbon is not known, and the unknown minutes."""
    price, carbon, scarcity, upper = signals[PRICE], signals[CARBON], signals[SCARCITY], signals[CARBON_UPPER]
    for i in range(sums.size):
        sums[i] = 0.0
    for span in range(spans.shape[0]):
        begins, ends = spans[span, 0], spans[span, 1]
        for column in range(floor(begins / CELL), touched(ends, stress.size) + 1):
            since, until = CELL * column, CELL * (column + 1)
            mins = (ends if ends < until else until) - (begins if begins > since else since)
            sums[0] += mins * price[column] if isfinite(price[column]) else nan
            sums[1] += mins * carbon[column] if isfinite(carbon[column]) else nan
            sums[2] += mins * stress[column] if isfinite(stress[column]) else 0.0
            sums[3] += mins * scarcity[column]
            sums[4] += 0.0 if isfinite(stress[column]) else mins
            sums[5] += mins * upper[column] if isfinite(upper[column]) else nan
        beyond = ends - (begins if begins > CELL * stress.size else CELL * stress.size)
        if beyond > 0:
            sums[0] = sums[1] = sums[5] = nan
            sums[4] += beyond


@inner
def _closed(spans: Floats, closed_by: Codes) -> int:
    """Return the first limit that closes a half hour that some spans touch."""
    limit = _limits.NONE
    for span in range(spans.shape[0]):
        for column in range(floor(spans[span, 0] / CELL), touched(spans[span, 1], closed_by.size) + 1):
            limit = closed_by[column] if closed_by[column] < limit else limit
    return limit


@inner
def _exceeds(amount: float, limit: float) -> bool:
    """Return whether an amount is above a limit that is set; one that is not known is."""
    if limit == inf:
        return False
    size = abs(limit)
    return not amount <= limit + SLACK * (size if size > 1.0 else 1.0)


@inner
def _too_dear(job: Floats, intensity_gco2_kwh: float, energy_gbp: float, total_gbp: float) -> int:
    """Return the first cap that an option breaks."""
    if _exceeds(intensity_gco2_kwh, job[CARBON_CAP]):
        return _limits.CARBON_CAP
    if _exceeds(energy_gbp, job[MAX_PRICE]):
        return _limits.MAX_PRICE
    return _limits.VALUE if _exceeds(total_gbp, job[VALUE]) else _limits.NONE


@inner
def touched(ends: float, half_hours: int) -> int:
    """Return the last half hour of the field that a span ending then touches."""
    column = ceil(ends / CELL)
    return (column if column < half_hours else half_hours) - 1


@inner
def too_late(job: Floats, ends: float, half_hours: int) -> int:
    """Return the limit of time that an end breaks."""
    if _exceeds(ends, job[LATEST_END_MINS]):
        return _limits.LATEST_END
    return _limits.HORIZON if ends > CELL * half_hours else _limits.NONE


@inner
def moving_gbp(job: Floats, site: int) -> float:
    """Return what it costs to bring the job to a site."""
    return 0.0 if site == job[ORIGIN] else job[MIGRATION_GBP]


@inner
def allowance(limit: float) -> float:
    """Return how much the search lets through: less than `measure` does, so that what is found also measures so."""
    return limit if limit == inf else limit + SEARCH_SLACK * max(1.0, abs(limit))


@inner
def saves(cost: float, other: float) -> bool:
    """Return whether a cost is lower by more than rounding, so that options that cost the same stay in order."""
    return cost < other - (0.0 if other == inf else 1e-9 + 1e-12 * abs(other))


@inner
def surely_saves(cost: float, bound: float) -> bool:
    """Return whether a cost is lower than all that has a bound, by more than rounding can make of either."""
    return cost < bound - (0.0 if bound == inf else 1e-6 * max(1.0, abs(bound)))


@inner
def place_of_least(values: Floats) -> int:
    """Return the place of the least of some values, the first of equals."""
    best = 0
    for place in range(values.size):
        best = place if values[place] < values[best] else best
    return best
