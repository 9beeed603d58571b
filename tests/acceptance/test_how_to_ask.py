"""docs/how-to/ask-for-objects.md: every request on the page, sent as it stands, answers what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

PAGE = (Path(__file__).parents[2] / "docs/how-to/ask-for-objects.md").read_text("utf-8")
REQUEST = re.compile(r"curl -s 'http://127\.0\.0\.1:8000([^']+)'(?: -H '[^']+' -d '([^']+)')?")
REQUESTS = [REQUEST.findall(block) for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)]


@pytest.fixture(scope="module")
def answers(http: httpx2.Client) -> list[dict[str, Any]]:
    """The answer to each request of the page, in order; an id in braces is that of the answer before."""
    region: dict[str, str] = {}
    found = []
    for path, body in (request for block in REQUESTS for request in block):
        for name, value in region.items():
            path = path.replace(name, value)
        headers = {"content-type": "application/json"}
        answer = http.post(path, content=body.encode(), headers=headers) if body else http.get(path)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if "Region?" in path:
            region["{Region.id}"] = found[-1]["objects"][0]["id"]
    return found


def test_every_block_holds_requests() -> None:
    assert [len(block) for block in REQUESTS] == [1, 4, 1, 1]


def test_the_list_is_filtered_sorted_and_selected(answers: list[dict[str, Any]]) -> None:
    listed = answers[0]["objects"]
    assert listed
    assert set(listed[0]) == {"dc_id", "name", "pue", "total_capacity_mw"}
    assert [row["total_capacity_mw"] for row in listed] == sorted(
        (row["total_capacity_mw"] for row in listed), reverse=True
    )
    assert all(row["pue"] < 1.4 for row in listed)
    assert answers[0]["contains_simulated"]


def test_a_region_leads_to_its_signals_and_its_data_centres(answers: list[dict[str, Any]]) -> None:
    _, (region,), one, signals, sites = answers[0], answers[1]["objects"], answers[2], answers[3], answers[4]
    assert one["object"] == region
    assert [row["region_id"] for row in signals["objects"]] == [region["id"]] * 3
    assert signals["next_cursor"]
    assert all(set(row) == {"dc_id", "name"} for row in sites["objects"])


def test_the_search_and_the_figures_answer(answers: list[dict[str, Any]]) -> None:
    search, figures = answers[5], answers[6]
    assert all(set(row) == {"job_id", "power_kw", "deadline"} for row in search["objects"])
    assert figures["groups"]
    for group in figures["groups"]:
        measures = group["measures"]
        assert (
            measures["min_carbon_intensity_forecast"]
            <= measures["mean"]
            <= measures["max_carbon_intensity_forecast"]
        )
