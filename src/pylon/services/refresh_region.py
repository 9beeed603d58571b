"""Refresh a region: ask for one region's forecast now, outside the timetable, and store it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import Conflict, NotFound
from pylon.ontology.calendar import AHEAD, floor
from pylon.ontology.regions import REGIONS
from pylon.services import ingest
from pylon.services.regional import RegionalCarbon, regional
from pylon.settings import Settings
from pylon.sources import carbon_intensity, feed
from pylon.sources.carbon_intensity import DATA_SOURCE
from pylon.sources.feed import SIMULATED, Batch, Request
from pylon.sources.http import Http
from pylon.store import leases
from pylon.store.database import Database

__all__ = ["APART", "RefreshedRegion", "RegionState", "refresh_region", "region_state"]

APART = timedelta(minutes=1)
"""Least time between two times the API is asked for the same region, whoever asks."""


class RegionState(BaseModel):
    """One region."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    starts_at: datetime = Field(description="Start of this half hour, UTC")
    contains_simulated: bool
    region: RegionalCarbon


class RefreshedRegion(RegionState):
    """One region, after its source may have been asked."""

    was_asked: bool = Field(
        description="Whether the source was asked; within a minute of the last time it is not, and this is stored"
    )
    rows_written: int = Field(default=0, description="Rows of signals and mix that changed")
    half_hours_missing: int = Field(default=0, description="Half hours of the next 48 hours that did not come")


def region_state(database: Database, number: int, now: datetime) -> RegionState:
    """Return what is stored of one region, by the API's number; raises `NotFound` for a number that is none."""
    state = regional(database, now)
    region = next((region for region in state.regions if region.region_id == number), None)
    if region is None:
        valid = f"{REGIONS[0].region_id} to {REGIONS[-1].region_id}"
        raise NotFound(f"There is no region {number}. Valid: {valid}; GET /api/v1/grid/regional names them.")
    return RegionState(
        as_of=state.as_of,
        starts_at=state.starts_at,
        contains_simulated=SIMULATED in region.forecast_data_source,
        region=region,
    )


def refresh_region(
    database: Database, settings: Settings, number: int, *, run_id: UUID, now: datetime
) -> RefreshedRegion:
    """Ask for the next 48 hours of one region and store them; within a minute of the last time, only read them.

    Only read too while the pipeline runs: it asks for all regions, and would store its answer, by then the older,
    last.

    What came is kept as a vintage of `run_id`, which is no run of the pipeline. Raises `NotFound` for a number that
    is none, `Conflict` when no real source may be asked, and `SourceError` when it does not answer.
    """
    stored = region_state(database, number, now)
    if settings.grid == "simulated":
        raise Conflict("PYLON_GRID=simulated: no real source is asked. Set it to auto or real, and ask again.")
    if not _may_ask(database, number, stored.region.fetched_at, run_id=run_id, now=now):
        return RefreshedRegion(**dict(stored), was_asked=False)
    batch = _ask(settings, number, now)
    ranks = feed.ranks(carbon_intensity.SOURCES)
    with database.as_ingest() as transaction:
        done = ingest.store_batch(transaction, DATA_SOURCE, batch, ranks=ranks, run_id=run_id, now=now)
        ingest.refresh_centres(transaction, now)
    return RefreshedRegion(
        **dict(region_state(database, number, now)),
        was_asked=True,
        rows_written=done.written,
        half_hours_missing=len(batch.missing),
    )


def _may_ask(database: Database, number: int, fetched_at: datetime | None, *, run_id: UUID, now: datetime) -> bool:
    """Return whether the region was last asked for long enough ago, and if so note that it is asked for now."""
    if fetched_at is not None and timedelta(0) <= now - fetched_at < APART:
        return False
    # The lease is never given back: it ends by itself when the region may be asked for again.
    term_s = int(APART.total_seconds())
    with database.as_ingest() as transaction:
        running = transaction.one("lease", name=leases.PIPELINE)
        if running and running["expires_at"] > now:
            return False
        name = f"region {number}"
        return bool(transaction.value("take_lease", name=name, holder=run_id, now=now, term_s=term_s))


def _ask(settings: Settings, number: int, now: datetime) -> Batch:
    with Http(timeout_s=settings.http_timeout_s, attempts=settings.http_attempts) as http:
        request = Request(
            now=now,
            start=floor(now),
            end=floor(now) + AHEAD,
            seed=settings.seed,
            http=http,
            base_urls=settings.base_urls,
        )
        return carbon_intensity.one_region(request, number)
