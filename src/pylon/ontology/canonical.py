"""The only canonicaliser: one value, one sequence of bytes, whatever machine or order it came in.

What is hashed, chained or compared between machines is written by `canonical_bytes` and by nothing else. The bytes
are UTF-8 JSON without spaces, keys sorted by code point, and these rules, so that equal values give equal bytes:

- `Decimal`: text in fixed point, zeros at the end of the fraction dropped: `85.00` and `85` are both `"85"`.
- `float`: the shortest text that reads back as the same number; one that is whole and below 2**53 is written as the
  integer it equals, so `1.0` is `1` and `-0.0` is `0`. NaN and infinities are refused.
- `datetime`: RFC 3339 in UTC with six digits and a Z: `"2026-11-22T09:00:00.000000Z"`. One without a time zone is
  refused. `date`: `"2026-11-22"`.
- `UUID`: its text. An enum: its value. A tuple: a list.
- Text is written as it is; no Unicode normalisation.

Anything else (sets, bytes, models) is refused: say first what it is to be.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

__all__ = ["canonical_bytes", "digest", "holds_nul"]

_NUL = r"\u0000"
_UNESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_WHOLE_LIMIT = 2.0**53  # above it a float no longer tells one integer from the next


def canonical_bytes(value: Any) -> bytes:
    """Return the canonical UTF-8 JSON of `value`.

    Raises `TypeError` for a type that has no canonical form and `ValueError` for a value that has none, each with
    the path to it (`$.signals[3].price`).
    """
    try:
        plain = _plain(value)
    except _Refused as refused:
        path = "$" + "".join(reversed(refused.steps))
        raise refused.kind(f"{path}: {refused.reason}") from None
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical bytes of `value`, in lower-case hexadecimal."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def holds_nul(document: str) -> bool:
    """Return whether a text in a JSON document has the character U+0000, which PostgreSQL does not store."""
    return _NUL in document and _UNESCAPED_NUL.search(document) is not None


class _Refused(Exception):
    """A value has no canonical form. Never leaves this module; its path is put together on the way out."""

    def __init__(self, kind: type[Exception], reason: str) -> None:
        self.kind = kind
        self.reason = reason
        self.steps: list[str] = []


def _plain(value: Any) -> Any:
    """Return `value` in what JSON has: dict, list, str, int, float, bool and None."""
    write = _WRITERS.get(type(value))
    return _plain_of_subclass(value) if write is None else write(value)


def _plain_of_subclass(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return _object(value)
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    raise _Refused(TypeError, f"{type(value).__name__} has no canonical form")


def _object(value: Mapping[Any, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        word = _key(key)
        if word in plain:
            raise _Refused(ValueError, f"two keys are written {word!r}")
        try:
            plain[word] = _plain(item)
        except _Refused as refused:
            refused.steps.append(f".{word}")
            raise
    return plain


def _items(values: Sequence[Any]) -> list[Any]:
    plain: list[Any] = []
    try:
        for value in values:
            plain.append(_plain(value))
    except _Refused as refused:
        refused.steps.append(f"[{len(plain)}]")
        raise
    return plain


def _key(key: Any) -> str:
    word = key.value if isinstance(key, Enum) else key
    if not isinstance(word, str):
        raise _Refused(TypeError, f"the key {word!r} is {type(word).__name__}; keys must be text")
    return _text(word)


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Refused(ValueError, f"{text!r} is not text: half of a surrogate pair has no UTF-8") from None
    return text


def _number(value: float) -> int | float:
    if not math.isfinite(value):
        raise _Refused(ValueError, f"{value!r} is not a number JSON has")
    return int(value) if value.is_integer() and abs(value) < _WHOLE_LIMIT else float(value)


def _fixed_point(value: Decimal) -> str:
    if not value.is_finite():
        raise _Refused(ValueError, f"{value} is not a number JSON has")
    whole, point, fraction = format(value, "f").partition(".")
    text = (whole + point + fraction.rstrip("0")).rstrip(".")
    return "0" if text == "-0" else text


def _instant(value: datetime) -> str:
    if value.utcoffset() is None:
        raise _Refused(ValueError, f"{value.isoformat()} has no time zone")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _as_it_is(value: Any) -> Any:
    return value


_WRITERS: Final[Mapping[type, Callable[[Any], Any]]] = {
    str: _text,
    type(None): _as_it_is,
    bool: _as_it_is,
    int: _as_it_is,
    float: _number,
    dict: _object,
    list: _items,
    tuple: _items,
    Decimal: _fixed_point,
    datetime: _instant,  # before date, which it is too
    date: date.isoformat,
    UUID: str,
}
"""How a value of each type is written; one of a subclass as the first type here that it is."""
