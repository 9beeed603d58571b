"""How the actions on data centres and flexibility are carried out: criteria, effect, decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from pylon.agents.contract import Draft
from pylon.agents.jobs import instant
from pylon.errors import NotFound, Refused
from pylon.ontology import actions
from pylon.ontology.deciding import LoadLimit
from pylon.ontology.enums import DataCentreStatus, DecisionType, WorkloadStatus
from pylon.ontology.fleet import DataCentre
from pylon.services.desk import Asked, Desk, Handler

__all__ = ["HANDLERS"]

_FOR_GOOD: Final = datetime(2100, 1, 1, tzinfo=UTC)


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
    flexibility_mw: float | None = None,
    is_simulated: bool = False,
) -> Draft:
    """Return the decision of somebody who gives the parameters alone: nothing was weighed, no saving is claimed."""
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
        flexibility_contribution_mw=flexibility_mw,
        is_simulated=is_simulated or (centre is not None and centre.is_simulated),
    )


HANDLERS: Final[Mapping[str, Handler]] = {
    "scale_data_centre": _scale,
    "set_data_centre_status": _set_status,
    "add_blackout_window": _add_blackout,
    "remove_blackout_window": _remove_blackout,
    "offer_flexibility": _offer,
}
"""The handler of each action on data centres and flexibility."""
