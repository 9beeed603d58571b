"""Tables for the terminal: what is held, how the sources fared, and the latest runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.table import Table

from pylon.services.reports import Outcome, RunReport, SourceReport
from pylon.services.status import Status
from pylon.services.take_stock import Holding

__all__ = ["ago", "attributions", "faults", "runs_table", "sources_table", "stock_table"]

_TITLES = {
    ("GridSignal", "carbon"): "National carbon",
    ("GridSignal", "demand"): "National demand",
    ("GridSignal", "mix"): "National mix",
    ("GridSignal", "price"): "Wholesale price",
    ("GridSignal", "stress"): "Grid stress",
    ("RegionalGridSignal", "carbon"): "Regional carbon",
    ("CarbonFactor", "factors"): "Carbon factors",
    ("DataCentre", ""): "Your data centres",
    ("StorageAsset", ""): "Your storage assets",
    ("Agent", ""): "Your agents",
    ("ComputeWorkload", ""): "Your workloads",
}
_UNITS = {"GridSignal": "half hours", "RegionalGridSignal": "half hours"}


def stock_table(status: Status) -> Table:
    """Return what is held: how much, from where, how old, and what of it is simulated."""
    table = _table("What Pylon holds: now and the 48 hours ahead")
    for heading in ("what", "held", "from", "last change", "simulated"):
        table.add_column(heading, justify="right" if heading in ("held", "last change") else "left")
    for holding in status.stock:
        changed = holding.changed_at
        table.add_row(
            _TITLES.get((holding.object_type, holding.quantity), holding.object_type),
            f"{holding.rows:,} {_UNITS.get(holding.object_type, '')}".strip(),
            holding.source,
            "" if changed is None else ago(status.as_of - changed),
            _badge(holding),
        )
    return table


def sources_table(report: RunReport) -> Table:
    """Return how each source fared in one run: rows seen, written, unchanged and refused, half hours missing."""
    table = _table(f"Sources in the run of {report.started_at:%Y-%m-%d %H:%M} UTC: {report.status.value}")
    table.add_column("source", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for heading in ("seen", "written", "same", "refused", "gaps"):
        table.add_column(heading, justify="right", no_wrap=True)
    for source in report.sources:
        table.add_row(*_source_row(source))
    return table


def runs_table(runs: Sequence[RunReport], now: datetime) -> Table:
    """Return the latest runs, newest first."""
    table = _table("Latest runs")
    for heading in ("started (UTC)", "trigger", "status", "rows written", "ago"):
        table.add_column(heading, justify="right" if heading in ("rows written", "ago") else "left")
    for run in runs:
        table.add_row(
            f"{run.started_at:%Y-%m-%d %H:%M:%S}",
            run.trigger,
            run.status.value,
            f"{run.rows_written:,}",
            ago(now - run.started_at),
        )
    return table


def faults(report: RunReport, now: datetime) -> Iterator[str]:
    """Yield one line for each thing a person may want to look into."""
    for source in report.sources:
        if source.fault:
            age = source.age(now)
            since = "never answered" if age is None else f"last answered {ago(age)} ago"
            yield f"{source.title} ({since}): {source.fault['detail']}"
        for refusal in source.rejected[:3]:
            yield f"{source.title}: refused {refusal.what}: {refusal.why}"
        for gap in source.gaps[:3]:
            yield (
                f"{source.title}: {gap.half_hours} half hours missing, "
                f"{gap.start:%Y-%m-%d %H:%M} to {gap.end:%Y-%m-%d %H:%M} UTC"
            )
    if report.error:
        yield str(report.error["detail"])


def attributions(report: RunReport) -> Iterator[str]:
    """Yield the attribution of each real source whose data are held, once."""
    answered = [source for source in report.sources if not source.is_simulated and source.fetched_at]
    yield from dict.fromkeys(f"Data: {source.attribution}" for source in answered)


def ago(span: timedelta) -> str:
    """Return a span as people say it: 40 s, 12 min, 3 h, 2 days."""
    seconds = max(0, round(span.total_seconds()))
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _source_row(source: SourceReport) -> tuple[str, ...]:
    is_ok = source.outcome is Outcome.OK
    numbers = (
        source.rows_seen,
        source.rows_written,
        source.rows_unchanged,
        source.rows_rejected,
        source.half_hours_missing,
    )
    return (
        source.title,
        f"ok {source.seconds:.1f} s" if is_ok else "[red]none[/]",
        *(f"{number:,}" if is_ok else "" for number in numbers),
    )


def _badge(holding: Holding) -> str:
    return "[yellow]yes[/]" if holding.is_simulated else "no"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
