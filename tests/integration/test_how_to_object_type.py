"""docs/how-to/add-an-object-type.md, followed word for word in a copy of the source tree, on a real database."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pylon.store import migrations
from tests.doubles.postgres import Cluster

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/add-an-object-type.md").read_text("utf-8")
COPIED = ("src", "supabase", "schema", "docs", "pyproject.toml", "README.md", "LICENSE")
MODULE = "src/pylon/ontology/fleet.py"
MIGRATION = "supabase/migrations/20261201090000_cooling_units.sql"


@dataclass(frozen=True)
class Followed:
    """The copy after the last step: what changed in it by hand and by the commands, and its database."""

    root: Path
    by_hand: set[str]
    by_command: set[str]
    dsn: str


def blocks(language: str) -> list[str]:
    """Return the page's fenced blocks in `language`, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def contents(root: Path) -> dict[str, bytes]:
    skipped = {"__pycache__", ".temp"}
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not skipped & set(path.parts)
    }


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Followed]:
    root = tmp_path_factory.mktemp("clone")
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, root / name)
    dsn = cluster.create("how_to")
    migrations.apply(dsn)
    run(root, dsn, "pylon derive")  # whatever else is not current here is not this page's doing
    start = contents(root)
    (class_block,) = blocks("python")
    module = root / MODULE
    text = module.read_text("utf-8").replace("__all__ = [", '__all__ = [\n    "CoolingUnit",', 1)
    module.write_text(f"{text}\n\n{class_block}", "utf-8")
    write_migration, *commands = blocks("sh")
    run(root, dsn, write_migration)
    edited = contents(root)
    for command in commands:
        run(root, dsn, command)
    yield Followed(root, changed(start, edited), changed(edited, contents(root)), dsn)
    cluster.drop("how_to")


def run(root: Path, dsn: str, command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(root / "src"), "DATABASE_URL": dsn}
    environment |= {"PYLON_HOME": str(root / "home")}
    done = subprocess.run(
        ["sh", "-euc", command], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_page_has_one_class_and_three_commands() -> None:
    assert len(blocks("python")) == 1
    assert len(blocks("sh")) == 3


def test_two_files_are_edited_by_hand(followed: Followed) -> None:
    assert followed.by_hand == {MODULE, MIGRATION}
    assert f"`{MODULE}`" in PAGE
    assert "`supabase/migrations/`" in PAGE


def test_the_commands_write_the_derived_files_alone(followed: Followed) -> None:
    assert followed.by_command == {
        "schema/supabase_schema.sql",
        "schema/object_types.json",
        "schema/object_types.ts",
        "schema/openapi.json",
        "docs/reference/api.md",
        "docs/reference/object-types.md",
        "docs/reference/links.md",
    }
    for name in followed.by_command - {"docs/reference/links.md"}:
        assert "CoolingUnit" in (text := (followed.root / name).read_text("utf-8")) or "cooling_units" in text
    assert "`COOLS` | CoolingUnit | DataCentre" in (followed.root / "docs/reference/links.md").read_text("utf-8")


def test_the_table_is_there_with_its_policies(followed: Followed) -> None:
    with psycopg.connect(followed.dsn) as connection:
        secured = connection.execute(
            "select relrowsecurity, relforcerowsecurity from pg_class where oid = 'public.cooling_units'::regclass"
        ).fetchone()
        policies = connection.execute(
            "select policyname from pg_policies where tablename = 'cooling_units'"
        ).fetchall()
        readers = connection.execute(
            "select has_table_privilege('authenticated', 'public.cooling_units', 'select'),"
            " has_table_privilege('anon', 'public.cooling_units', 'select')"
        ).fetchone()
        last = connection.execute("select max(version) from supabase_migrations.schema_migrations").fetchone()
    assert secured == (True, True)
    assert policies == [("tenant_rows",)]
    assert readers == (True, False)
    assert last == ("20261201090000",)


def test_the_script_alone_makes_the_same_table(followed: Followed) -> None:
    statement = re.search(r"create table public\.cooling_units \(.*?\n\);", migration_text(followed), re.DOTALL)
    assert statement
    whole = (followed.root / "schema/supabase_schema.sql").read_text("utf-8")
    assert statement[0].replace("create table ", "create table if not exists ") in whole


def migration_text(followed: Followed) -> str:
    return (followed.root / MIGRATION).read_text("utf-8")
