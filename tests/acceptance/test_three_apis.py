"""All three grid APIs at once, from their stand-ins to the answers: what is real, forecast, or asked twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.services.reports import Outcome, RunReport
from pylon.sources.feed import MODELLED, SIMULATED
from tests.acceptance.support import World, new_world, served
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.elexon import Elexon
from tests.doubles.neso import Neso
from tests.doubles.postgres import Cluster


@dataclass(frozen=True)
class Three:
    """A Pylon whose APIs all answer, after a first run and a second at the same time."""

    world: World
    elexon: Elexon
    neso: Neso
    first: RunReport
    second: RunReport
    before: dict[str, str]
    after: dict[str, str]
    asked_again: set[str]


@pytest.fixture(scope="module")
def three(cluster: Cluster, template: str, api: StandIn) -> Iterator[Three]:
    api.clock.advance(timedelta(hours=2))  # past the minutes in which the portal replaces its files
    with Elexon(now=api.clock.now) as elexon, Neso(now=api.clock.now) as neso:
        urls = {"elexon_url": elexon.url, "neso_url": neso.url}
        with new_world(cluster, template, "acceptance_three", api, **urls) as world:
            first = world.run()
            before = world.fingerprint()
            neso.requests.clear()
            second = world.run()
            paths = {seen.path for seen in neso.requests}
            yield Three(world, elexon, neso, first, second, before, world.fingerprint(), paths)


@pytest.fixture(scope="module")
def state(three: Three) -> Iterator[dict[str, Any]]:
    with served(three.world.runtime()) as http:
        yield http.get("/api/v1/live-state").json()


def labels(three: Three, quantity: str) -> dict[str, set[str]]:
    """Return who gave a quantity: before this half hour, and from it on for as long as the live state shows."""
    rows = three.world.select(
        f"select \"timestamp\" < %s as past, provenance ->> '{quantity}' as label from grid_signals "
        'where "timestamp" < %s',
        floor(three.world.now),
        floor(three.world.now) + timedelta(hours=48),
    )
    return {
        side: {row["label"] for row in rows if row["past"] is past}
        for side, past in (("past", True), ("ahead", False))
    }


def test_every_source_answers(three: Three) -> None:
    outcomes = {source.name: source.outcome for source in three.first.sources if not source.is_simulated}
    assert len(outcomes) == 11
    assert set(outcomes.values()) == {Outcome.OK}, outcomes


def test_demand_is_real_to_the_end_of_the_horizon(three: Three) -> None:
    found = labels(three, "demand")
    assert "elexon_indo" in found["past"]
    assert {"elexon_ndf", "neso_2_14_days"} <= found["ahead"]
    assert SIMULATED not in found["ahead"]


def test_the_price_is_recorded_for_the_past_and_forecast_for_the_future(three: Three) -> None:
    found = labels(three, "price")
    assert found["ahead"] == {MODELLED}
    assert three.first.forecasts.half_hours == {"national.wholesale_price_gbp_mwh": 96}
    assert found["past"] <= {"elexon_market_index", None}
    assert "elexon_market_index" in found["past"]


def test_the_price_of_imbalance_is_never_simulated(three: Three) -> None:
    found = labels(three, "system_price")
    assert found == {"past": {"elexon_system_price", None}, "ahead": {None}} or found["past"] == {
        "elexon_system_price"
    }
    assert found["ahead"] == {None}


def test_the_live_state_says_which_is_which(state: dict[str, Any], three: Three) -> None:
    assert set(state["signals"]["national"]["provenance"]["price"]) == {MODELLED}
    assert "GridSignal.price" not in state["simulated"]
    assert "GridSignal.demand" not in state["simulated"]
    assert "GridSignal.carbon" not in state["simulated"]
    attributions = {source["attribution"] for source in state["sources"]}
    assert {"Supported by National Energy SO Open Data"} < attributions
    assert len(state["signals"]["national"]["demand_mw"]) == 96


def test_a_second_run_at_the_same_time_writes_nothing(three: Three) -> None:
    assert three.second.rows_written == 0
    assert three.after == three.before


def test_the_portal_is_read_again_only_when_it_has_changed(three: Three) -> None:
    assert three.asked_again == {"/resource_show"}
    outcomes = {source.name: source.outcome for source in three.second.sources}
    assert outcomes["neso_day_ahead"] is outcomes["neso_2_14_days"] is Outcome.UNCHANGED
    assert outcomes["neso_demand_update"] is Outcome.NOT_DUE
    assert outcomes["carbon_intensity_factors"] is Outcome.NOT_DUE


def test_the_real_demand_ahead_is_what_the_api_forecast(three: Three) -> None:
    half_hour = floor(three.world.now) + 2 * HALF_HOUR
    stored = three.world.scalar('select demand_mw from grid_signals where "timestamp" = %s', half_hour)
    with httpx2.Client(trust_env=False) as client:
        since, until = (
            f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (three.world.now - timedelta(hours=1), three.world.now)
        )
        url = f"{three.elexon.url}/datasets/NDF?publishDateTimeFrom={since}&publishDateTimeTo={until}"
        rows = client.get(url).json()["data"]
    newest = max(
        (row for row in rows if row["startTime"] == f"{half_hour:%Y-%m-%dT%H:%M:%SZ}"),
        key=lambda row: row["publishTime"],
    )
    assert stored == newest["demand"]
