"""What the stand-in for the Carbon Intensity API knows: a national series, and all that is derived from it.

The national series is either NESO's of 2023 (the replay pack, its faults left in) or made up. Regions and mixes are
made up by formulas of the national value in every case: plausible, repeatable, never measured.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.carbon import FACTORS_GCO2_KWH, index

__all__ = ["FACTORS", "REGIONS", "HalfHour", "Series", "ending_in", "made_up", "mix", "nothing", "replay", "stamp"]

FACTORS = dict(FACTORS_GCO2_KWH)

# The API's names of 2026. A region's carbon is the national forecast times the number beside it.
REGIONS: dict[int, tuple[str, str, float]] = {
    1: ("North Scotland", "Scottish Hydro Electric Power Distribution", 0.0),
    2: ("South Scotland", "SP Distribution", 0.15),
    3: ("North West England", "Electricity North West", 0.6),
    4: ("North East England", "NPG North East", 0.4),
    5: ("Yorkshire", "NPG Yorkshire", 1.1),
    6: ("North Wales & Merseyside", "SP Manweb", 0.7),
    7: ("South Wales", "WPD South Wales", 1.7),
    8: ("West Midlands", "WPD West Midlands", 1.2),
    9: ("East Midlands", "WPD East Midlands", 1.5),
    10: ("East England", "UKPN East", 0.9),
    11: ("South West England", "WPD South West", 1.3),
    12: ("South England", "SSE South", 1.25),
    13: ("London", "UKPN London", 1.05),
    14: ("South East England", "UKPN South East", 1.0),
    15: ("England", "England", 1.1),
    16: ("Scotland", "Scotland", 0.1),
    17: ("Wales", "Wales", 1.4),
    18: ("GB", "GB", 1.0),
}

_REPLAY_YEAR = 2023


@dataclass(frozen=True, slots=True)
class HalfHour:
    """The national value of one half hour in gCO2/kWh; `word` is the series' own index once it is settled."""

    forecast: int | None
    actual: int | None
    word: str | None = None


Series = Callable[[datetime], HalfHour | None]
"""The national value of the half hour that starts at a time; None where the series has a hole."""


def made_up(at: datetime) -> HalfHour:
    """Return a daily wave with an evening peak: made up, the same whenever it is asked for."""
    hours = at.timestamp() / 3600
    forecast = round(160 + 60 * math.sin(hours * math.tau / 24 - 2) + 40 * math.sin(hours * math.tau / 101))
    return HalfHour(forecast, forecast + round(12 * math.sin(hours * math.tau / 7)))


def nothing(at: datetime) -> None:
    """Return None for every half hour."""


def replay(folder: Path) -> Series:
    """Return the national series of 2023; another year's half hour gets the value of the same date and time."""
    with gzip.open(folder / "replay" / "gb_2023_halfhourly_carbon_demand.csv.gz", "rt", newline="") as file:
        rows = {row["start_utc"]: _half_hour(row) for row in csv.DictReader(file)}

    def at(start: datetime) -> HalfHour | None:
        if start.year == _REPLAY_YEAR:
            return rows.get(stamp(start))
        day = 28 if (start.month, start.day) == (2, 29) else start.day
        half_hour = rows.get(stamp(start.replace(year=_REPLAY_YEAR, day=day)))
        return half_hour and HalfHour(half_hour.forecast, half_hour.actual)

    return at


def _half_hour(row: dict[str, str]) -> HalfHour | None:
    if not row["ci_api_forecast"] and not row["ci_api_actual"]:
        return None
    forecast, actual = (
        int(float(value)) if value else None for value in (row["ci_api_forecast"], row["ci_api_actual"])
    )
    return HalfHour(forecast, actual, row["ci_api_index"] or None)


def stamp(at: datetime) -> str:
    """Return a time as the API writes it: UTC, no seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def ending_in(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the start of every half hour whose END lies in [start, end], which is how the API cuts a range.

    So a `start` on the half hour also brings the half hour before it: 97 rows of fw48h, and 96 otherwise.
    """
    at = floor(start)
    at = at - HALF_HOUR if at == start else at
    while at + HALF_HOUR <= end:
        yield at
        at += HALF_HOUR


def national(series: Series, at: datetime, now: datetime, delay: timedelta) -> dict[str, Any] | None:
    """Return one national row as of `now`, or None in a hole: `actual` comes `delay` after the half hour ends."""
    half_hour = series(at)
    if half_hour is None:
        return None
    settled = at + HALF_HOUR + delay <= now
    actual = half_hour.actual if settled else None
    value = half_hour.forecast if actual is None else actual
    word = (settled and half_hour.word) or (None if value is None else index(value, at.year).value)
    values = {"forecast": half_hour.forecast, "actual": actual, "index": word}
    # The API's key order is not constant within one answer.
    ordered = values if at.minute else {key: values[key] for key in ("actual", "forecast", "index")}
    return {"from": stamp(at), "to": stamp(at + HALF_HOUR), "intensity": ordered}


def regional(series: Series, at: datetime, region_id: int) -> dict[str, Any] | None:
    """Return the values of one region, made up from the national forecast; regional rows have no `actual`."""
    half_hour = series(at)
    if half_hour is None:
        return None
    forecast = min(round((half_hour.forecast or 0) * REGIONS[region_id][2]), 390)
    return {
        "intensity": {"forecast": forecast, "index": index(forecast, at.year).value},
        "generationmix": mix(forecast, at),
    }


def mix(gco2_kwh: int, at: datetime) -> list[dict[str, Any]]:
    """Return nine shares that go with a carbon intensity: whole ones as integers, sum 100.0 or 100.1."""
    gas = min(round(gco2_kwh / 394 * 900), 900)
    rest = 1000 - gas
    shares = {"biomass": rest // 20, "coal": 0, "imports": rest // 5, "gas": gas, "nuclear": rest // 5}
    shares |= {"other": 0, "hydro": rest // 50, "solar": rest // 10 if 7 <= at.hour < 19 else 0}
    shares["wind"] = 1000 - sum(shares.values()) + (at.minute == 30)
    tenths = {fuel: share // 10 if share % 10 == 0 else share / 10 for fuel, share in shares.items()}
    if at.minute:
        return [{"perc": percent, "fuel": fuel} for fuel, percent in tenths.items()]
    return [{"fuel": fuel, "perc": percent} for fuel, percent in tenths.items()]
