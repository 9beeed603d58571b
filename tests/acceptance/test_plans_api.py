"""Plans over HTTP: asked for, followed to their end, listed and looked at, for one operator alone."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pylon.interfaces import timetable
from pylon.interfaces.runtime import Runtime
from pylon.planning import arrival
from pylon.services import perform_action
from tests.acceptance.support import World, new_world, served, until
from tests.conftest import new_tenant

PATH = "/api/v1/plans"
PAGE = (Path(__file__).parents[2] / "docs/how-to/plan-the-fleet.md").read_text("utf-8")


@pytest.fixture(scope="module")
def here(cluster: Any, template: str, api: Any) -> Iterator[World]:
    with new_world(cluster, template, "acceptance_plans", api, grid="simulated") as world:
        world.run()
        arrival.warm()  # as a server does before it is asked
        yield world


@pytest.fixture(scope="module")
def runtime(here: World) -> Runtime:
    return here.runtime()


@pytest.fixture(scope="module")
def http(runtime: Runtime) -> Iterator[httpx2.Client]:
    with served(runtime) as client:
        yield client


def ended(http: httpx2.Client, address: str) -> dict[str, Any]:
    """Return the plan at an address once it has ended."""
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(http.get(address).json())
        return found["status"] not in ("QUEUED", "RUNNING")

    until(has_ended)
    return found


@pytest.fixture(scope="module")
def made(http: httpx2.Client) -> dict[str, Any]:
    """The first plan, asked for under a key."""
    asked = http.post(PATH, headers={"Idempotency-Key": "first"})
    assert (asked.status_code, asked.headers["location"]) == (202, f"{PATH}/P-000001")
    assert (asked.json()["plan_id"], asked.json()["status"]) == ("P-000001", "QUEUED")
    return ended(http, asked.headers["location"])


def test_a_plan_that_is_asked_for_is_worked_out(made: dict[str, Any], here: World) -> None:
    assert (made["status"], made["error"], made["trigger"]) == ("SUCCEEDED", None, "client")
    assert 0 < made["bound_gbp"] <= made["cost_gbp"]
    assert made["gap"] == pytest.approx((made["cost_gbp"] - made["bound_gbp"]) / made["bound_gbp"], abs=1e-6)
    result = made["result"]
    assert sum(result["cost"].values()) == pytest.approx(made["cost_gbp"], abs=1e-3)
    assert len(result["places"]) + len(result["rejected"]) == made["workloads"] > 0
    assert set(result["prices"]) == {"power_mw", "gpus", "rise", "fall"}
    assert result["greedy"]["cost_gbp"] >= made["bound_gbp"]
    assert (made["is_simulated"], made["simulated"]) == (True, ["carbon", "price", "stress"])
    stored = here.select(
        "select sha from (select encode(sha256(content::bytea), 'hex') as sha from plan_results) x"
    )
    assert stored == [{"sha": made["result_digest"]}]


def test_the_same_key_is_the_same_plan(made: dict[str, Any], http: httpx2.Client) -> None:
    again = http.post(PATH, headers={"Idempotency-Key": "first"})
    assert again.status_code == 202
    assert (again.json()["id"], again.json()["status"]) == (made["id"], "SUCCEEDED")


@pytest.mark.parametrize("body", ["", "{}"])
def test_a_body_that_says_nothing_is_none(made: dict[str, Any], http: httpx2.Client, body: str) -> None:
    headers = {"Idempotency-Key": "first", "content-type": "application/json"}
    answer = http.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["id"]) == (202, made["id"])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"workloads": []}', "A plan takes no parameters, but was given 'workloads'. Send {}, or no body."),
        ("[]", "A plan takes no parameters. Send {}, or no body."),
        ("null", "A plan takes no parameters. Send {}, or no body."),
        ("{", "The body is not a JSON document"),
        (b"\xff", "The body is not a JSON document"),
    ],
)
def test_a_body_that_would_have_no_effect_is_refused(http: httpx2.Client, body: str | bytes, why: str) -> None:
    before = http.get(PATH).json()
    answer = http.post(PATH, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert why in answer.json()["detail"]
    assert http.get(PATH).json() == before


def test_plans_are_listed_newest_first_in_pages(made: dict[str, Any], http: httpx2.Client) -> None:
    second = ended(http, http.post(PATH).headers["location"])
    page = http.get(PATH, params={"limit": 1}).json()
    assert [plan["plan_id"] for plan in page["plans"]] == [second["plan_id"]]
    assert page["contains_simulated"] is True
    rest = http.get(PATH, params={"limit": 1, "before": page["next_before"]}).json()
    assert (rest["plans"][0]["id"], rest["next_before"]) == (made["id"], None)
    assert "result" not in rest["plans"][0]
    assert http.get(f"{PATH}/{made['id']}").json() == made


def test_it_is_an_object_like_any_other(made: dict[str, Any], http: httpx2.Client) -> None:
    found = http.get(f"/api/v1/objects/Plan/{made['id']}").json()
    assert (found["object"]["plan_id"], found["contains_simulated"]) == ("P-000001", True)


def test_the_requests_of_the_page_are_answered_as_it_says(made: dict[str, Any], http: httpx2.Client) -> None:
    asked, listed = (shlex.split(line) for line in PAGE.splitlines() if line.startswith("curl "))
    path, (name, value) = asked[4].removeprefix("http://127.0.0.1:8000"), asked[6].split(": ")
    answer = http.post(path, headers={name: value})
    assert (answer.status_code, answer.headers["location"]) == (202, f"{PATH}/{answer.json()['plan_id']}")
    ended(http, answer.headers["location"])
    assert http.get(listed[2].removeprefix("http://127.0.0.1:8000")).json()["plans"][0]["id"] == answer.json()["id"]


def test_what_is_not_there_is_not_found(made: dict[str, Any], http: httpx2.Client, here: World) -> None:
    answer = http.get(f"{PATH}/P-999999")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    other = here.runtime(new_tenant(here.database, "other").id)
    with served(other) as theirs:
        assert theirs.get(PATH).json() == {"plans": [], "next_before": None, "contains_simulated": False}
        assert theirs.get(f"{PATH}/{made['id']}").status_code == 404


def test_the_agents_carry_it_out_in_their_next_round(made: dict[str, Any], runtime: Runtime, here: World) -> None:
    runtime.decide("test")
    newest = here.scalar("select max(plan_id) from plans")
    named = {
        row["plan"]
        for row in here.select(
            "select inputs -> 'plan' ->> 'plan_id' as plan from "
            "orchestration_decisions where operator_id = %s and workload_id is not null",
            here.operator_id,
        )
    }
    assert named == {newest}


def test_a_plan_is_made_after_each_run_and_when_what_arrived_has_used_up_the_last(here: World) -> None:
    runtime = here.runtime()
    assert timetable._run_and_log(runtime, "again")
    run = here.scalar("select id from pipeline_runs where trigger = 'again'")
    assert triggers(here)[0] == f"pipeline run {run}"
    here.api.clock.advance(timedelta(minutes=1))
    timetable._execute_every_minute(runtime, set())
    assert triggers(here)[0] == f"pipeline run {run}"  # nothing has arrived
    for number in range(4):
        job = {"job_id": f"large-{number}", "workload_type": "TRAINING_RUN", "duration_mins": 24 * 60}
        given = {**job, "power_kw": 15_000, "value_gbp": 1e6}
        perform_action.perform(here.database, runtime.views, runtime.call(), "submit_workload", given)
    timetable._execute_every_minute(runtime, set())
    assert re.fullmatch(r"[\d,.]+ MWh arrived", triggers(here)[0])
    newest = triggers(here)
    timetable._execute_every_minute(runtime, set())
    assert triggers(here) == newest


def triggers(world: World) -> list[str]:
    return [row["trigger"] for row in world.select("select trigger from plans order by plan_id desc")]


def test_no_process_is_left_when_the_server_has_ended(here: World) -> None:
    runtime = here.runtime()
    with served(runtime) as client:
        ended(client, client.post(PATH).headers["location"])
        pid = runtime.worker.pid
        assert pid is not None
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
