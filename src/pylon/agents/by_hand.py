"""By hand: what a place and time that somebody has chosen come to, and the decision that records the choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pylon.agents import jobs, reasons
from pylon.agents._options import short_of, written
from pylon.agents._phrases import forbidden, place, pounds, total, when
from pylon.agents._words import given_up, headline
from pylon.agents.contract import Draft, Span, View
from pylon.agents.jobs import Placing
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DecisionType
from pylon.planning import arrival
from pylon.planning.field import Job, Option

__all__ = ["Refusal", "chosen", "recompute", "refusals"]

Refusal = dict[str, Any]


def refusals(
    view: View, workload: ComputeWorkload, config: Placing, data_centre_id: UUID, spans: Sequence[Span]
) -> list[Refusal]:
    """Return why `workload` cannot run at a data centre in `spans`: nothing when it can.

    What it holds now is given back first. Every limit but the worth of the job holds: whoever chooses by hand may
    run it at a loss, and the decision says so.
    """
    if unfit := _unfit(view, workload, spans):
        return unfit
    job = jobs.read(view, _described(view, workload, config))
    booking = view.bookings.get(workload.id)
    if booking is not None and (held := view.site(booking.data_centre_id)) is not None:
        spans_held = jobs.spans_of(view, booking)
        view = replace(view, field=jobs.with_room(view.field, job, held, spans_held, taken=False))
    option = arrival.evaluate(job, view.field, config.weights, _site(view, data_centre_id), _minutes(view, spans))
    return [] if option.refused_by is None else [_refusal(option.refused_by, view, job, option)]


def chosen(
    view: View,
    workload: ComputeWorkload,
    config: Placing,
    decision_type: DecisionType,
    why: str | None,
    place: tuple[UUID, Sequence[Span]] | None,
) -> Draft:
    """Return the decision by which somebody books a workload at a place and time that nothing refuses.

    Without a place it is put off, or rejected, for a reason of their own.
    """
    choice = {
        "decision_type": decision_type.value,
        "why": why,
        "data_centre_id": None if place is None else str(place[0]),
        "spans": None if place is None else [jobs.interval(span.starts_at, span.ends_at) for span in place[1]],
    }
    seen = jobs.describe(view, workload, config) if place is None else _described(view, workload, config)
    case = reasons.consider(view, seen, config.weights, booking=view.bookings.get(workload.id))
    return _draft(case, choice)


def recompute(view: View, inputs: Mapping[str, Any]) -> Draft:
    """Return the decision again, from the `inputs` it recorded and the view they name."""
    return _draft(reasons.considered(view, inputs), inputs["by_hand"])


def _draft(case: reasons.Case, choice: Mapping[str, Any]) -> Draft:
    """Return the decision for what was chosen, whatever the planner would have."""
    option = None
    if choice["data_centre_id"] is not None:
        spans = [Span(jobs.moment(span["starts_at"]), jobs.moment(span["ends_at"])) for span in choice["spans"]]
        site = _site(case.view, UUID(choice["data_centre_id"]))
        job = jobs.read(case.view, case.seen)  # by hand it may wait, whatever the planner would have
        option = arrival.evaluate(job, case.view.field, case.weights, site, _minutes(case.view, spans))
    draft = reasons.draft_of(replace(case, placement=replace(case.placement, chosen=option)))
    inputs = {**draft.inputs, "by_hand": dict(choice)}
    reasoning = headline(draft.decision_type, inputs, draft.constraints, draft.alternatives)
    told = [
        "Chosen by hand." if option else "Asked for by hand.",
        *([reasoning, *_cheaper(case, option)] if option else given_up(inputs, draft.alternatives)),
        *([_reason_given(choice["why"])] if choice["why"] else []),
    ]
    return replace(
        draft,
        decision_type=DecisionType(choice["decision_type"]),
        inputs=inputs,
        reasoning=" ".join(told),
    )


def _cheaper(case: reasons.Case, option: Option) -> Iterator[str]:
    by_planner = case.placement.chosen
    if by_planner is None:
        return
    by_hand, better = (written(case.view, case.job, case.placement, one) for one in (option, by_planner))
    gap = (total(by_hand) or 0.0) - (total(better) or 0.0)
    if gap > 0.005:
        at = f"{when(better, jobs.instant(case.view.now))} at {place(better)}"
        yield f"The planner's own choice, {at}, is {pounds(gap)} cheaper in all."


def _reason_given(why: str) -> str:
    return f"Reason given: {why}{'' if why.endswith(('.', '!', '?')) else '.'}"


def _described(view: View, workload: ComputeWorkload, config: Placing) -> dict[str, Any]:
    return {**jobs.describe(view, workload, config), "value_gbp": None, "value_by": None}


def _site(view: View, data_centre_id: UUID) -> int:
    site = view.site(data_centre_id)
    assert site is not None  # noqa: S101  the operator's data centres are all in its view
    return site


def _minutes(view: View, spans: Sequence[Span]) -> list[tuple[float, float]]:
    return [(view.minutes(span.starts_at), view.minutes(span.ends_at)) for span in spans]


def _unfit(view: View, workload: ComputeWorkload, spans: Sequence[Span]) -> list[Refusal]:
    """Return why these spans could be no run of this job at all."""
    found = []
    if len(spans) > 1 and not workload.interruptible:
        found.append(("interruptible", f"{workload.job_id} cannot be interrupted. Give one span."))
    length = sum((span.ends_at - span.starts_at for span in spans), timedelta())
    if length != timedelta(minutes=workload.duration_mins):
        mins = length.total_seconds() / 60
        found.append(
            ("duration", f"The spans last {mins:g} min, but {workload.job_id} runs {workload.duration_mins} min.")
        )
    if spans[0].starts_at < view.now.replace(microsecond=0):
        begins = f"{spans[0].starts_at:%Y-%m-%d %H:%M:%S} UTC"
        found.append(("not_past", f"{begins} is past; it is {view.now:%Y-%m-%d %H:%M:%S} UTC. Begin now or later."))
    return [{"code": code, "detail": detail} for code, detail in found]


def _refusal(limit: str, view: View, job: Job, option: Option) -> Refusal:
    dc_id = view.sites[option.site].dc_id
    begins, ends = view.at(option.begins), view.at(option.ends)
    return {
        "code": limit,
        "detail": f"{dc_id} from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC: "
        f"{forbidden(limit, short_of(view, job, option))}.",
        "dc_id": dc_id,
    }
