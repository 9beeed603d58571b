"""SQL from the ontology: the parts of the text that carry a rule."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

import pytest
from pydantic import Field

from pylon.derive import sql
from pylon.ontology import columns
from pylon.ontology.catalogue import ROWS
from pylon.ontology.enums import StorageStatus
from pylon.ontology.fleet import CreatedAt, OperatorId, UpdatedAt
from pylon.ontology.regions import REGIONS
from pylon.ontology.types import Column, Index, Megawatts, ObjectType, Ref, Row, Scope, Table, Word


class PumpKind(StrEnum):
    """What a pump moves."""

    WATER = "WATER"
    GLYCOL = "GLYCOL"


class Pump(ObjectType):
    """A pump; it's an example."""

    table: ClassVar[Table] = Table(
        "pumps",
        Scope.TENANT,
        unique=(("operator_id", "id"),),
        indexes=(Index("operator_id, dc_id"), Index("power_mw", unique=True, where="power_mw > 0")),
        checks={"is_small": "power_mw < 5"},
    )
    operator_id: OperatorId
    dc_id: Annotated[UUID, Ref("DataCentre", "PUMPS"), Field(description="Where")]
    power_mw: Annotated[Megawatts, Field(ge=0, le=4.5, description="Power it draws")]
    kind: Annotated[PumpKind, Field(description="What it moves")] = PumpKind.WATER
    status: Annotated[StorageStatus | None, Field(description="An enum that others use")] = None
    token: Annotated[Word | None, Column(is_secret=True), Field(description="Secret")] = None
    created_at: CreatedAt
    updated_at: UpdatedAt


class Tick(ObjectType):
    """An event of the grid."""

    table: ClassVar[Table] = Table("ticks", Scope.SHARED, append_only=True)


class Note(ObjectType):
    """Pylon's own."""

    table: ClassVar[Table] = Table("notes", Scope.INTERNAL)


def test_a_table_migration_makes_the_new_enum_and_no_other() -> None:
    text = sql.table_migration(Pump)
    assert "create type public.pump_kind as enum ('WATER', 'GLYCOL');" in text
    assert "create type public.storage_status" not in text
    assert text.index("create type") < text.index("create table") < text.index("enable row level security")
    assert "if not exists public.pumps" not in text


@pytest.mark.parametrize(
    "part",
    [
        "create table public.pumps (",
        "power_mw numeric(10,2) not null,",
        "kind public.pump_kind not null default 'WATER',",
        "status public.storage_status,",
        "constraint pumps_pkey primary key (id)",
        "constraint pumps_operator_id_id_key unique (operator_id, id)",
        "constraint pumps_power_mw_range check (power_mw >= 0 and power_mw <= 4.5)",
        "constraint pumps_is_small check (power_mw < 5)",
        # A key between two tenant tables carries the operator.
        "foreign key (operator_id, dc_id) references public.data_centres (operator_id, id) on delete restrict",
        "foreign key (operator_id) references public.operators (id) on delete restrict",
        "comment on table public.pumps is 'A pump; it''s an example.';",
        "comment on column public.pumps.power_mw is 'Power it draws [MW]';",
        "create index pumps_operator_id_dc_id_idx on public.pumps (operator_id, dc_id);",
        "create unique index pumps_power_mw_idx on public.pumps (power_mw) where power_mw > 0;",
        "create or replace trigger touch_updated_at before update on public.pumps",
        "alter table public.pumps enable row level security;",
        "alter table public.pumps force row level security;",
        "revoke all on public.pumps from public, anon, authenticated, service_role;",
        f"using (operator_id = {sql.CLAIMED_OPERATOR}) with check (operator_id = {sql.CLAIMED_OPERATOR});",
        "grant select, insert, update, delete on public.pumps to pylon_actor;",
    ],
)
def test_a_table_migration_says(part: str) -> None:
    assert part in sql.table_migration(Pump)


def test_a_secret_column_is_granted_to_no_reader() -> None:
    (grant,) = re.findall(r"grant select \((.*?)\) on public\.pumps", sql.table_migration(Pump))
    assert "token" not in grant.split(", ")
    assert set(grant.split(", ")) == {spec.name for spec in columns.of(Pump) if not spec.is_secret}


def test_who_reads_follows_from_the_scope() -> None:
    shared, internal = sql.table_migration(Tick), sql.table_migration(Note)
    assert "grant select on public.ticks to anon, authenticated" in shared
    assert "create policy read_rows on public.ticks for select to anon, authenticated" in shared
    assert "to anon" not in internal
    assert "read_rows" not in internal
    assert "grant select, insert, update, delete on public.notes to pylon_ingest;" in internal


def test_append_only_is_enforced_by_triggers_that_stay_on() -> None:
    text = sql.table_migration(Tick)
    assert "create or replace trigger refuse_change before update or delete on public.ticks" in text
    assert "create or replace trigger refuse_statement before update or delete or truncate on public.ticks" in text
    assert text.count("enable always trigger") == 2
    assert "grant select, insert on public.ticks to pylon_ingest;" in text


def test_every_table_comes_after_those_it_refers_to() -> None:
    order = [row.__name__ for row in sql.tables_in_order()]
    assert sorted(order) == sorted(ROWS)
    for position, name in enumerate(order):
        targets = {spec.ref.target for spec in columns.of(ROWS[name]) if spec.ref} - {name}
        assert targets <= set(order[:position])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_schema_has_every_table_with_row_security_forced(row: type[Row]) -> None:
    text = sql.migration()
    assert f"create table public.{row.table.name} (" in text
    assert f"alter table public.{row.table.name} force row level security;" in text


def test_the_script_seeds_the_regions_and_records_its_migrations() -> None:
    text = sql.schema([("20260101000000", "one"), ("20260201000000", "it's two")])
    for region in REGIONS:
        assert f"'{region.id}', {region.region_id}, '{region.short_name}'" in text
    assert "('20260101000000', 'one'),\n    ('20260201000000', 'it''s two')" in text
    assert text.startswith("-- Generated")
    assert text.rstrip().endswith("commit;")


def test_the_script_can_be_run_again() -> None:
    text = sql.schema([("20260101000000", "one")])
    assert not re.findall(r"^create (?:table|index|unique index) (?!if not exists)", text, re.MULTILINE)


def test_no_name_is_longer_than_postgresql_keeps() -> None:
    text = sql.migration()
    names = re.findall(r"(?:constraint|index|trigger|policy) ([a-z_0-9]+)", text)
    assert names
    assert max(map(len, names)) <= 63


def test_a_fragment_that_is_not_there_is_an_error() -> None:
    assert sql.fragment("10_roles")
    with pytest.raises(FileNotFoundError):
        sql.fragment("99_none")
