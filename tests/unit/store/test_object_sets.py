"""The statements of object sets: every table of operators comes with its filter, and every value is bound."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest

from pylon.ontology import object_set_reading
from pylon.ontology.catalogue import OBJECT_TYPES, ROWS
from pylon.ontology.object_sets import link_ends
from pylon.ontology.types import ObjectType, Scope
from pylon.store.object_sets import _Statement

OPERATOR = UUID(int=1)
TENANTS = {row.table.name: row.table.tenant_column for row in ROWS.values() if row.table.scope is Scope.TENANT}
TABLE = re.compile(r"public\.(\w+)(?!\w*\")")


def page(object_type: type[ObjectType], document: Any, after: list[str | None] | None = None) -> tuple[str, Any]:
    made = _Statement(OPERATOR)
    query = object_set_reading.query(object_type, document)
    return made.page(query, query.select or ("id",), after), made.values


def everywhere(object_type: type[ObjectType], hops: int) -> Any:
    """Return a condition that follows every link of a type, and every link from there, so many hops."""
    return {
        "or": [
            {
                "link": end.link.name,
                "direction": end.direction.value,
                "type": end.other.__name__,
                **({"where": everywhere(end.other, hops - 1)} if hops > 1 else {}),
            }
            for end in link_ends(object_type)
        ]
    }


@pytest.mark.parametrize("object_type", OBJECT_TYPES.values(), ids=lambda kind: kind.__name__)
def test_every_table_of_operators_comes_with_its_filter(object_type: type[ObjectType]) -> None:
    made = _Statement(OPERATOR)
    document = {"where": everywhere(object_type, 1), "group_by": ["id"], "measures": [{"op": "count"}]}
    texts = [
        page(object_type, {"where": everywhere(object_type, 1)})[0],
        page(object_type, {"where": {"not": everywhere(object_type, 1)}, "sort": ["-id"]}, ["x"])[0],
        made.grouped(object_set_reading.aggregation(object_type, document)),
    ]
    for text in texts:
        named = TABLE.findall(text)
        assert object_type.table.name in named
        for table in set(named) & set(TENANTS):
            own = rf"from public\.{table} where {TENANTS[table]} = %\(operator_id\)s\) t\d+"
            assert len(re.findall(own, text)) == named.count(table), table


def test_a_value_is_never_in_the_text() -> None:
    word = "x'; drop table agents; --"
    conditions = [
        *({"field": "name", "op": op, "value": word} for op in ("eq", "ne", "gt", "contains")),
        {"field": "name", "op": "in", "value": [word]},
    ]
    text, values = page(OBJECT_TYPES["DataCentre"], {"where": {"and": conditions}, "sort": ["name"]}, [word, word])
    assert "drop" not in text
    assert [value for value in values.values() if word in (value if isinstance(value, list) else [value])] == [
        *[word] * 4,
        [word],
        word,
        word,
    ]
    assert "%" not in re.sub(r"%\(\w+\)s", "", text)


@pytest.mark.parametrize(
    ("sort", "after", "behind"),
    [
        ([], ["1"], "(t0.\"id\") > (%(v1)s::uuid)"),
        (["-created_at"], ["1", "2"], "(t0.\"created_at\", t0.\"id\") < (%(v1)s::timestamptz, %(v2)s::uuid)"),
        (["-gpu_count"], [None, "2"], "((t0.\"gpu_count\" is not null) or (t0.\"gpu_count\" is null and t0"),
        (["gpu_count"], [None, "2"], "((t0.\"gpu_count\" is null and (t0.\"id\" > %(v1)s::uuid"),
        (["created_at", "-dc_id"], ["1", "2", "3"], "t0.\"created_at\" >= %(v1)s::timestamptz and ("),
        (["-gpu_count", "dc_id"], ["1", "2", "3"], "t0.\"gpu_count\" <= %(v1)s::integer and ("),
    ],
)  # fmt: skip
def test_a_page_begins_where_an_index_can(sort: list[str], after: list[str | None], behind: str) -> None:
    text, _ = page(OBJECT_TYPES["DataCentre"], {"sort": sort}, after)
    assert f" where {behind}" in text
