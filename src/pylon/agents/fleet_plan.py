"""Fleet plan: what the planner sees of an operator's fleet as a document, and the plan worked out of that alone.

    document = describe(view, config)        kept, by its digest, with the plan
    outcome  = work_out(document)            the same bytes whenever and wherever it is done again

Times are whole half hours of the view's field that have not begun: a job takes all of its last one. All the money
of a job (energy, worth, caps, waiting, moving) is then that of its half hours, in proportion to its minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from pylon.agents import jobs
from pylon.agents._fleet_seen import describe, half_hours_of
from pylon.agents._fleet_storage import stores_of, told
from pylon.agents._fleet_unmoved import around, better, must_respect_bound, unmoved_of
from pylon.agents.standing import runs, unfolded
from pylon.ontology.calendar import HALF_HOUR
from pylon.planning import fleet, joint
from pylon.planning.field import HALF_HOUR_MINS, Floats, Weights
from pylon.planning.fleet import Binding, FleetProblem, Jobs, Places, Plan, Prices, Sites
from pylon.planning.joint import Together

__all__ = ["Document", "Progress", "describe", "problem_of", "work_out"]

Document = Mapping[str, Any]
Progress = Callable[[str, int, int], None]
"""Told the stage, how many of its passes are done, and of how many."""

_PRICES: Final = {
    "power_mw": "power_gbp_mwh",
    "gpus": "gpu_gbp_hour",
    "rise": "rise_gbp_mwh",
    "fall": "fall_gbp_mwh",
}
"""The field of `Prices` for each limit."""
_MONEY_PLACES: Final = 6
_SHARE_PLACES: Final = 9
_MOST_BINDING: Final = 200


def problem_of(document: Document) -> FleetProblem:
    """Return the problem that a document of `describe` tells of; its jobs are in the document's order."""
    weights = document["weights"]
    return FleetProblem(
        sites=_sites(document),
        jobs=_jobs(document),
        weights=Weights(
            carbon_price_gbp_t=weights["carbon_price_gbp_t"], stress_price_gbp_mwh=weights["stress_price_gbp_mwh"]
        ),
    )


def work_out(document: Document, progress: Progress | None = None) -> dict[str, Any]:
    """Return the plan for a document of `describe`, in plain values: places, cost, bound, prices, what binds.

    Beside it stand `greedy`, the plan of a planner without prices, and `standing`, what comes of moving nothing
    that is booked and may stay, and placing the rest greedily; in both storage does its best around the work. The
    plan is the cheapest of the three. Raises `DecisionError` for one that its own bound proves impossible.
    """
    problem, stores = problem_of(document), stores_of(document)
    unmoved, greedy = unmoved_of(problem, stores), around(problem, stores, fleet.greedy(problem))
    together = joint.plan_together(problem, stores, _start(document, problem), progress)
    together = better(problem, stores, better(problem, stores, together, unmoved), greedy)
    must_respect_bound(together)
    plan, prices = together.plan, together.prices
    return {
        "now": document["now"],
        "starts_at": document["starts_at"],
        "half_hours": document["half_hours"],
        "workloads": len(problem.jobs),
        "sites": problem.sites.pue.size,
        "places": list(_places(document, plan.places)),
        "cost_gbp": _money(together.cost_gbp),
        "cost": _cost(plan, together.cost_gbp),
        "bound_gbp": _money(together.bound_gbp),
        "gap_gbp": _money(together.gap_gbp),
        "gap": _share(together.gap),
        "gap_of_choice": _share(together.gap_of_choice),
        "is_bound_by_solver": together.is_bound_by_solver,
        "prices": {
            limit: {site["dc_id"]: runs(row) for site, row in zip(document["sites"], rows, strict=True)}
            for limit, rows in _rows_of(prices).items()
        },
        "binding": _binding(document, problem, together),
        "rejected": [_rejected(document["jobs"][one.job], one) for one in plan.rejected],
        "relaxed": list(together.relaxed),
        "spare_mwh": _spare_mwh(problem, together, document["first_slot"]),
        "storage": told(document, together.dispatches),
        "greedy": _beside(greedy),
        "standing": _beside(unmoved),
        "simulated": document["simulated"],
    }


def _sites(document: Document) -> Sites:
    sites, half_hours, series = document["sites"], document["half_hours"], document["series"]
    shape = (len(sites), half_hours)

    def rows(values: Sequence[Sequence[float | None]]) -> Floats:
        return np.array(values, dtype=np.float64).reshape(shape)  # None becomes NaN

    return Sites(
        price_gbp_mwh=rows([series[site["price"]] for site in sites]),
        carbon_gco2_kwh=rows([series[site["carbon"]] for site in sites]),
        carbon_upper_gco2_kwh=_upper(document),
        stress=np.array(document["stress"], dtype=np.float64),
        pue=np.array([site["pue"] for site in sites], dtype=np.float64),
        room_mw=rows([unfolded(site["room_mw"]) for site in sites]),
        room_gpus=rows([unfolded(site["room_gpus"]) for site in sites]),
        base_mw=rows([unfolded(site["base_mw"] or [[0.0, half_hours]]) for site in sites]),
        ramp_mw=np.array([_limit(site["ramp_mw"]) for site in sites], dtype=np.float64),
    )


def _upper(document: Document) -> Floats | None:
    """Return what is held against caps on carbon; None where that is the intensity itself everywhere."""
    numbers = [site["carbon_upper"] for site in document["sites"]]
    if None in numbers or not numbers:
        return None
    return np.array([document["series"][number] for number in numbers], dtype=np.float64)


def _jobs(document: Document) -> Jobs:
    rows, regions = document["jobs"], [site["region_id"] for site in document["sites"]]
    whole = _column(rows, lambda row: _whole(row["duration_mins"]))
    allowed = [
        [row["allowed_region_ids"] is None or region in row["allowed_region_ids"] for region in regions]
        for row in rows
    ]
    return Jobs(
        half_hours=_column(rows, lambda row: half_hours_of(row["duration_mins"]), np.int64),
        it_power_mw=_column(rows, lambda row: row["it_power_mw"]),
        gpus=_column(rows, lambda row: row["gpus"]),
        first_slot=_column(rows, lambda row: row["first_slot"], np.int64),
        end_slot=_column(rows, lambda row: row["end_slot"], np.int64),
        origin=_column(rows, lambda row: -1 if row["origin"] is None else row["origin"], np.int64),
        allowed=np.array(allowed, dtype=np.bool_).reshape(len(rows), len(regions)),
        interruptible=_column(rows, lambda row: row["interruptible"], np.bool_),
        migration_gbp=whole * _column(rows, lambda row: row["migration_gbp"]),
        wait_gbp_per_half_hour=whole * _column(rows, lambda row: row["wait_gbp_per_hour"]) / 2,
        carbon_cap_gco2_kwh=_column(rows, lambda row: _limit(row["carbon_cap_gco2_kwh"])),
        max_price_gbp=whole * _column(rows, lambda row: _limit(row["max_price_gbp"])),
        value_gbp=whole * _column(rows, lambda row: max(row["value_gbp"] - row["waited_gbp"], 0.0)),
        present=_present(rows),
        leaving_gbp=whole * _column(rows, lambda row: row["leaving_gbp"]),
    )


def _column(rows: Sequence[Document], value: Callable[[Document], Any], kind: Any = np.float64) -> Any:
    return np.array([value(row) for row in rows], dtype=kind)


def _whole(duration_mins: int) -> float:
    """Return how much longer than the job its half hours are."""
    return half_hours_of(duration_mins) * HALF_HOUR_MINS / duration_mins


def _limit(value: float | None) -> float:
    return math.inf if value is None else value


def _present(rows: Sequence[Document]) -> Places:
    """Return where jobs stand: -1 in every half hour of one that stands nowhere."""
    site = [-1 if row["present"] is None else row["present"]["site"] for row in rows]
    slots = [
        [-1] * half_hours_of(row["duration_mins"])
        if row["present"] is None
        else [slot for first, count in row["present"]["slots"] for slot in range(first, first + count)]
        for row in rows
    ]
    return Places(
        site=np.array(site, dtype=np.int64),
        slots=np.array([slot for those in slots for slot in those], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, slots)], dtype=np.int64),
    )


def _start(document: Document, problem: FleetProblem) -> Prices | None:
    """Return the prices of the plan that stood, in the place of which this one is worked out."""
    start, shape = document["start"], problem.sites.shape
    if start is None:
        return None

    def rows(limit: str) -> Floats:
        nothing = [[[0.0, shape[1]]]] * shape[0]
        return np.array([unfolded(pairs) for pairs in start.get(limit, nothing)], dtype=np.float64).reshape(shape)

    return Prices(**{name: rows(limit) for limit, name in _PRICES.items()})


def _rows_of(prices: Prices) -> dict[str, Floats]:
    return {limit: getattr(prices, name) for limit, name in _PRICES.items()}


def _places(document: Document, places: Places) -> Any:
    """Yield where and when each job runs, in its exact minutes: the last of its half hours may be used in part."""
    starts_at = jobs.moment(document["starts_at"])
    for number, row in enumerate(document["jobs"]):
        site = int(places.site[number])
        if site >= 0:
            spans = _spans(starts_at, places.of(number).tolist(), row["duration_mins"])
            yield {
                "workload_id": row["workload_id"],
                "job_id": row["job_id"],
                "dc_id": document["sites"][site]["dc_id"],
                "data_centre_id": document["sites"][site]["data_centre_id"],
                "spans": [jobs.interval(begins, ends) for begins, ends in spans],
            }


def _spans(starts_at: datetime, slots: Sequence[int], duration_mins: int) -> list[tuple[datetime, datetime]]:
    spans: list[tuple[datetime, datetime]] = []
    for slot in slots:
        begins = starts_at + slot * HALF_HOUR
        if spans and spans[-1][1] == begins:
            spans[-1] = spans[-1][0], begins + HALF_HOUR
        else:
            spans.append((begins, begins + HALF_HOUR))
    unused = timedelta(minutes=len(slots) * HALF_HOUR_MINS - duration_mins)
    return [*spans[:-1], (spans[-1][0], spans[-1][1] - unused)]


def _cost(plan: Plan, cost_gbp: float) -> dict[str, float]:
    """Return the terms, which add up to the cost; what storage earns is below 0."""
    terms = {
        f"{name}_gbp": _money(getattr(plan.cost, name))
        for name in ("energy", "carbon", "stress", "migration", "wait", "leaving", "lost")
    }
    return {**terms, "storage_gbp": _money(cost_gbp - plan.cost.total)}


def _money(gbp: float) -> float:
    return round(float(gbp), _MONEY_PLACES) + 0.0


def _share(share: float | None) -> float | None:
    return None if share is None else round(share, _SHARE_PLACES) + 0.0


def _binding(document: Document, problem: FleetProblem, together: Together) -> list[dict[str, Any]]:
    """Return the limits that have a price, the dearest first; the prices themselves have all of them."""
    spare = _spare(document, problem, together)
    priced = [
        Binding(limit=limit, site=site, slot=slot, price=worth[site, slot], spare=spare[limit][site, slot])
        for limit, worth in _rows_of(together.prices).items()
        for site, slot in np.argwhere(worth > 0).tolist()
    ]
    dearest = sorted(priced, key=lambda one: (-one.price, one.limit, one.site, one.slot))
    starts_at = jobs.moment(document["starts_at"])
    return [
        {
            "limit": one.limit,
            "dc_id": document["sites"][one.site]["dc_id"],
            "starts_at": jobs.instant(starts_at + one.slot * HALF_HOUR),
            "price": _money(one.price),
            "spare": _money(one.spare),
        }
        for one in dearest[:_MOST_BINDING]
    ]


def _spare(document: Document, problem: FleetProblem, together: Together) -> dict[str, Floats]:
    """Return what the plan leaves of each limit, (D, T); infinite where there is none."""
    sites, places = problem.sites, together.plan.places
    room = sites.room_mw.copy()
    for one, done in zip(document["storage"], together.dispatches, strict=True):
        room[one["site"]] += done.power_mw
    load = joint.load_of(problem, places)
    step = np.diff(sites.base_mw + load, axis=1, append=np.nan)  # nothing is known of what comes after the last
    ramp = np.repeat(sites.ramp_mw[:, None], sites.shape[1], axis=1)
    return {
        "power_mw": room - load,
        "gpus": sites.room_gpus - _gpus_of(problem, places),
        "rise": ramp - step,
        "fall": ramp + step,
    }


def _gpus_of(problem: FleetProblem, places: Places) -> Floats:
    """Return the GPUs (D, T) that jobs take in these places."""
    owners = np.repeat(np.arange(len(problem.jobs)), problem.jobs.half_hours)
    site, taken = places.site[owners], np.zeros(problem.sites.shape)
    runs = site >= 0
    np.add.at(taken, (site[runs], places.slots[runs]), problem.jobs.gpus[owners[runs]])
    return taken


def _rejected(row: Document, rejection: fleet.Rejection) -> dict[str, Any]:
    price = rejection.price_to_fit_gbp
    if price is not None:  # of its half hours: that of its minutes, to the penny above, with what it waited for
        waited = 0.0 if rejection.limit == "max_price" else row["waited_gbp"]
        price = math.ceil((price / _whole(row["duration_mins"]) + waited) * 100 - 1e-6) / 100
    return {
        "workload_id": row["workload_id"],
        "job_id": row["job_id"],
        "limit": rejection.limit,
        "has_option": rejection.has_option,
        "price_to_fit_gbp": price,
        "is_booked": row["present"] is not None,
    }


def _spare_mwh(problem: FleetProblem, together: Together, first: int) -> float:
    """Return the energy that could still be placed in the room which the plan leaves, its storage aside."""
    load = joint.load_of(problem, together.plan.places)
    free = np.clip(problem.sites.room_mw - load, 0.0, None)[:, first:]
    return _money(math.fsum(free.ravel().tolist()) * HALF_HOUR_MINS / 60)


def _beside(together: Together) -> dict[str, Any]:
    return {"cost_gbp": _money(together.cost_gbp), "rejected": len(together.plan.rejected)}
