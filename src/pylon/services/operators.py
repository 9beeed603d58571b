"""Operators: whom a process acts for; on a new database, the local operator."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from pylon.errors import Invalid, NotFound
from pylon.ontology.enums import OperatorType
from pylon.ontology.fleet import Operator
from pylon.ontology.identity import derived_uuid
from pylon.store import objects
from pylon.store.database import Database, Transaction

__all__ = ["LOCAL_OPERATOR_ID", "acting", "operator_of"]

LOCAL_OPERATOR_ID = derived_uuid(datetime(2025, 1, 1, tzinfo=UTC), "operator", "local")
"""The default tenant: the same id in every database, so that settings need not name it."""


def acting(database: Database, wanted: str | None, *, now: datetime, may_create: bool = True) -> UUID:
    """Return the id of the operator to act for: `wanted`, or the local operator, made if it is not there.

    Raises `Invalid` when `wanted` is no id and `NotFound` when no operator has it.
    """
    if wanted is None:
        if may_create:
            _ensure_local(database, now)
        return LOCAL_OPERATOR_ID
    try:
        operator_id = UUID(wanted)
    except ValueError:
        raise Invalid(f"PYLON_OPERATOR={wanted!r} is not an operator's id. Valid: a UUID, or unset it.") from None
    with database.as_reader(operator_id) as transaction:
        operator_of(transaction, operator_id)
    return operator_id


def operator_of(transaction: Transaction, operator_id: UUID) -> Operator:
    """Return the operator, as it sees itself.

    Raises `NotFound` when no operator has the id.
    """
    rows = objects.read(transaction, Operator, operator_id=operator_id)
    if not rows:
        raise NotFound(
            f"No operator has the id {operator_id}. Unset PYLON_OPERATOR to act for the local operator, or name "
            "one that this database holds."
        )
    return Operator.model_validate(rows[0])


def _ensure_local(database: Database, now: datetime) -> None:
    local = Operator(
        id=LOCAL_OPERATOR_ID,
        name="Local operator",
        operator_type=OperatorType.COMPUTE_OPERATOR,
        metadata={"note": "The default tenant of this database."},
        created_at=now,
        updated_at=now,
    )
    with database.as_actor(LOCAL_OPERATOR_ID) as transaction:
        objects.add_missing(transaction, [local])
