"""The back-test on a recorded week of 2023: with few workloads, and with the published 2,000 in `make soak`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pylon.services.backtest import Policy, run_backtest
from tests.doubles.recordings import recordings_folder

WEEK = datetime(2023, 6, 5, tzinfo=UTC)
PER_WEEK, FEWER = 2000, 120


def test_a_recorded_week_keeps_most_of_what_foresight_saves(is_soak: bool) -> None:
    """The week has four of the false zeros of 2023, and just before them a step that the mix denies."""
    found = run_backtest(
        recordings_folder() / "replay",
        start=WEEK,
        end=WEEK + timedelta(days=7),
        per_week=PER_WEEK if is_soak else FEWER,
    )

    tallies, kept = found.tallies, found.share_kept(Policy.PYLON)
    assert found.by_mix == 5
    assert 8 < found.errors.last_sd_gco2_kwh < 20
    assert tallies[Policy.PYLON].workloads > 0.9 * (PER_WEEK if is_soak else FEWER) / 1.3
    assert kept is not None
    assert 0.6 < kept <= 1
    assert tallies[Policy.PYLON].carbon_kg < tallies[Policy.PYLON].carbon_at_once_kg
    gap = tallies[Policy.PYLON].mean_gap
    assert gap is not None
    assert gap < 0.01
    assert tallies[Policy.PERFECT].rejected == 0 or is_soak
