"""The states of an agent: which may follow which, and the row that records each change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from pylon.errors import Conflict
from pylon.ontology.agency import Agent, AgentState
from pylon.ontology.enums import AgentStatus
from pylon.services.desk import Desk

__all__ = ["NEXT", "enter"]

_S = AgentStatus

_ALWAYS = frozenset({_S.ERROR, _S.OFFLINE})

NEXT: Final[Mapping[AgentStatus, frozenset[AgentStatus]]] = {
    _S.IDLE: _ALWAYS | {_S.ACTIVE},
    _S.ACTIVE: _ALWAYS | {_S.NEGOTIATING, _S.EXECUTING, _S.IDLE},
    _S.NEGOTIATING: _ALWAYS | {_S.EXECUTING, _S.IDLE},
    _S.EXECUTING: _ALWAYS | {_S.NEGOTIATING, _S.IDLE},
    _S.ERROR: _ALWAYS | {_S.ACTIVE, _S.IDLE},
    _S.OFFLINE: frozenset({_S.IDLE}),
}
"""What may follow each state."""


def enter(
    desk: Desk,
    agent: Agent,
    status: AgentStatus,
    triggered_by: str,
    data: Mapping[str, Any] | None = None,
    *,
    current_task: dict[str, Any] | None = None,
) -> Agent:
    """Take an agent into a state, record that, and return the agent in it.

    Raises `Conflict`, naming the states that may follow, when that one may not.
    """
    if status not in NEXT[agent.status]:
        valid = ", ".join(sorted(NEXT[agent.status]))
        raise Conflict(
            f"The agent {agent.agent_id!r} is {agent.status} and cannot become {status}. Valid: {valid}."
        )
    changed = agent.model_copy(update={"status": status, "current_task": current_task, "updated_at": desk.now})
    desk.change(changed)
    desk.add(
        AgentState(
            id=desk.new_id(),
            operator_id=desk.operator_id,
            agent_id=agent.id,
            status=status.value,
            state_data={"from": agent.status.value, "current_task": current_task, **(data or {})},
            triggered_by=triggered_by[:100],
            # States of one turn share its moment; a microsecond each keeps them in order.
            recorded_at=desk.now + timedelta(microseconds=_entered(desk)),
        )
    )
    return changed


def _entered(desk: Desk) -> int:
    """Return how many states were entered at this desk before."""
    return sum(isinstance(row, AgentState) for row in desk.changed.values())
