"""Execute: carry out what was decided and is due, meter what runs, and settle what has ended.

Everything follows from what is booked and from `now`: it may be called at any time and by several at once, and it
catches up after any pause. Work starts and ends when it was to, and each half hour that has ended is metered once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from pylon.errors import Refused
from pylon.ontology import actions
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import DataCentreStatus, WorkloadStatus
from pylon.services import desk, settle
from pylon.services._carry_out import carry_out
from pylon.services._work import Work, in_hand
from pylon.services.desk import Asked, Call, Desk
from pylon.services.perform_action import HANDLERS
from pylon.services.view_fleet import Views
from pylon.store.database import Database, Transaction, json_text

__all__ = ["Event", "Executed", "Executor", "SimulatedExecutor", "execute"]

_OPEN: Final = (DataCentreStatus.ACTIVE, DataCentreStatus.CONSTRAINED)
_EXECUTOR: Final = Asked(by="executor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a workload, as an action: start_workload or complete_workload."""

    at: datetime
    action: str
    job_id: str


class Executor(Protocol):
    """What runs workloads. Sites whose owners run them call the actions start_workload and complete_workload."""

    def runs(self, work: Work) -> bool:
        """Return whether this executor runs the workload."""
        ...

    def events(self, work: Work, now: datetime) -> Iterable[Event]:
        """Yield what has happened to a workload by `now` that is not recorded yet, in order."""
        ...


class SimulatedExecutor:
    """Runs what is placed at simulated data centres, by the clock. Nothing is computed, and its label stays."""

    def runs(self, work: Work) -> bool:
        """Return whether the workload is placed at a simulated data centre."""
        return work.site_is_simulated

    def events(self, work: Work, now: datetime) -> Iterator[Event]:
        """Yield the start and the end of a workload that have come; none starts at a site that is not open."""
        if work.is_final or work.starts_at > now:
            return
        if work.status is not WorkloadStatus.RUNNING:
            if work.site_status not in _OPEN:
                return
            yield Event(at=work.starts_at, action="start_workload", job_id=work.job_id)
        if work.ends_at <= now:
            yield Event(at=work.ends_at, action="complete_workload", job_id=work.job_id)


@dataclass(frozen=True, kw_only=True)
class Executed:
    """What one call did."""

    started: int = 0
    completed: int = 0
    held: tuple[str, ...] = ()
    """Jobs that are due at a site that is not open: they wait to be placed anew."""
    refusals: tuple[dict[str, Any], ...] = ()
    """Of what was due, what the state of things forbade, and why."""
    half_hours_metered: int = 0
    metered_kwh: float = 0.0
    """Facility energy in them."""
    half_hours_dispatched: int = 0
    dispatches_short: int = 0
    """Half hours in which storage could not do all that it was to do."""
    settled: int = 0
    """Decisions whose outcome was recorded, and workloads nobody decided about."""

    @property
    def did_anything(self) -> bool:
        """Whether anything was changed."""
        return any(
            (self.started, self.completed, self.half_hours_metered, self.half_hours_dispatched, self.settled)
        )


def execute(database: Database, views: Views, call: Call, executor: Executor | None = None) -> Executed:
    """Carry out what is due for one operator at `call.now`, meter it and settle what has ended."""
    runner = executor or SimulatedExecutor()
    with database.as_reader(call.operator_id) as transaction:
        works = in_hand(transaction, call.operator_id, call.now)
        due = transaction.all("dispatches_due", operator_id=call.operator_id, now=call.now)
    held = [work.job_id for work in works if runner.runs(work) and _is_held(work, call.now)]
    done = Executed(held=tuple(held))
    if due or _events(runner, works, call.now):
        done = _advance(database, views, call, runner, done)
    with database.as_actor(call.operator_id) as transaction:
        return _account(transaction, call.operator_id, call.now, done)


def _is_held(work: Work, now: datetime) -> bool:
    is_due = work.started_at is None and work.starts_at <= now and not work.is_final
    return is_due and work.site_status not in _OPEN


def _events(runner: Executor, works: Sequence[Work], now: datetime) -> list[Event]:
    """Return what has happened, in order; of what happened at once, what makes room comes first."""
    found = [event for work in works if runner.runs(work) for event in runner.events(work, now)]
    return sorted(found, key=lambda event: (event.at, event.action, event.job_id))


def _advance(database: Database, views: Views, call: Call, runner: Executor, done: Executed) -> Executed:
    """Perform what has happened, in one transaction that has the operator to itself."""
    with desk.opened(database, views, call) as here:
        # Read again: another process may have done it before this one had the operator to itself.
        works = in_hand(here.transaction, call.operator_id, call.now)
        events = _events(runner, works, call.now)
        here.workloads([event.job_id for event in events])  # all at once, for the handlers
        refused = {event: why for event in events if (why := _perform(here, event))}
        dispatched, short = carry_out(here.transaction, call.operator_id, call.now)
    counts = [event.action for event in events if event not in refused]
    return replace(
        done,
        started=counts.count("start_workload"),
        completed=counts.count("complete_workload"),
        refusals=tuple(one for why in refused.values() for one in why),
        half_hours_dispatched=dispatched,
        dispatches_short=short,
    )


def _perform(here: Desk, event: Event) -> list[dict[str, Any]]:
    """Perform one action at the desk and return why it was refused, if it was; nothing was changed then."""
    parameters = actions.action(event.action).parse({"job_id": event.job_id, "at": event.at})
    try:
        HANDLERS[event.action](here, parameters, _EXECUTOR)
    except Refused as refused:
        return list(refused.refusals)
    return []


def _account(transaction: Transaction, operator_id: UUID, now: datetime, done: Executed) -> Executed:
    """Meter, settle, and bring present load and storage status up to date; what is so already is not written."""
    works = in_hand(transaction, operator_id, now)
    metered, kwh = 0, 0.0
    if any(_to_meter(transaction, operator_id, works, now)):
        # Nobody says meanwhile that work has ended; who did is read again, and so is what is recorded now.
        transaction.run("hold_operator", operator_id=operator_id)
        metered, kwh = _meter(transaction, operator_id, in_hand(transaction, operator_id, now), now)
        works = in_hand(transaction, operator_id, now)
    settled = settle.settle_work(transaction, operator_id, works, now)
    settled += settle.settle_storage(transaction, operator_id, now)
    transaction.run("refresh_load", operator_id=operator_id, now=now)
    transaction.run("refresh_storage_status", operator_id=operator_id, half_hour=floor(now))
    return replace(done, half_hours_metered=metered, metered_kwh=kwh, settled=settled)


def _meter(transaction: Transaction, operator_id: UUID, works: Sequence[Work], now: datetime) -> tuple[int, float]:
    """Record the facility energy of every half hour that has ended, and correct what turned out otherwise.

    Returns how many half hours of work were written or taken back, and the energy in them.
    """
    rows, gone = _to_meter(transaction, operator_id, works, now)
    taken = transaction.run("take_back_consumption", operator_id=operator_id, rows=json_text(gone)) if gone else 0
    if not rows:
        return taken, 0.0
    written = transaction.all("record_consumption", operator_id=operator_id, rows=json_text(rows), now=now)
    return len(written) + taken, sum(row["energy_kwh"] for row in written)


def _to_meter(
    transaction: Transaction, operator_id: UUID, works: Sequence[Work], now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the half hours that lack a record or have a wrong one, and those recorded in which it did not run."""
    sites = {row["id"]: row["pue"] for row in transaction.all("metered_sites", operator_id=operator_id)}
    rows, gone = [], []
    for work in works:
        drawn = work.facility_kwh(sites[work.data_centre_id], now)
        for at, kwh in drawn.items():
            if at + HALF_HOUR <= now and _is_amiss(work, at, round(kwh, 2)):
                rows.append({"workload_id": work.id, "half_hour": at, "energy_kwh": round(kwh, 2)})
        gone += [{"workload_id": work.id, "half_hour": at} for at in work.recorded if at not in drawn]
    return rows, gone


def _is_amiss(work: Work, at: datetime, kwh: float) -> bool:
    """Return whether a half hour is not recorded, or was before its owner said when it ended or what it used.

    Any other keeps the PUE that it was recorded with.
    """
    if at not in work.recorded:
        return True
    is_last = work.completed_at is not None and at + HALF_HOUR > work.completed_at
    return (is_last or work.reported_kwh is not None) and work.recorded[at] != kwh
