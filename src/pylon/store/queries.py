"""The named queries of queries.sql, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

__all__ = ["QUERIES"]

_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _read(text: str) -> dict[str, bytes]:
    _, *parts = _HEAD.split(text)
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"queries.sql names a query twice: {sorted(n for n in names if names.count(n) > 1)}")
    return {name: body.strip().rstrip(";").encode() for name, body in zip(names, bodies, strict=True)}


QUERIES: Mapping[str, bytes] = _read((resources.files("pylon.store") / "queries.sql").read_text("utf-8"))
