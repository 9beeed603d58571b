"""An operator that acts: a database with simulated signals, data centres of its own, and a clock that is set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pylon import pipeline
from pylon.ontology.identity import derived_uuid, uuid7
from pylon.services.desk import Call
from pylon.services.perform_action import Performed, perform
from pylon.services.view_fleet import Views
from pylon.settings import Settings
from pylon.store.database import Database, Transaction

__all__ = ["NOW", "Acting", "acting"]

NOW = datetime(2026, 11, 22, 9, 7, 30, tzinfo=UTC)

_SITES: Mapping[str, dict[str, Any]] = {
    "LEEDS-1": {"region": 3, "pue": 1.2, "total_capacity_mw": 20},
    "SLOUGH-1": {"region": 12, "pue": 1.4, "total_capacity_mw": 40},
    "PERTH-1": {"region": 1, "pue": 1.1, "total_capacity_mw": 10},
}

_serial = itertools.count(1)


@dataclass
class Acting:
    """What a test acts through. `now` moves only when it is set."""

    database: Database
    operator_id: UUID
    now: datetime = NOW
    views: Views = field(default_factory=Views)
    entropy: Callable[[int], bytes] = field(default_factory=lambda: _entropy)

    @property
    def call(self) -> Call:
        """For whom and when; ids come of a counter, so that a test is the same each time."""
        return Call(operator_id=self.operator_id, now=self.now, entropy=self.entropy)

    def do(self, name: str, given: Mapping[str, Any] | None = None, /, **more: Any) -> Performed:
        """Perform an action with these parameters; `key` and `dry_run` are how."""
        said = {**(given or {}), **more}
        how = {word: said.pop(word) for word in ("key", "dry_run") if word in said}
        return perform(self.database, self.views, self.call, name, said, **how)

    def submit(self, job_id: str, **more: Any) -> Performed:
        """Submit a job of an hour and 1 MW that may run anywhere in the next day."""
        given = {
            "job_id": job_id,
            "workload_type": "TRAINING_RUN",
            "duration_mins": 60,
            "power_kw": 1000,
            "origin": "SLOUGH-1",
            "deadline": (self.now + timedelta(hours=24)).isoformat(),
        }
        return self.do("submit_workload", {**given, **more})

    def read(self, query: Callable[[Transaction], Any]) -> Any:
        """Read something as the operator."""
        with self.database.as_reader(self.operator_id) as transaction:
            return query(transaction)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return what a statement of the test's own gives, as the operator sees it."""
        return list(self.read(lambda transaction: transaction.statement(statement.encode()).fetchall()))

    def workload(self, job_id: str) -> dict[str, Any]:
        """Return a workload as it is stored."""
        rows = self.rows(f"select * from public.compute_workloads where job_id = '{job_id}'")
        return rows[0]

    def run_pipeline(self, synthetic: str = "off") -> None:
        """Fill the grid with simulated signals, as of now; and a fleet, when `synthetic` is on."""
        this = pipeline.Run(
            run_id=uuid7(self.now, _entropy(10)),
            now=self.now,
            clock=lambda: self.now,
            operator_id=self.operator_id,
            trigger="command",
        )
        pipeline.run(self.database, Settings.model_validate({"grid": "simulated", "synthetic": synthetic}), this)


def acting(database: Database, operator_id: UUID, sites: Mapping[str, dict[str, Any]] = _SITES) -> Acting:
    """Return an operator with these data centres, by their own ids."""
    one = Acting(database, operator_id)
    for dc_id, said in sites.items():
        one.do("register_data_centre", {"dc_id": dc_id, "name": dc_id, **said})
    return one


def _entropy(size: int) -> bytes:
    return derived_uuid(NOW, "entropy", str(next(_serial))).bytes[6:].rjust(size, b"\0")[-size:]
