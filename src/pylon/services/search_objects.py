"""Search objects: pages, single objects, what is linked to one, and figures over many, for one operator.

A page says where the next one begins in a cursor: the sort keys of its last object, signed together with the query
they belong to. Whoever holds it can neither read nor change another query's place with it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import Invalid, NotFound
from pylon.ontology.fields import Op
from pylon.ontology.object_sets import (
    Aggregation,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Linked,
    LinkEnd,
    Not,
    Query,
)
from pylon.ontology.types import ObjectType
from pylon.store import object_sets
from pylon.store.database import Database, Transaction

__all__ = ["TIME_LIMIT_S", "Found", "Group", "Groups", "Page", "aggregate", "get", "linked", "search"]

TIME_LIMIT_S: Final = 5.0
"""How long the database may work on one request: long enough for a million objects, too short to be a burden."""

_SIGNATURE_BYTES = 32

_BEHIND_LINKS: Final = (
    "The condition follows links: whether the objects behind them hold simulated values is not counted. To leave "
    "such objects out, add to the condition of the link that is_simulated eq false or, for signals of the grid, "
    "data_source ne simulated."
)
_NOTICE_DOC: Final = "What `simulated` does not count: values of objects behind links that the condition follows"


class Page(BaseModel):
    """One page of objects."""

    model_config = ConfigDict(frozen=True)

    object_type: str
    objects: list[dict[str, Any]] = Field(description="The selected fields of each object, in the order asked for")
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last")
    simulated: int = Field(description="How many of these objects hold values that Pylon made up")
    contains_simulated: bool
    notice: str | None = Field(description=_NOTICE_DOC)


class Found(BaseModel):
    """One object."""

    model_config = ConfigDict(frozen=True)

    object_type: str
    object: dict[str, Any] = Field(description="Every field of the object")
    contains_simulated: bool = Field(description="Whether it holds values that Pylon made up")


class Group(BaseModel):
    """What the objects of one group come to."""

    model_config = ConfigDict(frozen=True)

    key: dict[str, Any] = Field(description="The value of each field grouped by; the start of a bucket, in UTC")
    measures: dict[str, int | float | datetime | None] = Field(
        description="Each figure by its name; null of no values"
    )
    objects: int = Field(description="How many objects are in the group")
    simulated: int = Field(description="How many of them hold values that Pylon made up")


class Groups(BaseModel):
    """Figures over objects, by group."""

    model_config = ConfigDict(frozen=True)

    object_type: str
    groups: list[Group] = Field(description="In the order of their keys, null last")
    truncated: bool = Field(description="Whether there are more groups than `limit`")
    contains_simulated: bool
    notice: str | None = Field(description=_NOTICE_DOC)


def search(database: Database, operator_id: UUID, query: Query, *, cursor_key: bytes) -> Page:
    """Return the page of objects that `query` asks for.

    Raises `Invalid` for a cursor that is not of this query, and `TooCostly` when the database takes too long.
    """
    with _reader(database, operator_id) as transaction:
        return _page(transaction, operator_id, query, cursor_key, notice=_notice(query.where))


def get(database: Database, operator_id: UUID, object_type: type[ObjectType], object_id: UUID) -> Found:
    """Return one object with all its fields.

    Raises `NotFound` when there is none: another operator's objects are not there.
    """
    with _reader(database, operator_id) as transaction:
        return _found(transaction, operator_id, _one(object_type, object_id))


def linked(
    database: Database,
    operator_id: UUID,
    object_type: type[ObjectType],
    object_id: UUID,
    end: LinkEnd,
    query: Query,
    *,
    cursor_key: bytes,
) -> Page:
    """Return the page of what lies at the other end of a link of one object, among the objects of `query`.

    Raises `NotFound` as `get` does, `Invalid` and `TooCostly` as `search` does.
    """
    here = Linked(end.back, Compare("id", Op.EQ, object_id))
    where = AllOf((here, query.where)) if query.where else here
    with _reader(database, operator_id) as transaction:
        _found(transaction, operator_id, replace(_one(object_type, object_id), select=("id",)))
        return _page(transaction, operator_id, replace(query, where=where), cursor_key, notice=_notice(query.where))


def aggregate(database: Database, operator_id: UUID, aggregation: Aggregation) -> Groups:
    """Return the figures that `aggregation` asks for.

    Raises `TooCostly` when the database takes too long.
    """
    with _reader(database, operator_id) as transaction:
        found = object_sets.groups(transaction, aggregation, operator_id=operator_id)
    groups = [
        Group(key=key, measures=measures, objects=objects, simulated=simulated)
        for key, measures, objects, simulated in found.groups
    ]
    return Groups(
        object_type=aggregation.object_type.__name__,
        groups=groups,
        truncated=not found.are_all,
        contains_simulated=any(group.simulated for group in groups),
        notice=_notice(aggregation.where),
    )


def _reader(database: Database, operator_id: UUID) -> AbstractContextManager[Transaction]:
    return database.as_reader(operator_id, statement_timeout_s=TIME_LIMIT_S)


def _one(object_type: type[ObjectType], object_id: UUID) -> Query:
    return Query(object_type, where=Compare("id", Op.EQ, object_id), limit=1)


def _found(transaction: Transaction, operator_id: UUID, query: Query) -> Found:
    found = object_sets.rows(transaction, query, operator_id=operator_id)
    name = query.object_type.__name__
    if not found.rows:
        raise NotFound(f"There is no {name} with this id. A search without conditions lists those there are.")
    return Found(object_type=name, object=found.rows[0], contains_simulated=found.simulated > 0)


def _notice(where: Condition | None) -> str | None:
    return _BEHIND_LINKS if where is not None and _follows_links(where) else None


def _follows_links(where: Condition) -> bool:
    match where:
        case Linked():
            return True
        case AllOf(parts) | AnyOf(parts):
            return any(_follows_links(part) for part in parts)
        case Not(part):
            return _follows_links(part)
        case Compare():
            return False


def _page(
    transaction: Transaction, operator_id: UUID, query: Query, cursor_key: bytes, *, notice: str | None
) -> Page:
    cursor = _Cursor(cursor_key, operator_id, query)
    after = None if query.cursor is None else cursor.read(query.cursor)
    found = object_sets.rows(transaction, query, operator_id=operator_id, after=after)
    return Page(
        object_type=query.object_type.__name__,
        objects=found.rows,
        next_cursor=None if found.last is None else cursor.write(found.last),
        simulated=found.simulated,
        contains_simulated=found.simulated > 0,
        notice=notice,
    )


class _Cursor:
    """Writes and reads the cursors of one operator's one query; how many rows and which fields may change."""

    def __init__(self, key: bytes, operator_id: UUID, query: Query) -> None:
        self._key = key
        # A plan's repr says all that it holds, and the same for equal plans.
        self._query = repr((operator_id, query.object_type.__name__, query.where, query.order)).encode()

    def write(self, keys: list[str | None]) -> str:
        said = orjson.dumps(keys)
        return base64.urlsafe_b64encode(self._signature(said) + said).rstrip(b"=").decode()

    def read(self, cursor: str) -> list[str | None]:
        try:
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            data = b""
        signature, said = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(said)):
            raise Invalid("The cursor is not valid for this query. Start again without it.")
        keys: list[str | None] = orjson.loads(said)
        return keys

    def _signature(self, said: bytes) -> bytes:
        # The length of the query keeps its end and the beginning of the keys apart.
        return hmac.digest(self._key, len(self._query).to_bytes(8, "big") + self._query + said, "sha256")
