"""The parameters of actions on operators, agents, data centres, storage and flexibility."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from pylon.ontology._parameters import (
    Change,
    Document,
    Id,
    Moment,
    NewId,
    NewName,
    Parameters,
    Reason,
    RegionNumber,
    Within,
    distinct,
    wrong,
)
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import floor
from pylon.ontology.enums import AgentType, DataCentreStatus, OperatorType
from pylon.ontology.fleet import DataCentre, Operator, StorageAsset
from pylon.ontology.types import GbpPerMwh, MegawattHours, Megawatts, Numeric, ObjectType, Percentage, Ratio

__all__ = [
    "AddBlackoutWindow",
    "DispatchStorage",
    "OfferFlexibility",
    "PowerAt",
    "RegisterAgent",
    "RegisterDataCentre",
    "RegisterOperator",
    "RegisterStorageAsset",
    "RemoveBlackoutWindow",
    "ReportCharge",
    "ScaleDataCentre",
    "SetDataCentreStatus",
    "UpdateAgent",
    "UpdateDataCentre",
    "UpdateOperator",
    "UpdateStorageAsset",
]

_MOST_HALF_HOURS = 96
_LONGEST_BLACKOUT = timedelta(days=31)

Mw = Annotated[Megawatts, Within("MW", 0, 100_000)]
SomeMw = Annotated[Megawatts, Within("MW", 0, 100_000, is_above=True)]
Mwh = Annotated[MegawattHours, Within("MWh", 0, 1_000_000)]
Price = Annotated[GbpPerMwh, Within("GBP/MWh", 0, 1_000_000)]
Share = Annotated[Percentage, Within("%", 0, 100)]
Count = Annotated[int, Within("", 0, 2_000_000_000)]
Gigabytes = Annotated[int, Within("GB", 0, 2_000_000_000)]
Teraflops = Annotated[int, Within("TFLOPS", 0, 2_000_000_000)]
PueRatio = Annotated[Ratio, Within("1", 1, 3)]
Rating = Annotated[Ratio, Within("1", 0, 1)]
Ramp = Annotated[Decimal, Numeric(6, 2, "MW/min"), Within("MW/min", 0, 9_999)]
Efficiency = Annotated[Percentage, Within("%", 0, 100, is_above=True)]
Dispatched = Annotated[Decimal, Numeric(10, 3, "MW"), Within("MW", -100_000, 100_000)]
Postcode = Annotated[NewName, Field(max_length=10)]
Tariff = Annotated[NewName, Field(max_length=100)]
Yes = Annotated[bool, Field(strict=True)]

DcId = Annotated[Id, Field(description="The operator's own id of the data centre")]
AssetId = Annotated[Id, Field(description="The operator's own id of the storage asset")]
AgentId = Annotated[Id, Field(description="The operator's own id of the agent")]


class PowerAt(Parameters):
    """What a storage asset is to do in one half hour."""

    starts_at: Annotated[Moment, Field(description="Start of the half hour")]
    power_mw: Annotated[Dispatched, Field(description="Mean power at the connection; positive discharges")]


def _half_hours(schedule: list[PowerAt]) -> list[PowerAt]:
    times = [one.starts_at for one in schedule]
    if any(at != floor(at) for at in times):
        raise wrong("must start at half hours (minute 0 or 30)")
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise wrong("must be in order, each half hour once")
    return schedule


class DispatchStorage(Parameters):
    """Schedule a storage asset, in place of what it was to do from the first half hour given on."""

    asset_id: AssetId
    schedule: Annotated[
        list[PowerAt],
        Field(
            min_length=1,
            max_length=_MOST_HALF_HOURS,
            description="Half hours in order; one left out between the first and the last is idle",
        ),
        AfterValidator(_half_hours),
    ]
    reason: Annotated[Reason | None, Field(description="Why, in words")] = None


class ReportCharge(Parameters):
    """Say what a storage asset of your own holds, as its meter has it.

    Pylon does not guess what your asset did: once a half hour of its schedule is over, report, then dispatch again.
    """

    asset_id: AssetId
    charge_mwh: Annotated[Mwh, Field(description="Energy stored")]
    at: Annotated[Moment | None, Field(description="When it held that; null: now")] = None


class ScaleDataCentre(Parameters):
    """Cap the power that scheduled work may draw at a site for a while, or lift such caps.

    Of several caps at one time the lowest holds.
    """

    dc_id: DcId
    max_power_mw: Annotated[
        Mw | None, Field(description="Facility power; null lifts the caps that this action set at the site")
    ]
    limit_ids: Annotated[
        list[UUID] | None,
        Field(min_length=1, max_length=1000, description="Lift these LoadLimits alone; null: every cap"),
    ] = None
    starts_at: Annotated[Moment | None, Field(description="From when; null: now")] = None
    ends_at: Annotated[Moment | None, Field(description="Until when; null: until it is lifted")] = None
    reason: Reason

    @model_validator(mode="after")
    def _is_one_of_both(self) -> ScaleDataCentre:
        if self.max_power_mw is None and (self.starts_at is not None or self.ends_at is not None):
            raise wrong(
                "caps are lifted now and for good: leave out starts_at and ends_at where max_power_mw is null"
            )
        if self.max_power_mw is not None and self.limit_ids is not None:
            raise wrong("limit_ids says which caps are lifted: leave it out where max_power_mw is given")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise wrong("ends_at must lie after starts_at")
        return self


class SetDataCentreStatus(Parameters):
    """Say whether a site takes work.

    What runs there runs on; what is booked there is placed anew in the next round.
    """

    dc_id: DcId
    status: Annotated[DataCentreStatus, Field(description="Only an ACTIVE site is given new work")]
    reason: Reason


class AddBlackoutWindow(Parameters):
    """Keep a site free of scheduled work for a while: a cap of 0 MW.

    What runs there runs on; what is booked there is placed anew in the next round.
    """

    dc_id: DcId
    starts_at: Annotated[Moment, Field(description="From when")]
    ends_at: Annotated[Moment, Field(description="Until when, excluded; at most 31 days later")]
    reason: Reason

    @model_validator(mode="after")
    def _is_a_while(self) -> AddBlackoutWindow:
        if not timedelta(0) < self.ends_at - self.starts_at <= _LONGEST_BLACKOUT:
            raise wrong("ends_at must lie after starts_at, at most 31 days")
        return self


class RemoveBlackoutWindow(Parameters):
    """End a blackout window now, or call off one that has not begun."""

    limit_id: Annotated[UUID, Field(description="Id of the LoadLimit")]


class OfferFlexibility(Parameters):
    """Offer power that could be shed for a while, and say what that would cost."""

    mw: Annotated[SomeMw, Field(description="Power that would be shed")]
    starts_at: Annotated[Moment, Field(description="From when")]
    ends_at: Annotated[Moment, Field(description="Until when, excluded")]
    price_gbp_mwh: Annotated[Price, Field(description="Least price at which it pays to shed")]
    dc_ids: Annotated[
        list[DcId],
        Field(min_length=1, max_length=100, description="Data centres that would shed"),
        AfterValidator(distinct("data centre")),
    ]
    reason: Reason

    @model_validator(mode="after")
    def _ends_after_start(self) -> OfferFlexibility:
        if self.ends_at <= self.starts_at:
            raise wrong("ends_at must lie after starts_at")
        return self


class RegisterOperator(Parameters):
    """Enter another operator of this database.

    It acts for itself from then on, and none else does: PYLON_OPERATOR takes its id.
    """

    name: Annotated[NewName, Field(description="Operator's name")]
    operator_type: Annotated[OperatorType, Field(description="What the operator runs")]
    email: Annotated[NewName | None, Field(description="Contact address, unique")] = None
    metadata: Annotated[Document, Field(description="Additional attributes")] = {}


class UpdateOperator(Change):
    """Change the operator that the call acts for."""

    changes: ClassVar[type[ObjectType]] = Operator
    key: ClassVar[str | None] = None

    name: Annotated[NewName | None, Field(description="Operator's name")] = None
    operator_type: Annotated[OperatorType | None, Field(description="What the operator runs")] = None
    email: Annotated[NewName | None, Field(description="Contact address, unique")] = None
    metadata: Annotated[Document | None, Field(description="Additional attributes, all of them")] = None


class RegisterAgent(Parameters):
    """Enter a new agent."""

    agent_id: Annotated[NewId, Field(description="The operator's own id for the agent; unique per operator")]
    name: Annotated[NewName, Field(description="Agent's name")]
    agent_type: Annotated[AgentType, Field(description="What the agent decides about")]
    config: Annotated[Document, Field(description="Configuration, as agents of its type have it")] = {}


class UpdateAgent(Change):
    """Change an agent, or switch it off and on."""

    changes: ClassVar[type[ObjectType]] = Agent
    key: ClassVar[str | None] = "agent_id"

    agent_id: AgentId
    name: Annotated[NewName | None, Field(description="Agent's name")] = None
    config: Annotated[Document | None, Field(description="Configuration, all of it")] = None
    status: Annotated[
        Literal["IDLE", "OFFLINE"] | None, Field(description="OFFLINE: it decides nothing until it is IDLE again")
    ] = None


class RegisterDataCentre(Parameters):
    """Enter a new site; it is ACTIVE."""

    dc_id: Annotated[NewId, Field(description="The operator's own id for the site; unique per operator")]
    name: Annotated[NewName, Field(description="Human-readable name")]
    region: Annotated[RegionNumber, Field(description="Number of the grid region it stands in")]
    postcode: Annotated[Postcode | None, Field(description="UK postcode")] = None
    pue: Annotated[PueRatio, Field(description="Power usage effectiveness: facility power / IT power")]
    total_capacity_mw: Annotated[Mw, Field(description="Power the site may draw")]
    base_load_mw: Annotated[Mw, Field(description="Facility power drawn by what Pylon does not schedule")] = (
        Decimal(0)
    )
    total_capacity_teraflops: Annotated[Teraflops | None, Field(description="Compute capacity")] = None
    flexibility_rating: Annotated[Rating, Field(description="Share of load that can move; 1 = fully flexible")] = (
        Decimal(0)
    )
    min_load_percentage: Annotated[Share, Field(description="Load the site cannot go below")] = Decimal(0)
    ramp_rate_mw_per_min: Annotated[Ramp | None, Field(description="How fast the site's load may change")] = None
    gpu_count: Annotated[Count | None, Field(description="GPUs on site; null: not known")] = None
    cpu_cores: Annotated[Count | None, Field(description="CPU cores on site; null: not known")] = None
    memory_gb: Annotated[Gigabytes | None, Field(description="Memory on site; null: not known")] = None
    tariff: Annotated[Tariff | None, Field(description="Tariff it buys at; null: the wholesale price")] = None
    published: Annotated[Yes, Field(description="Whether its spare capacity is offered to everyone")] = False


class UpdateDataCentre(Change):
    """Change a site; its status has an action of its own."""

    changes: ClassVar[type[ObjectType]] = DataCentre
    key: ClassVar[str | None] = "dc_id"

    dc_id: DcId
    name: Annotated[NewName | None, Field(description="Human-readable name")] = None
    postcode: Annotated[Postcode | None, Field(description="UK postcode")] = None
    pue: Annotated[PueRatio | None, Field(description="Power usage effectiveness")] = None
    total_capacity_mw: Annotated[Mw | None, Field(description="Power the site may draw")] = None
    base_load_mw: Annotated[Mw | None, Field(description="Facility power of what Pylon does not schedule")] = None
    total_capacity_teraflops: Annotated[Teraflops | None, Field(description="Compute capacity")] = None
    flexibility_rating: Annotated[Rating | None, Field(description="Share of load that can move")] = None
    min_load_percentage: Annotated[Share | None, Field(description="Load the site cannot go below")] = None
    ramp_rate_mw_per_min: Annotated[Ramp | None, Field(description="How fast its load may change")] = None
    gpu_count: Annotated[Count | None, Field(description="GPUs on site; null: not known")] = None
    cpu_cores: Annotated[Count | None, Field(description="CPU cores on site; null: not known")] = None
    memory_gb: Annotated[Gigabytes | None, Field(description="Memory on site; null: not known")] = None
    tariff: Annotated[Tariff | None, Field(description="Tariff it buys at; null: the wholesale price")] = None
    published: Annotated[Yes | None, Field(description="Whether its spare capacity is offered")] = None


class RegisterStorageAsset(Parameters):
    """Enter a new storage asset; it is IDLE."""

    asset_id: Annotated[NewId, Field(description="The operator's own id for the asset; unique per operator")]
    name: Annotated[NewName, Field(description="Human-readable name")]
    region: Annotated[RegionNumber, Field(description="Number of the grid region it stands in")]
    capacity_mwh: Annotated[Mwh, Field(description="Usable energy when full")]
    max_charge_rate_mw: Annotated[Mw, Field(description="Most power it can take")]
    max_discharge_rate_mw: Annotated[Mw, Field(description="Most power it can give")]
    efficiency_percentage: Annotated[
        Efficiency, Field(description="Round-trip efficiency: energy out / energy in")
    ] = Decimal(85)
    current_charge_mwh: Annotated[
        Mwh | None, Field(description="Energy stored now; later report_charge says. Null: not known")
    ] = None
    co_located_dc: Annotated[
        Id | None, Field(description="dc_id of the data centre whose grid connection it shares")
    ] = None
    wear_gbp_mwh: Annotated[Price, Field(description="Cost of wear per MWh discharged")] = Decimal(0)


class UpdateStorageAsset(Change):
    """Change a storage asset."""

    changes: ClassVar[type[ObjectType]] = StorageAsset
    key: ClassVar[str | None] = "asset_id"

    asset_id: AssetId
    name: Annotated[NewName | None, Field(description="Human-readable name")] = None
    capacity_mwh: Annotated[Mwh | None, Field(description="Usable energy when full")] = None
    max_charge_rate_mw: Annotated[Mw | None, Field(description="Most power it can take")] = None
    max_discharge_rate_mw: Annotated[Mw | None, Field(description="Most power it can give")] = None
    efficiency_percentage: Annotated[Efficiency | None, Field(description="Round-trip efficiency")] = None
    wear_gbp_mwh: Annotated[Price | None, Field(description="Cost of wear per MWh discharged")] = None
    status: Annotated[
        Literal["IDLE", "MAINTENANCE", "OFFLINE"] | None, Field(description="Only an IDLE asset is dispatched")
    ] = None
