from __future__ import annotations

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.planning import _forecast_scores as scores


def test_the_mean_absolute_error_leaves_out_what_is_not_known():
    assert scores.mae([1, 2, np.nan, 4], [2, 0, 3, np.nan]) == 1.5
    with pytest.raises(Invalid, match="nothing to score"):
        scores.mae([np.nan], [1])
    with pytest.raises(Invalid, match=r"\(2,\) and what came \(1,\)"):
        scores.mae([1, 2], [1])


def test_the_crps_by_hand():
    assert scores.crps(np.full((7, 2), 10.0), [13, 7]) == pytest.approx(3)
    fan = np.arange(1.0, 8.0)[:, None]
    losses = 0.05 * 3 + 0.1 * 2 + 0.25 * 1 + 0 + 0.25 * 1 + 0.1 * 2 + 0.05 * 3
    assert scores.crps(fan, [4]) == pytest.approx(2 * losses / 7)
    with pytest.raises(Invalid, match="there are 7"):
        scores.crps(np.ones((3, 2)), [1, 2])


def test_coverage_counts_the_edges_of_the_band():
    assert scores.coverage([0, 0, 0, 0], [2, 2, 2, 2], [0, 2, 2.1, np.nan]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("forecast", "is_interruptible", "share"),
    [
        ([10, 2, 8, 1], False, 1.0),  # at once 12, the best stretch 8 + 1
        ([10, 2, 8, 1], True, 1.0),  # the best cells 2 + 1
        ([1, 8, 2, 10], False, 0.0),  # chooses to run at once
        ([1, 8, 2, 10], True, -6 / 9),  # 10 + 8 where 12 was to be had at once
        ([9, 1, 1, 9], False, (12 - 10) / (12 - 9)),
    ],
)
def test_the_share_kept_by_hand(forecast, is_interruptible, share):
    rows = np.array([forecast, [np.nan, 1, 2, 3]], float)
    came = np.array([[10, 2, 8, 1], [5, 5, 5, 5]], float)
    kept = scores.share_kept(rows, came, job_half_hours=2, window_half_hours=4, is_interruptible=is_interruptible)
    assert kept == pytest.approx(share)


def test_the_share_kept_adds_up_jobs_and_sees_the_window_alone():
    came = np.array([[4, 0, -9], [8, 4, -9]], float)
    rows = np.array([[4, 0, -9], [1, 2, -9]], float)
    assert scores.share_kept(
        rows, came, job_half_hours=1, window_half_hours=2, is_interruptible=False
    ) == pytest.approx(4 / 8)


def test_where_there_is_nothing_to_save_no_share_is_given():
    assert np.isnan(scores.share_kept([1, 2], [3, 3], job_half_hours=1, window_half_hours=2, is_interruptible=True))
    with pytest.raises(Invalid, match="A job of 3 half hours in a window of 2"):
        scores.share_kept([1, 2], [3, 3], job_half_hours=3, window_half_hours=2, is_interruptible=True)
