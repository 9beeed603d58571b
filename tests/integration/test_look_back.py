"""What is asked when: a day behind as a rule, a week once a day, and after a pause as long as it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from pylon import pipeline
from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.services.reports import RunReport
from pylon.sources.carbon_intensity import SOURCES, Factors, Generation, National
from tests.acceptance.support import NOBODY, Ended, World, new_id, new_world, ran
from tests.doubles.answers import server_error
from tests.doubles.carbon_faults import REVISED_AFTER, REVISED_BY_GCO2_KWH
from tests.doubles.carbon_intensity import Fault, StandIn
from tests.doubles.carbon_series import made_up, stamp
from tests.doubles.postgres import Cluster

DAY, WEEK = timedelta(days=1), timedelta(days=7)
TWO_HOURS = timedelta(hours=2)
ASKED = (National(), Generation(), Factors())


@pytest.fixture
def world(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    with new_world(cluster, template, "look_back", api, grid="real", synthetic="off") as made:
        yield made


def run(world: World, **more: Any) -> tuple[RunReport, set[str]]:
    """Run the pipeline as the timetable does; return its report and what it asked, but for the forecast."""
    world.api.requests.clear()
    this = pipeline.Run(
        run_id=new_id(), now=world.now, clock=world.api.clock, operator_id=world.operator_id, trigger="test", **more
    )
    report = pipeline.run(world.database, world.settings, this, ASKED)
    return report, {seen.path for seen in world.api.requests if "fw48h" not in seen.path} - {"/generation"}


def span(kind: str, start: datetime, end: datetime) -> str:
    return f"/{kind}/{stamp(start)}/{stamp(end)}"


def both(start: datetime, end: datetime) -> set[str]:
    return {span("intensity", start, end), span("generation", start, end)}


def the_day_before(now: datetime) -> set[str]:
    return {f"/{kind}/{stamp(floor(now))}/pt24h" for kind in ("intensity", "generation")}


def test_the_first_run_looks_a_week_back_and_the_next_ones_a_day(world, api):
    report, asked = run(world)
    now = floor(world.now)
    assert asked == both(now - WEEK, now) | {"/intensity/factors"}
    assert report.asked_from == now - WEEK
    for _ in range(3):
        api.clock.advance(HALF_HOUR)
        report, asked = run(world)
        assert asked == the_day_before(world.now)
        assert report.asked_from == floor(world.now) - DAY


def test_a_week_is_looked_back_over_once_a_day_and_the_factors_are_read_as_often(world, api):
    """Through two days, a run every two hours."""
    began, weeks, factors = world.now, [], []
    for _ in range(2 * 12 + 1):
        _, asked = run(world)
        weeks += [world.now - began] * (asked >= both(floor(world.now) - WEEK, floor(world.now)))
        factors += [world.now - began] * ("/intensity/factors" in asked)
        api.clock.advance(TWO_HOURS)
    assert weeks == factors == [0 * DAY, 1 * DAY, 2 * DAY]


def test_the_week_behind_brings_revisions_and_what_an_outage_left_out(world, api):
    run(world)
    api.clock.advance(HALF_HOUR)
    api.faults.add(Fault.HOLE)
    api.clock.advance(DAY)
    run(world)
    api.faults.clear()
    api.faults.add(Fault.SILENT_REVISIONS)
    api.clock.advance(DAY)
    _, asked = run(world)
    now = floor(world.now)
    assert asked >= both(now - WEEK, now)
    rows = world.select("select * from grid_signals where timestamp < %s and not is_forecast", now)
    assert {row["timestamp"] for row in rows} >= set(half_hours(now - WEEK, now - HALF_HOUR))
    revised = {row["timestamp"] for row in rows if row["timestamp"] >= now - WEEK and was_revised(row)}
    assert revised == {at for at in half_hours(now - WEEK, now) if world.now - at >= REVISED_AFTER}


def was_revised(row: dict[str, Any]) -> bool:
    return bool(row["carbon_intensity_actual"] == (made_up(row["timestamp"]).actual or 0) + REVISED_BY_GCO2_KWH)


@pytest.mark.parametrize(
    ("pause", "reach"),
    [
        pytest.param(timedelta(hours=5), DAY, id="of hours"),
        pytest.param(timedelta(hours=23), DAY + timedelta(hours=1), id="of nearly a day"),
        pytest.param(3 * DAY, WEEK, id="of days"),
        pytest.param(20 * DAY, 20 * DAY + TWO_HOURS, id="of weeks"),
        pytest.param(90 * DAY, 30 * DAY, id="of months"),
    ],
)
def test_after_a_pause_nothing_is_left_out_up_to_a_month(world, api, pause, reach):
    run(world)
    first = floor(world.now)
    api.clock.advance(pause)
    report, _ = run(world)
    now = floor(world.now)
    assert report.asked_from == now - reach
    missing = world.scalar(
        "select count(*) from generate_series(%s::timestamptz, %s, interval '30 minutes') h "
        "left join grid_signals s on s.timestamp = h where s.carbon_intensity_actual is null",
        max(now - reach, first - WEEK),
        now - 2 * HALF_HOUR,
    )
    assert missing == 0


def test_a_failed_run_is_no_run_to_look_back_from(world, api):
    run(world)
    began = floor(world.now)
    api.clock.advance(9 * DAY)
    api.answer(server_error(), times=None)
    assert run(world)[0].status == "FAILED"
    api.reset()
    api.clock.advance(9 * DAY + HALF_HOUR)
    report, _ = run(world)
    assert report.asked_from == began - TWO_HOURS


def test_an_answer_in_part_does_not_end_a_pause(world, api):
    run(world)
    first = floor(world.now)
    api.clock.advance(20 * DAY)
    for start in ("/intensity/2026-08-1", "/intensity/2026-08-2", "/intensity/2026-08-3"):
        api.answer(server_error(), times=None, path=start)
    report, _ = run(world)
    assert {one.name for one in report.sources if one.outcome == "ok"} >= {"carbon_intensity_national"}
    at = world.now
    api.reset()
    api.clock.now = at + HALF_HOUR
    run(world)
    missing = world.scalar(
        "select count(*) from generate_series(%s::timestamptz, %s, interval '30 minutes') h "
        "left join grid_signals s on s.timestamp = h where s.carbon_intensity_actual is null",
        first,
        floor(world.now) - 2 * HALF_HOUR,
    )
    assert missing == 0


def test_more_may_be_asked_for_than_is_asked_for_as_a_rule(world):
    report, asked = run(world, behind=30 * DAY)
    now = floor(world.now)
    steps = [now - 30 * DAY, now - 17 * DAY, now - 4 * DAY, now]
    assert asked == {"/intensity/factors"}.union(*(both(*ends) for ends in pairwise(steps)))
    assert report.asked_from == steps[0]
    assert world.scalar("select count(*) from grid_signals") == 32 * 48


# By command


def pipeline_command(world: World, *words: str) -> Ended:
    return ran(
        "pipeline",
        *words,
        DATABASE_URL=world.owner_dsn,
        PYLON_CARBON_INTENSITY_URL=world.api.url,
        PYLON_NESO_URL=NOBODY,
        PYLON_ELEXON_URL=NOBODY,
        PYLON_GRID="real",
        PYLON_SYNTHETIC="off",
    )


def test_the_command_asks_for_everything_since_a_date_and_tells_what_came(world, api):
    api.clock.now = datetime.now(UTC)
    since = (api.clock.now - 16 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    ended = pipeline_command(world, "--since", f"{since:%Y-%m-%d}")
    assert ended.code == 0, ended.said
    assert "Carbon Intensity: national: " in ended.said
    assert span("intensity", since, since + 13 * DAY) in {seen.path for seen in api.requests}
    assert world.scalar("select min(timestamp) from grid_signals") == since


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("2999-01-01", "--since '2999-01-01' is not valid. Valid: a date, such as 2026-11-22"),
        ("2099-01-01", "Data since 2099-01-01 00:00 UTC cannot be asked for. Valid: from"),
        ("2001-01-01", "Data since 2001-01-01 00:00 UTC cannot be asked for. Valid: from"),
        ("yesterday", "--since 'yesterday' is not valid. Valid: a date, such as 2026-11-22"),
        ("2026-11-01T06:30", "or a time with its zone (RFC 3339)"),
    ],
)
def test_the_command_refuses_what_is_no_time_of_the_past(world, api, words, says):
    ended = pipeline_command(world, "--since", words)
    assert ended.code == 2
    assert says in ended.said
    assert api.requests == []


def test_a_run_since_the_moment_itself_asks_for_what_is_ahead(world):
    report = world.runtime().run_pipeline("test", since=world.now)
    assert report.asked_from == floor(world.now)
    with pytest.raises(Invalid, match="cannot be asked for"):
        world.runtime().run_pipeline("test", since=world.now + timedelta(seconds=1))


def test_every_source_of_the_api_keeps_to_its_longest_range():
    assert {source.terms.limits.longest_range for source in SOURCES} == {13 * DAY}
