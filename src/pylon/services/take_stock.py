"""Take stock: what is held, from where, how old it is, and what of it is simulated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.ontology.agency import Agent
from pylon.ontology.calendar import floor
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.sources.feed import SIMULATED
from pylon.store import objects
from pylon.store.database import Transaction

__all__ = ["AHEAD", "Holding", "take_stock"]

AHEAD = timedelta(hours=48)

_FLEET = (DataCentre, StorageAsset, Agent)


class Holding(BaseModel):
    """So many rows of one kind from one source."""

    model_config = ConfigDict(frozen=True)

    object_type: str
    quantity: str = Field(default="", description="Which quantity of a signal; empty for whole objects")
    source: str = Field(description="Where the values come from; `simulated` when Pylon made them up")
    rows: int
    is_simulated: bool
    changed_at: datetime | None = Field(default=None, description="When the newest of these values was stored")


def take_stock(transaction: Transaction, operator_id: UUID, now: datetime) -> list[Holding]:
    """Return what is held: signals from this half hour to 48 hours ahead, factors, and the operator's own objects.

    Counts are of rows. Workloads are those that have not reached a final status.
    """
    start = floor(now)
    return [
        *(
            Holding(
                object_type=row["object_type"],
                quantity=row["quantity"],
                source=row["source"] or "unknown",
                rows=row["rows"],
                is_simulated=row["source"] == SIMULATED,
                changed_at=row["fetched_at"],
            )
            for row in transaction.all("signal_stock", start=start, end=start + AHEAD)
        ),
        *_fleet(transaction, operator_id),
        *_workloads(transaction, operator_id),
    ]


def _fleet(transaction: Transaction, operator_id: UUID) -> Iterator[Holding]:
    for kind in _FLEET:
        rows = objects.read(transaction, kind, operator_id=operator_id)
        for is_simulated in (False, True):
            some = [row for row in rows if row["is_simulated"] is is_simulated]
            if some:
                yield _held(kind.__name__, len(some), is_simulated, max(row["updated_at"] for row in some))


def _workloads(transaction: Transaction, operator_id: UUID) -> Iterator[Holding]:
    rows = transaction.all("workload_counts", operator_id=operator_id)
    for is_simulated in (False, True):
        total = sum(row["workloads"] for row in rows if row["is_simulated"] is is_simulated)
        if total:
            yield _held("ComputeWorkload", total, is_simulated, None)


def _held(object_type: str, rows: int, is_simulated: bool, changed_at: Any) -> Holding:
    source = SIMULATED if is_simulated else "operator"
    return Holding(
        object_type=object_type, source=source, rows=rows, is_simulated=is_simulated, changed_at=changed_at
    )
