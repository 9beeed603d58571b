"""Ingest: store what the sources of one run gave, score grid stress, and keep the vintages, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pylon.ontology import carbon
from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, settlement_period
from pylon.planning import stress
from pylon.sources.feed import SIMULATED, Batch, NationalReading, RegionalReading, Supply, Terms
from pylon.store.database import Transaction, json_text

__all__ = ["STRESS_SOURCE", "Stored", "refresh_centres", "score_stress", "store_batch"]

STRESS_SOURCE = f"pylon_stress_v{stress.METHOD_VERSION}"

_HISTORY = timedelta(days=365)
_PRICE_HISTORY = timedelta(days=90)

_NATIONAL_COLUMNS: Mapping[Supply, tuple[str, ...]] = {
    Supply.CARBON: ("carbon_intensity_forecast", "carbon_intensity_actual"),
    Supply.DEMAND: ("demand_mw",),
    Supply.PRICE: ("wholesale_price_gbp_mwh",),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing one batch came to, in rows."""

    written: int
    unchanged: int
    vintages: int


def store_batch(transaction: Transaction, terms: Terms, batch: Batch, *, run_id: UUID, now: datetime) -> Stored:
    """Store the readings and factors of one source, and the vintage of each of its series."""
    label = terms.data_source
    seen = signals = others = 0
    if batch.national:
        rows = [row for reading in batch.national if (row := _national_row(reading, label))["provenance"]]
        done = transaction.value("ingest_national", rows=json_text(rows), now=now)
        seen, signals, others = _add((seen, signals, others), done)
    if batch.regional:
        rows = [_regional_row(reading) for reading in batch.regional]
        done = transaction.value("ingest_regional", rows=json_text(rows), source=label, now=now)
        seen, signals, others = _add((seen, signals, others), done)
    if batch.factors:
        written = transaction.value("ingest_factors", factors=json_text(dict(batch.factors)), source=label, now=now)
        seen, signals = seen + len(batch.factors), signals + written
    series = [*_national_series(batch.national), *_regional_series(batch.regional)]
    vintages = 0
    if series:
        labelled = json_text([{**one, "source": label} for one in series])
        vintages = transaction.value("record_vintages", series=labelled, run_id=run_id, now=now)
    return Stored(written=signals + others, unchanged=seen - signals, vintages=vintages)


def score_stress(
    transaction: Transaction, *, start: datetime, end: datetime, run_id: UUID, now: datetime
) -> Stored:
    """Score the grid stress of the half hours [start, end) from what is stored, and store it.

    A simulated input never enters a score labelled real: where one input is real and the other simulated, the
    real one is scored alone; where both are simulated, so is the score.
    """
    signals = transaction.all("national_signals", start=start, end=end)
    scored = [_stress_inputs(signal) for signal in signals]
    history = _history(transaction.all("quantity_history", start=start - _HISTORY, end=start), start)
    result = stress.score(
        stress.Signals(
            is_winter=[signal["timestamp"].astimezone(LONDON).month in stress.WINTER_MONTHS for signal in signals],
            demand_mw=[_nan(demand) for demand, _, _ in scored],
            price_gbp_mwh=[_nan(price) for _, price, _ in scored],
        ),
        history,
    )
    rows = [
        {
            "timestamp": signal["timestamp"],
            "settlement_period": settlement_period(signal["timestamp"])[1],
            "provenance": {"stress": label},
            "grid_stress_score": score,
            "grid_stress_detail": result.detail(position),
        }
        for position, (signal, (_, _, label), score) in enumerate(
            zip(signals, scored, result.scores.tolist(), strict=True)
        )
        if label is not None
    ]
    if not rows:
        return Stored(0, 0, 0)
    done = transaction.value("ingest_national", rows=json_text(rows), now=now)
    values = {row["timestamp"]: row["grid_stress_score"] for row in rows}
    labels = {row["provenance"]["stress"] for row in rows}
    series = _series("national.grid_stress_score", values)
    source = SIMULATED if SIMULATED in labels else STRESS_SOURCE
    vintages = transaction.value(
        "record_vintages", series=json_text([{**series, "source": source}]), run_id=run_id, now=now
    )
    written = int(done["signals_written"])
    return Stored(written=written, unchanged=len(rows) - written, vintages=vintages)


def refresh_centres(transaction: Transaction, now: datetime) -> int:
    """Bring every data centre's current carbon intensity to its region's forecast for this half hour."""
    return transaction.run("refresh_centre_carbon", half_hour=floor(now))


def _national_row(reading: NationalReading, label: str) -> dict[str, Any]:
    forecast, actual = reading.carbon_intensity_forecast, reading.carbon_intensity_actual
    known = actual if actual is not None else forecast
    given = {
        Supply.CARBON: known,
        Supply.DEMAND: reading.demand_mw,
        Supply.PRICE: reading.wholesale_price_gbp_mwh,
        Supply.MIX: reading.mix or None,
    }
    return {
        "timestamp": reading.starts_at,
        "settlement_period": settlement_period(reading.starts_at)[1],
        "provenance": {supply: label for supply, value in given.items() if value is not None},
        "carbon_intensity_forecast": forecast,
        "carbon_intensity_actual": actual,
        "carbon_index": reading.carbon_index,
        "carbon_index_computed": None if known is None else carbon.index(known, reading.starts_at.year),
        "demand_mw": reading.demand_mw,
        "wholesale_price_gbp_mwh": reading.wholesale_price_gbp_mwh,
        "mix": reading.mix or None,
    }


def _regional_row(reading: RegionalReading) -> dict[str, Any]:
    forecast = reading.carbon_intensity_forecast
    return {
        "region_id": reading.region_id,
        "timestamp": reading.starts_at,
        "carbon_intensity_forecast": forecast,
        "carbon_index": reading.carbon_index,
        "carbon_index_computed": None if forecast is None else carbon.index(forecast, reading.starts_at.year),
        "mix": reading.mix,
    }


def _national_series(readings: Sequence[NationalReading]) -> Iterable[dict[str, Any]]:
    for column in (column for columns in _NATIONAL_COLUMNS.values() for column in columns):
        values = {reading.starts_at: getattr(reading, column) for reading in readings}
        if any(value is not None for value in values.values()):
            yield _series(f"national.{column}", values)


def _regional_series(readings: Sequence[RegionalReading]) -> Iterable[dict[str, Any]]:
    by_region: dict[int, dict[datetime, int | None]] = {}
    for reading in readings:
        by_region.setdefault(reading.region_id, {})[reading.starts_at] = reading.carbon_intensity_forecast
    for number, values in sorted(by_region.items()):
        yield _series(f"region.{number}.carbon_intensity_forecast", values)


def _series(name: str, values: Mapping[datetime, Any]) -> dict[str, Any]:
    start, end = min(values), max(values) + HALF_HOUR
    aligned = [values.get(at) for at in half_hours(start, end)]
    return {
        "series": name,
        "starts_at": start,
        "half_hour_values": [None if value is None else float(value) for value in aligned],
    }


def _stress_inputs(signal: Mapping[str, Any]) -> tuple[float | None, float | None, str | None]:
    """Return the demand and price that may enter the score, and the score's label (None: nothing to score)."""
    provenance = signal["provenance"] or {}
    sources = [provenance.get(Supply.DEMAND), provenance.get(Supply.PRICE)]
    values = [signal["demand_mw"], signal["wholesale_price_gbp_mwh"]]
    real = [
        value if source not in (None, SIMULATED) else None for value, source in zip(values, sources, strict=True)
    ]
    if any(value is not None for value in real):
        return real[0], real[1], STRESS_SOURCE
    if any(value is not None for value in values):
        return values[0], values[1], SIMULATED
    return None, None, None


def _history(rows: Sequence[Mapping[str, Any]], end: datetime) -> stress.History:
    seasons: dict[bool, list[float]] = {True: [], False: []}
    prices = []
    for row in rows:
        if row["demand_mw"] is not None:
            seasons[row["timestamp"].astimezone(LONDON).month in stress.WINTER_MONTHS].append(row["demand_mw"])
        if row["price_gbp_mwh"] is not None and row["timestamp"] >= end - _PRICE_HISTORY:
            prices.append(row["price_gbp_mwh"])
    return stress.History(winter_demand_mw=seasons[True], summer_demand_mw=seasons[False], price_gbp_mwh=prices)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _add(totals: tuple[int, int, int], done: Mapping[str, int]) -> tuple[int, int, int]:
    return (
        totals[0] + done["signals_seen"],
        totals[1] + done["signals_written"],
        totals[2] + done["mix_written"],
    )
