"""The embedded PostgreSQL server: a real server that needs no installation, no account and no port.

`acquire` starts it or joins it, and holds it by a lock that the kernel drops however the process ends. The server
is kept by a process of its own (`pylon.store.keeper`), which stops it soon after the last holder has gone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pylon.errors import Conflict, ServerUnavailable
from pylon.store._postgres_files import (
    MAJOR,
    PORT,
    Layout,
    Report,
    held_only_shared,
    read_report,
    try_lock,
    wait_lock,
)
from pylon.store._postgres_process import remove_tree, server_pid, stop_orphan, version_of, wheel_binaries

__all__ = ["EmbeddedServer", "ServerStatus", "acquire", "destroy", "status", "stop"]

POLL_S = 0.01
KEEPER_STARTS = 3
LOG_BYTES = 5_000_000
LOW_DISK_BYTES = 64_000_000


@dataclass
class _Hold:
    """A shared lock on `in-use.lock`: while any is held, the keeper keeps the server."""

    fd: int | None

    def drop(self) -> None:
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)  # not LOCK_UN: a forked child that uses the server holds it too


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server, held until `release` or the end of this process."""

    home: Path
    socket_dir: Path
    log_path: Path
    data_dir: Path
    version: str
    _password: str = field(repr=False)
    _hold: _Hold = field(repr=False)

    def superuser_dsn(self, dbname: str = "postgres") -> str:
        """Return the libpq URI, password included, by which the superuser reaches `dbname`."""
        return self.dsn("postgres", self._password, dbname)

    def dsn(self, user: str, password: str, dbname: str) -> str:
        """Return the libpq URI by which `user` reaches `dbname` over the server's socket."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        where = quote(str(self.socket_dir), safe="")
        return f"postgresql://{who}@/{quote(dbname, safe='')}?host={where}&port={PORT}"

    def ensure_running(self, *, timeout_s: float = 60.0) -> None:
        """Start the server again if it was stopped or its keeper was killed; the DSNs stay as they are.

        Raises `ServerUnavailable` when it is not ready within `timeout_s` seconds, or was released.
        """
        if self._hold.fd is None:
            raise ServerUnavailable("This handle on the embedded server was released. Call acquire() again.")
        layout = Layout(self.home)
        with _explained(layout):
            _ready(layout, time.monotonic() + timeout_s)

    def release(self) -> None:
        """Let go of the server; it stops soon after its last holder has gone. A second call does nothing."""
        self._hold.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True)
class ServerStatus:
    """What is known of a home's server, whether it runs or not."""

    running: bool
    phase: str
    """`starting`, `ready`, `stopping` or `stopped`."""
    pid: int | None
    """Process id of the PostgreSQL postmaster."""
    keeper_pid: int | None
    version: str
    data_dir: Path
    data_bytes: int
    log_path: Path
    socket_dir: Path | None
    since: datetime | None
    """When the server became ready (UTC)."""


def acquire(home: Path, *, timeout_s: float = 60.0) -> EmbeddedServer:
    """Start the server of `home`, or join it if it runs, and hold it.

    The first use creates the database. Waits at most `timeout_s` seconds. As with any server, it can still be
    stopped or killed a moment later, so clients connect with retries. Raises `ServerUnavailable` with what went
    wrong, the path of the log and what to do next.
    """
    layout = Layout(home)
    deadline_s = time.monotonic() + timeout_s
    with _explained(layout):
        _refuse_other_major(layout)
        _make_folders(layout)
        fd = wait_lock(layout.use_lock, fcntl.LOCK_SH, deadline_s)
        if fd is None:
            raise _unavailable(layout, f"The server is stopping, and has not ended in {timeout_s:g} s.")
        try:
            report = _ready(layout, deadline_s)
            return EmbeddedServer(
                home=layout.home,
                socket_dir=Path(report.socket_dir),
                log_path=layout.log,
                data_dir=layout.data,
                version=report.version,
                _password=layout.password.read_text(),
                _hold=_Hold(fd),
            )
        except BaseException:
            os.close(fd)
            raise


def stop(home: Path, *, timeout_s: float = 60.0) -> bool:
    """Stop the server of `home` now, even while clients hold it; return whether there was one to stop.

    Clients see their connections end with `psycopg.errors.AdminShutdown` and new ones refused with
    `psycopg.OperationalError`; the server comes back at the next `acquire`, or at `ensure_running` on a handle they
    still hold. Committed rows are kept. Raises `ServerUnavailable` when it has not ended in `timeout_s` seconds.
    """
    layout = Layout(home)
    deadline_s = time.monotonic() + timeout_s
    with _explained(layout):
        if not layout.base.exists():
            return False
        with _start_lock(layout, deadline_s):
            return _stop(layout, deadline_s)


def status(home: Path) -> ServerStatus:
    """Return what is known of the server of `home`, changing nothing."""
    layout = Layout(home)
    with _explained(layout):
        report = _live_report(layout)
        orphan_pid = None if report else server_pid(layout.data)
        version = (report.version if report else "") or version_of(wheel_binaries())
        data_bytes = _bytes_in(layout.data)
    since_s = report.since_s if report else None
    return ServerStatus(
        running=report is not None or orphan_pid is not None,
        phase=report.phase if report else "stopped",
        pid=report.postmaster_pid if report else orphan_pid,
        keeper_pid=report.keeper_pid if report else None,
        version=version,
        data_dir=layout.data,
        data_bytes=data_bytes,
        log_path=layout.log,
        socket_dir=Path(report.socket_dir) if report and report.socket_dir else None,
        since=datetime.fromtimestamp(since_s, UTC) if since_s else None,
    )


def destroy(home: Path, *, force: bool = False, timeout_s: float = 60.0) -> bool:
    """Stop the server of `home` and delete its data, all of it; return whether there was any.

    Raises `Conflict` when a process (this one included) holds the server and `force` is not given, and
    `ServerUnavailable` when the server has not ended in `timeout_s` seconds.
    """
    layout = Layout(home)
    deadline_s = time.monotonic() + timeout_s
    with _explained(layout):
        if not layout.base.exists():
            return False
        with _start_lock(layout, deadline_s):
            alone = _sole_use(layout)
            if alone is None and not force:
                raise Conflict(
                    f"{layout.data} is in use. Stop what uses it, or: PYLON_HOME={home} pylon db reset --force"
                )
            try:
                _stop(layout, deadline_s)
                return _remove(layout)
            finally:
                if alone is not None:
                    os.close(alone)


def _ready(layout: Layout, deadline_s: float) -> Report:
    """Return the report of a keeper whose server is ready, starting one whenever none runs."""
    starts, waited = 0, False
    while True:
        with _start_lock(layout, deadline_s):
            lock = try_lock(layout.keeper_lock, fcntl.LOCK_EX)
            report = read_report(layout)
            if lock is not None:
                try:
                    # A failure reported while this call waited is the answer; an older one is not, so try again.
                    if waited and report and report.phase == "failed":
                        raise _unavailable(layout, report.reason)
                    if starts == KEEPER_STARTS:
                        raise _unavailable(layout, "The server's keeper ended without saying why.", tail=True)
                    starts += 1
                    _start_keeper(layout, lock)
                finally:
                    os.close(lock)
        waited = True
        if lock is None and report and report.phase == "ready" and _answers(Path(report.socket_dir)):
            return report
        if time.monotonic() > deadline_s:
            phase = report.phase if report else "starting"
            raise _unavailable(layout, f"The server is not ready in the time allowed (it is {phase}).", tail=True)
        time.sleep(POLL_S)


def _start_keeper(layout: Layout, lock: int) -> None:
    """Start a keeper and pass it the lock, so that there is never a moment without an owner.

    The old report goes first: from here on, a report that is there is this keeper's.
    """
    layout.report.unlink(missing_ok=True)
    if layout.log_bytes() > LOG_BYTES:
        layout.log.replace(layout.log.with_suffix(".log.1"))
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    search = [str(Path(__file__).parents[2]), *(str(Path(entry).absolute()) for entry in given)]
    with layout.log.open("ab") as log:
        keeper = subprocess.run(  # it forks and ends at once: the keeper is nobody's child, so nobody's zombie
            [sys.executable, "-P", "-m", "pylon.store.keeper", str(layout.home), str(lock)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # never the caller's: `pylon up | tee` has to end
            stderr=log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(search)},
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C in the caller's terminal is not for the keeper
            check=False,
        )
    if keeper.returncode != 0:
        raise _unavailable(layout, "The server's keeper did not start.", tail=True)


def _answers(socket_dir: Path) -> bool:
    """Return whether the socket accepts: a server killed a moment ago may still be reported ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_dir / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
    return True


def _stop(layout: Layout, deadline_s: float) -> bool:
    """Stop keeper and server; the caller holds `start.lock`, so no new keeper comes between."""
    asked: int | None = None
    while (lock := try_lock(layout.keeper_lock, fcntl.LOCK_EX)) is None:
        report = read_report(layout)
        if report and report.keeper_pid != asked:
            asked = report.keeper_pid
            os.kill(asked, signal.SIGTERM)
        if time.monotonic() > deadline_s:
            raise _unavailable(layout, "The server was asked to stop, and has not ended.", tail=True)
        time.sleep(POLL_S)
    try:
        orphan = server_pid(layout.data)
        stop_orphan(layout.data)
    finally:
        os.close(lock)
    return asked is not None or orphan is not None


def _remove(layout: Layout) -> bool:
    if existed := layout.data.exists():  # renamed first, so that half of it is never taken for a database
        layout.data.rename(layout.base / f"data.removed-{os.getpid()}")
    for folder in (*layout.leftovers(), layout.base / "socket"):
        remove_tree(folder)
    for path in (layout.password, layout.report, layout.log):
        path.unlink(missing_ok=True)
    return existed


def _live_report(layout: Layout) -> Report | None:
    if not layout.keeper_lock.exists():
        return None
    with _start_lock(layout, time.monotonic() + 60.0):
        lock = try_lock(layout.keeper_lock, fcntl.LOCK_EX)
        if lock is None:
            return read_report(layout) or Report("starting", 0)
        os.close(lock)
        return None


def _sole_use(layout: Layout) -> int | None:
    """Return an exclusive hold on the server, or None when a client holds it."""
    while True:
        fd = try_lock(layout.use_lock, fcntl.LOCK_EX)
        if fd is not None or held_only_shared(layout.use_lock):
            return fd
        time.sleep(POLL_S)  # it is the keeper's, which looks for clients or is stopping


@contextmanager
def _start_lock(layout: Layout, deadline_s: float) -> Iterator[None]:
    """Hold the lock under which keepers are started and reports are judged."""
    fd = wait_lock(layout.start_lock, fcntl.LOCK_EX, deadline_s)
    if fd is None:
        raise _unavailable(layout, f"Another process, which starts or stops the server, holds {layout.start_lock}.")
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def _explained(layout: Layout) -> Iterator[None]:
    """Turn what the system refuses, such as a permission, into `ServerUnavailable`."""
    try:
        yield
    except OSError as error:
        raise _unavailable(layout, f"The embedded server of {layout.home} cannot be used: {error}.") from error


def _refuse_other_major(layout: Layout) -> None:
    if layout.data.exists():
        return
    others = sorted(found.parents[1].name for found in layout.root.glob("*/data/PG_VERSION"))
    if others:
        raise _unavailable(
            layout,
            f"{layout.root} holds a database of PostgreSQL {' and '.join(others)}, and this Pylon runs {MAJOR}. "
            "Dump it with the Pylon that made it (pg_dumpall), then set PYLON_HOME to a new folder and restore it "
            "there with psql; or move the old folder away to start empty.",
        )


def _make_folders(layout: Layout) -> None:
    """Create what is missing of HOME/postgres/18; no folder that exists is changed.

    When root creates them, the server's account has to pass through them; a user's are the user's alone.
    """
    mode = 0o755 if os.geteuid() == 0 else 0o700
    for folder in (*reversed(layout.base.parents), layout.base):
        if not folder.exists():
            try:
                folder.mkdir()
                folder.chmod(mode)  # whatever the umask says
            except FileExistsError:
                continue


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:  # a live server removes files all the time
            continue
    return total


def _unavailable(layout: Layout, what: str, *, tail: bool = False) -> ServerUnavailable:
    """Return the error that says what happened, what the disk and the log say, and where to look next."""
    parts = [what]
    with suppress(OSError):  # what cannot be looked at is what `what` is about
        free_bytes = shutil.disk_usage(layout.base).free
        if free_bytes < LOW_DISK_BYTES:
            parts.append(f"Only {free_bytes // 1_000_000} MB are free on the disk of {layout.base}: make room.")
    if tail and (text := layout.log_tail()):
        parts.append(f"The log ends:\n{text}")
    parts.append(f"Log: {layout.log}. PYLON_HOME sets where the database is; DATABASE_URL uses another server.")
    return ServerUnavailable("\n".join(parts), log_path=str(layout.log))
