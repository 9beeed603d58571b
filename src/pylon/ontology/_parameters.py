"""What parameters of actions are made of: quantities with their range, times, words, and a model that is strict."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pylon.ontology import columns
from pylon.ontology.canonical import holds_nul
from pylon.ontology.types import ObjectType

__all__ = [
    "Change",
    "Document",
    "Id",
    "Moment",
    "NewId",
    "NewName",
    "Parameters",
    "Reason",
    "RegionNumber",
    "Within",
    "distinct",
    "wrong",
]

_MOST_DOCUMENT = 10_000
_MOST_EXACT = 2**53
_PLAIN = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_NO_NUL = r"^[^\u0000]*$"

_Number = int | float | Decimal


def wrong(why: str) -> PydanticCustomError:
    """Return the error that refuses a value with exactly these words."""
    return PydanticCustomError("parameter", "{why}", {"why": why})


@dataclass(frozen=True, slots=True)
class Within:
    """The unit and range of a parameter: a number, never a text or a truth value that could be read as one."""

    unit: str
    ge: int
    le: int
    is_above: bool = False
    """Whether the least value itself is excluded."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Look at the range before the column's digits are, and after: rounding may reach what is excluded."""
        after = core_schema.no_info_after_validator_function(self._in_range, handler(source))
        return core_schema.no_info_before_validator_function(lambda value: self._in_range(_number(value)), after)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the range in JSON schema's words, and the unit."""
        inner = handler(schema)
        least = "exclusiveMinimum" if self.is_above else "minimum"
        kind = "integer" if inner.get("type") == "integer" else "number"
        unit = {"unit": self.unit} if self.unit else {}
        return {"type": kind, least: self.ge, "maximum": self.le, **unit}

    def _in_range(self, value: _Number) -> _Number:
        if not (self.ge < value <= self.le if self.is_above else self.ge <= value <= self.le):
            least = f"above {self.ge:,}" if self.is_above else f"from {self.ge:,}"
            unit = "" if self.unit == "1" else self.unit  # a ratio's, for machines
            raise wrong(f"must be {least} to {self.le:,} {unit}".rstrip())
        return value


def _number(value: Any) -> _Number:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise wrong("must be a number")
    if isinstance(value, int):
        return value
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        raise wrong("must be a finite number")
    if -(2**63) < value < 2**63 and value == int(value):
        return int(value)  # JSON knows no difference between 2 and 2.0
    return value


def _moment(value: Any) -> datetime:
    expected = "must be a time with its zone (RFC 3339), such as 2026-11-22T09:00:00Z, from 2000 to 2099"
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise wrong(expected)
        at = at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise wrong(expected) from None
    if not 2000 <= at.year < 2100:
        raise wrong(expected)
    return at


def _plain(text: str) -> str:
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        raise wrong("must be text without control characters")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise wrong("must be text without the character NUL")
    return text


def _region(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 14:
        raise wrong("must be the number of a region, 1 to 14; 15 to 17 (England, Scotland, Wales) are sums of them")
    return value


def _document(value: dict[str, Any]) -> dict[str, Any]:
    """Return the document as JSON has it, so that what is kept is what was given."""
    most = f"at most {_MOST_DOCUMENT:,} characters, without NUL"
    expected = f"must be a JSON object of {most}, its numbers within 2^53 of zero"
    try:
        text = json.dumps(value, default=_plain_value, allow_nan=False, ensure_ascii=False)
        text.encode()
        read: dict[str, Any] = json.loads(text, parse_int=_exact(int), parse_float=_exact(float))
    except (TypeError, ValueError, RecursionError):
        raise wrong(expected) from None
    if len(text) > _MOST_DOCUMENT or holds_nul(text):
        raise wrong(expected)
    return read


def _exact(kind: type[float]) -> Callable[[str], float]:
    """Return a reader of numbers of one kind that refuses those which another reader of JSON would change."""

    def number(text: str) -> float:
        read = kind(text)
        if abs(read) > _MOST_EXACT:
            raise ValueError(text)
        return read

    return number


def _plain_value(value: Any) -> float | str:
    match value:
        case Decimal():
            return float(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case UUID():
            return str(value)
    raise TypeError(f"{type(value).__name__} is no value of JSON")


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Id = Annotated[
    str, Field(min_length=1, max_length=100, json_schema_extra={"pattern": _NO_NUL}), AfterValidator(_no_nul)
]
"""An id that exists; imported ones may hold any character."""
NewId = Annotated[
    str, Field(min_length=1, max_length=100, json_schema_extra={"pattern": _PLAIN}), AfterValidator(_plain)
]
NewName = Annotated[
    str, Field(min_length=1, max_length=255, json_schema_extra={"pattern": _PLAIN}), AfterValidator(_plain)
]
Reason = Annotated[
    str,
    Field(min_length=1, max_length=1000, json_schema_extra={"pattern": _PLAIN}, description="Why, in words"),
    AfterValidator(_plain),
]
RegionNumber = Annotated[
    int, BeforeValidator(_region), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 14})
]
Document = Annotated[dict[str, Any], AfterValidator(_document)]


def distinct(what: str) -> Callable[[list[Any]], list[Any]]:
    """Return a check that refuses a list which names one of `what` twice."""

    def checked(values: list[Any]) -> list[Any]:
        if len(set(values)) < len(values):
            raise wrong(f"must name each {what} once")
        return values

    return checked


class Parameters(BaseModel):
    """What an action is given. Frozen; an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def plain(self) -> dict[str, Any]:
        """Return the parameters as JSON has them: numbers, text, lists and objects."""
        said: dict[str, Any] = json.loads(json.dumps(self.model_dump(), default=_plain_value))
        return said


class Change(Parameters):
    """A change of an object: only what is given changes, and null clears what may be empty."""

    changes: ClassVar[type[ObjectType]]
    key: ClassVar[str | None]
    """The parameter that says which object; None where there is only one."""

    def changed(self) -> dict[str, Any]:
        """Return what is to change, by parameter, in the order declared."""
        names = [name for name in type(self).model_fields if name in self.model_fields_set and name != self.key]
        return {name: getattr(self, name) for name in names}

    @model_validator(mode="after")
    def _says_what(self) -> Change:
        if not self.changed():
            names = ", ".join(name for name in type(self).model_fields if name != self.key)
            raise wrong(f"nothing is to change. Give at least one of {names}")
        emptied = [name for name, value in self.changed().items() if value is None and not self.may_be_null(name)]
        if emptied:
            raise wrong(f"{', '.join(emptied)} cannot be null. Leave out what does not change")
        return self

    @classmethod
    def may_be_null(cls, name: str) -> bool:
        """Whether null is a value of the column behind a parameter."""
        nullable = {spec.name: spec.is_nullable for spec in columns.of(cls.changes)}
        return nullable.get(name, True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema without the null that stands for "not given"."""
        described = handler.resolve_ref_schema(handler(schema))
        for name, facts in described["properties"].items():
            if "anyOf" not in facts:
                continue
            facts.pop("default", None)
            if not cls.may_be_null(name):
                options = [option for option in facts.pop("anyOf") if option != {"type": "null"}]
                facts.update(options[0] if len(options) == 1 else {"anyOf": options})
        described["minProperties"] = 2 if cls.key else 1
        return described
