from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from pylon.agents import fleet_plan, standing
from pylon.agents.carbon_optimizer import Optimizing
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.identity import derived_uuid
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
UUID = derived_uuid(views.NOW, "plan")
VIEW = views.view(A, B, price=[100.0, 50.0, 10.0, 100.0], workloads=[views.workload(f"j{n}") for n in range(30)])


def read() -> standing.StandingPlan:
    outcome = fleet_plan.work_out(fleet_plan.describe(VIEW, Optimizing()))
    kept = json.loads(canonical_bytes(outcome))
    return standing.read(kept, VIEW.sites, uuid=UUID, plan_id="P-000007", after_seq=5)


def test_an_outcome_is_read_as_the_agents_use_it():
    plan = read()
    assert (plan.id, plan.plan_id, plan.after_seq, plan.made_at) == (UUID, "P-000007", 5, views.NOW)
    assert plan.places.keys() == {one.id for one in VIEW.workloads}
    assert all(place.spans[0].starts_at > views.NOW for place in plan.places.values())
    assert {place.data_centre_id for place in plan.places.values()} <= {A.id, B.id}
    assert max(plan.prices["power_mw"][A.id]) > 0


def test_an_arrival_needs_the_prices_alone():
    outcome = fleet_plan.work_out(fleet_plan.describe(VIEW, Optimizing()))
    plan = standing.read(outcome, VIEW.sites, uuid=UUID, plan_id="P-000007", after_seq=5, whole=False)
    assert plan == replace(read(), places={})


def test_of_a_data_centre_that_is_gone_there_are_no_prices():
    outcome = fleet_plan.work_out(fleet_plan.describe(VIEW, Optimizing()))
    plan = standing.read(outcome, [A], uuid=UUID, plan_id="P-000007", after_seq=5)
    assert plan.prices["power_mw"].keys() == {A.id}


@pytest.mark.parametrize("late", [0, 3, 96, 97, 500])
def test_prices_are_those_of_the_half_hours_asked_for_and_0_beyond_the_plans_end(late):
    plan = read()
    worth = standing.over(plan, "power_mw", [B.id, A.id], plan.starts_at + late * timedelta(minutes=30), 97)
    assert worth.shape == (2, 97)
    for row, site in zip(worth, (B.id, A.id), strict=True):
        ahead = list(plan.prices["power_mw"][site][late:])
        assert row.tolist() == ahead + [0.0] * (97 - len(ahead))


def test_nothing_is_known_of_a_site_or_limit_that_the_plan_does_not_have_or_before_it():
    plan = read()
    assert not standing.over(plan, "power_mw", [views.site("C", 1).id], plan.starts_at, 97).any()
    assert not standing.over(plan, "sunshine", [A.id], plan.starts_at, 97).any()
    assert not standing.over(plan, "power_mw", [A.id], plan.starts_at - timedelta(minutes=30), 97).any()


def test_what_is_kept_of_a_plan_says_which_it_is():
    plan = read()
    again = standing.recalled(json.loads(canonical_bytes(standing.described(plan))))
    assert (again.id, again.plan_id, again.gap, again.made_at) == (plan.id, plan.plan_id, plan.gap, plan.made_at)
    assert (again.places, again.prices) == ({}, {})


def test_runs_read_back_as_the_values():
    values = np.array([1.5, 1.5, math.inf, 0.0, 0.0, 1.5])
    assert standing.runs(values) == [[1.5, 2], [None, 1], [0.0, 2], [1.5, 1]]
    assert standing.unfolded(standing.runs(values)) == values.tolist()
