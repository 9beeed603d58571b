from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from pylon.planning._forecast_usual import DAILY_KEEP, follow, read_clock, total

DAY = 48
WINTER = datetime(2023, 1, 2, tzinfo=UTC)  # a Monday


def test_days_of_46_and_50_half_hours_keep_the_clock_on_the_wall():
    spring = read_clock(datetime(2023, 3, 26, tzinfo=UTC), DAY)
    assert [int(each) for each in spring.half_hour[:4]] == [0, 1, 4, 5]
    assert (spring.day == 0).sum() == 46
    autumn = read_clock(datetime(2023, 10, 28, 23, tzinfo=UTC), 52)
    assert [int(each) for each in autumn.half_hour[:7]] == [0, 1, 2, 3, 2, 3, 4]
    assert (autumn.day == 0).sum() == 50
    assert autumn.is_weekend[:50].all()
    assert not autumn.is_weekend[50:].any()


def test_what_is_usual_was_known_as_the_day_began():
    values, clock = np.random.default_rng(1).normal(200, 20, 20 * DAY), read_clock(WINTER, 20 * DAY)
    before = follow(values, clock)
    values[10 * DAY :] = 9_999
    after = follow(values, clock)
    assert (before[1:11] == after[1:11]).all()
    assert (before[11:] != after[11:]).any()
    assert np.isnan(before[0]).all()


def test_a_day_counts_half_after_14_days():
    assert pytest.approx(0.5, abs=1e-4) == DAILY_KEEP**14


def test_the_mean_of_two_working_days_by_hand():
    """A kind of day counts its own days and one day of the mean of both; a weekend never seen is that mean."""
    usual = follow(np.repeat([100.0, 200.0], DAY), read_clock(WINTER, 2 * DAY))
    weight = DAILY_KEEP + 1
    mean = (DAILY_KEEP * 100 + 200) / weight
    assert usual[1] == pytest.approx(100)
    assert usual[2, 0] == pytest.approx((weight * mean + mean) / (weight + 1))
    assert usual[2, 1] == pytest.approx(mean)


def test_a_half_hour_that_was_never_known_has_the_mean_of_all():
    values = np.repeat([10.0, math.nan, 30.0], [12, 24, 12])
    usual = follow(values, read_clock(WINTER, DAY))[-1, 0]
    assert usual[[0, 20, 47]] == pytest.approx([10, 20, 30])


def test_sums_are_added_in_order():
    assert total(np.array([1e16, 1.0, -1e16])) == 0
    assert total(np.array([1e16, -1e16, 1.0])) == 1
    assert total(np.array([])) == 0
