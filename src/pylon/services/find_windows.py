"""Find windows: when, in each region, power is greenest and cheapest for a job of so many hours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.agents.compute_orchestrator import PROGRAM
from pylon.agents.jobs import Placing
from pylon.errors import Invalid
from pylon.ontology import carbon
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import AHEAD, HALF_HOUR, floor
from pylon.ontology.enums import AgentType, CarbonIndex
from pylon.planning import windows
from pylon.sources.feed import SIMULATED
from pylon.store.database import Database, Transaction

__all__ = ["RegionWindows", "WeighedWindow", "WindowList", "WindowTerms", "find_windows"]

_MINUTE = timedelta(minutes=1)
_QUANTITIES = ("carbon", "price", "stress")


class WindowTerms(BaseModel):
    """What 1 MWh drawn evenly over the window costs, by reason, in GBP; null where that is not known."""

    model_config = ConfigDict(frozen=True)

    energy_gbp: float | None = Field(description="At the wholesale price")
    carbon_gbp: float | None = Field(description="At the carbon price weighed")
    stress_gbp: float | None = Field(description="At the price of grid stress weighed")


class WeighedWindow(BaseModel):
    """One window."""

    model_config = ConfigDict(frozen=True)

    starts_at: datetime
    ends_at: datetime = Field(description="Excluded")
    carbon_gco2_kwh: float | None = Field(description="Mean carbon intensity of the region")
    carbon_index: CarbonIndex | None = Field(description="Its word, by the bands of the year")
    price_gbp_mwh: float | None = Field(description="Mean wholesale price")
    terms: WindowTerms
    total_gbp: float | None = Field(
        description="Sum of the terms; null without price or carbon, and without stress the sum of the other two"
    )
    simulated: list[str] = Field(description="Of carbon, price and stress, those that rest on simulated values")


class RegionWindows(BaseModel):
    """The best windows of one region: those of a list do not overlap, the best first."""

    model_config = ConfigDict(frozen=True)

    region_id: int = Field(description="The region's number, 1 to 14")
    short_name: str
    greenest: list[WeighedWindow] = Field(description="Of least mean carbon; empty where none is known")
    cheapest: list[WeighedWindow] = Field(description="Of least mean price; empty where none is known")


class WindowList(BaseModel):
    """The best windows, region by region."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    hours: float = Field(description="Length of a window")
    by: datetime = Field(description="Every window has ended by then; at most 48 hours ahead")
    carbon_price_gbp_t: float = Field(description="What your orchestrator weighs a tonne of CO2 with")
    stress_price_gbp_mwh: float = Field(description="What it weighs an MWh at grid stress 1 with")
    notice: str | None = Field(
        description="Why these are not your orchestrator's weights but the usual ones, if so"
    )
    contains_simulated: bool
    regions: list[RegionWindows]


def find_windows(
    database: Database,
    operator_id: UUID,
    now: datetime,
    *,
    hours: float,
    by: datetime | None = None,
    region: int | None = None,
    top: int = 3,
) -> WindowList:
    """Return the `top` greenest and cheapest windows of `hours` between now and `by`, in one region or in each.

    Raises `Invalid` when no window of that length ends by then.
    """
    span = _Span.of(now, hours, by)
    with database.as_reader(operator_id) as transaction:
        weighing, notice = _weighing(transaction, operator_id)
        grid = _Grid.read(transaction, span.start)
        names = {
            row["region_id"]: row["short_name"] for row in transaction.all("regions") if not row["is_aggregate"]
        }
    numbers = list(names) if region is None else [region]
    found = [_region(grid, weighing, span, number, names[number], top) for number in numbers]
    return WindowList(
        as_of=now,
        hours=span.duration / timedelta(hours=1),
        by=span.end,
        carbon_price_gbp_t=weighing.carbon_price_gbp_t,
        stress_price_gbp_mwh=weighing.stress_price_gbp_mwh,
        notice=notice,
        contains_simulated=any(one.simulated for row in found for one in (*row.greenest, *row.cheapest)),
        regions=found,
    )


@dataclass(frozen=True)
class _Span:
    """From when to when windows are looked for, and how long they are. `start` is that of the first half hour."""

    start: datetime
    earliest: datetime
    end: datetime
    duration: timedelta

    @classmethod
    def of(cls, now: datetime, hours: float, by: datetime | None) -> _Span:
        start = floor(now)
        duration = timedelta(minutes=round(hours * 60))
        earliest = start + -(-(now - start) // _MINUTE) * _MINUTE
        end = min(by or start + AHEAD, start + AHEAD)
        if earliest + duration > end:
            raise Invalid(
                f"No window of {hours:g} hours that begins now or later ends by {end:%Y-%m-%d %H:%M} UTC. "
                f"Valid: fewer hours, or a later time; signals reach to {start + AHEAD:%Y-%m-%d %H:%M} UTC."
            )
        return cls(start, earliest, end, duration)

    def minutes(self, at: datetime) -> float:
        return (at - self.start) / _MINUTE


@dataclass(frozen=True)
class _Grid:
    """The grid over the half hours from the present one to 48 hours ahead: values, and which are simulated."""

    price: Sequence[float | None]
    stress: Sequence[float | None]
    carbon: Mapping[int, Sequence[int | None]]
    made_up: Mapping[str, Sequence[bool]]
    carbon_made_up: Mapping[int, Sequence[bool]]

    @classmethod
    def read(cls, transaction: Transaction, start: datetime) -> _Grid:
        national = transaction.all("national_signals", start=start, end=start + AHEAD)
        regional = transaction.all("regional_series", start=start, end=start + AHEAD)
        return cls(
            price=[row["wholesale_price_gbp_mwh"] for row in national],
            stress=[row["grid_stress_score"] for row in national],
            carbon={row["region_id"]: row["carbon_intensity_forecast"] for row in regional},
            made_up={
                name: [(row["provenance"] or {}).get(name) == SIMULATED for row in national]
                for name in ("price", "stress")
            },
            carbon_made_up={row["region_id"]: [one == SIMULATED for one in row["data_source"]] for row in regional},
        )

    def simulated(self, region: int, first: int, last: int) -> list[str]:
        """Return the quantities that are simulated in any of the half hours [first, last)."""
        made_up = {**self.made_up, "carbon": self.carbon_made_up[region]}
        return [name for name in _QUANTITIES if any(made_up[name][first:last])]


def _weighing(transaction: Transaction, operator_id: UUID) -> tuple[Placing, str | None]:
    """Return what the operator's orchestrator weighs with, or one that has the defaults, and why if not its own."""
    row = transaction.one("acting_agent", operator_id=operator_id, agent_type=AgentType.COMPUTE_ORCHESTRATOR)
    try:
        settings = PROGRAM.settings(Agent.model_validate(row).config if row else {})
    except Invalid as error:
        return Placing(), f"Weighed as an orchestrator without settings of its own would. {error.detail}"
    assert isinstance(settings, Placing)  # noqa: S101  the program says so
    return settings, None


def _region(grid: _Grid, weighing: Placing, span: _Span, region: int, name: str, top: int) -> RegionWindows:
    best = windows.best(
        _known(grid.carbon[region]),
        _known(grid.price),
        stress=_known(grid.stress),
        duration_mins=span.duration / _MINUTE,
        weights=weighing.weights,
        earliest_mins=span.minutes(span.earliest),
        latest_end_mins=span.minutes(span.end),
        count=top,
    )
    return RegionWindows(
        region_id=region,
        short_name=name,
        greenest=[_window(grid, span, region, one) for one in best.greenest],
        cheapest=[_window(grid, span, region, one) for one in best.cheapest],
    )


def _known(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _window(grid: _Grid, span: _Span, region: int, found: windows.Window) -> WeighedWindow:
    starts_at, ends_at = (span.start + minutes * _MINUTE for minutes in (found.begins, found.ends))
    intensity = _rounded(found.mean_carbon_gco2_kwh)
    terms = WindowTerms(
        energy_gbp=_rounded(found.terms.energy, 4),
        carbon_gbp=_rounded(found.terms.carbon, 4),
        stress_gbp=_rounded(found.terms.stress, 4),
    )
    return WeighedWindow(
        starts_at=starts_at,
        ends_at=ends_at,
        carbon_gco2_kwh=intensity,
        carbon_index=None if intensity is None else carbon.index(intensity, starts_at.year),
        price_gbp_mwh=_rounded(found.mean_price_gbp_mwh),
        terms=terms,
        total_gbp=_total(terms),
        simulated=grid.simulated(
            region, (starts_at - span.start) // HALF_HOUR, -((span.start - ends_at) // HALF_HOUR)
        ),
    )


def _total(terms: WindowTerms) -> float | None:
    if terms.energy_gbp is None or terms.carbon_gbp is None:
        return None
    return round(terms.energy_gbp + terms.carbon_gbp + (terms.stress_gbp or 0.0), 4)


def _rounded(value: float, places: int = 2) -> float | None:
    return None if math.isnan(value) else round(value, places)
