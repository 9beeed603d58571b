"""One polite HTTP reader for every source: time-outs, bounded retries, pacing, JSON or text or a clear error."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx2
import stamina

from pylon._version import VERSION
from pylon.errors import SourceChanged, SourceError, SourceUnavailable

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_WAIT_S",
    "USER_AGENT",
    "Http",
    "decode",
    "decode_text",
    "retry_after_s",
    "upstream_message",
]

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
    """Reads JSON and text over HTTP for the sources; safe to share between threads.

    An attempt may take `timeout_s` (connecting, at most 5 s). 5xx, 429, time-outs and broken connections are tried
    `attempts` times, `wait_s` and then longer apart, or as long as `Retry-After` says up to `MAX_WAIT_S`; a longer
    one ends the request. A server that cannot be reached is tried once more at most, and any other 4xx never
    again. No attempt begins later than `attempts` x `timeout_s`, and one wait, after the first. An attempt that is
    told to be `apart_s` from others begins no sooner than that after the last such attempt at the same host.
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
        self._turns_s: dict[bytes, float] = {}
        self._given_up: defaultdict[bytes, threading.Event] = defaultdict(threading.Event)

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

    def get_json(self, url: str, *, apart_s: float = 0.0, attempts: int | None = None, exact: bool = False) -> Any:
        """Return the JSON that `url` answers with; with `exact`, its fractions are decimals of the digits sent.

        `attempts` in place of this reader's own. Raises `SourceUnavailable` when there is no answer or a failure
        (after the retries this class allows), and `SourceChanged` when the answer is not JSON, is empty or is
        larger than the limit.
        """
        return decode(url, self._get(url, "application/json", apart_s, attempts), exact=exact)

    def get_text(self, url: str, *, apart_s: float = 0.0, attempts: int | None = None) -> str:
        """Return the text that `url` answers with, in UTF-8 with or without a byte order mark.

        Raises as `get_json` does, `SourceChanged` also when the answer is a page of HTML.
        """
        return decode_text(url, self._get(url, "text/csv, text/plain, */*;q=0.1", apart_s, attempts))

    def _get(self, url: str, accept: str, apart_s: float, attempts: int | None) -> bytes:
        most = self._attempts if attempts is None else attempts
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
            attempts=most,
            timeout=most * self._timeout_s,
            wait_initial=self._wait_s,
            wait_jitter=self._wait_s,
            wait_max=min(8 * self._wait_s, MAX_WAIT_S),
        )
        body = b""
        try:
            for attempt in tries:
                with attempt:
                    body = self._read(url, accept, apart_s)
        except _Passing as passing:
            raise passing.error from passing.__cause__
        return body

    def _await_turn(self, host: bytes, apart_s: float) -> None:
        """Wait until `apart_s` after the last turn at `host`; turns are given out first, so threads queue up.

        A host that cannot be reached has nobody wait.
        """
        if apart_s <= 0:
            return
        with self._lock:
            present = time.monotonic()
            turn = max(present, self._turns_s.get(host, -math.inf) + apart_s)
            self._turns_s[host] = turn
            given_up = self._given_up[host]
        given_up.wait(turn - present)

    def _client(self) -> httpx2.Client:
        # Opening one loads the certificates, which a run that never asks anything should not wait for.
        with self._lock:
            if self._opened is None:
                self._opened = httpx2.Client(
                    headers={"User-Agent": self._user_agent, "Accept-Encoding": "gzip"},
                    timeout=httpx2.Timeout(self._timeout_s, connect=min(_CONNECT_TIMEOUT_S, self._timeout_s)),
                    follow_redirects=True,
                )
            return self._opened

    def _read(self, url: str, accept: str, apart_s: float) -> bytes:
        try:
            client = self._client()  # before the turn: opening one takes a while
            host = httpx2.URL(url).netloc
            self._await_turn(host, apart_s)
            with client.stream("GET", url, headers={"Accept": accept}) as response:
                body = self._body(response, url)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            with self._lock:
                self._given_up[host].set()
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
    with contextlib.suppress(ValueError, TypeError, LookupError, RecursionError, AttributeError):
        text = _message_in(json.loads(text)) or text
    words = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * _MESSAGE_CHARACTERS]).split())
    return words[:_MESSAGE_CHARACTERS].rstrip(".") or "no message"


def _message_in(answer: Any) -> str:
    """Return the words of an error body: CKAN and the Carbon Intensity API have one message, Elexon a list."""
    if "errors" in answer:
        return "; ".join(str(words) for faults in answer["errors"].values() for words in faults)
    return str(answer["error"]["message"])


def decode(url: str, body: bytes, *, exact: bool = False) -> Any:
    """Return the JSON in `body`, its fractions as `Decimal` when `exact`.

    Raises `SourceChanged`, saying what `url` sent instead, when it is not JSON.
    """
    if not body.strip():
        raise SourceChanged(f"{url} answered with an empty body in place of JSON. Try again later.", url=url)
    try:
        # The standard parser also takes NaN, so that one such value costs its row and not the whole answer.
        return json.loads(body, parse_float=_fraction if exact else None)
    except (ValueError, RecursionError) as error:
        what = "an HTML page" if body.lstrip().startswith(b"<") else f"something that is not JSON ({error})"
        raise SourceChanged(f"{url} answered with {what}. Nothing was taken.", url=url) from error


def _fraction(digits: str) -> Decimal | float:
    """Return a JSON number as it was written; one with an exponent beyond all decimals is infinite, as a float."""
    try:
        return Decimal(digits)
    except ArithmeticError:
        return float(digits)


def decode_text(url: str, body: bytes) -> str:
    """Return the text in `body`; raises `SourceChanged`, saying what `url` sent instead, when it is none."""
    if not body.strip():
        raise SourceChanged(f"{url} answered with an empty body in place of text. Try again later.", url=url)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceChanged(f"{url} answered with something that is not text ({error}).", url=url) from error
    if text.lstrip().startswith("<"):
        raise SourceChanged(f"{url} answered with an HTML page. Nothing was taken.", url=url)
    return text
