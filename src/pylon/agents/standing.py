"""The standing plan as agents read it: where it puts each workload, and what room is worth in each half hour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import numpy as np

from pylon.agents.contract import Place, Span, StandingPlan
from pylon.agents.jobs import instant, moment
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.fleet import DataCentre
from pylon.planning.field import Floats

__all__ = ["described", "over", "read", "recalled", "runs", "unfolded"]


def read(
    outcome: Mapping[str, Any],
    sites: Sequence[DataCentre],
    *,
    uuid: UUID,
    plan_id: str,
    after_seq: int,
    whole: bool = True,
) -> StandingPlan:
    """Return the plan that `fleet_plan.work_out` came to; of data centres that are gone since, nothing.

    Without `whole` it has prices and no places: all that an arrival needs.
    """
    by_name = {site.dc_id: site.id for site in sites}
    return StandingPlan(
        id=uuid,
        plan_id=plan_id,
        made_at=moment(outcome["now"]),
        after_seq=after_seq,
        gap=outcome["gap"],
        starts_at=moment(outcome["starts_at"]),
        places={UUID(one["workload_id"]): _place(one) for one in outcome["places"]} if whole else {},
        prices={
            limit: {by_name[dc_id]: tuple(unfolded(pairs)) for dc_id, pairs in by_site.items() if dc_id in by_name}
            for limit, by_site in outcome["prices"].items()
        },
    )


def over(plan: StandingPlan, limit: str, sites: Sequence[UUID], starts_at: datetime, half_hours: int) -> Floats:
    """Return what a limit is worth by the plan, (D, T) for half hours from `starts_at` on; beyond its end 0."""
    late = (starts_at - plan.starts_at) // HALF_HOUR
    worth, by_site = np.zeros((len(sites), half_hours)), plan.prices.get(limit, {})
    for row, site in enumerate(sites):
        ahead = by_site.get(site, ())[late : late + half_hours] if late >= 0 else ()
        worth[row, : len(ahead)] = ahead
    return worth


def described(plan: StandingPlan) -> dict[str, Any]:
    """Return what is kept of a plan with a view, in plain values: which one it is."""
    return {
        "id": str(plan.id),
        "plan_id": plan.plan_id,
        "made_at": instant(plan.made_at),
        "after_seq": plan.after_seq,
        "gap": plan.gap,
        "starts_at": instant(plan.starts_at),
    }


def recalled(kept: Mapping[str, Any]) -> StandingPlan:
    """Return what `described` kept of a plan; its places and prices are not there."""
    return StandingPlan(
        id=UUID(kept["id"]),
        plan_id=kept["plan_id"],
        made_at=moment(kept["made_at"]),
        after_seq=kept["after_seq"],
        gap=kept["gap"],
        starts_at=moment(kept["starts_at"]),
        places={},
        prices={},
    )


def runs(values: Floats) -> list[list[float | int | None]]:
    """Return equal neighbours as [value, how many]; None is no limit."""
    return [[None if math.isinf(value) else value, len(list(those))] for value, those in groupby(values.tolist())]


def unfolded(pairs: Sequence[Sequence[float | None]]) -> list[float]:
    """Return the values of [value, how many] pairs; None is no limit."""
    return [math.inf if value is None else value for value, count in pairs for _ in range(int(count or 0))]


def _place(one: Mapping[str, Any]) -> Place:
    spans = (Span(moment(span["starts_at"]), moment(span["ends_at"])) for span in one["spans"])
    return Place(data_centre_id=UUID(one["data_centre_id"]), spans=tuple(spans))
