"""Actions on workloads, against a real database."""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pylon.errors import Conflict, NotFound, Refused
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import DecisionType, WorkloadStatus, WorkloadUrgency
from pylon.ontology.lifecycle import may_follow
from pylon.services.list_decisions import explain_decision
from tests.conftest import new_tenant
from tests.doubles.acting import Acting


def test_a_submitted_workload_is_decided_at_once(here: Acting) -> None:
    done = here.submit("JOB-1")
    (decision,) = done.decisions
    assert done.applied
    stored = here.workload("JOB-1")
    assert stored["status"] in ("QUEUED", "DEFERRED_CARBON", "DEFERRED_PRICE", "DEFERRED_GRID_STRESS")
    assert stored["host_dc_id"] is not None
    (logged,) = here.rows("select * from public.orchestration_decisions")
    assert (logged["id"], logged["reasoning"], logged["seq"]) == (decision.id, decision.reasoning, 1)
    spans = here.rows("select * from public.workload_placements")
    assert sum((span["ends_at"] - span["starts_at"] for span in spans), timedelta()) == timedelta(hours=1)
    assert {span["decision_id"] for span in spans} == {decision.id}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(here: Acting) -> None:
    tried = here.submit("JOB-1", dry_run=True)
    assert (tried.applied, tried.dry_run, len(tried.decisions)) == (False, True, 1)
    assert (tried.decisions[0].id, tried.decisions[0].decision_id) == (None, None)
    assert here.rows("select * from public.compute_workloads") == []
    assert here.rows("select * from public.orchestration_decisions") == []
    done = here.submit("JOB-1")
    assert done.decisions[0].alternatives_considered == tried.decisions[0].alternatives_considered


def test_a_dry_run_of_what_would_be_refused_says_why(here: Acting) -> None:
    here.submit("JOB-1")
    before = everything(here)
    tried = here.submit("JOB-1", dry_run=True)
    assert [refusal["code"] for refusal in tried.refusals] == ["job_id_free"]
    assert not tried.applied
    assert everything(here) == before


def test_a_second_submit_under_the_same_key_changes_nothing_and_answers_the_same(here: Acting) -> None:
    deadline = (here.now + timedelta(hours=24)).isoformat()
    first = here.submit("JOB-1", key="k-1", deadline=deadline)
    before = everything(here)
    here.now += timedelta(minutes=7)
    again = here.submit("JOB-1", key="k-1", deadline=deadline)
    assert (again.replayed, again.applied) == (True, False)
    assert (again.decisions, again.changed) == (first.decisions, first.changed)
    assert everything(here) == before


def test_a_key_that_was_used_for_something_else_is_refused(here: Acting) -> None:
    here.submit("JOB-1", key="k-1")
    before = everything(here)
    with pytest.raises(Conflict, match=r"'k-1' was used for submit_workload .* Use a new key"):
        here.submit("JOB-2", key="k-1")
    assert everything(here) == before


def test_a_key_of_a_dry_run_is_not_used_up(here: Acting) -> None:
    here.submit("JOB-1", key="k-1", dry_run=True)
    assert here.submit("JOB-1", key="k-1").applied


def test_many_are_taken_in_order_and_each_sees_the_room_that_is_left(here: Acting) -> None:
    jobs = [job(here, f"JOB-{number}", power_kw=9000, allowed_region_ids=[1]) for number in range(1, 7)]
    done = here.do("submit_workloads", workloads=jobs)
    assert len(done.decisions) == 6
    assert [one.decision_id for one in done.decisions] == [f"D-{number:06d}" for number in range(1, 7)]
    times = [here.workload(f"JOB-{number}")["scheduled_start"] for number in range(1, 7)]
    assert len(set(times)) == 6, "Perth has room for one of them at a time"


def test_of_many_that_are_not_all_valid_none_is_taken(here: Acting) -> None:
    here.submit("JOB-2")
    before = everything(here)
    jobs = [job(here, f"JOB-{number}") for number in (1, 2, 3)]
    jobs[2]["deadline"] = here.now - timedelta(minutes=1)
    with pytest.raises(Refused) as caught:
        here.do("submit_workloads", workloads=jobs)
    assert [(one["code"], one["job_id"]) for one in caught.value.refusals] == [
        ("job_id_free", "JOB-2"),
        ("deadline_ahead", "JOB-3"),
    ]
    assert everything(here) == before


def test_an_origin_that_is_not_there_is_named_with_those_that_are(here: Acting) -> None:
    with pytest.raises(NotFound, match=r"'MARS-1'\. Valid: LEEDS-1, PERTH-1, SLOUGH-1"):
        here.submit("JOB-1", origin="MARS-1")


def test_one_operator_cannot_act_on_what_is_anothers(here: Acting) -> None:
    here.submit("JOB-1")
    other = Acting(here.database, new_tenant(here.database, "another").id)
    with pytest.raises(NotFound, match="no workload 'JOB-1'"):
        other.do("cancel_workload", job_id="JOB-1")
    assert other.submit("JOB-1", origin=None).decisions[0].decision_type is DecisionType.REJECT_WORKLOAD


# By hand


def test_a_place_and_time_chosen_by_hand_is_booked_and_its_cost_said(here: Acting) -> None:
    here.submit("JOB-1")
    at = here.now.replace(minute=30, second=0) + timedelta(hours=5)
    done = here.do("shift_workload", job_id="JOB-1", dc_id="LEEDS-1", starts_at=at, reason="the cable is there")
    (decision,) = done.decisions
    assert decision.decision_type is DecisionType.SHIFT_REGION
    assert decision.reasoning.startswith("Chosen by hand. Runs 14:30-15:30 UTC at LEEDS-1")
    assert decision.reasoning.endswith("Reason given: the cable is there.")
    stored = here.workload("JOB-1")
    assert (stored["status"], stored["scheduled_start"]) == ("QUEUED", at)
    spans = here.rows("select * from public.workload_placements")
    assert [(span["starts_at"], span["decision_id"]) for span in spans] == [(at, decision.id)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"dc_id": "LEEDS-1"}, "region"),
        ({"hours": 30}, "latest_end"),
        ({"hours": -1}, "not_past"),
        ({"job": {"carbon_cap_gco2": 0, "deadline": None}}, "carbon_cap"),
        ({"job": {"max_price_gbp": 0.01}}, "max_price"),
        ({"job": {"power_kw": 15_000}, "filled": True}, "power_mw"),
        ({"job": {"deadline": None}, "hours": 49}, "latest_end"),
        ({"status": "MAINTENANCE"}, "site_open"),
        ({"spans": 2}, "interruptible"),
        ({"spans": 1.5}, "duration"),
    ],
)
def test_whoever_chooses_by_hand_keeps_to_every_limit(here: Acting, change: dict[str, Any], code: str) -> None:
    here.submit("JOB-1", **{"allowed_region_ids": [12], **change.get("job", {})})
    if "status" in change:
        here.do("set_data_centre_status", dc_id="SLOUGH-1", status=change["status"], reason="works")
    at = here.now.replace(minute=30, second=0) + timedelta(hours=change.get("hours", 2))
    if "filled" in change:
        here.submit("JOB-2", power_kw=15_000)
        here.do("shift_workload", job_id="JOB-2", dc_id="SLOUGH-1", starts_at=at)
    before = everything(here)
    when: dict[str, Any] = {"starts_at": at}
    if spans := change.get("spans"):
        mins = timedelta(minutes=30 * spans)
        when = {"spans": [{"starts_at": at, "ends_at": at + mins}]}
        if spans == 2:
            half = timedelta(minutes=30)
            when = {
                "spans": [{"starts_at": at + n * 3 * half, "ends_at": at + n * 3 * half + half} for n in (0, 1)]
            }
    with pytest.raises(Refused) as caught:
        here.do("accept_workload", job_id="JOB-1", dc_id=change.get("dc_id", "SLOUGH-1"), **when)
    assert [refusal["code"] for refusal in caught.value.refusals] == [code]
    assert everything(here) == before


def test_a_job_put_off_by_hand_waits_and_one_rejected_ends(here: Acting) -> None:
    for number in (1, 2, 3):
        here.submit(f"JOB-{number}")
    here.do("defer_workload", job_id="JOB-1", deferred_by="GRID_STRESS", reason="a cold evening")
    here.do("reject_workload", job_id="JOB-2", reason="no budget")
    here.do("negotiate_workload", job_id="JOB-3", price_gbp=40)
    said = {name: here.workload(name) for name in ("JOB-1", "JOB-2", "JOB-3")}
    assert [row["status"] for row in said.values()] == ["DEFERRED_GRID_STRESS", "FAILED", "DEFERRED_PRICE"]
    assert {(row["host_dc_id"], row["scheduled_start"]) for row in said.values()} == {(None, None)}
    assert here.rows("select * from public.workload_placements") == []
    types = [row["decision_type"] for row in here.rows("select * from public.orchestration_decisions order by seq")]
    assert types[3:] == ["DEFER_WORKLOAD", "REJECT_WORKLOAD", "NEGOTIATE"]


def test_new_limits_are_decided_on_anew(here: Acting) -> None:
    here.submit("JOB-1", max_price_gbp=0.01)
    assert here.workload("JOB-1")["status"] == "DEFERRED_PRICE"
    done = here.do("amend_workload", job_id="JOB-1", max_price_gbp=None)
    assert done.decisions[0].decision_type is not DecisionType.NEGOTIATE
    assert here.workload("JOB-1")["host_dc_id"] is not None


# The life of a workload


def test_a_job_starts_runs_and_is_done(here: Acting) -> None:
    here.submit("JOB-1")
    here.do("start_workload", job_id="JOB-1")
    here.now += timedelta(minutes=60)
    here.do("complete_workload", job_id="JOB-1", energy_kwh=990)
    row = here.workload("JOB-1")
    assert (row["status"], row["completed_at"] - row["started_at"]) == ("COMPLETED", timedelta(hours=1))
    assert float(row["actual_energy_kwh"]) == 990


def test_room_that_is_given_up_can_be_had_again(here: Acting) -> None:
    at = here.now.replace(minute=30, second=0)
    book = {"dc_id": "PERTH-1", "starts_at": at}
    for name in ("JOB-1", "JOB-2"):
        here.submit(name, power_kw=6000)
        here.do("defer_workload", job_id=name, deferred_by=None)
    here.do("accept_workload", job_id="JOB-1", **book)
    with pytest.raises(Refused):
        here.do("accept_workload", job_id="JOB-2", **book)
    here.do("cancel_workload", job_id="JOB-1")
    here.do("accept_workload", job_id="JOB-2", **book)
    assert here.workload("JOB-2")["scheduled_start"] == at


STEPS = {
    WorkloadStatus.QUEUED: ("accept_workload", {"dc_id": "SLOUGH-1", "starts_at": "soon"}),
    WorkloadStatus.PENDING: ("defer_workload", {"deferred_by": None}),
    WorkloadStatus.DEFERRED_CARBON: ("defer_workload", {"deferred_by": "CARBON"}),
    WorkloadStatus.DEFERRED_PRICE: ("negotiate_workload", {"price_gbp": 1}),
    WorkloadStatus.DEFERRED_GRID_STRESS: ("defer_workload", {"deferred_by": "GRID_STRESS"}),
    WorkloadStatus.RUNNING: ("start_workload", {}),
    WorkloadStatus.COMPLETED: ("complete_workload", {}),
    WorkloadStatus.FAILED: ("fail_workload", {"reason": "broke"}),
    WorkloadStatus.CANCELLED: ("cancel_workload", {}),
}
"""An action that leads to each status."""


def test_each_illegal_step_is_refused_by_name_and_each_legal_one_is_taken(here: Acting) -> None:
    """Every pair of statuses, written into the row by hand and then stepped from."""
    here.submit("JOB-1", deadline=None)
    at = here.now.replace(minute=30, second=0)
    for now, then in itertools.product(WorkloadStatus, WorkloadStatus):
        put(here, now, at)
        name, given = STEPS[then]
        given = {word: at if value == "soon" else value for word, value in given.items()}
        tried = here.do(name, {"job_id": "JOB-1", **given}, dry_run=True)
        refused = [refusal["code"] for refusal in tried.refusals]
        assert refused == ([] if may_follow(now, then) else ["status"]), f"{now} -> {then}"
        if refused:
            assert tried.refusals[0] | {"status": now, "wanted": then} == tried.refusals[0]


def put(here: Acting, status: WorkloadStatus, at: datetime) -> None:
    """Give JOB-1 a status and what goes with it."""
    started = "null" if status in (WorkloadStatus.PENDING, WorkloadStatus.QUEUED) else "created_at"
    with here.database.as_actor(here.operator_id) as transaction:
        transaction.statement(
            f"update public.compute_workloads set status = '{status}', started_at = {started}, "
            f"scheduled_start = '{at.isoformat()}'".encode()
        )


# At once


def test_fifty_at_once_never_take_more_than_there_is(here: Acting) -> None:
    def submit(number: int) -> None:
        one = Acting(here.database, here.operator_id, now=here.now, views=here.views)
        one.submit(f"JOB-{number}", power_kw=3000, deadline=here.now + timedelta(hours=4), value_gbp=10_000)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(submit, range(50)))
    rows = here.rows("select seq from public.orchestration_decisions order by seq")
    assert [row["seq"] for row in rows] == list(range(1, 51))
    for dc_id, capacity in (("LEEDS-1", 20.0), ("SLOUGH-1", 40.0), ("PERTH-1", 10.0)):
        assert used(here, dc_id) <= capacity + 1e-9


def test_an_action_of_another_process_is_seen(here: Acting) -> None:
    """A second set of kept views stands for a second process."""
    other = Acting(here.database, here.operator_id, now=here.now)
    at = here.now.replace(minute=30, second=0)
    here.submit("JOB-1", power_kw=6000)
    other.submit("JOB-2", power_kw=6000)
    here.do("accept_workload", job_id="JOB-1", dc_id="PERTH-1", starts_at=at)
    with pytest.raises(Refused):
        other.do("accept_workload", job_id="JOB-2", dc_id="PERTH-1", starts_at=at)


def test_a_change_of_the_fleet_without_an_action_is_seen(here: Acting) -> None:
    here.submit("JOB-1")
    with here.database.as_actor(here.operator_id) as transaction:
        transaction.statement(b"update public.data_centres set status = 'OFFLINE'")
    assert here.submit("JOB-2").decisions[0].effect["to"] == "PENDING"


# Limits hold, whatever is asked


@given(
    asked=st.fixed_dictionaries(
        {
            "duration_mins": st.integers(1, 600),
            "power_kw": st.integers(0, 30_000),
            "interruptible": st.booleans(),
            "urgency": st.sampled_from(list(WorkloadUrgency)),
            "carbon_cap_gco2": st.none() | st.integers(0, 300),
            "max_price_gbp": st.none() | st.integers(0, 500),
            "allowed_region_ids": st.none() | st.lists(st.sampled_from([1, 3, 12, 7]), min_size=1, unique=True),
            "origin": st.sampled_from([None, "LEEDS-1", "SLOUGH-1", "PERTH-1"]),
            "value_gbp": st.none() | st.integers(0, 1000),
            "deferral_window_mins": st.none() | st.integers(0, 3000),
            "wait": st.none() | st.integers(1, 4000),
        }
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_limit_is_ever_broken(here: Acting, asked: dict[str, Any]) -> None:
    number = len(here.rows("select 1 from public.compute_workloads"))
    wait = asked.pop("wait")
    deadline = None if wait is None else here.now + timedelta(minutes=wait)
    done = here.submit(f"JOB-{number}", **{**asked, "deadline": deadline})
    row = here.workload(f"JOB-{number}")
    spans = here.rows(
        "select p.*, d.dc_id, d.pue, r.region_id as region from public.workload_placements p "
        "join public.data_centres d on d.id = p.data_centre_id join public.regions r on r.id = d.region_id "
        f"where p.workload_id = '{row['id']}' order by p.starts_at"
    )
    assert bool(spans) is (row["host_dc_id"] is not None)
    if not spans:
        assert row["status"] in ("PENDING", "FAILED", "DEFERRED_CARBON", "DEFERRED_PRICE")
        return
    ends = spans[-1]["ends_at"]
    assert spans[0]["starts_at"] >= here.now
    assert deadline is None or ends <= deadline
    if asked["deferral_window_mins"] is not None:
        most = timedelta(minutes=asked["deferral_window_mins"] + asked["duration_mins"])
        assert ends <= here.now + most + timedelta(seconds=1)
    assert asked["allowed_region_ids"] is None or spans[0]["region"] in asked["allowed_region_ids"]
    total = sum((span["ends_at"] - span["starts_at"] for span in spans), timedelta())
    assert total == timedelta(minutes=asked["duration_mins"])
    assert asked["interruptible"] or len(spans) == 1
    chosen = done.decisions[0].alternatives_considered["chosen"]
    if asked["carbon_cap_gco2"] is not None and chosen["energy_kwh"]:
        rounding = 0.005 + 0.0005 * asked["carbon_cap_gco2"]  # both are said to so many decimals
        assert chosen["carbon_gco2"] <= asked["carbon_cap_gco2"] * chosen["energy_kwh"] + rounding
    if asked["max_price_gbp"] is not None:
        assert chosen["terms"]["energy_gbp"] <= asked["max_price_gbp"] + 1e-6
    for dc_id, capacity in (("LEEDS-1", 20.0), ("SLOUGH-1", 40.0), ("PERTH-1", 10.0)):
        assert used(here, dc_id) <= capacity + 1e-9


def used(here: Acting, dc_id: str) -> float:
    """Return the most power in MW that placed work takes at a site in any half hour, by the rows alone."""
    rows = here.rows(
        "select p.starts_at, p.ends_at, w.power_kw * d.pue / 1000 as mw from public.workload_placements p "
        "join public.compute_workloads w on w.id = p.workload_id "
        f"join public.data_centres d on d.id = p.data_centre_id where d.dc_id = '{dc_id}'"
    )
    ats = [floor(here.now) + n * HALF_HOUR for n in range(100)]
    return max(
        sum(float(row["mw"]) for row in rows if row["starts_at"] < at + HALF_HOUR and row["ends_at"] > at)
        for at in ats
    )


def job(here: Acting, job_id: str, **more: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "workload_type": "DATA_PROCESSING",
        "duration_mins": 30,
        "power_kw": 100,
        "deadline": here.now + timedelta(hours=24),
        **more,
    }


TABLES = (
    "compute_workloads",
    "orchestration_decisions",
    "workload_placements",
    "idempotency_keys",
    "load_limits",
    "data_centres",
)


def everything(here: Acting) -> dict[str, Any]:
    """Return every row that an action may write."""
    return {table: here.rows(f"select * from public.{table} order by 1, 2") for table in TABLES}


# What the kept view must not miss, and what room must follow


def test_a_row_written_without_an_action_is_seen(here: Acting) -> None:
    at = here.now.replace(minute=30, second=0)
    here.submit("JOB-1", power_kw=6000)
    here.submit("JOB-2", power_kw=9000)
    with here.database.as_actor(here.operator_id) as transaction:
        transaction.statement(
            b"update public.compute_workloads set status = 'QUEUED', scheduled_start = %(at)s, host_dc_id = "
            b"(select id from public.data_centres where dc_id = 'PERTH-1') where job_id = 'JOB-2'",
            at=at,
        )
        transaction.statement(
            b"delete from public.workload_placements p using public.compute_workloads w "
            b"where w.id = p.workload_id and w.job_id = 'JOB-2'"
        )
    with pytest.raises(Refused):
        here.do("accept_workload", job_id="JOB-1", dc_id="PERTH-1", starts_at=at)


def test_a_job_takes_up_room_when_it_runs_whenever_it_was_booked(here: Acting) -> None:
    at = here.now.replace(minute=30, second=0)
    for name in ("JOB-1", "JOB-2"):
        here.submit(name, power_kw=6000)
    here.do("shift_workload", job_id="JOB-1", dc_id="PERTH-1", starts_at=at + timedelta(hours=9))
    here.do("start_workload", job_id="JOB-1")
    with pytest.raises(Refused):
        here.do("accept_workload", job_id="JOB-2", dc_id="PERTH-1", starts_at=at)
    here.do("accept_workload", job_id="JOB-2", dc_id="PERTH-1", starts_at=at + timedelta(hours=9))


def test_a_limit_that_is_over_or_never_held_blocks_nothing(here: Acting) -> None:
    here.submit("JOB-1")
    soon = here.now + timedelta(minutes=30)
    made = here.do(
        "add_blackout_window", dc_id="PERTH-1", starts_at=soon, ends_at=soon + timedelta(hours=1), reason="works"
    )
    (limit,) = made.changed["LoadLimit"]
    here.do("remove_blackout_window", limit_id=limit["id"])
    here.do("accept_workload", job_id="JOB-1", dc_id="PERTH-1", starts_at=soon.replace(minute=30, second=0))


def test_new_limits_under_which_a_job_would_be_rejected_are_refused(here: Acting) -> None:
    here.submit("JOB-1")
    before = everything(here)
    with pytest.raises(Refused, match="no site of yours is in region 9") as caught:
        here.do("amend_workload", job_id="JOB-1", allowed_region_ids=[9])
    assert [refusal["code"] for refusal in caught.value.refusals] == ["runs_somewhere"]
    assert "send the same amendment with that in it. Nothing was changed" in caught.value.detail
    assert "anew" not in caught.value.detail
    assert everything(here) == before


def test_an_amendment_under_which_nothing_fits_says_what_booking_it_costs(here: Acting) -> None:
    here.submit("JOB-1")
    held = here.workload("JOB-1")
    (decision,) = here.do("amend_workload", job_id="JOB-1", carbon_cap_gco2=1).decisions
    assert held["host_dc_id"] is not None
    assert here.workload("JOB-1")["host_dc_id"] is None
    assert re.search(r"It gives up its booking .* UTC at [A-Z]+-1 \(region \d+\)\.", decision.reasoning)
    assert explain_decision(here.database, here.operator_id, decision.decision_id).recomputes


def test_the_price_of_a_negotiation_is_on_record(here: Acting) -> None:
    here.submit("JOB-1")
    done = here.do("negotiate_workload", job_id="JOB-1", price_gbp=4321.5)
    assert done.decisions[0].effect["price_gbp"] == 4321.5
