from __future__ import annotations

import math

import numpy as np

from pylon.planning import _ask, _limits, _search
from pylon.planning.field import Weights

from .test_arrival import a_field, a_job

WEIGHTS = Weights(carbon_price_gbp_t=100.0, stress_price_gbp_mwh=20.0)


def asked(field, job):
    return field, _ask.read_job(job, WEIGHTS, field.sites)


def test_a_cell_costs_what_is_known_of_it() -> None:
    price = [[80.0, math.nan, 60.0], [70.0, 50.0, math.inf]]
    field = a_field(
        half_hours=3, price_gbp_mwh=price, stress=[0.5, math.nan, 0.5], scarcity_gbp_mwh=np.full((2, 3), 2.0)
    )
    reading = _search.search(*asked(field, a_job()))
    assert reading.known == (True, True, True)
    assert reading.rate_gbp_mwh.tolist() == [[107.0, 17.0, 87.0], [97.0, 67.0, 27.0]]
    assert reading.closed_by.tolist() == [
        [_limits.NONE, _limits.SIGNALS, _limits.NONE],
        [_limits.NONE, _limits.NONE, _limits.SIGNALS],
    ]


def test_of_equals_the_one_that_ends_first_is_the_cheapest() -> None:
    field = a_field(price_gbp_mwh=[[90.0, 90.0, 80.0, 80.0, 90.0, 90.0], [90.0, 80.0, 80.0, 90.0, 90.0, 90.0]])
    searched = _search.search(*asked(field, a_job()))
    assert searched.is_exact
    found = searched.everywhere()
    assert found.costs[0] == found.costs[1]
    assert found.spans.tolist() == [[[60.0, 120.0]], [[30.0, 90.0]]]
    assert searched.chosen.site == 1


def test_by_energy_the_least_is_what_is_paid_for_energy() -> None:
    field = a_field(
        sites=1, price_gbp_mwh=[[50.0, 50.0, 90.0, 90.0, 90.0, 90.0]], carbon_gco2_kwh=[[900.0] * 2 + [0.0] * 4]
    )
    field, ask = asked(field, a_job(sites=1))
    assert _search.search(field, ask).chosen.spans == ((60.0, 120.0),)
    assert _search.search(field, ask, by_energy=True).chosen.spans == ((0.0, 60.0),)


def test_a_grid_is_known_where_one_number_is() -> None:
    nowhere = np.full((2, 6), math.nan)
    carbon = nowhere.copy()
    carbon[0, 0] = math.inf
    field = a_field(price_gbp_mwh=nowhere, carbon_gco2_kwh=carbon, stress=nowhere[0])
    assert _search.search(*asked(field, a_job())).known == (False, False, False)
    carbon[1, 2] = 0.0
    field = a_field(price_gbp_mwh=nowhere, carbon_gco2_kwh=carbon, stress=[*nowhere[0, :5], 0.0])
    assert _search.search(*asked(field, a_job())).known == (False, True, True)


def test_what_closes_a_whole_site_is_its_region_before_its_being_shut() -> None:
    field = a_field(sites=3, is_open=[True, False, False])
    found = _search.search(*asked(field, a_job(sites=3, allowed=np.array([True, True, False]))))
    assert found.gates.tolist() == [_limits.NONE, _limits.SITE_OPEN, _limits.REGION]
