"""Take stock: what is held, from where, how old it is, and what of it is simulated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.ontology.agency import Agent
from pylon.ontology.calendar import AHEAD, floor
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import WorkloadStatus
from pylon.ontology.fleet import DataCentre, StorageAsset, TariffRate
from pylon.ontology.types import ObjectType
from pylon.sources.feed import SIMULATED
from pylon.store import objects
from pylon.store.database import Transaction

__all__ = ["AHEAD", "FINAL", "Holding", "take_stock"]


FINAL = [status.value for status in WorkloadStatus if status.is_final]
"""The statuses of a workload that has left the fleet for good."""

_FLEET = (DataCentre, StorageAsset, TariffRate, Agent)


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
        *(held for kind in _FLEET for held in _held(transaction, kind, operator_id)),
        *_held(transaction, ComputeWorkload, operator_id, without={"status": FINAL}),
    ]


def _held(transaction: Transaction, kind: type[ObjectType], operator_id: UUID, **words: Any) -> Iterator[Holding]:
    for tally in objects.tally(transaction, kind, operator_id, **words):
        source = SIMULATED if tally["is_simulated"] else "operator"
        yield Holding(object_type=kind.__name__, source=source, **tally)
