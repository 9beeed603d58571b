"""What `pylon plan` prints: the plan beside others, where room is scarce, what binds, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from pylon.interfaces.plan_tables import (
    binding_lines,
    cost_table,
    left_out_lines,
    plan_line,
    plan_lines,
    plan_table,
    scarcity_strip,
    storage_lines,
)
from pylon.services.list_plans import PlanOutcome, WholePlan

T0 = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
HALF_HOURS = 96


def left_out(job_id: str, limit: str, **values: Any) -> dict[str, Any]:
    usual = {"workload_id": UUID(int=1), "has_option": False, "price_to_fit_gbp": None, "is_booked": False}
    return {**usual, "job_id": job_id, "limit": limit, **values}


def outcome(power: dict[str, list[list[float]]] | None = None, **values: Any) -> PlanOutcome:
    usual: dict[str, Any] = {
        "cost": {"energy_gbp": 1000.0, "carbon_gbp": 234.5, "stress_gbp": 0.0, "lost_gbp": 50.0},
        "gap_gbp": 1.0,
        "binding": [],
        "rejected": [],
        "places": [],
        "prices": {"power_mw": power or {"A": [[0.0, HALF_HOURS]]}, "gpus": {}, "rise": {}, "fall": {}},
        "relaxed": ["room"],
        "storage": [],
        "greedy": {"cost_gbp": 1400.0, "rejected": 2},
        "standing": {"cost_gbp": 1500.25, "rejected": 3},
    }
    return PlanOutcome.model_validate({**usual, **values})


def plan(result: PlanOutcome | None = None, **values: Any) -> WholePlan:
    usual: dict[str, Any] = dict.fromkeys(WholePlan.model_fields) | {
        "id": UUID(int=1),
        "plan_id": "P-000012",
        "status": "SUCCEEDED",
        "trigger": "command",
        "requested_at": T0,
        "started_at": T0,
        "finished_at": T0 + timedelta(seconds=2.5),
        "starts_at": T0,
        "half_hours": HALF_HOURS,
        "progress": {},
        "workloads": 1200,
        "sites": 3,
        "cost_gbp": 1284.5,
        "bound_gbp": 1283.5,
        "gap": 0.00078,
        "gap_of_choice": 0.0012,
        "spare_mwh": 950.25,
        "simulated": [],
        "is_simulated": False,
        "result": result or outcome(),
    }
    return WholePlan.model_validate({**usual, **values})


def drawn(what: Any, width: int = 200) -> str:
    console = Console(width=width)
    with console.capture() as said:
        console.print(what)
    return said.get()


def test_the_plan_stands_beside_others_and_the_bound() -> None:
    rows = [
        line.split() for line in drawn(plan_table(plan(), outcome(rejected=[left_out("J", "gpus")]))).splitlines()
    ]
    assert ["This", "plan", "1,284.50", "1"] in rows
    assert ["Every", "booking", "left", "as", "it", "is", "1,500.25", "3"] in rows
    assert ["One", "workload", "after", "another", "1,400.00", "2"] in rows
    assert ["No", "plan", "can", "cost", "less", "than", "1,283.50"] in rows


def test_the_lines_say_how_far_from_the_best_and_what_becomes_of_it() -> None:
    said = "\n".join(plan_lines(plan()))
    assert "within 0.078 % of the best possible, 0.12 % of what it could change." in said
    assert "room for 950.2 MWh, and was worked out in 2.5 s." in said
    assert "`pylon decide`" in said
    assert "imulated" not in said


def test_what_is_simulated_is_said() -> None:
    said = "\n".join(plan_lines(plan(simulated=["carbon", "price"], is_simulated=True)))
    assert "Rests on simulated carbon, price." in said
    assert "Plans simulated objects" in said


def test_a_plan_of_nothing_says_so() -> None:
    assert list(plan_lines(plan(workloads=0))) == [
        "There is nothing to plan: no workload waits, and none that is booked may be moved."
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "P-000012, 1,200 workloads for GBP 1,284.50, within 0.078 % of the best possible"),
        ({"gap": None}, "P-000012, 1,200 workloads for GBP 1,284.50"),
        ({"workloads": 0}, "P-000012, of nothing: no workload waits"),
        ({"status": "FAILED", "error": "why"}, "P-000012 FAILED: why"),
    ],
)
def test_a_plan_in_one_line(values: dict[str, Any], said: str) -> None:
    assert plan_line(plan(**values)) == said


def test_the_cost_is_told_by_reason_and_nothing_of_what_is_nothing() -> None:
    said = drawn(cost_table(outcome()))
    assert "workloads that do not run" in said
    assert "234.50" in said
    assert "stress" not in said


def test_a_limit_that_binds_says_when_and_what_one_more_would_save() -> None:
    scarce = outcome(power={"LEEDS-1": [[0.0, 3], [10.0, 1], [30.0, 2], [0.0, 2], [0.004, 2], [0.0, 86]]})
    assert list(binding_lines(plan(scarce), scarce, 9)) == [
        "LEEDS-1, Sun 22 Nov 22:00 to 23:30 UTC: room for power is worth 10.00 to 30.00 GBP/MWh; one MW more all "
        "that time would save about GBP 35.00."
    ]


def test_of_limits_that_bind_the_dearest_are_shown() -> None:
    scarce = outcome(power={"A": [[1.0, 1], [0.0, 95]], "B": [[7.0, 8], [0.0, 88]], "C": [[2.0, 1], [0.0, 95]]})
    first, *rest = binding_lines(plan(scarce), scarce, 2)
    assert first.startswith("B, Sun 22 Nov 20:30 to Mon 23 Nov 00:30 UTC: room for power is worth 7.00 GBP/MWh;")
    assert rest[0].startswith("C,")
    assert rest[1] == "1 more times are not shown; `--json` has every price."
    free = outcome()
    assert list(binding_lines(plan(free), free, 2)) == ["No limit binds: no workload has to give way to another."]


def test_what_does_not_run_says_why_and_what_would_make_it_fit() -> None:
    said = left_out_lines(
        outcome(
            rejected=[
                left_out("J-1", "power_mw", has_option=True, price_to_fit_gbp=1234.5),
                left_out("J-2", "max_price", price_to_fit_gbp=20),
                left_out("J-3", "region"),
                left_out("J-4", "region"),
            ]
        ),
        3,
    )
    assert list(said) == [
        "J-1 does not run: there is no room for its power, as others have it. "
        "It would with a value_gbp of 1,234.50.",
        "J-2 does not run: its energy costs more than its max_price_gbp. It would with a max_price_gbp of 20.00.",
        "J-3 does not run: none of your sites is in a region that it allows.",
        "1 more do not run; `--json` has all of them.",
    ]


def test_the_strip_is_the_darker_the_scarcer() -> None:
    scarce = outcome(power={"A": [[0.0, 4], [10.0, 2], [40.0, 1], [0.0, 89]], "BB": [[0.0, 96]]})
    strip = scarcity_strip(plan(scarce), scarce)
    assert strip is not None
    head, site, times = strip.plain.splitlines()
    assert head == "What room for power is worth, GBP/MWh: █ is 40.00"
    assert site.rstrip() == "A    ▒█"
    assert len(site) == 3 + 48
    assert times.startswith("   20:30 02:30 08:30")
    free = outcome()
    assert scarcity_strip(plan(free), free) is None


def test_what_storage_does_is_told() -> None:
    asset = {"asset_id": "BAT", "dc_id": "A", "power_mw": [-4.0, -4.0, 0.0, 6.5], "value_gbp": 12.345}
    (said,) = storage_lines(outcome(storage=[asset]))
    assert said == "BAT at A takes up 4.0 MWh and gives back 3.2 MWh, worth GBP 12.35."
