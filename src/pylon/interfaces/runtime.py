"""A running Pylon: settings, database and operator, opened once for whichever way in needs them."""

from __future__ import annotations

import hmac
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pylon import pipeline
from pylon.errors import Invalid, PylonError
from pylon.ontology.calendar import floor
from pylon.ontology.enums import PlanStatus
from pylon.ontology.identity import uuid7
from pylon.services import ingest, operators
from pylon.services.desk import Call
from pylon.services.publish_heads import HEADS_FILE, publish_heads
from pylon.services.reports import RunReport
from pylon.services.view_fleet import Views
from pylon.settings import Settings
from pylon.store import access
from pylon.store.access import Access
from pylon.store.database import Database

if TYPE_CHECKING:
    from pylon.services._plan_worker import PlanWorker
    from pylon.services.execute import Executed
    from pylon.services.list_plans import PlanSummary
    from pylon.services.plan_fleet import PlanProgress
    from pylon.services.run_agents import Round

__all__ = ["Clock", "Runtime", "opened", "utc_now"]

log = logging.getLogger("pylon.runtime")

Clock = Callable[[], datetime]

_LONGEST_REACH = timedelta(days=366)
"""A run is one transaction, and one fetch of each source: a year is as much as that should hold."""


def utc_now() -> datetime:
    """Return the real time. Below the interfaces nobody may: the clock is passed in."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """What every command and every request works on."""

    settings: Settings
    access: Access
    database: Database
    operator_id: UUID
    clock: Clock = utc_now
    process_secret: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    views: Views = field(default_factory=Views, repr=False)

    @property
    def cursor_key(self) -> bytes:
        """What signs the cursors of paged answers: made of the setting `secret`, or else new in each process."""
        secret = self.settings.secret
        return hmac.digest(secret.encode() if secret else self.process_secret, b"cursors", "sha256")

    def call(self) -> Call:
        """Return for whom and when an action is performed that is asked for now."""
        return Call(operator_id=self.operator_id, now=self.clock(), entropy=os.urandom)

    def execute(self) -> Executed:
        """Carry out what is due by now, meter what runs and settle what has ended."""
        from pylon.services.execute import execute  # with the planner's kernels: a second to import

        return execute(self.database, self.views, self.call())

    def decide(self, trigger: str, progress: pipeline.Progress = pipeline.silent) -> Round:
        """Let the operator's agents decide, once each; `trigger` says why.

        Raises `LeaseHeld` while another process runs a round.
        """
        from pylon.services.run_agents import run_agents  # likewise

        return run_agents(
            self.database, self.views, self.call(), trigger=trigger, clock=self.clock, progress=progress
        )

    def plan(self, trigger: str, progress: PlanProgress | None = None) -> PlanSummary:
        """Have the whole fleet planned, now, and return the plan as it has ended.

        Raises `LeaseHeld` while another process works on one.
        """
        return self.finish_plan(self.request_plan(trigger), progress)

    def request_plan(self, trigger: str, key: str | None = None) -> PlanSummary:
        """Ask for a plan, for `finish_plan` or `work_on_plan` to work out; or for the one that is worked on."""
        from pylon.services.plan_fleet import request  # likewise

        return request(self.database, self.views, self.call(), trigger=trigger, clock=self.clock, key=key)

    def finish_plan(self, plan: PlanSummary, progress: PlanProgress | None = None) -> PlanSummary:
        """Work out a plan that is QUEUED, and return it as it has ended. Raises `LeaseHeld` likewise."""
        from pylon.services.plan_fleet import run  # likewise

        call = self.call()
        return run(self.database, self.views, self.worker, call, plan.id, clock=self.clock, progress=progress)

    def work_on_plan(self, plan: PlanSummary) -> None:
        """Work out a plan that is QUEUED, without waiting for it."""
        if plan.status is PlanStatus.QUEUED:
            threading.Thread(target=self._work_on, args=[plan], name=plan.plan_id, daemon=True).start()

    def _work_on(self, plan: PlanSummary) -> None:
        try:
            done = self.finish_plan(plan)
        except PylonError as error:  # in another's hands, or not to be written down: the next one finds it
            log.warning("plan %s: %s", plan.plan_id, error.detail)
        else:
            log.info("plan %s: %s", plan.plan_id, done.error or done.status.value)

    def work_out_plan(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the planner makes of a document that was kept: a plan made again."""
        from pylon.services.plan_fleet import work_out  # likewise

        return work_out(self.worker, document)

    def slack_used_up(self) -> str | None:
        """Return why what has arrived calls for a new plan; None while it does not."""
        from pylon.services.plan_fleet import used_up  # likewise

        return used_up(self.database, self.operator_id, self.clock())

    @cached_property
    def worker(self) -> PlanWorker:
        """What works plans out, in a process of its own."""
        from pylon.services._plan_worker import PlanWorker

        return PlanWorker()

    def close(self) -> None:
        """End what was started besides; what needs it afterwards is told that Pylon was stopped."""
        if "worker" in self.__dict__:
            self.worker.close()

    def publish_heads(self) -> None:
        """Write the head of the operator's log outside the database, if it has moved."""
        publish_heads(self.database, self.operator_id, self.settings.home / HEADS_FILE, self.clock())

    def refresh_centres(self) -> None:
        """Bring every data centre's current carbon intensity to the present half hour."""
        with self.database.as_ingest() as transaction:
            ingest.refresh_centres(transaction, self.clock())

    def run_pipeline(
        self, trigger: str, progress: pipeline.Progress = pipeline.silent, since: datetime | None = None
    ) -> RunReport:
        """Run the pipeline once, now; with `since`, ask for everything from then on.

        Raises `LeaseHeld` while another process runs it, and `Invalid` when `since` lies ahead or too far back.
        """
        now = self.clock()
        if since is not None and not now - _LONGEST_REACH <= since <= now:
            raise Invalid(
                f"Data since {since:%Y-%m-%d %H:%M} UTC cannot be asked for. "
                f"Valid: from {now - _LONGEST_REACH:%Y-%m-%d %H:%M} UTC to now, {now:%Y-%m-%d %H:%M} UTC."
            )
        this = pipeline.Run(
            run_id=uuid7(now, os.urandom(10)),
            now=now,
            clock=self.clock,
            operator_id=self.operator_id,
            trigger=trigger,
            behind=None if since is None else floor(now) - floor(since),
            progress=progress,
        )
        return pipeline.run(self.database, self.settings, this)


@contextmanager
def opened(
    settings: Settings,
    clock: Clock = utc_now,
    say: pipeline.Progress = pipeline.silent,
    *,
    may_create: bool = True,
) -> Iterator[Runtime]:
    """Open the database these settings name, migrated, and the operator they act for, until the block ends.

    With `may_create` false nothing is changed: a database that is not up to date is an error.
    """
    with access.opened(settings, say, may_migrate=may_create) as (way_in, database):
        operator_id = operators.acting(database, settings.operator, now=clock(), may_create=may_create)
        here = Runtime(settings, way_in, database, operator_id, clock)
        try:
            yield here
        finally:
            here.close()
