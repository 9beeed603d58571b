from __future__ import annotations

import math

import pytest

from pylon.planning import _pieces


def test_starts_are_where_a_job_begins_or_ends_with_a_half_hour() -> None:
    moments = _pieces.starts(45.0, 10.0, 130.0, 6)
    assert moments.tolist() == [10.0, 15.0, 30.0, 45.0, 60.0, 75.0, 85.0]


@pytest.mark.parametrize(("earliest_mins", "latest_end_mins"), [(60.0, 70.0), (500.0, math.inf)])
def test_a_job_without_time_has_its_earliest_moment_alone(earliest_mins: float, latest_end_mins: float) -> None:
    assert _pieces.starts(45.0, earliest_mins, latest_end_mins, 6).tolist() == [earliest_mins]
