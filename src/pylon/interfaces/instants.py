"""Instants as people write them: RFC 3339 with a zone; in commands a date alone as well."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from pylon.errors import Invalid

__all__ = ["instant", "of_option"]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.]\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EXPECTED = "a time with its zone (RFC 3339), such as 2026-11-22T09:00:00Z, from 2000 to 2099"


def instant(text: Any) -> datetime | None:
    """Return the time that an address names, in UTC; None stays None.

    Raises `ValueError`, saying what is valid, for anything else.
    """
    if text is None:
        return None
    at = _read(text)
    if at is None:
        raise ValueError(f"must be {_EXPECTED}; in an address the + of an offset is written %2B")
    return at


def of_option(option: str, text: str | None) -> datetime | None:
    """Return the time that an option of a command names, in UTC; a date is the start of that day; None stays None.

    Raises `Invalid`, saying what is valid, for anything else.
    """
    if text is None:
        return None
    at = _read(f"{text}T00:00Z" if _DATE.fullmatch(text) else text)
    if at is None:
        raise Invalid(
            f"{option} {text[:60]!r} is not valid. Valid: a date, such as 2026-11-22 (its start in UTC), or "
            f"{_EXPECTED}."
        )
    return at


def _read(text: Any) -> datetime | None:
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if 2000 <= at.year < 2100 else None
