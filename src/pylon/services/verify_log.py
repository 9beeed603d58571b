"""Verify log: follow an operator's chain of decisions from end to end, and hold it against published heads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.services.publish_heads import PublishedHead
from pylon.store.database import Database, Transaction

__all__ = ["FaultKind", "LogFault", "Verification", "verify", "verify_in"]

_CHUNK: Final = 10_000
_GENESIS: Final = "0" * 64

Progress = Callable[[int, int], None]
"""Is told how many decisions are done, and of how many."""


class FaultKind(StrEnum):
    """What can be wrong at one place of the log."""

    MISSING = "missing"
    NUMBER_TAKEN = "number_taken"
    NOT_LINKED = "not_linked"
    HASH_DIFFERS = "hash_differs"
    COLUMNS_DIFFER = "columns_differ"
    CONTENT_UNREADABLE = "content_unreadable"
    INPUT_MISSING = "input_missing"
    INPUT_DIFFERS = "input_differs"
    TRUNCATED = "truncated"
    HEAD_DIFFERS = "head_differs"
    BEYOND_HEAD = "beyond_head"
    PUBLISHED_HEAD_DIFFERS = "published_head_differs"


_WORDS: Final = {
    FaultKind.MISSING: "Decision {seq} is not there, and later ones are.",
    FaultKind.NUMBER_TAKEN: "More than one decision has the number {seq}.",
    FaultKind.NOT_LINKED: (
        "Decision {seq} does not follow the one before it: one of them was rewritten, put in, or moved."
    ),
    FaultKind.HASH_DIFFERS: "The hash of decision {seq} is not that of its content: one of them was changed.",
    FaultKind.COLUMNS_DIFFER: "The columns of decision {seq} are not what its content says: they were changed.",
    FaultKind.CONTENT_UNREADABLE: "The content of decision {seq} is not that of a decision: it was replaced.",
    FaultKind.INPUT_MISSING: "What decision {seq} names as what it saw is not kept: it was removed.",
    FaultKind.INPUT_DIFFERS: "What is kept as what decision {seq} saw is not what it names: it was changed.",
    FaultKind.TRUNCATED: "Decision {seq} is not there, nor any later one, and {told} names number {number}.",
    FaultKind.HEAD_DIFFERS: "Decision {seq} is the last, and is not the one that the head in the database names.",
    FaultKind.BEYOND_HEAD: "Decision {seq} lies beyond the head in the database: it was not appended.",
    FaultKind.PUBLISHED_HEAD_DIFFERS: (
        "Decision {seq} is not the one that was there at {told}: it, or one between {number} and it, was rewritten."
    ),
}


class LogFault(BaseModel):
    """A place of the log where it is not as it was written."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(description="The first decision that is not as it was written, or is not there")
    kind: FaultKind
    detail: str


class Verification(BaseModel):
    """What came of following an operator's log."""

    model_config = ConfigDict(frozen=True)

    operator_id: UUID
    is_intact: bool = Field(description="Whether no fault was found")
    decisions: int = Field(description="How many there are")
    checked: int = Field(description="How many of them, from the first on, follow one another without a fault")
    last_hash: str = Field(description="Hash of the last of these; zeros where there is none")
    fault: LogFault | None = Field(description="The first fault by number")
    heads_met: int = Field(description="How many published heads are where they were")
    protected_upto: int = Field(
        description="Number of the last published head: whatever changes up to it, once published, is found"
    )
    unprotected: int = Field(description="How many decisions lie after it: who rewrites them all is not found")


def verify(
    database: Database,
    operator_id: UUID,
    heads: Iterable[PublishedHead] = (),
    progress: Progress = lambda _done, _of: None,
) -> Verification:
    """Check every decision of the operator, and that the published `heads` (others' are left out) are in the log.

    What a decision names as what it saw must be kept, with the hash that it names.
    Reads one moment of the database, in pieces: the log may be of any length.
    """
    with database.as_reader(operator_id) as transaction:
        return verify_in(transaction, operator_id, heads, progress)


def verify_in(
    transaction: Transaction,
    operator_id: UUID,
    heads: Iterable[PublishedHead] = (),
    progress: Progress = lambda _done, _of: None,
) -> Verification:
    """Do what `verify` does, in a transaction that is open."""
    known = sorted((head for head in heads if head.operator_id == operator_id), key=lambda head: head.seq)
    rows = int(transaction.value("count_decisions", operator_id=operator_id))
    last_seq, last_hash, fault = _followed(transaction, operator_id, rows, progress)
    faults = [fault] if fault else list(_against_head(transaction, operator_id, last_seq, last_hash))
    unmet = list(_against_published(transaction, operator_id, known, last_seq))
    first = min([*faults, *unmet], key=lambda one: one.seq, default=None)
    protected_upto = known[-1].seq if known else 0
    return Verification(
        operator_id=operator_id,
        is_intact=first is None,
        decisions=rows,
        checked=last_seq,
        last_hash=last_hash,
        fault=first,
        heads_met=len(known) - len(unmet),
        protected_upto=protected_upto,
        unprotected=max(0, rows - protected_upto),
    )


def _followed(
    transaction: Transaction, operator_id: UUID, rows: int, progress: Progress
) -> tuple[int, str, LogFault | None]:
    """Follow the chain from its start; return the last decision in order, its hash, and the fault after it."""
    seq, digest = 0, _GENESIS
    while seq < rows:
        page = transaction.one(
            "check_decisions", operator_id=operator_id, after=seq, upto=seq + _CHUNK, hash=digest
        )
        assert page  # noqa: S101  the function returns one row
        seq, digest = page["last_seq"], page["last_hash"]
        progress(seq, rows)
        if page["fault"]:
            return seq, digest, _fault(FaultKind(page["fault"]), page["fault_seq"])
        if page["checked"] == 0:  # what there is more lies elsewhere
            return seq, digest, _fault(FaultKind.MISSING, seq + 1)
    return seq, digest, None


def _against_head(transaction: Transaction, operator_id: UUID, seq: int, digest: str) -> Iterator[LogFault]:
    """Yield how the head that the database keeps differs from the last decision."""
    head = transaction.one("chain_head", operator_id=operator_id) or {"seq": 0, "hash": _GENESIS}
    if head["seq"] > seq:
        yield _fault(FaultKind.TRUNCATED, seq + 1, told="the head in the database", number=head["seq"])
    elif head["seq"] < seq:
        yield _fault(FaultKind.BEYOND_HEAD, head["seq"] + 1)
    elif head["hash"] != digest:
        yield _fault(FaultKind.HEAD_DIFFERS, seq)


def _against_published(
    transaction: Transaction, operator_id: UUID, heads: Sequence[PublishedHead], last_seq: int
) -> Iterator[LogFault]:
    """Yield a fault for each published head that the log does not hold; `heads` are in order."""
    seqs = sorted({head.seq for head in heads})
    stored = {row["seq"]: row["hash"] for row in transaction.all("hashes_at", operator_id=operator_id, seqs=seqs)}
    stored[0] = _GENESIS
    met = [head.seq for head in heads if stored.get(head.seq) == head.hash]
    for head in heads:
        if head.seq not in stored:
            told = f"the head published at {head.exported_at:%Y-%m-%d %H:%M} UTC"
            yield _fault(FaultKind.TRUNCATED, min(last_seq + 1, head.seq), told=told, number=head.seq)
        elif stored[head.seq] != head.hash:
            told = f"{head.exported_at:%Y-%m-%d %H:%M} UTC, when its hash was published"
            last_met = met[before - 1] if (before := bisect_left(met, head.seq)) else 0
            yield _fault(FaultKind.PUBLISHED_HEAD_DIFFERS, head.seq, told=told, number=last_met + 1)


def _fault(kind: FaultKind, seq: int, **words: Any) -> LogFault:
    return LogFault(seq=seq, kind=kind, detail=_WORDS[kind].format(seq=seq, **words))
