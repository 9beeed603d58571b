"""The account of a back-test: what each policy's work cost at what came, against running it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from uuid import UUID

import numpy as np

from pylon.agents import jobs
from pylon.agents.carbon_optimizer import Optimizing
from pylon.errors import Invalid
from pylon.ontology.compute import ComputeWorkload
from pylon.planning.field import HALF_HOUR_MINS, Floats
from pylon.services._backtest_policies import Decided, Place
from pylon.services._backtest_world import World

__all__ = ["Tally", "load_mw", "tally"]

_HOURS = HALF_HOUR_MINS / 60
_SLACK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Sums over workloads; those of several stretches add up. Money in GBP, at the signals that came."""

    workloads: int = 0
    ran: int = 0
    broken: int = 0
    """Of those that ran, how many broke a limit: room, or a cap on carbon or money as it turned out."""
    moves: int = 0
    energy_mwh: float = 0.0
    carbon_kg: float = 0.0
    energy_gbp: float = 0.0
    carbon_gbp: float = 0.0
    stress_gbp: float = 0.0
    migration_gbp: float = 0.0
    wait_gbp: float = 0.0
    lost_gbp: float = 0.0
    """Value of the workloads that did not run."""
    energy_at_once_mwh: float = 0.0
    """What the workloads that ran would have drawn, emitted and paid, run at once; so are the next two."""
    carbon_at_once_kg: float = 0.0
    paid_at_once_gbp: float = 0.0
    plans: int = 0
    gap_gbp: float = 0.0
    """Proven gaps of all plans, and the sum of their bounds."""
    bound_gbp: float = 0.0
    worst_gap: float = 0.0
    """The largest gap as a share of its bound, where that is above 0."""

    @property
    def paid_gbp(self) -> float:
        """Money that changes hands: energy and moving."""
        return self.energy_gbp + self.migration_gbp

    @property
    def total_gbp(self) -> float:
        """The sum that planners make small."""
        terms = (
            self.energy_gbp,
            self.carbon_gbp,
            self.stress_gbp,
            self.migration_gbp,
            self.wait_gbp,
            self.lost_gbp,
        )
        return sum(terms)

    @property
    def rejected(self) -> int:
        """How many workloads did not run."""
        return self.workloads - self.ran

    @property
    def mean_gap(self) -> float | None:
        """The proven gaps of all plans as a share of their bounds; None where these are not above 0."""
        return self.gap_gbp / self.bound_gbp if self.bound_gbp > 0 else None

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        sums = {one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)}
        return Tally(**{**sums, "worst_gap": max(self.worst_gap, other.worst_gap)})


@dataclass(frozen=True, slots=True)
class _Cost:
    energy_mwh: float
    carbon_kg: float
    energy_gbp: float
    carbon_gbp: float
    stress_gbp: float
    migration_gbp: float
    wait_gbp: float

    @property
    def paid_gbp(self) -> float:
        return self.energy_gbp + self.migration_gbp


def tally(
    world: World, workloads: Sequence[ComputeWorkload], decided: Decided, at_once: Decided, config: Optimizing
) -> Tally:
    """Return what `workloads` cost under a policy, and what those that ran would have cost at once."""
    counted = {one.id for one in workloads}
    ran = [(one, decided.places[one.id]) for one in workloads if one.id in decided.places]
    costs = [_cost(world, one, place, config) for one, place in ran]
    before = [_cost(world, one, at_once.places[one.id], config) for one, _ in ran]
    lost = [_worth(one, config) for one in workloads if one.id not in decided.places]
    return Tally(
        workloads=len(workloads),
        ran=len(ran),
        broken=sum(
            one.id in decided.broken or _is_over_caps(world, one, place, cost)
            for (one, place), cost in zip(ran, costs, strict=True)
        ),
        moves=sum(id_ in counted for id_ in decided.moves),
        **{one.name: sum(getattr(cost, one.name) for cost in costs) for one in fields(_Cost)},
        lost_gbp=sum(lost),
        energy_at_once_mwh=sum(cost.energy_mwh for cost in before),
        carbon_at_once_kg=sum(cost.carbon_kg for cost in before),
        paid_at_once_gbp=sum(cost.paid_gbp for cost in before),
        plans=len(decided.gaps),
        gap_gbp=sum(gap.gap_gbp for gap in decided.gaps),
        bound_gbp=sum(gap.bound_gbp for gap in decided.gaps),
        worst_gap=max((gap.gap_gbp / gap.bound_gbp for gap in decided.gaps if gap.bound_gbp > 0), default=0.0),
    )


def _worth(workload: ComputeWorkload, config: Optimizing) -> float:
    value, _ = jobs.value_of(workload, config)
    if value is None:
        raise Invalid(
            f"{workload.job_id} did not run, and nothing says what that cost. Give it a value_gbp, or the "
            "configuration a lost_compute_gbp_mwh."
        )
    return value


def load_mw(world: World, places: Mapping[UUID, Place]) -> Floats:
    """Return what work draws at all sites together in each half hour, (T,), facility power."""
    load = np.zeros(world.half_hours)
    for workload in world.workloads:
        if workload.id in places:
            place = places[workload.id]
            load[list(place.slots)] += float(workload.power_kw) / 1000 * float(world.sites[place.site].pue)
    return load


def _cost(world: World, workload: ComputeWorkload, place: Place, config: Optimizing) -> _Cost:
    slots, site = list(place.slots), world.sites[place.site]
    mwh = _HOURS * float(workload.power_kw) / 1000 * float(site.pue)
    carbon_kg = mwh * float(world.carbon_gco2_kwh[place.site, slots].sum())
    waited = place.slots[-1] + 1 - len(slots) - world.slot(workload.created_at)
    it_mwh = float(workload.power_kw) / 1000 * workload.duration_mins / 60
    return _Cost(
        energy_mwh=mwh * len(slots),
        carbon_kg=carbon_kg,
        energy_gbp=mwh * float(world.price_gbp_mwh[slots].sum()),
        carbon_gbp=config.carbon_price_gbp_t * carbon_kg / 1000,
        stress_gbp=mwh * config.stress_price_gbp_mwh * float(world.stress[slots].sum()),
        migration_gbp=0.0 if site.id == workload.origin_dc_id else float(workload.migration_cost_gbp),
        wait_gbp=config.delay_gbp_mwh_hour[workload.urgency] * it_mwh * waited * _HOURS,
    )


def _is_over_caps(world: World, workload: ComputeWorkload, place: Place, cost: _Cost) -> bool:
    cap, most = workload.carbon_cap_gco2, workload.max_price_gbp
    carbon = world.carbon_gco2_kwh[place.site, list(place.slots)]
    # The planner's rule: work that may be split keeps its cap in each half hour, other work on their mean.
    held = float(carbon.max() if workload.interruptible else carbon.mean())
    return (cap is not None and held > cap + _SLACK) or (
        most is not None and cost.energy_gbp > float(most) + _SLACK
    )
