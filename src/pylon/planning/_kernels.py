"""What Python calls to place one job: the search of pieces, the comparison of sites, and one option by itself.

A cell is one site in one half hour. A job is its numbers, in the order of `_ask`.
"""

from __future__ import annotations

from math import ceil, inf, isfinite

import numpy as np

from pylon.planning import _limits
from pylon.planning._ask import (
    CARBON,
    CARBON_CAP,
    CARBON_PRICE,
    CELL,
    DURATION_MINS,
    EARLIEST_MINS,
    MAX_PRICE,
    ORIGIN,
    POWER_MW,
    PRICE,
    ROOM_SLACK,
    SCARCITY,
    STRESS_PRICE,
    Codes,
    Flags,
)
from pylon.planning._compiled import compiled, inner
from pylon.planning._measure import ROW, measure, saves
from pylon.planning._pieces import survey
from pylon.planning._split import improve
from pylon.planning.field import Floats

__all__ = ["choose", "compare", "evaluate", "pieces", "read"]


@compiled
def choose(
    job: Floats,
    allowed: Flags,
    may_split: bool,
    by_energy: bool,
    signals: Floats,
    stress: Floats,
    room: Floats,
    is_open: Flags,
    pue: Floats,
) -> tuple[tuple[bool, bool, bool], Floats, Codes, Codes, bool, int, int, Floats, Floats]:
    """Return what `read` does, whether the choice is proven, its site or -1, what binds, its spans and two rows.

    The rows are those of the choice and of running at once at origin. Sites that cannot have the cheapest are left
    out as soon as that shows; without a choice none was, so that what binds is known.
    """
    known, rate_gbp_mwh, closed_by, gates = read(job, allowed, signals, stress, room, is_open, pue)
    all_sites = pue.size < 0  # never; for the word itself all that is called would be compiled a second time
    is_done, costs, spans, sizes, refused = pieces(
        job, may_split, by_energy, all_sites, signals, pue, rate_gbp_mwh, closed_by, gates
    )
    is_exact, given = True, (job, signals, pue, rate_gbp_mwh, closed_by, gates)
    if may_split:
        is_exact = improve(*given, by_energy, all_sites, is_done, costs, spans, sizes, refused)
    best, rows = compare(job, signals, stress, pue, closed_by, gates, costs, spans, sizes, all_sites)
    own, two = np.empty((sizes[best] if best >= 0 else 0, 2)), np.empty((2, ROW))
    own[:], two[0], two[1] = spans[best, : own.shape[0]], rows[best], rows[costs.size]
    binding = _furthest(refused) if best < 0 else _limits.NONE
    return known, rate_gbp_mwh, closed_by, gates, is_exact, best, binding, own, two


@compiled
def pieces(
    job: Floats,
    may_split: bool,
    by_energy: bool,
    all_sites: bool,
    signals: Floats,
    pue: Floats,
    rate_gbp_mwh: Floats,
    closed_by: Codes,
    gates: Codes,
) -> tuple[Flags, Floats, Floats, Codes, Codes]:
    """Return what `_search.Found` holds: the best piece of each site, or of those that may have the cheapest."""
    sites, halves = pue.size, ceil(job[DURATION_MINS] / CELL) if may_split else 1
    costs, spans, sizes = np.empty(sites), np.empty((sites, halves, 2)), np.empty(sites, np.int64)
    refused, is_done = np.zeros((sites, _limits.NONE), np.int64), np.empty(sites, np.bool_)
    for site in range(sites):
        sizes[site], is_done[site] = 1, not may_split
    survey(job, signals, pue, rate_gbp_mwh, closed_by, gates, by_energy, all_sites, costs, spans, refused)
    return is_done, costs, spans, sizes, refused


@compiled
def compare(
    job: Floats,
    signals: Floats,
    stress: Floats,
    pue: Floats,
    closed_by: Codes,
    gates: Codes,
    costs: Floats,
    spans: Floats,
    sizes: Codes,
    all_sites: bool,
) -> tuple[int, Floats]:
    """Return the site of the cheapest option, -1 without one; and its row, or that of each site that has an option.

    The last row is that of running at once at origin.
    """
    best, origin, rows = _cheapest(job, costs, spans, sizes), int(job[ORIGIN]), np.empty((costs.size + 1, ROW))
    for site in range(costs.size):
        if site == best or (all_sites and costs[site] < inf):
            measure(job, site, spans[site, : sizes[site]], signals, stress, pue, closed_by, gates, rows[site])
    if origin >= 0:
        now = np.empty((1, 1, 2))
        now[0, 0, 0], now[0, 0, 1] = job[EARLIEST_MINS], job[EARLIEST_MINS] + job[DURATION_MINS]
        measure(job, origin, now[0, :1], signals, stress, pue, closed_by, gates, rows[costs.size])
    return best, rows


@compiled
def evaluate(
    job: Floats,
    allowed: Flags,
    site: int,
    spans: Floats,
    signals: Floats,
    stress: Floats,
    room: Floats,
    is_open: Flags,
    pue: Floats,
) -> Floats:
    """Return the row of running at one site in some spans."""
    _, _, closed_by, gates = read(job, allowed, signals, stress, room, is_open, pue)
    row = np.empty(ROW)
    measure(job, site, spans, signals, stress, pue, closed_by, gates, row)
    return row


@compiled
def read(
    job: Floats,
    allowed: Flags,
    signals: Floats,
    stress: Floats,
    room: Floats,
    is_open: Flags,
    pue: Floats,
) -> tuple[tuple[bool, bool, bool], Floats, Codes, Codes]:
    """Return whether price, carbon and stress are known, what an MWh costs in each cell, and what closes it.

    That is without moving and waiting; what is not known has no term. A cell is closed by the first limit that it
    breaks; one without a price, or carbon, when the job needs it. Last come the limits that close whole sites: the
    cells there are not read.
    """
    shape, sites = signals[0].shape, pue.size
    rate_gbp_mwh, closed_by, gates = np.empty(shape), np.empty(shape, np.int64), np.empty(sites, np.int64)
    has_price, has_carbon = _is_known(signals[PRICE].ravel()), _is_known(signals[CARBON].ravel())
    carbon_price, stress_price = job[CARBON_PRICE] / 1000, job[STRESS_PRICE]
    needs_price, needs_carbon = has_price or job[MAX_PRICE] < inf, has_carbon or job[CARBON_CAP] < inf
    for site in range(sites):
        gates[site] = _limits.NONE if is_open[site] else _limits.SITE_OPEN
        if not allowed[site]:
            gates[site] = _limits.REGION
        if gates[site] == _limits.NONE:
            prices, carbons, scarcities = signals[PRICE, site], signals[CARBON, site], signals[SCARCITY, site]
            rate, closed = rate_gbp_mwh[site], closed_by[site]
            for column in range(stress.size):
                price, carbon, strain = prices[column], carbons[column], stress[column]
                has_all = (not needs_price or abs(price) < inf) and (not needs_carbon or abs(carbon) < inf)
                closed[column] = _limits.NONE if has_all else _limits.SIGNALS
                rate[column] = (
                    scarcities[column]
                    + (price if abs(price) < inf else 0.0)
                    + (carbon_price * carbon if abs(carbon) < inf else 0.0)
                    + (stress_price * strain if abs(strain) < inf else 0.0)
                )
            _close(job, pue[site], room[:, site], closed)
    return (has_price, has_carbon, _is_known(stress)), rate_gbp_mwh, closed_by, gates


@inner
def _furthest(refused: Codes) -> int:
    """Return the last limit, in the order they are checked, that forbade an option."""
    furthest = -1
    for site in range(refused.shape[0]):
        for limit in range(refused.shape[1]):
            furthest = limit if refused[site, limit] > 0 and limit > furthest else furthest
    return furthest if furthest >= 0 else _limits.NONE


@inner
def _close(job: Floats, pue: float, room: Floats, closed_by: Codes) -> None:
    """Write what closes half hours of one site for want of room; the first limit is written last, and stays."""
    for resource in range(3, -1, -1):
        need = job[resource] * pue if resource == POWER_MW else job[resource]
        if need > 0:
            for column in range(closed_by.size):
                has_room = need <= room[resource, column] + ROOM_SLACK
                closed_by[column] = closed_by[column] if has_room else _limits.POWER + resource


@inner
def _is_known(values: Floats) -> bool:
    """Return whether some number is known."""
    for value in values:  # noqa: SIM110 - a kernel knows no generators
        if isfinite(value):
            return True
    return False


@inner
def _cheapest(job: Floats, costs: Floats, spans: Floats, sizes: Codes) -> int:
    """Return the site of the cheapest of all, or -1; of equals the first to end, then the origin."""
    best, first, least = -1, inf, inf
    for cost in costs:
        least = cost if cost < least else least
    for site in range(costs.size):
        cost, ends = costs[site], spans[site, sizes[site] - 1, 1]
        is_before = ends < first or (ends == first and site == job[ORIGIN])
        if cost < inf and is_before and not saves(least, cost):
            best, first = site, ends
    return best
