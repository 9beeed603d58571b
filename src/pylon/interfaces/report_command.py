"""The command `pylon report`: what ended and what it saved, as a table or as CSV.

Like every command it imports what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pylon.errors import Invalid
from pylon.interfaces.days import day

if TYPE_CHECKING:
    from pylon.services.report import Report
    from pylon.settings import Settings

__all__ = ["add_report", "print_report"]

out = Console(highlight=False)


class _By(StrEnum):
    """As `services.report.By`, which would take a while to import."""

    DAY = "day"
    AGENT = "agent"


_From = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="First London day, e.g. 2026-11-16; or the last seven.")
]
_To = Annotated[str | None, typer.Option("--to", metavar="DAY", help="End, excluded; tomorrow if not given.")]
_ByOption = Annotated[_By, typer.Option("--by", help="What the rows are.")]
_Csv = Annotated[bool, typer.Option("--csv", help="Print the rows as CSV, every figure of the API.")]


def add_report(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the command to `app`; `settings` loads them."""

    @app.command(name="report")
    def report_command(start: _From = None, end: _To = None, by: _ByOption = _By.DAY, csv: _Csv = False) -> None:
        """Report what ended: energy, carbon, cost and signed savings, by day or by agent."""
        from pylon.interfaces import report_tables, runtime
        from pylon.services.report import By, report

        first, last = _day("--from", start), _day("--to", end)
        with runtime.opened(settings(), may_create=False) as here:
            read = report(here.database, here.operator_id, here.clock(), start=first, end=last, by=By(by.value))
        if csv:
            typer.echo(report_tables.csv_text(read), nl=False)
        else:
            print_report(read)


def print_report(read: Report) -> None:
    """Print a report: its tables, and what a reader must know of them."""
    from pylon.interfaces import report_tables

    if not read.rows:
        out.print(
            f"Nothing ended from {read.start} up to {read.end}. `pylon decide` decides what waits; `pylon serve` "
            "runs it."
        )
        return
    for table in report_tables.report_tables(read):
        out.print(table)
    for line in report_tables.report_notes(read):
        out.print(escape(line))


def _day(option: str, text: str | None) -> date | None:
    try:
        return day(text)
    except ValueError as fault:
        raise Invalid(f"{option} {(text or '')[:60]!r} is not valid: it {fault}.") from None
