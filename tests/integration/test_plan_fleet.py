"""Plans of a fleet on a real database, worked out by a real process of the planner's own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pylon.agents import fleet_plan
from pylon.errors import Conflict, LeaseHeld, LeaseLost, NotFound, StoreError
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.enums import PlanStatus
from pylon.services import desk as desks
from pylon.services import list_plans, plan_fleet
from pylon.services.list_plans import PlanSummary
from pylon.services.plan_fleet import PlanProgress, PlanWorker
from pylon.store.database import Database
from pylon.store.queries import QUERIES
from tests.conftest import new_tenant
from tests.doubles.acting import NOW, Acting, acting
from tests.doubles.postgres import Cluster


class Planning(Acting):
    """An operator that has its fleet planned."""

    def request(self, trigger: str = "command", key: str | None = None) -> PlanSummary:
        return plan_fleet.request(
            self.database, self.views, self.call, trigger=trigger, clock=lambda: self.now, key=key
        )

    def run(self, worker: PlanWorker, plan: PlanSummary, progress: PlanProgress | None = None) -> PlanSummary:
        return plan_fleet.run(
            self.database, self.views, worker, self.call, plan.id, clock=lambda: self.now, progress=progress
        )

    def plan(self, worker: PlanWorker) -> PlanSummary:
        return self.run(worker, self.request())

    def stored(self, plan: PlanSummary) -> dict[str, Any]:
        return self.rows(f"select * from public.plans where id = '{plan.id}'")[0]


@pytest.fixture(scope="module")
def worker() -> Iterator[PlanWorker]:
    one = PlanWorker()
    yield one
    one.close()
    assert one.pid is None


@pytest.fixture
def own(here: Acting) -> Planning:
    return Planning(here.database, here.operator_id, now=here.now, views=here.views)


def test_a_plan_is_asked_for_and_worked_out(own: Planning, worker: PlanWorker) -> None:
    for number in range(3):
        own.submit(f"J-{number}")
    asked = own.request()
    assert (asked.plan_id, asked.status, asked.as_of, asked.result_digest) == ("P-000001", "QUEUED", None, None)

    done = own.run(worker, asked)
    assert done.status is PlanStatus.SUCCEEDED, done.error
    assert (done.workloads, done.sites, done.half_hours, done.after_seq) == (3, 3, 96, 3)
    assert done.bound_gbp is not None
    assert done.cost_gbp is not None
    assert 0 < done.bound_gbp <= done.cost_gbp
    assert (done.simulated, done.is_simulated) == (["carbon", "price", "stress"], False)

    whole = list_plans.plan(own.database, own.operator_id, "P-000001")
    assert whole.result is not None
    assert {place.job_id for place in whole.result.places} == {"J-0", "J-1", "J-2"}
    assert whole.result.rejected == []
    assert list_plans.plan(own.database, own.operator_id, str(done.id)) == whole


def test_what_it_saw_and_came_to_is_kept_under_its_hash(own: Planning, worker: PlanWorker) -> None:
    own.submit("J-1")
    done = own.plan(worker)
    (kept,) = own.rows(f"select content from public.plan_inputs where digest = '{done.input_digest}'")
    (result,) = own.rows(f"select content from public.plan_results where plan_id = '{done.id}'")
    assert len(kept["content"].encode()) == done.input_bytes
    assert hashlib.sha256(result["content"].encode()).hexdigest() == done.result_digest
    assert len(result["content"]) == done.result_bytes
    assert canonical_bytes(fleet_plan.work_out(json.loads(kept["content"]))).decode() == result["content"]


def test_how_far_it_has_come_is_seen_while_it_is_worked_on(signals: Database, worker: PlanWorker) -> None:
    own = small(signals, "progress")
    for number in range(9):  # more than there is room for in good hours
        own.submit(f"J-{number}", origin="S-1", power_kw=1500, duration_mins=150 + 30 * (number % 3))
    asked, seen = own.request(), []

    def look(stage: str, done: int, of: int) -> None:
        own.now += timedelta(seconds=0.3)
        seen.append(({"stage": stage, "done": done, "of": of}, own.stored(asked)["progress"]))

    done = own.run(worker, asked, look)
    assert len(seen) > 4
    assert all(0 <= said["done"] <= said["of"] for said, _ in seen)
    told = [said for said, _ in seen]
    written = [stored for _, stored in seen if stored]
    assert written
    assert all(stored in told for stored in written)
    # A third of a second apart, every other one is written down.
    assert seen[1][1] == seen[2][1] == told[0]
    assert seen[3][1] == told[2]
    assert done.progress == {}


def test_a_fleet_with_nothing_to_plan_has_a_plan_of_nothing(signals: Database, worker: PlanWorker) -> None:
    nobody = Planning(signals, new_tenant(signals, "nothing to plan").id)
    done = nobody.plan(worker)
    assert (done.status, done.workloads, done.sites, done.cost_gbp, done.gap) == ("SUCCEEDED", 0, 0, 0.0, None)


def test_whoever_decides_after_it_decides_with_it(own: Planning, worker: PlanWorker) -> None:
    own.submit("J-1")  # its view is kept in memory
    own.plan(worker)
    own.submit("J-2")
    first, second = own.rows("select inputs from public.orchestration_decisions order by seq")
    assert "plan" not in first["inputs"]
    assert second["inputs"]["plan"]["plan_id"] == "P-000001"


def test_plans_are_numbered_and_listed_newest_first(own: Planning, worker: PlanWorker) -> None:
    for _ in range(3):
        own.plan(worker)
    page = list_plans.list_plans(own.database, own.operator_id, limit=2)
    assert [plan.plan_id for plan in page.plans] == ["P-000003", "P-000002"]
    assert page.contains_simulated
    rest = list_plans.list_plans(own.database, own.operator_id, limit=2, before=page.next_before)
    assert ([plan.plan_id for plan in rest.plans], rest.next_before) == (["P-000001"], None)


def test_an_index_gives_plans_in_the_order_of_their_numbers(own: Planning, cluster: Cluster) -> None:
    asked = {"operator_id": own.operator_id, "limit": 50, "before": 7, "plan_id": None, "id": None, "whole": False}
    with cluster.superuser("pylon_signals") as session:
        session.execute("set enable_sort to off")
        session.execute("set enable_seqscan to off")
        for query in ("plans", "last_plan_number"):
            told = session.execute(b"explain " + QUERIES[query], asked).fetchall()
            assert "plans_operator_id_length_plan_id_plan_id_idx" in str(told), told
            assert "Sort" not in str(told), told


def test_an_arrival_reads_the_prices_of_a_plan_and_a_round_its_places_too(
    own: Planning, worker: PlanWorker
) -> None:
    own.submit("J-1")
    own.plan(worker)
    with own.database.as_reader(own.operator_id) as transaction:
        of = {"operator_id": own.operator_id, "now": own.now}
        rows = [transaction.one("standing_plan", **of, whole=whole) for whole in (True, False)]
    whole, short = (json.loads(row["content"]) for row in rows if row)
    assert len(whole["places"]) == 1
    assert short == {name: whole[name] for name in ("now", "gap", "starts_at", "prices")}


def test_under_one_key_one_plan_is_made(own: Planning, worker: PlanWorker) -> None:
    first = own.request(key="k")
    own.run(worker, first)
    again = own.request(key="k")
    assert (again.id, again.status) == (first.id, "SUCCEEDED")
    assert own.request(key="another").plan_id == "P-000002"
    own.submit("J-1", key="of a job")
    with pytest.raises(Conflict, match="The idempotency key 'of a job' was used for submit_workload"):
        own.request(key="of a job")


def test_an_agent_with_settings_that_are_none_makes_the_plan_fail(
    own: Planning, worker: PlanWorker, cluster: Any
) -> None:
    given = {"agent_id": "AG", "name": "AG", "agent_type": "CARBON_OPTIMIZER"}
    own.do("register_agent", given)
    with cluster.superuser("pylon_signals") as superuser:
        superuser.execute("update agents set config = '{\"churn\": 1}' where operator_id = %s", [own.operator_id])
    done = own.plan(worker)
    assert (done.status, done.result_digest, done.finished_at) == ("FAILED", None, own.now)
    assert done.error is not None
    assert "The config of a CARBON_OPTIMIZER is not valid: churn" in done.error
    assert list_plans.plan(own.database, own.operator_id, done.plan_id).result is None


def test_a_planner_that_makes_nothing_of_a_document_says_why_and_goes_on(
    own: Planning, worker: PlanWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(fleet_plan, "describe", lambda *_: {"jobs": [], "sites": [], "simulated": []})
        done = own.plan(worker)
    pid = worker.pid
    assert (done.status, done.error) == ("FAILED", "KeyError('weights')")
    assert own.plan(worker).status is PlanStatus.SUCCEEDED
    assert worker.pid == pid


class Held:
    """A plan whose planner's process stands still, in a thread of its own."""

    def __init__(self, own: Planning, worker: PlanWorker) -> None:
        own.plan(worker)
        assert worker.pid is not None
        self.pid = worker.pid
        os.kill(self.pid, signal.SIGSTOP)
        self.asked = own.request()
        self.ended: list[PlanSummary | Exception] = []
        self._thread = threading.Thread(target=self._work, args=[own, worker])
        self._thread.start()
        while own.stored(self.asked)["input_digest"] is None:
            self._thread.join(0.01)
            assert self._thread.is_alive(), self.ended

    def _work(self, own: Planning, worker: PlanWorker) -> None:
        try:
            self.ended.append(own.run(worker, self.asked))
        except StoreError as error:
            self.ended.append(error)

    def end(self, by: signal.Signals) -> PlanSummary | Exception:
        os.kill(self.pid, by)
        return self.outcome()

    def outcome(self) -> PlanSummary | Exception:
        self._thread.join(60)
        (ended,) = self.ended
        return ended


def test_a_planner_that_is_killed_is_noticed_and_replaced(own: Planning, worker: PlanWorker) -> None:
    held = Held(own, worker)
    ended = held.end(signal.SIGKILL)
    assert isinstance(ended, PlanSummary)
    assert (ended.status, ended.error) == ("ABANDONED", "The planner's process ended, with code -9.")
    assert own.plan(worker).status is PlanStatus.SUCCEEDED
    assert worker.pid != held.pid


def test_while_one_is_worked_on_there_is_no_other(own: Planning, worker: PlanWorker) -> None:
    held = Held(own, worker)
    assert own.request().id == held.asked.id
    with pytest.raises(LeaseHeld, match=f"the plan of {own.operator_id}"):
        own.run(worker, held.asked)
    own.submit("MEANWHILE")  # nobody waits for the planner
    ended = held.end(signal.SIGCONT)
    assert isinstance(ended, PlanSummary)
    assert (ended.status, ended.after_seq) == ("SUCCEEDED", 0)


def test_a_plan_that_is_begun_just_before_another_is_asked_for_is_not_ended(
    own: Planning, worker: PlanWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Held] = []
    opened = desks.opened

    def begun_first(*of: Any, **how: Any) -> Any:
        monkeypatch.undo()
        held.append(Held(own, worker))
        return opened(*of, **how)

    monkeypatch.setattr(desks, "opened", begun_first)
    asked = own.request()
    (one,) = held
    ended = one.end(signal.SIGCONT)
    assert asked.id == one.asked.id
    assert isinstance(ended, PlanSummary)
    assert ended.status is PlanStatus.SUCCEEDED


def test_a_plan_that_is_given_up_meanwhile_is_not_kept(own: Planning, worker: PlanWorker, cluster: Any) -> None:
    held = Held(own, worker)
    with cluster.superuser("pylon_signals") as superuser:
        superuser.execute("delete from leases where name = %s", [f"plan of {own.operator_id}"])
    new = own.request()
    assert (new.plan_id, new.status) == ("P-000003", "QUEUED")
    assert isinstance(held.end(signal.SIGCONT), LeaseLost)
    old = own.stored(held.asked)
    assert (old["status"], old["error"]) == ("ABANDONED", "The process that worked on it ended before it did.")
    assert own.rows(f"select from public.plan_results where plan_id = '{held.asked.id}'") == []
    assert own.run(worker, new).status is PlanStatus.SUCCEEDED


def test_a_worker_that_is_closed_gives_up_its_plan_first(own: Planning) -> None:
    one = PlanWorker()
    held = Held(own, one)
    one.close()
    assert own.stored(held.asked)["status"] == "ABANDONED"
    ended = held.outcome()
    assert isinstance(ended, PlanSummary)
    assert (ended.status, ended.error) == ("ABANDONED", "Pylon was stopped.")
    with pytest.raises(ProcessLookupError):
        os.kill(held.pid, 0)  # not even a zombie is left
    assert own.plan(one).error == "Pylon was stopped."


def test_a_plan_that_ended_is_returned_as_it_is(own: Planning, worker: PlanWorker) -> None:
    done = own.plan(worker)
    own.now += timedelta(minutes=1)
    assert own.run(worker, done) == done


@pytest.mark.parametrize("change", ["update public.plans set cost_gbp = 0", "delete from public.plans"])
def test_a_plan_that_ended_is_never_changed(own: Planning, worker: PlanWorker, cluster: Any, change: str) -> None:
    done = own.plan(worker)
    with cluster.superuser("pylon_signals") as superuser:
        superuser.execute("set session_replication_role to replica")
        with pytest.raises(Exception, match=r"plan P-000001 has ended as SUCCEEDED: (UPDATE|DELETE) is refused"):
            superuser.execute(f"{change} where id = '{done.id}'")


def test_another_operators_plans_are_not_there(own: Planning, worker: PlanWorker, signals: Database) -> None:
    done = own.plan(worker)
    other = Planning(signals, new_tenant(signals, "another planner").id)
    assert list_plans.list_plans(signals, other.operator_id).plans == []
    for name in (done.plan_id, str(done.id), "none such"):
        with pytest.raises(NotFound, match="You have no plan"):
            list_plans.plan(signals, other.operator_id, name)
    assert other.plan(worker).plan_id == "P-000001"


def small(signals: Database, name: str) -> Planning:
    """Return an operator with one site of 2 MW."""
    site = {"S-1": {"region": 3, "pue": 1.0, "total_capacity_mw": 2}}
    one = acting(signals, new_tenant(signals, name).id, site)
    return Planning(signals, one.operator_id, now=NOW, views=one.views)


def why(own: Planning) -> str | None:
    return plan_fleet.used_up(own.database, own.operator_id, own.now)


def test_what_arrives_uses_up_what_the_plan_left(signals: Database, worker: PlanWorker) -> None:
    own = small(signals, "used up")
    assert why(own) is None
    own.plan(worker)
    assert why(own) is None
    own.now += timedelta(minutes=1)
    own.submit("J-1", origin="S-1", power_kw=1000, duration_mins=8 * 60)
    assert why(own) is None  # 8 of some 95 MWh
    own.submit("J-2", origin="S-1", power_kw=1000, duration_mins=4 * 60)
    assert why(own) == "12.0 MWh arrived"
    own.plan(worker)
    assert why(own) is None


def test_a_job_that_found_no_room_calls_for_a_plan(signals: Database, worker: PlanWorker) -> None:
    own = small(signals, "no room")
    own.submit("FULL", origin="S-1", power_kw=1900, duration_mins=5 * 60, deadline=None)
    own.plan(worker)
    own.now += timedelta(minutes=1)
    soon = (own.now + timedelta(hours=3)).isoformat()
    own.do("add_blackout_window", dc_id="S-1", starts_at=own.now.isoformat(), ends_at=soon, reason="works")
    own.submit("SOON", origin="S-1", power_kw=1900, duration_mins=60, deadline=soon, value_gbp=9999)
    assert why(own) == "1 arrived and found no room"
