"""Leases: one process at a time does one kind of work; a lease whose holder has died expires by itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from pylon.errors import LeaseHeld, LeaseLost, PylonError
from pylon.store.database import Database, Transaction

__all__ = ["PIPELINE", "TERM_S", "held", "hold"]

PIPELINE = "pipeline"
"""The lease of whoever stores grid data: two at once would undo each other's work."""

TERM_S = 30
"""Seconds a lease lasts unless renewed: how long a killed holder keeps others waiting."""


@contextmanager
def held(
    database: Database, name: str, holder: UUID, clock: Callable[[], datetime], term_s: int = TERM_S
) -> Iterator[None]:
    """Hold the lease `name` while the block runs, renewing it three times a term.

    Raises `LeaseHeld`, saying until when, while another holder has it.
    """
    with database.as_ingest() as transaction:
        if not transaction.value("take_lease", name=name, holder=holder, now=clock(), term_s=term_s):
            other = transaction.one("lease", name=name)
            until = f"{other['expires_at']:%H:%M:%S} UTC" if other else "a moment from now"
            raise LeaseHeld(
                f"Another process runs the {name} now; its lease ends at {until} unless it renews it. "
                "Wait for it to finish, or stop it.",
                name=name,
            )
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(term_s / 3):
            # A renewal that fails now may work a third of a term later; `hold` notices if none does.
            with contextlib.suppress(PylonError), database.as_ingest() as transaction:
                transaction.value("take_lease", name=name, holder=holder, now=clock(), term_s=term_s)

    renewer = threading.Thread(target=renew, name=f"lease-{name}", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join()
        with contextlib.suppress(PylonError), database.as_ingest() as transaction:
            transaction.value("release_lease", name=name, holder=holder)


def hold(transaction: Transaction, name: str, holder: UUID, now: datetime) -> None:
    """Make sure, until `transaction` ends, that `holder` still has the lease.

    Raises `LeaseLost` when it has not; the transaction is then to be rolled back.
    """
    if transaction.one("hold_lease", name=name, holder=holder, now=now) is None:
        raise LeaseLost(f"The lease on {name} ended before the work did; nothing was written. Run it again.")
