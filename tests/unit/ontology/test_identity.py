from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid
from pylon.ontology.identity import derived_uuid, uuid7

AT = datetime(2026, 11, 22, 8, 30, 15, 123456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS = st.timedeltas(timedelta(0), timedelta(days=80_000)).map(lambda since: EPOCH + since)
WORDS = st.lists(st.text(st.characters(exclude_characters="\x1f", codec="utf-8")), max_size=4)


def test_the_example_of_the_rfc():
    # RFC 9562 appendix A.6: 22 February 2022 14:22:22 at UTC-5, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    at = datetime(2022, 2, 22, 14, 22, 22, tzinfo=timezone(timedelta(hours=-5)))
    entropy = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    assert uuid7(at, entropy) == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@settings(max_examples=50)
@given(INSTANTS, st.binary(min_size=10, max_size=32))
def test_version_variant_and_time(at, entropy):
    made = uuid7(at, entropy)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == (at - EPOCH) // timedelta(milliseconds=1)


@settings(max_examples=50)
@given(INSTANTS, INSTANTS)
def test_ids_sort_by_time(one, other):
    earlier, later = sorted((one, other))
    if later - earlier >= timedelta(milliseconds=1):
        assert uuid7(earlier, b"\xff" * 10) < uuid7(later, b"\x00" * 10)


def test_all_74_bits_of_entropy_count():
    made = {uuid7(AT, (1 << bit).to_bytes(10, "big")) for bit in range(74)}
    assert len(made) == 74
    assert uuid7(AT, b"\xfc" + b"\x00" * 9) == uuid7(AT, b"\x00" * 10)


@settings(max_examples=50)
@given(WORDS, WORDS)
def test_the_same_words_and_only_they_give_the_same_id(one, other):
    # No words and one empty word hash alike, which no caller relies on.
    same = one == other or {tuple(one), tuple(other)} == {(), ("",)}
    assert (derived_uuid(AT, *one) == derived_uuid(AT, *other)) == same


def test_a_derived_id_carries_its_time():
    assert derived_uuid(AT, "region", "13") != derived_uuid(AT + timedelta(milliseconds=1), "region", "13")
    assert derived_uuid(AT, "region", "13") == derived_uuid(AT + timedelta(microseconds=1), "region", "13")


@pytest.mark.parametrize(
    ("at", "entropy"),
    [
        (AT.replace(tzinfo=None), b"\x00" * 10),
        (datetime(1969, 12, 31, tzinfo=UTC), b"\x00" * 10),
        (AT, b"\x00" * 9),
    ],
)
def test_what_cannot_be_an_id_is_refused(at, entropy):
    with pytest.raises(Invalid):
        uuid7(at, entropy)


def test_the_separator_is_refused_in_a_word():
    with pytest.raises(Invalid, match="U\\+001F"):
        derived_uuid(AT, "a\x1fb")
