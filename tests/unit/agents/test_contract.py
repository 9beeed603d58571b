from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from pylon.agents import contract
from pylon.errors import Invalid, NotFound
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import AgentType, DecisionType, WorkloadStatus
from tests.doubles import views


def test_every_type_of_agent_has_a_program_and_limits_are_set_before_work_is_placed():
    programs = contract.discover()
    assert {program.agent_type for program in programs} == set(AgentType)
    order = [program.agent_type for program in programs]
    assert order.index(AgentType.GRID_OPERATOR) < order.index(AgentType.COMPUTE_ORCHESTRATOR)
    assert order.index(AgentType.COMPUTE_ORCHESTRATOR) < order.index(AgentType.CARBON_OPTIMIZER)


def test_a_type_without_a_program_is_named(monkeypatch):
    monkeypatch.setattr(contract, "discover", lambda: ())
    with pytest.raises(NotFound, match="STORAGE_AGENT"):
        contract.program(AgentType.STORAGE_AGENT)


@pytest.mark.parametrize("agent_type", list(AgentType))
def test_the_defaults_written_out_are_the_defaults(agent_type):
    program = contract.program(agent_type)
    written = program.settings({}).model_dump(mode="json")
    assert written
    assert program.settings(written) == program.settings({})


@pytest.mark.parametrize("agent_type", list(AgentType))
def test_a_config_that_is_not_valid_is_refused_with_what_would_be(agent_type):
    with pytest.raises(Invalid, match=r"no_such_weight.*Valid: "):
        contract.program(agent_type).settings({"no_such_weight": 1})


def test_a_view_tells_moments_from_minutes_and_back():
    view = views.view(views.site("A", 1))
    assert view.minutes(views.NOW) == 10
    assert view.at(10) == views.NOW
    assert view.at(10.004) == views.NOW  # to the second
    assert view.half_hour(3) == view.starts_at + 3 * HALF_HOUR
    assert view.minutes(view.starts_at - timedelta(hours=1)) == -60


def test_a_view_knows_its_sites_by_id():
    a, b = views.site("A", 1), views.site("B", 2)
    view = views.view(a, b)
    assert [view.site(one.id) for one in view.sites] == [0, 1]
    assert view.site(UUID(int=7)) is None


def test_between_them_agents_reach_every_type_of_decision():
    a, b = views.site("A", 1, base_load_mw=2), views.site("B", 2, base_load_mw=2)
    carbon = {"A": [300.0] * 12 + [60.0], "B": 200.0}

    def job(name: str, **values: object) -> ComputeWorkload:
        return views.workload(name, **{"origin_dc_id": a.id, "allowed_region_ids": [1], **values})

    arriving = [
        job("renewable"),
        job("shift", allowed_region_ids=[1, 2], deferral_window_mins=0),
        job("accept", deferral_window_mins=0),
        job("too dear", max_price_gbp=1),
        job("too dirty", carbon_cap_gco2=1),
        job("nowhere", allowed_region_ids=[9]),
    ]
    held = job("held", status=WorkloadStatus.QUEUED, power_kw=4000, duration_mins=240)
    bookings = {"held": views.booking(a, views.view(a).half_hour(1), 240)}
    lifted = views.limit(
        b,
        5,
        views.NOW + timedelta(hours=2),
        views.NOW + timedelta(hours=4),
        reason="Grid stress 0.9",
        decision_id=bookings["held"].decision_id,
    )
    seen = [
        views.view(
            a,
            b,
            carbon=carbon,
            stress=[0.9] * 4 + [0.1],
            workloads=[*arriving, held],
            bookings=bookings,
            limits=[lifted],
            deciders={lifted.decision_id: views.agent(AgentType.GRID_OPERATOR).id},
        ),
        views.view(a, price=[200.0] * 12 + [20.0], workloads=[job("price")]),
        views.view(a, carbon=[300.0] * 12 + [150.0], workloads=[job("carbon")]),
        views.view(
            a,
            b,
            price=[20.0, 200.0] * 40,
            stress=[1.0] * 3 + [0.1],
            workloads=[job("stress")],
            assets=[views.asset("BESS", 1)],
        ),
    ]
    reached = {
        proposal.draft.decision_type
        for view in seen
        for program in contract.discover()
        for proposal in program.run(view, views.agent(program.agent_type))
    }
    assert reached == set(DecisionType)
