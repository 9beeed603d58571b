"""docs/how-to/import-your-own-data.md: its files, imported by its commands, are stored as it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pylon.services import operators, synthesise
from pylon.services.import_rows import BAD_ROWS_KEPT
from pylon.services.import_types import TYPES
from pylon.services.live_state import live_state
from pylon.services.operators import LOCAL_OPERATOR_ID
from pylon.sources import _parquet, files
from pylon.store.database import Database
from tests.acceptance.support import Ended, ran
from tests.conftest import NOW, Superuser

PAGE = (Path(__file__).parents[2] / "docs/how-to/import-your-own-data.md").read_text("utf-8")
FILES: dict[str, str] = dict(re.findall(r"^`(\w+\.csv)`.*?\n\n```csv\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^pylon (import .*)$", PAGE, re.MULTILINE)

Run = Callable[[str], Ended]


@pytest.fixture
def run(dsn: str, tmp_path: Path) -> Run:
    """Run a command of the page, in a folder with its files, on a new database."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")

    def run_command(line: str) -> Ended:
        words = [str(tmp_path / word) if word.endswith(".csv") else word for word in shlex.split(line)]
        return ran(*words, DATABASE_URL=dsn)

    return run_command


@pytest.mark.parametrize("has_simulated_fleet", [False, True], ids=["new", "filled by make up"])
def test_every_command_of_the_page_works_in_its_order(
    run: Run, database: Database, superuser: Superuser, *, has_simulated_fleet: bool
) -> None:
    if has_simulated_fleet:
        assert synthesise.ensure_fleet(database, operators.acting(database, None, now=NOW), seed=2025)
    ended = [run(line) for line in COMMANDS]
    assert [one.code for one in ended] == [0] * len(COMMANDS), [one.said for one in ended if one.code]
    assert "A dry run: nothing was stored." in ended[0].said
    again = {line for line in COMMANDS if line.startswith(("import fleet.csv --report", "import fleet.csv --skip"))}
    told = {line for line, one in zip(COMMANDS, ended, strict=True) if "the file says nothing new" in one.said}
    assert told == again
    state = live_state(database, LOCAL_OPERATOR_ID, NOW)
    sites = {row["dc_id"]: row for row in own(state, "DataCentre")}
    assert {name: row["tariff"] for name, row in sites.items()} == {"READING-1": "day-night", "LIVINGSTON-1": None}
    batteries = {row["asset_id"]: row["co_located_dc_id"] for row in own(state, "StorageAsset")}
    assert batteries == {"READING-BESS": sites["READING-1"]["id"], "FIFE-BESS": None}
    assert stored(superuser, "select price_gbp_mwh::float8 from tariff_rates order by starts_at") == [95, 212.5, 95]
    prices = "select wholesale_price_gbp_mwh::float8 from grid_signals order by timestamp"
    assert stored(superuser, prices) == [71.2, 68.95, -4.1, None]
    labels = "select distinct provenance ->> 'demand' from grid_signals"
    assert stored(superuser, labels) == ["import:broker"]


def own(state: dict[str, Any], object_type: str) -> list[dict[str, Any]]:
    return [row for row in state["objects"][object_type] if not row["is_simulated"]]


def stored(superuser: Superuser, query: str) -> list[Any]:
    with superuser() as connection:
        return [value for (value,) in connection.execute(query.encode()).fetchall()]


def test_the_page_has_a_file_for_each_step() -> None:
    assert set(FILES) == {"fleet.csv", "batteries.csv", "tariff.csv", "prices.csv"}
    assert {shlex.split(line)[1] for line in COMMANDS} == set(FILES)


def test_the_page_names_every_type_every_quantity_and_every_bound() -> None:
    for kind in TYPES.values():
        assert f"`{kind.name}`" in PAGE
        assert [name for name in kind.quantities if f"`{name}`" not in PAGE] == []
    for bound in (
        files.MOST_JSON_BYTES,
        files.MOST_LINE_BYTES,
        _parquet.MOST_ROWS,
        _parquet.MOST_BYTES,
        BAD_ROWS_KEPT,
    ):
        assert f"{bound:,}" in PAGE
