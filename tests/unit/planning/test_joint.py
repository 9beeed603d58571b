from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.planning import fleet
from pylon.planning.battery import dispatch
from pylon.planning.fleet import FleetProblem, Places, Prices
from pylon.planning.joint import RELAXED, Store, Together, bound, check, load_of, plan_together
from tests.unit.planning.batteries import a_battery, a_store, directions, rows_of, scarce, solved, worth_of
from tests.unit.planning.fleet.test_exact import crowded
from tests.unit.planning.fleets import HOURS, a_problem, options_of, random_problem


def random_stores(problem: FleetProblem, seed: int) -> list[Store]:
    """Return up to three batteries, some beside the same site, one of them perhaps beside none."""
    dice = np.random.default_rng(seed)
    sites, size = problem.sites.shape
    stores = []
    for _ in range(dice.integers(1, 4)):
        capacity, charge = dice.uniform(0.5, 4), dice.uniform(0.1, 0.9)
        battery = a_battery(
            capacity_mwh=capacity,
            min_mwh=0.1 * capacity,
            max_mwh=0.9 * capacity,
            charge_mwh=charge * capacity,
            end_mwh=dice.uniform(0, charge) * capacity,
            max_charge_mw=dice.uniform(0.2, 3),
            max_discharge_mw=dice.uniform(0.2, 3),
            efficiency=dice.uniform(0.7, 1),
            wear_gbp_mwh=dice.choice([0.0, 3.0]),
        )
        hours = np.full(size, HOURS)
        hours[0] = dice.choice([0.0, HOURS])
        field = dice.normal(dice.choice([70, -20]), 40, size)
        stores.append(Store(battery=battery, field_gbp_mwh=field, hours=hours, site=int(dice.integers(-1, sites))))
    return stores


# An independent model: every place of every job and every move of every battery in one integer programme, by HiGHS.


def best_cost(problem: FleetProblem, stores: list[Store]) -> float:
    """Return the least cost of all plans of jobs and batteries; without ramp limits."""
    options = [(j, *one) for j in range(len(problem.jobs)) for one in options_of(problem, j)]
    size = problem.sites.shape[1]
    width = len(options) + 4 * size * len(stores)
    taken, places = np.zeros((len(problem.jobs), width)), np.zeros((2, *problem.sites.shape, width))
    costs, most = np.zeros(width), np.ones(width)
    whole = np.concatenate([np.ones(len(options)), *(directions(size) for _ in stores)])
    for column, (job, cost, site, slots) in enumerate(options):
        taken[job, column] = 1
        costs[column] = cost - problem.jobs.value_gbp[job]
        places[0, site, list(slots), column] = problem.jobs.it_power_mw[job] * problem.sites.pue[site]
        places[1, site, list(slots), column] = problem.jobs.gpus[job]
    rows = []
    for number, store in enumerate(stores):
        first = len(options) + 4 * size * number
        mine = slice(first, first + 4 * size)
        of_battery, most[mine] = rows_of(store.battery, store.hours)
        rows += [(_widened(row, width, mine), least, up) for row, least, up in of_battery]
        costs[mine] = worth_of(store.battery, store.field_gbp_mwh, store.hours)
        is_still = store.hours == 0
        most[mine][:size][is_still] = most[mine][size : 2 * size][is_still] = 0
        if store.site >= 0:
            places[0, store.site, :, mine] = np.hstack([np.eye(size), -np.eye(size), np.zeros((size, 2 * size))])
    room = np.stack([problem.sites.room_mw, np.minimum(problem.sites.room_gpus, 1e6)])
    rows += [(taken, -np.inf, np.ones(len(problem.jobs))), (places.reshape(-1, width), -np.inf, room.ravel())]
    return float(solved(costs, rows, most, whole).fun) + float(problem.jobs.value_gbp.sum())


def _widened(row: np.ndarray, width: int, mine: slice) -> np.ndarray:
    wide = np.zeros((row.shape[0], width))
    wide[:, mine] = row
    return wide


@pytest.mark.parametrize("seed", range(8))
def test_the_best_plan_of_an_independent_model_lies_between_the_bound_and_the_plan(seed):
    problem = random_problem(seed, count=4)
    stores = random_stores(problem, seed)
    found = plan_together(problem, stores)
    best = best_cost(problem, stores)
    assert check(problem, stores, found) == ()
    assert found.bound_gbp <= best + 1e-6
    assert found.cost_gbp >= best - 1e-6
    assert bound(problem, stores, found.prices) == pytest.approx(found.bound_gbp, abs=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_any_prices_prove_a_bound(seed):
    problem = random_problem(seed, count=3)
    stores = random_stores(problem, seed + 1000)
    dice, shape = np.random.default_rng(seed), problem.sites.shape
    power, gpus = (dice.choice([0.0, 1.0], shape) * dice.uniform(0, 200, shape) for _ in range(2))
    none = np.zeros(shape)
    prices = Prices(power_gbp_mwh=power, gpu_gbp_hour=gpus, rise_gbp_mwh=none, fall_gbp_mwh=none)
    assert bound(problem, stores, prices) <= best_cost(problem, stores) + 1e-6


def net(problem: FleetProblem, stores: list[Store], found: Together) -> np.ndarray:
    """Return load less what batteries give, at each site in each half hour."""
    drawn = load_of(problem, found.plan.places)
    for store, one in zip(stores, found.dispatches, strict=True):
        if store.site >= 0:
            drawn[store.site] -= one.power_mw
    return drawn


def test_work_that_no_room_is_left_for_runs_on_the_battery():
    problem = scarce()
    stores = [a_store(problem)]
    assert fleet.plan(problem).places.site.tolist() == [-1]
    found = plan_together(problem, stores)
    assert found.plan.places.site.tolist() == [0]
    assert found.dispatches[0].discharge_mw[1] >= 0.5
    assert net(problem, stores, found)[0, 1] <= 1
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert check(problem, stores, found) == ()


def test_a_battery_that_work_relies_on_still_ends_with_what_it_is_to_hold():
    problem = scarce(count=2, first_slot=[0, 1], end_slot=[1, 2], it_power_mw=2.0, value_gbp=[900.0, 1000])
    stores = [a_store(problem, charge_mwh=0.5, end_mwh=0.5)]
    found = plan_together(problem, stores)
    assert check(problem, stores, found) == ()
    assert found.plan.places.site.tolist().count(0) == 1
    assert found.dispatches[0].stored_mwh[-1] >= 0.5 - 1e-9


def test_a_battery_does_not_charge_in_the_half_hour_that_work_needs():
    problem = scarce(it_power_mw=1.0)
    cheap = np.array([60.0, 20, 60, 60])
    beside, apart = (replace(a_store(problem, site), field_gbp_mwh=cheap) for site in (0, -1))
    assert plan_together(problem, [apart]).dispatches[0].charge_mw[1] == 1
    found = plan_together(problem, [beside])
    assert found.dispatches[0].charge_mw[1] == 0
    assert found.plan.places.site.tolist() == [0]


def test_without_a_battery_beside_a_site_the_fleet_is_planned_once_and_the_others_follow_their_own_field():
    problem = random_problem(5, count=4)
    stores = [replace(store, site=-1) for store in random_stores(problem, 5)]
    stages = []
    found, alone = plan_together(problem, stores, None, lambda *told: stages.append(told[0])), fleet.plan(problem)
    assert (found.rounds, "batteries" in stages) == (0, False)
    assert found.plan.places.slots.tolist() == alone.places.slots.tolist()
    assert found.gap_gbp == pytest.approx(alone.gap_gbp, abs=1e-3)
    own = [dispatch(store.battery, store.field_gbp_mwh, store.hours).power_mw for store in stores]
    assert [one.power_mw.tobytes() for one in found.dispatches] == [power.tobytes() for power in own]
    assert bound(problem, stores, found.prices) == pytest.approx(found.bound_gbp)


def test_no_batteries_at_all_is_the_plan_of_the_fleet():
    problem = random_problem(6)
    found, alone = plan_together(problem, []), fleet.plan(problem)
    assert (found.cost_gbp, found.bound_gbp) == (alone.cost.total, alone.bound_gbp)
    assert (found.gap, found.gap_of_choice) == (alone.gap, alone.gap_of_choice)
    assert check(problem, [], found) == ()


def test_a_few_large_jobs_are_placed_as_well_as_can_be_and_the_bound_says_so_where_no_battery_is_beside_them():
    """Two of 0.6 MW want a cheap half hour with room for 1, and prices would put a part of the second there."""
    jobs = {"count": 2, "it_power_mw": 0.6, "value_gbp": 100.0}
    problem = a_problem(sites=1, half_hours=1, room_mw=np.ones((1, 1)), jobs=jobs)
    elsewhere = a_store(problem, site=-1)
    for stores in ((), (elsewhere,)):
        found = plan_together(problem, stores)
        assert (found.is_bound_by_solver, found.relaxed) == (True, ())
        assert found.gap_gbp == pytest.approx(0, abs=1e-4)
        assert bound(problem, stores, found.prices) < found.bound_gbp - 1
        assert not plan_together(problem, stores, is_quick=True).is_bound_by_solver
    beside = plan_together(problem, [replace(elsewhere, site=0)])
    assert (beside.is_bound_by_solver, "room" in beside.relaxed) == (False, True)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_beside_a_battery_jobs_are_placed_better_and_the_bound_and_what_it_relaxes_stay(seed, monkeypatch):
    problem = crowded(seed, count=12)
    stores = [a_store(problem)]
    found = plan_together(problem, stores)
    monkeypatch.setattr("pylon.planning.joint.WORTH_SOLVING", math.inf)
    before = plan_together(problem, stores)
    assert check(problem, stores, found) == ()
    assert found.cost_gbp < before.cost_gbp - 1
    assert (found.bound_gbp, found.relaxed) == (before.bound_gbp, before.relaxed)
    assert (found.is_bound_by_solver, found.plan.is_bound_by_solver) == (False, True)


def test_where_fixed_work_takes_more_than_the_room_a_battery_may_not_charge():
    places = Places(site=np.array([0]), slots=np.array([1]), offsets=np.array([0, 1]))
    problem = scarce(present=places, is_fixed=np.array([True]))
    stores = [replace(a_store(problem), field_gbp_mwh=np.array([60.0, 20, 60, 60]))]
    found = plan_together(problem, stores)
    assert found.dispatches[0].charge_mw[1] == 0
    assert check(problem, stores, found) == ()
    charging = replace(found.dispatches[0], charge_mw=np.array([0.0, 0.5, 0, 0]))
    assert "power_mw" in {one.limit for one in check(problem, stores, replace(found, dispatches=(charging,)))}


def test_two_batteries_share_what_room_there_is_to_charge_with():
    problem = scarce(it_power_mw=0.25)
    stores = [a_store(problem, charge_mwh=0.0, end_mwh=0.0) for _ in range(2)]
    stores = [replace(store, field_gbp_mwh=np.array([10.0, 10, 90, 90])) for store in stores]
    found = plan_together(problem, stores)
    assert net(problem, stores, found)[0, :2] == pytest.approx([1, 1])
    assert check(problem, stores, found) == ()
    assert found.gap is None  # of a bound that is not above 0


def test_one_that_has_to_be_charged_is_charged_and_the_bound_says_that_it_does_not_ask_for_it():
    problem = scarce()
    stores = [a_store(problem, min_mwh=2.0, charge_mwh=1.0)]
    found = plan_together(problem, stores)
    assert found.dispatches[0].stored_mwh[-1] >= 2 - 1e-9
    assert found.relaxed == ("room", "charge")
    assert set(found.relaxed) <= set(RELAXED)
    assert check(problem, stores, found) == ()


def test_a_half_hour_that_is_not_to_be_planned_is_left_alone():
    problem = scarce()
    still = replace(a_store(problem), hours=np.array([0, 0, 0.5, 0.5]))
    assert plan_together(problem, [still]).plan.places.site.tolist() == [-1]
    unknown = replace(a_store(problem), field_gbp_mwh=np.array([60, math.nan, 60, 60]))
    found = plan_together(problem, [unknown])
    assert found.plan.places.site.tolist() == [-1]
    assert found.dispatches[0].power_mw[1] == 0


def test_the_same_question_has_the_same_answer_to_the_last_bit():
    problem = random_problem(7, count=5)
    stores = random_stores(problem, 7)
    one, other = (plan_together(problem, stores) for _ in range(2))
    assert one.prices.stack().tobytes() == other.prices.stack().tobytes()
    assert (one.cost_gbp, one.bound_gbp, one.rounds) == (other.cost_gbp, other.bound_gbp, other.rounds)
    assert [found.power_mw.tobytes() for found in one.dispatches] == [
        d.power_mw.tobytes() for d in other.dispatches
    ]


def test_from_the_prices_that_stand_the_plan_is_as_good_and_rounds_are_told():
    problem = scarce(count=3, it_power_mw=0.5)
    stores = [a_store(problem)]
    told: list[tuple[str, int, int]] = []
    first = plan_together(problem, stores)
    again = plan_together(problem, stores, first.prices, lambda *stage: told.append(stage))
    assert again.cost_gbp == pytest.approx(first.cost_gbp)
    assert {stage for stage, _, _ in told} >= {"prices", "plan"}
    assert all(0 <= done < of for _, done, of in told)


def test_more_battery_at_the_same_prices_never_raises_the_bound():
    problem = random_problem(9, count=4)
    stores = random_stores(problem, 9)
    prices = plan_together(problem, stores).prices
    powers = [store.battery.max_discharge_mw for store in stores]
    larger = [
        replace(store, battery=replace(store.battery, max_discharge_mw=2 * power))
        for store, power in zip(stores, powers, strict=True)
    ]
    assert bound(problem, larger, prices) <= bound(problem, stores, prices) + 1e-9


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"site": 2}, "at site 2"),
        ({"site": -2}, "at site -2"),
        ({"hours": np.full(3, 0.5)}, "has 3 half hours"),
        ({"field_gbp_mwh": np.zeros(5)}, "half hours"),
    ],
)
def test_a_store_that_does_not_fit_the_problem_is_refused(change, named):
    problem = scarce()
    with pytest.raises(Invalid, match=named):
        plan_together(problem, [replace(a_store(problem), **change)])
