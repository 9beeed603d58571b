"""Where no source says what lies ahead: carbon, demand and price go in, and runs of the pipeline follow."""

from __future__ import annotations

import csv
import gzip
import math
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest

from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, midnight, settlement_period
from pylon.ontology.enums import RunStatus
from pylon.planning import forecast
from pylon.planning.forecast import Forecast, Maker, Quantity
from pylon.services import ingest
from pylon.services.forecast_signals import HISTORY
from pylon.services.live_state import live_state
from pylon.services.read_signal import read_signal
from pylon.services.reports import ForecastReport, RunReport
from pylon.services.score_forecasts import score_forecasts
from pylon.sources.feed import MODELLED, SIMULATED, Batch, NationalReading, RegionalReading, Request, Side, Supply
from pylon.sources.synthetic_grid import GbSimulator
from pylon.sources.synthetic_price import PriceSimulator
from pylon.store.database import Database, Transaction
from tests.acceptance.support import World, new_id, new_world
from tests.conftest import LOGIN
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster
from tests.doubles.recordings import recordings_folder
from tests.doubles.scripted_source import Scripted

DAY = timedelta(days=1)
NOW = datetime(2023, 10, 28, 13, 42, tzinfo=UTC)  # the clocks go back in the night to come
PRICES_LATER = timedelta(weeks=126)
"""The recorded prices are of 2026: those of so much later stand for those of 2023."""

CARBON, DEMAND, PRICE = (
    f"national.{name}" for name in ("carbon_intensity_forecast", "demand_mw", "wholesale_price_gbp_mwh")
)
QUANTITIES = {"carbon": Quantity.CARBON, "demand": Quantity.DEMAND, "price": Quantity.PRICE}
COLUMNS = {
    name: series.removeprefix("national.") for name, series in zip(QUANTITIES, (CARBON, DEMAND, PRICE), strict=True)
}

Values = dict[datetime, float]


@cache
def recorded(quantity: str) -> Values:
    """Return a quantity by the start of the half hour: as recorded, or made up where no recordings are at hand."""
    return _recorded(quantity) if os.environ.get("PYLON_RECORDINGS") else _made_up(quantity)


def _made_up(quantity: str) -> Values:
    level, swing, step = {"carbon": (200, 60, 8), "demand": (27000, 5000, 300), "price": (90, 40, 6)}[quantity]
    start = floor(NOW) - HISTORY - 2 * DAY
    ats = list(half_hours(start, start + HISTORY + 8 * DAY))
    drift, drifts = 0.0, []
    for shock in np.random.default_rng(7).normal(0, step, len(ats)).tolist():
        drift = 0.97 * drift + shock
        drifts.append(drift)
    hours = [at.astimezone(LONDON).hour + at.minute / 60 for at in ats]
    return {
        at: float(round(max(level + swing * math.sin(math.tau * (hour - 10) / 24) + drift, 1)))
        for at, hour, drift in zip(ats, hours, drifts, strict=True)
    }


def _recorded(quantity: str) -> Values:
    folder = recordings_folder() / "replay"
    file, start, column, later = {
        "carbon": ("gb_2023_halfhourly_carbon_demand.csv.gz", "start_utc", "ci_api_actual", timedelta(0)),
        "demand": ("gb_2023_halfhourly_carbon_demand.csv.gz", "start_utc", "nd_mw", timedelta(0)),
        "price": ("gb_2026H1_mid_apx_halfhourly.csv.gz", "startTime", "price", PRICES_LATER),
    }[quantity]
    with gzip.open(folder / file, "rt", newline="") as text:
        rows = [(datetime.fromisoformat(row[start]).astimezone(UTC), row[column]) for row in csv.DictReader(text)]
    return {at - later: float(value) for at, value in rows if value and value != "0.0"}


class Upstreams:
    """One source a quantity, which says what was recorded, as far ahead as `reach` goes."""

    def __init__(self) -> None:
        self.reach: dict[str, timedelta | None] = dict.fromkeys((*QUANTITIES, "regional"), timedelta(hours=48))
        """How far ahead each speaks; None: it does not answer."""

    @property
    def sources(self) -> list[Any]:
        real = [
            Scripted(
                f"{name}_source",
                frozenset({Supply(name)}),
                data_source=f"{name}_api",
                answer=self._answer(name),
                sides=frozenset(Side) if reach is None or reach > timedelta(0) else frozenset({Side.PAST}),
            )
            for name, reach in self.reach.items()
        ]
        return [*real, GbSimulator(), PriceSimulator()]

    def _answer(self, name: str) -> Callable[[Request], Batch]:
        def answer(request: Request) -> Batch:
            reach = self.reach[name]
            if reach is None:
                raise RuntimeError("This upstream is down.")
            start = floor(request.now)
            ats = list(half_hours(request.start, min(request.end, start + reach)))
            if name == "regional":
                given = [(at, number) for at in ats for number in range(1, 18)]
                rows = [region(at, number) for at, number in given if at in recorded("carbon")]
                return Batch(regional=rows, rows_seen=len(rows))
            readings = [national(name, at, is_past=at < start) for at in ats if at in recorded(name)]
            return Batch(national=readings, rows_seen=len(readings))

        return answer


def national(name: str, at: datetime, *, is_past: bool) -> NationalReading:
    value = recorded(name)[at]
    if name == "carbon":
        return NationalReading(
            starts_at=at,
            carbon_intensity_forecast=round(value),
            carbon_intensity_actual=round(value) if is_past else None,
        )
    if name == "demand":
        return NationalReading(starts_at=at, demand_mw=round(value))
    return NationalReading(starts_at=at, wholesale_price_gbp_mwh=Decimal(f"{value:.2f}"))


def region(at: datetime, number: int) -> RegionalReading:
    """No regional series is recorded: those of the test are shares of the national one."""
    carbon = round(recorded("carbon")[at] * (0.5 + number / 17))
    return RegionalReading(region_id=number, starts_at=at, carbon_intensity_forecast=carbon, carbon_index=None)


@pytest.fixture
def api(server: StandIn) -> StandIn:
    server.reset()
    server.clock.now = NOW
    return server


@pytest.fixture(scope="module")
def lived(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a database that holds the weeks before `NOW`, of the regions ten days; to be cloned."""
    name = "forecasts_lived"
    cluster.create(name, template)
    with Database(cluster.dsn(name, LOGIN), pool_size=1) as database, database.as_ingest() as transaction:
        start = floor(NOW)
        for quantity in QUANTITIES:
            ats = [at for at in half_hours(start - HISTORY - DAY, start) if at in recorded(quantity)]
            keep(
                transaction,
                quantity,
                Batch(national=[national(quantity, at, is_past=True) for at in ats], rows_seen=1),
            )
        ats = [at for at in half_hours(start - 10 * DAY, start) if at in recorded("carbon")]
        keep(
            transaction,
            "regional",
            Batch(regional=[region(at, n) for at in ats for n in range(1, 18)], rows_seen=1),
        )
    yield name
    cluster.drop(name)


def keep(transaction: Transaction, name: str, batch: Batch) -> None:
    ingest.store_batch(transaction, f"{name}_api", batch, ranks={}, run_id=new_id(), now=NOW - HALF_HOUR)


@pytest.fixture
def world(cluster: Cluster, lived: str, api: StandIn) -> Iterator[World]:
    """Six weeks are known, and nothing of the hours ahead."""
    with new_world(cluster, lived, "forecasts", api, grid="real", synthetic="off") as made:
        yield made


@pytest.fixture
def new(cluster: Cluster, template: str, api: StandIn) -> Iterator[World]:
    """Nothing is known."""
    with new_world(cluster, template, "forecasts_new", api, grid="real", synthetic="off") as made:
        yield made


@pytest.fixture
def upstreams() -> Upstreams:
    return Upstreams()


def run(world: World, upstreams: Upstreams, *, behind: timedelta = timedelta(0)) -> RunReport:
    return world.run(sources=upstreams.sources, behind=behind)


def ours(quantity: str, start: datetime, *, given: int = 0, made: datetime | None = None) -> Forecast:
    """The forecast of the values themselves, `given` of which are official; made at `start` unless told."""
    first = midnight(((made or start) - HISTORY).astimezone(LONDON).date())
    past = [recorded(quantity).get(at, math.nan) for at in half_hours(first, start)]
    model = forecast.fit(past, first, quantity=QUANTITIES[quantity])
    official = [recorded(quantity).get(start + lead * HALF_HOUR, math.nan) for lead in range(given)]
    return forecast.fill(official, forecast.forecast(model, past[-96:], start))


def ahead(world: World) -> list[dict[str, Any]]:
    start = floor(world.now)
    return world.select(
        'select * from grid_signals where "timestamp" >= %s and "timestamp" < %s order by "timestamp"',
        start,
        start + 2 * DAY,
    )


def regions_ahead(world: World, number: int) -> list[dict[str, Any]]:
    return world.select(
        "select s.* from regional_grid_signals s join regions r on r.id = s.region_id where r.region_id = %s "
        'and "timestamp" >= %s order by "timestamp"',
        number,
        floor(world.now),
    )


def labels(rows: Sequence[dict[str, Any]], quantity: str) -> list[str | None]:
    return [row["provenance"].get(quantity) for row in rows]


# What is filled, and with what


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(NOW, id="the clocks go back"),
        pytest.param(datetime(2023, 10, 30, 0, 12, tzinfo=UTC), id="they went back"),
    ],
)
def test_what_sources_leave_out_is_forecast_from_what_was_recorded(world, upstreams, now):
    world.api.clock.now = now
    upstreams.reach |= {"carbon": DAY, "demand": timedelta(hours=5), "price": timedelta(0)}
    report = run(world, upstreams, behind=now - NOW)
    start, rows = floor(now), ahead(world)
    given = {"carbon": 48, "demand": 10, "price": 0}
    assert report.forecasts.half_hours == {CARBON: 48, DEMAND: 86, PRICE: 96}
    assert (report.forecasts.on_short_history, report.forecasts.without_history) == ([], {})
    assert [row["timestamp"] for row in rows] == [start + lead * HALF_HOUR for lead in range(96)]
    assert [row["settlement_period"] for row in rows] == [settlement_period(row["timestamp"])[1] for row in rows]
    for name, column in COLUMNS.items():
        expected = ours(name, start, given=given[name])
        assert labels(rows, name) == [
            f"{name}_api" if maker is Maker.OFFICIAL else MODELLED for maker in expected.makers
        ]
        half = 0.005 if name == "price" else 0.5
        assert [float(row[column]) for row in rows] == pytest.approx(expected.mean.tolist(), abs=half + 1e-6)
    assert {row["data_source"] for row in rows[48:]} == {MODELLED}
    assert all(row["is_forecast"] for row in rows)
    assert all(row["grid_stress_score"] is not None for row in rows)


def test_a_region_has_the_quantile_that_caps_are_held_against(world, upstreams):
    upstreams.reach["regional"] = timedelta(hours=6)
    made = run(world, upstreams).forecasts
    assert made.half_hours == dict.fromkeys(OF_REGIONS, 84)
    assert made.on_short_history == list(OF_REGIONS)
    rows = regions_ahead(world, 5)
    assert [row["data_source"] for row in rows] == ["regional_api"] * 12 + [MODELLED] * 84
    assert {row["carbon_intensity_upper"] for row in rows[:12]} == {None}
    assert all(row["carbon_intensity_upper"] > row["carbon_intensity_forecast"] for row in rows[12:])
    came = [region(row["timestamp"], 5).carbon_intensity_forecast for row in rows]
    held = sum(row["carbon_intensity_upper"] >= value for row, value in zip(rows[12:], came[12:], strict=True))
    assert held > 0.7 * 84  # of one forecast; nine in ten are those of many

    upstreams.reach["regional"] = timedelta(hours=48)
    assert run(world, upstreams).forecasts == ForecastReport()
    rows = regions_ahead(world, 5)
    assert {row["data_source"] for row in rows} == {"regional_api"}
    assert {row["carbon_intensity_upper"] for row in rows} == {None}


def test_where_sources_give_all_nothing_is_forecast(world, upstreams):
    report = run(world, upstreams)
    assert report.forecasts == ForecastReport()
    assert world.scalar("select count(*) from signal_vintages where source = %s", MODELLED) == 0
    assert kept(world, report) == report


def test_a_second_run_at_the_same_time_writes_nothing(world, upstreams):
    upstreams.reach |= {"price": timedelta(0), "regional": timedelta(hours=40)}
    first = run(world, upstreams)
    assert first.forecasts.rows_written == 96 + 17 * 16
    assert first.forecasts.vintages_written == 1 + 17
    before = world.fingerprint()
    second = run(world, upstreams)
    assert second.rows_written == 0
    assert second.forecasts.half_hours == first.forecasts.half_hours
    assert world.fingerprint() == before


# What may stand over what


def test_a_value_that_comes_late_replaces_the_forecast_and_stays(world, upstreams):
    upstreams.reach["demand"] = timedelta(hours=12)
    run(world, upstreams)
    then, lead = world.now, floor(NOW) + 30 * HALF_HOUR
    forecast_then = read(world, DEMAND, lead)
    assert forecast_then["source"] == MODELLED

    world.api.clock.advance(timedelta(hours=6))
    run(world, upstreams, behind=DAY)
    assert read(world, DEMAND, lead)["source"] == "demand_api"
    assert read(world, DEMAND, lead)["value"] == recorded("demand")[lead] != forecast_then["value"]

    world.api.clock.advance(timedelta(hours=1))
    upstreams.reach["demand"] = None  # what it said stays, though it says no more
    assert run(world, upstreams).forecasts.half_hours[DEMAND] == 96 - 22
    assert read(world, DEMAND, lead)["value"] == recorded("demand")[lead]
    assert read(world, DEMAND, lead, as_of=then) | {"recorded_at": None} == forecast_then | {"recorded_at": None}


def test_an_official_forecast_that_has_grown_old_is_kept_and_continued(world, upstreams):
    run(world, upstreams)
    upstreams.reach["carbon"] = None
    world.api.clock.advance(timedelta(hours=30))
    assert timedelta(hours=30) > forecast.STALE_AFTER
    report = run(world, upstreams)
    assert (report.status, report.forecasts.half_hours) == (RunStatus.PARTIAL, {CARBON: 60})
    rows = ahead(world)
    assert labels(rows, "carbon") == ["carbon_api"] * 36 + [MODELLED] * 60
    assert all(row["carbon_intensity_forecast"] == recorded("carbon")[row["timestamp"]] for row in rows[:36])


def test_with_every_source_silent_the_hours_ahead_are_forecast_still(world, upstreams):
    run(world, upstreams)
    upstreams.reach = dict.fromkeys(upstreams.reach)
    world.api.clock.advance(timedelta(hours=50))  # nothing is left of what they said
    report = run(world, upstreams)
    assert report.status is RunStatus.FAILED  # of what was asked nothing has answered
    assert kept(world, report) == report
    assert report.forecasts.half_hours == dict.fromkeys((CARBON, DEMAND, PRICE, *OF_REGIONS), 96)
    assert {label for row in ahead(world) for label in row["provenance"].values()} == {MODELLED, "pylon_stress_v1"}


def test_a_forecast_of_the_real_past_stands_over_a_simulated_value(world, upstreams):
    world = world.with_settings(grid="auto")
    upstreams.reach |= {"price": timedelta(0), "regional": None}
    report = run(world, upstreams)
    assert report.forecasts.half_hours == dict.fromkeys((PRICE, *OF_REGIONS), 96)
    assert set(labels(ahead(world), "price")) == {MODELLED}
    assert {row["data_source"] for row in regions_ahead(world, 1)} == {MODELLED}
    state = live_state(world.database, world.operator_id, world.now)
    assert "GridSignal.price" not in state["simulated"]
    assert "RegionalGridSignal.carbon" not in state["simulated"]
    assert set(state["signals"]["national"]["provenance"]["price"]) == {MODELLED}


def test_a_simulated_grid_is_not_forecast(world, upstreams):
    upstreams.reach["price"] = timedelta(0)
    run(world, upstreams)
    world.api.clock.advance(DAY)
    report = run(world.with_settings(grid="simulated"), upstreams)
    assert report.forecasts == ForecastReport()
    assert set(labels(ahead(world), "price")[48:]) == {SIMULATED}


def test_nothing_is_made_of_a_simulated_past(new, upstreams):
    run(new.with_settings(grid="simulated"), upstreams, behind=2 * DAY)
    upstreams.reach = dict.fromkeys(upstreams.reach)
    new.api.clock.advance(DAY)
    report = run(new, upstreams)
    assert report.status is RunStatus.FAILED
    assert report.forecasts.half_hours == {}
    assert set(report.forecasts.without_history) == {CARBON, DEMAND, PRICE, *OF_REGIONS}
    assert {label for row in ahead(new) for label in row["provenance"].values()} == {SIMULATED}


# What it is made of


@pytest.mark.parametrize(("hours", "is_made"), [(23.5, False), (24, True)])
def test_less_than_a_day_of_the_past_is_too_little(new, upstreams, hours, is_made):
    upstreams.reach |= {"demand": DAY, "price": DAY, "carbon": DAY}
    report = run(new, upstreams, behind=timedelta(hours=hours))
    known = {CARBON: 48, DEMAND: 48, PRICE: 48}
    assert report.forecasts.half_hours == (known if is_made else {})
    assert report.forecasts.without_history == ({} if is_made else known)
    assert report.forecasts.on_short_history == (list(known) if is_made else [])
    assert kept(new, report) == report


def test_a_forecast_is_no_past_and_no_outturn(world, upstreams):
    """Half hours that Pylon alone spoke of have gone by: nothing is learned from them or settled at them."""
    upstreams.reach |= {"price": None, "regional": None}
    run(world, upstreams)
    start = floor(NOW)
    world.api.clock.advance(10 * HALF_HOUR)
    run(world, upstreams)
    spans = {"start": start - HALF_HOUR, "end": start + 10 * HALF_HOUR}
    with world.database.as_reader(world.operator_id) as transaction:
        paid = [row["at"] for row in transaction.all("prices_as_they_were", **spans)]
        emitted = {row["at"] for row in transaction.all("carbon_as_it_was", **spans)}
    assert paid == [start - HALF_HOUR]
    assert emitted == {start - HALF_HOUR}
    # Ten half hours later nothing newer is known, so the same is said of what lies ahead.
    expected = ours("price", start, made=start + 10 * HALF_HOUR).mean[10]
    assert float(ahead(world)[0]["wholesale_price_gbp_mwh"]) == pytest.approx(expected, abs=0.006)


def test_forecasts_are_scored_as_those_of_a_source_of_their_own(world, upstreams):
    upstreams.reach["price"] = timedelta(0)
    run(world, upstreams)
    world.api.clock.advance(DAY)
    run(world, upstreams, behind=DAY)
    skill = score_forecasts(world.database, PRICE, world.now, sources=upstreams.sources)
    scores = {score.from_h: score for score in skill.scores if score.source == MODELLED}
    assert [scores[hours].n for hours in (0, 1, 3, 6, 12)] == [2, 4, 6, 12, 23]
    assert not any(score.is_simulated for score in scores.values())


OF_REGIONS = tuple(f"region.{number}.carbon_intensity_forecast" for number in range(1, 18))


def read(world: World, series: str, at: datetime, as_of: datetime | None = None) -> dict[str, Any]:
    said = read_signal(
        world.database, world.operator_id, series, world.now, start=at, end=at + HALF_HOUR, as_of=as_of
    )
    return said.values[0].model_dump()


def kept(world: World, report: RunReport) -> RunReport:
    (row,) = world.select("select * from pipeline_runs where id = %s", report.run_id)
    return RunReport.of(row)
