"""Recall view: what an agent saw when it made a decision, made again from what was kept of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from pylon.agents import standing
from pylon.agents.contract import Span, View
from pylon.errors import NotFound
from pylon.ontology.enums import DataCentreStatus
from pylon.ontology.fleet import DataCentre
from pylon.planning.field import RESOURCES, Field, Floats
from pylon.services.view_fleet import occupy
from pylon.store.database import Transaction

__all__ = ["view_before"]


def view_before(transaction: Transaction, operator_id: UUID, decision: Mapping[str, Any]) -> View:
    """Return what was seen for `decision`: its kept field, with the room as the decisions since had left it.

    `decision` has the columns of `orchestration_decisions`, and `inputs` that name a view. The view has no
    workloads, bookings or storage: what a decision needs of those is in its own inputs. Raises `NotFound` when the
    operator keeps no such input.
    """
    inputs = decision["inputs"]
    content = transaction.value("kept_input", operator_id=operator_id, digest=inputs["view"])
    if content is None or hashlib.sha256(content.encode()).hexdigest() != inputs["view"]:
        raise NotFound(
            f"What {decision['decision_id']} saw, the input {inputs['view'][:12]}…, is not kept here as it was. "
            "`pylon audit verify` tells whether it was removed or changed."
        )
    document = json.loads(content)
    view = _view(document, inputs)
    between = transaction.all(
        "effects_between", operator_id=operator_id, after_seq=inputs["after_seq"], seq=decision["seq"]
    )
    _apply(view, between)
    if "by_plan" in inputs:
        _lift(view, transaction, operator_id, decision)
    return view


def _lift(view: View, transaction: Transaction, operator_id: UUID, decision: Mapping[str, Any]) -> None:
    """Give back the room of the workloads that were moved together with this one, and after it."""
    seq, by_plan = decision["seq"], decision["inputs"]["by_plan"]
    end = seq + by_plan["of"] - by_plan["number"] + 1
    for one in transaction.all("effects_between", operator_id=operator_id, after_seq=seq, seq=end):
        _give_back(view, one["standing"])


def _view(document: Mapping[str, Any], inputs: Mapping[str, Any]) -> View:
    sites = document["sites"]
    return View(
        now=datetime.fromisoformat(inputs["now"]),
        starts_at=datetime.fromisoformat(document["starts_at"]),
        run_id=None if document["run_id"] is None else UUID(document["run_id"]),
        grid_signal_id=None,
        carbon_gco2_kwh=None,
        stress=document["stress"][0],
        price_gbp_mwh=document["wholesale_gbp_mwh"][0],
        field=_field(document),
        region_carbon={int(number): tuple(values) for number, values in document["carbon_gco2_kwh"].items()},
        wholesale_gbp_mwh=tuple(document["wholesale_gbp_mwh"]),
        sites=tuple(map(_site, sites)),
        regions=tuple(site["region_id"] for site in sites),
        simulated=tuple(document["simulated"]),
        digest=inputs["view"],
        after_seq=inputs["after_seq"],
        plan=standing.recalled(document["plan"]) if "plan" in document else None,
    )


def _field(document: Mapping[str, Any]) -> Field:
    sites, half_hours = document["sites"], document["half_hours"]
    shape = (len(sites), half_hours)
    prices = [site["tariff_gbp_mwh"] or document["wholesale_gbp_mwh"] for site in sites]
    carbon = [document["carbon_gco2_kwh"][str(site["region_id"])] for site in sites]
    nothing, unknown = [[0.0, half_hours]], [None] * half_hours
    scarcity = [standing.unfolded(site.get("scarcity_gbp_mwh", nothing)) for site in sites]
    room = np.array(
        [[standing.unfolded(site["room"][name]) for site in sites] for name in RESOURCES], dtype=np.float64
    )
    upper = [document.get("carbon_upper_gco2_kwh", {}).get(str(site["region_id"]), unknown) for site in sites]
    return Field(
        price_gbp_mwh=np.array(prices, dtype=np.float64).reshape(shape),
        carbon_gco2_kwh=np.array(carbon, dtype=np.float64).reshape(shape),
        carbon_upper_gco2_kwh=np.array(upper, dtype=np.float64).reshape(shape)
        if "carbon_upper_gco2_kwh" in document
        else None,
        stress=np.array(document["stress"], dtype=np.float64),
        scarcity_gbp_mwh=np.array(scarcity, dtype=np.float64).reshape(shape),
        room=room.reshape(len(RESOURCES), *shape),
        is_open=np.array([site["status"] == DataCentreStatus.ACTIVE for site in sites], dtype=np.bool_),
        pue=np.array([site["pue"] for site in sites], dtype=np.float64),
    )


def _site(kept: Mapping[str, Any]) -> DataCentre:
    """Return what was kept of a data centre; what was not has no value at all."""
    return DataCentre.model_construct(
        id=UUID(kept["data_centre_id"]),
        dc_id=kept["dc_id"],
        pue=kept["pue"],
        status=DataCentreStatus(kept["status"]),
        is_simulated=kept["is_simulated"],
        **{name: kept[name] for name in ("total_capacity_mw", "base_load_mw")},
    )


def _apply(view: View, decisions: Iterable[Mapping[str, Any]]) -> None:
    """Take up, and give back, the room that each decision about a workload did."""
    for one in decisions:
        effect = one["effect"]
        _give_back(view, one["standing"])
        if "takes" in effect:
            _move(view, effect["data_centre_id"], effect["spans"], _taken(effect["takes"]))


def _give_back(view: View, standing: Mapping[str, Any] | None) -> None:
    if standing is not None and standing["takes"] is not None:
        _move(view, standing["data_centre_id"], standing["spans"], -_taken(standing["takes"]))


def _move(view: View, data_centre_id: str, spans: Iterable[Mapping[str, str]], needed: Floats) -> None:
    site = view.site(UUID(data_centre_id))
    if site is not None:
        times = [Span(datetime.fromisoformat(s["starts_at"]), datetime.fromisoformat(s["ends_at"])) for s in spans]
        occupy(view.field.room, view.starts_at, site, times, needed)


def _taken(takes: Mapping[str, float]) -> Floats:
    return np.array([takes[name] for name in RESOURCES])
