"""The log of decisions: appending to an operator's chain.

The application makes a decision's canonical text here; PostgreSQL fills the columns from it, hashes it and links it
(derive/fragments/80_log.sql).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from pylon.errors import Invalid
from pylon.ontology.agency import OrchestrationDecision
from pylon.ontology.canonical import canonical_bytes, holds_nul
from pylon.store.database import Transaction, json_text

__all__ = ["append", "content_of"]

_UNPLACED = {"seq": 1, "content": "", "prev_hash": "", "hash": ""}
"""What stands for a decision's place in the log until the database has settled it."""


def append(
    transaction: Transaction, operator_id: UUID, decisions: Sequence[Mapping[str, Any]], *, now: datetime
) -> None:
    """Append decisions to the operator's log, in this order, without waiting where the transaction is pipelined.

    A decision is the columns of an `OrchestrationDecision` by name, but for `operator_id` and its place in the log;
    what has a default may be left out. The operator's chain stays locked until the transaction ends.
    Raises `Invalid`, naming what does not fit. That an id is taken shows when the database answers, so in a
    pipelined transaction the `Conflict` comes at its next wait or its commit.
    """
    if decisions:
        contents = [content_of({**decision, "operator_id": operator_id}) for decision in decisions]
        transaction.send("append_decisions", operator_id=operator_id, contents=json_text(contents), now=now)


def content_of(decision: Mapping[str, Any]) -> str:
    """Return the canonical text of every column of the decision but its place: what is hashed.

    Raises `Invalid`, naming what does not fit.
    """
    name = decision.get("decision_id")
    try:
        row = OrchestrationDecision.model_validate({**decision, **_UNPLACED})
        content = canonical_bytes(row.model_dump(exclude=set(_UNPLACED))).decode()
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise Invalid(f"The decision {name} cannot be logged: {'; '.join(faults)}.") from None
    except (TypeError, ValueError) as fault:
        raise Invalid(f"The decision {name} cannot be logged: {fault}.") from None
    if holds_nul(content):
        raise Invalid(
            f"The decision {name} cannot be logged: a text in it contains the character U+0000, which PostgreSQL "
            "does not store. Leave it out."
        )
    return content
