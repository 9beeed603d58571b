from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.planning import _battery_programme as programmes
from pylon.planning._battery_programme import Programme, solve, solve_one_way


def a_programme(costs_in: list[float], costs_out: list[float], **changes: Any) -> Programme:
    size = len(costs_in)
    usual = {
        "costs_gbp_mwh": np.array([costs_in, costs_out]),
        "most_mwh": np.full((2, size), 4.0),
        "lowest_mwh": np.zeros(size),
        "highest_mwh": np.full(size, 10.0),
        "start_mwh": 5.0,
    }
    return Programme(**{**usual, **changes})


def test_energy_goes_in_where_it_is_cheap_and_out_where_it_is_dear():
    assert solve(a_programme([1, 5, 9], [0, -4, -8])).tolist() == [[3, 0, 0], [0, 4, 4]]
    assert solve(a_programme([1, 1], [1, 1])).tolist() == [[0, 0], [0, 0]]


def test_what_is_stored_stays_between_the_least_and_the_most():
    low, high = np.array([5.0, 7, 6]), np.array([8.0, 8, 6])
    moved = solve(a_programme([1, 2, 9], [2, 2, 2], lowest_mwh=low, highest_mwh=high))
    stored = 5 + np.cumsum(moved[0] - moved[1])
    assert stored.tolist() == [7, 7, 6]


def test_limits_add_up_without_rounding():
    """Thirds and sevenths have no exact float: nothing but their own sums and differences comes out."""
    most = np.array([[1 / 3, 1 / 7, 1 / 3], [0.0, 0.0, 1.0]])
    moved = solve(a_programme([-1, -1, 10], [1, 1, -9], most_mwh=most, start_mwh=0.0))
    assert moved.tolist() == [[1 / 3, 1 / 7, 0], [0, 0, 1 / 3 + 1 / 7]]


def test_both_ways_at_once_is_taken_where_it_pays_and_only_the_other_programme_forbids_it():
    pays = a_programme([-10, -10], [3, 3], start_mwh=10.0)
    undecided, both = np.array([True, True]), solve(pays)
    assert (both > 0).all(axis=0).any()
    moved, is_exact = solve_one_way(pays, undecided, both[0] >= both[1])
    assert is_exact
    assert moved.tolist() == [[0, 4], [4, 0]]


def test_a_half_hour_that_is_not_undecided_keeps_both_ways():
    pays = a_programme([-10, -10], [3, 3], start_mwh=10.0)
    moved, _ = solve_one_way(pays, np.array([False, True]), np.array([True, True]))
    assert (moved[:, 0] > 0).all()


def test_without_a_node_the_directions_that_were_given_are_kept(monkeypatch):
    monkeypatch.setattr(programmes, "NODE_LIMIT", 0)
    rng = np.random.default_rng(3)
    price = rng.normal(-60, 30, 40)
    pays = a_programme(price.tolist(), (3 - 0.8 * price).tolist(), start_mwh=10.0)
    moved, is_exact = solve_one_way(pays, np.full(40, True), np.full(40, False))
    assert not is_exact
    assert not moved[0].any()


def test_a_programme_without_a_plan_is_refused():
    out_of_reach = {"lowest_mwh": np.array([0.0, 14.0]), "highest_mwh": np.array([10.0, 14.0])}
    with pytest.raises(Invalid, match="no dispatch"):
        solve(a_programme([1, 1], [1, 1], **out_of_reach))
