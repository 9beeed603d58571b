"""The repository: what it may contain, what it depends on, and how its tests are laid out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.contracts.source import PACKAGE, PURE_ROOMS, ROOT, Module, functions, modules, repository_texts

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# A path inside somebody's machine. The pattern does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|work|home)/[\w.]")
REGISTRY = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs|npmjs\.(?:org|com)|yarnpkg\.com)\b")
# A page or a program of ours that the Makefile names, alone or in a glob.
NAMED_IN_MAKE = re.compile(r"(?<![\w./*-])[\w./*-]+\.(?:md|py|sh|txt|toml|sql)\b")
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in repository_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_path_of_a_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_file_names_a_registry() -> None:
    assert lines_with(REGISTRY) == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("see {}/project/x.py", True),
        ('Path("{}/me/pylon")', True),
        ("docs{}/index.md", False),
        ("$PREFIX{}/x", False),
        ("what lies under {}, say", False),
    ],
)
@pytest.mark.parametrize("folder", ["root", "work", "home"])
def test_what_counts_as_a_path_of_a_machine(line: str, is_found: bool, folder: str) -> None:
    assert bool(MACHINE_PATH.search(line.format("/" + folder))) is is_found


def test_the_base_install_is_pydantic_and_httpx2() -> None:
    assert sorted(re.split(r"[<>=~!\[ ]", needed)[0] for needed in PROJECT["dependencies"]) == [
        "httpx2",
        "pydantic",
    ]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_one_version_and_its_hashes_and_no_address(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "://" not in text
    blocks = re.split(r"^(?=[\w.\[\]-]+==)", text, flags=re.MULTILINE)
    pinned = [block for block in blocks if re.match(r"[\w.\[\]-]+==[\w.]+", block)]
    assert len(pinned) > 10
    assert [block.split()[0] for block in pinned if "--hash=sha256:" not in block] == []
    unpinned = [line for line in text.splitlines() if line and line[0] not in " #" and "==" not in line]
    assert unpinned == []


def test_every_dependency_is_locked() -> None:
    locked = {
        name.lower() for name in re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", LOCKS[-1].read_text(), re.MULTILINE)
    }
    wanted = {
        re.split(r"[<>=~!\[; ]", needed)[0].lower()
        for needed in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["server"]]
    }
    assert wanted - locked == set()


def test_the_changelog_tells_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[?v?(\d[\w.]*|Unreleased)\]?", text, re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    # Until the first release there is nothing but what is to be in it.
    assert released[:1] == [PROJECT["version"]] if released else headings == ["Unreleased"]


def unit_tests() -> set[str]:
    folder = ROOT / "tests" / "unit"
    return {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("test_*.py")}


def names_of(module: Module) -> str:
    """Return the unit test that mirrors `module`: ontology/test_types for pylon.ontology.types."""
    *rooms, name = module.name.split(".")[1:]
    return "/".join([*rooms, f"test_{name.removeprefix('_')}"])


def test_unit_tests_mirror_the_source() -> None:
    mirrored = {names_of(module) for module in modules() if "." in module.name}
    assert unit_tests() - mirrored == set(), "a unit test without a module of its name"


@pytest.mark.parametrize(
    "module",
    [
        one
        for one in modules()
        if one.room in (*PURE_ROOMS, "errors", "settings")
        and any(not name.startswith("_") for name, _ in functions(one.tree) if "." not in name)
    ],
    ids=str,
)
def test_a_pure_module_with_functions_has_its_unit_test(module: Module) -> None:
    assert names_of(module) in unit_tests()


def test_the_package_ships_what_it_reads() -> None:
    for name in ("py.typed", "store/queries.sql", "derive/fragments/00_platform.sql"):
        assert (PACKAGE / name).is_file()


def test_every_page_and_program_the_makefile_names_is_there() -> None:
    named = set(NAMED_IN_MAKE.findall((ROOT / "Makefile").read_text("utf-8")))
    assert len(named) > 5
    assert sorted(name for name in named if not list(ROOT.glob(name))) == []
