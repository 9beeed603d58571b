"""The live state says how many there are of what it does not show whole."""

from __future__ import annotations

import pytest

from pylon.services.live_state import live_state
from tests.conftest import Superuser, Tenants
from tests.doubles.bench import MIDDAY, Bench


@pytest.mark.parametrize(("logged", "truncated"), [(0, None), (50, None), (51, 51)])
def test_decisions_beyond_those_shown_are_counted(
    tenants: Tenants, superuser: Superuser, logged: int, truncated: int | None
) -> None:
    bench = Bench(tenants.a, superuser, MIDDAY)
    for _ in range(logged):
        bench.decide()
    state = live_state(bench.database, bench.tenant.id, MIDDAY)
    assert len(state["objects"]["OrchestrationDecision"]) == min(logged, 50)
    assert state["truncated"].get("OrchestrationDecision") == truncated
    assert "OrchestrationDecision" not in live_state(bench.database, tenants.b.id, MIDDAY)["truncated"]
