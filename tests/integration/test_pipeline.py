"""The pipeline on a real database and a real HTTP server: sources that fail, simulate, collide and are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pylon.errors import Invalid, LeaseHeld, LeaseLost
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import RunStatus, WorkloadType
from pylon.ontology.regions import REGIONS
from pylon.services import synthesise
from pylon.services.reports import Outcome, RunReport, SourceReport
from pylon.services.status import readiness
from pylon.sources.carbon_intensity import DATA_SOURCE, Factors, National
from pylon.sources.feed import MODELLED, SIMULATED, discover
from pylon.store.leases import TERM_S
from tests.acceptance.support import NOBODY, Ended, World, command, new_id, new_world, ran, until
from tests.doubles import carbon_series
from tests.doubles.answers import Answer, no_data, server_error, slow
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.carbon_rows import national as row_of
from tests.doubles.postgres import Cluster

SMALL = (National(), Factors())
"""Two real sources are enough where only the pipeline itself is looked at."""

OF_CARBON = tuple(
    source for source in discover() if source.terms.is_simulated or source.terms.api == National.terms.api
)
"""Every source but those of the other APIs, which have tests of their own."""


@pytest.fixture
def world(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    """Real sources, nothing simulated, unless a test says so."""
    with new_world(cluster, template, "pipeline", api, grid="real", synthetic="off") as made:
        yield made


def by_name(report: RunReport) -> dict[str, SourceReport]:
    return {source.name.removeprefix("carbon_intensity_"): source for source in report.sources}


def kept(world: World, report: RunReport) -> RunReport:
    """The report of a run as pipeline_runs has it."""
    (row,) = world.select("select * from pipeline_runs where id = %s", report.run_id)
    return RunReport.of(row)


# Sources fail independently


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(server_error(500), "500", id="an error"),
        pytest.param(slow(5), "did not answer within", id="silence"),
        pytest.param(no_data(), "no data", id="an empty object"),
    ],
)
def test_what_one_source_cannot_give_keeps_no_other_from_being_stored(world, api, answer, says):
    world = world.with_settings(http_timeout_s=1.5)
    api.answer(answer, times=None, path="/intensity/2")  # the national paths, and not the factors
    report = world.run(sources=SMALL)
    assert report.status is RunStatus.PARTIAL
    failed, fine = by_name(report)["national"], by_name(report)["factors"]
    assert (failed.outcome, failed.rows_written, failed.fetched_at) == (Outcome.FAILED, 0, None)
    assert failed.fault is not None
    assert failed.fault["code"] == "source_unavailable"
    assert says in failed.fault["detail"]
    assert (fine.outcome, fine.rows_written, fine.fault) == (Outcome.OK, 14, None)
    assert world.scalar("select count(*) from carbon_factors") == 14
    assert world.scalar("select count(*) from grid_signals") == 0
    assert kept(world, report) == report


def test_a_source_that_fails_keeps_its_values_and_the_time_of_its_last_answer(world, api):
    first = world.run(sources=SMALL)
    answered_at = by_name(first)["national"].fetched_at
    assert answered_at == world.now
    before = national(world)
    api.answer(server_error(), times=None, path="/intensity/2")
    for _ in range(2):  # the time survives more than one failure
        api.clock.advance(HALF_HOUR)
        report = world.run(sources=SMALL)
        assert by_name(report)["national"].fetched_at == answered_at
    assert by_name(report)["national"].age(world.now) == 2 * HALF_HOUR
    assert report.status is RunStatus.FAILED  # nothing that was asked has answered
    factors = by_name(report)["factors"]
    assert (factors.outcome, factors.fetched_at) == (Outcome.NOT_DUE, answered_at)
    after = national(world)
    assert after[: len(before)] == before
    assert [row["data_source"] for row in after[len(before) :]] == [MODELLED] * 2


def test_when_no_real_source_answers_the_run_has_failed_and_wrote_nothing(world, api):
    before = world.fingerprint()
    api.answer(server_error(), times=None)
    report = world.run(sources=SMALL)
    assert (report.status, report.rows_written) == (RunStatus.FAILED, 0)
    assert world.fingerprint() == before
    assert not readiness(world.database, world.operator_id, world.now).ready


def test_a_bad_row_is_refused_with_its_reason_and_the_rest_is_stored(world, api):
    start = floor(world.now)
    rows = [row_of(start), row_of(start + HALF_HOUR, forecast=-5), row_of(start + 2 * HALF_HOUR, forecast="210")]
    rows += [row_of(start + 3 * HALF_HOUR, forecast=210)]
    api.answer(
        Answer(body=json.dumps({"data": rows}).encode()), path=f"/intensity/{carbon_series.stamp(start)}/fw48h"
    )
    report = world.run(sources=[National()], behind=timedelta(0))
    (source,) = report.sources
    assert (source.rows_seen, source.rows_written, source.rows_rejected) == (4, 2, 2)
    assert [refusal.what for refusal in source.rejected] == [
        "national carbon 2026-08-17T08:30Z",
        "national carbon 2026-08-17T09:00Z",
    ]
    assert [refusal.why for refusal in source.rejected] == [
        "forecast is -5, not a whole number from 0 to 1000",
        "forecast is '210', not a whole number from 0 to 1000",
    ]
    assert [row["carbon_intensity_forecast"] for row in national(world)] == [200, 210]
    assert kept(world, report) == report


def test_half_hours_that_did_not_come_are_reported_as_ranges(world, api):
    holes = {floor(world.now) + step * HALF_HOUR for step in (3, 4, 5, 20)}
    api.series = lambda at: None if at in holes else carbon_series.made_up(at)
    (source,) = world.run(sources=[National()], behind=timedelta(0)).sources
    assert source.half_hours_missing == 4
    first, second = source.gaps
    assert (first.start, first.end, first.half_hours) == (min(holes), min(holes) + 3 * HALF_HOUR, 3)
    assert (second.start, second.end, second.half_hours) == (max(holes), max(holes) + HALF_HOUR, 1)
    assert not holes & {row["timestamp"] for row in national(world)}


def national(world: World) -> list[dict[str, Any]]:
    return world.select("select * from grid_signals order by timestamp")


def regional(world: World) -> dict[tuple[datetime, Any], dict[str, Any]]:
    rows = world.select("select * from regional_grid_signals")
    return {(row["timestamp"], row["region_id"]): row for row in rows}


# Simulated data


def test_after_the_real_sources_fail_simulated_values_take_new_half_hours_only(world, api):
    """Real values stay under their own label; what is made up says so, row by row and quantity by quantity."""
    world = world.with_settings(grid="auto")
    first = world.run(sources=OF_CARBON)
    assert first.status is RunStatus.SUCCEEDED
    before = {row["timestamp"]: row for row in national(world)}
    regional_before = regional(world)
    assert {row["data_source"] for row in regional_before.values()} == {DATA_SOURCE}
    api.clock.advance(HALF_HOUR)
    api.answer(server_error(), times=None)
    second = world.run(sources=OF_CARBON)
    assert second.status is RunStatus.PARTIAL
    assert {source.name for source in second.sources if source.outcome is Outcome.OK} == {
        "gb_simulator",
        "price_simulator",
    }
    after = {row["timestamp"]: row for row in national(world)}
    new = set(after) - set(before)
    assert new == {floor(world.now) + 95 * HALF_HOUR}
    for at, row in before.items():
        # The national mix ahead is real too, so carbon and mix of every half hour asked for were.
        assert row["provenance"]["carbon"] == row["provenance"]["mix"] == row["data_source"] == DATA_SOURCE
        assert {name: after[at][name] for name in REAL} == {name: row[name] for name in REAL}
        assert after[at]["provenance"] == row["provenance"]
        assert {row["provenance"][name] for name in ("demand", "price", "stress")} == {SIMULATED}
    for at in new:
        # A day of real carbon is known, which is enough to forecast from.
        assert after[at]["data_source"] == after[at]["provenance"]["carbon"] == MODELLED
        assert {name for name, label in after[at]["provenance"].items() if label != SIMULATED} == {"carbon"}
    regional_after = regional(world)
    assert {key: regional_after[key] for key in regional_before} == regional_before
    added = {key: row for key, row in regional_after.items() if key not in regional_before}
    assert {row["data_source"] for row in added.values()} == {SIMULATED}
    assert {at for at, _ in added} >= new
    assert world.scalar("select string_agg(distinct data_source, ' ') from carbon_factors") == DATA_SOURCE

    api.reset()  # and when they are back, real values replace the simulated ones
    api.clock.advance(HALF_HOUR)
    world.run(sources=OF_CARBON)
    assert {row["provenance"]["carbon"] for row in national(world)} == {DATA_SOURCE}


REAL = ("carbon_intensity_forecast", "carbon_intensity_actual", "carbon_index", "data_source")


def test_grid_real_makes_nothing_up(world):
    report = world.run()
    assert not [source.name for source in report.sources if source.is_simulated]
    assert {label for row in national(world) for label in row["provenance"].values()} == {DATA_SOURCE}
    assert world.scalar("select count(demand_mw) + count(wholesale_price_gbp_mwh) from grid_signals") == 0
    assert world.scalar("select count(grid_stress_score) from grid_signals") == 0  # nothing to score it from


def test_grid_simulated_never_asks_an_api(world, api):
    report = world.with_settings(grid="simulated").run()
    assert report.status is RunStatus.SUCCEEDED
    assert api.requests == []
    assert {source.data_source for source in report.sources} == {SIMULATED}
    assert {label for row in national(world) for label in row["provenance"].values()} == {SIMULATED}
    assert world.scalar("select string_agg(distinct source, ' ') from signal_vintages") == SIMULATED


def test_synthetic_off_generates_no_fleet_and_synthetic_on_one_fleet(world):
    report = world.run(sources=SMALL)
    assert report.synthetic is None
    assert fleet(world) == dict.fromkeys(FLEET, 0)
    report = world.with_settings(synthetic="on").run(sources=SMALL)
    assert report.synthetic is not None
    assert report.synthetic.objects_created == {"Operator": 3, "DataCentre": 20, "StorageAsset": 10, "Agent": 10}
    made = fleet(world)
    assert made["compute_workloads"] == report.synthetic.workloads_arrived > 0
    assert world.scalar("select bool_and(is_simulated) from data_centres")
    again = world.with_settings(synthetic="on").run(sources=SMALL)
    assert again.rows_written == 0
    assert fleet(world) == made


FLEET = ("data_centres", "storage_assets", "agents", "compute_workloads")


def fleet(world: World) -> dict[str, int]:
    return {table: world.scalar(f"select count(*) from {table}") for table in FLEET}


def test_purging_removes_what_was_generated_and_nothing_else(world):
    world = world.with_settings(synthetic="on")
    world.run(sources=SMALL)
    real_centre, real_job = add_real_site_and_job(world)
    decided = world.select("select id from compute_workloads where is_simulated order by id limit 1")[0]["id"]
    world.execute(
        "insert into orchestration_decisions (id, decision_id, operator_id, decision_type, workload_id, reasoning, "
        "seq, content, prev_hash, hash) values (%s, 'D-1', %s, 'DEFER_WORKLOAD', %s, 'because', 1, '{}', '', '')",
        new_id(),
        world.operator_id,
        decided,
    )
    before = fleet(world)
    removed = synthesise.purge(world.database, world.operator_id)

    workloads = {row["id"]: row["is_simulated"] for row in world.select("select * from compute_workloads")}
    assert workloads == {real_job: False, decided: True}
    stays = world.select("select host_dc_id, origin_dc_id from compute_workloads where id = %s", decided)[0]
    named = {value for value in stays.values() if value}
    centres = {row["id"] for row in world.select("select id from data_centres")}
    assert centres == {real_centre} | named  # the site the decided job came from must be there to be shown
    assert fleet(world)["storage_assets"] == fleet(world)["agents"] == 0
    assert removed["workloads"] == before["compute_workloads"] - 2
    assert removed["data centres"] == before["data_centres"] - 1 - len(named)
    assert removed["operators"] == 3
    assert [row["id"] for row in world.select("select id from operators")] == [world.operator_id]
    assert world.scalar("select count(*) from grid_signals") > 0
    assert world.scalar("select count(*) from orchestration_decisions") == 1


def add_real_site_and_job(world: World) -> tuple[Any, Any]:
    centre, job = new_id(), new_id()
    world.execute(
        "insert into data_centres (id, dc_id, name, operator_id, region_id, pue, total_capacity_mw) "
        "values (%s, 'REAL-1', 'A real site', %s, %s, 1.2, 5)",
        centre,
        world.operator_id,
        REGIONS[12].id,
    )
    world.execute(
        "insert into compute_workloads (id, job_id, operator_id, host_dc_id, workload_type, duration_mins, "
        "power_kw) values (%s, 'JOB-1', %s, %s, %s, 60, 100)",
        job,
        world.operator_id,
        centre,
        WorkloadType.TRAINING_RUN,
    )
    return centre, job


# One at a time, whole or not at all


def test_the_report_kept_is_the_report_returned(world, api):
    world = world.with_settings(grid="auto", synthetic="on")
    api.answer(server_error(), times=None, path="/generation")
    report = world.run()
    assert report.status is RunStatus.PARTIAL
    assert report.synthetic is not None
    assert kept(world, report) == report


def test_of_two_runs_at_once_one_is_told_that_the_other_works(world, api):
    api.answer(slow(1.0), path="/intensity/factors")
    outcomes: list[RunReport | LeaseHeld] = []

    def work() -> None:
        try:
            outcomes.append(world.run(sources=SMALL))
        except LeaseHeld as held:
            outcomes.append(held)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (held,) = [outcome for outcome in outcomes if isinstance(outcome, LeaseHeld)]
    assert "Another process runs the pipeline now" in held.detail
    assert len(outcomes) == 2
    assert world.scalar("select count(*) from pipeline_runs") == 1
    assert world.scalar("select count(*) from leases") == 0  # given back at the end


def test_a_run_that_lost_its_lease_writes_nothing(world):
    """It fails when it would store, however far it came: another may be at work."""
    before = world.fingerprint()
    with pytest.raises(LeaseLost, match="nothing was written"):
        world.run(sources=SMALL, progress=lambda *_: world.execute("delete from leases"))
    assert world.fingerprint() == before
    (run,) = world.select("select * from pipeline_runs")
    assert (run["status"], run["report"]["error"]["code"]) == ("FAILED", "lease_lost")


def test_a_fault_while_storing_leaves_nothing_of_the_run(world):
    """The last of the writes fails: the signals that were written before it are gone with it."""
    before = world.fingerprint()
    world.execute("alter table carbon_factors add constraint no_more check (factor_gco2_kwh < 0) not valid")
    with pytest.raises(Invalid, match="no_more"):
        world.run(sources=SMALL)
    assert world.fingerprint() == before
    (run,) = world.select("select * from pipeline_runs")
    assert (run["status"], run["report"]["error"]["code"]) == ("FAILED", "invalid")
    assert run["finished_at"] is not None
    world.execute("alter table carbon_factors drop constraint no_more")
    assert world.run(sources=SMALL).status is RunStatus.SUCCEEDED


def test_a_fault_after_the_signals_are_stored_does_not_call_the_run_failed(world):
    """Readers go by the run's status: signals that can be read must belong to a run that succeeded."""
    world = world.with_settings(synthetic="on")
    world.execute("alter table compute_workloads add constraint no_more check (power_kw < 0) not valid")
    with pytest.raises(Invalid, match="no_more"):
        world.run(sources=SMALL)
    (run,) = world.select("select * from pipeline_runs")
    assert run["status"] == "SUCCEEDED"
    assert len(run["report"]["sources"]) == 2
    assert readiness(world.database, world.operator_id, world.now).ready


def test_a_run_killed_while_it_fetches_is_marked_and_the_next_one_works(world, api):
    """SIGKILL: no handler runs, the lease stays behind and ends by itself."""
    api.clock.now = datetime.now(UTC)
    api.answer(slow(60), times=None, path="/intensity/factors")
    with command("pipeline", **of_its_own(world)) as process:
        until(lambda: api.count("/intensity/factors"))
        kill(process)
    with pytest.raises(LeaseHeld):
        world.run(sources=SMALL)
    assert national(world) == []
    assert_the_next_run_works(world, api)


def test_a_run_killed_while_it_stores_leaves_nothing_to_see(world, api):
    """It is held up in the middle of its one transaction, after signals were written, and killed there."""
    api.clock.now = datetime.now(UTC)
    before = world.fingerprint()
    with world.superuser() as connection, command("pipeline", **of_its_own(world)) as process:
        connection.autocommit = False
        connection.execute("lock table generation_mix in exclusive mode")
        until(lambda: world.scalar(WAITING))
        kill(process)
        connection.rollback()
    until(lambda: world.scalar(f"select count(*) = 0 from ({BACKENDS}) x"))
    assert world.fingerprint() == before
    assert_the_next_run_works(world, api)


BACKENDS = (
    "select from pg_stat_activity where datname = current_database() and usename = 'pylon_owner'"
    " and pid <> pg_backend_pid()"
)
WAITING = f"select exists ({BACKENDS} and wait_event_type = 'Lock')"


def test_a_second_process_is_refused_while_one_runs(world, api):
    api.clock.now = datetime.now(UTC)

    def meanwhile(title: str, _outcome: str) -> None:
        if title == National().terms.title:
            refused.append(ran("pipeline", **of_its_own(world)))

    refused: list[Ended] = []
    world.run(sources=[National()], progress=meanwhile)
    (second,) = refused
    assert second.code == 1
    assert "Another process runs the pipeline now" in second.said
    assert "Traceback" not in second.said


def assert_the_next_run_works(world: World, api: StandIn) -> None:
    """Within the lease's term: its clock says that the term is over."""
    api.reset()
    api.clock.now = datetime.now(UTC)
    report = world.run(sources=SMALL, clock=lambda: datetime.now(UTC) + timedelta(seconds=TERM_S + 1))
    assert report.status is RunStatus.SUCCEEDED
    killed, last = world.select("select * from pipeline_runs order by started_at")
    assert (killed["status"], killed["report"]["error"]["code"]) == ("FAILED", "abandoned")
    assert killed["finished_at"] is not None
    assert (last["id"], last["status"]) == (report.run_id, "SUCCEEDED")
    assert world.scalar("select string_agg(distinct run_id::text, ' ') from signal_vintages") == str(report.run_id)
    assert len(national(world)) == 144


def of_its_own(world: World) -> dict[str, str]:
    """The settings of a `pylon pipeline` on the test's database."""
    return {
        "DATABASE_URL": world.owner_dsn,
        "PYLON_CARBON_INTENSITY_URL": world.api.url,
        "PYLON_NESO_URL": NOBODY,
        "PYLON_ELEXON_URL": NOBODY,
        "PYLON_GRID": "real",
        "PYLON_SYNTHETIC": "off",
    }


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL


# What runs of every day do


def test_every_source_is_found_and_the_real_ones_are_asked_first():
    found = discover()
    assert [source.terms.is_simulated for source in found] == sorted(source.terms.is_simulated for source in found)
    assert {source.terms.data_source for source in found} >= {DATA_SOURCE, SIMULATED}


def test_the_sites_of_the_fleet_know_the_carbon_of_their_region(world):
    world = world.with_settings(synthetic="on")
    world.run()
    wrong = world.select(
        "select d.dc_id from data_centres d left join regional_grid_signals s "
        "on s.region_id = d.region_id and s.timestamp = %s "
        "where d.current_carbon_intensity is distinct from s.carbon_intensity_forecast or s.id is null",
        floor(world.now),
    )
    assert wrong == []
    assert world.scalar("select count(distinct current_carbon_intensity) from data_centres") > 3
