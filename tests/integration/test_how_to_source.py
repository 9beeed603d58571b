"""docs/how-to/add-a-source.md, followed word for word in a copy of the source tree, on real HTTP and PostgreSQL."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.routing import Route

from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.store import migrations
from tests.doubles.postgres import Cluster
from tests.doubles.server import Server, endpoint
from tests.integration.test_how_to_object_type import COPIED, changed, contents

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/add-a-source.md").read_text("utf-8")
MODULE = "src/pylon/sources/house_prices.py"
PRICE = Decimal("134.20")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class HouseServer(Server):
    """The small server of the page: four half hours from the present one, one of them not a price."""

    def __init__(self) -> None:
        super().__init__(now=datetime.now(UTC), routes=[Route("/prices", endpoint(self._prices))])

    def _prices(self) -> dict[str, Any]:
        starts = [floor(self.clock.now) + number * HALF_HOUR for number in range(4)]
        words = [str(PRICE), "128.75", "-3.10", "dear"]
        rows = [
            {"starts_at": f"{at:%Y-%m-%dT%H:%M}Z", "gbp_mwh": word} for at, word in zip(starts, words, strict=True)
        ]
        return {"prices": rows}


@dataclass(frozen=True)
class Followed:
    """The copy after the last step: what changed by hand and by the commands, what was printed, what is stored."""

    by_hand: set[str]
    by_command: set[str]
    printed: str
    prices: dict[str, list[tuple[Any, ...]]]
    root: Path


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Followed]:
    root = tmp_path_factory.mktemp("clone")
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, root / name)
    dsn = cluster.create("how_to_source")
    migrations.apply(dsn)
    with HouseServer() as server:
        run(root, dsn, "pylon derive", server.url)  # whatever else is not current here is not this page's doing
        start = contents(root)
        (module,) = blocks("python")
        (root / MODULE).write_text(module.replace("http://127.0.0.1:9100", server.url), "utf-8")
        edited = contents(root)
        printed = "".join(
            run(root, dsn, command, server.url) for block in blocks("sh") for command in block.splitlines()
        )
    with psycopg.connect(dsn) as connection:
        connection.execute("set role anon")
        rows = connection.execute(
            "select provenance ->> 'price', wholesale_price_gbp_mwh from public.grid_signals order by \"timestamp\""
        ).fetchall()
    prices: dict[str, list[tuple[Any, ...]]] = {}
    for label, price in rows:
        prices.setdefault(label, []).append(price)
    yield Followed(changed(start, edited), changed(edited, contents(root)), printed, prices, root)
    cluster.drop("how_to_source")


def run(root: Path, dsn: str, command: str, closed: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(root / "src"), "DATABASE_URL": dsn}
    environment |= {"PYLON_HOME": str(root / "home"), "PYLON_SYNTHETIC": "off"}
    # The other APIs are not there: what answers at this address knows none of their paths.
    environment |= {f"PYLON_{api}_URL": f"{closed}/none" for api in ("CARBON_INTENSITY", "NESO", "ELEXON")}
    environment |= {"PYLON_HTTP_ATTEMPTS": "1"}
    done = subprocess.run(
        ["sh", "-euc", command], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_one_file_is_written_by_hand(followed: Followed) -> None:
    assert followed.by_hand == {MODULE}
    assert f"`{MODULE}`" in PAGE


def test_the_commands_write_the_page_of_the_sources_alone(followed: Followed) -> None:
    assert followed.by_command == {"docs/reference/sources.md"}
    page = (followed.root / "docs/reference/sources.md").read_text("utf-8")
    assert "## House prices" in page
    assert "Prices: Example Trading" in page


def test_its_prices_are_stored_under_its_label_and_the_simulator_keeps_to_the_past(followed: Followed) -> None:
    assert followed.prices["house_prices"] == [PRICE, Decimal("128.75"), Decimal("-3.10")]
    assert len(followed.prices["simulated"]) >= 48, "the past, of which the source does not speak"
    assert len(followed.prices.get(None, [])) >= 90, "what it did not give stays unknown"


def test_the_run_says_how_it_fared(followed: Followed) -> None:
    assert "House prices" in followed.printed
    assert "refused price {'starts_at':" in " ".join(followed.printed.split())
    assert "half hours missing" in followed.printed
