"""The independent check of a plan of jobs and batteries: every limit, and what it is worth, worked out again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pylon.planning import fleet
from pylon.planning._joint_parts import Store, Together, load_of
from pylon.planning.battery import Dispatch
from pylon.planning.field import Floats
from pylon.planning.fleet import Breach, FleetProblem

__all__ = ["check"]

TOLERANCE = 1e-6  # MW, MWh and GBP that rounding may make


def check(problem: FleetProblem, stores: Sequence[Store], together: Together) -> tuple[Breach, ...]:
    """Return every limit that `together` breaks, sums that are not what it says among them; none if all hold.

    Of a battery the limit's name has its number: `store 3 power`. Fixed jobs may exceed the room, charging may not.
    """
    net, earned = np.zeros(problem.sites.shape), 0.0
    breaches: list[Breach] = []
    for number, (store, found) in enumerate(zip(stores, together.dispatches, strict=True)):
        breaches += [replace(one, limit=f"store {number} {one.limit}") for one in _check_store(store, found)]
        earned += _value(store, found)
        if store.site >= 0:
            net[store.site] += found.discharge_mw - found.charge_mw
    present, is_fixed = problem.jobs.present, problem.jobs.is_fixed
    fixed = load_of(problem, present, is_fixed) if present is not None and is_fixed is not None else 0.0
    room = np.maximum(problem.sites.room_mw, fixed)
    excess = load_of(problem, together.plan.places) - net - room
    for site, slot in np.argwhere(excess > TOLERANCE).tolist():
        breaches.append(Breach(limit="power_mw", excess=float(excess[site, slot]), site=site, slot=slot))
    roomy = replace(problem, sites=replace(problem.sites, room_mw=room + net))
    breaches += fleet.check(roomy, together.plan)
    cost = together.plan.cost.total - earned
    for name, by in (("cost", abs(cost - together.cost_gbp)), ("bound", together.bound_gbp - cost)):
        if by > TOLERANCE * max(1.0, abs(cost)):
            breaches.append(Breach(limit=name, excess=by))
    return tuple(breaches)


def _check_store(store: Store, found: Dispatch) -> Iterator[Breach]:
    battery, each_way = store.battery, math.sqrt(store.battery.efficiency)
    charge, discharge = found.charge_mw, found.discharge_mw
    stored = battery.charge_mwh + np.cumsum(store.hours * (each_way * charge - discharge / each_way))
    least, most = min(battery.min_mwh, battery.charge_mwh), max(battery.max_mwh, battery.charge_mwh)
    end = min(battery.end_mwh, battery.charge_mwh, battery.max_mwh)
    may_move = (store.hours > 0) & ~np.isnan(store.field_gbp_mwh)
    for name, excess in (
        ("power", np.maximum(charge - battery.max_charge_mw, discharge - battery.max_discharge_mw)),
        ("power", -np.minimum(charge, discharge)),
        ("one_way", np.minimum(charge, discharge)),
        ("idle", np.where(may_move, 0.0, charge + discharge)),
        ("band", np.maximum(least - stored, stored - most)),
        ("end", np.append(np.zeros(max(0, stored.size - 1)), end - stored[-1:])),
        ("stored", np.abs(stored - found.stored_mwh)),
        ("short", found.short_mw),
        ("value", np.array([abs(_value(store, found) - found.value_gbp)])),
    ):
        for slot in np.flatnonzero(excess > TOLERANCE).tolist():
            yield Breach(limit=name, excess=float(excess[slot]), slot=slot)


def _value(store: Store, found: Dispatch) -> float:
    """Return what a dispatch earns, less wear."""
    charge, discharge = found.charge_mw, found.discharge_mw
    earned: Floats = store.hours * (
        store.field_gbp_mwh * (discharge - charge) - store.battery.wear_gbp_mwh * discharge
    )
    return float(np.nansum(earned))
