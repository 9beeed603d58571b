"""What a store of electricity can keep to: its band, or the fastest way into it; and what it is asked to give."""

from __future__ import annotations

from math import inf

import numpy as np

from pylon.planning._battery_path import IN, LEAST, MOST, OUT
from pylon.planning._compiled import compiled
from pylon.planning.field import Floats

__all__ = ["keep_in_band"]


@compiled
def keep_in_band(
    ways: Floats, start_mwh: float, band_mwh: tuple[float, float], end_mwh: float, keeps_end: bool
) -> tuple[Floats, Floats]:
    """Return the least and the most to be stored after each half hour, (T,) each.

    Two paths are followed from `start_mwh`: the emptiest, and the fullest, which takes in all it can and gives only
    what it must. Where that would leave the band, or the way to the end where it `keeps_end`, less is asked: `ways`
    (T, 2, 3) are changed. What the fullest cannot give no path can, and in all none gives more.
    """
    size, (least, most) = ways.shape[0], band_mwh
    lowest, highest, on_the_way = np.empty(size), np.empty(size), np.full(size, -inf)
    emptiest = fullest = start_mwh
    for t in range(size):
        emptiest += ways[t, OUT, LEAST]
        highest[t] = max(most, emptiest)
        fullest = min(fullest + max(ways[t, IN, MOST], 0.0), highest[t])
    if keeps_end:
        end_mwh = min(end_mwh, fullest)
        needed = end_mwh
        for t in range(size - 1, -1, -1):
            on_the_way[t] = needed
            needed -= max(ways[t, IN, MOST], 0.0)
    fullest = start_mwh
    for t in range(size):
        rise, asked = max(ways[t, IN, MOST], 0.0), -ways[t, OUT, MOST]
        lowest[t] = max(min(least, fullest + rise), on_the_way[t])
        given = min(asked, max(fullest - lowest[t], 0.0))
        ways[t, OUT, MOST] = -given
        fullest = min(fullest + rise - given, highest[t])
    if size:
        lowest[-1] = max(lowest[-1], min(end_mwh, fullest))
    return lowest, highest
