"""Asking the sources, without a database: who is asked for what, when, and what is said of whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pylon.errors import SourceChanged, SourceUnavailable
from pylon.services.ask_sources import Asked, ask_sources, source_report
from pylon.services.ingest import Stored
from pylon.services.reports import REFUSALS_KEPT, Outcome, SourceReport
from pylon.sources.feed import SIMULATED, Batch, NationalReading, Rejection, Request, Side, Supply
from pylon.sources.http import Http
from tests.doubles.scripted_source import EMPTY, Scripted

NOW = datetime(2026, 11, 22, 9, 12, tzinfo=UTC)
START, PRESENT, END = (datetime(2026, 11, day, 9, 0, tzinfo=UTC) for day in (21, 22, 24))


def real(*supplies: Supply, answer: Callable[[Request], Batch] = lambda _: EMPTY, **more: Any) -> Scripted:
    return Scripted("real", frozenset(supplies), answer=answer, **more)


def simulator(*supplies: Supply, **more: Any) -> Scripted:
    return Scripted("simulator", frozenset(supplies), SIMULATED, **more)


def down(_: Request) -> Batch:
    raise SourceUnavailable("It is down.")


def ask(
    *sources: Scripted,
    grid: str = "auto",
    last: Mapping[str, SourceReport] | None = None,
    now: datetime = NOW,
    **more: Any,
) -> list[Asked]:
    with Http(timeout_s=1, attempts=1) as http:
        request = Request(now=now, start=START, end=END, seed=11, http=http)
        words = {"reaches_back": False, "stopwatch": lambda: 0.0, **more}
        return ask_sources(sources, request, grid=grid, last=last or {}, **words)


def report_of(one: Asked, now: datetime = NOW, last: SourceReport | None = None, **stored: int) -> SourceReport:
    counts = Stored(**{"written": 0, "unchanged": 0, "vintages": 0, **stored})
    return source_report(one, counts, withheld=0, now=now, last=last)


# Who is asked for what


def test_a_source_that_speaks_of_some_half_hours_only_leaves_the_simulator_its_part():
    some, made_up = real(Supply.DEMAND, is_partial=True), simulator(Supply.DEMAND)
    ask(some, made_up)
    assert {request.wanted for request in made_up.asked} == {frozenset({Supply.DEMAND})}


def test_each_source_is_asked_as_far_back_as_its_own_last_answer_calls_for():
    new, known = real(Supply.CARBON), Scripted("known", frozenset({Supply.DEMAND}))
    (answered,) = ask(known)
    kept = report_of(answered).model_copy(update={"looked_back_at": NOW})
    made_up = simulator(Supply.PRICE)
    ask(new, known, made_up, last={"known": kept}, reaches_back=True)
    assert new.asked[-1].start == PRESENT - timedelta(days=7)
    assert known.asked[-1].start == PRESENT - timedelta(days=1)
    assert made_up.asked[0].start == PRESENT - timedelta(days=1), "nothing simulated comes late"


def test_a_simulated_source_is_asked_for_what_no_real_one_answered():
    carbon, price = real(Supply.CARBON), real(Supply.PRICE, answer=down)
    made_up = simulator(Supply.CARBON, Supply.PRICE, Supply.DEMAND)
    ask(carbon, price, made_up)
    assert {request.wanted for request in made_up.asked} == {frozenset({Supply.PRICE, Supply.DEMAND})}


def test_of_two_simulated_sources_the_second_is_asked_for_what_the_first_does_not_supply():
    first, second, third = simulator(Supply.CARBON), simulator(Supply.CARBON, Supply.PRICE), simulator(Supply.PRICE)
    ask(first, second, third)
    assert {request.wanted for request in second.asked} == {frozenset({Supply.PRICE})}
    assert third.asked == []


def test_where_the_real_ones_answer_for_all_of_it_no_simulated_one_is_asked():
    made_up = simulator(Supply.CARBON)
    ask(real(Supply.CARBON), made_up)
    assert made_up.asked == []


def spans(source: Scripted) -> list[tuple[datetime, datetime, set[Supply]]]:
    return [(request.start, request.end, set(request.wanted)) for request in source.asked]


def test_a_source_of_forecasts_leaves_the_past_to_the_simulator_and_one_of_outturn_what_is_ahead():
    made_up = simulator(Supply.DEMAND, Supply.PRICE)
    ask(
        real(Supply.DEMAND, sides=frozenset({Side.AHEAD})),
        real(Supply.PRICE, sides=frozenset({Side.PAST})),
        made_up,
    )
    assert spans(made_up) == [(START, PRESENT, {Supply.DEMAND}), (PRESENT, END, {Supply.PRICE})]


def test_what_a_simulator_is_asked_for_in_two_parts_is_one_batch():
    def answer(request: Request) -> Batch:
        return Batch(national=[NationalReading(starts_at=request.start, demand_mw=1)], rows_seen=1)

    made_up = simulator(Supply.DEMAND, answer=answer)
    (one,) = ask(made_up)
    assert spans(made_up) == [(START, PRESENT, {Supply.DEMAND}), (PRESENT, END, {Supply.DEMAND})]
    assert one.batch is not None
    assert [reading.starts_at for reading in one.batch.national] == [START, PRESENT]
    assert one.batch.rows_seen == 2


@pytest.mark.parametrize(
    ("grid", "asks_real", "asks_simulated"), [("real", 1, 0), ("simulated", 0, 2), ("auto", 1, 2)]
)
def test_the_setting_says_which_kinds_are_asked(grid, asks_real, asks_simulated):
    """A simulator is asked for the past and for what is ahead by itself."""
    api, made_up = real(Supply.CARBON, answer=down), simulator(Supply.CARBON)
    ask(api, made_up, grid=grid)
    assert (len(api.asked), len(made_up.asked)) == (asks_real, asks_simulated)


def test_real_sources_are_asked_at_once():
    """Two that wait for each other both get their answer."""
    both = threading.Barrier(2, timeout=5)

    def meet(_: Request) -> Batch:
        both.wait()
        return EMPTY

    asked = ask(real(Supply.CARBON, answer=meet), real(Supply.MIX, answer=meet))
    assert [one.fault for one in asked] == [None, None]


def test_what_is_given_comes_in_the_order_of_the_sources():
    slow = threading.Event()

    def last(_: Request) -> Batch:
        slow.wait(5)
        return Batch(rows_seen=1)

    def first(_: Request) -> Batch:
        slow.set()
        return Batch(rows_seen=2)

    asked = ask(real(Supply.CARBON, answer=last), real(Supply.MIX, answer=first))
    assert [one.batch and one.batch.rows_seen for one in asked] == [1, 2]


# When


@pytest.mark.parametrize(
    ("minutes", "outcome"),
    [
        pytest.param(30, Outcome.NOT_DUE, id="half an hour later"),
        pytest.param(24 * 60 - 3, Outcome.NOT_DUE, id="three minutes before the day is over"),
        pytest.param(24 * 60 - 2, Outcome.OK, id="a day later, on a run that began a little early"),
        pytest.param(24 * 60 + 30, Outcome.OK, id="more than a day later"),
        pytest.param(-1, Outcome.OK, id="on a clock that was set back"),
    ],
)
def test_a_source_that_is_asked_once_a_day_is_not_asked_before(minutes, outcome):
    daily, made_up = real(Supply.FACTORS, poll_every=timedelta(days=1)), simulator(Supply.FACTORS)
    last = {"real": report_of(Asked(source=daily, batch=EMPTY))}
    (one,) = ask(daily, made_up, last=last, now=NOW + timedelta(minutes=minutes))
    assert (one.outcome, len(daily.asked)) == (outcome, int(outcome is Outcome.OK))
    assert made_up.asked == []  # what it gave last is still known


def test_a_source_that_never_answered_is_asked_at_once_whatever_its_cadence():
    daily = real(Supply.FACTORS, poll_every=timedelta(days=1), answer=down)
    failed = report_of(ask(daily)[0])
    assert ask(daily, last={"real": failed})[0].outcome is Outcome.FAILED
    assert len(daily.asked) == 2


def test_a_source_is_told_what_it_last_said_of_its_state():
    source = real(Supply.DEMAND, answer=lambda _: Batch(rows_seen=1, marker="2026-11-22T08:45"))
    (first,) = ask(source)
    ask(source, last={"real": report_of(first)})
    assert [request.marker for request in source.asked] == [None, "2026-11-22T08:45"]


def test_a_marker_survives_a_run_in_which_the_source_failed():
    source = real(Supply.DEMAND)
    first = report_of(Asked(source=source, batch=Batch(rows_seen=1, marker="then")))
    failed = report_of(Asked(source=source, fault=SourceUnavailable("No.")), NOW + timedelta(hours=1), first)
    assert (failed.marker, failed.fetched_at) == ("then", NOW)


# Faults


def test_a_source_that_fails_stops_no_other():
    asked = ask(real(Supply.CARBON, answer=down), real(Supply.MIX))
    assert [one.fault and one.fault.detail for one in asked] == ["It is down.", None]


def test_a_fault_nobody_foresaw_costs_that_source_alone(caplog):
    def broken(_: Request) -> Batch:
        raise ZeroDivisionError

    first, second = ask(real(Supply.CARBON, answer=broken), real(Supply.MIX))
    assert isinstance(first.fault, SourceChanged)
    assert "ZeroDivisionError" in first.fault.detail
    assert second.batch is not None
    assert "Traceback" in caplog.text


def test_progress_is_told_of_every_source():
    said: dict[str, str] = {}
    unchanged = real(Supply.PRICE, answer=lambda _: Batch(rows_seen=0, is_unchanged=True))
    unchanged.name = "patient"
    ask(real(Supply.CARBON, answer=down), unchanged, simulator(Supply.CARBON), progress=said.__setitem__)
    assert said == {"Real": "no answer", "Patient": "nothing new", "Simulator": "0 rows in 0.0 s"}


# The report of one source


def test_an_answer_is_reported_with_its_counts_its_gaps_and_the_first_refusals():
    refused = [Rejection(f"row {number}", "it is odd") for number in range(50)]
    batch = Batch(rows_seen=99, rejected=refused, missing=[PRESENT])
    report = source_report(
        Asked(source=real(Supply.CARBON), batch=batch, seconds=1.23456),
        Stored(written=4, unchanged=5, vintages=6),
        withheld=7,
        now=NOW,
        last=None,
    )
    assert (report.outcome, report.fetched_at, report.fault, report.seconds) == (Outcome.OK, NOW, None, 1.235)
    assert (report.rows_seen, report.rows_written, report.rows_unchanged, report.rows_rejected) == (99, 4, 5, 50)
    assert report.values_withheld == 7
    assert [refusal.what for refusal in report.rejected] == [f"row {number}" for number in range(REFUSALS_KEPT)]
    assert (report.half_hours_missing, len(report.gaps)) == (1, 1)


@pytest.mark.parametrize(
    ("became", "outcome", "says"),
    [
        pytest.param({"fault": SourceUnavailable("No.")}, Outcome.FAILED, "No.", id="it failed"),
        pytest.param({}, Outcome.NOT_DUE, None, id="it was not due"),
    ],
)
def test_a_source_that_did_not_answer_is_reported_with_the_time_of_its_last_answer(became, outcome, says):
    source, before = real(Supply.CARBON), NOW - timedelta(hours=5)
    last = report_of(Asked(source=source, batch=EMPTY), before)
    report = report_of(Asked(source=source, **became), last=last)
    assert (report.outcome, report.fetched_at) == (outcome, before)
    assert (report.fault and report.fault["detail"]) == says


def test_an_unchanged_source_has_answered():
    report = report_of(Asked(source=real(Supply.DEMAND), batch=Batch(rows_seen=0, is_unchanged=True)))
    assert (report.outcome, report.fetched_at) == (Outcome.UNCHANGED, NOW)
