"""The plans in the REST API: asked for, listed, and looked at one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Response

from pylon.errors import Invalid
from pylon.interfaces.objects_api import Body, document
from pylon.interfaces.runtime import Runtime
from pylon.interfaces.words import IdempotencyKey, Word
from pylon.services.list_plans import PlanPage, PlanSummary, WholePlan, list_plans, plan

__all__ = ["add_plans"]

_PLANS = "/api/v1/plans"

_NO_PARAMETERS: dict[str, Any] = {
    "description": "An empty object, or nothing: a plan takes no parameters",
    "required": False,
    "content": {"application/json": {"schema": {"type": "object", "additionalProperties": False}}},
}

_Name = Annotated[Word, Path(description="The plan's id or plan_id", examples=["P-000001"])]
_Limit = Annotated[int, Query(ge=1, le=200, description="At most so many")]
_Before = Annotated[
    int | None, Query(ge=1, lt=2**63, description="Only those before this number: `next_before` of the last page")
]


def add_plans(app: FastAPI, running: Callable[[], Runtime]) -> None:
    """Add the routes to `app`; `running` returns the runtime they work on."""

    @app.post(_PLANS, tags=["plans"], status_code=202, openapi_extra={"requestBody": _NO_PARAMETERS})
    def make_plan(response: Response, body: Body, key: IdempotencyKey = None) -> PlanSummary:
        """Ask for a new plan of the whole fleet; the address in `Location` says how far it has come.

        There is one at a time: while one is worked on, that one is the answer, and its `as_of` and `after_seq` say
        what it knows of. It changes no booking: the agents carry it out in their next round.
        """
        _check_empty(body)
        here = running()
        asked = here.request_plan("client", key)
        here.work_on_plan(asked)
        response.headers["Location"] = f"{_PLANS}/{asked.plan_id}"
        return asked

    @app.get(_PLANS, tags=["plans"])
    def plans(limit: _Limit = 50, before: _Before = None) -> PlanPage:
        """Return your plans, newest first: how each stands, what it costs, and how far that is from the best."""
        here = running()
        return list_plans(here.database, here.operator_id, limit=limit, before=before)

    @app.api_route(_PLANS, methods=["DELETE", "OPTIONS", "PATCH", "PUT", "TRACE"], include_in_schema=False)
    def no_method() -> None:
        """Refuse other methods, and name both that plans take: one route alone would name its own."""
        raise HTTPException(405, headers={"Allow": "GET, POST"})

    @app.get(f"{_PLANS}/{{name}}", tags=["plans"])
    def one_plan(name: _Name) -> WholePlan:
        """Return one plan whole: places, prices, the limits that bind, what is left out and why, and storage."""
        here = running()
        return plan(here.database, here.operator_id, name)


def _check_empty(body: bytes) -> None:
    """Refuse a body that says anything: a plan takes no parameters, and whoever sends some expects an effect."""
    given = document(body) if body else {}
    if not isinstance(given, dict):
        raise Invalid("A plan takes no parameters. Send {}, or no body.")
    if given:
        named = ", ".join(repr(name[:60]) for name in sorted(given)[:5])
        raise Invalid(f"A plan takes no parameters, but was given {named}. Send {{}}, or no body.")
