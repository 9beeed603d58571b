"""Reading a record: forms of files, what is missing or false in it, and what is refused."""

from __future__ import annotations

import gzip
import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from pylon.errors import Invalid, NotFound
from pylon.ontology.calendar import HALF_HOUR
from pylon.services._backtest_record import read_record
from tests.unit.services.backtests import DAY, STARTS_AT, made_up, text_of, write


def test_a_csv_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = made_up(days=2)

    found = read_record(write(record, tmp_path))

    assert (found.starts_at, found.half_hours, found.ends_at) == (STARTS_AT, 96, STARTS_AT + timedelta(days=2))
    for name in ("carbon_actual", "carbon_forecast", "demand_mw", "carbon_by_mix", "demand_forecast_mw"):
        assert np.array_equal(getattr(found, name), getattr(record, name)), name


def test_files_add_up_whatever_their_form_and_others_are_passed_over(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    record = made_up(days=2)
    (tmp_path / "a.csv.gz").write_bytes(
        gzip.compress(text_of(record.cut(STARTS_AT, STARTS_AT + HALF_HOUR * 50)).encode())
    )
    rest = record.cut(STARTS_AT + HALF_HOUR * 50, record.ends_at)
    table = pyarrow.table(
        {
            "start_utc": pyarrow.array(
                [rest.starts_at + row * HALF_HOUR for row in range(rest.half_hours)], pyarrow.timestamp("us", "UTC")
            ),
            "ci_api_actual": rest.carbon_actual,
            "ci_api_forecast": rest.carbon_forecast,
            "nd_mw": rest.demand_mw,
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "b.parquet")
    (tmp_path / "prices.csv").write_text("startTime,price\n2023-03-06T00:00Z,50\n")
    (tmp_path / "README.md").write_text("About the files.\n")

    found = read_record(tmp_path)

    assert np.array_equal(found.carbon_actual, record.carbon_actual)
    assert np.array_equal(found.carbon_by_mix[:50], record.carbon_by_mix[:50])
    assert np.isnan(found.carbon_by_mix[50:]).all()


def test_half_hours_between_files_are_not_known(tmp_path: Path) -> None:
    record = made_up(days=3)
    (tmp_path / "a.csv").write_text(text_of(record.cut(STARTS_AT, STARTS_AT + timedelta(days=1))))
    (tmp_path / "b.csv").write_text(text_of(record.cut(STARTS_AT + timedelta(days=2), record.ends_at)))

    found = read_record(tmp_path)

    assert np.flatnonzero(np.isnan(found.demand_mw)).tolist() == list(range(DAY, 2 * DAY))


def test_carbon_that_is_false_or_missing_is_that_of_the_mix() -> None:
    record = made_up(days=1)
    record.carbon_actual[[5, 20]] = 0.0
    record.carbon_actual[30] = math.nan
    record.carbon_by_mix[20] = math.nan

    carbon, by_mix = record.carbon()

    assert by_mix == 2
    assert carbon[[5, 30]].tolist() == record.carbon_by_mix[[5, 30]].tolist()
    assert np.flatnonzero(np.isnan(carbon)).tolist() == [20], "neither is known: never 0"


def test_a_cut_has_what_there_is() -> None:
    record = made_up(days=2)

    cut = record.cut(STARTS_AT - timedelta(days=1), STARTS_AT + timedelta(hours=1))

    assert (cut.starts_at, cut.half_hours) == (STARTS_AT, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("start_utc,ci_api_actual,ci_api_forecast,nd_mw\n2023-03-06T00:10Z,1,1,1\n", "line 2: start_utc"),
        ("start_utc,ci_api_actual,ci_api_forecast,nd_mw\n2023-03-06T00:30,1,1,1\n", "with a zone"),
        ("start_utc,ci_api_actual,ci_api_forecast,nd_mw\n2023-03-06T00:30Z,many,1,1\n", "ci_api_actual 'many'"),
        ("start_utc,ci_api_actual,ci_api_forecast,nd_mw\n2023-03-06T00:30Z,1,1\n", "line 2: it has 3 values"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_by_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "record.csv").write_text(text)

    with pytest.raises(Invalid, match=says):
        read_record(tmp_path)


def test_what_is_no_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.csv.gz").write_bytes(b"start_utc")

    with pytest.raises(Invalid, match="not gzip"):
        read_record(tmp_path)


def test_a_folder_without_a_record_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("startTime,price\n2023-03-06T00:00Z,50\n")

    with pytest.raises(NotFound, match="start_utc, ci_api_actual, ci_api_forecast, nd_mw"):
        read_record(tmp_path)
    with pytest.raises(NotFound, match="There is no folder"):
        read_record(tmp_path / "elsewhere")
