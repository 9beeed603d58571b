"""Carry out what storage was to do, half hour by half hour: as much of it as its power and its charge allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import numpy as np

from pylon.planning.battery import Battery, follow
from pylon.store.database import Transaction, json_text

__all__ = ["carry_out"]

_STILL: Final = ("MAINTENANCE", "OFFLINE")
_HALF_HOUR = np.array([0.5])
_NO_PRICE = np.array([np.nan])


def carry_out(transaction: Transaction, operator_id: UUID, now: datetime) -> tuple[int, int]:
    """Carry out every half hour of storage that has ended and has not been; who holds the operator's lock may.

    Returns how many there were, and in how many of them the storage could not do all that it was to do.
    """
    due = transaction.all("dispatches_due", operator_id=operator_id, now=now)
    done = [row for _, rows in groupby(due, key=lambda row: row["storage_asset_id"]) for row in _follow(list(rows))]
    if not done:
        return 0, 0
    transaction.run("record_dispatches", operator_id=operator_id, rows=json_text(done), now=now)
    last = {row["storage_asset_id"]: row for row in done}
    transaction.run("refresh_charge", operator_id=operator_id, rows=json_text([*last.values()]))
    return len(done), sum(row["is_short"] for row in done)


def _follow(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what one asset did in each of its half hours, rounded as it is stored: catching up changes nothing."""
    stored_mwh = rows[0]["charge_mwh"]
    for row in rows:
        asked_mw = 0.0 if row["status"] in _STILL else row["power_mw"]
        done = follow(_battery(row, stored_mwh), np.array([asked_mw]), _NO_PRICE, _HALF_HOUR)
        power_mw = round(float(done.power_mw[0]), 3)
        stored_mwh = min(max(round(float(done.stored_mwh[0]), 2), 0.0), row["capacity_mwh"])
        yield {
            "storage_asset_id": row["storage_asset_id"],
            "starts_at": row["starts_at"],
            "power_mw": power_mw,
            "stored_mwh": stored_mwh,
            "is_short": power_mw != row["power_mw"],
        }


def _battery(row: Mapping[str, Any], charge_mwh: float) -> Battery:
    return Battery(
        capacity_mwh=row["capacity_mwh"],
        min_mwh=0.0,
        max_mwh=row["capacity_mwh"],
        charge_mwh=charge_mwh,
        max_charge_mw=row["max_charge_mw"],
        max_discharge_mw=row["max_discharge_mw"],
        efficiency=row["efficiency"],
        wear_gbp_mwh=row["wear_gbp_mwh"],
        end_mwh=0.0,
    )
