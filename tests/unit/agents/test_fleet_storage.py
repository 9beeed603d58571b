"""Storage in a plan of the fleet: taken out of its site's room, planned with the work, told by half hours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from pylon.agents import _fleet_storage as storage
from pylon.agents import fleet_plan
from pylon.agents._fleet_unmoved import unmoved_of
from pylon.agents.carbon_optimizer import Optimizing
from pylon.agents.contract import Scheduled, View
from pylon.agents.storage_agent import StorageConfig
from pylon.ontology.canonical import canonical_bytes
from pylon.ontology.enums import StorageStatus
from pylon.planning import joint
from tests.doubles import views

A, B = views.site("A", 12), views.site("B", 5)
BATTERY = views.asset("BAT", 12, co_located_dc_id=A.id)
WEIGHTS = {"carbon_price_gbp_t": 100.0, "stress_price_gbp_mwh": 20.0}
CONFIG = Optimizing()
PRICE = [100.0] * 8 + [20.0] * 4 + [100.0]


def half_hour(number: int) -> datetime:
    return views.view(A).half_hour(number)


def with_battery(
    *powers: float, asset: Any = BATTERY, by_hand: int = 0, workloads: Sequence[Any] = (), **values: Any
) -> View:
    """Return A and B with a battery at A that is to give so many MW from the present half hour on.

    The first `by_hand` of them a client has set.
    """
    scheduled = tuple(
        Scheduled(starts_at=half_hour(number), power_mw=mw, is_by_hand=number < by_hand)
        for number, mw in enumerate(powers)
    )
    view = views.view(
        A, B, price=PRICE, assets=[asset], schedules={asset.id: scheduled}, workloads=workloads, **values
    )
    beside = np.zeros(view.field.room[0].shape)
    beside[view.site(A.id), : len(powers)] = powers
    view.field.room[0] += beside
    return replace(view, beside_mw=beside)


def room_at_a(view: View) -> tuple[list[float], list[dict[str, Any]]]:
    room = view.field.room[0].copy()
    seen = storage.set_aside(view, room, StorageConfig(**WEIGHTS))
    return room[view.site(A.id)].tolist()[:6], seen


def test_the_room_is_without_what_the_plan_is_to_decide_and_with_what_has_begun():
    room, (seen,) = room_at_a(with_battery(3.0, -4.0, 2.0))
    assert room == [13, 10, 10, 10, 10, 10]
    assert (seen["first_slot"], seen["seen"]["asset"]["asset_id"]) == (1, "BAT")


def test_what_a_client_has_set_stays():
    room, (seen,) = room_at_a(with_battery(3.0, -4.0, 2.0, by_hand=2))
    assert room == [13, 6, 10, 10, 10, 10]
    assert seen["first_slot"] == 2


def test_of_an_asset_whose_charge_is_not_known_all_stays():
    unknown = BATTERY.model_copy(update={"current_charge_mwh": None})
    assert room_at_a(with_battery(3.0, -4.0, 2.0, asset=unknown)) == ([13, 6, 12, 10, 10, 10], [])


def test_an_asset_out_of_use_or_elsewhere_has_no_part_in_it():
    resting = BATTERY.model_copy(update={"status": StorageStatus.MAINTENANCE})
    alone = views.asset("BAT", 12)
    for asset in (resting, alone):
        view = views.view(A, B, price=PRICE, assets=[asset])
        assert room_at_a(view) == ([10.0] * 6, [])


def test_stores_idle_outside_their_own_half_hours():
    document = fleet_plan.describe(with_battery(), CONFIG)
    (store,) = storage.stores_of(document)
    assert (store.hours[0], set(store.hours[1:])) == (0, {0.5})
    assert np.isnan(store.field_gbp_mwh[0])
    assert store.field_gbp_mwh[8] == pytest.approx(20 + 0.1 * 100)
    assert store.site == document["storage"][0]["site"]


def test_storage_is_planned_as_its_own_agent_is_told_to_at_the_weights_of_the_plan():
    config = StorageConfig(
        min_charge_percentage=30, max_charge_percentage=60, horizon_hours=12, carbon_price_gbp_t=7
    )
    (seen,) = fleet_plan.describe(with_battery(), CONFIG, config)["storage"]
    assert len(seen["seen"]["stress"]) == 24
    told = seen["seen"]["config"]
    assert (told["min_charge_percentage"], told["max_charge_percentage"]) == (30, 60)
    assert told["carbon_price_gbp_t"] == CONFIG.carbon_price_gbp_t


def test_a_battery_that_stands_charged_earns_nothing_by_an_end_that_is_not_its_own():
    """What its schedule gives away of a full battery is no gain: it must hold as much at the end as at first."""
    full = BATTERY.model_copy(update={"current_charge_mwh": BATTERY.capacity_mwh * 9 / 10})
    held = [views.workload(f"j{n}", duration_mins=120, power_kw=2000, origin_dc_id=A.id) for n in range(4)]
    bookings = {one.job_id: views.booking(A, half_hour(2 + 4 * n), 120) for n, one in enumerate(held)}
    view = with_battery(0.0, *[6.0] * 4, asset=full, workloads=held, bookings=bookings)
    document = fleet_plan.describe(view, CONFIG)
    problem, stores, outcome = (
        fleet_plan.problem_of(document),
        storage.stores_of(document),
        fleet_plan.work_out(document),
    )
    for beside in (outcome, outcome["standing"], outcome["greedy"]):
        assert beside["cost_gbp"] >= outcome["bound_gbp"] - 1e-6
    assert joint.check(problem, stores, unmoved_of(problem, stores)) == ()
    (done,), (store,) = outcome["storage"], stores
    moved = [-mw * 0.5 * store.battery.efficiency ** (0.5 if mw < 0 else -0.5) for mw in done["power_mw"]]
    assert sum(moved) >= -0.01


def test_a_job_too_large_for_its_site_alone_runs_when_the_battery_gives():
    """12 MW at a site of 10 MW, in the one window that it has."""
    large = views.workload("large", power_kw=12_000, duration_mins=60, deferral_window_mins=300, origin_dc_id=A.id)
    without = fleet_plan.work_out(fleet_plan.describe(views.view(A, price=PRICE, workloads=[large]), CONFIG))
    assert [one["job_id"] for one in without["rejected"]] == ["large"]
    view = with_battery(workloads=[large])
    document = fleet_plan.describe(view, CONFIG)
    outcome = fleet_plan.work_out(document)
    (place,), (done,) = outcome["places"], outcome["storage"]
    begins = (datetime.fromisoformat(place["spans"][0]["starts_at"]) - view.starts_at).total_seconds() / 1800
    first = round(begins) - document["storage"][0]["first_slot"]
    assert min(done["power_mw"][first : first + 2]) >= 2


def test_work_and_charging_share_the_room_and_the_sums_add_up():
    """In the cheap hours both want the room; together they take no more than there is."""
    held = [views.workload(f"j{n}", duration_mins=120, power_kw=2000, origin_dc_id=A.id) for n in range(4)]
    document = fleet_plan.describe(with_battery(workloads=held, asset=BATTERY), CONFIG)
    kept = json.loads(canonical_bytes(document))
    outcome = fleet_plan.work_out(kept)
    assert canonical_bytes(outcome) == canonical_bytes(fleet_plan.work_out(document))
    (done,) = outcome["storage"]
    assert min(done["power_mw"]) < 0 < max(done["power_mw"])
    problem = fleet_plan.problem_of(kept)
    together = joint.plan_together(problem, storage.stores_of(kept))
    net = joint.load_of(problem, together.plan.places)
    net[kept["storage"][0]["site"]] -= together.dispatches[0].power_mw
    assert (net <= problem.sites.room_mw + 1e-6).all()
    assert outcome["cost"]["storage_gbp"] == pytest.approx(-done["value_gbp"], abs=1e-5)
    assert outcome["cost_gbp"] == pytest.approx(sum(outcome["cost"].values()), abs=1e-4)
    assert outcome["bound_gbp"] <= outcome["cost_gbp"] <= outcome["standing"]["cost_gbp"]
