"""The bodies and parameters of the objects API, as the OpenAPI document describes them.

`pylon.ontology.object_set_reading` reads them; a test holds the examples here valid there.
"""

from __future__ import annotations

from typing import Any

from pylon.ontology import fields, object_sets
from pylon.ontology.object_sets import Bucket, Direction, Function, Limit, TimeZone

__all__ = ["EXAMPLES", "FILTERS", "LINK_PARAMETERS", "PAGING", "body", "schemas"]

Schema = dict[str, Any]

_CONDITION: Schema = {"$ref": "#/components/schemas/Condition"}
_NAME: Schema = {"type": "string", "description": "A field of the object type"}

EXAMPLES: dict[str, dict[str, tuple[str, Schema]]] = {
    "SearchBody": {
        "Active sites in Scotland with a low PUE, best first": (
            "DataCentre",
            {
                "where": {
                    "and": [
                        {"field": "status", "op": "eq", "value": "ACTIVE"},
                        {"field": "pue", "op": "lt", "value": 1.3},
                        {"link": "LOCATED_IN", "where": {"field": "country", "op": "eq", "value": "Scotland"}},
                    ]
                },
                "sort": ["pue", "dc_id"],
                "select": ["id", "dc_id", "pue"],
                "limit": 50,
            },
        ),
        "Workloads that drew energy while carbon was high and that no decision touched": (
            "ComputeWorkload",
            {
                "where": {
                    "and": [
                        {
                            "link": "CONSUMED",
                            "where": {"field": "carbon_intensity_forecast", "op": "gte", "value": 200},
                        },
                        {"not": {"link": "AFFECTS", "direction": "in", "type": "OrchestrationDecision"}},
                    ]
                }
            },
        ),
    },
    "AggregateBody": {
        "Mean carbon intensity of each London day": (
            "GridSignal",
            {
                "group_by": [{"field": "timestamp", "bucket": "day", "time_zone": "Europe/London"}],
                "measures": [
                    {"op": "count"},
                    {"op": "avg", "field": "carbon_intensity_forecast", "as": "mean_gco2_kwh"},
                ],
            },
        ),
        "Power asked for by urgency": (
            "ComputeWorkload",
            {"group_by": ["urgency"], "measures": [{"op": "sum", "field": "power_kw"}]},
        ),
    },
}
"""Examples of each body: what it asks, of which object type, and how."""


def body(name: str) -> Schema:
    """Return the description of a request body, by the name of its schema."""
    examples = {
        title.lower().replace(" ", "-"): {"summary": f"{title} ({object_type})", "value": value}
        for title, (object_type, value) in EXAMPLES[name].items()
    }
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "examples": examples}},
        }
    }


def schemas() -> dict[str, Schema]:
    """Return the schemas of the bodies, by name."""
    return {
        "Condition": _condition(),
        "SearchBody": _object(
            "Which objects, in which order, and what of them.",
            where=_CONDITION,
            sort=_list(_SORT, object_sets.SORT_FIELDS),
            select={"type": "array", "items": _NAME, "description": "The fields shown; all of them when left out"},
            limit=_limit(object_sets.ROWS),
            cursor={"type": ["string", "null"], "description": _CURSOR},
        ),
        "AggregateBody": _object(
            "Which figures, over which objects, by which groups.",
            required=("measures",),
            where=_CONDITION,
            group_by=_list({"anyOf": [_NAME, _group_key()]}, object_sets.GROUP_FIELDS),
            measures={**_list(_measure(), object_sets.MEASURES), "minItems": 1},
            limit=_limit(object_sets.GROUPS),
        ),
    }


_CURSOR = "The `next_cursor` of the page before, of the same query"
_SORT: Schema = {"type": "string", "description": "A field; with a minus sign before it, the largest first"}


def _condition() -> Schema:
    deepest = object_sets.NESTING.most
    parts = {"type": "array", "items": _CONDITION}
    return {
        "description": f"and, or and not at most {deepest} deep, at most {object_sets.HOPS.most} links after each "
        f"other, at most {object_sets.CONDITIONS.most} conditions in all. A comparison with a field that is null "
        "does not hold, but for isNull, and for ne, the negation of eq; not is the plain negation.",
        "anyOf": [
            _object(
                "A field compared with a value of its own kind; `in` takes a list, `isNull` true or false.",
                required=("field", "op", "value"),
                field=_NAME,
                op={"type": "string", "enum": [op.value for op in fields.Op]},
                value={"description": "As the field's kind has it: text, a number, true or false"},
            ),
            _object(
                "At least one object lies at the other end of the link and meets the condition, if there is one.",
                required=("link",),
                link={"type": "string"},
                direction={"type": "string", "enum": [direction.value for direction in Direction]},
                type={"type": "string", "description": "The object type at the other end, where there is a choice"},
                where=_CONDITION,
            ),
            _object("Every part holds.", required=("and",), **{"and": parts}),
            _object("At least one part holds.", required=("or",), **{"or": parts}),
            _object("The part does not hold.", required=("not",), **{"not": _CONDITION}),
        ],
    }


def _group_key() -> Schema:
    return _object(
        "A field to group by; an instant by the start of the bucket it falls in.",
        required=("field",),
        field=_NAME,
        bucket={"type": "string", "enum": [bucket.value for bucket in Bucket]},
        time_zone={"type": "string", "enum": [zone.value for zone in TimeZone], "default": TimeZone.UTC.value},
    )


def _measure() -> Schema:
    return _object(
        "A figure; null values do not count. A count without a field is of objects.",
        required=("op",),
        op={"type": "string", "enum": [function.value for function in Function]},
        field=_NAME,
        **{"as": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$", "description": "Its name"}},
    )


def _object(description: str, *, required: tuple[str, ...] = (), **members: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": members,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def _list(items: Schema, limit: Limit) -> Schema:
    return {"type": "array", "items": items, "maxItems": limit.most, "default": []}


def _limit(limit: Limit) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": limit.most, "default": limit.default}


def _parameter(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


FILTERS: Schema = {
    **_parameter(
        "field.op",
        {"type": "object", "additionalProperties": {"type": "string"}},
        "Filters, all of which must hold: `pue.lt=1.3`, `status.in=ACTIVE,CONSTRAINED`, `deadline.isNull=true`. "
        "GET /api/v1/ontology says which op a field takes. `in` is divided at commas: for values that hold one, "
        "and for or, not and links, search",
    ),
    "style": "form",
    "explode": True,
}

PAGING: list[Schema] = [
    _parameter("sort", {"type": "string"}, "Fields, divided by commas; a minus sign puts the largest first"),
    _parameter("select", {"type": "string"}, "The fields shown, divided by commas; all of them when left out"),
    _parameter("limit", _limit(object_sets.ROWS), "How many objects a page holds"),
    _parameter("cursor", {"type": "string"}, _CURSOR),
]

LINK_PARAMETERS: list[Schema] = [
    _parameter(
        "direction",
        {"type": "string", "enum": [direction.value for direction in Direction]},
        "Which way the link is followed, where there is a choice",
    ),
    _parameter("type", {"type": "string"}, "The object type at the other end, where there is a choice"),
]
