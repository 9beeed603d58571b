"""Two operators on one database, each with an API of its own: neither sees the other, but for what it publishes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from pylon.ontology.catalogue import OBJECT_TYPES
from pylon.ontology.object_sets import link_ends
from pylon.ontology.regions import REGIONS
from pylon.ontology.types import Scope
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
    add("orchestration_decisions", decision_id="D-000001", decision_type="ACCEPT_WORKLOAD", reasoning=owner.name,
        agent_id=agent, workload_id=job, seq=1, content=owner.name, prev_hash="", hash=owner.name)  # fmt: skip
    add("plans", plan_id="P-000001", trigger=owner.name, requested_at=world.now)
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


def paths(owner: Operator) -> list[str]:
    """Every path that can be read: with every object type, and with every object and link of the owner."""
    described = owner.http.get("/openapi.json").json()["paths"]
    reads = {path: operations["get"] for path, operations in described.items() if "get" in operations}
    return [path for template, read in reads.items() for path in filled_in(owner, exemplified(template, read))]


def exemplified(template: str, operation: dict[str, Any]) -> str:
    """Return the path with the document's example, or the number 1, for what is no type, object or link."""
    for one in operation.get("parameters", []):
        if one["in"] == "path" and one["name"] not in ("type", "id", "link"):
            (example, *_) = one["schema"].get("examples", [1])
            template = template.replace(f"{{{one['name']}}}", str(example))
    return template


def filled_in(owner: Operator, template: str) -> Iterator[str]:
    """Yield `template` with every type, object and link in its braces that there is."""
    if "{" not in template:
        yield template
        return
    held = {kind.table.name: name for name, kind in OBJECT_TYPES.items()}
    ids = {held[table]: [object_id] for table, object_id in owner.objects.items()}
    ids |= {"Operator": [owner.id], "Region": [REGIONS[12].id]}
    for name, kind in OBJECT_TYPES.items():
        for object_id in ids.get(name, []) if "{id}" in template else [None]:
            path = template.replace("{type}", name).replace("{id}", str(object_id))
            for end in link_ends(kind) if "{link}" in template else [None]:
                choice = f"?direction={end.direction}&type={end.other.__name__}" if end else ""
                yield path.replace("{link}", end.link.name if end else "") + choice


def seen(http: httpx2.Client, path: str) -> bytes:
    answer = http.get(path)
    assert answer.status_code == 200, path
    return answer.content


def test_no_endpoint_shows_one_operator_anything_of_the_other(both):
    for one, other in (both, both[::-1]):
        for path in paths(one):
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


def test_each_finds_its_own_objects_and_not_the_others(both):
    """By id, by link, by search and by figure; the other's ids are answered as ids that nobody has."""
    for one, other in (both, both[::-1]):
        own = {str(value) for value in one.objects.values()}
        for name, kind in OBJECT_TYPES.items():
            if kind.table.scope is not Scope.TENANT or kind.table.name not in (*one.objects, "operators"):
                continue
            path = f"/api/v1/objects/{name}"
            mine, theirs = ((w.objects | {"operators": w.id})[kind.table.name] for w in (one, other))
            assert json.loads(seen(one.http, f"{path}/{mine}"))["object"]["id"] == str(mine)
            listed = one.http.post(f"{path}/search", json={"select": ["id"]}).json()["objects"]
            assert [found["id"] for found in listed] == [str(mine)]
            assert {found["id"] for found in listed} <= own | {str(one.id)}
            count = one.http.post(f"{path}/aggregate", json={"measures": [{"op": "count"}]}).json()
            assert count["groups"][0]["objects"] == 1
            links = [f"/links/{end.link.name}?direction={end.direction}&type={end.other.__name__}"
                     for end in link_ends(kind)]  # fmt: skip
            for rest in ("", *links):
                refusals = [one.http.get(f"{path}/{object_id}{rest}") for object_id in (theirs, new_id())]
                assert [answer.status_code for answer in refusals] == [404, 404]
                assert refusals[0].content == refusals[1].content
            by_id = {"field": "id", "op": "eq", "value": str(theirs)}
            for where in (by_id, {"or": [by_id]}, {"not": {"not": by_id}}):
                assert one.http.post(f"{path}/search", json={"where": where}).json()["objects"] == []


def test_a_pivot_over_shared_data_does_not_lead_to_the_other_operator(both):
    """Both have a site in the same region: from there each comes back to its own alone."""
    for one in both:
        located = {"link": "LOCATED_IN", "where": {"link": "LOCATED_IN", "type": "DataCentre"}}
        body = {"where": {"and": [located, {"link": "OPERATED_BY"}]}, "select": ["id"]}
        found = one.http.post("/api/v1/objects/DataCentre/search", json=body).json()["objects"]
        assert [site["id"] for site in found] == [str(one.objects["data_centres"])]
        names = {"field": "name", "op": "ne", "value": one.name}
        where = {"link": "LOCATED_IN", "type": "DataCentre", "where": names}
        regions = one.http.post("/api/v1/objects/Region/search", json={"where": where}).json()
        assert regions["objects"] == []


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
        for path in set(paths(a)) - {"/api/v1/market/catalog"}:
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
