"""Ask sources: every real one that is due, all at once, and simulated ones for what no real one answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pylon.errors import PylonError, SourceChanged
from pylon.ontology.calendar import floor
from pylon.services.ingest import Stored
from pylon.services.reach_back import BEHIND, looked_back_at, reach_back
from pylon.services.reports import REFUSALS_KEPT, Outcome, Refusal, SourceReport, gaps_of
from pylon.sources.feed import Batch, Request, Side, Source, Supply

__all__ = ["Asked", "Progress", "Stopwatch", "ask_sources", "silent", "source_report"]

log = logging.getLogger("pylon.sources")

_SLACK = timedelta(minutes=2)
"""Runs do not start on the second: a source is due a little early rather than a whole run late."""

Progress = Callable[[str, str], None]
"""Called with a title and what became of it, as the run goes on."""

Stopwatch = Callable[[], float]
"""Tells seconds from any beginning."""


def silent(_title: str, _outcome: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of one source: a batch, a fault, or neither when it was not due."""

    source: Source
    batch: Batch | None = None
    fault: PylonError | None = None
    seconds: float = 0.0
    asked_from: datetime | None = None
    """Start of the first half hour it was asked for."""

    @property
    def outcome(self) -> Outcome:
        """Return how the source fared."""
        if self.batch is not None:
            return Outcome.UNCHANGED if self.batch.is_unchanged else Outcome.OK
        return Outcome.FAILED if self.fault else Outcome.NOT_DUE


def ask_sources(
    sources: Sequence[Source],
    request: Request,
    *,
    grid: str,
    reaches_back: bool = True,
    last: Mapping[str, SourceReport],
    stopwatch: Stopwatch,
    progress: Progress = silent,
) -> list[Asked]:
    """Return what became of each source: real ones in their order, then the simulated ones that were needed.

    `grid` is the setting (auto, real or simulated); `last` has the latest report of each source by name, which says
    when it is due, what it said of its state and, with `reaches_back`, from when on to ask it in place of the
    request's start. A simulated source is asked for the supplies and sides (past, ahead) of which no real source
    has answered. No failure of a source is raised.
    """
    real = [] if grid == "simulated" else [s for s in sources if not s.terms.is_simulated]
    simulated = [] if grid == "real" else [s for s in sources if s.terms.is_simulated]

    def asking(source: Source) -> Request:
        before = last.get(source.terms.name)
        start = _start(source, request.now, before) if reaches_back else request.start
        return replace(request, start=start, marker=before.marker if before else None)

    due = [source for source in real if _is_due(source, request.now, last)]
    asked = _ask_all(real, {source.terms.name: asking(source) for source in due}, stopwatch, progress)
    answered = {
        (supply, side)
        for one in asked
        if one.fault is None and not one.source.terms.is_partial
        for supply in one.source.terms.supplies
        for side in one.source.terms.sides
    }
    for source in simulated:
        wants = {side: {s for s in source.terms.supplies if (s, side) not in answered} for side in Side}
        if any(wants.values()):
            asked.append(_ask(_StandIn(source, wants), asking(source), stopwatch, progress))
        answered |= {(supply, side) for side, supplies in wants.items() for supply in supplies}
    return asked


def source_report(
    asked: Asked, stored: Stored, *, withheld: int, now: datetime, last: SourceReport | None
) -> SourceReport:
    """Return the report of one source; what it did not say this time stays as it `last` was."""
    terms, batch = asked.source.terms, asked.batch or Batch(rows_seen=0)
    answered = asked.batch is not None
    is_whole = answered and batch.is_whole
    return SourceReport(
        name=terms.name,
        title=terms.title,
        data_source=terms.data_source,
        is_simulated=terms.is_simulated,
        licence=terms.licence,
        attribution=terms.attribution,
        outcome=asked.outcome,
        rows_seen=batch.rows_seen,
        rows_written=stored.written,
        rows_unchanged=stored.unchanged,
        rows_rejected=len(batch.rejected),
        rejected=[Refusal(what=r.what, why=r.why) for r in batch.rejected[:REFUSALS_KEPT]],
        values_withheld=withheld,
        half_hours_missing=len(batch.missing),
        gaps=gaps_of(list(batch.missing)),
        seconds=round(asked.seconds, 3),
        fetched_at=now if answered else last.fetched_at if last else None,
        whole_at=now if is_whole else last.whole_at if last else None,
        looked_back_at=looked_back_at(now, asked.asked_from if is_whole else None, last),
        marker=batch.marker if answered else last.marker if last else None,
        fault=asked.fault.problem() if asked.fault else None,
    )


class _StandIn:
    """A simulated source that is asked only for what no real one answers."""

    def __init__(self, source: Source, wants: Mapping[Side, set[Supply]]) -> None:
        self.terms = source.terms
        self._source = source
        self._wants = wants

    def fetch(self, request: Request) -> Batch:
        now = floor(request.now)
        spans = {Side.PAST: (request.start, now), Side.AHEAD: (now, request.end)}
        batches = [
            self._source.fetch(replace(request, start=start, end=end, wanted=frozenset(self._wants[side])))
            for side, (start, end) in spans.items()
            if self._wants[side]
        ]
        return Batch(
            national=[reading for batch in batches for reading in batch.national],
            regional=[reading for batch in batches for reading in batch.regional],
            factors={fuel: factor for batch in batches for fuel, factor in batch.factors.items()},
            rows_seen=sum(batch.rows_seen for batch in batches),
        )


def _ask_all(
    sources: Sequence[Source], requests: Mapping[str, Request], stopwatch: Stopwatch, progress: Progress
) -> list[Asked]:
    """Ask at once, each in a daemon thread: whoever stops Pylon does not wait for a slow upstream.

    A source without a request is not asked.
    """
    asked = {position: Asked(source=source) for position, source in enumerate(sources)}

    def work(position: int, source: Source) -> None:
        asked[position] = _ask(source, requests[source.terms.name], stopwatch, progress)

    threads = [
        threading.Thread(target=work, args=one, name=f"source-{one[1].terms.name}", daemon=True)
        for one in enumerate(sources)
        if one[1].terms.name in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [asked[position] for position in range(len(sources))]


def _start(source: Source, now: datetime, before: SourceReport | None) -> datetime:
    # Nothing simulated comes late or is revised.
    return floor(now) - BEHIND if source.terms.is_simulated else reach_back(now, before)


def _is_due(source: Source, now: datetime, last: Mapping[str, SourceReport]) -> bool:
    before = last.get(source.terms.name)
    age = before.age(now) if before else None
    return age is None or age < timedelta(0) or age >= source.terms.poll_every - _SLACK


def _ask(source: Source, request: Request, stopwatch: Stopwatch, progress: Progress) -> Asked:
    began = stopwatch()
    try:
        batch = source.fetch(request)
    except PylonError as error:
        fault = error
    except Exception as unforeseen:  # a fault of one source's code must not cost the others their run
        log.exception("%s failed", source.terms.name)
        fault = SourceChanged(f"{source.terms.title} could not be read: {unforeseen!r}.")
    else:
        seconds = stopwatch() - began
        said = "nothing new" if batch.is_unchanged else f"{batch.rows_seen} rows in {seconds:.1f} s"
        progress(source.terms.title, said)
        return Asked(source=source, batch=batch, seconds=seconds, asked_from=request.start)
    progress(source.terms.title, "no answer")
    return Asked(source=source, fault=fault, seconds=stopwatch() - began, asked_from=request.start)
