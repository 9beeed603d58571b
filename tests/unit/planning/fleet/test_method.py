from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from pylon.planning.fleet import _method as method
from pylon.planning.fleet._arrays import POWER, RISE, SLACK, total_of
from pylon.planning.fleet._bound import ask, floors
from pylon.planning.fleet._pass import TERMS
from pylon.planning.fleet._read import read
from pylon.planning.fleet._repair import over_limits
from tests.unit.planning.fleets import a_problem, random_problem


def say_nothing(stage: str, done: int, of: int) -> None:
    pass


def solved(fleet, start=None):
    return method.solve(fleet, np.zeros_like(fleet.cells.limits) if start is None else start, say_nothing)


def scarce(**jobs):
    """Return a fleet with room for one job in each half hour, the first the cheapest."""
    problem = a_problem(
        sites=1,
        half_hours=3,
        price_gbp_mwh=np.array([[10.0, 20.0, 90.0]]),
        carbon_gco2_kwh=np.zeros((1, 3)),
        room_mw=np.ones((1, 3)),
        jobs=jobs,
    )
    return read(problem).fleet


def test_prices_share_out_what_is_short_and_prove_it() -> None:
    fleet = scarce(count=3)
    found = solved(fleet)
    assert sorted(found.standing.slots.tolist()) == [0, 1, 2]
    assert total_of(method.costs_of(fleet, found.standing)) == 60.0
    assert 59.0 < found.bound_gbp <= 60.0
    power = found.prices[0, 0]
    assert power[0] == pytest.approx(power[1] + 10, abs=2)
    assert power[1] > 65


def test_the_bound_is_that_of_the_prices_which_can_be_stored() -> None:
    for seed in range(4):
        fleet = read(random_problem(seed, count=8, has_ramps=seed % 2 == 0)).fleet
        found = solved(fleet)
        guesses = np.full(fleet.records.size, -1)
        assert (found.prices >= 0).all()
        np.testing.assert_array_equal(found.prices, np.round(found.prices, 6))
        assert found.bound_gbp == ask(fleet.records, fleet.cells, found.prices, fleet.floors, guesses)[0]


def test_where_there_is_room_for_all_no_start_however_wrong_spoils_the_plan_or_is_written_to() -> None:
    for seed in range(4):
        problem = random_problem(seed, count=8, has_money=False)
        roomy = {"room_mw": np.full(problem.sites.shape, 99.0), "room_gpus": np.full(problem.sites.shape, np.inf)}
        fleet = read(dataclasses.replace(problem, sites=dataclasses.replace(problem.sites, **roomy))).fleet
        start = np.zeros_like(fleet.cells.limits)
        start[POWER] = 1e5
        cost = total_of(method.costs_of(fleet, solved(fleet, start).standing))
        assert cost == pytest.approx(total_of(method.costs_of(fleet, solved(fleet).standing)))
        assert (start[POWER] == 1e5).all()


def test_after_a_wrong_start_in_a_crowd_the_limits_and_the_bound_hold() -> None:
    for seed in range(4):
        fleet = read(random_problem(seed, count=8)).fleet
        start = np.random.default_rng(seed).uniform(0, 1e4, fleet.cells.limits.shape) * (fleet.cells.limits < 1e6)
        start[RISE:] = 0.0
        found = solved(fleet, start)
        assert (over_limits(fleet.cells, found.standing) <= SLACK).all()
        assert found.bound_gbp <= total_of(method.costs_of(fleet, found.standing))


def test_without_jobs_there_is_nothing_to_solve() -> None:
    for fleet in (read(a_problem(jobs={"count": 0})).fleet, read(a_problem(room_mw=np.zeros((2, 6)))).fleet):
        found = solved(fleet)
        assert (found.standing.site.size, found.prices.any(), found.bound_gbp) == (0, False, 0.0)


@pytest.mark.parametrize(
    ("jobs", "slots"),
    [
        ({"end_slot": np.array([3, 1])}, [1, 0]),  # whoever has the fewest options
        ({"it_power_mw": np.array([0.6, 0.7])}, [1, 0]),  # of as many, the largest
        ({}, [0, 1]),  # of as large, the first
    ],
)
def test_in_the_greedy_plan_who_chooses_first_keeps_it(jobs: dict, slots: list[int]) -> None:
    fleet = scarce(count=2, **jobs)
    found = method.place_greedily(fleet)
    assert found.standing.slots.tolist() == slots
    assert not found.prices.any()
    assert found.bound_gbp == pytest.approx(fleet.floors.gbp.min(axis=1).sum())


def test_a_greedy_plan_can_be_beaten() -> None:
    # The largest takes the cheap half hour, though it loses less elsewhere than the two that would fit there.
    jobs = {
        "it_power_mw": np.array([0.7, 0.5, 0.5]),
        "allowed": np.ones((3, 1), bool),
        "value_gbp": np.array([50.0, 40.0, 40.0]),
    }
    fleet = scarce(count=3, **jobs, end_slot=1)
    greedy, best = method.place_greedily(fleet), solved(fleet)
    assert greedy.standing.site.tolist() == [0, -1, -1]
    assert best.standing.site.tolist() == [-1, 0, 0]


def test_costs_of_nobody_are_the_values_lost() -> None:
    fleet = scarce(count=2, value_gbp=np.array([100.0, 200.0]))
    standing = solved(fleet).standing
    standing.site[:] = -1
    assert dict(zip(TERMS, method.costs_of(fleet, standing).tolist(), strict=True)) == {
        **dict.fromkeys(TERMS, 0.0),
        "lost": 300.0,
    }


def test_each_order_has_every_job_once_and_no_two_in_a_row_are_alike_or_reversed() -> None:
    for size in (1, 2, 3, 3 * 7919, 10_000):
        orders = [order.tolist() for order in itertools.islice(method._orders(size), 12)]
        assert all(sorted(order) == list(range(size)) for order in orders), size
        if size > 100:
            assert all(a not in (b, b[::-1]) for a, b in itertools.pairwise(orders))
    assert list(method._orders(0)) == []


def test_a_sample_takes_as_much_energy_as_the_whole_and_its_jobs_cost_as_much_more() -> None:
    count = method.WHOLE + 5_000
    dice = np.random.default_rng(4)
    jobs = {
        "count": count,
        "half_hours": dice.integers(1, 4, count),
        "it_power_mw": dice.uniform(0.1, 2.0, count),
        "gpus": dice.uniform(0, 4, count),
        "wait_gbp_per_half_hour": dice.uniform(0, 5, count),
        "migration_gbp": dice.uniform(0, 50, count),
        "max_price_gbp": np.where(dice.random(count) < 0.5, dice.uniform(5, 200, count), np.inf),
        "value_gbp": 5000.0,
    }
    price = dice.uniform(20, 120, (2, 6))
    room = {"room_mw": np.full((2, 6), 1e6), "room_gpus": np.full((2, 6), 1e6)}
    fleet = read(a_problem(price_gbp_mwh=price, **room, jobs=jobs)).fleet
    sample = method._sample_of(fleet)
    assert method.SAMPLE <= sample.records.size <= 2 * method.SAMPLE
    energy, part = (math.fsum(one["power"] * one["length"]) for one in (fleet.records, sample.records))
    assert part == pytest.approx(energy, rel=1e-12)
    allowed = np.ones(sample.floors.gbp.shape, bool)
    gbp, _ = floors(sample.records, allowed, sample.cells)
    np.testing.assert_allclose(gbp, sample.floors.gbp, rtol=1e-9)
    assert (np.diff(sample.records["offset"]) == sample.records["length"][:-1]).all()


def test_prices_rise_by_what_is_too_much_and_fall_to_0_at_most() -> None:
    fleet = scarce(count=2)
    standing = solved(fleet).standing
    standing.load[:] = [[[3.0, 1.0, 0.0]], [[0.0] * 3]]
    prices = np.zeros_like(fleet.cells.limits)
    prices[0, 0] = (5.0, 5.0, 5.0)
    raised = method._raised(prices, fleet.cells, standing, np.array([10.0, 1.0]))
    assert raised[0, 0].tolist() == [25.0, 5.0, 0.0]
    assert not raised[1:].any()
