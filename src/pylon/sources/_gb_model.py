"""A model of the GB grid to simulate from: demand, what generates it, and how that is shared among the regions.

Believable, not calibrated. The shape of demand comes from data; every other figure below is an assumption about
2026, chosen so that carbon intensity has the level, range and rhythm of the published one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pylon.ontology.carbon import FUEL_FACTOR
from pylon.ontology.enums import Fuel
from pylon.sources._noise import Clock, Floats, smooth

__all__ = ["COUNTRIES", "FUELS", "REGION_NUMBERS", "Grid", "carbon_gco2_kwh", "grid", "regional_mix", "shifted"]

FUELS = tuple(Fuel)
REGION_NUMBERS = tuple(range(1, 15))

DAYS = 48  # half hours in a day

# National demand plus embedded solar, GW: means by London hour, December to February and June to August 2023.
# Supported by National Energy SO Open Data.
_WINTER_WEEKDAY = (24.1, 23.7, 22.8, 22.1, 21.6, 22.8, 27.1, 31.9, 34.7, 36.5, 37.1, 37.3,
                   37.3, 36.6, 35.9, 35.8, 37.3, 38.9, 38.5, 36.8, 34.3, 31.3, 28.0, 24.9)  # fmt: skip
_WINTER_WEEKEND = (23.8, 23.2, 22.0, 21.1, 20.4, 20.5, 22.1, 24.2, 27.0, 29.9, 31.5, 32.2,
                   32.7, 32.4, 31.8, 32.1, 34.0, 35.9, 35.3, 33.4, 31.3, 28.9, 26.3, 23.7)  # fmt: skip
_SUMMER_WEEKDAY = (19.7, 18.9, 18.4, 17.9, 17.8, 18.4, 21.6, 25.5, 28.4, 29.8, 30.4, 30.8,
                   31.0, 30.6, 29.9, 29.3, 29.4, 29.6, 29.0, 28.0, 26.9, 25.9, 24.1, 21.6)  # fmt: skip
_SUMMER_WEEKEND = (18.8, 18.0, 17.2, 16.6, 16.2, 16.1, 17.3, 19.5, 22.0, 24.1, 25.3, 26.0,
                   26.3, 25.8, 25.1, 24.7, 25.0, 25.9, 25.8, 25.0, 24.0, 23.4, 22.2, 20.1)  # fmt: skip

_WIND_CAPACITY_GW = 32.0
_SOLAR_CAPACITY_GW = 18.0
_EMBEDDED_GROWTH_GW = 1.2  # demand met by embedded wind, which the profiles above leave out
_GAS_FLOOR_GW = 0.9  # kept running for stability
_IMPORTS_FLOOR_GW = 0.3

# The published intensity runs 7 % under the plain mean of the factors (embedded output, losses): grid-apis 1.5.
_SCALE = 0.93
_FACTORS = np.array([FUEL_FACTOR[fuel] for fuel in FUELS], np.float64)
_GAS, _WIND, _NUCLEAR = FUELS.index(Fuel.GAS), FUELS.index(Fuel.WIND), FUELS.index(Fuel.NUCLEAR)
_SOLAR = FUELS.index(Fuel.SOLAR)

# Share of GB demand by region 1 to 14, percent (assumption).
_DEMAND_SHARE = np.array([2.8, 6.1, 7.9, 4.7, 7.5, 5.6, 4.2, 8.4, 9.3, 11.2, 5.1, 10.7, 9.4, 7.1])
_DEMAND_SHARE = _DEMAND_SHARE / _DEMAND_SHARE.sum()

# How readily each region takes each fuel, as its mix might look in a middling hour (assumption). Only ratios count.
# The nine columns are the fuels in the order of `FUELS`: biomass first, wind last.
_AFFINITY = np.array(
    [
        [0.8, 1, 0.05, 0.25, 0.3, 0.05, 30, 2, 70],  # 1 North Scotland
        [3, 1, 0.3, 0.7, 42, 0.3, 5, 2, 48],  # 2 South Scotland
        [5, 1, 3, 13, 34, 2, 2, 4, 30],  # 3 North West England
        [9, 1, 10, 10, 26, 2, 0.3, 3, 34],  # 4 North East England
        [26, 1, 4, 32, 4, 2, 0.3, 4, 26],  # 5 South Yorkshire
        [3, 1, 12, 32, 10, 2, 4, 5, 30],  # 6 North Wales, Merseyside and Cheshire
        [3, 1, 6, 72, 1, 3, 1, 5, 8],  # 7 South Wales
        [8, 1, 6, 34, 14, 3, 0.3, 10, 22],  # 8 West Midlands
        [9, 1, 6, 46, 5, 3, 0.3, 9, 20],  # 9 East Midlands
        [6, 1, 10, 24, 12, 3, 0.2, 11, 34],  # 10 East England
        [4, 1, 14, 28, 9, 3, 1, 22, 16],  # 11 South West England
        [5, 1, 22, 34, 7, 3, 0.2, 15, 13],  # 12 South England
        [5, 1, 30, 38, 7, 5, 0.2, 6, 10],  # 13 London
        [4, 1, 42, 24, 7, 3, 0.2, 13, 12],  # 14 South East England
    ],
    np.float64,
)

# Region 6 lies in Wales and in England. Most of its people live in Merseyside and Cheshire, so England's mean takes
# 70 % of its demand and Wales's the rest (assumption): nothing is counted twice and nothing is left out.
_STRADDLING = 6
_ENGLISH_PART = 0.7
COUNTRIES: dict[int, dict[int, float]] = {
    15: {3: 1, 4: 1, 5: 1, 6: _ENGLISH_PART, 8: 1, 9: 1, 10: 1, 11: 1, 12: 1, 13: 1, 14: 1},
    16: {1: 1, 2: 1},
    17: {7: 1, _STRADDLING: 1 - _ENGLISH_PART},
}


@dataclass(frozen=True, slots=True)
class Grid:
    """Great Britain in n half hours."""

    demand_mw: Floats
    """National demand: what is consumed, less embedded solar. Shape n."""
    mix_percent: Floats
    """Share of each fuel in all generation, summing to 100. Shape n x 9, in the order of `FUELS`."""
    renewable_share: Floats
    """Wind and solar available (before curtailment) over consumption, 0 to about 1.3. Shape n."""


def grid(seed: int, clock: Clock) -> Grid:
    """Return the simulated truth for every half hour of `clock`."""
    winter = 0.5 + 0.5 * np.cos(2 * np.pi * (clock.year_day - 15) / 365.25)  # 1 in mid January, 0 in mid July
    consumption = _consumption_gw(seed, clock, winter)
    wind, solar = _wind_gw(seed, clock, winter), _solar_gw(seed, clock)
    renewable_share = (wind + solar) / consumption
    at = clock.number
    supply = {
        Fuel.BIOMASS: np.clip(2.1 + 0.5 * smooth(seed, "biomass", 2 * DAYS, at) - 0.06 * (wind - 10), 0.6, 3.1),
        Fuel.COAL: np.zeros_like(wind),
        Fuel.IMPORTS: np.clip(4.2 + 1.2 * smooth(seed, "imports", 20, at) - 0.2 * (wind - 10), 0.4, 8.0),
        Fuel.NUCLEAR: np.clip(4.4 + 0.4 * smooth(seed, "nuclear", 20 * DAYS, at), 3.3, 5.4),
        Fuel.OTHER: np.clip(0.45 + 0.1 * smooth(seed, "other", DAYS, at), 0.2, 0.8),
        Fuel.HYDRO: np.clip(0.4 + 0.35 * winter + 0.2 * smooth(seed, "hydro", 4 * DAYS, at), 0.12, 1.2),
        Fuel.SOLAR: solar,
        Fuel.WIND: wind,
    }
    _balance(supply, consumption)
    output = np.stack([supply[fuel] for fuel in FUELS], axis=-1)
    demand_mw = 1000 * (consumption - solar)
    return Grid(demand_mw, 100 * output / output.sum(axis=-1, keepdims=True), renewable_share)


def carbon_gco2_kwh(mix_percent: Floats) -> Floats:
    """Return the intensity of mixes (percent, fuels on the last axis), by `ontology.carbon.FUEL_FACTOR`."""
    return np.asarray(_SCALE * (mix_percent @ _FACTORS) / 100)


def shifted(mix_percent: Floats, by_gco2_kwh: Floats) -> Floats:
    """Return mixes whose intensity differs by `by_gco2_kwh`, as when more or less wind blows than was thought.

    Gas takes the place of wind, and of nuclear where there is no more wind; or wind that of gas. A mix can only
    change as far as it has something to give, so the difference may come out smaller.
    """
    points = by_gco2_kwh / (_SCALE * _FACTORS[_GAS] / 100)
    changed = mix_percent.copy()
    gas, wind, nuclear = (mix_percent[..., fuel] for fuel in (_GAS, _WIND, _NUCLEAR))
    points = np.clip(points, -np.maximum(gas - 1, 0), wind + nuclear)
    from_wind = np.minimum(points, wind)
    changed[..., _GAS] += points
    changed[..., _WIND] -= from_wind
    changed[..., _NUCLEAR] -= points - from_wind
    return changed


def regional_mix(seed: int, clock: Clock, mix_percent: Floats) -> Floats:
    """Return the mixes of regions 1 to 17, shape n x 17 x 9, of which the national mix (n x 9) is the mean.

    Each region takes of each fuel what it is apt to, under the local weather; the shares are then fitted so that
    every region's sum to 100 and the demand-weighted mean of regions 1 to 14 is the national mix (iterative
    proportional fitting, to within about 1 point).
    """
    local = np.stack([smooth(seed, f"wind/{number}", 24, clock.number) for number in REGION_NUMBERS], axis=-1)
    clouds = np.stack([smooth(seed, f"cloud/{number}", 10, clock.number) for number in REGION_NUMBERS], axis=-1)
    share = np.repeat(_AFFINITY[np.newaxis], clock.number.size, axis=0)
    share[..., _WIND] *= np.exp(0.35 * local)
    share[..., _SOLAR] *= np.exp(0.25 * clouds)
    for _ in range(8):
        have = np.einsum("r,nrf->nf", _DEMAND_SHARE, share)
        share *= (mix_percent / np.maximum(have, 1e-9))[:, np.newaxis, :]
        share *= 100 / share.sum(axis=-1, keepdims=True)
    return np.concatenate([share, np.einsum("cr,nrf->ncf", _country_weights(), share)], axis=1)


def _consumption_gw(seed: int, clock: Clock, winter: Floats) -> Floats:
    def daily(weekday: tuple[float, ...], weekend: tuple[float, ...]) -> Floats:
        middles = np.arange(24) + 0.5
        on_weekdays = np.interp(clock.hour, middles, weekday, period=24)
        return np.where(clock.is_weekend, np.interp(clock.hour, middles, weekend, period=24), on_weekdays)

    cold = smooth(seed, "cold", 4 * DAYS, clock.number)
    quick = smooth(seed, "demand", 8, clock.number)
    in_winter, in_summer = daily(_WINTER_WEEKDAY, _WINTER_WEEKEND), daily(_SUMMER_WEEKDAY, _SUMMER_WEEKEND)
    typical = winter * in_winter + (1 - winter) * in_summer
    return typical * (1 + (0.015 + 0.035 * winter) * np.clip(cold, -2.2, 2.2) + 0.006 * quick) + _EMBEDDED_GROWTH_GW


def _wind_gw(seed: int, clock: Clock, winter: Floats) -> Floats:
    front = smooth(seed, "wind/front", 3 * DAYS, clock.number)
    breeze = smooth(seed, "wind/breeze", 30, clock.number)
    gusts = smooth(seed, "wind/gusts", 8, clock.number)
    weather = 0.85 * front + 0.45 * breeze + 0.12 * gusts
    share = 0.02 + 0.78 / (1 + np.exp(1.0 - 0.7 * (winter - 0.5) - 1.5 * weather))
    return np.asarray(_WIND_CAPACITY_GW * share)


def _solar_gw(seed: int, clock: Clock) -> Floats:
    """Return solar output at 52.5 degrees north, 1.5 west: zero below the horizon, thinned by cloud."""
    declination = np.radians(23.44) * np.sin(2 * np.pi * (clock.year_day - 81) / 365.25)
    utc_hour = (clock.number % DAYS + 0.5) / 2
    hour_angle = np.radians(15 * (utc_hour - 12) - 1.5)
    latitude = np.radians(52.5)
    height = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    cloud = 0.7 * smooth(seed, "cloud/front", 2 * DAYS, clock.number) + 0.5 * smooth(
        seed, "cloud/patch", 6, clock.number
    )
    clearness = 0.22 + 0.6 / (1 + np.exp(-0.3 + 1.4 * cloud))
    return np.asarray(_SOLAR_CAPACITY_GW * np.maximum(height, 0) ** 1.2 * clearness)


def _balance(supply: dict[Fuel, Floats], consumption: Floats) -> None:
    """Let gas fill what is left; where that is under its floor, imports give way first and wind is curtailed."""
    left = consumption - sum(supply.values(), np.zeros_like(consumption))
    surplus = np.maximum(_GAS_FLOOR_GW - left, 0)
    fewer_imports = np.minimum(surplus, supply[Fuel.IMPORTS] - _IMPORTS_FLOOR_GW)
    curtailed = np.minimum(surplus - fewer_imports, supply[Fuel.WIND])
    supply[Fuel.IMPORTS] = supply[Fuel.IMPORTS] - fewer_imports
    supply[Fuel.WIND] = supply[Fuel.WIND] - curtailed
    supply[Fuel.GAS] = np.maximum(left, _GAS_FLOOR_GW)


def _country_weights() -> Floats:
    rows = [
        [parts.get(number, 0) * _DEMAND_SHARE[number - 1] for number in REGION_NUMBERS]
        for parts in COUNTRIES.values()
    ]
    weights = np.array(rows, np.float64)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
