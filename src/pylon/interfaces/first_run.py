"""What `pylon up` does before it serves: load the grid, have the fleet planned, and let the agents decide once."""

from __future__ import annotations

import time
from typing import Final

from pylon.errors import LeaseHeld
from pylon.interfaces.decide_command import print_round
from pylon.interfaces.plan_tables import plan_line
from pylon.interfaces.runtime import Runtime
from pylon.pipeline import Progress
from pylon.services.reports import RunReport
from pylon.services.status import readiness
from pylon.store.leases import TERM_S

__all__ = ["decide", "load"]

_SHOWN: Final = 10
_LOOK_EVERY_S: Final = 0.5


def load(here: Runtime, say: Progress) -> RunReport | None:
    """Run the pipeline; where another process does, wait for its data, or for the lease of one that was killed.

    Returns None where there are data already. Raises `LeaseHeld` when the other takes too long.
    """
    give_up_at = time.monotonic() + 2 * TERM_S
    said = False
    while not readiness(here.database, here.operator_id, here.clock()).ready:
        try:
            return here.run_pipeline("start-up", say)
        except LeaseHeld:
            if time.monotonic() > give_up_at:
                raise
        if not said:
            say("Pipeline", f"another process runs it, or was killed at it; waiting, {2 * TERM_S} s at most")
            said = True
        time.sleep(_LOOK_EVERY_S)
    return None


def decide(here: Runtime, report: RunReport, say: Progress) -> None:
    """Carry out what is due, plan what was loaded, let the agents decide on it, and print what they did."""
    trigger = f"pipeline run {report.run_id}"
    here.execute()
    try:
        say("Plan", plan_line(here.plan(trigger)))
    except LeaseHeld:
        say("Plan", "another process works on one")
    try:
        done = here.decide(trigger, say)
    except LeaseHeld:
        say("Agents", "another process lets them decide")
        return
    here.execute()  # what was booked for this moment starts now
    print_round(done, _SHOWN)
