"""Files: CSV, JSON, JSON lines and Parquet, read into rows whose lines are numbered.

CSV and JSON lines are read as they come, Parquet a batch at a time, a JSON file as a whole. Everything is UTF-8. A
line that is no row is a row with a fault, so that whoever reads can name every one; a file that cannot be read at
all is refused.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from pylon.errors import Invalid, NotFound
from pylon.sources._parquet import ParquetRows

__all__ = ["MOST_COLUMNS", "MOST_JSON_BYTES", "MOST_LINE_BYTES", "FileRow", "Form", "Sheet", "opened", "read"]

MOST_COLUMNS = 1000
MOST_JSON_BYTES = 32_000_000
MOST_LINE_BYTES = 1_000_000

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Form(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON = "json"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


_SUFFIXES = {
    ".csv": Form.CSV,
    ".json": Form.JSON,
    ".jsonl": Form.JSON_LINES,
    ".ndjson": Form.JSON_LINES,
    ".parquet": Form.PARQUET,
}


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row: its values by the file's own column names, or why the line is none.

    `line` is the line of the text on which the row begins; of JSON and Parquet, the number of the row.
    """

    line: int
    values: Mapping[str, Any]
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A file being read: its columns, and its rows in order, to be read once."""

    columns: tuple[str, ...]
    """The columns; of JSON, those of the first row."""
    is_regular: bool
    """Whether every row has these columns and no others."""
    rows: Iterator[FileRow]
    size: int
    """How much there is to read, and `done` how much is read: bytes, or rows of a form that counts them."""
    done: Callable[[], int]
    renames: Mapping[str, str] = field(default_factory=dict)
    """The `map` of a JSON document: Pylon's columns by the file's."""


@contextmanager
def opened(path: Path) -> Iterator[Sheet]:
    """Open the file until the block ends; its ending says how it is written.

    Raises `NotFound` when it is not there and `Invalid` when it cannot be read.
    """
    form = _SUFFIXES.get(path.suffix.lower())
    if path.is_dir():
        raise Invalid(f"{path} is a folder. Name one file; import several one after the other.")
    if form is None:
        raise Invalid(f"{path.name} has an ending that says nothing. Valid: {', '.join(_SUFFIXES)}.")
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be opened: {error.strerror}.") from None
    with stream:
        yield read(stream, form)


def read(stream: BinaryIO, form: Form) -> Sheet:
    """Return the rows of what is written in `stream`; it is read as the rows are.

    Raises `Invalid`, now or while the rows are read, when it is not of that form.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise Invalid("The file is empty. It needs the names of its columns and a row at least.")
    readers = {Form.CSV: _csv, Form.JSON: _json, Form.JSON_LINES: _json_lines, Form.PARQUET: _parquet}
    return readers[form](stream, size)


class _Lines:
    """The lines of a text, decoded, with their endings; counts the bytes as they are read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._line = 0
        self.bytes_read = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(MOST_LINE_BYTES + 1):
            self._line += 1
            if len(line) > MOST_LINE_BYTES:
                raise Invalid(f"Line {self._line} is longer than {MOST_LINE_BYTES:,} bytes. Divide it into lines.")
            offset, self.bytes_read = self.bytes_read, self.bytes_read + len(line)
            yield _decoded(line, f"line {self._line}, ", offset)

    def done(self) -> int:
        return self.bytes_read


def _decoded(data: bytes, where: str, offset: int) -> str:
    start = offset == 0
    if start and data.startswith(_UTF_16):
        raise Invalid("The file is UTF-16, as Excel's Unicode text is. Save it as UTF-8 (Excel: CSV UTF-8).")
    bom = len(_BOM) if start and data.startswith(_BOM) else 0
    try:
        return data[bom:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = bom + error.start
        raise Invalid(
            f"Byte {offset + at + 1:,} of the file ({where}character 0x{data[at]:02X}) is not UTF-8. Save the file "
            "as UTF-8 (Excel: CSV UTF-8), and import it again."
        ) from None


def _csv(stream: BinaryIO, size: int) -> Sheet:
    lines = _Lines(stream)
    reader = csv.reader(iter(lines), strict=True)
    try:
        columns = tuple(name.strip() for name in next(reader, []))
    except csv.Error as error:
        raise Invalid(f"The header cannot be read as CSV: {error}.") from None
    _check_header(columns)
    return Sheet(columns=columns, is_regular=True, rows=_csv_rows(reader, columns), size=size, done=lines.done)


def _csv_rows(reader: Any, columns: tuple[str, ...]) -> Iterator[FileRow]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield FileRow(
                line, {}, f"cannot be read as CSV: {error}; is a quotation mark not closed, or not doubled?"
            )
            continue
        if cells is None:
            return
        if len(cells) == len(columns):
            yield FileRow(line, dict(zip(columns, cells, strict=True)))
        elif any(cell.strip() for cell in cells):
            yield FileRow(line, {}, f"has {len(cells)} values where the header names {len(columns)} columns")


def _check_header(columns: tuple[str, ...]) -> None:
    if not any(columns):
        raise Invalid("The first line is empty. It must name the columns.")
    if len(columns) == 1 and (other := next((mark for mark in ";\t|" if mark in columns[0]), None)):
        raise Invalid(f"The columns are divided by {other!r}. Divide them by commas.")
    if nameless := [number for number, name in enumerate(columns, 1) if not name]:
        raise Invalid(f"Column {nameless[0]} has no name. Name it in the first line, or take it out.")
    _check_columns(columns)


def _check_columns(columns: tuple[str, ...]) -> None:
    if len(columns) > MOST_COLUMNS:
        raise Invalid(f"The file has {len(columns):,} columns; at most {MOST_COLUMNS:,} can be read.")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise Invalid(f"The column {twice[0]!r:.60} is there twice. Each column needs a name of its own.")


def _json(stream: BinaryIO, size: int) -> Sheet:
    if size > MOST_JSON_BYTES:
        raise Invalid(
            f"A JSON file may have at most {MOST_JSON_BYTES:,} bytes. Write one object a line (.jsonl), which "
            "may be longer, or CSV or Parquet."
        )
    try:
        document = _parsed(_decoded(stream.read(), "", 0))
    except ValueError as error:
        raise Invalid(f"The file is not JSON: {error}.") from None
    renames: Any = {}
    if isinstance(document, dict):
        if not document.keys() <= {"rows", "map"}:
            raise Invalid('A JSON document must be a list of objects, or {"rows": [...], "map": {...}}.')
        renames, document = document.get("map", {}), document.get("rows")
    if not isinstance(document, list):
        raise Invalid("The rows of a JSON document must be a list of objects.")
    if not isinstance(renames, dict) or not all(isinstance(ours, str) for ours in renames.values()):
        raise Invalid("The map of a JSON document must be an object: your column's name, then Pylon's.")
    rows = itertools.starmap(_json_row, enumerate(document, 1))
    return _irregular(rows, size, lambda: size, renames)


def _json_lines(stream: BinaryIO, size: int) -> Sheet:
    lines = _Lines(stream)

    def rows() -> Iterator[FileRow]:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _json_row(number, _parsed(line))
                except ValueError as error:
                    yield FileRow(number, {}, f"is not JSON: {error}")

    return _irregular(rows(), size, lines.done, {})


def _irregular(rows: Iterable[FileRow], size: int, done: Callable[[], int], renames: Mapping[str, str]) -> Sheet:
    """Return a sheet whose columns are those of its first row that is one."""
    rest = iter(rows)
    first: list[FileRow] = []
    for row in rest:
        first.append(row)
        if row.fault is None or len(first) == MOST_COLUMNS:
            break
    columns = tuple(first[-1].values) if first else ()
    _check_columns(columns)
    rows = itertools.chain(first, rest)
    return Sheet(columns=columns, is_regular=False, rows=rows, size=size, done=done, renames=renames)


def _json_row(number: int, given: Any) -> FileRow:
    if isinstance(given, dict):
        return FileRow(number, given)
    return FileRow(number, {}, f"must be an object, not {type(given).__name__}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ArithmeticError:
        raise ValueError("it has a number beyond all reason") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has {twice!r:.60} twice")
    return found


def _parquet(stream: BinaryIO, _size: int) -> Sheet:
    file = ParquetRows(stream)
    _check_columns(file.columns)
    rows = itertools.starmap(FileRow, enumerate(file, 1))
    return Sheet(columns=file.columns, is_regular=True, rows=rows, size=file.size, done=lambda: file.rows_read)
