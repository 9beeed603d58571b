"""Object sets in SQL: a plan becomes one statement, and its rows become plain values.

What a condition means is said in `pylon.ontology.object_sets`; this is how SQL, which has a third answer, says the
same. A comparison with null is null here, and `and`, `or`, `where` and `exists` make of null what they make of
false. So only `not` must take care: it asks whether its part is true.

Names come from the ontology, values are bound. Every table stands in `_rows_of` and nowhere else: there an
operator's rows are told from the others', beside the row security that enforces it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import psycopg.errors

from pylon.errors import TooCostly
from pylon.ontology import columns, fields
from pylon.ontology.catalogue import OBJECT_TYPES, ROWS
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fields import Field, Kind, Op
from pylon.ontology.grid import GenerationMix, GridSignal
from pylon.ontology.object_sets import (
    Aggregation,
    AllOf,
    AnyOf,
    Bucket,
    Compare,
    Condition,
    Direction,
    Function,
    GroupKey,
    Linked,
    LinkEnd,
    Measure,
    Not,
    Query,
    Sort,
)
from pylon.ontology.types import ObjectType, Row, Scope
from pylon.store.database import Transaction

__all__ = ["Groups", "Rows", "groups", "rows"]

_KEY: Final = "_key_"
_SIMULATED: Final = "_simulated"
_COUNT: Final = "_rows"

_COMPARISONS = {Op.EQ: "=", Op.NE: "is distinct from", Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of objects, how many of them hold simulated values, and the keys of its last when there are more."""

    rows: list[dict[str, Any]]
    simulated: int
    last: list[str | None] | None


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups in the order of their keys: each its keys, its measures, its objects and the simulated among them."""

    groups: list[tuple[dict[str, Any], dict[str, Any], int, int]]
    are_all: bool


def rows(
    transaction: Transaction, query: Query, *, operator_id: UUID, after: Sequence[str | None] | None = None
) -> Rows:
    """Return one page of the objects that a query asks for: those behind the keys `after`, which a page gave.

    Numbers stand for decimals, and times are in UTC. Raises `TooCostly`.
    """
    made = _Statement(operator_id)
    shown = query.select or tuple(fields.of(query.object_type))
    text = made.page(query, shown, after)
    found = _run(transaction, text, made.values)
    page, order = found[: query.limit], query.order
    last = [_key_text(page[-1][f"{_KEY}{n}"]) for n in range(len(order))] if len(found) > query.limit else None
    return Rows(
        rows=[{name: _plain(row[name]) for name in shown} for row in page],
        simulated=sum(row[_SIMULATED] for row in page),
        last=last,
    )


def groups(transaction: Transaction, aggregation: Aggregation, *, operator_id: UUID) -> Groups:
    """Return the groups of the objects that an aggregation asks for, the first `limit` of them.

    Numbers stand for decimals, and times are in UTC. Raises `TooCostly`.
    """
    made = _Statement(operator_id)
    found = _run(transaction, made.grouped(aggregation), made.values)
    return Groups(
        groups=[
            (
                {key.field: _plain(row[f"{_KEY}{n}"]) for n, key in enumerate(aggregation.group_by)},
                {one.name: _plain(row[f"m{n}"]) for n, one in enumerate(aggregation.measures)},
                row[_COUNT],
                row[_SIMULATED],
            )
            for row in found[: aggregation.limit]
        ],
        are_all=len(found) <= aggregation.limit,
    )


def _run(transaction: Transaction, text: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        return transaction.statement(text.encode(), **values).fetchall()
    except psycopg.errors.QueryCanceled as error:
        raise TooCostly(
            "The database was stopped when the time for one question was up. Narrow the condition (by id or by "
            "time first), sort by id, follow fewer links or ask for fewer groups."
        ) from error


class _Statement:
    """A statement in the making: the values bound so far, and the names of tables taken."""

    def __init__(self, operator_id: UUID) -> None:
        self.values: dict[str, Any] = {"operator_id": operator_id}
        self._aliases = (f"t{n}" for n in itertools.count())

    def page(self, query: Query, shown: Sequence[str], after: Sequence[str | None] | None) -> str:
        kind, t = query.object_type, next(self._aliases)
        source, is_simulated = self._labelled(kind, t)
        keys = [_sortable(fields.field(kind, sort.field), t) for sort in query.order]
        listed = [
            *(f'{t}."{name}"' for name in shown),
            *(f'{key} as "{_KEY}{n}"' for n, key in enumerate(keys)),
            f'{is_simulated} as "{_SIMULATED}"',
        ]
        conditions = [self._holds(kind, t, query.where)] if query.where else []
        if after is not None:
            conditions.append(self._behind(kind, query.order, keys, after))
        order = ", ".join(
            f"{key} desc" if sort.descending else key for key, sort in zip(keys, query.order, strict=True)
        )
        text = f"select {', '.join(listed)} from {source}{_where(conditions)}"  # noqa: S608
        return f"{text} order by {order} limit {query.limit + 1}"

    def grouped(self, aggregation: Aggregation) -> str:
        kind, t = aggregation.object_type, next(self._aliases)
        source, is_simulated = self._labelled(kind, t)
        listed = [
            *(f'{_group_key(kind, key, t)} as "{_KEY}{n}"' for n, key in enumerate(aggregation.group_by)),
            *(f"{_measure(one, t)} as m{n}" for n, one in enumerate(aggregation.measures)),
            f'count(*) as "{_COUNT}"',
            f'count(*) filter (where {is_simulated}) as "{_SIMULATED}"',
        ]
        conditions = [self._holds(kind, t, aggregation.where)] if aggregation.where else []
        text = f"select {', '.join(listed)} from {source}{_where(conditions)}"  # noqa: S608
        if not aggregation.group_by:
            return text
        keys = ", ".join(f'"{_KEY}{n}"' for n in range(len(aggregation.group_by)))
        numbers = ", ".join(str(n) for n in range(1, len(aggregation.group_by) + 1))
        # Apart, so that the planner does not hope to be done after the first groups and sort every row for that.
        text = f"with grouped as materialized ({text} group by {numbers}) select * from grouped"  # noqa: S608
        return f"{text} order by {keys} limit {aggregation.limit + 1}"

    def _rows_of(self, kind: type[Row], alias: str) -> str:
        """Return what stands behind `from` for the rows of a type that the operator may see."""
        table = kind.table
        if table.scope is not Scope.TENANT:
            return f"public.{table.name} {alias}"
        shown = ", ".join(f'"{spec.name}"' for spec in columns.of(kind) if not spec.is_secret)
        own = f"{table.tenant_column} = %(operator_id)s"
        return f"(select {shown} from public.{table.name} where {own}) {alias}"  # noqa: S608

    def _bind(self, value: Any, sql_type: str) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"%({name})s::{sql_type}"

    def _holds(self, kind: type[ObjectType], t: str, condition: Condition) -> str:
        match condition:
            case Compare():
                return self._compared(fields.field(kind, condition.field), t, condition)
            case AllOf(parts):
                return "(" + " and ".join(["true", *(self._holds(kind, t, part) for part in parts)]) + ")"
            case AnyOf(parts):
                return "(" + " or ".join(["false", *(self._holds(kind, t, part) for part in parts)]) + ")"
            case Not(Linked(end, where)):  # never null; and so the planner can make an anti-join of it
                return f"not {self._linked(t, end, where)}"
            case Not(part):
                return f"({self._holds(kind, t, part)}) is not true"
            case Linked(end, where):
                return self._linked(t, end, where)

    def _compared(self, field: Field, t: str, condition: Compare) -> str:
        name, value, sql_type = f'{t}."{field.name}"', condition.value, _sql_type(field)
        match condition.op:
            case Op.IS_NULL:
                return f"{name} is null" if value else f"{name} is not null"
            case Op.IN:
                return f"{name} = any ({self._bind(list(value), f'{sql_type}[]')})"
            case Op.CONTAINS if field.kind is Kind.INTEGERS:
                return f"{self._bind(value, sql_type.removesuffix('[]'))} = any ({name})"
            case Op.CONTAINS:
                return f"strpos({name}, {self._bind(value, 'text')}) > 0"
        # Equality is the same in every collation, and asked this way an index serves.
        is_exact = condition.op in (Op.EQ, Op.NE)
        column = name if is_exact else _sortable(field, t)
        return f"{column} {_COMPARISONS[condition.op]} {self._bind(value, sql_type)}"

    def _linked(self, t: str, end: LinkEnd, where: Condition | None) -> str:
        o = next(self._aliases)
        inner = [self._holds(end.other, o, where)] if where else []
        keeper = {row.table.name: row for row in ROWS.values()}[end.link.table]
        column = end.link.column
        if keeper in OBJECT_TYPES.values():
            is_kept_here = (end.direction is Direction.OUT) is not end.link.inverse
            joined = f'{o}.id = {t}."{column}"' if is_kept_here else f'{o}."{column}" = {t}.id'
            found = self._rows_of(end.other, o)
        else:  # in a table of its own: a row of it names both ends
            k = next(self._aliases)
            source = next(c.name for c in columns.of(keeper) if c.ref and c.ref.target == end.link.source)
            here, there = (source, column) if end.direction is Direction.OUT else (column, source)
            found = f'{self._rows_of(keeper, k)} join {self._rows_of(end.other, o)} on {o}.id = {k}."{there}"'
            joined = f'{k}."{here}" = {t}.id'
        return f"exists (select 1 from {found}{_where([joined, *inner])})"  # noqa: S608

    def _behind(
        self, kind: type[ObjectType], order: Sequence[Sort], keys: Sequence[str], after: Sequence[str | None]
    ) -> str:
        """Return the condition that a row comes behind the one whose keys are `after`."""
        specs = [fields.field(kind, sort.field) for sort in order]
        types = ["text" if field.kind is Kind.ENUM else _sql_type(field) for field in specs]
        ends = [
            None if value is None else self._bind(value, sql_type)
            for value, sql_type in zip(after, types, strict=True)
        ]
        if not any(field.column.is_nullable for field in specs) and len({sort.descending for sort in order}) == 1:
            sign = "<" if order[0].descending else ">"  # one comparison of whole rows, which an index answers
            return f"({', '.join(keys)}) {sign} ({', '.join(str(end) for end in ends)})"
        choices, equal = [], list[str]()
        for key, end, sort in zip(keys, ends, order, strict=True):
            if beyond := _beyond(key, end, sort):
                choices.append(" and ".join([*equal, beyond]))
            equal.append(f"{key} is null" if end is None else f"{key} = {end}")
        behind = " or ".join(f"({choice})" for choice in choices) or "false"
        first = ends[0] and (order[0].descending or not specs[0].column.is_nullable)
        # Says nothing new, but an index can begin there.
        bound = f"{keys[0]} {'<=' if order[0].descending else '>='} {ends[0]} and " if first else ""
        return f"{bound}({behind})"

    def _labelled(self, kind: type[ObjectType], t: str) -> tuple[str, str]:
        """Return what stands behind `from`, and the condition, never null, that a row holds simulated values.

        A row says so itself in is_simulated, data_source or provenance; one that cannot is simulated when an
        object that it is a part of, by a link of its own, is. Such objects are joined in: each is one at most.
        """
        source, said = self._rows_of(kind, t), _says_simulated(kind, t)
        if not said:
            for spec in columns.of(kind):
                if spec.ref and spec.ref.link:
                    other, o = OBJECT_TYPES[spec.ref.target], next(self._aliases)
                    source += f' left join {self._rows_of(other, o)} on {o}.id = {t}."{spec.name}"'
                    # A national signal names the source of its mix apart from those of its own quantities.
                    is_mix = kind is GenerationMix and other is GridSignal
                    said += [f"{o}.provenance ->> 'mix' = 'simulated'"] if is_mix else _says_simulated(other, o)
        return source, f"coalesce({' or '.join(said)}, false)" if said else "false"


def _says_simulated(kind: type[ObjectType], t: str) -> list[str]:
    says = {
        "is_simulated": f"{t}.is_simulated",
        "data_source": f"{t}.data_source = 'simulated'",
        "provenance": f"jsonb_path_exists({t}.provenance, '$.* ? (@ == \"simulated\")')",
    }
    said = [said for name, said in says.items() if name in kind.model_fields]
    if kind is ComputeWorkload:  # what a real job is said to have used at a simulated site is simulated as well
        said.append(
            f"({t}.started_at is not null and {t}.host_dc_id in (select id from (select * from public.data_centres "  # noqa: S608  an alias
            "where operator_id = %(operator_id)s) t00 where is_simulated))"
        )
    return said


def _where(conditions: Sequence[str]) -> str:
    return f" where {' and '.join(conditions)}" if conditions else ""


def _beyond(key: str, end: str | None, sort: Sort) -> str | None:
    """Return the condition that one key comes behind `end`; None where nothing can: null is last ascending."""
    if sort.descending:
        return f"{key} is not null" if end is None else f"{key} < {end}"
    return None if end is None else f"({key} > {end} or {key} is null)"


def _sortable(field: Field, t: str) -> str:
    """Return a field in the form whose order is the one promised, on every server: by code point for words."""
    name = f'{t}."{field.name}"'
    if field.column.has_enum_type:
        name = f"{name}::text"
    return f'{name} collate "C"' if field.kind in (Kind.ENUM, Kind.WORDS, Kind.TEXT) else name


def _sql_type(field: Field) -> str:
    if field.column.has_enum_type:
        return f"public.{field.column.sql_type}"
    if field.kind in (Kind.ENUM, Kind.WORDS, Kind.TEXT):
        return "text"
    return "numeric" if field.kind is Kind.NUMBER else field.column.sql_type


def _group_key(kind: type[ObjectType], key: GroupKey, t: str) -> str:
    name = _sortable(fields.field(kind, key.field), t)
    match key.bucket:
        case None:
            return name
        case Bucket.HALF_HOUR:
            return f"date_bin('30 minutes', {name}, timestamptz '2000-01-01 00:00:00+00')"
    return f"date_trunc('{key.bucket}', {name}, '{key.time_zone}')"


def _measure(measure: Measure, t: str) -> str:
    if measure.field is None:
        return "count(*)"
    return f'{Function(measure.function)}({t}."{measure.field}")'


def _key_text(value: Any) -> str | None:
    """Return a key as text that PostgreSQL reads back as the same value."""
    match value:
        case None:
            return None
        case datetime():
            return value.astimezone(UTC).isoformat()
    return str(value)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return float(value)
        case datetime():
            return value.astimezone(UTC)
    return value
