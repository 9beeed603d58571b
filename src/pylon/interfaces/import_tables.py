"""Tables of an import for the terminal: what became of its rows, and what is wrong with those refused."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from pylon.services.import_rows import Fault, ImportReport

__all__ = ["counts_table", "faults_table", "heading", "outcome"]


def heading(done: ImportReport) -> str:
    """Return what the rows are: their type, who said so, and the label of signals."""
    told = " (the only type with these columns)" if done.is_guessed else ""
    label = f", labelled {done.label}" if done.label else ""
    return f"Rows of {done.object_type}{told}{label}"


def counts_table(done: ImportReport, *, skip_bad: bool) -> Table:
    """Return how many rows were read, and what became of them or, where nothing was stored, would have."""
    table = _table()
    table.add_column("rows")
    table.add_column("", justify="right")
    stored, updated = "stored", "updated"
    if done.rows_refused and not skip_bad:
        stored, updated = "good, new", "good, changed"
    elif done.dry_run:
        stored, updated = "would be stored", "would be updated"
    counts = {
        "read": done.rows_read,
        stored: done.rows_new,
        updated: done.rows_changed,
        "unchanged": done.rows_unchanged,
        "refused": done.rows_refused,
    }
    where_any = {
        "skipped: there with other values": done.rows_skipped,
        "kept: a source of the grid has them": done.rows_kept,
        "without a value": done.rows_blank,
    }
    for what, number in {**counts, **{what: number for what, number in where_any.items() if number}}.items():
        table.add_row(what, f"{number:,}")
    return table


def faults_table(faults: Sequence[Fault]) -> Table:
    """Return what is wrong with the rows refused, in the order of the file."""
    table = _table()
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("column", overflow="fold")
    table.add_column("value", overflow="fold")
    table.add_column("why", overflow="fold")
    for fault in faults:
        table.add_row(f"{fault.line}", *(escape(text) for text in (fault.column, fault.value, fault.why)))
    return table


def outcome(done: ImportReport) -> str:
    """Return, in a sentence or two, what the import came to."""
    mend = " Mend what was refused, or import the other rows with --skip-bad." if done.rows_refused else ""
    if done.dry_run:
        return f"A dry run: nothing was stored.{mend}"
    if not done.is_stored and not mend:
        return "Nothing was stored: the file says nothing new."
    if not done.is_stored and done.rows_new + done.rows_changed == 0 < done.rows_unchanged:
        return "Nothing was stored: the rows that are good say nothing new."
    if not done.is_stored:
        return f"Nothing was stored.{mend}"
    run = f" as run {done.run_id}" if done.run_id else ""
    return f"Stored{run}." + (" The rows refused were left out." if done.rows_refused else "")


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
