"""Carbon intensity: the index bands of each year, and the factor behind each fuel of a mix.

Bands and factors are those of the Carbon Intensity API (NESO, CC BY 4.0), read November 2026. Factors are
combustion-only, so they do not compare with life-cycle figures.
"""

from __future__ import annotations

from collections.abc import Mapping

from pylon.ontology.enums import CarbonIndex, Fuel

__all__ = ["BANDS_GCO2_KWH", "FACTORS_GCO2_KWH", "FUEL_FACTOR", "index"]

# Upper bounds, exclusive, of very low, low, moderate and high. They tighten every year.
BANDS_GCO2_KWH: Mapping[int, tuple[int, int, int, int]] = {
    2020: (55, 150, 230, 350),
    2021: (50, 140, 220, 330),
    2022: (45, 130, 210, 310),
    2023: (40, 120, 200, 290),
    2024: (35, 110, 190, 270),
    2025: (30, 100, 180, 250),
    2026: (25, 90, 170, 230),
    2027: (20, 80, 160, 210),
    2028: (15, 70, 150, 190),
    2029: (10, 60, 140, 170),
    2030: (5, 50, 130, 150),
}

FACTORS_GCO2_KWH: Mapping[str, int] = {
    "Biomass": 120,
    "Coal": 937,
    "Dutch Imports": 474,
    "French Imports": 53,
    "Gas (Combined Cycle)": 394,
    "Gas (Open Cycle)": 651,
    "Hydro": 0,
    "Irish Imports": 458,
    "Nuclear": 0,
    "Oil": 935,
    "Other": 300,
    "Pumped Storage": 0,
    "Solar": 0,
    "Wind": 0,
}

# The nine fuels of a mix are coarser than the factors. Imports are a blend: the mean of the three factors served.
FUEL_FACTOR: Mapping[Fuel, float] = {
    Fuel.BIOMASS: 120,
    Fuel.COAL: 937,
    Fuel.IMPORTS: (474 + 53 + 458) / 3,
    Fuel.GAS: 394,
    Fuel.NUCLEAR: 0,
    Fuel.OTHER: 300,
    Fuel.HYDRO: 0,
    Fuel.SOLAR: 0,
    Fuel.WIND: 0,
}


def index(intensity_gco2_kwh: float, year: int) -> CarbonIndex:
    """Return the index of a carbon intensity by the bands of `year` (the first or last known year outside them).

    Bounds compare with `<`: in 2023 the API calls 289 high and 290 very high.
    """
    bands = BANDS_GCO2_KWH[min(max(year, min(BANDS_GCO2_KWH)), max(BANDS_GCO2_KWH))]
    words = list(CarbonIndex)
    return next((word for word, upper in zip(words, bands, strict=False) if intensity_gco2_kwh < upper), words[-1])
