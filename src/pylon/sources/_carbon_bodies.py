"""The bodies of the Carbon Intensity API as rows: a faulty row is refused with its reason, the rest is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from pylon.errors import SourceChanged
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import Fuel
from pylon.sources._rows import Fault, label, member, show
from pylon.sources.feed import NationalReading, RegionalReading, Rejection

__all__ = ["GREAT_BRITAIN", "Rows", "factors", "generation", "national", "regional"]

GREAT_BRITAIN = 18
"""The API's region for the whole of Great Britain: national, so never a regional reading."""

# The dirtiest factor served is 937, and a real mix sums to 99.9 to 100.2: wider limits catch faults alone.
_MOST_GCO2_KWH = 1000
_LEAST_SUM_PERCENT, _MOST_SUM_PERCENT = 95, 105
_HUNDREDTH = Decimal("0.01")
_LONGEST_INDEX = 20
_LONGEST_NAME = 50

_FUELS: Mapping[str, Fuel] = {fuel.value: fuel for fuel in Fuel}

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Rows(Generic[K, V]):
    """The rows of one or more bodies: those taken by key, those refused, and how many there were."""

    taken: dict[K, V] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    seen: int = 0
    is_whole: bool = True

    def take(self, row: Any, read: Callable[[Any], tuple[K, V]], what: Callable[[Any], str]) -> None:
        """Read one row; a faulty one, or a second and different one of the same key, is refused with its reason."""
        self.seen += 1
        try:
            key, value = read(row)
            if self.taken.setdefault(key, value) != value:
                raise Fault("it came twice with different values; the first is kept")
        except Fault as fault:
            self.rejected.append(Rejection(what(row), str(fault)))

    def add(self, later: Rows[K, V]) -> None:
        """Add the rows of a later body, which replace those of the same key: bodies overlap by a half hour."""
        self.taken |= later.taken
        self.rejected += later.rejected
        self.seen += later.seen


def national(body: Any) -> Rows[datetime, NationalReading]:
    """Return the half hours of an `/intensity...` body; raises `SourceChanged` when it has no place for rows."""
    rows: Rows[datetime, NationalReading] = Rows()
    for row in _data(body):
        rows.take(row, _national, lambda row: f"national carbon {label(row, 'from')}")
    return rows


def generation(body: Any) -> Rows[datetime, NationalReading]:
    """Return the mix of each half hour of a `/generation...` body; raises as `national` does."""
    rows: Rows[datetime, NationalReading] = Rows()
    for row in _data(body):
        rows.take(row, _generation, lambda row: f"generation mix {label(row, 'from')}")
    return rows


def regional(body: Any) -> Rows[tuple[datetime, int], RegionalReading]:
    """Return a `/regional...` body by half hour and region, 18 (Great Britain) included.

    Takes both shapes: half hours that hold regions, and a region that holds half hours. Raises as `national` does.
    """
    rows: Rows[tuple[datetime, int], RegionalReading] = Rows()
    for row in _region_periods(_data(body)):
        rows.take(row, _regional, lambda row: f"region {label(row[1], 'regionid')} {label(row[0], 'from')}")
    return rows


def factors(body: Any) -> Rows[str, int]:
    """Return the factors in gCO2/kWh by the API's name of each fuel; raises as `national` does."""
    rows: Rows[str, int] = Rows()
    for row in _data(body):
        for pair in row.items() if isinstance(row, dict) else [(row, None)]:
            rows.take(pair, _factor, lambda pair: f"factor {show(pair[0])}")
    return rows


def _data(body: Any) -> list[Any]:
    """Return the rows of a body, whatever holds them; `{}`, a null and an empty list are the API's "no data"."""
    if not isinstance(body, dict):
        raise SourceChanged(f"The Carbon Intensity API answered with {show(body)} in place of an object.")
    data = body.get("data")
    if isinstance(data, list):
        return data
    if isinstance(data, dict):
        return [data] if data else []
    if data is None:
        return []
    raise SourceChanged(f"The Carbon Intensity API answered with data={show(data)}, not a list or an object.")


def _region_periods(data: list[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield what holds the times, the region and the values of every region in every half hour."""
    for item in data:
        regions = item.get("regions") if isinstance(item, dict) else None
        periods = item.get("data") if isinstance(item, dict) else None
        if isinstance(regions, list):
            yield from ((item, region, region) for region in regions)
        elif isinstance(periods, list):
            yield from ((period, item, period) for period in periods)
        elif isinstance(periods, dict):
            yield periods, item, periods
        else:
            yield item, item, item


def _national(row: Any) -> tuple[datetime, NationalReading]:
    starts_at, intensity = _period(row), _object(row, "intensity")
    return starts_at, NationalReading(
        starts_at=starts_at,
        carbon_intensity_forecast=_grams(intensity, "forecast"),
        carbon_intensity_actual=_grams(intensity, "actual"),
        carbon_index=_index(intensity),
    )


def _generation(row: Any) -> tuple[datetime, NationalReading]:
    starts_at = _period(row)
    return starts_at, NationalReading(starts_at=starts_at, mix=_mix(row))


def _regional(row: tuple[Any, Any, Any]) -> tuple[tuple[datetime, int], RegionalReading]:
    times, identity, values = row
    starts_at, region_id, intensity = _period(times), _region_id(identity), _object(values, "intensity")
    return (starts_at, region_id), RegionalReading(
        region_id=region_id,
        starts_at=starts_at,
        carbon_intensity_forecast=_grams(intensity, "forecast"),
        carbon_index=_index(intensity),
        mix=_mix(values),
    )


def _factor(pair: tuple[Any, Any]) -> tuple[str, int]:
    name, value = pair
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise Fault("it is not a name with a value")
    if type(value) is not int or not 0 <= value <= _MOST_GCO2_KWH:
        raise Fault(f"it is {show(value)}, not a whole number from 0 to {_MOST_GCO2_KWH}")
    return name, value


def _period(row: Any) -> datetime:
    starts_at, ends_at = _instant(row, "from"), _instant(row, "to")
    if starts_at != floor(starts_at):
        raise Fault("from is not on the half hour")
    if ends_at - starts_at != HALF_HOUR:
        raise Fault(f"to is {label(row, 'to')}, not half an hour after from")
    return starts_at


def _instant(row: Any, name: str) -> datetime:
    value = member(row, name)
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise Fault(f"{name} is {show(value)}, which has no time zone")
        return at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise Fault(f"{name} is {show(value)}, not a time") from None


def _region_id(row: Any) -> int:
    value = member(row, "regionid")
    if type(value) is not int or not 1 <= value <= GREAT_BRITAIN:
        raise Fault(f"regionid is {show(value)}, not a whole number from 1 to {GREAT_BRITAIN}")
    return value


def _object(row: Any, name: str) -> dict[str, Any]:
    value = member(row, name)
    if not isinstance(value, dict):
        raise Fault(f"{name} is {show(value)}, not an object")
    return value


def _grams(intensity: dict[str, Any], name: str) -> int | None:
    value = intensity.get(name)
    # bool is an int to Python, and a float or a string here would be a change of the API.
    if value is None or (type(value) is int and 0 <= value <= _MOST_GCO2_KWH):
        return value
    raise Fault(f"{name} is {show(value)}, not a whole number from 0 to {_MOST_GCO2_KWH}")


def _index(intensity: dict[str, Any]) -> str | None:
    value = intensity.get("index")
    if value is None or (isinstance(value, str) and len(value) <= _LONGEST_INDEX and value.isprintable()):
        return value
    raise Fault(f"index is {show(value)}, not a word of at most {_LONGEST_INDEX} letters")


def _mix(row: dict[str, Any]) -> dict[Fuel, Decimal]:
    shares = row.get("generationmix")
    if not isinstance(shares, list):
        raise Fault(f"generationmix is {show(shares)}, not a list")
    mix: dict[Fuel, Decimal] = {}
    for share in shares:
        fuel, percent = _share(share)
        if fuel in mix:
            raise Fault(f"{fuel} is given twice in the mix")
        mix[fuel] = percent
    total = sum(mix.values())
    if not _LEAST_SUM_PERCENT <= total <= _MOST_SUM_PERCENT:
        raise Fault(f"the fuels sum to {total} %, not to {_LEAST_SUM_PERCENT} to {_MOST_SUM_PERCENT} %")
    return mix


def _share(share: Any) -> tuple[Fuel, Decimal]:
    if not isinstance(share, dict):
        raise Fault(f"a fuel of the mix is {show(share)}, not an object")
    name: Any = share.get("fuel")
    percent: Any = share.get("perc")
    fuel = _FUELS.get(name) if isinstance(name, str) else None
    if fuel is None:
        raise Fault(f"fuel is {show(name)}, not one of {', '.join(_FUELS)}")
    if type(percent) not in (int, float) or not 0 <= percent <= 100:
        raise Fault(f"{fuel} is {show(percent)}, not a percentage")
    # repr gives back the digits that were sent, where the float itself is only near them.
    exact = Decimal(repr(percent))
    return fuel, exact if exact == round(exact, 1) else exact.quantize(_HUNDREDTH)
