"""Every module: described, bounded in size, named for what it is, and true to what it says it offers."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache

import pytest

from tests.contracts.source import ROOMS, ROOT, Module, functions, modules, repository_texts

MOST_LINES = 400
MOST_FUNCTION_LINES = 40

# Longer than 40 lines, by name, each with what makes it one thing. Take a name out when it is no longer true.
LONG_FUNCTIONS: dict[str, str] = {}

MODULES_OF_NO_SUBJECT = re.compile(r"^_?(utils?|helpers?|common|misc|manager|base|shared)$")

# A room offers its modules; __main__ is run, not imported.
IMPORTED = [one for one in modules() if one.path.name not in ("__init__.py", "__main__.py")]

# Spelled so that this file does not contain what it looks for.
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E)\b(?!\s*\(?#\d+)")


@pytest.mark.parametrize("module", modules(), ids=str)
def test_its_docstring_begins_with_one_sentence(module: Module) -> None:
    doc = ast.get_docstring(module.tree)
    assert doc, f"{module} has no docstring"
    first, *rest = doc.split("\n")
    assert re.fullmatch(r"[A-Z].*[^.\s]\.", first), f"{module}: {first!r} is not one sentence on one line"
    assert not rest or rest[0] == "", f"{module}: the first line of the docstring runs on"


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_line_is_its_line_in_the_architecture(room: str) -> None:
    package = importlib.import_module(f"pylon.{room}")
    assert named_in_architecture(f"{room}/") == [package.__doc__]


@pytest.mark.parametrize("name", ["pipeline", "settings", "errors"])
def test_a_modules_line_is_its_line_in_the_architecture(name: str) -> None:
    module = importlib.import_module(f"pylon.{name}")
    assert named_in_architecture(f"{name}.py") == [(module.__doc__ or "").split("\n")[0]]


def named_in_architecture(name: str) -> list[str]:
    """Return what ARCHITECTURE.md says is in `name`: the second cell of each row of its table of rooms."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    (section,) = re.findall(r"^## Rooms\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^\| `{re.escape(name)}` \| (.+?) \|$", section, re.MULTILINE)


def test_no_room_is_missing_from_the_list_of_rooms() -> None:
    assert {module.room for module in modules() if module.path.name == "__init__.py"} == {*ROOMS, ""}


@pytest.mark.parametrize("module", IMPORTED, ids=str)
def test_what_it_offers_exists_and_is_described(module: Module) -> None:
    loaded = importlib.import_module(module.name)
    offered = loaded.__all__
    assert len(set(offered)) == len(offered), f"{module}: __all__ names something twice"
    for name in offered:
        value = getattr(loaded, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{module}.{name} has no docstring"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_its_public_functions_and_classes_are_described(module: Module) -> None:
    public = [
        node
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("module", [one for one in IMPORTED if not one.path.name.startswith("_")], ids=str)
def test_it_offers_every_public_function_and_class_it_defines(module: Module) -> None:
    loaded = importlib.import_module(module.name)
    defined = {
        node.name
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    used = {name for other in modules() if other != module for name in used_of(other).get(module.name, ())}
    assert defined & used - set(loaded.__all__) == set(), f"{module}: used elsewhere but not in __all__"


@cache
def used_of(module: Module) -> dict[str, set[str]]:
    """Return the names `module` uses of each other module: imported, or read as attributes of an imported one."""
    used: dict[str, set[str]] = {}
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                used.setdefault(str(node.module), set()).add(alias.name)
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            used.setdefault(aliases[node.value.id], set()).add(node.attr)
    return used


@pytest.mark.parametrize("module", modules(), ids=str)
def test_it_is_not_too_long(module: Module) -> None:
    assert len(module.text.splitlines()) <= MOST_LINES


def test_no_function_is_too_long_but_those_that_say_why() -> None:
    found = {
        f"{module}.{name}": node.end_lineno - node.lineno + 1
        for module in modules()
        for name, node in functions(module.tree)
        if node.end_lineno and node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
    }
    assert {name: lines for name, lines in found.items() if name not in LONG_FUNCTIONS} == {}
    assert {name for name in LONG_FUNCTIONS if name not in found} == set(), (
        "no longer long: take it out of the list"
    )


def test_no_module_is_named_for_no_subject() -> None:
    assert [
        module.name for module in modules() if MODULES_OF_NO_SUBJECT.search(module.name.rpartition(".")[2])
    ] == []


def test_nothing_is_left_to_do_without_an_issue() -> None:
    found = [
        f"{path}:{number}"
        for path, text in repository_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_found"), [("# {}: later", True), ("# {}(#12): later", False), ("{}", True), ("MAS{}N", False)]
)
def test_what_counts_as_left_to_do(line: str, is_found: bool) -> None:
    assert bool(UNFINISHED.search(line.format("TO" + "DO"))) is is_found
