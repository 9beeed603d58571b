"""A prepared document: serialised and compressed once for each version, then sent as bytes.

The live state changes a few times an hour and is read far more often, so a request costs a look at its headers.
At most once a second the database is asked whether anything at all has been written since; if so the document is
made anew, and if what it says is the same, its entity tag and bytes stay.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard
from anyio import to_thread

from pylon.errors import PylonError
from pylon.interfaces.gate import Receive, Scope, Send, problem_bytes, unexpected

__all__ = ["Prepared", "PreparedDocument", "Version"]

_CHECK_EVERY_S = 1.0
_METHODS = frozenset({"GET", "HEAD"})

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Version:
    """What the document is built from: the same snapshot and period give the same document."""

    snapshot: str
    period: object


@dataclass(frozen=True, slots=True)
class _Representation:
    tag: bytes
    body: bytes
    headers: Headers
    not_modified: Headers

    def matches(self, if_none_match: bytes) -> bool:
        """Return whether the client has these very bytes already."""
        tags = {tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")}
        return b"*" in tags or self.tag in tags


class PreparedDocument:
    """The bytes of one version, plain and compressed, each with its own strong entity tag."""

    def __init__(self, body: bytes, fingerprint: str) -> None:
        """Compress `body` both ways; `fingerprint` is of what it says, the entity tags are of its very bytes."""
        self.fingerprint = fingerprint
        self._tag = hashlib.sha256(body).hexdigest()[:32].encode()
        packed = {
            b"": body,
            b"gzip": gzip.compress(body, 6, mtime=0),
            b"zstd": zstandard.ZstdCompressor(level=9).compress(body),
        }
        self._as = {coding: self._represent(coding, data) for coding, data in packed.items()}

    def _represent(self, coding: bytes, body: bytes) -> _Representation:
        tag = b'"%s%s"' % (self._tag, b"-" + coding if coding else b"")
        shared = [(b"etag", tag), (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")]
        full = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-content-type-options", b"nosniff"),
            *shared,
        ]
        if coding:
            full.append((b"content-encoding", coding))
        return _Representation(tag, body, full, shared)

    def best_for(self, accept_encoding: bytes) -> _Representation:
        """Return the smallest representation that the client takes."""
        for coding in (b"zstd", b"gzip"):
            if coding in accept_encoding and _accepts(accept_encoding, coding):
                return self._as[coding]
        return self._as[b""]


class Prepared:
    """An ASGI application that serves one prepared document."""

    def __init__(
        self,
        version: Callable[[], Version],
        build: Callable[[], tuple[dict[str, Any], dict[str, Any]]],
    ) -> None:
        """Serve what `build` returns, again whenever `version` does not return the same.

        `build` returns the document and what of it only says when it was built; both run in a thread.
        """
        self._version = version
        self._build = build
        self._seen: Version | None = None
        self._document: PreparedDocument | None = None
        self._fault: Exception | None = None
        self._check_at = 0.0
        self._checking = asyncio.Lock()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer a GET or HEAD with the document, 304, or the problem that keeps it from being built."""
        accept = match = b""
        for key, value in scope["headers"]:
            if key == b"accept-encoding":
                accept = value
            elif key == b"if-none-match":
                match = value
        try:
            document = self._document
            if document is None or self._fault is not None or time.monotonic() >= self._check_at:
                document = await self._current()
        except Exception as fault:
            error = fault if isinstance(fault, PylonError) else unexpected(fault, scope["method"], scope["path"])
            body = problem_bytes(error)
            headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
            await _answer(send, error.status, headers, body)
            return
        best = document.best_for(accept)
        if match and best.matches(match):
            await _answer(send, 304, best.not_modified, b"")
        else:
            await _answer(send, 200, best.headers, b"" if scope["method"] == "HEAD" else best.body)

    @staticmethod
    def serves(scope: Scope) -> bool:
        """Return whether the request's method is one this application answers."""
        return scope["method"] in _METHODS

    async def _current(self) -> PreparedDocument:
        if self._document is not None and self._fault is None and self._checking.locked():
            return self._document  # somebody is looking already; a second old is young enough
        async with self._checking:
            if time.monotonic() >= self._check_at:
                await self._look()
            if self._fault is not None:
                raise self._fault
            assert self._document is not None  # noqa: S101  a look ends in a document or a fault
            return self._document

    async def _look(self) -> None:
        """Look at the database; what comes of it, a document or a fault, holds for the next second."""
        try:
            self._seen, self._document = await to_thread.run_sync(self._refresh)
            self._fault = None
        except Exception as fault:
            self._fault = fault
        self._check_at = time.monotonic() + _CHECK_EVERY_S

    def _refresh(self) -> tuple[Version, PreparedDocument]:
        seen = self._version()
        if self._document is not None and seen == self._seen:
            return seen, self._document
        said, moment = self._build()
        period = orjson.dumps(str(seen.period))
        fingerprint = hashlib.sha256(_dumps(said) + period).hexdigest()[:32]
        if self._document is not None and fingerprint == self._document.fingerprint:
            return seen, self._document
        return seen, PreparedDocument(_dumps({**moment, **said}), fingerprint)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _accepts(accept_encoding: bytes, coding: bytes) -> bool:
    """Return whether the coding is listed and not ruled out by q=0."""
    for part in accept_encoding.split(b","):
        name, _, quality = part.strip().partition(b";")
        if name.strip().lower() == coding:
            return quality.replace(b" ", b"").lower() not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)
