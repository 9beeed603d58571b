"""What the stand-in for NESO's data portal publishes: three files of demand, their editions, and what spoils them.

Columns and values are as in the files recorded on 8 October 2026. Demand is made up, or that of 2023.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, settlement_period

__all__ = [
    "CARDINAL_WINDOWS",
    "DAY_AHEAD",
    "TABLES",
    "TWO_TO_FOURTEEN",
    "UPDATE",
    "Demand",
    "Fault",
    "Forecast",
    "Row",
    "Table",
    "anchor",
    "editions",
    "foreseen",
    "instant",
    "made_up",
    "published",
    "recorded",
    "replay",
    "spoilt",
]

Demand = Callable[[datetime], int | None]
"""National demand in MW of the half hour that starts at a time; None where there is none."""

Forecast = Callable[[datetime, datetime], int | None]
"""The demand that the edition published at the second time forecasts for the half hour at the first."""

Row = dict[str, Any]

_DAY = timedelta(days=1)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

CARDINAL_WINDOWS = (
    ("1F", "F", 30, 30),
    ("1S", "T", 100, 130),
    ("1A", "P", 200, 230),
    ("4", "F", 400, 400),
    ("1B", "T", 430, 730),
    ("2F", "F", 800, 800),
    ("2A", "P", 830, 1200),
    ("2B", "P", 1230, 1300),
    ("3B", "T", 1330, 1630),
    ("3C", "P", 1700, 1830),
    ("4B", "P", 1900, 2000),
    ("4C", "F", 2400, 2400),
)
"""Name, type, first and last time of each point of 9 October 2026: ends of half hours by London's clock."""


class Fault(StrEnum):
    """What may be wrong with the portal, or with what it publishes, until the fault is taken away."""

    FAILURE_WITH_200 = "an action fails and says so in its body alone"
    MADE_ANEW = "the files have other ids, and the old ones are 404"
    NOT_FOUND_WITH_200 = "the files have other ids, and the old ones are reported in the body alone"
    RENAMED = "the files have other ids and other names"
    NO_TIME = "last_modified is null"
    TABLE_BEHIND = "for 10 minutes after last_modified the table still holds the edition of the day before"
    NUMBERS_AS_TEXT = "numbers are text, and there is a column _full_text"
    ISO_DATES = "TARGETDATE is an ISO date"
    ISO_TIMES = "TARGETDATE is an ISO time at midnight"
    PADDED_POINTS = "CARDINALPOINT is 03 or 4 and the times have four digits, as text"
    OUT_OF_ORDER = "every second row comes before the others"
    OLD_DATES = "settlement dates are 01-Oct-26"
    OLDER_DATES = "settlement dates are 01-OCT-2026"
    NO_ROWS = "tables are empty and files end after their header"
    CUT_SHORT = "a table gives half of its rows and says so only in its total"
    NOT_REPLACED = "the file for tomorrow is still that of three days ago"
    THREE_POINTS = "the file for tomorrow has three points"
    POINTS_LOST = "the file for tomorrow lacks its evening points"
    SAME_ANCHOR = "two points of tomorrow lie in one half hour"
    WRONG_CTIME = "one row's CTIME is an hour early, as if it were in UTC"
    HALF_HOURS_LOST = "two rows of the forecast by half hours are not there"
    ZERO_BETWEEN = "one measured half hour in the middle of the file holds 0"
    NO_SUCH_PERIOD = "one measured row is of settlement period 51"
    IMPOSSIBLE = "one value is 0 or less, one more than 100,000 MW, and one not a number"
    OTHER_COLUMNS = "the columns have other names"


@dataclass(frozen=True)
class Table:
    """A file of the portal: where it lies, how its name begins, its value, and when editions come, in London."""

    package: str
    package_id: str
    name: str
    id: str
    stem: str
    value: str
    at: tuple[time, ...]


DAY_AHEAD = Table(
    "1-day-ahead-demand-forecast",
    "00000000-0000-4000-8000-000000000001",
    "Day Ahead National Demand Forecast",
    "aec5601a-7f3e-4c4c-bf56-d8e4184d3c5b",
    "ng_demand_1da",
    "FORECASTDEMAND",
    (time(9, 4, 11, 502000), time(12, 6, 2, 118000)),
)
TWO_TO_FOURTEEN = Table(
    "2-14-days-ahead-national-demand-forecast",
    "00000000-0000-4000-8000-000000000002",
    "2-14 Days Ahead Half Hourly Forecast",
    "7c0411cd-2714-4bb5-a408-adb065edf34d",
    "ng-demand-14da-hh",
    "NATIONALDEMAND",
    (time(9, 45, 20, 310000),),
)
UPDATE = Table(
    "daily-demand-update",
    "00000000-0000-4000-8000-000000000003",
    "Demand Data Update",
    "177f6fa4-ae49-4182-81ea-0c6b35f26ca6",
    "demanddataupdate_extract",
    "ND",
    (time(9, 1, 44, 7000),),
)
TABLES = (DAY_AHEAD, TWO_TO_FOURTEEN, UPDATE)


def made_up(at: datetime) -> int:
    """Return a demand with a low night and an evening peak: made up, the same whenever it is asked for."""
    hour = at.astimezone(LONDON).hour + at.minute / 60
    wave = 2_500 * math.sin(math.tau * (hour - 15) / 12) - 6_000 * math.cos(math.tau * (hour - 4) / 24)
    return round(27_000 + wave + 900 * math.sin(at.timestamp() / 400_000))


def foreseen(at: datetime, edition: datetime) -> int:
    """Return the made-up demand with the error of one edition, which grows with the time ahead."""
    ahead_days = (at - edition) / _DAY
    return made_up(at) + round(80 * ahead_days * math.sin(edition.timestamp() / 7_919))


def replay(folder: Path) -> tuple[Demand, Forecast]:
    """Return the demand of 2023 as measured and as it was forecast the day before.

    The forecast has holes. Its half hours were made from points whose times were read as starts, so that each
    stands half an hour late in the file; here they are put back.
    """
    with gzip.open(folder / "replay" / "gb_2023_halfhourly_carbon_demand.csv.gz", "rt", newline="") as file:
        rows = [(datetime.fromisoformat(row["start_utc"]), row) for row in csv.DictReader(file)]
    measured = {at: round(float(row["nd_mw"])) for at, row in rows if row["nd_mw"]}
    column = "da_demand_forecast_mw"
    forecast = {at - HALF_HOUR: round(float(row[column])) for at, row in rows if row[column]}
    return measured.get, lambda at, edition: forecast.get(at)


def recorded(folder: Path) -> dict[Table, list[Row]]:
    """Return the rows of the three files as they were recorded on 8 October 2026."""
    rows = {}
    for table, name in {
        DAY_AHEAD: "ng_demand_1da_20261009.csv",
        TWO_TO_FOURTEEN: "ng-demand-14da-hh_20261010.csv",
        UPDATE: "demanddataupdate_extract_20261008.csv",
    }.items():
        with (folder / "recordings" / "neso" / name).open(newline="") as file:
            rows[table] = [
                {k: int(v) if v.isdigit() else v for k, v in row.items()} for row in csv.DictReader(file)
            ]
    return rows


def editions(table: Table, until: date) -> list[datetime]:
    """Return when the editions of a London day and of the day before came, in UTC, the newest last."""
    days = [until - _DAY, until]
    return [datetime.combine(day, at, LONDON).astimezone(UTC) for day in days for at in table.at]


def instant(day: date, label: int) -> datetime:
    """Return when London's clock shows `label` (HHMM; 2400 ends the day) on a day, in UTC."""
    if label == 2400:
        day, label = day + _DAY, 0
    return datetime.combine(day, time(label // 100, label % 100), LONDON).astimezone(UTC)


def anchor(day: date, first: int, last: int) -> datetime:
    """Return the half hour in the middle of those that end from `first` to `last`, in UTC."""
    begins, ends = instant(day, first) - HALF_HOUR, instant(day, last)
    return floor(begins + (ends - begins) / 2)


def published(table: Table, edition: datetime, measured: Demand, forecast: Forecast) -> list[Row]:
    """Return the rows of a file's edition as the portal means them to be."""
    if table is UPDATE:
        return list(_update(edition, measured))
    return list((_points if table is DAY_AHEAD else _half_hours)(edition, forecast))


def _points(edition: datetime, forecast: Forecast) -> Iterator[Row]:
    day = edition.astimezone(LONDON).date() + _DAY
    for name, kind, first, last in CARDINAL_WINDOWS:
        if (mw := forecast(anchor(day, first, last), edition)) is None:
            continue
        yield {
            "DAYSAHEAD": 1,
            "TARGETDATE": int(f"{day:%Y%m%d}"),
            "FORECASTDEMAND": mw,
            "CARDINALPOINT": name,
            "CP_TYPE": kind,
            "CP_ST_TIME": first,
            "CP_END_TIME": last,
            "F_Point": {"1B": "Om", "2A": "DM", "3B": "NA"}.get(name, ""),
        }


def _half_hours(edition: datetime, forecast: Forecast) -> Iterator[Row]:
    first = edition.astimezone(LONDON).date() + 2 * _DAY
    for at in half_hours(instant(first, 0), instant(first + 13 * _DAY, 0)):
        if (mw := forecast(at, edition)) is None:
            continue
        ends = (at + HALF_HOUR).astimezone(LONDON)
        yield {
            "DATE": f"{at.astimezone(LONDON):%Y-%m-%d}",
            "CTIME": 100 * ends.hour + ends.minute or 2400,
            "GDATETIME": f"{at + HALF_HOUR:%Y-%m-%dT%H:%M:%S}",
            "NATIONALDEMAND": mw,
        }


def _update(edition: datetime, measured: Demand) -> Iterator[Row]:
    today = edition.astimezone(LONDON).date()
    first = (today.replace(day=1) - _DAY).replace(day=1)
    ended = floor(edition)
    for at in half_hours(instant(first, 0), instant(today + 15 * _DAY, 0)):
        day, period = settlement_period(at)
        # The two newest measured rows are not filled in yet.
        actual, known = at < ended, at < ended - 2 * HALF_HOUR
        mw = (measured(at) or 0) if known else 0
        yield {
            "SETTLEMENT_DATE": f"{day}",
            "SETTLEMENT_PERIOD": period,
            "ND": mw,
            "FORECAST_ACTUAL_INDICATOR": "A" if actual else "F",
            "TSD": mw + 2_600 if known else 500 if actual else 0,
            "ENGLAND_WALES_DEMAND": round(mw * 0.91),
            "EMBEDDED_WIND_GENERATION": 1_650,
            "EMBEDDED_SOLAR_GENERATION": 195,
        }


def spoilt(table: Table, rows: list[Row], faults: Set[StrEnum]) -> list[Row]:
    """Return the rows with every fault of `faults` that this file may have."""
    if Fault.IMPOSSIBLE in faults:
        rows = _impossible(table, rows)
    for fault, (tables, change) in _SPOILERS.items():
        if fault in faults and table in tables:
            rows = change(rows)
    return rows


def _changed(place: int, **values: Any) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [{**row, **values} if number == place else row for number, row in enumerate(rows)]


def _each(change: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [{**row, **change(row)} for row in rows]


def _impossible(table: Table, rows: list[Row]) -> list[Row]:
    low = -1 if table is UPDATE else 0
    values = zip(rows, (low, 100_001, "a lot"), strict=False)
    return [{**row, table.value: mw} for row, mw in values] + rows[3:]


def _early(rows: list[Row]) -> list[Row]:
    return _changed(20, CTIME=rows[20]["CTIME"] - 100)(rows)


def _padded(row: Row) -> Row:
    point = "03" if row["CARDINALPOINT"] == "3B" else row["CARDINALPOINT"]
    times = {name: f"{row[name]:04}" for name in ("CP_ST_TIME", "CP_END_TIME")}
    return {"CARDINALPOINT": point, **times}


def _iso(row: Row) -> str:
    return f"{date.fromisoformat(str(row['TARGETDATE']))}"


def _wordy(row: Row, shape: str) -> str:
    day = date.fromisoformat(row["SETTLEMENT_DATE"])
    return day.strftime(shape).format(month=_MONTHS[day.month - 1])


_SPOILERS: Mapping[Fault, tuple[tuple[Table, ...], Callable[[list[Row]], list[Row]]]] = {
    Fault.NO_ROWS: (TABLES, lambda rows: []),
    Fault.THREE_POINTS: ((DAY_AHEAD,), lambda rows: rows[:3]),
    Fault.POINTS_LOST: ((DAY_AHEAD,), lambda rows: rows[:9]),
    Fault.SAME_ANCHOR: ((DAY_AHEAD,), _changed(3, CP_ST_TIME=430, CP_END_TIME=730)),
    Fault.WRONG_CTIME: ((TWO_TO_FOURTEEN,), _early),
    Fault.HALF_HOURS_LOST: ((TWO_TO_FOURTEEN,), lambda rows: rows[:10] + rows[12:]),
    Fault.ZERO_BETWEEN: ((UPDATE,), _changed(100, ND=0)),
    Fault.NO_SUCH_PERIOD: ((UPDATE,), _changed(100, SETTLEMENT_PERIOD=51)),
    Fault.OLD_DATES: ((UPDATE,), _each(lambda row: {"SETTLEMENT_DATE": _wordy(row, "%d-{month}-%y")})),
    Fault.OLDER_DATES: ((UPDATE,), _each(lambda row: {"SETTLEMENT_DATE": _wordy(row, "%d-{month}-%Y").upper()})),
    Fault.ISO_DATES: ((DAY_AHEAD,), _each(lambda row: {"TARGETDATE": _iso(row)})),
    Fault.ISO_TIMES: ((DAY_AHEAD,), _each(lambda row: {"TARGETDATE": f"{_iso(row)}T00:00:00"})),
    Fault.PADDED_POINTS: ((DAY_AHEAD,), _each(_padded)),
    Fault.OUT_OF_ORDER: (TABLES, lambda rows: rows[1::2] + rows[::2]),
    Fault.OTHER_COLUMNS: (
        TABLES,
        lambda rows: [{key.lower(): value for key, value in row.items()} for row in rows],
    ),
}
