"""STORAGE_AGENT: when batteries charge and discharge, on prices, carbon and stress as they are now forecast.

One beside a data centre answers what the standing plan says that room is worth there, too: it charges with no more
than the work leaves free, and gives what the work relies on.

A plan is for whole half hours that have not begun; the present one keeps what it was given, and so does everything
up to the end of what a client has scheduled by hand. All that a decision says is made by `decide` from the document
that `describe` makes, and the decision keeps it as its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import numpy as np
from pydantic import Field, model_validator

from pylon.agents._storage_plan import (
    BASELINE,
    Question,
    ahead,
    begun,
    follow,
    keep,
    least,
    leave,
    limits,
    option,
    read,
    short_mwh,
    surroundings,
)
from pylon.agents._storage_words import Document, occasion, saved, sentences
from pylon.agents._words import rounded
from pylon.agents.contract import Config, Draft, Program, Proposal, Scheduled, View
from pylon.agents.jobs import instant, interval, moment
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import AgentType, DecisionType, StorageStatus
from pylon.ontology.fleet import StorageAsset
from pylon.planning import battery as batteries
from pylon.planning.battery import Dispatch

__all__ = ["PROGRAM", "StorageConfig", "decide", "describe", "is_in_use"]

_HOURS: Final = HALF_HOUR / timedelta(hours=1)
_NEAR_MWH: Final = 0.1
"""More than rounding a schedule to the kW may come to."""
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
    if not is_in_use(asset) or asset.current_charge_mwh is None or not columns:
        return None
    standing = {one.starts_at: one.power_mw for one in schedule}
    return {
        **surroundings(view, asset, region, columns),
        **least(view, asset, columns),
        "config": config.model_dump(),
        "present": _present(view, standing) if first and not by_hand else None,
        "by_hand": _by_hand(view, standing, first) if by_hand else None,
        "standing": ahead(view, standing, columns),
    }


def is_in_use(asset: StorageAsset) -> bool:
    """Return whether an asset may move at all."""
    return asset.status not in _OUT_OF_USE


def decide(seen: Document) -> Proposal | None:
    """Return the dispatch that a document of `describe` calls for; None when what stands may go on standing."""
    question, standing = read(seen), seen["standing"]
    if np.isnan(question.field_gbp_mwh).all():
        return None
    field, hours = question.field_gbp_mwh, question.hours
    best = batteries.dispatch(question.battery, field, hours, least_mw=question.least_mw)
    chosen = replace(follow(question, best.power_mw), is_exact=best.is_exact)
    idle = follow(question, np.zeros(question.hours.size))
    options: dict[str, Any] = {
        "baseline_is": BASELINE[standing is not None],
        "chosen": option(question, chosen),
        "baseline": option(question, idle if standing is None else leave(question, standing)),
        "standing": None if standing is None else option(question, keep(question, standing)),
        "others": [],
    }
    why = occasion(seen, options) or _relied_on(seen, question, chosen)
    if why is None:
        return None
    bounds = limits(question, chosen)
    draft = Draft(
        decision_type=DecisionType.SCHEDULE_DISCHARGE,
        reasoning=" ".join([why, *sentences(seen, bounds, options)]),
        inputs=seen,
        constraints=bounds,
        alternatives=options,
        storage_asset_id=UUID(seen["asset"]["storage_asset_id"]),
        carbon_saved_gco2=saved(options, "carbon_gco2", 2),
        cost_saved_gbp=saved(options, "cost_gbp", 4),
        flexibility_contribution_mw=rounded(float(chosen.discharge_mw.max()), 2),
        is_simulated=seen["asset"]["is_simulated"],
    )
    parameters = {"asset_id": seen["asset"]["asset_id"], "schedule": _schedule(seen, chosen)}
    return Proposal(action="dispatch_storage", parameters=parameters, draft=draft)


def _relied_on(seen: Document, question: Question, chosen: Dispatch) -> str | None:
    """Return why a schedule goes that leaves the work beside it less room than this one."""
    stands = np.array(seen["standing"]["power_mw"])
    if short_mwh(question, stands) <= short_mwh(question, chosen.power_mw[: stands.size]) + _NEAR_MWH:
        return None
    return f"Its schedule leaves the work at {seen['price_of']} less power than this one, which takes its place."


def _propose(view: View, agent: Agent, config: StorageConfig) -> Iterator[Proposal]:  # noqa: ARG001  every program's form
    for asset, region in zip(view.assets, view.asset_regions, strict=True):
        seen = describe(view, asset, region, config)
        proposal = decide(seen) if seen else None
        if proposal:
            yield proposal
            view = replace(view, schedules={**view.schedules, asset.id: _scheduled(proposal)})


def _scheduled(proposal: Proposal) -> tuple[Scheduled, ...]:
    """Return what an asset is to do now, for those beside the same site that are planned after it."""
    return tuple(
        Scheduled(starts_at=moment(one["starts_at"]), power_mw=one["power_mw"])
        for one in proposal.parameters["schedule"]
    )


PROGRAM: Final = Program(agent_type=AgentType.STORAGE_AGENT, order=50, config=StorageConfig, propose=_propose)


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


def _schedule(seen: Document, chosen: Dispatch) -> list[dict[str, Any]]:
    starts_at = moment(seen["starts_at"])
    power = chosen.power_mw
    if seen["present"] is not None:
        starts_at, power = starts_at - HALF_HOUR, np.concatenate([begun(seen).power_mw, power])
    return [
        {"starts_at": instant(starts_at + number * HALF_HOUR), "power_mw": mw}
        for number, mw in enumerate(power.tolist())
    ]
