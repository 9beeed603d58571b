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
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.enums import RunStatus
from pylon.services.list_signals import SignalList, SignalSummary
from pylon.services.list_sources import Flag, SourceState, SupplyGaps
from pylon.services.read_signal import Attribution, CommittedRun, Missing, SignalReading, SignalValue
from pylon.services.recall_signals import Withheld
from pylon.services.reports import Gap, Outcome, Refusal, RunReport, SourceReport
from pylon.services.status import Readiness, Status
from pylon.services.take_stock import Holding

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def text_of(table: Any, width: int = 120) -> str:
    console = Console(width=width)
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
        sources=[],
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


# The state of the sources


def state(**values: Any) -> SourceState:
    said = {"name": "one", "title": "One source", "data_source": "one", "is_simulated": False, "licence": "L"}
    terms = {"api": "one", "homepage": "", "attribution": "By One", "supplies": ["demand"], "sides": ["past"]}
    times = {"rank": 50, "cadence_s": 1800, "delay_s": 0, "poll_every_s": 0, "limits": "none published"}
    fared = {"outcome": Outcome.OK, "fault": None, "last_answered_at": NOW - timedelta(minutes=3), "age_s": 180}
    lacks: dict[str, Any] = {"withheld": {}, "newest_withheld": [], "gaps": []}
    return SourceState.model_validate({**said, **terms, **times, **fared, **lacks, **values})


def gaps(quantity: str, *lengths: int) -> SupplyGaps:
    spans = [
        Gap(start=at, end=at + length * HALF_HOUR, half_hours=length)
        for n, length in enumerate(lengths)
        for at in [NOW + n * timedelta(hours=5)]
    ]
    return SupplyGaps(quantity=quantity, half_hours=sum(lengths), gaps=spans)


def test_the_states_of_the_sources_fit_80_columns():
    states = [
        state(title="NESO: national demand from the 2nd to the 14th day", gaps=[gaps("national.demand_mw", 335)]),
        state(title="Elexon: out", outcome=Outcome.FAILED, fault="It is down.", last_answered_at=None, age_s=None),
        state(title="New", outcome=Outcome.UNCHANGED, withheld={"zero": 1234}),
        state(title="Made up", is_simulated=True, last_answered_at=None, outcome=None),
        state(title="Left alone", outcome=None, gaps=[gaps("national.demand_mw", 335)]),
    ]
    text = text_of(tables.states_table(states, report(), NOW), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Sources in the run of 2026-11-22 09:00 UTC: PARTIAL" in lines
    assert "NESO: national demand from real ok 3 min ago 0 335" in lines
    assert "Elexon: out real none 0 0" in lines
    assert "New real nothing new 3 min ago 1,234 0" in lines
    assert "Made up simulated not asked" in lines
    assert "Left alone real not asked 3 min ago" in lines
    assert "Sources" in text_of(tables.states_table([], None, NOW))


def test_faults_what_is_withheld_and_gaps_are_said_in_words():
    found = {"rule": "zero", "raw": {}, "reason": "It is 0.", "flagged_at": NOW, "run_id": UUID(int=1)}
    flag = Flag.model_validate({**found, "series": "national.demand_mw", "starts_at": NOW})
    said = state(
        fault="It is down.",
        withheld={"zero": 4},
        newest_withheld=[flag],
        gaps=[gaps("national.demand_mw", 1, 2, 1, 1, 1)],
    )
    assert list(tables.source_notes([said])) == [
        "One source (last answered 3 min ago): It is down.",
        "One source: 4 values withheld by the rule zero",
        "One source: withheld national.demand_mw of 2026-11-22 09:00 UTC: It is 0.",
        "One source: no real national.demand_mw in 6 half hours of the last 7 days: 11-22 09:00 to 11-22 09:30, "
        "11-22 14:00 to 11-22 15:00, 11-22 19:00 to 11-22 19:30 and 2 more (UTC)",
    ]
    assert list(tables.source_notes([state(outcome=None, gaps=[gaps("mix", 1)]), state(is_simulated=True)])) == []


# Signals


@pytest.mark.parametrize(
    ("values", "cells", "drawn"),
    [
        ([], 8, ""),
        ([None, None], 8, "  "),
        ([5], 8, "▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([-7, None, 0], 8, "▁ █"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([0, None, 7, 7], 2, "▁█"),
        ([None, None, 7, 7], 2, " ▁"),
    ],
)
def test_a_sparkline_runs_from_the_lowest_to_the_highest(values, cells, drawn):
    assert tables.sparkline(values, cells) == drawn


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=300), st.integers(1, 100))
def test_a_sparkline_is_as_wide_as_its_values_or_the_cells(values, cells):
    assert len(tables.sparkline(values, cells)) == min(len(values), cells)


@pytest.mark.parametrize(
    ("value", "low", "high", "drawn"),
    [
        (None, 0, 10, ""),
        (0, 0, 10, ""),
        (10, 0, 10, "█" * 24),
        (5, 0, 10, "█" * 12),
        (1, 0, 192, "▏"),
        (9, 0, 192, "█▏"),
        (-10, -10, 10, ""),
        (5, 5, 5, ""),
    ],
)
def test_a_bar_is_as_long_as_its_value(value, low, high, drawn):
    assert tables.bar(value, low, high) == drawn


def reading(*values: float | None, **more: Any) -> SignalReading:
    rows = [
        SignalValue(
            starts_at=NOW + n * HALF_HOUR,
            value=value,
            source=None if value is None else "simulated" if n == 0 else "api",
            is_simulated=value is not None and n == 0,
            recorded_at=None if value is None else NOW,
        )
        for n, value in enumerate(values)
    ]
    return SignalReading(
        **{
            "name": "national.demand_mw",
            "unit": "MW",
            "doc": "Demand",
            "as_of": NOW,
            "is_latest": True,
            "run": CommittedRun(id=UUID(int=1), finished_at=NOW),
            "starts_at": NOW,
            "ends_at": NOW + len(values) * HALF_HOUR,
            "notes": [],
            "contains_simulated": True,
            "notice": "Made up.",
            "attributions": [],
            "values": rows,
            "withheld": [],
            "missing": [],
            **more,
        }
    )


def test_a_signal_is_drawn_half_hour_by_half_hour_and_says_what_is_simulated():
    text = text_of(tables.signal_table(reading(100, 50.25, None)), width=80)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "national.demand_mw in MW, latest" in lines
    assert f"2026-11-22 09:00 100 {'█' * 24} simulated" in lines
    assert f"2026-11-22 09:30 50.2 {'█' * 12} api" in lines
    assert "2026-11-22 10:00" in lines
    assert max(map(len, text.splitlines())) <= 80
    assert "as known at 2026-11-22 09:00:00 UTC" in text_of(tables.signal_table(reading(1, is_latest=False)))


def test_a_long_signal_is_drawn_day_by_day():
    text = text_of(tables.signal_table(reading(*([1.0] * 30 + [3.0] * 100))))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines.count(f"2026-11-23 3 {'█' * 24} api") == 1
    assert any(line.startswith("2026-11-22 1 ") and line.endswith("api, simulated") for line in lines)


def test_what_a_reader_of_a_signal_must_know_is_said_below_it():
    withheld = [
        Withheld(starts_at=NOW + n * HALF_HOUR, rule="zero", raw={}, reason="It is 0.", flagged_at=NOW)
        for n in range(5)
    ]
    missing = [Missing(start=NOW, end=NOW + HALF_HOUR, half_hours=1, reason="Nobody gave it.")]
    credited = [
        Attribution(data_source=name, attribution=by, licence=None)
        for name, by in (("a", "By A"), ("b", "By A"), ("import:x", None))
    ]
    said = reading(
        1, notes=["Floored."], withheld=withheld, missing=missing, attributions=credited, run=None, is_latest=False
    )
    assert list(tables.signal_notes(said)) == [
        "Floored.",
        "Made up.",
        "No run of the pipeline had committed by then.",
        "Withheld 2026-11-22 09:00 UTC (zero): It is 0.",
        "Withheld 2026-11-22 09:30 UTC (zero): It is 0.",
        "Withheld 2026-11-22 10:00 UTC (zero): It is 0.",
        "... and 2 more are withheld.",
        "No value from 2026-11-22 09:00 to 2026-11-22 09:30 UTC: Nobody gave it.",
        "Data: By A",
    ]


def test_the_signals_held_fit_80_columns_with_their_names_whole():
    def summary(name: str, **values: Any) -> SignalSummary:
        return SignalSummary(
            **{
                "name": name,
                "unit": "MW",
                "doc": "",
                "object_type": "GridSignal",
                "column": "x",
                "region_id": None,
                "first_half_hour": NOW,
                "last_half_hour": NOW,
                "sources": ["carbon_intensity_api", "simulated"],
                "contains_simulated": True,
                "latest_vintage_at": NOW,
                "open_flags": 0,
                "scored_against": None,
                **values,
            }
        )

    held = SignalList(
        as_of=NOW,
        signals=[
            summary("region.17.carbon_intensity_forecast"),
            summary("national.demand_mw", sources=["api"], open_flags=3),
            summary("national.system_price_gbp_mwh", first_half_hour=None, last_half_hour=None, sources=[]),
        ],
    )
    text = text_of(tables.signals_table(held), width=80)
    assert max(map(len, text.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert any(line.startswith("region.17.carbon_intensity_forecast 2026-11-22 2026-11-22 09:00") for line in lines)
    assert "national.system_price_gbp_mwh nothing" in lines
    assert "(3 withheld)" in " ".join(lines)
