"""Import writers: how rows that are fit to store are stored, part by part, in the transaction of one import."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pylon.errors import Conflict
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import WorkloadStatus
from pylon.ontology.grid import GridSignal, RegionalGridSignal
from pylon.ontology.types import ObjectType
from pylon.services import ingest
from pylon.services._cells import shown
from pylon.services.check_quality import check_quality
from pylon.services.import_types import ImportType, Wording
from pylon.services.read_rows import Fault, Good, broken_rules
from pylon.sources.feed import IMPORTED_RANK, Batch, NationalReading, RegionalReading, Supply
from pylon.store import objects
from pylon.store.database import Transaction

__all__ = ["Counts", "ObjectWriter", "OnExisting", "SignalWriter"]

Refuse = Callable[[Sequence[Fault]], None]

_NEVER_CHANGED = frozenset({"id", "operator_id", "created_at", "updated_at", "is_simulated"})

_LIFE = ("status", "status_reason", "host_dc_id", "scheduled_start", "started_at", "completed_at")
_LEFT_TO_ACTIONS: Mapping[type[ObjectType], frozenset[str]] = {
    ComputeWorkload: frozenset({*_LIFE, "actual_energy_kwh", "actual_carbon_gco2", "actual_cost_gbp"})
}
"""What is taken with a new row, and of one that is there only changed by actions and by what came of them."""

_S = WorkloadStatus
_BOOKED = ("host_dc_id", "scheduled_start")
_GOES_WITH: Mapping[WorkloadStatus, tuple[str, ...]] = {
    _S.QUEUED: _BOOKED,
    _S.DEFERRED_CARBON: _BOOKED,
    _S.DEFERRED_PRICE: _BOOKED,
    _S.DEFERRED_GRID_STRESS: _BOOKED,
    _S.RUNNING: ("host_dc_id", "started_at"),
    _S.COMPLETED: ("started_at", "completed_at"),
}
"""What a new workload of a status must say, so that it holds the room it takes up, or tells when it ran."""

_SUPPLIES: Mapping[str, Supply] = {
    "carbon_intensity_forecast": Supply.CARBON,
    "carbon_intensity_actual": Supply.CARBON,
    "demand_mw": Supply.DEMAND,
    "wholesale_price_gbp_mwh": Supply.PRICE,
    "system_price_gbp_mwh": Supply.SYSTEM_PRICE,
}


class OnExisting(StrEnum):
    """What becomes of a row that is stored already, with other values."""

    UPDATE = "update"
    SKIP = "skip"
    FAIL = "fail"


@dataclass(slots=True)
class Counts:
    """What became of the rows; those refused are counted where they are refused."""

    stored: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    kept: int = 0
    blank: int = 0


class ObjectWriter:
    """Stores rows of a type that belongs to operators."""

    def __init__(
        self,
        transaction: Transaction,
        kind: ImportType,
        *,
        operator_id: UUID,
        on_existing: OnExisting,
        wording: Wording,
        now: datetime,
    ) -> None:
        """Store in `transaction`, which acts for the operator."""
        self._transaction = transaction
        self._type = kind
        self._operator_id = operator_id
        self._on_existing = on_existing
        self._wording = wording
        self._stamp = {"updated_at": now} if "updated_at" in kind.columns else {}
        specs = kind.columns.values()
        left = _NEVER_CHANGED | _LEFT_TO_ACTIONS.get(kind.row_type, frozenset())
        self._changeable = frozenset(spec.name for spec in specs if not spec.writer) - left
        self.counts = Counts()

    def store(self, rows: Sequence[Good], refuse: Refuse) -> None:
        """Store these rows; those that are there already with other values as it was asked."""
        there = self._there(rows)
        new: list[ObjectType] = []
        changes: dict[frozenset[str], list[ObjectType]] = defaultdict(list)
        for good in rows:
            old = there.get(_key_of(self._type, good.row))
            if fault := self._fault(good, old):
                refuse([fault])
            elif old is None:
                new.append(good.row)
            elif not (changed := self._changed(good, old)):
                self.counts.unchanged += 1
            elif self._on_existing is OnExisting.SKIP:
                self.counts.skipped += 1
            elif faults := self._refused_change(good, old, changed):
                refuse(faults)
            else:
                changes[changed].append(good.row.model_copy(update={"id": old["id"], **self._stamp}))
        if objects.add_missing(self._transaction, new) < len(new):
            raise Conflict("Somebody else stored one of these rows meanwhile. Nothing was imported: do it again.")
        self.counts.stored += len(new)
        for names, changed_rows in changes.items():
            self.counts.updated += objects.change(self._transaction, changed_rows, sorted(names))

    def _there(self, rows: Sequence[Good]) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Return the stored rows that have the keys of these."""
        keys = {name: [getattr(good.row, name) for good in rows] for name in self._type.key}
        found = objects.find(
            self._transaction,
            self._type.row_type,
            keys,
            shown=list(self._type.columns),
            operator_id=self._operator_id,
        )
        return {tuple(row[name] for name in self._type.key): row for row in found}

    def _fault(self, good: Good, old: Mapping[str, Any] | None) -> Fault | None:
        """Return why a row is not this operator's own to give, if it is not."""
        if old is not None and old["is_simulated"]:
            why = "is the id of a simulated object. Remove those with `pylon purge --synthetic`, or choose another"
            return self._at_key(good, why)
        if "id" in good.given and (old is None or old["id"] != good.row.id):
            why = "must be left out, or be the id under which Pylon has this very object"
            return Fault(good.line, "id", str(good.row.id), why)
        return self._unfit_status(good) if old is None else None

    def _unfit_status(self, good: Good) -> Fault | None:
        row = good.row
        if not isinstance(row, ComputeWorkload):
            return None
        needed = _GOES_WITH.get(row.status, ())
        if all(getattr(row, name) is not None for name in needed):
            return None
        why = f"goes with {' and '.join(needed)}: give both, or leave status out and Pylon places the job"
        return Fault(good.line, "status", shown(row.status.value), why)

    def _changed(self, good: Good, old: Mapping[str, Any]) -> frozenset[str]:
        spoken_of = good.given & self._changeable
        return frozenset(name for name in spoken_of if getattr(good.row, name) != old[name])

    def _refused_change(self, good: Good, old: Mapping[str, Any], changed: frozenset[str]) -> list[Fault]:
        if self._on_existing is OnExisting.FAIL:
            names = ", ".join(sorted(changed))
            why = f"exists, with another {names}. Say {self._wording.on_existing}, or take the line out"
            return [self._at_key(good, why)]
        after = dict(old) | {name: getattr(good.row, name) for name in changed}
        return [
            Fault(good.line, column, shown(after[column]), why)
            for column, why in broken_rules(self._type.row_type, after)
        ]

    def _at_key(self, good: Good, why: str) -> Fault:
        column = self._type.key[0]
        return Fault(good.line, column, shown(getattr(good.row, column)), why)


class SignalWriter:
    """Stores signals of the grid under one label, where no source of higher rank has spoken."""

    def __init__(
        self,
        transaction: Transaction,
        kind: ImportType,
        *,
        label: str,
        ranks: Mapping[str, int],
        regions: Mapping[UUID, int],
        run_id: UUID,
        now: datetime,
    ) -> None:
        """Store in `transaction`; `regions` gives the API's number of a region by its id."""
        self._transaction = transaction
        self._type = kind
        self._label = label
        self._ranks = ranks
        self._regions = regions
        self._run_id = run_id
        self._now = now
        self._parts = 0
        self.counts = Counts()
        self.vintages = 0
        self.withheld = 0

    def store(self, rows: Sequence[Good], _refuse: Refuse) -> None:
        """Store these half hours."""
        spoken = [good.row for good in rows if self._supplies(good.row)]
        self.counts.blank += len(rows) - len(spoken)
        # A vintage is one array from its first half hour to its last: by the month, far ones are no long one.
        months: dict[tuple[int, int], list[ObjectType]] = {}
        for row in spoken:
            months.setdefault((_at(row).year, _at(row).month), []).append(row)
        for _, part in sorted(months.items()):
            self._store(part)

    def _store(self, spoken: Sequence[ObjectType]) -> None:
        there = self._labels_there(spoken)
        new = kept = wholly_kept = 0
        for row in spoken:
            labels = there.get(_key_of(self._type, row))
            supplies = self._supplies(row)
            outranked = [one for one in supplies if labels and self._is_outranked(labels.get(one))]
            new += labels is None
            kept += bool(outranked)
            wholly_kept += len(outranked) == len(supplies)
        # The parts of one run are vintages of their own, so each has its moment.
        now = self._now + timedelta(microseconds=self._parts)
        given = {self._label: self._batch(spoken)}
        checked = check_quality(self._transaction, given, run_id=self._run_id, now=now, expects_actuals=False)
        done = ingest.store_batch(
            self._transaction,
            self._label,
            checked.batches[self._label],
            ranks=self._ranks,
            run_id=self._run_id,
            now=now,
        )
        self.withheld += checked.withheld.get(self._label, 0)
        self._parts += 1
        self.vintages += done.vintages
        self.counts.stored += new
        self.counts.updated += done.written - new
        self.counts.unchanged += done.unchanged - wholly_kept
        self.counts.kept += kept

    def _supplies(self, row: ObjectType) -> set[Supply]:
        return {_SUPPLIES[name] for name in self._type.quantities if getattr(row, name) is not None}

    def _is_outranked(self, label: str | None) -> bool:
        rank = self._ranks.get
        return label is not None and rank(label, IMPORTED_RANK) > rank(self._label, IMPORTED_RANK)

    def _labels_there(self, rows: Sequence[ObjectType]) -> dict[tuple[Any, ...], Mapping[str, str]]:
        """Return the source of each quantity stored for these half hours."""
        keys = {name: [getattr(row, name) for row in rows] for name in self._type.key}
        source = "provenance" if self._type.row_type is GridSignal else "data_source"
        found = objects.find(self._transaction, self._type.row_type, keys, shown=(*self._type.key, source))
        return {
            tuple(row[name] for name in self._type.key): (
                row[source] if source == "provenance" else {Supply.CARBON: row[source]}
            )
            for row in found
        }

    def _batch(self, rows: Sequence[ObjectType]) -> Batch:
        national = [
            NationalReading(starts_at=row.timestamp, **{name: getattr(row, name) for name in self._type.quantities})
            for row in rows
            if isinstance(row, GridSignal)
        ]
        regional = [
            RegionalReading(
                region_id=self._regions[row.region_id],
                starts_at=row.timestamp,
                carbon_intensity_forecast=row.carbon_intensity_forecast,
                carbon_index=None,
            )
            for row in rows
            if isinstance(row, RegionalGridSignal)
        ]
        return Batch(national=national, regional=regional, rows_seen=len(rows))


def _at(row: ObjectType) -> datetime:
    assert isinstance(row, GridSignal | RegionalGridSignal)  # noqa: S101  what a signal's type reads
    return row.timestamp


def _key_of(kind: ImportType, row: ObjectType) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in kind.key)
