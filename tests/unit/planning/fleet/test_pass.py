from __future__ import annotations

import random

import numpy as np
import pytest

from pylon.planning.fleet import Places
from pylon.planning.fleet._arrays import GPUS, POWER, SLACK, copy_of, nobody
from pylon.planning.fleet._field import Push
from pylon.planning.fleet._pass import TERMS, sweep, terms_of, weigh
from pylon.planning.fleet._read import read
from pylon.planning.fleet._repair import HARD, over_limits
from tests.unit.planning.fleets import a_problem, options_of, random_problem

FREE = Push(0.0, 0.0, 0.0, 0.0, False)
CALM_FIELD = {"sites": 1, "half_hours": 2, "carbon_gco2_kwh": np.zeros((1, 2))}


def fleet_of(problem):
    return read(problem).fleet


def standing_of(fleet, sites, slots):
    standing = nobody(fleet.records, fleet.cells)._replace(site=np.array(sites), slots=np.array(slots))
    weigh(fleet.records, fleet.cells, standing)
    return standing


def swept(fleet, standing, push=FREE, order=None, prices=None) -> int:
    order = np.arange(fleet.records.size) if order is None else np.array(order)
    prices = np.zeros_like(fleet.cells.limits) if prices is None else prices
    return sweep(fleet.records, order, fleet.cells, prices, push, fleet.floors, standing)


def two_jobs(**job):
    """Return two jobs of 1 MW that both want the first of two half hours, each with room for one of them."""
    field = {"price_gbp_mwh": np.array([[10.0, 30.0]]), "room_mw": np.ones((1, 2))}
    return fleet_of(a_problem(**CALM_FIELD, **field, jobs={"count": 2} | job))


@pytest.mark.parametrize(
    ("push", "slots"),
    [
        (FREE, [0, 0]),
        (Push(39.0, 0.0, 0.0, 0.0, False), [0, 0]),  # the second pays for half a MW above the room
        (Push(41.0, 0.0, 0.0, 0.0, False), [0, 1]),
        (Push(0.0, 19.0, 0.0, 0.0, False), [0, 0]),  # and kappa for the whole of it
        (Push(0.0, 21.0, 0.0, 0.0, False), [0, 1]),
        (HARD, [0, 1]),
    ],
)
def test_each_job_sees_what_those_before_it_have_taken(push: Push, slots: list[int]) -> None:
    fleet = two_jobs()
    standing = nobody(fleet.records, fleet.cells)
    assert swept(fleet, standing, push) == 2
    assert standing.slots.tolist() == slots
    assert standing.load[POWER].tolist() == [[slots.count(0), slots.count(1)]]


def test_who_comes_first_has_the_choice_and_a_second_pass_moves_nobody() -> None:
    fleet = two_jobs()
    standing = nobody(fleet.records, fleet.cells)
    assert swept(fleet, standing, HARD, order=[1, 0]) == 2
    assert (standing.slots.tolist(), standing.calm.tolist()) == ([1, 0], [0, 0])
    assert swept(fleet, standing, HARD) == 0
    assert (standing.slots.tolist(), standing.calm.tolist()) == ([1, 0], [1, 1])


def test_a_job_not_in_the_order_is_not_asked_but_is_in_the_way() -> None:
    fleet = two_jobs()
    standing = standing_of(fleet, [0, -1], [0, 0])
    swept(fleet, standing, HARD, order=[1])
    assert (standing.slots.tolist(), standing.calm.tolist()) == ([0, 1], [0, 0])


def test_what_finds_nothing_stays_in_a_hard_pass_and_goes_in_a_soft_one() -> None:
    fleet = two_jobs(end_slot=1, value_gbp=20.0)
    crowded = standing_of(fleet, [0, 0], [0, 0])
    hard, soft = copy_of(crowded), copy_of(crowded)
    assert swept(fleet, hard, HARD) == 0
    assert hard.site.tolist() == [0, 0]
    assert swept(fleet, soft, Push(0.0, 100.0, 0.0, 0.0, False)) == 1
    assert soft.site.tolist() == [-1, 0]
    assert soft.load[POWER].tolist() == [[1.0, 0.0]]


def test_of_equal_places_the_same_site_and_the_earliest_half_hour_are_taken() -> None:
    fleet = fleet_of(a_problem(jobs={"count": 2}))
    standing = standing_of(fleet, [1, -1], [3, 0])
    swept(fleet, standing)
    assert (standing.site.tolist(), standing.slots.tolist()) == ([1, 0], [0, 0])


def test_a_job_stays_where_a_ramp_limit_needs_it_in_a_hard_pass_alone() -> None:
    problem = a_problem(
        half_hours=2,
        sites=2,
        price_gbp_mwh=np.array([[50.0] * 2, [1.0] * 2]),
        ramp_mw=np.array([1.0, np.inf]),
        jobs={"count": 2, "it_power_mw": 2.0, "allowed": np.array([[True, True], [True, False]])},
    )
    fleet = fleet_of(problem)
    level = standing_of(fleet, [0, 0], [0, 1])
    hard, soft = copy_of(level), copy_of(level)
    assert swept(fleet, hard, HARD) == 0
    assert hard.site.tolist() == [0, 0]
    assert hard.load[POWER].tolist() == [[2.0, 2.0], [0.0, 0.0]]
    swept(fleet, soft, order=[0])
    assert soft.site.tolist() == [1, 0]


@pytest.mark.parametrize("has_ramps", [False, True])
def test_hard_passes_keep_to_all_limits_and_what_is_taken_is_what_stands(has_ramps: bool) -> None:
    placed = 0
    for seed in range(60):
        fleet = fleet_of(random_problem(seed, count=12, has_ramps=has_ramps))
        standing = nobody(fleet.records, fleet.cells)
        for _ in range(2):
            swept(fleet, standing, HARD)
            kept = standing.load.copy()
            weigh(fleet.records, fleet.cells, standing)
            np.testing.assert_allclose(kept, standing.load, atol=1e-12)
            assert (over_limits(fleet.cells, standing) <= SLACK).all(), seed
        placed += np.count_nonzero(standing.site >= 0)
    assert placed > 100


def test_what_is_taken_is_facility_power_and_gpus_of_the_jobs_that_stand() -> None:
    problem = a_problem(
        sites=2,
        half_hours=3,
        pue=np.array([1.0, 1.5]),
        room_gpus=np.full((2, 3), 8.0),
        jobs={"count": 2, "half_hours": 2, "it_power_mw": np.array([2.0, 4.0]), "gpus": 3.0},
    )
    standing = standing_of(fleet_of(problem), [1, -1], [1, 2, 0, 1])
    assert standing.load[POWER].tolist() == [[0.0] * 3, [0.0, 3.0, 3.0]]
    assert standing.load[GPUS].tolist() == [[0.0] * 3, [0.0, 3.0, 3.0]]


def test_what_a_standing_costs_is_the_sum_of_the_options_taken() -> None:
    for seed in range(60):
        problem, dice = random_problem(seed, count=5), random.Random(seed)
        reading = read(problem)
        fleet, expected = reading.fleet, 0.0
        standing = nobody(fleet.records, fleet.cells)
        for i, j in enumerate(reading.free.tolist()):
            cost, site, slots = dice.choice([(float(problem.jobs.value_gbp[j]), -1, ()), *options_of(problem, j)])
            expected += cost
            standing.site[i], begin = site, fleet.records["offset"][i]
            standing.slots[begin : begin + len(slots)] = slots
        sums = np.zeros(len(TERMS))
        terms_of(fleet.records, fleet.terms, fleet.cells.pue, fleet.floors, standing, sums)
        assert sums.sum() == pytest.approx(expected, abs=1e-9), seed


def test_each_cost_has_its_own_name() -> None:
    problem = a_problem(
        half_hours=4,
        stress=np.full(4, 0.5),
        jobs={
            "count": 3,
            "half_hours": 2,
            "interruptible": True,
            "migration_gbp": 5.0,
            "wait_gbp_per_half_hour": 2.0,
            "present": Places(
                site=np.array([1, 1, 0]), slots=np.array([0, 2, 0, 2, 0, 1]), offsets=np.arange(0, 7, 2)
            ),
            "leaving_gbp": np.array([7.0, 7.0, 7.0]),
        },
    )
    fleet, sums = fleet_of(problem), np.zeros(len(TERMS))
    # The first stays, the second has one of its half hours later, the third does not run.
    standing = standing_of(fleet, [1, 1, -1], [0, 2, 0, 3, 0, 0])
    terms_of(fleet.records, fleet.terms, fleet.cells.pue, fleet.floors, standing, sums)
    assert dict(zip(TERMS, sums.tolist(), strict=True)) == {
        "energy": 100.0,
        "carbon": 20.0,
        "stress": 20.0,
        "migration": 10.0,
        "wait": 2.0 * (1 + 2),
        "leaving": 7.0,
        "lost": 1000.0,
    }


def test_with_nobody_to_ask_nothing_changes() -> None:
    fleet = fleet_of(a_problem(jobs={"count": 0}))
    standing = nobody(fleet.records, fleet.cells)
    assert swept(fleet, standing) == 0
    assert not standing.load.any()
