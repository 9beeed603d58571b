"""Where the embedded server's files are, the locks on them, and what its keeper reports."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "MAJOR",
    "PORT",
    "Layout",
    "Report",
    "held_only_shared",
    "read_report",
    "try_lock",
    "wait_lock",
    "write_report",
]

MAJOR = 18
"""The PostgreSQL major version Pylon embeds; each major has a folder of its own."""

PORT = 5432
"""Only names the socket file: the server has no TCP port."""

LOCK_POLL_S = 0.01


class Layout:
    """The files of one home: `HOME/postgres/18/` and what is in it.

    `data` is created complete, by rename, so its existence says that initdb succeeded. Anything named `data.*` is
    left over from work that was interrupted. The lock files are never removed: a lock on a removed file protects
    nothing.
    """

    def __init__(self, home: Path) -> None:
        self.home = Path(home).expanduser().resolve()
        self.root = self.home / "postgres"
        self.binaries = self.root / "binaries"
        self.base = self.root / str(MAJOR)
        self.data = self.base / "data"
        self.password = self.base / "password"
        self.log = self.base / "server.log"
        self.report = self.base / "keeper.json"
        self.use_lock = self.base / "in-use.lock"
        self.start_lock = self.base / "start.lock"
        self.keeper_lock = self.base / "keeper.lock"

    def leftovers(self) -> list[Path]:
        """Return the half-made or half-removed data directories."""
        return sorted(self.base.glob("data.*"))

    def log_bytes(self) -> int:
        """Return the present length of the log in bytes, 0 when there is none."""
        try:
            return self.log.stat().st_size
        except FileNotFoundError:
            return 0

    def log_tail(self, from_byte: int = 0, lines: int = 12) -> str:
        """Return the last `lines` lines of the log written after `from_byte`."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(from_byte, self.log_bytes() - 16_384))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])


class Report(NamedTuple):
    """What a keeper says about itself and its server.

    It is true only while a keeper holds `keeper_lock`: whoever starts a keeper removes the old report first.
    """

    phase: str
    """`starting`, `ready`, `stopping` or `failed`."""
    keeper_pid: int
    postmaster_pid: int | None = None
    version: str = ""
    socket_dir: str = ""
    since_s: float | None = None
    """When the server became ready, seconds since 1970."""
    reason: str = ""
    """Why it failed."""


def read_report(layout: Layout) -> Report | None:
    """Return the last report, or None when there is none to read."""
    try:
        return Report(**json.loads(layout.report.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_report(layout: Layout, report: Report) -> None:
    """Replace the report in one step, so that no reader sees half of it."""
    fresh = layout.report.with_suffix(".new")
    fresh.write_text(json.dumps(report._asdict()))
    fresh.replace(layout.report)


def try_lock(path: Path, mode: int) -> int | None:
    """Return a descriptor holding the flock `mode` (`LOCK_SH` or `LOCK_EX`) on `path`, or None if it is taken.

    The kernel drops the lock when the last process that holds the descriptor closes it or ends, however it ends.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def wait_lock(path: Path, mode: int, deadline_s: float) -> int | None:
    """Return the lock as `try_lock` does, waiting for it until `time.monotonic()` passes `deadline_s`."""
    while (fd := try_lock(path, mode)) is None and time.monotonic() < deadline_s:
        time.sleep(LOCK_POLL_S)
    return fd


def held_only_shared(path: Path) -> bool:
    """Return whether nobody holds the lock on `path` exclusively at this moment."""
    fd = try_lock(path, fcntl.LOCK_SH)
    if fd is not None:
        os.close(fd)
    return fd is not None
