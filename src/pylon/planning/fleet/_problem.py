"""What a fleet plan is made from: sites with their room, jobs with their needs, and where each job stands now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pylon.errors import Invalid
from pylon.planning.field import Floats, Weights

__all__ = ["Codes", "Flags", "FleetProblem", "Jobs", "Places", "Sites"]

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

ANY: Final = (-math.inf, math.inf)
FINITE: Final = (-np.finfo(np.float64).max, np.finfo(np.float64).max)
AT_LEAST_0: Final = (0.0, math.inf)
FINITE_AT_LEAST_0: Final = (0.0, FINITE[1])
ABOVE_0: Final = (np.finfo(np.float64).tiny, FINITE[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """D sites over T half hours; power is the facility's unless a name says IT. Raises `Invalid` for what is none.

    A half hour whose price or carbon is NaN can hold no job; a signal known nowhere is left out of all sums.
    """

    price_gbp_mwh: Floats
    """(D, T). What the site pays for energy."""
    carbon_gco2_kwh: Floats
    """(D, T). Carbon intensity of the site's region."""
    stress: Floats
    """(T,). Grid stress score, 0 to 1; where it is NaN it is left out."""
    pue: Floats
    """(D,). Facility power / IT power."""
    room_mw: Floats
    """(D, T). What jobs may draw: net of base load, reserve and status. A site that is not open has none."""
    room_gpus: Floats
    """(D, T). GPUs that jobs may hold; infinite where they are not counted."""
    base_mw: Floats
    """(D, T). What the site draws without jobs; only its steps matter, and only where there is a ramp limit."""
    ramp_mw: Floats
    """(D,). The most that the whole draw may change from one half hour to the next; infinite without a limit."""
    carbon_upper_gco2_kwh: Floats | None = None
    """(D, T). What caps on carbon are held against, such as an upper quantile of a forecast; costs are made of the
    carbon intensity itself. NaN, or None in all, for that in both."""

    def __post_init__(self) -> None:
        sites, half_hours = np.size(self.pue), np.size(self.stress)
        if half_hours == 0:
            raise Invalid("The fleet's field has no half hours; it begins with the present one.")
        grid = (sites, half_hours)
        for name, shape, within in (
            ("price_gbp_mwh", grid, None),
            ("carbon_gco2_kwh", grid, None),
            ("stress", (half_hours,), None),
            ("pue", (sites,), ABOVE_0),
            ("room_mw", grid, ANY),
            ("room_gpus", grid, ANY),
            ("base_mw", grid, FINITE),
            ("ramp_mw", (sites,), AT_LEAST_0),
        ):
            _keep(self, name, shape, np.float64, within)
        if self.carbon_upper_gco2_kwh is not None:
            _keep(self, "carbon_upper_gco2_kwh", grid, np.float64, None)

    @property
    def shape(self) -> tuple[int, int]:
        """(D, T)."""
        return self.pue.size, self.stress.size

    @property
    def cap_gco2_kwh(self) -> Floats:
        """(D, T). What caps on carbon are held against."""
        upper = self.carbon_upper_gco2_kwh
        return self.carbon_gco2_kwh if upper is None else np.where(np.isnan(upper), self.carbon_gco2_kwh, upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where and when each of N jobs runs."""

    site: Codes
    """(N,). Index of the site; -1 for a job that has no place."""
    slots: Codes
    """Half hours of all jobs one after another, each job's in order of time; -1 for a job that has no place."""
    offsets: Codes
    """(N + 1,). Job j's half hours are `slots[offsets[j]:offsets[j + 1]]`, as many as it is long."""

    def of(self, job: int) -> Codes:
        """Return the half hours of one job."""
        return self.slots[self.offsets[job] : self.offsets[job + 1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """N jobs; a cap that is not set is infinite. Raises `Invalid` for what is none.

    An interruptible job may pause between half hours, but stays at its site.
    """

    half_hours: Codes
    """(N,). How long each runs, 1 or more."""
    it_power_mw: Floats
    """(N,). While it runs."""
    gpus: Floats
    """(N,). Held while it runs."""
    first_slot: Codes
    """(N,). The first half hour it may run in; waiting is counted from there."""
    end_slot: Codes
    """(N,). The half hour it must have ended before: its deadline or deferral window."""
    origin: Codes
    """(N,). Where it would run if nobody moved it; -1 for none of these sites."""
    allowed: Flags
    """(N, D). Sites that it may run at."""
    interruptible: Flags
    """(N,)."""
    migration_gbp: Floats
    """(N,). For running anywhere but at origin."""
    wait_gbp_per_half_hour: Floats
    """(N,). For each half hour between its first and its end that it does not need."""
    carbon_cap_gco2_kwh: Floats
    """(N,). On the mean of its half hours when it runs in one piece, on each of them when it may be interrupted."""
    max_price_gbp: Floats
    """(N,). On what its energy costs."""
    value_gbp: Floats
    """(N,). What is lost when it does not run. A job that costs more is rejected."""
    present: Places | None = None
    """Where each job stands now, if anywhere."""
    leaving_gbp: Floats | None = None
    """(N,). For any other place than its present one; None for nothing."""
    is_fixed: Flags | None = None
    """(N,). Running and not to be moved: it keeps its present place whatever limits say; None for no job."""

    def __post_init__(self) -> None:
        jobs = np.size(self.half_hours)
        whole = {"half_hours": (1, 1 << 15), "first_slot": (0, 1 << 40), "end_slot": ANY, "origin": (-1, 1 << 40)}
        for name, within in whole.items():
            _keep(self, name, (jobs,), np.int64, within)
        for name in ("gpus", "wait_gbp_per_half_hour", "value_gbp"):
            _keep(self, name, (jobs,), np.float64, FINITE_AT_LEAST_0)
        _keep(self, "it_power_mw", (jobs,), np.float64, ABOVE_0)
        _keep(self, "migration_gbp", (jobs,), np.float64, FINITE)
        for name in ("carbon_cap_gco2_kwh", "max_price_gbp"):
            _keep(self, name, (jobs,), np.float64, ANY)
        _keep(self, "interruptible", (jobs,), np.bool_, None)
        _keep(self, "allowed", (jobs, np.shape(self.allowed)[-1]), np.bool_, None)
        if self.leaving_gbp is not None:
            _keep(self, "leaving_gbp", (jobs,), np.float64, FINITE_AT_LEAST_0)
        if self.is_fixed is not None:
            _keep(self, "is_fixed", (jobs,), np.bool_, None)

    def __len__(self) -> int:
        return int(self.half_hours.size)

    @property
    def offsets(self) -> Codes:
        """(N + 1,). Where each job's half hours begin in `Places.slots`."""
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(self.half_hours)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetProblem:
    """All that a fleet plan depends on, and that is not on the order of the jobs."""

    sites: Sites
    jobs: Jobs
    weights: Weights

    def __post_init__(self) -> None:
        sites, half_hours = self.sites.shape
        jobs = self.jobs
        if jobs.allowed.shape[1] != sites:
            raise Invalid(f"allowed has {jobs.allowed.shape[1]} sites; there are {sites}.")
        if len(jobs) and int(jobs.origin.max()) >= sites:
            raise Invalid(f"origin is {int(jobs.origin.max())}; there are {sites} sites, numbered from 0.")
        if jobs.present is None:
            if jobs.is_fixed is not None and jobs.is_fixed.any():
                raise Invalid("Jobs are fixed, but no present places are given; a fixed job keeps its place.")
            return
        _check_places(jobs.present, jobs, sites, half_hours)
        if jobs.is_fixed is not None and (jobs.present.site[jobs.is_fixed] < 0).any():
            raise Invalid("A fixed job has no present place; give it one or do not fix it.")


def _check_places(places: Places, jobs: Jobs, sites: int, half_hours: int) -> None:
    if not np.array_equal(places.offsets, jobs.offsets) or places.slots.size != places.offsets[-1]:
        raise Invalid("The present places are not as long as the jobs; each has as many half hours as its job.")
    if places.site.shape != (len(jobs),) or (places.site < -1).any() or (places.site >= sites).any():
        raise Invalid(f"A present place is at no site; the {sites} sites are numbered from 0, and -1 is none.")
    stands = np.repeat(places.site >= 0, jobs.half_hours)
    slots = places.slots[stands]
    owner = np.repeat(np.arange(len(jobs)), jobs.half_hours)[stands]
    if ((slots < 0) | (slots >= half_hours)).any() or ((np.diff(slots) <= 0) & (np.diff(owner) == 0)).any():
        raise Invalid(f"A present place is not of half hours 0 to {half_hours - 1}, each once and in order.")


def _keep(
    of: object, name: str, shape: tuple[int, ...], kind: type[Any], within: tuple[float, float] | None
) -> None:
    """Set a field to its array, or raise `Invalid` when its shape or a value is not what it may be."""
    given: ArrayLike = getattr(of, name)
    values = np.ascontiguousarray(given, kind).reshape(np.shape(given))
    if values.shape != shape:
        raise Invalid(f"{name} has shape {values.shape}; it is {shape}.")
    if within is not None and values.size:
        wrong = ~((values >= within[0]) & (values <= within[1]))
        if wrong.any():
            least, most = within
            raise Invalid(f"{name} holds {values[wrong][0]}; it is a number from {least:g} to {most:g}.")
    object.__setattr__(of, name, values)
