"""The half-hourly calendar: half hours in UTC, settlement days and periods in London time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

__all__ = ["AHEAD", "HALF_HOUR", "LONDON", "floor", "half_hours", "midnight", "periods_in", "settlement_period"]

HALF_HOUR = timedelta(minutes=30)
AHEAD = timedelta(hours=48)
"""How far ahead signals are asked for, and shown unless told otherwise."""

LONDON = ZoneInfo("Europe/London")


def floor(instant: datetime) -> datetime:
    """Return the start of the half hour that `instant` (aware) falls in, in UTC."""
    at = instant.astimezone(UTC)
    return at.replace(minute=at.minute // 30 * 30, second=0, microsecond=0)


def half_hours(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the start of every half hour in [start, end), in UTC; `start` is floored first."""
    at = floor(start)
    while at < end:
        yield at
        at += HALF_HOUR


def settlement_period(start: datetime) -> tuple[date, int]:
    """Return the London settlement date and the period number (1 to 46, 48 or 50) of the half hour at `start`.

    Period 1 starts at London midnight, so the number counts half hours in UTC from there: the rule that makes
    all 280,512 published half hours of 2009-2024 contiguous (checked on NESO's historic demand data).
    """
    day = start.astimezone(LONDON).date()
    return day, (start.astimezone(UTC) - midnight(day)) // HALF_HOUR + 1


def periods_in(day: date) -> int:
    """Return how many settlement periods the London day has: 48, or 46 and 50 when the clocks change."""
    return (midnight(day + timedelta(days=1)) - midnight(day)) // HALF_HOUR


def midnight(day: date) -> datetime:
    """Return the start of the London day, in UTC."""
    return datetime.combine(day, time(), LONDON).astimezone(UTC)
