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
from pylon.services.list_sources import Flag, SourceState, SupplyGaps
from pylon.services.reports import Gap, Outcome, Refusal, RunReport, SourceReport
from pylon.services.status import Readiness, Status
from pylon.services.take_stock import Holding
from pylon.sources.feed import discover

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
    assert "National carbon 96 half hours api 5 min" in lines
    assert "Your data centres 1,400 simulated" in lines
    assert "Unheard 1 operator" in lines


def test_the_stock_fits_80_columns_and_cuts_no_source():
    held = [
        Holding(
            object_type="RegionalGridSignal",
            quantity="carbon",
            source=name,
            rows=17 * 96,
            is_simulated=False,
            changed_at=NOW,
        )
        for name in ("carbon_intensity_api", "import:the-forecasts-of-last-winter-2025-2026")
    ]
    status = Status(
        as_of=NOW + timedelta(minutes=119),
        operator_id=UUID(int=1),
        readiness=Readiness(ready=True),
        runs=[],
        stock=held,
        sources=[],
    )
    text = text_of(tables.stock_table(status), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "Regional carbon 1,632 half hours carbon_intensity_api 119 min" in " ".join(text.split())
    column = [line[34:].split() for line in text.splitlines() if len(line) > 34]
    assert "import:the-forecasts-of-last-winter-2025-2026" in "".join(words[0] for words in column if words)


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


REAL = [found.terms.title for found in discover() if not found.terms.is_simulated]


@pytest.mark.parametrize("width", [80, 100])
def test_the_sources_of_a_run_fit_the_terminal_with_every_number_whole(width):
    many = [
        source(title=title, seconds=12.3, rows_seen=35_040, rows_written=1_234_567, rows_unchanged=17_520)
        for title in REAL
    ]
    text = text_of(tables.sources_table(report(*many)), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert all(heading not in text for heading in ("refused", "gaps"))  # nothing was, of any
    assert [text.count(number) for number in ("35,040", "1,234,567", "17,520")] == [len(REAL)] * 3
    worst = source(
        title=REAL[0], seconds=12.3, rows_seen=1_000_001, rows_written=1_000_002, rows_unchanged=1_000_003
    ).model_copy(update={"rows_rejected": 1_004, "half_hours_missing": 1_005})
    text = text_of(tables.sources_table(report(worst, *many)), width=width)
    assert max(map(len, text.splitlines())) <= width
    for number in ("1,000,001", "1,000,002", "1,000,003", "1,004", "1,005"):
        assert number in text
    assert "…" not in text


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


def test_sources_of_one_api_that_fail_alike_share_a_line():
    down = "cannot be reached: no route. Check the network."
    states = [
        state(
            name=name,
            title=f"{api}: {name}",
            outcome=Outcome.FAILED,
            fault=f"https://{api.lower()}.example/{name}/x?y=1 {down}",
            last_answered_at=None,
            age_s=None,
            gaps=[gaps("national.demand_mw", 335)],
        )
        for api, name in (("Elexon", "a"), ("NESO", "b"), ("Elexon", "c"), ("Elexon", "d"))
    ]
    known = state(name="e", title="Elexon: e", fault=f"https://elexon.example/e {down}", age_s=7200)
    assert list(tables.source_notes([*states, known])) == [
        f"Elexon (3 sources), never answered: https://elexon.example {down}",
        f"NESO: b (never answered): https://neso.example/b/x?y=1 {down}",
        f"Elexon: e (last answered 2 h ago): https://elexon.example/e {down}",
    ]
    assert tables.by_api(one.title for one in (*states, known)) == "Elexon (4 sources), NESO: b"


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
    assert "NESO: demand from the 2nd to real ok 3 min ago 0 335" in lines
    assert "Elexon: out real none 0 0" in lines
    assert "New real unchanged 3 min ago 1,234 0" in lines
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
