"""One value, one sequence of bytes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.ontology.canonical import canonical_bytes, digest
from pylon.ontology.enums import Fuel

ID = UUID("019a0000-0000-7000-8000-000000000001")

# Text without halves of surrogate pairs: what UTF-8 has.
words = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=20
)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (2**70, "1180591620717411303424"),
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (5e-324, "5e-324"),
        (1e22, "1e+22"),
        (np.float64(0.1), "0.1"),
        (Decimal("85.00"), '"85"'),
        (Decimal("85.10"), '"85.1"'),
        (Decimal("1E+3"), '"1000"'),
        (Decimal("100"), '"100"'),
        (Decimal("-0.00"), '"0"'),
        (Decimal("1E-7"), '"0.0000001"'),
        ('é\u2028\n"', '"é\u2028\\n\\""'),
        (Fuel.WIND, '"wind"'),
        (Colour.RED, '"red"'),
        (Level.LOW, "1"),
        (ID, '"019a0000-0000-7000-8000-000000000001"'),
        (date(2026, 11, 22), '"2026-11-22"'),
        (datetime(2026, 11, 22, 9, tzinfo=UTC), '"2026-11-22T09:00:00.000000Z"'),
        (datetime(26, 1, 2, 3, 4, 5, 6, tzinfo=UTC), '"0026-01-02T03:04:05.000006Z"'),
        ((1, [2, ()]), "[1,[2,[]]]"),
        ({}, "{}"),
        ({Fuel.GAS: 1, "b": 2}, '{"b":2,"gas":1}'),
    ],
)
def test_each_type_has_one_form(value: Any, text: str) -> None:
    assert canonical_bytes(value) == text.encode()


def test_keys_are_sorted_by_code_point_not_by_utf16() -> None:
    # In UTF-16 the emoji (a surrogate pair) would come before U+FB33.
    expected = '{"B":3,"a":4,"\ufb33":2,"\U0001f600":1}'
    assert canonical_bytes({"\U0001f600": 1, "\ufb33": 2, "B": 3, "a": 4}) == expected.encode()


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ({"a": [1, {"b": {1, 2}}]}, TypeError, r"^\$\.a\[1\]\.b: set has no canonical form$"),
        ([b"x"], TypeError, r"^\$\[0\]: bytes"),
        (object(), TypeError, r"^\$: object"),
        (np.int64(1), TypeError, r"^\$: int64"),
        (timedelta(1), TypeError, r"^\$: timedelta"),
        ({1: 2}, TypeError, r"^\$: the key 1 is int; keys must be text"),
        ({"p": float("nan")}, ValueError, r"^\$\.p: nan"),
        ([float("inf")], ValueError, r"^\$\[0\]: inf"),
        ([Decimal("NaN")], ValueError, r"^\$\[0\]: NaN"),
        ([Decimal("-Infinity")], ValueError, r"^\$\[0\]: -Infinity"),
        ({"at": datetime(2026, 1, 1)}, ValueError, r"^\$\.at: 2026-01-01T00:00:00 has no time zone"),  # noqa: DTZ001
        (["\ud800"], ValueError, r"^\$\[0\]: .* has no UTF-8"),
        ({Colour.RED: 1, "red": 2}, ValueError, r"^\$: two keys are written 'red'"),
    ],
)
def test_what_has_no_form_is_refused_with_its_path(value: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        canonical_bytes(value)


@given(values)
def test_reading_and_writing_again_changes_nothing(value: Any) -> None:
    once = canonical_bytes(value)
    assert canonical_bytes(json.loads(once)) == once


@given(values)
def test_nothing_is_lost(value: Any) -> None:
    assert json.loads(canonical_bytes(value)) == value


@given(st.dictionaries(words, scalars, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical_bytes(dict(items)) == canonical_bytes(value)


@given(values, values)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    # Python takes True for 1; JSON does not.
    if json.dumps(one) != json.dumps(other) and one != other:
        assert canonical_bytes(one) != canonical_bytes(other)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4), st.integers(0, 6))
def test_equal_decimals_have_equal_bytes_whatever_their_scale(value: Decimal, zeros: int) -> None:
    exponent = int(value.as_tuple().exponent) - zeros
    longer = Decimal((*value.as_tuple()[:1], (*value.as_tuple().digits, *[0] * zeros), exponent))
    assert longer == value
    assert canonical_bytes(longer) == canonical_bytes(value)
    assert Decimal(json.loads(canonical_bytes(value))) == value


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_float_is_the_integer_it_equals(value: int) -> None:
    assert canonical_bytes(float(value)) == canonical_bytes(value)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)),  # noqa: DTZ001  given a zone below
    st.integers(-23, 23),
)
def test_one_instant_is_one_text_in_every_zone(naive: datetime, hours: int) -> None:
    at = naive.replace(tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=hours)))
    assert canonical_bytes(elsewhere) == canonical_bytes(at)
    assert datetime.fromisoformat(json.loads(canonical_bytes(at))) == at


def test_the_digest_is_the_sha256_of_the_bytes() -> None:
    value = {"id": ID, "at": datetime(2026, 1, 1, tzinfo=UTC), "a": [1, Decimal("2.50")]}
    # printf '{"a":[1,"2.5"],"at":"2026-01-01T00:00:00.000000Z","id":"019a0000-...-0001"}' | sha256sum
    assert digest(value) == "96aa7a726a44dc13bed43049d9b2593a59ce4fd8132947509016b92806687606"
