"""`pylon backtest` from end to end: the table, the JSON, the picture, and what it refuses before it works."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pylon.errors import Invalid
from pylon.interfaces.cli import app
from tests.unit.services.backtests import STARTS_AT, made_up, write

START, END = "2023-03-07", "2023-03-08"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(made_up(days=10), tmp_path_factory.mktemp("record"))


def run(folder: Path, *words: str, days: Sequence[str] = ("--from", START, "--to", END)) -> Result:
    words = ("backtest", "--data", str(folder), *days, "--workloads", "50", *words)
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


def test_the_table_has_every_policy_and_says_what_is_simulated(folder: Path) -> None:
    result = run(folder)

    assert result.exit_code == 0, result.output
    for words in ("run now", "greedy", "Pylon", "perfect foresight", "SIMULATED", "Back-test 2023-03-07"):
        assert words in result.output
    assert "SIMULATED: prices, regional carbon, forecasts by lead, sites, workloads." in result.output
    assert "(mean of 1 week;" in result.output


def test_the_json_adds_up_and_the_picture_says_what_is_what(folder: Path, tmp_path: Path) -> None:
    found = json.loads(run(folder, "--json", "--picture", str(tmp_path / "out.svg")).stdout)

    assert found["simulated"]
    assert found["starts_at"].startswith(START)
    assert len(found["weeks"]) == 1
    for name, policy in found["policies"].items():
        week = found["weeks"][0]["policies"][name]
        assert week["total_gbp"] == policy["total_gbp"]
        assert policy["saved_gbp"] == pytest.approx(found["policies"]["run now"]["total_gbp"] - policy["total_gbp"])
    drawn = (tmp_path / "out.svg").read_text("utf-8")
    for words in ("national carbon, recorded", "price, SIMULATED", "load before: run now", "load after: Pylon"):
        assert re.search(rf"<!-- {words}", drawn), words


def test_what_could_not_be_drawn_is_refused_before_the_work(folder: Path, tmp_path: Path) -> None:
    for path, says in ((tmp_path / "out.jpg", "Valid: .svg, .png"), (tmp_path / "no" / "out.svg", "no folder")):
        result = run(folder, "--picture", str(path))
        assert isinstance(result.exception, Invalid)
        assert says in result.exception.detail


def test_a_day_that_is_none_is_refused(folder: Path) -> None:
    result = run(folder, days=("--from", "yesterday"))

    assert isinstance(result.exception, Invalid)
    assert "--from 'yesterday'" in result.exception.detail


def test_a_stretch_beyond_the_record_says_what_there_is(folder: Path) -> None:
    end = STARTS_AT + timedelta(days=11)
    result = run(folder, days=("--to", f"{end:%Y-%m-%d}"))

    assert isinstance(result.exception, Invalid)
    assert "holds the London days 2023-03-06 to 2023-03-15, and not 2023-03-17." in result.exception.detail


def test_a_day_of_summer_time_is_named_as_it_was_given(folder: Path) -> None:
    result = run(folder, days=("--from", "2026-08-01"))

    assert isinstance(result.exception, Invalid)
    assert "holds the London days 2023-03-06 to 2023-03-15, and not 2026-08-01." in result.exception.detail
