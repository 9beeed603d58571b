"""Lines on a terminal break between words; elsewhere a line stays one, for whoever searches it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pylon.interfaces import cli

OUTCOME = (
    "12 ACCEPT_WORKLOAD, 5 SHIFT_REGION, 4 RENEWABLE_WINDOW, 3 CARBON_OPTIMIZATION, 2 DEFER_WORKLOAD, 1 refused"
)


@pytest.mark.parametrize(("is_terminal", "lines"), [(True, 2), (False, 1)])
def test_what_an_agent_did(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, lines: int) -> None:
    written = io.StringIO()
    terminal = Console(file=written, width=80, force_terminal=is_terminal, no_color=True, highlight=False)
    monkeypatch.setattr(cli, "out", terminal)
    cli._say("Compute Orchestrator", OUTCOME)
    said = written.getvalue().splitlines()
    assert len(said) == lines
    assert not is_terminal or max(map(len, said)) <= 80
