"""A standing plan is carried out: what can be had together, if it is worth it, each with its decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pylon.agents import by_plan, carbon_optimizer, compute_orchestrator, reasons
from pylon.agents.carbon_optimizer import Optimizing
from pylon.agents.contract import Booking, Place, Proposal, Span, StandingPlan, View
from pylon.ontology import actions
from pylon.ontology.enums import AgentType, DataCentreStatus, DecisionType, WorkloadStatus
from pylon.ontology.fleet import DataCentre
from pylon.ontology.identity import derived_uuid
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
NOW = views.NOW
CONFIG = Optimizing()
CHEAP_LATER = [100.0] * 10 + [20.0] * 4 + [100.0]


def half_hour(number: int) -> datetime:
    return views.view(A).half_hour(number)


def place(at: DataCentre, first: int, mins: int = 120) -> Place:
    return Place(data_centre_id=at.id, spans=(Span(half_hour(first), half_hour(first) + timedelta(minutes=mins)),))


def planned(
    places: Mapping[str, Place],
    *,
    booked: Mapping[str, Booking] | None = None,
    power_kw: Mapping[str, int] | None = None,
    scarce: float = 0.0,
    made_at: datetime = NOW,
    prices: Mapping[str, Mapping[UUID, tuple[float, ...]]] | None = None,
    **values: Any,
) -> View:
    """Return A and B with the jobs of `places`, some of them booked, and a plan that has them there."""
    jobs = [
        views.workload(
            name,
            status=WorkloadStatus.QUEUED if name in (booked or {}) else WorkloadStatus.PENDING,
            origin_dc_id=A.id,
            power_kw=(power_kw or {}).get(name, 1000),
        )
        for name in places
    ]
    view = views.view(A, B, **{"price": CHEAP_LATER, **values}, workloads=jobs, bookings=booked)
    plan = StandingPlan(
        id=derived_uuid(NOW, "plan"),
        plan_id="P-000042",
        made_at=made_at,
        after_seq=0,
        gap=0.0005,
        starts_at=view.starts_at,
        places={one.id: places[one.job_id] for one in jobs},
        prices=prices or {},
    )
    field = replace(view.field, scarcity_gbp_mwh=view.field.scarcity_gbp_mwh + scarce)
    return replace(view, plan=plan, field=field)


def optimized(view: View, config: Optimizing = CONFIG) -> list[Proposal]:
    found = list(carbon_optimizer.PROGRAM.propose(view, views.agent(AgentType.CARBON_OPTIMIZER), config))
    for proposal in found:
        actions.action(proposal.action).parse(proposal.parameters)
    return found


def starts(found: list[Proposal]) -> dict[str, datetime]:
    return {proposal.parameters["job_id"]: proposal.parameters["starts_at"] for proposal in found}


class TestPlaceOf:
    def test_it_is_what_the_plan_says(self):
        view = planned({"j": place(B, 10)})
        assert by_plan.place_of(view, view.workloads[0]) == place(B, 10)

    def test_there_is_none_without_a_plan_at_a_site_that_is_gone_or_once_it_has_begun(self):
        view = planned({"j": place(B, 10)})
        assert by_plan.place_of(replace(view, plan=None), view.workloads[0]) is None
        gone = planned({"j": place(views.site("GONE", 1), 10)})
        assert by_plan.place_of(gone, gone.workloads[0]) is None
        begun = planned({"j": place(B, 0)})
        assert by_plan.place_of(begun, begun.workloads[0]) is None
        assert by_plan.place_of(view, views.workload("unknown")) is None


def oriented(view: View) -> Proposal:
    """Return what the orchestrator does with the one job that waits."""
    agent = views.agent(AgentType.COMPUTE_ORCHESTRATOR)
    (proposal,) = compute_orchestrator.PROGRAM.propose(view, agent, CONFIG)
    return proposal


class TestWaiting:
    @pytest.mark.parametrize("limit", ["power_mw", "gpus", "rise", "fall"])
    def test_the_orchestrator_gives_a_waiting_job_its_place_in_the_plan(self, limit):
        """By itself it would wait for the cheap hours, but others pay for those."""
        worth = (0.0,) * 10 + (0.01,) * 4
        view = planned({"j": place(B, 2)}, prices={limit: {A.id: worth, B.id: worth}})
        proposal = oriented(view)
        assert (proposal.parameters["dc_id"], proposal.parameters["starts_at"]) == ("B", half_hour(2))
        assert proposal.draft.inputs["by_plan"]["plan_id"] == "P-000042"
        assert "Plan P-000042 of the whole fleet, within 0.05 % of the best possible, puts it there." in (
            proposal.draft.reasoning
        )
        assert not proposal.is_joint

    def test_it_gives_it_a_better_place_that_the_plan_puts_no_price_on(self):
        """Running at once uses what is left of a cheap half hour; a plan begins with the next one."""
        now, worth = NOW + timedelta(minutes=15), (0.0,) * 5 + (9.0,) * 9
        prices = {"power_mw": {A.id: worth, B.id: worth}}
        view = planned({"j": place(B, 4)}, prices=prices, price=[20.0, *[30.0] * 15])
        view = replace(view, now=now)
        proposal = oriented(view)
        assert (proposal.parameters["dc_id"], proposal.parameters["starts_at"]) == ("A", now)
        assert "by_plan" not in proposal.draft.inputs
        assert reasons.recompute(view, proposal.draft.inputs) == proposal.draft

    def test_one_booked_between_half_hours_since_is_not_moved_back(self):
        places, leave = {"j": place(B, 10)}, lambda _: -1e9
        for mins, moved in ((0, 1), (7, 0)):
            booked = {"j": views.booking(A, half_hour(2) + timedelta(minutes=mins), 120)}
            view = planned(places, booked=booked)
            assert len(by_plan.moves(view, view.workloads, CONFIG, leave)[0]) == moved

    @pytest.mark.parametrize("status", [DataCentreStatus.CONSTRAINED, DataCentreStatus.OFFLINE])
    def test_a_place_that_cannot_be_had_any_more_is_not_taken(self, status):
        view = planned({"j": place(B, 2)})
        shut = B.model_copy(update={"status": status})
        held = replace(view.field, is_open=view.field.is_open & [one.id != B.id for one in view.sites])
        view = replace(view, sites=tuple(shut if one.id == B.id else one for one in view.sites), field=held)
        proposal = oriented(view)
        assert proposal.parameters["dc_id"] == "A"
        assert "by_plan" not in proposal.draft.inputs


class TestMoves:
    def test_two_that_change_places_both_move(self):
        """Each is where the other is to go, and there is room for one: neither could move first."""
        booked = {"j": views.booking(A, half_hour(10), 120), "k": views.booking(A, half_hour(2), 120)}
        view = planned(
            {"j": place(A, 2), "k": place(A, 10)}, booked=booked, power_kw={"j": 6000, "k": 9000}, scarce=5.0
        )
        found = optimized(view)
        assert starts(found) == {"j": half_hour(2), "k": half_hour(10)}
        assert [proposal.is_joint for proposal in found] == [True, True]
        told = [proposal.draft.inputs["by_plan"] for proposal in found]
        assert [(one["number"], one["of"]) for one in told] == [(1, 2), (2, 2)]

    def test_nothing_moves_when_it_saves_less_than_leaving_costs(self):
        booked = {"j": views.booking(A, half_hour(10), 120), "k": views.booking(A, half_hour(2), 120)}
        places = {"j": place(A, 2), "k": place(A, 10)}
        view = planned(places, booked=booked, power_kw={"j": 6000, "k": 6500})  # GBP 80 less
        for churn_gbp, count in ((39, 2), (41, 0)):
            found, after = by_plan.moves(view, view.workloads, CONFIG, lambda _, gbp=churn_gbp: gbp)
            assert len(found) == count
            assert (after is view) == (count == 0)

    def test_one_whose_place_is_gone_stays_and_so_does_what_needs_its_room(self):
        """Of j and k as above j's place is taken by now: then k has no room either, and l moves all the same."""
        booked = {
            "j": views.booking(A, half_hour(10), 120),
            "k": views.booking(A, half_hour(2), 120),
            "l": views.booking(B, half_hour(2), 120),
        }
        places = {"j": place(A, 2), "k": place(A, 10), "l": place(B, 10)}
        view = planned(places, booked=booked, power_kw={"j": 6000, "k": 9000})
        view.field.room[0, view.site(A.id), 5] -= 8
        assert starts(optimized(view)) == {"l": half_hour(10)}

    @pytest.mark.parametrize("values", [{"status": WorkloadStatus.RUNNING}, {}])
    def test_what_runs_or_a_client_chose_stands(self, values):
        booked = {"j": views.booking(A, half_hour(2), 120)}
        view = planned({"j": place(A, 10)}, booked=booked)
        assert len(optimized(view)) == 1
        if values:
            view = replace(view, workloads=tuple(one.model_copy(update=values) for one in view.workloads))
        else:
            by_hand = {one: replace(held, is_by_hand=True) for one, held in view.bookings.items()}
            view = replace(view, bookings=by_hand)
        assert optimized(view) == []

    def test_what_a_fresh_plan_leaves_stays_and_an_old_plan_is_no_reason_to_stay(self):
        booked = {"j": views.booking(A, half_hour(2), 120)}
        places = {"j": place(A, 2)}  # where it stands; by itself it would go to the cheap hours
        assert optimized(planned(places, booked=booked)) == []
        old = planned(places, booked=booked, made_at=NOW - timedelta(hours=1))
        assert starts(optimized(old)) == {"j": half_hour(10)}

    def test_what_the_plan_does_not_know_is_looked_at_by_itself(self):
        booked = {"j": views.booking(A, half_hour(2), 120)}
        view = planned({"j": place(A, 2)}, booked=booked)
        assert view.plan is not None
        (proposal,) = optimized(replace(view, plan=replace(view.plan, places={})))
        assert proposal.parameters["starts_at"] == half_hour(10)
        assert "by_plan" not in proposal.draft.inputs

    def test_each_is_considered_with_the_room_of_all_that_leave_and_of_those_before_it(self):
        booked = {"j": views.booking(A, half_hour(10), 120), "k": views.booking(A, half_hour(2), 120)}
        view = planned({"j": place(A, 2), "k": place(A, 10)}, booked=booked, power_kw={"j": 6000, "k": 9000})
        cases, after = by_plan.moves(view, view.workloads, CONFIG, CONFIG.churn)
        row = view.site(A.id)
        room = {case.seen["job_id"]: case.view.field.room[0, row].tolist() for case in cases}
        first, second = (case.seen["job_id"] for case in cases)
        assert set(room[first]) == {10}
        assert set(room[second]) == {10, 4 if first == "j" else 1}
        assert sorted(set(after.field.room[0, row].tolist())) == [1, 4, 10]
        assert set(view.field.room[0, row].tolist()) == {1, 4, 10}, "the view itself is left as it is"

    def test_a_waiting_job_may_have_room_that_another_leaves(self):
        booked = {"j": views.booking(A, half_hour(2), 120)}
        view = planned({"j": place(A, 10), "w": place(A, 2)}, booked=booked, power_kw={"j": 6000, "w": 9000})
        assert starts(optimized(view)) == {"j": half_hour(10), "w": half_hour(2)}

    def test_what_does_not_run_pays_for_no_move_that_it_does_not_need(self):
        """j would go from the cheap hours to dear ones; w, always worth running, has its place without that."""
        booked = {"j": views.booking(A, half_hour(10), 120)}
        view = planned({"j": place(A, 2), "w": place(B, 10)}, booked=booked)
        assert starts(optimized(view)) == {"w": half_hour(10)}
        needed = planned({"j": place(A, 2), "w": place(A, 10)}, booked=booked, power_kw={"j": 6000, "w": 9000})
        assert starts(optimized(needed)) == {"j": half_hour(2), "w": half_hour(10)}

    def test_an_old_plan_moves_no_booking(self):
        booked = {"j": views.booking(A, half_hour(2), 120)}
        places = {"j": place(A, 10), "w": place(B, 10)}
        for hours, moved in ((5, {"j", "w"}), (6, {"w"})):
            view = planned(places, booked=booked, made_at=NOW - timedelta(hours=hours))
            cases, _ = by_plan.moves(view, view.workloads, CONFIG, CONFIG.churn)
            assert {case.seen["job_id"] for case in cases} == moved

    def test_the_decision_is_of_the_type_that_its_place_makes_it_and_says_what_room_is_worth(self):
        booked = {"j": views.booking(A, half_hour(2), 120)}
        (proposal,) = optimized(planned({"j": place(B, 10)}, booked=booked, scarce=12.0))
        draft = proposal.draft
        assert (proposal.action, draft.decision_type) == ("shift_workload", DecisionType.SHIFT_REGION)
        assert draft.alternatives["chosen"]["dc_id"] == "B"
        assert draft.alternatives["standing"]["dc_id"] == "A"
        assert draft.alternatives["others"], "what it might have been by itself is there as always"
        assert "room is worth GBP 12.00/MWh there then" in draft.reasoning

    def test_a_case_is_made_again_from_its_inputs(self):
        booked = {"j": views.booking(A, half_hour(2), 120)}
        view = planned({"j": place(B, 10)}, booked=booked)
        (proposal,) = optimized(view)
        again = reasons.recompute(view, proposal.draft.inputs)
        assert again == proposal.draft
