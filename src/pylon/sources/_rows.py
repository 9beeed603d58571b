"""What every reader of upstream rows needs: the fault of a row, its members, and how to show one in a message."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

__all__ = ["Fault", "label", "member", "show"]

_SHOWN_CHARACTERS = 40


class Fault(Exception):
    """Why one row cannot be taken."""


def member(row: Any, name: str) -> Any:
    """Return the row's member `name`; None when there is none, or when the row is no object."""
    return row.get(name) if isinstance(row, dict) else None


def label(row: Any, name: str) -> str:
    """Return the row's member `name` for a label: text as it came, anything else as `show` gives it."""
    value = member(row, name)
    return value[:_SHOWN_CHARACTERS] if isinstance(value, str) and value.isprintable() else show(value)


def show(value: Any) -> str:
    """Return a value for a message: short, on one line, and never what is nested in it."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if value is None:
        return "null"
    return (str(value) if isinstance(value, Decimal) else repr(value))[:_SHOWN_CHARACTERS]
