"""What the database refuses, said in Pylon's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg.errors
import psycopg_pool

from pylon.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PylonError,
    SchemaMismatch,
    StoreError,
    StoreUnavailable,
)

__all__ = ["reported"]


@contextmanager
def reported() -> Iterator[None]:
    """Turn any error of the driver raised inside into the `PylonError` that says what to do about it."""
    try:
        yield
    except psycopg_pool.PoolTimeout as error:
        raise StoreUnavailable(
            "No database connection came free in time. The database may be down (`pylon doctor` looks), or "
            "PYLON_POOL_SIZE is too small for the load."
        ) from error
    except psycopg.Error as error:
        raise _translate(error) from error


def _translate(error: psycopg.Error) -> PylonError:
    said = error.diag.message_primary or str(error).strip()
    match error:
        case psycopg.errors.QueryCanceled():
            return StoreUnavailable(f"The database gave up after its time limit: {said}.")
        case (
            psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedFunction() | psycopg.errors.UndefinedColumn()
        ):
            return SchemaMismatch(f"{said}. Run `pylon db migrate`, then try again.")
        case psycopg.errors.InvalidParameterValue() if said.startswith("role "):
            # A transaction became a role that no migration has made here.
            return SchemaMismatch(f"{said}. Run `pylon db migrate`, then try again.")
        case psycopg.errors.UniqueViolation():
            return Conflict(f"{said}. {error.diag.message_detail or ''}".strip())
        case psycopg.errors.RestrictViolation():
            return Conflict(f"{said}. {error.diag.message_detail or ''}".strip())
        case psycopg.errors.ForeignKeyViolation() if said.startswith("update or delete"):
            # The same before PostgreSQL 18: what is to go is still named elsewhere.
            return Conflict(f"{said}. {error.diag.message_detail or ''}".strip())
        case psycopg.errors.ForeignKeyViolation():
            return NotFound(f"{said}. {error.diag.message_detail or ''}".strip())
        case psycopg.errors.InsufficientPrivilege():
            return Forbidden(f"{said}.")
        case psycopg.errors.IntegrityError() | psycopg.errors.DataError():
            return Invalid(f"{said}.")
        case psycopg.OperationalError():
            return StoreUnavailable(f"{said}. `pylon doctor` says what is missing.")
    return StoreError(said)
