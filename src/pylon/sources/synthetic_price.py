"""The wholesale price, simulated: a time-of-day shape with volatility, spikes and rare negative prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from pylon.ontology.calendar import HALF_HOUR, half_hours
from pylon.sources import _gb_model as model
from pylon.sources import feed
from pylon.sources._noise import Clock, Floats, clock, smooth

__all__ = ["SOURCES", "PriceSimulator", "prices_gbp_mwh"]

# Typical price by London hour, GBP/MWh, at a middling share of wind and sun (the original's shape; levels assumed).
_WEEKDAY = (69, 65, 62, 61, 61, 65, 77, 93, 102, 98, 93, 91,
            89, 87, 89, 97, 112, 130, 134, 127, 114, 101, 88, 77)  # fmt: skip
_WEEKEND_SHARE = 0.88
_MIDDLING_RENEWABLE_SHARE = 0.34
_GLUT_SHARE = 0.75  # of consumption met by wind and sun, above which prices fall away
_LOWEST_GBP_MWH, _HIGHEST_GBP_MWH = -60.0, 600.0


class PriceSimulator:
    """A stand-in for the market index price, drawn from the seed alone.

    Unlike the real index it is known ahead, as a day-ahead auction's result is, and never revised: a price depends
    on the seed and its half hour only. It feels the same simulated wind and sun as the simulated grid.
    """

    terms = feed.Terms(
        name="price_simulator",
        title="Simulated price",
        data_source=feed.SIMULATED,
        supplies=frozenset({feed.Supply.PRICE}),
        homepage="https://github.com/pylon-deg/pylon-deg",
        licence="Apache-2.0",
        attribution="Simulated by Pylon: no price anyone paid.",
        cadence=HALF_HOUR,
        delay=timedelta(0),
    )

    def fetch(self, request: feed.Request) -> feed.Batch:
        """Return a price for every half hour of [start, end), in order of time."""
        starts = list(half_hours(request.start, request.end))
        if not starts or feed.Supply.PRICE not in request.wanted:
            return feed.Batch(rows_seen=0)
        pence = np.rint(100 * prices_gbp_mwh(request.seed, starts)).astype(int).tolist()
        readings = [
            feed.NationalReading(starts_at=at, wholesale_price_gbp_mwh=Decimal(value).scaleb(-2))
            for at, value in zip(starts, pence, strict=True)
        ]
        return feed.Batch(national=readings, rows_seen=len(readings))


def prices_gbp_mwh(seed: int, starts: Sequence[datetime]) -> Floats:
    """Return the simulated price of the half hours that start at `starts` (UTC), in GBP/MWh, -60 to 600."""
    half_hour = clock(starts)
    renewable_share = model.grid(seed, half_hour).renewable_share
    typical = np.interp(half_hour.hour, np.arange(24) + 0.5, _WEEKDAY, period=24)
    typical = typical * np.where(half_hour.is_weekend, _WEEKEND_SHARE, 1)
    slow = smooth(seed, "price/slow", 5 * model.DAYS, half_hour.number)
    quick = smooth(seed, "price/quick", 5, half_hour.number)
    scarcity = np.exp(1.1 * (_MIDDLING_RENEWABLE_SHARE - renewable_share) + 0.12 * slow + 0.07 * quick)
    glut = 255 * np.maximum(renewable_share - _GLUT_SHARE, 0)
    price = typical * scarcity - glut + _spikes(seed, half_hour, renewable_share)
    # Below zero prices bend towards the level at which enough wind would rather stop.
    price = np.where(price < 0, _LOWEST_GBP_MWH * np.tanh(price / _LOWEST_GBP_MWH), price)
    return np.asarray(np.clip(price, _LOWEST_GBP_MWH, _HIGHEST_GBP_MWH), np.float64)


def _spikes(seed: int, half_hour: Clock, renewable_share: Floats) -> Floats:
    """Return what scarcity adds: nothing but on a few still afternoons and evenings a year, then up to hundreds."""
    tension = smooth(seed, "price/spike", 6, half_hour.number)
    evening = np.exp(-(((half_hour.hour - 18) / 2.5) ** 2))
    still = np.clip(1.6 - 3 * renewable_share, 0, 1)
    return np.asarray(370 * np.maximum(tension - 1.9, 0) * evening * still)


SOURCES: tuple[feed.Source, ...] = (PriceSimulator(),)
