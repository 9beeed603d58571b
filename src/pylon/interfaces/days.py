"""Days as people write them: 2026-11-22 and nothing else."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

__all__ = ["day"]

_DAY = re.compile(r"20\d\d-\d\d-\d\d", re.ASCII)
_EXPECTED = "a day such as 2026-11-22, from 2000 to 2099"


def day(text: Any) -> date | None:
    """Return the day that a text names; None stays None.

    Raises `ValueError`, saying what is valid, for anything else.
    """
    if text is None:
        return None
    try:
        if isinstance(text, str) and _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:  # the 30th of February; said below
        pass
    raise ValueError(f"must be {_EXPECTED}")
