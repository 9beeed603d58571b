"""List plans: those of an operator, newest first, and one of them with all that it came to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import NotFound
from pylon.ontology.enums import PlanStatus
from pylon.store.database import Database, Transaction

__all__ = [
    "Beside",
    "BindingLimit",
    "LeftOut",
    "PlanOutcome",
    "PlanPage",
    "PlanSummary",
    "PlannedPlace",
    "WholePlan",
    "find",
    "list_plans",
    "plan",
]


class PlanSummary(BaseModel):
    """A plan in short. All that is known only when it has been worked out is null until then."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    plan_id: str
    status: PlanStatus
    trigger: str = Field(description="What asked for it")
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    as_of: datetime | None = Field(description="The moment at which the fleet was read for it")
    starts_at: datetime | None = Field(description="Start of its first half hour")
    half_hours: int | None
    run_id: UUID | None = Field(description="The last committed pipeline run it saw")
    after_seq: int | None = Field(description="Number of the last decision it knew of")
    progress: dict[str, Any] = Field(description="The stage, and how much of it is done, of how much")
    workloads: int | None
    sites: int | None
    cost_gbp: float | None
    bound_gbp: float | None = Field(description="No plan can cost less")
    gap: float | None = Field(description="Cost less bound, as a share of the bound; null if that is not above 0")
    gap_of_choice: float | None = Field(description="The same without what no plan can change")
    spare_mwh: float | None = Field(description="Facility energy that it leaves room for")
    input_digest: str | None = Field(description="The hash under which all it saw is kept")
    input_bytes: int | None
    result_digest: str | None = Field(description="The hash of all it came to")
    result_bytes: int | None
    error: str | None = Field(description="Why it failed, or was given up")
    simulated: list[str] = Field(description="Of carbon, price and stress, those that rest on simulated values")
    is_simulated: bool = Field(description="Whether anything that it plans is simulated")


class PlanPage(BaseModel):
    """Some plans, newest first."""

    model_config = ConfigDict(frozen=True)

    plans: list[PlanSummary]
    next_before: int | None = Field(description="Send it as `before` for the next page; null on the last")
    contains_simulated: bool


class PlannedPlace(BaseModel):
    """Where and when a workload runs by the plan."""

    model_config = ConfigDict(frozen=True)

    workload_id: UUID
    job_id: str
    dc_id: str
    data_centre_id: UUID
    spans: list[dict[str, datetime]] = Field(description="Stretches of time: starts_at, ends_at")


class BindingLimit(BaseModel):
    """A limit that has a price: what one more of it would save."""

    model_config = ConfigDict(frozen=True)

    limit: str = Field(description="power_mw, gpus, rise or fall")
    dc_id: str
    starts_at: datetime = Field(description="Start of the half hour")
    price: float = Field(description="GBP/MWh; for GPUs GBP per GPU and hour")
    spare: float = Field(description="What the plan leaves of it")


class LeftOut(BaseModel):
    """A workload that does not run by the plan."""

    model_config = ConfigDict(frozen=True)

    workload_id: UUID
    job_id: str
    limit: str = Field(description="The first limit that leaves it nothing")
    has_option: bool = Field(description="Whether it would run if there were no others")
    price_to_fit_gbp: float | None = Field(
        description="The least max_price_gbp or value_gbp with which it would run; null where no money helps"
    )
    is_booked: bool = Field(description="Whether it has a booking now")


class Beside(BaseModel):
    """What another way of planning the same comes to."""

    model_config = ConfigDict(frozen=True)

    cost_gbp: float
    rejected: int


class PlanOutcome(BaseModel):
    """All that a plan came to."""

    model_config = ConfigDict(frozen=True)

    cost: dict[str, float] = Field(description="By reason, in GBP")
    gap_gbp: float
    is_bound_by_solver: bool = Field(
        default=False, description="Whether the bound is HiGHS's word; else `prices` prove it"
    )
    binding: list[BindingLimit] = Field(description="The dearest first")
    rejected: list[LeftOut]
    places: list[PlannedPlace]
    prices: dict[str, dict[str, list[list[float]]]] = Field(
        description="By limit and dc_id, for the half hours from starts_at on: [value, for how many]"
    )
    relaxed: list[str] = Field(description="What the bound does not keep to as the plan does")
    storage: list[dict[str, Any]] = Field(description="What each storage asset does, and what that is worth")
    greedy: Beside = Field(description="One workload after another, the hardest to place first")
    standing: Beside = Field(description="Every booking left where it is, and the rest placed greedily")


class WholePlan(PlanSummary):
    """A plan, and all that it came to."""

    result: PlanOutcome | None = Field(description="Null until it has been worked out")


def list_plans(database: Database, operator_id: UUID, *, limit: int = 50, before: int | None = None) -> PlanPage:
    """Return the operator's plans before number `before`, newest first."""
    with database.as_reader(operator_id) as transaction:
        rows = _rows(transaction, operator_id, limit=limit + 1, before=before)
    plans = [_read(row) for row in rows[:limit]]
    return PlanPage(
        plans=plans,
        next_before=rows[limit - 1]["number"] if len(rows) > limit else None,
        contains_simulated=any(one.is_simulated or one.simulated for one in plans),
    )


def plan(database: Database, operator_id: UUID, name: str) -> WholePlan:
    """Return the plan whose id or `plan_id` is `name`, with all that it came to.

    Raises `NotFound` when the operator has none of that name.
    """
    row = _find(database, operator_id, name, whole=True)
    result = None if row["content"] is None else PlanOutcome.model_validate(json.loads(row["content"]))
    return WholePlan(**_read(row).model_dump(), result=result)


def find(database: Database, operator_id: UUID, name: str) -> PlanSummary:
    """Return the plan whose id or `plan_id` is `name`, in short. Raises `NotFound` likewise."""
    return _read(_find(database, operator_id, name, whole=False))


def _find(database: Database, operator_id: UUID, name: str, *, whole: bool) -> dict[str, Any]:
    wanted: dict[str, Any]
    try:
        wanted = {"id": UUID(name)}
    except ValueError:
        wanted = {"plan_id": name}
    with database.as_reader(operator_id) as transaction:
        rows = _rows(transaction, operator_id, limit=1, whole=whole, **wanted)
    if not rows:
        raise NotFound(f"You have no plan {name[:60]!r}. `GET /api/v1/plans` lists yours, newest first.")
    return rows[0]


def _rows(
    transaction: Transaction,
    operator_id: UUID,
    *,
    limit: int,
    before: int | None = None,
    plan_id: str | None = None,
    id: UUID | None = None,  # noqa: A002  the column's name
    whole: bool = False,
) -> list[dict[str, Any]]:
    return transaction.all(
        "plans", operator_id=operator_id, limit=limit, before=before, plan_id=plan_id, id=id, whole=whole
    )


def _read(row: Mapping[str, Any]) -> PlanSummary:
    return PlanSummary.model_validate({name: row[name] for name in PlanSummary.model_fields})
