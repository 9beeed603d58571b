"""The objects API over real HTTP: a journey for each endpoint, and what hostile requests are told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from pylon.interfaces import _object_bodies
from pylon.interfaces.api_server import openapi
from pylon.interfaces.objects_api import document
from pylon.ontology import object_set_reading, object_sets
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.ontology.regions import REGIONS
from pylon.services import search_objects
from tests.acceptance.support import World, served

OBJECTS = "/api/v1/objects"


def ok(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def refused(answer: httpx2.Response, status: int = 422, code: str = "invalid") -> str:
    """Return what an answer in the one error shape says."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    said = answer.json()
    assert (said["status"], said["code"]) == (status, code)
    return str(said["detail"])


def search(http: httpx2.Client, object_type: str, **body: Any) -> Any:
    return ok(http.post(f"{OBJECTS}/{object_type}/search", json=body))


def aggregate(http: httpx2.Client, object_type: str, **body: Any) -> Any:
    return ok(http.post(f"{OBJECTS}/{object_type}/aggregate", json=body))


# The ontology


def test_the_ontology_says_what_there_is_and_what_may_be_asked(http):
    said = ok(http.get("/api/v1/ontology"))
    types = {one["name"]: one for one in said["object_types"]}
    assert list(types) == list(OBJECT_TYPES)
    fields = {field["name"]: field for field in types["DataCentre"]["fields"]}
    assert fields["pue"] == {
        "name": "pue",
        "doc": fields["pue"]["doc"],
        "kind": "number",
        "unit": "1",
        "nullable": False,
        "enum": None,
        "ge": 1.0,
        "gt": None,
        "le": fields["pue"]["le"],
        "refers_to": None,
        "ops": ["eq", "ne", "gt", "gte", "lt", "lte", "in", "isNull"],
        "sortable": True,
    }
    assert (fields["status"]["enum"], fields["region_id"]["refers_to"]) == ("DataCentreStatus", "Region")
    assert "api_key_hash" not in {field["name"] for field in types["Operator"]["fields"]}
    enums = {enum["name"]: enum["values"] for enum in said["enums"]}
    assert enums["DataCentreStatus"] == ["ACTIVE", "MAINTENANCE", "OFFLINE", "CONSTRAINED"]
    ends = Counter(link["name"] for one in types.values() for link in one["links"])
    assert ends == Counter({name: 2 * count for name, count in Counter(link.name for link in LINKS).items()})
    located = {"name": "LOCATED_IN", "direction": "in", "type": "DataCentre", "doc": "DC is located in region"}
    assert located in [{**link, "doc": located["doc"]} for link in types["Region"]["links"]]
    limits = {limit["name"]: limit for limit in said["limits"]}
    assert (limits["objects_per_page"]["most"], limits["objects_per_page"]["default"]) == (1000, 100)
    assert limits["seconds"]["most"] == search_objects.TIME_LIMIT_S
    assert all(limit["why"] for limit in limits.values())


def test_what_the_ontology_says_of_a_field_is_so(http):
    """Every op it lists is taken, every other refused; the same of sorting."""
    for one in ok(http.get("/api/v1/ontology"))["object_types"]:
        path = f"{OBJECTS}/{one['name']}"
        for field in one["fields"]:
            name = field["name"]
            assert "isNull" in field["ops"]
            ok(http.get(f"{path}?{name}.isNull=false&limit=1&select={name}"))
            if "gt" not in field["ops"]:
                assert "Valid: " + ", ".join(field["ops"]) in refused(http.get(f"{path}?{name}.gt=1"))
            answer = http.get(path, params={"sort": f"-{name}", "limit": 1})
            assert answer.status_code == (200 if field["sortable"] else 422)


# Pages


def test_objects_are_filtered_sorted_selected_and_paged(http):
    everything = ok(http.get(f"{OBJECTS}/DataCentre"))
    assert everything["object_type"] == "DataCentre"
    assert everything["next_cursor"] is None
    expected = sorted(
        (one for one in everything["objects"] if one["pue"] >= 1.2 and one["status"] in ("ACTIVE", "CONSTRAINED")),
        key=lambda one: (one["pue"], one["id"]),
        reverse=True,
    )
    assert len(expected) > 2
    question = {"pue.gte": "1.2", "status.in": "ACTIVE,CONSTRAINED", "sort": "-pue", "select": "pue,id", "limit": 2}
    found: list[Any] = []
    cursor = None
    while True:
        page = ok(http.get(f"{OBJECTS}/DataCentre", params={**question, **({"cursor": cursor} if cursor else {})}))
        found += page["objects"]
        assert len(page["objects"]) <= 2
        assert (page["simulated"], page["contains_simulated"]) == (len(page["objects"]), True)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [{"pue": one["pue"], "id": one["id"]} for one in expected]
    assert list(found[0]) == ["pue", "id"]


def test_simulated_objects_say_so_whatever_is_shown_of_them(http):
    said = ok(http.get(f"{OBJECTS}/Region"))
    assert (len(said["objects"]), said["simulated"], said["contains_simulated"]) == (17, 0, False)
    regional = search(http, "RegionalGridSignal", select=["id"], limit=1000)
    assert (regional["simulated"], regional["contains_simulated"]) == (0, False)
    national = search(http, "GridSignal", select=["carbon_intensity_forecast"], limit=50)
    assert national["simulated"] == 50  # demand and price are
    agents = search(http, "AgentState", select=["status"])
    assert agents["contains_simulated"] is bool(agents["objects"])


def test_one_object_is_found_by_its_id(http):
    one = search(http, "GridSignal", sort=["-timestamp"], limit=1)["objects"][0]
    said = ok(http.get(f"{OBJECTS}/GridSignal/{one['id']}"))
    assert said == {"object_type": "GridSignal", "object": one, "contains_simulated": True}
    assert one["timestamp"].endswith("Z")
    assert "There is no GridSignal with this id." in refused(
        http.get(f"{OBJECTS}/GridSignal/{REGIONS[0].id}"), 404, "not_found"
    )
    assert "Valid: POST" in refused(http.get(f"{OBJECTS}/GridSignal/search"), 405, "method_not_allowed")
    assert "Valid: POST" in refused(http.get(f"{OBJECTS}/DataCentre/aggregate"), 405, "method_not_allowed")
    assert "has no parameter 'select'" in refused(http.get(f"{OBJECTS}/GridSignal/{one['id']}?select=id"))


@pytest.mark.parametrize("suffix", ["", "/links/LOCATED_IN"])
@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "DataCentre/abc",
            f"'abc' is not an id (a UUID). To find one by its own id: {OBJECTS}/DataCentre?dc_id.eq=abc.",
        ),
        ("ComputeWorkload/a%20b%26c", f"{OBJECTS}/ComputeWorkload?job_id.eq=a%20b%26c."),
        ("Region/13", f"{OBJECTS}/Region?region_id.eq=13."),
        ("Region/London", f"{OBJECTS}/Region lists what there is; FIELD.eq=VALUE after a ? finds one."),
        ("GridSignal/1", f"{OBJECTS}/GridSignal lists what there is"),
        ("Operator/me@example.org", f"{OBJECTS}/Operator lists what there is"),
        ("Agent/" + "x" * 3000, f"{OBJECTS}/Agent lists what there is"),
    ],
)
def test_what_is_no_id_is_told_how_to_find_one_by_its_own(http, path, says, suffix):
    said = refused(http.get(f"{OBJECTS}/{path}{suffix}"), 404, "not_found")
    assert says in said
    assert len(said) < 300


def test_the_address_that_is_advised_finds_the_object(http):
    (site,) = ok(http.get(f"{OBJECTS}/DataCentre?limit=1"))["objects"]
    said = refused(http.get(f"{OBJECTS}/DataCentre/{site['dc_id']}"), 404, "not_found")
    assert ok(http.get(said.rpartition(" ")[2].rstrip(".")))["objects"] == [site]


def test_a_condition_that_follows_links_says_what_is_not_counted(http):
    link = {"link": "HAS_SIGNAL", "where": {"field": "data_source", "op": "ne", "value": "simulated"}}
    plain = {"field": "region_id", "op": "gt", "value": 0}
    for where in (link, {"and": [plain, link]}, {"or": [link]}, {"not": link}):
        page = search(http, "Region", where=where)
        assert "is_simulated eq false" in page["notice"]
        assert "data_source ne simulated" in page["notice"]
        assert aggregate(http, "Region", where=where, measures=[{"op": "count"}])["notice"] == page["notice"]
    assert search(http, "Region", where=plain)["notice"] is None
    assert aggregate(http, "Region", measures=[{"op": "count"}])["notice"] is None
    assert ok(http.get(f"{OBJECTS}/Region/{REGIONS[0].id}/links/HAS_SIGNAL?limit=1"))["notice"] is None


# Links


def test_a_link_is_followed_both_ways_and_filtered(http):
    site = search(http, "DataCentre", limit=1)["objects"][0]
    region = ok(http.get(f"{OBJECTS}/DataCentre/{site['id']}/links/LOCATED_IN"))
    assert [one["id"] for one in region["objects"]] == [site["region_id"]]
    back = f"{OBJECTS}/Region/{site['region_id']}/links/LOCATED_IN"
    sites = ok(http.get(back, params={"type": "DataCentre", "direction": "in", "select": "id,region_id"}))
    assert {"id": site["id"], "region_id": site["region_id"]} in sites["objects"]
    named = ok(http.get(back, params={"type": "DataCentre", "dc_id.eq": site["dc_id"], "select": "id"}))
    assert named["objects"] == [{"id": site["id"]}]


def test_the_signals_of_a_region_are_paged(http, world):
    path = f"{OBJECTS}/Region/{REGIONS[2].id}/links/HAS_SIGNAL"
    (expected,) = world.select(
        "select count(*) as n from regional_grid_signals where region_id = %s", REGIONS[2].id
    )
    seen: list[str] = []
    question: dict[str, Any] = {"sort": "-timestamp", "limit": 30, "select": "timestamp"}
    while True:
        page = ok(http.get(path, params=question))
        seen += [one["timestamp"] for one in page["objects"]]
        if page["next_cursor"] is None:
            break
        question["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == expected["n"] > 60
    assert seen == sorted(seen, reverse=True)
    other = f"{OBJECTS}/Region/{REGIONS[3].id}/links/HAS_SIGNAL"
    assert "Start again without it" in refused(
        http.get(other, params=question | {"cursor": page_cursor(http, path)})
    )


def page_cursor(http: httpx2.Client, path: str) -> str:
    return str(ok(http.get(path, params={"sort": "-timestamp", "limit": 1}))["next_cursor"])


def test_a_link_that_leaves_a_choice_is_told_it(http, world):
    path = f"{OBJECTS}/Operator/{world.operator_id}/links/OPERATED_BY"
    assert "OPERATED_BY (in, Agent), OPERATED_BY (in, DataCentre)" in refused(http.get(path))
    assert "each may be given once" in refused(http.get(f"{path}?type=Agent&type=Agent"))
    assert ok(http.get(f"{path}?type=Agent"))["object_type"] == "Agent"
    assert "Operator has no link 'LIKES'" in refused(
        http.get(f"{OBJECTS}/Operator/{world.operator_id}/links/LIKES")
    )
    nobody = f"{OBJECTS}/Operator/{REGIONS[0].id}/links/OPERATED_BY?type=Agent"
    refused(http.get(nobody), 404, "not_found")


# Search and aggregate


def test_a_search_pivots_over_links(http, world):
    said = search(
        http,
        "ComputeWorkload",
        where={
            "link": "HOSTED_BY",
            "where": {"link": "LOCATED_IN", "where": {"field": "country", "op": "eq", "value": "Scotland"}},
        },
        select=["id"],
        limit=1000,
    )
    rows = world.select(
        "select w.id from compute_workloads w join data_centres d on d.id = w.host_dc_id "
        "join regions r on r.id = d.region_id where r.country = 'Scotland' order by w.id"
    )
    assert [one["id"] for one in said["objects"]] == [str(row["id"]) for row in rows]
    rest = search(
        http,
        "DataCentre",
        where={"not": {"link": "HOSTED_BY", "direction": "in", "type": "ComputeWorkload"}},
        select=["dc_id"],
        limit=1000,
    )
    idle = world.select(
        "select dc_id from data_centres d where operator_id = %s "
        "and not exists (select from compute_workloads w where w.host_dc_id = d.id)",
        world.operator_id,
    )
    assert {one["dc_id"] for one in rest["objects"]} == {row["dc_id"] for row in idle}


def test_figures_are_gathered_by_group_and_by_london_day(http, world):
    said = aggregate(
        http,
        "RegionalGridSignal",
        group_by=["region_id"],
        measures=[{"op": "count"}, {"op": "avg", "field": "carbon_intensity_forecast", "as": "mean"}],
    )
    rows = world.select(
        "select region_id, count(*) as n, avg(carbon_intensity_forecast)::float8 as mean "
        "from regional_grid_signals group by 1 order by 1"
    )
    assert [group["key"] for group in said["groups"]] == [{"region_id": str(row["region_id"])} for row in rows]
    assert [group["measures"]["count"] for group in said["groups"]] == [row["n"] for row in rows]
    assert [group["measures"]["mean"] for group in said["groups"]] == pytest.approx([row["mean"] for row in rows])
    assert (said["truncated"], said["contains_simulated"]) == (False, False)
    by_day = {"field": "timestamp", "bucket": "day", "time_zone": "Europe/London"}
    days = aggregate(http, "GridSignal", group_by=[by_day], measures=[{"op": "count"}])
    assert {group["objects"] for group in days["groups"]} >= {48}
    assert all(group["key"]["timestamp"].endswith("T23:00:00Z") for group in days["groups"])  # summer
    assert days["contains_simulated"] is True
    few = aggregate(http, "GridSignal", group_by=[by_day], measures=[{"op": "count"}], limit=1)
    assert (few["groups"], few["truncated"]) == (days["groups"][:1], True)


def test_figures_of_nothing_are_null_and_not_nought(http):
    nothing = {"field": "carbon_intensity_forecast", "op": "gt", "value": 2_000_000}
    measures = [{"op": "count"}, {"op": "sum", "field": "demand_mw"}, {"op": "max", "field": "timestamp"}]
    said = aggregate(http, "GridSignal", where=nothing, measures=measures)
    (group,) = said["groups"]
    assert group == {
        "key": {},
        "measures": {"count": 0, "sum_demand_mw": None, "max_timestamp": None},
        "objects": 0,
        "simulated": 0,
    }
    assert aggregate(http, "GridSignal", where=nothing, measures=measures, group_by=["is_forecast"])["groups"] == []


# Hostile requests


SITES = f"{OBJECTS}/DataCentre"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("status=ACTIVE", "write status.eq=ACTIVE"),
        ("stauts.eq=ACTIVE", "Did you mean status?"),
        ("offset=10", "There is no parameter 'offset'. Valid: sort, select, limit, cursor"),
        ("api_key_hash.isNull=false", "DataCentre has no field 'api_key_hash'"),
        ("pue.lt=NaN", "It must be a number"),
        ("pue.lt=1e400", "It must be a number between -10 and 10"),
        ("gpu_count.eq=99999999999999999999", "It must be a whole number from -2147483648 to 2147483647"),
        ("name.eq=a%00b", "without the character NUL"),
        ("created_at.gt=2026-11-22T09:00:00+00:00", "in an address, + is written %2B"),
        ("sort=pue;drop table agents", "DataCentre has no field 'pue;drop table agents'"),
        ("sort=pue nulls first", "has no field 'pue nulls first'"),
        ("select=*", "DataCentre has no field '*'"),
        ("limit=1001", "It must be a whole number from 1 to 1,000"),
        ("limit=1&limit=2", "'limit' is given twice"),
        ("cursor=abc", "The cursor is not valid for this query"),
        ("cursor=", "The cursor is not valid for this query"),
        ("id.in=" + ",".join(["x"] * 1001), "a list of at most 1,000 values"),
    ],
)
def test_a_parameter_that_is_not_valid_is_told_what_is(http, query, says):
    assert says in refused(http.get(f"{SITES}?{query}"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "The body is not a JSON document"),
        (b"{", "The body is not a JSON document"),
        (b"\xff{}", "The body is not a JSON document"),
        (b"[]", "The query: a list of 0 is not valid. It must be an object with the members where, sort"),
        (b'{"limit": NaN}', "The body holds NaN, which is no JSON number"),
        (b'{"limit": -Infinity}', "The body holds -Infinity"),
        (b'{"limit": 1, "limit": 2}', "The body names 'limit' twice in one object"),
        (b'{"limit": 1e9999999999999999999999}', "holds the number 1e9999999999999999999999, which is beyond"),
        (b'{"limit": ' + b"9" * 5000 + b"}", f"holds the number {'9' * 30}..., which is beyond"),
        (b'{"where": ' + b'{"not":' * 100_000 + b"{}" + b"}" * 100_001, "nested too deeply"),
        (b"[" * 900_000, "nested too deeply"),
        (b'{"where": ' + b'{"not":' * 9 + b"{}" + b"}" * 10, "at most 8 deep"),
        (b'{"where": {"field": "pue", "op": "lt", "value": 1e999}}', "It must be a number between -10 and 10"),
        (b'{"where": {"field": "gpu_count", "op": "eq", "value": 1e99}}', "a whole number from"),
        (b'{"where": {"field": "name", "op": "eq", "value": "a\\u0000"}}', "without the character NUL"),
        (b'{"where": {"field": "name", "op": "eq", "value": "\\ud800"}}', "half a surrogate pair"),
        (b'{"where": {"field": "\\ud800", "op": "eq", "value": 1}}', "DataCentre has no field '\\ud800'"),
        (b'{"where": {"field": "status", "op": "eq", "value": {}}}', "It must be one of ACTIVE"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_valid_is_told_what_is(http, body, says):
    answer = http.post(f"{SITES}/search", content=body, headers={"content-type": "application/json"})
    assert says in refused(answer)


def test_forty_hops_are_too_many(http):
    where: dict[str, Any] = {"field": "name", "op": "isNull", "value": False}
    for _ in range(20):
        where = {"link": "LOCATED_IN", "where": {"link": "LOCATED_IN", "type": "DataCentre", "where": where}}
    assert "at most 5 links may follow each other" in refused(http.post(f"{SITES}/search", json={"where": where}))


def test_a_body_of_ten_megabytes_is_told_the_limit(http):
    answer = http.post(f"{SITES}/search", json={"where": "x" * 10_000_000})
    assert "1,000,000" in refused(answer, 413, "too_large")


def test_sql_in_a_value_is_a_value(http, world):
    before = world.scalar("select count(*) from data_centres")
    for word in ("'; drop table data_centres; --", "x' or '1'='1", "%", "_", "\\", "$1", "%(operator_id)s", "{}"):
        for op in ("eq", "contains"):
            condition = {"field": "dc_id", "op": op, "value": word}
            found = search(http, "DataCentre", where=condition)["objects"]
            assert all(word in one["dc_id"] for one in found)
        ok(http.get(SITES, params={"name.eq": word}))
    assert world.scalar("select count(*) from data_centres") == before


def test_an_unknown_type_is_told_the_valid_ones(http):
    for answer in (
        http.get(f"{OBJECTS}/Datacentre"),
        http.get(f"{OBJECTS}/PipelineRun"),
        http.post(f"{OBJECTS}/pg_authid/search", json={}),
        http.post(f"{OBJECTS}/operators/aggregate", json={}),
    ):
        assert "Valid: Agent, AgentState, ComputeWorkload" in refused(answer, 404, "not_found")


def test_a_request_that_takes_too_long_is_told_to_narrow_it(http, monkeypatch):
    """And the next one is served."""
    with monkeypatch.context() as patched:
        patched.setattr(search_objects, "TIME_LIMIT_S", 0.001)
        hop = {"link": "HAS_SIGNAL", "direction": "out"}
        where = {"not": {"or": [{"link": "HAS_SIGNAL", "where": {"not": hop}}] * 20}}
        answer = http.post(f"{OBJECTS}/RegionalGridSignal/search", json={"where": where})
        assert "Narrow the condition" in refused(answer, 422, "too_costly")
    ok(http.get(f"{OBJECTS}/RegionalGridSignal?limit=1"))


def test_a_cursor_of_another_server_is_good_where_the_secret_is_the_same(world: World, http):
    def page(client: httpx2.Client, **parameters: Any) -> httpx2.Response:
        return client.get(f"{OBJECTS}/Region", params={"limit": 3, **parameters})

    cursors = []
    for secret in ("a secret that is shared", "a secret that is shared", None):
        with served(world.with_settings(secret=secret).runtime()) as client:
            cursors.append(ok(page(client))["next_cursor"])
            if len(cursors) == 2:
                ok(page(client, cursor=cursors[0]))
    assert cursors[0] == cursors[1] != cursors[2]
    assert "Start again without it" in refused(page(http, cursor=cursors[0]))


# The document


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, methods in openapi()["paths"].items():
        if path.startswith((OBJECTS, "/api/v1/ontology")):
            yield from ((method, path, operation) for method, operation in methods.items())


def test_the_openapi_document_says_what_is_asked_and_answered():
    found = {f"{method.upper()} {path}": operation for method, path, operation in operations()}
    assert set(found) == {
        "GET /api/v1/ontology",
        f"GET {OBJECTS}/{{type}}",
        f"GET {OBJECTS}/{{type}}/{{id}}",
        f"GET {OBJECTS}/{{type}}/{{id}}/links/{{link}}",
        f"POST {OBJECTS}/{{type}}/search",
        f"POST {OBJECTS}/{{type}}/aggregate",
    }
    schemas = openapi()["components"]["schemas"]
    answers = {
        name: operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for name, operation in found.items()
    }
    assert set(answers.values()) == {"OntologyDescription", "Page", "Found", "Groups"}
    for name in ("SearchBody", "AggregateBody", "Condition", *answers.values()):
        assert schemas[name]
    text = json.dumps(openapi())
    assert all(reference in schemas for reference in references(text))
    assert schemas["SearchBody"]["properties"]["limit"]["maximum"] == object_sets.ROWS.most


def references(text: str) -> set[str]:
    return {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}


@pytest.mark.parametrize("name", ["SearchBody", "AggregateBody"])
def test_the_documents_examples_are_answered(http, name):
    verb = {"SearchBody": "search", "AggregateBody": "aggregate"}[name]
    for object_type, body in _object_bodies.EXAMPLES[name].values():
        ok(http.post(f"{OBJECTS}/{object_type}/{verb}", json=body))


def test_a_document_is_read_exactly():
    said = document(b'{"where": {"field": "pue", "op": "lt", "value": 1.10000000000000000000001}}')
    query = object_set_reading.query(OBJECT_TYPES["DataCentre"], said)
    assert str(query.where.value) == "1.10000000000000000000001"
