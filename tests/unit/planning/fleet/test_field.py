from __future__ import annotations

import itertools
from math import inf, nan

import numba
import numpy as np
import pytest

from pylon.planning.fleet import FleetProblem
from pylon.planning.fleet._arrays import FALL, GPUS, POWER, RISE, read_cells, read_jobs
from pylon.planning.fleet._field import Push, price_row
from pylon.planning.fleet._option import BEGIN, FINISH, ROW, Scratch
from tests.unit.planning.fleets import a_problem

FREE = Push(0.0, 0.0, 0.0, 0.0, False)
HARD = FREE._replace(is_hard=True)


@numba.njit
def priced(records, cells, prices, load, push, scratch):
    price_row(records[0], 0, cells, prices, load, push, scratch)


def rows_of(problem: FleetProblem, *, power=0.0, gpus=0.0, prices=(0.0, 0.0, 0.0, 0.0), push=FREE) -> np.ndarray:
    """Return the rows for the first job at the first site, where others take and limits are worth so much."""
    sites, half_hours = problem.sites.shape
    load, worth = np.zeros((2, sites, half_hours)), np.zeros((4, sites, half_hours))
    load[POWER], load[GPUS] = power, gpus
    for limit, price in enumerate(prices):
        worth[limit] = price
    scratch = Scratch(np.full((7, half_hours + 1), nan), np.zeros((4, half_hours), np.int64))
    priced(read_jobs(problem)[0], read_cells(problem), worth, load, push, scratch)
    return scratch.gbp[:, :half_hours]


def two_mw(half_hours: int, **field) -> FleetProblem:
    """Return a job that draws 2 MW, and so pays GBP 60 in each half hour, where there is room for 10."""
    return a_problem(sites=1, half_hours=half_hours, **{"pue": [2.0]} | field)


def test_the_marginal_price_rises_with_what_is_taken_and_never_pays() -> None:
    taken, prices = [5.0, 9.0, 12.0], (3.0, 0.0, 0.0, 0.0)
    rho = FREE._replace(rho=2.0)
    assert rows_of(two_mw(3), power=taken, prices=prices, push=rho)[ROW].tolist() == [60, 60 + 3, 60 + 9]
    kappa = rho._replace(kappa=10.0)  # in full from where the whole job is too much
    assert rows_of(two_mw(3), power=taken, prices=prices, push=kappa)[ROW].tolist() == [60, 60 + 8, 60 + 19]


def test_a_hard_pass_closes_what_others_have_taken_and_a_soft_one_does_not() -> None:
    taken = [8.0, 8.0 + 1e-10, 8.0 + 1e-6, 12.0]
    assert rows_of(two_mw(4), power=taken, push=HARD)[ROW].tolist() == [60, 60, inf, inf]
    assert rows_of(two_mw(4), power=taken)[ROW].tolist() == [60, 60, 60, 60]


@pytest.mark.parametrize("push", [FREE, HARD])
def test_a_half_hour_that_is_too_small_or_not_known_is_closed(push: Push) -> None:
    problem = two_mw(4, room_mw=[[10, 2, 1.9, 10]], price_gbp_mwh=[[50, 50, 50, nan]])
    assert rows_of(problem, push=push)[ROW].tolist() == [60, 60, inf, inf]
    assert rows_of(two_mw(4, room_mw=[[0] * 4]), push=push)[ROW].tolist() == [inf] * 4


def test_only_the_window_is_written() -> None:
    problem = two_mw(4, jobs={"first_slot": 1, "end_slot": 3})
    assert np.isnan(rows_of(problem)[ROW]).tolist() == [True, False, False, True]


def test_gpus_have_their_own_price() -> None:
    def with_gpus(gpus: float) -> FleetProblem:
        return a_problem(sites=1, half_hours=4, room_gpus=[[8] * 4], jobs={"gpus": gpus})

    taken, prices = [0.0, 4.0, 6.0, 9.0], (0.0, 3.0, 0.0, 0.0)
    push = FREE._replace(gpu_rho=2.0, gpu_kappa=10.0)
    paid = [30, 30, 30 + 2 * (3 + 5), 30 + 2 * (9 + 10)]
    assert rows_of(with_gpus(4), gpus=taken, prices=prices, push=push)[ROW].tolist() == paid
    assert rows_of(with_gpus(4), gpus=taken, push=HARD)[ROW].tolist() == [30, 30, inf, inf]
    assert rows_of(with_gpus(9))[ROW].tolist() == [inf] * 4
    for one in (push, HARD):
        assert rows_of(with_gpus(0), gpus=taken, prices=prices, push=one)[ROW].tolist() == [30] * 4


def worth_of_ramps(taken: np.ndarray, ramp: float, prices: tuple, push: Push) -> float:
    """Return the GBP of all ramps, by the words of the augmented Lagrangian."""
    total = 0.0
    for (before, after), up, down in zip(itertools.pairwise(taken), prices[RISE], prices[FALL], strict=False):
        for excess, price in ((after - before - ramp, up), (before - after - ramp, down)):
            total += push.kappa * max(0, excess)
            total += max(0, price + push.rho * excess) ** 2 / (2 * push.rho) if push.rho else price * excess
    return 0.5 * total


def a_ramped_case(seed: int, interruptible: bool) -> tuple[np.ndarray, tuple, Push, FleetProblem]:
    dice = np.random.default_rng(seed)
    push = FREE._replace(rho=(0.0, 0.5, 3.0)[seed % 3], kappa=(0.0, 5.0)[seed % 2])
    prices = (0.0, 0.0, *(dice.exponential(4, (2, 6)) * (dice.random((2, 6)) < 0.5)))
    jobs = {"half_hours": 2, "it_power_mw": 1.3, "interruptible": interruptible}
    problem = a_problem(sites=1, room_mw=[[1e6] * 6], pue=[1.2], ramp_mw=[1.5], jobs=jobs)
    return dice.uniform(0, 4, 6), prices, push, problem


@pytest.mark.parametrize("seed", range(12))
def test_a_job_in_one_piece_pays_what_it_changes_of_all_ramps(seed: int) -> None:
    taken, prices, push, problem = a_ramped_case(seed, interruptible=False)
    rows = rows_of(problem, power=taken, prices=prices, push=push)
    assert rows[ROW] == pytest.approx(0.5 * 1.56 * 60)
    before = worth_of_ramps(taken, 1.5, prices, push)
    for begin, end in itertools.combinations(range(7), 2):
        after = taken.copy()
        after[begin:end] += 1.56
        change = worth_of_ramps(after, 1.5, prices, push) - before
        assert rows[BEGIN, begin] + rows[FINISH, end - 1] == pytest.approx(change, abs=1e-9)


def test_a_split_pays_as_much_for_half_hours_apart_and_no_less_for_neighbours() -> None:
    above = 0
    for seed in range(12):
        taken, prices, push, problem = a_ramped_case(seed, interruptible=True)
        rows = rows_of(problem, power=taken, prices=prices, push=push)
        assert not rows[[BEGIN, FINISH]].any()
        paid, before = rows[ROW] - 0.5 * 1.56 * 60, worth_of_ramps(taken, 1.5, prices, push)
        for one, other in itertools.combinations(range(6), 2):
            after = taken.copy()
            after[[one, other]] += 1.56
            change = worth_of_ramps(after, 1.5, prices, push) - before
            if other > one + 1:
                assert paid[one] + paid[other] == pytest.approx(change, abs=1e-9)
            else:
                assert paid[one] + paid[other] >= change - 1e-9
                above += paid[one] + paid[other] > change + 1e-3
    assert above > 10


@pytest.mark.parametrize(
    ("power_mw", "taken", "begin", "finish"),
    [
        (1.0, [0, 0, 0], [0, 0, 0], [0, 0, 0]),
        (2.0, [0, 0, 0], [0, inf, inf], [inf, inf, 0]),  # the field's own ends have no limit
        (1.0, [0, 3, 0], [0, inf, 0], [0, inf, 0]),  # beyond the limit already: no further
    ],
)
def test_a_hard_pass_closes_a_step_beyond_its_ramp(power_mw: float, taken: list, begin: list, finish: list) -> None:
    problem = a_problem(sites=1, half_hours=3, ramp_mw=[1.0], jobs={"it_power_mw": power_mw})
    rows = rows_of(problem, power=taken, push=HARD)
    assert (rows[BEGIN].tolist(), rows[FINISH].tolist()) == (begin, finish)
