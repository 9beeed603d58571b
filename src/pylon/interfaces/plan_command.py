"""The command `pylon plan`: the whole fleet planned at once, what it costs, and what stands in the way.

Like every command it imports what it needs when it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from pylon.interfaces.runtime import Runtime
    from pylon.services.list_plans import PlanSummary, WholePlan
    from pylon.services.plan_fleet import PlanProgress
    from pylon.settings import Settings

__all__ = ["add_plan", "print_plan"]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_LOOK_EVERY_S = 0.5
_MOST_LINES = 12

_Name = Annotated[str | None, typer.Argument(metavar="[PLAN]", help="Show this one, e.g. P-000012; make none.")]
_Explain = Annotated[
    bool, typer.Option("--explain", help="Say what it costs, which limits bind, and why workloads are left out.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print the plan as the API gives it.")]


def add_plan(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the command to `app`; `settings` loads them."""

    @app.command()
    def plan(name: _Name = None, explain: _Explain = False, json: _Json = False) -> None:
        """Plan the whole fleet on the newest forecasts, and print the plan beside others and its proven bound.

        Nothing is booked by it: agents carry it out in their next round (`pylon decide`).
        """
        from pylon.interfaces import interrupts, runtime
        from pylon.services import list_plans

        interrupts.stop_on_terminate()
        with runtime.opened(settings(), may_create=False) as here:
            made = _made(here).plan_id if name is None else name
            found = list_plans.plan(here.database, here.operator_id, made)
        if json:
            typer.echo(found.model_dump_json(indent=2))
        else:
            print_plan(found, explain=explain)
        if found.result is None and name is None:
            raise typer.Exit(1)


def print_plan(plan: WholePlan, *, explain: bool = False) -> None:
    """Print a plan: its table, what a reader must know of it, and with `explain` why it is as it is."""
    from pylon.interfaces import plan_tables

    if plan.result is None:
        out.print(f"[yellow]Plan {plan.plan_id} is {plan.status.value}.[/] {escape(plan.error or '')}")
        return
    if plan.workloads:
        out.print(plan_tables.plan_table(plan, plan.result))
        strip = plan_tables.scarcity_strip(plan, plan.result)
        if strip is not None:
            out.print(strip)
    for line in plan_tables.plan_lines(plan):
        out.print(escape(line))
    if explain and plan.workloads:
        _print_why(plan)


def _print_why(plan: WholePlan) -> None:
    from pylon.interfaces import plan_tables
    from pylon.planning.joint import RELAXED

    assert plan.result is not None  # noqa: S101  the caller has looked
    out.print(plan_tables.cost_table(plan.result))
    for line in plan_tables.binding_lines(plan, plan.result, _MOST_LINES):
        out.print(escape(line))
    for line in plan_tables.left_out_lines(plan.result, _MOST_LINES):
        out.print(escape(line))
    for line in plan_tables.storage_lines(plan.result):
        out.print(escape(line))
    for name in plan.result.relaxed:
        out.print(escape(f"The best may be nearer than that says: in the bound {RELAXED[name]}."))


def _made(here: Runtime) -> PlanSummary:
    """Make a plan, or wait for the one that another process works on."""
    from pylon.errors import LeaseHeld
    from pylon.ontology.enums import PlanStatus
    from pylon.services import list_plans

    with _bar() as progress:
        asked = here.request_plan("command")
        while not asked.status.has_ended:
            try:
                if asked.status is PlanStatus.QUEUED:
                    return here.finish_plan(asked, progress)
            except LeaseHeld:
                pass
            time.sleep(_LOOK_EVERY_S)
            told = asked.progress
            if told:
                progress(told["stage"], told["done"], told["of"])
            found = list_plans.find(here.database, here.operator_id, asked.plan_id)
            # One whose process is gone is given up when the next is asked for.
            asked = found if found.status.has_ended else here.request_plan("command")
    return asked


@contextmanager
def _bar() -> Iterator[PlanProgress]:
    """Show how far a plan has come, where somebody looks on."""
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as bar:
        task = bar.add_task("reading the fleet", total=None)

        def progress(stage: str, done: int, of: int) -> None:
            bar.update(task, description=f"planning: {stage}", completed=done, total=of)

        yield progress
