from __future__ import annotations

import json
from datetime import timedelta

import pytest

from pylon.agents import by_hand, reasons
from pylon.agents.contract import Span
from pylon.agents.jobs import Placing
from pylon.ontology.enums import DataCentreStatus, DecisionType
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
CONFIG = Placing()
NOW = views.NOW
D = DecisionType


def spans(*mins: tuple[float, float]) -> list[Span]:
    """Return spans in minutes from now."""
    return [Span(NOW + timedelta(minutes=begins), NOW + timedelta(minutes=ends)) for begins, ends in mins]


def codes(view, *mins, at=A, **values) -> list[str]:
    workload = views.workload("j", **{"origin_dc_id": A.id, **values})
    return [found["code"] for found in by_hand.refusals(view, workload, CONFIG, at.id, spans(*mins))]


def test_what_nothing_forbids_is_not_refused():
    assert codes(views.view(A, B), (0, 120)) == []
    assert codes(views.view(A, B), (300, 420), at=B) == []
    assert codes(views.view(A), (0, 60), (90, 150), interruptible=True) == []


def test_by_hand_a_critical_job_may_be_put_later_than_the_planner_would():
    view = views.view(A)
    workload = views.workload("j", origin_dc_id=A.id, urgency="CRITICAL", deferral_window_mins=None)
    assert by_hand.refusals(view, workload, CONFIG, A.id, spans((600, 720))) == []
    draft = by_hand.chosen(view, workload, CONFIG, D.ACCEPT_WORKLOAD, None, (A.id, spans((600, 720))))
    assert draft.alternatives["chosen"]["refused_by"] is None
    assert "as soon as it can" not in draft.reasoning


@pytest.mark.parametrize(
    ("mins", "values", "code"),
    [
        ([(0, 60), (90, 150)], {}, "interruptible"),
        ([(0, 90)], {}, "duration"),
        ([(-5, 115)], {}, "not_past"),
        ([(0, 120)], {"allowed_region_ids": [5]}, "region"),
        ([(0, 120)], {"power_kw": 11_000}, "power_mw"),
        ([(1441, 1561)], {}, "latest_end"),
        ([(0, 120)], {"carbon_cap_gco2": 99}, "carbon_cap"),
        ([(0, 120)], {"max_price_gbp": 99}, "max_price"),
    ],
)
def test_what_a_limit_forbids_is_refused_by_its_name(mins, values, code):
    assert codes(views.view(A), *mins, **values) == [code]


def test_a_closed_site_is_refused():
    closed = A.model_copy(update={"status": DataCentreStatus.CONSTRAINED})
    assert codes(views.view(closed), (0, 120)) == ["site_open"]


def test_what_it_is_worth_is_for_whoever_chooses_to_say():
    assert codes(views.view(A), (0, 120), value_gbp=1) == []


def test_its_own_booking_is_given_back_first():
    held = views.workload("j", power_kw=9000, status="QUEUED")
    view = views.view(A, workloads=[held], bookings={"j": views.booking(A, NOW, 120)})
    assert by_hand.refusals(view, held, CONFIG, A.id, spans((30, 150))) == []


def chosen(view, decision_type, place=None, why=None, **values):
    workload = views.workload("j", **{"origin_dc_id": A.id, **values})
    draft = by_hand.chosen(view, workload, CONFIG, decision_type, why, place)
    assert by_hand.recompute(view, json.loads(json.dumps(draft.inputs))) == draft
    return draft


def test_a_choice_is_recorded_as_one_with_what_the_planner_would_have_done():
    view = views.view(A, B, carbon={"A": 200, "B": 50})
    draft = chosen(view, D.ACCEPT_WORKLOAD, (A.id, spans((0, 120))), why="A customer waits.")
    assert draft.decision_type is D.ACCEPT_WORKLOAD
    assert draft.target_dc_id == A.id
    assert draft.reasoning.startswith("Chosen by hand. Runs 12:10-14:10 UTC at A")
    assert (
        "The planner's own choice, 12:10-14:10 UTC at B (region 5), is GBP 30.00 cheaper in all." in draft.reasoning
    )
    assert draft.reasoning.endswith("Reason given: A customer waits.")
    assert draft.carbon_saved_gco2 == 0


def test_what_is_put_off_by_hand_has_no_place_and_no_saving():
    draft = chosen(views.view(A), D.DEFER_WORKLOAD, why="Later, please")
    assert (draft.decision_type, draft.target_dc_id) == (D.DEFER_WORKLOAD, None)
    assert (draft.carbon_saved_gco2, draft.cost_saved_gbp) == (None, None)
    assert draft.reasoning == "Asked for by hand. Reason given: Later, please."
    held = views.view(A, workloads=[views.workload("j")], bookings={"j": views.booking(A, NOW, 120)})
    put_off = chosen(held, D.DEFER_WORKLOAD, why="Later!")
    assert put_off.reasoning == (
        "Asked for by hand. It gives up its booking 12:10-14:10 UTC at A (region 12). Reason given: Later!"
    )
    row = {
        "reasoning": draft.reasoning,
        "inputs": draft.inputs,
        "constraints_evaluated": draft.constraints,
        "alternatives_considered": draft.alternatives,
    }
    assert reasons.explain(row)[0] == draft.reasoning
