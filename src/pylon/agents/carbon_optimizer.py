"""Carbon optimizer: carries the standing plan out, and moves other booked work when signals make it worth it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field as Ranged

from pylon.agents import by_plan, jobs
from pylon.agents.compute_orchestrator import booked, proposal_of, taken
from pylon.agents.contract import Booking, Program, Proposal, View
from pylon.agents.jobs import Placing, Weight
from pylon.agents.reasons import Case, consider
from pylon.ontology.agency import Agent
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import AgentType, WorkloadStatus

__all__ = ["PROGRAM", "Optimizing"]

_FRESH: Final = timedelta(hours=1)


class Optimizing(Placing):
    """What an agent that moves booked work weighs, and how much better a new booking must be."""

    churn_gbp: Weight = 0.5
    """A new booking must cost less by more than this, in GBP,"""
    churn_share: Annotated[float, Ranged(ge=0, le=1)] = 0.02
    """and by more than this share of what the present one costs."""

    def churn(self, present_gbp: float) -> float:
        """Return by how much, in GBP, a new booking must cost less than a present one of this cost."""
        return max(self.churn_gbp, self.churn_share * abs(present_gbp))


def _propose(view: View, agent: Agent, config: Optimizing) -> Iterator[Proposal]:  # noqa: ARG001  every program's form
    """Yield a new booking for every job that the standing plan has elsewhere, if it is then better off.

    Then for every other with a booking ahead of it that is better off elsewhere or at another time by itself: one
    that the plan does not know, or whose place in it cannot be had. What a client has chosen stands.
    """
    movable = sorted((one for one in view.workloads if _may_move(view, one)), key=lambda one: one.id)
    cases, view = by_plan.moves(view, movable, config, config.churn)
    yield from map(proposal_of, cases)
    moved = {case.seen["workload_id"] for case in cases}
    for workload in movable:
        booking = booked(view, workload)
        if booking is None or str(workload.id) in moved or _stays(view, workload, booking):
            continue
        case = consider(view, jobs.describe(view, workload, config), config.weights, booking)
        if _is_worth_it(case, config):
            yield proposal_of(case)
            view = taken(case)


def _may_move(view: View, workload: ComputeWorkload) -> bool:
    if workload.status is WorkloadStatus.RUNNING:
        return False
    booking = view.bookings.get(workload.id)
    return booking is None or not (booking.is_by_hand or booking.spans[0].starts_at <= view.now)


def _stays(view: View, workload: ComputeWorkload, booking: Booking) -> bool:
    """Return whether a plan of the last hour leaves the workload where it is booked."""
    place = by_plan.place_of(view, workload)
    if view.plan is None or place is None or view.plan.made_at <= view.now - _FRESH:
        return False
    return (place.data_centre_id, place.spans) == (booking.data_centre_id, booking.spans)


def _is_worth_it(case: Case, config: Optimizing) -> bool:
    """Return whether the new booking beats the one that stands; one that is lost is the orchestrator's.

    What its present room is worth to others is no gain: none of them need come when it goes. Moves that make room
    for others are the plan's.
    """
    chosen, standing = case.placement.chosen, case.standing
    if chosen is None or standing is None or standing.refused_by is not None:
        return False
    present_gbp = standing.terms.total - standing.terms.scarcity
    return present_gbp - chosen.terms.total > config.churn(present_gbp)


PROGRAM: Final = Program(agent_type=AgentType.CARBON_OPTIMIZER, order=40, config=Optimizing, propose=_propose)
