from __future__ import annotations

import numpy as np
import pytest

from pylon.planning._battery_path import cheapest_path


def a_path(
    rates_in: list[float], rates_out: list[float], *, most_in: float = 4.0, most_out: float = 4.0, **limits: object
) -> list[float]:
    """Return the changes of a store of 10 MWh that holds 5, at rates for each MWh put in and taken out."""
    size = len(rates_in)
    ways = np.zeros((size, 2, 3))
    ways[:, 0, 1], ways[:, 1, 0] = most_in, -most_out
    ways[:, 0, 2], ways[:, 1, 2] = rates_in, rates_out
    for (t, way), values in limits.pop("ways", {}).items():
        ways[t, way, :2] = values
    usual = {"lowest": np.zeros(size), "highest": np.full(size, 10.0), "start_mwh": 5.0} | limits
    return cheapest_path(ways, usual["lowest"], usual["highest"], usual["start_mwh"]).tolist()


def test_energy_goes_in_where_it_is_cheap_and_out_where_it_is_dear():
    assert a_path([1, 5, 9], [0, 4, 8]) == [3, -4, -4]
    assert a_path([1, 1], [-1, -1]) == [0, 0]


def test_what_is_stored_stays_between_the_least_and_the_most():
    low, high = np.array([5.0, 7, 6]), np.array([8.0, 8, 6])
    changes = a_path([1, 2, 9], [-2, -2, -2], lowest=low, highest=high)
    assert np.cumsum([5, *changes]).tolist() == [5, 7, 7, 6]


def test_limits_add_up_without_rounding():
    """Thirds and sevenths have no exact float: nothing but their own sums and differences comes out."""
    ways = {(0, 0): (0, 1 / 3), (1, 0): (0, 1 / 7), (2, 1): (-1, 0)}
    changes = a_path([-1, -1, 10], [-1, -1, 9], most_out=0.0, start_mwh=0.0, ways=ways)
    assert changes == [1 / 3, 1 / 7, -(1 / 3 + 1 / 7)]


def test_where_wasting_pays_a_full_store_makes_room_to_be_filled_again():
    assert a_path([-10, -10], [-3, -3], start_mwh=10.0) == [-4, 4]
    assert a_path([-10, -9, -8], [-3, -3, -3], start_mwh=10.0) == [-4, 4, 0]


def test_a_way_that_must_be_gone_is_gone_and_a_closed_one_is_not():
    forced = {(1, 0): (0, -1), (1, 1): (-4, -1)}
    assert a_path([-9, 1, 1], [-5, -5, -5], start_mwh=1.0) == [4, 0, 0]
    assert a_path([-9, 1, 1], [-5, -5, -5], start_mwh=1.0, ways=forced) == [4, -1, 0]
    assert a_path([-9, 1], [-5, -5], ways={(0, 0): (0, -1)}) == [0, 0]


@pytest.mark.parametrize("start", [0.0, 3.0, 10.0])
def test_a_half_hour_in_which_nothing_can_be_moved_changes_nothing(start):
    still = {(1, 1): (0, 0), (2, 1): (0, 0)}
    changes = a_path([90, 90, 90], [50, 60, 70], most_in=0.0, start_mwh=start, ways=still)
    assert changes == [-min(4, start), 0, 0]


def test_a_band_of_one_level_leaves_one_path():
    level = np.array([7.0, 7.0, 5.0])
    assert a_path([9, 9, 9], [-9, -9, -9], lowest=level, highest=level) == [2, 0, -2]


def test_one_half_hour_is_a_path_too():
    assert a_path([3], [2]) == [-4]
