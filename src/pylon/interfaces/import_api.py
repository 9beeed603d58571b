"""The import over HTTP: one endpoint that takes a file's text or bytes, and says what became of every row."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response

from pylon.errors import Conflict, Invalid
from pylon.interfaces.gate import Allowance
from pylon.interfaces.runtime import Runtime
from pylon.ontology.identity import uuid7
from pylon.services.import_rows import BAD_ROWS_KEPT, Import, ImportReport, OnExisting, import_rows
from pylon.services.import_types import TYPES
from pylon.sources import files
from pylon.sources.files import Form

__all__ = ["IMPORT", "IMPORT_ALLOWANCE", "add_import"]

IMPORT = "/api/v1/import"

_MOST_ROWS = 200_000  # a body may hold millions, and others wait; `pylon import` takes them
_going_on = threading.Lock()

_FORMS = {
    "application/json": Form.JSON,
    "text/csv": Form.CSV,
    "application/vnd.apache.parquet": Form.PARQUET,
}
IMPORT_ALLOWANCE = Allowance(media_types=tuple(_FORMS), max_body_bytes=32_000_000)

_CONTENT: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["rows"],
                "properties": {
                    "rows": {"type": "array", "items": {"type": "object"}},
                    "map": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "description": "Pylon's name of a column by the file's",
                    },
                },
            }
        },
        "text/csv": {"schema": {"type": "string"}},
        "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    },
}


async def _read_body(request: Request) -> bytes:
    return await request.body()


_Body = Annotated[bytes, Depends(_read_body)]
_Type = Annotated[
    str | None, Query(alias="type", description=f"{', '.join(TYPES)}; told by the columns if left out")
]
_DryRun = Annotated[bool, Query(description="Store nothing; say what would happen")]
_Label = Annotated[str, Query(description="Signals are labelled import:LABEL")]
_OnExisting = Annotated[OnExisting, Query(description="What becomes of rows that are stored with other values")]
_SkipBad = Annotated[bool, Query(description="Store the other rows when some are refused")]


def add_import(app: FastAPI, running: Callable[[], Runtime]) -> None:
    """Add the endpoint to `app`; `running` returns the Pylon that it works on."""

    @app.post(
        IMPORT,
        tags=["import"],
        status_code=201,
        responses={200: {"model": ImportReport, "description": "A dry run, or nothing that was new"}},
        openapi_extra={"requestBody": _CONTENT},
    )
    def import_data(
        request: Request,
        response: Response,
        body: _Body,
        object_type: _Type = None,
        dry_run: _DryRun = False,
        label: _Label = "api",
        on_existing: _OnExisting = OnExisting.FAIL,
        skip_bad: _SkipBad = False,
    ) -> ImportReport:
        """Import rows of the fleet, tariffs, workloads or signals: all of them or, if one is refused, none.

        The body is a list of objects or {"rows": [...], "map": {...}}, a CSV text or a Parquet file, of at most
        32 MB. 201: stored; 200: a dry run, or nothing new; 422: rows were refused, listed in bad_rows.
        """
        here = running()
        this = _import(
            here,
            label=label,
            type_name=object_type,
            on_existing=on_existing,
            skip_bad=skip_bad,
            dry_run=dry_run,
        )
        with _one_at_a_time():
            report = _imported(here, body, request.headers.get("content-type", ""), this)
        response.status_code = 201 if report.is_stored else 200
        return report


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one import go on: each holds a connection and a processor for as long as it takes, and others wait."""
    if not _going_on.acquire(blocking=False):
        raise Conflict("Another import is going on. Try again when it has ended.")
    try:
        yield
    finally:
        _going_on.release()


def _import(here: Runtime, **asked: Any) -> Import:
    now = here.clock()
    return Import(
        import_id=uuid7(now, os.urandom(10)),
        operator_id=here.operator_id,
        now=now,
        clock=here.clock,
        name="a file sent to the API",
        most_rows=_MOST_ROWS,
        **asked,
    )


def _imported(here: Runtime, body: bytes, content_type: str, this: Import) -> ImportReport:
    form = _FORMS.get(content_type.partition(";")[0].strip().lower(), Form.JSON)
    report = import_rows(here.database, files.read(io.BytesIO(body), form), this)
    if report.rows_refused and not this.skip_bad:
        raise Invalid(
            f"{report.rows_refused:,} of {report.rows_read:,} rows were refused, so nothing was stored. bad_rows "
            f"has what is wrong with them (the first {BAD_ROWS_KEPT:,} faults). Mend them, or send skip_bad=true.",
            **report.model_dump(mode="json"),
        )
    return report
