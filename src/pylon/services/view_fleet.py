"""View the fleet: what the agents of one operator decide on, read once and kept while nothing changes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import numpy as np

from pylon.agents import jobs, standing
from pylon.agents.contract import Booking, Scheduled, Span, StandingPlan, View
from pylon.ontology.agency import OrchestrationDecision
from pylon.ontology.calendar import AHEAD, HALF_HOUR, floor, half_hours
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.deciding import LoadLimit
from pylon.ontology.enums import DataCentreStatus, WorkloadStatus
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.planning.field import RESOURCES, Field, Floats
from pylon.services._grid_ahead import GridAhead
from pylon.store import objects
from pylon.store.database import Transaction

__all__ = ["Views", "needs", "occupy", "view_fleet"]

_COLUMNS: Final = int(AHEAD / HALF_HOUR)
_UNLIMITED: Final = np.inf
_PLACES: Final = 9  # of the room, so that what is kept and what is planned on are the same numbers


@dataclass(frozen=True)
class _Kept:
    view: View
    stamp: tuple[Any, ...]
    revision: int


class Views:
    """The last view of each operator, so that an arrival reads nothing that has not changed.

    Only who has entered the operator may use it: that lock is what keeps two from changing one view's room at once.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: dict[UUID, _Kept] = {}

    def take(self, operator_id: UUID, stamp: tuple[Any, ...], revision: int) -> View | None:
        """Return the operator's view if all is as `revision` left it, else None; either way it is kept no longer.

        So a view whose room was changed by what was then rolled back is seen by nobody.
        """
        kept = self._kept.pop(operator_id, None)
        return kept.view if kept and kept.stamp == stamp and kept.revision == revision else None

    def keep(self, operator_id: UUID, view: View, stamp: tuple[Any, ...], revision: int) -> None:
        """Keep the view, whose room is as `revision` left it."""
        self._kept[operator_id] = _Kept(view, stamp, revision)

    def pass_on(self, operator_id: UUID, revision: int) -> None:
        """Say that what was done at `revision` has not changed what the view before it says."""
        kept = self._kept.get(operator_id)
        if kept and kept.revision == revision - 1:
            self._kept[operator_id] = replace(kept, revision=revision)

    def drop(self, operator_id: UUID) -> None:
        """Forget the operator's view."""
        self._kept.pop(operator_id, None)


def view_fleet(
    transaction: Transaction, operator_id: UUID, now: datetime, *, after_seq: int, whole: bool = True
) -> View:
    """Return what the operator's agents decide on at `now`, and keep what its field was made of in plan_inputs.

    The field has a column for each half hour from the present one to 48 hours ahead. Without `whole` it has neither
    workloads nor storage: what one arrival is placed on. `after_seq` is the number of the operator's last decision.
    """
    start = floor(now)
    signals = GridAhead.read(transaction, operator_id, start, start + AHEAD)
    rows = objects.read(transaction, DataCentre, operator_id=operator_id)
    sites = [DataCentre.model_validate(row) for row in rows]
    limits = _limits(transaction, operator_id, now, start + AHEAD)
    placed = transaction.all("placed_work", operator_id=operator_id)
    plan = _plan(transaction, operator_id, now, sites, whole=whole)
    room = _room(sites, limits, placed, start)
    beside_mw = _take_in(transaction, operator_id, room, sites, start)
    field = _field(signals, sites, room, _scarcity(plan, sites, start))
    content = canonical_bytes(_document(start, signals, sites, field, plan))
    key = hashlib.sha256(content).hexdigest()
    transaction.send("keep_input", operator_id=operator_id, digest=key, content=content.decode(), now=now)
    view = View(
        now=now,
        starts_at=start,
        run_id=signals.run_id,
        **signals.present(),
        field=field,
        region_carbon=signals.regional,
        wholesale_gbp_mwh=tuple(row["wholesale_price_gbp_mwh"] for row in signals.national),
        sites=tuple(sites),
        regions=tuple(signals.numbers[site.region_id] for site in sites),
        bookings=_bookings(placed),
        limits=tuple(limits),
        simulated=signals.simulated,
        digest=key,
        after_seq=after_seq,
        beside_mw=beside_mw,
        plan=plan,
    )
    return _whole(transaction, operator_id, view, signals) if whole else view


def needs(workload: ComputeWorkload, pue: float) -> Floats:
    """Return what the workload takes up of each of `RESOURCES` at a site with this PUE, while it runs."""
    return _needs(
        float(workload.power_kw) / 1000 * pue,
        (workload.required_gpu_mins or 0) / workload.duration_mins,
        workload.required_cpu_cores,
        workload.required_memory_gb,
    )


def occupy(room: Floats, starts_at: datetime, site: int, spans: Iterable[Span], needed: Floats) -> None:
    """Take `needed` from the room of a site in every half hour that the spans touch, in place.

    Negative needs give it back. `room` is (4, D, T) from the half hour at `starts_at` on.
    """
    times = [(_minutes(span.starts_at - starts_at), _minutes(span.ends_at - starts_at)) for span in spans]
    jobs.occupy(room, site, times, needed)


def _limits(transaction: Transaction, operator_id: UUID, now: datetime, end: datetime) -> list[LoadLimit]:
    rows = transaction.all("limits_ahead", operator_id=operator_id, start=now, end=end)
    return [LoadLimit.model_validate(row) for row in rows]


def _plan(
    transaction: Transaction, operator_id: UUID, now: datetime, sites: Sequence[DataCentre], *, whole: bool
) -> StandingPlan | None:
    """Return the newest plan that still covers this moment."""
    row = transaction.one("standing_plan", operator_id=operator_id, now=now, whole=whole)
    if row is None:
        return None
    of = {"uuid": row["id"], "plan_id": row["plan_id"], "after_seq": row["after_seq"]}
    return standing.read(json.loads(row["content"]), sites, **of, whole=whole)


def _scarcity(plan: StandingPlan | None, sites: Sequence[DataCentre], start: datetime) -> Floats:
    """Return what the plan says that room for power is worth; nothing without a plan."""
    if plan is None:
        return np.zeros((len(sites), _COLUMNS))
    return standing.over(plan, RESOURCES[0], [site.id for site in sites], start, _COLUMNS)


def _field(signals: GridAhead, sites: Sequence[DataCentre], room: Floats, scarcity: Floats) -> Field:
    columns = len(signals.national)
    return Field(
        price_gbp_mwh=_rows([signals.price(site) for site in sites], columns),
        carbon_gco2_kwh=_rows([signals.regional[signals.numbers[site.region_id]] for site in sites], columns),
        carbon_upper_gco2_kwh=_upper(signals, sites, columns),
        stress=_rows([[row["grid_stress_score"] for row in signals.national]], columns)[0],
        scarcity_gbp_mwh=scarcity,
        room=room,
        is_open=np.array([site.status is DataCentreStatus.ACTIVE for site in sites], dtype=np.bool_),
        pue=np.array([float(site.pue) for site in sites]),
    )


def _upper(signals: GridAhead, sites: Sequence[DataCentre], columns: int) -> Floats | None:
    """Return what is held against caps on carbon, where that is not the intensity itself; None when nowhere."""
    upper = _rows([signals.regional_upper[signals.numbers[site.region_id]] for site in sites], columns)
    return None if np.isnan(upper).all() else upper


def _rows(values: Sequence[Sequence[float | None]], columns: int) -> Floats:
    return np.array(values, dtype=np.float64).reshape(len(values), columns)  # None becomes NaN


def _room(
    sites: Sequence[DataCentre], limits: Sequence[LoadLimit], placed: Sequence[Mapping[str, Any]], start: datetime
) -> Floats:
    """Return what is free of each resource: what the site has, at most what a limit allows, less what is placed."""
    room = np.empty((len(RESOURCES), len(sites), _COLUMNS))
    rows = {site.id: row for row, site in enumerate(sites)}
    for row, site in enumerate(sites):
        room[:, row, :] = np.array(_has(site))[:, None]
    ats = list(half_hours(start, start + AHEAD))
    for limit in limits:
        for column, at in enumerate(ats):
            if limit.starts_at < at + HALF_HOUR and (limit.ends_at is None or limit.ends_at > at):
                row = rows[limit.data_centre_id]
                room[0, row, column] = min(room[0, row, column], float(limit.max_power_mw))
    for _, spans in groupby(placed, key=lambda span: span["workload_id"]):
        held = list(spans)
        if (row := rows.get(held[0]["data_centre_id"], -1)) >= 0:
            occupy(room, start, row, _held(held, start), _needs_of(held[0], float(sites[row].pue)))
    return np.round(room, _PLACES)


def _take_in(
    transaction: Transaction, operator_id: UUID, room: Floats, sites: Sequence[DataCentre], start: datetime
) -> Floats:
    """Add to the room, in place, what storage beside the sites gives, less what it takes; return what was added.

    What charges takes no more than is free: it is not the work that gives way to it.
    """
    given, rows = np.zeros(room[0].shape), {site.id: row for row, site in enumerate(sites)}
    for one in transaction.all("storage_beside_sites", operator_id=operator_id, start=start):
        column = (one["starts_at"] - start) // HALF_HOUR
        if one["data_centre_id"] in rows and column < _COLUMNS:
            given[rows[one["data_centre_id"]], column] = one["power_mw"]
    added: Floats = np.maximum(given, -np.maximum(room[0], 0.0))
    room[0] = np.round(room[0] + added, _PLACES)
    return added


def _has(site: DataCentre) -> tuple[float, float, float, float]:
    counts = (site.gpu_count, site.cpu_cores, site.memory_gb)
    return (
        float(site.total_capacity_mw - site.base_load_mw),
        *(_UNLIMITED if count is None else float(count) for count in counts),  # type: ignore[return-value]
    )


def _held(placed: Sequence[Mapping[str, Any]], start: datetime) -> list[Span]:
    """Return when the work takes up room; what runs past its time still does so in the present half hour."""
    spans = [Span(span["starts_at"], span["ends_at"]) for span in placed]
    is_late = placed[0]["status"] == WorkloadStatus.RUNNING and spans[-1].ends_at <= start
    return [*spans, Span(start, start + HALF_HOUR)] if is_late else spans


def _needs_of(placed: Mapping[str, Any], pue: float) -> Floats:
    return _needs(
        placed["power_kw"] / 1000 * pue,
        (placed["required_gpu_mins"] or 0) / placed["duration_mins"],
        placed["required_cpu_cores"],
        placed["required_memory_gb"],
    )


def _needs(power_mw: float, gpus: float, cpu_cores: int | None, memory_gb: int | None) -> Floats:
    return np.array([round(power_mw, _PLACES), round(gpus, _PLACES), float(cpu_cores or 0), float(memory_gb or 0)])


def _minutes(span: timedelta) -> float:
    return span.total_seconds() / 60


def _bookings(placed: Sequence[Mapping[str, Any]]) -> dict[UUID, Booking]:
    return {
        workload_id: Booking(
            data_centre_id=held[0]["data_centre_id"],
            spans=tuple(Span(span["starts_at"], span["ends_at"]) for span in held),
            decision_id=held[0]["decision_id"],
            is_by_hand=held[0]["is_by_hand"],
        )
        for workload_id, spans in groupby(placed, key=lambda span: span["workload_id"])
        for held in [list(spans)]
    }


def _whole(transaction: Transaction, operator_id: UUID, view: View, signals: GridAhead) -> View:
    """Return the view with the workloads that have not ended and the storage."""
    workloads = transaction.all("open_workloads", operator_id=operator_id)
    assets = [
        StorageAsset.model_validate(row) for row in objects.read(transaction, StorageAsset, operator_id=operator_id)
    ]
    ahead = transaction.all("schedules_ahead", operator_id=operator_id, start=view.starts_at)
    set_by = {limit.decision_id for limit in view.limits} | {row["decision_id"] for row in ahead}
    decided = {"id": [one for one in set_by if one is not None]}
    made = objects.find(
        transaction, OrchestrationDecision, decided, shown=["id", "agent_id"], operator_id=operator_id
    )
    deciders = {row["id"]: row["agent_id"] for row in made}
    return replace(
        view,
        deciders=deciders,
        workloads=tuple(ComputeWorkload.model_validate(row) for row in workloads),
        assets=tuple(assets),
        asset_regions=tuple(signals.numbers[asset.region_id] for asset in assets),
        schedules={
            asset_id: tuple(
                Scheduled(
                    starts_at=one["starts_at"],
                    power_mw=one["power_mw"],
                    is_by_hand=deciders[one["decision_id"]] is None,
                )
                for one in those
            )
            for asset_id, those in groupby(ahead, key=lambda one: one["storage_asset_id"])
        },
    )


def _document(
    start: datetime, signals: GridAhead, sites: Sequence[DataCentre], field: Field, plan: StandingPlan | None
) -> dict[str, Any]:
    """Return what the field was made of, in plain values: enough to make the same field again."""
    return {
        **({} if plan is None else {"plan": standing.described(plan)}),
        "starts_at": start,
        "half_hours": len(signals.national),
        "run_id": signals.run_id,
        "wholesale_gbp_mwh": [row["wholesale_price_gbp_mwh"] for row in signals.national],
        "stress": [row["grid_stress_score"] for row in signals.national],
        "carbon_gco2_kwh": {str(number): list(values) for number, values in signals.regional.items()},
        **_uppers(signals),
        "simulated": list(signals.simulated),
        "sites": [
            {
                "data_centre_id": site.id,
                "dc_id": site.dc_id,
                "region_id": signals.numbers[site.region_id],
                "status": site.status,
                "pue": float(site.pue),
                "total_capacity_mw": float(site.total_capacity_mw),
                "base_load_mw": float(site.base_load_mw),
                "is_simulated": site.is_simulated,
                "tariff_gbp_mwh": None if site.tariff is None else signals.price(site),
                "room": {name: standing.runs(field.room[i, row]) for i, name in enumerate(RESOURCES)},
                **_scarce(field.scarcity_gbp_mwh[row]),
            }
            for row, site in enumerate(sites)
        ],
    }


def _uppers(signals: GridAhead) -> dict[str, Any]:
    """Return what is held against caps in those regions where it is not the intensity itself."""
    upper = {
        str(number): list(values)
        for number, values in signals.regional_upper.items()
        if any(value is not None for value in values)
    }
    return {"carbon_upper_gco2_kwh": upper} if upper else {}


def _scarce(worth: Floats) -> dict[str, Any]:
    """Return what room is worth at a site, where it is worth anything."""
    return {"scarcity_gbp_mwh": standing.runs(worth)} if worth.any() else {}
