"""Report: what ended in a span of London days, by day or by agent: energy, carbon, cost and signed savings.

Every figure is a sum of exact decimals over the same rows, so that days, agents and totals add up to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, computed_field

from pylon.errors import Invalid
from pylon.ontology.calendar import LONDON, midnight
from pylon.store.database import Database

__all__ = ["By", "Figures", "Kind", "Report", "ReportRow", "Total", "report"]

_LAST_DAYS: Final = 7
_MOST_DAYS: Final = 366

Amount = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""Summed exactly, sent as a number."""


class By(StrEnum):
    """What the rows of a report are."""

    DAY = "day"
    AGENT = "agent"


class Kind(StrEnum):
    """How far figures are real. Figures of different kinds are never added up."""

    REAL = "real"
    PARTLY_SIMULATED = "partly_simulated"  # real work and storage, valued at simulated prices or intensities
    SIMULATED = "simulated"  # simulated work or storage, and work at a simulated site


class Figures(BaseModel):
    """What ended, added up. Energy is the facility's; savings are baseline less actual, and negative when lost."""

    model_config = ConfigDict(frozen=True)

    completed: int = Field(description="Workloads that ran to their end")
    failed: int = Field(description="Workloads that started and failed")
    rejected: int = Field(description="Workloads that were never started: rejected, or past their time")
    cancelled: int
    unsettled: int = Field(description="Of those that ran, how many wait for their signals; in no sum below")
    carbon_unknown: int = Field(description="Of those settled, how many have no carbon: it was never known")
    cost_unknown: int = Field(description="Of those settled, how many have no cost: a price was never known")
    energy_kwh: Amount | None = Field(
        description="Facility energy of those settled: IT energy (a workload's actual_energy_kwh) times PUE; this "
        "and the carbon and cost below are null while work has run and no such figure of it is known"
    )
    carbon_g: Amount | None = Field(description="gCO2, of those whose carbon is known")
    cost_gbp: Amount | None = Field(
        description="Cost of energy and of moving away from the origin, where it is known"
    )
    compared: int = Field(description="Workloads with a baseline that broke no limit; savings are theirs")
    carbon_saved_g: Amount | None = Field(description="gCO2 saved against the baseline, losses included")
    cost_saved_gbp: Amount | None = Field(description="Cost saved against the baseline, losses included")
    carbon_lost_g: Amount | None = Field(description="The losses in carbon_saved_g: a negative number, or 0")
    cost_lost_gbp: Amount | None = Field(description="The losses in cost_saved_gbp: a negative number, or 0")
    infeasible: int = Field(description="Workloads whose baseline would have broken a limit")
    infeasible_carbon_saved_g: Amount = Field(description="Their saving, which is in no sum above")
    infeasible_cost_saved_gbp: Amount = Field(description="Their saving, which is in no sum above")
    gpu_cost_gbp: Amount = Field(description="Cost of energy of the completed workloads that used GPUs")
    gpu_mins: Amount = Field(description="GPU minutes of the completed workloads whose cost is known")
    storage_half_hours: int = Field(description="Half hours that storage was dispatched for and that are over")
    storage_unvalued: int = Field(
        description="Of those in which energy flowed, how many lack a price or an intensity"
    )
    charged_kwh: Amount
    discharged_kwh: Amount
    storage_earned_gbp: Amount = Field(description="Sold less bought less wear, against idling; may be negative")
    storage_carbon_saved_g: Amount = Field(description="gCO2 against idling; negative when more was emitted")

    @computed_field(description="Cost of energy of one hour of one GPU; null without GPU work")  # type: ignore[prop-decorator]
    @property
    def cost_per_gpu_hour_gbp(self) -> float | None:
        """Return the cost of an hour of a GPU, over all GPU work whose cost is known."""
        return float(self.gpu_cost_gbp * 60 / self.gpu_mins) if self.gpu_mins else None


_ADDED = tuple(Figures.model_fields)
_KNOWN_OF: Final[Mapping[str, str]] = {
    "energy_kwh": "",
    "carbon_g": "carbon_unknown",
    "carbon_saved_g": "carbon_unknown",
    "carbon_lost_g": "carbon_unknown",
    "cost_gbp": "cost_unknown",
    "cost_saved_gbp": "cost_unknown",
    "cost_lost_gbp": "cost_unknown",
}
"""Sums of workloads, by the count of those settled that have no such figure."""
_KINDS = list(Kind)


class Total(Figures):
    """All of one kind."""

    kind: Kind


class ReportRow(Figures):
    """All of one kind on one day, or by one agent."""

    kind: Kind
    day: date | None = Field(default=None, description="London day; null in a report by agent")
    agent: str | None = Field(
        default=None, description="The agent's id; null in a report by day, or if none decided"
    )


class Report(BaseModel):
    """What became of the work and storage of one operator."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    operator_id: UUID
    start: date = Field(description="First London day")
    end: date = Field(description="The London day after the last")
    by: By
    baselines: dict[str, str] = Field(
        default={"workloads": "run now at origin", "storage": "idle"},
        description="What savings are against, as prices and intensities turned out",
    )
    rows: list[ReportRow]
    totals: list[Total] = Field(description="One for each kind; kinds are never added up")
    notice: str | None = Field(description="What a reader must know of simulated figures")


def report(
    database: Database,
    operator_id: UUID,
    now: datetime,
    *,
    start: date | None = None,
    end: date | None = None,
    by: By = By.DAY,
) -> Report:
    """Return the report on the London days [start, end): the last seven, today included, unless told.

    Raises `Invalid` when there is no day in it or more than 366.
    """
    last = now.astimezone(LONDON).date() + timedelta(days=1) if end is None else end
    first = last - timedelta(days=_LAST_DAYS) if start is None else start
    if not first < last:
        raise Invalid(f"The stretch from {first} up to {last} has no day; its end is excluded. Choose a later end.")
    if (last - first).days > _MOST_DAYS:
        raise Invalid(
            f"From {first} to {last} there are {(last - first).days} days. Valid: 1 to {_MOST_DAYS}; the end is "
            "the day after the last."
        )
    with database.as_reader(operator_id) as transaction:
        found = transaction.all("report_rows", operator_id=operator_id, start=midnight(first), end=midnight(last))
    found.sort(key=lambda row: _KINDS.index(row["kind"]))
    rows = _rows(found, by)
    totals = [Total(kind=kind, **figures) for (kind,), figures in _sums(found, lambda row: (row["kind"],))]
    return Report(
        as_of=now,
        operator_id=operator_id,
        start=first,
        end=last,
        by=by,
        rows=rows,
        totals=totals,
        notice=_notice(totals),
    )


def _rows(found: list[dict[str, Any]], by: By) -> list[ReportRow]:
    """Return the rows in order of day or agent, nobody last, and within it of kind."""
    ordered = sorted(found, key=lambda row: (row[by] is None, row[by] or ""))
    sums = _sums(ordered, lambda row: (row[by], row["kind"]))
    return [ReportRow(**{by.value: label}, kind=kind, **figures) for (label, kind), figures in sums]


def _sums(
    rows: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], tuple[Any, ...]]
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the sums of the rows that have the same key, in the order in which keys first appear."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return [(one, _sum(those)) for one, those in groups.items()]


def _sum(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of the rows. One to which nothing that ran has a figure is not known, and not 0."""
    held = list(rows)
    added = {name: sum(row[name] for row in held) for name in (*_ADDED, "settled")}
    settled = added.pop("settled")
    for name, unknown in _KNOWN_OF.items():
        without = added.get(unknown, 0)
        if settled == without and added["unsettled"] + without:
            added[name] = None
    return added


def _notice(totals: Iterable[Total]) -> str | None:
    kinds = {total.kind for total in totals}
    said = []
    if Kind.SIMULATED in kinds:
        said.append(
            "Figures of the kind `simulated` are of work or storage that Pylon made up, or of real work at a site "
            "that it made up."
        )
    if Kind.PARTLY_SIMULATED in kinds:
        said.append("Those of the kind `partly_simulated` are of real ones, at prices or intensities it made up.")
    return " ".join(said) or None
