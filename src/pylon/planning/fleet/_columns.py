"""An integer programme of a small fleet: a column for each choice that a better plan than the one at hand may make.

A job in one piece has a column for each site and start. One that may pause has, for each site, a column for the
site, one for each half hour it may take, and, where waiting costs, one for each half hour that it is not yet done
by. Prices of the limits say for each choice what any plan with it costs at least; a choice whose least is above the
cost of the plan at hand has no column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

import numpy as np

from pylon.planning.field import Floats
from pylon.planning.fleet._arrays import (
    CARBON,
    COST,
    FALL,
    GPUS,
    HOURS,
    POWER,
    PRICE,
    RISE,
    SLACK,
    UNLIMITED,
    Standing,
    total_of,
)
from pylon.planning.fleet._bound import ALONE, floors
from pylon.planning.fleet._field import rates_of
from pylon.planning.fleet._method import Fleet
from pylon.planning.fleet._option import Record
from pylon.planning.fleet._problem import Codes, Flags

__all__ = ["KINDS", "RUN", "SITE", "SLOT", "STAY", "UNDONE", "Columns", "columns_of", "place_by", "values_of"]

RUN, STAY, SITE, SLOT, UNDONE = KINDS = range(5)
"""What a column that is 1 says: the job runs in one piece from there; it stays where it is; it runs at that site;
in that half hour; it is not done before that half hour."""
EDGE: Final = RISE
"""Of the rows of limits: of the rise and the fall, one row."""


class Columns(NamedTuple):
    """Least gbp.x, each x 0 or 1, with least <= A.x <= most."""

    kind: Codes
    job: Codes
    site: Codes
    slot: Codes
    gbp: Floats
    """What each adds to the value of all jobs, which is the cost when none runs."""
    least: Floats
    most: Floats
    rows: Codes
    """Of the entries of A, as are `columns` and `entries`."""
    columns: Codes
    entries: Floats


@dataclass(frozen=True, slots=True)
class _Case:
    """The jobs, what they pay at the prices, and above what a choice is no longer worth a column."""

    fleet: Fleet
    rates: Floats
    """(2, D, T) GBP per MWh and GPU hour at the prices."""
    floors: Floats
    """(N, D). What each job costs at least at each site at the prices, without leaving."""
    most: Floats
    """(N,). What a choice may cost at the prices."""
    standing: Standing
    """Whose choices are kept whatever they cost."""

    def row(self, job: Record, site: int) -> tuple[Floats, Floats]:
        """Return what each half hour of the window costs, alone and at the prices; infinite where it is closed."""
        cells, window = self.fleet.cells, slice(job["first"], job["end"])
        need = job["power"] * cells.pue[site]
        gbp = HOURS * need * cells.field[COST, site, window]
        is_closed = need > cells.limits[POWER, site, window] + SLACK
        is_closed |= job["gpus"] > cells.limits[GPUS, site, window] + SLACK
        if job["splits"]:
            is_closed |= cells.field[CARBON, site, window] > job["carbon_cap"] + SLACK
        gbp[is_closed] = inf
        rates = self.rates[:, site, window]
        return gbp, gbp + HOURS * (need * rates[POWER] + job["gpus"] * rates[GPUS])

    def moving(self, job: Record, site: int) -> float:
        """Return what the job pays to run at a site other than where it stands."""
        return float(job["leaving"] + (job["migration"] if site != job["origin"] else 0.0))


@dataclass(slots=True)
class _Model:
    """Columns and rows as they come."""

    columns: list[tuple[int, int, int, int, float]] = field(default_factory=list)
    limits: list[tuple[float, float]] = field(default_factory=list)
    rows: list[Codes] = field(default_factory=list)
    where: list[Codes] = field(default_factory=list)
    entries: list[Floats] = field(default_factory=list)

    def add(self, kind: int, j: int, site: int, slots: Codes, gbp: Floats) -> Codes:
        """Add a column for each slot; return which these are."""
        first = len(self.columns)
        self.columns += [
            (kind, j, site, slot, cost) for slot, cost in zip(slots.tolist(), gbp.tolist(), strict=True)
        ]
        return np.arange(first, len(self.columns))

    def limit(self, count: int, least: float, most: float) -> Codes:
        """Add rows; return which these are."""
        first = len(self.limits)
        self.limits += [(least, most)] * count
        return np.arange(first, len(self.limits))

    def enter(self, rows: Codes, columns: Codes, entries: Floats | float) -> None:
        """Set entries of the matrix."""
        rows, columns, entries = np.broadcast_arrays(rows, columns, entries)
        self.rows.append(rows.ravel())
        self.where.append(columns.ravel())
        self.entries.append(entries.ravel())

    def columns_and_rows(self) -> Columns:
        """Return all of them."""
        none = np.zeros(0, np.int64)
        kind, job, site, slot = (np.array([one[i] for one in self.columns], np.int64) for i in range(4))
        return Columns(
            kind,
            job,
            site,
            slot,
            gbp=np.array([one[4] for one in self.columns], np.float64),
            least=np.array([one[0] for one in self.limits], np.float64),
            most=np.array([one[1] for one in self.limits], np.float64),
            rows=np.concatenate([none, *self.rows]),
            columns=np.concatenate([none, *self.where]),
            entries=np.concatenate([np.zeros(0), *self.entries]),
        )


def columns_of(fleet: Fleet, prices: Floats, standing: Standing, gbp: float) -> Columns:
    """Return the choices of every plan that costs less than `gbp`, and those of what stands."""
    case, is_needed = _case(fleet, prices, standing, gbp)
    model = _Model()
    for need in is_needed.tolist():
        model.limit(1, 1.0 if need else 0.0, 1.0)
    _limit_sites(model, fleet)
    for j in range(fleet.records.size):
        job = fleet.records[j]
        if job["splits"] and fleet.floors.may_stay[j]:
            _stay(model, case, j, job)
        is_kept = case.floors[j] <= case.most[j]
        is_kept[standing.site[j]] |= standing.site[j] >= 0
        for site in np.flatnonzero(is_kept).tolist():
            (_split if job["splits"] else _run)(model, case, j, job, site)
    return model.columns_and_rows()


def _case(fleet: Fleet, prices: Floats, standing: Standing, gbp: float) -> tuple[_Case, Flags]:
    """Return what each job may cost at the prices, and which jobs run in every plan that costs less."""
    records, cells = fleet.records, fleet.cells
    rates = rates_of(cells, prices, np.zeros_like(cells.limits[:2]), ALONE)
    priced = floors(records, np.isfinite(fleet.floors.gbp), cells, prices)[0]
    case = _Case(fleet, rates, priced, np.zeros(records.size), standing)
    alone = np.minimum(priced.min(axis=1, initial=inf) + records["leaving"], records["value"])
    for j in np.flatnonzero(fleet.floors.may_stay).tolist():
        alone[j] = min(alone[j], _staying(case, records[j])[1])
    worth = HOURS * total_of(prices * np.where(prices > 0, cells.limits, 0.0))
    bound = total_of(alone) - worth
    spare = gbp - bound + SLACK * max(1.0, abs(gbp), worth)
    case.most[:] = alone + spare
    return case, (records["value"] > case.most) & (standing.site >= 0)


def _staying(case: _Case, job: Record) -> tuple[float, float]:
    """Return what staying where it is costs: itself, and at the prices."""
    slots, site = _present_of(case.fleet, job), int(job["present"])
    at = slots - job["first"]
    gbp, priced = (float(one[at].sum()) for one in case.row(job, site))
    beside = case.moving(job, site) - job["leaving"] + job["wait"] * (at[-1] + 1 - at.size)
    return gbp + beside, priced + beside


def _present_of(fleet: Fleet, job: Record) -> Codes:
    return fleet.floors.present[job["offset"] : job["offset"] + job["length"]]


def _standing_of(case: _Case, j: int, job: Record, site: int) -> Codes:
    """Return the half hours where the job stands, none when it does not stand at that site."""
    if case.standing.site[j] != site:
        return np.zeros(0, np.int64)
    return case.standing.slots[job["offset"] : job["offset"] + job["length"]]


def _limit_sites(model: _Model, fleet: Fleet) -> None:
    """Add a row for each limit of each site and half hour."""
    limits = np.where(fleet.cells.limits < UNLIMITED, fleet.cells.limits, inf)
    for limit in (POWER, GPUS):
        model.limits += [(-inf, most + SLACK) for most in limits[limit].ravel().tolist()]
    if fleet.cells.has_ramps:
        rises, falls = limits[RISE].ravel().tolist(), limits[FALL].ravel().tolist()
        model.limits += [(-fall - SLACK, rise + SLACK) for rise, fall in zip(rises, falls, strict=True)]


def _take(model: _Model, case: _Case, job: Record, site: int, slots: Codes, columns: Codes) -> None:
    """Let each column take what the job needs in its half hours: (columns, half hours each)."""
    cells = case.fleet.cells
    _, sites, half_hours = cells.limits.shape
    need, first = job["power"] * cells.pue[site], case.fleet.records.size + site * half_hours
    model.enter(first + slots, columns[:, None], need)
    if job["gpus"] > 0:
        model.enter(first + GPUS * sites * half_hours + slots, columns[:, None], job["gpus"])
    if not cells.has_ramps:
        return
    edges = first + EDGE * sites * half_hours
    steps = np.diff(slots, axis=1) > 1
    yes = np.ones((slots.shape[0], 1), np.bool_)
    begins, ends = np.hstack([yes, steps]) & (slots > 0), np.hstack([steps, yes]) & (slots < half_hours - 1)
    held = np.broadcast_to(columns[:, None], slots.shape)
    model.enter(edges + slots[begins] - 1, held[begins], need)
    model.enter(edges + slots[ends], held[ends], -need)


def _stay(model: _Model, case: _Case, j: int, job: Record) -> None:
    """Add the present place of a job that may pause, as one column."""
    (gbp, priced), slots, site = _staying(case, job), _present_of(case.fleet, job), int(job["present"])
    if not (priced <= case.most[j] or np.array_equal(_standing_of(case, j, job, site), slots)):
        return
    column = model.add(STAY, j, site, slots[:1], np.array([gbp - job["value"]]))
    model.enter(np.array([j]), column, 1.0)
    _take(model, case, job, site, slots[None, :], column)


def _run(model: _Model, case: _Case, j: int, job: Record, site: int) -> None:
    """Add the starts of a job in one piece."""
    length, first, field_of = int(job["length"]), int(job["first"]), case.fleet.cells.field
    row = case.row(job, site)
    if row[0].size < length:
        return
    window = slice(first, job["end"])
    money = HOURS * job["power"] * case.fleet.cells.pue[site] * field_of[PRICE, site, window]
    gbp, priced, carbon, paid = (
        np.lib.stride_tricks.sliding_window_view(values, length).sum(axis=1)
        for values in (*row, field_of[CARBON, site, window], money)
    )
    begins = np.arange(gbp.size)
    beside = case.moving(job, site) + job["wait"] * begins
    if case.fleet.floors.may_stay[j] and site == job["present"]:
        beside[begins + first == _present_of(case.fleet, job)[0]] -= job["leaving"]
    is_kept = (priced + beside <= case.most[j]) | np.isin(begins + first, _standing_of(case, j, job, site)[:1])
    is_kept &= gbp < inf
    is_kept &= (carbon <= length * job["carbon_cap"] + SLACK) & (paid <= job["max_price"] + SLACK)
    starts = first + np.flatnonzero(is_kept)
    columns = model.add(RUN, j, site, starts, (gbp + beside)[is_kept] - job["value"])
    model.enter(np.full(columns.size, j), columns, 1.0)
    _take(model, case, job, site, starts[:, None] + np.arange(length), columns)


def _split(model: _Model, case: _Case, j: int, job: Record, site: int) -> None:
    """Add a site of a job that may pause, and its half hours."""
    length, first, moving = int(job["length"]), int(job["first"]), case.moving(job, site)
    gbp, priced = case.row(job, site)
    open_ = np.flatnonzero(gbp < inf)
    if open_.size < length:
        return
    waits = job["wait"] * np.maximum(open_ + 1 - length, 0)
    is_kept = _least_with(priced[open_], waits + moving, length) <= case.most[j]
    is_kept |= np.isin(open_ + first, _standing_of(case, j, job, site))
    open_, waits = open_[is_kept], waits[is_kept]
    if open_.size < length:
        return
    start = moving + waits[length - 1] - job["value"]
    chosen = model.add(SITE, j, site, open_[:1] + first, np.array([start]))
    slots = model.add(SLOT, j, site, open_ + first, gbp[open_])
    model.enter(np.array([j]), chosen, 1.0)
    whole = model.limit(1, 0.0, 0.0)
    model.enter(whole, slots, 1.0)
    model.enter(whole, chosen, -float(length))
    going = np.broadcast_to(chosen, slots.shape)
    if job["wait"] > 0:
        undone = model.add(UNDONE, j, site, open_[length:] + first, np.diff(waits[length - 1 :]))
        going = np.concatenate((going[:length], undone))
        later = model.limit(undone.size, -inf, 0.0)
        model.enter(later, undone, 1.0)
        model.enter(later, going[length - 1 : -1], -1.0)
    within = model.limit(slots.size, -inf, 0.0)
    model.enter(within, slots, 1.0)
    model.enter(within, going, -1.0)
    _pay(model, case, job, site, slots, chosen)
    _take(model, case, job, site, (open_ + first)[:, None], slots)


def _pay(model: _Model, case: _Case, job: Record, site: int, slots: Codes, chosen: Codes) -> None:
    """Keep a job that may pause within its cap on money."""
    if not job["max_price"] < inf:
        return
    at = np.array([model.columns[column][3] for column in slots.tolist()])
    money = HOURS * job["power"] * case.fleet.cells.pue[site] * case.fleet.cells.field[PRICE, site, at]
    budget = model.limit(1, -inf, SLACK)
    model.enter(budget, slots, money)
    model.enter(budget, chosen, -job["max_price"])


def _least_with(gbp: Floats, waits: Floats, length: int) -> Floats:
    """Return what any split costs at least that takes each half hour: the cheapest others up to some last one."""
    size = gbp.size
    so_far = np.tril(np.ones((size, size), np.bool_))
    ranked = np.sort(np.where(so_far, gbp, inf), axis=1)[:, :length]
    whole, dearest = ranked.sum(axis=1) + waits, ranked[:, -1:]
    with np.errstate(invalid="ignore"):
        more = np.where(dearest < inf, np.maximum(gbp - dearest, 0.0), 0.0)
    least: Floats = np.where(so_far, whole[:, None] + more, inf).min(axis=0)
    return least


def values_of(columns: Columns, fleet: Fleet, standing: Standing) -> Floats:
    """Return the columns' values that say what stands."""
    records, values = fleet.records, np.zeros(columns.kind.size)
    for j in np.flatnonzero(standing.site >= 0).tolist():
        job, mine = records[j], np.flatnonzero((columns.job == j) & (columns.site == standing.site[j]))
        slots, kinds, at = (
            standing.slots[job["offset"] : job["offset"] + job["length"]],
            columns.kind[mine],
            columns.slot[mine],
        )
        stays = mine[kinds == STAY]
        if stays.size and np.array_equal(slots, _present_of(fleet, job)):
            values[stays] = 1.0
            continue
        values[mine[(kinds == RUN) & (at == slots[0])]] = 1.0
        values[mine[kinds == SITE]] = 1.0
        values[mine[(kinds == SLOT) & np.isin(at, slots)]] = 1.0
        values[mine[(kinds == UNDONE) & (at <= slots[-1])]] = 1.0
    return values


def place_by(columns: Columns, fleet: Fleet, values: Floats, standing: Standing) -> None:
    """Write to `standing` what columns of these values say; jobs without any keep no place."""
    records, is_one = fleet.records, values > 0.5
    standing.site[:] = -1
    for column in np.flatnonzero(is_one & (columns.kind <= SITE)).tolist():
        j, kind, site = int(columns.job[column]), columns.kind[column], int(columns.site[column])
        job = records[j]
        if kind == RUN:
            slots = columns.slot[column] + np.arange(job["length"])
        elif kind == STAY:
            slots = _present_of(fleet, job)
        else:
            slots = np.sort(
                columns.slot[is_one & (columns.kind == SLOT) & (columns.job == j) & (columns.site == site)]
            )
        standing.site[j] = site
        standing.slots[job["offset"] : job["offset"] + job["length"]] = slots
