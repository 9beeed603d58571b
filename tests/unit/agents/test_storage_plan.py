"""What a plan of a battery comes to, figure by figure."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from pylon.agents import _storage_plan as plans
from pylon.agents.contract import Scheduled, StandingPlan
from pylon.agents.storage_agent import StorageConfig, describe
from tests.unit.agents.test_storage_agent import COLUMNS, HALF_HOUR, REGION, SITE, START, a_view, an_asset

ASSET = an_asset(efficiency_percentage=Decimal(100), wear_gbp_mwh=Decimal(2))
POWER = np.array([-40.0, 40.0, *[0.0] * (COLUMNS - 3)])


def question(**grid):
    seen = describe(a_view(ASSET, **{"price": 50.0, **grid}), ASSET, REGION, StorageConfig())
    assert seen is not None
    return plans.read(seen)


def test_each_figure_of_a_plan_is_its_energy_times_what_it_is_worth():
    prices = np.array([0.0, 30.0, 80.0, *[0.0] * (COLUMNS - 3)])
    asked = question(price=prices, carbon=np.where(prices == 30, 100.0, 300.0), stress=0.5)
    figures = plans.option(asked, plans.follow(asked, POWER))
    assert (figures["charged_mwh"], figures["discharged_mwh"]) == (20, 20)
    assert (figures["charged_at_gbp_mwh"], figures["discharged_at_gbp_mwh"]) == (30, 80)
    assert figures["terms"] == {"energy_gbp": -1000, "carbon_gbp": -400, "stress_gbp": 0, "wear_gbp": 40}
    assert (figures["cost_gbp"], figures["total_gbp"]) == (-960, -1360)
    assert figures["carbon_gco2"] == -4_000_000


@pytest.mark.parametrize(("unknown", "figure"), [("price", "cost_gbp"), ("carbon", "carbon_gco2")])
def test_what_is_known_nowhere_is_null(unknown, figure):
    asked = question(**{unknown: np.nan})
    assert plans.option(asked, plans.follow(asked, POWER))[figure] is None


def test_half_hours_after_the_last_of_the_field_are_not_known():
    around = plans.surroundings(a_view(ASSET), ASSET, REGION, range(COLUMNS - 1, COLUMNS + 2))
    assert [value is None for value in around["price_gbp_mwh"]] == [False, True, True]
    assert around["missing"]["half_hours_not_used"] == 2


def test_what_stands_is_told_to_its_end_and_no_farther():
    standing = {START + number * HALF_HOUR: float(number) for number in (1, 3)}
    assert plans.ahead(a_view(ASSET), standing, range(2, 9)) == {
        "ends_at": "2026-11-22T14:00:00Z",
        "power_mw": [0.0, 3.0],
    }
    assert plans.ahead(a_view(ASSET), standing, range(4, 9)) is None


def test_the_limits_say_how_near_a_plan_comes():
    asked = question()
    found = {one["limit"]: one["reached"] for one in plans.limits(asked, plans.follow(asked, POWER))["limits"]}
    assert found == {"max_charge_mw": 40, "max_discharge_mw": 40, "min_mwh": 50, "max_mwh": 70, "end_mwh": 50}


def beside(free: float, **schedules) -> list[float | None]:
    """Return the least power asked of an asset beside a site with so much room, by the schedules of both there."""
    asset = an_asset(co_located_dc_id=SITE)
    other = an_asset(id=UUID(int=11), asset_id="BESS-2", co_located_dc_id=SITE)
    scheduled = {
        one.id: tuple(Scheduled(starts_at=START + at * HALF_HOUR, power_mw=mw) for at, mw in enumerate(powers))
        for one, powers in ((asset, schedules.get("own", ())), (other, schedules.get("others", ())))
    }
    view = a_view(asset, other, schedules=scheduled)
    net = np.zeros((1, COLUMNS))
    for powers in schedules.values():
        net[0, : len(powers)] += powers
    view.field.room[0] = free + net
    return plans.least(replace(view, beside_mw=net), asset, range(1, 4))["least_mw"]


def test_beside_a_site_it_may_charge_with_what_work_leaves_and_must_give_what_work_relies_on():
    assert beside(12.3456) == [-12.345] * 3
    assert beside(-4.0) == [4.0] * 3
    assert beside(np.inf) == [None] * 3
    assert plans.least(a_view(ASSET), ASSET, range(1, 4)) == {}


def test_its_own_schedule_is_not_asked_of_it_and_that_of_others_is_theirs():
    assert beside(10.0, own=(0.0, 5.0, -5.0)) == [-10.0] * 3
    assert beside(10.0, others=(0.0, 5.0, -4.0)) == [-15.0, -6.0, -10.0]


def test_what_room_is_worth_is_part_of_the_field_and_of_the_sum():
    plan = StandingPlan(
        id=UUID(int=1),
        plan_id="P-000001",
        made_at=START,
        after_seq=0,
        gap=0.0,
        starts_at=START,
        places={},
        prices={},
    )
    asset = an_asset(co_located_dc_id=SITE, efficiency_percentage=Decimal(100))
    view = replace(a_view(asset, price=50.0), plan=plan)
    view.field.scarcity_gbp_mwh[0, 2] = 70.0
    seen = describe(view, asset, REGION, StorageConfig())
    assert seen is not None
    asked = plans.read(seen)
    assert (asked.field_gbp_mwh[1] - asked.field_gbp_mwh[0]) == 70
    figures = plans.option(asked, plans.follow(asked, POWER))
    assert figures["terms"]["scarcity_gbp"] == -20 * 70
    assert "scarcity_gbp_mwh" not in plans.surroundings(replace(view, plan=None), asset, REGION, range(3))


def test_a_schedule_is_short_by_the_energy_that_it_leaves_undone():
    asked = replace(question(), least_mw=np.array([5.0, -5.0, *[-50.0] * (COLUMNS - 3)]))
    assert plans.short_mwh(asked, np.array([3.0])) == 1
    assert plans.short_mwh(asked, np.array([5.0, -9.0, 0.0])) == 2
    assert plans.short_mwh(asked, np.array([6.0, 0.0])) == 0
    assert plans.short_mwh(question(), np.array([-50.0])) == 0
