"""The plan of a fleet from a document alone: the same again, in whole half hours, within every limit."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from pylon.agents import fleet_plan
from pylon.agents._fleet_unmoved import unmoved_of
from pylon.agents.carbon_optimizer import Optimizing
from pylon.agents.contract import View
from pylon.agents.standing import unfolded
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.enums import DataCentreStatus
from pylon.planning import fleet, joint
from tests.doubles import views

A, B = views.site("A", 12, gpu_count=8), views.site("B", 5, pue=1.25)
NOW = views.NOW
CONFIG = Optimizing()
PRICE = [50.0 + 10 * (t % 7) for t in range(97)]


def half_hour(number: int) -> datetime:
    return views.view(A).half_hour(number)


def busy(seed: int = 1, count: int = 40) -> View:
    """Return two sites with more work than fits in the cheap hours, some of it booked."""
    draw = random.Random(seed)
    held = [
        views.workload(
            f"j{number}",
            duration_mins=draw.choice((30, 45, 60, 137)),
            power_kw=draw.choice((500, 1000, 3000)),
            interruptible=draw.random() < 0.5,
            origin_dc_id=draw.choice((A.id, B.id)),
            migration_cost_gbp=draw.choice((0, 5)),
            deferral_window_mins=draw.choice((240, 600)),
        )
        for number in range(count)
    ]
    bookings = {
        one.job_id: views.booking(B, half_hour(1 + number % 10), one.duration_mins)
        for number, one in enumerate(held[: count // 4])
    }
    return views.view(A, B, price=PRICE, workloads=held, bookings=bookings)


def planned(view: View, config: Optimizing = CONFIG, **changes: Any) -> dict[str, Any]:
    return fleet_plan.work_out({**fleet_plan.describe(view, config), **changes})


def test_a_document_that_was_kept_gives_the_same_problem_and_the_same_outcome():
    document = fleet_plan.describe(busy(), CONFIG)
    kept = json.loads(canonical_bytes(document))
    assert canonical_bytes(kept) == canonical_bytes(document)
    first, again = fleet_plan.problem_of(document), fleet_plan.problem_of(kept)
    for part in ("sites", "jobs"):
        for name in type(getattr(first, part)).__slots__:
            one, other = getattr(getattr(first, part), name), getattr(getattr(again, part), name)
            if isinstance(one, np.ndarray):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)
    assert canonical_bytes(fleet_plan.work_out(kept)) == canonical_bytes(fleet_plan.work_out(document))


def test_the_order_in_which_workloads_are_seen_does_not_matter():
    view = busy()
    turned = views.view(
        A,
        B,
        price=PRICE,
        workloads=view.workloads[::-1],
        bookings={one.job_id: view.bookings[one.id] for one in view.workloads if one.id in view.bookings},
    )
    assert canonical_bytes(fleet_plan.describe(turned, CONFIG)) == canonical_bytes(
        fleet_plan.describe(view, CONFIG)
    )


def test_an_outcome_keeps_to_the_limits_and_its_bound_is_that_of_its_prices():
    document = fleet_plan.describe(busy(), CONFIG)
    problem, outcome = fleet_plan.problem_of(document), fleet_plan.work_out(document)
    assert fleet.check(problem, fleet.plan(problem)) == ()
    rows = {
        limit: np.array([unfolded(by_site[site["dc_id"]]) for site in document["sites"]])
        for limit, by_site in outcome["prices"].items()
    }
    prices = fleet.Prices(
        power_gbp_mwh=rows["power_mw"],
        gpu_gbp_hour=rows["gpus"],
        rise_gbp_mwh=rows["rise"],
        fall_gbp_mwh=rows["fall"],
    )
    assert outcome["is_bound_by_solver"]  # two sites: HiGHS closes the gap that prices leave
    assert fleet.bound(problem, prices) < outcome["bound_gbp"] - 1
    assert outcome["gap"] < 0.0001
    assert outcome["bound_gbp"] <= outcome["cost_gbp"] == pytest.approx(sum(outcome["cost"].values()), abs=1e-4)
    assert outcome["gap"] == pytest.approx(outcome["gap_gbp"] / outcome["bound_gbp"], abs=1e-8)
    assert any(row["price"] > 0 for row in outcome["binding"])
    assert outcome["cost_gbp"] <= outcome["standing"]["cost_gbp"]


def test_a_place_runs_the_exact_minutes_of_its_job_from_the_start_of_a_half_hour():
    outcome = planned(busy())
    minutes = {str(one.id): one.duration_mins for one in busy().workloads}
    assert len(outcome["places"]) + len(outcome["rejected"]) == outcome["workloads"]
    assert len(outcome["places"]) > 30
    for place in outcome["places"]:
        spans = [
            (datetime.fromisoformat(s["starts_at"]), datetime.fromisoformat(s["ends_at"])) for s in place["spans"]
        ]
        assert sum((end - start for start, end in spans), timedelta()) == timedelta(
            minutes=minutes[place["workload_id"]]
        )
        assert all(start.minute in (0, 30) and start > NOW for start, _ in spans)
        assert all(end.minute in (0, 30) for _, end in spans[:-1])


def test_what_the_room_is_needed_for_most_gets_it():
    """One place in the cheap hour; the larger job gains more by it, whoever came first."""
    price = [100.0] * 4 + [10.0] * 2 + [100.0]
    small = views.workload("a", duration_mins=60, power_kw=3000, origin_dc_id=A.id)
    large = views.workload("b", duration_mins=60, power_kw=9000, origin_dc_id=A.id)
    view = views.view(A, price=price, workloads=[small, large], bookings={"a": views.booking(A, half_hour(4), 60)})
    outcome = planned(view)
    starts = {place["job_id"]: place["spans"][0]["starts_at"] for place in outcome["places"]}
    assert datetime.fromisoformat(starts["b"]) == half_hour(4)
    assert datetime.fromisoformat(starts["a"]) != half_hour(4)
    assert outcome["cost"]["leaving_gbp"] > 0
    assert outcome["binding"][0]["dc_id"] == "A"


def test_prices_of_the_standing_plan_are_a_start():
    document = fleet_plan.describe(busy(), CONFIG)
    prices = fleet_plan.work_out(document)["prices"]
    start = {limit: [by_site[site["dc_id"]] for site in document["sites"]] for limit, by_site in prices.items()}
    again = planned(busy(), start=start)
    assert again["gap"] < 0.05
    assert planned(busy(), start={"power_mw": start["power_mw"]})["gap"] < 0.05, "other limits begin with nothing"


def test_what_does_not_run_is_told_with_its_limit_and_what_it_would_take():
    crowded = [views.workload(f"j{n}", duration_mins=600, power_kw=9000, deferral_window_mins=60) for n in range(2)]
    poor = views.workload("poor", duration_mins=45, max_price_gbp=1)
    outcome = planned(views.view(A, workloads=[*crowded, poor]))
    told = {row["job_id"]: row for row in outcome["rejected"]}
    assert told["poor"]["limit"] == "max_price"
    assert told["poor"]["price_to_fit_gbp"] == pytest.approx(0.75 * 50, abs=0.02), "for its minutes, not half hours"
    (job,) = {"j0", "j1"} & told.keys()
    assert (told[job]["limit"], told[job]["has_option"]) == ("power_mw", True)
    assert told[job]["price_to_fit_gbp"] >= 600 * 90
    assert outcome["cost"]["lost_gbp"] >= 600 * 90


@pytest.mark.parametrize("sites", [(), (A,), (A.model_copy(update={"status": DataCentreStatus.OFFLINE}),)])
@pytest.mark.parametrize("jobs", [0, 1])
def test_a_fleet_with_nothing_to_plan_or_nowhere_to_go_has_a_plan(sites, jobs):
    held = [views.workload(f"j{number}") for number in range(jobs)]
    outcome = planned(views.view(*sites, workloads=held))
    runs = bool(jobs and sites and sites[0].status is DataCentreStatus.ACTIVE)
    assert (len(outcome["places"]), len(outcome["rejected"])) == ((1, 0) if runs else (0, jobs))
    assert outcome["gap_gbp"] == pytest.approx(0, abs=1e-6)


def test_half_hours_that_nobody_knows_hold_nothing():
    price = [float("nan")] * 10 + [50.0]
    outcome = planned(views.view(A, price=price, workloads=[views.workload("j")]))
    assert datetime.fromisoformat(outcome["places"][0]["spans"][0]["starts_at"]) >= half_hour(10)


def test_progress_is_told():
    said: list[tuple[str, int, int]] = []
    fleet_plan.work_out(fleet_plan.describe(busy(), CONFIG), lambda *told: said.append(told))
    assert said
    assert all(0 <= done <= of for _, done, of in said)


def test_the_spare_room_is_what_the_site_has_less_what_is_planned():
    view = views.view(A, workloads=[views.workload("j")], half_hours=11)
    assert planned(views.view(A, half_hours=11))["spare_mwh"] == 10 * 10 * 0.5
    assert planned(view)["spare_mwh"] == 50 - 2


def test_what_has_been_promised_is_not_lost_for_want_of_a_better_plan():
    """Large jobs fill a small site, each just so; whatever else is found, a plan costs no more than they do."""
    draw = random.Random(9)
    held = [
        views.workload(f"b{n}", duration_mins=60 * (1 + n % 3), power_kw=draw.choice((4000, 6000, 9000)))
        for n in range(8)
    ]
    bookings, at = {}, 1
    for one in held:
        bookings[one.job_id] = views.booking(A, half_hour(at), one.duration_mins)
        at += one.duration_mins // 30
    crowd = [views.workload(f"w{n}", power_kw=5000, deferral_window_mins=900) for n in range(5)]
    outcome = planned(views.view(A, price=PRICE, workloads=[*held, *crowd], bookings=bookings))
    assert not any(row["is_booked"] for row in outcome["rejected"])
    assert outcome["bound_gbp"] <= outcome["cost_gbp"] <= outcome["standing"]["cost_gbp"]


def test_bookings_that_no_longer_fit_after_a_cap_do_not_stay_for_being_cheap():
    """Two of 1 MW are booked in the two cheapest half hours, where there is by now room for one."""
    held = [views.workload(f"j{n}", duration_mins=60, power_kw=1000, origin_dc_id=A.id) for n in range(2)]
    bookings = {one.job_id: views.booking(A, half_hour(2), 60) for one in held}
    view = views.view(A, price=[80.0] * 2 + [20.0] * 2 + [80.0], workloads=held, bookings=bookings)
    view.field.room[0, view.site(A.id)] -= 9
    document = fleet_plan.describe(view, CONFIG)
    outcome, problem = fleet_plan.work_out(document), fleet_plan.problem_of(document)
    assert len({place["spans"][0]["starts_at"] for place in outcome["places"]}) == 2
    assert outcome["bound_gbp"] <= outcome["cost_gbp"] + 1e-6
    assert outcome["bound_gbp"] <= outcome["standing"]["cost_gbp"] + 1e-6, "only one of them stays"
    assert joint.check(problem, (), unmoved_of(problem, ())) == ()


def test_all_that_binds_is_of_the_prices_that_are_told():
    outcome = planned(busy())
    priced = sum(
        count
        for by_site in outcome["prices"].values()
        for pairs in by_site.values()
        for value, count in pairs
        if value > 0
    )
    assert len(outcome["binding"]) == min(priced, 200)
