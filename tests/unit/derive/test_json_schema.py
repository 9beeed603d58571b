"""The ontology as JSON."""

from __future__ import annotations

import json
from typing import Any

from pylon.derive import json_schema
from pylon.ontology import columns
from pylon.ontology.actions import ACTIONS
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES, RECORDS

DOCUMENT = json_schema.object_types()


def column(kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in DOCUMENT["object_types"][kind]["columns"] if one["name"] == name)
    return found


def test_it_is_json_and_says_that_it_is_generated() -> None:
    assert json.loads(json.dumps(DOCUMENT, allow_nan=False)) == DOCUMENT
    assert next(iter(DOCUMENT)) == "$comment"
    assert "do not edit" in DOCUMENT["$comment"]


def test_every_type_record_link_and_column_is_there() -> None:
    assert list(DOCUMENT["object_types"]) == list(OBJECT_TYPES)
    assert list(DOCUMENT["records"]) == list(RECORDS)
    assert len(DOCUMENT["links"]) == len(LINKS)
    for name, row in OBJECT_TYPES.items():
        said = DOCUMENT["object_types"][name]
        assert said["table"] == row.table.name
        assert [one["name"] for one in said["columns"]] == [spec.name for spec in columns.of(row)]


def test_every_action_is_there_with_what_it_takes_and_what_it_asks_for() -> None:
    assert list(DOCUMENT["actions"]) == list(ACTIONS)
    said = DOCUMENT["actions"]["scale_data_centre"]
    assert said["decisions"] == ["SCALE_DOWN", "SCALE_UP"]
    assert said["criteria"]["cap_stands"] == "To lift: there is a cap that this action set"
    assert said["parameters"]["required"] == ["dc_id", "max_power_mw", "reason"]


def test_a_column_says_what_applies_to_it() -> None:
    assert column("DataCentre", "pue") == {
        "name": "pue",
        "doc": "Power usage effectiveness: facility power / IT power",
        "type": "numeric(3,2)",
        "nullable": False,
        "unit": "1",
        "ge": 1,
        "le": 3,
    }
    assert column("DataCentre", "region_id")["ref"] == {
        "object_type": "Region",
        "on_delete": "restrict",
        "link": "LOCATED_IN",
        "inverse": False,
    }
    assert column("DataCentre", "current_carbon_intensity")["writer"]
    assert column("Operator", "api_key_hash")["secret"] is True


def test_a_bound_of_zero_is_not_left_out() -> None:
    assert column("DataCentre", "total_capacity_mw")["ge"] == 0


def test_an_enum_column_names_it_and_its_values() -> None:
    country = column("Region", "country")
    assert (country["enum"], country["values"]) == ("Country", ["England", "Scotland", "Wales"])
    assert DOCUMENT["enums"]["Country"]["values"] == country["values"]
    assert list(DOCUMENT["enums"]) == sorted(DOCUMENT["enums"])
