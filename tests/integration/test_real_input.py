"""What the real API has said goes through the whole pipeline and comes out of the database as it went in."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pylon import pipeline
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.ontology.carbon import index
from pylon.ontology.enums import RunStatus
from pylon.services.reports import Outcome
from pylon.sources.carbon_intensity import DATA_SOURCE, SOURCES, Factors, Generation, National, Regional
from tests.acceptance.support import World, new_world
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster
from tests.doubles.recordings import recordings_folder

WEEK = timedelta(days=7)
FALSE = {datetime(2023, 1, 24, 11, 0, tzinfo=UTC), datetime(2023, 1, 31, 1, 0, tzinfo=UTC)}
"""A singleton that the generation mix speaks against, and a zero."""
SETTLED = timedelta(minutes=15)

Published = dict[datetime, dict[str, str]]


@pytest.fixture(scope="module")
def recordings() -> Path:
    return recordings_folder()


@pytest.fixture(scope="module")
def published(recordings: Path) -> Published:
    """The series of 2023, read by itself and not through the stand-in: the rows of the file by start."""
    with gzip.open(recordings / "replay" / "gb_2023_halfhourly_carbon_demand.csv.gz", "rt", newline="") as file:
        return {datetime.fromisoformat(row["start_utc"]): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def recorded_api(recordings: Path) -> Iterator[StandIn]:
    with StandIn.recorded(recordings) as api:
        yield api


@pytest.fixture(scope="module")
def replay_api(recordings: Path) -> Iterator[StandIn]:
    with StandIn.replay(recordings, now=datetime(2023, 1, 9, 12, 10, tzinfo=UTC)) as api:
        yield api


@pytest.fixture
def recorded(recorded_api: StandIn, cluster: Cluster, template: str) -> Iterator[World]:
    recorded_api.reset()
    with new_world(cluster, template, "recorded", recorded_api, grid="real", synthetic="off") as world:
        yield world


@pytest.fixture
def replayed(replay_api: StandIn, cluster: Cluster, template: str) -> Iterator[World]:
    replay_api.reset()
    with new_world(cluster, template, "replayed", replay_api, grid="real", synthetic="off") as world:
        yield world


def body(folder: Path, file: str) -> Any:
    return json.loads((folder / "recordings" / "carbon_intensity" / file).read_bytes())["data"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Recorded answers


@pytest.mark.parametrize(
    ("behind", "kept"), [(timedelta(0), 96), (pipeline.BEHIND, 97)], ids=["from now on", "with a day behind"]
)
def test_every_half_hour_of_the_national_answer_is_stored_as_recorded(recorded, recordings, behind, kept):
    """The answer holds 97 half hours, the first of which ended at the time asked for."""
    report = recorded.run(sources=[National()], behind=behind)
    start = floor(recorded.now) - behind
    expected = {
        at(row["from"]): row["intensity"]
        for row in body(recordings, "intensity_2026-08-17T0800Z_fw48h.json")
        if at(row["from"]) >= start
    }
    assert len(expected) == kept
    stored = recorded.select("select * from grid_signals")
    assert {row["timestamp"]: given(row) for row in stored} == expected
    for row in stored:
        assert row["carbon_index_computed"] == index(row["carbon_intensity_forecast"], row["timestamp"].year)
        assert (row["data_source"], row["provenance"]) == (DATA_SOURCE, {"carbon": DATA_SOURCE})
        assert row["is_forecast"]
    assert report.sources[0].rows_written == kept
    assert [(gap.start, gap.half_hours) for gap in report.sources[0].gaps] == ([(start, 47)] if behind else [])


def given(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "forecast": row["carbon_intensity_forecast"],
        "actual": row["carbon_intensity_actual"],
        "index": row["carbon_index"],
    }


def test_every_region_and_every_fuel_of_the_regional_answer_is_stored_as_recorded(
    recorded, recordings, recorded_api
):
    """Two half hours: 17 regions each, and region 18 as the national mix of the one that is still ahead."""
    file = "regional_intensity_fw24h_period_keyed.json"
    present, ahead = (at(row["from"]) for row in body(recordings, file))
    recorded_api.clock.now = present + timedelta(minutes=12)
    recorded_api.serve_recorded(
        f"/regional/intensity/{present:%Y-%m-%dT%H:%MZ}/fw48h",
        recordings / "recordings" / "carbon_intensity" / file,
    )
    report = recorded.run(sources=[Regional()])

    regions = [(at(row["from"]), region) for row in body(recordings, file) for region in row["regions"]]
    expected = {
        (start, region["regionid"]): (
            region["intensity"]["forecast"],
            region["intensity"]["index"],
            index(region["intensity"]["forecast"], start.year),
            {share["fuel"]: share["perc"] for share in region["generationmix"]},
        )
        for start, region in regions
        if region["regionid"] != 18
    }
    assert len(expected) == 2 * 17
    mixes: dict[Any, dict[str, float]] = defaultdict(dict)
    for row in recorded.select("select * from generation_mix"):
        mixes[row["regional_signal_id"] or "GB"][row["fuel_type"]] = float(row["percentage"])
    stored = recorded.select(
        "select r.region_id as number, s.* from regional_grid_signals s join regions r on r.id = s.region_id"
    )
    assert {
        (row["timestamp"], row["number"]): (
            row["carbon_intensity_forecast"],
            row["carbon_index"],
            row["carbon_index_computed"],
            mixes[row["id"]],
        )
        for row in stored
    } == expected
    assert {row["data_source"] for row in stored} == {DATA_SOURCE}

    great_britain = next(region for start, region in regions if (start, region["regionid"]) == (ahead, 18))
    (national,) = recorded.select("select * from grid_signals")
    assert (national["timestamp"], national["provenance"]) == (ahead, {"mix": DATA_SOURCE})
    assert (national["carbon_intensity_forecast"], national["data_source"]) == (None, None)
    assert mixes["GB"] == {share["fuel"]: share["perc"] for share in great_britain["generationmix"]}
    assert (report.sources[0].rows_seen, report.sources[0].rows_rejected) == (36, 0)


def test_the_fourteen_factors_are_stored_as_recorded(recorded, recordings):
    recorded.run(sources=[Factors()])
    (expected,) = body(recordings, "intensity_factors.json")
    stored = recorded.select("select * from carbon_factors")
    assert len(stored) == 14
    assert {row["fuel"]: row["factor_gco2_kwh"] for row in stored} == expected
    assert {row["data_source"] for row in stored} == {DATA_SOURCE}


def test_recorded_answers_through_every_source_at_once(recorded):
    """What the recordings lack is a fault of its source and of no other, and nothing is made up for it."""
    report = recorded.run(sources=SOURCES)
    assert {source.name: source.outcome for source in report.sources} == {
        "carbon_intensity_factors": Outcome.OK,
        "carbon_intensity_generation": Outcome.FAILED,
        "carbon_intensity_national": Outcome.OK,
        "carbon_intensity_regional": Outcome.FAILED,
    }
    assert report.status is RunStatus.PARTIAL
    assert recorded.scalar("select count(*) from grid_signals") == 97
    assert recorded.scalar("select count(*) from grid_signals where provenance::text like '%simulated%'") == 0
    again = recorded.fingerprint()
    assert recorded.run(sources=SOURCES).rows_written == 0
    assert recorded.fingerprint() == again


# A week of real half hours


def expected_of(published: Published, now: datetime) -> dict[datetime, tuple[Any, ...]]:
    """What the API had said by `now` of the week before and the two days after: forecast, actual, word, period.

    A false actual is withheld, and so is the word that follows it.
    """
    expected = {}
    for start in half_hours(floor(now) - WEEK, floor(now) + 2 * timedelta(days=1)):
        row = published[start]
        forecast = whole(row["ci_api_forecast"])
        settled = start + HALF_HOUR + SETTLED <= now
        actual = whole(row["ci_api_actual"]) if settled else None
        if forecast is None and actual is None:
            continue
        if settled and start in FALSE:
            expected[start] = (forecast, None, None, int(row["settlement_period"]))
            continue
        word = (settled and row["ci_api_index"]) or index(forecast if actual is None else actual, start.year)
        expected[start] = (forecast, actual, word, int(row["settlement_period"]))
    return expected


def stored_of(world: World) -> dict[datetime, tuple[Any, ...]]:
    return {
        row["timestamp"]: (
            row["carbon_intensity_forecast"],
            row["carbon_intensity_actual"],
            row["carbon_index"],
            row["settlement_period"],
        )
        for row in world.select("select * from grid_signals where provenance ? 'carbon'")
    }


def whole(text: str) -> int | None:
    return int(float(text)) if text else None


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(datetime(2023, 1, 30, 12, 10, tzinfo=UTC), id="five actuals never came, one was far off"),
        pytest.param(datetime(2023, 2, 2, 0, 0, tzinfo=UTC), id="a false zero"),
        pytest.param(datetime(2023, 3, 29, 10, 50, tzinfo=UTC), id="a day of 46 half hours"),
        pytest.param(datetime(2023, 10, 24, 9, 0, tzinfo=UTC), id="a hole of 91 half hours"),
        pytest.param(datetime(2023, 11, 1, 23, 59, tzinfo=UTC), id="a day of 50 half hours"),
    ],
)
def test_a_week_of_2023_is_stored_row_by_row(replayed, published, now):
    replayed.api.clock.now = now
    report = replayed.run(sources=[National(), Generation()], behind=WEEK)
    assert report.status is RunStatus.SUCCEEDED
    expected = expected_of(published, now)
    assert stored_of(replayed) == expected
    assert report.sources[0].rows_written == len(expected)
    assert report.sources[0].half_hours_missing == 9 * 48 - len(expected)


def test_the_weeks_that_are_replayed_hold_what_they_are_named_for(published):
    """The faults of the published series are in the file, so that storing them as they are means something."""

    def week(year: int, month: int, day: int) -> list[tuple[Any, ...]]:
        return list(expected_of(published, datetime(year, month, day, tzinfo=UTC)).values())

    assert sum(actual is None for _, actual, _, _ in week(2023, 1, 30)[: 7 * 48 - 1]) == 5 + 1
    assert {published[start]["ci_api_actual"] for start in FALSE} == {"0.0", "60.0"}
    assert set(expected_of(published, datetime(2023, 2, 2, tzinfo=UTC))) > {max(FALSE)}
    assert len(week(2023, 10, 24)) == 9 * 48 - 91
    assert max(period for _, _, _, period in week(2023, 11, 1)) == 50
    assert [period for _, _, _, period in week(2023, 3, 29)].count(47) == 8  # nine days, one of 46


def test_a_hole_in_the_series_is_reported_as_one_gap(replayed):
    replayed.api.clock.now = datetime(2023, 10, 24, 9, 0, tzinfo=UTC)
    (source,) = replayed.run(sources=[National()], behind=WEEK).sources
    start = datetime(2023, 10, 20, 22, 0, tzinfo=UTC)
    assert [(gap.start, gap.end, gap.half_hours) for gap in source.gaps] == [(start, start + 91 * HALF_HOUR, 91)]


def test_a_second_run_at_the_same_moment_writes_nothing(replayed):
    """Not a row of any table is touched: neither values nor row versions change."""
    replayed.api.clock.now = datetime(2023, 3, 29, 10, 50, tzinfo=UTC)
    first = replayed.run(sources=SOURCES, behind=WEEK)
    assert first.status is RunStatus.SUCCEEDED
    assert first.rows_written > 10_000
    before = replayed.fingerprint()
    second = replayed.run(sources=SOURCES, behind=WEEK)
    assert second.status is RunStatus.SUCCEEDED
    assert second.rows_written == 0
    assert [source.rows_written for source in second.sources] == [0] * 4
    assert replayed.fingerprint() == before
    assert replayed.scalar("select count(*) from pipeline_runs") == 2


def test_half_an_hour_later_actuals_arrive_and_earlier_vintages_stay(replayed, published):
    replayed.api.clock.now = datetime(2023, 3, 25, 23, 50, tzinfo=UTC)
    first = replayed.run(sources=[National()], behind=WEEK)
    earlier = {row["series"]: row for row in vintages(replayed)}
    replayed.api.clock.advance(HALF_HOUR)
    second = replayed.run(sources=[National()], behind=WEEK)

    now = replayed.now
    still_asked_for = expected_of(published, now)
    assert {start: row for start, row in stored_of(replayed).items() if start in still_asked_for} == still_asked_for
    settled = datetime(2023, 3, 25, 23, 30, tzinfo=UTC)
    assert stored_of(replayed)[settled][1] == whole(published[settled]["ci_api_actual"])
    assert second.sources[0].rows_written == 2  # the half hour that got its actual, and the new one at the far end

    both = vintages(replayed)
    assert [row for row in both if row["run_id"] == first.run_id] == list(earlier.values())
    later = {row["series"]: row for row in both if row["run_id"] == second.run_id}
    assert (
        set(later)
        == set(earlier)
        == {
            "national.carbon_intensity_forecast",
            "national.carbon_intensity_actual",
        }
    )
    was, now_is = (at_of(vintage["national.carbon_intensity_actual"], settled) for vintage in (earlier, later))
    assert (was, now_is) == (None, float(published[settled]["ci_api_actual"]))
    assert second.vintages_written == 2


def vintages(world: World) -> list[dict[str, Any]]:
    return world.select("select * from signal_vintages order by recorded_at, series")


def at_of(vintage: dict[str, Any], start: datetime) -> float | None:
    """Return a vintage's value of the half hour at `start`, None past its end."""
    position = (start - vintage["starts_at"]) // HALF_HOUR
    values = vintage["half_hour_values"]
    return values[position] if position < len(values) else None
