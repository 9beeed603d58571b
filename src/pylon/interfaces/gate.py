"""The gate in front of every request: which hosts, origins and content types may pass, and how large a body.

A server on loopback is still reachable from any web page its user opens. The Host allow-list stops DNS rebinding;
the Origin check stops another site's page from writing or opening a WebSocket; demanding JSON stops the forms that
browsers send without asking first. A path that needs more, as the import of files does, is allowed it by name.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import orjson

from pylon.errors import Forbidden, PylonError, RequestError

__all__ = [
    "MAX_BODY_BYTES",
    "Allowance",
    "Gate",
    "TooLarge",
    "UnsupportedMediaType",
    "is_loopback",
    "problem_bytes",
    "unexpected",
]

log = logging.getLogger("pylon.api")

MAX_BODY_BYTES = 1_000_000

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

# A name, an IPv4 address or a bracketed IPv6 address, and perhaps a port. No user, no path, no white space: what
# a URL parser forgives here, the next reader of the header may read otherwise.
_HOST = re.compile(rb"(?i)(?:\[(?P<v6>[0-9a-f:.]*:[0-9a-f:.]*)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")


class UnsupportedMediaType(RequestError):
    """The body is not of a type that is read here."""

    code = "unsupported_media_type"
    status = 415


class TooLarge(RequestError):
    """The body is too large."""

    code = "too_large"
    status = 413


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What bodies may pass: of which types, none of them one that a browser's form can send, and how large."""

    media_types: tuple[str, ...] = ("application/json",)
    max_body_bytes: int = MAX_BODY_BYTES


class Gate:
    """An ASGI application in front of another."""

    def __init__(
        self,
        app: Asgi,
        *,
        hosts: Iterable[str],
        max_body_bytes: int = MAX_BODY_BYTES,
        allowances: Mapping[str, Allowance] | None = None,
    ) -> None:
        """Let requests for `hosts` (names without ports) through to `app`, with bodies up to `max_body_bytes`.

        `allowances` names the paths whose bodies may be others than JSON of that size.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._allowance = Allowance(max_body_bytes=max_body_bytes)
        self._allowances = dict(allowances or {})
        self._good_hosts: set[bytes] = set()  # Host headers seen to be good, as sent: no parsing twice

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and pass it on, or answer it with a problem."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except PylonError as error:
            await self._refuse(scope, send, error)
            return
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            await self._with_limit(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        host = hosts[0] if len(hosts) == 1 else b""  # of two, who is to say which counts
        if host not in self._good_hosts:
            self._check_host(host)
        if scope["type"] == "websocket" or scope["method"] not in _SAFE:
            self._check_origin(_header(headers, b"origin"), host)
            if scope["type"] == "http":
                _check_body(headers, self._allowed(scope))

    def _check_host(self, host: bytes) -> None:
        if _hostname(host) not in self._hosts:
            raise Forbidden(
                f"This server does not answer to the host {host.decode('latin-1')!r}. "
                f"Valid: {', '.join(sorted(self._hosts))}."
            )
        if len(self._good_hosts) < 64:
            self._good_hosts.add(host)

    def _check_origin(self, origin: bytes, host: bytes) -> None:
        """Whoever sends an Origin is a browser: it must be a page of this very server."""
        if origin and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
            raise Forbidden(
                f"Requests that write may not come from pages of {origin.decode('latin-1')!r}; "
                "only from this server's own."
            )

    def _allowed(self, scope: Scope) -> Allowance:
        return self._allowances.get(scope["path"], self._allowance)

    async def _with_limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body first: a declared length may be wrong, and a chunked body declares none."""
        allowed = self._allowed(scope)
        messages: deque[Message] = deque()
        read = 0
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
            read += len(messages[-1].get("body", b""))
            if read > allowed.max_body_bytes:
                await self._refuse(scope, send, _too_large(allowed))
                return

        async def replay() -> Message:
            return messages.popleft() if messages else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, send: Send, error: PylonError) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": error.title})
            return
        body = problem_bytes(error)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def problem_bytes(error: PylonError) -> bytes:
    """Return the body of the one error shape."""
    return orjson.dumps(error.problem(), default=str)


def unexpected(error: Exception, method: str, path: str) -> PylonError:
    """Log a fault of our own, and return the error that whoever asked may see."""
    log.error("%s %s failed", method, path, exc_info=error)
    return PylonError("Something went wrong on our side. The server's log has the details.")


def is_loopback(host: str) -> bool:
    """Return whether listening on `host` reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_body(headers: Iterable[tuple[bytes, bytes]], allowed: Allowance) -> None:
    length = _header(headers, b"content-length")
    if length.isdigit() and int(length) > allowed.max_body_bytes:
        raise _too_large(allowed)
    if length == b"0" or not (length or _header(headers, b"transfer-encoding")):
        return
    media_type = _header(headers, b"content-type").partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in allowed.media_types:
        raise UnsupportedMediaType(
            f"A body must be sent as {' or '.join(allowed.media_types)}, not {media_type or 'untyped'!r}."
        )


def _too_large(allowed: Allowance) -> TooLarge:
    return TooLarge(f"A body may have at most {allowed.max_body_bytes:,} bytes. Send less, or in several requests.")


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    for key, value in headers:
        if key == name:
            return value
    return b""


def _hostname(host: bytes) -> str:
    """Return the host of a Host header, lower case, without port and brackets; empty when it is malformed."""
    match = _HOST.fullmatch(host)
    return (match["v6"] or match["name"]).decode().lower() if match else ""
