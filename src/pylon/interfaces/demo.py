"""The demo's course: a simulated grid and fleet, and a clock that is driven half hour by half hour up to now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pylon.interfaces.runtime import Runtime
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.enums import DecisionType
from pylon.services.execute import Executed
from pylon.services.perform_action import Taken
from pylon.services.run_agents import Round
from pylon.settings import Settings

__all__ = ["DrivenClock", "Sofar", "Step", "course", "demo_settings", "examples", "moments"]

_EXAMPLES = (
    (DecisionType.SHIFT_REGION,),
    (DecisionType.RENEWABLE_WINDOW, DecisionType.CARBON_OPTIMIZATION, DecisionType.PRICE_OPTIMIZATION),
    (DecisionType.SCHEDULE_DISCHARGE,),
)
"""Of each of these the decision that saves most is shown."""


class DrivenClock:
    """Tells the time that it was set to."""

    def __init__(self, now: datetime) -> None:
        """Begin at `now`."""
        self.now = now

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@dataclass(frozen=True, slots=True)
class Step:
    """What happened at one moment of the demo."""

    at: datetime
    executed: Executed
    round: Round


@dataclass(slots=True)
class Sofar:
    """What has happened so far."""

    decisions: Counter[DecisionType] = field(default_factory=Counter)
    running: int = 0
    completed: int = 0
    energy_kwh: float = 0.0
    carbon_saved_kg: float = 0.0
    """As decided; what it came to is in the report."""

    def add(self, step: Step) -> None:
        """Add one step."""
        self.decisions.update(decision.decision_type for decision in step.round.decisions)
        self.running += step.executed.started - step.executed.completed
        self.completed += step.executed.completed
        self.energy_kwh += step.executed.metered_kwh
        self.carbon_saved_kg += step.round.carbon_saved_kg


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
    return [*(first + number * HALF_HOUR for number in range(2 * hours + 1)), now]


def course(runtime: Runtime, clock: DrivenClock, at: list[datetime]) -> Iterator[Step]:
    """Drive the clock from moment to moment: the grid is read, what is due happens, and the agents decide."""
    for moment in at:
        clock.now = moment
        report = runtime.run_pipeline("demo")
        executed = runtime.execute()
        yield Step(moment, executed, runtime.decide(f"pipeline run {report.run_id}"))


def examples(decisions: list[Taken]) -> list[Taken]:
    """Return, of each kind that is shown, the decision that saves most money, if there is any."""
    shown = []
    for kinds in _EXAMPLES:
        candidates = [one for one in decisions if one.decision_type in kinds and one.cost_saved_gbp is not None]
        shown += sorted(candidates, key=lambda one: (-(one.cost_saved_gbp or 0.0), one.decision_id))[:1]
    return shown
