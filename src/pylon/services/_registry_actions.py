"""How operators, agents, data centres and storage are entered and changed by their owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from pylon.agents import contract
from pylon.errors import Refused
from pylon.ontology import actions
from pylon.ontology.agency import Agent, AgentState
from pylon.ontology.canonical import digest
from pylon.ontology.enums import AgentStatus
from pylon.ontology.fleet import DataCentre, Operator, StorageAsset
from pylon.ontology.identity import derived_uuid, uuid7
from pylon.ontology.types import ObjectType
from pylon.services import operators
from pylon.services.desk import Asked, Call, Desk, Handler
from pylon.store import objects

__all__ = ["HANDLERS", "founding"]

_SINCE: Final = datetime(2025, 1, 1, tzinfo=UTC)
_ENTROPY_BYTES: Final = 10
_AT_REST: Final = frozenset({AgentStatus.IDLE, AgentStatus.OFFLINE, AgentStatus.ERROR})

T = TypeVar("T", bound=ObjectType)


def founding(call: Call, given: actions.RegisterOperator, key: str | None) -> Call:
    """Return the call that enters a new operator: a transaction acts for one operator, here for the new one.

    Under a key its id is always the same, so that it is entered once.
    """
    operator_id = (
        uuid7(call.now, call.entropy(_ENTROPY_BYTES))
        if key is None
        else derived_uuid(_SINCE, "operator", str(call.operator_id), digest(key))
    )
    operator = Operator(id=operator_id, created_at=call.now, updated_at=call.now, **given.model_dump())
    return replace(call, operator_id=operator_id, founds=operator)


def _register_operator(desk: Desk, _: actions.RegisterOperator, _asked: Asked) -> None:
    desk.change(desk.remember(operators.operator_of(desk.transaction, desk.operator_id)))


def _update_operator(desk: Desk, given: actions.UpdateOperator, _: Asked) -> None:
    operator = desk.remember(operators.operator_of(desk.transaction, desk.operator_id))
    desk.change(_changed(desk, operator, given.changed()))


def _register_agent(desk: Desk, given: actions.RegisterAgent, _: Asked) -> None:
    _must_be_free(desk, Agent, "agent_id", given.agent_id)
    config = contract.program(given.agent_type).settings(given.config).model_dump(mode="json")
    agent = Agent(
        id=desk.new_id(),
        operator_id=desk.operator_id,
        agent_id=given.agent_id,
        name=given.name,
        agent_type=given.agent_type,
        config=config,
        created_at=desk.now,
        updated_at=desk.now,
    )
    desk.add(agent)
    desk.add(_state(desk, agent, "register_agent"))


def _update_agent(desk: Desk, given: actions.UpdateAgent, _: Asked) -> None:
    agent, changes = desk.agent(given.agent_id), given.changed()
    if given.config is not None:
        changes["config"] = contract.program(agent.agent_type).settings(given.config).model_dump(mode="json")
    if given.status is not None and agent.status not in _AT_REST:
        detail = f"{agent.agent_id} is {agent.status}: let it finish, then set its status."
        raise Refused.because("at_rest", detail, agent_id=agent.agent_id, status=agent.status.value)
    changed = _changed(desk, agent, changes)
    desk.change(changed)
    if changed.status is not agent.status:
        desk.add(_state(desk, changed, "update_agent"))


def _state(desk: Desk, agent: Agent, triggered_by: str) -> AgentState:
    return AgentState(
        id=desk.new_id(),
        operator_id=desk.operator_id,
        agent_id=agent.id,
        status=agent.status.value,
        triggered_by=triggered_by,
        recorded_at=desk.now,
    )


def _register_centre(desk: Desk, given: actions.RegisterDataCentre, _: Asked) -> None:
    _must_be_free(desk, DataCentre, "dc_id", given.dc_id)
    _must_fit(given.base_load_mw, given.total_capacity_mw)
    region = _region(desk, given.region)
    desk.add(
        DataCentre(
            id=desk.new_id(),
            operator_id=desk.operator_id,
            region_id=region["id"],
            location_region=region["short_name"],
            created_at=desk.now,
            updated_at=desk.now,
            **given.model_dump(exclude={"region"}),
        )
    )
    desk.forget()


def _update_centre(desk: Desk, given: actions.UpdateDataCentre, _: Asked) -> None:
    changed = _changed(desk, desk.centre(given.dc_id), given.changed())
    _must_fit(changed.base_load_mw, changed.total_capacity_mw)
    desk.change(changed)
    desk.forget()


def _register_asset(desk: Desk, given: actions.RegisterStorageAsset, _: Asked) -> None:
    _must_be_free(desk, StorageAsset, "asset_id", given.asset_id)
    _must_hold(given.current_charge_mwh, given.capacity_mwh)
    region = _region(desk, given.region)
    beside = None if given.co_located_dc is None else desk.centre(given.co_located_dc)
    if beside is not None and beside.region_id != region["id"]:
        detail = (
            f"{beside.dc_id} is not in region {given.region}. What shares its grid connection stands where it does."
        )
        raise Refused.because("same_region", detail, dc_id=beside.dc_id, region=given.region)
    desk.add(
        StorageAsset(
            id=desk.new_id(),
            operator_id=desk.operator_id,
            region_id=region["id"],
            co_located_dc_id=None if beside is None else beside.id,
            current_charge_percentage=_share(given.current_charge_mwh, given.capacity_mwh),
            created_at=desk.now,
            updated_at=desk.now,
            **given.model_dump(exclude={"region", "co_located_dc"}),
        )
    )
    desk.forget()


def _update_asset(desk: Desk, given: actions.UpdateStorageAsset, _: Asked) -> None:
    asset = desk.asset(given.asset_id)
    changes = given.changed()
    if given.capacity_mwh is not None:
        _must_hold(asset.current_charge_mwh, given.capacity_mwh)
        changes["current_charge_percentage"] = _share(asset.current_charge_mwh, given.capacity_mwh)
    desk.change(_changed(desk, asset, changes))
    desk.forget()


def _must_be_free(desk: Desk, kind: type[ObjectType], column: str, wanted: str) -> None:
    taken = objects.find(desk.transaction, kind, {column: [wanted]}, shown=["id"], operator_id=desk.operator_id)
    if taken:
        detail = (
            f"You have a {kind.__name__} {wanted!r} already. Give the new one an id of its own, or update that."
        )
        raise Refused.because("id_free", detail, **{column: wanted})


def _must_fit(base_load_mw: Decimal, total_capacity_mw: Decimal) -> None:
    if base_load_mw > total_capacity_mw:
        raise Refused.because(
            "base_load_fits",
            f"base_load_mw, {base_load_mw}, is above total_capacity_mw, {total_capacity_mw}.",
            base_load_mw=float(base_load_mw),
            total_capacity_mw=float(total_capacity_mw),
        )


def _must_hold(charge_mwh: Decimal | None, capacity_mwh: Decimal) -> None:
    if charge_mwh is not None and charge_mwh > capacity_mwh:
        raise Refused.because(
            "charge_fits",
            f"It holds {charge_mwh} MWh, which is more than a capacity of {capacity_mwh} MWh.",
            charge_mwh=float(charge_mwh),
            capacity_mwh=float(capacity_mwh),
        )


def _share(charge_mwh: Decimal | None, capacity_mwh: Decimal) -> Decimal | None:
    if charge_mwh is None or not capacity_mwh:
        return None
    return round(100 * charge_mwh / capacity_mwh, 2)


def _region(desk: Desk, number: int) -> dict[str, Any]:
    (region,) = (row for row in desk.transaction.all("regions") if row["region_id"] == number)
    return region


def _changed(desk: Desk, row: T, changes: Mapping[str, Any]) -> T:
    return type(row).model_validate({**row.model_dump(), **changes, "updated_at": desk.now})


HANDLERS: Final[Mapping[str, Handler]] = {
    "register_operator": _register_operator,
    "update_operator": _update_operator,
    "register_agent": _register_agent,
    "update_agent": _update_agent,
    "register_data_centre": _register_centre,
    "update_data_centre": _update_centre,
    "register_storage_asset": _register_asset,
    "update_storage_asset": _update_asset,
}
"""The handler of each action by which an owner enters and changes what it has."""
