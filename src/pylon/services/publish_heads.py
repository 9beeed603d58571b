"""Publish heads: the end of the log, written down outside the database, so that what lies before it is fixed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pylon.errors import Invalid, NotFound
from pylon.store.database import Database

__all__ = ["HEADS_FILE", "Heads", "PublishedHead", "present_head", "publish_heads", "read_heads"]

HEADS_FILE: Final = "chain-heads.jsonl"
"""The name, in Pylon's home, of the file that heads are published to unless told otherwise."""


class PublishedHead(BaseModel):
    """Where an operator's log ended at a time: a line of a file of heads."""

    model_config = ConfigDict(frozen=True)

    operator_id: UUID
    seq: int = Field(ge=0, lt=2**63, description="Number of the last decision; 0: none yet")
    hash: str = Field(pattern="^[0-9a-f]{64}$", description="Its hash; zeros where there is none")
    exported_at: AwareDatetime


@dataclass(frozen=True, slots=True)
class Heads:
    """What a file of heads holds."""

    heads: tuple[PublishedHead, ...] = ()
    unreadable_lines: tuple[int, ...] = ()
    """The numbers of lines that are no head, the first being 1: one cut short by a failure, as a rule."""


def present_head(database: Database, operator_id: UUID, now: datetime) -> PublishedHead:
    """Return where the operator's log ends now."""
    with database.as_reader(operator_id) as transaction:
        row = transaction.one("chain_head", operator_id=operator_id)
    seq, digest = (row["seq"], row["hash"]) if row else (0, "0" * 64)
    return PublishedHead(operator_id=operator_id, seq=seq, hash=digest, exported_at=now)


def publish_heads(database: Database, operator_id: UUID, path: Path, now: datetime) -> PublishedHead | None:
    """Append the present head to the file at `path`, which need not be there, and return it once it is on disk.

    Returns None, and writes nothing, where the head is the last one published or nothing has been decided.
    Raises `Invalid` when the file cannot be written.
    """
    head = present_head(database, operator_id, now)
    if head.seq == 0:
        return None
    try:
        last = _last_of(operator_id, read_heads(path).heads) if path.exists() else None
        if last and (last.seq, last.hash) == (head.seq, head.hash):
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        _append_line(path, head.model_dump_json().encode())
    except OSError as error:
        raise Invalid(
            f"The head of the log cannot be written to {path}: {error.strerror}. Set PYLON_HOME to a folder that "
            "can be written."
        ) from None
    return head


def read_heads(path: Path) -> Heads:
    """Return the heads in the file at `path`, in its order, and which of its lines are none.

    Raises `NotFound` when there is no such file, `Invalid` when it cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}. `pylon audit heads` writes one.") from None
    except OSError as error:
        raise Invalid(f"The heads in {path} cannot be read: {error.strerror}.") from None
    unreadable: list[int] = []
    return Heads(tuple(_parsed(lines, unreadable)), tuple(unreadable))


def _parsed(lines: Iterable[bytes], unreadable: list[int]) -> Iterator[PublishedHead]:
    for number, line in enumerate(lines, 1):
        try:
            yield PublishedHead.model_validate_json(line)
        except ValidationError:
            if line.strip():
                unreadable.append(number)


def _last_of(operator_id: UUID, heads: Iterable[PublishedHead]) -> PublishedHead | None:
    mine = [head for head in heads if head.operator_id == operator_id]
    return mine[-1] if mine else None


def _append_line(path: Path, line: bytes) -> None:
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a line that a failure has cut short stays as it is
                line = b"\n" + line
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
