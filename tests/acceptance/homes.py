"""Homes for an embedded database: short, readable by the account it runs as, and nothing left behind."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pylon.store import embedded
from tests.acceptance.support import until
from tests.doubles.postgres import databases_folder

__all__ = ["left_of", "new_home"]


@contextmanager
def new_home() -> Iterator[Path]:
    # Not tmp_path: that is closed to the account the server runs as when the tests run as root, and its path is
    # too long for a socket on some systems.
    folder = Path(tempfile.mkdtemp(prefix="pylon-test-", dir=databases_folder()))
    folder.chmod(0o755)
    try:
        yield folder / "home"
    finally:
        embedded.destroy(folder / "home", force=True)
        until(lambda: not left_of(folder))
        shutil.rmtree(folder)


def left_of(folder: Path) -> list[str]:
    """Return the command lines of live processes (zombies apart) that name a folder."""
    listing = subprocess.run(["ps", "-ww", "-eo", "stat=,command="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 1) for line in listing.stdout.splitlines()]
    return [row[1] for row in rows if len(row) == 2 and row[0][0] != "Z" and str(folder) in row[1]]
