from __future__ import annotations

import itertools
from math import inf, nan

import numpy as np
import pytest

from pylon.planning.fleet import Places
from pylon.planning.fleet import _arrays as arrays
from pylon.planning.fleet._arrays import CARBON_SUM, COST, FALL, GPUS, POWER, PRICE_SUM, RISE
from tests.unit.planning.fleets import a_problem

UNLIMITED = arrays.UNLIMITED


def test_an_mwh_costs_its_energy_its_carbon_and_its_stress() -> None:
    problem = a_problem(
        sites=1, half_hours=2, price_gbp_mwh=[[50, 60]], carbon_gco2_kwh=[[100, 200]], stress=[0, 0.5]
    )
    terms, is_known = arrays.terms_of_field(problem)
    assert terms[:, 0].tolist() == [[50, 60], [10, 20], [0, 10]]
    assert is_known.all()
    field = arrays.read_cells(problem).field[:, 0]
    assert field[COST, :2].tolist() == [60, 90]
    assert field[PRICE_SUM].tolist() == [0, 50, 110]
    assert field[CARBON_SUM].tolist() == [0, 100, 300]


def test_a_half_hour_that_is_not_known_is_closed_and_its_stress_is_left_out() -> None:
    problem = a_problem(
        sites=1,
        half_hours=4,
        price_gbp_mwh=[[50, nan, 70, inf]],
        carbon_gco2_kwh=[[100, 100, nan, 100]],
        stress=[nan, 1, 1, 1],
    )
    terms, is_known = arrays.terms_of_field(problem)
    assert is_known.tolist() == [[True, False, False, False]]
    # What is known still counts for a job that is fixed there.
    assert terms[:, 0].tolist() == [[50, 0, 70, 0], [10, 10, 0, 10], [0, 20, 20, 20]]
    field = arrays.read_cells(problem).field[:, 0]
    assert field[COST, :4].tolist() == [60, inf, inf, inf]
    assert field[PRICE_SUM].tolist() == [0, 50, 50, 120, 120]
    assert field[CARBON_SUM].tolist() == [0, 100, 100, 100, 100]


@pytest.mark.parametrize(
    ("signal", "cap", "left"),
    [("price_gbp_mwh", "max_price_gbp", 10.0), ("carbon_gco2_kwh", "carbon_cap_gco2_kwh", 50.0)],
)
def test_a_signal_known_nowhere_closes_only_the_jobs_that_have_a_cap_on_it(
    signal: str, cap: str, left: float
) -> None:
    jobs = {"count": 2, cap: np.array([inf, 1e6])}
    unknown = a_problem(jobs=jobs, **{signal: np.full((2, 6), nan)})
    assert (arrays.read_cells(unknown).field[COST, :, :-1] == left).all()
    assert arrays.read_jobs(unknown)[1].tolist() == [[True, True], [False, False]]
    assert arrays.read_jobs(a_problem(jobs=jobs))[1].all()


def test_a_ramp_leaves_the_jobs_what_the_base_does_not_use() -> None:
    base = [[1, 3, 2], [1, 5, 2], [1, 3, 2]]
    cells = arrays.read_cells(a_problem(sites=3, half_hours=3, base_mw=base, ramp_mw=[2.5, 2.5, inf]))
    assert cells.has_ramps
    assert cells.limits[RISE].tolist() == [[0.5, 3.5, UNLIMITED], [0, 5.5, UNLIMITED], [UNLIMITED] * 3]
    assert cells.limits[FALL].tolist() == [[4.5, 1.5, UNLIMITED], [6.5, 0, UNLIMITED], [UNLIMITED] * 3]
    assert not arrays.read_cells(a_problem(sites=3, half_hours=3, base_mw=base)).has_ramps


def test_fixed_jobs_take_room_and_ramps_and_never_more_than_there_is() -> None:
    problem = a_problem(
        sites=1, half_hours=3, room_mw=[[3, 3, -1]], room_gpus=[[8, 8, 8]], ramp_mw=[2.5], jobs={"count": 0}
    )
    fixed = arrays.nobody(arrays.read_jobs(problem)[0], arrays.read_cells(problem))
    fixed.load[POWER], fixed.load[GPUS] = [[0, 4, 1]], [[0, 3, 9]]
    limits = arrays.read_cells(problem, fixed).limits[:, 0]
    assert limits[POWER].tolist() == [3, 0, 0]
    assert limits[GPUS].tolist() == [8, 5, 0]
    assert limits[RISE].tolist() == [0, 5.5, UNLIMITED]
    assert limits[FALL].tolist() == [6.5, 0, UNLIMITED]


def test_a_job_is_read_within_the_field() -> None:
    jobs = {"count": 3, "half_hours": np.array([1, 2, 3]), "interruptible": True, "gpus": 4.0}
    jobs["end_slot"] = np.array([2, 9, 4])
    records, _ = arrays.read_jobs(a_problem(half_hours=4, jobs=jobs))
    assert records["end"].tolist() == [2, 4, 4]
    assert records["offset"].tolist() == [0, 1, 3]
    assert records["splits"].tolist() == [False, True, True]
    assert records["present"].tolist() == [-1, -1, -1]
    assert records["gpus"].tolist() == [0, 0, 0]  # counted nowhere
    counted = np.full((2, 4), inf)
    counted[1, 3] = 8
    assert arrays.read_jobs(a_problem(half_hours=4, room_gpus=counted, jobs=jobs))[0]["gpus"].tolist() == [4, 4, 4]


def test_a_job_that_may_begin_after_the_field_is_read_as_beginning_at_its_end() -> None:
    jobs = {"count": 2, "first_slot": np.array([3, 1 << 40]), "end_slot": 1 << 41}
    assert arrays.read_jobs(a_problem(half_hours=4, jobs=jobs))[0]["first"].tolist() == [3, 4]


@pytest.mark.parametrize(("leaving", "expected"), [(None, [0, 0]), (np.array([7.0, 5.0]), [7, 5])])
def test_leaving_costs_what_is_said_or_nothing(leaving: np.ndarray | None, expected: list[float]) -> None:
    present = Places(site=np.array([1, -1]), slots=np.array([3, -1]), offsets=np.array([0, 1, 2]))
    records, _ = arrays.read_jobs(a_problem(jobs={"count": 2, "present": present, "leaving_gbp": leaving}))
    assert records["present"].tolist() == [1, -1]
    assert records["leaving"].tolist() == expected


def test_a_copy_of_a_standing_is_changed_by_itself() -> None:
    problem = a_problem(jobs={"count": 2, "half_hours": 3})
    standing = arrays.nobody(arrays.read_jobs(problem)[0], arrays.read_cells(problem))
    assert standing.site.tolist() == [-1, -1]
    assert (standing.slots.size, standing.load.shape) == (6, (2, 2, 6))
    for mine, other in zip(standing, arrays.copy_of(standing), strict=True):
        before = mine.copy()
        assert np.array_equal(mine, other)
        other += 1
        assert np.array_equal(mine, before)


def test_a_total_is_the_same_in_any_order() -> None:
    values = (1e16, 1.0, -1e16, 0.1)
    assert {arrays.total_of(np.array([one])) for one in itertools.permutations(values)} == {1.1}
    assert arrays.total_of(np.zeros((0, 3))) == 0.0


@pytest.mark.parametrize(("sites", "count"), [(0, 2), (0, 0), (2, 0)])
def test_without_sites_or_jobs_there_is_nothing_to_read(sites: int, count: int) -> None:
    problem = a_problem(sites=sites, jobs={"count": count, "origin": -1})
    records, allowed = arrays.read_jobs(problem)
    cells = arrays.read_cells(problem)
    assert (records.size, allowed.shape) == (count, (count, sites))
    assert (cells.field.shape, cells.limits.shape) == ((5, sites, 7), (4, sites, 6))
    assert not cells.has_ramps
