from __future__ import annotations

import dataclasses
import itertools
import math
import random

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.planning import arrival
from pylon.planning.arrival import LIMITS, SiteRefusal
from pylon.planning.field import Field, Job, Option, Terms, Weights

NAN = math.nan
WEIGHTS = Weights(carbon_price_gbp_t=100.0, stress_price_gbp_mwh=20.0)


def a_field(sites: int = 2, half_hours: int = 6, **changed: object) -> Field:
    """Return a field where everything is known, open, free and the same everywhere, but for what is `changed`."""
    cells = np.ones((sites, half_hours))
    values = {
        "price_gbp_mwh": 80 * cells,
        "carbon_gco2_kwh": 150 * cells,
        "stress": np.full(half_hours, 0.3),
        "scarcity_gbp_mwh": 0 * cells,
        "room": np.full((4, sites, half_hours), 1000.0),
        "is_open": np.full(sites, True),
        "pue": np.full(sites, 1.2),
    }
    return Field(**{**values, **{name: np.asarray(value) for name, value in changed.items()}})


def a_job(sites: int = 2, **changed: object) -> Job:
    values = {
        "it_power_mw": 0.5,
        "duration_mins": 60,
        "arrived_mins": 0.0,
        "earliest_mins": 0.0,
        "latest_end_mins": 180.0,
        "interruptible": False,
        "gpus": 8.0,
        "cpu_cores": 64.0,
        "memory_gb": 512.0,
        "carbon_cap_gco2_kwh": NAN,
        "max_price_gbp": NAN,
        "value_gbp": NAN,
        "migration_gbp": 0.0,
        "wait_gbp_per_hour": 0.0,
        "origin": 0,
        "allowed": np.full(sites, True),
    }
    return Job(**{**values, **changed})


# The same by brute force: everything tried, minute sums by hand, nothing shared with the planner.


class Brute:
    """One random case; what each option costs, what forbids it, and the best of all of them."""

    def __init__(self, job: Job, field: Field, weights: Weights):
        self.job, self.field, self.weights = job, field, weights
        self.half_hours = len(field.stress)
        self.sites = len(field.pue)
        self.has_price = bool(np.isfinite(field.price_gbp_mwh).any())
        self.has_carbon = bool(np.isfinite(field.carbon_gco2_kwh).any())

    def minutes(self, spans):
        """Yield (half hour, minutes in it) of some spans; None beyond the field."""
        for begins, ends in spans:
            at = begins
            while at < ends:
                column = int(at // 30)
                until = min(ends, 30.0 * (column + 1))
                yield (column if column < self.half_hours else None), until - at
                at = until

    def sums(self, site, spans):
        mwh_per_min = self.job.it_power_mw * self.field.pue[site] / 60
        names = ("price_gbp_mwh", "carbon_gco2_kwh", "scarcity_gbp_mwh")
        found = {name: 0.0 for name in (*names, "stress")}
        for column, mins in self.minutes(spans):
            for name in names:
                found[name] += mins * mwh_per_min * (NAN if column is None else getattr(self.field, name)[site][column])
            stress = NAN if column is None else self.field.stress[column]
            found["stress"] += 0.0 if math.isnan(stress) else mins * mwh_per_min * stress
        return found

    def energy(self, site, spans):
        return self.sums(site, spans)["price_gbp_mwh"]

    def total(self, site, spans):
        sums, job = self.sums(site, spans), self.job
        total = sums["price_gbp_mwh"] if self.has_price else 0.0
        total += self.weights.carbon_price_gbp_t * sums["carbon_gco2_kwh"] / 1000 if self.has_carbon else 0.0
        total += self.weights.stress_price_gbp_mwh * sums["stress"] + sums["scarcity_gbp_mwh"]
        total += 0.0 if site == job.origin else job.migration_gbp
        return total + job.wait_gbp_per_hour * (spans[-1][1] - job.duration_mins - job.arrived_mins) / 60

    def limits(self, site, spans):
        """Yield every limit that forbids an option."""
        job, field = self.job, self.field
        if not job.allowed[site]:
            yield "region"
        if not field.is_open[site]:
            yield "site_open"
        columns = [column for column, _ in self.minutes(spans) if column is not None]
        needs = (job.it_power_mw * field.pue[site], job.gpus, job.cpu_cores, job.memory_gb)
        for resource, need in enumerate(needs):
            if need > 0 and any(field.room[resource][site][column] + 1e-9 < need for column in columns):
                yield LIMITS[2 + resource]
        for column in columns:
            price_needed = self.has_price or not math.isnan(job.max_price_gbp)
            carbon_needed = self.has_carbon or not math.isnan(job.carbon_cap_gco2_kwh)
            if price_needed and math.isnan(field.price_gbp_mwh[site][column]):
                yield "signals_known"
            if carbon_needed and math.isnan(field.carbon_gco2_kwh[site][column]):
                yield "signals_known"
        if spans[-1][1] > job.latest_end_mins:
            yield "latest_end"
        if spans[-1][1] > 30 * self.half_hours:
            yield "horizon"
        mean = sum(mins * (NAN if column is None else field.carbon_gco2_kwh[site][column]) for column, mins in self.minutes(spans)) / job.duration_mins
        if mean > job.carbon_cap_gco2_kwh + 1e-9:
            yield "carbon_cap"
        if self.energy(site, spans) > job.max_price_gbp + 1e-9:
            yield "max_price"
        if self.total(site, spans) > job.value_gbp + 1e-9:
            yield "value"

    def first_limit(self, site, spans):
        found = set(self.limits(site, spans))
        return next((limit for limit in LIMITS if limit in found), None)

    def pieces(self):
        job, field_mins = self.job, 30 * self.half_hours
        boundaries = [30.0 * k for k in range(-40, self.half_hours + 40)]
        last = job.latest_end_mins - job.duration_mins
        starts = {*boundaries, *(edge - job.duration_mins for edge in boundaries), last}
        found = {start for start in starts if job.earliest_mins < start <= last and start < field_mins}
        return [((start, start + job.duration_mins),) for start in sorted({job.earliest_mins, *found})]

    def splits(self):
        job = self.job
        size = math.ceil(job.duration_mins / 30)
        if not job.interruptible or size == 1:
            return
        rest = job.duration_mins - 30 * (size - 1)
        first = math.ceil(job.earliest_mins / 30)
        for columns in itertools.combinations(range(first, self.half_hours), size):
            if 30 * columns[-1] + rest <= job.latest_end_mins:
                yield tuple((30.0 * c, 30.0 * c + (rest if c == columns[-1] else 30)) for c in columns)

    def best(self, cost=None, ignored=()):
        """Return the least cost of what only `ignored` limits forbid, for each site."""
        cost = cost or self.total
        least = [math.inf] * self.sites
        for site in range(self.sites):
            for spans in itertools.chain(self.pieces(), self.splits()):
                if not set(self.limits(site, spans)) - set(ignored):
                    least[site] = min(least[site], cost(site, spans))
        return least


def a_case(seed: int) -> tuple[Job, Field, Weights]:
    dice = random.Random(seed)
    sites, half_hours = dice.choice([0, 1, 1, 2, 3]), dice.randint(1, 8)

    def cells(low, high, unknown):
        if dice.random() < 0.05:
            return np.full((sites, half_hours), NAN)
        return np.array(
            [[NAN if dice.random() < unknown else dice.uniform(low, high) for _ in range(half_hours)] for _ in range(sites)]
        ).reshape(sites, half_hours)

    unknown = dice.choice([0, 0, 0.1, 0.4])
    room = np.array([[[dice.choice([-1, 0.1, 1, 1, 5, 9, math.inf]) if dice.random() < 0.3 else 50.0 for _ in range(half_hours)] for _ in range(sites)] for _ in range(4)]).reshape(4, sites, half_hours)
    if dice.random() < 0.5:
        room[:] = 50.0
    field = Field(
        price_gbp_mwh=cells(-50, 200, unknown),
        carbon_gco2_kwh=cells(20, 300, unknown),
        stress=np.array([NAN if dice.random() < unknown else dice.random() for _ in range(half_hours)]),
        scarcity_gbp_mwh=np.array([[dice.choice([0, 0, dice.uniform(0, 90)]) for _ in range(half_hours)] for _ in range(sites)]).reshape(sites, half_hours),
        room=room,
        is_open=np.array([dice.random() < 0.85 for _ in range(sites)], bool),
        pue=np.array([dice.uniform(1, 1.8) for _ in range(sites)]),
    )
    earliest = float(dice.choice([0, 0, dice.randint(0, 40)]))
    duration = dice.choice([1, 17, 30, 45, 60, 61, 90, 100, 120, 150, 180])
    power = dice.uniform(0.05, 3)
    job = Job(
        it_power_mw=power,
        duration_mins=duration,
        arrived_mins=earliest - dice.randint(0, 50),
        earliest_mins=earliest,
        latest_end_mins=dice.choice([math.inf, earliest + dice.randint(-20, 260), earliest + duration + dice.randint(0, 200)]),
        interruptible=dice.random() < 0.6,
        gpus=dice.choice([0, 1, 4]),
        cpu_cores=dice.choice([0, 1, 8]),
        memory_gb=dice.choice([0, 1, 8]),
        carbon_cap_gco2_kwh=dice.choice([NAN, dice.uniform(60, 220)]),
        max_price_gbp=dice.choice([NAN, power * duration / 60 * dice.uniform(-20, 150)]),
        value_gbp=dice.choice([NAN, NAN, power * duration / 60 * dice.uniform(20, 250)]),
        migration_gbp=dice.choice([0, dice.uniform(0, 50)]),
        wait_gbp_per_hour=dice.choice([0, 0, dice.uniform(0, 60)]),
        origin=dice.randint(-1, sites - 1),
        allowed=np.array([dice.random() < 0.85 for _ in range(sites)], bool),
    )
    return job, field, Weights(carbon_price_gbp_t=dice.choice([0, 100]), stress_price_gbp_mwh=dice.choice([0, 20]))


@pytest.mark.parametrize("block", range(30))
def test_the_choice_is_that_of_brute_force(block: int) -> None:
    for seed in range(100 * block, 100 * block + 100):
        case = a_case(seed)
        placement, brute = arrival.place(*case), Brute(*case)
        least = brute.best()
        assert placement.is_exact, seed
        assert total_of(placement.chosen) == pytest.approx(min(least, default=math.inf), rel=1e-9, abs=1e-9), seed
        by_site = [math.inf if isinstance(one, SiteRefusal) else one.terms.total for one in placement.by_site]
        assert by_site == pytest.approx(least, rel=1e-9, abs=1e-9), seed
        for option in (*placement.by_site, placement.chosen):
            if isinstance(option, Option):
                assert list(brute.limits(option.site, option.spans)) == [], seed
                assert option.terms.total == pytest.approx(brute.total(option.site, option.spans), rel=1e-9, abs=1e-9)
                assert arrival.evaluate(*case, option.site, option.spans) == option, seed


def total_of(option: Option | None) -> float:
    return option.terms.total if option else math.inf
