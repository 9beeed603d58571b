"""Seeded noise and London clock readings of half hours: what every simulated source draws from.

A value is a function of the seed, a name and the absolute half hour alone: no state, no sequence, no global
generator. So two windows agree wherever they overlap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from pylon.ontology.calendar import HALF_HOUR, LONDON

__all__ = ["Clock", "Floats", "Ints", "clock", "normal", "number", "smooth", "smooth_plane", "uniform"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Clock:
    """Half hours as arrays of n values, in order."""

    number: Ints
    """Half hours since 1970 (UTC)."""
    hour: Floats
    """London time of day at the middle of the half hour, 0 to 24."""
    is_weekend: NDArray[np.bool_]
    """Whether the London day is a Saturday or a Sunday. Public holidays are not modelled."""
    year_day: Floats
    """Days since the start of the UTC year, at the middle of the half hour."""


def number(at: datetime) -> int:
    """Return how many half hours after the start of 1970 (UTC) the half hour of `at` starts."""
    return (at - _EPOCH) // HALF_HOUR


def clock(starts: Sequence[datetime]) -> Clock:
    """Return the readings of half hours that start at `starts` (UTC)."""
    local = [at.astimezone(LONDON) for at in starts]
    numbers = np.array([number(at) for at in starts], np.int64)
    year_starts = np.array([number(datetime(at.year, 1, 1, tzinfo=UTC)) for at in starts], np.int64)
    return Clock(
        number=numbers,
        hour=np.array([at.hour + at.minute / 60 + 0.25 for at in local], np.float64),
        is_weekend=np.array([at.weekday() >= 5 for at in local], np.bool_),
        year_day=(numbers - year_starts + 0.5) / 48,
    )


def uniform(seed: int, name: str, *positions: Ints) -> Floats:
    """Return independent values, uniform in (0, 1), one for each position (or tuple of positions)."""
    state = np.asarray(_key(seed, name))
    for position in positions:
        state = _mix(state ^ _mix(np.atleast_1d(position).astype(np.uint64) + _GOLDEN))
    return (np.asarray(state >> np.uint64(11), np.float64) + 0.5) / 2.0**53


def normal(seed: int, name: str, *positions: Ints) -> Floats:
    """Return independent standard normal values, one for each position (Box and Muller's transform)."""
    radius = np.sqrt(-2 * np.log(uniform(seed, name + "/radius", *positions)))
    return np.asarray(radius * np.cos(2 * np.pi * uniform(seed, name + "/angle", *positions)))


def smooth(seed: int, name: str, period: int, positions: Ints) -> Floats:
    """Return a standard normal series that forgets itself over about `period` half hours.

    Independent values at every `period`-th half hour, blended between so that the variance stays 1.
    """
    knot, offset = np.divmod(positions, period)
    share = offset / period
    ease = share * share * (3 - 2 * share)
    blend = (1 - ease) * normal(seed, name, knot) + ease * normal(seed, name, knot + 1)
    return np.asarray(blend / np.hypot(1 - ease, ease))


def smooth_plane(seed: int, name: str, period: int, first: Ints, second: Ints) -> Floats:
    """Return standard normal values that vary smoothly along both axes, over about `period` half hours."""
    rows, row_offset = np.divmod(first, period)
    columns, column_offset = np.divmod(second, period)
    down, across = row_offset / period, column_offset / period
    total = np.zeros(np.broadcast(first, second).shape)
    square = np.zeros_like(total)
    for row, row_weight in ((rows, 1 - down), (rows + 1, down)):
        for column, column_weight in ((columns, 1 - across), (columns + 1, across)):
            weight = row_weight * column_weight
            total += weight * normal(seed, name, row, column)
            square += weight * weight
    return np.asarray(total / np.sqrt(square))


def _key(seed: int, name: str) -> NDArray[np.uint64]:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.frombuffer(digest[:8], "<u8").astype(np.uint64)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble every bit: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))
