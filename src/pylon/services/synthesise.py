"""Synthesise: the simulated fleet and its arriving workloads, made once and labelled wherever they appear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pylon.agents import contract, jobs
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DataCentreStatus
from pylon.ontology.fleet import DataCentre
from pylon.ontology.types import ObjectType
from pylon.services.operators import operator_of
from pylon.sources import synthetic_fleet, synthetic_workloads
from pylon.store import objects
from pylon.store.database import Database, Transaction, json_text

__all__ = ["arrive", "ensure_fleet", "purge"]

_FIRST_ARRIVALS = timedelta(hours=24)
"""How far back workloads have arrived when a fleet is new, so that a first look shows some."""

_OPEN = (DataCentreStatus.ACTIVE, DataCentreStatus.CONSTRAINED)

_NEIGHBOURS = "simulated_neighbours"
"""Where an operator's metadata lists the operators generated beside it; row security hides them otherwise."""

_PURGE_ORDER = {
    "workloads": "purge_workloads",
    "storage assets": "purge_storage",
    "agents": "purge_agents",
    "data centres": "purge_centres",
    "operators": "purge_operator",
}


def ensure_fleet(database: Database, operator_id: UUID, *, seed: int) -> dict[str, int]:
    """Generate the simulated fleet of the operator and its neighbours, unless the operator has a data centre.

    Returns how many objects of each type were created.
    """
    with database.as_reader(operator_id) as transaction:
        if objects.count(transaction, DataCentre, operator_id):
            return {}
        fleet = _fleet(transaction, operator_id, seed)
    neighbours = [operator.id for operator in fleet.operators]
    created: Counter[str] = Counter()
    for owner in (*neighbours, operator_id):  # the operator last: its data centres say that all is there
        with database.as_actor(owner) as transaction:
            for rows in _owned(fleet, owner):
                if rows:
                    created[type(rows[0]).__name__] += objects.add_missing(transaction, rows)
            if owner == operator_id:
                noted = json_text({_NEIGHBOURS: neighbours})
                transaction.run("note_about_operator", operator_id=operator_id, note=noted)
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
            if row["is_simulated"] and row["status"] in _OPEN
        ]
    if not centres:
        return 0
    arrived = synthetic_workloads.arrivals(
        seed=seed,
        operator_id=operator_id,
        data_centres=centres,
        regions=regions,
        since=since,
        until=until,
        stress=_stress(signals),
    )
    # Of those that arrived before anyone looked, the ones that could no longer be in time are of no use to anyone.
    workloads = [workload for workload in arrived if _could_start(workload, now)]
    with database.as_actor(operator_id) as transaction:
        return objects.add_missing(transaction, workloads)


def _could_start(workload: ComputeWorkload, at: datetime) -> bool:
    end = jobs.latest_end(workload)
    return end is None or at + timedelta(minutes=workload.duration_mins) <= end


def purge(database: Database, operator_id: UUID) -> dict[str, int]:
    """Remove every simulated object of the operator and its simulated neighbours.

    Returns how many of each kind were removed. Objects that a decision names stay, because the log
    must be able to show them; they keep their label.
    """
    with database.as_reader(operator_id) as transaction:
        neighbours = operator_of(transaction, operator_id).metadata.get(_NEIGHBOURS, [])
    removed: Counter[str] = Counter()
    for owner in (operator_id, *(UUID(neighbour) for neighbour in neighbours)):
        with database.as_actor(owner) as transaction:
            for what, query in _PURGE_ORDER.items():
                removed[what] += transaction.run(query, operator_id=owner)
    return dict(removed)


def _owned(fleet: synthetic_fleet.Fleet, owner: UUID) -> Iterator[list[ObjectType]]:
    """Yield what belongs to one operator, by type, in the order in which it can be stored."""
    yield [operator for operator in fleet.operators if operator.id == owner]
    for kind in (fleet.data_centres, fleet.storage_assets, fleet.agents):
        yield [row for row in kind if row.operator_id == owner]


def _fleet(transaction: Transaction, operator_id: UUID, seed: int) -> synthetic_fleet.Fleet:
    """Generate the operator's fleet as of the operator's own creation, so that it has the same ids each time.

    Each agent has the weights that its program would use anyway written out, for its operator to see and change.
    """
    home = operator_of(transaction, operator_id)
    regions = {row["region_id"]: row["id"] for row in transaction.all("regions")}
    fleet = synthetic_fleet.generate(seed=seed, at=home.created_at, home_operator=home, region_ids=regions)
    return replace(
        fleet, agents=tuple(agent.model_copy(update={"config": _config(agent)}) for agent in fleet.agents)
    )


def _config(agent: Agent) -> dict[str, Any]:
    return contract.program(agent.agent_type).settings({}).model_dump(mode="json")


def _stress(signals: list[dict[str, Any]]) -> dict[datetime, float]:
    return {
        signal["timestamp"]: signal["grid_stress_score"]
        for signal in signals
        if signal["grid_stress_score"] is not None
    }
