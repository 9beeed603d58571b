"""Rows of a Parquet file, a batch at a time, within stated bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from pylon.errors import Invalid

__all__ = ["MOST_BYTES", "MOST_ROWS", "ParquetRows"]

MOST_ROWS = 5_000_000
MOST_BYTES = 500_000_000
"""Most bytes the columns may hold when decompressed, as the file itself declares them."""

_BATCH_ROWS = 10_000
_MOST_METADATA_BYTES = 10_000_000


class ParquetRows:
    """The rows of a Parquet file as plain values by column, in order."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the file's own description and refuse what cannot be imported.

        Raises `Invalid` for what is no Parquet file, is too large, or has a column of a type that is not taken.
        """
        import pyarrow.parquet

        limits = {
            "thrift_string_size_limit": _MOST_METADATA_BYTES,
            "thrift_container_size_limit": _MOST_METADATA_BYTES,
        }
        with _readable():
            schema = pyarrow.parquet.ParquetFile(stream, **limits).schema_arrow
            # Text stays divided into its different words and where they stand: a file of one long word a million
            # times is as small in memory as it is on disk.
            words = [field.name for field in schema if _is_text(field.type)]
            self._file = pyarrow.parquet.ParquetFile(stream, read_dictionary=words, **limits)
        self.columns = tuple(schema.names)
        self.size = self._file.metadata.num_rows
        self.rows_read = 0
        self._check_size()
        for field in schema:
            _check_type(field)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row; raises `Invalid` when the file turns out to be damaged."""
        with _readable():
            for batch in self._file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                columns = [_values(column) for column in batch.columns]
                self.rows_read += batch.num_rows
                for row in zip(*columns, strict=True):
                    yield dict(zip(self.columns, row, strict=True))

    def _check_size(self) -> None:
        groups = range(self._file.metadata.num_row_groups)
        size = sum(self._file.metadata.row_group(group).total_byte_size for group in groups)
        if self.size > MOST_ROWS or not 0 <= size <= MOST_BYTES:
            raise Invalid(
                f"The Parquet file has {self.size:,} rows of {size:,} bytes in all. At most {MOST_ROWS:,} rows of "
                f"{MOST_BYTES:,} bytes can be read. Divide it."
            )


@contextmanager
def _readable() -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, OverflowError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise Invalid(f"This is no Parquet file that can be read, or it is damaged: {first:.300}") from None


def _is_text(kind: Any) -> bool:
    import pyarrow.types

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _check_type(field: Any) -> None:
    from pyarrow import types

    kind = field.type
    if types.is_timestamp(kind) and kind.tz is None:
        raise Invalid(
            f"Column {field.name!r:.60} has times without a zone, which could be London's or UTC. Write it as "
            "timestamp[us, tz=UTC], or give settlement_date and settlement_period in its place."
        )
    inner = kind.value_type if types.is_dictionary(kind) else kind
    takes = (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, types.is_timestamp)
    if not (_is_text(inner) or types.is_date(kind) or types.is_null(kind) or any(take(kind) for take in takes)):
        raise Invalid(
            f"Column {field.name!r:.60} is of type {str(kind)!r:.80}. Valid: text, boolean, integer, floating, "
            "decimal, date, and timestamp with a zone; none nested. Take it out, or write it as text."
        )


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        words: dict[int, Any] = {}
        places = column.indices.to_pylist()
        for place in places:
            if place is not None and place not in words:
                words[place] = column.dictionary[place].as_py()
        return [None if place is None else words[place] for place in places]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz="UTC"))
    values: list[Any] = column.to_pylist()
    return values
