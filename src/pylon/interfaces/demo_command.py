"""The command `pylon demo`: a day of a simulated fleet on a simulated grid, in a minute or two.

Like every command it imports what it needs when it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pylon.interfaces.options import number, whole_number

if TYPE_CHECKING:
    from pylon.interfaces.demo import DrivenClock, Step
    from pylon.interfaces.runtime import Runtime
    from pylon.settings import Settings

__all__ = ["add_demo", "progress_line"]

out = Console(highlight=False)

_WIDE = 110
"""Columns of a terminal that has room for a bar of progress."""

_KG_PER_TONNE = 1000

_Hours = Annotated[int, whole_number("--hours", least=1, most=168, says="How many hours, up to now.")]
_Fast = Annotated[bool, typer.Option("--fast", help="As fast as this machine can.")]
_Pace = Annotated[
    float, number("--pace", least=0, most=3600, says="Seconds that one simulated hour takes at least.")
]


def add_demo(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the command to `app`; `settings` loads them."""

    @app.command()
    def demo(hours: _Hours = 24, fast: _Fast = False, pace: _Pace = 10.0) -> None:
        """Show a day in a minute or two: workloads arrive, agents decide, work runs, and the books are checked.

        Everything is simulated, in a database of its own (PYLON_HOME/demo), which each demo makes anew.
        """
        from pylon.interfaces import demo as demos
        from pylon.interfaces import interrupts, runtime
        from pylon.store import embedded

        interrupts.stop_on_terminate()
        own = demos.demo_settings(settings())
        now = runtime.utc_now()
        at = demos.moments(now, hours)
        clock = demos.DrivenClock(at[0])
        embedded.destroy(own.home)
        out.print(
            f"[bold]Simulated[/]: a made-up grid and fleet from {at[0]:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} UTC."
        )
        with runtime.opened(own, clock) as here:
            decided = _drive(here, clock, at, 0.0 if fast else pace)
            clock.now = now
            _close(here, decided, now)


def _drive(here: Runtime, clock: DrivenClock, at: list[datetime], pace_s: float) -> list[Step]:
    """Drive the clock, and show how it goes."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from pylon.interfaces import demo

    steps: list[Step] = []
    moving = (BarColumn(20), TimeElapsedColumn()) if out.width >= _WIDE else ()
    columns = (TextColumn("{task.fields[at]}"), *moving, TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=out) as progress:
        bar = progress.add_task("demo", total=len(at), at=f"{at[0]:%d %b %H:%M}", said="")
        began = time.monotonic()
        for step in demo.course(here, clock, at):
            steps.append(step)
            progress.update(bar, advance=1, at=f"{step.at:%d %b %H:%M}", said=progress_line(steps))
            time.sleep(max(0.0, pace_s / 2 - (time.monotonic() - began)))
            began = time.monotonic()
    return steps


def progress_line(steps: list[Step]) -> str:
    """Return how it stands: work done, its energy and its savings are those of the report."""
    running = sum(step.executed.started - step.executed.completed for step in steps)
    totals = steps[-1].totals
    done = sum(total.completed for total in totals)
    mwh = sum(total.energy_kwh or 0 for total in totals) / 1000
    kg = float(sum(total.carbon_saved_g or 0 for total in totals)) / 1000
    saved = f"{kg / _KG_PER_TONNE:,.1f} t" if abs(kg) >= _KG_PER_TONNE else f"{kg:,.0f} kg"
    decisions = sum(len(step.decisions) for step in steps)
    return f"{decisions:,} decisions, {running:,} running, {done:,} done: {mwh:,.1f} MWh, {saved} CO2 saved"


def _close(here: Runtime, steps: list[Step], now: datetime) -> None:
    """Print what came of it: decisions by type, the report, the check of the log, examples, and what to do next."""
    from collections import Counter

    from pylon.interfaces import demo
    from pylon.interfaces.plan_tables import plan_line
    from pylon.interfaces.report_command import print_report
    from pylon.services.verify_log import verify

    decisions = [decision for step in steps for decision in step.decisions]
    kinds = Counter(decision.decision_type.value for decision in decisions)
    out.print("Decisions: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()) + ".")
    for error in dict.fromkeys(error for step in steps for error in step.errors):
        out.print(f"[red]An agent failed:[/] {escape(error)}")
    out.print(f"The last plan of the whole fleet: {escape(plan_line(steps[-1].plan))}.")
    print_report(demo.books(here, steps[0].at, now))
    out.print(demo.storage_line(steps))
    found = verify(here.database, here.operator_id)
    verdict = (
        "intact" if found.is_intact else f"[red]broken: {escape(found.fault.detail if found.fault else '')}[/]"
    )
    out.print(f"The log: {found.checked:,} of {found.decisions:,} decisions checked, {verdict}.")
    for decision in demo.examples(decisions):
        out.print(f"[bold]{decision.decision_id} {decision.decision_type.value}[/]: {escape(decision.reasoning)}")
    out.print("All of this is simulated. Look at it, and let it go on:")
    home = escape(str(here.settings.home))
    out.print(f"  PYLON_HOME={home} PYLON_GRID=simulated pylon serve", soft_wrap=True)
