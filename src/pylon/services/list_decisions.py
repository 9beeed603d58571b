"""List decisions: what was decided, newest first; one of them whole; and why, in numbers and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.agents import reasons
from pylon.errors import NotFound
from pylon.ontology.enums import DecisionType
from pylon.services.recompute_decision import recompute
from pylon.store.database import Database, Transaction

__all__ = [
    "Decision",
    "DecisionPage",
    "Explanation",
    "RefusedSites",
    "decision",
    "explain_decision",
    "list_decisions",
]

_NOTHING: Mapping[str, Any] = dict.fromkeys(("before", "decision_type", "job_id", "agent", "decision_id", "id"))


class Decision(BaseModel):
    """A decision, and what came of it. `source` and `target` are the data centres' own ids."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    decision_id: str
    decision_type: DecisionType
    agent_id: UUID | None
    agent: str | None
    workload_id: UUID | None
    job_id: str | None
    source_dc_id: UUID | None
    source: str | None
    target_dc_id: UUID | None
    target: str | None
    storage_asset_id: UUID | None
    asset_id: str | None
    input_grid_signal_id: UUID | None
    input_run_id: UUID | None
    input_carbon_intensity: int | None = Field(description="National, in gCO2/kWh")
    input_grid_stress: float | None
    input_price_gbp_mwh: float | None
    reasoning: str
    constraints_evaluated: dict[str, Any]
    alternatives_considered: dict[str, Any]
    carbon_saved_gco2: float | None = Field(description="Against the baseline; negative is a loss")
    cost_saved_gbp: float | None = Field(description="Against the baseline; negative is a loss")
    flexibility_contribution_mw: float | None
    inputs: dict[str, Any] = Field(description="What the agent saw; `view` is the hash of a kept input")
    effect: dict[str, Any] = Field(description="The action performed, and what it changed")
    is_simulated: bool
    decided_at: datetime
    seq: int = Field(description="Its number in the operator's log")
    hash: str = Field(description="Its link in the log's chain")


class DecisionPage(BaseModel):
    """Some decisions, newest first."""

    model_config = ConfigDict(frozen=True)

    decisions: list[Decision]
    next_before: int | None = Field(description="Send it as `before` for the next page; null on the last")
    contains_simulated: bool = Field(
        description="Whether any is about something simulated, or rests on simulated carbon, price or stress"
    )


class RefusedSites(BaseModel):
    """Sites that one limit left without an option."""

    model_config = ConfigDict(frozen=True)

    limit: str = Field(description="What stopped the option that came furthest at each")
    sites: list[str] = Field(description="The data centres' own ids")


class Explanation(BaseModel):
    """Why a decision was made, read off what it recorded."""

    model_config = ConfigDict(frozen=True)

    decision_id: str
    decision_type: DecisionType
    sentences: list[str] = Field(description="The reason, then each figure behind it")
    terms: dict[str, dict[str, Any]] = Field(
        description="By option (chosen, baseline, standing): cost terms in GBP, energy and carbon"
    )
    saved: dict[str, Any] = Field(description="What the choice was expected to save, and against what")
    limits: list[dict[str, Any]] = Field(
        description="Limits that were looked at, and how many options each refused"
    )
    refused: list[RefusedSites] = Field(description="The sites that had no option, by the limit that stopped them")
    outcome: dict[str, Any] | None = Field(
        description="What came of it, its energy the facility's; null until that is known"
    )
    recomputes: bool | None = Field(
        description="Whether the decision made again from what it recorded is the same; null: it was not worked out"
    )
    is_simulated: bool


def list_decisions(
    database: Database,
    operator_id: UUID,
    *,
    limit: int = 50,
    before: int | None = None,
    decision_type: DecisionType | None = None,
    job_id: str | None = None,
    agent: str | None = None,
) -> DecisionPage:
    """Return the operator's decisions before number `before`, newest first.

    `decision_type`, `job_id` and `agent` (the agent's own id) leave out all others.
    """
    wanted = {"before": before, "decision_type": decision_type, "job_id": job_id, "agent": agent}
    with database.as_reader(operator_id) as transaction:
        rows = transaction.all("decisions", operator_id=operator_id, limit=limit + 1, **{**_NOTHING, **wanted})
    shown = [Decision.model_validate(row) for row in rows[:limit]]
    return DecisionPage(
        decisions=shown,
        next_before=shown[-1].seq if len(rows) > limit else None,
        contains_simulated=any(one.is_simulated or one.inputs.get("simulated") for one in shown),
    )


def decision(database: Database, operator_id: UUID, name: str) -> Decision:
    """Return the decision whose id or `decision_id` is `name`.

    Raises `NotFound` when the operator has none of that name.
    """
    with database.as_reader(operator_id) as transaction:
        return Decision.model_validate(_find(transaction, operator_id, name))


def explain_decision(database: Database, operator_id: UUID, name: str) -> Explanation:
    """Return why the decision `name` was made: its cost terms as numbers, and in sentences.

    Raises `NotFound` when the operator has none of that name.
    """
    with database.as_reader(operator_id) as transaction:
        row = _find(transaction, operator_id, name)
        outcome = transaction.one("outcome_of", operator_id=operator_id, id=row["id"])
        recomputes = _recomputes(transaction, operator_id, row)
    options = row["alternatives_considered"]
    return Explanation(
        decision_id=row["decision_id"],
        decision_type=row["decision_type"],
        sentences=reasons.explain(row),
        terms={name: option for name, option in options.items() if isinstance(option, dict)},
        saved={
            "baseline_is": options.get("baseline_is"),
            "baseline_infeasible": row["constraints_evaluated"].get("baseline_infeasible"),
            "carbon_saved_gco2": row["carbon_saved_gco2"],
            "cost_saved_gbp": row["cost_saved_gbp"],
        },
        limits=row["constraints_evaluated"].get("limits", []),
        refused=_refused(options.get("refused", ())),
        outcome=outcome,
        recomputes=recomputes,
        is_simulated=row["is_simulated"],
    )


def _refused(sites: Iterable[Mapping[str, Any]]) -> list[RefusedSites]:
    stopped: dict[str, list[str]] = {}
    for site in sites:
        stopped.setdefault(site["refused_by"], []).append(site["dc_id"])
    return [RefusedSites(limit=limit, sites=names) for limit, names in stopped.items()]


def _recomputes(transaction: Transaction, operator_id: UUID, row: Mapping[str, Any]) -> bool | None:
    """Return whether the decision made again says what was stored; None where it was not worked out.

    One whose input is no longer kept as it was does not: `pylon audit verify` tells more.
    """
    try:
        again = recompute(transaction, operator_id, row)
    except NotFound:
        return False
    if again is None:
        return None
    stored = (
        row["decision_type"],
        row["reasoning"],
        row["constraints_evaluated"],
        row["alternatives_considered"],
        row["carbon_saved_gco2"],
        row["cost_saved_gbp"],
        row["flexibility_contribution_mw"],
    )
    return stored == (
        again.decision_type,
        again.reasoning,
        again.constraints,
        again.alternatives,
        again.carbon_saved_gco2,
        again.cost_saved_gbp,
        again.flexibility_contribution_mw,
    )


def _find(transaction: Transaction, operator_id: UUID, name: str) -> dict[str, Any]:
    wanted: dict[str, Any]
    try:
        wanted = {"id": UUID(name)}
    except ValueError:
        wanted = {"decision_id": name}
    row = transaction.one("decisions", operator_id=operator_id, limit=1, **{**_NOTHING, **wanted})
    if row is None:
        raise NotFound(f"You have no decision {name[:60]!r}. `GET /api/v1/decisions` lists yours, newest first.")
    return row
