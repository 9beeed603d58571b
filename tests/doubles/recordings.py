"""Where the recorded answers and the replay series are on this machine, when they are here at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["recordings_folder"]


def recordings_folder() -> Path:
    """Return the folder that PYLON_RECORDINGS names; skips the test, saying why, when it is unset."""
    folder = os.environ.get("PYLON_RECORDINGS")
    if not folder:
        pytest.skip("PYLON_RECORDINGS is unset: it names the folder of recorded grid data, which is not shipped")
    if not Path(folder).is_dir():
        pytest.fail(f"PYLON_RECORDINGS={folder} is not a folder")
    return Path(folder)
