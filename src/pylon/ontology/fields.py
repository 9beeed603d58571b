"""Fields: what a client may ask of each column of an object type, and which values it may ask with.

Secret columns are no fields. Values come as JSON has them (text, numbers, truth values, lists) and leave as the
column's own type, so that nothing a client sends reaches the database but as a value that the column could hold.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from pylon.errors import Invalid
from pylon.ontology import columns
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.types import ObjectType

__all__ = ["MOST_CHARACTERS", "MOST_VALUES", "Field", "Kind", "Op", "field", "of", "shown"]

MOST_VALUES = 1000
MOST_CHARACTERS = 1000

_MOST_PLACES = 400  # every number that JSON's readers can hold has fewer, and PostgreSQL takes thousands
_MOST_SHOWN = 60
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Op(StrEnum):
    """How a field is compared."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    IS_NULL = "isNull"
    CONTAINS = "contains"


class Kind(StrEnum):
    """What kind of value a field holds."""

    UUID = "uuid"
    INSTANT = "instant"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    WORDS = "words"  # text of bounded length
    TEXT = "text"  # text of any length: no order, for a cursor would have to carry it
    INTEGERS = "integers"
    DOCUMENT = "document"

    @property
    def ops(self) -> tuple[Op, ...]:
        """How fields of this kind can be compared."""
        return _OPS[self]

    @property
    def is_sortable(self) -> bool:
        """Whether objects can be sorted, and grouped, by fields of this kind."""
        return self not in (Kind.TEXT, Kind.INTEGERS, Kind.DOCUMENT)

    @property
    def is_quantity(self) -> bool:
        """Whether fields of this kind can be summed and averaged."""
        return self in (Kind.INTEGER, Kind.NUMBER)


_EXACT = (Op.EQ, Op.NE, Op.IN, Op.IS_NULL)
_ORDERED = (Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.IN, Op.IS_NULL)
_OPS: dict[Kind, tuple[Op, ...]] = {
    Kind.UUID: _ORDERED,
    Kind.INSTANT: _ORDERED,
    Kind.INTEGER: _ORDERED,
    Kind.NUMBER: _ORDERED,
    Kind.BOOLEAN: _EXACT,
    Kind.ENUM: _EXACT,
    Kind.WORDS: (*_ORDERED, Op.CONTAINS),
    Kind.TEXT: (*_ORDERED, Op.CONTAINS),
    Kind.INTEGERS: (Op.CONTAINS, Op.IS_NULL),
    Kind.DOCUMENT: (Op.IS_NULL,),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object type."""

    column: ColumnSpec
    kind: Kind

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    def operand(self, op: Op, given: Any) -> Any:
        """Return what `op` compares this field with, as the column's own type: a tuple of such for `in`.

        Raises `Invalid` when the field is not compared that way, or not with that value, and says with which.
        """
        if op not in self.kind.ops:
            valid = ", ".join(self.kind.ops)
            raise Invalid(f"{self.name} is of kind {self.kind} and cannot be compared with {op}. Valid: {valid}.")
        if op is Op.IS_NULL:
            return self._valid(_boolean, given)
        if given is None:
            raise Invalid(f"{self.name} {op}: null equals nothing. Use isNull with true or false.")
        if op is not Op.IN:
            return self._valid(_READERS[self.kind], given)
        if not isinstance(given, list) or len(given) > MOST_VALUES:
            raise Invalid(f"{self.name} in: the value must be a list of at most {MOST_VALUES:,} values.")
        return tuple(self.operand(Op.EQ, one) for one in given)

    def read(self, op: Op, text: str) -> Any:
        """Return `operand` of a value that was written as text; those of `in` are divided by commas.

        Raises `Invalid` as `operand` does.
        """
        if op is Op.IN:
            return self.operand(op, [self._from_text(one) for one in text.split(",")])
        return self.operand(op, _truth(text) if op is Op.IS_NULL else self._from_text(text))

    def _from_text(self, text: str) -> Any:
        if self.kind is Kind.BOOLEAN:
            return _truth(text)
        if self.kind in (Kind.INTEGER, Kind.NUMBER, Kind.INTEGERS) and _NUMBER.fullmatch(text):
            try:
                return Decimal(text)
            except InvalidOperation:  # an exponent beyond all reason
                return text
        return text

    def _valid(self, reader: Callable[[ColumnSpec, Any], Any], given: Any) -> Any:
        try:
            return reader(self.column, given)
        except _Refused as refused:
            raise Invalid(f"{self.name}: {shown(given)} is not valid. It must be {refused}.") from None


@cache
def of(object_type: type[ObjectType]) -> Mapping[str, Field]:
    """Return the fields of an object type by name, in the order they are declared."""
    return {spec.name: Field(spec, _kind(spec)) for spec in columns.of(object_type) if not spec.is_secret}


def field(object_type: type[ObjectType], name: object) -> Field:
    """Return the field called `name`.

    Raises `Invalid`, naming the closest and all valid ones, when there is none.
    """
    fields = of(object_type)
    if isinstance(name, str) and name in fields:
        return fields[name]
    close = difflib.get_close_matches(name[:100], fields, n=1) if isinstance(name, str) else []
    meant = f" Did you mean {close[0]}?" if close else ""
    raise Invalid(f"{object_type.__name__} has no field {shown(name)}.{meant} Valid: {', '.join(fields)}.")


def shown(given: object) -> str:
    """Return a JSON value for a message: as JSON has it, but short."""
    match given:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[given]
        case dict() | list():
            return f"{'an object' if isinstance(given, dict) else 'a list'} of {len(given)}"
        case Decimal():
            text = str(given)
        case _:
            text = repr(given)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def _kind(spec: ColumnSpec) -> Kind:
    if spec.enum:
        return Kind.ENUM
    if spec.sql_type in _INTEGERS:
        return Kind.INTEGER
    kinds = {
        "uuid": Kind.UUID,
        "timestamptz": Kind.INSTANT,
        "numeric": Kind.NUMBER,
        "boolean": Kind.BOOLEAN,
        "varchar": Kind.WORDS,
        "text": Kind.TEXT,
        "integer[]": Kind.INTEGERS,
    }
    return kinds.get(spec.sql_type.partition("(")[0], Kind.DOCUMENT)


class _Refused(Exception):
    """A value is not valid; says what is. Never leaves this module."""


def _truth(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _boolean(_: ColumnSpec, given: Any) -> bool:
    if not isinstance(given, bool):
        raise _Refused("true or false")
    return given


def _integer(spec: ColumnSpec, given: Any) -> int:
    limit = _INTEGERS[spec.sql_type.removesuffix("[]")]
    number = _finite(given)
    # The range first: to look at the digits of 1e999999 would be to write them all out.
    if number is None or not -limit <= number < limit or number != int(number):
        raise _Refused(f"a whole number from {-limit} to {limit - 1}")
    return int(number)


def _number(spec: ColumnSpec, given: Any) -> Decimal:
    digits, places = (int(part) for part in spec.sql_type[len("numeric(") : -1].split(","))
    limit = Decimal(10) ** (digits - places)
    number = _finite(given)
    if number is None or not -limit < number < limit or number.as_tuple().exponent < -_MOST_PLACES:  # type: ignore[operator]
        raise _Refused(
            f"a number between {-limit} and {limit}, exclusive, of at most {_MOST_PLACES} decimal places"
        )
    return number


def _finite(given: Any) -> Decimal | None:
    if isinstance(given, bool) or not isinstance(given, int | float | Decimal):
        return None
    number = Decimal(repr(given)) if isinstance(given, float) else Decimal(given)
    return number if number.is_finite() else None


def _uuid(_: ColumnSpec, given: Any) -> UUID:
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except (ValueError, AttributeError, TypeError):
        raise _Refused("a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057") from None


def _instant(_: ColumnSpec, given: Any) -> datetime:
    expected = "a time with its zone, such as 2026-11-22T09:00:00Z (in an address, + is written %2B)"
    try:
        instant = given if isinstance(given, datetime) else datetime.fromisoformat(given)
        if instant.tzinfo is None:
            raise _Refused(expected)
        return instant.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise _Refused(expected) from None


def _enum(spec: ColumnSpec, given: Any) -> str:
    values = [value.value for value in spec.enum or ()]
    if not isinstance(given, str) or given not in values:
        raise _Refused(f"one of {', '.join(values)}")
    return str(given)


def _text(_: ColumnSpec, given: Any) -> str:
    expected = f"text of at most {MOST_CHARACTERS:,} characters, without the character NUL and without half a "
    if not isinstance(given, str) or len(given) > MOST_CHARACTERS or "\0" in given:
        raise _Refused(f"{expected}surrogate pair")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise _Refused(f"{expected}surrogate pair") from None
    return given


_READERS: dict[Kind, Callable[[ColumnSpec, Any], Any]] = {
    Kind.UUID: _uuid,
    Kind.INSTANT: _instant,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.ENUM: _enum,
    Kind.WORDS: _text,
    Kind.TEXT: _text,
    Kind.INTEGERS: _integer,  # its one comparison with a value is with an element
}
