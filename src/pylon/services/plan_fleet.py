"""Plan the fleet: ask for a plan of all an operator's workloads at once, have it worked out, and keep what it says.

A plan changes no booking. It stands, and the agents carry it out in their next round; until then, and beyond, what
it says room is worth is what arrivals are placed at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pylon.errors import Conflict, DecisionError, PylonError, StoreError
from pylon.ontology.canonical import canonical_bytes, digest
from pylon.ontology.enums import PlanStatus
from pylon.ontology.identity import uuid7
from pylon.ontology.plans import Plan
from pylon.services import desk as desks
from pylon.services._plan_work import PlanProgress, PlanWork, abandon
from pylon.services._plan_worker import PlanFailed, PlanWorker, WorkerDied
from pylon.services.desk import Call, Desk
from pylon.services.list_plans import PlanSummary, find
from pylon.services.view_fleet import Views
from pylon.store import leases
from pylon.store.database import Database, json_text

__all__ = ["LEASE", "PlanProgress", "PlanWorker", "is_worked_on", "request", "run", "used_up", "work_out"]

LEASE: Final = "plan of {operator_id}"
"""The lease of whoever works on an operator's plan."""

_USED_UP: Final = 0.1
"""The share of the room that a plan left which arrivals may take before there is a new one."""
_KEY: Final = "plan_fleet"


def request(
    database: Database,
    views: Views,
    call: Call,
    *,
    trigger: str,
    clock: Callable[[], datetime],
    key: str | None = None,
) -> PlanSummary:
    """Return a plan that is asked for now: QUEUED, and to be worked out by `run`, or one that is worked on already.

    There is one at a time: the one that is worked on says as of when, so whoever needs a later one asks again when
    it has ended. Under a `key` that was used before, the plan of then is returned. Raises `Conflict` for a key that
    was used for something else.
    """
    left = _left(database, call.operator_id, clock)
    with desks.opened(database, views, call) as desk:
        made = _asked_before(desk, key) or _open(desk, left) or _queue(desk, trigger)
        if key is not None:
            _remember(desk, key, made)
    return find(database, call.operator_id, str(made))


def run(
    database: Database,
    views: Views,
    worker: PlanWorker,
    call: Call,
    plan: UUID,
    *,
    clock: Callable[[], datetime],
    progress: PlanProgress | None = None,
) -> PlanSummary:
    """Work out a plan that is QUEUED, as of now, and return it as it has ended; another is returned as it is.

    What goes wrong with the plan itself is in it, not raised. Raises `LeaseHeld` while another process works on a
    plan of the operator, and `LeaseLost` when it was given up meanwhile.
    """
    holder = uuid7(call.now, call.entropy(10))
    with leases.held(database, LEASE.format(operator_id=call.operator_id), holder, clock):
        work = PlanWork(database, views, call, plan, clock, progress or _unseen)
        with worker.turn():
            _work_out(work, worker)
    return find(database, call.operator_id, str(plan))


def work_out(worker: PlanWorker, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the planner makes of a document that was kept, worked out again in its own process.

    Raises `DecisionError` where it makes nothing of it, and `PylonError` when its process ends meanwhile.
    """
    try:
        with worker.turn():
            outcome = worker.work_out(canonical_bytes(document), _unseen)
    except PlanFailed as failed:
        raise DecisionError(f"The planner makes nothing of what was kept: {failed}") from None
    except WorkerDied as died:
        raise PylonError(f"{died} Ask again.") from None
    said: dict[str, Any] = json.loads(outcome)
    return said


def is_worked_on(database: Database, operator_id: UUID, now: datetime) -> bool:
    """Return whether a process is at work on a plan of the operator."""
    with database.as_ingest() as transaction:
        lease = transaction.one("lease", name=LEASE.format(operator_id=operator_id))
    return lease is not None and lease["expires_at"] > now


def used_up(database: Database, operator_id: UUID, now: datetime) -> str | None:
    """Return why a new plan is called for: a plan that was left, or what has arrived since the one that stands.

    None while there is no reason. Where nothing came of the last one it is left to the next pipeline run.
    """
    is_alive = is_worked_on(database, operator_id, now)
    with database.as_reader(operator_id) as transaction:
        if transaction.one("open_plan", operator_id=operator_id) is not None:
            return None if is_alive else "a plan that nobody works on"
        standing = transaction.one("standing_plan_in_short", operator_id=operator_id, now=now)
        if standing is None or standing["tried_since"]:
            return None
        arrived = transaction.one(
            "arrived_since", operator_id=operator_id, after_seq=standing["after_seq"], as_of=standing["as_of"]
        )
    assert arrived is not None  # noqa: S101  a sum is one row
    if arrived["without_room"]:
        return f"{arrived['without_room']} arrived and found no room"
    if arrived["placed_mwh"] > _USED_UP * standing["spare_mwh"]:
        return f"{arrived['placed_mwh']:,.1f} MWh arrived"
    return None


def _work_out(work: PlanWork, worker: PlanWorker) -> None:
    try:
        if work.begin():
            document = work.read()
            work.note("starting the planner", 0, 1)
            work.finish(worker.work_out(document, work.note))
    except WorkerDied as died:
        work.end(PlanStatus.ABANDONED, str(died))
    except StoreError:
        raise  # nothing more can be written down of it
    except PylonError as error:
        work.end(PlanStatus.FAILED, error.detail)
    except PlanFailed as failed:
        work.end(PlanStatus.FAILED, str(failed))
    except Exception as error:
        work.end(PlanStatus.FAILED, repr(error))
    except BaseException:
        work.end(PlanStatus.ABANDONED, "It was stopped before it was worked out.")
        raise


def _unseen(stage: str, done: int, of: int) -> None:
    """Take no notice of progress."""


def _asked_before(desk: Desk, key: str | None) -> UUID | None:
    if key is None:
        return None
    before = desk.transaction.one("performed_before", operator_id=desk.operator_id, key=key)
    if before is None:
        return None
    if before["request_digest"] != digest([_KEY]):
        raise Conflict(
            f"The idempotency key {key!r} was used for {before['action']}. Use a new key for a new request."
        )
    return UUID(before["response"]["id"])


def _remember(desk: Desk, key: str, plan: UUID) -> None:
    if _asked_before(desk, key) is None:
        desk.transaction.send(
            "remember_performed",
            operator_id=desk.operator_id,
            key=key,
            action=_KEY,
            request_digest=digest([_KEY]),
            response=json_text({"id": str(plan)}),
            now=desk.now,
        )


def _left(database: Database, operator_id: UUID, clock: Callable[[], datetime]) -> UUID | None:
    """Return the plan that is RUNNING and whose process is gone."""
    with database.as_reader(operator_id) as transaction:
        row = transaction.one("open_plan", operator_id=operator_id)
    # A plan is RUNNING under its lease alone, so the lease is asked for after the plan, never before it.
    if row is None or row["status"] != PlanStatus.RUNNING or is_worked_on(database, operator_id, clock()):
        return None
    return UUID(str(row["id"]))


def _open(desk: Desk, left: UUID | None) -> UUID | None:
    """Return the plan that has not ended; the one that was `left` is ended here."""
    row = desk.transaction.one("open_plan", operator_id=desk.operator_id)
    if row is None:
        return None
    plan = Plan.model_validate(row)
    if plan.id == left:
        abandon(desk.transaction, plan, desk.now)
        return None
    return plan.id


def _queue(desk: Desk, trigger: str) -> UUID:
    number = 1 + desk.transaction.value("last_plan_number", operator_id=desk.operator_id)
    plan = Plan(
        id=desk.new_id(),
        plan_id=f"P-{number:06d}",
        operator_id=desk.operator_id,
        trigger=trigger,
        requested_at=desk.now,
        created_at=desk.now,
        updated_at=desk.now,
    )
    desk.add(plan)
    return plan.id
