"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["Clock"]


class Clock:
    """Holds the time of a test; call it to read it, as a function that returns the time would be called."""

    def __init__(self, now: datetime) -> None:
        self._now = now.astimezone(UTC)

    @property
    def now(self) -> datetime:
        return self._now

    @now.setter
    def now(self, now: datetime) -> None:
        self._now = now.astimezone(UTC)

    def __call__(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move on by `by` (back, when negative) and return the new time."""
        self._now += by
        return self._now
