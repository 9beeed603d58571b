from __future__ import annotations

import dataclasses
import math

import numpy as np

from pylon.planning import _ask, _limits
from pylon.planning.field import Weights

from .test_arrival import a_field, a_job

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
    }
    assert {name: _ask.NUMBERS.index(name) for name in places} == places
    values = {name: 1.0 + place for name, place in places.items() if hasattr(a_job(), name)}
    ask = _ask.read_job(dataclasses.replace(a_job(), **values), WEIGHTS, _ask.read_field(a_field()))
    assert all(ask.numbers[_ask.NUMBERS.index(name)] == value for name, value in values.items())


def test_what_is_the_same_at_all_times_is_read_once_for_each_site() -> None:
    cells = _ask.read_field(a_field(sites=3, is_open=[True, False, False], pue=[1.2, 1.5, 2.0]))
    job = a_job(sites=3, allowed=np.array([True, True, False]), origin=1, migration_gbp=7.0, it_power_mw=0.5)
    ask = _ask.read_job(job, WEIGHTS, cells)
    assert ask.gates.tolist() == [_limits.NONE, _limits.SITE_OPEN, _limits.REGION]
    assert ask.moving_gbp.tolist() == [7.0, 0.0, 7.0]
    assert ask.mwh_per_min.tolist() == [0.5 * pue / 60 for pue in (1.2, 1.5, 2.0)]


def test_a_cap_that_is_not_set_is_infinite() -> None:
    ask = _ask.read_job(a_job(max_price_gbp=5.0), WEIGHTS, _ask.read_field(a_field()))
    assert ask.numbers[_ask.CARBON_CAP :].tolist() == [math.inf, 5.0, math.inf]
    assert ask.without_limit(_ask.MAX_PRICE).numbers[_ask.MAX_PRICE] == math.inf
    assert ask.numbers[_ask.MAX_PRICE] == 5.0
