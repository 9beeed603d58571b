"""Answers a stand-in gives in place of the real one: every way the API has been seen to fail, and some more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "BAD_TIME",
    "Answer",
    "bad_request",
    "broken_off",
    "dripping",
    "empty",
    "html_error",
    "no_data",
    "refusal",
    "server_error",
    "slow",
    "too_many_requests",
    "truncated",
]

BAD_TIME = "Please enter a valid datetime in ISO8601 format YYYY-MM-DDThh:mmZ e.g. /intensity/2017-08-25T15:30Z "


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer: after `wait_s`, a byte every `drip_s`, or with more bytes announced than sent (`broken_off`)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0
    drip_s: float | None = None
    broken_off: bool = False


def refusal(code: str, message: str) -> bytes:
    """Return an error body of the Carbon Intensity API."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def server_error(status: int = 500) -> Answer:
    """Fail as the API did on 2025-01-13."""
    return Answer(status=status, body=refusal(f"{status} Internal Server Error", "Requested resource not found."))


def bad_request() -> Answer:
    """Refuse the request as the API does."""
    return Answer(status=400, body=refusal("400 Bad Request", BAD_TIME))


def too_many_requests(retry_after: str | None = None) -> Answer:
    """Refuse for having been asked too often, and say when to come back."""
    return Answer(status=429, body=b"{}", headers={"Retry-After": retry_after} if retry_after else {})


def slow(wait_s: float) -> Answer:
    """Answer too late."""
    return Answer(body=b'{"data":[]}', wait_s=wait_s)


def dripping(drip_s: float = 0.05) -> Answer:
    """Answer a byte at a time, so that no single read is late and the whole never ends."""
    return Answer(body=b" " * 10_000, drip_s=drip_s)


def no_data() -> Answer:
    """Answer `{}`, as the API does in an outage."""
    return Answer(body=b"{}")


def empty() -> Answer:
    """Answer 200 with nothing."""
    return Answer()


def html_error(status: int = 500) -> Answer:
    """Answer with the page of a proxy that gave up."""
    page = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body></body></html>"
    return Answer(status=status, body=page, headers={"Content-Type": "text/html"})


def truncated() -> Answer:
    """Answer with JSON that stops in the middle."""
    return Answer(body=b'{"data":[{"from":"2026-08-17T07:30Z","to":"2026-08-17T08:00Z","intensi')


def broken_off() -> Answer:
    """Break the connection off in the middle of the body."""
    return Answer(body=b'{"data":[', broken_off=True)
