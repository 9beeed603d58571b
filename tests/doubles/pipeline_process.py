"""Pipeline runs in processes of their own, quick to start and there to be killed.

Run as a module it is a nursery: it imports everything once, then forks a child for each line on its standard input
(the words of a `Job` as JSON). On its standard output it says `began PID` and, when the child is gone,
`ended STATUS`: the number of the signal that ended it, negative.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from pylon import pipeline
from pylon.settings import Settings
from pylon.sources import feed
from pylon.store.database import Database

__all__ = ["Job", "Nursery", "nursery", "run", "sources"]


@dataclass(frozen=True)
class Job:
    """One run, for the data of `now`, whose clock stands at `clock`."""

    dsn: str
    url: str
    operator_id: str
    run_id: str
    now: str
    clock: str


class Nursery:
    """Starts one child at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, job: Job) -> int:
        """Start a run and return the id of its process."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        return self._said("began")

    def status(self) -> int:
        """Wait for the child to be gone and return how it ended."""
        return self._said("ended")

    def _said(self, word: str) -> int:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line.startswith(word), f"the nursery said {line!r}"
        return int(line.split()[1])


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Start the nursery; it ends with its standard input."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nursery(process)
        assert process.stdin
        process.stdin.close()


def sources() -> list[feed.Source]:
    """Return the real sources of the Carbon Intensity API and the simulated ones."""
    return [one for one in feed.discover() if one.terms.is_simulated or one.terms.api == "carbon_intensity"]


def run(job: Job) -> None:
    """Run the pipeline as the job says, with the simulated fleet."""
    clock = datetime.fromisoformat(job.clock)
    this = pipeline.Run(
        run_id=UUID(job.run_id),
        now=datetime.fromisoformat(job.now),
        clock=lambda: clock,
        operator_id=UUID(job.operator_id),
        trigger="test",
    )
    settings = Settings(carbon_intensity_url=job.url, http_attempts=1, synthetic="on")  # type: ignore[arg-type]
    with Database(job.dsn, pool_size=4) as database:
        pipeline.run(database, settings, this, sources())


def _serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run_and_exit(Job(**json.loads(line)))
        print(f"began {child}", flush=True)
        _, status = os.waitpid(child, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


def _run_and_exit(job: Job) -> None:
    try:
        run(job)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    _serve()
