"""The report adds up: against a recount in plain Python of what is stored, over HTTP and in the terminal."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from pylon.interfaces.runtime import Runtime
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import HALF_HOUR, LONDON
from pylon.ontology.enums import AgentType, WorkloadStatus
from pylon.services.execute import execute
from pylon.services.report import Figures
from pylon.settings import Settings
from pylon.sources.feed import SIMULATED
from pylon.store import objects
from pylon.store.access import Access
from pylon.store.database import Database
from tests.acceptance.support import ran, served
from tests.conftest import LOGIN, new_tenant
from tests.doubles.bench import Bench
from tests.doubles.clock import Clock
from tests.doubles.postgres import Cluster

NAME = "acceptance_report"
T0 = datetime.fromisoformat("2026-10-24T17:30:00+00:00")  # the clocks go back that night: a London day of 25 hours
NOW = T0 + timedelta(hours=40)
FINAL = [status for status in WorkloadStatus if status.is_final]


@pytest.fixture(scope="module")
def dsn(cluster: Cluster, template: str) -> Iterator[str]:
    yield cluster.create(NAME, template)
    cluster.drop(NAME)


@pytest.fixture(scope="module")
def bench(cluster: Cluster, dsn: str) -> Iterator[Bench]:
    """Forty jobs of every fate and kind, and some dispatches, decided by two agents and by nobody."""
    with Database(cluster.dsn(NAME, LOGIN), pool_size=4) as database:
        yield filled(Bench(new_tenant(database, "A"), lambda: cluster.superuser(NAME), T0))


def filled(made: Bench) -> Bench:
    made.signals(hours=20, price={i: 30.0 + 7 * (i % 9) for i in range(40)}, carbon={1: 60, 12: 240})
    made.signals(start=made.at(20 * 60), hours=20, price=75.5, carbon=150, label=SIMULATED, run_until=NOW)
    fill(made)
    return made


def fill(bench: Bench) -> None:
    draw = random.Random(7)
    agents = [
        bench.tenant.make(Agent, agent_id=name, agent_type=kind, created_at=T0, updated_at=T0)
        for name, kind in (("PLANNER", AgentType.COMPUTE_ORCHESTRATOR), ("BATTERIES", AgentType.STORAGE_AGENT))
    ]
    sites = [bench.centre(f"S{n}", region=region, is_simulated=n == 0) for n, region in enumerate((12, 1))]
    for number in range(40):
        is_simulated = draw.random() < 0.5
        job = bench.job(
            f"job {number}",
            draw.choice([*sites, None]),
            minutes=draw.randrange(20, 300),
            power_kw=draw.randrange(100, 3000),
            is_simulated=is_simulated,
            required_gpu_mins=draw.choice([None, 6000]),
        )
        begin = draw.randrange(0, 36 * 60)
        bench.place(
            job,
            draw.choice(sites),
            (begin, begin + job.duration_mins),
            at=draw.randrange(0, begin + 1),
            agent_id=draw.choice([agents[0].id, None]),
            is_simulated=is_simulated,
            constraints_evaluated={"baseline_infeasible": draw.choice([None, None, "power_mw"])},
        )
        status = draw.choice([*FINAL, WorkloadStatus.COMPLETED, WorkloadStatus.RUNNING])
        started = status in (WorkloadStatus.RUNNING, WorkloadStatus.COMPLETED) or draw.random() < 0.5
        update = {
            "status": status,
            "started_at": bench.at(begin) if started else None,
            "completed_at": bench.at(begin + job.duration_mins) if status.is_final else None,
        }
        with bench.database.as_actor(bench.tenant.id) as transaction:
            objects.change(transaction, [job.model_copy(update=update)], list(update))
    for number in range(3):
        asset = bench.battery(f"B{number}", capacity_mwh=50, charge_mwh=25.0)
        bench.schedule(asset, [draw.choice([-4, 0, 4]) for _ in range(40)], agent_id=agents[1].id)
    execute(bench.database, bench.views, bench.call(NOW))


@pytest.fixture(scope="module")
def http(bench: Bench, dsn: str) -> Iterator[httpx2.Client]:
    access = Access("a test's database", owner=dsn, login=dsn)
    with served(Runtime(Settings(schedule="off"), access, bench.database, bench.tenant.id, Clock(NOW))) as client:
        yield client


def get(http: httpx2.Client, **query: str) -> dict[str, Any]:
    answer = http.get("/api/v1/report", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def recount(
    bench: Bench, key: Callable[[dict[str, Any]], tuple[Any, ...]]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return every figure by key, counted row by row from what is stored."""
    outcomes = {row["decision_id"]: row for row in rows(bench, "decision_outcomes")}
    by_work = {row["workload_id"]: row for row in outcomes.values() if row["workload_id"]}
    decisions = {row["id"]: row for row in rows(bench, "orchestration_decisions")}
    names = {row["id"]: row["agent_id"] for row in rows(bench, "agents")} | {None: None}
    simulated_sites = {row["id"]: row["is_simulated"] for row in rows(bench, "data_centres")}
    counted: dict[tuple[Any, ...], dict[str, Any]] = {}

    def add(ended: datetime, agent: str | None, kind: str, **figures: Any) -> None:
        group = counted.setdefault(
            key({"day": ended.astimezone(LONDON).date(), "agent": names[agent], "kind": kind}),
            dict.fromkeys(Figures.model_fields, Decimal(0)),
        )
        for name, value in figures.items():
            group[name] += value

    for work in rows(bench, "compute_workloads"):
        if work["status"] not in FINAL:
            continue
        outcome = by_work.get(work["id"])
        (decision,) = [one for one in decisions.values() if one["workload_id"] == work["id"]]
        kind = kind_of(outcome or {"is_simulated": work["is_simulated"] or (
            work["started_at"] is not None and simulated_sites[work["host_dc_id"]])})  # fmt: skip
        add(at(work["completed_at"]), decision["agent_id"], kind, **of_work(work, outcome))
    assets = {row["id"]: row for row in rows(bench, "storage_assets")}
    for half_hour in rows(bench, "storage_dispatches"):
        if half_hour["executed_at"]:
            agent = decisions[half_hour["decision_id"]]["agent_id"]
            asset = assets[half_hour["storage_asset_id"]]
            add(at(half_hour["starts_at"]), agent, "simulated", **of_storage(bench, half_hour, asset))
    return counted


def kind_of(row: dict[str, Any]) -> str:
    if row["is_simulated"]:
        return "simulated"
    return "partly_simulated" if (row.get("detail") or {}).get("simulated") else "real"


def of_work(work: dict[str, Any], outcome: dict[str, Any] | None) -> dict[str, Any]:
    has_run = work["started_at"] is not None
    name = {"COMPLETED": "completed", "CANCELLED": "cancelled"}.get(
        work["status"], "failed" if has_run else "rejected"
    )
    if outcome is None:
        return {name: 1, "unsettled": int(has_run)}
    carbon, cost = number(outcome["actual_carbon_gco2"]), number(outcome["actual_cost_gbp"])
    figures = {
        name: 1,
        "energy_kwh": number(outcome["actual_energy_kwh"]),
        "carbon_g": carbon or 0,
        "cost_gbp": cost or 0,
        "carbon_unknown": int(carbon is None),
        "cost_unknown": int(cost is None),
    }
    saved = {name: number(outcome[column]) for name, column in (
        ("carbon_saved_g", "carbon_saved_gco2"), ("cost_saved_gbp", "cost_saved_gbp"))}  # fmt: skip
    if outcome["baseline_infeasible"]:
        figures |= {"infeasible": 1} | {f"infeasible_{name}": value or 0 for name, value in saved.items()}
    elif any(value is not None for value in saved.values()):
        figures |= {"compared": 1} | {name: value or 0 for name, value in saved.items()}
        figures |= {name.replace("saved", "lost"): min(value or 0, 0) for name, value in saved.items()}
    if work["status"] == "COMPLETED" and work["required_gpu_mins"] and cost is not None:
        figures |= {"gpu_mins": work["required_gpu_mins"], "gpu_cost_gbp": cost}
    return figures


def of_storage(bench: Bench, half_hour: dict[str, Any], asset: dict[str, Any]) -> dict[str, Any]:
    start, mwh = at(half_hour["starts_at"]), Decimal(str(half_hour["power_mw"])) / 2  # given to the grid
    price, carbon = price_and_carbon(bench, start)
    return {
        "storage_half_hours": 1,
        "charged_kwh": max(-1000 * mwh, Decimal(0)),
        "discharged_kwh": max(1000 * mwh, Decimal(0)),
        "storage_earned_gbp": mwh * price - max(mwh, Decimal(0)) * Decimal(str(asset["wear_gbp_mwh"])),
        "storage_carbon_saved_g": 1000 * mwh * carbon,
    }


def price_and_carbon(bench: Bench, start: datetime) -> tuple[Decimal, int]:
    """Return what the fixture stored, in region 12."""
    number = (start - T0) // HALF_HOUR
    return (Decimal(30 + 7 * (number % 9)), 240) if number < 40 else (Decimal("75.5"), 150)


def rows(bench: Bench, table: str) -> list[dict[str, Any]]:
    query = f"select to_jsonb(t) from {table} t where operator_id = %s"
    return [row for (row,) in bench.select(query, bench.tenant.id)]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def figures(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in Figures.model_fields}


@pytest.mark.parametrize("by", ["day", "agent"])
def test_it_says_what_a_recount_says(bench: Bench, http: httpx2.Client, by: str) -> None:
    expected = recount(bench, lambda row: (str(row[by]) if row[by] else None, row["kind"]))
    told = {(row[by], row["kind"]): figures(row) for row in get(http, by=by)["rows"]}
    assert told.keys() == expected.keys()
    for key, values in expected.items():
        assert told[key] == {name: float(value) for name, value in values.items()}, key


def test_days_and_agents_and_totals_add_up_and_kinds_never_mix(bench: Bench, http: httpx2.Client) -> None:
    by_day, by_agent = get(http), get(http, by="agent")
    assert by_day["totals"] == by_agent["totals"]
    assert [total["kind"] for total in by_day["totals"]] == ["real", "partly_simulated", "simulated"]
    for total in by_day["totals"]:
        for told in (by_day, by_agent):
            for name in Figures.model_fields:
                parts = [Decimal(str(row[name])) for row in told["rows"] if row["kind"] == total["kind"]]
                assert sum(parts) == Decimal(str(total[name])), (told["by"], total["kind"], name)


def test_what_it_is_made_of_is_there(bench: Bench, http: httpx2.Client) -> None:
    """Or the two tests above would compare nothing with nothing."""
    seen = dict.fromkeys(Figures.model_fields, 0.0)
    for total in get(http)["totals"]:
        for name, value in figures(total).items():
            seen[name] += abs(value)
    assert [name for name, value in seen.items() if not value] == [
        "unsettled",
        "carbon_unknown",
        "cost_unknown",
        "storage_unvalued",
    ]


def test_a_gpu_hour_costs_what_its_energy_costs(bench: Bench, http: httpx2.Client) -> None:
    totals = [total for total in get(http)["totals"] if total["gpu_mins"]]
    assert totals
    for total in totals:
        assert total["cost_per_gpu_hour_gbp"] == pytest.approx(60 * total["gpu_cost_gbp"] / total["gpu_mins"])
    assert Figures.model_validate(dict.fromkeys(Figures.model_fields, 0)).cost_per_gpu_hour_gbp is None


def test_a_day_is_a_london_day_and_its_end_is_excluded(bench: Bench, http: httpx2.Client) -> None:
    whole = {row["day"] for row in get(http)["rows"]}
    assert whole == {"2026-10-24", "2026-10-25", "2026-10-26"}
    one = get(http, **{"from": "2026-10-25", "to": "2026-10-26"})
    assert {row["day"] for row in one["rows"]} == {"2026-10-25"}
    assert one["rows"] == [row for row in get(http)["rows"] if row["day"] == "2026-10-25"]


def test_it_says_what_savings_are_against_and_what_is_simulated(bench: Bench, http: httpx2.Client) -> None:
    told = get(http)
    assert told["baselines"] == {"workloads": "run now at origin", "storage": "idle"}
    assert "`simulated`" in told["notice"]
    assert "`partly_simulated`" in told["notice"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"from": "2026-10-26", "to": "2026-10-26"}, "has no day"),
        ({"from": "2020-01-01", "to": "2026-10-26"}, "Valid: 1 to 366"),
        ({"from": "yesterday"}, "from"),
        ({"from": "1066-10-14"}, "from 2000 to 2099"),
        ({"to": "1792800000"}, "a day such as"),
        ({"by": "moon"}, "by"),
        ({"since": "2026-10-26"}, "no parameter 'since'"),
    ],
)
def test_what_makes_no_report_is_refused(
    bench: Bench, http: httpx2.Client, query: dict[str, str], why: str
) -> None:
    answer = http.get("/api/v1/report", params=query)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_the_command_prints_the_same(bench: Bench, http: httpx2.Client, dsn: str) -> None:
    words = ("report", "--from", "2026-10-24", "--to", "2026-10-27")
    settings = {"DATABASE_URL": dsn, "PYLON_OPERATOR": str(bench.tenant.id), "COLUMNS": "140"}
    told = get(http, **{"from": "2026-10-24", "to": "2026-10-27"})
    ended = ran(*words, "--csv", **settings)
    assert ended.code == 0, ended.said
    printed = list(csv.DictReader(io.StringIO(ended.out)))
    assert [figures(row) for row in printed] == [figures(row) for row in told["rows"]]
    assert [(row["day"], row["kind"]) for row in printed] == [(row["day"], row["kind"]) for row in told["rows"]]
    table = ran(*words, "--by", "agent", **settings)
    assert table.code == 0, table.said
    for said in ("PLANNER", "BATTERIES", "nobody", "partly simulated", ": simulated", "run now at origin"):
        assert said in table.said
    assert f"{told['totals'][0]['completed']}" in table.said


def test_where_nothing_ended_the_command_says_so(dsn: str, bench: Bench) -> None:
    settings = {"DATABASE_URL": dsn, "PYLON_OPERATOR": str(bench.tenant.id)}
    ended = ran("report", "--from", "2026-01-01", "--to", "2026-01-03", **settings)
    assert (ended.code, "Nothing ended from 2026-01-01" in ended.said) == (0, True)
    wrong = ran("report", "--from", "32nd", **settings)
    assert (wrong.code, "a day such as 2026-11-22" in wrong.said) == (2, True)
