"""Reach back: from when on to ask a source, so that what was late, revised or left out by an outage comes in."""

from __future__ import annotations

from datetime import datetime, timedelta

from pylon.ontology.calendar import floor
from pylon.services.reports import SourceReport

__all__ = ["BEHIND", "LOOK_BACK", "looked_back_at", "reach_back"]

BEHIND = timedelta(hours=24)
"""How far back a source is asked as a rule."""

LOOK_BACK = timedelta(days=7)
"""How far back it is asked once a day: actuals are revised for days, and what an outage left out comes later."""

_EVERY = timedelta(days=1)

_SETTLES_IN = timedelta(hours=2)
"""How long after its half hour the first actual may come: the last answer before a pause could not hold it yet."""

_LONGEST_ABSENCE = timedelta(days=30)
"""How far back it is asked at most after a pause, Pylon's or its own; `pylon pipeline --since` asks for more."""


def reach_back(now: datetime, last: SourceReport | None) -> datetime:
    """Return the start of the first half hour to ask a source for, `last` being its latest report.

    As a rule 24 hours back; 7 days where it has not answered for those within a day; and after a pause as long as
    it was, up to 30 days. An answer in part is none.
    """
    reach = BEHIND if last and _is_recent(last.looked_back_at, now) else LOOK_BACK
    if last and last.whole_at:
        reach = max(reach, floor(now) - floor(last.whole_at) + _SETTLES_IN)
    return floor(now) - min(reach, _LONGEST_ABSENCE)


def looked_back_at(now: datetime, asked_from: datetime | None, last: SourceReport | None) -> datetime | None:
    """Return when a source that has answered last answered for all of the look-back: now, or as it was."""
    if asked_from is not None and asked_from <= floor(now) - LOOK_BACK:
        return now
    return last.looked_back_at if last else None


def _is_recent(at: datetime | None, now: datetime) -> bool:
    return at is not None and timedelta(0) <= now - at < _EVERY
