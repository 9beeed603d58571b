"""Flexibility agent: offers the power that could be shed when the grid is tight: where, how long, at what price.

What an offer says is made by `offer` from the document that the decision keeps as its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field as Ranged

from pylon.agents import jobs
from pylon.agents.contract import Booking, Draft, Program, Proposal, View
from pylon.agents.jobs import Placing, instant
from pylon.ontology.agency import Agent
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import AgentStatus, AgentType, DataCentreStatus, DecisionType, WorkloadStatus
from pylon.planning import arrival
from pylon.planning.field import HALF_HOUR_MINS, Field, Job

__all__ = ["PROGRAM", "Offering", "offer"]

Share = Annotated[float, Ranged(ge=0, le=1)]


class Offering(Placing):
    """What a flexibility agent weighs, when it offers, and how much."""

    offer_from_stress: Share = 0.6
    max_flexible_share: Share = 0.25
    """No more is offered than this share of what the sites draw in the window."""
    max_event_hours: Annotated[float, Ranged(ge=0.5, le=24)] = 3.0
    look_ahead_hours: Annotated[float, Ranged(ge=1, le=48)] = 12.0
    change_share: Share = 0.1
    """A window on offer is offered again when power or price has moved by more than this share."""


def offer(seen: Mapping[str, Any]) -> Draft | None:
    """Return the offer of what `seen` tells could be moved, the cheapest first; None when there is nothing."""
    window, most_mwh = seen["window"], seen["max_flexible_share"] * seen["load_mwh"]
    taken, mwh, extra = [], 0.0, 0.0
    for job in sorted(seen["jobs"], key=lambda one: (one["extra_gbp"] / one["mwh"], one["job_id"])):
        if mwh + job["mwh"] <= most_mwh:
            taken.append(job)
            mwh, extra = mwh + job["mwh"], extra + job["extra_gbp"]
    mw = math.floor(mwh / window["hours"] * 100 + 1e-6) / 100
    if mw <= 0:
        return None
    price = math.ceil(max(0.0, extra / mwh) * 100 - 1e-6) / 100
    sites = sorted({job["dc_id"] for job in taken})
    return Draft(
        decision_type=DecisionType.NEGOTIATE,
        reasoning=_reason(seen, taken, f"{mwh:.2f} MWh for GBP {extra:.2f} more", f"{mw:.2f} MW", price),
        inputs=seen,
        constraints={
            "limits": [{"limit": "max_flexible_share", "value": round(most_mwh, 6), "unit": "MWh"}],
            "binding": "max_flexible_share" if len(taken) < len(seen["jobs"]) else None,
        },
        alternatives={
            "baseline_is": "run as booked",
            "chosen": {
                "mw": mw,
                "price_gbp_mwh": price,
                "mwh": round(mwh, 6),
                "extra_gbp": round(extra, 6),
                "job_ids": [job["job_id"] for job in taken],
                "dc_ids": sites,
            },
            "baseline": {"mw": 0.0},
            "others": [],
        },
        flexibility_contribution_mw=mw,
        is_simulated=any(job["is_simulated"] for job in taken),
    )


def _reason(
    seen: Mapping[str, Any], taken: Sequence[Mapping[str, Any]], moved: str, power: str, price: float
) -> str:
    window, sites = seen["window"], sorted({job["dc_id"] for job in taken})
    simulated = f" Rests on simulated {', '.join(seen['simulated'])}." if seen["simulated"] else ""
    return (
        f"Stress averages {window['mean_stress']:.2f} from {window['starts_at']} to {window['ends_at']}. "
        f"{len(taken)} jobs at {', '.join(sites)} could run outside it, {moved} in all: "
        f"{power} on average over {window['hours']:g} h are offered from GBP {price:.2f}/MWh.{simulated}"
    )


def _propose(view: View, agent: Agent, config: Offering) -> Iterator[Proposal]:
    columns = _worst_window(view, config)
    if not columns:
        return
    seen = _seen(view, columns, config)
    draft = offer(seen)
    if draft is None:
        return
    chosen = draft.alternatives["chosen"]
    parameters = {
        "mw": chosen["mw"],
        "starts_at": view.half_hour(columns[0]),
        "ends_at": view.half_hour(columns[-1] + 1),
        "price_gbp_mwh": chosen["price_gbp_mwh"],
        "dc_ids": chosen["dc_ids"],
        "reason": f"Grid stress averages {seen['window']['mean_stress']:.2f}",
    }
    if not _is_on_offer(agent.current_task, parameters, config):
        yield Proposal(
            action="offer_flexibility", parameters=parameters, draft=draft, doing=AgentStatus.NEGOTIATING
        )


def _worst_window(view: View, config: Offering) -> list[int]:
    """Return the half hours ahead, one run of at most the longest event, over which stress adds up to most."""
    last = min(int(config.look_ahead_hours * 2) + 1, view.field.half_hours)
    longest = int(config.max_event_hours * 2)
    stress, best, most = view.field.stress, (0, 0), -1.0
    for first in range(1, last):  # the present half hour has begun: too late to offer
        total = 0.0
        for column in range(first, min(first + longest, last)):
            if not stress[column] >= config.offer_from_stress:
                break
            total += float(stress[column])
            if total > most:
                best, most = (first, column + 1), total
    return list(range(*best))


def _seen(view: View, columns: Sequence[int], config: Offering) -> dict[str, Any]:
    stress = [round(float(view.field.stress[column]), 6) for column in columns]
    booked = [(workload, view.bookings[workload.id]) for workload in view.workloads if workload.id in view.bookings]
    return {
        "view": view.digest,
        "after_seq": view.after_seq,
        "now": instant(view.now),
        "starts_at": instant(view.starts_at),
        "window": {
            "starts_at": instant(view.half_hour(columns[0])),
            "ends_at": instant(view.half_hour(columns[-1] + 1)),
            "hours": len(columns) / 2,
            "stress": stress,
            "mean_stress": round(sum(stress) / len(stress), 6),
        },
        "load_mwh": round(_load_mwh(view, booked, columns), 6),
        "jobs": list(_movable(view, booked, columns, config)),
        "max_flexible_share": config.max_flexible_share,
        "weights": {
            "carbon_price_gbp_t": config.carbon_price_gbp_t,
            "stress_price_gbp_mwh": config.stress_price_gbp_mwh,
        },
        "simulated": list(view.simulated),
    }


def _load_mwh(view: View, booked: Sequence[tuple[ComputeWorkload, Booking]], columns: Sequence[int]) -> float:
    """Return what all sites draw over the window: their base load, and what is booked."""
    base = sum(float(site.base_load_mw) for site in view.sites) * len(columns) / 2
    return base + sum(_mwh_within(view, workload, booking, columns) for workload, booking in booked)


def _mwh_within(view: View, workload: ComputeWorkload, booking: Booking, columns: Sequence[int]) -> float:
    site = view.site(booking.data_centre_id)
    if site is None:
        return 0.0
    first, last = columns[0] * HALF_HOUR_MINS, (columns[-1] + 1) * HALF_HOUR_MINS
    mins = sum(max(0.0, min(ends, last) - max(begins, first)) for begins, ends in jobs.spans_of(view, booking))
    return float(workload.power_kw) / 1000 * float(view.field.pue[site]) * mins / 60


def _movable(
    view: View,
    booked: Sequence[tuple[ComputeWorkload, Booking]],
    columns: Sequence[int],
    config: Offering,
) -> Iterator[dict[str, Any]]:
    """Yield each job that draws power in the window and could run wholly outside it, and what that costs more."""
    field = view.field
    for workload, booking in sorted(booked, key=lambda one: one[0].id):
        site, mwh = view.site(booking.data_centre_id), _mwh_within(view, workload, booking, columns)
        if (
            mwh <= 0
            or site is None
            or not jobs.may_wait(workload)
            or view.sites[site].status is not DataCentreStatus.ACTIVE
        ):
            continue
        ask = _ask(view, workload, booking, site, config)
        if ask is None:
            continue
        job, spans = ask
        free = jobs.with_room(field, job, site, spans, taken=False)
        outside = arrival.place(job, _closed(free, columns), config.weights).chosen
        if outside is None:
            continue
        field = jobs.with_room(free, job, outside.site, outside.spans, taken=True)
        standing = arrival.evaluate(job, free, config.weights, site, spans)
        yield {
            "job_id": workload.job_id,
            "dc_id": view.sites[site].dc_id,
            "mwh": round(mwh, 6),
            "extra_gbp": round(outside.terms.total - standing.terms.total, 6),
            "is_simulated": workload.is_simulated,
        }


def _closed(field: Field, columns: Sequence[int]) -> Field:
    """Return the field without any power in these half hours."""
    room = field.room.copy()
    room[0, :, columns] = -1.0
    return replace(field, room=room)


def _ask(
    view: View, workload: ComputeWorkload, booking: Booking, site: int, config: Offering
) -> tuple[Job, tuple[tuple[float, float], ...]] | None:
    """Return what could still be moved of a workload as a job, with its spans: all of it if it has not started.

    Of what runs already it is the rest, at its site, if it may pause; None when it may not.
    """
    job, spans = jobs.job_of(view, workload, config), jobs.spans_of(view, booking)
    if workload.status is not WorkloadStatus.RUNNING:
        return job, spans
    rest = [(max(begins, float(HALF_HOUR_MINS)), ends) for begins, ends in spans if ends > HALF_HOUR_MINS + 1]
    mins = int(sum(ends - begins for begins, ends in rest))
    if not workload.interruptible or mins < 1:
        return None
    over = sum(ends - begins for begins, ends in rest) - mins  # a job lasts whole minutes
    rest[-1] = (rest[-1][0], rest[-1][1] - over)
    here = np.arange(len(view.sites)) == site
    left = replace(
        job,
        duration_mins=mins,
        earliest_mins=float(HALF_HOUR_MINS),
        origin=site,
        allowed=here,
        carbon_cap_gco2_kwh=math.nan,  # its limits are on the whole of it
        max_price_gbp=math.nan,
        value_gbp=math.nan,
    )
    return left, tuple(rest)


def _is_on_offer(task: Mapping[str, Any] | None, parameters: Mapping[str, Any], config: Offering) -> bool:
    """Return whether the agent's present task is an offer of this window at about this power and price."""
    if not task or task.get("action") != "offer_flexibility":
        return False
    before = task["parameters"]
    starts_at, ends_at = jobs.moment(before["starts_at"]), jobs.moment(before["ends_at"])
    if not (starts_at <= parameters["starts_at"] and parameters["ends_at"] <= ends_at):
        return False
    return all(
        abs(parameters[name] - before[name]) <= config.change_share * max(1.0, abs(before[name]))
        for name in ("mw", "price_gbp_mwh")
    )


PROGRAM: Final = Program(agent_type=AgentType.FLEXIBILITY_AGENT, order=50, config=Offering, propose=_propose)
