"""Read a signal: half-hourly values as they are now or were known then, who gave each, and why any is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.ontology.calendar import AHEAD, HALF_HOUR, floor, half_hours
from pylon.services.recall_signals import Known, Withheld, not_ahead, recall, withheld
from pylon.services.reports import gaps_of
from pylon.services.series import Series, Span, find, span_of
from pylon.sources import feed
from pylon.sources.feed import SIMULATED, Source
from pylon.store.database import Database, Transaction

__all__ = ["Attribution", "CommittedRun", "Missing", "SignalReading", "SignalValue", "read_signal"]


_NO_RUN: Final = "No run of the pipeline had committed by then."
_NO_DATA: Final = "No run of the pipeline has committed yet."
SIMULATED_NOTICE: Final = "Values marked simulated were made up by Pylon: do not act on them outside a trial."


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class CommittedRun(_Said):
    """A pipeline run that had committed."""

    id: UUID = Field(description="Its id, which decisions name as the data they saw")
    finished_at: datetime


class Attribution(_Said):
    """Whom to credit for values under one label."""

    data_source: str
    attribution: str | None = Field(
        description="Null when no source of this Pylon carries the label: an import, say"
    )
    licence: str | None


class SignalValue(_Said):
    """One half hour."""

    starts_at: datetime
    value: float | None = Field(description="Null when it is withheld or missing; the document says which and why")
    source: str | None
    is_simulated: bool
    recorded_at: datetime | None = Field(
        description="With as_of when the value was recorded; without, when the row it is stored in last changed"
    )


class Missing(_Said):
    """Consecutive half hours [start, end) without a value, and why."""

    start: datetime
    end: datetime
    half_hours: int
    reason: str


class SignalReading(_Said):
    """A series over a span of half hours."""

    name: str
    unit: str = Field(description="Unit of the values; 1 for a plain number")
    doc: str
    as_of: datetime
    is_latest: bool = Field(description="True for the latest view, false for what was known at as_of")
    run: CommittedRun | None = Field(description="The last run that had committed at as_of")
    starts_at: datetime
    ends_at: datetime = Field(description="End of the last half hour")
    step_mins: int = 30
    notes: list[str] = Field(
        description="What was done otherwise than asked, e.g. a time floored; that no run had committed by then"
    )
    contains_simulated: bool
    notice: str | None
    attributions: list[Attribution] = Field(description="One for each real source among the values")
    values: list[SignalValue]
    withheld: list[Withheld] = Field(description="Half hours whose value was received and found not fit to serve")
    missing: list[Missing]


def read_signal(
    database: Database,
    operator_id: UUID,
    name: str,
    now: datetime,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | None = None,
    sources: Sequence[Source] | None = None,
) -> SignalReading:
    """Return a series over [start, end): by default 48 hours from this half hour, or from that of `as_of`, on.

    Without `as_of` the values are those stored now; with it those known then. `sources` (all unless told) give the
    ranks and attributions. Raises `NotFound` for a name that is no series, `Invalid` for times not valid.
    """
    series = find(name)
    moment = now.astimezone(UTC) if as_of is None else not_ahead(as_of, now)
    span = _span(moment, start, end)
    known = feed.discover() if sources is None else sources
    with database.as_reader(operator_id) as transaction:
        view = _view(transaction, series, span, moment, None if as_of is None else known)
    has_simulated = any(row.is_simulated for row in view.rows)
    return SignalReading(
        name=name,
        unit=series.spec.unit,
        doc=series.spec.doc,
        as_of=moment,
        is_latest=as_of is None,
        run=view.run,
        starts_at=span.start,
        ends_at=span.end,
        notes=[*span.notes, *([] if view.run else [_NO_RUN if as_of else _NO_DATA])],
        contains_simulated=has_simulated,
        notice=SIMULATED_NOTICE if has_simulated else None,
        attributions=_attributions({row.source for row in view.rows}, known),
        values=view.rows,
        withheld=view.withheld,
        missing=view.missing,
    )


def _span(moment: datetime, start: datetime | None, end: datetime | None) -> Span:
    first = floor(moment) if start is None else start
    return span_of(first, floor(first) + AHEAD if end is None else end)


class _View(NamedTuple):
    run: CommittedRun | None
    rows: list[SignalValue]
    withheld: list[Withheld]
    missing: list[Missing]


def _view(
    transaction: Transaction, series: Series, span: Span, moment: datetime, ranked: Sequence[Source] | None
) -> _View:
    run = transaction.one("run_committed_by", as_of=moment)
    began = transaction.value("first_vintage", series=series.name)
    values, flags = _read(transaction, series, span, moment, ranked)
    rows = [_row(at, values.get(at)) for at in half_hours(span.start, span.end)]
    return _View(
        CommittedRun(id=run["id"], finished_at=run["finished_at"]) if run else None,
        rows,
        flags,
        list(_missing(series, rows, flags, moment, began)),
    )


def _read(
    transaction: Transaction, series: Series, span: Span, moment: datetime, ranked: Sequence[Source] | None
) -> tuple[Mapping[datetime, Known], list[Withheld]]:
    """Return the values and the flags: as recorded by `moment` where sources are given to rank, else as stored."""
    words = {"start": span.start, "end": span.end, "as_of": moment}
    if ranked is not None:
        recalled = recall(transaction, [series], **words, sources=ranked)
        return recalled.values.get(series.name, {}), list(recalled.withheld.get(series.name, ()))
    flags = withheld(transaction, [series], **words).get(series.name, [])
    hidden = {flag.starts_at for flag in flags}
    return {at: known for at, known in _stored(transaction, series, span) if at not in hidden}, flags


def _stored(transaction: Transaction, series: Series, span: Span) -> Iterator[tuple[datetime, Known]]:
    if series.region_id is None:
        rows = transaction.all("national_signals", start=span.start, end=span.end)
    else:
        rows = transaction.all("regional_values", region_id=series.region_id, start=span.start, end=span.end)
    for row in rows:
        value = row[series.column]
        source = row["data_source"] if series.region_id else (row["provenance"] or {}).get(series.quantity)
        if value is not None:
            yield row["timestamp"], Known(value, source or "unknown", row["fetched_at"])


def _row(at: datetime, known: Known | None) -> SignalValue:
    return SignalValue(
        starts_at=at,
        value=known.value if known else None,
        source=known.source if known else None,
        is_simulated=known is not None and known.source == SIMULATED,
        recorded_at=known.recorded_at.astimezone(UTC) if known else None,
    )


def _missing(
    series: Series, rows: Iterable[SignalValue], flags: Iterable[Withheld], moment: datetime, began: datetime | None
) -> Iterator[Missing]:
    hidden = {flag.starts_at for flag in flags}
    absent = [row.starts_at for row in rows if row.value is None and row.starts_at not in hidden]
    for reason, half_hours_ in groupby(absent, lambda at: _why(series, at, moment, began)):
        for gap in gaps_of(list(half_hours_)):
            yield Missing(start=gap.start, end=gap.end, half_hours=gap.half_hours, reason=reason)


def _why(series: Series, at: datetime, moment: datetime, began: datetime | None) -> str:
    if began is None:
        return "Nothing has been recorded of this series yet."
    if began > moment:
        first = began.astimezone(UTC)
        return f"Nothing had been recorded of this series by then: the first was at {first:%Y-%m-%dT%H:%M:%SZ}."
    if series.is_afterwards and at + HALF_HOUR > moment:
        return "It is known only when the half hour is over."
    return "No source has published it yet." if at > moment else "No source has given it."


def _attributions(labels: Iterable[str | None], sources: Iterable[Source]) -> list[Attribution]:
    terms = {source.terms.data_source: source.terms for source in sources}
    real = sorted(label for label in labels if label is not None and label != SIMULATED)
    return [
        Attribution(
            data_source=label,
            attribution=terms[label].attribution if label in terms else None,
            licence=terms[label].licence if label in terms else None,
        )
        for label in real
    ]
