"""What the contracts read: the modules of src, their syntax trees, and the files of the repository."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pylon"
ROOMS = ("ontology", "derive", "planning", "sources", "store", "agents", "services", "interfaces", "client")
PURE_ROOMS = ("ontology", "derive", "planning", "agents")


@dataclass(frozen=True)
class Module:
    """One module of the package: its dotted name, its text and its syntax tree."""

    name: str
    path: Path

    @property
    def room(self) -> str:
        """Return the room it lies in, or its own name when it lies in none."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def strings(self) -> tuple[tuple[int, str], ...]:
        """Return every string literal but docstrings, with its line."""
        docs = {
            id(node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        return tuple(
            (node.lineno, node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        )

    def __str__(self) -> str:
        return self.name


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package."""
    return tuple(
        Module(
            ".".join(("pylon", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"), path
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    )


def functions(tree: ast.AST) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function in `tree`, methods and inner ones included, with its qualified name."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{child.name}", child
                yield from visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")
            else:
                yield from visit(child, prefix)

    yield from visit(tree, "")


@cache
def repository_files() -> tuple[Path, ...]:
    """Return every file that is, or is about to be, in the repository: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


@cache
def repository_texts() -> tuple[tuple[str, str], ...]:
    """Return the path (relative to the root) and the text of every file of the repository that is text."""
    found = []
    for path in repository_files():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found.append((str(path.relative_to(ROOT)), data.decode("utf-8", errors="replace")))
    return tuple(found)
