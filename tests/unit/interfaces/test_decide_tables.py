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
from pylon.services.run_agents import Part, Round, Turn

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def option(**terms: float | None) -> dict[str, Any]:
    usual = dict.fromkeys(("energy", "carbon", "stress", "migration", "wait", "scarcity"), 0.0)
    return {
        "energy_kwh": 2000.0,
        "carbon_gco2": 9000.0,
        "terms": {f"{name}_gbp": cost for name, cost in {**usual, **terms}.items()},
    }


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


def dispatched(number: int = 2, **values: Any) -> Taken:
    usual = {"cost_saved_gbp": 10.0, "carbon_saved_gco2": -500.0, "alternatives_considered": {"chosen": {}}}
    kind = DecisionType.SCHEDULE_DISCHARGE
    return taken(number, decision_type=kind, workload_id=None, **{**usual, **values})


def moved(*decisions: Taken) -> Turn:
    """A turn in which every workload had a booking."""
    return turn(*decisions, booked_before=[decision.id for decision in decisions])


def test_totals_are_signed_and_name_their_baseline_work_and_storage_apart():
    said = lines(a_round(turn(taken(), dispatched())))
    assert "2 decisions: 1 SHIFT_REGION, 1 SCHEDULE_DISCHARGE" in said
    assert (
        "\n2.0 MWh of work placed. Expected to save 1.5 kg CO2 and GBP -2.50 "
        "against running each now at its origin."
        "\nStorage scheduled. Expected to save -0.5 kg CO2 and GBP 10.00 "
        "against idling, or the schedules that stood."
    ) in said
    assert "simulated" not in said


def test_a_move_is_counted_against_the_booking_that_stood_so_that_nothing_is_claimed_twice():
    stood = {**option(energy=53, migration=10, carbon=900), "carbon_gco2": 9700.0}
    options = {"chosen": option(energy=60), "baseline": option(energy=600), "standing": stood}
    done = a_round(moved(taken(cost_saved_gbp=540.0, alternatives_considered=options)))
    (total,) = done.totals
    assert (total.part, total.energy_kwh) == (Part.MOVED, 2000)
    assert (total.carbon_saved_kg, total.cost_saved_gbp) == pytest.approx((0.7, 3))
    assert (
        "2.0 MWh of work moved. Expected to save 0.7 kg CO2 and GBP 3.00 against the bookings that stood, "
        "whose own savings were counted when they were made"
    ) in lines(done)


def test_work_placed_and_then_moved_in_one_round_adds_up_to_its_last_place():
    """Placed at 60 instead of 65, then moved to 40: 25 less than running at once."""
    first, last, now = option(energy=60), {**option(energy=40), "carbon_gco2": 2000.0}, option(energy=65)
    placed = taken(1, cost_saved_gbp=5.0, alternatives_considered={"chosen": first, "baseline": now})
    then = {"chosen": last, "baseline": now, "standing": first}
    done = a_round(turn(placed), moved(taken(2, cost_saved_gbp=25.0, alternatives_considered=then)))
    assert [total.part for total in done.totals] == [Part.PLACED, Part.MOVED]
    assert sum(total.cost_saved_gbp or 0 for total in done.totals) == 25
    assert sum(total.carbon_saved_kg or 0 for total in done.totals) == 1.5 + 7


@pytest.mark.parametrize(
    ("stood", "carbon_kg", "said"),
    [
        (None, None, "2.0 MWh of work moved.\nThe saving of 1 of those is not known, or in part: the booking"),
        (option(energy=None), 0.0, "2.0 MWh of work moved. Expected to save 0.0 kg CO2 against the bookings that"),
    ],
)
def test_what_a_move_saves_is_not_known_where_the_booking_can_no_longer_be_valued(
    stood: dict[str, Any] | None, carbon_kg: float | None, said: str
):
    done = a_round(moved(taken(alternatives_considered={"chosen": option(energy=60), "standing": stood})))
    (total,) = done.totals
    assert (total.carbon_saved_kg, total.cost_saved_gbp, total.unknown) == (carbon_kg, None, 1)
    assert said in lines(done)


def test_a_booking_that_is_given_up_is_said_and_places_nothing():
    options = {"chosen": None, "baseline": option(), "standing": option()}
    given_up = {"carbon_saved_gco2": None, "cost_saved_gbp": None, "alternatives_considered": options}
    done = a_round(moved(taken(decision_type=DecisionType.DEFER_WORKLOAD, **given_up)))
    assert done.totals == []
    assert "Bookings given up with none in their place: 1. The savings counted when" in lines(done)


def test_decisions_that_place_nothing_are_in_no_total():
    broken = {"baseline_infeasible": "carbon_cap"}
    waits = taken(2, constraints_evaluated=broken, alternatives_considered={"chosen": None, "baseline": option()})
    offer = taken(
        3, decision_type=DecisionType.NEGOTIATE, workload_id=None, alternatives_considered={"chosen": {"mw": 2}}
    )
    done = a_round(turn(taken(1), waits, offer))
    (total,) = done.totals
    assert (total.energy_kwh, total.infeasible, total.unknown) == (2000, 0, 0)
    assert "could not have run" not in lines(done)


def test_savings_of_which_none_is_known_are_null_and_not_0():
    unknown = taken(carbon_saved_gco2=None, cost_saved_gbp=None)
    (total,) = a_round(turn(unknown)).totals
    assert (total.carbon_saved_kg, total.cost_saved_gbp, total.unknown) == (None, None, 1)
    said = lines(a_round(turn(unknown)))
    assert "2.0 MWh of work placed.\nThe saving of 1 of those is not known, or in part: there is no origin" in said


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
