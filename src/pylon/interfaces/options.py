"""Options of commands that take a number: anything else is refused with the range that is valid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

__all__ = ["number", "whole_number"]

_LONGEST_SHOWN = 40


def number(option: str, *, least: float, most: float, says: str) -> Any:
    """Return an option that takes a number from `least` to `most`; `says` is its help."""
    return _option(option, float, least, most, f"{least:,} to {most:,}", "number", says)


def whole_number(option: str, *, least: int, most: int | None = None, says: str) -> Any:
    """Return an option that takes a whole number from `least` to `most`, if there is a most; `says` is its help."""
    valid = f"{least:,} or more" if most is None else f"{least:,} to {most:,}"
    return _option(option, int, least, most, valid, "whole number", says)


def _option(
    option: str, kind: Callable[[str], float], least: float, most: float | None, valid: str, noun: str, says: str
) -> Any:
    def read(given: object) -> float:
        text = str(given)  # of a default, which is read like any other
        try:
            value = kind(text)
        except ValueError:
            value = None
        # Not `value < least or value > most`: of nan, neither is true.
        if value is None or not (least <= value and (most is None or value <= most)):
            shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
            raise typer.BadParameter(f"it must be a {noun}, {valid}; not {shown!r}.")
        return value

    return typer.Option(option, parser=read, metavar=valid, help=says)
