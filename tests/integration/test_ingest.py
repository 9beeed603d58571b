"""Ingest: what is stored of what came, what of it counts as new, and what may never replace what."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pylon.errors import Invalid
from pylon.ontology import carbon
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import Fuel
from pylon.ontology.fleet import DataCentre
from pylon.services import ingest
from pylon.services.ingest import Stored
from pylon.services.score_stress import STRESS_SOURCE, score_stress
from pylon.sources.feed import SIMULATED, Batch, NationalReading, RegionalReading
from pylon.store.database import Database, json_text
from tests.conftest import LOGIN, NOW, Tenants
from tests.doubles.postgres import Cluster

AT = NOW
RUN = UUID(int=1)
RANKS = {SIMULATED: 0, "forecast_api": 30, "api": 50, "other": 50, "demand_api": 50, "other_api": 50}
GRID = "pylon_ingest_tests"

_ticks = itertools.count(1)


def later() -> datetime:
    """Return a moment after every one returned before, within the half hour."""
    return NOW + next(_ticks) * timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def grid(cluster: Cluster, template: str) -> Iterator[Database]:
    cluster.create(GRID, template)
    with Database(cluster.dsn(GRID, LOGIN), pool_size=2) as opened:
        yield opened
    cluster.drop(GRID)


@pytest.fixture
def database(grid: Database, empty_grid: Callable[[], None]) -> Database:
    """One database for the module, without grid data when a test begins: a clone for each would take longer."""
    empty_grid()
    return grid


@pytest.fixture
def empty_grid(cluster: Cluster) -> Callable[[], None]:
    def run() -> None:
        with cluster.superuser(GRID) as session:
            session.execute("delete from public.grid_signals; delete from public.regional_grid_signals")
            session.execute("delete from public.carbon_factors")
            months = session.execute("select inhrelid::regclass::text from pg_inherits").fetchall()
            for (name,) in months:
                if name.startswith("private.") and not name.endswith("_pkey"):
                    session.execute(f"drop table {name}".encode())

    return run


def store(
    database: Database,
    *readings: NationalReading | RegionalReading,
    source: str = "api",
    now: datetime | None = None,
    **more: Any,
) -> Stored:
    """Store what one source gave, each time a little later."""
    batch = Batch(
        national=[one for one in readings if isinstance(one, NationalReading)],
        regional=[one for one in readings if isinstance(one, RegionalReading)],
        rows_seen=len(readings),
        **more,
    )
    with database.as_ingest() as transaction:
        return ingest.store_batch(transaction, source, batch, ranks=RANKS, run_id=RUN, now=now or later())


def national(**values: Any) -> NationalReading:
    return NationalReading(**{"starts_at": AT, **values})


def regional(**values: Any) -> RegionalReading:
    return RegionalReading(
        **{"starts_at": AT, "region_id": 13, "carbon_intensity_forecast": 90, "carbon_index": "low", **values}
    )


def fetch(database: Database, query: str, **values: Any) -> list[dict[str, Any]]:
    with database.as_ingest() as transaction:
        return transaction.statement(query.encode(), **values).fetchall()


def signal(database: Database, at: datetime = AT) -> dict[str, Any]:
    (row,) = fetch(database, 'select * from public.grid_signals where "timestamp" = %(at)s', at=at)
    return row


def region(database: Database, number: int = 13) -> dict[str, Any]:
    query = (
        "select s.* from public.regional_grid_signals s join public.regions r on r.id = s.region_id "
        "where r.region_id = %(number)s"
    )
    (row,) = fetch(database, query, number=number)
    return row


def mix(database: Database, of: str = "grid_signal_id") -> dict[str, Decimal]:
    rows = fetch(database, f"select fuel_type, percentage from public.generation_mix where {of} is not null")
    return {row["fuel_type"]: row["percentage"] for row in rows}


def versions(database: Database, table: str) -> list[tuple[Any, ...]]:
    """Which transaction wrote each row, and where it lies: both change with every new version of a row."""
    rows = fetch(database, f"select xmin::text, ctid::text from public.{table} order by ctid")
    return [(row["xmin"], row["ctid"]) for row in rows]


def vintages(database: Database) -> list[dict[str, Any]]:
    return fetch(
        database,
        "select series, starts_at, half_hour_values, source, run_id, recorded_at from public.signal_vintages "
        "order by recorded_at, series",
    )


WHOLE = national(
    carbon_intensity_forecast=100,
    carbon_index="low",
    demand_mw=30_000,
    wholesale_price_gbp_mwh=Decimal("71.25"),
    mix={Fuel.WIND: Decimal("60.5"), Fuel.GAS: Decimal("39.5")},
)


# What is new and what is not


def test_a_fresh_reading_is_stored_with_the_source_of_each_quantity(database: Database) -> None:
    assert store(database, WHOLE) == Stored(written=3, unchanged=0, vintages=3)
    row = signal(database)
    assert row["provenance"] == {"carbon": "api", "demand": "api", "price": "api", "mix": "api"}
    assert row["data_source"] == "api"
    assert (row["carbon_intensity_forecast"], row["demand_mw"]) == (100, 30_000)
    assert row["wholesale_price_gbp_mwh"] == Decimal("71.25")
    assert row["is_forecast"] is True
    assert mix(database) == {"wind": Decimal("60.50"), "gas": Decimal("39.50")}


def test_a_fresh_regional_reading_is_stored_under_the_regions_number(database: Database) -> None:
    assert store(database, regional(mix={Fuel.WIND: Decimal(100)})).written == 2
    assert region(database)["carbon_intensity_forecast"] == 90
    assert mix(database, "regional_signal_id") == {"wind": Decimal(100)}


def test_what_is_stored_already_is_not_written_again(database: Database) -> None:
    readings = [WHOLE, regional(mix={Fuel.WIND: Decimal(100)})]
    store(database, *readings, now=NOW)
    tables = ("grid_signals", "regional_grid_signals", "generation_mix")
    before = [versions(database, table) for table in tables]
    assert store(database, *readings, now=NOW + HALF_HOUR) == Stored(written=0, unchanged=2, vintages=0)
    assert [versions(database, table) for table in tables] == before
    assert signal(database)["fetched_at"] == NOW


def test_one_value_that_changed_is_one_row_written(database: Database) -> None:
    readings = [national(starts_at=AT + n * HALF_HOUR, demand_mw=30_000) for n in range(4)]
    store(database, *readings)
    readings[2] = national(starts_at=AT + 2 * HALF_HOUR, demand_mw=30_001)
    assert store(database, *readings, now=NOW + HALF_HOUR) == Stored(written=1, unchanged=3, vintages=1)
    assert signal(database, AT + 2 * HALF_HOUR)["fetched_at"] == NOW + HALF_HOUR


def test_one_share_that_changed_is_one_row_of_the_mix_written(database: Database) -> None:
    store(database, WHOLE)
    changed = national(mix={Fuel.WIND: Decimal("60.5"), Fuel.GAS: Decimal("39.4")})
    assert store(database, changed) == Stored(written=1, unchanged=1, vintages=0)
    assert mix(database) == {"wind": Decimal("60.50"), "gas": Decimal("39.40")}


def test_a_fuel_that_a_new_mix_leaves_out_is_no_longer_part_of_it(database: Database) -> None:
    store(database, WHOLE, regional(mix=WHOLE.mix))
    store(database, national(mix={Fuel.WIND: Decimal(100)}), regional(mix={Fuel.WIND: Decimal(100)}))
    assert mix(database) == mix(database, "regional_signal_id") == {"wind": Decimal(100)}


def test_a_reading_without_a_mix_leaves_the_mix_as_it_is(database: Database) -> None:
    store(database, WHOLE, regional(mix=WHOLE.mix))
    store(database, national(demand_mw=1, mix={}), regional(mix={}))
    assert len(mix(database)) == len(mix(database, "regional_signal_id")) == 2


def test_a_quantity_that_a_source_does_not_give_stays_as_it_was(database: Database) -> None:
    store(database, WHOLE)
    store(database, national(demand_mw=31_000), source="demand_api")
    row = signal(database)
    assert (row["carbon_intensity_forecast"], row["demand_mw"]) == (100, 31_000)
    assert row["provenance"] == {"carbon": "api", "demand": "demand_api", "price": "api", "mix": "api"}


def test_what_is_missing_stays_missing_and_is_never_zero(database: Database) -> None:
    store(database, national(demand_mw=30_000), regional(carbon_intensity_forecast=None, carbon_index=None))
    row = signal(database)
    empty = ("carbon_intensity_forecast", "carbon_intensity_actual", "wholesale_price_gbp_mwh", "grid_stress_score")
    assert [row[name] for name in (*empty, "carbon_index", "data_source")] == [None] * 6
    assert row["provenance"] == {"demand": "api"}
    assert region(database)["carbon_intensity_forecast"] is None


def test_zero_is_a_value(database: Database) -> None:
    store(
        database, national(demand_mw=0, wholesale_price_gbp_mwh=Decimal(0)), regional(carbon_intensity_forecast=0)
    )
    assert (signal(database)["demand_mw"], signal(database)["wholesale_price_gbp_mwh"]) == (0, 0)
    assert region(database)["carbon_intensity_forecast"] == 0


def test_a_reading_that_says_nothing_is_not_stored(database: Database) -> None:
    assert store(database, national()).written == 0
    assert fetch(database, "select id from public.grid_signals") == []


# Actuals


def test_an_actual_that_arrives_later_makes_the_half_hour_past(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100))
    assert signal(database)["is_forecast"] is True
    assert store(database, national(carbon_intensity_forecast=100, carbon_intensity_actual=110)).written == 1
    row = signal(database)
    assert (row["carbon_intensity_forecast"], row["carbon_intensity_actual"]) == (100, 110)
    assert row["is_forecast"] is False


def test_an_actual_once_given_stays_when_the_same_source_leaves_it_out(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100, carbon_intensity_actual=400))
    known = signal(database)
    assert store(database, national(carbon_intensity_forecast=100)).written == 0
    assert signal(database) == known


def test_the_computed_index_goes_by_the_actual_that_stays(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100, carbon_intensity_actual=400))
    index = signal(database)["carbon_index_computed"]
    store(database, national(carbon_intensity_forecast=20))
    row = signal(database)
    assert (row["carbon_intensity_forecast"], row["carbon_intensity_actual"]) == (20, 400)
    assert row["carbon_index_computed"] == index


# Values withheld


ACTUAL, FORECAST = "carbon_intensity_actual", "carbon_intensity_forecast"


def test_an_actual_that_is_withheld_is_taken_back(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100, carbon_intensity_actual=400, carbon_index="very high"))
    withheld = national(carbon_intensity_forecast=100, withheld=frozenset({ACTUAL}))
    assert store(database, withheld).written == 1
    row = signal(database)
    assert (row[FORECAST], row[ACTUAL], row["carbon_index"], row["is_forecast"]) == (100, None, None, True)
    assert row["carbon_index_computed"] == carbon.index(100, AT.year)
    assert store(database, withheld).written == 0


def test_a_forecast_that_is_withheld_stays_as_it_was(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100, carbon_index="low"))
    known = signal(database)
    assert store(database, national(withheld=frozenset({FORECAST}))).written == 0
    assert signal(database) == known
    assert store(database, national(carbon_intensity_actual=30, withheld=frozenset({FORECAST}))).written == 1
    assert (signal(database)[FORECAST], signal(database)[ACTUAL]) == (100, 30)


def test_where_both_are_withheld_the_forecast_stays_with_its_index(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100, carbon_index="low"))
    known = signal(database)
    assert store(database, national(withheld=frozenset({FORECAST, ACTUAL}))).written == 0
    assert signal(database) == known


def test_a_half_hour_of_which_all_is_withheld_says_who_gave_it_and_nothing_else(database: Database) -> None:
    assert store(database, national(withheld=frozenset({FORECAST, ACTUAL}))).written == 1
    row = signal(database)
    assert (row["data_source"], row[FORECAST], row[ACTUAL], row["carbon_index_computed"]) == (
        "api",
        None,
        None,
        None,
    )


def test_a_simulated_forecast_does_not_stand_in_under_a_real_label(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100), source=SIMULATED)
    store(database, national(withheld=frozenset({FORECAST})))
    row = signal(database)
    assert (row["data_source"], row[FORECAST], row["carbon_index_computed"]) == ("api", None, None)


def test_the_word_of_an_actual_stays_with_it(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100, carbon_intensity_actual=400, carbon_index="very high"))
    store(database, national(carbon_intensity_forecast=100, carbon_index="low"))
    assert (signal(database)[ACTUAL], signal(database)["carbon_index"]) == (400, "very high")


# Several real sources


@pytest.mark.parametrize("order", list(itertools.permutations(["unknown_import", "forecast_api", "api"])))
def test_the_higher_rank_is_kept_whatever_the_order(order: tuple[str, ...], database: Database) -> None:
    values = {"unknown_import": 1, "forecast_api": 2, "api": 3}
    for source in order:
        store(database, national(demand_mw=values[source]), source=source)
    assert (signal(database)["demand_mw"], signal(database)["provenance"]) == (3, {"demand": "api"})


def test_of_equal_ranks_the_later_is_kept(database: Database) -> None:
    store(database, national(demand_mw=1), regional(carbon_intensity_forecast=1))
    store(database, national(demand_mw=2), regional(carbon_intensity_forecast=2), source="other")
    assert (signal(database)["demand_mw"], region(database)["carbon_intensity_forecast"]) == (2, 2)


def test_a_label_that_no_source_carries_ranks_above_a_simulated_one_and_below_a_known_one(
    database: Database,
) -> None:
    store(database, national(demand_mw=1), regional(carbon_intensity_forecast=1), source="my_meter")
    store(database, national(demand_mw=2), regional(carbon_intensity_forecast=2), source=SIMULATED)
    assert (signal(database)["demand_mw"], region(database)["carbon_intensity_forecast"]) == (1, 1)
    store(database, national(demand_mw=3), regional(carbon_intensity_forecast=3), source="forecast_api")
    assert (signal(database)["demand_mw"], region(database)["carbon_intensity_forecast"]) == (3, 3)


# Simulated and real


QUANTITIES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "carbon": ({"carbon_intensity_forecast": 1}, {"carbon_intensity_forecast": 2}, "carbon_intensity_forecast"),
    "demand": ({"demand_mw": 1}, {"demand_mw": 2}, "demand_mw"),
    "system_price": (
        {"system_price_gbp_mwh": Decimal(1)},
        {"system_price_gbp_mwh": Decimal(2)},
        "system_price_gbp_mwh",
    ),
    "price": (
        {"wholesale_price_gbp_mwh": Decimal(1)},
        {"wholesale_price_gbp_mwh": Decimal(2)},
        "wholesale_price_gbp_mwh",
    ),
}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_simulated_value_never_replaces_a_real_one(quantity: str, database: Database) -> None:
    real, simulated, column = QUANTITIES[quantity]
    store(database, national(**real))
    assert store(database, national(**simulated), source=SIMULATED).written == 0
    assert signal(database)[column] == 1
    assert signal(database)["provenance"] == {quantity: "api"}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_real_value_always_replaces_a_simulated_one(quantity: str, database: Database) -> None:
    simulated, real, column = QUANTITIES[quantity]
    store(database, national(**simulated), source=SIMULATED)
    assert signal(database)["provenance"] == {quantity: SIMULATED}
    assert store(database, national(**real)).written == 1
    assert signal(database)[column] == 2
    assert signal(database)["provenance"] == {quantity: "api"}


def test_each_quantity_is_judged_by_itself(database: Database) -> None:
    store(database, national(demand_mw=1))
    store(database, national(demand_mw=2, wholesale_price_gbp_mwh=Decimal(3)), source=SIMULATED)
    row = signal(database)
    assert (row["demand_mw"], row["wholesale_price_gbp_mwh"]) == (1, 3)
    assert row["provenance"] == {"demand": "api", "price": SIMULATED}


def test_a_simulated_actual_does_not_survive_under_a_real_label(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=1, carbon_intensity_actual=1), source=SIMULATED)
    store(database, national(carbon_intensity_forecast=2))
    row = signal(database)
    assert (row["carbon_intensity_forecast"], row["carbon_intensity_actual"]) == (2, None)
    assert (row["data_source"], row["is_forecast"]) == ("api", True)


def test_a_simulated_mix_never_replaces_a_real_one(database: Database) -> None:
    store(database, WHOLE, regional(mix=WHOLE.mix))
    simulated = {Fuel.COAL: Decimal(100)}
    assert store(database, national(mix=simulated), regional(mix=simulated), source=SIMULATED).written == 0
    assert mix(database) == mix(database, "regional_signal_id") == WHOLE.mix


def test_no_share_of_a_simulated_mix_survives_under_a_real_label(database: Database) -> None:
    simulated = {Fuel.COAL: Decimal(30), Fuel.WIND: Decimal(70)}
    store(database, national(mix=simulated), regional(mix=simulated), source=SIMULATED)
    real = {Fuel.WIND: Decimal(100)}
    store(database, national(mix=real), regional(mix=real))
    assert mix(database) == mix(database, "regional_signal_id") == real


def test_a_region_that_turns_real_without_a_mix_loses_the_simulated_one(database: Database) -> None:
    store(database, regional(mix={Fuel.WIND: Decimal(100)}), source=SIMULATED)
    store(database, regional())
    assert region(database)["data_source"] == "api"
    assert mix(database, "regional_signal_id") == {}


def test_a_simulated_region_never_replaces_a_real_one(database: Database) -> None:
    store(database, regional(carbon_intensity_forecast=1))
    assert store(database, regional(carbon_intensity_forecast=2), source=SIMULATED).written == 0
    assert (region(database)["carbon_intensity_forecast"], region(database)["data_source"]) == (1, "api")


def test_simulated_factors_never_replace_real_ones(database: Database) -> None:
    assert store(database, factors={"Gas": 394}).written == 1
    assert store(database, factors={"Gas": 394}).written == 0
    assert store(database, factors={"Gas": 1}, source=SIMULATED).written == 0
    assert store(database, factors={"Gas": 400}, source="other_api").written == 1
    assert fetch(database, "select factor_gco2_kwh, data_source from public.carbon_factors") == [
        {"factor_gco2_kwh": 400, "data_source": "other_api"}
    ]


# Refused


def test_an_unknown_fuel_is_refused_and_nothing_of_its_batch_kept(database: Database) -> None:
    rows = [
        {
            "timestamp": AT,
            "settlement_period": 19,
            "provenance": {"mix": "api"},
            "mix": {"fusion": 100},
        }
    ]
    with pytest.raises(Invalid, match="generation_mix_fuel_type_valid"), database.as_ingest() as transaction:
        transaction.value("ingest_national", rows=json_text(rows), ranks=json_text(RANKS), now=NOW)
    assert fetch(database, "select id from public.grid_signals") == []


def test_a_value_outside_its_range_is_refused(database: Database) -> None:
    with pytest.raises(Invalid, match="demand_mw_range"):
        store(database, national(demand_mw=-1))


# Time


def test_settlement_periods_are_counted_in_london_on_days_of_46_48_and_50_half_hours(database: Database) -> None:
    periods = {
        datetime(2026, 11, 22, 0, 0, tzinfo=UTC): 1,
        datetime(2026, 7, 1, 23, 0, tzinfo=UTC): 1,
        datetime(2026, 3, 29, 0, 30, tzinfo=UTC): 2,
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC): 3,
        datetime(2026, 3, 29, 22, 30, tzinfo=UTC): 46,
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC): 4,
        datetime(2026, 10, 25, 1, 0, tzinfo=UTC): 5,
        datetime(2026, 10, 25, 23, 30, tzinfo=UTC): 50,
    }
    for at in periods:
        store(database, national(starts_at=at, demand_mw=1))
    assert {at: signal(database, at)["settlement_period"] for at in periods} == periods


def test_a_replay_of_the_past_is_stored_on_the_pasts_clock(database: Database) -> None:
    past = datetime(2023, 2, 1, 12, tzinfo=UTC)
    store(database, national(starts_at=past, demand_mw=1), now=past)
    assert signal(database, past)["fetched_at"] == past
    assert [row["recorded_at"] for row in vintages(database)] == [past]


# Vintages


def test_a_series_is_kept_as_the_run_saw_it_gaps_and_all(database: Database) -> None:
    readings = [national(starts_at=AT + n * HALF_HOUR, demand_mw=value) for n, value in ((0, 1), (1, None), (3, 4))]
    store(database, *readings, now=NOW)
    assert vintages(database) == [
        {
            "series": "national.demand_mw",
            "starts_at": AT,
            "half_hour_values": [1.0, None, None, 4.0],
            "source": "api",
            "run_id": RUN,
            "recorded_at": NOW,
        }
    ]


def test_every_region_has_a_series_of_its_own(database: Database) -> None:
    store(database, regional(region_id=1), regional(region_id=17))
    assert [row["series"] for row in vintages(database)] == [
        "region.1.carbon_intensity_forecast",
        "region.17.carbon_intensity_forecast",
    ]


def test_the_same_series_is_not_kept_twice_and_a_changed_one_is(database: Database) -> None:
    assert store(database, national(demand_mw=1), now=NOW).vintages == 1
    assert store(database, national(demand_mw=1), now=NOW + HALF_HOUR).vintages == 0
    assert store(database, national(demand_mw=2), now=NOW + 2 * HALF_HOUR).vintages == 1
    assert store(database, national(demand_mw=1), now=NOW + 3 * HALF_HOUR).vintages == 1
    assert [row["half_hour_values"] for row in vintages(database)] == [[1.0], [2.0], [1.0]]


def test_the_end_of_a_series_that_has_not_changed_is_not_kept_again(database: Database) -> None:
    """What one run looked back for and the next did not is no news; half hours that are gone from the end are."""
    four = [national(starts_at=AT + n * HALF_HOUR, demand_mw=n + 1) for n in range(4)]
    assert store(database, *four, now=NOW).vintages == 1
    assert store(database, *four[2:], now=NOW + HALF_HOUR).vintages == 0
    assert store(database, *four[:2], now=NOW + 2 * HALF_HOUR).vintages == 1
    assert store(database, *four, now=NOW + 3 * HALF_HOUR).vintages == 1
    assert (
        store(database, national(starts_at=AT + 4 * HALF_HOUR, demand_mw=5), now=NOW + 4 * HALF_HOUR).vintages == 1
    )


def test_the_same_values_from_another_source_are_another_vintage(database: Database) -> None:
    assert store(database, national(demand_mw=1), source=SIMULATED).vintages == 1
    assert store(database, national(demand_mw=1), now=NOW + HALF_HOUR).vintages == 1


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, 999_999, tzinfo=UTC), "202611"),
        (datetime(2026, 12, 1, 0, 0, tzinfo=UTC), "202612"),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "202612"),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), "202701"),
        (datetime(2026, 7, 31, 23, 30, tzinfo=UTC), "202607"),
        (datetime(2023, 2, 28, 12, 0, tzinfo=UTC), "202302"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "Pacific/Auckland"])
def test_a_vintage_lies_in_the_partition_of_its_month_in_utc(
    at: datetime, month: str, zone: str, database: Database
) -> None:
    record(database, at, zone)
    rows = fetch(
        database,
        "select tableoid::regclass::text as part from public.signal_vintages where recorded_at = %(at)s",
        at=at,
    )
    assert {row["part"] for row in rows} == {f"private.signal_vintages_{month}"}


def record(database: Database, at: datetime, zone: str) -> None:
    series = [{"series": zone, "starts_at": at, "half_hour_values": [at.year + at.month / 100], "source": "api"}]
    with database.as_ingest() as transaction:
        transaction.statement(b"select set_config('timezone', %(zone)s, true)", zone=zone)
        transaction.value("record_vintages", series=json_text(series), run_id=RUN, now=at)


def test_partitions_of_months_in_any_order_do_not_overlap(database: Database) -> None:
    for month in (12, 1, 11, 2):
        record(database, datetime(2026, month, 15, tzinfo=UTC), "UTC")
    assert len(vintages(database)) == 4


# Stress


def score(database: Database, hours: int = 1) -> Stored:
    with database.as_ingest() as transaction:
        return score_stress(transaction, start=AT, end=AT + timedelta(hours=hours), run_id=RUN, now=later())


def history(database: Database, *, source: str = "api") -> None:
    """A month of half hours before, so that the present ones have something to be ranked against."""
    past = [
        national(starts_at=AT - n * HALF_HOUR, demand_mw=20_000 + 10 * n, wholesale_price_gbp_mwh=Decimal(n) / 10)
        for n in range(1, 1441)
    ]
    store(database, *past, source=source)


def test_stress_of_real_demand_and_price_is_labelled_with_its_method(database: Database) -> None:
    history(database)
    store(database, WHOLE)
    assert score(database) == Stored(written=1, unchanged=0, vintages=1)
    row = signal(database)
    assert 0 <= row["grid_stress_score"] <= 1
    assert row["provenance"]["stress"] == STRESS_SOURCE


def test_stress_of_simulated_demand_and_price_is_labelled_simulated(database: Database) -> None:
    store(database, WHOLE, source=SIMULATED)
    score(database)
    assert signal(database)["provenance"]["stress"] == SIMULATED
    assert {row["source"] for row in vintages(database) if "stress" in row["series"]} == {SIMULATED}


def test_a_simulated_price_never_enters_a_score_labelled_real(database: Database) -> None:
    history(database)
    store(database, national(demand_mw=30_000))
    score(database)
    without = signal(database)
    store(database, national(wholesale_price_gbp_mwh=Decimal(9_999)), source=SIMULATED)
    assert score(database).written == 0
    row = signal(database)
    assert row["provenance"]["price"] == SIMULATED
    assert row["provenance"]["stress"] == STRESS_SOURCE
    assert (row["grid_stress_score"], row["grid_stress_detail"]) == (
        without["grid_stress_score"],
        without["grid_stress_detail"],
    )


def test_simulated_history_is_never_ranked_against(database: Database) -> None:
    store(database, WHOLE)
    score(database)
    before = signal(database)
    history(database, source=SIMULATED)
    assert score(database).written == 0
    assert signal(database) == before


def test_a_real_score_replaces_a_simulated_one_when_real_values_come(database: Database) -> None:
    store(database, WHOLE, source=SIMULATED)
    score(database)
    store(database, WHOLE)
    score(database)
    assert signal(database)["provenance"]["stress"] == STRESS_SOURCE


def test_a_half_hour_without_demand_and_price_has_no_score(database: Database) -> None:
    store(database, national(carbon_intensity_forecast=100))
    assert score(database) == Stored(0, 0, 0)
    assert signal(database)["grid_stress_score"] is None
    assert "stress" not in signal(database)["provenance"]


def test_scoring_again_writes_nothing(database: Database) -> None:
    history(database)
    store(database, *(national(starts_at=AT + n * HALF_HOUR, demand_mw=25_000 + 777 * n) for n in range(8)))
    assert score(database, hours=4).written == 8
    before = versions(database, "grid_signals")
    assert score(database, hours=4) == Stored(written=0, unchanged=8, vintages=0)
    assert versions(database, "grid_signals") == before


# Data centres


def test_centres_follow_their_regions_forecast(tenants: Tenants) -> None:
    tenants.a.make(DataCentre)
    database = tenants.a.database
    store(database, regional(region_id=1, carbon_intensity_forecast=55))
    for written in (1, 0):
        with database.as_ingest() as transaction:
            assert ingest.refresh_centres(transaction, NOW + timedelta(minutes=29)) == written
    with database.as_reader(tenants.a.id) as transaction:
        rows = transaction.statement(b"select current_carbon_intensity as g from public.data_centres").fetchall()
    assert rows == [{"g": 55}]


# Laws


def readings() -> st.SearchStrategy[Sequence[NationalReading]]:
    small = st.none() | st.integers(0, 500)
    one = st.builds(
        NationalReading,
        starts_at=st.integers(0, 5).map(lambda n: AT + n * HALF_HOUR),
        carbon_intensity_forecast=small,
        carbon_intensity_actual=small,
        demand_mw=small,
        wholesale_price_gbp_mwh=st.none() | st.decimals(-500, 500, places=4),
        mix=st.none() | st.dictionaries(st.sampled_from(Fuel), st.decimals(0, 100, places=3), max_size=3),
    )
    return st.lists(one, max_size=6, unique_by=lambda reading: reading.starts_at)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.tuples(readings(), st.sampled_from(["api", "other", SIMULATED])), min_size=1, max_size=3)
)
def test_storing_the_last_batch_again_writes_nothing(
    batches: Iterable[tuple[Sequence[NationalReading], str]], database: Database, empty_grid: Callable[[], None]
) -> None:
    empty_grid()
    for batch, source in batches:
        store(database, *batch, source=source)
    before = [versions(database, table) for table in ("grid_signals", "generation_mix")]
    assert store(database, *batch, source=source).written == 0
    assert [versions(database, table) for table in ("grid_signals", "generation_mix")] == before


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(real=readings(), simulated=readings())
def test_real_and_simulated_values_end_the_same_in_either_order(
    real: Sequence[NationalReading],
    simulated: Sequence[NationalReading],
    database: Database,
    empty_grid: Callable[[], None],
) -> None:
    ends = []
    for order in ((real, simulated), (simulated, real)):
        empty_grid()
        for batch in order:
            store(database, *batch, source="api" if batch is real else SIMULATED)
        ends.append(stored(database))
    assert ends[0] == ends[1]


def stored(database: Database) -> list[dict[str, Any]]:
    query = (
        'select "timestamp", carbon_intensity_forecast, carbon_intensity_actual, carbon_index_computed, demand_mw, '
        "wholesale_price_gbp_mwh, provenance, data_source, is_forecast, "
        "(select jsonb_object_agg(m.fuel_type, m.percentage) from public.generation_mix m "
        ' where m.grid_signal_id = s.id) as mix from public.grid_signals s order by "timestamp"'
    )
    return fetch(database, query)


# What was withheld, and when


def flag(database: Database, at: datetime, raw: int | None) -> dict[str, int]:
    """Record that the actual of a half hour was looked at, and with `raw` that it broke a rule."""
    raised = [{"series": "national.x", "starts_at": AT, "rule": "r", "raw": raw, "reason": "Odd."}] if raw else []
    looked = [{"series": "national.x", "half_hours": [AT]}]
    with database.as_ingest() as transaction:
        done: dict[str, int] = transaction.value(
            "record_flags", flags=json_text(raised), checked=json_text(looked), run_id=RUN, now=at
        )
    return done


def test_each_time_a_value_is_withheld_is_kept_with_when_it_stood(dsn: str, app_dsn: str) -> None:
    times = [AT + number * HALF_HOUR for number in range(5)]
    with Database(app_dsn, pool_size=1) as own:
        assert flag(own, times[0], 250) == {"raised": 1, "cleared": 0}
        assert flag(own, times[0], 250) == {"raised": 0, "cleared": 0}
        assert flag(own, times[1], None) == {"raised": 0, "cleared": 1}
        assert flag(own, times[2], 260) == {"raised": 1, "cleared": 0}
        assert flag(own, times[3], 270) == {"raised": 1, "cleared": 1}
        assert flag(own, times[3], 280) == {"raised": 1, "cleared": 0}
        assert flag(own, times[4], 280) == {"raised": 0, "cleared": 0}
    with psycopg.connect(dsn) as owner:
        owner.execute("set role anon")
        rows = owner.execute(
            "select raw, flagged_at, cleared_at from public.quality_flags order by flagged_at"
        ).fetchall()
    assert rows == [(250, times[0], times[1]), (260, times[2], times[3]), (280, times[3], None)]


def test_what_one_import_left_out_another_does_not_take_away(database: Database) -> None:
    store(database, NationalReading(starts_at=AT, carbon_intensity_forecast=100), source="import:forecasts")
    store(database, NationalReading(starts_at=AT, carbon_intensity_actual=90), source="import:actuals")
    with database.as_anyone() as transaction:
        (row,) = transaction.all("national_signals", start=AT, end=AT + HALF_HOUR)
    assert (row["carbon_intensity_forecast"], row["carbon_intensity_actual"]) == (100, 90)
