"""The objects API: the ontology described, its objects searched, followed along their links and aggregated."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Path, Request

from pylon.errors import Invalid, NotFound
from pylon.interfaces import _object_bodies
from pylon.interfaces.runtime import Runtime
from pylon.ontology import object_set_reading
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES, object_type
from pylon.ontology.object_sets import Query, link_end
from pylon.ontology.types import ObjectType
from pylon.services import search_objects
from pylon.services.describe_ontology import OntologyDescription, describe_ontology
from pylon.services.search_objects import Found, Groups, Page

__all__ = ["add_objects", "document"]

_OBJECTS = "/api/v1/objects/{type}"
_OBJECT = f"{_OBJECTS}/{{id:uuid}}"  # or `search` would be an id
_NO_OBJECT = f"{_OBJECTS}/{{id}}"
_QUESTIONS = ("search", "aggregate")
_LONGEST_ID = 60
_LONGEST_NUMBER = 30
_LINK_PARAMETERS = ("direction", "type")


async def _bytes(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_bytes)]
TypeName = Annotated[str, Path(alias="type", json_schema_extra={"enum": list(OBJECT_TYPES)})]
ObjectId = Annotated[UUID, Path(alias="id")]
LinkName = Annotated[str, Path(alias="link", json_schema_extra={"enum": sorted({link.name for link in LINKS})})]


def add_objects(app: FastAPI, here: Callable[[], Runtime]) -> None:
    """Add the routes to `app`; `here` returns the runtime they work on."""
    _add_reading(app, here)
    _add_links(app, here)
    _add_asking(app, here)
    _add_what_is_no_id(app)
    _describe_bodies(app)


def _add_reading(app: FastAPI, here: Callable[[], Runtime]) -> None:
    @app.get("/api/v1/ontology", tags=["objects"])
    def ontology() -> OntologyDescription:
        """Return every object type, its fields and links, what may be asked of them, and the limits."""
        return describe_ontology()

    parameters = [_object_bodies.FILTERS, *_object_bodies.PAGING]

    @app.get(_OBJECTS, tags=["objects"], openapi_extra={"parameters": parameters})
    def list_objects(type_name: TypeName, request: Request) -> Page:
        """Return the objects of a type that meet every filter, one page of them."""
        query = object_set_reading.query_of_parameters(object_type(type_name), request.query_params.multi_items())
        return _searched(here(), query)

    @app.get(_OBJECT, tags=["objects"])
    def one_object(type_name: TypeName, object_id: ObjectId) -> Found:
        """Return one object with all its fields."""
        kind, runtime = object_type(type_name), here()
        return search_objects.get(runtime.database, runtime.operator_id, kind, object_id)


def _add_links(app: FastAPI, here: Callable[[], Runtime]) -> None:
    parameters = [*_object_bodies.LINK_PARAMETERS, _object_bodies.FILTERS, *_object_bodies.PAGING]

    @app.get(f"{_OBJECT}/links/{{link}}", tags=["objects"], openapi_extra={"parameters": parameters})
    def linked_objects(type_name: TypeName, object_id: ObjectId, link: LinkName, request: Request) -> Page:
        """Return the objects at the other end of a link, followed either way, one page of them.

        The filters are on those objects.
        """
        kind, given = object_type(type_name), request.query_params.multi_items()
        choice = _once([pair for pair in given if pair[0] in _LINK_PARAMETERS])
        end = link_end(kind, link, choice.get("direction"), choice.get("type"))
        rest = [pair for pair in given if pair[0] not in _LINK_PARAMETERS]
        query, runtime = object_set_reading.query_of_parameters(end.other, rest), here()
        return search_objects.linked(
            runtime.database, runtime.operator_id, kind, object_id, end, query, cursor_key=runtime.cursor_key
        )


def _add_asking(app: FastAPI, here: Callable[[], Runtime]) -> None:
    @app.post(f"{_OBJECTS}/search", tags=["objects"], openapi_extra=_object_bodies.body("SearchBody"))
    def search(type_name: TypeName, body: Body) -> Page:
        """Return the objects of a type that meet a condition, which may follow links, one page of them."""
        return _searched(here(), object_set_reading.query(object_type(type_name), document(body)))

    @app.post(f"{_OBJECTS}/aggregate", tags=["objects"], openapi_extra=_object_bodies.body("AggregateBody"))
    def aggregate(type_name: TypeName, body: Body) -> Groups:
        """Return counts, sums, means and extremes over the objects of a type, by group and by span of time."""
        aggregation, runtime = object_set_reading.aggregation(object_type(type_name), document(body)), here()
        return search_objects.aggregate(runtime.database, runtime.operator_id, aggregation)


def _add_what_is_no_id(app: FastAPI) -> None:
    @app.get(_NO_OBJECT, include_in_schema=False)
    def no_object(type_name: TypeName, given: Annotated[str, Path(alias="id")]) -> None:
        """Refuse what is no id, and say how the object is found by its own id."""
        if given in _QUESTIONS:
            raise HTTPException(405, headers={"Allow": "POST"})
        raise NotFound(_no_id(object_type(type_name), given))

    @app.get(f"{_NO_OBJECT}/links/{{link}}", include_in_schema=False)
    def no_links(type_name: TypeName, given: Annotated[str, Path(alias="id")]) -> None:
        """Refuse it in the same way where its links are asked for."""
        raise NotFound(_no_id(object_type(type_name), given))


def _no_id(kind: type[ObjectType], given: str) -> str:
    path = _OBJECTS.format(type=kind.__name__)
    said = f"{given[:_LONGEST_ID]!r} is not an id (a UUID)."
    name = _own_id(kind)
    if name and len(given) <= _LONGEST_ID:
        try:
            object_set_reading.query_of_parameters(kind, [(f"{name}.eq", given)])
        except Invalid:  # as a word is for the number of a region
            pass
        else:
            return f"{said} To find one by its own id: {path}?{name}.eq={quote(given, safe='')}."
    return f"{said} {path} lists what there is; FIELD.eq=VALUE after a ? finds one."


def _own_id(kind: type[ObjectType]) -> str | None:
    """Return the field with the id that people gave its objects, if there is one that tells them apart."""
    for columns in kind.table.unique:
        rest = [name for name in columns if name not in ("id", kind.table.tenant_column)]
        if len(rest) == 1 and rest[0].endswith("_id"):
            return rest[0]
    return None


def _searched(runtime: Runtime, query: Query) -> Page:
    return search_objects.search(runtime.database, runtime.operator_id, query, cursor_key=runtime.cursor_key)


def _describe_bodies(app: FastAPI) -> None:
    """Add the bodies' schemas to the OpenAPI document: no model stands for them, so FastAPI does not know them."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        said = describe()
        said["components"]["schemas"] |= _object_bodies.schemas()
        return said

    app.openapi = described  # type: ignore[method-assign]


def _once(parameters: list[tuple[str, str]]) -> dict[str, str]:
    given = dict(parameters)
    if len(given) < len(parameters):
        raise Invalid(f"Of the parameters {', '.join(_LINK_PARAMETERS)}, each may be given once.")
    return given


def document(body: bytes) -> object:
    """Return the JSON document in `body`: strict UTF-8 and JSON, decimals exact.

    Raises `Invalid` for what is not JSON, for NaN and infinities, and for an object that names a member twice,
    which is why this is not left to a faster parser.
    """
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_int=lambda text: _number(int, text),
            parse_float=lambda text: _number(Decimal, text),
            parse_constant=_no_such_number,
        )
    except RecursionError:
        raise Invalid("The body is nested too deeply to be read.") from None
    except ValueError as error:  # not UTF-8, or not JSON
        raise Invalid(f"The body is not a JSON document: {error}.") from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            raise Invalid(f"The body names {name[:60]!r} twice in one object. Name each member once.")
        found[name] = value
    return found


def _number(kind: Callable[[str], int | Decimal], text: str) -> int | Decimal:
    try:
        return kind(text)
    except (ValueError, ArithmeticError):  # thousands of digits, or of an exponent
        shown = text if len(text) <= _LONGEST_NUMBER else f"{text[:_LONGEST_NUMBER]}..."
        raise Invalid(f"The body holds the number {shown}, which is beyond what any value here can be.") from None


def _no_such_number(word: str) -> Any:
    raise Invalid(f"The body holds {word}, which is no JSON number. Leave the value out, or write null.")
