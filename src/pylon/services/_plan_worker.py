"""The planner's own process: a document goes in, progress and an outcome come back, and nobody else is held up.

One line of standard input is one document. What comes back is lines too, each a word and its JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pylon.planning.fleet import FleetProblem
    from pylon.planning.joint import Store

__all__ = ["PlanFailed", "PlanWorker", "WorkerDied"]

Progress = Callable[[str, int, int], None]
"""Is told the stage, and how much of it is done, of how much."""

_STOPPED: Final = "Pylon was stopped."
_LEAVE_S: Final = 5.0
_LAST_WORD_S: Final = 1.0
_NICER: Final = 5
"""Requests are answered before plans are worked on."""
_PROGRESS, _OUTCOME, _FAULT = b"progress", b"outcome", b"fault"


class PlanFailed(Exception):
    """The planner says that there is no plan, and why."""


class WorkerDied(Exception):
    """The planner's process ended before the plan did."""


class PlanWorker:
    """Starts the planner's process when it is first needed, keeps it, and makes a new one when it has died."""

    def __init__(self) -> None:
        """Begin without a process."""
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process else None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have the process to oneself; `close` waits for what is written down in the end."""
        with self._turn:
            yield

    def start(self) -> None:
        """Start the process before it is needed: it takes a second, and a minute when its machine code is made."""
        with self._turn:
            self._running()

    def work_out(self, document: bytes, progress: Progress) -> bytes:
        """Return the canonical JSON of what the planner makes of `document`, a canonical JSON itself.

        Raises `PlanFailed` where it makes nothing of it, and `WorkerDied` when its process ends meanwhile.
        """
        process = self._running()
        try:
            return _exchange(process, document, progress)
        except PlanFailed:
            raise
        except (OSError, EOFError):
            code = self._drop(process)
            why = _STOPPED if self._is_closed else f"The planner's process ended, with code {code}."
            raise WorkerDied(why) from None
        except BaseException:
            process.kill()  # with what it still says of this plan
            self._drop(process)
            raise

    def close(self) -> None:
        """End the process, now and for good, and wait until whoever used it knows."""
        self._is_closed = True
        if process := self._process:
            process.kill()
        if self._turn.acquire(timeout=_LEAVE_S):
            self._turn.release()
        if process:
            self._drop(process)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._is_closed:
            raise WorkerDied(_STOPPED)
        if self._process and self._process.poll() is not None:
            self._drop(self._process)
        if self._process is None:
            # A session of its own: Ctrl-C at the terminal is its parent's to answer.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        return self._process

    def _drop(self, process: subprocess.Popen[bytes]) -> int:
        """End a process, if need be, and leave nothing of it behind; return its code."""
        self._process = None
        with suppress(
            subprocess.TimeoutExpired
        ):  # one that has said its last word ends in a moment, with its own code
            process.wait(_LAST_WORD_S)
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(OSError):  # what was not yet flushed has nobody to read it
                    pipe.close()
        return code


def _exchange(process: subprocess.Popen[bytes], document: bytes, progress: Progress) -> bytes:
    given, said = process.stdin, process.stdout
    assert given is not None  # noqa: S101  both are pipes
    assert said is not None  # noqa: S101
    given.write(document + b"\n")
    given.flush()
    while line := said.readline():
        word, _, rest = line.rstrip(b"\n").partition(b" ")
        if word == _OUTCOME:
            return rest
        if word == _FAULT:
            raise PlanFailed(json.loads(rest))
        progress(*json.loads(rest))
    raise EOFError


def main() -> None:
    """Work out what comes in, line by line, until nothing more does."""
    with suppress(AttributeError, OSError):  # not on every system
        os.nice(_NICER)
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as said:  # nobody waits any more
        os.dup2(2, 1)  # what a library may print is not an answer
        _warm()
        for line in sys.stdin.buffer:
            _answer(line, said)


def _warm() -> None:
    """Plan a small fleet, so that the planner's machine code is made, or loaded, while nobody waits for it."""
    from pylon.planning import fleet, joint

    problem = _small_fleet()
    joint.plan_together(problem, [_small_store()])
    fleet.greedy(problem)


def _small_fleet() -> FleetProblem:
    import numpy as np

    from pylon.planning import fleet
    from pylon.planning.field import Weights

    flat, each = np.ones((1, 4)), np.ones(2)
    numbers = each.astype(np.int64)
    jobs = fleet.Jobs(
        half_hours=numbers * 2,
        it_power_mw=each,
        gpus=each * 0,
        first_slot=numbers * 0,
        end_slot=numbers * 4,
        origin=numbers * 0,
        allowed=np.ones((2, 1), np.bool_),
        interruptible=np.array([True, False]),
        migration_gbp=each,
        wait_gbp_per_half_hour=each,
        carbon_cap_gco2_kwh=each * np.inf,
        max_price_gbp=each * np.inf,
        value_gbp=each * 100,
    )
    sites = fleet.Sites(
        price_gbp_mwh=flat * (2.0, 1.0, 3.0, 1.0),
        carbon_gco2_kwh=flat,
        stress=flat[0],
        pue=flat[0, :1],
        room_mw=flat,
        room_gpus=flat,
        base_mw=flat,
        ramp_mw=flat[0, :1],
    )
    return fleet.FleetProblem(
        sites=sites, jobs=jobs, weights=Weights(carbon_price_gbp_t=1.0, stress_price_gbp_mwh=1.0)
    )


def _small_store() -> Store:
    import numpy as np

    from pylon.planning.battery import Battery
    from pylon.planning.joint import Store

    battery = Battery(
        capacity_mwh=2.0,
        min_mwh=0.0,
        max_mwh=2.0,
        charge_mwh=1.0,
        end_mwh=1.0,
        max_charge_mw=1.0,
        max_discharge_mw=1.0,
        efficiency=0.9,
        wear_gbp_mwh=0.0,
    )
    return Store(battery=battery, field_gbp_mwh=np.ones(4), hours=np.full(4, 0.5), site=0)


def _answer(line: bytes, said: IO[bytes]) -> None:
    from pylon.agents import fleet_plan  # with the planner's kernels: a second to import
    from pylon.errors import PylonError
    from pylon.ontology.canonical import canonical_bytes

    def say(word: bytes, body: bytes) -> None:
        said.write(word + b" " + body + b"\n")
        said.flush()

    def progress(stage: str, done: int, of: int) -> None:
        say(_PROGRESS, json.dumps([stage, done, of]).encode())

    try:
        outcome = canonical_bytes(fleet_plan.work_out(json.loads(line), progress))
    except BrokenPipeError:
        raise
    except PylonError as error:
        say(_FAULT, json.dumps(error.detail).encode())
    except Exception as error:  # the next document may be better
        say(_FAULT, json.dumps(repr(error)).encode())
    else:
        say(_OUTCOME, outcome)


if __name__ == "__main__":
    main()
