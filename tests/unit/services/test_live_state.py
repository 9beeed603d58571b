"""The parts of the live state that need no database: links between what is held, and what is simulated."""

from __future__ import annotations

from typing import Any

from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.services import live_state
from pylon.services.take_stock import Holding


def edges(held: dict[str, list[dict[str, Any]]]) -> set[tuple[str, str, str]]:
    return {(link["link"], link["source_id"], link["target_id"]) for link in live_state._links(held)}


def test_a_link_goes_the_way_the_ontology_says_whichever_row_holds_the_key():
    held = {
        "Region": [{"id": "region"}],
        "RegionalGridSignal": [{"id": "signal", "region_id": "region"}],
        "DataCentre": [{"id": "site", "region_id": "region", "operator_id": "me"}],
        "Operator": [{"id": "me"}],
    }
    assert edges(held) == {
        ("HAS_SIGNAL", "region", "signal"),
        ("LOCATED_IN", "site", "region"),
        ("OPERATED_BY", "site", "me"),
    }


def test_a_link_to_what_is_not_there_is_left_out():
    held = {
        "DataCentre": [{"id": "site", "region_id": "elsewhere", "operator_id": None}],
        "Region": [{"id": "region"}],
        "Operator": [{"id": "me"}],
    }
    assert edges(held) == set()


def test_every_link_of_the_ontology_can_be_made_but_the_one_between_objects():
    held = {name: [{"id": name}] for name in OBJECT_TYPES}
    tables = {kind.table.name: name for name, kind in OBJECT_TYPES.items()}
    for link in LINKS:
        if link.table in tables:
            held[tables[link.table]][0][link.column] = link.source if link.inverse else link.target
    made = {(link["link"], link["source_type"], link["target_type"]) for link in live_state._links(held)}
    # One row has one HAS_MIX key here or there; both are declared, and both columns were filled.
    assert made == {(link.name, link.source, link.target) for link in LINKS if link.name != "CONSUMED"}


def test_what_is_simulated_is_named_by_type_and_quantity():
    stock = [
        Holding(object_type="GridSignal", quantity="price", source="simulated", rows=3, is_simulated=True),
        Holding(object_type="GridSignal", quantity="carbon", source="api", rows=3, is_simulated=False),
        Holding(object_type="DataCentre", source="simulated", rows=3, is_simulated=True),
    ]
    assert live_state._simulated(stock) == ["DataCentre", "GridSignal.price"]


def test_the_source_of_each_half_hour_is_given_by_quantity():
    provenance = [{"carbon": "api", "price": "simulated"}, {}, {"carbon": "simulated"}]
    assert live_state._by_quantity(provenance) == {
        "carbon": ["api", None, "simulated"],
        "price": ["simulated", None, None],
    }
