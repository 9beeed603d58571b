"""A fleet, simulated: data centres in real towns, batteries, agents, and neighbours that make a market."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from pylon.errors import Invalid
from pylon.ontology.agency import Agent
from pylon.ontology.enums import AgentType, OperatorType
from pylon.ontology.fleet import DataCentre, Operator, StorageAsset
from pylon.ontology.identity import derived_uuid
from pylon.ontology.regions import REGIONS
from pylon.sources import _hardware as hardware
from pylon.sources._places import BATTERY_TOWNS, CAPACITY_WEIGHT, TOWNS, Town

__all__ = ["Fleet", "generate"]

# How many sites of an operator stand in which region. The counts are fixed, so that every seed has both clean and
# dirty regions to choose from; capacity follows CAPACITY_WEIGHT as far as campuses of 10 to 60 MW allow.
_HOME_SITES: Final[Mapping[int, int]] = {12: 3, 13: 2, 10: 2, 14: 1, 3: 1, 7: 1, 8: 1, 5: 1, 4: 1, 2: 1}
_NEIGHBOUR_SITES: Final[Mapping[int, int]] = {12: 2, 13: 1, 3: 1, 9: 1, 2: 1}
_MEAN_CAMPUS_MW = 30.0
_PREFIX = "SIM-"  # no id that an operator gives a site of its own in such a town; draws and UUIDs go by the rest
_SMALLEST_CAMPUS_MW, _LARGEST_CAMPUS_MW = 10.0, 60.0
_REGION_NAME: Final = {region.region_id: region.short_name for region in REGIONS}


class _Kind(NamedTuple):
    """What a data centre is for. Ranges of the share of its load that can move, and the shares of its IT power."""

    name: str
    flexible: tuple[float, float]
    gpu_share: float
    cpu_share: float


# Flexible shares are an assumption; public trials moved 25 to 40 % of GPU load (Phoenix 2025, London 2025).
_KINDS: Final = (
    _Kind("AI", (0.25, 0.40), 0.80, 0.10),
    _Kind("cloud", (0.05, 0.15), 0.25, 0.60),
    _Kind("colocation", (0.0, 0.05), 0.05, 0.75),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Everything generated. `operators` are the simulated neighbours; the home operator exists already."""

    operators: tuple[Operator, ...]
    data_centres: tuple[DataCentre, ...]
    storage_assets: tuple[StorageAsset, ...]
    agents: tuple[Agent, ...]


def generate(*, seed: int, at: datetime, home_operator: Operator, region_ids: Mapping[int, UUID]) -> Fleet:
    """Return the simulated fleet of `home_operator` and of three neighbours, as of `at`.

    `region_ids` gives the id of each region by the API's number, 1 to 14. Ids follow from the seed and the home
    operator alone (their time is the operator's `created_at`), so generating again at another `at` gives the same
    objects and not more of them.
    Raises `Invalid` when a region is missing.
    """
    missing = sorted(set(range(1, 15)) - region_ids.keys())
    if missing:
        raise Invalid(f"region_ids lacks the regions {missing}; it must name 1 to 14.")
    maker = _Maker(seed, at, home_operator, region_ids)
    compute, storage, aggregator = maker.neighbours()
    home_sites = maker.data_centres(home_operator, "", _HOME_SITES, published_every=2)
    neighbour_sites = maker.data_centres(compute, _brand(compute), _NEIGHBOUR_SITES, published_every=1)
    return Fleet(
        operators=(compute, storage, aggregator),
        data_centres=(*home_sites, *neighbour_sites),
        storage_assets=(
            *maker.storage(home_operator, "", co_located=_largest(home_sites, 3), standalone=2),
            *maker.storage(compute, _brand(compute), co_located=_largest(neighbour_sites, 1), standalone=0),
            *maker.storage(storage, _brand(storage), co_located=(), standalone=4),
        ),
        agents=(
            *maker.agents(home_operator, "", AgentType),
            *maker.agents(compute, _brand(compute), (AgentType.COMPUTE_ORCHESTRATOR, AgentType.CARBON_OPTIMIZER)),
            *maker.agents(storage, _brand(storage), (AgentType.STORAGE_AGENT,)),
            *maker.agents(aggregator, _brand(aggregator), (AgentType.FLEXIBILITY_AGENT, AgentType.GRID_OPERATOR)),
        ),
    )


class _Maker:
    """Makes simulated objects. Every object draws from a generator of its own, named after it."""

    def __init__(self, seed: int, at: datetime, home: Operator, region_ids: Mapping[int, UUID]) -> None:
        self._seed = seed
        self._home = home
        self._region_ids = region_ids
        self._stamp: dict[str, Any] = {"is_simulated": True, "created_at": at, "updated_at": at}

    def neighbours(self) -> tuple[Operator, Operator, Operator]:
        """Return a compute operator, a storage operator and an aggregator with invented names."""
        from faker import Faker  # a quarter of a second to import, and needed nowhere else

        fake = Faker("en_GB")
        fake.seed_instance(self._seed)
        trades = (
            (OperatorType.COMPUTE_OPERATOR, "Compute"),
            (OperatorType.STORAGE_OPERATOR, "Storage"),
            (OperatorType.AGGREGATOR, "Flexibility"),
        )
        made = []
        for operator_type, trade in trades:
            name = f"{fake.unique.last_name()} {trade}"
            operator_id = self._id("operator", trade)
            made.append(
                Operator(
                    id=operator_id,
                    name=f"{name} (simulated)",
                    operator_type=operator_type,
                    # example.org is reserved (RFC 2606). The id keeps the address unique among home operators.
                    email=f"{_slug(name)}.{operator_id.hex[-8:]}@example.org".lower(),
                    metadata={"contact": fake.name(), "simulated": True},
                    **self._stamp,
                )
            )
        compute, storage, aggregator = made
        return compute, storage, aggregator

    def data_centres(
        self, operator: Operator, brand: str, sites: Mapping[int, int], *, published_every: int
    ) -> tuple[DataCentre, ...]:
        """Return the operator's data centres, largest weight first; every `published_every`-th is published."""
        draw = self._random("sites", operator)
        towns = [
            town
            for region_id, count in sites.items()
            for town in draw.sample([town for town in TOWNS if town.region_id == region_id], count)
        ]
        kinds = [_KINDS[position % len(_KINDS)] for position in range(len(towns))]
        draw.shuffle(kinds)
        total_mw = _MEAN_CAMPUS_MW * len(towns)
        covered = sum(CAPACITY_WEIGHT[region_id] for region_id in sites)
        made = []
        for position, (town, kind) in enumerate(zip(towns, kinds, strict=True)):
            share = CAPACITY_WEIGHT[town.region_id] / covered / sites[town.region_id]
            made.append(
                self._data_centre(operator, brand, town, kind, total_mw * share, position % published_every == 0)
            )
        return tuple(made)

    def _data_centre(
        self, operator: Operator, brand: str, town: Town, kind: _Kind, typical_mw: float, published: bool
    ) -> DataCentre:
        site = f"{_slug(town.name)}-1".upper()
        draw = self._random(site, operator)
        capacity_mw = round(
            min(max(typical_mw * draw.uniform(0.85, 1.15), _SMALLEST_CAMPUS_MW), _LARGEST_CAMPUS_MW), 1
        )
        pue = round(draw.uniform(1.1, 1.6), 2)
        utilisation = draw.uniform(0.35, 0.60)
        flexible = round(draw.uniform(*kind.flexible), 2)
        # The share of the present load that cannot move is drawn whatever Pylon does: base load and floor are one.
        fixed_share = utilisation * (1 - flexible)
        return DataCentre(
            id=self._id("data centre", str(operator.id), site),
            dc_id=_PREFIX + site,
            name=f"{brand} {town.name} 1 (simulated)".strip(),
            operator_id=operator.id,
            region_id=self._region_ids[town.region_id],
            location_region=_REGION_NAME[town.region_id],
            postcode=town.outward,
            pue=_decimal(pue, 2),
            total_capacity_mw=_decimal(capacity_mw, 2),
            flexibility_rating=_decimal(flexible, 2),
            min_load_percentage=_decimal(100 * fixed_share, 2),
            ramp_rate_mw_per_min=_decimal(min(max(capacity_mw * draw.uniform(0.04, 0.10), 0.5), 5.0), 2),
            current_load_percentage=_decimal(100 * utilisation, 2),
            base_load_mw=_decimal(capacity_mw * fixed_share, 2),
            published=published,
            **_computers(kind, it_kw=1000 * capacity_mw / pue),
            **self._stamp,
        )

    def storage(
        self, operator: Operator, brand: str, *, co_located: Sequence[DataCentre], standalone: int
    ) -> tuple[StorageAsset, ...]:
        """Return a battery behind the meter of each of `co_located`, then `standalone` ones elsewhere."""
        made = []
        for site in co_located:
            word = site.dc_id.removeprefix(_PREFIX)
            rate_mw = float(site.total_capacity_mw) * self._random(f"{word}/rate", operator).uniform(0.2, 0.4)
            place = site.name.removesuffix(" (simulated)")
            made.append(self._battery(operator, f"{word}-BESS", place, site.region_id, rate_mw, site.id))
        draw = self._random("batteries", operator)
        for town in draw.sample(BATTERY_TOWNS, standalone):
            place = f"{brand} {town.name}".strip()
            word = f"{_slug(town.name)}-BESS".upper()
            region_id = self._region_ids[town.region_id]
            made.append(self._battery(operator, word, place, region_id, draw.uniform(20, 100), None))
        return tuple(made)

    def _battery(
        self, operator: Operator, word: str, place: str, region_id: UUID, rate_mw: float, dc_id: UUID | None
    ) -> StorageAsset:
        draw = self._random(word, operator)
        capacity_mwh = _decimal(rate_mw * draw.choice((1.0, 2.0, 2.0, 4.0)), 1)
        charge_mwh = _decimal(float(capacity_mwh) * draw.uniform(0.3, 0.7), 2)
        return StorageAsset(
            id=self._id("storage", str(operator.id), word),
            asset_id=_PREFIX + word,
            name=f"{place} battery (simulated)",
            operator_id=operator.id,
            region_id=region_id,
            capacity_mwh=capacity_mwh,
            max_charge_rate_mw=_decimal(rate_mw, 1),
            max_discharge_rate_mw=_decimal(rate_mw, 1),
            efficiency_percentage=_decimal(draw.uniform(84, 90), 1),
            current_charge_mwh=charge_mwh,
            current_charge_percentage=100 * charge_mwh / capacity_mwh,
            co_located_dc_id=dc_id,
            wear_gbp_mwh=_decimal(draw.uniform(3, 8), 2),
            **self._stamp,
        )

    def agents(self, operator: Operator, brand: str, types: Iterable[AgentType]) -> tuple[Agent, ...]:
        """Return one agent of each of `types`. Their config is empty: the defaults are their programs' own."""
        return tuple(
            Agent(
                id=self._id("agent", str(operator.id), agent_type),
                agent_id=_PREFIX + agent_type.replace("_", "-"),
                name=f"{brand} {agent_type.replace('_', ' ').title()} (simulated)".strip(),
                agent_type=agent_type,
                operator_id=operator.id,
                **self._stamp,
            )
            for agent_type in types
        )

    def _id(self, *words: str) -> UUID:
        return derived_uuid(self._home.created_at, "fleet", str(self._seed), str(self._home.id), *words)

    def _random(self, name: str, operator: Operator) -> random.Random:
        return random.Random(f"{self._seed}/{operator.id}/{name}")


def _computers(kind: _Kind, it_kw: float) -> dict[str, int]:
    gpus = int(it_kw * kind.gpu_share / hardware.KW_PER_GPU / 8) * 8
    cores = int(it_kw * kind.cpu_share / hardware.KW_PER_CORE / 64) * 64
    return {
        "gpu_count": gpus,
        "cpu_cores": gpus * hardware.CORES_PER_GPU + cores,
        "memory_gb": gpus * hardware.GB_PER_GPU + cores * hardware.GB_PER_CORE,
        "total_capacity_teraflops": int(gpus * hardware.TFLOPS_PER_GPU + cores * hardware.TFLOPS_PER_CORE),
    }


def _largest(sites: Sequence[DataCentre], count: int) -> list[DataCentre]:
    return sorted(sites, key=lambda site: (-site.total_capacity_mw, site.dc_id))[:count]


def _brand(operator: Operator) -> str:
    return operator.name.split()[0]


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _decimal(value: float, places: int) -> Decimal:
    return Decimal(str(round(value, places)))
