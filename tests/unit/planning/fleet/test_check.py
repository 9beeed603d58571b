from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pylon.planning import fleet
from pylon.planning.fleet import Places
from tests.unit.planning.fleets import a_problem


def moved(plan, **places):
    return dataclasses.replace(plan, places=dataclasses.replace(plan.places, **places))


def broken(problem, plan) -> set[str]:
    return {one.limit for one in fleet.check(problem, plan)}


@pytest.mark.parametrize(
    ("limit", "field", "job", "slots"),
    [
        ("power_mw", {"room_mw": np.array([[9.0] * 5 + [0.5]])}, {}, [4, 5]),
        ("gpus", {"room_gpus": np.array([[9.0] * 5 + [0.5]])}, {"gpus": 1.0}, [4, 5]),
        ("rise", {"ramp_mw": np.array([0.5])}, {}, [4, 5]),
        ("fall", {"ramp_mw": np.array([0.5])}, {}, [0, 1]),
        ("one_piece", {}, {}, [0, 2]),
        ("order", {}, {"interruptible": True}, [2, 2]),
        ("first_slot", {}, {"first_slot": 1}, [0, 1]),
        ("latest_end", {}, {"end_slot": 5}, [4, 5]),
        (
            "carbon_cap",
            {"carbon_gco2_kwh": np.array([[100.0] * 5 + [200.0]])},
            {"carbon_cap_gco2_kwh": 120.0},
            [4, 5],
        ),
        ("max_price", {"price_gbp_mwh": np.array([[50.0] * 5 + [90.0]])}, {"max_price_gbp": 60.0}, [4, 5]),
        ("signals_known", {"price_gbp_mwh": np.array([[50.0] * 5 + [np.nan]])}, {}, [4, 5]),
        ("cost", {"price_gbp_mwh": np.array([[50.0] * 5 + [90.0]])}, {}, [4, 5]),
    ],
)
def test_each_limit_is_found_broken(limit: str, field: dict, job: dict, slots: list[int]) -> None:
    problem = a_problem(sites=1, **field, jobs={"half_hours": 2} | job)
    without = a_problem(sites=1, **{k: v for k, v in field.items() if k != "ramp_mw"}, jobs={"half_hours": 2} | job)
    plan = fleet.plan(without)
    assert limit not in broken(problem, plan) or "ramp_mw" in field
    assert limit in broken(problem, moved(plan, slots=np.array(slots)))


def test_a_site_that_is_not_allowed_and_a_fixed_job_that_moved_are_found() -> None:
    problem = a_problem(jobs={"allowed": np.array([[True, False]])})
    assert "region" in broken(problem, moved(fleet.plan(problem), site=np.array([1])))
    present = Places(site=np.array([0]), slots=np.array([3]), offsets=np.array([0, 1]))
    fixed = a_problem(jobs={"present": present, "is_fixed": np.array([True])})
    assert broken(fixed, moved(fleet.plan(fixed), slots=np.array([2]))) == {"fixed"}


def test_a_bound_above_the_cost_is_found() -> None:
    problem = a_problem()
    plan = fleet.plan(problem)
    assert broken(problem, dataclasses.replace(plan, bound_gbp=plan.cost.total + 1)) == {"bound"}
