"""What the integration tests share beside the databases of tests/conftest.py: a stand-in for the upstream API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doubles.carbon_intensity import StandIn


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn() as api:
        yield api


@pytest.fixture
def api(server: StandIn) -> StandIn:
    server.reset()
    return server
