"""A round of the agents, on a real database: turns, states, decisions, and what happens when one fails."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from pylon import pipeline
from pylon.agents import contract
from pylon.agents.contract import Draft, Program, Proposal
from pylon.agents.jobs import Placing
from pylon.errors import Conflict, Invalid, LeaseHeld
from pylon.ontology.agency import Agent
from pylon.ontology.enums import AgentStatus, AgentType, DecisionType, WorkloadStatus
from pylon.ontology.identity import derived_uuid, uuid7
from pylon.services import _agent_states
from pylon.services import desk as desks
from pylon.services.desk import Call, opened
from pylon.services.recompute_decision import recompute
from pylon.services.report import Kind
from pylon.services.run_agents import LEASE, Part, Round, run_agents
from pylon.services.view_fleet import Views
from pylon.settings import Settings
from pylon.store import leases
from tests.conftest import NOW, Tenants
from tests.doubles.acting import Acting, acting

_serial = itertools.count(1)


def entropy(size: int) -> bytes:
    return derived_uuid(NOW, "round", str(next(_serial))).bytes[-size:]


class Fleet(Acting):
    """An operator that lets its agents have their turns."""

    def round(self, trigger: str = "command") -> Round:
        return run_agents(self.database, self.views, self.call, trigger=trigger, clock=lambda: self.now)

    def agents(self) -> dict[str, dict[str, Any]]:
        return {row["agent_type"]: row for row in self.rows("select * from public.agents")}

    def states(self, agent_type: str) -> list[str]:
        agent_id = self.agents()[agent_type]["id"]
        rows = self.rows(
            f"select status from public.agent_states where agent_id = '{agent_id}' order by recorded_at, id"
        )
        return [row["status"] for row in rows]


@pytest.fixture
def fleet(database: Any, tenants: Tenants) -> Fleet:
    """Return the simulated fleet with a day of workloads that nobody has placed."""
    made = Fleet(database, tenants.a.id, now=NOW + timedelta(minutes=13), entropy=entropy)
    run(made, Settings(grid="simulated", synthetic="on"))
    return made


@pytest.fixture
def own(database: Any, tenants: Tenants) -> Fleet:
    """Return an operator with three sites of its own, signals, and an orchestrator."""
    one = acting(database, tenants.a.id)
    made = Fleet(database, tenants.a.id, now=one.now, views=one.views, entropy=entropy)
    made.run_pipeline()
    register(made, AgentType.COMPUTE_ORCHESTRATOR)
    return made


def run(fleet: Fleet, settings: Settings) -> None:
    pipeline.run(
        fleet.database,
        settings,
        pipeline.Run(
            run_id=uuid7(fleet.now, entropy(10)),
            now=fleet.now,
            clock=lambda: fleet.now,
            operator_id=fleet.operator_id,
            trigger="command",
        ),
    )


def register(fleet: Fleet, agent_type: AgentType, **config: Any) -> None:
    given = {"agent_id": agent_type.lower(), "name": agent_type, "agent_type": agent_type, "config": config}
    fleet.do("register_agent", given)


def set_config(fleet: Fleet, superuser: Any, agent_type: str, config: str) -> None:
    with superuser() as connection:
        connection.execute(
            "update public.agents set config = %s::jsonb where agent_type = %s", (config, agent_type)
        )


def test_a_round_places_what_waits_and_every_agent_ends_at_rest(fleet: Fleet) -> None:
    assert {row["status"] for row in fleet.rows("select status from public.compute_workloads")} == {"PENDING"}
    done = fleet.round()
    assert [turn.error for turn in done.turns] == [None] * 5
    assert [turn.refused for turn in done.turns] == [[]] * 5
    assert {turn.agent_type for turn in done.turns} == set(AgentType)
    logged = fleet.rows("select * from public.orchestration_decisions order by seq")
    assert [row["decision_id"] for row in logged] == [decision.decision_id for decision in done.decisions]
    by_type = Counter(row["decision_type"] for row in logged)
    assert by_type["SCHEDULE_DISCHARGE"] == 5
    assert by_type["SHIFT_REGION"] > 5
    booked = {row["workload_id"] for row in fleet.rows("select workload_id from public.workload_placements")}
    for row in fleet.rows("select * from public.compute_workloads"):
        is_booked = row["status"] in ("QUEUED", "DEFERRED_CARBON", "DEFERRED_PRICE", "DEFERRED_GRID_STRESS")
        assert (row["id"] in booked) == (is_booked and row["scheduled_start"] is not None)
    agents = fleet.agents()
    assert {agent["status"] for agent in agents.values()} == {"IDLE"}
    assert agents["COMPUTE_ORCHESTRATOR"]["last_action_at"] == fleet.now
    assert agents["GRID_OPERATOR"]["last_action_at"] is None
    totals = {total.part: total for total in done.totals}
    assert {total.kind for total in done.totals} == {Kind.SIMULATED}
    assert totals[Part.PLACED].energy_kwh > 0
    placed = [
        row
        for row in logged
        if row["workload_id"] and row["alternatives_considered"]["chosen"] and not row["inputs"]["standing"]
    ]
    feasible = [row for row in placed if row["constraints_evaluated"]["baseline_infeasible"] is None]
    assert totals[Part.PLACED].infeasible == len(placed) - len(feasible)
    scheduled = [row for row in logged if row["decision_type"] == "SCHEDULE_DISCHARGE"]
    for part, rows in ((Part.PLACED, feasible), (Part.STORAGE, scheduled)):
        saved_g = float(sum(row["carbon_saved_gco2"] for row in rows))
        assert totals[part].carbon_saved_kg == pytest.approx(saved_g / 1000)


def test_what_a_move_adds_to_what_was_counted_before_is_what_the_new_place_saves(own: Fleet) -> None:
    """Nothing of it is claimed twice, so the loss of a better place is a loss."""
    before = own.submit("j").decisions[0]
    (booked,) = own.rows("select host_dc_id from public.compute_workloads")
    (site,) = own.rows(f"select dc_id from public.data_centres where id = '{booked['host_dc_id']}'")
    own.do("set_data_centre_status", dc_id=site["dc_id"], status="MAINTENANCE", reason="Works.")
    done = own.round()
    (total,), (after,) = done.totals, done.decisions
    assert (total.part, total.unknown, done.given_up) == (Part.MOVED, 0, 0)
    assert total.energy_kwh == after.alternatives_considered["chosen"]["energy_kwh"]
    assert total.cost_saved_gbp is not None
    assert total.cost_saved_gbp < 0
    assert before.cost_saved_gbp + total.cost_saved_gbp == pytest.approx(after.cost_saved_gbp, abs=1e-3)
    saved_g = before.carbon_saved_gco2 + 1000 * total.carbon_saved_kg
    assert saved_g == pytest.approx(after.carbon_saved_gco2, abs=0.1)


def test_what_replaces_a_booking_that_was_missed_claims_nothing_anew(own: Fleet) -> None:
    own.submit("j", urgency="CRITICAL", deadline=None)
    own.now += timedelta(hours=2)
    own.run_pipeline()
    done = own.round()
    (total,), (after,) = done.totals, done.decisions
    assert after.cost_saved_gbp is not None
    assert (total.part, total.unknown) == (Part.MOVED, 1)
    assert (total.carbon_saved_kg, total.cost_saved_gbp) == (None, None)


def test_a_booking_for_which_no_other_is_found_is_given_up(own: Fleet) -> None:
    own.submit("j", allowed_region_ids=[3])
    own.do("set_data_centre_status", dc_id="LEEDS-1", status="MAINTENANCE", reason="Works.")
    done = own.round()
    assert (len(done.decisions), done.given_up, done.totals) == (1, 1, [])


def test_every_decision_of_a_round_recomputes_from_what_it_kept(fleet: Fleet) -> None:
    fleet.round()
    rows = fleet.rows("select * from public.orchestration_decisions order by seq")
    assert len(rows) > 20
    with fleet.database.as_reader(fleet.operator_id) as transaction:
        for row in rows:
            again = recompute(transaction, fleet.operator_id, row)
            assert again is not None
            assert again.reasoning == row["reasoning"]
            assert json.loads(json.dumps(again.alternatives)) == row["alternatives_considered"]
            assert json.loads(json.dumps(again.constraints)) == row["constraints_evaluated"]
            for name in ("decision_type", "carbon_saved_gco2", "cost_saved_gbp", "flexibility_contribution_mw"):
                made, logged = getattr(again, name), row[name]
                assert made == (float(logged) if isinstance(logged, Decimal) else logged)


def test_a_second_round_at_once_has_nothing_to_say(fleet: Fleet) -> None:
    fleet.round()
    again = fleet.round()
    assert again.decisions == []
    assert [turn.error for turn in again.turns] == [None] * 5


def test_each_state_is_recorded_with_what_triggered_it(own: Fleet) -> None:
    own.submit("j", carbon_cap_gco2=0)
    assert own.workload("j")["status"] == "DEFERRED_CARBON"
    own.now += timedelta(minutes=1)
    own.round("pipeline run 1")
    assert own.states("COMPUTE_ORCHESTRATOR") == ["IDLE", "ACTIVE", "IDLE"]
    own.now += timedelta(hours=25)
    own.run_pipeline()
    done = own.round("pipeline run 2")
    assert [decision.decision_type for decision in done.decisions] == [DecisionType.REJECT_WORKLOAD]
    assert own.states("COMPUTE_ORCHESTRATOR")[3:] == ["ACTIVE", "EXECUTING", "IDLE"]
    rows = own.rows("select triggered_by, state_data from public.agent_states order by recorded_at, id")
    assert [row["triggered_by"] for row in rows[1:]] == ["pipeline run 1"] * 2 + ["pipeline run 2"] * 3
    assert rows[-1]["state_data"]["decisions"] == 1
    assert own.workload("j")["status"] == WorkloadStatus.FAILED


def test_an_agent_that_fails_is_in_error_and_the_others_have_their_turn(own: Fleet, superuser: Any) -> None:
    own.submit("j")
    register(own, AgentType.CARBON_OPTIMIZER)
    set_config(own, superuser, "COMPUTE_ORCHESTRATOR", '{"no_such_weight": 1}')
    own.now += timedelta(minutes=1)
    turns = {turn.agent_type: turn for turn in own.round().turns}
    failed = turns[AgentType.COMPUTE_ORCHESTRATOR]
    assert failed.error is not None
    assert "no_such_weight" in failed.error
    assert turns[AgentType.CARBON_OPTIMIZER].error is None
    assert own.states("COMPUTE_ORCHESTRATOR")[1:] == ["ERROR"]
    assert own.agents()["COMPUTE_ORCHESTRATOR"]["status"] == "ERROR"
    set_config(own, superuser, "COMPUTE_ORCHESTRATOR", "{}")
    own.now += timedelta(minutes=1)
    assert {turn.error for turn in own.round().turns} == {None}
    assert own.states("COMPUTE_ORCHESTRATOR")[1:] == ["ERROR", "ACTIVE", "IDLE"]


def test_an_agent_that_breaks_halfway_leaves_nothing_behind(own: Fleet, monkeypatch: Any) -> None:
    own.submit("j", carbon_cap_gco2=0)

    def propose(view: Any, agent: Agent, config: Placing) -> Any:
        yield reject("j")
        raise ZeroDivisionError("halfway")

    monkeypatch.setattr(contract, "discover", lambda: (program(propose),))
    (turn,) = own.round().turns
    assert turn.error == "ZeroDivisionError('halfway')"
    assert own.workload("j")["status"] == "DEFERRED_CARBON"
    assert own.agents()["COMPUTE_ORCHESTRATOR"]["status"] == "ERROR"


def test_a_proposal_that_is_refused_is_counted_and_the_next_carried_out(own: Fleet, monkeypatch: Any) -> None:
    own.submit("j", carbon_cap_gco2=0)
    own.submit("k", carbon_cap_gco2=0)

    def propose(view: Any, agent: Agent, config: Placing) -> Any:
        yield Proposal(
            action="accept_workload",
            parameters={"job_id": "j", "dc_id": "LEEDS-1", "starts_at": own.now + timedelta(hours=1)},
            draft=Draft(decision_type=DecisionType.ACCEPT_WORKLOAD, reasoning="It would break its cap.", inputs={}),
        )
        yield reject("k")

    monkeypatch.setattr(contract, "discover", lambda: (program(propose),))
    (turn,) = own.round().turns
    assert [refused["refusals"][0]["code"] for refused in turn.refused] == ["carbon_cap"]
    assert [decision.decision_type for decision in turn.decisions] == [DecisionType.REJECT_WORKLOAD]
    assert (own.workload("j")["status"], own.workload("k")["status"]) == ("DEFERRED_CARBON", "FAILED")


def test_an_agent_that_is_offline_rests(own: Fleet) -> None:
    own.do("update_agent", {"agent_id": "compute_orchestrator", "status": "OFFLINE"})
    done = own.round()
    assert (done.turns, done.resting) == ([], ["compute_orchestrator"])


def test_one_round_at_a_time(own: Fleet) -> None:
    holder = UUID(int=1)
    lease = LEASE.format(operator_id=own.operator_id)
    with leases.held(own.database, lease, holder, lambda: own.now), pytest.raises(LeaseHeld):
        own.round()
    assert own.round().turns


def test_a_round_of_one_operator_keeps_no_other_waiting(own: Fleet, tenants: Tenants) -> None:
    lease = LEASE.format(operator_id=tenants.b.id)
    with leases.held(own.database, lease, UUID(int=1), lambda: own.now):
        assert own.round().turns


def test_an_agent_that_goes_offline_during_a_round_rests_and_the_next_has_its_turn(own: Fleet) -> None:
    register(own, AgentType.GRID_OPERATOR)
    register(own, AgentType.CARBON_OPTIMIZER)

    def progress(name: str, _: str) -> None:
        if name == "GRID_OPERATOR":
            own.do("update_agent", agent_id="compute_orchestrator", status="OFFLINE")

    done = run_agents(own.database, own.views, own.call, trigger="test", clock=lambda: own.now, progress=progress)
    assert [turn.agent_id for turn in done.turns] == ["grid_operator", "carbon_optimizer"]
    assert done.resting == ["compute_orchestrator"]
    assert own.agents()["COMPUTE_ORCHESTRATOR"]["status"] == "OFFLINE"


def test_an_agent_that_is_removed_during_a_round_has_no_turn(own: Fleet, superuser: Any) -> None:
    register(own, AgentType.GRID_OPERATOR)

    def progress(name: str, _: str) -> None:
        with superuser() as connection:
            connection.execute("delete from public.agents where name = 'COMPUTE_ORCHESTRATOR'")

    done = run_agents(own.database, own.views, own.call, trigger="test", clock=lambda: own.now, progress=progress)
    assert [turn.agent_id for turn in done.turns] == ["grid_operator"]


def test_an_agent_that_goes_offline_and_fails_meanwhile_stays_offline(own: Fleet, monkeypatch: Any) -> None:
    def opened_anew(*given: Any, **how: Any) -> Any:
        if not how:  # not for a turn, but to put the agent in ERROR
            own.do("update_agent", agent_id="compute_orchestrator", status="OFFLINE")
        return opened(*given, **how)

    def propose(view: Any, agent: Agent, config: Placing) -> Any:
        raise ZeroDivisionError("halfway")

    monkeypatch.setattr(contract, "discover", lambda: (program(propose),))
    monkeypatch.setattr(desks, "opened", opened_anew)
    (turn,) = own.round().turns
    assert turn.error == "ZeroDivisionError('halfway')"
    assert own.agents()["COMPUTE_ORCHESTRATOR"]["status"] == "OFFLINE"


def test_parameters_that_do_not_fit_are_a_refusal_of_that_proposal_alone(own: Fleet, monkeypatch: Any) -> None:
    own.submit("k", carbon_cap_gco2=0)

    def propose(view: Any, agent: Agent, config: Placing) -> Any:
        draft = Draft(decision_type=DecisionType.NEGOTIATE, reasoning="Too many sites.", inputs={})
        yield Proposal(action="offer_flexibility", parameters={"dc_ids": ["x"] * 101}, draft=draft)
        yield reject("k")

    monkeypatch.setattr(contract, "discover", lambda: (program(propose),))
    (turn,) = own.round().turns
    assert turn.error is None
    assert [refused["action"] for refused in turn.refused] == ["offer_flexibility"]
    assert "dc_ids" in turn.refused[0]["detail"]
    assert [decision.decision_type for decision in turn.decisions] == [DecisionType.REJECT_WORKLOAD]


def test_a_cap_on_a_site_moves_its_work_within_the_round(own: Fleet, superuser: Any) -> None:
    own.do("update_data_centre", {"dc_id": "SLOUGH-1", "flexibility_rating": 1})
    register(own, AgentType.GRID_OPERATOR, critical_stress=0, alert_stress=0, look_ahead_hours=1)
    own.submit("j", allowed_region_ids=[12], deadline=(own.now + timedelta(minutes=61)).isoformat())
    own.submit("k")
    begins = own.workload("j")["scheduled_start"]
    assert begins < own.now + timedelta(minutes=2)
    done = own.round()
    kinds = [decision.decision_type for decision in done.decisions]
    assert kinds[0] is DecisionType.SCALE_DOWN
    assert DecisionType.SCALE_DOWN not in kinds[1:]
    limit = own.rows("select * from public.load_limits")
    assert [float(row["max_power_mw"]) for row in limit] == [0.0]
    assert own.workload("j")["status"] in ("FAILED", "PENDING")


def test_an_offer_stands_as_the_agents_task_until_its_time_is_over(own: Fleet) -> None:
    register(
        own,
        AgentType.FLEXIBILITY_AGENT,
        offer_from_stress=0,
        max_event_hours=1,
        look_ahead_hours=1,
        max_flexible_share=1,
    )
    impatient = {"delay_gbp_mwh_hour": {"CRITICAL": 1000}, "lost_compute_gbp_mwh": None}
    own.do("update_agent", {"agent_id": "compute_orchestrator", "config": impatient})
    for number in range(3):
        own.submit(f"j{number}", urgency="CRITICAL", power_kw=3000)
    own.do("update_agent", {"agent_id": "compute_orchestrator", "status": "OFFLINE"})
    own.now += timedelta(minutes=1)
    (turn,) = own.round().turns
    assert [decision.decision_type for decision in turn.decisions] == [DecisionType.NEGOTIATE]
    assert own.states("FLEXIBILITY_AGENT")[1:] == ["ACTIVE", "NEGOTIATING", "IDLE"]
    task = own.agents()["FLEXIBILITY_AGENT"]["current_task"]
    assert task["action"] == "offer_flexibility"
    assert task["decision_id"] == turn.decisions[0].decision_id
    assert own.round().decisions == []
    assert own.agents()["FLEXIBILITY_AGENT"]["current_task"] == task
    own.now = datetime.fromisoformat(task["parameters"]["ends_at"])
    own.run_pipeline()
    own.round()
    assert own.agents()["FLEXIBILITY_AGENT"]["current_task"] != task


def test_an_agent_cannot_skip_from_rest_to_acting(own: Fleet) -> None:
    with (
        pytest.raises(Conflict, match=r"is IDLE and cannot become EXECUTING. Valid: ACTIVE, ERROR, OFFLINE"),
        opened(own.database, own.views, own.call) as desk,
    ):
        _agent_states.enter(desk, desk.agent("compute_orchestrator"), AgentStatus.EXECUTING, "test")


def test_every_state_leads_somewhere_and_back_to_rest() -> None:
    assert set(_agent_states.NEXT) == set(AgentStatus)
    for status in AgentStatus:
        assert status not in _agent_states.NEXT[status] or status in (AgentStatus.ERROR,)
        if status is not AgentStatus.IDLE:
            assert AgentStatus.IDLE in _agent_states.NEXT[status]


def test_the_agents_of_a_simulated_fleet_have_their_weights_written_out(fleet: Fleet) -> None:
    for agent_type, row in fleet.agents().items():
        found = contract.program(AgentType(agent_type))
        assert row["config"] == found.settings({}).model_dump(mode="json")
    with pytest.raises(Invalid):
        contract.program(AgentType.GRID_OPERATOR).settings(fleet.agents()["STORAGE_AGENT"]["config"])


def test_an_operators_agents_see_no_other_operator(fleet: Fleet, tenants: Tenants) -> None:
    other = Call(operator_id=tenants.b.id, now=fleet.now, entropy=entropy)
    assert run_agents(fleet.database, Views(), other, trigger="command", clock=lambda: fleet.now).turns == []


def program(propose: Any) -> Program:
    return Program(agent_type=AgentType.COMPUTE_ORCHESTRATOR, order=1, config=Placing, propose=propose)


def reject(job_id: str) -> Proposal:
    return Proposal(
        action="reject_workload",
        parameters={"job_id": job_id, "reason": "test"},
        draft=Draft(decision_type=DecisionType.REJECT_WORKLOAD, reasoning="Test.", inputs={}),
    )
