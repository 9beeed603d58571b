"""The API over real HTTP: every endpoint, its documentation, and the one shape of every error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from pylon.interfaces.api_server import openapi
from pylon.ontology.actions import ACTIONS
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import Fuel
from pylon.ontology.regions import REGIONS
from pylon.services.status import FRESH_FOR
from tests.acceptance.support import World, new_id, new_world, served, until

ENDPOINTS = (
    "/",
    "/health",
    "/ready",
    "/api/v1/live-state",
    "/api/v1/grid/regional",
    "/api/v1/market/catalog",
    "/api/v1/actions",
    "/api/v1/audit/heads",
    "/api/v1/audit/verify",
    "/api/v1/decisions",
    "/api/v1/ontology",
    "/api/v1/plans",
    "/api/v1/quality",
    "/api/v1/report",
    "/api/v1/signals",
    "/api/v1/sources",
    "/api/v1/storage/schedules",
)
"""What can be read without saying more; tests of their own ask the others."""

OTHERS = {
    *(f"/api/v1/actions/{name}" for name in ACTIONS),
    "/api/v1/audit/export",
    "/api/v1/audit/replay/{name}",
    "/api/v1/decisions/{name}",
    "/api/v1/decisions/{name}/explain",
    "/api/v1/windows",
    "/api/v1/grid/regional/{region_id}",
    "/api/v1/grid/regional/{region_id}/refresh",
    "/api/v1/import",
    "/api/v1/objects/{type}",
    "/api/v1/objects/{type}/aggregate",
    "/api/v1/objects/{type}/search",
    "/api/v1/objects/{type}/{id}",
    "/api/v1/objects/{type}/{id}/links/{link}",
    "/api/v1/plans/{name}",
    "/api/v1/signals/{name}",
    "/api/v1/signals/{name}/skill",
}
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


@pytest.fixture(scope="module")
def before_data(empty: World) -> Iterator[httpx2.Client]:
    with served(empty.runtime()) as client:
        yield client


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem an answer holds, after looking at its shape."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= said.keys()
    assert (said["status"], said["code"], said["type"]) == (status, code, f"urn:pylon:error:{code}")
    assert said["title"]
    assert said["detail"]
    return said


# The service itself


def test_the_root_says_what_this_is_and_names_every_endpoint(http):
    said = http.get("/").json()
    assert said["name"] == "Pylon DEG"
    assert set(said["endpoints"]) == {*ENDPOINTS, *OTHERS}
    assert all(line.endswith(".") for line in said["endpoints"].values())
    assert http.get(said["documentation"]).status_code == 200


@pytest.mark.parametrize("path", ENDPOINTS)
def test_every_endpoint_answers_with_json(http, path):
    answer = http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_health_asks_nothing_of_the_data(before_data):
    assert before_data.get("/health").json() == {"status": "ok"}


def test_ready_is_503_with_the_reason_until_there_are_data(before_data, http):
    answer = before_data.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert "Run `pylon pipeline`" in answer.json()["reason"]
    answer = http.get("/ready")
    assert (answer.status_code, answer.json()["ready"], answer.json()["stale"]) == (200, True, False)


def test_ready_says_when_the_data_are_old(world):
    later = world.now + FRESH_FOR + timedelta(seconds=1)
    with served(world.runtime(clock=lambda: later)) as client:
        said = client.get("/ready").json()
    assert (said["ready"], said["stale"]) == (True, True)
    assert said["data_age_s"] == FRESH_FOR.total_seconds() + 1


def test_before_any_data_every_endpoint_still_answers(before_data):
    state = before_data.get("/api/v1/live-state").json()
    assert (state["run"], state["sources"], state["contains_simulated"], state["notice"]) == (None, [], False, None)
    assert len(state["objects"]["Region"]) == 17
    assert state["signals"]["national"]["carbon_intensity_forecast"] == [None] * 96
    regions = before_data.get("/api/v1/grid/regional").json()["regions"]
    assert {region["carbon_intensity"] for region in regions} == {None}
    assert before_data.get("/api/v1/market/catalog").json()["catalogs"] == []


# Documentation


def test_the_documentation_page_needs_nothing_from_elsewhere(http):
    """No content network: whoever is offline, or behind a strict firewall, can read it."""
    page = http.get("/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) == 3
    for file in files:
        assert file.startswith("/docs/static/"), file
        answer = http.get(file)
        assert answer.status_code == 200
        assert len(answer.content) > 500
    assert not re.search(r"https?://", page)
    assert "url: '/openapi.json'" in page


def test_the_openapi_document_describes_what_is_served(http):
    said = http.get("/openapi.json").json()
    assert said["openapi"].startswith("3.")
    assert set(said["paths"]) == {*ENDPOINTS, *OTHERS}
    assert said == openapi()
    for path, operations in said["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], f"{method} {path}"
            assert operation["responses"]["4XX"]["content"].keys() == {"application/problem+json"}
    assert set(said["components"]["schemas"]["Problem"]["properties"]) == {
        "type",
        "title",
        "status",
        "detail",
        "code",
    }


# One error shape


def test_an_unknown_path_is_told_the_valid_ones(http):
    detail = problem(http.get("/api/v1/nothing"), 404, "not_found")["detail"]
    assert all(path in detail for path in {*ENDPOINTS, *OTHERS})


def test_a_file_that_the_documentation_lacks_is_a_problem_too(http):
    problem(http.get("/docs/static/nothing.js"), 404, "not_found")
    problem(http.get("/docs/static/..%2f..%2f__init__.py"), 404, "not_found")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_method_an_endpoint_does_not_take_is_told_the_valid_ones(http, path):
    answer = http.delete(path)
    detail = problem(answer, 405, "method_not_allowed")["detail"]
    valid = "GET, POST, HEAD" if path == "/api/v1/plans" else "GET, HEAD"
    assert detail == f"{path} does not take DELETE. Valid: {valid}."
    assert answer.headers["allow"] == valid


def test_an_endpoint_that_is_only_written_to_does_not_offer_to_be_read(http):
    answer = http.get("/api/v1/import")
    detail = problem(answer, 405, "method_not_allowed")["detail"]
    assert detail == "/api/v1/import does not take GET. Valid: POST."


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("hours=0", "hours '0' is not valid: it must be 1 or more"),
        ("hours=49", "hours '49' is not valid: it must be 48 or less"),
        ("window_hours=soon", "window_hours 'soon' is not valid: it must be a whole number"),
    ],
)
def test_a_parameter_out_of_range_is_told_the_range(http, query, says):
    said = problem(http.get(f"/api/v1/market/catalog?{query}"), 422, "invalid")
    assert says in said["detail"]
    assert said["faults"][0]["where"] == f"query.{says.partition(' ')[0]}"
    assert said["faults"][0]["why"] in says


def test_a_body_that_is_no_json_is_told_the_type(http):
    answer = http.post("/health", content=b"a=1", headers={"content-type": "application/x-www-form-urlencoded"})
    assert "application/json" in problem(answer, 415, "unsupported_media_type")["detail"]


def test_a_body_that_is_too_large_is_told_the_limit(http):
    answer = http.post("/health", content=b"1" * 1_000_001, headers={"content-type": "application/json"})
    assert "1,000,000" in problem(answer, 413, "too_large")["detail"]


def test_a_host_that_is_not_ours_is_told_the_valid_ones(http):
    detail = problem(http.get("/health", headers={"host": "example.org"}), 403, "forbidden")["detail"]
    assert "127.0.0.1, ::1, localhost" in detail


def test_a_database_that_is_gone_is_a_problem_and_not_a_hang(cluster, template, api, monkeypatch):
    """503 with what to do; the server lives on, and works again when the database does."""
    monkeypatch.setattr("pylon.store.database._POOL_WAIT_S", 1.0)
    with (
        new_world(cluster, template, "acceptance_gone", api, pool_size=1) as world,
        served(world.runtime()) as client,
        cluster.superuser() as superuser,
    ):
        assert client.get("/api/v1/grid/regional").status_code == 200
        superuser.execute(f"alter database {world.name} allow_connections false")
        superuser.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [world.name])
        said = problem(client.get("/api/v1/grid/regional"), 503, "store_unavailable")
        assert "pylon doctor" in said["detail"]
        assert client.get("/health").status_code == 200
        superuser.execute(f"alter database {world.name} allow_connections true")
        until(lambda: client.get("/api/v1/grid/regional").status_code == 200)


def test_a_fault_of_ours_says_no_more_than_that(world):
    """What went wrong inside is for the server's log, not for whoever asked."""

    def broken() -> datetime:
        raise RuntimeError("the password is hunter2")

    with served(world.runtime(clock=broken)) as client:
        for _ in range(3):  # the client comes through each time, on whichever connection
            said = problem(client.get("/api/v1/grid/regional"), 500, "pylon_error")
        assert "log" in said["detail"]
        assert "hunter2" not in str(said)
        said = problem(client.get("/api/v1/live-state"), 500, "pylon_error")
        assert "hunter2" not in str(said)


# Regions


def test_regional_gives_every_region_now_and_ahead(http, world):
    state = http.get("/api/v1/grid/regional").json()
    assert state["as_of"] == "2026-08-17T08:10:00Z"
    assert state["starts_at"] == "2026-08-17T08:00:00Z"
    assert state["contains_simulated"] is False
    regions = state["regions"]
    assert [region["region_id"] for region in regions] == list(range(1, 18))
    assert [region["short_name"] for region in regions] == [region.short_name for region in REGIONS]
    for region in regions:
        assert len(region["forecast"]) == 96
        assert region["carbon_intensity"] == region["forecast"][0]
        assert 0 <= min(region["forecast"]) <= max(region["forecast"]) < 500
        assert region["generation_mix"].keys() == {fuel.value for fuel in Fuel}
        assert 99 < sum(region["generation_mix"].values()) < 101
        assert (region["data_source"], region["is_simulated"]) == ("carbon_intensity_api", False)
        assert datetime.fromisoformat(region["fetched_at"]) == world.now
    assert regions[0]["carbon_index"] == "very low"  # North Scotland
    assert len({region["carbon_intensity"] for region in regions}) > 10


# Catalog


@pytest.fixture(scope="module")
def catalog(http: httpx2.Client) -> dict[str, Any]:
    said: dict[str, Any] = http.get("/api/v1/market/catalog").json()
    return said


def offers(catalog: dict[str, Any]) -> list[dict[str, Any]]:
    return [offer for one in catalog["catalogs"] for offer in one["offers"]]


def test_the_catalog_speaks_beckn(catalog):
    """Catalogs of resources and offers with attributes of their own; names in camelCase, times in full."""
    assert catalog.keys() == {"asOf", "containsSimulated", "catalogs"}
    for one in catalog["catalogs"]:
        assert one.keys() == {"id", "descriptor", "providerId", "resources", "offers"}
        sites = {resource["id"] for resource in one["resources"]}
        for resource in one["resources"]:
            assert resource.keys() == {"id", "descriptor", "resourceAttributes"}
        for offer in one["offers"]:
            assert offer.keys() == {"id", "descriptor", "resourceIds", "validity", "offerAttributes"}
            assert set(offer["resourceIds"]) <= sites
    assert not [name for name in names_in(catalog) if "_" in name]
    for offer in offers(catalog):
        assert UTC_TIME.fullmatch(offer["validity"]["startsAt"])
        assert UTC_TIME.fullmatch(offer["validity"]["endsAt"])
    assert len({offer["id"] for offer in offers(catalog)}) == len(offers(catalog))


def names_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from names_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from names_in(part)


def test_the_offers_cover_the_next_48_hours_in_windows(catalog, world):
    by_site: dict[str, list[tuple[datetime, datetime]]] = {}
    for offer in offers(catalog):
        window = offer["validity"]
        by_site.setdefault(offer["resourceIds"][0], []).append(
            (datetime.fromisoformat(window["startsAt"]), datetime.fromisoformat(window["endsAt"]))
        )
    for windows in by_site.values():
        assert windows[0][0] == floor(world.now) + HALF_HOUR
        assert windows[-1][1] == floor(world.now) + timedelta(hours=48)
        assert all(earlier[1] == later[0] for earlier, later in pairwise(windows))
        assert all(end - start <= timedelta(hours=4) for start, end in windows)


def test_every_figure_of_an_offer_is_plausible(catalog):
    sites = {
        resource["id"]: resource["resourceAttributes"]
        for one in catalog["catalogs"]
        for resource in one["resources"]
    }
    for offer in offers(catalog):
        said, site = offer["offerAttributes"], sites[offer["resourceIds"][0]]
        assert 0 < said["spareCapacityMw"] < site["totalCapacityMw"] <= 60
        assert 0 <= said["carbonIntensityGco2PerKwh"] < 500
        assert 0 <= said["gridStressScore"] <= 1
        assert -0.2 < said["pricePerKwhGbp"] < 1
        assert said["noticeMins"] >= 30
        # GPU minutes are what the GPUs on site can do in the window at most.
        assert 0 <= said["gpuMinutes"] <= site["gpuCount"] * 240
        assert 1 <= site["pue"] < 2


def test_every_offer_says_what_of_it_is_simulated(catalog):
    assert catalog["containsSimulated"] is True
    for offer in offers(catalog):
        made_up = {
            "spareCapacityMw",
            "gpuMinutes",
            "noticeMins",
            "isInterruptible",
            "gridStressScore",
            "pricePerKwhGbp",
        }
        assert set(offer["offerAttributes"]["simulated"]) == made_up
    for one in catalog["catalogs"]:
        assert all(resource["resourceAttributes"]["isSimulated"] for resource in one["resources"])


def test_the_mean_carbon_of_an_offer_is_its_regions_forecast(catalog, http):
    forecast = {
        region["region_id"]: region["forecast"] for region in http.get("/api/v1/grid/regional").json()["regions"]
    }
    one = catalog["catalogs"][0]
    resource = one["resources"][0]
    offer = next(offer for offer in one["offers"] if offer["resourceIds"] == [resource["id"]])
    window = forecast[resource["resourceAttributes"]["regionId"]][1:9]  # the first opens with the next half hour
    assert offer["offerAttributes"]["carbonIntensityGco2PerKwh"] == pytest.approx(sum(window) / 8, abs=0.05)


def test_how_far_and_how_finely_can_be_asked_for(http, world):
    said = http.get("/api/v1/market/catalog", params={"hours": 3, "window_hours": 1}).json()
    site = offers(said)[0]["resourceIds"]
    windows = [offer["validity"]["startsAt"] for offer in offers(said) if offer["resourceIds"] == site]
    assert windows == ["2026-08-17T08:30:00Z", "2026-08-17T09:30:00Z", "2026-08-17T10:30:00Z"]


def test_a_placed_workload_takes_its_power_from_what_is_offered(http, world):
    """Facility power (IT power times the site's PUE), in the windows the workload runs in and in no other."""
    said = http.get("/api/v1/market/catalog").json()
    one = next(one for one in said["catalogs"] if one["id"] == str(world.operator_id))
    resource = one["resources"][0]
    start = datetime(2026, 8, 17, 13, 45, tzinfo=UTC)
    job = new_id()
    world.execute(
        "insert into compute_workloads (id, job_id, operator_id, host_dc_id, workload_type, duration_mins, "
        "power_kw, status, scheduled_start) values (%s, 'PLACED', %s, %s, 'TRAINING_RUN', 60, 1000, 'QUEUED', %s)",
        job,
        world.operator_id,
        resource["id"],
        start,
    )
    try:
        after = http.get("/api/v1/market/catalog").json()
    finally:
        world.execute("delete from compute_workloads where id = %s", job)
    spare = spare_of(said, resource["id"])
    taken = {opens: round(was - spare_of(after, resource["id"])[opens], 3) for opens, was in spare.items()}
    pue = resource["resourceAttributes"]["pue"]
    assert {opens: mw for opens, mw in taken.items() if mw} == {
        "2026-08-17T12:30:00Z": pytest.approx(pue, abs=0.001)
    }


def spare_of(catalog: dict[str, Any], site: str) -> dict[str, float]:
    return {
        offer["validity"]["startsAt"]: offer["offerAttributes"]["spareCapacityMw"]
        for offer in offers(catalog)
        if offer["resourceIds"] == [site]
    }


@pytest.mark.parametrize("change", ["published = false", "status = 'OFFLINE'", "status = 'MAINTENANCE'"])
def test_a_site_that_is_not_offered_leaves_the_catalog_at_once(http, world, change):
    one = http.get("/api/v1/market/catalog").json()["catalogs"][0]
    site = one["resources"][0]["id"]
    (stored,) = world.select("select published, status::text as status from data_centres where id = %s", site)
    world.execute(f"update data_centres set {change} where id = %s", site)
    try:
        assert site not in http.get("/api/v1/market/catalog").text
    finally:
        world.execute(
            "update data_centres set published = %s, status = %s::public.data_centre_status where id = %s",
            stored["published"],
            stored["status"],
            site,
        )
    assert site in http.get("/api/v1/market/catalog").text


# Slips in parameters


@pytest.mark.parametrize("path", [path for path in ENDPOINTS if path.startswith("/api")])
def test_a_parameter_that_an_endpoint_does_not_have_is_refused(http, path):
    """A slip such as asof for as_of would be answered with another question's answer."""
    detail = problem(http.get(path, params={"asof": "2026-01-01T00:00:00Z"}), 422, "invalid")["detail"]
    assert "'asof'" in detail
    assert "Valid:" in detail or "There are none." in detail


def test_a_parameter_given_twice_is_refused(http):
    twice = "as_of=2026-08-17T08:00:00Z&as_of=2026-08-17T07:00:00Z"
    detail = problem(http.get(f"/api/v1/live-state?{twice}"), 422, "invalid")["detail"]
    assert detail == "The parameter as_of is given twice. Give it once."
