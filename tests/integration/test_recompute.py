"""What a decision says recomputes from what it says it saw: reason, alternatives, limits and savings."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from pylon.agents.contract import Draft
from pylon.errors import Refused
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import WorkloadUrgency
from pylon.services.execute import execute
from pylon.services.recompute_decision import recompute
from pylon.services.run_agents import run_agents
from pylon.store.database import Database
from tests.conftest import Tenants
from tests.doubles.acting import Acting

ROUNDS, FEWER = 10, 2
CALM = {"alert_stress": 0.99, "critical_stress": 1.0}
NERVOUS = {
    "GRID_OPERATOR": {"alert_stress": 0.02, "critical_stress": 0.05, "look_ahead_hours": 24},
    "FLEXIBILITY_AGENT": {"offer_from_stress": 0.05, "look_ahead_hours": 24},
}
CARBON_FIRST = {
    "agent_id": "AGENT",
    "name": "Agent",
    "agent_type": "COMPUTE_ORCHESTRATOR",
    "config": {"carbon_price_gbp_t": 5000, "stress_price_gbp_mwh": 0},
}


def test_decisions_recompute_from_what_they_say_they_saw(here: Acting, is_soak: bool) -> None:
    draw = random.Random(11)
    rounds = ROUNDS if is_soak else FEWER
    for number in range(rounds):
        if number == rounds // 2:  # from here on carbon is what counts
            here.do("register_agent", CARBON_FIRST)
        jobs = [_job(here, draw, f"JOB-{number}-{one}") for one in range(75)]
        here.do("submit_workloads", workloads=jobs)
        for job in draw.sample(jobs, 60):
            _meddle(here, draw, job["job_id"])
        here.now += timedelta(minutes=draw.choice((3, 17, 31)))
    rows = here.rows("select * from public.orchestration_decisions order by seq")
    assert len(rows) >= 100 * rounds
    with here.database.as_reader(here.operator_id) as transaction:
        for row in rows:
            again = recompute(transaction, here.operator_id, row)
            assert again is not None
            assert _said(again) == _stored(row), row["decision_id"]
    types = Counter(row["decision_type"] for row in rows)
    assert len(types) >= 7, types
    assert any(row["constraints_evaluated"]["baseline_infeasible"] for row in rows)
    assert {_sign(row["cost_saved_gbp"]) for row in rows} >= {-1, 1}, "losses are said as losses"


def test_every_agents_decisions_recompute(database: Database, tenants: Tenants) -> None:
    """A few hours of the simulated fleet, with agents that mind more than usual."""
    here = Acting(database, tenants.a.id)
    here.run_pipeline(synthetic="on")
    for row in here.rows("select agent_id, agent_type from public.agents"):
        if config := NERVOUS.get(row["agent_type"]):
            here.do("update_agent", agent_id=row["agent_id"], config=config)
    _book_the_peak(here)
    for _ in range(8):
        execute(database, here.views, here.call)
        done = run_agents(database, here.views, here.call, trigger="test", clock=lambda: here.now)
        assert [turn.error for turn in done.turns if turn.error] == []
        here.now += HALF_HOUR
        here.run_pipeline(synthetic="on")
        for row in here.rows("select agent_id from public.agents where agent_type = 'GRID_OPERATOR'"):
            here.do(
                "update_agent",
                agent_id=row["agent_id"],
                config=CALM if here.now.minute < 30 else NERVOUS["GRID_OPERATOR"],
            )
    rows = here.rows("select * from public.orchestration_decisions order by seq")
    with database.as_reader(here.operator_id) as transaction:
        for row in rows:
            again = recompute(transaction, here.operator_id, row)
            assert again is not None, row["decision_id"]
            assert _said(again) == _stored(row), row["decision_id"]
    types = Counter(row["decision_type"] for row in rows)
    assert {"SCALE_DOWN", "SCALE_UP", "SCHEDULE_DISCHARGE", "NEGOTIATE", "SHIFT_REGION"} <= set(types), types
    offers = [row for row in rows if row["effect"]["action"] == "offer_flexibility"]
    assert all(row["flexibility_contribution_mw"] > 0 for row in offers)
    assert offers


def test_savings_and_totals_follow_from_the_terms_by_plain_arithmetic(here: Acting) -> None:
    """Independent of the planner: prices and carbon of the kept input, minutes of each half hour, and sums."""
    draw = random.Random(5)
    here.do("submit_workloads", workloads=[_job(here, draw, f"JOB-{one}") for one in range(260)])
    kept = {row["digest"]: row["content"] for row in here.rows("select * from public.plan_inputs")}
    checked = 0
    for row in here.rows("select * from public.orchestration_decisions order by seq"):
        options = row["alternatives_considered"]
        for option in filter(None, (options["chosen"], options["baseline"], *options["others"])):
            _must_add_up(option, row["inputs"], kept[row["inputs"]["view"]])
            checked += 1
        if options["chosen"] and options["baseline"]:
            saved = options["baseline"]["carbon_gco2"] - options["chosen"]["carbon_gco2"]
            assert _number(row["carbon_saved_gco2"]) == pytest.approx(saved, abs=0.011)
    assert checked > 300


def _must_add_up(option: dict[str, Any], inputs: dict[str, Any], content: str) -> None:
    document, job = json.loads(content), inputs["job"]
    (site,) = [one for one in document["sites"] if one["dc_id"] == option["dc_id"]]
    starts_at = datetime.fromisoformat(document["starts_at"])
    prices = site["tariff_gbp_mwh"] or document["wholesale_gbp_mwh"]
    carbon = document["carbon_gco2_kwh"][str(site["region_id"])]
    mw = job["it_power_mw"] * site["pue"]
    energy = cost = grams = stress = 0.0
    for span in option["spans"]:
        at, end = (datetime.fromisoformat(span[name]) for name in ("starts_at", "ends_at"))
        while at < end:
            column = (at - starts_at) // timedelta(minutes=30)
            until = min(end, starts_at + (column + 1) * timedelta(minutes=30))
            mwh = mw * (until - at).total_seconds() / 3600
            energy += mwh
            cost += mwh * prices[column]
            grams += mwh * carbon[column] * 1000
            stress += mwh * document["stress"][column]
            at = until
    terms = option["terms"]
    assert option["energy_kwh"] == pytest.approx(energy * 1000, abs=2e-3)
    assert terms["energy_gbp"] == pytest.approx(cost, abs=2e-6)
    assert option["carbon_gco2"] == pytest.approx(grams, abs=0.02)
    assert terms["carbon_gbp"] == pytest.approx(grams / 1e6 * inputs["weights"]["carbon_price_gbp_t"], abs=2e-6)
    assert terms["stress_gbp"] == pytest.approx(stress * inputs["weights"]["stress_price_gbp_mwh"], abs=2e-6)
    assert option["total_gbp"] == pytest.approx(sum(terms.values()), abs=1e-6)


def _book_the_peak(here: Acting) -> None:
    """Book work by hand at a site that is flexible, for the hours in which the grid is tight."""
    flexible = (
        "select dc_id from public.data_centres where flexibility_rating > 0.2 order by total_capacity_mw desc"
    )
    here.submit("PEAK", power_kw=4000, duration_mins=180, origin=None)
    at = here.now.replace(hour=16, minute=0, second=0)
    here.do("shift_workload", job_id="PEAK", dc_id=here.rows(flexible)[0]["dc_id"], starts_at=at)


def _job(here: Acting, draw: random.Random, job_id: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "workload_type": "INFERENCE_BATCH",
        "duration_mins": draw.randrange(10, 500),
        "power_kw": draw.choice((5, 50, 400, 1500)),
        "interruptible": draw.random() < 0.4,
        "urgency": draw.choice(list(WorkloadUrgency)),
        "origin": draw.choice((None, "LEEDS-1", "SLOUGH-1", "SLOUGH-1", "PERTH-1")),
        "deadline": here.now + timedelta(minutes=draw.randrange(5, 2600)),
        "carbon_cap_gco2": draw.choice((None, None, 20, 60, 120, 200)),
        "max_price_gbp": draw.choice((None, None, None, 0.1, 5, 60)),
        "value_gbp": draw.choice((None, None, 0.5, 50)),
        "migration_cost_gbp": draw.choice((0, 1, 30)),
    }


def _meddle(here: Acting, draw: random.Random, job_id: str) -> None:
    at = here.now.replace(minute=30, second=0) + timedelta(hours=draw.randrange(1, 30))
    tries: tuple[tuple[str, dict[str, Any]], ...] = (
        ("shift_workload", {"dc_id": "LEEDS-1", "starts_at": at, "reason": "by hand"}),
        ("accept_workload", {"dc_id": "SLOUGH-1", "starts_at": at}),
        ("defer_workload", {"deferred_by": "CARBON"}),
        ("amend_workload", {"max_price_gbp": None, "carbon_cap_gco2": None, "value_gbp": None}),
        ("amend_workload", {"urgency": "CRITICAL"}),
        ("cancel_workload", {}),
        ("reject_workload", {"reason": "no budget"}),
    )
    name, given = draw.choice(tries)
    try:
        here.do(name, {"job_id": job_id, **given})
    except Refused:
        return  # it has ended, or there is no room then


def _said(draft: Draft) -> tuple[Any, ...]:
    return (
        draft.decision_type,
        draft.reasoning,
        draft.constraints,
        draft.alternatives,
        draft.carbon_saved_gco2,
        draft.cost_saved_gbp,
        draft.flexibility_contribution_mw,
    )


def _stored(row: dict[str, Any]) -> tuple[Any, ...]:
    numbers = ("carbon_saved_gco2", "cost_saved_gbp", "flexibility_contribution_mw")
    return (
        row["decision_type"],
        row["reasoning"],
        row["constraints_evaluated"],
        row["alternatives_considered"],
        *(_number(row[name]) for name in numbers),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _sign(value: Any) -> int:
    return 0 if not value else 1 if value > 0 else -1
