"""What storage is to do, over HTTP: from now on, by whose decision, and of nobody but the one who asks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from pylon.interfaces.runtime import Runtime
from pylon.settings import Settings
from pylon.store.access import Access
from pylon.store.database import Database
from tests.acceptance.support import served
from tests.conftest import LOGIN, new_tenant
from tests.doubles.bench import MIDDAY, Bench
from tests.doubles.clock import Clock
from tests.doubles.postgres import Cluster

NAME = "acceptance_storage"
PATH = "/api/v1/storage/schedules"
NOW = MIDDAY + timedelta(minutes=40)


@pytest.fixture(scope="module")
def benches(cluster: Cluster, template: str) -> Iterator[dict[str, Bench]]:
    """Two operators, each with a battery B; A has an idle one besides."""
    cluster.create(NAME, template)
    with Database(cluster.dsn(NAME, LOGIN), pool_size=4) as database:
        made = {
            name: Bench(new_tenant(database, name), lambda: cluster.superuser(NAME), MIDDAY) for name in ("A", "B")
        }
        made["A"].battery("IDLE", charge_mwh=None, is_simulated=False)
        made["A"].schedule(made["A"].battery("B"), [4, 0, -2.5, 1], inputs={"simulated": ["price"]})
        made["B"].schedule(made["B"].battery("B", is_simulated=False), [1, 1, 1], is_simulated=False)
        yield made
    cluster.drop(NAME)


def client(cluster: Cluster, bench: Bench) -> Any:
    dsn = cluster.dsn(NAME, LOGIN)
    access = Access("a test's database", owner=dsn, login=dsn)
    return served(Runtime(Settings(schedule="off"), access, bench.database, bench.tenant.id, Clock(NOW)))


@pytest.fixture(scope="module")
def http(cluster: Cluster, benches: dict[str, Bench]) -> Iterator[httpx2.Client]:
    with client(cluster, benches["A"]) as asked:
        yield asked


def get(http: httpx2.Client, **query: str) -> dict[str, Any]:
    answer = http.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_each_asset_is_listed_with_what_it_is_to_do_from_this_half_hour_on(
    http: httpx2.Client, benches: dict[str, Bench]
) -> None:
    body = get(http)
    battery, idle = body["schedules"]
    (decision,) = http.get("/api/v1/decisions").json()["decisions"]
    assert [(one["starts_at"], one["power_mw"]) for one in battery["half_hours"]] == [
        ("2026-11-22T12:30:00Z", 0.0),
        ("2026-11-22T13:00:00Z", -2.5),
        ("2026-11-22T13:30:00Z", 1.0),
    ]
    assert {one["decision_id"] for one in battery["half_hours"]} == {decision["decision_id"]}
    assert (battery["asset_id"], battery["charge_mwh"], battery["capacity_mwh"]) == ("B", 5.0, 10.0)
    assert (idle["asset_id"], idle["charge_mwh"], idle["half_hours"]) == ("IDLE", None, [])


def test_what_is_simulated_is_labelled(http: httpx2.Client) -> None:
    body = get(http)
    assert body["contains_simulated"] is True
    assert [(one["is_simulated"], one["simulated"]) for one in body["schedules"]] == [
        (True, ["price"]),
        (False, []),
    ]
    alone = get(http, asset_id="IDLE")
    assert [one["asset_id"] for one in alone["schedules"]] == ["IDLE"]
    assert alone["contains_simulated"] is False


def test_another_operators_storage_is_not_there(
    cluster: Cluster, http: httpx2.Client, benches: dict[str, Bench]
) -> None:
    with client(cluster, benches["B"]) as other:
        (theirs,) = get(other)["schedules"]
        assert [one["power_mw"] for one in theirs["half_hours"]] == [1.0, 1.0]
        assert UUID(theirs["id"]) not in {UUID(one["id"]) for one in get(http)["schedules"]}
        refused = other.get(PATH, params={"asset_id": "IDLE"})
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert "GET /api/v1/objects/StorageAsset" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"asset_id": "x" * 101}, "it must have at most 100 characters"),
        ({"asset_id": "a\tb"}, "it must be text without control characters"),
        ({"asset": "B"}, "no parameter 'asset'. Valid: asset_id"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(http: httpx2.Client, query: dict[str, str], why: str) -> None:
    answer = http.get(PATH, params=query)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]
