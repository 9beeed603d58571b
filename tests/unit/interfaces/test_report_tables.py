"""The tables of a report: kinds apart, nothing cut off, and the baseline named."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from rich.console import Console

from pylon.interfaces.report_tables import report_notes, report_tables
from pylon.services.report import By, Figures, Kind, Report, ReportRow, Total

BIG = {
    "completed": 12_345,
    "failed": 1,
    "rejected": 2,
    "cancelled": 3,
    "energy_kwh": 12_345_678,
    "carbon_g": 1_234_567_890,
    "cost_gbp": -123_456,
    "carbon_saved_g": -123_456_789,
    "cost_saved_gbp": 123_456,
    "storage_half_hours": 12_345,
    "charged_kwh": 1_234_567,
    "discharged_kwh": 1_234_567,
    "storage_earned_gbp": -123_456,
    "storage_carbon_saved_g": -123_456_789,
}
AGENT = "SIM-COMPUTE-ORCHESTRATOR"


def figures(**values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(Figures.model_fields, 0), **values}


def a_report(*kinds: Kind, by: By = By.AGENT, **values: Any) -> Report:
    label = {"agent": AGENT} if by is By.AGENT else {"day": date(2026, 11, 21)}
    return Report(
        as_of=datetime(2026, 11, 22, 12, tzinfo=UTC),
        operator_id=UUID(int=1),
        start=date(2026, 11, 16),
        end=date(2026, 11, 23),
        by=by,
        rows=[ReportRow(kind=kind, **label, **figures(**values)) for kind in kinds],
        totals=[Total(kind=kind, **figures(**values)) for kind in kinds],
        notice=None,
    )


def drawn(report: Report, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as said:
        for table in report_tables(report):
            console.print(table)
    return said.get()


def test_the_largest_figures_of_an_agent_fit_eighty_columns():
    printed = drawn(a_report(Kind.SIMULATED, **BIG))
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    for said in (AGENT, "12,345", "12,346", "1,234,568", "-123,456", "-123,457", "123,456", "1,235"):
        assert said in printed, said


def test_each_kind_of_figure_has_tables_of_its_own():
    printed = drawn(a_report(*Kind, by=By.DAY, **BIG))
    for kind in ("real", "partly simulated", "simulated"):
        assert f"Workloads that ended, 2026-11-16 to 2026-11-22: {kind}" in printed
        assert f"Storage, against idling (wear taken off): {kind}" in printed
    assert printed.count("2026-11-21") == printed.count("all ") == 6


def test_a_figure_that_is_not_known_is_left_blank():
    unknown = dict.fromkeys(("energy_kwh", "carbon_g", "cost_gbp", "carbon_saved_g", "cost_saved_gbp"))
    (line,) = [
        line
        for line in drawn(a_report(Kind.REAL, completed=7, unsettled=7, **unknown)).splitlines()
        if AGENT in line
    ]
    assert line.split(AGENT)[1].split() == ["7", "0"]


def test_storage_that_did_nothing_has_no_table():
    assert "Storage" not in drawn(a_report(Kind.REAL, completed=1))


def test_the_notes_name_both_baselines_and_whose_energy_it_is():
    said = " ".join(report_notes(a_report(Kind.REAL)))
    assert 'against "run now at origin" (workloads) and "idle" (storage)' in said
    assert "Energy is the facility's" in said
