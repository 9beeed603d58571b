"""Instants as people write them in addresses and commands: RFC 3339, always with a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

__all__ = ["instant"]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.]\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EXPECTED = (
    "must be a time with its zone (RFC 3339), such as 2026-11-22T09:00:00Z, from 2000 to 2099; "
    "in an address the + of an offset is written %2B"
)


def instant(text: Any) -> datetime | None:
    """Return the time that an address or a command names, in UTC; None stays None.

    Raises `ValueError`, saying what is valid, for anything else.
    """
    if text is None:
        return None
    try:
        if not isinstance(text, str) or not _INSTANT.fullmatch(text):
            raise ValueError(_EXPECTED)
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(_EXPECTED) from None
    if not 2000 <= at.year < 2100:
        raise ValueError(_EXPECTED)
    return at
