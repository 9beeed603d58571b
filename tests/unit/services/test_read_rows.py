"""Rows become objects of the ontology, or everything that is wrong with them is said."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.ontology.regions import REGIONS
from pylon.services.import_types import choose
from pylon.services.read_rows import Fault, Good, Known, RowReader
from pylon.sources.files import FileRow

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
ME, OTHER, SITE = UUID(int=1), UUID(int=2), UUID(int=3)
LONDON = next(region for region in REGIONS if region.region_id == 13)

CENTRE = {"dc_id": "A", "name": "A", "region": "13", "pue": "1.2", "total_capacity_mw": "20"}
JOB = {"job_id": "J", "workload_type": "TRAINING_RUN", "duration_mins": "90", "power_kw": "100"}
SIGNAL = {"timestamp": "2026-11-01T00:00Z", "demand_mw": "30000"}
REGIONAL = {"region": "London", "timestamp": "2026-11-01T00:00Z", "carbon_intensity_forecast": "0"}
RATE = {"tariff": "day", "starts_at": "2026-11-01T07:00Z", "price_gbp_mwh": "212.50"}


def reader(type_name: str, *columns: str) -> RowReader:
    known = Known(
        operator_id=ME,
        import_id=UUID(int=9),
        now=NOW,
        centres={"READING-1": SITE},
        regions=tuple(region.model_dump() for region in REGIONS),
    )
    return RowReader(choose(columns, type_name=type_name, renames={}, is_regular=False), {}, known)


def read(type_name: str, *rows: dict[str, Any]) -> list[Good | list[Fault]]:
    one = reader(type_name, *rows[0])
    return [one.read(FileRow(number, row)) for number, row in enumerate(rows, 1)]


def good(type_name: str, row: dict[str, Any]) -> Any:
    (said,) = read(type_name, row)
    assert isinstance(said, Good), said
    return said.row


def why(type_name: str, row: dict[str, Any], **more: Any) -> dict[str, str]:
    (said,) = read(type_name, {**row, **more})
    assert isinstance(said, list), said
    return {fault.column: fault.why for fault in said}


# Objects


def test_a_data_centre_has_its_defaults_and_what_follows():
    row = good("DataCentre", CENTRE)
    assert (row.dc_id, row.region_id, row.location_region) == ("A", LONDON.id, "London")
    assert (row.operator_id, row.created_at, row.is_simulated) == (ME, NOW, False)
    assert (row.base_load_mw, row.flexibility_rating, row.status.value, row.gpu_count) == (0, 0, "ACTIVE", None)


@pytest.mark.parametrize(
    "region", ["13", 13, "London", "lONDON ", "UKPN London", str(LONDON.id), str(LONDON.id).upper()]
)
def test_a_region_is_named_by_number_name_or_id(region):
    assert good("DataCentre", CENTRE | {"region": region}).region_id == LONDON.id


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_blank_is_absent(blank):
    row = good("DataCentre", CENTRE | {"base_load_mw": blank, "postcode": blank, "gpu_count": blank})
    assert (row.base_load_mw, row.postcode, row.gpu_count) == (Decimal(0), None, None)
    assert why("DataCentre", CENTRE, pue=blank) == {"pue": "is required"}


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("region", "18", "1 to 14, or its name."),
        ("region", "17", "1 to 14, or its name: Wales sums up several"),
        ("region", "Scotland", "1 to 14, or its name: Scotland sums up several"),
        ("region", "Lundon", "Did you mean London?"),
        ("pue", "0.99", "must be greater than or equal to 1"),
        ("pue", "3.5", "must be less than or equal to 3"),
        ("total_capacity_mw", "1e12", "must be between -100000000 and 100000000, exclusive"),
        ("base_load_mw", "20.01", "must be at most total_capacity_mw, which is 20.00"),
        ("dc_id", "x" * 101, "must have at most 100 characters"),
        ("name", {"a": 1}, "must be text"),
        ("operator_id", str(OTHER), "is not yours"),
        ("is_simulated", "true", "must be false"),
        ("status", "OPEN", "must be one of"),
        ("total_capacity_mhw", "1", "Did you mean total_capacity_mw?"),
    ],
)
def test_each_fault_names_its_column_and_what_is_valid(column, value, says):
    _, said = read("DataCentre", CENTRE, {**CENTRE, "dc_id": "B", column: value})
    assert isinstance(said, list), said
    assert [fault.column for fault in said] == [column]
    assert says in said[0].why


def test_every_fault_of_a_row_is_said_and_the_file_s_own_name_of_the_column():
    choice = choose(
        ("site", "name", "region", "pue", "total_capacity_mw"),
        type_name=None,
        renames={"site": "dc_id"},
        is_regular=True,
    )
    known = Known(operator_id=ME, import_id=ME, now=NOW, centres={}, regions=tuple(r.model_dump() for r in REGIONS))
    said = RowReader(choice, {}, known).read(
        FileRow(7, {"site": "", "name": "x", "region": "0", "pue": "1,2", "total_capacity_mw": "-1"})
    )
    assert isinstance(said, list)
    assert {fault.column for fault in said} == {"site", "region", "pue", "total_capacity_mw"}
    assert {fault.line for fault in said} == {7}
    assert Fault(7, "region", "'0'", "must be a region's number, 1 to 14, or its name.") in said


def test_the_same_key_twice_is_a_fault_of_the_second():
    first, second = read("DataCentre", CENTRE, CENTRE | {"name": "again"})
    assert isinstance(first, Good)
    assert isinstance(second, list)
    assert second[0].why == "is on line 1 already (dc_id 'A')"


def test_a_line_that_is_no_row_is_a_fault_without_a_column():
    assert reader("DataCentre", *CENTRE).read(FileRow(4, {}, "has 1 values")) == [Fault(4, "", "", "has 1 values")]


def test_a_reference_names_a_data_centre_of_ones_own_by_dc_id_or_id():
    for value in ("READING-1", str(SITE)):
        assert good("ComputeWorkload", JOB | {"origin_dc": value}).origin_dc_id == SITE
    said = why("ComputeWorkload", JOB, host_dc_id=str(OTHER))
    assert said == {"host_dc_id": "must be the dc_id of a data centre of yours."}


def test_power_follows_from_energy_and_duration():
    row = good(
        "ComputeWorkload",
        {name: value for name, value in JOB.items() if name != "power_kw"} | {"estimated_energy_kwh": "300"},
    )
    assert row.power_kw == 200


@pytest.mark.parametrize("regions", ["13; South Wales", [13, "7"]])
def test_regions_may_be_several(regions):
    assert good("ComputeWorkload", JOB | {"allowed_region_ids": regions}).allowed_region_ids == [13, 7]


def test_a_tariff_rate_has_no_price_where_none_is_given():
    assert good("TariffRate", RATE).price_gbp_mwh == Decimal("212.50")
    assert good("TariffRate", RATE | {"price_gbp_mwh": ""}).price_gbp_mwh is None


# Signals


def test_a_signal_has_its_half_hour_and_its_values():
    row = good("GridSignal", SIGNAL | {"wholesale_price_gbp_mwh": "-12.345"})
    assert (row.timestamp, row.demand_mw) == (datetime(2026, 11, 1, tzinfo=UTC), 30000)
    assert row.wholesale_price_gbp_mwh == Decimal("-12.35")
    assert good("RegionalGridSignal", REGIONAL).carbon_intensity_forecast == 0


def test_a_settlement_date_and_period_are_a_half_hour():
    given_in = {"settlement_date": "01-Jul-26", "settlement_period": "1", "demand_mw": 1}
    assert good("GridSignal", given_in).timestamp == datetime(2026, 6, 30, 23, tzinfo=UTC)
    both = {"timestamp": "2026-06-30T23:00Z", **given_in}
    assert good("GridSignal", both).timestamp == datetime(2026, 6, 30, 23, tzinfo=UTC)
    assert (
        "is not period 1 of 2026-07-01" in why("GridSignal", both | {"timestamp": "2026-07-01T00:00Z"})["timestamp"]
    )
    assert why("GridSignal", given_in | {"settlement_period": 49}) == {
        "settlement_period": "must be from 1 to 48 on 2026-07-01"
    }


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("timestamp", "2026-11-01T00:10Z", "minute 0 or 30"),
        ("timestamp", "1999-12-31T23:30Z", "2000 or later"),
        ("timestamp", "2037-01-01T00:00Z", "ten years ahead"),
        ("timestamp", "2026-11-01", "with its zone"),
        ("demand_mw", "-1", "must be from 1 to 100,000 MW"),
        ("demand_mw", "0", "must be from 1 to 100,000 MW"),
        ("demand_mw", "100001", "must be from 1 to 100,000 MW"),
        ("demand_mw", "30000.5", "whole number"),
        ("carbon_intensity_forecast", "1001", "must be from 1 to 1,000 gCO2/kWh"),
        ("carbon_intensity_actual", "1001", "must be from 1 to 1,000 gCO2/kWh"),
        ("wholesale_price_gbp_mwh", "10000.01", "must be from -10,000 to 10,000 GBP/MWh"),
        ("system_price_gbp_mwh", "-10000.01", "must be from -10,000 to 10,000 GBP/MWh"),
    ],
)
def test_a_signal_off_the_grid_or_out_of_range_is_refused(column, value, says):
    said = why("GridSignal", SIGNAL, **{column: value})
    assert list(said) == [column]
    assert says in said[column]


@pytest.mark.parametrize("column", ["carbon_intensity_forecast", "carbon_intensity_actual"])
def test_a_national_carbon_of_0_is_a_false_zero(column):
    assert "nationally a 0 has only ever been a fault" in why("GridSignal", SIGNAL | {column: 0})[column]


def test_the_bounds_themselves_are_taken():
    for number in (1, 1000):
        assert good("GridSignal", SIGNAL | {"carbon_intensity_actual": number}).carbon_intensity_actual == number
        assert good("RegionalGridSignal", REGIONAL | {"carbon_intensity_forecast": number - 1})
    for price in (-10_000, 10_000):
        assert good("GridSignal", SIGNAL | {"system_price_gbp_mwh": price}).system_price_gbp_mwh == price
    assert why("RegionalGridSignal", REGIONAL | {"carbon_intensity_forecast": 1001}) == {
        "carbon_intensity_forecast": "must be from 0 to 1,000 gCO2/kWh"
    }


@pytest.mark.parametrize("column", ["carbon_intensity_actual", "system_price_gbp_mwh"])
def test_what_is_known_afterwards_is_refused_of_a_half_hour_that_is_not_over(column):
    last, running = {"timestamp": "2026-11-22T08:30Z"}, {"timestamp": "2026-11-22T09:00Z"}
    assert good("GridSignal", SIGNAL | last | {column: 80})
    assert why("GridSignal", SIGNAL | running | {column: 80}) == {
        column: "must be of a half hour that is over: the last one began 2026-11-22T08:30Z"
    }
    far = {"timestamp": "2099-12-31T23:30Z"}
    assert set(why("GridSignal", SIGNAL | far | {column: 80})) == {"timestamp", column}
    assert good("GridSignal", SIGNAL | running | {"carbon_intensity_forecast": 80, column: ""})


@pytest.mark.parametrize("region", [15, 16, 17])
def test_a_sum_of_regions_has_signals_but_no_sites(region):
    battery = {"asset_id": "B", "name": "B", "region": region, "capacity_mwh": 2}
    battery |= {"max_charge_rate_mw": 1, "max_discharge_rate_mw": 1}
    assert list(why("StorageAsset", battery)) == ["region"]
    assert good("StorageAsset", battery | {"region": 14})
    assert good("RegionalGridSignal", REGIONAL | {"region": region})


def test_a_half_hour_comes_once_and_a_region_has_its_own():
    rows = [REGIONAL, REGIONAL | {"region": 12}, REGIONAL | {"region": 13, "timestamp": "2026-11-01T01:00+01:00"}]
    said = read("RegionalGridSignal", *rows)
    assert [isinstance(one, Good) for one in said] == [True, True, False]


@given(
    st.dictionaries(
        st.sampled_from([*CENTRE, "is_simulated", "id", "operator_id", "created_at", "gpu_count", "x"]),
        st.none() | st.text(max_size=8) | st.floats() | st.integers() | st.lists(st.integers(), max_size=2),
    )
)
def test_no_row_whatever_makes_anything_but_an_object_or_faults(row):
    said = reader("DataCentre", *CENTRE).read(FileRow(1, CENTRE | row))
    assert isinstance(said, Good) or (said and all(fault.why for fault in said))
