"""A running Pylon: settings, database and operator, opened once for whichever way in needs them."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from pylon import pipeline
from pylon.errors import Invalid
from pylon.ontology.calendar import floor
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
    from pylon.services.execute import Executed
    from pylon.services.run_agents import Round

__all__ = ["Clock", "Runtime", "opened", "utc_now"]

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
        yield Runtime(settings, way_in, database, operator_id, clock)
