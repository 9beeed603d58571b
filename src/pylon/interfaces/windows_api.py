"""The windows API: when power is greenest and cheapest for a job of so many hours, region by region."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from pylon.interfaces.instants import instant
from pylon.interfaces.runtime import Runtime
from pylon.services.find_windows import WindowList, find_windows

__all__ = ["add_windows"]


def _instant(text: Any) -> datetime | None:
    try:
        return instant(text)
    except ValueError as fault:  # which pydantic would put its own words before
        raise PydanticCustomError("instant", "{why}", {"why": str(fault)}) from None


def _region(text: Any) -> int | None:
    if text is None:
        return None
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 3 and 1 <= int(text) <= 14):
        why = "must be the number of a region, 1 to 14; 15 to 17 (England, Scotland, Wales) are sums of them"
        raise PydanticCustomError("region", "{why}", {"why": why})
    return int(text)


_Hours = Annotated[
    float, Query(ge=0.25, le=47, allow_inf_nan=False, description="How long the job runs, to the minute")
]
_By = Annotated[
    datetime | None,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
    Query(description="When it must be done; 48 hours from now when left out or later"),
]
_Region = Annotated[
    int | None,
    BeforeValidator(_region),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 14}),
    Query(description="Number of one region; every region when left out"),
]
_Top = Annotated[int, Query(ge=1, le=10, description="How many windows of each kind, at most")]


def add_windows(app: FastAPI, here: Callable[[], Runtime]) -> None:
    """Add the route to `app`; `here` returns the runtime it works on."""

    @app.get("/api/v1/windows", tags=["grid"])
    def best_windows(hours: _Hours = 2, by: _By = None, region: _Region = None, top: _Top = 3) -> WindowList:
        """Return the greenest and the cheapest windows for a job, region by region, with what an MWh in them costs.

        The price is the wholesale price; a site's tariff is weighed when a job is placed.
        """
        runtime = here()
        return find_windows(
            runtime.database, runtime.operator_id, runtime.clock(), hours=hours, by=by, region=region, top=top
        )
