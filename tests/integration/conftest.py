"""What the integration tests share beside the databases of tests/conftest.py.

server, api       a stand-in for the Carbon Intensity API
signals           a database with simulated signals, shared by all tests of the process
here              an operator of the test's own in it, with three data centres
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pylon.store.database import Database
from tests.conftest import LOGIN, new_tenant
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
def signals(cluster: Cluster, template: str) -> Iterator[Database]:
    name = "pylon_signals"
    cluster.create(name, template)
    with Database(cluster.dsn(name, LOGIN), pool_size=8) as database:
        Acting(database, new_tenant(database, "signals").id).run_pipeline()
        yield database
    cluster.drop(name)


@pytest.fixture
def here(signals: Database, request: pytest.FixtureRequest) -> Acting:
    return acting(signals, new_tenant(signals, request.node.nodeid).id)
