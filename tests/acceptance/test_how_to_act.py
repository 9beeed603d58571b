"""docs/how-to/act-on-the-fleet.md: every request on the page, sent as it stands, answers what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import httpx2
import pytest

PAGE = (Path(__file__).parents[2] / "docs/how-to/act-on-the-fleet.md").read_text("utf-8")
REQUESTS = [
    words
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for words in (shlex.split(command) for command in re.split(r"\n\n", block.strip()))
]


@pytest.fixture(scope="module")
def answers(http: httpx2.Client) -> list[dict[str, Any]]:
    """The answer to each request of the page, in order."""
    found: list[dict[str, Any]] = []
    for _, _, address, *rest in REQUESTS:
        options = list(zip(rest[::2], rest[1::2], strict=True))
        headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
        (body,) = (value for option, value in options if option == "-d") if len(options) > 1 else ("",)
        if "{LoadLimit.id}" in body:
            body = body.replace("{LoadLimit.id}", found[-1]["changed"]["LoadLimit"][0]["id"])
        path = address.removeprefix("http://127.0.0.1:8000")
        answer = http.post(path, content=body.encode(), headers=headers) if body else http.get(path)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
    return found


def named(answers: list[dict[str, Any]], action: str) -> list[dict[str, Any]]:
    return [answer for answer in answers if answer.get("action") == action]


def test_every_request_was_sent(answers: list[dict[str, Any]]) -> None:
    assert len(answers) == PAGE.count("curl -s ") >= 10


def test_the_job_is_decided_with_a_reason_and_a_saving(answers: list[dict[str, Any]]) -> None:
    submitted, tried = named(answers, "submit_workload")
    (decision,) = submitted["decisions"]
    assert decision["reasoning"]
    assert decision["alternatives_considered"]["baseline"]["dc_id"] == "MY-LEEDS"
    assert None not in (decision["carbon_saved_gco2"], decision["cost_saved_gbp"])
    (job,) = submitted["changed"]["ComputeWorkload"]
    assert job["status"] in ("QUEUED", "DEFERRED_CARBON", "DEFERRED_PRICE", "DEFERRED_GRID_STRESS")
    assert job["host_dc_id"]
    assert ([one["code"] for one in tried["refusals"]], tried["applied"]) == (["job_id_free"], False)


def test_the_job_is_amended_and_called_off(answers: list[dict[str, Any]]) -> None:
    (amended,), (cancelled,) = named(answers, "amend_workload"), named(answers, "cancel_workload")
    assert amended["changed"]["ComputeWorkload"][0]["carbon_cap_gco2"] is None
    assert cancelled["changed"]["ComputeWorkload"][0]["status"] == "CANCELLED"


def test_the_site_is_held_back_and_let_go(answers: list[dict[str, Any]]) -> None:
    (added,), (removed,) = named(answers, "add_blackout_window"), named(answers, "remove_blackout_window")
    assert added["changed"]["LoadLimit"][0]["max_power_mw"] in (0, "0.00", "0")
    assert removed["changed"]["LoadLimit"][0]["ends_at"] == "2030-03-01T06:00:00Z"
    down, up = named(answers, "scale_data_centre")
    assert [one["decisions"][0]["decision_type"] for one in (down, up)] == ["SCALE_DOWN", "SCALE_UP"]
    (closed,) = named(answers, "set_data_centre_status")
    assert closed["changed"]["DataCentre"][0]["status"] == "MAINTENANCE"


def test_the_schedules_of_the_batteries_are_listed(answers: list[dict[str, Any]]) -> None:
    (listed,) = [answer["schedules"] for answer in answers if "schedules" in answer]
    assert listed
    assert all(one["asset_id"] and one["is_simulated"] for one in listed)
