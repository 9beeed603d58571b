"""A field and a job as the kernels read them, checked: arrays of one type each, in one order."""

from __future__ import annotations

from math import inf, isfinite, isnan
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pylon.errors import Invalid
from pylon.planning import _limits
from pylon.planning.field import HALF_HOUR_MINS, RESOURCES, Field, Floats, Job, Weights

__all__ = [
    "CELL",
    "NUMBERS",
    "ROOM_SLACK",
    "SEARCH_SLACK",
    "SLACK",
    "Ask",
    "Cells",
    "Codes",
    "Flags",
    "read_field",
    "read_job",
]

Codes: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

CELL: Final = float(HALF_HOUR_MINS)

SLACK: Final = 1e-9
ROOM_SLACK: Final = 1e-6  # of a MW, a GPU, a core or a GB: what many roundings of the room may add up to
"""Rounding must not refuse what just fits."""
SEARCH_SLACK: Final = SLACK / 2
"""The search is stricter, so that what it finds also measures so."""

NUMBERS: Final = (
    "it_power_mw",
    "gpus",
    "cpu_cores",
    "memory_gb",
    "duration_mins",
    "arrived_mins",
    "earliest_mins",
    "latest_end_mins",
    "wait_gbp_per_hour",
    "carbon_price_gbp_t",
    "stress_price_gbp_mwh",
    "carbon_cap_gco2_kwh",
    "max_price_gbp",
    "value_gbp",
)
"""What `Ask.numbers` holds, in this order: what the job takes of each of `RESOURCES` (IT power), and the rest."""

POWER_MW: Final = 0
DURATION_MINS: Final = 4
ARRIVED_MINS: Final = 5
EARLIEST_MINS: Final = 6
LATEST_END_MINS: Final = 7
WAIT_GBP_PER_HOUR: Final = 8
CARBON_PRICE: Final = 9
STRESS_PRICE: Final = 10
CARBON_CAP: Final = 11  # a cap that is not set is infinite
MAX_PRICE: Final = 12
VALUE: Final = 13


class Cells(NamedTuple):
    """A field; a cell is one site in one half hour."""

    price_gbp_mwh: Floats
    carbon_gco2_kwh: Floats
    stress: Floats
    scarcity_gbp_mwh: Floats
    room: Floats
    is_open: Flags
    pue: Floats


class Ask(NamedTuple):
    """A job and what its operator weighs, in general and at each site."""

    numbers: Floats
    """The number of each of `NUMBERS`."""
    gates: Codes
    """(D,). The limit that closes a whole site to the job; `_limits.NONE` where it may run."""
    mwh_per_min: Floats
    """(D,). Of the facility."""
    moving_gbp: Floats
    """(D,). What it costs to bring the job there."""
    origin: int
    is_interruptible: bool

    def without_limit(self, number: int) -> Ask:
        """Return the same with one of the caps not set."""
        numbers = self.numbers.copy()
        numbers[number] = inf
        return self._replace(numbers=numbers)


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


def read_job(job: Job, weights: Weights, cells: Cells) -> Ask:
    """Return a job as the kernels read it, or raise `Invalid` when it is not one that could run in that field."""
    numbers = (
        job.it_power_mw,
        job.gpus,
        job.cpu_cores,
        job.memory_gb,
        job.duration_mins,
        job.arrived_mins,
        job.earliest_mins,
        job.latest_end_mins,
        job.wait_gbp_per_hour,
        weights.carbon_price_gbp_t,
        weights.stress_price_gbp_mwh,
        *(inf if isnan(cap) else cap for cap in (job.carbon_cap_gco2_kwh, job.max_price_gbp, job.value_gbp)),
    )
    sites = cells.pue.size
    _check(dict(zip(NUMBERS, numbers, strict=True)), job, sites)
    gates = np.full(sites, _limits.NONE)
    gates[~cells.is_open] = _limits.SITE_OPEN
    gates[np.logical_not(job.allowed)] = _limits.REGION
    moving_gbp = np.full(sites, float(job.migration_gbp))
    if job.origin >= 0:
        moving_gbp[job.origin] = 0.0
    return Ask(
        numbers=np.array(numbers, np.float64),
        gates=gates,
        mwh_per_min=job.it_power_mw * cells.pue / 60,
        moving_gbp=moving_gbp,
        origin=int(job.origin),
        is_interruptible=bool(job.interruptible),
    )


def _check(numbers: dict[str, float], job: Job, sites: int) -> None:
    if np.shape(job.allowed) != (sites,):
        raise Invalid(f"allowed has shape {np.shape(job.allowed)}; the field has {sites} sites.")
    if not -1 <= job.origin < sites:
        raise Invalid(f"origin is {job.origin}; it is one of the {sites} sites, numbered from 0, or -1 for none.")
    if not 0 < job.duration_mins < inf:
        raise Invalid(f"duration_mins is {job.duration_mins}; a job runs for a minute or more.")
    if isnan(job.latest_end_mins):
        raise Invalid("latest_end_mins is not a number; a job without a deadline has an infinite one.")
    for name in ("it_power_mw", "gpus", "cpu_cores", "memory_gb", "earliest_mins", "wait_gbp_per_hour"):
        if not 0 <= numbers[name] < inf:
            raise Invalid(f"{name} is {numbers[name]}; it is 0 or more.")
    if not isfinite(job.migration_gbp):
        raise Invalid(f"migration_gbp is {job.migration_gbp}; it is a finite number.")
    for name in ("arrived_mins", "carbon_price_gbp_t", "stress_price_gbp_mwh"):
        if not isfinite(numbers[name]):
            raise Invalid(f"{name} is {numbers[name]}; it is a finite number.")
