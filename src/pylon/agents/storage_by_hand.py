"""Storage by hand: what a schedule that a client has set comes to, against what it takes the place of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np

from pylon.agents._storage_plan import BASELINE, ahead, follow, leave, limits, option, read, surroundings
from pylon.agents._storage_words import Document, saved, set_by_hand
from pylon.agents.contract import Draft, View
from pylon.agents.jobs import instant, interval, moment
from pylon.agents.storage_agent import StorageConfig
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import DecisionType
from pylon.ontology.fleet import StorageAsset

__all__ = ["decide", "describe"]

_WHOLE: Final = {"min_charge_percentage": 0.0, "max_charge_percentage": 100.0}
"""By hand a battery may be filled and emptied: the band is the agent's own."""


def describe(
    view: View,
    asset: StorageAsset,
    region: int,
    config: StorageConfig,
    *,
    standing: Mapping[datetime, float],
    given: Mapping[datetime, float],
    why: str | None,
) -> dict[str, Any]:
    """Return everything that is to be seen of an asset in region number `region` that is scheduled by hand.

    `standing` and `given` are MW by half hour, from the present one on. It reaches to where the later of them ends.
    """
    first, last = min(given), max(given)
    end = max(last, max(standing, default=last)) + HALF_HOUR
    columns = range(0 if view.now <= view.starts_at else 1, (end - view.starts_at) // HALF_HOUR)
    powers = [given.get(first + number * HALF_HOUR, 0.0) for number in range((last - first) // HALF_HOUR + 1)]
    return {
        **surroundings(view, asset, region, columns),
        "config": {**config.model_dump(include={"carbon_price_gbp_t", "stress_price_gbp_mwh"}), **_WHOLE},
        "present": {"starts_at": instant(view.starts_at), "power_mw": standing.get(view.starts_at, 0.0)}
        if columns[0]
        else None,
        "standing": ahead(view, standing, columns),
        "given": {**interval(first, last + HALF_HOUR), "power_mw": powers, "why": why},
    }


def decide(seen: Document) -> Draft:
    """Return the decision that a document of `describe` tells of."""
    question, standing, given = read(seen), seen["standing"], seen["given"]
    idle = np.zeros(question.hours.size)
    before = follow(question, idle) if standing is None else leave(question, standing)
    at = (moment(given["starts_at"]) - moment(seen["starts_at"])) // HALF_HOUR
    asked = before.power_mw.copy()
    asked[at:] = 0.0
    asked[at : at + len(given["power_mw"])] = given["power_mw"]
    after = follow(question, asked)
    is_valued = not np.isnan(question.field_gbp_mwh).all()
    options: dict[str, Any] = {
        "baseline_is": BASELINE[standing is not None],
        "chosen": option(question, after) if is_valued else None,
        "baseline": option(question, before) if is_valued else None,
        "standing": None,
        "others": [],
    }
    bounds = limits(question, after)
    return Draft(
        decision_type=DecisionType.SCHEDULE_DISCHARGE,
        reasoning=" ".join(set_by_hand(seen, options)),
        inputs=seen,
        constraints={**bounds, "limits": [one for one in bounds["limits"] if one["limit"] != "end_mwh"]},
        alternatives=options,
        storage_asset_id=UUID(seen["asset"]["storage_asset_id"]),
        carbon_saved_gco2=saved(options, "carbon_gco2", 2) if is_valued else None,
        cost_saved_gbp=saved(options, "cost_gbp", 4) if is_valued else None,
        flexibility_contribution_mw=round(max(0.0, *given["power_mw"]), 2),
        is_simulated=seen["asset"]["is_simulated"],
    )
