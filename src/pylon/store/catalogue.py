"""The catalogue of a database as plain values: what it holds by way of types, tables, rules and rights.

Two databases whose descriptions are equal behave alike, whichever way each was made. The order of columns and the
names of not-null constraints are left out: they differ between a table made at once and one that grew.
"""

from __future__ import annotations

from typing import Any

import psycopg

from pylon.store.faults import reported

__all__ = ["describe"]

Description = dict[str, dict[str, Any]]

_QUERIES: dict[str, str] = {
    "enums": """
        select format('%s.%s', n.nspname, t.typname), jsonb_agg(e.enumlabel order by e.enumsortorder)
        from pg_type t join pg_namespace n on n.oid = t.typnamespace join pg_enum e on e.enumtypid = t.oid
        where n.nspname in ('public', 'private')
        group by 1
    """,
    "tables": """
        select format('%s.%s', n.nspname, c.relname), jsonb_build_object(
            'kind', case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                    when 'm' then 'materialised view' when 'S' then 'sequence' else 'foreign table' end,
            'partition_by', pg_get_partkeydef(c.oid),
            'row_security', c.relrowsecurity,
            'row_security_forced', c.relforcerowsecurity,
            'comment', obj_description(c.oid, 'pg_class'))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
          and not c.relispartition
    """,
    "columns": """
        select format('%s.%s.%s', n.nspname, c.relname, a.attname), jsonb_build_object(
            'type', format_type(a.atttypid, a.atttypmod),
            'not_null', a.attnotnull,
            'default', pg_get_expr(d.adbin, d.adrelid),
            'generated', nullif(a.attgenerated::text, ''),
            'identity', nullif(a.attidentity::text, ''),
            'comment', col_description(c.oid, a.attnum))
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        join pg_namespace n on n.oid = c.relnamespace
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and not c.relispartition and a.attnum > 0 and not a.attisdropped
    """,
    "constraints": """
        select format('%s.%s.%s', n.nspname, c.relname, k.conname), to_jsonb(pg_get_constraintdef(k.oid))
        from pg_constraint k
        join pg_class c on c.oid = k.conrelid
        join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'private') and not c.relispartition and k.contype not in ('n', 't')
    """,
    "indexes": """
        select format('%s.%s', n.nspname, c.relname), to_jsonb(pg_get_indexdef(c.oid))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'private') and c.relkind in ('i', 'I') and not c.relispartition
    """,
    "policies": """
        select format('%s.%s.%s', schemaname, tablename, policyname), jsonb_build_object(
            'permissive', permissive, 'command', cmd, 'using', qual, 'check', with_check,
            'roles', (select jsonb_agg(role order by role) from unnest(roles::text[]) role))
        from pg_policies where schemaname in ('public', 'private')
    """,
    "triggers": """
        select format('%s.%s.%s', n.nspname, c.relname, t.tgname), jsonb_build_object(
            'definition', pg_get_triggerdef(t.oid),
            'enabled', case t.tgenabled when 'O' then 'origin' when 'A' then 'always' when 'R' then 'replica'
                       else 'disabled' end)
        from pg_trigger t
        join pg_class c on c.oid = t.tgrelid
        join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'private') and not c.relispartition and not t.tgisinternal
    """,
    "functions": """
        select format('%s.%s(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
               to_jsonb(pg_get_functiondef(p.oid))
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('public', 'private') and p.prokind in ('f', 'p')
          and not exists (select from pg_depend e where e.objid = p.oid and e.deptype = 'e')
    """,
    "grants": """
        with objects as (
            select 'schema ' || n.nspname as name, coalesce(n.nspacl, acldefault('n', n.nspowner)) as acl
            from pg_namespace n where n.nspname in ('public', 'private')
            union all
            select format('table %s.%s', n.nspname, c.relname),
                   coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner))
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
              and not c.relispartition
            union all
            select format('column %s.%s.%s', n.nspname, c.relname, a.attname), a.attacl
            from pg_attribute a
            join pg_class c on c.oid = a.attrelid
            join pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('public', 'private') and not c.relispartition and a.attacl is not null
            union all
            select format('function %s.%s(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
                   coalesce(p.proacl, acldefault('f', p.proowner))
            from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where n.nspname in ('public', 'private')
              and not exists (select from pg_depend e where e.objid = p.oid and e.deptype = 'e')
        ), given as (
            select o.name, case x.grantee when 0 then 'public' else pg_get_userbyid(x.grantee)::text end as role,
                   jsonb_agg(x.privilege_type order by x.privilege_type) as rights
            from objects o cross join lateral aclexplode(o.acl) x
            group by o.name, x.grantee
        )
        select name, jsonb_object_agg(role, rights) from given group by name
    """,
}


def describe(conninfo: str) -> Description:
    """Return what the schemas public and private hold, by section and then by the object's full name.

    The sections are enums, tables, columns, constraints, indexes, policies, triggers, functions and grants.
    Partitions are left out: they are made as time goes on, and take their rules from the table they are part of.
    Raises `StoreUnavailable` when the database cannot be reached.
    """
    with reported(), psycopg.connect(conninfo, prepare_threshold=None) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        # With nothing on the search path, every name comes out in full.
        connection.execute("select set_config('search_path', '', true)")
        return {
            section: dict(sorted(connection.execute(query.encode()).fetchall()))
            for section, query in _QUERIES.items()
        }
