"""The back-test as a table, as notes to it and as a document; every one says what in it is simulated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.table import Table

from pylon.interfaces.tables import new_table
from pylon.ontology.calendar import LONDON
from pylon.services.backtest import SIMULATED, Backtest, Policy, Tally

__all__ = ["backtest_notes", "backtest_table", "document"]

_HEADINGS = (
    "ran",
    "not run",
    "over limits",
    "moves",
    "MWh",
    "t CO2",
    "paid, GBP",
    "CO2 saved",
    "paid less",
    "saved, GBP",
    "of foresight",
    "mean gap",
    "worst gap",
)


def backtest_table(found: Backtest) -> Table:
    """Return a column for each policy over all weeks, so that a narrow terminal shows every figure whole."""
    tallies = found.tallies
    jobs = tallies[Policy.RUN_NOW].workloads
    days = f"{_day(found.starts_at)} up to {_day(found.ends_at)}"
    table = new_table(f"Back-test {days}: {_count(jobs, 'workload')}, {found.weeks[0].sites} sites, SIMULATED")
    table.add_column("", no_wrap=True)
    for policy in tallies:
        table.add_column(policy.value, justify="right", no_wrap=True)
    columns = [_cells(found, policy, tally) for policy, tally in tallies.items()]
    for heading, *cells in zip(_HEADINGS, *columns, strict=True):
        table.add_row(heading, *cells)
    return table


def backtest_notes(found: Backtest) -> Iterator[str]:
    """Yield what a reader must know of the table."""
    errors, tallies = found.errors, found.tallies
    yield f"SIMULATED: {', '.join(SIMULATED)}. Recorded: national carbon and demand, and the last forecast of each."
    yield (
        f"Forecasts: the last errors were measured ({errors.last_sd_gco2_kwh:.1f} g, neighbours alike by "
        f"{errors.last_alike:.2f}); earlier ones are drawn alike, {errors.news_sd_gco2_kwh:.1f} g a half hour."
    )
    if found.by_mix:
        mixed = _count(found.by_mix, "half hour")
        yield f"In {mixed} no carbon was published that is right: that of the mix stands in."
    yield (
        "CO2 saved and paid less are against running the same workloads at once. Saved, GBP, is of all that is "
        "weighed: energy, carbon, stress, moving, waiting and the value of what does not run; signed, at what came."
    )
    perfect = tallies[Policy.PERFECT]
    if perfect.mean_gap is not None:
        yield (
            f"The plan with perfect foresight is proven to within {perfect.mean_gap:.2%} of the best possible "
            f"(mean of {_count(perfect.plans, 'week')}; worst {perfect.worst_gap:.2%})."
        )
    if aside := sum(week.set_aside for week in found.weeks):
        yield f"Not counted, because by what came their own limits left nothing: {_count(aside, 'workload')}."
    over = tallies[Policy.RUN_NOW].broken
    if over:
        yield f"Running at once broke limits {_count(over, 'time')}: the baseline could not have been run as it is."


def document(found: Backtest) -> dict[str, Any]:
    """Return every figure in plain values."""
    return {
        "starts_at": found.starts_at.isoformat(),
        "ends_at": found.ends_at.isoformat(),
        "simulated": list(SIMULATED),
        "sites": found.weeks[0].sites,
        "forecast_errors": asdict(found.errors),
        "half_hours_by_mix": found.by_mix,
        "set_aside": sum(week.set_aside for week in found.weeks),
        "policies": {
            policy.value: {
                **_figures(tally),
                "saved_gbp": found.saved_gbp(policy),
                "share_of_foresight": found.share_kept(policy),
            }
            for policy, tally in found.tallies.items()
        },
        "weeks": [
            {
                "starts_at": week.starts_at.isoformat(),
                "policies": {policy.value: _figures(tally) for policy, tally in week.tallies.items()},
            }
            for week in found.weeks
        ],
    }


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        **asdict(tally),
        "rejected": tally.rejected,
        "paid_gbp": tally.paid_gbp,
        "total_gbp": tally.total_gbp,
        "mean_gap": tally.mean_gap,
    }


def _cells(found: Backtest, policy: Policy, tally: Tally) -> list[str]:
    is_baseline = policy is Policy.RUN_NOW
    share = None if is_baseline else found.share_kept(policy)
    return [
        f"{tally.ran:,}",
        f"{tally.rejected:,}",
        f"{tally.broken:,}",
        f"{tally.moves:,}",
        f"{tally.energy_mwh:,.0f}",
        f"{tally.carbon_kg / 1000:,.1f}",
        f"{tally.paid_gbp:,.0f}",
        "" if is_baseline else _less(tally.carbon_kg, tally.carbon_at_once_kg),
        "" if is_baseline else _less(tally.paid_gbp, tally.paid_at_once_gbp),
        "" if is_baseline else f"{found.saved_gbp(policy):+,.0f}",
        "" if share is None else f"{share:.1%}",
        "" if tally.mean_gap is None else f"{max(tally.mean_gap, 0):.3%}",
        "" if tally.mean_gap is None else f"{tally.worst_gap:.2%}",
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _less(now: float, before: float) -> str:
    """Return by how much less `now` is than `before`, signed; empty when there is nothing to compare with."""
    return f"{(before - now) / before:+.1%}" if before > 0 else ""


def _day(at: datetime) -> str:
    return f"{at.astimezone(LONDON):%Y-%m-%d}"
