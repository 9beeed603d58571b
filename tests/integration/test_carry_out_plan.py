"""A plan stands: arrivals pay what it says room is worth, agents carry it out, and every decision recomputes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pylon.agents import fleet_plan
from pylon.agents.carbon_optimizer import Optimizing
from pylon.errors import Refused
from pylon.ontology.canonical import canonical_bytes, digest
from pylon.services import _workload_actions as workload_actions
from pylon.services import desk as desks
from pylon.services import plan_fleet
from pylon.services._plan_work import PlanWork
from pylon.services.recompute_decision import recompute
from pylon.services.run_agents import Turn, run_agents
from pylon.store.database import Database
from tests.conftest import Superuser, Tenants
from tests.doubles.acting import Acting, acting


def make_plan(here: Acting, change: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Work out a plan of what stands and let it stand as the operator's newest, changed as the test wants it."""
    with desks.opened(here.database, here.views, here.call, whole=True) as desk:
        document = fleet_plan.describe(desk.view, Optimizing())
        outcome = fleet_plan.work_out(json.loads(canonical_bytes(document)))
        if change is not None:
            change(outcome)
        said = {
            "id": str(desk.new_id()),
            "operator": str(here.operator_id),
            "content": canonical_bytes(outcome).decode().replace("'", "''"),
            "digest": digest(outcome),
            "starts_at": document["starts_at"],
            "half_hours": document["half_hours"],
            "seq": document["after_seq"],
            "now": here.now.isoformat(),
        }
        for statement in _STATEMENTS:
            desk.transaction.statement(statement.format(**said).encode())
        desk.forget()
    return {**outcome, "document": document}


_STATEMENTS = (
    """insert into public.plans (id, operator_id, plan_id, trigger, requested_at, as_of, starts_at, half_hours,
                                 after_seq, result_digest)
       select '{id}', '{operator}', 'P-' || lpad((count(*) + 1)::text, 6, '0'), 'test', '{now}', '{now}',
              '{starts_at}', {half_hours}, {seq}, '{digest}' from public.plans""",
    "insert into public.plan_results (operator_id, plan_id, content) values ('{operator}', '{id}', '{content}')",
    "update public.plans set status = 'SUCCEEDED', finished_at = '{now}' where id = '{id}'",
)


@pytest.fixture
def crowded(here: Acting) -> Acting:
    """Sixty jobs that came one after another, each where it was best by itself then."""
    for agent_type in ("COMPUTE_ORCHESTRATOR", "CARBON_OPTIMIZER"):
        here.do("register_agent", agent_id=agent_type, name=agent_type, agent_type=agent_type)
    draw = random.Random(3)
    here.do("submit_workloads", workloads=[_job(here, draw, f"J{number}") for number in range(60)])
    return here


def _job(here: Acting, draw: random.Random, job_id: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "workload_type": "TRAINING_RUN",
        "duration_mins": draw.choice((30, 45, 60, 90, 137, 240)),
        "power_kw": draw.choice((500, 2000, 6000)),
        "origin": draw.choice(("SLOUGH-1", "LEEDS-1", "PERTH-1")),
        "interruptible": draw.random() < 0.4,
        "migration_cost_gbp": draw.choice((0, 5, 20)),
        "deadline": (here.now + timedelta(hours=draw.choice((6, 10, 14)))).isoformat(),
        "urgency": draw.choice(("LOW", "MEDIUM", "HIGH")),
    }


def a_round(here: Acting) -> dict[str, Turn]:
    done = run_agents(here.database, here.views, here.call, trigger="test", clock=lambda: here.now)
    return {turn.agent_id: turn for turn in done.turns}


def places(here: Acting) -> dict[str, list[tuple[Any, ...]]]:
    rows = here.rows(
        "select w.job_id, p.data_centre_id, p.starts_at, p.ends_at from public.workload_placements p "
        "join public.compute_workloads w on w.id = p.workload_id order by w.job_id, p.starts_at"
    )
    held: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        held.setdefault(row["job_id"], []).append((row["data_centre_id"], row["starts_at"], row["ends_at"]))
    return held


def must_recompute(here: Acting) -> list[dict[str, Any]]:
    rows = here.rows("select * from public.orchestration_decisions order by seq")
    with here.database.as_reader(here.operator_id) as transaction:
        for row in rows:
            again = recompute(transaction, here.operator_id, row)
            assert again is not None
            for said, stored in (
                (again.inputs, row["inputs"]),
                (again.reasoning, row["reasoning"]),
                (again.constraints, row["constraints_evaluated"]),
                (again.alternatives, row["alternatives_considered"]),
            ):
                assert canonical_bytes(said) == canonical_bytes(stored), row["decision_id"]
    return rows


def test_agents_carry_a_plan_out_with_a_decision_each_and_it_costs_what_the_plan_said(crowded: Acting) -> None:
    before, plan = places(crowded), make_plan(crowded)
    assert plan["cost_gbp"] < plan["standing"]["cost_gbp"]
    turn = a_round(crowded)["CARBON_OPTIMIZER"]
    assert (turn.error, turn.refused) == (None, [])
    after = places(crowded)
    moved = {job_id for job_id, held in after.items() if before[job_id] != held}
    assert len(moved) == len(turn.decisions) > 20
    by_plan = [one for one in must_recompute(crowded) if "by_plan" in one["inputs"]]
    assert [one["inputs"]["by_plan"]["number"] for one in by_plan] == list(range(1, len(by_plan) + 1))
    (standing,) = crowded.rows("select id, plan_id from public.plans")
    stored = crowded.rows("select job_id, plan_id from public.compute_workloads where plan_id is not null")
    assert {row["plan_id"] for row in stored} == {standing["id"]}
    assert {row["job_id"] for row in stored} == {one["inputs"]["job"]["job_id"] for one in by_plan}
    assert all(standing["plan_id"] in one["reasoning"] for one in by_plan)
    # What stands now is worth what the plan said, but for the money that leaving a place only stands for.
    again = make_plan(crowded)
    assert again["standing"]["cost_gbp"] == pytest.approx(plan["cost_gbp"] - plan["cost"]["leaving_gbp"], rel=1e-6)
    assert a_round(crowded)["CARBON_OPTIMIZER"].decisions == [] or again["cost_gbp"] < again["standing"]["cost_gbp"]


def test_a_booking_that_a_plan_gave_is_the_clients_again_when_it_moves_it(crowded: Acting) -> None:
    make_plan(crowded)
    a_round(crowded)
    (job, *_) = crowded.rows(
        "select job_id from public.compute_workloads where plan_id is not null order by job_id"
    )
    crowded.do("defer_workload", job_id=job["job_id"], deferred_by=None)
    assert crowded.workload(job["job_id"])["plan_id"] is None


def test_moves_of_a_plan_are_made_together_or_not_at_all(crowded: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler refuses the tenth of them, as if a limit had been overlooked."""
    before, book, count = places(crowded), workload_actions._book, iter(range(1, 1000))

    def refuses_the_tenth(*given: Any) -> None:
        if next(count) == 10:
            raise Refused.because("power_mw", "No room after all.")
        book(*given)

    make_plan(crowded)
    monkeypatch.setattr(workload_actions, "_book", refuses_the_tenth)
    turn = a_round(crowded)["CARBON_OPTIMIZER"]
    assert turn.error is None
    assert len(turn.refused) > 20
    assert {one["detail"] for one in turn.refused} == {"No room after all."}
    by_plan = [row for row in must_recompute(crowded) if "by_plan" in row["inputs"]]
    assert by_plan == [], "what moves after that moves by itself, for its own sake"
    changed = {job_id for job_id, spans in places(crowded).items() if spans != before[job_id]}
    assert len(changed) == len(turn.decisions)
    (agent,) = crowded.rows("select status::text as status from public.agents where agent_id = 'CARBON_OPTIMIZER'")
    assert agent["status"] == "IDLE"


def test_room_that_a_plan_calls_scarce_moves_an_arrival_elsewhere(here: Acting) -> None:
    alone = here.submit("J1").decisions[0].alternatives_considered["chosen"]
    here.do("cancel_workload", job_id="J1")

    def scarce(outcome: dict[str, Any]) -> None:
        by_site = outcome["prices"]["power_mw"]
        for dc_id in by_site:
            by_site[dc_id] = [[40.0 if dc_id == alone["dc_id"] else 2.0, outcome["half_hours"]]]

    make_plan(here, scarce)
    decided = here.submit("J2").decisions[0]
    other = decided.alternatives_considered["chosen"]
    assert other["dc_id"] != alone["dc_id"]
    assert other["terms"]["scarcity_gbp"] == pytest.approx(2 * other["energy_kwh"] / 1000)
    assert "By plan P-000001 room is worth GBP 2.00/MWh there then" in decided.reasoning
    (row,) = [row for row in here.rows("select * from public.orchestration_decisions") if row["inputs"].get("plan")]
    assert row["inputs"]["plan"]["plan_id"] == "P-000001"
    same = next(one for one in decided.alternatives_considered["others"] if one["dc_id"] == alone["dc_id"])
    assert same["terms"]["scarcity_gbp"] == pytest.approx(40 * same["energy_kwh"] / 1000)
    must_recompute(here)


def test_a_plan_that_is_over_is_worth_nothing(here: Acting) -> None:
    def short(outcome: dict[str, Any]) -> None:
        for by_site in outcome["prices"].values():
            for dc_id in by_site:
                by_site[dc_id] = [[40.0, 2]]

    make_plan(here, short)
    with desks.opened(here.database, here.views, here.call, whole=True) as desk:
        assert desk.view.plan is not None
        assert (desk.view.field.scarcity_gbp_mwh[:, :2] == 40).all()
        assert not desk.view.field.scarcity_gbp_mwh[:, 2:].any()
    later = replace(here, now=here.now + timedelta(hours=49))
    with desks.opened(here.database, here.views, later.call, whole=True) as desk:
        assert desk.view.plan is None
        assert not desk.view.field.scarcity_gbp_mwh.any()


def test_a_battery_beside_a_site_lends_its_work_room_and_takes_it_where_it_charges(here: Acting) -> None:
    """PERTH-1 has 10 MW; the battery gives 4 in one hour, takes 4 in the next, and is to take 20 after that."""
    battery = {"capacity_mwh": 100, "max_charge_rate_mw": 20, "max_discharge_rate_mw": 20, "current_charge_mwh": 50}
    here.do("register_storage_asset", asset_id="BAT", name="Battery", region=1, co_located_dc="PERTH-1", **battery)
    here.do("report_charge", asset_id="BAT", charge_mwh=50)
    first = here.now.replace(minute=30, second=0) + timedelta(hours=1)

    def at(number: int) -> str:
        return (first + number * timedelta(minutes=30)).isoformat()

    given = (4.0, 4.0, -4.0, -4.0, -20.0, -20.0)
    here.do(
        "dispatch_storage",
        asset_id="BAT",
        schedule=[{"starts_at": at(number), "power_mw": mw} for number, mw in enumerate(given)],
    )
    with desks.opened(here.database, here.views, here.call, whole=True) as desk:
        row = next(row for row, site in enumerate(desk.view.sites) if site.dc_id == "PERTH-1")
        room, start = desk.view.field.room[0, row], round(desk.view.minutes(first) / 30)
        assert room[start - 1 : start + 7].tolist() == [10, 14, 14, 6, 6, 0, 0, 10]
        assert desk.view.beside_mw is not None
        assert desk.view.beside_mw[row, start : start + 6].tolist() == [4, 4, -4, -4, -10, -10]
        document = fleet_plan.describe(desk.view, Optimizing())
    assert document["storage"] == [] or document["storage"][0]["first_slot"] == start + 6, (
        "what was set by hand stays"
    )
    job = {"power_kw": 12_000, "duration_mins": 60, "allowed_region_ids": [1], "origin": "PERTH-1"}
    chosen = here.submit("LARGE", **job).decisions[0].alternatives_considered["chosen"]
    assert [span["starts_at"] for span in chosen["spans"]] == [first.isoformat().replace("+00:00", "Z")]
    must_recompute(here)


def test_a_plan_plans_storage_as_the_operators_storage_agent_is_told_to(here: Acting) -> None:
    here.do(
        "register_agent",
        agent_id="STORAGE",
        name="Storage",
        agent_type="STORAGE_AGENT",
        config={"min_charge_percentage": 40, "max_charge_percentage": 60},
    )
    battery = {"capacity_mwh": 100, "max_charge_rate_mw": 20, "max_discharge_rate_mw": 20, "current_charge_mwh": 50}
    here.do("register_storage_asset", asset_id="BAT", name="Battery", region=1, co_located_dc="PERTH-1", **battery)
    here.do("report_charge", asset_id="BAT", charge_mwh=50)
    asked = plan_fleet.request(here.database, here.views, here.call, trigger="test", clock=lambda: here.now)
    work = PlanWork(here.database, here.views, here.call, asked.id, lambda: here.now, lambda *_: None)
    assert work.begin()
    (seen,) = json.loads(work.read())["storage"]
    config = seen["seen"]["config"]
    assert (config["min_charge_percentage"], config["max_charge_percentage"]) == (40, 60)


def test_a_carbon_cap_is_held_against_what_pylons_own_forecast_may_be_wrong_by(
    database: Database, tenants: Tenants, superuser: Superuser
) -> None:
    here = acting(database, tenants.a.id, {"LEEDS-1": {"region": 3, "pue": 1.2, "total_capacity_mw": 20}})
    here.run_pipeline()
    (grams,) = {row["c"] for row in here.rows(_HIGHEST)}
    job = {"carbon_cap_gco2": grams + 10, "origin": "LEEDS-1"}
    assert here.submit("J1", **job).decisions[0].alternatives_considered["chosen"] is not None
    with superuser() as session:
        session.execute(_UNCERTAIN)
    here.now += timedelta(minutes=30)  # the view that was read before is kept no longer
    refused = here.submit("J2", **job).decisions[0]
    assert refused.alternatives_considered["chosen"] is None
    assert refused.constraints_evaluated["binding"] == "carbon_cap"
    (made,) = refused.alternatives_considered["loosenings"]
    assert made["parameters"]["carbon_cap_gco2"] > grams + 10
    must_recompute(here)


_UNCERTAIN = "update public.regional_grid_signals set carbon_intensity_upper = carbon_intensity_forecast + 400"
_HIGHEST = "select max(carbon_intensity_forecast) as c from public.regional_grid_signals"
