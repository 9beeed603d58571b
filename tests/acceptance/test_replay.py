"""Decisions made again, over HTTP and in a terminal: what is the same, what differs, and what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from pylon.interfaces import audit_api
from tests.acceptance.support import Ended, World, new_id, new_world, ran, served
from tests.acceptance.test_api import problem
from tests.doubles.acting import Acting, acting
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster

JOBS = 4


@pytest.fixture(scope="module")
def world(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    """A database in which four workloads were placed and planned anew, and a site was scaled down by hand."""
    with new_world(cluster, template, "acceptance_replay", api) as world:
        Acting(world.database, world.operator_id).run_pipeline()
        here = acting(world.database, world.operator_id)
        for number in range(JOBS):
            here.submit(f"JOB-{number}", interruptible=number % 2 == 0)
        here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=15, reason="by phone")
        runtime = world.runtime(clock=lambda: here.now)
        runtime.plan("test")
        runtime.close()
        yield world


@pytest.fixture(scope="module")
def http(world: World) -> Iterator[httpx2.Client]:
    with served(world.runtime()) as client:
        yield client


def replayed(world: World, *words: object) -> Ended:
    return ran("audit", "replay", *map(str, words), DATABASE_URL=world.owner_dsn)


def said(http: httpx2.Client, name: str) -> dict[str, Any]:
    answer = http.get(f"/api/v1/audit/replay/{name}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_decision_is_made_again_over_http(world: World, http: httpx2.Client) -> None:
    (row,) = world.select("select hash, inputs from orchestration_decisions where decision_id = 'D-000001'")
    found = said(http, "D-000001")
    assert (found["kind"], found["verdict"], found["difference"]) == ("decision", "same", None)
    assert found["digest"] == found["stored_digest"] == row["hash"]
    assert found["input_digest"] == row["inputs"]["view"]
    assert said(http, f"D-{JOBS + 1:06d}")["verdict"] == "given"
    refused = problem(http.get(f"/api/v1/audit/replay/{new_id()}"), 404, "not_found")
    assert "no decision and no plan" in refused["detail"]


def test_a_plan_is_made_again_over_http_in_the_planners_process(world: World, http: httpx2.Client) -> None:
    (row,) = world.select("select id, input_digest, input_bytes, result_digest from plans")
    found = said(http, "P-000001")
    assert (found["kind"], found["verdict"]) == ("plan", "same")
    assert found["digest"] == found["stored_digest"] == row["result_digest"]
    assert (found["input_digest"], found["input_bytes"]) == (row["input_digest"], row["input_bytes"])
    with audit_api._one_at_a_time(audit_api._replaying, "A plan is being made again"):
        refused = problem(http.get(f"/api/v1/audit/replay/{row['id']}"), 409, "conflict")
    assert "Try again in a moment" in refused["detail"]


def test_the_command_counts_what_came_out_how(world: World, http: httpx2.Client) -> None:
    everything = replayed(world, "--all")
    assert (everything.code, everything.out.splitlines()[0]) == (0, f"{JOBS + 1} same, 0 different, 1 given")
    assert "Kept of what the decisions saw: 1 inputs, " in everything.said
    assert (
        f"Kept of what the plans saw: 1 inputs, {said(http, 'P-000001')['input_bytes']:,} bytes" in everything.said
    )


def test_what_was_rewritten_is_told_and_the_command_fails(world: World, http: httpx2.Client) -> None:
    rewrite = """
        with told as (
            select seq, prev_hash, replace(content, '"reasoning":"', '"reasoning":"As agreed. ') as content
            from orchestration_decisions where decision_id = 'D-000002')
        update orchestration_decisions d set content = t.content,
            hash = encode(sha256(convert_to(t.prev_hash || E'\\n' || t.seq || E'\\n' || t.content, 'UTF8')), 'hex')
        from told t where d.decision_id = 'D-000002'"""
    with world.superuser() as session:
        session.execute("alter table orchestration_decisions disable trigger user")
        session.execute(rewrite.encode())
        session.execute("alter table orchestration_decisions enable trigger user")
    found = said(http, "D-000002")
    assert (found["verdict"], found["difference"]["path"]) == ("different", "$.reasoning")
    assert found["difference"]["stored"].startswith('"As agreed. ')
    ended = replayed(world, "D-000001", "D-000002")
    assert ended.code == 1
    assert "D-000001 same. Made again from what was kept of it, byte for byte." in ended.said
    assert f"Its input: {said(http, 'D-000001')['input_digest']}" in ended.said
    assert "D-000002 different. Made again it comes out otherwise, first at $.reasoning" in ended.said


def test_it_wants_to_know_what(world: World) -> None:
    for words in ((), ("--all", "--last", "2"), ("--all", "D-000001")):
        ended = replayed(world, *words)
        assert ended.code == 2
        assert "Say what to make again, in one way:" in ended.said
