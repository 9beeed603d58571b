"""The keeper: the process that starts, watches and stops the embedded PostgreSQL of one home.

`python -m pylon.store.keeper HOME` is the parent of `postgres`: it creates the data directory on first use,
restarts the server when it dies, and stops it `LINGER_S` after the last client's shared lock on `in-use.lock` is
gone. It says what it does in `keeper.json`. One keeper per home: it holds `keeper.lock` from before its first act
to its end.

It imports little, because clients wait for it to start.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pylon.errors import PylonError, ServerUnavailable
from pylon.store._postgres_files import PORT, Layout, Report, try_lock, write_report
from pylon.store._postgres_process import (
    FAST_STOP_S,
    IMMEDIATE_STOP_S,
    Account,
    binaries,
    check_reachable,
    disown_stale_pid,
    remove_tree,
    run_as,
    server_account,
    stop_orphan,
)

__all__ = ["LINGER_S", "Keeper", "main"]

LINGER_S = 2.0
"""Seconds the server stays up after its last client, so that one command after another finds it warm."""

TICK_S = 0.25
START_TICK_S = 0.01

START_ATTEMPTS = 4
"""Failed starts in a row until the keeper gives up on a server that never was ready: a client waits to know."""
RESTART_ATTEMPTS = 8
"""The same for a server that was ready before."""
BACK_OFF_S = (0.1, 0.3, 1.0, 3.0, 5.0)
STEADY_S = 30.0
"""A server that was ready this long and dies starts a new count of attempts."""
SURVIVORS_S = 10.0

SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

INITDB_OPTIONS = (
    *("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    *("--no-sync", "--no-instructions"),  # one os.sync() in place of 1000 fsyncs: 0.5 s, not 3.4 s
)


class Keeper:
    """The keeper of one home's server; `run` is its life."""

    def __init__(self, layout: Layout, *, linger_s: float = LINGER_S) -> None:
        """Keep the server of `layout`, stopping it `linger_s` seconds after its last client has gone."""
        self._layout = layout
        self._linger_s = linger_s
        self._report = Report("starting", os.getpid())
        self._account: Account | None = None
        self._folder = Path()
        self._server: subprocess.Popen[bytes] | None = None
        self._stop_asked = False
        self._wake = _wake_on_signal()

    def run(self) -> int:
        """Serve until asked to stop (SIGTERM) or unused; return the exit status."""
        signal.signal(signal.SIGTERM, self._ask_stop)
        signal.signal(signal.SIGINT, self._ask_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            self._say("starting")
            _adopt_survivors()
            self._prepare()
            self._supervise()
        except PylonError as error:
            return self._fail(error.detail)
        except Exception as error:
            import traceback

            traceback.print_exc()
            return self._fail(f"{type(error).__name__}: {error}")
        finally:
            self._shut_down()
        self._layout.report.unlink(missing_ok=True)
        return 0

    def _fail(self, reason: str) -> int:
        self._say("failed", reason=reason)
        return 1

    def _say(self, phase: str, **facts: object) -> None:
        self._report = self._report._replace(phase=phase, **facts)  # type: ignore[arg-type]
        write_report(self._layout, self._report)

    def _ask_stop(self, *_: object) -> None:
        self._stop_asked = True

    def _prepare(self) -> None:
        layout = self._layout
        self._account = server_account(layout.data)
        check_reachable(layout.base, self._account)
        self._folder, version = binaries(layout, self._account)
        stop_orphan(layout.data)
        for leftover in layout.leftovers():
            remove_tree(leftover)
        if not layout.data.exists():
            _create_data(layout, self._folder, self._account)
        elif not layout.password.exists():
            raise ServerUnavailable(
                f"{layout.password} is missing, and without it nobody can log in to {layout.data}. Restore it "
                "from a backup, or start anew with `pylon db reset`, which deletes the data."
            )
        socket_dir = _socket_dir(layout, self._account)
        self._say("starting", version=version, socket_dir=str(socket_dir))

    def _supervise(self) -> None:
        failures, attempts = 0, START_ATTEMPTS
        while True:
            log_from = self._layout.log_bytes()
            self._launch()
            if self._watch():
                return
            if self._report.since_s:
                attempts = RESTART_ATTEMPTS
                failures = 0 if time.time() - self._report.since_s > STEADY_S else failures
            failures += 1
            if failures == attempts:
                raise ServerUnavailable(
                    f"PostgreSQL ended {failures} times in a row:\n{self._layout.log_tail(log_from)}"
                )
            self._say("starting", since_s=None, postmaster_pid=None)
            _end_survivors()
            resume_s = time.monotonic() + BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
            while not self._stop_asked and (left_s := resume_s - time.monotonic()) > 0:
                self._pause(left_s)
            if self._stop_asked:
                return

    def _launch(self) -> None:
        layout, socket_dir = self._layout, Path(self._report.socket_dir)
        disown_stale_pid(layout.data)
        for stale in socket_dir.glob(".s.PGSQL.*"):
            stale.unlink()
        command = [str(self._folder / "postgres"), "-D", str(layout.data), "-h", "", "-p", str(PORT)]
        command += ["-k", str(socket_dir), "-c", "unix_socket_permissions=0700"]
        command += ["-c", "shared_preload_libraries=pg_stat_statements"]
        with layout.log.open("ab") as log:
            self._server = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_keeper(signal.SIGINT),
                **run_as(self._account),
            )
        self._say("starting", postmaster_pid=self._server.pid)

    def _watch(self) -> bool:
        """Return True once the server has to stop, False when it has ended by itself."""
        assert self._server is not None  # noqa: S101  _launch went before
        unused_since_s: float | None = None
        while self._server.poll() is None:
            if self._stop_asked:
                return True
            if self._report.phase != "ready":
                # A first start, or a long recovery, is not cut short because the client that asked for it gave up.
                if self._is_ready():
                    self._say("ready", since_s=time.time())
                else:
                    self._pause(START_TICK_S)
                continue
            unused_since_s = self._unused_since(unused_since_s)
            if unused_since_s is not None and time.monotonic() - unused_since_s >= self._linger_s:
                if self._close_door():
                    return True
                unused_since_s = None
            self._pause(TICK_S)
        return False

    def _is_ready(self) -> bool:
        """Return whether the server says so in line 8 of its pid file, which is what pg_ctl reads."""
        assert self._server is not None  # noqa: S101
        try:
            lines = (self._layout.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self._server.pid) and lines[7].strip() == "ready"

    def _unused_since(self, before_s: float | None) -> float | None:
        fd = try_lock(self._layout.use_lock, fcntl.LOCK_EX)
        if fd is None:
            return None
        os.close(fd)
        return time.monotonic() if before_s is None else before_s

    def _close_door(self) -> bool:
        """Take the clients' lock for good: a client that comes now waits, then starts a new keeper."""
        return try_lock(self._layout.use_lock, fcntl.LOCK_EX) is not None

    def _pause(self, seconds: float) -> None:
        """Wait, at most until a signal: the server's end or a request to stop."""
        select.select([self._wake], [], [], seconds)
        try:
            os.read(self._wake, 512)
        except BlockingIOError:
            return

    def _shut_down(self) -> None:
        if self._server is not None and self._server.poll() is None:
            if self._report.phase != "failed":
                with suppress(OSError):  # a full disk must not keep the server from stopping
                    self._say("stopping")
            for ask, patience_s in ((signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S)):
                self._server.send_signal(ask)
                try:
                    self._server.wait(patience_s)
                    break
                except subprocess.TimeoutExpired:
                    continue
        socket_dir = Path(self._report.socket_dir or self._layout.base)
        if not socket_dir.is_relative_to(self._layout.base):
            with suppress(OSError):  # /tmp is others' too
                socket_dir.rmdir()


def _create_data(layout: Layout, folder: Path, account: Account | None) -> None:
    """Create the data directory under another name, and give it its own once all of it is on the disk."""
    if not layout.password.exists():
        _write_password(layout.password, account)
    fresh = layout.base / f"data.{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    _give(fresh, account)
    command = [str(folder / "initdb"), "-D", str(fresh), f"--pwfile={layout.password}", *INITDB_OPTIONS]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        preexec_fn=_die_with_keeper(signal.SIGKILL),
        **run_as(account),
    )
    if done.returncode != 0:
        remove_tree(fresh)
        last = "\n".join(done.stdout.strip().splitlines()[-6:])
        raise ServerUnavailable(f"initdb could not create the database in {layout.base}:\n{last}")
    os.sync()
    fresh.rename(layout.data)
    folder_fd = os.open(layout.base, os.O_RDONLY)
    try:
        os.fsync(folder_fd)  # the new name, too, is on the disk before anyone commits
    finally:
        os.close(folder_fd)


def _write_password(path: Path, account: Account | None) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(secrets.token_urlsafe(24))
    _give(fresh, account)
    fresh.replace(path)


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _socket_dir(layout: Layout, account: Account | None) -> Path:
    """Return the folder of the socket, creating it: in the home, or under /tmp when that path would be too long.

    Raises `ServerUnavailable` when someone else made a folder or a link of that name.
    """
    uid = account.uid if account else os.geteuid()
    folder = layout.base / "socket"
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > SOCKET_PATH_BYTES:
        import hashlib

        name = hashlib.sha256(os.fsencode(layout.home)).hexdigest()[:12]
        folder = Path(f"/tmp/pylon-{uid}-{name}")  # noqa: S108  TMPDIR is long on macOS; owner and mode are checked
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid in (uid, os.geteuid())
        if not ours or stat.S_IMODE(found.st_mode) & 0o077:
            raise ServerUnavailable(
                f"{folder}, where the server's socket goes, is not a folder that belongs to user {uid} alone. "
                "Find out who made it, and remove it."
            ) from None
    _give(folder, account)
    return folder


def _die_with_keeper(last_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what makes a child get `last_signal` when its keeper is killed; None where the system cannot.

    There the next keeper finds the server by its pid file and stops it.
    """
    set_option, keeper_pid = _process_option(), os.getpid()
    if set_option is None:
        return None

    def bind() -> None:
        set_option(PR_SET_PDEATHSIG, int(last_signal))
        if os.getppid() != keeper_pid:
            os._exit(1)

    return bind


def _adopt_survivors() -> None:
    """Become the parent of what a killed postmaster leaves behind, where the system can do that."""
    if (set_option := _process_option()) is not None:
        set_option(PR_SET_CHILD_SUBREAPER, 1)


def _end_survivors() -> None:
    """End what a killed postmaster left behind: a busy query notices nothing, and while it lives no server starts.

    SIGQUIT is what a postmaster itself would send. Where nothing was adopted, the back-off has to be enough.
    """
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    deadline_s = time.monotonic() + SURVIVORS_S
    while time.monotonic() < deadline_s and children.exists() and (pids := children.read_text().split()):
        for pid in map(int, pids):
            with suppress(ChildProcessError):  # it ended between
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    os.kill(pid, signal.SIGQUIT)
        time.sleep(START_TICK_S)


def _process_option() -> Callable[[int, int], int] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    option: Callable[[int, int], int] = ctypes.CDLL(None).prctl
    return option


def _wake_on_signal() -> int:
    """Return a descriptor that becomes readable when a signal arrives, the end of a child included."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def main(arguments: list[str]) -> int:
    """Keep the server of the home given first; a second argument is the descriptor of a `keeper.lock` already held.

    With it the keeper leaves its parent and runs by itself; without it, it stays in the foreground.
    """
    layout = Layout(Path(arguments[0]))
    if len(arguments) > 1:
        os.set_inheritable(int(arguments[1]), False)
        if os.fork():
            os._exit(0)
    elif try_lock(layout.keeper_lock, fcntl.LOCK_EX) is None:
        sys.stderr.write(f"The server of {layout.home} has a keeper already.\n")
        return 1
    return Keeper(layout).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
