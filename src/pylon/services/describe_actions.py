"""Describe the actions: what each does, takes, asks for and records, for programs and for agents."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pylon.ontology import actions
from pylon.ontology.actions import ActionType
from pylon.ontology.enums import DecisionType

__all__ = ["ActionDescription", "ActionList", "CriterionDescription", "describe_action", "describe_actions"]


class CriterionDescription(BaseModel):
    """What must hold for an action to be performed."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="What a refusal says when it does not")
    doc: str


class ActionDescription(BaseModel):
    """One action."""

    model_config = ConfigDict(frozen=True)

    name: str
    doc: str
    object_type: str = Field(description="The object type that it acts on first")
    is_bulk: bool
    parameters: dict[str, Any] = Field(description="A JSON schema; a quantity has its `unit` beside its range")
    criteria: list[CriterionDescription]
    decisions: list[DecisionType] = Field(description="What it may record; empty: it records no decision")


class ActionList(BaseModel):
    """Every action there is."""

    model_config = ConfigDict(frozen=True)

    actions: list[ActionDescription]


@cache
def describe_actions() -> ActionList:
    """Return every action, in the order declared."""
    return ActionList(actions=[describe_action(name) for name in actions.ACTIONS])


def describe_action(name: str) -> ActionDescription:
    """Return one action.

    Raises `NotFound`, naming the valid ones, when there is none of that name.
    """
    found: ActionType = actions.action(name)
    return ActionDescription(
        name=found.name,
        doc=found.doc,
        object_type=found.object_type,
        is_bulk=found.is_bulk,
        parameters=found.schema(),
        criteria=[CriterionDescription(code=one.code, doc=one.doc) for one in found.criteria],
        decisions=list(found.decisions),
    )
