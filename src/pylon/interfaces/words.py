"""Words that clients choose: the ids that operators gave their things, and the keys of their requests."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

__all__ = ["IdempotencyKey", "Word"]

_LONGEST_KEY = 100


def _plain(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise PydanticCustomError("text", "must be text without control characters")
    return text


def _printable(key: str) -> str:
    if not 1 <= len(key) <= _LONGEST_KEY or any(not " " <= letter <= "~" for letter in key):
        raise PydanticCustomError("key", "must be 1 to 100 printable ASCII characters")
    return key


Word = Annotated[
    str, Field(max_length=100, json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*$"}), AfterValidator(_plain)
]
"""At most 100 characters on one line."""

IdempotencyKey = Annotated[
    str | None,
    AfterValidator(lambda key: None if key is None else _printable(key)),
    Header(
        alias="Idempotency-Key",
        description="Under one key an action is performed once; asked again, it answers as it did then",
        json_schema_extra={"minLength": 1, "maxLength": _LONGEST_KEY, "pattern": "^[ -~]+$"},
    ),
]
"""What a client that may ask twice sends, so that it is done once."""
