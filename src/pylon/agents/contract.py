"""What an agent sees, what it may propose, and how one is found: a program a module, listed nowhere."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

import pylon.agents
from pylon.errors import Invalid, NotFound, why_invalid
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.deciding import LoadLimit
from pylon.ontology.enums import AgentStatus, AgentType, DecisionType
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.planning.field import Field, Floats

__all__ = [
    "Booking",
    "Config",
    "Draft",
    "Place",
    "Program",
    "Proposal",
    "Scheduled",
    "Span",
    "StandingPlan",
    "View",
    "discover",
    "program",
]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time: [starts_at, ends_at), UTC."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """Where and when a workload runs or is to run, by the decision that stands."""

    data_centre_id: UUID
    spans: tuple[Span, ...]
    decision_id: UUID | None
    """None for work that was placed by hand, without a decision."""
    is_by_hand: bool = False
    """Whether a client chose it, and not an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """What a storage asset is to do in one half hour; positive MW discharge."""

    starts_at: datetime
    power_mw: float
    is_by_hand: bool = False
    """Whether a client set it, and not an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and when a plan has a workload run."""

    data_centre_id: UUID
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingPlan:
    """The newest plan of the operator's fleet whose half hours are not all past."""

    id: UUID
    plan_id: str
    """What people call it: `P-000012`."""
    made_at: datetime
    after_seq: int
    """The number of the last decision that it knows of."""
    gap: float | None
    """How much less the best plan might cost at most, as a share of that."""
    starts_at: datetime
    """Start of the first half hour of its prices."""
    places: Mapping[UUID, Place]
    """By workload; those that it does not run are not there."""
    prices: Mapping[str, Mapping[UUID, tuple[float, ...]]]
    """What limits are worth, by name (`power_mw` in GBP/MWh) and data centre, half hour by half hour."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything of one operator that its agents decide on, as it stood at one moment.

    Sites are in the order of the field's rows and sorted by id; workloads are those that have not ended, by arrival
    and then id; assets are sorted by id.
    """

    now: datetime
    starts_at: datetime
    """Start of the field's first half hour: the one that `now` is in."""
    run_id: UUID | None
    """The last committed pipeline run."""
    grid_signal_id: UUID | None
    """The national signal of the present half hour."""
    carbon_gco2_kwh: int | None
    """National carbon intensity of the present half hour; stress and price likewise."""
    stress: float | None
    price_gbp_mwh: float | None
    field: Field
    region_carbon: Mapping[int, tuple[int | None, ...]]
    """By region number (1 to 14): gCO2/kWh over the field's half hours, for what stands outside a site."""
    wholesale_gbp_mwh: tuple[float | None, ...]
    sites: tuple[DataCentre, ...]
    regions: tuple[int, ...]
    """The region number of each site."""
    workloads: tuple[ComputeWorkload, ...] = ()
    bookings: Mapping[UUID, Booking] = dataclasses.field(default_factory=dict)
    """By workload."""
    assets: tuple[StorageAsset, ...] = ()
    asset_regions: tuple[int, ...] = ()
    schedules: Mapping[UUID, tuple[Scheduled, ...]] = dataclasses.field(default_factory=dict)
    """By storage asset: what it is to do from the present half hour on, in order."""
    limits: tuple[LoadLimit, ...] = ()
    """Load limits that hold now or later."""
    deciders: Mapping[UUID, UUID | None] = dataclasses.field(default_factory=dict)
    """By decision that set one of the limits or schedules: the agent that made it, None for a client's own."""
    simulated: tuple[str, ...]
    """Which of the quantities (carbon, price, stress) rest on simulated values in any half hour."""
    digest: str
    """The SHA-256 under which `plan_inputs` keeps what the field was made of."""
    after_seq: int
    """The number of the last decision that the kept content knows of; the room changed with each one after it."""
    beside_mw: Floats | None = None
    """(D, T). What storage beside the sites is to give, which is in their room for power; below 0 where it charges,
    of which only as much counts as there is room for. None for nothing."""
    plan: StandingPlan | None = None
    """What the field's scarcity comes from, and where its work is to go."""

    def minutes(self, at: datetime) -> float:
        """Return `at` in minutes from the field's start."""
        return (at - self.starts_at).total_seconds() / 60

    def at(self, minutes: float) -> datetime:
        """Return the moment that lies `minutes` after the field's start, to the second."""
        return self.starts_at + timedelta(seconds=round(minutes * 60))

    def half_hour(self, column: int) -> datetime:
        """Return the start of the field's half hour number `column`."""
        return self.starts_at + column * HALF_HOUR

    def site(self, data_centre_id: UUID) -> int | None:
        """Return the row of a data centre in the field, or None when it is not one of these."""
        return self._rows.get(data_centre_id)

    @cached_property
    def _rows(self) -> dict[UUID, int]:
        return {site.id: row for row, site in enumerate(self.sites)}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A decision as its agent makes it; performing it adds ids, the grid's state and its place in the log.

    Savings are signed, against the baseline that `alternatives` holds, and None where there is no baseline. Every
    value in the JSON parts is plain: text, numbers rounded to what is said, booleans, None, lists, dicts.
    """

    decision_type: DecisionType
    reasoning: str
    inputs: Mapping[str, Any]
    constraints: Mapping[str, Any] = field(default_factory=dict)
    alternatives: Mapping[str, Any] = field(default_factory=dict)
    workload_id: UUID | None = None
    source_dc_id: UUID | None = None
    target_dc_id: UUID | None = None
    storage_asset_id: UUID | None = None
    carbon_saved_gco2: float | None = None
    cost_saved_gbp: float | None = None
    flexibility_contribution_mw: float | None = None
    is_simulated: bool = False


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """An action that an agent wants performed, and the decision it stands for."""

    action: str
    parameters: Mapping[str, Any]
    draft: Draft
    doing: AgentStatus = AgentStatus.EXECUTING
    """What the agent is said to do while it is performed."""
    is_joint: bool = False
    """Whether it is one of several moves that belong together: all leave their places before any takes another."""


class Config(BaseModel):
    """What `agents.config` may say for a type of agent; every field has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=Config)


@dataclass(frozen=True, kw_only=True)
class Program:
    """How agents of one type decide. A module of this room that has one lists it as `PROGRAM`."""

    agent_type: AgentType
    order: int
    """Programs run in this order in a round: limits first, then what keeps to them."""
    config: type[Config]
    propose: Callable[[View, Agent, Any], Iterable[Proposal]]

    def settings(self, given: Mapping[str, Any]) -> Config:
        """Return `agents.config` read as this type's.

        Raises `Invalid`, naming each field that is not valid and those that are.
        """
        try:
            return self.config.model_validate(dict(given))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))} {why_invalid(fault)}"
                for fault in error.errors(include_url=False)
            )
            valid = ", ".join(self.config.model_fields)
            raise Invalid(f"The config of a {self.agent_type} is not valid: {faults}. Valid: {valid}.") from None

    def run(self, view: View, agent: Agent) -> Iterator[Proposal]:
        """Yield what the agent proposes on this view, one at a time, as if each were performed at once."""
        yield from self.propose(view, agent, self.settings(agent.config))


@cache
def discover() -> tuple[Program, ...]:
    """Return the program of every module of this room that has one, in the order in which they run."""
    modules = [
        importlib.import_module(f"{pylon.agents.__name__}.{module.name}")
        for module in pkgutil.iter_modules(pylon.agents.__path__)
    ]
    programs = [module.PROGRAM for module in modules if hasattr(module, "PROGRAM")]
    return tuple(sorted(programs, key=lambda one: (one.order, one.agent_type)))


def program(agent_type: AgentType) -> Program:
    """Return the program of this type of agent.

    Raises `NotFound` when no module has one.
    """
    for one in discover():
        if one.agent_type is agent_type:
            return one
    raise NotFound(f"No module of pylon.agents has a program for {agent_type.value}.")
