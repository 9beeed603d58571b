from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid
from pylon.planning import stress
from pylon.planning.stress import Band, History, Reference, Signals, SystemWarning

INPUTS = {
    "demand_mw": st.floats(0, 60_000),
    "price_gbp_mwh": st.floats(-500, 10_000),
    "margin_gw": st.floats(-10, 30),
    "lolp": st.floats(0, 1),
    "warning_level": st.sampled_from(sorted(set(stress.WARNING_LEVEL.values()))),
    "frequency_hz": st.floats(48.5, 51),
}
FALLING = {"margin_gw", "frequency_hz"}  # less of these is more stress
LONG_DEMAND = np.linspace(20_000, 40_000, stress.MIN_DEMAND_HISTORY)
LONG_PRICE = np.linspace(0, 200, stress.MIN_PRICE_HISTORY)


def one(*, history: History | None = None, is_winter: bool = True, **known: float) -> float:
    signals = Signals(is_winter=[is_winter], **{name: [value] for name, value in known.items()})
    return float(stress.score(signals, history).scores[0])


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"margin_gw": -3.3, "lolp": 0.99}, 1.0),
        ({"margin_gw": 2.0}, 0.5),
        ({"margin_gw": 0.54, "lolp": 0.22}, 0.884),
        ({"frequency_hz": 49.80}, 0.5),
        ({"demand_mw": 60_000, "price_gbp_mwh": 9_000}, 0.7),
        ({"margin_gw": 8.0}, 0.0),
        ({"margin_gw": 8.0, "lolp": 0.6}, 0.6),
        ({"frequency_hz": 50.3}, 0.0),
        ({"frequency_hz": 49.4}, 1.0),
        ({"lolp": 1.4}, 1.0),
        ({"warning_level": stress.WARNING_LEVEL[SystemWarning.ELECTRICITY_MARGIN_NOTICE]}, 0.8),
        ({"warning_level": stress.WARNING_LEVEL[SystemWarning.HIGH_RISK_OF_DEMAND_REDUCTION]}, 0.9),
        ({"warning_level": stress.WARNING_LEVEL[SystemWarning.DEMAND_CONTROL], "margin_gw": 9}, 1.0),
        ({"price_gbp_mwh": 6_000}, 0.7),
        ({"demand_mw": 60_000}, 0.7),
        ({"demand_mw": 60_000, "price_gbp_mwh": -50}, 0.6),
        ({"demand_mw": 15_000, "price_gbp_mwh": 600}, 0.4),
        ({"demand_mw": 25_000}, 0.0),
    ],
)
def test_vectors_of_the_method(known, expected):
    assert one(**known) == pytest.approx(expected, abs=5e-4)


def test_all_missing_is_nothing_and_never_zero():
    result = stress.score(Signals(is_winter=[True, False]))
    assert np.isnan(result.scores).all()
    assert set(result.coverage.values()) == {0.0}
    assert result.detail(0)["components"] == dict.fromkeys(result.components)


def test_a_half_hour_without_data_does_not_disturb_its_neighbours():
    result = stress.score(
        Signals(is_winter=[True] * 3, margin_gw=[2, np.nan, 0], price_gbp_mwh=[np.nan, np.nan, 9_000])
    )
    assert result.scores.tolist()[::2] == [0.5, 1.0]
    assert math.isnan(result.scores[1])
    assert result.coverage["adequacy"] == pytest.approx(2 / 3)
    assert result.references["price"] == (None, None, Reference.STORED)


def test_no_half_hours_at_all():
    result = stress.score(Signals(is_winter=[]))
    assert result.scores.size == 0
    assert set(result.coverage.values()) == {0.0}


@settings(max_examples=50)
@given(st.fixed_dictionaries({}, optional=INPUTS), st.booleans())
def test_scores_and_components_lie_in_the_unit_interval(known, is_winter):
    result = stress.score(Signals(is_winter=[is_winter], **{name: [value] for name, value in known.items()}))
    assert np.isnan(result.scores[0]) == (not known)
    for values in (result.scores, *result.components.values()):
        assert np.isnan(values[0]) or 0 <= values[0] <= 1
    seen = [value for name, value in result.detail(0)["components"].items() if value is not None]
    assert bool(seen) == bool(known)
    assert result.detail(0)["coverage"] == pytest.approx(len(seen) / 5)


@settings(max_examples=50)
@given(st.data(), st.fixed_dictionaries(INPUTS), st.sampled_from(sorted(INPUTS)), st.booleans())
def test_monotone_in_every_input(data, known, name, is_winter):
    low, high = sorted((known[name], data.draw(INPUTS[name])), reverse=name in FALLING)
    history = History(winter_demand_mw=LONG_DEMAND, price_gbp_mwh=LONG_PRICE)
    less = one(history=history, is_winter=is_winter, **{**known, name: low})
    more = one(history=history, is_winter=is_winter, **{**known, name: high})
    assert less <= more


@settings(max_examples=50)
@given(demand=INPUTS["demand_mw"], price=INPUTS["price_gbp_mwh"])
def test_demand_and_price_alone_never_pass_their_limit(demand, price):
    for known in ({"demand_mw": demand}, {"price_gbp_mwh": price}, {"demand_mw": demand, "price_gbp_mwh": price}):
        assert 0 <= one(**known) <= stress.DEMAND_PRICE_LIMIT


@settings(max_examples=50)
@given(st.lists(st.integers(-5, 5), min_size=1), st.integers(-6, 6))
def test_rank_counts_ties_half(sample, value):
    below, equal = sum(s < value for s in sample), sum(s == value for s in sample)
    assert stress.rank([value], sorted(sample))[0] == pytest.approx((below + equal / 2) / len(sample))


def test_rank_of_the_unknown_is_unknown():
    assert math.isnan(stress.rank([np.nan], [1.0, 2.0])[0])


@pytest.mark.parametrize(("size", "expected"), [(-1, Reference.STORED), (0, Reference.TRAILING)])
def test_short_history_gives_way_to_the_stored_reference_and_says_so(size, expected):
    history = History(
        winter_demand_mw=np.append(LONG_DEMAND[: LONG_DEMAND.size + size or None], np.nan),
        price_gbp_mwh=LONG_PRICE[: LONG_PRICE.size + size or None],
    )
    result = stress.score(
        Signals(is_winter=[True, False], demand_mw=[35_000] * 2, price_gbp_mwh=[150, 150]), history
    )
    assert result.references == {"demand": (expected, Reference.STORED), "price": (expected, expected)}
    assert result.detail(0)["references"] == {"demand": str(expected), "price": str(expected)}
    if expected is Reference.TRAILING:
        assert result.components["demand"][0] == pytest.approx(0.5, abs=1e-3)
        assert result.components["price"].tolist() == pytest.approx([0.5, 0.5], abs=2e-3)


def test_each_half_hour_is_ranked_in_its_own_season():
    winter, summer = stress.score(Signals(is_winter=[True, False], demand_mw=[32_000, 32_000])).scores
    assert winter < summer


@pytest.mark.parametrize(
    "quantiles",
    [
        stress.REFERENCE_WINTER_DEMAND_MW,
        stress.REFERENCE_SUMMER_DEMAND_MW,
        stress.REFERENCE_PRICE_GBP_MWH,
    ],
)
def test_references_are_21_rising_quantiles(quantiles):
    assert len(quantiles) == 21
    assert (np.diff(quantiles) > 0).all()


def test_arrays_of_another_length_are_refused_by_name():
    with pytest.raises(Invalid, match="margin_gw has 2 half hours and is_winter has 3"):
        stress.score(Signals(is_winter=[True] * 3, margin_gw=[1, 2]))


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (0.0, Band.LOW),
        (0.399, Band.LOW),
        (0.4, Band.MODERATE),
        (0.6, Band.HIGH),
        (0.799, Band.HIGH),
        (0.8, Band.CRITICAL),
        (1.0, Band.CRITICAL),
        (None, None),
        (math.nan, None),
    ],
)
def test_bands(value, word):
    assert stress.band(value) is word


def test_the_result_names_its_method():
    result = stress.score(Signals(is_winter=[True], margin_gw=[2.0]))
    assert result.method_version == result.detail(0)["method_version"] == 1
