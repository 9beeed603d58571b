"""Which addresses of the Insights API a request leads to, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.errors import SourceChanged, SourceError, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, half_hours, settlement_period
from pylon.sources.elexon import SOURCES, DemandForecast, DemandOutturn, MarketIndex, SystemPrice
from pylon.sources.feed import Request, Side, Supply, ranks
from tests.doubles import elexon_series as rows
from tests.doubles.elexon_series import made_up

NOW = datetime(2026, 8, 19, 11, 12, tzinfo=UTC)
PRESENT = datetime(2026, 8, 19, 11, 0, tzinfo=UTC)
DAY = timedelta(days=1)
DOWN = SourceUnavailable("It answered 500.")
PAST = (DemandOutturn(), MarketIndex(), SystemPrice())


@dataclass
class Answers:
    """Answers in place of a network: `answer` is called with each path, and gives a body or an error to raise."""

    answer: Callable[[str], Any]
    asked: list[str] = field(default_factory=list)
    apart_s: set[float] = field(default_factory=set)

    def get_json(self, url: str, *, apart_s: float, exact: bool) -> Any:
        assert exact
        path = url.removeprefix("https://api.test")
        self.asked.append(path)
        self.apart_s.add(apart_s)
        answer = self.answer(path)
        if isinstance(answer, Exception):
            raise answer
        return answer


def request(answers: Answers, *, start: timedelta = -DAY, end: timedelta = 2 * DAY, now: datetime = NOW) -> Request:
    present = now.replace(minute=now.minute // 30 * 30)
    return Request(
        now=now,
        start=present + start,
        end=present + end,
        seed=1,
        http=answers,  # type: ignore[arg-type]
        base_urls={"elexon": "https://api.test/"},
    )


def query(path: str) -> dict[str, datetime]:
    given = parse_qs(urlsplit(path).query)
    return {name: datetime.fromisoformat(value) for name, (value,) in given.items() if name != "format"}


def no_rows(_path: str) -> Any:
    return {"data": []}


def test_the_usual_request_is_five_calls():
    answers = Answers(no_rows)
    for source in SOURCES:
        with pytest.raises(SourceUnavailable):
            source.fetch(request(answers))
    assert answers.asked == [
        "/datasets/NDF?publishDateTimeFrom=2026-08-19T08:12:00Z&publishDateTimeTo=2026-08-19T11:12:00Z&format=json",
        "/datasets/INDO?publishDateTimeFrom=2026-08-18T11:30:00Z&publishDateTimeTo=2026-08-19T11:12:00Z&format=json",
        "/balancing/pricing/market-index?from=2026-08-18T11:00:00Z&to=2026-08-19T11:00:00Z",
        "/balancing/settlement/system-prices/2026-08-19?format=json",
        "/balancing/settlement/system-prices/2026-08-18?format=json",
    ]
    assert answers.apart_s == {0.2}


REACHES = st.tuples(st.integers(1, 48 * 60), st.integers(-48 * 60, 96)).filter(lambda reach: -reach[0] < reach[1])


@given(REACHES)
def test_demand_is_asked_for_in_days_that_cover_when_it_is_published(reach):
    back, ahead = reach
    answers = Answers(lambda _: {"data": [rows.outturn(made_up, PRESENT - back * HALF_HOUR, NOW)]})
    DemandOutturn().fetch(request(answers, start=-back * HALF_HOUR, end=ahead * HALF_HOUR))
    spans = [query(path) for path in answers.asked]
    assert all(timedelta(0) < span["publishDateTimeTo"] - span["publishDateTimeFrom"] <= DAY for span in spans)
    assert all(span["publishDateTimeTo"] <= NOW for span in spans)
    for at in half_hours(PRESENT - back * HALF_HOUR, min(PRESENT, PRESENT + ahead * HALF_HOUR)):
        for published in (at + HALF_HOUR, at + 2 * HALF_HOUR):
            assert published > NOW or any(
                span["publishDateTimeFrom"] <= published <= span["publishDateTimeTo"] for span in spans
            )


@given(REACHES)
def test_the_market_index_is_asked_for_in_spans_of_at_most_seven_days_inclusive(reach):
    back, ahead = reach
    start = PRESENT - back * HALF_HOUR
    answers = Answers(lambda _: {"data": [rows.apx(made_up, start)]})
    MarketIndex().fetch(request(answers, start=-back * HALF_HOUR, end=ahead * HALF_HOUR))
    spans = [query(path) for path in answers.asked]
    assert all(timedelta(0) < span["to"] - span["from"] < 7 * DAY for span in spans)
    assert all((span["to"].date() - span["from"].date()).days + 1 <= 7 for span in spans)
    for at in half_hours(start, min(PRESENT, PRESENT + ahead * HALF_HOUR)):
        assert any(span["from"] <= at <= span["to"] for span in spans)


@given(REACHES)
def test_system_prices_are_asked_for_by_london_day(reach):
    back, ahead = reach
    start, end = PRESENT - back * HALF_HOUR, min(PRESENT, PRESENT + ahead * HALF_HOUR)
    answers = Answers(lambda _: {"data": [rows.system(made_up, start, NOW)]})
    SystemPrice().fetch(request(answers, start=-back * HALF_HOUR, end=ahead * HALF_HOUR))
    days = [date.fromisoformat(urlsplit(path).path.rpartition("/")[2]) for path in answers.asked]
    assert days == sorted({settlement_period(at)[0] for at in half_hours(start, end)}, reverse=True)


def test_a_year_is_read_in_so_many_requests():
    calls = {}
    for source in PAST:
        answers = Answers(lambda path: {"data": [_first_row(path)]})
        batch = source.fetch(request(answers, start=-365 * DAY))
        assert batch.rejected == []
        calls[source.terms.name] = len(answers.asked)
    assert calls == {"elexon_indo": 365, "elexon_market_index": 61, "elexon_system_price": 366}


def _first_row(path: str) -> Any:
    """Return a row that lies in what was asked for."""
    if "INDO" in path:
        at = query(path)["publishDateTimeFrom"]
        return rows.outturn(made_up, at - HALF_HOUR, at)
    if "market-index" in path:
        return rows.apx(made_up, query(path)["from"])
    day = datetime.fromisoformat(urlsplit(path).path.rpartition("/")[2])
    return rows.system(made_up, day.replace(hour=12, tzinfo=UTC), NOW)


@pytest.mark.parametrize("source", PAST, ids=lambda source: source.terms.name)
def test_nothing_is_asked_where_nothing_is_past(source):
    answers = Answers(no_rows)
    batch = source.fetch(request(answers, start=timedelta(0)))
    assert (batch.national, batch.rows_seen, list(batch.missing), answers.asked) == ([], 0, [], [])


def test_nothing_is_asked_where_nothing_is_ahead():
    answers = Answers(no_rows)
    batch = DemandForecast().fetch(request(answers, end=timedelta(0)))
    assert (batch.rows_seen, list(batch.missing), answers.asked) == (0, [], [])


@pytest.mark.parametrize(
    ("now", "half_hours_left"),
    [
        (datetime(2026, 8, 19, 11, 12, tzinfo=UTC), 24 + 48),
        (datetime(2026, 8, 19, 22, 59, tzinfo=UTC), 1 + 48),
        (datetime(2026, 8, 19, 23, 0, tzinfo=UTC), 48 + 48),
        (datetime(2026, 12, 1, 0, 0, tzinfo=UTC), 48 + 48),
        (datetime(2026, 3, 28, 12, 0, tzinfo=UTC), 24 + 46),
        (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), 45 + 48),
        (datetime(2026, 10, 24, 11, 0, tzinfo=UTC), 24 + 50),
        (datetime(2026, 10, 25, 0, 0, tzinfo=UTC), 48 + 48),
    ],
)
def test_the_forecast_is_expected_up_to_the_end_of_tomorrow_in_london(now, half_hours_left):
    present = now.replace(minute=now.minute // 30 * 30)
    answers = Answers(lambda _: {"data": [rows.forecast(made_up, present, now)]})
    batch = DemandForecast().fetch(request(answers, now=now, end=3 * DAY))
    assert [row.starts_at for row in batch.national] == [present]
    assert len(batch.missing) == half_hours_left - 1
    assert list(batch.missing) == [present + n * HALF_HOUR for n in range(1, half_hours_left)]


@pytest.mark.parametrize(
    ("source", "late"),
    [(DemandOutturn(), 0), (MarketIndex(), 1), (SystemPrice(), 0)],
    ids=lambda value: getattr(getattr(value, "terms", None), "name", str(value)),
)
def test_a_half_hour_is_missing_once_it_is_later_than_its_delay(source, late):
    # At 11:12: 10:00 to 10:30 has been over for 42 minutes, 10:30 to 11:00 for 12.
    def missing(now: datetime) -> list[datetime]:
        answers = Answers(lambda path: {"data": [_first_row(path)]})
        batch = source.fetch(request(answers, now=now))
        return list(batch.missing)

    assert max(missing(NOW)) == PRESENT - (2 + late) * HALF_HOUR
    assert max(missing(PRESENT)) == PRESENT - (3 + late) * HALF_HOUR, "not yet by more than the delay"


@pytest.mark.parametrize("source", PAST, ids=lambda source: source.terms.name)
def test_an_empty_answer_for_the_newest_hour_alone_is_no_fault(source):
    batch = source.fetch(request(Answers(no_rows), start=-HALF_HOUR))
    assert (batch.national, batch.rows_seen, list(batch.missing)) == ([], 0, [])


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.terms.name)
def test_no_data_is_unavailable_and_all_wrong_has_changed(source):
    with pytest.raises(
        SourceUnavailable, match=f"{source.terms.title}: an empty answer for 2026-08-1[89]T11:00:00Z"
    ):
        source.fetch(request(Answers(no_rows)))
    with pytest.raises(SourceChanged, match=f"{source.terms.title}: every row that says anything was refused"):
        source.fetch(request(Answers(lambda _: {"data": [{"startTime": "?"}]})))
    elsewhere = [rows.forecast, rows.outturn, None, None]
    row = {
        Supply.DEMAND: lambda: elsewhere[SOURCES.index(source)](made_up, PRESENT - 9 * DAY, NOW),
        Supply.PRICE: lambda: rows.apx(made_up, PRESENT - 9 * DAY),
        Supply.SYSTEM_PRICE: lambda: rows.system(made_up, PRESENT - 9 * DAY, NOW),
    }[next(iter(source.terms.supplies))]()
    with pytest.raises(SourceUnavailable, match=r"none of the \d rows received says anything for 2026-08-1"):
        source.fetch(request(Answers(lambda _: {"data": [row]})))


def test_one_failed_span_costs_its_own_rows_alone():
    failing = "/balancing/settlement/system-prices/2026-08-17?format=json"
    answers = Answers(lambda path: DOWN if path == failing else {"data": [_first_row(path)]})
    batch = SystemPrice().fetch(request(answers, start=-4 * DAY))
    assert len(answers.asked) == 5
    assert [row.starts_at.day for row in batch.national] == [15, 16, 18]
    assert [(one.what, one.why) for one in batch.rejected] == [(failing, "It answered 500.")]


def test_three_failures_in_a_row_end_the_reading_and_what_came_before_is_kept():
    answers = Answers(lambda path: {"data": [_first_row(path)]} if len(answers.asked) <= 2 else DOWN)
    batch = SystemPrice().fetch(request(answers, start=-30 * DAY))
    assert len(answers.asked) == 5
    assert [row.starts_at.day for row in batch.national] == [18]
    assert [one.why for one in batch.rejected] == ["It answered 500."] * 3 + ["not made: 3 failed in a row"]
    assert batch.rejected[-1].what == "26 requests more"


def test_failures_that_are_not_in_a_row_end_nothing():
    answers = Answers(lambda path: DOWN if len(answers.asked) % 3 else {"data": [_first_row(path)]})
    batch = SystemPrice().fetch(request(answers, start=-30 * DAY))
    assert len(answers.asked) == 31
    assert len(batch.rejected) == 21


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.terms.name)
def test_when_all_fails_the_first_failure_is_raised(source):
    answers = Answers(lambda path: SourceUnavailable(f"{len(answers.asked)}: {path} answered 500."))
    with pytest.raises(SourceUnavailable, match=r"^1: .* answered 500"):
        source.fetch(request(answers, start=-30 * DAY))
    assert len(answers.asked) <= 3


def test_a_failure_beside_empty_answers_is_raised_rather_than_called_no_data():
    answers = Answers(lambda path: DOWN if "2026-08-18" in path else {"data": []})
    with pytest.raises(SourceUnavailable, match="answered 500"):
        SystemPrice().fetch(request(answers))


def test_what_each_supplies_and_how_it_is_believed():
    by_name = {source.terms.name: source.terms for source in SOURCES}
    assert {name: (set(terms.supplies), set(terms.sides)) for name, terms in by_name.items()} == {
        "elexon_ndf": ({Supply.DEMAND}, {Side.AHEAD}),
        "elexon_indo": ({Supply.DEMAND}, {Side.PAST}),
        "elexon_market_index": ({Supply.PRICE}, {Side.PAST}),
        "elexon_system_price": ({Supply.SYSTEM_PRICE}, {Side.PAST}),
    }
    believed = {"elexon_ndf": 40, "elexon_indo": 50, "elexon_market_index": 50, "elexon_system_price": 50}
    assert ranks(SOURCES) == {"simulated": 0, "pylon_forecast_v1": 5, **believed}
    for terms in by_name.values():
        assert terms.api == "elexon"
        assert terms.attribution == "Contains BMRS data © Elexon Limited copyright and database right 2026"
        assert (terms.limits.apart_s, terms.is_simulated) == (0.2, False)


@given(st.data())
def test_whatever_the_rows_say_readings_lie_in_the_request_and_have_one_value(data):
    at = st.integers(-100, 200).map(lambda n: PRESENT + n * HALF_HOUR)
    published = st.integers(-300, 30).map(lambda minutes: NOW + timedelta(minutes=minutes))
    value = st.decimals(-20_000, 20_000, places=2) | st.none()

    def row(starts_at: datetime, published_at: datetime, price: Decimal | None) -> dict[str, Any]:
        settled = rows.system(made_up, starts_at, published_at) or {}
        return {**settled, "systemSellPrice": price, "systemBuyPrice": price}

    body = data.draw(st.lists(st.builds(row, at, published, value), max_size=20))
    try:
        batch = SystemPrice().fetch(request(Answers(lambda _: body)))
    except SourceError:
        return
    starts = [reading.starts_at for reading in batch.national]
    assert starts == sorted(set(starts))
    assert all(PRESENT - DAY <= one < PRESENT + 2 * DAY for one in starts)
    assert not set(starts) & set(batch.missing)
    assert all(abs(reading.system_price_gbp_mwh or 0) <= 10_000 for reading in batch.national)
