"""docs/how-to/enter-your-own-fleet.md: its SQL, run as the owner, enters a fleet that its operator alone sees."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pylon.ontology import columns
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.ontology.types import Row
from pylon.services import operators, synthesise
from pylon.services.live_state import live_state
from pylon.services.market_catalog import market_catalog
from pylon.services.operators import LOCAL_OPERATOR_ID
from pylon.store.database import Database
from tests.conftest import NOW, new_tenant

PAGE = (Path(__file__).parents[2] / "docs/how-to/enter-your-own-fleet.md").read_text("utf-8")
REGIONS, ENTER, PUBLISH = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

SITES = {"READING-1": 12, "LIVINGSTON-1": 2}
BATTERIES = {"READING-BESS": 12, "FIFE-BESS": 2}

State = dict[str, Any]


@pytest.fixture(params=["new", "started before"])
def state(request: pytest.FixtureRequest, dsn: str, database: Database) -> State:
    """The live state after the page's rows went into a new database, and into one that Pylon served."""
    if request.param == "started before":
        operators.acting(database, None, now=NOW)
    execute(dsn, ENTER)
    return live_state(database, operators.acting(database, None, now=NOW), NOW)


def execute(dsn: str, block: str) -> None:
    """Run a block of the page as `pylon db psql` does: as the owner, as one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(block.encode())


def ends(state: State, name: str) -> dict[str, Any]:
    """Return the links of this name: what an object of the fleet, by its own id, is linked to."""
    words = {row["id"]: row["dc_id"] for row in state["objects"]["DataCentre"]}
    words |= {row["id"]: row["asset_id"] for row in state["objects"]["StorageAsset"]}
    return {words[link["source_id"]]: link["target_id"] for link in state["links"] if link["link"] == name}


def test_the_live_state_shows_the_fleet_and_that_it_is_real(state: State) -> None:
    sites, batteries = state["objects"]["DataCentre"], state["objects"]["StorageAsset"]
    assert {row["dc_id"] for row in sites} == set(SITES)
    assert {row["asset_id"] for row in batteries} == set(BATTERIES)
    assert {row["is_simulated"] for row in (*sites, *batteries)} == {False}
    assert (state["contains_simulated"], state["simulated"]) == (False, [])


def test_each_object_is_linked_to_its_region_and_its_operator(state: State) -> None:
    numbers = {row["id"]: row["region_id"] for row in state["objects"]["Region"]}
    located = {name: numbers[target] for name, target in ends(state, "LOCATED_IN").items()}
    assert located == SITES | BATTERIES
    assert ends(state, "OPERATED_BY") == dict.fromkeys(SITES | BATTERIES, LOCAL_OPERATOR_ID)
    (reading,) = (row["id"] for row in state["objects"]["DataCentre"] if row["dc_id"] == "READING-1")
    assert ends(state, "CO_LOCATED_WITH") == {"READING-BESS": reading}


def test_another_operator_sees_none_of_it(state: State, database: Database) -> None:
    assert state["objects"]["DataCentre"]
    other = live_state(database, new_tenant(database, "B").id, NOW)
    assert (other["objects"]["DataCentre"], other["objects"]["StorageAsset"]) == ([], [])
    assert {link["link"] for link in other["links"]} & {"LOCATED_IN", "OPERATED_BY", "CO_LOCATED_WITH"} == set()


def test_the_owner_may_not_enter_it_without_becoming_the_operator(dsn: str) -> None:
    begin, _, rest = re.split(r"(^select set_config.*?;$)", ENTER, maxsplit=1, flags=re.MULTILINE | re.DOTALL)
    named = rest[rest.index("insert into data_centres") :].replace(
        "(select id from operators)", f"'{LOCAL_OPERATOR_ID}'"
    )
    named = re.sub(r"\(select id from regions[^)]*\)", "gen_random_uuid()", named)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        execute(dsn, begin + named)


def test_a_region_that_does_not_exist_enters_nothing(dsn: str, database: Database) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation, match="region_id"):
        execute(dsn, ENTER.replace("region_id = 2)", "region_id = 99)"))
    assert live_state(database, LOCAL_OPERATOR_ID, NOW)["objects"]["DataCentre"] == []


def test_the_regions_to_choose_from_are_the_fourteen(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(REGIONS.encode())
        found = [rows for _ in cursor.results() if cursor.description and len(rows := cursor.fetchall()) > 1]
    assert [number for number, _, _ in found[0]] == list(range(1, 15))


def test_the_catalog_shows_what_is_published(dsn: str, state: State, database: Database) -> None:
    assert state["objects"]["DataCentre"]
    assert market_catalog(database, NOW).catalogs == []
    execute(dsn, PUBLISH)
    (catalog,) = market_catalog(database, NOW).catalogs
    assert catalog.descriptor.name == "Example Compute Limited"
    assert [one.resource_attributes.data_centre_id for one in catalog.resources] == ["READING-1"]
    assert {offer.offer_attributes.spare_capacity_mw for offer in catalog.offers} == {14.0}


def test_no_simulated_fleet_is_made_beside_it_and_a_purge_leaves_it(state: State, database: Database) -> None:
    assert synthesise.ensure_fleet(database, LOCAL_OPERATOR_ID, seed=2025) == {}
    assert set(synthesise.purge(database, LOCAL_OPERATOR_ID).values()) == {0}
    assert live_state(database, LOCAL_OPERATOR_ID, NOW)["objects"] == state["objects"]


@pytest.mark.parametrize("row", [DataCentre, StorageAsset], ids=lambda row: row.table.name)
def test_the_page_gives_the_unit_of_every_column_to_fill_in(row: type[Row]) -> None:
    (table,) = re.findall(rf"^\| {row.table.name} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    told = dict(
        chain.from_iterable([(name, unit) for name in re.findall(r"`(\w+)`", names)] for names, unit, _ in lines)
    )
    declared = {spec.name: spec.unit for spec in columns.of(row)}
    assert told == {name: declared.get(name) for name in told}
    required = {spec.name for spec in columns.of(row) if not spec.is_nullable and spec.default is None}
    assert required - {"operator_id", "region_id"} <= told.keys()
    (entered,) = re.findall(rf"insert into {row.table.name} \((.*?)\)", ENTER, re.DOTALL)
    assert set(re.findall(r"\w+", entered)) - {"operator_id", "region_id"} <= told.keys()


def test_every_block_acts_for_the_local_operator() -> None:
    assert set(re.findall(r'"operator_id": "([^"]+)"', PAGE)) == {str(LOCAL_OPERATOR_ID)}
