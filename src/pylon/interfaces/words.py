"""Words in addresses: the ids that operators gave their things, as parameters take them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

__all__ = ["Word"]


def _plain(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise PydanticCustomError("text", "must be text without control characters")
    return text


Word = Annotated[
    str, Field(max_length=100, json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*$"}), AfterValidator(_plain)
]
"""At most 100 characters on one line."""
