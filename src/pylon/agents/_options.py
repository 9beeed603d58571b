"""Options as a decision writes them down: each figure rounded once, totals made of the rounded ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pylon.agents import jobs
from pylon.agents._phrases import rounded
from pylon.agents.contract import View
from pylon.planning.arrival import Placement
from pylon.planning.field import RESOURCES, Job, Option

__all__ = ["lacks", "less", "money", "short_of", "site", "written"]


def written(view: View, job: Job, placement: Placement, option: Option) -> dict[str, Any]:
    """Return an option in plain values. One that lacks what others have, price or carbon, has no total."""
    terms = {f"{name}_gbp": rounded(cost, 6) for name, cost in option.terms._asdict().items()}
    known = rounded(sum(cost for cost in terms.values() if cost is not None), 6)
    return {
        **site(view, option.site),
        "spans": [jobs.interval(view.at(begins), view.at(ends)) for begins, ends in option.spans],
        "energy_kwh": rounded(option.energy_mwh * 1000, 3),
        "carbon_gco2": rounded(option.carbon_kg * 1000, 2),
        **_held(option),
        "terms": terms,
        "total_gbp": None if lacks(placement, option) else known,
        "stress_unknown_mins": rounded(option.stress_unknown_mins, 3),
        "refused_by": option.refused_by,
        "short_of": short_of(view, job, option),
    }


def _held(option: Option) -> dict[str, Any]:
    """Return what a carbon cap is held against, where that is not what is expected."""
    held = rounded(option.capped_carbon_kg * 1000, 2)
    return {} if held == rounded(option.carbon_kg * 1000, 2) else {"capped_carbon_gco2": held}


def lacks(placement: Placement, option: Option | None) -> list[str]:
    """Return which of price and carbon are not known for all of an option's time, while they are elsewhere."""
    costs = {} if option is None else {"price": option.terms.energy, "carbon": option.terms.carbon}
    return [name for name, cost in costs.items() if math.isnan(cost) and name not in placement.left_out]


def site(view: View, row: int) -> dict[str, Any]:
    """Return which site it is."""
    one = view.sites[row]
    return {"dc_id": one.dc_id, "data_centre_id": str(one.id), "region_id": view.regions[row]}


def money(option: Mapping[str, Any]) -> float | None:
    """Return what an option costs in money that is paid: energy and migration."""
    energy = option["terms"]["energy_gbp"]
    return None if energy is None else energy + option["terms"]["migration_gbp"]


def less(
    baseline: Mapping[str, Any] | None,
    chosen: Mapping[str, Any] | None,
    figure: Callable[[Mapping[str, Any]], float | None],
    places: int,
) -> float | None:
    """Return how much lower a figure of the choice is than the baseline's; None when either is not known."""
    if baseline is None or chosen is None:
        return None
    before, after = figure(baseline), figure(chosen)
    return None if before is None or after is None else rounded(before - after, places)


def short_of(view: View, job: Job, option: Option) -> dict[str, float] | None:
    """Return what an option needs of the resource that refuses it, and the least that is free while it runs."""
    if option.refused_by not in RESOURCES:
        return None
    number = RESOURCES.index(option.refused_by)
    held = jobs.columns(option.spans, view.field.half_hours)
    free = float(view.field.room[number, option.site, held].min())
    needed = float(jobs.needs(job, float(view.field.pue[option.site]))[number])
    return {"needs": round(needed, 6), "free": round(max(free, 0.0), 6) + 0.0}
