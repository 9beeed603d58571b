"""Agency: agents, the states they passed through, and what they decided."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.enums import AgentStatus, AgentType, DecisionType
from pylon.ontology.fleet import CreatedAt, IsSimulated, OperatorId, UpdatedAt
from pylon.ontology.types import (
    Column,
    GbpPerMwh,
    Grams,
    GramsPerKwh,
    Index,
    Instant,
    Json,
    Megawatts,
    Name,
    Numeric,
    ObjectType,
    Pounds,
    Ref,
    Scope,
    ShortText,
    Sql,
    Table,
    Text,
    Word,
)

__all__ = ["Agent", "AgentState", "OrchestrationDecision"]


class Agent(ObjectType):
    """A program that decides for an operator, within what its type may do."""

    table: ClassVar[Table] = Table(
        "agents", Scope.TENANT, unique=(("operator_id", "id"), ("operator_id", "agent_id"))
    )

    agent_id: Annotated[Word, Field(description="The operator's own id for the agent; unique per operator")]
    name: Annotated[Name, Field(description="Agent's name")]
    agent_type: Annotated[AgentType, Field(description="What the agent decides about")]
    operator_id: Annotated[
        UUID,
        Ref("Operator", "OPERATED_BY", doc="Agent belongs to operator"),
        Field(description="The operator the agent acts for"),
    ]
    config: Annotated[Json, Column(default="'{}'"), Field(description="Agent configuration")] = {}
    status: Annotated[AgentStatus, Field(description="What the agent is doing")] = AgentStatus.IDLE
    last_action_at: Annotated[
        Instant | None, Column(writer="services.perform_action"), Field(description="When the agent last acted")
    ] = None
    current_task: Annotated[
        Json | None, Column(writer="services.run_agents"), Field(description="What the agent works on")
    ] = None
    is_simulated: IsSimulated = False
    created_at: CreatedAt
    updated_at: UpdatedAt


class AgentState(ObjectType):
    """A state an agent entered, and why."""

    table: ClassVar[Table] = Table(
        "agent_states", Scope.TENANT, indexes=(Index("operator_id, agent_id, recorded_at desc"),)
    )

    operator_id: OperatorId
    agent_id: Annotated[
        UUID,
        Ref("Agent", "STATE_OF", doc="State was entered by agent", on_delete="cascade"),
        Field(description="The agent"),
    ]
    status: Annotated[ShortText, Field(description="The state entered")]
    state_data: Annotated[Json, Column(default="'{}'"), Field(description="Full state at that moment")] = {}
    triggered_by: Annotated[Word | None, Field(description="What caused the change")] = None
    recorded_at: CreatedAt


class OrchestrationDecision(ObjectType):
    """What an agent decided, on which inputs, and why. Append-only: never changed, never removed."""

    table: ClassVar[Table] = Table(
        "orchestration_decisions",
        Scope.TENANT,
        unique=(("operator_id", "id"), ("operator_id", "decision_id"), ("operator_id", "seq")),
        indexes=(
            Index("operator_id, decided_at desc"),
            Index("operator_id, agent_id"),
            Index("operator_id, workload_id"),
            Index("operator_id, source_dc_id"),
            Index("operator_id, target_dc_id"),
            Index("operator_id, storage_asset_id"),
            Index("input_grid_signal_id"),
            Index("input_run_id"),
        ),
        append_only=True,
    )

    decision_id: Annotated[Word, Field(description="External id of the decision; unique per operator")]
    operator_id: OperatorId
    decision_type: Annotated[DecisionType, Field(description="What was decided")]
    agent_id: Annotated[
        UUID | None,
        Ref("Agent", "DECIDED_BY", doc="Decision was made by agent"),
        Field(description="The agent that decided"),
    ] = None
    workload_id: Annotated[
        UUID | None,
        Ref("ComputeWorkload", "AFFECTS", doc="Decision affects this workload"),
        Field(description="The workload decided about"),
    ] = None
    source_dc_id: Annotated[
        UUID | None, Ref("DataCentre"), Field(description="Where the workload would have run")
    ] = None
    target_dc_id: Annotated[UUID | None, Ref("DataCentre"), Field(description="Where it is to run")] = None
    storage_asset_id: Annotated[
        UUID | None,
        Ref("StorageAsset", "AFFECTS", doc="Decision affects this storage asset"),
        Field(description="The storage asset decided about"),
    ] = None
    input_grid_signal_id: Annotated[
        UUID | None, Ref("GridSignal"), Field(description="The national signal the agent saw")
    ] = None
    input_run_id: Annotated[
        UUID | None, Ref("PipelineRun"), Field(description="The last committed pipeline run the agent saw")
    ] = None
    input_carbon_intensity: Annotated[
        GramsPerKwh | None, Field(ge=0, description="Carbon intensity at decision time")
    ] = None
    input_grid_stress: Annotated[
        Decimal | None, Numeric(4, 3, "1"), Field(ge=0, le=1, description="Grid stress at decision time")
    ] = None
    input_price_gbp_mwh: Annotated[GbpPerMwh | None, Field(description="Price at decision time")] = None
    reasoning: Annotated[Text, Field(description="The reason in words, read off the cost terms")]
    constraints_evaluated: Annotated[Json, Column(default="'{}'"), Field(description="Limits checked")] = {}
    alternatives_considered: Annotated[
        Json, Column(default="'{}'"), Field(description="Other options and their cost terms")
    ] = {}
    carbon_saved_gco2: Annotated[
        Grams | None,
        Field(description="Carbon saved against run-now at origin; negative when more was emitted"),
    ] = None
    cost_saved_gbp: Annotated[
        Pounds | None, Field(description="Cost saved against run-now at origin; negative when it cost more")
    ] = None
    flexibility_contribution_mw: Annotated[
        Megawatts | None, Field(description="Power made available to a flexibility market")
    ] = None
    inputs: Annotated[
        Json, Column(default="'{}'"), Field(description="What the agent saw: from it the decision recomputes")
    ] = {}
    effect: Annotated[
        Json, Column(default="'{}'"), Field(description="The action performed, and what it changed")
    ] = {}
    is_simulated: IsSimulated = False
    decided_at: CreatedAt
    seq: Annotated[int, Sql("bigint"), Field(ge=1, description="Number in the operator's log, without gaps")]
    content: Annotated[
        Text, Field(description="Canonical JSON of all the columns above: the bytes that are hashed")
    ]
    prev_hash: Annotated[
        str, Sql("varchar(64)"), Field(description="Hash of the decision before; zeros for the first")
    ]
    hash: Annotated[
        str, Sql("varchar(64)"), Field(description="SHA-256 of prev_hash, seq and content, a line each")
    ]
