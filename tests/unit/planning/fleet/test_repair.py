from __future__ import annotations

import random

import numpy as np
import pytest

from pylon.planning.fleet._arrays import FALL, GPUS, POWER, RISE, SLACK, copy_of, nobody
from pylon.planning.fleet._pass import weigh
from pylon.planning.fleet._read import read
from pylon.planning.fleet._repair import keep_to_limits, over_limits
from tests.unit.planning.fleets import a_problem, options_of, random_problem


def standing_of(fleet, sites, slots):
    standing = nobody(fleet.records, fleet.cells)._replace(site=np.array(sites), slots=np.array(slots))
    weigh(fleet.records, fleet.cells, standing)
    return standing


def repaired(fleet, standing):
    kept = copy_of(standing)
    keep_to_limits(fleet.records, fleet.cells, fleet.floors, kept, np.zeros_like(fleet.cells.limits))
    return kept


def crowd(power, value=1000.0, *, room_mw=2.0, half_hours=1, **field):
    """Return a fleet of one site, its jobs all in the first half hour, and where they stand."""
    count = len(power)
    room = np.full((1, half_hours), room_mw)
    jobs = {"count": count, "it_power_mw": np.array(power), "value_gbp": np.array(value), **field.pop("jobs", {})}
    fleet = read(a_problem(sites=1, half_hours=half_hours, room_mw=room, jobs=jobs, **field)).fleet
    return fleet, standing_of(fleet, [0] * count, [0] * count)


def test_over_limits_is_what_is_taken_less_what_there_is() -> None:
    problem = a_problem(
        sites=1,
        half_hours=3,
        room_mw=np.array([[4.0, 1.0, 4.0]]),
        room_gpus=np.full((1, 3), 6.0),
        base_mw=np.array([[1.0, 1.5, 1.5]]),
        ramp_mw=np.array([1.0]),
        jobs={"gpus": 4.0, "count": 2},
    )
    fleet = read(problem).fleet
    over = over_limits(fleet.cells, standing_of(fleet, [0, 0], [1, 1]))
    assert over[POWER].tolist() == [[-4.0, 1.0, -4.0]]
    assert over[GPUS].tolist() == [[-6.0, 2.0, -6.0]]
    assert over[RISE, 0, :2].tolist() == [1.5, -3.0]  # 2 MW up where the base leaves 0.5; 2 down
    assert over[FALL, 0, :2].tolist() == [-3.5, 1.0]
    assert (over[RISE:, 0, 2] < -1e6).all()  # nothing is known of the half hour after the last


def test_what_keeps_to_all_limits_is_left_as_it_is() -> None:
    fleet, standing = crowd([1.0, 1.0], half_hours=3, price_gbp_mwh=np.array([[90.0, 10.0, 10.0]]))
    kept = repaired(fleet, standing)
    assert (kept.site.tolist(), kept.slots.tolist()) == ([0, 0], [0, 0])
    np.testing.assert_array_equal(kept.load, standing.load)


def test_the_smallest_that_stands_too_much_moves_and_none_is_dropped() -> None:
    fleet, standing = crowd([1.0, 0.5, 0.8], room_mw=1.9, half_hours=2, price_gbp_mwh=np.array([[10.0, 90.0]]))
    kept = repaired(fleet, standing)
    assert (kept.site.tolist(), kept.slots.tolist()) == ([0, 0, 0], [0, 1, 0])


@pytest.mark.parametrize(
    ("power", "value", "room", "site"),
    [
        ([1.0, 1.0, 1.0], [100.0, 50.0, 80.0], 2.0, [0, -1, 0]),  # the one of least value
        ([1.0, 1.0, 1.0], [90.0, 90.0, 90.0], 2.0, [-1, 0, 0]),  # of as little, the first
        ([1.0, 0.4, 1.0], [100.0, 50.0, 80.0], 1.5, [0, 0, -1]),  # of those that cure it
        ([0.5, 0.6, 0.5], [70.0, 900.0, 80.0], 0.6, [-1, -1, 0]),  # if none does, first the largest
    ],
)
def test_where_nothing_else_is_free_a_job_goes(power: list, value: list, room: float, site: list) -> None:
    fleet, standing = crowd(power, value, room_mw=room)
    assert repaired(fleet, standing).site.tolist() == site


def test_gpus_are_repaired_as_power_is() -> None:
    gpus = {"room_gpus": np.array([[8.0]]), "jobs": {"gpus": np.array([4.0, 1.0, 6.0])}}
    fleet, standing = crowd([0.1] * 3, [100.0, 50.0, 110.0], **gpus)
    assert repaired(fleet, standing).site.tolist() == [-1, 0, 0]


def test_a_site_beyond_its_ramps_is_emptied_and_the_others_keep_theirs() -> None:
    problem = a_problem(
        half_hours=3, ramp_mw=np.array([1.0, 1.0]), jobs={"count": 3, "it_power_mw": np.array([1.0, 0.6, 0.6])}
    )
    fleet = read(problem).fleet
    kept = repaired(fleet, standing_of(fleet, [1, 0, 0], [1, 1, 1]))
    assert kept.site.tolist() == [1, -1, -1]
    assert not kept.load[:, 0].any()


@pytest.mark.parametrize("has_ramps", [False, True])
def test_from_any_standing_one_comes_that_keeps_to_all_limits(has_ramps: bool) -> None:
    beyond = 0
    for seed in range(80):
        problem, dice = random_problem(seed, count=10, has_ramps=has_ramps), random.Random(seed)
        reading = read(problem)
        fleet = reading.fleet
        standing = nobody(fleet.records, fleet.cells)
        for i, j in enumerate(reading.free.tolist()):
            _, standing.site[i], slots = dice.choice(options_of(problem, j))
            begin = fleet.records["offset"][i]
            standing.slots[begin : begin + len(slots)] = slots
        weigh(fleet.records, fleet.cells, standing)
        beyond += bool((over_limits(fleet.cells, standing) > SLACK).any())
        kept = repaired(fleet, standing)
        assert (over_limits(fleet.cells, kept) <= SLACK).all(), seed
        if not has_ramps and (over_limits(fleet.cells, standing) <= SLACK).all():
            assert kept.site.tolist() == standing.site.tolist()
    assert beyond > 40


def test_of_nobody_there_is_nothing_to_repair() -> None:
    fleet = read(a_problem(jobs={"count": 0})).fleet
    assert repaired(fleet, nobody(fleet.records, fleet.cells)).site.size == 0
