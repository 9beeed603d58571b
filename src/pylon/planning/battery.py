"""Battery: when one store of electricity charges and discharges on a priced field, exactly; what a plan comes to.

A linear programme. Power is measured at the grid; each way loses the square root of the round-trip efficiency:

    stored[t] = stored[t-1] + hours[t] * (sqrt(efficiency) * charge[t] - discharge[t] / sqrt(efficiency))
    value     = sum over t of hours[t] * (field[t] * (discharge[t] - charge[t]) - wear * discharge[t])

The field is what a MWh is worth where the battery stands: price, carbon and stress in money and, beside a data
centre, the scarcity price that the centre's workloads pay. So a battery charges before and after the half hours in
which they are short of room, and discharges in them.

Where power is so cheap that wasting it pays (field * (1 - efficiency) + wear * efficiency < 0) the programme might
charge and discharge at once, which no battery can. If it does, a second programme settles which way the battery may
go in each half hour of that kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from pylon.errors import Invalid
from pylon.planning import _battery_programme as programmes
from pylon.planning._battery_programme import Programme
from pylon.planning.field import Floats

__all__ = ["TIE_GBP_MWH", "Battery", "Dispatch", "dispatch", "follow"]

TIE_GBP_MWH: Final = 1e-6
"""Added to each MWh moved, and once more in proportion to how late it is: among plans of equal value the one that
moves least is chosen, then the earlier. A plan is within two of these a MWh moved of the best there is."""


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


def dispatch(battery: Battery, field_gbp_mwh: Floats, hours: Floats) -> Dispatch:
    """Return the dispatch that is worth most on a field of T prices, its site's scarcity price included.

    `hours` are the lengths of the half hours (the first may be partly gone). The battery idles where the price is
    NaN. The same arrays have the same answer, whatever was asked before. Raises `Invalid` when the arrays differ in
    length or a figure of the battery is out of range.
    """
    _check(battery, field_gbp_mwh, hours)
    is_used = ~np.isnan(field_gbp_mwh) & (hours > 0)
    if not is_used.any():
        return _dispatch(battery, np.zeros((2, hours.size)), field_gbp_mwh, hours, is_exact=True)
    price = np.where(is_used, field_gbp_mwh, 0.0)
    programme = _programme(battery, price, np.where(is_used, hours, 0.0))
    moved, is_exact = programmes.solve(programme), True
    pays_to_waste = price * (1 - battery.efficiency) + battery.wear_gbp_mwh * battery.efficiency < 0
    if (pays_to_waste & (moved > 0).all(axis=0)).any():
        # What the two ways come to can be had by going one: directions that can always be kept to.
        moved, is_exact = programmes.solve_one_way(programme, pays_to_waste, moved[0] >= moved[1])
    return _dispatch(battery, _power(battery, programme, moved), field_gbp_mwh, hours, is_exact=is_exact)


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
    return _dispatch(battery, power, field_gbp_mwh, hours, is_exact=False)


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


def _programme(battery: Battery, price: Floats, hours: Floats) -> Programme:
    each_way = math.sqrt(battery.efficiency)
    tie = TIE_GBP_MWH * (1 + np.arange(hours.size) / hours.size)
    lowest, highest = _band(battery, hours)
    return Programme(
        costs_gbp_mwh=np.array([(price + tie) / each_way, (battery.wear_gbp_mwh - price + tie) * each_way]),
        most_mwh=np.array([battery.max_charge_mw * each_way * hours, battery.max_discharge_mw / each_way * hours]),
        lowest_mwh=lowest,
        highest_mwh=highest,
        start_mwh=battery.charge_mwh,
    )


def _power(battery: Battery, programme: Programme, moved: Floats) -> Floats:
    """Return the power at the grid, (2, T), of what is `moved`; all that may be moved is exactly the full power."""
    share = np.divide(moved, programme.most_mwh, out=np.zeros_like(moved), where=moved > 0)
    power: Floats = np.array([[battery.max_charge_mw], [battery.max_discharge_mw]]) * share
    return power


def _band(battery: Battery, hours: Floats) -> tuple[Floats, Floats]:
    """Return the least and the most to be stored after each half hour: the band, or the fastest way into it."""
    each_way = math.sqrt(battery.efficiency)
    risen = battery.charge_mwh + np.cumsum(each_way * battery.max_charge_mw * hours)
    fallen = battery.charge_mwh - np.cumsum(battery.max_discharge_mw * hours / each_way)
    lowest, highest = np.minimum(battery.min_mwh, risen), np.maximum(battery.max_mwh, fallen)
    lowest[-1] = max(lowest[-1], min(battery.end_mwh, highest[-1], risen[-1]))
    return lowest, highest


def _stored_rate(battery: Battery, power: Floats) -> Floats:
    """Return how fast stored energy changes, in MW, at (charge, discharge)."""
    each_way = math.sqrt(battery.efficiency)
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
