"""The prepared document: built once a version, sent as bytes, under a tag that changes with what it says."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pylon.errors import StoreUnavailable
from pylon.interfaces import prepared
from pylon.interfaces.prepared import Prepared, PreparedDocument, Version

DOCUMENT = PreparedDocument(b'{"a":1}' * 100, "f" * 32)


def coding_of(representation: Any) -> str:
    headers = dict(representation.headers)
    return headers.get(b"content-encoding", b"identity").decode()


# Which representation


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        (b"", "identity"),
        (b"gzip", "gzip"),
        (b"zstd", "zstd"),
        (b"gzip, zstd", "zstd"),
        (b"gzip;q=1, zstd;q=0", "gzip"),
        (b"gzip ; q=0 , zstd ; Q=0.000", "identity"),
        (b"zstd;q=0.001", "zstd"),
        (b"*", "identity"),
        (b"*;q=0", "identity"),
        (b"xgzip, zstdx", "identity"),
    ],
)
def test_the_smallest_the_client_takes_is_sent(accept, sent):
    assert coding_of(DOCUMENT.best_for(accept)) == sent


@given(st.binary(max_size=60))
def test_no_header_breaks_it_and_none_gets_what_it_did_not_name(accept):
    best = DOCUMENT.best_for(accept)
    assert coding_of(best) == "identity" or coding_of(best).encode() in accept


def test_every_representation_holds_the_same_bytes():
    plain, packed, zipped = (DOCUMENT.best_for(accept) for accept in (b"", b"gzip", b"zstd"))
    assert plain.body == gzip.decompress(packed.body) == zstandard.ZstdDecompressor().decompress(zipped.body)
    assert len({plain.tag, packed.tag, zipped.tag}) == 3
    for one in (plain, packed, zipped):
        assert dict(one.headers)[b"content-length"] == str(len(one.body)).encode()
        assert dict(one.not_modified) == {
            b"etag": one.tag,
            b"cache-control": b"no-cache",
            b"vary": b"accept-encoding",
        }


def test_the_tag_of_the_very_bytes_says_that_the_client_has_them():
    representations = [DOCUMENT.best_for(accept) for accept in (b"", b"gzip", b"zstd")]
    for one in representations:
        for header in (one.tag, b"W/" + one.tag, b'"x", ' + one.tag, one.tag + b' ,"x"', b"*"):
            assert one.matches(header)
        others = [other.tag for other in representations if other is not one]
        for header in (*others, b'"x"', b"f" * 32, b"", b'W/"x"'):
            assert not one.matches(header)


def test_the_same_document_is_the_same_bytes_again():
    again = PreparedDocument(b'{"a":1}' * 100, "f" * 32)
    for accept in (b"", b"gzip", b"zstd"):
        assert again.best_for(accept).body == DOCUMENT.best_for(accept).body


# When it is built


@dataclass
class Source:
    """Something to prepare: a version and what is said, both set by the test, and how often each was asked for."""

    snapshot: str = "1"
    period: int = 0
    said: dict[str, Any] = field(default_factory=lambda: {"value": 1})
    moment: int = 0
    looks: int = 0
    builds: int = 0
    fault: Exception | None = None

    def version(self) -> Version:
        self.looks += 1
        if self.fault:
            raise self.fault
        return Version(self.snapshot, self.period)

    def build(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self.builds += 1
        return dict(self.said), {"as_of": self.moment}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only when a test says so."""
    now = [1000.0]
    monkeypatch.setattr(prepared.time, "monotonic", lambda: now[0])
    return now


async def get(app: Prepared, method: str = "GET", **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "http", "method": method, "path": "/x", "headers": encoded}, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_within_a_second_nobody_looks_and_afterwards_only_a_change_is_built(clock):
    source = Source()
    app = Prepared(source.version, source.build)

    async def story() -> None:
        for _ in range(5):
            assert json.loads((await get(app))[2]) == {"as_of": 0, "value": 1}
        assert (source.looks, source.builds) == (1, 1)
        clock[0] += 1
        await get(app)
        assert (source.looks, source.builds) == (2, 1)
        source.snapshot = "2"
        clock[0] += 0.9
        await get(app)
        assert (source.looks, source.builds) == (2, 1)
        clock[0] += 0.1
        await get(app)
        assert (source.looks, source.builds) == (3, 2)

    asyncio.run(story())


def test_a_write_that_changes_nothing_said_keeps_bytes_and_tag(clock):
    """Not even what only tells the moment moves: a strong tag names bytes."""
    source = Source()
    app = Prepared(source.version, source.build)

    async def story() -> None:
        before = await get(app)
        source.snapshot, source.moment = "2", 77
        clock[0] += 1
        assert await get(app) == before
        assert source.builds == 2
        source.said = {"value": 2}
        source.snapshot = "3"
        clock[0] += 1
        after = await get(app)
        assert after[1][b"etag"] != before[1][b"etag"]
        assert json.loads(after[2]) == {"as_of": 77, "value": 2}

    asyncio.run(story())


def test_another_period_is_another_document_even_when_it_says_the_same(clock):
    source = Source()
    app = Prepared(source.version, source.build)

    async def story() -> None:
        before = await get(app)
        source.period, source.moment = 1, 77
        clock[0] += 1
        after = await get(app)
        assert after[1][b"etag"] != before[1][b"etag"]
        assert json.loads(after[2]) == {"as_of": 77, "value": 1}

    asyncio.run(story())


def test_many_at_once_cause_one_look(clock):
    source = Source()
    app = Prepared(source.version, source.build)

    async def story() -> None:
        answers = await asyncio.gather(*(get(app) for _ in range(20)))
        assert {status for status, _, _ in answers} == {200}
        assert (source.looks, source.builds) == (1, 1)

    asyncio.run(story())


def test_what_keeps_it_from_being_built_is_a_problem_for_a_second_and_then_is_tried_again(clock, caplog):
    source = Source()
    app = Prepared(source.version, source.build)

    async def story() -> None:
        source.fault = StoreUnavailable("It is down.")
        status, headers, body = await get(app)
        assert (status, headers[b"content-type"]) == (503, b"application/problem+json")
        assert json.loads(body)["detail"] == "It is down."
        assert (await get(app))[0] == 503
        assert source.looks == 1
        source.fault = ValueError("hunter2")
        clock[0] += 1
        status, headers, body = await get(app)
        assert (status, headers[b"content-type"]) == (500, b"application/problem+json")
        assert b"hunter2" not in body
        source.fault = None
        clock[0] += 1
        assert (await get(app))[0] == 200

    asyncio.run(story())
    assert "GET /x failed" in caplog.text


def test_who_has_it_is_told_so_and_head_sends_no_body(clock):
    source = Source()
    app = Prepared(source.version, source.build)

    async def story() -> None:
        _, headers, _ = await get(app, accept_encoding="gzip")
        status, _, body = await get(app, accept_encoding="gzip", if_none_match=headers[b"etag"].decode())
        assert (status, body) == (304, b"")
        status, head, body = await get(app, "HEAD", accept_encoding="gzip")
        assert (status, head, body) == (200, headers, b"")

    asyncio.run(story())


def test_it_answers_get_and_head_alone():
    assert [method for method in ("GET", "HEAD", "POST", "OPTIONS") if Prepared.serves({"method": method})] == [
        "GET",
        "HEAD",
    ]
