"""The grid: regions, national and regional signals, and what they were generated from."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from pylon.ontology.enums import Country, Fuel
from pylon.ontology.types import (
    Column,
    GbpPerMwh,
    GramsPerKwh,
    Index,
    Instant,
    Json,
    Numeric,
    ObjectType,
    Percentage,
    Ref,
    Scope,
    ShortText,
    Sql,
    Table,
    Unit,
    Word,
)

__all__ = ["GenerationMix", "GridSignal", "Region", "RegionalGridSignal"]

CarbonWord = Annotated[str, Sql("varchar(20)"), Field(max_length=20)]
FetchedAt = Annotated[
    Instant, Column(default="now()"), Field(description="When the value now stored was retrieved")
]


class Region(ObjectType):
    """One of the 17 regions of the Carbon Intensity API: 14 distribution areas and 3 countries."""

    table: ClassVar[Table] = Table("regions", Scope.SHARED, unique=(("region_id",),))

    region_id: Annotated[int, Field(ge=1, le=17, description="The API's number for the region, 1 to 17")]
    short_name: Annotated[Word, Field(description="Name, e.g. North Scotland")]
    dno_region: Annotated[
        Word | None, Field(description="Distribution network operator's area, in the API's words")
    ] = None
    country: Annotated[Country, Field(description="England, Scotland or Wales")]
    is_aggregate: Annotated[bool, Field(description="True for regions 15 to 17, which sum up a country")] = False
    latitude: Annotated[
        Decimal | None, Numeric(9, 6, "degrees north"), Field(description="Geographic centre, latitude")
    ] = None
    longitude: Annotated[
        Decimal | None, Numeric(9, 6, "degrees east"), Field(description="Geographic centre, longitude")
    ] = None


class GridSignal(ObjectType):
    """The whole of Great Britain in one half hour: carbon, demand, price and stress."""

    table: ClassVar[Table] = Table(
        "grid_signals",
        Scope.SHARED,
        unique=(("timestamp",),),
        indexes=(Index('"timestamp" desc'), Index("carbon_intensity_forecast")),
    )

    timestamp: Annotated[Instant, Field(description="Start of the half hour, UTC")]
    settlement_period: Annotated[
        int,
        Field(
            ge=1,
            le=50,
            description="Number of the half hour in the London day, 1 to 48 (46, 50 at clock changes)",
        ),
    ]
    carbon_intensity_forecast: Annotated[
        GramsPerKwh | None, Field(ge=0, description="Forecast carbon intensity; its last revision, once past")
    ] = None
    carbon_intensity_actual: Annotated[
        GramsPerKwh | None, Field(ge=0, description="Estimated actual carbon intensity, once known")
    ] = None
    carbon_index: Annotated[
        CarbonWord | None,
        Field(description="The source's own word: very low, low, moderate, high, very high"),
    ] = None
    carbon_index_computed: Annotated[
        CarbonWord | None, Field(description="The same word computed from the value and the year's bands")
    ] = None
    demand_mw: Annotated[
        int | None, Unit("MW"), Field(ge=0, description="National demand on the transmission system")
    ] = None
    grid_stress_score: Annotated[
        Decimal | None,
        Numeric(4, 3, "1"),
        Field(ge=0, le=1, description="0.000 (slack) to 1.000 (emergency)"),
    ] = None
    grid_stress_detail: Annotated[
        Json | None, Field(description="The score's components, their coverage and the method's version")
    ] = None
    wholesale_price_gbp_mwh: Annotated[GbpPerMwh | None, Field(description="Wholesale price; may be negative")] = (
        None
    )
    system_price_gbp_mwh: Annotated[
        GbpPerMwh | None, Field(description="Price of imbalance, known after the half hour; may be negative")
    ] = None
    data_source: Annotated[
        ShortText | None,
        Field(description="Source of the row's carbon intensity; `simulated` when simulated"),
    ] = None
    provenance: Annotated[
        Json,
        Column(default="'{}'"),
        Field(description="Source of each quantity: carbon, demand, price, system_price, stress, mix"),
    ] = {}
    is_forecast: Annotated[
        bool, Field(description="True until an actual carbon intensity is known for the half hour")
    ] = True
    fetched_at: FetchedAt


class RegionalGridSignal(ObjectType):
    """One region in one half hour. The upstream regional figures are a model's output, never measured."""

    table: ClassVar[Table] = Table(
        "regional_grid_signals",
        Scope.SHARED,
        unique=(("region_id", "timestamp"),),
        indexes=(Index('"timestamp"'),),
    )

    region_id: Annotated[
        UUID,
        Ref("Region", "HAS_SIGNAL", inverse=True, doc="Region has carbon signal"),
        Field(description="The region's id (a UUID here; the API's number is regions.region_id)"),
    ]
    timestamp: Annotated[Instant, Field(description="Start of the half hour, UTC")]
    carbon_intensity_forecast: Annotated[
        GramsPerKwh | None, Field(ge=0, description="Forecast carbon intensity; 0 is legal in a region")
    ] = None
    carbon_intensity_upper: Annotated[
        GramsPerKwh | None,
        Field(
            ge=0, description="What caps are held against: 90 % quantile of Pylon's own forecast; null on others"
        ),
    ] = None
    carbon_intensity_actual: Annotated[
        GramsPerKwh | None, Field(ge=0, description="Actual carbon intensity, where a source gives one")
    ] = None
    carbon_index: Annotated[CarbonWord | None, Field(description="The source's own word")] = None
    carbon_index_computed: Annotated[
        CarbonWord | None, Field(description="The same word computed from the value and the year's bands")
    ] = None
    data_source: Annotated[ShortText | None, Field(description="Source of the row; `simulated` when simulated")] = (
        None
    )
    fetched_at: FetchedAt


class GenerationMix(ObjectType):
    """The share of one fuel in a national or a regional signal."""

    table: ClassVar[Table] = Table(
        "generation_mix",
        Scope.SHARED,
        unique=(("grid_signal_id", "fuel_type"), ("regional_signal_id", "fuel_type")),
        checks={"one_signal": "num_nonnulls(grid_signal_id, regional_signal_id) = 1"},
    )

    grid_signal_id: Annotated[
        UUID | None,
        Ref(
            "GridSignal",
            "HAS_MIX",
            inverse=True,
            doc="National signal was generated from",
            on_delete="cascade",
        ),
        Field(description="The national signal, or null"),
    ] = None
    regional_signal_id: Annotated[
        UUID | None,
        Ref(
            "RegionalGridSignal",
            "HAS_MIX",
            inverse=True,
            doc="Regional signal was generated from",
            on_delete="cascade",
        ),
        Field(description="The regional signal, or null; exactly one of the two is set"),
    ] = None
    timestamp: Annotated[Instant, Field(description="The signal's timestamp, repeated for quick queries")]
    fuel_type: Annotated[Fuel, Sql("varchar(50)"), Field(description="Fuel")]
    percentage: Annotated[Percentage, Field(ge=0, le=100, description="Share of generation, 0.00 to 100.00")]
    fetched_at: FetchedAt
