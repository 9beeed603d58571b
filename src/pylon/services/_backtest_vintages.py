"""The forecasts of the time: what was recorded of them, and for the rest errors drawn as the recorded ones were.

Of each half hour the last forecast is recorded, and no earlier one. Every half hour before it brought news of it:

    forecast(made at v, of t) = carbon(t) + error of the last forecast(t) + news of t that came after v

News is normal, and what one half hour brings of two neighbours is as alike as the errors of their last forecasts
are in the record (an autoregression of the first order). So errors grow with the lead, and are revised and not
redrawn as time goes on. How fast they grow no record here tells: they grow to `FAR_ERROR_GCO2_KWH`.

The errors of a half hour follow from the seed and its own time alone, so that stretches agree where they overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from pylon.ontology.calendar import AHEAD, HALF_HOUR
from pylon.planning import quality
from pylon.planning.field import Floats
from pylon.services._backtest_record import Record

__all__ = ["FAR_ERROR_GCO2_KWH", "LEADS", "Errors", "by_vintage", "fit", "served", "vintages"]

LEADS: Final = int(AHEAD / HALF_HOUR) + 1
"""Half hours of a forecast: the one in which it is made, and 48 hours ahead."""

FAR_ERROR_GCO2_KWH: Final = 31.1
"""Root mean square of the errors of all leads to 48 hours: from MAE 24.24 and a standard deviation of 19.5 of the
absolute errors (nmpowell/carbon-intensity-forecast-tracking, read November 2026)."""

_LAST, _DEMAND = LEADS, LEADS + 1  # columns of the normal numbers of a half hour; before them its news by lead
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """What was measured on a record: standard deviations, and how alike the errors of neighbours are."""

    last_sd_gco2_kwh: float
    last_alike: float
    news_sd_gco2_kwh: float
    """Of what one half hour brings."""
    demand_sd_mw: float
    demand_alike: float


def fit(record: Record) -> Errors:
    """Return the errors of the record's last carbon forecasts and day-ahead demand forecasts."""
    carbon, _ = record.carbon()
    last_sd, last_alike = _measure(record.carbon_forecast - carbon)
    demand_sd, demand_alike = _measure(record.demand_forecast_mw - record.demand_mw)
    mean_lead = (LEADS - 1) / 2
    return Errors(
        last_sd_gco2_kwh=last_sd,
        last_alike=last_alike,
        news_sd_gco2_kwh=math.sqrt(max(FAR_ERROR_GCO2_KWH**2 - last_sd**2, 0) / mean_lead),
        demand_sd_mw=demand_sd,
        demand_alike=demand_alike,
    )


def vintages(record: Record, carbon: Floats, errors: Errors, seed: int) -> tuple[Floats, Floats]:
    """Return forecasts of national carbon (T, LEADS) in whole grams, and of demand (T,), known all along.

    Row v is made in half hour v of the record, and its column k is of half hour v + k: NaN beyond the last.
    `carbon` is what came. Recorded forecasts are used where there are any.
    """
    first = (record.starts_at - _EPOCH) // HALF_HOUR - LEADS
    drawn = np.stack([_drawn(seed, first + row) for row in range(record.half_hours + LEADS)])
    last = _alike(drawn[:, _LAST], errors.last_alike)[LEADS:] * errors.last_sd_gco2_kwh
    demand = _alike(drawn[:, _DEMAND], errors.demand_alike)[LEADS:] * errors.demand_sd_mw
    last = np.where(np.isfinite(record.carbon_forecast), record.carbon_forecast - carbon, last)
    news = errors.news_sd_gco2_kwh * _news(drawn[:, :LEADS], errors.last_alike)[LEADS:]
    forecasts = by_vintage((carbon + last)[:, None] + news)
    day_ahead = record.demand_forecast_mw
    return (
        np.maximum(np.rint(forecasts), 1.0),
        np.where(np.isfinite(day_ahead), day_ahead, record.demand_mw + demand),
    )


def by_vintage(by_target: Floats) -> Floats:
    """Return (T, LEADS) by the half hour a value is made in, from values by the half hour they are of."""
    size = len(by_target)
    made, lead = np.arange(size)[:, None], np.arange(LEADS)[None, :]
    of = np.minimum(made + lead, size - 1)
    return np.where(made + lead < size, by_target[of, lead], math.nan)


def served(given: Floats, starts_at: datetime) -> Floats:
    """Return forecasts (T, LEADS) as they are served: one that is not fit gives way to the one made before it.

    NaN where there is none. The first row is made in the half hour at `starts_at`.
    """
    kept = given.copy()
    for row, values in enumerate(given.tolist()):
        made_at = starts_at + row * HALF_HOUR
        for verdict in quality.judge(_half_hours(values, made_at)):
            kept[row, (verdict.starts_at - made_at) // HALF_HOUR] = math.nan
        missing = np.flatnonzero(np.isnan(kept[row, :-1]))
        if row:
            kept[row, missing] = kept[row - 1, missing + 1]
    return kept


def _half_hours(values: list[float], starts_at: datetime) -> list[quality.HalfHour]:
    return [
        quality.HalfHour(
            starts_at=starts_at + lead * HALF_HOUR,
            forecast=None if math.isnan(value) else round(value),
            actual=None,
        )
        for lead, value in enumerate(values)
    ]


def _measure(errors: Floats) -> tuple[float, float]:
    """Return the standard deviation of errors, and the correlation of neighbours; 0 where none are known."""
    known = errors[np.isfinite(errors)]
    before, after = errors[:-1], errors[1:]
    both = np.isfinite(before) & np.isfinite(after)
    if known.size < LEADS or not both.any() or known.std() == 0:
        return 0.0, 0.0
    return float(known.std()), float(np.corrcoef(before[both], after[both])[0, 1])


def _drawn(seed: int, number: int) -> Floats:
    """Return the normal numbers of one half hour, counted from 1970."""
    return np.random.default_rng([seed, number]).standard_normal(LEADS + 2)


def _alike(drawn: Floats, share: float) -> Floats:
    """Return a series of standard deviation 1 whose neighbours correlate by `share`, from independent numbers.

    It forgets what lies more than LEADS half hours back.
    """
    weights = math.sqrt(1 - share**2) * share ** np.arange(LEADS)
    return np.convolve(drawn, weights)[: drawn.size]


def _news(drawn: Floats, share: float) -> Floats:
    """Return the sum of the news of each half hour that is still to come at each lead, (T, LEADS)."""
    news = np.empty_like(drawn)
    news[0] = drawn[0]
    rest = math.sqrt(1 - share**2)
    for row in range(
        1, len(drawn)
    ):  # what one half hour brings of a later one is like what it brings of that before
        news[row, 0] = drawn[row, 0]
        news[row, 1:] = share * news[row - 1, :-1] + rest * drawn[row, 1:]
    total = np.zeros_like(drawn)
    total[:, 1:] = np.cumsum(news[:, :-1], axis=1)
    return total
