"""What an agent names is acted on as it says, and what a client has set is left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import DecisionType, WorkloadUrgency
from pylon.services.list_decisions import explain_decision
from pylon.services.perform_action import Performed
from pylon.services.run_agents import Round, run_agents
from tests.doubles.acting import Acting

BATTERY = {
    "asset_id": "BAT",
    "name": "Battery",
    "region": 12,
    "capacity_mwh": 20,
    "max_charge_rate_mw": 10,
    "max_discharge_rate_mw": 10,
    "wear_gbp_mwh": 0,
}


def a_round(here: Acting) -> Round:
    return run_agents(here.database, here.views, here.call, trigger="test", clock=lambda: here.now)


def loosenings(done: Performed) -> list[dict[str, Any]]:
    (decision,) = done.decisions
    return list(decision.alternatives_considered["loosenings"])


def test_each_loosening_that_is_named_lets_the_job_through_when_it_is_sent(here: Acting) -> None:
    tight = {"max_price_gbp": 90, "allowed_region_ids": [12], "interruptible": True}
    first = here.submit("A-0", **tight)
    found = loosenings(first)
    assert first.decisions[0].decision_type is DecisionType.NEGOTIATE
    assert len(found) >= 2, found
    for number, one in enumerate(found):
        job_id = f"A-{number}"
        if number:
            here.submit(job_id, **tight)
        here.do(one["action"], {**one["parameters"], "job_id": job_id})
        assert here.workload(job_id)["scheduled_start"] is not None, one
        here.do("cancel_workload", job_id=job_id)
    explained = explain_decision(here.database, here.operator_id, first.decisions[0].decision_id)
    assert explained.recomputes
    assert all(
        "max_price_gbp" not in one["parameters"] or "max_price_gbp" in explained.sentences[0] for one in found
    )


def test_a_job_that_is_turned_down_is_taken_when_it_is_submitted_anew_as_said(here: Acting) -> None:
    (found,) = loosenings(here.submit("B", deadline=here.now + timedelta(minutes=30)))
    assert here.workload("B")["status"] == "FAILED"
    assert found["action"] == "submit_workload"
    here.submit("B-2", **found["parameters"])
    assert here.workload("B-2")["scheduled_start"] is not None


def test_a_critical_job_that_names_no_end_is_not_kept_waiting(here: Acting) -> None:
    for number, urgency in enumerate((WorkloadUrgency.CRITICAL, WorkloadUrgency.LOW)):
        here.submit(f"C-{number}", urgency=urgency, deadline=None, power_kw=100)
    critical, low = (here.workload(f"C-{number}")["scheduled_start"] for number in range(2))
    assert critical <= here.now + timedelta(seconds=1)
    assert low > here.now + HALF_HOUR, "the signals are such that waiting pays"


def test_a_critical_job_for_which_there_is_no_room_yet_has_the_first_there_is(here: Acting) -> None:
    until = floor(here.now) + 3 * HALF_HOUR
    for dc_id in ("LEEDS-1", "SLOUGH-1", "PERTH-1"):
        here.do("add_blackout_window", dc_id=dc_id, starts_at=here.now, ends_at=until, reason="Test")
    done = here.submit("D", urgency="CRITICAL", deadline=None)
    assert here.workload("D")["scheduled_start"] == until
    assert "it runs as soon as it can" in done.decisions[0].reasoning


def test_a_schedule_that_a_client_has_set_stands_through_the_rounds(here: Acting) -> None:
    here.do("register_storage_asset", BATTERY)
    here.do("report_charge", asset_id="BAT", charge_mwh=10)
    here.do("register_agent", agent_id="S", name="S", agent_type="STORAGE_AGENT", config={"churn_gbp": 0})
    (first,) = a_round(here).decisions
    assert first.decision_type is DecisionType.SCHEDULE_DISCHARGE
    starts_at = floor(here.now) + HALF_HOUR
    by_hand = [
        {"starts_at": starts_at + number * HALF_HOUR, "power_mw": mw} for number, mw in enumerate((2, -3, 1))
    ]
    here.do("dispatch_storage", asset_id="BAT", schedule=by_hand, reason="A test of the inverter")
    (after,) = a_round(here).decisions
    rows = here.rows("select starts_at, power_mw, decision_id from public.storage_dispatches order by starts_at")
    assert [row["power_mw"] for row in rows[:3]] == [2, -3, 1]
    assert {row["decision_id"] for row in rows[3:]} == {after.id}
    assert "It keeps to the schedule set by hand until Sun 22 Nov 11:00 UTC." in after.reasoning
    assert a_round(here).decisions == []
    assert explain_decision(here.database, here.operator_id, after.decision_id).recomputes


def test_a_booking_that_a_client_has_chosen_stands_until_its_place_is_gone(here: Acting) -> None:
    here.do("register_agent", agent_id="O", name="O", agent_type="COMPUTE_ORCHESTRATOR")
    optimizer = {"agent_id": "C", "name": "C", "agent_type": "CARBON_OPTIMIZER"}
    here.do("register_agent", optimizer, config={"churn_gbp": 0, "churn_share": 0})
    later = here.now.replace(microsecond=0) + timedelta(hours=9)
    for job_id in ("E-0", "E-1"):
        here.submit(job_id)
    booked = {"dc_id": "LEEDS-1", "starts_at": later, "reason": "I want it there"}
    here.do("shift_workload", job_id="E-0", **booked)
    dear = {"dc_id": "SLOUGH-1", "starts_at": later}
    here.do("accept_workload", job_id="E-1", **dear)
    assert a_round(here).decisions == [], "the optimizer moves neither, however dear they are"
    assert here.workload("E-0")["status_reason"] == "I want it there"
    here.do("set_data_centre_status", dc_id="LEEDS-1", status="OFFLINE", reason="Flood")
    (lost,) = a_round(here).decisions
    assert "It replaces the booking 18:07-19:07 UTC at LEEDS-1 (region 3), chosen by hand" in lost.reasoning
    assert "which is no longer possible" in lost.reasoning
    assert explain_decision(here.database, here.operator_id, lost.decision_id).recomputes


def test_what_an_arrival_without_an_agent_has_booked_may_be_moved(here: Acting) -> None:
    for dc_id in ("LEEDS-1", "PERTH-1"):
        here.do("set_data_centre_status", dc_id=dc_id, status="MAINTENANCE", reason="Test")
    starts_at = floor(here.now) + HALF_HOUR
    (arrived,) = here.submit("F", deadline=starts_at + timedelta(hours=1)).decisions
    assert (arrived.agent_id, arrived.effect["by"]) == (None, "client")
    for dc_id in ("LEEDS-1", "PERTH-1"):
        here.do("set_data_centre_status", dc_id=dc_id, status="ACTIVE", reason="Test")
    config = {"churn_gbp": 0, "churn_share": 0}
    here.do("register_agent", agent_id="C", name="C", agent_type="CARBON_OPTIMIZER", config=config)
    (moved,) = a_round(here).decisions
    assert moved.effect["job_id"] == "F"


def test_what_a_client_schedules_is_valued_against_what_stood_and_no_saving_is_claimed_twice(here: Acting) -> None:
    here.do("register_storage_asset", BATTERY)
    here.do("report_charge", asset_id="BAT", charge_mwh=10)
    here.do("register_agent", agent_id="S", name="S", agent_type="STORAGE_AGENT", config={"churn_gbp": 0})
    starts_at = floor(here.now) + HALF_HOUR
    (first,) = a_round(here).decisions
    schedule = [{"starts_at": starts_at, "power_mw": 0}]
    (idle,) = here.do("dispatch_storage", asset_id="BAT", schedule=schedule).decisions
    claimed, back = ((one.carbon_saved_gco2 or 0.0, one.cost_saved_gbp or 0.0) for one in (first, idle))
    assert 0.0 not in claimed
    assert [-one for one in back] == pytest.approx(claimed), "what was claimed is given back"
    assert idle.alternatives_considered["chosen"]["charged_mwh"] == 0
    assert "That takes the place of what was scheduled from then until Tue 24 Nov 09:00 UTC." in idle.reasoning
    assert idle.simulated == ["carbon", "price", "stress"]
    told = explain_decision(here.database, here.operator_id, idle.decision_id)
    assert told.recomputes
    assert set(told.terms) == {"chosen", "baseline"}
