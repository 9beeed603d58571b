"""Regional: the carbon intensity of every region, now and over the next 48 hours."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from pylon.ontology import carbon
from pylon.ontology.calendar import AHEAD, floor, half_hours
from pylon.ontology.enums import CarbonIndex, Country, Fuel
from pylon.services.recall_signals import not_ahead, recall
from pylon.services.series import REGIONAL
from pylon.sources.feed import SIMULATED
from pylon.store.database import Database, Transaction

__all__ = ["RegionalCarbon", "RegionalState", "regional"]


_OF_THE_REGION = ("region_id", "short_name", "country", "is_aggregate")


class RegionalCarbon(BaseModel):
    """One region's carbon intensity, in gCO2/kWh."""

    model_config = ConfigDict(frozen=True)

    region_id: int = Field(description="The Carbon Intensity API's number, 1 to 17")
    short_name: str
    country: Country
    is_aggregate: bool
    carbon_intensity: int | None = Field(description="Forecast for this half hour; null when none is stored")
    carbon_index: CarbonIndex | None = Field(description="Its word, by the bands of the year")
    generation_mix: dict[Fuel, float] | None = Field(
        description="Share of each fuel, in percent; null for the past, for it is not versioned"
    )
    data_source: str | None
    is_simulated: bool = Field(description="Whether the present value is simulated")
    fetched_at: datetime | None = Field(description="When the value was stored")
    forecast: list[int | None] = Field(description="One value a half hour from `starts_at`; null is a gap")
    forecast_data_source: list[str | None] = Field(description="Source of each value of `forecast`")


class RegionalState(BaseModel):
    """Every region."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    starts_at: datetime = Field(description="Start of this half hour, UTC")
    contains_simulated: bool
    not_versioned: list[str] = Field(
        default=[], description="With as_of: fields of which only the present is kept; they are null"
    )
    regions: list[RegionalCarbon]


def regional(database: Database, now: datetime, as_of: datetime | None = None) -> RegionalState:
    """Return the state of every region at `now`, or as it was known at `as_of`; no operator is involved.

    Raises `Invalid` when `as_of` lies ahead of `now`.
    """
    moment = now if as_of is None else not_ahead(as_of, now)
    start = floor(moment)
    with database.as_anyone() as transaction:
        read = _present if as_of is None else _recalled
        regions = read(transaction, start, moment)
    return RegionalState(
        as_of=moment,
        starts_at=start,
        contains_simulated=any(SIMULATED in one.forecast_data_source for one in regions),
        not_versioned=[] if as_of is None else ["generation_mix"],
        regions=regions,
    )


def _present(transaction: Transaction, start: datetime, _: datetime) -> list[RegionalCarbon]:
    present = {row["region_id"]: row for row in transaction.all("regional_now", half_hour=start)}
    series = {row["region_id"]: row for row in transaction.all("regional_series", start=start, end=start + AHEAD)}
    mixes: dict[object, dict[Fuel, float]] = {}
    for row in transaction.all("mix_now", half_hour=start):
        mixes.setdefault(row["regional_signal_id"], {})[Fuel(row["fuel_type"])] = row["percentage"]
    states = []
    for region in transaction.all("regions"):
        signal, ahead = present.get(region["id"], {}), series[region["region_id"]]
        states.append(
            RegionalCarbon(
                **{name: region[name] for name in _OF_THE_REGION},
                carbon_intensity=signal.get("carbon_intensity_forecast"),
                carbon_index=signal.get("carbon_index_computed"),
                generation_mix=mixes.get(signal.get("id"), {}) if signal else {},
                data_source=signal.get("data_source"),
                is_simulated=signal.get("data_source") == SIMULATED,
                fetched_at=signal.get("fetched_at"),
                forecast=ahead["carbon_intensity_forecast"],
                forecast_data_source=ahead["data_source"],
            )
        )
    return states


def _recalled(transaction: Transaction, start: datetime, as_of: datetime) -> list[RegionalCarbon]:
    known = recall(transaction, REGIONAL, start=start, end=start + AHEAD, as_of=as_of)
    ats = list(half_hours(start, start + AHEAD))
    states = []
    for region, series in zip(transaction.all("regions"), REGIONAL, strict=True):
        row = known.at(series.name, ats)
        first = row[0]
        states.append(
            RegionalCarbon(
                **{name: region[name] for name in _OF_THE_REGION},
                carbon_intensity=round(first.value) if first else None,
                carbon_index=carbon.index(first.value, start.year) if first else None,
                generation_mix=None,
                data_source=first.source if first else None,
                is_simulated=first is not None and first.source == SIMULATED,
                fetched_at=first.recorded_at if first else None,
                forecast=[round(one.value) if one else None for one in row],
                forecast_data_source=[one.source if one else None for one in row],
            )
        )
    return states
