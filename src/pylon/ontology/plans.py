"""Plans: the whole fleet worked out at once, how far each is from the best possible, and what it came to."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.deciding import Serial
from pylon.ontology.enums import PlanStatus
from pylon.ontology.fleet import CreatedAt, IsSimulated, OperatorId, UpdatedAt
from pylon.ontology.types import (
    Column,
    Index,
    Instant,
    Json,
    MegawattHours,
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

__all__ = ["Plan", "PlanResult"]

_Hash = Annotated[str, Sql("varchar(64)")]
_Share = Annotated[Decimal, Numeric(14, 6, "1")]
_Count = Annotated[int, Field(ge=0)]


class Plan(ObjectType):
    """One plan of a whole fleet, from when it was asked for until it ended; agents carry the last good one out.

    All that is known only when it has been worked out is null until then. An ended plan is never changed again.
    """

    table: ClassVar[Table] = Table(
        "plans",
        Scope.TENANT,
        unique=(("operator_id", "id"), ("operator_id", "plan_id")),
        indexes=(
            Index("operator_id", unique=True, where="status in ('QUEUED', 'RUNNING')"),
            Index("operator_id, requested_at desc"),
            Index("operator_id, length(plan_id) desc, plan_id desc"),
            Index("run_id"),
        ),
    )

    plan_id: Annotated[Word, Field(description="External id of the plan, P-000001 onwards; unique per operator")]
    operator_id: OperatorId
    status: Annotated[PlanStatus, Field(description="How it stands")] = PlanStatus.QUEUED
    trigger: Annotated[Word, Field(description="What asked for it: a command, a client, a pipeline run, arrivals")]
    requested_at: Annotated[Instant, Field(description="When it was asked for")]
    started_at: Annotated[Instant | None, Field(description="When work on it began")] = None
    finished_at: Annotated[Instant | None, Field(description="When it ended, well or not")] = None
    as_of: Annotated[Instant | None, Field(description="The moment at which the fleet was read for it")] = None
    starts_at: Annotated[Instant | None, Field(description="Start of its first half hour")] = None
    half_hours: Annotated[int | None, Field(ge=0, description="How many half hours it covers")] = None
    run_id: Annotated[
        UUID | None, Ref("PipelineRun"), Field(description="The last committed pipeline run it saw")
    ] = None
    after_seq: Annotated[Serial | None, Field(description="Number of the last decision it knew of")] = None
    input_digest: Annotated[
        _Hash | None, Field(description="The SHA-256 under which plan_inputs keeps all it saw")
    ] = None
    input_bytes: Annotated[_Count | None, Field(description="Size of what it saw, as kept, in bytes")] = None
    progress: Annotated[
        Json, Column(default="'{}'"), Field(description="How far it has come: the stage, and done of how many")
    ] = {}
    workloads: Annotated[_Count | None, Field(description="How many workloads it planned")] = None
    sites: Annotated[_Count | None, Field(description="At how many data centres")] = None
    cost_gbp: Annotated[
        Pounds | None, Field(description="What the plan costs, by the weights of the agents; wear and delay too")
    ] = None
    bound_gbp: Annotated[Pounds | None, Field(description="No plan can cost less than this")] = None
    gap: Annotated[_Share | None, Field(description="Cost less bound, as a share of the bound")] = None
    gap_of_choice: Annotated[
        _Share | None,
        Field(
            description="The same without what no plan can change: running work, and workloads without any option"
        ),
    ] = None
    spare_mwh: Annotated[
        MegawattHours | None, Field(ge=0, description="Facility energy that it leaves room for")
    ] = None
    result_digest: Annotated[
        _Hash | None, Field(description="SHA-256 of the canonical JSON that plan_results keeps of it")
    ] = None
    result_bytes: Annotated[_Count | None, Field(description="Size of that JSON in bytes")] = None
    error: Annotated[Text | None, Field(description="Why it failed, or was given up")] = None
    simulated: Annotated[
        Json, Column(default="'{}'"), Field(description="Under `quantities`: which of carbon, price, stress were")
    ] = {}
    is_simulated: IsSimulated = False
    created_at: CreatedAt
    updated_at: UpdatedAt


class PlanResult(Record):
    """All that a plan came to: where and when each workload runs, prices, limits and what storage does."""

    table: ClassVar[Table] = Table("plan_results", Scope.TENANT, key=("operator_id", "plan_id"), append_only=True)

    operator_id: OperatorId
    plan_id: Annotated[UUID, Ref("Plan"), Field(description="The plan")]
    content: Annotated[Text, Field(description="Canonical JSON, of which plans.result_digest is the hash")]
    created_at: CreatedAt
