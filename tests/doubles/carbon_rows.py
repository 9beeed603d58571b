"""Bodies of the Carbon Intensity API a row at a time, and hostile ones, for tests without a server."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from pylon.ontology.calendar import HALF_HOUR
from tests.doubles.carbon_series import stamp

__all__ = ["JSON", "MIX", "NOW", "PRESENT", "VALID", "national", "period", "places", "put", "region", "regional"]

NOW = datetime(2026, 8, 17, 8, 12, tzinfo=UTC)
PRESENT = datetime(2026, 8, 17, 8, 0, tzinfo=UTC)
MIX = [
    {"fuel": "biomass", "perc": 5.1},
    {"perc": 0, "fuel": "coal"},
    {"fuel": "imports", "perc": 10},
    {"fuel": "gas", "perc": 30.2},
    {"fuel": "nuclear", "perc": 14.7},
    {"fuel": "other", "perc": 0},
    {"fuel": "hydro", "perc": 1},
    {"fuel": "solar", "perc": 9},
    {"fuel": "wind", "perc": 30},
]


def period(at: datetime = PRESENT, **values: Any) -> dict[str, Any]:
    return {"from": stamp(at), "to": stamp(at + HALF_HOUR), **values}


def national(
    at: datetime = PRESENT, forecast: Any = 200, actual: Any = None, index: Any = "high"
) -> dict[str, Any]:
    return period(at, intensity={"forecast": forecast, "actual": actual, "index": index})


def region(region_id: Any, forecast: Any = 100) -> dict[str, Any]:
    return {
        "regionid": region_id,
        "dnoregion": "",
        "shortname": "",
        "intensity": {"forecast": forecast, "index": "low"},
        "generationmix": MIX,
    }


def regional(at: datetime) -> dict[str, Any]:
    return period(at, regions=[region(number) for number in range(1, 19)])


VALID: list[Any] = [
    {"data": [national(), national(PRESENT + HALF_HOUR)]},
    {"data": [period(generationmix=MIX)]},
    {"data": [period(regions=[region(1), region(18)])]},
    {"data": {"regionid": 13, "data": [period(**region(13))]}},
    {"data": [{"Wind": 0, "Coal": 937}]},
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [at, *(place for key in keys for place in places(value[key], (*at, key)))]


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    changed = copy.copy(value)
    changed[place[0]] = put(value[place[0]], place[1:], new)
    return changed
