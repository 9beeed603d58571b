"""Migrations: applied in order, each whole or not at all, once, by whoever owns the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pylon.errors import SchemaMismatch, StoreError, StoreUnavailable
from pylon.store import migrations
from pylon.store.migrations import split
from tests.doubles.postgres import Cluster

pytestmark = pytest.mark.usefixtures("template")  # the roles a migration grants to are there


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that migrations are read from."""
    monkeypatch.setattr(migrations, "_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def empty(new_database: Callable[..., str]) -> str:
    return new_database()


def records(dsn: str) -> list[tuple[Any, ...]]:
    return rows(dsn, "select version, name, statements from supabase_migrations.schema_migrations order by version")


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def test_the_owner_is_no_superuser_and_passes_no_row_security(dsn: str) -> None:
    assert rows(
        dsn, "select rolsuper, rolbypassrls, rolreplication from pg_roles where rolname = current_user"
    ) == [(False, False, False)]


def test_every_migration_of_this_pylon_is_applied_and_recorded_with_its_statements(dsn: str) -> None:
    assert [(version, name) for version, name, _ in records(dsn)] == [
        (migration.version, migration.name) for migration in migrations.files()
    ]
    assert all(statements and all(statements) for _, _, statements in records(dsn))
    assert migrations.state(dsn).pending == ()


def test_they_are_applied_in_the_order_of_their_versions(folder: Path, empty: str) -> None:
    (folder / "20260102000000_second.sql").write_text("insert into public.steps values ('second');")
    (folder / "20260101000000_first.sql").write_text("create table public.steps (step text);")
    (folder / "20260103000000_third.sql").write_text("insert into public.steps values ('third');")
    told: list[str] = []
    done = migrations.apply(empty, on_applied=lambda migration: told.append(migration.name))
    assert [migration.name for migration in done] == told == ["first", "second", "third"]
    assert rows(empty, "select step from public.steps order by ctid") == [("second",), ("third",)]


def test_files_that_are_no_migrations_are_left_alone(folder: Path) -> None:
    (folder / "README.sql").write_text("nonsense")
    (folder / "20260101000000_first.sql.bak").write_text("nonsense")
    assert migrations.files() == ()


def test_applying_again_does_nothing(dsn: str) -> None:
    before = records(dsn)
    assert migrations.apply(dsn) == ()
    assert records(dsn) == before


def test_what_is_pending_is_told_before_it_is_applied(folder: Path, empty: str) -> None:
    (folder / "20260101000000_first.sql").write_text("select 1;")
    assert [migration.name for migration in migrations.state(empty).pending] == ["first"]
    assert migrations.state(empty).applied == ()


def test_asking_for_the_state_changes_nothing(empty: str) -> None:
    migrations.state(empty)
    assert rows(empty, "select to_regclass('supabase_migrations.schema_migrations')") == [(None,)]


def test_a_file_that_fails_leaves_nothing_of_itself_and_names_its_statement(folder: Path, empty: str) -> None:
    (folder / "20260101000000_good.sql").write_text("create table public.kept ();")
    (folder / "20260102000000_bad.sql").write_text("create table public.lost ();\nselect 1;\nselect no_such_thing;")
    with pytest.raises(
        StoreError, match=r"20260102000000_bad failed at statement 3 of 3: column .* does not exist"
    ):
        migrations.apply(empty)
    assert [name for _, name, _ in records(empty)] == ["good"]
    assert rows(empty, "select to_regclass('public.kept') is null, to_regclass('public.lost') is null") == [
        (False, True)
    ]


def test_after_a_repair_it_goes_on_where_it_stopped(folder: Path, empty: str) -> None:
    (folder / "20260101000000_good.sql").write_text("create table public.kept ();")
    (folder / "20260102000000_bad.sql").write_text("select no_such_thing;")
    with pytest.raises(StoreError):
        migrations.apply(empty)
    (folder / "20260102000000_bad.sql").write_text("select 1;")
    assert [migration.name for migration in migrations.apply(empty)] == ["bad"]


def test_of_two_at_once_one_applies_and_the_other_waits_and_does_nothing(folder: Path, empty: str) -> None:
    (folder / "20260101000000_slow.sql").write_text("create table public.once (); select pg_sleep(0.3);")
    with ThreadPoolExecutor(2) as pool:
        done = [work.result() for work in [pool.submit(migrations.apply, empty) for _ in range(2)]]
    assert sorted(len(applied) for applied in done) == [0, 1]


def test_a_database_newer_than_this_pylon_is_refused_unchanged(dsn: str, folder: Path) -> None:
    (folder / "20990101000000_mine.sql").write_text("create table public.mine ();")
    known = ", ".join(version for version, _, _ in records(dsn))
    with pytest.raises(SchemaMismatch, match=f"does not know: {known}"):
        migrations.apply(dsn)
    assert rows(dsn, "select to_regclass('public.mine')") == [(None,)]


def test_the_login_may_become_each_role_a_request_runs_as_and_no_other(cluster: Cluster, dsn: str) -> None:
    with cluster.superuser() as connection:
        roles = connection.execute(
            "select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid "
            "where m.member = 'pylon_app'::regrole order by 1"
        ).fetchall()
    assert [role for (role,) in roles] == ["anon", "authenticated", "pylon_actor", "pylon_catalog", "pylon_ingest"]


def test_an_unreachable_database_is_said_to_be_one() -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        migrations.state("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=2")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        ("select 1", ["select 1"]),
        ("select 1; select 2;\n", ["select 1", "select 2"]),
        (";;  ;", []),
        ("select ';'; select 2", ["select ';'", "select 2"]),
        ("select 'it''s; so'; select 2", ["select 'it''s; so'", "select 2"]),
        ('select 1 as "a;""b"; select 2', ['select 1 as "a;""b"', "select 2"]),
        ("-- why; so\nselect 1; select 2", ["-- why; so\nselect 1", "select 2"]),
        ("/* a; b\n c; */ select 1; select 2", ["/* a; b\n c; */ select 1", "select 2"]),
        ("do $$ begin null; end $$; select 2", ["do $$ begin null; end $$", "select 2"]),
        ("do $a$ select $$;$$; $a$; select 2", ["do $a$ select $$;$$; $a$", "select 2"]),
        ("do $$ -- don't; $$; select 2", ["do $$ -- don't; $$", "select 2"]),
        ("-- don't; stop\nselect 1; select 2", ["-- don't; stop\nselect 1", "select 2"]),
        ("select '-- not a comment; $$'; select 2", ["select '-- not a comment; $$'", "select 2"]),
        ("select 10 % 3; select 2", ["select 10 % 3", "select 2"]),
    ],
)
def test_a_file_is_split_into_its_statements(text: str, statements: list[str]) -> None:
    assert split(text) == statements


def test_the_statements_of_our_own_files_end_where_postgresql_ends_them(new_database: Callable[..., str]) -> None:
    """A cut in the wrong place would be a syntax error, or two statements in one."""
    dsn = new_database()
    for migration in migrations.files():
        with psycopg.connect(dsn) as connection:
            for statement in split(migration.text):
                # The extended protocol takes exactly one statement.
                connection.execute(statement.encode(), prepare=True)
