"""`pylon decide`: what a newcomer with a loaded database sees, once and again, and when something is amiss."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylon.store import embedded
from tests.acceptance.homes import new_home
from tests.acceptance.support import Ended, ran


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with new_home() as folder, embedded.acquire(folder):
        yield folder


def pylon(home: Path, *words: str) -> Ended:
    ended = ran(*words, PYLON_HOME=str(home), PYLON_PORT="0", PYLON_GRID="simulated", COLUMNS="160")
    assert "Traceback" not in ended.said, ended.err
    return ended


@pytest.fixture(scope="module")
def first(home: Path) -> Ended:
    """The first `pylon decide` after the first `pylon pipeline`, which has let a day of workloads arrive."""
    assert pylon(home, "pipeline").code == 0
    return pylon(home, "decide", "--limit", "6")


def test_it_prints_what_was_decided_and_why(first: Ended) -> None:
    assert first.code == 0
    assert re.search(r"D-000001 +[A-Z_]+ +SIM-2025-\S+ ", first.said)
    assert "SIM-COMPUTE" not in first.said
    assert re.search(r"Compute Orchestrator \(simulated\): .*\d+ SHIFT_REGION", first.said)
    assert re.search(r"Storage Agent \(simulated\): \d+ SCHEDULE_DISCHARGE", first.said)
    assert "more are not shown; `pylon decide --limit N` shows N." in first.said
    assert re.search(r"\d+ decisions: .*\d+ SHIFT_REGION", first.said)
    assert re.search(r"MWh of work placed. Expected to save -?[\d,.]+ kg CO2 and GBP -?[\d,.]+ against", first.said)
    assert "About simulated objects, so moving nothing in the real world: " in first.said
    assert "failed" not in first.said
    assert "refused" not in first.said


def test_at_once_again_there_is_nothing_to_decide(first: Ended, home: Path) -> None:
    again = pylon(home, "decide")
    assert again.code == 0
    assert "Nothing to decide" in again.said
    assert "pylon pipeline" in again.said


def test_it_teaches_itself() -> None:
    ended = ran("decide", "--help")
    assert ended.code == 0
    assert "--limit" in ended.said
