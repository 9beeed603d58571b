"""Reading, adding and changing the rows of an object type, with statements made from its declaration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from pylon.ontology import columns
from pylon.ontology.types import Row, Scope
from pylon.store.database import Transaction

__all__ = ["add_missing", "change", "count", "find", "read", "send_changes", "send_new", "tally"]


def add_missing(transaction: Transaction, rows: Sequence[Row]) -> int:
    """Insert the rows (all of one type) whose keys are not there yet, and return how many were."""
    if not rows:
        return 0
    text = _insert(type(rows[0])) + b" on conflict do nothing"
    return transaction.statement(text, rows=_payload(rows)).rowcount


def change(transaction: Transaction, rows: Sequence[Row], names: Sequence[str]) -> int:
    """Set these columns of the stored rows that have the ids and the operator of `rows` (all of one type).

    Returns how many rows changed; a row that has these values already is not touched. Where the type says when a
    row changed, that is taken from `rows`. Raises `KeyError` for a column that the row type does not declare.
    """
    if not rows:
        return 0
    return transaction.statement(_change(type(rows[0]), tuple(names)), rows=_payload(rows)).rowcount


def send_new(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Insert the rows (all of one type), without waiting. One whose key is taken makes the transaction fail."""
    if rows:
        transaction.send_statement(_insert(type(rows[0])), rows=_payload(rows))


def send_changes(transaction: Transaction, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Do what `change` does, without waiting."""
    if rows:
        transaction.send_statement(_change(type(rows[0]), tuple(names)), rows=_payload(rows))


def find(
    transaction: Transaction,
    row_type: type[Row],
    keys: Mapping[str, Sequence[Any]],
    *,
    shown: Sequence[str],
    operator_id: UUID | None = None,
) -> list[dict[str, Any]]:
    """Return these columns, as the driver gives them, of the rows that have one of the keys.

    `keys` holds the values of each key column: the first ones are the first key. A tenant's table is filtered as in
    `read`. Raises `KeyError` for a column that the row type does not declare.
    """
    types = {spec.name: spec.sql_type.partition("(")[0] for spec in columns.of(row_type)}
    matches = " and ".join(f"t.{_column(row_type, name)} = k.{_column(row_type, name)}" for name in keys)
    named = ", ".join(_column(row_type, name) for name in keys)
    given = ", ".join(f"%(key_{name})s::{types[name]}[]" for name in keys)
    conditions, _ = _conditions(row_type, None)
    # One look into the key's index for each key, whatever the planner thinks that the table holds: of a table that
    # was filled and rolled back it thinks that it is empty.
    text = f"select f.* from unnest({given}) as k({named}) cross join lateral ("  # noqa: S608
    text += f"select {', '.join(_column(row_type, name) for name in shown)} from public.{row_type.table.name} t"  # noqa: S608
    text += f"{conditions} {'and' if conditions else 'where'} {matches} offset 0) f"
    values = {f"key_{name}": list(of_one) for name, of_one in keys.items()}
    return transaction.statement(text.encode(), operator_id=operator_id, **values).fetchall()


def read(
    transaction: Transaction,
    row_type: type[Row],
    *,
    operator_id: UUID | None = None,
    without: Mapping[str, Sequence[str]] | None = None,
    order_by: Sequence[str] = ("id",),
    limit: int | None = None,
    omitted: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return rows as plain values (numbers for decimals), secrets and the `omitted` columns left out.

    `without` leaves out rows whose column has one of the values; `order_by` names columns, with a minus sign for
    the largest first. A tenant's table is filtered by `operator_id` beside the row security that enforces it.
    Raises `KeyError` for a column that the row type does not declare.
    """
    conditions, values = _conditions(row_type, without)
    text = f"select {_shown(row_type, tuple(omitted))} from public.{row_type.table.name}{conditions}"  # noqa: S608
    text += f" order by {', '.join(_ordered(row_type, name) for name in order_by)}"
    text += f" limit {int(limit)}" if limit is not None else ""
    rows = transaction.statement(text.encode(), operator_id=operator_id, **values).fetchall()
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def count(transaction: Transaction, row_type: type[Row], operator_id: UUID) -> int:
    """Return how many rows of a tenant's table belong to the operator."""
    table = row_type.table
    text = f"select count(*) as n from public.{table.name} where {table.tenant_column} = %(operator_id)s"  # noqa: S608
    row = transaction.statement(text.encode(), operator_id=operator_id).fetchone()
    return int(row["n"]) if row else 0


def tally(
    transaction: Transaction,
    row_type: type[Row],
    operator_id: UUID,
    *,
    without: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return how many of a tenant's rows are real and how many simulated: `is_simulated`, `rows`, `changed_at`.

    `without` is as in `read`; `changed_at` is None where the type does not say when a row changed.
    """
    changed_at = "max(updated_at)" if "updated_at" in row_type.model_fields else "null::timestamptz"
    conditions, values = _conditions(row_type, without)
    text = f"select is_simulated, count(*) as rows, {changed_at} as changed_at from public.{row_type.table.name}"  # noqa: S608
    text += f"{conditions} group by is_simulated order by is_simulated"
    return transaction.statement(text.encode(), operator_id=operator_id, **values).fetchall()


def _payload(rows: Sequence[Row]) -> str:
    return f"[{','.join(row.model_dump_json() for row in rows)}]"


@cache
def _insert(row_type: type[Row]) -> bytes:
    name = f"public.{row_type.table.name}"
    return (
        f"insert into {name} select * from jsonb_populate_recordset(null::{name}, %(rows)s::jsonb)"  # noqa: S608
    ).encode()


@cache
def _change(row_type: type[Row], names: tuple[str, ...]) -> bytes:
    table, compared = row_type.table, [_column(row_type, name) for name in names]
    written = [*compared, '"updated_at"'] if "updated_at" in row_type.model_fields else compared
    return (
        f"update public.{table.name} t set {', '.join(f'{name} = x.{name}' for name in written)} "  # noqa: S608
        f"from jsonb_populate_recordset(null::public.{table.name}, %(rows)s::jsonb) x "
        f"where t.id = x.id and t.{table.tenant_column} = x.{table.tenant_column} "
        f"and row({', '.join(f't.{name}' for name in compared)}) "
        f"is distinct from row({', '.join(f'x.{name}' for name in compared)})"
    ).encode()


@cache
def _shown(row_type: type[Row], omitted: tuple[str, ...]) -> str:
    shown = (spec.name for spec in columns.of(row_type) if not spec.is_secret and spec.name not in omitted)
    return ", ".join(f'"{name}"' for name in shown)


def _conditions(
    row_type: type[Row], without: Mapping[str, Sequence[str]] | None
) -> tuple[str, dict[str, list[str]]]:
    """Return the where clause and the values it takes beside `operator_id`; names come from the declaration."""
    table, left_out = row_type.table, without or {}
    conditions = [f"not {_column(row_type, name)}::text = any (%({name})s)" for name in left_out]
    if table.scope is Scope.TENANT:
        conditions.append(f"{table.tenant_column} = %(operator_id)s")
    clause = f" where {' and '.join(conditions)}" if conditions else ""
    return clause, {name: list(values) for name, values in left_out.items()}


def _column(row_type: type[Row], name: str) -> str:
    if name not in row_type.model_fields:
        raise KeyError(f"{row_type.__name__} has no column {name!r}; valid: {', '.join(row_type.model_fields)}")
    return f'"{name}"'


def _ordered(row_type: type[Row], name: str) -> str:
    return _column(row_type, name.removeprefix("-")) + (" desc" if name.startswith("-") else "")


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
