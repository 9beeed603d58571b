"""The report in the REST API: what ended, by day or by agent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from pylon.interfaces.days import day
from pylon.interfaces.runtime import Runtime
from pylon.services.report import By, Report, report

__all__ = ["add_report"]


def _day(text: Any) -> date | None:
    try:
        return day(text)
    except ValueError as fault:  # which pydantic would put its own words before
        raise PydanticCustomError("day", "{why}", {"why": str(fault)}) from None


_Read = (BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"}))
_From = Annotated[
    date | None, *_Read, Query(alias="from", description="First London day; seven days before the end if not given")
]
_To = Annotated[date | None, *_Read, Query(alias="to", description="End, excluded; tomorrow if not given")]
_By = Annotated[By, Query(description="What the rows are")]


def add_report(app: FastAPI, running: Callable[[], Runtime]) -> None:
    """Add the route that reports on what `running` returns."""

    @app.get("/api/v1/report", tags=["decisions"], name="report")
    def read_report(start: _From = None, end: _To = None, by: _By = By.DAY) -> Report:
        """Return energy, carbon, cost and signed savings of what ended, by London day or by agent.

        The last seven days unless told, at most 366. Real, partly simulated and simulated figures have rows and
        totals of their own and are never added up.
        """
        here = running()
        return report(here.database, here.operator_id, here.clock(), start=start, end=end, by=by)
