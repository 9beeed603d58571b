"""The field a planner decides on: sites, half hours, prices, carbon, stress and room, as arrays; and the job.

Time is in minutes from the start of the field's first half hour, so that a job may start inside a half hour and its
energy is still exact. Power and energy are the facility's (IT x PUE) unless a name says IT. NaN is unknown;
infinite room is a resource that a site does not limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pylon.errors import Invalid

__all__ = ["HALF_HOUR_MINS", "RESOURCES", "Field", "Floats", "Job", "Option", "Terms", "Weights"]

Floats = NDArray[np.float64]

HALF_HOUR_MINS: Final = 30

RESOURCES: Final = ("power_mw", "gpus", "cpu_cores", "memory_gb")
"""What a job takes up at a site, in the order of `Field.room`: facility power in MW, then counts and GB."""


_CELLS: Final = ("price_gbp_mwh", "carbon_gco2_kwh", "scarcity_gbp_mwh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What every site costs and has room for in every half hour. D sites, T half hours.

    Raises `Invalid` when the arrays do not fit each other. They are kept as they are given where their type and
    order allow it, so that `room` may change in place between two jobs; nothing else does.
    """

    price_gbp_mwh: Floats
    """(D, T). What the site pays for energy: its tariff, or the wholesale price."""
    carbon_gco2_kwh: Floats
    """(D, T). Carbon intensity of the site's region: what is expected, where it is forecast."""
    stress: Floats
    """(T,). Grid stress score, 0 to 1."""
    scarcity_gbp_mwh: Floats
    """(D, T). What a standing plan says that room is worth; zero without a plan. Never NaN."""
    room: Floats
    """(4, D, T). What is free of each of `RESOURCES`; negative where more is taken than a limit now allows."""
    is_open: NDArray[np.bool_]
    """(D,). Whether the site takes new work at all."""
    pue: Floats
    """(D,). Facility power / IT power."""
    carbon_upper_gco2_kwh: Floats | None = None
    """(D, T). What the carbon intensity is to stay below, where that is more than what is expected: caps are held
    against it, and nothing else. Without it, and where it is not known, it is `carbon_gco2_kwh`."""
    signals: Floats = field(init=False, repr=False, compare=False)
    """(4, D, T). Price, carbon, scarcity and what carbon caps are held against, as the kernels read them."""

    def __post_init__(self) -> None:
        sites, half_hours = np.size(self.is_open), np.size(self.stress)
        if half_hours == 0:
            raise Invalid("The field has no half hours; it begins with the present one.")
        upper = () if self.carbon_upper_gco2_kwh is None else ("carbon_upper_gco2_kwh",)
        for name, shape in (
            *((name, (sites, half_hours)) for name in (*_CELLS, *upper)),
            ("stress", (half_hours,)),
            ("room", (len(RESOURCES), sites, half_hours)),
            ("is_open", (sites,)),
            ("pue", (sites,)),
        ):
            values = np.ascontiguousarray(getattr(self, name), np.bool_ if name == "is_open" else np.float64)
            if values.shape != shape:
                raise Invalid(f"{name} has shape {values.shape}; with {sites} sites by {half_hours} it is {shape}.")
            object.__setattr__(self, name, values)
        object.__setattr__(self, "signals", self._stacked())
        for pue in self.pue.tolist():
            if not 0 < pue < math.inf:
                raise Invalid(f"A site's pue is {pue}; it is facility power / IT power, 1 or a little more.")

    def _stacked(self) -> Floats:
        held = carbon = self.carbon_gco2_kwh
        if (upper := self.carbon_upper_gco2_kwh) is not None:
            held = np.where(np.isfinite(upper) & np.isfinite(carbon), upper, carbon)
        return np.stack((self.price_gbp_mwh, carbon, self.scarcity_gbp_mwh, held))

    @property
    def sites(self) -> int:
        """D, the number of sites."""
        return int(self.room.shape[1])

    @property
    def half_hours(self) -> int:
        """T, the number of half hours."""
        return int(self.room.shape[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What an operator makes of what is not money."""

    carbon_price_gbp_t: float
    stress_price_gbp_mwh: float
    """At stress 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One workload, as numbers. NaN in a cap or a value means that there is none."""

    it_power_mw: float
    duration_mins: int
    arrived_mins: float
    """When it arrived; negative when before the field began. Waiting is counted from here."""
    earliest_mins: float
    """The first moment at which it may run: now, or later."""
    latest_end_mins: float
    """It must have ended by then: its deadline, or the end of its deferral window, whichever comes first."""
    interruptible: bool
    gpus: float
    cpu_cores: float
    memory_gb: float
    carbon_cap_gco2_kwh: float
    max_price_gbp: float
    value_gbp: float
    """A job whose cheapest option costs more than this in all is not worth running. NaN: it always is."""
    migration_gbp: float
    wait_gbp_per_hour: float
    origin: int
    """Index of the site where it would run if nobody moved it; -1 when that is none of these sites."""
    allowed: NDArray[np.bool_]
    """(D,). Sites whose region the job allows."""
    step_mins: float = 1.0
    """Where a cap is met inside a half hour, it begins a multiple of so many minutes from the start of the field.
    With 30 nothing begins inside one for a cap."""


class Terms(NamedTuple):
    """What an option costs, by reason, in GBP. `scarcity` is what room is worth to others; nobody is paid it."""

    energy: float
    carbon: float
    stress: float
    migration: float
    wait: float
    scarcity: float

    @property
    def total(self) -> float:
        """The sum that the planner makes small, of the terms that are known; rounded once."""
        return math.fsum(term for term in self if not math.isnan(term))


class Option(NamedTuple):
    """One place and time for a job, what it costs, and the limit that forbids it if one does."""

    site: int
    spans: tuple[tuple[float, float], ...]
    """When it runs: [begins, ends) in minutes, in order, not touching. One span unless it is interrupted."""
    energy_mwh: float
    carbon_kg: float
    terms: Terms
    stress_unknown_mins: float = 0.0
    """For how much of its time the stress is not known, and so not in the sum."""
    capped_carbon_kg: float = math.nan
    """What a carbon cap is held against: `carbon_kg`, or more where the field has an upper carbon intensity."""
    refused_by: str | None = None
    """The first limit of `planning.arrival.LIMITS` that forbids it; None when none does."""

    @property
    def begins(self) -> float:
        """When it first runs."""
        return self.spans[0][0]

    @property
    def ends(self) -> float:
        """When it is done."""
        return self.spans[-1][1]
