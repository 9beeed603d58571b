"""The commands `pylon audit ...`: check the log of decisions, export it, publish its head, make decisions again.

Like every command they import what they need when they run.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console
from rich.markup import escape

from pylon.errors import Invalid
from pylon.interfaces.options import whole_number

if TYPE_CHECKING:
    from pylon.services.publish_heads import Heads
    from pylon.services.replay import Replayed
    from pylon.services.verify_log import Verification
    from pylon.settings import Settings

__all__ = ["add_audit"]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_HeadsFile = Annotated[
    Path | None,
    typer.Option("--heads", help="File of published heads; chain-heads.jsonl in PYLON_HOME if not given."),
]
_ExportFile = Annotated[
    Path | None, typer.Option("--export", help="Check this exported file; no database is asked.")
]
_Out = Annotated[Path | None, typer.Option("--out", help="File to write; the terminal if not given.")]
_From = Annotated[int, whole_number("--from", least=1, says="Number of the first decision.")]
_WithChecker = Annotated[
    bool, typer.Option("--with-checker", help="Write check_export.py beside it, which checks it without Pylon.")
]
_Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...", help="Decisions and plans, such as D-000012 and P-000003.", show_default=False
    ),
]
_All = Annotated[bool, typer.Option("--all", help="Every decision, and every plan that came to a result.")]
_Last = Annotated[int | None, whole_number("--last", least=1, most=1_000_000_000, says="The last N of each.")]


def add_audit(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the commands to `app`; `settings` loads them."""
    audit = typer.Typer(
        help="The log of decisions: check it, export it, publish its head, make its decisions again.",
        no_args_is_help=True,
    )
    app.add_typer(audit, name="audit")

    @audit.command()
    def verify(heads: _HeadsFile = None, export: _ExportFile = None) -> None:
        """Check the whole log, and that every published head is in it."""
        raise typer.Exit(_check_export(export, heads, settings()) if export else _verify(heads, settings()))

    @audit.command()
    def export(file: _Out = None, first: _From = 1, with_checker: _WithChecker = False) -> None:
        """Write the log as lines of JSON that anyone can check without the database."""
        _export(settings(), file, first, with_checker=with_checker)

    @audit.command()
    def heads() -> None:
        """Publish the present head of the log: append it to chain-heads.jsonl in PYLON_HOME."""
        _publish(settings())

    @audit.command()
    def replay(names: _Names = None, everything: _All = False, last: _Last = None) -> None:
        """Make decisions and plans again from what was kept of them, and compare byte for byte."""
        raise typer.Exit(_replay(settings(), names or [], last, everything=everything))


def _verify(heads: Path | None, settings: Settings) -> int:
    from pylon.interfaces import runtime
    from pylon.services.verify_log import verify

    known = _heads_of(heads, settings)
    with runtime.opened(settings, may_create=False) as here, _told("decisions checked") as progress:
        found = verify(here.database, here.operator_id, known.heads, progress)
    _print(found)
    return 0 if found.is_intact else 1


def _replay(settings: Settings, named: Sequence[str], last: int | None, *, everything: bool) -> int:
    from pylon.interfaces import runtime
    from pylon.services import replay

    if sum((bool(named), everything, last is not None)) != 1:
        raise Invalid(
            "Say what to make again, in one way: names such as D-000012 and P-000003, or --last N, or --all."
        )
    found: list[Replayed] = []
    with runtime.opened(settings, may_create=False) as here, _told("made again") as progress:
        names = named or replay.names(here.database, here.operator_id, last=last)
        for done, name in enumerate(names, 1):
            found.append(replay.replay(here.database, here.operator_id, name))
            progress(done, len(names))
            if named or not found[-1].is_sound:
                _print_replayed(found[-1])
    if not named:
        _print_count(found)
    return 0 if all(one.is_sound for one in found) else 1


def _print_replayed(one: Replayed) -> None:
    colour = "green" if one.is_sound else "red bold"
    saw = "" if one.input_bytes is None else f" Its input: {one.input_digest}, {one.input_bytes:,} bytes."
    out.print(
        f"{escape(one.name)} [{colour}]{one.verdict.value.replace('_', ' ')}[/]. {escape(one.detail)}{saw}",
        soft_wrap=not out.is_terminal,
    )


def _print_count(found: Sequence[Replayed]) -> None:
    """Print how many came out how; and, by kind, what is kept of what they saw, each input counted once."""
    from pylon.services.replay import Verdict

    counts = Counter(one.verdict for one in found)
    always = (Verdict.SAME, Verdict.DIFFERENT, Verdict.GIVEN)
    shown = [*always, *(one for one in Verdict if one not in always and counts[one])]
    out.print(", ".join(f"{counts[one]:,} {one.value.replace('_', ' ')}" for one in shown))
    for kind in ("decision", "plan"):
        kept = {one.input_digest: one.input_bytes for one in found if one.kind == kind and one.input_bytes}
        if kept:
            size = sum(filter(None, kept.values()))
            out.print(f"Kept of what the {kind}s saw: {len(kept):,} inputs, {size:,} bytes")


def _check_export(export: Path, heads: Path | None, settings: Settings) -> int:
    from pylon.interfaces import check_export
    from pylon.services.publish_heads import HEADS_FILE

    known = heads or settings.home / HEADS_FILE
    return check_export.main([str(export), *([str(known)] if heads or known.exists() else [])])


def _heads_of(path: Path | None, settings: Settings) -> Heads:
    """Return the heads in the file that is named, or in the usual one, which need not be there."""
    from pylon.services.publish_heads import HEADS_FILE, Heads, read_heads

    usual = settings.home / HEADS_FILE
    if path is None and not usual.exists():
        return Heads()
    known = read_heads(path or usual)
    if path is not None and not known.heads:
        raise Invalid(f"--heads {path} holds no head that can be read, so nothing would be held against it.")
    if known.unreadable_lines:
        lines = ", ".join(map(str, known.unreadable_lines[:5]))
        err.print(f"[yellow]![/] {escape(str(path or usual))}: no head can be read in line {lines}", soft_wrap=True)
    return known


def _export(settings: Settings, file: Path | None, first: int, *, with_checker: bool) -> None:
    from pylon.interfaces import check_export, runtime
    from pylon.services.export_log import CHECKER, export_log

    if with_checker and file is None:
        raise Invalid("--with-checker writes beside the export. Say where that goes: --out FILE.")
    with runtime.opened(settings, may_create=False) as here, _told("decisions written") as progress:
        lines = export_log(here.database, here.operator_id, here.clock(), first=first, progress=progress)
        with _written(file) as stream:
            stream.writelines(lines)
    if file is None:
        return
    err.print(f"Written: {escape(str(file))}", soft_wrap=True)
    if with_checker:
        checker = file.with_name(CHECKER)
        shutil.copyfile(str(check_export.__file__), checker)
        err.print(f"Check it with: python {escape(str(checker))} {escape(str(file))}", soft_wrap=True)


@contextmanager
def _written(file: Path | None) -> Iterator[BinaryIO]:
    """Open the file, or standard output."""
    if file is None:
        yield typer.get_binary_stream("stdout")
        return
    try:
        stream = file.open("wb")
    except OSError as error:
        raise Invalid(f"--out {file} cannot be written: {error.strerror}.") from None
    with stream:
        yield stream


def _publish(settings: Settings) -> None:
    from pylon.interfaces import runtime
    from pylon.services.publish_heads import HEADS_FILE, publish_heads

    path = settings.home / HEADS_FILE
    with runtime.opened(settings, may_create=False) as here:
        head = publish_heads(here.database, here.operator_id, path, here.clock())
    if head is None:
        out.print(f"Nothing has been decided since the last head in {escape(str(path))}.", soft_wrap=True)
        return
    out.print(f"Decision {head.seq}: {head.hash}", soft_wrap=True)
    out.print(
        f"Published in {escape(str(path))}. Keep a copy where whoever runs this machine cannot change it.",
        soft_wrap=True,
    )


def _print(found: Verification) -> None:
    if found.fault:
        out.print(
            f"[red bold]The log is not as it was written.[/] {escape(found.fault.detail)}",
            soft_wrap=not out.is_terminal,
        )
        out.print(f"{found.checked:,} of {found.decisions:,} decisions are in order before that.")
    else:
        out.print(
            f"[green]The log is in order:[/] {found.decisions:,} decisions, each following the one before it."
        )
    if found.protected_upto:
        out.print(
            f"Published heads that are where they were: {found.heads_met:,}. The last is that of decision "
            f"{found.protected_upto:,}: any change up to it would be found.",
            soft_wrap=not out.is_terminal,
        )
    if found.unprotected:
        out.print(
            f"Decisions after the last published head: {found.unprotected:,}. Whoever rewrote all of them would "
            "not be found; `pylon audit heads` publishes the present head.",
            soft_wrap=not out.is_terminal,
        )


@contextmanager
def _told(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what tells of progress: a bar on a terminal, elsewhere nothing."""
    if not err.is_terminal:
        yield lambda _done, _of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err, transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
