from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.planning._forecast_errors import LEADS, learn, quantiles
from pylon.planning._forecast_usual import follow, read_clock

DAY = 48
WINTER = datetime(2023, 1, 2, tzinfo=UTC)


def lessons(values):
    clock = read_clock(WINTER, values.size)
    return learn(values, clock, follow(values, clock))


def noise(days, *, size=10.0):
    return np.random.default_rng(3).normal(200, size, days * DAY)


def test_quantiles_of_a_sample_are_its_values_further_out_for_fewer_days():
    sample = np.arange(1000.0)[::-1]
    assert quantiles(sample, 10**9).tolist() == [49, 99, 249, 499, 750, 900, 950]
    assert quantiles(sample, 100).tolist() == [40, 91, 242, 499, 757, 908, 959]
    assert quantiles(sample, 3)[[0, -1]].tolist() == [0, 999]
    assert quantiles(np.array([np.nan, 5.0]), 1).tolist() == [5] * 7
    with pytest.raises(Invalid, match="Quantiles of 0 values"):
        quantiles(np.array([np.nan]), 1)


def test_noise_teaches_that_nothing_is_remembered():
    taught = lessons(noise(100))
    assert np.abs(taught.weights).max() < 0.1
    assert np.abs(taught.fade).max() < 0.1
    assert taught.offsets[-1] == pytest.approx(1.645 * 10 * 1.03, rel=0.1)  # and the error of the mean
    assert taught.offsets[0] == pytest.approx(-taught.offsets[-1], rel=0.1)


def test_a_day_that_repeats_the_one_before_is_learnt():
    """Each day is off by its own amount at each half hour, and the second of a pair is off as the first."""
    firsts = np.random.default_rng(3).normal(200, 20, (150, DAY))
    taught = lessons(np.repeat(firsts, 2, axis=0).ravel())
    assert taught.weights[:47, 1] == pytest.approx(0.5, abs=0.2)  # true of every other day
    assert np.abs(taught.weights[:47, 0]).max() < 0.1


def test_errors_count_by_how_large_they_were_of_late():
    calmed = lessons(np.concatenate([noise(60, size=40.0), noise(40, size=10.0)]))
    stirred = lessons(np.concatenate([noise(60, size=10.0), noise(40, size=40.0)]))
    assert 1.5 * 40 < stirred.offsets[-1].mean() < 2.2 * 40
    assert calmed.offsets[-1].mean() < 1.645 * 20  # 10 in the end, and 40 two half-lives ago


def test_days_are_counted_at_the_lead_that_has_the_fewest():
    values = noise(10)
    assert lessons(values).days == 8  # the first is for the mean, the last has no forecast of two days
    values[3 * DAY : 6 * DAY] = np.nan
    assert lessons(values).days < 8


def test_with_errors_of_fewer_than_three_days_values_are_told_by_their_mean():
    taught = lessons(noise(3))
    assert not taught.weights[-1].any()
    assert taught.days < 3
    assert np.isfinite(taught.offsets).all()
    assert taught.offsets.shape == (7, LEADS)


def test_one_day_is_told_with_nine_times_caution():
    values = noise(1)
    taught = lessons(values)
    assert taught.offsets[-1] == pytest.approx(9 * (values.max() - values.mean()))
    assert taught.offsets[0] == pytest.approx(9 * (values.min() - values.mean()))
