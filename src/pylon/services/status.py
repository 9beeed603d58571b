"""Status: the last run, every source's age, what is held, and whether the system is ready to serve."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.services.list_sources import SourceState, source_states
from pylon.services.reports import Outcome, RunReport, SourceReport
from pylon.services.take_stock import Holding, take_stock
from pylon.store.database import Database

__all__ = ["FRESH_FOR", "Readiness", "Status", "readiness", "status"]

FRESH_FOR = timedelta(minutes=75)
"""Two runs of the timetable and some slack: data older than this are called stale."""


class Readiness(BaseModel):
    """Whether the system can serve, and why not when it cannot."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    reason: str | None = Field(default=None, description="What is missing, and what to do about it")
    data_age_s: int | None = Field(default=None, description="Seconds since the last run that stored anything")
    stale: bool = Field(default=False, description="Whether that is longer ago than two scheduled runs")
    not_answering: list[str] = Field(
        default=[], description="Real sources that have not answered for that long; simulated values may stand in"
    )


class Status(BaseModel):
    """What `pylon status` shows."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    operator_id: UUID
    readiness: Readiness
    runs: list[RunReport] = Field(description="The latest runs, newest first")
    stock: list[Holding]
    sources: list[SourceState] = Field(description="Every source: its terms, how it fared last, what is missing")


def status(database: Database, operator_id: UUID, now: datetime, *, runs: int = 5) -> Status:
    """Return the status, with the latest `runs` runs."""
    with database.as_reader(operator_id) as transaction:
        latest = [RunReport.of(row) for row in transaction.all("latest_runs", limit=runs)]
        stock = take_stock(transaction, operator_id, now)
        committed = transaction.one("last_committed_run")
        sources = source_states(transaction, now)
    return Status(
        as_of=now,
        operator_id=operator_id,
        readiness=_readiness(RunReport.of(committed) if committed else None, now),
        runs=latest,
        stock=stock,
        sources=sources,
    )


def readiness(database: Database, operator_id: UUID, now: datetime) -> Readiness:
    """Return whether grid data have been loaded and how old they are."""
    with database.as_reader(operator_id) as transaction:
        committed = transaction.one("last_committed_run")
    return _readiness(RunReport.of(committed) if committed else None, now)


def _readiness(run: RunReport | None, now: datetime) -> Readiness:
    if run is None or run.finished_at is None:
        return Readiness(ready=False, reason="No grid data have been loaded yet. Run `pylon pipeline`.")
    age = now - run.finished_at
    silent = [source.title for source in run.sources if not source.is_simulated and _is_silent(source, now)]
    return Readiness(
        ready=True,
        data_age_s=max(0, round(age.total_seconds())),
        stale=age > FRESH_FOR,
        not_answering=silent,
    )


def _is_silent(source: SourceReport, now: datetime) -> bool:
    age = source.age(now)
    return source.outcome is Outcome.FAILED and (age is None or age > FRESH_FOR)
