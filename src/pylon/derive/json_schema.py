"""The ontology as one JSON document, for programs that do not run Python: types, records, links, actions and enums.

What does not apply to a column (no unit, no bound, no reference) is left out rather than written as null.
"""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import Any

from pylon.ontology import columns
from pylon.ontology.actions import ACTIONS, ActionType
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES, RECORDS, ROWS
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.links import LinkType
from pylon.ontology.types import Ref, Row

__all__ = ["enums", "object_types"]


def object_types() -> dict[str, Any]:
    """Return the document: `object_types` and `records` by name, `links` in order, `actions` and `enums` by name.

    Columns stand in the order they are declared. A bound is a number in the column's unit, a default an SQL
    expression. An action's parameters are a JSON schema.
    """
    return {
        "$comment": "Generated from src/pylon/ontology by `pylon derive`; do not edit.",
        "object_types": {name: _row(row) for name, row in OBJECT_TYPES.items()},
        "records": {name: _row(row) for name, row in RECORDS.items()},
        "links": [_link(link) for link in LINKS],
        "actions": {name: _action(action) for name, action in ACTIONS.items()},
        "enums": {name: _enum(enum) for name, enum in enums().items()},
    }


def enums() -> dict[str, type[StrEnum]]:
    """Return every enum that a column is limited to, by name, sorted."""
    found = {spec.enum for row in ROWS.values() for spec in columns.of(row) if spec.enum}
    return {enum.__name__: enum for enum in sorted(found, key=lambda enum: enum.__name__)}


def _row(row: type[Row]) -> dict[str, Any]:
    table = row.table
    return {
        "doc": inspect.cleandoc(row.__doc__ or ""),
        "table": table.name,
        "scope": table.scope.value,
        "key": list(table.key),
        "unique": [list(key) for key in table.unique],
        "checks": dict(table.checks),
        "append_only": table.append_only,
        **({"partition_by": table.partition_by} if table.partition_by else {}),
        "columns": [_column(spec) for spec in columns.of(row)],
    }


def _column(spec: ColumnSpec) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "unit": spec.unit,
        "ge": spec.ge,
        "gt": spec.gt,
        "le": spec.le,
        "enum": spec.enum.__name__ if spec.enum else None,
        "values": [value.value for value in spec.enum] if spec.enum else None,
        "default": spec.default,
        "ref": _ref(spec.ref) if spec.ref else None,
        "writer": spec.writer,
        "secret": spec.is_secret or None,
    }
    return {
        "name": spec.name,
        "doc": spec.doc,
        "type": spec.sql_type,
        "nullable": spec.is_nullable,
        **{fact: value for fact, value in facts.items() if value not in (None, "")},
    }


def _ref(ref: Ref) -> dict[str, Any]:
    return {
        "object_type": ref.target,
        "on_delete": ref.on_delete,
        **({"link": ref.link, "inverse": ref.inverse} if ref.link else {}),
    }


def _link(link: LinkType) -> dict[str, Any]:
    return {
        "name": link.name,
        "source": link.source,
        "target": link.target,
        "doc": link.doc,
        "table": link.table,
        "column": link.column,
        "inverse": link.inverse,
    }


def _action(action: ActionType) -> dict[str, Any]:
    return {
        "doc": action.doc,
        "object_type": action.object_type,
        "is_bulk": action.is_bulk,
        "criteria": {criterion.code: criterion.doc for criterion in action.criteria},
        "decisions": [decision.value for decision in action.decisions],
        "parameters": action.schema(),
    }


def _enum(enum: type[StrEnum]) -> dict[str, Any]:
    return {"doc": inspect.cleandoc(enum.__doc__ or ""), "values": [value.value for value in enum]}
