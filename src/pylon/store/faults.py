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
        case psycopg.errors.IntegrityError():
            return _translate_refusal(error, said)
        case psycopg.errors.InsufficientPrivilege():
            return Forbidden(f"{said}.")
        case _ if _lacks_schema(error, said):
            return SchemaMismatch(f"{said}. Run `pylon db migrate`, then try again.")
        case psycopg.errors.DataError():
            return Invalid(f"{said}.")
        case psycopg.OperationalError():
            return StoreUnavailable(f"{said}. `pylon doctor` says what is missing.")
    return StoreError(said)


def _translate_refusal(error: psycopg.errors.IntegrityError, said: str) -> PylonError:
    """Tell apart the rules a write may break: a key that is taken, a row still named, a row not there, a check."""
    detailed = f"{said}. {error.diag.message_detail or ''}".strip()
    match error:
        case psycopg.errors.UniqueViolation():
            table, key = error.diag.table_name, error.diag.constraint_name
            known = error.diag.message_detail or ""  # row security keeps it back
            return Conflict(f"What was to be new is in {table} already, by {key}. {known}".strip())
        case psycopg.errors.RestrictViolation():
            return Conflict(detailed)
        case psycopg.errors.ForeignKeyViolation():
            # Before PostgreSQL 18, removing what is still named elsewhere has this code too.
            return Conflict(detailed) if said.startswith("update or delete") else NotFound(detailed)
    return Invalid(f"{said}.")


def _lacks_schema(error: psycopg.Error, said: str) -> bool:
    """Whether something is missing that a migration makes: a table, a column, a function or a role."""
    undefined = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction)
    # To become a role that is not there is an invalid value of the setting `role`.
    is_role = isinstance(error, psycopg.errors.InvalidParameterValue) and said.startswith("role ")
    return is_role or isinstance(error, undefined)
