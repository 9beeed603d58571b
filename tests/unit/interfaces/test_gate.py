"""The gate by itself: which Host, Origin, content type and body come through to the application behind it."""

from __future__ import annotations

import asyncio
import json
import string
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.interfaces.gate import Allowance, Gate, is_loopback

HOSTS = ("127.0.0.1", "localhost", "::1")
GOOD = [*(name for name in HOSTS if ":" not in name), "[::1]"]
LIMIT = 1000
FILES = "/files"  # the one path that takes CSV, and four times as much
ALLOWANCES = {FILES: Allowance(media_types=("application/json", "text/csv"), max_body_bytes=4 * LIMIT)}


def ask(
    *headers: tuple[str, str] | tuple[bytes, bytes],
    method: str = "GET",
    kind: str = "http",
    body: Iterable[bytes] = (b"",),
    path: str = "/",
) -> tuple[int, dict[str, Any]]:
    """Send one request to a gate; return its status (200: it came through) and what was said.

    A WebSocket that was refused has the status of its close code.
    """
    sent: list[dict[str, Any]] = []
    parts = list(body)

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        read = b""
        while method not in ("GET", "HEAD", "OPTIONS"):
            message = await receive()
            read += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps({"read": read.decode()}).encode()})

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    encoded = [tuple(p if isinstance(p, bytes) else p.encode("latin-1") for p in pair) for pair in headers]
    scope = {"type": kind, "method": method, "path": path, "headers": encoded}
    gate = Gate(behind, hosts=HOSTS, max_body_bytes=LIMIT, allowances=ALLOWANCES)
    asyncio.run(gate(scope, receive, send))
    if sent[0]["type"] == "websocket.close":
        return sent[0]["code"], {"reason": sent[0]["reason"]}
    return sent[0]["status"], json.loads(sent[1]["body"])


def write(
    *headers: tuple[str, str], body: Iterable[bytes] = (b"",), host: str = "localhost:8000", path: str = "/"
) -> tuple[int, Any]:
    return ask(("host", host), *headers, method="POST", body=body, path=path)


# Hosts


@settings(max_examples=30)
@given(st.sampled_from(GOOD), st.none() | st.integers(0, 99_999), st.data())
def test_a_host_of_the_list_comes_through_in_any_case_and_with_any_port(host, port, data):
    cased = "".join(data.draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in host)
    assert ask(("host", cased if port is None else f"{cased}:{port}"))[0] == 200


hostile = st.one_of(
    st.binary(max_size=40),
    st.text(string.printable, max_size=40).map(str.encode),
    # Near misses: a good host with something before, after or in it.
    st.tuples(
        st.text(string.printable, max_size=4), st.sampled_from(GOOD), st.text(string.printable, max_size=4)
    ).map(lambda parts: "".join(parts).encode()),
)


@settings(max_examples=300)
@given(hostile)
def test_no_other_host_ever_comes_through(host):
    """Whatever it is: only a name of the list, and a number for a port, is served."""
    name, colon, port = host.lower().decode("latin-1").rpartition(":")
    is_ours = host.lower().decode("latin-1") in GOOD or (
        name in GOOD and colon and port.isascii() and port.isdigit() and len(port) <= 5
    )
    status, said = ask((b"host", host))
    assert status == (200 if is_ours else 403)
    if not is_ours:
        assert said["code"] == "forbidden"
        assert "127.0.0.1, ::1, localhost" in said["detail"]


@pytest.mark.parametrize("headers", [(), (("host", "localhost"), ("host", "localhost"))])
def test_there_is_exactly_one_host(headers):
    assert ask(*headers)[0] == 403


def test_a_host_that_was_good_stays_good_and_a_bad_one_bad():
    """Good headers are remembered as they were sent; nothing else rides along."""

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        passed.append(dict(scope["headers"])[b"host"])

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            refused.append(message["status"])

    async def many() -> None:
        gate = Gate(behind, hosts=HOSTS)
        for number in range(200):
            for host in (f"localhost:{number}", "localhost", f"evil:{number}"):
                scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
                await gate(scope, None, send)  # type: ignore[arg-type]

    passed: list[bytes] = []
    refused: list[int] = []
    asyncio.run(many())
    assert (len(passed), refused) == (400, [403] * 200)


# Origins


@pytest.mark.parametrize("origin", ["http://localhost:8000", "https://localhost:8000", "HTTP://LOCALHOST:8000"])
def test_a_page_of_this_server_may_write(origin):
    assert write(("origin", origin))[0] == 200


@given(st.text(string.printable, min_size=1, max_size=40))
def test_no_other_page_ever_may(origin):
    if origin.lower() not in ("http://localhost:8000", "https://localhost:8000"):
        assert write(("origin", origin))[0] == 403


def test_a_page_of_another_port_or_name_of_this_machine_may_not_write():
    for origin in ("http://localhost", "http://localhost:8001", "http://127.0.0.1:8000", "null", "http://["):
        status, said = write(("origin", origin))
        assert (status, said["code"]) == (403, "forbidden")


def test_reading_asks_for_no_origin():
    """The browser itself keeps another site's page from seeing the answer."""
    for method in ("GET", "HEAD", "OPTIONS"):
        assert ask(("host", "localhost"), ("origin", "https://evil.example"), method=method)[0] == 200


def test_a_web_socket_is_held_to_host_and_origin():
    """The browser does not keep another site's page from reading one, so it is refused before it opens."""
    policy_violation = 1008
    for headers in (
        (("host", "evil.example"),),
        (("host", "localhost"), ("origin", "https://evil.example")),
        (("host", "localhost"), ("origin", "null")),
    ):
        status, said = ask(*headers, kind="websocket")
        assert (status, said) == (policy_violation, {"reason": "This is not allowed."})
    assert ask(("host", "localhost"), ("origin", "http://localhost"), kind="websocket")[0] == 200


# Bodies


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON ; charset=utf-8"])
def test_json_comes_through(media_type):
    status, said = write(("content-type", media_type), ("content-length", "2"), body=(b"{}",))
    assert (status, said) == (200, {"read": "{}"})


@pytest.mark.parametrize("media_type", ["text/plain", "text/plain; application/json", "application/json-seq", ""])
@pytest.mark.parametrize("length", [("content-length", "2"), ("transfer-encoding", "chunked")])
def test_any_other_body_is_refused(media_type, length):
    status, said = write(("content-type", media_type), length, body=(b"{}",))
    assert (status, said["code"]) == (415, "unsupported_media_type")
    assert "application/json" in said["detail"]


def test_a_write_without_a_body_needs_no_type():
    assert write()[0] == write(("content-length", "0"))[0] == 200


def test_a_body_comes_through_whole_up_to_the_limit_and_not_beyond():
    typed = ("content-type", "application/json")
    parts = [b"1" * (LIMIT // 2)] * 2
    assert write(typed, ("transfer-encoding", "chunked"), body=parts) == (200, {"read": "1" * LIMIT})
    for headers, body in (
        ((typed, ("content-length", str(LIMIT + 1))), (b"",)),  # it says so itself
        ((typed, ("transfer-encoding", "chunked")), (*parts, b"1")),  # it does not say
        ((typed, ("content-length", "1")), (*parts, b"1")),  # it lies
    ):
        status, said = write(*headers, body=body)
        assert (status, said["code"]) == (413, "too_large")
        assert f"{LIMIT:,} bytes" in said["detail"]


# Addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_these_addresses_are_of_this_machine_alone(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example", "", "127.1", "::ffff:8.8.8.8"]
)
def test_these_are_not(host):
    assert not is_loopback(host)


# A path that is allowed more


def test_more_is_allowed_on_the_path_that_is_named_and_on_no_other():
    csv, length = ("content-type", "text/csv; charset=utf-8"), ("content-length", str(4 * LIMIT))
    body = [b"1" * LIMIT] * 4
    assert write(csv, length, body=body, path=FILES) == (200, {"read": "1" * 4 * LIMIT})
    for path in ("/", f"{FILES}/", f"{FILES}/x", "/FILES", f"{FILES}?x"):
        assert write(csv, ("content-length", "1"), body=(b"1",), path=path)[0] == 415
        assert write(("content-type", "application/json"), length, body=body, path=path)[0] == 413


def test_what_the_path_is_allowed_has_its_bounds_too():
    for headers, body, status in (
        ((("content-type", "text/csv"), ("content-length", str(4 * LIMIT + 1))), (b"",), 413),
        ((("content-type", "text/csv"), ("content-length", "1")), [b"1" * LIMIT] * 5, 413),
        ((("content-type", "text/plain"), ("content-length", "1")), (b"1",), 415),
        ((("content-type", "multipart/form-data"), ("content-length", "1")), (b"1",), 415),
        ((("content-type", "text/csv"), ("origin", "https://evil.example")), (b"1",), 403),
    ):
        assert write(*headers, body=body, path=FILES)[0] == status
    said = write(("content-type", "text/plain"), ("content-length", "1"), body=(b"1",), path=FILES)[1]
    assert "must be sent as application/json or text/csv, not 'text/plain'" in said["detail"]
