from __future__ import annotations

import dataclasses
import math

from pylon.planning import _ask
from pylon.planning.field import Weights

from .test_arrival import a_job

WEIGHTS = Weights(carbon_price_gbp_t=100.0, stress_price_gbp_mwh=20.0)


def test_the_numbers_of_a_job_stand_where_the_kernels_look_for_them() -> None:
    places = {
        "it_power_mw": _ask.POWER_MW,
        "duration_mins": _ask.DURATION_MINS,
        "arrived_mins": _ask.ARRIVED_MINS,
        "earliest_mins": _ask.EARLIEST_MINS,
        "latest_end_mins": _ask.LATEST_END_MINS,
        "wait_gbp_per_hour": _ask.WAIT_GBP_PER_HOUR,
        "carbon_price_gbp_t": _ask.CARBON_PRICE,
        "stress_price_gbp_mwh": _ask.STRESS_PRICE,
        "carbon_cap_gco2_kwh": _ask.CARBON_CAP,
        "max_price_gbp": _ask.MAX_PRICE,
        "value_gbp": _ask.VALUE,
        "migration_gbp": _ask.MIGRATION_GBP,
        "step_mins": _ask.STEP_MINS,
        "origin": _ask.ORIGIN,
    }
    assert {name: _ask.NUMBERS.index(name) for name in places} == places
    values = {name: 1.0 + place for name, place in places.items() if hasattr(a_job(), name)} | {"origin": 1}
    ask = _ask.read_job(dataclasses.replace(a_job(), **values), WEIGHTS, 2)
    assert all(ask.numbers[_ask.NUMBERS.index(name)] == value for name, value in values.items())


def test_a_job_may_split_when_it_may_be_interrupted_and_is_longer_than_a_half_hour() -> None:
    asks = [
        _ask.read_job(a_job(interruptible=interruptible, duration_mins=mins), WEIGHTS, 2)
        for interruptible, mins in ((True, 31), (True, 30), (False, 31))
    ]
    assert [ask.may_split for ask in asks] == [True, False, False]


def test_a_cap_that_is_not_set_is_infinite() -> None:
    ask = _ask.read_job(a_job(max_price_gbp=5.0), WEIGHTS, 2)
    assert ask.numbers[_ask.CARBON_CAP :].tolist() == [math.inf, 5.0, math.inf]
    assert ask.without_limit(_ask.MAX_PRICE).numbers[_ask.MAX_PRICE] == math.inf
    assert ask.numbers[_ask.MAX_PRICE] == 5.0
