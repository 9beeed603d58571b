"""The words of a decision about a storage asset, read off its documents and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from pylon.agents._phrases import amount, listed
from pylon.agents.jobs import instant, moment
from pylon.ontology.calendar import HALF_HOUR

__all__ = ["Document", "occasion", "saved", "sentences", "set_by_hand"]

Document = Mapping[str, Any]


def occasion(seen: Document, options: Document) -> str | None:
    """Return why the asset is decided about now; None when there is no need."""
    config, standing = seen["config"], seen["standing"]
    if standing is None:
        by_hand = seen.get("by_hand")
        return f"It had no schedule{'' if by_hand is None else ' after the one set by hand'}."
    renewal = timedelta(hours=min(config["renew_within_hours"], config["horizon_hours"] / 2))
    if moment(standing["ends_at"]) - moment(seen["now"]) <= renewal:
        return f"Its schedule ends on {_time(standing['ends_at'])}: this one takes its place."
    gain = options["standing"]["total_gbp"] - options["chosen"]["total_gbp"]
    if gain <= config["churn_gbp"]:
        return None
    return f"Its schedule is now worth GBP {gain:,.2f} less than this one, which takes its place."


def saved(options: Document, figure: str, places: int) -> float | None:
    """Return how much lower a figure of the choice is than the baseline's; None when it is not known."""
    before, after = options["baseline"][figure], options["chosen"][figure]
    return None if before is None or after is None else round(before - after, places) + 0.0


def sentences(seen: Document, limits: Document, options: Document) -> Iterator[str]:
    """Yield what is to be done and what it saves, then what a reader should know of it."""
    if (by_hand := seen.get("by_hand")) is not None:
        yield f"It keeps to the schedule set by hand until {_time(by_hand['ends_at'])}."
    yield f"Until {_time(_ends_at(seen))} it {_plan(seen, options)}."
    if limits["starts_outside_band"]:
        least, most = (limit["value"] for limit in limits["limits"] if limit["limit"] in ("min_mwh", "max_mwh"))
        yield f"It is led back into its band of {least:,.1f} to {most:,.1f} MWh first."
    yield from _rests_on(seen)
    if not limits["is_exact"]:
        yield "The search ended at its limit of steps: a better plan may exist."


def set_by_hand(seen: Document, options: Document) -> Iterator[str]:
    """Yield what a client has scheduled, what it takes the place of, and what it saves."""
    given, standing = seen["given"], seen["standing"]
    when = f"from {_time(given['starts_at'])} to {_time(given['ends_at'])}"
    yield f"{seen['asset']['asset_id']} is scheduled by hand {when}: it {_moved(given['power_mw'])}."
    if standing is not None and moment(standing["ends_at"]) > moment(given["starts_at"]):
        yield f"That takes the place of what was scheduled from then until {_time(standing['ends_at'])}."
    else:
        yield "Nothing was scheduled from then on."
    if options["chosen"] is None:
        yield "Price and carbon are not known for that time, so it is not valued."
    else:
        yield f"{_savings(seen, options).replace('against', 'Against', 1)}."
        if left_out := seen["missing"]["half_hours_not_used"]:
            yield f"Price or carbon is not known for {left_out} of the half hours, which are in no sum."
        yield from _rests_on(seen)
    if why := given["why"]:
        yield f"Reason given: {why}{'' if why.endswith(('.', '!', '?')) else '.'}"


def _moved(powers_mw: list[float]) -> str:
    """Return what powers in half hours come to, as measured at the grid."""
    parts = [
        f"{verb} {round(sum(those) / 2, 3):,} MWh, {amount(max(those))} MW at most"
        for verb, those in (
            ("takes", [-mw for mw in powers_mw if mw < 0]),
            ("gives", [mw for mw in powers_mw if mw > 0]),
        )
        if those
    ]
    return ", and ".join(parts) or "stays idle"


def _rests_on(seen: Document) -> Iterator[str]:
    if seen["missing"]["known_nowhere"]:
        yield f"Known nowhere and so in no sum: {listed(seen['missing']['known_nowhere'])}."
    if seen["simulated"]:
        yield f"Rests on simulated {listed(seen['simulated'])}."


def _ends_at(seen: Document) -> str:
    return instant(moment(seen["starts_at"]) + len(seen["stress"]) * HALF_HOUR)


def _plan(seen: Document, options: Document) -> str:
    chosen = options["chosen"]
    moves = [
        f"{verb} {chosen[f'{done}_mwh']:,.1f} MWh" + ("" if price is None else f" at GBP {price:,.2f}/MWh")
        for verb, done in (("charges", "charged"), ("discharges", "discharged"))
        for price in [chosen[f"{done}_at_gbp_mwh"]]
        if chosen[f"{done}_mwh"]
    ]
    done = " and ".join(moves) or "stays idle: nothing in sight pays for its losses and wear"
    return f"{done}; {_savings(seen, options)}" if moves or seen["standing"] is not None else done


def _savings(seen: Document, options: Document) -> str:
    """Return what the choice saves against the baseline, and the sum that made it the choice."""
    chosen, baseline = options["chosen"], options["baseline"]
    cost, carbon = saved(options, "cost_gbp", 2), saved(options, "carbon_gco2", 2)
    parts = []
    if cost is not None:
        parts.append(f"{'saves' if cost >= 0 else 'costs'} GBP {abs(cost):,.2f} after wear")
    if carbon is not None:
        parts.append(f"{'avoids' if carbon >= 0 else 'emits'} {abs(carbon) / 1000:,.1f} kg CO2")
    if abs(more := chosen["stored_mwh"] - baseline["stored_mwh"]) >= 0.05:
        parts.append(f"leaves {abs(more):,.1f} MWh {'more' if more > 0 else 'less'} in store")
    gains = {name: baseline["terms"][name] - cost for name, cost in chosen["terms"].items() if cost is not None}
    terms = [f"{name.removesuffix('_gbp')} {gain:+,.2f}" for name, gain in gains.items() if abs(gain) >= 0.005]
    worth = f"in all it is worth GBP {baseline['total_gbp'] - chosen['total_gbp'] + 0.0:,.2f}"
    than = "idling" if seen["standing"] is None else "following the schedule that stood, and then idling,"
    return f"against {than} that {listed(parts)}; {worth} ({', '.join(terms) or 'under GBP 0.01 in each'})"


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%a %d %b %H:%M} UTC"
