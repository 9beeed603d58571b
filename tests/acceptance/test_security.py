"""A local server is still a server: what a web page, a stranger or a slip may send it, and what it answers."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import httpx2
import pytest

from tests.acceptance.support import ran

PAGE = "https://evil.example"


@pytest.fixture(scope="module")
def port(http: httpx2.Client) -> int:
    return int(http.base_url.port or 0)


def sent(port: int, head: str, body: bytes = b"") -> tuple[int, str]:
    """Send bytes as they are, as a client that follows no rules would; return the status and the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        answer = b"".join(pieces(connection)).decode("latin-1")
    match = re.match(r"HTTP/1\.1 (\d{3}) ", answer)
    assert match, answer
    return int(match[1]), answer


def pieces(connection: socket.socket) -> Iterator[bytes]:
    try:
        while piece := connection.recv(65536):
            yield piece
    except (ConnectionResetError, TimeoutError):
        return


# Hosts: a name that resolves here is not therefore ours (DNS rebinding)


@pytest.mark.parametrize("path", ["/", "/api/v1/live-state", "/api/v1/grid/regional", "/docs", "/nothing"])
def test_a_foreign_host_sees_nothing_of_any_path(port, path):
    status, answer = sent(port, f"GET {path} HTTP/1.1\nHost: evil.example:{port}\nConnection: close")
    assert status == 403
    assert "application/problem+json" in answer
    assert "Region" not in answer


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost.",
        "evil.example:80",
        "evil.example@127.0.0.1",
        "127.0.0.1@evil.example",
        "user:password@localhost",
        "localhost/evil.example",
        "localhost?evil.example",
        "localhost#evil.example",
        "evil.example\\@localhost",
        "localhost:80:80",
        "localhost:evil",
        "localhost:",
        "local\thost",
        "localhost evil.example",
        "localhost, evil.example",
        "[::1].evil.example",
        "[::1",
        "::1",
        "[::2]",
        "[127.0.0.1]",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "lócalhost",
        "",
    ],
)
def test_a_host_that_is_not_exactly_ours_is_refused(port, host):
    status, _ = sent(port, f"GET /health HTTP/1.1\nHost: {host}\nConnection: close")
    assert status in (400, 403)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST", "LocalHost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"]
)
def test_the_names_of_this_machine_are_served(port, host):
    status, answer = sent(port, f"GET /health HTTP/1.1\nHost: {host}\nConnection: close")
    assert (status, answer.endswith('{"status":"ok"}')) == (200, True)


def test_a_request_without_a_host_is_refused(port):
    assert sent(port, "GET /health HTTP/1.0")[0] in (400, 403)


@pytest.mark.parametrize("hosts", ["Host: localhost\nHost: evil.example", "Host: evil.example\nHost: localhost"])
def test_a_request_with_two_hosts_is_refused(port, hosts):
    """Which of them counts is what two readers of one request may disagree about."""
    assert sent(port, f"GET /health HTTP/1.1\n{hosts}\nConnection: close")[0] in (400, 403)


# Origins: a page of another site may make the browser send, and must not thereby write


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/api/v1/live-state", "/api/v1/market/catalog"])
def test_a_page_of_another_site_may_not_write(http, method, path):
    answer = http.request(method, path, headers={"origin": PAGE}, json={})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert PAGE in answer.json()["detail"]


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://localhost:1",
        "http://127.0.0.1.evil.example",
        "file://",
        "http://[",
        "http://evil.example@{host}",
        "ftp://{host}",
        "{host}",
        "http://{host}/",
        "http://{host} http://evil.example",
    ],
)
def test_an_origin_that_is_not_exactly_ours_may_not_write(http, port, origin):
    headers = {"origin": origin.format(host=f"127.0.0.1:{port}")}
    answer = http.post("/health", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_page_of_our_own_and_a_program_come_as_far_as_the_method(http, port):
    for headers in ({"origin": f"http://127.0.0.1:{port}"}, {}):
        assert http.post("/health", headers=headers).status_code == 405


def test_no_answer_lets_another_sites_page_read_it(http):
    for method in ("GET", "OPTIONS"):
        asks = {"origin": PAGE, "access-control-request-method": "POST"}
        answer = http.request(method, "/api/v1/live-state", headers=asks)
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", [f"Origin: {PAGE}\n", ""])
def test_no_web_socket_is_opened(port, origin):
    """Nothing here speaks it; and the gate refuses a foreign page's before anything would."""
    head = (
        f"GET /api/v1/live-state HTTP/1.1\nHost: 127.0.0.1:{port}\n{origin}Upgrade: websocket\n"
        "Connection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
        "Accept-Encoding: identity"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        assert not connection.recv(64).startswith(b"HTTP/1.1 101")


# Bodies


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        None,
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_body_that_a_form_could_send_is_refused(http, method, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    answer = http.request(method, "/health", content=b'{"a": 1}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(port):
    head = f"POST /health HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {10**12}"
    status, answer = sent(port, head)
    assert (status, "too_large" in answer) == (413, True)


def test_a_body_that_does_not_say_is_refused_as_it_grows(port):
    """Chunked: no length is declared, and the server stops reading where its limit is."""
    chunk = b"%x\r\n" % 65536 + b"1" * 65536 + b"\r\n"
    head = "POST /health HTTP/1.1\nHost: localhost\nContent-Type: application/json\nTransfer-Encoding: chunked"
    status, answer = sent(port, head, chunk * 16)
    assert (status, "too_large" in answer) == (413, True)


def test_the_server_lives_on_after_all_of_that(http):
    assert http.get("/health").status_code == 200


# Addresses


@pytest.mark.parametrize(("command", "host"), [("up", "0.0.0.0"), ("up", "example.org"), ("serve", "::")])
def test_an_address_that_others_can_reach_is_refused_before_anything_starts(tmp_path, command, host):
    home = tmp_path / "home"
    ended = ran(command, PYLON_HOST=host, PYLON_HOME=str(home), PYLON_PORT="0")
    assert ended.code == 1
    assert f"PYLON_HOST={host} can be reached by other machines" in ended.said
    assert "Valid: 127.0.0.1, ::1 or localhost" in ended.said
    assert "Traceback" not in ended.said
    assert not home.exists()
