"""Views made by hand: a few sites, flat or given signals, and workloads, without a database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from pylon.agents.contract import Booking, Scheduled, Span, View
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.deciding import LoadLimit
from pylon.ontology.enums import AgentType, DataCentreStatus, WorkloadType
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.ontology.identity import derived_uuid
from pylon.ontology.regions import REGIONS
from pylon.planning.field import RESOURCES, Field

NOW = datetime(2026, 11, 22, 12, 10, tzinfo=UTC)
OPERATOR = derived_uuid(NOW, "operator")
HALF_HOURS = 97
REGION_IDS = {region.region_id: region.id for region in REGIONS}
NUMBERS = {region.id: region.region_id for region in REGIONS}

Series = float | Sequence[float]


def site(name: str, region: int, **values: Any) -> DataCentre:
    """Return an ACTIVE site of 10 MW with a PUE of 1, none of which cannot move."""
    return DataCentre.model_validate(
        {
            "id": derived_uuid(NOW, "site", name),
            "dc_id": name,
            "name": name,
            "operator_id": OPERATOR,
            "region_id": REGION_IDS[region],
            "pue": 1,
            "total_capacity_mw": 10,
            "flexibility_rating": 0.5,
            "created_at": NOW,
            "updated_at": NOW,
            **values,
        }
    )


def workload(name: str, **values: Any) -> ComputeWorkload:
    """Return a PENDING job of 1 MW for two hours that arrived now and may wait a day."""
    return ComputeWorkload.model_validate(
        {
            "id": derived_uuid(NOW, "workload", name),
            "job_id": name,
            "operator_id": OPERATOR,
            "workload_type": WorkloadType.TRAINING_RUN,
            "duration_mins": 120,
            "power_kw": 1000,
            "deferral_window_mins": 1440,
            "created_at": NOW,
            **values,
        }
    )


def asset(name: str, region: int, **values: Any) -> StorageAsset:
    """Return a battery of 10 MW and 20 MWh, half full."""
    return StorageAsset.model_validate(
        {
            "id": derived_uuid(NOW, "asset", name),
            "asset_id": name,
            "name": name,
            "operator_id": OPERATOR,
            "region_id": REGION_IDS[region],
            "capacity_mwh": 20,
            "max_charge_rate_mw": 10,
            "max_discharge_rate_mw": 10,
            "current_charge_mwh": 10,
            "created_at": NOW,
            "updated_at": NOW,
            **values,
        }
    )


def agent(agent_type: AgentType, **values: Any) -> Agent:
    """Return an idle agent with the defaults of its type."""
    return Agent.model_validate(
        {
            "id": derived_uuid(NOW, "agent", agent_type),
            "agent_id": agent_type.lower(),
            "name": agent_type,
            "agent_type": agent_type,
            "operator_id": OPERATOR,
            "created_at": NOW,
            "updated_at": NOW,
            **values,
        }
    )


def view(
    *sites: DataCentre,
    price: Mapping[str, Series] | Series = 50.0,
    carbon: Mapping[str, Series] | Series = 100.0,
    stress: Series = 0.0,
    workloads: Sequence[ComputeWorkload] = (),
    bookings: Mapping[str, Booking] | None = None,
    limits: Sequence[LoadLimit] = (),
    deciders: Mapping[UUID, UUID | None] | None = None,
    assets: Sequence[StorageAsset] = (),
    schedules: Mapping[UUID, tuple[Scheduled, ...]] | None = None,
    simulated: Sequence[str] = (),
    now: datetime = NOW,
    half_hours: int = HALF_HOURS,
) -> View:
    """Return a view of these sites. A series is one value for all half hours, or one for each; by site if mapped.

    Room is what the sites have, at most what the limits allow, less what the bookings (by job) take.
    """
    ordered = tuple(sorted(sites, key=lambda one: one.id))
    rows = {one.id: row for row, one in enumerate(ordered)}
    made = View(
        now=now,
        starts_at=floor(now),
        run_id=None,
        grid_signal_id=None,
        carbon_gco2_kwh=None,
        stress=None,
        price_gbp_mwh=None,
        field=Field(
            price_gbp_mwh=_cells(ordered, price, half_hours),
            carbon_gco2_kwh=_cells(ordered, carbon, half_hours),
            stress=_series(stress, half_hours),
            scarcity_gbp_mwh=np.zeros((len(ordered), half_hours)),
            room=_room(ordered, half_hours),
            is_open=np.array([one.status is DataCentreStatus.ACTIVE for one in ordered], dtype=np.bool_),
            pue=np.array([float(one.pue) for one in ordered]),
        ),
        region_carbon={
            NUMBERS[one.region_id]: _known(_series(_of(carbon, one), half_hours)) for one in (*ordered, *assets)
        },
        wholesale_gbp_mwh=_known(_series(price, half_hours))
        if not isinstance(price, Mapping)
        else (None,) * half_hours,
        sites=ordered,
        regions=tuple(NUMBERS[one.region_id] for one in ordered),
        workloads=tuple(workloads),
        bookings={one.id: booking for one in workloads if (booking := (bookings or {}).get(one.job_id))},
        assets=tuple(assets),
        asset_regions=tuple(NUMBERS[asset.region_id] for asset in assets),
        schedules=schedules or {},
        limits=tuple(limits),
        deciders=deciders or {},
        simulated=tuple(simulated),
        digest="0" * 64,
        after_seq=0,
    )
    for limit in limits:
        _limit(made, rows[limit.data_centre_id], limit)
    for one in workloads:
        if one.id in made.bookings:
            _take(made, one, made.bookings[one.id])
    return made


def booking(at: DataCentre, starts_at: datetime, mins: int, *more: tuple[datetime, int]) -> Booking:
    """Return a booking at a site from `starts_at` on for `mins` minutes; `more` are further spans of that form."""
    spans = [(starts_at, mins), *more]
    return Booking(
        data_centre_id=at.id,
        spans=tuple(Span(begins, begins + timedelta(minutes=length)) for begins, length in spans),
        decision_id=derived_uuid(NOW, "decision"),
    )


def limit(
    at: DataCentre, max_power_mw: float, starts_at: datetime, ends_at: datetime | None, **values: Any
) -> LoadLimit:
    """Return a cap on a site's scheduled power."""
    return LoadLimit.model_validate(
        {
            "id": derived_uuid(NOW, "limit", at.dc_id, str(starts_at)),
            "operator_id": OPERATOR,
            "data_centre_id": at.id,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "max_power_mw": max_power_mw,
            "reason": "test",
            "created_at": NOW,
            **values,
        }
    )


def with_room(made: View, value: float, *, resource: str = "power_mw", at: DataCentre | None = None) -> View:
    """Return the view with one resource set to `value`, at one site or at all, in every half hour."""
    room = made.field.room.copy()
    rows = slice(None) if at is None else made.site(at.id)
    room[RESOURCES.index(resource), rows, :] = value
    return replace(made, field=replace(made.field, room=room))


def _cells(sites: Sequence[DataCentre], given: Mapping[str, Series] | Series, half_hours: int) -> Any:
    return np.array([_series(_of(given, one), half_hours) for one in sites]).reshape(len(sites), half_hours)


def _of(given: Mapping[str, Series] | Series, one: DataCentre | StorageAsset) -> Series:
    if not isinstance(given, Mapping):
        return given
    return given[one.dc_id] if isinstance(one, DataCentre) else math.nan


def _known(values: Any) -> tuple[Any, ...]:
    return tuple(None if math.isnan(value) else value for value in values.tolist())


def _series(given: Series, half_hours: int) -> Any:
    """Return the values, the last of them repeated to the end."""
    values = [given] if isinstance(given, int | float) else list(given)
    return np.array([*values, *[values[-1]] * (half_hours - len(values))][:half_hours], dtype=np.float64)


def _room(sites: Sequence[DataCentre], half_hours: int) -> Any:
    room = np.full((len(RESOURCES), len(sites), half_hours), np.inf)
    for row, one in enumerate(sites):
        room[0, row] = float(one.total_capacity_mw - one.base_load_mw)
        for resource, count in enumerate((one.gpu_count, one.cpu_cores, one.memory_gb), 1):
            if count is not None:
                room[resource, row] = count
    return room


def _limit(made: View, row: int, cap: LoadLimit) -> None:
    for column in range(made.field.half_hours):
        begins = made.half_hour(column)
        if cap.starts_at < begins + HALF_HOUR and (cap.ends_at is None or cap.ends_at > begins):
            room = made.field.room
            room[0, row, column] = min(room[0, row, column], float(cap.max_power_mw))


def _take(made: View, one: ComputeWorkload, booked: Booking) -> None:
    row = made.site(booked.data_centre_id)
    if row is None:
        return
    needed = np.array(
        [
            float(one.power_kw) / 1000 * made.field.pue[row],
            (one.required_gpu_mins or 0) / one.duration_mins,
            one.required_cpu_cores or 0,
            one.required_memory_gb or 0,
        ]
    )
    for column in range(made.field.half_hours):
        begins = made.half_hour(column)
        if any(span.starts_at < begins + HALF_HOUR and span.ends_at > begins for span in booked.spans):
            made.field.room[:, row, column] -= needed
