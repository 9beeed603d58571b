"""Import rows: store what a file says of an operator's fleet or of the grid, all of it or nothing.

A dry run is the import itself, undone at its end, so that it says exactly what would happen. Undone as well is an
import in which a row was refused, and one that changed nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import Invalid
from pylon.ontology.enums import RunStatus
from pylon.ontology.fleet import DataCentre
from pylon.ontology.records import PipelineRun
from pylon.services import ingest
from pylon.services._cells import shown
from pylon.services._import_writers import Counts, ObjectWriter, OnExisting, SignalWriter
from pylon.services.import_types import PARAMETERS, Choice, Wording, choose
from pylon.services.read_rows import Fault, Good, Known, RowReader
from pylon.services.reports import REFUSALS_KEPT, Outcome, Refusal, RunReport, SourceReport
from pylon.sources import feed
from pylon.sources.files import Sheet
from pylon.store import leases, objects
from pylon.store.database import Database, Transaction

__all__ = ["BAD_ROWS_KEPT", "LABEL", "Fault", "Import", "ImportReport", "OnExisting", "import_rows"]

BAD_ROWS_KEPT = 1000
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,42}")
"""What an import may be called: the label `import:NAME` has room for 50 characters."""

_PART = 10_000  # rows that are held, and stored by one statement, at once

OnFault = Callable[[Fault], None]


@dataclass(frozen=True, kw_only=True)
class Import:
    """What is to be imported, how, for whom, and when that is.

    `name` says where the rows come from; `label` is what signals are called that are imported. `now` is the moment
    of the import; `clock` tells the real time, for the lease.
    """

    import_id: UUID
    operator_id: UUID
    now: datetime
    clock: Callable[[], datetime]
    name: str
    label: str
    type_name: str | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    on_existing: OnExisting = OnExisting.FAIL
    skip_bad: bool = False
    dry_run: bool = False
    most_rows: int | None = None
    wording: Wording = PARAMETERS


class ImportReport(BaseModel):
    """What an import did or, when it was a dry run, would have done."""

    model_config = ConfigDict(frozen=True)

    object_type: str
    is_guessed: bool = Field(description="Whether the type was told by the columns")
    label: str | None = Field(description="The source that imported signals carry; null for what an operator owns")
    dry_run: bool
    is_stored: bool = Field(description="Whether anything was changed")
    run_id: UUID | None = Field(description="The run that stored signals, as vintages and decisions name it")
    rows_read: int
    rows_new: int = Field(description="Good rows that were not there: stored, or what would be if nothing was")
    rows_changed: int = Field(description="Good rows that were there with other values: updated, or what would be")
    rows_stored: int = Field(description="Rows that were stored; 0 if nothing was, as in a dry run")
    rows_updated: int = Field(description="Rows that were updated; 0 if nothing was, as in a dry run")
    rows_unchanged: int = Field(description="Rows that were there with the same values")
    rows_skipped: int = Field(description="Rows that were there with other values, and were left")
    rows_kept: int = Field(description="Half hours of which a source of the grid has a value, which stays")
    rows_blank: int = Field(description="Half hours of which the file gives no value")
    rows_refused: int
    faults: int = Field(description="What is wrong with the rows refused: one or more things each")
    bad_rows: list[Fault] = Field(description=f"The first {BAD_ROWS_KEPT:,} of the faults")


@dataclass(slots=True)
class _Refusals:
    on_fault: OnFault
    rows: int = 0
    faults: int = 0
    first: list[Fault] = field(default_factory=list)

    def __call__(self, faults: Sequence[Fault]) -> None:
        """Note what is wrong with one row."""
        self.rows += 1
        self.faults += len(faults)
        self.first += faults[: BAD_ROWS_KEPT - len(self.first)]
        for fault in faults:
            self.on_fault(fault)


class _Undone(Exception):
    """The import is to leave no trace; it ends the transaction and goes no further."""


def import_rows(
    database: Database,
    sheet: Sheet,
    this: Import,
    *,
    on_fault: OnFault = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    """Import the rows of a file and return what that came to.

    `on_fault` is called with everything that is wrong with a row, `progress` with how many rows are done. One row
    that is refused keeps all others out, unless the import is to skip bad ones.
    Raises `Invalid` when the file as a whole cannot be read, `LeaseHeld` when signals are to be imported while the
    pipeline runs.
    """
    renames = {**sheet.renames, **this.renames}
    choice = choose(
        sheet.columns,
        type_name=this.type_name,
        renames=renames,
        is_regular=sheet.is_regular,
        wording=this.wording,
    )
    ranks = feed.ranks(feed.discover())
    _check_label(this, reserved=ranks if choice.type.is_signal else {})
    known = _known(database, this)
    reader = RowReader(choice, renames, known)
    refusals = _Refusals(on_fault)
    is_stored = True
    try:
        with _writing(database, choice, known, ranks, this) as (transaction, writer):
            read = _store(sheet, reader, writer, refusals, progress, this.most_rows)
            changed = writer.counts.stored + writer.counts.updated
            if this.dry_run or not changed or (refusals.rows and not this.skip_bad):
                raise _Undone
            if isinstance(writer, SignalWriter):
                _record(transaction, writer, this, read, refusals)
    except _Undone:
        is_stored = False
    return _report(choice, this, writer.counts, refusals, read=read, is_stored=is_stored)


def _store(
    sheet: Sheet,
    reader: RowReader,
    writer: ObjectWriter | SignalWriter,
    refusals: _Refusals,
    progress: Callable[[int], None],
    most: int | None,
) -> int:
    """Read and store every row, a part at a time, and return how many there were, `most` at the most."""
    read = 0
    while part := list(islice(sheet.rows, _PART)):
        if most is not None and read + len(part) > most:
            raise Invalid(f"There are more than {most:,} rows. Send fewer at a time, or use `pylon import`.")
        said = [reader.read(row) for row in part]
        for faults in (one for one in said if isinstance(one, list)):
            refusals(faults)
        writer.store([one for one in said if isinstance(one, Good)], refusals)
        read += len(part)
        progress(read)
    if read == 0:
        raise Invalid("The file has no rows. It needs one at least, below the names of its columns.")
    return read


def _check_label(this: Import, *, reserved: Container[str]) -> None:
    """Raise `Invalid` for a label that does not fit, or that is what a source of the grid calls its values."""
    if not LABEL.fullmatch(this.label):
        raise Invalid(
            f"The label {shown(this.label)} is not valid. It must have at most 43 letters, digits, spaces, dots, "
            f"dashes or underscores, and begin with a letter or a digit. Give another: {this.wording.label}."
        )
    if this.label.casefold() in reserved:
        raise Invalid(
            f"The label {shown(this.label)} is what a source of Pylon's own calls its values, and these are not "
            f"that source's. Give another: {this.wording.label}."
        )


def _known(database: Database, this: Import) -> Known:
    with database.as_reader(this.operator_id) as transaction:
        centres = objects.read(transaction, DataCentre, operator_id=this.operator_id)
        regions = transaction.all("regions")
    return Known(
        operator_id=this.operator_id,
        import_id=this.import_id,
        now=this.now,
        centres={centre["dc_id"]: centre["id"] for centre in centres},
        regions=tuple(regions),
    )


@contextmanager
def _writing(
    database: Database, choice: Choice, known: Known, ranks: Mapping[str, int], this: Import
) -> Iterator[tuple[Transaction, ObjectWriter | SignalWriter]]:
    """Open the transaction of the import: the operator's own, or the grid's, where one process writes at a time."""
    if not choice.type.is_signal:
        with database.as_actor(this.operator_id) as transaction:
            # No action comes in between, and what was kept of the fleet in memory is read anew.
            transaction.one("enter_operator", operator_id=this.operator_id, now=this.now)
            yield (
                transaction,
                ObjectWriter(
                    transaction,
                    choice.type,
                    operator_id=this.operator_id,
                    on_existing=this.on_existing,
                    wording=this.wording,
                    now=this.now,
                ),
            )
        return
    with leases.held(database, leases.PIPELINE, this.import_id, this.clock), database.as_ingest() as transaction:
        writer = SignalWriter(
            transaction,
            choice.type,
            label=_label(this),
            ranks=ranks,
            regions={region["id"]: region["region_id"] for region in known.regions},
            run_id=this.import_id,
            now=this.now,
        )
        yield transaction, writer
        leases.hold(transaction, leases.PIPELINE, this.import_id, this.clock())


def _label(this: Import) -> str:
    return f"import:{this.label}"


def _record(transaction: Transaction, writer: SignalWriter, this: Import, read: int, refusals: _Refusals) -> None:
    """Keep a record of the import beside the pipeline's own runs, as a run in which one source answered."""
    ingest.refresh_centres(transaction, this.now)
    ended = this.clock()
    counts = writer.counts
    source = SourceReport(
        name=_label(this),
        title=f"Import of {this.name}",
        data_source=_label(this),
        is_simulated=False,
        licence="the importer's",
        attribution=f"{this.name}, imported",
        outcome=Outcome.OK,
        rows_seen=read,
        rows_written=counts.stored + counts.updated,
        rows_unchanged=counts.unchanged,
        rows_rejected=refusals.rows,
        values_withheld=writer.withheld,
        rejected=[Refusal(what=f"line {one.line}", why=one.why) for one in refusals.first[:REFUSALS_KEPT]],
        seconds=(ended - this.now).total_seconds(),
        fetched_at=this.now,
    )
    run = RunReport(
        run_id=this.import_id,
        status=RunStatus.SUCCEEDED,
        trigger="import",
        started_at=this.now,
        finished_at=ended,
        sources=[source],
        vintages_written=writer.vintages,
    )
    row = PipelineRun(
        id=run.run_id,
        status=run.status,
        trigger=run.trigger,
        started_at=run.started_at,
        finished_at=run.finished_at,
        report=run.stored(),
    )
    objects.add_missing(transaction, [row])


def _report(
    choice: Choice, this: Import, counts: Counts, refusals: _Refusals, *, read: int, is_stored: bool
) -> ImportReport:
    is_signal = choice.type.is_signal
    return ImportReport(
        object_type=choice.type.name,
        is_guessed=choice.is_guessed,
        label=_label(this) if is_signal else None,
        dry_run=this.dry_run,
        is_stored=is_stored,
        run_id=this.import_id if is_signal and is_stored else None,
        rows_read=read,
        rows_new=counts.stored,
        rows_changed=counts.updated,
        rows_stored=counts.stored if is_stored else 0,
        rows_updated=counts.updated if is_stored else 0,
        rows_unchanged=counts.unchanged,
        rows_skipped=counts.skipped,
        rows_kept=counts.kept,
        rows_blank=counts.blank,
        rows_refused=refusals.rows,
        faults=refusals.faults,
        bad_rows=refusals.first,
    )
