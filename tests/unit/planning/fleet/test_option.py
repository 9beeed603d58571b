from __future__ import annotations

import itertools
import random
from math import inf
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from pylon.planning.fleet import FleetProblem
from pylon.planning.fleet._arrays import read_cells, read_jobs
from pylon.planning.fleet._option import BEGIN, FINISH, PICKS, ROW, Scratch, cheapest, cost_of
from tests.unit.planning.fleets import a_problem

# Called from a kernel, as they are made to be.


@numba.njit
def found(records, cells, scratch):
    return cheapest(records[0], 0, cells, scratch)


@numba.njit
def costing(records, j, slots, scratch):
    return cost_of(records[j], slots, scratch)


class Option(NamedTuple):
    """A choice of half hours, what it costs and how much of that is money."""

    cost: float
    money: float
    slots: tuple[int, ...]


def scratch_of(row, begin=0.0, finish=0.0) -> Scratch:
    scratch = Scratch(np.zeros((7, len(row) + 1)), np.zeros((4, len(row)), np.int64))
    scratch.gbp[ROW, :-1], scratch.gbp[BEGIN, :-1], scratch.gbp[FINISH, :-1] = row, begin, finish
    return scratch


def searched(problem: FleetProblem, scratch: Scratch) -> tuple[float, float, tuple[int, ...]]:
    """Return the bound, the cost and the half hours in order of time; none when it costs infinitely much."""
    bound, cost = found(read_jobs(problem)[0], read_cells(problem), scratch)
    picks = scratch.slots[PICKS, : problem.jobs.half_hours[0]].tolist() if cost < inf else []
    return bound, cost, tuple(sorted(picks))


def a_case(seed: int, *, splits: bool, has_money: bool = True) -> tuple[FleetProblem, Scratch]:
    """Return a job of whole numbers, so that equal costs are equal, with caps and closed half hours.

    It draws 2 MW: half an hour at GBP 1/MWh costs GBP 1.
    """
    dice = random.Random(seed)
    half_hours = dice.randint(4, 8)
    first = dice.randint(0, 2)

    def draw(least: int, most: int) -> list[float]:
        return [float(dice.randint(least, most)) for _ in range(half_hours)]

    jobs: dict[str, Any] = {
        "half_hours": dice.randint(2 if splits else 1, 4),
        "it_power_mw": 2.0,
        "first_slot": first,
        "end_slot": dice.randint(first, half_hours + 2),
        "interruptible": splits,
        "wait_gbp_per_half_hour": dice.choice([0.0, 1.0]),
        "carbon_cap_gco2_kwh": dice.choice([inf, 120.0]),
        "max_price_gbp": dice.choice([inf, 8.0, 16.0]) if has_money else inf,
    }
    problem = a_problem(
        sites=1, half_hours=half_hours, price_gbp_mwh=[draw(-2, 9)], carbon_gco2_kwh=[draw(60, 140)], jobs=jobs
    )
    row = [inf if dice.random() < 0.1 else gbp for gbp in draw(0, 6)]
    return problem, scratch_of(row) if splits else scratch_of(row, draw(0, 2), draw(0, 2))


def all_options(problem: FleetProblem, scratch: Scratch) -> list[Option]:
    """Return all options but for the cap on money, by the words of the formulation."""
    jobs, sites, gbp = problem.jobs, problem.sites, scratch.gbp.copy()
    length, first, splits = int(jobs.half_hours[0]), int(jobs.first_slot[0]), bool(jobs.interruptible[0])
    options = []
    for slots in itertools.combinations(range(first, min(int(jobs.end_slot[0]), sites.shape[1])), length):
        carbon = sites.carbon_gco2_kwh[0, list(slots)]
        if (carbon.max() if splits else carbon.mean()) > jobs.carbon_cap_gco2_kwh[0]:
            continue
        cost = gbp[ROW, list(slots)].sum() + jobs.wait_gbp_per_half_hour[0] * (slots[-1] + 1 - length - first)
        if not splits:
            if slots[-1] - slots[0] >= length:
                continue
            cost += gbp[BEGIN, slots[0]] + gbp[FINISH, slots[-1]]
        if cost < inf:
            options.append(Option(float(cost), float(sites.price_gbp_mwh[0, list(slots)].sum()), slots))
    return options


def test_one_piece_is_the_cheapest_of_all_starts_and_of_equals_the_earliest() -> None:
    none = ties = 0
    for seed in range(300):
        problem, scratch = a_case(seed, splits=False)
        kept = [one for one in all_options(problem, scratch) if one.money <= problem.jobs.max_price_gbp[0]]
        bound, cost, slots = searched(problem, scratch)
        least = min((one.cost for one in kept), default=inf)
        assert bound == cost == least, seed
        if kept:
            assert slots == min(one.slots for one in kept if one.cost == least), seed
        none += not kept
        ties += sum(one.cost == least for one in kept) > 1
    assert min(none, ties) > 10


def test_a_split_is_the_cheapest_of_all_and_of_equals_one_that_ends_first() -> None:
    none = ties = 0
    for seed in range(300):
        problem, scratch = a_case(seed, splits=True, has_money=False)
        options = all_options(problem, scratch)
        bound, cost, slots = searched(problem, scratch)
        least = min((one.cost for one in options), default=inf)
        assert bound == cost == least, seed
        equals = {one.slots for one in options if one.cost == least}
        if options:
            assert slots in equals, seed
            assert slots[-1] == min(one[-1] for one in equals), seed
        none += not options
        ties += len(equals) > 1
    assert min(none, ties) > 10


def dual_of(options: list[Option], cap: float) -> float:
    """Return the highest bound over all prices of money: it is where the lines of two options cross, or at 0."""
    crossings = [
        (one.cost - other.cost) / (other.money - one.money)
        for one, other in itertools.combinations(options, 2)
        if one.money != other.money
    ]
    return max(
        min(one.cost + theta * (one.money - cap) for one in options) for theta in (0.0, *crossings) if theta >= 0
    )


def test_under_a_cap_on_money_the_bound_is_the_dual_and_the_split_keeps_to_the_cap() -> None:
    binding = apart = none = 0
    for seed in range(600):
        problem, scratch = a_case(seed, splits=True)
        options, cap = all_options(problem, scratch), float(problem.jobs.max_price_gbp[0])
        kept = {one.slots: one.cost for one in options if one.money <= cap}
        if cap == inf or not options:
            continue
        bound, cost, slots = searched(problem, scratch)
        if not kept:
            assert (bound, cost) == (inf, inf), seed
            none += 1
            continue
        assert bound == pytest.approx(dual_of(options, cap), abs=1e-6), seed
        assert bound <= min(kept.values()) + 1e-6, seed
        assert cost == kept[slots], seed
        binding += min(one.cost for one in options) < min(kept.values())
        apart += cost > bound + 1e-3
    assert min(binding, apart, none) > 10


def test_of_splits_that_cost_the_same_one_within_the_cap_on_money_is_found() -> None:
    jobs = {"half_hours": 2, "it_power_mw": 2.0, "interruptible": True, "max_price_gbp": 2.0}
    problem = a_problem(sites=1, half_hours=4, price_gbp_mwh=[[1, 9, 1, 1]], jobs=jobs)
    assert searched(problem, scratch_of([inf, 1.0, 1.0, 1.0])) == (2.0, 2.0, (2, 3))


def test_a_carbon_cap_is_kept_by_the_mean_in_one_piece_and_by_each_half_hour_of_a_split() -> None:
    for splits, expected in ((False, (0, 1)), (True, (0, 2))):
        jobs = {"half_hours": 2, "interruptible": splits, "carbon_cap_gco2_kwh": 150.0}
        problem = a_problem(sites=1, half_hours=4, carbon_gco2_kwh=[[100, 200, 100, 201]], jobs=jobs)
        assert searched(problem, scratch_of([1.0, 1.0, 2.0, 0.0]))[2] == expected


@pytest.mark.parametrize("splits", [False, True])
def test_the_cost_of_a_place_is_what_the_search_says_of_it(splits: bool) -> None:
    for seed in range(60):
        problem, scratch = a_case(seed, splits=splits, has_money=False)
        records = np.repeat(read_jobs(problem)[0], 2)
        records["offset"][1] = 5  # after those of other jobs
        for one in all_options(problem, scratch):
            slots = np.array([7, 7, 7, 7, 7, *one.slots])
            assert costing(records, 1, slots, scratch) == one.cost


@pytest.mark.parametrize("splits", [False, True])
@pytest.mark.parametrize(
    ("row", "window"),
    [([inf] * 6, (0, 6)), ([1.0] * 6, (4, 6)), ([1.0, 1, inf, inf, inf, 1], (0, 5)), ([1.0] * 6, (5, 2))],
)
def test_where_too_little_is_open_there_is_no_option(splits: bool, row: list, window: tuple[int, int]) -> None:
    for cap in (inf, 1000.0):
        jobs = {"half_hours": 3, "interruptible": splits, "max_price_gbp": cap}
        jobs |= {"first_slot": window[0], "end_slot": window[1]}
        assert searched(a_problem(sites=1, jobs=jobs), scratch_of(row)) == (inf, inf, ())
