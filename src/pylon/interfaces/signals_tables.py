"""Signals for the terminal: all of them in a table, one drawn in blocks, and what a reader must know of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, pairwise

from rich.markup import escape
from rich.table import Table

from pylon.interfaces import tables
from pylon.ontology.calendar import HALF_HOUR
from pylon.services.list_signals import SignalList, SignalSummary
from pylon.services.read_signal import SignalReading
from pylon.sources import feed
from pylon.sources.feed import SIMULATED

__all__ = ["bar", "held_note", "signal_notes", "signal_table", "signals_table", "sparkline"]

_SHOWN = 3
"""Of what is withheld or missing, the first few are said; the API says them all."""
_HEIGHTS = "▁▂▃▄▅▆▇█"
_WIDTHS = "▏▎▍▌▋▊▉█"
_BAR_CELLS = 24
_MOST_HALF_HOURS = 96
"""More than these are shown day by day."""


def signals_table(held: SignalList) -> Table:
    """Return every signal in a line: until when it is held, when it last changed, and from whom it is."""
    table = tables.new_table("Signals: until when they are held, and their latest change (UTC)")
    table.padding = (0, 0, 0, 0)  # or a line of a region would not fit 80 columns
    for heading in ("signal", "unit", "until", "change"):
        table.add_column(heading, no_wrap=True)
    table.add_column("source", overflow="fold")
    titles = {source.terms.data_source: tables.api_of(source.terms.title) for source in feed.discover()}
    for signal in held.signals:
        until, changed = signal.last_half_hour, signal.latest_vintage_at
        table.add_row(
            signal.name,
            signal.unit,
            "nothing" if until is None else _short(until, held.as_of),
            "" if changed is None else _shortest(changed, held.as_of),
            _source_or_number(signal.sources, titles),
        )
    return table


def held_note(signal: SignalSummary) -> str:
    """Return from when to when a signal is held, all its sources, and how many values are withheld if any are."""
    if signal.first_half_hour is None or signal.last_half_hour is None:
        return ""
    withheld = f" {signal.open_flags:,} values are withheld." if signal.open_flags else ""
    return (
        f"Held from {signal.first_half_hour:%Y-%m-%d %H:%M} to {signal.last_half_hour + HALF_HOUR:%Y-%m-%d %H:%M} "
        f"UTC, from: {', '.join(signal.sources)}.{withheld}"
    )


def signal_table(reading: SignalReading) -> Table:
    """Return a signal half hour by half hour, each with a bar; day by day where there are more than 96."""
    values = [row.value for row in reading.values]
    seen = "latest" if reading.is_latest else f"as known at {reading.as_of:%Y-%m-%d %H:%M:%S} UTC"
    table = tables.new_table(f"{reading.name} in {reading.unit}, {seen}")
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
        table.add_row(label, _number(mean), bar(mean, low, high), tables.labels(row.source for row in rows))
    return table


def signal_notes(reading: SignalReading) -> Iterator[str]:
    """Yield what a reader of the table must know: what is simulated, withheld or missing, and whom to credit."""
    yield from reading.notes
    if reading.notice:
        yield reading.notice
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


def _short(at: datetime, now: datetime) -> str:
    return f"{at:%m-%d %H:%M}" if at.year == now.year else f"{at:%Y-%m-%d}"


def _shortest(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%m-%d}" if at.year == now.year else f"{at:%Y}"


def _source_or_number(labels: Sequence[str], titles: Mapping[str, str]) -> str:
    """Return the one source by the name of its API, or how many there are; simulated values always say so."""
    if len(labels) == 1:
        return tables.labels(labels) if labels[0] == SIMULATED else escape(titles.get(labels[0], labels[0]))
    if SIMULATED in labels:
        return f"{len(labels) - 1} + [yellow]simulated[/]"
    return f"{len(labels)} sources" if labels else ""


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:,.3g}"
