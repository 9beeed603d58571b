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

if TYPE_CHECKING:
    from datetime import datetime

    from pylon.settings import Settings

__all__ = ["add_signals"]

_CELLS = 78
"""As wide as a line of blocks is drawn: it fits the usual terminal."""

out = Console(highlight=False)

_Name = Annotated[str | None, typer.Argument(help="A series, e.g. national.demand_mw; all are listed without.")]
_From = Annotated[str | None, typer.Option("--from", help="First half hour; this one if not given.")]
_To = Annotated[str | None, typer.Option("--to", help="End, excluded; 48 hours after if not given.")]
_AsOf = Annotated[str | None, typer.Option("--as-of", help="Show what was known at this time.")]


def add_signals(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the command to `app`; `settings` loads them."""

    @app.command()
    def signals(name: _Name = None, start: _From = None, end: _To = None, as_of: _AsOf = None) -> None:
        """List the signals that are held, or show one half hour by half hour, as it is or as it was known."""
        from pylon.interfaces import runtime, tables
        from pylon.services.list_signals import list_signals
        from pylon.services.read_signal import read_signal

        first, last, moment = _instant("--from", start), _instant("--to", end), _instant("--as-of", as_of)
        if name is None and (first or last or moment):
            raise Invalid(
                "Name the signal whose span is asked for. Without a name all are listed: `pylon signals`."
            )
        with runtime.opened(settings(), may_create=False) as here:
            if name is None:
                out.print(tables.signals_table(list_signals(here.database, here.clock())))
                return
            reading = read_signal(
                here.database, here.operator_id, name, here.clock(), start=first, end=last, as_of=moment
            )
        out.print(tables.sparkline([row.value for row in reading.values], _CELLS))
        out.print(tables.signal_table(reading))
        for line in tables.signal_notes(reading):
            out.print(escape(line), soft_wrap=True)


def _instant(option: str, text: str | None) -> datetime | None:
    from pylon.interfaces.instants import instant

    try:
        return instant(text)
    except ValueError as fault:
        raise Invalid(f"{option} {fault}.") from None
