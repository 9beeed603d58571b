"""The Supabase CLI and its advisors: either tool continues the other's work, and the linter finds no fault.

The CLI is one npm package: `npm ci --ignore-scripts` in tests/doubles/supabase_cli fetches it; a program elsewhere
is named by PYLON_SUPABASE_CLI.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pylon.store import catalogue, migrations
from tests.conftest import Described
from tests.doubles.postgres import Cluster

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / "tests/doubles/supabase_cli/node_modules/@supabase/cli-linux-x64/bin/supabase"

# Of the findings of level INFO, those that may not occur; the others speak of use, which a new database lacks.
REFUSED_HINTS = {"unindexed_foreign_keys", "no_primary_key", "rls_enabled_no_policy"}


@dataclass(frozen=True)
class SupabaseCli:
    """The program, in a project that holds our migrations, with nothing of the user's in reach."""

    program: Path
    project: Path

    def __call__(self, *words: str) -> tuple[int, Any]:
        home = self.project / "home"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "SUPABASE_HOME": str(home / "supabase"),
            "SUPABASE_NO_KEYRING": "1",
            "SUPABASE_NO_UPDATE_NOTIFIER": "1",
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "DO_NOT_TRACK": "1",
        }
        done = subprocess.run(
            [self.program, *words, "--workdir", self.project, "--output-format", "json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout.startswith(("{", "[")), f"{words[:2]} gave no document: {done.stdout}{done.stderr}"
        return done.returncode, json.loads(done.stdout)

    def push(self, dsn: str) -> Any:
        """Apply what the database lacks and return the CLI's account of it."""
        code, document = self("db", "push", f"--remote={dsn}", "--yes")
        assert code == 0, document
        return document

    def findings(self, dsn: str) -> list[dict[str, Any]]:
        """Return what the advisors find. An exit code of 1 may mean a finding or a failure: the document tells."""
        _, document = self(
            *("db", "advisors", f"--remote={dsn}", "--type", "all", "--level", "info", "--fail-on", "error")
        )
        assert "results" in document, document
        return list(document["results"])


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> SupabaseCli:
    program = Path(os.environ.get("PYLON_SUPABASE_CLI", FETCHED))
    if not program.is_file():
        pytest.skip("the Supabase CLI is not here: run `npm ci --ignore-scripts` in tests/doubles/supabase_cli")
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "supabase", folder / "supabase")
    (folder / "home").mkdir()
    return SupabaseCli(program, folder)


@pytest.fixture
def empty(new_database: Callable[..., str], template: str) -> str:
    """A database without a table; the platform's roles are there, as on the hosted service."""
    return new_database()


@pytest.fixture(scope="module")
def pushed(cli: SupabaseCli, cluster: Cluster, template: str) -> Iterator[str]:
    """A database that the CLI made; tests share it and only read."""
    dsn = cluster.create("pylon_pushed")
    cli.push(dsn)
    yield dsn
    cluster.drop("pylon_pushed")


@pytest.fixture(scope="module")
def old_project(cli: SupabaseCli, cluster: Cluster, template: str) -> Iterator[str]:
    """The same in a project of the kind that grants the client roles everything by default."""
    dsn = cluster.create("pylon_old_project")
    run(dsn, "alter default privileges in schema public grant all on tables to anon, authenticated, service_role")
    cli.push(dsn)
    yield dsn
    cluster.drop("pylon_old_project")


def run(dsn: str, text: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(text.encode())


def versions(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        query = "select version, name from supabase_migrations.schema_migrations order by version"
        return connection.execute(query).fetchall()


def test_the_cli_applies_our_migrations_as_the_owner_and_once(cli: SupabaseCli, empty: str) -> None:
    files = [f"{one.version}_{one.name}.sql" for one in migrations.files()]
    assert [Path(name).name for name in cli.push(empty)["migrations"]] == files
    assert cli.push(empty)["upToDate"] is True


def test_what_the_cli_applied_is_not_pending_for_pylon(pushed: str) -> None:
    assert migrations.state(pushed).pending == ()
    assert migrations.apply(pushed) == ()


def test_what_pylon_applied_is_up_to_date_for_the_cli(cli: SupabaseCli, dsn: str) -> None:
    assert cli.push(dsn)["upToDate"] is True


def test_both_record_the_same_versions_and_names(pushed: str, dsn: str) -> None:
    assert versions(pushed) == versions(dsn)


def test_both_make_the_same_database(pushed: str, described: Described) -> None:
    made = catalogue.describe(pushed)
    for section, objects in described.items():
        assert made[section] == objects, section


def test_what_an_old_project_grants_by_default_is_taken_back(old_project: str, described: Described) -> None:
    assert catalogue.describe(old_project)["grants"] == described["grants"]


def test_the_advisors_find_no_error_no_warning_and_no_missing_key_or_index(
    cli: SupabaseCli, old_project: str
) -> None:
    findings = cli.findings(old_project)
    assert [one["detail"] for one in findings if one["level"] != "INFO" or one["name"] in REFUSED_HINTS] == []


def test_the_advisors_would_find_each_of_them(cli: SupabaseCli, old_project: str) -> None:
    run(
        old_project,
        """
        create table public.open (id int primary key);
        create table public.slow (id int primary key, open_id int references public.open (id));
        alter table public.slow enable row level security;
        create policy bare on public.slow to authenticated using (current_setting('x', true) = '');
        """,
    )
    found = {(one["level"], one["name"]) for one in cli.findings(old_project)}
    run(old_project, "drop table public.slow, public.open")
    assert found >= {
        ("ERROR", "rls_disabled_in_public"),
        ("WARN", "auth_rls_initplan"),
        ("INFO", "unindexed_foreign_keys"),
    }
