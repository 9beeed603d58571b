from __future__ import annotations

import math
import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pylon.agents import jobs, reasons
from pylon.agents.contract import View
from pylon.agents.jobs import Placing
from pylon.agents.reasons import Case
from pylon.ontology.actions import ACTIONS
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DecisionType
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5, pue=1.3)
CONFIG = Placing()
SINGLE = ("max_price_gbp", "value_gbp", "carbon_cap_gco2", "deadline", "deferral_window_mins", "allowed_region_ids")


def considered(view: View, workload: ComputeWorkload) -> Case:
    return reasons.consider(view, jobs.describe(view, workload, CONFIG), CONFIG.weights)


def loosenings(view: View, **values: Any) -> list[dict[str, Any]]:
    workload = views.workload("j", **{"origin_dc_id": A.id, **values})
    found: list[dict[str, Any]] = reasons.draft_of(considered(view, workload)).alternatives["loosenings"]
    return found


def changes(view: View, **values: Any) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in one["parameters"].items() if name != "job_id"}
        for one in loosenings(view, **values)
    ]


def amended(workload: ComputeWorkload, parameters: dict[str, Any]) -> ComputeWorkload:
    """Return a workload as the action would leave it."""
    given = ACTIONS["amend_workload"].parse({"job_id": workload.job_id, **parameters})
    return workload.model_copy(update=given.changed())  # type: ignore[attr-defined]


def a_bit_tighter(name: str, value: Any, now: ComputeWorkload) -> Any:
    if name == "deadline":
        return jobs.moment(value) - timedelta(minutes=30)
    if name == "allowed_region_ids":
        return now.allowed_region_ids
    return value - {"carbon_cap_gco2": 1, "deferral_window_mins": 30}.get(name, 0.01)


def test_what_fits_needs_no_loosening():
    assert loosenings(views.view(A)) == []


def test_each_limit_that_would_do_by_itself_is_named_and_the_cheapest_comes_first():
    view = views.view(A, B, price={"A": [90.0] * 12 + [20.0], "B": 40.0}, carbon={"A": 200, "B": 100})
    found = loosenings(view, max_price_gbp=60, deferral_window_mins=60, allowed_region_ids=[12])
    assert [one["parameters"] for one in found] == [
        {"job_id": "j", "deferral_window_mins": 350},
        {"job_id": "j", "max_price_gbp": 180.0},
    ]
    assert [one["action"] for one in found] == ["amend_workload"] * 2
    totals = [one["option"]["total_gbp"] for one in found]
    assert totals == sorted(totals)
    assert found[1]["option"]["terms"]["energy_gbp"] == 180


def test_both_ends_that_forbid_a_later_one_are_changed_together():
    view = views.view(A, price=[90.0] * 12 + [20.0])
    ends = {"deadline": views.NOW + timedelta(hours=3), "deferral_window_mins": 0}
    found = changes(view, max_price_gbp=60, **ends)
    assert {"deadline": "2026-11-22T20:00:00Z", "deferral_window_mins": 350} in found


def test_a_job_that_would_start_at_once_is_given_time_to_say_so():
    late = views.view(A, now=views.NOW.replace(minute=28))
    early = {"deadline": views.NOW + timedelta(minutes=60), "created_at": late.now}
    assert changes(late, **early) == [{"deadline": "2026-11-22T15:00:00Z"}]


def test_limits_that_only_do_together_are_loosened_together():
    found = changes(views.view(A), max_price_gbp=60, carbon_cap_gco2=80, deadline=views.NOW + timedelta(hours=1))
    assert found == [{"max_price_gbp": 100.0, "carbon_cap_gco2": 100, "deadline": "2026-11-22T14:30:00Z"}]


def test_a_cap_on_carbon_that_is_not_known_is_lifted():
    (found,) = loosenings(views.view(A, carbon=math.nan), carbon_cap_gco2=80)
    assert found["parameters"] == {"job_id": "j", "carbon_cap_gco2": None}
    said = reasons.draft_of(
        considered(views.view(A, carbon=math.nan), views.workload("j", carbon_cap_gco2=80))
    ).reasoning
    assert "It would fit with carbon_cap_gco2 null (12:10-14:10 UTC at A" in said


def test_where_more_of_both_sums_is_needed_both_are_named():
    assert changes(views.view(A), max_price_gbp=60, value_gbp=70) == [{"max_price_gbp": 100.0, "value_gbp": 120.0}]


def test_what_no_limit_of_its_own_stops_is_not_helped_by_loosening_them():
    assert loosenings(views.with_room(views.view(A), 0.5), carbon_cap_gco2=300, max_price_gbp=500) == []
    assert loosenings(views.view(A), power_kw=50_000, max_price_gbp=1) == []
    assert loosenings(views.view(A), duration_mins=60 * 72, power_kw=10) == []


def test_what_a_critical_job_would_get_is_what_it_is_told():
    """It does not wait, so what loosening a limit lets through is the earliest, not the cheapest."""
    view = views.view(A, B, price={"A": [90.0] * 12 + [20.0], "B": [95.0] * 12 + [10.0]})
    urgent = {"urgency": "CRITICAL", "deferral_window_mins": None, "origin_dc_id": A.id}
    workload = views.workload("j", **urgent, carbon_cap_gco2=50, allowed_region_ids=[12])
    (found,) = reasons.draft_of(considered(view, workload)).alternatives["loosenings"]
    assert found["parameters"] == {"job_id": "j", "carbon_cap_gco2": 100}
    chosen = considered(view, amended(workload, {"carbon_cap_gco2": 100})).placement.chosen
    assert chosen is not None
    assert found["option"]["spans"][0]["starts_at"] == jobs.instant(views.NOW)
    assert found["option"]["total_gbp"] == pytest.approx(chosen.terms.total)


def test_of_limits_that_are_loosened_together_each_is_needed():
    """The cheapest of all is in another region; that is no reason to change the region too."""
    view = views.view(A, B, price={"A": 90.0, "B": 20.0})
    found = changes(view, max_price_gbp=10, carbon_cap_gco2=80, deferral_window_mins=60, allowed_region_ids=[12])
    assert found == [{"max_price_gbp": 180.0, "carbon_cap_gco2": 100}]


def test_one_that_is_turned_down_is_to_be_submitted_anew():
    (found,) = loosenings(views.view(A), deadline=views.NOW + timedelta(hours=1))
    assert (found["action"], found["parameters"]) == ("submit_workload", {"deadline": "2026-11-22T14:30:00Z"})


@pytest.mark.parametrize("is_interruptible", [False, True])
def test_what_is_named_does_and_a_little_less_does_not(is_interruptible):
    draw = random.Random(20 + is_interruptible)
    named: Counter[str] = Counter()
    types: Counter[DecisionType] = Counter()
    for _ in range(160):
        view, workload = a_case(draw, is_interruptible)
        draft = reasons.draft_of(considered(view, workload))
        types[draft.decision_type] += 1
        for one in draft.alternatives["loosenings"]:
            parameters = {name: value for name, value in one["parameters"].items() if name in SINGLE}
            named.update(list(parameters))
            chosen = considered(view, amended(workload, parameters)).placement.chosen
            assert chosen is not None, (workload, parameters)
            assert round(chosen.terms.total, 4) == pytest.approx(one["option"]["total_gbp"], abs=1e-4)
            if len(parameters) == 1:
                ((name, value),) = parameters.items()
                tighter = workload.model_copy(update={name: a_bit_tighter(name, value, workload)})
                assert considered(view, tighter).placement.chosen is None, (workload, parameters)
    assert set(named) == set(SINGLE), named
    assert {DecisionType.NEGOTIATE, DecisionType.DEFER_WORKLOAD, DecisionType.REJECT_WORKLOAD} <= set(types), types


def a_case(draw: random.Random, is_interruptible: bool) -> tuple[View, ComputeWorkload]:
    def series(least: int, most: int) -> list[float]:
        return [float(draw.randrange(least, most)) for _ in range(20)]

    view = views.view(
        A,
        B,
        price={"A": series(20, 90), "B": series(10, 200)},
        carbon={"A": series(50, 300), "B": series(20, 100)},
    )
    duration_mins = draw.choice((30, 90, 150))
    return view, views.workload(
        "j",
        origin_dc_id=A.id,
        interruptible=is_interruptible,
        duration_mins=duration_mins,
        deferral_window_mins=draw.choice((None, None, 0, 60, 240)),
        urgency=draw.choice(("MEDIUM", "MEDIUM", "CRITICAL")),
        deadline=draw.choice((None, views.NOW + timedelta(minutes=duration_mins + draw.randrange(-60, 200)))),
        carbon_cap_gco2=draw.choice((None, 30, 80)),
        max_price_gbp=draw.choice((None, Decimal(20), Decimal(60))),
        value_gbp=draw.choice((None, Decimal(15), Decimal(80))),
        allowed_region_ids=draw.choice((None, [12], [5], [9])),
    )
