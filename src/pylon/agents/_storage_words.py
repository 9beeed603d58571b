"""The words of a decision about a storage asset, read off its documents and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from pylon.agents.jobs import instant, moment
from pylon.ontology.calendar import HALF_HOUR

__all__ = ["Document", "occasion", "saved", "sentences"]

Document = Mapping[str, Any]


def occasion(seen: Document, options: Document) -> str | None:
    """Return why the asset is decided about now; None when there is no need."""
    config, standing = seen["config"], seen["standing"]
    if standing is None:
        return "It had no schedule."
    renewal = timedelta(hours=min(config["renew_within_hours"], config["horizon_hours"] / 2))
    if moment(standing["ends_at"]) - moment(seen["now"]) <= renewal:
        return f"Its schedule ended on {_time(standing['ends_at'])}."
    gain = options["standing"]["total_gbp"] - options["chosen"]["total_gbp"]
    return f"Its schedule is now worth GBP {gain:,.2f} less than this one." if gain > config["churn_gbp"] else None


def saved(options: Document, figure: str, places: int) -> float | None:
    """Return how much lower a figure of the choice is than the baseline's; None when it is not known."""
    before, after = options["baseline"][figure], options["chosen"][figure]
    return None if before is None or after is None else round(before - after, places) + 0.0


def sentences(seen: Document, limits: Document, options: Document) -> Iterator[str]:
    """Yield what is to be done and what it saves, then what a reader should know of it."""
    yield f"Until {_time(_ends_at(seen))} it {_plan(options)}."
    if limits["starts_outside_band"]:
        least, most = (limit["value"] for limit in limits["limits"] if limit["limit"] in ("min_mwh", "max_mwh"))
        yield f"It is led back into its band of {least:,.1f} to {most:,.1f} MWh first."
    if seen["missing"]["known_nowhere"]:
        yield f"Known nowhere and so in no sum: {_listed(seen['missing']['known_nowhere'])}."
    if seen["simulated"]:
        yield f"Rests on simulated {_listed(seen['simulated'])}."
    if not limits["is_exact"]:
        yield "The search ended at its limit of steps: a better plan may exist."


def _ends_at(seen: Document) -> str:
    return instant(moment(seen["starts_at"]) + len(seen["stress"]) * HALF_HOUR)


def _plan(options: Document) -> str:
    chosen = options["chosen"]
    moves = [
        f"{verb} {chosen[f'{done}_mwh']:,.1f} MWh" + ("" if price is None else f" at GBP {price:,.2f}/MWh")
        for verb, done in (("charges", "charged"), ("discharges", "discharged"))
        for price in [chosen[f"{done}_at_gbp_mwh"]]
        if chosen[f"{done}_mwh"]
    ]
    if not moves:
        return "stays idle: nothing in sight pays for its losses and wear"
    return f"{' and '.join(moves)}; {_savings(options)}"


def _savings(options: Document) -> str:
    """Return what the choice saves against idling, and the sum that made it the choice."""
    chosen, cost, carbon = options["chosen"], saved(options, "cost_gbp", 2), saved(options, "carbon_gco2", 2)
    parts = []
    if cost is not None:
        parts.append(f"{'saves' if cost >= 0 else 'costs'} GBP {abs(cost):,.2f} after wear")
    if carbon is not None:
        parts.append(f"{'avoids' if carbon >= 0 else 'emits'} {abs(carbon) / 1000:,.1f} kg CO2")
    terms = [f"{name.removesuffix('_gbp')} {-cost:+,.2f}" for name, cost in chosen["terms"].items() if cost]
    worth = f"in all it is worth GBP {-chosen['total_gbp'] + 0.0:,.2f} ({', '.join(terms)})"
    return f"against idling that {' and '.join(parts)}; {worth}"


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%a %d %b %H:%M} UTC"
