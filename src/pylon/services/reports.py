"""What a pipeline run says of itself: kept in pipeline_runs, shown by status, and returned by the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import RunStatus

__all__ = ["ForecastReport", "Gap", "Outcome", "Refusal", "RunReport", "SourceReport", "SyntheticReport", "gaps_of"]

REFUSALS_KEPT = 20


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class Outcome(StrEnum):
    """How a source fared in one run."""

    OK = "ok"
    UNCHANGED = "unchanged"
    """It said that it has published nothing since it was last read."""
    NOT_DUE = "not_due"
    """It was not asked: it publishes less often, or asks to be asked less often, than the pipeline runs."""
    FAILED = "failed"


class Gap(_Report):
    """Consecutive half hours that were asked for and did not come: [start, end)."""

    start: datetime
    end: datetime
    half_hours: int


class Refusal(_Report):
    """A row that was received and not stored."""

    what: str
    why: str


class SourceReport(_Report):
    """One source in one run."""

    name: str
    title: str
    data_source: str = Field(description="The label its values carry; `simulated` when it makes them up")
    is_simulated: bool
    licence: str
    attribution: str
    outcome: Outcome
    rows_seen: int = Field(default=0, description="Rows received")
    rows_written: int = Field(default=0, description="Rows of signals, mix and factors written")
    rows_unchanged: int = Field(default=0, description="Rows of signals and factors stored already as they came")
    rows_rejected: int = 0
    rejected: list[Refusal] = Field(default=[], description="The first of the rows refused, and why")
    values_withheld: int = Field(default=0, description="Values stored raw in quality_flags and not served")
    half_hours_missing: int = 0
    gaps: list[Gap] = []
    seconds: float = Field(description="Seconds spent fetching and reading")
    fetched_at: datetime | None = Field(default=None, description="When the source last answered")
    whole_at: datetime | None = Field(default=None, description="When it last gave all that it was asked for")
    looked_back_at: datetime | None = Field(
        default=None, description="When it last gave all that it was asked for of the last 7 days"
    )
    marker: str | None = Field(default=None, description="What the source last said of its own state")
    fault: dict[str, Any] | None = Field(default=None, description="The problem, when the source failed")

    def age(self, now: datetime) -> timedelta | None:
        """Return how long ago the source last answered, or None if it never has."""
        return None if self.fetched_at is None else now - self.fetched_at


class SyntheticReport(_Report):
    """What the run generated for the fleet."""

    objects_created: dict[str, int] = {}
    workloads_arrived: int = 0


class ForecastReport(_Report):
    """What Pylon forecast itself of the 48 hours ahead, since no source gave it."""

    half_hours: dict[str, int] = Field(default={}, description="How many half hours were forecast, by series")
    on_short_history: list[str] = Field(
        default=[],
        description="Series forecast from so little that their quantiles are near the worst that was seen",
    )
    without_history: dict[str, int] = Field(
        default={},
        description="Half hours that no source gave and that were not forecast either, by series: of its real past "
        "less than a day is known",
    )
    rows_written: int = 0
    vintages_written: int = 0


class RunReport(_Report):
    """One run of the pipeline."""

    run_id: UUID
    status: RunStatus
    trigger: str
    started_at: datetime
    finished_at: datetime | None = None
    as_of: datetime | None = Field(default=None, description="The moment the data are for; differs in replays")
    asked_from: datetime | None = Field(default=None, description="Start of the first half hour asked for")
    sources: list[SourceReport] = []
    vintages_written: int = 0
    flags_written: int = Field(default=0, description="Quality flags raised, changed or cleared")
    stress_written: int = Field(default=0, description="Half hours whose grid stress score was written")
    forecasts: ForecastReport = ForecastReport()
    synthetic: SyntheticReport | None = None
    error: dict[str, Any] | None = None

    @property
    def rows_written(self) -> int:
        """Every row the run wrote, its own record excepted."""
        generated = self.synthetic or SyntheticReport()
        return (
            sum(source.rows_written for source in self.sources)
            + self.vintages_written
            + self.stress_written
            + self.flags_written
            + self.forecasts.rows_written
            + sum(generated.objects_created.values())
            + generated.workloads_arrived
        )

    def stored(self) -> dict[str, Any]:
        """Return what goes into the report column: everything that has no column of its own."""
        return self.model_dump(
            mode="json", exclude={"run_id", "status", "trigger", "started_at", "finished_at"}, exclude_none=True
        )

    @classmethod
    def of(cls, row: dict[str, Any]) -> RunReport:
        """Return the report of a row of pipeline_runs."""
        columns = {name: row[name] for name in ("status", "trigger", "started_at", "finished_at")}
        return cls(run_id=row["id"], **columns, **row["report"])


def gaps_of(missing: list[datetime]) -> list[Gap]:
    """Return the runs of consecutive half hours in `missing` (sorted)."""
    if not missing:
        return []
    breaks = [i for i, (one, other) in enumerate(pairwise(missing), 1) if other - one != HALF_HOUR]
    return [
        Gap(start=missing[i], end=missing[j - 1] + HALF_HOUR, half_hours=j - i)
        for i, j in pairwise([0, *breaks, len(missing)])
    ]
