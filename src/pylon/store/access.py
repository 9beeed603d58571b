"""Which database, and how to reach it: the one a setting names, or the embedded one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import conninfo, sql

from pylon.errors import Invalid, SchemaMismatch
from pylon.settings import Settings
from pylon.store import embedded, migrations
from pylon.store.database import Database
from pylon.store.faults import reported
from pylon.store.migrations import Migration

__all__ = ["Access", "Facts", "inspect", "libpq_environment", "migrate", "opened", "reach"]

_LIBPQ = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
}
_DATABASE, _OWNER, _LOGIN = "pylon", "pylon_owner", "pylon_app"


@dataclass(frozen=True)
class Access:
    """A reachable database: `owner` migrates it, `login` serves from it. Both hold a password: never print them."""

    place: str
    """Where it is, in words that are safe to print."""
    owner: str
    login: str
    server: embedded.EmbeddedServer | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether Pylon runs the server itself."""
        return self.server is not None


@dataclass(frozen=True, slots=True)
class Facts:
    """A database server and the role that serves from it."""

    major: int
    is_superuser: bool
    passes_row_security: bool
    is_owner: bool
    size_bytes: int


@contextmanager
def reach(settings: Settings) -> Iterator[Access]:
    """Reach the database of these settings; an embedded server is started, and held until the block ends.

    Raises `ServerUnavailable` when it does not start, `Invalid` when the settings name no usable database.
    """
    if settings.database_url:
        if settings.database_url.count("@") > 1:  # libpq would take the password's tail for a host, and print it
            raise Invalid("DATABASE_URL has more than one @. In a password, write it as %40.")
        place = _describe(settings.database_url)
        yield Access(place, settings.database_url, settings.database_url)
        return
    if settings.supabase_url:
        raise Invalid(
            "SUPABASE_URL alone is not enough yet: Pylon reaches a hosted Supabase through its database. Set "
            "SUPABASE_DB_URL to the project's connection string (Supabase dashboard, Connect), or unset "
            "SUPABASE_URL to use the embedded PostgreSQL."
        )
    with embedded.acquire(settings.home) as server:
        _prepare(server)
        yield Access(
            f"embedded PostgreSQL {server.version} in {server.data_dir}",
            owner=server.dsn(_OWNER, _password(server, _OWNER), _DATABASE),
            login=server.dsn(_LOGIN, _password(server, _LOGIN), _DATABASE),
            server=server,
        )


def migrate(access: Access, on_applied: Callable[[Migration], None] = lambda _: None) -> tuple[Migration, ...]:
    """Apply the migrations the database lacks, let the login take its roles, and return what was applied.

    The login gets them each time: a process may have been killed between the two. Where nothing is pending a
    database of one's own is not locked, so a transaction pooler may stand before it.
    """
    state = migrations.state(access.owner)
    migrations.refuse_newer(state)
    applied = migrations.apply(access.owner, on_applied=on_applied) if state.pending else ()
    if access.is_embedded:
        migrations.grant_roles(access.owner, _LOGIN)
    return applied


@contextmanager
def opened(
    settings: Settings, say: Callable[[str, str], None], *, may_migrate: bool = True
) -> Iterator[tuple[Access, Database]]:
    """Reach the database, bring its schema up to date, and open it; `say` is told each step and its outcome.

    With `may_migrate` false nothing is changed: raises `SchemaMismatch` when the schema is not up to date.
    """
    with reach(settings) as access:
        say("Database", access.place)
        if may_migrate:
            migrate(access, lambda done: say("Schema", f"applied {done.version}_{done.name}"))
        else:
            _insist_on_schema(access)
        revive = access.server.ensure_running if access.server else lambda: None
        with Database(
            access.login, pool_size=settings.pool_size, before_connecting=revive, prepares=access.is_embedded
        ) as database:
            yield access, database


def _insist_on_schema(access: Access) -> None:
    state = migrations.state(access.owner)
    migrations.refuse_newer(state)
    if state.pending:
        raise SchemaMismatch(
            f"{access.place} lacks {len(state.pending)} of Pylon's migrations. Run `pylon up`, or "
            "`pylon db migrate` to apply them alone."
        )


def inspect(access: Access) -> Facts:
    """Return what the server says of itself and of the login that serves.

    Raises `StoreUnavailable` when it cannot be reached.
    """
    with reported(), psycopg.connect(access.login, autocommit=True, connect_timeout=5) as connection:
        row = connection.execute(
            "select current_setting('server_version_num')::int / 10000, rolsuper, rolbypassrls, "
            "pg_database_size(current_database()), exists (select from pg_class c where c.relname = 'operators' "
            "and c.relowner = r.oid) from pg_roles r where rolname = current_user"
        ).fetchone()
    assert row  # noqa: S101  every login is in pg_roles
    major, is_superuser, passes_row_security, size_bytes, is_owner = row
    return Facts(major, is_superuser, passes_row_security, is_owner, size_bytes)


def libpq_environment(address: str) -> dict[str, str]:
    """Return the environment variables by which PostgreSQL's own programs reach `address`, password included."""
    parts = conninfo.conninfo_to_dict(address)
    return {_LIBPQ[key]: str(value) for key, value in parts.items() if key in _LIBPQ and value is not None}


def _prepare(server: embedded.EmbeddedServer) -> None:
    """Make the owner, the login and the database, once: the superuser is used for this and nothing else."""
    with reported(), psycopg.connect(server.superuser_dsn(), autocommit=True) as connection:
        row = connection.execute("select 1 from pg_database where datname = %s", [_DATABASE]).fetchone()
        if row:
            return
        connection.execute("select pg_advisory_lock(%s)", [migrations.MIGRATORS])
        for role, rights in ((_OWNER, "login createrole"), (_LOGIN, "login noinherit")):
            if not connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone():
                connection.execute(
                    sql.SQL("create role {} {} password {}").format(
                        sql.Identifier(role), sql.SQL(rights), sql.Literal(_password(server, role))
                    )
                )
        # The platform's role that passes row security; only a superuser can make one.
        if not connection.execute("select 1 from pg_roles where rolname = 'service_role'").fetchone():
            connection.execute("create role service_role nologin noinherit bypassrls")
        if not connection.execute("select 1 from pg_database where datname = %s", [_DATABASE]).fetchone():
            connection.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(_DATABASE), sql.Identifier(_OWNER))
            )


def _password(server: embedded.EmbeddedServer, role: str) -> str:
    """Derive a role's password from the superuser's, so that one file of mode 0600 is all there is to guard."""
    secret = conninfo.conninfo_to_dict(server.superuser_dsn())["password"]
    return hmac.new(str(secret).encode(), role.encode(), hashlib.sha256).hexdigest()


def _describe(url: str) -> str:
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its message quotes the address, password and all
        raise Invalid(
            "DATABASE_URL (or SUPABASE_DB_URL) is not a PostgreSQL address. Valid: "
            "postgresql://user:password@host:port/database. Special characters are percent-encoded."
        ) from None
    return f"PostgreSQL at {parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
