"""Connections: they come back, give up in time, say what went wrong, and need no session to keep its state."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from pylon.errors import Conflict, Forbidden, Invalid, NotFound, PylonError, SchemaMismatch, StoreUnavailable
from pylon.ontology.agency import Agent, AgentState
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fleet import DataCentre, Operator
from pylon.store import objects
from pylon.store.database import Database
from pylon.store.queries import QUERIES
from tests.conftest import LOGIN, Superuser, Tenants, name_of
from tests.doubles.postgres import PASSWORD, Cluster

_PARAMETER = re.compile(r"%\((\w+)\)s")
PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


# Losing the database


def test_a_connection_that_the_server_ended_is_replaced(database: Database, superuser: Superuser) -> None:
    assert regions(database) == 17
    end_connections(superuser)
    assert regions(database) == 17


def test_a_connection_lost_in_the_middle_is_reported_and_the_next_works(
    database: Database, superuser: Superuser
) -> None:
    def lose_it() -> None:
        with database.as_anyone() as transaction:
            end_connections(superuser)
            transaction.all("regions")

    with pytest.raises(StoreUnavailable):
        lose_it()
    assert regions(database) == 17


def test_a_database_that_is_not_there_is_said_to_be_so(cluster: Cluster) -> None:
    with pytest.raises(StoreUnavailable, match="no_such_database"):
        Database(cluster.dsn("no_such_database", LOGIN), pool_size=1)


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        Database("postgresql://pylon_app@127.0.0.1:1/pylon", pool_size=1)


# Giving up in time


def test_a_statement_that_takes_too_long_is_stopped(app_dsn: str) -> None:
    with Database(app_dsn, pool_size=1, statement_timeout_s=0.5) as database:
        with pytest.raises(StoreUnavailable, match="gave up after its time limit"), database.as_anyone() as reading:
            reading.statement(b"select pg_sleep(30)")
        assert regions(database) == 17


def test_the_time_limit_ends_with_its_transaction(app_dsn: str) -> None:
    with Database(app_dsn, pool_size=1, statement_timeout_s=0.5) as database:
        regions(database)
        with database._pool.connection() as connection:
            assert connection.execute("show statement_timeout").fetchone() == {"statement_timeout": "0"}


# Saying what went wrong


def test_a_key_that_is_taken_is_a_conflict(tenants: Tenants) -> None:
    tenants.a.make(Agent, agent_id="one")
    upsert = b"insert into public.agents select (jsonb_populate_record(a, %(id)s)).* from public.agents a"
    with (
        pytest.raises(Conflict, match="agents_operator_id_agent_id_key"),
        tenants.a.database.as_actor(tenants.a.id) as mine,
    ):
        mine.statement(upsert, id=f'{{"id": "{UUID(int=5)}"}}')


def test_a_reference_to_nothing_is_not_found(tenants: Tenants) -> None:
    with pytest.raises(NotFound, match="is not present in table"):
        tenants.a.make(AgentState, agent_id=UUID(int=5))


def test_removing_what_others_name_is_a_conflict(tenants: Tenants) -> None:
    tenants.a.whole(ComputeWorkload)
    with pytest.raises(Conflict, match="referenced from table"), tenants.a.database.as_actor(tenants.a.id) as mine:
        mine.statement(b"delete from public.data_centres")


def test_a_broken_rule_is_invalid(tenants: Tenants) -> None:
    with pytest.raises(Invalid, match="data_centres_base_load_fits"):
        tenants.a.make(DataCentre, base_load_mw=2, total_capacity_mw=1)


def test_a_value_of_the_wrong_form_is_invalid(database: Database) -> None:
    with pytest.raises(Invalid, match="invalid input syntax for type uuid"), database.as_anyone() as reading:
        reading.statement(b"select %(id)s::uuid", id="me")


def test_what_a_role_may_not_do_is_forbidden(database: Database) -> None:
    with pytest.raises(Forbidden, match="permission denied for table agents"), database.as_anyone() as reading:
        reading.statement(b"select from public.agents")


@pytest.mark.parametrize(
    "missing", ["public.no_such_table", "public.no_such_function()", "(select no_such_column) x"]
)
def test_a_missing_piece_of_the_schema_says_to_migrate(missing: str, database: Database) -> None:
    with pytest.raises(SchemaMismatch, match="Run `pylon db migrate`"), database.as_anyone() as reading:
        reading.statement(f"select from {missing}".encode())


def test_a_database_that_was_never_migrated_says_to_migrate(
    cluster: Cluster, new_database: Callable[..., str], template: str
) -> None:
    address = cluster.dsn(name_of(new_database()), LOGIN)
    says_so = pytest.raises(SchemaMismatch, match="Run `pylon db migrate`")
    with Database(address, pool_size=1) as database, says_so:
        regions(database)


def test_a_server_without_our_roles_says_to_migrate(database: Database) -> None:
    with (
        pytest.raises(SchemaMismatch, match=r"no_such_role.*Run `pylon db migrate`"),
        database.as_anyone() as reading,
    ):
        reading.statement(b"select set_config('role', 'no_such_role', true)")


def test_our_own_errors_pass_unchanged(database: Database) -> None:
    with pytest.raises(PylonError, match="mine"), database.as_anyone():
        raise PylonError("mine")


# Transactions


def test_a_transaction_that_raises_leaves_nothing(tenants: Tenants) -> None:
    agent = tenants.a.make(Agent)

    def fail() -> None:
        with tenants.a.database.as_actor(tenants.a.id) as transaction:
            transaction.statement(b"update public.agents set name = 'changed'")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with tenants.a.database.as_reader(tenants.a.id) as transaction:
        (row,) = objects.read(transaction, Agent, operator_id=tenants.a.id)
    assert row["name"] == agent.name


@pytest.mark.parametrize("prepares", [False, True])
def test_what_is_sent_is_written_in_its_order_and_what_fails_of_it_undoes_all(
    app_dsn: str, tenants: Tenants, prepares: bool
) -> None:
    agent = tenants.a.whole(Agent)
    first, second = (agent.model_copy(update={"id": UUID(int=n), "agent_id": f"SENT-{n}"}) for n in (7, 8))
    with Database(app_dsn, pool_size=1, prepares=prepares) as database:

        def send(*agents: Agent) -> None:
            with database.as_actor(tenants.a.id, pipelined=True) as transaction:
                for one in agents:
                    objects.send_new(transaction, [one])
                objects.send_changes(transaction, [first.model_copy(update={"name": "sent"})], ["name"])

        def names() -> set[str]:
            with database.as_reader(tenants.a.id) as transaction:
                return {row["name"] for row in objects.read(transaction, Agent, operator_id=tenants.a.id)}

        with pytest.raises(Conflict, match="in agents already"):
            send(second, second)
        assert names() == {agent.name}
        with pytest.raises(Conflict, match="in agents already"):
            send(second, agent.model_copy(update={"id": UUID(int=9)}))
        assert names() == {agent.name}
        send(first, second)
        assert names() == {agent.name, "sent"}


@pytest.mark.parametrize("often", [False, True])
def test_what_is_asked_together_is_answered_each_by_itself(app_dsn: str, tenants: Tenants, often: bool) -> None:
    nobody = {"operator_id": tenants.a.id, "key": "none"}
    with Database(app_dsn, pool_size=1, prepares=True) as database:
        with database.as_actor(tenants.a.id, pipelined=True) as transaction:
            head = transaction.ask("chain_head", often=often, operator_id=tenants.a.id)
            many, none = transaction.ask("regions"), transaction.ask("performed_before", often=often, **nobody)
            assert (len(many.all()), none.one()) == (17, None)
            assert (head.one() or {"seq": 0})["seq"] == transaction.value(
                "count_decisions", operator_id=tenants.a.id
            )

        def ask_wrongly() -> None:
            with database.as_actor(tenants.a.id, pipelined=True) as transaction:
                wrong = transaction.ask("acting_agent", operator_id=tenants.a.id, agent_type="NOBODY")
                pytest.fail(f"there is no such type, and yet {wrong.one()}")

        with pytest.raises(Invalid, match="NOBODY"):
            ask_wrongly()


def test_waiting_tells_of_what_failed_and_counts_what_was_written(tenants: Tenants) -> None:
    agent = tenants.a.whole(Agent)
    with tenants.a.database.as_actor(tenants.a.id, pipelined=True) as transaction:
        renamed = agent.model_copy(update={"name": "renamed"})
        assert objects.change(transaction, [renamed], ["name"]) == 1
        assert objects.change(transaction, [renamed], ["name"]) == 0
        assert objects.read(transaction, Agent, operator_id=tenants.a.id)[0]["name"] == "renamed"

    def fail() -> None:
        with tenants.a.database.as_actor(tenants.a.id, pipelined=True) as transaction:
            objects.send_new(transaction, [agent])
            transaction.wait()
            pytest.fail("the key is taken")

    with pytest.raises(Conflict, match="in agents already"):
        fail()


def test_adding_what_is_there_adds_nothing(tenants: Tenants) -> None:
    agent = tenants.a.make(Agent)
    with tenants.a.database.as_actor(tenants.a.id) as transaction:
        assert objects.add_missing(transaction, [agent, agent.model_copy(update={"id": UUID(int=5)})]) == 0
        assert objects.add_missing(transaction, []) == 0
        assert objects.count(transaction, Agent, tenants.a.id) == 1


def test_a_row_comes_back_as_it_was_declared(tenants: Tenants) -> None:
    workload = tenants.a.whole(ComputeWorkload, allowed_region_ids=[1, 13])
    with tenants.a.database.as_reader(tenants.a.id) as transaction:
        (row,) = objects.read(transaction, ComputeWorkload, operator_id=tenants.a.id)
    assert ComputeWorkload.model_validate(row) == workload


def test_an_update_says_when_it_was(tenants: Tenants) -> None:
    agent = tenants.a.make(Agent)
    with tenants.a.database.as_actor(tenants.a.id) as transaction:
        rename = b"update public.agents set name = 'x' returning updated_at, now() as now"
        row = transaction.statement(rename).fetchone()
    assert row is not None
    assert row["updated_at"] == row["now"] > agent.updated_at


def test_every_named_query_fits_the_schema(superuser: Superuser) -> None:
    """The server parses each and finds every table, column and function that it names."""
    with superuser() as session:
        for name, query in QUERIES.items():
            text = query.decode()
            for number, parameter in enumerate(dict.fromkeys(_PARAMETER.findall(text)), 1):
                text = text.replace(f"%({parameter})s", f"${number}")
            session.execute(f"prepare probe_{name} as {text}".encode())


# Through a transaction pooler


@pytest.fixture
def pooled(app_dsn: str) -> Iterator[str]:
    """The login's address through pgbouncer in transaction mode: two connections to the server."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    with pgbouncer(PGBOUNCER, app_dsn) as address:
        yield address


def test_four_clients_on_two_pooled_connections_never_meet_each_others_role_or_claims(
    pooled: str, tenants: Tenants
) -> None:
    for tenant in (tenants.a, tenants.b):
        tenant.make(Agent)

    def work(number: int, database: Database) -> set[object]:
        tenant = (tenants.a, tenants.b)[number % 2]
        seen: set[object] = set()
        for _ in range(25):
            with database.as_reader(tenant.id) as transaction:
                seen |= {row["o"] for row in transaction.statement(b"select operator_id as o from public.agents")}
            with database.as_anyone() as transaction:
                seen |= {transaction.statement(b"select current_user::text as u").fetchone()["u"]}  # type: ignore[index]
        return seen - {"anon"} - {tenant.id}

    with contextlib.ExitStack() as clients, ThreadPoolExecutor(4) as pool:
        databases = [clients.enter_context(Database(pooled, pool_size=1)) for _ in range(4)]
        assert list(pool.map(work, range(4), databases)) == [set()] * 4


def test_a_pooled_connection_carries_nothing_over(pooled: str, tenants: Tenants) -> None:
    with Database(pooled, pool_size=1) as database:
        with contextlib.suppress(Forbidden), database.as_actor(tenants.a.id) as transaction:
            transaction.statement(b"delete from public.regions")
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as bare:
            assert bare.execute("select current_user, current_setting('statement_timeout')").fetchone() == (
                LOGIN,
                "0",
            )


def test_objects_are_written_and_read_through_a_pooler(pooled: str, tenants: Tenants) -> None:
    with Database(pooled, pool_size=2) as database:
        assert regions(database) == 17
        with database.as_actor(tenants.a.id) as transaction:
            transaction.statement(b"update public.operators set name = 'pooled'")
        with database.as_reader(tenants.a.id) as transaction:
            (row,) = objects.read(transaction, Operator, operator_id=tenants.a.id)
    assert row["name"] == "pooled"


@contextlib.contextmanager
def pgbouncer(program: str, dsn: str) -> Iterator[str]:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="pylon-test-pgb-", dir="/tmp"))
    (folder / "users").write_text(f'"{LOGIN}" "{PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
        [databases]
        {parts["dbname"]} = host=127.0.0.1 port={parts["port"]}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = scram-sha-256
        auth_file = {folder}/users
        pool_mode = transaction
        default_pool_size = 2
        max_client_conn = 20
        """.replace("\n        ", "\n")
    )
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if account:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    words = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, folder / "pgbouncer.ini"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **words
        )
    address = psycopg.conninfo.make_conninfo(dsn, port=str(port))
    try:
        wait_for(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(address).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"pgbouncer did not start: {log.read_text()}") from None
            time.sleep(0.05)


def regions(database: Database) -> int:
    with database.as_anyone() as transaction:
        return len(transaction.all("regions"))


def end_connections(superuser: Superuser) -> None:
    with superuser() as session:
        session.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and usename = 'pylon_app'"
        )


def test_a_reader_sees_one_moment_whatever_commits_meanwhile(database, tenants):
    count = "select count(*) as n from public.data_centres"
    with database.as_reader(tenants.a.id) as transaction:
        before = transaction.statement(count.encode()).fetchone()
        tenants.a.make(DataCentre)
        assert transaction.statement(count.encode()).fetchone() == before
    with database.as_reader(tenants.a.id) as transaction:
        assert transaction.statement(count.encode()).fetchone() != before
