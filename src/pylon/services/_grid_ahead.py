"""The grid ahead: signals and tariffs over the half hours of a view, as the last pipeline run left them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from pylon.ontology.fleet import DataCentre
from pylon.sources.feed import SIMULATED
from pylon.store.database import Transaction

__all__ = ["GridAhead"]


@dataclass(frozen=True, kw_only=True)
class GridAhead:
    """What is known of the grid over some half hours from the present one on."""

    run_id: UUID | None
    national: Sequence[Mapping[str, Any]]
    regional: Mapping[int, tuple[int | None, ...]]
    regional_upper: Mapping[int, tuple[int | None, ...]]
    """By region: what is held against caps where Pylon's own forecast stands in; null elsewhere."""
    numbers: Mapping[UUID, int]
    rates: Mapping[str, Sequence[Mapping[str, Any]]]
    simulated: tuple[str, ...]

    @classmethod
    def read(cls, transaction: Transaction, operator_id: UUID, start: datetime, end: datetime) -> GridAhead:
        """Read the signals of all half hours in [start, end), and the operator's tariffs."""
        run, national, regional = _one_run(transaction, start, end)
        rates = transaction.all("tariff_rates_in_force", operator_id=operator_id, start=start, end=end)
        return cls(
            run_id=run["id"] if run else None,
            national=national,
            regional={row["region_id"]: tuple(row["carbon_intensity_forecast"]) for row in regional},
            regional_upper={row["region_id"]: tuple(row["carbon_intensity_upper"]) for row in regional},
            numbers={row["id"]: row["region_id"] for row in transaction.all("regions")},
            rates={name: list(those) for name, those in groupby(rates, key=lambda rate: rate["tariff"])},
            simulated=tuple(sorted(_simulated(national, regional))),
        )

    def present(self) -> dict[str, Any]:
        """Return the national signal of the present half hour, as a view names it."""
        signal = self.national[0]
        return {
            "grid_signal_id": signal["id"],
            "carbon_gco2_kwh": signal["carbon_intensity_forecast"],
            "stress": signal["grid_stress_score"],
            "price_gbp_mwh": signal["wholesale_price_gbp_mwh"],
        }

    def price(self, site: DataCentre) -> list[float | None]:
        """Return what the site pays in each half hour: its tariff where it has one, else the wholesale price."""
        if site.tariff is None:
            return [row["wholesale_price_gbp_mwh"] for row in self.national]
        rates = self.rates.get(site.tariff, ())
        return [_rate(rates, row["timestamp"]) for row in self.national]


def _one_run(
    transaction: Transaction, start: datetime, end: datetime
) -> tuple[dict[str, Any] | None, list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the last run and the signals as it left them: of a run that commits in between, all or nothing."""
    run = transaction.one("last_committed_run")
    while True:
        national = transaction.all("national_signals", start=start, end=end)
        regional = transaction.all("regional_series", start=start, end=end)
        since = transaction.one("last_committed_run")
        if (since or {}).get("id") == (run or {}).get("id"):
            return run, national, regional
        run = since


def _rate(rates: Sequence[Mapping[str, Any]], at: datetime) -> float | None:
    """Return the rate in force at `at`: the last that has begun."""
    held = [rate for rate in rates if rate["starts_at"] <= at]
    return held[-1]["price_gbp_mwh"] if held else None


def _simulated(national: Sequence[Mapping[str, Any]], regional: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the quantities of which some value in the field was made up."""
    for quantity in ("price", "stress"):
        if any((row["provenance"] or {}).get(quantity) == SIMULATED for row in national):
            yield quantity
    if any(SIMULATED in row["data_source"] for row in regional):
        yield "carbon"
