"""Workloads, simulated: jobs of every kind that arrive as a Poisson process, fewer when the grid is tight."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, LONDON, half_hours
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DataCentreStatus, WorkloadType, WorkloadUrgency
from pylon.ontology.fleet import DataCentre
from pylon.ontology.identity import derived_uuid
from pylon.sources import _hardware as hardware

__all__ = ["MISSING_STRESS", "STRESS_RESPONSE", "arrivals", "rate_per_half_hour"]

STRESS_RESPONSE: Final = 0.6
"""Share of arrivals that stay away at stress 1 (assumption): the rate is multiplied by 1 - 0.6 x stress."""
MISSING_STRESS: Final = 0.3
"""Stress taken where none is known: a middling day, so a gap in the data neither floods nor starves the fleet."""

# Arrivals by London hour relative to the mean of the week (assumption: people submit jobs, mostly in office hours).
_HOURLY: Final = (0.55, 0.50, 0.45, 0.45, 0.45, 0.50, 0.65, 0.85, 1.15, 1.45, 1.55, 1.50,
                  1.40, 1.45, 1.55, 1.50, 1.40, 1.25, 1.10, 1.00, 0.95, 0.85, 0.80, 0.70)  # fmt: skip
_WEEKDAY, _WEEKEND = 1.08, 0.80  # (5 x 1.08 + 2 x 0.80) / 7 = 1

_LARGEST_SHARE: Final = 0.25  # of the origin's GPUs and of its spare power that one job may take
_LOST_COMPUTE_GBP_MWH: Final = 600.0  # value of compute per MWh of IT energy (assumption)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How jobs of one type are drawn. Ranges are drawn from log-uniformly; all figures are assumptions."""

    share: float
    gpus: tuple[int, int]
    cores: tuple[int, int]
    duration_mins: tuple[float, float]
    slack_mins: tuple[float, float]
    urgency: tuple[float, float, float, float]  # weights of LOW, MEDIUM, HIGH and CRITICAL
    interruptible: float
    carbon_cap: float
    move_gbp: tuple[float, float]


_KINDS: Final[Mapping[WorkloadType, _Kind]] = {
    WorkloadType.TRAINING_RUN: _Kind(
        0.16, (64, 2048), (0, 0), (240, 2160), (360, 4320), (0.45, 0.40, 0.12, 0.03), 0.90, 0.35, (5, 80)
    ),
    WorkloadType.INFERENCE_BATCH: _Kind(
        0.24, (16, 256), (0, 0), (30, 240), (30, 720), (0.15, 0.45, 0.32, 0.08), 0.30, 0.20, (0.5, 6)
    ),
    WorkloadType.RAG_QUERY: _Kind(
        0.15, (4, 32), (0, 0), (10, 60), (5, 60), (0.02, 0.18, 0.50, 0.30), 0.0, 0.05, (0.1, 1)
    ),
    WorkloadType.FINE_TUNING: _Kind(
        0.16, (8, 128), (0, 0), (60, 600), (180, 2160), (0.30, 0.45, 0.20, 0.05), 0.50, 0.30, (1, 15)
    ),
    WorkloadType.DATA_PROCESSING: _Kind(
        0.21, (0, 0), (512, 16384), (60, 480), (240, 1440), (0.50, 0.35, 0.12, 0.03), 0.40, 0.25, (1, 20)
    ),
    WorkloadType.OTHER: _Kind(
        0.08, (0, 0), (128, 2048), (30, 240), (60, 720), (0.30, 0.45, 0.20, 0.05), 0.20, 0.10, (0.2, 3)
    ),
}
_SLACK_FACTOR: Final = dict(zip(WorkloadUrgency, (1.4, 1.0, 0.5, 0.1), strict=True))


def arrivals(
    *,
    seed: int,
    operator_id: UUID,
    data_centres: Sequence[DataCentre],
    regions: Mapping[UUID, int],
    since: datetime,
    until: datetime,
    stress: Mapping[datetime, float],
    per_hour: float = 4.0,
) -> list[ComputeWorkload]:
    """Return the jobs that arrive in [since, until), in order of arrival, pending and not yet placed.

    A Poisson process of `rate_per_half_hour`. What a half hour brings follows from the seed, the operator, the
    fleet and the stress of that half hour (`stress` is keyed by its start, UTC): more stress thins the arrivals
    that less stress would have let in, and adds none. `regions` gives each region's number by its id.
    Raises `Invalid` when there is no data centre to come from, or one in a region that `regions` does not name.
    """
    sites = sorted(
        (site for site in data_centres if site.status is not DataCentreStatus.OFFLINE), key=lambda site: site.id
    )
    if not sites:
        raise Invalid("Workloads need a data centre that is not OFFLINE to originate at; none was given.")
    unknown = {str(site.region_id) for site in sites} - {str(region_id) for region_id in regions}
    if unknown:
        raise Invalid(f"regions does not name the regions {sorted(unknown)}, where data centres stand.")
    source = _Arrivals(seed, operator_id, sites, regions)
    jobs = (
        job
        for start in half_hours(since, until)
        for job in source.in_half_hour(start, per_hour, _known(stress.get(start)))
    )
    return [job for job in jobs if since <= job.created_at < until]


def rate_per_half_hour(start: datetime, per_hour: float, stress: float | None) -> float:
    """Return the mean number of arrivals in the half hour at `start`.

    `per_hour` is the mean of a week without stress. None stands for MISSING_STRESS.
    """
    local = start.astimezone(LONDON)
    shape = _HOURLY[local.hour] * 24 / sum(_HOURLY) * (_WEEKEND if local.weekday() >= 5 else _WEEKDAY)
    return per_hour / 2 * shape * (1 - STRESS_RESPONSE * _known(stress))


class _Arrivals:
    """Draws jobs. Every candidate has a generator of its own, so none disturbs another."""

    def __init__(
        self, seed: int, operator_id: UUID, sites: Sequence[DataCentre], regions: Mapping[UUID, int]
    ) -> None:
        self._seed = seed
        self._operator_id = operator_id
        self._sites = sites
        self._regions = regions
        self._reachable = sorted({regions[site.region_id] for site in sites})
        capacity = [float(site.total_capacity_mw) for site in sites]
        gpus = [float(site.gpu_count or 0) for site in sites]
        self._cpu_weights = capacity if any(capacity) else None
        self._gpu_weights = gpus if any(gpus) else self._cpu_weights

    def in_half_hour(self, start: datetime, per_hour: float, stress: float) -> list[ComputeWorkload]:
        """Return the jobs of one half hour: what would come without stress, less what stress turns away."""
        rate = rate_per_half_hour(start, per_hour, 0.0)
        if rate <= 0:
            return []
        draw = random.Random(f"{self._seed}/{self._operator_id}/{start.isoformat()}")
        jobs: list[ComputeWorkload] = []
        number, elapsed = 0, draw.expovariate(rate)
        while elapsed < 1:
            if draw.random() >= STRESS_RESPONSE * stress:
                jobs.append(self._job(start, number, elapsed))
            number, elapsed = number + 1, elapsed + draw.expovariate(rate)
        return jobs

    def _job(self, start: datetime, number: int, elapsed: float) -> ComputeWorkload:
        name = f"SIM-{self._seed}-{start:%Y%m%dT%H%MZ}-{number}"
        draw = random.Random(f"{name}/{self._operator_id}")
        workload_type = draw.choices(list(_KINDS), [kind.share for kind in _KINDS.values()])[0]
        kind = _KINDS[workload_type]
        origin = draw.choices(self._sites, self._gpu_weights if kind.gpus[1] else self._cpu_weights)[0]
        gpus, cores, power_kw = _size(draw, kind, origin)
        urgency = draw.choices(list(WorkloadUrgency), kind.urgency)[0]
        duration_mins = round(_log_uniform(draw, kind.duration_mins))
        deferral_mins = round(_log_uniform(draw, kind.slack_mins) * _SLACK_FACTOR[urgency])
        energy_kwh = round(power_kw * duration_mins / 60, 2)
        created_at = start + timedelta(seconds=int(elapsed * HALF_HOUR.total_seconds()))
        # A job that starts as late as it may still ends before its deadline, with a little to spare.
        latest_end = timedelta(minutes=round(1.15 * deferral_mins) + duration_mins)
        facility_mwh = energy_kwh / 1000 * float(origin.pue)
        return ComputeWorkload(
            id=derived_uuid(created_at, "workload", str(self._operator_id), name),
            job_id=name,
            operator_id=self._operator_id,
            origin_dc_id=origin.id,
            workload_type=workload_type,
            urgency=urgency,
            required_gpu_mins=gpus * duration_mins,
            required_cpu_cores=cores,
            required_memory_gb=gpus * hardware.GB_PER_GPU + (0 if gpus else cores * hardware.GB_PER_CORE),
            estimated_energy_kwh=_decimal(energy_kwh, 2),
            duration_mins=duration_mins,
            power_kw=_decimal(power_kw, 3),
            interruptible=draw.random() < kind.interruptible,
            carbon_cap_gco2=draw.randrange(80, 260, 10) if draw.random() < kind.carbon_cap else None,
            max_price_gbp=_decimal(facility_mwh * draw.uniform(80, 220), 2) if draw.random() < 0.2 else None,
            deadline=created_at + latest_end,
            deferral_window_mins=deferral_mins,
            allowed_region_ids=self._allowed(draw, origin),
            migration_cost_gbp=_decimal(_log_uniform(draw, kind.move_gbp), 2),
            value_gbp=_decimal(energy_kwh / 1000 * _LOST_COMPUTE_GBP_MWH * draw.uniform(0.8, 1.5), 2),
            is_simulated=True,
            created_at=created_at,
        )

    def _allowed(self, draw: random.Random, origin: DataCentre) -> list[int] | None:
        """Return where the job may run: mostly anywhere, now and then the origin alone or a few regions with it."""
        home, lot = self._regions[origin.region_id], draw.random()
        if lot < 0.15:
            return [home]
        if lot < 0.35:
            few = draw.sample(self._reachable, min(4, len(self._reachable)))
            return sorted({home, *few})
        return None


def _size(draw: random.Random, kind: _Kind, origin: DataCentre) -> tuple[int, int, float]:
    """Return GPUs, CPU cores and IT power in kW: what the kind asks for, as far as the origin can give it."""
    spare_kw = _LARGEST_SHARE * 1000 * float((origin.total_capacity_mw - origin.base_load_mw) / origin.pue)
    if kind.gpus[1]:
        fitting = spare_kw / hardware.KW_PER_GPU
        if origin.gpu_count is not None:
            fitting = min(fitting, _LARGEST_SHARE * origin.gpu_count)
        gpus = max(int(min(_log_uniform(draw, kind.gpus), fitting)), 1)
        return gpus, gpus * hardware.CORES_PER_GPU, round(gpus * hardware.KW_PER_GPU, 3)
    cores = max(int(min(_log_uniform(draw, kind.cores), spare_kw / hardware.KW_PER_CORE)), 1)
    return 0, cores, round(cores * hardware.KW_PER_CORE, 3)


def _known(stress: float | None) -> float:
    if stress is None or math.isnan(stress):
        return MISSING_STRESS
    return min(max(float(stress), 0.0), 1.0)


def _log_uniform(draw: random.Random, bounds: tuple[float, float]) -> float:
    return math.exp(draw.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _decimal(value: float, places: int) -> Decimal:
    return Decimal(str(round(value, places)))
