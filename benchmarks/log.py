"""The log of decisions: appending beside plain inserts of the same rows, and checking it.

The peer is an insert of the same rows into a table with the same columns, indexes, checks, foreign keys and row
security, in which nothing is hashed or linked. Eight clients are eight processes with a connection each; each
transaction writes one decision and commits, on the embedded server with its usual settings. Both sides start from
the decision's values. The ratio is Pylon's time over the peer's: 1 would mean that the chain costs nothing.

    python benchmarks/log.py [--seconds 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pylon.derive.sql import CLAIMED_OPERATOR
from pylon.ontology.agency import OrchestrationDecision
from pylon.ontology.catalogue import ROWS
from pylon.ontology.enums import OperatorType
from pylon.ontology.fleet import Operator
from pylon.services.verify_log import verify
from pylon.settings import Settings
from pylon.store import access, log, objects
from pylon.store.database import Database, Transaction, json_text

CLIENTS = 8
BATCH = 20_000
CHECKED = 60_000
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)

PLAIN = f"""
create table public.plain_decisions (like public.orchestration_decisions including all);
alter table public.plain_decisions enable row level security, force row level security;
create policy tenant_rows on public.plain_decisions to pylon_actor using (operator_id = {CLAIMED_OPERATOR});
grant select, insert on public.plain_decisions to pylon_actor;
"""
INSERT = (
    b"insert into public.plain_decisions "
    b"select * from jsonb_populate_recordset(null::public.plain_decisions, %(rows)s::jsonb)"
)

Write = Callable[[Transaction, UUID, list[dict[str, Any]]], None]


def decision() -> dict[str, Any]:
    """Return a decision of the usual size: 2.4 kB of canonical text."""
    made = uuid4()
    terms = {"energy_gbp": 12.5, "carbon_gbp": 3.25, "stress_gbp": 0.5, "migration_gbp": 0.0, "wait_gbp": 0.125}
    other = {"site": "SLOUGH-1", "starts_at": "2026-11-22T09:00:00Z", "cost_gbp": 16.375, "terms": terms}
    return {
        "id": made,
        "decision_id": f"D-{made}",
        "decision_type": "CARBON_OPTIMIZATION",
        "reasoning": "It runs 4.5 hours later, when the carbon intensity is 61 gCO2/kWh lower. " * 3,
        "input_carbon_intensity": 180,
        "input_grid_stress": 0.25,
        "input_price_gbp_mwh": 84.5,
        "carbon_saved_gco2": 123_456.5,
        "cost_saved_gbp": 12.25,
        "inputs": {"digest": "a" * 64, "weights": terms, "job": {"duration_mins": 60, "power_kw": 500}},
        "constraints_evaluated": {"deadline": True, "capacity": True, "carbon_cap": None},
        "alternatives_considered": {"chosen": other, "baseline": other, "others": [other] * 5},
        "effect": {"action": "shift_workload", "status": "DEFERRED_CARBON"},
        "decided_at": NOW,
    }


def appended(transaction: Transaction, operator_id: UUID, decisions: list[dict[str, Any]]) -> None:
    log.append(transaction, operator_id, decisions, now=NOW)


def inserted(transaction: Transaction, operator_id: UUID, decisions: list[dict[str, Any]]) -> None:
    global _serial
    rows = []
    for one in decisions:
        _serial += 1
        place = {"seq": _serial, "content": "", "prev_hash": "0" * 64, "hash": "0" * 64}
        row = OrchestrationDecision.model_validate({**one, "operator_id": operator_id, **place})
        # The content is stored here too: what is compared is the chain, not the size of a row.
        rows.append({**row.model_dump(mode="json"), "content": json_text(one)})
    transaction.statement(INSERT, rows=json_text(rows))


_serial = time.time_ns()
WRITES: dict[str, Write] = {"append": appended, "insert": inserted}


def client(login: str, operator_id: UUID, how: str, seconds: float, start: Any, counts: Any) -> None:
    """Write one decision a transaction until the time is over, and tell how many."""
    global _serial
    _serial = time.time_ns()
    write, done = WRITES[how], 0
    with Database(login, pool_size=1) as database:
        start.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            with database.as_actor(operator_id) as transaction:
                write(transaction, operator_id, [decision()])
            done += 1
    counts.put(done)


def rate(login: str, operators: list[UUID], how: str, seconds: float) -> float:
    """Return the decisions that the clients, one for each operator named, commit in a second."""
    context = multiprocessing.get_context("spawn")
    start, counts = context.Barrier(len(operators)), context.Queue()
    clients = [
        context.Process(target=client, args=(login, operator_id, how, seconds, start, counts))
        for operator_id in operators
    ]
    for one in clients:
        one.start()
    total = sum(counts.get() for _ in clients)
    for one in clients:
        one.join()
    return total / seconds


def clients(login: str, operators: list[UUID], seconds: float, rounds: int) -> None:
    for title, who in (
        ("1 client", operators[:1]),
        (f"{CLIENTS} clients, one operator", operators[:1] * CLIENTS),
        (f"{CLIENTS} clients, {CLIENTS} operators", operators),
    ):
        pairs = [tuple(rate(login, who, how, seconds) for how in ("append", "insert")) for _ in range(rounds)]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(plain / chained for chained, plain in pairs)
        print(f"  {title:<26} append {ours:6.0f}/s   plain insert {theirs:6.0f}/s   ratio {ratio:5.2f}")


def batch(database: Database, operator_id: UUID, rounds: int) -> None:
    decisions = [decision() for _ in range(BATCH)]
    seconds: dict[str, list[float]] = {"append": [], "insert": []}
    for _ in range(rounds):
        for how, times in seconds.items():
            for one in decisions:
                one["id"] = made = uuid4()
                one["decision_id"] = f"D-{made}"
            began = time.perf_counter()
            with database.as_actor(operator_id) as transaction:
                WRITES[how](transaction, operator_id, decisions)
            times.append(time.perf_counter() - began)
    ours, theirs = statistics.median(seconds["append"]), statistics.median(seconds["insert"])
    title = f"one batch of {BATCH:,}"
    print(f"  {title:<26} append {ours:6.2f} s   plain insert {theirs:6.2f} s   ratio {ours / theirs:5.2f}")


def checked(database: Database, operator_id: UUID) -> None:
    for _ in range(CHECKED // BATCH):
        with database.as_actor(operator_id) as transaction:
            appended(transaction, operator_id, [decision() for _ in range(BATCH)])
    began = time.perf_counter()
    found = verify(database, operator_id)
    seconds = time.perf_counter() - began
    assert found.is_intact, found
    print(
        f"  checking {found.decisions:,} decisions {seconds:6.2f} s, {seconds / found.decisions * 1e6:.0f} us each"
    )


def new_operator(database: Database, number: int) -> UUID:
    operator = Operator(
        id=uuid4(),
        name=f"Operator {number}",
        operator_type=OperatorType.COMPUTE_OPERATOR,
        created_at=NOW,
        updated_at=NOW,
    )
    with database.as_actor(operator.id) as transaction:
        objects.add_missing(transaction, [operator])
    return operator.id


def foreign_keys() -> str:
    """Return the statements that give the peer's table the foreign keys of the log."""
    from pylon.ontology import columns

    named = [(spec.name, ROWS[spec.ref.target].table) for spec in columns.of(OrchestrationDecision) if spec.ref]
    return "".join(
        f"alter table public.plain_decisions add foreign key (operator_id, {name}) "
        f"references public.{table.name} (operator_id, id);"
        if table.scope.value == "tenant" and table.name != "operators"
        else f"alter table public.plain_decisions add foreign key ({name}) references public.{table.name} (id);"
        for name, table in named
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="pylon-bench-"))
    home.chmod(0o755)
    try:
        with access.opened(Settings(home=home), lambda *_: None) as (way_in, database):
            import psycopg

            with psycopg.connect(way_in.owner, autocommit=True) as connection:
                connection.execute(PLAIN + foreign_keys())
            operators = [new_operator(database, number) for number in range(CLIENTS + 2)]
            server = way_in.place.partition(" in ")[0]
            print(f"the log of decisions, medians of {words.rounds} rounds of {words.seconds:g} s")
            print(f"  on {platform.machine()}, Python {platform.python_version()}, {server}")
            clients(way_in.login, operators[:CLIENTS], words.seconds, words.rounds)
            with Database(way_in.login, pool_size=1, statement_timeout_s=600) as patient:
                batch(patient, operators[CLIENTS], words.rounds)
                checked(patient, operators[CLIENTS + 1])
    finally:
        from pylon.store import embedded

        embedded.destroy(home, force=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
