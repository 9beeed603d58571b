"""How far back a source is asked, by what it last answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pylon.services.reach_back import looked_back_at, reach_back
from pylon.services.reports import Outcome, SourceReport

NOW = datetime(2026, 11, 22, 9, 12, tzinfo=UTC)
PRESENT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def last(age: timedelta | None, looked_back: timedelta | None) -> SourceReport:
    """The report of a source that last answered `age` ago, and `looked_back` ago for 7 days."""
    return SourceReport(
        name="one",
        title="One",
        data_source="one",
        is_simulated=False,
        licence="",
        attribution="",
        outcome=Outcome.OK,
        seconds=0,
        fetched_at=NOW,
        whole_at=None if age is None else NOW - age,
        looked_back_at=None if looked_back is None else NOW - looked_back,
    )


@pytest.mark.parametrize(
    ("report", "reach"),
    [
        pytest.param(None, 7 * DAY, id="never asked"),
        pytest.param(last(None, None), 7 * DAY, id="never answered"),
        pytest.param(last(HOUR / 2, HOUR), DAY, id="one run of the timetable after another"),
        pytest.param(last(HOUR / 2, DAY), 7 * DAY, id="once a day"),
        pytest.param(last(HOUR / 2, None), 7 * DAY, id="answered, but never for a week"),
        pytest.param(last(DAY - HOUR, DAY - HOUR), DAY + HOUR, id="after 23 hours without an answer"),
        pytest.param(last(DAY + 3 * HOUR, 2 * DAY), 7 * DAY, id="after a pause shorter than the look-back"),
        pytest.param(last(12 * DAY, 12 * DAY), 12 * DAY + 2 * HOUR, id="after a long pause"),
        pytest.param(last(90 * DAY, 90 * DAY), 30 * DAY, id="after a pause longer than is asked for"),
        pytest.param(last(-3 * DAY, -3 * DAY), 7 * DAY, id="a replay of what was before the last answer"),
    ],
)
def test_how_far_back_a_source_is_asked(report: SourceReport | None, reach: timedelta) -> None:
    assert reach_back(NOW, report) == PRESENT - reach


def test_only_an_answer_for_the_whole_week_counts_as_looking_back() -> None:
    before = last(HOUR, 3 * HOUR)
    assert looked_back_at(NOW, PRESENT - 7 * DAY, before) == NOW
    assert looked_back_at(NOW, PRESENT - 6 * DAY, before) == NOW - 3 * HOUR
    assert looked_back_at(NOW, None, before) == NOW - 3 * HOUR
    assert looked_back_at(NOW, None, None) is None
