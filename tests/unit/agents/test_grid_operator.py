from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest

from pylon.agents import grid_operator
from pylon.agents.contract import Proposal, View
from pylon.agents.grid_operator import PROGRAM, Guarding
from pylon.ontology import actions
from pylon.ontology.enums import AgentType, DataCentreStatus, DecisionType, WorkloadStatus
from tests.doubles import views

A = views.site("A", 12, base_load_mw=2, min_load_percentage=10, flexibility_rating=0.5)
NOW = views.NOW
AT = views.view(A).half_hour
AGENT = views.agent(AgentType.GRID_OPERATOR)
CRITICAL = [0.2, 0.2, 0.85, 0.95, 0.85, 0.2]
DECISION, CLIENTS, OTHERS = (UUID(int=number) for number in (1, 2, 3))
D, S = DecisionType, WorkloadStatus


def propose(view: View, config: Guarding | None = None) -> list[Proposal]:
    found = list(PROGRAM.propose(view, AGENT, config or Guarding()))
    for proposal in found:
        actions.action(proposal.action).parse(proposal.parameters)
        draft = proposal.draft
        make = grid_operator.scale_down if draft.decision_type is D.SCALE_DOWN else grid_operator.scale_up
        assert make(json.loads(json.dumps(draft.inputs))) == draft, "it recomputes from what it says it saw"
    return found


def caps_of(*limits, **more) -> View:
    """Return a view with limits; those that DECISION set are this agent's."""
    return views.view(A, limits=limits, deciders={DECISION: AGENT.id, CLIENTS: None, OTHERS: UUID(int=7)}, **more)


def at_work(*, site=A, mw: float = 4, status: WorkloadStatus = S.QUEUED, **more) -> View:
    """Return a view with work of so many MW booked at the site from 13:00 to 15:00."""
    held = views.workload("j", status=status, power_kw=1000 * mw)
    return views.view(site, workloads=[held], bookings={"j": views.booking(site, AT(2), 120)}, **more)


def cap(mw: float = 1, starts_at=None, ends_at=None, reason="Grid stress 0.95", decision_id=DECISION):
    return views.limit(A, mw, starts_at or AT(2), ends_at or AT(5), reason=reason, decision_id=decision_id)


class TestScaleDown:
    def test_a_site_is_capped_at_what_stays_after_its_flexible_share(self):
        (proposal,) = propose(at_work(stress=CRITICAL))
        assert proposal.action == "scale_data_centre"
        assert proposal.draft.decision_type is D.SCALE_DOWN
        assert proposal.parameters == {
            "dc_id": "A",
            "max_power_mw": 1.0,  # 4 MW scheduled, less half of 2 + 4
            "starts_at": AT(2),
            "ends_at": AT(5),
            "reason": "Grid stress 0.95",
        }
        assert proposal.draft.flexibility_contribution_mw == 3
        assert proposal.draft.source_dc_id == A.id

    @pytest.mark.parametrize(
        ("changes", "capped_mw", "binding"),
        [
            ({}, 1.0, "flexibility_rating"),
            ({"min_load_percentage": 45}, 2.5, "min_load_percentage"),  # 4.5 MW in all
            ({"flexibility_rating": 1}, 0.0, "zero"),
        ],
    )
    def test_a_cap_is_never_below_what_the_site_must_draw(self, changes, capped_mw, binding):
        site = A.model_copy(
            update={name: views.site("x", 1, **{name: value}).model_dump()[name] for name, value in changes.items()}
        )
        (proposal,) = propose(at_work(site=site, stress=CRITICAL))
        assert proposal.parameters["max_power_mw"] == capped_mw
        assert proposal.draft.constraints["binding"] == binding

    def test_what_runs_already_is_not_capped_away(self):
        assert propose(at_work(status=S.RUNNING, stress=CRITICAL)) == []

    def test_in_the_present_half_hour_a_cap_begins_now(self):
        (proposal,) = propose(
            views.view(
                A,
                workloads=[views.workload("j", status=S.QUEUED, power_kw=4000)],
                bookings={"j": views.booking(A, NOW, 120)},
                stress=[0.9, 0.9, 0.1],
            )
        )
        assert (proposal.parameters["starts_at"], proposal.parameters["ends_at"]) == (NOW, AT(2))

    @pytest.mark.parametrize(
        "view",
        [
            at_work(stress=0.79),
            at_work(stress=float("nan")),
            at_work(stress=[0.2] * 8 + [0.95]),  # four hours ahead is as far as it looks
            at_work(site=A.model_copy(update={"flexibility_rating": A.flexibility_rating * 0}), stress=CRITICAL),
            at_work(site=A.model_copy(update={"status": DataCentreStatus.MAINTENANCE}), stress=CRITICAL),
            at_work(mw=0, stress=CRITICAL),
        ],
    )
    def test_otherwise_nothing_is_capped(self, view):
        assert propose(view) == []

    def test_what_is_capped_already_is_not_capped_again(self):
        assert propose(at_work(stress=CRITICAL, limits=[cap()], deciders={DECISION: AGENT.id})) == []

    def test_when_distress_lasts_longer_the_rest_is_capped_too(self):
        (proposal,) = propose(at_work(stress=CRITICAL, limits=[cap(ends_at=AT(4))], deciders={DECISION: AGENT.id}))
        assert (proposal.parameters["starts_at"], proposal.parameters["ends_at"]) == (AT(4), AT(5))

    def test_the_reason_names_simulated_stress(self):
        (proposal,) = propose(at_work(stress=CRITICAL, simulated=["price", "stress"]))
        assert proposal.draft.reasoning.endswith("Rests on simulated stress.")
        assert proposal.draft.inputs["simulated"] == ["stress"]


class TestScaleUp:
    def held(self, stress, *limits, **more) -> list[Proposal]:
        return propose(caps_of(*limits, stress=stress, **more))

    def test_a_cap_is_lifted_when_the_rest_of_its_time_is_calm(self):
        (proposal,) = self.held([0.5], cap(starts_at=NOW - timedelta(hours=1)))
        assert proposal.draft.decision_type is D.SCALE_UP
        assert proposal.parameters == {
            "dc_id": "A",
            "max_power_mw": None,
            "limit_ids": [cap(starts_at=NOW - timedelta(hours=1)).id],
            "reason": "Grid stress is over",
        }
        assert proposal.draft.source_dc_id == A.id

    def test_a_cap_in_force_stays_while_alert_stress_is_ahead(self):
        assert self.held([0.5, 0.5, 0.5, 0.65, 0.5], cap(starts_at=NOW - timedelta(hours=1))) == []

    def test_a_cap_to_come_is_lifted_once_its_time_is_not_critical(self):
        assert len(self.held([0.5, 0.5, 0.65, 0.7, 0.5], cap())) == 1
        assert self.held([0.5, 0.5, 0.65, 0.8, 0.5], cap()) == []

    def test_a_cap_without_an_end_is_judged_as_far_as_the_agent_looks(self):
        endless = views.limit(A, 1, NOW - timedelta(hours=1), None, reason="Grid stress 0.9", decision_id=DECISION)
        assert len(self.held([0.5] * 8 + [0.9], endless)) == 1
        assert self.held([0.5] * 7 + [0.9], endless) == []

    def test_unknown_stress_is_no_calm(self):
        assert self.held([0.5, 0.5, float("nan"), 0.5], cap(starts_at=NOW - timedelta(hours=1))) == []

    @pytest.mark.parametrize("decision_id", [CLIENTS, OTHERS, None])
    def test_what_somebody_else_set_is_not_lifted_whatever_its_reason_says(self, decision_id):
        assert self.held([0.1], cap(reason="Grid stress exercise", decision_id=decision_id)) == []

    def test_beside_what_somebody_else_set_its_own_alone_is_lifted(self):
        others = cap(starts_at=AT(7), ends_at=AT(9), reason="Repairs", decision_id=CLIENTS)
        (proposal,) = self.held([0.1], cap(), others)
        assert proposal.parameters["limit_ids"] == [cap().id]

    def test_of_two_caps_of_its_own_the_one_that_is_still_called_for_stays(self):
        needed = cap(starts_at=AT(6), ends_at=AT(7))
        (proposal,) = self.held([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.1], cap(), needed)
        assert proposal.parameters["limit_ids"] == [cap().id]

    def test_a_blackout_beside_a_cap_of_its_own_does_not_keep_the_cap(self):
        blackout = views.limit(A, 0, AT(9), AT(12), reason="Repairs")
        assert len(self.held([0.1], cap(), blackout)) == 1

    def test_a_cap_that_ends_within_the_half_hour_ends_by_itself(self):
        assert self.held([0.1], cap(starts_at=NOW - timedelta(hours=1), ends_at=AT(1))) == []
