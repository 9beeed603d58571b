"""Fleets for tests: small random ones, the best plan of which can be found by trying all, and their bound."""

from __future__ import annotations

import itertools
import random
from math import inf

import numpy as np

from pylon.planning.field import Weights
from pylon.planning.fleet import FleetProblem, Jobs, Places, Sites

HOURS = 0.5
WEIGHTS = Weights(carbon_price_gbp_t=100.0, stress_price_gbp_mwh=20.0)


def a_problem(*, sites: int = 2, half_hours: int = 6, jobs: dict | None = None, **field) -> FleetProblem:
    """Return a fleet of roomy sites and jobs of 1 MW for 1 half hour unless told otherwise."""
    grid = (sites, half_hours)
    values = {
        "price_gbp_mwh": np.full(grid, 50.0),
        "carbon_gco2_kwh": np.full(grid, 100.0),
        "stress": np.zeros(half_hours),
        "pue": np.ones(sites),
        "room_mw": np.full(grid, 10.0),
        "room_gpus": np.full(grid, inf),
        "base_mw": np.zeros(grid),
        "ramp_mw": np.full(sites, inf),
    } | field
    return FleetProblem(sites=Sites(**values), jobs=some_jobs(sites, half_hours, **(jobs or {})), weights=WEIGHTS)


def some_jobs(sites: int, horizon: int, *, count: int = 1, **given) -> Jobs:
    values = {
        "half_hours": 1,
        "it_power_mw": 1.0,
        "gpus": 0.0,
        "first_slot": 0,
        "end_slot": horizon,
        "origin": 0,
        "interruptible": False,
        "migration_gbp": 0.0,
        "wait_gbp_per_half_hour": 0.0,
        "carbon_cap_gco2_kwh": inf,
        "max_price_gbp": inf,
        "value_gbp": 1000.0,
    }
    columns = {name: np.broadcast_to(given.pop(name, value), (count,)).copy() for name, value in values.items()}
    allowed = given.pop("allowed", np.ones((count, sites), bool))
    return Jobs(**columns, allowed=allowed, **given)


def random_problem(seed: int, *, count: int = 3, has_ramps: bool = False, has_money: bool = True) -> FleetProblem:
    """Return a small fleet in which room, GPUs, caps and windows bind."""
    dice = random.Random(seed)
    sites, half_hours = dice.randint(1, 2), dice.randint(3, 5)
    grid = (sites, half_hours)

    def draw(shape, low, high):
        return np.array([dice.uniform(low, high) for _ in range(int(np.prod(shape)))]).reshape(shape)

    lengths = np.array([dice.randint(1, min(3, half_hours)) for _ in range(count)])
    first = np.array([dice.randint(0, half_hours - int(length)) for length in lengths])
    present = None
    if dice.random() < 0.4:
        present = Places(
            site=np.array([dice.randrange(-1, sites) for _ in range(count)]),
            slots=np.concatenate([sorted(dice.sample(range(half_hours), int(length))) for length in lengths]),
            offsets=np.concatenate(([0], np.cumsum(lengths))),
        )
    return a_problem(
        sites=sites,
        half_hours=half_hours,
        price_gbp_mwh=draw(grid, -20, 150),
        carbon_gco2_kwh=draw(grid, 20, 300),
        stress=draw(half_hours, 0, 1),
        pue=draw(sites, 1.05, 1.5),
        room_mw=draw(grid, 0, 3.5),
        room_gpus=np.floor(draw(grid, 0, 6)) if dice.random() < 0.5 else np.full(grid, inf),
        base_mw=draw(grid, 0, 0.5),
        ramp_mw=draw(sites, 1, 3) if has_ramps else np.full(sites, inf),
        jobs={
            "count": count,
            "half_hours": lengths,
            "it_power_mw": draw(count, 0.3, 1.5),
            "gpus": np.floor(draw(count, 0, 4)),
            "first_slot": first,
            "end_slot": np.minimum(first + lengths + draw(count, 0, 4).astype(int), half_hours),
            "origin": np.array([dice.randrange(-1, sites) for _ in range(count)]),
            "interruptible": draw(count, 0, 1) < 0.5,
            "migration_gbp": draw(count, 0, 20),
            "wait_gbp_per_half_hour": np.maximum(draw(count, -5, 10), 0),
            "carbon_cap_gco2_kwh": np.where(draw(count, 0, 1) < 0.3, draw(count, 100, 250), inf),
            "max_price_gbp": np.where((draw(count, 0, 1) < 0.4) & has_money, draw(count, 10, 100), inf),
            "value_gbp": draw(count, 20, 400),
            "allowed": draw((count, sites), 0, 1) < 0.8,
            "present": present,
            "leaving_gbp": None if present is None else draw(count, 0, 30),
        },
    )


def options_of(problem: FleetProblem, j: int) -> list[tuple[float, int, tuple[int, ...]]]:
    """Return every place of one job within its own limits, and what it costs, by the words of the formulation."""
    sites, jobs, weights = problem.sites, problem.jobs, problem.weights
    length, first, end = int(jobs.half_hours[j]), int(jobs.first_slot[j]), int(jobs.end_slot[j])
    found = []
    for site in np.flatnonzero(jobs.allowed[j]).tolist():
        for slots in itertools.combinations(range(first, min(end, sites.shape[1])), length):
            if not jobs.interruptible[j] and slots[-1] - slots[0] != length - 1:
                continue
            at = list(slots)
            carbon = sites.carbon_gco2_kwh[site, at]
            worst = carbon.max() if jobs.interruptible[j] else carbon.mean()
            energy = HOURS * jobs.it_power_mw[j] * sites.pue[site]
            if (
                worst > jobs.carbon_cap_gco2_kwh[j]
                or energy * sites.price_gbp_mwh[site, at].sum() > jobs.max_price_gbp[j]
            ):
                continue
            rate = (
                sites.price_gbp_mwh[site, at]
                + weights.carbon_price_gbp_t * carbon / 1000
                + weights.stress_price_gbp_mwh * sites.stress[at]
            )
            cost = energy * rate.sum() + (0 if site == jobs.origin[j] else jobs.migration_gbp[j])
            cost += jobs.wait_gbp_per_half_hour[j] * (slots[-1] + 1 - length - first)
            if jobs.present is not None and jobs.leaving_gbp is not None:
                stays = jobs.present.site[j] == site and tuple(jobs.present.of(j).tolist()) == slots
                cost += 0 if stays else jobs.leaving_gbp[j]
            found.append((float(cost), site, slots))
    return found


def best_cost(problem: FleetProblem) -> float:
    """Return the cost of the best plan, by trying all."""
    jobs = problem.jobs
    choices = [[(float(jobs.value_gbp[j]), -1, ()), *options_of(problem, j)] for j in range(len(jobs))]
    best = inf
    for choice in itertools.product(*choices):
        total = sum(cost for cost, _, _ in choice)
        if total < best and _fits(problem, choice):
            best = total
    return best


def _fits(problem: FleetProblem, choice) -> bool:
    sites, jobs = problem.sites, problem.jobs
    load, gpus = np.zeros(sites.shape), np.zeros(sites.shape)
    for j, (_, site, slots) in enumerate(choice):
        if site >= 0:
            load[site, list(slots)] += jobs.it_power_mw[j] * sites.pue[site]
            gpus[site, list(slots)] += jobs.gpus[j]
    if (load > sites.room_mw + 1e-9).any() or (gpus > sites.room_gpus + 1e-9).any():
        return False
    unmoved, step = np.diff(sites.base_mw, axis=1), np.diff(sites.base_mw + load, axis=1)
    limit = sites.ramp_mw[:, None]
    return bool(
        (step <= np.maximum(limit, unmoved) + 1e-9).all() and (-step <= np.maximum(limit, -unmoved) + 1e-9).all()
    )


__all__ = ["a_problem", "best_cost", "options_of", "random_problem", "some_jobs"]
