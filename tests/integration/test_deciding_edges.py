"""Where deciding meets what is not its own: others' caps, bookings nobody decided, agents that cannot decide."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from pylon.errors import Invalid, Refused
from pylon.ontology.enums import DecisionType
from pylon.services.find_windows import find_windows
from pylon.services.list_decisions import explain_decision, list_decisions
from pylon.services.perform_action import Performed
from pylon.services.run_agents import Round, run_agents
from tests.doubles.acting import Acting

ORCHESTRATOR = {"agent_id": "ORCHESTRATOR", "name": "Orchestrator", "agent_type": "COMPUTE_ORCHESTRATOR"}


def a_round(here: Acting) -> Round:
    return run_agents(here.database, here.views, here.call, trigger="test", clock=lambda: here.now)


def sql(here: Acting, statement: str) -> None:
    """Change something past all actions, as an operator with a database client may."""
    with here.database.as_actor(here.operator_id) as transaction:
        transaction.statement(statement.encode())
    here.views.drop(here.operator_id)


def refused(here: Acting, name: str, **given: Any) -> str:
    with pytest.raises(Refused) as caught:
        here.do(name, given)
    (why,) = caught.value.refusals
    return str(why["code"])


def at(here: Acting, hours: int) -> datetime:
    return here.now.replace(minute=0, second=0) + timedelta(hours=hours)


def said(done: Performed) -> str:
    (decision,) = done.decisions
    return decision.reasoning


# Caps


def test_a_grid_operator_lifts_no_cap_that_somebody_else_set(here: Acting) -> None:
    calm = {"critical_stress": 1.0, "alert_stress": 1.0}
    here.do("register_agent", agent_id="G", name="G", agent_type="GRID_OPERATOR", config=calm)
    caps = [(0, "Grid stress exercise ordered by NESO"), (96, "transformer work")]
    for hours, reason in caps:
        starts_at = here.now + timedelta(hours=hours)
        when = {"starts_at": starts_at, "ends_at": starts_at + timedelta(hours=9)}
        here.do("scale_data_centre", dc_id="PERTH-1", max_power_mw=1, reason=reason, **when)
    before = here.rows("select * from public.load_limits order by id")
    assert a_round(here).decisions == []
    assert here.rows("select * from public.load_limits order by id") == before


def test_a_grid_operator_lifts_its_own_cap_and_leaves_the_one_beside_it(here: Acting) -> None:
    here.do("update_data_centre", dc_id="SLOUGH-1", flexibility_rating=1)
    stressed = {"critical_stress": 0, "alert_stress": 0, "look_ahead_hours": 6}
    here.do("register_agent", agent_id="G", name="G", agent_type="GRID_OPERATOR", config=stressed)
    here.submit("J", allowed_region_ids=[12])
    here.do("accept_workload", job_id="J", dc_id="SLOUGH-1", starts_at=at(here, 3))
    (down,) = a_round(here).decisions
    assert down.decision_type is DecisionType.SCALE_DOWN
    when = {"starts_at": at(here, 96), "ends_at": at(here, 99)}
    here.do("scale_data_centre", dc_id="SLOUGH-1", max_power_mw=1, reason="transformer work", **when)
    here.do("update_agent", agent_id="G", config={"critical_stress": 1.0, "alert_stress": 1.0})
    (up,) = a_round(here).decisions
    own, other = here.rows("select * from public.load_limits order by starts_at")
    assert (up.decision_type, up.effect["lifted"]) == (DecisionType.SCALE_UP, [str(own["id"])])
    assert (own["decision_id"], other["ends_at"]) == (down.id, at(here, 99))
    logged = here.rows("select source_dc_id, target_dc_id from public.orchestration_decisions where seq > 1")
    slough = here.rows("select id from public.data_centres where dc_id = 'SLOUGH-1'")[0]["id"]
    scaled = [row for row in logged if row["target_dc_id"] is None]
    assert [row["source_dc_id"] for row in scaled] == [slough] * 3, "an agent's as a client's"


def test_caps_are_lifted_one_by_one_by_their_ids(here: Acting) -> None:
    made = [
        here.do("scale_data_centre", dc_id="PERTH-1", max_power_mw=mw, reason="x").changed["LoadLimit"][0]["id"]
        for mw in (1, 2)
    ]
    lift = {"dc_id": "PERTH-1", "max_power_mw": None, "reason": "x"}
    done = here.do("scale_data_centre", lift, limit_ids=made[:1])
    assert (done.decisions[0].effect["lifted"], len(done.changed["LoadLimit"])) == (made[:1], 1)
    assert refused(here, "scale_data_centre", **lift, limit_ids=made) == "cap_stands"
    with pytest.raises(Invalid, match="limit_ids says which caps are lifted"):
        here.do("scale_data_centre", {**lift, "max_power_mw": 1}, limit_ids=made)


# A booking that nobody decided


def test_a_decision_that_replaces_a_booking_without_a_decision_is_explained(here: Acting) -> None:
    here.submit("A", duration_mins=60)
    sql(here, "delete from public.workload_placements")
    sql(
        here,
        "update public.compute_workloads set status = 'QUEUED', scheduled_start = '2026-11-22T12:00Z', "
        "host_dc_id = (select id from public.data_centres where dc_id = 'PERTH-1')",
    )
    amended = here.do("amend_workload", job_id="A", urgency="HIGH").decisions[0]
    after = here.submit("B", power_kw=9000, allowed_region_ids=[1]).decisions[0]
    standing = list_decisions(here.database, here.operator_id).decisions[1].inputs["standing"]
    assert (standing["decision_id"], standing["takes"]["power_mw"]) == (None, pytest.approx(1.1))
    for decision in (amended, after):  # the second needs the room that the first gave back
        assert explain_decision(here.database, here.operator_id, decision.decision_id).recomputes is True


# Agents that cannot decide


def test_while_every_orchestrator_is_offline_what_arrives_waits_and_is_told_so(here: Acting) -> None:
    here.do("register_agent", ORCHESTRATOR)
    here.do("update_agent", agent_id="ORCHESTRATOR", status="OFFLINE")
    done = here.submit("A")
    assert (done.applied, done.decisions) == (True, [])
    (answered,) = done.changed["ComputeWorkload"]
    assert (answered["status"], answered["host_dc_id"]) == ("PENDING", None)
    assert "ORCHESTRATOR is OFFLINE" in answered["status_reason"]
    assert here.rows("select 1 from public.orchestration_decisions") == []
    here.do("update_agent", agent_id="ORCHESTRATOR", status="IDLE")
    (decision,) = a_round(here).decisions
    assert decision.effect["by"] == "agent ORCHESTRATOR"
    assert here.workload("A")["host_dc_id"] is not None
    assert here.workload("A")["status_reason"] is None


def test_a_job_amended_while_the_orchestrator_is_offline_gives_its_booking_up(here: Acting) -> None:
    here.do("register_agent", ORCHESTRATOR)
    here.submit("A")
    here.do("update_agent", agent_id="ORCHESTRATOR", status="OFFLINE")
    here.do("amend_workload", job_id="A", urgency="CRITICAL")
    assert (here.workload("A")["status"], here.workload("A")["scheduled_start"]) == ("PENDING", None)
    assert here.rows("select 1 from public.workload_placements") == []


def test_settings_that_no_longer_fit_keep_no_work_out_and_are_named(here: Acting) -> None:
    here.do("register_agent", ORCHESTRATOR)
    assert find_windows(here.database, here.operator_id, here.now, hours=2).notice is None
    sql(here, """update public.agents set config = '{"old": 1}'""")
    found = find_windows(here.database, here.operator_id, here.now, hours=2)
    assert found.carbon_price_gbp_t == 100
    assert "old is not known here" in str(found.notice)
    (answered,) = here.submit("A").changed["ComputeWorkload"]
    assert answered["status"] == "PENDING"
    assert "old is not known here" in answered["status_reason"]


# By hand


def test_a_shift_is_to_another_place_and_what_is_deferred_runs_later(here: Acting) -> None:
    here.submit("A", origin="PERTH-1", allowed_region_ids=[1])
    place = {"job_id": "A", "dc_id": "PERTH-1"}
    assert refused(here, "shift_workload", **place, starts_at=at(here, 5)) == "place_differs"
    assert refused(here, "defer_workload", **place, starts_at=here.now, deferred_by="CARBON") == "later"
    deferred = here.do("defer_workload", **place, starts_at=at(here, 5), deferred_by="CARBON")
    assert deferred.decisions[0].decision_type is DecisionType.DEFER_WORKLOAD
    assert here.workload("A")["status"] == "DEFERRED_CARBON"
    assert here.do("accept_workload", **place, starts_at=at(here, 6)).applied


def test_what_is_chosen_by_hand_is_not_said_to_be_the_best(here: Acting) -> None:
    here.submit("A", origin="PERTH-1", allowed_region_ids=[1])
    reason = said(here.do("accept_workload", job_id="A", dc_id="PERTH-1", starts_at=here.now))
    assert "no other place or time costs less" not in reason
    assert "now and at its origin, for GBP" in reason
    costs = [said(here.do("accept_workload", job_id="A", dc_id="PERTH-1", starts_at=at(here, 5)))]
    costs.append(said(here.do("accept_workload", job_id="A", dc_id="PERTH-1", starts_at=here.now)))
    assert sorted("more." in one.partition("which would now cost")[2].split(" Rests")[0] for one in costs) == [
        False,
        True,
    ], "going back and forth is dearer one way and cheaper the other"
    assert not any("GBP -" in one for one in costs)


# How decisions are shown


def test_decisions_that_rest_on_simulated_signals_are_said_to(here: Acting) -> None:
    (decision,) = here.submit("A").decisions
    assert (decision.is_simulated, decision.simulated) == (False, ["carbon", "price", "stress"])
    assert list_decisions(here.database, here.operator_id).contains_simulated


def test_a_dry_run_under_a_key_that_was_used_answers_as_one(here: Acting) -> None:
    deadline = (here.now + timedelta(hours=24)).isoformat()
    here.submit("A", key="k", deadline=deadline)
    again = here.submit("A", key="k", deadline=deadline, dry_run=True)
    assert (again.dry_run, again.replayed, again.applied) == (True, True, False)
