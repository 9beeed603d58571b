"""Signals for the terminal: the list fits it, one is drawn as its values are, nothing made up goes unsaid."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.interfaces import signals_tables
from pylon.ontology.calendar import HALF_HOUR
from pylon.services.list_signals import SignalList, SignalSummary
from pylon.services.read_signal import Attribution, CommittedRun, Missing, SignalReading, SignalValue
from pylon.services.recall_signals import Withheld
from tests.unit.interfaces.test_tables import NOW, text_of


@pytest.mark.parametrize(
    ("values", "cells", "drawn"),
    [
        ([], 8, ""),
        ([None, None], 8, "  "),
        ([5], 8, "▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([-7, None, 0], 8, "▁ █"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([0, None, 7, 7], 2, "▁█"),
        ([None, None, 7, 7], 2, " ▁"),
    ],
)
def test_a_sparkline_runs_from_the_lowest_to_the_highest(values, cells, drawn):
    assert signals_tables.sparkline(values, cells) == drawn


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=300), st.integers(1, 100))
def test_a_sparkline_is_as_wide_as_its_values_or_the_cells(values, cells):
    assert len(signals_tables.sparkline(values, cells)) == min(len(values), cells)


@pytest.mark.parametrize(
    ("value", "low", "high", "drawn"),
    [
        (None, 0, 10, ""),
        (0, 0, 10, ""),
        (10, 0, 10, "█" * 24),
        (5, 0, 10, "█" * 12),
        (1, 0, 192, "▏"),
        (9, 0, 192, "█▏"),
        (-10, -10, 10, ""),
        (5, 5, 5, ""),
    ],
)
def test_a_bar_is_as_long_as_its_value(value, low, high, drawn):
    assert signals_tables.bar(value, low, high) == drawn


def reading(*values: float | None, **more: Any) -> SignalReading:
    rows = [
        SignalValue(
            starts_at=NOW + n * HALF_HOUR,
            value=value,
            source=None if value is None else "simulated" if n == 0 else "api",
            is_simulated=value is not None and n == 0,
            recorded_at=None if value is None else NOW,
        )
        for n, value in enumerate(values)
    ]
    return SignalReading(
        **{
            "name": "national.demand_mw",
            "unit": "MW",
            "doc": "Demand",
            "as_of": NOW,
            "is_latest": True,
            "run": CommittedRun(id=UUID(int=1), finished_at=NOW),
            "starts_at": NOW,
            "ends_at": NOW + len(values) * HALF_HOUR,
            "notes": [],
            "contains_simulated": True,
            "notice": "Made up.",
            "attributions": [],
            "values": rows,
            "withheld": [],
            "missing": [],
            **more,
        }
    )


def test_a_signal_is_drawn_half_hour_by_half_hour_and_says_what_is_simulated():
    text = text_of(signals_tables.signal_table(reading(100, 50.25, None)), width=80)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "national.demand_mw in MW, latest" in lines
    assert f"2026-11-22 09:00 100 {'█' * 24} simulated" in lines
    assert f"2026-11-22 09:30 50.2 {'█' * 12} api" in lines
    assert "2026-11-22 10:00" in lines
    assert max(map(len, text.splitlines())) <= 80
    then = text_of(signals_tables.signal_table(reading(1, is_latest=False)))
    assert "as known at 2026-11-22 09:00:00 UTC" in " ".join(then.split())


def test_a_long_signal_is_drawn_day_by_day():
    text = text_of(signals_tables.signal_table(reading(*([1.0] * 30 + [3.0] * 100))))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines.count(f"2026-11-23 3 {'█' * 24} api") == 1
    assert any(line.startswith("2026-11-22 1 ") and line.endswith("api, simulated") for line in lines)


def test_what_a_reader_of_a_signal_must_know_is_said_below_it():
    withheld = [
        Withheld(starts_at=NOW + n * HALF_HOUR, rule="zero", raw={}, reason="It is 0.", flagged_at=NOW)
        for n in range(5)
    ]
    missing = [Missing(start=NOW, end=NOW + HALF_HOUR, half_hours=1, reason="Nobody gave it.")]
    credited = [
        Attribution(data_source=name, attribution=by, licence=None)
        for name, by in (("a", "By A"), ("b", "By A"), ("import:x", None))
    ]
    said = reading(1, notes=["Floored."], withheld=withheld, missing=missing, attributions=credited)
    assert list(signals_tables.signal_notes(said)) == [
        "Floored.",
        "Made up.",
        "Withheld 2026-11-22 09:00 UTC (zero): It is 0.",
        "Withheld 2026-11-22 09:30 UTC (zero): It is 0.",
        "Withheld 2026-11-22 10:00 UTC (zero): It is 0.",
        "... and 2 more are withheld.",
        "No value from 2026-11-22 09:00 to 2026-11-22 09:30 UTC: Nobody gave it.",
        "Data: By A",
    ]


def test_the_signals_held_fit_80_columns_with_their_names_whole():
    def summary(name: str, **values: Any) -> SignalSummary:
        return SignalSummary(
            **{
                "name": name,
                "unit": "MW",
                "doc": "",
                "object_type": "GridSignal",
                "column": "x",
                "region_id": None,
                "first_half_hour": NOW,
                "last_half_hour": NOW,
                "sources": ["carbon_intensity_api", "simulated"],
                "contains_simulated": True,
                "latest_vintage_at": NOW,
                "open_flags": 0,
                "scored_against": None,
                **values,
            }
        )

    nothing = {"first_half_hour": None, "last_half_hour": None, "latest_vintage_at": None, "sources": []}
    signals = [
        summary("region.17.carbon_intensity_forecast", unit="gCO2/kWh", sources=["carbon_intensity_api"]),
        summary("region.16.carbon_intensity_forecast", unit="gCO2/kWh"),
        summary("national.demand_mw", sources=["elexon_ndf", "import:mine", "neso_day_ahead"], open_flags=3),
        summary(
            "national.wholesale_price_gbp_mwh", sources=["simulated"], latest_vintage_at=NOW - timedelta(days=1)
        ),
        summary("national.carbon_intensity_forecast", last_half_hour=NOW - timedelta(days=700)),
        summary("national.system_price_gbp_mwh", **nothing),
    ]
    text = text_of(signals_tables.signals_table(SignalList(as_of=NOW, signals=signals)), width=80)
    assert max(map(len, text.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert [line for line in lines if line.startswith(("region", "national"))] == [
        "region.17.carbon_intensity_forecast gCO2/kWh 11-22 09:00 09:00 Carbon Intensity",
        "region.16.carbon_intensity_forecast gCO2/kWh 11-22 09:00 09:00 1 + simulated",
        "national.demand_mw MW 11-22 09:00 09:00 3 sources",
        "national.wholesale_price_gbp_mwh MW 11-22 09:00 11-21 simulated",
        "national.carbon_intensity_forecast MW 2024-12-22 09:00 1 + simulated",
        "national.system_price_gbp_mwh MW nothing",
    ]
    assert signals_tables.held_note(signals[2]) == (
        "Held from 2026-11-22 09:00 to 2026-11-22 09:30 UTC, from: elexon_ndf, import:mine, neso_day_ahead. "
        "3 values are withheld."
    )
    assert signals_tables.held_note(signals[5]) == ""
