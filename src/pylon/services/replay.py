"""Replay: make a decision or a plan again from what was kept of it, and compare the two byte for byte."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pylon.agents import fleet_plan
from pylon.agents.contract import Draft
from pylon.errors import Conflict, Invalid, NotFound, PylonError
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.enums import PlanStatus
from pylon.services._plan_worker import PlanFailed, PlanWorker, WorkerDied
from pylon.services.recompute_decision import is_given, recompute
from pylon.store import log
from pylon.store.database import Database, Transaction

__all__ = ["Difference", "Replayed", "Verdict", "WorkOut", "names", "replay", "work_out", "work_out_in"]

WorkOut = Callable[[bytes], bytes]
"""Works a plan out from all that it saw: canonical JSON in and out, in this process or in one of its own."""

_UNREAD: Final = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    Invalid,
    NotFound,
)
"""What comes of documents that have other fields, or other values, than those of today."""
_ABSENT: Final = object()
_LONGEST: Final = 200  # of a value that differs, as it is told


class Verdict(StrEnum):
    """What comes of making something again."""

    SAME = "same"
    DIFFERENT = "different"
    GIVEN = "given"
    INPUT_MISSING = "input_missing"
    INPUT_DIFFERS = "input_differs"
    HASH_DIFFERS = "hash_differs"
    UNREADABLE = "unreadable"


_WORDS: Final = {
    Verdict.SAME: "Made again from what was kept of it, byte for byte.",
    Verdict.DIFFERENT: (
        "Made again it comes out otherwise, first at {path}: {stored} is stored, now it is {now}. It was rewritten "
        "with its hash, or made by another version of Pylon."
    ),
    Verdict.GIVEN: "Somebody gave it as it is; it was not worked out, so there is nothing to make again.",
    Verdict.INPUT_MISSING: "What it saw, the input {digest}, is not kept: it was removed.",
    Verdict.INPUT_DIFFERS: "What is kept as what it saw is not the input that it names, {digest}: it was changed.",
    Verdict.HASH_DIFFERS: "What is stored of it is not what its hash, {digest}, was made of: it was changed.",
    Verdict.UNREADABLE: "This version of Pylon makes nothing of what it saw: {why}. The version that made it does.",
}


class Difference(BaseModel):
    """The first place at which what was made again is not what is stored."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(description="Where, from the root `$`")
    stored: str | None = Field(description="The JSON that is stored there; null where nothing is")
    now: str | None = Field(description="The JSON that comes out now; null where nothing does")


class Replayed(BaseModel):
    """What came of making one decision or plan again."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["decision", "plan"]
    verdict: Verdict
    detail: str
    stored_digest: str = Field(description="A decision's link in the log, a plan's result_digest")
    digest: str | None = Field(description="The same of what was made again; null where nothing was")
    difference: Difference | None = Field(description="Where the two first differ")
    input_digest: str | None = Field(description="The kept input that it names; null when all it saw is in itself")
    input_bytes: int | None = Field(description="Size of that input as it is kept")

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against it."""
        return self.verdict in (Verdict.SAME, Verdict.GIVEN)


def work_out(document: bytes) -> bytes:
    """Return what the planner makes of a kept document, in this process: it does nothing else meanwhile."""
    return canonical_bytes(fleet_plan.work_out(json.loads(document)))


def work_out_in(worker: PlanWorker, document: bytes) -> bytes:
    """Return the same from the planner's own process; a plan that it is at work on comes first.

    Raises `Invalid` when it makes nothing of the document, and `Conflict` when it ends meanwhile.
    """
    try:
        with worker.turn():
            return worker.work_out(document, lambda _stage, _done, _of: None)
    except PlanFailed as failed:
        raise Invalid(str(failed)) from None
    except WorkerDied as died:
        raise Conflict(f"The plan was not made again. {died} Try again.") from None


def replay(database: Database, operator_id: UUID, name: str, work_out: WorkOut = work_out) -> Replayed:
    """Return what comes of making the decision or plan `name` (its id or its own id) again.

    A plan is worked out by `work_out`, outside any transaction. Nothing is changed. Raises `NotFound` when the
    operator has none of that name, and `Conflict` for a plan that came to no result.
    """
    wanted = {"operator_id": operator_id, "name": name, "id": _uuid(name)}
    with database.as_reader(operator_id) as transaction:
        if row := transaction.one("decision_as_written", **wanted):
            return _decision(transaction, operator_id, row)
        plan = transaction.one("plan_as_worked_out", **wanted)
    if plan is None:
        raise NotFound(
            f"You have no decision and no plan {name[:60]!r}. `GET /api/v1/decisions` and `GET /api/v1/plans` list "
            "yours, newest first; `pylon audit export` writes out every decision."
        )
    return _plan(plan, work_out)


def names(database: Database, operator_id: UUID, *, last: int | None = None) -> list[str]:
    """Return the own ids of the operator's decisions, then of its plans that came to a result, oldest first.

    With `last` only so many of either, the newest.
    """
    with database.as_reader(operator_id) as transaction:
        decisions = transaction.all("decision_names", operator_id=operator_id, last=last)
        plans = transaction.all("plan_names", operator_id=operator_id, last=last)
    return [*(row["decision_id"] for row in decisions), *(row["plan_id"] for row in plans)]


@dataclass(frozen=True)
class _Stored:
    """What is stored of a decision or plan, and how its hash is made of it."""

    name: str
    kind: Literal["decision", "plan"]
    content: str
    digest: str
    hashed: Callable[[str], str]
    input_digest: str | None = None
    input_bytes: int | None = None
    fault: Verdict | None = None
    """Why making it again would show nothing: its input is not what it was."""

    @property
    def is_whole(self) -> bool:
        """Whether the content is what the hash was made of."""
        return self.hashed(self.content) == self.digest

    def from_input(self, digest: str, kept: str | None) -> _Stored:
        """Return the same, made from the input that it names by `digest`: `kept`, if that is what is kept of it."""
        fault = Verdict.INPUT_MISSING if kept is None else None
        if kept is not None and _sha256(kept) != digest:
            fault = Verdict.INPUT_DIFFERS
        size = None if kept is None else len(kept.encode())
        return replace(self, input_digest=digest, input_bytes=size, fault=fault)

    def unread(self, error: Exception) -> Replayed:
        """Return that the error is what comes of reading its input."""
        return self.found(Verdict.UNREADABLE, why=error.detail if isinstance(error, PylonError) else repr(error))

    def found(
        self, verdict: Verdict, *, digest: str | None = None, first: Difference | None = None, why: str = ""
    ) -> Replayed:
        """Return the result with this verdict."""
        named = self.input_digest if verdict in (Verdict.INPUT_MISSING, Verdict.INPUT_DIFFERS) else self.digest
        words = {"digest": f"{(named or '')[:12]}…", "why": why.rstrip(".")}
        if first is not None:
            words |= {name: value or "nothing" for name, value in first.model_dump().items()}
        return Replayed(
            name=self.name,
            kind=self.kind,
            verdict=verdict,
            detail=_WORDS[verdict].format(**words),
            stored_digest=self.digest,
            digest=digest,
            difference=first,
            input_digest=self.input_digest,
            input_bytes=self.input_bytes,
        )

    def compared(self, again: str) -> Replayed:
        """Return how `again`, canonical as the stored text is, compares with that."""
        digest = self.hashed(again)
        if again == self.content:
            return self.found(Verdict.SAME, digest=digest)
        # Where the values are equal and the bytes are not, what is stored is not canonical.
        first = _first_difference("$", json.loads(self.content), json.loads(again))
        first = first or Difference(path="$", stored=_cut(self.content), now=_cut(again))
        return self.found(Verdict.DIFFERENT, digest=digest, first=first)


def _decision(transaction: Transaction, operator_id: UUID, row: Mapping[str, Any]) -> Replayed:
    stored = _Stored(
        name=row["decision_id"],
        kind="decision",
        content=row["content"],
        digest=row["hash"],
        hashed=lambda content: _sha256(f"{row['prev_hash']}\n{row['seq']}\n{content}"),
    )
    if not stored.is_whole:
        return stored.found(Verdict.HASH_DIFFERS)
    written = json.loads(row["content"])
    if named := written["inputs"].get("view"):
        kept = transaction.value("kept_input", operator_id=operator_id, digest=named)
        stored = stored.from_input(named, kept)
    if stored.fault:
        return stored.found(stored.fault)
    try:
        again = recompute(transaction, operator_id, {**written, "seq": row["seq"]})
    except _UNREAD as error:
        return stored.unread(error)
    if again is None and is_given(written):
        return stored.found(Verdict.GIVEN)
    if again is None:
        made = Difference(path="$.decision_type", stored=_cut(written["decision_type"]), now=None)
        return stored.found(Verdict.DIFFERENT, first=made)
    return stored.compared(log.content_of({**written, **_columns_of(again)}))


def _plan(row: Mapping[str, Any], work_out: WorkOut) -> Replayed:
    if row["status"] != PlanStatus.SUCCEEDED:
        raise Conflict(
            f"The plan {row['plan_id']} is {row['status']}: it came to no result that could be compared. "
            "`pylon audit replay --all` takes those that SUCCEEDED; `GET /api/v1/plans` lists them."
        )
    stored = _Stored(
        name=row["plan_id"],
        kind="plan",
        content=row["result"] or "",
        digest=row["result_digest"],
        hashed=_sha256,
    ).from_input(row["input_digest"], row["input"])
    if fault := stored.fault or (None if stored.is_whole else Verdict.HASH_DIFFERS):
        return stored.found(fault)
    try:
        again = work_out(row["input"].encode()).decode()
    except _UNREAD as error:
        return stored.unread(error)
    return stored.compared(again)


def _columns_of(draft: Draft) -> dict[str, Any]:
    """Return the columns of a decision that its agent worked out."""
    return {
        "decision_type": draft.decision_type,
        "reasoning": draft.reasoning,
        "inputs": draft.inputs,
        "constraints_evaluated": draft.constraints,
        "alternatives_considered": draft.alternatives,
        "workload_id": draft.workload_id,
        "source_dc_id": draft.source_dc_id,
        "target_dc_id": draft.target_dc_id,
        "storage_asset_id": draft.storage_asset_id,
        "carbon_saved_gco2": draft.carbon_saved_gco2,
        "cost_saved_gbp": draft.cost_saved_gbp,
        "flexibility_contribution_mw": draft.flexibility_contribution_mw,
        "is_simulated": draft.is_simulated,
    }


def _first_difference(path: str, stored: Any, now: Any) -> Difference | None:
    """Return the first place, keys in order, at which two JSON values differ."""
    steps: list[tuple[str, Any, Any]] = []
    if isinstance(stored, dict) and isinstance(now, dict):
        keys = sorted({*stored, *now})
        steps = [(f".{key}", stored.get(key, _ABSENT), now.get(key, _ABSENT)) for key in keys]
    elif isinstance(stored, list) and isinstance(now, list):
        pairs = itertools.zip_longest(stored, now, fillvalue=_ABSENT)
        steps = [(f"[{place}]", *pair) for place, pair in enumerate(pairs)]
    elif _text(stored) != _text(now):
        return Difference(path=path, stored=_cut(stored), now=_cut(now))
    found = (_first_difference(path + step, *pair) for step, *pair in steps)
    return next((one for one in found if one), None)


def _text(value: Any) -> str | None:
    return None if value is _ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _cut(value: Any) -> str | None:
    text = _text(value)
    return text if text is None or len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
