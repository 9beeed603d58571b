"""The record that a back-test runs on: half hours of carbon and demand, read from a folder of files."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from pylon.errors import Invalid, NotFound
from pylon.ontology.calendar import HALF_HOUR
from pylon.planning import quality
from pylon.planning.field import Floats
from pylon.sources import files
from pylon.sources.files import Form

__all__ = ["COLUMNS", "Record", "read_record"]

COLUMNS: Final = {
    "carbon_actual": "ci_api_actual",
    "carbon_forecast": "ci_api_forecast",
    "demand_mw": "nd_mw",
    "carbon_by_mix": "ci_actual_hourly",
    "demand_forecast_mw": "da_demand_forecast_mw",
}
"""Columns of the files, by what they hold. `start_utc` and the first three must be there."""

_START: Final = "start_utc"
_NEEDED: Final = 3
_FORMS: Final = {".csv": Form.CSV, ".parquet": Form.PARQUET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Half hours one after another, (T,) each; NaN where nothing was recorded."""

    starts_at: datetime
    carbon_actual: Floats
    """National, gCO2/kWh, as published, false zeros and all."""
    carbon_forecast: Floats
    """The last that was published of each half hour."""
    demand_mw: Floats
    carbon_by_mix: Floats
    """National carbon by the generation mix: the second opinion."""
    demand_forecast_mw: Floats
    """Day-ahead."""

    @property
    def half_hours(self) -> int:
        """T."""
        return self.demand_mw.size

    @property
    def ends_at(self) -> datetime:
        """End of the last half hour."""
        return self.starts_at + self.half_hours * HALF_HOUR

    def cut(self, start: datetime, end: datetime) -> Record:
        """Return the half hours of [start, end), as many of them as there are."""
        first = max((start - self.starts_at) // HALF_HOUR, 0)
        last = max((end - self.starts_at) // HALF_HOUR, first)
        return Record(
            starts_at=self.starts_at + first * HALF_HOUR,
            **{name: getattr(self, name)[first:last] for name in COLUMNS},
        )

    def carbon(self) -> tuple[Floats, int]:
        """Return national carbon, and of how many half hours the mix says it: those withheld or not recorded."""
        judged = [
            quality.HalfHour(
                starts_at=self.starts_at + row * HALF_HOUR,
                forecast=_whole(self.carbon_forecast[row]),
                actual=_whole(self.carbon_actual[row]),
                mix=None if math.isnan(mix := float(self.carbon_by_mix[row])) else mix,
            )
            for row in range(self.half_hours)
        ]
        values = self.carbon_actual.copy()
        for verdict in quality.judge(judged):
            if verdict.quantity is quality.Quantity.ACTUAL:
                values[(verdict.starts_at - self.starts_at) // HALF_HOUR] = math.nan
        is_mix = np.isnan(values) & np.isfinite(self.carbon_by_mix)
        return np.where(is_mix, self.carbon_by_mix, values), int(is_mix.sum())


def read_record(folder: Path) -> Record:
    """Return the record of every CSV (also .csv.gz) and Parquet file of `folder` that has its columns.

    Files that lack them are passed over. Raises `NotFound` without such a file and `Invalid` for one that cannot be
    read.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.")
    rows: dict[datetime, list[float]] = {}
    for path in sorted(folder.iterdir()):
        rows |= dict(_rows_of(path))
    if not rows:
        needed = ", ".join([_START, *list(COLUMNS.values())[:_NEEDED]])
        raise NotFound(f"No CSV or Parquet file in {folder} has the columns {needed} and a row.")
    first, last = min(rows), max(rows)
    values = np.full((len(COLUMNS), (last - first) // HALF_HOUR + 1), math.nan)
    for at, held in rows.items():
        values[:, (at - first) // HALF_HOUR] = held
    return Record(starts_at=first, **dict(zip(COLUMNS, values, strict=True)))


def _rows_of(path: Path) -> Iterator[tuple[datetime, list[float]]]:
    """Yield the half hours of one file; none when it is not of this record."""
    name = path.name.removesuffix(".gz")
    form = _FORMS.get(Path(name).suffix.lower())
    if form is None or not path.is_file():
        return
    sheet = files.read(io.BytesIO(_content(path)), form)
    if not {_START, *list(COLUMNS.values())[:_NEEDED]} <= set(sheet.columns):
        return
    for row in sheet.rows:
        if row.fault is not None:
            raise Invalid(f"{path.name}, line {row.line}: it {row.fault}.")
        yield (
            _start(row.values, path, row.line),
            [_number(row.values, of, path, row.line) for of in COLUMNS.values()],
        )


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError) as fault:
        raise Invalid(f"{path.name} is not gzip, or it is damaged: {fault}.") from None


def _start(values: Mapping[str, Any], path: Path, line: int) -> datetime:
    given = values[_START]
    try:
        at = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or (at.minute % 30, at.second, at.microsecond) != (0, 0, 0):
        raise Invalid(
            f"{path.name}, line {line}: {_START} {given!r:.40} is not the start of a half hour with a zone."
        )
    return at.astimezone(UTC)


def _number(values: Mapping[str, Any], column: str, path: Path, line: int) -> float:
    given = values.get(column)
    if given is None or given == "":
        return math.nan
    try:
        return float(given)
    except (TypeError, ValueError):
        raise Invalid(f"{path.name}, line {line}: {column} {given!r:.40} is not a number.") from None


def _whole(value: np.float64) -> int | None:
    return None if np.isnan(value) else round(float(value))
