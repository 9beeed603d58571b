"""Times as people write them: with a zone in addresses, in commands a date alone as well."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pylon.errors import Invalid
from pylon.interfaces.instants import instant, of_option


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T09:00Z", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-06-22T09:00:00+01:00", datetime(2026, 6, 22, 8, tzinfo=UTC)),
        (None, None),
    ],
)
def test_an_option_takes_a_date_or_a_time_with_its_zone(text, at):
    assert of_option("--from", text) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "2026-11-22T09:00", "1999-12-31", "2026-11-2"])
def test_an_option_that_is_no_time_is_told_what_is_valid_and_nothing_of_addresses(text):
    with pytest.raises(Invalid) as refused:
        of_option("--from", text)
    assert refused.value.detail.startswith(f"--from {text!r} is not valid. Valid: a date, such as 2026-11-22")
    assert "2026-11-22T09:00:00Z" in refused.value.detail
    assert "address" not in refused.value.detail


def test_an_address_takes_no_date_alone_and_is_told_how_a_plus_is_written():
    with pytest.raises(ValueError, match="written %2B"):
        instant("2026-11-22")
