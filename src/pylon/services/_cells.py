"""Cells: what one value of a file says, as a value of the column it is for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pylon.ontology.calendar import HALF_HOUR, midnight, periods_in
from pylon.ontology.columns import ColumnSpec

__all__ = ["Refused", "closest", "integer", "is_blank", "parsed", "settlement_day", "settlement_start", "shown"]

_LARGEST = Decimal(10) ** 20
_YEARS = range(1990, 2101)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:?\d\d)")
_DAY = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4}|\d{2})")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MOST_SHOWN = 60
_INTEGERS = 2**31


class Refused(Exception):
    """A value is not valid; says what is. It never leaves the services."""


def is_blank(value: Any) -> bool:
    """Return whether the value says nothing: null, or text of spaces alone."""
    return value is None or (isinstance(value, str) and not value.strip())


def shown(value: Any) -> str:
    """Return a value as people are shown it: bounded, on one line, and in quotation marks when it is text."""
    text = repr(value) if isinstance(value, str | list | dict | bytes) else str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def closest(word: str, valid: Iterable[str]) -> str:
    """Return a sentence that offers the valid word closest to `word`, and a space before it; empty if none is."""
    folded = {one.casefold(): one for one in valid}
    found = difflib.get_close_matches(word[:100].casefold(), folded, n=1)
    return f" Did you mean {folded[found[0]]}?" if found else ""


def parsed(spec: ColumnSpec, value: Any) -> Any:
    """Return the value as one of the column, ranges apart; text from outside has no spaces around it.

    Raises `Refused` with what would be valid.
    """
    if isinstance(value, str):
        value = value.strip()
    if spec.enum:
        return _enum(spec, value)
    return _READERS[spec.sql_type.partition("(")[0]](value)


def integer(value: Any) -> int:
    """Return a whole number that an integer column holds; raises `Refused` for any other value."""
    number = _number(value)
    # The range first: to look at the digits of 1e999999 would be to write them all out.
    if abs(number) >= _INTEGERS or number != number.to_integral_value():
        raise Refused(f"must be a whole number between -{_INTEGERS:,} and {_INTEGERS:,}")
    return int(number)


def settlement_day(value: Any) -> date:
    """Return the London day: ISO (2023-01-01), or as in the published history (01-JAN-2023, 01-Jan-23)."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = value.strip() if isinstance(value, str) else ""
    try:
        if match := _DAY.fullmatch(text):
            day, month, year = match.groups()
            return date(int(year) + 2000 * (len(year) == 2), _MONTHS.index(month.upper()) + 1, int(day))
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise Refused("must be a date such as 2023-01-31, 31-JAN-2023 or 31-Jan-23")


def settlement_start(day: date, period: int) -> datetime:
    """Return the start of a settlement period in UTC; raises `Refused` when the London day has no such period."""
    if not date(1980, 1, 1) <= day <= date(2200, 1, 1):
        raise Refused("must be a day of this age")
    if not 1 <= period <= periods_in(day):
        raise Refused(f"must be from 1 to {periods_in(day)} on {day}")
    return midnight(day) + (period - 1) * HALF_HOUR


def _number(value: Any) -> Decimal:
    if isinstance(value, str):
        if "," in value:
            raise Refused("must have no comma: 1,234 could be a thousand or a fraction; write 1234 or 1.234")
        if not _NUMBER.fullmatch(value):
            raise Refused("must be a number such as 12.5, without a unit")
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Refused("must be a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or abs(number) > _LARGEST:
        raise Refused("must be a finite number of a size that means something; leave a missing one out")
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if (truth := _TRUTHS.get(str(value).lower())) is None:
        raise Refused("must be true or false")
    return truth


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused("must be text")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Refused("must be text without the character NUL and without halves of surrogate pairs")
    return value


def _instant(value: Any) -> datetime:
    expected = "must be a time with its zone, such as 2026-11-22T09:00:00Z"
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            value = datetime.fromisoformat(value.upper())
        except ValueError:
            raise Refused(expected) from None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Refused(expected)
    if value.year not in _YEARS:
        raise Refused(f"must be in the years {_YEARS[0]} to {_YEARS[-1]}")
    return value.astimezone(UTC)


def _uuid(value: Any) -> UUID:
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise Refused("must be a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057") from None


def _enum(spec: ColumnSpec, value: Any) -> str:
    values = [one.value for one in spec.enum or ()]
    if value not in values:
        hint = closest(value, values) if isinstance(value, str) else ""
        raise Refused(f"must be one of {', '.join(values)}.{hint}")
    return str(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "integer": integer,
    "numeric": _number,
    "boolean": _boolean,
    "varchar": _text,
    "text": _text,
    "timestamptz": _instant,
    "uuid": _uuid,
}
