"""Back-test: what Pylon would have saved over recorded half hours, beside running at once, greed and foresight.

The stretch is cut into weeks, each a world of its own: work arrives from a day before it to a day after it, so that
its first and last hours are contended like the others, and what arrived in the week itself is followed to its end
and counted. Every workload of the stretch is counted once. Weeks do not know of each other and run side by side.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from pylon.agents.carbon_optimizer import Optimizing
from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, LONDON, midnight
from pylon.planning.field import Floats
from pylon.services import _backtest_policies as policies
from pylon.services._backtest_account import Tally, load_mw, tally
from pylon.services._backtest_record import Record, read_record
from pylon.services._backtest_vintages import Errors, fit
from pylon.services._backtest_world import SIMULATED, make_world

__all__ = ["SIMULATED", "Backtest", "Policy", "Tally", "Week", "run_backtest"]

WEEK: Final = timedelta(days=7)
AROUND: Final = timedelta(days=1)
"""Before and after a week work arrives that is not counted."""
LONGEST: Final = timedelta(days=6)
"""After the last arrival; no simulated workload may wait and run for longer."""


MOST_PER_WEEK: Final = 100_000

Days = tuple[datetime, datetime]
"""[start, end) of a week."""
Progress = Callable[[int, int], None]


class Policy(StrEnum):
    """Who decides."""

    RUN_NOW = "run now"
    """At the origin, at once, whatever limits say: the baseline."""
    GREEDY = "greedy"
    """One by one as they arrive, on the forecast of the time, and never again."""
    PYLON = "Pylon"
    """Arrivals at the standing plan's prices, and all that has not begun planned again every half hour."""
    PERFECT = "perfect foresight"
    """All at once, with everything known from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """What was counted of one week (the last may be shorter), and its half hours."""

    starts_at: datetime
    sites: int
    tallies: dict[Policy, Tally]
    set_aside: int
    """Workloads that are not counted: by what came, nothing was possible within their own limits."""
    national_gco2_kwh: Floats
    """(T,). Recorded."""
    price_gbp_mwh: Floats
    """(T,). Simulated."""
    load_mw: dict[Policy, Floats]
    """(T,). Facility power of all work, counted or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What came of a back-test."""

    starts_at: datetime
    ends_at: datetime
    weeks: tuple[Week, ...]
    errors: Errors
    """As measured on the whole record."""
    by_mix: int
    """Half hours whose national carbon is that of the mix, because none was published that could be believed."""

    @property
    def tallies(self) -> dict[Policy, Tally]:
        """All weeks together."""
        return {policy: sum((week.tallies[policy] for week in self.weeks), Tally()) for policy in Policy}

    def saved_gbp(self, policy: Policy) -> float:
        """Return what the policy saved against running at once, of all that planners make small; signed."""
        tallies = self.tallies
        return tallies[Policy.RUN_NOW].total_gbp - tallies[policy].total_gbp

    def share_kept(self, policy: Policy) -> float | None:
        """Return which share of the saving of perfect foresight the policy kept; None where there was none."""
        most = self.saved_gbp(Policy.PERFECT)
        return self.saved_gbp(policy) / most if most > 0 else None


def run_backtest(
    folder: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    per_week: float = 2000,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Backtest:
    """Return what each policy would have made of the record of `folder` over [start, end), or over all of it.

    Both are starts of half hours. The same seed gives the same, with any number of `workers` (processes).
    `progress` is told how many days are done and of how many. Raises `Invalid` for a stretch that is none, or that
    the record does not hold.
    """
    record = read_record(folder)
    start, end = start or record.starts_at, end or record.ends_at
    _check(record, start, end, per_week, workers)
    part = _Part(record=record, errors=fit(record), per_week=per_week, seed=seed)
    weeks = list(_weeks(start, end))
    made = _in_turn(part, weeks, progress or _say_nothing)
    if workers > 1 and len(weeks) > 1:
        made = _side_by_side(part, weeks, workers, progress or _say_nothing)
    return Backtest(
        starts_at=start,
        ends_at=end,
        weeks=tuple(made),
        errors=part.errors,
        by_mix=record.cut(start, end).carbon()[1],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Everything that a week is made of, but its days."""

    record: Record
    errors: Errors
    per_week: float
    seed: int

    def week(self, days: Days, progress: Callable[[int], None]) -> Week:
        """Return one week; `progress` is told how many of its half hours Pylon has been through."""
        start, end = days
        since, until = start - AROUND, end + AROUND
        world = make_world(
            self.record.cut(since, until + LONGEST),
            self.errors,
            since=since,
            until=until,
            per_week=self.per_week,
            seed=self.seed,
        )
        config = Optimizing()
        decided = {
            Policy.RUN_NOW: policies.run_now(world),
            Policy.GREEDY: policies.greedy(world, config),
            Policy.PYLON: policies.rolling(world, config, progress),
            Policy.PERFECT: policies.perfect(world, config),
        }
        arrived = [workload for workload in world.workloads if start <= workload.created_at < end]
        counted = [workload for workload in arrived if workload.id not in decided[Policy.PERFECT].hopeless]
        shown = slice(world.slot(start), world.slot(end))
        return Week(
            starts_at=start,
            sites=len(world.sites),
            set_aside=len(arrived) - len(counted),
            tallies={
                policy: tally(world, counted, one, decided[Policy.RUN_NOW], config)
                for policy, one in decided.items()
            },
            national_gco2_kwh=world.national_gco2_kwh[shown],
            price_gbp_mwh=world.price_gbp_mwh[shown],
            load_mw={policy: load_mw(world, one.places)[shown] for policy, one in decided.items()},
        )


def _check(record: Record, start: datetime, end: datetime, per_week: float, workers: int) -> None:
    _check_days(record, start, end)
    if not 0 < per_week <= MOST_PER_WEEK:
        raise Invalid(
            f"{per_week:g} workloads a week cannot be simulated; it is more than 0, up to {MOST_PER_WEEK:,}."
        )
    if workers < 1:
        raise Invalid(f"{workers} processes cannot work; it is 1 or more.")


def _check_days(record: Record, start: datetime, end: datetime) -> None:
    """Refuse, in London days as they were given, a stretch that is not in the record or has no half hours."""
    outside = [] if record.starts_at <= start < record.ends_at else [_day(start)]
    outside += [] if record.starts_at <= end <= record.ends_at else [_day(end)]
    if outside:
        raise Invalid(
            f"The record holds {_whole_days(record)}, and not {' or '.join(outside)}. Choose a first day "
            "that it holds, and an end, which is excluded, no later than the day after its last."
        )
    if not start < end:
        raise Invalid(
            f"The stretch from {_day(start)} up to {_day(end)} has no half hours; its end is excluded. The record "
            f"holds {_whole_days(record)}."
        )


def _whole_days(record: Record) -> str:
    """Return the first and the last London day of which every half hour is in the record."""
    first, last = (at.astimezone(LONDON).date() for at in (record.starts_at, record.ends_at))
    if midnight(first) < record.starts_at:
        first += timedelta(days=1)
    last -= timedelta(days=1)
    return f"the London days {first} to {last}" if first <= last else "no whole London day"


def _day(at: datetime) -> str:
    return f"{at.astimezone(LONDON):%Y-%m-%d}"


def _weeks(start: datetime, end: datetime) -> Iterator[Days]:
    while start < end:
        yield start, min(start + WEEK, end)
        start += WEEK


def _in_turn(part: _Part, weeks: Sequence[Days], progress: Progress) -> Iterator[Week]:
    """Yield the weeks, one after another, telling of every day."""
    done, of = 0, sum(_days_in(days) for days in weeks)
    for days in weeks:

        def tell(half_hours: int, done: int = done, most: int = _days_in(days)) -> None:
            progress(done + min(max(half_hours * HALF_HOUR - AROUND, timedelta()).days, most), of)

        yield part.week(days, tell)
        done += _days_in(days)
        progress(done, of)


def _side_by_side(part: _Part, weeks: Sequence[Days], workers: int, progress: Progress) -> Iterator[Week]:
    """Yield the weeks, made in several processes, telling of each that is done."""
    context = multiprocessing.get_context("spawn")
    done, of = 0, sum(_days_in(days) for days in weeks)
    with ProcessPoolExecutor(min(workers, len(weeks)), context) as pool:
        try:
            for days, week in zip(
                weeks, pool.map(part.week, weeks, itertools.repeat(_take_no_notice)), strict=True
            ):
                done += _days_in(days)
                progress(done, of)
                yield week
        finally:
            pool.shutdown(cancel_futures=True)


def _days_in(days: Days) -> int:
    return math.ceil((days[1] - days[0]) / timedelta(days=1))


def _say_nothing(done: int, of: int) -> None:
    """Take no notice of progress."""


def _take_no_notice(half_hours: int) -> None:
    """Take no notice of progress within a week."""
