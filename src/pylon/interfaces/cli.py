"""The command line. Each command imports what it needs when it runs, so that `pylon --help` is quick."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pylon.errors import Invalid, PylonError
from pylon.interfaces.audit_command import add_audit
from pylon.interfaces.backtest_command import add_backtest
from pylon.interfaces.decide_command import add_decide
from pylon.interfaces.demo_command import add_demo
from pylon.interfaces.import_command import add_import
from pylon.interfaces.instants import of_option
from pylon.interfaces.plan_command import add_plan
from pylon.interfaces.report_command import add_report
from pylon.interfaces.signals_command import add_signals
from pylon.interfaces.windows_command import add_windows_command

if TYPE_CHECKING:
    from collections.abc import Iterable
    from socket import socket

    from pylon.interfaces.runtime import Runtime
    from pylon.services.status import Status
    from pylon.settings import Settings

__all__ = ["app", "main"]

app = typer.Typer(
    name="pylon",
    help="Pylon DEG: where and when compute runs, and when batteries move, on Great Britain's grid.\n\n"
    "`pylon up` sets everything up, loads the grid and serves the API. Settings are environment variables: "
    "`pylon settings` lists them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The database: migrate it, look at it, stop it, delete it.", no_args_is_help=True)
app.add_typer(db, name="db")

_INTERRUPTED = 130
"""The exit code after Ctrl-C: Typer ends with it when every block has been left in order."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def main(words: list[str] | None = None) -> None:
    """Run the command line (or `words`); an error of ours is one clear message, and so is Ctrl-C."""
    try:
        app(words, standalone_mode=True)
    except PylonError as error:
        err.print(f"[red bold]{escape(error.title)}[/]\n{escape(error.detail)}")
        sys.exit(2 if isinstance(error, Invalid) else 1)
    except KeyboardInterrupt:
        err.print("Stopped.")
        sys.exit(_INTERRUPTED)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            err.print("Stopped.")
        raise


@app.command()
def up() -> None:
    """Set everything up, load the grid, decide on it, print both, and serve the API with scheduled updates."""
    from pylon.interfaces import first_run, interrupts, runtime, serving, tables

    settings = _settings()
    interrupts.stop_on_terminate()
    with serving.bound(settings) as listener, runtime.opened(settings, say=_say) as here:
        serving.warm_up()
        here.worker.start()
        report = first_run.load(here, _say)
        if report:
            out.print(tables.sources_table(report))
        _print_stock(_status(here), see="; `pylon status` says why")
        if report:
            first_run.decide(here, report, _say)
        _serve(here, listener)
    err.print("Stopped.")


@app.command()
def serve() -> None:
    """Serve the API, and run the pipeline at minutes 12 and 42 (PYLON_SCHEDULE=off serves only)."""
    from pylon.interfaces import interrupts, runtime, serving

    settings = _settings()
    interrupts.stop_on_terminate()
    with serving.bound(settings) as listener, runtime.opened(settings, say=_say) as here:
        serving.warm_up()
        _serve(here, listener)
    err.print("Stopped.")


@app.command()
def pipeline(
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Ask for everything from then on, e.g. 2026-11-01 (UTC)."),
    ] = None,
) -> None:
    """Run the pipeline once: ask every source, store what came, and report."""
    from pylon.interfaces import interrupts, runtime, tables
    from pylon.ontology.enums import RunStatus

    start = of_option("--since", since)
    settings = _settings()
    interrupts.stop_on_terminate()
    with runtime.opened(settings, say=_say) as here:
        report = here.run_pipeline("command", _say, start)
        out.print(tables.sources_table(report))
        _print_lines(tables.faults(report, here.clock()))
        _print_stock(_status(here))
        out.print(f"{report.rows_written:,} rows written; run {report.run_id}, {report.status.value}.")
        if report.synthetic and report.synthetic.workloads_arrived:
            out.print("Nothing was decided about what arrived: `pylon decide` does, and `pylon serve` by itself.")
        if report.status is RunStatus.FAILED:
            raise typer.Exit(1)


add_import(app, lambda: _settings(), lambda title, outcome: _say(title, outcome))
add_signals(app, lambda: _settings())
add_windows_command(app, lambda: _settings())
add_report(app, lambda: _settings())
add_plan(app, lambda: _settings())
add_decide(app, lambda: _settings(), lambda title, outcome: _say(title, outcome))
add_demo(app, lambda: _settings())
add_audit(app, lambda: _settings())
add_backtest(app)


@app.command()
def status() -> None:
    """Show the latest runs, how each source fared, what is held, and how old it is."""
    from pylon.interfaces import runtime, tables

    with runtime.opened(_settings(), may_create=False) as here:
        state = _status(here)
        now = state.as_of
        out.print(f"Database: {escape(here.access.place)}")
        if not state.readiness.ready:
            out.print(f"[yellow]{state.readiness.reason}[/]")
        elif state.readiness.stale:
            out.print("[yellow]The data are old: is `pylon serve` running, or its timetable off?[/]")
        if state.runs:
            out.print(tables.runs_table(state.runs, now))
        out.print(tables.states_table(state.sources, state.runs[0] if state.runs else None, now))
        _print_lines(tables.source_notes(state.sources))
        _print_lines(line for run in state.runs[:1] for line in tables.refusals(run))
        _print_stock(state)


@app.command()
def settings() -> None:
    """List every setting: its variable, its present value, its default and what it does."""
    from pylon.interfaces.inspection import settings_table

    out.print(settings_table(_settings()))


@app.command()
def doctor() -> None:
    """Check everything Pylon needs, and say what to do about what is missing."""
    from pylon.interfaces.inspection import Verdict, findings

    worst = 0
    marks = {Verdict.GOOD: "[green]ok  [/]", Verdict.NOTE: "[yellow]note[/]", Verdict.BAD: "[red]bad [/]"}
    for finding in findings(_settings()):
        out.print(f"{marks[finding.verdict]} {finding.subject}: {escape(finding.detail)}", soft_wrap=True)
        worst = max(worst, finding.verdict is Verdict.BAD)
    raise typer.Exit(int(worst))


@app.command()
def purge(
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Remove the simulated fleet and its workloads.")
    ] = False,
) -> None:
    """Remove generated data. Says what to remove: today, --synthetic."""
    from pylon.interfaces import runtime
    from pylon.services import synthesise

    if not synthetic:
        raise Invalid("Say what to remove. Valid: `pylon purge --synthetic`.")
    settings = _settings()
    with runtime.opened(settings, may_create=False) as here:
        removed = synthesise.purge(here.database, here.operator_id)
    for what, number in removed.items():
        out.print(f"{number:>6,} simulated {what} removed")
    if settings.synthetic == "on":
        out.print(
            "Set PYLON_SYNTHETIC=off, or enter a data centre of your own: else the next run makes a fleet again."
        )


@app.command(hidden=True)
def derive(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail when a file is stale.")] = False,
) -> None:
    """Write the files that follow from the ontology: schema/ and docs/reference/. For work on Pylon itself."""
    from pathlib import Path

    from pylon.interfaces import derived_files

    root = Path.cwd()
    changed = derived_files.stale(root) if check else derived_files.write(root)
    for path in changed:
        out.print(f"{'not current' if check else 'written'}: {path}")
    if check and changed:
        raise Invalid("Derived files are not current. Run `pylon derive` and commit what it writes.")


@db.command()
def migrate(
    login: Annotated[
        str | None,
        typer.Option("--login", help="Also let this role of the database serve, with no rights of its own."),
    ] = None,
) -> None:
    """Apply the migrations the database lacks; the Supabase CLI's `db push` does the same."""
    from pylon.store import access, migrations

    with access.reach(_settings()) as way_in:
        applied = access.migrate(way_in, lambda done: out.print(f"applied {done.version}_{done.name}"))
        if login:
            migrations.grant_roles(way_in.owner, login)
            out.print(f"{escape(login)} may now serve: DATABASE_URL can name it in place of the owner.")
    out.print(f"{len(applied)} applied; {escape(way_in.place)} is up to date.")


@db.command(name="status")
def db_status() -> None:
    """Show where the database is, how large, and which migrations it has."""
    from pylon.store import access, embedded, migrations

    settings = _settings()
    with access.reach(settings) as way_in:
        state = migrations.state(way_in.owner)
        facts = access.inspect(way_in)
        out.print(f"{escape(way_in.place)}: PostgreSQL {facts.major}, {facts.size_bytes / 1e6:.1f} MB")
        if way_in.is_embedded:
            server = embedded.status(settings.home)
            out.print(f"  server process {server.pid}, log {escape(str(server.log_path))}")
    for version in state.applied:
        out.print(f"  [green]applied[/] {version}" + (" (not of this Pylon)" if version in state.unknown else ""))
    for migration in state.pending:
        out.print(f"  [yellow]pending[/] {migration.version}_{migration.name}: run `pylon db migrate`")


@db.command()
def psql(
    command: Annotated[str | None, typer.Option("--command", "-c", help="Run this one statement and end.")] = None,
) -> None:
    """Open psql on the database, as its owner."""
    from pylon.interfaces.inspection import psql_command
    from pylon.store import access

    with access.reach(_settings()) as way_in:
        words, environment = psql_command(way_in, command)
        if command is None:
            out.print("Row security holds for the owner too: docs/how-to/enter-your-own-fleet.md says how to act.")
        # Ctrl-C ends a statement of psql's, not the session.
        signal.signal(signal.SIGINT, lambda _signal, _frame: None)
        # A child, not exec: the embedded server runs while this process holds it.
        raise typer.Exit(subprocess.call(words, env={**os.environ, **environment}))


@db.command()
def stop() -> None:
    """Stop the embedded PostgreSQL now, also when other processes use it. Committed rows are kept."""
    from pylon.store import embedded

    settings = _embedded_settings("stopped")
    stopped = embedded.stop(settings.home)
    out.print("Stopped." if stopped else "It was not running.")


@db.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also when another process uses the database.")] = False,
) -> None:
    """Delete the embedded database and everything in it. This cannot be undone."""
    from pylon.store import embedded

    settings = _embedded_settings("deleted")
    if not yes:
        typer.confirm(f"Delete every row of the database in {settings.home}? This cannot be undone", abort=True)
    existed = embedded.destroy(settings.home, force=force)
    out.print("Deleted. `pylon up` makes a new one." if existed else "There was none.")


def _serve(here: Runtime, listener: socket) -> None:
    from pylon.interfaces import serving

    serving.configure_logging()
    with suppress(KeyboardInterrupt):  # the ordinary end of serving
        serving.serve(
            here, listener, lambda address: out.print(f"[bold]Serving {address}[/]  (docs: {address}/docs)")
        )


def _status(here: Runtime) -> Status:
    from pylon.services.status import status

    return status(here.database, here.operator_id, here.clock())


def _print_stock(state: Status, *, see: str = "") -> None:
    from pylon.interfaces import tables

    out.print(tables.stock_table(state))
    _print_lines(line for run in state.runs[:1] for line in tables.attributions(run))
    ready = state.readiness
    if ready.data_age_s is not None:
        out.print(f"Loaded {tables.ago(timedelta(seconds=ready.data_age_s))} ago." + (" It is old." * ready.stale))
    if ready.not_answering:
        stand_in = any(holding.is_simulated and holding.quantity for holding in state.stock)
        out.print(
            f"No answer from {tables.by_api(ready.not_answering)}{see}."
            + (" Simulated values stand in." if stand_in else "")
        )
    if any(holding.is_simulated for holding in state.stock):
        out.print("Simulated values are made up by Pylon: good for a trial, not for acting on the real grid.")


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        out.print(f"[yellow]![/] {escape(line)}")


def _say(title: str, outcome: str) -> None:
    out.print(f"[green]·[/] {escape(title)}: {escape(outcome)}", soft_wrap=not out.is_terminal)


def _settings() -> Settings:
    from pylon.settings import load, misspelt

    for name, meant in misspelt().items():
        err.print(f"[yellow]{name} is not a setting; did you mean {meant}?[/]")
    return load()


def _embedded_settings(what: str) -> Settings:
    settings = _settings()
    if settings.database_url:
        raise Invalid(
            f"DATABASE_URL (or SUPABASE_DB_URL) is set, so the database is not Pylon's own to be {what}. "
            "Unset it to mean the embedded one."
        )
    return settings
