"""The command `pylon backtest`: what Pylon would have saved over recorded half hours.

Like every command it imports what it needs when it runs. It needs no database.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pylon.errors import Invalid
from pylon.interfaces.days import day
from pylon.interfaces.options import whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

__all__ = ["add_backtest"]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_Data = Annotated[Path, typer.Option("--data", help="Folder of recorded half hours, CSV (also .gz) or Parquet.")]
_From = Annotated[
    str | None,
    typer.Option("--from", metavar="DAY", help="First London day, e.g. 2023-03-06; or the first there is."),
]
_To = Annotated[str | None, typer.Option("--to", metavar="DAY", help="End, excluded; or the last there is.")]
_Workloads = Annotated[float, typer.Option("--workloads", help="How many simulated workloads arrive a week.")]
_Seed = Annotated[int, whole_number("--seed", least=0, says="Of everything simulated: the same gives the same.")]
_Workers = Annotated[int, whole_number("--workers", least=1, says="Processes; weeks are made side by side.")]
_Picture = Annotated[
    Path | None, typer.Option("--picture", help="Draw carbon, price and load into this file, .svg or .png.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print every figure of every week as JSON.")]


def add_backtest(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command(name="backtest")
    def backtest_command(
        data: _Data,
        start: _From = None,
        end: _To = None,
        workloads: _Workloads = 2000,
        seed: _Seed = 1,
        workers: _Workers = 2,
        picture: _Picture = None,
        as_json: _Json = False,
    ) -> None:
        """Replay recorded half hours: what Pylon would have saved, beside running at once, greed and foresight."""
        from pylon.services.backtest import run_backtest

        first, last = _midnight("--from", start), _midnight("--to", end)
        if picture:
            _check_picture(picture)
        with _told() as progress:
            found = run_backtest(
                data, start=first, end=last, per_week=workloads, seed=seed, workers=workers, progress=progress
            )
        from pylon.interfaces import backtest_tables

        if as_json:
            typer.echo(json.dumps(backtest_tables.document(found), indent=1))
        else:
            out.print(backtest_tables.backtest_table(found))
            for line in backtest_tables.backtest_notes(found):
                out.print(line)
        if picture:
            from pylon.interfaces.backtest_picture import draw

            draw(found, picture)
            err.print(f"Drawn: {picture}")


def _midnight(option: str, text: str | None) -> datetime | None:
    from pylon.ontology.calendar import midnight

    try:
        given = day(text)
    except ValueError as fault:
        raise Invalid(f"{option} {(text or '')[:60]!r} is not valid: it {fault}.") from None
    return None if given is None else midnight(given)


def _check_picture(path: Path) -> None:
    """Refuse, before the work, what could not be drawn after it."""
    from pylon.interfaces.backtest_picture import check

    check(path)


@contextmanager
def _told() -> Iterator[Callable[[int, int], None]]:
    """Show how many days are done, on the error channel, so that what is printed can be read by a program."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("Days replayed"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("backtest", total=None)
        yield lambda done, of: progress.update(bar, completed=done, total=of)
