"""Describe the ontology: what exists, how it connects, and what may be asked of it, for programs and for agents."""

from __future__ import annotations

import inspect
from functools import cache

from pydantic import BaseModel, ConfigDict, Field

from pylon.derive import json_schema
from pylon.ontology import fields, object_sets
from pylon.ontology.catalogue import OBJECT_TYPES
from pylon.ontology.fields import Kind, Op
from pylon.ontology.object_sets import Direction
from pylon.ontology.types import ObjectType
from pylon.services.search_objects import TIME_LIMIT_S

__all__ = [
    "EnumDescription",
    "FieldDescription",
    "LimitDescription",
    "LinkDescription",
    "OntologyDescription",
    "TypeDescription",
    "describe_ontology",
]


class FieldDescription(BaseModel):
    """One field of an object type."""

    model_config = ConfigDict(frozen=True)

    name: str
    doc: str
    kind: Kind
    unit: str | None = Field(description="`1` for a plain ratio; null for what is no quantity")
    nullable: bool
    enum: str | None = Field(description="The enum whose values alone are valid")
    ge: float | None
    gt: float | None
    le: float | None
    refers_to: str | None = Field(description="The object type whose id it holds")
    ops: tuple[Op, ...] = Field(description="How it can be compared")
    sortable: bool = Field(description="Whether objects can be sorted and grouped by it")


class LinkDescription(BaseModel):
    """A link as seen from an object type."""

    model_config = ConfigDict(frozen=True)

    name: str
    direction: Direction = Field(description="`out` from source to target, `in` from target to source")
    type: str = Field(description="The object type at the other end")
    doc: str = Field(description="What the link says, read from source to target")


class TypeDescription(BaseModel):
    """One object type."""

    model_config = ConfigDict(frozen=True)

    name: str
    doc: str
    scope: str = Field(description="`shared`: everyone's grid data; `tenant`: the operator's own rows alone")
    fields: list[FieldDescription]
    links: list[LinkDescription]


class EnumDescription(BaseModel):
    """A closed list of values."""

    model_config = ConfigDict(frozen=True)

    name: str
    doc: str
    values: list[str]


class LimitDescription(BaseModel):
    """The most there may be of something in one request."""

    model_config = ConfigDict(frozen=True)

    name: str
    most: float
    default: int | None = Field(description="What counts when nothing is said")
    why: str


class OntologyDescription(BaseModel):
    """Object types, links, enums, and the limits of what may be asked."""

    model_config = ConfigDict(frozen=True)

    object_types: list[TypeDescription]
    enums: list[EnumDescription]
    limits: list[LimitDescription]


@cache
def describe_ontology() -> OntologyDescription:
    """Return the description; it depends on no database and no operator."""
    return OntologyDescription(
        object_types=[_type(kind) for kind in OBJECT_TYPES.values()],
        enums=[
            EnumDescription(name=name, doc=_doc(enum), values=[value.value for value in enum])
            for name, enum in json_schema.enums().items()
        ],
        limits=[
            *(
                LimitDescription(name=limit.name, most=limit.most, default=limit.default, why=limit.why)
                for limit in object_sets.LIMITS
            ),
            LimitDescription(
                name="seconds", most=TIME_LIMIT_S, default=None, why="Others are waiting for the same database."
            ),
        ],
    )


def _type(kind: type[ObjectType]) -> TypeDescription:
    return TypeDescription(
        name=kind.__name__,
        doc=_doc(kind),
        scope=kind.table.scope.value,
        fields=[_field(field) for field in fields.of(kind).values()],
        links=[
            LinkDescription(name=end.link.name, direction=end.direction, type=end.other.__name__, doc=end.link.doc)
            for end in object_sets.link_ends(kind)
        ],
    )


def _field(field: fields.Field) -> FieldDescription:
    spec = field.column
    return FieldDescription(
        name=spec.name,
        doc=spec.doc,
        kind=field.kind,
        unit=spec.unit or None,
        nullable=spec.is_nullable,
        enum=spec.enum.__name__ if spec.enum else None,
        ge=spec.ge,
        gt=spec.gt,
        le=spec.le,
        refers_to=spec.ref.target if spec.ref else None,
        ops=field.kind.ops,
        sortable=field.kind.is_sortable,
    )


def _doc(described: type) -> str:
    return inspect.cleandoc(described.__doc__ or "")
