from __future__ import annotations

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
    assert said.startswith("Runs in 2 pieces Mon 23 Nov 01:00-03:30 UTC at A (region 12) instead of now: ")


def test_without_an_origin():
    assert told(views.view(A), origin_dc_id=None) == (
        "Runs 12:10-14:10 UTC at A (region 12) for GBP 120.00 in all; it names no origin here, so there is no"
        " baseline."
    )


@pytest.mark.parametrize(
    ("view", "values", "said"),
    [
        (
            views.view(A),
            {"max_price_gbp": 60},
            "Does not run at its max_price_gbp of GBP 60.00: the least that lets it through is GBP 100.00,"
            " 12:10-14:10 UTC at A (region 12).",
        ),
        (
            views.view(A),
            {"carbon_cap_gco2": 80},
            "Waits: no time that ends by Mon 23 Nov 14:10 UTC keeps its mean intensity to its cap of 80 gCO2/kWh as"
            " forecast now.",
        ),
        (
            views.with_room(views.view(A), 0.5),
            {"deferral_window_mins": 60},
            "Waits: nothing fits that ends by 15:10 UTC; what lacks is free power.",
        ),
        (
            views.view(A),
            {"power_kw": 50_000},
            "Rejected: no site in the regions it allows is large enough for it, even empty.",
        ),
        (
            views.view(A),
            {"deadline": views.NOW.replace(hour=13)},
            "Rejected: 120 minutes from now end after 13:10 UTC, its deadline.",
        ),
        (
            views.view(A),
            {"carbon_cap_gco2": 80, "deferral_window_mins": 0},
            "Rejected: no option that ends by 14:10 UTC is left; the last were forbidden by its carbon cap.",
        ),
    ],
)
def test_why_nothing_is_booked(view, values, said):
    assert told(view, **values) == said


def test_a_decision_whose_documents_are_of_another_kind_has_its_reason_alone():
    assert sentences("Because.", {"site": {}}, {}, {}) == ["Because."]
