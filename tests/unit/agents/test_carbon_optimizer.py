from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pylon.agents.carbon_optimizer import PROGRAM, Optimizing
from pylon.agents.contract import Proposal, View
from pylon.ontology import actions
from pylon.ontology.enums import AgentType, DataCentreStatus, DecisionType, WorkloadStatus
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
NOW = views.NOW
AT = views.view(A).half_hour
AGENT = views.agent(AgentType.CARBON_OPTIMIZER)
S = WorkloadStatus


def propose(view: View, config: Optimizing | None = None) -> list[Proposal]:
    found = list(PROGRAM.propose(view, AGENT, config or Optimizing()))
    for proposal in found:
        actions.action(proposal.action).parse(proposal.parameters)
    return found


def booked(starts_at=None, status=S.QUEUED, **signals) -> View:
    """Return a view with one job of 1 MW, booked at A for two hours."""
    workload = views.workload("j", status=status, origin_dc_id=A.id)
    bookings = {"j": views.booking(A, starts_at or AT(2), 120)}
    return views.view(A, B, workloads=[workload], bookings=bookings, **signals)


def test_work_moves_to_what_the_new_signals_make_better():
    (proposal,) = propose(booked(carbon={"A": [300.0] * 20 + [40.0], "B": 300.0}))
    assert proposal.action == "defer_workload"
    assert proposal.draft.decision_type is DecisionType.RENEWABLE_WINDOW
    assert proposal.parameters["starts_at"] == AT(20)
    assert proposal.draft.alternatives["standing"]["spans"][0]["starts_at"] == "2026-11-22T13:00:00Z"
    assert (
        "It replaces the booking 13:00-15:00 UTC at A (region 12), which would now cost" in proposal.draft.reasoning
    )


def test_work_moves_to_another_site():
    (proposal,) = propose(booked(carbon={"A": 300.0, "B": 40.0}))
    assert proposal.action == "shift_workload"
    assert proposal.parameters["dc_id"] == "B"


# The standing booking costs GBP 120 and 0.25 for waiting (from 12:10 to 13:00 at GBP 0.2 an hour: 0.17).
@pytest.mark.parametrize(
    ("price_at_b", "config", "moves"),
    [
        (48.5, Optimizing(), True),  # saves GBP 3.00 and the wait
        (48.9, Optimizing(), False),  # saves 2.20 and the wait: below 2 % of 120.17
        (48.9, Optimizing(churn_share=0.01), True),
        (48.5, Optimizing(churn_gbp=5), False),
        (49.8, Optimizing(churn_share=0, churn_gbp=0.5), True),
        (49.9, Optimizing(churn_share=0, churn_gbp=0.5), False),
    ],
)
def test_work_stays_unless_the_gain_beats_the_churn(price_at_b, config, moves):
    found = propose(booked(price={"A": 50, "B": price_at_b}, carbon=100), config)
    assert bool(found) is moves


def test_what_room_is_worth_to_others_keeps_work_out_and_drives_none_away():
    """B is dearer by GBP 2.40 in money; that room at A is worth 12 to others pays nobody for it."""
    for scarce_site, price_at_b, moves in (("A", 51.0, False), ("A", 45.0, True), ("B", 45.0, False)):
        view = booked(price={"A": 50, "B": price_at_b}, carbon=100)
        scarcity = view.field.scarcity_gbp_mwh.copy()
        scarcity[view.site({"A": A, "B": B}[scarce_site].id)] = 12.0
        found = propose(replace(view, field=replace(view.field, scarcity_gbp_mwh=scarcity)))
        assert bool(found) is moves


@pytest.mark.parametrize("status", [S.DEFERRED_CARBON, S.DEFERRED_PRICE, S.DEFERRED_GRID_STRESS])
def test_deferred_work_with_a_booking_is_looked_at_again(status):
    assert len(propose(booked(status=status, carbon={"A": 300.0, "B": 40.0}))) == 1


def test_work_that_runs_or_is_due_is_left_alone():
    carbon = {"A": 300.0, "B": 40.0}
    assert propose(booked(status=S.RUNNING, starts_at=NOW - timedelta(minutes=5), carbon=carbon)) == []
    assert propose(booked(starts_at=NOW, carbon=carbon)) == []


def test_work_without_a_booking_or_whose_booking_is_lost_is_the_orchestrators():
    waiting = views.workload("j", origin_dc_id=A.id)
    assert propose(views.view(A, B, workloads=[waiting])) == []
    closed = A.model_copy(update={"status": DataCentreStatus.OFFLINE})
    held = views.workload("j", status=S.QUEUED, origin_dc_id=A.id)
    bookings = {"j": views.booking(A, AT(2), 120)}
    assert propose(views.view(closed, B, workloads=[held], bookings=bookings)) == []


def test_jobs_that_move_make_room_for_each_other_and_take_it():
    """Both would have the cheap hours; each frees its own, and there is room for one."""
    held = [views.workload(name, status=S.QUEUED, origin_dc_id=A.id, power_kw=6000) for name in ("j", "k")]
    bookings = {"j": views.booking(A, AT(2), 120), "k": views.booking(A, AT(6), 120)}
    carbon = [300.0] * 20 + [40.0] * 4 + [300.0]
    found = propose(views.view(A, carbon=carbon, workloads=held, bookings=bookings))
    assert [proposal.parameters["starts_at"] for proposal in found].count(AT(20)) == 1


def test_its_own_room_is_given_back_first():
    """A job that fills the site may still move by half an hour."""
    held = views.workload("j", status=S.QUEUED, origin_dc_id=A.id, power_kw=10_000)
    view = views.view(
        A, carbon=[300.0] * 3 + [40.0] * 4 + [300.0], workloads=[held], bookings={"j": views.booking(A, AT(2), 120)}
    )
    (proposal,) = propose(view)
    assert proposal.parameters["starts_at"] == AT(3)


def test_a_second_look_finds_nothing_more():
    view = booked(carbon={"A": [300.0] * 20 + [40.0], "B": 300.0})
    (proposal,) = propose(view)
    again = booked(starts_at=proposal.parameters["starts_at"], carbon={"A": [300.0] * 20 + [40.0], "B": 300.0})
    assert propose(again) == []


def test_what_a_client_has_chosen_stands():
    view = booked(carbon={"A": 300.0, "B": 40.0})
    assert len(propose(view)) == 1
    chosen = {job: replace(booking, is_by_hand=True) for job, booking in view.bookings.items()}
    assert propose(replace(view, bookings=chosen)) == []
