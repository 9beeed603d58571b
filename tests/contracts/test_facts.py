"""Facts the ontology states as data, held against where they came from."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pylon.ontology import columns
from pylon.ontology.carbon import BANDS_GCO2_KWH, FACTORS_GCO2_KWH, FUEL_FACTOR
from pylon.ontology.catalogue import ROWS
from pylon.ontology.enums import Country, Fuel
from pylon.ontology.grid import Region
from pylon.ontology.regions import REGIONS
from tests.contracts.source import modules

# The seed table of the original design, word for word: number, short name, country, aggregate.
ORIGINAL_REGIONS = """
1   North Scotland                      Scotland   No
2   South Scotland                      Scotland   No
3   North West England                  England    No
4   North East England                  England    No
5   South Yorkshire                     England    No
6   North Wales, Merseyside and Cheshire Wales     No
7   South Wales                         Wales      No
8   West Midlands                       England    No
9   East Midlands                       England    No
10  East England                        England    No
11  South West England                  England    No
12  South England                       England    No
13  London                              England    No
14  South East England                  England    No
15  England                             England    Yes
16  Scotland                            Scotland   Yes
17  Wales                               Wales      Yes
"""

# Great Britain with its islands: Scilly to Shetland, St Kilda to Lowestoft.
LATITUDES, LONGITUDES = (49.8, 60.9), (-8.7, 1.8)


def original() -> list[tuple[int, str, str, bool]]:
    rows = []
    for line in ORIGINAL_REGIONS.strip().splitlines():
        number, *name, country, aggregate = line.split()
        rows.append((int(number), " ".join(name), country, aggregate == "Yes"))
    return rows


def test_the_regions_are_the_originals() -> None:
    ours = [(one.region_id, one.short_name, one.country.value, one.is_aggregate) for one in REGIONS]
    assert ours == original()
    assert len(ours) == 17


def test_regions_are_told_apart_by_number_name_and_id() -> None:
    for attribute in ("region_id", "short_name", "id", "dno_region"):
        assert len({getattr(region, attribute) for region in REGIONS}) == len(REGIONS)


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.short_name)
def test_a_regions_centre_lies_in_great_britain(region: Region) -> None:
    latitude, longitude = float(region.latitude or 0), float(region.longitude or 0)
    assert LATITUDES[0] < latitude < LATITUDES[1]
    assert LONGITUDES[0] < longitude < LONGITUDES[1]


def test_centres_lie_as_their_names_say() -> None:
    at = {region.short_name: region for region in REGIONS}

    def latitude(name: str) -> float:
        return float(at[name].latitude or 0)

    def longitude(name: str) -> float:
        return float(at[name].longitude or 0)

    assert latitude("North Scotland") > latitude("South Scotland") > latitude("North East England")
    assert latitude("North West England") > latitude("West Midlands") > latitude("South West England")
    assert longitude("West Midlands") < longitude("East Midlands") < longitude("East England")
    assert longitude("South West England") < longitude("South England") < longitude("South East England")
    assert latitude("North Wales, Merseyside and Cheshire") > latitude("South Wales")
    scotland = [latitude(one.short_name) for one in REGIONS if one.country is Country.SCOTLAND]
    assert min(scotland) > max(latitude(one.short_name) for one in REGIONS if one.country is not Country.SCOTLAND)


def test_bands_rise_within_a_year_and_tighten_every_year() -> None:
    years = sorted(BANDS_GCO2_KWH)
    assert years == list(range(years[0], years[-1] + 1))
    for year in years:
        assert all(lower < upper for lower, upper in pairwise(BANDS_GCO2_KWH[year]))
        assert BANDS_GCO2_KWH[year][0] > 0
    for year, following in pairwise(years):
        assert all(later < now for now, later in zip(BANDS_GCO2_KWH[year], BANDS_GCO2_KWH[following], strict=True))


def test_every_fuel_has_a_factor_and_it_is_the_published_one() -> None:
    published = {
        Fuel.BIOMASS: ["Biomass"],
        Fuel.COAL: ["Coal"],
        Fuel.IMPORTS: ["Dutch Imports", "French Imports", "Irish Imports"],
        Fuel.GAS: ["Gas (Combined Cycle)"],
        Fuel.NUCLEAR: ["Nuclear"],
        Fuel.OTHER: ["Other"],
        Fuel.HYDRO: ["Hydro"],
        Fuel.SOLAR: ["Solar"],
        Fuel.WIND: ["Wind"],
    }
    assert set(published) == set(FUEL_FACTOR) == set(Fuel)
    for fuel, names in published.items():
        mean = sum(FACTORS_GCO2_KWH[name] for name in names) / len(names)
        assert FUEL_FACTOR[fuel] == pytest.approx(mean)


def test_factors_are_those_of_combustion() -> None:
    assert all(0 <= factor < 1000 for factor in FACTORS_GCO2_KWH.values())
    nothing_burns = {"Hydro", "Nuclear", "Pumped Storage", "Solar", "Wind"}
    assert {name for name, factor in FACTORS_GCO2_KWH.items() if factor == 0} == nothing_burns
    assert FACTORS_GCO2_KWH["Gas (Combined Cycle)"] < FACTORS_GCO2_KWH["Gas (Open Cycle)"] < FACTORS_GCO2_KWH["Oil"]


def test_every_named_writer_of_a_column_is_a_module() -> None:
    named = {spec.writer for row in ROWS.values() for spec in columns.of(row) if spec.writer}
    known = {module.name for module in modules()}
    assert named
    assert {writer for writer in named if f"pylon.{writer}" not in known} == set()
