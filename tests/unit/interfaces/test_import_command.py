"""What `pylon import` says on the terminal while it reads, and what it makes of a file's name."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pylon.interfaces.import_command import ROWS_A_LINE, label_of, rows_told
from pylon.services import import_rows
from pylon.sources import files
from pylon.sources.files import Form

PART = 10_000


def told(*, is_terminal: bool, parts: int) -> str:
    """Return what is said while a file of so many parts is read."""
    said = io.StringIO()
    console = Console(file=said, force_terminal=is_terminal, width=100)
    sheet = files.read(io.BytesIO(b"tariff,starts_at\nt,2026-11-01T00:00Z\n"), Form.CSV)
    with rows_told(sheet, console) as progress:
        assert len(list(sheet.rows)) == 1
        for part in range(1, parts + 1):
            progress(part * PART)
    return said.getvalue()


def test_a_terminal_shows_the_rows_read_and_how_far_the_file_is() -> None:
    said = told(is_terminal=True, parts=25)
    assert "250,000 rows" in said
    assert "100%" in said


def test_where_there_is_no_terminal_a_line_comes_each_hundred_thousand_rows() -> None:
    assert ROWS_A_LINE == 100_000
    assert told(is_terminal=False, parts=25) == "100,000 rows read\n200,000 rows read\n"
    assert told(is_terminal=False, parts=9) == ""


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("prices.csv", "prices"),
        ("MID prices_2.1.csv", "MID prices_2.1"),
        ("prices (1) é.csv", "prices -1- -"),
        ("_-. x.csv", "x"),
        ("é.csv", "file"),
        ("x" * 60 + ".csv", "x" * 43),
    ],
)
def test_the_name_of_a_file_is_made_a_label(name: str, label: str) -> None:
    assert label_of(Path(name)) == label
    assert import_rows.LABEL.fullmatch(label)
