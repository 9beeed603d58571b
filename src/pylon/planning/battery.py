"""Battery: when one store of electricity charges and discharges on a priced field, exactly; what a plan comes to.

Power is measured at the grid; each way loses the square root of the round-trip efficiency:

    stored[t] = stored[t-1] + hours[t] * (sqrt(efficiency) * charge[t] - discharge[t] / sqrt(efficiency))
    value     = sum over t of hours[t] * (field[t] * (discharge[t] - charge[t]) - wear * discharge[t])

The field is what a MWh is worth where the battery stands: price, carbon and stress in money and, beside a data
centre, the scarcity price that the centre's workloads pay. So a battery charges before and after the half hours in
which they are short of room, and discharges in them.

A half hour charges or discharges, never both. Where power is so cheap that wasting it pays
(field * (1 - efficiency) + wear * efficiency < 0) that makes the problem one that no linear programme states;
dynamic programming over what is stored solves it all the same (`_battery_path`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from pylon.errors import Invalid
from pylon.planning._battery_path import IN, LEAST, MOST, OUT, RATE, cheapest_path
from pylon.planning._battery_reach import keep_in_band
from pylon.planning.field import Floats

__all__ = ["TIE_GBP_MWH", "Battery", "Dispatch", "dispatch", "follow", "most_worth"]

TIE_GBP_MWH: Final = 1e-6
"""Added to each MWh moved, and once more in proportion to how late it is: among plans of equal value the one that
moves least is chosen, then the earlier. A plan is within two of these a MWh moved of the best there is."""

DUST_MW: Final = 1e-9  # less is rounding


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
    """Whether it is proven that no other dispatch is worth more: of `dispatch` it is, of `follow` not."""
    short_mw: Floats
    """(T,). What is missing to the least power that was asked for; 0 where nothing was."""

    @property
    def power_mw(self) -> Floats:
        """(T,). Discharge less charge: positive gives, negative takes."""
        return self.discharge_mw - self.charge_mw


def dispatch(
    battery: Battery,
    field_gbp_mwh: Floats,
    hours: Floats,
    *,
    least_mw: Floats | None = None,
    keeps_end: bool = False,
) -> Dispatch:
    """Return the dispatch that is worth most on a field of T prices, its site's scarcity price included.

    `hours` are the lengths of the half hours (the first may be partly gone). The battery idles where the price is
    NaN. `least_mw` (T,) is the least power, discharge less charge, that its site can do with: where it is above 0
    work relies on the battery, and below 0 there is room to charge with so much. Charging always keeps to it. The
    battery's power and band come before discharging, and so does `end_mwh` where it `keeps_end`. What it cannot
    give is `short_mw`, as little in all as can be and as late.

    The same arrays have the same answer, whatever was asked before. Raises `Invalid` when the arrays differ in
    length or a figure is out of range.
    """
    changes, least = _changes(battery, field_gbp_mwh, hours, least_mw, TIE_GBP_MWH, keeps_end=keeps_end)
    found = _dispatch(battery, _power(battery, changes, hours), field_gbp_mwh, hours)
    short = np.where(hours > 0, least - found.power_mw, 0.0)
    return replace(found, is_exact=True, short_mw=np.where(short > DUST_MW, short, 0.0))


def most_worth(battery: Battery, field_gbp_mwh: Floats, hours: Floats, *, least_mw: Floats | None = None) -> float:
    """Return the GBP that no dispatch exceeds, whatever it moves. Arguments and errors are those of `dispatch`."""
    changes, _ = _changes(battery, field_gbp_mwh, hours, least_mw, 0.0, keeps_end=False)
    return _dispatch(battery, _power(battery, changes, hours), field_gbp_mwh, hours).value_gbp


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
    each_way = math.sqrt(battery.efficiency)
    power = np.zeros((2, hours.size))
    stored = battery.charge_mwh
    for t, (asked, length) in enumerate(zip(power_mw.tolist(), hours.tolist(), strict=True)):
        if length <= 0:
            continue
        room = max(0.0, battery.capacity_mwh - stored) / (each_way * length)
        charge = min(max(0.0, -asked), battery.max_charge_mw, room)
        discharge = min(max(0.0, asked), battery.max_discharge_mw, max(0.0, stored) * each_way / length)
        if decimals is not None:
            charge, discharge = _cut(charge, decimals), _cut(discharge, decimals)
        power[:, t] = charge, discharge
        stored += length * (each_way * charge - discharge / each_way)
    return _dispatch(battery, power, field_gbp_mwh, hours)


def _cut(power_mw: float, decimals: int) -> float:
    steps = math.floor(round(power_mw * 10.0**decimals * 1e6) / 1e6)  # a step less a float's rounding is that step
    return steps / 10.0**decimals


def _check(battery: Battery, field_gbp_mwh: Floats, hours: Floats) -> None:
    if field_gbp_mwh.shape != hours.shape:
        raise Invalid(
            f"field_gbp_mwh has {field_gbp_mwh.size} half hours, hours has {hours.size}; give one value for each."
        )
    for name, figures in (("hours", hours), *((one.name, getattr(battery, one.name)) for one in fields(battery))):
        if not np.isfinite(figures).all():
            raise Invalid(f"{name} is {figures}; only a price may be missing. Give a finite figure.")
    if np.isinf(field_gbp_mwh).any():
        raise Invalid("field_gbp_mwh has an infinite price; give a finite one, or NaN where it is not known.")
    if not 0 < battery.efficiency <= 1:
        raise Invalid(f"efficiency is {battery.efficiency}; it is a share, above 0 and at most 1.")
    if not 0 <= battery.min_mwh <= battery.max_mwh <= battery.capacity_mwh:
        raise Invalid(
            f"min_mwh {battery.min_mwh}, max_mwh {battery.max_mwh} and capacity_mwh {battery.capacity_mwh} must be"
            " in this order, none below 0."
        )
    if min(battery.max_charge_mw, battery.max_discharge_mw, battery.wear_gbp_mwh) < 0:
        raise Invalid("max_charge_mw, max_discharge_mw and wear_gbp_mwh must not be below 0.")


def _changes(
    battery: Battery,
    field_gbp_mwh: Floats,
    hours: Floats,
    least_mw: Floats | None,
    tie_gbp_mwh: float,
    *,
    keeps_end: bool,
) -> tuple[Floats, Floats]:
    """Return the best changes in MWh stored, (T,); and the least power that is asked for, (T,)."""
    _check(battery, field_gbp_mwh, hours)
    least = np.full(hours.size, -math.inf) if least_mw is None else least_mw
    if least.shape != hours.shape or np.isnan(least).any():
        raise Invalid(
            f"least_mw is {least}; it is a number for each of {hours.size} half hours, or -inf for nothing."
        )
    is_used = ~np.isnan(field_gbp_mwh) & (hours > 0)
    if not is_used.any():
        return np.zeros(hours.size), least
    price = np.where(is_used, field_gbp_mwh, 0.0)
    ways = _ways(battery, price, np.where(is_used, hours, 0.0), least, tie_gbp_mwh)
    start, band = battery.charge_mwh, (battery.min_mwh, battery.max_mwh)
    lowest, highest = keep_in_band(ways, start, band, battery.end_mwh, keeps_end)
    return cheapest_path(ways, lowest, highest, start), least


def _ways(battery: Battery, price: Floats, hours: Floats, least: Floats, tie_gbp_mwh: float) -> Floats:
    """Return what each half hour may do, (T, 2, 3): into the store and out, by `LEAST`, `MOST` and `RATE`."""
    each_way = math.sqrt(battery.efficiency)
    tie = tie_gbp_mwh * (1 + np.arange(hours.size) / hours.size)
    ways = np.zeros((hours.size, 2, 3))
    charge = np.where(least > 0, -1.0, np.minimum(battery.max_charge_mw, np.maximum(-least, 0.0)))
    ways[:, IN, MOST] = charge * each_way * hours
    ways[:, IN, RATE] = (price + tie) / each_way
    ways[:, OUT, LEAST] = -battery.max_discharge_mw / each_way * hours
    ways[:, OUT, MOST] = -np.clip(least, 0.0, battery.max_discharge_mw) / each_way * hours
    ways[:, OUT, RATE] = (price - battery.wear_gbp_mwh - tie) * each_way
    return ways


def _power(battery: Battery, changes: Floats, hours: Floats) -> Floats:
    """Return the power at the grid, (2, T), of changes in MWh stored; the largest possible is full power."""
    each_way = math.sqrt(battery.efficiency)
    rate = np.array([[battery.max_charge_mw * each_way], [-battery.max_discharge_mw / each_way]])
    share = np.divide(changes, rate * hours, out=np.zeros((2, hours.size)), where=changes * rate > 0)
    power: Floats = np.array([[battery.max_charge_mw], [battery.max_discharge_mw]]) * share
    return power


def _stored_rate(battery: Battery, power: Floats) -> Floats:
    """Return how fast stored energy changes, in MW, at (charge, discharge)."""
    each_way = math.sqrt(battery.efficiency)
    rate: Floats = each_way * power[0] - power[1] / each_way
    return rate


def _dispatch(battery: Battery, power: Floats, field_gbp_mwh: Floats, hours: Floats) -> Dispatch:
    charge, discharge = power
    earned = hours * (field_gbp_mwh * (discharge - charge) - battery.wear_gbp_mwh * discharge)
    return Dispatch(
        charge_mw=charge,
        discharge_mw=discharge,
        stored_mwh=battery.charge_mwh + np.cumsum(hours * _stored_rate(battery, power)),
        value_gbp=float(np.nansum(earned)),
        is_exact=False,
        short_mw=np.zeros(hours.size),
    )
