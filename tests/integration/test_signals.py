"""Signals as they were known, forecast skill and sources, each against a plain reading of what is stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid, NotFound
from pylon.ontology.calendar import HALF_HOUR, half_hours
from pylon.services import ingest
from pylon.services.list_signals import list_signals
from pylon.services.list_sources import list_flags, list_sources
from pylon.services.live_state import past_state
from pylon.services.read_signal import SignalReading, read_signal
from pylon.services.regional import regional
from pylon.services.score_forecasts import HORIZONS_H, score_forecasts
from pylon.services.series import SERIES
from pylon.sources.feed import (
    SIMULATED,
    Batch,
    NationalReading,
    RegionalReading,
    Request,
    Side,
    Supply,
    Terms,
    ranks,
)
from pylon.store.database import Database, json_text
from tests.conftest import LOGIN, NOW
from tests.doubles.postgres import Cluster

# The end of a month in UTC, so that a history lies in two partitions.
AT = datetime(2026, 11, 30, 22, 0, tzinfo=UTC)
CARBON, ACTUAL, DEMAND = (
    "national.carbon_intensity_forecast",
    "national.carbon_intensity_actual",
    "national.demand_mw",
)
ME = UUID(int=7)
GRID = "pylon_signal_tests"

PATIENT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_serial = itertools.count(1)


@dataclass(frozen=True)
class Declared:
    """A source that declares its terms and is never asked."""

    terms: Terms

    def fetch(self, request: Request) -> Batch:
        raise AssertionError("nobody asks it")


def declared(
    label: str, rank: int, *sides: Side, supplies: Sequence[Supply] = tuple(Supply), **more: Any
) -> Declared:
    return Declared(
        Terms(
            name=f"source_{label}",
            title=f"The source {label}",
            data_source=label,
            supplies=frozenset(supplies),
            homepage="",
            licence=f"licence of {label}",
            attribution=f"By {label}",
            cadence=HALF_HOUR,
            rank=rank,
            sides=frozenset(sides or Side),
            **{"delay": timedelta(0), **more},
        )
    )


NEAR, FAR, OUTTURN, MADE_UP = (
    declared("near", 40, Side.AHEAD),
    declared("far", 20, Side.AHEAD),
    declared("outturn", 50, Side.PAST),
    declared(SIMULATED, 50),
)
SOURCES = (NEAR, FAR, OUTTURN, MADE_UP)
LABELS = ("near", "far", "outturn", "import:mine", SIMULATED)


@pytest.fixture(scope="module")
def grid(cluster: Cluster, template: str) -> Iterator[Database]:
    cluster.create(GRID, template)
    with Database(cluster.dsn(GRID, LOGIN), pool_size=2) as opened:
        yield opened
    cluster.drop(GRID)


@pytest.fixture
def emptied(cluster: Cluster) -> Callable[[], None]:
    def run() -> None:
        with cluster.superuser(GRID) as session:
            session.execute("delete from public.grid_signals; delete from public.regional_grid_signals")
            session.execute("delete from public.quality_flags; delete from public.pipeline_runs")
            months = session.execute("select inhrelid::regclass::text from pg_inherits").fetchall()
            for (name,) in months:
                if name.startswith("private.") and not name.endswith("_pkey"):
                    session.execute(f"drop table {name}".encode())

    return run


@pytest.fixture
def database(grid: Database, emptied: Callable[[], None]) -> Database:
    emptied()
    return grid


def record(
    database: Database, name: str, source: str, at: datetime, starts_at: datetime, values: Sequence[float | None]
) -> None:
    """Keep one vintage as a run at `at` would."""
    one = {"series": name, "source": source, "starts_at": starts_at, "half_hour_values": list(values)}
    with database.as_ingest() as transaction:
        transaction.value("record_vintages", series=json_text([one]), run_id=UUID(int=next(_serial)), now=at)


def flag(
    database: Database,
    at: datetime,
    raised: Sequence[tuple[str, datetime]],
    checked: Mapping[str, Any],
    raw: Any = 0,
) -> None:
    """Raise flags as a run at `at` would, and clear those of `checked` half hours that are not raised again."""
    flags = [
        {"series": name, "starts_at": starts_at, "rule": "odd", "raw": raw, "reason": "It is odd."}
        for name, starts_at in raised
    ]
    looked = [{"series": name, "half_hours": list(times)} for name, times in checked.items()]
    with database.as_ingest() as transaction:
        transaction.value(
            "record_flags", flags=json_text(flags), checked=json_text(looked), run_id=UUID(int=1), now=at
        )


def committed(cluster: Cluster, run_id: int, finished_at: datetime, status: str = "SUCCEEDED") -> None:
    with cluster.superuser(GRID) as session:
        session.execute(
            "insert into public.pipeline_runs (id, status, trigger, started_at, finished_at) "
            "values (%s, %s::public.run_status, 'test', %s, %s)",
            [UUID(int=run_id), status, finished_at - timedelta(seconds=5), finished_at],
        )


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.as_ingest() as transaction:
        return transaction.statement(query.encode()).fetchall()


def read(database: Database, name: str, now: datetime, **words: Any) -> SignalReading:
    return read_signal(database, ME, name, now, sources=SOURCES, **words)


def values(reading: SignalReading) -> list[float | None]:
    return [row.value for row in reading.values]


# As it was known


@dataclass(frozen=True)
class Told:
    """One source tells a series at a moment, from a half hour on."""

    minutes: int
    source: str
    first: int
    values: list[int | None]


def tellings(labels: Sequence[str] = LABELS) -> st.SearchStrategy[list[Told]]:
    one = st.builds(
        Told,
        minutes=st.integers(0, 40).map(lambda n: 15 * n),
        source=st.sampled_from(labels),
        first=st.integers(-6, 12),
        values=st.lists(st.none() | st.integers(0, 300), min_size=1, max_size=12),
    )
    return st.lists(one, max_size=12).map(lambda told: sorted(told, key=lambda one: one.minutes))


FLAGGINGS = st.lists(
    st.tuples(
        st.integers(0, 600), st.lists(st.integers(-4, 12), max_size=3), st.lists(st.integers(-4, 12), max_size=5)
    ),
    max_size=4,
).map(lambda events: sorted(events, key=lambda event: event[0]))


def rank(label: str) -> int:
    return ranks(SOURCES).get(label, 10)


def known_naively(
    vintages: Sequence[Mapping[str, Any]], flags: Sequence[Mapping[str, Any]], at: datetime, as_of: datetime
) -> tuple[float, str, datetime] | None:
    """Read the vintages as the documentation says, one after the other."""
    for one in flags:
        stood = one["flagged_at"] <= as_of and (one["cleared_at"] is None or one["cleared_at"] > as_of)
        if one["starts_at"] == at and stood:
            return None
    best: tuple[float, str, datetime] | None = None
    for vintage in vintages:
        place = (at - vintage["starts_at"]) // HALF_HOUR
        if vintage["recorded_at"] > as_of or not 0 <= place < len(vintage["half_hour_values"]):
            continue
        value = vintage["half_hour_values"][place]
        if value is None:
            continue
        told = (value, vintage["source"], vintage["recorded_at"])
        if best is None or _precedes(best, told):
            best = told
    return best


def _precedes(best: tuple[float, str, datetime], told: tuple[float, str, datetime]) -> bool:
    """Whether `told` is believed rather than `best`; of one moment and rank, the first by name."""
    if (rank(told[1]), told[2]) != (rank(best[1]), best[2]):
        return (rank(told[1]), told[2]) > (rank(best[1]), best[2])
    return told[1] <= best[1]


@PATIENT
@given(told=tellings(), flaggings=FLAGGINGS, asked=st.integers(-30, 700), first=st.integers(-8, 4))
def test_what_was_known_is_what_a_plain_reading_of_the_vintages_finds(
    told: Sequence[Told],
    flaggings: Sequence[tuple[int, list[int], list[int]]],
    asked: int,
    first: int,
    database: Database,
    emptied: Callable[[], None],
) -> None:
    emptied()
    for one in told:
        moment = AT + timedelta(minutes=one.minutes)
        record(database, CARBON, one.source, moment, AT + one.first * HALF_HOUR, one.values)
    for minutes, raised, checked in flaggings:
        flag(
            database,
            AT + timedelta(minutes=minutes),
            [(CARBON, AT + n * HALF_HOUR) for n in set(raised)],
            {CARBON: [AT + n * HALF_HOUR for n in set(checked)]},
        )
    vintages = rows(database, "select * from public.signal_vintages order by recorded_at, run_id")
    flags = rows(database, "select * from public.quality_flags")
    as_of, start = AT + timedelta(minutes=asked), AT + first * HALF_HOUR
    end = start + timedelta(hours=9)
    reading = read(database, CARBON, AT + timedelta(days=2), start=start, end=end, as_of=as_of)
    expected = [known_naively(vintages, flags, at, as_of) for at in half_hours(start, end)]
    assert [
        None if row.value is None else (row.value, row.source, row.recorded_at) for row in reading.values
    ] == expected
    assert [row.is_simulated for row in reading.values] == [
        one is not None and one[1] == SIMULATED for one in expected
    ]
    # Every half hour is accounted for: a value, withheld, or missing with a reason.
    hidden = {one.starts_at for one in reading.withheld}
    missing = {at for gap in reading.missing for at in half_hours(gap.start, gap.end)}
    assert not hidden & missing
    assert hidden | missing == {row.starts_at for row in reading.values if row.value is None}


@PATIENT
@given(told=tellings(("near", "outturn", SIMULATED)), asked=st.integers(0, 700))
def test_a_simulated_value_never_stands_where_a_real_one_was_known(
    told: Sequence[Told], asked: int, database: Database, emptied: Callable[[], None]
) -> None:
    emptied()
    as_of = AT + timedelta(minutes=asked)
    for one in told:
        moment = AT + timedelta(minutes=one.minutes)
        record(database, CARBON, one.source, moment, AT + one.first * HALF_HOUR, one.values)
    real = {
        AT + (one.first + place) * HALF_HOUR
        for one in told
        for place, value in enumerate(one.values)
        if value is not None and one.source != SIMULATED and AT + timedelta(minutes=one.minutes) <= as_of
    }
    reading = read(database, CARBON, as_of, start=AT, end=AT + timedelta(hours=12), as_of=as_of)
    assert not [row for row in reading.values if row.is_simulated and row.starts_at in real]


def test_the_latest_view_and_the_view_as_of_now_agree(database: Database) -> None:
    """What ingest stores by rank and what is read from the vintages by rank are two tellings of one thing."""
    for minutes, source, demand in ((0, "far", 100), (5, "near", 200), (10, "far", 300), (15, SIMULATED, 400)):
        store(database, source, minutes, **{str(n): demand + n for n in range(-2, 6)})
    store(database, "outturn", 40, **{"-2": 31, "0": 33})
    now = AT + timedelta(minutes=45)
    span = {"start": AT - HALF_HOUR * 3, "end": AT + HALF_HOUR * 7}
    latest, recalled = read(database, DEMAND, now, **span), read(database, DEMAND, now, as_of=now, **span)
    assert values(latest) == values(recalled) == [None, 31, 199, 33, 201, 202, 203, 204, 205, None]
    assert [row.source for row in latest.values] == [row.source for row in recalled.values]
    assert (latest.is_latest, recalled.is_latest) == (True, False)


def store(database: Database, source: str, minutes: int, **demand: int) -> None:
    """Store what a source gives of demand by the number of the half hour."""
    readings = [NationalReading(starts_at=AT + int(n) * HALF_HOUR, demand_mw=mw) for n, mw in demand.items()]
    keep(database, source, AT + timedelta(minutes=minutes), *readings)


def keep(database: Database, source: str, now: datetime, *readings: NationalReading | RegionalReading) -> None:
    batch = Batch(
        national=[one for one in readings if isinstance(one, NationalReading)],
        regional=[one for one in readings if isinstance(one, RegionalReading)],
        rows_seen=len(readings),
    )
    with database.as_ingest() as transaction:
        ingest.store_batch(
            transaction, source, batch, ranks=ranks(SOURCES), run_id=UUID(int=next(_serial)), now=now
        )


def test_a_flagged_half_hour_is_withheld_from_when_it_was_flagged_until_it_is_cleared(database: Database) -> None:
    record(database, ACTUAL, "outturn", AT, AT - HALF_HOUR, [150])
    flag(database, AT + timedelta(minutes=10), [(ACTUAL, AT - HALF_HOUR)], {})
    flag(database, AT + timedelta(minutes=40), [], {ACTUAL: [AT - HALF_HOUR]})
    seen = {}
    for minutes in (9, 10, 39, 40):
        at = AT + timedelta(minutes=minutes)
        reading = read(database, ACTUAL, at, start=AT - HALF_HOUR, end=AT, as_of=at)
        seen[minutes] = (values(reading), [one.rule for one in reading.withheld])
    assert seen == {9: ([150], []), 10: ([None], ["odd"]), 39: ([None], ["odd"]), 40: ([150], [])}
    reading = read(database, ACTUAL, AT + HALF_HOUR, start=AT - HALF_HOUR, end=AT, as_of=AT + HALF_HOUR)
    (one,) = reading.withheld
    assert (one.starts_at, one.raw, one.reason) == (AT - HALF_HOUR, 0, "It is odd.")


def test_a_flag_that_says_that_nothing_came_withholds_nothing(database: Database) -> None:
    keep(database, "outturn", AT, NationalReading(starts_at=AT, carbon_intensity_actual=150))
    flag(database, AT, [(ACTUAL, AT), (ACTUAL, AT - HALF_HOUR)], {}, raw=None)
    now = AT + 2 * HALF_HOUR
    for words in ({}, {"as_of": now}):
        reading = read(database, ACTUAL, now, start=AT - HALF_HOUR, end=AT + HALF_HOUR, **words)
        assert (values(reading), reading.withheld) == ([None, 150], [])
        assert [gap.reason for gap in reading.missing] == ["No source has given it."]
    state = states(database, now, declared("c", 50, supplies=[Supply.CARBON]))["c"]
    assert (state.withheld, state.newest_withheld) == ({}, [])
    assert AT - HALF_HOUR in {at for gap in state.gaps[1].gaps for at in half_hours(gap.start, gap.end)}
    assert [one.raw for one in list_flags(database, now).flags] == [None, None]
    assert list_signals(database, now).signals[1].open_flags == 0


def test_the_latest_view_withholds_what_is_flagged_too(database: Database) -> None:
    keep(database, "outturn", AT, NationalReading(starts_at=AT - HALF_HOUR, carbon_intensity_actual=150))
    flag(database, AT, [(ACTUAL, AT - HALF_HOUR)], {})
    reading = read(database, ACTUAL, AT, start=AT - HALF_HOUR, end=AT)
    assert (values(reading), len(reading.withheld), reading.missing) == ([None], 1, [])


def test_the_run_is_the_last_that_had_committed_then(cluster: Cluster, database: Database) -> None:
    committed(cluster, 1, AT)
    committed(cluster, 2, AT + HALF_HOUR, "FAILED")
    committed(cluster, 3, AT + 2 * HALF_HOUR, "PARTIAL")
    found = {}
    for n in (-1, 0, 1, 2, 3):
        at = AT + n * HALF_HOUR
        run = read(database, CARBON, AT + timedelta(days=1), as_of=at).run
        found[n] = run.id.int if run else None
    assert found == {-1: None, 0: 1, 1: 1, 2: 3, 3: 3}


def test_what_is_missing_says_why(database: Database) -> None:
    reading = read(database, CARBON, AT)
    assert [gap.reason for gap in reading.missing] == ["Nothing has been recorded of this series yet."]
    assert reading.missing[0].half_hours == len(reading.values) == 96

    record(database, CARBON, "near", AT, AT, [100, None, 120])
    before = read(database, CARBON, AT, as_of=AT - timedelta(seconds=1))
    assert set(values(before)) == {None}
    (gap,) = before.missing
    assert gap.reason == "Nothing had been recorded of this series by then: the first was at 2026-11-30T22:00:00Z."

    reading = read(database, CARBON, AT, start=AT - HALF_HOUR, end=AT + 4 * HALF_HOUR, as_of=AT)
    assert [(gap.start, gap.half_hours, gap.reason) for gap in reading.missing] == [
        (AT - HALF_HOUR, 1, "No source has given it."),
        (AT + HALF_HOUR, 1, "No source has published it yet."),
        (AT + 3 * HALF_HOUR, 1, "No source has published it yet."),
    ]
    record(database, ACTUAL, "outturn", AT, AT - HALF_HOUR, [100])
    (gap,) = read(database, ACTUAL, AT, as_of=AT).missing
    assert gap.reason == "It is known only when the half hour is over."


def test_every_real_source_among_the_values_is_credited_and_no_other(database: Database) -> None:
    record(database, CARBON, SIMULATED, AT, AT, [1, 1, 1, 1])
    record(database, CARBON, "near", AT, AT, [2])
    record(database, CARBON, "import:mine", AT, AT + HALF_HOUR, [3])
    record(database, CARBON, "far", AT - timedelta(days=1), AT, [4])  # stood behind `near`
    reading = read(database, CARBON, AT, as_of=AT)
    credited = {one.data_source: (one.attribution, one.licence) for one in reading.attributions}
    assert credited == {"near": ("By near", "licence of near"), "import:mine": (None, None)}
    assert reading.contains_simulated
    assert "made up by Pylon" in str(reading.notice)


def test_a_year_and_a_day_is_read_at_once_and_no_more(database: Database) -> None:
    keep(database, "near", AT, NationalReading(starts_at=AT, carbon_intensity_forecast=5))
    year = timedelta(days=366)
    assert sum(value is not None for value in values(read(database, CARBON, AT, start=AT, end=AT + year))) == 1
    with pytest.raises(Invalid, match="366 days"):
        read(database, CARBON, AT, start=AT, end=AT + year + HALF_HOUR)
    with pytest.raises(Invalid, match="must be at least half an hour before"):
        read(database, CARBON, AT, start=AT, end=AT + timedelta(minutes=29))
    with pytest.raises(Invalid, match="is in the future"):
        read(database, CARBON, AT, as_of=AT + timedelta(seconds=1))
    with pytest.raises(NotFound, match=r"national\.carbon_intensity_forecast"):
        read(database, "national.carbon_intensity", AT)


def test_times_off_the_half_hour_are_floored_and_that_is_said(cluster: Cluster, database: Database) -> None:
    assert read(database, CARBON, AT).notes == ["No run of the pipeline has committed yet."]
    committed(cluster, 1, AT - HALF_HOUR)
    odd = timedelta(minutes=17)
    reading = read(database, CARBON, AT, start=AT + odd, end=AT + HALF_HOUR + odd)
    assert (reading.starts_at, reading.ends_at) == (AT, AT + HALF_HOUR)
    assert reading.notes == [
        "`from` was floored to the half hour 2026-11-30T22:00Z.",
        "`to` was floored to the half hour 2026-11-30T22:30Z.",
    ]
    assert read(database, CARBON, AT + odd).notes == []  # nobody asked for other times


# The live state and the regions as they were


def test_the_past_state_is_what_had_been_recorded_then(cluster: Cluster, database: Database) -> None:
    record(database, CARBON, "near", AT, AT, [100, 40])
    record(database, ACTUAL, "outturn", AT + HALF_HOUR, AT, [90])
    record(database, "region.13.carbon_intensity_forecast", "near", AT, AT, [55, 60])
    record(database, "national.wholesale_price_gbp_mwh", SIMULATED, AT, AT, [70.25])
    committed(cluster, 1, AT)
    then, after = (past_state(database, ME, AT + timedelta(days=1), at) for at in (AT, AT + timedelta(minutes=29)))
    assert then["signals"] == after["signals"]
    national = then["signals"]["national"]
    assert then["signals"]["starts_at"] == AT
    assert national["carbon_intensity_forecast"][:3] == [100, 40, None]
    assert national["carbon_intensity_actual"] == [None] * 96
    assert national["carbon_index_computed"][:3] == ["moderate", "low", None]
    assert national["provenance"]["carbon"][:3] == ["near", "near", None]
    assert national["wholesale_price_gbp_mwh"][:2] == [70.25, None]
    london = next(one for one in then["signals"]["regional"] if one["region_id"] == 13)
    assert london["carbon_intensity_forecast"][:3] == [55, 60, None]
    assert {(held["object_type"], held["quantity"], held["source"], held["rows"]) for held in then["stock"]} == {
        ("GridSignal", "carbon", "near", 2),
        ("GridSignal", "price", SIMULATED, 1),
        ("RegionalGridSignal", "carbon", "near", 2),
    }
    assert then["simulated"] == ["GridSignal.price"]
    assert then["run"]["id"] == UUID(int=1)
    assert {"DataCentre", "ComputeWorkload", "GenerationMix", "TariffRate", "CarbonFactor"} <= set(
        then["not_versioned"]
    )
    assert then["objects"].keys() == {"Region"}
    before = past_state(database, ME, AT, AT - timedelta(minutes=1))
    assert (before["run"], before["stock"], before["contains_simulated"]) == (None, [], False)


def test_a_past_half_hour_has_the_index_of_its_actual(database: Database) -> None:
    record(database, CARBON, "near", AT, AT, [100])
    record(database, ACTUAL, "outturn", AT, AT, [10])
    national = past_state(database, ME, AT, AT)["signals"]["national"]
    assert national["carbon_index_computed"][0] == "very low"


def test_the_regions_as_they_were_known(database: Database) -> None:
    record(database, "region.1.carbon_intensity_forecast", "near", AT, AT, [0, 10])
    record(database, "region.1.carbon_intensity_forecast", "near", AT + timedelta(minutes=1), AT, [99, 99])
    state = regional(database, AT + timedelta(days=1), AT)
    first, second = state.regions[:2]
    assert (first.carbon_intensity, first.carbon_index, first.forecast[:3]) == (0, "very low", [0, 10, None])
    assert (first.data_source, first.fetched_at) == ("near", AT)
    assert (second.carbon_intensity, second.data_source, set(second.forecast)) == (None, None, {None})
    assert state.not_versioned == ["generation_mix"]
    assert {region.generation_mix for region in state.regions} == {None}
    assert regional(database, AT).not_versioned == []


# Skill


def skill(database: Database, name: str, **words: Any) -> dict[tuple[str, int], tuple[int, ...]]:
    found = score_forecasts(database, name, AT + timedelta(days=3), sources=SOURCES, **words)
    return {
        (one.source, one.from_h): (one.n, one.mae, one.bias, one.rmse, one.p95_abs_error) for one in found.scores
    }


def test_the_errors_of_a_forecast_by_horizon_with_their_sign(database: Database) -> None:
    record(database, CARBON, "near", AT - timedelta(hours=2), AT, [110, 80, None, 500])
    record(database, CARBON, "near", AT - timedelta(minutes=20), AT, [101, 102])
    record(database, CARBON, "near", AT, AT, [1])  # when it has begun it is no forecast
    for n, actual in enumerate((100, 100, 100)):
        keep(
            database,
            "outturn",
            AT + timedelta(hours=3),
            NationalReading(starts_at=AT + n * HALF_HOUR, carbon_intensity_actual=actual),
        )
    found = score_forecasts(database, CARBON, AT + timedelta(days=1), sources=SOURCES)
    assert (found.actual, found.outturns, found.unit) == (ACTUAL, None, "gCO2/kWh")
    scores = {one.from_h: one for one in found.scores}
    assert scores.keys() == {0, 1}
    two_hours, soon = scores[1], scores[0]
    assert (two_hours.n, two_hours.to_h, two_hours.mae, two_hours.bias) == (2, 3, 15, -5)
    assert two_hours.rmse == pytest.approx(((100 + 400) / 2) ** 0.5)
    assert two_hours.p95_abs_error == pytest.approx(19.5)
    assert (soon.n, soon.mae, soon.bias) == (2, 1.5, 1.5)


def test_a_horizon_on_a_bound_belongs_to_the_longer(database: Database) -> None:
    for hours in HORIZONS_H[1:]:
        record(database, CARBON, "near", AT - timedelta(hours=hours), AT, [hours])
        record(database, CARBON, "far", AT - timedelta(hours=hours) + timedelta(seconds=1), AT, [hours])
    keep(database, "outturn", AT, NationalReading(starts_at=AT, carbon_intensity_actual=100))
    found = {key: 100 + bias for key, (_, _, bias, *_) in skill(database, CARBON).items()}
    assert found == {("near", hours): hours for hours in HORIZONS_H[1:]} | {
        ("far", shorter): hours for shorter, hours in itertools.pairwise(HORIZONS_H)
    }


def test_a_simulated_demand_is_what_came_once_it_was_told_after_its_half_hour(database: Database) -> None:
    store(database, SIMULATED, -60, **{"0": 100, "1": 100})
    store(database, SIMULATED, 30, **{"0": 90, "1": 95})  # the end of the first, the beginning of the second
    found = score_forecasts(database, DEMAND, AT + timedelta(hours=2), sources=SOURCES)
    assert [(one.n, one.bias) for one in found.scores] == [(1, 10)]


def test_a_withheld_actual_is_never_scored_against(database: Database) -> None:
    record(database, CARBON, "near", AT - timedelta(hours=2), AT, [110, 120])
    for n in range(2):
        keep(
            database,
            "outturn",
            AT + HALF_HOUR,
            NationalReading(starts_at=AT + n * HALF_HOUR, carbon_intensity_actual=1),
        )
    assert sum(score[0] for score in skill(database, CARBON).values()) == 2
    flag(database, AT + HALF_HOUR, [(ACTUAL, AT)], {})
    assert sum(score[0] for score in skill(database, CARBON).values()) == 1
    flag(database, AT + HALF_HOUR, [], {ACTUAL: [AT]})
    assert sum(score[0] for score in skill(database, CARBON).values()) == 2


def test_a_simulated_forecast_is_scored_against_a_simulated_actual_alone(database: Database) -> None:
    record(database, CARBON, SIMULATED, AT - HALF_HOUR, AT, [100, 100])
    record(database, CARBON, "near", AT - HALF_HOUR, AT, [100, 100])
    keep(database, SIMULATED, AT + HALF_HOUR, NationalReading(starts_at=AT, carbon_intensity_actual=70))
    keep(database, "outturn", AT + HALF_HOUR, NationalReading(starts_at=AT + HALF_HOUR, carbon_intensity_actual=90))
    found = {source: (n, mae) for (source, _), (n, mae, *_) in skill(database, CARBON).items()}
    assert found == {SIMULATED: (1, 30), "near": (1, 10)}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("region.13.carbon_intensity_forecast", "nobody measures"),
        ("national.grid_stress_score", "nobody measures it"),
        ("national.system_price_gbp_mwh", "known only afterwards"),
        (ACTUAL, "known only afterwards"),
    ],
)
def test_a_series_without_an_actual_says_why_and_which_have_one(database: Database, name: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        score_forecasts(database, name, AT)
    assert f"Valid: {CARBON}, {DEMAND}, national.wholesale_price_gbp_mwh." in refused.value.detail


def test_without_anything_to_compare_it_says_so(database: Database) -> None:
    found = score_forecasts(database, DEMAND, AT, sources=SOURCES)
    assert (found.scores, found.outturns) == ([], ["outturn"])
    assert "Nothing to compare" in found.notes[-1]
    assert (found.starts_at, found.ends_at) == (AT - timedelta(days=30), AT)


def skill_naively(database: Database, start: datetime, end: datetime) -> dict[tuple[str, int], list[float]]:
    """Compare every forecast of demand with what came, one after the other, as the documentation says."""
    vintages = rows(database, f"select * from public.signal_vintages where series = '{DEMAND}'")
    flagged = {
        row["starts_at"] for row in rows(database, "select * from public.quality_flags where cleared_at is null")
    }

    def settled(at: datetime) -> bool:
        return any(
            vintage["source"] == SIMULATED
            and vintage["recorded_at"] >= at + HALF_HOUR
            and 0 <= (place := (at - vintage["starts_at"]) // HALF_HOUR) < len(vintage["half_hour_values"])
            and vintage["half_hour_values"][place] is not None
            for vintage in vintages
        )

    actuals: dict[tuple[datetime, bool], float] = {}
    for row in rows(database, "select * from public.grid_signals where demand_mw is not null"):
        at, source = row["timestamp"], row["provenance"]["demand"]
        is_actual = source == "outturn" or (source == SIMULATED and settled(at))
        if start <= at < end and at not in flagged and is_actual:
            actuals[at, source == SIMULATED] = row["demand_mw"]
    errors: dict[tuple[str, int], list[float]] = {}
    for vintage in vintages:
        for place, value in enumerate(vintage["half_hour_values"]):
            at = vintage["starts_at"] + place * HALF_HOUR
            actual = actuals.get((at, vintage["source"] == SIMULATED))
            horizon_h = (at - vintage["recorded_at"]).total_seconds() / 3600
            if value is not None and actual is not None and horizon_h > 0:
                from_h = max(bound for bound in HORIZONS_H if bound <= horizon_h)
                errors.setdefault((vintage["source"], from_h), []).append(value - actual)
    return errors


@PATIENT
@given(
    told=st.lists(
        st.builds(
            Told,
            minutes=st.integers(-16, 24).map(lambda n: 30 * n),
            source=st.sampled_from(("near", "far", "outturn", SIMULATED)),
            first=st.integers(-8, 8),
            values=st.lists(st.integers(0, 300) | st.none(), min_size=6, max_size=40),
        ),
        min_size=2,
        max_size=10,
    ).map(lambda told: sorted(told, key=lambda one: one.minutes)),
    flagged=st.lists(st.integers(-20, 40), max_size=3),
    span=st.tuples(st.integers(-30, 0), st.integers(1, 60)),
)
def test_skill_is_what_a_plain_comparison_finds(
    told: Sequence[Told],
    flagged: Sequence[int],
    span: tuple[int, int],
    database: Database,
    emptied: Callable[[], None],
) -> None:
    emptied()
    for one in told:
        given_mw = {str(one.first + n): mw for n, mw in enumerate(one.values) if mw is not None}
        if given_mw:
            store(database, one.source, one.minutes, **given_mw)
    flag(database, AT, [(DEMAND, AT + n * HALF_HOUR) for n in set(flagged)], {})
    start, end = (AT + n * HALF_HOUR for n in span)
    expected = {
        key: (
            len(errors),
            pytest.approx(np.mean(np.abs(errors))),
            pytest.approx(np.mean(errors)),
            pytest.approx(np.sqrt(np.mean(np.square(errors)))),
            pytest.approx(np.percentile(np.abs(errors), 95)),
        )
        for key, errors in skill_naively(database, start, end).items()
    }
    assert skill(database, DEMAND, start=start, end=end) == expected


# What is held


def test_every_series_is_listed_with_what_the_ontology_says_of_it(database: Database) -> None:
    keep(
        database,
        "near",
        AT,
        NationalReading(
            starts_at=AT,
            carbon_intensity_forecast=1,
            carbon_intensity_actual=2,
            demand_mw=3,
            wholesale_price_gbp_mwh=Decimal(4),
            system_price_gbp_mwh=Decimal(5),
        ),
        *(
            RegionalReading(region_id=n, starts_at=AT, carbon_intensity_forecast=n, carbon_index=None)
            for n in range(1, 18)
        ),
    )
    keep(database, SIMULATED, AT, NationalReading(starts_at=AT + HALF_HOUR, demand_mw=3))
    keep(database, "far", AT, NationalReading(starts_at=AT, demand_mw=7))  # ranks below `near`: only a vintage
    flag(database, AT, [(DEMAND, AT)], {})
    listed = {one.name: one for one in list_signals(database, AT).signals}
    assert list(listed) == list(SERIES)
    assert len(listed) == 23
    demand, stress = listed[DEMAND], listed["national.grid_stress_score"]
    assert (demand.unit, demand.object_type, demand.column) == ("MW", "GridSignal", "demand_mw")
    assert demand.doc == "National demand on the transmission system"
    assert (demand.first_half_hour, demand.last_half_hour) == (AT, AT + HALF_HOUR)
    assert (demand.sources, demand.contains_simulated) == (["near", SIMULATED], True)
    assert (demand.latest_vintage_at, demand.open_flags) == (AT, 1)
    assert (stress.first_half_hour, stress.sources, stress.latest_vintage_at) == (None, [], None)
    held = {name for name, one in listed.items() if one.first_half_hour is not None}
    assert held == set(SERIES) - {"national.grid_stress_score"}
    assert listed["region.17.carbon_intensity_forecast"].region_id == 17


def test_every_series_that_is_held_can_be_read(database: Database) -> None:
    keep(
        database,
        "near",
        AT,
        *(
            RegionalReading(region_id=n, starts_at=AT, carbon_intensity_forecast=100 + n, carbon_index=None)
            for n in range(1, 18)
        ),
    )
    for n in range(1, 18):
        name = f"region.{n}.carbon_intensity_forecast"
        for words in ({}, {"as_of": AT}):
            assert values(read(database, name, AT, **words))[:2] == [100 + n, None]


# Sources


def states(database: Database, now: datetime, *sources: Declared) -> dict[str, Any]:
    return {one.data_source: one for one in list_sources(database, ME, now, sources=sources).sources}


def test_gaps_are_what_lacks_of_the_last_week_once_the_delay_is_over(database: Database) -> None:
    outturn = declared("outturn", 50, Side.PAST, supplies=[Supply.DEMAND], delay=timedelta(minutes=45))
    week = [AT - n * HALF_HOUR for n in range(1, 7 * 48 + 1)]
    lacking = {AT - HALF_HOUR, AT - 5 * HALF_HOUR, AT - 6 * HALF_HOUR, AT - 100 * HALF_HOUR}
    keep(database, "outturn", AT, *(NationalReading(starts_at=at, demand_mw=1) for at in week if at not in lacking))
    keep(database, SIMULATED, AT, NationalReading(starts_at=AT - 5 * HALF_HOUR, demand_mw=1))  # fills nothing real
    (lack,) = states(database, AT, outturn)["outturn"].gaps
    assert (lack.quantity, lack.half_hours) == (DEMAND, 3)  # the last half hour is not due before 22:15 + 30
    assert [(gap.start, gap.half_hours) for gap in lack.gaps] == [
        (AT - 100 * HALF_HOUR, 1),
        (AT - 6 * HALF_HOUR, 2),
    ]
    (lack,) = states(database, AT + timedelta(minutes=45), outturn)["outturn"].gaps
    assert AT - HALF_HOUR in {gap.start for gap in lack.gaps}
    flag(database, AT, [(DEMAND, AT - 100 * HALF_HOUR)], {})  # it came, and was withheld: no gap
    (lack,) = states(database, AT, outturn)["outturn"].gaps
    assert lack.half_hours == 2


def test_who_speaks_of_the_future_alone_or_makes_it_up_has_no_gaps(database: Database) -> None:
    found = states(database, AT, *SOURCES)
    assert (found["near"].gaps, found[SIMULATED].gaps) == ([], [])
    assert {lack.quantity for lack in found["outturn"].gaps} == {
        *(name for name in SERIES if name.startswith("national.") and "stress" not in name)
    }


def test_what_no_run_asks_for_is_no_gap(database: Database) -> None:
    """Regional half hours, with their mix, are asked for from the present one on: such a gap would never close."""
    regions = declared("regions", 50, supplies=[Supply.REGIONAL, Supply.MIX])
    mixes = declared("mixes", 50, supplies=[Supply.MIX])
    found = states(database, AT, regions, mixes)
    assert found["regions"].gaps == []
    assert [(lack.quantity, lack.half_hours) for lack in found["mixes"].gaps] == [("mix", 7 * 48)]


def test_a_source_whose_every_value_was_kept_out_is_not_among_those_of_the_series(database: Database) -> None:
    keep(database, "near", AT, NationalReading(starts_at=AT, demand_mw=3))
    keep(database, "import:mine", AT, NationalReading(starts_at=AT, demand_mw=7))
    assert rows(database, "select source from public.signal_vintages where source = 'import:mine'")
    demand = next(one for one in list_signals(database, AT).signals if one.name == DEMAND)
    assert demand.sources == ["near"]


def test_what_was_withheld_is_said_by_rule_with_the_newest(database: Database) -> None:
    for n in range(5):
        flag(database, AT + timedelta(minutes=n), [(ACTUAL, AT - n * HALF_HOUR)], {})
    flag(database, AT + timedelta(minutes=9), [], {ACTUAL: [AT - 4 * HALF_HOUR]})  # cleared
    found = states(
        database, AT, declared("c", 50, supplies=[Supply.CARBON]), declared("d", 50, supplies=[Supply.DEMAND])
    )
    assert (found["c"].withheld, found["d"].withheld) == ({"odd": 4}, {})
    assert [one.starts_at for one in found["c"].newest_withheld] == [AT - n * HALF_HOUR for n in (3, 2, 1)]
    assert found["d"].newest_withheld == []


def test_flags_are_listed_newest_first_and_say_when_there_are_more(database: Database) -> None:
    half_hours_flagged = [AT - n * HALF_HOUR for n in range(1005)]
    flag(database, AT, [(ACTUAL, at) for at in half_hours_flagged], {})
    flag(database, AT + HALF_HOUR, [(CARBON, AT)], {ACTUAL: [AT]})
    found = list_flags(database, AT)
    assert (found.total, len(found.flags), found.is_truncated) == (1006, 1000, True)
    assert (found.flags[0].series, found.flags[0].cleared_at) == (CARBON, None)
    assert (found.flags[1].starts_at, found.flags[1].cleared_at) == (AT, AT + HALF_HOUR)
    some = list_flags(database, AT, start=AT - HALF_HOUR, end=AT + HALF_HOUR, series=ACTUAL)
    assert (some.total, some.is_truncated) == (2, False)
    assert [one.starts_at for one in some.flags] == [AT, AT - HALF_HOUR]
    with pytest.raises(Invalid, match="must be before"):
        list_flags(database, AT, start=AT, end=AT)
    with pytest.raises(NotFound):
        list_flags(database, AT, series="nothing")


def test_a_source_that_no_run_has_asked_has_no_outcome(database: Database) -> None:
    state = states(database, NOW, NEAR)["near"]
    assert (state.outcome, state.age_s, state.last_answered_at, state.fault) == (None, None, None, None)
    assert (state.title, state.rank, state.licence, state.sides) == (
        "The source near",
        40,
        "licence of near",
        [Side.AHEAD],
    )
