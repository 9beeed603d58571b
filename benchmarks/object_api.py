"""The object API at a million regional signals and 100,000 workloads: time per request, against SQL by hand.

Pages of 50 and aggregates are asked over HTTP on one keep-alive connection; the server is uvicorn in a process of
its own. The peer is the same question written by hand as SQL, asked through psycopg in the same run by a role that
row security does not bind, its rows fetched and no JSON made. Both sides ask in turn.

    python benchmarks/object_api.py [--requests 200]
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import platform
import shutil
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import uvicorn

from pylon.services.operators import LOCAL_OPERATOR_ID
from pylon.settings import Settings
from pylon.store import access

HALF_HOURS = 58_824  # x 17 regions = 1,000,008 signals
WORKLOADS = 100_000

FILL = f"""
insert into public.regional_grid_signals
    (region_id, "timestamp", carbon_intensity_forecast, carbon_index, carbon_index_computed, data_source)
select r.id, timestamptz '2026-11-22 00:00+00' - h * interval '30 minutes', (h * 7 + r.region_id * 31) % 400,
       'low', 'low', case when h % 10 = 0 then 'simulated' else 'carbon_intensity_api' end
from generate_series(1, {HALF_HOURS}) h cross join public.regions r;
insert into public.compute_workloads
    (job_id, operator_id, workload_type, urgency, duration_mins, power_kw, deadline, status, created_at,
     is_simulated)
select 'JOB-' || n, '{LOCAL_OPERATOR_ID}',
       (enum_range(null::public.workload_type))[1 + n % 6], (enum_range(null::public.workload_urgency))[1 + n % 4],
       30 + n % 600, 5 + n % 200, timestamptz '2026-11-22 00:00+00' + (n % 4000) * interval '10 minutes',
       (enum_range(null::public.workload_status))[1 + n % 9],
       timestamptz '2026-11-22 00:00+00' - n * interval '3 minutes', true
from generate_series(1, {WORKLOADS}) n;
"""

REGION = "(select id from public.regions where region_id = 13)"


@dataclass(frozen=True)
class Case:
    """A request of the API, and the same question in SQL."""

    title: str
    path: str
    sql: str
    body: dict[str, Any] | None = None
    is_aggregate: bool = False


PAGES = (
    Case("first page by id", "RegionalGridSignal?limit=50", "regional_grid_signals order by id limit 51"),
    Case(
        "one day, by time",
        "RegionalGridSignal?limit=50&timestamp.gte=2026-05-01T00:00:00Z&timestamp.lt=2026-05-02T00:00:00Z&sort=timestamp",
        "regional_grid_signals where \"timestamp\" >= '2026-05-01Z' and \"timestamp\" < '2026-05-02Z' "
        'order by "timestamp", id limit 51',
    ),
    Case(
        "clean hours of London, by a link",
        "RegionalGridSignal/search",
        f"regional_grid_signals where region_id = {REGION} and carbon_intensity_forecast < 100 "
        'order by "timestamp" desc, id desc limit 51',
        {
            "where": {
                "and": [
                    {"field": "carbon_intensity_forecast", "op": "lt", "value": 100},
                    {"link": "HAS_SIGNAL", "where": {"field": "region_id", "op": "eq", "value": 13}},
                ]
            },
            "sort": ["-timestamp"],
            "limit": 50,
        },
    ),
    Case(
        "newest queued workloads",
        "ComputeWorkload?limit=50&status.eq=QUEUED&sort=-created_at",
        f"compute_workloads where operator_id = '{LOCAL_OPERATOR_ID}' and status = 'QUEUED' "
        "order by created_at desc, id desc limit 51",
    ),
    Case(
        "most powerful pending, no index",
        "ComputeWorkload?limit=50&status.eq=PENDING&power_kw.gt=100&sort=-power_kw,deadline",
        f"compute_workloads where operator_id = '{LOCAL_OPERATOR_ID}' and status = 'PENDING' and power_kw > 100 "
        "order by power_kw desc, deadline, id limit 51",
    ),
)

AGGREGATES = (
    Case(
        "mean by region, a week",
        "RegionalGridSignal/aggregate",
        "select region_id, avg(carbon_intensity_forecast), count(*) from public.regional_grid_signals "
        "where \"timestamp\" >= '2026-05-01Z' and \"timestamp\" < '2026-05-08Z' group by 1 order by 1",
        {
            "where": {
                "and": [
                    {"field": "timestamp", "op": "gte", "value": "2026-05-01T00:00:00Z"},
                    {"field": "timestamp", "op": "lt", "value": "2026-05-08T00:00:00Z"},
                ]
            },
            "group_by": ["region_id"],
            "measures": [{"op": "avg", "field": "carbon_intensity_forecast"}],
        },
        is_aggregate=True,
    ),
    Case(
        "mean by region, all 1,000,008",
        "RegionalGridSignal/aggregate",
        "select region_id, avg(carbon_intensity_forecast), count(*) from public.regional_grid_signals "
        "group by 1 order by 1",
        {"group_by": ["region_id"], "measures": [{"op": "avg", "field": "carbon_intensity_forecast"}]},
        is_aggregate=True,
    ),
    Case(
        "London by day, a year",
        "RegionalGridSignal/aggregate",
        "select date_trunc('day', \"timestamp\", 'Europe/London'), avg(carbon_intensity_forecast), count(*) "
        f"from public.regional_grid_signals where region_id = {REGION} and \"timestamp\" >= '2025-11-22Z' "
        "group by 1 order by 1",
        {
            "where": {
                "and": [
                    {"link": "HAS_SIGNAL", "where": {"field": "region_id", "op": "eq", "value": 13}},
                    {"field": "timestamp", "op": "gte", "value": "2025-11-22T00:00:00Z"},
                ]
            },
            "group_by": [{"field": "timestamp", "bucket": "day", "time_zone": "Europe/London"}],
            "measures": [{"op": "avg", "field": "carbon_intensity_forecast"}],
        },
        is_aggregate=True,
    ),
    Case(
        "100,000 workloads by status",
        "ComputeWorkload/aggregate",
        "select status, count(*), sum(power_kw) from public.compute_workloads "
        f"where operator_id = '{LOCAL_OPERATOR_ID}' group by 1 order by 1",
        {"group_by": ["status"], "measures": [{"op": "count"}, {"op": "sum", "field": "power_kw"}]},
        is_aggregate=True,
    ),
)


def serve(pipe: Connection, home: str) -> None:
    from pylon.interfaces import runtime
    from pylon.interfaces.api_server import create_app

    with runtime.opened(Settings(home=Path(home), grid="simulated", schedule="off", synthetic="off")) as here:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(here), access_log=False, log_config=None))
        Thread(target=lambda: (pipe.recv(), setattr(server, "should_exit", True)), daemon=True).start()
        pipe.send(listener.getsockname()[1])
        server.run(sockets=[listener])


def ask(client: http.client.HTTPConnection, case: Case) -> float:
    method, body = ("GET", None) if case.body is None else ("POST", json.dumps(case.body))
    began = time.perf_counter()
    client.request(
        method, f"/api/v1/objects/{case.path}", body, {"content-type": "application/json"} if body else {}
    )
    answer = client.getresponse()
    text = answer.read()
    seconds = time.perf_counter() - began
    assert answer.status == 200, text
    return seconds


def by_hand(connection: psycopg.Connection, case: Case) -> float:
    began = time.perf_counter()
    connection.execute(case.sql if case.is_aggregate else f"select * from public.{case.sql}").fetchall()
    return time.perf_counter() - began


def measure(case: Case, client: http.client.HTTPConnection, connection: psycopg.Connection, requests: int) -> None:
    for _ in range(5):
        ask(client, case), by_hand(connection, case)
    mine, theirs = [], []
    for _ in range(requests):
        mine.append(ask(client, case) * 1000)
        theirs.append(by_hand(connection, case) * 1000)
    p99 = statistics.quantiles(mine, n=100)[98]
    ratio = statistics.median(mine) / statistics.median(theirs)
    print(
        f"  {case.title:<34} p50 {statistics.median(mine):7.1f} ms   p99 {p99:7.1f} ms   "
        f"SQL by hand p50 {statistics.median(theirs):7.1f} ms   ratio {ratio:5.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200)
    requests = parser.parse_args().requests
    home = Path(tempfile.mkdtemp(prefix="pylon-bench-"))
    home.chmod(0o755)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, str(home)))
    process.start()
    try:
        port = ours.recv()
        with access.opened(Settings(home=home, grid="simulated", synthetic="off"), lambda *_: None) as (way_in, _):
            assert way_in.server
            with psycopg.connect(way_in.server.superuser_dsn("pylon"), autocommit=True) as connection:
                connection.execute(FILL)
                connection.execute("vacuum analyze")  # as autovacuum does in time, and not in the middle of this
                connection.execute("checkpoint")
                client = http.client.HTTPConnection("127.0.0.1", port)
                print(f"{HALF_HOURS * 17:,} regional signals, {WORKLOADS:,} workloads, {requests} requests each")
                server = way_in.place.partition(" in ")[0]
                print(f"  on {platform.machine()}, Python {platform.python_version()}, {server}")
                for case in (*PAGES, *AGGREGATES):
                    measure(case, client, connection, requests)
    finally:
        ours.send("stop")
        process.join(20)
        from pylon.store import embedded

        embedded.destroy(home, force=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
