"""Synthesise: the simulated fleet and its arriving workloads, made once and labelled wherever they appear."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.fleet import DataCentre, Operator
from pylon.ontology.types import ObjectType
from pylon.services.operators import operator_of
from pylon.sources import synthetic_fleet, synthetic_workloads
from pylon.store import objects
from pylon.store.database import Database, Transaction

__all__ = ["arrive", "ensure_fleet", "purge"]

_FIRST_ARRIVALS = timedelta(hours=24)
"""How far back workloads have arrived when a fleet is new, so that a first look shows some."""

_PURGE_ORDER = ("purge_workloads", "purge_storage", "purge_agents", "purge_centres", "purge_operator")


def ensure_fleet(database: Database, operator_id: UUID, *, seed: int) -> dict[str, int]:
    """Generate the simulated fleet of the operator and its neighbours, unless the operator has a data centre.

    Returns how many objects of each type were created.
    """
    with database.as_reader(operator_id) as transaction:
        if objects.count(transaction, DataCentre, operator_id):
            return {}
        fleet = _fleet(transaction, operator_id, seed)
    by_operator: dict[UUID, list[list[ObjectType]]] = {}
    created: Counter[str] = Counter()
    for kind in (fleet.operators, fleet.data_centres, fleet.storage_assets, fleet.agents):
        for row in kind:
            owner = row.id if isinstance(row, Operator) else row.operator_id
            groups = by_operator.setdefault(owner, [])
            if not groups or type(groups[-1][0]) is not type(row):
                groups.append([])
            groups[-1].append(row)
    for owner, groups in by_operator.items():
        with database.as_actor(owner) as transaction:
            for rows in groups:
                created[type(rows[0]).__name__] += objects.add_missing(transaction, rows)
    return dict(created)


def arrive(database: Database, operator_id: UUID, *, seed: int, now: datetime) -> int:
    """Let the simulated workloads of every half hour that has ended since the last time arrive.

    Returns how many arrived. Each half hour's arrivals are made once, from the stress stored for it.
    """
    until = floor(now)
    with database.as_reader(operator_id) as transaction:
        last = transaction.value("last_simulated_arrival", operator_id=operator_id)
        since = max(until - _FIRST_ARRIVALS, floor(last) + HALF_HOUR) if last else until - _FIRST_ARRIVALS
        if since >= until:
            return 0
        signals = transaction.all("national_signals", start=since, end=until)
        regions = {row["id"]: row["region_id"] for row in transaction.all("regions")}
        centres = [
            DataCentre.model_validate(row)
            for row in objects.read(transaction, DataCentre, operator_id=operator_id, order_by=["dc_id"])
            if row["is_simulated"]
        ]
    if not centres:
        return 0
    workloads = synthetic_workloads.arrivals(
        seed=seed,
        operator_id=operator_id,
        data_centres=centres,
        regions=regions,
        since=since,
        until=until,
        stress=_stress(signals),
    )
    with database.as_actor(operator_id) as transaction:
        return objects.add_missing(transaction, workloads)


def purge(database: Database, operator_id: UUID, *, seed: int) -> dict[str, int]:
    """Remove every simulated object of the operator and its simulated neighbours.

    Returns how many were removed, by the query that did it. Objects that a decision names stay, because the log
    must be able to show them; they keep their label.
    """
    with database.as_reader(operator_id) as transaction:
        fleet = _fleet(transaction, operator_id, seed)
    removed: Counter[str] = Counter()
    for owner in (operator_id, *(neighbour.id for neighbour in fleet.operators)):
        with database.as_actor(owner) as transaction:
            for query in _PURGE_ORDER:
                removed[query.removeprefix("purge_")] += transaction.run(query, operator_id=owner)
    return dict(removed)


def _fleet(transaction: Transaction, operator_id: UUID, seed: int) -> synthetic_fleet.Fleet:
    """Generate the operator's fleet as of the operator's own creation, so that it has the same ids each time."""
    home = operator_of(transaction, operator_id)
    regions = {row["region_id"]: row["id"] for row in transaction.all("regions")}
    return synthetic_fleet.generate(seed=seed, at=home.created_at, home_operator=home, region_ids=regions)


def _stress(signals: list[dict[str, Any]]) -> dict[datetime, float]:
    return {
        signal["timestamp"]: signal["grid_stress_score"]
        for signal in signals
        if signal["grid_stress_score"] is not None
    }
