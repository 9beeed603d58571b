"""Battery: when one store of electricity charges and discharges on a priced field, exactly; what a plan comes to.

A linear programme. Power is measured at the grid; each way loses the square root of the round-trip efficiency:

    stored[t] = stored[t-1] + hours[t] * (sqrt(efficiency) * charge[t] - discharge[t] / sqrt(efficiency))
    value     = sum over t of hours[t] * (field[t] * (discharge[t] - charge[t]) - wear * discharge[t])

Where power is so cheap that wasting it pays (field * (1 - efficiency) + wear * efficiency < 0) the programme might
charge and discharge at once, which no battery can. If it does, a second programme settles which way the battery may
go in each half hour of that kind.

SciPy is imported where it is used: that takes longer than most commands that never come there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pylon.errors import Invalid
from pylon.planning.field import Floats

__all__ = ["TIE_GBP_MWH", "Battery", "Dispatch", "dispatch", "follow"]

TIE_GBP_MWH: Final = 1e-6
"""Added to each MWh moved, and once more in proportion to how late it is: among plans of equal value the one that
moves least is chosen, then the earlier. A plan is within two of these a MWh moved of the best there is."""

NODE_LIMIT: Final = 500
"""Nodes of the second programme's search, which has needed at most six. A count, unlike a limit of time, gives
the same plan on every machine."""

_DUST = 1e-9  # MW or MWh that are the solver's rounding and nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """One store of electricity, as numbers."""

    capacity_mwh: float
    min_mwh: float
    """The band it is to be kept in, least and most. One that starts outside is led back at full power."""
    max_mwh: float
    charge_mwh: float
    """Energy stored now."""
    max_charge_mw: float
    max_discharge_mw: float
    efficiency: float
    """Energy out / energy in, above 0 and at most 1."""
    wear_gbp_mwh: float
    """Cost of wear per MWh discharged."""
    end_mwh: float
    """The least to hold at the end, as far as the band and the power allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What a battery does in each of T half hours, and what that is worth."""

    charge_mw: Floats
    """(T,). Power taken from the grid; 0 where it discharges."""
    discharge_mw: Floats
    """(T,). Power given to the grid; 0 where it charges."""
    stored_mwh: Floats
    """(T,). Energy stored after each half hour."""
    value_gbp: float
    """What it earns against idling, less wear; half hours without a price left out."""
    is_exact: bool
    """Whether it is proven that no other dispatch is worth more."""

    @property
    def power_mw(self) -> Floats:
        """(T,). Discharge less charge: positive gives, negative takes."""
        return self.discharge_mw - self.charge_mw


@dataclass(frozen=True, slots=True, kw_only=True)
class _Programme:
    """The linear programme over charge, discharge and stored energy, T of each, in that order."""

    costs: Floats
    lower: Floats
    upper: Floats
    balance: Any
    """Sparse (T, 3T): stored energy follows from the half hour before; the right side is `start`."""
    start: Floats


def dispatch(battery: Battery, field_gbp_mwh: Floats, hours: Floats) -> Dispatch:
    """Return the dispatch that is worth most on a field of T prices.

    `hours` are the lengths of the half hours (the first may be partly gone). The battery idles where the price is
    NaN. Raises `Invalid` when the arrays differ in length or a figure of the battery is out of range.
    """
    _check(battery, field_gbp_mwh, hours)
    is_used = ~np.isnan(field_gbp_mwh) & (hours > 0)
    if not is_used.any():
        return _dispatch(battery, np.zeros((2, hours.size)), field_gbp_mwh, hours, is_exact=True)
    price = np.where(is_used, field_gbp_mwh, 0.0)
    programme = _programme(battery, price, np.where(is_used, hours, 0.0))
    power = _solve(programme)
    pays_to_waste = price * (1 - battery.efficiency) + battery.wear_gbp_mwh * battery.efficiency < 0
    is_exact = True
    if (pays_to_waste & (power > 0).all(axis=0)).any():
        may_charge, is_exact = _directions(programme, pays_to_waste, _stored_rate(battery, power))
        power = _solve(_one_way(programme, pays_to_waste, may_charge))
    return _dispatch(battery, power, field_gbp_mwh, hours, is_exact=is_exact)


def follow(
    battery: Battery, power_mw: Floats, field_gbp_mwh: Floats, hours: Floats, *, decimals: int | None = None
) -> Dispatch:
    """Return what comes of asking a battery for `power_mw` (T,), positive for discharge.

    It does as much of it as its power and the energy between empty and full allow; with `decimals`, in MW of so
    many decimals, what is beyond them dropped. Raises `Invalid` as `dispatch`.
    """
    _check(battery, field_gbp_mwh, hours)
    if power_mw.shape != hours.shape:
        raise Invalid(
            f"power_mw has {power_mw.size} half hours and hours has {hours.size}; give one value for each."
        )
    each_way = battery.efficiency**0.5
    power = np.zeros((2, hours.size))
    stored = battery.charge_mwh
    for t, (asked, length) in enumerate(zip(power_mw.tolist(), hours.tolist(), strict=True)):
        if length <= 0:
            continue
        room = max(0.0, battery.capacity_mwh - stored) / (each_way * length)
        power[0, t] = min(max(0.0, -asked), battery.max_charge_mw, room)
        power[1, t] = min(max(0.0, asked), battery.max_discharge_mw, max(0.0, stored) * each_way / length)
        if decimals is not None:
            power[:, t] = _cut(power[:, t], decimals)
        stored += length * float(_stored_rate(battery, power[:, t]))
    return _dispatch(battery, power, field_gbp_mwh, hours, is_exact=False)


def _cut(power: Floats, decimals: int) -> Floats:
    steps = np.floor(np.round(power * 10.0**decimals, 6))  # a step less a float's rounding is that step
    cut: Floats = steps / 10.0**decimals
    return cut


def _check(battery: Battery, field_gbp_mwh: Floats, hours: Floats) -> None:
    if field_gbp_mwh.shape != hours.shape:
        raise Invalid(
            f"field_gbp_mwh has {field_gbp_mwh.size} half hours, hours has {hours.size}; give one value for each."
        )
    if not 0 < battery.efficiency <= 1:
        raise Invalid(f"efficiency is {battery.efficiency}; it is a share, above 0 and at most 1.")
    if not 0 <= battery.min_mwh <= battery.max_mwh <= battery.capacity_mwh:
        raise Invalid(
            f"min_mwh {battery.min_mwh}, max_mwh {battery.max_mwh} and capacity_mwh {battery.capacity_mwh} must be"
            " in this order, none below 0."
        )
    if min(battery.max_charge_mw, battery.max_discharge_mw, battery.wear_gbp_mwh) < 0:
        raise Invalid("max_charge_mw, max_discharge_mw and wear_gbp_mwh must not be below 0.")


def _programme(battery: Battery, price: Floats, hours: Floats) -> _Programme:
    from scipy.sparse import diags_array, eye_array, hstack

    size, each_way = hours.size, battery.efficiency**0.5
    tie = TIE_GBP_MWH * (1 + np.arange(size) / size)
    lowest, highest = _band(battery, hours)
    is_used = hours > 0
    most = np.concatenate([battery.max_charge_mw * is_used, battery.max_discharge_mw * is_used])
    carried = eye_array(size) - eye_array(size, k=-1)
    start = np.zeros(size)
    start[0] = battery.charge_mwh
    return _Programme(
        costs=np.concatenate([hours * (price + tie), hours * (battery.wear_gbp_mwh - price + tie), np.zeros(size)]),
        lower=np.concatenate([np.zeros(2 * size), lowest]),
        upper=np.concatenate([most, highest]),
        balance=hstack([diags_array(-each_way * hours), diags_array(hours / each_way), carried], format="csr"),
        start=start,
    )


def _band(battery: Battery, hours: Floats) -> tuple[Floats, Floats]:
    """Return the least and the most to be stored after each half hour: the band, or the fastest way into it."""
    each_way = battery.efficiency**0.5
    risen = battery.charge_mwh + np.cumsum(each_way * battery.max_charge_mw * hours)
    fallen = battery.charge_mwh - np.cumsum(battery.max_discharge_mw * hours / each_way)
    lowest, highest = np.minimum(battery.min_mwh, risen), np.maximum(battery.max_mwh, fallen)
    lowest[-1] = max(lowest[-1], min(battery.end_mwh, highest[-1], risen[-1]))
    return lowest, highest


def _solve(programme: _Programme) -> Floats:
    """Return charge and discharge, (2, T)."""
    from scipy.optimize import linprog

    result = linprog(
        programme.costs,
        A_eq=programme.balance,
        b_eq=programme.start,
        bounds=np.column_stack([programme.lower, programme.upper]),
        method="highs",
        # Closer than by default, so that what separates two plans of equal value is seen.
        options={"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-10},
    )
    size = programme.start.size
    if result.x is None:  # a plan always exists: straight to the band, then nothing
        raise Invalid(f"The battery has no dispatch: {result.message} Check that its figures are finite.")
    power: Floats = result.x[: 2 * size].reshape(2, size)
    return np.where(power > _DUST, power, 0.0)


def _directions(
    programme: _Programme, undecided: NDArray[np.bool_], rate_mw: Floats
) -> tuple[NDArray[np.bool_], bool]:
    """Return in which half hours the battery may charge, and whether that is proven best, where `undecided`.

    `rate_mw` is how the relaxed plan changes what is stored: going that way in each half hour always is possible,
    and is what is left when the search finds nothing within its nodes.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, diags_array, hstack, vstack

    size, where = programme.start.size, np.flatnonzero(undecided)
    charge, discharge = programme.upper[where], programme.upper[size + where]
    count = where.size
    pick = csr_array((np.ones(count), (np.arange(count), where)), shape=(count, size))
    none, unused = csr_array((count, size)), csr_array((size, count))
    one_way = vstack(
        [hstack([pick, none, none, diags_array(-charge)]), hstack([none, pick, none, diags_array(discharge)])]
    )
    result = milp(
        np.concatenate([programme.costs, np.zeros(count)]),
        integrality=np.concatenate([np.zeros(3 * size), np.ones(count)]),
        bounds=Bounds(
            np.concatenate([programme.lower, np.zeros(count)]), np.concatenate([programme.upper, np.ones(count)])
        ),
        constraints=[
            LinearConstraint(hstack([programme.balance, unused]), programme.start, programme.start),
            LinearConstraint(one_way, -np.inf, np.concatenate([np.zeros(count), discharge])),
        ],
        options={"mip_rel_gap": 0.0, "node_limit": NODE_LIMIT},
    )
    may_charge = rate_mw >= 0
    if result.x is not None:
        may_charge[where] = result.x[3 * size :] > 0.5
    return may_charge, result.status == 0


def _one_way(programme: _Programme, decided: NDArray[np.bool_], may_charge: NDArray[np.bool_]) -> _Programme:
    forbidden = np.concatenate([decided & ~may_charge, decided & may_charge, np.zeros_like(decided)])
    return replace(programme, upper=np.where(forbidden, 0.0, programme.upper))


def _stored_rate(battery: Battery, power: Floats) -> Floats:
    """Return how fast stored energy changes, in MW, at (charge, discharge)."""
    each_way = battery.efficiency**0.5
    rate: Floats = each_way * power[0] - power[1] / each_way
    return rate


def _dispatch(battery: Battery, power: Floats, field_gbp_mwh: Floats, hours: Floats, *, is_exact: bool) -> Dispatch:
    charge, discharge = power
    earned = hours * (field_gbp_mwh * (discharge - charge) - battery.wear_gbp_mwh * discharge)
    return Dispatch(
        charge_mw=charge,
        discharge_mw=discharge,
        stored_mwh=battery.charge_mwh + np.cumsum(hours * _stored_rate(battery, power)),
        value_gbp=float(np.nansum(earned)),
        is_exact=is_exact,
    )
