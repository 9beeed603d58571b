"""Tables of a round of the agents: what was decided and why, and what a reader must know about the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pylon.interfaces.tables import new_table
from pylon.services.perform_action import Taken
from pylon.services.report import Kind
from pylon.services.run_agents import Part, Round, RoundTotal

__all__ = ["round_lines", "round_table"]

_KINDS: Final = {
    Kind.REAL: "",
    Kind.PARTLY_SIMULATED: "On simulated signals: ",
    Kind.SIMULATED: "About simulated objects, so moving nothing in the real world: ",
}

_BASELINES: Final = {
    Part.PLACED: "running each now at its origin",
    Part.MOVED: "the bookings that stood, whose own savings were counted when they were made (a decision by itself "
    "has all that its place saves against running now)",
    Part.STORAGE: "idling, or the schedules that stood",
}
_UNKNOWN: Final = {
    Part.PLACED: "there is no origin, price or intensity",
    Part.MOVED: "the booking had been missed, its site is gone, or there is no price or intensity",
    Part.STORAGE: "there is no price or intensity",
}

_SHORT: Final = 40
"""A first sentence shorter than this says too little alone."""


def round_table(done: Round, limit: int) -> Table:
    """Return the first `limit` decisions of a round, in the order taken, each with its reason below it."""
    table = new_table("Decided")
    table.add_column("decision, about, and why", overflow="fold")
    table.add_column("kg CO2\nsaved", justify="right", no_wrap=True)
    table.add_column("GBP\nsaved", justify="right", no_wrap=True)
    for decision in done.decisions[:limit]:
        table.add_row(
            Group(_heading(decision), Padding(Text(_why(decision)), (0, 0, 0, 2))),
            _figure(decision.carbon_saved_gco2, 1000),
            _figure(decision.cost_saved_gbp, 1),
        )
    return table


def round_lines(done: Round, limit: int) -> Iterator[str]:
    """Yield what the table leaves out: totals, what was refused or failed, what is simulated, what to do next."""
    decisions = done.decisions
    if len(decisions) > limit:
        yield f"{len(decisions) - limit:,} more are not shown; `pylon decide --limit N` shows N."
    if decisions:
        yield from _totals(done)
        yield from _resting_on(decisions)
    for turn in done.turns:
        for refused in turn.refused:
            yield f"{turn.agent_id}: {refused['action']} was refused: {refused['detail']}"
        if turn.error is not None:
            yield f"{turn.agent_id} failed, changed nothing and tries again next time: {turn.error}"
    if done.resting:
        yield f"OFFLINE or removed, so not asked: {', '.join(done.resting)}."
    if not done.turns and not done.resting:
        yield "This operator has no agents. Register one: POST /api/v1/actions/register_agent."
    elif not decisions:
        yield (
            "Nothing to decide: no workload waits that could be helped, and no booking is worth changing. "
            "New signals (`pylon pipeline`) or new workloads (POST /api/v1/actions/submit_workload) give work."
        )


def _totals(done: Round) -> Iterator[str]:
    kinds = Counter(decision.decision_type.value for decision in done.decisions)
    decisions = "1 decision" if len(done.decisions) == 1 else f"{len(done.decisions):,} decisions"
    yield f"{decisions}: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    for total in done.totals:
        yield f"{_KINDS[total.kind]}{_what(total)}.{_expected(total)}"
        if total.infeasible:
            yield f"{total.infeasible:,} of those could not have run now at origin: what they save is not in that."
        if total.unknown:
            yield f"The saving of {total.unknown:,} of those is not known, or in part: {_UNKNOWN[total.part]}."
    if done.given_up:
        given_up = f"Bookings given up with none in their place: {done.given_up:,}"
        yield f"{given_up}. The savings counted when they were made are lost."


def _what(total: RoundTotal) -> str:
    if total.energy_kwh is None:
        return "Storage scheduled"
    return f"{total.energy_kwh / 1000:,.1f} MWh of work {total.part.value}"


def _expected(total: RoundTotal) -> str:
    """Return what is expected to be saved, as far as it is known, and against what."""
    known = []
    if total.carbon_saved_kg is not None:
        known.append(f"{total.carbon_saved_kg:,.1f} kg CO2")
    if total.cost_saved_gbp is not None:
        known.append(f"GBP {total.cost_saved_gbp:,.2f}")
    return f" Expected to save {' and '.join(known)} against {_BASELINES[total.part]}." if known else ""


def _resting_on(decisions: Sequence[Taken]) -> Iterator[str]:
    """Yield which quantities were simulated, and for how many of the decisions where not for all."""
    resting = [decision.simulated for decision in decisions if decision.simulated]
    if resting:
        *most, last = dict.fromkeys(name for names in resting for name in names)
        named = f"{', '.join(most)} and {last}" if most else last
        some = f": {len(resting):,} of them" if len(resting) < len(decisions) else ""
        yield f"Rests on simulated {named}{some}."


def _heading(decision: Taken) -> Text:
    """Return which decision it is, of what type, and what it is about."""
    kind = (decision.decision_type.value, "bold")
    return Text.assemble(decision.decision_id or "", " ", kind, " ", _about(decision))


def _about(decision: Taken) -> str:
    """Return the ids of what a decision is about, as its operator calls them."""
    effect = decision.effect
    one = effect.get("job_id") or effect.get("asset_id") or effect.get("dc_id")
    return str(one) if one else ", ".join(effect.get("dc_ids", ()))


def _figure(amount: float | None, per: float) -> str:
    return "" if amount is None else f"{amount / per:,.2f}"


def _why(decision: Taken) -> str:
    """Return the reason in short; the figures that it begins with have columns of their own, the others follow."""
    said = decision.reasoning
    if said.startswith("Runs "):
        runs, _, rest = said.partition(": ")
        if runs.endswith(" pieces"):
            runs += f": {rest.partition(': ')[0]}"
        return f"{runs}{_gains(decision.alternatives_considered)}"
    first, _, rest = said.partition(". ")
    return first if len(first) >= _SHORT or not rest else f"{first}. {rest.partition('. ')[0]}"


def _gains(options: Mapping[str, Any]) -> str:
    """Return the two terms in which choice and baseline differ most; plus is a saving."""
    chosen, baseline = options.get("chosen"), options.get("baseline")
    if not chosen or not baseline:
        return ""
    found = [
        (term.removesuffix("_gbp"), cost - chosen["terms"][term])
        for term, cost in baseline["terms"].items()
        if cost is not None and chosen["terms"][term] is not None
    ]
    most = sorted(found, key=lambda one: -abs(one[1]))[:2]
    said = ", ".join(f"{term} {gain:+,.2f}" for term, gain in most if abs(gain) >= 0.005)
    return f" ({said})" if said else ""
