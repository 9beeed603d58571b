"""Half hours, London days and settlement periods, across every change of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, periods_in, settlement_period

FIRST, LAST = date(2009, 1, 1), date(2030, 12, 31)
DAYS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
instants = st.datetimes(datetime(2009, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def last_sunday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)


def test_every_day_of_22_years_has_the_periods_its_clock_says() -> None:
    expected = {last_sunday(year, 3): 46 for year in range(2009, 2031)}
    expected |= {last_sunday(year, 10): 50 for year in range(2009, 2031)}
    assert [day for day in DAYS if periods_in(day) != expected.get(day, 48)] == []


def test_the_periods_of_every_day_follow_each_other_without_a_gap() -> None:
    start = datetime(2009, 1, 1, tzinfo=UTC)
    for day in DAYS:
        count = periods_in(day)
        # The first, the last and the ones beside the change (00:30 to 02:30) say whether the rest is in order.
        for number in {1, 2, 3, 4, 5, 6, count}:
            assert settlement_period(start + (number - 1) * HALF_HOUR) == (day, number)
        start += count * HALF_HOUR
    assert start == datetime(2031, 1, 1, tzinfo=UTC)


@given(instants)
def test_the_next_half_hour_is_the_next_period(at: datetime) -> None:
    start = floor(at)
    day, number = settlement_period(start)
    assert 1 <= number <= periods_in(day)
    following = (day, number + 1) if number < periods_in(day) else (day + timedelta(days=1), 1)
    assert settlement_period(start + HALF_HOUR) == following


@pytest.mark.parametrize(
    ("start", "period"),
    [
        # Winter time: London is UTC.
        ("2026-01-15T00:00Z", (date(2026, 1, 15), 1)),
        ("2026-01-15T23:30Z", (date(2026, 1, 15), 48)),
        # Summer time: the London day starts at 23:00 UTC of the day before.
        ("2026-07-14T22:30Z", (date(2026, 7, 14), 48)),
        ("2026-07-14T23:00Z", (date(2026, 7, 15), 1)),
        # The clocks go forward at 01:00 UTC on 29 March 2026: 46 periods, and the day ends an hour early in UTC.
        ("2026-03-29T00:00Z", (date(2026, 3, 29), 1)),
        ("2026-03-29T00:30Z", (date(2026, 3, 29), 2)),
        ("2026-03-29T01:00Z", (date(2026, 3, 29), 3)),
        ("2026-03-29T22:30Z", (date(2026, 3, 29), 46)),
        ("2026-03-29T23:00Z", (date(2026, 3, 30), 1)),
        # They go back at 01:00 UTC on 25 October 2026: 50 periods, the hour from 01:00 London twice.
        ("2026-10-24T23:00Z", (date(2026, 10, 25), 1)),
        ("2026-10-25T00:00Z", (date(2026, 10, 25), 3)),
        ("2026-10-25T01:00Z", (date(2026, 10, 25), 5)),
        ("2026-10-25T23:30Z", (date(2026, 10, 25), 50)),
        ("2026-10-26T00:00Z", (date(2026, 10, 26), 1)),
    ],
)
def test_settlement_periods_at_midnight_and_at_clock_changes(start: str, period: tuple[date, int]) -> None:
    assert settlement_period(datetime.fromisoformat(start)) == period


def test_the_zone_a_time_is_given_in_does_not_matter() -> None:
    twice = [datetime(2026, 10, 25, 1, 30, tzinfo=LONDON, fold=fold) for fold in (0, 1)]
    assert [settlement_period(at)[1] for at in twice] == [4, 6]


@given(instants)
def test_floor_is_the_half_hour_it_falls_in(at: datetime) -> None:
    start = floor(at)
    assert start.tzinfo is UTC
    assert timedelta(0) <= at - start < HALF_HOUR
    assert start.timestamp() % 1800 == 0
    assert floor(start) == start
    assert floor(at.astimezone(LONDON)) == start


@given(instants, st.integers(0, 200), st.integers(1, 1799))
def test_half_hours_are_half_open(at: datetime, count: int, seconds: int) -> None:
    start = floor(at)
    assert len(list(half_hours(start, start + count * HALF_HOUR))) == count
    assert len(list(half_hours(start, start + count * HALF_HOUR + timedelta(seconds=seconds)))) == count + 1
    inside = list(half_hours(start + timedelta(seconds=seconds), start + HALF_HOUR))
    assert inside == [start]
