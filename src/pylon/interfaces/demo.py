"""The demo's course: a simulated grid and fleet, and a clock that is driven half hour by half hour up to now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pylon.interfaces.runtime import Runtime
from pylon.ontology.calendar import HALF_HOUR, LONDON, floor
from pylon.ontology.enums import DecisionType
from pylon.ontology.fleet import StorageAsset
from pylon.ontology.object_sets import Aggregation, Function, Measure
from pylon.services.execute import Executed
from pylon.services.list_decisions import Decision, list_decisions
from pylon.services.list_plans import PlanSummary
from pylon.services.report import Report, Total, report
from pylon.services.search_objects import aggregate
from pylon.settings import Settings

__all__ = ["DrivenClock", "Step", "books", "course", "demo_settings", "examples", "moments", "storage_line"]

_EXAMPLES = (
    (DecisionType.SHIFT_REGION,),
    (DecisionType.RENEWABLE_WINDOW, DecisionType.CARBON_OPTIMIZATION, DecisionType.PRICE_OPTIMIZATION),
    (DecisionType.SCHEDULE_DISCHARGE,),
)
"""Of each of these the decision that saves most is shown."""
_PAGE = 200
_READ_AGAIN = timedelta(hours=2)
_PLAN_EVERY = 4
"""Half hours from plan to plan; `pylon serve` makes one after each run of the pipeline."""


class DrivenClock:
    """Tells the time that it was set to."""

    def __init__(self, now: datetime) -> None:
        """Begin at `now`."""
        self.now = now

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happened at one moment of the demo, and what has come of everything so far."""

    at: datetime
    executed: Executed
    decisions: list[Decision]
    errors: list[str]
    """Which agents failed, and why."""
    plan: PlanSummary
    """The last plan of the whole fleet."""
    totals: list[Total]
    """As `pylon report` has them."""
    began_with_mwh: float
    """What storage held before anything happened at this moment."""
    stored_mwh: float
    """What it holds after."""


def demo_settings(settings: Settings) -> Settings:
    """Return these settings with a database of the demo's own and nothing but simulated data."""
    return settings.model_copy(
        update={
            "home": settings.home / "demo",
            "database_url": None,
            "supabase_url": None,
            "operator": None,
            "grid": "simulated",
            "synthetic": "on",
        }
    )


def moments(now: datetime, hours: int) -> list[datetime]:
    """Return the half hours of the last `hours`, and `now`, at which the demo's clock stops."""
    first = floor(now) - timedelta(hours=hours)
    stops = [first + number * HALF_HOUR for number in range(2 * hours + 1)]
    return stops if stops[-1] == now else [*stops, now]


def course(runtime: Runtime, clock: DrivenClock, at: list[datetime]) -> Iterator[Step]:
    """Drive the clock; at each moment the grid is read, what is due happens, and the agents decide."""
    seen, since = 0, None
    for number, moment in enumerate(at):
        clock.now = moment
        run = runtime.run_pipeline("demo", since=since)
        since = moment - _READ_AGAIN  # farther back nothing changes any more: the grid is made up
        before_mwh = _stored_mwh(runtime)
        executed = runtime.execute()
        trigger = f"pipeline run {run.run_id}"
        if number % _PLAN_EVERY == 0:
            plan = runtime.plan(trigger)
        made = runtime.decide(trigger)
        decisions = _decisions_after(runtime, seen)
        seen = decisions[-1].seq if decisions else seen
        yield Step(
            at=moment,
            executed=executed,
            decisions=decisions,
            errors=[f"{turn.agent_id}: {turn.error}" for turn in made.turns if turn.error],
            plan=plan,
            totals=books(runtime, at[0], moment).totals,
            began_with_mwh=before_mwh,
            stored_mwh=_stored_mwh(runtime),
        )


def books(runtime: Runtime, first: datetime, now: datetime) -> Report:
    """Return the report on everything from `first` to `now`."""
    return report(runtime.database, runtime.operator_id, now, start=first.astimezone(LONDON).date())


def storage_line(steps: list[Step]) -> str:
    """Return what storage held at the start and at the end, and what that means for its figures in the report."""
    first, last = steps[0].began_with_mwh, steps[-1].stored_mwh
    gain = last - first
    means = (
        "what it holds more is paid for above, and not sold yet."
        if gain >= 0
        else "what it holds less is sold above, and was bought before."
    )
    return f"Storage held {first:,.1f} MWh at the start and {last:,.1f} MWh at the end ({gain:+,.1f}): {means}"


def _decisions_after(runtime: Runtime, seq: int) -> list[Decision]:
    """Return the decisions after number `seq`, in order: those of the agents' rounds, and those made on arrival."""
    found: list[Decision] = []
    before: int | None = None
    while True:
        page = list_decisions(runtime.database, runtime.operator_id, limit=_PAGE, before=before)
        found += [decision for decision in page.decisions if decision.seq > seq]
        before = page.next_before
        if before is None or page.decisions[-1].seq <= seq:
            return found[::-1]


def _stored_mwh(runtime: Runtime) -> float:
    """Return what all storage holds; of the simulated fleet that is always known."""
    charge = Measure("stored", Function.SUM, "current_charge_mwh")
    found = aggregate(runtime.database, runtime.operator_id, Aggregation(StorageAsset, measures=(charge,)))
    return float(found.groups[0].measures["stored"] or 0)  # type: ignore[arg-type]  # a sum is no time


def examples(decisions: list[Decision]) -> list[Decision]:
    """Return, of each kind that is shown, the decision that saves most money, if there is any."""
    shown = []
    for kinds in _EXAMPLES:
        candidates = [one for one in decisions if one.decision_type in kinds and one.cost_saved_gbp is not None]
        shown += sorted(candidates, key=lambda one: (-(one.cost_saved_gbp or 0.0), one.seq))[:1]
    return shown
