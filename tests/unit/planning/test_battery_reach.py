from __future__ import annotations

import pytest

from pylon.planning._battery_path import IN, LEAST, MOST, OUT
from pylon.planning._battery_reach import keep_in_band
from tests.unit.planning.batteries import some_ways


def reach(ways, start=5.0, band=(2.0, 8.0), end=0.0, keeps_end=False):
    lowest, highest = keep_in_band(ways, start, band, end, keeps_end)
    return lowest.tolist(), highest.tolist()


def given(ways):
    return (-ways[:, OUT, MOST]).tolist()


def test_within_its_band_it_stays_there_and_ends_with_what_it_can():
    assert reach(some_ways(3)) == ([2, 2, 2], [8, 8, 8])
    assert reach(some_ways(3), end=6.0) == ([2, 2, 6], [8, 8, 8])
    assert reach(some_ways(3), end=9.0) == ([2, 2, 8], [8, 8, 8])
    assert reach(some_ways(1, most_in=0.5), end=9.0) == ([5.5], [8])


@pytest.mark.parametrize(("start", "expected"), [(0.5, ([1.5, 2, 2], [8, 8, 8])), (9.5, ([2, 2, 2], [8.5, 8, 8]))])
def test_outside_its_band_it_is_led_back_as_fast_as_it_can(start, expected):
    assert reach(some_ways(3), start=start) == expected


def test_what_is_asked_is_given_down_to_the_band_and_the_earlier_first():
    ways = some_ways(4, asked=[1.0, 0, 1, 1])
    ways[:, IN, MOST] = 0
    reach(ways, start=4.5)
    assert given(ways) == [1, 0, 1, 0.5]


def test_what_has_to_be_kept_for_the_end_is_not_given():
    for keeps_end, expected, end in ((False, [1, 1, 1], 3.0), (True, [1, 0.5, 0], 4.5)):
        ways = some_ways(3, asked=[1.0, 1, 1])
        lowest, _ = reach(ways, start=6.0, end=4.5, keeps_end=keeps_end)
        assert given(ways) == expected
        assert lowest[-1] == end


def test_what_can_be_charged_again_before_the_end_is_given():
    ways = some_ways(3, asked=[0.0, 1, 0])
    lowest, _ = reach(ways, start=5.0, end=5.0, keeps_end=True)
    assert given(ways) == [0, 1, 0]
    assert lowest == [4, 4, 5]


def test_below_its_band_nothing_is_given_and_it_waits_where_it_may_not_charge():
    ways = some_ways(2, asked=[1.0, 1.0])
    assert reach(ways, start=1.0)[0] == [1, 1]
    assert given(ways) == [0, 0]
    assert ways[:, OUT, LEAST].tolist() == [-1, -1]
