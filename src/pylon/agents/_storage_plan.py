"""What a plan of a storage asset comes to: the document of what was seen of it, and each figure made of that.

Each figure is rounded once; totals, savings and sentences are made of rounded figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np

from pylon.agents._storage_words import Document
from pylon.agents._words import rounded
from pylon.agents.contract import View
from pylon.agents.jobs import instant
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.fleet import StorageAsset
from pylon.planning import battery as batteries
from pylon.planning.battery import Battery, Dispatch
from pylon.planning.field import Floats

__all__ = [
    "BASELINE",
    "Question",
    "ahead",
    "begun",
    "follow",
    "keep",
    "least",
    "leave",
    "limits",
    "option",
    "read",
    "short_mwh",
    "surroundings",
]

BASELINE: Final = {False: "idle", True: "the schedule that stands, and idle after it"}
"""What savings are against, by whether there is a schedule."""

_HOURS: Final = HALF_HOUR / timedelta(hours=1)
_DECIMALS: Final = 3
"""Of a scheduled power in MW: to the kW."""
_WORDS: Final = {"price_gbp_mwh": "price", "carbon_gco2_kwh": "carbon", "stress": "stress"}


def surroundings(view: View, asset: StorageAsset, region: int, columns: Sequence[int]) -> dict[str, Any]:
    """Return what is seen of an asset in region number `region` and of the half hours `columns`, in plain values.

    Nothing is known of half hours after the field's last.
    """
    site = None if asset.co_located_dc_id is None else view.site(asset.co_located_dc_id)
    prices = view.wholesale_gbp_mwh if site is None else view.field.price_gbp_mwh[site].tolist()
    given = {
        "price_gbp_mwh": prices,
        "carbon_gco2_kwh": view.region_carbon[region],
        "stress": view.field.stress.tolist(),
    }
    end = view.field.half_hours
    series = {
        name: [_known(values[column]) if column < end else None for column in columns]
        for name, values in given.items()
    }
    return {
        "view": view.digest,
        "after_seq": view.after_seq,
        "now": instant(view.now),
        "asset": _asset(asset),
        "starts_at": instant(view.half_hour(columns[0])),
        "price_of": "wholesale" if site is None else view.sites[site].dc_id,
        "region_id": region,
        **series,
        **_scarcity(view, site, columns),
        "simulated": list(view.simulated),
        "missing": _missing(series),
    }


def _scarcity(view: View, site: int | None, columns: Sequence[int]) -> dict[str, Any]:
    """Return what room is worth at the site that the asset stands beside, where it is worth anything."""
    if site is None or view.plan is None:
        return {}
    worth = view.field.scarcity_gbp_mwh[site].tolist()
    return {"scarcity_gbp_mwh": [worth[column] if column < len(worth) else 0.0 for column in columns]}


def least(view: View, asset: StorageAsset, columns: Sequence[int]) -> dict[str, Any]:
    """Return the least that an asset must give beside its site, discharge less charge in MW; nothing elsewhere.

    Above 0 work relies on it; below 0 there is room to charge with so much. Whole kW, as schedules are.
    """
    site = None if asset.co_located_dc_id is None else view.site(asset.co_located_dc_id)
    if site is None:
        return {}
    free = view.field.room[0, site].copy()
    if view.beside_mw is not None:
        free -= view.beside_mw[site]
    for other in view.assets:
        if other.id != asset.id and other.co_located_dc_id == asset.co_located_dc_id:
            for one in view.schedules.get(other.id, ()):
                column = (one.starts_at - view.starts_at) // HALF_HOUR
                if column < free.size:
                    free[column] += one.power_mw
    return {"least_mw": [_kw_down(free[column]) for column in columns]}


def _kw_down(free_mw: float) -> float | None:
    """Return the least power that leaves no more than so much free; None when there is no limit."""
    return None if math.isinf(free_mw) else -math.floor(free_mw * 1000 + 1e-6) / 1000


def ahead(view: View, standing: Mapping[datetime, float], columns: Sequence[int]) -> dict[str, Any] | None:
    """Return the schedule that stands, from the first of `columns` on; None when it has run out."""
    ends_at = max(standing, default=view.starts_at - HALF_HOUR) + HALF_HOUR
    ahead = [view.half_hour(column) for column in columns if view.half_hour(column) < ends_at]
    if not ahead:
        return None
    return {"ends_at": instant(ends_at), "power_mw": [standing.get(at, 0.0) for at in ahead]}


def _known(value: float | Decimal | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _asset(asset: StorageAsset) -> dict[str, Any]:
    return {
        "storage_asset_id": str(asset.id),
        "asset_id": asset.asset_id,
        "capacity_mwh": float(asset.capacity_mwh),
        "charge_mwh": _known(asset.current_charge_mwh),
        "max_charge_mw": float(asset.max_charge_rate_mw),
        "max_discharge_mw": float(asset.max_discharge_rate_mw),
        "efficiency": float(asset.efficiency_percentage) / 100,
        "wear_gbp_mwh": float(asset.wear_gbp_mwh),
        "is_simulated": asset.is_simulated,
    }


def _missing(series: Mapping[str, list[float | None]]) -> dict[str, Any]:
    nowhere = [name for name, values in series.items() if all(value is None for value in values)]
    needed = [series[name] for name in ("price_gbp_mwh", "carbon_gco2_kwh") if name not in nowhere]
    return {
        "known_nowhere": [_WORDS[name] for name in nowhere],
        "half_hours_not_used": sum(None in values for values in zip(*needed, strict=True)),
        "half_hours_without_stress": series["stress"].count(None),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The document as the planner takes it: a battery, and what T whole half hours are like. NaN is unknown."""

    battery: Battery
    price: Floats
    carbon: Floats
    stress: Floats
    carbon_price_gbp_t: float
    stress_price_gbp_mwh: float
    scarcity: Floats | None
    """GBP/MWh that room is worth at the site beside it; None where no plan says so."""
    least_mw: Floats | None
    """The least that it must give; None when nothing is asked of it."""

    @property
    def hours(self) -> Floats:
        """(T,). Half an hour each."""
        return np.full(self.price.size, _HOURS)

    @property
    def field_gbp_mwh(self) -> Floats:
        """(T,). What a MWh is worth; NaN where the price or the carbon is missing that other half hours have.

        NaN everywhere when neither is known anywhere.
        """
        known = [
            weight * values
            for weight, values in ((1, self.price), (self.carbon_price_gbp_t / 1000, self.carbon))
            if not np.isnan(values).all()
        ]
        if not known:
            return np.full(self.price.size, np.nan)
        field: Floats = np.sum(known, axis=0) + self.stress_price_gbp_mwh * np.nan_to_num(self.stress)
        return field if self.scarcity is None else field + self.scarcity


def read(seen: Document) -> Question:
    """Return the question that a document asks, from where what comes before the plan leaves the battery."""
    config, charge = seen["config"], float(begun(seen).stored_mwh[-1])
    return Question(
        battery=replace(_battery(seen), charge_mwh=charge, end_mwh=charge),
        price=np.array(seen["price_gbp_mwh"], dtype=np.float64),  # None becomes NaN
        carbon=np.array(seen["carbon_gco2_kwh"], dtype=np.float64),
        stress=np.array(seen["stress"], dtype=np.float64),
        carbon_price_gbp_t=config["carbon_price_gbp_t"],
        stress_price_gbp_mwh=config["stress_price_gbp_mwh"],
        scarcity=np.array(seen["scarcity_gbp_mwh"]) if "scarcity_gbp_mwh" in seen else None,
        least_mw=_least_of(seen["least_mw"]) if "least_mw" in seen else None,
    )


def _least_of(given: Sequence[float | None]) -> Floats:
    return np.array([-math.inf if one is None else one for one in given])


def _battery(seen: Document) -> Battery:
    asset, config = seen["asset"], seen["config"]
    return Battery(
        capacity_mwh=asset["capacity_mwh"],
        min_mwh=asset["capacity_mwh"] * config["min_charge_percentage"] / 100,
        max_mwh=asset["capacity_mwh"] * config["max_charge_percentage"] / 100,
        charge_mwh=asset["charge_mwh"],
        max_charge_mw=asset["max_charge_mw"],
        max_discharge_mw=asset["max_discharge_mw"],
        efficiency=asset["efficiency"],
        wear_gbp_mwh=asset["wear_gbp_mwh"],
        end_mwh=0.0,
    )


def begun(seen: Document) -> Dispatch:
    """Return what the battery does before the plan: in the half hour that has begun, and as it was set by hand."""
    power = [] if seen["present"] is None else [seen["present"]["power_mw"]]
    if (by_hand := seen.get("by_hand")) is not None:
        power = by_hand["power_mw"]
    asked, hours = np.array(power or [0.0]), np.full(len(power) or 1, _HOURS if power else 0.0)
    return batteries.follow(_battery(seen), asked, np.full(asked.size, math.nan), hours, decimals=_DECIMALS)


def follow(question: Question, power_mw: Floats) -> Dispatch:
    """Return what comes of asking the battery for these powers."""
    field, hours = question.field_gbp_mwh, question.hours
    return batteries.follow(question.battery, power_mw, field, hours, decimals=_DECIMALS)


def leave(question: Question, standing: Document) -> Dispatch:
    """Return what comes of deciding nothing: the standing schedule is followed, and after it the battery idles."""
    power = np.zeros(question.hours.size)
    power[: len(standing["power_mw"])] = standing["power_mw"]
    return follow(question, power)


def keep(question: Question, standing: Document) -> Dispatch:
    """Return what the standing schedule comes to now, and after its end the best that it leaves."""
    asked = np.array(standing["power_mw"])
    field, hours, end = question.field_gbp_mwh, question.hours, asked.size
    held = batteries.follow(question.battery, asked, field[:end], hours[:end])
    left = replace(question.battery, charge_mwh=float(held.stored_mwh[-1]))
    after = batteries.dispatch(left, field[end:], hours[end:])
    return follow(question, np.concatenate([held.power_mw, after.power_mw]))


def option(question: Question, plan: Dispatch) -> dict[str, Any]:
    """Return the figures of a plan: energy, money and carbon, over the half hours whose worth is known."""
    is_used = ~np.isnan(question.field_gbp_mwh)
    charged, discharged = (np.where(is_used, _HOURS * mw, 0.0) for mw in (plan.charge_mw, plan.discharge_mw))
    taken = charged - discharged
    terms = {
        "energy_gbp": _sum(question.price, taken, 6),
        "carbon_gbp": _sum(question.carbon_price_gbp_t / 1000 * question.carbon, taken, 6),
        "stress_gbp": _sum(question.stress_price_gbp_mwh * question.stress, taken, 6),
        "wear_gbp": rounded(question.battery.wear_gbp_mwh * float(discharged.sum()), 6),
        **({} if question.scarcity is None else {"scarcity_gbp": _sum(question.scarcity, taken, 6)}),
    }
    energy, wear = terms["energy_gbp"], terms["wear_gbp"] or 0.0
    return {
        "charged_mwh": rounded(float(charged.sum()), 3),
        "discharged_mwh": rounded(float(discharged.sum()), 3),
        "charged_at_gbp_mwh": _mean(question.price, charged),
        "discharged_at_gbp_mwh": _mean(question.price, discharged),
        "stored_mwh": rounded(float(plan.stored_mwh[-1]), 3),
        "carbon_gco2": _sum(1000 * question.carbon, taken, 2),
        "cost_gbp": None if energy is None else rounded(energy + wear, 6),
        "terms": terms,
        "total_gbp": rounded(sum(cost for cost in terms.values() if cost is not None), 6),
    }


def _sum(values: Floats, mwh: Floats, places: int) -> float | None:
    """Return the sum of a quantity over energy, where it is known; None when it is known nowhere."""
    if np.isnan(values).all():
        return None
    return rounded(float(np.nansum(values * mwh)), places)


def _mean(values: Floats, mwh: Floats) -> float | None:
    total = _sum(values, mwh, 9)
    return rounded(total / float(mwh.sum()), 2) if total is not None and mwh.any() else None


def short_mwh(question: Question, power_mw: Floats) -> float:
    """Return the energy by which these powers are below what work relies on, or above its spare room."""
    if question.least_mw is None:
        return 0.0
    return _HOURS * float(np.maximum(question.least_mw[: power_mw.size] - power_mw, 0.0).sum())


def limits(question: Question, chosen: Dispatch) -> dict[str, Any]:
    """Return what binds the battery, and how near to it the plan comes."""
    battery = question.battery
    rows = (
        ("max_charge_mw", battery.max_charge_mw, "MW", chosen.charge_mw.max()),
        ("max_discharge_mw", battery.max_discharge_mw, "MW", chosen.discharge_mw.max()),
        ("min_mwh", battery.min_mwh, "MWh", chosen.stored_mwh.min()),
        ("max_mwh", battery.max_mwh, "MWh", chosen.stored_mwh.max()),
        ("end_mwh", battery.end_mwh, "MWh", chosen.stored_mwh[-1]),
    )
    return {
        "limits": [
            {"limit": limit, "value": rounded(value, 3), "unit": unit, "reached": rounded(float(reached), 3)}
            for limit, value, unit, reached in rows
        ],
        "starts_outside_band": not battery.min_mwh <= battery.charge_mwh <= battery.max_mwh,
        "is_exact": chosen.is_exact,
    }
