"""Columns: one declaration, one flat description."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest
from pydantic import Field

from pylon.ontology import columns
from pylon.ontology.catalogue import ROWS
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.enums import CarbonIndex, DataCentreStatus, Fuel
from pylon.ontology.fleet import DataCentre, Operator
from pylon.ontology.types import (
    Column,
    Instant,
    Json,
    Megawatts,
    Numeric,
    ObjectType,
    Ref,
    Row,
    Scope,
    Sql,
    Table,
    Unit,
)


class Sample(ObjectType):
    """One column of each kind."""

    table: ClassVar[Table] = Table("samples", Scope.SHARED)

    text: Annotated[str, Field(description="Text")]
    maybe: Annotated[str | None, Field(description="Perhaps")] = None
    count: Annotated[int, Unit("pieces"), Field(ge=0, le=9, description="Count")] = 3
    power_mw: Annotated[Megawatts, Field(gt=0, description="Power")] = Decimal("1.50")
    signed: Annotated[Decimal | None, Numeric(4, 3, "1"), Field(description="Signed")] = None
    flag: Annotated[bool, Field(description="Flag")] = False
    at: Annotated[Instant, Column(default="now()"), Field(description="When")]
    plain_at: Annotated[datetime | None, Field(description="When")] = None
    config: Annotated[Json, Column(default="'{}'"), Field(description="Config")] = {}
    numbers: Annotated[list[int] | None, Sql("integer[]"), Field(description="Numbers")] = None
    status: Annotated[DataCentreStatus, Field(description="Status")] = DataCentreStatus.ACTIVE
    fuel: Annotated[Fuel, Sql("varchar(50)"), Field(description="Fuel")]
    owner_id: Annotated[UUID, Ref("Operator", "OWNED_BY"), Field(description="Owner")]
    hidden: Annotated[str, Column(is_secret=True, writer="services.hide"), Field(description="Hidden")]


def spec(name: str) -> ColumnSpec:
    return next(one for one in columns.of(Sample) if one.name == name)


def test_columns_stand_in_the_order_they_are_declared_the_key_first() -> None:
    assert [one.name for one in columns.of(Sample)] == list(Sample.model_fields)
    assert columns.of(Sample)[0].name == "id"
    assert columns.of(Sample)[0].default == "gen_random_uuid()"


@pytest.mark.parametrize(
    ("name", "sql_type", "is_nullable", "default"),
    [
        ("id", "uuid", False, "gen_random_uuid()"),
        ("text", "text", False, None),
        ("maybe", "text", True, None),
        ("count", "integer", False, "3"),
        ("power_mw", "numeric(10,2)", False, "1.50"),
        ("signed", "numeric(4,3)", True, None),
        ("flag", "boolean", False, "false"),
        ("at", "timestamptz", False, "now()"),
        ("plain_at", "timestamptz", True, None),
        ("config", "jsonb", False, "'{}'"),
        ("numbers", "integer[]", True, None),
        ("status", "data_centre_status", False, "'ACTIVE'"),
        ("fuel", "varchar(50)", False, None),
    ],
)
def test_type_null_and_default(name: str, sql_type: str, is_nullable: bool, default: str | None) -> None:
    found = spec(name)
    assert (found.sql_type, found.is_nullable, found.default) == (sql_type, is_nullable, default)


def test_units_and_bounds() -> None:
    assert (spec("count").unit, spec("count").ge, spec("count").gt, spec("count").le) == ("pieces", 0, None, 9)
    assert (spec("power_mw").unit, spec("power_mw").gt, spec("power_mw").ge) == ("MW", 0, None)
    assert (spec("signed").unit, spec("text").unit) == ("1", "")


def test_enums_keep_their_values_whether_typed_or_text() -> None:
    assert (spec("status").enum, spec("status").has_enum_type) == (DataCentreStatus, True)
    assert (spec("fuel").enum, spec("fuel").has_enum_type) == (Fuel, False)
    assert spec("text").enum is None


def test_references_writers_and_secrets() -> None:
    assert spec("owner_id").ref == Ref("Operator", "OWNED_BY")
    assert (spec("hidden").is_secret, spec("hidden").writer) == (True, "services.hide")
    assert (spec("text").is_secret, spec("text").writer, spec("text").ref) == (False, None, None)


@pytest.mark.parametrize(
    ("enum", "name"), [(DataCentreStatus, "data_centre_status"), (Fuel, "fuel"), (CarbonIndex, "carbon_index")]
)
def test_an_enum_is_named_in_snake_case(enum: Any, name: str) -> None:
    assert columns.enum_name(enum) == name


def test_a_type_without_an_sql_type_is_refused_by_name() -> None:
    class Odd(ObjectType):
        """Odd."""

        table: ClassVar[Table] = Table("odds", Scope.SHARED)
        when: Annotated[complex, Field(description="-")]

    with pytest.raises(TypeError, match=r"column when: .*complex.* has no SQL type; add Sql"):
        columns.of(Odd)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_column_of_the_ontology_says_what_it_means(row: type[Row]) -> None:
    for one in columns.of(row):
        assert one.doc, f"{row.__name__}.{one.name} has no description"
        if one.ge is not None and one.le is not None:
            assert one.ge < one.le


def test_the_secret_of_an_operator_is_marked() -> None:
    assert [one.name for one in columns.of(Operator) if one.is_secret] == ["api_key_hash"]


def test_every_denormalised_column_of_a_data_centre_has_one_writer() -> None:
    written = {one.name: one.writer for one in columns.of(DataCentre) if one.name.startswith("current_")}
    assert all(written.values())
    assert set(written) == {"current_load_percentage", "current_carbon_intensity", "current_carbon_source"}
