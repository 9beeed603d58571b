"""Actions on the fleet itself, against a real database: caps, blackouts, storage, flexibility, and the register."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from pylon.errors import Conflict, Invalid, NotFound, Refused
from pylon.ontology.agency import Agent
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.deciding import LoadLimit
from pylon.ontology.enums import AgentStatus, AgentType, DecisionType, StorageStatus
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.services.execute import execute
from pylon.services.list_schedules import list_schedules
from pylon.services.perform_action import Performed
from pylon.store.database import Database
from tests.conftest import Tenants
from tests.doubles.acting import Acting, acting

DAY = timedelta(days=1)


@pytest.fixture
def here(database: Database, tenants: Tenants) -> Acting:
    """An operator with three sites and a grid of simulated signals."""
    return acting(database, tenants.a.id)


@pytest.fixture
def bare(database: Database, tenants: Tenants) -> Acting:
    """An operator with one site, where no pipeline has run: what needs no signals works all the same."""
    one = Acting(database, tenants.a.id)
    one.do("register_data_centre", dc_id="LEEDS-1", name="Leeds", region=3, pue=1.2, total_capacity_mw=20)
    return one


def refused(here: Acting, name: str, /, **given: Any) -> Mapping[str, Any]:
    """Return why it is refused; a dry run must say the same, and neither may change anything."""
    before = everything(here)
    dry = here.do(name, given, dry_run=True)
    with pytest.raises(Refused) as caught:
        here.do(name, given)
    assert dry.refusals == caught.value.refusals
    assert not dry.applied
    assert everything(here) == before
    (refusal,) = caught.value.refusals
    assert refusal["detail"] == caught.value.detail
    return refusal


def everything(here: Acting) -> dict[str, Any]:
    columns = {"operators": "id, name, email, metadata, updated_at"}
    tables = ("operators", "agents", "agent_states", "data_centres", "storage_assets", "load_limits")
    more = ("storage_dispatches", "orchestration_decisions")
    return {
        table: here.rows(f"select {columns.get(table, '*')} from public.{table} order by 1, 2, 3")
        for table in (*tables, *more)
    }


def limits(here: Acting) -> list[dict[str, Any]]:
    return here.rows("select * from public.load_limits order by created_at, id")


# ---- caps


def test_a_cap_is_a_limit_with_the_decision_that_set_it(here: Acting) -> None:
    ends_at = here.now + timedelta(hours=3)
    done = here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=4.5, ends_at=ends_at, reason="Grid alert")
    (decision,) = done.decisions
    (limit,) = limits(here)
    assert (limit["max_power_mw"], limit["starts_at"], limit["ends_at"]) == (Decimal("4.50"), here.now, ends_at)
    assert (limit["reason"], limit["decision_id"]) == ("Grid alert", decision.id)
    assert decision.decision_type is DecisionType.SCALE_DOWN
    assert "LEEDS-1 is capped at 4.50 MW" in decision.reasoning
    assert "Grid alert" in decision.reasoning
    assert decision.effect["max_power_mw"] == 4.5
    assert (decision.carbon_saved_gco2, decision.cost_saved_gbp) == (None, None), "nothing was weighed"
    assert [row["id"] for row in done.changed["LoadLimit"]] == [str(limit["id"])]


def test_a_cap_keeps_new_work_out_and_lifting_it_lets_it_in(here: Acting) -> None:
    here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=1, reason="Grid alert")
    at_leeds = {"origin": "LEEDS-1", "allowed_region_ids": [3], "deferral_window_mins": 60, "deadline": None}
    tried = here.submit("BIG", **at_leeds, dry_run=True)
    assert tried.decisions[0].constraints_evaluated["binding"] == "power_mw"
    assert tried.changed["ComputeWorkload"][0]["host_dc_id"] is None
    lifted = here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=None, reason="Calm again")
    assert lifted.decisions[0].decision_type is DecisionType.SCALE_UP
    assert limits(here)[0]["ends_at"] == here.now
    here.submit("BIG", **at_leeds)
    assert here.workload("BIG")["host_dc_id"] is not None


def test_lifting_ends_every_cap_of_the_site_also_those_ahead_and_no_other(here: Acting) -> None:
    later = here.now + 5 * DAY  # beyond what is planned
    for dc_id in ("LEEDS-1", "PERTH-1"):
        here.do("scale_data_centre", dc_id=dc_id, max_power_mw=1, reason="now")
        here.do("scale_data_centre", dc_id=dc_id, max_power_mw=0, starts_at=later, ends_at=later + DAY, reason="x")
    here.do("add_blackout_window", dc_id="LEEDS-1", starts_at=later, ends_at=later + DAY, reason="Works")
    here.now += HALF_HOUR
    done = here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=None, reason="Calm")
    assert len(done.decisions[0].effect["lifted"]) == len(done.changed["LoadLimit"]) == 2
    ended = [row for row in limits(here) if row["ends_at"] and row["ends_at"] <= max(here.now, row["starts_at"])]
    assert {row["ends_at"] for row in ended} == {here.now, later}, "one that has not begun never does"
    assert len(limits(here)) - len(ended) == 3
    assert (
        refused(here, "scale_data_centre", dc_id="LEEDS-1", max_power_mw=None, reason="x")["code"] == "cap_stands"
    )


def test_a_cap_that_is_none_or_over_is_refused(here: Acting) -> None:
    why = refused(here, "scale_data_centre", dc_id="LEEDS-1", max_power_mw=20.01, reason="x")
    assert (why["code"], why["mw"]) == ("within_capacity", 20.0)
    past = here.now - HALF_HOUR
    assert refused(here, "scale_data_centre", dc_id="LEEDS-1", max_power_mw=1, ends_at=past, reason="x")[
        "code"
    ] == ("not_past")


def test_a_site_of_somebody_else_is_none_of_mine(here: Acting, tenants: Tenants) -> None:
    tenants.b.make(DataCentre, dc_id="THEIRS")
    for name, given in {
        "scale_data_centre": {"max_power_mw": 1, "reason": "x"},
        "set_data_centre_status": {"status": "OFFLINE", "reason": "x"},
        "update_data_centre": {"name": "Mine now"},
    }.items():
        with pytest.raises(NotFound, match=r"no data centre 'THEIRS'\. Valid: LEEDS-1, PERTH-1, SLOUGH-1"):
            here.do(name, given, dc_id="THEIRS")


# ---- blackouts


def test_a_blackout_is_a_cap_of_nothing_until_it_ends_or_is_removed(here: Acting) -> None:
    starts_at, ends_at = here.now + HALF_HOUR, here.now + DAY
    done = here.do("add_blackout_window", dc_id="PERTH-1", starts_at=starts_at, ends_at=ends_at, reason="Works")
    (limit,) = limits(here)
    assert (limit["max_power_mw"], limit["decision_id"], limit["reason"]) == (0, None, "Works")
    assert done.decisions == []
    only = {"origin": "PERTH-1", "allowed_region_ids": [1], "deadline": ends_at.isoformat(), "duration_mins": 60}
    assert here.submit("J", **only, dry_run=True).changed["ComputeWorkload"][0]["host_dc_id"] is None
    removed = here.do("remove_blackout_window", limit_id=limit["id"])
    assert removed.changed["LoadLimit"][0]["id"] == str(limit["id"])
    assert limits(here)[0]["ends_at"] == starts_at
    assert here.submit("J", **only).changed["ComputeWorkload"][0]["host_dc_id"] is not None


def test_what_is_no_blackout_is_not_removed_as_one(here: Acting, tenants: Tenants) -> None:
    here.do("scale_data_centre", dc_id="LEEDS-1", max_power_mw=0, reason="x")
    cap = limits(here)[0]["id"]
    assert refused(here, "remove_blackout_window", limit_id=cap)["code"] == "is_blackout"
    theirs = tenants.b.make(LoadLimit, starts_at=here.now, ends_at=here.now + DAY, max_power_mw=0).id
    for limit_id in (theirs, here.operator_id):
        with pytest.raises(NotFound, match="no blackout window"):
            here.do("remove_blackout_window", limit_id=limit_id)
    window = {"dc_id": "LEEDS-1", "starts_at": here.now, "ends_at": here.now + HALF_HOUR, "reason": "x"}
    limit_id = here.do("add_blackout_window", window).changed["LoadLimit"][0]["id"]
    here.now += HALF_HOUR
    with pytest.raises(NotFound, match="that holds now or later"):
        here.do("remove_blackout_window", limit_id=limit_id)
    assert refused(here, "add_blackout_window", **window)["code"] == "not_past"


# ---- status


def test_a_closed_site_takes_no_work_and_the_log_says_why(here: Acting) -> None:
    done = here.do("set_data_centre_status", dc_id="SLOUGH-1", status="MAINTENANCE", reason="New transformer")
    assert done.decisions[0].decision_type is DecisionType.SCALE_DOWN
    assert done.decisions[0].reasoning == "SLOUGH-1 goes from ACTIVE to MAINTENANCE: New transformer"
    assert done.changed["DataCentre"][0]["status"] == "MAINTENANCE"
    tried = here.submit("J", allowed_region_ids=[12], dry_run=True)
    assert tried.changed["ComputeWorkload"][0]["host_dc_id"] is None
    opened = here.do("set_data_centre_status", dc_id="SLOUGH-1", status="ACTIVE", reason="Done")
    assert opened.decisions[0].decision_type is DecisionType.SCALE_UP
    assert here.submit("J", allowed_region_ids=[12]).changed["ComputeWorkload"][0]["host_dc_id"] is not None


def test_a_site_where_work_runs_goes_into_maintenance_but_not_offline(here: Acting) -> None:
    here.submit("J", allowed_region_ids=[12], deferral_window_mins=0)
    here.do("start_workload", job_id="J")
    why = refused(here, "set_data_centre_status", dc_id="SLOUGH-1", status="OFFLINE", reason="x")
    assert (why["code"], why["job_ids"]) == ("nothing_runs", ["J"])
    here.do("set_data_centre_status", dc_id="SLOUGH-1", status="MAINTENANCE", reason="x")
    assert here.workload("J")["status"] == "RUNNING"
    here.now += HALF_HOUR
    here.do("complete_workload", job_id="J")
    here.do("set_data_centre_status", dc_id="SLOUGH-1", status="OFFLINE", reason="x")
    again = refused(here, "set_data_centre_status", dc_id="SLOUGH-1", status="OFFLINE", reason="x")
    assert again["code"] == "status_differs"


# ---- storage


def battery(tenants: Tenants, **values: Any) -> StorageAsset:
    given = {"capacity_mwh": 10, "max_charge_rate_mw": 4, "max_discharge_rate_mw": 6, "efficiency_percentage": 100}
    return tenants.a.make(StorageAsset, asset_id="BAT", **{**given, "current_charge_mwh": 5, **values})


def schedule(bare: Acting, *powers_mw: float, after: int = 0) -> list[dict[str, Any]]:
    start = floor(bare.now) + HALF_HOUR
    return [{"starts_at": start + (after + n) * HALF_HOUR, "power_mw": mw} for n, mw in enumerate(powers_mw)]


def test_a_dispatch_replaces_what_was_to_be_done_from_there_on(bare: Acting, tenants: Tenants) -> None:
    asset = battery(tenants)
    first = bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 2, -4, -4, 6), reason="Test")
    (decision,) = first.decisions
    assert (decision.decision_type, decision.effect["asset_id"]) == (DecisionType.SCHEDULE_DISCHARGE, "BAT")
    assert decision.reasoning == (
        "BAT is scheduled by hand from Sun 22 Nov 09:30 UTC to Sun 22 Nov 11:30 UTC: it takes 4.0 MWh, 4 MW at "
        "most, and gives 4.0 MWh, 6 MW at most. Nothing was scheduled from then on. Price and carbon are not "
        "known for that time, so it is not valued. Reason given: Test."
    )
    (logged,) = bare.rows("select flexibility_contribution_mw, storage_asset_id from orchestration_decisions")
    assert logged == {"flexibility_contribution_mw": Decimal("6.00"), "storage_asset_id": asset.id}
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 1.2345, after=2))
    rows = bare.rows("select starts_at, power_mw, decision_id from public.storage_dispatches order by starts_at")
    assert [row["power_mw"] for row in rows] == [2, -4, Decimal("1.235")]
    assert [row["decision_id"] == decision.id for row in rows] == [True, True, False]
    assert rows[2]["starts_at"] == floor(bare.now) + 3 * HALF_HOUR


def test_what_a_dispatch_follows_on_counts(bare: Acting, tenants: Tenants) -> None:
    battery(tenants)  # 5 MWh of 10
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 6, 4, -4, -4))
    why = refused(bare, "dispatch_storage", asset_id="BAT", schedule=schedule(bare, 1, after=2))
    assert why["code"] == "state_of_charge", "the first two half hours leave nothing"
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 4, after=3))


@pytest.mark.parametrize(
    ("values", "powers_mw", "code", "column"),
    [
        ({}, (1, 6.001), "rates", 1),
        ({}, (1, -4.001), "rates", 1),
        ({}, (6, 4.1), "state_of_charge", 1),
        ({}, (-4, -4, -4), "state_of_charge", 2),
        ({"efficiency_percentage": 81}, (6, 3.5), "state_of_charge", 1),  # 5 MWh stored are 4.5 MWh given
        ({"current_charge_mwh": None}, (1,), "charge_known", None),
        ({"status": StorageStatus.OFFLINE}, (0,), "asset_available", None),
        ({"status": StorageStatus.MAINTENANCE}, (0,), "asset_available", None),
    ],
)
def test_a_dispatch_that_cannot_be_done_is_refused(
    bare: Acting,
    tenants: Tenants,
    values: dict[str, Any],
    powers_mw: tuple[float, ...],
    code: str,
    column: int | None,
) -> None:
    battery(tenants, **values)
    why = refused(bare, "dispatch_storage", asset_id="BAT", schedule=schedule(bare, *powers_mw))
    assert why["code"] == code
    if column is not None:
        assert datetime.fromisoformat(why["starts_at"]) == floor(bare.now) + (1 + column) * HALF_HOUR


def test_a_dispatch_up_to_the_very_bounds_is_possible(bare: Acting, tenants: Tenants) -> None:
    battery(tenants)
    done = bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 6, 4, -4, -4, -4, -4, -4))
    assert len(done.decisions) == 1
    late = schedule(bare, 1, after=-1)
    assert refused(bare, "dispatch_storage", asset_id="BAT", schedule=late)["code"] == "not_past"


def test_what_was_due_is_carried_out_before_the_charge_is_looked_at(bare: Acting, tenants: Tenants) -> None:
    """Nobody executes between the half hours: the battery that has just given all gives no more."""
    battery(tenants, is_simulated=True)
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 6, 4))
    bare.now = floor(bare.now) + 3 * HALF_HOUR
    wanted = [{"starts_at": bare.now, "power_mw": 1}]
    assert refused(bare, "dispatch_storage", asset_id="BAT", schedule=wanted)["code"] == "state_of_charge"
    bare.do("dispatch_storage", asset_id="BAT", schedule=[{"starts_at": bare.now, "power_mw": -1}])
    rows = bare.rows("select power_mw, stored_mwh from public.storage_dispatches order by starts_at")
    assert [tuple(row.values()) for row in rows] == [(6, 2), (4, 0), (-1, None)]


def test_a_half_hour_that_has_begun_keeps_what_it_was_given(bare: Acting, tenants: Tenants) -> None:
    battery(tenants, is_simulated=True)
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 2, 2))
    bare.now = floor(bare.now) + 2 * HALF_HOUR - timedelta(seconds=1)
    other = [{"starts_at": floor(bare.now), "power_mw": 6}]
    assert refused(bare, "dispatch_storage", asset_id="BAT", schedule=other)["code"] == "not_past"
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 6))
    rows = bare.rows("select power_mw from public.storage_dispatches order by starts_at")
    assert [row["power_mw"] for row in rows] == [2, 6]


def test_a_real_battery_gives_no_more_until_its_owner_says_what_it_holds(bare: Acting, tenants: Tenants) -> None:
    battery(tenants)
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 2, 0, 4))
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 0, 3, after=2))
    bare.now += HALF_HOUR * 2
    execute(bare.database, bare.views, bare.call)
    why = refused(bare, "dispatch_storage", asset_id="BAT", schedule=schedule(bare, 1))
    assert why["code"] == "charge_known"
    assert "report_charge" in why["detail"]
    bare.do("report_charge", asset_id="BAT", charge_mwh=3.9)
    (held,) = bare.rows("select current_charge_mwh, current_charge_percentage from public.storage_assets")
    assert tuple(held.values()) == (Decimal("3.90"), Decimal("39.00"))
    assert (
        refused(bare, "dispatch_storage", asset_id="BAT", schedule=schedule(bare, 5, 5))["code"]
        == "state_of_charge"
    )
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 5))
    done = bare.rows("select stored_mwh, executed_at from public.storage_dispatches order by starts_at limit 1")
    assert [tuple(row.values()) for row in done] == [(Decimal("3.90"), None)], "what it did stays unknown"


def test_a_charge_that_cannot_be_is_refused(bare: Acting, tenants: Tenants) -> None:
    battery(tenants)
    tenants.a.make(StorageAsset, asset_id="SIM", is_simulated=True)
    bare.do("dispatch_storage", asset_id="BAT", schedule=schedule(bare, 2))
    bare.now += 2 * HALF_HOUR
    began = bare.now
    for asset_id, charge_mwh, at, code in (
        ("SIM", 1, None, "is_real"),
        ("BAT", 10.01, None, "charge_fits"),
        ("BAT", 1, bare.now + timedelta(seconds=1), "not_ahead"),
    ):
        why = refused(bare, "report_charge", asset_id=asset_id, charge_mwh=charge_mwh, at=at)
        assert why["code"] == code
    bare.do("report_charge", asset_id="BAT", charge_mwh=4, at=began)
    late = floor(began) - timedelta(minutes=1)  # the half hour that the last report covers had not ended
    assert refused(bare, "report_charge", asset_id="BAT", charge_mwh=5, at=late)["code"] == "not_ahead"
    bare.do("report_charge", asset_id="BAT", charge_mwh=4.5, at=began)  # the same moment may be put right


def test_idle_half_hours_may_be_left_out(bare: Acting, tenants: Tenants) -> None:
    battery(tenants)
    sparse = [*schedule(bare, 6), *schedule(bare, 4, after=40)]
    bare.do("dispatch_storage", asset_id="BAT", schedule=sparse)
    assert len(bare.rows("select from public.storage_dispatches")) == 2
    (listed,) = list_schedules(bare.database, bare.operator_id, bare.now).schedules
    assert [one.power_mw for one in listed.half_hours] == [6, *[0] * 39, 4], "they are scheduled to be idle"
    assert [one.starts_at for one in listed.half_hours] == [
        floor(bare.now) + number * HALF_HOUR for number in range(1, 42)
    ]


# ---- flexibility


def offer(here: Acting, **more: Any) -> dict[str, Any]:
    window = {"starts_at": here.now + HALF_HOUR, "ends_at": here.now + timedelta(hours=2)}
    return {"mw": 12, **window, "price_gbp_mwh": 85, "dc_ids": ["LEEDS-1", "PERTH-1"], "reason": "Peak", **more}


def test_an_offer_is_a_negotiation_with_its_power_place_time_and_price(here: Acting) -> None:
    (decision,) = here.do("offer_flexibility", offer(here)).decisions
    assert decision.decision_type is DecisionType.NEGOTIATE
    assert decision.effect["offer"]["dc_ids"] == ["LEEDS-1", "PERTH-1"]
    assert decision.effect["offer"]["price_gbp_mwh"] == 85
    assert "12.00 MW can be shed at LEEDS-1, PERTH-1" in decision.reasoning
    (logged,) = here.rows("select flexibility_contribution_mw as mw from public.orchestration_decisions")
    assert logged["mw"] == 12


def test_an_offer_of_what_is_not_there_is_refused(here: Acting) -> None:
    assert refused(here, "offer_flexibility", **offer(here, mw=30.01))["code"] == "within_capacity"
    past = {"starts_at": here.now - DAY, "ends_at": here.now - HALF_HOUR}
    assert refused(here, "offer_flexibility", **offer(here, **past))["code"] == "not_past"
    here.do("set_data_centre_status", dc_id="PERTH-1", status="CONSTRAINED", reason="x")
    why = refused(here, "offer_flexibility", **offer(here))
    assert (why["code"], why["dc_ids"]) == ("site_open", ["PERTH-1"])


# ---- the register


def test_a_data_centre_is_entered_as_its_owner_says(bare: Acting) -> None:
    done = bare.do(
        "register_data_centre",
        dc_id="Glasgow 9 🏭",
        name="Glasgow",
        region=2,
        pue=1.25,
        total_capacity_mw=12.5,
        base_load_mw=2,
        gpu_count=400,
        published=True,
    )
    (row,) = bare.rows("select d.*, r.region_id as number from data_centres d join regions r on r.id = d.region_id "
                       "where d.gpu_count = 400")  # fmt: skip
    assert (row["number"], row["location_region"], row["status"]) == (2, "South Scotland", "ACTIVE")
    assert (row["pue"], row["total_capacity_mw"], row["gpu_count"]) == (Decimal("1.25"), Decimal("12.50"), 400)
    assert (row["is_simulated"], row["current_load_percentage"], row["memory_gb"]) == (False, None, None)
    assert done.changed["DataCentre"][0]["id"] == str(row["id"])


def test_what_is_there_is_not_entered_again(bare: Acting) -> None:
    site = {"dc_id": "LEEDS-1", "name": "L", "region": 3, "pue": 1.1, "total_capacity_mw": 5}
    assert refused(bare, "register_data_centre", **site)["code"] == "id_free"
    assert refused(bare, "register_data_centre", **{**site, "dc_id": "NEW", "base_load_mw": 6})["code"] == (
        "base_load_fits"
    )
    for region in (0, 15, 17, 18):
        with pytest.raises(Invalid, match="1 to 14"):
            bare.do("register_data_centre", {**site, "dc_id": "NEW", "region": region})


def test_two_operators_may_use_one_id(bare: Acting, tenants: Tenants) -> None:
    tenants.b.make(DataCentre, dc_id="SAME")
    bare.do("register_data_centre", dc_id="SAME", name="S", region=3, pue=1.1, total_capacity_mw=5)
    assert len(bare.rows("select from public.data_centres where dc_id = 'SAME'")) == 1


def test_a_change_leaves_the_rest_as_it_was(bare: Acting) -> None:
    (before,) = bare.rows("select * from public.data_centres where dc_id = 'LEEDS-1'")
    bare.now += HALF_HOUR
    done = bare.do("update_data_centre", dc_id="LEEDS-1", gpu_count=8, tariff="Night")
    (after,) = bare.rows("select * from public.data_centres where dc_id = 'LEEDS-1'")
    assert {name for name in after if after[name] != before[name]} == {"gpu_count", "tariff", "updated_at"}
    assert done.changed["DataCentre"][0]["gpu_count"] == 8
    bare.do("update_data_centre", dc_id="LEEDS-1", gpu_count=None)
    assert bare.rows("select gpu_count from public.data_centres where dc_id = 'LEEDS-1'") == [{"gpu_count": None}]
    assert refused(bare, "update_data_centre", dc_id="LEEDS-1", base_load_mw=21)["code"] == "base_load_fits"


def test_storage_is_entered_and_changed(bare: Acting) -> None:
    bare.do("register_storage_asset", asset_id="BAT", name="B", region=3, capacity_mwh=8, max_charge_rate_mw=2,
            max_discharge_rate_mw=2, current_charge_mwh=2, co_located_dc="LEEDS-1")  # fmt: skip
    (row,) = bare.rows("select * from public.storage_assets")
    assert (row["current_charge_percentage"], row["efficiency_percentage"], row["status"]) == (25, 85, "IDLE")
    (site,) = bare.rows("select id from public.data_centres where dc_id = 'LEEDS-1'")
    assert row["co_located_dc_id"] == site["id"]
    bare.do("update_storage_asset", asset_id="BAT", capacity_mwh=4, status="MAINTENANCE")
    (row,) = bare.rows("select * from public.storage_assets")
    assert (row["capacity_mwh"], row["current_charge_percentage"], row["status"]) == (4, 50, "MAINTENANCE")
    assert refused(bare, "update_storage_asset", asset_id="BAT", capacity_mwh=1.99)["code"] == "charge_fits"
    new = {"name": "B", "capacity_mwh": 8, "max_charge_rate_mw": 2, "max_discharge_rate_mw": 2}
    for code, given in {
        "id_free": {"asset_id": "BAT", "region": 3},
        "charge_fits": {"asset_id": "C", "region": 3, "current_charge_mwh": 8.01},
        "same_region": {"asset_id": "C", "region": 4, "co_located_dc": "LEEDS-1"},
    }.items():
        assert refused(bare, "register_storage_asset", **new, **given)["code"] == code


def test_an_agent_is_entered_with_its_whole_configuration(bare: Acting) -> None:
    given = {"agent_id": "A-1", "name": "Placer", "agent_type": "COMPUTE_ORCHESTRATOR"}
    done = bare.do("register_agent", given, config={"carbon_price_gbp_t": 250})
    (agent,) = bare.rows("select * from public.agents")
    assert agent["config"]["carbon_price_gbp_t"] == 250
    assert len(agent["config"]) > 1, "what was not said has its default there to be seen"
    (state,) = bare.rows("select * from public.agent_states")
    assert (state["agent_id"], state["status"], state["triggered_by"]) == (agent["id"], "IDLE", "register_agent")
    assert set(done.changed) == {"Agent", "AgentState"}
    assert refused(bare, "register_agent", **given)["code"] == "id_free"
    with pytest.raises(Invalid, match="carbon_prize"):
        bare.do("register_agent", {**given, "agent_id": "A-2"}, config={"carbon_prize": 1})
    with pytest.raises(Invalid, match="carbon_price_gbp_t"):
        bare.do("update_agent", agent_id="A-1", config={"carbon_price_gbp_t": -1})


def test_an_agent_is_switched_off_and_on_and_each_change_is_a_state(bare: Acting) -> None:
    bare.do("register_agent", agent_id="A-1", name="Placer", agent_type="COMPUTE_ORCHESTRATOR")
    for status in ("OFFLINE", "OFFLINE", "IDLE"):
        bare.now += HALF_HOUR
        bare.do("update_agent", agent_id="A-1", status=status)
    states = bare.rows("select status, triggered_by from public.agent_states order by recorded_at")
    assert [state["status"] for state in states] == ["IDLE", "OFFLINE", "IDLE"]


def test_an_agent_at_work_is_left_to_finish(bare: Acting, tenants: Tenants) -> None:
    tenants.a.make(Agent, agent_id="A-1", agent_type=AgentType.COMPUTE_ORCHESTRATOR, status=AgentStatus.EXECUTING)
    assert refused(bare, "update_agent", agent_id="A-1", status="OFFLINE")["code"] == "at_rest"
    bare.do("update_agent", agent_id="A-1", name="Other")
    assert bare.rows("select status, name from public.agents") == [{"status": "EXECUTING", "name": "Other"}]


def test_an_operator_changes_itself_alone(bare: Acting, tenants: Tenants) -> None:
    done: Performed = bare.do("update_operator", name="Acme", metadata={"a": [1, None], "b": 1e15})
    assert done.changed["Operator"][0]["name"] == "Acme"
    assert "api_key_hash" not in done.changed["Operator"][0]
    (row,) = bare.rows("select name, metadata from public.operators")
    assert (row["name"], row["metadata"]) == ("Acme", {"a": [1, None], "b": 10**15})
    bare.do("update_operator", email="a@example.org")
    theirs = Acting(bare.database, tenants.b.id)
    with pytest.raises(Conflict, match="email"):
        theirs.do("update_operator", email="a@example.org")
    assert theirs.rows("select email from public.operators") == [{"email": None}]


def test_another_operator_is_entered_once_and_acts_for_itself(bare: Acting) -> None:
    given = {"name": "Acme", "operator_type": "AGGREGATOR", "email": "a@example.org", "metadata": {"a": 1}}
    tried = bare.do("register_operator", given, key="k", dry_run=True)
    done = bare.do("register_operator", given, key="k")
    (entered,) = done.changed["Operator"]
    assert tried.changed["Operator"][0]["id"] == entered["id"] != str(bare.operator_id)
    again = bare.do("register_operator", given, key="k")
    assert (again.replayed, again.changed) == (True, done.changed)
    with pytest.raises(Conflict, match="other parameters"):
        bare.do("register_operator", {**given, "name": "Acme 2"}, key="k")
    with pytest.raises(Conflict, match="email"):
        bare.do("register_operator", given)
    other = Acting(bare.database, UUID(entered["id"]))
    other.do("register_data_centre", dc_id="THEIRS", name="T", region=1, pue=1, total_capacity_mw=1)
    assert other.rows("select name, email from public.operators") == [{"name": "Acme", "email": "a@example.org"}]
    assert bare.rows("select dc_id from public.data_centres") == [{"dc_id": "LEEDS-1"}]
    assert bare.rows("select name from public.operators") == [{"name": "Operator A"}]


def test_the_secret_of_an_operator_survives_a_change(bare: Acting, superuser: Any) -> None:
    bare.do("update_operator", name="Acme")
    with superuser() as connection:
        (kept,) = connection.execute("select api_key_hash from operators where name = 'Acme'").fetchone()
    assert kept == "hash of A"
