"""Forecast: what a signal will be, and how surely, made of its own past; for where no official forecast reaches.

The mean of a half hour is what is usual then, plus a share of how far from usual the series is now:

    mean(lead) = usual(half hour of the London day, working day or weekend)
               + a(lead) x last anomaly + b(lead) x anomaly at the same time of the day before

Usual is a mean in which a day counts half after 14 days; a and b are found by least squares over the history. What
that would have missed by, past alone, gives the quantiles at each lead, scaled by how large errors were of late.
One method and one set of constants for carbon, price and demand; figures in docs/concepts/forecast.md.

The caller decides what may enter: of a simulated history comes a simulated forecast, and must be labelled so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR
from pylon.planning._forecast_errors import LEADS, LEVELS, learn, quantiles
from pylon.planning._forecast_scores import coverage, crps, mae, share_kept
from pylon.planning._forecast_usual import HALF_HOURS, Ints, follow, read_clock
from pylon.planning.field import Floats

__all__ = [
    "LEADS",
    "LEVELS",
    "SHORT_DAYS",
    "STALE_AFTER",
    "UPPER_LEVEL",
    "Forecast",
    "Maker",
    "Model",
    "Quantity",
    "coverage",
    "crps",
    "fill",
    "fit",
    "forecast",
    "mae",
    "quantiles",
    "share_kept",
]

UPPER_LEVEL: Final = 0.9
"""The quantile that caps are held against."""

SHORT_DAYS: Final = 28
"""A history of fewer days is called short: its quantiles are near the largest errors that it has seen."""

STALE_AFTER: Final = timedelta(hours=24)
"""Pylon's choice: an official forecast this old says nothing of the second day, which is half of what is asked."""


class Quantity(StrEnum):
    """What is forecast, which decides how low it may go."""

    CARBON = "carbon"
    """gCO2/kWh, national or of a region: not below 0."""
    PRICE = "price"
    """GBP/MWh: may be negative."""
    DEMAND = "demand"
    """MW: not below 0."""


_LEAST: Final = {Quantity.CARBON: 0.0, Quantity.PRICE: -math.inf, Quantity.DEMAND: 0.0}


class Maker(StrEnum):
    """Whose forecast a half hour has."""

    OFFICIAL = "official"
    MODEL = "pylon_forecast_v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a history taught. Leads count from 0, the first half hour after the last known one."""

    quantity: Quantity
    usual: Floats
    """(2, 48). By working day and weekend, and half hour of the London day."""
    weights: Floats
    """(LEADS, 2). Of the last anomaly, and of the one at the same time of the day before."""
    fade: Floats
    """(LEADS,). What is left of the last anomaly when nothing else is known."""
    offsets: Floats
    """(len(LEVELS), LEADS). From the mean to each quantile."""
    days: int
    """Days of errors behind the offsets, at the lead that has the fewest."""

    @property
    def is_short(self) -> bool:
        """Whether the history was too short for quantiles that are more than a guess on the safe side."""
        return self.days < SHORT_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A forecast of T half hours, in order. Costs are reckoned with `mean`, caps are held against `upper`."""

    starts_at: datetime
    quantity: Quantity
    mean: Floats
    """(T,)."""
    quantiles: Floats
    """(len(LEVELS), T), at LEVELS."""
    fade: Floats
    """(T,). What is left of an anomaly after 1, 2, .. half hours."""
    makers: tuple[Maker, ...]
    """(T,)."""
    is_short: bool
    """Whether the model's history was short."""

    @property
    def upper(self) -> Floats:
        """The quantile at UPPER_LEVEL, (T,): nine times in ten the value stays below."""
        upper: Floats = self.quantiles[LEVELS.index(UPPER_LEVEL)]
        return upper


def fit(history: ArrayLike, starts_at: datetime, *, quantity: Quantity) -> Model:
    """Return what the half hours of `history` teach; the first starts at `starts_at` (aware), NaN is unknown.

    A year is plenty, a few days will do: the fewer, the wider the quantiles. Raises `Invalid` with less than a
    day's worth of known values.
    """
    values = np.asarray(history, np.float64).ravel()
    known = int(np.isfinite(values).sum())
    if known < HALF_HOURS:
        raise Invalid(
            f"The history of {quantity} has {known} known half hours; a forecast needs {HALF_HOURS} or more, "
            "and is good from four weeks on."
        )
    clock = read_clock(starts_at, values.size)
    usual = follow(values, clock)
    lessons = learn(values, clock, usual)
    return Model(
        quantity=quantity,
        usual=usual[-1],
        weights=lessons.weights,
        fade=lessons.fade,
        offsets=lessons.offsets,
        days=lessons.days,
    )


def forecast(model: Model, recent: ArrayLike, starts_at: datetime, half_hours: int = LEADS) -> Forecast:
    """Return the forecast of `half_hours` half hours from `starts_at` (aware) on.

    `recent` are the half hours just before, in order, the last one ending at `starts_at`; two days will do. NaN is
    unknown, and where the last ones are, leads count from the last that is known: the forecast is less sure. With
    none known it is what is usual. Raises `Invalid` for no half hours.
    """
    if half_hours < 1:
        raise Invalid(f"{half_hours} half hours cannot be forecast; ask for 1 or more.")
    values = np.asarray(recent, np.float64).ravel()
    clock = read_clock(starts_at - values.size * HALF_HOUR, values.size + half_hours)
    usual = model.usual[clock.is_weekend, clock.half_hour]
    anomalies = values - usual[: values.size]
    known = np.flatnonzero(np.isfinite(anomalies))
    end = int(known[-1]) + 1 if known.size else values.size - LEADS
    leads = np.arange(half_hours) + values.size - end
    last, same = _recall(anomalies[: max(end, 0)], leads)
    leads = np.minimum(leads, LEADS - 1)
    mean = usual[values.size :] + model.weights[leads, 0] * last + model.weights[leads, 1] * same
    return Forecast(
        starts_at=starts_at,
        quantity=model.quantity,
        mean=np.maximum(mean, _LEAST[model.quantity]),
        quantiles=np.maximum(mean + model.offsets[:, leads], _LEAST[model.quantity]),
        fade=model.fade[np.minimum(np.arange(half_hours), LEADS - 1)],
        makers=(Maker.MODEL,) * half_hours,
        is_short=model.is_short,
    )


def fill(
    official: ArrayLike,
    ours: Forecast,
    *,
    age: timedelta = timedelta(0),
    stale_after: timedelta = STALE_AFTER,
    errors: ArrayLike | None = None,
) -> Forecast:
    """Return the official forecast, continued by ours where it is missing or ends; ours alone when it is stale.

    `official` are the same half hours as ours, from the first on: NaN is missing, and it may be shorter. `age` is
    how long ago it was made. `errors` are the quantiles at LEVELS of what came less the official forecast,
    (len(LEVELS),) or (len(LEVELS), T), as `quantiles` makes them; without them our own stand in. Where ours takes
    over, it begins where the official ended and leaves that as an anomaly fades. Raises `Invalid` for an official
    forecast longer than ours.
    """
    size = ours.mean.size
    given = np.full(size, math.nan)
    values = np.asarray(official, np.float64).ravel()
    if values.size > size:
        raise Invalid(f"The official forecast has {values.size} half hours and ours {size}; make ours as long.")
    if age <= stale_after:
        given[: values.size] = values
    is_official = np.isfinite(given)
    least = _LEAST[ours.quantity]
    shift = _seam(given, ours)
    offsets = ours.quantiles - ours.mean if errors is None else _spread(errors, size)
    return Forecast(
        starts_at=ours.starts_at,
        quantity=ours.quantity,
        mean=np.where(is_official, given, np.maximum(ours.mean + shift, least)),
        quantiles=np.maximum(np.where(is_official, given + offsets, ours.quantiles + shift), least),
        fade=ours.fade,
        makers=tuple(Maker.OFFICIAL if is_theirs else Maker.MODEL for is_theirs in is_official.tolist()),
        is_short=ours.is_short,
    )


def _recall(known: Floats, leads: Ints) -> tuple[float, Floats]:
    """Return the last anomaly, and for each lead that of the same time of day; 0, which is usual, if unknown."""
    day = np.zeros(HALF_HOURS)
    tail = known[-HALF_HOURS:]
    if tail.size:
        day[-tail.size :] = np.where(np.isfinite(tail), tail, 0.0)
    return float(day[-1]), day[leads % HALF_HOURS]


def _seam(given: Floats, ours: Forecast) -> Floats:
    """Return what is added to ours: how far from it the official forecast last was, faded."""
    shift, last, since = np.zeros(given.size), 0.0, 0
    for position, (theirs, own) in enumerate(zip(given.tolist(), ours.mean.tolist(), strict=True)):
        if math.isfinite(theirs):
            last, since = theirs - own, 0
        else:
            shift[position] = last * ours.fade[since]
            since += 1
    return shift


def _spread(errors: ArrayLike, size: int) -> Floats:
    offsets = np.asarray(errors, np.float64)
    if offsets.shape not in {(len(LEVELS),), (len(LEVELS), size)}:
        raise Invalid(f"The errors have shape {offsets.shape}; it is {(len(LEVELS),)} or {(len(LEVELS), size)}.")
    return offsets.reshape(len(LEVELS), -1)
