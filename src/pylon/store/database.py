"""Connections: a pool, and transactions that run as one of the database's roles and never as the login.

Nothing here needs a session to keep its state, so a transaction pooler may stand in between: no session settings,
`set_config(..., true)` inside the transaction only, and prepared statements only where it is said that none does.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self
from uuid import UUID

import orjson
import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from pylon.store.faults import reported
from pylon.store.queries import QUERIES

__all__ = ["Answer", "Database", "Transaction", "json_text"]

_POOL_WAIT_S = 10.0
_ONLY_WHEN_TOLD = 2**31
"""How often a statement is run before it is prepared by itself. One that reads `*` would fail after a migration,
and one that reads much is planned better with its parameters. So only what is told to be prepared is."""
_ONE_MOMENT = IsolationLevel.REPEATABLE_READ
"""What a reader's queries all see: one moment, so that a pipeline run is seen whole or not at all."""


class Answer:
    """What the database answers to a query that was asked; what reads it waits for it."""

    def __init__(self, cursor: psycopg.Cursor[dict[str, Any]]) -> None:
        """Take the cursor that the query was sent with."""
        self._cursor = cursor

    def all(self) -> list[dict[str, Any]]:
        """Return every row."""
        return self._cursor.fetchall()

    def one(self) -> dict[str, Any] | None:
        """Return the first row, or None."""
        return self._cursor.fetchone()


class Transaction:
    """One open transaction; runs the named queries of queries.sql."""

    def __init__(
        self, connection: psycopg.Connection[dict[str, Any]], pipeline: psycopg.Pipeline | None = None
    ) -> None:
        """Wrap a connection inside its transaction, and the pipeline it is in."""
        self._connection = connection
        self._pipeline = pipeline

    def all(self, query: str, /, **values: Any) -> list[dict[str, Any]]:
        """Return every row of the named query."""
        return self.ask(query, **values).all()

    def one(self, query: str, /, **values: Any) -> dict[str, Any] | None:
        """Return the first row of the named query, or None."""
        return self.ask(query, **values).one()

    def ask(self, query: str, /, *, often: bool = False, **values: Any) -> Answer:
        """Ask the named query; where the transaction is pipelined, what is asked next need not wait for the answer.

        What is asked `often`, and does not read `*`, is planned once a connection.
        """
        return Answer(self._connection.execute(QUERIES[query], values, prepare=often or None))

    def value(self, query: str, /, **values: Any) -> Any:
        """Return the first column of the first row of the named query, or None."""
        row = self.one(query, **values)
        return None if row is None else next(iter(row.values()))

    def run(self, query: str, /, **values: Any) -> int:
        """Run the named query and return how many rows it wrote."""
        return self.statement(QUERIES[query], **values).rowcount

    def send(self, query: str, /, **values: Any) -> None:
        """Run the named query, without waiting where the transaction is pipelined.

        If it fails, that is raised by what next waits for an answer, at the latest by the commit.
        """
        self.send_statement(QUERIES[query], **values)

    def statement(self, text: bytes, /, **values: Any) -> psycopg.Cursor[dict[str, Any]]:
        """Run a statement that another module of this room has made from the ontology."""
        cursor = self._connection.execute(text, values)
        self.wait()
        return cursor

    def send_statement(self, text: bytes, /, **values: Any) -> None:
        """Run such a statement as `send` does."""
        self._connection.execute(text, values, prepare=True)

    def wait(self) -> None:
        """Wait for what was sent; raise what failed of it."""
        if self._pipeline:
            self._pipeline.sync()


class Database:
    """A PostgreSQL with Pylon's schema. Close it when done, or use it as a context manager."""

    def __init__(
        self,
        conninfo: str,
        *,
        pool_size: int,
        statement_timeout_s: float = 30.0,
        before_connecting: Callable[[], None] = lambda: None,
        prepares: bool = False,
    ) -> None:
        """Open a pool of at most `pool_size` connections; each statement may take `statement_timeout_s`.

        With `prepares` what is sent often is planned once a connection: for a server with no pooler before it.
        `before_connecting` is called before each new connection: the embedded server comes back there after it
        was stopped or killed. Raises `StoreUnavailable` when the database cannot be reached.
        """
        self._statement_timeout_s = statement_timeout_s
        self._pool = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=pool_size,
            timeout=_POOL_WAIT_S,
            kwargs={
                "autocommit": True,
                "prepare_threshold": _ONLY_WHEN_TOLD if prepares else None,
                "row_factory": dict_row,
            },
            connection_class=_connection_after(before_connecting),
            check=_check,
            open=False,
        )
        # One plain connection first: its error says what is wrong, where the pool's would only say "timeout".
        with reported():
            psycopg.connect(conninfo, connect_timeout=10).close()
            self._pool.open(wait=True, timeout=_POOL_WAIT_S)

    def __enter__(self) -> Self:
        """Return the open database."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pool."""
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    @contextmanager
    def as_anyone(self) -> Iterator[Transaction]:
        """Open a read of the shared grid data alone."""
        with self._transaction("anon", isolation=_ONE_MOMENT) as transaction:
            yield transaction

    @contextmanager
    def as_reader(self, operator_id: UUID, *, statement_timeout_s: float | None = None) -> Iterator[Transaction]:
        """Open a read of the shared grid data and of one operator's rows.

        With `statement_timeout_s`, that is how long a statement of this transaction may take.
        """
        with self._transaction(
            "authenticated", operator_id, isolation=_ONE_MOMENT, statement_timeout_s=statement_timeout_s
        ) as transaction:
            yield transaction

    @contextmanager
    def as_actor(self, operator_id: UUID, *, pipelined: bool = False) -> Iterator[Transaction]:
        """Open a transaction that may write one operator's rows; `pipelined`, what is sent is not waited for."""
        with self._transaction("pylon_actor", operator_id, pipelined=pipelined) as transaction:
            yield transaction

    @contextmanager
    def as_ingest(self) -> Iterator[Transaction]:
        """Open a transaction that may write grid data, runs and leases, and sees no operator's rows."""
        with self._transaction("pylon_ingest") as transaction:
            yield transaction

    @contextmanager
    def as_catalog(self) -> Iterator[Transaction]:
        """Open a read of what operators have published."""
        with self._transaction("pylon_catalog", isolation=_ONE_MOMENT) as transaction:
            yield transaction

    @contextmanager
    def _transaction(
        self,
        role: str,
        operator_id: UUID | None = None,
        *,
        isolation: IsolationLevel | None = None,
        statement_timeout_s: float | None = None,
        pipelined: bool = False,
    ) -> Iterator[Transaction]:
        claims = "" if operator_id is None else _claims(role, operator_id)
        timeout_ms = str(int((statement_timeout_s or self._statement_timeout_s) * 1000))
        with reported(), self._pool.connection() as connection:
            connection.isolation_level = isolation
            with connection.pipeline() if pipelined else nullcontext() as pipeline, connection.transaction():
                whom = {"role": role, "claims": claims, "timeout_ms": timeout_ms}
                connection.execute(QUERIES["become"], whom, prepare=True)
                yield Transaction(connection, pipeline)


def _check(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Ask the server whether it is still there, if anything came in unasked: the end of a connection does."""
    arrived = select.poll()
    arrived.register(connection.fileno(), select.POLLIN)
    if arrived.poll(0):
        ConnectionPool.check_connection(connection)


def _connection_after(step: Callable[[], None]) -> type[psycopg.Connection[dict[str, Any]]]:
    class Connection(psycopg.Connection[dict[str, Any]]):
        @classmethod
        def connect(cls, *words: Any, **more: Any) -> Self:
            step()
            return super().connect(*words, **more)

    return Connection


def _claims(role: str, operator_id: UUID) -> str:
    return orjson.dumps({"role": role, "app_metadata": {"operator_id": str(operator_id)}}).decode()


def json_text(value: Any) -> str:
    """Return `value` as JSON for a parameter that a query casts to jsonb; times in UTC, decimals as text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()
