from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid
from pylon.planning import fleet
from pylon.planning.fleet import Places, _exact
from pylon.planning.fleet._columns import columns_of, values_of
from pylon.planning.fleet._read import read, standing_of
from tests.unit.planning.fleets import a_problem, best_cost, random_problem

NEAR = 1e-4  # GBP


def crowded(seed: int, count: int = 10, has_ramps: bool = False):
    """Return a fleet of large jobs at five sites, of which some find no room."""
    dice = np.random.default_rng(seed)
    sites, half_hours = 5, 10
    length = dice.integers(1, 5, count)
    return a_problem(
        sites=sites,
        half_hours=half_hours,
        price_gbp_mwh=dice.uniform(20, 120, (sites, half_hours)),
        room_mw=dice.uniform(0.8, 1.6, (sites, half_hours)),
        ramp_mw=np.full(sites, 1.2 if has_ramps else np.inf),
        jobs={
            "count": count,
            "half_hours": length,
            "it_power_mw": dice.uniform(0.5, 1.2, count),
            "end_slot": np.minimum(length + dice.integers(0, 8, count), half_hours),
            "origin": dice.integers(0, sites, count),
            "interruptible": dice.random(count) < 0.5,
            "migration_gbp": dice.uniform(0, 20, count),
            "wait_gbp_per_half_hour": dice.choice([0.0, 3.0], count),
            "value_gbp": length * dice.uniform(50, 300, count),
        },
    )


@pytest.mark.parametrize("has_ramps", [False, True])
@pytest.mark.parametrize("is_greedy", [False, True])
def test_it_finds_the_best_plan_and_says_so(is_greedy: bool, has_ramps: bool) -> None:
    raised = 0
    for seed in range(40):
        problem = random_problem(seed, has_ramps=has_ramps)
        plan = fleet.greedy(problem) if is_greedy else fleet.plan(problem, is_quick=True)
        best = best_cost(problem)
        found = fleet.solve_exactly(problem, plan, nodes=1000)
        assert fleet.check(problem, found) == (), seed
        assert found.cost.total == pytest.approx(best, abs=NEAR), seed
        assert plan.bound_gbp <= found.bound_gbp <= best + NEAR, seed
        assert found.gap_gbp <= NEAR, seed
        assert fleet.bound(problem, found.prices) == fleet.bound(problem, plan.prices)
        raised += found.is_bound_by_solver
    assert raised > 5


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), has_ramps=st.booleans())
def test_more_room_never_makes_it_dearer(seed: int, has_ramps: bool) -> None:
    problem = random_problem(seed, count=6, has_ramps=has_ramps)
    sites = problem.sites
    more = dataclasses.replace(
        sites, room_mw=sites.room_mw + 0.4, room_gpus=sites.room_gpus + 1, ramp_mw=sites.ramp_mw + 0.4
    )
    wider = dataclasses.replace(problem, sites=more)
    found, other = (
        fleet.solve_exactly(one, fleet.plan(one, is_quick=True), nodes=1000) for one in (problem, wider)
    )
    assert fleet.check(problem, found) == fleet.check(wider, other) == ()
    assert found.bound_gbp <= found.cost.total + 1e-9
    assert other.cost.total <= found.cost.total + NEAR


def test_it_begins_with_the_plan_and_never_ends_with_a_worse_one() -> None:
    for seed in range(2):
        problem = crowded(seed, has_ramps=seed == 1)
        plan = fleet.plan(problem, is_quick=True)
        hurried, found = (fleet.solve_exactly(problem, plan, nodes=nodes) for nodes in (0, 200))
        assert found.cost.total <= hurried.cost.total + NEAR <= plan.cost.total + 2 * NEAR
        assert found.bound_gbp >= hurried.bound_gbp - NEAR >= plan.bound_gbp - 2 * NEAR
        assert fleet.check(problem, hurried) == fleet.check(problem, found) == ()
        assert {one.job for one in found.rejected} == set(np.flatnonzero(found.places.site < 0).tolist())


@pytest.mark.parametrize("has_ramps", [False, True])
def test_a_plan_is_improved_as_far_as_little_effort_goes(has_ramps: bool) -> None:
    better = 0
    for seed in range(4):
        problem = crowded(seed, has_ramps=has_ramps)
        plan = fleet.greedy(problem)
        found = fleet.improve(problem, plan)
        assert fleet.check(problem, found) == ()
        assert plan.bound_gbp - NEAR <= found.bound_gbp <= found.cost.total + NEAR
        better += found.cost.total < plan.cost.total - 1
    assert better


def test_it_is_asked_about_no_more_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = crowded(0)
    plan, asked = fleet.greedy(problem), []
    ask = _exact._ask

    def seen(columns, values, is_free, nodes):
        asked.append(int(is_free[columns.job].sum()))
        return ask(columns, values, is_free, nodes)

    monkeypatch.setattr(_exact, "_ask", seen)
    for most in (10_000, 60, 0):
        asked.clear()
        monkeypatch.setattr(
            "pylon.planning.fleet.some", lambda *_, most=most: _exact.Effort(((1, 1, 0.3, 1),), most, 1, most)
        )
        found = fleet.improve(problem, plan)
        assert max(asked, default=0) <= most
        assert bool(asked) is (most > 0)
    assert (found.places.site.tolist(), found.cost) == (plan.places.site.tolist(), plan.cost)


def test_values_that_hold_nowhere_by_the_solvers_tolerances_stay_and_prove_nothing() -> None:
    problem = crowded(0)
    plan = fleet.greedy(problem)
    reading = read(problem, by_content=True)
    standing = standing_of(reading, plan.places)
    columns = columns_of(reading.fleet, plan.prices.stack(), standing, plan.cost.total)
    values = values_of(columns, reading.fleet, standing)
    nothing = columns._replace(least=columns.least + 1e6, most=columns.most + 1e6)
    answer = _exact._ask(nothing, values, np.ones(standing.site.size, np.bool_), 1)
    assert answer.values.tolist() == values.tolist()
    assert answer.bound_gbp == -np.inf


def test_a_plan_that_breaks_a_limit_or_is_of_a_large_fleet_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = crowded(1)
    plan = fleet.greedy(problem)
    less = dataclasses.replace(problem.sites, room_mw=problem.sites.room_mw * 0.5)
    broken = dataclasses.replace(problem, sites=less)
    assert fleet.check(broken, plan) != ()
    assert fleet.improve(broken, plan) is plan
    monkeypatch.setattr("pylon.planning.fleet.MOST_CHOICES", 10)
    assert fleet.improve(problem, plan) is plan


def test_a_bound_by_a_solver_relaxes_nothing_and_one_by_prices_says_what() -> None:
    # Two jobs of 0.6 MW in room for 1: the prices fill what is left with a part of the second.
    jobs = {"count": 2, "it_power_mw": 0.6, "value_gbp": 100.0}
    problem = a_problem(sites=1, half_hours=1, room_mw=np.ones((1, 1)), jobs=jobs)
    plan = fleet.plan(problem)
    found = fleet.solve_exactly(problem, plan)
    assert (plan.is_bound_by_solver, plan.relaxed) == (False, ("room",))
    assert (found.is_bound_by_solver, found.relaxed) == (True, ())
    assert plan.gap_gbp > 1
    assert found.gap_gbp == pytest.approx(0, abs=NEAR)


def test_the_same_problem_gives_the_same_bytes_in_any_order_of_its_jobs() -> None:
    problem = crowded(5)
    order = np.random.default_rng(1).permutation(len(problem.jobs))
    columns = {
        one.name: getattr(problem.jobs, one.name)[order]
        for one in dataclasses.fields(problem.jobs)
        if getattr(problem.jobs, one.name) is not None
    }
    mixed = dataclasses.replace(problem, jobs=dataclasses.replace(problem.jobs, **columns))
    found, again, other = (
        fleet.solve_exactly(one, fleet.plan(one, is_quick=True)) for one in (problem, problem, mixed)
    )
    assert found.places.slots.tobytes() == again.places.slots.tobytes()
    assert (found.cost, found.bound_gbp) == (again.cost, again.bound_gbp) == (other.cost, other.bound_gbp)
    assert other.places.site.tolist() == found.places.site[order].tolist()


@pytest.mark.parametrize("leaving", [1.0, 500.0])
def test_a_job_in_pieces_leaves_its_place_only_for_more_than_leaving_costs(leaving: float) -> None:
    price = np.array([[90.0, 10.0, 50.0, 20.0]])
    jobs = {
        "count": 2,
        "half_hours": 2,
        "interruptible": True,
        "present": Places(site=np.zeros(2, int), slots=np.array([0, 2, 1, 3]), offsets=np.array([0, 2, 4])),
        "leaving_gbp": np.array([leaving, 500.0]),
    }
    problem = a_problem(sites=1, half_hours=4, price_gbp_mwh=price, jobs=jobs)
    found = fleet.solve_exactly(problem, fleet.greedy(problem))
    assert found.places.of(0).tolist() == ([1, 3] if leaving == 1.0 else [0, 2])
    assert found.cost.leaving == (1.0 if leaving == 1.0 else 0.0)


def test_a_fixed_job_keeps_its_place_and_without_a_choice_the_plan_is_the_plan() -> None:
    present = Places(site=np.array([0, -1]), slots=np.array([0, -1]), offsets=np.array([0, 1, 2]))
    jobs = {"count": 2, "present": present, "is_fixed": np.array([True, False])}
    room, price = np.ones((1, 2)), np.array([[10.0, 50.0]])
    problem = a_problem(sites=1, half_hours=2, price_gbp_mwh=price, room_mw=room, jobs=jobs)
    assert fleet.solve_exactly(problem, fleet.plan(problem)).places.slots.tolist() == [0, 1]
    nothing = a_problem(room_mw=np.zeros((2, 6)), jobs={"count": 4})
    plan = fleet.plan(nothing)
    assert fleet.solve_exactly(nothing, plan) is plan


def test_a_cap_on_carbon_is_held_against_its_upper_value() -> None:
    for splits, slots in ((True, [0, 3]), (False, [2, 3])):
        problem = a_problem(
            sites=1,
            half_hours=4,
            carbon_upper_gco2_kwh=np.array([[100.0, 300.0, 160.0, 100.0]]),
            price_gbp_mwh=np.array([[10.0, 5.0, 40.0, 30.0]]),
            jobs={"half_hours": 2, "interruptible": splits, "carbon_cap_gco2_kwh": 150.0},
        )
        found = fleet.solve_exactly(problem, fleet.greedy(problem))
        assert found.places.slots.tolist() == slots


def test_what_is_too_large_or_breaks_a_limit_is_refused() -> None:
    count = _exact.MOST_CHOICES // 12 + 1
    large = a_problem(sites=2, room_mw=np.full((2, 6), 1e5), jobs={"count": count})
    with pytest.raises(Invalid, match=f"choose from {12 * count} half hours"):
        fleet.solve_exactly(large, fleet.greedy(large))
    problem = a_problem()
    plan = fleet.plan(problem)
    places = dataclasses.replace(plan.places, slots=np.array([-3]))
    narrow = a_problem(room_mw=np.full((2, 6), 0.5))
    with pytest.raises(Invalid, match="breaks power_mw"):
        fleet.solve_exactly(narrow, plan)
    with pytest.raises(Invalid, match="breaks first_slot"):
        fleet.solve_exactly(problem, dataclasses.replace(plan, places=places))
