"""Plans and decisions made again as other machines would, and compared byte for byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks/replay.py"


def test_other_machines_make_the_same_bytes(is_soak: bool) -> None:
    """Compiles the planners anew, once for this processor and once for any: minutes."""
    if not is_soak:
        pytest.skip("minutes: --soak")
    words = ["--plans", "12", "--decisions", "240"]
    ended = subprocess.run([sys.executable, PROGRAM, *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(" same, 0 different, 0 given") == ended.stdout.count("  same\n") == 7
