"""Days as people write them."""

from __future__ import annotations

from datetime import date

import pytest

from pylon.interfaces.days import day


def test_a_day_is_read_and_none_stays_none() -> None:
    assert day("2026-11-22") == date(2026, 11, 22)
    assert day("2024-02-29") == date(2024, 2, 29)
    assert day(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30",
        "2026-11-22T00:00Z",
        "20261122",
        "1792800000",
        "1999-12-31",
        "2100-01-01",
        "",
        " ",
        "٢٠٢٦-11-22",
        5,
    ],
)
def test_nothing_else_is_a_day(text: object) -> None:
    with pytest.raises(ValueError, match="a day such as 2026-11-22"):
        day(text)
