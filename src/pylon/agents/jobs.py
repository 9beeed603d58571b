"""Jobs: a workload as the planner sees it, made from one document that the decision keeps; the room it takes up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import numpy as np
from pydantic import Field as Ranged
from pydantic import field_validator

from pylon.agents.contract import Booking, Config, Place, View
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import WorkloadUrgency
from pylon.planning.field import HALF_HOUR_MINS, RESOURCES, Field, Floats, Job, Weights

__all__ = [
    "Placing",
    "Weight",
    "columns",
    "describe",
    "full_second",
    "instant",
    "interval",
    "job_of",
    "latest_end",
    "may_wait",
    "moment",
    "needs",
    "occupy",
    "read",
    "spans_of",
    "value_of",
    "with_room",
]

Weight = Annotated[float, Ranged(ge=0, le=1_000_000, allow_inf_nan=False)]

_DELAY_GBP_MWH_HOUR: Final[Mapping[WorkloadUrgency, float]] = {
    WorkloadUrgency.LOW: 0.0,
    WorkloadUrgency.MEDIUM: 0.1,
    WorkloadUrgency.HIGH: 0.6,
    WorkloadUrgency.CRITICAL: 2.0,
}

_PLACES: Final = 9


class Placing(Config):
    """What an agent that places workloads weighs."""

    carbon_price_gbp_t: Weight = 100.0
    stress_price_gbp_mwh: Weight = 20.0
    """At stress 1."""
    horizon_hours: Annotated[float, Ranged(gt=0, le=168)] = 48.0
    """A job is not placed to end later than this from now, whatever its deadline."""
    lost_compute_gbp_mwh: Weight | None = 600.0
    """What a job's IT energy is worth when it does not say what it is worth; null: it is always worth running."""
    delay_gbp_mwh_hour: dict[WorkloadUrgency, Weight] = dict(_DELAY_GBP_MWH_HOUR)
    """What an hour of waiting costs per MWh of a job's IT energy."""

    @field_validator("delay_gbp_mwh_hour")
    @classmethod
    def _every_urgency(cls, given: dict[WorkloadUrgency, float]) -> dict[WorkloadUrgency, float]:
        return {**_DELAY_GBP_MWH_HOUR, **given}

    @property
    def weights(self) -> Weights:
        """The weights that the planner itself takes."""
        return Weights(carbon_price_gbp_t=self.carbon_price_gbp_t, stress_price_gbp_mwh=self.stress_price_gbp_mwh)


def latest_end(workload: ComputeWorkload) -> datetime | None:
    """Return when the workload must have ended: its deadline or the end of its deferral window, if it has any.

    Bookings are in full seconds. Arrival counts from the next, so that a job which may not wait can start then.
    """
    return min((end for end, _ in _ends(workload)), default=None)


def may_wait(workload: ComputeWorkload) -> bool:
    """Return whether the workload may wait for a better time: all but a CRITICAL one that does not say how long."""
    return workload.urgency is not WorkloadUrgency.CRITICAL or bool(_ends(workload))


def describe(view: View, workload: ComputeWorkload, config: Placing) -> dict[str, Any]:
    """Return everything that the planner is to see of a workload, in plain values: the decision keeps this."""
    now = full_second(view.now)
    ends = [*_ends(workload), (now + timedelta(hours=config.horizon_hours), "horizon_hours")]
    end, by = min(ends)
    it_mw = float(workload.power_kw) / 1000
    it_mwh = it_mw * workload.duration_mins / 60
    value, value_by = value_of(workload, config)
    fits = any(_fits(view, site, it_mw, workload) for site in range(len(view.sites)))
    origin = None if workload.origin_dc_id is None else view.site(workload.origin_dc_id)
    return {
        "job_id": workload.job_id,
        "workload_id": str(workload.id),
        "urgency": workload.urgency.value,
        "status": workload.status.value,
        "arrived_at": instant(workload.created_at),
        "earliest": instant(now),
        "latest_end": instant(end),
        "latest_end_by": by,
        "ends": {by: instant(end) for end, by in ends},
        "may_wait": may_wait(workload),
        "duration_mins": workload.duration_mins,
        "interruptible": workload.interruptible,
        "it_power_mw": round(it_mw, 9),
        "gpus": (workload.required_gpu_mins or 0) / workload.duration_mins,
        "cpu_cores": workload.required_cpu_cores or 0,
        "memory_gb": workload.required_memory_gb or 0,
        "carbon_cap_gco2_kwh": workload.carbon_cap_gco2,
        "max_price_gbp": _number(workload.max_price_gbp),
        "value_gbp": value,
        "value_by": value_by,
        "migration_gbp": float(workload.migration_cost_gbp),
        "wait_gbp_per_hour": round(config.delay_gbp_mwh_hour[workload.urgency] * it_mwh, 9),
        "origin": None if origin is None else view.sites[origin].dc_id,
        "origin_data_centre_id": None if origin is None else str(workload.origin_dc_id),
        "allowed_region_ids": workload.allowed_region_ids,
        "fits_some_site": fits,
        "short_of": [] if fits else list(_short_of(view, workload, it_mw)),
        "is_simulated": workload.is_simulated,
    }


def value_of(workload: ComputeWorkload, config: Placing) -> tuple[float | None, str | None]:
    """Return what a workload is worth in GBP, and what says so; None when it is always worth running."""
    if workload.value_gbp is not None:
        return float(workload.value_gbp), "value_gbp"
    if config.lost_compute_gbp_mwh is None:
        return None, None
    it_mwh = float(workload.power_kw) / 1000 * workload.duration_mins / 60
    return round(config.lost_compute_gbp_mwh * it_mwh, 4), "lost_compute_gbp_mwh"


def read(view: View, seen: Mapping[str, Any]) -> Job:
    """Return the job that a document of `describe` tells of."""
    origin = seen["origin_data_centre_id"]
    row = None if origin is None else view.site(UUID(origin))
    allowed = seen["allowed_region_ids"]
    return Job(
        it_power_mw=seen["it_power_mw"],
        duration_mins=seen["duration_mins"],
        arrived_mins=view.minutes(moment(seen["arrived_at"])),
        earliest_mins=view.minutes(moment(seen["earliest"])),
        latest_end_mins=view.minutes(moment(seen["latest_end"])),
        interruptible=seen["interruptible"],
        gpus=seen["gpus"],
        cpu_cores=float(seen["cpu_cores"]),
        memory_gb=float(seen["memory_gb"]),
        carbon_cap_gco2_kwh=_limit(seen["carbon_cap_gco2_kwh"]),
        max_price_gbp=_limit(seen["max_price_gbp"]),
        value_gbp=_limit(seen["value_gbp"]),
        migration_gbp=seen["migration_gbp"],
        wait_gbp_per_hour=seen["wait_gbp_per_hour"],
        origin=-1 if row is None else row,
        allowed=np.array([allowed is None or number in allowed for number in view.regions], dtype=np.bool_),
    )


def job_of(view: View, workload: ComputeWorkload, config: Placing) -> Job:
    """Return a workload as the planner takes it."""
    return read(view, describe(view, workload, config))


def needs(job: Job, pue: float) -> Floats:
    """Return what a job takes up of each of `planning.field.RESOURCES` at a site with this PUE, while it runs."""
    taken = (job.it_power_mw * pue, job.gpus, job.cpu_cores, job.memory_gb)
    return np.array([round(value, _PLACES) for value in taken])


def spans_of(view: View, booking: Booking | Place) -> tuple[tuple[float, float], ...]:
    """Return the spans of a booking or place in minutes from the field's start."""
    return tuple((view.minutes(span.starts_at), view.minutes(span.ends_at)) for span in booking.spans)


def with_room(field: Field, job: Job, site: int, spans: Iterable[tuple[float, float]], *, taken: bool) -> Field:
    """Return the field with the room that a job takes up at a site taken, or else given back.

    It takes up room in the whole of every half hour that it touches.
    """
    room, needed = field.room.copy(), needs(job, float(field.pue[site]))
    occupy(room, site, spans, needed if taken else -needed)
    return replace(field, room=room)


def occupy(room: Floats, site: int, spans: Iterable[tuple[float, float]], needed: Floats) -> None:
    """Take `needed` from the room (4, D, T) of a site in every half hour that the spans touch, in place.

    Negative needs give it back. Room and needs keep to nine decimals, so that giving back leaves nothing.
    """
    held = columns(spans, room.shape[2])
    room[:, site, held] = np.round(room[:, site, held] - needed[:, None], _PLACES)


def columns(spans: Iterable[tuple[float, float]], half_hours: int) -> list[int]:
    """Return the half hours of the field that the spans touch, each once, in order."""
    return sorted({column for span in spans for column in _touched(span, half_hours)})


def full_second(at: datetime) -> datetime:
    """Return the first full second that is not before `at`."""
    return at if at.microsecond == 0 else at.replace(microsecond=0) + timedelta(seconds=1)


def instant(at: datetime) -> str:
    """Return a moment as text: UTC, with Z."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def interval(starts_at: datetime, ends_at: datetime) -> dict[str, str]:
    """Return a stretch of time as documents have it."""
    return {"starts_at": instant(starts_at), "ends_at": instant(ends_at)}


def moment(text: str) -> datetime:
    """Return the moment that `instant` wrote."""
    return datetime.fromisoformat(text)


def _touched(span: tuple[float, float], half_hours: int) -> range:
    begins, ends = span
    return range(max(math.floor(begins / HALF_HOUR_MINS), 0), min(math.ceil(ends / HALF_HOUR_MINS), half_hours))


def _ends(workload: ComputeWorkload) -> list[tuple[datetime, str]]:
    """Return what the workload says about when it must have ended, and by which limit."""
    ends = []
    if workload.deadline is not None:
        ends.append((workload.deadline.replace(microsecond=0), "deadline"))
    if workload.deferral_window_mins is not None:
        allowed = timedelta(minutes=workload.deferral_window_mins + workload.duration_mins)
        ends.append((full_second(workload.created_at) + allowed, "deferral_window_mins"))
    return ends


def _fits(view: View, row: int, it_mw: float, workload: ComputeWorkload) -> bool:
    """Return whether a site that the workload allows could hold it if nothing else ran there."""
    return _allows(view, row, workload) and all(
        wants <= has for wants, has in zip(_wants(workload, it_mw), _has(view, row), strict=True)
    )


def _short_of(view: View, workload: ComputeWorkload, it_mw: float) -> Iterator[dict[str, Any]]:
    """Yield each resource of which no site that the workload allows has enough, with the site that has most."""
    rows = [row for row in range(len(view.sites)) if _allows(view, row, workload)]
    if not rows:
        return
    for number, wants in enumerate(_wants(workload, it_mw)):
        largest = max(rows, key=lambda row: _has(view, row)[number])
        if wants > (most := _has(view, largest)[number]):
            yield {
                "limit": RESOURCES[number],
                "needs": round(wants, 6),
                "most": round(most, 6),
                "dc_id": view.sites[largest].dc_id,
                "region_id": view.regions[largest],
            }


def _allows(view: View, row: int, workload: ComputeWorkload) -> bool:
    return workload.allowed_region_ids is None or view.regions[row] in workload.allowed_region_ids


def _wants(workload: ComputeWorkload, it_mw: float) -> tuple[float, ...]:
    """Return what a workload takes up of each of `planning.field.RESOURCES`, power as IT power."""
    gpus = (workload.required_gpu_mins or 0) / workload.duration_mins
    return it_mw, gpus, float(workload.required_cpu_cores or 0), float(workload.required_memory_gb or 0)


def _has(view: View, row: int) -> tuple[float, ...]:
    """Return what an empty site has of each of them."""
    site = view.sites[row]
    it_mw = round(float(site.total_capacity_mw - site.base_load_mw) / float(site.pue), 9)
    counts = (site.gpu_count, site.cpu_cores, site.memory_gb)
    return it_mw, *(math.inf if count is None else float(count) for count in counts)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _limit(value: float | None) -> float:
    return math.nan if value is None else float(value)
