"""Reports: what a run says of itself, and the gaps it names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from pylon.ontology.calendar import HALF_HOUR, half_hours
from pylon.ontology.enums import RunStatus
from pylon.services.reports import ForecastReport, Outcome, RunReport, SourceReport, SyntheticReport, gaps_of

START = datetime(2026, 3, 28, tzinfo=UTC)  # the clocks go forward in the second of these days
SPAN = list(half_hours(START, START + timedelta(days=3)))


@given(st.sets(st.sampled_from(SPAN)))
def test_gaps_are_exactly_the_half_hours_that_are_missing(missing):
    gaps = gaps_of(sorted(missing))
    assert [at for gap in gaps for at in half_hours(gap.start, gap.end)] == sorted(missing)
    assert all(gap.half_hours == (gap.end - gap.start) // HALF_HOUR > 0 for gap in gaps)


@given(st.sets(st.sampled_from(SPAN)))
def test_gaps_are_as_long_as_can_be(missing):
    """No two of them touch: they would be one."""
    gaps = gaps_of(sorted(missing))
    assert all(earlier.end < later.start for earlier, later in pairwise(gaps))


def test_nothing_missing_is_no_gap():
    assert gaps_of([]) == []


def source(written: int = 0, fetched_at: datetime | None = None) -> SourceReport:
    return SourceReport(
        name="one",
        title="One",
        data_source="one",
        is_simulated=False,
        licence="",
        attribution="",
        outcome=Outcome.OK,
        rows_written=written,
        seconds=0,
        fetched_at=fetched_at,
    )


def test_rows_written_counts_everything_a_run_wrote():
    report = RunReport(
        run_id=UUID(int=1),
        status=RunStatus.SUCCEEDED,
        trigger="test",
        started_at=START,
        sources=[source(5), source(7)],
        vintages_written=11,
        stress_written=13,
        forecasts=ForecastReport(half_hours={"national.demand_mw": 31}, rows_written=29, vintages_written=1),
        synthetic=SyntheticReport(objects_created={"DataCentre": 17, "Agent": 19}, workloads_arrived=23),
    )
    assert report.rows_written == 5 + 7 + 11 + 13 + 17 + 19 + 23 + 29


def test_the_age_of_a_source_is_since_its_last_answer():
    assert source().age(START) is None
    assert source(fetched_at=START).age(START + HALF_HOUR) == HALF_HOUR


@settings(max_examples=50)
@given(
    st.builds(
        RunReport,
        run_id=st.uuids(),
        status=st.sampled_from(RunStatus),
        trigger=st.sampled_from(("command", "timetable")),
        started_at=st.just(START),
        finished_at=st.none() | st.just(START + HALF_HOUR),
        sources=st.lists(st.builds(source, st.integers(0, 9), st.none() | st.just(START)), max_size=3),
        vintages_written=st.integers(0, 9),
        synthetic=st.none() | st.just(SyntheticReport(workloads_arrived=3)),
        error=st.none() | st.just({"code": "abandoned", "detail": "..."}),
    )
)
def test_a_report_comes_back_from_its_row_as_it_was(report):
    columns = {name: getattr(report, name) for name in ("status", "trigger", "started_at", "finished_at")}
    assert RunReport.of({"id": report.run_id, **columns, "report": report.stored()}) == report
