"""The report for the terminal: a table of days or agents with its totals, what it rests on, and the same as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

from rich.markup import escape
from rich.table import Table

from pylon.interfaces import tables
from pylon.services.report import By, Figures, Kind, Report, ReportRow, Total

__all__ = ["csv_text", "report_notes", "report_tables"]

_WORK = ("done", "not\ndone", "MWh", "kg CO2", "GBP", "kg CO2\nsaved", "GBP\nsaved")
_STORAGE = ("half\nhours", "MWh\nin", "MWh\nout", "GBP\nearned", "kg CO2\nsaved")


def report_tables(report: Report) -> Iterator[Table]:
    """Yield the workloads and the storage of a report, a table with a line of totals for each kind of figure.

    Kinds are never added up, so that none stands in a column with another.
    """
    for total in report.totals:
        rows = [row for row in report.rows if row.kind is total.kind]
        yield _table(f"Workloads that ended, {_span(report)}", report.by, total, rows, _WORK, _work)
        stored = [row for row in rows if row.storage_half_hours]
        if stored:
            title = "Storage, against idling (wear taken off)"
            yield _table(title, report.by, total, stored, _STORAGE, _storage)


def _table(
    title: str,
    by: By,
    total: Total,
    rows: Iterable[ReportRow],
    headings: Iterable[str],
    figures: Callable[[Figures], list[str]],
) -> Table:
    kind = total.kind.value.replace("_", " ")
    table = tables.new_table(f"{title}: {kind}")
    if total.kind is not Kind.REAL:
        table.title_style = "yellow"
    table.add_column(by.value, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(_label(row, by), *figures(row))
    table.add_section()
    table.add_row("all", *figures(total), style="bold")
    return table


def report_notes(report: Report) -> Iterator[str]:
    """Yield what a reader of the tables must know: the baseline, losses, what is left out, what is simulated."""
    yield (
        "Days are London days. Energy is the facility's: that of IT times the site's PUE. Saved, as prices and "
        f"carbon turned out: against {_baselines(report)}; losses are taken off."
    )
    for total in report.totals:
        kind = total.kind.value.replace("_", " ")
        if total.carbon_lost_g or total.cost_lost_gbp:
            yield (
                f"Losses in the {kind} savings: {_number(_thousandth(total.carbon_lost_g)) or 'unknown'} kg, "
                f"GBP {_number(total.cost_lost_gbp) or 'unknown'}."
            )
        if total.infeasible:
            yield (
                f"{total.infeasible:,} of the {kind} workloads could not have run at once at their origin; what "
                f"they saved ({_number(total.infeasible_carbon_saved_g / 1000)} kg, "
                f"GBP {_number(total.infeasible_cost_saved_gbp)}) is in no sum."
            )
        if total.unsettled:
            yield f"Not settled yet, since their signals are to come: {total.unsettled:,} of the {kind} workloads."
        if total.carbon_unknown or total.cost_unknown:
            yield (
                f"Of the {kind} workloads {total.carbon_unknown:,} have no carbon and {total.cost_unknown:,} no "
                "cost: a value was never known."
            )
        if total.storage_unvalued:
            yield f"Half hours of {kind} storage that lack a price or an intensity: {total.storage_unvalued:,}."
        if total.cost_per_gpu_hour_gbp is not None:
            yield f"Energy of one GPU hour ({kind}): GBP {total.cost_per_gpu_hour_gbp:.4f}."
    if report.notice:
        yield report.notice


def csv_text(report: Report) -> str:
    """Return the rows of a report as CSV, with the names and units of the API."""
    out = io.StringIO()
    names = [report.by.value, "kind", *Figures.model_fields, "cost_per_gpu_hour_gbp"]
    writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in report.rows:
        writer.writerow(row.model_dump())
    return out.getvalue()


def _span(report: Report) -> str:
    return f"{report.start} to {report.end - timedelta(days=1)}"


def _baselines(report: Report) -> str:
    return " and ".join(f'"{baseline}" ({what})' for what, baseline in report.baselines.items())


def _label(row: ReportRow, by: By) -> str:
    return str(row.day) if by is By.DAY else escape(row.agent or "nobody")


def _work(figures: Figures) -> list[str]:
    return [
        f"{figures.completed:,}",
        f"{figures.failed + figures.rejected + figures.cancelled:,}",
        _number(_thousandth(figures.energy_kwh)),
        _number(_thousandth(figures.carbon_g)),
        _number(figures.cost_gbp),
        _number(_thousandth(figures.carbon_saved_g)),
        _number(figures.cost_saved_gbp),
    ]


def _storage(figures: Figures) -> list[str]:
    return [
        f"{figures.storage_half_hours:,}",
        _number(figures.charged_kwh / 1000),
        _number(figures.discharged_kwh / 1000),
        _number(figures.storage_earned_gbp),
        _number(figures.storage_carbon_saved_g / 1000),
    ]


def _thousandth(value: Decimal | None) -> Decimal | None:
    return None if value is None else value / 1000


def _number(value: Decimal | None) -> str:
    return (
        ""
        if value is None
        else f"{value:,.0f}"
        if abs(value) >= 100
        else f"{value:,.1f}"
        if abs(value) >= 10
        else f"{value:,.2f}"
    )
