"""Decisions and plans made again from what was kept of them: the same bytes, or what differs, or what is gone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from pylon.errors import Conflict, NotFound
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.deciding import PlanInput
from pylon.ontology.enums import PlanStatus
from pylon.ontology.identity import derived_uuid
from pylon.ontology.plans import Plan, PlanResult
from pylon.services import replay as replaying
from pylon.services._plan_worker import PlanWorker
from pylon.services.replay import Replayed, Verdict, replay
from pylon.store import objects
from tests.conftest import new_tenant
from tests.doubles.acting import Acting, acting
from tests.doubles.postgres import Cluster

DOCUMENT = {"sites": [{"dc_id": "LEEDS-1", "price_gbp_mwh": [61.5, None]}], "jobs": []}


def of_nothing(_document: bytes) -> bytes:
    raise AssertionError("a decision is not a plan")


def doubled(document: bytes) -> bytes:
    """Stand in for the planner: whatever works a plan out, the same from the same."""
    prices = json.loads(document)["sites"][0]["price_gbp_mwh"]
    return canonical_bytes({"prices": [None if one is None else 2 * one for one in prices], "gap": 0.25})


def decided(here: Acting, name: str) -> Replayed:
    return replay(here.database, here.operator_id, name, of_nothing)


def planned(here: Acting, name: str) -> Replayed:
    return replay(here.database, here.operator_id, name, doubled)


def the_last(here: Acting) -> dict[str, Any]:
    return here.rows("select * from public.orchestration_decisions order by seq desc limit 1")[0]


def tamper(cluster: Cluster, here: Acting, table: str, statement: str) -> None:
    """Change what cannot be changed, as a superuser who switches its guard off."""
    with cluster.superuser("pylon_signals") as session:
        session.execute(f"alter table public.{table} disable trigger user".encode())
        ended = session.execute(f"{statement} and operator_id = '{here.operator_id}'".encode())
        assert ended.rowcount == 1
        session.execute(f"alter table public.{table} enable trigger user".encode())


def rewritten(cluster: Cluster, here: Acting, row: Mapping[str, Any], **changed: Any) -> None:
    """Write a decision anew, with its hash: a whole chain, when it is the last and its head is moved too."""
    content = canonical_bytes({**json.loads(row["content"]), **changed}).decode()
    link = hashlib.sha256(f"{row['prev_hash']}\n{row['seq']}\n{content}".encode()).hexdigest()
    said = content.replace("'", "''")
    tamper(
        cluster,
        here,
        "orchestration_decisions",
        f"update public.orchestration_decisions set content = '{said}', hash = '{link}' where id = '{row['id']}'",
    )


def store_plan(here: Acting, number: int, **changed: Any) -> Plan:
    """Store a plan that came out as `doubled` makes it, and what it saw."""
    document = canonical_bytes({**DOCUMENT, "number": number}).decode()
    result = doubled(document.encode()).decode()
    plan = Plan(
        id=derived_uuid(here.now, "plan", str(here.operator_id), str(number)),
        plan_id=f"P-{number:06d}",
        operator_id=here.operator_id,
        trigger="test",
        requested_at=here.now + timedelta(minutes=number),
        created_at=here.now,
        updated_at=here.now,
        **{
            "status": PlanStatus.SUCCEEDED,
            "input_digest": hashlib.sha256(document.encode()).hexdigest(),
            "result_digest": hashlib.sha256(result.encode()).hexdigest(),
            **changed,
        },
    )
    kept = PlanInput(
        operator_id=here.operator_id,
        digest=hashlib.sha256(document.encode()).hexdigest(),
        content=document,
        created_at=here.now,
    )
    came_to = PlanResult(operator_id=here.operator_id, plan_id=plan.id, content=result, created_at=here.now)
    with here.database.as_actor(here.operator_id) as transaction:
        assert objects.add_missing(transaction, [kept]) == 1
        assert objects.add_missing(transaction, [plan]) == 1
        assert objects.add_missing(transaction, [came_to]) == 1
    return plan


def test_a_decision_made_again_has_the_hash_that_the_log_links(here: Acting) -> None:
    here.submit("ONE", interruptible=True, duration_mins=150)
    row = the_last(here)
    found = decided(here, row["decision_id"])
    assert (found.verdict, found.kind, found.difference) == (Verdict.SAME, "decision", None)
    assert found.digest == found.stored_digest == row["hash"]
    assert found.input_digest == row["inputs"]["view"]
    (kept,) = here.rows(f"select content from public.plan_inputs where digest = '{found.input_digest}'")
    assert found.input_bytes == len(kept["content"].encode())
    assert decided(here, str(row["id"])) == found


def test_each_kind_of_decision_is_made_again_or_was_given(here: Acting) -> None:
    here.submit("FREE")
    here.submit("NOWHERE", max_price_gbp=0.01)
    at = (here.now + timedelta(hours=5)).replace(minute=0, second=0)
    here.submit("MOVED")
    here.do("shift_workload", job_id="MOVED", dc_id="LEEDS-1", starts_at=at, reason="maintenance at Slough")
    here.do("set_data_centre_status", dc_id="PERTH-1", status="MAINTENANCE", reason="maintenance")
    here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=15, ends_at=at, reason="by phone")
    found = {name: decided(here, name) for name in replaying.names(here.database, here.operator_id)}
    types = {
        row["decision_id"]: row["decision_type"]
        for row in here.rows("select decision_id, decision_type from public.orchestration_decisions")
    }
    assert found.keys() == types.keys()
    assert all(one.is_sound for one in found.values()), found
    given = {types[name] for name, one in found.items() if one.verdict is Verdict.GIVEN}
    assert given == {"SCALE_DOWN"}
    assert {types[name] for name in found if types[name] != "SCALE_DOWN"} >= {"NEGOTIATE", "SHIFT_REGION"}


def test_a_decision_that_was_rewritten_with_its_hash_says_where(here: Acting, cluster: Cluster) -> None:
    here.submit("ONE")
    row = the_last(here)
    options = json.loads(row["content"])["alternatives_considered"]
    was = options["chosen"]["total_gbp"]
    options["chosen"]["total_gbp"] = 1
    rewritten(cluster, here, row, alternatives_considered=options)
    found = decided(here, row["decision_id"])
    assert found.verdict is Verdict.DIFFERENT
    assert found.difference is not None
    assert found.difference.model_dump() == {
        "path": "$.alternatives_considered.chosen.total_gbp",
        "stored": "1",
        "now": json.dumps(was),
    }
    assert found.digest == row["hash"] != found.stored_digest


def test_what_was_worked_out_and_comes_to_nothing_now_was_not_given(here: Acting, cluster: Cluster) -> None:
    here.submit("ONE")
    row = the_last(here)
    rewritten(cluster, here, row, inputs={})
    found = decided(here, row["decision_id"])
    assert (found.verdict, found.is_sound, found.digest) == (Verdict.DIFFERENT, False, None)
    assert f'first at $.decision_type: "{row["decision_type"]}" is stored, now it is nothing' in found.detail


def test_a_cap_that_no_client_gave_was_worked_out(here: Acting, cluster: Cluster) -> None:
    here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=15, reason="by phone")
    row = the_last(here)
    assert decided(here, row["decision_id"]).verdict is Verdict.GIVEN
    rewritten(cluster, here, row, effect={**row["effect"], "by": "agent GRID-OPERATOR"})
    assert decided(here, row["decision_id"]).verdict is Verdict.DIFFERENT


def test_what_somebody_added_or_took_away_differs(here: Acting, cluster: Cluster) -> None:
    here.submit("ONE")
    here.submit("TWO")
    two, one = here.rows("select * from public.orchestration_decisions order by seq desc")
    limits = json.loads(one["content"])["constraints_evaluated"]
    rewritten(cluster, here, one, constraints_evaluated={**limits, "waived": True})
    found = decided(here, one["decision_id"]).difference
    assert found is not None
    assert (found.path, found.stored, found.now) == ("$.constraints_evaluated.waived", "true", None)
    count = len(limits["limits"])
    rewritten(cluster, here, two, constraints_evaluated={**limits, "limits": limits["limits"][:-1]})
    found = decided(here, two["decision_id"]).difference
    assert found is not None
    assert (found.path, found.stored) == (f"$.constraints_evaluated.limits[{count - 1}]", None)


@pytest.mark.parametrize("content", ["{}", "not JSON"])
def test_a_decision_whose_content_was_changed_is_not_made_again(
    here: Acting, cluster: Cluster, content: str
) -> None:
    here.submit("ONE")
    row = the_last(here)
    change = f"update public.orchestration_decisions set content = '{content}' where id = '{row['id']}'"
    tamper(cluster, here, "orchestration_decisions", change)
    found = decided(here, row["decision_id"])
    assert (found.verdict, found.digest) == (Verdict.HASH_DIFFERS, None)
    assert row["hash"][:12] in found.detail


def test_an_input_that_was_changed_or_removed_is_named(here: Acting, cluster: Cluster) -> None:
    here.submit("ONE")
    row = the_last(here)
    digest = row["inputs"]["view"]
    where = f"where digest = '{digest}'"
    tamper(cluster, here, "plan_inputs", f"update public.plan_inputs set content = content || ' ' {where}")
    found = decided(here, row["decision_id"])
    assert (found.verdict, found.input_digest) == (Verdict.INPUT_DIFFERS, digest)
    assert digest[:12] in found.detail
    tamper(cluster, here, "plan_inputs", f"delete from public.plan_inputs {where}")
    found = decided(here, row["decision_id"])
    assert (found.verdict, found.input_bytes) == (Verdict.INPUT_MISSING, None)
    assert digest[:12] in found.detail


def test_a_plan_is_worked_out_again_from_what_it_saw(here: Acting) -> None:
    plan = store_plan(here, 1)
    found = planned(here, "P-000001")
    assert (found.verdict, found.kind) == (Verdict.SAME, "plan")
    assert found.digest == found.stored_digest == plan.result_digest
    assert found.input_digest == plan.input_digest
    assert planned(here, str(plan.id)) == found

    def otherwise(document: bytes) -> bytes:
        return doubled(document).replace(b"123", b"123.00000001")

    differs = replay(here.database, here.operator_id, "P-000001", otherwise)
    assert (differs.verdict, differs.difference and differs.difference.path) == (Verdict.DIFFERENT, "$.prices[0]")
    assert "123 is stored, now it is 123.00000001" in differs.detail


def test_a_plan_whose_input_or_result_was_changed_or_removed_is_told(here: Acting, cluster: Cluster) -> None:
    changed, removed, result, no_result = (store_plan(here, number) for number in range(1, 5))
    inputs, results = "public.plan_inputs", "public.plan_results"
    tamper(
        cluster,
        here,
        "plan_inputs",
        f"update {inputs} set content = replace(content, '61.5', '61.6') where digest = '{changed.input_digest}'",
    )
    tamper(cluster, here, "plan_inputs", f"delete from {inputs} where digest = '{removed.input_digest}'")
    tamper(cluster, here, "plan_results", f"update {results} set content = '[]' where plan_id = '{result.id}'")
    tamper(cluster, here, "plan_results", f"delete from {results} where plan_id = '{no_result.id}'")
    verdicts = [planned(here, name).verdict for name in replaying.names(here.database, here.operator_id)]
    assert verdicts == [
        Verdict.INPUT_DIFFERS,
        Verdict.INPUT_MISSING,
        Verdict.HASH_DIFFERS,
        Verdict.HASH_DIFFERS,
    ]


def test_what_another_version_saw_is_told_from_what_was_changed(here: Acting) -> None:
    store_plan(here, 1)
    found = replay(
        here.database, here.operator_id, "P-000001"
    )  # the planner itself, of a document that it never wrote
    assert (found.verdict, found.digest) == (Verdict.UNREADABLE, None)
    assert "makes nothing of what it saw: KeyError('weights')" in found.detail
    worker = PlanWorker()
    try:
        again = replay(here.database, here.operator_id, "P-000001", lambda one: replaying.work_out_in(worker, one))
    finally:
        worker.close()
    assert again == found
    with pytest.raises(Conflict, match=r"not made again\. Pylon was stopped\. Try again"):
        replay(here.database, here.operator_id, "P-000001", lambda one: replaying.work_out_in(worker, one))


@pytest.mark.parametrize("fault", [ZeroDivisionError, OverflowError, AssertionError])
def test_a_planner_that_miscalculates_or_doubts_makes_nothing_of_it(here: Acting, fault: type[Exception]) -> None:
    store_plan(here, 1)

    def at_fault(_document: bytes) -> bytes:
        raise fault("of what it saw")

    found = replay(here.database, here.operator_id, "P-000001", at_fault)
    assert (found.verdict, found.digest) == (Verdict.UNREADABLE, None)


def test_a_plan_that_came_to_nothing_cannot_be_compared(here: Acting) -> None:
    store_plan(here, 1, status=PlanStatus.FAILED)
    with pytest.raises(Conflict, match="P-000001 is FAILED"):
        planned(here, "P-000001")
    assert replaying.names(here.database, here.operator_id) == []


def test_names_are_oldest_first_and_the_last_of_each_kind(here: Acting) -> None:
    for number in range(3):
        here.submit(f"JOB-{number}")
        store_plan(here, number + 1)
    decisions = [
        row["decision_id"]
        for row in here.rows("select decision_id from public.orchestration_decisions order by seq")
    ]
    plans = ["P-000001", "P-000002", "P-000003"]
    assert replaying.names(here.database, here.operator_id) == decisions + plans
    assert replaying.names(here.database, here.operator_id, last=2) == decisions[1:] + plans[1:]


def test_nobody_replays_what_is_somebody_elses(here: Acting) -> None:
    here.submit("ONE")
    plan, row = store_plan(here, 1), the_last(here)
    other = acting(here.database, new_tenant(here.database, f"beside {here.operator_id}").id)
    for name in (plan.plan_id, str(plan.id), row["decision_id"], str(row["id"]), "P-999999", "none such"):
        with pytest.raises(NotFound, match="no decision and no plan"):
            planned(other, name)
    assert replaying.names(other.database, other.operator_id) == []
