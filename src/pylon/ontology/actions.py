"""Actions: the only ways in which agents and clients change the fleet; what each is given, asks for and records."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pylon.errors import Invalid, NotFound, why_invalid
from pylon.ontology._fleet_parameters import (
    AddBlackoutWindow,
    DispatchStorage,
    OfferFlexibility,
    PowerAt,
    RegisterAgent,
    RegisterDataCentre,
    RegisterOperator,
    RegisterStorageAsset,
    RemoveBlackoutWindow,
    ReportCharge,
    ScaleDataCentre,
    SetDataCentreStatus,
    UpdateAgent,
    UpdateDataCentre,
    UpdateOperator,
    UpdateStorageAsset,
)
from pylon.ontology._parameters import Change, Parameters
from pylon.ontology._workload_parameters import (
    AcceptWorkload,
    AmendWorkload,
    CancelWorkload,
    CompleteWorkload,
    DeferWorkload,
    FailWorkload,
    NegotiateWorkload,
    RejectWorkload,
    ShiftWorkload,
    StartWorkload,
    Stretch,
    SubmitWorkload,
    SubmitWorkloads,
)
from pylon.ontology.enums import DecisionType

__all__ = [
    "ACTIONS",
    "AcceptWorkload",
    "ActionType",
    "AddBlackoutWindow",
    "AmendWorkload",
    "CancelWorkload",
    "Change",
    "CompleteWorkload",
    "Criterion",
    "DeferWorkload",
    "DispatchStorage",
    "FailWorkload",
    "NegotiateWorkload",
    "OfferFlexibility",
    "Parameters",
    "PowerAt",
    "RegisterAgent",
    "RegisterDataCentre",
    "RegisterOperator",
    "RegisterStorageAsset",
    "RejectWorkload",
    "RemoveBlackoutWindow",
    "ReportCharge",
    "ScaleDataCentre",
    "SetDataCentreStatus",
    "ShiftWorkload",
    "StartWorkload",
    "Stretch",
    "SubmitWorkload",
    "SubmitWorkloads",
    "UpdateAgent",
    "UpdateDataCentre",
    "UpdateOperator",
    "UpdateStorageAsset",
    "action",
]

_MOST_FAULTS = 20
_GPUS = ("gpu_count", "gpus", "required_gpus")


@dataclass(frozen=True, slots=True)
class Criterion:
    """What must hold for an action to be performed; its code is what a refusal says when it does not."""

    code: str
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionType:
    """An action: its name, what it does, what it is given, what must hold, and the decisions it may record."""

    name: str
    doc: str
    parameters: type[Parameters]
    object_type: str
    """The object type that it acts on first."""
    criteria: tuple[Criterion, ...] = ()
    decisions: tuple[DecisionType, ...] = ()
    """Empty: it changes the fleet without a decision."""
    is_bulk: bool = False

    def parse(self, given: object) -> Parameters:
        """Return `given` (JSON's values, or Python's, or these parameters themselves) as this action's parameters.

        Raises `Invalid` with every fault: which parameter, and what is valid. `faults` holds them one by one.
        """
        if isinstance(given, self.parameters):
            return given
        if not isinstance(given, Mapping):
            raise Invalid(f"The parameters of {self.name} are an object. Valid: {', '.join(self._names)}.")
        try:
            return self.parameters.model_validate(dict(given))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            faults = [
                self._fault(fault["type"], fault["loc"], why_invalid(fault)) for fault in found[:_MOST_FAULTS]
            ]
            said = "; ".join(
                f"{fault['where']}: {fault['why']}" if fault["where"] else fault["why"] for fault in faults
            )
            more = f"; and {len(found) - _MOST_FAULTS} more" if len(found) > _MOST_FAULTS else ""
            end = "" if said.endswith("?") and not more else "."
            raise Invalid(f"{self.name}: {said}{more}{end}", faults=faults) from None

    def schema(self, *, refer: str = "#/$defs/{model}") -> dict[str, Any]:
        """Return the JSON schema of the parameters; a quantity has its `unit` beside its range.

        `refer` is how it names the schemas of its parts, which it holds as `$defs`.
        """
        return self.parameters.model_json_schema(schema_generator=_Schema, ref_template=refer)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.parameters.model_fields)

    def _fault(self, kind: str, where: tuple[int | str, ...], why: str) -> dict[str, str]:
        place = ".".join(str(part)[:60] for part in where)
        if kind == "extra_forbidden":
            why = "is no parameter"
            if where[-1] in _GPUS and self.name in ("submit_workload", "submit_workloads"):
                why += ". Give required_gpu_mins: how many GPUs, times duration_mins"
            elif len(where) == 1:
                close = difflib.get_close_matches(str(where[0])[:100], self._names, n=1)
                why += f". Did you mean {close[0]}?" if close else f". Valid: {', '.join(self._names)}"
        return {"where": place, "why": why}


class _Schema(GenerateJsonSchema):
    """JSON schemas without titles, and with numbers that are numbers: a text is not read as one here."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:  # noqa: ARG002  the name is pydantic's
        """Return the schema of a fixed-point number."""
        return {"type": "number"}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the name is pydantic's
        """Return that no title is made out of a name."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema with its default as the number that it is."""
        described = super().default_schema(schema)
        if described.get("type") == "number" and isinstance(described.get("default"), str):
            described["default"] = float(described["default"])
        return described


_STATUS = Criterion("status", "The workload's status allows it")
_BOOKING = (
    _STATUS,
    Criterion("site_open", "The data centre is ACTIVE"),
    Criterion("region", "The data centre stands in a region that the job allows"),
    Criterion("interruptible", "More than one span only for an interruptible job"),
    Criterion("duration", "The spans add up to the job's duration"),
    Criterion("not_past", "It begins no earlier than now"),
    Criterion("latest_end", "It ends before the deadline and the end of the deferral window"),
    Criterion("horizon", "It ends within the half hours that are planned"),
    Criterion("signals_known", "Price and carbon are known for the time, where others' are"),
    Criterion("power_mw", "There is power for it in every half hour that it touches"),
    Criterion("gpus", "There are GPUs for it, where the site says how many it has"),
    Criterion("cpu_cores", "There are CPU cores for it, where the site says how many it has"),
    Criterion("memory_gb", "There is memory for it, where the site says how much it has"),
    Criterion("carbon_cap", "Its mean carbon intensity keeps to carbon_cap_gco2"),
    Criterion("max_price", "Its energy cost keeps to max_price_gbp"),
)
_ARRIVAL = (
    Criterion("job_id_free", "The operator has no job of that id"),
    Criterion("deadline_ahead", "The deadline lies ahead"),
)
_FREE = Criterion("id_free", "The operator has nothing of that id")
_CAPACITY = Criterion("base_load_fits", "base_load_mw is at most total_capacity_mw")

_D = DecisionType
_WAITING = (_D.DEFER_WORKLOAD, _D.RENEWABLE_WINDOW, _D.CARBON_OPTIMIZATION, _D.PRICE_OPTIMIZATION)
_ARRIVED = (_D.ACCEPT_WORKLOAD, _D.SHIFT_REGION, *_WAITING, _D.NEGOTIATE, _D.REJECT_WORKLOAD)


def _workload(
    name: str,
    parameters: type[Parameters],
    *criteria: Criterion,
    decisions: tuple[DecisionType, ...] = (),
    is_bulk: bool = False,
) -> ActionType:
    return _on("ComputeWorkload", name, parameters, *criteria, decisions=decisions, is_bulk=is_bulk)


def _on(
    object_type: str,
    name: str,
    parameters: type[Parameters],
    *criteria: Criterion,
    decisions: tuple[DecisionType, ...] = (),
    is_bulk: bool = False,
) -> ActionType:
    return ActionType(
        name=name,
        doc=inspect.cleandoc(parameters.__doc__ or ""),
        parameters=parameters,
        object_type=object_type,
        criteria=criteria,
        decisions=decisions,
        is_bulk=is_bulk,
    )


_DECLARED = (
    _workload("submit_workload", SubmitWorkload, *_ARRIVAL, decisions=_ARRIVED),
    _workload("submit_workloads", SubmitWorkloads, *_ARRIVAL, decisions=_ARRIVED, is_bulk=True),
    _workload("accept_workload", AcceptWorkload, *_BOOKING, decisions=(_D.ACCEPT_WORKLOAD,)),
    _workload(
        "shift_workload",
        ShiftWorkload,
        *_BOOKING,
        Criterion("place_differs", "The data centre is not the job's origin, or the job is booked elsewhere"),
        decisions=(_D.SHIFT_REGION,),
    ),
    _workload(
        "defer_workload",
        DeferWorkload,
        *_BOOKING,
        Criterion("later", "It ends 5 minutes or more after it would if it began now"),
        decisions=_WAITING,
    ),
    _workload("reject_workload", RejectWorkload, _STATUS, decisions=(_D.REJECT_WORKLOAD,)),
    _workload("negotiate_workload", NegotiateWorkload, _STATUS, decisions=(_D.NEGOTIATE,)),
    _workload(
        "amend_workload",
        AmendWorkload,
        _STATUS,
        _ARRIVAL[1],
        Criterion("runs_somewhere", "With the new limits it is not rejected outright"),
    ),
    _workload(
        "start_workload",
        StartWorkload,
        _STATUS,
        Criterion("booked", "The job is booked at a data centre"),
        Criterion("not_ahead", "It is not said to have started later than now, nor before it arrived"),
        Criterion("not_offline", "The data centre is not OFFLINE"),
    ),
    _workload(
        "complete_workload",
        CompleteWorkload,
        _STATUS,
        Criterion("not_ahead", "It is not said to have ended later than now, nor before it started"),
        Criterion("energy_plausible", "energy_kwh is at most three times what power_kw draws over the time it ran"),
    ),
    _workload("fail_workload", FailWorkload, _STATUS),
    _workload("cancel_workload", CancelWorkload, _STATUS),
    _on(
        "StorageAsset",
        "dispatch_storage",
        DispatchStorage,
        Criterion("asset_available", "The asset is neither in MAINTENANCE nor OFFLINE"),
        Criterion(
            "charge_known", "What it holds is known, and was reported since it last did anything if it is real"
        ),
        Criterion("not_past", "The first half hour has not begun"),
        Criterion("rates", "No half hour takes or gives more than the asset's rates"),
        Criterion("state_of_charge", "The energy stored stays between empty and full throughout"),
        decisions=(_D.SCHEDULE_DISCHARGE,),
    ),
    _on(
        "StorageAsset",
        "report_charge",
        ReportCharge,
        Criterion("is_real", "The asset is not simulated: Pylon keeps the charge of those"),
        Criterion("not_ahead", "It is not said of a time later than now, nor before the last half hour reported"),
        Criterion("charge_fits", "charge_mwh is at most capacity_mwh"),
    ),
    _on(
        "DataCentre",
        "scale_data_centre",
        ScaleDataCentre,
        Criterion("not_past", "The cap does not end before now"),
        Criterion("within_capacity", "The cap is at most the site's power less its base load"),
        Criterion("cap_stands", "To lift: there is a cap that this action set"),
        decisions=(_D.SCALE_DOWN, _D.SCALE_UP),
    ),
    _on(
        "DataCentre",
        "set_data_centre_status",
        SetDataCentreStatus,
        Criterion("status_differs", "The site has another status at present"),
        Criterion("nothing_runs", "To go OFFLINE: no workload runs there"),
        decisions=(_D.SCALE_DOWN, _D.SCALE_UP),
    ),
    _on("DataCentre", "add_blackout_window", AddBlackoutWindow, Criterion("not_past", "It ends after now")),
    _on(
        "LoadLimit",
        "remove_blackout_window",
        RemoveBlackoutWindow,
        Criterion("is_blackout", "The limit is a blackout window, not a cap that scale_data_centre set"),
        Criterion("not_past", "It has not ended"),
    ),
    _on(
        "Agent",
        "offer_flexibility",
        OfferFlexibility,
        Criterion("not_past", "The window ends after now"),
        Criterion("site_open", "Every data centre named is ACTIVE"),
        Criterion("within_capacity", "The data centres named can draw that much together"),
        decisions=(_D.NEGOTIATE,),
    ),
    _on("Operator", "register_operator", RegisterOperator),
    _on("Operator", "update_operator", UpdateOperator),
    _on("Agent", "register_agent", RegisterAgent, _FREE),
    _on(
        "Agent",
        "update_agent",
        UpdateAgent,
        Criterion("at_rest", "To change its status: the agent is IDLE, OFFLINE or in ERROR"),
    ),
    _on("DataCentre", "register_data_centre", RegisterDataCentre, _FREE, _CAPACITY),
    _on("DataCentre", "update_data_centre", UpdateDataCentre, _CAPACITY),
    _on(
        "StorageAsset",
        "register_storage_asset",
        RegisterStorageAsset,
        _FREE,
        Criterion("charge_fits", "current_charge_mwh is at most capacity_mwh"),
        Criterion("same_region", "The data centre it stands beside is in the same region"),
    ),
    _on(
        "StorageAsset",
        "update_storage_asset",
        UpdateStorageAsset,
        Criterion("charge_fits", "What is stored at present is at most capacity_mwh"),
    ),
)

ACTIONS: Mapping[str, ActionType] = {one.name: one for one in _DECLARED}


def action(name: str) -> ActionType:
    """Return the action called `name`.

    Raises `NotFound`, naming the closest and all valid ones, when there is none.
    """
    if (found := ACTIONS.get(name)) is not None:
        return found
    close = difflib.get_close_matches(name[:100], ACTIONS, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    raise NotFound(f"There is no action {name[:60]!r}.{meant} Valid: {', '.join(ACTIONS)}.")
