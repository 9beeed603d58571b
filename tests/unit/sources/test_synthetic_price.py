from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from pylon.ontology.calendar import LONDON, half_hours
from pylon.sources import _gb_model as model
from pylon.sources import feed
from pylon.sources._noise import clock
from pylon.sources.feed import Supply
from pylon.sources.synthetic_price import SOURCES, PriceSimulator, prices_gbp_mwh

NOW = datetime(2026, 11, 22, 8, 10, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = list(half_hours(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)))


def fetch(start: datetime, end: datetime, *, now: datetime = NOW, seed: int = 7, **more: Any) -> feed.Batch:
    return PriceSimulator().fetch(
        feed.Request(now=now, start=start, end=end, seed=seed, http=cast(Any, None), **more)
    )


def test_it_says_that_it_is_simulated():
    (source,) = SOURCES
    assert source.terms.is_simulated
    assert source.terms.supplies == {Supply.PRICE}
    assert source in feed.discover()


def test_the_same_whenever_and_in_whichever_window_it_is_asked():
    batch = fetch(NOW - DAY, NOW + 2 * DAY)
    assert fetch(NOW - DAY, NOW + 2 * DAY, now=NOW + 9 * DAY) == batch
    assert list(batch.national[48:]) == list(fetch(NOW, NOW + 2 * DAY).national)
    assert fetch(NOW - DAY, NOW + 2 * DAY, seed=8) != batch


def test_prices_have_two_places_and_nothing_else_comes_with_them():
    batch = fetch(NOW, NOW + DAY)
    assert batch.rows_seen == len(batch.national) == 49
    for reading in batch.national:
        assert reading.wholesale_price_gbp_mwh is not None
        assert reading.wholesale_price_gbp_mwh.as_tuple().exponent == -2
        assert reading == feed.NationalReading(
            starts_at=reading.starts_at, wholesale_price_gbp_mwh=reading.wholesale_price_gbp_mwh
        )


def test_nothing_when_no_price_is_wanted():
    assert fetch(NOW, NOW + DAY, wanted=frozenset({Supply.CARBON})) == feed.Batch(rows_seen=0)
    assert fetch(NOW, NOW - DAY) == feed.Batch(rows_seen=0)


@pytest.mark.parametrize("seed", [0, 2025])
def test_a_year_has_a_believable_price(seed):
    # Real market index, first half of 2026: mean 93.4, standard deviation 35.6, 2.5 % negative, -58.5 to 560.8.
    price = prices_gbp_mwh(seed, YEAR)
    assert 83 <= price.mean() <= 95
    assert 30 <= price.std() <= 48
    assert 0.01 <= np.mean(price < 0) <= 0.04
    assert price.min() >= -60
    assert 300 <= price.max() <= 600
    assert 0.0005 <= np.mean(price > 250) <= 0.005


@pytest.fixture(scope="module")
def price() -> NDArray[np.float64]:
    return prices_gbp_mwh(3, YEAR)


def test_the_shape_of_a_day(price):
    local = [at.astimezone(LONDON) for at in YEAR]
    hour = np.array([at.hour for at in local])
    weekend = np.array([at.weekday() >= 5 for at in local])
    night, day = price[(hour >= 1) & (hour < 5)].mean(), price[(hour >= 10) & (hour < 15)].mean()
    evening = price[(hour >= 17) & (hour < 20)].mean()
    assert night < day < evening
    assert 45 <= night <= 65
    assert 65 <= day <= 95
    assert 125 <= evening <= 155
    assert price[weekend].mean() < 0.95 * price[~weekend].mean()


def test_prices_go_below_zero_only_when_wind_and_sun_abound(price):
    share = model.grid(3, clock(YEAR)).renewable_share
    assert share[price < 0].min() > 0.7
    assert np.corrcoef(price, share)[0, 1] < -0.5


def test_volatility_is_autocorrelated(price):
    assert np.corrcoef(price[:-1], price[1:])[0, 1] > 0.9
