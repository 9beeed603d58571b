"""The Carbon Intensity API's bodies as rows: what is taken, and what is refused and why."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.errors import SourceChanged
from pylon.ontology.calendar import HALF_HOUR, half_hours
from pylon.ontology.carbon import FACTORS_GCO2_KWH
from pylon.ontology.enums import Fuel
from pylon.sources import _carbon_bodies as bodies
from tests.doubles.carbon_rows import JSON, MIX, PRESENT, national, period, region, regional
from tests.doubles.carbon_series import stamp
from tests.doubles.recordings import recordings_folder

PARSERS = (bodies.national, bodies.generation, bodies.regional, bodies.factors)


@pytest.fixture
def recorded():
    folder = recordings_folder() / "recordings" / "carbon_intensity"
    return lambda name: json.loads((folder / name).read_bytes())


# Recorded answers


def test_the_recorded_forecast_is_97_half_hours(recorded):
    body = recorded("intensity_2026-08-17T0800Z_fw48h.json")
    rows = bodies.national(body)
    assert rows.seen == len(rows.taken) == 97
    assert rows.rejected == []
    assert list(rows.taken) == list(half_hours(PRESENT - HALF_HOUR, PRESENT + timedelta(hours=48)))
    for row, reading in zip(body["data"], rows.taken.values(), strict=True):
        assert stamp(reading.starts_at) == row["from"]
        assert reading.carbon_intensity_forecast == row["intensity"]["forecast"]
        assert reading.carbon_intensity_actual is None
        assert reading.carbon_index == row["intensity"]["index"]


def test_the_recorded_settled_night_has_its_actuals(recorded):
    rows = bodies.national(recorded("intensity_2026-08-01T0000Z_0300Z.json"))
    readings = list(rows.taken.values())
    assert [reading.carbon_intensity_forecast for reading in readings] == [156, 167, 164, 160, 157, 149, 149]
    assert [reading.carbon_intensity_actual for reading in readings] == [166, 165, 149, 139, 129, 123, 119]
    assert {reading.carbon_index for reading in readings} == {"moderate"}
    assert readings[0].starts_at == datetime(2026, 7, 31, 23, 30, tzinfo=UTC)


def test_the_recorded_regions_by_half_hour(recorded):
    rows = bodies.regional(recorded("regional_intensity_fw24h_period_keyed.json"))
    start = datetime(2026, 5, 5, 23, 30, tzinfo=UTC)
    assert rows.seen == 36
    assert rows.rejected == []
    assert sorted(rows.taken) == [(at, number) for at in (start, start + HALF_HOUR) for number in range(1, 19)]
    scotland = rows.taken[start, 1]
    assert (scotland.carbon_intensity_forecast, scotland.carbon_index) == (0, "very low")
    assert scotland.mix[Fuel.WIND] == 100
    assert all(len(row.mix) == 9 and 99 <= sum(row.mix.values()) <= 101 for row in rows.taken.values())


def test_the_recorded_region_by_itself(recorded):
    body = recorded("regional_intensity_fw24h_region_keyed.json")
    rows = bodies.regional(body)
    assert rows.seen == len(rows.taken) == len(body["data"]["data"]) == 49
    assert rows.rejected == []
    assert {number for _, number in rows.taken} == {13}
    london = rows.taken[datetime(2026, 5, 5, 23, 30, tzinfo=UTC), 13]
    assert london.carbon_intensity_forecast == 172
    assert dict(london.mix) == {
        Fuel.BIOMASS: Decimal("1.6"),
        Fuel.COAL: 0,
        Fuel.IMPORTS: Decimal("45.7"),
        Fuel.GAS: Decimal("30.9"),
        Fuel.NUCLEAR: 5,
        Fuel.OTHER: 0,
        Fuel.HYDRO: Decimal("0.2"),
        Fuel.SOLAR: 0,
        Fuel.WIND: Decimal("16.6"),
    }


def test_the_recorded_factors_are_those_of_the_ontology(recorded):
    rows = bodies.factors(recorded("intensity_factors.json"))
    assert rows.taken == dict(FACTORS_GCO2_KWH)
    assert (rows.seen, rows.rejected) == (14, [])


# Containers


@pytest.mark.parametrize("parse", [bodies.national, bodies.generation, bodies.regional, bodies.factors])
@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": []}, {"data": {}}, {"error": {"code": "500"}}])
def test_no_data_is_no_rows(parse, body):
    rows = parse(body)
    assert (rows.seen, rows.taken, rows.rejected) == (0, {}, [])


@pytest.mark.parametrize("parse", [bodies.national, bodies.generation, bodies.regional, bodies.factors])
@pytest.mark.parametrize("body", [None, [], "x", 1, True, {"data": "x"}, {"data": 1}, {"data": True}])
def test_a_body_with_no_place_for_rows_has_changed(parse, body):
    with pytest.raises(SourceChanged, match="Carbon Intensity API answered with"):
        parse(body)


def test_rows_come_in_a_list_or_alone():
    assert bodies.national({"data": national()}).taken == bodies.national({"data": [national()]}).taken
    mix = period(generationmix=MIX)
    assert bodies.generation({"data": mix}).taken == bodies.generation({"data": [mix]}).taken
    row = {"regionid": 13, "data": [period(**region(13))]}
    alone = {"regionid": 13, "data": period(**region(13))}
    expected = bodies.regional({"data": [regional(PRESENT)]}).taken[PRESENT, 13]
    for data in (row, [row], alone, period(regions=[region(13)])):
        assert bodies.regional({"data": data}).taken == {(PRESENT, 13): expected}
    assert bodies.factors({"data": {"Wind": 0}}).taken == {"Wind": 0}


# Rows


@pytest.mark.parametrize("value", ["200", 200.0, float("nan"), float("inf"), -1, True, 1001, 10**30, [200], {}])
@pytest.mark.parametrize("name", ["forecast", "actual"])
def test_a_carbon_intensity_that_is_no_whole_number_costs_its_row_alone(name, value):
    good = national(PRESENT + HALF_HOUR)
    rows = bodies.national({"data": [national(**{name: value}), good]})
    assert list(rows.taken) == [PRESENT + HALF_HOUR]
    (rejection,) = rows.rejected
    assert rejection.what == "national carbon 2026-08-17T08:00Z"
    assert rejection.why.startswith(f"{name} is ")
    assert rejection.why.endswith("not a whole number from 0 to 1000")


@pytest.mark.parametrize("value", [None, 0, 1000])
def test_null_and_zero_are_taken_as_they_come(value):
    (reading,) = bodies.national({"data": [national(forecast=value, actual=value, index=None)]}).taken.values()
    assert reading.carbon_intensity_forecast == reading.carbon_intensity_actual == value
    assert reading.carbon_index is None


@pytest.mark.parametrize("index", [1, ["low"], "l" * 21, "low\n", "\ud800", "low\x00"])
def test_an_index_that_cannot_be_kept_is_refused(index):
    (rejection,) = bodies.national({"data": [national(index=index)]}).rejected
    assert rejection.why.startswith("index is ")
    assert rejection.why.isprintable()


def test_an_unknown_index_is_kept_as_the_source_words_it():
    assert bodies.national({"data": [national(index="extreme")]}).taken[PRESENT].carbon_index == "extreme"


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ({"from": "2026-08-17T08:00"}, "from is '2026-08-17T08:00', which has no time zone"),
        ({"from": "2026-08-17"}, "from is '2026-08-17', which has no time zone"),
        ({"from": "yesterday"}, "from is 'yesterday', not a time"),
        ({"from": ""}, "from is '', not a time"),
        ({"from": None}, "from is null, not a time"),
        ({"from": 1755417600}, "from is 1755417600, not a time"),
        ({"from": ["2026"]}, "from is a list, not a time"),
        ({"from": "0001-01-01T00:00+14:00"}, "from is '0001-01-01T00:00+14:00', not a time"),
        ({"from": "2026-08-17T08:10Z", "to": "2026-08-17T08:40Z"}, "from is not on the half hour"),
        ({"from": "2026-08-17T08:00:01Z"}, "from is not on the half hour"),
        ({"to": "2026-08-17T09:00Z"}, "to is 2026-08-17T09:00Z, not half an hour after from"),
        ({"to": "2026-08-17T08:00Z"}, "to is 2026-08-17T08:00Z, not half an hour after from"),
        ({"to": None}, "to is null, not a time"),
    ],
)
def test_a_half_hour_with_other_times_is_refused(times, why):
    (rejection,) = bodies.national({"data": [national() | times]}).rejected
    assert rejection.why == why


def test_a_time_may_have_seconds_or_another_offset():
    row = national() | {"from": "2026-08-17T09:00:00+01:00", "to": "2026-08-17T08:30:00Z"}
    assert list(bodies.national({"data": [row]}).taken) == [PRESENT]


@pytest.mark.parametrize("row", [None, 1, "x", [], [[]], {}, {"from": 1}, period(), period(intensity=[])])
def test_a_row_of_another_shape_is_refused(row):
    for parse in (bodies.national, bodies.generation, bodies.regional):
        rows = parse({"data": [row]})
        assert (rows.taken, len(rows.rejected), rows.seen) == ({}, 1, 1)


@pytest.mark.parametrize(
    ("place", "share", "why"),
    [
        (0, {"fuel": "peat", "perc": 5.1}, "fuel is 'peat', not one of biomass, coal, imports, gas, nuclear"),
        (0, {"fuel": ["biomass"], "perc": 5.1}, "fuel is a list, not one of biomass"),
        (0, {"fuel": "Biomass", "perc": 5.1}, "fuel is 'Biomass', not one of biomass"),
        (0, {"fuel": "gas", "perc": 5.1}, "gas is given twice in the mix"),
        (0, {"fuel": "biomass", "perc": "5.1"}, "biomass is '5.1', not a percentage"),
        (0, {"fuel": "biomass", "perc": float("nan")}, "biomass is nan, not a percentage"),
        (0, {"fuel": "biomass", "perc": -0.1}, "biomass is -0.1, not a percentage"),
        (0, {"fuel": "biomass", "perc": True}, "biomass is True, not a percentage"),
        (0, {"fuel": "biomass", "perc": None}, "biomass is null, not a percentage"),
        (0, {"fuel": "biomass"}, "biomass is null, not a percentage"),
        (0, {"fuel": "biomass", "perc": 100.1}, "biomass is 100.1, not a percentage"),
        (0, "biomass", "a fuel of the mix is 'biomass', not an object"),
        (3, {"fuel": "gas", "perc": 25.1}, "the fuels sum to 94.9 %, not to 95 to 105 %"),
        (3, {"fuel": "gas", "perc": 35.3}, "the fuels sum to 105.1 %, not to 95 to 105 %"),
    ],
)
def test_a_mix_that_does_not_add_up_is_refused(place, share, why):
    mix = copy.deepcopy(MIX)
    mix[place] = share
    (rejection,) = bodies.generation({"data": [period(generationmix=mix)]}).rejected
    assert rejection.what == "generation mix 2026-08-17T08:00Z"
    assert rejection.why.startswith(why)


def test_shares_keep_the_digits_that_were_sent():
    shares = bodies.generation({"data": [period(generationmix=MIX)]}).taken[PRESENT].mix
    assert {fuel: str(share) for fuel, share in shares.items()} == {s["fuel"]: str(s["perc"]) for s in MIX}
    odd = [{"fuel": "wind", "perc": 33.333333}, {"fuel": "gas", "perc": 66.7}, {"fuel": "coal", "perc": 1e-9}]
    shares = bodies.generation({"data": [period(generationmix=odd)]}).taken[PRESENT].mix
    assert [str(share) for share in shares.values()] == ["33.33", "66.7", "0.00"]


@pytest.mark.parametrize("number", [0, 19, -1, "13", 13.0, True, None, [13]])
def test_a_region_that_is_none_of_the_18_is_refused(number):
    rows = bodies.regional({"data": [period(regions=[region(number), region(13)])]})
    assert list(rows.taken) == [(PRESENT, 13)]
    (rejection,) = rows.rejected
    assert rejection.what.startswith("region ")
    assert rejection.what.endswith(" 2026-08-17T08:00Z")
    assert "not a whole number from 1 to 18" in rejection.why


def test_a_half_hour_that_comes_twice_is_refused_only_when_it_differs():
    rows = bodies.national({"data": [national(), national(), national(forecast=201)]})
    assert rows.seen == 3
    assert rows.taken[PRESENT].carbon_intensity_forecast == 200
    (rejection,) = rows.rejected
    assert "twice" in rejection.why


@pytest.mark.parametrize("value", ["0", 0.5, None, True, -1, 1001])
def test_a_factor_that_is_no_whole_number_is_refused_by_name(value):
    rows = bodies.factors({"data": [{"Wind": 0, "Peat": value}]})
    assert rows.taken == {"Wind": 0}
    assert rows.rejected[0].what == "factor 'Peat'"


# Hostile bodies


@given(JSON)
def test_any_json_is_rows_rejections_or_a_changed_source(body):
    for parse in PARSERS:
        try:
            rows = parse(body)
        except SourceChanged:
            continue
        assert len(rows.taken) + len(rows.rejected) <= rows.seen


@given(st.lists(st.integers(0, 5), max_size=12), st.sets(st.integers(0, 11)))
def test_every_row_is_taken_refused_or_an_exact_repeat(offsets, broken):
    rows = [
        national(PRESENT + offset * HALF_HOUR, forecast="?" if place in broken else 100 + offset)
        for place, offset in enumerate(offsets)
    ]
    parsed = bodies.national({"data": rows})
    good = {offset for place, offset in enumerate(offsets) if place not in broken}
    assert parsed.seen == len(rows)
    assert len(parsed.taken) == len(good)
    assert len(parsed.rejected) == sum(place in broken for place in range(len(offsets)))
