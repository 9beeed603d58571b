"""Check an export of Pylon's decision log: with Python 3.9 or later and nothing else, no database and no Pylon.

    python check_export.py FILE [HEADS]

FILE is what `pylon audit export` wrote, HEADS a file of published heads (chain-heads.jsonl). Ends with 0 when every
decision follows the one before it and every published head is where it was, else with 1 and the first fault.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Fault", "check", "main"]

GENESIS = "0" * 64
OPERATOR = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Fault(Exception):
    """The export is not what was written."""


def check(lines: Iterable[bytes], heads: Iterable[bytes] = ()) -> str:
    """Return in words what was found in order; raise `Fault` with the first fault."""
    rest = (line for line in lines if line.strip())
    header = _read(next(rest, b""), "The header", "format", "operator_id", "first_seq", "head")
    if header["format"] != "pylon-decision-log-1":
        raise Fault("This is no export of Pylon's decision log: its first line names another format.")
    operator, first, head = header["operator_id"], header["first_seq"], header["head"]
    # The id is printed below: from a forger it could say that all is in order.
    is_sound = isinstance(head, dict) and type(first) is int and first >= 1
    if not is_sound or not re.fullmatch(OPERATOR, str(operator)):
        raise Fault("The header is not readable: it was changed.")
    given = [_head(line) for line in heads if line.strip()]
    known = [one for one in given if one and one["operator_id"] == operator]
    wanted = {one["seq"] for one in known}
    seq, last = first - 1, GENESIS if first == 1 else ""
    hashes = {seq: last} if last else {}
    for line in rest:
        seq += 1
        row = _read(line, f"Decision {seq}", "seq", "prev_hash", "hash", "content")
        # An export that begins within the log takes what was before it from its first decision.
        last = last or row["prev_hash"]
        hashes.setdefault(first - 1, last)
        last = _followed(row, seq, last, operator)
        if seq in wanted:
            hashes[seq] = last
    if seq != head.get("seq") or last not in ("", head.get("hash")):
        named = head.get("seq")
        raise Fault(f"The export ends at decision {seq} and its header names {named!a}: it is cut or rewritten.")
    met = [one["seq"] for one in known if one["seq"] >= first - 1 and _met(one, hashes, seq)]
    cut = given.count(None)
    return _said(operator, first, seq, met) + _left_out(len(given) - len(known) - cut, cut)


def main(words: Sequence[str]) -> int:
    """Check the files that are named, print what was found, and return the exit code."""
    if len(words) not in (1, 2):
        print(__doc__)
        return 2
    try:
        heads = Path(words[1]).read_bytes().splitlines() if len(words) == 2 else []
        with Path(words[0]).open("rb") as lines:
            print(check(lines, heads))
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}.")
        return 2
    except Fault as fault:
        print(f"NOT AS IT WAS WRITTEN. {fault}")
        return 1
    return 0


def _read(text: bytes | str, what: str, *names: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise Fault(f"{what} is not readable: it was cut short or changed.") from None
    if not isinstance(value, dict) or not all(name in value for name in names):
        raise Fault(f"{what} lacks one of: {', '.join(names)}.")
    return value


def _head(line: bytes) -> dict[str, Any] | None:
    try:
        one = _read(line, "", "operator_id", "seq", "hash", "exported_at")
    except Fault:  # a line that a failure cut short is no evidence of anything
        return None
    return one if type(one["seq"]) is int and isinstance(one["operator_id"], str) else None


def _followed(row: dict[str, Any], seq: int, last: str, operator: str) -> str:
    """Return the decision's hash, worked out anew."""
    if row["seq"] != seq:
        raise Fault(f"Decision {seq} is not there: number {row['seq']!a} is in its place.")
    if row["prev_hash"] != last:
        raise Fault(f"Decision {seq} does not follow the one before it.")
    digest = hashlib.sha256(f"{last}\n{seq}\n{row['content']}".encode("utf-8", "surrogatepass")).hexdigest()
    if row["hash"] != digest:
        raise Fault(f"The hash of decision {seq} is not that of its content.")
    if _read(row["content"], f"The content of decision {seq}", "operator_id")["operator_id"] != operator:
        raise Fault(f"Decision {seq} is another operator's.")
    return digest


def _met(head: dict[str, Any], hashes: dict[int, str], last: int) -> bool:
    if hashes.get(head["seq"]) != head["hash"]:
        why = "is not in the export" if head["seq"] > last else "is another one in the export"
        raise Fault(f"Decision {head['seq']}, whose hash was published at {head['exported_at']}, {why}.")
    return True


def _said(operator: str, first: int, last: int, met: Sequence[int]) -> str:
    upto = max(met, default=first - 1)
    what = f"decisions {first} to {last}" if last >= first else "no decisions"
    lines = [
        f"In order: {what} of operator {operator}.",
        f"Published heads that are where they were: {len(met)}.",
        f"Decisions after the last of them: {last - upto}; whoever rewrote all of these would not be found.",
    ]
    if met:
        lines[1] += f" Nothing up to decision {upto} was changed since it was published."
    return "\n".join(lines)


def _left_out(others: int, cut: int) -> str:
    if not others + cut:
        return ""
    return f"\nLines of the file of heads that were left out: {others} of other operators, {cut} that are no head."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
