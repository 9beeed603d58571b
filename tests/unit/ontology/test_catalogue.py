"""The catalogue: what is declared is found, by name."""

from __future__ import annotations

import pytest

from pylon.errors import NotFound
from pylon.ontology import agency, compute, deciding, fleet, grid, plans, records
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES, RECORDS, ROWS, object_type
from pylon.ontology.types import ObjectType, Record

MODULES = (fleet, grid, compute, agency, deciding, plans, records)


def test_the_originals_eleven_object_types_are_there_and_three_more() -> None:
    assert set(OBJECT_TYPES) - {"TariffRate", "LoadLimit", "Plan"} == {
        "Operator",
        "Region",
        "GridSignal",
        "RegionalGridSignal",
        "GenerationMix",
        "DataCentre",
        "ComputeWorkload",
        "Agent",
        "AgentState",
        "OrchestrationDecision",
        "StorageAsset",
    }


def test_every_declared_row_is_listed_once() -> None:
    declared = {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ObjectType | Record) and value not in (ObjectType, Record)
    }
    assert set(ROWS.values()) == declared
    assert not set(OBJECT_TYPES) & set(RECORDS)
    tables = [row.table.name for row in ROWS.values()]
    assert len(tables) == len(set(tables))


def test_an_object_type_is_found_by_its_name() -> None:
    assert object_type("DataCentre") is fleet.DataCentre


@pytest.mark.parametrize("name", ["DataCenter", "data_centres", "", "PipelineRun"])
def test_a_name_that_is_none_is_answered_with_those_that_are(name: str) -> None:
    with pytest.raises(NotFound, match=r"Valid: Agent, AgentState, .*TariffRate\.$") as caught:
        object_type(name)
    assert repr(name) in caught.value.detail


def test_links_join_object_types_that_exist() -> None:
    for link in LINKS:
        assert link.source in OBJECT_TYPES
        assert link.target in OBJECT_TYPES
        assert link.doc
