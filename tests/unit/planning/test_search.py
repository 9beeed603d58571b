from __future__ import annotations

import math

import numpy as np

from pylon.planning import _ask, _limits, _search
from pylon.planning.field import Weights

from .test_arrival import a_field, a_job

WEIGHTS = Weights(carbon_price_gbp_t=100.0, stress_price_gbp_mwh=20.0)


def asked(field, job):
    cells = _ask.read_field(field)
    return cells, _ask.read_job(job, WEIGHTS, cells)


def test_a_cell_costs_what_is_known_of_it() -> None:
    price = [[80.0, math.nan, 60.0], [70.0, 50.0, math.inf]]
    field = a_field(
        half_hours=3, price_gbp_mwh=price, stress=[0.5, math.nan, 0.5], scarcity_gbp_mwh=np.full((2, 3), 2.0)
    )
    reading = _search.read(*asked(field, a_job()))
    assert reading.known == (True, True, True)
    assert reading.rate_gbp_mwh.tolist() == [[107.0, 17.0, 87.0], [97.0, 67.0, 27.0]]
    assert reading.closed_by.tolist() == [
        [_limits.NONE, _limits.SIGNALS, _limits.NONE],
        [_limits.NONE, _limits.NONE, _limits.SIGNALS],
    ]


def test_of_equals_the_one_that_ends_first_is_the_cheapest() -> None:
    field = a_field(price_gbp_mwh=[[90.0, 90.0, 80.0, 80.0, 90.0, 90.0], [90.0, 80.0, 80.0, 90.0, 90.0, 90.0]])
    found = _search.search(*asked(field, a_job()))
    assert found.costs[0] == found.costs[1]
    assert (found.cheapest, found.begins, found.ends) == (1, [60.0, 30.0], [120.0, 90.0])


def test_by_energy_the_least_is_what_is_paid_for_energy() -> None:
    field = a_field(
        sites=1, price_gbp_mwh=[[50.0, 50.0, 90.0, 90.0, 90.0, 90.0]], carbon_gco2_kwh=[[900.0] * 2 + [0.0] * 4]
    )
    cells, ask = asked(field, a_job(sites=1))
    assert _search.search(cells, ask).begins == [60.0]
    assert _search.search(cells, ask, by_energy=True).begins == [0.0]
