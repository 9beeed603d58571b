"""STORAGE_AGENT: when batteries charge and discharge, on prices, carbon and stress as they are now forecast.

A plan is for whole half hours that have not begun; the present one keeps what it was given, and so does everything
up to the end of what a client has scheduled by hand. All that a decision says is made by `decide` from the document
that `describe` makes, and the decision keeps it as its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import numpy as np
from pydantic import Field, model_validator

from pylon.agents._storage_words import Document, occasion, saved, sentences
from pylon.agents._words import rounded
from pylon.agents.contract import Config, Draft, Program, Proposal, View
from pylon.agents.jobs import instant, interval, moment
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import AgentType, DecisionType, StorageStatus
from pylon.ontology.fleet import StorageAsset
from pylon.planning import battery as batteries
from pylon.planning.battery import Battery, Dispatch
from pylon.planning.field import Floats

__all__ = ["PROGRAM", "StorageConfig", "decide", "describe"]

_HOURS: Final = HALF_HOUR / timedelta(hours=1)
_DECIMALS: Final = 3
"""Of a scheduled power in MW: to the kW."""
_WORDS: Final = {"price_gbp_mwh": "price", "carbon_gco2_kwh": "carbon", "stress": "stress"}
_BASELINE: Final = {False: "idle", True: "the schedule that stands, and idle after it"}
_OUT_OF_USE: Final = frozenset({StorageStatus.MAINTENANCE, StorageStatus.OFFLINE})

_Weight = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=100)]


class StorageConfig(Config):
    """What a storage agent weighs, and when it decides anew."""

    carbon_price_gbp_t: _Weight = 100.0
    stress_price_gbp_mwh: _Weight = 20.0
    """At stress 1."""
    horizon_hours: Annotated[float, Field(ge=1, le=48)] = 48.0
    min_charge_percentage: _Share = 10.0
    max_charge_percentage: _Share = 95.0
    churn_gbp: _Weight = 5.0
    """A standing schedule is replaced before its time only for a plan that is worth more than this beyond it."""
    renew_within_hours: Annotated[float, Field(ge=0, le=48)] = 24.0
    """A schedule is replaced when it ends within this, or within half of `horizon_hours` where that is less."""

    @model_validator(mode="after")
    def _is_a_band(self) -> StorageConfig:
        if self.min_charge_percentage > self.max_charge_percentage:
            raise ValueError("min_charge_percentage must not be above max_charge_percentage")
        return self


def describe(view: View, asset: StorageAsset, region: int, config: StorageConfig) -> dict[str, Any] | None:
    """Return everything that is to be seen of an asset in region number `region`, in plain values.

    None when nothing can be planned: the asset is out of use, its charge is unknown or no half hour is left.
    """
    schedule = view.schedules.get(asset.id, ())
    by_hand = [one.starts_at for one in schedule if one.is_by_hand]
    first = (max(by_hand) + HALF_HOUR - view.starts_at) // HALF_HOUR if by_hand else 0
    first = max(first, 0 if view.now <= view.starts_at else 1)
    columns = range(first, min(view.field.half_hours, first + round(config.horizon_hours / _HOURS)))
    if asset.status in _OUT_OF_USE or asset.current_charge_mwh is None or not columns:
        return None
    site = None if asset.co_located_dc_id is None else view.site(asset.co_located_dc_id)
    prices = view.wholesale_gbp_mwh if site is None else view.field.price_gbp_mwh[site].tolist()
    standing = {one.starts_at: one.power_mw for one in schedule}
    series = {
        "price_gbp_mwh": [_known(prices[column]) for column in columns],
        "carbon_gco2_kwh": [_known(view.region_carbon[region][column]) for column in columns],
        "stress": [_known(view.field.stress[column]) for column in columns],
    }
    return {
        "view": view.digest,
        "after_seq": view.after_seq,
        "now": instant(view.now),
        "config": config.model_dump(),
        "asset": _asset(asset),
        "present": _present(view, standing) if first and not by_hand else None,
        "by_hand": _by_hand(view, standing, first) if by_hand else None,
        "standing": _standing(view, standing, columns),
        "starts_at": instant(view.half_hour(first)),
        "price_of": "wholesale" if site is None else view.sites[site].dc_id,
        "region_id": region,
        **series,
        "simulated": list(view.simulated),
        "missing": _missing(series),
    }


def decide(seen: Document) -> Proposal | None:
    """Return the dispatch that a document of `describe` calls for; None when what stands may go on standing."""
    question, standing = _read(seen), seen["standing"]
    if np.isnan(question.field_gbp_mwh).all():
        return None
    best = batteries.dispatch(question.battery, question.field_gbp_mwh, question.hours)
    chosen = replace(_follow(question, best.power_mw), is_exact=best.is_exact)
    idle = _follow(question, np.zeros(question.hours.size))
    options: dict[str, Any] = {
        "baseline_is": _BASELINE[standing is not None],
        "chosen": _option(question, chosen),
        "baseline": _option(question, idle if standing is None else _leave(question, standing)),
        "standing": None if standing is None else _option(question, _keep(question, standing)),
        "others": [],
    }
    why = occasion(seen, options)
    if why is None:
        return None
    limits = _limits(question, chosen)
    draft = Draft(
        decision_type=DecisionType.SCHEDULE_DISCHARGE,
        reasoning=" ".join([why, *sentences(seen, limits, options)]),
        inputs=seen,
        constraints=limits,
        alternatives=options,
        storage_asset_id=UUID(seen["asset"]["storage_asset_id"]),
        carbon_saved_gco2=saved(options, "carbon_gco2", 2),
        cost_saved_gbp=saved(options, "cost_gbp", 4),
        flexibility_contribution_mw=rounded(float(chosen.discharge_mw.max()), 2),
        is_simulated=seen["asset"]["is_simulated"],
    )
    parameters = {"asset_id": seen["asset"]["asset_id"], "schedule": _schedule(seen, chosen)}
    return Proposal(action="dispatch_storage", parameters=parameters, draft=draft)


def _propose(view: View, agent: Agent, config: StorageConfig) -> Iterator[Proposal]:  # noqa: ARG001  every program's form
    for asset, region in zip(view.assets, view.asset_regions, strict=True):
        seen = describe(view, asset, region, config)
        proposal = decide(seen) if seen else None
        if proposal:
            yield proposal


PROGRAM: Final = Program(agent_type=AgentType.STORAGE_AGENT, order=50, config=StorageConfig, propose=_propose)


# ---- what is seen


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


def _present(view: View, standing: Mapping[datetime, float]) -> dict[str, Any]:
    """Return what the half hour that has begun was given to do."""
    return {"starts_at": instant(view.starts_at), "power_mw": standing.get(view.starts_at, 0.0)}


def _by_hand(view: View, standing: Mapping[datetime, float], first: int) -> dict[str, Any]:
    """Return what the half hours before column `first` were given to do, to the end of what was set by hand."""
    ats = [view.half_hour(column) for column in range(first)]
    return {
        **interval(view.starts_at, view.half_hour(first)),
        "power_mw": [standing.get(at, 0.0) for at in ats],
    }


def _standing(view: View, standing: Mapping[datetime, float], columns: range) -> dict[str, Any] | None:
    """Return the schedule that stands, from the first of `columns` on; None when it has run out."""
    ends_at = max(standing, default=view.starts_at - HALF_HOUR) + HALF_HOUR
    ahead = [view.half_hour(column) for column in columns if view.half_hour(column) < ends_at]
    if not ahead:
        return None
    return {"ends_at": instant(ends_at), "power_mw": [standing.get(at, 0.0) for at in ahead]}


def _missing(series: Mapping[str, list[float | None]]) -> dict[str, Any]:
    nowhere = [name for name, values in series.items() if all(value is None for value in values)]
    needed = [series[name] for name in ("price_gbp_mwh", "carbon_gco2_kwh") if name not in nowhere]
    return {
        "known_nowhere": [_WORDS[name] for name in nowhere],
        "half_hours_not_used": sum(None in values for values in zip(*needed, strict=True)),
        "half_hours_without_stress": series["stress"].count(None),
    }


# ---- what it comes to


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """The document as the planner takes it: a battery, and what T whole half hours are like. NaN is unknown."""

    battery: Battery
    price: Floats
    carbon: Floats
    stress: Floats
    carbon_price_gbp_t: float
    stress_price_gbp_mwh: float

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
        return field


def _read(seen: Document) -> _Question:
    config, charge = seen["config"], float(_begun(seen).stored_mwh[-1])
    return _Question(
        battery=replace(_battery(seen), charge_mwh=charge, end_mwh=charge),
        price=np.array(seen["price_gbp_mwh"], dtype=np.float64),  # None becomes NaN
        carbon=np.array(seen["carbon_gco2_kwh"], dtype=np.float64),
        stress=np.array(seen["stress"], dtype=np.float64),
        carbon_price_gbp_t=config["carbon_price_gbp_t"],
        stress_price_gbp_mwh=config["stress_price_gbp_mwh"],
    )


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


def _begun(seen: Document) -> Dispatch:
    """Return what the battery does before the plan: in the half hour that has begun, and as it was set by hand."""
    power = [] if seen["present"] is None else [seen["present"]["power_mw"]]
    if (by_hand := seen.get("by_hand")) is not None:
        power = by_hand["power_mw"]
    asked, hours = np.array(power or [0.0]), np.full(len(power) or 1, _HOURS if power else 0.0)
    return batteries.follow(_battery(seen), asked, np.full(asked.size, math.nan), hours, decimals=_DECIMALS)


def _follow(question: _Question, power_mw: Floats) -> Dispatch:
    field, hours = question.field_gbp_mwh, question.hours
    return batteries.follow(question.battery, power_mw, field, hours, decimals=_DECIMALS)


def _leave(question: _Question, standing: Document) -> Dispatch:
    """Return what comes of deciding nothing: the standing schedule is followed, and after it the battery idles."""
    power = np.zeros(question.hours.size)
    power[: len(standing["power_mw"])] = standing["power_mw"]
    return _follow(question, power)


def _keep(question: _Question, standing: Document) -> Dispatch:
    """Return what the standing schedule comes to now, and after its end the best that it leaves."""
    asked = np.array(standing["power_mw"])
    field, hours, end = question.field_gbp_mwh, question.hours, asked.size
    held = batteries.follow(question.battery, asked, field[:end], hours[:end])
    left = replace(question.battery, charge_mwh=float(held.stored_mwh[-1]))
    after = batteries.dispatch(left, field[end:], hours[end:])
    return _follow(question, np.concatenate([held.power_mw, after.power_mw]))


def _schedule(seen: Document, chosen: Dispatch) -> list[dict[str, Any]]:
    starts_at = moment(seen["starts_at"])
    power = chosen.power_mw
    if seen["present"] is not None:
        starts_at, power = starts_at - HALF_HOUR, np.concatenate([_begun(seen).power_mw, power])
    return [
        {"starts_at": instant(starts_at + number * HALF_HOUR), "power_mw": mw}
        for number, mw in enumerate(power.tolist())
    ]


# ---- what is said of it: each figure is rounded once; totals, savings and sentences are made of rounded figures


def _option(question: _Question, plan: Dispatch) -> dict[str, Any]:
    is_used = ~np.isnan(question.field_gbp_mwh)
    charged, discharged = (np.where(is_used, _HOURS * mw, 0.0) for mw in (plan.charge_mw, plan.discharge_mw))
    taken = charged - discharged
    terms = {
        "energy_gbp": _sum(question.price, taken, 6),
        "carbon_gbp": _sum(question.carbon_price_gbp_t / 1000 * question.carbon, taken, 6),
        "stress_gbp": _sum(question.stress_price_gbp_mwh * question.stress, taken, 6),
        "wear_gbp": rounded(question.battery.wear_gbp_mwh * float(discharged.sum()), 6),
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


def _limits(question: _Question, chosen: Dispatch) -> dict[str, Any]:
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
