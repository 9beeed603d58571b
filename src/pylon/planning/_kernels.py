"""The loops of placing one job: which cells it may use, every start in one piece, and what an option costs.

A cell is one site in one half hour. Options are passed as rows of spans, in minutes from the start of the field.
"""

from __future__ import annotations

from math import ceil, floor, inf, isfinite, isnan, nan
from typing import Final, NamedTuple

import numpy as np

from pylon.planning._ask import (
    CARBON_CAP,
    CELL,
    HORIZON,
    LATEST_END,
    MAX_PRICE,
    NO_LIMIT,
    POWER,
    REGION,
    SEARCH_SLACK,
    SIGNALS,
    SITE_OPEN,
    SLACK,
    VALUE,
    Ask,
    Bests,
    Cells,
    Codes,
    Reading,
)
from pylon.planning._compiled import compiled
from pylon.planning.field import Floats

__all__ = ["better_of", "cheapest_site", "is_cheaper", "measure", "one_piece", "read"]

ROW: Final = 9  # numbers in a row of `measure`


class Pieces(NamedTuple):
    """Every start in one piece, the same at all sites: begin and end as a half hour and minutes into it."""

    begins: Floats
    ends: Floats
    first: Codes
    first_mins: Floats
    last: Codes
    last_mins: Floats
    touched: Codes
    """The last half hour that it touches."""
    wait_gbp: Floats


@compiled
def is_cheaper(cost: float, other: float) -> bool:
    """Return whether a cost is lower by more than rounding, so that options that cost the same stay in order."""
    return cost < other - (0.0 if other == inf else 1e-9 + 1e-12 * abs(other))


@compiled
def _exceeds(amount: float, limit: float, slack: float) -> bool:
    """Return whether an amount is above a limit that is set; one that is not known is."""
    return limit != inf and not amount <= limit + slack * max(1.0, abs(limit))


@compiled
def _gate(cells: Cells, ask: Ask, site: int) -> int:
    """Return the limit that closes a whole site to the job."""
    if not ask.allowed[site]:
        return REGION
    return NO_LIMIT if cells.is_open[site] else SITE_OPEN


@compiled
def read(cells: Cells, ask: Ask) -> Reading:
    """Return what each cell costs and what closes it.

    A cell without a price is closed when another has one or the job caps it; so with carbon.
    """
    sites, half_hours = cells.price_gbp_mwh.shape
    rate, closed_by = cells.scarcity_gbp_mwh.copy(), np.full((sites, half_hours), NO_LIMIT)
    is_known = np.array(
        [_is_known(cells.price_gbp_mwh), _is_known(cells.carbon_gco2_kwh), np.isfinite(cells.stress).any()]
    )
    for site in range(sites):
        _add(rate[site], cells.price_gbp_mwh[site], 1.0)
        _add(rate[site], cells.carbon_gco2_kwh[site], ask.carbon_price_gbp_t / 1000)
        _add(rate[site], cells.stress, ask.stress_price_gbp_mwh)
        if is_known[0] or ask.max_price_gbp != inf:
            _close_unknown(closed_by[site], cells.price_gbp_mwh[site])
        if is_known[1] or ask.carbon_cap_gco2_kwh != inf:
            _close_unknown(closed_by[site], cells.carbon_gco2_kwh[site])
        needs = (ask.it_power_mw * cells.pue[site], ask.gpus, ask.cpu_cores, ask.memory_gb)
        for resource in range(3, -1, -1):  # the first limit is written last, and stays
            if needs[resource] > 0:
                _close_short(closed_by[site], cells.room[resource, site], needs[resource], POWER + resource)
    return Reading(rate, closed_by, is_known)


@compiled
def _is_known(values: Floats) -> bool:
    is_known = False
    for row in values:
        is_known = is_known or np.isfinite(row).any()
    return is_known


@compiled
def _add(rate: Floats, values: Floats, factor: float) -> None:
    """Add what is known of a quantity; what is not known has no term, or closes the cell."""
    for column in range(rate.size):
        rate[column] += factor * values[column] if isfinite(values[column]) else 0.0


@compiled
def _close_unknown(closed_by: Codes, values: Floats) -> None:
    for column in range(values.size):
        closed_by[column] = closed_by[column] if isfinite(values[column]) else SIGNALS


@compiled
def _close_short(closed_by: Codes, room: Floats, need: float, limit: int) -> None:
    for column in range(room.size):
        closed_by[column] = closed_by[column] if need <= room[column] + SLACK else limit


@compiled
def _pieces(ask: Ask, begins: Floats, half_hours: int) -> Pieces:
    """Return the pieces that begin at the moments given; beyond the field they are cut off."""
    ends = begins + ask.duration_mins
    first, last = _columns(begins, half_hours), _columns(ends, half_hours)
    touched = np.minimum(np.ceil(ends / CELL).astype(np.int64) - 1, half_hours - 1)
    return Pieces(
        begins,
        ends,
        first,
        np.minimum(begins, CELL * half_hours) - CELL * first,
        last,
        np.minimum(ends, CELL * half_hours) - CELL * last,
        touched,
        ask.wait_gbp_per_hour / 60 * (begins - ask.arrived_mins),
    )


@compiled
def _columns(moments: Floats, half_hours: int) -> Codes:
    return np.minimum(np.floor(moments / CELL).astype(np.int64), half_hours)


@compiled
def one_piece(cells: Cells, ask: Ask, reading: Reading, moments: Floats, by_energy: bool) -> Bests:
    """Return the best of the starts in one piece, by total or by the energy term alone."""
    sites, half_hours = reading.closed_by.shape
    at = _pieces(ask, moments, half_hours)
    in_time = _time_limits(ask, at, half_hours)
    begins, costs = np.full((sites + 1, 1), moments[0]), np.full(sites, inf)
    sizes = np.zeros(sites + 1, np.int64)
    refused = np.zeros((sites, NO_LIMIT), np.int64)
    for site in range(sites):
        gate = _gate(cells, ask, site)
        if gate != NO_LIMIT:
            refused[site, gate] = moments.size
            continue
        limits = in_time.copy()
        _forbid_closed(limits, at, reading.closed_by[site])
        best, costs[site] = _best_at(cells, ask, at, reading.rate_gbp_mwh[site], site, limits, by_energy)
        if best >= 0:
            begins[site], sizes[site] = moments[best], 1
        for limit in limits:
            if limit != NO_LIMIT:
                refused[site, limit] += 1
    places = np.arange(sites + 1)
    places[sites], sizes[sites] = ask.origin, ask.origin >= 0
    return Bests(places, begins, begins + ask.duration_mins, sizes, costs, refused)


@compiled
def cheapest_site(bests: Bests) -> int:
    """Return the site of the cheapest option, of equals the one that ends first, then the lower; -1 without any."""
    best, least, ended = -1, inf, inf
    for site in range(bests.costs.size):
        if bests.sizes[site]:
            cost, ends = bests.costs[site], bests.ends[site, bests.sizes[site] - 1]
            if is_cheaper(cost, least) or (ends < ended and not is_cheaper(least, cost)):
                best, least, ended = site, cost, ends
    return best


@compiled
def _time_limits(ask: Ask, at: Pieces, half_hours: int) -> Codes:
    limits = np.empty(at.ends.size, np.int64)
    for piece in range(limits.size):
        limits[piece] = _out_of_time(ask, at.ends[piece], half_hours)
    return limits


@compiled
def _out_of_time(ask: Ask, ends: float, half_hours: int) -> int:
    if _exceeds(ends, ask.latest_end_mins, SLACK):
        return LATEST_END
    return HORIZON if ends > CELL * half_hours else NO_LIMIT


@compiled
def _forbid_closed(limits: Codes, at: Pieces, closed_by: Codes) -> None:
    """Write over the limit of each piece that touches a closed half hour the first limit that closes one."""
    is_closed = np.zeros(NO_LIMIT + 1, np.bool_)
    for limit in closed_by:
        is_closed[limit] = True
    for limit in range(SIGNALS, POWER - 1, -1):
        if is_closed[limit]:
            _forbid(limits, at, closed_by, limit)


@compiled
def _forbid(limits: Codes, at: Pieces, closed_by: Codes, limit: int) -> None:
    """Write a limit over those of the pieces that touch a half hour it closes."""
    nearest = np.full(closed_by.size + 1, closed_by.size)  # at or after each half hour
    for column in range(closed_by.size - 1, -1, -1):
        nearest[column] = column if closed_by[column] == limit else nearest[column + 1]
    for piece in range(limits.size):
        if nearest[at.first[piece]] <= at.touched[piece]:
            limits[piece] = limit


@compiled
def _best_at(
    cells: Cells, ask: Ask, at: Pieces, rate: Floats, site: int, limits: Codes, by_energy: bool
) -> tuple[int, float]:
    """Return the cheapest piece (-1: none) and its cost; write to `limits` the caps that the others break."""
    mwh_per_min = ask.it_power_mw * cells.pue[site] / 60
    migration = 0.0 if site == ask.origin else ask.migration_gbp
    totals = mwh_per_min * _over(rate, at) + at.wait_gbp + migration
    energies = intensities = totals  # where no cap asks for them
    if by_energy or ask.max_price_gbp != inf:
        energies = mwh_per_min * _over(cells.price_gbp_mwh[site], at)
    if ask.carbon_cap_gco2_kwh != inf:
        intensities = _over(cells.carbon_gco2_kwh[site], at) / ask.duration_mins
    for piece in range(limits.size):
        if limits[piece] == NO_LIMIT:
            limits[piece] = _too_dear(ask, intensities[piece], energies[piece], totals[piece], SEARCH_SLACK)
    return _cheapest(energies if by_energy else totals, limits)


@compiled
def _over(values: Floats, at: Pieces) -> Floats:
    """Return the integral of a row over each piece, in its unit x minutes; unknown values count as nothing."""
    levels, sums = np.zeros(values.size + 1), np.zeros(values.size + 1)
    for column in range(values.size):
        levels[column] = values[column] if isfinite(values[column]) else 0.0
        sums[column + 1] = sums[column] + CELL * levels[column]
    integrals = np.empty(at.begins.size)
    for piece in range(integrals.size):
        first, last = at.first[piece], at.last[piece]
        begun = sums[first] + at.first_mins[piece] * levels[first]
        integrals[piece] = sums[last] + at.last_mins[piece] * levels[last] - begun
    return integrals


@compiled
def _too_dear(ask: Ask, intensity_gco2_kwh: float, energy_gbp: float, total_gbp: float, slack: float) -> int:
    """Return the first cap that an option breaks."""
    if _exceeds(intensity_gco2_kwh, ask.carbon_cap_gco2_kwh, slack):
        return CARBON_CAP
    if _exceeds(energy_gbp, ask.max_price_gbp, slack):
        return MAX_PRICE
    return VALUE if _exceeds(total_gbp, ask.value_gbp, slack) else NO_LIMIT


@compiled
def _cheapest(costs: Floats, limits: Codes) -> tuple[int, float]:
    """Return the cheapest piece that no limit forbids, the earliest of equals, and its cost; or -1."""
    best, least = -1, inf
    for piece in range(costs.size):
        if limits[piece] == NO_LIMIT and is_cheaper(costs[piece], least):
            best, least = piece, costs[piece]
    return best, least


@compiled
def measure(
    cells: Cells, ask: Ask, closed_by: Codes, sites: Codes, begins: Floats, ends: Floats, sizes: Codes
) -> tuple[Floats, Codes]:
    """Return what each option costs, and the first limit that forbids it.

    Option i is at `sites[i]`, in the first `sizes[i]` spans of row i of `begins` and `ends`; without a span it is
    passed over. A row is the six terms in the order of `Terms`, then MWh, kg and minutes of unknown stress. Each sum
    is taken half hour by half hour, in order.
    """
    rows, limits = np.zeros((sites.size, ROW)), np.full(sites.size, NO_LIMIT)
    for i in range(sites.size):
        site, size = sites[i], sizes[i]
        if size:
            times, until = begins[i, :size], ends[i, :size]
            carbon = _sum(cells.carbon_gco2_kwh[site], times, until)
            _write_terms(cells, ask, site, times, until, carbon, rows[i])
            limits[i] = _first_limit(cells, ask, closed_by, site, times, until, carbon, rows[i])
    return rows, limits


@compiled
def _write_terms(
    cells: Cells, ask: Ask, site: int, begins: Floats, ends: Floats, carbon: float, row: Floats
) -> None:
    mwh_per_min = ask.it_power_mw * cells.pue[site] / 60
    stress, unknown_mins = _known_sum(cells.stress, begins, ends)
    row[7] = mwh_per_min * carbon
    row[0] = mwh_per_min * _sum(cells.price_gbp_mwh[site], begins, ends)
    row[1] = ask.carbon_price_gbp_t / 1000 * row[7]
    row[2] = nan if unknown_mins >= ask.duration_mins else ask.stress_price_gbp_mwh * mwh_per_min * stress
    row[3] = 0.0 if site == ask.origin else ask.migration_gbp
    row[4] = ask.wait_gbp_per_hour / 60 * (ends[ends.size - 1] - ask.duration_mins - ask.arrived_mins)
    row[5] = mwh_per_min * _known_sum(cells.scarcity_gbp_mwh[site], begins, ends)[0]
    row[6] = mwh_per_min * ask.duration_mins
    row[8] = unknown_mins


@compiled
def _sum(values: Floats, begins: Floats, ends: Floats) -> float:
    """Return the integral of a row over some spans; NaN when it is not known all the time."""
    known, unknown_mins = _known_sum(values, begins, ends)
    return nan if unknown_mins > 0 else known


@compiled
def _known_sum(values: Floats, begins: Floats, ends: Floats) -> tuple[float, float]:
    """Return the integral of what is known of a row over some spans, and for how many minutes it is not known."""
    known = unknown_mins = 0.0
    for span in range(begins.size):
        for column in range(_column(begins[span]), _touched(ends[span], values.size) + 1):
            mins = min(ends[span], CELL * (column + 1)) - max(begins[span], CELL * column)
            if isfinite(values[column]):
                known += mins * values[column]
            else:
                unknown_mins += mins
        unknown_mins += max(0.0, ends[span] - max(begins[span], CELL * values.size))
    return known, unknown_mins


@compiled
def _column(moment: float) -> int:
    return floor(moment / CELL)


@compiled
def _touched(ends: float, half_hours: int) -> int:
    """Return the last half hour of the field that a span ending then touches."""
    return min(ceil(ends / CELL), half_hours) - 1


@compiled
def _first_limit(
    cells: Cells, ask: Ask, closed_by: Codes, site: int, begins: Floats, ends: Floats, carbon: float, row: Floats
) -> int:
    limit, half_hours = _gate(cells, ask, site), closed_by.shape[1]
    for span in range(begins.size):
        for column in range(_column(begins[span]), _touched(ends[span], half_hours) + 1):
            limit = min(limit, closed_by[site, column])
    last = ends[ends.size - 1]
    if limit == NO_LIMIT:
        limit = _out_of_time(ask, last, half_hours)
    if limit == NO_LIMIT:
        limit = _too_dear(ask, carbon / ask.duration_mins, row[0], _total(row), SLACK)
    return limit


@compiled
def _total(row: Floats) -> float:
    total = 0.0
    for term in row[:6]:
        total += 0.0 if isnan(term) else term
    return total


@compiled
def better_of(pieces: Bests, splits: Bests) -> Bests:
    """Return the better of two at each site: of equals the one that ends first, then the one in one piece."""
    for site in range(splits.costs.size):
        size = splits.sizes[site]
        is_worse = size == 0 or is_cheaper(pieces.costs[site], splits.costs[site])
        is_equal = not is_worse and not is_cheaper(splits.costs[site], pieces.costs[site])
        if is_worse or (is_equal and pieces.ends[site, 0] <= splits.ends[site, size - 1]):
            splits.begins[site, 0], splits.ends[site, 0] = pieces.begins[site, 0], pieces.ends[site, 0]
            splits.sizes[site], splits.costs[site] = pieces.sizes[site], pieces.costs[site]
    splits.begins[-1, 0], splits.ends[-1, 0], splits.sizes[-1] = (
        pieces.begins[-1, 0],
        pieces.ends[-1, 0],
        pieces.sizes[-1],
    )
    return Bests(
        pieces.sites, splits.begins, splits.ends, splits.sizes, splits.costs, pieces.refused + splits.refused
    )
