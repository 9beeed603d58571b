"""2023, as the Carbon Intensity API gave it: a run a week, and nothing false is ever served.

The suite lives through its first weeks, `make soak` through the whole year.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pylon import pipeline
from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours
from pylon.ontology.enums import RunStatus
from pylon.services.reports import RunReport
from pylon.sources.carbon_intensity import Factors, Generation, National
from pylon.sources.feed import MODELLED
from tests.acceptance.support import World, new_id, new_world
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster
from tests.doubles.recordings import recordings_folder

SOURCES = (National(), Generation(), Factors())
WEEK = timedelta(days=7)
FIRST = datetime(2023, 1, 8, 0, 12, tzinfo=UTC)
LAST_OF_SUITE, LAST = datetime(2023, 2, 5, 0, 12, tzinfo=UTC), datetime(2024, 1, 7, 0, 12, tzinfo=UTC)
HOLE = list(half_hours(datetime(2023, 10, 20, 22, 0, tzinfo=UTC), datetime(2023, 10, 22, 19, 30, tzinfo=UTC)))


def of_2023(*texts: str) -> set[datetime]:
    return {datetime.strptime(f"2023-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for text in texts}


ZEROS = of_2023("01-31 01:00", "06-07 09:30", "06-07 10:00", "06-07 10:30", "06-07 11:00")
NULLS = of_2023("01-26 13:30", "01-26 14:00", "01-26 14:30", "01-26 15:00", "01-26 15:30")
FAR = of_2023("01-24 11:00")
JUMPS = of_2023("01-24 11:00", "06-07 09:00", "11-17 22:30")
UNSERVED = ZEROS | NULLS | JUMPS


@pytest.fixture(scope="module")
def published() -> dict[datetime, dict[str, str]]:
    """The series, read by itself and not through the stand-in: the rows of the file by start."""
    file = recordings_folder() / "replay" / "gb_2023_halfhourly_carbon_demand.csv.gz"
    with gzip.open(file, "rt", newline="") as text:
        return {datetime.fromisoformat(row["start_utc"]): row for row in csv.DictReader(text)}


@dataclass(frozen=True)
class Lived:
    """A year that has been lived through: what it left, and what each run said."""

    world: World
    reports: list[RunReport]
    again: list[RunReport]
    """Of the second and third polls, in the weeks in which something false was to be had."""
    served_then: list[dict[datetime, Any]]
    """The actuals of UNSERVED after each poll of those weeks."""
    half_hours: list[datetime]
    """Those of 2023 that it was told the outturn of."""

    def of(self, ats: Collection[datetime]) -> set[datetime]:
        """Return those of `ats` that were lived through."""
        return {at for at in ats if at <= self.half_hours[-1]}


@pytest.fixture(scope="module")
def lived(cluster: Cluster, template: str, is_soak: bool) -> Iterator[Lived]:
    folder: Path = recordings_folder()
    with (
        StandIn.replay(folder, now=FIRST) as api,
        new_world(cluster, template, "year", api, grid="real", synthetic="off") as world,
    ):
        yield live_through(world, WEEK, LAST if is_soak else LAST_OF_SUITE)


def live_through(world: World, step: timedelta, last: datetime) -> Lived:
    told = half_hours(
        datetime(2023, 1, 1, tzinfo=UTC), min(floor(last) - HALF_HOUR, datetime(2024, 1, 1, tzinfo=UTC))
    )
    lived = Lived(world, [], [], [], list(told))
    while world.now <= last:
        lived.reports.append(run(world))
        if any(world.now - WEEK <= at < world.now for at in UNSERVED):
            lived.served_then.append(unserved(world))
            for _ in range(2):
                lived.again.append(run(world))
                lived.served_then.append(unserved(world))
        world.api.clock.advance(step)
    world.api.clock.now = lived.reports[-1].as_of or LAST
    return lived


def run(world: World) -> RunReport:
    """One run that settles itself how far back it asks."""
    this = pipeline.Run(
        run_id=new_id(), now=world.now, clock=world.api.clock, operator_id=world.operator_id, trigger="test"
    )
    return pipeline.run(world.database, world.settings, this, SOURCES)


def unserved(world: World) -> dict[datetime, Any]:
    rows = world.select(
        "select timestamp, carbon_intensity_actual from grid_signals where timestamp = any(%s)", list(UNSERVED)
    )
    return {row["timestamp"]: row["carbon_intensity_actual"] for row in rows}


def whole(text: str) -> int | None:
    return int(float(text)) if text else None


def test_every_half_hour_is_stored_as_published_but_for_what_is_withheld(lived, published):
    stored = lived.world.select(
        "select * from grid_signals where timestamp >= %s and timestamp < %s and provenance->>'carbon' <> %s",
        lived.half_hours[0],
        lived.half_hours[-1] + HALF_HOUR,
        MODELLED,
    )
    expected = {}
    for at in lived.half_hours:
        row = published[at]
        forecast, actual, word = whole(row["ci_api_forecast"]), whole(row["ci_api_actual"]), row["ci_api_index"]
        if forecast is not None or actual is not None:
            is_withheld = at in ZEROS | JUMPS
            expected[at] = (forecast, None if is_withheld else actual, None if is_withheld else word or None)
    assert len(expected) == len(lived.half_hours) - len(lived.of(HOLE))
    assert {
        row["timestamp"]: (row["carbon_intensity_forecast"], row["carbon_intensity_actual"], row["carbon_index"])
        for row in stored
    } == expected


def test_of_the_hole_only_what_a_run_had_before_it_is_forecast_and_said_to_be_pylons(lived):
    ahead = [
        at
        for report in lived.reports
        for at in lived.of(HOLE)
        if floor(report.as_of or LAST) <= at < (report.as_of or LAST) + timedelta(hours=48)
    ]
    rows = lived.world.select("select * from grid_signals where timestamp = any(%s) order by timestamp", HOLE)
    assert [row["timestamp"] for row in rows if "carbon" in row["provenance"]] == sorted(ahead)
    for row in rows:
        assert row["provenance"].get("carbon", MODELLED) == MODELLED
        assert row["carbon_intensity_actual"] is None


def test_what_is_false_is_flagged_with_its_raw_value_and_nothing_else_is(lived, published):
    flags = lived.world.select("select * from quality_flags where cleared_at is null")
    assert {row["series"] for row in flags} == {"national.carbon_intensity_actual"}
    assert {(row["starts_at"], row["rule"], row["raw"]) for row in flags} == {
        (at, rule, whole(published[at]["ci_api_actual"]))
        for rule, found in {
            "national_zero": ZEROS,
            "actual_missing": NULLS,
            "carbon_far_from_forecast": FAR,
            "carbon_jump": JUMPS,
        }.items()
        for at in lived.of(found)
    }
    assert lived.world.scalar("select count(*) from quality_flags where cleared_at is not null") == 0


def test_what_is_false_is_not_served_after_a_second_and_a_third_poll_either(lived):
    assert len(lived.served_then) == 3 * len(lived.again) // 2 >= 3
    for served in lived.served_then:
        assert set(served.values()) <= {None}
    assert set().union(*lived.served_then) == lived.of(UNSERVED)
    for again in lived.again:
        assert (again.rows_written, again.vintages_written, again.flags_written) == (0, 0, 0)


def test_exactly_the_91_half_hours_of_the_hole_are_reported_missing(lived):
    assert len(HOLE) == 91
    missing = {
        at
        for report in lived.reports
        for source in report.sources
        if source.name == National.terms.name
        for gap in source.gaps
        for at in half_hours(gap.start, gap.end)
    }
    assert missing == lived.of(HOLE)


def test_every_run_asked_for_all_that_the_last_one_could_not_see(lived, is_soak):
    assert len(lived.reports) == (53 if is_soak else 5)
    assert {report.status for report in lived.reports} == {RunStatus.SUCCEEDED}
    for report in lived.reports[1:]:
        assert report.as_of is not None
        assert report.asked_from == report.as_of.replace(minute=0) - WEEK - timedelta(hours=2)


@pytest.mark.parametrize(("day", "periods"), [("2023-01-31", 48), ("2023-03-26", 46), ("2023-10-29", 50)])
def test_a_day_has_as_many_settlement_periods_as_half_hours(lived, published, day, periods):
    if not any(f"{at:%Y-%m-%d}" == day for at in lived.half_hours):
        pytest.skip("not lived through yet: `make soak` lives through the whole year")
    rows = lived.world.select("select timestamp, settlement_period from grid_signals order by timestamp")
    of_day = {
        row["timestamp"]: row["settlement_period"]
        for row in rows
        if f"{row['timestamp'].astimezone(LONDON):%Y-%m-%d}" == day
    }
    assert list(of_day.values()) == list(range(1, periods + 1))
    assert of_day == {at: int(published[at]["settlement_period"]) for at in of_day}


def test_each_runs_forecast_can_be_read_back(lived, published):
    """The replay's forecasts do not change with time, so what a run was told is what was published."""
    rows = lived.world.select(
        "select * from signal_vintages where series = 'national.carbon_intensity_forecast' and source <> %s"
        " order by recorded_at",
        MODELLED,
    )
    assert [row["run_id"] for row in rows] == [report.run_id for report in lived.reports]
    for row, report in zip(rows, lived.reports, strict=True):
        asked = half_hours(report.asked_from or FIRST, report.as_of or LAST)
        assert row["starts_at"] == next(at for at in asked if at not in HOLE)
        starts = half_hours(row["starts_at"], row["starts_at"] + len(row["half_hour_values"]) * HALF_HOUR)
        told = dict(zip(starts, row["half_hour_values"], strict=True))
        assert max(told) == (report.as_of or LAST).replace(minute=0) + timedelta(hours=47, minutes=30)
        expected = {at: whole(published[at]["ci_api_forecast"]) for at in told if at in published}
        assert {at: told[at] for at in expected} == expected


def test_no_false_actual_is_in_a_vintage(lived):
    rows = lived.world.select(
        "select starts_at, half_hour_values from signal_vintages where series = 'national.carbon_intensity_actual'"
    )
    assert len(rows) == len(lived.reports)
    served: Counter[datetime] = Counter()
    for row in rows:
        values = row["half_hour_values"]
        starts = half_hours(row["starts_at"], row["starts_at"] + len(values) * HALF_HOUR)
        served.update(at for at, value in zip(starts, values, strict=True) if value is not None)
    assert not UNSERVED & set(served)


def test_a_second_run_at_the_last_moment_writes_nothing(lived):
    before = lived.world.fingerprint()
    again = run(lived.world)
    assert (again.status, again.rows_written) == (RunStatus.SUCCEEDED, 0)
    assert lived.world.fingerprint() == before
