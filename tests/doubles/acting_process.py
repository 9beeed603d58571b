"""A process that acts without end, for tests that kill it."""

from __future__ import annotations

import itertools
import os
import random
from datetime import timedelta
from multiprocessing.connection import Connection
from uuid import UUID

from pylon.errors import Refused
from pylon.store.database import Database
from tests.doubles.acting import Acting

__all__ = ["act_until_killed"]


def act_until_killed(dsn: str, operator_id: UUID, seed: int, ready: Connection) -> None:
    """Submit, book, start, complete and cancel at random; say so once the first action has been committed."""
    draw = random.Random(seed)
    with Database(dsn, pool_size=1) as database:
        here = Acting(database, operator_id, entropy=os.urandom)
        for number in itertools.count():
            here.now += timedelta(seconds=1)
            _act(here, draw, f"JOB-{seed}-{number}")
            if number == 0:
                ready.send("acting")


def _act(here: Acting, draw: random.Random, job_id: str) -> None:
    here.submit(job_id, power_kw=draw.randrange(10, 400), interruptible=draw.random() < 0.5)
    step = draw.randrange(5)
    try:
        if step == 0:
            here.do("cancel_workload", job_id=job_id)
        elif step == 1:
            here.do("start_workload", job_id=job_id)
            here.do("complete_workload", job_id=job_id)
        elif step == 2:
            at = here.now.replace(minute=30, second=0) + timedelta(hours=draw.randrange(1, 20))
            here.do("shift_workload", job_id=job_id, dc_id="LEEDS-1", starts_at=at)
        elif step == 3:
            here.do("defer_workload", job_id=job_id, deferred_by="CARBON")
    except Refused:
        pass  # a job that found no room has nothing to start
