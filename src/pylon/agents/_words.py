"""The words of a decision about a workload, read off its documents and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pylon.ontology.enums import DecisionType

__all__ = ["headline", "sentences"]

Document = Mapping[str, Any]

_LIMITS: Final = {
    "region": "the regions it allows",
    "site_open": "open sites",
    "power_mw": "free power",
    "gpus": "free GPUs",
    "cpu_cores": "free CPU cores",
    "memory_gb": "free memory",
    "signals_known": "known prices and carbon",
    "latest_end": "its latest end",
    "horizon": "the horizon of the signals",
    "carbon_cap": "its carbon cap",
    "max_price": "its maximum price",
    "value": "its value",
}
_TERMS: Final = ("energy", "carbon", "stress", "migration", "wait", "scarcity")


def headline(decision_type: DecisionType, inputs: Document, limits: Document, options: Document) -> str:
    """Return the reason in a few sentences."""
    if options["chosen"] is None:
        told = [_why_not(decision_type, inputs, limits, options)]
    else:
        told = [_choice(inputs, options), *_broken_baseline(limits), *_replaced(inputs, options)]
    return " ".join([*told, *_caveats(inputs)])


def sentences(reasoning: str, inputs: Document, limits: Document, options: Document) -> list[str]:
    """Return the reason, and then each figure behind it in a sentence."""
    told = [reasoning]
    if "job" not in inputs or "chosen" not in options:
        return told
    for name in ("chosen", "baseline", "standing"):
        if options.get(name) is not None:
            told.append(_terms(name, options[name]))
    told += [_alternative(option, inputs) for option in options["others"]]
    told += [
        f"{_place(site)} has no option: {_LIMITS[site['refused_by']]} stopped the one that came furthest."
        for site in options["refused"]
    ]
    told += [_limit(limit) for limit in limits["limits"] if limit["options_refused"]]
    if not limits["is_exact"]:
        told.append("The search ended at its limit of steps: a better option may exist.")
    return told


def _choice(inputs: Document, options: Document) -> str:
    chosen, baseline = options["chosen"], options["baseline"]
    runs = f"Runs {_when(chosen, inputs)} at {_place(chosen)}"
    if baseline is None:
        return (
            f"{runs} for {_pounds(chosen['total_gbp'])} in all; it names no origin here, so there is no baseline."
        )
    is_here, is_now = chosen["dc_id"] == baseline["dc_id"], chosen["spans"] == baseline["spans"]
    if is_here and is_now and "by_hand" in inputs:
        return f"{runs}, now and at its origin, for {_pounds(chosen['total_gbp'])} in all."
    if is_here and is_now:
        return (
            f"{runs}, now and at its origin: no other place or time costs less than {_pounds(chosen['total_gbp'])}."
        )
    instead = " and ".join(
        [*([] if is_now else ["now"]), *([] if is_here else [f"at {_place(baseline)}"])]
    ).replace("now and at", "now at")
    return f"{runs} instead of {instead}: {_comparison(chosen, baseline)}."


def _comparison(chosen: Document, baseline: Document) -> str:
    parts = []
    before, after = _intensity(baseline), _intensity(chosen)
    if before is not None and after is not None:
        kg = (baseline["carbon_gco2"] - chosen["carbon_gco2"]) / 1000
        saves = f"saves {kg:,.2f} kg CO2" if kg >= 0 else f"emits {-kg:,.2f} kg CO2 more"
        parts.append(f"{after:.0f} instead of {before:.0f} gCO2/kWh {saves}")
    cost_before, cost_after = baseline["terms"]["energy_gbp"], chosen["terms"]["energy_gbp"]
    if cost_before is not None and cost_after is not None:
        migration = chosen["terms"]["migration_gbp"] - baseline["terms"]["migration_gbp"]
        saved, what = (
            cost_before - cost_after - migration,
            "energy and migration cost" if migration else "energy costs",
        )
        parts.append(f"{what} {_less(saved)}" if abs(saved) >= 0.005 else f"{what} the same")
    total = baseline["total_gbp"] - chosen["total_gbp"]
    parts.append(
        f"in all {_pounds(abs(total))} {'less' if total >= 0 else 'more'} ({_differences(chosen, baseline)})"
    )
    return "; ".join(parts)


def _less(amount_gbp: float) -> str:
    return f"{_pounds(abs(amount_gbp))} {'less' if amount_gbp >= 0 else 'more'}"


def _differences(chosen: Document, baseline: Document) -> str:
    found = {
        term: before - after
        for term in _TERMS
        if (before := baseline["terms"][f"{term}_gbp"]) is not None
        and (after := chosen["terms"][f"{term}_gbp"]) is not None
    }
    shown = {term: difference for term, difference in found.items() if abs(difference) >= 0.005}
    return ", ".join(f"{term} {difference:+,.2f}" for term, difference in shown.items()) or "under GBP 0.01 in each"


def _broken_baseline(limits: Document) -> Iterator[str]:
    broken = limits["baseline_infeasible"]
    if broken is not None:
        yield f"Running now at its origin was not possible: {_LIMITS[broken]} forbade it."


def _replaced(inputs: Document, options: Document) -> Iterator[str]:
    standing, chosen = options["standing"], options["chosen"]
    if standing is None:
        if inputs["standing"] is not None:
            yield "It replaces a booking whose start was missed."
        return
    what = f"It replaces the booking {_when(standing, inputs)} at {_place(standing)}"
    if standing["refused_by"] is not None:
        yield f"{what}, which is no longer possible ({_LIMITS[standing['refused_by']]})."
    else:
        saved = chosen["total_gbp"] - standing["total_gbp"]
        yield f"{what}, which would now cost {_less(saved) if abs(saved) >= 0.005 else 'the same'}."


def _why_not(decision_type: DecisionType, inputs: Document, limits: Document, options: Document) -> str:
    job, binding = inputs["job"], limits["binding"]
    by = f"{_time(job['latest_end'], inputs)} UTC"
    if decision_type is DecisionType.NEGOTIATE:
        named = "max_price_gbp" if binding == "max_price" else "value_gbp"
        best = options["to_fit"]
        return (
            f"Does not run at its {named} of {_pounds(job[named])}: the least that lets it through is "
            f"{_pounds(limits['price_to_fit_gbp'])}, {_when(best, inputs)} at {_place(best)}."
        )
    if binding == "carbon_cap" and decision_type is DecisionType.DEFER_WORKLOAD:
        cap = f"{job['carbon_cap_gco2_kwh']:g} gCO2/kWh"
        return f"Waits: no time that ends by {by} keeps its mean intensity to its cap of {cap} as forecast now."
    if decision_type is DecisionType.DEFER_WORKLOAD:
        return f"Waits: nothing fits that ends by {by}; what lacks is {_LIMITS.get(binding, 'a site')}."
    if not job["fits_some_site"]:
        return "Rejected: no site in the regions it allows is large enough for it, even empty."
    if binding == "latest_end":
        return f"Rejected: {job['duration_mins']} minutes from now end after {by}, its {_ended_by(job)}."
    last = _LIMITS.get(binding, "there being no site")
    return f"Rejected: no option that ends by {by} is left; the last were forbidden by {last}."


def _ended_by(job: Document) -> str:
    words = {"deadline": "deadline", "deferral_window_mins": "latest end", "horizon_hours": "agent's horizon"}
    return words[job["latest_end_by"]]


def _caveats(inputs: Document) -> Iterator[str]:
    missing = inputs["missing"]
    if missing["known_nowhere"]:
        yield f"Known nowhere and so in no sum: {_listed(missing['known_nowhere'])}."
    if inputs["simulated"]:
        yield f"Rests on simulated {_listed(inputs['simulated'])}."


def _terms(name: str, option: Document) -> str:
    costs = [
        f"{term} {_pounds(cost)}"
        for term in _TERMS
        if (cost := option["terms"][f"{term}_gbp"]) is not None and cost
    ]
    named = {"chosen": "The choice", "baseline": "The baseline (run now at origin)", "standing": "The booking"}[
        name
    ]
    broken = "" if option["refused_by"] is None else f"; {_LIMITS[option['refused_by']]} forbade it"
    return f"{named} costs {_pounds(option['total_gbp'])}: {', '.join(costs) or 'nothing'}{broken}."


def _alternative(option: Document, inputs: Document) -> str:
    return f"At {_place(option)} it would best run {_when(option, inputs)}, for {_pounds(option['total_gbp'])}."


def _limit(limit: Document) -> str:
    value = (
        ""
        if limit["value"] is None
        else f" ({_said(limit['value'])}{' ' + limit['unit'] if limit['unit'] else ''})"
    )
    return f"The limit {limit['limit']}{value} refused {limit['options_refused']:,} options."


def _said(value: Any) -> str:
    return (
        _listed(value)
        if isinstance(value, list)
        else f"{value:,g}"
        if isinstance(value, float | int)
        else str(value)
    )


def _listed(values: Iterable[Any]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def _place(option: Document) -> str:
    return f"{option['dc_id']} (region {option['region_id']})"


def _intensity(option: Document) -> float | None:
    """Return the mean carbon intensity in gCO2/kWh."""
    if option["carbon_gco2"] is None or not option["energy_kwh"]:
        return None
    return float(option["carbon_gco2"] / option["energy_kwh"])


def _when(option: Document, inputs: Document) -> str:
    spans = option["spans"]
    first, last = spans[0]["starts_at"], spans[-1]["ends_at"]
    pieces = "" if len(spans) == 1 else f"in {len(spans)} pieces "
    end = _time(last, {"now": first})
    return f"{pieces}{_time(first, inputs)}-{end} UTC"


def _time(text: str, inputs: Document) -> str:
    """Return a time as people say it, with its day where that is not the day of `now`."""
    at, now = datetime.fromisoformat(text), datetime.fromisoformat(inputs["now"])
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%a %d %b %H:%M}"


def _pounds(amount: float) -> str:
    return f"GBP {amount:,.2f}" if amount >= 0 else f"GBP -{-amount:,.2f}"
