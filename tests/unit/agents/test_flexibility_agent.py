from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from pylon.agents import flexibility_agent
from pylon.agents.contract import Proposal, View
from pylon.agents.flexibility_agent import PROGRAM, Offering
from pylon.ontology import actions
from pylon.ontology.enums import AgentStatus, AgentType, DataCentreStatus, DecisionType, WorkloadStatus
from tests.doubles import views

A, B = views.site("A", 12, base_load_mw=5), views.site("B", 5, base_load_mw=5)
NOW = views.NOW
AT = views.view(A).half_hour
S = WorkloadStatus
PEAK = [0.3, 0.3, 0.3, 0.3, 0.7, 0.9, 0.9, 0.7, 0.3]  # 14:00 to 16:00
CONFIG = Offering(stress_price_gbp_mwh=0)


def propose(view: View, config: Offering = CONFIG, task: dict[str, Any] | None = None) -> list[Proposal]:
    agent = views.agent(AgentType.FLEXIBILITY_AGENT, current_task=task)
    found = list(PROGRAM.propose(view, agent, config))
    for proposal in found:
        actions.action(proposal.action).parse(proposal.parameters)
        assert flexibility_agent.offer(json.loads(json.dumps(proposal.draft.inputs))) == proposal.draft
    return found


def at_work(*jobs: tuple[str, float], stress=PEAK, price=50.0, site=A, starts_at=None, mins=120, **values) -> View:
    """Return a view with jobs of so many MW booked at a site from 14:00 to 16:00."""
    held = [
        views.workload(
            name,
            **{"status": S.QUEUED, "power_kw": 1000 * mw, "duration_mins": mins, "origin_dc_id": A.id, **values},
        )
        for name, mw in jobs
    ]
    bookings = {job.job_id: views.booking(site, starts_at or AT(4), mins) for job in held}
    return views.view(A, B, stress=stress, price=price, workloads=held, bookings=bookings)


def test_a_critical_job_that_may_not_wait_is_not_offered():
    price = [50.0] * 8 + [60.0]
    given = {"price": {"A": price, "B": 500.0}, "created_at": AT(4), "deferral_window_mins": None}
    assert propose(at_work(("j", 1), urgency="CRITICAL", **given)) == []
    assert len(propose(at_work(("j", 1), urgency="HIGH", **given))) == 1


def test_what_could_run_outside_the_worst_window_is_offered_with_its_cost():
    price = [50.0] * 8 + [60.0]
    view = at_work(("j", 1), price={"A": price, "B": 500.0}, deferral_window_mins=600, created_at=AT(4))
    (proposal,) = propose(view)
    assert proposal.action == "offer_flexibility"
    assert proposal.doing is AgentStatus.NEGOTIATING
    assert proposal.parameters == {
        "mw": 1.0,
        "starts_at": AT(4),
        "ends_at": AT(8),
        "price_gbp_mwh": 10.2,  # GBP 10 more for energy, and two hours of waiting at 0.1 a MWh
        "dc_ids": ["A"],
        "reason": "Grid stress averages 0.80",
    }
    assert proposal.draft.decision_type is DecisionType.NEGOTIATE
    assert proposal.draft.flexibility_contribution_mw == 1
    assert proposal.draft.alternatives["chosen"]["job_ids"] == ["j"]


def test_no_window_is_longer_than_the_longest_event_and_the_worst_part_is_taken():
    (proposal,) = propose(at_work(("j", 1)), Offering(max_event_hours=1))
    assert (proposal.parameters["starts_at"], proposal.parameters["ends_at"]) == (AT(5), AT(7))


def test_power_is_the_mean_over_the_window():
    (proposal,) = propose(at_work(("j", 1), mins=60))
    assert proposal.parameters["mw"] == 0.5


@pytest.mark.parametrize(
    "view",
    [
        at_work(("j", 1), stress=0.59),
        at_work(("j", 1), stress=float("nan")),
        at_work(("j", 1), stress=[0.9, 0.3]),  # the present half hour has begun
        at_work(("j", 1), stress=[0.3] * 25 + [0.9]),  # beyond 12 hours
        at_work(),
        at_work(("j", 1), starts_at=AT(10)),
        at_work(("j", 1), deferral_window_mins=60, created_at=AT(4)),  # it cannot wait until the window is over
        at_work(("j", 1), status=S.RUNNING, starts_at=AT(0), mins=300),
        at_work(("j", 1), allowed_region_ids=[9]),
    ],
)
def test_where_there_is_nothing_to_shed_nothing_is_offered(view):
    assert propose(view) == []


def test_what_runs_and_may_be_interrupted_is_counted_with_what_is_left_of_it():
    view = at_work(("j", 1), status=S.RUNNING, starts_at=AT(0), mins=420, interruptible=True, created_at=AT(0))
    (proposal,) = propose(view)
    assert proposal.parameters["mw"] == 1
    assert proposal.draft.inputs["jobs"][0]["mwh"] == 2


def test_no_more_is_offered_than_the_share_of_the_load():
    view = at_work(("a", 1), ("b", 1), ("c", 1), ("d", 1))
    # 10 MW of base load and 4 MW booked, over two hours: 28 MWh, of which a quarter is 7 MWh.
    (proposal,) = propose(view)
    assert proposal.parameters["mw"] == 3
    assert proposal.draft.constraints["binding"] == "max_flexible_share"
    (all_of_it,) = propose(view, Offering(max_flexible_share=1))
    assert all_of_it.parameters["mw"] == 4


def test_the_cheapest_are_offered_first():
    cheap = views.workload("cheap", status=S.QUEUED, power_kw=3000, origin_dc_id=A.id, migration_cost_gbp=0)
    dear = views.workload("dear", status=S.QUEUED, power_kw=3000, origin_dc_id=A.id, deferral_window_mins=240)
    stuck = dear.model_copy(update={"migration_cost_gbp": cheap.migration_cost_gbp + 300, "job_id": "dear"})
    bookings = {"cheap": views.booking(A, AT(4), 120), "dear": views.booking(A, AT(4), 120)}
    view = views.view(
        A,
        B,
        stress=PEAK,
        price={"A": [90.0] * 4 + [10.0] * 4 + [90.0], "B": 20.0},
        workloads=[cheap, stuck],
        bookings=bookings,
    )
    (proposal,) = propose(view)
    assert proposal.draft.alternatives["chosen"]["job_ids"] == ["cheap"]


def test_a_price_is_never_below_nothing():
    (proposal,) = propose(at_work(("j", 1), price=[90.0] * 8 + [10.0], deferral_window_mins=1440))
    assert proposal.parameters["price_gbp_mwh"] == 0


def test_work_at_a_closed_site_is_not_offered():
    closed = A.model_copy(update={"status": DataCentreStatus.CONSTRAINED})
    held = views.workload("j", status=S.QUEUED)
    view = views.view(closed, B, stress=PEAK, workloads=[held], bookings={"j": views.booking(A, AT(4), 120)})
    assert propose(view) == []


class TestStandingOffer:
    def task(self, proposal: Proposal, **changes: Any) -> dict[str, Any]:
        said = {**proposal.parameters, **changes}
        said |= {name: said[name].isoformat() for name in ("starts_at", "ends_at")}
        return {"action": "offer_flexibility", "parameters": said}

    @pytest.mark.parametrize(
        ("changes", "is_said"),
        [
            ({}, False),
            ({"mw": 1.09}, False),
            ({"mw": 1.2}, True),
            ({"mw": 0.5}, True),
            ({"price_gbp_mwh": 40.0}, True),
            ({"ends_at": AT(7)}, True),
            ({"starts_at": AT(3), "ends_at": AT(9)}, False),
        ],
    )
    def test_a_window_on_offer_is_offered_again_only_when_it_differs(self, changes, is_said):
        view = at_work(("j", 1))
        (before,) = propose(view)
        assert bool(propose(view, task=self.task(before, **changes))) is is_said

    def test_a_task_of_another_kind_is_no_offer(self):
        assert len(propose(at_work(("j", 1)), task={"action": "negotiate_workload"})) == 1


def test_half_an_hour_later_the_same_window_is_still_on_offer():
    view = at_work(("j", 1))
    (before,) = propose(view)
    later = views.view(
        A,
        B,
        stress=PEAK[1:],
        workloads=view.workloads,
        bookings={"j": views.booking(A, AT(4), 120)},
        now=NOW + timedelta(minutes=30),
    )
    task = TestStandingOffer().task(before)
    assert propose(later, task=task) == []
