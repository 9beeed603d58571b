"""One polite HTTP reader for every source: time-outs, bounded retries, JSON or a clear error."""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx2
import stamina

from pylon._version import VERSION
from pylon.errors import SourceChanged, SourceError, SourceUnavailable

__all__ = ["MAX_BODY_BYTES", "MAX_WAIT_S", "USER_AGENT", "Http", "decode", "retry_after_s", "upstream_message"]

USER_AGENT = f"pylon-deg/{VERSION} (+https://github.com/pylon-deg/pylon-deg)"
MAX_BODY_BYTES = 32 * 2**20
MAX_WAIT_S = 30.0

_CONNECT_TIMEOUT_S = 5.0
_UNREACHABLE_WAIT_S = 0.1
_MESSAGE_CHARACTERS = 200
_ERROR_BODY_BYTES = 64 * 2**10

# Without a handler Python prints a library's warnings on the terminal: a retry is not the user's business.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class _Passing(Exception):
    """A failure that may pass, with the error to raise if it does not."""

    def __init__(self, error: SourceError, *, wait_s: float | None = None, unreachable: bool = False) -> None:
        super().__init__(error.detail)
        self.error = error
        self.wait_s = wait_s
        self.unreachable = unreachable


class Http:
    """Reads JSON over HTTP for the sources; safe to share between threads.

    An attempt may take `timeout_s` (connecting, at most 5 s). 5xx, 429, time-outs and broken connections are tried
    `attempts` times, `wait_s` and then longer apart, or as long as `Retry-After` says up to `MAX_WAIT_S`; a longer
    one ends the request. A server that cannot be reached is tried once more at most, and any other 4xx never
    again. No attempt begins later than `attempts` x `timeout_s`, and one wait, after the first.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        attempts: int,
        user_agent: str = USER_AGENT,
        wait_s: float = 0.5,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._user_agent = user_agent
        self._wait_s = wait_s
        self._max_body_bytes = max_body_bytes
        self._lock = threading.Lock()
        self._opened: httpx2.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            client, self._opened = self._opened, None
        if client is not None:
            client.close()

    def get_json(self, url: str) -> Any:
        """Return the JSON that `url` answers with.

        Raises `SourceUnavailable` when there is no answer or a failure (after the retries this class allows), and
        `SourceChanged` when the answer is not JSON, is empty or is larger than the limit.
        """
        unreachable = 0

        def again(error: Exception) -> bool | float:
            nonlocal unreachable
            if not isinstance(error, _Passing):
                return False
            if error.unreachable:
                unreachable += 1
                return False if unreachable > 1 else min(self._wait_s, _UNREACHABLE_WAIT_S)
            if error.wait_s is None:
                return True
            return False if error.wait_s > MAX_WAIT_S else error.wait_s

        tries = stamina.retry_context(
            again,
            attempts=self._attempts,
            timeout=self._attempts * self._timeout_s,
            wait_initial=self._wait_s,
            wait_jitter=self._wait_s,
            wait_max=min(8 * self._wait_s, MAX_WAIT_S),
        )
        body = b""
        try:
            for attempt in tries:
                with attempt:
                    body = self._read(url)
        except _Passing as passing:
            raise passing.error from passing.__cause__
        return decode(url, body)

    def _client(self) -> httpx2.Client:
        # Opening one loads the certificates, which a run that never asks anything should not wait for.
        with self._lock:
            if self._opened is None:
                self._opened = httpx2.Client(
                    headers={
                        "User-Agent": self._user_agent,
                        "Accept": "application/json",
                        "Accept-Encoding": "gzip",
                    },
                    timeout=httpx2.Timeout(self._timeout_s, connect=min(_CONNECT_TIMEOUT_S, self._timeout_s)),
                    follow_redirects=True,
                )
            return self._opened

    def _read(self, url: str) -> bytes:
        try:
            with self._client().stream("GET", url) as response:
                body = self._body(response, url)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise _Passing(_unreachable(url, error), unreachable=True) from error
        except httpx2.TimeoutException as error:
            raise _Passing(self._too_slow(url)) from error
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            broken = SourceUnavailable(f"{url} broke the connection off: {error}. Try again later.", url=url)
            raise _Passing(broken) from error
        except httpx2.DecodingError as error:
            raise SourceChanged(f"{url} sent a body that does not decompress: {error}.", url=url) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise SourceUnavailable(f"{url} cannot be asked: {error}. Check the address.", url=url) from error
        if response.is_success:
            return body
        raise _refusal(url, response, body)

    def _body(self, response: httpx2.Response, url: str) -> bytes:
        limit_bytes = self._max_body_bytes if response.is_success else _ERROR_BODY_BYTES
        # The time-outs above bound each wait; an answer that drips in is only bounded here.
        ends_at = time.monotonic() + self._timeout_s
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > limit_bytes:
                if not response.is_success:
                    break
                raise SourceChanged(
                    f"{url} answered with more than {limit_bytes} bytes, the most that is read. Nothing was taken.",
                    url=url,
                )
            if time.monotonic() > ends_at:
                raise httpx2.ReadTimeout("the body did not end", request=response.request)
        return bytes(body)

    def _too_slow(self, url: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"{url} did not answer within {self._timeout_s:g} s. Try again later, or raise PYLON_HTTP_TIMEOUT_S.",
            url=url,
        )


def _unreachable(url: str, error: Exception) -> SourceUnavailable:
    return SourceUnavailable(
        f"{url} cannot be reached: {str(error) or type(error).__name__}. "
        "Check the network; PYLON_GRID=simulated works without one.",
        url=url,
    )


def _refusal(url: str, response: httpx2.Response, body: bytes) -> Exception:
    status = response.status_code
    too_often, its_fault = status == httpx2.codes.TOO_MANY_REQUESTS, status >= httpx2.codes.INTERNAL_SERVER_ERROR
    wait_s = retry_after_s(response.headers.get("retry-after"), response.headers.get("date"))
    if too_often:
        advice = "It is being asked too often: ask again in " + ("a while." if wait_s is None else f"{wait_s:g} s.")
    elif its_fault:
        advice = "The fault is the source's: try again later."
    else:
        advice = "Asking again will not help: check the address and the period asked for."
    answered = f"{url} answered {status}: {upstream_message(body)}. {advice}"
    error = SourceUnavailable(answered, url=url, upstream_status=status)
    return _Passing(error, wait_s=wait_s) if too_often or its_fault else error


def retry_after_s(value: str | None, date: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait, or None when it says nothing usable.

    It holds seconds or an HTTP date (RFC 9110 §10.2.3). A date is counted from the answer's own `Date` header, so
    that neither a wrong clock here nor one there changes the wait.
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip())
    at, sent = _http_date(value), _http_date(date)
    return None if at is None or sent is None else max((at - sent).total_seconds(), 0.0)


def _http_date(value: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else None


def upstream_message(body: bytes) -> str:
    """Return what a failed answer says about itself, in at most 200 characters fit for a terminal."""
    text = body.decode("utf-8", "replace").strip()
    if not text:
        return "no message"
    if text.startswith("<"):
        return "an HTML page"
    try:
        answer = json.loads(text)
        text = str(answer["error"]["message"])
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    words = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * _MESSAGE_CHARACTERS]).split())
    return words[:_MESSAGE_CHARACTERS].rstrip(".") or "no message"


def decode(url: str, body: bytes) -> Any:
    """Return the JSON in `body`; raises `SourceChanged`, saying what `url` sent instead, when it is not JSON."""
    if not body.strip():
        raise SourceChanged(f"{url} answered with an empty body in place of JSON. Try again later.", url=url)
    try:
        # The standard parser also takes NaN, so that one such value costs its row and not the whole answer.
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        what = "an HTML page" if body.lstrip().startswith(b"<") else f"something that is not JSON ({error})"
        raise SourceChanged(f"{url} answered with {what}. Nothing was taken.", url=url) from error
