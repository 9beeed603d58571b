"""No clock and no randomness below the interfaces, and no SQL outside the store and derive."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylon.derive import sql
from pylon.store.queries import QUERIES
from tests.contracts.source import PACKAGE, Module, modules

CLOCKS = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "time.ctime",
    "time.strftime",
}
STOPWATCHES = {
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.process_time",
}
TIMED_ROOMS = {"pipeline", "sources", "store"}
RANDOM_ROOTS = ("random.", "secrets.", "numpy.random.")
RANDOM_NAMES = {"os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4", "uuid.getnode"}
# Made with a seed these are as determined as their seed; without one, they ask the machine for it.
SEEDED = {
    "random.Random",
    "numpy.random.default_rng",
    "numpy.random.PCG64",
    "numpy.random.Philox",
    "numpy.random.SeedSequence",
}
TYPES = {"numpy.random.Generator", "numpy.random.BitGenerator"}

# Each use that is right all the same, with the reason. Take one out when it is no longer there.
ALLOWED = {
    ("pylon.store.keeper", "time.time"): "a process of its own; its report says since when the server is ready",
    ("pylon.store.keeper", "secrets.token_urlsafe"): "the password of the embedded server",
    ("pylon.store.keeper", "secrets.token_hex"): "the name of a data folder that is not finished yet",
}

SQL = re.compile(
    r"\bselect\b.+\bfrom\b|\binsert\s+into\b|\bupdate\s+[\w.\"]+\s+set\b|\bdelete\s+from\b|\btruncate\s+table\b",
    re.IGNORECASE | re.DOTALL,
)
SQL_ROOMS = {"store", "derive"}
SQL_CLOCK = re.compile(
    r"\b(?:now\s*\(|clock_timestamp\s*\(|statement_timestamp\s*\(|transaction_timestamp\s*\(|current_timestamp\b"
    r"|current_date\b|localtimestamp\b|random\s*\(|gen_random_uuid\s*\(|setseed\s*\()",
    re.IGNORECASE,
)


def names_in(tree: ast.AST) -> Iterator[tuple[str, ast.AST, ast.Call | None]]:
    """Yield every dotted name in full (`dt.now` is `datetime.datetime.now`), with the call it is the head of."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {
                (alias.asname or alias.name.partition(".")[0]): (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            aliases |= {(alias.asname or alias.name): f"{node.module}.{alias.name}" for alias in node.names}
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            head, _, rest = name.partition(".")
            if head in aliases:
                yield f"{aliases[head]}{'.' if rest else ''}{rest}", node, calls.get(id(node))


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def impurities(tree: ast.AST, *, may_time: bool = False) -> set[str]:
    """Return the clocks and sources of randomness that a module uses."""
    return {name for name, _, call in names_in(tree) if is_impure(name, call, may_time)}


def is_impure(name: str, call: ast.Call | None, may_time: bool) -> bool:
    if name in CLOCKS or name in RANDOM_NAMES:
        return True
    if name in STOPWATCHES:
        return not may_time
    if not name.startswith(RANDOM_ROOTS) or name in TYPES:
        return False
    if name in SEEDED:
        return call is not None and not (call.args or call.keywords)
    return True


@pytest.mark.parametrize(
    "module", [one for one in modules() if one.room not in ("interfaces", "__main__")], ids=str
)
def test_it_asks_no_clock_and_no_dice(module: Module) -> None:
    found = impurities(module.tree, may_time=module.room in TIMED_ROOMS)
    assert {name for name in found if (module.name, name) not in ALLOWED} == set()


def test_what_is_allowed_is_still_there() -> None:
    used = {(module.name, name) for module in modules() for name in impurities(module.tree, may_time=True)}
    assert set(ALLOWED) - used == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from datetime import datetime\ndatetime.now(UTC)", {"datetime.datetime.now"}),
        ("import datetime as dt\ndt.datetime.utcnow()", {"datetime.datetime.utcnow"}),
        ("from datetime import date\nday = date.today()", {"datetime.date.today"}),
        ("import time\nclock = time.time", {"time.time"}),
        ("from time import perf_counter\nperf_counter()", {"time.perf_counter"}),
        ("import random\nrandom.shuffle(rows)", {"random.shuffle"}),
        ("import random\nrandom.Random()", {"random.Random"}),
        ("import random\ndice = random.Random(seed)\ndice.random()", set()),
        ("import random\ndef draw(dice: random.Random) -> float: ...", set()),
        ("import numpy as np\nnp.random.rand(3)", {"numpy.random.rand"}),
        ("import numpy as np\nnp.random.default_rng()", {"numpy.random.default_rng"}),
        ("import numpy as np\nnp.random.default_rng(7)", set()),
        ("from uuid import uuid4\nField(default_factory=uuid4)", {"uuid.uuid4"}),
        ("import os\nos.urandom(10)", {"os.urandom"}),
        ("import secrets\nsecrets.token_hex()", {"secrets.token_hex"}),
        ("def run(request): return request.now.time()", set()),
    ],
)
def test_what_counts_as_a_clock_or_dice(text: str, found: set[str]) -> None:
    assert impurities(ast.parse(text)) == found


@pytest.mark.parametrize("module", [one for one in modules() if one.room not in SQL_ROOMS], ids=str)
def test_it_has_no_sql(module: Module) -> None:
    assert [(line, text) for line, text in module.strings if SQL.search(text)] == []


@pytest.mark.parametrize(
    ("text", "is_sql"),
    [
        ("select id\nfrom public.agents", True),
        ("INSERT INTO agents", True),
        ("update public.leases set holder", True),
        ("delete  from agents", True),
        ("Select a region, then read from the list", True),  # rather one too many
        ("Run `pylon db migrate` to update the schema", False),
        ("order_by recorded_at desc", False),
    ],
)
def test_what_counts_as_sql(text: str, is_sql: bool) -> None:
    assert bool(SQL.search(text)) is is_sql


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_told_the_time(name: str) -> None:
    assert SQL_CLOCK.search(without_comments(QUERIES[name].decode())) is None


@pytest.mark.parametrize("path", sorted((PACKAGE / "derive/fragments").glob("*.sql")), ids=lambda path: path.stem)
def test_an_sql_function_is_told_the_time(path: Path) -> None:
    found = SQL_CLOCK.findall(without_comments(sql.fragment(path.stem)))
    # The trigger that stamps updated_at is the one place where the database's own clock is meant; ids of series
    # rows mean nothing to anyone, so the database makes them (docs/decisions/0008).
    allowed = {"20_triggers": ["now("], "50_ingest": ["gen_random_uuid(", "gen_random_uuid("]}
    assert found == allowed.get(path.stem, [])


def without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)
