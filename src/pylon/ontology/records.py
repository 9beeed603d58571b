"""Records: what Pylon keeps about its own work, beside the object types."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.enums import RunStatus
from pylon.ontology.types import (
    Column,
    GramsPerKwh,
    Index,
    Instant,
    Json,
    Record,
    Scope,
    ShortText,
    Sql,
    Table,
    Text,
    Unit,
    Word,
)

__all__ = ["CarbonFactor", "Lease", "PipelineRun", "QualityFlag", "SignalVintage"]


class PipelineRun(Record):
    """One run of the pipeline: when, how it ended, and the report of every source."""

    table: ClassVar[Table] = Table(
        "pipeline_runs", Scope.MEMBERS, indexes=(Index("started_at desc"), Index("finished_at desc"))
    )

    id: Annotated[UUID, Field(description="Primary key; what a decision names as the data it saw")]
    status: Annotated[RunStatus, Field(description="How the run stands")] = RunStatus.RUNNING
    trigger: Annotated[ShortText, Field(description="What started it: command, timetable, start-up or import")]
    started_at: Annotated[Instant, Field(description="When it started")]
    finished_at: Annotated[Instant | None, Field(description="When it committed, or failed")] = None
    report: Annotated[
        Json,
        Column(default="'{}'"),
        Field(description="Per source: rows seen, written, unchanged, rejected, gaps, seconds, faults"),
    ] = {}


class SignalVintage(Record):
    """A series as one pipeline run saw it; kept for good, so any signal can be read as it was known."""

    table: ClassVar[Table] = Table(
        "signal_vintages",
        Scope.SHARED,
        key=("series", "recorded_at", "run_id", "source"),
        append_only=True,
        partition_by="recorded_at",
    )

    series: Annotated[
        Word, Field(description="national.COLUMN or region.NUMBER.COLUMN, e.g. region.13.carbon_intensity_forecast")
    ]
    run_id: Annotated[UUID, Field(description="The pipeline run; no foreign key, so that it may be moved away")]
    recorded_at: Annotated[Instant, Field(description="When the run committed it")]
    starts_at: Annotated[Instant, Field(description="Start of the first half hour")]
    half_hour_values: Annotated[
        list[float | None],
        Sql("double precision[]"),
        Field(description="One value a half hour; null is a gap"),
    ]
    source: Annotated[ShortText, Field(description="Source of the series; `simulated` when simulated")]


class CarbonFactor(Record):
    """Grams of CO2 per kWh generated from a fuel, on the Carbon Intensity API's combustion-only basis."""

    table: ClassVar[Table] = Table("carbon_factors", Scope.SHARED, key=("fuel",))

    fuel: Annotated[ShortText, Field(description="The API's name for the fuel, e.g. Gas (Combined Cycle)")]
    factor_gco2_kwh: Annotated[GramsPerKwh, Field(ge=0, description="Carbon factor")]
    data_source: Annotated[ShortText, Field(description="Source of the factor")]
    fetched_at: Annotated[Instant, Column(default="now()"), Field(description="When the value was retrieved")]


class QualityFlag(Record):
    """A value that was received, kept as received, and found not fit to serve."""

    table: ClassVar[Table] = Table(
        "quality_flags",
        Scope.SHARED,
        key=("series", "starts_at", "rule", "flagged_at"),
        indexes=(Index("starts_at"),),
    )

    series: Annotated[Word, Field(description="The series, named as in signal_vintages")]
    starts_at: Annotated[Instant, Field(description="Start of the half hour")]
    rule: Annotated[ShortText, Field(description="The rule that found it, e.g. national_zero")]
    raw: Annotated[Json, Field(description="The value as received")]
    reason: Annotated[Text, Field(description="What is wrong with it, in words")]
    run_id: Annotated[UUID, Field(description="The run that found it")]
    flagged_at: Annotated[Instant, Field(description="When it was found")]
    cleared_at: Annotated[
        Instant | None, Field(description="When a later value passed the rule, or broke it otherwise")
    ] = None


class Lease(Record):
    """The right of one process to do one kind of work until a moment; it expires by itself."""

    table: ClassVar[Table] = Table("leases", Scope.INTERNAL, key=("name",))

    name: Annotated[ShortText, Field(description="The work, e.g. pipeline")]
    holder: Annotated[UUID, Field(description="The process that holds it")]
    acquired_at: Annotated[Instant, Field(description="When it was taken")]
    expires_at: Annotated[Instant, Field(description="When it ends unless renewed")]
    term_s: Annotated[int, Unit("s"), Field(gt=0, description="Seconds it was taken or renewed for")]
