"""Interrupts: what ends a command from outside ends it in order."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["stop_on_terminate"]


def stop_on_terminate() -> None:
    """Make SIGTERM end the process as Ctrl-C does: everything that was opened is closed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
