"""The command `pylon decide`: one round of the agents, with what was decided and why.

Like every command it imports what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pylon.interfaces.options import whole_number

if TYPE_CHECKING:
    from pylon.services.run_agents import Round
    from pylon.settings import Settings

__all__ = ["add_decide", "print_round"]

out = Console(highlight=False)

_Limit = Annotated[int, whole_number("--limit", least=0, says="Show this many of the decisions.")]


def add_decide(app: typer.Typer, settings: Callable[[], Settings], say: Callable[[str, str], None]) -> None:
    """Add the command to `app`; `settings` loads them, `say` is told what each agent did."""

    @app.command()
    def decide(limit: _Limit = 20) -> None:
        """Let every agent decide once on what is loaded, and print what was decided and why."""
        from pylon.interfaces import interrupts, runtime

        interrupts.stop_on_terminate()
        with runtime.opened(settings(), may_create=False) as here:
            done = here.decide("command", say)
        print_round(done, limit)
        if any(turn.error for turn in done.turns):
            raise typer.Exit(1)


def print_round(done: Round, limit: int) -> None:
    """Print a round: a table of at most `limit` decisions, and what a reader must know about it."""
    from pylon.interfaces import decide_tables

    if done.decisions and limit:
        out.print(decide_tables.round_table(done, limit))
    for line in decide_tables.round_lines(done, limit):
        out.print(escape(line))
