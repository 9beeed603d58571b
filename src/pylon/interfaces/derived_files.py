"""The derived files of a clone: what each must contain, which are stale, and writing them."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from pylon import errors, interfaces
from pylon.derive import docs, json_schema, sql, typescript
from pylon.errors import Invalid, PylonError
from pylon.interfaces import api_server
from pylon.sources import feed
from pylon.store import migrations

__all__ = ["error_types", "files", "stale", "write"]

_MARKS = ("src/pylon/ontology", "supabase/migrations")
_REFERENCE = Path("docs/reference")


def files(root: Path) -> dict[Path, str]:
    """Return the text of every derived file of the clone at `root`, by its path.

    Raises `Invalid` when `root` is no clone, or is not the one that is running: the text follows from the running
    ontology, so it may be written to that clone alone.
    """
    _check_clone(root)
    document = api_server.openapi()
    pages = {**docs.pages(error_types()), "api.md": docs.api(document), "sources.md": docs.sources(_sources())}
    known = [(migration.version, migration.name) for migration in migrations.files()]
    texts = {
        Path("schema/supabase_schema.sql"): sql.schema(known),
        Path("schema/object_types.json"): _json(json_schema.object_types()),
        Path("schema/object_types.ts"): typescript.types(),
        Path("schema/openapi.json"): _json(_marked(document), sort_keys=True),
        **{_REFERENCE / name: text for name, text in pages.items()},
    }
    return {root / path: text for path, text in texts.items()}


def write(root: Path) -> list[Path]:
    """Bring the derived files of the clone at `root` up to date and return those that changed, sorted.

    A reference page that is derived no more is removed. Raises `Invalid` as `files` does.
    """
    texts = files(root)
    changed = _differing(root, texts)
    for path in changed:
        if path in texts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[path], encoding="utf-8", newline="\n")
        else:
            path.unlink()
    return changed


def stale(root: Path) -> list[Path]:
    """Return the derived files of the clone at `root` that `write` would change, sorted. It changes nothing.

    Raises `Invalid` as `files` does.
    """
    return _differing(root, files(root))


def error_types() -> list[type[PylonError]]:
    """Return every error Pylon can report: the one tree, and what the ways in add to it, sorted by code."""
    found = {error for module in _modules_with_errors() for error in _errors_of(module)}
    return sorted(found, key=lambda error: error.code)


def _differing(root: Path, texts: dict[Path, str]) -> list[Path]:
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_bytes() != text.encode()]
    orphans = [
        path
        for path in (root / _REFERENCE).glob("*.md")
        if path not in texts and path.read_text("utf-8").startswith(docs.HEAD)
    ]
    return sorted([*changed, *orphans])


def _check_clone(root: Path) -> None:
    missing = [mark for mark in _MARKS if not (root / mark).is_dir()]
    if missing:
        raise Invalid(
            f"{root} is not a clone of Pylon: it has no {' and no '.join(missing)}. "
            "Run `pylon derive` at the root of a clone."
        )
    running = Path(errors.__file__).resolve().parent
    if running != (root / "src" / "pylon").resolve():
        raise Invalid(
            f"The Pylon that runs is the one in {running}, not the one in {root}. "
            "Install the clone into this environment with `pip install -e .`, or put its src folder on PYTHONPATH."
        )


def _sources() -> Iterator[dict[str, str]]:
    for source in feed.discover():
        terms = source.terms
        longest = terms.limits.longest_range
        yield {
            "title": terms.title,
            "Name": f"`{terms.name}`",
            "Label of its values": f"`{terms.data_source}`",
            "Supplies": ", ".join(sorted(terms.supplies)),
            "Half hours": " and ".join(sorted(terms.sides, reverse=True)),
            "Rank": str(terms.rank if not terms.is_simulated else 0),
            "Address": terms.base_url or "none: drawn from the seed",
            "Homepage": terms.homepage,
            "Licence": terms.licence,
            "Attribution": terms.attribution,
            "Publishes every": _span(terms.cadence),
            "Delay after its half hour": _span(terms.delay),
            "Asked every": _span(terms.poll_every) if terms.poll_every else "run",
            "Limits": terms.limits.says,
            "Least time between requests": f"{terms.limits.apart_s:g} s",
            "Longest range of one request": _span(longest) if longest else "any",
        }


def _span(span: timedelta) -> str:
    for size, unit in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if span and not span % size:
            return f"{span // size} {unit}"
    return f"{span.total_seconds():g} s"


def _modules_with_errors() -> Iterator[ModuleType]:
    yield errors
    for module in pkgutil.iter_modules(interfaces.__path__, "pylon.interfaces."):
        yield importlib.import_module(module.name)


def _errors_of(module: ModuleType) -> Iterator[type[PylonError]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, PylonError) and value.__module__ == module.__name__:
            yield value


def _marked(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "x-generated": "Generated from pylon.interfaces by `pylon derive`; do not edit."}


def _json(document: dict[str, Any], *, sort_keys: bool = False) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=sort_keys) + "\n"
