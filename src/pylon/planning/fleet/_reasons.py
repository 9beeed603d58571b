"""Why a job is rejected: the first limit that leaves it nothing, and the money that would make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np

from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import COST, GPUS, PRICE, Cells, Records
from pylon.planning.fleet._bound import floors
from pylon.planning.fleet._method import Solved
from pylon.planning.fleet._plan import Rejection
from pylon.planning.fleet._problem import Codes, Flags
from pylon.planning.fleet._read import Reading

__all__ = ["rejections"]


def rejections(reading: Reading, solved: Solved) -> tuple[Rejection, ...]:
    """Return why each job that does not run does not, in the order of the jobs."""
    crowded_out = reading.free[solved.standing.site < 0]
    said = (
        (reading.aside, False, *_alone(reading, reading.aside)),
        (crowded_out, True, *_among_others(reading, solved, crowded_out)),
    )
    rejected = [
        Rejection(job=job, limit=limit, has_option=has_option, price_to_fit_gbp=_money(gbp))
        for jobs, has_option, limits, money in said
        for job, limit, gbp in zip(jobs.tolist(), limits, money.tolist(), strict=True)
    ]
    return tuple(sorted(rejected, key=lambda one: one.job))


def _alone(reading: Reading, jobs: Codes) -> tuple[list[str], Floats]:
    """Return the limit that a job without others comes to, and the money that would make it fit, NaN for none."""
    records, allowed = reading.records[jobs], reading.allowed[jobs]
    limits, fits = ["value"] * jobs.size, np.full(jobs.size, np.nan)
    is_open = np.ones(jobs.size, np.bool_)
    for name, least in _ladder(reading, records, allowed):
        stopped = is_open & ~(least < inf)
        is_open &= ~stopped
        for i in np.flatnonzero(stopped).tolist():
            limits[i] = name
    by_money = np.array([limit == "max_price" for limit in limits], np.bool_)
    fits[is_open] = _least(records, allowed, reading.cells)[is_open]
    fits[by_money] = _least_money(records, allowed, reading.cells)[by_money]
    return limits, fits


def _ladder(reading: Reading, records: Records, allowed: Flags) -> Iterator[tuple[str, Floats]]:
    """Yield each limit in the order of checking, with the least cost (N,) when it and those before it hold."""
    cells, end = reading.cells, reading.cells.limits.shape[2]
    yield "region", np.where(allowed.any(axis=1), 0.0, inf)
    free = records.copy()
    free["gpus"], free["first"], free["end"] = 0.0, 0, end
    free["carbon_cap"] = free["max_price"] = inf
    known = cells._replace(field=np.where(np.isfinite(cells.field), cells.field, 0.0))
    yield "power_mw", _least(free, allowed, known)
    free["gpus"] = records["gpus"]
    yield "gpus", _least(free, allowed, known)
    yield "signals_known", _least(free, allowed, cells)
    free["first"], free["end"] = records["first"], records["end"]
    yield "latest_end", _least(free, allowed, cells)
    free["carbon_cap"] = records["carbon_cap"]
    yield "carbon_cap", _least(free, allowed, cells)
    yield "max_price", _least(records, allowed, cells)


def _among_others(reading: Reading, solved: Solved, jobs: Codes) -> tuple[list[str], Floats]:
    """Return which room others have taken, and the value that would win it back, at the prices of the bound."""
    records, allowed, prices = reading.records[jobs], reading.allowed[jobs], solved.prices
    priced = _least(records, allowed, reading.cells, prices)
    without_gpus = prices.copy()
    without_gpus[GPUS] = 0.0
    by_gpus = _least(records, allowed, reading.cells, without_gpus) < np.minimum(priced, records["value"])
    return ["gpus" if one else "power_mw" for one in by_gpus.tolist()], np.maximum(priced, records["value"])


def _least(records: Records, allowed: Flags, cells: Cells, prices: Floats | None = None) -> Floats:
    least: Floats = floors(records, allowed, cells, prices)[0].min(axis=1, initial=inf)
    return least


def _least_money(records: Records, allowed: Flags, cells: Cells) -> Floats:
    """Return the least that energy can cost each job within its other limits."""
    paid = records.copy()
    paid["max_price"], paid["migration"], paid["wait"] = inf, 0.0, 0.0
    field = cells.field.copy()
    field[COST] = np.where(np.isfinite(field[COST]), field[PRICE], inf)
    return _least(paid, allowed, cells._replace(field=field))


def _money(gbp: float) -> float | None:
    return float(gbp) if np.isfinite(gbp) else None
