"""The actions API: every action described, and performed at an address of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

from pylon.interfaces.objects_api import document
from pylon.interfaces.runtime import Runtime
from pylon.interfaces.words import IdempotencyKey
from pylon.ontology import actions
from pylon.ontology.actions import ACTIONS, ActionType
from pylon.services import perform_action
from pylon.services.describe_actions import ActionDescription, ActionList, describe_action, describe_actions
from pylon.services.perform_action import Performed

__all__ = ["add_actions"]

_ACTIONS = "/api/v1/actions"
_COMPONENT = "#/components/schemas/{model}"


async def _bytes(request: Request) -> bytes:
    return await request.body()


_Body = Annotated[bytes, Depends(_bytes)]
_DryRun = Annotated[bool, Query(description="Check everything and change nothing; say what would happen")]


def add_actions(app: FastAPI, here: Callable[[], Runtime]) -> None:
    """Add the routes to `app`; `here` returns the runtime they work on."""

    @app.get(_ACTIONS, tags=["actions"])
    def every_action() -> ActionList:
        """Return every action: its parameters as a JSON schema, its criteria, and the decisions it records."""
        return describe_actions()

    for action in ACTIONS.values():
        _add_action(app, here, action)
    _add_what_is_none(app)
    _describe_bodies(app)


def _add_action(app: FastAPI, here: Callable[[], Runtime], action: ActionType) -> None:
    """Add one action at an address of its own, so that the OpenAPI document can say what each takes."""
    reference = {"$ref": _COMPONENT.format(model=action.parameters.__name__)}
    body = {"required": True, "content": {"application/json": {"schema": reference}}}

    @app.get(f"{_ACTIONS}/{action.name}", tags=["actions"], operation_id=f"describe_{action.name}")
    def describe() -> ActionDescription:
        """Return what this action takes, asks for and records."""
        return describe_action(action.name)

    @app.post(
        f"{_ACTIONS}/{action.name}",
        operation_id=action.name,
        description=f"{action.doc}\n\n{_asked(action)}".strip(),
        tags=["actions"],
        openapi_extra={"requestBody": body},
        response_model=Performed,
    )
    def perform(body: _Body, key: IdempotencyKey = None, dry_run: _DryRun = False) -> Response:
        runtime = here()
        performed = perform_action.perform(
            runtime.database, runtime.views, runtime.call(), action.name, document(body), key=key, dry_run=dry_run
        )
        return Response(performed.model_dump_json(), media_type="application/json")


def _asked(action: ActionType) -> str:
    codes = ", ".join(f"`{criterion.code}`" for criterion in action.criteria)
    return f"Refused (409) with the code of a criterion that is not met: {codes}." if codes else ""


def _add_what_is_none(app: FastAPI) -> None:
    path = f"{_ACTIONS}/{{name}}"

    @app.api_route(path, methods=["GET", "POST"], include_in_schema=False)
    def no_action(name: str) -> None:
        """Refuse what is no action, and name those there are."""
        actions.action(name)

    @app.api_route(path, methods=["DELETE", "OPTIONS", "PATCH", "PUT", "TRACE"], include_in_schema=False)
    def no_method(name: str) -> None:
        """Refuse other methods, and name both that an action takes: one route alone would name its own."""
        actions.action(name)
        raise HTTPException(405, headers={"Allow": "GET, POST"})


def _describe_bodies(app: FastAPI) -> None:
    """Add the parameters to the OpenAPI document: bodies are read raw, so FastAPI does not know their schemas."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        said = describe()
        components = said["components"]["schemas"]
        for name, schema in _schemas().items():
            components.setdefault(name, schema)
        return said

    app.openapi = described  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for action in ACTIONS.values():
        schema = action.schema(refer=_COMPONENT)
        found |= schema.pop("$defs", {})
        found[action.parameters.__name__] = schema
    return found
