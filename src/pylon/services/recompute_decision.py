"""Recompute a decision: make it again, from what it recorded alone, so that the two can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from pylon.agents import by_hand, flexibility_agent, grid_operator, reasons, storage_agent, storage_by_hand
from pylon.agents.contract import Draft
from pylon.ontology.enums import DecisionType
from pylon.services.recall_view import view_before
from pylon.store.database import Transaction

__all__ = ["is_given", "recompute"]

_GIVEN: Final = frozenset({DecisionType.SCALE_DOWN, DecisionType.SCALE_UP, DecisionType.NEGOTIATE})
"""What a client may decide without anything being worked out: a cap, its end, a site's status, an offer."""


def is_given(decision: Mapping[str, Any]) -> bool:
    """Return whether a client gave the decision as it is."""
    return decision["decision_type"] in _GIVEN and decision["effect"]["by"] == "client"


def recompute(transaction: Transaction, operator_id: UUID, decision: Mapping[str, Any]) -> Draft | None:
    """Return the decision as its agent makes it from the inputs it recorded.

    `decision` has the columns of `orchestration_decisions`. None when nothing is decided from them: `is_given` says
    whether that is as it should be. Raises `NotFound` when the input that it names is not kept.
    """
    inputs = decision["inputs"]
    if "job" in inputs:
        view = view_before(transaction, operator_id, decision)
        return by_hand.recompute(view, inputs) if "by_hand" in inputs else reasons.recompute(view, inputs)
    if "site" in inputs:
        is_down = decision["decision_type"] == DecisionType.SCALE_DOWN
        return grid_operator.scale_down(inputs) if is_down else grid_operator.scale_up(inputs)
    if "window" in inputs:
        return flexibility_agent.offer(inputs)
    if "asset" in inputs and "given" in inputs:
        return storage_by_hand.decide(inputs)
    if "asset" in inputs:
        proposal = storage_agent.decide(inputs)
        return proposal.draft if proposal else None
    return None
