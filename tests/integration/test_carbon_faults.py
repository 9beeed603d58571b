"""Faults of the Carbon Intensity API: for each, what is stored, what is withheld and what the report says of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.ontology.carbon import index
from pylon.ontology.enums import RunStatus
from pylon.services.reports import Outcome, RunReport, SourceReport
from pylon.sources.carbon_intensity import DATA_SOURCE, SOURCES, Generation, National, Regional
from tests.acceptance.support import World, new_world
from tests.doubles.carbon_faults import JUMPS_GCO2_KWH, NULLS, REVISED_AFTER, REVISED_BY_GCO2_KWH, ZEROS
from tests.doubles.carbon_intensity import Fault, StandIn
from tests.doubles.carbon_series import HalfHour, made_up
from tests.doubles.postgres import Cluster

NATIONAL = (National(), Generation())
"""What is needed to judge national carbon."""

FORECAST, ACTUAL = "national.carbon_intensity_forecast", "national.carbon_intensity_actual"


@pytest.fixture
def world(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    """It is 08:10 on 17 August 2026, and a run looks from 08:00 of the day before to 08:00 two days on."""
    with new_world(cluster, template, "faults", api, grid="real", synthetic="off") as made:
        yield made


def by_name(report: RunReport) -> dict[str, SourceReport]:
    return {source.name.removeprefix("carbon_intensity_"): source for source in report.sources}


def signals(world: World) -> dict[datetime, dict[str, Any]]:
    return {row["timestamp"]: row for row in world.select("select * from grid_signals order by timestamp")}


def flags(world: World) -> list[dict[str, Any]]:
    return world.select("select * from quality_flags order by series, starts_at, rule")


def open_flags(world: World) -> set[tuple[str, datetime, str, Any]]:
    return {
        (row["series"], row["starts_at"], row["rule"], row["raw"]) for row in flags(world) if not row["cleared_at"]
    }


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 8, day, hour, minute, tzinfo=UTC)


def known_actual(start: datetime) -> int:
    actual = made_up(start).actual
    assert actual is not None
    return actual


def vintage(world: World, series: str) -> dict[datetime, float | None]:
    """The last vintage of a series, by half hour."""
    row = world.select("select * from signal_vintages where series = %s order by recorded_at", series)[-1]
    values = row["half_hour_values"]
    return dict(zip(half_hours(row["starts_at"], row["starts_at"] + len(values) * HALF_HOUR), values, strict=True))


def assert_polling_again_changes_nothing(world: World) -> None:
    before = world.fingerprint()
    for _ in range(2):
        again = world.run(sources=NATIONAL)
        assert (again.rows_written, again.flags_written) == (0, 0)
        assert world.fingerprint() == before


# Zeros


def test_false_zeros_are_withheld_however_often_they_come(world, api):
    api.faults.add(Fault.FALSE_ZEROS)
    report = world.run(sources=NATIONAL)
    zeros = [at(16, time.hour, time.minute) for time in ZEROS]
    assert report.status is RunStatus.SUCCEEDED
    assert by_name(report)["national"].values_withheld == report.flags_written == 4
    assert by_name(report)["generation"].values_withheld == 0
    for start in zeros:
        row, forecast = signals(world)[start], made_up(start).forecast
        assert (row["carbon_intensity_forecast"], row["carbon_intensity_actual"]) == (forecast, None)
        assert (row["carbon_index"], row["carbon_index_computed"]) == (None, index(forecast or 0, start.year))
        assert row["is_forecast"]
        assert vintage(world, ACTUAL)[start] is None
    assert open_flags(world) == {(ACTUAL, start, "national_zero", 0) for start in zeros}
    assert {row["run_id"] for row in flags(world)} == {report.run_id}
    assert_polling_again_changes_nothing(world)


def test_a_good_actual_that_turns_to_zero_is_taken_back_and_served_again_when_it_returns(world, api):
    world.run(sources=NATIONAL)
    good = signals(world)
    api.faults.add(Fault.FALSE_ZEROS)
    assert by_name(world.run(sources=NATIONAL))["national"].rows_written == 4
    assert signals(world)[at(16, 10)]["carbon_intensity_actual"] is None
    api.faults.clear()
    report = world.run(sources=NATIONAL)
    assert (by_name(report)["national"].rows_written, report.flags_written) == (4, 4)
    assert open_flags(world) == set()
    assert {row["cleared_at"] for row in flags(world)} == {world.now}
    assert {start: row["carbon_intensity_actual"] for start, row in signals(world).items()} == {
        start: row["carbon_intensity_actual"] for start, row in good.items()
    }


def test_forecasts_of_zero_leave_the_forecast_as_it_was(world, api):
    world.run(sources=NATIONAL)
    before = signals(world)
    api.faults.add(Fault.ZERO_FORECASTS)
    report = world.run(sources=NATIONAL)
    zeros = [at(day, time.hour, time.minute) for day in (16, 17, 18) for time in ZEROS]
    assert (by_name(report)["national"].values_withheld, report.flags_written) == (12, 12)
    assert open_flags(world) == {(FORECAST, start, "national_zero", 0) for start in zeros}
    assert by_name(report)["national"].rows_written == 0
    assert signals(world) == before
    assert {vintage(world, FORECAST)[start] for start in zeros} == {None}
    assert_polling_again_changes_nothing(world)


def test_forecasts_of_zero_of_which_nothing_better_is_known_are_null(world, api):
    api.faults.add(Fault.ZERO_FORECASTS)
    world.run(sources=NATIONAL)
    past, ahead = signals(world)[at(16, 10)], signals(world)[at(18, 10)]
    assert (past["carbon_intensity_forecast"], past["carbon_intensity_actual"]) == (None, known_actual(at(16, 10)))
    assert past["carbon_index"] == past["carbon_index_computed"] == index(known_actual(at(16, 10)), 2026)
    assert [ahead[name] for name in ("carbon_intensity_forecast", "carbon_index", "carbon_index_computed")] == [
        None
    ] * 3
    api.faults.clear()
    world.run(sources=NATIONAL)
    assert signals(world)[at(18, 10)]["carbon_intensity_forecast"] == made_up(at(18, 10)).forecast
    assert open_flags(world) == set()


# What never comes, and what leaves holes


def test_actuals_that_do_not_come_are_flagged_until_they_do(world, api):
    api.faults.add(Fault.NULL_ACTUALS)
    report = world.run(sources=NATIONAL)
    nulls = [at(16, time.hour, time.minute) for time in NULLS]
    assert (by_name(report)["national"].values_withheld, report.flags_written) == (0, 5)
    assert open_flags(world) == {(ACTUAL, start, "actual_missing", None) for start in nulls}
    for start in nulls:
        row = signals(world)[start]
        assert (row["carbon_intensity_forecast"], row["carbon_intensity_actual"]) == (made_up(start).forecast, None)
    assert_polling_again_changes_nothing(world)
    api.faults.clear()
    assert world.run(sources=NATIONAL).flags_written == 5
    assert open_flags(world) == set()
    assert [signals(world)[start]["carbon_intensity_actual"] for start in nulls] == list(map(known_actual, nulls))


@pytest.mark.parametrize(
    ("after", "flagged"),
    [
        pytest.param(timedelta(hours=2, minutes=-1), False, id="not yet two hours after its end"),
        pytest.param(timedelta(hours=2), True, id="two hours after its end"),
    ],
)
def test_an_actual_is_late_for_two_hours_before_it_is_missing(world, api, after, flagged):
    api.faults.add(Fault.NULL_ACTUALS)
    api.clock.now = at(17, 14) + after
    world.run(sources=NATIONAL)
    assert ((ACTUAL, at(17, 13, 30), "actual_missing", None) in open_flags(world)) is flagged


def test_an_actual_once_given_is_not_missing_when_it_is_later_left_out(world, api):
    world.run(sources=NATIONAL)
    api.faults.add(Fault.NULL_ACTUALS)
    assert world.run(sources=NATIONAL).flags_written == 0
    assert signals(world)[at(16, 14)]["carbon_intensity_actual"] == known_actual(at(16, 14))


def test_a_hole_is_reported_as_missing_and_nothing_stands_in_it(world, api):
    api.faults.add(Fault.HOLE)
    report = world.run(sources=SOURCES)
    assert report.status is RunStatus.SUCCEEDED
    gaps = {name: [(gap.start, gap.half_hours) for gap in source.gaps] for name, source in by_name(report).items()}
    assert gaps == {
        "national": [(at(17, 2), 4), (at(18, 2), 4), (at(19, 2), 4)],
        "generation": [(at(17, 2), 4)],
        "regional": [(at(18, 2), 4), (at(19, 2), 4)],
        "factors": [],
    }
    assert not [start for start in signals(world) if start.hour in (2, 3)]
    assert flags(world) == []


def test_a_short_horizon_is_reported_and_what_was_known_beyond_it_stays(world, api):
    world.run(sources=SOURCES)
    api.faults.add(Fault.SHORT_HORIZON)
    report = world.run(sources=SOURCES)
    assert by_name(report)["national"].half_hours_missing == 96 - 29
    assert by_name(report)["regional"].half_hours_missing == 96 - 31
    assert by_name(report)["national"].rows_written == by_name(report)["regional"].rows_written == 0
    assert len(signals(world)) == 144
    assert max(vintage(world, FORECAST)) == at(17, 22)  # what this run was told, and no more


def test_when_nothing_is_said_of_what_is_ahead_the_past_is_stored_all_the_same(world, api):
    api.faults.add(Fault.NOTHING_AHEAD)
    report = world.run(sources=SOURCES)
    assert report.status is RunStatus.PARTIAL
    assert by_name(report)["national"].half_hours_missing == 96
    assert by_name(report)["regional"].outcome is Outcome.FAILED
    assert "no data" in str(by_name(report)["regional"].fault)
    given = [start for start, row in signals(world).items() if row["data_source"] == DATA_SOURCE]
    assert given == list(half_hours(at(16, 8), at(17, 8)))
    assert report.forecasts.half_hours == {
        "national.carbon_intensity_forecast": 96
    }  # and the rest is forecast of it


# Outliers


def jump_flags() -> set[tuple[str, datetime, str, Any]]:
    found = set()
    for time, off in JUMPS_GCO2_KWH.items():
        start = at(16 if time.hour > 8 else 17, time.hour)
        raw = known_actual(start) + off
        found |= {(ACTUAL, start, rule, raw) for rule in ("carbon_far_from_forecast", "carbon_jump")}
    return found


@pytest.mark.parametrize(
    "with_mix", [pytest.param(True, id="the mix speaks against"), pytest.param(False, id="without a mix")]
)
def test_single_values_far_off_are_withheld(world, api, with_mix):
    api.faults |= {Fault.JUMPS} if with_mix else {Fault.JUMPS, Fault.GENERATION_FAILS}
    report = world.run(sources=NATIONAL)
    assert by_name(report)["national"].values_withheld == 2
    assert open_flags(world) == jump_flags()
    said = "the generation mix says" if with_mix else "no generation mix is known"
    assert all(said in row["reason"] for row in flags(world))
    unserved = [start for start, row in signals(world).items() if row["is_forecast"] and start < at(17, 7, 30)]
    assert unserved == [at(16, 23), at(17, 5)]
    assert_polling_again_changes_nothing(world)


def really_jumped(start: datetime) -> HalfHour:
    """A power station trips: for an hour the actual is far from the forecast, and the mix says so too."""
    usual = made_up(start)
    return HalfHour(usual.forecast, (usual.forecast or 0) + 150) if at(17, 5) <= start < at(17, 6) else usual


def test_a_true_jump_is_served_at_once_where_the_mix_confirms_it(world, api):
    api.series = really_jumped
    assert by_name(world.run(sources=NATIONAL))["national"].values_withheld == 0
    assert signals(world)[at(17, 5)]["carbon_intensity_actual"] == really_jumped(at(17, 5)).actual
    assert flags(world) == []


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=6)], ids=["at once", "six hours later"])
def test_a_true_jump_is_withheld_until_the_mix_confirms_it(world, api, later):
    api.series = really_jumped
    api.faults.add(Fault.GENERATION_FAILS)
    assert by_name(world.run(sources=NATIONAL))["national"].values_withheld == 2
    assert signals(world)[at(17, 5)]["carbon_intensity_actual"] is None
    api.faults.clear()
    api.clock.advance(later)
    world.run(sources=NATIONAL)
    assert open_flags(world) == set()
    assert len(flags(world)) > 0
    assert signals(world)[at(17, 5)]["carbon_intensity_actual"] == really_jumped(at(17, 5)).actual


def test_a_mix_that_is_stored_already_confirms_as_well(world, api):
    world.run(sources=[Generation()])
    api.series = really_jumped
    world.run(sources=[Generation()])
    assert by_name(world.run(sources=[National()]))["national"].values_withheld == 0
    assert flags(world) == []


def test_a_simulated_mix_confirms_nothing(world, api):
    """It is made up: it may agree with anything."""
    api.series = really_jumped
    world.run(sources=[Generation()])
    world.execute('update grid_signals set provenance = provenance || \'{"mix": "simulated"}\'')
    assert by_name(world.run(sources=[National()]))["national"].values_withheld == 2


def test_the_step_into_a_run_is_measured_from_what_is_stored(world, api):
    world.run(sources=[National()])
    api.series = lambda start: HalfHour(made_up(start).forecast, known_actual(start) + 90)
    report = world.run(sources=[National()], behind=timedelta(hours=2))
    assert {(start, rule) for _, start, rule, _ in open_flags(world)} == {(at(17, 6), "carbon_jump")}
    assert by_name(report)["national"].values_withheld == 1


def test_simulated_values_are_neither_judged_nor_judged_by(world, api):
    simulated = world.with_settings(grid="simulated")
    assert simulated.run().flags_written == 0
    world.execute("update grid_signals set carbon_intensity_actual = 500 where not is_forecast")
    assert world.run(sources=[National()]).flags_written == 0


# Revisions and shapes


def test_a_silent_revision_is_stored_and_the_earlier_value_stays_in_its_vintage(world, api):
    world.run(sources=NATIONAL)
    before = vintage(world, ACTUAL)
    api.faults.add(Fault.SILENT_REVISIONS)
    report = world.run(sources=NATIONAL)
    revised = [start for start in half_hours(at(16, 8), at(17, 7, 30)) if world.now - start >= REVISED_AFTER]
    assert by_name(report)["national"].rows_written == len(revised)
    for start in revised:
        assert signals(world)[start]["carbon_intensity_actual"] == known_actual(start) + REVISED_BY_GCO2_KWH
        assert vintage(world, ACTUAL)[start] == known_actual(start) + REVISED_BY_GCO2_KWH
        assert before[start] == known_actual(start)
    assert world.scalar("select count(*) from signal_vintages where series = %s", ACTUAL) == 2
    assert flags(world) == []


@pytest.mark.parametrize("fault", [Fault.OTHER_CONTAINERS, Fault.SHUFFLED_KEYS])
def test_another_shape_is_read_as_the_usual_one(world, api, fault):
    api.faults.add(fault)
    report = world.run(sources=SOURCES)
    assert report.status is RunStatus.SUCCEEDED
    assert {name: source.rows_rejected for name, source in by_name(report).items()} == dict.fromkeys(
        ("national", "regional", "generation", "factors"), 0
    )
    assert by_name(report)["factors"].rows_written == 14
    before = world.fingerprint()
    api.faults.clear()
    assert world.run(sources=SOURCES).rows_written == 0
    assert world.fingerprint() == before


def test_of_rows_that_come_twice_the_first_is_kept_and_a_second_that_differs_is_refused(world, api):
    api.faults.add(Fault.DUPLICATE_ROWS)
    report = world.run(sources=NATIONAL)
    national = by_name(report)["national"]
    assert national.rows_seen == 2 * (97 + 49)
    assert national.rows_rejected == 48 + 24  # the rows on the hour, of both answers
    assert {refusal.why for refusal in national.rejected} == {
        "it came twice with different values; the first is kept"
    }
    before = world.fingerprint()
    api.faults.clear()
    assert world.run(sources=NATIONAL).rows_written == 0
    assert world.fingerprint() == before


# One part of the API alone


@pytest.mark.parametrize(
    ("fault", "failing"), [(Fault.GENERATION_FAILS, "generation"), (Fault.REGIONAL_FAILS, "regional")]
)
def test_one_part_that_fails_costs_its_own_quantities_alone(world, api, fault, failing):
    api.faults.add(fault)
    report = world.run(sources=SOURCES)
    assert report.status is RunStatus.PARTIAL
    assert {name for name, source in by_name(report).items() if source.outcome is Outcome.FAILED} == {failing}
    assert "answered 500" in str(by_name(report)[failing].fault)
    rows = signals(world)
    assert len([row for row in rows.values() if row["carbon_intensity_forecast"] is not None]) == 144
    with_mix = [start for start, row in rows.items() if "mix" in row["provenance"]]
    assert min(with_mix) == (floor(world.now) + HALF_HOUR if failing == "generation" else at(16, 8))
    assert world.scalar("select count(*) from regional_grid_signals") == (0 if failing == "regional" else 17 * 97)


# Forecasts


def test_each_runs_forecast_can_be_read_back(world, api):
    """The upstream overwrites its forecasts; every one that a run was told stays as it was told."""
    api.revises = True
    told = {}
    for _ in range(3):
        report = world.run(sources=[Regional(), *NATIONAL])
        told[report.run_id] = {start: row["carbon_intensity_forecast"] for start, row in signals(world).items()}
        api.clock.advance(HALF_HOUR)
    first, *_, last = told
    assert sum(told[first][start] != told[last][start] for start in told[first]) > 50
    for run_id, forecast in told.items():
        (row,) = world.select("select * from signal_vintages where series = %s and run_id = %s", FORECAST, run_id)
        starts = half_hours(row["starts_at"], row["starts_at"] + 144 * HALF_HOUR)
        assert dict(zip(starts, row["half_hour_values"], strict=True)) == {
            start: value for start, value in forecast.items() if start >= row["starts_at"]
        }
    assert world.scalar("select count(distinct run_id) from signal_vintages where series like 'region.13.%%'") == 3
