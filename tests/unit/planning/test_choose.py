from __future__ import annotations

import itertools
import math

import numba
import numpy as np
import pytest

from pylon.planning import _choose, _limits

# Called from a kernel, as they are made to be.


@numba.njit
def scanned(costs, last_costs, picks):
    return _choose.scan(costs, last_costs, picks)


@numba.njit
def solved(items, budgets, picks, ceiling=math.inf):
    _choose.scan(items[0, 0], items[1, 0], picks)
    return _choose.solve(items, budgets, picks, math.inf, ceiling)


def random_items(seed: int) -> np.ndarray:
    """Return the items of one site: (PARTS, ROWS, 9)."""
    return np.random.default_rng(seed).uniform(1, 10, (_choose.PARTS, _choose.ROWS, 9))


def taken(items: np.ndarray, row: int, picks: tuple[int, ...]) -> float:
    whole, last = items[:, row]
    return sum(whole[pick] for pick in picks[:-1]) + last[picks[-1]]


@pytest.mark.parametrize("seed", range(20))
def test_a_scan_finds_the_cheapest_of_all_splits(seed: int) -> None:
    items, picks = random_items(seed), np.zeros(4, np.int64)
    cost = scanned(items[_choose.WHOLE, _choose.COST], items[_choose.LAST, _choose.COST], picks)
    best = min(itertools.combinations(range(9), 4), key=lambda every: taken(items, 0, every))
    assert (*sorted(picks[:3].tolist()), int(picks[3])) == best
    assert cost == pytest.approx(taken(items, 0, best))


@pytest.mark.parametrize("seed", range(60))
def test_under_caps_it_finds_the_cheapest_that_keeps_to_them(seed: int) -> None:
    items, picks = random_items(seed), np.zeros(4, np.int64)
    budgets = np.random.default_rng(seed + 1000).uniform(8, 26, 2)
    if seed % 3 == 0:
        budgets[seed % 2] = math.inf
    limit, cost, is_proven = solved(items, budgets, picks)
    every = itertools.combinations(range(9), 4)
    kept = [one for one in every if taken(items, 1, one) <= budgets[0] and taken(items, 2, one) <= budgets[1]]
    assert cost == pytest.approx(min((taken(items, 0, one) for one in kept), default=math.inf))
    assert is_proven
    assert (limit == _limits.NONE) is bool(kept)


@pytest.mark.parametrize("seed", range(60))
def test_a_site_as_good_as_the_ceiling_is_never_left_out(seed: int) -> None:
    items, picks = random_items(seed), np.zeros(4, np.int64)
    items[:, 1:] -= 8  # what is taken, and what may be, can be less than nothing: power at a negative price
    budgets = np.random.default_rng(seed + 1000).uniform(-22, -4, 2)
    every = itertools.combinations(range(9), 4)
    kept = [one for one in every if taken(items, 1, one) <= budgets[0] and taken(items, 2, one) <= budgets[1]]
    best = min((taken(items, 0, one) for one in kept), default=math.inf)
    _, cost, _ = solved(items, budgets, picks, best)
    assert cost == pytest.approx(best)
