"""What a source of grid signals declares about itself, is asked for, and gives back."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import pylon.sources
from pylon.ontology.calendar import half_hours
from pylon.ontology.enums import Fuel
from pylon.sources.http import Http

__all__ = [
    "SIMULATED",
    "Batch",
    "NationalReading",
    "RegionalReading",
    "Rejection",
    "Request",
    "Source",
    "Supply",
    "Terms",
    "discover",
    "gaps",
]

SIMULATED = "simulated"
"""The `data_source` and provenance of everything Pylon generates."""


class Supply(StrEnum):
    """What a source may supply; the pipeline asks a simulated source for what no real one answered.

    CARBON, MIX, DEMAND and PRICE are quantities of the national signal, and the keys of its provenance.
    """

    CARBON = "carbon"
    MIX = "mix"
    DEMAND = "demand"
    PRICE = "price"
    REGIONAL = "regional"
    FACTORS = "factors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is known of a source beforehand, as data: where it is, how often it changes, whose it is."""

    name: str
    title: str
    data_source: str
    supplies: frozenset[Supply]
    homepage: str
    licence: str
    attribution: str
    cadence: timedelta
    """How often the upstream publishes."""
    delay: timedelta
    """How long after its half hour a value may appear."""

    @property
    def is_simulated(self) -> bool:
        """Whether the source makes its values up."""
        return self.data_source == SIMULATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a source is asked for: the half hours [start, end) around `now`, and of what.

    A real source reads through `http` at its address in `base_urls`; a simulated one draws from `seed` alone, so
    the same request always gives the same batch.
    """

    now: datetime
    start: datetime
    end: datetime
    seed: int
    http: Http
    base_urls: Mapping[str, str] = field(default_factory=dict)
    """Base address of each real source, by its `data_source`."""
    wanted: frozenset[Supply] = frozenset(Supply)


@dataclass(frozen=True, slots=True, kw_only=True)
class NationalReading:
    """Great Britain in the half hour that starts at `starts_at` (UTC). None: this source does not say.

    Carbon in gCO2/kWh, demand in MW, price in GBP/MWh, mix in percent by fuel.
    """

    starts_at: datetime
    carbon_intensity_forecast: int | None = None
    carbon_intensity_actual: int | None = None
    carbon_index: str | None = None
    demand_mw: int | None = None
    wholesale_price_gbp_mwh: Decimal | None = None
    mix: Mapping[Fuel, Decimal] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionalReading:
    """One region (1 to 17, the API's number) in the half hour that starts at `starts_at` (UTC).

    Carbon in gCO2/kWh, mix in percent by fuel.
    """

    region_id: int
    starts_at: datetime
    carbon_intensity_forecast: int | None
    carbon_index: str | None
    mix: Mapping[Fuel, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was received and not taken: what it was, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a source gave: readings, how many rows it saw, what it refused, and what it left out."""

    national: Sequence[NationalReading] = ()
    regional: Sequence[RegionalReading] = ()
    factors: Mapping[str, int] = field(default_factory=dict)
    rows_seen: int
    rejected: Sequence[Rejection] = ()
    missing: Sequence[datetime] = ()
    """Half hours that were asked for and did not come (of a regional source: where any region lacks one)."""


class Source(Protocol):
    """One way for grid signals to come in."""

    @property
    def terms(self) -> Terms:
        """What is known of the source beforehand."""
        ...

    def fetch(self, request: Request) -> Batch:
        """Return what the source says for the request.

        Raises `SourceUnavailable` when it does not answer and `SourceChanged` when the answer has another shape
        than the documented one. A single bad row is rejected with its reason and the rest is kept.
        """
        ...


def discover() -> tuple[Source, ...]:
    """Return every source of this room: what its modules list in `SOURCES`, real ones first, then by name."""
    modules = [
        importlib.import_module(f"{pylon.sources.__name__}.{module.name}")
        for module in pkgutil.iter_modules(pylon.sources.__path__)
    ]
    sources = [source for module in modules for source in getattr(module, "SOURCES", ())]
    return tuple(sorted(sources, key=lambda source: (source.terms.is_simulated, source.terms.name)))


def gaps(present: Iterable[datetime], start: datetime, end: datetime) -> tuple[datetime, ...]:
    """Return the half hours of [start, end) that are not in `present`, in order."""
    have = set(present)
    return tuple(at for at in half_hours(start, end) if at not in have)
