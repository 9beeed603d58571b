"""What Pylon would have saved over the recorded year 2023, beside running at once, greed and perfect foresight.

Carbon and demand are recorded, and the last forecast of each; prices, regional carbon, forecasts by lead, sites
and workloads are SIMULATED, and so is every figure that comes of them. Prints the table of `pylon backtest`, and
what it took: wall time, and processor time of all processes.

    python benchmarks/backtest.py --data FOLDER [--days 365] [--workloads 2000] [--workers 2] [--seed 1]

FOLDER is that of PYLON_RECORDINGS: it has `replay/`.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from pylon.interfaces.backtest_tables import backtest_notes, backtest_table
from pylon.services.backtest import run_backtest

YEAR = datetime(2023, 1, 1, tzinfo=UTC)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, default=os.environ.get("PYLON_RECORDINGS"))
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--workloads", type=float, default=2000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    if given.data is None:
        options.error("--data names the folder of recorded grid data, or PYLON_RECORDINGS does")
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    began = time.perf_counter()
    found = run_backtest(
        given.data / "replay",
        start=YEAR,
        end=YEAR + timedelta(days=given.days),
        per_week=given.workloads,
        seed=given.seed,
        workers=given.workers,
        progress=lambda done, of: print(f"\r{done} of {of} days", end="", file=sys.stderr, flush=True),
    )
    print(file=sys.stderr)
    wall_s = time.perf_counter() - began
    out = Console(width=200, highlight=False)
    out.print(backtest_table(found))
    for line in backtest_notes(found):
        out.print(line)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(one.ru_utime + one.ru_stime for one in used)
    print(f"{wall_s:,.0f} s by the clock, {cpu_s:,.0f} s of processor time")


if __name__ == "__main__":
    main()
