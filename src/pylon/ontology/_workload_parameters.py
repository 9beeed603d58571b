"""The parameters of actions on workloads."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pylon.ontology._parameters import (
    Change,
    Id,
    Moment,
    NewId,
    Parameters,
    Reason,
    RegionNumber,
    Within,
    distinct,
    wrong,
)
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import WorkloadType, WorkloadUrgency
from pylon.ontology.types import GramsPerKwh, KilowattHours, Kilowatts, ObjectType, Pounds

__all__ = [
    "AcceptWorkload",
    "AmendWorkload",
    "CancelWorkload",
    "CompleteWorkload",
    "DeferWorkload",
    "FailWorkload",
    "NegotiateWorkload",
    "RejectWorkload",
    "ShiftWorkload",
    "StartWorkload",
    "Stretch",
    "SubmitWorkload",
    "SubmitWorkloads",
]

MOST_WORKLOADS = 1000
_MOST_STRETCHES = 400  # seven days of half hours, and what is left of the first and the last
_AGREES_WITHIN = Decimal("0.01")
_VALUE_NULL = "null: what the orchestrator's lost_compute_gbp_mwh makes of its IT energy"
_LEAST_KWH = Decimal("0.01")  # the last decimal of an energy

Minutes = Annotated[int, Within("min", 1, 10_080)]
Window = Annotated[int, Within("min", 0, 43_200)]
Power = Annotated[Kilowatts, Within("kW", 0, 1_000_000)]
Energy = Annotated[KilowattHours, Within("kWh", 0, 168_000_000)]
Money = Annotated[Pounds, Within("GBP", 0, 1_000_000_000)]
CarbonCap = Annotated[GramsPerKwh, Within("gCO2/kWh", 0, 10_000)]
GpuMinutes = Annotated[int, Within("GPU min", 0, 2_000_000_000)]
Cores = Annotated[int, Within("", 0, 100_000_000)]
Memory = Annotated[int, Within("GB", 0, 1_000_000_000)]
Regions = Annotated[list[RegionNumber], Field(min_length=1, max_length=14), AfterValidator(distinct("region"))]

JobId = Annotated[Id, Field(description="The operator's own id of the job")]


class SubmitWorkload(Parameters):
    """Submit a job: what it needs, and what limits it. It is decided at once."""

    job_id: Annotated[NewId, Field(description="The operator's own id for the job; unique per operator")]
    workload_type: Annotated[WorkloadType, Field(description="Kind of compute")]
    urgency: Annotated[
        WorkloadUrgency,
        Field(description="How much the job minds waiting; CRITICAL without deadline or window: it does not wait"),
    ] = WorkloadUrgency.MEDIUM
    origin: Annotated[
        Id | None, Field(description="dc_id of where it would run if nobody moved it: the baseline's place")
    ] = None
    duration_mins: Annotated[Minutes, Field(description="How long the job runs")]
    power_kw: Annotated[
        Power | None, Field(description="IT power while running; estimated_energy_kwh / duration when not given")
    ] = None
    estimated_energy_kwh: Annotated[
        Energy | None, Field(description="IT energy of the whole run; power_kw x duration when not given")
    ] = None
    required_gpu_mins: Annotated[
        GpuMinutes | None, Field(description="How many GPUs, times duration_mins; null: not known")
    ] = None
    required_cpu_cores: Annotated[Cores | None, Field(description="CPU cores; null: not known")] = None
    required_memory_gb: Annotated[Memory | None, Field(description="Memory; null: not known")] = None
    interruptible: Annotated[bool, Field(strict=True, description="Whether it may be paused and resumed")] = False
    carbon_cap_gco2: Annotated[
        CarbonCap | None, Field(description="Cap on the job's energy-weighted mean carbon intensity")
    ] = None
    max_price_gbp: Annotated[Money | None, Field(description="Cap on the job's total energy cost")] = None
    deadline: Annotated[Moment | None, Field(description="Must complete by")] = None
    deferral_window_mins: Annotated[
        Window | None, Field(description="How long after arrival the job may start")
    ] = None
    allowed_region_ids: Annotated[
        Regions | None, Field(description="Numbers of the regions it may run in; null: anywhere")
    ] = None
    migration_cost_gbp: Annotated[Money, Field(description="Cost of running anywhere but at the origin")] = Decimal(
        0
    )
    value_gbp: Annotated[
        Money | None, Field(description=f"Value of the compute, lost if never run; {_VALUE_NULL}")
    ] = None

    @property
    def it_power_kw(self) -> Decimal:
        """IT power while running, given or from the energy."""
        if self.power_kw is not None:
            return self.power_kw
        assert self.estimated_energy_kwh is not None  # noqa: S101  one of the two is given
        return round(self.estimated_energy_kwh * 60 / self.duration_mins, 3)

    @property
    def it_energy_kwh(self) -> Decimal:
        """IT energy of the whole run, given or from the power."""
        if self.estimated_energy_kwh is not None:
            return self.estimated_energy_kwh
        return round(self.it_power_kw * self.duration_mins / 60, 2)

    @model_validator(mode="after")
    def _power_and_energy_agree(self) -> SubmitWorkload:
        if self.power_kw is None and self.estimated_energy_kwh is None:
            raise wrong("give power_kw or estimated_energy_kwh: without either nothing can be weighed")
        if self.it_power_kw > 1_000_000:
            raise wrong(f"estimated_energy_kwh over duration_mins is {self.it_power_kw:,} kW. At most 1,000,000")
        if self.power_kw is not None and self.estimated_energy_kwh is not None:
            drawn = self.power_kw * self.duration_mins / 60
            apart = abs(drawn - self.estimated_energy_kwh)
            if apart > max(_AGREES_WITHIN * max(drawn, self.estimated_energy_kwh), _LEAST_KWH):
                raise wrong(
                    f"power_kw x duration_mins is {drawn:.2f} kWh, but estimated_energy_kwh says "
                    f"{self.estimated_energy_kwh}. Give one of them, or two that agree within 1 %"
                )
        return self


def _job_ids_differ(workloads: list[SubmitWorkload]) -> list[SubmitWorkload]:
    distinct("job_id")([one.job_id for one in workloads])
    return workloads


class SubmitWorkloads(Parameters):
    """Submit several jobs, all of them or none."""

    workloads: Annotated[
        list[SubmitWorkload],
        Field(min_length=1, max_length=MOST_WORKLOADS, description="The jobs; each job_id once"),
        AfterValidator(_job_ids_differ),
    ]


class Stretch(Parameters):
    """One unbroken stretch of running."""

    starts_at: Annotated[Moment, Field(description="When it begins")]
    ends_at: Annotated[Moment, Field(description="When it ends, excluded")]

    @model_validator(mode="after")
    def _ends_after_start(self) -> Stretch:
        if self.ends_at <= self.starts_at:
            raise wrong("ends_at must lie after starts_at")
        return self


def _in_order(spans: list[Stretch]) -> list[Stretch]:
    if any(later.starts_at <= earlier.ends_at for earlier, later in pairwise(spans)):
        raise wrong("must be in order, with time between each two")
    return spans


Stretches = Annotated[list[Stretch], Field(min_length=1, max_length=_MOST_STRETCHES), AfterValidator(_in_order)]


class _Booking(Parameters):
    job_id: JobId
    dc_id: Annotated[Id, Field(description="Where it is to run: the data centre's own id")]
    starts_at: Annotated[
        Moment | None, Field(description="When it starts, to run in one piece; this or spans, not both")
    ] = None
    spans: Annotated[
        Stretches | None, Field(description="When it runs, for an interruptible job; they add up to its duration")
    ] = None
    reason: Annotated[Reason | None, Field(description="Why, in words")] = None

    @model_validator(mode="after")
    def _says_when_once(self) -> _Booking:
        if (self.starts_at is None) == (self.spans is None):
            raise wrong("give either starts_at or spans")
        return self


class AcceptWorkload(_Booking):
    """Book a job at the place and time given."""


class ShiftWorkload(_Booking):
    """Book a job at another place than before, or than its origin."""


class DeferWorkload(Parameters):
    """Book a job for later, or put it off without a time."""

    job_id: JobId
    deferred_by: Annotated[
        Literal["GRID_STRESS", "CARBON", "PRICE"] | None,
        Field(description="What it is put off for; null: there is no room, and it stays PENDING"),
    ]
    dc_id: Annotated[Id | None, Field(description="Where it is to run; null: nothing is booked")] = None
    starts_at: Annotated[
        Moment | None, Field(description="When it starts, to run in one piece; this or spans, with dc_id")
    ] = None
    spans: Annotated[
        Stretches | None, Field(description="When it runs, for an interruptible job; they add up to its duration")
    ] = None
    reason: Annotated[Reason | None, Field(description="Why, in words")] = None

    @model_validator(mode="after")
    def _books_wholly_or_not(self) -> DeferWorkload:
        times = (self.starts_at is not None) + (self.spans is not None)
        if times != (self.dc_id is not None):
            raise wrong("give dc_id with either starts_at or spans to book, or none of them")
        if self.deferred_by is None and self.dc_id is not None:
            raise wrong("a booking says what it is put off for. Give deferred_by")
        return self


class RejectWorkload(Parameters):
    """Turn a job down: it will not be run."""

    job_id: JobId
    reason: Reason


class NegotiateWorkload(Parameters):
    """Name the price at which a job that does not fit would."""

    job_id: JobId
    price_gbp: Annotated[Money, Field(description="The least max_price_gbp or value_gbp with which it fits")]
    reason: Annotated[Reason | None, Field(description="Why, in words")] = None


class AmendWorkload(Change):
    """Change the limits of a job that has not started; it is decided anew."""

    changes: ClassVar[type[ObjectType]] = ComputeWorkload
    key: ClassVar[str | None] = "job_id"

    job_id: JobId
    urgency: Annotated[WorkloadUrgency | None, Field(description="How much the job minds waiting")] = None
    deadline: Annotated[Moment | None, Field(description="Must complete by; null lifts it")] = None
    deferral_window_mins: Annotated[
        Window | None, Field(description="How long after arrival it may start; null lifts it")
    ] = None
    carbon_cap_gco2: Annotated[CarbonCap | None, Field(description="Cap on mean intensity; null lifts it")] = None
    max_price_gbp: Annotated[Money | None, Field(description="Cap on energy cost; null lifts it")] = None
    value_gbp: Annotated[Money | None, Field(description=f"Value of the compute; {_VALUE_NULL}")] = None
    allowed_region_ids: Annotated[
        Regions | None, Field(description="Numbers of the regions it may run in; null: anywhere")
    ] = None


class StartWorkload(Parameters):
    """Say that a job has started on its operator's own machines."""

    job_id: JobId
    at: Annotated[Moment | None, Field(description="When it started; null: now")] = None


class CompleteWorkload(Parameters):
    """Say that a job is done."""

    job_id: JobId
    at: Annotated[Moment | None, Field(description="When it ended; null: now")] = None
    energy_kwh: Annotated[
        Energy | None,
        Field(description="IT energy it used, as metered before cooling; null: power_kw over the time it ran"),
    ] = None


class FailWorkload(Parameters):
    """Say that a job broke."""

    job_id: JobId
    reason: Reason


class CancelWorkload(Parameters):
    """Call a job off."""

    job_id: JobId
    reason: Annotated[Reason | None, Field(description="Why, in words")] = None
