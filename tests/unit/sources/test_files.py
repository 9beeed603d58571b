"""Files as they come: every form, every way of being broken, and the line that is named."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest

from pylon.errors import Invalid, NotFound
from pylon.sources import files
from pylon.sources.files import FileRow, Form


def read(data: bytes | str, form: Form = Form.CSV) -> list[FileRow]:
    data = data.encode() if isinstance(data, str) else data
    return list(files.read(io.BytesIO(data), form).rows)


def faults(data: bytes | str, form: Form = Form.CSV) -> dict[int, str]:
    return {row.line: row.fault for row in read(data, form) if row.fault}


# CSV


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_csv_is_read_with_either_ending_and_with_a_byte_order_mark(bom, ending):
    text = ending.join(["a,b", "1,é", '"2,5","two', 'lines"', "", "3,"])
    assert read(bom + text.encode()) == [
        FileRow(2, {"a": "1", "b": "é"}),
        FileRow(3, {"a": "2,5", "b": f"two{ending}lines"}),
        FileRow(6, {"a": "3", "b": ""}),
    ]


def test_text_like_a_formula_is_text():
    assert read("a\n=1+1\n@x\n") == [FileRow(2, {"a": "=1+1"}), FileRow(3, {"a": "@x"})]


def test_a_line_that_is_no_row_is_named_and_the_others_are_read():
    rows = read('a,b\n1\n"x"y,1\n1,2,3\n4,5\n')
    assert [row.line for row in rows if row.fault] == [2, 3, 4]
    assert rows[0].fault == "has 1 values where the header names 2 columns"
    assert "quotation mark" in str(rows[1].fault)
    assert rows[-1] == FileRow(5, {"a": "4", "b": "5"})


def test_a_quotation_mark_that_is_never_closed_is_a_fault_of_its_line():
    (row,) = read('a,b\n1,"' + "x,y\n" * 100)
    assert row.line == 2
    assert "quotation mark not closed" in str(row.fault)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "first line is empty"),
        (b"a,\n1,2\n", "Column 2 has no name"),
        (b"a,b,a\n", "'a' is there twice"),
        (b"a;b\n1;2\n", "divided by ';'"),
        (b"a\tb\n1\t2\n", "divided by '\\t'"),
        (b"a,b\n1,\xe9t\xe9\n", "Byte 7 of the file (line 2, character 0xE9) is not UTF-8. Save the file as UTF-8"),
        ("a,b\n".encode("utf-16"), "UTF-16"),
        (b"a\n" + b"x" * 10_000_000, "Line 2 is longer than 1,000,000 bytes"),
        (",".join(f"c{n}" for n in range(1001)).encode(), "1,001 columns; at most 1,000"),
    ],
)
def test_what_is_no_csv_at_all_is_refused_with_what_to_do(data, says):
    with pytest.raises(Invalid) as refused:
        read(data)
    assert says in refused.value.detail


def test_a_hundred_columns_are_read():
    names = [f"c{n}" for n in range(100)]
    (row,) = read(",".join(names) + "\n" + ",".join("1" * 100) + "\n")
    assert row.values == dict.fromkeys(names, "1")


def test_a_header_alone_has_no_rows():
    sheet = files.read(io.BytesIO(b"a,b\n"), Form.CSV)
    assert (sheet.columns, list(sheet.rows)) == (("a", "b"), [])


def test_how_much_is_read_is_told_in_bytes():
    sheet = files.read(io.BytesIO(b"a\n1\n2\n"), Form.CSV)
    assert (sheet.size, sheet.done()) == (6, 2)
    assert len(list(sheet.rows)) == 2
    assert sheet.done() == 6


# JSON


def test_json_is_a_list_of_objects_or_a_document_with_a_map():
    assert read('[{"a": 1.10, "b": null}, {"c": "x"}]', Form.JSON) == [
        FileRow(1, {"a": Decimal("1.10"), "b": None}),
        FileRow(2, {"c": "x"}),
    ]
    sheet = files.read(io.BytesIO(b'{"rows": [{"site": "A"}], "map": {"site": "dc_id"}}'), Form.JSON)
    assert (sheet.columns, sheet.is_regular, dict(sheet.renames)) == (("site",), False, {"site": "dc_id"})


@pytest.mark.parametrize("form", [Form.JSON, Form.JSON_LINES])
def test_what_is_no_object_is_a_fault_of_its_row(form):
    text = '[{"a": 1}, 3, null]' if form is Form.JSON else '{"a": 1}\n3\nnull\n'
    assert faults(text, form) == {2: "must be an object, not int", 3: "must be an object, not NoneType"}


def test_a_line_that_is_no_json_is_a_fault_of_that_line():
    text = '{"a": 1}\n\n{"a": \n{"a": 1, "a": 2}\n' + "[" * 100_000 + "\n"
    assert list(faults(text, Form.JSON_LINES)) == [3, 4, 5]
    assert "has 'a' twice" in faults(text, Form.JSON_LINES)[4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ('[{"a": 1, "a": 2}]', "an object has 'a' twice"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"a": ' + "9" * 5000 + "}]", "is not JSON"),
        ('"rows"', "must be a list of objects"),
        ('{"a": 1}', 'a list of objects, or {"rows"'),
        ('{"rows": [], "map": ["a"]}', "The map of a JSON document"),
        (b"[\xff]", "Byte 2 of the file"),
        (b" " * (files.MOST_JSON_BYTES + 1), "at most 32,000,000 bytes"),
    ],
)
def test_what_is_no_document_of_rows_is_refused_with_what_to_do(text, says):
    with pytest.raises(Invalid) as refused:
        read(text, Form.JSON)
    assert says in refused.value.detail


# Paths


def test_a_path_is_read_by_its_ending(tmp_path):
    for name, text in {
        "a.csv": "a\n1\n",
        "a.JSON": '[{"a":"1"}]',
        "a.jsonl": '{"a":"1"}',
        "a.ndjson": '{"a":"1"}',
    }.items():
        (tmp_path / name).write_text(text)
        with files.opened(tmp_path / name) as sheet:
            assert [row.values for row in sheet.rows] == [{"a": "1"}]


def test_a_path_that_is_no_file_is_refused_with_what_is_valid(tmp_path):
    (tmp_path / "fleet.xlsx").write_bytes(b"x")
    (tmp_path / "folder.csv").mkdir()
    for name, error, says in (
        ("none.csv", NotFound, "There is no file"),
        ("folder.csv", Invalid, "is a folder"),
        ("fleet.xlsx", Invalid, "Valid: .csv, .json, .jsonl, .ndjson, .parquet."),
    ):
        with pytest.raises(error) as refused, files.opened(tmp_path / name):
            pass
        assert says in refused.value.detail
