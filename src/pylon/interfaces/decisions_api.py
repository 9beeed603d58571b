"""The decisions in the REST API: listed, looked at one by one, and explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Path, Query

from pylon.interfaces.runtime import Runtime
from pylon.interfaces.words import Word
from pylon.ontology.enums import DecisionType
from pylon.services.list_decisions import (
    Decision,
    DecisionPage,
    Explanation,
    decision,
    explain_decision,
    list_decisions,
)

__all__ = ["add_decisions"]

_Name = Annotated[Word, Path(description="The decision's id or decision_id", examples=["D-000001"])]
_Limit = Annotated[int, Query(ge=1, le=200, description="At most so many")]
_Before = Annotated[
    int | None, Query(ge=1, lt=2**63, description="Only those before this number: `next_before` of the last page")
]
_Type = Annotated[DecisionType | None, Query(alias="type", description="Only decisions of this type")]
_Job = Annotated[Word | None, Query(description="Only those about this job_id")]
_Agent = Annotated[Word | None, Query(description="Only those of this agent_id")]


def add_decisions(app: FastAPI, running: Callable[[], Runtime]) -> None:
    """Add the routes that read the decisions of what `running` returns."""

    @app.get("/api/v1/decisions", tags=["decisions"])
    def decisions(
        limit: _Limit = 50,
        before: _Before = None,
        decision_type: _Type = None,
        job_id: _Job = None,
        agent_id: _Agent = None,
    ) -> DecisionPage:
        """Return your decisions, newest first: what was decided, why, and what it was to save."""
        here = running()
        return list_decisions(
            here.database,
            here.operator_id,
            limit=limit,
            before=before,
            decision_type=decision_type,
            job_id=job_id,
            agent=agent_id,
        )

    @app.get("/api/v1/decisions/{name}", tags=["decisions"])
    def one_decision(name: _Name) -> Decision:
        """Return one decision, whole."""
        here = running()
        return decision(here.database, here.operator_id, name)

    @app.get("/api/v1/decisions/{name}/explain", tags=["decisions"])
    def explain(name: _Name) -> Explanation:
        """Return why a decision was made: its cost terms as numbers and as sentences, and what came of it."""
        here = running()
        return explain_decision(here.database, here.operator_id, name)
