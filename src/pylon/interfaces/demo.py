"""The demo's course: a simulated grid and fleet, and a clock that is driven half hour by half hour up to now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pylon.interfaces.runtime import Runtime
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import DecisionType
from pylon.services.execute import Executed
from pylon.services.list_decisions import Decision, list_decisions
from pylon.services.report import Total, report
from pylon.settings import Settings

__all__ = ["DrivenClock", "Step", "course", "demo_settings", "examples", "moments"]

_EXAMPLES = (
    (DecisionType.SHIFT_REGION,),
    (DecisionType.RENEWABLE_WINDOW, DecisionType.CARBON_OPTIMIZATION, DecisionType.PRICE_OPTIMIZATION),
    (DecisionType.SCHEDULE_DISCHARGE,),
)
"""Of each of these the decision that saves most is shown."""
_PAGE = 200
_READ_AGAIN = timedelta(hours=2)


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
    totals: list[Total]


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
    for moment in at:
        clock.now = moment
        run = runtime.run_pipeline("demo", since=since)
        since = moment - _READ_AGAIN  # farther back nothing changes any more: the grid is made up
        executed = runtime.execute()
        made = runtime.decide(f"pipeline run {run.run_id}")
        decisions = _decisions_after(runtime, seen)
        seen = decisions[-1].seq if decisions else seen
        yield Step(
            at=moment,
            executed=executed,
            decisions=decisions,
            errors=[f"{turn.agent_id}: {turn.error}" for turn in made.turns if turn.error],
            totals=report(runtime.database, runtime.operator_id, moment, start=_day_before(at[0])).totals,
        )


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


def _day_before(at: datetime) -> date:
    return (at - timedelta(days=1)).date()


def examples(decisions: list[Decision]) -> list[Decision]:
    """Return, of each kind that is shown, the decision that saves most money, if there is any."""
    shown = []
    for kinds in _EXAMPLES:
        candidates = [one for one in decisions if one.decision_type in kinds and one.cost_saved_gbp is not None]
        shown += sorted(candidates, key=lambda one: (-(one.cost_saved_gbp or 0.0), one.seq))[:1]
    return shown
