"""The actions over HTTP: described, tried, performed once, refused with reasons, and proof against the hostile."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from pylon.ontology.actions import ACTIONS
from tests.acceptance.support import World

_numbers = itertools.count(1)


def job(world: World, **more: Any) -> dict[str, Any]:
    """A job with an id of its own that may run anywhere in the next day."""
    return {
        "job_id": f"JOB-{next(_numbers)}",
        "workload_type": "TRAINING_RUN",
        "duration_mins": 90,
        "power_kw": 250,
        "deadline": (world.now + timedelta(hours=24)).isoformat(),
        **more,
    }


def asked(http: httpx2.Client, name: str, given: Any, *, key: str | None = None, dry_run: bool = False) -> Any:
    return http.post(
        f"/api/v1/actions/{name}",
        json=given,
        params={"dry_run": "true"} if dry_run else {},
        headers={"Idempotency-Key": key} if key else {},
    )


def done(http: httpx2.Client, name: str, given: Any, **how: Any) -> dict[str, Any]:
    answer = asked(http, name, given, **how)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    return body


# ---- described


def test_every_action_is_described_with_what_it_takes(http: httpx2.Client) -> None:
    listed = http.get("/api/v1/actions").json()["actions"]
    assert [one["name"] for one in listed] == list(ACTIONS)
    submit = http.get("/api/v1/actions/submit_workload").json()
    assert submit == listed[0]
    assert submit["parameters"]["properties"]["duration_mins"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 10_080,
        "unit": "min",
        "description": "How long the job runs",
    }
    assert "ACCEPT_WORKLOAD" in submit["decisions"]
    assert {"code": "job_id_free", "doc": "The operator has no job of that id"} in submit["criteria"]


def test_the_openapi_document_describes_the_body_of_every_action(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    for name, action in ACTIONS.items():
        body = document["paths"][f"/api/v1/actions/{name}"]["post"]["requestBody"]
        reference = body["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert list(schema["properties"]) == list(action.parameters.model_fields)
    missing = {
        one.rpartition("/")[2]
        for one in _references(document)
        if one.rpartition("/")[2] not in document["components"]["schemas"]
    }
    assert missing == set()


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [one for value in part.values() for one in _references(value)]
    return [one for value in part for one in _references(value)] if isinstance(part, list) else []


# ---- performed


def test_a_job_is_decided_in_the_answer_and_in_the_database(world: World, http: httpx2.Client) -> None:
    given = job(world)
    body = done(http, "submit_workload", given)
    assert (body["applied"], body["dry_run"], body["replayed"]) == (True, False, False)
    (decision,) = body["decisions"]
    (stored,) = world.select("select * from compute_workloads where job_id = %s", given["job_id"])
    assert body["changed"]["ComputeWorkload"][0]["id"] == str(stored["id"])
    (logged,) = world.select("select * from orchestration_decisions where id = %s", decision["id"])
    assert logged["workload_id"] == stored["id"]
    assert logged["reasoning"] == decision["reasoning"]


def test_a_dry_run_says_what_would_happen_and_leaves_everything_as_it_was(
    world: World, http: httpx2.Client
) -> None:
    given = job(world)
    before = world.fingerprint()
    tried = done(http, "submit_workload", given, dry_run=True)
    assert (tried["applied"], tried["dry_run"], len(tried["decisions"])) == (False, True, 1)
    assert world.fingerprint() == before
    unknown = job(world, origin="NOWHERE")
    problem(asked(http, "submit_workload", unknown, dry_run=True), 404, "not_found")


def test_under_one_key_it_is_done_once(world: World, http: httpx2.Client) -> None:
    given = job(world)
    first = done(http, "submit_workload", given, key="a key / 1")
    again = done(http, "submit_workload", given, key="a key / 1")
    assert again == {**first, "replayed": True, "applied": False}
    other = problem(asked(http, "submit_workload", job(world), key="a key / 1"), 409, "conflict")
    assert "Use a new key" in other["detail"]
    assert world.scalar("select count(*) from compute_workloads where job_id = %s", given["job_id"]) == 1


def test_one_key_from_many_clients_at_once_is_done_once(world: World, http: httpx2.Client) -> None:
    given = job(world)
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: done(http, "submit_workload", given, key="at once"), range(8)))
    assert sorted(body["replayed"] for body in bodies) == [False, *[True] * 7]
    assert len({body["decisions"][0]["id"] for body in bodies}) == 1


def test_many_jobs_are_taken_in_all_or_none(world: World, http: httpx2.Client) -> None:
    jobs = [job(world) for _ in range(30)]
    body = done(http, "submit_workloads", {"workloads": jobs})
    assert [row["job_id"] for row in body["changed"]["ComputeWorkload"]] == [one["job_id"] for one in jobs]
    assert len(body["decisions"]) == 30
    before = world.fingerprint()
    mixed = {"workloads": [job(world), jobs[0], jobs[1]]}
    refused = problem(asked(http, "submit_workloads", mixed), 409, "refused")
    assert [(one["code"], one["job_id"]) for one in refused["refusals"]] == [
        ("job_id_free", jobs[0]["job_id"]),
        ("job_id_free", jobs[1]["job_id"]),
    ]
    assert world.fingerprint() == before


def test_a_refusal_names_its_criterion_for_programs_and_people(world: World, http: httpx2.Client) -> None:
    given = job(world)
    done(http, "submit_workload", given)
    done(http, "cancel_workload", {"job_id": given["job_id"]})
    body = problem(asked(http, "start_workload", {"job_id": given["job_id"]}), 409, "refused")
    (refusal,) = body["refusals"]
    assert (refusal["code"], refusal["status"]) == ("status", "CANCELLED")
    assert body["detail"] == refusal["detail"]
    tried = done(http, "start_workload", {"job_id": given["job_id"]}, dry_run=True)
    assert (tried["applied"], tried["refusals"]) == (False, [refusal])


def test_a_day_in_the_life_of_a_fleet(world: World, http: httpx2.Client) -> None:
    site = {"dc_id": "MINE-1", "name": "Mine", "region": 7, "pue": 1.2, "total_capacity_mw": 5, "gpu_count": 64}
    done(http, "register_data_centre", site)
    given = job(world, origin="MINE-1", allowed_region_ids=[7], deferral_window_mins=0)
    (decision,) = done(http, "submit_workload", given)["decisions"]
    assert decision["is_simulated"] is False
    starts_at = world.now + timedelta(hours=30)
    window = {"dc_id": "MINE-1", "starts_at": starts_at.isoformat(), "reason": "Works"}
    limit = done(http, "add_blackout_window", {**window, "ends_at": (starts_at + timedelta(hours=4)).isoformat()})
    done(http, "remove_blackout_window", {"limit_id": limit["changed"]["LoadLimit"][0]["id"]})
    done(http, "start_workload", {"job_id": given["job_id"]})
    body = done(http, "complete_workload", {"job_id": given["job_id"], "energy_kwh": 10.5})
    assert body["changed"]["ComputeWorkload"][0]["status"] == "COMPLETED"
    assert world.scalar("select actual_energy_kwh from compute_workloads where job_id = %s", given["job_id"]) > 10
    found = http.get("/api/v1/objects/DataCentre", params={"dc_id.eq": "MINE-1"}).json()
    assert found["objects"][0]["gpu_count"] == 64


# ---- hostile


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "not a JSON document"),
        ("{", "not a JSON document"),
        ("[]", "are an object"),
        ("null", "are an object"),
        ('{"job_id": "x", "job_id": "y"}', "twice"),
        ('{"job_id": "x", "duration_mins": NaN}', "NaN, which is no JSON number"),
        ('{"job_id": "x", "duration_mins": Infinity}', "no JSON number"),
        ('{"job_id": "x", "duration_mins": 1e999999}', "duration_mins: must be from 1 to 10,080 min"),
        ('{"job_id": "x", "duration_mins": ' + "9" * 4000 + "}", "duration_mins: must be from 1 to 10,080 min"),
        ('{"job_id": "x", "duration_mins": ' + "9" * 5000 + "}", f"the number {'9' * 30}..., which is"),
        ('{"job_id": "x", "power_kw": -1e-400}', "workload_type: is required"),
        ('{"job_id": "\\u0000"}', "job_id: must be text without control characters"),
        ('{"job_id": "\\ud800"}', "job_id: "),
        ('{"job_id": "x", "deadline": "2026-11-22T09:00:00"}', "deadline: must be a time with its zone"),
        ('{"job_id": "x", "allowed_region_ids": [16]}', "15 to 17 (England, Scotland, Wales) are sums of them"),
        ('{"job_id": "x", "\\u0000": 1}', "is no parameter"),
        ("[" * 100_000, "nested too deeply"),
        (b'{"job_id": "\xff"}', "not a JSON document"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_in_words(http: httpx2.Client, body: str | bytes, why: str) -> None:
    answer = http.post(
        "/api/v1/actions/submit_workload", content=body, headers={"content-type": "application/json"}
    )
    assert why in problem(answer, 422, "invalid")["detail"]


def test_a_thousand_and_one_jobs_are_too_many(http: httpx2.Client, world: World) -> None:
    body = problem(asked(http, "submit_workloads", {"workloads": [job(world)] * 1001}), 422, "invalid")
    assert "at most 1,000 items" in body["detail"]
    huge = {"workloads": [job(world, job_id="x" * 100) for _ in range(10_000)]}
    problem(asked(http, "submit_workloads", huge), 413, "too_large")


@pytest.mark.parametrize("key", ["", "x" * 101, "caf\xe9", "a\tb"])
def test_a_key_is_short_and_printable(http: httpx2.Client, world: World, key: str) -> None:
    answer = http.post(
        "/api/v1/actions/submit_workload",
        json=job(world),
        headers=[(b"Idempotency-Key", key.encode("latin-1"))],
        params={"dry_run": "true"},
    )
    assert "1 to 100 printable ASCII characters" in problem(answer, 422, "invalid")["detail"]


def test_words_of_any_script_come_back_as_they_went(http: httpx2.Client, world: World) -> None:
    name = "訓練 🏭 'DROP TABLE' %s \u202e"
    body = done(http, "submit_workload", job(world, job_id=name))
    assert body["changed"]["ComputeWorkload"][0]["job_id"] == name
    assert done(http, "cancel_workload", {"job_id": name})["changed"]["ComputeWorkload"][0]["job_id"] == name


def test_what_is_no_action_is_said_to_be_none(http: httpx2.Client) -> None:
    body = problem(asked(http, "submit_job", {}), 404, "not_found")
    assert "Did you mean submit_workload?" in body["detail"]
    problem(http.get("/api/v1/actions/submit_job"), 404, "not_found")
    problem(http.put("/api/v1/actions/cancel_workload", json={}), 405, "method_not_allowed")
    problem(asked(http, "%00", {}), 404, "not_found")


def test_a_slip_in_a_parameter_of_the_address_is_refused(http: httpx2.Client, world: World) -> None:
    for query, why in {
        "dryrun=true": "has no parameter 'dryrun'",
        "dry_run=true&dry_run=false": "given twice",
    }.items():
        answer = http.post(f"/api/v1/actions/submit_workload?{query}", json=job(world))
        assert why in problem(answer, 422, "invalid")["detail"]


def test_a_page_of_another_site_cannot_act(http: httpx2.Client, world: World) -> None:
    given = job(world)
    answer = http.post("/api/v1/actions/submit_workload", json=given, headers={"origin": "https://example.org"})
    problem(answer, 403, "forbidden")
    form = http.post("/api/v1/actions/submit_workload", content=json.dumps(given).encode())
    assert form.status_code == 415
    assert world.scalar("select count(*) from compute_workloads where job_id = %s", given["job_id"]) == 0
