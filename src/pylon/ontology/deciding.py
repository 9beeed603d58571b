"""Deciding: what carries a decision out and what came of it, and the books that make the log checkable."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.fleet import CreatedAt, IsSimulated, OperatorId, UpdatedAt
from pylon.ontology.types import (
    Column,
    Grams,
    Index,
    Instant,
    Json,
    KilowattHours,
    MegawattHours,
    Megawatts,
    Numeric,
    ObjectType,
    Pounds,
    Record,
    Ref,
    Scope,
    Sql,
    Table,
    Text,
    Word,
)

__all__ = [
    "ChainHead",
    "DecisionOutcome",
    "Digest",
    "IdempotencyKey",
    "LoadLimit",
    "PlanInput",
    "Serial",
    "StorageDispatch",
    "WorkloadPlacement",
]

Serial = Annotated[int, Sql("bigint"), Field(ge=0)]
Digest = Annotated[str, Sql("varchar(64)"), Field(min_length=64, max_length=64)]
"""A SHA-256 in lower-case hexadecimal."""


class LoadLimit(ObjectType):
    """A cap on what Pylon schedules at a data centre for a while; a blackout window is a cap of 0 MW."""

    table: ClassVar[Table] = Table(
        "load_limits",
        Scope.TENANT,
        unique=(("operator_id", "id"),),
        indexes=(Index("operator_id, data_centre_id, ends_at"), Index("operator_id, decision_id")),
        checks={"ends_after_start": "ends_at is null or ends_at >= starts_at"},
    )

    operator_id: OperatorId
    data_centre_id: Annotated[
        UUID,
        Ref("DataCentre", "LIMITS", doc="Limit holds at DC", on_delete="cascade"),
        Field(description="The data centre"),
    ]
    starts_at: Annotated[Instant, Field(description="From when it holds")]
    ends_at: Annotated[Instant | None, Field(description="Until when; null: until it is lifted")] = None
    max_power_mw: Annotated[Megawatts, Field(ge=0, description="Facility power that scheduled work may draw")]
    reason: Annotated[Text, Field(description="Why, in words")]
    decision_id: Annotated[
        UUID | None, Ref("OrchestrationDecision"), Field(description="The SCALE_DOWN that set it, if one did")
    ] = None
    is_simulated: IsSimulated = False
    created_at: CreatedAt


class WorkloadPlacement(Record):
    """One unbroken stretch of time in which a workload runs, or is to run, at a data centre."""

    table: ClassVar[Table] = Table(
        "workload_placements",
        Scope.TENANT,
        key=("operator_id", "workload_id", "starts_at"),
        indexes=(Index("operator_id, data_centre_id, ends_at"), Index("operator_id, decision_id")),
        checks={"ends_after_start": "ends_at > starts_at"},
    )

    operator_id: OperatorId
    workload_id: Annotated[
        UUID, Ref("ComputeWorkload", on_delete="cascade"), Field(description="The workload that was placed")
    ]
    starts_at: Annotated[Instant, Field(description="When the stretch begins")]
    ends_at: Annotated[Instant, Field(description="When it ends")]
    data_centre_id: Annotated[UUID, Ref("DataCentre"), Field(description="Where")]
    decision_id: Annotated[UUID, Ref("OrchestrationDecision"), Field(description="The decision that placed it")]


class StorageDispatch(Record):
    """What a storage asset is to do, or did, in one half hour."""

    table: ClassVar[Table] = Table(
        "storage_dispatches",
        Scope.TENANT,
        key=("operator_id", "storage_asset_id", "starts_at"),
        indexes=(Index("operator_id, decision_id"),),
    )

    operator_id: OperatorId
    storage_asset_id: Annotated[UUID, Ref("StorageAsset", on_delete="cascade"), Field(description="The asset")]
    starts_at: Annotated[Instant, Field(description="Start of the half hour")]
    power_mw: Annotated[
        Decimal, Numeric(10, 3, "MW"), Field(description="Mean power at the connection; positive discharges")
    ]
    decision_id: Annotated[
        UUID, Ref("OrchestrationDecision"), Field(description="The SCHEDULE_DISCHARGE that set it")
    ]
    stored_mwh: Annotated[
        MegawattHours | None, Field(ge=0, description="Energy stored after it; null until carried out or reported")
    ] = None
    executed_at: Annotated[Instant | None, Field(description="When it was carried out")] = None


class DecisionOutcome(Record):
    """What came of a decision, set beside what it expected.

    Energy is the facility's; cost and carbon are at prices and intensities as they were. Null where one of those
    was never known.
    """

    table: ClassVar[Table] = Table(
        "decision_outcomes",
        Scope.TENANT,
        key=("operator_id", "decision_id"),
        indexes=(Index("operator_id, recorded_at desc"), Index("operator_id, workload_id")),
        append_only=True,
    )

    operator_id: OperatorId
    decision_id: Annotated[UUID, Ref("OrchestrationDecision"), Field(description="The decision")]
    workload_id: Annotated[UUID | None, Ref("ComputeWorkload"), Field(description="The workload it placed")] = None
    recorded_at: Annotated[Instant, Field(description="When the outcome was known")]
    decided_energy_kwh: Annotated[KilowattHours | None, Field(ge=0, description="Energy expected")] = None
    decided_carbon_gco2: Annotated[Grams | None, Field(description="Carbon expected")] = None
    decided_cost_gbp: Annotated[
        Pounds | None, Field(description="Cost of energy, wear and moving, as expected")
    ] = None
    actual_energy_kwh: Annotated[KilowattHours | None, Field(ge=0, description="Facility energy drawn")] = None
    actual_carbon_gco2: Annotated[Grams | None, Field(description="Carbon emitted")] = None
    actual_cost_gbp: Annotated[Pounds | None, Field(description="Cost of energy, wear and moving")] = None
    baseline_carbon_gco2: Annotated[
        Grams | None, Field(description="Carbon of the baseline (run now at origin; idle), as signals turned out")
    ] = None
    baseline_cost_gbp: Annotated[
        Pounds | None, Field(description="Energy cost of the baseline, as signals turned out")
    ] = None
    baseline_infeasible: Annotated[
        Word | None, Field(description="The limit that the baseline would have broken; null when none")
    ] = None
    carbon_saved_gco2: Annotated[Grams | None, Field(description="Baseline less actual; negative is a loss")] = None
    cost_saved_gbp: Annotated[Pounds | None, Field(description="Baseline less actual; negative is a loss")] = None
    detail: Annotated[
        Json, Column(default="'{}'"), Field(description="What was missing, and which values were simulated")
    ] = {}
    is_simulated: IsSimulated = False


class ChainHead(Record):
    """The end of one operator's log; whoever changes anything of the operator holds its lock."""

    table: ClassVar[Table] = Table("chain_heads", Scope.TENANT, key=("operator_id",))

    operator_id: OperatorId
    seq: Annotated[Serial, Field(description="Number of the last decision; 0 before the first")] = 0
    hash: Annotated[Digest, Field(description="Hash of the last decision; zeros before the first")]
    revision: Annotated[Serial, Field(description="Grows with every action, with a decision or without")] = 0
    updated_at: UpdatedAt


class IdempotencyKey(Record):
    """An action that was performed under a key its client gave, and what was answered."""

    table: ClassVar[Table] = Table(
        "idempotency_keys",
        Scope.TENANT,
        key=("operator_id", "key"),
        indexes=(Index("operator_id, created_at"),),
    )

    operator_id: OperatorId
    key: Annotated[Word, Field(description="The client's key; unique per operator")]
    action: Annotated[Word, Field(description="The action")]
    request_digest: Annotated[Digest, Field(description="SHA-256 of the canonical parameters")]
    response: Annotated[Json, Field(description="What was answered")]
    created_at: CreatedAt


class PlanInput(Record):
    """What planners saw, kept once under the hash of its canonical bytes; decisions name it."""

    table: ClassVar[Table] = Table(
        "plan_inputs",
        Scope.TENANT,
        key=("operator_id", "digest"),
        indexes=(Index("operator_id, created_at"),),
        append_only=True,
    )

    operator_id: OperatorId
    digest: Annotated[Digest, Field(description="SHA-256 of `content`")]
    content: Annotated[Text, Field(description="Canonical JSON")]
    created_at: CreatedAt
