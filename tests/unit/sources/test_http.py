"""What an answer and its headers mean, without a network."""

from __future__ import annotations

import contextlib
import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon._version import VERSION
from pylon.errors import SourceChanged
from pylon.sources.http import USER_AGENT, decode, decode_text, retry_after_s, upstream_message

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
        (
            b'{"title":"One or more validation errors occurred.","status":400,"errors":{"":["The date range '
            b'between From and To inclusive must not exceed 7 days"]}}',
            "The date range between From and To inclusive must not exceed 7 days",
        ),
        (
            b'{"errors":{"from":["It is missing."],"to":["It is bad.","It is late."]}}',
            "It is missing.; It is bad.; It is late",
        ),
        (b'{"errors":["It is missing."]}', '{"errors":["It is missing."]}'),
        (b'{"errors":{}}', '{"errors":{}}'),
        (
            b'{"success":false,"error":{"__type":"Not Found Error","message":"Not found: Resource"}}',
            "Not found: Resource",
        ),
        (b'{"error":"other"}', '{"error":"other"}'),
        (b'"errors"', '"errors"'),
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


def test_fractions_are_kept_exact_where_that_is_asked():
    body = b"[160.000000000000000000, 344.249492314814801830, -0.1, 2, 1e2, 1e-7, 1e99999999999999999999, Infinity]"
    *numbers, beyond, infinite = decode("u", body, exact=True)
    sent = ["160.000000000000000000", "344.249492314814801830", "-0.1", "2", "1E+2", "1E-7"]
    assert [str(number) for number in numbers] == sent
    assert type(numbers[3]) is int
    assert (beyond, infinite) == (math.inf, math.inf)
    assert decode("u", b"[344.249492314814801830]") == [344.2494923148148]


def test_text_may_begin_with_a_byte_order_mark():
    assert decode_text("u", b"\xef\xbb\xbfA,B\n1,\xc2\xa32\n") == "A,B\n1,£2\n"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty body"),
        (b" \n", "empty body"),
        (b"\n<!DOCTYPE html><p>", "an HTML page"),
        (b"\xff\xfe\x00", "not text"),
    ],
)
def test_what_is_not_text_has_changed(body, says):
    with pytest.raises(SourceChanged, match=says) as caught:
        decode_text("https://example.org/x", body)
    assert caught.value.extra == {"url": "https://example.org/x"}


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
def test_any_body_is_what_it_should_be_or_has_changed(body):
    for read in (decode, partial(decode, exact=True), decode_text):
        with contextlib.suppress(SourceChanged):
            read("u", body)


def test_the_user_agent_names_pylon_and_its_version():
    assert USER_AGENT.startswith(f"pylon-deg/{VERSION} (+https://")
