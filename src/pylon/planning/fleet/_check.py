"""The independent check of a plan: every limit and the cost worked out again, with arrays alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pylon.planning.field import HALF_HOUR_MINS, Floats
from pylon.planning.fleet._plan import Plan
from pylon.planning.fleet._problem import Codes, Flags, FleetProblem

__all__ = ["Breach", "check"]

HOURS = HALF_HOUR_MINS / 60
TOLERANCE = 1e-6  # MW, GPUs, GBP and gCO2/kWh that rounding may make


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A limit that a plan does not keep to; of a job, or of a site in a half hour."""

    limit: str
    excess: float
    job: int | None = None
    site: int | None = None
    slot: int | None = None


def check(problem: FleetProblem, plan: Plan) -> tuple[Breach, ...]:
    """Return every limit that `plan` breaks, a cost or bound that is not what it says among them; none if all hold.

    Fixed jobs may exceed limits, but keep their place; where they alone exceed a site's, others may add nothing.
    """
    if not len(problem.jobs) or not problem.sites.pue.size:
        return ()
    return (
        *_fixed_breaches(problem, plan),
        *_check_jobs(problem, plan),
        *_check_sites(problem, plan),
        *_check_cost(problem, plan),
    )


def _check_jobs(problem: FleetProblem, plan: Plan) -> list[Breach]:
    jobs, sites = problem.jobs, problem.sites
    runs, owners, site, slots = _use(problem, plan)
    free = runs & ~_fixed(problem)
    starts, lengths = plan.places.offsets[:-1], jobs.half_hours
    steps = np.append(np.diff(plan.places.slots), 1)
    inner = np.append(np.diff(owners) == 0, False)
    disorder = np.bincount(owners[inner & (steps < 1)], minlength=len(jobs))
    pauses = np.bincount(owners[inner & (steps > 1)], minlength=len(jobs))
    first, last = plan.places.slots[starts], plan.places.slots[starts + lengths - 1]
    carbon, price = sites.carbon_gco2_kwh[site, slots], sites.price_gbp_mwh[site, slots]
    known_price, known_carbon = (np.isfinite(v).any() for v in (sites.price_gbp_mwh, sites.carbon_gco2_kwh))
    unknown = (np.isnan(carbon) & known_carbon) | (np.isnan(price) & known_price)
    capped = sites.cap_gco2_kwh[site, slots]
    mean: Floats = np.add.reduceat(capped, starts) / lengths
    worst = np.where(jobs.interruptible, np.maximum.reduceat(capped, starts), mean)
    power = jobs.it_power_mw * sites.pue[np.maximum(plan.places.site, 0)]
    money = HOURS * power * np.add.reduceat(price, starts)
    kept_sites = np.maximum(plan.places.site, 0)
    rules: tuple[tuple[str, NDArray[np.floating[Any]]], ...] = (
        ("region", 1.0 - jobs.allowed[np.arange(len(jobs)), kept_sites]),
        ("order", disorder.astype(np.float64)),
        ("one_piece", np.where(jobs.interruptible, 0, pauses).astype(np.float64)),
        ("first_slot", np.maximum(jobs.first_slot - first, 0).astype(np.float64)),
        ("latest_end", np.maximum(last + 1 - jobs.end_slot, 0).astype(np.float64)),
        ("signals_known", np.bincount(owners[unknown], minlength=len(jobs)).astype(np.float64)),
        ("carbon_cap", _excess(worst, jobs.carbon_cap_gco2_kwh)),
        ("max_price", _excess(money, jobs.max_price_gbp)),
    )
    return [
        Breach(limit=name, excess=float(excess[job]), job=job)
        for name, excess in rules
        for job in np.flatnonzero(free & (excess > TOLERANCE)).tolist()
    ]


def _fixed_breaches(problem: FleetProblem, plan: Plan) -> list[Breach]:
    present, is_fixed = problem.jobs.present, _fixed(problem)
    return [
        Breach(limit="fixed", excess=1.0, job=job)
        for job in np.flatnonzero(is_fixed).tolist()
        if present is not None
        and (plan.places.site[job] != present.site[job] or not np.array_equal(plan.places.of(job), present.of(job)))
    ]


def _check_sites(problem: FleetProblem, plan: Plan) -> list[Breach]:
    sites, jobs = problem.sites, problem.jobs
    load, gpus = _taken(problem, plan, np.ones(len(jobs), np.bool_))
    fixed_load, fixed_gpus = _taken(problem, plan, _fixed(problem))
    breaches = [
        Breach(limit=name, excess=float(excess[site, slot]), site=site, slot=slot)
        for name, excess in (
            ("power_mw", load - np.maximum(sites.room_mw, fixed_load)),
            ("gpus", gpus - np.maximum(sites.room_gpus, fixed_gpus)),
        )
        for site, slot in np.argwhere(excess > TOLERANCE).tolist()
    ]
    step, unmoved = np.diff(sites.base_mw + load, axis=1), np.diff(sites.base_mw + fixed_load, axis=1)
    for name, sign in (("rise", 1.0), ("fall", -1.0)):
        excess = sign * step - np.maximum(sites.ramp_mw[:, None], sign * unmoved)
        for site, slot in np.argwhere(excess > TOLERANCE).tolist():
            breaches.append(Breach(limit=name, excess=float(excess[site, slot]), site=site, slot=slot))
    return breaches


def _check_cost(problem: FleetProblem, plan: Plan) -> list[Breach]:
    """Compare what the plan says it costs with what it does."""
    jobs, sites, weights = problem.jobs, problem.sites, problem.weights
    runs, owners, site, slots = _use(problem, plan)
    held = runs[owners]
    energy = HOURS * jobs.it_power_mw[owners] * sites.pue[site]
    carbon = weights.carbon_price_gbp_t * sites.carbon_gco2_kwh / 1000
    stress = np.repeat(weights.stress_price_gbp_mwh * sites.stress[None, :], sites.shape[0], axis=0)
    rate = sum(np.where(np.isfinite(term), term, 0.0) for term in (sites.price_gbp_mwh, carbon, stress))
    total = float((energy * np.asarray(rate)[site, slots])[held].sum()) + float(jobs.value_gbp[~runs].sum())
    total += float(jobs.migration_gbp[runs & (plan.places.site != jobs.origin)].sum())
    last = plan.places.slots[plan.places.offsets[1:] - 1]
    wait = jobs.wait_gbp_per_half_hour * (last + 1 - jobs.half_hours - jobs.first_slot)
    total += float(wait[runs].sum())
    if jobs.present is not None and jobs.leaving_gbp is not None:
        moved = np.bincount(owners[plan.places.slots != jobs.present.slots], minlength=len(jobs)) > 0
        moved |= plan.places.site != jobs.present.site
        total += float(jobs.leaving_gbp[runs & moved].sum())
    breaches = []
    for name, excess in (("cost", abs(total - plan.cost.total)), ("bound", plan.bound_gbp - plan.cost.total)):
        if excess > TOLERANCE * max(1.0, abs(total)):
            breaches.append(Breach(limit=name, excess=excess))
    return breaches


def _use(problem: FleetProblem, plan: Plan) -> tuple[Flags, Codes, Codes, Codes]:
    """Return which jobs run (N,); and of each half hour of each job its job, site and slot, 0 for none."""
    runs: Flags = plan.places.site >= 0
    owners = np.repeat(np.arange(len(problem.jobs)), problem.jobs.half_hours)
    site = np.maximum(plan.places.site, 0)[owners]
    return runs, owners, site, np.clip(plan.places.slots, 0, problem.sites.shape[1] - 1)


def _fixed(problem: FleetProblem) -> Flags:
    fixed = problem.jobs.is_fixed
    return np.zeros(len(problem.jobs), np.bool_) if fixed is None else fixed


def _taken(problem: FleetProblem, plan: Plan, which: Flags) -> tuple[Floats, Floats]:
    """Return the MW and the GPUs (D, T) that these jobs take."""
    jobs, sites = problem.jobs, problem.sites
    runs, owners, site, slots = _use(problem, plan)
    held = (runs & which)[owners]
    power, gpus = np.zeros(sites.shape), np.zeros(sites.shape)
    at = site[held], slots[held]
    np.add.at(power, at, (jobs.it_power_mw[owners] * sites.pue[site])[held])
    np.add.at(gpus, at, jobs.gpus[owners][held])
    return power, gpus


def _excess(values: Floats, most: Floats) -> Floats:
    return np.where(np.isfinite(most), values - np.where(np.isfinite(most), most, 0.0), 0.0)
