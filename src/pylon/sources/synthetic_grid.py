"""The GB grid, simulated: carbon, generation mix and demand, national and regional, with forecasts that err."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from pylon.ontology import carbon
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.ontology.enums import Fuel
from pylon.sources import _gb_model as model
from pylon.sources import feed
from pylon.sources._noise import Clock, Floats, Ints, clock, normal, number, smooth, smooth_plane

__all__ = ["SOURCES", "GbSimulator", "regional_carbon"]

# Standard deviations of the forecast, in the manner of the published one: its last revision of a half hour had MAE
# 9.9 g in 2023, and all horizons to 48 h together 24 g (nmpowell/carbon-intensity-forecast-tracking, 2026).
# Demand: assumed.
LAST_ERROR_GCO2_KWH = 10.0
TWO_DAY_ERROR_GCO2_KWH = 25.0
LAST_DEMAND_ERROR_MW = 120.0
TWO_DAY_DEMAND_ERROR_MW = 500.0
_TWO_DAYS = 96  # half hours
_ERROR_LIMIT = 2.5  # standard deviations

_TENTHS = tuple(Decimal(tenths).scaleb(-1) for tenths in range(1001))
_NATIONAL = frozenset({feed.Supply.CARBON, feed.Supply.MIX, feed.Supply.DEMAND})


class GbSimulator:
    """A stand-in for the three grid APIs, drawn from the seed alone.

    The truth of a half hour depends on the seed. Its forecast depends also on the vintage, the half hour in which
    one asks: errors grow with the horizon, are revised from vintage to vintage, and stay as they last were once the
    half hour has begun. Past half hours have an actual intensity and the true mix; the others a forecast of each.
    Regional figures are always the last forecast, as they are upstream, where nobody measures them.
    """

    terms = feed.Terms(
        name="gb_simulator",
        title="Simulated GB grid",
        data_source=feed.SIMULATED,
        supplies=_NATIONAL | {feed.Supply.REGIONAL, feed.Supply.FACTORS},
        homepage="https://github.com/pylon-deg/pylon-deg",
        licence="Apache-2.0",
        attribution="Simulated by Pylon: no measurement or forecast of the real grid.",
        cadence=HALF_HOUR,
        delay=timedelta(0),
    )

    def fetch(self, request: feed.Request) -> feed.Batch:
        """Return what `request` wants for every half hour of [start, end), in order of time and then region."""
        starts = list(half_hours(request.start, request.end))
        wanted = request.wanted & self.terms.supplies
        national: Sequence[feed.NationalReading] = ()
        regional: Sequence[feed.RegionalReading] = ()
        if starts and wanted & (_NATIONAL | {feed.Supply.REGIONAL}):
            view = _View(request.seed, starts, floor(request.now))
            national = view.national(wanted) if wanted & _NATIONAL else ()
            regional = view.regional() if feed.Supply.REGIONAL in wanted else ()
        factors: Mapping[str, int] = carbon.FACTORS_GCO2_KWH if feed.Supply.FACTORS in wanted else {}
        return feed.Batch(
            national=national,
            regional=regional,
            factors=dict(factors),
            rows_seen=len(national) + len(regional) + len(factors),
        )


def regional_carbon(seed: int, starts: Sequence[datetime], national_gco2_kwh: Floats) -> Floats:
    """Return the simulated carbon of regions 1 to 14, shape n x 14, where that of the country is given.

    The simulated mix of each half hour is shifted towards that carbon and shared among the regions; what the shift
    cannot reach is made good by a factor that all regions have in common.
    """
    half_hour = clock(starts)
    mix = model.grid(seed, half_hour).mix_percent
    mix = model.shifted(mix, national_gco2_kwh - model.carbon_gco2_kwh(mix))
    regions = model.carbon_gco2_kwh(model.regional_mix(seed, half_hour, mix))[:, : len(model.REGION_NUMBERS)]
    return np.asarray(regions * (national_gco2_kwh / model.carbon_gco2_kwh(mix))[:, np.newaxis])


class _View:
    """The half hours `starts` as they look in the half hour `vintage`."""

    def __init__(self, seed: int, starts: Sequence[datetime], vintage: datetime) -> None:
        self._seed = seed
        self._starts = starts
        self._clock: Clock = clock(starts)
        self._is_past = self._clock.number < number(vintage)
        self._truth = model.grid(seed, self._clock)
        # Once its half hour has begun a forecast is no longer revised, so its vintage is that half hour.
        self._vintages = np.minimum(self._clock.number, number(vintage))
        self._forecast_mix = model.shifted(self._truth.mix_percent, self._carbon_error())

    def national(self, wanted: frozenset[feed.Supply]) -> list[feed.NationalReading]:
        """Return the national readings, with nothing but the quantities in `wanted`."""
        true_tenths, forecast_tenths = _tenths(self._truth.mix_percent), _tenths(self._forecast_mix)
        actual, forecast = _whole_grams(true_tenths), _whole_grams(forecast_tenths)
        mixes = _mixes(np.where(self._is_past[:, np.newaxis], true_tenths, forecast_tenths))
        demand = self._demand_mw()
        has_carbon, has_mix, has_demand = (
            supply in wanted for supply in (feed.Supply.CARBON, feed.Supply.MIX, feed.Supply.DEMAND)
        )
        readings = []
        for position, (at, is_past) in enumerate(zip(self._starts, self._is_past.tolist(), strict=True)):
            # A national zero is never legal upstream; no mix of this model is that clean, but rounding is rounding.
            expected, truth = max(forecast[position], 1), max(actual[position], 1)
            seen = truth if is_past else expected
            readings.append(
                feed.NationalReading(
                    starts_at=at,
                    carbon_intensity_forecast=expected if has_carbon else None,
                    carbon_intensity_actual=truth if has_carbon and is_past else None,
                    carbon_index=carbon.index(seen, at.year) if has_carbon else None,
                    demand_mw=demand[position] if has_demand else None,
                    mix=mixes[position] if has_mix else None,
                )
            )
        return readings

    def regional(self) -> list[feed.RegionalReading]:
        """Return the readings of regions 1 to 17: the forecast mix of each and the intensity that follows."""
        tenths = _tenths(model.regional_mix(self._seed, self._clock, self._forecast_mix))
        grams = _whole_grams(tenths)
        return [
            feed.RegionalReading(
                region_id=region_id,
                starts_at=at,
                carbon_intensity_forecast=intensity,
                carbon_index=carbon.index(intensity, at.year),
                mix=mix,
            )
            for at, row, intensities in zip(self._starts, tenths, grams, strict=True)
            for region_id, (mix, intensity) in enumerate(zip(_mixes(row), intensities, strict=True), start=1)
        ]

    def _carbon_error(self) -> Floats:
        return self._error("carbon", LAST_ERROR_GCO2_KWH, TWO_DAY_ERROR_GCO2_KWH)

    def _demand_mw(self) -> list[int]:
        error = self._error("demand", LAST_DEMAND_ERROR_MW, TWO_DAY_DEMAND_ERROR_MW)
        seen = self._truth.demand_mw + np.where(self._is_past, 0, error)
        values: list[int] = np.rint(seen).astype(int).tolist()
        return values

    def _error(self, of: str, last: float, two_days: float) -> Floats:
        """Return forecast errors whose standard deviation grows from `last` to `two_days` and then no more.

        The part that is never revised away, and a part that shrinks as the vintage nears the half hour.
        """
        target: Ints = self._clock.number
        horizon = np.minimum(target - self._vintages, _TWO_DAYS) / _TWO_DAYS
        slow = smooth(self._seed, f"error/{of}/slow", 6, target)
        quick = normal(self._seed, f"error/{of}/quick", target)
        revised = smooth_plane(self._seed, f"error/{of}/revised", 12, target, self._vintages)
        spread = np.sqrt((two_days**2 - last**2) * horizon)
        return np.asarray(last * _limited(0.8 * slow + 0.6 * quick) + spread * _limited(revised))


def _limited(error: Floats) -> Floats:
    return np.clip(error, -_ERROR_LIMIT, _ERROR_LIMIT)


def _tenths(mix_percent: Floats) -> Ints:
    """Return mixes in tenths of a percent that sum to exactly 1000 (largest remainders round up)."""
    exact = np.maximum(10 * mix_percent, 0)  # a rounding error below zero would become a whole tenth
    whole = np.floor(exact).astype(np.int64)
    short = 1000 - whole.sum(axis=-1, keepdims=True)
    order = np.argsort(whole - exact, axis=-1, kind="stable")
    place = np.argsort(order, axis=-1, kind="stable")
    return np.asarray(whole + (place < short))


def _whole_grams(tenths: Ints) -> list[Any]:
    grams: list[Any] = np.rint(model.carbon_gco2_kwh(tenths / 10)).astype(int).tolist()
    return grams


def _mixes(tenths: Ints) -> list[dict[Fuel, Decimal]]:
    return [dict(zip(model.FUELS, [_TENTHS[value] for value in row], strict=True)) for row in tenths.tolist()]


SOURCES: tuple[feed.Source, ...] = (GbSimulator(),)
