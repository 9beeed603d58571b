from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest

from pylon.ontology import carbon
from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours
from pylon.ontology.enums import Fuel
from pylon.sources import _gb_model as model
from pylon.sources import feed
from pylon.sources._noise import clock, normal, smooth, smooth_plane, uniform
from pylon.sources.feed import Supply
from pylon.sources.synthetic_grid import SOURCES, GbSimulator

NOW = datetime(2026, 11, 22, 8, 10, tzinfo=UTC)
DAY = timedelta(days=1)
NO_NETWORK = cast(Any, None)


def fetch(start: datetime, end: datetime, *, now: datetime = NOW, seed: int = 7, **more: Any) -> feed.Batch:
    return GbSimulator().fetch(feed.Request(now=now, start=start, end=end, seed=seed, http=NO_NETWORK, **more))


@pytest.fixture(scope="module")
def year() -> feed.Batch:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return fetch(start, start + 365 * DAY, now=start + 365 * DAY, wanted=frozenset({Supply.CARBON, Supply.DEMAND}))


@pytest.fixture(scope="module")
def three_days() -> feed.Batch:
    return fetch(NOW - DAY, NOW + 2 * DAY)


def test_it_says_that_it_is_simulated():
    (source,) = SOURCES
    assert source.terms.is_simulated
    assert source.terms.data_source == feed.SIMULATED
    assert "simulated" in source.terms.title.lower()
    assert source in feed.discover()


def test_the_same_request_gives_the_same_batch(three_days):
    assert fetch(NOW - DAY, NOW + 2 * DAY) == three_days
    assert fetch(NOW - DAY, NOW + 2 * DAY, seed=8) != three_days


def test_windows_agree_where_they_overlap(three_days):
    other = fetch(NOW - 3 * DAY, NOW + DAY)
    shared = [reading for reading in three_days.national if reading.starts_at < NOW + DAY]
    assert shared == [reading for reading in other.national if reading.starts_at >= floor(NOW - DAY)]
    local = [reading for reading in three_days.regional if reading.starts_at < NOW + DAY]
    assert local == [reading for reading in other.regional if reading.starts_at >= floor(NOW - DAY)]


def test_the_whole_window_comes_in_order(three_days):
    starts = list(half_hours(NOW - DAY, NOW + 2 * DAY))
    assert [reading.starts_at for reading in three_days.national] == starts
    assert [(reading.starts_at, reading.region_id) for reading in three_days.regional] == [
        (at, region_id) for at in starts for region_id in range(1, 18)
    ]
    assert three_days.rows_seen == len(starts) * 18 + len(carbon.FACTORS_GCO2_KWH)
    assert three_days.factors == carbon.FACTORS_GCO2_KWH
    assert not three_days.rejected
    assert not three_days.missing


@pytest.mark.parametrize("supply", list(Supply))
def test_only_what_is_wanted_comes(supply):
    batch = fetch(NOW, NOW + DAY, wanted=frozenset({supply}))
    national = batch.national[0] if batch.national else feed.NationalReading(starts_at=NOW)
    assert bool(batch.national) == (supply in {Supply.CARBON, Supply.MIX, Supply.DEMAND})
    assert bool(batch.regional) == (supply is Supply.REGIONAL)
    assert bool(batch.factors) == (supply is Supply.FACTORS)
    assert (national.carbon_intensity_forecast is not None) == (supply is Supply.CARBON)
    assert (national.carbon_index is not None) == (supply is Supply.CARBON)
    assert (national.demand_mw is not None) == (supply is Supply.DEMAND)
    assert (national.mix is not None) == (supply is Supply.MIX)
    assert national.wholesale_price_gbp_mwh is None


def test_an_empty_window_is_empty():
    assert not fetch(NOW, NOW - DAY).national


def test_every_mix_sums_to_a_hundred_and_gives_its_intensity(three_days):
    for reading in [*three_days.national, *three_days.regional]:
        assert list(reading.mix) == list(Fuel)
        assert sum(reading.mix.values()) == 100
        assert all(0 <= share <= 100 and share == round(share, 1) for share in reading.mix.values())
        assert reading.mix[Fuel.COAL] == 0
        intensity = 0.93 * sum(float(share) * carbon.FUEL_FACTOR[fuel] for fuel, share in reading.mix.items()) / 100
        stated = getattr(reading, "carbon_intensity_actual", None)
        stated = reading.carbon_intensity_forecast if stated is None else stated
        assert stated == pytest.approx(intensity, abs=0.51)
        assert reading.carbon_index == carbon.index(stated, reading.starts_at.year)


def test_only_half_hours_before_the_present_one_have_an_actual(three_days):
    for reading in three_days.national:
        assert (reading.carbon_intensity_actual is not None) == (reading.starts_at < floor(NOW))


def test_the_truth_does_not_depend_on_when_one_asks():
    later = fetch(NOW - DAY, NOW, now=NOW + 5 * DAY)
    for then, now in zip(later.national, fetch(NOW - DAY, NOW).national, strict=True):
        if then.starts_at < floor(NOW):
            assert then == now


def test_forecasts_are_revised_until_their_half_hour_begins_and_then_no_more():
    def seen(now: datetime) -> tuple[list[feed.RegionalReading], list[int | None]]:
        batch = fetch(NOW + DAY, NOW + 2 * DAY, now=now)
        return list(batch.regional), [reading.carbon_intensity_forecast for reading in batch.national]

    assert seen(NOW) == seen(floor(NOW))
    assert seen(NOW) != seen(NOW + HALF_HOUR)
    assert seen(NOW + 2 * DAY) == seen(NOW + 9 * DAY)


def test_forecast_errors_grow_with_the_horizon():
    start = datetime(2026, 1, 5, tzinfo=UTC)
    carbon_only = frozenset({Supply.CARBON})
    errors: dict[int, list[int]] = defaultdict(list)
    settled = fetch(start, start + 300 * DAY, now=start + 300 * DAY, wanted=carbon_only)
    truth = {reading.starts_at: reading.carbon_intensity_actual for reading in settled.national}
    for now in (start + n * 12 * DAY for n in range(24)):
        for reading in fetch(now, now + 2 * DAY, now=now, wanted=carbon_only).national:
            step = (reading.starts_at - now) // HALF_HOUR
            error = cast(int, reading.carbon_intensity_forecast) - cast(int, truth[reading.starts_at])
            errors[step // 12].append(error)
    spread = [float(np.std(errors[part])) for part in range(8)]
    assert 8 < spread[0] < 15
    assert 17 < spread[-1] < 28
    assert spread[0] < spread[3] < spread[7]
    assert all(abs(np.mean(errors[part])) < 6 for part in range(8))


def test_a_year_has_a_believable_carbon_intensity(year):
    actual = np.array([reading.carbon_intensity_actual for reading in year.national])
    assert 110 <= actual.mean() <= 170
    assert 15 <= actual.min() <= 40
    assert 230 <= actual.max() <= 320
    assert np.abs(np.diff(actual)).max() <= 60  # a larger step would be flagged as a fault
    forecast = np.array([reading.carbon_intensity_forecast for reading in year.national])
    assert np.abs(forecast - actual).max() <= 60
    assert 5 <= np.abs(forecast - actual).mean() <= 13


def test_a_year_has_a_believable_demand(year):
    demand = np.array([reading.demand_mw for reading in year.national])
    local = [reading.starts_at.astimezone(LONDON) for reading in year.national]
    hour, month = np.array([at.hour for at in local]), np.array([at.month for at in local])
    weekend = np.array([at.weekday() >= 5 for at in local])
    winter, summer = np.isin(month, (12, 1, 2)), np.isin(month, (6, 7, 8))
    assert demand.min() > 13_000
    assert demand.max() < 47_000
    assert np.mean((demand > 20_000) & (demand < 45_000)) > 0.85
    assert demand[winter].mean() > 1.2 * demand[summer].mean()
    assert demand[weekend].mean() < 0.95 * demand[~weekend].mean()
    by_hour = [demand[winter & ~weekend & (hour == at)].mean() for at in range(24)]
    assert int(np.argmax(by_hour)) in (17, 18)
    assert int(np.argmin(by_hour)) in (3, 4, 5)


def test_solar_follows_the_sun():
    starts = list(half_hours(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)))
    solar = model.grid(3, clock(starts)).mix_percent[:, model.FUELS.index(Fuel.SOLAR)]
    hour, month = np.array([at.hour for at in starts]), np.array([at.month for at in starts])
    assert (solar[(hour >= 21) | (hour < 3)] == 0).all()
    assert (solar[(hour >= 11) & (hour < 13)] > 0).all()
    assert solar[month == 6].mean() > 4 * solar[month == 12].mean()
    by_hour = [solar[(month == 6) & (hour == at)].mean() for at in range(24)]
    assert int(np.argmax(by_hour)) in (11, 12, 13)


def test_each_region_has_its_own_character_and_the_nation_is_their_mean():
    starts = list(half_hours(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)))[::29]
    half_hour = clock(starts)
    national = model.grid(4, half_hour).mix_percent
    regional = model.regional_mix(4, half_hour, national)
    intensity = model.carbon_gco2_kwh(regional)
    mean = dict(enumerate(intensity.mean(axis=0), start=1))
    assert np.quantile(intensity[:, 0], 0.95) <= 40
    assert mean[2] < 30
    assert mean[7] == max(mean.values())
    assert mean[13] > mean[3]
    assert mean[16] < mean[15] < mean[17]
    assert intensity.min() >= 0
    assert intensity.max() <= 390
    weighted = intensity[:, :14] @ model._DEMAND_SHARE
    assert np.abs(weighted - model.carbon_gco2_kwh(national)).max() < 2
    assert regional.sum(axis=-1) == pytest.approx(100)


def test_countries_are_made_of_every_region_once():
    parts: dict[int, float] = defaultdict(float)
    for regions in model.COUNTRIES.values():
        for region_id, part in regions.items():
            parts[region_id] += part
    assert dict(parts) == pytest.approx(dict.fromkeys(range(1, 15), 1.0))
    assert set(model.COUNTRIES[15]) & set(model.COUNTRIES[17]) == {6}


def test_shifting_a_mix_moves_its_intensity_and_keeps_its_sum():
    mix = np.tile([7, 0, 12, 25, 14, 2, 2, 8, 30], (3, 1)).astype(float)
    by = np.array([-40.0, 0.0, 40.0])
    changed = model.shifted(mix, by)
    assert changed.sum(axis=-1) == pytest.approx(100)
    assert (changed >= 0).all()
    assert model.carbon_gco2_kwh(changed) - model.carbon_gco2_kwh(mix) == pytest.approx(by)
    assert (model.shifted(mix, np.array([-900.0, 0.0, 900.0])) >= 0).all()


def test_noise_is_standard_and_depends_on_its_name_and_seed():
    at = np.arange(60_000)
    for values in (normal(1, "a", at), smooth(1, "a", 12, at)):
        assert values.mean() == pytest.approx(0, abs=0.05)
        assert values.std() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(normal(1, "a", at), normal(2, "a", at))[0, 1] == pytest.approx(0, abs=0.02)
    assert np.corrcoef(normal(1, "a", at), normal(1, "b", at))[0, 1] == pytest.approx(0, abs=0.02)
    assert uniform(1, "a", at).min() > 0
    assert uniform(1, "a", at).max() < 1
    plane = smooth_plane(1, "a", 12, at, at // 3)
    assert plane.std() == pytest.approx(1, abs=0.05)


def test_noise_is_smooth_and_reaches_before_1970():
    at = np.arange(-500, 500)
    assert np.abs(np.diff(smooth(1, "a", 48, at))).max() < 0.25
    assert smooth(1, "a", 48, at[::2]).tolist() == smooth(1, "a", 48, at)[::2].tolist()


def test_percentages_have_one_place():
    reading = fetch(NOW, NOW + HALF_HOUR).national[0]
    assert reading.mix is not None
    assert {share.as_tuple().exponent for share in reading.mix.values()} == {-1}
    assert all(isinstance(share, Decimal) for share in reading.mix.values())
