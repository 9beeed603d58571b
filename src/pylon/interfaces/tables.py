"""Tables for the terminal: what is held, how the sources fared, the latest runs, and signals drawn in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from rich import box
from rich.markup import escape
from rich.table import Table

from pylon.services.list_signals import SignalList, SignalSummary
from pylon.services.list_sources import SourceState
from pylon.services.read_signal import SignalReading
from pylon.services.reports import Outcome, RunReport, SourceReport
from pylon.services.status import Status
from pylon.services.take_stock import Holding
from pylon.sources.feed import SIMULATED

__all__ = [
    "ago",
    "attributions",
    "bar",
    "faults",
    "refusals",
    "runs_table",
    "signal_notes",
    "signal_table",
    "signals_table",
    "source_notes",
    "sources_table",
    "sparkline",
    "states_table",
    "stock_table",
]

_TITLES = {
    ("GridSignal", "carbon"): "National carbon",
    ("GridSignal", "demand"): "National demand",
    ("GridSignal", "mix"): "National mix",
    ("GridSignal", "price"): "Wholesale price",
    ("GridSignal", "system_price"): "System price",
    ("GridSignal", "stress"): "Grid stress",
    ("RegionalGridSignal", "carbon"): "Regional carbon",
    ("CarbonFactor", "factors"): "Carbon factors",
    ("DataCentre", ""): "Your data centres",
    ("StorageAsset", ""): "Your storage assets",
    ("TariffRate", ""): "Your tariff rates",
    ("Agent", ""): "Your agents",
    ("ComputeWorkload", ""): "Your workloads",
}
_UNITS = {"GridSignal": "half hours", "RegionalGridSignal": "half hours"}
_RESULTS = {
    None: "not asked",
    Outcome.OK: "ok",
    Outcome.UNCHANGED: "nothing new",
    Outcome.NOT_DUE: "not due",
    Outcome.FAILED: "[red]none[/]",
}
_SHOWN = 3
"""Of each kind of fault, the first few are said; the API says them all."""

_HEIGHTS = "▁▂▃▄▅▆▇█"
_WIDTHS = "▏▎▍▌▋▊▉█"
_BAR_CELLS = 24
_MOST_HALF_HOURS = 96
"""More than these are shown day by day."""


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


def states_table(states: Iterable[SourceState], report: RunReport | None, now: datetime) -> Table:
    """Return every source: how it fared in the last run, and what of it is withheld or missing."""
    table = _table(
        "Sources"
        + (f" in the run of {report.started_at:%Y-%m-%d %H:%M} UTC: {report.status.value}" if report else "")
    )
    table.add_column("source", overflow="fold")
    for heading in ("kind", "result"):
        table.add_column(heading, no_wrap=True)
    for heading in ("answered", "withheld", "gaps"):
        table.add_column(heading, justify="right", no_wrap=True)
    for state in states:
        answered = state.last_answered_at
        table.add_row(
            state.title,
            "[yellow]simulated[/]" if state.is_simulated else "real",
            _RESULTS[state.outcome],
            "" if answered is None else f"{ago(now - answered)} ago",
            f"{sum(state.withheld.values()):,}" if _is_asked(state) else "",
            f"{sum(gaps.half_hours for gaps in state.gaps):,}" if _is_asked(state) else "",
        )
    return table


def source_notes(states: Iterable[SourceState]) -> Iterator[str]:
    """Yield what a person may want to look into: faults, then what was withheld, then what is missing."""
    for state in filter(_is_asked, states):
        if state.fault:
            since = (
                "never answered"
                if state.age_s is None
                else f"last answered {ago(timedelta(seconds=state.age_s))} ago"
            )
            yield f"{state.title} ({since}): {state.fault}"
        for rule, number in sorted(state.withheld.items()):
            yield f"{state.title}: {number:,} values withheld by the rule {rule}"
        for flag in state.newest_withheld:
            yield f"{state.title}: withheld {flag.series} of {flag.starts_at:%Y-%m-%d %H:%M} UTC: {flag.reason}"
        for lack in state.gaps:
            spans = [f"{gap.start:%m-%d %H:%M} to {gap.end:%m-%d %H:%M}" for gap in lack.gaps[:_SHOWN]]
            more = f" and {len(lack.gaps) - _SHOWN} more" if len(lack.gaps) > _SHOWN else ""
            yield (
                f"{state.title}: no real {lack.quantity} in {lack.half_hours} half hours of the last 7 days: "
                f"{', '.join(spans)}{more} (UTC)"
            )


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
        yield from _refused(source)
        for gap in source.gaps[:_SHOWN]:
            yield (
                f"{source.title}: {gap.half_hours} half hours missing, "
                f"{gap.start:%Y-%m-%d %H:%M} to {gap.end:%Y-%m-%d %H:%M} UTC"
            )
    if report.error:
        yield str(report.error["detail"])


def refusals(report: RunReport) -> Iterator[str]:
    """Yield the rows that a run refused, and why it failed if it did."""
    for source in report.sources:
        yield from _refused(source)
    if report.error:
        yield str(report.error["detail"])


def attributions(report: RunReport) -> Iterator[str]:
    """Yield the attribution of each real source whose data are held, once."""
    answered = [source for source in report.sources if not source.is_simulated and source.fetched_at]
    yield from dict.fromkeys(f"Data: {source.attribution}" for source in answered)


def signals_table(held: SignalList) -> Table:
    """Return every signal: what is held of it, from whom, and how many values are withheld if any are."""
    table = _table("Signals: the half hours held (UTC), and who gave them")
    for heading in ("signal", "since", "until"):
        table.add_column(heading, no_wrap=True)
    table.add_column("sources", overflow="fold")
    for signal in held.signals:
        table.add_row(*_signal_row(signal))
    return table


def signal_table(reading: SignalReading) -> Table:
    """Return a signal half hour by half hour, each with a bar; day by day where there are more than 96."""
    values = [row.value for row in reading.values]
    seen = "latest" if reading.is_latest else f"as known at {reading.as_of:%Y-%m-%d %H:%M:%S} UTC"
    table = _table(f"{reading.name} in {reading.unit}, {seen}")
    is_daily = len(values) > _MOST_HALF_HOURS
    shown = f"%Y-%m-%d{'' if is_daily else ' %H:%M'}"
    table.add_column("day (UTC)" if is_daily else "half hour (UTC)", no_wrap=True)
    table.add_column("mean" if is_daily else "value", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("source", overflow="fold")
    known = [value for value in values if value is not None]
    low, high = (min(0.0, *known), max(known)) if known else (0.0, 0.0)
    for label, group in groupby(reading.values, lambda row: row.starts_at.strftime(shown)):
        rows = list(group)
        mean = _mean([row.value for row in rows])
        table.add_row(label, _number(mean), bar(mean, low, high), _sources(row.source for row in rows))
    return table


def signal_notes(reading: SignalReading) -> Iterator[str]:
    """Yield what a reader of the table must know: what is simulated, withheld or missing, and whom to credit."""
    yield from reading.notes
    if reading.notice:
        yield reading.notice
    if reading.run is None:
        yield (
            "No run of the pipeline had committed by then."
            if not reading.is_latest
            else "No data have been loaded."
        )
    for flag in reading.withheld[:_SHOWN]:
        yield f"Withheld {flag.starts_at:%Y-%m-%d %H:%M} UTC ({flag.rule}): {flag.reason}"
    if len(reading.withheld) > _SHOWN:
        yield f"... and {len(reading.withheld) - _SHOWN:,} more are withheld."
    for gap in reading.missing[:_SHOWN]:
        yield f"No value from {gap.start:%Y-%m-%d %H:%M} to {gap.end:%Y-%m-%d %H:%M} UTC: {gap.reason}"
    if len(reading.missing) > _SHOWN:
        yield f"... and {len(reading.missing) - _SHOWN:,} more such spans."
    yield from dict.fromkeys(f"Data: {one.attribution}" for one in reading.attributions if one.attribution)


def sparkline(values: Sequence[float | None], cells: int) -> str:
    """Return the values as one line of blocks at most `cells` wide, from their lowest to their highest.

    Where there are more values than cells, each cell is a mean; a blank is a cell without a value.
    """
    width = min(cells, len(values))
    ends = [round(len(values) * place / width) for place in range(width + 1)] if width else []
    means = [_mean(values[first:last]) for first, last in pairwise(ends)]
    known = [mean for mean in means if mean is not None]
    if not known:
        return " " * width
    low, span = min(known), (max(known) - min(known)) or 1.0
    top = len(_HEIGHTS) - 1
    return "".join(" " if mean is None else _HEIGHTS[round((mean - low) / span * top)] for mean in means)


def bar(value: float | None, low: float, high: float) -> str:
    """Return a bar of up to 24 cells, as long as the value lies between `low` and `high`; none for None."""
    if value is None or high <= low:
        return ""
    eighths = round((value - low) / (high - low) * _BAR_CELLS * 8)
    return "█" * (eighths // 8) + (_WIDTHS[eighths % 8 - 1] if eighths % 8 else "")


def ago(span: timedelta) -> str:
    """Return a span as people say it: 40 s, 12 min, 3 h, 2 days."""
    seconds = max(0, round(span.total_seconds()))
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _signal_row(signal: SignalSummary) -> tuple[str, ...]:
    return (
        signal.name,
        "nothing" if signal.first_half_hour is None else f"{signal.first_half_hour:%Y-%m-%d}",
        "" if signal.last_half_hour is None else f"{signal.last_half_hour:%Y-%m-%d %H:%M}",
        _sources(signal.sources) + (f" ({signal.open_flags:,} withheld)" if signal.open_flags else ""),
    )


def _sources(labels: Iterable[str | None]) -> str:
    named = sorted({label for label in labels if label})
    return ", ".join("[yellow]simulated[/]" if label == SIMULATED else escape(label) for label in named)


def _is_asked(state: SourceState) -> bool:
    """Return whether the last run had to do with a real source; of others nothing is to be looked into."""
    return not state.is_simulated and state.outcome is not None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:,.3g}"


def _refused(source: SourceReport) -> Iterator[str]:
    for refusal in source.rejected[:_SHOWN]:
        yield f"{source.title}: refused {refusal.what}: {refusal.why}"


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
        f"ok {source.seconds:.1f} s" if is_ok else _RESULTS[source.outcome],
        *(f"{number:,}" if is_ok else "" for number in numbers),
    )


def _badge(holding: Holding) -> str:
    return "[yellow]yes[/]" if holding.is_simulated else "no"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
