"""The timetable: after a run of the pipeline what is due is carried out and the agents decide."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pylon.interfaces import timetable
from tests.acceptance.support import World, new_id, new_world
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster


@pytest.fixture
def here(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    with new_world(cluster, template, "acceptance_timetable", api) as world:
        yield world


def triggers(world: World) -> set[str]:
    return {row["triggered_by"] for row in world.select("select distinct triggered_by from agent_states")}


def test_after_a_run_what_is_due_is_done_and_the_agents_decide(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = here.runtime()
    with caplog.at_level(logging.INFO, logger="pylon.timetable"):
        assert timetable._run_and_log(runtime, "test")
    run = here.scalar("select id from pipeline_runs")
    assert triggers(here) == {f"pipeline run {run}"}
    decided = here.scalar("select count(*) from orchestration_decisions")
    assert decided > 0
    assert f"agents: {decided} decisions" in caplog.text
    assert f"plan P-000001: {here.scalar('select workloads from plans')} workloads" in caplog.text
    here.api.clock.advance(timedelta(minutes=30))  # what a plan places begins with a half hour
    booked = here.scalar("select count(*) from workload_placements where starts_at <= %s", here.now)
    timetable._execute_and_log(runtime)
    assert here.scalar("select count(*) from compute_workloads where status = 'RUNNING'") == booked > 0


def test_work_whose_site_has_closed_is_placed_anew_at_once(here: World) -> None:
    runtime = here.runtime()
    timetable._run_and_log(runtime, "test")
    here.api.clock.advance(timedelta(minutes=30))
    job = here.select(
        "select w.id, w.host_dc_id from compute_workloads w join workload_placements p on p.workload_id = w.id "
        "where w.status = 'QUEUED' and p.starts_at <= %s order by w.deadline desc limit 1",
        here.now,
    )[0]
    here.execute("update data_centres set status = 'OFFLINE' where id = %s", job["host_dc_id"])
    held: set[str] = set()
    timetable._execute_every_minute(runtime, held)
    assert "held work" in triggers(here)
    assert held
    rounds = here.scalar("select count(*) from agent_states")
    timetable._execute_every_minute(runtime, held)
    assert (held, here.scalar("select count(*) from agent_states")) == (set(), rounds)
    moved = here.scalar("select host_dc_id from compute_workloads where id = %s", job["id"])
    assert moved != job["host_dc_id"]


def test_where_another_process_runs_a_round_it_is_left_to_it(here: World, caplog: pytest.LogCaptureFixture) -> None:
    runtime = here.runtime()
    holder = new_id()
    with here.database.as_ingest() as transaction:
        assert transaction.value(
            "take_lease", name=f"agents of {here.operator_id}", holder=holder, now=here.now, term_s=60
        )
    with caplog.at_level(logging.INFO, logger="pylon.timetable"):
        timetable._decide_and_log(runtime, "test")
    assert "another process runs a round" in caplog.text
    assert triggers(here) == set()


def test_a_fault_does_not_stop_the_server(here: World, caplog: pytest.LogCaptureFixture) -> None:
    runtime = here.runtime()
    here.execute("alter table compute_workloads rename to elsewhere")
    timetable._execute_and_log(runtime)
    assert "execution failed" in caplog.text
