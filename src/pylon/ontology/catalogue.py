"""The catalogue: every object type, record and link, found by name."""

from __future__ import annotations

from types import ModuleType

from pylon.errors import NotFound
from pylon.ontology import agency, compute, deciding, fleet, grid, links, plans, records
from pylon.ontology.types import ObjectType, Record, Row

__all__ = ["LINKS", "OBJECT_TYPES", "RECORDS", "ROWS", "object_type"]

_MODULES: tuple[ModuleType, ...] = (fleet, grid, compute, agency, deciding, plans, records)


def _declared(kind: type[Row]) -> dict[str, type[Row]]:
    return {
        name: value
        for module in _MODULES
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, kind) and value.__module__ == module.__name__
    }


OBJECT_TYPES: dict[str, type[ObjectType]] = {
    name: row for name, row in _declared(ObjectType).items() if issubclass(row, ObjectType)
}
RECORDS: dict[str, type[Row]] = _declared(Record)
ROWS: dict[str, type[Row]] = {**OBJECT_TYPES, **RECORDS}
LINKS: tuple[links.LinkType, ...] = links.of(OBJECT_TYPES.values())


def object_type(name: str) -> type[ObjectType]:
    """Return the object type called `name`.

    Raises `NotFound`, naming the valid ones, when there is none.
    """
    try:
        return OBJECT_TYPES[name]
    except KeyError:
        raise NotFound(f"There is no object type {name!r}. Valid: {', '.join(sorted(OBJECT_TYPES))}.") from None
