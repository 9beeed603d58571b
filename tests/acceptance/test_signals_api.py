"""Signals, skill, sources and quality over real HTTP, after two runs of the pipeline half an hour apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from pylon.services.series import SERIES
from tests.acceptance.support import World, new_world, served
from tests.acceptance.test_api import problem
from tests.doubles.carbon_intensity import StandIn

CARBON = "/api/v1/signals/national.carbon_intensity_forecast"
FIRST_RUN, SECOND_RUN = datetime(2026, 8, 17, 8, 10, tzinfo=UTC), datetime(2026, 8, 17, 8, 40, tzinfo=UTC)
BETWEEN = "2026-08-17T08:15:00Z"


@pytest.fixture(scope="module")
def twice(cluster: Any, template: str, api: StandIn) -> Iterator[World]:
    """A world of which the pipeline has run twice: at 08:10 and at 08:40."""
    api.reset()
    with new_world(cluster, template, "acceptance_signals", api) as world:
        world.run()
        api.clock.advance(timedelta(minutes=30))
        world.run()
        yield world
    api.reset()


@pytest.fixture(scope="module")
def http(twice: World) -> Iterator[httpx2.Client]:
    with served(twice.runtime()) as client:
        yield client


def said(http: httpx2.Client, path: str, **words: str) -> dict[str, Any]:
    answer = http.get(path, params=words)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# The list


def test_the_list_names_every_series_and_each_name_is_a_path(http):
    listed = said(http, "/api/v1/signals")["signals"]
    assert [one["name"] for one in listed] == list(SERIES)
    for one in listed:
        reading = said(http, f"/api/v1/signals/{one['name']}")
        assert (reading["name"], reading["unit"], reading["doc"]) == (one["name"], one["unit"], one["doc"])
        assert len(reading["values"]) == 96
        given = {row["source"] for row in reading["values"]} - {None}
        assert given <= set(one["sources"])
    carbon = listed[0]
    assert carbon["sources"] == ["carbon_intensity_api"]
    assert (carbon["first_half_hour"], carbon["latest_vintage_at"]) == (
        "2026-08-16T08:00:00Z",
        "2026-08-17T08:40:00Z",
    )


# One signal


def test_a_signal_is_what_the_live_state_shows(http):
    reading, state = said(http, CARBON), said(http, "/api/v1/live-state")
    assert reading["starts_at"] == state["signals"]["starts_at"] == "2026-08-17T08:30:00Z"
    assert [row["value"] for row in reading["values"]] == state["signals"]["national"]["carbon_intensity_forecast"]
    assert {row["source"] for row in reading["values"]} == {"carbon_intensity_api"}
    assert [one["data_source"] for one in reading["attributions"]] == ["carbon_intensity_api"]
    assert "CC BY 4.0" in reading["attributions"][0]["attribution"]
    assert (reading["contains_simulated"], reading["notice"], reading["is_latest"]) == (False, None, True)
    assert reading["run"]["id"] == state["run"]["id"]
    assert (reading["withheld"], reading["missing"], reading["notes"]) == ([], [], [])


def test_a_simulated_value_says_so_in_every_row_and_above_them(http):
    reading = said(http, "/api/v1/signals/national.demand_mw")
    assert {(row["source"], row["is_simulated"]) for row in reading["values"]} == {("simulated", True)}
    assert reading["contains_simulated"] is True
    assert "made up by Pylon" in reading["notice"]
    assert reading["attributions"] == []


def test_a_signal_as_it_was_known_is_the_earlier_vintage(http, twice):
    then = said(http, CARBON, as_of=BETWEEN)
    assert (then["as_of"], then["is_latest"], then["starts_at"]) == (BETWEEN, False, "2026-08-17T08:00:00Z")
    assert {row["recorded_at"] for row in then["values"]} == {"2026-08-17T08:10:00Z"}
    first, second = twice.select("select id from pipeline_runs order by started_at")
    assert then["run"] == {"id": str(first["id"]), "finished_at": "2026-08-17T08:10:00Z"}
    now = said(http, CARBON, as_of="2026-08-17T08:40:00Z")
    assert now["run"]["id"] == str(second["id"])
    assert {row["recorded_at"] for row in now["values"]} == {"2026-08-17T08:40:00Z"}
    vintage = twice.scalar(
        "select half_hour_values from signal_vintages where series = 'national.carbon_intensity_forecast' "
        "order by recorded_at limit 1"
    )
    assert [row["value"] for row in then["values"]] == vintage[-96:]


def test_before_anything_was_recorded_there_is_nothing_and_it_says_why(http):
    then = said(http, CARBON, as_of="2026-08-17T08:09:59Z")
    assert {row["value"] for row in then["values"]} == {None}
    assert then["run"] is None
    assert then["notes"] == ["No run of the pipeline had committed by then."]
    (gap,) = then["missing"]
    assert gap["half_hours"] == 96
    assert "the first was at 2026-08-17T08:10:00Z" in gap["reason"]


def test_a_span_may_be_given_in_any_zone_and_is_floored(http):
    reading = said(http, CARBON, **{"from": "2026-08-17T08:10:00+01:00", "to": "2026-08-17T09:30:00Z"})
    assert (reading["starts_at"], reading["ends_at"]) == ("2026-08-17T07:00:00Z", "2026-08-17T09:30:00Z")
    assert reading["notes"] == ["`from` was floored to the half hour 2026-08-17T07:00Z."]
    assert [row["starts_at"][11:16] for row in reading["values"]] == ["07:00", "07:30", "08:00", "08:30", "09:00"]


def test_a_flag_withholds_its_half_hour_here_and_in_the_list_of_flags(http, twice):
    twice.execute(
        "insert into quality_flags (series, starts_at, rule, raw, reason, run_id, flagged_at) values "
        "('national.carbon_intensity_actual', '2026-08-17T07:00Z', 'national_zero', '0', "
        "'Zero is never legal.', gen_random_uuid(), '2026-08-17T08:40Z')"
    )
    try:
        span = {"from": "2026-08-17T06:30:00Z", "to": "2026-08-17T07:30:00Z"}
        path = "/api/v1/signals/national.carbon_intensity_actual"
        for words in (span, {**span, "as_of": "2026-08-17T08:40:00Z"}):
            reading = said(http, path, **words)
            assert [row["value"] is None for row in reading["values"]] == [False, True]
            (one,) = reading["withheld"]
            assert (one["rule"], one["raw"], one["reason"]) == (
                "national_zero",
                0,
                "Zero is never legal.",
            )
        assert said(http, path, **span, as_of=BETWEEN)["withheld"] == []
        (listed,) = said(http, "/api/v1/quality")["flags"]
        assert (listed["series"], listed["cleared_at"]) == ("national.carbon_intensity_actual", None)
        states = {one["name"]: one for one in said(http, "/api/v1/sources")["sources"]}
        assert states["carbon_intensity_national"]["withheld"] == {"national_zero": 1}
        assert states["carbon_intensity_regional"]["withheld"] == {}
        assert (
            said(http, "/api/v1/live-state", as_of="2026-08-17T08:40:00Z")["withheld"] == {}
        )  # of the half hours ahead
    finally:
        twice.execute("delete from quality_flags")


# Skill


def test_skill_compares_the_first_forecast_with_what_came(http, twice):
    """No half hour that was forecast at 08:10 is over and measured at 08:40: nothing is made up."""
    found = said(http, f"{CARBON}/skill")
    assert found["scores"] == []
    assert "Nothing to compare" in found["notes"][-1]
    twice.execute("update grid_signals set carbon_intensity_actual = 100 where timestamp = '2026-08-17T08:30Z'")
    try:
        (score,) = said(http, f"{CARBON}/skill", to="2026-08-17T09:00:00Z")["scores"]
    finally:
        twice.execute(
            "update grid_signals set carbon_intensity_actual = null where timestamp = '2026-08-17T08:30Z'"
        )
    forecast = said(http, CARBON, as_of=BETWEEN)["values"][1]["value"]
    assert (score["source"], score["is_simulated"], score["n"]) == ("carbon_intensity_api", False, 1)
    assert (score["from_h"], score["to_h"]) == (0, 1)
    assert score["bias"] == pytest.approx(forecast - 100)
    assert score["mae"] == score["rmse"] == score["p95_abs_error"] == abs(score["bias"])


def test_a_series_nobody_measures_says_which_can_be_scored(http):
    refused = problem(http.get("/api/v1/signals/region.13.carbon_intensity_forecast/skill"), 422, "invalid")
    assert "national.carbon_intensity_forecast, national.demand_mw" in refused["detail"]


# Sources


def test_every_source_says_its_terms_and_how_it_fared(http):
    states = {one["name"]: one for one in said(http, "/api/v1/sources")["sources"]}
    carbon, made_up = states["carbon_intensity_national"], states["gb_simulator"]
    assert (carbon["outcome"], carbon["age_s"], carbon["last_answered_at"]) == ("ok", 0, "2026-08-17T08:40:00Z")
    assert (carbon["api"], carbon["licence"], carbon["supplies"]) == ("carbon_intensity", "CC BY 4.0", ["carbon"])
    assert carbon["homepage"].startswith("https://")
    assert carbon["limits"]
    assert (made_up["is_simulated"], made_up["rank"], made_up["gaps"]) == (True, 0, [])
    gaps = {lack["quantity"]: lack for lack in carbon["gaps"]}
    assert gaps.keys() == {"national.carbon_intensity_forecast", "national.carbon_intensity_actual"}
    (gap,) = gaps["national.carbon_intensity_actual"]["gaps"]
    assert (gap["start"], gap["end"]) == ("2026-08-10T08:30:00Z", "2026-08-16T08:00:00Z")  # before the first run


# The state and the regions as they were


def test_the_live_state_as_it_was_known(http, twice):
    then, now = said(http, "/api/v1/live-state", as_of=BETWEEN), said(http, "/api/v1/live-state")
    assert then["signals"].keys() == now["signals"].keys()
    assert then["signals"]["national"].keys() == now["signals"]["national"].keys()
    assert then["signals"]["starts_at"] == "2026-08-17T08:00:00Z"
    first = twice.select("select id from pipeline_runs order by started_at limit 1")[0]
    assert then["run"]["id"] == str(first["id"]) != now["run"]["id"]
    assert then["age_s"]["carbon_intensity_national"] == 5 * 60
    assert {"Operator", "DataCentre", "GenerationMix", "CarbonFactor"} <= set(then["not_versioned"])
    assert then["objects"].keys() == {"Region"}
    assert then["simulated"] == ["GridSignal.demand", "GridSignal.price", "GridSignal.stress"]
    carbon = said(http, CARBON, as_of=BETWEEN)["values"]
    assert then["signals"]["national"]["carbon_intensity_forecast"] == [row["value"] for row in carbon]
    held = {(one["object_type"], one["quantity"]): one for one in then["stock"]}
    assert held["RegionalGridSignal", "carbon"]["rows"] == 17 * 96
    assert held["GridSignal", "demand"]["is_simulated"] is True


def test_at_the_last_run_the_past_state_is_the_present_one(http):
    """Both are read in the half hour of that run: one from the vintages, one from the latest view."""
    then, now = said(http, "/api/v1/live-state", as_of="2026-08-17T08:40:00Z"), said(http, "/api/v1/live-state")
    for part in ("starts_at", "half_hours", "regional"):
        assert then["signals"][part] == now["signals"][part], part
    shown = set(now["signals"]["national"]) - {"provenance"}
    assert {
        name for name in shown if then["signals"]["national"][name] != now["signals"]["national"][name]
    } == set()
    for quantity, labels in then["signals"]["national"]["provenance"].items():
        assert labels == now["signals"]["national"]["provenance"][quantity]
    assert (then["run"], then["age_s"], then["sources"]) == (now["run"], now["age_s"], now["sources"])


def test_a_query_is_answered_and_the_plain_address_keeps_its_tag(http):
    tag = http.get("/api/v1/live-state").headers["etag"]
    assert "etag" not in http.get("/api/v1/live-state", params={"as_of": BETWEEN}).headers
    assert http.get("/api/v1/live-state").headers["etag"] == tag
    assert http.head("/api/v1/live-state", params={"as_of": BETWEEN}).content == b""


def test_the_regions_as_they_were_known(http):
    then = said(http, "/api/v1/grid/regional", as_of=BETWEEN)
    assert (then["starts_at"], then["not_versioned"]) == ("2026-08-17T08:00:00Z", ["generation_mix"])
    assert {region["generation_mix"] for region in then["regions"]} == {None}
    assert {region["fetched_at"] for region in then["regions"]} == {"2026-08-17T08:10:00Z"}
    at_last = said(http, "/api/v1/grid/regional", as_of="2026-08-17T08:40:00Z")["regions"]
    assert [one["forecast"] for one in at_last] == [
        one["forecast"] for one in said(http, "/api/v1/grid/regional")["regions"]
    ]


# What is refused

AS_OF_PATHS = (CARBON, "/api/v1/live-state", "/api/v1/grid/regional")


@pytest.mark.parametrize("path", AS_OF_PATHS)
def test_the_future_is_not_known(http, path):
    refused = problem(http.get(path, params={"as_of": "2026-08-17T08:40:01Z"}), 422, "invalid")
    assert "in the future" in refused["detail"]
    assert "2026-08-17T08:40:00Z" in refused["detail"]


@pytest.mark.parametrize(
    "time_text",
    [
        "",
        "now",
        "0",
        "1755000000",
        "2026-08-17",
        "2026-08-17T08:00:00",  # no zone
        "2026-08-17T08:00:00 01:00",  # a + that was not encoded
        "2026-08-17T25:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-08-17T08:00:00+99:99",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1999-12-31T23:59:59Z",
        "2026-W34-1T08:00:00Z",
        "20260817T080000Z",
        "２０２６-08-17T08:00:00Z",
        "2026-08-17T08:00:00Z' or '1'='1",
        "2026-08-17T08:00:00Z\x00",
        "-infinity",
        "2" * 5000,
    ],
)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        (CARBON, "from"),
        (CARBON, "to"),
        (CARBON, "as_of"),
        (f"{CARBON}/skill", "from"),
        ("/api/v1/quality", "to"),
        ("/api/v1/live-state", "as_of"),
        ("/api/v1/grid/regional", "as_of"),
    ],
)
def test_a_time_that_is_none_is_told_what_is_valid(http, path, name, time_text):
    refused = problem(http.get(path, params={name: time_text}), 422, "invalid")
    assert refused["detail"].startswith(f"{name} ")
    assert "such as 2026-11-22T09:00:00Z" in refused["detail"]
    assert "Value error" not in refused["detail"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"from": "2026-08-17T08:00:00Z", "to": "2026-08-17T08:00:00Z"}, "at least half an hour before"),
        ({"from": "2026-08-18T08:00:00Z", "to": "2026-08-17T08:00:00Z"}, "at least half an hour before"),
        ({"from": "2026-08-17T08:01:00Z", "to": "2026-08-17T08:29:00Z"}, "floored to the half hour"),
        ({"from": "2025-08-17T08:00:00Z", "to": "2026-08-18T08:30:00Z"}, "days are too many at once"),
        ({"from": "2000-01-01T00:00:00Z", "to": "2099-12-31T00:00:00Z"}, "days are too many at once"),
    ],
)
@pytest.mark.parametrize("path", [CARBON, f"{CARBON}/skill"])
def test_a_span_that_cannot_be_read_is_told_what_is_valid(http, path, words, says):
    assert says in problem(http.get(path, params=words), 422, "invalid")["detail"]


def test_skill_takes_fewer_days_than_reading(http):
    quarter = {"from": "2026-05-17T08:00:00Z", "to": "2026-08-17T08:30:00Z"}
    assert "at most 92 days" in problem(http.get(f"{CARBON}/skill", params=quarter), 422, "invalid")["detail"]
    assert http.get(CARBON, params=quarter).status_code == 200


def test_the_ends_of_what_times_are_valid_are_answered(http):
    assert len(said(http, CARBON, **{"from": "2099-12-31T23:30:00Z"})["values"]) == 96
    assert {row["value"] for row in said(http, CARBON, as_of="2000-01-01T00:00:00Z")["values"]} == {None}
    assert said(http, f"{CARBON}/skill", to="2000-01-01T00:00:00Z")["scores"] == []


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("national.carbon_intensity", "national.carbon_intensity_forecast"),
        ("national.demand", "national.demand_mw"),
        ("region.18.carbon_intensity_forecast", "region.1"),
        ("region.13", "The closest: region.13.carbon_intensity_forecast. "),
        ("NATIONAL.DEMAND_MW", "national."),
        ("national.demand_mw;drop table grid_signals", "national.demand_mw"),
        ("%00", "national."),
        ("x" * 4000, "national."),
        ("region.١.carbon_intensity_forecast", "region."),
    ],
)
@pytest.mark.parametrize("suffix", ["", "/skill"])
def test_a_name_that_is_no_signal_is_told_the_closest(http, name, closest, suffix):
    refused = problem(http.get(f"/api/v1/signals/{name}{suffix}"), 404, "not_found")
    assert closest in refused["detail"]
    assert "GET /api/v1/signals" in refused["detail"]
    assert len(refused["detail"]) < 600


def test_flags_of_no_signal_and_of_an_empty_span_are_refused(http):
    problem(http.get("/api/v1/quality", params={"series": "nothing"}), 404, "not_found")
    words = {"from": "2026-08-17T08:00:00Z", "to": "2026-08-16T08:00:00Z"}
    assert "before" in problem(http.get("/api/v1/quality", params=words), 422, "invalid")["detail"]


def test_a_year_of_half_hours_is_answered(http):
    reading = said(http, CARBON, **{"from": "2025-08-18T00:00:00Z", "to": "2026-08-19T00:00:00Z"})
    assert len(reading["values"]) == 366 * 48
    assert (
        sum(row["value"] is not None for row in reading["values"]) == 2 * 64
    )  # 64 hours: from a day before the first run to the end of that span
