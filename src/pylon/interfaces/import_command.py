"""The command `pylon import`: one file in, and on the terminal what became of its rows.

Like every command it imports what it needs when it runs.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from pylon.errors import Invalid

if TYPE_CHECKING:
    from pylon.interfaces.runtime import Runtime
    from pylon.services.import_rows import Fault, ImportReport
    from pylon.settings import Settings
    from pylon.sources.files import Sheet

__all__ = ["ROWS_A_LINE", "add_import", "label_of", "rows_told"]

ROWS_A_LINE = 100_000
"""How many rows are read between two lines of progress where there is no terminal."""

_FAULTS_SHOWN = 20
_LONGEST_LABEL = 43
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


_File = Annotated[Path, typer.Argument(help="A .csv, .json, .jsonl or .parquet file.", show_default=False)]
_Type = Annotated[
    str | None, typer.Option("--type", help="Object type of the rows; told by the columns if not given.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Store nothing; say what would happen.")]
_Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="THEIRS=OURS", help="Read a column as one of Pylon's. May be repeated."),
]
_OnExisting = Annotated[
    Literal["update", "skip", "fail"],
    typer.Option("--on-existing", help="What becomes of rows that are stored with other values."),
]
_SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Store the other rows when some are refused.")]
_Label = Annotated[
    str | None,
    typer.Option(
        "--label", metavar="NAME", help="Signals are labelled import:NAME; by the file's name if not given."
    ),
]
_Report = Annotated[Path | None, typer.Option("--report", help="Write all that is refused to this file, as CSV.")]


def add_import(app: typer.Typer, settings: Callable[[], Settings], say: Callable[[str, str], None]) -> None:
    """Add the command to `app`; `settings` loads them, `say` tells how the database is being opened."""

    @app.command(name="import")
    def import_file(
        file: _File,
        type_name: _Type = None,
        dry_run: _DryRun = False,
        renames: _Map = None,
        on_existing: _OnExisting = "fail",
        skip_bad: _SkipBad = False,
        label: _Label = None,
        report: _Report = None,
    ) -> None:
        """Import a fleet, batteries, tariffs, workloads or signals of the grid: all rows or, if one is bad, none.

        The columns are the object type's own: docs/how-to/import-your-own-data.md has an example of each.
        """
        from pylon.interfaces import runtime
        from pylon.sources import files

        asked = {"type_name": type_name, "dry_run": dry_run, "renames": _pairs(renames or []), "skip_bad": skip_bad}
        asked |= {"label": label_of(file) if label is None else label, "name": file.name}
        with (
            files.opened(file) as sheet,
            _report_file(report, file) as note,
            runtime.opened(settings(), say=say) as here,
        ):
            done = _imported(here, sheet, note, on_existing=on_existing, **asked)
        _print(done, skip_bad=skip_bad)
        if done.rows_refused and not skip_bad:
            raise typer.Exit(1)


def label_of(file: Path) -> str:
    """Return the name of a file as a label: what a label cannot have becomes a dash."""
    label = re.sub(r"[^A-Za-z0-9_. -]", "-", file.stem).lstrip("_. -")[:_LONGEST_LABEL]
    return label or "file"


def _pairs(given: Sequence[str]) -> dict[str, str]:
    for pair in given:
        if not all(part.strip() for part in pair.partition("=")):
            raise Invalid(
                f"--map {pair!r:.60} is not valid. Give your column's name, =, and Pylon's: --map site=dc_id."
            )
    return {theirs.strip(): ours.strip() for theirs, _, ours in (pair.rpartition("=") for pair in given)}


@contextmanager
def _report_file(path: Path | None, source: Path) -> Iterator[Callable[[Fault], None]]:
    """Open the file of all refusals and yield what writes one to it; without a path, what does nothing."""
    if path is None:
        yield lambda _: None
        return
    if path.exists() and path.samefile(source):
        raise Invalid("--report names the file that is to be imported. Name another.")
    try:
        stream = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise Invalid(f"--report {path} cannot be written: {error.strerror}.") from None
    with stream:
        writer = csv.writer(stream)
        writer.writerow(["line", "column", "value", "why"])
        # The column and the value are whoever's wrote the file: a spreadsheet must not take them for formulas.
        yield lambda fault: writer.writerow(
            [
                fault.line,
                *(f"'{text}" if text.startswith(_FORMULA) else text for text in (fault.column, fault.value)),
                fault.why,
            ]
        )


def _imported(
    here: Runtime, sheet: Sheet, note: Callable[[Fault], None], *, on_existing: str, **asked: Any
) -> ImportReport:
    from pylon.ontology.identity import uuid7
    from pylon.services.import_rows import Import, OnExisting, import_rows
    from pylon.services.import_types import Wording

    now = here.clock()
    this = Import(
        import_id=uuid7(now, os.urandom(10)),
        operator_id=here.operator_id,
        now=now,
        clock=here.clock,
        on_existing=OnExisting(on_existing),
        wording=Wording(type="--type", label="--label NAME", on_existing="--on-existing update or skip"),
        **asked,
    )
    with rows_told(sheet, err) as progress:
        return import_rows(here.database, sheet, this, on_fault=note, progress=progress)


@contextmanager
def rows_told(sheet: Sheet, console: Console) -> Iterator[Callable[[int], None]]:
    """Yield what tells of how many rows are done: a line that moves or, where that cannot be, one now and then."""
    if not console.is_terminal:
        yield lambda rows: _say_rows(rows, console)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=sheet.size, rows=0)
        yield lambda rows: bar.update(task, completed=sheet.done(), rows=rows)


def _say_rows(rows: int, console: Console) -> None:
    if rows and rows % ROWS_A_LINE == 0:
        console.print(f"{rows:,} rows read", soft_wrap=True)


def _print(done: ImportReport, *, skip_bad: bool) -> None:
    from pylon.interfaces import import_tables

    out.print(import_tables.heading(done), soft_wrap=True)
    out.print(import_tables.counts_table(done, skip_bad=skip_bad))
    if done.bad_rows:
        out.print(import_tables.faults_table(done.bad_rows[:_FAULTS_SHOWN]))
        if done.faults > _FAULTS_SHOWN:
            out.print(f"... and {done.faults - _FAULTS_SHOWN:,} more; --report FILE writes all of them.")
    out.print(escape(import_tables.outcome(done)), soft_wrap=True)
