"""A field and a job as the kernels read them, checked; and what the kernels give back."""

from __future__ import annotations

from math import inf, isfinite, isnan
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pylon.errors import Invalid
from pylon.planning.field import HALF_HOUR_MINS, RESOURCES, Field, Floats, Job, Weights

__all__ = [
    "CAPS",
    "CELL",
    "COST",
    "ROWS",
    "SEARCH_SLACK",
    "SLACK",
    "Ask",
    "Bests",
    "Cells",
    "Codes",
    "Items",
    "Reading",
    "read_field",
    "read_job",
]

Codes: TypeAlias = NDArray[np.int64]

CELL: Final = float(HALF_HOUR_MINS)

SLACK: Final = 1e-9
"""Rounding must not refuse what just fits."""
SEARCH_SLACK: Final = SLACK / 2
"""The search is stricter, so that what it finds also measures so."""

COST: Final = 0  # rows of Items.whole: what is made small, then what is taken of each cap
CAPS: Final = 2  # carbon, and money
ROWS: Final = 1 + CAPS


class Cells(NamedTuple):
    """A field; a cell is one site in one half hour."""

    price_gbp_mwh: Floats
    carbon_gco2_kwh: Floats
    stress: Floats
    scarcity_gbp_mwh: Floats
    room: Floats
    is_open: NDArray[np.bool_]
    pue: Floats


class Ask(NamedTuple):
    """A job, and what its operator weighs; a cap that is not set is infinite."""

    it_power_mw: float
    gpus: float
    cpu_cores: float
    memory_gb: float
    duration_mins: float
    arrived_mins: float
    earliest_mins: float
    latest_end_mins: float
    carbon_cap_gco2_kwh: float
    max_price_gbp: float
    value_gbp: float
    migration_gbp: float
    wait_gbp_per_hour: float
    carbon_price_gbp_t: float
    stress_price_gbp_mwh: float
    origin: int
    is_interruptible: bool
    allowed: NDArray[np.bool_]


class Reading(NamedTuple):
    """What one job finds in a field."""

    rate_gbp_mwh: Floats
    """(D, T). What an MWh costs, without migration and waiting."""
    closed_by: Codes
    """(D, T). The first limit that closes the cell."""
    is_known: NDArray[np.bool_]
    """(3,). Whether price, carbon and stress are known somewhere."""


class Bests(NamedTuple):
    """The best option of each of D sites; and in row D what it is compared with, running at once at origin."""

    begins: Floats
    """(D + 1, spans)."""
    ends: Floats
    sizes: Codes
    """(D + 1,). How many spans a row has; 0: no option."""
    costs: Floats
    """(D,). Infinite without an option."""
    refused: Codes
    """(D, limits). How many options each limit was the first to forbid."""


class Items(NamedTuple):
    """The half hours that a job may use at one site, in order of time."""

    columns: Codes
    whole: Floats
    """(ROWS, items). Cost and load of each half hour used whole; no load for a cap that is not set."""
    last: Floats
    """The same for the half hour that is the last of a split: used in part, and with all that the end decides."""
    budgets: Floats
    """(CAPS,). Infinite for a cap that is not set."""


def read_field(field: Field) -> Cells:
    """Return a field as the kernels read it, or raise `Invalid` when its arrays do not fit each other."""
    cells = Cells(
        price_gbp_mwh=np.ascontiguousarray(field.price_gbp_mwh, np.float64),
        carbon_gco2_kwh=np.ascontiguousarray(field.carbon_gco2_kwh, np.float64),
        stress=np.ascontiguousarray(field.stress, np.float64),
        scarcity_gbp_mwh=np.ascontiguousarray(field.scarcity_gbp_mwh, np.float64),
        room=np.ascontiguousarray(field.room, np.float64),
        is_open=np.ascontiguousarray(field.is_open, np.bool_),
        pue=np.ascontiguousarray(field.pue, np.float64),
    )
    sites, half_hours = cells.is_open.size, cells.stress.size
    if half_hours == 0:
        raise Invalid("The field has no half hours; it begins with the present one.")
    cell, site = (sites, half_hours), (sites,)
    shapes = (cell, cell, (half_hours,), cell, (len(RESOURCES), *cell), site, site)
    for name, values, shape in zip(Cells._fields, cells, shapes, strict=True):
        if values.shape != shape:
            raise Invalid(f"{name} has shape {values.shape}; a field of {sites} sites by {half_hours} has {shape}.")
    for pue in cells.pue.tolist():
        if not 0 < pue < inf:
            raise Invalid(f"A site's pue is {pue}; it is facility power / IT power, 1 or a little more.")
    return cells


def read_job(job: Job, weights: Weights, sites: int) -> Ask:
    """Return a job as the kernels read it, or raise `Invalid` when it is not one that could run."""
    ask = Ask(
        it_power_mw=float(job.it_power_mw),
        gpus=float(job.gpus),
        cpu_cores=float(job.cpu_cores),
        memory_gb=float(job.memory_gb),
        duration_mins=float(job.duration_mins),
        arrived_mins=float(job.arrived_mins),
        earliest_mins=float(job.earliest_mins),
        latest_end_mins=float(job.latest_end_mins),
        carbon_cap_gco2_kwh=_cap(job.carbon_cap_gco2_kwh),
        max_price_gbp=_cap(job.max_price_gbp),
        value_gbp=_cap(job.value_gbp),
        migration_gbp=float(job.migration_gbp),
        wait_gbp_per_hour=float(job.wait_gbp_per_hour),
        carbon_price_gbp_t=float(weights.carbon_price_gbp_t),
        stress_price_gbp_mwh=float(weights.stress_price_gbp_mwh),
        origin=int(job.origin),
        is_interruptible=bool(job.interruptible),
        allowed=np.ascontiguousarray(job.allowed, np.bool_),
    )
    _check(ask, sites)
    return ask


def _cap(value: float) -> float:
    return inf if isnan(value) else float(value)


def _check(ask: Ask, sites: int) -> None:
    if ask.allowed.shape != (sites,):
        raise Invalid(f"allowed has shape {ask.allowed.shape}; the field has {sites} sites.")
    if not -1 <= ask.origin < sites:
        raise Invalid(f"origin is {ask.origin}; it is one of the {sites} sites, numbered from 0, or -1 for none.")
    if not 0 < ask.duration_mins < inf:
        raise Invalid(f"duration_mins is {ask.duration_mins}; a job runs for a minute or more.")
    if isnan(ask.latest_end_mins):
        raise Invalid("latest_end_mins is not a number; a job without a deadline has an infinite one.")
    for name in ("it_power_mw", "gpus", "cpu_cores", "memory_gb", "earliest_mins", "wait_gbp_per_hour"):
        if not 0 <= getattr(ask, name) < inf:
            raise Invalid(f"{name} is {getattr(ask, name)}; it is 0 or more.")
    for name in ("arrived_mins", "migration_gbp", "carbon_price_gbp_t", "stress_price_gbp_mwh"):
        if not isfinite(getattr(ask, name)):
            raise Invalid(f"{name} is {getattr(ask, name)}; it is a finite number.")
