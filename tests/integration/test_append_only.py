"""Append-only: what is decided and what was known is added to, and never changed or removed by anyone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pylon.errors import Conflict, Forbidden
from pylon.ontology.agency import OrchestrationDecision
from pylon.ontology.catalogue import ROWS
from pylon.store import objects
from pylon.store.database import Database
from tests.conftest import LOGIN, Described, Tenant, Tenants, new_tenant
from tests.doubles.postgres import Cluster

PARTITION = "private.signal_vintages_202611"
LOGS = {
    "public.orchestration_decisions": "reasoning = 'another'",
    "public.signal_vintages": "half_hour_values = '{0}'",
    PARTITION: "half_hour_values = '{0}'",
}
# Emptying a table that others name is refused for that before its own trigger is asked.
REFUSED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)
CHANGES = ("update {log} set {change}", "delete from {log}", "truncate {log}", "truncate {log} cascade")

Session = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def filled(cluster: Cluster, template: str) -> Iterator[tuple[str, Tenant]]:
    """A database with a decision and a vintage in it. Tests share it: if they are right, none can change it."""
    name = "pylon_append_only"
    cluster.create(name, template)
    with Database(cluster.dsn(name, LOGIN), pool_size=1) as database:
        tenant = new_tenant(database, "A")
        tenant.whole(OrchestrationDecision)
        record_vintage(database)
        yield name, tenant
    cluster.drop(name)


def record_vintage(database: Database) -> None:
    series = '[{"series": "s", "starts_at": "2026-11-22T09:00Z", "half_hour_values": [1, null], "source": "x"}]'
    with database.as_ingest() as transaction:
        now = datetime(2026, 11, 22, 9, tzinfo=UTC)
        assert transaction.value("record_vintages", series=series, run_id=UUID(int=1), now=now) == 1


@contextmanager
def session_of(who: str, cluster: Cluster, filled: tuple[str, Tenant]) -> Iterator[Session]:
    """A transaction of someone who sees the rows and tries to change them; it is rolled back at the end."""
    name, tenant = filled
    logins = {"the owner": "pylon_owner", "a superuser": "postgres", "a replica's superuser": "postgres"}
    user = logins.get(who, "postgres" if who == "service_role" else LOGIN)
    with psycopg.connect(cluster.dsn(name, user)) as session:
        if who not in logins:
            session.execute("select set_config('role', %s, true)", [who])
        if who.startswith("a replica"):
            session.execute("set local session_replication_role = replica")
        claims = f'{{"app_metadata": {{"operator_id": "{tenant.id}"}}}}'
        session.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        yield session
        session.rollback()


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize(
    "who",
    [
        "anon",
        "authenticated",
        "service_role",
        "pylon_actor",
        "pylon_ingest",
        "pylon_catalog",
        "the owner",
        "a superuser",
        "a replica's superuser",
    ],
)
def test_nobody_changes_removes_or_empties_a_log(
    who: str, log: str, cluster: Cluster, filled: tuple[str, Tenant]
) -> None:
    for change in CHANGES:
        with session_of(who, cluster, filled) as session, pytest.raises(REFUSED):
            session.execute(change.format(log=log, change=LOGS[log]).encode())


@pytest.mark.parametrize("log", LOGS)
def test_whoever_may_write_is_told_why_and_what_to_do_instead(
    log: str, cluster: Cluster, filled: tuple[str, Tenant]
) -> None:
    refuses = pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only: DELETE is refused")
    with session_of("a superuser", cluster, filled) as session, refuses as refused:
        session.execute(f"delete from {log}".encode())
    assert refused.value.diag.message_hint == "Write a new row that says what has changed."


def test_a_change_that_would_touch_no_row_is_refused_as_well(cluster: Cluster, filled: tuple[str, Tenant]) -> None:
    """Row security shows the owner without a claim no decision: silence would read as success."""
    with psycopg.connect(cluster.dsn(filled[0])) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("update public.orchestration_decisions set reasoning = ''")


def test_an_actor_adds_decisions_and_reads_them(tenants: Tenants) -> None:
    tenants.a.make(OrchestrationDecision, reasoning="first")
    tenants.a.make(OrchestrationDecision, reasoning="second")
    with tenants.a.database.as_actor(tenants.a.id) as transaction:
        rows = objects.read(transaction, OrchestrationDecision, operator_id=tenants.a.id, order_by=("decided_at",))
    assert {row["reasoning"] for row in rows} == {"first", "second"}


def test_an_upsert_changes_no_decision_either(tenants: Tenants) -> None:
    decision = tenants.a.make(OrchestrationDecision)
    upsert = (
        "insert into public.orchestration_decisions select * from public.orchestration_decisions "
        "on conflict (id) do update set reasoning = 'another'"
    )
    with pytest.raises(Forbidden), tenants.a.database.as_actor(decision.operator_id) as transaction:
        transaction.statement(upsert.encode())


def test_what_a_decision_names_cannot_be_removed(tenants: Tenants) -> None:
    tenants.a.whole(OrchestrationDecision)
    for table in ("agents", "compute_workloads", "data_centres"):
        with pytest.raises(Conflict, match="foreign key"), tenants.a.database.as_actor(tenants.a.id) as mine:
            mine.statement(f"delete from public.{table}".encode())


def test_every_log_is_guarded_even_where_triggers_are_switched_off_for_replication(described: Described) -> None:
    for row in ROWS.values():
        if row.table.append_only:
            for name in ("refuse_change", "refuse_statement"):
                assert described["triggers"][f"public.{row.table.name}.{name}"]["enabled"] == "always"


def test_a_new_months_partition_is_guarded_from_its_first_row(cluster: Cluster, filled: tuple[str, Tenant]) -> None:
    query = (
        "select tgname::text, tgenabled::text from pg_trigger "
        f"where tgrelid = '{PARTITION}'::regclass order by tgname"
    )
    with cluster.superuser(filled[0]) as session:
        assert session.execute(query.encode()).fetchall() == [("refuse_change", "A"), ("refuse_statement", "A")]
