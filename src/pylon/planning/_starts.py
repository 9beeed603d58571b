"""When a job that runs in one piece may be worth starting."""

from __future__ import annotations

from math import floor
from typing import Final

import numpy as np

from pylon.planning._compiled import compiled
from pylon.planning.field import HALF_HOUR_MINS, Floats

__all__ = ["starts"]

CELL: Final = float(HALF_HOUR_MINS)


@compiled
def starts(duration_mins: float, earliest_mins: float, latest_end_mins: float, half_hours: int) -> Floats:
    """Return every moment worth starting at in one piece, in order: the first alone when it would end too late.

    Between two moments at which a job begins or ends with a half hour its cost changes in a straight line, so no
    other moment is cheaper than those, the earliest and the one that ends at the latest end.
    """
    moments = np.empty(2 * half_hours + 3)
    moments[0] = moment = earliest_mins
    size = 1
    last = latest_end_mins - duration_mins
    while size < moments.size - 1:
        moment = min(
            CELL * (floor(moment / CELL) + 1), CELL * (floor((moment + duration_mins) / CELL) + 1) - duration_mins
        )
        if moment >= min(last, CELL * half_hours):
            break
        moments[size] = moment
        size += 1
    if earliest_mins < last < CELL * half_hours:
        moments[size] = last
        size += 1
    return moments[:size]
