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
    "IMPORTED_RANK",
    "MODELLED",
    "SIMULATED",
    "Batch",
    "Limits",
    "NationalReading",
    "RegionalReading",
    "Rejection",
    "Request",
    "Side",
    "Source",
    "Supply",
    "Terms",
    "discover",
    "gaps",
    "ranks",
]

SIMULATED = "simulated"
"""The `data_source` and provenance of everything Pylon generates."""

MODELLED = "pylon_forecast_v1"
"""The label of what Pylon forecasts from a signal's real past. It is never taken for what came."""

MODELLED_RANK = 5
"""Above a simulated value, which knows nothing of the grid; below whatever somebody else says."""

IMPORTED_RANK = 10
"""The rank of a label that no source here carries: data that someone has imported, or a source since removed."""


class Supply(StrEnum):
    """What a source may supply; the pipeline asks a simulated source for what no real one answered.

    CARBON, MIX, DEMAND, PRICE and SYSTEM_PRICE are quantities of the national signal, and the keys of its
    provenance.
    """

    CARBON = "carbon"
    MIX = "mix"
    DEMAND = "demand"
    PRICE = "price"
    SYSTEM_PRICE = "system_price"
    REGIONAL = "regional"
    FACTORS = "factors"


class Side(StrEnum):
    """The half hours a source may speak of: those that have begun to be history, and the present one onwards."""

    PAST = "past"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the upstream allows, and who says so."""

    says: str
    """The rule in words, with where it is written; "none published" where there is none."""
    apart_s: float = 0.0
    """Least seconds between two requests to the API."""
    longest_range: timedelta | None = None
    """Longest span one request may ask for."""


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
    api: str = ""
    """The API it reads, e.g. `elexon`: sources of one API share an address and its limits."""
    base_url: str = ""
    """Address of the API, unless a setting names another."""
    rank: int = 50
    """Which of two sources of one quantity is believed in the same half hour: the higher; of equals, the later.
    50 is for measured values, 20 to 40 for forecasts, the nearer the higher; simulated values are 0."""
    sides: frozenset[Side] = frozenset(Side)
    """Which half hours it speaks of; the simulator is asked for the others."""
    is_partial: bool = False
    """Whether it speaks of some half hours of its sides only, so that the simulator may still be needed there."""
    poll_every: timedelta = timedelta(0)
    """Least time between two times it is asked, where that is longer than from one run to the next."""
    limits: Limits = Limits(says="none published")

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
    """Addresses that settings name in place of `Terms.base_url`, by `Terms.api`."""
    wanted: frozenset[Supply] = frozenset(Supply)
    marker: str | None = None
    """The `Batch.marker` of the last answer that was stored, for upstreams that tell when they last changed."""

    def address(self, terms: Terms) -> str:
        """Return the address of the source's API, without a slash at its end."""
        return self.base_urls.get(terms.api, terms.base_url).rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class NationalReading:
    """Great Britain in the half hour that starts at `starts_at` (UTC). None: this source does not say.

    Carbon in gCO2/kWh, demand in MW, prices in GBP/MWh (wholesale: the market index; system: the price of
    imbalance), mix in percent by fuel.
    """

    starts_at: datetime
    carbon_intensity_forecast: int | None = None
    carbon_intensity_actual: int | None = None
    carbon_index: str | None = None
    demand_mw: int | None = None
    wholesale_price_gbp_mwh: Decimal | None = None
    system_price_gbp_mwh: Decimal | None = None
    mix: Mapping[Fuel, Decimal] | None = None
    withheld: frozenset[str] = frozenset()
    """Carbon values that were received and found not fit to serve: None here, kept raw in quality_flags. Sources
    leave it empty; services.check_quality fills it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionalReading:
    """One region (1 to 17, the API's number) in the half hour that starts at `starts_at` (UTC).

    Carbon in gCO2/kWh, mix in percent by fuel.
    """

    region_id: int
    starts_at: datetime
    carbon_intensity_forecast: int | None
    carbon_index: str | None
    carbon_intensity_upper: int | None = None
    """What the intensity stays below nine times in ten; None where the source does not say."""
    mix: Mapping[Fuel, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was received and not taken: what it was, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a source gave: readings, how many rows it saw, what it refused, and what it left out.

    Readings may reach beyond the request where the upstream publishes whole files.
    """

    national: Sequence[NationalReading] = ()
    regional: Sequence[RegionalReading] = ()
    factors: Mapping[str, int] = field(default_factory=dict)
    rows_seen: int
    rejected: Sequence[Rejection] = ()
    missing: Sequence[datetime] = ()
    """Half hours that were asked for and did not come (of a regional source: where any region lacks one)."""
    marker: str | None = None
    """What the upstream says of its present state, e.g. when it last changed; comes back in the next request."""
    is_whole: bool = True
    """Whether all that was asked for could be read: a source that failed in part is asked as far back again."""
    is_unchanged: bool = False
    """Whether the upstream said that nothing has changed since the request's marker, so that nothing was read."""


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


def ranks(sources: Iterable[Source]) -> dict[str, int]:
    """Return the rank of each label, simulated values last; a label that is not there ranks as an import."""
    given = {source.terms.data_source: source.terms.rank for source in sources if not source.terms.is_simulated}
    return {SIMULATED: 0, MODELLED: MODELLED_RANK} | given
