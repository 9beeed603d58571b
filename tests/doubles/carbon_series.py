"""What the stand-in for the Carbon Intensity API knows: a national series, and all that is derived from it.

The national series is either the API's of 2023 (the replay pack, its faults left in) or made up. Regions and mixes
are made up by formulas in every case: plausible, repeatable, never measured. The national mix of 2023 follows
NESO's own hourly carbon intensity of that year, which the faults of the API are not in.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.carbon import FACTORS_GCO2_KWH, FUEL_FACTOR, index
from pylon.ontology.enums import Fuel

__all__ = [
    "FACTORS",
    "REGIONS",
    "HalfHour",
    "Series",
    "ending_in",
    "made_up",
    "mix",
    "nothing",
    "replay",
    "revised",
    "stamp",
]

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

# Exactly these, in this order.
_FUELS = ("biomass", "coal", "imports", "gas", "nuclear", "other", "hydro", "solar", "wind")


@dataclass(frozen=True, slots=True)
class HalfHour:
    """The national value of one half hour in gCO2/kWh; `word` is the series' own index once it is settled.

    `truth` is what the mix comes to where that is not the actual, or the forecast for want of one.
    """

    forecast: int | None
    actual: int | None
    word: str | None = None
    truth: float | None = None

    @property
    def generated(self) -> float:
        """What the mix of the half hour comes to."""
        known = (value for value in (self.truth, self.actual, self.forecast) if value is not None)
        return next(known, 0)


Series = Callable[[datetime], HalfHour | None]
"""The national value of the half hour that starts at a time; None where the series has a hole."""


def made_up(at: datetime) -> HalfHour:
    """Return a daily wave with an evening peak: made up, the same whenever it is asked for."""
    hours = at.timestamp() / 3600
    forecast = round(160 + 60 * math.sin(hours * math.tau / 24 - 2) + 40 * math.sin(hours * math.tau / 101))
    return HalfHour(forecast, forecast + round(12 * math.sin(hours * math.tau / 7)))


def revised(half_hour: HalfHour, at: datetime, now: datetime) -> HalfHour:
    """Return the half hour with the forecast as it stood at `now`: the further ahead, the further off the last.

    Forecasts are made every half hour; the revisions are made up, the same whenever they are asked for.
    """
    ahead_hours = max((at - floor(now)) / timedelta(hours=1), 0)
    if half_hour.forecast is None or ahead_hours == 0:
        return half_hour
    off = math.sin(floor(now).timestamp() / 7_919 + at.timestamp() / 5_413) * min(ahead_hours, 48)
    return replace(half_hour, forecast=max(half_hour.forecast + round(off), 1))


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
        return half_hour and replace(half_hour, word=None)

    return at


def _half_hour(row: dict[str, str]) -> HalfHour | None:
    if not row["ci_api_forecast"] and not row["ci_api_actual"]:
        return None
    forecast, actual = (
        int(float(value)) if value else None for value in (row["ci_api_forecast"], row["ci_api_actual"])
    )
    return HalfHour(forecast, actual, row["ci_api_index"] or None, float(row["ci_actual_hourly"]))


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


def national(half_hour: HalfHour, at: datetime, *, is_settled: bool) -> dict[str, Any]:
    """Return one national row, with an `actual` once the half hour is settled."""
    actual = half_hour.actual if is_settled else None
    value = half_hour.forecast if actual is None else actual
    word = (is_settled and half_hour.word) or (None if value is None else index(value, at.year).value)
    values = {"forecast": half_hour.forecast, "actual": actual, "index": word}
    # The API's key order is not constant within one answer.
    ordered = values if at.minute else {key: values[key] for key in ("actual", "forecast", "index")}
    return {"from": stamp(at), "to": stamp(at + HALF_HOUR), "intensity": ordered}


def regional(half_hour: HalfHour, at: datetime, region_id: int) -> dict[str, Any]:
    """Return the values of one region, made up from the national forecast; regional rows have no `actual`."""
    forecast = min(round((half_hour.forecast or 0) * REGIONS[region_id][2]), 390)
    return {
        "intensity": {"forecast": forecast, "index": index(forecast, at.year).value},
        "generationmix": mix(forecast, at),
    }


def mix(gco2_kwh: float, at: datetime) -> list[dict[str, Any]]:
    """Return nine shares that come to a carbon intensity of at most 500, within 1 gCO2/kWh by `FUEL_FACTOR`.

    Whole ones are integers; the sum is 100.0 or 100.1.
    """
    some = min(gco2_kwh / 100, 1.0)
    shares = {Fuel.BIOMASS: round(50 * some), Fuel.COAL: 0, Fuel.IMPORTS: round(80 * some)}
    left = gco2_kwh - sum(FUEL_FACTOR[fuel] * share for fuel, share in shares.items()) / 1000
    gas = min(left / FUEL_FACTOR[Fuel.GAS], 0.6)
    coal = max(left - gas * FUEL_FACTOR[Fuel.GAS], 0) / FUEL_FACTOR[Fuel.COAL]
    shares |= {Fuel.GAS: round(max(gas, 0) * 1000), Fuel.COAL: round(coal * 1000)}
    clean = 1000 - sum(shares.values())
    shares |= {Fuel.NUCLEAR: clean // 4, Fuel.OTHER: 0, Fuel.HYDRO: clean // 20}
    shares |= {Fuel.SOLAR: clean // 8 if 7 <= at.hour < 19 else 0}
    shares[Fuel.WIND] = 1000 - sum(shares.values()) + (at.minute == 30)
    tenths = {
        fuel: shares[fuel] // 10 if shares[fuel] % 10 == 0 else shares[fuel] / 10 for fuel in map(Fuel, _FUELS)
    }
    if at.minute:
        return [{"perc": percent, "fuel": fuel} for fuel, percent in tenths.items()]
    return [{"fuel": fuel, "perc": percent} for fuel, percent in tenths.items()]
