from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import random

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.planning import _kernels, _pieces, _split, arrival
from pylon.planning.arrival import LIMITS, SiteRefusal
from pylon.planning.field import Field, Job, Option, Weights

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
        found = dict.fromkeys((*names, "stress"), 0.0)
        for column, mins in self.minutes(spans):
            for name in names:
                found[name] += (
                    mins * mwh_per_min * (NAN if column is None else getattr(self.field, name)[site][column])
                )
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

    def limits(self, site, spans):  # noqa: C901 - one branch a limit
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
        mean = (
            sum(
                mins * (NAN if column is None else self.held_gco2_kwh(site, column))
                for column, mins in self.minutes(spans)
            )
            / job.duration_mins
        )
        if mean > job.carbon_cap_gco2_kwh + 1e-9:
            yield "carbon_cap"
        if self.energy(site, spans) > job.max_price_gbp + 1e-9:
            yield "max_price"
        if self.total(site, spans) > job.value_gbp + 1e-9:
            yield "value"

    def held_gco2_kwh(self, site, column):
        """Return what a carbon cap is held against."""
        upper, mean = self.field.carbon_upper_gco2_kwh, self.field.carbon_gco2_kwh[site][column]
        return mean if upper is None or math.isnan(upper[site][column]) else upper[site][column]

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

    def minutes_of(self, site, cost):
        """Return the pieces that begin with a whole minute, the cheapest first: by sums over arrays."""
        job, field = self.job, self.field
        rate = np.nan_to_num(field.price_gbp_mwh[site])
        if cost == self.total:
            rate = rate + self.weights.carbon_price_gbp_t * np.nan_to_num(field.carbon_gco2_kwh[site]) / 1000
            rate += self.weights.stress_price_gbp_mwh * np.nan_to_num(field.stress) + field.scarcity_gbp_mwh[site]
        sums = np.concatenate([[0], np.cumsum(np.repeat(rate, 30))])
        last = min(job.latest_end_mins, 30 * self.half_hours) - job.duration_mins
        begins = np.arange(math.ceil(job.earliest_mins), max(math.floor(last) + 1, 0))
        costs = (sums[begins + job.duration_mins] - sums[begins]) * job.it_power_mw * field.pue[site] / 60
        costs += job.wait_gbp_per_hour * begins / 60 if cost == self.total else 0
        return [((float(at), float(at + job.duration_mins)),) for at in begins[np.argsort(costs, kind="stable")]]

    def best(self, cost=None, ignored=()):
        """Return the least cost of what only `ignored` limits forbid, for each site."""
        cost = cost or self.total
        least = [math.inf] * self.sites
        for site in range(self.sites):
            for spans in itertools.chain(self.pieces(), self.splits()):
                if not set(self.limits(site, spans)) - set(ignored):
                    least[site] = min(least[site], cost(site, spans))
            for spans in self.minutes_of(site, cost):
                if cost(site, spans) >= least[site] or not set(self.limits(site, spans)) - set(ignored):
                    least[site] = min(least[site], cost(site, spans))
                    break
        return least


def a_case(seed: int) -> tuple[Job, Field, Weights]:
    dice = random.Random(seed)
    sites, half_hours = dice.choice([0, 1, 1, 2, 3]), dice.randint(1, 8)

    def cells(low, high, unknown):
        if dice.random() < 0.05:
            return np.full((sites, half_hours), NAN)
        return np.array(
            [
                [NAN if dice.random() < unknown else dice.uniform(low, high) for _ in range(half_hours)]
                for _ in range(sites)
            ]
        ).reshape(sites, half_hours)

    unknown = dice.choice([0, 0, 0.1, 0.4])
    room = np.array(
        [
            [
                [
                    dice.choice([-1, 0.1, 1, 1, 5, 9, math.inf]) if dice.random() < 0.3 else 50.0
                    for _ in range(half_hours)
                ]
                for _ in range(sites)
            ]
            for _ in range(4)
        ]
    ).reshape(4, sites, half_hours)
    if dice.random() < 0.5:
        room[:] = 50.0
    field = Field(
        price_gbp_mwh=cells(-50, 200, unknown),
        carbon_gco2_kwh=cells(20, 300, unknown),
        stress=np.array([NAN if dice.random() < unknown else dice.random() for _ in range(half_hours)]),
        scarcity_gbp_mwh=np.array(
            [[dice.choice([0, 0, dice.uniform(0, 90)]) for _ in range(half_hours)] for _ in range(sites)]
        ).reshape(sites, half_hours),
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
        latest_end_mins=dice.choice(
            [math.inf, earliest + dice.randint(-20, 260), earliest + duration + dice.randint(0, 200)]
        ),
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
    weights = Weights(carbon_price_gbp_t=dice.choice([0, 100]), stress_price_gbp_mwh=dice.choice([0, 20]))
    if dice.random() < 0.3:
        upper = field.carbon_gco2_kwh + cells(0, 80, unknown)
        field = dataclasses.replace(field, carbon_upper_gco2_kwh=upper)
    return job, field, weights


@pytest.mark.parametrize("block", range(25))
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
                assert option.terms.total == pytest.approx(
                    brute.total(option.site, option.spans), rel=1e-9, abs=1e-9
                )
                assert arrival.evaluate(*case, option.site, option.spans) == option, seed


def total_of(option: Option | None) -> float:
    return option.terms.total if option else math.inf


@pytest.mark.parametrize("block", range(10))
def test_what_is_refused_and_what_binds_are_those_of_brute_force(block: int) -> None:
    for seed in range(100 * block, 100 * block + 100):
        case = a_case(seed)
        placement, brute = arrival.place(*case), Brute(*case)
        pieces = collections.Counter(
            brute.first_limit(site, spans) for site in range(brute.sites) for spans in brute.pieces()
        )
        if not case[0].interruptible:
            assert {name: count for name, count in placement.refused.items() if count} == without_none(pieces), seed
        assert set(placement.refused) == set(LIMITS)
        assert all(placement.refused[name] >= pieces[name] for name in LIMITS), seed
        if placement.chosen is None and brute.sites:
            assert placement.binding == max(without_none(placement.refused, zeros=False), key=LIMITS.index), seed
        else:
            assert placement.binding is None


def without_none(counts, zeros=True):
    return {name: count for name, count in counts.items() if name is not None and (zeros or count)}


def test_the_price_to_fit_is_the_least_that_lets_an_option_through() -> None:
    negotiated = collections.Counter()
    for seed in range(2000):
        job, field, weights = a_case(seed)
        placement, brute = arrival.place(job, field, weights), Brute(job, field, weights)
        if placement.binding not in ("max_price", "value"):
            assert placement.price_to_fit_gbp is None
            assert placement.to_fit is None
            continue
        price, money = placement.price_to_fit_gbp, placement.binding
        assert placement.to_fit.refused_by is None
        least = min(brute.best(brute.energy if money == "max_price" else brute.total, ignored=[money]))
        needs_both = not math.isfinite(least)
        if needs_both:
            least = min(brute.best(brute.total, ignored=["max_price", "value"]))
            assert placement.to_fit.terms.total == pytest.approx(least, rel=1e-9, abs=1e-9), seed
            assert money == "max_price"
        else:
            assert price == pytest.approx(least, rel=1e-9, abs=1e-9), seed
        field_of_money = {"max_price": "max_price_gbp", "value": "value_gbp"}[money]
        for more, fits in ((1e-6, True), (-1e-6, False)):
            changes = {field_of_money: price + more * max(1, abs(price))}
            if needs_both:
                changes["value_gbp"] = placement.to_fit.terms.total + 1e-6
            if not (needs_both and not fits):
                richer = dataclasses.replace(job, **changes)
                assert (arrival.place(richer, field, weights).chosen is not None) is fits, (seed, more)
        negotiated[money, needs_both] += 1
    assert min(negotiated[key] for key in (("max_price", False), ("value", False), ("max_price", True))) >= 5


def test_the_baseline_is_to_run_at_the_earliest_moment_at_origin() -> None:
    for seed in range(300):
        job, field, weights = a_case(seed)
        baseline, brute = arrival.place(job, field, weights).baseline, Brute(job, field, weights)
        if job.origin < 0:
            assert baseline is None
            continue
        spans = ((job.earliest_mins, job.earliest_mins + job.duration_mins),)
        assert (baseline.site, baseline.spans) == (job.origin, spans)
        assert baseline.refused_by == brute.first_limit(job.origin, spans), seed
        assert baseline == arrival.evaluate(job, field, weights, job.origin, spans)


@pytest.mark.parametrize(
    ("caps", "begins"),
    [
        ({}, 60),
        ({"carbon_cap_gco2_kwh": 250.0}, 45),  # 15 minutes at 100 g, 45 at 300
        ({"carbon_cap_gco2_kwh": 249.0}, 44),
        ({"carbon_cap_gco2_kwh": 249.0, "step_mins": 5.0}, 40),
        ({"carbon_cap_gco2_kwh": 249.0, "step_mins": 30.0}, 30),
        ({"carbon_cap_gco2_kwh": 101.0}, 0),
    ],
)
def test_under_a_cap_on_the_mean_it_runs_in_the_last_minute_that_keeps_it(caps: dict, begins: float) -> None:
    carbon, price = [[100, 100, 300, 300]], [[90, 80, 20, 10]]
    field = a_field(1, 4, carbon_gco2_kwh=carbon, price_gbp_mwh=price)
    job = a_job(1, latest_end_mins=120.0, **caps)
    assert arrival.place(job, field, WEIGHTS).chosen.spans == ((begins, begins + 60),)


def test_any_option_is_evaluated_as_by_hand() -> None:
    for seed in range(300):
        job, field, weights = a_case(seed)
        brute, dice = Brute(job, field, weights), random.Random(seed)
        for _ in range(5 if brute.sites else 0):
            site, begins = dice.randrange(brute.sites), float(dice.randint(0, 30 * brute.half_hours + 40))
            spans = [(begins, begins + job.duration_mins)]
            if job.interruptible and job.duration_mins > 1:
                cut = begins + dice.randint(1, job.duration_mins - 1)
                spans = [(begins, cut), (cut + 7, begins + job.duration_mins + 7)]
            option, sums = arrival.evaluate(job, field, weights, site, spans), brute.sums(site, spans)
            assert option.refused_by == brute.first_limit(site, spans), seed
            assert option.terms.energy == pytest.approx(sums["price_gbp_mwh"], rel=1e-9, abs=1e-9, nan_ok=True)
            assert option.carbon_kg == pytest.approx(sums["carbon_gco2_kwh"], rel=1e-9, abs=1e-9, nan_ok=True)
            if field.carbon_upper_gco2_kwh is None:
                assert option.capped_carbon_kg == pytest.approx(option.carbon_kg, nan_ok=True)
            assert option.energy_mwh == pytest.approx(job.it_power_mw * field.pue[site] * job.duration_mins / 60)
            assert option.spans == tuple(spans)


@pytest.mark.parametrize("seed", range(200))
def test_more_room_never_makes_it_dearer(seed: int) -> None:
    job, field, weights = a_case(seed)
    roomier = dataclasses.replace(field, room=field.room + random.Random(seed).choice([0.1, 1, 10]))
    before, after = (total_of(arrival.place(job, one, weights).chosen) for one in (field, roomier))
    assert after <= before + 1e-9


# One limit at a time, and how cells that are not known count.


@pytest.mark.parametrize(
    ("limit", "job", "field"),
    [
        ("region", {"allowed": np.array([False, False])}, {}),
        ("site_open", {}, {"is_open": [False, False]}),
        ("power_mw", {"it_power_mw": 900.0}, {}),
        ("gpus", {"gpus": 1001.0}, {}),
        ("cpu_cores", {"cpu_cores": 1001.0}, {}),
        ("memory_gb", {"memory_gb": 1001.0}, {}),
        ("signals_known", {"carbon_cap_gco2_kwh": 200.0}, {"carbon_gco2_kwh": np.full((2, 6), NAN)}),
        ("signals_known", {"max_price_gbp": 1e6}, {"price_gbp_mwh": np.full((2, 6), NAN)}),
        ("latest_end", {"latest_end_mins": 59.0}, {}),
        ("latest_end", {"earliest_mins": 90.0, "latest_end_mins": 30.0}, {}),
        ("latest_end", {"duration_mins": 600}, {}),
        ("horizon", {"duration_mins": 600, "latest_end_mins": math.inf}, {}),
        ("horizon", {"earliest_mins": 900.0, "latest_end_mins": 2000.0}, {}),
        ("carbon_cap", {"carbon_cap_gco2_kwh": 149.0}, {}),
        ("max_price", {"max_price_gbp": 1.0}, {}),
        ("value", {"value_gbp": 1.0}, {}),
    ],
)
@pytest.mark.parametrize("interruptible", [False, True])
def test_each_limit_is_named_when_it_alone_binds(limit: str, job: dict, field: dict, interruptible: bool) -> None:
    job = a_job(interruptible=interruptible, **{"duration_mins": 90, **job})
    placement = arrival.place(job, a_field(**field), WEIGHTS)
    assert placement.chosen is None
    assert placement.binding == limit
    assert placement.by_site == (SiteRefusal(site=0, limit=limit), SiteRefusal(site=1, limit=limit))
    assert [name for name, count in placement.refused.items() if count] == [limit]
    assert placement.baseline.refused_by == limit


@pytest.mark.parametrize(("origin", "site"), [(2, 2), (-1, 0)])
def test_without_a_difference_it_runs_at_once_at_its_origin_or_else_the_lowest_site(origin: int, site: int) -> None:
    for interruptible in (False, True):
        job = a_job(sites=3, origin=origin, interruptible=interruptible, duration_mins=75, earliest_mins=10.0)
        chosen = arrival.place(job, a_field(sites=3), WEIGHTS).chosen
        assert (chosen.site, chosen.spans) == (site, ((10.0, 85.0),))


def test_room_that_was_rounded_many_times_still_takes_what_fits() -> None:
    room = np.full((4, 1, 6), 20.0)
    for _ in range(11):
        room = np.round(room - 5 / 3, 9)
    job = a_job(sites=1, origin=-1, gpus=5 / 3, it_power_mw=0.0, cpu_cores=0.0, memory_gb=0.0)
    assert arrival.place(job, a_field(sites=1, room=room), WEIGHTS).chosen is not None


def test_moving_a_job_costs_what_it_says() -> None:
    field = a_field(price_gbp_mwh=[[80.0] * 6, [70.0] * 6])
    placed = [arrival.place(a_job(migration_gbp=gbp), field, WEIGHTS).chosen for gbp in (5.9, 6.1)]
    assert [(one.site, one.terms.migration) for one in placed] == [(1, 5.9), (0, 0.0)]


def test_waiting_costs_what_it_says_and_counts_from_arrival() -> None:
    field = a_field(sites=1, price_gbp_mwh=[[90.0, 90.0, 80.0, 80.0, 80.0, 80.0]])
    for gbp_per_hour, begins in ((5.9, 60.0), (6.1, 0.0)):
        job = a_job(sites=1, wait_gbp_per_hour=gbp_per_hour, arrived_mins=-30.0)
        chosen = arrival.place(job, field, WEIGHTS).chosen
        assert (chosen.begins, chosen.terms.wait) == (begins, pytest.approx(gbp_per_hour * (begins + 30) / 60))


def test_an_interrupted_job_takes_the_cheapest_half_hours_and_part_of_the_last() -> None:
    field = a_field(sites=1, price_gbp_mwh=[[10.0, 90.0, 20.0, 90.0, 30.0, 90.0]])
    placement = arrival.place(a_job(sites=1, interruptible=True, duration_mins=70), field, WEIGHTS)
    assert placement.chosen.spans == ((0.0, 30.0), (60.0, 90.0), (120.0, 130.0))
    assert placement.chosen.terms.energy == pytest.approx(0.6 * (0.5 * 10 + 0.5 * 20 + 30 / 6))
    touching = a_field(sites=1, price_gbp_mwh=[[90.0, 10.0, 20.0, 90.0, 30.0, 90.0]])
    spans = arrival.place(a_job(sites=1, interruptible=True, duration_mins=90), touching, WEIGHTS).chosen.spans
    assert spans == ((30.0, 90.0), (120.0, 150.0))


def test_the_carbon_cap_is_on_the_mean_over_the_job() -> None:
    carbon, price = [[100.0, 300.0, 100.0, 300.0, 100.0, 300.0]], [[99.0, 1.0, 99.0, 1.0, 99.0, 1.0]]
    field = a_field(sites=1, carbon_gco2_kwh=carbon, price_gbp_mwh=price)
    for cap, spans in ((200.0, ((0.0, 60.0),)), (100.0, ((0.0, 30.0), (60.0, 90.0)))):
        job = a_job(sites=1, interruptible=True, carbon_cap_gco2_kwh=cap)
        chosen = arrival.place(job, field, Weights(carbon_price_gbp_t=0, stress_price_gbp_mwh=0)).chosen
        assert chosen.spans == spans
        assert chosen.carbon_kg / chosen.energy_mwh == pytest.approx(cap)


def test_room_that_is_short_of_nothing_the_job_takes_is_room() -> None:
    room = np.full((4, 1, 6), -5.0)
    room[0] = 0.1 + 0.2 + 0.3  # 0.6000000000000001 - a hair
    job = a_job(sites=1, gpus=0.0, cpu_cores=0.0, memory_gb=0.0)
    assert arrival.place(job, a_field(sites=1, room=room - [[[1e-10]]]), WEIGHTS).chosen is not None
    assert arrival.place(dataclasses.replace(job, gpus=1.0), a_field(sites=1, room=room), WEIGHTS).binding == "gpus"
    assert arrival.place(job, a_field(sites=1, room=np.full((4, 1, 6), NAN)), WEIGHTS).binding == "power_mw"


def test_what_is_known_nowhere_is_left_out_and_never_zero() -> None:
    nowhere = np.full((2, 6), NAN)
    field = a_field(price_gbp_mwh=nowhere, carbon_gco2_kwh=nowhere, stress=np.full(6, NAN))
    placement = arrival.place(a_job(), field, WEIGHTS)
    terms = placement.chosen.terms
    assert placement.left_out == ("price", "carbon", "stress")
    assert all(
        math.isnan(value) for value in (terms.energy, terms.carbon, terms.stress, placement.chosen.carbon_kg)
    )
    assert (terms.total, placement.chosen.stress_unknown_mins) == (0.0, 60.0)
    assert placement.chosen == placement.by_site[0]


def test_a_half_hour_that_lacks_what_others_have_is_not_used() -> None:
    price = np.full((2, 6), 80.0)
    price[0, :] = NAN
    price[1, 0] = math.inf
    chosen = arrival.place(a_job(), a_field(price_gbp_mwh=price), WEIGHTS).chosen
    assert (chosen.site, chosen.spans) == (1, ((30.0, 90.0),))


def test_stress_that_is_not_known_adds_nothing_and_is_counted() -> None:
    field = a_field(sites=1, half_hours=2, stress=[0.5, NAN])
    chosen = arrival.place(a_job(sites=1, latest_end_mins=60.0), field, WEIGHTS).chosen
    assert (chosen.terms.stress, chosen.stress_unknown_mins) == (pytest.approx(0.6 / 2 * 0.5 * 20), 30.0)


def test_a_field_without_sites_places_nothing() -> None:
    placement = arrival.place(a_job(sites=0, origin=-1), a_field(sites=0), WEIGHTS)
    assert (placement.chosen, placement.baseline, placement.by_site, placement.binding) == (None, None, (), None)


def test_a_search_that_ends_early_says_so() -> None:
    dice = np.random.default_rng(3)
    found = []
    for _ in range(12):
        price, carbon = dice.uniform(0, 200, (1, 97)), dice.uniform(0, 300, (1, 97))
        job = a_job(
            sites=1,
            duration_mins=480,
            latest_end_mins=2910.0,
            interruptible=True,
            carbon_cap_gco2_kwh=90.0,
            max_price_gbp=0.6 * 8 * 60,
        )
        field = a_field(1, 97, price_gbp_mwh=price, carbon_gco2_kwh=carbon, stress=dice.uniform(0, 1, 97))
        placement = arrival.place(job, field, Weights(carbon_price_gbp_t=0, stress_price_gbp_mwh=500))
        found.append(placement.is_exact)
        assert placement.chosen.refused_by is None
    assert set(found) == {True, False}


@pytest.mark.parametrize(
    ("job", "field", "said"),
    [
        ({"duration_mins": 0}, {}, "duration_mins is 0"),
        ({"it_power_mw": -1.0}, {}, "it_power_mw is -1"),
        ({"step_mins": 0.0}, {}, "step_mins is 0.0; it is a minute or more"),
        ({"gpus": NAN}, {}, "gpus is nan"),
        ({"earliest_mins": -1.0}, {}, "earliest_mins is -1"),
        ({"latest_end_mins": NAN}, {}, "latest_end_mins is not a number"),
        ({"wait_gbp_per_hour": -1.0}, {}, "wait_gbp_per_hour is -1"),
        ({"migration_gbp": math.inf}, {}, "migration_gbp is inf"),
        ({"origin": 2}, {}, "origin is 2"),
        ({"allowed": np.array([True])}, {}, "allowed has shape (1,)"),
        ({}, {"pue": [1.2, 0.0]}, "pue is 0"),
        ({}, {"price_gbp_mwh": np.ones((2, 5))}, "price_gbp_mwh has shape (2, 5)"),
        ({}, {"room": np.ones((3, 2, 6))}, "room has shape (3, 2, 6)"),
        ({}, {"stress": []}, "no half hours"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(job: dict, field: dict, said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        arrival.place(a_job(**job), a_field(**field), WEIGHTS)
    assert said in refusal.value.detail


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([], "0 spans"),
        ([(0, 30), (60, 90)], "2 spans"),
        ([(0, 50)], "50.0 minutes"),
        ([(60, 0)], "in order"),
        ([(-60, 0)], "in order"),
    ],
)
def test_spans_that_are_not_the_job_are_refused(spans: list, said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        arrival.evaluate(a_job(), a_field(), WEIGHTS, 0, spans)
    assert said in refusal.value.detail
    with pytest.raises(Invalid, match="no site 2"):
        arrival.evaluate(a_job(), a_field(), WEIGHTS, 2, [(0, 60)])


@pytest.mark.parametrize("interruptible", [False, True])
def test_a_carbon_cap_is_held_against_what_the_carbon_may_come_to_and_nothing_else_is(interruptible: bool) -> None:
    means, upper = [[100.0, 100.0, 120.0, 120.0, 140.0, 140.0]], [[160.0, 160.0, 150.0, 150.0, NAN, NAN]]
    field, weights = (
        a_field(sites=1, carbon_gco2_kwh=means),
        Weights(carbon_price_gbp_t=100, stress_price_gbp_mwh=0),
    )
    careful = dataclasses.replace(field, carbon_upper_gco2_kwh=np.array(upper))
    for cap, begins, held in ((150.0, 60.0, 150.0), (144.0, 96.0, 144.0), (NAN, 0.0, 160.0)):
        job = a_job(sites=1, interruptible=interruptible, carbon_cap_gco2_kwh=cap)
        chosen = arrival.place(job, careful, weights).chosen
        assert chosen.spans == ((begins, begins + 60.0),)
        assert chosen.capped_carbon_kg == pytest.approx(chosen.energy_mwh * held)
        mean = arrival.evaluate(job, field, weights, 0, chosen.spans)
        assert chosen[:-2] == mean[:-2]  # but for what the cap is held against, all is of what is expected
        assert mean.capped_carbon_kg == mean.carbon_kg
    refused = arrival.place(a_job(sites=1, carbon_cap_gco2_kwh=139.0), careful, weights)
    assert (refused.chosen, refused.binding) == (None, "carbon_cap")


def test_a_site_that_was_left_out_of_the_search_is_searched_when_it_is_asked_for() -> None:
    price = np.array([[90.0, 90.0, 10.0, 10.0, 90.0, 90.0]])
    field = a_field(
        price_gbp_mwh=np.concatenate([price, price + 100]), carbon_gco2_kwh=[[150.0, 90.0, 200.0] * 2] * 2
    )
    job = a_job(interruptible=True, carbon_cap_gco2_kwh=140.0, origin=-1)
    placement = arrival.place(job, field, WEIGHTS)
    field.room[:] = 0.0  # what was found does not change with the room
    assert placement.by_site[0] == placement.chosen
    assert placement.by_site[1].terms.total == pytest.approx(placement.chosen.terms.total + 60)


def test_warming_compiles_all_that_placing_needs_once() -> None:
    arrival.warm()
    for seed in range(200):
        _ = arrival.place(*a_case(seed)).by_site
    of_all = (_kernels.choose, _kernels.pieces, _kernels.compare, _kernels.evaluate)
    kernels = (*of_all, _pieces.starts, _split.improve)
    assert {kernel.__name__: len(kernel.signatures) for kernel in kernels} == {
        kernel.__name__: 1 for kernel in kernels
    }
