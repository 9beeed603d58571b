"""Ingest: store what the sources of one run gave, and keep the vintage of each series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pylon.ontology import carbon
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours, settlement_period
from pylon.sources.feed import Batch, NationalReading, RegionalReading, Supply
from pylon.store.database import Transaction, json_text

__all__ = ["Stored", "refresh_centres", "series_of", "store_batch"]

_NATIONAL_COLUMNS: Mapping[Supply, tuple[str, ...]] = {
    Supply.CARBON: ("carbon_intensity_forecast", "carbon_intensity_actual"),
    Supply.DEMAND: ("demand_mw",),
    Supply.PRICE: ("wholesale_price_gbp_mwh",),
    Supply.SYSTEM_PRICE: ("system_price_gbp_mwh",),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing one batch came to, in rows."""

    written: int
    unchanged: int
    vintages: int


def store_batch(
    transaction: Transaction, label: str, batch: Batch, *, ranks: Mapping[str, int], run_id: UUID, now: datetime
) -> Stored:
    """Store the readings and factors that came under one label, and the vintage of each of their series.

    `ranks` says which of two labels is believed (`feed.ranks`). Until the transaction ends no other stores signals.
    """
    transaction.run("store_alone")
    precedence = json_text(dict(ranks))
    seen = signals = others = 0
    if batch.national:
        rows = [row for reading in batch.national if (row := _national_row(reading, label))["provenance"]]
        done = transaction.value("ingest_national", rows=json_text(rows), ranks=precedence, now=now)
        seen, signals, others = _add((seen, signals, others), done)
    if batch.regional:
        rows = [_regional_row(reading) for reading in batch.regional]
        done = transaction.value("ingest_regional", rows=json_text(rows), source=label, ranks=precedence, now=now)
        seen, signals, others = _add((seen, signals, others), done)
    if batch.factors:
        given = json_text(dict(batch.factors))
        written = transaction.value("ingest_factors", factors=given, source=label, ranks=precedence, now=now)
        seen, signals = seen + len(batch.factors), signals + written
    series = [*_national_series(batch.national), *_regional_series(batch.regional)]
    vintages = 0
    if series:
        labelled = json_text([{**one, "source": label} for one in series])
        vintages = transaction.value("record_vintages", series=labelled, run_id=run_id, now=now)
    return Stored(written=signals + others, unchanged=seen - signals, vintages=vintages)


def refresh_centres(transaction: Transaction, now: datetime) -> int:
    """Bring every data centre's current carbon intensity to its region's forecast for this half hour."""
    return transaction.run("refresh_centre_carbon", half_hour=floor(now))


def _national_row(reading: NationalReading, label: str) -> dict[str, Any]:
    forecast, actual = reading.carbon_intensity_forecast, reading.carbon_intensity_actual
    known = actual if actual is not None else forecast
    given = {
        Supply.CARBON: known if known is not None else reading.withheld or None,
        Supply.DEMAND: reading.demand_mw,
        Supply.PRICE: reading.wholesale_price_gbp_mwh,
        Supply.SYSTEM_PRICE: reading.system_price_gbp_mwh,
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
        "system_price_gbp_mwh": reading.system_price_gbp_mwh,
        "withheld": sorted(reading.withheld) or None,
        "mix": reading.mix or None,
    }


def _regional_row(reading: RegionalReading) -> dict[str, Any]:
    forecast = reading.carbon_intensity_forecast
    return {
        "region_id": reading.region_id,
        "timestamp": reading.starts_at,
        "carbon_intensity_forecast": forecast,
        "carbon_intensity_upper": reading.carbon_intensity_upper,
        "carbon_index": reading.carbon_index,
        "carbon_index_computed": None if forecast is None else carbon.index(forecast, reading.starts_at.year),
        "mix": reading.mix,
    }


def _national_series(readings: Sequence[NationalReading]) -> Iterable[dict[str, Any]]:
    for column in (column for columns in _NATIONAL_COLUMNS.values() for column in columns):
        values = {reading.starts_at: getattr(reading, column) for reading in readings}
        if any(value is not None for value in values.values()):
            yield series_of(f"national.{column}", values)


def _regional_series(readings: Sequence[RegionalReading]) -> Iterable[dict[str, Any]]:
    by_region: dict[int, dict[datetime, int | None]] = {}
    for reading in readings:
        by_region.setdefault(reading.region_id, {})[reading.starts_at] = reading.carbon_intensity_forecast
    for number, values in sorted(by_region.items()):
        yield series_of(f"region.{number}.carbon_intensity_forecast", values)


def series_of(name: str, values: Mapping[datetime, Any]) -> dict[str, Any]:
    """Return a series as `record_vintages` takes it: one value a half hour from the first, None for a gap."""
    start, end = min(values), max(values) + HALF_HOUR
    aligned = [values.get(at) for at in half_hours(start, end)]
    return {
        "series": name,
        "starts_at": start,
        "half_hour_values": [None if value is None else float(value) for value in aligned],
    }


def _add(totals: tuple[int, int, int], done: Mapping[str, int]) -> tuple[int, int, int]:
    return (
        totals[0] + done["signals_seen"],
        totals[1] + done["signals_written"],
        totals[2] + done["mix_written"],
    )
