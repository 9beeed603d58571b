"""The back-test as a whole: its weeks, its sums, the same for the same seed, and what it refuses."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing.context import SpawnContext
from pathlib import Path

import numpy as np
import pytest

from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, midnight
from pylon.services import backtest
from pylon.services.backtest import Backtest, Policy, run_backtest
from tests.unit.services.backtests import STARTS_AT, made_up, write

MIDDLE = STARTS_AT + timedelta(days=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = made_up(days=12)
    record.carbon_actual[3 * 48] = 0.0
    return write(record, tmp_path_factory.mktemp("record"))


def run(folder: Path, start: datetime, end: datetime, workers: int = 1, seed: int = 2) -> Backtest:
    return run_backtest(folder, start=start, end=end, per_week=30, seed=seed, workers=workers)


@pytest.fixture(scope="module")
def found(folder: Path) -> Backtest:
    return run(folder, STARTS_AT, STARTS_AT + timedelta(days=8))


def test_every_workload_of_the_stretch_is_counted_once(folder: Path, found: Backtest) -> None:
    assert [week.starts_at for week in found.weeks] == [STARTS_AT, STARTS_AT + timedelta(days=7)]
    assert sum(week.load_mw[Policy.PYLON].size for week in found.weeks) == timedelta(days=8) / HALF_HOUR
    counted = found.tallies[Policy.RUN_NOW].workloads + sum(week.set_aside for week in found.weeks)
    assert 20 < counted < 60
    assert {tally.workloads for tally in found.tallies.values()} == {found.tallies[Policy.PYLON].workloads}
    assert found.by_mix == 1


def test_savings_are_signed_and_measured_against_foresight(found: Backtest) -> None:
    assert found.saved_gbp(Policy.RUN_NOW) == 0
    assert found.saved_gbp(Policy.PERFECT) > 0
    kept = found.share_kept(Policy.PYLON)
    assert kept is not None
    assert math.isclose(kept, found.saved_gbp(Policy.PYLON) / found.saved_gbp(Policy.PERFECT))
    assert found.share_kept(Policy.PERFECT) == 1


def test_processes_and_repetition_change_nothing_and_a_seed_does(
    folder: Path, found: Backtest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the two processes asked for one does it all: to start the second takes seconds and shows no more."""

    def one_process(workers: int, context: SpawnContext) -> ProcessPoolExecutor:
        assert workers == 2
        return ProcessPoolExecutor(1, context)

    monkeypatch.setattr(backtest, "ProcessPoolExecutor", one_process)
    again = run(folder, STARTS_AT, STARTS_AT + timedelta(days=8), workers=2)
    other = run(folder, STARTS_AT, STARTS_AT + timedelta(days=1), seed=3)

    assert again.tallies == found.tallies
    for mine, theirs in zip(again.weeks, found.weeks, strict=True):
        assert all(np.array_equal(mine.load_mw[policy], theirs.load_mw[policy]) for policy in Policy)
    assert other.weeks[0].tallies != found.weeks[0].tallies


def test_progress_tells_of_every_day(folder: Path) -> None:
    told: list[tuple[int, int]] = []

    run_backtest(folder, start=STARTS_AT, end=MIDDLE, per_week=20, progress=lambda *days: told.append(days))

    assert told[-1] == (2, 2)
    assert sorted(set(told)) == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("start", "end", "per_week", "says"),
    [
        (MIDDLE, MIDDLE, 10, "no half hours"),
        (STARTS_AT - timedelta(days=1), MIDDLE, 10, "2023-03-06 to 2023-03-17, and not 2023-03-05"),
        (STARTS_AT, STARTS_AT + timedelta(days=13), 10, "2023-03-06 to 2023-03-17, and not 2023-03-19"),
        (STARTS_AT + timedelta(days=12), STARTS_AT + timedelta(days=12), 10, "and not 2023-03-18"),
        (STARTS_AT, MIDDLE, 0, "0 workloads a week"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    folder: Path, start: datetime, end: datetime, per_week: float, says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        run_backtest(folder, start=start, end=end, per_week=per_week)


def test_only_whole_london_days_are_said_to_be_held(tmp_path: Path) -> None:
    """In summer midnight in UTC is one o'clock in London: of the first day of such a record an hour is lacking."""
    start = datetime(2023, 6, 5, tzinfo=UTC)
    folder = write(replace(made_up(days=3), starts_at=start), tmp_path)

    with pytest.raises(Invalid, match="the London days 2023-06-06 to 2023-06-07, and not 2023-06-05"):
        run_backtest(folder, start=midnight(date(2023, 6, 5)))
    few = replace(made_up(days=1), starts_at=start)
    with pytest.raises(Invalid, match="no whole London day"):
        run_backtest(write(few, tmp_path), start=start - timedelta(days=9))


def test_carbon_that_nobody_knows_is_refused_by_its_half_hour(tmp_path: Path) -> None:
    record = made_up(days=2)
    record.carbon_actual[50] = record.carbon_by_mix[50] = math.nan

    with pytest.raises(Invalid, match="without: 1, the first at 2023-03-07 01:00 UTC"):
        run_backtest(write(record, tmp_path), per_week=10)
