"""Carbon optimizer: moves booked work that has not started when the newest signals make it worth the change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field as Ranged

from pylon.agents import jobs
from pylon.agents.compute_orchestrator import booked, proposal_of, taken
from pylon.agents.contract import Program, Proposal, View
from pylon.agents.jobs import Placing, Weight
from pylon.agents.reasons import Case, consider
from pylon.ontology.agency import Agent
from pylon.ontology.enums import AgentType

__all__ = ["PROGRAM", "Optimizing"]


class Optimizing(Placing):
    """What an agent that moves booked work weighs, and how much better a new booking must be."""

    churn_gbp: Weight = 0.5
    """A new booking must cost less by more than this, in GBP,"""
    churn_share: Annotated[float, Ranged(ge=0, le=1)] = 0.02
    """and by more than this share of what the present one costs."""


def _propose(view: View, agent: Agent, config: Optimizing) -> Iterator[Proposal]:  # noqa: ARG001  every program's form
    """Yield a new booking for every job that has one ahead of it and is better off elsewhere or at another time.

    One that a client has chosen stands.
    """
    for workload in sorted(view.workloads, key=lambda one: one.id):
        booking = booked(view, workload)
        if booking is None or booking.is_by_hand or booking.spans[0].starts_at <= view.now:
            continue
        case = consider(view, jobs.describe(view, workload, config), config.weights, booking)
        if _is_worth_it(case, config):
            yield proposal_of(case)
            view = taken(case)


def _is_worth_it(case: Case, config: Optimizing) -> bool:
    """Return whether the best booking now beats the one that stands; one that is lost is the orchestrator's."""
    chosen, standing = case.placement.chosen, case.standing
    if chosen is None or standing is None or standing.refused_by is not None:
        return False
    gain = standing.terms.total - chosen.terms.total
    return gain > max(config.churn_gbp, config.churn_share * abs(standing.terms.total))


PROGRAM: Final = Program(agent_type=AgentType.CARBON_OPTIMIZER, order=40, config=Optimizing, propose=_propose)
