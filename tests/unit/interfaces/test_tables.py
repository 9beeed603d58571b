"""Tables for the terminal: spans as people say them, and a line for each thing to look into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pylon.interfaces import tables
from pylon.ontology.enums import RunStatus
from pylon.services.reports import Gap, Outcome, Refusal, RunReport, SourceReport
from pylon.services.status import Readiness, Status
from pylon.services.take_stock import Holding

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def text_of(table: Any) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def source(**values: Any) -> SourceReport:
    said = {"name": "one", "title": "One source", "data_source": "one", "is_simulated": False, "licence": "L"}
    return SourceReport.model_validate(
        {**said, "attribution": "By One", "outcome": Outcome.OK, "seconds": 0.5, **values}
    )


def report(*sources: SourceReport, **values: Any) -> RunReport:
    said = {"run_id": UUID(int=1), "status": RunStatus.PARTIAL, "trigger": "test", "started_at": NOW}
    return RunReport.model_validate({**said, "sources": list(sources), **values})


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(milliseconds=400), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=400), "400 days"),
    ],
)
def test_a_span_is_said_as_people_say_it(span, said):
    assert tables.ago(span) == said


@given(st.integers(0, 10**9))
def test_a_span_is_never_said_longer_than_it_is_nor_by_much_shorter(seconds):
    number, unit = tables.ago(timedelta(seconds=seconds)).split()
    said = int(number) * {"s": 1, "min": 60, "h": 3600, "days": 86_400}[unit]
    assert said <= seconds < said * 1.5 + 60


def test_every_fault_refusal_and_gap_has_its_line():
    failed = source(
        title="Broken", outcome=Outcome.FAILED, fault={"detail": "It is down."}, fetched_at=NOW - timedelta(hours=3)
    )
    never = source(title="New", outcome=Outcome.FAILED, fault={"detail": "No such host."})
    partial = source(
        title="Patchy",
        rejected=[Refusal(what="row 1", why="it is -5")],
        gaps=[Gap(start=NOW, end=NOW + timedelta(hours=1), half_hours=2)],
    )
    said = report(failed, never, partial, error={"detail": "The lease was lost."})
    assert list(tables.faults(said, NOW)) == [
        "Broken (last answered 3 h ago): It is down.",
        "New (never answered): No such host.",
        "Patchy: refused row 1: it is -5",
        "Patchy: 2 half hours missing, 2026-11-22 09:00 to 2026-11-22 10:00 UTC",
        "The lease was lost.",
    ]
    assert list(tables.faults(report(source()), NOW)) == []


def test_each_real_source_that_ever_answered_is_credited_once():
    said = report(
        source(attribution="By One", fetched_at=NOW),
        source(attribution="By One", fetched_at=NOW),
        source(attribution="By Two"),
        source(attribution="Nobody", is_simulated=True, fetched_at=NOW),
    )
    assert list(tables.attributions(said)) == ["Data: By One"]


def test_the_stock_says_how_much_from_where_how_old_and_whether_simulated():
    held = [
        Holding(
            object_type="GridSignal", quantity="carbon", source="api", rows=96, is_simulated=False, changed_at=NOW
        ),
        Holding(object_type="DataCentre", source="simulated", rows=1400, is_simulated=True),
        Holding(object_type="Unheard", source="operator", rows=1, is_simulated=False),
    ]
    status = Status(
        as_of=NOW + timedelta(minutes=5),
        operator_id=UUID(int=1),
        readiness=Readiness(ready=True),
        runs=[],
        stock=held,
    )
    lines = [" ".join(line.split()) for line in text_of(tables.stock_table(status)).splitlines()]
    assert "National carbon 96 half hours api 5 min no" in lines
    assert "Your data centres 1,400 simulated yes" in lines
    assert "Unheard 1 operator no" in lines


def test_the_sources_of_a_run_show_numbers_or_that_there_was_no_answer():
    text = text_of(
        tables.sources_table(
            report(
                source(rows_seen=1746, rows_written=17440, rows_unchanged=2, rows_rejected=3, half_hours_missing=4),
                source(title="Broken", outcome=Outcome.FAILED),
            )
        )
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Sources in the run of 2026-11-22 09:00 UTC: PARTIAL" in lines
    assert "One source ok 0.5 s 1,746 17,440 2 3 4" in lines
    assert "Broken none" in lines


def test_runs_are_shown_as_given():
    text = text_of(tables.runs_table([report(vintages_written=1200), report(status=RunStatus.FAILED)], NOW))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "2026-11-22 09:00:00 test PARTIAL 1,200 0 s" in lines
    assert "2026-11-22 09:00:00 test FAILED 0 0 s" in lines
