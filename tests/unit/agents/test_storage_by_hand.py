"""A schedule by hand is valued as an agent's: against what stood before it, over the same half hours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from pylon.agents import storage_by_hand
from pylon.agents.contract import Draft
from pylon.agents.storage_agent import StorageConfig
from pylon.ontology.canonical import canonical_bytes
from tests.unit.agents.test_storage_agent import COLUMNS, HALF_HOUR, REGION, START, a_view, an_asset

FIRST = START + HALF_HOUR
PRICES = np.where(np.arange(COLUMNS) < 4, 50.0, 100.0)
"""GBP 50 until 14:00, then 100."""


def at(number: int) -> datetime:
    return START + number * HALF_HOUR


def decided(
    given: Mapping[int, float], standing: Mapping[int, float] | None = None, why: str | None = None, **grid: Any
) -> Draft:
    """Return the decision for powers by half hour, on a battery of 100 MWh that holds 50 and loses nothing."""
    asset = an_asset(efficiency_percentage=Decimal(100), wear_gbp_mwh=Decimal(2))
    seen = storage_by_hand.describe(
        a_view(asset, **{"price": PRICES, "carbon": 200.0, **grid}),
        asset,
        REGION,
        StorageConfig(),
        standing={at(number): mw for number, mw in (standing or {}).items()},
        given={at(number): mw for number, mw in given.items()},
        why=why,
    )
    canonical_bytes(seen)
    assert storage_by_hand.decide(seen) == storage_by_hand.decide(seen)
    return storage_by_hand.decide(seen)


def test_it_is_valued_against_idling_where_nothing_stood():
    """20 MWh bought at GBP 50 and sold at 100, less GBP 2 of wear for each MWh sold."""
    draft = decided({1: -40, 5: 40}, why="A trial")
    assert (draft.cost_saved_gbp, draft.carbon_saved_gco2) == (960.0, 0.0)
    assert draft.alternatives["baseline_is"] == "idle"
    assert draft.flexibility_contribution_mw == 40
    assert draft.reasoning == (
        "BESS-1 is scheduled by hand from Sun 22 Nov 12:30 UTC to Sun 22 Nov 15:00 UTC: it takes 20.0 MWh, 40 MW "
        "at most, and gives 20.0 MWh, 40 MW at most. Nothing was scheduled from then on. Against idling that saves "
        "GBP 960.00 after wear and avoids 0.0 kg CO2; in all it is worth GBP 960.00 (energy +1,000.00, wear "
        "-40.00). Rests on simulated price. Reason given: A trial."
    )


def test_what_it_takes_the_place_of_is_given_back():
    """The schedule that stood was worth GBP 960; by hand the battery idles."""
    draft = decided({1: 0.0}, standing={1: -40.0, 5: 40.0})
    assert draft.cost_saved_gbp == -960.0
    assert "it stays idle. That takes the place of what was scheduled from then until Sun 22 Nov 15:00 UTC." in (
        draft.reasoning
    )
    assert "Against following the schedule that stood, and then idling, that costs GBP 960.00" in draft.reasoning


def test_what_stands_before_it_begins_is_kept_and_counts_for_nothing():
    late = decided({6: -40}, standing={1: 40.0})
    assert late.cost_saved_gbp == -2000.0
    assert "Nothing was scheduled from then on." in late.reasoning
    chosen, baseline = late.alternatives["chosen"], late.alternatives["baseline"]
    assert chosen["discharged_mwh"] == baseline["discharged_mwh"] == 20


def test_a_half_hour_that_has_begun_leaves_what_it_was_given_to_leave():
    """It gives 20 MWh before the schedule by hand begins, so that fewer are left: 30 of 50."""
    assert decided({1: 60, 2: 60}, standing={0: 40.0}).alternatives["chosen"]["discharged_mwh"] == 30
    whole = decided({1: 40, 2: 40}, standing={0: 40.0}, now=START)
    assert whole.alternatives["chosen"]["discharged_mwh"] == 50, "nothing has begun: 20 before, 30 by hand"


def test_where_nothing_is_known_nothing_is_claimed():
    draft = decided({1: -40, 5: 40}, price=np.nan, carbon=np.nan)
    assert (draft.cost_saved_gbp, draft.carbon_saved_gco2) == (None, None)
    assert draft.alternatives["chosen"] is None
    assert "Price and carbon are not known for that time, so it is not valued." in draft.reasoning


def test_where_the_price_alone_is_not_known_the_carbon_is_said():
    draft = decided({1: -40, 5: 20}, price=np.where(np.arange(COLUMNS) < 8, np.nan, 100.0))
    assert (draft.cost_saved_gbp, draft.carbon_saved_gco2) == (None, -2_000_000.0)
    assert "emits 2,000.0 kg CO2 and leaves 10.0 MWh more in store" in draft.reasoning
    assert "Known nowhere and so in no sum: price." in draft.reasoning


def test_what_reaches_past_the_signals_is_left_out_of_the_sums_and_said():
    draft = decided({1: 40, COLUMNS + 1: -40})
    assert draft.cost_saved_gbp == 960.0
    assert "Price or carbon is not known for 2 of the half hours, which are in no sum." in draft.reasoning
    assert draft.inputs["given"]["power_mw"][-1] == -40


def test_by_hand_all_of_the_battery_may_be_used():
    limits = {limit["limit"]: limit["value"] for limit in decided({1: 40}).constraints["limits"]}
    assert limits == {"max_charge_mw": 50, "max_discharge_mw": 50, "min_mwh": 0, "max_mwh": 100}


def test_a_reason_ends_with_one_stop():
    assert decided({1: 1}, why="Why not?").reasoning.endswith("Reason given: Why not?")
