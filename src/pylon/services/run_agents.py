"""Run the agents: each agent of one operator looks at the fleet once, and what it proposes is carried out.

An agent's turn is one transaction: the states it passes through, its actions and their decisions are all there or
none is. An agent that fails is in ERROR with the reason, keeps nobody from their turn and tries again next time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from pylon.agents import contract
from pylon.agents.contract import Program, Proposal, View
from pylon.errors import Invalid, NotFound, PylonError, Refused, StoreError
from pylon.ontology.agency import Agent
from pylon.ontology.enums import AgentStatus, AgentType, DecisionType
from pylon.ontology.identity import uuid7
from pylon.services import desk as desks
from pylon.services import perform_action
from pylon.services._agent_states import enter
from pylon.services.ask_sources import Progress, silent
from pylon.services.desk import Call, Desk
from pylon.services.perform_action import Taken
from pylon.services.report import Kind
from pylon.services.view_fleet import Views
from pylon.store import leases, objects
from pylon.store.database import Database

__all__ = ["LEASE", "Round", "RoundTotal", "Turn", "run_agents"]

LEASE: Final = "agents of {operator_id}"
"""The lease of whoever runs an operator's round; two at once would answer the same question twice."""


class Turn(BaseModel):
    """What one agent did in a round."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    agent_type: AgentType
    decisions: list[Taken] = []
    refused: list[dict[str, Any]] = Field(
        default=[], description="Proposals that could not be carried out by then, and why"
    )
    error: str | None = Field(default=None, description="Why the agent failed; it changed nothing then")
    seconds: float

    @property
    def by_type(self) -> dict[DecisionType, int]:
        """How many decisions of each type."""
        return dict(Counter(decision.decision_type for decision in self.decisions))


class RoundTotal(BaseModel):
    """What the decisions of one kind come to, the last about each workload alone: it replaces those before it.

    Savings are signed, against run now at origin (storage: against idling).
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    energy_kwh: float = Field(description="Facility energy of the workloads that were placed")
    carbon_saved_kg: float
    cost_saved_gbp: float
    infeasible: int = Field(description="Decisions whose baseline would have broken a limit; in neither saving")


class Round(BaseModel):
    """What the agents of one operator did at one moment."""

    model_config = ConfigDict(frozen=True)

    now: datetime
    trigger: str
    turns: list[Turn] = []
    resting: list[str] = Field(default=[], description="Agents that were OFFLINE, or gone, and so were left alone")

    @property
    def decisions(self) -> list[Taken]:
        """Every decision, in the order of the log."""
        return [decision for turn in self.turns for decision in turn.decisions]

    @property
    def totals(self) -> list[RoundTotal]:
        """What was decided comes to, by how far it is real; kinds are never added up."""
        last = {decision.workload_id or decision.id: decision for decision in self.decisions}.values()
        by_kind = {kind: [decision for decision in last if _kind(decision) is kind] for kind in Kind}
        return [_total(kind, those) for kind, those in by_kind.items() if those]


def _kind(decision: Taken) -> Kind:
    if decision.is_simulated:
        return Kind.SIMULATED
    return Kind.PARTLY_SIMULATED if decision.simulated else Kind.REAL


def _total(kind: Kind, decisions: list[Taken]) -> RoundTotal:
    chosen = [one.alternatives_considered.get("chosen") or {} for one in decisions if one.workload_id is not None]
    compared = [one for one in decisions if one.constraints_evaluated.get("baseline_infeasible") is None]
    return RoundTotal(
        kind=kind,
        energy_kwh=sum(option.get("energy_kwh") or 0.0 for option in chosen),
        carbon_saved_kg=sum(one.carbon_saved_gco2 or 0.0 for one in compared) / 1000,
        cost_saved_gbp=sum(one.cost_saved_gbp or 0.0 for one in compared),
        infeasible=len(decisions) - len(compared),
    )


def run_agents(
    database: Database,
    views: Views,
    call: Call,
    *,
    trigger: str,
    clock: Callable[[], datetime],
    progress: Progress = silent,
) -> Round:
    """Let every agent of the operator that is not OFFLINE have its turn, in the order of their programs.

    `trigger` says why there is a round (`command`, `pipeline run ID`); the agents' states keep it. `clock` is for
    the lease and for how long a turn took. Raises `LeaseHeld` while another process runs a round.
    """
    lease = LEASE.format(operator_id=call.operator_id)
    with leases.held(database, lease, uuid7(call.now, call.entropy(10)), clock):
        with database.as_reader(call.operator_id) as transaction:
            rows = objects.read(transaction, Agent, operator_id=call.operator_id, order_by=["agent_id"])
        agents = [Agent.model_validate(row) for row in rows]
        turns: list[Turn] = []
        resting = [agent.agent_id for agent in agents if agent.status is AgentStatus.OFFLINE]
        for program, agent in _in_order(agents):
            began = clock()
            turn = _turn(database, views, call, program, agent, trigger)
            if turn is None:
                resting.append(agent.agent_id)
                continue
            turns.append(turn.model_copy(update={"seconds": (clock() - began).total_seconds()}))
            progress(agent.name, _outcome(turns[-1]))
    return Round(now=call.now, trigger=trigger, turns=turns, resting=resting)


def _in_order(agents: list[Agent]) -> Iterator[tuple[Program, Agent]]:
    for program in contract.discover():
        for agent in agents:
            if agent.agent_type is program.agent_type and agent.status is not AgentStatus.OFFLINE:
                yield program, agent


def _turn(
    database: Database, views: Views, call: Call, program: Program, agent: Agent, trigger: str
) -> Turn | None:
    """Let one agent have its turn; if it fails, undo that and put it in ERROR. None: it rests or is gone by now."""
    try:
        try:
            done = _done(database, views, call, program, agent, trigger)
        except _SetRefused as refusal:
            done = _done(database, views, call, program, agent, trigger, refusal.refused)
        if done is None:
            return None
        decisions, refused = done
    except StoreError:
        raise  # nobody else's turn would go better
    except Exception as error:
        reason = error.detail if isinstance(error, PylonError) else repr(error)
        with desks.opened(database, views, call) as desk:
            failed = _awake(desk, agent)
            if failed is not None:
                enter(desk, failed, AgentStatus.ERROR, trigger, {"error": reason})
        return Turn(agent_id=agent.agent_id, agent_type=agent.agent_type, error=reason, seconds=0.0)
    return Turn(
        agent_id=agent.agent_id, agent_type=agent.agent_type, decisions=decisions, refused=refused, seconds=0.0
    )


class _SetRefused(Exception):
    """One of the moves that belong together cannot be carried out: none of them is."""

    def __init__(self, refused: list[dict[str, Any]]) -> None:
        super().__init__("moves that belong together")
        self.refused = refused


def _done(
    database: Database,
    views: Views,
    call: Call,
    program: Program,
    agent: Agent,
    trigger: str,
    dropped: Sequence[dict[str, Any]] = (),
) -> tuple[list[Taken], list[dict[str, Any]]] | None:
    """Return what an agent decided and what was refused; None where it rests or is gone.

    With `dropped`, moves of the plan that were refused before, it looks at each workload by itself.
    """
    with desks.opened(database, views, call, whole=True) as desk:
        awake = _awake(desk, agent)
        if awake is None:
            return None
        refused = _act(desk, program, awake, trigger, dropped)
        desk.forget()  # what was read for a round is more than an arrival needs
        return [perform_action.taken(decided) for decided in desk.decided], refused


def _awake(desk: Desk, agent: Agent) -> Agent | None:
    """Return the agent as it is now that nobody else can change it; None when it is OFFLINE or gone."""
    try:
        found = desk.agent(agent.agent_id)
    except NotFound:
        return None
    return None if found.status is AgentStatus.OFFLINE else found


def _act(
    desk: Desk, program: Program, agent: Agent, trigger: str, dropped: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Take an agent from rest through what it does and back, and return what was refused.

    Raises `_SetRefused` when that is one of the moves that belong together; nothing must be kept then.
    """
    acting = enter(desk, agent, AgentStatus.ACTIVE, trigger)
    refused = list(dropped)
    task = _still_ahead(agent.current_task, desk.now)
    # All are made before the first is carried out: an agent decides on the fleet as it was and on its proposals.
    proposals = list(program.run(_without_places(desk.view) if dropped else desk.view, agent))
    for workload in desk.workloads([one.parameters["job_id"] for one in proposals if one.is_joint]):
        desk.unbook(workload)  # so that each may have the room that another leaves
    for proposal in proposals:
        if acting.status is not proposal.doing:
            acting = enter(desk, acting, proposal.doing, trigger, {"action": proposal.action})
        try:
            perform_action.carry_out(desk, proposal, agent)
        except (Refused, Invalid) as refusal:
            if proposal.is_joint:  # what belongs together is done together or not at all
                raise _SetRefused([_told(one, refusal) for one in proposals if one.is_joint]) from refusal
            refused.append(_told(proposal, refusal))
        else:
            task = _task(desk, proposal) or task
    done = {"decisions": len(desk.decided), "refused": len(refused)}
    enter(desk, acting, AgentStatus.IDLE, trigger, done, current_task=task)
    return refused


def _without_places(view: View) -> View:
    """Return the view with what its plan says room is worth, but not where it puts anything."""
    return view if view.plan is None else replace(view, plan=replace(view.plan, places={}))


def _told(proposal: Proposal, refusal: Refused | Invalid) -> dict[str, Any]:
    about = {"action": proposal.action, "decision_type": proposal.draft.decision_type.value}
    why = refusal.refusals if isinstance(refusal, Refused) else []
    return {**about, "detail": refusal.detail, "refusals": why}


def _task(desk: Desk, proposal: Proposal) -> dict[str, Any] | None:
    """Return what the agent goes on with after its turn: an offer that stands until its time is over."""
    if proposal.doing is not AgentStatus.NEGOTIATING or "ends_at" not in proposal.parameters:
        return None
    said = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in proposal.parameters.items()
    }
    return {"action": proposal.action, "parameters": said, "decision_id": desk.decided[-1].decision_id}


def _still_ahead(task: dict[str, Any] | None, now: datetime) -> dict[str, Any] | None:
    """Return the task that an agent brought along unless its time is over."""
    ends_at = (task or {}).get("parameters", {}).get("ends_at")
    return task if ends_at is not None and datetime.fromisoformat(ends_at) > now else None


def _outcome(turn: Turn) -> str:
    if turn.error is not None:
        return f"failed: {turn.error}"
    said = [f"{count} {kind.value}" for kind, count in turn.by_type.items()]
    if turn.refused:
        said.append(f"{len(turn.refused)} refused")
    return ", ".join(said) or "nothing to decide"
