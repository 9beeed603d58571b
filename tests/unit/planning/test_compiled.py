from __future__ import annotations

import subprocess
import sys


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
