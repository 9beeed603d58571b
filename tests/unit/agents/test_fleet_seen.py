"""What a plan sees of a fleet: which work is its to move, the room that is then free, and each job's limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from pylon.agents import fleet_plan
from pylon.agents._fleet_seen import describe, half_hours_of
from pylon.agents.carbon_optimizer import Optimizing
from pylon.agents.contract import Booking, StandingPlan, View
from pylon.ontology.enums import DataCentreStatus, WorkloadStatus
from pylon.ontology.identity import derived_uuid
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
NOW = views.NOW
CONFIG = Optimizing()


def half_hour(number: int) -> datetime:
    return views.view(A).half_hour(number)


def with_booking(booking: Booking | None = None, site: Any = A, **values: Any) -> View:
    """Return a view with one QUEUED job of two hours, booked at A in the fourth half hour unless told otherwise."""
    held = views.workload("j", **{"status": WorkloadStatus.QUEUED, "origin_dc_id": A.id, **values})
    booked = booking or views.booking(A, half_hour(3), held.duration_mins)
    return views.view(site, B, workloads=[held], bookings={"j": booked})


def row_of(view: View, config: Optimizing = CONFIG) -> dict[str, Any]:
    (row,) = describe(view, config)["jobs"]
    return dict(row)


def test_a_booking_that_may_move_gives_its_room_back_and_is_where_the_job_stands():
    view = with_booking()
    document = describe(view, CONFIG)
    assert document["jobs"][0]["present"] == {"site": view.site(A.id), "slots": [[3, 4]]}
    assert document["sites"][view.site(A.id)]["room_mw"] == [[10.0, 97]]
    assert view.field.room[0, view.site(A.id), 3] == 9, "the view itself is left as it is"


def test_a_booking_in_pieces_stands_in_pieces():
    pieces = views.booking(A, half_hour(2), 60, (half_hour(8), 60))
    assert row_of(with_booking(pieces, interruptible=True))["present"]["slots"] == [[2, 2], [8, 2]]


KEPT = {
    "running": ({"status": WorkloadStatus.RUNNING}, None),
    "critical and may not wait": ({"urgency": "CRITICAL", "deferral_window_mins": None}, None),
    "by hand": ({}, replace(views.booking(A, half_hour(3), 120), is_by_hand=True)),
    "begun": ({}, views.booking(A, half_hour(0), 120)),
    "not in whole half hours": ({}, views.booking(A, half_hour(3) + timedelta(minutes=10), 120)),
    "whole by its count alone": (
        {"duration_mins": 45},
        views.booking(A, half_hour(3) + timedelta(minutes=10), 15, (half_hour(4), 30)),
    ),
    "in pieces of part half hours": (
        {"duration_mins": 45, "interruptible": True},
        views.booking(A, half_hour(3), 15, (half_hour(5), 30)),
    ),
    "begun within a half hour": (
        {"duration_mins": 50},
        views.booking(A, half_hour(3) + timedelta(minutes=10), 50),
    ),
    "over its cap as forecast now": ({"carbon_cap_gco2": 99}, None),
    "dearer than it may be": ({"max_price_gbp": 99}, None),
    "in a region that it does not allow": ({"allowed_region_ids": [5]}, None),
    "too late": ({"deadline": NOW + timedelta(hours=2)}, None),
}


@pytest.mark.parametrize(("values", "booking"), KEPT.values(), ids=KEPT.keys())
def test_work_that_is_not_the_plans_to_move_keeps_its_room(values, booking):
    document = describe(with_booking(booking, **values), CONFIG)
    assert document["jobs"] == []
    assert 9.0 in [value for value, _ in document["sites"][views.view(A, B).site(A.id)]["room_mw"]]


def test_work_at_a_site_that_takes_nothing_new_keeps_its_place():
    constrained = A.model_copy(update={"status": DataCentreStatus.CONSTRAINED})
    document = describe(with_booking(site=constrained), CONFIG)
    assert document["jobs"] == []
    assert document["sites"][views.view(A, B).site(A.id)]["room_mw"] == [[0.0, 97]]


def test_work_whose_site_has_closed_stands_nowhere():
    closed = A.model_copy(update={"status": DataCentreStatus.OFFLINE})
    assert row_of(with_booking(site=closed))["present"] is None


def test_leaving_costs_the_churn():
    view = with_booking()  # 2 MWh at GBP 50 and 200 kg CO2 at GBP 100/t: GBP 120
    assert row_of(view, Optimizing(churn_gbp=0.5, churn_share=0.1))["leaving_gbp"] == 12
    assert row_of(view, Optimizing(churn_gbp=40, churn_share=0.1))["leaving_gbp"] == 40


@pytest.mark.parametrize(
    ("duration_mins", "minutes_left", "end"),
    [(60, 120, 4), (60, 119, 3), (45, 105, 4), (45, 104, 3), (30, 30, 1), (31, 61, 3), (31, 60, 2)],
)
def test_the_last_half_hour_may_be_used_in_part(duration_mins, minutes_left, end):
    """A job may begin in half hour b when 30 b + its minutes are no later than it must have ended."""
    deadline = half_hour(0) + timedelta(minutes=minutes_left)
    waiting = views.workload("j", duration_mins=duration_mins, deadline=deadline, deferral_window_mins=None)
    row = row_of(views.view(A, workloads=[waiting]))
    assert row["end_slot"] == end
    last_begin = end - half_hours_of(duration_mins)
    assert 30 * last_begin + duration_mins <= minutes_left < 30 * (last_begin + 1) + duration_mins


def test_nothing_is_planned_to_end_beyond_the_horizon():
    waiting = views.workload("j", deferral_window_mins=None, duration_mins=60)
    assert row_of(views.view(A, workloads=[waiting]), Optimizing(horizon_hours=6))["end_slot"] == 12


@pytest.mark.parametrize(("now", "first"), [(NOW, 1), (NOW.replace(minute=0), 0)])
def test_a_half_hour_that_has_begun_is_not_planned(now, first):
    document = describe(views.view(A, workloads=[views.workload("j")], now=now), CONFIG)
    assert (document["first_slot"], document["jobs"][0]["first_slot"]) == (first, first)


def test_what_is_always_worth_running_or_is_promised_has_a_worth_beyond_any_price():
    waiting = views.view(A, workloads=[views.workload("j", value_gbp=7)])
    assert row_of(waiting)["value_gbp"] == 7
    assert row_of(views.view(A, workloads=[views.workload("j")]))["value_gbp"] == 1200
    never_lost = Optimizing(lost_compute_gbp_mwh=None)
    assert row_of(views.view(A, workloads=[views.workload("j")]), never_lost)["value_gbp"] == 20_000
    assert row_of(with_booking(value_gbp=7))["value_gbp"] == 20_000


def test_a_site_that_cannot_ramp_within_a_half_hour_is_limited_by_its_other_draw():
    slow = views.site("A", 12, ramp_rate_mw_per_min=0.1, base_load_mw=2)
    held = views.workload("j", status=WorkloadStatus.RUNNING)
    view = views.view(slow, workloads=[held], bookings={"j": views.booking(slow, half_hour(0), 120)})
    (site,) = describe(view, CONFIG)["sites"]
    assert site["ramp_mw"] == 3
    assert site["base_mw"] == [[3.0, 4], [2.0, 93]]
    (quick,) = describe(views.view(views.site("A", 12, ramp_rate_mw_per_min=1)), CONFIG)["sites"]
    assert (quick["ramp_mw"], quick["base_mw"]) == (None, None), "10 MW in 10 minutes never binds"


def test_equal_rows_are_kept_once():
    document = describe(views.view(A, B, price={"A": 50, "B": 60}, carbon=50), CONFIG)
    assert len(document["series"]) == 2
    assert [document["series"][site["carbon"]][0] for site in document["sites"]] == [50, 50]


def test_the_standing_plans_prices_are_moved_to_these_half_hours():
    plan = StandingPlan(
        id=derived_uuid(NOW, "plan"),
        plan_id="P-000001",
        made_at=NOW,
        after_seq=0,
        gap=0.0,
        starts_at=half_hour(0) - timedelta(hours=1),
        places={},
        prices={"power_mw": {A.id: (1.0, 2.0, 3.0, 4.0)}},
    )
    view = replace(views.view(A, B), plan=plan)
    start = describe(view, CONFIG)["start"]
    assert start["power_mw"][view.site(A.id)] == [[3.0, 1], [4.0, 1], [0.0, 95]]
    assert start["power_mw"][view.site(B.id)] == [[0.0, 97]]
    assert describe(views.view(A, B), CONFIG)["start"] is None
    problem = fleet_plan.problem_of(describe(view, CONFIG))
    assert problem.sites.shape == (2, 97)


def test_caps_are_held_against_what_the_intensity_may_be_and_costs_are_not():
    view = with_booking(carbon_cap_gco2=120)
    upper = np.full(view.field.carbon_gco2_kwh.shape, np.nan)
    upper[view.site(A.id)] = 130.0
    held = replace(view, field=replace(view.field, carbon_upper_gco2_kwh=upper))
    assert len(describe(view, CONFIG)["jobs"]) == 1
    assert describe(held, CONFIG)["jobs"] == [], "it could not stay by the plan's own limits"
    problem = fleet_plan.problem_of(describe(held, CONFIG))
    assert problem.sites.cap_gco2_kwh[view.site(A.id), 0] == 130
    assert problem.sites.cap_gco2_kwh[view.site(B.id), 0] == 100
    assert (problem.sites.carbon_gco2_kwh == 100).all()
    assert fleet_plan.problem_of(describe(view, CONFIG)).sites.carbon_upper_gco2_kwh is None
