"""List schedules: what each storage asset is to do from now on, and which decision says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import NotFound
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.ontology.enums import StorageStatus
from pylon.store.database import Database

__all__ = ["ScheduleList", "ScheduledHalfHour", "StorageSchedule", "list_schedules"]


class ScheduledHalfHour(BaseModel):
    """What an asset is to do in one half hour."""

    model_config = ConfigDict(frozen=True)

    starts_at: datetime
    power_mw: float = Field(description="Mean power at the connection; positive discharges, negative charges")
    decision_id: str = Field(description="The decision that set it, by its decision_id")


class StorageSchedule(BaseModel):
    """What one asset is to do."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    asset_id: str
    status: StorageStatus
    capacity_mwh: float
    charge_mwh: float | None = Field(description="Energy stored at present; null: not known")
    is_simulated: bool = Field(
        description="Whether the asset is simulated: then Pylon carries this out, in name only"
    )
    simulated: list[str] = Field(
        description="Of carbon, price and stress, those that were simulated where this was decided"
    )
    half_hours: list[ScheduledHalfHour] = Field(
        description="From the present half hour on, in order; nothing is scheduled in those that are not listed"
    )


class ScheduleList(BaseModel):
    """What your storage is to do."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    contains_simulated: bool = Field(description="Whether any asset, or what its schedule rests on, is simulated")
    schedules: list[StorageSchedule] = Field(description="One for each asset, by asset_id")


def list_schedules(
    database: Database, operator_id: UUID, now: datetime, *, asset_id: str | None = None
) -> ScheduleList:
    """Return what each of the operator's storage assets is to do from the half hour of `now` on, or one of them.

    Raises `NotFound` when there is no asset called `asset_id`.
    """
    with database.as_reader(operator_id) as transaction:
        rows = transaction.all("storage_schedules", operator_id=operator_id, asset_id=asset_id, start=floor(now))
    if asset_id is not None and not rows:
        raise NotFound(
            f"You have no storage asset {asset_id[:60]!r}. `GET /api/v1/objects/StorageAsset` lists yours."
        )
    schedules = [_schedule(list(those)) for _, those in groupby(rows, key=lambda row: row["id"])]
    return ScheduleList(
        as_of=now,
        contains_simulated=any(one.is_simulated or one.simulated for one in schedules),
        schedules=schedules,
    )


def _schedule(rows: list[Mapping[str, Any]]) -> StorageSchedule:
    asset = {name: rows[0][name] for name in StorageSchedule.model_fields if name in rows[0]}
    planned = [row for row in rows if row["starts_at"] is not None]
    return StorageSchedule(
        **{**asset, "simulated": _named(planned)},
        half_hours=list(_half_hours(planned)),
    )


def _half_hours(rows: Iterable[Mapping[str, Any]]) -> Iterator[ScheduledHalfHour]:
    """Yield each half hour that is scheduled, those in which a decision left the asset idle among them."""
    before: ScheduledHalfHour | None = None
    for row in rows:
        one = ScheduledHalfHour(
            starts_at=row["starts_at"], power_mw=row["power_mw"], decision_id=row["decision_id"]
        )
        if before is not None and before.decision_id == one.decision_id:
            for at in half_hours(before.starts_at + HALF_HOUR, one.starts_at):
                yield ScheduledHalfHour(starts_at=at, power_mw=0.0, decision_id=one.decision_id)
        yield one
        before = one


def _named(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row["simulated"]})
