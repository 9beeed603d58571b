"""Perform an action: check it, carry it out, log its decision and remember its key, all or nothing.

A dry run does the same and undoes it. Under a key that was used before for the same action and parameters nothing
is done: what was answered then is answered again.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.agents.contract import Proposal
from pylon.errors import Conflict, Refused
from pylon.ontology import actions, columns
from pylon.ontology.agency import Agent
from pylon.ontology.canonical import digest
from pylon.ontology.enums import DecisionType
from pylon.services import _fleet_actions, _registry_actions, _running_actions, _storage_actions, _workload_actions
from pylon.services.desk import Asked, Call, Decided, Desk, opened
from pylon.services.view_fleet import Views
from pylon.store.database import Database, json_text

__all__ = ["CLIENT", "HANDLERS", "Performed", "Taken", "carry_out", "perform", "taken"]

HANDLERS = {
    **_workload_actions.HANDLERS,
    **_running_actions.HANDLERS,
    **_fleet_actions.HANDLERS,
    **_storage_actions.HANDLERS,
    **_registry_actions.HANDLERS,
}

CLIENT = Asked(by="client")


class Taken(BaseModel):
    """A decision that was taken, in short; `/api/v1/decisions/{id}` has all of it."""

    model_config = ConfigDict(frozen=True)

    id: UUID | None = Field(description="Null in a dry run: nothing was logged")
    decision_id: str | None = Field(description="Null in a dry run: the number goes to the next that is logged")
    decision_type: DecisionType
    agent_id: UUID | None
    workload_id: UUID | None
    reasoning: str
    carbon_saved_gco2: float | None = Field(description="Against the baseline; negative is a loss")
    cost_saved_gbp: float | None = Field(description="Against the baseline; negative is a loss")
    constraints_evaluated: dict[str, Any]
    alternatives_considered: dict[str, Any]
    effect: dict[str, Any]
    is_simulated: bool
    simulated: list[str] = Field(
        default=[], description="Which of the quantities it rests on (carbon, price, stress) were simulated"
    )


class Performed(BaseModel):
    """What became of an action."""

    model_config = ConfigDict(frozen=True)

    action: str
    applied: bool = Field(description="Whether anything was changed: not by a dry run, nor by a refusal")
    dry_run: bool
    replayed: bool = Field(default=False, description="Whether this answers for an earlier request of the same key")
    refusals: list[dict[str, Any]] = Field(
        default=[], description="Why a dry run would be refused: code, detail and what it is about"
    )
    decisions: list[Taken] = Field(default=[], description="The decisions taken, in the order of the log")
    changed: dict[str, list[dict[str, Any]]] = Field(
        default={}, description="By object type, the objects made or changed, as they are now"
    )


def perform(
    database: Database,
    views: Views,
    call: Call,
    name: str,
    given: object,
    *,
    key: str | None = None,
    dry_run: bool = False,
    asked: Asked = CLIENT,
) -> Performed:
    """Perform the action `name` with these parameters for one operator, and commit it.

    Raises `NotFound` for an unknown action or object, `Invalid` for parameters that do not fit, `Refused` with its
    reasons where the state of things forbids it, and `Conflict` for a key that was used for something else.
    """
    parameters = actions.action(name).parse(given)
    if isinstance(parameters, actions.RegisterOperator):
        call = _registry_actions.founding(call, parameters, key)
    asked_for = "" if key is None else digest([name, parameters.model_dump(mode="json")])
    try:
        with opened(database, views, call, dry_run=dry_run) as desk:
            if key is not None and (before := _performed_before(desk, key, asked_for)):
                return before.model_copy(update={"dry_run": dry_run})
            HANDLERS[name](desk, parameters, asked)
            desk.flush()  # so that the database writes while the answer is made
            performed = _performed(desk, name, dry_run)
            if key is not None:
                _remember(desk, key, asked_for, performed)
    except Refused as refused:
        if not dry_run:
            raise
        return Performed(action=name, applied=False, dry_run=True, refusals=refused.refusals)
    return performed


def carry_out(desk: Desk, proposal: Proposal, agent: Agent | None) -> None:
    """Carry out at the desk what an agent proposes.

    Raises `Refused` where the state of things forbids it; nothing has been changed then.
    """
    by = f"agent {agent.agent_id}" if agent else "arrival"
    asked = Asked(by=by, agent_id=agent.id if agent else None, draft=proposal.draft)
    HANDLERS[proposal.action](desk, actions.action(proposal.action).parse(proposal.parameters), asked)


def _performed(desk: Desk, name: str, dry_run: bool) -> Performed:
    changed: dict[str, list[dict[str, Any]]] = {}
    for row in desk.changed.values():
        shown = {spec.name for spec in columns.of(type(row)) if not spec.is_secret}
        # Decimals would be texts in JSON; here they are numbers, as everywhere in the API.
        numbers = {name: float(value) for name, value in row if isinstance(value, Decimal)}
        values = {**row.model_dump(mode="json", include=shown), **numbers}
        changed.setdefault(type(row).__name__, []).append(values)
    decisions = [taken(decision) for decision in desk.decided]
    if dry_run:
        decisions = [decision.model_copy(update={"id": None, "decision_id": None}) for decision in decisions]
    return Performed(
        action=name,
        applied=not dry_run,
        dry_run=dry_run,
        decisions=decisions,
        changed=changed,
    )


def taken(decision: Decided) -> Taken:
    """Return a decision in short."""
    draft = decision.draft
    return Taken(
        id=decision.id,
        decision_id=decision.decision_id,
        decision_type=draft.decision_type,
        agent_id=decision.agent_id,
        workload_id=draft.workload_id,
        reasoning=draft.reasoning,
        carbon_saved_gco2=draft.carbon_saved_gco2,
        cost_saved_gbp=draft.cost_saved_gbp,
        constraints_evaluated=dict(draft.constraints),
        alternatives_considered=dict(draft.alternatives),
        effect=dict(decision.effect),
        is_simulated=draft.is_simulated,
        simulated=list(draft.inputs.get("simulated", ())),
    )


def _performed_before(desk: Desk, key: str, asked_for: str) -> Performed | None:
    before = desk.transaction.one("performed_before", operator_id=desk.operator_id, key=key)
    if before is None:
        return None
    if before["request_digest"] != asked_for:
        raise Conflict(
            f"The idempotency key {key!r} was used for {before['action']} with other parameters. "
            "Use a new key for a new request."
        )
    return Performed.model_validate({**before["response"], "replayed": True, "applied": False})


def _remember(desk: Desk, key: str, asked_for: str, performed: Performed) -> None:
    desk.transaction.send(
        "remember_performed",
        operator_id=desk.operator_id,
        key=key,
        action=performed.action,
        request_digest=asked_for,
        response=json_text(performed.model_dump(mode="json")),
        now=desk.now,
    )
