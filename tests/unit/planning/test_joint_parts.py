from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pylon.planning import fleet
from pylon.planning.fleet import Places
from pylon.planning.joint import load_of, plan_together
from tests.unit.planning.batteries import a_store, scarce
from tests.unit.planning.fleets import a_problem


def test_the_load_is_what_jobs_draw_at_the_facility_and_those_that_do_not_run_draw_nothing():
    jobs = {"count": 3, "half_hours": [2, 1, 1], "it_power_mw": [1.0, 2.0, 4.0]}
    problem = a_problem(half_hours=3, pue=np.array([1.5, 1.0]), jobs=jobs)
    places = Places(site=np.array([0, 1, -1]), slots=np.array([0, 2, 2, -1]), offsets=problem.jobs.offsets)
    assert load_of(problem, places).tolist() == [[1.5, 0, 1.5], [0, 0, 2]]
    assert load_of(problem, places, np.array([False, True, True])).tolist() == [[0, 0, 0], [0, 0, 2]]


def test_gaps_are_shares_of_the_bound_with_and_without_what_is_forced():
    problem = scarce(count=2, first_slot=[1, 1], end_slot=[2, 1])  # the second has no time to run in
    found = plan_together(problem, [a_store(problem)])
    assert found.plan.forced_gbp == 1000
    given = replace(found, cost_gbp=1500.0, bound_gbp=1250.0)
    assert (given.gap_gbp, given.gap, given.gap_of_choice) == (250, 0.2, pytest.approx(1))
    assert replace(given, bound_gbp=900.0).gap_of_choice is None
    assert replace(given, bound_gbp=0.0).gap is None


def test_what_the_fleet_says_of_itself_is_of_the_room_that_batteries_leave():
    problem = scarce()
    found = plan_together(problem, [a_store(problem)])
    room = problem.sites.room_mw + found.dispatches[0].power_mw
    roomy = replace(problem, sites=replace(problem.sites, room_mw=room))
    assert fleet.check(roomy, found.plan) == ()
