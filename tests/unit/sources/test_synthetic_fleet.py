from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from pylon.errors import Invalid
from pylon.ontology.agency import Agent
from pylon.ontology.enums import AgentType, OperatorType
from pylon.ontology.fleet import DataCentre, Operator, StorageAsset
from pylon.ontology.regions import REGIONS
from pylon.sources._places import BATTERY_TOWNS, CAPACITY_WEIGHT, TOWNS
from pylon.sources.synthetic_fleet import Fleet, generate

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
REGION_IDS = {region.region_id: region.id for region in REGIONS}
REGION_NUMBER = {region.id: region.region_id for region in REGIONS}
HOME = Operator(
    id=UUID("01a19467-e800-7000-8000-000000000001"),
    name="Home",
    operator_type=OperatorType.COMPUTE_OPERATOR,
    created_at=AT - timedelta(days=3),
    updated_at=AT,
)


def make(seed: int = 2025, at: datetime = AT, home: Operator = HOME) -> Fleet:
    return generate(seed=seed, at=at, home_operator=home, region_ids=REGION_IDS)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return make()


def at_home(fleet: Fleet) -> list[DataCentre]:
    return [site for site in fleet.data_centres if site.operator_id == HOME.id]


def everything(fleet: Fleet) -> list[Operator | DataCentre | StorageAsset | Agent]:
    return [*fleet.operators, *fleet.data_centres, *fleet.storage_assets, *fleet.agents]


def test_the_same_seed_gives_the_same_fleet(fleet):
    assert make() == fleet
    assert make(seed=1) != fleet


def test_generating_again_later_makes_the_same_objects(fleet):
    later = make(at=AT + timedelta(days=30))
    assert [thing.id for thing in everything(later)] == [thing.id for thing in everything(fleet)]
    assert [site.total_capacity_mw for site in later.data_centres] == [
        site.total_capacity_mw for site in fleet.data_centres
    ]


def test_two_home_operators_share_no_object_and_no_address(fleet):
    other = make(home=HOME.model_copy(update={"id": UUID(int=9)}))
    assert not {thing.id for thing in everything(other)} & {thing.id for thing in everything(fleet)}
    assert not {one.email for one in other.operators} & {one.email for one in fleet.operators}


def test_everything_says_that_it_is_simulated(fleet):
    for thing in everything(fleet):
        assert thing.is_simulated
        assert "(simulated)" in thing.name
        assert thing.created_at == thing.updated_at == AT


def test_everything_validates_as_its_object_type(fleet):
    for thing in everything(fleet):
        assert type(thing).model_validate(thing.model_dump()) == thing
    assert len({thing.id for thing in everything(fleet)}) == len(everything(fleet))


def test_external_ids_say_that_they_are_simulated_and_are_unique_per_operator(fleet):
    for of in (
        [(site.operator_id, site.dc_id) for site in fleet.data_centres],
        [(asset.operator_id, asset.asset_id) for asset in fleet.storage_assets],
        [(agent.operator_id, agent.agent_id) for agent in fleet.agents],
    ):
        assert len(set(of)) == len(of)
        assert {name[:4] for _, name in of} == {"SIM-"}


def test_the_home_operator_gets_its_fleet_and_is_not_made_again(fleet):
    assert HOME.id not in {operator.id for operator in fleet.operators}
    sites = at_home(fleet)
    assert len(sites) == 14
    assert len({site.region_id for site in sites}) >= 8
    assert sum(site.published for site in sites) == 7
    batteries = [asset for asset in fleet.storage_assets if asset.operator_id == HOME.id]
    assert len(batteries) == 5
    assert 1 <= sum(asset.co_located_dc_id is not None for asset in batteries) < 5
    assert Counter(agent.agent_type for agent in fleet.agents if agent.operator_id == HOME.id) == Counter(AgentType)


def test_three_neighbours_make_a_market(fleet):
    compute, storage, aggregator = fleet.operators
    assert [operator.operator_type for operator in fleet.operators] == [
        OperatorType.COMPUTE_OPERATOR,
        OperatorType.STORAGE_OPERATOR,
        OperatorType.AGGREGATOR,
    ]
    sites = [site for site in fleet.data_centres if site.operator_id == compute.id]
    assert len(sites) == 6
    assert all(site.published for site in sites)
    owners = Counter(asset.operator_id for asset in fleet.storage_assets)
    assert (owners[compute.id], owners[storage.id], owners[aggregator.id]) == (1, 4, 0)
    for operator in fleet.operators:
        assert 1 <= sum(agent.operator_id == operator.id for agent in fleet.agents) <= 2
        assert operator.email is not None
        assert operator.email.endswith("@example.org")
        assert operator.api_key_hash is None


@pytest.mark.parametrize("seed", range(4))
def test_sites_are_believable(seed):
    fleet = make(seed)
    for site in fleet.data_centres:
        assert Decimal("1.1") <= site.pue <= Decimal("1.6")
        assert 10 <= site.total_capacity_mw <= 60
        assert site.current_load_percentage is not None
        assert 35 <= site.current_load_percentage <= 60
        assert site.min_load_percentage <= site.current_load_percentage
        floor_mw = site.total_capacity_mw * site.min_load_percentage / 100
        assert abs(site.base_load_mw - floor_mw) < Decimal("0.02")
        flexible = 1 - site.min_load_percentage / site.current_load_percentage
        assert abs(flexible - site.flexibility_rating) < Decimal("0.01")
        assert 0 <= site.flexibility_rating <= Decimal("0.40")
        assert site.ramp_rate_mw_per_min is not None
        assert Decimal("0.5") <= site.ramp_rate_mw_per_min <= 5
        assert site.gpu_count is not None
        it_kw = float(1000 * site.total_capacity_mw / site.pue)
        assert 0 < site.gpu_count * 1.3 < it_kw
        for count in (site.cpu_cores, site.memory_gb, site.total_capacity_teraflops):
            assert count is not None
            assert 0 < count < 2**31
    capacity = Counter[int]()
    for site in at_home(fleet):
        capacity[REGION_NUMBER[site.region_id]] += float(site.total_capacity_mw)
    total = sum(capacity.values())
    assert 0.70 <= sum(capacity[region_id] for region_id in (10, 12, 13, 14)) / total <= 0.85
    assert max(capacity, key=lambda region_id: capacity[region_id]) == 12


def test_every_site_stands_in_its_town_and_region(fleet):
    by_name = {town.name: town for town in TOWNS}
    names = {region.region_id: region.short_name for region in REGIONS}
    for site in fleet.data_centres:
        place = site.name.removesuffix(" 1 (simulated)")
        town = by_name[place if site.operator_id == HOME.id else place.split(maxsplit=1)[1]]
        assert site.postcode == town.outward
        assert REGION_NUMBER[site.region_id] == town.region_id
        assert site.location_region == names[town.region_id]


def test_batteries_are_believable(fleet):
    sites = {site.id: site for site in fleet.data_centres}
    for asset in fleet.storage_assets:
        assert asset.capacity_mwh >= asset.max_discharge_rate_mw * Decimal("0.9")
        assert 80 <= asset.efficiency_percentage <= 92
        assert asset.current_charge_mwh is not None
        assert 0 < asset.current_charge_mwh < asset.capacity_mwh
        assert 3 <= asset.wear_gbp_mwh <= 8
        if asset.co_located_dc_id is not None:
            site = sites[asset.co_located_dc_id]
            assert (site.operator_id, site.region_id) == (asset.operator_id, asset.region_id)
            assert asset.max_charge_rate_mw < site.total_capacity_mw


def test_an_agents_weights_are_left_to_its_program(fleet):
    assert {agent.agent_id: agent.config for agent in fleet.agents if agent.config} == {}


def test_the_region_trap():
    region = {town.name: town.region_id for town in TOWNS}
    assert {region[name] for name in ("Slough", "Hayes", "Southall", "Hounslow")} == {12}
    assert region["Docklands"] == 13
    assert {region[name] for name in ("Waltham Cross", "Cambridge")} == {10}
    assert {region[name] for name in ("Cardiff", "Newport")} == {7}
    assert (region["Manchester"], region["Blyth"], region["Hull"]) == (3, 4, 5)
    assert {region[name] for name in ("Edinburgh", "Glasgow")} == {2}


def test_the_tables_of_places_are_sane():
    assert sum(CAPACITY_WEIGHT.values()) == 100
    assert 75 <= sum(CAPACITY_WEIGHT[region_id] for region_id in (10, 12, 13, 14)) <= 80
    assert {town.region_id for town in TOWNS} == set(CAPACITY_WEIGHT)
    for towns in (TOWNS, BATTERY_TOWNS):
        assert len({town.name for town in towns}) == len(towns)
        assert all(1 <= town.region_id <= 14 and town.outward.isalnum() for town in towns)


def test_a_missing_region_is_named():
    with pytest.raises(Invalid, match=r"lacks the regions \[7\]"):
        generate(
            seed=1,
            at=AT,
            home_operator=HOME,
            region_ids={number: id_ for number, id_ in REGION_IDS.items() if number != 7},
        )


def test_faker_draws_from_an_instance_of_its_own(fleet):
    from faker import Faker

    Faker.seed(5)
    make(seed=1)
    Faker.seed(6)
    assert make() == fleet
