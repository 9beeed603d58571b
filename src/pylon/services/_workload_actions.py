"""How the actions on workloads are carried out: criteria, effect, and the decision each stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pylon.agents import by_hand, compute_orchestrator, jobs, reasons
from pylon.agents.contract import Draft, Span
from pylon.agents.jobs import Placing, interval
from pylon.errors import Invalid, Refused
from pylon.ontology import actions
from pylon.ontology.agency import Agent
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import AgentStatus, AgentType, DecisionType, WorkloadStatus
from pylon.ontology.fleet import DataCentre
from pylon.planning.field import RESOURCES
from pylon.services._running_actions import must_become
from pylon.services.desk import Asked, Desk, Handler
from pylon.services.view_fleet import needs
from pylon.store import objects
from pylon.store.database import Answer

__all__ = ["HANDLERS"]

_S = WorkloadStatus

Booking = actions.AcceptWorkload | actions.ShiftWorkload | actions.DeferWorkload
_Aside = actions.DeferWorkload | actions.RejectWorkload | actions.NegotiateWorkload


def _submit(desk: Desk, given: actions.SubmitWorkload, asked: Asked) -> None:
    _arrive(desk, [given], asked)


def _submit_all(desk: Desk, given: actions.SubmitWorkloads, asked: Asked) -> None:
    _arrive(desk, given.workloads, asked)


def _arrive(desk: Desk, jobs: Sequence[actions.SubmitWorkload], asked: Asked) -> None:
    """Take in every job, or none, and decide each at once, in the order given."""
    acting = _ask_orchestrator(desk)  # before anything is waited for
    taken = {workload.job_id for workload in desk.workloads([job.job_id for job in jobs])}
    refusals = [refusal for job in jobs for refusal in _refusals(job, taken, desk.now)]
    if refusals:
        raise Refused("; ".join(refusal["detail"] for refusal in refusals[:5]), refusals=refusals)
    _ = desk.view  # with it every data centre is read
    arrived = [_workload(desk, job) for job in jobs]
    agent = _orchestrator(desk, acting)
    for workload in arrived:
        desk.add(workload)
        _decide(desk, workload, agent, asked)


def _refusals(job: actions.SubmitWorkload, taken: set[str], now: datetime) -> list[dict[str, Any]]:
    found = []
    if job.job_id in taken:
        detail = f"You have a workload {job.job_id!r} already. Give the new one an id of its own."
        found.append({"code": "job_id_free", "detail": detail, "job_id": job.job_id})
    if job.deadline is not None and job.deadline <= now:
        detail = (
            f"The deadline of {job.job_id!r}, {job.deadline:%Y-%m-%d %H:%M} UTC, is past. Give one that lies ahead."
        )
        found.append({"code": "deadline_ahead", "detail": detail, "job_id": job.job_id})
    return found


def _workload(desk: Desk, job: actions.SubmitWorkload) -> ComputeWorkload:
    origin = None if job.origin is None else desk.centre(job.origin)
    said = job.model_dump(exclude={"origin", "power_kw", "estimated_energy_kwh"})
    return ComputeWorkload(
        id=desk.new_id(),
        operator_id=desk.operator_id,
        origin_dc_id=None if origin is None else origin.id,
        power_kw=job.it_power_kw,
        estimated_energy_kwh=job.it_energy_kwh,
        created_at=desk.now,
        **said,
    )


def _ask_orchestrator(desk: Desk) -> Answer:
    return desk.transaction.ask(
        "acting_agent", operator_id=desk.operator_id, agent_type=AgentType.COMPUTE_ORCHESTRATOR
    )


def _orchestrator(desk: Desk, acting: Answer | None = None) -> Agent | None:
    """Return the orchestrator that acts for the operator; an OFFLINE one when all are; None when it has none."""
    row = (acting or _ask_orchestrator(desk)).one()
    if row is None:
        rows = objects.read(desk.transaction, Agent, operator_id=desk.operator_id, order_by=["created_at", "id"])
        row = next((one for one in rows if one["agent_type"] == AgentType.COMPUTE_ORCHESTRATOR), None)
    return None if row is None else Agent.model_validate(row)


def _decide(desk: Desk, workload: ComputeWorkload, agent: Agent | None, asked: Asked) -> None:
    """Let the operator's orchestrator (one with the defaults where it has none) decide, and carry that out.

    What is booked for the workload already is given up for it. While the orchestrator cannot decide, it waits.
    """
    if agent is not None and (why := _cannot_decide(agent)):
        _leave_undecided(desk, workload, why)
        return
    config, view = _settings(agent), desk.view
    seen = jobs.describe(view, workload, config)
    case = reasons.consider(view, seen, config.weights, booking=view.bookings.get(workload.id))
    proposal = compute_orchestrator.proposal_of(case)
    by = f"agent {agent.agent_id}" if agent else asked.by
    decided = Asked(by=by, agent_id=agent.id if agent else None, draft=proposal.draft)
    HANDLERS[proposal.action](desk, actions.action(proposal.action).parse(proposal.parameters), decided)


def _cannot_decide(agent: Agent) -> str | None:
    if agent.status is AgentStatus.OFFLINE:
        return f"Not decided: {agent.agent_id} is OFFLINE. The round after it is IDLE again decides."
    try:
        _settings(agent)
    except Invalid as error:
        return f"Not decided by {agent.agent_id}. {error.detail} Set it with update_agent; the next round decides."
    return None


def _leave_undecided(desk: Desk, workload: ComputeWorkload, why: str) -> None:
    if workload.host_dc_id is not None:
        desk.unbook(workload)
        desk.forget()
    nowhere = {"host_dc_id": None, "scheduled_start": None, "plan_id": None}
    desk.change(workload.model_copy(update={"status": _S.PENDING, "status_reason": why, **nowhere}))


def _accept(desk: Desk, given: actions.AcceptWorkload, asked: Asked) -> None:
    _book(desk, given, asked, _S.QUEUED)


def _shift(desk: Desk, given: actions.ShiftWorkload, asked: Asked) -> None:
    workload, centre = desk.workload(given.job_id), desk.centre(given.dc_id)
    if {workload.origin_dc_id, workload.host_dc_id} - {None} == {centre.id}:
        detail = (
            f"{given.job_id!r} is at {centre.dc_id} already. For another time: accept_workload, defer_workload."
        )
        raise Refused.because("place_differs", detail, job_id=given.job_id, dc_id=centre.dc_id)
    _book(desk, given, asked, _S.QUEUED)


def _defer(desk: Desk, given: actions.DeferWorkload, asked: Asked) -> None:
    status = _S.PENDING if given.deferred_by is None else _S(f"DEFERRED_{given.deferred_by}")
    if given.dc_id is not None:
        _must_be_later(desk, given)
        _book(desk, given, asked, status)
    else:
        _set_aside(desk, given, asked, status, DecisionType.DEFER_WORKLOAD)


def _must_be_later(desk: Desk, given: actions.DeferWorkload) -> None:
    workload = desk.workload(given.job_id)
    soonest = jobs.full_second(desk.now) + timedelta(minutes=workload.duration_mins)
    if _spans(workload, given)[-1].ends_at < soonest + timedelta(minutes=reasons.SAME_MINS):
        detail = (
            f"{given.job_id!r} would run at once, so nothing is deferred. Use accept_workload, or a later time."
        )
        raise Refused.because("later", detail, job_id=given.job_id)


def _reject(desk: Desk, given: actions.RejectWorkload, asked: Asked) -> None:
    _set_aside(desk, given, asked, _S.FAILED, DecisionType.REJECT_WORKLOAD)


def _negotiate(desk: Desk, given: actions.NegotiateWorkload, asked: Asked) -> None:
    _set_aside(desk, given, asked, _S.DEFERRED_PRICE, DecisionType.NEGOTIATE)


def _amend(desk: Desk, given: actions.AmendWorkload, asked: Asked) -> None:
    """Change the limits and decide anew."""
    workload = desk.workload(given.job_id)
    must_become(workload, _S.PENDING)
    changes = given.changed()
    deadline = changes.get("deadline")
    if deadline is not None and deadline <= desk.now:
        raise Refused.because("deadline_ahead", f"The deadline {deadline:%Y-%m-%d %H:%M} UTC is past.")
    changed = workload.model_copy(update=changes)
    desk.change(changed)
    _decide(desk, changed, _orchestrator(desk), asked)
    decided = desk.decided[-1].draft if desk.decided else None
    if decided is not None and decided.decision_type is DecisionType.REJECT_WORKLOAD:
        raise Refused.because("runs_somewhere", reasons.refusal(decided))


def _book(desk: Desk, given: Booking, asked: Asked, status: WorkloadStatus) -> None:
    """Book the workload where and when it is asked for, if no limit forbids it.

    What an agent has chosen is looked at again: nobody books past a limit.
    """
    workload = desk.workload(given.job_id)
    must_become(workload, status)
    assert given.dc_id is not None  # noqa: S101  who calls has looked
    centre = desk.centre(given.dc_id)
    spans = _spans(workload, given)
    config = Placing() if asked.draft else _settings(_orchestrator(desk))
    if refusals := by_hand.refusals(desk.view, workload, config, centre.id, spans):
        raise Refused("; ".join(one["detail"] for one in refusals), refusals=refusals)
    draft = asked.draft or by_hand.chosen(
        desk.view, workload, config, _BY_HAND[type(given)], given.reason, (centre.id, spans)
    )
    decision_id = desk.decide(draft, asked, _booked_effect(given, workload, status, centre, spans))
    desk.book(workload, centre, spans, decision_id)
    desk.change(
        workload.model_copy(
            update={
                "status": status,
                "status_reason": given.reason,
                "host_dc_id": centre.id,
                "scheduled_start": spans[0].starts_at,
                "plan_id": _plan_of(draft),
            }
        )
    )


def _set_aside(
    desk: Desk, given: _Aside, asked: Asked, status: WorkloadStatus, decision_type: DecisionType
) -> None:
    """Leave the workload, or put it, where nothing is booked for it."""
    workload = desk.workload(given.job_id)
    must_become(workload, status)
    draft = asked.draft or by_hand.chosen(
        desk.view, workload, _settings(_orchestrator(desk)), decision_type, given.reason, None
    )
    desk.decide(draft, asked, _effect(given, workload, status))
    desk.unbook(workload)
    ended = desk.now if status is _S.FAILED else None
    desk.change(
        workload.model_copy(
            update={
                "status": status,
                "status_reason": given.reason,
                "host_dc_id": None,
                "scheduled_start": None,
                "plan_id": None,
                "completed_at": ended,
            }
        )
    )


def _plan_of(draft: Draft) -> UUID | None:
    """Return the plan that chose a booking; None for one that was chosen for its workload alone."""
    by_plan = draft.inputs.get("by_plan")
    return None if by_plan is None else UUID(by_plan["id"])


def _settings(agent: Agent | None) -> Placing:
    """Return what the orchestrator weighs: its own configuration, or the defaults where there is no such agent."""
    settings = compute_orchestrator.PROGRAM.settings(agent.config if agent else {})
    assert isinstance(settings, Placing)  # noqa: S101  the program says so
    return settings


def _spans(workload: ComputeWorkload, given: Booking) -> list[Span]:
    """Return when it is to run, in full seconds."""
    if given.spans is not None:
        return [
            Span(span.starts_at.replace(microsecond=0), span.ends_at.replace(microsecond=0)) for span in given.spans
        ]
    assert given.starts_at is not None  # noqa: S101  one of the two is given
    starts_at = given.starts_at.replace(microsecond=0)
    return [Span(starts_at, starts_at + timedelta(minutes=workload.duration_mins))]


def _effect(given: actions.Parameters, workload: ComputeWorkload, status: WorkloadStatus) -> dict[str, Any]:
    """Return what is done to the workload, for the log."""
    price = {"price_gbp": float(given.price_gbp)} if isinstance(given, actions.NegotiateWorkload) else {}
    return {
        "action": _NAMES[type(given)],
        "job_id": workload.job_id,
        "from": workload.status.value,
        "to": status.value,
        **price,
    }


def _booked_effect(
    given: Booking,
    workload: ComputeWorkload,
    status: WorkloadStatus,
    centre: DataCentre,
    spans: Sequence[Span],
) -> dict[str, Any]:
    """Return the same of a booking, with the room it takes up: from it the room of a later moment can be made."""
    taken = needs(workload, float(centre.pue)).tolist()
    return {
        **_effect(given, workload, status),
        "dc_id": centre.dc_id,
        "data_centre_id": str(centre.id),
        "spans": [interval(span.starts_at, span.ends_at) for span in spans],
        "takes": dict(zip(RESOURCES, taken, strict=True)),
    }


_BY_HAND: Final = {
    actions.AcceptWorkload: DecisionType.ACCEPT_WORKLOAD,
    actions.ShiftWorkload: DecisionType.SHIFT_REGION,
    actions.DeferWorkload: DecisionType.DEFER_WORKLOAD,
}
_NAMES: Final = {one.parameters: name for name, one in actions.ACTIONS.items()}

HANDLERS: Final[Mapping[str, Handler]] = {
    "submit_workload": _submit,
    "submit_workloads": _submit_all,
    "accept_workload": _accept,
    "shift_workload": _shift,
    "defer_workload": _defer,
    "reject_workload": _reject,
    "negotiate_workload": _negotiate,
    "amend_workload": _amend,
}
"""The handler of each action on workloads."""
