from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pylon.planning import _compiled


def test_it_works_where_nothing_compiled_can_be_kept() -> None:
    program = (
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from pylon.planning._compiled import compiled, inner\n"
        "def twice(x):\n    return 2 * x\n"
        "twice = inner(twice)\n"
        "def four_times(x):\n    return twice(twice(x))\n"
        "assert compiled(four_times)(4) == 16\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["room", "room/corner"])
def test_what_is_kept_is_made_anew_when_any_kernel_changes(tmp_path: Path, folder: str) -> None:
    program = (
        f"from {folder.replace('/', '.')}._outer import doubled\n"
        "assert doubled(3) == int(__import__('sys').argv[1])\n"
    )
    room = tmp_path / "room"
    (tmp_path / folder).mkdir(parents=True)
    (room / "_compiled.py").write_bytes(Path(_compiled.__file__).read_bytes())
    (tmp_path / folder / "_outer.py").write_text(
        "from room._compiled import compiled\nfrom room._inner import times\n\n\n"
        "@compiled\ndef doubled(x):\n    return times(x)\n"
    )
    for factor in (2, 2, 4):
        (room / "_inner.py").write_text(
            f"from room._compiled import inner\n\n\n@inner\ndef times(x):\n    return {factor} * x\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(3 * factor)], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    assert list((tmp_path / folder / "__pycache__").glob("_outer.doubled*.nbi"))


def test_what_is_kept_for_a_class_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "_compiled.py").write_bytes(Path(_compiled.__file__).read_bytes())
    for name in ("Pair", "Pair", "Couple"):
        (room / "_pairs.py").write_text(
            "from typing import NamedTuple\nfrom room._compiled import compiled\n\n\n"
            f"class {name}(NamedTuple):\n    one: int\n    other: int\n\n\n"
            "@compiled\ndef total(pair):\n    return pair.one + pair.other\n"
        )
        program = f"from room._pairs import {name}, total\nassert total({name}(2, 3)) == 5\n"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
