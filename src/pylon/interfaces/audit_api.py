"""The log of decisions in the REST API: check it, take it away, keep its head, make what it says again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import FastAPI, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from pylon.errors import Conflict
from pylon.interfaces.runtime import Runtime
from pylon.interfaces.words import Word
from pylon.services.export_log import export_log
from pylon.services.publish_heads import HEADS_FILE, Heads, PublishedHead, present_head, read_heads
from pylon.services.replay import Replayed, replay, work_out_in
from pylon.services.verify_log import Verification, verify

__all__ = ["Verified", "add_audit"]

_verifying, _replaying = threading.Lock(), threading.Lock()

_NDJSON = "application/x-ndjson"
_Name = Annotated[
    Word, Path(description="The id or own id of a decision or a plan", examples=["D-000001", "P-000001"])
]


class Verified(Verification):
    """What came of following the log, and of reading the heads published on this machine."""

    unreadable_lines: tuple[int, ...] = Field(
        description="Lines of the file of heads that are no head, from 1: what they held was not looked for"
    )


def add_audit(app: FastAPI, here: Callable[[], Runtime]) -> None:
    """Add the routes to `app`; `here` returns the runtime they work on."""

    @app.get("/api/v1/audit/verify", tags=["audit"])
    def verify_log() -> Verified:
        """Check the whole log of decisions, and that the heads published on this machine are in it.

        Its time grows with the log; one at a time.
        """
        runtime = here()
        path = runtime.settings.home / HEADS_FILE
        with _one_at_a_time(_verifying, "The log is being checked"):
            heads = read_heads(path) if path.exists() else Heads()
            found = verify(runtime.database, runtime.operator_id, heads.heads)
        return Verified(**dict(found), unreadable_lines=heads.unreadable_lines)

    @app.get(
        "/api/v1/audit/export",
        tags=["audit"],
        response_class=StreamingResponse,
        responses={200: {"content": {_NDJSON: {"schema": {"type": "string"}}}}},
    )
    def export(
        first: Annotated[int, Query(alias="from", ge=1, description="Number of the first decision")] = 1,
    ) -> StreamingResponse:
        """Return the log as lines of JSON: a header that says how to check them, then every decision."""
        runtime = here()
        lines = export_log(runtime.database, runtime.operator_id, runtime.clock(), first=first)
        return StreamingResponse(lines, media_type=_NDJSON)

    @app.get("/api/v1/audit/heads", tags=["audit"])
    def heads() -> PublishedHead:
        """Return where the log ends now: kept elsewhere, it shows later whether anything up to it was changed."""
        runtime = here()
        return present_head(runtime.database, runtime.operator_id, runtime.clock())

    _add_replay(app, here)


def _add_replay(app: FastAPI, here: Callable[[], Runtime]) -> None:
    @app.get("/api/v1/audit/replay/{name}", tags=["audit"])
    def replay_one(name: _Name) -> Replayed:
        """Make a decision or a plan again from what was kept of it, and compare byte for byte."""
        runtime = here()

        def work_out(document: bytes) -> bytes:
            with _one_at_a_time(_replaying, "A plan is being made again"):
                return work_out_in(runtime.worker, document)

        return replay(runtime.database, runtime.operator_id, name, work_out)


@contextmanager
def _one_at_a_time(lock: threading.Lock, what: str) -> Iterator[None]:
    if not lock.acquire(blocking=False):
        raise Conflict(f"{what} for somebody else. Try again in a moment.")
    try:
        yield
    finally:
        lock.release()
