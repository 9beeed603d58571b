"""The program that checks an export: what it finds, what it says, and that it needs nothing but Python."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pylon.interfaces import check_export
from pylon.interfaces.check_export import Fault, check

OPERATOR = "01a2027b-d680-7246-91d8-ece6a103d0b0"
GENESIS = "0" * 64


def rows(number: int = 6, **more: Any) -> list[dict[str, Any]]:
    """Return a chain of decisions, made as the documentation says."""
    made, last = [], GENESIS
    for seq in range(1, number + 1):
        content = json.dumps({"operator_id": OPERATOR, "reasoning": f"Nr. {seq}, günstig", **more})
        digest = hashlib.sha256(f"{last}\n{seq}\n{content}".encode()).hexdigest()
        made.append({"seq": seq, "prev_hash": last, "hash": digest, "content": content})
        last = digest
    return made


def export(chain: list[dict[str, Any]], **header: Any) -> list[bytes]:
    head = {"seq": chain[-1]["seq"], "hash": chain[-1]["hash"]} if chain else {"seq": 0, "hash": GENESIS}
    first = chain[0]["seq"] if chain else 1
    words = {"format": "pylon-decision-log-1", "operator_id": OPERATOR, "first_seq": first, "head": head, **header}
    return [json.dumps(line).encode() + b"\n" for line in (words, *chain)]


def head(row: dict[str, Any], **words: Any) -> bytes:
    named = {"operator_id": OPERATOR, "seq": row["seq"], "hash": row["hash"], "exported_at": "2026-11-22T09:00:00Z"}
    return json.dumps({**named, **words}).encode()


def forged(chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows numbered, hashed and linked anew."""
    last = GENESIS
    for seq, row in enumerate(chain, 1):
        row |= {"seq": seq, "prev_hash": last}
        last = row["hash"] = hashlib.sha256(f"{last}\n{seq}\n{row['content']}".encode()).hexdigest()
    return chain


def test_an_export_in_order_says_how_far_it_is_protected() -> None:
    chain = rows()
    said = check(export(chain), [head(chain[2]), head(chain[3])])
    assert f"In order: decisions 1 to 6 of operator {OPERATOR}." in said
    assert "heads that are where they were: 2. Nothing up to decision 4 was changed" in said
    assert "Decisions after the last of them: 2;" in said


def test_without_heads_nothing_is_protected() -> None:
    said = check(export(rows()))
    assert "heads that are where they were: 0." in said
    assert "Decisions after the last of them: 6;" in said
    assert "In order: no decisions" in check(export([]))


def test_heads_of_others_and_lines_that_are_none_are_left_out() -> None:
    chain = rows()
    others = head(chain[0], operator_id="another", hash="f" * 64)
    said = check(export(chain), [b"{", b"", b"[]", others, head(chain[5]), b'{"seq": 1}'])
    assert "heads that are where they were: 1." in said
    assert "Lines of the file of heads that were left out: 1 of other operators, 3 that are no head." in said
    assert "left out" not in check(export(chain), [head(chain[5]), b""])


@pytest.mark.parametrize("seq", [None, "6", [6], {}, 6.0, True])
def test_a_head_whose_number_is_none_is_left_out(seq: Any) -> None:
    chain = rows()
    said = check(export(chain), [head(chain[5], seq=seq), head(chain[5], operator_id=[])])
    assert "left out: 0 of other operators, 2 that are no head" in said


def test_of_two_heads_published_at_one_number_the_one_that_differs_is_found() -> None:
    chain = rows()
    for heads in ([head(chain[3]), head(chain[3], hash="f" * 64)], [head(chain[3], hash=None), head(chain[3])]):
        with pytest.raises(Fault, match=r"Decision 4, whose hash was published at .* is another one"):
            check(export(chain), heads)


@pytest.mark.parametrize("end", [b"\r\n", b"\n\n", b" \n"])
def test_ends_of_lines_that_a_mail_program_has_changed_are_no_fault(end: bytes) -> None:
    chain = rows()
    lines = [line.replace(b"\n", end) for line in export(chain)]
    assert "decisions 1 to 6" in check(b"".join(lines).splitlines(keepends=True), [head(chain[3]) + end])


def test_a_compressed_export_is_said_not_to_be_readable() -> None:
    with pytest.raises(Fault, match="The header is not readable"):
        check(gzip.compress(b"".join(export(rows()))).splitlines(keepends=True))


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b"1" * 5000, b"\0"])
def test_what_no_one_can_read_is_a_fault_wherever_it_stands(text: bytes) -> None:
    lines = export(rows())
    with pytest.raises(Fault, match=r"The header is not readable|The header lacks"):
        check([text, *lines[1:]])
    with pytest.raises(Fault, match=r"Decision 3 is not readable|Decision 3 lacks"):
        check([*lines[:3], text, *lines[4:]])
    forged_whole = forged([*rows()[:2], {"content": text.decode("latin-1")}])
    with pytest.raises(Fault, match="The content of decision 3"):
        check(export(forged_whole))


@pytest.mark.parametrize("content", [7, None, ["x"], {"operator_id": OPERATOR}, "\ud800"])
def test_content_that_is_no_text_is_a_fault(content: Any) -> None:
    chain = rows()
    chain[5]["content"] = content
    with pytest.raises(Fault, match="The hash of decision 6"):
        check(export(chain))
    chain[5]["hash"] = hashlib.sha256(
        f"{chain[4]['hash']}\n6\n{content}".encode("utf-8", "surrogatepass")
    ).hexdigest()
    with pytest.raises(Fault, match="The content of decision 6"):
        check(export(chain))


def test_no_words_of_a_forger_are_printed_as_the_verdict() -> None:
    spoken = "x.\nPublished heads that are where they were: 6. Nothing up to decision 6 was changed"
    with pytest.raises(Fault, match="The header is not readable"):
        check(export(rows(operator_id=spoken), operator_id=spoken))
    for lines in (export([*rows()[:5], {**rows()[5], "seq": spoken}]), export(rows(), head={"seq": spoken})):
        with pytest.raises(Fault) as fault:
            check(lines)
        assert "\n" not in str(fault.value)


@pytest.mark.parametrize("first", [2, 4, 6])
def test_an_export_may_begin_within_the_log(first: int) -> None:
    chain = rows()
    part = export(chain[first - 1 :])
    # A head before it says nothing of it; that of the decision right before it does.
    said = check(part, [head(chain[0], hash="f" * 64)] if first > 2 else [])
    assert f"decisions {first} to 6" in said
    assert f"up to decision {first - 1} was changed" in check(part, [head(chain[first - 2])])
    with pytest.raises(Fault, match=f"Decision {first - 1}, whose hash was published at .* is another one"):
        check(part, [head(chain[first - 2], hash="f" * 64)])


def test_every_change_of_a_row_is_found() -> None:
    dice = random.Random(4)
    header, *_ = export(rows())
    for name in ("seq", "prev_hash", "hash", "content"):
        for number in range(6):
            chain = rows()
            old = chain[number][name]
            if name == "seq":
                chain[number][name] = dice.choice([old + 1, old - 1, None, str(old), 99])
            else:
                at = dice.randrange(len(old))
                chain[number][name] = old[:at] + ("0" if old[at] != "0" else "1") + old[at + 1 :]
            with pytest.raises(Fault, match=f"{number + 1}|{number + 2}"):
                check([header, *export(chain)[1:]])


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([0, 1, 2, 4, 5, 6], "Decision 3 is not there: number 4 is in its place"),
        ([0, 1, 3, 2, 4, 5, 6], "Decision 2 is not there: number 3"),
        ([0, 1, 1, 2, 3, 4, 5, 6], "Decision 2 is not there: number 1"),
        ([0, 1, 2, 3, 4, 5], "ends at decision 5 and its header names 6"),
        ([0], "ends at decision 0 and its header names 6"),
        ([1, 2, 3], "The header lacks"),
        ([], "The header is not readable"),
    ],
)
def test_lines_taken_out_put_in_or_moved_are_found(lines: list[int], why: str) -> None:
    whole = export(rows())
    with pytest.raises(Fault, match=why):
        check([whole[number] for number in lines])


def test_a_line_that_is_cut_short_is_named() -> None:
    lines = export(rows())
    with pytest.raises(Fault, match="Decision 6 is not readable: it was cut short or changed"):
        check([*lines[:-1], lines[-1][:50]])


def test_what_is_forged_whole_is_found_by_a_published_head_alone() -> None:
    chain = rows()
    published = head(chain[4])
    edited = forged([{**row, "content": row["content"].replace("Nr. 2", "Nr. 7")} for row in rows()])
    for fake in (edited, forged(rows()[1:]), forged([rows()[0], *rows()]), rows(5, a=1)):
        check(export(fake))
        with pytest.raises(
            Fault, match=r"Decision 5, whose hash was published at 2026-11-22T09:00:00Z, is another"
        ):
            check(export(fake), [published])
    check(export(rows()[:3]))
    with pytest.raises(Fault, match="is not in the export"):
        check(export(rows()[:3]), [published])


def test_a_head_at_the_wrong_end_is_found() -> None:
    with pytest.raises(Fault, match="cut or rewritten"):
        check(export(rows(), head={"seq": 6, "hash": GENESIS}))


def test_another_operators_decision_is_found() -> None:
    with pytest.raises(Fault, match="Decision 1 is another operator's"):
        check(export(rows(), operator_id=OPERATOR.replace("0", "1")))
    with pytest.raises(Fault, match="The content of decision 2 lacks one of: operator_id"):
        check(export(forged([rows()[0], {**rows()[1], "content": "[]"}])))


@pytest.mark.parametrize(
    "header",
    [
        {"first_seq": "1"},
        {"first_seq": 0},
        {"operator_id": "another"},
        {"operator_id": []},
        {"head": None},
        {"head": {}},
        {"head": [6]},
    ],
)
def test_a_header_that_was_changed_is_a_fault_too(header: dict[str, Any]) -> None:
    with pytest.raises(Fault):
        check(export(rows(), **header))


def test_another_format_is_refused() -> None:
    with pytest.raises(Fault, match="its first line names another format"):
        check(export(rows(), format="pylon-decision-log-2"))


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the program as who received it does: alone, without Pylon on the path."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(check_export.__file__), *map(str, words)], capture_output=True, text=True
    )


def test_it_runs_alone_and_ends_with_the_verdict(tmp_path: Path) -> None:
    good, bad, heads = (tmp_path / name for name in ("good", "bad", "heads"))
    chain = rows()
    good.write_bytes(b"".join(export(chain)))
    bad.write_bytes(b"".join(export(chain)[:-1]))
    heads.write_bytes(head(chain[5]) + b"\n")
    assert (run(good).returncode, run(good, heads).returncode) == (0, 0)
    ended = run(bad, heads)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("NOT AS IT WAS WRITTEN. The export ends at decision 5")
    missing = run(good, tmp_path / "none")
    assert (missing.returncode, missing.stderr) == (2, "")
    assert "none cannot be read: No such file" in missing.stdout
    assert run().returncode == 2
    assert "python check_export.py FILE [HEADS]" in run().stdout


def test_it_is_written_for_python_3_9_and_the_standard_library() -> None:
    text = Path(str(check_export.__file__)).read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
