"""A stand-in server: real HTTP on loopback, a movable clock, a record of requests, planned answers and faults.

    with StandIn(now=datetime(2026, 8, 17, 8, 10, tzinfo=UTC)) as api:
        api.answer(server_error(), times=2)     # the next two requests fail
        api.faults.add(Fault.FALSE_ZEROS)       # a fault of the data, until it is taken away
        ...                                     # ask api.url
        assert api.count("/intensity/factors") == 3

Each stand-in adds the routes and shapes of one API, and says in its `Fault` what can be wrong with them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.doubles.answers import Answer
from tests.doubles.clock import Clock

__all__ = ["Refused", "Seen", "Server", "endpoint"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in, and when by the monotonic clock, in seconds."""

    path: str
    query: str
    headers: Mapping[str, str]
    at_s: float


class Refused(Exception):
    """A request the API refuses, with the status and the body it answers."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


class Server:
    """A context manager with a `url`, a movable `clock`, the `faults` in force and a record of `requests`."""

    def __init__(self, *, now: datetime, routes: Iterable[Route]) -> None:
        self.clock = Clock(now)
        self.faults: set[StrEnum] = set()
        self.requests: list[Seen] = []
        self.url = ""
        self._started_at = now
        self._recorded: dict[str, bytes] = {}
        self._planned: list[tuple[str, Answer, int | None]] = []
        self._lock = threading.Lock()
        self._closing = False
        self._real = GZipMiddleware(self._recorded_or(Starlette(routes=list(routes))), compresslevel=5)

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._app, interface="asgi3", log_level="critical", access_log=False, lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < until, "the stand-in did not start within 10 s"
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def reset(self) -> None:
        """Forget plans, faults and requests, and set the clock back, so that tests may share one server."""
        with self._lock:
            self._planned.clear()
        self.requests.clear()
        self.faults.clear()
        self.clock.now = self._started_at

    def serve_recorded(self, path: str, file: Path) -> None:
        """Serve the bytes of `file` for exactly `path`, whatever the query."""
        self._recorded[path] = file.read_bytes()

    def answer(self, answer: Answer, *, times: int | None = 1, path: str = "/") -> None:
        """Give `answer` to the next `times` requests (None: all) whose path starts with `path`; plans queue up."""
        with self._lock:
            self._planned.append((path, answer, times))

    def count(self, path: str = "/") -> int:
        """Return how many requests came for paths that start with `path`."""
        return sum(seen.path.startswith(path) for seen in self.requests)

    def counts(self) -> Counter[str]:
        """Return how many requests came for each path."""
        return Counter(seen.path for seen in self.requests)

    # Serving

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self.requests.append(Seen(scope["path"], query, headers, time.monotonic()))
        planned = self._take_planned(scope["path"])
        if planned is None:
            await self._real(scope, receive, send)
        else:
            await self._send_planned(planned, send)

    def _take_planned(self, path: str) -> Answer | None:
        with self._lock:
            for place, (prefix, answer, times) in enumerate(self._planned):
                if path.startswith(prefix):
                    if times is not None:
                        self._planned[place : place + 1] = [(prefix, answer, times - 1)] if times > 1 else []
                    return answer
        return None

    async def _send_planned(self, answer: Answer, send: Send) -> None:
        await self._wait(answer.wait_s)
        length = len(answer.body) + 100 * answer.broken_off
        headers = {"Content-Type": "application/json", "Content-Length": str(length), **answer.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if answer.drip_s is not None:
            for byte in answer.body:
                if self._closing:
                    break
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                await self._wait(answer.drip_s)
            return
        await send({"type": "http.response.body", "body": answer.body, "more_body": answer.broken_off})

    async def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._closing:
            await asyncio.sleep(min(left, 0.02))

    def _recorded_or(self, routes: Starlette) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body = self._recorded.get(scope["path"])
            served = routes if body is None else Response(body, media_type="application/json")
            await served(scope, receive, send)

        return app


def endpoint(answer: Callable[..., Any], *, takes_query: bool = False) -> Callable[[Request], Any]:
    """Return an endpoint that sends, as JSON or as it is when bytes, what `answer` makes of the parts of the path.

    With `takes_query` it is called with the query first, a mapping.
    """

    async def handle(request: Request) -> Response:
        words = [request.query_params] if takes_query else []
        try:
            said = answer(*words, **request.path_params)
            status, body = 200, said if isinstance(said, bytes) else orjson.dumps(said, option=orjson.OPT_INDENT_2)
        except Refused as refused:
            status, body = refused.status, refused.body
        return Response(body, status, media_type="application/json")

    return handle
