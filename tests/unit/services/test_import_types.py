"""Import types: which type a file's columns are of, and everything that is said about columns that do not fit."""

from __future__ import annotations

import pytest

from pylon.errors import Invalid
from pylon.services.import_types import TYPES, Choice, choose

MINIMAL = {
    "DataCentre": ("dc_id", "name", "region", "pue", "total_capacity_mw"),
    "StorageAsset": (
        "asset_id",
        "name",
        "region_id",
        "capacity_mwh",
        "max_charge_rate_mw",
        "max_discharge_rate_mw",
    ),
    "TariffRate": ("tariff", "starts_at"),
    "GridSignal": ("timestamp", "demand_mw"),
    "RegionalGridSignal": ("region", "timestamp", "carbon_intensity_forecast"),
    "ComputeWorkload": ("job_id", "workload_type", "duration_mins", "power_kw"),
}


def chosen(*columns: str, type_name: str | None = None, is_regular: bool = True, **renames: str) -> Choice:
    return choose(columns, type_name=type_name, renames=renames, is_regular=is_regular)


def refused(*columns: str, **more: str) -> str:
    with pytest.raises(Invalid) as error:
        chosen(*columns, **more)  # type: ignore[arg-type]
    return error.value.detail


@pytest.mark.parametrize("name", TYPES)
def test_the_least_columns_of_a_type_tell_it(name):
    choice = chosen(*MINIMAL[name])
    assert (choice.type.name, choice.is_guessed) == (name, True)
    assert not chosen(*MINIMAL[name], type_name=name).is_guessed


@pytest.mark.parametrize("name", TYPES)
def test_without_any_of_them_it_says_which_is_missing(name):
    for column in MINIMAL[name]:
        rest = [one for one in MINIMAL[name] if one != column]
        said = refused(*rest, type_name=name)
        assert f"A column {'region_id' if column == 'region' else column}" in said or " or demand_mw or " in said


def test_each_key_is_the_operators_own_id():
    assert {name: one.key for name, one in TYPES.items()} == {
        "DataCentre": ("dc_id",),
        "StorageAsset": ("asset_id",),
        "TariffRate": ("tariff", "starts_at"),
        "GridSignal": ("timestamp",),
        "RegionalGridSignal": ("region_id", "timestamp"),
        "ComputeWorkload": ("job_id",),
    }


def test_a_settlement_period_stands_in_place_of_a_time():
    assert chosen("settlement_date", "settlement_period", "demand_mw").type.name == "GridSignal"
    assert chosen("settlement_date", "settlement_period", "tariff").type.name == "TariffRate"
    said = refused("settlement_date", "demand_mw", type_name="GridSignal")
    assert "settlement_date and settlement_period belong together." in said


def test_energy_stands_in_place_of_power():
    assert chosen("job_id", "workload_type", "duration_mins", "estimated_energy_kwh").type.name == "ComputeWorkload"


def test_a_column_may_be_called_otherwise():
    choice = chosen("site", *MINIMAL["DataCentre"][1:], site="dc_id")
    assert choice.columns == {
        "site": "dc_id",
        "name": "name",
        "region": "region_id",
        "pue": "pue",
        "total_capacity_mw": "total_capacity_mw",
    }
    assert "The file has no column 'sight' to map. Did you mean site?" in refused("site", sight="dc_id")


def test_every_fault_of_the_columns_is_said_at_once():
    said = refused("dc_id", "name", "region", "region_id", "capacity", "host_dc", "plan_id", type_name="DataCentre")
    for part in (
        "Columns 'region' and 'region_id' are both region_id.",
        "DataCentre has no column 'capacity' to import.",
        "DataCentre has no column 'host_dc' to import.",
        "A column pue is missing.",
        "A column total_capacity_mw is missing.",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("current_carbon_intensity", "DataCentre"),
        ("plan_id", "ComputeWorkload"),
        ("carbon_index", "GridSignal"),
        ("grid_stress_score", "GridSignal"),
        ("data_source", "RegionalGridSignal"),
    ],
)
def test_what_only_pylon_writes_cannot_be_imported(column, name):
    assert f"{name} has no column '{column}' to import." in refused(*MINIMAL[name], column, type_name=name)


def test_a_type_that_is_none_is_refused_with_the_closest():
    assert "Did you mean DataCentre? Valid: DataCentre, StorageAsset" in refused("a", type_name="DataCenter")


def test_columns_that_fit_nothing_are_told_what_they_are_nearest_to():
    said = refused("asset_id", "name", "region", "capacity_mhw", "max_charge_rate_mw", "max_discharge_rate_mw")
    assert (
        "As StorageAsset: StorageAsset has no column 'capacity_mhw' to import. Did you mean capacity_mwh?" in said
    )


def test_a_file_is_nearest_to_the_type_that_knows_most_of_its_columns():
    assert "As DataCentre: A column name is missing." in refused("dc_id", "pue")
    assert "As ComputeWorkload:" in refused("job_id", "workload")


def test_in_an_irregular_file_nothing_is_missed_from_the_first_row_of_a_named_type():
    assert chosen("dc_id", type_name="DataCentre", is_regular=False).type.name == "DataCentre"
