"""The REST API: the original's four endpoints, health, readiness and the documentation.

Routes translate between HTTP and the services and decide nothing. `python backend/api_server.py` and
`pylon serve` run it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from importlib import resources
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from pylon import __doc__ as tagline
from pylon._version import VERSION
from pylon.errors import Invalid, NotFound, PylonError, RequestError, StoreUnavailable, why_invalid
from pylon.interfaces.actions_api import add_actions
from pylon.interfaces.audit_api import add_audit
from pylon.interfaces.decisions_api import add_decisions
from pylon.interfaces.gate import Asgi, Gate, Message, Receive, Scope, Send, problem_bytes, unexpected
from pylon.interfaces.import_api import IMPORT, IMPORT_ALLOWANCE, add_import
from pylon.interfaces.objects_api import add_objects
from pylon.interfaces.plans_api import add_plans
from pylon.interfaces.prepared import Prepared, Version
from pylon.interfaces.regions_api import add_regions
from pylon.interfaces.report_api import add_report
from pylon.interfaces.runtime import Runtime
from pylon.interfaces.signals_api import AsOf, add_signals
from pylon.interfaces.storage_api import add_storage
from pylon.interfaces.timetable import timetable
from pylon.interfaces.windows_api import add_windows
from pylon.ontology.calendar import floor
from pylon.services.live_state import OF_THE_MOMENT, live_state, past_state, snapshot
from pylon.services.market_catalog import MarketCatalog, market_catalog
from pylon.services.regional import RegionalState, regional
from pylon.services.status import Readiness, readiness

__all__ = ["LOOPBACK_HOSTS", "create_app", "openapi"]

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")

LIVE_STATE = "/api/v1/live-state"

_PROBLEM: dict[str, Any] = {
    "description": "The one error shape (RFC 9457): what was wrong, what is valid, what to do next",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class Problem(BaseModel):
    """The one error shape (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; made for programs")


class MethodNotAllowed(RequestError):
    """This endpoint does not take that method."""

    code = "method_not_allowed"
    status = 405


class ServiceInfo(BaseModel):
    """What this server is, and where to go next."""

    name: str
    version: str
    description: str
    documentation: str
    endpoints: dict[str, str]


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


def create_app(runtime: Runtime, *, hosts: tuple[str, ...] = LOOPBACK_HOSTS) -> Asgi:
    """Return the ASGI application that serves `runtime` to requests for `hosts`, gate included."""
    routes = _routes(runtime)
    prepared = _prepared_live_state(runtime)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The live state is bytes already; it need not pass the router to be sent.
        is_prepared = scope["type"] == "http" and scope["path"] == LIVE_STATE and not scope["query_string"]
        if is_prepared and Prepared.serves(scope):
            await prepared(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "HEAD":
            await routes({**scope, "method": "GET"}, receive, _headers_only(send))
        else:
            await routes(scope, receive, send)

    return Gate(app, hosts=hosts, allowances={IMPORT: IMPORT_ALLOWANCE})


def _headers_only(send: Send) -> Send:
    """Return a `send` for HEAD: what GET would answer, without its body."""

    async def sent(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return sent


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; it depends on no database."""
    return _routes(None).openapi()


def _routes(runtime: Runtime | None) -> FastAPI:
    """Return every route. Without a runtime they can be described, not called."""

    app = FastAPI(
        title="Pylon DEG",
        version=VERSION,
        description=tagline or "",
        lifespan=lambda _: _lifespan(runtime),
        docs_url=None,
        redoc_url=None,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
        dependencies=[Depends(_known_parameters)],
    )
    _handle_errors(app)
    _add_service(app, runtime)
    _add_grid(app, runtime)
    add_signals(app, lambda: _running(runtime))
    add_regions(app, lambda: _running(runtime))
    add_objects(app, lambda: _running(runtime))
    add_actions(app, lambda: _running(runtime))
    add_windows(app, lambda: _running(runtime))
    add_import(app, lambda: _running(runtime))
    add_decisions(app, lambda: _running(runtime))
    add_plans(app, lambda: _running(runtime))
    add_storage(app, lambda: _running(runtime))
    add_report(app, lambda: _running(runtime))
    add_audit(app, lambda: _running(runtime))
    _add_documentation(app)
    _describe_problems(app)
    return app


@asynccontextmanager
async def _lifespan(runtime: Runtime | None) -> AsyncIterator[None]:
    """Keep to the timetable, if there is one, while requests are answered; then end what was started besides."""
    if runtime is None:
        yield
        return
    try:
        async with nullcontext() if runtime.settings.schedule == "off" else timetable(runtime):
            yield
    finally:
        runtime.close()


async def _known_parameters(request: Request) -> None:
    """Refuse a parameter that the endpoint does not have, or one given twice: a slip would ask another question.

    Endpoints that say more of their parameters than FastAPI knows read them themselves; those that are not in the
    document refuse a method or a name, or show a page, whatever the parameters.
    """
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    if "parameters" in (route.openapi_extra or {}):
        return
    declared = get_flat_params(route.dependant)
    valid = {one.alias for one in declared if isinstance(one.field_info, params.Query)}
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in valid:
            known = f"Valid: {', '.join(sorted(valid))}." if valid else "There are none."
            raise Invalid(f"{request.url.path} has no parameter {name[:60]!r}. {known}")
        if given.count(name) > 1:
            raise Invalid(f"The parameter {name} is given twice. Give it once.")


def _add_service(app: FastAPI, runtime: Runtime | None) -> None:
    @app.get("/", tags=["service"])
    def service_info() -> ServiceInfo:
        """Return what this server is and its endpoints."""
        return ServiceInfo(
            name="Pylon DEG",
            version=VERSION,
            description=tagline or "",
            documentation="/docs",
            endpoints=_endpoints(app),
        )

    @app.get("/health", tags=["service"])
    def health() -> Health:
        """Return 200 while the process answers; it asks nothing of the database."""
        return Health()

    @app.get("/ready", tags=["service"], responses={503: {"model": Readiness}})
    def ready(response: Response) -> Readiness:
        """Return 200 when grid data are loaded and the database answers, 503 with the reason otherwise."""
        state = _ready(_running(runtime))
        response.status_code = 200 if state.ready else 503
        return state


def _add_grid(app: FastAPI, runtime: Runtime | None) -> None:
    @app.get(LIVE_STATE, tags=["grid"], response_model=dict[str, Any])
    def full_state(as_of: AsOf = None) -> dict[str, Any]:
        """Return the full current ontology state: the shared grid part and the caller's own part.

        Served with a strong ETag (send it back in If-None-Match for 304), gzip or zstd by Accept-Encoding. With
        `as_of` the grid part alone, as it was known then.
        """
        here = _running(runtime)  # what asks for nothing else is answered before the router
        if as_of is not None:
            return past_state(here.database, here.operator_id, here.clock(), as_of)
        return live_state(here.database, here.operator_id, here.clock())

    @app.get("/api/v1/grid/regional", tags=["grid"])
    def regional_state(as_of: AsOf = None) -> RegionalState:
        """Return the carbon intensity of every region: now, and 48 hours ahead.

        With `as_of` as it was known then, without the generation mix.
        """
        here = _running(runtime)
        return regional(here.database, here.clock(), as_of)

    @app.get("/api/v1/market/catalog", tags=["market"])
    def catalog(
        hours: Annotated[int, Query(ge=1, le=48, description="How far ahead to offer")] = 48,
        window_hours: Annotated[int, Query(ge=1, le=24, description="Length of one offer's window")] = 4,
    ) -> MarketCatalog:
        """Return the spare compute capacity that operators have published, in the vocabulary of Beckn 2.0."""
        here = _running(runtime)
        return market_catalog(
            here.database, here.clock(), ahead=timedelta(hours=hours), window=timedelta(hours=window_hours)
        )


def _add_documentation(app: FastAPI) -> None:
    # The page's scripts come with the fastapi-offline package: no content network is asked for them.
    app.mount("/docs/static", StaticFiles(directory=str(resources.files("fastapi_offline") / "static")))

    @app.get("/docs", include_in_schema=False)
    def documentation() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title="Pylon DEG API",
            swagger_js_url="/docs/static/swagger-ui-bundle.js",
            swagger_css_url="/docs/static/swagger-ui.css",
            swagger_favicon_url="/docs/static/favicon.png",
        )


def _describe_problems(app: FastAPI) -> None:
    """Add the error shape to the OpenAPI document: no route returns it, so FastAPI does not know it."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return document

    app.openapi = described  # type: ignore[method-assign]


def _handle_errors(app: FastAPI) -> None:
    def respond(error: PylonError, headers: dict[str, str] | None = None) -> Response:
        return Response(problem_bytes(error), error.status, headers, "application/problem+json")

    @app.exception_handler(PylonError)
    def _pylon(_: Request, error: PylonError) -> Response:
        return respond(error)

    @app.exception_handler(RequestValidationError)
    def _validation(_: Request, error: RequestValidationError) -> Response:
        faults = [
            {"where": ".".join(map(str, fault["loc"])), "why": why_invalid(fault)} for fault in error.errors()
        ]
        said = "; ".join(map(_fault, error.errors()))
        return respond(Invalid(f"{said}. /docs describes every parameter.", faults=faults))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 404:
            valid = ", ".join(_endpoints(app))
            return respond(NotFound(f"There is nothing at {request.url.path}. Valid: {valid}."))
        if error.status_code == 405:
            allowed = headers.pop("allow", headers.get("Allow", "GET"))
            allowed = headers["Allow"] = f"{allowed}, HEAD" if "GET" in allowed else allowed
            return respond(
                MethodNotAllowed(f"{request.url.path} does not take {request.method}. Valid: {allowed}."), headers
            )
        return respond(RequestError(str(error.detail)), headers)

    @app.exception_handler(Exception)
    def _unexpected(request: Request, error: Exception) -> Response:
        # The fault goes on to uvicorn, which drops the connection: the client must not send on it again.
        return respond(unexpected(error, request.method, request.url.path), {"connection": "close"})


def _fault(fault: Mapping[str, Any]) -> str:
    """Return which parameter is not valid, what was given, and what is valid."""
    name, why = fault["loc"][-1], why_invalid(fault)
    return (
        f"{name} {why}"
        if fault["type"] == "missing"
        else f"{name} {str(fault['input'])[:60]!r} is not valid: it {why}"
    )


def _endpoints(app: FastAPI) -> dict[str, str]:
    paths = app.openapi()["paths"]
    return {
        path: str(operation["description"]).splitlines()[0]
        for path, operations in paths.items()
        for operation in operations.values()
    }


def _prepared_live_state(runtime: Runtime) -> Prepared:
    def version() -> Version:
        return Version(snapshot(runtime.database), floor(runtime.clock()))

    def build() -> tuple[dict[str, Any], dict[str, Any]]:
        said = live_state(runtime.database, runtime.operator_id, runtime.clock())
        return said, {part: said.pop(part) for part in OF_THE_MOMENT}

    return Prepared(version, build)


def _ready(runtime: Runtime) -> Readiness:
    try:
        return readiness(runtime.database, runtime.operator_id, runtime.clock())
    except PylonError as error:
        return Readiness(ready=False, reason=error.detail)


def _running(runtime: Runtime | None) -> Runtime:
    if runtime is None:
        raise StoreUnavailable("This application was made to be described, not to serve.")
    return runtime
