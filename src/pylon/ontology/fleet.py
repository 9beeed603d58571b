"""The fleet: operators, their data centres and their storage."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.enums import DataCentreStatus, OperatorType, StorageStatus
from pylon.ontology.types import (
    Column,
    GbpPerMwh,
    GramsPerKwh,
    Index,
    Instant,
    Json,
    MegawattHours,
    Megawatts,
    Name,
    Numeric,
    ObjectType,
    Percentage,
    Ratio,
    Ref,
    Scope,
    ShortText,
    Sql,
    Table,
    Unit,
    Word,
)

__all__ = [
    "CreatedAt",
    "DataCentre",
    "IsSimulated",
    "Operator",
    "OperatorId",
    "StorageAsset",
    "TariffRate",
    "UpdatedAt",
]

CreatedAt = Annotated[Instant, Column(default="now()"), Field(description="When the row was created")]
UpdatedAt = Annotated[Instant, Column(default="now()"), Field(description="When the row last changed")]
IsSimulated = Annotated[bool, Field(description="True when Pylon generated the object; it exists nowhere else")]
OperatorId = Annotated[UUID, Ref("Operator"), Field(description="The operator the row belongs to")]


class Operator(ObjectType):
    """A user or organisation; the tenant every other row of the fleet belongs to."""

    table: ClassVar[Table] = Table("operators", Scope.TENANT, unique=(("email",),), tenant_column="id")

    name: Annotated[Name, Field(description="Operator's name")]
    operator_type: Annotated[OperatorType, Field(description="What the operator runs")]
    email: Annotated[Name | None, Field(description="Contact address, unique")] = None
    api_key_hash: Annotated[
        str | None,
        Sql("varchar(255)"),
        Column(is_secret=True),
        Field(description="Hash of the operator's key; never shown"),
    ] = None
    metadata: Annotated[Json, Column(default="'{}'"), Field(description="Additional attributes")] = {}
    is_simulated: IsSimulated = False
    created_at: CreatedAt
    updated_at: UpdatedAt


class DataCentre(ObjectType):
    """A site that runs compute. Its power is the facility's, cooling included, unless a name says IT."""

    table: ClassVar[Table] = Table(
        "data_centres",
        Scope.TENANT,
        unique=(("operator_id", "id"), ("operator_id", "dc_id")),
        indexes=(Index("region_id"), Index("published", where="published")),
        checks={"base_load_fits": "base_load_mw <= total_capacity_mw"},
    )

    dc_id: Annotated[Word, Field(description="The operator's own id for the site; unique per operator")]
    name: Annotated[Name, Field(description="Human-readable name")]
    operator_id: Annotated[
        UUID,
        Ref("Operator", "OPERATED_BY", doc="DC is owned/managed by operator"),
        Field(description="The operator the site belongs to"),
    ]
    region_id: Annotated[
        UUID,
        Ref("Region", "LOCATED_IN", doc="DC is physically located in region"),
        Field(description="The grid region's id"),
    ]
    location_region: Annotated[Word | None, Field(description="The region's name, repeated")] = None
    postcode: Annotated[str | None, Sql("varchar(10)"), Field(max_length=10, description="UK postcode")] = None
    pue: Annotated[Ratio, Field(ge=1, le=3, description="Power usage effectiveness: facility power / IT power")]
    total_capacity_teraflops: Annotated[int | None, Unit("TFLOPS"), Field(ge=0, description="Compute capacity")] = (
        None
    )
    total_capacity_mw: Annotated[Megawatts, Field(ge=0, description="Power the site may draw")]
    flexibility_rating: Annotated[
        Ratio, Field(ge=0, le=1, description="Share of load that can move; 1 = fully flexible")
    ] = Decimal(0)
    min_load_percentage: Annotated[Percentage, Field(ge=0, le=100, description="Load the site cannot go below")] = (
        Decimal(0)
    )
    ramp_rate_mw_per_min: Annotated[
        Decimal | None,
        Numeric(6, 2, "MW/min"),
        Field(ge=0, description="How fast the site's load may change"),
    ] = None
    current_load_percentage: Annotated[
        Percentage | None,
        Column(writer="services.execute"),
        Field(ge=0, le=100, description="Present draw as a share of total_capacity_mw"),
    ] = None
    current_carbon_intensity: Annotated[
        GramsPerKwh | None,
        Column(writer="services.ingest"),
        Field(ge=0, description="The region's forecast for the present half hour; null when none is stored"),
    ] = None
    current_carbon_source: Annotated[
        ShortText | None,
        Column(writer="services.ingest"),
        Field(description="Source of current_carbon_intensity; `simulated` when simulated"),
    ] = None
    status: Annotated[DataCentreStatus, Field(description="Whether the site takes work")] = DataCentreStatus.ACTIVE
    gpu_count: Annotated[int | None, Field(ge=0, description="GPUs on site")] = None
    cpu_cores: Annotated[int | None, Field(ge=0, description="CPU cores on site")] = None
    memory_gb: Annotated[int | None, Unit("GB"), Field(ge=0, description="Memory on site")] = None
    base_load_mw: Annotated[
        Megawatts, Field(ge=0, description="Facility power drawn by what Pylon does not schedule")
    ] = Decimal(0)
    tariff: Annotated[
        Word | None, Field(description="Tariff the site buys at (tariff_rates.tariff); null: the wholesale price")
    ] = None
    published: Annotated[
        bool,
        Field(description="Whether the site's spare capacity is offered in the market catalog to everyone"),
    ] = False
    is_simulated: IsSimulated = False
    created_at: CreatedAt
    updated_at: UpdatedAt


class StorageAsset(ObjectType):
    """A battery or other store of electricity."""

    table: ClassVar[Table] = Table(
        "storage_assets",
        Scope.TENANT,
        unique=(("operator_id", "id"), ("operator_id", "asset_id")),
        indexes=(Index("region_id"), Index("operator_id, co_located_dc_id")),
        checks={"charge_fits": "current_charge_mwh <= capacity_mwh"},
    )

    asset_id: Annotated[Word, Field(description="The operator's own id for the asset; unique per operator")]
    name: Annotated[Name, Field(description="Human-readable name")]
    operator_id: Annotated[
        UUID,
        Ref("Operator", "OPERATED_BY", doc="Storage is owned/managed by operator"),
        Field(description="The operator the asset belongs to"),
    ]
    region_id: Annotated[
        UUID,
        Ref("Region", "LOCATED_IN", doc="Storage is physically located in region"),
        Field(description="The grid region's id"),
    ]
    capacity_mwh: Annotated[MegawattHours, Field(ge=0, description="Usable energy when full")]
    max_charge_rate_mw: Annotated[Megawatts, Field(ge=0, description="Most power it can take")]
    max_discharge_rate_mw: Annotated[Megawatts, Field(ge=0, description="Most power it can give")]
    efficiency_percentage: Annotated[
        Percentage, Field(gt=0, le=100, description="Round-trip efficiency: energy out / energy in")
    ] = Decimal(85)
    current_charge_mwh: Annotated[
        MegawattHours | None,
        Column(writer="services.execute"),
        Field(ge=0, description="Energy stored now"),
    ] = None
    current_charge_percentage: Annotated[
        Percentage | None,
        Column(writer="services.execute"),
        Field(ge=0, le=100, description="State of charge: current_charge_mwh / capacity_mwh"),
    ] = None
    status: Annotated[StorageStatus, Field(description="What the asset is doing")] = StorageStatus.IDLE
    co_located_dc_id: Annotated[
        UUID | None,
        Ref("DataCentre", "CO_LOCATED_WITH", doc="Storage sits behind the DC's meter"),
        Field(description="The data centre whose grid connection it shares, if any"),
    ] = None
    wear_gbp_mwh: Annotated[GbpPerMwh, Field(ge=0, description="Cost of wear per MWh discharged")] = Decimal(0)
    is_simulated: IsSimulated = False
    created_at: CreatedAt
    updated_at: UpdatedAt


class TariffRate(ObjectType):
    """What an operator pays for electricity on one of its tariffs, from one moment until the tariff's next rate."""

    table: ClassVar[Table] = Table(
        "tariff_rates", Scope.TENANT, unique=(("operator_id", "id"), ("operator_id", "tariff", "starts_at"))
    )

    operator_id: Annotated[
        UUID,
        Ref("Operator", "PAID_BY", doc="Rate is paid by operator"),
        Field(description="The operator that buys at the rate"),
    ]
    tariff: Annotated[Word, Field(description="The operator's own name for the tariff")]
    starts_at: Annotated[Instant, Field(description="From when the rate holds, until the tariff's next one")]
    price_gbp_mwh: Annotated[
        GbpPerMwh | None, Field(description="Price of energy, levies included; null: no price from here on")
    ] = None
    is_simulated: IsSimulated = False
    created_at: CreatedAt
