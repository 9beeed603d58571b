"""A Pylon to look at from outside: a database, a stand-in for the grid API, pipeline runs, and a served API."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import uvicorn
from psycopg.rows import dict_row

from pylon import pipeline
from pylon.interfaces.api_server import LOOPBACK_HOSTS, create_app
from pylon.interfaces.runtime import Runtime
from pylon.ontology.catalogue import ROWS
from pylon.ontology.identity import uuid7
from pylon.services import operators
from pylon.services.reports import RunReport
from pylon.settings import Settings
from pylon.sources.feed import Source
from pylon.store.access import Access
from pylon.store.database import Database
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster

__all__ = [
    "COMMAND",
    "NOBODY",
    "PATIENCE_S",
    "Ended",
    "World",
    "command",
    "new_id",
    "new_world",
    "ran",
    "served",
    "until",
]

PATIENCE_S = 60.0

NOBODY = "http://127.0.0.1:1"
"""Where nothing answers: the address of an API that a test has no use for."""

COMMAND = (sys.executable, "-m", "pylon")


@dataclass(frozen=True)
class World:
    """A database, the API it is filled from, and the operator it is filled for. Its time is the API's."""

    cluster: Cluster
    name: str
    database: Database
    api: StandIn
    operator_id: UUID
    settings: Settings
    runtimes: list[Runtime] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.api.clock.now

    @property
    def owner_dsn(self) -> str:
        return self.cluster.dsn(self.name)

    def with_settings(self, **values: Any) -> World:
        return replace(self, settings=self.settings.model_copy(update=values))

    def run(
        self,
        *,
        sources: Sequence[Source] | None = None,
        behind: timedelta = pipeline.BEHIND,
        clock: Callable[[], datetime] | None = None,
        progress: pipeline.Progress = pipeline.silent,
        run_id: UUID | None = None,
    ) -> RunReport:
        """Run the pipeline once at the API's time, of all `sources` or of these."""
        this = pipeline.Run(
            run_id=run_id or new_id(),
            now=self.now,
            clock=clock or self.api.clock,
            operator_id=self.operator_id,
            trigger="test",
            behind=behind,
            progress=progress,
        )
        return pipeline.run(self.database, self.settings, this, sources)

    def superuser(self) -> psycopg.Connection[Any]:
        return self.cluster.superuser(self.name)

    def select(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Return rows as the superuser sees them: every operator's, as stored, with times in UTC."""
        with self.superuser() as connection:
            connection.row_factory = dict_row  # type: ignore[assignment]
            connection.execute("set timezone to 'UTC'")
            return connection.execute(query.encode(), values or None).fetchall()

    def execute(self, statement: str, *values: Any) -> None:
        with self.superuser() as connection:
            connection.execute(statement.encode(), values or None)

    def scalar(self, query: str, *values: Any) -> Any:
        return next(iter(self.select(query, *values)[0].values()))

    def fingerprint(self) -> dict[str, str]:
        """Return the rows of every table but runs and leases, as row versions: a rewritten row shows as well."""
        tables = {row.table.name for row in ROWS.values()} - {"pipeline_runs", "leases"}
        return {
            table: self.scalar(
                "select count(*) || ' ' || coalesce(md5(string_agg(tableoid || ' ' || ctid || ' ' || xmin, ',' "
                f"order by tableoid, ctid)), '') from public.{table}"
            )
            for table in sorted(tables)
        }

    def runtime(self, operator_id: UUID | None = None, clock: Callable[[], datetime] | None = None) -> Runtime:
        """Return a way in to this world; what it starts is ended with the world."""
        access = Access("a test's database", owner=self.owner_dsn, login=self.owner_dsn)
        own = operator_id or self.operator_id
        self.runtimes.append(Runtime(self.settings, access, self.database, own, clock or self.api.clock))
        return self.runtimes[-1]


@contextmanager
def new_world(cluster: Cluster, template: str, name: str, api: StandIn, **settings: Any) -> Iterator[World]:
    """Make a database of this name from the template, and drop it at the end."""
    cluster.create(name, template)
    try:
        with Database(cluster.dsn(name, "pylon_app"), pool_size=6) as database:
            words: dict[str, Any] = {"http_attempts": 1, "http_timeout_s": 20.0, "schedule": "off"}
            words |= {"neso_url": NOBODY, "elexon_url": NOBODY, **settings}
            world = World(
                cluster=cluster,
                name=name,
                database=database,
                api=api,
                operator_id=operators.acting(database, None, now=api.clock()),
                settings=Settings(**{"carbon_intensity_url": api.url, **words}),  # type: ignore[arg-type]
            )
            try:
                yield world
            finally:
                for runtime in world.runtimes:
                    runtime.close()
    finally:
        cluster.drop(name)


@contextmanager
def served(runtime: Runtime) -> Iterator[httpx2.Client]:
    """Serve the API on a free loopback port, as `pylon serve` does; yields a client of it."""
    config = uvicorn.Config(
        create_app(runtime, hosts=(*LOOPBACK_HOSTS, runtime.settings.host)),
        host="127.0.0.1",
        port=0,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        # No proxy of the environment, and each answer as it was sent.
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


@contextmanager
def command(*words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command line in a process group of its own, with these settings alone; killed at the end."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYLON_", "SUPABASE_", "DATABASE_", "FORCE_COLOR"))
    }
    with subprocess.Popen(
        [*COMMAND, *words],
        env={**inherited, "COLUMNS": "100", **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ran(*words: str, patience_s: float = 60, **settings: str) -> Ended:
    """Run the command line to its end."""
    with command(*words, **settings) as process:
        out, err = process.communicate(timeout=patience_s)
        return Ended(process.returncode, out, err)


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All of it on one line, as a reader who does not mind line breaks sees it."""
        return " ".join((self.out + self.err).split())


def until(what: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that others bring about."""
    deadline_s = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)


def new_id() -> UUID:
    return uuid7(datetime.now(UTC), os.urandom(10))
