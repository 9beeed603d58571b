"""`pylon up`: from nothing to a served API in one command, and back to nothing by one signal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.homes import left_of, new_home
from tests.acceptance.support import command, ran, until

ADDRESS = re.compile(r"Serving (http://\S+)")
PATIENCE_S = 60


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with new_home() as folder:
        yield folder


@dataclass
class Up:
    """A Pylon that is up: what it printed on the way, and where it answers."""

    process: subprocess.Popen[str]
    printed: list[str]
    address: str

    def stop(self, by: signal.Signals) -> tuple[int, str]:
        """Send the signal as a terminal does, to the whole group; return the exit code and what was still said."""
        os.killpg(self.process.pid, by)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out + err


@contextmanager
def up(home: Path, word: str = "up", **settings: str) -> Iterator[Up]:
    values = {"PYLON_HOME": str(home), "PYLON_PORT": "0", "PYLON_GRID": "simulated", **settings}
    with command(word, **values) as process:
        printed = []
        assert process.stdout
        for line in process.stdout:
            printed.append(line)
            if match := ADDRESS.search(line):
                yield Up(process, printed, match[1])
                return
        raise AssertionError(f"it did not get up: {''.join(printed)}{process.stderr and process.stderr.read()}")


def held(lines: list[str], title: str) -> int:
    """Return the number a line of the closing table gives for what is called `title`."""
    (line,) = [line for line in lines if line.strip().startswith(title)]
    number = re.search(r"([\d,]+)", line.strip().removeprefix(title))
    assert number
    return int(number[1].replace(",", ""))


@pytest.fixture(scope="module")
def cold(home: Path) -> tuple[list[str], dict, tuple[int, str]]:
    """The first `up` of a machine: what it printed, the live state it served, and how it ended by Ctrl-C."""
    with up(home) as running:
        with httpx2.Client(base_url=running.address, trust_env=False, timeout=20) as client:
            assert client.get("/ready").status_code == 200
            state = client.get("/api/v1/live-state").json()
            assert len(client.get("/api/v1/grid/regional").json()["regions"]) == 17
            assert client.get("/api/v1/market/catalog").json()["catalogs"]
            assert client.get("/docs").status_code == 200
        ended = running.stop(signal.SIGINT)
    return running.printed, state, ended


def test_it_serves_what_it_loaded_and_says_what_that_is(cold):
    """The closing table and the live state are two views of one stock."""
    printed, state, _ = cold
    titles = {
        "DataCentre": "Your data centres",
        "StorageAsset": "Your storage assets",
        "Agent": "Your agents",
        "ComputeWorkload": "Your workloads",
    }
    for kind, title in titles.items():
        assert held(printed, title) == len(state["objects"][kind]) > 0
    assert held(printed, "Carbon factors") == len(state["carbon_factors"])
    half_hours = sum(value is not None for value in state["signals"]["national"]["wholesale_price_gbp_mwh"])
    assert held(printed, "Wholesale price") == half_hours == 96


def test_it_says_what_is_simulated_where_no_one_can_miss_it(cold):
    printed, state, _ = cold
    text = " ".join("".join(printed).split())
    assert "Simulated values are made up by Pylon: good for a trial, not for acting on the real grid." in text
    assert len([line for line in printed if re.search(r"\s{2}simulated\s", line)]) == 11
    assert state["contains_simulated"] is True


def test_it_says_each_step_as_it_goes(cold):
    printed, _, _ = cold
    steps = [line for line in printed if line.startswith("·")]
    for step in ("Database: embedded PostgreSQL 18", "Schema: applied", "Simulated fleet:", "Simulated GB grid:"):
        assert [line for line in steps if step in line], step


def test_ctrl_c_ends_it_in_order_and_leaves_no_process(cold, home):
    code, said = cold[2]
    assert (code, said.strip()) == (0, "Stopped.")
    until(lambda: not left_of(home))


def test_a_second_up_is_warm_and_goes_on_where_the_first_ended(cold, home):
    """No migration, no new fleet, no run while the data are of this half hour; SIGTERM ends it as Ctrl-C does."""
    first = cold[1]
    with up(home) as running:
        with httpx2.Client(base_url=running.address, trust_env=False, timeout=20) as client:
            state = client.get("/api/v1/live-state").json()
        code, said = running.stop(signal.SIGTERM)
    text = "".join(running.printed)
    assert "Schema: applied" not in text
    assert "Simulated fleet" not in text
    for kind in ("DataCentre", "StorageAsset", "Agent"):
        assert state["objects"][kind] == first["objects"][kind]
    assert (code, said.strip()) == (0, "Stopped.")
    until(lambda: not left_of(home))


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = ran("up", PYLON_HOME=str(tmp_path / "home"), PYLON_PORT=port)
    assert ended.code == 1
    assert f"Port {port} of 127.0.0.1 is not free" in ended.said
    assert "PYLON_PORT (0 takes any)" in ended.said
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("word", "by"), [("up", signal.SIGTERM), ("pipeline", signal.SIGINT)])
def test_interrupted_before_its_work_is_done_it_says_so_and_leaves_no_process(home, word, by):
    with command(word, PYLON_HOME=str(home), PYLON_PORT="0", PYLON_GRID="simulated") as process:
        assert process.stdout
        assert "Database" in process.stdout.readline()
        os.killpg(process.pid, by)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (130, "Stopped.\n")
    until(lambda: not left_of(home))
