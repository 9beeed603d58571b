"""Market catalog: the spare capacity of published data centres, as offers in the vocabulary of Beckn 2.0."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from math import floor as round_down
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.sources.feed import SIMULATED
from pylon.store.database import Database

__all__ = ["Catalog", "MarketCatalog", "market_catalog"]

NOTICE_MINS = 30  # an offer starts on a half hour, so no sooner than the next one
_OPEN = ("ACTIVE", "CONSTRAINED")
_OF_THE_SITE = ("spareCapacityMw", "gpuMinutes", "noticeMins", "isInterruptible")


class _Camel(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Descriptor(_Camel):
    """A name for people."""

    name: str
    short_desc: str = ""


class ResourceAttributes(_Camel):
    """A data centre, as far as a buyer needs to know it."""

    data_centre_id: str = Field(description="The provider's own id for the site")
    region_id: int = Field(description="The Carbon Intensity API's number of the grid region")
    region_name: str
    pue: float = Field(description="Facility power / IT power")
    total_capacity_mw: float
    gpu_count: int | None
    flexibility_rating: float
    is_simulated: bool


class Resource(_Camel):
    """A data centre."""

    id: str
    descriptor: Descriptor
    resource_attributes: ResourceAttributes


class Validity(_Camel):
    """The window an offer is for: [startsAt, endsAt)."""

    starts_at: datetime
    ends_at: datetime


class OfferAttributes(_Camel):
    """What can be had in one window."""

    spare_capacity_mw: float = Field(description="Least facility power free in any half hour of the window")
    gpu_minutes: int | None = Field(description="GPU minutes that this power can feed")
    carbon_intensity_gco2_per_kwh: float | None = Field(description="Mean regional forecast over the window")
    grid_stress_score: float | None = Field(description="Highest national score in the window, 0 to 1")
    price_per_kwh_gbp: float | None = Field(
        description="Mean wholesale price of the electricity behind one IT kWh (PUE included); no margin, no levies"
    )
    notice_mins: int = Field(description="How long before the window it must be taken")
    is_interruptible: bool = Field(description="Whether the site may pause the work for the grid")
    simulated: list[str] = Field(description="Which of these figures rest on simulated data")


class Offer(_Camel):
    """Spare capacity of one data centre in one window."""

    id: str
    descriptor: Descriptor
    resource_ids: list[str]
    validity: Validity
    offer_attributes: OfferAttributes


class Catalog(_Camel):
    """What one operator offers."""

    id: str
    descriptor: Descriptor
    provider_id: str
    resources: list[Resource]
    offers: list[Offer]


class MarketCatalog(_Camel):
    """Every operator's published spare capacity."""

    as_of: datetime
    contains_simulated: bool
    catalogs: list[Catalog]


def market_catalog(
    database: Database,
    now: datetime,
    *,
    ahead: timedelta = timedelta(hours=48),
    window: timedelta = timedelta(hours=4),
) -> MarketCatalog:
    """Return what operators have published, in windows of `window` from the next half hour until `ahead` from now.

    Spare capacity is total less base load less the work already placed, at its least in the window. Whoever asks
    sees the same: only rows with the `published` flag are read, by a role that can read no others.
    """
    start = floor(now) + HALF_HOUR
    end = floor(now) + ahead  # as far as the signals are held
    with database.as_catalog() as transaction:
        centres = [centre for centre in transaction.all("catalog_centres") if centre["status"] in _OPEN]
        placed = transaction.all("catalog_load", start=start, end=end)
        national = transaction.all("national_signals", start=start, end=end)
        regional = transaction.all("catalog_regional", start=start, end=end)
    load = _load_mw(placed, {centre["id"]: centre["pue"] for centre in centres})
    signals = _Signals(national, regional)
    catalogs: dict[Any, Catalog] = {}
    for centre in centres:
        catalog = catalogs.setdefault(centre["operator_id"], _catalog(centre))
        catalog.resources.append(_resource(centre))
        catalog.offers.extend(_offers(centre, load[centre["id"]], signals, start, end, window))
    sites = [site for catalog in catalogs.values() for site in catalog.resources]
    offers = [offer for catalog in catalogs.values() for offer in catalog.offers]
    return MarketCatalog(
        as_of=now,
        contains_simulated=any(site.resource_attributes.is_simulated for site in sites)
        or any(offer.offer_attributes.simulated for offer in offers),
        catalogs=list(catalogs.values()),
    )


class _Signals:
    """The signals of the span, by half hour and region."""

    def __init__(self, national: Sequence[Mapping[str, Any]], regional: Sequence[Mapping[str, Any]]) -> None:
        self.national = {row["timestamp"]: row for row in national}
        self.regional = {(row["region_id"], row["timestamp"]): row for row in regional}

    def carbon(self, region_id: int, times: Sequence[datetime]) -> tuple[float | None, bool]:
        rows = [row for at in times if (row := self.regional.get((region_id, at)))]
        return _mean([row["carbon_intensity_forecast"] for row in rows], len(times)), any(
            row["data_source"] == SIMULATED for row in rows
        )

    def quantity(self, column: str, key: str, times: Sequence[datetime]) -> tuple[list[float], bool]:
        rows = [self.national[at] for at in times if at in self.national]
        values = [row[column] for row in rows if row[column] is not None]
        return values, any((row["provenance"] or {}).get(key) == SIMULATED for row in rows)


def _offers(
    centre: Mapping[str, Any],
    load_mw: Mapping[datetime, float],
    signals: _Signals,
    start: datetime,
    end: datetime,
    window: timedelta,
) -> Iterator[Offer]:
    room_mw = centre["total_capacity_mw"] - centre["base_load_mw"]
    opens = start
    while opens < end:
        closes = min(opens + window, end)
        times = list(half_hours(opens, closes))
        spare_mw = max(0.0, room_mw - max(load_mw.get(at, 0.0) for at in times))
        if spare_mw > 0:
            yield _offer(centre, signals, times, Validity(starts_at=opens, ends_at=closes), spare_mw, room_mw)
        opens = closes


def _offer(
    centre: Mapping[str, Any],
    signals: _Signals,
    times: Sequence[datetime],
    validity: Validity,
    spare_mw: float,
    room_mw: float,
) -> Offer:
    carbon, carbon_simulated = signals.carbon(centre["region_id"], times)
    stress, stress_simulated = signals.quantity("grid_stress_score", "stress", times)
    price, price_simulated = signals.quantity("wholesale_price_gbp_mwh", "price", times)
    mean_price = _mean(price, len(times))
    minutes = len(times) * 30
    gpus = centre["gpu_count"]
    ramp = centre["ramp_rate_mw_per_min"]
    return Offer(
        id=f"{centre['id']}/{validity.starts_at:%Y%m%dT%H%MZ}",
        descriptor=Descriptor(
            name=f"{centre['name']}, {validity.starts_at:%a %H:%M} to {validity.ends_at:%H:%M} UTC"
        ),
        resource_ids=[str(centre["id"])],
        validity=validity,
        offer_attributes=OfferAttributes(
            spare_capacity_mw=round(spare_mw, 3),
            gpu_minutes=None if gpus is None else round_down(gpus * minutes * spare_mw / room_mw),
            carbon_intensity_gco2_per_kwh=None if carbon is None else round(carbon, 1),
            grid_stress_score=max(stress) if stress else None,
            price_per_kwh_gbp=None if mean_price is None else round(mean_price * centre["pue"] / 1000, 5),
            notice_mins=max(NOTICE_MINS, ceil(spare_mw / ramp) if ramp else NOTICE_MINS),
            is_interruptible=centre["flexibility_rating"] > 0,
            simulated=_simulated(
                carbonIntensityGco2PerKwh=carbon_simulated,
                gridStressScore=stress_simulated,
                pricePerKwhGbp=price_simulated or centre["is_simulated"],  # the site's PUE is in it
                **dict.fromkeys(_OF_THE_SITE, centre["is_simulated"]),
            ),
        ),
    )


def _simulated(**figures: bool) -> list[str]:
    return [name for name, is_simulated in figures.items() if is_simulated]


def _load_mw(placed: Sequence[Mapping[str, Any]], pue: Mapping[Any, float]) -> dict[Any, dict[datetime, float]]:
    """Return the facility power already promised, by data centre and half hour."""
    load: dict[Any, dict[datetime, float]] = defaultdict(lambda: defaultdict(float))
    for row in placed:
        centre = row["host_dc_id"]
        if centre in pue:  # a site that is not open offers nothing, whatever runs there
            for at in half_hours(row["begins"], row["ends"]):
                load[centre][at] += row["power_kw"] / 1000 * pue[centre]
    return load


def _catalog(centre: Mapping[str, Any]) -> Catalog:
    return Catalog(
        id=str(centre["operator_id"]),
        descriptor=Descriptor(name=centre["operator_name"], short_desc="Spare compute capacity"),
        provider_id=str(centre["operator_id"]),
        resources=[],
        offers=[],
    )


def _resource(centre: Mapping[str, Any]) -> Resource:
    return Resource(
        id=str(centre["id"]),
        descriptor=Descriptor(name=centre["name"]),
        resource_attributes=ResourceAttributes(
            data_centre_id=centre["dc_id"],
            region_id=centre["region_id"],
            region_name=centre["short_name"],
            pue=centre["pue"],
            total_capacity_mw=centre["total_capacity_mw"],
            gpu_count=centre["gpu_count"],
            flexibility_rating=centre["flexibility_rating"],
            is_simulated=centre["is_simulated"],
        ),
    )


def _mean(values: Sequence[float | None], expected: int) -> float | None:
    """Return the mean, or None when any half hour lacks its value: a mean of some would not be the window's."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == expected else None
