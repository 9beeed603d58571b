"""Reasons: what a placement comes to as a decision, written down so that a reader can recompute every figure of it.

Each figure is rounded once, when it is written; totals, savings and sentences are made of the rounded figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, Literal
from uuid import UUID

import numpy as np

from pylon.agents import _options, _words, jobs
from pylon.agents.contract import Booking, Draft, Span, View
from pylon.agents.loosenings import loosenings, placed
from pylon.ontology import carbon
from pylon.ontology.enums import CarbonIndex, DecisionType
from pylon.planning import arrival
from pylon.planning.arrival import LIMITS, Placement
from pylon.planning.field import HALF_HOUR_MINS, RESOURCES, Job, Option, Weights

__all__ = [
    "SAME_MINS",
    "Case",
    "Verdict",
    "as_planned",
    "consider",
    "considered",
    "draft_of",
    "explain",
    "recompute",
    "refusal",
]

Reason = Literal["carbon", "price", "stress", "room"]

SAME_MINS: Final = 5.0
"""A job that ends within this of when it would have ended anyway is not called postponed."""

_OTHERS: Final = 5
_GREEN: Final = (CarbonIndex.VERY_LOW, CarbonIndex.LOW)
_UNITS: Final = {
    "power_mw": "MW of IT",
    "memory_gb": "GB",
    "carbon_cap": "gCO2/kWh",
    "max_price": "GBP",
    "value": "GBP",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One workload before its agent: what was seen of it, where it could go, and the booking that stands."""

    view: View
    """With the room that its own booking takes given back."""
    seen: Mapping[str, Any]
    job: Job
    weights: Weights
    placement: Placement
    booking: Booking | None
    standing: Option | None
    """What the booking comes to today; None also when it was to begin before the field does."""
    by_plan: Mapping[str, Any] | None = None
    """The place that a plan of the whole fleet chose, and which plan; None when the workload was placed alone."""

    @cached_property
    def verdict(self) -> Verdict:
        """What is decided, from the difference between the choice and running now at origin."""
        return _verdict(self)

    @cached_property
    def now(self) -> Option | None:
        """Running now where it is to run: the baseline where that is there."""
        chosen, baseline = self.placement.chosen, self.placement.baseline
        if chosen is None:
            return None
        if baseline is not None and baseline.site == chosen.site:
            return baseline
        span = (self.job.earliest_mins, self.job.earliest_mins + self.job.duration_mins)
        return arrival.evaluate(self.job, self.view.field, self.weights, chosen.site, [span])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a placement comes to: the type of the decision, and what the workload waits for if it waits."""

    decision_type: DecisionType
    waits_for: Reason | None = None


def consider(view: View, seen: Mapping[str, Any], weights: Weights, booking: Booking | None = None) -> Case:
    """Return the case of a workload as `jobs.describe` told of it; its own booking is given up first.

    One that may not wait is placed to end as soon as it can, and where that costs least.
    """
    job, standing = jobs.read(view, seen), None
    site = None if booking is None else view.site(booking.data_centre_id)
    if booking is not None and site is not None:
        spans = jobs.spans_of(view, booking)
        view = replace(view, field=jobs.with_room(view.field, job, site, spans, taken=False))
        if spans[0][0] >= 0:
            standing = arrival.evaluate(job, view.field, weights, site, spans)
    job, placement = placed(view, seen, job, weights)
    return Case(
        view=view, seen=seen, job=job, weights=weights, placement=placement, booking=booking, standing=standing
    )


def as_planned(case: Case, by_plan: Mapping[str, Any]) -> Case:
    """Return the case with the place that a plan chose, as `by_plan` tells of it, in that of its own choice."""
    site = case.view.site(UUID(by_plan["data_centre_id"]))
    assert site is not None  # noqa: S101  whoever asks has looked
    spans = [
        (case.view.minutes(jobs.moment(span["starts_at"])), case.view.minutes(jobs.moment(span["ends_at"])))
        for span in by_plan["spans"]
    ]
    job = replace(case.job, value_gbp=math.nan)  # what it is worth was weighed for all at once
    option = arrival.evaluate(job, case.view.field, case.weights, site, spans)
    return replace(case, placement=replace(case.placement, chosen=option), by_plan=by_plan)


def _verdict(case: Case) -> Verdict:
    chosen, baseline = case.placement.chosen, case.placement.baseline
    if chosen is None or case.now is None:
        return _without_option(case)
    is_shifted = baseline is not None and chosen.site != baseline.site
    why = _why_later(chosen, case.now, may_wait=case.seen.get("may_wait", True))
    if is_shifted:
        return Verdict(DecisionType.SHIFT_REGION, why)
    if why is None or why == "room":
        return Verdict(DecisionType.ACCEPT_WORKLOAD, why)
    return Verdict(_type_of(case, chosen, why), why)


def draft_of(case: Case) -> Draft:
    """Return the decision with its documents."""
    verdict, view = case.verdict, case.view
    inputs, limits, options = _inputs(case), _constraints(case), _alternatives(case)
    chosen, baseline = options["chosen"], options["baseline"]
    return Draft(
        decision_type=verdict.decision_type,
        reasoning=_words.headline(verdict.decision_type, inputs, limits, options),
        inputs=inputs,
        constraints=limits,
        alternatives=options,
        workload_id=UUID(case.seen["workload_id"]),
        source_dc_id=_id_of(case.seen["origin_data_centre_id"]),
        target_dc_id=view.sites[case.placement.chosen.site].id if case.placement.chosen else None,
        carbon_saved_gco2=_options.less(baseline, chosen, itemgetter("carbon_gco2"), 2),
        cost_saved_gbp=_options.less(baseline, chosen, _options.money, 4),
        is_simulated=bool(case.seen["is_simulated"] or _made_up_sites(case)),
    )


def explain(decision: Mapping[str, Any]) -> list[str]:
    """Return why a decision was made, in sentences with their numbers, from its stored documents alone.

    `decision` has the columns of `orchestration_decisions`.
    """
    return _words.sentences(
        str(decision["reasoning"]),
        decision["inputs"],
        decision["constraints_evaluated"],
        decision["alternatives_considered"],
    )


def refusal(draft: Draft) -> str:
    """Return why an amendment that `draft` would reject is refused, and what would do instead."""
    return _words.refusal(draft.inputs, draft.constraints, draft.alternatives)


def recompute(view: View, inputs: Mapping[str, Any]) -> Draft:
    """Return the decision again from the `inputs` it recorded and the view they name.

    `view` has the room as it was just before: that of its kept content, changed by each decision after `after_seq`.
    """
    return draft_of(considered(view, inputs))


def considered(view: View, inputs: Mapping[str, Any]) -> Case:
    """Return the case that a decision was made on, from the `inputs` it recorded and the view they name."""
    standing = inputs["standing"]
    booking = None if standing is None else _booking(standing)
    case = consider(view, inputs["job"], Weights(**inputs["weights"]), booking)
    return as_planned(case, inputs["by_plan"]) if "by_plan" in inputs else case


def _without_option(case: Case) -> Verdict:
    """Return the verdict on a workload that nothing fits: what it waits for, or that it waits for nothing."""
    binding = case.placement.binding
    if case.placement.price_to_fit_gbp is not None:
        return Verdict(DecisionType.NEGOTIATE, "price")
    if binding == "region" or not _has_time_left(case) or not case.seen["fits_some_site"]:
        return Verdict(DecisionType.REJECT_WORKLOAD)
    return Verdict(DecisionType.DEFER_WORKLOAD, "carbon" if binding == "carbon_cap" else "room")


def _has_time_left(case: Case) -> bool:
    """Return whether it could still start a minute from now."""
    job = case.job
    return (
        case.placement.binding != "latest_end"
        and (job.earliest_mins + 1 + job.duration_mins <= job.latest_end_mins)
        and job.duration_mins <= HALF_HOUR_MINS * case.view.field.half_hours
    )


def _why_later(chosen: Option, now: Option, *, may_wait: bool) -> Reason | None:
    """Return what is gained by running later than `now`, the largest term; None when it does not run later."""
    if chosen.ends <= now.ends + SAME_MINS:
        return None
    if now.terms.total <= chosen.terms.total or not may_wait:  # so a limit forbids running now
        if now.refused_by == "carbon_cap":
            return "carbon"
        return "price" if now.refused_by in ("max_price", "value") else "room"
    gains: dict[Reason, float] = {
        "carbon": _gain(now.terms.carbon, chosen.terms.carbon),
        "price": _gain(now.terms.energy, chosen.terms.energy),
        "stress": _gain(now.terms.stress, chosen.terms.stress),
        "room": _gain(now.terms.scarcity, chosen.terms.scarcity),
    }
    return max(gains, key=lambda why: gains[why])


def _gain(before: float, after: float) -> float:
    gain = before - after
    return 0.0 if math.isnan(gain) else gain


def _type_of(case: Case, chosen: Option, why: Reason) -> DecisionType:
    if why == "price":
        return DecisionType.PRICE_OPTIMIZATION
    if why == "stress":
        return DecisionType.DEFER_WORKLOAD
    year = case.view.at(chosen.begins).year
    is_green = chosen.energy_mwh > 0 and carbon.index(chosen.carbon_kg / chosen.energy_mwh, year) in _GREEN
    return DecisionType.RENEWABLE_WINDOW if is_green else DecisionType.CARBON_OPTIMIZATION


def _inputs(case: Case) -> dict[str, Any]:
    view, booking = case.view, case.booking
    plan = {} if view.plan is None else {"plan": {"plan_id": view.plan.plan_id, "gap": view.plan.gap}}
    return {
        **plan,
        **({} if case.by_plan is None else {"by_plan": dict(case.by_plan)}),
        "view": view.digest,
        "after_seq": view.after_seq,
        "now": jobs.instant(view.now),
        "starts_at": jobs.instant(view.starts_at),
        "job": dict(case.seen),
        "weights": {
            "carbon_price_gbp_t": case.weights.carbon_price_gbp_t,
            "stress_price_gbp_mwh": case.weights.stress_price_gbp_mwh,
        },
        "standing": None if booking is None else _standing(case, booking),
        "simulated": list(_simulated(case)),
        "missing": {
            "known_nowhere": list(case.placement.left_out),
            "baseline_lacks": _options.lacks(case.placement, case.placement.baseline),
            "half_hours_without_stress": int(np.isnan(view.field.stress).sum()),
        },
    }


def _standing(case: Case, booking: Booking) -> dict[str, Any]:
    """Return the booking that stands, with the room that it takes up: replacing it gives that back."""
    site = case.view.site(booking.data_centre_id)
    taken = None if site is None else jobs.needs(case.job, float(case.view.field.pue[site])).tolist()
    return {
        "data_centre_id": str(booking.data_centre_id),
        "spans": [jobs.interval(span.starts_at, span.ends_at) for span in booking.spans],
        "decision_id": None if booking.decision_id is None else str(booking.decision_id),
        "is_by_hand": booking.is_by_hand,
        "takes": None if taken is None else dict(zip(RESOURCES, taken, strict=True)),
    }


def _simulated(case: Case) -> Iterator[str]:
    """Yield what the decision rests on that Pylon made up; the sites too, where the job itself is a real one."""
    yield from case.view.simulated
    if not case.seen["is_simulated"] and (made_up := _made_up_sites(case)):
        yield "site" if len(made_up) == 1 else "sites"


def _made_up_sites(case: Case) -> set[int]:
    """Return the simulated ones of the sites that the decision is about: all of them where none is chosen."""
    chosen, baseline = case.placement.chosen, case.placement.baseline
    everywhere = range(len(case.view.sites))
    about = everywhere if chosen is None else [option.site for option in (chosen, baseline) if option is not None]
    return {site for site in about if case.view.sites[site].is_simulated}


def _constraints(case: Case) -> dict[str, Any]:
    placement, values = case.placement, _limit_values(case)
    baseline = placement.baseline
    return {
        "limits": [
            {
                "limit": limit,
                "value": values.get(limit),
                "unit": _UNITS.get(limit),
                "options_refused": placement.refused.get(limit, 0),
            }
            for limit in LIMITS
            if values.get(limit) is not None or placement.refused.get(limit, 0)
        ],
        "binding": placement.binding,
        "price_to_fit_gbp": None
        if placement.price_to_fit_gbp is None
        else math.ceil(placement.price_to_fit_gbp * 100 - 1e-9) / 100,
        "baseline_infeasible": None if baseline is None else baseline.refused_by,
        "is_exact": placement.is_exact,
    }


def _limit_values(case: Case) -> dict[str, Any]:
    seen = case.seen
    taken = (seen["it_power_mw"], seen["gpus"], seen["cpu_cores"], seen["memory_gb"])
    return {
        "region": seen["allowed_region_ids"],
        **{name: value or None for name, value in zip(RESOURCES, taken, strict=True)},
        "latest_end": jobs.instant(case.view.at(case.job.latest_end_mins)),
        "horizon": jobs.instant(case.view.half_hour(case.view.field.half_hours)),
        "carbon_cap": seen["carbon_cap_gco2_kwh"],
        "max_price": seen["max_price_gbp"],
        "value": seen["value_gbp"],
    }


def _alternatives(case: Case) -> dict[str, Any]:
    placement, standing = case.placement, case.standing
    taken = None if case.placement.chosen is None else case.placement.chosen.site
    others = sorted(
        (found for found in placement.by_site if isinstance(found, Option) and found.site != taken),
        key=lambda option: option.terms.total,
    )
    return {
        "baseline_is": "run now at origin",
        "chosen": _option(case, case.placement.chosen),
        "baseline": _option(case, placement.baseline),
        "now": _option(case, case.now) if _is_told_by_now(case) else None,
        "standing": _option(case, standing),
        "to_fit": _option(case, placement.to_fit),
        "loosenings": list(_loosenings(case)),
        "others": [_option(case, option) for option in others[:_OTHERS]],
        "refused": [
            {**_options.site(case.view, found.site), "refused_by": found.limit}
            for found in placement.by_site
            if not isinstance(found, Option)
        ],
    }


def _is_told_by_now(case: Case) -> bool:
    """Return whether running now at the chosen site is what waiting is told against, for want of a baseline."""
    return case.placement.baseline is None and case.verdict.waits_for is not None


def _loosenings(case: Case) -> Iterator[dict[str, Any]]:
    """Yield the actions with which a job that does not fit would. One that is turned down is submitted anew."""
    is_over = case.verdict.decision_type is DecisionType.REJECT_WORKLOAD
    for loosened in loosenings(case.view, case.seen, case.job, case.weights, case.placement):
        job = {} if is_over else {"job_id": case.seen["job_id"]}
        yield {
            "action": "submit_workload" if is_over else "amend_workload",
            "parameters": {**job, **loosened.changes},
            "option": _option(case, loosened.option),
        }


def _option(case: Case, option: Option | None) -> dict[str, Any] | None:
    return None if option is None else _options.written(case.view, case.job, case.placement, option)


def _id_of(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def _booking(standing: Mapping[str, Any]) -> Booking:
    return Booking(
        data_centre_id=UUID(standing["data_centre_id"]),
        spans=tuple(
            Span(jobs.moment(span["starts_at"]), jobs.moment(span["ends_at"])) for span in standing["spans"]
        ),
        decision_id=_id_of(standing["decision_id"]),
        is_by_hand=standing.get("is_by_hand", False),
    )
