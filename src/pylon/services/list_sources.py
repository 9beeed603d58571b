"""List sources: what each declares of itself, how it fared last, what of it is withheld, and what is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.services.reach_back import LOOK_BACK
from pylon.services.recall_signals import Withheld
from pylon.services.reports import Gap, Outcome, RunReport, SourceReport, gaps_of
from pylon.services.series import NATIONAL, SERIES, find
from pylon.sources import feed
from pylon.sources.feed import MODELLED, SIMULATED, Side, Source, Supply, Terms
from pylon.store.database import Database, Transaction

__all__ = [
    "MOST_FLAGS",
    "Flag",
    "FlagList",
    "SourceList",
    "SourceState",
    "SupplyGaps",
    "list_flags",
    "list_sources",
    "source_states",
]

MOST_FLAGS: Final = 1000
_NEWEST_FLAGS = 3


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class Flag(Withheld):
    """A quality flag; one whose `raw` is null says that no value came, where one should have."""

    series: str
    run_id: UUID = Field(description="The pipeline run that found it first")
    cleared_at: datetime | None = Field(default=None, description="When a later value passed; null: still withheld")


class FlagList(_Said):
    """Quality flags, the newest first."""

    as_of: datetime
    total: int = Field(description="How many there are in all")
    is_truncated: bool = Field(description="Whether there are more: narrow `from`, `to` or `series` to see them")
    flags: list[Flag]


class SupplyGaps(_Said):
    """Half hours of the last 7 days of which no real value of a quantity is stored."""

    quantity: str = Field(description="What lacks: a national series, or `mix`")
    half_hours: int
    gaps: list[Gap]


class SourceState(_Said):
    """One source."""

    name: str
    title: str
    data_source: str = Field(description="The label of its values; `simulated` when it makes them up")
    is_simulated: bool
    api: str
    homepage: str
    licence: str
    attribution: str
    supplies: list[Supply]
    sides: list[Side] = Field(description="Which half hours it speaks of")
    rank: int = Field(description="Of two sources of one quantity the higher is believed; simulated values are 0")
    cadence_s: int = Field(description="How often it publishes, in seconds")
    delay_s: int = Field(description="How long after its half hour a value may appear, in seconds")
    poll_every_s: int = Field(description="Least seconds between two times it is asked; 0: every run asks")
    limits: str = Field(description="What the upstream allows, and who says so")
    outcome: Outcome | None = Field(description="How it fared in the last run; null when it was not needed")
    fault: str | None = Field(description="Why it failed")
    last_answered_at: datetime | None
    age_s: int | None = Field(description="Seconds since then")
    withheld: dict[str, int] = Field(description="Open quality flags of the series it supplies, by rule")
    newest_withheld: list[Flag] = Field(description="The newest of them")
    gaps: list[SupplyGaps] = Field(
        description="What it supplies and nobody gave; the past alone, its delay allowed for"
    )


class SourceList(_Said):
    """Every source."""

    as_of: datetime
    sources: list[SourceState]


def list_sources(
    database: Database, operator_id: UUID, now: datetime, *, sources: Sequence[Source] | None = None
) -> SourceList:
    """Return the state of every source (of these, when told), real ones first."""
    with database.as_reader(operator_id) as transaction:
        return SourceList(as_of=now, sources=source_states(transaction, now, sources=sources))


def source_states(
    transaction: Transaction, now: datetime, *, sources: Sequence[Source] | None = None
) -> list[SourceState]:
    """Return the state of every source, as `list_sources` does, in a transaction that is open."""
    run = transaction.one("last_committed_run")
    reports = {report.name: report for report in RunReport.of(run).sources} if run else {}
    open_flags = transaction.all("open_flags")
    newest = [_flag(row) for row in transaction.all("newest_open_flags", limit=_NEWEST_FLAGS)]
    absent = _absent(transaction, now)
    states = []
    for source in feed.discover() if sources is None else sources:
        names = _series(source.terms)
        withheld = Counter[str]()
        for row in open_flags:
            if row["series"] in names:
                withheld[row["rule"]] += row["values_withheld"]
        states.append(
            _state(
                source.terms,
                reports.get(source.terms.name),
                now,
                withheld=dict(withheld),
                newest=[flag for flag in newest if flag.series in names][:_NEWEST_FLAGS],
                gaps=_gaps(source.terms, absent, now),
            )
        )
    return states


def list_flags(
    database: Database,
    now: datetime,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    series: str | None = None,
) -> FlagList:
    """Return the quality flags on half hours of [start, end), cleared ones too, the newest first.

    Raises `NotFound` for a name that is no series and `Invalid` for an empty span.
    """
    if start is not None and end is not None and start >= end:
        raise Invalid(f"`from` ({start:%Y-%m-%dT%H:%MZ}) must be before `to` ({end:%Y-%m-%dT%H:%MZ}).")
    name = None if series is None else find(series).name
    with database.as_anyone() as transaction:
        rows = transaction.all("quality_flags", start=start, end=end, series=name, limit=MOST_FLAGS)
    total = rows[0]["total"] if rows else 0
    return FlagList(as_of=now, total=total, is_truncated=total > len(rows), flags=[_flag(row) for row in rows])


def _flag(row: Mapping[str, Any]) -> Flag:
    return Flag.model_validate({name: row[name] for name in Flag.model_fields})


def _state(
    terms: Terms,
    report: SourceReport | None,
    now: datetime,
    *,
    withheld: dict[str, int],
    newest: list[Flag],
    gaps: list[SupplyGaps],
) -> SourceState:
    age = report.age(now) if report else None
    return SourceState(
        name=terms.name,
        title=terms.title,
        data_source=terms.data_source,
        is_simulated=terms.is_simulated,
        api=terms.api,
        homepage=terms.homepage,
        licence=terms.licence,
        attribution=terms.attribution,
        supplies=sorted(terms.supplies),
        sides=sorted(terms.sides, reverse=True),
        rank=0 if terms.is_simulated else terms.rank,
        cadence_s=round(terms.cadence.total_seconds()),
        delay_s=round(terms.delay.total_seconds()),
        poll_every_s=round(terms.poll_every.total_seconds()),
        limits=terms.limits.says,
        outcome=report.outcome if report else None,
        fault=report.fault["detail"] if report and report.fault else None,
        last_answered_at=report.fetched_at if report else None,
        age_s=None if age is None else round(age.total_seconds()),
        withheld=withheld,
        newest_withheld=newest,
        gaps=gaps,
    )


def _series(terms: Terms) -> set[str]:
    """Return the names of the series that a real source supplies; nothing of a simulated one is ever withheld."""
    if terms.is_simulated:
        return set()
    return {name for name, series in SERIES.items() if series.quantity in terms.supplies}


def _absent(transaction: Transaction, now: datetime) -> dict[str, set[datetime]]:
    """Return the past half hours without a real value, by national series and `mix`.

    A half hour whose value was received and withheld is not among them: it is known why it is not there.
    """
    start, end = floor(now) - LOOK_BACK, floor(now)
    rows = transaction.all("national_signals", start=start, end=end)
    absent = {
        series.name: {row["timestamp"] for row in rows if not _is_real(row, series.quantity, series.column)}
        for series in NATIONAL
    }
    absent["mix"] = {row["timestamp"] for row in rows if not _is_real(row, Supply.MIX)}
    for flag in transaction.all("flags_known", series=list(absent), start=start, end=end, as_of=now):
        absent.get(flag["series"], set()).discard(flag["starts_at"])
    return absent


def _is_real(row: Mapping[str, Any], quantity: str, column: str | None = None) -> bool:
    return (row["provenance"] or {}).get(quantity, SIMULATED) not in (SIMULATED, MODELLED) and (
        column is None or row[column] is not None
    )


def _gaps(terms: Terms, absent: Mapping[str, Iterable[datetime]], now: datetime) -> list[SupplyGaps]:
    """Return what the source should have given of the past by now; nothing of one that does not speak of it.

    Regional half hours are not among it: a run asks for them from the present one on, so a gap would never close.
    """
    if terms.is_simulated or Side.PAST not in terms.sides:
        return []
    quantities = [series.name for series in NATIONAL if series.quantity in terms.supplies]
    if Supply.MIX in terms.supplies and Supply.REGIONAL not in terms.supplies:  # or it would be that of the regions
        quantities.append(Supply.MIX)
    found = []
    for quantity in quantities:
        missing = [at for at in sorted(absent[quantity]) if at + HALF_HOUR + terms.delay <= now]
        if missing:
            found.append(SupplyGaps(quantity=quantity, half_hours=len(missing), gaps=gaps_of(missing)))
    return found
