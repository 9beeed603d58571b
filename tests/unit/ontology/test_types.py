"""The words an object type is declared in: what a quantity accepts, and how it rounds."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from pylon.ontology.types import Instant, Name, Numeric, ObjectType, Scope, Table

ID = UUID("019a0000-0000-7000-8000-000000000001")


class Reading(BaseModel):
    price: Annotated[Decimal, Numeric(5, 2, "GBP")] = Decimal(0)
    share: Annotated[Decimal | None, Numeric(3, 2), Field(ge=0, le=1)] = None


class Thing(ObjectType):
    """A thing."""

    table: ClassVar[Table] = Table("things", Scope.SHARED)
    name: Annotated[Name, Field(description="Name")] = "thing"
    at: Annotated[Instant | None, Field(description="When")] = None


def test_numeric_knows_its_sql_type() -> None:
    assert Numeric(10, 2, "MW").sql == "numeric(10,2)"


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [
        (1, "1.00"),
        (0.1, "0.10"),
        ("1.005", "1.01"),
        ("-1.005", "-1.01"),
        ("0.004", "0.00"),
        ("0.005", "0.01"),
        (Decimal("999.99"), "999.99"),
        (Decimal("-999.99"), "-999.99"),
    ],
)
def test_numeric_rounds_half_away_from_zero_as_postgresql_does(given_value: Any, kept: str) -> None:
    assert str(Reading(price=given_value).price) == kept


@pytest.mark.parametrize("value", [1000, -1000, "1000.01", 10**9])
def test_numeric_refuses_what_does_not_fit_and_says_what_does(value: Any) -> None:
    with pytest.raises(ValidationError, match="must be between -1000 and 1000, exclusive"):
        Reading(price=value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "NaN", "-Infinity", "ten", None])
def test_numeric_takes_finite_numbers_alone(value: Any) -> None:
    with pytest.raises(ValidationError):
        Reading(price=value)


def test_none_stays_none_beside_a_range() -> None:
    assert Reading(share=None).share is None


def test_a_range_holds_beside_the_digits() -> None:
    assert Reading(share=1).share == 1
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Reading(share="1.01")


# Up to what rounds up to the limit itself: 999.995 would be 1000.00.
fitting = st.decimals("-999.99", "999.99", allow_nan=False, places=6)


@given(fitting)
def test_rounding_moves_a_value_by_half_a_step_at_most_and_once(value: Decimal) -> None:
    kept = Reading(price=value).price
    assert abs(kept - value) <= Decimal("0.005")
    assert kept.as_tuple().exponent == -2
    assert kept == value.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert Reading(price=kept).price == kept


@given(fitting, fitting)
def test_rounding_keeps_the_order(one: Decimal, other: Decimal) -> None:
    low, high = sorted((one, other))
    assert Reading(price=low).price <= Reading(price=high).price


@given(st.decimals("999.995", "999.999999", places=6))
def test_what_rounds_up_to_the_limit_does_not_fit(value: Decimal) -> None:
    with pytest.raises(ValidationError):
        Reading(price=value)


def test_a_row_is_frozen_and_refuses_columns_it_does_not_have() -> None:
    thing = Thing(id=ID)
    with pytest.raises(ValidationError, match="frozen"):
        thing.name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Thing(id=ID, colour="red")  # type: ignore[call-arg]


def test_an_instant_needs_a_time_zone() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Thing(id=ID, at="2026-01-01T00:00:00")


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_has_a_length(name: str) -> None:
    with pytest.raises(ValidationError):
        Thing(id=ID, name=name)
