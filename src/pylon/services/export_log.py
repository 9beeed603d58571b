"""Export log: an operator's decisions as lines of JSON that anyone can check without the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from pylon.errors import Invalid
from pylon.services.publish_heads import present_head
from pylon.sources import feed
from pylon.store.database import Database

__all__ = ["CHECKER", "FORMAT", "export_log"]

FORMAT: Final = "pylon-decision-log-1"
CHECKER: Final = "check_export.py"
"""The file name of the program that checks an export."""

_PAGE: Final = 1000
_HOW: Final = (
    f"python {CHECKER} FILE [HEADS]. A decision's hash is the SHA-256, in hexadecimal, of prev_hash, a line feed, "
    "seq, a line feed and content, in UTF-8; prev_hash is the hash of the decision before, 64 zeros for the first."
)


def export_log(
    database: Database,
    operator_id: UUID,
    now: datetime,
    *,
    first: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Iterator[bytes]:
    """Return the lines of the operator's log from decision number `first` on: a header, then one for each decision.

    Each ends in a line feed. Nothing is checked: that is for whoever receives them. `progress` is told how many
    decisions are done and of how many. Raises `Invalid` when `first` is below 1 or beyond the next number.
    """
    head = present_head(database, operator_id, now)
    if not 1 <= first <= head.seq + 1:
        raise Invalid(
            f"The export cannot begin at decision {first}: the log has {head.seq}. Valid: 1 to {head.seq + 1}."
        )
    header = {
        "format": FORMAT,
        "operator_id": operator_id,
        "exported_at": now,
        "first_seq": first,
        "decisions": head.seq - first + 1,
        "head": {"seq": head.seq, "hash": head.hash},
        "how_to_check": _HOW,
        "attribution": [one.terms.attribution for one in feed.discover() if not one.terms.is_simulated],
    }
    return _lines(database, operator_id, header, progress)


def _lines(
    database: Database, operator_id: UUID, header: dict[str, Any], progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    yield _line(header)
    seq, last, done = header["first_seq"], header["head"]["seq"], 0
    while seq <= last:
        # A transaction a page: what is written stays as it is, and a slow reader keeps no connection.
        with database.as_reader(operator_id) as transaction:
            rows = transaction.all("log_page", operator_id=operator_id, first=seq, last=last, limit=_PAGE)
        if not rows:
            return
        yield b"".join(map(_line, rows))
        seq = rows[-1]["seq"] + 1
        done += len(rows)
        progress(done, header["decisions"])


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
