"""What stands, as a plan: bookings left where they are and storage around them, to be held against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pylon.errors import DecisionError
from pylon.planning import battery, fleet, joint
from pylon.planning.fleet import Breach, FleetProblem, Plan
from pylon.planning.joint import Store, Together

__all__ = ["around", "better", "must_respect_bound", "unmoved_of"]

_TOLERANCE: Final = 1e-6
"""Share of a cost that rounding may make."""


def around(problem: FleetProblem, stores: Sequence[Store], plan: Plan) -> Together:
    """Return a plan of the jobs with the best that storage can do around it: it gives what the work needs first."""
    short = joint.load_of(problem, plan.places) - np.maximum(problem.sites.room_mw, 0.0)
    dispatches = []
    for store in stores:
        least = short[store.site] if store.site >= 0 else None
        done = battery.dispatch(store.battery, store.field_gbp_mwh, store.hours, least_mw=least)
        dispatches.append(done)
        if store.site >= 0:
            short[store.site] -= done.power_mw
    return Together(
        plan=plan,
        dispatches=tuple(dispatches),
        cost_gbp=plan.cost.total - math.fsum(done.value_gbp for done in dispatches),
        bound_gbp=-math.inf,
        prices=plan.prices,
        rounds=0,
        relaxed=plan.relaxed,
    )


def unmoved_of(problem: FleetProblem, stores: Sequence[Store]) -> Together:
    """Return what comes of moving nothing that is booked, as far as limits allow, and placing the rest greedily.

    Where bookings break a limit, as after a cap, those that have a part in it are placed with the rest; where even
    that is not enough, all are.
    """
    present = problem.jobs.present
    assert present is not None  # noqa: S101  `problem_of` gives it
    stays = present.site >= 0
    found = _with_fixed(problem, stores, stays)
    if breaches := joint.check(problem, stores, found):
        found = _with_fixed(problem, stores, stays & ~_has_part(problem, breaches))
        if joint.check(problem, stores, found):
            found = _with_fixed(problem, stores, np.zeros_like(stays))
    return found


def better(problem: FleetProblem, stores: Sequence[Store], together: Together, other: Together) -> Together:
    """Return the cheaper of a plan and another, if that breaks no limit, with the bound of the first.

    Where a fleet is so full and its jobs so large that the planner loses what has been promised, what stands is it.
    """
    if together.cost_gbp <= other.cost_gbp or joint.check(problem, stores, other):
        return together
    told = {one.job: one for one in together.plan.rejected}
    rejected = (
        told.get(one.job, replace(one, price_to_fit_gbp=None) if one.has_option else one)
        for one in other.plan.rejected
    )
    # What is forced is forced on any plan; of what moves nothing that would be all that is fixed.
    plan = replace(other.plan, rejected=tuple(rejected), forced_gbp=together.plan.forced_gbp)
    return replace(together, plan=plan, dispatches=other.dispatches, cost_gbp=other.cost_gbp)


def must_respect_bound(together: Together) -> None:
    """Raise `DecisionError` when a plan costs less than its bound: it breaks a limit, or the bound is wrong."""
    if together.gap_gbp < -_TOLERANCE * max(1.0, abs(together.cost_gbp)):
        raise DecisionError(
            f"The plan came to GBP {together.cost_gbp:,.2f}, less than GBP {together.bound_gbp:,.2f}, below which "
            "no plan within the limits can cost. That is a fault of the planner's, and nothing of it was kept. "
            "The plan before it goes on standing; report this with the plan's input."
        )


def _with_fixed(problem: FleetProblem, stores: Sequence[Store], is_fixed: NDArray[np.bool_]) -> Together:
    plan = fleet.greedy(replace(problem, jobs=replace(problem.jobs, is_fixed=is_fixed)))
    return around(problem, stores, plan)


def _has_part(problem: FleetProblem, breaches: Sequence[Breach]) -> NDArray[np.bool_]:
    """Return which jobs stand where and when a limit is broken, or break one of their own."""
    jobs, present = problem.jobs, problem.jobs.present
    assert present is not None  # noqa: S101  only what stands is asked about
    is_broken, has_part = np.zeros(problem.sites.shape, dtype=np.bool_), np.zeros(len(jobs), dtype=np.bool_)
    for one in breaches:
        if one.job is not None:
            has_part[one.job] = True
        elif one.site is not None and one.slot is not None:
            is_broken[one.site, one.slot] = True
    owners = np.repeat(np.arange(len(jobs)), jobs.half_hours)
    stands = present.site[owners] >= 0
    owners, slots = owners[stands], present.slots[stands]
    has_part[owners[is_broken[present.site[owners], slots]]] = True
    return has_part
