"""SOURCES -> SERVICES: one run asks every source, stores what came in one transaction, and says what it did.

Sources fail independently: what one could not give stays as it was last known, and the report says so. Where no
real source answers for a quantity, a simulated one does, under its own label, and never over a real value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from uuid import UUID

from pylon.errors import PylonError
from pylon.ontology.calendar import AHEAD, floor
from pylon.ontology.enums import RunStatus
from pylon.services import ingest, synthesise
from pylon.services.ask_sources import Asked, Progress, ask_sources, silent, source_report
from pylon.services.check_quality import Checked, check_quality
from pylon.services.forecast_signals import forecast_signals
from pylon.services.reach_back import BEHIND
from pylon.services.reports import ForecastReport, Outcome, RunReport, SourceReport, SyntheticReport
from pylon.services.score_stress import score_stress
from pylon.settings import Settings
from pylon.sources import feed
from pylon.sources.feed import SIMULATED, Request, Source
from pylon.sources.http import Http
from pylon.store import leases
from pylon.store.database import Database, Transaction, json_text

__all__ = ["AHEAD", "BEHIND", "LEASE", "Progress", "Run", "run", "silent"]

LEASE = leases.PIPELINE


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
    behind: timedelta | None = None
    """How far back to ask every source; unless told, each as `services.reach_back` says."""
    progress: Progress = field(default=silent)

    @property
    def start(self) -> datetime:
        """Start of the first half hour asked for, as far as that is the same for every source."""
        return floor(self.now) - (BEHIND if self.behind is None else self.behind)

    @property
    def end(self) -> datetime:
        """End of the last half hour asked for."""
        return floor(self.now) + AHEAD


def run(database: Database, settings: Settings, this: Run, sources: Sequence[Source] | None = None) -> RunReport:
    """Run the pipeline once and return its report, which is also kept in pipeline_runs.

    Raises `LeaseHeld` while another process runs it; a source's failure is in the report, not raised.
    """
    known = feed.discover() if sources is None else sources
    with leases.held(database, LEASE, this.run_id, this.clock):
        began = this.clock()
        try:
            before = _start(database, this, began)
            last = {source.name: source for source in before.sources} if before else {}
            created = _fleet(database, settings, this)
            asked = _ask(settings, this, known, last)
            report = _store(database, settings, this, asked, feed.ranks(known), last, began)
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


def _ask(settings: Settings, this: Run, sources: Sequence[Source], last: Mapping[str, SourceReport]) -> list[Asked]:
    with Http(timeout_s=settings.http_timeout_s, attempts=settings.http_attempts) as http:
        request = Request(
            now=this.now,
            start=this.start,
            end=this.end,
            seed=settings.seed,
            http=http,
            base_urls=settings.base_urls,
        )
        return ask_sources(
            sources,
            request,
            grid=settings.grid,
            reaches_back=this.behind is None,
            last=last,
            stopwatch=perf_counter,
            progress=this.progress,
        )


def _store(
    database: Database,
    settings: Settings,
    this: Run,
    asked: Sequence[Asked],
    ranks: Mapping[str, int],
    last: Mapping[str, SourceReport],
    began: datetime,
) -> RunReport:
    """Store batches, forecasts, stress and the report in one transaction: a run is seen whole or not at all."""
    with database.as_ingest() as transaction:
        leases.hold(transaction, LEASE, this.run_id, this.clock())
        # Values count as known from when they are stored, not from when the sources began to be asked.
        known_at = this.now + max(this.clock() - began, timedelta(0))
        start = min((one.asked_from for one in asked if one.asked_from), default=this.start)
        checked, stored = _store_batches(transaction, this, asked, ranks, known_at)
        forecasts = _forecast(transaction, settings, this, ranks, known_at)
        has_news = stored or forecasts.rows_written
        stress = _stress(transaction, this, start, known_at) if has_news else ingest.Stored(0, 0, 0)
        ingest.refresh_centres(transaction, this.now)
        report = RunReport(
            run_id=this.run_id,
            status=_status(asked),
            trigger=this.trigger,
            started_at=began,
            finished_at=this.clock(),
            as_of=this.now,
            asked_from=start,
            sources=_source_reports(this, asked, checked, stored, last),
            vintages_written=sum(done.vintages for done in (*stored.values(), stress)) + forecasts.vintages_written,
            flags_written=checked.flags_written,
            stress_written=stress.written,
            forecasts=forecasts,
        )
        _finish(transaction, report)
    return report


def _finish(transaction: Transaction, report: RunReport) -> None:
    stored = json_text(report.stored())
    transaction.run("finish_run", id=report.run_id, status=report.status, now=report.finished_at, report=stored)


def _store_batches(
    transaction: Transaction, this: Run, asked: Sequence[Asked], ranks: Mapping[str, int], known_at: datetime
) -> tuple[Checked, dict[str, ingest.Stored]]:
    """Store what each source gave, real values checked first, and return what became of it by source."""
    given = {one.source.terms.name: one.batch for one in asked if one.batch is not None}
    labels = {one.source.terms.name: one.source.terms.data_source for one in asked}
    real = {name: batch for name, batch in given.items() if labels[name] != SIMULATED}
    checked = check_quality(transaction, real, run_id=this.run_id, now=known_at)
    stored = {
        name: ingest.store_batch(transaction, labels[name], batch, ranks=ranks, run_id=this.run_id, now=known_at)
        for name, batch in {**given, **checked.batches}.items()
    }
    return checked, stored


def _forecast(
    transaction: Transaction, settings: Settings, this: Run, ranks: Mapping[str, int], known_at: datetime
) -> ForecastReport:
    if settings.grid == "simulated":
        return ForecastReport()
    made = forecast_signals(transaction, ranks=ranks, run_id=this.run_id, as_of=this.now, now=known_at)
    if made.half_hours:
        this.progress("Forecast by Pylon", f"{sum(made.half_hours.values()):,} half hours that no source gave")
    return made


def _stress(transaction: Transaction, this: Run, start: datetime, known_at: datetime) -> ingest.Stored:
    return score_stress(transaction, start=start, end=this.end, run_id=this.run_id, now=known_at)


def _source_reports(
    this: Run,
    asked: Sequence[Asked],
    checked: Checked,
    stored: Mapping[str, ingest.Stored],
    last: Mapping[str, SourceReport],
) -> list[SourceReport]:
    return [
        source_report(
            one,
            stored.get(one.source.terms.name, ingest.Stored(0, 0, 0)),
            withheld=checked.withheld.get(one.source.terms.name, 0),
            now=this.now,
            last=last.get(one.source.terms.name),
        )
        for one in asked
    ]


def _status(asked: Sequence[Asked]) -> RunStatus:
    # A source that was not due says nothing of how this run went.
    answered = [one.fault is None for one in asked if one.outcome is not Outcome.NOT_DUE]
    if all(answered):
        return RunStatus.SUCCEEDED
    return RunStatus.PARTIAL if any(answered) else RunStatus.FAILED


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
