from __future__ import annotations

import dataclasses
import hashlib
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid
from pylon.planning import fleet
from pylon.planning.fleet import Places, Prices

from .fleets import a_problem, best_cost, options_of, random_problem

SEEDS = range(20)


def random_prices(problem, seed: int) -> Prices:
    dice = np.random.default_rng(seed)

    def draw(mean: float, is_limited: object):
        return dice.exponential(mean, problem.sites.shape) * (dice.random(problem.sites.shape) < 0.5) * is_limited

    edges = np.isfinite(problem.sites.ramp_mw)[:, None] & (
        np.arange(problem.sites.shape[1]) < problem.sites.shape[1] - 1
    )
    return Prices(
        power_gbp_mwh=draw(20, True),
        gpu_gbp_hour=draw(5, np.isfinite(problem.sites.room_gpus)),
        rise_gbp_mwh=draw(5, edges),
        fall_gbp_mwh=draw(5, edges),
    )


@pytest.mark.parametrize("has_ramps", [False, True])
def test_no_plan_costs_less_than_the_bound_and_every_plan_keeps_to_the_limits(has_ramps: bool) -> None:
    exact = 0
    for seed in SEEDS:
        problem = random_problem(seed, has_ramps=has_ramps)
        plan, best = fleet.plan(problem), best_cost(problem)
        assert fleet.check(problem, plan) == ()
        assert plan.bound_gbp <= best + 1e-6 <= plan.cost.total + 2e-6
        assert fleet.bound(problem, plan.prices) == plan.bound_gbp
        assert fleet.bound(problem, random_prices(problem, seed)) <= best + 1e-6
        assert fleet.check(problem, fleet.greedy(problem)) == ()
        exact += plan.cost.total <= best + 1e-6
    assert exact >= 0.95 * len(SEEDS)


def test_without_scarcity_the_bound_is_the_plan_and_each_job_has_its_cheapest_option() -> None:
    for seed in SEEDS:
        problem = random_problem(seed, has_money=False)
        sites = dataclasses.replace(
            problem.sites, room_mw=np.full(problem.sites.shape, 99.0), room_gpus=np.full(problem.sites.shape, inf)
        )
        problem = dataclasses.replace(problem, sites=sites)
        plan, jobs = fleet.plan(problem), problem.jobs
        least = [
            min([float(jobs.value_gbp[j]), *(cost for cost, _, _ in options_of(problem, j))])
            for j in range(len(jobs))
        ]
        assert plan.cost.total == pytest.approx(sum(least))
        assert plan.gap_gbp == pytest.approx(0, abs=1e-9)


def large(count: int = 3200, seed: int = 3, util: float = 1.3):
    """Return a simulated fleet too large for its room."""
    dice = np.random.default_rng(seed)
    sites, half_hours = 3, 24
    length = dice.integers(1, 5, count)
    first = dice.integers(0, half_hours - 5, count)
    power = dice.lognormal(0, 0.5, count)
    room = np.full((sites, half_hours), (power * length).sum() / util / half_hours / sites)
    return a_problem(
        sites=sites,
        half_hours=half_hours,
        price_gbp_mwh=dice.uniform(20, 120, (sites, half_hours)),
        carbon_gco2_kwh=dice.uniform(40, 240, (sites, half_hours)),
        room_mw=room,
        jobs={
            "count": count,
            "half_hours": length,
            "it_power_mw": power,
            "first_slot": first,
            "end_slot": first + length + dice.integers(0, 12, count),
            "origin": dice.integers(0, sites, count),
            "interruptible": dice.random(count) < 0.4,
            "migration_gbp": dice.uniform(0, 3, count),
            "value_gbp": power * length * dice.uniform(50, 300, count),
        },
    )


def test_a_large_fleet_is_within_its_gap_and_says_who_does_not_run() -> None:
    problem = large()
    plan = fleet.plan(problem)
    assert fleet.check(problem, plan) == ()
    assert 0 <= plan.gap < 0.01
    assert {one.job for one in plan.rejected} == set(np.flatnonzero(plan.places.site < 0).tolist())
    lost = [one for one in plan.rejected if one.has_option]
    assert len(lost) > 100
    for one in lost:
        assert one.limit == "power_mw"
        assert one.price_to_fit_gbp >= problem.jobs.value_gbp[one.job]
    assert {one.limit for one in plan.binding} == {"power_mw"}
    assert min(one.price for one in plan.binding) > 0


def test_an_offer_of_what_would_make_it_fit_makes_it_fit() -> None:
    problem = large()
    lost = [one for one in fleet.plan(problem).rejected if one.has_option]
    values = problem.jobs.value_gbp.copy()
    for one in lost[:20]:
        values[one.job] = 1.2 * one.price_to_fit_gbp + 10
    richer = dataclasses.replace(problem, jobs=dataclasses.replace(problem.jobs, value_gbp=values))
    site = fleet.plan(richer).places.site
    assert sum(site[one.job] >= 0 for one in lost[:20]) >= 18


def test_progress_is_told_in_order() -> None:
    said: list[tuple[str, int, int]] = []
    fleet.plan(large(300), progress=lambda *what: said.append(what))
    assert [stage for stage, done, _ in said if done == 0] == ["prices", "plan"]
    assert all(done < of for _, done, of in said)


def test_prices_of_a_standing_plan_make_the_next_one_shorter() -> None:
    problem = large()
    first = fleet.plan(problem)
    cold, warm = [], []
    fleet.plan(problem, progress=lambda *what: cold.append(what))
    again = fleet.plan(problem, first.prices, lambda *what: warm.append(what))
    assert len(warm) < len(cold)
    assert again.gap < 0.01


def digest(plan) -> str:
    parts = (plan.places.site, plan.places.slots, plan.prices.stack(), np.array([plan.bound_gbp, plan.cost.total]))
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def in_order(problem, order):
    """Return the same problem with its jobs in another order."""
    jobs = problem.jobs
    columns = {
        field.name: getattr(jobs, field.name)[order]
        for field in dataclasses.fields(jobs)
        if field.name != "present" and getattr(jobs, field.name) is not None
    }
    present = jobs.present
    if present is not None:
        slots = np.concatenate([present.of(int(job)) for job in order])
        offsets = np.concatenate(([0], np.cumsum(columns["half_hours"])))
        present = Places(site=present.site[order], slots=slots, offsets=offsets)
    return dataclasses.replace(problem, jobs=dataclasses.replace(jobs, **columns, present=present))


def test_the_same_problem_gives_the_same_bytes() -> None:
    assert digest(fleet.plan(large())) == digest(fleet.plan(large()))


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), has_ramps=st.booleans())
def test_the_order_in_which_jobs_are_given_changes_nothing(seed: int, has_ramps: bool) -> None:
    problem = random_problem(seed, count=6, has_ramps=has_ramps)
    order = np.random.default_rng(seed).permutation(6)
    plan, other = (fleet.plan(one, is_quick=True) for one in (problem, in_order(problem, order)))
    assert (other.cost, other.bound_gbp) == (plan.cost, plan.bound_gbp)
    assert other.places.site.tolist() == plan.places.site[order].tolist()
    runs = np.flatnonzero(other.places.site >= 0).tolist()
    assert [other.places.of(job).tolist() for job in runs] == [
        plan.places.of(int(order[job])).tolist() for job in runs
    ]


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), has_ramps=st.booleans(), is_quick=st.booleans())
def test_a_plan_keeps_to_every_limit_and_costs_no_less_than_its_bound(
    seed: int, has_ramps: bool, is_quick: bool
) -> None:
    problem = random_problem(seed, count=8, has_ramps=has_ramps)
    plan = fleet.plan(problem, is_quick=is_quick)
    assert fleet.check(problem, plan) == ()
    assert plan.bound_gbp <= plan.cost.total + 1e-9
    prices = random_prices(problem, seed)
    assert fleet.bound(problem, prices) <= plan.cost.total + 1e-6
    sites = problem.sites
    wider = dataclasses.replace(
        sites, room_mw=sites.room_mw + 0.4, room_gpus=sites.room_gpus + 1, ramp_mw=sites.ramp_mw + 0.4
    )
    assert fleet.bound(dataclasses.replace(problem, sites=wider), prices) <= fleet.bound(problem, prices) + 1e-9


def test_no_plan_is_worse_than_what_stands() -> None:
    for seed in range(6):
        problem = random_problem(seed, count=8, has_money=False)
        standing = fleet.plan(problem).places
        jobs = dataclasses.replace(problem.jobs, present=standing, leaving_gbp=np.full(8, 500.0))
        stands = dataclasses.replace(problem, jobs=jobs)
        plan = fleet.plan(stands, is_quick=True)
        assert plan.cost.leaving == 0
        assert plan.cost.total <= fleet.plan(problem, is_quick=True).cost.total + 1e-9


def test_a_cap_on_carbon_is_held_against_its_upper_value_and_costs_are_not() -> None:
    upper = np.full((1, 6), nan)
    upper[0, :3] = 160.0
    problem = a_problem(
        sites=1,
        carbon_upper_gco2_kwh=upper,
        price_gbp_mwh=np.array([[10.0, 10, 10, 50, 50, 50]]),
        jobs={"count": 2, "carbon_cap_gco2_kwh": np.array([150.0, inf])},
    )
    plan = fleet.plan(problem)
    assert plan.places.slots.tolist() == [3, 0]
    assert plan.cost.carbon == 2 * 0.5 * 10
    assert fleet.check(problem, plan) == ()
    early = dataclasses.replace(plan, places=dataclasses.replace(plan.places, slots=np.array([0, 0])))
    assert "carbon_cap" in {one.limit for one in fleet.check(problem, early)}


@pytest.mark.parametrize("half_hours", [29, 46, 50])
def test_a_horizon_is_as_long_as_it_is(half_hours: int) -> None:
    price = np.linspace(90.0, 10.0, half_hours) * np.ones((2, 1))
    problem = a_problem(half_hours=half_hours, price_gbp_mwh=price, jobs={"count": 3, "half_hours": [1, 4, 29]})
    plan = fleet.plan(problem)
    assert fleet.check(problem, plan) == ()
    assert [plan.places.of(job)[-1] for job in range(3)] == [half_hours - 1] * 3


def test_gpus_are_shared_as_power_is() -> None:
    problem = a_problem(
        sites=1,
        half_hours=2,
        price_gbp_mwh=np.array([[10.0, 90.0]]),
        room_gpus=np.array([[8.0, 8.0]]),
        jobs={"count": 3, "gpus": 4.0},
    )
    plan = fleet.plan(problem)
    assert fleet.check(problem, plan) == ()
    assert sorted(plan.places.slots.tolist()) == [0, 0, 1]
    assert {(one.limit, one.slot) for one in plan.binding} <= {("gpus", 0)}
    crowded = dataclasses.replace(
        problem, sites=dataclasses.replace(problem.sites, room_gpus=np.array([[4.0, 4.0]]))
    )
    (lost,) = fleet.plan(crowded).rejected
    assert (lost.limit, lost.has_option) == ("gpus", True)


def test_a_present_place_is_left_only_for_more_than_leaving_costs() -> None:
    for leaving, expected in ((30.0, [1]), (1.0, [0])):
        problem = a_problem(
            sites=1,
            half_hours=2,
            price_gbp_mwh=np.array([[10.0, 50.0]]),
            jobs={
                "present": Places(site=np.array([0]), slots=np.array([1]), offsets=np.array([0, 1])),
                "leaving_gbp": np.array([leaving]),
            },
        )
        plan = fleet.plan(problem)
        assert plan.places.of(0).tolist() == expected
        assert plan.cost.leaving == (0.0 if expected == [1] else leaving)
        assert plan.gap_gbp == pytest.approx(0, abs=1e-9)


def test_a_fixed_job_keeps_its_place_and_its_room() -> None:
    problem = a_problem(
        sites=1,
        half_hours=2,
        price_gbp_mwh=np.array([[10.0, 50.0]]),
        room_mw=np.array([[1.0, 1.0]]),
        jobs={
            "count": 2,
            "present": Places(site=np.array([0, -1]), slots=np.array([0, -1]), offsets=np.array([0, 1, 2])),
            "is_fixed": np.array([True, False]),
        },
    )
    plan = fleet.plan(problem)
    assert (plan.places.of(0).tolist(), plan.places.of(1).tolist()) == ([0], [1])
    assert fleet.check(problem, plan) == ()
    assert plan.cost.energy == 0.5 * 60
    assert plan.forced_gbp == 0.5 * 10 + 0.5 * 10  # its energy, and its carbon at GBP 100/t


@pytest.mark.parametrize(
    ("limit", "price", "job", "field"),
    [
        ("region", None, {"allowed": np.zeros((1, 2), bool)}, {}),
        ("power_mw", None, {"it_power_mw": 11.0}, {}),
        ("gpus", None, {"gpus": 9.0}, {"room_gpus": np.full((2, 6), 8.0)}),
        ("signals_known", None, {}, {"price_gbp_mwh": np.array([[nan] * 6, [nan] * 6]), "carbon_gco2_kwh": None}),
        ("latest_end", None, {"half_hours": 3, "end_slot": 2}, {}),
        ("carbon_cap", None, {"carbon_cap_gco2_kwh": 99.0}, {}),
        ("max_price", 25.0, {"max_price_gbp": 20.0}, {}),
        ("value", 30.0, {"value_gbp": 29.0}, {}),
    ],
)
def test_a_job_without_an_option_says_why(limit: str, price: float | None, job: dict, field: dict) -> None:
    if limit == "signals_known":
        field = {"carbon_gco2_kwh": np.where(np.arange(6) < 3, 100.0, nan) * np.ones((2, 1))}
        field["price_gbp_mwh"] = np.where(np.arange(6) < 3, nan, 50.0) * np.ones((2, 1))
    problem = a_problem(jobs=job, **field)
    plan = fleet.plan(problem)
    (lost,) = plan.rejected
    assert (lost.limit, lost.has_option, lost.price_to_fit_gbp) == (limit, False, price)
    assert plan.cost.total == plan.bound_gbp == plan.forced_gbp == problem.jobs.value_gbp[0]
    assert fleet.check(problem, plan) == ()


def test_a_signal_known_nowhere_is_left_out_and_caps_on_it_cannot_be_kept() -> None:
    problem = a_problem(
        price_gbp_mwh=np.full((2, 6), nan), jobs={"count": 2, "max_price_gbp": np.array([inf, 100.0])}
    )
    plan = fleet.plan(problem)
    assert plan.places.site.tolist() == [0, -1]
    assert (plan.cost.energy, plan.cost.carbon) == (0.0, 5.0)


@pytest.mark.parametrize("count", [0, 3])
def test_without_jobs_or_without_sites_there_is_a_plan(count: int) -> None:
    sites = 2 if count == 0 else 0
    problem = a_problem(sites=sites, jobs={"count": count, "origin": -1, "allowed": np.ones((count, sites), bool)})
    plan = fleet.plan(problem)
    assert plan.cost.total == plan.bound_gbp == 1000.0 * count
    assert (len(plan.rejected), fleet.check(problem, plan)) == (count, ())


def test_with_every_site_closed_nothing_runs() -> None:
    plan = fleet.plan(a_problem(room_mw=np.zeros((2, 6)), jobs={"count": 4}))
    assert {(one.limit, one.has_option) for one in plan.rejected} == {("power_mw", False)}


def test_more_room_at_the_same_prices_never_raises_the_bound() -> None:
    problem = large(600)
    prices = fleet.plan(problem).prices
    wider = dataclasses.replace(
        problem, sites=dataclasses.replace(problem.sites, room_mw=problem.sites.room_mw + 0.5)
    )
    assert fleet.bound(wider, prices) <= fleet.bound(problem, prices)


@pytest.mark.parametrize(
    ("field", "job", "message"),
    [
        ({"stress": np.zeros(0)}, {}, "no half hours"),
        ({"room_mw": np.ones((2, 5))}, {}, "room_mw has shape"),
        ({"room_mw": np.full((2, 6), nan)}, {}, "room_mw holds nan"),
        ({"pue": np.zeros(2)}, {}, "pue holds 0"),
        ({}, {"half_hours": 0}, "half_hours holds 0"),
        ({}, {"value_gbp": inf}, "value_gbp holds inf"),
        ({}, {"origin": 2}, "origin is 2"),
        ({}, {"is_fixed": np.array([True])}, "no present places"),
    ],
)
def test_what_cannot_be_is_refused(field: dict, job: dict, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        a_problem(jobs=job, **field)


def test_prices_below_zero_prove_nothing() -> None:
    problem = a_problem()
    wrong = dataclasses.replace(fleet.plan(problem).prices, power_gbp_mwh=np.full((2, 6), -1.0))
    with pytest.raises(Invalid, match="negative"):
        fleet.bound(problem, wrong)


def test_a_present_place_whose_signals_are_not_known_is_left():
    present = Places(site=np.array([0]), slots=np.array([0]), offsets=np.array([0, 1]))
    price = np.array([[nan, 50.0, 60.0, 60.0, 60.0, 60.0]])
    for value in (1000.0, 0.0):
        problem = a_problem(sites=1, price_gbp_mwh=price, jobs={"present": present, "value_gbp": value})
        plan = fleet.plan(problem)
        assert not fleet.check(problem, plan)
        assert plan.bound_gbp <= plan.cost.total + 1e-9
        assert (plan.places.site[0], plan.places.slots[0]) == ((0, 1) if value else (-1, -1))


def test_who_stays_where_it_is_pays_nothing_for_leaving_though_it_is_worth_nothing():
    present = Places(site=np.array([0]), slots=np.array([0]), offsets=np.array([0, 1]))
    price = np.array([[-60.0, -62.0, 60.0, 60.0, 60.0, 60.0]])
    jobs = {"present": present, "value_gbp": 0.0, "leaving_gbp": np.array([10.0])}
    problem = a_problem(sites=1, price_gbp_mwh=price, jobs=jobs)
    plan = fleet.plan(problem)
    assert plan.places.slots[0] == 0
    assert plan.cost.total == pytest.approx(-25.0)
    assert plan.bound_gbp <= plan.cost.total + 1e-9
