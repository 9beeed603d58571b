from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy._core import _multiarray_umath

from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, LONDON
from pylon.planning import forecast as planning
from pylon.planning._forecast_usual import read_clock
from pylon.planning.forecast import LEADS, LEVELS, Maker, Quantity

DAY, WEEK = 48, 336
WINTER = datetime(2023, 1, 2, tzinfo=UTC)  # a Monday


def local(starts_at: datetime, size: int) -> list[datetime]:
    return [(starts_at + at * HALF_HOUR).astimezone(LONDON) for at in range(size)]


def by_the_clock(starts_at: datetime, size: int, *, weekend: float = 1.0) -> np.ndarray:
    """A series that the London clock alone decides."""
    return np.array(
        [(100 + at.hour + at.minute / 60) * (weekend if at.weekday() >= 5 else 1) for at in local(starts_at, size)]
    )


def restless(days: int, *, memory: float = 0.98, seed: int = 1, mean: float = 200.0) -> np.ndarray:
    """A daily wave, and around it a noise in which a value remembers the one before."""
    dice = np.random.default_rng(seed)
    values, now = np.empty(days * DAY), 0.0
    for at in range(values.size):
        now = memory * now + dice.normal(0, 10 * np.sqrt(1 - memory**2))
        values[at] = mean + 30 * np.sin(at / DAY * 2 * np.pi) + now
    return values


def carbon(history, starts_at=WINTER):
    return planning.fit(history, starts_at, quantity=Quantity.CARBON)


@pytest.fixture(scope="module")
def year():
    """A year of a restless series, a model of it but for the last week, and that week."""
    values = restless(372)
    return values[:-WEEK], carbon(values[:-WEEK]), values[-WEEK:]


@pytest.mark.parametrize("changes", [datetime(2023, 3, 26, tzinfo=UTC), datetime(2023, 10, 29, tzinfo=UTC)])
def test_the_london_clock_is_followed_through_a_change_of_the_clocks(changes):
    starts_at = changes - timedelta(days=30)
    history = by_the_clock(starts_at, 29 * DAY)
    forecast_at = starts_at + history.size * HALF_HOUR
    made = planning.forecast(carbon(history, starts_at), history[-2 * DAY :], forecast_at, 3 * DAY)
    assert made.mean == pytest.approx(by_the_clock(forecast_at, 3 * DAY))
    again = by_the_clock(starts_at, 40 * DAY)
    later = starts_at + again.size * HALF_HOUR
    through = planning.forecast(carbon(again, starts_at), again[-2 * DAY :], later)
    assert through.mean == pytest.approx(by_the_clock(later, LEADS))


def test_a_weekend_is_forecast_as_a_weekend():
    history = by_the_clock(WINTER, 8 * WEEK + 4 * DAY, weekend=0.5)  # ends on a Thursday night
    at = WINTER + history.size * HALF_HOUR
    made = planning.forecast(carbon(history), history[-2 * DAY :], at)
    came = by_the_clock(at, LEADS, weekend=0.5)
    assert made.mean[:DAY] == pytest.approx(came[:DAY], rel=0.1)
    assert made.mean[DAY:] == pytest.approx(came[DAY:], rel=0.2)


def test_what_is_usual_follows_a_change_of_level():
    values = np.concatenate([np.full(200 * DAY, 100.0), np.full(14 * DAY, 300.0)])
    usual = carbon(values).usual
    assert usual[0] == pytest.approx(200, abs=8)  # half of the weight is in the last 14 days
    assert usual[1] == pytest.approx(200, abs=8)


def test_the_memory_of_a_series_is_found():
    model = carbon(restless(300, memory=0.9))
    leads = np.arange(12)
    assert model.weights[leads, 0] == pytest.approx(0.9 ** (leads + 1), abs=0.05)
    assert model.fade[leads] == pytest.approx(0.9 ** (leads + 1), abs=0.05)
    assert np.abs(model.weights[60:, 0]).max() < 0.1


def test_a_spike_of_yesterday_is_expected_again_at_its_time():
    history = np.repeat(np.random.default_rng(2).normal(200, 20, (100, DAY)), 2, axis=0).ravel()
    model, at = carbon(history), WINTER + history.size * HALF_HOUR
    recent = planning.forecast(model, (), at, DAY).mean  # the same kind of day as the one before
    spiked = recent.copy()
    spiked[20] += 100
    extra = planning.forecast(model, spiked, at, DAY).mean - planning.forecast(model, recent, at, DAY).mean
    assert 30 < extra[20] == pytest.approx(100 * model.weights[20, 1])
    assert extra[np.arange(DAY) != 20] == pytest.approx(0, abs=1e-9)


def test_the_band_holds_nine_in_ten_of_what_comes(year):
    history, model, _ = year
    later = restless(600)[history.size :]
    lower, upper, came = [], [], []
    for at in range(2 * DAY, later.size - LEADS, 37):
        starts_at = WINTER + (history.size + at) * HALF_HOUR
        made = planning.forecast(model, later[at - 2 * DAY : at], starts_at)
        lower.append(made.quantiles[0])
        upper.append(made.quantiles[-1])
        came.append(later[at : at + LEADS])
    assert planning.coverage(lower, upper, came) == pytest.approx(0.9, abs=0.04)


def test_quantiles_widen_with_the_lead_and_upper_is_the_one_caps_use(year):
    history, model, _ = year
    made = planning.forecast(model, history[-LEADS:], WINTER + history.size * HALF_HOUR)
    width = made.quantiles[-1] - made.quantiles[0]
    assert width[0] < width[8] < width[90]
    assert (made.upper == made.quantiles[LEVELS.index(0.9)]).all()
    assert (made.upper > made.mean).all()
    assert not made.is_short
    assert set(made.makers) == {Maker.MODEL}


def test_after_wild_days_the_band_is_wider():
    calm = restless(60)
    wild = calm.copy()
    wild[-10 * DAY :] += 4 * (restless(10, seed=5) - restless(10, seed=5).mean())
    assert np.ptp(carbon(wild).offsets, axis=0).mean() > 1.3 * np.ptp(carbon(calm).offsets, axis=0).mean()


@pytest.mark.parametrize("late", [1, 3, 50])
def test_where_the_last_values_are_not_known_leads_count_from_the_last_that_is(year, late):
    history, model, _ = year
    ends_at = WINTER + history.size * HALF_HOUR
    missing = np.concatenate([history[-200:], np.full(late, np.nan)])
    made = planning.forecast(model, missing, ends_at + late * HALF_HOUR, LEADS - late)
    whole = planning.forecast(model, history[-200:], ends_at)
    assert (made.mean == whole.mean[late:]).all()
    assert (made.quantiles == whole.quantiles[:, late:]).all()


@pytest.mark.parametrize("recent", [(), np.full(60, np.nan), np.full(200, np.nan)])
def test_with_nothing_recent_it_is_what_is_usual(year, recent):
    history, model, _ = year
    at = WINTER + history.size * HALF_HOUR
    made = planning.forecast(model, recent, at, 120)
    clock = read_clock(at, 120)
    assert (made.mean == model.usual[clock.is_weekend, clock.half_hour]).all()
    assert (made.quantiles == made.mean + model.offsets[:, [LEADS - 1] * 120]).all()


def test_gaps_in_the_history_and_in_what_is_recent_are_left_out(year):
    history, whole, _ = year
    holed = history.copy()
    holed[5_000:5_091] = np.nan
    holed[7_000:7_005] = np.nan
    model = carbon(holed)
    recent = history[-LEADS:].copy()
    recent[-20:-10] = np.nan
    at = WINTER + history.size * HALF_HOUR
    made, expected = planning.forecast(model, recent, at), planning.forecast(whole, history[-LEADS:], at)
    assert np.isfinite(made.quantiles).all()
    assert made.mean == pytest.approx(expected.mean, abs=10)
    assert made.mean[0] == pytest.approx(expected.mean[0], abs=1)


@pytest.mark.parametrize("days", [1, 2, 3, 5, 7])
def test_a_short_history_is_said_to_be_short_and_is_wider(year, days):
    history, model, _ = year
    at = WINTER + history.size * HALF_HOUR
    few = history[-days * DAY :]
    short = planning.forecast(carbon(few, at - few.size * HALF_HOUR), few, at)
    long = planning.forecast(model, history[-LEADS:], at)
    assert short.is_short
    assert np.isfinite(short.quantiles).all()
    assert np.ptp(short.quantiles[[0, -1]], axis=0).mean() > np.ptp(long.quantiles[[0, -1]], axis=0).mean()


@pytest.mark.parametrize("history", [(), np.full(500, np.nan), np.ones(47)])
def test_a_history_of_less_than_a_day_is_refused(history):
    with pytest.raises(Invalid, match=r"The history of carbon has \d+ known half hours; a forecast needs 48"):
        carbon(history)


def test_a_day_known_long_ago_is_a_short_history_all_the_same():
    long_ago = np.full(60 * DAY, np.nan)
    long_ago[:DAY] = restless(1)
    model = carbon(long_ago)
    assert model.is_short
    assert (model.offsets == carbon(restless(1)).offsets).all()


def test_no_half_hours_cannot_be_forecast(year):
    with pytest.raises(Invalid, match="0 half hours"):
        planning.forecast(year[1], (), WINTER, 0)


def test_a_series_that_never_moves_is_certain():
    made = planning.forecast(carbon(np.full(40 * DAY, 7.0)), np.full(DAY, 7.0), WINTER + 40 * DAY * HALF_HOUR)
    assert made.mean == pytest.approx(7)
    assert made.quantiles == pytest.approx(7)


def test_carbon_and_demand_stay_above_0_and_prices_need_not():
    values = restless(40, mean=5.0)
    at = WINTER + values.size * HALF_HOUR
    made = {
        kind: planning.forecast(planning.fit(values, WINTER, quantity=kind), values[-LEADS:], at)
        for kind in Quantity
    }
    price = made[Quantity.PRICE]
    assert price.mean.min() < 0
    for kind in (Quantity.CARBON, Quantity.DEMAND):
        assert (made[kind].mean == np.maximum(price.mean, 0)).all()
        assert (made[kind].quantiles == np.maximum(price.quantiles, 0)).all()


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(DAY, 12 * DAY),
    holes=st.lists(st.tuples(st.integers(0, 600), st.integers(1, 100)), max_size=3),
    seed=st.integers(0, 9),
    starts=st.integers(0, 365),
)
def test_any_history_of_a_day_or_more_gives_ordered_quantiles_that_scale_with_it(size, holes, seed, starts):
    values = restless(12, seed=seed)[:size]
    for begin, length in holes:
        values[begin : begin + length] = np.nan
    starts_at = WINTER + timedelta(days=starts)
    at = starts_at + size * HALF_HOUR
    if np.isfinite(values).sum() < DAY:
        return
    made, doubled = (
        planning.forecast(planning.fit(each, starts_at, quantity=Quantity.PRICE), each, at)
        for each in (values, 2 * values)
    )
    assert np.isfinite(made.mean).all()
    assert (np.diff(made.quantiles, axis=0) >= 0).all()
    assert (doubled.mean == 2 * made.mean).all()
    assert (doubled.quantiles == 2 * made.quantiles).all()


DIGEST = """
import hashlib, sys
import numpy as np
from datetime import UTC, datetime
from pylon.planning import forecast as planning
at = np.arange(60 * 48)
values = 200 + (at * 7919 % 1009) / 7 + (at % 48) * 1.1
values[1000:1091] = np.nan
model = planning.fit(values, datetime(2023, 1, 2, tzinfo=UTC), quantity=planning.Quantity.CARBON)
made = planning.forecast(model, values[-96:], datetime(2023, 3, 3, tzinfo=UTC))
print(hashlib.sha256(made.mean.tobytes() + made.quantiles.tobytes() + model.fade.tobytes()).hexdigest())
"""


def test_the_same_bytes_come_of_the_plainest_processor():
    """NumPy with all its instructions, and with none beyond its baseline."""
    digests = set()
    for features in ("", " ".join(_multiarray_umath.__cpu_dispatch__)):
        environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features, "PYTHONWARNINGS": "ignore"}
        ran = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(ran.stdout)
    assert len(digests) == 1


@pytest.fixture(scope="module")
def ours(year):
    history, model, _ = year
    return planning.forecast(model, history[-LEADS:], WINTER + history.size * HALF_HOUR)


def test_a_whole_official_forecast_stands_as_it_is(ours):
    official = np.arange(LEADS) + 50.0
    made = planning.fill(official, ours)
    assert (made.mean == official).all()
    assert set(made.makers) == {Maker.OFFICIAL}


def test_ours_continues_a_short_one_and_each_half_hour_says_whose_it_is(ours):
    official = ours.mean[:60] + 20
    made = planning.fill(official, ours)
    assert made.makers == (Maker.OFFICIAL,) * 60 + (Maker.MODEL,) * 36
    assert (made.mean[:60] == official).all()
    assert made.mean[60:] == pytest.approx(ours.mean[60:] + 20 * ours.fade[:36])
    assert made.quantiles[:, 60:] == pytest.approx(ours.quantiles[:, 60:] + 20 * ours.fade[:36])
    assert 10 < made.mean[60] - ours.mean[60] < 20


def test_holes_are_filled_each_from_what_stands_before_it(ours):
    official = ours.mean + 8
    official[:2], official[10:13], official[40:] = np.nan, np.nan, np.nan
    made = planning.fill(official, ours)
    assert (made.mean[:2] == ours.mean[:2]).all()
    assert made.mean[10:13] == pytest.approx(ours.mean[10:13] + 8 * ours.fade[:3])
    assert made.mean[40:] == pytest.approx(ours.mean[40:] + 8 * ours.fade[:56])
    assert [made.makers[at] for at in (0, 2, 10, 13, 40)] == [
        Maker.MODEL,
        Maker.OFFICIAL,
        Maker.MODEL,
        Maker.OFFICIAL,
        Maker.MODEL,
    ]


@pytest.mark.parametrize("official", [(), np.full(LEADS, np.nan)])
def test_without_an_official_forecast_it_is_ours(ours, official):
    made = planning.fill(official, ours)
    assert (made.mean == ours.mean).all()
    assert (made.quantiles == ours.quantiles).all()
    assert made.makers == ours.makers


def test_a_stale_official_forecast_is_not_used(ours):
    official = np.full(LEADS, 50.0)
    assert planning.fill(official, ours, age=planning.STALE_AFTER).makers[0] is Maker.OFFICIAL
    stale = planning.fill(official, ours, age=planning.STALE_AFTER + HALF_HOUR)
    assert (stale.mean == ours.mean).all()
    assert set(stale.makers) == {Maker.MODEL}


def test_the_official_errors_make_its_quantiles_where_they_are_known(ours):
    errors = np.array([-30.0, -20.0, -8.0, 0.0, 8.0, 20.0, 30.0])
    made = planning.fill(np.full(10, 25.0), ours, errors=errors)
    assert made.quantiles[:, 0].tolist() == [0, 5, 17, 25, 33, 45, 55]
    assert made.upper[9] == 45
    assert (made.quantiles[:, 40] != 25 + errors).all()
    by_lead = planning.fill(np.full(10, 25.0), ours, errors=np.outer(errors, np.arange(LEADS)))
    assert by_lead.upper[:3].tolist() == [25, 45, 65]
    stand_in = planning.fill(np.full(10, 125.0), ours)
    assert stand_in.quantiles[:, :10] == pytest.approx(125 + (ours.quantiles - ours.mean)[:, :10])
    with pytest.raises(Invalid, match=r"errors have shape \(3,\)"):
        planning.fill(np.full(10, 25.0), ours, errors=np.zeros(3))


def test_a_filled_forecast_of_carbon_does_not_fall_below_0(ours):
    made = planning.fill([0.0], ours, errors=np.full(len(LEVELS), -10.0))
    assert made.quantiles[:, 0].tolist() == [0] * len(LEVELS)
    assert made.quantiles.min() >= 0
    falling = replace(ours, mean=np.where(np.arange(LEADS) == 0, 200.0, 1.0))
    assert planning.fill([0.0], falling).mean[1] == 0
    price = planning.fill([0.0], replace(falling, quantity=Quantity.PRICE)).mean[1]
    assert price == pytest.approx(1 - 200 * ours.fade[0])


def test_an_official_forecast_longer_than_ours_is_refused(ours):
    with pytest.raises(Invalid, match="97 half hours and ours 96"):
        planning.fill(np.ones(97), ours)
