"""Options of commands: the examples in their help can be typed as they stand, and numbers are told their range."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pylon.errors import PylonError
from pylon.interfaces.cli import app

_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[\w:]*")
_ARGUMENTS = {"signals": ["national.demand_mw"]}
"""Without which an option has no meaning."""


def options(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, one in getattr(command, "commands", {}).items():
        yield from options(one, (*words, name))
    yield from ((words, one) for one in command.params if one.param_type_name == "option")


EXAMPLES = [
    (*words, option.opts[0], example)
    for words, option in options(typer.main.get_command(app))
    for example in _TIME.findall(option.help or "")
]


def test_every_command_with_a_time_has_an_example() -> None:
    assert {words[0] for words in EXAMPLES} == {"pipeline", "signals", "windows", "report", "backtest"}


@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_the_example_of_a_time_is_one_that_is_read(words: tuple[str, ...], tmp_path: Path) -> None:
    """The settings that are read after it are what is refused: no command gets as far as starting anything."""
    more = ["--data", str(tmp_path)] if words[0] == "backtest" else _ARGUMENTS.get(words[0], [])
    result = CliRunner(env={"PYLON_HOME": str(tmp_path), "PYLON_PORT": "none"}).invoke(app, [*words, *more])

    assert isinstance(result.exception, PylonError), result.output
    assert words[-2] not in result.exception.detail
    assert result.exception.detail.startswith(("PYLON_PORT", "No CSV or Parquet file"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("demo --pace nan", "'--pace': it must be a number, 0 to 3,600; not 'nan'."),
        ("demo --pace inf", "'--pace': it must be a number, 0 to 3,600; not 'inf'."),
        ("demo --pace 1e400", "'--pace': it must be a number, 0 to 3,600; not '1e400'."),
        ("demo --pace 1e300", "'--pace': it must be a number, 0 to 3,600; not '1e300'."),
        ("demo --pace=-0.1", "'--pace': it must be a number, 0 to 3,600; not '-0.1'."),
        ("demo --hours 169", "'--hours': it must be a whole number, 1 to 168; not '169'."),
        ("windows --hours nan", "'--hours': it must be a number, 0.25 to 47; not 'nan'."),
        ("windows --hours=-inf", "'--hours': it must be a number, 0.25 to 47; not '-inf'."),
        ("windows --hours two", "'--hours': it must be a number, 0.25 to 47; not 'two'."),
        ("windows --region 15", "'--region': it must be a whole number, 1 to 14; not '15'."),
        ("windows --region 1.5", "'--region': it must be a whole number, 1 to 14; not '1.5'."),
        ("windows --top 0", "'--top': it must be a whole number, 1 to 10; not '0'."),
        ("decide --limit=-1", "'--limit': it must be a whole number, 0 or more; not '-1'."),
        ("audit replay --last 0", "'--last': it must be a whole number, 1 to 1,000,000,000; not '0'."),
        (f"audit export --from {'9' * 5000}", f"1 or more; not '{'9' * 40}...'."),
    ],
)
def test_a_number_out_of_range_is_told_the_range_before_anything_starts(
    words: str, says: str, tmp_path: Path
) -> None:
    result = CliRunner(env={"PYLON_HOME": str(tmp_path), "COLUMNS": "200"}).invoke(app, words.split())

    assert result.exit_code == 2
    assert says in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["windows --hours 0.25 --region 14 --top 10", "windows --hours 47"])
def test_the_ends_of_a_range_are_in_it(words: str, tmp_path: Path) -> None:
    result = CliRunner(env={"PYLON_HOME": str(tmp_path), "PYLON_PORT": "none"}).invoke(app, words.split())

    assert isinstance(result.exception, PylonError)
    assert result.exception.detail.startswith("PYLON_PORT")
