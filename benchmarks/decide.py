"""From an HTTP request to a decision committed with its link in the log: time per submission, one client.

A workload is submitted over HTTP on one keep-alive connection; the answer comes when the workload, its placement,
its decision and the head of the chain have been committed. The server is uvicorn in a process of its own, with the
simulated fleet and signals. Beside it stands what the same database takes to commit the same four rows, written by
hand in one transaction over one connection, without deciding anything: what no way of deciding can be quicker than.

    python benchmarks/decide.py [--submissions 500]
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import shutil
import socket
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import uvicorn

from pylon.services.operators import LOCAL_OPERATOR_ID
from pylon.settings import Settings
from pylon.store import access

WARM_UP = 20

BY_HAND = (
    f"select set_config('role', 'pylon_actor', true), set_config('request.jwt.claims', "
    f"""'{{"app_metadata": {{"operator_id": "{LOCAL_OPERATOR_ID}"}}}}', true), """
    "set_config('pylon.at_desk', 'yes', true)",
    "insert into public.compute_workloads select (jsonb_populate_record(w, jsonb_build_object("
    "'id', gen_random_uuid(), 'job_id', 'HAND-' || %(number)s))).* from public.compute_workloads w "
    "where job_id = 'BENCH-0'",
    "insert into public.orchestration_decisions select (jsonb_populate_record(d, jsonb_build_object('id', "
    "gen_random_uuid(), 'decision_id', 'HAND-' || %(number)s, 'seq', 1000000 + %(number)s, "
    "'workload_id', w.id))).* "
    "from public.orchestration_decisions d, public.compute_workloads w where d.seq = %(seq)s "
    "and w.job_id = 'HAND-' || %(number)s",
    "insert into public.workload_placements select w.operator_id, w.id, now(), now() + interval '1 hour', "
    "w.host_dc_id, d.id from public.compute_workloads w join public.orchestration_decisions d "
    "on d.workload_id = w.id where w.job_id = 'HAND-' || %(number)s and w.host_dc_id is not null",
    f"update public.chain_heads set updated_at = now() where operator_id = '{LOCAL_OPERATOR_ID}'",
)


def serve(pipe: Connection, home: str) -> None:
    from pylon.interfaces import runtime, serving
    from pylon.interfaces.api_server import create_app

    with runtime.opened(Settings(home=Path(home), grid="simulated", schedule="off")) as here:
        serving.warm_up()
        here.run_pipeline("command")
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(here), access_log=False, log_config=None))
        Thread(target=lambda: (pipe.recv(), setattr(server, "should_exit", True)), daemon=True).start()
        pipe.send(listener.getsockname()[1])
        server.run(sockets=[listener])


def job(number: int, origin: str) -> dict[str, Any]:
    return {
        "job_id": f"BENCH-{number}",
        "workload_type": "INFERENCE_BATCH",
        "duration_mins": 30 + number % 300,
        "power_kw": 5 + number % 50,
        "interruptible": number % 3 == 0,
        "origin": origin,
        "carbon_cap_gco2": 400 if number % 4 == 0 else None,
        "deadline": (datetime.now(UTC) + timedelta(hours=30)).isoformat(),
    }


def submit(client: http.client.HTTPConnection, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    text = json.dumps(body)
    began = time.perf_counter()
    client.request("POST", "/api/v1/actions/submit_workload", text, {"content-type": "application/json"})
    answer = client.getresponse()
    said = answer.read()
    seconds = time.perf_counter() - began
    assert answer.status == 200, said
    return seconds, json.loads(said)


def by_hand(connection: psycopg.Connection[Any], number: int, seq: int) -> float:
    began = time.perf_counter()
    with connection.transaction():
        for statement in BY_HAND:
            connection.execute(statement, {"number": number, "seq": seq})
    return time.perf_counter() - began


def line(title: str, seconds: list[float]) -> str:
    millis = [one * 1000 for one in seconds]
    p99 = statistics.quantiles(millis, n=100)[98]
    return f"{title:<46} p50 {statistics.median(millis):6.2f} ms   p99 {p99:6.2f} ms   worst {max(millis):6.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=500)
    submissions = parser.parse_args().submissions
    home = Path(tempfile.mkdtemp(prefix="pylon-bench-"))
    home.chmod(0o755)  # as root, PostgreSQL runs as another user
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, str(home)))
    server.start()
    theirs.close()  # so that a server that does not start ends the wait for it
    try:
        client = http.client.HTTPConnection("127.0.0.1", ours.recv())
        with (
            access.reach(Settings(home=home)) as way_in,
            psycopg.connect(way_in.owner, autocommit=True) as connection,
        ):
            measure(client, connection, submissions)
        ours.send("stop")
        server.join(20)
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


def measure(client: http.client.HTTPConnection, connection: psycopg.Connection[Any], submissions: int) -> None:
    client.request("GET", "/api/v1/objects/DataCentre?limit=50")
    sites = [site["dc_id"] for site in json.loads(client.getresponse().read())["objects"]]
    mine, floor, seq = [], [], 1
    for number in range(WARM_UP + submissions):
        seconds, said = submit(client, job(number, sites[number % len(sites)]))
        mine.append(seconds)
        if number == 0:
            seq = int(said["decisions"][0]["decision_id"].removeprefix("D-"))
        floor.append(by_hand(connection, number, seq))
    mine, floor = mine[WARM_UP:], floor[WARM_UP:]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {len(sites)} data centres, 96 half hours")
    print(line(f"{submissions} submissions, HTTP to committed decision", mine))
    print(line("the same rows by hand, nothing decided", floor))
    print(f"ratio of medians {statistics.median(mine) / statistics.median(floor):.2f}")


if __name__ == "__main__":
    main()
