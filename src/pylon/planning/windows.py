"""The best windows of a given length in one region: greenest and cheapest, and what an MWh in them costs.

A window is one stretch of time. The moments at which one is tried are those of `planning.arrival`: no other minute
has a lower mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pylon.errors import Invalid
from pylon.planning import _pieces
from pylon.planning.field import HALF_HOUR_MINS, Floats, Terms, Weights

__all__ = ["Window", "Windows", "best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window: when, how green, how dear; NaN where a half hour that it touches is not known."""

    begins: float
    """In minutes from the start of the first half hour."""
    ends: float
    mean_carbon_gco2_kwh: float
    mean_price_gbp_mwh: float
    terms: Terms
    """For 1 MWh drawn evenly; no migration, wait or scarcity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Windows that do not overlap, best first: each list is chosen by itself. Empty when none ends in time."""

    greenest: tuple[Window, ...]
    cheapest: tuple[Window, ...]


def best(
    carbon_gco2_kwh: ArrayLike,
    price_gbp_mwh: ArrayLike,
    *,
    duration_mins: float,
    weights: Weights,
    stress: ArrayLike | None = None,
    earliest_mins: float = 0.0,
    latest_end_mins: float = math.inf,
    count: int = 3,
) -> Windows:
    """Return the `count` windows of least mean carbon intensity, and of least mean price, that end in time.

    The arrays are of half hours, (T,), NaN where not known. A window is among the greenest only when carbon is
    known in all of it, among the cheapest when the price is. The second of a list is the best that does not overlap
    the first, and so on; of equals the earlier comes first. Raises `Invalid` for arrays of unequal length or a
    window of no length.
    """
    carbon, price = (np.asarray(values, np.float64).ravel() for values in (carbon_gco2_kwh, price_gbp_mwh))
    strained = np.full(carbon.size, math.nan) if stress is None else np.asarray(stress, np.float64).ravel()
    if not carbon.size == price.size == strained.size > 0:
        raise Invalid(
            f"Carbon has {carbon.size} half hours, price {price.size} and stress {strained.size}; give one of each."
        )
    if not (0 < duration_mins < math.inf and 0 <= earliest_mins < math.inf):
        raise Invalid(
            f"{duration_mins} minutes from minute {earliest_mins} on is no window; it lasts 1 or more, from 0 on."
        )
    begins = _pieces.starts(float(duration_mins), float(earliest_mins), float(latest_end_mins), carbon.size)
    ends = begins + duration_mins
    begins = begins[(ends <= latest_end_mins) & (ends <= HALF_HOUR_MINS * carbon.size)]
    means = tuple(_means(values, begins, duration_mins) for values in (carbon, price, strained))
    return Windows(
        greenest=_apart(means[0], begins, duration_mins, means, weights, count),
        cheapest=_apart(means[1], begins, duration_mins, means, weights, count),
    )


def _means(values: Floats, begins: Floats, duration_mins: float) -> Floats:
    """Return the mean over each window; NaN where a part of it is not known."""
    edges = HALF_HOUR_MINS * np.arange(values.size + 1.0)
    first, last = edges[:-1], edges[1:]
    ends = begins + duration_mins
    mins = np.clip(np.minimum(ends[:, None], last) - np.maximum(begins[:, None], first), 0, None)
    terms = np.where(mins > 0, mins * np.where(np.isfinite(values), values, math.nan), 0.0)
    # Half hour by half hour, so that the sum is the same on every machine.
    total = np.zeros(begins.size)
    for column in range(values.size):
        total += terms[:, column]
    return total / duration_mins


def _apart(
    keys: Floats,
    begins: Floats,
    duration_mins: float,
    means: tuple[Floats, ...],
    weights: Weights,
    count: int,
) -> tuple[Window, ...]:
    """Return up to `count` windows of least key that do not overlap, least first."""
    found: list[int] = []
    # Rounded, so that windows that are equal but for the last digit come in order of time.
    for i in np.argsort(np.round(keys, 9), kind="stable").tolist():
        if len(found) == count or math.isnan(keys[i]):
            break
        if all(abs(begins[i] - begins[other]) >= duration_mins for other in found):
            found.append(i)
    carbon, price, stress = means
    return tuple(
        Window(
            begins=float(begins[i]),
            ends=float(begins[i] + duration_mins),
            mean_carbon_gco2_kwh=float(carbon[i]),
            mean_price_gbp_mwh=float(price[i]),
            terms=Terms(
                energy=float(price[i]),
                carbon=float(weights.carbon_price_gbp_t * carbon[i] / 1000),
                stress=float(weights.stress_price_gbp_mwh * stress[i]),
                migration=0.0,
                wait=0.0,
                scarcity=0.0,
            ),
        )
        for i in found
    )
