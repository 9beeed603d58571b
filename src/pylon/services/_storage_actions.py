"""How the actions on storage are carried out: criteria, effect, decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np
from pydantic import ValidationError

from pylon.agents import storage_by_hand
from pylon.agents.contract import Draft
from pylon.agents.jobs import instant
from pylon.agents.storage_agent import StorageConfig
from pylon.errors import Refused
from pylon.ontology import actions
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.deciding import StorageDispatch
from pylon.ontology.enums import AgentType, StorageStatus
from pylon.ontology.fleet import StorageAsset
from pylon.planning import battery as batteries
from pylon.planning.battery import Battery
from pylon.services._carry_out import carry_out
from pylon.services.desk import Asked, Desk, Handler

__all__ = ["HANDLERS"]

_HOURS: Final = 0.5
_DECIMALS: Final = 3  # of a scheduled power in MW
_NEAR_MW: Final = 0.0015  # what rounding to these decimals may come to


def _dispatch(desk: Desk, given: actions.DispatchStorage, asked: Asked) -> None:
    asset = desk.asset(given.asset_id)
    if asset.status in (StorageStatus.MAINTENANCE, StorageStatus.OFFLINE):
        detail = f"{asset.asset_id} is {asset.status}, so it is not dispatched."
        raise Refused.because("asset_available", detail, asset_id=asset.asset_id)
    ahead = [one for one in given.schedule if one.starts_at >= desk.now]
    if not ahead or (len(ahead) < len(given.schedule) and asked.draft is None):
        detail = f"The half hour at {given.schedule[0].starts_at:%Y-%m-%d %H:%M} UTC has begun."
        raise Refused.because("not_past", f"{detail} It keeps what it was given: begin with the next or later.")
    charge_mwh, standing = _charge(desk, asset), _standing(desk, asset)
    _must_be_possible(desk, asset, ahead, charge_mwh, standing)
    effect = {
        "action": "dispatch_storage",
        "asset_id": asset.asset_id,
        "schedule": [
            {"starts_at": instant(one.starts_at), "power_mw": float(one.power_mw)} for one in given.schedule
        ],
    }
    draft = asked.draft or _scheduled_by_hand(desk, asset, given, charge_mwh, standing)
    decision_id = desk.decide(draft, asked, effect)
    for one in ahead:  # an agent names the present half hour too, as it stands
        desk.add(
            StorageDispatch(
                operator_id=desk.operator_id,
                storage_asset_id=asset.id,
                starts_at=one.starts_at,
                power_mw=one.power_mw,
                decision_id=decision_id,
            )
        )
    desk.forget()


def _standing(desk: Desk, asset: StorageAsset) -> dict[datetime, float]:
    """Return what the asset is to do from the present half hour on, in MW."""
    rows = desk.transaction.all("schedules_ahead", operator_id=desk.operator_id, start=floor(desk.now))
    return {row["starts_at"]: row["power_mw"] for row in rows if row["storage_asset_id"] == asset.id}


def _scheduled_by_hand(
    desk: Desk,
    asset: StorageAsset,
    given: actions.DispatchStorage,
    charge_mwh: float,
    standing: Mapping[datetime, float],
) -> Draft:
    """Return the decision of a client's own schedule, valued as the operator's storage agent values one."""
    regions = {row["id"]: row["region_id"] for row in desk.transaction.all("regions")}
    agent = desk.transaction.one("acting_agent", operator_id=desk.operator_id, agent_type=AgentType.STORAGE_AGENT)
    try:
        config = StorageConfig.model_validate(agent["config"] if agent else {})
    except ValidationError:  # the round after says so
        config = StorageConfig()
    held = asset.model_copy(update={"current_charge_mwh": Decimal(repr(charge_mwh))})
    seen = storage_by_hand.describe(
        desk.view,
        held,
        regions[asset.region_id],
        config,
        standing=standing,
        given={one.starts_at: round(float(one.power_mw), _DECIMALS) for one in given.schedule},
        why=given.reason,
    )
    return storage_by_hand.decide(seen)


def _must_be_possible(
    desk: Desk,
    asset: StorageAsset,
    schedule: Sequence[actions.PowerAt],
    charge_mwh: float,
    standing: Mapping[datetime, float],
) -> None:
    """Refuse a schedule beyond the asset's rates, or for which it would be too full or too empty."""
    taken, given = asset.max_charge_rate_mw, asset.max_discharge_rate_mw
    for one in schedule:
        if not -taken <= one.power_mw <= given:
            detail = (
                f"{asset.asset_id} takes at most {taken} MW and gives at most {given} MW, not {one.power_mw} MW"
            )
            raise _impossible("rates", asset, one.starts_at, detail)
    start, first, last = floor(desk.now), schedule[0].starts_at, schedule[-1].starts_at
    wanted = np.zeros((last - start) // HALF_HOUR + 1)
    for at, power_mw in standing.items():
        if at < first:
            wanted[(at - start) // HALF_HOUR] = power_mw
    for one in schedule:
        wanted[(one.starts_at - start) // HALF_HOUR] = float(one.power_mw)
    done = batteries.follow(
        _battery(asset, charge_mwh),
        wanted,
        np.full(wanted.size, np.nan),  # at what prices is of no matter here
        np.full(wanted.size, _HOURS),
        decimals=_DECIMALS,
    )
    for row in np.flatnonzero(np.abs(done.power_mw - wanted) > _NEAR_MW).tolist():
        if start + row * HALF_HOUR >= first:
            detail = f"{asset.asset_id} can do {done.power_mw[row]:.3f} MW then, not {wanted[row]:.3f} MW"
            raise _impossible("state_of_charge", asset, start + row * HALF_HOUR, detail)


def _charge(desk: Desk, asset: StorageAsset) -> float:
    """Return what the asset holds when all that was due by now has been carried out; refuse when nobody knows."""
    carry_out(desk.transaction, desk.operator_id, desk.now)
    charge = desk.transaction.one("charge_at", operator_id=desk.operator_id, asset_id=asset.id, now=desk.now)
    if charge is None or charge["mwh"] is None:
        why = f"How much {asset.asset_id} holds is not known, so what it can give is not either."
    elif (since := charge["unreported_since"]) is not None:
        why = f"What {asset.asset_id} did at {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC is not known."
    else:
        return float(charge["mwh"])
    advice = "" if asset.is_simulated else " Say with report_charge what it holds."
    raise Refused.because("charge_known", f"{why}{advice}", asset_id=asset.asset_id)


def _report_charge(desk: Desk, given: actions.ReportCharge, _: Asked) -> None:
    asset, at = desk.asset(given.asset_id), given.at or desk.now
    if asset.is_simulated:
        detail = f"{asset.asset_id} is simulated, so Pylon keeps its charge."
        raise Refused.because("is_real", detail, asset_id=asset.asset_id)
    known = desk.transaction.value("charge_reported_until", operator_id=desk.operator_id, asset_id=asset.id)
    if at > desk.now or (known is not None and at < known):
        first = "" if known is None else f"no earlier than {known.astimezone(UTC):%Y-%m-%d %H:%M} UTC and "
        detail = f"{asset.asset_id} held that at {at:%Y-%m-%d %H:%M} UTC? Give a time {first}no later than now."
        raise Refused.because("not_ahead", detail, asset_id=asset.asset_id)
    if given.charge_mwh > asset.capacity_mwh:
        detail = f"{asset.asset_id} holds at most {asset.capacity_mwh} MWh, not {given.charge_mwh} MWh."
        raise Refused.because("charge_fits", detail, asset_id=asset.asset_id)
    share = round(100 * given.charge_mwh / asset.capacity_mwh, 2) if asset.capacity_mwh else None
    held = {"current_charge_mwh": given.charge_mwh, "current_charge_percentage": share}
    desk.change(asset.model_copy(update={**held, "updated_at": desk.now}))
    desk.transaction.run(
        "report_charge", operator_id=desk.operator_id, asset_id=asset.id, at=at, charge_mwh=given.charge_mwh
    )
    desk.forget()


def _battery(asset: StorageAsset, charge_mwh: float) -> Battery:
    capacity = float(asset.capacity_mwh)
    return Battery(
        capacity_mwh=capacity,
        min_mwh=0.0,
        max_mwh=capacity,
        charge_mwh=charge_mwh,
        max_charge_mw=float(asset.max_charge_rate_mw),
        max_discharge_mw=float(asset.max_discharge_rate_mw),
        efficiency=float(asset.efficiency_percentage) / 100,
        wear_gbp_mwh=float(asset.wear_gbp_mwh),
        end_mwh=0.0,
    )


def _impossible(code: str, asset: StorageAsset, at: datetime, why: str) -> Refused:
    detail = f"At {at:%Y-%m-%d %H:%M} UTC: {why}."
    return Refused.because(code, detail, asset_id=asset.asset_id, starts_at=instant(at))


HANDLERS: Final[Mapping[str, Handler]] = {
    "dispatch_storage": _dispatch,
    "report_charge": _report_charge,
}
"""The handler of each action on storage."""
