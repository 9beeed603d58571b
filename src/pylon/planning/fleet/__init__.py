"""The whole fleet at once: where and when every job runs, with a proven bound on how much better any plan could be.

    least cost = energy + carbon + stress + migration + wait + leaving + value of what does not run
    within       room for power and GPUs, ramps; windows, regions, caps on carbon and money

Jobs choose one after another, each its cheapest option at prices that rise with what is taken; prices follow what
is short. The same prices, put once to every job alone, prove the bound (docs/concepts/planning.md). Arrays in and
out; no clock, chance, thread or limit in seconds: the same problem gives the same bytes.

In the plan a job of several pieces keeps its carbon cap in each half hour, a job in one piece on their mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pylon.errors import Invalid
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import FALL, GPUS, POWER, RISE
from pylon.planning.fleet._bound import ask
from pylon.planning.fleet._check import Breach, check
from pylon.planning.fleet._exact import MOST_CHOICES, Effort, choices_of, solve_by_columns, some, whole
from pylon.planning.fleet._method import Solved, costs_of, place_greedily, solve
from pylon.planning.fleet._pass import TERMS
from pylon.planning.fleet._plan import RELAXED, Binding, Cost, Plan, Prices, Rejection
from pylon.planning.fleet._problem import FleetProblem, Jobs, Places, Sites
from pylon.planning.fleet._read import Reading, places_of, read, standing_of
from pylon.planning.fleet._reasons import rejections

__all__ = [
    "RELAXED",
    "Binding",
    "Breach",
    "Cost",
    "FleetProblem",
    "Jobs",
    "Places",
    "Plan",
    "Prices",
    "Rejection",
    "Sites",
    "bound",
    "check",
    "greedy",
    "improve",
    "plan",
    "solve_exactly",
]

LIMITS = ("power_mw", "gpus", "rise", "fall")
"""Of `Prices`, in its order."""


def plan(
    problem: FleetProblem,
    start: Prices | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    is_quick: bool = False,
) -> Plan:
    """Return the best plan found and its bound.

    `start`, the prices of a standing plan, makes a new plan of much the same problem faster. `progress` is told the
    stage, how many of its passes are done, and of how many; the last stage may end early. Of a small fleet many
    plans are made and the best is kept; `is_quick` makes do with the first, where it is planned again and again.
    """
    reading = read(problem, by_content=True)
    prices = np.zeros_like(reading.cells.limits) if start is None else _stacked(start, problem)
    solved = solve(reading.fleet, prices, progress or _say_nothing, is_quick)
    return _plan_of(problem, reading, solved)


def greedy(problem: FleetProblem) -> Plan:
    """Return a plan without prices: the jobs with the fewest options choose first, and keep what they took."""
    reading = read(problem, by_content=True)
    return _plan_of(problem, reading, place_greedily(reading.fleet))


def improve(problem: FleetProblem, plan: Plan) -> Plan:
    """Return a plan that costs no more than `plan`, as far as some seconds of HiGHS go, half a minute at most.

    The fewer and the larger the jobs, the further. The plan of a fleet too large for it is returned as it is, and
    so is one that breaks a limit.
    """
    reading = read(problem, by_content=True)
    is_small = 0 < choices_of(reading.fleet) <= MOST_CHOICES
    if not is_small or check(problem, plan):
        return plan
    return _solve(problem, reading, plan, some(plan.cost.total, bound(problem, plan.prices)))


def solve_exactly(problem: FleetProblem, plan: Plan, *, nodes: int = 20) -> Plan:
    """Return a plan of a small fleet that costs no more than `plan`, and the bound by HiGHS where that is higher.

    The search for all jobs together ends after so many `nodes`, with a gap when they do not suffice. The prices
    stay those of `plan`, and with them `bound(problem, plan.prices)`. Raises `Invalid` for a fleet too large for
    it, and for a plan that breaks a limit.
    """
    if breaches := check(problem, plan):
        raise Invalid(f"The plan to begin with breaks {breaches[0].limit}; give one that `check` finds nothing in.")
    reading = read(problem, by_content=True)
    if (choices := choices_of(reading.fleet)) > MOST_CHOICES:
        raise Invalid(
            f"The fleet may choose from {choices} half hours of jobs at sites; up to {MOST_CHOICES} are solved"
            " exactly. Keep the plan as it is: with so many jobs its gap is small."
        )
    return _solve(problem, reading, plan, whole(nodes)) if reading.fleet.records.size else plan


def bound(problem: FleetProblem, prices: Prices) -> float:
    """Return the GBP below which no plan within the limits can cost, at any prices of 0 or more.

    Raises `Invalid` for prices of another shape or below 0.
    """
    reading, stacked = read(problem, by_content=True), _stacked(prices, problem)
    fleet = reading.fleet
    return ask(fleet.records, fleet.cells, stacked, fleet.floors)[0] + float(reading.forced.sum())


def _solve(problem: FleetProblem, reading: Reading, plan: Plan, effort: Effort) -> Plan:
    fleet, prices, forced_gbp = reading.fleet, _stacked(plan.prices, problem), float(reading.forced.sum())
    priced_gbp = ask(fleet.records, fleet.cells, prices, fleet.floors)[0]
    standing, bound_gbp = standing_of(reading, plan.places), max(priced_gbp, plan.bound_gbp - forced_gbp)
    solved = solve_by_columns(fleet, prices, bound_gbp, standing, effort)
    found = _plan_of(problem, reading, solved)
    is_by_solver = solved.bound_gbp > priced_gbp
    return replace(found, is_bound_by_solver=is_by_solver, relaxed=() if is_by_solver else found.relaxed)


def _say_nothing(stage: str, done: int, of: int) -> None:
    """Take no notice of progress."""


def _stacked(prices: Prices, problem: FleetProblem) -> Floats:
    stacked = prices.stack()
    if stacked.shape[1:] != problem.sites.shape:
        raise Invalid(f"The prices are for {stacked.shape[1:]} sites and half hours, not {problem.sites.shape}.")
    if not (np.isfinite(stacked) & (stacked >= 0)).all():
        raise Invalid("A price is negative or not finite; what a limit is worth is 0 or more.")
    return stacked


def _plan_of(problem: FleetProblem, reading: Reading, solved: Solved) -> Plan:
    fleet, forced_gbp = reading.fleet, float(reading.forced.sum())
    prices, costs = solved.prices, costs_of(fleet, solved.standing) + reading.forced
    has_money_caps = (fleet.records["splits"] & np.isfinite(fleet.records["max_price"])).any()
    return Plan(
        places=places_of(problem, reading, solved.standing),
        cost=Cost(**dict(zip(TERMS, costs.tolist(), strict=True))),
        bound_gbp=solved.bound_gbp + forced_gbp,
        prices=Prices(
            power_gbp_mwh=prices[POWER],
            gpu_gbp_hour=prices[GPUS],
            rise_gbp_mwh=prices[RISE],
            fall_gbp_mwh=prices[FALL],
        ),
        forced_gbp=forced_gbp,
        binding=_binding(reading, solved),
        rejected=rejections(reading, solved),
        relaxed=("room", "max_price") if has_money_caps else ("room",),
    )


def _binding(reading: Reading, solved: Solved) -> tuple[Binding, ...]:
    """Return the limits that have a price, with what the plan leaves of them."""
    taken = np.zeros_like(solved.prices)
    taken[:2] = solved.standing.load
    taken[RISE, :, :-1] = np.diff(solved.standing.load[POWER], axis=1)
    taken[FALL] = -taken[RISE]
    return tuple(
        Binding(
            limit=LIMITS[limit],
            site=site,
            slot=slot,
            price=float(solved.prices[limit, site, slot]),
            spare=float(reading.cells.limits[limit, site, slot] - taken[limit, site, slot]),
        )
        for limit, site, slot in np.argwhere(solved.prices > 0).tolist()
    )
