"""A pipeline killed at any moment, and one clean run after it: the same database as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.catalogue import ROWS
from pylon.ontology.columns import of
from pylon.store.leases import TERM_S
from tests.acceptance.support import World, new_id, new_world
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.pipeline_process import Job, Nursery, nursery, run
from tests.doubles.postgres import Cluster

KILLS, FEWER = 20, 8
SEED = 20231122

STATE, CLONE = "killed_state", "killed_clone"
NOT_COMPARED = {"pipeline_runs", "leases", "events"}
STAMPS = ("fetched_at", "updated_at")
"""When a row was written, the second of them by the database's own clock."""


@pytest.fixture(scope="module")
def process() -> Iterator[Nursery]:
    with nursery() as started:
        yield started


@pytest.fixture
def jobs(cluster: Cluster, template: str, api: StandIn) -> Iterator[Job]:
    """The next run, half an hour after the first, on a clone of what the first left. The forecast has changed."""
    api.revises = True
    api.horizon = timedelta(hours=8)  # all of it, and less of everything
    with new_world(cluster, template, STATE, api) as world:
        first = job(world, CLONE)
        run(Job(**{**vars(first), "dsn": dsn(world, STATE)}))
        api.clock.advance(HALF_HOUR)
        world.database.close()  # a database is cloned while nobody is connected to it
        yield job(world, CLONE)


def job(world: World, name: str, later_s: int = 0) -> Job:
    now = world.now
    return Job(
        dsn=dsn(world, name),
        url=world.api.url,
        operator_id=str(world.operator_id),
        run_id=str(new_id()),
        now=now.isoformat(),
        clock=(now + timedelta(seconds=later_s)).isoformat(),
    )


def dsn(world: World, name: str) -> str:
    return world.cluster.dsn(name, "pylon_app")


@contextmanager
def cloned(cluster: Cluster) -> Iterator[None]:
    cluster.create(CLONE, STATE)
    try:
        yield
    finally:
        cluster.drop(CLONE)


def again(killed: Job) -> Job:
    """The clean run: for the same moment, on a clock on which the lease of the one killed has ended."""
    later = datetime.fromisoformat(killed.clock) + timedelta(seconds=TERM_S + 1)
    return Job(**{**vars(killed), "run_id": str(new_id()), "clock": later.isoformat()})


def contents(cluster: Cluster) -> dict[str, Any]:
    """How many rows each table has, and a digest of them without ids and the times of writing."""
    found = {}
    with cluster.superuser(CLONE) as session:
        for row in ROWS.values():
            if row.table.name in NOT_COMPARED:
                continue
            left_out = [spec.name for spec in of(row) if spec.sql_type == "uuid" or spec.name in STAMPS]
            query = (
                "select count(*), md5(string_agg(r::text, ' ' order by r::text)) "
                f"from (select to_jsonb(t) - %s::text[] as r from public.{row.table.name} t) x"
            )
            found[row.table.name] = session.execute(query.encode(), [left_out]).fetchone()
    return found


def runs(cluster: Cluster) -> list[str]:
    with cluster.superuser(CLONE) as session:
        return [status for (status,) in session.execute("select status from pipeline_runs order by started_at")]


def test_after_a_kill_at_any_moment_one_clean_run_leaves_what_an_undisturbed_one_leaves(
    cluster, process, jobs, is_soak
):
    with cloned(cluster):
        before = contents(cluster)
        began = time.monotonic()
        process.start(jobs)
        assert process.status() == 0
        duration_s = time.monotonic() - began
        expected = contents(cluster)
    changed = {table for table in expected if expected[table] != before[table]}
    assert changed >= {"grid_signals", "regional_grid_signals", "signal_vintages", "compute_workloads"}
    draw = random.Random(SEED)
    kills, killed = KILLS if is_soak else FEWER, 0
    for number in range(kills):
        with cloned(cluster):
            child = process.start(jobs)
            time.sleep(duration_s * (number + draw.random()) / kills)
            with suppress(ProcessLookupError):  # it was quicker than those before it
                os.kill(child, signal.SIGKILL)
            if process.status() == -signal.SIGKILL:
                killed += 1
            else:
                duration_s *= 0.8
            run(again(jobs))
            assert contents(cluster) == expected, f"killed {number + 1} of {kills} through the run"
            assert "RUNNING" not in runs(cluster)
    assert killed >= kills // 2
