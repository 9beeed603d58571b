"""Every setting and every error is described, and its description reaches the reference."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from pylon.errors import PylonError
from pylon.interfaces.derived_files import error_types
from pylon.settings import Settings, variable
from tests.contracts.source import ROOT, modules

REFERENCE = ROOT / "docs" / "reference"
ERRORS = error_types()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_described_in_one_line_and_listed(name: str) -> None:
    description = Settings.model_fields[name].description or ""
    assert re.fullmatch(r"[A-Z].*\.", description), f"{name}: {description!r} is not a sentence"
    rows = (REFERENCE / "settings.md").read_text("utf-8").splitlines()
    (row,) = (row for row in rows if row.startswith(f"| `{variable(name)}`"))
    assert row.endswith(f"| {description} |")


def test_every_variable_of_pylon_that_src_names_is_a_setting() -> None:
    known = {variable(name) for name in Settings.model_fields}
    named = {
        (module.name, word)
        for module in modules()
        for _, text in module.strings
        for word in re.findall(r"\bPYLON_[A-Z_]+\b", text)
    }
    assert {(module, word) for module, word in named if word not in known and not word.endswith("_")} == set()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_is_described_and_listed(error: type[PylonError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert 400 <= error.status <= 599
    doc = error.__doc__ or ""
    assert re.match(r"[A-Z].*\.", doc), f"{error.__name__} needs a docstring: it is the default message"
    row = f"| `{error.code}` | {error.status} | `{error.__name__}` | {' '.join(doc.split())} |"
    assert row in (REFERENCE / "errors.md").read_text("utf-8")


def test_every_error_has_a_code_of_its_own() -> None:
    assert [code for code, count in Counter(error.code for error in ERRORS).items() if count > 1] == []
    assert [error.__name__ for error in ERRORS if "code" not in vars(error)] == []


def test_errors_are_declared_in_the_tree_or_in_the_interfaces() -> None:
    listed = {error.__name__ for error in ERRORS}
    declared = {
        (module.name, name)
        for module in modules()
        for name in re.findall(rf"^class (\w+)\((?:{'|'.join(sorted(listed))})\):", module.text, re.MULTILINE)
    }
    assert {name for _, name in declared} | {"PylonError"} == listed
    assert {module for module, _ in declared if module != "pylon.errors" and ".interfaces." not in module} == set()
