"""Batteries for tests: independent models of one, by HiGHS with directions, and of a small fleet beside them."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from pylon.planning.battery import Battery, Dispatch
from pylon.planning.fleet import FleetProblem
from pylon.planning.joint import Store
from tests.unit.planning.fleets import HOURS, a_problem


def a_battery(**changes: float) -> Battery:
    usual = {
        "capacity_mwh": 100.0,
        "min_mwh": 10.0,
        "max_mwh": 95.0,
        "charge_mwh": 50.0,
        "max_charge_mw": 50.0,
        "max_discharge_mw": 50.0,
        "efficiency": 0.81,
        "wear_gbp_mwh": 3.0,
        "end_mwh": 50.0,
    }
    return Battery(**{**usual, **changes})


def a_store(problem: FleetProblem, site: int = 0, **battery: float) -> Store:
    """Return a battery of 1 MW and 4 MWh, half full and without loss or wear, on a flat field."""
    size = problem.sites.shape[1]
    usual = {"capacity_mwh": 4.0, "min_mwh": 0.0, "max_mwh": 4.0, "charge_mwh": 2.0, "end_mwh": 2.0}
    usual |= {"max_charge_mw": 1.0, "max_discharge_mw": 1.0, "efficiency": 1.0, "wear_gbp_mwh": 0.0}
    field, hours = np.full(size, 60.0), np.full(size, HOURS)
    return Store(battery=a_battery(**{**usual, **battery}), field_gbp_mwh=field, hours=hours, site=site)


def scarce(**jobs) -> FleetProblem:
    """Return one site with room for 1 MW, and a job of 1.5 MW that has to run in the second of four half hours."""
    usual = {"it_power_mw": 1.5, "first_slot": 1, "end_slot": 2}
    return a_problem(sites=1, half_hours=4, room_mw=np.full((1, 4), 1.0), jobs=usual | jobs)


def some_ways(size: int, *, most_in: float = 1.0, asked: list[float] | None = None) -> np.ndarray:
    """Return the ways of a store that moves up to 1 MWh in a half hour; where it is asked for some, only out."""
    ways = np.zeros((size, 2, 3))
    least = np.array(asked or [0.0] * size)
    ways[:, 0, 1], ways[:, 1, 0], ways[:, 1, 1] = np.where(least > 0, -1.0, most_in), -1.0, -least
    return ways


def rows_of(battery: Battery, hours: np.ndarray, least: np.ndarray | None = None, short_mwh: float = 0.0):
    """Return rows, their least and their most, and the most of each column: charge, discharge, direction, short.

    For a battery that starts in its band and ends where it can. `short_mwh` is all that may be missing of `least`.
    """
    size, each_way = hours.size, math.sqrt(battery.efficiency)
    one, none = np.eye(size), np.zeros((size, size))
    so_far = np.tril(np.ones((size, size))) * hours
    stored = np.hstack([each_way * so_far, -so_far / each_way, none, none])
    lowest = np.full(size, battery.min_mwh - battery.charge_mwh)
    lowest[-1] = max(battery.min_mwh, battery.end_mwh) - battery.charge_mwh
    rows = [
        (stored, lowest, np.full(size, battery.max_mwh - battery.charge_mwh)),
        (np.hstack([one, none, -battery.max_charge_mw * one, none]), -np.inf, np.zeros(size)),
        (
            np.hstack([none, one, battery.max_discharge_mw * one, none]),
            -np.inf,
            np.full(size, battery.max_discharge_mw),
        ),
        (np.concatenate([np.zeros(3 * size), hours])[None], -np.inf, np.array([short_mwh])),
    ]
    if least is not None:
        rows.append((np.hstack([-one, one, none, one]), least, np.full(size, np.inf)))
    most = np.concatenate(
        [
            np.full(size, battery.max_charge_mw),
            np.full(size, battery.max_discharge_mw),
            np.ones(size),
            np.full(size, np.inf),
        ]
    )
    return rows, most


def best_value(
    battery: Battery, prices: np.ndarray, hours: np.ndarray, least: np.ndarray | None = None, short_mwh: float = 0.0
) -> float:
    """Return the most that a battery can earn, by HiGHS with a direction for each half hour, to its last digits."""
    rows, most = rows_of(battery, hours, least, short_mwh)
    found = solved(worth_of(battery, prices, hours), rows, most, directions(hours.size))
    return -float(found.fun)


def least_short(battery: Battery, hours: np.ndarray, least: np.ndarray) -> float:
    """Return the least MWh that can be missing of a least power."""
    rows, most = rows_of(battery, hours, least, np.inf)
    size = hours.size
    found = solved(np.concatenate([np.zeros(3 * size), hours]), rows, most, directions(size))
    return float(found.fun)


def worth_of(battery: Battery, prices: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Return the cost of each column of `rows_of`."""
    nothing = np.zeros(2 * hours.size)
    return np.concatenate([hours * prices, hours * (battery.wear_gbp_mwh - prices), nothing])


def directions(size: int) -> np.ndarray:
    """Return which columns of `rows_of` are whole numbers."""
    return np.repeat([0, 0, 1, 0], size)


def solved(costs, rows, most, whole):
    """Return the optimum of a programme, proven; raise AssertionError where HiGHS does not prove it."""
    found = milp(
        costs,
        constraints=[LinearConstraint(*row) for row in rows],
        bounds=Bounds(0, most),
        integrality=whole,
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0, found.message
    return found


def does_what_it_can(battery: Battery, found: Dispatch, hours: np.ndarray, slack: float = 1e-6) -> bool:
    """Return whether a dispatch goes one way at a time, within powers and, for one that starts there, its band."""
    each_way = math.sqrt(battery.efficiency)
    stored = battery.charge_mwh + np.cumsum(hours * (each_way * found.charge_mw - found.discharge_mw / each_way))
    return bool(
        not ((found.charge_mw > 0) & (found.discharge_mw > 0)).any()
        and (np.minimum(found.charge_mw, found.discharge_mw) >= 0).all()
        and (found.charge_mw <= battery.max_charge_mw + slack).all()
        and (found.discharge_mw <= battery.max_discharge_mw + slack).all()
        and (stored >= min(battery.min_mwh, battery.charge_mwh) - slack).all()
        and (stored <= max(battery.max_mwh, battery.charge_mwh) + slack).all()
    )


__all__ = [
    "a_battery",
    "a_store",
    "best_value",
    "directions",
    "does_what_it_can",
    "least_short",
    "rows_of",
    "scarce",
    "solved",
    "some_ways",
    "worth_of",
]
