"""Reading object sets: from a JSON document or from query parameters to a plan, checked against the ontology.

    {"where": {"and": [{"field": "pue", "op": "lt", "value": 1.3},
                       {"link": "LOCATED_IN", "where": {"field": "country", "op": "eq", "value": "Scotland"}}]},
     "sort": ["-pue"], "select": ["id", "pue"], "limit": 50}

    pue.lt=1.3&status.in=ACTIVE,CONSTRAINED&deadline.isNull=true&sort=-pue,dc_id&select=id,pue&limit=50

A condition is one of `{"and": [...]}`, `{"or": [...]}`, `{"not": {...}}`, `{"field", "op", "value"}` and
`{"link", "direction", "type", "where"}`. Every function raises `Invalid` for what is not valid: it says where, what
is valid and, for a misspelt field, which is the closest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TypeVar

from pylon.errors import Invalid
from pylon.ontology import fields, object_sets
from pylon.ontology.fields import Kind, Op, shown
from pylon.ontology.object_sets import (
    Aggregation,
    AllOf,
    AnyOf,
    Bucket,
    Compare,
    Condition,
    Function,
    GroupKey,
    Limit,
    Linked,
    Measure,
    Not,
    Query,
    Sort,
    TimeZone,
)
from pylon.ontology.types import ObjectType

__all__ = ["aggregation", "query", "query_of_parameters"]

E = TypeVar("E", bound=StrEnum)

_CONDITIONS = (
    '{"and": [...]}, {"or": [...]}, {"not": {...}}, {"field": ..., "op": ..., "value": ...}, '
    '{"link": ..., "where": {...}}'
)
_PARAMETERS = ("sort", "select", "limit", "cursor")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def query(object_type: type[ObjectType], document: object) -> Query:
    """Return the query that a JSON document asks of an object type."""
    given = _members(document, "The query", optional=("where", "sort", "select", "limit", "cursor"))
    return Query(
        object_type,
        where=_where(object_type, given),
        sort=_sort(object_type, _list(given, "sort", object_sets.SORT_FIELDS)),
        select=_select(object_type, _list(given, "select")),
        limit=_limit(given.get("limit", object_sets.ROWS.default), object_sets.ROWS),
        cursor=_cursor(given.get("cursor")),
    )


def query_of_parameters(object_type: type[ObjectType], parameters: Iterable[tuple[str, str]]) -> Query:
    """Return the query that parameters, each a name and its text, ask of an object type."""
    given: dict[str, str] = {}
    for name, text in parameters:
        if name in given:
            raise Invalid(f"The parameter {shown(name)} is given twice. Give it once; `in` takes several values.")
        given[name] = text
    filters = {name: text for name, text in given.items() if name not in _PARAMETERS}
    if len(filters) > object_sets.CONDITIONS.most:
        raise Invalid(f"There are {len(filters)} filters; at most {object_sets.CONDITIONS.most} are taken.")
    conditions = tuple(_filter(object_type, name, text) for name, text in filters.items())
    sort, select = ([word for word in given.get(name, "").split(",") if word] for name in ("sort", "select"))
    return Query(
        object_type,
        where=AllOf(conditions) if conditions else None,
        sort=_sort(object_type, _few(sort, "sort", object_sets.SORT_FIELDS)),
        select=_select(object_type, select),
        limit=_limit(_whole(given.get("limit")), object_sets.ROWS),
        cursor=_cursor(given.get("cursor")),
    )


def aggregation(object_type: type[ObjectType], document: object) -> Aggregation:
    """Return the aggregation that a JSON document asks of an object type."""
    given = _members(document, "The aggregation", required=("measures",), optional=("where", "group_by", "limit"))
    keys = [_group_key(object_type, key) for key in _list(given, "group_by", object_sets.GROUP_FIELDS)]
    measures = [_measure(object_type, one) for one in _list(given, "measures", object_sets.MEASURES)]
    if not measures:
        raise Invalid('measures: there must be at least one, such as {"op": "count"}.')
    _once([key.field for key in keys], "group_by")
    _once([measure.name for measure in measures], "measures", 'Tell them apart with "as".')
    return Aggregation(
        object_type,
        where=_where(object_type, given),
        group_by=tuple(keys),
        measures=tuple(measures),
        limit=_limit(given.get("limit", object_sets.GROUPS.default), object_sets.GROUPS),
    )


def _where(object_type: type[ObjectType], given: Mapping[str, Any]) -> Condition | None:
    return _Where().read(object_type, given["where"], "where") if "where" in given else None


class _Where:
    """Reads one condition with all it contains, counting as it goes."""

    def __init__(self) -> None:
        self._read = 0

    def read(
        self, object_type: type[ObjectType], document: object, path: str, *, nesting: int = 0, hops: int = 0
    ) -> Condition:
        """Return the condition that `document`, found at `path`, sets for objects of a type."""
        self._read += 1
        if self._read > object_sets.CONDITIONS.most:
            raise Invalid(
                f"{path}: there are more than {object_sets.CONDITIONS.most} conditions in all. Ask for less."
            )
        match document:
            case {"field": _}:
                return _compare(object_type, document, path)
            case {"link": _}:
                return self._linked(object_type, document, path, nesting=nesting, hops=hops + 1)
            case {"and": _} | {"or": _} | {"not": _}:
                return self._combined(object_type, document, path, nesting=nesting + 1, hops=hops)
        raise Invalid(f"{path}: {shown(document)} is no condition. Valid: {_CONDITIONS}.")

    def _combined(
        self, object_type: type[ObjectType], document: object, path: str, *, nesting: int, hops: int
    ) -> Condition:
        if nesting > object_sets.NESTING.most:
            raise Invalid(
                f"{path}: and, or and not may lie at most {object_sets.NESTING.most} deep. Write them flatter."
            )
        given = _members(document, path, optional=("and", "or", "not"))
        if len(given) != 1:
            raise Invalid(f"{path}: {', '.join(given)} cannot stand side by side. Put them into one and.")
        ((word, inner),) = given.items()
        if word == "not":
            return Not(self.read(object_type, inner, f"{path}.not", nesting=nesting, hops=hops))
        if not isinstance(inner, list):
            raise Invalid(f"{path}.{word}: {shown(inner)} is not valid. It must be a list of conditions.")
        parts = tuple(
            self.read(object_type, part, f"{path}.{word}[{number}]", nesting=nesting, hops=hops)
            for number, part in enumerate(inner)
        )
        return AllOf(parts) if word == "and" else AnyOf(parts)

    def _linked(
        self, object_type: type[ObjectType], document: object, path: str, *, nesting: int, hops: int
    ) -> Linked:
        if hops > object_sets.HOPS.most:
            raise Invalid(f"{path}: at most {object_sets.HOPS.most} links may follow each other.")
        given = _members(document, path, required=("link",), optional=("direction", "type", "where"))
        with _at(path):
            end = object_sets.link_end(object_type, given["link"], given.get("direction"), given.get("type"))
        if "where" not in given:
            return Linked(end)
        return Linked(end, self.read(end.other, given["where"], f"{path}.where", nesting=nesting, hops=hops))


def _compare(object_type: type[ObjectType], document: object, path: str) -> Compare:
    given = _members(document, path, required=("field", "op", "value"))
    with _at(path):
        field = fields.field(object_type, given["field"])
        op = _one_of(Op, given["op"], f"{field.name}: the op", field.kind.ops)
        return Compare(field.name, op, field.operand(op, given["value"]))


def _filter(object_type: type[ObjectType], parameter: str, text: str) -> Compare:
    name, dot, word = parameter.partition(".")
    if not dot and name not in fields.of(object_type):
        raise Invalid(
            f"There is no parameter {shown(name)}. Valid: {', '.join(_PARAMETERS)}, and filters such as "
            f"id.eq=... on {', '.join(fields.of(object_type))}."
        )
    field = fields.field(object_type, name)
    if not dot:
        raise Invalid(f"{name} needs the way it is compared: write {name}.{field.kind.ops[0]}={text[:60]}.")
    op = _one_of(Op, word, f"{name}: the part after the dot", field.kind.ops)
    return Compare(name, op, field.read(op, text))


def _sort(object_type: type[ObjectType], given: list[Any]) -> tuple[Sort, ...]:
    sort = []
    for word in given:
        name = word.removeprefix("-") if isinstance(word, str) else word
        with _at("sort"):
            field = fields.field(object_type, name)
        _check_sortable(object_type, field, "sort")
        sort.append(Sort(field.name, descending=word != name))
    _once([one.field for one in sort], "sort")
    return tuple(sort)


def _check_sortable(object_type: type[ObjectType], field: fields.Field, path: str) -> None:
    if not field.kind.is_sortable:
        valid = ", ".join(one.name for one in fields.of(object_type).values() if one.kind.is_sortable)
        raise Invalid(f"{path}: {field.name} is of kind {field.kind}, which has no order. Valid: {valid}.")


def _select(object_type: type[ObjectType], given: list[Any]) -> tuple[str, ...]:
    if len(given) > len(fields.of(object_type)):
        raise Invalid(
            f"select: {len(given)} are given. Name each of {', '.join(fields.of(object_type))} once at most."
        )
    with _at("select"):
        names = [fields.field(object_type, name).name for name in given]
    _once(names, "select")
    return tuple(names)


def _group_key(object_type: type[ObjectType], document: object) -> GroupKey:
    given = {"field": document} if isinstance(document, str) else document
    members = _members(given, "group_by", required=("field",), optional=("bucket", "time_zone"))
    with _at("group_by"):
        field = fields.field(object_type, members["field"])
    _check_sortable(object_type, field, "group_by")
    if "bucket" not in members:
        if "time_zone" in members:
            raise Invalid(f"group_by: {field.name} has a time_zone but no bucket. Valid: {', '.join(Bucket)}.")
        return GroupKey(field.name)
    if field.kind is not Kind.INSTANT:
        raise Invalid(f"group_by: {field.name} is of kind {field.kind}; only an instant falls into a bucket.")
    zone = _one_of(TimeZone, members.get("time_zone", TimeZone.UTC.value), "group_by: the time_zone")
    return GroupKey(field.name, _one_of(Bucket, members["bucket"], "group_by: the bucket"), zone)


def _measure(object_type: type[ObjectType], document: object) -> Measure:
    given = _members(document, "measures", required=("op",), optional=("field", "as"))
    function = _one_of(Function, given["op"], "measures: the op")
    if "field" not in given:
        if function is not Function.COUNT:
            raise Invalid(f'measures: {function} needs a field, as in {{"op": "{function}", "field": ...}}.')
        return Measure(_measure_name(given.get("as", "count")), function)
    with _at("measures"):
        field = fields.field(object_type, given["field"])
    valid = [one.name for one in fields.of(object_type).values() if _is_measured(one, function)]
    if field.name not in valid:
        raise Invalid(
            f"measures: {function} of {field.name} (of kind {field.kind}) means nothing. Valid: {', '.join(valid)}."
        )
    return Measure(_measure_name(given.get("as", f"{function}_{field.name}")), function, field.name)


def _is_measured(field: fields.Field, function: Function) -> bool:
    if function in (Function.MIN, Function.MAX):
        return field.kind.is_quantity or field.kind is Kind.INSTANT
    return function is Function.COUNT or field.kind.is_quantity


def _measure_name(given: object) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise Invalid(
            f"measures: {shown(given)} is not valid as a name. It must be letters, digits and _, at most 63, not "
            "beginning with a digit."
        )
    return given


def _members(
    document: object, path: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the members of a JSON object, none of them missing and none unknown."""
    valid = ", ".join((*required, *optional))
    if not isinstance(document, dict):
        raise Invalid(f"{path}: {shown(document)} is not valid. It must be an object with the members {valid}.")
    if unknown := [name for name in document if name not in (*required, *optional)]:
        raise Invalid(f"{path}: there is no member {shown(unknown[0])} here. Valid: {valid}.")
    if missing := [name for name in required if name not in document]:
        raise Invalid(f"{path}: {', '.join(missing)} is missing. Members: {valid}.")
    return document


def _list(given: Mapping[str, Any], name: str, limit: Limit | None = None) -> list[Any]:
    value = given.get(name, [])
    if not isinstance(value, list):
        raise Invalid(f"{name}: {shown(value)} is not valid. It must be a list.")
    return _few(value, name, limit) if limit else value


def _few(value: list[Any], name: str, limit: Limit) -> list[Any]:
    if len(value) > limit.most:
        raise Invalid(f"{name}: {len(value)} are given; at most {limit.most} are taken.")
    return value


def _once(names: list[str], path: str, advice: str = "Name each once.") -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Invalid(f"{path}: {', '.join(twice)} is named twice. {advice}")


def _limit(given: object, limit: Limit) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= limit.most:
        raise Invalid(f"limit: {shown(given)} is not valid. It must be a whole number from 1 to {limit.most:,}.")
    return given


def _whole(text: str | None) -> object:
    if text is None:
        return object_sets.ROWS.default
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


def _cursor(given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        raise Invalid(f"cursor: {shown(given)} is not valid. It must be the next_cursor of the page before.")
    return given


def _one_of(enum: type[E], given: object, what: str, valid: Iterable[E] | None = None) -> E:
    choices = list(valid if valid is not None else enum)
    if isinstance(given, str) and given in [choice.value for choice in choices]:
        return enum(given)
    raise Invalid(f"{what} {shown(given)} is not valid. Valid: {', '.join(choices)}.")


@contextmanager
def _at(path: str) -> Iterator[None]:
    """Say where in the document it was that something was not valid."""
    try:
        yield
    except Invalid as error:
        raise Invalid(f"{path}: {error.detail}") from None
