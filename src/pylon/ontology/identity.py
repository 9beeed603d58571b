"""Identity: UUIDs of version 7, made by the application."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pylon.errors import Invalid

__all__ = ["derived_uuid", "uuid7"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ENTROPY_BYTES = 10  # 80 bits, of which the first 6 are dropped: version 7 has room for 74
_SEPARATOR = "\x1f"


def uuid7(at: datetime, entropy: bytes) -> UUID:
    """Return the version 7 id of `at` (aware, floored to the millisecond) with the last 74 of `entropy`'s 80 bits.

    `entropy` is at least 10 bytes, of which the first 10 count. Layout: RFC 9562 section 5.7, with rand_a and
    rand_b both random. Ids of later milliseconds sort after ids of earlier ones.
    Raises `Invalid` when `at` is naive or before 1970, or when `entropy` is too short.
    """
    if at.tzinfo is None:
        raise Invalid(f"The time of an id must have a time zone; {at.isoformat()} has none. Give it in UTC.")
    millis = (at - _EPOCH) // _MILLISECOND
    if not 0 <= millis < 1 << 48:
        raise Invalid(f"The time of an id must lie in 1970 or later; {at.isoformat()} does not.")
    if len(entropy) < _ENTROPY_BYTES:
        raise Invalid(f"An id needs {_ENTROPY_BYTES} bytes of entropy; {len(entropy)} were given.")
    noise = int.from_bytes(entropy[:_ENTROPY_BYTES], "big")
    return UUID(
        int=millis << 80
        | 0x7 << 76  # version
        | (noise >> 62 & 0xFFF) << 64
        | 0b10 << 62  # variant
        | noise & (1 << 62) - 1
    )


def derived_uuid(at: datetime, *words: str) -> UUID:
    """Return the version 7 id of `at` whose other bits are the SHA-256 of `words`: the same for the same words.

    Raises `Invalid` when a word contains the unit separator (U+001F), which keeps the words apart in the hash.
    """
    if any(_SEPARATOR in word for word in words):
        raise Invalid("A word an id is derived from must not contain the control character U+001F.")
    return uuid7(at, hashlib.sha256(_SEPARATOR.join(words).encode()).digest())
