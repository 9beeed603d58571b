"""How long a series stays away from usual, and how wrong it was to think so: what a history teaches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from pylon.errors import Invalid
from pylon.planning._forecast_usual import DAILY_KEEP, HALF_HOURS, Clock, Ints, total
from pylon.planning.field import Floats

__all__ = ["LEADS", "LEVELS", "Lessons", "learn", "quantiles"]

LEADS: Final = 96
"""Half hours ahead that are told apart; what lies further is treated as the last of them."""

LEVELS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)

_RIDGE_DAYS: Final = 2.0
"""Weights are drawn to nought as if so many days had shown no memory, so that a few days cannot mislead."""

_LEAST_DAYS: Final = 3
"""With errors of fewer days at a lead, how far values lay from their mean stands in for them."""

_CAUTION_DAYS2: Final = 8.0
"""Offsets made of n days are made wider by this / n^2: without it one to five days hold too little (measured)."""


class Lessons(NamedTuple):
    """What a history taught, by lead: index 0 is the first half hour after the last known one."""

    weights: Floats
    """(LEADS, 2). Of the last anomaly, and of the anomaly at the same time of the day before the forecast."""
    fade: Floats
    """(LEADS,). What is left of an anomaly when nothing else is known."""
    offsets: Floats
    """(len(LEVELS), LEADS). Quantiles of what came less the mean forecast."""
    days: int
    """Days whose errors are in the offsets, at the lead that has the fewest."""


def learn(values: Floats, clock: Clock, usual: Floats) -> Lessons:
    """Return the lessons of a history of which `follow` made `usual`: no forecast in it saw its own future."""
    weights, fade = np.zeros((LEADS, 2)), np.zeros(LEADS)
    errors = np.full((LEADS, max(values.size - HALF_HOURS, 0)), math.nan)
    anomalies = _anomalies(values, clock, usual, range(-HALF_HOURS, LEADS))
    for lead in range(LEADS):
        came = anomalies[lead]
        last, same = anomalies[-1][: came.size], anomalies[lead % HALF_HOURS - HALF_HOURS][: came.size]
        weights[lead], fade[lead] = _weigh(came, last, same)
        errors[lead, : came.size] = came - weights[lead, 0] * last - weights[lead, 1] * same
    made_on, unrest = clock.day[HALF_HOURS:], _unrest(errors, clock.day)
    offsets, days = np.empty((len(LEVELS), LEADS)), np.zeros(LEADS, np.int64)
    for lead in range(LEADS):
        known = np.isfinite(errors[lead])
        days[lead] = _count_days(made_on[known])
        if days[lead] >= _LEAST_DAYS:
            sample = errors[lead, known] / unrest[made_on[known]]
            offsets[:, lead] = unrest[-1] * _cautious(sample, int(days[lead]))
        else:
            weights[lead], fade[lead] = 0.0, 0.0
            offsets[:, lead] = _around_the_mean(values, clock)
    return Lessons(weights, fade, offsets, int(days.min()))


def quantiles(sample: Floats, days: int) -> Floats:
    """Return the quantiles of a sample at LEVELS, each a value of the sample; made of `days` days that are alike.

    Levels move outward as in split conformal prediction, by one part in `days`: the half hours of a day are so much
    alike that they do not count one by one. NaN is left out; raises `Invalid` when nothing else is there.
    """
    ordered = np.sort(sample[np.isfinite(sample)])
    if ordered.size == 0 or days < 1:
        raise Invalid(
            f"Quantiles of {ordered.size} values of {days} days cannot be told; give one or more of each."
        )
    outward = [min(1.0, max(level, 1 - level) * (1 + 1 / days)) if level != 0.5 else 0.5 for level in LEVELS]
    ranks = [math.ceil(share * ordered.size) - 1 for share in outward]
    places = [rank if level >= 0.5 else ordered.size - 1 - rank for level, rank in zip(LEVELS, ranks, strict=True)]
    return ordered[places]


def _anomalies(values: Floats, clock: Clock, usual: Floats, shifts: Iterable[int]) -> dict[int, Floats]:
    """Return, by shift, the anomaly so many half hours after that in which a forecast could have been made.

    One value for each such half hour, from the second day's worth on, as far as the values reach; 0 is the half
    hour itself. All are measured from what was usual as the day of the making began.
    """
    cells = clock.is_weekend * HALF_HOURS + clock.half_hour
    rows = clock.day[HALF_HOURS:] * (2 * HALF_HOURS)
    level = usual.ravel()
    found = {}
    for shift in shifts:
        first, size = HALF_HOURS + shift, max(values.size - HALF_HOURS - max(shift, 0), 0)
        when = slice(first, first + size)
        found[shift] = values[when] - level[rows[:size] + cells[when]]
    return found


def _count_days(days: Ints) -> int:
    """Return how many days there are among `days`, which are in order."""
    return int(days.size > 0) + int(np.count_nonzero(np.diff(days)))


def _weigh(came: Floats, last: Floats, same: Floats) -> tuple[tuple[float, float], float]:
    """Return the weights of both anomalies, by least squares with a ridge; and that of the last one by itself."""
    known = np.isfinite(came) & np.isfinite(last) & np.isfinite(same)
    if not known.all():
        came, last, same = came[known], last[known], same[known]
    last_last, last_same, same_same = total(last * last), total(last * same), total(same * same)
    came_last, came_same = total(came * last), total(came * same)
    if not last_last > 0:  # nothing known, or a series that never left what is usual
        return (0.0, 0.0), 0.0
    ridge = _RIDGE_DAYS * HALF_HOURS * last_last / came.size
    last_last, same_same = last_last + ridge, same_same + ridge
    spread = last_last * same_same - last_same * last_same
    of_last = (came_last * same_same - came_same * last_same) / spread
    of_same = (came_same * last_last - came_last * last_same) / spread
    return (of_last, of_same), came_last / last_last


def _unrest(errors: Floats, day: Ints) -> Floats:
    """Return how large errors were of late as each day began, (days + 1,): 1 is as large as ever, 1 too if unknown.

    Weather and markets have calm weeks and wild ones, and an error says much about the next one's size.
    """
    sizes, counts = np.zeros(day[-1] + 1), np.zeros(day[-1] + 1)
    for lead in range(LEADS):
        known = np.flatnonzero(np.isfinite(errors[lead]))
        size = np.abs(errors[lead, known])
        usual_size = total(size) / max(size.size, 1)
        if usual_size > 0:
            np.add.at(sizes, day[HALF_HOURS + lead + known], size / usual_size)
            counts += np.bincount(day[HALF_HOURS + lead + known], minlength=counts.size)
    unrest, weighted, weight = np.ones(day[-1] + 2), 0.0, 0.0
    for on in range(day[-1] + 1):
        weighted, weight = DAILY_KEEP * weighted, DAILY_KEEP * weight
        if counts[on] > 0:
            weighted, weight = weighted + sizes[on] / counts[on], weight + 1
        if weighted > 0:
            unrest[on + 1] = weighted / weight
    return unrest


def _cautious(sample: Floats, days: int) -> Floats:
    return quantiles(sample, days) * (1 + _CAUTION_DAYS2 / days**2)


def _around_the_mean(values: Floats, clock: Clock) -> Floats:
    """Return the quantiles of how far values lie from their mean: what a forecast of it would have missed by."""
    is_known = np.isfinite(values)
    known = values[is_known]
    return _cautious(known - total(known) / known.size, _count_days(clock.day[is_known]))
