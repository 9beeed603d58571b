"""The price of a half hour for one job: what it costs, and a marginal price that rises with what is taken there.

    marginal price = max(0, price + rho x (taken - room)) + kappa x overload

with the job itself counted half, as the mean over what it adds. A ramp limit has such a price on each edge between
two half hours. With nothing taken, rho and kappa 0, it is the field of the bound.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from pylon.planning._compiled import inlined
from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import (
    COST,
    FALL,
    GPUS,
    HOURS,
    POWER,
    RISE,
    SLACK,
    Cells,
)
from pylon.planning.fleet._option import BEGIN, FINISH, ROW, Record, Scratch

__all__ = ["Push", "price_row", "rates_of"]


class Push(NamedTuple):
    """How strongly what is taken raises prices. Of power in GBP/MWh (per MW), of GPUs in GBP per GPU and hour."""

    rho: float
    """Per MW that is taken."""
    kappa: float
    """For what is taken above the room."""
    gpu_rho: float
    gpu_kappa: float
    is_hard: bool
    """Whether no half hour may be taken beyond its room at all."""


def rates_of(cells: Cells, prices: Floats, load: Floats, push: Push) -> Floats:
    """Return (2, D, T): what a MWh and a GPU hour cost any job at least, beside the field, at prices and load."""
    rho = np.array([push.rho, push.gpu_rho])[:, None, None]
    rates: Floats = np.maximum(prices[:2] + rho * (load - cells.limits[:2]), 0.0)
    if cells.has_ramps:
        step = np.diff(load[POWER], axis=1)
        net = _marginal(step - cells.limits[RISE, :, :-1], prices[RISE, :, :-1], push)
        net -= _marginal(-step - cells.limits[FALL, :, :-1], prices[FALL, :, :-1], push)
        rates[POWER, :, :-1] -= net
        rates[POWER, :, 1:] += net
    return rates


def _marginal(excess: Floats, prices: Floats, push: Push) -> Floats:
    """Return what one MW more of a step costs: the derivative of its penalty."""
    marginal: Floats = np.maximum(prices + push.rho * excess, 0.0) + push.kappa * (excess > 0)
    return marginal


@inlined
def price_row(
    job: Record, site: int, cells: Cells, prices: Floats, load: Floats, push: Push, scratch: Scratch
) -> None:
    """Write to `scratch` what the job, not in `load`, costs at `site` in each half hour.

    `prices` are (4, D, T), what each limit is worth.
    """
    first, end, need = job.first, job.end, job.power * cells.pue[site]
    taken, room, cost = (
        load[POWER, site, first:end],
        cells.limits[POWER, site, first:end],
        cells.field[COST, site, first:end],
    )
    price, gbp = prices[POWER, site, first:end], scratch.gbp[ROW, first:end]
    rho, kappa, per_mw, half, others = (
        push.rho,
        push.kappa,
        push.kappa / need,
        need / 2,
        1.0 if push.is_hard else 0.0,
    )
    energy = HOURS * need
    for i in range(end - first):
        over = taken[i] + need - room[i]
        marginal = max(0.0, price[i] + rho * (over - half)) + min(kappa, per_mw * max(0.0, over))
        is_closed = others * taken[i] + need > room[i] + SLACK
        gbp[i] = inf if is_closed else energy * (cost[i] + marginal)
    if job.gpus > 0:
        _add_gpus(job, site, cells, prices, load, push, scratch)
    if cells.has_ramps:
        _add_edges(job, site, cells, prices, load, push, scratch)


@inlined
def _add_gpus(
    job: Record, site: int, cells: Cells, prices: Floats, load: Floats, push: Push, scratch: Scratch
) -> None:
    """Add the marginal price of the job's GPUs, which is made like that of power."""
    need, others = job.gpus, 1.0 if push.is_hard else 0.0
    for t in range(job.first, job.end):
        room, taken = cells.limits[GPUS, site, t], load[GPUS, site, t]
        over = taken + need - room
        price = max(0.0, prices[GPUS, site, t] + push.gpu_rho * (over - need / 2))
        price += push.gpu_kappa * min(1.0, max(0.0, over) / need)
        scratch.gbp[ROW, t] += inf if others * taken + need > room + SLACK else HOURS * need * price


@inlined
def _add_edges(
    job: Record, site: int, cells: Cells, prices: Floats, load: Floats, push: Push, scratch: Scratch
) -> None:
    """Add the price of the rise before a job and of the fall after it.

    A split pays both in each of its half hours: exact for half hours apart, too much for neighbours.
    """
    power = job.power * cells.pue[site]
    for t in range(job.first, job.end):
        begin, finish = 0.0, 0.0
        if t > 0:
            begin = _edge(t - 1, site, power, cells, prices, load, push)
        if t + 1 < load.shape[2]:
            finish = _edge(t, site, -power, cells, prices, load, push)
        if job.splits:
            scratch.gbp[ROW, t] += begin + finish
            begin = finish = 0.0
        scratch.gbp[BEGIN, t], scratch.gbp[FINISH, t] = begin, finish


@inlined
def _edge(t: int, site: int, change: float, cells: Cells, prices: Floats, load: Floats, push: Push) -> float:
    """Return the GBP of changing the step from half hour t to the next by so many MW."""
    step = load[POWER, site, t + 1] - load[POWER, site, t]
    rise, fall = cells.limits[RISE, site, t], cells.limits[FALL, site, t]
    if push.is_hard and (step + change > max(rise, step) + SLACK or -step - change > max(fall, -step) + SLACK):
        return inf
    up, down, reach = prices[RISE, site, t], prices[FALL, site, t], abs(change)
    if _is_slack(step + reach - rise, up, push.rho) and _is_slack(-step + reach - fall, down, push.rho):
        return 0.0  # most edges, most of the time
    gbp = _penalty(step + change - rise, up, push.rho, push.kappa) - _penalty(step - rise, up, push.rho, push.kappa)
    gbp += _penalty(-step - change - fall, down, push.rho, push.kappa)
    gbp -= _penalty(-step - fall, down, push.rho, push.kappa)
    return HOURS * gbp


@inlined
def _is_slack(most: float, price: float, rho: float) -> bool:
    """Return whether a limit that is exceeded by `most`, below 0 when it is not, costs nothing up to there."""
    return most <= 0 and price + rho * most <= 0


@inlined
def _penalty(excess: float, price: float, rho: float, kappa: float) -> float:
    """Return the augmented Lagrangian of one ramp limit, whose derivative is the marginal price."""
    penalty = price * excess
    if rho > 0:
        marginal = max(0.0, price + rho * excess)
        penalty = marginal * marginal / (2 * rho)
    return penalty + kappa * max(0.0, excess)
