"""The figures of "Let's Wait Awhile" on series whose optimum is known without a search."""

from __future__ import annotations

import importlib.util
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks/lets_wait_awhile.py"
SLOTS = 377 * 48  # into January


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lets_wait_awhile", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slot(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(2020, 1, 1)) // timedelta(minutes=30)  # noqa: DTZ001


def falling() -> np.ndarray:
    """Return a series that falls by 1 g each half hour: the last moment is the best."""
    return 20_000.0 - np.arange(SLOTS)


@pytest.mark.parametrize(("reach", "saved"), [(3, 0.0), (4, 0.6), (16, 0.6)])
def test_a_nightly_job_reaches_the_dip_that_is_within_its_window(
    program: ModuleType, reach: int, saved: float
) -> None:
    carbon = np.full(SLOTS, 100.0)
    carbon[6::48] = 40.0  # 03:00, two hours after it
    mean = program.nightly(carbon, carbon, reach, as_published=False)
    assert mean == pytest.approx(100 * (1 - saved))


def test_as_published_the_first_night_is_counted_and_not_summed(program: ModuleType) -> None:
    carbon = np.full(SLOTS, 100.0)
    assert program.nightly(carbon, carbon, 2, as_published=True) == pytest.approx(100)
    assert program.nightly(carbon, carbon, 3, as_published=True) == pytest.approx(100 * 364 / 365)
    assert program.nightly(carbon, carbon, 3, as_published=False) == pytest.approx(100)


def test_a_forecast_chooses_and_the_truth_pays(program: ModuleType) -> None:
    carbon = np.full(SLOTS, 100.0)
    wrong = carbon.copy()
    wrong[6::48], carbon[6::48] = 40.0, 130.0
    assert program.nightly(carbon, wrong, 4, as_published=False) == pytest.approx(130)


@pytest.mark.parametrize(
    ("rule", "ends", "looked_at"),
    [
        ("next workday", "2020-03-06 16:00", "2020-03-06 16:00"),  # a Friday at work
        ("next workday", "2020-03-06 17:00", "2020-03-06 17:00"),
        ("next workday", "2020-03-06 17:30", "2020-03-07 09:00"),  # as the authors have it
        ("next workday", "2020-03-07 03:00", "2020-03-09 09:00"),
        ("next workday", "2020-03-08 20:00", "2020-03-09 09:00"),
        ("next workday", "2020-03-09 08:30", "2020-03-09 09:00"),
        ("next workday", "2020-03-09 09:00", "2020-03-09 09:00"),
        ("next workday", "2020-03-10 23:30", "2020-03-11 09:00"),
        ("semi-weekly", "2020-03-09 09:00", "2020-03-09 09:00"),  # a Monday
        ("semi-weekly", "2020-03-09 09:30", "2020-03-12 09:00"),
        ("semi-weekly", "2020-03-11 23:30", "2020-03-12 09:00"),
        ("semi-weekly", "2020-03-12 09:00", "2020-03-12 09:00"),
        ("semi-weekly", "2020-03-12 09:30", "2020-03-16 09:00"),
        ("semi-weekly", "2020-03-15 23:30", "2020-03-16 09:00"),
    ],
)
def test_a_job_may_wait_until_somebody_looks(program: ModuleType, rule: str, ends: str, looked_at: str) -> None:
    (found,) = program.slack(rule, np.array([slot(ends) - 10]), np.array([10]))
    assert found == slot(looked_at) - slot(ends)


def test_the_jobs_arrive_in_working_hours(program: ModuleType) -> None:
    arrives, lengths = program.jobs()
    assert arrives.size == lengths.size == 3387
    assert (lengths.min(), lengths.max()) == (8, 179)
    assert set(np.unique(arrives % 48)) == set(range(18, 34))
    weekdays = {(datetime(2020, 1, 1) + timedelta(days=int(day))).weekday() for day in arrives // 48}  # noqa: DTZ001
    assert weekdays == {0, 1, 2, 3, 4}
    assert (np.diff(arrives) >= 0).all()


@pytest.mark.parametrize("may_split", [False, True])
def test_a_job_waits_for_the_best_of_its_window(program: ModuleType, may_split: bool) -> None:
    dice = np.random.default_rng(3)
    carbon, forecast = dice.uniform(50, 300, (2, 300))
    arrives, lengths, slacks = dice.integers(0, 100, 40), dice.integers(1, 30, 40), dice.integers(0, 120, 40)
    total = 0.0
    for arrive, length, slack in zip(arrives, lengths, slacks, strict=True):
        if may_split:
            window = np.arange(arrive, arrive + length + slack)
            chosen = sorted(window, key=lambda slot: forecast[slot])[:length]
        else:
            starts = range(arrive, arrive + slack + 1)
            best = min(starts, key=lambda start: forecast[start : start + length].sum())
            chosen = list(range(best, best + length))
        total += carbon[chosen].sum()
    assert program.waited(carbon, forecast, arrives, lengths, slacks, may_split=may_split) == pytest.approx(total)


@pytest.mark.parametrize("as_published", [False, True])
def test_on_a_falling_series_each_half_hour_of_waiting_saves_a_gram(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, as_published: bool
) -> None:
    monkeypatch.setattr(program, "ERRORS", (0.0,))
    found = program.savings(falling(), as_published=as_published)
    arrives, lengths = program.jobs()
    starts = arrives + as_published  # the baseline slips too
    at_once = (lengths * (20_000 - starts - (lengths - 1) / 2)).sum()
    for rule in program.RULES:
        waits = (lengths * program.slack(rule, arrives, lengths)).sum()
        for may_split in (False, True):
            assert found[rule, may_split, 0.0] == pytest.approx(100 * waits / at_once)
    nightly = 20_000 - 2 - 48 * 182
    if not as_published:
        assert found["nightly", 2, 0.0] == pytest.approx(100 * 4 / nightly)


def test_noise_saves_less_than_the_truth_does(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "ERRORS", (0.0, 0.1))
    monkeypatch.setattr(program, "SEEDS", 1)
    monkeypatch.setattr(program, "RULES", ("next workday",))
    carbon = 200 + 60 * np.cos(np.arange(SLOTS) * 2 * np.pi / 48) + np.random.default_rng(1).normal(0, 5, SLOTS)
    found = program.savings(carbon, as_published=False)
    for (scenario, how, error), saved in found.items():
        if error:
            assert 0 < saved < found[scenario, how, 0.0]


def written(folder: Path, *lines: str, name: str = "gb_ci.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(("Time,Carbon Intensity", *lines)) + "\n")
    return path


def test_a_file_is_read_from_the_start_of_2020(program: ModuleType, tmp_path: Path) -> None:
    lines = ["2019-12-31 23:30:00,1", "2020-01-01 00:00:00,2", "2020-01-01 00:15:00,9", "2020-01-01 00:30:00,3.5"]
    assert program.read(written(tmp_path, *lines)).tolist() == [2.0, 3.5]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "no value from 2020-01-01"),
        (["2020-01-01 00:00:00,nan"], "no number"),
        (["2020-01-01 00:00:00,"], "a line that is not a time and a number"),
        (["2020-01-01 00:00:00,1", "2020-01-01 01:00:00,1"], "should go on with 2020-01-01 00:30:00"),
    ],
)
def test_a_file_that_will_not_do_says_why(program: ModuleType, tmp_path: Path, lines: list[str], why: str) -> None:
    with pytest.raises(SystemExit, match=why):
        program.read(written(tmp_path, *lines))


def test_a_series_that_ends_too_early_says_so(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "ERRORS", (0.0,))
    with pytest.raises(SystemExit, match="ends before the last job"):
        program.savings(falling()[: 366 * 48], as_published=False)


def test_the_command_prints_both_and_fails_where_the_paper_says_otherwise(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "ERRORS", (0.0,))
    begins = datetime(2020, 1, 1)  # noqa: DTZ001
    lines = [f"{begins + timedelta(minutes=30 * at)},{value}" for at, value in enumerate(falling())]
    written(tmp_path, *lines)
    monkeypatch.setattr("sys.argv", ["lets_wait_awhile.py", "--data", str(tmp_path)])
    assert program.main() == 1
    out = capsys.readouterr().out
    assert "nightly, +-2 h, error 0%" in out
    assert "6.81" in out
    assert "differs" in out
    (tmp_path / "gb_ci.csv").rename(tmp_path / "somewhere_ci.csv")
    assert program.main() == 0
    (tmp_path / "somewhere_ci.csv").unlink()
    with pytest.raises(SystemExit, match="There is no file"):
        program.main()
