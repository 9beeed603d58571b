"""Every upstream down at once: the last good data are served with their age, and what is made up says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from pylon import pipeline
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.ontology.enums import RunStatus
from pylon.services.live_state import live_state
from pylon.services.reports import Outcome, RunReport
from pylon.services.status import status
from pylon.sources.feed import MODELLED, SIMULATED, discover
from tests.acceptance.support import World, new_id, new_world
from tests.doubles.answers import server_error
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.elexon import Elexon
from tests.doubles.neso import Neso
from tests.doubles.postgres import Cluster
from tests.doubles.server import Server

PAUSE = timedelta(hours=2)
REAL = [source.terms for source in discover() if not source.terms.is_simulated]
"""What the three upstreams give, by the terms of each source."""


@dataclass(frozen=True)
class Grid:
    """A world that is filled from all three upstreams, which share a clock."""

    world: World
    upstreams: tuple[Server, ...]

    def advance(self, by: timedelta) -> None:
        for upstream in self.upstreams:
            upstream.clock.advance(by)

    def go_down(self) -> None:
        for upstream in self.upstreams:
            upstream.answer(server_error(), times=None)

    def come_back(self) -> None:
        now = self.world.now
        for upstream in self.upstreams:
            upstream.reset()
            upstream.clock.now = now

    def run(self, **settings: Any) -> RunReport:
        world = self.world.with_settings(**settings)
        this = pipeline.Run(
            run_id=new_id(), now=world.now, clock=world.api.clock, operator_id=world.operator_id, trigger="test"
        )
        return pipeline.run(world.database, world.settings, this)

    def signals(self) -> dict[Any, dict[str, Any]]:
        rows = self.world.select("select * from grid_signals order by timestamp")
        return {row["timestamp"]: row for row in rows}

    def given(self) -> dict[Any, tuple[Any, str]]:
        """What sources gave, by half hour and quantity: the value and the label."""
        return {
            (at, quantity): (row[column], label)
            for at, row in self.signals().items()
            for quantity, column in COLUMNS.items()
            if (label := row["provenance"].get(quantity)) not in (None, SIMULATED, MODELLED)
        }


@pytest.fixture
def grid(cluster: Cluster, template: str, api: StandIn) -> Iterator[Grid]:
    with ExitStack() as stack:
        elexon = stack.enter_context(Elexon(now=api.clock.now))
        neso = stack.enter_context(Neso(now=api.clock.now))
        world = stack.enter_context(
            new_world(cluster, template, "all_down", api, elexon_url=elexon.url, neso_url=neso.url, synthetic="off")
        )
        yield Grid(world, (api, elexon, neso))


def test_the_last_good_data_are_served_and_only_new_half_hours_are_made_up(grid):
    first = grid.run()
    assert first.status is RunStatus.SUCCEEDED
    assert {one.name for one in first.sources if one.outcome is Outcome.OK} >= {terms.name for terms in REAL}
    answered_at, end, before = grid.world.now, floor(grid.world.now) + pipeline.AHEAD, grid.signals()

    grid.go_down()
    grid.advance(PAUSE)
    report = grid.run()
    assert report.status is RunStatus.PARTIAL
    for one in report.sources:
        if one.is_simulated:
            assert (one.outcome, one.fetched_at) == (Outcome.OK, grid.world.now)
        else:
            assert one.outcome in (Outcome.FAILED, Outcome.NOT_DUE)
            assert (one.rows_written, one.fetched_at, one.age(grid.world.now)) == (0, answered_at, PAUSE)

    after = grid.signals()
    for at, row in before.items():
        for quantity, column in COLUMNS.items():
            if row["provenance"].get(quantity) not in (None, SIMULATED):
                assert (after[at][column], after[at]["provenance"][quantity]) == (
                    row[column],
                    row["provenance"][quantity],
                )
    for at in sorted(set(after) - set(before)):
        assert at >= end
        assert set(after[at]["provenance"].values()) == {SIMULATED}
    assert set(after) - set(before) >= {end + n * HALF_HOUR for n in range(4)} - set(before)


COLUMNS = {
    "carbon": "carbon_intensity_forecast",
    "demand": "demand_mw",
    "price": "wholesale_price_gbp_mwh",
    "system_price": "system_price_gbp_mwh",
}


def test_status_and_live_state_tell_how_old_each_quantity_is_and_what_is_made_up(grid):
    grid.run()
    grid.go_down()
    grid.advance(PAUSE)
    grid.run()
    state = status(grid.world.database, grid.world.operator_id, grid.world.now)
    silent = {terms.title for terms in REAL if not terms.poll_every}
    assert set(state.readiness.not_answering) == silent
    said = live_state(grid.world.database, grid.world.operator_id, grid.world.now)
    assert {name: said["age_s"][name] for name in (terms.name for terms in REAL)} == {
        terms.name: PAUSE.total_seconds() for terms in REAL
    }
    carbon = {
        one["source"]: one["rows"]
        for one in said["stock"]
        if (one["object_type"], one["quantity"]) == ("GridSignal", "carbon")
    }
    assert carbon == {"carbon_intensity_api": 96 - 4, MODELLED: 4}
    assert said["contains_simulated"]
    assert "GridSignal.carbon" not in said["simulated"]  # a week of it is known, which is enough to forecast from
    assert "RegionalGridSignal.carbon" in said["simulated"]  # of which no past is known


def test_where_nothing_may_be_made_up_the_run_fails_and_the_data_grow_old(grid):
    grid.run(grid="real")
    before = grid.given()
    grid.go_down()
    for age in (PAUSE, 2 * PAUSE):
        grid.advance(PAUSE)
        report = grid.run(grid="real")
        assert report.status is RunStatus.FAILED
        assert sum(source.rows_written for source in report.sources) == 0
        assert grid.given() == before
        labels = {label for row in grid.signals().values() for label in row["provenance"].values()}
        assert MODELLED in labels
        assert SIMULATED not in labels
        ready = status(grid.world.database, grid.world.operator_id, grid.world.now).readiness
        assert (ready.ready, ready.data_age_s, ready.stale) == (True, age.total_seconds(), True)


def test_when_they_are_back_what_was_made_up_gives_way(grid):
    grid.run()
    grid.go_down()
    grid.advance(PAUSE)
    grid.run()
    assert MODELLED in {row["provenance"].get("carbon") for row in grid.signals().values()}
    grid.come_back()
    grid.advance(HALF_HOUR)
    assert grid.run().status is RunStatus.SUCCEEDED
    now, signals = floor(grid.world.now), grid.signals()  # some sources reach further than carbon does
    labels = {signals[at]["provenance"]["carbon"] for at in half_hours(now - pipeline.BEHIND, now + pipeline.AHEAD)}
    assert labels == {"carbon_intensity_api"}
