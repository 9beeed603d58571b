from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from pylon.agents import _options, jobs
from pylon.agents.contract import View
from pylon.agents.jobs import Placing
from pylon.planning import arrival
from pylon.planning.arrival import Placement
from pylon.planning.field import Job
from tests.doubles import views

A, B = views.site("A", 12, pue=1.2), views.site("B", 5)


def placed(view: View, **values: Any) -> tuple[Job, Placement]:
    job = jobs.job_of(view, views.workload("j", **{"origin_dc_id": A.id, **values}), Placing())
    return job, arrival.place(job, view.field, Placing().weights)


def baseline(view: View, **values: Any) -> dict[str, Any]:
    job, placement = placed(view, **values)
    assert placement.baseline is not None
    return _options.written(view, job, placement, placement.baseline)


def test_a_total_lacks_what_is_known_nowhere_and_is_null_where_others_know():
    nowhere = baseline(views.view(A, B, price=math.nan))
    assert nowhere["total_gbp"] == nowhere["terms"]["carbon_gbp"] == 24
    elsewhere = baseline(views.view(A, B, price={"A": math.nan, "B": 50}))
    assert (elsewhere["terms"]["energy_gbp"], elsewhere["terms"]["carbon_gbp"]) == (None, 24)
    assert elsewhere["total_gbp"] is None


def test_what_a_carbon_cap_is_held_against_is_written_where_it_is_not_what_is_expected():
    view = views.view(A, B)
    assert "capped_carbon_gco2" not in baseline(view, carbon_cap_gco2=130)
    careful = replace(view, field=replace(view.field, carbon_upper_gco2_kwh=view.field.carbon_gco2_kwh + 31))
    refused = baseline(careful, carbon_cap_gco2=130)
    assert (refused["refused_by"], baseline(careful, carbon_cap_gco2=131)["refused_by"]) == ("carbon_cap", None)
    assert refused["carbon_gco2"] == pytest.approx(100 * refused["energy_kwh"])
    assert refused["capped_carbon_gco2"] == pytest.approx(131 * refused["energy_kwh"])


def test_what_an_option_lacks_is_named():
    view = views.view(A, B, price={"A": math.nan, "B": 50}, carbon=math.nan)
    _, placement = placed(view)
    assert placement.left_out == ("carbon",)
    assert _options.lacks(placement, placement.baseline) == ["price"]
    assert _options.lacks(placement, placement.chosen) == []
    assert _options.lacks(placement, None) == []


def test_of_a_resource_that_refuses_the_need_at_the_site_and_the_least_that_is_free():
    view = views.view(A, B)
    view.field.room[0, view.site(A.id), 2] = 0.5
    assert baseline(view)["short_of"] == {"needs": 1.2, "free": 0.5}
    view.field.room[0, view.site(A.id), 2] = -3
    assert baseline(view)["short_of"] == {"needs": 1.2, "free": 0.0}
    dear = baseline(views.view(A, B), max_price_gbp=1)
    assert (dear["refused_by"], dear["short_of"]) == ("max_price", None)


def test_money_is_energy_and_migration_and_a_saving_is_null_when_either_is():
    here = {"terms": {"energy_gbp": 10.0, "migration_gbp": 0.0}}
    there = {"terms": {"energy_gbp": 4.0, "migration_gbp": 1.5}}
    unknown = {"terms": {"energy_gbp": None, "migration_gbp": 1.5}}
    assert _options.less(here, there, _options.money, 4) == 4.5
    assert _options.less(there, here, _options.money, 4) == -4.5
    assert _options.less(here, unknown, _options.money, 4) is None
    assert _options.less(None, here, _options.money, 4) is None


@pytest.mark.parametrize(("site", "region"), [(A, 12), (B, 5)])
def test_a_site_is_named_with_its_region(site, region):
    view = views.view(A, B)
    row = view.site(site.id)
    assert row is not None
    assert _options.site(view, row) == {"dc_id": site.dc_id, "data_centre_id": str(site.id), "region_id": region}
