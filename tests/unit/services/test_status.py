"""Readiness: what a run says about whether the system can serve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pylon.ontology.enums import RunStatus
from pylon.services import status
from pylon.services.reports import RunReport
from pylon.services.status import FRESH_FOR

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def run(finished_at: datetime | None) -> RunReport:
    return RunReport(
        run_id=UUID(int=1), status=RunStatus.SUCCEEDED, trigger="t", started_at=NOW, finished_at=finished_at
    )


@pytest.mark.parametrize("committed", [None, run(None)])
def test_without_a_run_that_ended_it_is_not_ready_and_says_what_to_do(committed):
    state = status._readiness(committed, NOW)
    assert (state.ready, state.data_age_s, state.stale) == (False, None, False)
    assert state.reason is not None
    assert "`pylon pipeline`" in state.reason


@pytest.mark.parametrize(
    ("age", "seconds", "stale"),
    [
        (timedelta(0), 0, False),
        (timedelta(seconds=-3), 0, False),  # the database's machine may be ahead
        (FRESH_FOR, FRESH_FOR.total_seconds(), False),
        (FRESH_FOR + timedelta(seconds=1), FRESH_FOR.total_seconds() + 1, True),
    ],
)
def test_with_one_it_is_ready_and_says_how_old_the_data_are(age, seconds, stale):
    state = status._readiness(run(NOW - age), NOW)
    assert (state.ready, state.reason, state.data_age_s, state.stale) == (True, None, seconds, stale)


def test_two_missed_runs_of_the_timetable_are_stale():
    assert timedelta(hours=1) < FRESH_FOR < timedelta(minutes=90)
