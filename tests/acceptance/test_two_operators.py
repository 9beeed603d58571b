"""Two operators on one database, each with an API of its own: neither sees the other, but for what it publishes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from pylon.ontology.regions import REGIONS
from tests.acceptance.support import World, new_id, new_world, served


@dataclass
class Operator:
    """An operator, everything it holds, and the API that acts for it."""

    name: str
    id: Any = field(default_factory=new_id)
    objects: dict[str, Any] = field(default_factory=dict)
    http: httpx2.Client | None = None

    def marks(self, *but: str) -> set[str]:
        """What must not be seen elsewhere: its ids, and its name, which is in the name of each of its rows."""
        ids = {str(value) for kind, value in self.objects.items() if kind not in but}
        return ids | ({str(self.id), self.name} if not but else set())


@pytest.fixture(scope="module")
def shared(cluster: Any, template: str, api: Any) -> Iterator[World]:
    with new_world(cluster, template, "acceptance_two", api, grid="simulated", synthetic="off") as world:
        world.run()
        yield world


@pytest.fixture(scope="module")
def both(shared: World) -> Iterator[tuple[Operator, Operator]]:
    a, b = (filled(shared, Operator(name)) for name in ("Aardvark", "Badger"))
    with served(shared.runtime(a.id)) as a.http, served(shared.runtime(b.id)) as b.http:
        yield a, b


def filled(world: World, owner: Operator) -> Operator:
    """Give the operator a row of every kind. Both use the same external ids: those are unique for each alone."""
    add = inserter(world, owner)
    world.execute(
        "insert into operators (id, name, operator_type, email, api_key_hash) "
        "values (%s, %s, 'COMPUTE_OPERATOR', %s, %s)",
        owner.id,
        owner.name,
        f"{owner.name}@example.org",
        f"hash-{owner.name}",
    )
    region = REGIONS[12].id
    add("data_centres", dc_id="DC-1", name=owner.name, region_id=region, pue=1.25, total_capacity_mw=20)
    add("storage_assets", asset_id="B-1", name=owner.name, region_id=region, capacity_mwh=10,
        max_charge_rate_mw=5, max_discharge_rate_mw=5)  # fmt: skip
    agent = add("agents", agent_id="A-1", name=owner.name, agent_type="CARBON_OPTIMIZER")
    add("agent_states", agent_id=agent, status=owner.name)
    job = add("compute_workloads", job_id=f"J-{owner.name}", workload_type="OTHER", duration_mins=60, power_kw=10,
              host_dc_id=owner.objects["data_centres"])  # fmt: skip
    add("orchestration_decisions", decision_id="D-1", decision_type="ACCEPT_WORKLOAD", reasoning=owner.name,
        agent_id=agent, workload_id=job)  # fmt: skip
    return owner


def inserter(world: World, owner: Operator) -> Callable[..., Any]:
    def add(table: str, **values: Any) -> Any:
        row = {"id": new_id(), "operator_id": owner.id, **values}
        world.execute(
            f"insert into {table} ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})", *row.values()
        )
        owner.objects[table] = row["id"]
        return row["id"]

    return add


def paths(http: httpx2.Client) -> list[str]:
    """Every path that can be read."""
    return [path for path, operations in http.get("/openapi.json").json()["paths"].items() if "get" in operations]


def seen(http: httpx2.Client, path: str) -> bytes:
    answer = http.get(path)
    assert answer.status_code == 200, path
    return answer.content


def test_no_endpoint_shows_one_operator_anything_of_the_other(both):
    for one, other in (both, both[::-1]):
        for path in paths(one.http):
            content = seen(one.http, path).decode()
            found = {mark for mark in other.marks() if mark in content}
            assert not found, f"{path} shows {one.name} {found}"


def test_each_sees_all_of_its_own(both):
    """So that the test above means something."""
    for one in both:
        content = seen(one.http, "/api/v1/live-state").decode()
        assert {mark for mark in one.marks() if mark not in content} == set()
        state = json.loads(content)
        assert state["operator_id"] == str(one.id)
        assert {name: len(state["objects"][name]) for name in TENANTS} == dict.fromkeys(TENANTS, 1)
        counted = {held["object_type"]: held["rows"] for held in state["stock"] if not held["quantity"]}
        assert counted == {"DataCentre": 1, "StorageAsset": 1, "Agent": 1, "ComputeWorkload": 1}


TENANTS = (
    "Operator",
    "DataCentre",
    "StorageAsset",
    "Agent",
    "AgentState",
    "ComputeWorkload",
    "OrchestrationDecision",
)


def test_both_see_the_same_grid(both):
    states = [json.loads(seen(one.http, "/api/v1/live-state")) for one in both]
    assert states[0]["signals"] == states[1]["signals"]
    assert states[0]["carbon_factors"] == states[1]["carbon_factors"]
    assert seen(both[0].http, "/api/v1/grid/regional") == seen(both[1].http, "/api/v1/grid/regional")


def test_what_is_published_is_seen_by_all_and_only_in_the_catalog(both, shared):
    """The site, its operator's id and name, and the power its workloads take: not those workloads, and no more."""
    a, b = both
    site = b.objects["data_centres"]
    shared.execute("update data_centres set published = true where id = %s", site)
    try:
        catalog = a.http.get("/api/v1/market/catalog").json()
        (one,) = catalog["catalogs"]
        assert (one["id"], one["descriptor"]["name"]) == (str(b.id), b.name)
        assert [resource["id"] for resource in one["resources"]] == [str(site)]
        assert a.http.get("/api/v1/market/catalog").content == b.http.get("/api/v1/market/catalog").content
        hidden = b.marks("data_centres")
        assert not {mark for mark in hidden if mark in json.dumps(catalog)}
        for path in set(paths(a.http)) - {"/api/v1/market/catalog"}:
            content = seen(a.http, path).decode()
            assert not {mark for mark in b.marks() if mark in content}, path
    finally:
        shared.execute("update data_centres set published = false where id = %s", site)
    for mine in both:
        assert mine.http.get("/api/v1/market/catalog").json()["catalogs"] == []  # at once


def test_an_unpublished_sites_load_cannot_be_read_off_the_catalog(both, shared):
    """A workload at a site that is not published changes no byte of it."""
    a, b = both
    shared.execute("update data_centres set published = true where id = %s", a.objects["data_centres"])
    try:
        before = seen(a.http, "/api/v1/market/catalog")
        shared.execute(
            "update compute_workloads set status = 'QUEUED', scheduled_start = %s, power_kw = 9000 where id = %s",
            shared.now,
            b.objects["compute_workloads"],
        )
        assert seen(a.http, "/api/v1/market/catalog") == before
    finally:
        shared.execute("update data_centres set published = false where id = %s", a.objects["data_centres"])


def test_one_operators_write_gives_the_other_no_new_document(both, shared):
    """Not even that something was written can be told from the other's tag."""
    a, b = both
    tags = set()
    for name in (f"{b.name} 2", f"{b.name} 3"):
        shared.execute("update data_centres set name = %s where id = %s", name, b.objects["data_centres"])
        with served(shared.runtime(a.id)) as fresh:  # its own look at the database
            tags.add(fresh.get("/api/v1/live-state").headers["etag"])
    assert len(tags) == 1
