"""The arithmetic of the market catalog: windows, spare power, means and notices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.ontology.calendar import HALF_HOUR, half_hours
from pylon.services import market_catalog as catalog

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
END = START + timedelta(hours=48) - HALF_HOUR
CENTRE: dict[str, Any] = {
    "id": "site",
    "name": "Site",
    "region_id": 13,
    "pue": 1.5,
    "total_capacity_mw": 10.0,
    "base_load_mw": 4.0,
    "gpu_count": 80,
    "ramp_rate_mw_per_min": None,
    "flexibility_rating": 0.0,
    "is_simulated": False,
}
NO_SIGNALS = catalog._Signals([], [])


def offers(
    load: dict[datetime, float] | None = None,
    signals: Any = NO_SIGNALS,
    window: timedelta = timedelta(hours=4),
    **centre: Any,
) -> list[catalog.Offer]:
    return list(catalog._offers({**CENTRE, **centre}, load or {}, signals, START, END, window))


@given(st.integers(1, 48).map(lambda steps: steps * HALF_HOUR))
def test_windows_cover_the_span_once_without_gap_or_overlap(window):
    made = [offer.validity for offer in offers(window=window)]
    assert (made[0].starts_at, made[-1].ends_at) == (START, END)
    assert all(earlier.ends_at == later.starts_at for earlier, later in pairwise(made))
    assert all(one.ends_at - one.starts_at == window for one in made[:-1])


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(list(half_hours(START, END))), st.floats(0, 20)))
def test_what_is_offered_could_be_drawn_in_every_half_hour_of_the_window(load):
    """Spare power and load never pass the capacity together, and no offer is of nothing."""
    for offer in offers(load):
        spare = offer.offer_attributes.spare_capacity_mw
        assert 0 <= spare <= 6
        for at in half_hours(offer.validity.starts_at, offer.validity.ends_at):
            assert spare + load.get(at, 0) <= 6 + 0.0005
        assert offer.offer_attributes.gpu_minutes <= 80 * 240


@settings(max_examples=50)
@given(st.floats(0, 6), st.floats(0, 6))
def test_more_load_never_offers_more(one, other):
    less, more = sorted((one, other))
    spare = [sum(o.offer_attributes.spare_capacity_mw for o in offers({START: load})) for load in (less, more)]
    assert spare[0] >= spare[1]


def test_a_mean_of_some_is_no_mean():
    assert catalog._mean([1.0, 2.0], 2) == 1.5
    assert catalog._mean([1.0, None], 2) is None
    assert catalog._mean([1.0], 2) is None
    assert catalog._mean([], 0) is None


def test_load_is_facility_power_in_every_half_hour_that_a_workload_touches():
    end = START + HALF_HOUR
    placed = [
        {
            "host_dc_id": "site",
            "begins": START + timedelta(minutes=10),
            "ends": end + HALF_HOUR,
            "power_kw": 1000.0,
        },
        {"host_dc_id": "site", "begins": START, "ends": end, "power_kw": 500.0},
        {"host_dc_id": "closed", "begins": START, "ends": end, "power_kw": 9000.0},
    ]
    load = catalog._load_mw(placed, {"site": 1.5})["site"]
    assert dict(load) == {START: pytest.approx(2.25), START + HALF_HOUR: pytest.approx(1.5)}


def test_price_is_of_the_electricity_behind_one_it_kilowatt_hour():
    national = [
        {
            "timestamp": at,
            "wholesale_price_gbp_mwh": 100.0,
            "grid_stress_score": stress,
            "provenance": {"price": "x"},
        }
        for at, stress in zip(half_hours(START, START + 8 * HALF_HOUR), [0.1, 0.9, *[0.2] * 6], strict=True)
    ]
    first = offers(signals=catalog._Signals(national, []))[0].offer_attributes
    assert first.price_per_kwh_gbp == 0.15  # 100 GBP/MWh at a PUE of 1.5
    assert first.grid_stress_score == 0.9  # the worst of the window
    assert first.carbon_intensity_gco2_per_kwh is None


def test_a_site_without_gpus_offers_power_alone():
    assert offers(gpu_count=None)[0].offer_attributes.gpu_minutes is None
    assert offers(gpu_count=0)[0].offer_attributes.gpu_minutes == 0


def test_notice_is_at_least_half_an_hour_and_as_long_as_the_ramp_takes():
    assert offers()[0].offer_attributes.notice_mins == 30
    assert offers(ramp_rate_mw_per_min=0.1)[0].offer_attributes.notice_mins == 60
    assert offers(ramp_rate_mw_per_min=5)[0].offer_attributes.notice_mins == 30


def test_only_a_flexible_site_may_be_interrupted():
    assert [offers(flexibility_rating=rating)[0].offer_attributes.is_interruptible for rating in (0, 0.2)] == [
        False,
        True,
    ]
