"""Score forecasts: how far each source's forecasts lay from what came, by how long before they were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import Invalid
from pylon.ontology.calendar import floor
from pylon.services.series import SERIES, Series, Span, find, span_of
from pylon.sources import feed
from pylon.sources.feed import SIMULATED, Side, Source
from pylon.store.database import Database

__all__ = ["HORIZONS_H", "ForecastSkill", "HorizonScore", "score_forecasts"]

HORIZONS_H: Final = (0, 1, 3, 6, 12, 24, 48)
"""Lower bounds of the horizons in hours; each reaches to the next, the last as far as any forecast. As in the query
forecast_skill."""

_DEFAULT_SPAN = timedelta(days=30)
_LONGEST = timedelta(days=92)  # every vintage is taken apart: a year of three sources is 5 million errors


class HorizonScore(BaseModel):
    """The errors (forecast less actual) of one source at one horizon, in the unit of the series."""

    model_config = ConfigDict(frozen=True)

    source: str
    is_simulated: bool = Field(description="Simulated forecasts are scored against simulated actuals")
    from_h: int = Field(
        description="Hours from the forecast's making to its half hour, at least; 0: more than none"
    )
    to_h: int | None = Field(description="Hours, less than; null: without end")
    n: int = Field(description="How many forecast values were compared")
    mae: float = Field(description="Mean absolute error")
    bias: float = Field(description="Mean error; positive: the forecast was too high")
    rmse: float = Field(description="Root of the mean squared error")
    p95_abs_error: float = Field(description="95 in 100 absolute errors were no larger")


class ForecastSkill(BaseModel):
    """How well a series was forecast."""

    model_config = ConfigDict(frozen=True)

    name: str
    actual: str = Field(description="The series that the forecasts were compared with")
    outturns: list[str] | None = Field(description="Whose values count as what came; null: whoever gave the actual")
    unit: str
    as_of: datetime
    starts_at: datetime = Field(description="Start of the first half hour scored")
    ends_at: datetime
    notes: list[str]
    contains_simulated: bool
    scores: list[HorizonScore] = Field(
        description="By source, then horizon; those without a comparison are left out"
    )


def score_forecasts(
    database: Database,
    name: str,
    now: datetime,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    sources: Sequence[Source] | None = None,
) -> ForecastSkill:
    """Return the skill of the forecasts of a series over [start, end): by default the last 30 days.

    Every vintage recorded before its half hour began is compared with the actual, unless that is withheld. One that
    only repeats the one before it is not recorded, so counts once. Raises `NotFound` for a name that is no series
    and `Invalid` for one that has no actual.
    """
    series = find(name)
    if series.actual is None:
        raise Invalid(f"{name} cannot be scored: {_why_not(series)} Valid: {', '.join(_SCORED)}.")
    last = floor(now) if end is None else end
    span = span_of(floor(last) - _DEFAULT_SPAN if start is None else start, last, longest=_LONGEST)
    actual = SERIES[series.actual]
    outturns = None if actual is not series else _outturns(series, feed.discover() if sources is None else sources)
    scores = _scores(database, series, actual, span, outturns)
    return ForecastSkill(
        name=name,
        actual=actual.name,
        outturns=outturns,
        unit=series.spec.unit,
        as_of=now,
        starts_at=span.start,
        ends_at=span.end,
        notes=[*span.notes, *([] if scores else [_NOTHING])],
        contains_simulated=any(score.is_simulated for score in scores),
        scores=scores,
    )


def _scores(
    database: Database, series: Series, actual: Series, span: Span, outturns: list[str] | None
) -> list[HorizonScore]:
    with database.as_anyone() as transaction:
        rows = transaction.all(
            "forecast_skill",
            series=series.name,
            actual=actual.name,
            column=actual.column,
            quantity=actual.quantity,
            outturns=outturns,
            start=span.start,
            end=span.end,
        )
    return [
        HorizonScore(**row, is_simulated=row["source"] == SIMULATED, to_h=_UPPER[row["from_h"]]) for row in rows
    ]


_UPPER = dict(zip(HORIZONS_H, (*HORIZONS_H[1:], None), strict=True))
_SCORED = [name for name, series in SERIES.items() if series.actual]
_NOTHING = (
    "Nothing to compare: no forecast of these half hours was recorded before they began, or no actual is known."
)


def _why_not(series: Series) -> str:
    if series.is_afterwards:
        return "it is known only afterwards, so nobody forecasts it."
    if series.region_id is not None:
        return "the regional figures are a model's output, and nobody measures what they forecast."
    return "Pylon works it out from other signals, and nobody measures it."


def _outturns(series: Series, sources: Iterable[Source]) -> list[str]:
    """Return the labels of those who say what came of the series: the real sources that speak of the past alone."""
    return sorted(
        {
            source.terms.data_source
            for source in sources
            if series.quantity in source.terms.supplies
            and source.terms.sides == {Side.PAST}
            and not source.terms.is_simulated
        }
    )
