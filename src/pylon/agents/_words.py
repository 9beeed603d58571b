"""The words of a decision about a workload, read off its documents and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from pylon.agents._phrases import (
    RESOURCES,
    TERMS,
    Document,
    amount,
    costs,
    forbidden,
    listed,
    place,
    pounds,
    refused,
    rounded,
    time,
    total,
    when,
)
from pylon.agents._plan_words import planned
from pylon.ontology.enums import DecisionType
from pylon.ontology.regions import REGIONS

__all__ = ["given_up", "headline", "listed", "refusal", "rounded", "sentences"]

_REGIONS: Final = {region.region_id: region.short_name for region in REGIONS}
_HAS: Final = {"power_mw": " MW", "memory_gb": " GB"}
_MONEY: Final = {"max_price_gbp", "value_gbp"}
_MOST_SITES: Final = 4


def headline(decision_type: DecisionType, inputs: Document, limits: Document, options: Document) -> str:
    """Return the reason in a few sentences."""
    if options["chosen"] is None:
        told = [
            _why_not(decision_type, inputs, limits, options),
            *_loosened(inputs, options),
            *given_up(inputs, options),
        ]
    else:
        told = [
            _choice(inputs, options),
            *planned(inputs, options),
            *_broken_baseline(limits, options),
            *_replaced(inputs, options),
            *_urgent(inputs),
        ]
    has_sites = options["chosen"] is not None or options["refused"]
    return " ".join([*told, *(_caveats(inputs) if has_sites else ())])


def refusal(inputs: Document, limits: Document, options: Document) -> str:
    """Return why an amendment with which the job could never run is refused, and what would do."""
    why = _why_not(DecisionType.REJECT_WORKLOAD, inputs, limits, options).removeprefix("Rejected: ")
    ways = _ways(inputs, options)
    instead = [f"It would fit with {ways}: send the same amendment with that in it."] if ways else []
    unchanged = "Nothing was changed: your job, and its booking if it has one, are as they were."
    return " ".join([f"Amended so the job could not run: {why}", *instead, unchanged])


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
    runs = f"Runs {when(chosen, inputs['now'])} at {place(chosen)}"
    costing = pounds(total(chosen) or 0.0)
    if baseline is None:
        said = f"{runs} for {costing} in all; it has no origin among your sites, so there is no baseline."
        return " ".join([said, *_there_now(chosen, options.get("now"))])
    is_here, is_now = chosen["dc_id"] == baseline["dc_id"], chosen["spans"] == baseline["spans"]
    if is_here and is_now and "by_hand" in inputs:
        return f"{runs}, now and at its origin, for {costing} in all."
    if is_here and is_now:
        return f"{runs}, now and at its origin: no other place or time costs less than {costing}."
    instead = " and ".join([*([] if is_now else ["now"]), *([] if is_here else [f"at {place(baseline)}"])]).replace(
        "now and at", "now at"
    )
    return f"{runs} instead of {instead}: {_comparison(chosen, baseline, inputs)}."


def _there_now(chosen: Document, now: Document | None) -> Iterator[str]:
    """Yield what waiting is for, where there is no baseline to say it against."""
    if now is None:
        return
    if now["refused_by"] is not None:
        yield f"Running there now was not possible: {refused(now)}."
    else:
        gain = sum(_gains(chosen, now).values())
        yield f"Against running there now that is {_less(gain, is_exact=True)} ({_differences(chosen, now)})."


def _comparison(chosen: Document, baseline: Document, inputs: Document) -> str:
    parts = []
    before, after = _intensity(baseline), _intensity(chosen)
    if before is not None and after is not None:
        kg = (baseline["carbon_gco2"] - chosen["carbon_gco2"]) / 1000
        saves = f"saves {kg:,.2f} kg CO2" if kg >= 0 else f"emits {-kg:,.2f} kg CO2 more"
        in_spite = (before - after) * kg < 0
        by_pue = f", at a PUE of {_pue(chosen, inputs)} instead of {_pue(baseline, inputs)}," if in_spite else ""
        parts.append(f"{after:.0f} instead of {before:.0f} gCO2/kWh{by_pue} {saves}")
    gains = _gains(chosen, baseline)
    if "energy" in costs(chosen) and "energy" in costs(baseline):
        what = "energy and migration cost" if gains["migration"] else "energy costs"
        parts.append(f"{what} {_less(gains['energy'] + gains['migration'])}")
    if total(baseline) is None:
        parts.append(f"what running now at its origin would cost is not known ({_unknown(baseline)})")
    else:
        parts.append(f"in all {_less(sum(gains.values()), is_exact=True)} ({_differences(chosen, baseline)})")
    return "; ".join(parts)


def _less(gbp: float, *, is_exact: bool = False) -> str:
    if abs(gbp) < 0.005 and not is_exact:
        return "the same"
    return f"{pounds(abs(round(gbp, 2)))} {'less' if gbp > -0.005 else 'more'}"


def _gains(chosen: Document, baseline: Document) -> dict[str, float]:
    """Return by how much each term is lower, to the penny, so that they add up to the difference that is said."""
    before, after = costs(baseline), costs(chosen)
    return {
        term: round(before.get(term, 0.0) - after.get(term, 0.0), 2)
        for term in TERMS
        if term in before or term in after
    }


def _differences(chosen: Document, baseline: Document) -> str:
    shown = {term: gain for term, gain in _gains(chosen, baseline).items() if gain}
    return ", ".join(f"{term} {gain:+,.2f}" for term, gain in shown.items()) or "under GBP 0.01 in each"


def _unknown(option: Document) -> str:
    """Return which of an option's terms are not known, as a clause."""
    names = [name for name in ("energy", "carbon") if option["terms"][f"{name}_gbp"] is None]
    return f"{listed(names)} {'are' if len(names) > 1 else 'is'} not known that far"


def _broken_baseline(limits: Document, options: Document) -> Iterator[str]:
    broken = limits["baseline_infeasible"]
    if broken is not None:
        yield f"Running now at its origin was not possible: {refused(options['baseline'])}."


def _replaced(inputs: Document, options: Document) -> Iterator[str]:
    standing, chosen = options["standing"], options["chosen"]
    if standing is None:
        if inputs["standing"] is not None:
            chosen_by = " that was chosen by hand and" if _by_hand(inputs) else ""
            yield f"It replaces a booking{chosen_by} whose start was missed."
        return
    if standing["refused_by"] is None and all(standing[one] == chosen[one] for one in ("dc_id", "spans")):
        yield "That is where and when it is booked already: nothing moves."
        return
    what = f"It replaces the booking {when(standing, inputs['now'])} at {place(standing)}{_by_hand(inputs)}"
    if standing["refused_by"] is not None:
        yield f"{what}, which is no longer possible: {refused(standing)}."
    else:
        yield f"{what}, which would now cost {_less(-sum(_gains(chosen, standing).values()))}."


def given_up(inputs: Document, options: Document) -> Iterator[str]:
    """Yield what booking a job loses that has no other in its place."""
    standing = options["standing"]
    if standing is not None:
        yield f"It gives up its booking {when(standing, inputs['now'])} at {place(standing)}{_by_hand(inputs)}."
    elif inputs["standing"] is not None:
        yield f"It gives up its booking{_by_hand(inputs)}, whose start was missed."


def _by_hand(inputs: Document) -> str:
    return ", chosen by hand" if inputs["standing"].get("is_by_hand") else ""


def _why_not(decision_type: DecisionType, inputs: Document, limits: Document, options: Document) -> str:
    job, binding = inputs["job"], limits["binding"]
    by = f"{time(job['latest_end'], inputs['now'])} UTC"
    if decision_type is DecisionType.NEGOTIATE:
        return f"{_at_what_price(job, binding)}{_least(limits, options)}."
    if binding == "carbon_cap" and decision_type is DecisionType.DEFER_WORKLOAD:
        cap = f"{job['carbon_cap_gco2_kwh']:g} gCO2/kWh"
        return f"Waits: no time that ends by {by} keeps its mean intensity to its cap of {cap} as forecast now."
    if decision_type is DecisionType.DEFER_WORKLOAD:
        return f"Waits: nothing fits that ends by {by}: {_lacking(binding, limits)}."
    if binding == "region" or not job["fits_some_site"]:
        return f"Rejected: {_no_site(job, options)}."
    if binding == "horizon" or (binding == "latest_end" and job["latest_end_by"] == "horizon_hours"):
        return f"Rejected: {_too_long(job, limits)}."
    if binding == "latest_end":
        return f"Rejected: {job['duration_mins']} minutes from now end after {by}, its {_ended_by(job)}."
    return f"Rejected: no option that ends by {by} is left: {_lacking(binding, limits)}."


def _at_what_price(job: Document, binding: str) -> str:
    if binding == "max_price":
        return f"Does not run at its max_price_gbp of {pounds(job['max_price_gbp'])}, which is for its energy alone"
    if job.get("value_by") == "lost_compute_gbp_mwh":
        worth = f"what it is taken to be worth, {pounds(job['value_gbp'])}, as it names no value_gbp"
        return f"Does not run at {worth}"
    return f"Does not run at its value_gbp of {pounds(job['value_gbp'])}, which is for all that it costs"


def _least(limits: Document, options: Document) -> str:
    """Return the least price that would do, unless it is said among what would make it fit."""
    is_said = any(_MONEY & one["parameters"].keys() for one in options.get("loosenings", ()))
    return "" if is_said else f": the least that lets it through is {pounds(limits['price_to_fit_gbp'])}"


def _lacking(binding: str | None, limits: Document) -> str:
    """Return what forbids everything, and of a resource how much it needs."""
    if binding is None or binding == "site_open":
        return "no site that it allows is ACTIVE"
    if binding == "horizon":  # refuses the last half hours to any job: what refused the others is what lacks
        named = [limit["limit"] for limit in limits["limits"] if limit["options_refused"]]
        binding = next((name for name in reversed(named) if name not in ("latest_end", "horizon")), binding)
    if binding not in RESOURCES:
        return forbidden(binding)
    needs = next(limit["value"] for limit in limits["limits"] if limit["limit"] == binding)
    return f"{forbidden(binding)} (it needs {amount(needs)} {RESOURCES[binding]})"


def _too_long(job: Document, limits: Document) -> str:
    """Return how long a job may be, for one that is longer than what is planned."""
    ends = [job["latest_end"], *(limit["value"] for limit in limits["limits"] if limit["limit"] == "horizon")]
    reach = min(map(datetime.fromisoformat, ends)) - datetime.fromisoformat(job["earliest"])
    return (
        f"it runs {job['duration_mins']:,} minutes, and no more than the next {int(reach.total_seconds() // 60):,}"
        " are planned. Submit it in parts that are shorter than that"
    )


def _no_site(job: Document, options: Document) -> str:
    """Return why no site could hold it even if it were empty."""
    if not options["refused"]:
        return "you have no data centre. Register one with register_data_centre"
    allowed = job["allowed_region_ids"]
    if all(site["refused_by"] == "region" for site in options["refused"]):
        return f"no site of yours is in {listed((f'region {one} ({_REGIONS[one]})' for one in allowed), 'or')}"
    where = "you have" if allowed is None else "in the regions it allows"
    short_of = [
        f"it needs {amount(one['needs'])} {RESOURCES[one['limit']]}, and the largest site {where}, {place(one)}, "
        f"has {amount(one['most'])}{_HAS.get(one['limit'], '')}"
        for one in job.get("short_of", ())
    ]
    return "; ".join(short_of) or f"no site {where} has all that it needs, even empty"


def _loosened(inputs: Document, options: Document) -> Iterator[str]:
    """Yield with which change of its limits it would fit, the cheapest first."""
    found = options.get("loosenings", ())
    if not found:
        return
    one = "that" if len(found) == 1 else "one of these"
    is_over = found[0]["action"] == "submit_workload"
    anew = f"submit it anew with {one} in place, under another job_id"
    yield f"It would fit with {_ways(inputs, options)}: {anew if is_over else f'send {one} with amend_workload'}."


def _ways(inputs: Document, options: Document) -> str:
    ways = [
        f"{listed(_change(name, value) for name, value in one['parameters'].items() if name != 'job_id')} "
        f"({when(one['option'], inputs['now'])} at {place(one['option'])}, "
        f"{pounds(total(one['option']) or 0.0)} in all)"
        for one in options.get("loosenings", ())
    ]
    return ", or with ".join(ways)


def _urgent(inputs: Document) -> Iterator[str]:
    if not inputs["job"].get("may_wait", True) and "by_hand" not in inputs:
        yield "It is CRITICAL and names neither a deadline nor a deferral window, so it runs as soon as it can."


def _ended_by(job: Document) -> str:
    return {"deadline": "deadline", "deferral_window_mins": "latest end"}[job["latest_end_by"]]


def _caveats(inputs: Document) -> Iterator[str]:
    missing = inputs["missing"]
    if missing["known_nowhere"]:
        yield f"Known nowhere and so in no sum: {listed(missing['known_nowhere'])}."
    if inputs["simulated"]:
        yield f"Rests on simulated {listed(inputs['simulated'])}."


def _terms(name: str, option: Document) -> str:
    shown = ", ".join(f"{term} {pounds(cost)}" for term, cost in costs(option).items() if cost) or "nothing"
    named = {"chosen": "The choice", "baseline": "The baseline (run now at origin)", "standing": "The booking"}[
        name
    ]
    why = option["refused_by"]
    broken = "" if why is None else f"; it was not possible: {refused(option)}"
    in_all = total(option)
    if in_all is None:
        return f"{named} has no total, as {_unknown(option)}: {shown}{broken}."
    return f"{named} costs {pounds(in_all)}: {shown}{broken}."


def _alternative(option: Document, inputs: Document) -> str:
    best = when(option, inputs["now"]).removesuffix(",")
    return f"At {place(option)} it would best run {best}, for {pounds(total(option) or 0.0)}."


def _limit(limit: Document) -> str:
    value = (
        ""
        if limit["value"] is None
        else f" ({_said(limit['value'])}{' ' + limit['unit'] if limit['unit'] else ''})"
    )
    count = limit["options_refused"]
    return f"The limit {limit['limit']}{value} refused {count:,} option{'' if count == 1 else 's'}."


def _without_option(refused: Iterable[Document]) -> Iterator[str]:
    """Yield the sites that have no option, those that the same limit stopped in one sentence."""
    stopped: dict[str, list[str]] = {}
    for site in refused:
        stopped.setdefault(site["refused_by"], []).append(place(site))
    for limit, places in stopped.items():
        more = len(places) - _MOST_SITES
        shown = listed(places) if more <= 0 else listed([*places[:_MOST_SITES], f"{more} more"])
        yield f"No option at {shown}: {forbidden(limit)}."


def _said(value: Any) -> str:
    if isinstance(value, list):
        return listed(value)
    return amount(value) if isinstance(value, float | int) else str(value)


def _change(name: str, value: Any) -> str:
    """Return a parameter with its value as it is to be sent."""
    if isinstance(value, list) or value is None:
        return f"{name} {'null' if value is None else listed(value)}"
    if name in _MONEY:
        return f"{name} {value:.2f}{' for its energy' if name == 'max_price_gbp' else ''}"
    return f"{name} {value}"


def _intensity(option: Document) -> float | None:
    """Return the mean carbon intensity in gCO2/kWh."""
    if option["carbon_gco2"] is None or not option["energy_kwh"]:
        return None
    return float(option["carbon_gco2"] / option["energy_kwh"])


def _pue(option: Document, inputs: Document) -> str:
    it_kwh = 1000 * inputs["job"]["it_power_mw"] * inputs["job"]["duration_mins"] / 60
    return f"{option['energy_kwh'] / it_kwh:.2f}"
