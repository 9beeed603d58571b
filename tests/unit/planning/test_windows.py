from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.planning import windows
from pylon.planning.field import Weights

NAN = math.nan
WEIGHTS = Weights(carbon_price_gbp_t=100.0, stress_price_gbp_mwh=20.0)


def mean(values: list[float], begins: float, ends: float) -> float:
    return sum(values[int(minute // 30)] for minute in np.arange(begins, ends)) / (ends - begins)


def a_row(dice: random.Random, size: int, unknown: float) -> list[float]:
    return [NAN if dice.random() < unknown else float(dice.randint(0, 300)) for _ in range(size)]


@pytest.mark.parametrize("seed", range(150))
def test_the_best_window_is_the_best_of_all_minutes(seed: int) -> None:
    dice = random.Random(seed)
    size, mins = dice.randint(1, 12), dice.choice([7, 30, 45, 60, 100])
    carbon, price = a_row(dice, size, 0.05), a_row(dice, size, 0.05)
    earliest = float(dice.choice([0, dice.randint(0, 50)]))
    latest = dice.choice([math.inf, float(dice.randint(0, 30 * size + 60))])
    found = windows.best(
        carbon, price, duration_mins=mins, weights=WEIGHTS, earliest_mins=earliest, latest_end_mins=latest
    )
    begins = [at for at in np.arange(earliest, 30 * size) if at + mins <= min(latest, 30 * size)]
    for listed, key, values in (
        (found.greenest, "mean_carbon_gco2_kwh", carbon),
        (found.cheapest, "mean_price_gbp_mwh", price),
    ):
        means = [one for one in (mean(values, at, at + mins) for at in begins) if not math.isnan(one)]
        assert bool(listed) == bool(means)
        if means:
            assert getattr(listed[0], key) == pytest.approx(min(means))
        for window in listed:
            assert earliest <= window.begins < window.ends <= min(latest, 30 * size)
            assert window.ends - window.begins == pytest.approx(mins)
            assert window.mean_carbon_gco2_kwh == pytest.approx(
                mean(carbon, window.begins, window.ends), nan_ok=True
            )
            assert window.mean_price_gbp_mwh == pytest.approx(mean(price, window.begins, window.ends), nan_ok=True)
        assert [getattr(one, key) for one in listed] == sorted(getattr(one, key) for one in listed)
        in_time = sorted(listed, key=lambda one: one.begins)
        assert all(one.ends <= other.begins for one, other in itertools.pairwise(in_time))


def test_greenest_and_cheapest_are_chosen_each_by_itself() -> None:
    found = windows.best(
        [200, 100, 200, 300, 150, 150],
        [10, 90, 90, 20, 20, 90],
        stress=[0.5, 0.5, 0.5, 0.5, 0.5, NAN],
        duration_mins=30,
        weights=WEIGHTS,
        count=2,
    )
    assert [one.begins for one in found.greenest] == [30, 120]
    assert [one.begins for one in found.cheapest] == [0, 90]
    terms = found.cheapest[0].terms
    assert (terms.energy, terms.carbon, terms.stress) == (10.0, pytest.approx(20.0), pytest.approx(10.0))
    assert terms.total == pytest.approx(40.0)


def test_a_deadline_in_the_middle_of_a_half_hour_is_used_to_the_minute() -> None:
    found = windows.best([300, 200, 100], [1, 1, 1], duration_mins=40, weights=WEIGHTS, latest_end_mins=75, count=1)
    assert (found.greenest[0].begins, found.greenest[0].ends) == (35, 75)
    assert found.greenest[0].mean_carbon_gco2_kwh == pytest.approx((25 * 200 + 15 * 100) / 40)


def test_of_equals_the_earlier_comes_first() -> None:
    found = windows.best([0.1 * 3] * 8, [70.1] * 8, duration_mins=50, weights=WEIGHTS, count=9)
    assert [one.begins for one in found.greenest] == [0.0, 60.0, 120.0, 180.0]


def test_without_a_price_there_is_no_cheapest_and_no_price() -> None:
    found = windows.best([100, 50], [NAN, math.inf], duration_mins=30, weights=WEIGHTS)
    assert found.cheapest == ()
    assert found.greenest[0].begins == 30
    assert math.isnan(found.greenest[0].mean_price_gbp_mwh)
    assert math.isnan(found.greenest[0].terms.energy)
    assert found.greenest[0].terms.total == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("carbon", "mins", "earliest", "said"),
    [
        ([1.0], 30, 0, "price 2"),
        ([1.0, 1.0], 0, 0, "0 minutes from"),
        ([1.0, 1.0], 30, -1, "from minute -1"),
    ],
)
def test_what_is_no_window_is_refused(carbon: list, mins: float, earliest: float, said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        windows.best(carbon, [1.0, 1.0], duration_mins=mins, weights=WEIGHTS, earliest_mins=earliest)
    assert said in refusal.value.detail
