"""What is usual: the mean of each half hour of the London day, by working day and weekend, late days first."""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pylon.ontology.calendar import HALF_HOUR, LONDON, floor
from pylon.planning.field import Floats

__all__ = ["DAILY_KEEP", "HALF_HOURS", "Clock", "Ints", "follow", "read_clock", "total"]

Ints: TypeAlias = NDArray[np.int64]

HALF_HOURS: Final = 48
"""Half hours on London's clock. In spring two of them do not come, in autumn two come twice."""

DAILY_KEEP: Final = 0.9517
"""What a day's weight becomes with each further day: half after 14 days, the best of seven tried, or within 1 %,
for carbon, demand and price. Written out, as a power may differ in its last digit between machines."""

_BORROWED_DAYS: Final = 1.0
"""A cell counts the mean over both kinds of day as so many days of its own: weekends are two in seven."""


class Clock(NamedTuple):
    """Where each half hour of a series stands in London time."""

    day: Ints
    """London days since the first half hour's."""
    half_hour: Ints
    """0 to 47, by the clock on the wall."""
    is_weekend: Ints
    """0 or 1. Bank holidays are not known."""


@lru_cache(maxsize=4)  # the regions of a run all begin at one time
def read_clock(starts_at: datetime, size: int) -> Clock:
    """Return where `size` half hours from `starts_at` (aware) stand in London time; not to be written to."""
    first = floor(starts_at)
    local = [(first + position * HALF_HOUR).astimezone(LONDON) for position in range(size)]
    day = np.array([at.toordinal() for at in local], np.int64)
    return Clock(
        day=day - local[0].toordinal() if local else day,
        half_hour=np.array([2 * at.hour + at.minute // 30 for at in local], np.int64),
        is_weekend=np.array([at.weekday() >= 5 for at in local], np.int64),
    )


def follow(values: Floats, clock: Clock) -> Floats:
    """Return what was usual as each day began, (days + 1, 2, 48): row d is made of the days before d alone.

    The second axis is working day and weekend. NaN in `values` is unknown and left out. A half hour of the day that
    never was known has the mean of all; rows before the first known value are NaN.
    """
    days = int(clock.day[-1]) + 1
    sums, weights = np.zeros((2, HALF_HOURS)), np.zeros((2, HALF_HOURS))
    usual = np.full((days + 1, 2, HALF_HOURS), math.nan)
    is_known = np.isfinite(values)
    ends = np.searchsorted(clock.day, np.arange(days + 1))
    for day in range(days):
        sums, weights = DAILY_KEEP * sums, DAILY_KEEP * weights
        known = ends[day] + np.flatnonzero(is_known[ends[day] : ends[day + 1]])
        cells = clock.is_weekend[known], clock.half_hour[known]
        np.add.at(sums, cells, values[known])
        np.add.at(weights, cells, 1.0)
        usual[day + 1] = _means(sums, weights)
    return usual


def total(values: Floats) -> float:
    """Return the sum, added in the order that is written: the same bytes on every machine."""
    return float(np.cumsum(values)[-1]) if values.size else 0.0


def _means(sums: Floats, weights: Floats) -> Floats:
    weight = total(weights.ravel())
    if weight == 0:
        return np.full_like(sums, math.nan)
    both = weights[0] + weights[1]
    daily = np.full(HALF_HOURS, total(sums.ravel()) / weight)
    np.divide(sums[0] + sums[1], both, out=daily, where=both > 0)
    return (sums + _BORROWED_DAYS * daily) / (weights + _BORROWED_DAYS)
