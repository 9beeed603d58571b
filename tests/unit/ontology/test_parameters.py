"""Property tests of what parameters are made of: what fits is kept as it is, what does not is refused in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, ValidationError

from pylon.ontology._parameters import (
    Document,
    Id,
    Moment,
    NewId,
    Parameters,
    RegionNumber,
    Within,
    distinct,
    wrong,
)
from pylon.ontology.types import Kilowatts, Ratio


class Whole(Parameters):
    value: Annotated[int, Within("min", 1, 10)]


class Power(Parameters):
    value: Annotated[Kilowatts, Within("kW", 0, 1000, is_above=True)]


class Rated(Parameters):
    value: Annotated[Ratio, Within("1", 1, 3)]


class At(Parameters):
    value: Moment


class Named(Parameters):
    value: NewId


class Called(Parameters):
    value: Id


class Region(Parameters):
    value: RegionNumber


class Kept(Parameters):
    value: Document


class Several(Parameters):
    value: Annotated[list[int], AfterValidator(distinct("number"))]


def why(kind: type[Parameters], value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"value": value})
    return caught.value.errors()[0]["msg"]


@given(st.integers(1, 10))
def test_a_whole_number_is_one_however_json_writes_it(number: int) -> None:
    for written in (number, float(number), Decimal(number), Decimal(f"{number}.00")):
        assert Whole.model_validate({"value": written}) == Whole(value=number)


@given(st.integers().filter(lambda number: not 1 <= number <= 10))
def test_a_number_out_of_range_is_refused_with_the_range_and_the_unit(number: int) -> None:
    assert why(Whole, number) == "must be from 1 to 10 min"


@given(st.decimals("0.001", 1000, places=3))
def test_a_quantity_within_its_range_is_kept(value: Decimal) -> None:
    assert Power.model_validate({"value": value}).model_dump() == {"value": value}
    assert Power.model_validate({"value": float(value)}).model_dump() == {"value": value}


@pytest.mark.parametrize("value", [0, -1, 1000.001, Decimal("0.0004"), 10**300, 1e300, Decimal("1e99999")])
def test_a_quantity_beyond_its_range_is_refused(value: Any) -> None:
    assert why(Power, value)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.just(10**5000)))
def test_however_large_a_number_is_its_refusal_names_its_own_range(value: float) -> None:
    """And not the digits of the column it would be kept in, nor that it is no whole number."""
    if not 0 < value <= 1000:
        assert why(Power, value) == "must be above 0 to 1,000 kW"
    if not 1 <= value <= 3:
        assert why(Rated, value) == "must be from 1 to 3"
    if not 1 <= value <= 10:
        assert why(Whole, value) == "must be from 1 to 10 min"


def test_what_rounds_to_an_excluded_end_is_beyond_its_range() -> None:
    assert why(Power, Decimal("0.0004")) == "must be above 0 to 1,000 kW"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")]
)
def test_what_is_not_finite_is_no_number(value: Any) -> None:
    assert why(Power, value) == "must be a finite number"


@pytest.mark.parametrize("value", ["5", "", True, False, None, [5], {"value": 5}])
def test_what_only_looks_like_a_number_is_refused(value: Any) -> None:
    assert why(Power, value) == why(Whole, value) == "must be a number"


@given(st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_a_time_is_read_in_utc_from_any_zone(at: datetime, offset_mins: int) -> None:
    local = at.replace(tzinfo=timezone(timedelta(minutes=offset_mins)))
    for written in (local, local.isoformat()):
        read = At.model_validate({"value": written})
        assert read.value == local
        assert read.value.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T09:00",
        "2026-11-22",
        "tomorrow",
        "",
        1_795_000_000,
        "1795000000",
        None,
        "1999-12-31T23:59:59Z",
        "2100-01-01T00:00Z",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
        datetime(2026, 11, 22, 9),  # noqa: DTZ001
    ],
)
def test_a_time_without_a_zone_or_out_of_reach_is_refused(value: Any) -> None:
    assert why(At, value).startswith("must be a time with its zone (RFC 3339), such as")


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=100))
def test_any_word_without_control_characters_may_be_an_id(word: str) -> None:
    assert Named(value=word).value == word
    assert Called(value=word).value == word


@pytest.mark.parametrize("word", ["", "x" * 101, "a\0b", "\ud800", 5, None])
def test_what_the_database_could_not_hold_is_no_id(word: Any) -> None:
    assert why(Called, word)
    assert why(Named, word)


@pytest.mark.parametrize("word", ["a\nb", "\x1b[31m", "tab\t", "\x85"])
def test_a_new_id_has_no_control_characters_but_one_that_was_imported_is_found(word: str) -> None:
    assert why(Named, word) == "must be text without control characters"
    assert Called(value=word).value == word


@given(st.integers())
def test_a_region_is_one_of_fourteen(number: int) -> None:
    if 1 <= number <= 14:
        assert Region(value=number).value == number
    else:
        assert "15 to 17 (England, Scotland, Wales) are sums" in why(Region, number)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-(2.0**53), 2.0**53)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\\u0", max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", max_size=3), plain, max_size=3))
def test_a_document_of_json_is_kept_as_it_is(document: dict[str, Any]) -> None:
    assert Kept(value=document).value == document


@pytest.mark.parametrize(
    "document",
    [{"a": "\0"}, {"\0": 1}, {"a": float("nan")}, {"a": Decimal("1e400")},
     {"a": 2**53 + 1}, {"a": [-1e20]}, {"a": "\ud800"}, {"a": {1, 2}}, {"a": "x" * 10_000}],
)  # fmt: skip
def test_a_document_that_could_not_be_kept_is_refused(document: dict[str, Any]) -> None:
    assert "JSON object of at most 10,000 characters" in why(Kept, document)


def test_a_document_nested_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert why(Kept, deep)


@given(st.lists(st.integers(1, 5)))
def test_what_is_named_twice_is_refused(numbers: list[int]) -> None:
    if len(set(numbers)) == len(numbers):
        assert Several(value=numbers).value == numbers
    else:
        assert why(Several, numbers) == "must name each number once"


def test_a_refusal_has_the_words_it_was_given() -> None:
    assert wrong("say {this} so").message() == "say {this} so"
