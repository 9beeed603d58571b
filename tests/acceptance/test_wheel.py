"""The built wheel carries all it needs: it runs the same outside the clone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.homes import new_home

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("pylon_deg-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's package and nothing of the clone."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def run(installed: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run python outside the clone, with the installed package before any other."""
    everything = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", **environment}
    return subprocess.run(
        [sys.executable, *words], cwd="/", env=everything, text=True, capture_output=True, timeout=120
    )


def test_the_wheel_carries_migrations_fragments_and_queries(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "pylon/store/migrations/",
        "pylon/derive/fragments/",
        "pylon/store/queries.sql",
        "pylon/py.typed",
    ):
        assert any(name.startswith(wanted) for name in names), wanted
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "backend"))]


def test_the_wheel_is_what_runs(installed: Path) -> None:
    done = run(installed, "-c", "import pylon; print(pylon.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed)


def test_the_installed_pylon_migrates_and_loads_a_database_of_its_own(installed: Path) -> None:
    with new_home() as home:
        done = run(installed, "-m", "pylon", "pipeline", PYLON_HOME=str(home), PYLON_GRID="simulated")
    assert done.returncode == 0, done.stderr
    assert "applied" in done.stdout
    assert "SUCCEEDED" in done.stdout


def test_without_the_server_packages_the_command_says_what_to_install(installed: Path) -> None:
    hide = "import sys; sys.modules['typer'] = None; from pylon.__main__ import main; main()"
    done = run(installed, "-c", hide)
    assert done.returncode == 1
    assert 'pip install "pylon-deg[server]"' in done.stderr


def test_the_ontology_needs_the_base_install_only(installed: Path) -> None:
    look = (
        "import sys, pylon.ontology.catalogue; "
        "heavy = {'numpy', 'psycopg', 'fastapi', 'typer', 'orjson'}; "
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    assert run(installed, "-c", look).stdout.strip() == "[]"
