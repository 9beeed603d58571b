from __future__ import annotations

import itertools

import numpy as np
import pytest

from pylon.planning import fleet
from pylon.planning.fleet import Places
from pylon.planning.fleet import _columns as columns
from pylon.planning.fleet._arrays import copy_of, nobody, total_of
from pylon.planning.fleet._method import costs_of
from pylon.planning.fleet._read import read, standing_of
from tests.unit.planning.fleets import a_problem, options_of, random_problem

EVERY = 1e9  # GBP: a plan at hand so dear that every choice has a column


def columns_at(problem, gbp: float = EVERY, prices=None, standing=None):
    """Return the jobs that choose, and the columns for plans below `gbp`."""
    reading = read(problem)
    choosing = reading.fleet
    at = np.zeros_like(choosing.cells.limits) if prices is None else prices
    standing = nobody(choosing.records, choosing.cells) if standing is None else standing
    return reading, columns.columns_of(choosing, at, standing, gbp)


def holds(made, values) -> bool:
    """Return whether the columns' values keep to all rows."""
    taken = np.bincount(made.rows, made.entries * values[made.columns], made.least.size)
    return bool((taken <= made.most + 1e-7).all() and (taken >= made.least - 1e-7).all())


@pytest.mark.parametrize("has_ramps", [False, True])
def test_whatever_stands_within_the_limits_is_said_by_columns_that_cost_as_much(has_ramps: bool) -> None:
    for seed in range(30):
        problem = random_problem(seed, has_ramps=has_ramps, count=6)
        reading, made = columns_at(problem)
        for plan in (fleet.greedy(problem), fleet.plan(problem, is_quick=True)):
            standing = standing_of(reading, plan.places)
            values = columns.values_of(made, reading.fleet, standing)
            gbp = total_of(reading.fleet.records["value"]) + float(made.gbp @ values)
            assert holds(made, values), seed
            assert gbp == pytest.approx(total_of(costs_of(reading.fleet, standing)), abs=1e-9)
            again = copy_of(standing)
            columns.place_by(made, reading.fleet, values, again)
            assert again.site.tolist() == standing.site.tolist()
            assert again.slots.tolist() == standing.slots.tolist()


def test_each_option_of_a_job_alone_has_its_columns_and_what_is_none_has_none() -> None:
    for seed in range(20):
        problem = random_problem(seed, count=1)
        reading, made = columns_at(problem)
        if not reading.free.size:
            continue
        options = {(site, slots) for _, site, slots in options_of(problem, 0)}
        window = range(int(problem.jobs.first_slot[0]), int(problem.jobs.end_slot[0]))
        for site in range(problem.sites.shape[0]):
            for slots in itertools.combinations(window, int(problem.jobs.half_hours[0])):
                standing = nobody(reading.fleet.records, reading.fleet.cells)
                standing.site[:], standing.slots[:] = site, slots
                values = columns.values_of(made, reading.fleet, standing)
                again = copy_of(standing)
                columns.place_by(made, reading.fleet, values, again)
                said = again.site[0] == site and tuple(again.slots.tolist()) == slots
                power = problem.jobs.it_power_mw[0] * problem.sites.pue[site]
                fits = (power <= problem.sites.room_mw[site, list(slots)]).all() and (
                    problem.jobs.gpus[0] <= problem.sites.room_gpus[site, list(slots)]
                ).all()
                kept = said and holds(made, values) and values.any()
                assert kept == ((site, slots) in options and fits), (seed, site, slots)


def test_a_choice_that_costs_more_than_the_plan_at_hand_has_no_column() -> None:
    price = np.array([[10.0, 20.0, 90.0]])
    field = {"sites": 1, "half_hours": 3, "price_gbp_mwh": price, "carbon_gco2_kwh": np.zeros((1, 3))}
    problem = a_problem(**field)
    assert [columns_at(problem, gbp)[1].slot.tolist() for gbp in (5.0, 10.0, 45.0)] == [[0], [0, 1], [0, 1, 2]]
    prices = np.zeros((4, 1, 3))
    prices[0, 0, 0] = 2.0  # 10 MW of room at GBP 2 are worth GBP 10, of which the job pays 1
    assert [columns_at(problem, gbp, prices)[1].slot.tolist() for gbp in (5.0, 36.0)] == [[0, 1], [0, 1, 2]]
    splits = a_problem(**field, jobs={"half_hours": 2, "interruptible": True})
    assert columns_at(splits, 15.0)[1].slot.tolist() == [0, 0, 1]
    assert columns_at(splits, 50.0)[1].slot.tolist() == [0, 0, 1, 2]


def test_what_stands_keeps_its_columns_whatever_it_costs() -> None:
    price = np.array([[10.0, 20.0, 90.0]])
    for splits in (False, True):
        jobs = {"half_hours": 2, "interruptible": splits}
        problem = a_problem(sites=1, half_hours=3, price_gbp_mwh=price, jobs=jobs)
        reading = read(problem)
        standing = nobody(reading.fleet.records, reading.fleet.cells)
        standing.site[:], standing.slots[:] = 0, (1, 2)
        _, made = columns_at(problem, 0.0, standing=standing)
        values = columns.values_of(made, reading.fleet, standing)
        assert holds(made, values)
        assert made.slot[values > 0].tolist() == ([1, 1, 2] if splits else [1])


def test_a_job_runs_in_every_plan_that_costs_less_than_its_value() -> None:
    problem = a_problem(jobs={"count": 2, "value_gbp": np.array([1000.0, 31.0])})
    reading = read(problem)
    standing = standing_of(reading, fleet.plan(problem).places)
    assert columns_at(problem, 100.0, standing=standing)[1].least[:2].tolist() == [1.0, 0.0]
    assert columns_at(problem, 100.0)[1].least[:2].tolist() == [0.0, 0.0]


def test_a_present_place_in_pieces_is_one_column_without_what_leaving_costs() -> None:
    present = Places(site=np.array([1]), slots=np.array([0, 3]), offsets=np.array([0, 2]))
    jobs = {"half_hours": 2, "interruptible": True, "wait_gbp_per_half_hour": 4.0, "migration_gbp": 7.0}
    problem = a_problem(jobs=jobs | {"present": present, "leaving_gbp": np.array([50.0])})
    _, made = columns_at(problem)
    assert made.gbp[made.kind == columns.STAY].tolist() == [2 * 30.0 + 2 * 4.0 + 7.0 - 1000.0]
    assert made.gbp[made.kind == columns.SITE].tolist() == [50.0 - 1000.0, 57.0 - 1000.0]
    assert made.gbp[(made.kind == columns.UNDONE) & (made.site == 0)].tolist() == [4.0] * 4


def test_the_least_with_a_half_hour_is_below_every_split_with_it_and_of_some_the_same() -> None:
    dice = np.random.default_rng(3)
    for _ in range(20):
        gbp, length = dice.uniform(-10, 50, 6), int(dice.integers(1, 4))
        waits = 5.0 * np.maximum(np.arange(6) + 1 - length, 0)
        least = columns._least_with(gbp, waits, length)
        for slot in range(6):
            costs = [
                gbp[list(slots)].sum() + waits[slots[-1]]
                for slots in itertools.combinations(range(6), length)
                if slot in slots
            ]
            assert least[slot] == pytest.approx(min(costs), abs=1e-9)
