"""When a workload ran, what it drew in each half hour, and what that came to as prices and carbon turned out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pylon.agents.contract import Span
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.sources.feed import SIMULATED
from pylon.store.database import Transaction

__all__ = ["Drawn", "Figure", "Known", "Outturn", "ceiling", "drawn", "ends_at", "outturn", "ran", "weigh"]

Drawn = Mapping[datetime, float]
"""Energy by the start of the half hour it was drawn in, in kWh; negative when given."""


@dataclass(frozen=True, slots=True)
class Known:
    """A value of one half hour, and whether Pylon made it up."""

    value: float
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A sum over half hours: None when any of them lacks its value, for a sum of some would not be the whole."""

    value: float | None
    missing: int
    """How many half hours lack a value."""
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class Outturn:
    """Prices and intensities of a span of half hours, as they turned out: as last known."""

    wholesale: Mapping[datetime, Known]
    tariffs: Mapping[str, Sequence[tuple[datetime, Known | None]]]
    """By tariff: its rates, each from its time until the next."""
    regional: Mapping[Any, Mapping[datetime, Known]]
    """Carbon intensity by the id of the region."""

    def price(self, tariff: str | None, at: datetime) -> Known | None:
        """Return what a site on this tariff (None: wholesale) paid in the half hour at `at`, in GBP/MWh."""
        if tariff is None:
            return self.wholesale.get(at)
        return next((rate for starts, rate in reversed(self.tariffs.get(tariff, ())) if starts <= at), None)

    def carbon(self, region_id: Any, at: datetime) -> Known | None:
        """Return the carbon intensity of the region in gCO2/kWh in the half hour at `at`."""
        return self.regional.get(region_id, {}).get(at)


def outturn(transaction: Transaction, operator_id: Any, *, start: datetime, end: datetime) -> Outturn:
    """Return what the half hours of [start, end) turned out to be, for one operator."""
    wholesale, regional = {}, dict[Any, dict[datetime, Known]]()
    for row in transaction.all("prices_as_they_were", start=start, end=end):
        wholesale[row["at"].astimezone(UTC)] = Known(row["price"], row["source"] == SIMULATED)
    for row in transaction.all("carbon_as_it_was", start=start, end=end):
        of_region = regional.setdefault(row["region_id"], {})
        of_region[row["at"].astimezone(UTC)] = Known(row["carbon"], row["source"] == SIMULATED)
    tariffs: dict[str, list[tuple[datetime, Known | None]]] = {}
    for row in transaction.all("tariff_rates_in_force", operator_id=operator_id, start=start, end=end):
        price = row["price_gbp_mwh"]
        rate = None if price is None else Known(price, row["is_simulated"])
        tariffs.setdefault(row["tariff"], []).append((row["starts_at"], rate))
    return Outturn(wholesale, tariffs, regional)


def ran(booked: Sequence[Span], started_at: datetime, until: datetime) -> list[Span]:
    """Return when a workload ran: from its start until `until`, less the pauses between its booked spans."""
    begins = [started_at, *(span.starts_at for span in booked[1:])]
    ends = [*(span.ends_at for span in booked[:-1]), until]
    clipped = (Span(max(begin, started_at), min(end, until)) for begin, end in zip(begins, ends, strict=True))
    return [span for span in clipped if span.starts_at < span.ends_at]


def ends_at(booked: Sequence[Span], started_at: datetime, duration: timedelta) -> datetime:
    """Return when a workload that started then has run for `duration`: what it missed it makes up at the end."""
    left = duration
    for span in ran(booked, started_at, max(booked[-1].ends_at, started_at) + duration):
        if left <= span.ends_at - span.starts_at:
            return span.starts_at + left
        left -= span.ends_at - span.starts_at
    raise AssertionError("the last span is as long as the whole")


def drawn(spans: Sequence[Span], power_kw: float) -> dict[datetime, float]:
    """Return the energy that `power_kw` draws over the spans, by half hour, exact to the second."""
    energy: dict[datetime, float] = {}
    for span in spans:
        for at in half_hours(span.starts_at, span.ends_at):
            overlap = min(span.ends_at, at + HALF_HOUR) - max(span.starts_at, at)
            energy[at] = energy.get(at, 0.0) + power_kw * (overlap / timedelta(hours=1))
    return energy


def weigh(energy_kwh: Drawn, value_of: Callable[[datetime], Known | None]) -> Figure:
    """Return the sum of energy times value over the half hours in which energy flowed."""
    total, missing, is_simulated = 0.0, 0, False
    for at, kwh in sorted(energy_kwh.items()):
        if kwh == 0:
            continue
        known = value_of(at)
        if known is None:
            missing += 1
        else:
            total += kwh * known.value
            is_simulated |= known.is_simulated
    return Figure(None if missing else total, missing, is_simulated)


def ceiling(at: datetime) -> datetime:
    """Return the end of the half hour that `at` falls in; `at` itself where it is the start of one."""
    return at.astimezone(UTC) if floor(at) == at else floor(at) + HALF_HOUR
