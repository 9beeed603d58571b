"""The words an object type is declared in: units, SQL types, ranges, links and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "Column",
    "GbpPerMwh",
    "Grams",
    "GramsPerKwh",
    "Index",
    "Instant",
    "Json",
    "KilowattHours",
    "Kilowatts",
    "MegawattHours",
    "Megawatts",
    "Name",
    "Numeric",
    "ObjectType",
    "Percentage",
    "Pounds",
    "Ratio",
    "Record",
    "Ref",
    "Row",
    "Scope",
    "ShortText",
    "Sql",
    "Table",
    "Text",
    "Unit",
    "Word",
]


@dataclass(frozen=True, slots=True)
class Sql:
    """The PostgreSQL type of a column whose Python type does not settle it."""

    type: str


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a quantity, as written in documents: `MW`, `gCO2/kWh`, `GBP/MWh`."""

    name: str


@dataclass(frozen=True, slots=True)
class Numeric:
    """A fixed-point quantity: `digits` in all, `places` after the point, in `unit`.

    A value is rounded half away from zero to `places`, as PostgreSQL would on storing it; one with too many digits
    before the point is refused with the largest magnitude that fits.
    """

    digits: int
    places: int
    unit: str = ""

    @property
    def sql(self) -> str:
        """Return the column's PostgreSQL type."""
        return f"numeric({self.digits},{self.places})"

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Round after pydantic has made a finite Decimal of the input; None passes where it is allowed."""
        schema = handler(source)
        if schema["type"] == "nullable":  # a range beside this mark is pushed into the schema below
            inner = core_schema.no_info_after_validator_function(self._fit, schema["schema"])
            return core_schema.nullable_schema(inner)
        return core_schema.no_info_after_validator_function(self._fit, schema)

    def _fit(self, value: Decimal) -> Decimal:
        limit = Decimal(10) ** (self.digits - self.places)
        if abs(value) < limit:  # quantize itself fails on a magnitude beyond the context's precision
            value = value.quantize(Decimal(1).scaleb(-self.places), rounding=ROUND_HALF_UP)
        if not abs(value) < limit:
            raise ValueError(f"must be between -{limit} and {limit}, exclusive")
        return value


@dataclass(frozen=True, slots=True)
class Ref:
    """A foreign key to another object type, and the link it stands for.

    The link reads from the row that holds the key to the row it names; `inverse` says that it reads the other
    way (a region HAS_SIGNAL the signals that name it).
    """

    target: str
    link: str | None = None
    inverse: bool = False
    doc: str = ""
    on_delete: Literal["restrict", "cascade"] = "restrict"


@dataclass(frozen=True, slots=True)
class Column:
    """What a column needs beyond its type.

    `default` is an SQL expression, `writer` the one place that writes a denormalised value, `is_secret` hides the
    column from every client.
    """

    default: str | None = None
    writer: str | None = None
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index on `columns` (an SQL column list without brackets), optionally unique or partial."""

    columns: str
    unique: bool = False
    where: str | None = None


class Scope(StrEnum):
    """Who may see a table's rows."""

    SHARED = "shared"  # grid data: everyone reads, the pipeline writes
    MEMBERS = "members"  # the same, for those who are signed in
    TENANT = "tenant"  # one operator's rows: that operator alone
    INTERNAL = "internal"  # Pylon's own book-keeping: no client role


@dataclass(frozen=True, slots=True)
class Table:
    """Where an object type's rows live, and the rules of the whole row."""

    name: str
    scope: Scope
    key: tuple[str, ...] = ("id",)
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
    append_only: bool = False
    partition_by: str | None = None
    tenant_column: str = "operator_id"


class Row(BaseModel):
    """A row of a declared table. Frozen: a change is a new row, made by an action."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    table: ClassVar[Table]


class ObjectType(Row):
    """A thing of the world that the ontology names; agents see it, and links connect it."""

    id: Annotated[UUID, Column(default="gen_random_uuid()"), Field(description="Primary key")]


class Record(Row):
    """A row Pylon keeps about its own work; not an object type, so no link and no place in the live state."""


# Quantities. A quantity's name ends in its unit; where the original's does not, the unit is declared here.
Megawatts = Annotated[Decimal, Numeric(10, 2, "MW")]
MegawattHours = Annotated[Decimal, Numeric(10, 2, "MWh")]
Kilowatts = Annotated[Decimal, Numeric(12, 3, "kW")]
KilowattHours = Annotated[Decimal, Numeric(14, 2, "kWh")]
Grams = Annotated[Decimal, Numeric(16, 2, "gCO2")]
GramsPerKwh = Annotated[int, Unit("gCO2/kWh")]
Pounds = Annotated[Decimal, Numeric(14, 4, "GBP")]
GbpPerMwh = Annotated[Decimal, Numeric(10, 2, "GBP/MWh")]
Percentage = Annotated[Decimal, Numeric(5, 2, "%")]
Ratio = Annotated[Decimal, Numeric(3, 2, "1")]

# Words.
Name = Annotated[str, Sql("varchar(255)"), Field(min_length=1, max_length=255)]
Word = Annotated[str, Sql("varchar(100)"), Field(min_length=1, max_length=100)]
ShortText = Annotated[str, Sql("varchar(50)"), Field(max_length=50)]
Text = Annotated[str, Sql("text")]
Json = dict[str, Any]
Instant = Annotated[AwareDatetime, Sql("timestamptz")]
