from __future__ import annotations

import math
from typing import Any

import pytest

from pylon.agents import _phrases
from pylon.planning.arrival import LIMITS


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_has_a_clause_for_why_it_forbids(limit):
    assert _phrases.forbidden(limit)[0].islower()


def test_of_a_resource_the_need_and_what_is_free_are_said():
    short_of = {"needs": 4.3, "free": 2.1}
    assert _phrases.forbidden("power_mw", short_of) == "too little power is free (it needs 4.3 MW, 2.1 MW free)"
    assert (
        _phrases.forbidden("gpus", {"needs": 512.0, "free": 0.0}) == "too few GPUs are free (it needs 512, 0 free)"
    )


@pytest.mark.parametrize(
    ("value", "said"), [(25.804688, "25.805"), (10.0, "10"), (0.0001234, "0.000123"), (12345, "12,345"), (0, "0")]
)
def test_an_amount_is_said_as_shortly_as_it_can_be(value, said):
    assert _phrases.amount(value) == said


def test_things_are_listed_as_people_do():
    assert _phrases.listed("A") == "A"
    assert _phrases.listed("ABC") == "A, B and C"
    assert _phrases.listed([9, 11], "or") == "9 or 11"


def test_a_figure_has_no_negative_zero_and_what_is_not_known_is_none():
    assert math.copysign(1, _phrases.rounded(-0.001, 2) or 0.0) == 1
    assert _phrases.rounded(math.nan, 2) is None
    assert (_phrases.pounds(1234.5), _phrases.pounds(-0.5)) == ("GBP 1,234.50", "GBP -0.50")


def option(total_gbp: float | None = 1.0, **terms: float | None) -> dict[str, Any]:
    known = {f"{term}_gbp": terms.get(term, 0.0) for term in _phrases.TERMS}
    return {"terms": known, "total_gbp": total_gbp}


def test_a_total_is_that_of_the_terms_as_they_are_said():
    assert _phrases.total(option(0.012, energy=0.004, carbon=0.004, stress=0.004)) == 0
    assert _phrases.total(option(0.018, energy=0.006, carbon=0.006, stress=0.006)) == 0.03
    assert _phrases.costs(option(energy=None, carbon=2.345)).keys() == set(_phrases.TERMS) - {"energy"}
    assert _phrases.total(option(None, energy=None, stress=3.0)) is None


def spans(*times: str) -> dict[str, Any]:
    pairs = (one.split(" ") for one in times)
    return {"spans": [{"starts_at": f"2026-11-{a}:00Z", "ends_at": f"2026-11-{b}:00Z"} for a, b in pairs]}


NOW = "2026-11-22T12:00:00Z"


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["22T12:10 22T14:10"], "12:10-14:10 UTC"),
        (["22T23:10 23T01:10"], "23:10-Mon 23 Nov 01:10 UTC"),
        (["22T13:00 22T13:30", "22T15:00 22T15:30"], "in 2 pieces: 13:00-13:30, 15:00-15:30 UTC,"),
        (
            ["22T18:30 23T08:00", *[f"23T{hour}:00 23T{hour}:30" for hour in (10, 12, 14)], "24T12:30 24T14:24"],
            "in 5 pieces, the first 18:30-Mon 23 Nov 08:00, the last Tue 24 Nov 12:30-14:24 UTC, 16.9 h in all,",
        ),
    ],
)
def test_when_it_runs_is_said_in_pieces(times, said):
    assert _phrases.when(spans(*times), NOW) == said


def test_a_carbon_cap_that_forbids_what_is_expected_below_it_says_what_it_was_held_against():
    option = {"refused_by": "carbon_cap", "energy_kwh": 2000.0, "carbon_gco2": 240_000.0}
    assert _phrases.refused(option) == "its mean carbon intensity would be above its cap"
    held = {**option, "capped_carbon_gco2": 290_800.0}
    why = "it may be as high as 145 gCO2/kWh, by Pylon's own forecast"
    assert _phrases.refused(held) == f"its mean carbon intensity would be above its cap ({why})"
    assert "145" not in _phrases.refused({**held, "refused_by": "latest_end"})
