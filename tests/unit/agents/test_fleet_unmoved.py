"""What stands is held against a plan fairly: no limit broken, and nothing below the bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pylon.agents import fleet_plan
from pylon.agents._fleet_unmoved import better, must_respect_bound, unmoved_of
from pylon.errors import DecisionError
from pylon.planning import joint
from tests.unit.agents.test_fleet_plan import CONFIG, busy


def test_moving_nothing_keeps_what_is_forced_on_any_plan():
    document = fleet_plan.describe(busy(), CONFIG)
    problem = fleet_plan.problem_of(document)
    together = joint.plan_together(problem, ())
    dear = replace(together, cost_gbp=together.cost_gbp + 1e6)
    kept = better(problem, (), dear, unmoved_of(problem, ()))
    assert kept.plan is not together.plan
    assert kept.plan.forced_gbp == together.plan.forced_gbp
    assert kept.gap_of_choice is not None


def test_a_plan_below_its_bound_is_a_fault_and_no_plan():
    problem = fleet_plan.problem_of(fleet_plan.describe(busy(), CONFIG))
    together = joint.plan_together(problem, ())
    must_respect_bound(together)
    with pytest.raises(DecisionError, match="less than GBP"):
        must_respect_bound(replace(together, cost_gbp=together.bound_gbp - 1))


def test_a_plan_is_never_dearer_than_one_workload_after_another(monkeypatch):
    """Here the planner is made to do badly: what it found costs a thousand pounds more."""
    document = fleet_plan.describe(busy(), CONFIG)
    good = fleet_plan.work_out(document)

    def badly(*given):
        together = joint_plan(*given)
        return replace(together, cost_gbp=together.cost_gbp + 1000)

    joint_plan = joint.plan_together
    monkeypatch.setattr(joint, "plan_together", badly)
    poor = fleet_plan.work_out(document)
    assert poor["cost_gbp"] == min(poor["greedy"]["cost_gbp"], poor["standing"]["cost_gbp"])
    assert poor["cost_gbp"] < good["cost_gbp"] + 1000
    assert poor["bound_gbp"] == good["bound_gbp"]
