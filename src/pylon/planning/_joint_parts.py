"""What a plan of jobs and batteries is made from, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pylon.planning import fleet
from pylon.planning.battery import Battery, Dispatch
from pylon.planning.field import Floats
from pylon.planning.fleet import FleetProblem, Places, Plan, Prices

__all__ = ["RELAXED", "Store", "Together", "load_of"]

RELAXED: Final = fleet.RELAXED | {
    "charge": "a battery beside a site that is below its band, or below its end, need not be charged",
}
"""What the bound does not keep to as the plan does, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A battery and where it stands."""

    battery: Battery
    field_gbp_mwh: Floats
    """(T,). What a MWh is worth there, without any scarcity price. It idles where that is NaN."""
    hours: Floats
    """(T,). How much of each half hour is to be planned: 0.5, or 0 for one in which it is not moved."""
    site: int = -1
    """Index of the site that it stands beside; -1 for none, when nothing but its own field matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What jobs and batteries do, and how far from the best possible that is at most."""

    plan: Plan
    """Of the fleet, in the room that the batteries leave it; its own bound and prices are for that room."""
    dispatches: tuple[Dispatch, ...]
    """In the order of the stores."""
    cost_gbp: float
    """Of the fleet, less what the batteries earn."""
    bound_gbp: float
    """No plan of both within the limits costs less."""
    prices: Prices
    """Those of the bound: `bound` works it out again from them, unless it is the solver's."""
    rounds: int
    """How often the fleet was planned again for its batteries."""
    relaxed: tuple[str, ...]
    """Of `RELAXED`."""
    is_bound_by_solver: bool = False
    """Whether the bound is HiGHS's word, and higher than that of the prices."""

    @property
    def gap_gbp(self) -> float:
        """How much less the best plan might cost at most."""
        return self.cost_gbp - self.bound_gbp

    @property
    def gap(self) -> float | None:
        """That as a share of the bound; None when the bound is not above 0."""
        return self.gap_gbp / self.bound_gbp if self.bound_gbp > 0 else None

    @property
    def gap_of_choice(self) -> float | None:
        """The gap as a share of the bound without what is forced on the fleet; None when that is not above 0."""
        free_gbp = self.bound_gbp - self.plan.forced_gbp
        return self.gap_gbp / free_gbp if free_gbp > 0 else None


def load_of(problem: FleetProblem, places: Places, which: NDArray[np.bool_] | None = None) -> Floats:
    """Return the MW (D, T) that jobs draw in these places: all of them, or those of `which` (N,)."""
    jobs, sites = problem.jobs, problem.sites
    owners = np.repeat(np.arange(len(jobs)), jobs.half_hours)
    runs = places.site >= 0 if which is None else (places.site >= 0) & which
    owners, slots = owners[runs[owners]], places.slots[runs[owners]]
    site = places.site[owners]
    cells = site * sites.shape[1] + slots
    power = jobs.it_power_mw[owners] * sites.pue[site]
    load: Floats = np.bincount(cells, power, sites.room_mw.size).astype(np.float64)
    return load.reshape(sites.shape)
