"""The carbon index of a value, by the bands of its year."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.ontology.carbon import BANDS_GCO2_KWH, index
from pylon.ontology.enums import CarbonIndex

WORDS = list(CarbonIndex)


@pytest.mark.parametrize(
    ("value", "year", "word"),
    [
        # What the API itself says of 2023.
        (289, 2023, "high"),
        (290, 2023, "very high"),
        (0, 2023, "very low"),
        (39, 2023, "very low"),
        (40, 2023, "low"),
        (120, 2023, "moderate"),
        (199.9, 2023, "moderate"),
        (200, 2023, "high"),
        (290, 2022, "high"),
        (4, 2030, "very low"),
        (5, 2030, "low"),
    ],
)
def test_known_values(value: float, year: int, word: str) -> None:
    assert index(value, year) == word


@pytest.mark.parametrize("year", BANDS_GCO2_KWH)
def test_a_bound_belongs_to_the_band_above_it(year: int) -> None:
    for position, bound in enumerate(BANDS_GCO2_KWH[year]):
        assert index(bound - 1, year) is WORDS[position]
        assert index(bound, year) is WORDS[position + 1]


@pytest.mark.parametrize(("year", "stands_for"), [(1990, 2020), (2019, 2020), (2031, 2030), (2100, 2030)])
def test_years_without_bands_take_the_nearest(year: int, stands_for: int) -> None:
    assert [index(value, year) for value in range(400)] == [index(value, stands_for) for value in range(400)]


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers(2015, 2035))
def test_more_carbon_is_never_a_better_word(one: float, other: float, year: int) -> None:
    low, high = sorted((one, other))
    assert WORDS.index(index(low, year)) <= WORDS.index(index(high, year))


@given(st.floats(0, 1000), st.integers(2015, 2034))
def test_the_same_value_is_never_judged_more_kindly_a_year_later(value: float, year: int) -> None:
    assert WORDS.index(index(value, year)) <= WORDS.index(index(value, year + 1))
