"""Links: read off the foreign keys that carry them."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.catalogue import LINKS, ROWS
from pylon.ontology.links import CONSUMED, LinkType, of
from pylon.ontology.types import ObjectType, Ref, Scope, Table


class House(ObjectType):
    """A house."""

    table: ClassVar[Table] = Table("houses", Scope.SHARED)
    street_id: Annotated[UUID, Ref("Street", "STANDS_IN", doc="House stands in street"), Field(description="-")]
    owner_id: Annotated[UUID | None, Ref("Person"), Field(description="A key that is no link")] = None


class Room(ObjectType):
    """A room."""

    table: ClassVar[Table] = Table("rooms", Scope.SHARED)
    house_id: Annotated[UUID | None, Ref("House", "HAS_ROOM", inverse=True), Field(description="-")] = None


def test_a_link_reads_from_the_row_that_holds_the_key_unless_inverse() -> None:
    assert of([House, Room]) == (
        CONSUMED,
        LinkType("HAS_ROOM", "House", "Room", "", "rooms", "house_id", inverse=True),
        LinkType("STANDS_IN", "House", "Street", "House stands in street", "houses", "street_id"),
    )


def test_the_originals_links_are_there() -> None:
    found = {(link.name, link.source, link.target) for link in LINKS}
    assert found >= {
        ("LOCATED_IN", "DataCentre", "Region"),
        ("HOSTED_BY", "ComputeWorkload", "DataCentre"),
        ("OPERATED_BY", "DataCentre", "Operator"),
        ("OPERATED_BY", "Agent", "Operator"),
        ("HAS_SIGNAL", "Region", "RegionalGridSignal"),
        ("CONSUMED", "ComputeWorkload", "GridSignal"),
        ("DECIDED_BY", "OrchestrationDecision", "Agent"),
        ("AFFECTS", "OrchestrationDecision", "ComputeWorkload"),
    }


def test_each_link_is_kept_in_a_column_that_exists() -> None:
    by_table = {row.table.name: row for row in ROWS.values()}
    for link in LINKS:
        row = by_table[link.table]
        assert link.column in row.model_fields
        if link is not CONSUMED:
            assert row.__name__ == (link.target if link.inverse else link.source)
