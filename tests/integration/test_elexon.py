"""Elexon's Insights API over real HTTP, through to the database: what is asked, refused, missing and stored."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pylon.errors import SourceChanged, SourceError, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, periods_in, settlement_period
from pylon.services import ingest
from pylon.sources.elexon import SOURCES, DemandForecast, DemandOutturn, MarketIndex, SystemPrice
from pylon.sources.feed import Batch, Request, Source, ranks
from pylon.sources.http import Http
from pylon.store.database import Database
from tests.conftest import LOGIN
from tests.doubles import elexon_series as rows
from tests.doubles.answers import Answer, broken_off, empty, html_error, too_many_requests, truncated
from tests.doubles.elexon import Elexon, Fault
from tests.doubles.postgres import Cluster
from tests.doubles.recordings import recordings_folder

GRID = "pylon_elexon_tests"
DAY = timedelta(days=1)
LAST_FORECAST = datetime(2026, 8, 19, 10, 49, tzinfo=UTC)
COLUMNS = {
    "elexon_ndf": "demand_mw",
    "elexon_indo": "demand_mw",
    "elexon_market_index": "wholesale_price_gbp_mwh",
    "elexon_system_price": "system_price_gbp_mwh",
}
KEYS = {"demand_mw": "demand", "wholesale_price_gbp_mwh": "price", "system_price_gbp_mwh": "system_price"}

_runs = itertools.count(1)

EVERY = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.terms.name)


@pytest.fixture(scope="module")
def server() -> Iterator[Elexon]:
    with Elexon() as api:
        yield api


@pytest.fixture
def api(server: Elexon) -> Elexon:
    server.reset()
    return server


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout_s=5, attempts=3, wait_s=0.01) as http:
        yield http


@pytest.fixture(scope="module")
def grid(cluster: Cluster, template: str) -> Iterator[Database]:
    cluster.create(GRID, template)
    with Database(cluster.dsn(GRID, LOGIN), pool_size=2) as opened:
        yield opened
    cluster.drop(GRID)


@pytest.fixture
def database(cluster: Cluster, grid: Database) -> Database:
    """One database for the module, without grid data when a test begins."""
    with cluster.superuser(GRID) as session:
        session.execute("delete from public.grid_signals")
    return grid


def request(
    api: Elexon, http: Http, start: datetime | None = None, end: datetime | None = None, now: datetime | None = None
) -> Request:
    now = now or api.clock.now
    return Request(
        now=now,
        start=start or floor(now) - DAY,
        end=end or floor(now) + 2 * DAY,
        seed=1,
        http=http,
        base_urls={"elexon": f"{api.url}/"},
    )


def store(database: Database, source: Source, batch: Batch, now: datetime) -> ingest.Stored:
    with database.as_ingest() as transaction:
        return ingest.store_batch(
            transaction,
            source.terms.data_source,
            batch,
            ranks=ranks(SOURCES),
            run_id=UUID(int=next(_runs)),
            now=now,
        )


def stored(database: Database, column: str) -> dict[datetime, tuple[Any, str, int]]:
    """Return what is stored: the value, who says so, and the settlement period, by half hour."""
    query = (
        f'select "timestamp" as at, {column} as value, provenance ->> %(key)s as label, settlement_period '
        f'from public.grid_signals where {column} is not null order by "timestamp"'
    )
    with database.as_ingest() as transaction:
        found = transaction.statement(query.encode(), key=KEYS[column]).fetchall()
    return {row["at"]: (row["value"], row["label"], row["settlement_period"]) for row in found}


def fetch_and_store(api: Elexon, http: Http, database: Database, source: Source, **more: Any) -> tuple[Batch, Any]:
    """Return what the source gave, and the values of it that are stored, after checking whose they say they are."""
    asked = request(api, http, **more)
    batch = source.fetch(asked)
    store(database, source, batch, asked.now)
    found = stored(database, COLUMNS[source.terms.name])
    for at, (_, label, period) in found.items():
        assert label == source.terms.name
        assert period == settlement_period(at)[1]
    return batch, {at: value for at, (value, _, _) in found.items()}


def expected(api: Elexon, source: Source) -> dict[datetime, Any]:
    """Return what the usual request should bring, worked out from the series by itself."""
    present = floor(api.clock.now)
    past = list(half_hours(present - DAY, present))
    if isinstance(source, DemandForecast):
        end = datetime(2026, 8, 20, 23, 0, tzinfo=UTC)
        return {
            at: rows.forecast(api.series, at, LAST_FORECAST)["demand"]  # type: ignore[index]
            for at in half_hours(present, end)
        }
    if isinstance(source, DemandOutturn):
        return {at: api.series.demand(at) for at in past[:-1]}
    prices = {at: known[0] for at in past if (known := api.series.price(at))}
    if isinstance(source, MarketIndex):
        return prices
    return {at: pence(price * Decimal("1.1")) for at, price in prices.items() if at < past[-1]}


def pence(price: Decimal) -> Decimal:
    return price.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def is_fifth(at: datetime) -> bool:
    return settlement_period(at)[1] % 5 == 0


# What the API says


@EVERY
def test_the_usual_request_is_answered_in_full_and_stored(api, http, database, source):
    batch, found = fetch_and_store(api, http, database, source)
    assert found == expected(api, source)
    assert (list(batch.rejected), list(batch.missing)) == ([], [])
    assert [row.starts_at for row in batch.national] == list(found)
    for seen in api.requests:
        assert seen.headers["user-agent"].startswith("pylon-deg/")
        assert seen.headers["accept"] == "application/json"


def test_the_calls_are_these_and_their_rows_are_counted(api, http):
    seen = [source.fetch(request(api, http)).rows_seen for source in SOURCES]
    # Six forecasts from 08:19 on, each a half hour shorter than the one before it; APX and N2EX; 23 periods and 48.
    assert seen == [sum(range(72, 78)), 48, 96, 23 + 48]
    assert [f"{one.path}?{one.query}" for one in api.requests] == [
        "/datasets/NDF?publishDateTimeFrom=2026-08-19T08:12:00Z&publishDateTimeTo=2026-08-19T11:12:00Z&format=json",
        "/datasets/INDO?publishDateTimeFrom=2026-08-18T11:30:00Z&publishDateTimeTo=2026-08-19T11:12:00Z&format=json",
        "/balancing/pricing/market-index?from=2026-08-18T11:00:00Z&to=2026-08-19T11:00:00Z",
        "/balancing/settlement/system-prices/2026-08-19?format=json",
        "/balancing/settlement/system-prices/2026-08-18?format=json",
    ]


def test_a_forecast_is_replaced_by_the_next_and_both_by_the_outturn(api, http, database):
    at = datetime(2026, 8, 19, 12, 0, tzinfo=UTC)
    _, before = fetch_and_store(api, http, database, DemandForecast())
    assert before[at] == rows.forecast(api.series, at, LAST_FORECAST)["demand"]
    api.clock.advance(HALF_HOUR)
    _, after = fetch_and_store(api, http, database, DemandForecast())
    assert after[at] == rows.forecast(api.series, at, LAST_FORECAST + HALF_HOUR)["demand"] != before[at]
    api.clock.advance(2 * HALF_HOUR)
    outturn = DemandOutturn().fetch(request(api, http))
    assert at not in [row.starts_at for row in outturn.national], "12:00 to 12:30 is published at 13:00"
    api.clock.advance(HALF_HOUR)
    outturn = DemandOutturn().fetch(request(api, http))
    store(database, DemandOutturn(), outturn, api.clock.now)
    assert stored(database, "demand_mw")[at] == (api.series.demand(at), "elexon_indo", 27)
    store(database, DemandForecast(), DemandForecast().fetch(request(api, http, now=LAST_FORECAST)), api.clock.now)
    assert stored(database, "demand_mw")[at][1] == "elexon_indo", "a forecast never replaces what was measured"


def test_a_run_for_an_earlier_moment_gets_the_forecast_of_that_moment(api, http):
    at = datetime(2026, 8, 20, 6, 0, tzinfo=UTC)
    api.clock.advance(DAY)
    for now in (LAST_FORECAST, LAST_FORECAST + timedelta(minutes=29)):
        batch = DemandForecast().fetch(request(api, http, now=now))
        (reading,) = (row for row in batch.national if row.starts_at == at)
        assert reading.demand_mw == rows.forecast(api.series, at, LAST_FORECAST)["demand"]


@pytest.mark.parametrize(("day", "periods"), [(date(2026, 3, 29), 46), (date(2026, 10, 25), 50)])
@pytest.mark.parametrize("source", SOURCES[1:], ids=lambda source: source.terms.name)
def test_a_day_on_which_the_clocks_change_is_stored_whole(api, http, database, source, day, periods):
    start = datetime(day.year, day.month, day.day, tzinfo=LONDON).astimezone(UTC)
    end = start + periods * HALF_HOUR
    api.clock.now = end + timedelta(hours=3)
    batch, found = fetch_and_store(api, http, database, source, start=start, end=end)
    assert list(found) == list(half_hours(start, end))
    assert [settlement_period(at) for at in found] == [(day, n) for n in range(1, periods + 1)]
    assert (list(batch.rejected), list(batch.missing)) == ([], [])
    if isinstance(source, SystemPrice):
        assert [one.path for one in api.requests] == [f"/balancing/settlement/system-prices/{day}"]


@pytest.mark.parametrize(("day", "periods"), [(date(2026, 3, 29), 46), (date(2026, 10, 25), 50)])
def test_tomorrow_may_have_46_or_50_half_hours_of_forecast(api, http, database, day, periods):
    api.clock.now = datetime(day.year, day.month, day.day - 1, 12, 12, tzinfo=UTC)
    batch, found = fetch_and_store(api, http, database, DemandForecast())
    assert [settlement_period(at)[1] for at in found if settlement_period(at)[0] == day] == [
        *range(1, periods_in(day) + 1)
    ]
    assert len(found) == (24 if periods == 46 else 22) + periods
    assert list(batch.missing) == []


def test_the_recorded_answers_are_stored_value_by_value(http, database):
    folder = recordings_folder()
    with Elexon.recorded(folder) as api:
        batch, demand = fetch_and_store(api, http, database, DemandOutturn())
        body = json.loads((folder / "recordings" / "elexon" / "indo.json").read_bytes())
        assert demand == {datetime.fromisoformat(row["startTime"]): row["demand"] for row in body["data"]}
        assert (batch.rows_seen, len(batch.missing)) == (3, 45)
        forecast = DemandForecast().fetch(request(api, http))
        assert {rows.stamp(row.starts_at): row.demand_mw for row in forecast.national} == {
            "2026-08-19T11:00:00Z": 22700,
            "2026-08-19T11:30:00Z": 22694,
            "2026-08-19T23:00:00Z": 21930,
            "2026-08-19T23:30:00Z": 21464,
        }
        assert (forecast.rows_seen, len(forecast.missing)) == (6, 68)
        one = datetime(2026, 8, 1, 1, 0, tzinfo=UTC)
        _, price = fetch_and_store(api, http, database, SystemPrice(), start=one, end=one + HALF_HOUR)
        assert price == {one: Decimal("160.00")}
        (row,) = http.get_json(f"{api.url}/balancing/settlement/system-prices/2026-08-01", exact=True)["data"]
        assert str(row["totalAcceptedBidVolume"]) == "-574.584156666666672209"
        with pytest.raises(SourceUnavailable, match="an empty answer"):
            MarketIndex().fetch(request(api, http))


def test_a_week_of_the_replay_pack_is_stored_as_it_was_published(http, database):
    with Elexon.replay(recordings_folder(), now=datetime(2026, 7, 2, 10, 12, tzinfo=UTC)) as api:
        start, end = floor(api.clock.now) - 7 * DAY, floor(api.clock.now)
        for source in SOURCES[1:]:
            batch, found = fetch_and_store(api, http, database, source, start=start)
            assert (list(batch.rejected), list(batch.missing)) == ([], [])
            if isinstance(source, DemandOutturn):
                assert found == {at: api.series.demand(at) for at in half_hours(start, end - HALF_HOUR)}
            if isinstance(source, MarketIndex):
                assert found == {at: api.series.price(at)[0] for at in half_hours(start, end)}
                assert min(found.values()) < 0
        assert api.count("/datasets/INDO") == 7
        assert api.count("/balancing/pricing/market-index") == 2
        assert api.count("/balancing/settlement/system-prices") == 8


# Faults of the rows


@EVERY
@pytest.mark.parametrize(
    "fault", [Fault.BARE_LIST, Fault.TEXT_NUMBERS, Fault.NAIVE_TIMES, Fault.REPEATED, Fault.OLDEST_FIRST]
)
def test_another_form_of_the_same_rows_is_stored_the_same(api, http, database, source, fault):
    api.faults.add(fault)
    batch, found = fetch_and_store(api, http, database, source)
    assert found == expected(api, source)
    assert (list(batch.rejected), list(batch.missing)) == ([], [])


@EVERY
@pytest.mark.parametrize(
    ("fault", "is_lost"),
    [
        pytest.param(Fault.HOURLY, lambda at: at.minute == 30, id="hourly"),
        pytest.param(Fault.MISSING_PERIODS, is_fifth, id="missing periods"),
    ],
)
def test_what_does_not_come_is_missing_and_never_zero(api, http, database, source, fault, is_lost):
    api.faults.add(fault)
    batch, found = fetch_and_store(api, http, database, source)
    whole = expected(api, source)
    assert found == {at: value for at, value in whole.items() if not is_lost(at)}
    assert set(batch.missing) == {at for at in whole if is_lost(at) and is_due(source, api, at)} != set()
    assert batch.rejected == []


def is_due(source: Source, api: Elexon, at: datetime) -> bool:
    ahead = isinstance(source, DemandForecast)
    return ahead or at + HALF_HOUR + source.terms.delay < api.clock.now


@EVERY
def test_a_row_of_another_settlement_period_is_refused(api, http, database, source):
    api.faults.add(Fault.WRONG_PERIOD)
    batch, found = fetch_and_store(api, http, database, source)
    whole = expected(api, source)
    lost = [at for at in whole if is_fifth(at)]
    assert found == {at: value for at, value in whole.items() if at not in lost}
    assert set(batch.missing) == {at for at in lost if is_due(source, api, at)}
    for rejection in batch.rejected:
        assert rejection.what.startswith(source.terms.title)
        assert rejection.why.startswith("startTime is in period ")
    assert {rejection.what[-20:] for rejection in batch.rejected} >= {rows.stamp(at) for at in lost}


def test_two_system_prices_are_refused(api, http, database):
    api.faults.add(Fault.TWO_PRICES)
    batch, found = fetch_and_store(api, http, database, SystemPrice())
    whole = expected(api, SystemPrice())
    assert found == {at: value for at, value in whole.items() if not is_fifth(at)}
    assert list(batch.missing) == [at for at in whole if is_fifth(at)]
    assert all("not the same" in rejection.why for rejection in batch.rejected)


@pytest.mark.parametrize("source", [DemandForecast(), DemandOutturn()], ids=lambda source: source.terms.name)
def test_rows_from_the_future_are_refused_and_the_others_stored(api, http, database, source):
    api.faults.add(Fault.FROM_THE_FUTURE)
    batch, found = fetch_and_store(api, http, database, source)
    assert found == expected(api, source)
    assert len(batch.rejected) == batch.rows_seen / 2
    assert {one.why for one in batch.rejected} == {
        "publishTime is '2026-08-19T12:12:00Z', later than was asked for"
    }
    assert list(batch.missing) == []


@pytest.mark.parametrize("source", [MarketIndex(), SystemPrice()], ids=lambda source: source.terms.name)
@pytest.mark.parametrize(
    ("fault", "change"),
    [
        (Fault.LONG_DIGITS, lambda price: pence(price + Decimal("0.123456789012345678"))),
        (Fault.NEGATIVE_PRICES, lambda price: -price),
    ],
    ids=["long digits", "negative"],
)
def test_prices_are_rounded_to_the_penny_and_may_be_negative(
    api: Elexon, http: Http, database: Database, source: Source, fault: Fault, change: Callable[[Decimal], Decimal]
) -> None:
    api.faults.add(fault)
    batch, found = fetch_and_store(api, http, database, source)
    present = floor(api.clock.now)
    factor = 1 if isinstance(source, MarketIndex) else Decimal("1.1")
    unrounded = {at: api.series.price(at)[0] * factor for at in half_hours(present - DAY, present)}  # type: ignore[index]
    assert found == {at: pence(change(unrounded[at])) for at in expected(api, source)}
    assert (list(batch.rejected), list(batch.missing)) == ([], [])


def test_the_price_is_that_of_all_exchanges_weighted_by_their_volumes(api, http, database):
    at = datetime(2026, 8, 19, 9, 0, tzinfo=UTC)
    trades = [rows.apx(api.series, at) | {"dataProvider": f"{n}MIDP", "price": 10 * n, "volume": n} for n in (1, 2)]
    body = rows.json_bytes({"metadata": {"datasets": ["MID"]}, "data": [*trades, rows.n2ex(at)]})
    api.answer(Answer(body=body))
    _, found = fetch_and_store(api, http, database, MarketIndex())
    assert found == {at: Decimal("16.67")}


def test_where_no_exchange_trades_there_is_no_price(api, http, database):
    api.faults.add(Fault.ZERO_VOLUMES)
    with pytest.raises(
        SourceUnavailable, match="none of the 96 rows received says anything for 2026-08-18T11:00:00Z"
    ):
        MarketIndex().fetch(request(api, http))
    fresh = request(api, http, start=floor(api.clock.now) - HALF_HOUR)
    batch = MarketIndex().fetch(fresh)
    assert (batch.rows_seen, batch.national, list(batch.missing)) == (2, [], []), "it may yet come"
    store(database, MarketIndex(), batch, fresh.now)
    assert stored(database, "wholesale_price_gbp_mwh") == {}


@EVERY
def test_an_empty_answer_is_a_failure_and_says_so(api, http, source):
    api.faults.add(Fault.NO_DATA)
    with pytest.raises(SourceUnavailable, match=f"{source.terms.title}: an empty answer for 2026-08-1"):
        source.fetch(request(api, http))


@pytest.mark.parametrize("source", SOURCES[1:], ids=lambda source: source.terms.name)
def test_an_empty_answer_for_the_newest_hour_is_none(api, http, source):
    api.faults.add(Fault.NO_DATA)
    batch = source.fetch(request(api, http, start=floor(api.clock.now) - HALF_HOUR))
    assert (batch.national, batch.rows_seen, list(batch.missing)) == ([], 0, [])


def test_a_forecast_that_ends_today_leaves_tomorrow_missing(api, http, database):
    api.faults.add(Fault.SHORT_HORIZON)
    batch, found = fetch_and_store(api, http, database, DemandForecast())
    midnight = datetime(2026, 8, 19, 23, 0, tzinfo=UTC)
    assert found == {at: mw for at, mw in expected(api, DemandForecast()).items() if at < midnight}
    assert list(batch.missing) == list(half_hours(midnight, midnight + DAY))


def test_every_fault_is_tested_here():
    text = Path(__file__).read_text("utf-8")
    assert {fault.name for fault in Fault if f"Fault.{fault.name}" not in text} == set()


# Failures of the answer


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(status=500, body=b'{"title":"Internal Server Error"}'), SourceUnavailable, "answered 500"),
        (html_error(502), SourceUnavailable, "answered 502: an HTML page"),
        (too_many_requests("0"), SourceUnavailable, "answered 429.*ask again in 0 s"),
        (broken_off(), SourceUnavailable, "broke the connection off"),
        (empty(), SourceChanged, "an empty body"),
        (truncated(), SourceChanged, "not JSON"),
        (html_error(200), SourceChanged, "an HTML page"),
        (Answer(body=b"{}"), SourceChanged, "data=null in place of a list of rows"),
    ],
    ids=["500", "html 502", "429", "broken off", "empty", "truncated", "html 200", "{}"],
)
def test_a_failure_says_what_happened(api, http, answer, error, says):
    api.answer(answer, times=None)
    with pytest.raises(error, match=says):
        MarketIndex().fetch(request(api, http))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/balancing/pricing/market-index?from=2026-08-01T00:00Z&to=2026-08-08T00:00Z",
            "answered 400: The date range between From and To inclusive must not exceed 7 days",
        ),
        (
            "/balancing/pricing/market-index?from=yesterday&to=2026-08-08T00:00Z",
            "The value 'yesterday' is not valid",
        ),
        ("/balancing/pricing/market-index", "answered 400"),
        (
            "/datasets/NDF?publishDateTimeFrom=2026-08-18T11:00Z&publishDateTimeTo=2026-08-19T11:01Z",
            "answered 400: .* must not exceed 1 days",
        ),
        ("/datasets/INDO?publishDateTimeFrom=2026-08-18T11:00Z", "answered 400"),
        ("/balancing/settlement/system-prices/2026-13-01", "answered 400: The value '2026-13-01' is not valid"),
    ],
)
def test_the_stand_in_refuses_what_the_real_api_refuses_and_its_words_come_through(api, http, path, message):
    with pytest.raises(SourceUnavailable, match=message) as caught:
        http.get_json(api.url + path)
    assert caught.value.extra["upstream_status"] == 400
    assert api.count() == 1


def test_the_latest_forecast_is_what_a_call_without_times_gets(api, http):
    body = http.get_json(f"{api.url}/datasets/NDF")
    assert {row["publishTime"] for row in body["data"]} == {"2026-08-19T10:49:00Z"}
    assert body["data"][0]["startTime"] == "2026-08-19T11:00:00Z"


def test_one_failed_span_costs_its_own_rows_alone(api, http, database):
    failing = "/balancing/settlement/system-prices/2026-08-16"
    api.answer(Answer(status=500), times=3, path=failing)
    start = floor(api.clock.now) - 5 * DAY
    batch, found = fetch_and_store(api, http, database, SystemPrice(), start=start)
    lost = [at for at in half_hours(start, floor(api.clock.now)) if settlement_period(at)[0] == date(2026, 8, 16)]
    assert list(batch.missing) == lost
    assert set(found).isdisjoint(lost)
    assert len(found) == 5 * 48 - 48 - 1
    (rejection,) = batch.rejected
    assert rejection.what == f"{failing}?format=json"
    assert "answered 500" in rejection.why


def test_an_api_that_is_down_is_not_asked_for_a_year(api, http):
    api.answer(Answer(status=400, body=b"down"), times=None)
    with pytest.raises(SourceError, match="answered 400: down"):
        SystemPrice().fetch(request(api, http, start=floor(api.clock.now) - 365 * DAY))
    assert api.count() == 3


# Pace


def test_sources_that_ask_at_once_keep_their_requests_apart(api, http):
    asked = request(api, http, start=floor(api.clock.now) - 2 * DAY)
    began_s = time.monotonic()
    threads = [threading.Thread(target=source.fetch, args=[asked]) for source in SOURCES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times_s = sorted(seen.at_s for seen in api.requests)
    assert len(times_s) == 1 + 2 + 1 + 3
    assert all(at_s - began_s >= 0.2 * place for place, at_s in enumerate(times_s))


def test_a_request_that_is_made_again_waits_its_turn_too(api, http):
    api.answer(Answer(status=500), times=2)
    began_s = time.monotonic()
    assert http.get_json(f"{api.url}/datasets/NDF", apart_s=0.3)
    assert len(api.requests) == 3
    assert all(seen.at_s - began_s >= 0.3 * place for place, seen in enumerate(api.requests))


def test_a_request_may_be_made_once_only(api, http):
    api.answer(Answer(status=500), times=None)
    for read in (http.get_json, http.get_text):
        with pytest.raises(SourceUnavailable, match="answered 500"):
            read(f"{api.url}/datasets/NDF", attempts=1)
    assert api.count() == 2


def test_requests_wait_for_others_at_the_same_host_alone(api, http):
    with Elexon() as other:
        began_s = time.monotonic()
        for one in (api, other):
            assert http.get_json(f"{one.url}/datasets/NDF", apart_s=30)
        assert http.get_json(f"{api.url}/datasets/NDF")
    assert time.monotonic() - began_s < 15, "a wait of 30 s would show"


@pytest.mark.parametrize("url", ["http://x:port/", "ftp://example.org/x", "nowhere", ""])
def test_an_address_that_is_none_is_named_where_requests_are_paced_too(http, url):
    with pytest.raises(SourceUnavailable, match="cannot be asked"):
        http.get_json(url, apart_s=0.1)


def test_text_is_read_as_it_is_sent(api, http):
    api.answer(Answer(body=b"\xef\xbb\xbfSETTLEMENT_DATE,ND\r\n2026-08-19,22748\r\n"))
    assert http.get_text(f"{api.url}/demand.csv") == "SETTLEMENT_DATE,ND\r\n2026-08-19,22748\r\n"
    (seen,) = api.requests
    assert seen.headers["accept"].startswith("text/csv")
