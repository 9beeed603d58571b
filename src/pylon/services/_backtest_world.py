"""The world of a back-test: what came, what was forecast of it, the sites and the work that arrives.

Recorded: national carbon and demand, their forecasts as far as they were kept. Simulated, and labelled so: prices,
what regions make of the national carbon, sites, workloads, and forecasts by lead (`_backtest_vintages`).

Work arrives on the half hour and lasts whole half hours, in which it draws the same energy. So the bound of the
fleet planner, which knows whole half hours alone, is one for every policy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final
from uuid import UUID

import numpy as np

from pylon.agents import jobs
from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, LONDON
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import OperatorType
from pylon.ontology.fleet import DataCentre, Operator
from pylon.ontology.identity import derived_uuid
from pylon.planning import stress
from pylon.planning.field import HALF_HOUR_MINS, Field, Floats
from pylon.services._backtest_record import Record
from pylon.services._backtest_vintages import LEADS, Errors, served, vintages
from pylon.sources import synthetic_fleet, synthetic_grid, synthetic_price, synthetic_workloads

__all__ = ["SIMULATED", "World", "make_world"]

SIMULATED: Final = ("prices", "regional carbon", "forecasts by lead", "sites", "workloads")
"""What of a back-test is not recorded."""

_FOUNDED: Final = datetime(2023, 1, 1, tzinfo=UTC)
_REGIONS: Final = range(1, 15)
_HOURS_A_WEEK: Final = 168


@dataclass(frozen=True, kw_only=True)
class World:
    """T half hours at D sites."""

    starts_at: datetime
    sites: tuple[DataCentre, ...]
    """Sorted by id."""
    regions: tuple[int, ...]
    """The region number of each site."""
    national_gco2_kwh: Floats
    """(T,). What came; so are the next three."""
    price_gbp_mwh: Floats
    stress: Floats
    carbon_gco2_kwh: Floats
    """(D, T)."""
    forecasts_gco2_kwh: Floats
    """(T, LEADS). Of national carbon, as served in each half hour of the next LEADS."""
    stress_forecast: Floats
    """(T,)."""
    arrivals: tuple[tuple[ComputeWorkload, ...], ...]
    """By half hour."""

    @property
    def half_hours(self) -> int:
        """T."""
        return self.stress.size

    @cached_property
    def room(self) -> Floats:
        """(4, D, T). What work may take up of each of `planning.field.RESOURCES`."""
        rows = [
            (float(site.total_capacity_mw - site.base_load_mw), site.gpu_count, site.cpu_cores, site.memory_gb)
            for site in self.sites
        ]
        has = np.array([[math.inf if count is None else float(count) for count in row] for row in rows])
        return np.repeat(has.T[:, :, None], self.half_hours, axis=2)

    @cached_property
    def workloads(self) -> tuple[ComputeWorkload, ...]:
        """All that arrive, in order."""
        return tuple(workload for those in self.arrivals for workload in those)

    def at(self, slot: int) -> datetime:
        """Return the start of half hour number `slot`."""
        return self.starts_at + slot * HALF_HOUR

    def slot(self, at: datetime) -> int:
        """Return the number of the half hour that `at` lies in."""
        return (at - self.starts_at) // HALF_HOUR

    def end_slot(self, workload: ComputeWorkload) -> int:
        """Return the half hour before which a workload must have ended."""
        latest = jobs.latest_end(workload)
        return self.half_hours if latest is None else min(self.slot(latest), self.half_hours)

    def actual(self) -> Field:
        """Return the field of everything that came, with nothing placed."""
        return self._field(self.carbon_gco2_kwh, self.price_gbp_mwh, self.stress, self.room, None)

    def forecast(self, slot: int, room: Floats, scarcity_gbp_mwh: Floats | None = None) -> Field:
        """Return the field as seen in half hour `slot`, from that one on; `room` (4, D, T) is what is free."""
        until = min(slot + LEADS, self.half_hours)
        national = self.forecasts_gco2_kwh[slot, : until - slot]
        return self._field(
            national * self._shares[:, slot:until],
            self.price_gbp_mwh[slot:until],
            self.stress_forecast[slot:until],
            room[:, :, slot:until].copy(),  # what is seen may be occupied without booking it
            scarcity_gbp_mwh,
        )

    @cached_property
    def _shares(self) -> Floats:
        """(D, T). Carbon at each site for each gram of the national."""
        return self.carbon_gco2_kwh / self.national_gco2_kwh

    def _field(
        self, carbon: Floats, price: Floats, strained: Floats, room: Floats, scarcity_gbp_mwh: Floats | None
    ) -> Field:
        return Field(
            price_gbp_mwh=np.repeat(price[None, :], len(self.sites), axis=0),
            carbon_gco2_kwh=carbon,
            stress=strained,
            scarcity_gbp_mwh=np.zeros_like(carbon) if scarcity_gbp_mwh is None else scarcity_gbp_mwh,
            room=room,
            is_open=np.ones(len(self.sites), np.bool_),
            pue=np.array([float(site.pue) for site in self.sites]),
        )


def make_world(
    record: Record, errors: Errors, *, since: datetime, until: datetime, per_week: float, seed: int
) -> World:
    """Return the half hours of `record` as a world in which work arrives in [since, until).

    Work that could not end within the record by running at once is left out. Raises `Invalid` where national carbon
    is not known.
    """
    carbon, _ = record.carbon()
    starts = [record.starts_at + row * HALF_HOUR for row in range(record.half_hours)]
    if unknown := int(np.isnan(carbon).sum()):
        at = starts[int(np.flatnonzero(np.isnan(carbon))[0])]
        raise Invalid(
            f"The record lacks national carbon. Half hours without: {unknown}, the first at {at:%Y-%m-%d %H:%M} "
            "UTC. Choose other days, or add a file that has it."
        )
    given, demand_forecast_mw = vintages(record, carbon, errors, seed)
    sites, numbers = _sites(seed)
    regional = synthetic_grid.regional_carbon(seed, starts, carbon)
    return World(
        starts_at=record.starts_at,
        sites=sites,
        regions=tuple(numbers[site.region_id] for site in sites),
        national_gco2_kwh=carbon,
        price_gbp_mwh=synthetic_price.prices_gbp_mwh(seed, starts),
        stress=_stress(starts, record.demand_mw),
        carbon_gco2_kwh=np.stack([regional[:, numbers[site.region_id] - 1] for site in sites]),
        forecasts_gco2_kwh=served(given, record.starts_at),
        stress_forecast=_stress(starts, demand_forecast_mw),
        arrivals=_arrivals(sites, numbers, starts, since, until, per_week=per_week, seed=seed),
    )


def _stress(starts: Sequence[datetime], demand_mw: Floats) -> Floats:
    """Return the score of demand alone: a simulated price may not enter one that is not labelled simulated."""
    is_winter = [at.astimezone(LONDON).month in stress.WINTER_MONTHS for at in starts]
    return stress.score(stress.Signals(is_winter=is_winter, demand_mw=demand_mw)).scores


def _sites(seed: int) -> tuple[tuple[DataCentre, ...], dict[UUID, int]]:
    """Return the simulated home operator's sites, and each region's number by its id."""
    ids = {number: derived_uuid(_FOUNDED, "backtest region", str(number)) for number in _REGIONS}
    home = Operator(
        id=derived_uuid(_FOUNDED, "backtest operator"),
        name="Back-test (simulated)",
        operator_type=OperatorType.COMPUTE_OPERATOR,
        email="backtest@example.org",
        is_simulated=True,
        created_at=_FOUNDED,
        updated_at=_FOUNDED,
    )
    fleet = synthetic_fleet.generate(seed=seed, at=_FOUNDED, home_operator=home, region_ids=ids)
    sites = [site for site in fleet.data_centres if site.operator_id == home.id]
    return tuple(sorted(sites, key=lambda site: site.id)), {id_: number for number, id_ in ids.items()}


def _arrivals(
    sites: tuple[DataCentre, ...],
    numbers: dict[UUID, int],
    starts: Sequence[datetime],
    since: datetime,
    until: datetime,
    *,
    per_week: float,
    seed: int,
) -> tuple[tuple[ComputeWorkload, ...], ...]:
    # Without a stress to go by the rate is thinned by a middling one, which is made good here.
    thinned = 1 - synthetic_workloads.STRESS_RESPONSE * synthetic_workloads.MISSING_STRESS
    found = synthetic_workloads.arrivals(
        seed=seed,
        operator_id=sites[0].operator_id,
        data_centres=sites,
        regions=numbers,
        since=since - HALF_HOUR,
        until=until - HALF_HOUR,
        stress={},
        per_hour=per_week / _HOURS_A_WEEK / thinned,
    )
    by_slot: list[list[ComputeWorkload]] = [[] for _ in starts]
    end = starts[-1] + HALF_HOUR
    for workload in map(_on_the_half_hour, found):
        if starts[0] <= workload.created_at and workload.created_at + _duration(workload) <= end:
            by_slot[(workload.created_at - starts[0]) // HALF_HOUR].append(workload)
    return tuple(map(tuple, by_slot))


def _on_the_half_hour(workload: ComputeWorkload) -> ComputeWorkload:
    """Return the workload as arriving with the next half hour and lasting whole ones, with the same energy."""
    arrives = _next_half_hour(workload.created_at)
    mins = -(-workload.duration_mins // HALF_HOUR_MINS) * HALF_HOUR_MINS
    may_wait_mins = (workload.deferral_window_mins or 0) // HALF_HOUR_MINS * HALF_HOUR_MINS
    power_kw = workload.power_kw * workload.duration_mins / mins
    return workload.model_copy(
        update={
            "created_at": arrives,
            "duration_mins": mins,
            "power_kw": power_kw.quantize(Decimal("0.000001")),
            "required_gpu_mins": -(-(workload.required_gpu_mins or 0) * mins // workload.duration_mins),
            "deferral_window_mins": may_wait_mins,
            "deadline": arrives + timedelta(minutes=may_wait_mins + mins),
        }
    )


def _next_half_hour(at: datetime) -> datetime:
    return at + (_FOUNDED - at) % HALF_HOUR


def _duration(workload: ComputeWorkload) -> timedelta:
    return timedelta(minutes=workload.duration_mins)
