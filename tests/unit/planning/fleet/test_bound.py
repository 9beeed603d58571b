from __future__ import annotations

import dataclasses
from math import inf

import numpy as np
import pytest

from pylon.planning.fleet._arrays import FALL, GPUS, POWER, RISE, read_cells, read_jobs
from pylon.planning.fleet._bound import ask, floors
from pylon.planning.fleet._read import read
from tests.unit.planning.fleets import HOURS, a_problem, best_cost, options_of, random_problem

SEEDS = range(60)


def some_prices(problem, seed: int):
    """Return prices (4, D, T), none of what has no limit."""
    dice = np.random.default_rng(seed)
    prices = dice.exponential(15.0, (4, *problem.sites.shape)) * (dice.random((4, *problem.sites.shape)) < 0.6)
    prices[GPUS] *= np.isfinite(problem.sites.room_gpus)
    prices[RISE:] *= np.isfinite(problem.sites.ramp_mw)[:, None]
    prices[RISE:, :, -1] = 0.0
    return prices


def options_alone(problem, j: int):
    """Return the options of one job in a field that nobody else is in."""
    sites, jobs = problem.sites, problem.jobs
    return [
        (cost, site, slots)
        for cost, site, slots in options_of(problem, j)
        if (jobs.it_power_mw[j] * sites.pue[site] <= sites.room_mw[site, list(slots)]).all()
        and (jobs.gpus[j] <= sites.room_gpus[site, list(slots)]).all()
    ]


def least_by_hand(problem, j: int, prices) -> float:
    """Return what one job costs at least at prices, by the words of the formulation."""
    jobs, least = problem.jobs, float(problem.jobs.value_gbp[j])
    for cost, site, slots in options_alone(problem, j):
        power = jobs.it_power_mw[j] * problem.sites.pue[site]
        for slot in slots:
            cost += HOURS * (power * prices[POWER, site, slot] + jobs.gpus[j] * prices[GPUS, site, slot])
        for t in range(problem.sites.shape[1] - 1):
            step = power * ((t + 1 in slots) - (t in slots))
            cost += HOURS * step * (prices[RISE, site, t] - prices[FALL, site, t])
        least = min(least, cost)
    return least


def worth_by_hand(problem, prices) -> float:
    sites = problem.sites
    step = np.diff(sites.base_mw, axis=1, append=sites.base_mw[:, -1:])
    ramp = sites.ramp_mw[:, None]
    limits = (sites.room_mw, sites.room_gpus, np.maximum(ramp - step, 0), np.maximum(ramp + step, 0))
    return HOURS * sum(
        prices[kind, site, t] * limits[kind][site, t] for kind, site, t in np.argwhere(prices > 0).tolist()
    )


def bound_of(problem, prices, guesses=None) -> float:
    reading = read(problem)
    records = reading.fleet.records
    if guesses is None:
        guesses = np.full(records.size, -1)
    return ask(records, reading.fleet.cells, prices, reading.fleet.floors, guesses)[0] + reading.forced.sum()


def floors_of(problem, prices=None):
    records, allowed = read_jobs(problem)
    return floors(records, allowed, read_cells(problem), prices)


@pytest.mark.parametrize("has_ramps", [False, True])
def test_the_bound_is_the_sum_of_what_each_job_costs_alone_less_the_worth_of_the_room(has_ramps: bool) -> None:
    for seed in SEEDS:
        problem = random_problem(seed, has_ramps=has_ramps, has_money=False, count=5)
        prices = some_prices(problem, seed)
        alone = sum(least_by_hand(problem, j, prices) for j in range(5))
        assert bound_of(problem, prices) == pytest.approx(alone - worth_by_hand(problem, prices), abs=1e-9), seed


def test_under_a_cap_on_money_it_is_at_most_that_sum_and_below_every_plan() -> None:
    for seed in SEEDS:
        problem = random_problem(seed)
        prices = some_prices(problem, seed)
        alone = sum(least_by_hand(problem, j, prices) for j in range(3))
        found = bound_of(problem, prices)
        assert found <= alone - worth_by_hand(problem, prices) + 1e-9, seed
        assert found <= best_cost(problem) + 1e-9, seed


def test_prices_lift_it_to_the_cost_of_the_best_plan() -> None:
    # Three jobs want the first half hour, each has room for one: at 80 and 70 all three half hours cost 90.
    problem = a_problem(
        sites=1,
        half_hours=3,
        price_gbp_mwh=np.array([[10.0, 20.0, 90.0]]),
        carbon_gco2_kwh=np.zeros((1, 3)),
        room_mw=np.ones((1, 3)),
        jobs={"count": 3},
    )
    prices = np.zeros((4, 1, 3))
    assert bound_of(problem, prices) == 3 * 5.0
    prices[POWER, 0] = (80.0, 70.0, 0.0)
    assert bound_of(problem, prices) == best_cost(problem) == 5.0 + 10.0 + 45.0


def test_a_half_hour_too_small_for_a_job_alone_is_closed_to_it() -> None:
    problem = a_problem(
        sites=1,
        half_hours=2,
        price_gbp_mwh=np.array([[10.0, 90.0]]),
        carbon_gco2_kwh=np.zeros((1, 2)),
        room_mw=np.array([[1.9, 2.0]]),
        jobs={"it_power_mw": 2.0},
    )
    assert bound_of(problem, np.zeros((4, 1, 2))) == 90.0


def test_only_speed_depends_on_the_guesses() -> None:
    for seed in range(10):
        problem = random_problem(seed, count=40)
        prices, size = some_prices(problem, seed), read(problem).free.size
        guesses = np.random.default_rng(seed).integers(-1, problem.sites.shape[0], size)
        assert bound_of(problem, prices, guesses) == bound_of(problem, prices)


def test_a_floor_is_the_cheapest_option_at_each_site_and_says_which_site_is_cheapest() -> None:
    for seed in SEEDS:
        problem = random_problem(seed, has_money=False)
        problem = dataclasses.replace(problem, jobs=dataclasses.replace(problem.jobs, leaving_gbp=None))
        gbp, order = floors_of(problem)
        for j in range(3):
            at_site = np.full(problem.sites.shape[0], inf)
            for cost, site, _ in options_alone(problem, j):
                at_site[site] = min(at_site[site], cost)
            np.testing.assert_allclose(gbp[j], at_site, rtol=1e-12, atol=1e-12)
            assert order[j].tolist() == np.argsort(gbp[j], kind="stable").tolist()


def test_floors_at_prices_have_these_in_them_and_never_what_leaving_costs() -> None:
    prices = np.zeros((4, 2, 6))
    prices[POWER, 1] = 40.0
    problem = a_problem(jobs={"migration_gbp": 3.0, "leaving_gbp": np.array([7.0])})
    assert floors_of(problem, prices)[0].tolist() == [[30.0, 53.0]]
    assert floors_of(problem)[0].tolist() == [[30.0, 33.0]]


def test_sites_that_cost_the_same_keep_their_order() -> None:
    gbp, order = floors_of(a_problem(sites=4, jobs={"count": 2}))
    assert np.unique(gbp).tolist() == [30.0]
    assert order.tolist() == [[0, 1, 2, 3]] * 2


def test_where_all_is_closed_no_job_has_a_floor_and_the_bound_is_what_is_lost() -> None:
    problem = a_problem(sites=3, room_mw=np.zeros((3, 6)), jobs={"count": 20})
    gbp, order = floors_of(problem)
    assert np.isinf(gbp).all()
    assert order.tolist() == [[0, 1, 2]] * 20
    assert bound_of(problem, np.zeros((4, 3, 6))) == 20 * 1000.0


@pytest.mark.parametrize(("sites", "count"), [(2, 0), (0, 3)])
def test_with_no_job_or_no_site_there_is_nothing_to_bound(sites: int, count: int) -> None:
    problem = a_problem(sites=sites, jobs={"count": count, "origin": -1})
    assert floors_of(problem)[0].shape == (count, sites)
    # Room that nobody wants is worth nothing, so a price on it only weakens the bound.
    assert bound_of(problem, np.full((4, sites, 6), 2.0) * [[[1]], [[0]], [[0]], [[0]]]) == (
        1000.0 * count - HOURS * 2.0 * 10.0 * 6 * sites
    )
