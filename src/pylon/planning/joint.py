"""The fleet and its batteries together: where and when jobs run and batteries move, one plan with one bound.

    least cost = cost of the fleet - what the batteries earn
    within     all that limits either, and at each site in each half hour
               load + charge - discharge <= room

The fleet is planned, and its prices of room are put to every battery beside a site: it earns them where it
discharges and pays them where it charges, as a job does. It goes half of the way to what it would then do, which
changes the room, and the fleet is planned again, until both agree. The same prices prove the bound
(docs/concepts/planning.md). Jobs that only fit with a battery have no price to call it with: if there are such, the
first round lets the fleet plan as if all batteries gave, and they then hold what they can of it.

A ramp limits what a data centre draws itself, without its batteries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pylon.errors import Invalid
from pylon.planning import battery as batteries
from pylon.planning import fleet
from pylon.planning._joint_check import check
from pylon.planning._joint_parts import RELAXED, Store, Together, load_of
from pylon.planning.battery import Battery
from pylon.planning.field import HALF_HOUR_MINS, Floats
from pylon.planning.fleet import FleetProblem, Plan, Prices

__all__ = ["RELAXED", "Store", "Together", "bound", "check", "load_of", "plan_together"]

HOURS: Final = HALF_HOUR_MINS / 60
MOST_ROUNDS: Final = 6
STEP: Final = 0.5
"""Share of the way that a battery goes in a round. One that goes all of it closes half hours to jobs, which then
have no price that would call it back."""
SETTLED: Final = 1e-4
"""Rounds end when batteries add less than this share of the bound to the gap of the fleet."""
WORTH_SOLVING: Final = 1e-3
"""Share of the bound: with a smaller gap, a small fleet is not put to HiGHS."""


def plan_together(
    problem: FleetProblem,
    stores: Sequence[Store],
    start: Prices | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    is_quick: bool = False,
) -> Together:
    """Return the best plan found of jobs and batteries, and its bound.

    The room of `problem` is what there is without these stores. `start`, `progress` and `is_quick` are as in
    `fleet.plan`; the rounds are the stage "batteries". A fleet with a gap goes on to `fleet.improve`, the stage
    "exactly", unless it `is_quick`. Raises `Invalid` for a store that does not fit the problem.
    """
    case = _read(problem, stores)
    power = np.zeros((len(stores), problem.sites.shape[1]))
    plan = fleet.plan(case.problem, start, progress, is_quick=is_quick)
    best = replace(_pair(case, power, plan), bound_gbp=plan.bound_gbp - _worth(case, plan.prices))
    limit = MOST_ROUNDS if any(store.site >= 0 for store in stores) else 0
    for turn in range(limit):
        if progress is not None:
            progress("batteries", turn, limit)
        best = _with_bound(case, best, plan.prices, is_first=turn == 0)
        if best.gap_gbp - plan.gap_gbp <= SETTLED * abs(best.bound_gbp):
            break
        if turn == 0 and _may_rely(case, plan):
            plan = fleet.plan(case.beside(_most_given(case)), plan.prices, is_quick=is_quick)
            power = _answers(case, plan)
        else:
            power += STEP * (_answers(case, plan) - power)
        plan = fleet.plan(case.beside(power), plan.prices, is_quick=is_quick)
        found = _pair(case, power, plan)
        kept = found if found.cost_gbp < best.cost_gbp else best
        best = replace(kept, bound_gbp=best.bound_gbp, prices=best.prices, rounds=turn + 1)
    best = _with_bound(case, best, plan.prices, is_first=False) if limit else best
    if is_quick or best.gap_gbp <= WORTH_SOLVING * abs(best.bound_gbp):
        return best
    if progress is not None:
        progress("exactly", 0, 1)
    return _improved(case, best)


def bound(problem: FleetProblem, stores: Sequence[Store], prices: Prices) -> float:
    """Return the GBP below which no plan of both within the limits can cost, at any prices of 0 or more.

    Raises `Invalid` as `plan_together`, and for prices of another shape or below 0.
    """
    return _bound(_read(problem, stores), prices)


@dataclass(frozen=True, slots=True)
class _Case:
    """A problem and its stores, ready to be planned."""

    problem: FleetProblem
    stores: Sequence[Store]
    room_mw: Floats
    """(D, T). What there is without the stores; where fixed jobs take more, what they take."""
    spare_mw: Floats
    """(D, T). What fixed jobs leave of it."""

    def beside(self, power_mw: Floats) -> FleetProblem:
        """Return the problem in the room that powers (stores, T) leave."""
        room = self.room_mw + self.at_sites(power_mw)
        return replace(self.problem, sites=replace(self.problem.sites, room_mw=room))

    def at_sites(self, power_mw: Floats) -> Floats:
        """Return the sum (D, T) of powers (stores, T) beside each site."""
        total = np.zeros(self.room_mw.shape)
        for store, mw in zip(self.stores, power_mw, strict=True):
            if store.site >= 0:
                total[store.site] += mw
        return total


def _read(problem: FleetProblem, stores: Sequence[Store]) -> _Case:
    sites, half_hours = problem.sites.shape
    for number, store in enumerate(stores):
        if store.hours.shape != (half_hours,) or store.field_gbp_mwh.shape != (half_hours,):
            raise Invalid(f"Store {number} has {store.hours.size} half hours; the fleet's field has {half_hours}.")
        if not -1 <= store.site < sites:
            raise Invalid(
                f"Store {number} is at site {store.site}; the {sites} sites are numbered from 0, -1 is none."
            )
    present, is_fixed = problem.jobs.present, problem.jobs.is_fixed
    fixed = np.zeros(problem.sites.shape)
    if present is not None and is_fixed is not None:
        fixed = load_of(problem, present, is_fixed)
    room = np.maximum(problem.sites.room_mw, fixed)
    return _Case(problem, stores, room, room - fixed)


def _pair(case: _Case, power_mw: Floats, plan: Plan) -> Together:
    """Return a plan made in the room that `power_mw` leaves, and the best that batteries can do beside it.

    Each can at least do what `power_mw` says, so no work is left without power.
    """
    net = case.at_sites(power_mw)
    load, dispatches = load_of(case.problem, plan.places), []
    for store, mw in zip(case.stores, power_mw, strict=True):
        least = None
        if store.site >= 0:
            least = load[store.site] - case.room_mw[store.site] - (net[store.site] - mw)
        found = batteries.dispatch(store.battery, store.field_gbp_mwh, store.hours, least_mw=least)
        dispatches.append(found)
        if store.site >= 0:
            net[store.site] += found.power_mw - mw
    is_led = any(store.site >= 0 and _at_rest(store.battery) != store.battery for store in case.stores)
    return Together(
        plan=plan,
        dispatches=tuple(dispatches),
        cost_gbp=plan.cost.total - math.fsum(found.value_gbp for found in dispatches),
        bound_gbp=-math.inf,
        prices=plan.prices,
        rounds=0,
        relaxed=(*plan.relaxed, "charge") if is_led else plan.relaxed,
    )


def _improved(case: _Case, best: Together) -> Together:
    """Return the same with a small fleet's jobs in better places, and its bound where batteries leave it alone."""
    shape = len(case.stores), case.room_mw.shape[1]
    power = np.array([done.power_mw for done in best.dispatches]).reshape(shape)
    # The bound of the plan is that of the room in which it was made.
    plan = fleet.improve(case.beside(power), replace(best.plan, bound_gbp=-math.inf))
    found = _pair(case, power, plan)
    kept = found if found.cost_gbp < best.cost_gbp else best
    kept = replace(kept, bound_gbp=best.bound_gbp, prices=best.prices, rounds=best.rounds, relaxed=best.relaxed)
    bound_gbp = plan.bound_gbp - _worth(case, best.prices)
    if any(store.site >= 0 for store in case.stores) or bound_gbp <= best.bound_gbp:
        return kept
    return replace(kept, bound_gbp=bound_gbp, relaxed=plan.relaxed, is_bound_by_solver=plan.is_bound_by_solver)


def _answers(case: _Case, plan: Plan) -> Floats:
    """Return what each battery would do at the prices of a plan, (stores, T) MW, one after another.

    Together they charge with spare room only, and hold what work relies on as far as they can.
    """
    power, least = (
        np.zeros((len(case.stores), case.room_mw.shape[1])),
        np.maximum(-case.spare_mw, _held(case, plan)),
    )
    for number, store in enumerate(case.stores):
        asked = least[store.site] - case.at_sites(power)[store.site] if store.site >= 0 else None
        field = _priced(store, plan.prices)
        found = batteries.dispatch(store.battery, field, store.hours, least_mw=asked, keeps_end=True)
        power[number] = found.power_mw
    return power


def _held(case: _Case, plan: Plan) -> Floats:
    """Return the power (D, T) that jobs too large for a half hour without batteries rely on; elsewhere -inf.

    Prices do not tell of it: a half hour that is closed to a job has none for it.
    """
    jobs, places = case.problem.jobs, plan.places
    owners = np.repeat(np.arange(len(jobs)), jobs.half_hours)
    runs = places.site[owners] >= 0
    site, slots = places.site[owners[runs]], places.slots[runs]
    is_large = jobs.it_power_mw[owners[runs]] * case.problem.sites.pue[site] > case.room_mw[site, slots]
    held = np.full(case.room_mw.shape, -math.inf)
    held[site[is_large], slots[is_large]] = 0.0
    return held + load_of(case.problem, places) - np.where(np.isinf(case.room_mw), 0.0, case.room_mw)


def _may_rely(case: _Case, plan: Plan) -> bool:
    """Return whether a job that does not run is too large for some half hour, but not with what batteries give."""
    jobs, room = case.problem.jobs, case.room_mw
    most = room + case.at_sites(_most_given(case))
    for job in np.flatnonzero(plan.places.site < 0).tolist():
        need = jobs.it_power_mw[job] * case.problem.sites.pue[jobs.allowed[job], None]
        window = np.s_[jobs.allowed[job], jobs.first_slot[job] : jobs.end_slot[job]]
        if ((room[window] < need) & (need <= most[window])).any():
            return True
    return False


def _with_bound(case: _Case, best: Together, prices: Prices, *, is_first: bool) -> Together:
    """Return the same with the bound of these prices, where it is higher."""
    gbp = _bound(case, prices)
    return replace(best, bound_gbp=gbp, prices=prices) if is_first or gbp > best.bound_gbp else best


def _bound(case: _Case, prices: Prices) -> float:
    # A half hour too small for a job alone may be large enough for it with a battery.
    given = _most_given(case)
    room = HOURS * prices.power_gbp_mwh * case.at_sites(given)
    return fleet.bound(case.beside(given), prices) + math.fsum(room.ravel().tolist()) - _worth(case, prices)


def _worth(case: _Case, prices: Prices) -> float:
    """Return the most that all batteries can earn at these prices, each by itself."""
    given, worth = _most_given(case), []
    total = case.at_sites(given)
    for store, mw in zip(case.stores, given, strict=True):
        battery, least = store.battery, None
        if store.site >= 0:
            battery, least = _at_rest(battery), mw - case.spare_mw[store.site] - total[store.site]
        worth.append(batteries.most_worth(battery, _priced(store, prices), store.hours, least_mw=least))
    return math.fsum(worth)


def _most_given(case: _Case) -> Floats:
    """Return the most that each store may give, (stores, T) MW."""
    given = np.zeros((len(case.stores), case.room_mw.shape[1]))
    for row, store in zip(given, case.stores, strict=True):
        row[(store.hours > 0) & ~np.isnan(store.field_gbp_mwh)] = store.battery.max_discharge_mw
    return given


def _at_rest(battery: Battery) -> Battery:
    """Return the battery with a band and an end that it can keep to without charging."""
    least = min(battery.min_mwh, battery.charge_mwh)
    return replace(battery, min_mwh=least, end_mwh=min(battery.end_mwh, battery.charge_mwh, battery.max_mwh))


def _priced(store: Store, prices: Prices) -> Floats:
    """Return the field of a store with the price of its site's room, which is paid for the whole half hour."""
    if store.site < 0:
        return store.field_gbp_mwh
    room = HOURS * prices.power_gbp_mwh[store.site]
    scarcity: Floats = np.divide(room, store.hours, out=np.zeros(room.size), where=store.hours > 0)
    return store.field_gbp_mwh + scarcity
