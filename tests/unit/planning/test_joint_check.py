from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pylon.planning.joint import Together, check, plan_together
from tests.unit.planning.batteries import a_store, scarce


@pytest.fixture(scope="module")
def found() -> Together:
    """Return a plan in which work relies on a battery."""
    problem = scarce()
    return plan_together(problem, [a_store(problem)])


def limits(together: Together) -> set[str]:
    problem = scarce()
    return {breach.limit for breach in check(problem, [a_store(problem)], together)}


def test_a_plan_within_all_limits_has_no_breach(found):
    assert limits(found) == set()


def test_sums_that_are_not_what_they_say_are_found(found):
    assert limits(replace(found, cost_gbp=found.cost_gbp - 1)) == {"cost"}
    assert limits(replace(found, bound_gbp=found.cost_gbp + 1)) == {"bound"}


@pytest.mark.parametrize(
    ("name", "change", "limit"),
    [
        ("discharge_mw", lambda mw: 0 * mw, "power_mw"),
        ("discharge_mw", lambda mw: mw + 2, "store 0 power"),
        ("charge_mw", lambda mw: mw - 1, "store 0 power"),
        ("charge_mw", lambda mw: mw + 0.1, "store 0 one_way"),
        ("charge_mw", lambda mw: mw + 50, "store 0 band"),
        ("discharge_mw", lambda mw: mw + 0.2, "store 0 end"),
        ("stored_mwh", lambda mwh: mwh + 0.1, "store 0 stored"),
        ("short_mw", lambda mw: mw + 0.1, "store 0 short"),
        ("value_gbp", lambda gbp: gbp + 1, "store 0 value"),
    ],
)
def test_a_dispatch_that_is_not_what_it_says_is_found(found, name, change, limit):
    one = found.dispatches[0]
    assert limit in limits(replace(found, dispatches=(replace(one, **{name: change(getattr(one, name))}),)))


def test_a_half_hour_in_which_it_was_to_idle_is_found(found):
    problem = scarce()
    still = replace(a_store(problem), hours=np.array([0.5, 0, 0.5, 0.5]))
    assert "store 0 idle" in {breach.limit for breach in check(problem, [still], found)}


def test_a_breach_of_the_fleet_alone_is_found_too():
    problem = scarce()
    found = plan_together(problem, [a_store(problem)])
    late = scarce(first_slot=2, end_slot=4)
    assert "first_slot" in {breach.limit for breach in check(late, [a_store(late)], found)}
