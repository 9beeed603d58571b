"""Score stress: how hard the grid is pressed in each half hour, from what is stored of demand and price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pylon.ontology.calendar import LONDON, settlement_period
from pylon.planning import stress
from pylon.services.ingest import Stored, series_of
from pylon.sources.feed import SIMULATED, Supply
from pylon.store.database import Transaction, json_text

__all__ = ["STRESS_SOURCE", "score_stress"]

STRESS_SOURCE = f"pylon_stress_v{stress.METHOD_VERSION}"

_RANKS = {SIMULATED: 0}

_HISTORY = timedelta(days=365)
_PRICE_HISTORY = timedelta(days=90)

_Inputs = tuple[float | None, float | None, str | None]


def score_stress(
    transaction: Transaction, *, start: datetime, end: datetime, run_id: UUID, now: datetime
) -> Stored:
    """Score the grid stress of the half hours [start, end) from what is stored, and store it.

    A simulated input never enters a score labelled real: where one input is real and the other simulated, the
    real one is scored alone; where both are simulated, so is the score. History ends at `start`, so scoring the
    same half hours again gives the same scores.
    """
    signals = transaction.all("national_signals", start=start, end=end)
    history = _history(transaction.all("quantity_history", start=start - _HISTORY, end=start), start)
    rows = _rows(signals, history)
    if not rows:
        return Stored(0, 0, 0)
    done = transaction.value("ingest_national", rows=json_text(rows), ranks=json_text(_RANKS), now=now)
    series = [_vintage(label, rows) for label in sorted({row["provenance"]["stress"] for row in rows})]
    vintages = transaction.value("record_vintages", series=json_text(series), run_id=run_id, now=now)
    written = int(done["signals_written"])
    return Stored(written=written, unchanged=len(rows) - written, vintages=vintages)


def _vintage(label: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = {row["timestamp"]: row["grid_stress_score"] for row in rows if row["provenance"]["stress"] == label}
    return {**series_of("national.grid_stress_score", scores), "source": label}


def _rows(signals: Sequence[Mapping[str, Any]], history: stress.History) -> list[dict[str, Any]]:
    inputs = [_inputs(signal) for signal in signals]
    result = stress.score(
        stress.Signals(
            is_winter=[_is_winter(signal["timestamp"]) for signal in signals],
            demand_mw=[_nan(demand) for demand, _, _ in inputs],
            price_gbp_mwh=[_nan(price) for _, price, _ in inputs],
        ),
        history,
    )
    return [
        {
            "timestamp": signal["timestamp"],
            "settlement_period": settlement_period(signal["timestamp"])[1],
            "provenance": {"stress": label},
            "grid_stress_score": score,
            "grid_stress_detail": result.detail(position),
        }
        for position, (signal, (_, _, label), score) in enumerate(
            zip(signals, inputs, result.scores.tolist(), strict=True)
        )
        if label is not None
    ]


def _inputs(signal: Mapping[str, Any]) -> _Inputs:
    """Return the demand and price that may enter the score, and the score's label (None: nothing to score)."""
    provenance = signal["provenance"] or {}
    sources = [provenance.get(Supply.DEMAND), provenance.get(Supply.PRICE)]
    values = [signal["demand_mw"], signal["wholesale_price_gbp_mwh"]]
    real = [
        value if source not in (None, SIMULATED) else None for value, source in zip(values, sources, strict=True)
    ]
    if any(value is not None for value in real):
        return real[0], real[1], STRESS_SOURCE
    if any(value is not None for value in values):
        return values[0], values[1], SIMULATED
    return None, None, None


def _history(rows: Sequence[Mapping[str, Any]], end: datetime) -> stress.History:
    seasons: dict[bool, list[float]] = {True: [], False: []}
    prices = []
    for row in rows:
        if row["demand_mw"] is not None:
            seasons[_is_winter(row["timestamp"])].append(row["demand_mw"])
        if row["price_gbp_mwh"] is not None and row["timestamp"] >= end - _PRICE_HISTORY:
            prices.append(row["price_gbp_mwh"])
    return stress.History(winter_demand_mw=seasons[True], summer_demand_mw=seasons[False], price_gbp_mwh=prices)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _is_winter(at: datetime) -> bool:
    return at.astimezone(LONDON).month in stress.WINTER_MONTHS
