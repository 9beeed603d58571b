"""The live state over real HTTP: one document that agrees with itself, sent no more often than it changes."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
import zstandard

from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.services.status import status
from tests.acceptance.support import World, new_id, new_world, served, until
from tests.doubles.carbon_intensity import StandIn

PATH = "/api/v1/live-state"
SECRET = "argon2-of-the-operators-key"
CODINGS = ("identity", "gzip", "zstd")

# Two tariffs around the half hour of 08:00: what is over, what holds, what is to come, what lies too far ahead.
TARIFFS = (
    ("day and night", "2026-08-16T22:00Z", 80),
    ("day and night", "2026-08-17T06:00Z", 180.5),
    ("day and night", "2026-08-17T22:00Z", None),
    ("day and night", "2026-08-19T07:59Z", 90),
    ("day and night", "2026-08-19T08:00Z", 99),
    ("flat", "2020-01-01T00:00Z", 120),
    ("next year's", "2027-01-01T00:00Z", 130),
)


@pytest.fixture(scope="module")
def full(world: World) -> World:
    """The filled world with a row of every object type, so that every link has an edge to show."""
    world.execute("update operators set api_key_hash = %s where id = %s", SECRET, world.operator_id)
    agent = world.scalar("select id from agents where operator_id = %s order by id limit 1", world.operator_id)
    site = world.scalar("select id from data_centres where operator_id = %s order by id limit 1", world.operator_id)
    workload = world.scalar("select id from compute_workloads where status = 'PENDING' order by id limit 1")
    world.execute("update compute_workloads set host_dc_id = %s where id = %s", site, workload)
    world.execute(
        "insert into agent_states (id, operator_id, agent_id, status) values (%s, %s, %s, 'ACTIVE')",
        new_id(),
        world.operator_id,
        agent,
    )
    asset = world.scalar(
        "select id from storage_assets where operator_id = %s order by id limit 1", world.operator_id
    )
    world.execute(
        "insert into orchestration_decisions (id, decision_id, operator_id, decision_type, agent_id, workload_id, "
        "storage_asset_id, reasoning, seq, content, prev_hash, hash) "
        "values (%s, 'D-1', %s, 'ACCEPT_WORKLOAD', %s, %s, %s, 'because', 1, '{}', '', '')",
        new_id(),
        world.operator_id,
        agent,
        workload,
        asset,
    )
    world.execute(
        "insert into load_limits (id, operator_id, data_centre_id, starts_at, max_power_mw, reason) "
        "values (%s, %s, %s, '2026-08-17T06:00Z', 5, 'works')",
        new_id(),
        world.operator_id,
        site,
    )
    plan = new_id()
    world.execute(
        "insert into plans (id, plan_id, operator_id, status, trigger, requested_at) "
        "values (%s, 'P-000001', %s, 'QUEUED', 'test', '2026-08-17T08:00Z')",
        plan,
        world.operator_id,
    )
    world.execute("update compute_workloads set plan_id = %s where id = %s", plan, workload)
    for tariff, starts_at, price in TARIFFS:
        world.execute(
            "insert into tariff_rates (id, operator_id, tariff, starts_at, price_gbp_mwh) "
            "values (%s, %s, %s, %s, %s)",
            new_id(),
            world.operator_id,
            tariff,
            starts_at,
            price,
        )
    return world


@pytest.fixture(scope="module")
def state(full: World, http: httpx2.Client) -> dict[str, Any]:
    said: dict[str, Any] = http.get(PATH).json()
    return said


# What it says


def test_it_holds_every_object_type_by_name(state):
    assert state["objects"].keys() == OBJECT_TYPES.keys()
    assert all(state["objects"].values()), "there is at least one of each"
    assert len(state["objects"]["Region"]) == len(state["objects"]["RegionalGridSignal"]) == 17
    assert len(state["objects"]["GenerationMix"]) == 18 * 9
    (signal,) = state["objects"]["GridSignal"]
    assert signal["timestamp"] == "2026-08-17T08:00:00Z"


def test_its_counts_agree_with_its_own_objects_and_with_the_status(state, full):
    stock = {(held["object_type"], held["quantity"]): held["rows"] for held in state["stock"]}
    for name in ("DataCentre", "StorageAsset", "Agent", "ComputeWorkload"):
        assert stock[name, ""] == len(state["objects"][name])
    assert stock["CarbonFactor", "factors"] == len(state["carbon_factors"]) == 14
    for quantity in ("carbon", "demand", "price", "stress", "mix"):
        assert stock["GridSignal", quantity] == 96
    assert stock["RegionalGridSignal", "carbon"] == 96 * 17
    shown = status(full.database, full.operator_id, full.now).stock
    assert state["stock"] == [json.loads(held.model_dump_json()) for held in shown]


def test_of_the_tariffs_it_shows_what_holds_and_what_begins_within_48_hours(state):
    shown = [
        (rate["tariff"], rate["starts_at"][:16], rate["price_gbp_mwh"]) for rate in state["objects"]["TariffRate"]
    ]
    assert shown == [
        ("day and night", "2026-08-17T06:00", 180.5),
        ("day and night", "2026-08-17T22:00", None),
        ("day and night", "2026-08-19T07:59", 90),
        ("flat", "2020-01-01T00:00", 120),
    ]
    assert state["truncated"]["TariffRate"] == len(TARIFFS)


def test_both_ends_of_every_link_are_in_it(state):
    present = {name: {row["id"] for row in rows} for name, rows in state["objects"].items()}
    for link in state["links"]:
        assert link["source_id"] in present[link["source_type"]], link
        assert link["target_id"] in present[link["target_type"]], link
    assert max(Counter(tuple(sorted(link.items())) for link in state["links"]).values()) == 1


def test_every_link_type_of_the_ontology_that_has_rows_is_in_it(state):
    """All but CONSUMED, which lies between objects and has no rows yet."""
    declared = {(link.name, link.source, link.target) for link in LINKS if link.name != "CONSUMED"}
    assert {(link["link"], link["source_type"], link["target_type"]) for link in state["links"]} == declared


def test_every_row_that_names_another_has_its_link(state):
    """The foreign keys of the objects and the edges are two tellings of one thing."""
    edges = {(link["link"], link["source_id"], link["target_id"]) for link in state["links"]}
    for site in state["objects"]["DataCentre"]:
        assert ("LOCATED_IN", site["id"], site["region_id"]) in edges
        assert ("OPERATED_BY", site["id"], site["operator_id"]) in edges
    for signal in state["objects"]["RegionalGridSignal"]:
        assert ("HAS_SIGNAL", signal["region_id"], signal["id"]) in edges
    for share in state["objects"]["GenerationMix"]:
        assert ("HAS_MIX", share["grid_signal_id"] or share["regional_signal_id"], share["id"]) in edges


def test_the_series_are_48_hours_of_half_hours_from_this_one_on(state):
    signals = state["signals"]
    assert (signals["starts_at"], signals["step_mins"], signals["half_hours"]) == ("2026-08-17T08:00:00Z", 30, 96)
    for name, series in signals["national"].items():
        for values in series.values() if name == "provenance" else [series]:
            assert len(values) == 96, name
    assert [region["region_id"] for region in signals["regional"]] == list(range(1, 18))
    for region in signals["regional"]:
        assert len(region["carbon_intensity_forecast"]) == len(region["data_source"]) == 96
    (present,) = state["objects"]["GridSignal"]
    for name, series in signals["national"].items():
        if name != "provenance":
            assert series[0] == present[name]


def test_its_figures_are_plausible(state):
    national = state["signals"]["national"]
    assert all(20 < value < 450 for value in national["carbon_intensity_forecast"])
    assert all(10_000 < value < 60_000 for value in national["demand_mw"])
    assert all(-100 < value < 1000 for value in national["wholesale_price_gbp_mwh"])
    assert all(0 <= value <= 1 for value in national["grid_stress_score"])
    assert national["carbon_intensity_actual"] == [None] * 96  # nothing of this half hour and later has an actual


def test_what_is_simulated_is_named_and_noticed(state):
    assert state["contains_simulated"] is True
    assert "made up by Pylon" in state["notice"]
    assert state["simulated"] == [
        "Agent",
        "ComputeWorkload",
        "DataCentre",
        "GridSignal.demand",
        "GridSignal.price",
        "GridSignal.stress",
        "StorageAsset",
    ]
    assert {held["is_simulated"] for held in state["stock"] if held["object_type"] == "DataCentre"} == {True}
    assert set(state["signals"]["national"]["provenance"]["carbon"]) == {"carbon_intensity_api"}
    assert set(state["signals"]["national"]["provenance"]["price"]) == {"simulated"}


def test_it_says_of_when_it_is_and_how_old_each_source_is(state, full):
    assert datetime.fromisoformat(state["as_of"]) == full.now
    assert state["age_s"].keys() == {source["name"] for source in state["sources"]}
    assert answered(state) == {0}
    assert state["run"]["status"] == full.scalar("select status::text from pipeline_runs")
    for source in state["sources"]:
        assert {"title", "data_source", "licence", "attribution", "outcome"} <= source.keys()


def answered(state: dict[str, Any]) -> set[int | None]:
    """Return the ages of the sources that ever answered; no other has one."""
    ages = {source["name"]: source["fetched_at"] is not None for source in state["sources"]}
    assert {name for name, age in state["age_s"].items() if age is None} == {
        name for name, has_answered in ages.items() if not has_answered
    }
    return {age for name, age in state["age_s"].items() if ages[name]}


def test_no_secret_is_in_it(state, http):
    """Neither the value nor the column, in any endpoint."""
    for path in http.get("/").json()["endpoints"]:
        text = http.get(path).text
        assert SECRET not in text
        assert "api_key_hash" not in text


def test_time_between_the_half_hours_does_not_move_it(full):
    at = full.now + timedelta(minutes=19, seconds=59)
    with served(full.runtime(clock=lambda: at)) as client:
        said = client.get(PATH).json()
    assert said["signals"]["starts_at"] == "2026-08-17T08:00:00Z"
    assert answered(said) == {19 * 60 + 59}


# How it is sent


def raw(client: httpx2.Client, method: str = "GET", **headers: str) -> tuple[httpx2.Response, bytes]:
    """Return an answer and its bytes as they were sent, still compressed; uncompressed unless asked otherwise."""
    named = {name.replace("_", "-"): value for name, value in {"accept_encoding": "identity", **headers}.items()}
    with client.stream(method, PATH, headers=named) as answer:
        return answer, b"".join(answer.iter_raw())


def unpacked(coding: str | None, body: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompress(body)
    assert coding is None
    return body


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("identity", None),
        ("", None),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, br", None),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd; q=0.0, gzip;q=0.000", None),
        ("gzip;q=0.5, zstd;q=0.5", "zstd"),
        ("gzip;q=1.0, *;q=0", "gzip"),
        ("*;q=0, identity", None),
        ("*", None),
        ("gzipped, x-zstd", None),
    ],
)
def test_the_coding_is_one_that_the_client_takes(http, asked, sent):
    answer, body = raw(http, accept_encoding=asked)
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding") == sent
    assert int(answer.headers["content-length"]) == len(body)
    assert json.loads(unpacked(sent, body))["signals"]["half_hours"] == 96


def test_every_coding_holds_the_same_document_under_a_tag_of_its_own(http):
    answers = {coding: raw(http, accept_encoding=coding) for coding in CODINGS}
    documents = {unpacked(answer.headers.get("content-encoding"), body) for answer, body in answers.values()}
    assert len(documents) == 1
    tags = {answer.headers["etag"] for answer, _ in answers.values()}
    assert len(tags) == 3
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags), "a strong tag names bytes"
    sizes = {coding: len(body) for coding, (_, body) in answers.items()}
    assert sizes["zstd"] < sizes["gzip"] < sizes["identity"] / 4


def test_its_headers_say_how_it_may_be_kept(http):
    answer, _ = raw(http)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("coding", CODINGS)
def test_who_has_it_already_is_sent_nothing(http, coding):
    tag = raw(http, accept_encoding=coding)[0].headers["etag"]
    for match in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        answer, body = raw(http, accept_encoding=coding, if_none_match=match)
        assert (answer.status_code, body) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["vary"] == "accept-encoding"
        assert answer.headers["cache-control"] == "no-cache"
    assert raw(http, accept_encoding=coding, if_none_match='"other"')[0].status_code == 200


@pytest.mark.parametrize("coding", CODINGS)
def test_head_is_get_without_the_body(http, coding):
    (get, _), (head, body) = (raw(http, method, accept_encoding=coding) for method in ("GET", "HEAD"))
    assert body == b""
    assert head.status_code == 200
    volatile = {"date"}
    assert {key: value for key, value in head.headers.items() if key not in volatile} == {
        key: value for key, value in get.headers.items() if key not in volatile
    }
    assert raw(http, "HEAD", accept_encoding=coding, if_none_match=head.headers["etag"])[0].status_code == 304


# When it changes


@pytest.fixture
def moving(cluster: Any, template: str, api: StandIn) -> Iterator[tuple[World, httpx2.Client]]:
    """A world of its own, whose clock may be moved."""
    api.reset()
    with new_world(cluster, template, "acceptance_moving", api) as world:
        world.run()
        with served(world.runtime()) as client:
            yield world, client
    api.reset()


def tag_of(client: httpx2.Client) -> str:
    return raw(client)[0].headers["etag"]


def test_a_write_shows_within_about_a_second_and_nothing_else_changes_the_tag(moving):
    world, client = moving
    body = raw(client)[1]

    world.api.clock.advance(timedelta(minutes=4))  # time alone
    time.sleep(1.05)
    assert raw(client)[1] == body

    run = world.run()
    assert run.rows_written == 0
    time.sleep(1.05)
    assert client.get(PATH).json()["run"]["id"] == str(run.run_id)  # the values were confirmed: that is news
    unchanged = tag_of(client)

    world.execute("update data_centres set name = 'Renamed' where operator_id = %s", world.operator_id)
    began = time.monotonic()
    until(lambda: tag_of(client) != unchanged)
    assert time.monotonic() - began < 10, "a look a second, and the time it takes to build it on a busy machine"
    assert client.get(PATH).json()["objects"]["DataCentre"][0]["name"] == "Renamed"


def test_the_next_half_hour_is_another_document(moving):
    world, client = moving
    before = client.get(PATH)
    world.api.clock.now = floor(world.now) + HALF_HOUR
    until(lambda: tag_of(client) != raw_tag(before))
    after = client.get(PATH).json()
    assert after["signals"]["starts_at"] == "2026-08-17T08:30:00Z"
    assert after["signals"]["national"]["carbon_intensity_forecast"][-1] is None  # until the next run


def raw_tag(answer: httpx2.Response) -> str:
    """Return the tag of the plain representation of what `answer` holds."""
    return answer.headers["etag"].replace("-zstd", "").replace("-gzip", "")
