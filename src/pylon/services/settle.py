"""Settle: what became of a decision, at prices and intensities as they turned out, set beside what it expected.

The baseline is the decision's own: for a workload the same work, begun when that was decided, at its origin and
without a pause; for storage, idling. Savings are baseline less actual, with their sign.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pylon.agents.contract import Span
from pylon.agents.jobs import moment
from pylon.ontology.calendar import HALF_HOUR, floor
from pylon.ontology.deciding import DecisionOutcome
from pylon.ontology.enums import WorkloadStatus
from pylon.services._metering import Drawn, Figure, Known, Outturn, ceiling, drawn, outturn, weigh
from pylon.services._work import Work
from pylon.services.reports import RunReport
from pylon.store import objects
from pylon.store.database import Transaction, json_text

__all__ = ["WAIT", "known_until", "settle_storage", "settle_work"]

WAIT: Final = timedelta(hours=48)
"""How long a value that is not there is waited for. After that the outcome is recorded without it, and says so."""

_NO_ORIGIN = "The workload names no origin."
_NOT_DONE = "The workload did not complete."
_NOT_DECIDED = "Nobody decided about the workload."

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Bill:
    """What some energy came to: its cost and its carbon."""

    cost_gbp: Figure
    carbon_g: Figure

    @property
    def is_whole(self) -> bool:
        return not (self.cost_gbp.missing or self.carbon_g.missing)


@dataclass(frozen=True, slots=True)
class _Settled:
    """One workload, added up."""

    work: Work
    actual: _Bill
    baseline: _Bill | None
    baseline_kwh: float | None
    no_baseline: str | None
    """Why there is no baseline."""

    @property
    def is_whole(self) -> bool:
        """Whether every value is known, and every half hour recorded."""
        bills = (self.actual, self.baseline) if self.baseline else (self.actual,)
        return all(bill.is_whole for bill in bills) and self.work.is_recorded


def known_until(transaction: Transaction) -> datetime | None:
    """Return up to when half hours count as turned out: a pipeline run has asked for them after their end."""
    row = transaction.one("last_committed_run")
    return RunReport.of(row).as_of if row else None


def settle_work(transaction: Transaction, operator_id: UUID, works: Sequence[Work], now: datetime) -> int:
    """Record what workloads that have ended used, and what came of their decisions; return how many were settled.

    One whose half hours have not all turned out, or that lacks a value still waited for, is left for another time.
    """
    turned_out = known_until(transaction)
    due = [work for work in works if work.is_final and _may_settle(work, turned_out, now)]
    if not due:
        return 0
    given = [work.decision_id for work in due if work.decision_id]
    named = transaction.all("decisions_named", operator_id=operator_id, ids=given)
    decisions = {row["id"]: row for row in named}
    sites = {row["id"]: row for row in transaction.all("metered_sites", operator_id=operator_id)}
    signals = _signals(transaction, operator_id, due, decisions.values())
    settled = [_add_up(work, decisions.get(work.decision_id), sites, signals) for work in due]
    whole = [one for one in settled if one.is_whole or _is_late(one.work, now)]
    return _write(transaction, operator_id, whole, decisions, sites, now)


def settle_storage(transaction: Transaction, operator_id: UUID, now: datetime) -> int:
    """Record the outcomes of the decisions about storage that have been carried out; return how many."""
    turned_out = known_until(transaction)
    outcomes = []
    for row in transaction.all("dispatches_carried_out", operator_id=operator_id):
        end = row["half_hours"][-1].astimezone(UTC) + HALF_HOUR
        is_late = end + WAIT <= now
        if not is_late and (turned_out is None or end > turned_out):
            continue
        (decision,) = transaction.all("decisions_named", operator_id=operator_id, ids=[row["decision_id"]])
        signals = outturn(transaction, operator_id, start=row["half_hours"][0], end=end)
        outcome, is_whole = _of_storage(operator_id, row, decision, signals, now)
        if is_whole or is_late:
            outcomes.append(outcome)
    objects.add_missing(transaction, outcomes)
    return len(outcomes)


# ---- workloads


def _may_settle(work: Work, turned_out: datetime | None, now: datetime) -> bool:
    if _is_late(work, now):
        return True
    if turned_out is None or work.completed_at is None:
        return False
    return ceiling(work.completed_at) <= min(turned_out, now)


def _is_late(work: Work, now: datetime) -> bool:
    return work.completed_at is not None and work.completed_at + WAIT <= now


def _signals(transaction: Transaction, operator_id: UUID, due: Sequence[Work], decisions: Any) -> Outturn:
    begun = [work.started_at for work in due if work.started_at] + [row["decided_at"] for row in decisions]
    ended = [work.completed_at for work in due if work.completed_at]
    return outturn(transaction, operator_id, start=floor(min(begun)), end=ceiling(max(ended)))


def _add_up(
    work: Work, decision: Mapping[str, Any] | None, sites: Mapping[UUID, Mapping[str, Any]], signals: Outturn
) -> _Settled:
    site = sites[work.data_centre_id]
    metered = work.metered_kwh(site["pue"])
    actual = _bill(metered, site, signals)
    origin = sites.get(work.origin_dc_id) if work.origin_dc_id else None
    why = (
        _NOT_DONE
        if work.status is not WorkloadStatus.COMPLETED
        else _NOT_DECIDED
        if decision is None
        else _NO_ORIGIN
        if origin is None
        else None
    )
    if why or decision is None or origin is None:
        return _Settled(work, actual, None, None, why)
    # Where an owner began before it was decided, the baseline does so too: it never ends after the work.
    begin = min(decision["decided_at"].astimezone(UTC), work.starts_at)
    # At its own site the baseline is the same work in the same halls, whatever their PUE was meanwhile.
    kwh = sum(metered.values()) if origin is site else work.it_kwh * origin["pue"]
    hours = work.hours_run / timedelta(hours=1)
    energy = drawn([Span(begin, begin + work.hours_run)], kwh / hours if hours else 0.0)
    return _Settled(work, actual, _bill(energy, origin, signals), sum(energy.values()), None)


def _bill(energy_kwh: Drawn, site: Mapping[str, Any], signals: Outturn) -> _Bill:
    def price_gbp_kwh(at: datetime) -> Known | None:
        known = signals.price(site["tariff"], at)
        return known and Known(known.value / 1000, known.is_simulated)

    return _Bill(
        weigh(energy_kwh, price_gbp_kwh), weigh(energy_kwh, lambda at: signals.carbon(site["region_id"], at))
    )


def _write(
    transaction: Transaction,
    operator_id: UUID,
    settled: Sequence[_Settled],
    decisions: Mapping[UUID | None, Mapping[str, Any]],
    sites: Mapping[UUID, Mapping[str, Any]],
    now: datetime,
) -> int:
    """Write what was settled, and return of how much of it that was not known before."""
    used = [
        {
            "id": one.work.id,
            "actual_energy_kwh": round(one.work.it_kwh, 2),
            "actual_carbon_gco2": _rounded(one.actual.carbon_g.value, 2),
            "actual_cost_gbp": _rounded(one.actual.cost_gbp.value, 4),
        }
        for one in settled
    ]
    changed = transaction.all("settle_workloads", operator_id=operator_id, rows=json_text(used))
    outcomes = [
        _of_work(operator_id, one, decision, sites[one.work.data_centre_id], now)
        for one in settled
        if (decision := decisions.get(one.work.decision_id))
    ]
    decided = {outcome.workload_id for outcome in outcomes}
    return objects.add_missing(transaction, outcomes) + sum(row["id"] not in decided for row in changed)


def _of_work(
    operator_id: UUID, one: _Settled, decision: Mapping[str, Any], site: Mapping[str, Any], now: datetime
) -> DecisionOutcome:
    chosen = decision["alternatives_considered"].get("chosen") or {}
    baseline, terms = one.baseline, chosen.get("terms") or {}
    moved_gbp = one.work.migration_gbp if one.work.data_centre_id != one.work.origin_dc_id else 0.0
    actual = _Bill(_plus(one.actual.cost_gbp, moved_gbp), one.actual.carbon_g)
    return DecisionOutcome(
        operator_id=operator_id,
        decision_id=decision["id"],
        workload_id=one.work.id,
        recorded_at=now,
        decided_energy_kwh=chosen.get("energy_kwh"),
        decided_carbon_gco2=chosen.get("carbon_gco2"),
        decided_cost_gbp=_sum(terms.get("energy_gbp"), terms.get("migration_gbp", 0.0)),
        actual_energy_kwh=_rounded(sum(one.work.metered_kwh(site["pue"]).values()), 2),
        **_figures(actual, baseline),
        baseline_infeasible=decision["constraints_evaluated"].get("baseline_infeasible"),
        detail={
            "baseline_is": "run now at origin",
            "baseline_energy_kwh": _rounded(one.baseline_kwh, 2),
            "no_baseline": one.no_baseline,
            "migration_gbp": moved_gbp,
            **_notes(actual, baseline),
        },
        is_simulated=one.work.is_simulated or site["is_simulated"] or decision["is_simulated"],
    )


# ---- storage


def _of_storage(
    operator_id: UUID, row: Mapping[str, Any], decision: Mapping[str, Any], signals: Outturn, now: datetime
) -> tuple[DecisionOutcome, bool]:
    """Return the outcome, and whether every value that it needs is known."""
    hours = HALF_HOUR / timedelta(hours=1)
    drawn_kwh = {
        at.astimezone(UTC): -1000 * power * hours
        for at, power in zip(row["half_hours"], row["power_mw"], strict=True)
    }
    given_kwh = -sum(kwh for kwh in drawn_kwh.values() if kwh < 0)
    wear_gbp = row["wear_gbp_mwh"] * given_kwh / 1000
    traded = _bill(drawn_kwh, row, signals)
    actual = _Bill(_plus(traded.cost_gbp, wear_gbp), traded.carbon_g)
    nothing = _Bill(Figure(0.0, 0, False), Figure(0.0, 0, False))
    decided_gbp, decided_g = _expected(decision, drawn_kwh.keys(), row["wear_gbp_mwh"])
    return DecisionOutcome(
        operator_id=operator_id,
        decision_id=decision["id"],
        recorded_at=now,
        decided_carbon_gco2=_rounded(decided_g, 2),
        decided_cost_gbp=_rounded(decided_gbp, 4),
        actual_energy_kwh=round(sum(kwh for kwh in drawn_kwh.values() if kwh > 0), 2),
        **_figures(actual, nothing),
        detail={
            "baseline_is": "idle",
            "discharged_kwh": round(given_kwh, 2),
            "wear_gbp": round(wear_gbp, 4),
            "half_hours": len(drawn_kwh),
            **_notes(actual, nothing),
        },
        is_simulated=row["is_simulated"] or decision["is_simulated"],
    ), actual.is_whole


def _plus(figure: Figure, more: float) -> Figure:
    return Figure(None if figure.value is None else figure.value + more, figure.missing, figure.is_simulated)


def _expected(
    decision: Mapping[str, Any], done: Collection[datetime], wear_gbp_mwh: float
) -> tuple[float | None, float | None]:
    """Return the cost and the carbon that a decision expected of those of its half hours that were carried out.

    None where it was not said half hour by half hour and a later decision has taken some of them.
    """
    plan = {moment(one["starts_at"]): one["power_mw"] for one in decision["effect"].get("schedule", ())}
    if all(at in done for at in plan if at >= decision["decided_at"]):
        chosen = decision["alternatives_considered"].get("chosen") or {}
        return chosen.get("cost_gbp"), chosen.get("carbon_gco2")
    seen = decision["inputs"]
    if "price_gbp_mwh" not in seen:
        return None, None

    def foreseen(series: Sequence[float | None]) -> Callable[[datetime], Known | None]:
        def value_of(at: datetime) -> Known | None:
            value = series[(at - moment(seen["starts_at"])) // HALF_HOUR]
            return None if value is None else Known(value, False)

        return value_of

    mwh = {at: -plan[at] * (HALF_HOUR / timedelta(hours=1)) for at in done}
    wear_gbp = wear_gbp_mwh * -sum(one for one in mwh.values() if one < 0)
    cost = _plus(weigh(mwh, foreseen(seen["price_gbp_mwh"])), wear_gbp).value
    carbon = weigh(mwh, foreseen(seen["carbon_gco2_kwh"])).value
    return cost, None if carbon is None else 1000 * carbon


# ---- both


def _figures(actual: _Bill, baseline: _Bill | None) -> Json:
    """Return the columns of an outcome that follow from two bills; savings come from the rounded figures."""
    known = {
        "actual_carbon_gco2": _rounded(actual.carbon_g.value, 2),
        "actual_cost_gbp": _rounded(actual.cost_gbp.value, 4),
        "baseline_carbon_gco2": _rounded(baseline.carbon_g.value, 2) if baseline else None,
        "baseline_cost_gbp": _rounded(baseline.cost_gbp.value, 4) if baseline else None,
    }
    return {
        **known,
        "carbon_saved_gco2": _less(known["baseline_carbon_gco2"], known["actual_carbon_gco2"]),
        "cost_saved_gbp": _less(known["baseline_cost_gbp"], known["actual_cost_gbp"]),
    }


def _notes(actual: _Bill, baseline: _Bill | None) -> Json:
    """Return which values were never known, in how many half hours, and which quantities were simulated."""
    bills = {"actual": actual, **({"baseline": baseline} if baseline else {})}
    parts: Mapping[str, Callable[[_Bill], Figure]] = {
        "carbon": lambda bill: bill.carbon_g,
        "price": lambda bill: bill.cost_gbp,
    }
    return {
        "half_hours_missing": {
            f"{name}_{quantity}": part(bill).missing
            for name, bill in bills.items()
            for quantity, part in parts.items()
            if part(bill).missing
        },
        "simulated": [
            quantity for quantity, part in parts.items() if any(part(bill).is_simulated for bill in bills.values())
        ],
    }


def _sum(one: float | None, other: float) -> float | None:
    return None if one is None else one + other


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else round(one - other, 4)
