"""Migrations: the files of supabase/migrations, applied in order and recorded where the Supabase CLI records them.

Either tool continues the other's work: the same table, the same columns, each file in one transaction with its
record. Two `pylon db migrate` at once take turns; the CLI takes no lock, so of two that race one fails cleanly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import psycopg.errors
from psycopg import sql

from pylon import derive
from pylon.errors import Forbidden, SchemaMismatch, StoreError
from pylon.store.faults import reported

__all__ = ["MIGRATORS", "Migration", "State", "apply", "files", "grant_roles", "refuse_newer", "state"]

MIGRATORS = 7_957_466
"""Advisory lock of whoever migrates. Migrating needs a direct connection anyway, so a session lock is safe."""

_SERVING = ("anon", "authenticated", "pylon_ingest", "pylon_actor", "pylon_catalog")

_FILE = re.compile(r"(?P<version>\d+)_(?P<name>.*)\.sql")
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<tag>\$\w*\$).*?(?P=tag)|(?P<end>;)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its version (sorted as text), its name and its SQL."""

    version: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class State:
    """Which migrations a database has, which it lacks, and which it has that this Pylon does not know."""

    applied: tuple[str, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[str, ...]


def files() -> tuple[Migration, ...]:
    """Return every migration of this Pylon, oldest first."""
    found = [
        Migration(match["version"], match["name"], path.read_text("utf-8"))
        for path in _folder().iterdir()
        if (match := _FILE.fullmatch(path.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def state(conninfo: str) -> State:
    """Return how far the database is; it changes nothing.

    Raises `StoreUnavailable` when the database cannot be reached, `Forbidden` when the login may not look.
    """
    with reported(), psycopg.connect(conninfo, autocommit=True) as connection:
        try:
            return _state(connection, files())
        except psycopg.errors.InsufficientPrivilege as error:
            raise Forbidden(
                f"{error.diag.message_primary}. The login {connection.info.user} may not serve yet: run "
                f"`pylon db migrate --login {connection.info.user}` once with the address of the database's owner."
            ) from error


def apply(conninfo: str, *, on_applied: Callable[[Migration], None] = lambda _: None) -> tuple[Migration, ...]:
    """Apply what the database lacks and return it; each file commits together with its record.

    The login must own the database and may create roles; it need not be a superuser. Raises `StoreError` naming
    the file and the statement that failed (the files before it stay), and `SchemaMismatch` when the database is
    newer than this Pylon.
    """
    with reported(), psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("select pg_advisory_lock(%s)", [MIGRATORS])
        _make_record_table(connection)
        now = _state(connection, files())
        refuse_newer(now)
        for migration in now.pending:
            _apply_one(connection, migration)
            on_applied(migration)
        return now.pending


def refuse_newer(now: State) -> None:
    """Raise `SchemaMismatch` when the database has migrations that this Pylon does not."""
    if now.unknown:
        raise SchemaMismatch(
            f"The database has migrations this Pylon does not know: {', '.join(now.unknown)}. "
            "It was made by a newer Pylon (or another project); install that version, or use another database."
        )


def grant_roles(conninfo: str, login: str) -> None:
    """Let `login` become each role a request runs as, see which migrations there are, and nothing else.

    `conninfo` is the migrating owner's.
    """
    who = sql.Identifier(login)
    roles = sql.SQL(", ").join(sql.Identifier(role) for role in _SERVING)
    with reported(), psycopg.connect(conninfo, autocommit=True) as connection, connection.transaction():
        # From 16 on a grant can say that nothing is inherited; on 15 that is the login's own NOINHERIT.
        apart = sql.SQL(" with inherit false, set true" if connection.info.server_version >= 160000 else "")
        connection.execute(sql.SQL("grant {} to {}{}").format(roles, who, apart))
        connection.execute(sql.SQL("grant usage on schema supabase_migrations to {}").format(who))
        connection.execute(sql.SQL("grant select on supabase_migrations.schema_migrations to {}").format(who))


def split(text: str) -> list[str]:
    """Return the statements of `text`, trimmed and without their semicolons, comments kept with what follows."""
    return [statement for part in _parts(text) if (statement := part.strip())]


def _parts(text: str) -> Iterator[str]:
    start = 0
    for token in _TOKEN.finditer(text):
        if token["end"]:
            yield text[start : token.start()]
            start = token.end()
    yield text[start:]


def _folder() -> Any:
    """The wheel carries the migrations inside the package; a clone has them where the Supabase CLI wants them."""
    packaged = resources.files("pylon.store") / "migrations"
    if packaged.is_dir():
        return packaged
    clone = Path(derive.__file__).parents[3] / "supabase" / "migrations"
    if clone.is_dir():
        return clone
    raise SchemaMismatch("This installation has no migrations. Install the wheel again, or work in a clone.")


def _make_record_table(connection: psycopg.Connection[Any]) -> None:
    if connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone() != (None,):
        return
    with connection.transaction():
        connection.execute("create schema if not exists supabase_migrations")
        connection.execute(
            "create table if not exists supabase_migrations.schema_migrations "
            "(version text not null primary key, statements text[], name text)"
        )


def _state(connection: psycopg.Connection[Any], known: Sequence[Migration]) -> State:
    applied: tuple[str, ...] = ()
    if connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone() != (None,):
        rows = connection.execute("select version from supabase_migrations.schema_migrations order by version")
        applied = tuple(str(version) for (version,) in rows)
    versions = {migration.version for migration in known}
    return State(
        applied=applied,
        pending=tuple(migration for migration in known if migration.version not in applied),
        unknown=tuple(version for version in applied if version not in versions),
    )


def _apply_one(connection: psycopg.Connection[Any], migration: Migration) -> None:
    statements = split(migration.text)
    number = 0
    try:
        with connection.transaction():
            for number, statement in enumerate(statements, 1):  # noqa: B007  named in the error below
                connection.execute(statement.encode())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
                [migration.version, migration.name, statements],
            )
    except psycopg.Error as error:
        raise StoreError(
            f"Migration {migration.version}_{migration.name} failed at statement {number} of {len(statements)}: "
            f"{str(error).strip()}. Nothing of it was kept; the migrations before it stand."
        ) from error
