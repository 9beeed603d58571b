"""Reading object sets: documents and parameters become plans, and what is not valid is told what is."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid
from pylon.ontology import fields, object_set_reading
from pylon.ontology.catalogue import OBJECT_TYPES
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fields import Op
from pylon.ontology.fleet import DataCentre
from pylon.ontology.grid import GridSignal, Region
from pylon.ontology.object_sets import (
    Aggregation,
    AllOf,
    AnyOf,
    Bucket,
    Compare,
    Function,
    GroupKey,
    Linked,
    Measure,
    Not,
    Query,
    Sort,
    TimeZone,
    link_end,
)

ACTIVE = {"field": "status", "op": "eq", "value": "ACTIVE"}
IN_TWO = {"field": "region_id", "op": "in", "value": [1, 2]}
IS_ACTIVE = Compare("status", Op.EQ, "ACTIVE")


def where(condition: Any, object_type: Any = DataCentre) -> Any:
    return object_set_reading.query(object_type, {"where": condition}).where


def refused(call: Any, *words: Any) -> str:
    with pytest.raises(Invalid) as error:
        call(*words)
    assert len(error.value.detail) < 1500
    return error.value.detail


# Documents


def test_an_empty_document_asks_for_everything() -> None:
    assert object_set_reading.query(DataCentre, {}) == Query(DataCentre)
    assert Query(DataCentre).limit == 100


def test_a_document_becomes_the_query_it_says() -> None:
    document = {
        "where": {"and": [ACTIVE, {"link": "LOCATED_IN", "where": IN_TWO}]},
        "sort": ["-pue", "dc_id"],
        "select": ["pue", "id"],
        "limit": 1000,
        "cursor": None,
    }
    located = Linked(link_end(DataCentre, "LOCATED_IN"), Compare("region_id", Op.IN, (1, 2)))
    assert object_set_reading.query(DataCentre, document) == Query(
        DataCentre,
        where=AllOf((IS_ACTIVE, located)),
        sort=(Sort("pue", descending=True), Sort("dc_id")),
        select=("pue", "id"),
        limit=1000,
    )


@pytest.mark.parametrize(
    ("document", "condition"),
    [
        (ACTIVE, IS_ACTIVE),
        ({"not": {"or": []}}, Not(AnyOf(()))),
        ({"or": [ACTIVE, {"not": ACTIVE}]}, AnyOf((IS_ACTIVE, Not(IS_ACTIVE)))),
        ({"field": "pue", "op": "isNull", "value": False}, Compare("pue", Op.IS_NULL, False)),
        (
            {"link": "HOSTED_BY", "direction": "in", "type": "ComputeWorkload"},
            Linked(link_end(DataCentre, "HOSTED_BY")),
        ),
    ],
)
def test_every_shape_of_condition_is_read(document: Any, condition: Any) -> None:
    assert where(document) == condition


def test_a_condition_beyond_a_link_is_about_the_type_at_its_other_end() -> None:
    hosted = {"link": "HOSTED_BY", "where": {"field": "deadline", "op": "lt", "value": "2026-11-22T09:00:00Z"}}
    inner = where(hosted).where
    assert inner == Compare("deadline", Op.LT, datetime(2026, 11, 22, 9, tzinfo=UTC))
    assert "where.where: DataCentre has no field 'deadline'" in refused(
        where, {"link": "HOSTED_BY", "where": {"field": "deadline", "op": "isNull", "value": True}}, ComputeWorkload
    )


def nested(depth: int, around: str = "not") -> Any:
    document: Any = ACTIVE
    for _ in range(depth):
        document = {around: document if around == "not" else [document]}
    return document


def hops(count: int) -> Any:
    document: Any = {"field": "country", "op": "eq", "value": "Wales"}
    for number in range(count):
        document = {"link": "LOCATED_IN", "where": document}
        if number % 2:
            document["direction"], document["type"] = "in", "DataCentre"
    return document


def test_the_limits_are_where_they_say() -> None:
    where(nested(8))
    assert "and, or and not may lie at most 8 deep" in refused(where, nested(9))
    assert "and, or and not may lie at most 8 deep" in refused(where, nested(900, "and"))
    where({"and": [ACTIVE] * 99})
    assert "there are more than 100 conditions in all" in refused(where, {"and": [ACTIVE] * 100})
    where(hops(5))
    assert "at most 5 links may follow each other" in refused(where, hops(6), Region)
    assert "at most 5 links may follow each other" in refused(where, hops(41))
    object_set_reading.query(DataCentre, {"sort": ["name", "pue", "dc_id", "status"]})
    sort = ["name", "pue", "dc_id", "status", "id"]
    assert "sort: 5 are given; at most 4 are taken" in refused(object_set_reading.query, DataCentre, {"sort": sort})


CONDITION = (
    'Valid: {"and": [...]}, {"or": [...]}, {"not": {...}}, {"field": ..., "op": ..., "value": ...}, '
    '{"link": ..., "where": {...}}.'
)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (None, f"where: null is no condition. {CONDITION}"),
        ([], f"where: a list of 0 is no condition. {CONDITION}"),
        ({}, f"where: an object of 0 is no condition. {CONDITION}"),
        ({"xor": []}, f"where: an object of 1 is no condition. {CONDITION}"),
        ("status = 'ACTIVE'", "where: \"status = 'ACTIVE'\" is no condition."),
        ({"and": ACTIVE}, "where.and: an object of 3 is not valid. It must be a list of conditions."),
        ({"and": [ACTIVE, 5]}, "where.and[1]: 5 is no condition."),
        ({"not": []}, "where.not: a list of 0 is no condition."),
        ({"and": [], "or": []}, "where: and, or cannot stand side by side. Put them into one and."),
        ({"and": [], "limit": 5}, "where: there is no member 'limit' here. Valid: and, or, not."),
        ({"field": "status", "op": "eq"}, "where: value is missing. Members: field, op, value."),
        ({**ACTIVE, "case": "no"}, "where: there is no member 'case' here. Valid: field, op, value."),
        ({**ACTIVE, "field": "state"}, "where: DataCentre has no field 'state'. Did you mean status?"),
        ({**ACTIVE, "op": "="}, "where: status: the op '=' is not valid. Valid: eq, ne, in, isNull."),
        ({**ACTIVE, "op": []}, "where: status: the op a list of 0 is not valid."),
        ({**ACTIVE, "op": "gt"}, "where: status: the op 'gt' is not valid. Valid: eq, ne, in, isNull."),
        ({**ACTIVE, "value": "'; drop table agents; --"}, "It must be one of ACTIVE, MAINTENANCE"),
        ({"or": [{"link": "LIES_IN"}]}, "where.or[0]: DataCentre has no link 'LIES_IN'. Valid: "),
        ({"link": "LOCATED_IN", "where": None}, "where.where: null is no condition."),
        ({"link": "LOCATED_IN", "to": "x"}, "there is no member 'to' here. Valid: link, direction, type, where."),
    ],
)
def test_a_condition_that_is_none_is_told_where_and_what_is_valid(condition: Any, says: str) -> None:
    assert says in refused(where, condition)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "The query: null is not valid. It must be an object with the members where, sort, select"),
        ([], "The query: a list of 0 is not valid."),
        ({"filter": {}}, "The query: there is no member 'filter' here. Valid: where, sort, select, limit, cursor."),
        ({"sort": "pue"}, "sort: 'pue' is not valid. It must be a list."),
        ({"sort": [5]}, "sort: DataCentre has no field 5."),
        ({"sort": ["--pue"]}, "sort: DataCentre has no field '-pue'. Did you mean pue?"),
        ({"sort": ["pue", "-pue"]}, "sort: pue is named twice."),
        ({"select": ["id", "id"]}, "select: id is named twice."),
        ({"select": ["id"] * 100_000}, "select: 100000 are given."),
        ({"select": ["*"]}, "select: DataCentre has no field '*'."),
        ({"limit": 0}, "limit: 0 is not valid. It must be a whole number from 1 to 1,000."),
        ({"limit": 1001}, "limit: 1001 is not valid."),
        ({"limit": True}, "limit: true is not valid."),
        ({"limit": Decimal("5.0")}, "limit: 5.0 is not valid."),
        ({"limit": None}, "limit: null is not valid."),
        ({"cursor": 5}, "cursor: 5 is not valid. It must be the next_cursor of the page before."),
    ],
)  # fmt: skip
def test_a_query_that_is_not_valid_is_told_what_is(document: Any, says: str) -> None:
    assert says in refused(object_set_reading.query, DataCentre, document)


def test_what_has_no_order_is_not_sorted_by() -> None:
    said = refused(object_set_reading.query, ComputeWorkload, {"sort": ["allowed_region_ids"]})
    assert "sort: allowed_region_ids is of kind integers, which has no order. Valid: id, job_id," in said
    assert "allowed_region_ids" not in said.partition("Valid:")[2]


# Parameters


def read(*pairs: tuple[str, str]) -> Query:
    return object_set_reading.query_of_parameters(DataCentre, pairs)


def test_parameters_become_the_query_they_say() -> None:
    assert read() == Query(DataCentre)
    assert read(
        ("status.in", "ACTIVE,OFFLINE"),
        ("pue.gte", "1.1"),
        ("pue.lt", "1.3"),
        ("gpu_count.isNull", "true"),
        ("sort", "-pue,dc_id"),
        ("select", "id,pue"),
        ("limit", "50"),
        ("cursor", "abc"),
    ) == Query(
        DataCentre,
        where=AllOf(
            (
                Compare("status", Op.IN, ("ACTIVE", "OFFLINE")),
                Compare("pue", Op.GTE, Decimal("1.1")),
                Compare("pue", Op.LT, Decimal("1.3")),
                Compare("gpu_count", Op.IS_NULL, True),
            )
        ),
        sort=(Sort("pue", descending=True), Sort("dc_id")),
        select=("id", "pue"),
        limit=50,
        cursor="abc",
    )


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([("status", "ACTIVE")], "status needs the way it is compared: write status.eq=ACTIVE."),
        (
            [("offset", "5")],
            "There is no parameter 'offset'. Valid: sort, select, limit, cursor, and filters such as",
        ),
        ([("state.eq", "x")], "DataCentre has no field 'state'. Did you mean status?"),
        ([("status.is", "x")], "status: the part after the dot 'is' is not valid. Valid: eq, ne, in, isNull."),
        ([("status.eq", "x")], "status: 'x' is not valid. It must be one of ACTIVE"),
        ([("status.eq.eq", "x")], "status: the part after the dot 'eq.eq' is not valid."),
        ([("pue.lt", "1"), ("pue.lt", "2")], "The parameter 'pue.lt' is given twice."),
        ([("limit", "5"), ("limit", "5")], "The parameter 'limit' is given twice."),
        ([("limit", "-5")], "limit: '-5' is not valid. It must be a whole number from 1 to 1,000."),
        ([("limit", "9" * 5000)], "limit: '999"),
        ([("sort", "a,b,c,d,e")], "sort: 5 are given; at most 4 are taken."),
        ([("select", "nothing")], "select: DataCentre has no field 'nothing'."),
        ([("\0.eq", "x")], "DataCentre has no field '\\x00'."),
        ([(f"x{n}.eq", "1") for n in range(101)], "There are 101 filters; at most 100 are taken."),
    ],
)
def test_a_parameter_that_is_not_valid_is_told_what_is(pairs: list[tuple[str, str]], says: str) -> None:
    assert says in refused(read, *pairs)


# Aggregations


def test_a_document_becomes_the_aggregation_it_says() -> None:
    document = {
        "where": {"field": "demand_mw", "op": "isNull", "value": False},
        "group_by": [
            "is_forecast",
            {"field": "timestamp", "bucket": "day", "time_zone": "Europe/London"},
            {"field": "fetched_at", "bucket": "half_hour"},
        ],
        "measures": [
            {"op": "count"},
            {"op": "count", "field": "provenance"},
            {"op": "avg", "field": "carbon_intensity_forecast", "as": "mean"},
            {"op": "max", "field": "timestamp"},
        ],
        "limit": 10_000,
    }
    assert object_set_reading.aggregation(GridSignal, document) == Aggregation(
        GridSignal,
        where=Compare("demand_mw", Op.IS_NULL, False),
        group_by=(
            GroupKey("is_forecast"),
            GroupKey("timestamp", Bucket.DAY, TimeZone.LONDON),
            GroupKey("fetched_at", Bucket.HALF_HOUR),
        ),
        measures=(
            Measure("count", Function.COUNT),
            Measure("count_provenance", Function.COUNT, "provenance"),
            Measure("mean", Function.AVG, "carbon_intensity_forecast"),
            Measure("max_timestamp", Function.MAX, "timestamp"),
        ),
        limit=10_000,
    )
    assert object_set_reading.aggregation(GridSignal, {"measures": [{"op": "count"}]}).limit == 1000


COUNT = {"measures": [{"op": "count"}]}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "The aggregation: measures is missing. Members: measures, where, group_by, limit."),
        ({"measures": []}, 'measures: there must be at least one, such as {"op": "count"}.'),
        ({"measures": [5]}, "measures: 5 is not valid. It must be an object with the members op, field, as."),
        ({"measures": [{"op": "median"}]}, "measures: the op 'median' is not valid. Valid: count, sum, avg, min"),
        ({"measures": [{"op": "sum"}]}, 'measures: sum needs a field, as in {"op": "sum", "field": ...}.'),
        ({"measures": [{"op": "avg", "field": "timestamp"}]}, "avg of timestamp (of kind instant) means nothing."),
        ({"measures": [{"op": "min", "field": "id"}]}, "measures: min of id (of kind uuid) means nothing. Valid: "),
        ({"measures": [{"op": "count", "as": "1"}]}, "measures: '1' is not valid as a name."),
        ({"measures": [{"op": "count", "as": 'x"; --'}]}, "is not valid as a name."),
        ({"measures": [{"op": "count"}] * 2}, 'measures: count is named twice. Tell them apart with "as".'),
        ({"measures": [{"op": "count"}] * 17}, "measures: 17 are given; at most 16 are taken."),
        ({**COUNT, "group_by": ["id"] * 5}, "group_by: 5 are given; at most 4 are taken."),
        ({**COUNT, "group_by": ["id", "id"]}, "group_by: id is named twice."),
        ({**COUNT, "group_by": ["provenance"]}, "group_by: provenance is of kind document, which has no order."),
        ({**COUNT, "group_by": [{"field": "id", "bucket": "day"}]}, "only an instant falls into a bucket."),
        ({**COUNT, "group_by": [{"field": "timestamp", "bucket": "quarter"}]}, "the bucket 'quarter' is not"),
        ({**COUNT, "group_by": [{"field": "timestamp", "bucket": "day", "time_zone": "Europe/Paris"}]},
         "group_by: the time_zone 'Europe/Paris' is not valid. Valid: UTC, Europe/London."),
        ({**COUNT, "group_by": [{"field": "timestamp", "time_zone": "UTC"}]}, "has a time_zone but no bucket"),
        ({**COUNT, "limit": 10_001}, "limit: 10001 is not valid. It must be a whole number from 1 to 10,000."),
        ({**COUNT, "having": {}}, "The aggregation: there is no member 'having' here."),
    ],
)  # fmt: skip
def test_an_aggregation_that_is_not_valid_is_told_what_is(document: Any, says: str) -> None:
    assert says in refused(object_set_reading.aggregation, GridSignal, document)


# Whatever comes


MEMBERS = ["where", "sort", "select", "limit", "cursor", "group_by", "measures"]
MEMBERS += ["field", "op", "value", "link", "direction", "type"]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*MEMBERS, "and", "or", "not", "bucket", "as"]),
            inner
            | st.sampled_from(["status", "eq", "in", "isNull", "LOCATED_IN", "out", "count", "created_at", "day"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(document=anything, name=st.sampled_from(list(OBJECT_TYPES)))
def test_whatever_comes_is_a_plan_or_is_refused(document: Any, name: str) -> None:
    for reader in (object_set_reading.query, object_set_reading.aggregation):
        with contextlib.suppress(Invalid):
            assert reader(OBJECT_TYPES[name], document).object_type is OBJECT_TYPES[name]


filters = st.builds(
    "{}.{}".format, st.sampled_from(list(fields.of(DataCentre))), st.sampled_from([op.value for op in Op])
)


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(filters | st.text(), st.text()), max_size=4))
def test_whatever_parameters_come_are_a_plan_or_are_refused(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(Invalid):
        assert read(*pairs).object_type is DataCentre
