"""A demo day: work arrives, is decided, runs and is settled; the report adds up and the log is intact."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pylon.interfaces import demo, demo_command
from pylon.interfaces.demo import DrivenClock, Step
from pylon.interfaces.runtime import Runtime
from pylon.ontology.calendar import HALF_HOUR
from pylon.services import operators
from pylon.services.report import By, Figures, Kind, report
from pylon.services.verify_log import verify
from pylon.settings import Settings
from pylon.store.access import Access
from pylon.store.database import Database
from tests.acceptance.homes import left_of, new_home
from tests.acceptance.support import ran, until
from tests.conftest import LOGIN
from tests.doubles.postgres import Cluster

NAME = "acceptance_demo"
NOW = datetime(2026, 11, 22, 18, 10, tzinfo=UTC)
HOURS = 6
PATIENCE_S = 300


@dataclass
class Day:
    """A demo that has run its course."""

    cluster: Cluster
    runtime: Runtime
    steps: list[Step]

    def select(self, query: str) -> list[tuple[Any, ...]]:
        with self.cluster.superuser(NAME) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def day(cluster: Cluster, template: str) -> Iterator[Day]:
    owner = cluster.create(NAME, template)
    settings = demo.demo_settings(Settings())
    at = demo.moments(NOW, HOURS)
    clock = DrivenClock(at[0])
    with Database(cluster.dsn(NAME, LOGIN), pool_size=4) as database:
        operator_id = operators.acting(database, None, now=at[0])
        access = Access("a test's database", owner=owner, login=owner)
        runtime = Runtime(settings, access, database, operator_id, clock)
        steps = list(demo.course(runtime, clock, at))
        runtime.close()
        yield Day(cluster, runtime, steps)
    cluster.drop(NAME)


def test_the_clock_stops_at_each_half_hour_and_at_the_end() -> None:
    at = demo.moments(NOW, HOURS)
    assert (at[0], at[-1], len(at)) == (NOW.replace(minute=0) - timedelta(hours=HOURS), NOW, 2 * HOURS + 2)
    on_the_hour = demo.moments(NOW.replace(minute=0), 1)
    assert [later - one for one, later in pairwise(on_the_hour)] == [HALF_HOUR] * 2


def test_the_fleet_is_planned_on_the_way(day: Day) -> None:
    made = dict(day.select("select plan_id, status::text from plans"))
    assert set(made.values()) == {"SUCCEEDED"}
    assert [step.plan.plan_id for step in day.steps[::4]] == sorted(made)


def test_work_arrives_is_decided_runs_and_is_settled(day: Day) -> None:
    assert [error for step in day.steps for error in step.errors] == []
    assert [refusal for step in day.steps for refusal in step.executed.refusals] == []
    assert sum(step.executed.completed for step in day.steps) > 10
    statuses = dict(day.select("select status::text, count(*) from compute_workloads group by 1"))
    assert statuses["COMPLETED"] == sum(step.executed.completed for step in day.steps)
    assert statuses["RUNNING"] == sum(step.executed.started - step.executed.completed for step in day.steps)
    (settled,) = day.select("select count(*) from decision_outcomes where workload_id is not null")
    # All but what ended in the half hour that has not ended itself.
    (ended,) = day.select("select count(*) from compute_workloads where completed_at <= '2026-11-22 18:00Z' "
                          "and started_at is not null")  # fmt: skip
    assert settled == ended


def test_nothing_runs_before_it_came_after_its_deadline_or_past_its_time(day: Day) -> None:
    assert day.select("select job_id from compute_workloads where started_at < created_at") == []
    assert (
        day.select("select job_id from compute_workloads where completed_at > deadline and started_at is not null")
        == []
    )
    late = "where status = 'RUNNING' and started_at + make_interval(mins => duration_mins) <= '2026-11-22 18:10Z'"
    assert day.select(f"select job_id from compute_workloads {late} and not interruptible") == []


def test_every_kilowatt_hour_of_completed_work_is_recorded_once(day: Day) -> None:
    rows = day.select(
        "select w.power_kw * w.duration_mins / 60 * d.pue, sum(c.energy_kwh), o.actual_energy_kwh "
        "from compute_workloads w join data_centres d on d.id = w.host_dc_id "
        "join workload_consumption c on c.workload_id = w.id join decision_outcomes o on o.workload_id = w.id "
        "where w.status = 'COMPLETED' group by w.id, d.pue, o.actual_energy_kwh"
    )
    assert len(rows) > 10
    for expected, recorded, settled in rows:
        assert abs(expected - recorded) < Decimal("0.5")
        assert abs(expected - settled) < Decimal("0.01")


def test_the_report_adds_up_and_the_log_is_intact(day: Day) -> None:
    here = day.runtime
    reports = [report(here.database, here.operator_id, NOW, by=by) for by in By]
    assert reports[0].totals == reports[1].totals
    assert {total.kind for total in reports[0].totals} == {Kind.SIMULATED}
    for told in reports:
        for name in Figures.model_fields:
            assert sum(getattr(row, name) or 0 for row in told.rows) == getattr(told.totals[0], name), name
    (saved,) = day.select("select sum(cost_saved_gbp) from decision_outcomes where workload_id is not null "
                          "and baseline_infeasible is null")  # fmt: skip
    assert saved == (reports[0].totals[0].cost_saved_gbp,)
    checked = verify(here.database, here.operator_id)
    assert checked.is_intact
    assert checked.decisions == sum(len(step.decisions) for step in day.steps) > 20


def test_its_line_of_progress_says_what_the_report_says(day: Day) -> None:
    (total,) = report(day.runtime.database, day.runtime.operator_id, NOW).totals
    said = demo_command.progress_line(day.steps)
    assert f"{total.completed} done: {total.energy_kwh / 1000:,.1f} MWh, " in said
    assert total.carbon_saved_g is not None
    kg = total.carbon_saved_g / 1000
    assert (f"{kg / 1000:,.1f} t CO2 saved" if abs(kg) >= 1000 else f"{kg:,.0f} kg CO2 saved") in said
    assert total.energy_kwh > 0


def test_it_says_what_storage_held_before_and_after(day: Day) -> None:
    mine = f"operator_id = '{day.runtime.operator_id}'"
    ((held,),) = day.select(f"select sum(current_charge_mwh) from storage_assets where {mine}")
    first, line = day.steps[0].began_with_mwh, demo.storage_line(day.steps)
    assert 0 < first != float(held)
    assert f"{first:,.1f} MWh at the start and {held:,.1f} MWh at the end ({float(held) - first:+,.1f})" in line


def test_all_of_it_is_labelled_simulated(day: Day) -> None:
    for table in ("orchestration_decisions", "decision_outcomes", "compute_workloads", "data_centres"):
        assert day.select(f"select distinct is_simulated from {table}") == [(True,)], table


def test_examples_are_of_three_kinds_and_save_the_most(day: Day) -> None:
    decisions = [decision for step in day.steps for decision in step.decisions]
    shown = demo.examples(decisions)
    assert len(shown) == len({one.decision_type for one in shown}) >= 2
    best = max(one.cost_saved_gbp or 0 for one in decisions if one.decision_type is shown[0].decision_type)
    assert shown[0].cost_saved_gbp == best


def test_the_command_makes_its_own_database_and_shows_a_day() -> None:
    with new_home() as home:
        # A database that is set is not the demo's to use: this one could not even be reached.
        settings = {
            "PYLON_HOME": str(home),
            "COLUMNS": "80",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        }
        ended = ran("demo", "--hours", "1", "--fast", patience_s=PATIENCE_S, **settings)
        assert ended.code == 0, ended.said
        shown = (
            "Simulated: a made-up grid",
            "Decisions:",
            "Workloads that ended",
            "Storage held",
            "intact.",
            "simulated",
        )
        for said in shown:
            assert said in ended.said, said
        assert f"PYLON_HOME={home / 'demo'} PYLON_GRID=simulated pylon serve" in ended.said
        assert len(re.findall(r"D-\d{6} [A-Z_]+:", ended.said)) >= 1
        own = {"PYLON_HOME": str(home / "demo"), "PYLON_GRID": "simulated"}
        verified = ran("audit", "verify", patience_s=PATIENCE_S, **own)
        assert verified.code == 0, verified.said
        printed = ran("report", "--csv", patience_s=PATIENCE_S, **own)
        assert {row["kind"] for row in csv.DictReader(io.StringIO(printed.out))} == {"simulated"}
        until(lambda: not left_of(Path(home / "demo")))
