"""Quality: which national carbon values are withheld, what confirms them, and what nothing confirms."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.carbon import FUEL_FACTOR
from pylon.ontology.enums import Fuel
from pylon.planning.quality import TOLERANCE_GCO2_KWH, HalfHour, Quantity, Rule, judge, mix_intensity
from tests.doubles.recordings import recordings_folder

AT = datetime(2023, 6, 7, 9, 0, tzinfo=UTC)


def half_hour(actual: int | None = 200, forecast: int | None = 200, step: int = 0, **more: Any) -> HalfHour:
    return HalfHour(starts_at=AT + step * HALF_HOUR, actual=actual, forecast=forecast, **more)


def rules(*half_hours: HalfHour, before: HalfHour | None = None) -> list[tuple[int, Rule]]:
    """Which rule found what, by the step of the half hour."""
    return [((verdict.starts_at - AT) // HALF_HOUR, verdict.rule) for verdict in judge(half_hours, before)]


# Zeros


@pytest.mark.parametrize("mix", [None, 0.0, 20.0, 200.0])
@pytest.mark.parametrize("forecast", [None, 0, 10, 200])
def test_an_actual_of_zero_is_never_confirmed(forecast, mix):
    found = judge([half_hour(0, forecast, step, mix=mix) for step in range(4)])
    of_actual = [verdict for verdict in found if verdict.quantity is Quantity.ACTUAL]
    assert [(verdict.rule, verdict.raw) for verdict in of_actual] == [(Rule.ZERO, 0)] * 4


def test_a_forecast_of_zero_is_found_and_no_actual_is_measured_by_it():
    (verdict,) = judge([half_hour(180, 0)])
    assert (verdict.quantity, verdict.rule, verdict.raw) == (Quantity.FORECAST, Rule.ZERO, 0)


def test_where_the_forecast_is_zero_the_earlier_one_counts():
    assert rules(half_hour(180, 0, earlier_forecast=300)) == [(0, Rule.ZERO), (0, Rule.FAR)]


def test_a_half_hour_after_false_zeros_is_not_a_step_from_them():
    assert rules(half_hour(190), half_hour(0, step=1), half_hour(0, step=2), half_hour(190, step=3)) == [
        (1, Rule.ZERO),
        (2, Rule.ZERO),
    ]


# Outliers


@pytest.mark.parametrize(
    ("actual", "forecast", "found"),
    [
        pytest.param(15, 60, [], id="just not low"),
        pytest.param(14, 60, [Rule.LOW], id="low"),
        pytest.param(300, 200, [], id="as far from the forecast as may be"),
        pytest.param(301, 200, [Rule.FAR], id="above the forecast"),
        pytest.param(99, 200, [Rule.FAR], id="below the forecast"),
        pytest.param(14, 200, [Rule.LOW, Rule.FAR], id="low and far"),
        pytest.param(301, None, [], id="no forecast to be far from"),
    ],
)
def test_an_outlier_needs_the_mix_to_agree(actual, forecast, found):
    assert [rule for _, rule in rules(half_hour(actual, forecast))] == found
    assert rules(half_hour(actual, forecast, mix=actual + TOLERANCE_GCO2_KWH)) == []
    assert [rule for _, rule in rules(half_hour(actual, forecast, mix=actual + TOLERANCE_GCO2_KWH + 1))] == found


def test_an_actual_that_is_not_odd_needs_no_mix():
    assert rules(half_hour(200, 190, mix=20.0)) == []


@pytest.mark.parametrize(("step", "found"), [(60, []), (61, [Rule.JUMP]), (-60, []), (-61, [Rule.JUMP])])
def test_a_step_counts_from_the_half_hour_before(step, found):
    later = half_hour(200 + step, 200, step=1)
    assert [rule for _, rule in rules(half_hour(), later)] == found
    assert [rule for _, rule in rules(later, before=half_hour())] == found
    assert rules(half_hour(), half_hour(200 + step, 200, step=2)) == []  # they are not adjacent


def test_a_singleton_is_withheld_and_the_half_hours_beside_it_are_not():
    assert rules(half_hour(239, 243), half_hour(60, 243, 1), half_hour(228, 243, 2)) == [
        (1, Rule.FAR),
        (1, Rule.JUMP),
    ]


def test_a_step_that_the_mix_confirms_is_what_the_next_is_measured_from():
    assert rules(half_hour(200), half_hour(290, step=1, mix=280), half_hour(200, step=2)) == [(2, Rule.JUMP)]


def test_a_verdict_says_what_is_wrong_and_what_the_mix_says():
    (far,) = judge([half_hour(60, 243, mix=228.4)])
    assert far.reason == "The actual of 60 gCO2/kWh is 183 from the forecast of 243; the generation mix says 228."
    (low,) = judge([half_hour(9, 50)])
    assert low.reason == "The actual of 9 gCO2/kWh is below 15; no generation mix is known."


# What never came


def test_an_actual_that_is_overdue_is_missing_and_one_that_is_not_is_not():
    found = judge([half_hour(None, is_overdue=True), half_hour(None, step=1)])
    assert [(verdict.rule, verdict.raw, verdict.starts_at) for verdict in found] == [(Rule.MISSING, None, AT)]


def test_a_forecast_may_jump():
    assert rules(half_hour(None, 50), half_hour(None, 350, 1), half_hour(None, 50, 2)) == []


# The mix


def test_a_mix_comes_to_its_shares_times_their_factors():
    assert mix_intensity({Fuel.GAS: 50, Fuel.WIND: 50}) == 197
    assert mix_intensity({Fuel.GAS: 25, Fuel.WIND: 25}) == 197  # of what is there, were the rest not given
    assert mix_intensity({}) is mix_intensity({Fuel.GAS: 0}) is None


shares = st.dictionaries(st.sampled_from(Fuel), st.floats(0.1, 100), min_size=1)


@given(shares)
def test_a_mix_lies_between_the_factors_of_its_fuels(mix):
    intensity = mix_intensity(mix)
    factors = [FUEL_FACTOR[fuel] for fuel in mix]
    assert intensity is not None
    assert min(factors) - 1e-6 <= intensity <= max(factors) + 1e-6


# Laws

value = st.none() | st.integers(0, 500)
series = st.lists(st.tuples(value, value, st.none() | st.floats(0, 500), st.booleans()), max_size=12).map(
    lambda rows: [
        half_hour(actual, forecast, step, mix=mix, is_overdue=overdue)
        for step, (actual, forecast, mix, overdue) in enumerate(rows)
    ]
)


@given(series)
def test_what_passes_once_its_bad_values_are_taken_out_passes_again(half_hours):
    """Withholding is final: the values that are left break no rule among themselves."""
    bad = {(verdict.starts_at, verdict.quantity) for verdict in judge(half_hours)}
    left = [
        HalfHour(
            starts_at=one.starts_at,
            forecast=None if (one.starts_at, Quantity.FORECAST) in bad else one.forecast,
            actual=None if (one.starts_at, Quantity.ACTUAL) in bad else one.actual,
            mix=one.mix,
        )
        for one in half_hours
    ]
    assert judge(left) == []


@given(series, st.integers(0, 12))
def test_judging_in_two_parts_comes_to_the_same(half_hours, cut):
    """A run that begins later finds what the whole would have found."""
    first, second = half_hours[:cut], half_hours[cut:]
    found = judge(first)
    bad = {verdict.starts_at for verdict in found if verdict.quantity is Quantity.ACTUAL}
    good = [one for one in first if one.actual is not None and one.starts_at not in bad]
    assert found + judge(second, good[-1] if good else None) == judge(half_hours)


# The year that the rules were read off


def test_of_2023_exactly_the_known_faults_are_found():
    with gzip.open(recordings_folder() / "replay" / "gb_2023_halfhourly_carbon_demand.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["ci_api_forecast"] or row["ci_api_actual"]]
    year = [
        HalfHour(
            starts_at=datetime.fromisoformat(row["start_utc"]),
            forecast=int(float(row["ci_api_forecast"])) if row["ci_api_forecast"] else None,
            actual=int(float(row["ci_api_actual"])) if row["ci_api_actual"] else None,
            mix=float(row["ci_actual_hourly"]),
            is_overdue=True,
        )
        for row in rows
    ]
    assert len(year) == 17_429
    found: dict[str, set[Rule]] = {}
    for verdict in judge(year):
        found.setdefault(f"{verdict.starts_at:%m-%d %H:%M}", set()).add(verdict.rule)
    assert found == {
        "01-24 11:00": {Rule.FAR, Rule.JUMP},
        **{f"01-26 {time}": {Rule.MISSING} for time in ("13:30", "14:00", "14:30", "15:00", "15:30")},
        "01-31 01:00": {Rule.ZERO},
        "06-07 09:00": {Rule.JUMP},
        **{f"06-07 {time}": {Rule.ZERO} for time in ("09:30", "10:00", "10:30", "11:00")},
        "11-17 22:30": {Rule.JUMP},
    }
    good = [one for one in year if one.actual and one.mix is not None]
    far = [one for one in good if abs((one.actual or 0) - (one.mix or 0)) > TOLERANCE_GCO2_KWH]
    assert (len(far), len(good)) == (82, 17_419)
