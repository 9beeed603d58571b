"""Series: the half-hourly quantities that Pylon keeps with their history, by name, and spans of half hours."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pylon.errors import Invalid, NotFound
from pylon.ontology import columns
from pylon.ontology.calendar import floor
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.grid import GridSignal, RegionalGridSignal
from pylon.ontology.regions import REGIONS
from pylon.ontology.types import ObjectType
from pylon.sources.feed import Supply

__all__ = ["LONGEST", "NATIONAL", "REGIONAL", "SERIES", "STRESS", "Series", "Span", "find", "span_of"]

STRESS = "stress"
"""The quantity that no source supplies: Pylon works it out. A key of the national signal's provenance."""

LONGEST = timedelta(days=366)
"""The longest span that is read at once."""

_CLOSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One column of a signal, half hour by half hour; of one region where it is a regional signal's."""

    object_type: type[ObjectType]
    column: str
    quantity: str
    """Who gave it is under this key of the national signal's provenance."""
    region_id: int | None = None
    actual: str | None = None
    """The series that its forecasts are scored against; itself where an outturn is stored over them."""
    is_afterwards: bool = False
    """Whether it is known only when the half hour is over."""

    @property
    def name(self) -> str:
        """Its name, as in signal_vintages."""
        return f"national.{self.column}" if self.region_id is None else f"region.{self.region_id}.{self.column}"

    @property
    def spec(self) -> ColumnSpec:
        """What the ontology says of the column: its unit, and what it means."""
        return next(spec for spec in columns.of(self.object_type) if spec.name == self.column)


@dataclass(frozen=True, slots=True)
class Span:
    """The half hours [start, end), and what was done otherwise than asked to get there."""

    start: datetime
    end: datetime
    notes: tuple[str, ...] = ()


def _national(column: str, quantity: str, *, actual: str | None = None, is_afterwards: bool = False) -> Series:
    return Series(
        object_type=GridSignal, column=column, quantity=quantity, actual=actual, is_afterwards=is_afterwards
    )


NATIONAL: tuple[Series, ...] = (
    _national("carbon_intensity_forecast", Supply.CARBON, actual="national.carbon_intensity_actual"),
    _national("carbon_intensity_actual", Supply.CARBON, is_afterwards=True),
    _national("demand_mw", Supply.DEMAND, actual="national.demand_mw"),
    _national("wholesale_price_gbp_mwh", Supply.PRICE, actual="national.wholesale_price_gbp_mwh"),
    _national("system_price_gbp_mwh", Supply.SYSTEM_PRICE, is_afterwards=True),
    _national("grid_stress_score", STRESS),
)
REGIONAL: tuple[Series, ...] = tuple(
    Series(
        object_type=RegionalGridSignal,
        column="carbon_intensity_forecast",
        quantity=Supply.REGIONAL,
        region_id=region.region_id,
    )
    for region in REGIONS
)
SERIES: Mapping[str, Series] = {series.name: series for series in (*NATIONAL, *REGIONAL)}


def find(name: str) -> Series:
    """Return the series called `name`.

    Raises `NotFound`, naming the closest, when there is none.
    """
    if name in SERIES:
        return SERIES[name]
    begun = [series for series in SERIES if series.startswith(f"{name}.")][:3]
    close = begun or difflib.get_close_matches(name[:100], SERIES, n=3, cutoff=_CLOSE) or [NATIONAL[0].name]
    raise NotFound(
        f"There is no signal {name[:100]!r}. The closest: {', '.join(close)}. `pylon signals` and "
        "GET /api/v1/signals list all; those of a region are region.NUMBER.carbon_intensity_forecast, 1 to 17."
    )


def span_of(start: datetime, end: datetime, *, longest: timedelta = LONGEST) -> Span:
    """Return the half hours from that of `start` to that of `end`, the latter excluded; times are floored.

    Raises `Invalid` when there are none, or more than `longest`.
    """
    span = Span(
        floor(start),
        floor(end),
        tuple(
            f"`{name}` was floored to the half hour {floor(at):%Y-%m-%dT%H:%MZ}."
            for name, at in (("from", start), ("to", end))
            if floor(at) != at
        ),
    )
    if span.start >= span.end:
        raise Invalid(
            f"`from` ({span.start:%Y-%m-%dT%H:%MZ}) must be at least half an hour before `to` "
            f"({span.end:%Y-%m-%dT%H:%MZ}); both are floored to the half hour."
        )
    if span.end - span.start > longest:
        raise Invalid(
            f"{(span.end - span.start).days:,} days are too many at once. Valid: at most {longest.days} days from "
            "`from` to `to`."
        )
    return span
