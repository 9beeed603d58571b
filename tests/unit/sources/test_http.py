"""What an answer and its headers mean, without a network."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon._version import VERSION
from pylon.errors import SourceChanged
from pylon.sources.http import USER_AGENT, decode, retry_after_s, upstream_message

DATE = "Mon, 17 Aug 2026 08:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", None, 0),
        (" 12 ", None, 12),
        ("Mon, 17 Aug 2026 08:00:07 GMT", DATE, 7),
        ("Mon, 17 Aug 2026 07:59:00 GMT", DATE, 0),
        ("Mon, 17 Aug 2026 08:00:07 GMT", None, None),
        ("Mon, 17 Aug 2026 08:00:07 -0000", DATE, None),
        (None, DATE, None),
        ("soon", DATE, None),
        ("-5", DATE, None),
        ("1.5", DATE, None),
        ("", DATE, None),
        ("٣", DATE, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_counted_from_the_answers_own(value, date, seconds):
    assert retry_after_s(value, date) == seconds


@given(st.text() | st.none(), st.text() | st.none())
def test_any_header_is_either_a_wait_or_none(value, date):
    seconds = retry_after_s(value, date)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            b'{"error":{"code":"400 Bad Request","message":"Please enter a valid date. "}}',
            "Please enter a valid date",
        ),
        (b"", "no message"),
        (b"\x00\x1b", "no message"),
        (b"<html><body>Bad gateway</body></html>", "an HTML page"),
        (b"upstream\x1b[31m is\n down", "upstream [31m is down"),
        (b'{"error":"other"}', '{"error":"other"}'),
        (b"[1]", "[1]"),
        (b"x" * 9_999, "x" * 200),
        (b"[" * 9_999, "[" * 200),
    ],
)
def test_the_upstream_message_is_short_and_fit_for_a_terminal(body, message):
    assert upstream_message(body) == message


@given(st.binary())
def test_any_error_body_gives_some_message(body):
    message = upstream_message(body)
    assert 0 < len(message) <= 200
    assert message.isprintable()


def test_json_is_decoded_and_nan_is_left_to_the_row_that_holds_it():
    assert decode("u", b'{"data":[1,null]}') == {"data": [1, None]}
    assert math.isnan(decode("u", b"[NaN]")[0])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty body"),
        (b" \n", "empty body"),
        (b"<!DOCTYPE html><p>", "an HTML page"),
        (b'{"data":[', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 100_000, "not JSON"),
    ],
)
def test_what_is_not_json_has_changed(body, says):
    with pytest.raises(SourceChanged, match=says) as caught:
        decode("https://example.org/x", body)
    assert "https://example.org/x" in caught.value.detail
    assert caught.value.extra == {"url": "https://example.org/x"}


@given(st.binary())
def test_any_body_is_json_or_has_changed(body):
    with contextlib.suppress(SourceChanged):
        decode("u", body)


def test_the_user_agent_names_pylon_and_its_version():
    assert USER_AGENT.startswith(f"pylon-deg/{VERSION} (+https://")
