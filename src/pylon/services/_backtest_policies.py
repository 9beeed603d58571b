"""Who decides in a back-test, on the same work and limits: run at once, one by one, Pylon, perfect foresight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np

from pylon.agents import fleet_plan, jobs
from pylon.agents.carbon_optimizer import Optimizing
from pylon.agents.contract import Booking, Span, View
from pylon.ontology.compute import ComputeWorkload
from pylon.planning import arrival, fleet
from pylon.planning.field import HALF_HOUR_MINS, Field, Floats, Job
from pylon.services._backtest_world import SIMULATED, World

__all__ = ["Decided", "Gap", "Place", "greedy", "perfect", "rolling", "run_now"]

Spans = Sequence[tuple[float, float]]

_ROOM_SLACK: Final = 1e-6


class Gap(NamedTuple):
    """How much less the best plan might have cost at most, and below which no plan costs."""

    gap_gbp: float
    bound_gbp: float


class Place(NamedTuple):
    """Where and when a workload runs: its site by number, and its half hours in order."""

    site: int
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What became of the work under one policy."""

    places: Mapping[UUID, Place]
    """By workload; those that did not run are not there."""
    moves: tuple[UUID, ...] = ()
    """Workloads that had a place and got another, as often as they did."""
    gaps: tuple[Gap, ...] = ()
    """Of each plan."""
    broken: frozenset[UUID] = frozenset()
    """Workloads for which there was no room where they ran."""
    hopeless: frozenset[UUID] = frozenset()
    """Workloads that could not have run within their own limits if they had been alone, whatever they are worth."""


@dataclass(slots=True, kw_only=True)
class _Ledger:
    """What has been booked, and the room that is left."""

    world: World
    room: Floats
    """(4, D, T)."""
    places: dict[UUID, Place] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World) -> _Ledger:
        return cls(world=world, room=world.room.copy())

    def book(self, workload: ComputeWorkload, place: Place) -> None:
        self.places[workload.id] = place
        self._occupy(workload, place, 1)

    def release(self, workload: ComputeWorkload) -> Place:
        place = self.places.pop(workload.id)
        self._occupy(workload, place, -1)
        return place

    def has_room(self, workload: ComputeWorkload, place: Place) -> bool:
        free = self.room[:, place.site, place.slots]
        return bool((free >= self.needs(workload, place.site)[:, None] - _ROOM_SLACK).all())

    def needs(self, workload: ComputeWorkload, site: int) -> Floats:
        """Return what a workload takes up of each of `planning.field.RESOURCES` at a site."""
        return np.array(
            [
                float(workload.power_kw) / 1000 * float(self.world.sites[site].pue),
                (workload.required_gpu_mins or 0) / workload.duration_mins,
                float(workload.required_cpu_cores or 0),
                float(workload.required_memory_gb or 0),
            ]
        )

    def _occupy(self, workload: ComputeWorkload, place: Place, sign: int) -> None:
        self.room[:, place.site, place.slots] -= sign * self.needs(workload, place.site)[:, None]


def run_now(world: World) -> Decided:
    """Run everything at its origin at once, whatever limits say."""
    ledger, broken = _Ledger.of(world), set()
    rows = {site.id: row for row, site in enumerate(world.sites)}
    for slot, those in enumerate(world.arrivals):
        for workload in those:
            assert workload.origin_dc_id is not None  # noqa: S101  every simulated workload has one
            half_hours = workload.duration_mins // HALF_HOUR_MINS
            place = Place(rows[workload.origin_dc_id], tuple(range(slot, slot + half_hours)))
            if not ledger.has_room(workload, place):
                broken.add(workload.id)
            ledger.book(workload, place)
    return Decided(places=ledger.places, broken=frozenset(broken))


def greedy(world: World, config: Optimizing) -> Decided:
    """Place each workload as it arrives where it costs least by the forecast of the time, and never again."""
    ledger = _Ledger.of(world)
    for slot, those in enumerate(world.arrivals):
        if those:
            view = _view(world, slot, world.forecast(slot, ledger.room))
            _place_arrivals(ledger, view, those, config)
    return Decided(places=ledger.places)


def rolling(world: World, config: Optimizing, progress: Callable[[int], None]) -> Decided:
    """Plan all that has not begun again every half hour, and place arrivals at the plan's prices, as Pylon does.

    `progress` is told how many half hours are done.
    """
    ledger = _Ledger.of(world)
    waiting: dict[UUID, ComputeWorkload] = {}
    standing: tuple[fleet.Prices, int] | None = None
    moves: list[UUID] = []
    gaps: list[Gap] = []
    last_arrival = max((slot for slot, those in enumerate(world.arrivals) if those), default=-1)
    for slot in range(world.half_hours):
        if slot > last_arrival and not waiting:
            break
        progress(slot)
        seen = world.forecast(slot, ledger.room)
        if waiting:
            start = None if standing is None else _moved(standing[0], slot - standing[1], seen.half_hours)
            solved, wanted = _plan(_view(world, slot, seen, waiting, ledger), config, start)
            standing = solved.prices, slot
            moves += _carry_out(ledger, waiting, {id_: _later(place, slot) for id_, place in wanted.items()})
            gaps.append(Gap(solved.gap_gbp, solved.bound_gbp))
        if world.arrivals[slot]:
            scarcity = None if standing is None else _moved(standing[0], slot - standing[1], seen.half_hours)
            seen = world.forecast(slot, ledger.room, None if scarcity is None else scarcity.power_gbp_mwh)
            _place_arrivals(ledger, _view(world, slot, seen), world.arrivals[slot], config)
        waiting |= {workload.id: workload for workload in world.arrivals[slot]}
        waiting = {id_: one for id_, one in waiting.items() if _still_waits(world, ledger, one, slot)}
    return Decided(places=ledger.places, moves=tuple(moves), gaps=tuple(gaps))


def perfect(world: World, config: Optimizing) -> Decided:
    """Plan everything at once, with all arrivals and all that came known from the beginning."""
    view = _view(world, 0, world.actual(), {one.id: one for one in world.workloads})
    document = fleet_plan.describe(view, config)
    arrived = {str(one.id): one for one in world.workloads}
    for row in document["jobs"]:
        workload = arrived[row["workload_id"]]
        row["first_slot"] = world.slot(workload.created_at)
        row["end_slot"] = world.end_slot(workload)
    plan = fleet.plan(fleet_plan.problem_of(document))
    hopeless = [one.job for one in plan.rejected if not one.has_option and one.limit != "value"]
    return Decided(
        places=_places(document, plan),
        gaps=(Gap(plan.gap_gbp, plan.bound_gbp),),
        hopeless=frozenset(UUID(document["jobs"][job]["workload_id"]) for job in hopeless),
    )


def _view(
    world: World,
    slot: int,
    seen: Field,
    workloads: Mapping[UUID, ComputeWorkload] | None = None,
    ledger: _Ledger | None = None,
) -> View:
    """Return what agents see in half hour `slot`: `workloads` that have not begun, and where they are booked."""
    given = workloads or {}
    booked = {} if ledger is None else {id_: ledger.places[id_] for id_ in given if id_ in ledger.places}
    return View(
        now=world.at(slot),
        starts_at=world.at(slot),
        run_id=None,
        grid_signal_id=None,
        carbon_gco2_kwh=None,
        stress=None,
        price_gbp_mwh=None,
        field=seen,
        region_carbon={},
        wholesale_gbp_mwh=(),
        sites=world.sites,
        regions=world.regions,
        workloads=tuple(given.values()),
        bookings={id_: _booking(world, place) for id_, place in booked.items()},
        simulated=SIMULATED,
        digest="",
        after_seq=0,
    )


def _booking(world: World, place: Place) -> Booking:
    spans = tuple(
        Span(world.at(int(begins) // HALF_HOUR_MINS), world.at(int(ends) // HALF_HOUR_MINS))
        for begins, ends in _spans_of(place.slots)
    )
    return Booking(data_centre_id=world.sites[place.site].id, spans=spans, decision_id=None)


def _place_arrivals(ledger: _Ledger, view: View, workloads: Iterable[ComputeWorkload], config: Optimizing) -> None:
    """Book each workload where it costs least, one after another; what has no option stays without."""
    first = ledger.world.slot(view.now)
    for workload in workloads:
        job = replace(jobs.job_of(view, workload, config), step_mins=HALF_HOUR_MINS)
        chosen = arrival.place(job, view.field, config.weights).chosen
        if chosen is not None:
            jobs.occupy(view.field.room, chosen.site, chosen.spans, _needs(view, job, chosen.site))
            ledger.book(workload, Place(chosen.site, _slots_of(chosen.spans, first)))


def _needs(view: View, job: Job, site: int) -> Floats:
    return jobs.needs(job, float(view.field.pue[site]))


def _plan(view: View, config: Optimizing, start: fleet.Prices | None) -> tuple[fleet.Plan, dict[UUID, Place]]:
    """Return the plan of all that waits, and where it wants each workload, in half hours of the world."""
    document = fleet_plan.describe(view, config)
    solved = fleet.plan(fleet_plan.problem_of(document), start, is_quick=True)
    return solved, _places(document, solved)


def _places(document: fleet_plan.Document, plan: fleet.Plan) -> dict[UUID, Place]:
    return {
        UUID(row["workload_id"]): Place(int(plan.places.site[number]), tuple(plan.places.of(number).tolist()))
        for number, row in enumerate(document["jobs"])
        if plan.places.site[number] >= 0
    }


def _later(place: Place, by: int) -> Place:
    return place._replace(slots=tuple(slot + by for slot in place.slots))


def _carry_out(
    ledger: _Ledger, waiting: Mapping[UUID, ComputeWorkload], wanted: Mapping[UUID, Place]
) -> list[UUID]:
    """Book what the plan wants, as room becomes free, until nothing more fits; return what was booked elsewhere.

    The plan does not know of cores and memory: what these forbid stays where it was.
    """
    left, moved = [id_ for id_, place in wanted.items() if ledger.places.get(id_) != place], []
    before = len(left) + 1
    while len(left) < before:
        before, stuck = len(left), []
        for id_ in left:
            had = ledger.release(waiting[id_]) if id_ in ledger.places else None
            place = wanted[id_] if ledger.has_room(waiting[id_], wanted[id_]) else had
            if place is not None:
                ledger.book(waiting[id_], place)
            if place is not wanted[id_]:
                stuck.append(id_)
            elif had is not None:
                moved.append(id_)
        left = stuck
    return moved


def _still_waits(world: World, ledger: _Ledger, workload: ComputeWorkload, slot: int) -> bool:
    """Return whether a workload has yet to begin after half hour `slot`."""
    place = ledger.places.get(workload.id)
    if place is not None:
        return place.slots[0] > slot
    return slot + 1 + workload.duration_mins // HALF_HOUR_MINS <= world.end_slot(workload)


def _moved(prices: fleet.Prices, by: int, half_hours: int) -> fleet.Prices:
    """Return prices of a plan made `by` half hours ago, from now on; 0 beyond its end."""
    ahead = prices.stack()[:, :, by : by + half_hours]
    stacked = np.zeros((*ahead.shape[:2], half_hours))
    stacked[:, :, : ahead.shape[2]] = ahead
    return fleet.Prices(
        power_gbp_mwh=stacked[0], gpu_gbp_hour=stacked[1], rise_gbp_mwh=stacked[2], fall_gbp_mwh=stacked[3]
    )


def _spans_of(slots: Sequence[int]) -> list[tuple[float, float]]:
    """Return half hours as spans in minutes."""
    spans: list[tuple[float, float]] = []
    for slot in slots:
        begins = float(slot * HALF_HOUR_MINS)
        if spans and spans[-1][1] == begins:
            spans[-1] = spans[-1][0], begins + HALF_HOUR_MINS
        else:
            spans.append((begins, begins + HALF_HOUR_MINS))
    return spans


def _slots_of(spans: Spans, first: int) -> tuple[int, ...]:
    """Return the half hours of spans in whole ones, counted from `first`."""
    assert all(edge % HALF_HOUR_MINS == 0 for span in spans for edge in span)  # noqa: S101  `step_mins` says so
    return tuple(
        first + slot
        for begins, ends in spans
        for slot in range(round(begins) // HALF_HOUR_MINS, round(ends) // HALF_HOUR_MINS)
    )
