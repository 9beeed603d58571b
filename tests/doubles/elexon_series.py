"""What the stand-in for Elexon's Insights API knows: demand and price by half hour, and the rows made from them.

The series are NESO's demand of 2023 and the market index of 2026 (the replay pack), or made up. Forecasts and
system prices are made up by formulas of them in every case: plausible, repeatable, never published by anyone.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pylon.ontology.calendar import HALF_HOUR, settlement_period

__all__ = [
    "Series",
    "apx",
    "forecast",
    "json_bytes",
    "made_up",
    "n2ex",
    "nothing",
    "outturn",
    "replay",
    "stamp",
    "system",
]

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """By start of a half hour: national demand in MW; price in GBP/MWh and volume in MWh. None in a hole."""

    demand: Callable[[datetime], int | None]
    price: Callable[[datetime], tuple[Decimal, Decimal] | None]


def _wave(at: datetime, mean: float, swing: float) -> float:
    return mean + swing * math.sin(at.timestamp() / 3600 * math.tau / 24 - 2)


made_up = Series(
    demand=lambda at: round(_wave(at, 26_000, 6_000)),
    price=lambda at: (Decimal(round(_wave(at, 9_000, 4_000))).scaleb(-2), Decimal(round(_wave(at, 2_000, 500)))),
)
nothing = Series(demand=lambda _: None, price=lambda _: None)


def replay(folder: Path) -> Series:
    """Return demand of 2023 and prices of 2026; another year's half hour has the value of its date and time."""
    demand = {at: int(row["nd_mw"]) for at, row in _rows(folder, "gb_2023_halfhourly_carbon_demand", "start_utc")}
    prices = {
        at: (Decimal(row["price"]), Decimal(row["volume"]))
        for at, row in _rows(folder, "gb_2026H1_mid_apx_halfhourly", "startTime")
    }
    return Series(demand=_of_year(2023, demand), price=_of_year(2026, prices))


def _rows(folder: Path, name: str, time: str) -> list[tuple[datetime, dict[str, str]]]:
    with gzip.open(folder / "replay" / f"{name}.csv.gz", "rt", newline="") as file:
        return [(datetime.fromisoformat(row[time]), row) for row in csv.DictReader(file)]


def _of_year(year: int, values: Mapping[datetime, T]) -> Callable[[datetime], T | None]:
    def at(start: datetime) -> T | None:
        if start.year == year:
            return values.get(start)
        day = 28 if (start.month, start.day) == (2, 29) else start.day
        return values.get(start.replace(year=year, day=day))

    return at


def stamp(at: datetime) -> str:
    """Return a time as the API writes it: UTC, with seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_bytes(value: Any) -> bytes:
    """Return JSON in which decimals are numbers with all their digits."""
    text = json.dumps(value, default=lambda number: f"\0{number:f}\0")
    return re.sub(r'"\\u0000([-0-9.]+)\\u0000"', r"\1", text).encode()


def _settlement(at: datetime) -> Row:
    day, period = settlement_period(at)
    return {"startTime": stamp(at), "settlementDate": day.isoformat(), "settlementPeriod": period}


def outturn(series: Series, at: datetime, published_at: datetime) -> Row | None:
    """Return the row of INDO for a half hour."""
    demand = series.demand(at)
    if demand is None:
        return None
    return {"dataset": "INDO", "publishTime": stamp(published_at), **_settlement(at), "demand": demand}


def forecast(series: Series, at: datetime, published_at: datetime) -> Row | None:
    """Return the row of NDF for a half hour as published at a time, each time wrong by other MW, at most 100."""
    demand = series.demand(at)
    if demand is None:
        return None
    error = int(published_at.timestamp() // 1800 * 37 + at.timestamp() // 1800 * 11) % 201 - 100
    return {
        "dataset": "NDF",
        "demand": demand + error,
        "publishTime": stamp(published_at),
        **_settlement(at),
        "boundary": "N",
    }


def apx(series: Series, at: datetime) -> Row | None:
    """Return the row of the market index for the exchange that trades."""
    known = series.price(at)
    return known and _market(at, "APXMIDP", *known)


def n2ex(at: datetime) -> Row:
    """Return the row of the market index for the exchange that never reports a trade: 0 for 0."""
    return _market(at, "N2EXMIDP", Decimal("0.00"), Decimal("0.000"))


def _market(at: datetime, provider: str, price: Decimal, volume: Decimal) -> Row:
    settlement = _settlement(at)
    return {
        "startTime": settlement.pop("startTime"),
        "dataProvider": provider,
        **settlement,
        "price": price,
        "volume": volume,
    }


def system(series: Series, at: datetime, now: datetime) -> Row | None:
    """Return the 22 fields of a system price, a tenth above the market's; refreshed on the morning after."""
    known = series.price(at)
    if known is None:
        return None
    settlement = _settlement(at)
    ends_at = at + HALF_HOUR
    refreshed_at = ends_at + timedelta(days=1, minutes=14, seconds=33)
    created_at = refreshed_at if refreshed_at <= now else ends_at + timedelta(minutes=15)
    price = _long(known[0] * Decimal("1.1"))
    volume = _long(known[1] / 6)
    return {
        "settlementDate": settlement["settlementDate"],
        "settlementPeriod": settlement["settlementPeriod"],
        "startTime": settlement["startTime"],
        "createdDateTime": stamp(created_at),
        "systemSellPrice": price,
        "systemBuyPrice": price,
        "bsadDefaulted": False,
        "priceDerivationCode": "P",
        "reserveScarcityPrice": _long(Decimal(0)),
        "netImbalanceVolume": volume,
        "sellPriceAdjustment": Decimal("0.00"),
        "buyPriceAdjustment": Decimal("0.00"),
        "replacementPrice": None,
        "replacementPriceReferenceVolume": None,
        "totalAcceptedOfferVolume": volume,
        "totalAcceptedBidVolume": _long(Decimal(0)),
        "totalAdjustmentSellVolume": _long(Decimal(0)),
        "totalAdjustmentBuyVolume": _long(Decimal(0)),
        "totalSystemTaggedAcceptedOfferVolume": volume,
        "totalSystemTaggedAcceptedBidVolume": _long(Decimal(0)),
        "totalSystemTaggedAdjustmentSellVolume": None,
        "totalSystemTaggedAdjustmentBuyVolume": None,
    }


def _long(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-18))
