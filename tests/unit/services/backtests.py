"""A made-up record for back-tests: carbon and demand with a daily shape, and forecasts that err."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pylon.ontology.calendar import HALF_HOUR
from pylon.services._backtest_record import COLUMNS, Record

STARTS_AT = datetime(2023, 3, 6, tzinfo=UTC)
DAY = 48


def made_up(days: int = 12, seed: int = 3) -> Record:
    drawn = np.random.default_rng(seed)
    half_hour = np.arange(days * DAY)
    carbon = np.rint(150 + 70 * np.sin(2 * math.pi * (half_hour / DAY - 0.3)) + drawn.normal(0, 4, half_hour.size))
    demand = np.rint(27_000 + 7_000 * np.sin(2 * math.pi * (half_hour / DAY - 0.4)))
    return Record(
        starts_at=STARTS_AT,
        carbon_actual=carbon,
        carbon_forecast=np.rint(carbon + drawn.normal(0, 9, half_hour.size)),
        demand_mw=demand,
        carbon_by_mix=carbon + 1.0,
        demand_forecast_mw=np.rint(demand + drawn.normal(0, 500, half_hour.size)),
    )


def text_of(record: Record) -> str:
    """Return the record as CSV; what is not known is left empty."""
    lines = [",".join(("start_utc", *COLUMNS.values()))]
    for row in range(record.half_hours):
        values = [float(getattr(record, name)[row]) for name in COLUMNS]
        at = record.starts_at + row * HALF_HOUR
        lines.append(f"{at:%Y-%m-%dT%H:%MZ}," + ",".join("" if math.isnan(one) else f"{one:g}" for one in values))
    return "\n".join(lines) + "\n"


def write(record: Record, folder: Path) -> Path:
    (folder / "record.csv").write_text(text_of(record), "utf-8")
    return folder
