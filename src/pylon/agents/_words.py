"""The words of a decision about a workload, read off its documents and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pylon.ontology.enums import DecisionType
from pylon.ontology.regions import REGIONS

__all__ = ["headline", "listed", "rounded", "sentences"]

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
_RESOURCES: Final = {
    "power_mw": "MW of IT power",
    "gpus": "GPUs",
    "cpu_cores": "CPU cores",
    "memory_gb": "GB of memory",
}
_REGIONS: Final = {region.region_id: region.short_name for region in REGIONS}
_MOST_PIECES: Final = 4
_TERMS: Final = ("energy", "carbon", "stress", "migration", "wait", "scarcity")


def headline(decision_type: DecisionType, inputs: Document, limits: Document, options: Document) -> str:
    """Return the reason in a few sentences."""
    if options["chosen"] is None:
        told = [_why_not(decision_type, inputs, limits, options), *_loosened(inputs, options)]
    else:
        told = [_choice(inputs, options), *_broken_baseline(limits), *_replaced(inputs, options), *_urgent(inputs)]
    has_sites = options["chosen"] is not None or options["refused"]
    return " ".join([*told, *(_caveats(inputs) if has_sites else ())])


def rounded(value: float, places: int) -> float | None:
    """Return a figure as it is said; None when it is not known. Zero has no sign."""
    return round(value, places) + 0.0 if math.isfinite(value) else None


def listed(values: Iterable[Any]) -> str:
    """Return things as a sentence lists them."""
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def sentences(reasoning: str, inputs: Document, limits: Document, options: Document) -> list[str]:
    """Return the reason, and then each figure behind it in a sentence."""
    told = [reasoning]
    if "job" not in inputs or "chosen" not in options:
        return told
    for name in ("chosen", "baseline", "standing"):
        if options.get(name) is not None:
            told.append(_terms(name, options[name]))
    told += [_alternative(option, inputs) for option in options["others"]]
    told += _without_option(options["refused"])
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
    return f"{runs} instead of {instead}: {_comparison(chosen, baseline, inputs)}."


def _comparison(chosen: Document, baseline: Document, inputs: Document) -> str:
    parts = []
    before, after = _intensity(baseline), _intensity(chosen)
    if before is not None and after is not None:
        kg = (baseline["carbon_gco2"] - chosen["carbon_gco2"]) / 1000
        saves = f"saves {kg:,.2f} kg CO2" if kg >= 0 else f"emits {-kg:,.2f} kg CO2 more"
        in_spite = (before - after) * kg < 0
        by_pue = f", at a PUE of {_pue(chosen, inputs)} instead of {_pue(baseline, inputs)}," if in_spite else ""
        parts.append(f"{after:.0f} instead of {before:.0f} gCO2/kWh{by_pue} {saves}")
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
    if standing["refused_by"] is None and all(standing[one] == chosen[one] for one in ("dc_id", "spans")):
        yield "That is where and when it is booked already: nothing moves."
        return
    what = f"It replaces the booking {_when(standing, inputs)} at {_place(standing)}"
    if standing["refused_by"] is not None:
        yield f"{what}, which is no longer possible ({_LIMITS[standing['refused_by']]})."
    else:
        saved = chosen["total_gbp"] - standing["total_gbp"]
        yield f"{what}, which would now cost {_less(saved) if abs(saved) >= 0.005 else 'the same'}."


def _why_not(decision_type: DecisionType, inputs: Document, limits: Document, options: Document) -> str:
    job, binding = inputs["job"], limits["binding"]
    by = f"{_time(job['latest_end'], inputs['now'])} UTC"
    if decision_type is DecisionType.NEGOTIATE:
        least = f"the least that lets it through is {_pounds(limits['price_to_fit_gbp'])}"
        if binding == "max_price":
            return f"Does not run at its max_price_gbp of {_pounds(job['max_price_gbp'])}: {least}."
        return f"Does not run at {_worth(job)}: {least}."
    if binding == "carbon_cap" and decision_type is DecisionType.DEFER_WORKLOAD:
        cap = f"{job['carbon_cap_gco2_kwh']:g} gCO2/kWh"
        return f"Waits: no time that ends by {by} keeps its mean intensity to its cap of {cap} as forecast now."
    if decision_type is DecisionType.DEFER_WORKLOAD:
        return f"Waits: nothing fits that ends by {by}; what lacks is {_lacking(binding, limits)}."
    if binding == "region" or not job["fits_some_site"]:
        return f"Rejected: {_no_site(job, options)}."
    if binding == "latest_end":
        return f"Rejected: {job['duration_mins']} minutes from now end after {by}, its {_ended_by(job)}."
    return f"Rejected: no option that ends by {by} is left; the last were forbidden by {_lacking(binding, limits)}."


def _worth(job: Document) -> str:
    if job.get("value_by") == "lost_compute_gbp_mwh":
        return f"what it is taken to be worth, {_pounds(job['value_gbp'])}, as it names no value_gbp"
    return f"its value_gbp of {_pounds(job['value_gbp'])}"


def _lacking(binding: str | None, limits: Document) -> str:
    """Return what forbids it, and of a resource how much it needs."""
    if binding not in _RESOURCES:
        return _LIMITS.get(str(binding), "a site")
    needs = next(limit["value"] for limit in limits["limits"] if limit["limit"] == binding)
    return f"{_LIMITS[binding]}: it needs {needs:,.9g} {_RESOURCES[binding]}"


def _no_site(job: Document, options: Document) -> str:
    """Return why no site could hold it even if it were empty."""
    if not options["refused"]:
        return "you have no data centre. Register one with register_data_centre"
    allowed = job["allowed_region_ids"]
    if all(site["refused_by"] == "region" for site in options["refused"]):
        regions = listed(f"region {number} ({_REGIONS[number]})" for number in allowed)
        return f"no site of yours is in {regions}"
    where = "you have" if allowed is None else "in the regions it allows"
    short_of = [
        f"it needs {one['needs']:,.9g} {_RESOURCES[one['limit']]}, and the largest site {where}, {_place(one)}, "
        f"has {one['most']:,.9g}"
        for one in job.get("short_of", ())
    ]
    return "; ".join(short_of) or f"no site {where} has all that it needs, even empty"


def _loosened(inputs: Document, options: Document) -> Iterator[str]:
    """Yield with which change of its limits it would fit, the cheapest first."""
    found = options.get("loosenings", ())
    if not found:
        return
    ways = [
        f"{listed(_change(name, value) for name, value in one['parameters'].items() if name != 'job_id')} "
        f"({_when(one['option'], inputs)} at {_place(one['option'])}, {_pounds(one['option']['total_gbp'])} in all)"
        for one in found
    ]
    is_over = found[0]["action"] == "submit_workload"
    sent = "submit it anew under another job_id" if is_over else "send it with amend_workload"
    yield f"It would fit with {', or with '.join(ways)}: {sent}."


def _urgent(inputs: Document) -> Iterator[str]:
    if not inputs["job"].get("may_wait", True) and "by_hand" not in inputs:
        yield "It is CRITICAL and names neither a deadline nor a deferral window, so it runs as soon as it can."


def _ended_by(job: Document) -> str:
    words = {"deadline": "deadline", "deferral_window_mins": "latest end", "horizon_hours": "agent's horizon"}
    return words[job["latest_end_by"]]


def _caveats(inputs: Document) -> Iterator[str]:
    missing = inputs["missing"]
    if missing["known_nowhere"]:
        yield f"Known nowhere and so in no sum: {listed(missing['known_nowhere'])}."
    if inputs["simulated"]:
        yield f"Rests on simulated {listed(inputs['simulated'])}."


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


def _without_option(refused: Iterable[Document]) -> Iterator[str]:
    """Yield the sites that have no option, those that the same limit stopped in one sentence."""
    stopped: dict[str, list[str]] = {}
    for site in refused:
        stopped.setdefault(site["refused_by"], []).append(_place(site))
    for limit, places in stopped.items():
        who = f"{places[0]} has" if len(places) == 1 else f"{len(places)} sites have"
        which = "" if len(places) == 1 else f" at {listed(places)}"
        yield f"{who} no option: {_LIMITS[limit]} stopped the one that came furthest{which}."


def _said(value: Any) -> str:
    if isinstance(value, list):
        return listed(value)
    return f"{value:,g}" if isinstance(value, float | int) else str(value)


def _change(name: str, value: Any) -> str:
    """Return a parameter with its value as it is to be sent."""
    if isinstance(value, list) or value is None:
        return f"{name} {'null' if value is None else listed(value)}"
    return f"{name} {value:.2f}" if name.endswith("_gbp") else f"{name} {value}"


def _place(option: Document) -> str:
    return f"{option['dc_id']} (region {option['region_id']})"


def _intensity(option: Document) -> float | None:
    """Return the mean carbon intensity in gCO2/kWh."""
    if option["carbon_gco2"] is None or not option["energy_kwh"]:
        return None
    return float(option["carbon_gco2"] / option["energy_kwh"])


def _pue(option: Document, inputs: Document) -> str:
    it_kwh = 1000 * inputs["job"]["it_power_mw"] * inputs["job"]["duration_mins"] / 60
    return f"{option['energy_kwh'] / it_kwh:.2f}"


def _when(option: Document, inputs: Document) -> str:
    """Return when it runs: each of its pieces, or of many the first, the last and how long they are together."""
    spans = option["spans"]
    if len(spans) == 1:
        return f"{_stretches(spans, inputs['now'])[0]} UTC"
    shown = _stretches(spans, inputs["now"])
    if len(spans) <= _MOST_PIECES:
        return f"in {len(spans)} pieces: {', '.join(shown)} UTC,"
    total = sum((_at(span["ends_at"]) - _at(span["starts_at"]) for span in spans), timedelta())
    hours = f"{total / timedelta(hours=1):,.4g} h"
    return f"in {len(spans)} pieces: {shown[0]} to {_stretches(spans[-1:], inputs['now'])[0]} UTC, {hours} in all,"


def _stretches(spans: Sequence[Document], now: str) -> list[str]:
    """Return stretches of time as text, each with its day where it is not that of what was said before it."""
    told, before = [], now
    for span in spans:
        told.append(f"{_time(span['starts_at'], before)}-{_time(span['ends_at'], span['starts_at'])}")
        before = span["ends_at"]
    return told


def _time(text: str, before: str) -> str:
    """Return a time as people say it, with its day where that is not the day of the time said before."""
    at = _at(text)
    return f"{at:%H:%M}" if at.date() == _at(before).date() else f"{at:%a %d %b %H:%M}"


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _pounds(amount: float) -> str:
    return f"GBP {amount:,.2f}" if amount >= 0 else f"GBP -{-amount:,.2f}"
