"""What is decided and due is carried out by the clock, metered, and caught up with after any pause."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from typing import Any

import pytest

from pylon.errors import Refused
from pylon.ontology import actions
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DataCentreStatus, StorageStatus, WorkloadStatus
from pylon.ontology.fleet import DataCentre
from pylon.ontology.object_sets import Query, Sort
from pylon.services import desk, search_objects
from pylon.services.execute import Executed, execute
from pylon.services.perform_action import CLIENT, HANDLERS
from pylon.services.report import Kind, report
from pylon.store import objects
from tests.conftest import Superuser, Tenants
from tests.doubles.acting import Acting
from tests.doubles.bench import MIDDAY, Bench

CONSUMED = (
    'select extract(epoch from g."timestamp" - %s)::int / 60, c.energy_kwh from workload_consumption c '
    "join grid_signals g on g.id = c.grid_signal_id join compute_workloads w on w.id = c.workload_id "
    "where w.job_id = %s order by 1"
)
JOB = "select status::text, started_at, completed_at from compute_workloads where job_id = %s"
CHARGE = "select current_charge_mwh, current_charge_percentage, status::text from storage_assets"


@pytest.fixture
def bench(tenants: Tenants, superuser: Superuser) -> Bench:
    made = Bench(tenants.a, superuser, MIDDAY)
    made.signals(hours=96, price=100.0, carbon=200)
    return made


def run(bench: Bench, minutes: float) -> Executed:
    return execute(bench.database, bench.views, bench.call(bench.at(minutes)))


def set_status(bench: Bench, centre: DataCentre, status: DataCentreStatus) -> None:
    with bench.database.as_actor(bench.tenant.id) as transaction:
        objects.change(transaction, [centre.model_copy(update={"status": status})], ["status"])


def consumed(bench: Bench, job_id: str) -> list[tuple[int, Decimal]]:
    return bench.select(CONSUMED, bench.t0, job_id)


# ---- work at simulated sites


def test_a_job_starts_and_ends_when_it_was_to(bench: Bench) -> None:
    centre = bench.centre("A")
    job = bench.job("j", centre, minutes=50)
    bench.place(job, centre, (10, 60))
    assert run(bench, 9.9) == Executed()
    assert run(bench, 11).started == 1
    assert bench.one(JOB, "j") == ("RUNNING", bench.at(10), None)
    assert run(bench, 59.9).completed == 0
    assert run(bench, 60).completed == 1
    assert bench.one(JOB, "j") == ("COMPLETED", bench.at(10), bench.at(60))
    assert run(bench, 61) == Executed()


def test_each_half_hour_is_metered_once_when_it_has_ended(bench: Bench) -> None:
    centre = bench.centre("A", pue=1.2)
    job = bench.job("j", centre, minutes=60)
    bench.place(job, centre, (20, 80))
    assert run(bench, 29).half_hours_metered == 0
    assert run(bench, 30).half_hours_metered == 1
    assert run(bench, 31).half_hours_metered == 0
    assert run(bench, 85).half_hours_metered == 1
    assert run(bench, 90).half_hours_metered == 1
    assert consumed(bench, "j") == [(0, Decimal("200.00")), (30, Decimal("600.00")), (60, Decimal("400.00"))]


def test_a_pause_draws_nothing_and_the_load_follows_the_work(bench: Bench) -> None:
    centre = bench.centre("A", pue=1.25, total_capacity_mw=10, base_load_mw=5)
    job = bench.job("j", centre, minutes=60)
    bench.place(job, centre, (0, 30), (90, 120))
    loads = []
    for minutes in (0, 31, 95, 121):
        run(bench, minutes)
        loads.append(bench.one("select current_load_percentage from data_centres")[0])
    assert loads == [Decimal("62.50"), Decimal("50.00"), Decimal("62.50"), Decimal("50.00")]
    assert [at for at, _ in consumed(bench, "j")] == [0, 90]
    assert bench.one(JOB, "j")[0] == "COMPLETED"


def test_a_deferred_job_with_a_booked_time_starts_then(bench: Bench) -> None:
    centre = bench.centre("A")
    bench.place(bench.job("j", centre), centre, (60, 150), status=WorkloadStatus.DEFERRED_CARBON)
    assert run(bench, 59).started == 0
    assert run(bench, 60).started == 1


@pytest.mark.parametrize("status", [DataCentreStatus.OFFLINE, DataCentreStatus.MAINTENANCE])
def test_nothing_starts_at_a_site_that_is_not_open_and_it_is_said_to_be_held(
    bench: Bench, status: DataCentreStatus
) -> None:
    centre = bench.centre("A")
    bench.place(bench.job("j", centre), centre, (0, 90))
    set_status(bench, centre, status)
    done = run(bench, 200)
    assert (done.started, done.held) == (0, ("j",))
    assert bench.one(JOB, "j")[0] == "QUEUED"


def test_held_work_starts_when_its_site_opens_again(bench: Bench) -> None:
    centre = bench.centre("A")
    bench.place(bench.job("j", centre, minutes=30), centre, (0, 30))
    owner = Acting(bench.database, bench.tenant.id, views=bench.views)
    for minutes, status in ((-5, "MAINTENANCE"), (45, "ACTIVE")):
        owner.now = bench.at(minutes)
        owner.do("set_data_centre_status", dc_id="A", status=status, reason="Works")
        run(bench, minutes + 1)
    assert bench.one(JOB, "j") == ("RUNNING", bench.at(45), None)
    run(bench, 91)
    assert bench.one(JOB, "j") == ("COMPLETED", bench.at(45), bench.at(75))
    assert consumed(bench, "j") == [(30, Decimal("312.50")), (60, Decimal("312.50"))]


def test_a_refusal_is_said_and_stops_nothing_else(bench: Bench) -> None:
    """A clock that ran ahead booked a job before it arrived; the others go on."""
    centre = bench.centre("A")
    bench.place(bench.job("early", centre, created_at=bench.at(30)), centre, (0, 90))
    bench.place(bench.job("good", centre), centre, (0, 90))
    done = run(bench, 20)
    assert (done.started, [one["job_id"] for one in done.refusals]) == (1, ["early"])
    assert bench.one(JOB, "good")[0] == "RUNNING"


def start_and_wait(late: threading.Thread, connection: Any) -> None:
    """Start the thread and return when it waits for somebody else's lock."""
    late.start()
    while not connection.execute("select from pg_locks where not granted").fetchall():
        assert late.is_alive(), "it waited for nobody"


# ---- catching up


def fleet(bench: Bench) -> None:
    """Jobs and a battery over two days."""
    a, b = bench.centre("A", pue=1.1), bench.centre("B", region=1, pue=1.4)
    for number in range(12):
        job = bench.job(f"j{number}", a, minutes=40 + 17 * number, power_kw=300 + 41 * number)
        begin = 190 * number + 7
        half = (40 + 17 * number) // 2
        spans = (
            [(begin, begin + half), (begin + half + 60, begin + 100 + 17 * number)]
            if number % 2
            else [(begin, begin + 40 + 17 * number)]
        )
        bench.place(job, b if number % 3 else a, *spans)
    bench.schedule(bench.battery("S"), [-3.3, -2.2, 0, 4, 1.7, -4, -4, -4, 4, 4, 4, 4] * 4)


TABLES = {
    "compute_workloads": "id",
    "workload_consumption": "workload_id, grid_signal_id",
    "storage_dispatches": "storage_asset_id, starts_at",
    "storage_assets": "id",
    "decision_outcomes": "decision_id",
}
WHEN = {"recorded_at", "executed_at", "updated_at"}


def state(bench: Bench) -> dict[str, list[dict[str, Any]]]:
    """Return what execution leaves, but for the moments at which it was written down."""
    rows = {}
    for table, order in TABLES.items():
        found = bench.select(f"select to_jsonb(t) from {table} t order by {order}")
        rows[table] = [{k: v for k, v in row.items() if k not in WHEN} for (row,) in found]
    return rows


def test_a_machine_that_slept_three_days_leaves_what_one_that_did_not_leaves(
    tenants: Tenants, superuser: Superuser
) -> None:
    """Each operator has the same fleet; one is executed every ten minutes, the other once at the end."""
    awake, asleep = Bench(tenants.a, superuser, MIDDAY), Bench(tenants.b, superuser, MIDDAY)
    awake.signals(hours=96, price={i: 40.0 + i for i in range(192)}, carbon={1: 50, 12: 250})
    fleet(awake)
    fleet(asleep)
    for minutes in range(0, 3 * 24 * 60, 10):
        run(awake, minutes)
    for bench in (awake, asleep):
        run(bench, 3 * 24 * 60)
        assert not run(bench, 3 * 24 * 60 + 1).did_anything
    with superuser() as connection:
        differing = {
            "compute_workloads": "status::text, started_at, completed_at, actual_energy_kwh, actual_cost_gbp",
            "storage_assets": "current_charge_mwh, current_charge_percentage, status::text",
            "storage_dispatches": "starts_at, power_mw, stored_mwh",
            "workload_consumption": "energy_kwh",
            "decision_outcomes": "actual_energy_kwh, actual_cost_gbp, cost_saved_gbp, carbon_saved_gco2",
        }
        for table, columns in differing.items():
            found = [
                connection.execute(
                    f"select {columns} from {table} where operator_id = %s order by {columns}".encode(),
                    (one.tenant.id,),
                ).fetchall()
                for one in (awake, asleep)
            ]
            assert found[0] == found[1], table
            assert found[0], table
    assert {row[0] for row in awake.select("select status::text from compute_workloads")} == {"COMPLETED"}


def test_several_at_once_do_it_once(bench: Bench) -> None:
    fleet(bench)
    done: list[Executed] = []
    threads = [threading.Thread(target=lambda: done.append(run(bench, 2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert sum(one.started for one in done) == 11
    assert sum(one.completed for one in done) == 10
    first = state(bench)
    assert not run(bench, 2000).did_anything
    assert state(bench) == first


KILLED = """
import os, sys
from datetime import datetime
from uuid import UUID
from pylon.services.desk import Call
from pylon.services.execute import execute
from pylon.services.view_fleet import Views
from pylon.store import database
dsn, operator, now, calls = sys.argv[1:]
left = int(calls)
def dying(name):
    whole = getattr(database.Transaction, name)
    def step(self, query, /, **values):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return whole(self, query, **values)
    setattr(database.Transaction, name, step)
for name in ("all", "run"):
    dying(name)
with database.Database(dsn, pool_size=2) as opened:
    call = Call(operator_id=UUID(operator), now=datetime.fromisoformat(now), entropy=os.urandom)
    execute(opened, Views(), call)
"""


def test_killed_at_any_statement_nothing_is_lost_or_done_twice(bench: Bench, app_dsn: str, is_soak: bool) -> None:
    fleet(bench)
    calls, killed = 1, 0
    while True:
        words = [
            sys.executable,
            "-c",
            KILLED,
            app_dsn,
            str(bench.tenant.id),
            bench.at(1500).isoformat(),
            str(calls),
        ]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        killed, calls = killed + 1, calls + (1 if is_soak else 4)
    assert killed >= 5
    after = state(bench)
    assert not run(bench, 1500).did_anything
    assert state(bench) == after
    used, planned = bench.one(
        "select sum(actual_energy_kwh), sum(power_kw * duration_mins / 60) from compute_workloads "
        "where status = 'COMPLETED'"
    )
    assert math.isclose(used, planned, abs_tol=0.05)


# ---- real sites


def test_a_real_site_is_run_by_its_owner_and_metered_all_the_same(bench: Bench) -> None:
    centre = bench.centre("REAL", pue=1.5, is_simulated=False)
    job = bench.job("j", centre, minutes=60, is_simulated=False)
    bench.place(job, centre, (0, 60))
    assert run(bench, 70) == Executed()
    assert bench.one(JOB, "j")[0] == "QUEUED"
    own(bench, job, status=WorkloadStatus.RUNNING, started_at=bench.at(15))
    assert run(bench, 70).half_hours_metered == 2
    assert consumed(bench, "j") == [(0, Decimal("375.00")), (30, Decimal("750.00"))]
    own(bench, job, status=WorkloadStatus.COMPLETED, completed_at=bench.at(75), actual_energy_kwh=Decimal(500))
    assert run(bench, 95).half_hours_metered == 3  # two corrected, one new
    assert consumed(bench, "j") == [(0, Decimal("187.50")), (30, Decimal("375.00")), (60, Decimal("187.50"))]
    assert bench.one("select actual_energy_kwh from decision_outcomes") == (Decimal("750.00"),)


def test_what_was_metered_after_an_early_end_is_taken_back(bench: Bench) -> None:
    """The owner says at 182 minutes that the job had ended at 40."""
    centre = bench.centre("REAL", pue=1.25, is_simulated=False)
    job = bench.job("j", centre, minutes=60, is_simulated=False)
    bench.place(job, centre, (0, 60))
    own(bench, job, status=WorkloadStatus.RUNNING, started_at=bench.at(0))
    assert run(bench, 181).half_hours_metered == 6
    own(bench, job, status=WorkloadStatus.COMPLETED, started_at=bench.at(0), completed_at=bench.at(40))
    assert run(bench, 183).half_hours_metered == 5  # one put right, four taken back
    assert consumed(bench, "j") == [(0, Decimal("625.00")), (30, Decimal("208.33"))]
    assert bench.one("select actual_energy_kwh from decision_outcomes") == (Decimal("833.33"),)
    assert not run(bench, 184).did_anything


def test_a_half_hour_keeps_the_pue_it_was_metered_with(bench: Bench) -> None:
    """The outcome is what was metered; at its own site a job saves nothing by the PUE having changed."""
    centre = bench.centre("A", pue=1.25)
    bench.place(bench.job("j", centre, minutes=60), centre, (0, 60))
    run(bench, 31)
    with bench.database.as_actor(bench.tenant.id) as transaction:
        objects.change(transaction, [centre.model_copy(update={"pue": Decimal("2.5")})], ["pue"])
    run(bench, 61)
    assert consumed(bench, "j") == [(0, Decimal("625.00")), (30, Decimal("1250.00"))]
    assert bench.one("select actual_energy_kwh, carbon_saved_gco2, cost_saved_gbp from decision_outcomes") == (
        Decimal("1875.00"),
        Decimal("0.00"),
        Decimal("0.0000"),
    )


def test_an_end_that_is_said_while_it_is_metered_counts(bench: Bench) -> None:
    """What ran was read before its owner had the operator, and is written after."""
    centre = bench.centre("REAL", pue=1.0, is_simulated=False)
    job = bench.job("j", centre, minutes=60, is_simulated=False)
    bench.place(job, centre, (0, 60))
    own(bench, job, status=WorkloadStatus.RUNNING, started_at=bench.at(0))
    late = threading.Thread(target=lambda: run(bench, 61))
    ended = actions.action("complete_workload").parse({"job_id": "j", "at": bench.at(20)})
    with bench.superuser() as connection:
        with desk.opened(bench.database, bench.views, bench.call(bench.at(61))) as here:
            start_and_wait(late, connection)
            HANDLERS["complete_workload"](here, ended, CLIENT)
        late.join()
    assert consumed(bench, "j") == [(0, Decimal("333.33"))]


def test_what_an_owner_reports_must_be_possible(bench: Bench) -> None:
    """A job of 1 MW that ran 40 minutes: up to three times that is believed, as its power is an estimate."""
    centre = bench.centre("REAL", is_simulated=False)
    bench.place(bench.job("j", centre, minutes=60, is_simulated=False), centre, (0, 60))
    owner = Acting(bench.database, bench.tenant.id, now=bench.at(40), views=bench.views)
    owner.do("start_workload", job_id="j", at=bench.at(0))
    with pytest.raises(Refused, match=r"At most 2000\.00 kWh") as caught:
        owner.do("complete_workload", job_id="j", energy_kwh=2000.01)
    assert caught.value.refusals[0]["code"] == "energy_plausible"
    owner.do("complete_workload", job_id="j", energy_kwh=2000)
    assert bench.one(JOB, "j")[0] == "COMPLETED"


def test_a_real_job_at_a_simulated_site_is_labelled_whoever_runs_it(bench: Bench) -> None:
    """Pylon runs it, or its owner says that it has; either way nothing was computed, and nobody could miss that."""
    made_up, real = bench.centre("SIM", pue=1.0), bench.centre("REAL", pue=1.0, is_simulated=False)
    owner = Acting(bench.database, bench.tenant.id, now=bench.at(0), views=bench.views)
    for name, centre in (("left alone", made_up), ("said done", made_up), ("real", real)):
        bench.place(bench.job(name, centre, minutes=60, is_simulated=False), centre, (0, 60), is_simulated=False)
    started = owner.do("start_workload", job_id="said done")
    assert (
        "Pylon ends it when its time is over, if you do not"
        in started.changed["ComputeWorkload"][0]["status_reason"]
    )
    owner.do("start_workload", job_id="real")
    owner.now = bench.at(30)
    owner.do("complete_workload", job_id="said done", energy_kwh=400)
    run(bench, 61)
    owner.now = bench.at(61)
    owner.do("complete_workload", job_id="real", at=bench.at(60))
    run(bench, 120)
    labels = dict(bench.select("select job_id, status_reason from compute_workloads where status = 'COMPLETED'"))
    made_up_label = "Ran at a simulated site: nothing was computed, and its actual_* are simulated."
    assert labels == {"left alone": made_up_label, "said done": made_up_label, "real": None}
    jobs = Query(ComputeWorkload, sort=(Sort("job_id"),), select=("job_id", "actual_energy_kwh"))
    page = search_objects.search(bench.database, bench.tenant.id, jobs, cursor_key=b"key")
    assert [one["actual_energy_kwh"] for one in page.objects] == [1000.0, 1000.0, 400.0]
    assert (page.simulated, page.contains_simulated) == (2, True)
    told = report(bench.database, bench.tenant.id, bench.at(120))
    assert {total.kind: (total.completed, total.energy_kwh) for total in told.totals} == {
        Kind.REAL: (1, 1000),
        Kind.SIMULATED: (2, 1400),
    }


def own(bench: Bench, job: ComputeWorkload, **values: Any) -> None:
    whole = {
        "started_at": bench.at(15),
        "host_dc_id": bench.one("select host_dc_id from compute_workloads where id = %s", job.id)[0],
        **values,
    }
    with bench.database.as_actor(bench.tenant.id) as transaction:
        objects.change(transaction, [job.model_copy(update=whole)], list(whole))


def test_consumption_waits_for_the_national_signal(tenants: Tenants, superuser: Superuser) -> None:
    bench = Bench(tenants.a, superuser, MIDDAY)
    bench.signals(hours=0.5)
    centre = bench.centre("A", pue=1.0)
    bench.place(bench.job("j", centre), centre, (0, 90))
    run(bench, 120)
    assert [at for at, _ in consumed(bench, "j")] == [0]
    bench.signals(start=bench.at(60), hours=0.5)
    run(bench, 121)
    assert [at for at, _ in consumed(bench, "j")] == [0, 60]
    bench.signals(start=bench.at(30), hours=0.5)
    run(bench, 122)
    assert [at for at, _ in consumed(bench, "j")] == [0, 30, 60]


# ---- storage


def test_a_battery_follows_its_schedule_half_hour_by_half_hour(bench: Bench) -> None:
    """4 MW for half an hour at 81 % round trip: 1.8 MWh come in, and 2 MWh out take 2.22."""
    bench.schedule(bench.battery("B", charge_mwh=5.0), [-4, 4, 0])
    assert run(bench, 29).half_hours_dispatched == 0
    assert bench.one(CHARGE) == (Decimal("5.00"), None, "CHARGING")
    assert run(bench, 31).half_hours_dispatched == 1
    assert bench.one(CHARGE) == (Decimal("6.80"), Decimal("68.00"), "DISCHARGING")
    assert run(bench, 95).half_hours_dispatched == 2
    assert bench.one(CHARGE) == (Decimal("4.58"), Decimal("45.80"), "IDLE")
    assert bench.select("select stored_mwh, executed_at from storage_dispatches order by starts_at") == [
        (Decimal("6.80"), bench.at(31)),
        (Decimal("4.58"), bench.at(95)),
        (Decimal("4.58"), bench.at(95)),
    ]


def test_what_a_battery_cannot_do_it_does_not_and_that_is_said(bench: Bench) -> None:
    bench.schedule(bench.battery("B", charge_mwh=1.0), [4, 4, -9])
    done = run(bench, 90)
    assert (done.half_hours_dispatched, done.dispatches_short) == (3, 3)
    rows = bench.select("select power_mw, stored_mwh from storage_dispatches order by starts_at")
    assert [float(power) for power, _ in rows] == [1.8, 0.0, -4.0]  # 1 MWh less a tenth is 0.9 MWh, in half an hour
    assert [float(stored) for _, stored in rows] == [0.0, 0.0, 1.8]


@pytest.mark.parametrize("status", [StorageStatus.MAINTENANCE, StorageStatus.OFFLINE])
def test_a_battery_out_of_service_does_nothing_and_stays_so(bench: Bench, status: StorageStatus) -> None:
    bench.schedule(bench.battery("B", status=status), [4])
    done = run(bench, 30)
    assert (done.half_hours_dispatched, done.dispatches_short) == (1, 1)
    assert bench.one(CHARGE) == (Decimal("5.00"), Decimal("50.00"), status.value)


def test_maintenance_that_is_set_meanwhile_is_not_undone(bench: Bench) -> None:
    """A client holds the row while the storage's status is refreshed from what was read before."""
    asset = bench.battery("B")
    bench.schedule(asset, [2.0], at=60)
    late = threading.Thread(target=lambda: run(bench, 61))
    with bench.superuser() as connection, bench.database.as_actor(bench.tenant.id) as transaction:
        objects.change(transaction, [asset.model_copy(update={"status": StorageStatus.MAINTENANCE})], ["status"])
        start_and_wait(late, connection)
    late.join()
    assert bench.one(CHARGE)[2] == "MAINTENANCE"


@pytest.mark.parametrize("values", [{"is_simulated": False}, {"charge_mwh": None}])
def test_a_real_battery_or_one_of_unknown_charge_is_left_alone(bench: Bench, values: dict[str, Any]) -> None:
    bench.schedule(bench.battery("B", **values), [4])
    before = bench.one(CHARGE)
    assert run(bench, 200).half_hours_dispatched == 0
    assert bench.one(CHARGE)[:2] == before[:2]
    assert bench.one("select executed_at from storage_dispatches") == (None,)


def test_what_is_due_is_settled_by_the_same_call(bench: Bench) -> None:
    centre = bench.centre("A", pue=1.0)
    bench.place(bench.job("j", centre), centre, (0, 90))
    bench.schedule(bench.battery("B"), [-4, 4])
    done = run(bench, 120)
    assert done.settled == 2
    earned = 2 * 100 - 2 * 100 - 2 * 5
    assert bench.select("select cost_saved_gbp from decision_outcomes order by workload_id") == [
        (Decimal("0.0000"),),
        (Decimal(f"{earned:.4f}"),),
    ]


def test_no_work_means_no_write(bench: Bench) -> None:
    """Called every minute: what changes nothing must not make the live state anew."""
    bench.centre("A")
    run(bench, 1)
    before = bench.one("select pg_current_snapshot()::text")
    run(bench, 2)
    assert bench.one("select pg_current_snapshot()::text") == before
