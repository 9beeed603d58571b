"""Forecast signals: where no source gives a half hour ahead, Pylon forecasts it from the signal's real past."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import numpy as np

from pylon.errors import Invalid
from pylon.ontology.calendar import AHEAD, HALF_HOUR, LONDON, floor, midnight
from pylon.planning import forecast
from pylon.planning.forecast import Forecast, Model, Quantity
from pylon.services import ingest
from pylon.services.reports import ForecastReport
from pylon.services.series import NATIONAL, REGIONAL, Series
from pylon.sources.feed import MODELLED, SIMULATED, Batch, NationalReading, RegionalReading, Supply
from pylon.store.database import Transaction

__all__ = ["HISTORY", "forecast_signals"]

HISTORY: Final = timedelta(weeks=6)
"""How much of the past is learned from: a day counts half after two weeks, so what is older says little."""

_MADE: Final = frozenset({None, SIMULATED, MODELLED})
"""Who has given a half hour that nobody has given."""

_QUANTITIES: Final = {
    Supply.CARBON: Quantity.CARBON,
    Supply.REGIONAL: Quantity.CARBON,
    Supply.DEMAND: Quantity.DEMAND,
    Supply.PRICE: Quantity.PRICE,
}
_SERIES: Final = tuple(
    series for series in (*NATIONAL, *REGIONAL) if series.quantity in _QUANTITIES and not series.is_afterwards
)


@dataclass(frozen=True, slots=True)
class _Horizon:
    """What the sources say of one series, half hour by half hour from the present one on; NaN where nobody does."""

    series: Series
    official: list[float]
    holes: list[int]
    """Positions of the half hours that no source has given."""


@dataclass(slots=True)
class _Made:
    """What was forecast in one run."""

    national: dict[datetime, dict[str, Any]] = field(default_factory=dict)
    """Columns of the national signal by half hour."""
    regional: list[RegionalReading] = field(default_factory=list)
    half_hours: dict[str, int] = field(default_factory=dict)
    on_short_history: list[str] = field(default_factory=list)
    without_history: dict[str, int] = field(default_factory=dict)


def forecast_signals(
    transaction: Transaction, *, ranks: Mapping[str, int], run_id: UUID, as_of: datetime, now: datetime
) -> ForecastReport:
    """Fill the half hours of the 48 hours from `as_of` on that no source has given, and return what was filled.

    National carbon, demand and price and the carbon of each region are forecast from what sources gave of the past
    six weeks, nothing simulated. They rank above simulated values and below everybody else's (`ranks`), and are
    kept as vintages; `now` is when they count as known.
    """
    start = floor(as_of)
    lacking = [horizon for horizon in _horizons(transaction, start) if horizon.holes]
    if not lacking:
        return ForecastReport()
    made = _Made()
    past = _past(transaction, [horizon.series for horizon in lacking], start)
    for horizon in lacking:
        ours = _forecast(horizon.series, past[horizon.series.name], start)
        if ours is None:
            made.without_history[horizon.series.name] = len(horizon.holes)
        else:
            _fill(made, horizon, forecast.fill(horizon.official, ours))
    stored = _store(transaction, made, ranks=ranks, run_id=run_id, now=now)
    return ForecastReport(
        half_hours=made.half_hours,
        on_short_history=made.on_short_history,
        without_history=made.without_history,
        rows_written=stored.written,
        vintages_written=stored.vintages,
    )


def _horizons(transaction: Transaction, start: datetime) -> Iterator[_Horizon]:
    national = transaction.all("national_signals", start=start, end=start + AHEAD)
    regional = {row["region_id"]: row for row in transaction.all("regional_series", start=start, end=start + AHEAD)}
    for series in _SERIES:
        if series.region_id is None:
            values = [row[series.column] for row in national]
            makers = [(row["provenance"] or {}).get(series.quantity) for row in national]
        else:
            values, makers = regional[series.region_id][series.column], regional[series.region_id]["data_source"]
        holes = [position for position, maker in enumerate(makers) if maker in _MADE]
        official = [
            math.nan if value is None or maker in _MADE else float(value)
            for value, maker in zip(values, makers, strict=True)
        ]
        yield _Horizon(series, official, holes)


def _past(
    transaction: Transaction, lacking: Sequence[Series], start: datetime
) -> Mapping[str, Sequence[float | None]]:
    """Return what sources gave of each series until `start`, from a midnight on; None where they gave nothing."""
    span = {"start": _learned_from(start), "end": start}
    found: dict[str, Sequence[float | None]] = {}
    national = [series for series in lacking if series.region_id is None]
    if national:
        rows = transaction.all("national_past", **span)
        found |= {series.name: [row[series.quantity] for row in rows] for series in national}
    regional = {series.region_id: series.name for series in lacking if series.region_id is not None}
    if regional:
        rows = transaction.all("regional_past", regions=list(regional), **span)
        found |= {regional[row["region_id"]]: row["carbon"] for row in rows}
    return found


def _forecast(series: Series, past: Sequence[float | None], start: datetime) -> Forecast | None:
    """Return the forecast from `start` on, or None where too little of the past is known."""
    values = np.array(past, np.float64)  # None becomes NaN
    known = np.flatnonzero(np.isfinite(values))
    until = int(known[-1]) + 1 if known.size else 0
    try:
        model = _model(values[:until].tobytes(), _learned_from(start), _QUANTITIES[Supply(series.quantity)])
    except Invalid:
        return None
    return forecast.forecast(model, values[-2 * forecast.LEADS :], start, int(AHEAD / HALF_HOUR))


@lru_cache(maxsize=len(_SERIES))
def _model(past: bytes, starts_at: datetime, quantity: Quantity) -> Model:
    """Return what the past teaches: where a source is silent for long, the same as half an hour before."""
    return forecast.fit(np.frombuffer(past), starts_at, quantity=quantity)


def _learned_from(start: datetime) -> datetime:
    return midnight((start - HISTORY).astimezone(LONDON).date())


def _fill(made: _Made, horizon: _Horizon, filled: Forecast) -> None:
    """Add what is forecast of the half hours that no source has given."""
    series, mean, upper = horizon.series, filled.mean.tolist(), filled.upper.tolist()
    for position in horizon.holes:
        at = filled.starts_at + position * HALF_HOUR
        if series.region_id is None:
            made.national.setdefault(at, {})[series.column] = _stored(series, mean[position])
        else:
            made.regional.append(_region(series.region_id, at, mean[position], upper[position]))
    made.half_hours[series.name] = len(horizon.holes)
    if filled.is_short:
        made.on_short_history.append(series.name)


def _stored(series: Series, value: float) -> int | Decimal:
    return Decimal(f"{value:.2f}") if series.quantity == Supply.PRICE else round(value)


def _region(region_id: int, at: datetime, mean: float, upper: float) -> RegionalReading:
    return RegionalReading(
        region_id=region_id,
        starts_at=at,
        carbon_intensity_forecast=round(mean),
        carbon_index=None,
        carbon_intensity_upper=max(round(mean), math.ceil(upper)),
    )


def _store(
    transaction: Transaction, made: _Made, *, ranks: Mapping[str, int], run_id: UUID, now: datetime
) -> ingest.Stored:
    national = [NationalReading(starts_at=at, **columns) for at, columns in sorted(made.national.items())]
    batch = Batch(national=national, regional=made.regional, rows_seen=len(national) + len(made.regional))
    return ingest.store_batch(transaction, MODELLED, batch, ranks=ranks, run_id=run_id, now=now)
