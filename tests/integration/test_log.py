"""The log of decisions: what is appended, in which order, by whom at once, and that nothing half-done stays."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.errors import Conflict, Forbidden, Invalid, NotFound
from pylon.ontology.identity import derived_uuid
from pylon.services.publish_heads import PublishedHead, present_head, publish_heads, read_heads
from pylon.services.verify_log import FaultKind, verify, verify_in
from pylon.store import log
from pylon.store.database import Database, Transaction
from tests.conftest import LOGIN, NOW, Tenant, new_tenant
from tests.doubles.postgres import Cluster

GENESIS = "0" * 64
_serial = itertools.count(1)


@pytest.fixture(scope="module")
def home(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a database that the tests of this module share, each with operators of its own."""
    cluster.create("pylon_log", template)
    yield "pylon_log"
    cluster.drop("pylon_log")


@pytest.fixture(scope="module")
def opened(cluster: Cluster, home: str) -> Iterator[Database]:
    with Database(cluster.dsn(home, LOGIN), pool_size=10) as database:
        yield database


@pytest.fixture
def tenant(opened: Database) -> Tenant:
    return new_tenant(opened, f"log {next(_serial)}")


def decision(**values: Any) -> dict[str, Any]:
    number = next(_serial)
    words: dict[str, Any] = {
        "id": derived_uuid(NOW, "decision", str(number)),
        "decision_id": f"D-{number}",
        "decision_type": "ACCEPT_WORKLOAD",
        "reasoning": "It is cheapest now.",
        "decided_at": NOW,
    }
    return words | values


class Link(NamedTuple):
    """A decision's place in its operator's log."""

    seq: int
    prev_hash: str
    hash: str


def append(tenant: Tenant, *decisions: dict[str, Any]) -> list[Link]:
    with tenant.database.as_actor(tenant.id) as transaction:
        return append_in(transaction, tenant, *decisions)


def append_in(transaction: Transaction, tenant: Tenant, *decisions: dict[str, Any]) -> list[Link]:
    log.append(transaction, tenant.id, decisions, now=NOW)
    query = (
        b"select seq, prev_hash, hash from public.orchestration_decisions where operator_id = %(id)s order by seq"
    )
    rows = transaction.statement(query, id=tenant.id).fetchall()
    return [Link(**row) for row in rows[len(rows) - len(decisions) :]]


def stored(tenant: Tenant) -> list[dict[str, Any]]:
    with tenant.database.as_reader(tenant.id) as transaction:
        query = b"select * from public.orchestration_decisions where operator_id = %(id)s order by seq"
        return transaction.statement(query, id=tenant.id).fetchall()


class Undone(Exception):
    """Rolls a transaction back."""


@contextmanager
def undone(tenant: Tenant) -> Iterator[Transaction]:
    """A transaction of the operator, rolled back at the end."""
    with suppress(Undone), tenant.database.as_actor(tenant.id) as transaction:
        yield transaction
        raise Undone


def test_each_row_is_hashed_with_its_number_its_content_and_the_hash_before_it(tenant: Tenant) -> None:
    append(tenant, decision(), decision(reasoning="Grün, €5 — früh ☀"), decision())
    rows = stored(tenant)
    assert len(rows) == 3
    last = GENESIS
    for number, row in enumerate(rows, 1):
        assert (row["seq"], row["prev_hash"]) == (number, last)
        last = hashlib.sha256(f"{last}\n{number}\n{row['content']}".encode()).hexdigest()
        assert row["hash"] == last
    head = present_head(tenant.database, tenant.id, NOW)
    assert head == PublishedHead(operator_id=tenant.id, seq=3, hash=last, exported_at=NOW)


def test_the_content_is_every_column_and_the_columns_say_the_same(tenant: Tenant) -> None:
    given = decision(
        carbon_saved_gco2=Decimal("-12.5"),
        cost_saved_gbp=3,
        input_carbon_intensity=0,
        inputs={"carbon": [1.5, None, 1e-9, 2**53, -0.0], "at": NOW, "key": {"é": ""}},
        decided_at=datetime(2026, 3, 29, 1, 59, 59, 123456, timezone(timedelta(hours=1))),
    )
    append(tenant, given)
    (row,) = stored(tenant)
    content = json.loads(row["content"])
    assert set(content) == set(row) - {"seq", "content", "prev_hash", "hash"}
    assert content["operator_id"] == str(tenant.id)
    assert content["agent_id"] is row["agent_id"] is None
    assert (row["carbon_saved_gco2"], row["cost_saved_gbp"]) == (Decimal("-12.50"), Decimal(3))
    assert (content["carbon_saved_gco2"], content["cost_saved_gbp"]) == ("-12.5", "3")
    assert row["decided_at"] == datetime(2026, 3, 29, 0, 59, 59, 123456, UTC)
    assert row["inputs"] == {
        "carbon": [1.5, None, 1e-9, 2**53, 0],
        "at": "2026-11-22T09:00:00.000000Z",
        "key": {"é": ""},
    }
    assert verify(tenant.database, tenant.id).is_intact


def test_one_by_one_or_at_once_the_chain_is_the_same(tenant: Tenant) -> None:
    decisions = [decision() for _ in range(20)]
    with undone(tenant) as transaction:
        at_once = append_in(transaction, tenant, *decisions)
    assert [link for one in decisions for link in append(tenant, one)] == at_once


_TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"))
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    inputs=st.dictionaries(_TEXT, _VALUE, max_size=4),
    reasoning=_TEXT,
    cost=st.decimals(-(10**9), 10**9, allow_nan=False) | st.none(),
    at=st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.timezones()),  # noqa: DTZ001
)
def test_whatever_is_appended_verifies(
    law: Tenant, inputs: dict[str, Any], reasoning: str, cost: Decimal | None, at: datetime
) -> None:
    with undone(law) as transaction:
        given = decision(inputs=inputs, reasoning=reasoning, cost_saved_gbp=cost, decided_at=at)
        log.append(transaction, law.id, [given], now=NOW)
        found = verify_in(transaction, law.id)
    assert (found.fault, found.checked) == (None, 1)


@pytest.fixture(scope="module")
def law(opened: Database) -> Tenant:
    return new_tenant(opened, "law")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"reasoning": "a\0b"}, r"contains the character U\+0000.*Leave it out"),
        ({"inputs": {"a\0": 1}}, r"contains the character U\+0000"),
        ({"inputs": {"a": ["\\", "\0"]}}, r"contains the character U\+0000"),
        ({"inputs": {"a": math.nan}}, r"\$\.inputs\.a: nan is not a number JSON has"),
        ({"inputs": {"a": "\ud800"}}, r"half of a surrogate pair"),
        ({"inputs": {"a": {1, 2}}}, r"\$\.inputs\.a: set has no canonical form"),
        ({"decision_type": "GUESS"}, r"decision_type"),
        ({"colour": "green"}, r"colour"),
        ({"cost_saved_gbp": 1e12}, r"cost_saved_gbp"),
    ],
)
def test_what_cannot_be_logged_is_refused_by_name(tenant: Tenant, values: dict[str, Any], why: str) -> None:
    given = decision(**values)
    with pytest.raises(Invalid, match=f"(?s)The decision {given['decision_id']} cannot be logged.*{why}"):
        append(tenant, decision(), given)
    assert stored(tenant) == []


def test_a_backslash_before_u0000_is_text(tenant: Tenant) -> None:
    append(tenant, decision(reasoning="\\u0000"))
    assert stored(tenant)[0]["reasoning"] == "\\u0000"


def test_an_empty_batch_appends_nothing(tenant: Tenant) -> None:
    assert append(tenant) == []
    assert present_head(tenant.database, tenant.id, NOW).seq == 0


def test_an_id_is_logged_once_and_a_refused_batch_leaves_no_gap(tenant: Tenant) -> None:
    first, second = decision(), decision()
    append(tenant, first)
    with pytest.raises(Conflict, match="in orchestration_decisions already"):
        append(tenant, second, first)
    assert [link.seq for link in append(tenant, second)] == [2]
    assert verify(tenant.database, tenant.id).is_intact


def test_who_acts_for_another_operator_is_refused(opened: Database, tenant: Tenant) -> None:
    other = new_tenant(opened, "another")
    with pytest.raises(Forbidden, match="row-level security"), opened.as_actor(other.id) as transaction:
        log.append(transaction, tenant.id, [decision()], now=NOW)
    append(tenant, decision())
    with opened.as_reader(other.id) as transaction:
        assert transaction.all("log_page", operator_id=tenant.id, first=1, last=9, limit=9) == []
        assert transaction.one("chain_head", operator_id=tenant.id) is None
        assert transaction.all("hashes_at", operator_id=tenant.id, seqs=[1]) == []
        page = transaction.one("check_decisions", operator_id=tenant.id, after=0, upto=9, hash=GENESIS)
        assert page
        assert page["checked"] == 0


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "pylon_ingest", "pylon_catalog"])
def test_only_an_actor_appends(role: str, cluster: Cluster, home: str, tenant: Tenant) -> None:
    with cluster.superuser(home) as session:
        session.execute(f"set role {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("select * from public.append_decisions(%s, '{}', now())", [tenant.id])


def test_eight_writers_of_one_log_and_of_eight_keep_each_chain_whole(opened: Database, tenant: Tenant) -> None:
    each = [new_tenant(opened, f"writer {number}") for number in range(8)]
    together = threading.Barrier(8)

    def work(own: Tenant) -> None:
        together.wait()
        for number in range(10):
            append(tenant, *(decision() for _ in range(1 + number % 3)))
            append(own, decision())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, each))
    for one, rows in ((tenant, 8 * 19), *((own, 10) for own in each)):
        found = verify(opened, one.id)
        assert (found.fault, found.decisions, found.checked) == (None, rows, rows)


KILLED = """
import sys
from datetime import UTC, datetime
from uuid import UUID, uuid4
from pylon.store import log
from pylon.store.database import Database
operator, now = UUID(sys.argv[2]), datetime.now(UTC)
def decision(i):
    return {"id": uuid4(), "decision_id": f"K-{i}", "decision_type": "ACCEPT_WORKLOAD", "reasoning": "x" * 2000,
            "decided_at": now}
with Database(sys.argv[1], pool_size=1) as database, database.as_actor(operator) as transaction:
    batch = [decision(i) for i in range(int(sys.argv[3]))]
    log.append(transaction, operator, [decision("first")], now=now)
    print("appended", flush=True)
    log.append(transaction, operator, batch, now=now)
    print("all appended", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["appended", "all appended"])
def test_a_writer_killed_in_the_middle_of_a_batch_leaves_nothing(
    moment: str, cluster: Cluster, home: str, tenant: Tenant
) -> None:
    append(tenant, decision())
    # Killed while the second batch is under way, which is long; or before it commits.
    words = [cluster.dsn(home, LOGIN), str(tenant.id), "5000" if moment == "appended" else "50"]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        while process.stdout.readline().strip() != moment:
            assert process.poll() is None
        process.kill()
    # Waits for the lock that the killed one's server process holds until it notices.
    assert [link.seq for link in append(tenant, decision())] == [2]
    assert verify(tenant.database, tenant.id).is_intact


def insert(transaction: Transaction, tenant: Tenant, **place: Any) -> None:
    """Insert a row as a program that goes round the function would."""
    words = {"content": "{}", "prev_hash": GENESIS, "hash": GENESIS} | place
    transaction.statement(
        b"insert into public.orchestration_decisions (id, operator_id, decision_id, decision_type, reasoning, "
        b"decided_at, seq, content, prev_hash, hash) values (%(id)s, %(operator)s, %(name)s, 'ACCEPT_WORKLOAD', "
        b"'because', %(now)s, %(seq)s, %(content)s, %(prev_hash)s, %(hash)s)",
        **{"id": derived_uuid(NOW, str(next(_serial))), "operator": tenant.id, "now": NOW, "name": "past", **words},
    )


@pytest.mark.parametrize(
    ("seq", "kind", "at"),
    [(3, FaultKind.NOT_LINKED, 3), (9, FaultKind.MISSING, 3), (10**12, FaultKind.MISSING, 3)],
)
def test_a_row_that_was_not_appended_is_found(tenant: Tenant, seq: int, kind: FaultKind, at: int) -> None:
    append(tenant, decision(), decision())
    with tenant.database.as_actor(tenant.id) as transaction:
        insert(transaction, tenant, seq=seq)
    found = verify(tenant.database, tenant.id)
    assert found.fault
    assert (found.fault.kind, found.fault.seq) == (kind, at)
    assert (found.is_intact, found.decisions, found.checked) == (False, 3, 2)


def test_a_row_beyond_the_head_is_found_and_holds_the_next_one_up(tenant: Tenant) -> None:
    first, _ = append(tenant, decision(), decision())
    with tenant.database.as_actor(tenant.id) as transaction:
        back = b"update public.chain_heads set seq = 1, hash = %(hash)s where operator_id = %(id)s"
        transaction.statement(back, hash=first.hash, id=tenant.id)
    found = verify(tenant.database, tenant.id)
    assert found.fault
    assert (found.fault.kind, found.fault.seq) == (FaultKind.BEYOND_HEAD, 2)
    with pytest.raises(Conflict):
        append(tenant, decision())


def test_a_log_of_several_pieces_is_followed_to_its_end(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pylon.services.verify_log._CHUNK", 4)
    append(tenant, *(decision() for _ in range(10)))
    told: list[tuple[int, int]] = []
    found = verify(tenant.database, tenant.id, progress=lambda done, of: told.append((done, of)))
    assert (found.is_intact, found.checked) == (True, 10)
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_an_empty_log_is_intact(tenant: Tenant) -> None:
    found = verify(tenant.database, tenant.id, [present_head(tenant.database, tenant.id, NOW)])
    assert (found.is_intact, found.decisions, found.unprotected, found.last_hash) == (True, 0, 0, GENESIS)


def test_a_head_is_published_when_it_has_moved(tenant: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "new" / "chain-heads.jsonl"
    assert publish_heads(tenant.database, tenant.id, path, NOW) is None
    assert not path.exists()
    (link,) = append(tenant, decision())
    head = publish_heads(tenant.database, tenant.id, path, NOW)
    assert head == PublishedHead(operator_id=tenant.id, seq=1, hash=link.hash, exported_at=NOW)
    assert publish_heads(tenant.database, tenant.id, path, NOW + timedelta(hours=1)) is None
    assert json.loads(path.read_text()) == {
        "operator_id": str(tenant.id),
        "seq": 1,
        "hash": link.hash,
        "exported_at": "2026-11-22T09:00:00Z",
    }


def test_operators_share_a_file_of_heads(opened: Database, tenant: Tenant, tmp_path: Path) -> None:
    other, path = new_tenant(opened, "shares"), tmp_path / "heads"
    for one in (tenant, other, tenant):
        append(one, decision())
        assert publish_heads(opened, one.id, path, NOW)
    assert publish_heads(opened, other.id, path, NOW) is None
    heads = read_heads(path).heads
    assert [head.operator_id for head in heads] == [tenant.id, other.id, tenant.id]
    found = verify(opened, tenant.id, heads)
    assert (found.heads_met, found.protected_upto, found.unprotected) == (2, 2, 0)


def test_a_line_that_was_cut_short_stops_neither_publishing_nor_verifying(tenant: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "heads"
    append(tenant, decision())
    publish_heads(tenant.database, tenant.id, path, NOW)
    with path.open("ab") as file:
        file.write(b'{"operator_id":"')
    append(tenant, decision())
    publish_heads(tenant.database, tenant.id, path, NOW)
    known = read_heads(path)
    assert ([head.seq for head in known.heads], known.unreadable_lines) == ([1, 2], (2,))
    assert verify(tenant.database, tenant.id, known.heads).heads_met == 2


def test_a_file_that_is_not_there_or_cannot_be_written_is_said_so(tenant: Tenant, tmp_path: Path) -> None:
    append(tenant, decision())
    with pytest.raises(NotFound, match="`pylon audit heads` writes one"):
        read_heads(tmp_path / "none")
    with pytest.raises(Invalid, match="cannot be read"):
        read_heads(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(Invalid, match="Set PYLON_HOME"):
        publish_heads(tenant.database, tenant.id, tmp_path / "file" / "heads", NOW)


def test_what_lies_after_the_last_published_head_is_said_to_be_unprotected(tenant: Tenant) -> None:
    append(tenant, decision(), decision())
    head = present_head(tenant.database, tenant.id, NOW)
    append(tenant, decision(), decision(), decision())
    assert verify(tenant.database, tenant.id).unprotected == 5
    found = verify(tenant.database, tenant.id, [head])
    assert (found.is_intact, found.protected_upto, found.unprotected) == (True, 2, 3)


@contextmanager
def as_superuser(cluster: Cluster, home: str) -> Iterator[Transaction]:
    """A superuser's transaction, rolled back at the end."""
    with psycopg.connect(cluster.dsn(home, "postgres"), row_factory=psycopg.rows.dict_row) as session:
        yield Transaction(session)
        session.rollback()


def test_a_head_that_was_published_and_is_not_there_any_more_is_told_with_what_it_says(
    cluster: Cluster, home: str, tenant: Tenant
) -> None:
    append(tenant, *(decision() for _ in range(5)))
    four = PublishedHead(operator_id=tenant.id, seq=4, hash="f" * 64, exported_at=NOW)
    nine = four.model_copy(update={"seq": 9})
    others = four.model_copy(update={"operator_id": UUID(int=1)})
    three = four.model_copy(update={"seq": 3, "hash": stored(tenant)[2]["hash"]})
    with as_superuser(cluster, home) as transaction:
        found = verify_in(transaction, tenant.id, [nine, four, three, others])
        assert found.fault
        assert (found.fault.kind, found.fault.seq) == (FaultKind.PUBLISHED_HEAD_DIFFERS, 4)
        assert found.fault.detail == (
            "Decision 4 is not the one that was there at 2026-11-22 09:00 UTC, when its hash was published: it, or "
            "one between 4 and it, was rewritten."
        )
        assert (found.heads_met, found.checked, found.protected_upto) == (1, 5, 9)
        gone = verify_in(transaction, tenant.id, [nine]).fault
        assert gone
        assert (gone.kind, gone.seq) == (FaultKind.TRUNCATED, 6)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_heads_published_at_one_number_the_one_that_differs_is_told(tenant: Tenant, order: int) -> None:
    append(tenant, *(decision() for _ in range(5)))
    good = [
        PublishedHead(operator_id=tenant.id, seq=row["seq"], hash=row["hash"], exported_at=NOW)
        for row in stored(tenant)
        if row["seq"] in (3, 4)
    ]
    bad = good[1].model_copy(update={"hash": "f" * 64, "exported_at": NOW + timedelta(hours=1)})
    found = verify(tenant.database, tenant.id, [*good, bad][::order])
    assert found.fault
    assert (found.fault.kind, found.fault.seq, found.heads_met) == (FaultKind.PUBLISHED_HEAD_DIFFERS, 4, 2)
    assert "was there at 2026-11-22 10:00 UTC" in found.fault.detail
    assert "it, or one between 4 and it, was rewritten" in found.fault.detail


def test_a_head_with_a_number_beyond_all_numbers_is_a_line_that_is_none(tenant: Tenant, tmp_path: Path) -> None:
    append(tenant, decision())
    path = tmp_path / "heads"
    publish_heads(tenant.database, tenant.id, path, NOW)
    path.write_bytes(path.read_bytes() + path.read_bytes().replace(b'"seq":1,', b'"seq":9223372036854775808,'))
    known = read_heads(path)
    assert (len(known.heads), known.unreadable_lines) == (1, (2,))
    assert verify(tenant.database, tenant.id, known.heads).is_intact
