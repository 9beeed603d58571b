"""A fleet as its kernels read it: a record for each job, the cells of the field, and what stands where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pylon.planning.field import Floats
from pylon.planning.fleet._problem import Codes, Flags, FleetProblem, Sites

__all__ = [
    "CARBON",
    "CARBON_SUM",
    "COST",
    "FALL",
    "GPUS",
    "HOURS",
    "JOB",
    "POWER",
    "PRICE",
    "PRICE_SUM",
    "RISE",
    "SLACK",
    "Cells",
    "Records",
    "Standing",
    "copy_of",
    "nobody",
    "read_cells",
    "read_jobs",
    "terms_of_field",
    "total_of",
]

HOURS: Final = 0.5
COST, PRICE, CARBON, PRICE_SUM, CARBON_SUM = range(5)
"""GBP/MWh in all, infinite where it is not known; GBP/MWh paid; gCO2/kWh that caps are held against; and the sums
before each half hour."""
POWER, GPUS, RISE, FALL = range(4)
"""What a limit is of: MW, GPUs, MW by which the draw rises, and by which it falls."""
UNLIMITED: Final = 1e12
SLACK: Final = 1e-9
"""Rounding must not refuse what just fits."""

JOB: Final = np.dtype(
    [
        ("length", np.int64),
        ("first", np.int64),
        ("end", np.int64),
        ("offset", np.int64),
        ("origin", np.int64),
        ("present", np.int64),
        ("power", np.float64),
        ("gpus", np.float64),
        ("migration", np.float64),
        ("wait", np.float64),
        ("carbon_cap", np.float64),
        ("max_price", np.float64),
        ("value", np.float64),
        ("leaving", np.float64),
        ("splits", np.bool_),
    ],
    align=True,
)
"""One job. `end` is within the field; `offset` is where its half hours begin; `present` is its site now, or -1."""

Records = NDArray[Any]


class Cells(NamedTuple):
    """The field and its limits, site by site and half hour by half hour. Few arrays: each costs a kernel's call."""

    field: Floats
    """(5, D, T + 1) by `COST` and the names after it."""
    pue: Floats
    limits: Floats
    """(4, D, T) by `POWER` and the names after it. A rise or fall is of the jobs' draw, from this half hour to the
    next."""
    has_ramps: bool
    """Whether any rise or fall is limited."""


class Standing(NamedTuple):
    """Which job stands where, and what that loads."""

    site: Codes
    """(N,), -1 for none."""
    slots: Codes
    """Of all jobs, by `offset`."""
    load: Floats
    """(2, D, T) MW and GPUs."""
    calm: Codes
    """(N,). For how many passes it has stayed where it is."""


@dataclass(frozen=True, slots=True)
class Known:
    """Which signals are known anywhere."""

    price: bool
    carbon: bool


def nobody(records: Records, cells: Cells) -> Standing:
    """Return the standing in which no job has a place."""
    return Standing(
        site=np.full(records.size, -1, np.int64),
        slots=np.zeros(int(records["length"].sum()), np.int64),
        load=np.zeros_like(cells.limits[:2]),
        calm=np.zeros(records.size, np.int64),
    )


def copy_of(standing: Standing) -> Standing:
    """Return the same, to be changed by itself."""
    return Standing(standing.site.copy(), standing.slots.copy(), standing.load.copy(), standing.calm.copy())


def total_of(values: Floats) -> float:
    """Return the exact sum, rounded once: the same on every machine."""
    return math.fsum(values.ravel().tolist())


def read_cells(problem: FleetProblem, fixed: Standing | None = None) -> Cells:
    """Return the field, with the room and the ramps that fixed jobs leave."""
    sites = problem.sites
    terms, is_known = terms_of_field(problem)
    field = np.zeros((5, sites.shape[0], sites.shape[1] + 1))
    field[COST, :, :-1] = np.where(is_known, terms[0] + terms[1] + terms[2], math.inf)
    field[PRICE, :, :-1] = terms[0]
    field[CARBON, :, :-1] = np.where(is_known, sites.cap_gco2_kwh, 0.0) if _known(sites).carbon else 0.0
    for sums, values in ((PRICE_SUM, PRICE), (CARBON_SUM, CARBON)):
        field[sums, :, 1:] = np.cumsum(field[values, :, :-1], axis=1)
    room, base = np.stack((sites.room_mw, sites.room_gpus)), sites.base_mw
    if fixed is not None:
        room, base = room - fixed.load, base + fixed.load[POWER]
    step = np.zeros(sites.shape)
    step[:, :-1] = np.diff(base, axis=1)
    ramp = np.repeat(sites.ramp_mw[:, None], sites.shape[1], axis=1)
    ramp[:, -1] = math.inf
    limits = np.concatenate((room, [ramp - step, ramp + step]))
    return Cells(field, sites.pue, np.clip(limits, 0.0, UNLIMITED), bool(np.isfinite(ramp).any()))


def terms_of_field(problem: FleetProblem) -> tuple[Floats, Flags]:
    """Return (3, D, T) GBP/MWh of energy, carbon and stress, and where all that matters is known."""
    sites, weights, known = problem.sites, problem.weights, _known(problem.sites)
    terms = np.zeros((3, *sites.shape))
    if known.price:
        terms[0] = sites.price_gbp_mwh
    if known.carbon:
        terms[1] = weights.carbon_price_gbp_t * sites.carbon_gco2_kwh / 1000
    terms[2] = weights.stress_price_gbp_mwh * np.where(np.isfinite(sites.stress), sites.stress, 0.0)
    is_known: Flags = np.isfinite(terms[0]) & np.isfinite(terms[1])
    return np.where(np.isfinite(terms), terms, 0.0), is_known


def read_jobs(problem: FleetProblem) -> tuple[Records, Flags]:
    """Return a record for each job, and which sites each may use: (N,) and (N, D)."""
    jobs, known = problem.jobs, _known(problem.sites)
    records = np.zeros(len(jobs), JOB)
    records["length"], records["first"] = jobs.half_hours, np.minimum(jobs.first_slot, problem.sites.shape[1])
    records["end"] = np.minimum(jobs.end_slot, problem.sites.shape[1])
    records["offset"] = jobs.offsets[:-1]
    records["origin"], records["present"] = jobs.origin, -1
    records["power"], records["gpus"] = jobs.it_power_mw, jobs.gpus
    if not np.isfinite(problem.sites.room_gpus).any():
        records["gpus"] = 0.0  # counted nowhere
    records["migration"], records["wait"] = jobs.migration_gbp, jobs.wait_gbp_per_half_hour
    records["carbon_cap"], records["max_price"] = jobs.carbon_cap_gco2_kwh, jobs.max_price_gbp
    records["value"] = jobs.value_gbp
    records["splits"] = jobs.interruptible & (jobs.half_hours > 1)
    if jobs.present is not None:
        records["present"] = jobs.present.site
        records["leaving"] = 0.0 if jobs.leaving_gbp is None else jobs.leaving_gbp
    # A cap on what is known nowhere can be kept nowhere.
    is_sure = np.ones(len(jobs), np.bool_)
    if not known.price:
        is_sure &= ~np.isfinite(jobs.max_price_gbp)
    if not known.carbon:
        is_sure &= ~np.isfinite(jobs.carbon_cap_gco2_kwh)
    return records, jobs.allowed & is_sure[:, None]


def _known(sites: Sites) -> Known:
    return Known(
        price=bool(np.isfinite(sites.price_gbp_mwh).any()), carbon=bool(np.isfinite(sites.carbon_gco2_kwh).any())
    )
