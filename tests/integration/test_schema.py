"""The schema: one, whichever way it was made; what the ontology says; what the original design promised."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pylon.derive import sql
from pylon.ontology import columns
from pylon.ontology.catalogue import LINKS, ROWS
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.types import Row, Scope
from pylon.store import catalogue, migrations
from tests.conftest import Described

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schema" / "supabase_schema.sql"


@pytest.fixture
def pasted(new_database: Callable[..., str], template: str) -> str:
    """A database made by its owner from supabase_schema.sql alone, run twice."""
    dsn = new_database()
    for _ in range(2):
        run(dsn, SCHEMA.read_text("utf-8"))
    return dsn


def run(dsn: str, text: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(text.encode())


def fetch(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


# One schema, two ways to make it


def test_the_pasted_script_makes_what_the_migrations_make(pasted: str, described: Described) -> None:
    made = catalogue.describe(pasted)
    for section, objects in described.items():
        assert made[section] == objects, section


def test_the_pasted_script_leaves_nothing_to_migrate(pasted: str) -> None:
    assert migrations.state(pasted).pending == ()
    assert migrations.apply(pasted) == ()


def test_the_pasted_script_seeds_the_seventeen_regions_once(pasted: str) -> None:
    # As anyone: row security holds for the owner too, who sees nothing in its own name.
    with psycopg.connect(pasted, autocommit=True) as connection:
        connection.execute("set role anon")
        rows = connection.execute("select count(*), min(region_id), max(region_id) from public.regions")
        assert rows.fetchall() == [(17, 1, 17)]


def test_the_pasted_script_refuses_a_database_that_is_part_way_through_the_migrations(
    new_database: Callable[..., str],
) -> None:
    dsn = new_database()
    versions = [("20260101000000", "first"), ("20260102000000", "second")]
    run(dsn, "create schema supabase_migrations; create table supabase_migrations.schema_migrations (version text)")
    run(dsn, "insert into supabase_migrations.schema_migrations values ('20260101000000')")
    with pytest.raises(psycopg.errors.RaiseException, match="this database has 1 of Pylon's 2 migrations"):
        run(dsn, sql.schema(versions))


def test_the_pasted_script_refuses_a_table_that_is_not_ours(new_database: Callable[..., str]) -> None:
    dsn = new_database()
    run(dsn, "create table public.grid_signals (mine text)")
    with pytest.raises(
        psycopg.errors.RaiseException, match="grid_signals that no recorded migration made"
    ) as refused:
        run(dsn, SCHEMA.read_text("utf-8"))
    assert "move that table away" in str(refused.value.diag.message_hint)
    assert fetch(dsn, "select to_regclass('public.operators')") == [(None,)]


def test_the_committed_script_is_what_is_derived_now() -> None:
    versions = [(migration.version, migration.name) for migration in migrations.files()]
    assert SCHEMA.read_text("utf-8") == sql.schema(versions)


# What the ontology says


def test_tables_are_those_of_the_ontology(described: Described) -> None:
    assert described["tables"] == {
        f"public.{row.table.name}": {
            "kind": "partitioned table" if row.table.partition_by else "table",
            "partition_by": f"RANGE ({row.table.partition_by})" if row.table.partition_by else None,
            "row_security": True,
            "row_security_forced": True,
            "comment": str(row.__doc__).strip().splitlines()[0],
        }
        for row in ROWS.values()
    }


def test_columns_are_those_of_the_ontology(described: Described) -> None:
    described = {
        name: (column["type"], column["not_null"], column["default"])
        for name, column in described["columns"].items()
    }
    assert described == {
        f"public.{row.table.name}.{spec.name}": (full_type(spec), not spec.is_nullable, full_default(spec))
        for row in ROWS.values()
        for spec in columns.of(row)
    }


def test_every_column_says_what_it_is(described: Described) -> None:
    assert [name for name, column in described["columns"].items() if not column["comment"]] == []


def test_enums_are_those_of_the_ontology(described: Described) -> None:
    assert described["enums"] == {
        f"public.{columns.enum_name(spec.enum)}": [value.value for value in spec.enum]
        for row in ROWS.values()
        for spec in columns.of(row)
        if spec.enum and spec.has_enum_type
    }


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_keys_are_those_of_the_ontology(row: type[Row], described: Described) -> None:
    table = row.table
    expected = {f"PRIMARY KEY ({names(table.key)})", *(f"UNIQUE ({names(key)})" for key in table.unique)}
    expected |= {foreign_key(row, spec) for spec in columns.of(row) if spec.ref}
    assert {rule for rule in constraints(described, table.name) if not rule.startswith("CHECK")} == expected


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_range_is_checked_by_the_database(row: type[Row], described: Described) -> None:
    rules = [rule for rule in constraints(described, row.table.name) if rule.startswith("CHECK")]
    bounded = [spec for spec in columns.of(row) if (spec.ge, spec.gt, spec.le) != (None, None, None)]
    listed = [spec for spec in columns.of(row) if spec.enum and not spec.has_enum_type]
    assert len(rules) == len(bounded) + len(listed) + len(row.table.checks)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_indexes_are_those_of_the_ontology(row: type[Row], described: Described) -> None:
    table = row.table
    on = f" ON (?:ONLY )?public.{table.name} "
    found = [text for text in described["indexes"].values() if re.search(on, text)]
    indexes = [re.sub(r"\((\w+)\)::text", r"\1", text) for text in found]  # a cast that PostgreSQL adds
    assert len(indexes) == 1 + len(table.unique) + len(table.indexes)
    for index in table.indexes:
        assert any(f"({index.columns.lower()})" in text.lower() for text in indexes), index


def full_type(spec: ColumnSpec) -> str:
    if spec.has_enum_type:
        return f"public.{spec.sql_type}"
    return spec.sql_type.replace("varchar", "character varying").replace("timestamptz", "timestamp with time zone")


def full_default(spec: ColumnSpec) -> str | None:
    if spec.default and spec.default.startswith("'"):
        return f"{spec.default}::{full_type(spec)}"
    return spec.default


def foreign_key(row: type[Row], spec: ColumnSpec) -> str:
    """A reference from one operator's row to another carries the operator, so that it cannot leave it."""
    assert spec.ref
    target = ROWS[spec.ref.target].table
    within = row.table.scope is target.scope is Scope.TENANT and target.name != "operators"
    ours, theirs = (f"operator_id, {spec.name}", "operator_id, id") if within else (spec.name, "id")
    then = spec.ref.on_delete.upper()
    return f"FOREIGN KEY ({ours}) REFERENCES public.{target.name}({theirs}) ON DELETE {then}"


def names(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' if word == "timestamp" else word for word in words)


def constraints(described: Described, table: str) -> list[str]:
    return [rule for name, rule in described["constraints"].items() if name.startswith(f"public.{table}.")]


# What the original design promised: names and types as published. ENUM values are listed below it.

PROMISED: dict[str, str] = {
    "operators": """
        id UUID, name VARCHAR(255), operator_type ENUM, email VARCHAR(255), api_key_hash VARCHAR(255),
        metadata JSONB, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ""",
    "regions": """
        id UUID, region_id INTEGER, short_name VARCHAR(100), dno_region VARCHAR(100), country ENUM,
        is_aggregate BOOLEAN, latitude DECIMAL(9,6), longitude DECIMAL(9,6)""",
    "grid_signals": """
        id UUID, timestamp TIMESTAMPTZ, settlement_period INTEGER, carbon_intensity_forecast INTEGER,
        carbon_intensity_actual INTEGER, carbon_index VARCHAR(20), demand_mw INTEGER,
        grid_stress_score DECIMAL(4,3), wholesale_price_gbp_mwh DECIMAL(10,2), data_source VARCHAR(50),
        is_forecast BOOLEAN, fetched_at TIMESTAMPTZ""",
    "regional_grid_signals": """
        id UUID, region_id UUID, timestamp TIMESTAMPTZ, carbon_intensity_forecast INTEGER,
        carbon_intensity_actual INTEGER, carbon_index VARCHAR(20), fetched_at TIMESTAMPTZ""",
    "generation_mix": """
        id UUID, grid_signal_id UUID, regional_signal_id UUID, timestamp TIMESTAMPTZ, fuel_type VARCHAR(50),
        percentage DECIMAL(5,2), fetched_at TIMESTAMPTZ""",
    "data_centres": """
        id UUID, dc_id VARCHAR(100), name VARCHAR(255), operator_id UUID, region_id UUID,
        location_region VARCHAR(100), postcode VARCHAR(10), pue DECIMAL(3,2), total_capacity_teraflops INTEGER,
        total_capacity_mw DECIMAL(10,2), flexibility_rating DECIMAL(3,2), min_load_percentage DECIMAL(5,2),
        ramp_rate_mw_per_min DECIMAL(6,2), current_load_percentage DECIMAL(5,2),
        current_carbon_intensity INTEGER, status ENUM, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ""",
    "compute_workloads": """
        id UUID, job_id VARCHAR(100), operator_id UUID, host_dc_id UUID, workload_type ENUM, urgency ENUM,
        required_gpu_mins INTEGER, required_cpu_cores INTEGER, required_memory_gb INTEGER,
        estimated_energy_kwh DECIMAL(10,2), carbon_cap_gco2 INTEGER, max_price_gbp DECIMAL(10,4),
        deadline TIMESTAMPTZ, deferral_window_mins INTEGER, status ENUM, actual_energy_kwh DECIMAL(10,2),
        actual_carbon_gco2 DECIMAL(10,2), actual_cost_gbp DECIMAL(10,4), created_at TIMESTAMPTZ,
        started_at TIMESTAMPTZ, completed_at TIMESTAMPTZ""",
    "agents": """
        id UUID, agent_id VARCHAR(100), name VARCHAR(255), agent_type ENUM, operator_id UUID, config JSONB,
        status ENUM, last_action_at TIMESTAMPTZ, current_task JSONB, created_at TIMESTAMPTZ,
        updated_at TIMESTAMPTZ""",
    "agent_states": """
        id UUID, agent_id UUID, status VARCHAR(50), state_data JSONB, triggered_by VARCHAR(100),
        recorded_at TIMESTAMPTZ""",
    "orchestration_decisions": """
        id UUID, decision_id VARCHAR(100), decision_type ENUM, agent_id UUID, workload_id UUID,
        source_dc_id UUID, target_dc_id UUID, input_grid_signal_id UUID, input_carbon_intensity INTEGER,
        input_grid_stress DECIMAL(4,3), input_price_gbp_mwh DECIMAL(10,2), reasoning TEXT,
        constraints_evaluated JSONB, alternatives_considered JSONB, carbon_saved_gco2 DECIMAL(10,2),
        cost_saved_gbp DECIMAL(10,4), flexibility_contribution_mw DECIMAL(10,2), decided_at TIMESTAMPTZ""",
    "storage_assets": """
        id UUID, asset_id VARCHAR(100), name VARCHAR(255), operator_id UUID, region_id UUID,
        capacity_mwh DECIMAL(10,2), max_charge_rate_mw DECIMAL(10,2), max_discharge_rate_mw DECIMAL(10,2),
        efficiency_percentage DECIMAL(5,2), current_charge_mwh DECIMAL(10,2),
        current_charge_percentage DECIMAL(5,2), status ENUM, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ""",
}

PROMISED_VALUES: dict[str, str] = {
    "operators.operator_type": "COMPUTE_OPERATOR GRID_OPERATOR STORAGE_OPERATOR AGGREGATOR",
    "regions.country": "England Scotland Wales",
    "data_centres.status": "ACTIVE MAINTENANCE OFFLINE CONSTRAINED",
    "compute_workloads.workload_type": "TRAINING_RUN INFERENCE_BATCH RAG_QUERY FINE_TUNING DATA_PROCESSING OTHER",
    "compute_workloads.urgency": "LOW MEDIUM HIGH CRITICAL",
    "compute_workloads.status": """
        PENDING QUEUED RUNNING COMPLETED FAILED DEFERRED_GRID_STRESS DEFERRED_CARBON DEFERRED_PRICE CANCELLED""",
    "agents.agent_type": "COMPUTE_ORCHESTRATOR GRID_OPERATOR STORAGE_AGENT FLEXIBILITY_AGENT CARBON_OPTIMIZER",
    "agents.status": "IDLE ACTIVE NEGOTIATING EXECUTING ERROR OFFLINE",
    "orchestration_decisions.decision_type": """
        DEFER_WORKLOAD SHIFT_REGION SCHEDULE_DISCHARGE RENEWABLE_WINDOW ACCEPT_WORKLOAD REJECT_WORKLOAD
        SCALE_DOWN SCALE_UP NEGOTIATE PRICE_OPTIMIZATION CARBON_OPTIMIZATION""",
    "storage_assets.status": "IDLE CHARGING DISCHARGING MAINTENANCE OFFLINE",
}

PROMISED_FUELS = ("biomass", "coal", "imports", "gas", "nuclear", "other", "hydro", "solar", "wind")

# Unique as promised; an operator's own ids within the operator, so that none learns of another's.
PROMISED_UNIQUE = {
    "operators": "email",
    "regions": "region_id",
    "grid_signals": '"timestamp"',
    "regional_grid_signals": 'region_id, "timestamp"',
    "data_centres": "operator_id, dc_id",
    "compute_workloads": "operator_id, job_id",
    "agents": "operator_id, agent_id",
    "orchestration_decisions": "operator_id, decision_id",
    "storage_assets": "operator_id, asset_id",
}

PROMISED_LINKS = {
    ("LOCATED_IN", "DataCentre", "Region"),
    ("HOSTED_BY", "ComputeWorkload", "DataCentre"),
    ("OPERATED_BY", "DataCentre", "Operator"),
    ("OPERATED_BY", "Agent", "Operator"),
    ("HAS_SIGNAL", "Region", "RegionalGridSignal"),
    ("CONSUMED", "ComputeWorkload", "GridSignal"),
    ("DECIDED_BY", "OrchestrationDecision", "Agent"),
    ("AFFECTS", "OrchestrationDecision", "ComputeWorkload"),
}

PROMISED_REGIONS = [
    (1, "North Scotland", "Scotland"),
    (2, "South Scotland", "Scotland"),
    (3, "North West England", "England"),
    (4, "North East England", "England"),
    (5, "South Yorkshire", "England"),
    (6, "North Wales, Merseyside and Cheshire", "Wales"),
    (7, "South Wales", "Wales"),
    (8, "West Midlands", "England"),
    (9, "East Midlands", "England"),
    (10, "East England", "England"),
    (11, "South West England", "England"),
    (12, "South England", "England"),
    (13, "London", "England"),
    (14, "South East England", "England"),
    (15, "England", "England"),
    (16, "Scotland", "Scotland"),
    (17, "Wales", "Wales"),
]

WIDENED = {
    "compute_workloads": {
        "estimated_energy_kwh",
        "actual_energy_kwh",
        "actual_carbon_gco2",
        "max_price_gbp",
        "actual_cost_gbp",
    },
    "orchestration_decisions": {"carbon_saved_gco2", "cost_saved_gbp"},
}


@pytest.mark.parametrize("table", PROMISED)
def test_the_original_columns_are_there_with_their_types(table: str, described: Described) -> None:
    for column, kind in re.findall(r"(\w+) ([A-Z]+(?:\([\d,]+\))?)", PROMISED[table]):
        actual = described["columns"][f"public.{table}.{column}"]["type"]
        if kind == "ENUM":
            assert actual in described["enums"], column
        elif column in WIDENED.get(table, ()):
            assert wider(actual, kind), f"{column} is {actual}, promised {kind}"
        else:
            assert actual == full_kind(kind), column


@pytest.mark.parametrize("column", PROMISED_VALUES)
def test_the_original_values_are_valid(column: str, described: Described) -> None:
    enum = described["columns"][f"public.{column}"]["type"]
    assert described["enums"][enum] == PROMISED_VALUES[column].split()


@pytest.mark.parametrize("table", PROMISED_UNIQUE)
def test_the_original_unique_constraints_hold_within_an_operator(table: str, described: Described) -> None:
    assert f"UNIQUE ({PROMISED_UNIQUE[table]})" in constraints(described, table)


def test_the_original_indexes_are_there(described: Described) -> None:
    indexes = " ".join(described["indexes"].values())
    assert 'ON public.grid_signals USING btree ("timestamp" DESC)' in indexes
    assert "ON public.grid_signals USING btree (carbon_intensity_forecast)" in indexes


def test_the_original_fuels_are_valid_and_no_others(described: Described) -> None:
    rule = described["constraints"]["public.generation_mix.generation_mix_fuel_type_valid"]
    assert tuple(re.findall(r"'(\w+)'", rule)) == PROMISED_FUELS


def test_the_original_links_are_there() -> None:
    assert {(link.name, link.source, link.target) for link in LINKS} >= PROMISED_LINKS


def test_the_original_regions_are_seeded(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("set local role anon")
        query = "select region_id, short_name, country::text, is_aggregate from public.regions order by region_id"
        regions = connection.execute(query).fetchall()
    assert [region[:3] for region in regions] == PROMISED_REGIONS
    assert [number for number, _, _, is_aggregate in regions if is_aggregate] == [15, 16, 17]


def full_kind(kind: str) -> str:
    full = {"VARCHAR": "character varying", "TIMESTAMPTZ": "timestamp with time zone", "DECIMAL": "numeric"}
    word, bracket, rest = kind.partition("(")
    return full.get(word, word.lower()) + bracket + rest


def wider(actual: str, kind: str) -> bool:
    """Whether the numeric type has the promised places and at least the promised digits."""
    digits, places = map(int, re.findall(r"\d+", kind))
    actual_digits, actual_places = map(int, re.findall(r"\d+", actual))
    return actual_places == places and actual_digits > digits
