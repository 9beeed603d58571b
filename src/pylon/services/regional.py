"""Regional: the carbon intensity of every region, now and over the next 48 hours."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from pylon.ontology.calendar import floor
from pylon.ontology.enums import CarbonIndex, Country, Fuel
from pylon.sources.feed import SIMULATED
from pylon.store.database import Database

__all__ = ["RegionalCarbon", "RegionalState", "regional"]

AHEAD = timedelta(hours=48)


class RegionalCarbon(BaseModel):
    """One region's carbon intensity, in gCO2/kWh."""

    model_config = ConfigDict(frozen=True)

    region_id: int = Field(description="The Carbon Intensity API's number, 1 to 17")
    short_name: str
    country: Country
    is_aggregate: bool
    carbon_intensity: int | None = Field(description="Forecast for this half hour; null when none is stored")
    carbon_index: CarbonIndex | None = Field(description="Its word, by the bands of the year")
    generation_mix: dict[Fuel, float] = Field(description="Share of each fuel, in percent")
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
    regions: list[RegionalCarbon]


def regional(database: Database, now: datetime) -> RegionalState:
    """Return the state of every region at `now`; no operator is involved."""
    start = floor(now)
    with database.as_anyone() as transaction:
        regions = transaction.all("regions")
        present = {row["region_id"]: row for row in transaction.all("regional_now", half_hour=start)}
        mixes = transaction.all("mix_now", half_hour=start)
        series = {
            row["region_id"]: row for row in transaction.all("regional_series", start=start, end=start + AHEAD)
        }
    by_signal: dict[object, dict[Fuel, float]] = {}
    for row in mixes:
        by_signal.setdefault(row["regional_signal_id"], {})[Fuel(row["fuel_type"])] = row["percentage"]
    states = []
    for region in regions:
        signal = present.get(region["id"], {})
        ahead = series[region["region_id"]]
        states.append(
            RegionalCarbon(
                region_id=region["region_id"],
                short_name=region["short_name"],
                country=region["country"],
                is_aggregate=region["is_aggregate"],
                carbon_intensity=signal.get("carbon_intensity_forecast"),
                carbon_index=signal.get("carbon_index_computed"),
                generation_mix=by_signal.get(signal.get("id"), {}) if signal else {},
                data_source=signal.get("data_source"),
                is_simulated=signal.get("data_source") == SIMULATED,
                fetched_at=signal.get("fetched_at"),
                forecast=ahead["carbon_intensity_forecast"],
                forecast_data_source=ahead["data_source"],
            )
        )
    return RegionalState(
        as_of=now,
        starts_at=start,
        contains_simulated=any(SIMULATED in state.forecast_data_source for state in states),
        regions=states,
    )
