"""The original design's own commands still work from a clone: `pipeline.py` and `api_server.py` in backend/."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.support import World, ran

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "backend").is_dir(), reason="backend/ is in a clone only")


@pytest.fixture(scope="module")
def settings(empty: World) -> dict[str, str]:
    return {"DATABASE_URL": empty.owner_dsn, "PYLON_PORT": "0", "PYLON_GRID": "simulated"}


def test_pipeline_py_runs_the_pipeline_once_and_api_server_py_serves_what_it_loaded(settings):
    environment = {**os.environ, **settings}
    once = subprocess.run(
        [sys.executable, "backend/pipeline.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert once.returncode == 0, once.stderr
    written = re.search(r"([\d,]+) rows written; run \S+ SUCCEEDED", " ".join(once.stdout.split()))
    assert written
    assert int(written[1].replace(",", "")) > 10_000

    with subprocess.Popen(
        [sys.executable, "api_server.py"],
        cwd=ROOT / "backend",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        address = next(match[1] for line in server.stdout if (match := re.search(r"Serving (http://\S+)", line)))
        try:
            for path in ("/", "/api/v1/live-state", "/api/v1/grid/regional", "/api/v1/market/catalog"):
                assert httpx2.get(address + path, trust_env=False, timeout=20).status_code == 200
        finally:
            server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=30)
    assert (server.returncode, "Traceback" in said) == (0, False)


def test_they_are_the_commands_of_today(settings):
    """`pylon status` shows the run that the original's command made."""
    ended = ran("status", **settings)
    assert ended.code == 0
    assert "command SUCCEEDED" in ended.said
