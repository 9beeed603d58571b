"""Parquet files: plain values of every type taken, and bounds that no file gets around."""

from __future__ import annotations

import io
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pylon.errors import Invalid
from pylon.sources import _parquet, files
from pylon.sources.files import FileRow, Form

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def written(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def read(data: bytes) -> list[FileRow]:
    return list(files.read(io.BytesIO(data), Form.PARQUET).rows)


def test_every_type_taken_comes_as_a_plain_value():
    data = written(
        text=["=1+1", None],
        word=pa.array(["a", "a"]).dictionary_encode(),
        whole=pa.array([1, None], pa.int16()),
        broken=[1.5, None],
        exact=pa.array([Decimal("1.250"), None]),
        yes=[True, None],
        day=[date(2026, 11, 22), None],
        at=pa.array([NOW, None], pa.timestamp("ns", "Europe/London")),
        nothing=pa.nulls(2),
    )
    first, second = read(data)
    assert first == FileRow(
        1,
        {
            "text": "=1+1",
            "word": "a",
            "whole": 1,
            "broken": 1.5,
            "exact": Decimal("1.250"),
            "yes": True,
            "day": date(2026, 11, 22),
            "at": NOW,
            "nothing": None,
        },
    )
    assert second.line == 2
    assert {name for name, value in second.values.items() if value is not None} == {"word"}


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array([NOW.replace(tzinfo=None)]), "times without a zone"),
        (pa.array([[1]]), "none nested"),
        (pa.array([{"a": 1}]), "none nested"),
        (pa.array([b"x"]), "is of type 'binary'"),
        (pa.array([NOW.time()]), "Valid: text, boolean"),
    ],
)
def test_a_column_of_another_type_is_refused_with_what_to_do(column, says):
    with pytest.raises(Invalid) as refused:
        read(written(fine=["x"], odd=column))
    assert "'odd'" in refused.value.detail
    assert says in refused.value.detail


GOOD = written(a=[f"word {n}" for n in range(1000)])


@pytest.mark.parametrize(
    "data",
    [
        b"PAR1",
        b"a,b\n1,2\n" * 10,
        b"PAR1" + bytes(50) + b"PAR1",
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        GOOD[:20] + bytes(200) + GOOD[220:],
        GOOD[:-8] + b"\xff\xff\xff\x7fPAR1",
    ],
    ids=["magic", "text", "zeros", "cut", "half", "overwritten", "footer"],
)
def test_what_is_no_parquet_or_is_damaged_is_refused(data):
    with pytest.raises(Invalid, match="no Parquet file that can be read"):
        read(data)


def test_more_rows_or_bytes_than_stated_are_refused_before_they_are_read(monkeypatch):
    for bound in ("MOST_ROWS", "MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(_parquet, bound, 999)
            with pytest.raises(Invalid, match="At most"):
                files.read(io.BytesIO(GOOD), Form.PARQUET)


def test_a_bomb_of_repeated_text_stays_as_small_as_it_is_packed():
    """50,000 times the same megabyte: 50 GB when written out, some tens of kilobytes on disk."""
    word, times = "x" * 1_000_000, 50_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([word]))
    data = written(a=column)
    assert len(data) < 1_000_000
    tracemalloc.start()
    arrow_before = pa.total_allocated_bytes()
    length = 0
    for row in files.read(io.BytesIO(data), Form.PARQUET).rows:
        length += len(row.values["a"])
        assert pa.total_allocated_bytes() - arrow_before < 100_000_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == times * len(word)
    assert peak < 50_000_000
