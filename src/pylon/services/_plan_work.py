"""The work on one plan: its row from QUEUED to its end, and what is kept of what it saw and came to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from pylon.agents import carbon_optimizer, fleet_plan, storage_agent
from pylon.agents.carbon_optimizer import Optimizing
from pylon.agents.contract import Config, Program, View
from pylon.agents.storage_agent import StorageConfig
from pylon.errors import LeaseLost
from pylon.ontology.agency import Agent
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.enums import PlanStatus
from pylon.ontology.plans import Plan, PlanResult
from pylon.services import desk as desks
from pylon.services.desk import Call, Desk
from pylon.services.view_fleet import Views
from pylon.store import objects
from pylon.store.database import Database, Transaction, json_text

__all__ = ["PlanProgress", "PlanWork", "abandon"]

PlanProgress = Callable[[str, int, int], None]
"""Is told the stage, how many of its passes are done, and of how many."""

C = TypeVar("C", bound=Config)

_SEEN_EVERY: Final = timedelta(seconds=0.5)
_MOST_SHARE: Final = 1e6  # a gap beyond it says no more than none


class PlanWork:
    """One plan while it is worked on: each step a transaction, so that no lock is held while the planner thinks."""

    def __init__(
        self,
        database: Database,
        views: Views,
        call: Call,
        plan: UUID,
        clock: Callable[[], datetime],
        progress: PlanProgress,
    ) -> None:
        """Begin with the plan as it is stored. `call` says as of when it is."""
        self._database = database
        self._views = views
        self._call = call
        self._clock = clock
        self._progress = progress
        self._seen_at: datetime | None = None
        self._is_simulated = False
        with database.as_reader(call.operator_id) as transaction:
            self._plan = _stored(transaction, call.operator_id, plan)

    def begin(self) -> bool:
        """Say that it is worked on; return False when it is not QUEUED any more."""
        with self._desk() as desk:
            self._plan = _stored(desk.transaction, desk.operator_id, self._plan.id)
            if self._plan.status is not PlanStatus.QUEUED:
                return False
            self._write(desk.transaction, status=PlanStatus.RUNNING, started_at=self._clock())
        return True

    def read(self) -> bytes:
        """Read the fleet and return all that the planner is to see, as it is kept from now on."""
        with self._desk(whole=True) as desk:
            view = desk.view
            config = _config(desk, carbon_optimizer.PROGRAM, Optimizing)  # of the one that carries the plan out
            storage = _config(desk, storage_agent.PROGRAM, StorageConfig)
            desk.forget()  # what was read is more than an arrival needs
        document = fleet_plan.describe(view, config, storage)
        content = canonical_bytes(document)
        digest = hashlib.sha256(content).hexdigest()
        with self._database.as_actor(self._call.operator_id) as transaction:
            transaction.run(
                "keep_input",
                operator_id=self._call.operator_id,
                digest=digest,
                content=content.decode(),
                now=self._call.now,
            )
            self._write(
                transaction,
                **_seen(view, document),
                input_digest=digest,
                input_bytes=len(content),
                is_simulated=_is_simulated(view),
            )
        return content

    def note(self, stage: str, done: int, of: int) -> None:
        """Tell how far it has come, and write it down twice a second at most."""
        self._progress(stage, done, of)
        now = self._clock()
        if self._seen_at is None or now - self._seen_at >= _SEEN_EVERY:
            self._seen_at = now
            with self._database.as_actor(self._call.operator_id) as transaction:
                transaction.run(
                    "note_plan_progress",
                    operator_id=self._call.operator_id,
                    id=self._plan.id,
                    progress=json_text({"stage": stage, "done": done, "of": of}),
                    now=now,
                )

    def finish(self, outcome: bytes) -> None:
        """Keep what it came to; whoever decides from now on reads the fleet anew, with this plan."""
        said = json.loads(outcome)
        with self._desk() as desk:
            self._stands_at(desk)
            self._write(
                desk.transaction,
                status=PlanStatus.SUCCEEDED,
                finished_at=self._clock(),
                progress={},
                workloads=said["workloads"],
                sites=said["sites"],
                cost_gbp=said["cost_gbp"],
                bound_gbp=said["bound_gbp"],
                gap=_share(said["gap"]),
                gap_of_choice=_share(said["gap_of_choice"]),
                spare_mwh=said["spare_mwh"],
                result_digest=hashlib.sha256(outcome).hexdigest(),
                result_bytes=len(outcome),
            )
            kept = PlanResult(
                operator_id=desk.operator_id, plan_id=self._plan.id, content=outcome.decode(), created_at=desk.now
            )
            objects.send_new(desk.transaction, [kept])
            desk.forget()

    def end(self, status: PlanStatus, why: str) -> None:
        """Say that nothing comes of it, and why; one that has ended stays as it is."""
        with self._desk() as desk:
            self._plan = _stored(desk.transaction, desk.operator_id, self._plan.id)
            if not self._plan.status.has_ended:
                self._write(desk.transaction, status=status, finished_at=self._clock(), error=why)

    def _desk(self, *, whole: bool = False) -> Any:
        return desks.opened(self._database, self._views, self._call, whole=whole)

    def _stands_at(self, desk: Desk) -> None:
        if _stored(desk.transaction, desk.operator_id, self._plan.id).status is not PlanStatus.RUNNING:
            raise LeaseLost(
                f"The plan {self._plan.plan_id} was given up before it was worked out, as nobody was seen at work "
                "on it. Nothing of it was kept. Ask for a new one."
            )

    def _write(self, transaction: Transaction, **values: Any) -> None:
        self._plan = _changed(transaction, self._plan, values, self._clock())


def abandon(transaction: Transaction, plan: Plan, now: datetime) -> None:
    """End a plan whose process is gone."""
    why = "The process that worked on it ended before it did."
    _changed(transaction, plan, {"status": PlanStatus.ABANDONED, "finished_at": now, "error": why}, now)


def _changed(transaction: Transaction, plan: Plan, values: dict[str, Any], now: datetime) -> Plan:
    changed = Plan.model_validate({**plan.model_dump(), **values, "updated_at": now})
    objects.change(transaction, [changed], list(values))
    return changed


def _stored(transaction: Transaction, operator_id: UUID, plan: UUID) -> Plan:
    shown = list(Plan.model_fields)
    (row,) = objects.find(transaction, Plan, {"id": [plan]}, shown=shown, operator_id=operator_id)
    return Plan.model_validate(row)


def _config(desk: Desk, program: Program, kind: type[C]) -> C:
    """Return what the operator's agent of this program weighs, or the program's defaults where there is none."""
    row = desk.transaction.one("acting_agent", operator_id=desk.operator_id, agent_type=program.agent_type)
    config = program.settings(Agent.model_validate(row).config if row else {})
    assert isinstance(config, kind)  # noqa: S101  the program says so
    return config


def _seen(view: View, document: dict[str, Any]) -> dict[str, Any]:
    return {
        "as_of": view.now,
        "starts_at": view.starts_at,
        "half_hours": view.field.half_hours,
        "run_id": view.run_id,
        "after_seq": view.after_seq,
        "workloads": len(document["jobs"]),
        "sites": len(document["sites"]),
        "simulated": {"quantities": document["simulated"]},
    }


def _is_simulated(view: View) -> bool:
    planned: Sequence[Any] = (*view.sites, *view.workloads, *view.assets)
    return any(one.is_simulated for one in planned)


def _share(share: float | None) -> float | None:
    return share if share is not None and abs(share) < _MOST_SHARE else None
