"""The signals in the REST API: what is held, values as they are or were known, forecast skill, sources, quality."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from pylon.interfaces.instants import instant
from pylon.interfaces.runtime import Runtime
from pylon.services.list_signals import SignalList, list_signals
from pylon.services.list_sources import FlagList, SourceList, list_flags, list_sources
from pylon.services.read_signal import SignalReading, read_signal
from pylon.services.score_forecasts import ForecastSkill, score_forecasts

__all__ = ["AsOf", "add_signals"]


def _instant(text: Any) -> datetime | None:
    try:
        return instant(text)
    except ValueError as fault:  # which pydantic would put its own words before
        raise PydanticCustomError("instant", "{why}", {"why": str(fault)}) from None


_Read = (BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"}))
AsOf = Annotated[
    datetime | None, *_Read, Query(description="Answer as it was known at this time; now when left out")
]
_From = Annotated[datetime | None, *_Read, Query(alias="from", description="First half hour; floored")]
_To = Annotated[datetime | None, *_Read, Query(alias="to", description="End, excluded; floored")]
_Name = Annotated[
    str,
    Path(description="As GET /api/v1/signals lists them", examples=["national.carbon_intensity_forecast"]),
]


def add_signals(app: FastAPI, running: Callable[[], Runtime]) -> None:
    """Add the routes that read signals, sources and quality flags of what `running` returns."""
    _add_readings(app, running)
    _add_sources(app, running)


def _add_readings(app: FastAPI, running: Callable[[], Runtime]) -> None:
    @app.get("/api/v1/signals", tags=["grid"])
    def signals() -> SignalList:
        """Return every series: its unit, what it means, what is held of it and from whom."""
        here = running()
        return list_signals(here.database, here.clock())

    @app.get("/api/v1/signals/{name}", tags=["grid"])
    def signal(name: _Name, start: _From = None, end: _To = None, as_of: AsOf = None) -> SignalReading:
        """Return a series, half hour by half hour: 48 hours from now on unless told, at most 366 days.

        With `as_of` the values as they were known then. Each value says who gave it; what is withheld or missing
        says why.
        """
        here = running()
        return read_signal(here.database, here.operator_id, name, here.clock(), start=start, end=end, as_of=as_of)

    @app.get("/api/v1/signals/{name}/skill", tags=["grid"])
    def skill(name: _Name, start: _From = None, end: _To = None) -> ForecastSkill:
        """Return how far a series' forecasts lay from what came, by source and horizon.

        Of the last 30 days unless told, at most 92 days at once.
        """
        here = running()
        return score_forecasts(here.database, name, here.clock(), start=start, end=end)


def _add_sources(app: FastAPI, running: Callable[[], Runtime]) -> None:
    @app.get("/api/v1/sources", tags=["grid"])
    def sources() -> SourceList:
        """Return every source: its terms, how it fared last, what of it is withheld, and what is missing."""
        here = running()
        return list_sources(here.database, here.operator_id, here.clock())

    @app.get("/api/v1/quality", tags=["grid"])
    def quality(
        start: _From = None,
        end: _To = None,
        series: Annotated[str | None, Query(description="Of this series alone")] = None,
    ) -> FlagList:
        """Return the values that were received and found not fit to serve, the newest first, at most 1,000."""
        here = running()
        return list_flags(here.database, here.clock(), start=start, end=end, series=series)
