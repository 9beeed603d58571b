from __future__ import annotations

import dataclasses
import itertools
from math import inf

import numpy as np
import pytest

from pylon.planning.fleet import FleetProblem, Places
from pylon.planning.fleet._arrays import POWER, nobody, read_cells, read_jobs
from pylon.planning.fleet._bound import ask
from pylon.planning.fleet._choice import Floors
from pylon.planning.fleet._field import Push
from pylon.planning.fleet._method import Fleet
from pylon.planning.fleet._pass import sweep
from pylon.planning.fleet._read import read
from tests.unit.planning.fleets import a_problem, random_problem

from .test_read import options_alone

# A job chooses in a pass, which takes the place, and in the bound, which takes the cost.

FREE = Push(0.0, 0.0, 0.0, 0.0, False)
HARD = FREE._replace(is_hard=True)


def a_fleet(**given) -> Fleet:
    return read(a_problem(**given)).fleet


def place_of(fleet: Fleet, j: int = 0, *, guess=-1, prices=None, push=FREE, others=()) -> tuple[int, tuple]:
    """Return the site and the half hours that a job chooses; of `others` each has its site and its half hour."""
    records, cells, floors, _ = fleet
    standing = nobody(records, cells)
    standing.site[j] = guess
    for other, (site, slot) in enumerate(others, start=1):
        standing.site[other], standing.slots[records["offset"][other]] = site, slot
    prices = np.zeros_like(cells.limits) if prices is None else prices
    sweep(records, np.array([j]), cells, prices, push, floors, standing)
    begin = records["offset"][j]
    slots = standing.slots[begin : begin + records["length"][j]]
    return int(standing.site[j]), tuple(slots.tolist()) if standing.site[j] >= 0 else ()


def bound_of(fleet: Fleet, j: int, *, guess: int, prices: np.ndarray) -> float:
    """Return the least that a job costs, whatever the room is worth."""
    floors, only = fleet.floors, slice(j, j + 1)
    least = Floors(floors.gbp[only], floors.order[only], floors.rates, floors.present, floors.may_stay[only])
    room = 0.5 * (prices * fleet.cells.limits).sum()
    return ask(fleet.records[only], fleet.cells, prices, least, np.array([guess]))[0] + room


def a_case(seed: int) -> tuple[FleetProblem, np.ndarray]:
    """Return jobs that are worth much, half of them with a cap on money that may bind, and what power is worth."""
    dice, problem = np.random.default_rng(seed), random_problem(seed)
    jobs, prices = problem.jobs, np.zeros((4, *problem.sites.shape))
    prices[POWER] = dice.exponential(60, problem.sites.shape) * (dice.random(problem.sites.shape) < 0.5)
    cap = np.where(dice.random(3) < 0.5, jobs.it_power_mw * jobs.half_hours * dice.uniform(10, 60, 3), inf)
    jobs = dataclasses.replace(jobs, max_price_gbp=cap, value_gbp=jobs.value_gbp + 100)
    return dataclasses.replace(problem, jobs=jobs), prices


def test_the_choice_is_the_best_of_all_places_from_any_guess() -> None:
    capped = led = 0
    for seed in range(120):
        problem, prices = a_case(seed)
        jobs, sites, reading = problem.jobs, problem.sites, read(problem)
        for place, j in enumerate(reading.free.tolist()):
            need = 0.5 * jobs.it_power_mw[j] * sites.pue[:, None] * prices[POWER]
            alone = {(site, slots): cost for cost, site, slots in options_alone(problem, j)} | {
                (-1, ()): jobs.value_gbp[j]
            }
            costs = {at: cost + need[at[0], list(at[1])].sum() for at, cost in alone.items()}
            best = min(costs.values())
            is_exact = not jobs.interruptible[j] or jobs.half_hours[j] == 1 or jobs.max_price_gbp[j] == inf
            for guess in range(-1, sites.shape[0]):
                least = bound_of(reading.fleet, place, guess=guess, prices=prices)
                cost = costs[place_of(reading.fleet, place, guess=guess, prices=prices)]
                assert least <= best + 1e-6, seed
                if is_exact:
                    assert (least, cost) == (pytest.approx(best), pytest.approx(best)), seed
            capped += not is_exact
            led += min(costs, key=costs.__getitem__) != min(alone, key=alone.__getitem__)
    assert min(capped, led) > 10


@pytest.mark.parametrize(("guess", "site"), [(-1, 0), (0, 0), (1, 1), (2, 2)])
def test_of_equals_the_guess_stays_and_else_the_first_site(guess: int, site: int) -> None:
    assert place_of(a_fleet(sites=3), guess=guess) == (site, (0,))


def test_a_job_that_costs_what_it_is_worth_does_not_run() -> None:
    prices = np.zeros((4, 2, 6))
    prices[POWER] = 10.0
    for value, expected in ((35.0, (-1, ())), (35.5, (0, (0,)))):
        assert place_of(a_fleet(jobs={"value_gbp": value}), prices=prices) == expected


def test_a_low_floor_with_a_high_price_leads_to_the_next_site() -> None:
    fleet = a_fleet(sites=3, price_gbp_mwh=np.repeat([[10.0], [50.0], [90.0]], 6, axis=1))
    prices = np.zeros((4, 3, 6))
    for worth, expected in ((39.0, 0), (41.0, 1), (99.0, 1)):
        prices[POWER, 0] = worth
        assert [place_of(fleet, prices=prices, guess=guess)[0] for guess in range(-1, 3)] == [expected] * 4


def test_staying_is_free_where_the_job_may_stay_and_others_leave_it_room() -> None:
    present = Places(site=np.array([1, -1]), slots=np.array([4, -1]), offsets=np.array([0, 1, 2]))
    jobs = {"count": 2, "it_power_mw": np.array([1.0, 9.5]), "migration_gbp": 2.0, "present": present}
    fleet = a_fleet(jobs=jobs | {"leaving_gbp": np.array([5.0, 0.0])})
    assert place_of(fleet, push=HARD) == (1, (4,))
    assert place_of(fleet, push=HARD, others=[(1, 4)]) == (0, (0,))
    floors = fleet.floors._replace(may_stay=np.zeros(2, np.bool_))
    assert place_of(fleet._replace(floors=floors)) == (0, (0,))


def test_a_dip_that_a_ramp_forbids_is_filled_by_a_job_that_pays_nowhere_else() -> None:
    jobs = {"count": 3, "it_power_mw": 5.0, "value_gbp": 20.0}
    fleet = a_fleet(half_hours=3, price_gbp_mwh=[[10.0] * 3, [50.0] * 3], ramp_mw=[inf, 1.0], jobs=jobs)
    push = FREE._replace(kappa=100.0)
    assert place_of(fleet, push=push) == (-1, ())
    # GBP 150 where its floor is higher than its worth, less half an hour of two steps that were 4 MW too large.
    assert place_of(fleet, push=push, others=[(1, 0), (1, 2)]) == (1, (1,))


@pytest.mark.parametrize(("push", "expected"), [(HARD, (-1, ())), (FREE, (0, (0,)))])
def test_where_others_have_all_the_room_a_hard_choice_is_none(push: Push, expected: tuple) -> None:
    fleet = a_fleet(half_hours=1, jobs={"count": 3, "it_power_mw": np.array([1.0, 9.5, 9.5])})
    assert place_of(fleet, push=push, others=[(0, 0), (1, 0)]) == expected


def test_a_site_closed_to_the_job_is_not_chosen_even_as_the_guess() -> None:
    for ramp, guess in itertools.product((inf, 1.0), (-1, 0, 1)):
        fleet = a_fleet(ramp_mw=[ramp, ramp], jobs={"allowed": np.array([[False, True]])})
        assert place_of(fleet, guess=guess) == (1, (0,))


def test_where_there_is_no_site_a_job_costs_what_it_is_worth() -> None:
    problem = a_problem(sites=0, jobs={"origin": -1})
    none = Floors(
        np.zeros((1, 0)),
        np.zeros((1, 0), np.int16),
        np.zeros((2, 0, 1)),
        np.zeros(1, np.int64),
        np.zeros(1, np.bool_),
    )
    fleet = Fleet(read_jobs(problem)[0], read_cells(problem), none, np.zeros((3, 0, 6)))
    assert place_of(fleet) == (-1, ())
    assert bound_of(fleet, 0, guess=-1, prices=np.zeros((4, 0, 6))) == 1000.0
