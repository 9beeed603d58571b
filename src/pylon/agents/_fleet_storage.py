"""Storage in a plan of the fleet: what stands beside a site is taken out of its room, and planned with its work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from pylon.agents import storage_agent
from pylon.agents._storage_plan import read
from pylon.agents.contract import View
from pylon.agents.jobs import instant, moment
from pylon.agents.storage_agent import StorageConfig
from pylon.ontology.calendar import HALF_HOUR
from pylon.planning.battery import Dispatch
from pylon.planning.field import HALF_HOUR_MINS, Floats
from pylon.planning.joint import Store

__all__ = ["set_aside", "stores_of", "told"]

Document = Mapping[str, Any]

_HOURS: Final = HALF_HOUR_MINS / 60
_NOT_NEEDED: Final = ("view", "after_seq", "least_mw", "missing", "simulated")
_DECIMALS: Final = 3
_MONEY_PLACES: Final = 6


def set_aside(view: View, room_mw: Floats, config: StorageConfig) -> list[dict[str, Any]]:
    """Take what storage beside sites is to do out of their room (D, T), in place, and return what is seen of it.

    It is what the asset's own agent would see that had this `config`. What has begun and what a
    client has set stays in the room; so does all of an asset beside a site that is not open, or whose charge is not
    known.
    """
    seen, bare = list[dict[str, Any]](), replace(view, plan=None)
    if view.beside_mw is not None:
        room_mw -= view.beside_mw
    for asset, region in zip(view.assets, view.asset_regions, strict=True):
        site = None if asset.co_located_dc_id is None else view.site(asset.co_located_dc_id)
        if site is None or not storage_agent.is_in_use(asset):
            continue
        one = storage_agent.describe(bare, asset, region, config) if view.field.is_open[site] else None
        first = view.field.half_hours
        if one is not None:
            first = (moment(one["starts_at"]) - view.starts_at) // HALF_HOUR
            needed = {name: value for name, value in one.items() if name not in _NOT_NEEDED}
            seen.append({"site": site, "first_slot": first, "seen": needed})
        for scheduled in view.schedules.get(asset.id, ()):
            column = (scheduled.starts_at - view.starts_at) // HALF_HOUR
            if column < first:
                room_mw[site, column] += scheduled.power_mw
    room_mw[:] = np.round(room_mw, 9)
    return seen


def stores_of(document: Document) -> list[Store]:
    """Return the stores that a document of `fleet_plan.describe` tells of; each idles outside its half hours."""
    return [_store(one, document["half_hours"]) for one in document["storage"]]


def told(document: Document, dispatches: Sequence[Dispatch]) -> list[dict[str, Any]]:
    """Return what the plan has each store do, in plain values; positive MW give."""
    starts_at = moment(document["starts_at"])
    return [
        {
            "storage_asset_id": one["seen"]["asset"]["storage_asset_id"],
            "asset_id": one["seen"]["asset"]["asset_id"],
            "dc_id": document["sites"][one["site"]]["dc_id"],
            "starts_at": instant(starts_at + one["first_slot"] * HALF_HOUR),
            "power_mw": [round(mw, _DECIMALS) + 0.0 for mw in done.power_mw[one["first_slot"] :].tolist()],
            "value_gbp": round(done.value_gbp, _MONEY_PLACES) + 0.0,
        }
        for one, done in zip(document["storage"], dispatches, strict=True)
    ]


def _store(one: Document, half_hours: int) -> Store:
    question, first = read(one["seen"]), one["first_slot"]
    field, hours = np.full(half_hours, np.nan), np.zeros(half_hours)
    field[first : first + question.hours.size] = question.field_gbp_mwh
    hours[first : first + question.hours.size] = _HOURS
    return Store(battery=question.battery, field_gbp_mwh=field, hours=hours, site=one["site"])
