"""The services on a real database: what each says of a state that was made to be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from pylon.errors import Invalid, NotFound
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import CarbonIndex
from pylon.services import ingest, operators, synthesise
from pylon.services.live_state import live_state, snapshot
from pylon.services.market_catalog import market_catalog
from pylon.services.regional import regional
from pylon.services.status import FRESH_FOR, readiness, status
from pylon.sources.carbon_intensity import DATA_SOURCE, Factors, National, Regional
from pylon.sources.feed import SIMULATED
from tests.acceptance.support import World, new_world
from tests.doubles.answers import server_error
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster


@pytest.fixture
def world(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    with new_world(cluster, template, "services", api, grid="real", synthetic="off") as made:
        yield made


# Operators


def test_the_local_operator_is_the_same_in_every_database_and_made_once(world):
    assert world.operator_id == operators.LOCAL_OPERATOR_ID
    for _ in range(2):
        assert operators.acting(world.database, None, now=world.now) == operators.LOCAL_OPERATOR_ID
    assert operators.acting(world.database, str(world.operator_id), now=world.now) == world.operator_id
    assert world.scalar("select count(*) from operators") == 1


def test_an_operator_that_is_no_id_or_not_there_is_refused(world):
    with pytest.raises(Invalid, match="PYLON_OPERATOR='someone' is not an operator's id"):
        operators.acting(world.database, "someone", now=world.now)
    with pytest.raises(NotFound, match=str(UUID(int=1))):
        operators.acting(world.database, str(UUID(int=1)), now=world.now)


def test_no_operator_shows_its_secrets(world):
    world.execute("update operators set api_key_hash = 'hashed'")
    with world.database.as_reader(world.operator_id) as transaction:
        assert "hashed" not in repr(operators.operator_of(transaction, world.operator_id))
    assert "hashed" not in repr(live_state(world.database, world.operator_id, world.now))


# Status and readiness


def test_readiness_is_of_the_last_run_that_stored_anything(world, api):
    before = readiness(world.database, world.operator_id, world.now)
    assert (before.ready, before.data_age_s, before.stale) == (False, None, False)
    world.run(sources=[National()])
    fresh = readiness(world.database, world.operator_id, world.now)
    assert (fresh.ready, fresh.data_age_s, fresh.stale) == (True, 0, False)
    api.answer(server_error(), times=None)
    api.clock.advance(FRESH_FOR)
    world.run(sources=[National()])  # it fails
    aged = readiness(world.database, world.operator_id, world.now)
    assert (aged.ready, aged.data_age_s, aged.stale) == (True, FRESH_FOR.total_seconds(), False)
    api.clock.advance(timedelta(seconds=1))
    assert readiness(world.database, world.operator_id, world.now).stale


def test_status_shows_the_latest_runs_newest_first(world, api):
    made = []
    for _ in range(3):
        made.append(world.run(sources=[Factors()]).run_id)
        api.clock.advance(timedelta(minutes=1))
    state = status(world.database, world.operator_id, world.now, runs=2)
    assert [run.run_id for run in state.runs] == [made[2], made[1]]
    assert [(held.object_type, held.rows, held.source) for held in state.stock] == [
        ("CarbonFactor", 14, DATA_SOURCE)
    ]


# Regions


def test_a_region_without_a_value_says_so_and_is_not_zero(world):
    """Null is not 0, which is a legal value of a region."""
    world.run(sources=[Regional()])
    london = world.scalar("select id from regions where region_id = 13")
    world.execute(
        "delete from regional_grid_signals where region_id = %s and timestamp < %s",
        london,
        floor(world.now) + HALF_HOUR,
    )
    regions = {region.region_id: region for region in regional(world.database, world.now).regions}
    assert regions[13].carbon_intensity is None
    assert (regions[13].carbon_index, regions[13].generation_mix, regions[13].data_source) == (None, {}, None)
    assert regions[13].forecast[0] is None
    assert None not in regions[13].forecast[1:]
    assert (regions[1].carbon_intensity, regions[1].carbon_index) == (0, CarbonIndex.VERY_LOW)


def test_each_half_hour_ahead_says_where_it_is_from_and_a_region_where_its_present_value_is(world):
    world.run(sources=[Regional()])
    assert not regional(world.database, world.now).contains_simulated
    world.execute(
        "update regional_grid_signals set data_source = 'simulated' where timestamp = %s "
        "and region_id = (select id from regions where region_id = 5)",
        floor(world.now) + 95 * HALF_HOUR,
    )
    state = regional(world.database, world.now)
    assert state.contains_simulated
    assert not any(region.is_simulated for region in state.regions)
    (fifth,) = (region for region in state.regions if region.region_id == 5)
    assert fifth.forecast_data_source[95] == "simulated"
    assert "simulated" not in fifth.forecast_data_source[:95]


# Live state


def test_the_snapshot_stays_while_nothing_is_written(world):
    first = snapshot(world.database)
    live_state(world.database, world.operator_id, world.now)
    assert snapshot(world.database) == first
    world.execute("update operators set name = 'Another name'")
    assert snapshot(world.database) != first


def test_workloads_that_have_ended_are_not_part_of_the_live_state(world):
    world = world.with_settings(synthetic="on")
    world.run(sources=[Factors()])
    jobs = world.select("select id from compute_workloads order by id")
    ended = {}
    for job, final in zip(jobs, ("COMPLETED", "FAILED", "CANCELLED"), strict=False):
        world.execute("update compute_workloads set status = %s::workload_status where id = %s", final, job["id"])
        ended[job["id"]] = final
    state = live_state(world.database, world.operator_id, world.now)
    shown = {row["id"] for row in state["objects"]["ComputeWorkload"]}
    assert shown == {job["id"] for job in jobs} - ended.keys()
    (stock,) = [held for held in state["stock"] if held["object_type"] == "ComputeWorkload"]
    assert stock["rows"] == len(shown)


def test_with_real_data_alone_there_is_no_notice(world):
    world.run(sources=[National(), Factors()])
    state = live_state(world.database, world.operator_id, world.now)
    assert (state["contains_simulated"], state["simulated"], state["notice"]) == (False, [], None)


# The simulated fleet


def test_the_workloads_of_each_half_hour_arrive_once(world, api):
    world = world.with_settings(synthetic="on")
    arrived = world.run(sources=[Factors()]).synthetic.workloads_arrived
    assert synthesise.arrive(world.database, world.operator_id, seed=2025, now=world.now) == 0
    api.clock.advance(timedelta(hours=3))
    later = synthesise.arrive(world.database, world.operator_id, seed=2025, now=world.now)
    assert later > 0
    assert world.scalar("select count(*) from compute_workloads") == arrived + later
    newest = world.scalar("select max(created_at) from compute_workloads")
    assert floor(world.now) - timedelta(hours=3) <= newest < floor(world.now)


def test_the_same_seed_gives_the_same_fleet_after_a_purge(world):
    world = world.with_settings(synthetic="on")
    world.run(sources=[Factors()])
    query = "select id, dc_id, name, total_capacity_mw, pue from data_centres order by id"
    before = world.select(query)
    synthesise.purge(world.database, world.operator_id)
    assert world.select(query) == []
    world.run(sources=[Factors()])
    assert world.select(query) == before


def test_an_operator_with_a_site_of_its_own_gets_no_simulated_fleet(world):
    world.execute(
        "insert into data_centres (id, dc_id, name, operator_id, region_id, pue, total_capacity_mw) "
        "select %s, 'REAL-1', 'A real site', %s, id, 1.2, 5 from regions where region_id = 13",
        UUID(int=7),
        world.operator_id,
    )
    assert synthesise.ensure_fleet(world.database, world.operator_id, seed=1) == {}
    assert synthesise.arrive(world.database, world.operator_id, seed=1, now=world.now) == 0


# The market catalog


@pytest.fixture
def site(world: World) -> dict[str, Any]:
    """A published site of 10 MW with 4 MW of base load, in London, on a grid with a real forecast."""
    world.run(sources=[National(), Regional()])
    values = {"id": UUID(int=9), "pue": 1.5, "total_capacity_mw": 10, "base_load_mw": 4, "gpu_count": 600}
    world.execute(
        "insert into data_centres (id, dc_id, name, operator_id, region_id, pue, total_capacity_mw, base_load_mw, "
        "gpu_count, published) select %s, 'L-1', 'Site', %s, id, %s, %s, %s, %s, true from regions "
        "where region_id = 13",
        values["id"],
        world.operator_id,
        *[values[name] for name in ("pue", "total_capacity_mw", "base_load_mw", "gpu_count")],
    )
    return values


def place(world: World, number: int, **values: Any) -> None:
    row = {
        "id": UUID(int=100 + number),
        "job_id": f"J-{number}",
        "operator_id": world.operator_id,
        "workload_type": "OTHER",
        "host_dc_id": UUID(int=9),
        "duration_mins": 60,
        "power_kw": 1000,
        "status": "QUEUED",
        "scheduled_start": floor(world.now) + HALF_HOUR,
        **values,
    }
    world.execute(
        f"insert into compute_workloads ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})", *row.values()
    )


def spare(world: World) -> list[float]:
    """The spare power of the first two offers of one hour."""
    catalog = market_catalog(world.database, world.now, ahead=timedelta(hours=3), window=timedelta(hours=1))
    return [offer.offer_attributes.spare_capacity_mw for one in catalog.catalogs for offer in one.offers][:2]


def test_what_is_offered_is_capacity_less_base_load_less_what_is_placed(world, site):
    assert spare(world) == [6, 6]
    place(world, 1)
    assert spare(world) == [4.5, 6]  # 1 MW of IT power draws 1.5 MW at this PUE
    place(world, 2, scheduled_start=floor(world.now) + 2 * HALF_HOUR, duration_mins=31)
    assert spare(world) == [3, 4.5]  # it begins in the first window and reaches into the second
    place(world, 3, status="COMPLETED")
    place(world, 4, status="PENDING")
    place(world, 5, scheduled_start=None)
    assert spare(world) == [3, 4.5]  # what has ended or has no time yet takes nothing
    place(world, 6, power_kw=4000)
    assert spare(world) == [4.5, 6]  # a window without room is not offered at all: these are the second and third


def test_the_gpus_on_offer_are_those_the_spare_power_can_feed(world, site):
    place(world, 1, power_kw=2000)
    catalog = market_catalog(world.database, world.now, ahead=timedelta(hours=3), window=timedelta(hours=1))
    first, second, *_ = (offer.offer_attributes for one in catalog.catalogs for offer in one.offers)
    assert second.gpu_minutes == 600 * 60
    assert first.gpu_minutes == 600 * 60 / 2  # 3 of 6 MW are left


def test_an_offer_on_real_data_of_a_real_site_says_nothing_is_simulated(world, site):
    catalog = market_catalog(world.database, world.now)
    assert not catalog.contains_simulated
    for offer in catalog.catalogs[0].offers:
        assert offer.offer_attributes.simulated == []
        assert offer.offer_attributes.price_per_kwh_gbp is None  # no source gives one, so no figure is made up
        assert offer.offer_attributes.carbon_intensity_gco2_per_kwh is not None


def test_a_window_with_a_gap_has_no_mean(world, site):
    world.execute("delete from regional_grid_signals where timestamp = %s", floor(world.now) + 3 * HALF_HOUR)
    catalog = market_catalog(world.database, world.now, ahead=timedelta(hours=3), window=timedelta(hours=1))
    means = [o.offer_attributes.carbon_intensity_gco2_per_kwh for o in catalog.catalogs[0].offers]
    assert [mean is None for mean in means] == [False, True, False]


def test_a_figure_that_rests_on_simulated_data_is_named(world, site):
    world.execute(
        "update regional_grid_signals set data_source = %s where timestamp = %s",
        SIMULATED,
        floor(world.now) + 3 * HALF_HOUR,
    )
    catalog = market_catalog(world.database, world.now, ahead=timedelta(hours=3), window=timedelta(hours=1))
    named = [offer.offer_attributes.simulated for offer in catalog.catalogs[0].offers]
    assert named == [[], ["carbonIntensityGco2PerKwh"], []]
    assert catalog.contains_simulated


def test_work_at_a_site_that_is_not_open_is_nobodys_trouble(world, site):
    place(world, 1)
    world.execute("update data_centres set status = 'MAINTENANCE'")
    assert market_catalog(world.database, world.now).catalogs == []


def test_a_job_that_runs_holds_its_room_without_a_schedule_and_past_its_time(world, site):
    place(world, 1, status="RUNNING", scheduled_start=None, started_at=world.now, duration_mins=240)
    assert spare(world) == [4.5, 4.5]
    world.execute(
        "update compute_workloads set started_at = %s, duration_mins = 5", floor(world.now) - 9 * HALF_HOUR
    )
    assert spare(world) == [4.5, 6]


# The present carbon of a site


def present_carbon(world: World) -> tuple[Any, Any]:
    (row,) = world.select("select current_carbon_intensity, current_carbon_source from data_centres")
    return row["current_carbon_intensity"], row["current_carbon_source"]


def test_a_site_shows_its_regions_present_carbon_and_where_that_is_from(world, site):
    world.run(sources=[Regional()])
    forecast, source = present_carbon(world)
    assert forecast is not None
    assert source == "carbon_intensity_api"


def test_a_site_shows_no_carbon_once_no_signal_is_stored_for_the_half_hour(world, site):
    world.run(sources=[Regional()])
    with world.database.as_ingest() as transaction:
        ingest.refresh_centres(transaction, world.now + timedelta(days=5))
    assert present_carbon(world) == (None, None)
