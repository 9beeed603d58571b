"""TypeScript types of the object types, as the API sends them: times are RFC 3339 text, quantities are numbers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import StrEnum

from pylon.derive import json_schema
from pylon.ontology import columns
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.types import ObjectType

__all__ = ["types"]

_TYPES = {
    "uuid": "string",
    "timestamptz": "string",
    "text": "string",
    "varchar": "string",
    "integer": "number",
    "bigint": "number",
    "double precision": "number",
    "numeric": "number",
    "boolean": "boolean",
    "jsonb": "Record<string, unknown>",
}


def types() -> str:
    """Return the module: a union per enum, an interface per object type, and the name of every link.

    Secret columns are left out, as in every answer of the API. Raises `TypeError` for an SQL type it has no
    TypeScript for.
    """
    shown = {spec.enum for row in OBJECT_TYPES.values() for spec in columns.of(row) if spec.enum}
    parts = [
        "// Generated from src/pylon/ontology by `pylon derive`; do not edit.",
        *(_enum(name, enum) for name, enum in json_schema.enums().items() if enum in shown),
        *(_interface(name, row) for name, row in OBJECT_TYPES.items()),
        _registry(),
        _union("LinkName", sorted({link.name for link in LINKS}), "The name of a link between two objects."),
    ]
    return "\n\n".join(parts) + "\n"


def _enum(name: str, enum: type[StrEnum]) -> str:
    return _union(name, [value.value for value in enum], inspect.cleandoc(enum.__doc__ or ""))


def _union(name: str, words: list[str], doc: str) -> str:
    return f"{_comment(doc)}\nexport type {name} =\n" + "\n".join(f'  | "{word}"' for word in words) + ";"


def _interface(name: str, row: type[ObjectType]) -> str:
    fields = "\n".join(line for spec in columns.of(row) if not spec.is_secret for line in _field(spec))
    return f"{_comment(inspect.cleandoc(row.__doc__ or ''))}\nexport interface {name} {{\n{fields}\n}}"


def _field(spec: ColumnSpec) -> Iterator[str]:
    unit = f" [{spec.unit}]" if spec.unit not in ("", "1") else ""
    yield f"  {_comment(spec.doc + unit)}"
    yield f"  {spec.name}: {_type(spec)}{' | null' if spec.is_nullable else ''};"


def _type(spec: ColumnSpec) -> str:
    if spec.enum:
        return spec.enum.__name__
    base, array, _ = spec.sql_type.partition("[]")
    word = _TYPES.get(base.partition("(")[0])
    if word is None:
        raise TypeError(f"column {spec.name}: {spec.sql_type} has no TypeScript; add it to derive/typescript.py")
    return f"{word}[]" if array else word


def _registry() -> str:
    names = "\n".join(f"  {name}: {name};" for name in OBJECT_TYPES)
    return f"{_comment('Every object type by its name.')}\nexport interface ObjectTypes {{\n{names}\n}}"


def _comment(text: str) -> str:
    return f"/** {' '.join(text.split())} */"
