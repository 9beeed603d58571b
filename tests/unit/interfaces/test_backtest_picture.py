"""The picture: a line for what was recorded and for each load, every half hour or the mean of every day."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from pylon.interfaces.backtest_picture import draw
from pylon.services._backtest_vintages import Errors
from pylon.services.backtest import Backtest, Policy, Tally, Week
from tests.unit.services.backtests import DAY, STARTS_AT


def of_days(days: int) -> Backtest:
    values = 100.0 + np.arange(days * DAY) % DAY
    week = Week(
        starts_at=STARTS_AT,
        sites=2,
        tallies=dict.fromkeys(Policy, Tally()),
        set_aside=0,
        national_gco2_kwh=values,
        price_gbp_mwh=values,
        load_mw=dict.fromkeys(Policy, values),
    )
    errors = Errors(last_sd_gco2_kwh=9, last_alike=0.7, news_sd_gco2_kwh=4, demand_sd_mw=900, demand_alike=0.8)
    return Backtest(
        starts_at=STARTS_AT, ends_at=STARTS_AT + timedelta(days=days), weeks=(week,), errors=errors, by_mix=0
    )


def test_a_png_is_a_png(tmp_path: Path) -> None:
    draw(of_days(2), tmp_path / "out.png")

    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_back_test_gives_the_same_picture(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw(of_days(2), tmp_path / name)

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_week_is_drawn_by_half_hour_and_a_month_by_day(tmp_path: Path) -> None:
    drawn = []
    for days in (7, 30):
        draw(of_days(days), tmp_path / "out.svg")
        drawn.append((tmp_path / "out.svg").read_text("utf-8"))

    assert "daily means" not in drawn[0]
    assert "daily means" in drawn[1]
    assert len(drawn[0]) > 1.3 * len(drawn[1]), "a line of 336 steps, and one of 30 points"
