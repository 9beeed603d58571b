from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pylon.planning import _limits, _split


def random_items(seed: int, rows: int) -> np.ndarray:
    """Return the items of one site: (1, PARTS, rows, 9)."""
    return np.random.default_rng(seed).uniform(1, 10, (1, _split.PARTS, rows, 9))


def taken(items: np.ndarray, row: int, picks: tuple[int, ...]) -> float:
    whole, last = items[0, :, row]
    return sum(whole[pick] for pick in picks[:-1]) + last[picks[-1]]


@pytest.mark.parametrize("seed", range(20))
def test_a_scan_finds_the_cheapest_of_all_splits(seed: int) -> None:
    items, picks, costs, limits = (
        random_items(seed, 1),
        np.zeros((1, 4), np.int64),
        np.zeros(1),
        np.array([_limits.NONE]),
    )
    _split.scan(items, np.array([9]), math.inf, picks, costs, limits)
    best = min(itertools.combinations(range(9), 4), key=lambda every: taken(items, 0, every))
    assert (*sorted(picks[0, :3].tolist()), int(picks[0, 3])) == best
    assert costs[0] == pytest.approx(taken(items, 0, best))
    assert limits[0] == _limits.NONE


@pytest.mark.parametrize("seed", range(60))
def test_under_caps_it_finds_the_cheapest_that_keeps_to_them(seed: int) -> None:
    items, picks, costs, limits = (
        random_items(seed, 3),
        np.zeros((1, 4), np.int64),
        np.zeros(1),
        np.array([_limits.NONE]),
    )
    budgets = np.random.default_rng(seed + 1000).uniform(8, 26, 2)
    if seed % 3 == 0:
        budgets[seed % 2] = math.inf
    is_exact = _split.solve(items, np.array([9]), budgets, math.inf, math.inf, picks, costs, limits)
    every = itertools.combinations(range(9), 4)
    kept = [one for one in every if taken(items, 1, one) <= budgets[0] and taken(items, 2, one) <= budgets[1]]
    assert costs[0] == pytest.approx(min((taken(items, 0, one) for one in kept), default=math.inf))
    assert is_exact
    assert bool(limits[0] == _limits.NONE) is bool(kept)


def test_items_are_the_open_half_hours_of_a_window() -> None:
    closed_by = np.full((3, 6), _limits.NONE)
    closed_by[0, 2], closed_by[1, 1:5] = _limits.POWER, _limits.SIGNALS
    gates = np.array([_limits.NONE, _limits.NONE, _limits.REGION])
    columns, sizes, limits = np.zeros((3, 5), np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    _split.find_items(closed_by, gates, 1, 6, 0.0, 3, columns, sizes, limits)
    assert columns[0, : sizes[0]].tolist() == [1, 3, 4, 5]
    assert sizes.tolist() == [4, 0, 0]
    assert limits.tolist() == [_limits.NONE, _limits.SIGNALS, _limits.REGION]
