"""The cheapest path of one store of electricity through its half hours, exactly.

What the rest of the time costs at least is a function of the energy that is stored: linear between corners. It is
found from the last half hour back:

    before(stored) = least over d of rate * d + after(stored + d)

A half hour goes one *way*, in or out: d MWh from `least` to `most`, at a rate of its own. The least of a way is at
an end of it, or where stored + d is a corner of `after`. So `before` is the lowest of six lines: `after` as seen
through the two ends of either way, and for either way the line that leads to the lowest corner within its reach.
They change only where an end of a way meets a corner; from one such place to the next the lowest is followed.

No grid is laid and nothing has to be convex, so a price at which wasting pays is a price like any other.
"""

from __future__ import annotations

from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pylon.planning._compiled import compiled, inner
from pylon.planning.field import Floats

__all__ = ["IN", "LEAST", "MOST", "OUT", "RATE", "cheapest_path"]

IN, OUT = range(2)
"""The ways: into the store, and out of it."""
LEAST, MOST, RATE = range(3)
"""Of a way: the least and the most MWh that stored energy changes by, and the GBP of each MWh. One whose least is
above its most is closed."""

MWH, GBP = range(2)  # of a corner of a function
NUMBER, BEGIN, END = range(3)  # of a line between two places

Codes = NDArray[np.int64]

DUST_MWH: Final = 1e-11  # corners so close are one
DUST_GBP: Final = 1e-11  # a line is lower than another by more than this
NEAR_MWH: Final = 1e-9  # a corner so close to an end of a way is that end


@compiled
def cheapest_path(ways: Floats, lowest: Floats, highest: Floats, start_mwh: float) -> Floats:
    """Return by how many MWh stored energy changes, (T,), at the least cost.

    `ways` are (T, 2, 3): `IN` and `OUT`, by `LEAST`, `MOST`, `RATE`. Stored energy stays from `lowest` to
    `highest`, (T,) each; there is to be a path that does.
    """
    last = lowest.size - 1
    after = [_flat(lowest[last], highest[last])]
    for t in range(last, 0, -1):
        after.append(_before(after[-1], ways[t], lowest[t - 1], highest[t - 1]))
    changes, stored = np.zeros(lowest.size), start_mwh
    for t in range(lowest.size):
        rest = after[last - t]
        changes[t] = _best_change(rest, ways[t], stored)[1]
        stored = min(max(stored + changes[t], rest[MWH, 0]), rest[MWH, -1])
    return changes


@inner
def _flat(low: float, high: float) -> Floats:
    """Return the function that is 0 from `low` to `high`."""
    if high - low <= DUST_MWH:
        return np.array([[low], [0.0]])
    return np.array([[low, high], [0.0, 0.0]])


@inner
def _before(after: Floats, ways: Floats, lowest: float, highest: float) -> Floats:
    """Return the function (2, K) one half hour earlier: corners in MWh, and GBP there."""
    low, high = inf, -inf
    for way in ways:
        if way[LEAST] <= way[MOST]:
            low, high = min(low, after[MWH, 0] - way[MOST]), max(high, after[MWH, -1] - way[LEAST])
    low, high = max(low, lowest), min(high, highest)
    size, ends = after.shape[1], 2 * ways.shape[0]
    corners, lines = np.empty((2, 3 * ends * (ends * size + 2))), np.empty((3, 3 * ends // 2))
    met = np.full(ends, -1)  # for each end of a way, the corner of `after` that it has met
    count, line, stored = 0, -1.0, low
    while high - stored > DUST_MWH:
        onward = high
        for end in range(ends):
            change = ways[end // 2, end % 2]
            while met[end] + 1 < size and after[MWH, met[end] + 1] - change <= stored + DUST_MWH:
                met[end] += 1
            if met[end] + 1 < size:
                onward = min(onward, after[MWH, met[end] + 1] - change)
        _draw(after, ways, met, stored, onward, lines)
        if lines[BEGIN].min() == inf:  # only rounding is left of the way to `high`
            break
        count, line = _follow_lowest(lines, stored, onward, corners, count, line)
        stored = onward
    if not count:
        return np.array([[low], [_best_change(after, ways, low)[0]]])
    return corners[:, : count + 1].copy()


@inner
def _draw(after: Floats, ways: Floats, met: Codes, stored: float, onward: float, lines: Floats) -> None:
    """Write the lines that `before` may follow from `stored` to `onward`: number, GBP at both or infinite."""
    size = after.shape[1]
    for way in range(ways.shape[0]):
        low, high, rate = ways[way]
        for end in range(2):
            row, corner, change = 3 * way + end, met[2 * way + end], ways[way, end]
            lines[NUMBER, row], lines[BEGIN:, row] = row * size + corner, inf
            if 0 <= corner < size - 1 and low <= high:
                slope = (after[GBP, corner + 1] - after[GBP, corner]) / (
                    after[MWH, corner + 1] - after[MWH, corner]
                )
                base = after[GBP, corner] + rate * change - slope * (after[MWH, corner] - change)
                lines[BEGIN, row], lines[END, row] = base + slope * stored, base + slope * onward
        row, best, least = 3 * way + 2, -1, inf
        for corner in range(
            met[2 * way] + 1, met[2 * way + 1] + 1
        ):  # within reach all the way from stored to onward
            gbp = after[GBP, corner] + rate * after[MWH, corner]
            if gbp < least:
                best, least = corner, gbp
        lines[NUMBER, row] = row * size + best
        lines[BEGIN, row], lines[END, row] = least - rate * stored, least - rate * onward


@inner
def _follow_lowest(
    lines: Floats, stored: float, onward: float, corners: Floats, count: int, line: float
) -> tuple[int, float]:
    """Write the corners of the lowest line from `stored` on, and behind them its end; return their number, and it.

    `line` is the one that was lowest before: where it goes on there is no corner.
    """
    now, share = 0, 0.0
    for row in range(lines.shape[1]):
        gain = lines[BEGIN, now] - lines[BEGIN, row]
        if gain > DUST_GBP or (gain >= -DUST_GBP and lines[END, row] < lines[END, now] - DUST_GBP):
            now = row
    while True:
        if lines[NUMBER, now] != line:
            corners[MWH, count] = stored + share * (onward - stored)
            corners[GBP, count] = lines[BEGIN, now] + share * (lines[END, now] - lines[BEGIN, now])
            count, line = count + 1, lines[NUMBER, now]
        following, crossing = now, 1.0
        for row in range(lines.shape[1]):
            if lines[END, row] < lines[END, now] - DUST_GBP:
                above = lines[BEGIN, row] - lines[BEGIN, now]
                meets = max(0.0, above / (above + lines[END, now] - lines[END, row]))
                if meets < crossing or (meets == crossing and lines[END, row] < lines[END, following]):
                    following, crossing = row, meets
        if following == now:
            break
        now, share = following, crossing
    corners[MWH, count], corners[GBP, count] = onward, lines[END, now]
    return count, line


@inner
def _best_change(after: Floats, ways: Floats, stored: float) -> tuple[float, float]:
    """Return what goes on at the least cost from `stored`: GBP in all, and the change."""
    least, change = inf, 0.0
    for way in range(ways.shape[0]):
        low, high, rate = ways[way]
        if low > high:
            continue
        for end in (high, low):
            gbp = rate * end + _value(after, stored + end)
            if gbp < least - DUST_GBP:
                least, change = gbp, end
        for corner in range(after.shape[1]):
            d = after[MWH, corner] - stored
            gbp = rate * d + after[GBP, corner]
            if gbp < least - DUST_GBP and low + NEAR_MWH < d < high - NEAR_MWH:
                least, change = gbp, d
    return least, change


@inner
def _value(after: Floats, stored: float) -> float:
    """Return the function at `stored`; infinite outside it."""
    if stored < after[MWH, 0] - NEAR_MWH or stored > after[MWH, -1] + NEAR_MWH:
        return inf
    corner = int(np.searchsorted(after[MWH], stored))
    if corner == 0 or corner == after.shape[1]:
        return float(after[GBP, min(corner, after.shape[1] - 1)])
    share = (stored - after[MWH, corner - 1]) / (after[MWH, corner] - after[MWH, corner - 1])
    return float(after[GBP, corner - 1] + share * (after[GBP, corner] - after[GBP, corner - 1]))
