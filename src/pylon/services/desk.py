"""The desk: one transaction of one operator, in which actions are performed one after another and written at once.

Whoever opens a desk has the operator to itself until the transaction ends. What an action changes is kept here and
written at the end, in an order that the foreign keys allow: new objects, decisions, what names a decision, changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, cached_property
from typing import Any, TypeVar
from uuid import UUID

from pylon.agents.contract import Booking, Draft, Span, View
from pylon.errors import Conflict, NotFound
from pylon.ontology import columns
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import floor
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.deciding import StorageDispatch, WorkloadPlacement
from pylon.ontology.fleet import DataCentre, Operator, StorageAsset
from pylon.ontology.identity import uuid7
from pylon.ontology.types import ObjectType, Row
from pylon.planning import arrival
from pylon.services._carry_out import carry_out
from pylon.services.view_fleet import Views, needs, occupy, view_fleet
from pylon.store import log, objects
from pylon.store.database import Database, Transaction

__all__ = ["Asked", "Call", "Decided", "Desk", "Handler", "opened"]

_ENTROPY_BYTES = 10

T = TypeVar("T", bound=ObjectType)


@dataclass(frozen=True, kw_only=True)
class Call:
    """For whom, when, and with whose randomness an action is performed; ids are made of the last two."""

    operator_id: UUID
    now: datetime
    entropy: Callable[[int], bytes] = field(repr=False)
    founds: Operator | None = None
    """The operator itself, where the action is the one that enters it."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who wants an action performed, and the decision it stands for if its agent has made one."""

    by: str
    """For people: `client`, `agent AGENT_ID`, `executor`."""
    agent_id: UUID | None = None
    draft: Draft | None = None


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A decision on its way into the log."""

    id: UUID
    decision_id: str
    agent_id: UUID | None
    draft: Draft
    effect: Mapping[str, Any]


class Desk:
    """One operator's transaction. Reads see what was changed here before; nothing is written until `flush`."""

    def __init__(self, transaction: Transaction, views: Views, call: Call, *, whole: bool = False) -> None:
        """Lock the operator. With `whole` the view has workloads and storage, for a round of the agents."""
        if call.founds is not None:
            _found(transaction, call.founds)
        self._entering = transaction.ask("enter_operator", often=True, operator_id=call.operator_id, now=call.now)
        self.transaction = transaction
        self.operator_id = call.operator_id
        self.now = call.now
        self.decided: list[Decided] = []
        self.changed: dict[UUID, ObjectType] = {}
        self._call = call
        self._views = views
        self._is_whole = whole
        self._forgotten = self.is_sent = False
        self._known: dict[UUID, ObjectType] = {}
        self._stored: dict[UUID, ObjectType] = {}
        self._jobs: dict[str, UUID] = {}
        self._unplaced: set[UUID] = set()
        self._placed: dict[UUID, list[WorkloadPlacement]] = {}
        self._dispatches: list[StorageDispatch] = []

    # ---- what is there

    @cached_property
    def view(self) -> View:
        """What agents decide on, with whatever has been booked here so far."""
        operator_id = self.operator_id
        seq, revision, stamp = self._entered
        kept = None if self._is_whole else self._views.take(operator_id, stamp, revision - 1)
        if kept is None:
            if self._is_whole:  # so that storage is planned from what it holds
                carry_out(self.transaction, operator_id, self.now)
            kept = view_fleet(self.transaction, operator_id, self.now, after_seq=seq, whole=self._is_whole)
        for row in (*kept.sites, *kept.assets, *kept.workloads):
            self.remember(row)
        return replace(kept, now=self.now)

    def new_id(self) -> UUID:
        """Return a new id of version 7."""
        return uuid7(self.now, self._call.entropy(_ENTROPY_BYTES))

    def workload(self, job_id: str) -> ComputeWorkload:
        """Return the operator's workload of this id, as it stands at this desk.

        Raises `NotFound` when there is none.
        """
        found = self.workloads([job_id])
        if not found:
            raise NotFound(f"You have no workload {job_id!r}. `GET /api/v1/objects/ComputeWorkload` lists yours.")
        return found[0]

    def workloads(self, job_ids: Sequence[str]) -> list[ComputeWorkload]:
        """Return those of these workloads that exist, in the order of `job_ids`."""
        unknown = [job_id for job_id in job_ids if job_id not in self._jobs]
        if unknown:
            rows = self.transaction.all("workloads_called", operator_id=self.operator_id, job_ids=unknown)
            for row in rows:
                self.remember(ComputeWorkload.model_validate(row))
        found = [self._known[self._jobs[job_id]] for job_id in job_ids if job_id in self._jobs]
        return [row for row in found if isinstance(row, ComputeWorkload)]

    def centre(self, dc_id: str) -> DataCentre:
        """Return the operator's data centre of this id. Raises `NotFound`, naming those there are."""
        return self._called(DataCentre, "dc_id", dc_id, "data centre")

    def centre_of(self, data_centre_id: UUID) -> DataCentre:
        """Return the operator's data centre of this primary key."""
        known = self._known.get(data_centre_id)
        if isinstance(known, DataCentre):
            return known
        key, shown = {"id": [data_centre_id]}, list(DataCentre.model_fields)
        rows = objects.find(self.transaction, DataCentre, key, shown=shown, operator_id=self.operator_id)
        return self.remember(DataCentre.model_validate(rows[0]))

    def asset(self, asset_id: str) -> StorageAsset:
        """Return the operator's storage asset of this id. Raises `NotFound`, naming those there are."""
        return self._called(StorageAsset, "asset_id", asset_id, "storage asset")

    def agent(self, agent_id: str) -> Agent:
        """Return the operator's agent of this id. Raises `NotFound`, naming those there are."""
        return self._called(Agent, "agent_id", agent_id, "agent")

    # ---- what is to change

    def add(self, row: Row) -> None:
        """Store a new object or record. One whose id or key is taken makes the whole transaction fail."""
        if isinstance(row, StorageDispatch):
            self._dispatches.append(row)
        elif isinstance(row, ObjectType):
            self._known[row.id] = self.changed[row.id] = row
            if isinstance(row, ComputeWorkload):
                self._jobs[row.job_id] = row.id
        else:
            raise TypeError(f"a desk does not add {type(row).__name__}")

    def change(self, row: ObjectType) -> None:
        """Store the new state of an object that was read at this desk."""
        assert row.id in self._known, f"{row.id} was not read here"  # noqa: S101
        self._known[row.id] = self.changed[row.id] = row

    def decide(self, draft: Draft, asked: Asked, effect: Mapping[str, Any]) -> UUID:
        """Put a decision at the end of the operator's log and return its id."""
        decision = Decided(
            id=self.new_id(),
            decision_id=f"D-{self._entered[0] + len(self.decided) + 1:06d}",
            agent_id=asked.agent_id,
            draft=draft,
            effect={"by": asked.by, **effect},
        )
        self.decided.append(decision)
        return decision.id

    def book(self, workload: ComputeWorkload, centre: DataCentre, spans: Sequence[Span], decision_id: UUID) -> None:
        """Place the workload, in the place of wherever it was placed before, and take up the room."""
        is_by_hand = self._is_by_hand(workload, decision_id)
        self.unbook(workload)
        booking = Booking(
            data_centre_id=centre.id,
            spans=tuple(spans),
            decision_id=decision_id,
            is_by_hand=is_by_hand,
        )
        self._take(workload, booking, 1)
        self._bookings[workload.id] = booking
        self._placed[workload.id] = [
            WorkloadPlacement(
                operator_id=self.operator_id,
                workload_id=workload.id,
                starts_at=span.starts_at,
                ends_at=span.ends_at,
                data_centre_id=centre.id,
                decision_id=decision_id,
            )
            for span in spans
        ]

    def unbook(self, workload: ComputeWorkload) -> None:
        """Give back the room of a workload that is placed; one that is not stays as it is."""
        booking = self._bookings.pop(workload.id, None)
        if booking is not None:
            self._take(workload, booking, -1)
        self.clear(workload)

    def clear(self, workload: ComputeWorkload) -> None:
        """Remove where a workload was to run, if anywhere, without giving back the room: `forget` does that."""
        self._placed.pop(workload.id, None)
        if workload.id in self._stored:
            self._unplaced.add(workload.id)

    def forget(self) -> None:
        """Say that something else than bookings has changed: the next to decide reads the fleet anew."""
        self._forgotten = True

    # ---- the end

    def flush(self) -> None:
        """Send everything. Raises `Conflict`, here or at the commit, when an id that was to be new is taken."""
        self.is_sent = True
        self._add_new()
        log.append(self.transaction, self.operator_id, [*map(self._row_of, self.decided)], now=self.now)
        operator_id = self.operator_id
        if self._unplaced:
            self.transaction.send("unplace", operator_id=operator_id, workload_ids=list(self._unplaced))
        objects.send_new(self.transaction, [row for rows in self._placed.values() for row in rows])
        self._schedule()
        self._add_new(after_decisions=True)
        self._change_known()
        if acted := {decision.agent_id for decision in self.decided if decision.agent_id is not None}:
            self.transaction.send("agents_acted", operator_id=operator_id, agent_ids=list(acted), now=self.now)

    def keep(self) -> None:
        """After the commit: leave the view, as it is now, to the next one at this operator's desk."""
        _, revision, stamp = self._entered
        if self._forgotten:
            self._views.drop(self.operator_id)
        elif "view" in self.__dict__:
            self._views.keep(self.operator_id, self.view, stamp, revision)
        else:
            self._views.pass_on(self.operator_id, revision)

    # ---- inside

    @cached_property
    def _entered(self) -> tuple[int, int, tuple[Any, ...]]:
        """The last number of the log, the revision, and what else a kept view is of, as the operator was locked."""
        seq, revision, *seen = (self._entering.one() or {}).values()
        return seq, revision, (floor(self.now), *seen)

    @property
    def _bookings(self) -> dict[UUID, Booking]:
        return self.view.bookings  # type: ignore[return-value]  # the desk alone changes a view's bookings

    def _is_by_hand(self, workload: ComputeWorkload, decision_id: UUID) -> bool:
        """Return whether the decision, the last one here or the one that stands, is a client's choice."""
        if self.decided and self.decided[-1].id == decision_id:
            return "by_hand" in self.decided[-1].draft.inputs
        standing = self._bookings.get(workload.id)
        return standing is not None and standing.is_by_hand

    def _take(self, workload: ComputeWorkload, booking: Booking, sign: int) -> None:
        site = self.view.site(booking.data_centre_id)
        if site is not None:
            needed = sign * needs(workload, float(self.view.field.pue[site]))
            occupy(self.view.field.room, self.view.starts_at, site, booking.spans, needed)

    def remember(self, row: T) -> T:
        """Return the object that was read as `row`, as it stands at this desk; now it may be changed here."""
        self._stored.setdefault(row.id, row)
        if isinstance(row, ComputeWorkload):
            self._jobs[row.job_id] = row.id
        return self._known.setdefault(row.id, row)  # type: ignore[return-value]

    def _called(self, kind: type[T], column: str, wanted: str, word: str) -> T:
        for known in self._known.values():
            if isinstance(known, kind) and getattr(known, column) == wanted:
                return known
        rows = [
            self.remember(kind.model_validate(row))
            for row in objects.read(self.transaction, kind, operator_id=self.operator_id, order_by=[column])
        ]
        for row in rows:
            if getattr(row, column) == wanted:
                return row
        named = ", ".join(str(getattr(row, column)) for row in rows) or "none yet"
        raise NotFound(f"You have no {word} {wanted!r}. Valid: {named}.")

    def _row_of(self, decision: Decided) -> dict[str, Any]:
        draft = decision.draft
        return {
            "id": decision.id,
            "decision_id": decision.decision_id,
            "decision_type": draft.decision_type,
            "agent_id": decision.agent_id,
            "workload_id": draft.workload_id,
            "source_dc_id": draft.source_dc_id,
            "target_dc_id": draft.target_dc_id,
            "storage_asset_id": draft.storage_asset_id,
            "input_grid_signal_id": self.view.grid_signal_id,
            "input_run_id": self.view.run_id,
            "input_carbon_intensity": self.view.carbon_gco2_kwh,
            "input_grid_stress": self.view.stress,
            "input_price_gbp_mwh": self.view.price_gbp_mwh,
            "reasoning": draft.reasoning,
            "constraints_evaluated": draft.constraints,
            "alternatives_considered": draft.alternatives,
            "carbon_saved_gco2": draft.carbon_saved_gco2,
            "cost_saved_gbp": draft.cost_saved_gbp,
            "flexibility_contribution_mw": draft.flexibility_contribution_mw,
            "inputs": draft.inputs,
            "effect": decision.effect,
            "is_simulated": draft.is_simulated,
            "decided_at": self.now,
        }

    def _add_new(self, *, after_decisions: bool = False) -> None:
        new = [row for row in self.changed.values() if row.id not in self._stored]
        for kind in dict.fromkeys(map(type, new)):
            if _names_a_decision(kind) is after_decisions:
                objects.send_new(self.transaction, [row for row in new if type(row) is kind])

    def _change_known(self) -> None:
        old = [row for row in self.changed.values() if row.id in self._stored]
        for kind in dict.fromkeys(map(type, old)):
            rows = [row for row in old if type(row) is kind]
            names = [spec.name for spec in columns.of(kind) if not spec.is_secret]
            names = [name for name in names if any(self._differs(row, name) for row in rows)]
            if names := [name for name in names if name != "updated_at"]:
                objects.send_changes(self.transaction, rows, names)

    def _differs(self, row: ObjectType, name: str) -> bool:
        return bool(getattr(row, name) != getattr(self._stored[row.id], name))

    def _schedule(self) -> None:
        """Write each asset's new schedule in the place of what it was to do from there on."""
        for asset_id in dict.fromkeys(row.storage_asset_id for row in self._dispatches):
            rows = [row for row in self._dispatches if row.storage_asset_id == asset_id]
            start = min(row.starts_at for row in rows)
            self.transaction.send("unschedule", operator_id=self.operator_id, asset_id=asset_id, start=start)
            objects.send_new(self.transaction, rows)


Handler = Callable[[Desk, Any, Asked], None]
"""How an action is carried out: its parameters as declared, and who asks. It looks at everything before it changes
anything, so that one refused proposal leaves the desk as it was."""


def _found(transaction: Transaction, operator: Operator) -> None:
    """Enter the operator that the transaction acts for; one that was entered before, under the same key, stays."""
    if not objects.add_missing(transaction, [operator]) and not objects.read(
        transaction, Operator, operator_id=operator.id
    ):
        raise Conflict("An operator with this email is there already. Nothing was changed.")


def _names_a_decision(kind: type[Row]) -> bool:
    return any(spec.ref and spec.ref.target == "OrchestrationDecision" for spec in columns.of(kind))


_compiled = cache(arrival.warm)


class _Undone(Exception):
    """Ends the transaction of a dry run. Never leaves this module."""


@contextmanager
def opened(
    database: Database, views: Views, call: Call, *, whole: bool = False, dry_run: bool = False
) -> Iterator[Desk]:
    """Open a desk, write what was done at it when the block ends, and commit; a dry run is written and undone."""
    _compiled()  # once a process, and while nobody waits for the operator
    try:
        with database.as_actor(call.operator_id, pipelined=True) as transaction:
            desk = Desk(transaction, views, call, whole=whole)
            yield desk
            if not desk.is_sent:  # who had more to work out meanwhile has done it
                desk.flush()
            if dry_run:
                transaction.wait()
                raise _Undone
    except _Undone:
        return
    desk.keep()
