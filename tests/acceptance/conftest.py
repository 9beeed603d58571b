"""One filled and served Pylon a module: the stand-in's grid, the simulated fleet, and a client that asks."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.acceptance.support import World, new_world, served
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """The grid API."""
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def empty(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    """A migrated database in which no pipeline has run."""
    with new_world(cluster, template, "acceptance_empty", api) as world:
        yield world


@pytest.fixture(scope="module")
def world(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    """A database after one run: real carbon, simulated demand and price, the simulated fleet."""
    with new_world(cluster, template, "acceptance", api) as filled:
        filled.run()
        yield filled


@pytest.fixture(scope="module")
def http(world: World) -> Iterator[httpx2.Client]:
    """A client of the API that serves `world`."""
    with served(world.runtime()) as client:
        yield client
