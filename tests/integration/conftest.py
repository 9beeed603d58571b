"""What the integration tests share beside the databases of tests/conftest.py.

server, api       a stand-in for the Carbon Intensity API
acting_template   a database with simulated signals, and an operator with three data centres; only cloned
here              that operator, in a fresh clone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pylon.store.database import Database
from tests.conftest import LOGIN, name_of, new_tenant
from tests.doubles.acting import Acting, acting
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn() as api:
        yield api


@pytest.fixture
def api(server: StandIn) -> StandIn:
    server.reset()
    return server


@pytest.fixture(scope="session")
def acting_template(cluster: Cluster, template: str) -> tuple[str, Acting]:
    name = "pylon_acting_template"
    cluster.create(name, template)
    with Database(cluster.dsn(name, LOGIN), pool_size=4) as database:
        new_tenant(database, "B")
        return name, acting(database, new_tenant(database, "A").id)


@pytest.fixture
def here(
    cluster: Cluster, new_database: Callable[..., str], acting_template: tuple[str, Acting]
) -> Iterator[Acting]:
    name, acting_there = acting_template
    with Database(cluster.dsn(name_of(new_database(name)), LOGIN), pool_size=8) as database:
        yield Acting(database, acting_there.operator_id)
