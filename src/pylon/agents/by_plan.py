"""By plan: the places that the standing plan has for workloads, looked at again before they are had.

The moves of a plan belong together: one may have room only when another has left, and some cost more so that others
cost less. So those that can all be had are made together, each with a decision of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from pylon.agents import jobs, reasons, standing
from pylon.agents.contract import Booking, Place, View
from pylon.agents.jobs import Placing
from pylon.agents.reasons import Case
from pylon.ontology import calendar
from pylon.ontology.compute import ComputeWorkload
from pylon.planning import arrival
from pylon.planning.field import Field, Job, Option, Weights

__all__ = ["case_of", "moves", "place_of"]

Spans = tuple[tuple[float, float], ...]

_OLD: Final = timedelta(hours=6)
"""A plan that was made so long ago moves no booking any more: signals and the fleet have changed since."""


def place_of(view: View, workload: ComputeWorkload) -> Place | None:
    """Return where and when the standing plan has a workload run; None when nowhere, or that has begun already."""
    place = None if view.plan is None else view.plan.places.get(workload.id)
    if place is None or view.site(place.data_centre_id) is None:
        return None
    return place if place.spans[0].starts_at >= jobs.full_second(view.now) else None


def case_of(view: View, workload: ComputeWorkload, config: Placing) -> Case | None:
    """Return the case of a workload that is booked nowhere, with the place that the plan has for it as its choice.

    None when there is none, and when a limit forbids it as signals and room are by now. Its own choice stays where
    that costs less and the plan puts no price on it: a plan has whole half hours, and none that has begun.
    """
    move = _move(view, workload, config)
    if move is None or _refused(view.field, move, config.weights):
        return None
    alone = reasons.consider(view, move.seen, config.weights)
    case = reasons.as_planned(alone, _told(view, move.place, 1, of=1))
    own, planned = alone.placement.chosen, case.placement.chosen
    if own is None or planned is None or not _is_free(view, own):
        return case
    return alone if _paid(own) < _paid(planned) else case


def moves(
    view: View, workloads: Iterable[ComputeWorkload], config: Placing, churn_gbp: Callable[[float], float]
) -> tuple[list[Case], View]:
    """Return the moves that the plan comes to for these workloads, and the view after them.

    Those whose place cannot be had as signals and room are by now stay, and with them those that need their room.
    Nothing booked moves for a plan of more than six hours ago, nor when that saves less than leaving costs:
    `churn_gbp` of what the present place costs. What does not run has its place all the same if nobody need leave
    for it; only what can run in no other way counts, by its worth, for the moves of others.
    """
    found = [move for one in workloads if (move := _move(view, one, config)) is not None]
    found = _worth_making(view, found, config.weights, churn_gbp)
    if not found:
        return [], view
    cases, field = [], _without(view.field, found)
    for number, move in enumerate(found, 1):
        held = field if move.held is None else jobs.with_room(field, move.job, *move.held, taken=True)
        alone = reasons.consider(replace(view, field=held), move.seen, config.weights, move.booking)
        case = reasons.as_planned(alone, _told(view, move.place, number, of=len(found)))
        cases.append(case)
        field = jobs.with_room(case.view.field, move.job, move.site, move.spans, taken=True)
    return cases, replace(view, field=field)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A workload whose place in the plan is not where it stands."""

    seen: Mapping[str, Any]
    job: Job
    """Without what it is worth: the plan has weighed that for all."""
    worth_gbp: float
    """That; NaN when it is always worth running."""
    booking: Booking | None
    held: tuple[int, Spans] | None
    """The site and the times at which it stands."""
    place: Place
    site: int
    spans: Spans


def _move(view: View, workload: ComputeWorkload, config: Placing) -> _Move | None:
    place, booking = place_of(view, workload), view.bookings.get(workload.id)
    if place is None:
        return None
    if booking is not None and (_is_between(booking) or _is_at(booking, place)):
        return None
    seen = jobs.describe(view, workload, config)
    stands = None if booking is None else view.site(booking.data_centre_id)
    site = view.site(place.data_centre_id)
    assert site is not None  # noqa: S101  `place_of` has looked
    job = jobs.read(view, seen)
    return _Move(
        seen=seen,
        job=replace(job, value_gbp=math.nan),
        worth_gbp=job.value_gbp,
        booking=booking,
        held=None if booking is None or stands is None else (stands, jobs.spans_of(view, booking)),
        place=place,
        site=site,
        spans=jobs.spans_of(view, place),
    )


def _is_at(booking: Booking, place: Place) -> bool:
    return (booking.data_centre_id, booking.spans) == (place.data_centre_id, place.spans)


def _is_between(booking: Booking) -> bool:
    """Return whether a booking begins within a half hour: no plan has that, so it was found to be better since."""
    return any(span.starts_at != calendar.floor(span.starts_at) for span in booking.spans)


def _worth_making(
    view: View, found: Sequence[_Move], weights: Weights, churn_gbp: Callable[[float], float]
) -> list[_Move]:
    """Return the moves that can be made together, if they are worth it; else those for which nobody leaves."""
    alone = _together(view, [move for move in found if move.booking is None], weights)
    if view.plan is None or view.plan.made_at <= view.now - _OLD:
        return alone
    together = _together(view, found, weights)
    has_place = {id(move) for move in alone}
    counted = [move for move in together if id(move) not in has_place]
    return together if _gain(view, together, counted, weights, churn_gbp) > 0 else alone


def _together(view: View, found: Sequence[_Move], weights: Weights) -> list[_Move]:
    """Return those of the moves that can all be made, in their order."""
    wanted, possible = list[_Move](), list(found)
    while len(possible) != len(wanted):
        wanted, possible = possible, []
        field = _without(view.field, wanted)
        for move in wanted:
            if not _refused(field, move, weights):
                possible.append(move)
                jobs.occupy(field.room, move.site, move.spans, _needs(field, move, move.site))
    return possible


def _without(field: Field, found: Iterable[_Move]) -> Field:
    """Return the field with the room of all these workloads given back."""
    room = field.room.copy()
    for move in found:
        if move.held is not None:
            site, spans = move.held
            jobs.occupy(room, site, spans, -_needs(field, move, site))
    return replace(field, room=room)


def _needs(field: Field, move: _Move, site: int) -> Any:
    return jobs.needs(move.job, float(field.pue[site]))


def _refused(field: Field, move: _Move, weights: Weights) -> bool:
    return arrival.evaluate(move.job, field, weights, move.site, move.spans).refused_by is not None


def _gain(
    view: View,
    found: Sequence[_Move],
    counted: Iterable[_Move],
    weights: Weights,
    churn_gbp: Callable[[float], float],
) -> float:
    """Return what those of the moves that are counted save in GBP, less what leaving costs."""
    field, gain = _without(view.field, found), []
    for move in counted:
        cost = _paid(arrival.evaluate(move.job, field, weights, move.site, move.spans))
        if move.booking is None:
            gain.append(math.inf if math.isnan(move.worth_gbp) else move.worth_gbp - cost)
        elif move.held is not None and move.held[1][0][0] >= 0:
            before = _paid(arrival.evaluate(move.job, field, weights, *move.held))
            gain.append(before - cost - churn_gbp(before))
    return math.fsum(gain)


def _is_free(view: View, option: Option) -> bool:
    """Return whether the plan puts no price on any limit of the site while the option is there."""
    plan, site = view.plan, [view.sites[option.site].id]
    columns = jobs.columns(option.spans, view.field.half_hours)
    return plan is None or not any(
        standing.over(plan, limit, site, view.starts_at, view.field.half_hours)[0, columns].any()
        for limit in plan.prices
    )


def _paid(option: Option) -> float:
    """Return what an option costs; what room is worth to others is in the plan already."""
    return option.terms.total - option.terms.scarcity


def _told(view: View, place: Place, number: int, *, of: int) -> dict[str, Any]:
    """Return what a decision keeps of the plan's choice: it is move `number` of so many that belong together."""
    plan = view.plan
    assert plan is not None  # noqa: S101  the place is of this plan
    return {
        "id": str(plan.id),
        "plan_id": plan.plan_id,
        "gap": plan.gap,
        "number": number,
        "of": of,
        "data_centre_id": str(place.data_centre_id),
        "spans": [jobs.interval(span.starts_at, span.ends_at) for span in place.spans],
    }
