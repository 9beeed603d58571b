"""A job as the kernels read it, checked: its numbers in one order."""

from __future__ import annotations

from math import inf, isfinite, isnan
from operator import le
from typing import Final, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pylon.errors import Invalid
from pylon.planning.field import HALF_HOUR_MINS, Floats, Job, Weights

__all__ = ["CELL", "NUMBERS", "ROOM_SLACK", "SEARCH_SLACK", "SLACK", "Ask", "Codes", "Flags", "read_job"]

Codes: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

CELL: Final = float(HALF_HOUR_MINS)

SLACK: Final = 1e-9
ROOM_SLACK: Final = 1e-6  # of a MW, a GPU, a core or a GB: what many roundings of the room may add up to
"""Rounding must not refuse what just fits."""
SEARCH_SLACK: Final = SLACK / 2
"""The search is stricter, so that what it finds also measures so."""

LEAST_OF: Final = {
    "it_power_mw": 0.0,
    "gpus": 0.0,
    "cpu_cores": 0.0,
    "memory_gb": 0.0,
    "duration_mins": 1e-9,
    "earliest_mins": 0.0,
    "wait_gbp_per_hour": 0.0,
    "arrived_mins": -np.finfo(float).max,
    "carbon_price_gbp_t": -np.finfo(float).max,
    "stress_price_gbp_mwh": -np.finfo(float).max,
    "migration_gbp": -np.finfo(float).max,
    "step_mins": 1e-9,
}
"""The numbers that are finite, and the least that each may be."""

NUMBERS: Final = (*LEAST_OF, "origin", "latest_end_mins", "carbon_cap_gco2_kwh", "max_price_gbp", "value_gbp")
"""What `Ask.numbers` holds, in this order: what the job takes of each of `RESOURCES` (IT power), and the rest."""

POWER_MW: Final = 0
DURATION_MINS: Final = 4
EARLIEST_MINS: Final = 5
WAIT_GBP_PER_HOUR: Final = 6
ARRIVED_MINS: Final = 7
CARBON_PRICE: Final = 8
STRESS_PRICE: Final = 9
MIGRATION_GBP: Final = 10
STEP_MINS: Final = 11
ORIGIN: Final = 12
LATEST_END_MINS: Final = 13
CARBON_CAP: Final = 14  # a cap that is not set is infinite
MAX_PRICE: Final = 15
VALUE: Final = 16


PRICE, CARBON, SCARCITY, CARBON_UPPER = 0, 1, 2, 3  # of `Field.signals`


class Ask(NamedTuple):
    """A job and what its operator weighs."""

    numbers: Floats
    """The number of each of `NUMBERS`."""
    allowed: Flags
    """(D,). Sites whose region the job allows."""
    may_split: bool
    """Whether it may be interrupted, and lasts long enough."""

    def without_limit(self, number: int) -> Ask:
        """Return the same with one of the caps not set."""
        numbers = self.numbers.copy()
        numbers[number] = inf
        return self._replace(numbers=numbers)


def read_job(job: Job, weights: Weights, sites: int) -> Ask:
    """Return a job as the kernels read it, or raise `Invalid` when it could run at none of `sites`."""
    numbers = (
        job.it_power_mw,
        job.gpus,
        job.cpu_cores,
        job.memory_gb,
        job.duration_mins,
        job.earliest_mins,
        job.wait_gbp_per_hour,
        job.arrived_mins,
        weights.carbon_price_gbp_t,
        weights.stress_price_gbp_mwh,
        job.migration_gbp,
        job.step_mins,
        job.origin,
        job.latest_end_mins,
        inf if isnan(job.carbon_cap_gco2_kwh) else job.carbon_cap_gco2_kwh,
        inf if isnan(job.max_price_gbp) else job.max_price_gbp,
        inf if isnan(job.value_gbp) else job.value_gbp,
    )
    if not (all(map(le, LEAST_OF.values(), numbers)) and all(map(isfinite, numbers[: len(LEAST_OF)]))):
        _refuse(numbers)
    if not -1 <= job.origin < sites:
        raise Invalid(f"origin is {job.origin}; it is one of the {sites} sites, numbered from 0, or -1 for none.")
    if isnan(job.latest_end_mins):
        raise Invalid("latest_end_mins is not a number; a job without a deadline has an infinite one.")
    allowed = np.ascontiguousarray(job.allowed, np.bool_)
    if allowed.shape != (sites,):
        raise Invalid(f"allowed has shape {allowed.shape}; the field has {sites} sites.")
    return Ask(np.array(numbers, np.float64), allowed, bool(job.interruptible) and job.duration_mins > CELL)


def _refuse(numbers: tuple[float, ...]) -> NoReturn:
    """Raise `Invalid` for the first number that is less than it may be, or not finite."""
    name, least, number = next(
        (name, least, number)
        for (name, least), number in zip(LEAST_OF.items(), numbers, strict=False)
        if not least <= number < inf
    )
    raise Invalid(f"{name} is {number}; it is {_said(name, least)}.")


def _said(name: str, least: float) -> str:
    if name in ("duration_mins", "step_mins"):
        return "a minute or more"
    return "0 or more" if least == 0 else "a finite number"
