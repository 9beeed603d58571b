from __future__ import annotations

import numpy as np
import pytest

from pylon.planning import arrival
from pylon.planning.fleet._arrays import GPUS, POWER, nobody
from pylon.planning.fleet._method import Solved
from pylon.planning.fleet._read import read
from pylon.planning.fleet._reasons import rejections
from tests.unit.planning.fleets import a_problem

ALL = np.arange(6)


def reasons(problem, *, prices=None, running=()):
    """Return why each job but those running does not run, at these prices of the bound."""
    reading = read(problem)
    standing = nobody(reading.fleet.records, reading.fleet.cells)
    standing.site[np.isin(reading.free, running)] = 0
    prices = np.zeros_like(reading.cells.limits) if prices is None else prices
    return rejections(reading, Solved(standing, prices, 0.0))


def test_the_first_limit_that_is_broken_is_named_until_money_alone_is_short() -> None:
    job = {
        "allowed": np.zeros((1, 2), bool),
        "half_hours": 3,
        "it_power_mw": 11.0,
        "gpus": 9.0,
        "end_slot": 2,
        "carbon_cap_gco2_kwh": 99.0,
        "max_price_gbp": 20.0,
        "value_gbp": 1.0,
    }
    field = {
        "room_gpus": np.full((2, 6), 8.0),
        "price_gbp_mwh": np.where(ALL < 3, np.nan, 50.0) * np.ones((2, 1)),
        "carbon_gco2_kwh": np.where(ALL < 3, 100.0, np.nan) * np.ones((2, 1)),
    }
    known = {"price_gbp_mwh": np.full((2, 6), 50.0), "carbon_gco2_kwh": np.full((2, 6), 100.0)}
    reliefs = [
        ("region", {"allowed": np.ones((1, 2), bool)}, {}),
        ("power_mw", {"it_power_mw": 1.0}, {}),
        ("gpus", {"gpus": 8.0}, {}),
        ("signals_known", {}, known),
        ("latest_end", {"end_slot": 3}, {}),
        ("carbon_cap", {"carbon_cap_gco2_kwh": 100.0}, {}),
        ("max_price", {"max_price_gbp": 75.0}, {}),
        ("value", {"value_gbp": 91.0}, {}),
    ]
    named = []
    for limit, better_job, better_field in reliefs:
        (why,) = reasons(a_problem(jobs=dict(job), **field))
        assert (why.limit, why.has_option) == (limit, False)
        assert why.price_to_fit_gbp == {"max_price": 75.0, "value": 90.0}.get(limit)
        named.append(limit)
        job, field = job | better_job, field | better_field
    assert reasons(a_problem(jobs=dict(job), **field), running=[0]) == ()
    assert named == [limit for limit in arrival.LIMITS if limit in named]


@pytest.mark.parametrize("interruptible", [False, True])
def test_the_money_that_would_do_buys_the_least_energy_not_the_least_cost(interruptible: bool) -> None:
    # Cheap energy is dirty: the least cost is at 90 GBP/MWh, but a cap of 10 GBP is met for 30 GBP/MWh.
    problem = a_problem(
        sites=1,
        half_hours=3,
        price_gbp_mwh=np.array([[90.0, 30.0, 30.0]]),
        carbon_gco2_kwh=np.array([[0.0, 900.0, 900.0]]),
        jobs={
            "half_hours": 2,
            "max_price_gbp": 10.0,
            "interruptible": interruptible,
            "wait_gbp_per_half_hour": 1.0,
        },
    )
    (why,) = reasons(problem)
    assert (why.limit, why.price_to_fit_gbp) == ("max_price", 30.0)


@pytest.mark.parametrize(
    ("value", "power_price", "gpu_price", "limit", "price"),
    [
        (50.0, 0.0, 20.0, "gpus", 70.0),  # without what GPUs are worth, 30 would do
        (50.0, 100.0, 20.0, "power_mw", 120.0),
        (50.0, 100.0, 0.0, "power_mw", 80.0),
        (65.0, 60.0, 0.0, "power_mw", 65.0),  # worth its prices, yet it fits nowhere between the others
    ],
)
def test_a_job_that_others_crowd_out_is_told_what_their_room_is_worth(
    value: float, power_price: float, gpu_price: float, limit: str, price: float
) -> None:
    problem = a_problem(room_gpus=np.full((2, 6), 8.0), jobs={"gpus": 4.0, "value_gbp": value})
    prices = np.zeros((4, 2, 6))
    prices[POWER], prices[GPUS] = power_price, gpu_price
    (why,) = reasons(problem, prices=prices)
    assert (why.limit, why.has_option, why.price_to_fit_gbp) == (limit, True, price)


def test_it_is_told_of_the_cheapest_place_that_it_may_use() -> None:
    prices = np.zeros((4, 2, 6))
    prices[POWER] = 100.0
    prices[POWER, 1, 4] = 10.0
    prices[POWER, 0, 3] = 50.0
    jobs = {"count": 2, "allowed": np.array([[True, True], [True, False]]), "value_gbp": 31.0}
    assert [why.price_to_fit_gbp for why in reasons(a_problem(jobs=jobs), prices=prices)] == [35.0, 55.0]


def test_jobs_without_an_option_and_jobs_crowded_out_come_in_the_order_of_the_jobs() -> None:
    jobs = {
        "count": 5,
        "it_power_mw": np.array([1.0, 11.0, 1.0, 1.0, 1.0]),
        "value_gbp": np.array([100.0, 100.0, 100.0, 1.0, 100.0]),
    }
    found = reasons(a_problem(jobs=jobs), running=[2])
    assert [(why.job, why.has_option, why.limit) for why in found] == [
        (0, True, "power_mw"),
        (1, False, "power_mw"),
        (3, False, "value"),
        (4, True, "power_mw"),
    ]


def test_without_a_site_no_region_is_open_and_no_money_helps() -> None:
    found = reasons(a_problem(sites=0, jobs={"count": 2, "origin": -1}))
    assert [(why.limit, why.has_option, why.price_to_fit_gbp) for why in found] == [("region", False, None)] * 2


def test_where_every_site_is_closed_the_room_is_named_and_no_money_helps() -> None:
    found = reasons(a_problem(room_mw=np.zeros((2, 6)), jobs={"count": 2, "value_gbp": np.array([0.0, 500.0])}))
    assert [(why.limit, why.price_to_fit_gbp) for why in found] == [("power_mw", None)] * 2


def test_who_runs_is_not_explained() -> None:
    assert reasons(a_problem(jobs={"count": 3}), running=[0, 1, 2]) == ()
    assert reasons(a_problem(jobs={"count": 0})) == ()
