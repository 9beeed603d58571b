"""Asking the sources, without a database: who is asked for what, and what is said of whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pylon import pipeline
from pylon.errors import PylonError, SourceChanged, SourceUnavailable
from pylon.ontology.enums import RunStatus
from pylon.services.ingest import Stored
from pylon.services.reports import REFUSALS_KEPT, Outcome
from pylon.settings import Settings
from pylon.sources.feed import SIMULATED, Batch, Rejection, Request, Supply, Terms

NOW = datetime(2026, 11, 22, 9, 12, tzinfo=UTC)
EMPTY = Batch(rows_seen=0)


@dataclass
class Scripted:
    """A source that answers as it is told, and remembers what it was asked."""

    name: str
    supplies: frozenset[Supply]
    data_source: str = "api"
    answer: Callable[[Request], Batch] = lambda _: EMPTY
    asked: list[Request] = field(default_factory=list)

    @property
    def terms(self) -> Terms:
        return Terms(
            name=self.name,
            title=self.name.title(),
            data_source=self.data_source,
            supplies=self.supplies,
            homepage="",
            licence="",
            attribution="",
            cadence=timedelta(minutes=30),
            delay=timedelta(0),
        )

    def fetch(self, request: Request) -> Batch:
        self.asked.append(request)
        return self.answer(request)


def real(*supplies: Supply, answer: Callable[[Request], Batch] = lambda _: EMPTY) -> Scripted:
    return Scripted("real", frozenset(supplies), answer=answer)


def simulator(*supplies: Supply) -> Scripted:
    return Scripted("simulator", frozenset(supplies), SIMULATED)


def down(_: Request) -> Batch:
    raise SourceUnavailable("It is down.")


def fetch(*sources: Scripted, grid: str = "auto", **this: Any) -> list[Any]:
    settings = Settings(grid=grid, seed=11, http_attempts=1)  # type: ignore[arg-type]
    run = pipeline.Run(
        run_id=UUID(int=1), now=NOW, clock=lambda: NOW, operator_id=UUID(int=2), trigger="test", **this
    )
    return pipeline._fetch(settings, run, sources)


# Who is asked for what


def test_a_simulated_source_is_asked_for_what_no_real_one_answered():
    carbon, price = real(Supply.CARBON), real(Supply.PRICE, answer=down)
    made_up = simulator(Supply.CARBON, Supply.PRICE, Supply.DEMAND)
    fetch(carbon, price, made_up)
    assert [request.wanted for request in made_up.asked] == [{Supply.PRICE, Supply.DEMAND}]


def test_of_two_simulated_sources_the_second_is_asked_for_what_the_first_does_not_supply():
    first, second, third = simulator(Supply.CARBON), simulator(Supply.CARBON, Supply.PRICE), simulator(Supply.PRICE)
    fetch(first, second, third)
    assert [request.wanted for request in second.asked] == [{Supply.PRICE}]
    assert third.asked == []


def test_where_the_real_ones_answer_for_all_of_it_no_simulated_one_is_asked():
    made_up = simulator(Supply.CARBON)
    fetch(real(Supply.CARBON), made_up)
    assert made_up.asked == []


@pytest.mark.parametrize(
    ("grid", "asks_real", "asks_simulated"), [("real", 1, 0), ("simulated", 0, 1), ("auto", 1, 1)]
)
def test_the_setting_says_which_kinds_are_asked(grid, asks_real, asks_simulated):
    api, made_up = real(Supply.CARBON, answer=down), simulator(Supply.CARBON)
    fetch(api, made_up, grid=grid)
    assert (len(api.asked), len(made_up.asked)) == (asks_real, asks_simulated)


def test_all_are_asked_for_the_same_half_hours_around_now():
    api, made_up = real(Supply.CARBON, answer=down), simulator(Supply.CARBON)
    fetch(api, made_up, behind=timedelta(days=3))
    for (request,) in (api.asked, made_up.asked):
        assert request.start == datetime(2026, 11, 19, 9, 0, tzinfo=UTC)
        assert request.end == datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
        assert (request.now, request.seed) == (NOW, 11)


def test_real_sources_are_asked_at_once():
    """Two that wait for each other both get their answer."""
    both = threading.Barrier(2, timeout=5)

    def meet(_: Request) -> Batch:
        both.wait()
        return EMPTY

    fetched = fetch(real(Supply.CARBON, answer=meet), real(Supply.MIX, answer=meet))
    assert [one.fault for one in fetched] == [None, None]


def test_what_is_given_comes_in_the_order_of_the_sources():
    slow = threading.Event()

    def last(_: Request) -> Batch:
        slow.wait(5)
        return Batch(rows_seen=1)

    def first(_: Request) -> Batch:
        slow.set()
        return Batch(rows_seen=2)

    fetched = fetch(real(Supply.CARBON, answer=last), real(Supply.MIX, answer=first))
    assert [one.batch.rows_seen for one in fetched] == [1, 2]


# Faults


def test_a_source_that_fails_stops_no_other():
    fetched = fetch(real(Supply.CARBON, answer=down), real(Supply.MIX))
    assert [one.fault and one.fault.detail for one in fetched] == ["It is down.", None]


def test_a_fault_nobody_foresaw_costs_that_source_alone(caplog):
    def broken(_: Request) -> Batch:
        raise ZeroDivisionError

    first, second = fetch(real(Supply.CARBON, answer=broken), real(Supply.MIX))
    assert isinstance(first.fault, SourceChanged)
    assert "ZeroDivisionError" in first.fault.detail
    assert second.batch is not None
    assert "Traceback" in caplog.text


def test_progress_is_told_of_every_source():
    said: dict[str, str] = {}
    fetch(real(Supply.CARBON, answer=down), simulator(Supply.CARBON), progress=said.__setitem__)
    assert said == {"Real": "no answer", "Simulator": "0 rows in 0.0 s"}


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ((EMPTY, EMPTY), RunStatus.SUCCEEDED),
        ((EMPTY, None), RunStatus.PARTIAL),
        ((None, None), RunStatus.FAILED),
    ],
)
def test_a_run_is_as_good_as_its_sources(answers, status):
    assert pipeline._status([fetched(batch=batch) for batch in answers]) is status


# The report of one source


def fetched(batch: Batch | None = None, fault: PylonError | None = None) -> Any:
    return pipeline._Fetched(real(Supply.CARBON), batch, fault, 1.23456)


def test_an_answer_is_reported_with_its_counts_its_gaps_and_the_first_refusals():
    refused = [Rejection(f"row {number}", "it is odd") for number in range(50)]
    batch = Batch(rows_seen=99, rejected=refused, missing=[NOW])
    report = pipeline._source_report(fetched(batch), Stored(written=4, unchanged=5, vintages=6), NOW, None)
    assert (report.outcome, report.fetched_at, report.fault, report.seconds) == (Outcome.OK, NOW, None, 1.235)
    assert (report.rows_seen, report.rows_written, report.rows_unchanged, report.rows_rejected) == (99, 4, 5, 50)
    assert [refusal.what for refusal in report.rejected] == [f"row {number}" for number in range(REFUSALS_KEPT)]
    assert (report.half_hours_missing, len(report.gaps)) == (1, 1)


def test_a_fault_is_reported_with_the_time_of_the_last_answer():
    before = NOW - timedelta(hours=5)
    report = pipeline._source_report(fetched(fault=SourceUnavailable("No.")), Stored(0, 0, 0), NOW, before)
    assert (report.outcome, report.fetched_at) == (Outcome.FAILED, before)
    assert report.fault is not None
    assert report.fault["detail"] == "No."
