"""The timetable: the pipeline at minutes 12 and 42, when the half hour's forecasts have been published.

After each run what is due is carried out, the whole fleet is planned, and the agents decide. What is due is carried
out every minute besides; then the fleet is planned again when what has arrived has used up what the plan left.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from pylon.errors import LeaseHeld, PylonError
from pylon.interfaces.runtime import Runtime
from pylon.services.status import readiness

if TYPE_CHECKING:
    from pylon.services.execute import Executed

__all__ = ["MINUTES", "SECOND", "timetable"]

log = logging.getLogger("pylon.timetable")

MINUTES: Final = "12,42"
HEADS_MINUTE: Final = 50
"""Of every hour: the head of the log is written outside the database."""
SECOND: Final = 5
"""Of every minute: what is due is carried out."""
_GRACE_S = 15 * 60  # a machine that slept through a run catches up, once
_HALF_HOUR_S = 30 * 60
_TRY_AGAIN_S, _TRIES = 60, 10


@asynccontextmanager
async def timetable(runtime: Runtime) -> AsyncIterator[None]:
    """Run the pipeline on the timetable while the block runs, and at once when the data miss a half hour."""
    scheduler = AsyncIOScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": _GRACE_S}
    )
    scheduler.add_job(_run, CronTrigger(minute=MINUTES, timezone=UTC), args=[runtime, "timetable"])
    held: set[str] = set()
    scheduler.add_job(_execute, CronTrigger(second=SECOND, timezone=UTC), args=[runtime, held])
    # The figure of the present half hour, on every data centre, moves on with the half hour.
    scheduler.add_job(_refresh_centres, CronTrigger(minute="0,30", timezone=UTC), args=[runtime])
    scheduler.add_job(_publish_heads, CronTrigger(minute=HEADS_MINUTE, timezone=UTC), args=[runtime])
    age_s = readiness(runtime.database, runtime.operator_id, runtime.clock()).data_age_s
    if age_s is None or age_s >= _HALF_HOUR_S:
        scheduler.add_job(_run, "date", run_date=datetime.now(UTC), args=[runtime, "start-up"])
    await _refresh_centres(runtime)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


async def _run(runtime: Runtime, trigger: str) -> None:
    """Run once in a daemon thread: a server that is told to stop does not wait for a slow source.

    A run that is cut short has stored nothing, and the next one begins anew.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def work() -> None:
        for _ in range(_TRIES):
            if _run_and_log(runtime, trigger):
                break
            time.sleep(_TRY_AGAIN_S)
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=work, name="pipeline", daemon=True).start()
    await ended.wait()


async def _execute(runtime: Runtime, held: set[str]) -> None:
    with suppress(asyncio.CancelledError):  # the server ends while it is at it
        await asyncio.to_thread(_execute_every_minute, runtime, held)


async def _refresh_centres(runtime: Runtime) -> None:
    try:
        await asyncio.to_thread(runtime.refresh_centres)
    except PylonError as error:
        log.error("present carbon of the data centres: %s", error.detail)


async def _publish_heads(runtime: Runtime) -> None:
    try:
        await asyncio.to_thread(runtime.publish_heads)
    except PylonError as error:
        log.error("head of the log: %s", error.detail)


def _run_and_log(runtime: Runtime, trigger: str) -> bool:
    """Run once and say what became of it; return False when somebody else was at it, an import it may be."""
    try:
        report = runtime.run_pipeline(trigger)
    except LeaseHeld:
        log.info("pipeline: somebody else is at it; trying again in %d s", _TRY_AGAIN_S)
        return False
    except PylonError as error:
        log.error("pipeline failed: %s", error.detail)
    except Exception:  # the server must outlive a fault in one run
        log.exception("pipeline failed")
    else:
        log.info("pipeline: %s, %d rows written", report.status.value, report.rows_written)
        _execute_and_log(runtime)
        trigger = f"pipeline run {report.run_id}"
        _plan_and_log(runtime, trigger)
        _decide_and_log(runtime, trigger)
    return True


def _execute_every_minute(runtime: Runtime, held: set[str]) -> None:
    """Carry out what is due, and have work placed anew whose site has closed before it could start.

    `held` is what was held a minute ago: the agents are asked once about a job, and again in their next round. They
    are asked too, after a new plan, when the one that stands has been overtaken by what arrived.
    """
    done = _execute_and_log(runtime)
    newly_held = set(done.held) - held if done else set()
    held.clear()
    held.update(done.held if done else ())
    overtaken = _overtaken(runtime)
    is_planned = overtaken is not None and _plan_and_log(runtime, overtaken)
    if newly_held or is_planned:
        _decide_and_log(runtime, overtaken or "held work")


def _execute_and_log(runtime: Runtime) -> Executed | None:
    """Carry out what is due; return what was done, or None when that failed."""
    try:
        done = runtime.execute()
    except PylonError as error:
        log.error("execution failed: %s", error.detail)
        return None
    except Exception:  # the server must outlive a fault in one call
        log.exception("execution failed")
        return None
    if done.did_anything:
        log.info("executed: %d started, %d completed, %d settled", done.started, done.completed, done.settled)
    for refusal in done.refusals:
        log.warning("execution refused: %s", refusal["detail"])
    return done


def _overtaken(runtime: Runtime) -> str | None:
    """Return why what has arrived calls for a new plan, if it does."""
    try:
        return runtime.slack_used_up()
    except PylonError as error:
        log.error("plan: %s", error.detail)
    except Exception:  # the server must outlive a fault in one call
        log.exception("plan")
    return None


def _plan_and_log(runtime: Runtime, trigger: str) -> bool:
    """Have the fleet planned, and return whether there is a new plan."""
    try:
        made = runtime.plan(trigger)
    except LeaseHeld:
        log.info("plan: another process works on one")
    except PylonError as error:
        log.error("plan: none: %s", error.detail)
    except Exception:  # the server must outlive a fault in one plan
        log.exception("plan: none")
    else:
        if not made.error:
            log.info("plan %s: %d workloads", made.plan_id, made.workloads or 0)
            return True
        log.error("plan %s: %s: %s", made.plan_id, made.status.value, made.error)
    return False


def _decide_and_log(runtime: Runtime, trigger: str) -> None:
    try:
        made = runtime.decide(trigger)
    except LeaseHeld:
        log.info("agents: another process runs a round")
    except PylonError as error:
        log.error("agents: no round: %s", error.detail)
    except Exception:  # the server must outlive a fault in one round
        log.exception("agents: no round")
    else:
        log.info("agents: %d decisions", len(made.decisions))
        for turn in made.turns:
            if turn.error:
                log.error("agents: %s failed: %s", turn.agent_id, turn.error)
