"""A stand-in for the Carbon Intensity API: a real HTTP server on loopback with the real API's routes and shapes.

    with StandIn(now=datetime(2026, 8, 17, 8, 10, tzinfo=UTC)) as api:
        api.answer(serverrefusal(), times=2)     # the next two requests fail
        ...                                     # ask api.url
        assert api.count("/intensity/factors") == 3

It answers what is past with an `actual`, what is ahead without one up to 48 h, and nothing beyond. Shapes, limits
and error bodies are those recorded from the real API by November 2026; one is not on record, and marked below.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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

from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, periods_in
from tests.doubles import carbon_series
from tests.doubles.answers import BAD_TIME, Answer, refusal
from tests.doubles.carbon_series import FACTORS, REGIONS, Series, ending_in, made_up, mix, nothing, replay, stamp
from tests.doubles.clock import Clock

__all__ = ["Seen", "StandIn"]

_LONGEST_RANGE = timedelta(days=14)
_SPANS = {"fw24h": timedelta(hours=24), "fw48h": timedelta(hours=48), "pt24h": timedelta(hours=-24)}

_BAD_DATE = (
    "Please enter a valid date in ISO8601 format YYYY-MM-DD and period 1-48 e.g. /intensity/date/2017-08-25/42"
)
_BAD_REGION = "Please enter a valid region ID i.e. 1-17."


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in, and when by the monotonic clock, in seconds."""

    path: str
    headers: Mapping[str, str]
    at_s: float


class StandIn:
    """The stand-in: a context manager with a `url`, a movable `clock` and a record of `requests`.

    `series` gives the national carbon intensity, made up unless told. `horizon` is how far ahead there is a
    forecast, `actual_delay` how long after its half hour an actual appears; both may be changed at any time.
    """

    def __init__(
        self,
        *,
        now: datetime = datetime(2026, 8, 17, 8, 10, tzinfo=UTC),
        series: Series = made_up,
        horizon: timedelta = timedelta(hours=48),
        actual_delay: timedelta = timedelta(minutes=15),
    ) -> None:
        self.clock = Clock(now)
        self.series = series
        self.horizon = horizon
        self.actual_delay = actual_delay
        self._at_first = (now, series, horizon, actual_delay)
        self.requests: list[Seen] = []
        self.url = ""
        self._recorded: dict[str, bytes] = {}
        self._planned: list[tuple[str, Answer, int | None]] = []
        self._lock = threading.Lock()
        self._closing = False
        self._real = GZipMiddleware(self._recorded_or(Starlette(routes=self._routes())), compresslevel=5)

    @classmethod
    def replay(cls, folder: Path, *, now: datetime) -> Self:
        """Return a stand-in that knows the national series of 2023."""
        return cls(now=now, series=replay(folder))

    @classmethod
    def recorded(cls, folder: Path, *, now: datetime = datetime(2026, 8, 17, 8, 0, tzinfo=UTC)) -> Self:
        """Return a stand-in that knows only recorded answers, byte for byte, and factors; all else is `[]` or `{}`.

        The recorded regional answer was asked with fw24h and holds 2 half hours; it also answers fw48h.
        """
        api, bodies = cls(now=now, series=nothing), folder / "recordings" / "carbon_intensity"
        regional = "/regional/intensity/2026-05-06T00:00Z"
        for path, file in {
            "/intensity/2026-08-17T08:00Z/fw48h": "intensity_2026-08-17T0800Z_fw48h.json",
            "/intensity/2026-08-01T00:00Z/2026-08-01T03:00Z": "intensity_2026-08-01T0000Z_0300Z.json",
            "/intensity/factors": "intensity_factors.json",
            f"{regional}/fw24h": "regional_intensity_fw24h_period_keyed.json",
            f"{regional}/fw48h": "regional_intensity_fw24h_period_keyed.json",
            f"{regional}/fw24h/regionid/13": "regional_intensity_fw24h_region_keyed.json",
        }.items():
            api.serve_recorded(path, bodies / file)
        return api

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
        """Forget plans, requests and what was moved or changed, so that tests may share one server."""
        with self._lock:
            self._planned.clear()
        self.requests.clear()
        self.clock.now, self.series, self.horizon, self.actual_delay = self._at_first

    def serve_recorded(self, path: str, file: Path) -> None:
        """Serve the bytes of `file` for exactly `path`."""
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
        self.requests.append(Seen(scope["path"], headers, time.monotonic()))
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

    # Answering

    def _routes(self) -> list[Route]:
        answers: dict[str, Callable[..., Any]] = {
            "/intensity": self._intensity_at,
            "/intensity/date": self._intensity_date,
            "/intensity/date/{day}": self._intensity_date,
            "/intensity/date/{day}/{period}": self._intensity_date,
            "/intensity/factors": lambda: {"data": [FACTORS]},
            "/intensity/{start}": self._intensity_at,
            "/intensity/{start}/{span}": self._intensity,
            "/generation": self._generation_now,
            "/generation/{start}/{span}": self._generation,
            "/regional": self._regional_now,
            "/regional/regionid/{region}": self._region_now,
            "/regional/intensity/{start}/{span}": self._regional,
            "/regional/intensity/{start}/{span}/regionid/{region}": self._region,
        }
        return [Route(path, _endpoint(answer)) for path, answer in answers.items()]

    def _intensity(self, start: str, span: str) -> dict[str, Any]:
        return {"data": self._national(ending_in(*_range(start, span)))}

    def _intensity_at(self, start: str | None = None) -> dict[str, Any]:
        # The half hour that holds or ends at the time asked for; without one, the half hour of now.
        at = floor(self.clock.now) if start is None else next(ending_in(_time(start), _time(start) + HALF_HOUR))
        return {"data": self._national([at])}

    def _intensity_date(self, day: str | None = None, period: str | None = None) -> dict[str, Any]:
        try:
            today = self.clock.now.astimezone(LONDON).date()
            asked = today if day is None else datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=LONDON).date()
            number = None if period is None else int(period)
        except ValueError:
            raise _Refused(_BAD_DATE) from None
        day_of = list(half_hours(_midnight(asked), _midnight(asked) + periods_in(asked) * HALF_HOUR))
        if number is None:
            return {"data": self._national(day_of)}
        if not 1 <= number <= 48:
            raise _Refused(_BAD_DATE)
        return {"data": self._national(day_of[number - 1 : number])}

    def _generation(self, start: str, span: str) -> dict[str, Any]:
        rows = (self._mix(at) for at in ending_in(*_range(start, span)) if at <= self.clock.now)
        return {"data": [row for row in rows if row]}

    def _generation_now(self) -> dict[str, Any]:
        # An object where the documentation has a list: recorded twice in 2026.
        row = self._mix(floor(self.clock.now))
        return {"data": row} if row else {}

    def _regional(self, start: str, span: str) -> dict[str, Any]:
        rows = [row for at in ending_in(*_range(start, span)) if (row := self._regions(at))]
        return {"data": rows} if rows else {}

    def _regional_now(self) -> dict[str, Any]:
        row = self._regions(floor(self.clock.now))
        return {"data": [row]} if row else {}

    def _region(self, start: str, span: str, region: str) -> dict[str, Any]:
        region_id, rows = _region_id(region), []
        for at in ending_in(*_range(start, span)):
            if values := self._ahead(at) and carbon_series.regional(self.series, at, region_id):
                rows.append({"from": stamp(at), "to": stamp(at + HALF_HOUR), **values})
        return {"data": {**_names(region_id), "data": rows}} if rows else {}

    def _region_now(self, region: str) -> dict[str, Any]:
        at = floor(self.clock.now)
        answer = self._region(stamp(at + timedelta(minutes=1)), stamp(at + HALF_HOUR), region)
        return {"data": [answer["data"]]} if answer else {}

    def _national(self, half_hours: Iterable[datetime]) -> list[dict[str, Any]]:
        now, delay = self.clock.now, self.actual_delay
        rows = (carbon_series.national(self.series, at, now, delay) for at in half_hours if self._ahead(at))
        return [row for row in rows if row]

    def _mix(self, at: datetime) -> dict[str, Any] | None:
        half_hour = self.series(at)
        if half_hour is None:
            return None
        gco2_kwh = half_hour.actual or half_hour.forecast or 0
        return {"from": stamp(at), "to": stamp(at + HALF_HOUR), "generationmix": mix(gco2_kwh, at)}

    def _regions(self, at: datetime) -> dict[str, Any] | None:
        if not self._ahead(at) or self.series(at) is None:
            return None
        regions = [{**_names(id_), **(carbon_series.regional(self.series, at, id_) or {})} for id_ in REGIONS]
        return {"from": stamp(at), "to": stamp(at + HALF_HOUR), "regions": regions}

    def _ahead(self, at: datetime) -> bool:
        return at < self.clock.now + self.horizon


class _Refused(Exception):
    """A request the API refuses with 400 and this message."""


def _endpoint(answer: Callable[..., Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            status, body = 200, orjson.dumps(answer(**request.path_params), option=orjson.OPT_INDENT_2)
        except _Refused as refused:
            status, body = 400, refusal("400 Bad Request", str(refused))
        return Response(body, status, media_type="application/json")

    return endpoint


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    except ValueError:
        raise _Refused(BAD_TIME) from None


def _range(start: str, span: str) -> tuple[datetime, datetime]:
    at = _time(start)
    until = at + _SPANS[span] if span in _SPANS else _time(span)
    # That a longer range is a 400 is on record; its wording is not, so the wording here is the API's other one.
    if abs(until - at) > _LONGEST_RANGE:
        raise _Refused(BAD_TIME)
    return min(at, until), max(at, until)


def _region_id(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 17:
        raise _Refused(_BAD_REGION)
    return int(text)


def _names(region_id: int) -> dict[str, Any]:
    short_name, dno_region, _ = REGIONS[region_id]
    return {"regionid": region_id, "dnoregion": dno_region, "shortname": short_name}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=LONDON).astimezone(UTC)
