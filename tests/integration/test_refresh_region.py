"""One region asked for on demand: what is asked, what is stored, and how often it may be asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from pylon.errors import Conflict, NotFound, SourceUnavailable
from pylon.ontology.calendar import floor, half_hours
from pylon.services.refresh_region import APART, RefreshedRegion, refresh_region, region_state
from pylon.sources.carbon_intensity import DATA_SOURCE, Regional
from pylon.sources.feed import SIMULATED
from tests.acceptance.support import World, new_id, new_world, served
from tests.doubles import carbon_series
from tests.doubles.answers import Answer, server_error
from tests.doubles.carbon_intensity import Fault, StandIn
from tests.doubles.postgres import Cluster

LONDON, PATH = 13, "/regional/intensity/2026-08-17T08:00Z/fw48h/regionid/13"


@pytest.fixture
def world(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    with new_world(cluster, template, "region", api, grid="real", synthetic="off") as made:
        yield made


@pytest.fixture
def http(world: World) -> Iterator[httpx2.Client]:
    with served(world.runtime()) as client:
        yield client


def refresh(world: World, number: int = LONDON) -> RefreshedRegion:
    return refresh_region(world.database, world.settings, number, run_id=new_id(), now=world.now)


def rows(world: World) -> list[dict[str, Any]]:
    return world.select(
        "select r.region_id as number, s.* from regional_grid_signals s join regions r on r.id = s.region_id "
        "order by r.region_id, s.timestamp"
    )


def test_one_request_brings_the_region_s_next_48_hours(world, api):
    said = refresh(world)
    assert [seen.path for seen in api.requests] == [PATH]
    now = floor(world.now)
    ahead = list(half_hours(now, now + timedelta(hours=48)))
    expected = [round((carbon_series.made_up(at).forecast or 0) * carbon_series.REGIONS[LONDON][2]) for at in ahead]
    assert (said.was_asked, said.region.region_id, said.half_hours_missing) == (True, LONDON, 0)
    assert said.region.forecast == expected
    assert (said.region.data_source, said.contains_simulated) == (DATA_SOURCE, False)
    assert {(row["number"], row["data_source"]) for row in rows(world)} == {(LONDON, DATA_SOURCE)}
    assert [row["carbon_intensity_forecast"] for row in rows(world)] == expected
    assert said.rows_written == 96 * (1 + 9)
    (vintage,) = world.select("select * from signal_vintages")
    assert (vintage["series"], vintage["half_hour_values"]) == (
        "region.13.carbon_intensity_forecast",
        list(map(float, expected)),
    )
    assert region_state(world.database, LONDON, world.now).region == said.region


@pytest.mark.parametrize("fault", [Fault.OTHER_CONTAINERS, Fault.SHUFFLED_KEYS])
def test_a_list_for_the_usual_object_is_read_as_well(world, api, fault):
    api.faults.add(fault)
    assert refresh(world).region.forecast.count(None) == 0
    assert len(rows(world)) == 96


def test_what_the_pipeline_stores_for_the_region_is_the_same(world):
    world.run(sources=[Regional()])
    before = world.fingerprint()
    world.api.clock.advance(APART)
    said = refresh(world)
    assert (said.was_asked, said.rows_written) == (True, 0)
    after = world.fingerprint()
    assert {table for table in after if after[table] != before[table]} <= {"signal_vintages"}


def test_within_a_minute_the_api_is_not_asked_again(world, api):
    refresh(world)
    api.clock.advance(APART - timedelta(seconds=1))
    again = refresh(world)
    assert (again.was_asked, again.rows_written, api.count()) == (False, 0, 1)
    assert again.region.forecast.count(None) == 0
    assert refresh(world, 12).was_asked  # another region has a minute of its own
    api.clock.advance(timedelta(seconds=1))
    assert refresh(world).was_asked
    api.clock.advance(timedelta(seconds=30))
    assert not refresh(world).was_asked, "nothing had changed, and still it was asked for half a minute ago"


def test_of_many_that_ask_at_once_one_asks_the_api(world, api):
    said: list[RefreshedRegion] = []
    threads = [threading.Thread(target=lambda: said.append(refresh(world))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.was_asked for one in said) == [False] * 5 + [True]
    assert api.count() == 1


def test_a_region_is_not_asked_for_while_the_pipeline_runs(world):
    """The run has asked for all regions already, and stores its answer last: a newer one would be lost under it."""
    done: list[RefreshedRegion] = []
    report = world.run(sources=[Regional()], progress=lambda *_: done.append(refresh(world)))
    assert report.status == "SUCCEEDED"
    assert not done[0].was_asked
    world.api.clock.advance(APART)
    assert refresh(world).was_asked


def test_an_api_that_does_not_answer_leaves_what_is_stored(world, api):
    refresh(world)
    before = rows(world)
    api.clock.advance(APART)
    api.answer(server_error(), times=None)
    with pytest.raises(SourceUnavailable, match="answered 500"):
        refresh(world)
    assert rows(world) == before
    assert not refresh(world).was_asked  # that it failed is no reason to ask it again at once


def test_another_region_s_rows_are_not_stored_under_this_one(world, api):
    api.answer(api_body(world, 12), path=PATH)
    with pytest.raises(SourceUnavailable, match="no data"):
        refresh(world)
    assert rows(world) == []


def api_body(world: World, number: int) -> Answer:
    return Answer(body=httpx2.get(f"{world.api.url}{PATH.removesuffix('13')}{number}").content)


def test_a_real_value_replaces_a_simulated_one(world):
    world.with_settings(grid="simulated").run()
    assert region_state(world.database, LONDON, world.now).contains_simulated
    world.api.clock.advance(APART)
    said = refresh(world)
    assert (said.contains_simulated, said.region.data_source) == (False, DATA_SOURCE)
    other = region_state(world.database, 12, world.now)
    assert (other.contains_simulated, other.region.data_source) == (True, SIMULATED)


def test_where_only_simulated_data_are_wanted_no_api_is_asked(world, api):
    with pytest.raises(Conflict, match="PYLON_GRID=simulated"):
        refresh(world.with_settings(grid="simulated"))
    assert api.requests == []


@pytest.mark.parametrize("number", [0, 18, -1, 99])
def test_a_number_that_is_no_region_is_refused(world, api, number):
    with pytest.raises(NotFound, match=f"no region {number}. Valid: 1 to 17"):
        refresh(world, number)
    assert api.requests == []


# Over HTTP


def test_over_http_a_region_is_read_refreshed_and_read(world, http):
    empty = http.get("/api/v1/grid/regional/13").json()
    assert (empty["region"]["carbon_intensity"], empty["region"]["forecast"][0]) == (None, None)
    answer = http.post("/api/v1/grid/regional/13/refresh")
    assert (answer.status_code, answer.json()["was_asked"]) == (200, True)
    stored = http.get("/api/v1/grid/regional/13").json()
    assert stored["region"] == answer.json()["region"]
    assert None not in stored["region"]["forecast"]
    assert http.post("/api/v1/grid/regional/13/refresh").json()["was_asked"] is False


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/grid/regional/18", 404, "not_found"),
        ("/api/v1/grid/regional/london", 422, "invalid"),
    ],
)
def test_over_http_what_is_no_region_is_refused(http, path, status, code):
    for answer in (http.get(path), http.post(f"{path}/refresh")):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_over_http_a_silent_api_is_a_problem_that_says_so(http, api):
    api.answer(server_error(), times=None)
    answer = http.post("/api/v1/grid/regional/13/refresh")
    assert (answer.status_code, answer.json()["code"]) == (503, "source_unavailable")
