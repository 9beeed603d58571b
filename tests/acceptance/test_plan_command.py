"""`pylon plan` and `pylon windows` as a newcomer uses them, and what is left of the planner when a server ends."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from pylon.store import embedded
from tests.acceptance.homes import new_home
from tests.acceptance.support import Ended, command, ran, until

PAGE = (Path(__file__).parents[2] / "docs/how-to/plan-the-fleet.md").read_text("utf-8")
ADDRESS = re.compile(r"Serving (http://\S+)")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with new_home() as folder, embedded.acquire(folder):
        assert pylon(folder, "pipeline").code == 0
        yield folder


def pylon(home: Path, *words: str, columns: int = 160) -> Ended:
    ended = ran(*words, PYLON_HOME=str(home), PYLON_GRID="simulated", COLUMNS=str(columns))
    assert "Traceback" not in ended.said, ended.err
    return ended


@pytest.fixture(scope="module")
def first(home: Path) -> Ended:
    return pylon(home, "plan", "--explain")


def test_it_prints_the_plan_beside_others_and_its_proven_bound(first: Ended) -> None:
    assert first.code == 0
    assert "Plan P-000001" in first.out
    for row in ("This plan", "Every booking left as it is", "One workload after another", "No plan can cost less"):
        assert re.search(rf"{row}.* [\d,]+\.\d\d ", first.said), row
    assert re.search(r"within [\d.e-]+ % of the best possible", first.said)
    assert "Rests on simulated carbon, price, stress." in first.said
    assert "moving nothing in the real world" in first.said
    assert "`pylon decide` has one now" in first.said


def test_it_explains_costs_limits_and_what_is_left_out(first: Ended) -> None:
    assert "carbon, at its weight" in first.said
    assert re.search(r"would save about GBP|No limit binds", first.said)
    assert re.search(r"SIM-2025-\S+ does not run: .*\.", first.said)
    assert "The best may be nearer than that says: in the bound room for power" in first.said


def test_one_that_was_made_is_shown_again_and_as_json(first: Ended, home: Path) -> None:
    again = pylon(home, "plan", "P-000001", "--explain")
    assert again.out == first.out
    told = json.loads(pylon(home, "plan", "P-000001", "--json").out)
    assert (told["plan_id"], told["status"], told["trigger"]) == ("P-000001", "SUCCEEDED", "command")
    assert len(told["result"]["places"]) + len(told["result"]["rejected"]) == told["workloads"]
    missing = pylon(home, "plan", "P-000099")
    assert missing.code == 1
    assert "You have no plan 'P-000099'" in missing.said


def test_the_greenest_and_the_cheapest_windows_are_printed(home: Path) -> None:
    ended = pylon(home, "windows", "--hours", "4", "--top", "2", columns=80)
    assert ended.code == 0
    assert "Windows of 4 h that end by" in ended.out
    assert re.search(
        r"^13 London +\w{3} \d\d:\d\d-\d\d:\d\d +\d+ +\w{3} \d\d:\d\d-\d\d:\d\d +[\d.]+", ended.out, re.MULTILINE
    )
    assert "Rests on simulated carbon, price, stress" in ended.said
    one = json.loads(pylon(home, "windows", "--region", "3", "--json").out)
    assert [region["region_id"] for region in one["regions"]] == [3]
    late = pylon(home, "windows", "--by", "2020-01-01")
    assert late.code == 2
    assert "Valid: fewer hours, or a later time" in late.said


def test_both_teach_themselves() -> None:
    for word, said in (("plan", "--explain"), ("windows", "pylon windows --hours 4 --region 13")):
        ended = ran(word, "--help")
        assert ended.code == 0
        assert said in ended.said


def test_the_commands_of_the_page_run_as_they_stand(first: Ended, home: Path) -> None:
    commands = [shlex.split(line)[1:] for line in PAGE.splitlines() if line.startswith("pylon ")]
    assert len(commands) == 3
    for words in commands:
        assert pylon(home, *words).code == 0


def planners(parent: int) -> list[str]:
    """Return the planner processes that a process has started and that live."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "ppid=,pid=,stat=,command="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 3) for line in listing.stdout.splitlines()]
    return [row[1] for row in rows if row[0] == str(parent) and row[2][0] != "Z" and "_plan_worker" in row[3]]


def lives(pid: str) -> bool:
    said = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    return bool(said.strip()) and said.strip()[0] != "Z"


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL], ids=lambda by: by.name)
def test_a_server_that_ends_leaves_no_planner_behind(first: Ended, home: Path, by: signal.Signals) -> None:
    settings = {"PYLON_HOME": str(home), "PYLON_GRID": "simulated", "PYLON_PORT": "0", "PYLON_SCHEDULE": "off"}
    with command("serve", **settings) as process:
        assert process.stdout
        (address,) = next(found for line in process.stdout if (found := ADDRESS.findall(line)))
        with httpx2.Client(base_url=address, trust_env=False, timeout=60) as http:
            place = http.post("/api/v1/plans").headers["location"]
            until(lambda: http.get(place).json()["status"] == "SUCCEEDED")
        (planner,) = planners(process.pid)
        process.send_signal(by)
        out, err = process.communicate(timeout=60)
        until(lambda: not lives(planner))
        if by is signal.SIGINT:
            assert (process.returncode, err.strip().splitlines()[-1]) == (0, "Stopped.")
            assert "Traceback" not in out + err
