"""queries.sql: every query named, described where it needs it, used, and every name that is used there."""

from __future__ import annotations

import ast
import re

import pytest

from pylon.store.migrations import split
from pylon.store.queries import QUERIES
from tests.contracts.source import PACKAGE, modules

TEXT = (PACKAGE / "store/queries.sql").read_text("utf-8")
CALLERS = ("all", "one", "value", "run")


def called() -> set[tuple[str, str]]:
    """Return every (module, name) that is handed to a transaction, or looked up in QUERIES."""
    found = set()
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLERS:
                receiver, arguments = ast.unparse(node.func.value), node.args
                is_ours = receiver.split(".")[-1] in ("transaction", "_transaction", "self")
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "QUERIES":
                arguments, is_ours = [node.slice], True
            else:
                continue
            if is_ours and arguments and isinstance(arguments[0], ast.Constant):
                found.add((module.name, str(arguments[0].value)))
    return found


def test_every_name_that_is_called_is_a_query() -> None:
    names = called()
    assert len(names) > 10  # or this test looks for calls in the wrong place
    assert {(module, name) for module, name in names if name not in QUERIES} == set()


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_called(name: str) -> None:
    assert any(text == name for module in modules() for _, text in module.strings), f"nothing runs {name}"


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_one_statement(name: str) -> None:
    assert len(split(QUERIES[name].decode())) == 1


def test_every_statement_stands_under_a_name() -> None:
    head, *_ = re.split(r"^-- name: ", TEXT, maxsplit=1, flags=re.MULTILINE)
    assert all(line.startswith("--") or not line for line in head.splitlines())
    assert TEXT.count("-- name:") == len(QUERIES)
    assert all(re.fullmatch(r"[a-z][a-z_0-9]*", name) for name in QUERIES)


def test_values_are_named_never_positional_and_never_pasted_in() -> None:
    for name, query in QUERIES.items():
        body = re.sub(r"--[^\n]*", "", query.decode())
        assert re.findall(r"%(?!\(\w+\)s|%)", body) == [], name
        assert "{" not in re.sub(r"'[^']*'", "", body), name
