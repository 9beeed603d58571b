"""The bodies of NESO's data portal as demand by half hour: what is taken, and what is refused and why."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.errors import SourceChanged, SourceError, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, LONDON, half_hours
from pylon.sources import _neso_bodies as bodies
from tests.doubles.carbon_rows import JSON, places, put
from tests.doubles.neso_files import CARDINAL_WINDOWS

DAY = date(2026, 10, 9)
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
HEADER = "SETTLEMENT_DATE,SETTLEMENT_PERIOD,ND,FORECAST_ACTUAL_INDICATOR"
URL = "https://portal.test/datastore_search"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def point(first: Any = 30, last: Any = None, **values: Any) -> dict[str, Any]:
    times = {"CP_ST_TIME": first, "CP_END_TIME": first if last is None else last}
    return {"_id": 1, "TARGETDATE": 20261009, "FORECASTDEMAND": 21371, "CARDINALPOINT": "1F", **times, **values}


def half_hour(**values: Any) -> dict[str, Any]:
    row = {"DATE": "2026-10-10", "CTIME": 30, "GDATETIME": "2026-10-09T23:30:00", "NATIONALDEMAND": 20660}
    return {**row, **values}


def points_of(day: date, *demands: int) -> list[dict[str, Any]]:
    windows = [(first, last) for _, _, first, last in CARDINAL_WINDOWS]
    return [
        point(first, last, TARGETDATE=day.isoformat(), FORECASTDEMAND=mw)
        for (first, last), mw in zip(windows, demands, strict=False)
    ]


def csv_of(*rows: str) -> str:
    return "\r\n".join((HEADER, *rows, ""))


def refusal(rows: bodies.Rows[Any]) -> str:
    (one,) = rows.rejected
    return f"{one.what}: {one.why}"


# Points of a day


def test_times_are_the_ends_of_half_hours_by_londons_clock():
    day = points_of(DAY, 21371, 20804, 20586, 18914, 18215, 25672, 28001, 25854, 24456, 29825, 30581, 21001)
    rows = bodies.day_ahead(day)
    starts = list(half_hours(at("2026-10-08T23:00"), at("2026-10-09T23:00")))
    assert (rows.seen, rows.rejected, list(rows.taken)) == (12, [], starts)
    assert rows.taken[at("2026-10-08T23:00")] == 21371, "30 ends the first half hour of the day"
    assert rows.taken[at("2026-10-09T00:00")] == 20804, "the middle of 00:30 to 01:30 in London"
    assert rows.taken[at("2026-10-09T02:30")] == 18914, "03:30 to 04:00"
    assert rows.taken[at("2026-10-09T04:30")] == 18215, "the middle of 04:00 to 07:30 lies in 05:30 to 06:00"
    assert rows.taken[at("2026-10-09T22:30")] == 21001, "2400 ends the last half hour of the day"


AROUND_THE_CHANGE = ((30, 30), (100, 130), (200, 230), (400, 400), (800, 800), (2400, 2400))


def around_the_change(day: date) -> list[dict[str, Any]]:
    return [
        point(first, last, TARGETDATE=day.isoformat(), FORECASTDEMAND=20_000 + number)
        for number, (first, last) in enumerate(AROUND_THE_CHANGE)
    ]


def test_the_day_on_which_the_clocks_go_forward_has_46_half_hours():
    rows = bodies.day_ahead(around_the_change(SPRING))
    assert list(rows.taken) == list(half_hours(at("2026-03-29T00:00"), at("2026-03-29T23:00")))
    anchors = {"00:00": 20_000, "01:00": 20_001, "02:30": 20_003, "06:30": 20_004, "22:30": 20_005}
    assert {time: rows.taken[at(f"2026-03-29T{time}")] for time in anchors} == anchors
    # 01:00 to 02:00 is not on the clock, so that two of the points fall into one half hour.
    assert refusal(rows) == (
        "cardinal point 1F of 2026-03-29: "
        "another row is for the same half hour and says otherwise; the first is kept"
    )


def test_the_day_on_which_the_clocks_go_back_has_50_half_hours():
    rows = bodies.day_ahead(around_the_change(AUTUMN))
    assert list(rows.taken) == list(half_hours(at("2026-10-24T23:00"), at("2026-10-26T00:00")))
    anchors = {
        "24T23:00": 20_000,
        "25T00:00": 20_001,
        "25T02:00": 20_002,
        "25T03:30": 20_003,
        "25T07:30": 20_004,
        "25T23:30": 20_005,
    }
    assert {time: rows.taken[at(f"2026-10-{time}")] for time in anchors} == anchors
    assert rows.rejected == []


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_too_few_points_make_no_day(number):
    rows = bodies.day_ahead(points_of(DAY, *range(20_000, 20_000 + number)))
    assert rows.taken == {}
    if number:
        assert refusal(rows) == (
            f"demand of 2026-10-09: it has {number} cardinal points; half hours are made from 4 at least"
        )


def test_the_days_of_one_file_are_told_apart():
    two = [*points_of(DAY, *range(20_000, 20_012)), *points_of(DAY + timedelta(days=1), *range(30_000, 30_003))]
    rows = bodies.day_ahead(two)
    assert {start.astimezone(LONDON).date() for start in rows.taken} == {DAY}
    assert refusal(rows).startswith("demand of 2026-10-10: it has 3 cardinal points")


def test_points_may_come_in_any_order_and_twice_if_they_agree():
    day = points_of(DAY, *range(20_000, 32_000, 1_000))
    assert bodies.day_ahead([*day[::-1], day[3]]).taken == bodies.day_ahead(day).taken


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"FORECASTDEMAND": 0}, "FORECASTDEMAND is 0 MW, not above 0 and at most 100,000"),
        ({"FORECASTDEMAND": -5}, "FORECASTDEMAND is -5 MW, not above 0 and at most 100,000"),
        ({"FORECASTDEMAND": "100001"}, "FORECASTDEMAND is 100001 MW, not above 0 and at most 100,000"),
        ({"FORECASTDEMAND": None}, "FORECASTDEMAND is null, not a number"),
        ({"FORECASTDEMAND": True}, "FORECASTDEMAND is True, not a number"),
        ({"FORECASTDEMAND": float("nan")}, "FORECASTDEMAND is nan, not a number"),
        ({"FORECASTDEMAND": "2_000"}, "FORECASTDEMAND is '2_000', not a number"),
        ({"FORECASTDEMAND": [21371]}, "FORECASTDEMAND is a list, not a number"),
        ({"CP_ST_TIME": 2430}, "CP_ST_TIME is 2430, not a time from 0 to 2400"),
        ({"CP_ST_TIME": -30}, "CP_ST_TIME is -30, not a time from 0 to 2400"),
        ({"CP_END_TIME": 165}, "CP_END_TIME is 165, not a time from 0 to 2400"),
        ({"CP_END_TIME": 30.5}, "CP_END_TIME is 30.5, not a time from 0 to 2400"),
        ({"CP_ST_TIME": 800, "CP_END_TIME": 730}, "its window ends at 730, before it starts at 800"),
        ({"TARGETDATE": None}, "TARGETDATE is null, not a day"),
        ({"TARGETDATE": 20261331}, "TARGETDATE is '20261331': month must be in 1..12"),
        ({"TARGETDATE": "1999-10-09"}, "TARGETDATE is '1999-10-09', not in the years 2000 to 2100"),
        ({"TARGETDATE": "2026-10-09T12:00:00"}, "TARGETDATE is '2026-10-09T12:00:00', not a day"),
    ],
)
def test_a_faulty_point_is_refused_with_its_reason(values, why):
    rows = bodies.day_ahead([*points_of(DAY, *range(20_000, 20_011)), point(2400, **values)])
    assert len(rows.taken) == 48
    (one,) = rows.rejected
    assert one.what.startswith("cardinal point 1F of ")
    assert one.why == why or one.why.startswith(f"{why} ")


@pytest.mark.parametrize(
    "text",
    [
        20261009,
        "20261009",
        "2026-10-09",
        "2026-10-09T00:00:00",
        "2026-10-09 00:00:00.000Z",
        "09-OCT-2026",
        "9-Oct-26",
    ],
)
def test_a_day_is_read_in_every_way_it_has_been_written(text):
    rows = bodies.day_ahead([{**row, "TARGETDATE": text} for row in points_of(DAY, *range(20_000, 20_012))])
    assert (len(rows.taken), rows.rejected) == (48, [])
    assert min(rows.taken) == at("2026-10-08T23:00")


ANCHORS = st.dictionaries(st.integers(0, 47), st.integers(1, 60_000), min_size=bodies.LEAST_POINTS)


@given(ANCHORS)
def test_the_curve_goes_through_its_anchors_and_never_beyond_two_neighbours(by_place):
    midnight = bodies.midnight(DAY)
    anchors = {midnight + place * HALF_HOUR: mw for place, mw in by_place.items()}
    curve = bodies.interpolate(anchors, DAY)
    assert list(curve) == list(half_hours(midnight, midnight + timedelta(days=1)))
    assert {start: curve[start] for start in anchors} == anchors
    assert all(type(mw) is int for mw in curve.values())
    known = sorted(anchors)
    for start, mw in curve.items():
        if start < known[0]:
            assert mw == anchors[known[0]]
        elif start > known[-1]:
            assert mw == anchors[known[-1]]
    for left, right in pairwise(known):
        values = [curve[start] for start in half_hours(left, right + HALF_HOUR)]
        assert values in (sorted(values), sorted(values, reverse=True)), "monotone between two anchors"


# Half hours ahead


@pytest.mark.parametrize(
    ("day", "label", "ends", "starts"),
    [
        ("2026-10-10", 30, "2026-10-09T23:30:00", "2026-10-09T23:00"),
        ("2026-10-10", 2400, "2026-10-10T23:00:00", "2026-10-10T22:30"),
        ("2026-12-01", 2400, "2026-12-02T00:00:00", "2026-12-01T23:30"),
        ("2026-12-01", "0030", "2026-12-01T00:30:00Z", "2026-12-01T00:00"),
        ("2026-03-29", 230, "2026-03-29T01:30:00", "2026-03-29T01:00"),
        ("2026-10-25", 130, "2026-10-25T00:30:00", "2026-10-25T00:00"),
        ("2026-10-25", 130, "2026-10-25T01:30:00", "2026-10-25T01:00"),
    ],
)
def test_a_half_hour_starts_half_an_hour_before_its_time(day, label, ends, starts):
    rows = bodies.half_hourly([half_hour(DATE=day, CTIME=label, GDATETIME=ends)])
    assert (rows.taken, rows.rejected) == ({at(starts): 20660}, [])


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (
            {"CTIME": 2330},
            "GDATETIME says that it ends at 30 of 2026-10-10 in London, DATE and CTIME say otherwise",
        ),
        ({"CTIME": 130}, "GDATETIME says that it ends at 30 of 2026-10-10 in London, DATE and CTIME say otherwise"),
        (
            {"DATE": "2026-10-09"},
            "GDATETIME says that it ends at 30 of 2026-10-10 in London, DATE and CTIME say otherwise",
        ),
        ({"GDATETIME": "2026-10-09T23:31:00"}, "GDATETIME is 2026-10-09T23:31:00, not on the half hour"),
        ({"GDATETIME": 20261009}, "GDATETIME is 20261009, not a time"),
        ({"GDATETIME": "0001-01-01T00:00:00"}, "GDATETIME is '0001-01-01T00:00:00', not in the years 2000 to 2100"),
        ({"NATIONALDEMAND": 0.4}, "NATIONALDEMAND is 0 MW, not above 0 and at most 100,000"),
    ],
)
def test_a_half_hour_whose_times_disagree_or_that_has_no_demand_is_refused(values, why):
    rows = bodies.half_hourly([half_hour(**values)])
    assert rows.taken == {}
    assert refusal(rows).endswith(f": {why}")


def test_the_first_of_two_values_for_a_half_hour_is_kept():
    rows = bodies.half_hourly([half_hour(), half_hour(NATIONALDEMAND=1), half_hour()])
    assert (rows.seen, rows.taken) == (3, {at("2026-10-09T23:00"): 20660})
    assert refusal(rows) == (
        "demand of 2026-10-10 30: another row is for the same half hour and says otherwise; the first is kept"
    )


# Measured half hours


def test_only_measured_demand_is_taken_and_0_is_not_demand():
    rows = bodies.demand_update(
        csv_of("2026-10-08,15,26026,A", "2026-10-08,16,0,A", "2026-10-08,17,0,F", "2026-10-08,18,25000,F")
    )
    assert rows.taken == {at("2026-10-08T06:00"): 26026}
    assert (rows.seen, rows.rejected) == (4, [])


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("2026-03-29,46", "2026-03-29T22:30"),
        ("2026-10-25,50", "2026-10-25T23:30"),
        ("2026-10-25,3", "2026-10-25T00:00"),
        ("01-JAN-2026,1", "2026-01-01T00:00"),
        ("01-Jul-26,1", "2026-06-30T23:00"),
    ],
)
def test_a_settlement_period_counts_from_londons_midnight(text, starts):
    assert bodies.demand_update(csv_of(f"{text},20000,A")).taken == {at(starts): 20000}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("2026-03-29,47,20000,A", "the day has no settlement period 47; it has 46"),
        ("2026-10-25,51,20000,A", "the day has no settlement period 51; it has 50"),
        ("2026-10-08,0,20000,A", "the day has no settlement period 0; it has 48"),
        ("2026-10-08,1.5,20000,A", "the day has no settlement period 1.5; it has 48"),
        ("2026-10-08,1,-20,A", "ND is -20 MW, not above 0 and at most 100,000"),
        ("2026-10-08,1,,A", "ND is '', not a number"),
        ("2026-10-08,1", "FORECAST_ACTUAL_INDICATOR is null, not A or F"),
        ("2026-10-08,1,20000,B", "FORECAST_ACTUAL_INDICATOR is 'B', not A or F"),
        ("08/10/2026,1,20000,A", "SETTLEMENT_DATE is '08/10/2026', not a day"),
    ],
)
def test_a_faulty_measured_row_is_refused_with_its_reason(row, why):
    rows = bodies.demand_update(csv_of(row))
    assert rows.taken == {}
    assert refusal(rows).endswith(f": {why}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column SETTLEMENT_DATE and no SETTLEMENT_PERIOD"),
        ("SETTLEMENT_DATE,SETTLEMENT_PERIOD,ND\n2026-10-08,1,5", "no column FORECAST_ACTUAL_INDICATOR"),
        (f'{HEADER}\n"{"x" * 200_000}",1,5,A', "cannot be read as CSV"),
    ],
)
def test_another_file_is_not_read(text, says):
    with pytest.raises(SourceChanged, match=says):
        bodies.demand_update(text)


# Envelopes


def test_a_result_is_unwrapped():
    assert bodies.result({"help": "", "success": True, "result": {"id": "a"}}, URL) == {"id": "a"}


@pytest.mark.parametrize(
    ("error", "says", "status"),
    [
        ({"message": "Bad gateway\x1b[2J to the index"}, r"did not succeed: Bad gateway \[2J to the index\.", 200),
        ({"__type": "Not Found Error", "message": "Gone"}, "Gone", 404),
        ({"message": "Not found: Resource was not found."}, "Not found: Resource was not found", 404),
        ({"__type": "Validation Error", "limit": ["Must be a natural number"]}, "Must be a natural number", 200),
        (None, "no message", 200),
        ("words", "words", 200),
    ],
)
def test_a_failure_that_comes_with_200_is_one(error, says, status):
    body = {"help": "", "success": False} | ({} if error is None else {"error": error})
    with pytest.raises(SourceUnavailable, match=says) as caught:
        bodies.result(body, URL)
    assert caught.value.extra == {"url": URL, "upstream_status": status}


@pytest.mark.parametrize("body", [None, [], {}, {"success": True}, {"success": "true", "result": {}}])
def test_an_answer_without_a_result_is_another_api(body):
    with pytest.raises(SourceChanged, match="in place of a result"):
        bodies.result(body, URL)


@pytest.mark.parametrize(
    "found",
    [
        {"records": [1, 2], "total": 3},
        {"records": [1, 2], "total": "3"},
        {"records": [1] * 10},
        {"records": [1, 2], "total": "many"},
        {"records": {"1": 2}, "total": 1},
        {},
    ],
)
def test_a_table_that_is_not_all_there_is_refused(found):
    with pytest.raises(SourceChanged):
        bodies.records(found, limit=10)


@pytest.mark.parametrize(
    "found", [{"records": [1, 2], "total": 2}, {"records": [1, 2], "total": "2"}, {"records": [1]}]
)
def test_a_table_that_is_all_there_is_not(found):
    assert bodies.records(found, limit=10) == found["records"]


# Junk

VALID: list[Any] = [
    {"success": True, "result": {"total": 2, "records": [point(), point(100, 130)]}},
    {"success": True, "result": {"total": 4, "records": points_of(DAY, *range(20_000, 20_004))}},
    {"success": True, "result": {"total": 2, "records": [half_hour(), half_hour(CTIME=100)]}},
]


def said_of(rows: bodies.Rows[datetime]) -> list[str]:
    """Return what is said of the rows refused, once what was taken is seen to be demand."""
    assert all(type(mw) is int and 0 < mw <= 100_000 for mw in rows.taken.values())
    assert all(start.tzinfo is UTC for start in rows.taken)
    return [f"{one.what}: {one.why}" for one in rows.rejected]


def read_all(body: Any) -> list[str]:
    """Read a body in both ways and return what is said of it; only a `SourceError` may come of it."""
    try:
        found = bodies.records(bodies.result(body, URL), limit=100)
    except SourceError as error:
        return [error.detail]
    return [*said_of(bodies.day_ahead(found)), *said_of(bodies.half_hourly(found))]


def read_text(text: str) -> list[str]:
    try:
        return said_of(bodies.demand_update(text))
    except SourceError as error:
        return [error.detail]


@given(JSON)
def test_no_body_breaks_the_reading(body):
    in_a_table = {"success": True, "result": {"records": [body], "total": 1}}
    assert all(words.isprintable() for words in [*read_all(body), *read_all(in_a_table)])


@given(st.sampled_from(VALID), JSON, st.data())
def test_no_value_in_any_place_breaks_the_reading(body, junk, data):
    spoilt = put(body, data.draw(st.sampled_from(places(body))), junk)
    assert all(words.isprintable() for words in read_all(spoilt))


@given(st.text() | st.text(alphabet='0123456789-,"\n\r\0AF.'))
def test_no_text_breaks_the_reading(text):
    for whole in (text, csv_of(text), csv_of(f"2026-10-08,{text}", text)):
        assert all(words.isprintable() for words in read_text(whole))
