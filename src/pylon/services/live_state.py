"""Live state: the whole ontology as it stands, for one operator, as one document; its grid part as it was known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pylon.ontology import carbon
from pylon.ontology.agency import Agent, AgentState, OrchestrationDecision
from pylon.ontology.calendar import AHEAD, HALF_HOUR, floor, half_hours
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import CarbonIndex
from pylon.ontology.fleet import DataCentre, Operator, StorageAsset
from pylon.ontology.plans import Plan
from pylon.ontology.types import ObjectType
from pylon.services.recall_signals import Known, Recalled, not_ahead, recall
from pylon.services.reports import RunReport, SourceReport
from pylon.services.series import NATIONAL, REGIONAL, Series
from pylon.services.take_stock import FINAL, Holding, take_stock
from pylon.sources.feed import SIMULATED, Supply
from pylon.store import objects
from pylon.store.database import Database, Transaction

__all__ = ["AHEAD", "OF_THE_MOMENT", "live_state", "past_state", "snapshot"]

_MOST_WORKLOADS = 1000
_MOST_DECISIONS = 50
_MOST_STATES = 100
_MOST_PLANS = 10

_NATIONAL = (
    "carbon_intensity_forecast",
    "carbon_intensity_actual",
    "carbon_index_computed",
    "demand_mw",
    "wholesale_price_gbp_mwh",
    "system_price_gbp_mwh",
    "grid_stress_score",
)

_RECALLED = ("Region", "GridSignal", "RegionalGridSignal")

OF_THE_MOMENT: Final = ("as_of", "age_s")
"""The parts of the document that only say when it was made; the rest is what it says."""

Rows = list[dict[str, Any]]

_NOTICE: Final = "Values marked `simulated` were made up by Pylon: do not act on them outside a trial."


def snapshot(database: Database) -> str:
    """Return a text that is the same only while nothing anywhere in the database has been written."""
    with database.as_anyone() as transaction:
        return str(transaction.value("snapshot"))


def live_state(database: Database, operator_id: UUID, now: datetime) -> dict[str, Any]:
    """Return the live state: the shared grid part and the operator's own part.

    `objects` holds, by type, the present signals and mix, the operator's fleet, and of its tariffs the rate that
    holds and those that begin within 48 hours; `links` the edges between those;
    `signals` 48 hours of half-hourly series from this half hour on; `sources` and `stock` where each came from;
    `age_s` how long before `as_of` each source last answered; `truncated` how many there are of a type of which
    not all are shown (not of AgentState and Plan, of which the last 100 and 10 are). Intensities in gCO2/kWh, power
    in MW, prices in GBP/MWh, times in UTC.
    """
    start = floor(now)
    with database.as_reader(operator_id) as transaction:
        run = transaction.one("last_committed_run")
        stock = take_stock(transaction, operator_id, now)
        held = {**_grid_objects(transaction, start), **_tenant_objects(transaction, operator_id, start)}
        series = _series(transaction, start)
        factors = transaction.all("factors")
    simulated = _simulated(stock)
    return {
        "as_of": now,
        "age_s": _ages(run, now),
        "operator_id": operator_id,
        "contains_simulated": bool(simulated),
        "simulated": simulated,
        "notice": _NOTICE if simulated else None,
        "run": _run(run),
        "sources": _sources(run),
        "stock": [holding.model_dump() for holding in stock],
        "truncated": _truncated(stock, held),
        "objects": held,
        "links": list(_links(held)),
        "signals": series,
        "carbon_factors": factors,
    }


def past_state(database: Database, operator_id: UUID, now: datetime, as_of: datetime) -> dict[str, Any]:
    """Return the grid part of the live state as it was known at `as_of`: the same shape, with less in it.

    `signals` and `stock` are what had been recorded by then of the 48 hours from that half hour on, `run` is the
    last that had committed, `age_s` how old each source was then, `withheld` the quality flags that stood by
    series. `not_versioned` names the types of which only the present is kept; they are left out. Raises `Invalid`
    when `as_of` lies ahead of `now`.
    """
    moment = not_ahead(as_of, now)
    start = floor(moment)
    with database.as_reader(operator_id) as transaction:
        run = transaction.one("run_committed_by", as_of=moment)
        known = recall(transaction, (*NATIONAL, *REGIONAL), start=start, end=start + AHEAD, as_of=moment)
        regions = transaction.all("regions")
    series = _recalled_series(known, start)
    stock = list(_recalled_stock(known))
    simulated = _simulated(stock)
    return {
        "as_of": moment,
        "age_s": _ages(run, moment),
        "contains_simulated": bool(simulated),
        "simulated": simulated,
        "notice": _NOTICE if simulated else None,
        "run": _run(run),
        "sources": _sources(run),
        "stock": [holding.model_dump() for holding in stock],
        "objects": {"Region": regions},
        "signals": series,
        "withheld": {name: [flag.model_dump() for flag in flags] for name, flags in known.withheld.items()},
        "not_versioned": [name for name in (*OBJECT_TYPES, "CarbonFactor") if name not in _RECALLED],
    }


def _grid_objects(transaction: Transaction, half_hour: datetime) -> dict[str, Rows]:
    national = transaction.all("national_signals", start=half_hour, end=half_hour + HALF_HOUR)
    return {
        "Region": transaction.all("regions"),
        "GridSignal": [row for row in national if row["id"] is not None],
        "RegionalGridSignal": transaction.all("regional_now", half_hour=half_hour),
        "GenerationMix": transaction.all("mix_now", half_hour=half_hour),
    }


def _tenant_objects(transaction: Transaction, operator_id: UUID, start: datetime) -> dict[str, Rows]:
    def read(kind: type[ObjectType], **words: Any) -> Rows:
        return objects.read(transaction, kind, operator_id=operator_id, **words)

    return {
        "Operator": read(Operator),
        "DataCentre": read(DataCentre, order_by=["dc_id"]),
        "StorageAsset": read(StorageAsset, order_by=["asset_id"]),
        "TariffRate": transaction.all(
            "tariff_rates_in_force", operator_id=operator_id, start=start, end=start + AHEAD
        ),
        "Agent": read(Agent, order_by=["agent_id"]),
        "AgentState": read(AgentState, order_by=["-recorded_at", "id"], limit=_MOST_STATES),
        "ComputeWorkload": read(
            ComputeWorkload, without={"status": FINAL}, order_by=["-created_at", "id"], limit=_MOST_WORKLOADS
        ),
        # `content` says the other columns once more, as the bytes that are hashed.
        "OrchestrationDecision": read(
            OrchestrationDecision, order_by=["-seq"], limit=_MOST_DECISIONS, omitted=["content"]
        ),
        "LoadLimit": transaction.all("limits_ahead", operator_id=operator_id, start=start, end=start + AHEAD),
        "Plan": read(Plan, order_by=["-requested_at", "id"], limit=_MOST_PLANS),
    }


def _series(transaction: Transaction, start: datetime) -> dict[str, Any]:
    end = start + AHEAD
    national = transaction.all("national_signals", start=start, end=end)
    regional = transaction.all("regional_series", start=start, end=end)
    return {
        "starts_at": start,
        "step_mins": 30,
        "half_hours": len(national),
        "national": {
            **{name: [row[name] for row in national] for name in _NATIONAL},
            "provenance": _by_quantity([row["provenance"] or {} for row in national]),
        },
        "regional": [
            {
                "region_id": row["region_id"],
                "carbon_intensity_forecast": row["carbon_intensity_forecast"],
                "data_source": row["data_source"],
            }
            for row in regional
        ],
    }


def _recalled_series(known: Recalled, start: datetime) -> dict[str, Any]:
    ats = list(half_hours(start, start + AHEAD))
    rows = [(series, known.at(series.name, ats)) for series in NATIONAL]
    national = {series.column: _values(series, row) for series, row in rows}
    provenance = [
        {series.quantity: one.source for series, row in rows if (one := row[place])} for place in range(len(ats))
    ]
    words = map(_word, ats, national["carbon_intensity_forecast"], national["carbon_intensity_actual"])
    columns = {**national, "carbon_index_computed": list(words)}
    return {
        "starts_at": start,
        "step_mins": 30,
        "half_hours": len(ats),
        "national": {**{name: columns[name] for name in _NATIONAL}, "provenance": _by_quantity(provenance)},
        "regional": [
            {
                "region_id": series.region_id,
                series.column: _values(series, row),
                "data_source": [one.source if one else None for one in row],
            }
            for series in REGIONAL
            for row in [known.at(series.name, ats)]
        ],
    }


def _word(at: datetime, forecast: float | None, actual: float | None) -> CarbonIndex | None:
    known = forecast if actual is None else actual
    return None if known is None else carbon.index(known, at.year)


def _values(series: Series, row: Iterable[Known | None]) -> list[float | None]:
    read = round if series.spec.sql_type == "integer" else float
    return [read(one.value) if one else None for one in row]


def _recalled_stock(known: Recalled) -> Iterator[Holding]:
    """Yield what was known of each quantity of the signals, by source, as `take_stock` does of what is stored."""
    found: dict[tuple[str, str, str], dict[tuple[int | None, datetime], datetime]] = {}
    for series in (*NATIONAL, *REGIONAL):
        quantity = str(series.quantity if series.region_id is None else Supply.CARBON)
        for at, one in known.values.get(series.name, {}).items():
            rows = found.setdefault((series.object_type.__name__, quantity, one.source), {})
            rows[series.region_id, at] = one.recorded_at
    for (object_type, quantity, source), rows in sorted(found.items()):
        yield Holding(
            object_type=object_type,
            quantity=quantity,
            source=source,
            rows=len(rows),
            is_simulated=source == SIMULATED,
            changed_at=max(rows.values()),
        )


def _by_quantity(provenance: Sequence[Mapping[str, str]]) -> dict[str, list[str | None]]:
    quantities = sorted({quantity for one in provenance for quantity in one})
    return {quantity: [one.get(quantity) for one in provenance] for quantity in quantities}


def _links(held: Mapping[str, Rows]) -> Iterator[dict[str, Any]]:
    """Yield every link whose two ends are both in the document."""
    present = {name: {row["id"] for row in rows} for name, rows in held.items()}
    types = {kind.table.name: name for name, kind in OBJECT_TYPES.items()}
    for link in LINKS:
        holder = types.get(link.table)  # CONSUMED lies between objects, in no object's own row
        if holder is None:
            continue
        other = link.source if link.inverse else link.target
        for row in held.get(holder, ()):
            key = row.get(link.column)
            if key in present.get(other, ()):
                here, there = (holder, row["id"]), (other, key)
                (source_type, source), (target_type, target) = (there, here) if link.inverse else (here, there)
                yield {
                    "link": link.name,
                    "source_type": source_type,
                    "source_id": source,
                    "target_type": target_type,
                    "target_id": target,
                }


def _run(run: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if run is None else {key: run[key] for key in ("id", "status", "started_at", "finished_at")}


def _sources(run: Mapping[str, Any] | None) -> Rows:
    shown = {"name", "title", "data_source", "is_simulated", "licence", "attribution", "outcome", "fetched_at"}
    return [source.model_dump(include={*shown, "half_hours_missing"}) for source in _reports(run)]


def _ages(run: Mapping[str, Any] | None, now: datetime) -> dict[str, int | None]:
    ages = {source.name: source.age(now) for source in _reports(run)}
    return {name: None if age is None else round(age.total_seconds()) for name, age in ages.items()}


def _reports(run: Mapping[str, Any] | None) -> list[SourceReport]:
    return RunReport.of(dict(run)).sources if run else []


def _truncated(stock: Iterable[Holding], held: Mapping[str, Rows]) -> dict[str, int]:
    """Return, for each type of which the document does not show all, how many there are."""
    totals = Counter[str]()
    for holding in stock:
        if not holding.quantity:
            totals[holding.object_type] += holding.rows
    decisions = held[OrchestrationDecision.__name__]
    totals[OrchestrationDecision.__name__] = decisions[0]["seq"] if decisions else 0  # the log has no gaps
    return {name: total for name, total in totals.items() if total > len(held.get(name, ()))}


def _simulated(stock: Iterable[Holding]) -> list[str]:
    return sorted({f"{h.object_type}.{h.quantity}".rstrip(".") for h in stock if h.source == SIMULATED})
