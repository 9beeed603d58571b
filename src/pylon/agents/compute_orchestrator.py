"""Compute orchestrator: places each workload where and when it costs least, or says what stands in its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pylon.agents import by_plan, jobs
from pylon.agents.contract import Booking, Draft, Program, Proposal, View
from pylon.agents.jobs import Placing
from pylon.agents.reasons import Case, consider, draft_of
from pylon.ontology.agency import Agent
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import (
    AgentStatus,
    AgentType,
    DataCentreStatus,
    DecisionType,
    WorkloadStatus,
    WorkloadUrgency,
)
from pylon.planning.field import Option

__all__ = ["PROGRAM", "booked", "decide", "proposal_of", "taken"]

_DEFERRED: Final = {
    "carbon": WorkloadStatus.DEFERRED_CARBON,
    "price": WorkloadStatus.DEFERRED_PRICE,
    "stress": WorkloadStatus.DEFERRED_GRID_STRESS,
}
_OPEN: Final = (DataCentreStatus.ACTIVE, DataCentreStatus.CONSTRAINED)
"""Sites that start what is booked there; a CONSTRAINED one takes nothing new."""
_LEAST_URGENT_FIRST: Final = {urgency: rank for rank, urgency in enumerate(WorkloadUrgency)}
_NO_DEADLINE: Final = datetime.max.replace(tzinfo=UTC)
_MISSED: Final = timedelta(minutes=60)
"""A job booked to start longer ago than this that has not started is placed anew."""


def decide(view: View, workload: ComputeWorkload, config: Placing) -> Proposal:
    """Return what becomes of a workload that is booked nowhere: a booking, or why there is none."""
    return proposal_of(consider(view, jobs.describe(view, workload, config), config.weights))


def booked(view: View, workload: ComputeWorkload) -> Booking | None:
    """Return where and when a workload that has not started is to run; None when nowhere, or it runs already."""
    return None if workload.status is WorkloadStatus.RUNNING else view.bookings.get(workload.id)


def proposal_of(case: Case) -> Proposal:
    """Return the action that carries a case's verdict out, with its decision."""
    draft, chosen = draft_of(case), case.placement.chosen
    if chosen is None:
        return _without_booking(case, draft)
    action, more = _action(case)
    place = {"job_id": case.seen["job_id"], "dc_id": case.view.sites[chosen.site].dc_id, **_when(case.view, chosen)}
    is_joint = case.by_plan is not None and case.by_plan["of"] > 1
    return Proposal(action=action, parameters={**place, **more}, draft=draft, is_joint=is_joint)


def _action(case: Case) -> tuple[str, dict[str, Any]]:
    """Return the action that books what a case has chosen, and what it is told beside the place."""
    verdict = case.verdict
    if verdict.decision_type is DecisionType.SHIFT_REGION:
        return "shift_workload", {}
    if verdict.decision_type is DecisionType.ACCEPT_WORKLOAD:
        return "accept_workload", {}
    return "defer_workload", {"deferred_by": _DEFERRED[str(verdict.waits_for)].removeprefix("DEFERRED_")}


def _without_booking(case: Case, draft: Draft) -> Proposal:
    job_id = case.seen["job_id"]
    if draft.decision_type is DecisionType.NEGOTIATE:
        given = {"job_id": job_id, "price_gbp": draft.constraints["price_to_fit_gbp"]}
        return Proposal(action="negotiate_workload", parameters=given, draft=draft, doing=AgentStatus.NEGOTIATING)
    if draft.decision_type is DecisionType.REJECT_WORKLOAD:
        given = {"job_id": job_id, "reason": draft.reasoning.partition(". ")[0].removesuffix(".")[:200]}
        return Proposal(action="reject_workload", parameters=given, draft=draft)
    waits_for = case.verdict.waits_for
    given = {"job_id": job_id, "deferred_by": None if waits_for == "room" else str(waits_for).upper()}
    return Proposal(action="defer_workload", parameters=given, draft=draft)


def _when(view: View, option: Option) -> dict[str, Any]:
    if len(option.spans) == 1:
        return {"starts_at": view.at(option.begins)}
    return {"spans": [{"starts_at": view.at(begins), "ends_at": view.at(ends)} for begins, ends in option.spans]}


def _propose(view: View, agent: Agent, config: Placing) -> Iterator[Proposal]:  # noqa: ARG001  every program's form
    """Yield a booking for whatever has none, then a new one for whatever has lost its own.

    One that waits gets its place in the standing plan if that can still be had, else the best by itself.
    """
    waiting = [workload for workload in view.workloads if _is_waiting(view, workload)]
    for workload in sorted(waiting, key=_urgent_first):
        planned = by_plan.case_of(view, workload, config)
        case = planned or consider(view, jobs.describe(view, workload, config), config.weights)
        if _is_news(workload, case):
            yield proposal_of(case)
            view = taken(case)
    yield from _replace_lost(view, config)


def _is_waiting(view: View, workload: ComputeWorkload) -> bool:
    return workload.status is not WorkloadStatus.RUNNING and workload.id not in view.bookings


def _urgent_first(workload: ComputeWorkload) -> tuple[int, datetime, UUID]:
    return -_LEAST_URGENT_FIRST[workload.urgency], workload.deadline or _NO_DEADLINE, workload.id


def _is_news(workload: ComputeWorkload, case: Case) -> bool:
    """Return whether the outcome differs from what the workload's status says already."""
    verdict = case.verdict
    if case.placement.chosen is not None or verdict.decision_type is DecisionType.REJECT_WORKLOAD:
        return True
    return workload.status is not _DEFERRED.get(str(verdict.waits_for), WorkloadStatus.PENDING)


def _replace_lost(view: View, config: Placing) -> Iterator[Proposal]:
    """Yield new bookings for jobs whose site has closed, whose room is gone, or whose start was missed."""
    held = [
        (workload, booking)
        for workload in sorted(view.workloads, key=_urgent_first, reverse=True)
        if (booking := booked(view, workload)) is not None
    ]
    held.sort(key=lambda one: one[1].is_by_hand)  # so that what a client chose gives way last
    for workload, booking in held:
        if not _is_lost(view, booking):
            continue
        case = consider(view, jobs.describe(view, workload, config), config.weights, booking=booking)
        yield proposal_of(case)
        view = taken(case)


def _is_lost(view: View, booking: Booking) -> bool:
    site = view.site(booking.data_centre_id)
    if site is None or view.sites[site].status not in _OPEN or booking.spans[0].starts_at < view.now - _MISSED:
        return True
    columns = jobs.columns(jobs.spans_of(view, booking), view.field.half_hours)
    return bool((view.field.room[:, site, columns] < -1e-6).any())


def taken(case: Case) -> View:
    """Return the view as it is once the case's verdict has been carried out."""
    chosen = case.placement.chosen
    if chosen is None:
        return case.view
    return replace(
        case.view, field=jobs.with_room(case.view.field, case.job, chosen.site, chosen.spans, taken=True)
    )


PROGRAM: Final = Program(agent_type=AgentType.COMPUTE_ORCHESTRATOR, order=30, config=Placing, propose=_propose)
