"""Grid operator: caps what is scheduled at flexible sites while the grid is in distress, and lifts the caps after.

What a decision says is made by `scale_down` or `scale_up` from the document that it keeps as its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import numpy as np
from pydantic import Field as Ranged

from pylon.agents import jobs
from pylon.agents.contract import Config, Draft, Program, Proposal, View
from pylon.agents.jobs import instant
from pylon.ontology.agency import Agent
from pylon.ontology.deciding import LoadLimit
from pylon.ontology.enums import AgentType, DataCentreStatus, DecisionType, WorkloadStatus
from pylon.planning.field import Floats

__all__ = ["PROGRAM", "Guarding", "scale_down", "scale_up"]

_REASON: Final = "Grid stress"

Stress = Annotated[float, Ranged(ge=0, le=1)]


class Guarding(Config):
    """From which stress on a grid operator acts, how far ahead it looks, and what is too little to bother."""

    alert_stress: Stress = 0.6
    """Caps are lifted when stress stays below this for the rest of their time."""
    critical_stress: Stress = 0.8
    """Sites are capped where stress reaches this."""
    look_ahead_hours: Annotated[float, Ranged(gt=0, le=48)] = 4.0
    least_cut_mw: Annotated[float, Ranged(gt=0, le=1_000)] = 0.05


def scale_down(seen: Mapping[str, Any]) -> Draft | None:
    """Return the decision to cap a site as `seen` tells of it; None when the cut would be too little."""
    site, window = seen["site"], seen["window"]
    scheduled, running = max(seen["scheduled_mw"]), max(seen["running_mw"])
    least = {
        "flexibility_rating": scheduled - site["flexibility_rating"] * (site["base_load_mw"] + scheduled),
        "min_load_percentage": site["min_load_percentage"] / 100 * site["total_capacity_mw"] - site["base_load_mw"],
        "zero": 0.0,
        "running_work": running,
    }
    binding = max(least, key=lambda name: least[name])
    cap = math.ceil(least[binding] * 100 - 1e-6) / 100
    cut = round(scheduled - cap, 2)
    if cut < seen["thresholds"]["least_cut_mw"]:
        return None
    until = window["ends_at"]
    reasoning = (
        f"{_REASON} reaches {max(window['stress']):.2f} (critical is {seen['thresholds']['critical_stress']:.2f}) "
        f"from {window['starts_at']} to {until}: work scheduled at {site['dc_id']} then is capped at {cap:.2f} MW, "
        f"{cut:.2f} MW less than is booked{_BECAUSE[binding]}.{_simulated(seen)}"
    )
    return Draft(
        decision_type=DecisionType.SCALE_DOWN,
        reasoning=reasoning,
        inputs=seen,
        constraints={
            "limits": [{"limit": name, "value": round(value, 6), "unit": "MW"} for name, value in least.items()],
            "binding": binding,
        },
        alternatives={
            "baseline_is": "no cap",
            "chosen": {"max_power_mw": cap, "cut_mw": cut},
            "baseline": {"max_power_mw": round(scheduled, 6), "cut_mw": 0.0},
            "others": [],
        },
        source_dc_id=UUID(site["data_centre_id"]),
        flexibility_contribution_mw=cut,
        is_simulated=site["is_simulated"],
    )


def scale_up(seen: Mapping[str, Any]) -> Draft:
    """Return the decision to lift caps of this agent at a site as `seen` tells of them."""
    site, limits, limit_at = seen["site"], seen["limits"], seen["thresholds"]
    known = [stress for limit in limits for stress in limit["stress"]]
    caps = ", ".join(f"{limit['max_power_mw']:.2f} MW until {limit['ends_at'] or 'lifted'}" for limit in limits)
    return Draft(
        decision_type=DecisionType.SCALE_UP,
        reasoning=(
            f"{_REASON} no longer calls for a cap at {site['dc_id']}: it stays at or below {max(known):.2f} "
            f"(alert from {limit_at['alert_stress']:.2f}, critical from {limit_at['critical_stress']:.2f}) for as "
            f"long as the cap was to last, so it is lifted ({caps}).{_simulated(seen)}"
        ),
        inputs=seen,
        constraints={"limits": [], "binding": None},
        alternatives={
            "baseline_is": "the caps stay",
            "chosen": {"max_power_mw": None},
            "baseline": {"max_power_mw": min(limit["max_power_mw"] for limit in limits)},
            "others": [],
        },
        source_dc_id=UUID(site["data_centre_id"]),
        is_simulated=site["is_simulated"],
    )


_BECAUSE: Final = {
    "flexibility_rating": ", the share of its load that can move",
    "min_load_percentage": ", which leaves it the load it cannot go below",
    "running_work": ", which leaves what runs already",
    "zero": ", all of it",
}


def _propose(view: View, agent: Agent, config: Guarding) -> Iterator[Proposal]:
    critical = _critical(view, config)
    for row, site in enumerate(view.sites):
        ours = [limit for limit in view.limits if limit.data_centre_id == site.id and _is_of(view, limit, agent)]
        if site.status is DataCentreStatus.ACTIVE and site.flexibility_rating > 0 and critical:
            yield from _down(view, row, _uncapped(view, critical, ours), config)
        if over := [limit for limit in ours if _is_over(view, limit, config)]:
            yield _up(view, row, over, config)


def _critical(view: View, config: Guarding) -> list[int]:
    """Return the first run of half hours ahead in which stress is critical."""
    ahead = min(math.ceil(config.look_ahead_hours * 2), view.field.half_hours)
    found: list[int] = []
    for column in range(ahead):
        if view.field.stress[column] >= config.critical_stress:
            found.append(column)
        elif found:
            break
    return found


def _uncapped(view: View, columns: Sequence[int], ours: Sequence[LoadLimit]) -> list[int]:
    """Return the half hours that no cap of this agent covers yet. What a cap has moved must not count twice."""
    return [
        column
        for column in columns
        if not any(
            limit.starts_at < view.half_hour(column + 1)
            and (limit.ends_at is None or limit.ends_at >= view.half_hour(column + 1))
            for limit in ours
        )
    ]


def _down(view: View, row: int, columns: Sequence[int], config: Guarding) -> Iterator[Proposal]:
    if not columns:
        return
    running, scheduled = _loads(view, row)
    starts_at, ends_at = max(view.half_hour(columns[0]), view.now), view.half_hour(columns[-1] + 1)
    seen = {
        **_seen(view, row, config),
        "window": {
            "starts_at": instant(starts_at),
            "ends_at": instant(ends_at),
            "stress": [round(float(view.field.stress[column]), 6) for column in columns],
        },
        "scheduled_mw": [round(float(scheduled[column]), 6) for column in columns],
        "running_mw": [round(float(running[column]), 6) for column in columns],
    }
    draft = scale_down(seen)
    if draft is None:
        return
    worst = max(seen["window"]["stress"])
    parameters = {
        "dc_id": view.sites[row].dc_id,
        "max_power_mw": draft.alternatives["chosen"]["max_power_mw"],
        "starts_at": starts_at,
        "ends_at": ends_at,
        "reason": f"{_REASON} {worst:.2f}",
    }
    yield Proposal(action="scale_data_centre", parameters=parameters, draft=draft)


def _up(view: View, row: int, over: Sequence[LoadLimit], config: Guarding) -> Proposal:
    seen = {
        **_seen(view, row, config),
        "limits": [
            {
                "limit_id": str(limit.id),
                "max_power_mw": float(limit.max_power_mw),
                "starts_at": instant(limit.starts_at),
                "ends_at": None if limit.ends_at is None else instant(limit.ends_at),
                "stress": [round(float(view.field.stress[column]), 6) for column in _rest(view, limit, config)],
            }
            for limit in over
        ],
    }
    parameters = {
        "dc_id": view.sites[row].dc_id,
        "max_power_mw": None,
        "limit_ids": [limit.id for limit in over],
        "reason": f"{_REASON} is over",
    }
    return Proposal(action="scale_data_centre", parameters=parameters, draft=scale_up(seen))


def _is_over(view: View, limit: LoadLimit, config: Guarding) -> bool:
    rest = view.field.stress[_rest(view, limit, config)]
    if rest.size == 0 or (limit.ends_at is not None and limit.ends_at <= view.half_hour(1)):
        return False  # it ends by itself
    least = config.alert_stress if limit.starts_at <= view.now else config.critical_stress
    return bool((rest < least).all())  # of stress that is not known this does not hold


def _rest(view: View, limit: LoadLimit, config: Guarding) -> list[int]:
    """Return the half hours from now on that a cap covers; without an end, as far as the agent looks ahead."""
    ahead = min(math.ceil(config.look_ahead_hours * 2), view.field.half_hours)
    last = view.half_hour(ahead) if limit.ends_at is None else limit.ends_at
    return [
        column
        for column in range(view.field.half_hours)
        if limit.starts_at < view.half_hour(column + 1) and view.half_hour(column) < last
    ]


def _is_of(view: View, limit: LoadLimit, agent: Agent) -> bool:
    """Return whether this agent set the limit: what somebody else set is not its to lift."""
    return limit.decision_id is not None and view.deciders.get(limit.decision_id) == agent.id


def _loads(view: View, row: int) -> tuple[Floats, Floats]:
    """Return the facility MW in each half hour of what runs at a site, and of all that is booked there."""
    running, scheduled = np.zeros(view.field.half_hours), np.zeros(view.field.half_hours)
    for workload in view.workloads:
        booking = view.bookings.get(workload.id)
        if booking is None or booking.data_centre_id != view.sites[row].id:
            continue
        mw = float(workload.power_kw) / 1000 * float(view.field.pue[row])
        held = jobs.columns(jobs.spans_of(view, booking), view.field.half_hours)
        scheduled[held] += mw
        if workload.status is WorkloadStatus.RUNNING:
            running[held] += mw
    return running, scheduled


def _seen(view: View, row: int, config: Guarding) -> dict[str, Any]:
    site = view.sites[row]
    return {
        "view": view.digest,
        "after_seq": view.after_seq,
        "now": instant(view.now),
        "starts_at": instant(view.starts_at),
        "site": {
            "dc_id": site.dc_id,
            "data_centre_id": str(site.id),
            "region_id": view.regions[row],
            "total_capacity_mw": float(site.total_capacity_mw),
            "base_load_mw": float(site.base_load_mw),
            "min_load_percentage": float(site.min_load_percentage),
            "flexibility_rating": float(site.flexibility_rating),
            "is_simulated": site.is_simulated,
        },
        "thresholds": config.model_dump(),
        "simulated": [quantity for quantity in view.simulated if quantity == "stress"],
    }


def _simulated(seen: Mapping[str, Any]) -> str:
    return " Rests on simulated stress." if seen["simulated"] else ""


PROGRAM: Final = Program(agent_type=AgentType.GRID_OPERATOR, order=10, config=Guarding, propose=_propose)
