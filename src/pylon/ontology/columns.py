"""Columns: what the declaration of an object type says of each, in one flat shape for whoever derives from it."""

from __future__ import annotations

import re
import types
import typing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from pylon.ontology.types import Column, Numeric, Ref, Row, Sql, Unit

__all__ = ["ColumnSpec", "enum_name", "of"]

T = TypeVar("T")

_SQL_TYPES: dict[Any, str] = {
    UUID: "uuid",
    datetime: "timestamptz",
    int: "integer",
    bool: "boolean",
    str: "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """One column: its SQL type, unit, range, default and what it refers to.

    `default` is an SQL expression. `enum` is set where only its values are valid, `is_secret` where the column is
    shown to nobody.
    """

    name: str
    sql_type: str
    is_nullable: bool
    default: str | None
    unit: str
    ge: float | None
    gt: float | None
    le: float | None
    doc: str
    ref: Ref | None
    writer: str | None
    enum: type[StrEnum] | None
    is_secret: bool

    @property
    def has_enum_type(self) -> bool:
        """Whether the column's SQL type is an enum of the database, not text with a check."""
        return self.enum is not None and self.sql_type == enum_name(self.enum)


@cache
def of(row: type[Row]) -> tuple[ColumnSpec, ...]:
    """Return the columns of `row`'s table, in the order they are declared."""
    return tuple(_column(name, info) for name, info in row.model_fields.items())


def enum_name(enum: type[StrEnum]) -> str:
    """Return the PostgreSQL name of an enum: DataCentreStatus becomes data_centre_status."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", enum.__name__).lower()


def _column(name: str, info: FieldInfo) -> ColumnSpec:
    base, is_nullable, marks = _unwrap(info.annotation)
    marks = [*info.metadata, *marks]
    numeric, unit, column = _first(marks, Numeric), _first(marks, Unit), _first(marks, Column)
    enum = base if isinstance(base, type) and issubclass(base, StrEnum) else None
    return ColumnSpec(
        name=name,
        sql_type=_sql_type(name, base, marks),
        is_nullable=is_nullable,
        default=_default(info, column),
        unit=numeric.unit if numeric else unit.name if unit else "",
        ge=_bound(marks, Ge, "ge"),
        gt=_bound(marks, Gt, "gt"),
        le=_bound(marks, Le, "le"),
        doc=info.description or "",
        ref=_first(marks, Ref),
        writer=column.writer if column else None,
        enum=enum,
        is_secret=bool(column and column.is_secret),
    )


def _unwrap(annotation: Any) -> tuple[Any, bool, list[Any]]:
    """Return the innermost type, whether None is allowed, and every mark met on the way in."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *marks = typing.get_args(annotation)
        base, is_nullable, more = _unwrap(inner)
        flat = [m for mark in marks for m in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        return base, is_nullable, [*flat, *more]
    if origin in (typing.Union, types.UnionType):
        (inner,) = (arg for arg in typing.get_args(annotation) if arg is not type(None))
        base, _, marks = _unwrap(inner)
        return base, True, marks
    return annotation, False, []


def _sql_type(name: str, base: Any, marks: list[Any]) -> str:
    if sql := _first(marks, Sql):
        return sql.type
    if numeric := _first(marks, Numeric):
        return numeric.sql
    if isinstance(base, type) and issubclass(base, StrEnum):
        return enum_name(base)
    if typing.get_origin(base) is dict:
        return "jsonb"
    # AwareDatetime is pydantic's own marker; at run time it stands for datetime.
    known = _SQL_TYPES.get(datetime if getattr(base, "__name__", "") == "AwareDatetime" else base)
    if known is None:
        raise TypeError(f"column {name}: {base!r} has no SQL type; add Sql(...) or Numeric(...) to its Annotated")
    return known


def _default(info: FieldInfo, column: Column | None) -> str | None:
    if column and column.default:
        return column.default
    match info.default:
        case bool(value):
            return str(value).lower()
        case StrEnum() as value:
            return f"'{value.value}'"
        case Decimal() | int() as value:
            return str(value)
    return None


def _first(marks: list[Any], kind: type[T]) -> T | None:
    return next((mark for mark in marks if isinstance(mark, kind)), None)


def _bound(marks: list[Any], kind: type[Any], attribute: str) -> float | None:
    mark = _first(marks, kind)
    return None if mark is None else getattr(mark, attribute)
