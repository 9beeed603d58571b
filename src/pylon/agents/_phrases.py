"""The phrases that decisions are told in: sums, places, times, and what forbids an option."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

__all__ = [
    "RESOURCES",
    "TERMS",
    "Document",
    "amount",
    "costs",
    "forbidden",
    "listed",
    "place",
    "pounds",
    "refused",
    "rounded",
    "time",
    "total",
    "when",
]

Document = Mapping[str, Any]

TERMS: Final = ("energy", "carbon", "stress", "migration", "wait", "scarcity")
RESOURCES: Final = {
    "power_mw": "MW of IT power",
    "gpus": "GPUs",
    "cpu_cores": "CPU cores",
    "memory_gb": "GB of memory",
}

_FORBIDDEN: Final = {
    "region": "the job does not allow its region",
    "site_open": "the site is not ACTIVE",
    "power_mw": "too little power is free",
    "gpus": "too few GPUs are free",
    "cpu_cores": "too few CPU cores are free",
    "memory_gb": "too little memory is free",
    "signals_known": "price or carbon is not known for the time, while it is for others",
    "latest_end": "it would end after the job's deadline, its deferral window or the agent's horizon",
    "horizon": "it would end after the half hours that are planned",
    "carbon_cap": "its mean carbon intensity would be above its cap",
    "max_price": "its energy would cost more than its max_price_gbp",
    "value": "it would cost more than it is worth",
}
_MOST_PIECES: Final = 4


def forbidden(limit: str, short_of: Document | None = None) -> str:
    """Return why an option is not possible, as a clause, with the need and what is free where that is given."""
    if short_of is None:
        return _FORBIDDEN[limit]
    unit = {"power_mw": " MW", "memory_gb": " GB"}.get(limit, "")
    return (
        f"{_FORBIDDEN[limit]} (it needs {amount(short_of['needs'])}{unit}, {amount(short_of['free'])}{unit} free)"
    )


def refused(option: Document) -> str:
    """Return why an option as a decision keeps it is not possible, as a clause, with the figures that say so."""
    why = forbidden(option["refused_by"], option.get("short_of"))
    held = option.get("capped_carbon_gco2")
    if option["refused_by"] != "carbon_cap" or held is None or not option["energy_kwh"]:
        return why
    return f"{why} (it may be as high as {held / option['energy_kwh']:.0f} gCO2/kWh, by Pylon's own forecast)"


def rounded(value: float, places: int) -> float | None:
    """Return a figure as it is said; None when it is not known. Zero has no sign."""
    return round(value, places) + 0.0 if math.isfinite(value) else None


def listed(values: Iterable[Any], last_by: str = "and") -> str:
    """Return things as a sentence lists them."""
    *most, last = map(str, values)
    return f"{', '.join(most)} {last_by} {last}" if most else last


def amount(value: float) -> str:
    """Return how much there is of something, to the thousandth; of less than one, three figures."""
    return f"{value:.3g}" if 0 < value < 1 else f"{value:,.3f}".rstrip("0").rstrip(".")


def pounds(gbp: float) -> str:
    """Return a sum of money."""
    return f"GBP {gbp:,.2f}" if gbp >= 0 else f"GBP -{-gbp:,.2f}"


def costs(option: Document) -> dict[str, float]:
    """Return the terms of an option that are known, to the penny: every sum that is said is made of these."""
    terms = {term: option["terms"][f"{term}_gbp"] for term in TERMS}
    return {term: round(cost, 2) + 0.0 for term, cost in terms.items() if cost is not None}


def total(option: Document) -> float | None:
    """Return the sum of an option's terms as they are said; None when it is not known."""
    return None if option["total_gbp"] is None else round(sum(costs(option).values()), 2) + 0.0


def place(option: Document) -> str:
    """Return where an option is."""
    return f"{option['dc_id']} (region {option['region_id']})"


def when(option: Document, now: str) -> str:
    """Return when it runs: each of its pieces, or of many the first, the last and how long they are together."""
    spans = option["spans"]
    shown = _stretches(spans, now)
    if len(spans) == 1:
        return f"{shown[0]} UTC"
    if len(spans) <= _MOST_PIECES:
        return f"in {len(spans)} pieces: {', '.join(shown)} UTC,"
    length = sum((_at(span["ends_at"]) - _at(span["starts_at"]) for span in spans), timedelta())
    hours = f"{length / timedelta(hours=1):,.4g} h"
    last = _stretches(spans[-1:], now)[0]
    return f"in {len(spans)} pieces, the first {shown[0]}, the last {last} UTC, {hours} in all,"


def time(text: str, before: str) -> str:
    """Return a time as people say it, with its day where that is not the day of the time said before."""
    at = _at(text)
    return f"{at:%H:%M}" if at.date() == _at(before).date() else f"{at:%a %d %b %H:%M}"


def _stretches(spans: Sequence[Document], now: str) -> list[str]:
    """Return stretches of time as text, each with its day where it is not that of what was said before it."""
    told, before = [], now
    for span in spans:
        told.append(f"{time(span['starts_at'], before)}-{time(span['ends_at'], span['starts_at'])}")
        before = span["ends_at"]
    return told


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
