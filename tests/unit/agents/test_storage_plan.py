"""What a plan of a battery comes to, figure by figure."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from pylon.agents import _storage_plan as plans
from pylon.agents.storage_agent import StorageConfig, describe
from tests.unit.agents.test_storage_agent import COLUMNS, HALF_HOUR, REGION, START, a_view, an_asset

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
