"""SQL from the ontology: types, tables, keys, checks, indexes, triggers, policies, grants and seed rows.

The hand-written parts (roles, trigger functions, ingest, leases, what crosses operators) lie in `fragments/` and
are put between the derived ones in the order of their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from graphlib import TopologicalSorter
from importlib import resources
from typing import Any

from pylon.ontology import columns
from pylon.ontology.catalogue import ROWS
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.regions import REGIONS
from pylon.ontology.types import Row, Scope, Table

__all__ = ["CLAIMED_OPERATOR", "fragment", "migration", "schema", "table_migration", "tables_in_order"]

CLAIMED_OPERATOR = (
    "(select (nullif((select current_setting('request.jwt.claims', true)), '')::jsonb "
    "#>> '{app_metadata,operator_id}')::uuid)"
)
"""The operator a transaction acts for. In a sub-select, so that it is worked out once and not once a row; the inner
one says the same again in the one form that Supabase's advisor recognises."""

_READERS = {
    Scope.SHARED: ("anon", "authenticated", "service_role", "pylon_actor", "pylon_catalog"),
    Scope.MEMBERS: ("authenticated", "service_role", "pylon_actor"),
    Scope.TENANT: ("authenticated", "service_role"),
    Scope.INTERNAL: (),
}


def fragment(name: str) -> str:
    """Return the hand-written part `name`, e.g. `00_platform`."""
    return (resources.files("pylon.derive") / "fragments" / f"{name}.sql").read_text("utf-8")


def migration() -> str:
    """Return the statements that make the whole schema in a database that has nothing of it."""
    return _body(if_absent=False)


def schema(migrations: Sequence[tuple[str, str]]) -> str:
    """Return the whole schema as one script that can be run alone, and again.

    `migrations` are the (version, name) pairs it stands for; it records them where the Supabase CLI and
    `pylon db migrate` look, and stops where the database is part-way through them.
    """
    head = "-- Generated from src/pylon/ontology by `pylon derive`; change the ontology and add a migration.\n"
    return "\n".join(
        [
            head,
            "begin;",
            _refuse_if_partial([version for version, _ in migrations]),
            _body(if_absent=True),
            _record(migrations),
            "commit;\n",
        ]
    )


def table_migration(row_type: type[Row]) -> str:
    """Return the statements that add one new type's table to a database that has all the others.

    With it come the enums that no other type uses, its triggers, its policies and its grants.
    """
    others = _enums(row for row in ROWS.values() if row is not row_type)
    new = [enum for enum in _enums([row_type]) if enum not in others]
    parts = [*(_enum(enum, if_absent=False) for enum in new), _table(row_type, if_absent=False), _access(row_type)]
    return "\n".join(part.strip() + "\n" for part in parts)


def tables_in_order() -> tuple[type[Row], ...]:
    """Return every declared row type, each after those its foreign keys name."""
    by_name = dict(ROWS)
    graph = {
        name: {spec.ref.target for spec in columns.of(row) if spec.ref and spec.ref.target != name}
        for name, row in sorted(by_name.items())
    }
    return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())


def _body(*, if_absent: bool) -> str:
    tables = tables_in_order()
    parts = [
        fragment("00_platform"),
        fragment("10_roles"),
        *(_enum(enum, if_absent) for enum in _enums(tables)),
        fragment("20_triggers"),
        *(_table(row, if_absent) for row in tables),
        fragment("40_partitions"),
        fragment("50_ingest"),
        fragment("60_leases"),
        _seed(),
        *(_access(row) for row in tables),
        fragment("70_crossings"),
        _function_grants(),
        fragment("80_log"),
        fragment("85_desk"),
        fragment("90_plans"),
    ]
    return "\n".join(part.strip() + "\n" for part in parts)


def _enums(tables: Iterable[type[Row]]) -> list[type[StrEnum]]:
    found = {spec.enum for row in tables for spec in columns.of(row) if spec.enum and spec.has_enum_type}
    return sorted(found, key=lambda enum: enum.__name__)


def _enum(enum: type[StrEnum], if_absent: bool) -> str:
    name = columns.enum_name(enum)
    values = ", ".join(_literal(value.value) for value in enum)
    create = f"create type public.{name} as enum ({values});"
    if not if_absent:
        return create
    return f"do $$ begin\n    if to_regtype('public.{name}') is null then\n        {create}\n    end if;\nend $$;"


def _table(row: type[Row], if_absent: bool) -> str:
    table = row.table
    lines = [
        *(_column(spec) for spec in columns.of(row)),
        f"constraint {table.name}_pkey primary key ({_names(table.key)})",
        *(f"constraint {_label(table, key, 'key')} unique ({_names(key)})" for key in table.unique),
        *_checks(row),
        *(_foreign_key(row, spec) for spec in columns.of(row) if spec.ref),
    ]
    absent = "if not exists " if if_absent else ""
    partition = f" partition by range ({table.partition_by})" if table.partition_by else ""
    return "\n".join(
        [
            f"create table {absent}public.{table.name} (\n    " + ",\n    ".join(lines) + f"\n){partition};",
            f"comment on table public.{table.name} is {_literal(_first_line(row.__doc__))};",
            *_column_comments(row),
            *_indexes(table, absent),
            *_triggers(row),
        ]
    )


def _column(spec: ColumnSpec) -> str:
    kind = f"public.{spec.sql_type}" if spec.has_enum_type else spec.sql_type
    return (
        f"{_name(spec.name)} {kind}"
        + ("" if spec.is_nullable else " not null")
        + (f" default {spec.default}" if spec.default else "")
    )


def _checks(row: type[Row]) -> Iterator[str]:
    table = row.table
    for spec in columns.of(row):
        column = _name(spec.name)
        bounds = [
            f"{column} {sign} {_number(bound)}"
            for sign, bound in ((">=", spec.ge), (">", spec.gt), ("<=", spec.le))
            if bound is not None
        ]
        if bounds:
            yield f"constraint {_label(table, (spec.name,), 'range')} check ({' and '.join(bounds)})"
        if spec.enum and not spec.has_enum_type:
            values = ", ".join(_literal(value.value) for value in spec.enum)
            yield f"constraint {_label(table, (spec.name,), 'valid')} check ({column} in ({values}))"
    for name, condition in table.checks.items():
        yield f"constraint {table.name}_{name} check ({condition})"


def _foreign_key(row: type[Row], spec: ColumnSpec) -> str:
    assert spec.ref  # noqa: S101  the caller has looked
    target = ROWS[spec.ref.target].table
    both_tenant = row.table.scope is Scope.TENANT and target.scope is Scope.TENANT
    # A tenant's row can name another row of the same tenant only: the key carries the operator.
    composite = both_tenant and target.tenant_column != "id"
    ours = f"operator_id, {spec.name}" if composite else spec.name
    theirs = "operator_id, id" if composite else "id"
    return (
        f"constraint {_label(row.table, (spec.name,), 'fkey')} foreign key ({ours}) "
        f"references public.{target.name} ({theirs}) on delete {spec.ref.on_delete}"
    )


def _column_comments(row: type[Row]) -> Iterator[str]:
    for spec in columns.of(row):
        text = spec.doc + (f" [{spec.unit}]" if spec.unit not in ("", "1") else "")
        yield f"comment on column public.{row.table.name}.{_name(spec.name)} is {_literal(text)};"


def _indexes(table: Table, absent: str) -> Iterator[str]:
    for index in table.indexes:
        words = "".join(c if c.isalnum() else " " for c in index.columns).split()
        unique = "unique " if index.unique else ""
        where = f" where {index.where}" if index.where else ""
        name = _label(table, [word for word in words if word != "desc"], "idx")
        yield f"create {unique}index {absent}{name} on public.{table.name} ({index.columns}){where};"


def _triggers(row: type[Row]) -> Iterator[str]:
    on = f"on public.{row.table.name}"
    if "updated_at" in row.model_fields:
        yield (
            f"create or replace trigger touch_updated_at before update {on} "
            "for each row execute function private.touch_updated_at();"
        )
    if row.table.append_only:
        # By row, which every partition inherits; and by statement, which also stops one that would touch no row.
        refuse = "execute function private.refuse_change();"
        yield f"create or replace trigger refuse_change before update or delete {on} for each row {refuse}"
        yield (
            f"create or replace trigger refuse_statement before update or delete or truncate {on} "
            f"for each statement {refuse}"
        )
        # ALWAYS: session_replication_role does not switch them off either.
        for name in ("refuse_change", "refuse_statement"):
            yield f"alter table public.{row.table.name} enable always trigger {name};"


def _access(row: type[Row]) -> str:
    """Row-level security and grants. Rights are revoked first: older Supabase projects grant ALL by default."""
    table = row.table
    on = f"public.{table.name}"
    return "\n".join(
        [
            f"alter table {on} enable row level security;",
            f"alter table {on} force row level security;",
            f"revoke all on {on} from public, anon, authenticated, service_role;",
            *_policies(table, on),
            *_grants(row, on),
        ]
    )


def _policies(table: Table, on: str) -> Iterator[str]:
    if table.scope is Scope.TENANT:
        rows = f"{table.tenant_column} = {CLAIMED_OPERATOR}"
        yield _policy("tenant_rows", on, "all", "authenticated, pylon_actor", f"using ({rows}) with check ({rows})")
        return
    readers = [role for role in _READERS[table.scope] if role != "service_role"]  # it passes by row security
    if readers:
        yield _policy("read_rows", on, "select", ", ".join(readers), "using (true)")
    yield _policy("ingest_rows", on, "all", "pylon_ingest", "using (true) with check (true)")


def _policy(name: str, on: str, verb: str, roles: str, rule: str) -> str:
    return f"drop policy if exists {name} on {on};\ncreate policy {name} on {on} for {verb} to {roles} {rule};"


def _grants(row: type[Row], on: str) -> Iterator[str]:
    table = row.table
    shown = [spec.name for spec in columns.of(row) if not spec.is_secret]
    some = "" if len(shown) == len(columns.of(row)) else f" ({_names(shown)})"
    if readers := _READERS[table.scope]:
        yield f"grant select{some} on {on} to {', '.join(readers)};"
    writes = "select, insert" if table.append_only else "select, insert, update, delete"
    yield f"grant {writes} on {on} to {'pylon_actor' if table.scope is Scope.TENANT else 'pylon_ingest'};"


def _function_grants() -> str:
    names = (
        "public.ingest_national(jsonb, jsonb, timestamptz)",
        "public.ingest_regional(jsonb, text, jsonb, timestamptz)",
        "public.ingest_factors(jsonb, text, jsonb, timestamptz)",
        "public.record_vintages(jsonb, uuid, timestamptz)",
        "public.record_flags(jsonb, jsonb, uuid, timestamptz)",
        "public.take_lease(text, uuid, timestamptz, integer)",
        "public.release_lease(text, uuid)",
        "private.accepts(text, text, jsonb)",
    )
    return "\n".join(
        f"revoke all on function {name} from public, anon, authenticated, service_role;\n"
        f"grant execute on function {name} to pylon_ingest;"
        for name in names
    )


def _seed() -> str:
    specs = columns.of(type(REGIONS[0]))
    rows = ",\n    ".join(
        "(" + ", ".join(_value(getattr(region, spec.name)) for spec in specs) + ")" for region in REGIONS
    )
    names = _names([spec.name for spec in specs])
    return (
        # Row security, forced on the owner too, comes with the access rules: here the owner seeds.
        "alter table public.regions no force row level security;\n"
        f"insert into public.regions ({names}) values\n    {rows}\non conflict (region_id) do nothing;"
    )


def _refuse_if_partial(versions: Sequence[str]) -> str:
    known = ", ".join(_literal(version) for version in versions)
    return f"""do $$
declare
    applied integer := 0;
begin
    if to_regclass('supabase_migrations.schema_migrations') is not null then
        execute 'select count(*) from supabase_migrations.schema_migrations where version = any ($1)'
            into applied using array[{known}];
    end if;
    if applied not in (0, {len(versions)}) then
        raise exception 'this database has % of Pylon''s {len(versions)} migrations', applied
            using hint = 'Run `pylon db migrate` or `supabase db push` to apply the rest.';
    end if;
    if applied = 0 and to_regclass('public.grid_signals') is not null then
        raise exception 'this database has a table grid_signals that no recorded migration made'
            using hint = 'Use an empty database, or move that table away.';
    end if;
end
$$;
"""


def _record(migrations: Sequence[tuple[str, str]]) -> str:
    values = ",\n    ".join(f"({_literal(version)}, {_literal(name)})" for version, name in migrations)
    return f"""create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text not null primary key,
    statements text[],
    name text
);
insert into supabase_migrations.schema_migrations (version, name) values
    {values}
on conflict (version) do nothing;
"""


def _name(word: str) -> str:
    return f'"{word}"' if word == "timestamp" else word


def _names(words: Iterable[str]) -> str:
    return ", ".join(_name(word) for word in words)


def _label(table: Table, words: Iterable[str], kind: str) -> str:
    label = f"{table.name}_{'_'.join(words)}_{kind}"
    return label if len(label) <= 63 else f"{label[:50]}_{sum(label.encode()) % 10000}_{kind}"


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else repr(bound)


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().splitlines()[0]


def _value(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | Decimal():
            return str(value)
        case dict():
            return _literal(json.dumps(value))
    return _literal(str(value))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
