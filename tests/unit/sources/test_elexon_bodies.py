"""Elexon's bodies as values: what is taken, and what is refused and why."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.errors import SourceChanged
from pylon.ontology.calendar import HALF_HOUR, half_hours, periods_in, settlement_period
from pylon.sources import _elexon_bodies as bodies
from pylon.sources._elexon_bodies import Rows, Trade, mean_price
from pylon.sources.http import decode
from tests.doubles import elexon_series as rows
from tests.doubles.carbon_rows import JSON, places, put
from tests.doubles.elexon_series import json_bytes, made_up, stamp
from tests.doubles.recordings import recordings_folder

AT = datetime(2026, 8, 19, 10, 0, tzinfo=UTC)
NOW = AT + timedelta(hours=1)
PUBLISHED = AT + timedelta(minutes=49)

OUTTURN = rows.outturn(made_up, AT, PUBLISHED)
FORECAST = rows.forecast(made_up, AT, PUBLISHED)
APX = rows.apx(made_up, AT)
SYSTEM = rows.system(made_up, AT, NOW)

READERS = {
    "INDO": (OUTTURN, partial(bodies.demand, dataset="INDO", until=NOW)),
    "NDF": (FORECAST, partial(bodies.demand, dataset="NDF", until=NOW)),
    "market index": (APX, bodies.market_index),
    "system price": (SYSTEM, bodies.system_price),
}
ALL = pytest.mark.parametrize("name", READERS)


def take(name, *order, as_body=lambda rows: {"data": rows}):
    """Return the rows of a body that goes through JSON, as a body from the network does."""
    taken = Rows()
    body = decode("u", json_bytes(as_body(list(order))), exact=True)
    taken.take(body, READERS[name][1], name)
    return taken


def refusal(name, row):
    taken = take(name, row)
    assert (taken.seen, taken.values) == (1, {})
    (rejection,) = taken.rejected
    assert rejection.what.startswith(name)
    assert rejection.what.isprintable()
    assert rejection.why.isprintable()
    return rejection.why


# Recorded answers


@pytest.fixture
def recorded():
    folder = recordings_folder() / "recordings" / "elexon"
    return lambda name: decode(name, (folder / name).read_bytes(), exact=True)


def test_the_recorded_outturn(recorded):
    taken = Rows()
    taken.take(recorded("indo.json"), partial(bodies.demand, dataset="INDO", until=NOW), "INDO")
    assert taken.values == {AT: 23134, AT - HALF_HOUR: 23803, AT + HALF_HOUR: 22748}
    assert (taken.seen, taken.rejected) == (3, [])


def test_the_recorded_forecast_is_that_of_the_later_publication(recorded):
    def values(until):
        taken = Rows()
        taken.take(recorded("ndf_truncated.json"), partial(bodies.demand, dataset="NDF", until=until), "NDF")
        return {stamp(at): value for at, value in taken.values.items()}, len(taken.rejected)

    later = {
        "2026-08-19T11:00:00Z": 22700,
        "2026-08-19T11:30:00Z": 22694,
        "2026-08-19T23:00:00Z": 21930,
        "2026-08-19T23:30:00Z": 21464,
    }
    earlier = {"2026-08-19T10:30:00Z": 22939, "2026-08-19T11:00:00Z": 22700}
    assert values(NOW) == (earlier | later, 0)
    assert values(datetime(2026, 8, 19, 10, 30, tzinfo=UTC)) == (earlier, 4)


def test_the_recorded_system_price_keeps_its_digits_until_it_is_rounded(recorded):
    body = recorded("system_prices.json")
    (row,) = body["data"]
    assert str(row["netImbalanceVolume"]) == "344.249492314814801830"
    assert str(row["systemSellPrice"]) == "160.000000000000000000"
    taken = Rows()
    taken.take(body, bodies.system_price, "system price")
    assert taken.values == {datetime(2026, 8, 1, 1, 0, tzinfo=UTC): Decimal("160.00")}
    assert taken.rejected == []


def test_another_dataset_is_refused(recorded):
    taken = Rows()
    taken.take(recorded("itsdo.json"), partial(bodies.demand, dataset="INDO", until=NOW), "INDO")
    assert taken.values == {}
    assert [one.why for one in taken.rejected] == ["dataset is 'ITSDO', not INDO"] * 3


# Containers


@ALL
def test_rows_come_in_an_envelope_or_bare(name):
    row = READERS[name][0]
    expected = take(name, row).values
    assert len(expected) == 1
    assert take(name, row, as_body=lambda rows: {"metadata": {"datasets": ["X"]}, "data": rows}).values == expected
    assert take(name, row, as_body=lambda rows: rows).values == expected
    for empty in ({"data": []}, []):
        assert take(name, as_body=lambda _, empty=empty: empty).seen == 0


@ALL
@pytest.mark.parametrize(
    "body", [None, {}, "x", 1, True, {"data": None}, {"data": {}}, {"data": "x"}, {"rows": []}]
)
def test_a_body_with_no_place_for_rows_has_changed(name, body):
    with pytest.raises(SourceChanged, match="Insights API answered with"):
        take(name, as_body=lambda _: body)


# Times


@ALL
@pytest.mark.parametrize("row", [None, 1, "x", [], [[]], {}, {"startTime": 1}])
def test_a_row_of_another_shape_is_refused(name, row):
    refusal(name, row)


@ALL
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "startTime is null, not a time"),
        ("", "startTime is '', not a time"),
        ("today", "startTime is 'today', not a time"),
        (1755597600, "startTime is 1755597600, not a time"),
        (["2026"], "startTime is a list, not a time"),
        ("0001-01-01T00:00:00+14:00", "startTime is '0001-01-01T00:00:00+14:00', not a time"),
        ("0001-01-01T00:00:00Z", "startTime is '0001-01-01T00:00:00Z', not a time"),
        ("9999-12-31T23:30:00Z", "startTime is '9999-12-31T23:30:00Z', not a time"),
        ("2026-08-19T10:10:00Z", "startTime is '2026-08-19T10:10:00Z', not on the half hour"),
        ("2026-08-19T10:00:01Z", "startTime is '2026-08-19T10:00:01Z', not on the half hour"),
    ],
)
def test_a_start_that_is_no_half_hour_is_refused(name, value, why):
    assert refusal(name, READERS[name][0] | {"startTime": value}) == why


@ALL
@pytest.mark.parametrize("value", ["2026-08-19T10:00:00", "2026-08-19T10:00Z", "2026-08-19T11:00:00+01:00"])
def test_a_time_may_lack_its_zone_or_its_seconds(name, value):
    row = READERS[name][0]
    assert take(name, row | {"startTime": value}).values == take(name, row).values != {}


@ALL
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"settlementPeriod": 24}, "'2026-08-19' period 24"),
        ({"settlementPeriod": 21}, "'2026-08-19' period 21"),
        ({"settlementPeriod": 23.5}, "'2026-08-19' period 23.5"),
        ({"settlementPeriod": None}, "'2026-08-19' period null"),
        ({"settlementPeriod": True}, "'2026-08-19' period True"),
        ({"settlementPeriod": "23rd"}, "'2026-08-19' period '23rd'"),
        ({"settlementDate": "2026-08-18"}, "'2026-08-18' period 23"),
        ({"settlementDate": None}, "null period 23"),
        ({"settlementDate": ["2026-08-19"]}, "a list period 23"),
    ],
)
def test_a_settlement_period_that_is_not_the_start_times_is_refused(name, values, says):
    why = refusal(name, READERS[name][0] | values)
    assert why == f"startTime is in period 23 of 2026-08-19, but the row says {says}"


@pytest.mark.parametrize(
    ("day", "periods"), [(date(2026, 3, 29), 46), (date(2026, 10, 25), 50), (date(2026, 8, 19), 48)]
)
def test_a_london_day_has_its_own_number_of_periods(day, periods):
    starts = half_hours(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    of_day = [at for at in starts if settlement_period(at)[0] == day]
    taken = take("INDO", *(rows.outturn(made_up, at, AT - timedelta(days=300)) for at in of_day))
    assert (list(taken.values), taken.rejected) == (of_day, [])
    assert len(of_day) == periods == periods_in(day)


# Demand


@pytest.mark.parametrize("name", ["INDO", "NDF"])
@pytest.mark.parametrize(
    ("value", "mw"),
    [(1, 1), (100_000, 100_000), ("22748", 22748), (Decimal("22748.000"), 22748), ("2.2748e4", 22748)],
)
def test_a_demand_may_be_text(name, value, mw):
    ((_, taken),) = take(name, READERS[name][0] | {"demand": value}).values.items()
    assert taken == mw
    assert type(taken) is int


@pytest.mark.parametrize("name", ["INDO", "NDF"])
@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 100_001, Decimal("22748.5"), True, float("nan"), float("inf"), 10**400, [22748], {}),
        *("", "x", "1_000", " 22748", "٣", "NaN", "9" * 5000),
        *("1e-999999999", "1e999999999", "1e-999999999999999999999"),
    ],
)
def test_a_demand_that_is_none_is_refused(name, value):
    why = refusal(name, READERS[name][0] | {"demand": value})
    assert why.startswith("demand is ")
    assert why.endswith(", not a whole number of MW from 1 to 100000")
    assert len(why) < 120


def test_null_says_nothing_and_takes_nothing_back():
    later = OUTTURN | {"demand": None, "publishTime": stamp(PUBLISHED + timedelta(minutes=5))}
    for order in ((OUTTURN, later), (later, OUTTURN)):
        taken = take("INDO", *order)
        assert (taken.values, taken.rejected, taken.seen) == ({AT: OUTTURN["demand"]}, [], 2)
    assert take("INDO", later).values == {}


@given(st.permutations(range(6)))
def test_the_value_published_last_is_taken_whatever_the_order(order):
    given = [
        OUTTURN | {"demand": 20_000 + n, "publishTime": stamp(PUBLISHED + timedelta(minutes=n))} for n in order
    ]
    taken = take("INDO", *given)
    assert (taken.values, taken.rejected, taken.seen) == ({AT: 20_005}, [], 6)


@ALL
def test_an_exact_repeat_is_no_fault_but_another_value_published_at_once_is(name):
    row = READERS[name][0]
    assert take(name, row, row).rejected == []
    other = {key: 77 for key in ("demand", "price", "systemSellPrice", "systemBuyPrice") if key in row}
    taken = take(name, row, row | other)
    assert taken.values == take(name, row).values
    assert [one.why for one in taken.rejected] == ["it came twice with different values; the first is kept"]


@pytest.mark.parametrize("name", ["INDO", "NDF"])
def test_what_was_published_later_than_asked_for_is_refused(name):
    row = READERS[name][0]
    assert take(name, row | {"publishTime": stamp(NOW)}).values
    later = row | {"publishTime": stamp(NOW + timedelta(seconds=1))}
    assert refusal(name, later) == "publishTime is '2026-08-19T11:00:01Z', later than was asked for"
    assert refusal(name, row | {"publishTime": None}) == "publishTime is null, not a time"


@pytest.mark.parametrize("boundary", [None, "B1", ["N"]])
def test_a_forecast_of_a_part_of_the_grid_is_refused(boundary):
    assert "not N, the whole of Great Britain" in refusal("NDF", FORECAST | {"boundary": boundary})


# Prices


def market(price, volume, provider="APXMIDP"):
    return APX | {"price": price, "volume": volume, "dataProvider": provider}


@pytest.mark.parametrize("volume", [0, Decimal("0.000"), "0", "-0", "0.0", None, "1e-999999999"])
def test_a_half_hour_without_trades_has_no_price(volume):
    taken = take("market index", market(50, volume), rows.n2ex(AT))
    assert (taken.values, taken.rejected, taken.seen) == ({}, [], 2)


def test_an_exchange_without_trades_does_not_dilute_the_price():
    taken = take("market index", rows.n2ex(AT), APX)
    assert taken.values == {(AT, "APXMIDP"): Trade(APX["price"], APX["volume"])}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (market(10_001, 5), "price is 10001, not a number from -10000 to 10000"),
        (market("-10000.01", 5), "price is '-10000.01', not a number from -10000 to 10000"),
        (market("dear", 5), "price is 'dear', not a number from -10000 to 10000"),
        (market(float("nan"), 5), "price is nan, not a number from -10000 to 10000"),
        (market(True, 5), "price is True, not a number from -10000 to 10000"),
        (market(50, -1), "volume is -1, not a number from 0 to 1000000"),
        (market(50, 1_000_001), "volume is 1000001, not a number from 0 to 1000000"),
        (market(50, "much"), "volume is 'much', not a number from 0 to 1000000"),
        (market(50, 5, None), "dataProvider is null, not a name"),
        (market(50, 5, ""), "dataProvider is '', not a name"),
        (market(50, 5, 7), "dataProvider is 7, not a name"),
    ],
)
def test_a_trade_that_is_none_is_refused(row, why):
    assert refusal("market index", row) == why


@pytest.mark.parametrize(
    ("trades", "price"),
    [
        ([("50", "10")], "50.00"),
        ([("-58.5", "1")], "-58.50"),
        ([("50", "30"), ("70", "10")], "55.00"),
        ([("-10", "1"), ("10", "1")], "0.00"),
        ([("1.005", "1")], "1.00"),
        ([("1.015", "1")], "1.02"),
        ([("-1.005", "1")], "-1.00"),
        ([("1.005000000000000001", "1")], "1.01"),
        ([("10000", "1000000"), ("-10000", "0.000000000000000001")], "10000.00"),
    ],
)
def test_the_price_is_weighted_by_volume_and_rounded_half_even(trades, price):
    assert str(mean_price(Trade(Decimal(p), Decimal(v)) for p, v in trades)) == price


TRADES = st.lists(
    st.tuples(
        st.decimals(-10_000, 10_000, places=18),
        st.decimals(0, 1_000_000, places=18).filter(lambda volume: volume > 0),
    ).map(lambda pair: Trade(*pair)),
    min_size=1,
    max_size=5,
)


@given(TRADES)
def test_the_mean_price_lies_among_the_prices(trades):
    prices = [trade.price_gbp_mwh for trade in trades]
    half_a_penny = Decimal("0.005")
    assert min(prices) - half_a_penny <= mean_price(trades) <= max(prices) + half_a_penny
    assert mean_price(trades) == mean_price(reversed(trades))


@pytest.mark.parametrize(
    ("sell", "buy", "price"),
    [
        (160, Decimal("160.000000000000000000"), "160.00"),
        ("160.0", 160, "160.00"),
        (Decimal("-58.505000000000000000"), Decimal("-58.505"), "-58.50"),
        (0, 0, "0.00"),
        (Decimal("87.123456789012345678"), Decimal("87.123456789012345678"), "87.12"),
    ],
)
def test_sell_and_buy_price_are_one(sell, buy, price):
    taken = take("system price", SYSTEM | {"systemSellPrice": sell, "systemBuyPrice": buy})
    assert str(taken.values[AT]) == price


@pytest.mark.parametrize(
    ("sell", "buy", "why"),
    [
        (160, 161, "systemSellPrice is 160 and systemBuyPrice is 161, not the same"),
        (Decimal("1.1"), Decimal("1.100000000000000001"), "systemSellPrice is 1.1 and systemBuyPrice is 1.1000000"),
        (None, 160, "systemSellPrice is null and systemBuyPrice is 160, not the same"),
        (160, None, "systemSellPrice is 160 and systemBuyPrice is null, not the same"),
        (10_001, 10_001, "systemSellPrice is 10001, not a number from -10000 to 10000"),
        (160, "x", "systemBuyPrice is 'x', not a number from -10000 to 10000"),
    ],
)
def test_two_system_prices_are_refused(sell, buy, why):
    assert refusal("system price", SYSTEM | {"systemSellPrice": sell, "systemBuyPrice": buy}).startswith(why)


def test_a_system_price_of_null_says_nothing():
    taken = take("system price", SYSTEM | {"systemSellPrice": None, "systemBuyPrice": None})
    assert (taken.values, taken.rejected) == ({}, [])


def test_the_latest_run_of_a_system_price_is_taken():
    refreshed = rows.system(made_up, AT, NOW + timedelta(days=2)) | {"systemSellPrice": 1, "systemBuyPrice": 1}
    assert refreshed["createdDateTime"] > SYSTEM["createdDateTime"]
    for order in ((SYSTEM, refreshed), (refreshed, SYSTEM)):
        assert take("system price", *order).values == {AT: 1}


# Hostile bodies


@given(JSON)
def test_any_json_is_rows_rejections_or_a_changed_source(body):
    for name in READERS:
        try:
            taken = take(name, as_body=lambda _: body)
        except SourceChanged:
            continue
        assert len(taken.values) + len(taken.rejected) <= taken.seen


@ALL
@given(data=st.data())
def test_anything_put_anywhere_never_breaks_and_never_makes_a_wrong_value(name, data):
    row, _ = READERS[name]
    body = {"data": [row, _other_half_hour(name)]}
    body = put(body, data.draw(st.sampled_from(places(body))), data.draw(JSON))
    try:
        taken = take(name, as_body=lambda _: body)
    except SourceChanged:
        return
    assert all(one.what.isprintable() and one.why.isprintable() for one in taken.rejected)
    for key, value in taken.values.items():
        assert any(_says(row, key, value) for row in (body["data"] if isinstance(body, dict) else body))


def _other_half_hour(name):
    at = AT + HALF_HOUR
    made = {
        "INDO": lambda: rows.outturn(made_up, at, PUBLISHED),
        "NDF": lambda: rows.forecast(made_up, at, PUBLISHED),
        "market index": lambda: rows.apx(made_up, at),
        "system price": lambda: rows.system(made_up, at, NOW),
    }
    return made[name]()


def _says(row, key, value):
    """Say whether a row is about this half hour, by both of its own accounts, and holds this value."""
    at = key[0] if isinstance(key, tuple) else key
    day, period = settlement_period(at)
    if not isinstance(row, dict) or row.get("startTime") != stamp(at):
        return False
    if (row["settlementDate"], Decimal(str(row["settlementPeriod"]))) != (day.isoformat(), period):
        return False
    if isinstance(value, Trade):
        # The API's numbers have up to 18 decimals; what is put in here may have more, which are rounded away.
        sent = Decimal(1).scaleb(-18)
        price, volume = (Decimal(str(row[name])).quantize(sent, ROUND_HALF_EVEN) for name in ("price", "volume"))
        return (row["dataProvider"], price, volume) == (key[1], *value)
    if "demand" in row:
        return 0 < value <= 100_000 and Decimal(str(row["demand"])) == value
    sell, buy = (Decimal(str(row[name])) for name in ("systemSellPrice", "systemBuyPrice"))
    return sell == buy and abs(sell - value) <= Decimal("0.005")
