"""A process is killed while it acts, again and again: what it leaves is whole. Fifty times in `make soak`."""

from __future__ import annotations

import multiprocessing
import random
import time
from typing import Any

from pylon.services.verify_log import verify
from tests.conftest import LOGIN
from tests.doubles.acting import Acting
from tests.doubles.acting_process import act_until_killed
from tests.doubles.postgres import Cluster

KILLS, FEWER = 50, 8
PATIENCE_S = 60


def test_kills_leave_every_workload_whole_and_the_chain_unbroken(
    here: Acting, cluster: Cluster, is_soak: bool
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.doubles.acting_process"])
    dsn = cluster.dsn(here.rows("select current_database() as name")[0]["name"], LOGIN)
    draw = random.Random(4)
    here.submit("WARM")  # the kernels are compiled and kept before anyone is in a hurry
    kills = KILLS if is_soak else FEWER
    for kill in range(kills):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=act_until_killed, args=(dsn, here.operator_id, kill, theirs))
        process.start()
        assert ours.poll(PATIENCE_S), "the process did not come to act"
        time.sleep(draw.random() * 0.06)  # anywhere in the next few actions
        process.kill()
        process.join(PATIENCE_S)
    _must_be_whole(here, kills)


def _must_be_whole(here: Acting, kills: int) -> None:
    decisions = here.rows("select * from public.orchestration_decisions order by seq")
    assert [row["seq"] for row in decisions] == list(range(1, len(decisions) + 1))
    assert verify(here.database, here.operator_id).is_intact
    standing: dict[Any, Any] = {row["workload_id"]: row for row in decisions}
    workloads = here.rows("select * from public.compute_workloads")
    assert len(workloads) > kills
    assert {row["id"] for row in workloads} == set(standing), (
        "no effect without its decision, and none without effect"
    )
    placed = here.rows("select * from public.workload_placements order by workload_id, starts_at")
    for row in workloads:
        spans = [one for one in placed if one["workload_id"] == row["id"]]
        effect = standing[row["id"]]["effect"]
        if row["status"] in ("CANCELLED", "RUNNING", "COMPLETED"):
            assert (row["started_at"] is not None) is (row["status"] != "CANCELLED")
            assert (row["completed_at"] is not None) is (row["status"] != "RUNNING")
            continue
        assert row["status"] == effect["to"]
        assert (row["host_dc_id"] is not None) is bool(spans) is ("spans" in effect)
        assert {one["decision_id"] for one in spans} <= {standing[row["id"]]["id"]}
        assert len(spans) == len(effect.get("spans", ()))
