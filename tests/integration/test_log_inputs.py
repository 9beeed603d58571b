"""What a decision names as what it saw is held against what is kept: verifying finds an input that was changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from pylon.errors import NotFound
from pylon.interfaces.check_export import check
from pylon.services.export_log import export_log
from pylon.services.recall_view import view_before
from pylon.services.verify_log import FaultKind, Verification, verify, verify_in
from pylon.store.database import Transaction
from tests.doubles.acting import Acting
from tests.doubles.postgres import Cluster

CHANGE = 'update plan_inputs set content = replace(content, \'"dc_id":"LEEDS-1"\', \'"dc_id":"LEEDS-2"\') '
REMOVE = "delete from plan_inputs "


@pytest.fixture
def session(cluster: Cluster, here: Acting) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session, from which nothing stays; the test's operator decided five times on two inputs."""
    here.submit("A")
    here.submit("B")
    here.now += timedelta(hours=1)  # another half hour is another input
    for job in ("C", "D", "E"):
        here.submit(job)
    with psycopg.connect(cluster.dsn("pylon_signals", "postgres"), row_factory=dict_row) as session:
        yield session
        session.rollback()


@contextmanager
def unguarded(session: psycopg.Connection[Any], table: str) -> Iterator[None]:
    session.execute(f"alter table public.{table} disable trigger user".encode())
    yield
    session.execute(f"alter table public.{table} enable trigger user".encode())


def tampered(session: psycopg.Connection[Any], here: Acting, statement: str, seq: int) -> Verification:
    """Do this to the input that the decision `seq` names, and verify the log."""
    named = "(select inputs ->> 'view' from orchestration_decisions where operator_id = %(o)s and seq = %(n)s)"
    with unguarded(session, "plan_inputs"):
        whose = f"where operator_id = %(o)s and digest = {named}"
        done = session.execute((statement + whose).encode(), {"o": here.operator_id, "n": seq})
        assert done.rowcount == 1
    return verify_in(Transaction(session), here.operator_id)


def test_every_input_is_kept_and_five_decisions_name_two(here: Acting, session: psycopg.Connection[Any]) -> None:
    assert len(here.rows("select from public.plan_inputs")) == 2
    assert (found := verify(here.database, here.operator_id)).is_intact
    assert found.checked == 5


@pytest.mark.parametrize("chunk", [2, 3, 10_000])
@pytest.mark.parametrize(
    ("statement", "kind", "words"),
    [
        (CHANGE, FaultKind.INPUT_DIFFERS, "What is kept as what decision {} saw is not what it names"),
        (REMOVE, FaultKind.INPUT_MISSING, "What decision {} names as what it saw is not kept"),
    ],
    ids=["changed", "removed"],
)
@pytest.mark.parametrize(("seq", "first"), [(2, 1), (5, 3)])
def test_an_input_that_was_tampered_with_is_told_at_the_first_decision_that_names_it(
    here: Acting,
    session: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    kind: FaultKind,
    words: str,
    seq: int,
    first: int,
    chunk: int,
) -> None:
    monkeypatch.setattr("pylon.services.verify_log._CHUNK", chunk)
    found = tampered(session, here, statement, seq)
    assert found.fault
    assert (found.fault.kind, found.fault.seq, found.checked) == (kind, first, first - 1)
    assert found.fault.detail.startswith(words.format(first))
    before = here.rows(f"select prev_hash from public.orchestration_decisions where seq = {first}")
    assert found.last_hash == before[0]["prev_hash"]


def test_a_fault_of_the_chain_before_it_is_told_first(here: Acting, session: psycopg.Connection[Any]) -> None:
    with unguarded(session, "orchestration_decisions"):
        session.execute(
            "update orchestration_decisions set reasoning = '' where operator_id = %s and seq = 2",
            [here.operator_id],
        )
    found = tampered(session, here, CHANGE, 3)
    assert found.fault
    assert (found.fault.kind, found.fault.seq) == (FaultKind.COLUMNS_DIFFER, 2)


@pytest.mark.parametrize("statement", [CHANGE, REMOVE], ids=["changed", "removed"])
def test_a_view_is_not_recalled_from_an_input_that_is_not_as_it_was(
    here: Acting, session: psycopg.Connection[Any], statement: str
) -> None:
    (decision,) = here.rows("select * from public.orchestration_decisions where seq = 4")
    assert view_before(Transaction(session), here.operator_id, decision).digest == decision["inputs"]["view"]
    tampered(session, here, statement, 4)
    with pytest.raises(NotFound, match=r"What D-000004 saw, the input .* is not kept here as it was"):
        view_before(Transaction(session), here.operator_id, decision)


@pytest.mark.parametrize(
    "content", ["[" * 200_000, '{"a":' * 200_000, "1e999999"], ids=["array", "object", "number"]
)
def test_content_that_no_one_can_read_is_named_however_it_is_hashed(
    here: Acting, session: psycopg.Connection[Any], content: str
) -> None:
    (before,) = here.rows("select prev_hash from public.orchestration_decisions where seq = 5")
    digest = hashlib.sha256(f"{before['prev_hash']}\n5\n{content}".encode()).hexdigest()
    with unguarded(session, "orchestration_decisions"):
        session.execute(
            "update orchestration_decisions set content = %s, hash = %s where operator_id = %s and seq = 5",
            [content, digest, here.operator_id],
        )
    session.execute("update chain_heads set hash = %s where operator_id = %s", [digest, here.operator_id])
    found = verify_in(Transaction(session), here.operator_id)
    assert found.fault
    assert (found.fault.kind, found.fault.seq, found.checked) == (FaultKind.CONTENT_UNREADABLE, 5, 4)


def test_an_export_ends_where_it_said_while_decisions_are_appended(
    here: Acting, session: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pylon.services.export_log._PAGE", 2)
    lines = export_log(here.database, here.operator_id, here.now)
    taken = [next(lines), next(lines)]
    here.submit("F")
    here.do("cancel_workload", job_id="A")
    taken.extend(lines)
    assert "decisions 1 to 5" in check(b"".join(taken).splitlines())
    again = b"".join(export_log(here.database, here.operator_id, here.now)).splitlines()
    assert len(again) > 1 + 5
    assert again[1:6] == b"".join(taken).splitlines()[1:]
