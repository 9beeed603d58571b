"""SOURCES -> SERVICES: one run asks every source, stores what came in one transaction, and says what it did.

Sources fail independently: what one could not give stays as it was last known, and the report says so. Where no
real source answers for a quantity, a simulated one does, under its own label, and never over a real value.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import perf_counter
from uuid import UUID

from pylon.errors import PylonError, SourceChanged
from pylon.ontology.calendar import floor
from pylon.ontology.enums import RunStatus
from pylon.services import ingest, synthesise
from pylon.services.reports import (
    REFUSALS_KEPT,
    Outcome,
    Refusal,
    RunReport,
    SourceReport,
    SyntheticReport,
    gaps_of,
)
from pylon.services.score_stress import score_stress
from pylon.settings import Settings
from pylon.sources import feed
from pylon.sources.feed import Batch, Request, Source
from pylon.sources.http import Http
from pylon.store import leases
from pylon.store.database import Database, Transaction, json_text

__all__ = ["AHEAD", "BEHIND", "LEASE", "Progress", "Run", "run", "silent"]

log = logging.getLogger("pylon.pipeline")

LEASE = "pipeline"
AHEAD = timedelta(hours=48)
BEHIND = timedelta(hours=24)

Progress = Callable[[str, str], None]
"""Called with a title and what became of it, as the run goes on."""


def silent(_title: str, _outcome: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run needs to know: when it is (`now`), who it is, for whom, and why it started.

    `now` is the moment the data are for; `clock` tells the real time, for leases. They differ only in replays.
    """

    run_id: UUID
    now: datetime
    clock: Callable[[], datetime]
    operator_id: UUID
    trigger: str
    behind: timedelta = BEHIND
    progress: Progress = field(default=silent)


@dataclass(frozen=True, slots=True)
class _Fetched:
    source: Source
    batch: Batch | None
    fault: PylonError | None
    seconds: float


def run(database: Database, settings: Settings, this: Run, sources: Sequence[Source] | None = None) -> RunReport:
    """Run the pipeline once and return its report, which is also kept in pipeline_runs.

    Raises `LeaseHeld` while another process runs it; a source's failure is in the report, not raised.
    """
    with leases.held(database, LEASE, this.run_id, this.clock):
        began = this.clock()
        before = _start(database, this, began)
        try:
            created = _fleet(database, settings, this)
            fetched = _fetch(settings, this, feed.discover() if sources is None else sources)
            report = _store(database, this, fetched, before, began)
        except Exception as error:
            _fail(database, this, error if isinstance(error, PylonError) else PylonError(repr(error)))
            raise
        # The run has committed: whatever fails from here on must not call it failed.
        return _arrivals(database, settings, this, report, created)


def _start(database: Database, this: Run, began: datetime) -> RunReport | None:
    """Record the start and return the report of the last committed run."""
    with database.as_ingest() as transaction:
        last = transaction.one("last_committed_run")
        transaction.run("start_run", id=this.run_id, trigger=this.trigger, now=began)
        transaction.run("abandon_runs", id=this.run_id, now=began)
    return RunReport.of(last) if last else None


def _fleet(database: Database, settings: Settings, this: Run) -> Mapping[str, int]:
    if settings.synthetic == "off":
        return {}
    created = synthesise.ensure_fleet(database, this.operator_id, seed=settings.seed)
    if created:
        things = ", ".join(f"{n} {name}" for name, n in created.items() if name != "Operator")
        this.progress("Simulated fleet", f"{things}; yours, and those of {created.get('Operator', 0)} neighbours")
    return created


def _fetch(settings: Settings, this: Run, sources: Iterable[Source]) -> list[_Fetched]:
    """Ask every real source at once, then the simulated ones for what none of those answered."""
    start = floor(this.now)
    with Http(timeout_s=settings.http_timeout_s, attempts=settings.http_attempts) as http:
        request = Request(
            now=this.now,
            start=start - this.behind,
            end=start + AHEAD,
            seed=settings.seed,
            http=http,
            base_urls={"carbon_intensity_api": str(settings.carbon_intensity_url).rstrip("/")},
        )
        ranked = list(sources)
        real = [] if settings.grid == "simulated" else [s for s in ranked if not s.terms.is_simulated]
        simulated = [] if settings.grid == "real" else [s for s in ranked if s.terms.is_simulated]
        fetched = _ask_all(real, request, this.progress)
    answered = {supply for one in fetched if one.batch is not None for supply in one.source.terms.supplies}
    for source in simulated:
        wanted = source.terms.supplies - answered
        if wanted:
            fetched.append(_ask(source, replace(request, wanted=wanted), this.progress))
            answered |= wanted
    return fetched


def _ask_all(sources: Sequence[Source], request: Request, progress: Progress) -> list[_Fetched]:
    """Ask at once, each in a daemon thread: whoever stops Pylon does not wait for a slow upstream."""
    answers: dict[int, _Fetched] = {}

    def work(position: int, source: Source) -> None:
        answers[position] = _ask(source, request, progress)

    threads = [
        threading.Thread(target=work, args=one, name=f"source-{one[1].terms.name}", daemon=True)
        for one in enumerate(sources)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[position] for position in range(len(threads))]


def _ask(source: Source, request: Request, progress: Progress) -> _Fetched:
    began = perf_counter()
    try:
        batch = source.fetch(request)
    except PylonError as fault:
        return _failed(source, fault, progress, perf_counter() - began)
    except Exception as unforeseen:  # a fault of one source's code must not cost the others their run
        log.exception("%s failed", source.terms.name)
        changed = SourceChanged(f"{source.terms.title} could not be read: {unforeseen!r}.")
        return _failed(source, changed, progress, perf_counter() - began)
    seconds = perf_counter() - began
    progress(source.terms.title, f"{batch.rows_seen} rows in {seconds:.1f} s")
    return _Fetched(source, batch, None, seconds)


def _failed(source: Source, fault: PylonError, progress: Progress, seconds: float) -> _Fetched:
    progress(source.terms.title, "no answer")
    return _Fetched(source, None, fault, seconds)


def _store(
    database: Database, this: Run, fetched: Sequence[_Fetched], before: RunReport | None, began: datetime
) -> RunReport:
    """Store every batch, the stress and the report in one transaction: a run is seen whole or not at all."""
    start = floor(this.now)
    last_answer = {source.name: source.fetched_at for source in before.sources} if before else {}
    with database.as_ingest() as transaction:
        leases.hold(transaction, LEASE, this.run_id, this.clock())
        stored = [_store_one(transaction, this, one) for one in fetched]
        stress = score_stress(
            transaction, start=start - this.behind, end=start + AHEAD, run_id=this.run_id, now=this.now
        )
        ingest.refresh_centres(transaction, this.now)
        report = RunReport(
            run_id=this.run_id,
            status=_status(fetched),
            trigger=this.trigger,
            started_at=began,
            finished_at=this.clock(),
            sources=[
                _source_report(one, done, this.now, last_answer.get(one.source.terms.name))
                for one, done in zip(fetched, stored, strict=True)
            ],
            vintages_written=stress.vintages + sum(done.vintages for done in stored),
            stress_written=stress.written,
        )
        transaction.run(
            "finish_run",
            id=this.run_id,
            status=report.status,
            now=report.finished_at,
            report=json_text(report.stored()),
        )
    return report


def _store_one(transaction: Transaction, this: Run, one: _Fetched) -> ingest.Stored:
    if one.batch is None:
        return ingest.Stored(0, 0, 0)
    return ingest.store_batch(transaction, one.source.terms, one.batch, run_id=this.run_id, now=this.now)


def _status(fetched: Sequence[_Fetched]) -> RunStatus:
    answered = [one.batch is not None for one in fetched]
    if all(answered):
        return RunStatus.SUCCEEDED
    return RunStatus.PARTIAL if any(answered) else RunStatus.FAILED


def _source_report(one: _Fetched, done: ingest.Stored, now: datetime, last_answer: datetime | None) -> SourceReport:
    terms, batch = one.source.terms, one.batch
    return SourceReport(
        name=terms.name,
        title=terms.title,
        data_source=terms.data_source,
        is_simulated=terms.is_simulated,
        licence=terms.licence,
        attribution=terms.attribution,
        outcome=Outcome.OK if batch else Outcome.FAILED,
        rows_seen=batch.rows_seen if batch else 0,
        rows_written=done.written,
        rows_unchanged=done.unchanged,
        rows_rejected=len(batch.rejected) if batch else 0,
        rejected=[Refusal(what=r.what, why=r.why) for r in batch.rejected[:REFUSALS_KEPT]] if batch else [],
        half_hours_missing=len(batch.missing) if batch else 0,
        gaps=gaps_of(list(batch.missing)) if batch else [],
        seconds=round(one.seconds, 3),
        fetched_at=now if batch else last_answer,
        fault=one.fault.problem() if one.fault else None,
    )


def _arrivals(
    database: Database, settings: Settings, this: Run, report: RunReport, created: Mapping[str, int]
) -> RunReport:
    if settings.synthetic == "off":
        return report
    arrived = synthesise.arrive(database, this.operator_id, seed=settings.seed, now=this.now)
    if arrived:
        this.progress("Simulated workloads", f"{arrived} arrived")
    synthetic = SyntheticReport(objects_created=dict(created), workloads_arrived=arrived)
    with database.as_ingest() as transaction:
        amended = json_text({"synthetic": synthetic.model_dump(mode="json")})
        transaction.run("amend_run", id=this.run_id, report=amended)
    return report.model_copy(update={"synthetic": synthetic})


def _fail(database: Database, this: Run, error: PylonError) -> None:
    """Say in the run's own record why it failed, if the database still takes it; the error itself goes on."""
    try:
        with database.as_ingest() as transaction:
            transaction.run(
                "finish_run",
                id=this.run_id,
                status=RunStatus.FAILED,
                now=this.clock(),
                report=json_text({"error": error.problem()}),
            )
    except PylonError:
        return  # the database is what failed: the next run marks this one as abandoned
