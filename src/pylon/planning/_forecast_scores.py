"""Scores of forecasts: how far off, how sure with what right, and what they are worth to whoever plans by them.

Unknown values (NaN) are left out. Sums are exact, so their order is of no matter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pylon.errors import Invalid
from pylon.planning._forecast_errors import LEVELS
from pylon.planning.field import Floats

__all__ = ["coverage", "crps", "mae", "share_kept"]


def mae(forecast: ArrayLike, actual: ArrayLike) -> float:
    """Return the mean absolute error."""
    given, came = _pair(forecast, actual)
    return _mean(np.abs(given - came))


def crps(quantiles: ArrayLike, actual: ArrayLike) -> float:
    """Return the continuous ranked probability score: twice the mean pinball loss over the quantiles at LEVELS.

    `quantiles` is (len(LEVELS), ...) and `actual` (...). In the unit of the values; for a forecast that is sure of
    itself it is the mean absolute error.
    """
    levels, losses = np.asarray(quantiles, np.float64), []
    if levels.shape[:1] != (len(LEVELS),):
        raise Invalid(f"The quantiles have shape {levels.shape}; there are {len(LEVELS)}, at {LEVELS}.")
    for level, row in zip(LEVELS, levels, strict=True):
        given, came = _pair(row, actual)
        losses.append(_mean(np.maximum(level * (came - given), (level - 1) * (came - given))))
    return 2 * math.fsum(losses) / len(losses)


def coverage(lower: ArrayLike, upper: ArrayLike, actual: ArrayLike) -> float:
    """Return the share of values, 0 to 1, that came within the band, its edges included."""
    least, came = _pair(lower, actual)
    most, _ = _pair(upper, actual)
    is_within = np.where(
        np.isnan(least) | np.isnan(most) | np.isnan(came), math.nan, (least <= came) & (came <= most)
    )
    return _mean(is_within)


def share_kept(
    forecast: ArrayLike, actual: ArrayLike, *, job_half_hours: int, window_half_hours: int, is_interruptible: bool
) -> float:
    """Return which share of the saving of perfect foresight is left to one who plans by the forecast; 1 is all.

    Each row of the arrays, (N, T), is one job: it draws evenly for `job_half_hours` within the first
    `window_half_hours`, in one stretch unless it may be interrupted, and would start at once if nobody planned.
    Rows with an unknown value in the window are left out. Negative when run-now would have been better, NaN when
    there was nothing to save. Raises `Invalid` when the job does not fit the window, or the window the rows.
    """
    given, came = (np.atleast_2d(each) for each in _pair(forecast, actual))
    if not 0 < job_half_hours <= window_half_hours <= given.shape[1]:
        raise Invalid(
            f"A job of {job_half_hours} half hours in a window of {window_half_hours} does not fit rows of "
            f"{given.shape[1]}; the job is the shortest of the three, and lasts 1 or more."
        )
    given, came = given[:, :window_half_hours], came[:, :window_half_hours]
    is_known = np.isfinite(given).all(axis=1) & np.isfinite(came).all(axis=1)
    given, came = given[is_known], came[is_known]
    choose = _least_cells if is_interruptible else _least_stretch
    planned = _cost(came, choose(given, job_half_hours))
    perfect = _cost(came, choose(came, job_half_hours))
    at_once = math.fsum(came[:, :job_half_hours].ravel().tolist())
    return (at_once - planned) / (at_once - perfect) if at_once > perfect else math.nan


def _least_cells(values: Floats, count: int) -> NDArray[np.int64]:
    return np.argsort(values, axis=1, kind="stable")[:, :count]


def _least_stretch(values: Floats, count: int) -> NDArray[np.int64]:
    sums = np.zeros((values.shape[0], values.shape[1] - count + 1))
    for offset in range(count):
        sums += values[:, offset : offset + sums.shape[1]]
    begins: NDArray[np.int64] = np.argmin(sums, axis=1)[:, None]
    return begins + np.arange(count)


def _cost(values: Floats, cells: NDArray[np.int64]) -> float:
    return math.fsum(np.take_along_axis(values, cells, axis=1).ravel().tolist())


def _pair(forecast: ArrayLike, actual: ArrayLike) -> tuple[Floats, Floats]:
    given, came = np.asarray(forecast, np.float64), np.asarray(actual, np.float64)
    if given.shape != came.shape:
        raise Invalid(f"The forecast has shape {given.shape} and what came {came.shape}; give one value for each.")
    return given, came


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    if known.size == 0:
        raise Invalid("There is nothing to score: no half hour has both a forecast and what came.")
    return math.fsum(known.tolist()) / known.size
