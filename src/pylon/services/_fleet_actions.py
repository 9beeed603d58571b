"""How the actions on data centres, storage and flexibility are carried out: criteria, effect, decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from pylon.agents.contract import Draft
from pylon.agents.jobs import instant
from pylon.errors import NotFound, Refused
from pylon.ontology import actions
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.deciding import LoadLimit, StorageDispatch
from pylon.ontology.enums import DataCentreStatus, DecisionType, StorageStatus, WorkloadStatus
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.planning import battery as batteries
from pylon.planning.battery import Battery
from pylon.services._carry_out import carry_out
from pylon.services.desk import Asked, Desk, Handler

__all__ = ["HANDLERS"]

_FOR_GOOD: Final = datetime(2100, 1, 1, tzinfo=UTC)
_HOURS: Final = 0.5
_DECIMALS: Final = 3  # of a scheduled power in MW
_NEAR_MW: Final = 0.0015  # what rounding to these decimals may come to


def _scale(desk: Desk, given: actions.ScaleDataCentre, asked: Asked) -> None:
    if given.max_power_mw is None:
        _scale_up(desk, given, asked)
    else:
        _scale_down(desk, given, given.max_power_mw, asked)


def _scale_down(desk: Desk, given: actions.ScaleDataCentre, max_power_mw: Decimal, asked: Asked) -> None:
    centre = desk.centre(given.dc_id)
    starts_at = max(given.starts_at or desk.now, desk.now)
    _must_end_ahead(desk, given.ends_at)
    available = centre.total_capacity_mw - centre.base_load_mw
    if max_power_mw > available:
        detail = f"{centre.dc_id} has {available} MW for scheduled work, so a cap of {max_power_mw} MW is none."
        raise Refused.because("within_capacity", f"{detail} Give less.", dc_id=centre.dc_id, mw=float(available))
    until = f"until {given.ends_at:%Y-%m-%d %H:%M} UTC" if given.ends_at else "until it is lifted"
    made = f"Scheduled work at {centre.dc_id} is capped at {max_power_mw} MW {until}: {given.reason}"
    effect = {
        "action": "scale_data_centre",
        **_place(centre),
        "max_power_mw": float(max_power_mw),
        "starts_at": instant(starts_at),
        "ends_at": None if given.ends_at is None else instant(given.ends_at),
    }
    draft = asked.draft or _draft(desk, DecisionType.SCALE_DOWN, given, made, centre=centre)
    decision_id = desk.decide(draft, asked, effect)
    limit = _limit(desk, centre, starts_at, given.ends_at, max_power_mw, given.reason)
    desk.add(limit.model_copy(update={"decision_id": decision_id}))
    desk.forget()


def _scale_up(desk: Desk, given: actions.ScaleDataCentre, asked: Asked) -> None:
    centre = desk.centre(given.dc_id)
    capped = [limit for limit in _limits(desk) if limit.data_centre_id == centre.id and limit.decision_id]
    if not capped:
        detail = (
            f"No cap of scale_data_centre stands at {centre.dc_id}; blackout windows have an action of their own."
        )
        raise Refused.because("cap_stands", detail, dc_id=centre.dc_id)
    made = f"Every cap on scheduled work at {centre.dc_id} is lifted: {given.reason}"
    if given.limit_ids is not None:
        if gone := set(given.limit_ids) - {limit.id for limit in capped}:
            detail = f"No cap of scale_data_centre at {centre.dc_id} any more: {', '.join(sorted(map(str, gone)))}."
            raise Refused.because("cap_stands", detail, dc_id=centre.dc_id)
        capped = [limit for limit in capped if limit.id in given.limit_ids]
        made = f"{len(capped)} of the caps on scheduled work at {centre.dc_id} are lifted: {given.reason}"
    effect = {"action": "scale_data_centre", **_place(centre), "lifted": [str(limit.id) for limit in capped]}
    desk.decide(asked.draft or _draft(desk, DecisionType.SCALE_UP, given, made, centre=centre), asked, effect)
    for limit in capped:
        _end(desk, limit)
    desk.forget()


def _set_status(desk: Desk, given: actions.SetDataCentreStatus, asked: Asked) -> None:
    centre = desk.centre(given.dc_id)
    if given.status is centre.status:
        raise Refused.because("status_differs", f"{centre.dc_id} is {centre.status} already.", dc_id=centre.dc_id)
    if given.status is DataCentreStatus.OFFLINE:
        _must_be_idle(desk, centre)
    opens = given.status is DataCentreStatus.ACTIVE
    made = f"{centre.dc_id} goes from {centre.status} to {given.status}: {given.reason}"
    decision_type = DecisionType.SCALE_UP if opens else DecisionType.SCALE_DOWN
    effect = {
        "action": "set_data_centre_status",
        **_place(centre),
        "from": centre.status.value,
        "to": given.status.value,
    }
    desk.decide(asked.draft or _draft(desk, decision_type, given, made, centre=centre), asked, effect)
    desk.change(centre.model_copy(update={"status": given.status, "updated_at": desk.now}))
    desk.forget()


def _must_be_idle(desk: Desk, centre: DataCentre) -> None:
    placed = desk.transaction.all("placed_work", operator_id=desk.operator_id)
    running = sorted(
        {
            row["job_id"]
            for row in placed
            if row["data_centre_id"] == centre.id and row["status"] == WorkloadStatus.RUNNING
        }
    )
    if running:
        shown = ", ".join(running[:5]) + (f" and {len(running) - 5} more" if len(running) > 5 else "")
        raise Refused.because(
            "nothing_runs",
            f"{shown} run at {centre.dc_id}. Set MAINTENANCE, so that nothing more starts there, or cancel them.",
            dc_id=centre.dc_id,
            job_ids=running,
        )


def _add_blackout(desk: Desk, given: actions.AddBlackoutWindow, _: Asked) -> None:
    centre = desk.centre(given.dc_id)
    _must_end_ahead(desk, given.ends_at)
    desk.add(_limit(desk, centre, given.starts_at, given.ends_at, Decimal(0), given.reason))
    desk.forget()


def _remove_blackout(desk: Desk, given: actions.RemoveBlackoutWindow, _: Asked) -> None:
    limits = {limit.id: limit for limit in _limits(desk)}
    limit = limits.get(given.limit_id)
    if limit is None:
        raise NotFound(
            f"You have no blackout window {given.limit_id} that holds now or later. "
            "`GET /api/v1/objects/LoadLimit` lists all there were."
        )
    if limit.decision_id is not None:
        detail = "This limit was set by scale_data_centre. Lift it there, with max_power_mw null."
        raise Refused.because("is_blackout", detail, limit_id=str(limit.id))
    _end(desk, limit)
    desk.forget()


def _dispatch(desk: Desk, given: actions.DispatchStorage, asked: Asked) -> None:
    asset = desk.asset(given.asset_id)
    if asset.status in (StorageStatus.MAINTENANCE, StorageStatus.OFFLINE):
        detail = f"{asset.asset_id} is {asset.status}, so it is not dispatched."
        raise Refused.because("asset_available", detail, asset_id=asset.asset_id)
    ahead = [one for one in given.schedule if one.starts_at >= desk.now]
    if not ahead or (len(ahead) < len(given.schedule) and asked.draft is None):
        detail = f"The half hour at {given.schedule[0].starts_at:%Y-%m-%d %H:%M} UTC has begun."
        raise Refused.because("not_past", f"{detail} It keeps what it was given: begin with the next or later.")
    _must_be_possible(desk, asset, ahead)
    most = max(Decimal(0), *(one.power_mw for one in given.schedule))
    why = f" Reason given: {given.reason}" if given.reason else ""
    hours = f"{len(given.schedule)} half hours"
    made = f"{asset.asset_id} is scheduled by hand for {hours}, giving {most} MW at most.{why}"
    effect = {
        "action": "dispatch_storage",
        "asset_id": asset.asset_id,
        "schedule": [
            {"starts_at": instant(one.starts_at), "power_mw": float(one.power_mw)} for one in given.schedule
        ],
    }
    draft = asked.draft or _draft(
        desk, DecisionType.SCHEDULE_DISCHARGE, given, made, asset=asset, flexibility_mw=float(most)
    )
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


def _must_be_possible(desk: Desk, asset: StorageAsset, schedule: Sequence[actions.PowerAt]) -> None:
    """Refuse a schedule beyond the asset's rates, or for which it would be too full or too empty."""
    taken, given = asset.max_charge_rate_mw, asset.max_discharge_rate_mw
    for one in schedule:
        if not -taken <= one.power_mw <= given:
            detail = (
                f"{asset.asset_id} takes at most {taken} MW and gives at most {given} MW, not {one.power_mw} MW"
            )
            raise _impossible("rates", asset, one.starts_at, detail)
    charge_mwh = _charge(desk, asset)
    start, first, last = floor(desk.now), schedule[0].starts_at, schedule[-1].starts_at
    wanted = np.zeros((last - start) // HALF_HOUR + 1)
    for row in desk.transaction.all("schedules_ahead", operator_id=desk.operator_id, start=start):
        if row["storage_asset_id"] == asset.id and row["starts_at"] < first:
            wanted[(row["starts_at"] - start) // HALF_HOUR] = row["power_mw"]
    for one in schedule:
        wanted[(one.starts_at - start) // HALF_HOUR] = float(one.power_mw)
    done = batteries.follow(
        _battery(asset, charge_mwh),
        wanted,
        np.full(wanted.size, np.nan),  # at what prices is of no matter here
        np.full(wanted.size, _HOURS),
        decimals=_DECIMALS,
    )
    for at in np.flatnonzero(np.abs(done.power_mw - wanted) > _NEAR_MW).tolist():
        if start + at * HALF_HOUR >= first:
            detail = f"{asset.asset_id} can do {done.power_mw[at]:.3f} MW then, not {wanted[at]:.3f} MW"
            raise _impossible("state_of_charge", asset, start + at * HALF_HOUR, detail)


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


def _offer(desk: Desk, given: actions.OfferFlexibility, asked: Asked) -> None:
    centres = [desk.centre(dc_id) for dc_id in given.dc_ids]
    _must_end_ahead(desk, given.ends_at)
    if shut := [centre.dc_id for centre in centres if centre.status is not DataCentreStatus.ACTIVE]:
        raise Refused.because("site_open", f"Not ACTIVE, so with nothing to shed: {', '.join(shut)}.", dc_ids=shut)
    available = sum((centre.total_capacity_mw for centre in centres), Decimal(0))
    if given.mw > available:
        detail = f"The data centres named draw at most {available} MW together, so {given.mw} MW cannot be shed."
        raise Refused.because("within_capacity", detail, mw=float(available))
    named = ", ".join(given.dc_ids)
    made = (
        f"{given.mw} MW can be shed at {named} from {given.starts_at:%Y-%m-%d %H:%M} to {given.ends_at:%H:%M} UTC "
        f"for {given.price_gbp_mwh} GBP/MWh: {given.reason}"
    )
    only = centres[0] if len(centres) == 1 else None
    draft = asked.draft or _draft(
        desk,
        DecisionType.NEGOTIATE,
        given,
        made,
        centre=only,
        flexibility_mw=float(given.mw),
        is_simulated=any(centre.is_simulated for centre in centres),
    )
    offered = {name: value for name, value in given.plain().items() if name != "reason"}
    desk.decide(draft, asked, {"action": "offer_flexibility", "offer": offered})


def _limits(desk: Desk) -> list[LoadLimit]:
    """Return the operator's limits that hold now or later, those of this desk included."""
    rows = desk.transaction.all("limits_ahead", operator_id=desk.operator_id, start=desk.now, end=_FOR_GOOD)
    stored = [desk.remember(LoadLimit.model_validate(row)) for row in rows]
    here = [row for row in desk.changed.values() if isinstance(row, LoadLimit)]
    limits = {limit.id: limit for limit in [*stored, *here]}.values()
    return [limit for limit in limits if limit.ends_at is None or limit.ends_at > max(limit.starts_at, desk.now)]


def _limit(
    desk: Desk, centre: DataCentre, starts_at: datetime, ends_at: datetime | None, max_mw: Decimal, reason: str
) -> LoadLimit:
    return LoadLimit(
        id=desk.new_id(),
        operator_id=desk.operator_id,
        data_centre_id=centre.id,
        starts_at=starts_at,
        ends_at=ends_at,
        max_power_mw=max_mw,
        reason=reason,
        is_simulated=centre.is_simulated,
        created_at=desk.now,
    )


def _end(desk: Desk, limit: LoadLimit) -> None:
    """End a limit now; one that has not begun never does."""
    desk.change(limit.model_copy(update={"ends_at": max(limit.starts_at, desk.now)}))


def _must_end_ahead(desk: Desk, ends_at: datetime | None) -> None:
    if ends_at is not None and ends_at <= desk.now:
        detail = (
            f"It ends at {ends_at:%Y-%m-%d %H:%M} UTC, which is past. Give a time after {desk.now:%H:%M:%S} UTC."
        )
        raise Refused.because("not_past", detail, ends_at=instant(ends_at))


def _place(centre: DataCentre) -> dict[str, str]:
    return {"dc_id": centre.dc_id, "data_centre_id": str(centre.id)}


def _draft(
    desk: Desk,
    decision_type: DecisionType,
    given: actions.Parameters,
    reasoning: str,
    *,
    centre: DataCentre | None = None,
    asset: StorageAsset | None = None,
    flexibility_mw: float | None = None,
    is_simulated: bool = False,
) -> Draft:
    """Return the decision of somebody who gives the parameters alone: nothing was weighed, no saving is claimed."""
    about = [one for one in (centre, asset) if one is not None]
    return Draft(
        decision_type=decision_type,
        reasoning=reasoning,
        inputs={
            "view": desk.view.digest,
            "after_seq": desk.view.after_seq,
            "now": instant(desk.now),
            "given": given.plain(),
        },
        source_dc_id=None if centre is None else centre.id,
        storage_asset_id=None if asset is None else asset.id,
        flexibility_contribution_mw=flexibility_mw,
        is_simulated=is_simulated or any(one.is_simulated for one in about),
    )


HANDLERS: Final[Mapping[str, Handler]] = {
    "scale_data_centre": _scale,
    "set_data_centre_status": _set_status,
    "add_blackout_window": _add_blackout,
    "remove_blackout_window": _remove_blackout,
    "dispatch_storage": _dispatch,
    "report_charge": _report_charge,
    "offer_flexibility": _offer,
}
"""The handler of each action on data centres, storage and flexibility."""
