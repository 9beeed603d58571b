"""Links: the named edges between object types, read off the foreign keys that carry them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pylon.ontology.types import ObjectType, Ref

__all__ = ["LinkType", "of"]


@dataclass(frozen=True, slots=True)
class LinkType:
    """An edge from every `source` object to the `target` objects it names.

    `table` and `column` say where it is kept: the row of `table` holds the key of the other end. When `inverse`,
    that row is the target; otherwise it is the source. CONSUMED alone is kept in a table of its own.
    """

    name: str
    source: str
    target: str
    doc: str
    table: str
    column: str
    inverse: bool = False


CONSUMED = LinkType(
    "CONSUMED",
    source="ComputeWorkload",
    target="GridSignal",
    doc="Workload consumed energy at this signal",
    table="workload_consumption",
    column="grid_signal_id",
)


def of(object_types: Iterable[type[ObjectType]]) -> tuple[LinkType, ...]:
    """Return every link between `object_types`, sorted by name, source and target."""
    links = [CONSUMED, *(link for object_type in object_types for link in _declared_by(object_type))]
    return tuple(sorted(links, key=lambda link: (link.name, link.source, link.target)))


def _declared_by(object_type: type[ObjectType]) -> Iterator[LinkType]:
    for column, info in object_type.model_fields.items():
        for ref in info.metadata:
            if isinstance(ref, Ref) and ref.link:
                here, there = object_type.__name__, ref.target
                source, target = (there, here) if ref.inverse else (here, there)
                yield LinkType(ref.link, source, target, ref.doc, object_type.table.name, column, ref.inverse)
