"""Run the agents: each agent of one operator looks at the fleet once, and what it proposes is carried out.

An agent's turn is one transaction: the states it passes through, its actions and their decisions are all there or
none is. An agent that fails is in ERROR with the reason, keeps nobody from their turn and tries again next time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

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

__all__ = ["LEASE", "Part", "Round", "RoundTotal", "Turn", "run_agents"]

LEASE: Final = "agents of {operator_id}"
"""The lease of whoever runs an operator's round; two at once would answer the same question twice."""


class Turn(BaseModel):
    """What one agent did in a round."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    agent_type: AgentType
    decisions: list[Taken] = []
    booked_before: list[UUID] = Field(
        default=[], description="Ids of the decisions that replace a workload's booking, or give it up"
    )
    refused: list[dict[str, Any]] = Field(
        default=[], description="Proposals that could not be carried out by then, and why"
    )
    error: str | None = Field(default=None, description="Why the agent failed; it changed nothing then")
    seconds: float

    @property
    def by_type(self) -> dict[DecisionType, int]:
        """How many decisions of each type."""
        return dict(Counter(decision.decision_type for decision in self.decisions))


class Part(StrEnum):
    """What a total is of. Each part has a baseline of its own, so that no saving is claimed twice."""

    PLACED = "placed"  # work that was booked nowhere; against run now at origin
    MOVED = "moved"  # work that was booked; against that booking, which claimed its own saving when it was made
    STORAGE = "storage"  # against idling; a schedule that takes the place of another, against that one


class RoundTotal(BaseModel):
    """What the decisions of one kind about one part come to. Savings are signed, against the part's baseline."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    part: Part
    energy_kwh: float | None = Field(description="Facility energy of the workloads; null for storage")
    carbon_saved_kg: float | None = Field(description="Null when of none of them it is known")
    cost_saved_gbp: float | None = Field(description="Null when of none of them it is known")
    infeasible: int = Field(description="Decisions whose run now would have broken a limit; in neither saving")
    unknown: int = Field(description="Others of which a saving is not known; that one is in no sum")


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
        """What was decided comes to, by how far it is real and of what; neither kinds nor parts are added up.

        A workload that is placed and moved in one round is in both parts.
        """
        parts: dict[tuple[Kind, Part], list[Taken]] = {}
        booked_before = self._booked_before
        for decision in self.decisions:
            if (part := _part(decision, booked_before)) is not None:
                parts.setdefault((_kind(decision), part), []).append(decision)
        order = [(kind, part) for kind in Kind for part in Part]
        return [_total(kind, part, parts[kind, part]) for kind, part in order if (kind, part) in parts]

    @property
    def given_up(self) -> int:
        """How many bookings were given up with no other in their place."""
        booked_before = self._booked_before
        return sum(one.id in booked_before and not _chosen(one) for one in self.decisions)

    @property
    def _booked_before(self) -> set[UUID | None]:
        return {one for turn in self.turns for one in turn.booked_before}


def _kind(decision: Taken) -> Kind:
    if decision.is_simulated:
        return Kind.SIMULATED
    return Kind.PARTLY_SIMULATED if decision.simulated else Kind.REAL


def _part(decision: Taken, booked_before: Set[UUID | None]) -> Part | None:
    """Return what a decision is added up with; None for one that places nothing."""
    if decision.decision_type is DecisionType.SCHEDULE_DISCHARGE:
        return Part.STORAGE
    if decision.workload_id is None or not _chosen(decision):
        return None
    return Part.MOVED if decision.id in booked_before else Part.PLACED


def _chosen(decision: Taken) -> dict[str, Any]:
    """Return the option that a decision chose; empty when it chose none."""
    return decision.alternatives_considered.get("chosen") or {}


def _total(kind: Kind, part: Part, decisions: Sequence[Taken]) -> RoundTotal:
    compared = [one for one in decisions if part is not Part.PLACED or not _is_infeasible(one)]
    saved = [_saved(one, part) for one in compared]
    carbon_g = [carbon for carbon, _ in saved if carbon is not None]
    cost_gbp = [cost for _, cost in saved if cost is not None]
    return RoundTotal(
        kind=kind,
        part=part,
        energy_kwh=None if part is Part.STORAGE else sum(_chosen(one)["energy_kwh"] for one in decisions),
        carbon_saved_kg=sum(carbon_g) / 1000 if carbon_g else None,
        cost_saved_gbp=sum(cost_gbp) if cost_gbp else None,
        infeasible=len(decisions) - len(compared),
        unknown=sum(None in one for one in saved),
    )


def _is_infeasible(decision: Taken) -> bool:
    return decision.constraints_evaluated.get("baseline_infeasible") is not None


def _saved(decision: Taken, part: Part) -> tuple[float | None, float | None]:
    """Return the gCO2 and the GBP that a decision saves against the baseline of its part; None is not known."""
    if part is not Part.MOVED:
        return decision.carbon_saved_gco2, decision.cost_saved_gbp
    chosen, stood = _chosen(decision), decision.alternatives_considered.get("standing")
    if stood is None:  # its site is gone, or it was to have begun by now
        return None, None
    return _less(stood["carbon_gco2"], chosen["carbon_gco2"]), _less(_paid(stood), _paid(chosen))


def _paid(option: Mapping[str, Any]) -> float | None:
    """Return what an option costs in money that is paid."""
    energy_gbp, migration_gbp = (option["terms"][name] for name in ("energy_gbp", "migration_gbp"))
    return None if energy_gbp is None else energy_gbp + migration_gbp


def _less(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


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
            return _done(database, views, call, program, agent, trigger)
        except _SetRefused as refusal:
            return _done(database, views, call, program, agent, trigger, refusal.refused)
    except StoreError:
        raise  # nobody else's turn would go better
    except Exception as error:
        reason = error.detail if isinstance(error, PylonError) else repr(error)
        with desks.opened(database, views, call) as desk:
            failed = _awake(desk, agent)
            if failed is not None:
                enter(desk, failed, AgentStatus.ERROR, trigger, {"error": reason})
        return Turn(agent_id=agent.agent_id, agent_type=agent.agent_type, error=reason, seconds=0.0)


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
) -> Turn | None:
    """Return what an agent decided and what was refused; None where it rests or is gone.

    With `dropped`, moves of the plan that were refused before, it looks at each workload by itself.
    """
    with desks.opened(database, views, call, whole=True) as desk:
        awake = _awake(desk, agent)
        if awake is None:
            return None
        refused = _act(desk, program, awake, trigger, dropped)
        desk.forget()  # what was read for a round is more than an arrival needs
        return Turn(
            agent_id=agent.agent_id,
            agent_type=agent.agent_type,
            decisions=[perform_action.taken(decided) for decided in desk.decided],
            booked_before=[
                decided.id
                for decided in desk.decided
                if decided.draft.workload_id is not None and decided.draft.inputs.get("standing") is not None
            ],
            refused=refused,
            seconds=0.0,
        )


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
