from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from pylon.interfaces.decide_tables import round_lines, round_table
from pylon.ontology.enums import AgentType, DecisionType
from pylon.services.perform_action import Taken
from pylon.services.report import Kind
from pylon.services.run_agents import Round, Turn

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def option(**terms: float | None) -> dict[str, Any]:
    usual = dict.fromkeys(("energy", "carbon", "stress", "migration", "wait", "scarcity"), 0.0)
    return {"energy_kwh": 2000.0, "terms": {f"{name}_gbp": cost for name, cost in {**usual, **terms}.items()}}


def taken(number: int = 1, **values: Any) -> Taken:
    usual: dict[str, Any] = {
        "id": UUID(int=number),
        "decision_id": f"D-{number:06d}",
        "decision_type": DecisionType.SHIFT_REGION,
        "agent_id": UUID(int=99),
        "workload_id": UUID(int=7),
        "reasoning": "Runs 12:10-14:10 UTC at B (region 5) instead of at A (region 12): much. And more.",
        "carbon_saved_gco2": 1500.0,
        "cost_saved_gbp": -2.5,
        "constraints_evaluated": {},
        "alternatives_considered": {"chosen": option(energy=60), "baseline": option(energy=50, carbon=30)},
        "effect": {"job_id": f"job-{number}"},
        "is_simulated": False,
    }
    return Taken(**{**usual, **values})


def turn(*decisions: Taken, **values: Any) -> Turn:
    usual = {"agent_id": "orchestrator", "agent_type": AgentType.COMPUTE_ORCHESTRATOR, "seconds": 0.1}
    return Turn(**{**usual, "decisions": list(decisions), **values})


def a_round(*turns: Turn, resting: tuple[str, ...] = ()) -> Round:
    return Round(now=NOW, trigger="test", turns=list(turns), resting=list(resting))


def drawn(done: Round, limit: int = 10, width: int = 200) -> str:
    console = Console(width=width)
    with console.capture() as said:
        console.print(round_table(done, limit))
    return said.get()


def lines(done: Round, limit: int = 10) -> str:
    return "\n".join(round_lines(done, limit))


def test_a_decision_is_a_row_with_signed_savings_and_a_short_reason():
    said = " ".join(drawn(a_round(turn(taken()))).split())
    assert "D-000001 SHIFT_REGION job-1 1.50 -2.50 Runs 12:10-14:10 UTC at B (region 5) instead of at A" in said
    assert "(carbon +30.00, energy -10.00)" in said
    assert "much" not in said


LONG = (
    "Runs in 3 pieces 22:00-Mon 23 Nov 05:03 UTC at WOLVERHAMPTON-HIGH-STREET-1 (region 8) instead of now at "
    "HOUNSLOW-GREAT-WEST-ROAD-12 (region 12): much."
)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_nothing_of_a_decision_is_cut_off_however_narrow_the_terminal(width: int):
    ids = [f"SIM-2025-20261122T{hour:02}00Z-{'long' * (hour - 8)}" for hour in (9, 10, 20)]
    decisions = [
        taken(n, effect={"job_id": job_id}, reasoning=LONG, decision_type=DecisionType.CARBON_OPTIMIZATION)
        for n, job_id in enumerate(ids, 1)
    ]
    printed = drawn(a_round(turn(*decisions)), width=width)
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed
    whole = "".join(printed.split())
    for said in (*ids, LONG.partition(": ")[0], "(carbon +30.00, energy -10.00)"):
        assert "".join(said.split()) in whole.replace("1.50-2.50", "")


def test_what_decisions_rest_on_is_said_whole_and_of_how_many():
    price, stress = taken(2, simulated=["price"]), taken(3, simulated=["carbon", "price", "stress"])
    assert "Rests on simulated" not in lines(a_round(turn(taken())))
    assert "Rests on simulated price." in lines(a_round(turn(price)))
    assert "Rests on simulated price, carbon and stress: 2 of them." in lines(a_round(turn(taken(), price, stress)))


def test_what_has_no_saving_shows_none():
    row = drawn(a_round(turn(taken(carbon_saved_gco2=None, cost_saved_gbp=None, reasoning="Waits: no room."))))
    assert "job-1" in row
    assert "0.00" not in row


def test_work_in_pieces_has_them_listed():
    pieces = "Runs in 2 pieces: 12:10-13:00, 15:00-16:10 UTC, at B (region 5) instead of now at A (region 12)"
    said = " ".join(drawn(a_round(turn(taken(reasoning=f"{pieces}: much.")))).split())
    assert f"{pieces} (carbon +30.00, energy -10.00)" in said


def test_a_reason_that_begins_with_too_little_goes_on():
    said = drawn(a_round(turn(taken(reasoning="It had no schedule. It charges at noon. It is happy."))))
    assert "It had no schedule. It charges at noon" in said
    assert "happy" not in said


def test_what_a_decision_is_about_is_named_as_its_operator_does():
    effects = ({"asset_id": "BESS-1"}, {"dc_id": "LEEDS-1"}, {"dc_ids": ["A-1", "B-1"]}, {})
    said = drawn(a_round(turn(*(taken(number, effect=effect) for number, effect in enumerate(effects, 1)))))
    for name in ("BESS-1", "LEEDS-1", "A-1, B-1"):
        assert name in said


def test_text_of_an_operator_is_no_markup():
    said = drawn(
        a_round(turn(taken(effect={"job_id": "[red]job[/red]"}, reasoning="Waits: [bold]no[/bold] room.")))
    )
    assert "[red]job[/red]" in said
    assert "[bold]no[/bold]" in said


def test_more_than_the_limit_is_counted():
    done = a_round(turn(*(taken(number) for number in range(1, 6))))
    assert "D-000003" not in drawn(done, 2)
    assert "3 more are not shown; `pylon decide --limit N` shows N." in lines(done, 2)


def test_totals_are_signed_and_name_their_baseline():
    storage = taken(
        2,
        decision_type=DecisionType.SCHEDULE_DISCHARGE,
        workload_id=None,
        cost_saved_gbp=10.0,
        carbon_saved_gco2=-500.0,
    )
    said = lines(a_round(turn(taken(), storage)))
    assert "2 decisions: 1 SHIFT_REGION, 1 SCHEDULE_DISCHARGE" in said
    assert "2.0 MWh of work placed. Expected to save 1.0 kg CO2 and GBP 7.50 against running each now" in said
    assert "simulated" not in said


def test_totals_of_different_kinds_are_never_added_up():
    done = a_round(
        turn(
            taken(1, workload_id=UUID(int=1)),
            taken(2, workload_id=UUID(int=2), simulated=["price"]),
            taken(3, workload_id=UUID(int=3), simulated=["price"], is_simulated=True),
        )
    )
    assert [(total.kind, total.carbon_saved_kg) for total in done.totals] == [
        (Kind.REAL, 1.5),
        (Kind.PARTLY_SIMULATED, 1.5),
        (Kind.SIMULATED, 1.5),
    ]
    said = lines(done)
    assert "\n2.0 MWh of work placed. Expected to save 1.5 kg" in said
    assert "\nOn simulated signals: 2.0 MWh of work placed. Expected to save 1.5 kg" in said
    assert "\nAbout simulated objects, so moving nothing in the real world: 2.0 MWh" in said


def test_a_job_that_two_agents_place_counts_once_with_the_last():
    done = a_round(turn(taken(1)), turn(taken(2, carbon_saved_gco2=4000.0, cost_saved_gbp=1.0)))
    (total,) = done.totals
    assert (total.energy_kwh, total.carbon_saved_kg, total.cost_saved_gbp) == (2000, 4, 1)


def test_savings_against_a_baseline_that_was_not_possible_are_in_no_sum():
    broken = taken(2, workload_id=UUID(int=8), constraints_evaluated={"baseline_infeasible": "power_mw"})
    done = a_round(turn(taken(1), broken))
    (total,) = done.totals
    assert (total.energy_kwh, total.carbon_saved_kg, total.cost_saved_gbp, total.infeasible) == (4000, 1.5, -2.5, 1)
    assert "1 of those could not have run now at origin: what they save is not in that." in lines(done)


def test_refusals_failures_and_rest_are_said():
    refused = turn(refused=[{"action": "accept_workload", "detail": "No room."}])
    failed = turn(agent_id="optimizer", error="It broke.")
    said = lines(a_round(refused, failed, resting=("storage",)))
    assert "orchestrator: accept_workload was refused: No room." in said
    assert "optimizer failed, changed nothing and tries again next time: It broke." in said
    assert "OFFLINE or removed, so not asked: storage." in said


def test_nothing_to_decide_says_what_would_give_work():
    assert "Nothing to decide" in lines(a_round(turn()))
    assert "pylon pipeline" in lines(a_round(turn()))
    assert "has no agents" in lines(a_round())
