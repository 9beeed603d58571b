"""Fields: which there are, and which values each may be compared with."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from pylon.errors import Invalid
from pylon.ontology import fields
from pylon.ontology.agency import Agent, OrchestrationDecision
from pylon.ontology.catalogue import OBJECT_TYPES
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fields import Kind, Op, shown
from pylon.ontology.fleet import DataCentre, Operator
from pylon.ontology.grid import GenerationMix
from pylon.ontology.types import ObjectType

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.mark.parametrize("object_type", OBJECT_TYPES.values(), ids=lambda kind: kind.__name__)
def test_every_column_but_the_secret_ones_is_a_field(object_type: type[ObjectType]) -> None:
    assert list(fields.of(object_type)) == [name for name in object_type.model_fields if name != "api_key_hash"]


@pytest.mark.parametrize(
    ("object_type", "name", "kind"),
    [
        (DataCentre, "id", Kind.UUID),
        (DataCentre, "created_at", Kind.INSTANT),
        (DataCentre, "gpu_count", Kind.INTEGER),
        (DataCentre, "pue", Kind.NUMBER),
        (DataCentre, "published", Kind.BOOLEAN),
        (DataCentre, "status", Kind.ENUM),
        (GenerationMix, "fuel_type", Kind.ENUM),
        (DataCentre, "name", Kind.WORDS),
        (OrchestrationDecision, "reasoning", Kind.TEXT),
        (ComputeWorkload, "allowed_region_ids", Kind.INTEGERS),
        (Agent, "config", Kind.DOCUMENT),
    ],
)
def test_a_fields_kind_follows_from_its_column(object_type: type[ObjectType], name: str, kind: Kind) -> None:
    assert fields.field(object_type, name).kind is kind


def test_what_has_no_order_is_neither_sorted_nor_compared_by_order() -> None:
    for kind in Kind:
        assert Op.IS_NULL in kind.ops
        if Op.GT in kind.ops and kind is not Kind.TEXT:
            assert kind.is_sortable
    assert not {kind for kind in (Kind.TEXT, Kind.INTEGERS, Kind.DOCUMENT) if kind.is_sortable}
    assert {kind for kind in Kind if kind.is_quantity} == {Kind.INTEGER, Kind.NUMBER}


@pytest.mark.parametrize(
    ("name", "op", "given", "value"),
    [
        ("id", Op.EQ, str(ID), ID),
        ("id", Op.EQ, ID, ID),
        ("created_at", Op.GT, "2026-11-22T09:00:00Z", NINE),
        ("created_at", Op.GT, "2026-11-22T10:00:00+01:00", NINE),
        ("created_at", Op.GT, NINE, NINE),
        ("gpu_count", Op.EQ, 5, 5),
        ("gpu_count", Op.EQ, Decimal("5.0"), 5),
        ("gpu_count", Op.EQ, -(2**31), -(2**31)),
        ("pue", Op.LT, 1.3, Decimal("1.3")),
        ("pue", Op.LT, Decimal("1.305"), Decimal("1.305")),
        ("pue", Op.LT, 1, Decimal(1)),
        ("pue", Op.LT, 5e-324, Decimal("5e-324")),
        ("published", Op.EQ, True, True),
        ("status", Op.EQ, "ACTIVE", "ACTIVE"),
        ("name", Op.CONTAINS, "", ""),
        ("name", Op.EQ, "x" * 1000, "x" * 1000),
        ("name", Op.IS_NULL, False, False),
        ("status", Op.IN, ["ACTIVE", "OFFLINE"], ("ACTIVE", "OFFLINE")),
        ("status", Op.IN, [], ()),
        ("gpu_count", Op.IN, list(range(1000)), tuple(range(1000))),
    ],
)
def test_a_value_becomes_the_columns_own_type(name: str, op: Op, given: Any, value: Any) -> None:
    made = fields.field(DataCentre, name).operand(op, given)
    assert (made, type(made)) == (value, type(value))


def test_an_element_of_a_list_is_compared_as_an_element() -> None:
    assert fields.field(ComputeWorkload, "allowed_region_ids").operand(Op.CONTAINS, 13) == 13


INTEGER = "It must be a whole number from -2147483648 to 2147483647."
NUMBER = "It must be a number between -10 and 10, exclusive, of at most 400 decimal places."
INSTANT = "It must be a time with its zone, such as 2026-11-22T09:00:00Z (in an address, + is written %2B)."
TEXT = "It must be text of at most 1,000 characters, without the character NUL and without half a surrogate pair."


@pytest.mark.parametrize(
    ("name", "op", "given", "says"),
    [
        ("id", Op.EQ, "nobody", "id: 'nobody' is not valid. It must be a UUID, such as"),
        ("id", Op.EQ, 7, "id: 7 is not valid. It must be a UUID"),
        ("id", Op.EQ, ["x"], "id: a list of 1 is not valid. It must be a UUID"),
        ("created_at", Op.GT, "2026-11-22T09:00:00", INSTANT),
        ("created_at", Op.GT, "2026-11-22", INSTANT),
        ("created_at", Op.GT, "2026-11-22T09:00:00 00:00", INSTANT),
        ("created_at", Op.GT, "0001-01-01T00:00:00+14:00", INSTANT),
        ("created_at", Op.GT, 1763802000, INSTANT),
        ("created_at", Op.GT, datetime(2026, 11, 22), INSTANT),  # noqa: DTZ001
        ("gpu_count", Op.EQ, 2**31, f"gpu_count: 2147483648 is not valid. {INTEGER}"),
        ("gpu_count", Op.EQ, -(2**31) - 1, INTEGER),
        ("gpu_count", Op.EQ, 10**4000, INTEGER),
        ("gpu_count", Op.EQ, Decimal("1e999999"), f"gpu_count: 1E+999999 is not valid. {INTEGER}"),
        ("gpu_count", Op.EQ, 2.5, f"gpu_count: 2.5 is not valid. {INTEGER}"),
        ("gpu_count", Op.EQ, True, f"gpu_count: true is not valid. {INTEGER}"),
        ("gpu_count", Op.EQ, "5", f"gpu_count: '5' is not valid. {INTEGER}"),
        ("gpu_count", Op.EQ, {"a": 1}, f"gpu_count: an object of 1 is not valid. {INTEGER}"),
        ("pue", Op.LT, float("nan"), f"pue: nan is not valid. {NUMBER}"),
        ("pue", Op.LT, float("inf"), NUMBER),
        ("pue", Op.LT, Decimal("sNaN"), NUMBER),
        ("pue", Op.LT, 10, NUMBER),
        ("pue", Op.LT, Decimal("1e-401"), NUMBER),
        ("pue", Op.LT, Decimal("1e999999"), NUMBER),
        ("pue", Op.LT, "1.3", NUMBER),
        ("published", Op.EQ, 1, "published: 1 is not valid. It must be true or false."),
        ("status", Op.EQ, "active", "It must be one of ACTIVE, MAINTENANCE, OFFLINE, CONSTRAINED."),
        ("status", Op.EQ, 3, "It must be one of ACTIVE"),
        ("name", Op.EQ, "a\0b", f"name: 'a\\x00b' is not valid. {TEXT}"),
        ("name", Op.EQ, "\ud83d", f"name: '\\ud83d' is not valid. {TEXT}"),
        ("name", Op.EQ, "x" * 1001, TEXT),
        ("name", Op.EQ, 5, TEXT),
        ("name", Op.EQ, None, "name eq: null equals nothing. Use isNull with true or false."),
        ("status", Op.IN, [None], "status eq: null equals nothing."),
        ("status", Op.IN, "ACTIVE", "status in: the value must be a list of at most 1,000 values."),
        ("status", Op.IN, ["ACTIVE"] * 1001, "status in: the value must be a list of at most 1,000 values."),
        ("name", Op.IS_NULL, "true", "name: 'true' is not valid. It must be true or false."),
        ("status", Op.GT, "ACTIVE", "status is of kind enum and cannot be compared with gt. Valid: eq, ne, in,"),
        ("published", Op.LT, True, "published is of kind boolean and cannot be compared with lt."),
        ("gpu_count", Op.CONTAINS, 1, "gpu_count is of kind integer and cannot be compared with contains."),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_with_what_is_valid(name: str, op: Op, given: Any, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        fields.field(DataCentre, name).operand(op, given)
    assert says in refused.value.detail
    assert len(refused.value.detail) < 300


@pytest.mark.parametrize("op", [op for op in Op if op is not Op.IS_NULL])
def test_a_document_is_only_asked_whether_it_is_there(op: Op) -> None:
    with pytest.raises(Invalid, match=r"config is of kind document .* Valid: isNull\."):
        fields.field(Agent, "config").operand(op, {})


@pytest.mark.parametrize(
    ("name", "op", "text", "value"),
    [
        ("gpu_count", Op.EQ, "5", 5),
        ("gpu_count", Op.EQ, "-5e1", -50),
        ("pue", Op.LT, "1.30", Decimal("1.30")),
        ("published", Op.EQ, "true", True),
        ("name", Op.IS_NULL, "false", False),
        ("name", Op.EQ, "true", "true"),
        ("name", Op.EQ, "a,b", "a,b"),
        ("name", Op.IN, "a,b", ("a", "b")),
        ("gpu_count", Op.IN, "1,2", (1, 2)),
        ("id", Op.EQ, str(ID), ID),
    ],
)
def test_a_value_written_as_text_is_read_by_the_fields_kind(name: str, op: Op, text: str, value: Any) -> None:
    assert fields.field(DataCentre, name).read(op, text) == value


@pytest.mark.parametrize(
    "text", ["", "five", "NaN", "Infinity", "1_000", "٥", "1e99999999999999999999", " 5", "0x5"]
)
@pytest.mark.parametrize("name", ["gpu_count", "pue"])
def test_text_that_is_no_number_is_refused(name: str, text: str) -> None:
    with pytest.raises(Invalid, match=f"{name}: .* is not valid. It must be a"):
        fields.field(DataCentre, name).read(Op.EQ, text)


def test_an_unknown_field_is_told_the_closest_and_the_valid_ones() -> None:
    with pytest.raises(Invalid) as refused:
        fields.field(DataCentre, "statsu")
    assert "DataCentre has no field 'statsu'. Did you mean status? Valid: id, dc_id, name," in refused.value.detail
    for name in (None, 5, ["id"], "x" * 5000, "id\0"):
        with pytest.raises(Invalid, match="DataCentre has no field"):
            fields.field(DataCentre, name)


def test_a_secret_column_does_not_exist() -> None:
    with pytest.raises(Invalid) as refused:
        fields.field(Operator, "api_key_hash")
    assert "api_key_hash" not in refused.value.detail.partition("Valid:")[2]
    assert "Did you mean api" not in refused.value.detail


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "null"),
        (True, "true"),
        ({"a": 1}, "an object of 1"),
        ([1, 2], "a list of 2"),
        (Decimal("1.50"), "1.50"),
        ("it's", '"it\'s"'),
        ("x" * 99, f"'{'x' * 56}..."),
    ],
)
def test_a_value_in_a_message_is_short_and_as_json_has_it(given: Any, text: str) -> None:
    assert shown(given) == text
