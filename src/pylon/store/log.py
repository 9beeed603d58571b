"""The log of decisions: appending to an operator's chain.

The application makes a decision's canonical text here; PostgreSQL fills the columns from it, hashes it and links it
(derive/fragments/80_log.sql).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from pylon.errors import Invalid
from pylon.ontology.agency import OrchestrationDecision
from pylon.ontology.canonical import canonical_bytes
from pylon.store.database import Transaction, json_text

__all__ = ["Link", "append"]

_UNPLACED = {"seq": 1, "content": "", "prev_hash": "", "hash": ""}
"""What stands for a decision's place in the log until the database has settled it."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Link:
    """A decision's place in its operator's log."""

    seq: int
    prev_hash: str
    hash: str


def append(
    transaction: Transaction, operator_id: UUID, decisions: Sequence[Mapping[str, Any]], *, now: datetime
) -> list[Link]:
    """Append decisions to the operator's log, in this order, and return where each stands.

    A decision is the columns of an `OrchestrationDecision` by name, but for `operator_id` and its place in the log;
    what has a default may be left out. The operator's chain stays locked until the transaction ends.
    Raises `Invalid`, naming what does not fit, and `Conflict` when an id is taken.
    """
    if not decisions:
        return []
    contents = [_content({**decision, "operator_id": operator_id}) for decision in decisions]
    rows = transaction.all("append_decisions", operator_id=operator_id, contents=json_text(contents), now=now)
    return [Link(**row) for row in rows]


def _content(decision: Mapping[str, Any]) -> str:
    """Return the canonical text of every column of the decision but its place."""
    name = decision.get("decision_id")
    try:
        row = OrchestrationDecision.model_validate({**decision, **_UNPLACED})
        content = canonical_bytes(row.model_dump(exclude=set(_UNPLACED))).decode()
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise Invalid(f"The decision {name} cannot be logged: {'; '.join(faults)}.") from None
    except (TypeError, ValueError) as fault:
        raise Invalid(f"The decision {name} cannot be logged: {fault}.") from None
    if _NUL.search(content):
        raise Invalid(
            f"The decision {name} cannot be logged: a text in it contains the character U+0000, which PostgreSQL "
            "does not store. Leave it out."
        )
    return content
