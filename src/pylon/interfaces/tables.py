"""Tables for the terminal: what is held, how the sources fared, and the latest runs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.markup import escape
from rich.table import Table

from pylon.services.list_sources import SourceState
from pylon.services.reports import Outcome, RunReport, SourceReport
from pylon.services.status import Status
from pylon.sources.feed import SIMULATED

__all__ = [
    "ago",
    "api_of",
    "attributions",
    "by_api",
    "faults",
    "labels",
    "new_table",
    "refusals",
    "runs_table",
    "source_notes",
    "sources_table",
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
    Outcome.UNCHANGED: "unchanged",
    Outcome.NOT_DUE: "not due",
    Outcome.FAILED: "[red]none[/]",
}
_COUNTS = {
    "seen": "rows_seen",
    "written": "rows_written",
    "same": "rows_unchanged",
    "refused": "rows_rejected",
    "gaps": "half_hours_missing",
}
_ADDRESS = re.compile(r"(https?://[^/\s]+)\S*")
_SHOWN = 3
"""Of each kind of fault, the first few are said; the API says them all."""


def stock_table(status: Status) -> Table:
    """Return what is held: how much, from where (`simulated` where Pylon made it up), and how old."""
    table = new_table("What Pylon holds: now and the 48 hours ahead")
    table.add_column("what", no_wrap=True)
    table.add_column("held", justify="right", no_wrap=True)
    table.add_column("from", overflow="fold")
    table.add_column("last change", justify="right", no_wrap=True)
    for holding in status.stock:
        changed = holding.changed_at
        table.add_row(
            _TITLES.get((holding.object_type, holding.quantity), holding.object_type),
            f"{holding.rows:,} {_UNITS.get(holding.object_type, '')}".strip(),
            labels([holding.source]),
            "" if changed is None else ago(status.as_of - changed),
        )
    return table


def sources_table(report: RunReport) -> Table:
    """Return how each source fared in one run: rows seen, written, unchanged and refused, half hours missing.

    Of the numbers those that are 0 for every source are left out.
    """
    table = new_table(f"Sources in the run of {report.started_at:%Y-%m-%d %H:%M} UTC: {report.status.value}")
    table.add_column("source", overflow="fold")
    table.add_column("result", no_wrap=True)
    numbers = {
        heading: [getattr(source, name) if source.outcome is Outcome.OK else None for source in report.sources]
        for heading, name in _COUNTS.items()
    }
    columns = _number_columns(table, numbers)
    for source, *counts in zip(report.sources, *columns, strict=True):
        result = f"ok {source.seconds:.1f} s" if source.outcome is Outcome.OK else _RESULTS[source.outcome]
        table.add_row(_title(source), result, *counts)
    return table


def states_table(states: Iterable[SourceState], report: RunReport | None, now: datetime) -> Table:
    """Return every source: how it fared in the last run, and what of it is withheld or missing if anything is."""
    table = new_table(
        "Sources"
        + (f" in the run of {report.started_at:%Y-%m-%d %H:%M} UTC: {report.status.value}" if report else "")
    )
    table.add_column("source", overflow="fold")
    for heading in ("kind", "result"):
        table.add_column(heading, no_wrap=True)
    table.add_column("answered", justify="right", no_wrap=True)
    shown = list(states)
    numbers = {
        "withheld": [sum(state.withheld.values()) if _is_asked(state) else None for state in shown],
        "gaps": [sum(lack.half_hours for lack in state.gaps) if _is_asked(state) else None for state in shown],
    }
    columns = _number_columns(table, numbers)
    for state, *counts in zip(shown, *columns, strict=True):
        answered = state.last_answered_at
        table.add_row(
            _title(state),
            "[yellow]simulated[/]" if state.is_simulated else "real",
            _RESULTS[state.outcome],
            "" if answered is None else f"{ago(now - answered)} ago",
            *counts,
        )
    return table


def source_notes(states: Iterable[SourceState]) -> Iterator[str]:
    """Yield what a person may want to look into: faults, then what was withheld, then what is missing."""
    asked = list(filter(_is_asked, states))
    ages = {state.name: None if state.age_s is None else timedelta(seconds=state.age_s) for state in asked}
    yield from _faults((state.title, ages[state.name], state.fault) for state in asked if state.fault)
    for state in asked:
        for rule, number in sorted(state.withheld.items()):
            yield f"{state.title}: {number:,} values withheld by the rule {rule}"
        for flag in state.newest_withheld:
            yield f"{state.title}: withheld {flag.series} of {flag.starts_at:%Y-%m-%d %H:%M} UTC: {flag.reason}"
        for lack in () if ages[state.name] is None else state.gaps:  # who never answered lacks everything
            spans = [f"{gap.start:%m-%d %H:%M} to {gap.end:%m-%d %H:%M}" for gap in lack.gaps[:_SHOWN]]
            more = f" and {len(lack.gaps) - _SHOWN} more" if len(lack.gaps) > _SHOWN else ""
            yield (
                f"{state.title}: no real {lack.quantity} in {lack.half_hours} half hours of the last 7 days: "
                f"{', '.join(spans)}{more} (UTC)"
            )


def runs_table(runs: Sequence[RunReport], now: datetime) -> Table:
    """Return the latest runs, newest first."""
    table = new_table("Latest runs")
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
    yield from _faults(
        (source.title, source.age(now), source.fault["detail"]) for source in report.sources if source.fault
    )
    for source in report.sources:
        yield from _refused(source)
        for gap in source.gaps[:_SHOWN]:
            yield (
                f"{source.title}: {gap.half_hours} half hours missing, "
                f"{gap.start:%Y-%m-%d %H:%M} to {gap.end:%Y-%m-%d %H:%M} UTC"
            )
    if lacking := report.forecasts.without_history:
        yield (
            f"No forecast by Pylon of {sum(lacking.values()):,} half hours ahead that no source gave, in "
            f"{len(lacking)} series: less than a day of their real past is known"
        )
    if report.error:
        yield str(report.error["detail"])


def by_api(titles: Iterable[str]) -> str:
    """Return the titles of sources in few words: how many of an API where there are several, else the one."""
    those: dict[str, list[str]] = defaultdict(list)
    for title in titles:
        those[api_of(title)].append(title)
    return ", ".join(found[0] if len(found) == 1 else _several(api, found) for api, found in those.items())


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


def api_of(title: str) -> str:
    """Return the name of the API that stands first in the title of a source."""
    return title.partition(":")[0]


def labels(given: Iterable[str | None]) -> str:
    """Return the labels of sources, each once, with `simulated` in a colour of its own."""
    named = sorted({label for label in given if label})
    return ", ".join("[yellow]simulated[/]" if label == SIMULATED else escape(label) for label in named)


def new_table(title: str) -> Table:
    """Return a table as all of them look, without columns yet."""
    return Table(
        title=title,
        min_width=len(title),  # or the title would be broken where the columns end
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )


def ago(span: timedelta) -> str:
    """Return a span as people say it: 40 s, 12 min, 3 h, 2 days."""
    seconds = max(0, round(span.total_seconds()))
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _faults(found: Iterable[tuple[str, timedelta | None, str]]) -> Iterator[str]:
    """Yield a line for each fault: of which source, how old its last answer is, what failed.

    Sources of one API that fail alike, but for the path of the address, share a line.
    """
    alike: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for title, age, detail in found:
        since = "never answered" if age is None else f"last answered {ago(age)} ago"
        alike[api_of(title), since, _ADDRESS.sub(r"\1", detail)].append((title, detail))
    for (api, since, shared), those in alike.items():
        if len(those) > 1:
            yield f"{_several(api, those)}, {since}: {shared}"
        else:
            title, detail = those[0]
            yield f"{title} ({since}): {detail}"


def _title(source: SourceReport | SourceState) -> str:
    return source.title.replace(": national ", ": ")


def _several(api: str, those: Sequence[object]) -> str:
    return f"{api} ({len(those)} sources)"


def _number_columns(table: Table, numbers: dict[str, list[int | None]]) -> list[list[str]]:
    """Add a column to the table for each heading whose numbers are not all 0; return their texts, by column."""
    shown = {heading: found for heading, found in numbers.items() if any(found)}
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    return [["" if number is None else f"{number:,}" for number in found] for found in shown.values()]


def _is_asked(state: SourceState) -> bool:
    """Return whether the last run had to do with a real source; of others nothing is to be looked into."""
    return not state.is_simulated and state.outcome is not None


def _refused(source: SourceReport) -> Iterator[str]:
    for refusal in source.rejected[:_SHOWN]:
        yield f"{source.title}: refused {refusal.what}: {refusal.why}"
