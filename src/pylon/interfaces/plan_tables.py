"""Tables of a plan: what it costs beside other plans, where room is scarce, which limits bind, what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from rich.table import Table
from rich.text import Text

from pylon.interfaces.tables import new_table
from pylon.ontology.enums import PlanStatus
from pylon.services.list_plans import LeftOut, PlanOutcome, PlanSummary, WholePlan

__all__ = [
    "binding_lines",
    "cost_table",
    "left_out_lines",
    "plan_line",
    "plan_lines",
    "plan_table",
    "scarcity_strip",
    "storage_lines",
]

_HALF_HOUR: Final = timedelta(minutes=30)
_SHADES: Final = " ░▒▓█"
_COLOURS: Final = ("", "green", "yellow", "dark_orange", "red")
_MOST_SITES: Final = 12
_LEAST_GBP: Final = 0.005
_HOURS_BETWEEN: Final = 6  # the times that are written under the strip

_LIMITS: Final = {
    "power_mw": ("room for power", "MW", "GBP/MWh"),
    "gpus": ("a GPU", "GPU", "GBP an hour"),
    "rise": ("a faster rise", "MW of rise", "GBP/MWh"),
    "fall": ("a faster fall", "MW of fall", "GBP/MWh"),
}
"""What each limit is of, one more of it, and the unit of its price."""

_WHY: Final = {
    "region": "none of your sites is in a region that it allows",
    "site_open": "no site that it allows takes work",
    "power_mw": "there is no room for its power",
    "gpus": "there are not enough GPUs",
    "signals_known": "price or carbon is not known when it could run",
    "latest_end": "it cannot end in time if it begins with a half hour of the plan",
    "horizon": "it is longer than what is planned",
    "carbon_cap": "it is never as green as its carbon_cap_gco2",
    "max_price": "its energy costs more than its max_price_gbp",
    "value": "it costs more than it is worth",
}


def plan_table(plan: WholePlan, result: PlanOutcome) -> Table:
    """Return what the plan costs beside what stands, one workload after another, and the bound."""
    table = new_table(f"Plan {plan.plan_id}")
    table.add_column(f"of {plan.workloads or 0:,} workloads at {plan.sites or 0:,} sites", no_wrap=True)
    table.add_column("GBP", justify="right", no_wrap=True)
    table.add_column("left\nout", justify="right", no_wrap=True)
    table.add_row("This plan", _pounds(plan.cost_gbp), f"{len(result.rejected):,}", style="bold")
    table.add_row("Every booking left as it is", _pounds(result.standing.cost_gbp), f"{result.standing.rejected:,}")
    table.add_row("One workload after another", _pounds(result.greedy.cost_gbp), f"{result.greedy.rejected:,}")
    table.add_row("No plan can cost less than", _pounds(plan.bound_gbp), "")
    return table


def plan_line(plan: PlanSummary) -> str:
    """Return what came of a plan, in short."""
    if plan.status is not PlanStatus.SUCCEEDED:
        return f"{plan.plan_id} {plan.status.value}: {plan.error}"
    if not plan.workloads:
        return f"{plan.plan_id}, of nothing: no workload waits"
    within = "" if plan.gap is None else f", within {_percent(plan.gap)} of the best possible"
    return f"{plan.plan_id}, {plan.workloads:,} workloads for GBP {plan.cost_gbp:,.2f}{within}"


def plan_lines(plan: WholePlan) -> Iterator[str]:
    """Yield what the table leaves out: the gap, what it rests on, and what becomes of it."""
    if not plan.workloads:
        yield "There is nothing to plan: no workload waits, and none that is booked may be moved."
        return
    if plan.gap is not None:
        of_choice = (
            "" if plan.gap_of_choice is None else f", {_percent(plan.gap_of_choice)} of what it could change"
        )
        by_solver = " (by HiGHS)" if plan.result is not None and plan.result.is_bound_by_solver else ""
        yield f"So it is within {_percent(plan.gap)} of the best possible{of_choice}{by_solver}."
    yield f"It leaves room for {plan.spare_mwh or 0:,.1f} MWh, and was worked out in {_seconds(plan)}."
    if plan.simulated:
        yield f"Rests on simulated {', '.join(plan.simulated)}."
    if plan.is_simulated:
        yield "Plans simulated objects, so moving nothing in the real world."
    yield "Nothing is booked yet: agents carry it out in their next round, and `pylon decide` has one now."


def cost_table(result: PlanOutcome) -> Table:
    """Return what the plan's cost is made of."""
    table = new_table("What it costs")
    table.add_column("for")
    table.add_column("GBP", justify="right", no_wrap=True)
    for name, cost in result.cost.items():
        if cost:
            table.add_row(_COSTS.get(name, name), _pounds(cost))
    return table


_COSTS: Final = {
    "energy_gbp": "energy",
    "carbon_gbp": "carbon, at its weight",
    "stress_gbp": "grid stress, at its weight",
    "migration_gbp": "running away from the origin",
    "wait_gbp": "waiting",
    "leaving_gbp": "leaving a place that is booked",
    "lost_gbp": "workloads that do not run",
    "storage_gbp": "what storage earns",
}


@dataclass(frozen=True)
class _Short:
    """A stretch of half hours in which a limit has a price."""

    limit: str
    dc_id: str
    starts_at: datetime
    prices: Sequence[float]

    @property
    def worth_gbp(self) -> float:
        """What one more of it would save, all that time."""
        return sum(self.prices) / 2


def binding_lines(plan: WholePlan, result: PlanOutcome, limit: int) -> Iterator[str]:
    """Yield when a limit binds and what one more of it would be worth, the most first, `limit` of them."""
    found = [one for one in _shortages(plan, result) if one.worth_gbp >= _LEAST_GBP]
    found.sort(key=lambda one: (-one.worth_gbp, one.dc_id, one.starts_at))
    if not found:
        yield "No limit binds: no workload has to give way to another."
        return
    for one in found[:limit]:
        what, unit, rate = _LIMITS[one.limit]
        least, most = min(one.prices), max(one.prices)
        price = f"{least:,.2f}" if most - least < 0.005 else f"{least:,.2f} to {most:,.2f}"
        yield (
            f"{one.dc_id}, {_when(one)} UTC: {what} is worth {price} {rate}; one {unit} more all that time would "
            f"save about GBP {one.worth_gbp:,.2f}."
        )
    if len(found) > limit:
        yield f"{len(found) - limit:,} more times are not shown; `--json` has every price."


def left_out_lines(result: PlanOutcome, limit: int) -> Iterator[str]:
    """Yield each workload that does not run by the plan, why, and the price that would make it fit."""
    for one in result.rejected[:limit]:
        yield f"{one.job_id} does not run: {_WHY.get(one.limit, one.limit)}{_crowded(one)}.{_price(one)}"
    if len(result.rejected) > limit:
        yield f"{len(result.rejected) - limit:,} more do not run; `--json` has all of them."


def storage_lines(result: PlanOutcome) -> Iterator[str]:
    """Yield what the plan has each storage asset do, and what that is worth."""
    for asset in result.storage:
        powers = asset["power_mw"]
        out_mwh, in_mwh = (sum(max(0.0, sign * power) for power in powers) / 2 for sign in (1, -1))
        yield (
            f"{asset['asset_id']} at {asset['dc_id']} takes up {in_mwh:,.1f} MWh and gives back {out_mwh:,.1f} "
            f"MWh, worth GBP {asset['value_gbp']:,.2f}."
        )


def scarcity_strip(plan: WholePlan, result: PlanOutcome) -> Text | None:
    """Return what room for power is worth at each site, an hour a letter, the darker the more; None if nothing."""
    rows = {dc_id: _hours(values) for dc_id, values in _unfolded(result, "power_mw") if any(values)}
    if not rows or plan.starts_at is None:
        return None
    most = max(max(values) for values in rows.values())
    shown = sorted(rows, key=lambda dc_id: (-sum(rows[dc_id]), dc_id))[:_MOST_SITES]
    wide = max(map(len, shown)) + 2
    strip = Text(f"What room for power is worth, GBP/MWh: █ is {most:,.2f}\n", style="bold")
    for dc_id in shown:
        strip.append(dc_id.ljust(wide))
        for value in rows[dc_id]:
            shade = 0 if value <= 0 else 1 + min(3, int(4 * value / most))
            strip.append(_SHADES[shade], _COLOURS[shade])
        strip.append("\n")
    times = range(0, len(rows[shown[0]]), _HOURS_BETWEEN)
    strip.append(" " * wide)
    for hour in times:
        strip.append(f"{plan.starts_at + timedelta(hours=hour):%H:%M}".ljust(_HOURS_BETWEEN))
    return strip


def _shortages(plan: WholePlan, result: PlanOutcome) -> Iterator[_Short]:
    if plan.starts_at is None:
        return
    for limit in result.prices:
        for dc_id, values in _unfolded(result, limit):
            for is_short, those in groupby(enumerate(values), key=lambda one: one[1] > 0):
                if is_short:
                    slots, prices = zip(*those, strict=True)
                    yield _Short(limit, dc_id, plan.starts_at + slots[0] * _HALF_HOUR, prices)


def _unfolded(result: PlanOutcome, limit: str) -> Iterator[tuple[str, list[float]]]:
    """Yield each site's prices by half hour."""
    for dc_id, runs in result.prices.get(limit, {}).items():
        yield dc_id, [value for value, count in runs for _ in range(int(count))]


def _hours(values: Sequence[float]) -> list[float]:
    return [max(values[slot : slot + 2]) for slot in range(0, len(values), 2)]


def _when(short: _Short) -> str:
    ends_at = short.starts_at + len(short.prices) * _HALF_HOUR
    day = "" if ends_at.date() == short.starts_at.date() else f"{ends_at:%a %d %b} "
    return f"{short.starts_at:%a %d %b %H:%M} to {day}{ends_at:%H:%M}"


def _crowded(one: LeftOut) -> str:
    return ", as others have it" if one.has_option and one.limit in ("power_mw", "gpus") else ""


def _price(one: LeftOut) -> str:
    if one.price_to_fit_gbp is None:
        return ""
    name = "max_price_gbp" if one.limit == "max_price" else "value_gbp"
    return f" It would with a {name} of {one.price_to_fit_gbp:,.2f}."


def _pounds(amount: float | None) -> str:
    return "" if amount is None else f"{amount:,.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _seconds(plan: WholePlan) -> str:
    if plan.started_at is None or plan.finished_at is None:
        return "a moment"
    return f"{(plan.finished_at - plan.started_at).total_seconds():,.1f} s"
