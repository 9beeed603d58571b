"""The command `pylon signals`: what is held of each series, and one of them drawn in the terminal.

Like every command it imports what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pylon.errors import Invalid
from pylon.interfaces.instants import of_option

if TYPE_CHECKING:
    from pylon.settings import Settings

__all__ = ["add_signals"]

_CELLS = 78
"""As wide as a line of blocks is drawn: it fits the usual terminal."""

out = Console(highlight=False)

_Name = Annotated[str | None, typer.Argument(help="A series, e.g. national.demand_mw; all are listed without.")]
_From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", help="First half hour, e.g. 2026-11-22 (UTC) or 2026-11-22T09:00Z; or this one."
    ),
]
_To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="End, excluded; 48 hours after if not given.")
]
_AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="Show what was known then, e.g. 2026-11-22T09:00Z.")
]


def add_signals(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the command to `app`; `settings` loads them."""

    @app.command()
    def signals(name: _Name = None, start: _From = None, end: _To = None, as_of: _AsOf = None) -> None:
        """List the signals that are held, or show one half hour by half hour, as it is or as it was known."""
        from pylon.interfaces import runtime, signals_tables
        from pylon.services.list_signals import list_signals
        from pylon.services.read_signal import read_signal

        first, last, moment = of_option("--from", start), of_option("--to", end), of_option("--as-of", as_of)
        if name is None and (first or last or moment):
            raise Invalid(
                "Name the signal whose span is asked for. Without a name all are listed: `pylon signals`."
            )
        with runtime.opened(settings(), may_create=False) as here:
            if name is None:
                out.print(signals_tables.signals_table(list_signals(here.database, here.clock())))
                out.print("`pylon signals NAME` shows one, with all its sources.")
                return
            now = here.clock()
            reading = read_signal(here.database, here.operator_id, name, now, start=first, end=last, as_of=moment)
            held = next(one for one in list_signals(here.database, now).signals if one.name == name)
        values = [row.value for row in reading.values]
        if any(value is not None for value in values):
            out.print(signals_tables.sparkline(values, _CELLS))
            out.print(signals_tables.signal_table(reading))
        for line in signals_tables.signal_notes(reading):
            out.print(escape(line))
        if reading.is_latest and held.sources:
            out.print(escape(signals_tables.held_note(held)))
