"""Compute: the workloads an operator wants run, and the energy each drew."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.enums import WorkloadStatus, WorkloadType, WorkloadUrgency
from pylon.ontology.fleet import CreatedAt, IsSimulated, OperatorId
from pylon.ontology.types import (
    Grams,
    GramsPerKwh,
    Index,
    Instant,
    KilowattHours,
    Kilowatts,
    ObjectType,
    Pounds,
    Record,
    Ref,
    Scope,
    Sql,
    Table,
    Text,
    Unit,
    Word,
)

__all__ = ["ComputeWorkload", "WorkloadConsumption"]


class ComputeWorkload(ObjectType):
    """A job: what it needs, what limits it, where it stands, and what it used in the end."""

    table: ClassVar[Table] = Table(
        "compute_workloads",
        Scope.TENANT,
        unique=(("operator_id", "id"), ("operator_id", "job_id")),
        indexes=(
            Index("operator_id, created_at desc"),
            Index("operator_id, status, deadline"),
            Index("operator_id, host_dc_id"),
            Index("operator_id, origin_dc_id"),
            Index("operator_id, plan_id"),
        ),
    )

    job_id: Annotated[Word, Field(description="The operator's own id for the job; unique per operator")]
    operator_id: Annotated[
        UUID,
        Ref("Operator", "SUBMITTED_BY", doc="Workload was submitted by operator"),
        Field(description="The operator the job belongs to"),
    ]
    host_dc_id: Annotated[
        UUID | None,
        Ref("DataCentre", "HOSTED_BY", doc="Workload runs on this DC"),
        Field(description="Where the job runs or is to run"),
    ] = None
    origin_dc_id: Annotated[
        UUID | None,
        Ref("DataCentre", "ORIGINATED_AT", doc="Workload would run here if nobody moved it"),
        Field(description="Where the job would run if nobody moved it: the baseline's place"),
    ] = None
    workload_type: Annotated[WorkloadType, Field(description="Kind of compute")]
    urgency: Annotated[WorkloadUrgency, Field(description="How much the job minds waiting")] = (
        WorkloadUrgency.MEDIUM
    )
    required_gpu_mins: Annotated[int | None, Unit("GPU min"), Field(ge=0, description="GPU minutes required")] = (
        None
    )
    required_cpu_cores: Annotated[int | None, Field(ge=0, description="CPU cores required")] = None
    required_memory_gb: Annotated[int | None, Unit("GB"), Field(ge=0, description="Memory required")] = None
    estimated_energy_kwh: Annotated[
        KilowattHours | None, Field(ge=0, description="IT energy the job is expected to use")
    ] = None
    duration_mins: Annotated[int, Unit("min"), Field(gt=0, description="How long the job runs")]
    power_kw: Annotated[
        Kilowatts,
        Field(ge=0, description="IT power while running; estimated_energy_kwh / duration when not given"),
    ]
    interruptible: Annotated[bool, Field(description="Whether the job may be paused and resumed")] = False
    carbon_cap_gco2: Annotated[
        GramsPerKwh | None,
        Field(ge=0, description="Cap on the job's energy-weighted mean carbon intensity"),
    ] = None
    max_price_gbp: Annotated[Pounds | None, Field(ge=0, description="Cap on the job's total energy cost")] = None
    deadline: Annotated[Instant | None, Field(description="Must complete by")] = None
    deferral_window_mins: Annotated[
        int | None, Unit("min"), Field(ge=0, description="How long after arrival the job may start")
    ] = None
    allowed_region_ids: Annotated[
        list[int] | None,
        Sql("integer[]"),
        Field(description="Regions (the API's numbers) the job may run in; null means anywhere"),
    ] = None
    migration_cost_gbp: Annotated[Pounds, Field(ge=0, description="Cost of running anywhere but at the origin")] = (
        Decimal(0)
    )
    value_gbp: Annotated[Pounds | None, Field(ge=0, description="Value of the compute, lost if never run")] = None
    scheduled_start: Annotated[Instant | None, Field(description="When the job is to start")] = None
    plan_id: Annotated[
        UUID | None,
        Ref("Plan", "PLANNED_BY", doc="Workload was placed by the plan"),
        Field(description="The plan that placed the job"),
    ] = None
    status: Annotated[WorkloadStatus, Field(description="Where the job is in its life")] = WorkloadStatus.PENDING
    status_reason: Annotated[
        Text | None, Field(description="Why it has this status, where whoever gave it said so")
    ] = None
    actual_energy_kwh: Annotated[KilowattHours | None, Field(ge=0, description="IT energy used")] = None
    actual_carbon_gco2: Annotated[Grams | None, Field(ge=0, description="Carbon emitted")] = None
    actual_cost_gbp: Annotated[Pounds | None, Field(description="Energy cost")] = None
    is_simulated: IsSimulated = False
    created_at: CreatedAt
    started_at: Annotated[Instant | None, Field(description="When the job started")] = None
    completed_at: Annotated[Instant | None, Field(description="When the job ended")] = None


class WorkloadConsumption(Record):
    """The energy one workload drew in one half hour: the link CONSUMED."""

    table: ClassVar[Table] = Table(
        "workload_consumption",
        Scope.TENANT,
        key=("operator_id", "workload_id", "grid_signal_id"),
        indexes=(Index("grid_signal_id"),),
    )

    operator_id: OperatorId
    workload_id: Annotated[
        UUID,
        Ref("ComputeWorkload", on_delete="cascade"),
        Field(description="The workload that drew the energy"),
    ]
    grid_signal_id: Annotated[UUID, Ref("GridSignal"), Field(description="The half hour it was drawn in")]
    energy_kwh: Annotated[KilowattHours, Field(ge=0, description="Facility energy drawn in the half hour")]
    recorded_at: CreatedAt
