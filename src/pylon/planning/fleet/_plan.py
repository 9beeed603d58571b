"""What a fleet plan says: places, cost by reason, the bound and its prices, what binds, why jobs do not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pylon.planning.field import Floats
from pylon.planning.fleet._problem import Places

__all__ = ["RELAXED", "Binding", "Cost", "Plan", "Prices", "Rejection"]

RELAXED: Final = {
    "room": "room for power and GPUs and ramps are priced, not kept to; a job that fits alone may be cut in parts",
    "max_price": "the cap on money of interruptible jobs is priced, not kept to",
}
"""What the bound does not keep to as the plan does, by name: a plan may be closer to the best than its gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What limits are worth: with these alone anyone can work out the bound again. All 0 or more."""

    power_gbp_mwh: Floats
    """(D, T). Of room for facility power: what one MW more would save in that hour."""
    gpu_gbp_hour: Floats
    """(D, T). Of one GPU."""
    rise_gbp_mwh: Floats
    """(D, T). Of the limit on the rise from this half hour to the next; 0 in the last."""
    fall_gbp_mwh: Floats
    """(D, T). Of the limit on the fall."""

    def stack(self) -> Floats:
        """Return (4, D, T): all of them in this order."""
        return np.stack((self.power_gbp_mwh, self.gpu_gbp_hour, self.rise_gbp_mwh, self.fall_gbp_mwh))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a plan costs, by reason, in GBP. `lost` is the value of the jobs that do not run."""

    energy: float
    carbon: float
    stress: float
    migration: float
    wait: float
    leaving: float
    lost: float

    @property
    def total(self) -> float:
        """The sum that the planner makes small."""
        return self.energy + self.carbon + self.stress + self.migration + self.wait + self.leaving + self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A limit that has a price."""

    limit: str
    """`power_mw`, `gpus`, `rise` or `fall`."""
    site: int
    slot: int
    price: float
    """GBP/MWh; for GPUs GBP per GPU and hour."""
    spare: float
    """What the plan leaves of it, in MW or GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A job that does not run."""

    job: int
    limit: str
    """The first limit, in the order of `planning.arrival.LIMITS`, that leaves it nothing."""
    has_option: bool
    """Whether it would run if there were no other jobs."""
    price_to_fit_gbp: float | None
    """The least `max_price_gbp` when that is the limit; the least `value_gbp`, with what the room is worth to
    others, when others have the room or it is worth too little; None where no money helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where and when every job runs, and how far from the best possible that is at most."""

    places: Places
    """As many as the jobs, in their order; fixed jobs keep theirs."""
    cost: Cost
    bound_gbp: float
    """No plan within the limits costs less."""
    prices: Prices
    """Those of the bound, rounded: worked out again from them it is the same, unless it is by a solver."""
    forced_gbp: float
    """What is in both the cost and the bound whatever is planned: fixed jobs, and jobs without any option."""
    binding: tuple[Binding, ...]
    rejected: tuple[Rejection, ...]
    """In the order of the jobs."""
    relaxed: tuple[str, ...]
    """Of `RELAXED`, what the bound of this plan relaxes."""
    is_bound_by_solver: bool = False
    """Whether the bound is HiGHS's word, above that of the prices, and nothing is relaxed."""

    @property
    def gap_gbp(self) -> float:
        """How much less the best plan might cost at most."""
        return self.cost.total - self.bound_gbp

    @property
    def gap(self) -> float | None:
        """That as a share of the bound; None when the bound is not above 0."""
        return self.gap_gbp / self.bound_gbp if self.bound_gbp > 0 else None

    @property
    def gap_of_choice(self) -> float | None:
        """The gap as a share of the bound without what is forced; None when that is not above 0."""
        free_gbp = self.bound_gbp - self.forced_gbp
        return self.gap_gbp / free_gbp if free_gbp > 0 else None
