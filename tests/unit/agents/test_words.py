from __future__ import annotations

import math
from typing import Any

import pytest

from pylon.agents import jobs, reasons
from pylon.agents._words import headline, sentences
from pylon.agents.jobs import Placing
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
CONFIG = Placing()


def told(view: Any, **values: Any) -> str:
    """Return the reason for what is decided about a job of 2 MWh that comes in at A."""
    workload = views.workload("j", **{"origin_dc_id": A.id, **values})
    case = reasons.consider(view, jobs.describe(view, workload, CONFIG), CONFIG.weights)
    draft = reasons.draft_of(case)
    assert headline(draft.decision_type, draft.inputs, draft.constraints, draft.alternatives) == draft.reasoning
    return draft.reasoning


def test_now_and_at_home():
    assert told(views.view(A)) == (
        "Runs 12:10-14:10 UTC at A (region 12), now and at its origin: no other place or time costs less than"
        " GBP 120.00."
    )


def test_another_place_now():
    assert told(views.view(A, B, carbon={"A": 200, "B": 100})) == (
        "Runs 12:10-14:10 UTC at B (region 5) instead of at A (region 12): 100 instead of 200 gCO2/kWh saves 200.00"
        " kg CO2; energy costs the same; in all GBP 20.00 less (carbon +20.00)."
    )


def test_another_place_later_at_a_loss_in_money():
    view = views.view(A, B, carbon={"A": 300, "B": [300.0] * 8 + [10.0]}, price={"A": 50, "B": 55})
    assert told(view, migration_cost_gbp=3) == (
        "Runs 16:00-18:00 UTC at B (region 5) instead of now at A (region 12): 10 instead of 300 gCO2/kWh saves"
        " 580.00 kg CO2; energy and migration cost GBP 13.00 more; in all GBP 44.23 less (energy -10.00,"
        " carbon +58.00, migration -3.00, wait -0.77)."
    )


def test_the_same_place_tomorrow_in_pieces():
    carbon = [300.0] * 26 + [10.0, 10.0, 300.0, 10.0, 10.0, 300.0]
    said = told(views.view(A, carbon=carbon), interruptible=True)
    assert said.startswith(
        "Runs in 2 pieces: Mon 23 Nov 01:00-02:00, 02:30-03:30 UTC, at A (region 12) instead of now: "
    )


def test_another_place_in_pieces():
    carbon = [300.0] * 26 + [10.0, 10.0, 300.0, 10.0, 10.0, 300.0]
    view = views.view(A, B, carbon=carbon, price={"A": 50, "B": 60})
    workload = views.workload("j", interruptible=True, origin_dc_id=A.id)
    draft = reasons.draft_of(reasons.consider(view, jobs.describe(view, workload, CONFIG), CONFIG.weights))
    said = sentences(draft.reasoning, draft.inputs, draft.constraints, draft.alternatives)
    (other,) = (one for one in said if one.startswith("At B"))
    assert other.startswith(
        "At B (region 5) it would best run in 2 pieces: Mon 23 Nov 01:00-02:00, 02:30-03:30 UTC, for GBP "
    )


def test_pieces_on_both_sides_of_midnight_each_have_their_day():
    carbon = [300.0] * 23 + [10.0, 300.0, 10.0, 10.0, 300.0, 10.0, 300.0]
    said = told(views.view(A, carbon=carbon), interruptible=True)
    assert said.startswith("Runs in 3 pieces: 23:30-Mon 23 Nov 00:00, 00:30-01:30, 02:00-02:30 UTC, at A ")


def test_of_many_pieces_the_first_the_last_and_how_long_they_are_together():
    said = told(views.view(A, carbon=[300.0] * 2 + [10.0, 300.0] * 10), interruptible=True, duration_mins=180)
    assert said.startswith(
        "Runs in 6 pieces, the first 13:00-13:30, the last 18:00-18:30 UTC, 3 h in all, at A (region 12) "
    )


def test_a_cleaner_grid_that_a_worse_pue_makes_dirtier_is_said_to_be_that():
    leaky = views.site("B", 5, pue=1.6)
    view = views.view(A, leaky, price={"A": 50, "B": 10}, carbon={"A": 100, "B": 90})
    assert "90 instead of 100 gCO2/kWh, at a PUE of 1.60 instead of 1.00, emits 88.00 kg CO2 more;" in told(view)
    assert "PUE" not in told(views.view(A, B, price={"A": 50, "B": 10}, carbon={"A": 100, "B": 90}))


def test_a_dirtier_grid_that_a_better_pue_makes_cleaner_is_said_to_be_that():
    leaky = views.site("A", 12, pue=1.6)
    view = views.view(leaky, B, carbon={"A": 100, "B": 110})
    assert "110 instead of 100 gCO2/kWh, at a PUE of 1.00 instead of 1.60, saves 100.00 kg CO2;" in told(view)


def test_a_critical_job_that_names_no_end_runs_as_soon_as_it_can_and_says_so():
    view = views.view(A, price=[100.0] * 8 + [1.0])
    said = told(view, urgency="CRITICAL", deferral_window_mins=None)
    assert said.startswith("Runs 12:10-14:10 UTC at A (region 12), now and at its origin")
    assert said.endswith(
        "It is CRITICAL and names neither a deadline nor a deferral window, so it runs as soon as it can."
    )
    assert "CRITICAL" not in told(view, urgency="CRITICAL")
    assert "CRITICAL" not in told(view, urgency="HIGH", deferral_window_mins=None)


def test_without_an_origin():
    assert told(views.view(A), origin_dc_id=None) == (
        "Runs 12:10-14:10 UTC at A (region 12) for GBP 120.00 in all; it has no origin among your sites, so there"
        " is no baseline."
    )


@pytest.mark.parametrize(
    ("view", "values", "said"),
    [
        (
            views.view(A),
            {"max_price_gbp": 60},
            "Does not run at its max_price_gbp of GBP 60.00, which is for its energy alone. It would fit with"
            " max_price_gbp 100.00 for its energy (12:10-14:10 UTC at A (region 12), GBP 120.00 in all): send that"
            " with amend_workload.",
        ),
        (
            views.view(A, price=2000),
            {},
            "Does not run at what it is taken to be worth, GBP 1,200.00, as it names no value_gbp. It"
            " would fit with value_gbp 4020.00 (12:10-14:10 UTC at A (region"
            " 12), GBP 4,020.00 in all): send that with amend_workload.",
        ),
        (
            views.view(A),
            {"value_gbp": 7},
            "Does not run at its value_gbp of GBP 7.00, which is for all that it costs. It would fit"
            " with value_gbp 120.00 (12:10-14:10 UTC at A (region 12), GBP 120.00 in all): send that with"
            " amend_workload.",
        ),
        (
            views.view(A),
            {"carbon_cap_gco2": 80},
            "Waits: no time that ends by Mon 23 Nov 14:10 UTC keeps its mean intensity to its cap of 80 gCO2/kWh as"
            " forecast now. It would fit with carbon_cap_gco2 100 (12:10-14:10 UTC at A (region 12), GBP 120.00 in"
            " all): send that with amend_workload.",
        ),
        (
            views.with_room(views.view(A), 0.5),
            {"deferral_window_mins": 60},
            "Waits: nothing fits that ends by 15:10 UTC: too little power is free (it needs 1 MW of IT power).",
        ),
        (
            views.view(A),
            {"power_kw": 50_000},
            "Rejected: it needs 50 MW of IT power, and the largest site you have, A (region 12), has 10 MW.",
        ),
        (
            views.view(views.site("A", 12, gpu_count=256), views.site("B", 5, gpu_count=64), views.site("C", 13)),
            {"required_gpu_mins": 512 * 120, "allowed_region_ids": [5, 12]},
            "Rejected: it needs 512 GPUs, and the largest site in the regions it allows, A (region 12), has 256. It"
            " would fit with allowed_region_ids 5, 12 and 13 (12:10-14:10 UTC at C (region 13), GBP 120.00 in all):"
            " submit it anew with that in place, under another job_id.",
        ),
        (
            views.view(views.site("A", 12, gpu_count=256), views.site("B", 5, gpu_count=8, total_capacity_mw=90)),
            {"required_gpu_mins": 100 * 120, "power_kw": 20_000},
            "Rejected: no site you have has all that it needs, even empty.",
        ),
        (
            views.view(A),
            {"allowed_region_ids": [9, 14]},
            "Rejected: no site of yours is in region 9 (East Midlands) or region 14 (South East England). It would"
            " fit with allowed_region_ids 9, 12 and 14 (12:10-14:10 UTC at A (region 12), GBP 120.00 in all):"
            " submit it anew with that in place, under another job_id.",
        ),
        (
            views.view(A),
            {"duration_mins": 4000, "deferral_window_mins": None},
            "Rejected: it runs 4,000 minutes, and no more than the next 2,880 are planned. Submit it in parts that"
            " are shorter than that.",
        ),
        (
            views.view(A, half_hours=96),
            {"duration_mins": 2880, "deferral_window_mins": None},
            "Rejected: it runs 2,880 minutes, and no more than the next 2,870 are planned. Submit it in parts that"
            " are shorter than that.",
        ),
        (
            views.with_room(views.view(A, half_hours=96), 0.5),
            {"deferral_window_mins": None},
            "Waits: nothing fits that ends by Tue 24 Nov 12:10 UTC: too little power is free (it needs 1 MW of IT"
            " power).",
        ),
        (
            views.view(A.model_copy(update={"status": "MAINTENANCE"})),
            {"deferral_window_mins": 60},
            "Waits: nothing fits that ends by 15:10 UTC: no site that it allows is ACTIVE.",
        ),
        (
            views.view(),
            {"origin_dc_id": None},
            "Rejected: you have no data centre. Register one with register_data_centre.",
        ),
        (
            views.view(A),
            {"deadline": views.NOW.replace(hour=13)},
            "Rejected: 120 minutes from now end after 13:10 UTC, its deadline. It would fit with deadline"
            " 2026-11-22T14:30:00Z (12:10-14:10 UTC at A (region 12), GBP 120.00 in all): submit it anew with"
            " that in place, under another job_id.",
        ),
        (
            views.view(A),
            {"carbon_cap_gco2": 80, "deferral_window_mins": 0},
            "Rejected: no option that ends by 14:10 UTC is left: its mean carbon intensity would be above its"
            " cap. It would fit with carbon_cap_gco2 100 (12:10-14:10 UTC at A (region 12), GBP 120.00 in all):"
            " submit it anew with that in place, under another job_id.",
        ),
    ],
)
def test_why_nothing_is_booked(view, values, said):
    assert told(view, **values) == said


def test_a_decision_whose_documents_are_of_another_kind_has_its_reason_alone():
    assert sentences("Because.", {"site": {}}, {}, {}) == ["Because."]


def test_an_amendment_with_which_it_could_not_run_is_told_what_would_do_instead():
    workload = views.workload("j", origin_dc_id=A.id, deadline=views.NOW.replace(hour=13))
    case = reasons.consider(views.view(A), jobs.describe(views.view(A), workload, CONFIG), CONFIG.weights)
    assert reasons.refusal(reasons.draft_of(case)) == (
        "Amended so the job could not run: 120 minutes from now end after 13:10 UTC, its deadline. It would fit"
        " with deadline 2026-11-22T14:30:00Z (12:10-14:10 UTC at A (region 12), GBP 120.00 in all): send the same"
        " amendment with that in it. Nothing was changed: your job, and its booking if it has one, are as they"
        " were."
    )


def test_what_nobody_knows_is_compared_with_nothing():
    """The choice keeps to what is known; the baseline, at a site whose prices end early, does not."""
    price = {"A": [50.0] * 2 + [math.nan], "B": 90.0}
    assert told(views.view(A, B, price=price, carbon=100)).endswith(
        "100 instead of 100 gCO2/kWh saves 0.00 kg CO2; what running now at its origin would cost is not known"
        " (energy is not known that far). Running now at its origin was not possible: price or carbon is not"
        " known for the time, while it is for others."
    )
