from __future__ import annotations

import dataclasses
from math import inf

import numpy as np
import pytest

from pylon.planning.fleet import FleetProblem, Places
from pylon.planning.fleet._arrays import GPUS, POWER, nobody
from pylon.planning.fleet._pass import TERMS
from pylon.planning.fleet._read import places_of, read
from tests.unit.planning.fleets import a_problem, options_of, random_problem


def options_alone(problem: FleetProblem, j: int) -> list[tuple[float, int, tuple[int, ...]]]:
    """Return the options of a job for which there is room while no other runs."""
    jobs, sites = problem.jobs, problem.sites
    return [
        (cost, site, slots)
        for cost, site, slots in options_of(problem, j)
        if (jobs.it_power_mw[j] * sites.pue[site] <= sites.room_mw[site, list(slots)]).all()
        and (jobs.gpus[j] <= sites.room_gpus[site, list(slots)]).all()
    ]


def mixed() -> FleetProblem:
    """Return five jobs: one that chooses, one too large, one worth what it costs, a fixed one, one worth more."""
    return a_problem(
        half_hours=4,
        room_gpus=np.full((2, 4), 8.0),
        jobs={
            "count": 5,
            "half_hours": np.array([2, 1, 1, 2, 1]),
            "it_power_mw": np.array([1.0, 11.0, 1.0, 1.0, 1.0]),
            "gpus": 3.0,
            "value_gbp": np.array([1000.0, 700.0, 30.0, 1000.0, 30.5]),
            "migration_gbp": 7.0,
            "wait_gbp_per_half_hour": 1.0,
            "present": Places(
                site=np.array([-1, -1, -1, 1, -1]),
                slots=np.array([-1, -1, -1, -1, 2, 3, -1]),
                offsets=np.array([0, 2, 3, 4, 6, 7]),
            ),
            "is_fixed": np.arange(5) == 3,
        },
    )


def test_jobs_choose_are_fixed_or_are_set_aside() -> None:
    reading = read(mixed())
    assert (reading.free.tolist(), reading.aside.tolist()) == ([0, 4], [1, 2])
    assert reading.fleet.records["value"].tolist() == [1000, 30.5]
    assert reading.fleet.records["offset"].tolist() == [0, 2]
    assert reading.floors.tolist() == [[60, 67], [inf, inf], [30, 37], [inf, inf], [30, 37]]


def test_what_no_plan_can_change_is_counted_and_its_room_is_gone() -> None:
    reading = read(mixed())
    gbp = dict(zip(TERMS, reading.forced.tolist(), strict=True))
    assert gbp == {
        "energy": 50,
        "carbon": 10,
        "stress": 0,
        "migration": 7,
        "wait": 2,
        "leaving": 0,
        "lost": 730,
    }
    assert reading.cells.limits[POWER].tolist() == [[10] * 4, [10, 10, 9, 9]]
    assert reading.cells.limits[GPUS].tolist() == [[8] * 4, [8, 8, 5, 5]]


def test_the_places_of_those_that_chose_return_among_those_of_all() -> None:
    problem = mixed()
    reading = read(problem)
    standing = nobody(reading.fleet.records, reading.fleet.cells)
    standing.site[:], standing.slots[:] = [1, -1], [1, 2, 3]  # the last was dropped where it stood
    places = places_of(problem, reading, standing)
    assert places.site.tolist() == [1, -1, -1, 1, -1]
    assert places.slots.tolist() == [1, 2, -1, -1, 2, 3, -1]


def test_a_job_chooses_where_an_option_costs_less_than_it_is_worth() -> None:
    seen = set()
    for seed in range(40):
        problem = random_problem(seed, has_money=False)
        problem = dataclasses.replace(problem, jobs=dataclasses.replace(problem.jobs, leaving_gbp=None))
        least = [min((option[0] for option in options_alone(problem, j)), default=inf) for j in range(3)]
        reading = read(problem)
        assert reading.floors.min(axis=1) == pytest.approx(least)
        assert reading.free.tolist() == [j for j in range(3) if least[j] < problem.jobs.value_gbp[j]]
        assert sorted([*reading.free, *reading.aside]) == [0, 1, 2]
        seen.update(["none" if one == inf else "some" for one in least])
    assert seen == {"none", "some"}


@pytest.mark.parametrize(("ramp", "free"), [(inf, []), (5.0, [0])])
def test_a_job_worth_less_than_it_costs_may_run_only_where_a_ramp_may_need_it(ramp: float, free: list) -> None:
    assert read(a_problem(sites=1, ramp_mw=[ramp], jobs={"value_gbp": 1.0})).free.tolist() == free


def standing_now(site: int, slots: list[int], jobs: dict, **field) -> FleetProblem:
    present = Places(site=np.array([site]), slots=np.array(slots), offsets=np.array([0, len(slots)]))
    return a_problem(**field, jobs={"half_hours": 2, "present": present} | jobs)


DIRTIER = np.array([[100.0, 100, 160, 100, 100, 100]] * 2)
DEARER = np.array([[50.0, 50, 200, 50, 50, 50]] * 2)


@pytest.mark.parametrize(
    ("may", "jobs", "field", "slots"),
    [
        (True, {}, {}, [1, 2]),
        (False, {"allowed": np.array([[False, True]])}, {}, [1, 2]),
        (True, {"first_slot": 1}, {}, [1, 2]),
        (False, {"first_slot": 2}, {}, [1, 2]),
        (True, {"end_slot": 3}, {}, [1, 2]),
        (False, {"end_slot": 2}, {}, [1, 2]),
        (False, {}, {}, [1, 3]),
        (True, {"interruptible": True}, {}, [1, 3]),
        (True, {"carbon_cap_gco2_kwh": 130.0}, {"carbon_gco2_kwh": DIRTIER}, [1, 2]),
        (False, {"carbon_cap_gco2_kwh": 129.0}, {"carbon_gco2_kwh": DIRTIER}, [1, 2]),
        (False, {"carbon_cap_gco2_kwh": 130.0, "interruptible": True}, {"carbon_gco2_kwh": DIRTIER}, [1, 2]),
        (True, {"max_price_gbp": 125.0}, {"price_gbp_mwh": DEARER}, [1, 2]),
        (False, {"max_price_gbp": 124.0}, {"price_gbp_mwh": DEARER}, [1, 2]),
        (True, {}, {"room_mw": [[0.0] * 6, [10.0] * 6]}, [1, 2]),  # others may have left by then
    ],
)
def test_a_job_may_stay_within_its_own_limits(may: bool, jobs: dict, field: dict, slots: list[int]) -> None:
    reading = read(standing_now(0, slots, jobs, **field))
    assert reading.free.tolist() == [0]
    assert reading.fleet.floors.present.tolist() == slots
    assert reading.fleet.floors.may_stay.tolist() == [may]


def test_a_job_that_stands_nowhere_cannot_stay() -> None:
    assert read(standing_now(-1, [-1, -1], {})).fleet.floors.may_stay.tolist() == [False]


def test_where_every_job_is_fixed_the_places_are_those_of_now() -> None:
    present = Places(site=np.array([1, 0]), slots=np.array([0, 5, 2]), offsets=np.array([0, 2, 3]))
    jobs = {"count": 2, "half_hours": np.array([2, 1]), "present": present, "is_fixed": np.ones(2, bool)}
    problem = a_problem(room_mw=np.zeros((2, 6)), jobs=jobs)  # whatever limits say
    reading = read(problem)
    assert (reading.free.size, reading.aside.size, reading.fleet.records.size) == (0, 0, 0)
    places = places_of(problem, reading, nobody(reading.fleet.records, reading.fleet.cells))
    assert (places.site.tolist(), places.slots.tolist()) == ([1, 0], [0, 5, 2])
    assert reading.forced[-1] == 0


@pytest.mark.parametrize(("sites", "count"), [(0, 3), (2, 0), (0, 0)])
def test_without_a_site_every_job_is_set_aside(sites: int, count: int) -> None:
    problem = a_problem(sites=sites, jobs={"count": count, "origin": -1})
    reading = read(problem)
    assert (reading.free.tolist(), reading.aside.tolist()) == ([], list(range(count)))
    assert reading.forced.sum() == 1000 * count
    assert places_of(problem, reading, nobody(reading.fleet.records, reading.cells)).site.tolist() == [-1] * count
