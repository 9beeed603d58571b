"""What can be wrong with the data of the Carbon Intensity API, each behind one switch.

Most spoil the half hours of certain times of every day, so that a test knows where to look. None touches the
generation mix, which is the second opinion on an actual. What the API always does (it overlaps at its boundaries,
it answers `[]` for a day not yet forecast, its key order varies) is no fault and has no switch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any

from tests.doubles.carbon_series import HalfHour

__all__ = [
    "JUMPS_GCO2_KWH",
    "NULLS",
    "REVISED_AFTER",
    "REVISED_BY_GCO2_KWH",
    "ZEROS",
    "Fault",
    "faulty",
    "misshapen",
]


class Fault(StrEnum):
    """One way in which the data are wrong; the facts each was seen in are of 2023 unless another year is named."""

    FALSE_ZEROS = "false zeros"
    """Actuals at the times ZEROS are 0 and the index says very low (7 June, and for days after)."""
    ZERO_FORECASTS = "zero forecasts"
    """Forecasts at the times ZEROS are 0: not seen, but the same fault one column further."""
    NULL_ACTUALS = "null actuals"
    """Actuals at the times NULLS never come (26 January)."""
    HOLE = "hole"
    """No row of any answer from 02:00 to 04:00 (20 to 22 October, for 46 hours)."""
    SHORT_HORIZON = "short horizon"
    """29 national and 31 regional points ahead in place of 97 (6 September 2026)."""
    JUMPS = "jumps"
    """Single actuals at the times of JUMPS_GCO2_KWH are off by more than 100 (24 January, 18 May)."""
    SILENT_REVISIONS = "silent revisions"
    """Actuals change 6 hours after their half hour (issue 11)."""
    OTHER_CONTAINERS = "other containers"
    """An object where a list of one is usual, a list of one where an object is."""
    NOTHING_AHEAD = "nothing ahead"
    """The forecast has ended and every answer that looks ahead is `{}` with 200 (issue 20)."""
    SHUFFLED_KEYS = "shuffled keys"
    """The members of every second object come in the opposite order."""
    DUPLICATE_ROWS = "duplicate rows"
    """Every row comes twice, the rows on the hour with another forecast the second time."""
    GENERATION_FAILS = "generation fails"
    """500 for /generation and for nothing else (issue 14, 2022)."""
    REGIONAL_FAILS = "regional fails"
    """500 for /regional and for nothing else (issue 14, 2022)."""


ZEROS = (time(9, 30), time(10, 0), time(10, 30), time(11, 0))
NULLS = (time(13, 30), time(14, 0), time(14, 30), time(15, 0), time(15, 30))
JUMPS_GCO2_KWH: Mapping[time, int] = {time(5, 0): 141, time(23, 0): 183}
REVISED_AFTER = timedelta(hours=6)
REVISED_BY_GCO2_KWH = 7

_HOLE_HOURS = (2, 3)


def faulty(half_hour: HalfHour | None, at: datetime, now: datetime, faults: Collection[StrEnum]) -> HalfHour | None:
    """Return what is said at `now` of the half hour at `at`, in place of what should be."""
    if half_hour is None or (Fault.HOLE in faults and at.hour in _HOLE_HOURS):
        return None
    actual = half_hour.actual
    # The truth stays what it was, so that the mix does not follow the fault.
    truth = actual if half_hour.truth is None else half_hour.truth
    said = replace(half_hour, truth=truth)
    if Fault.ZERO_FORECASTS in faults and at.time() in ZEROS:
        said = replace(said, forecast=0)
    if actual is None:
        return said
    if Fault.FALSE_ZEROS in faults and at.time() in ZEROS:
        return replace(said, actual=0, word=None)
    if Fault.NULL_ACTUALS in faults and at.time() in NULLS:
        return replace(said, actual=None, word=None)
    if Fault.JUMPS in faults and at.time() in JUMPS_GCO2_KWH:
        return replace(said, actual=actual + JUMPS_GCO2_KWH[at.time()], word=None)
    if Fault.SILENT_REVISIONS in faults and now - at >= REVISED_AFTER:
        return replace(said, actual=actual + REVISED_BY_GCO2_KWH)
    return said


def misshapen(body: dict[str, Any], faults: Collection[StrEnum]) -> dict[str, Any]:
    """Return a body in another shape than the usual one, with the same values in it."""
    rows = body.get("data")
    if Fault.DUPLICATE_ROWS in faults and isinstance(rows, list):
        body = {"data": [copy for row in rows for copy in (row, _again(row))]}
    if Fault.OTHER_CONTAINERS in faults:
        body = {"data": rows[0] if isinstance(rows, list) and len(rows) == 1 else rows}
        body = {"data": [rows]} if isinstance(rows, dict) else body
    return _shuffled(body)[0] if Fault.SHUFFLED_KEYS in faults else body


def _again(row: dict[str, Any]) -> dict[str, Any]:
    if "intensity" not in row or ":30Z" in row["from"]:
        return row
    intensity = row["intensity"]
    return {**row, "intensity": {**intensity, "forecast": (intensity["forecast"] or 0) + 1}}


def _shuffled(value: Any, count: int = 0) -> tuple[Any, int]:
    """Return `value` with every second object's members reversed, and how many objects there were."""
    if isinstance(value, list):
        items = []
        for item in value:
            changed, count = _shuffled(item, count)
            items.append(changed)
        return items, count
    if not isinstance(value, dict):
        return value, count
    members, count = {}, count + 1
    turned = count % 2 == 0
    for name, inner in value.items():
        members[name], count = _shuffled(inner, count)
    return (dict(reversed(members.items())) if turned else members), count
