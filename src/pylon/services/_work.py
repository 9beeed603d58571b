"""Work in hand: a workload as far as running and metering it need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from pylon.agents.contract import Span
from pylon.ontology.calendar import floor
from pylon.ontology.enums import DataCentreStatus, WorkloadStatus
from pylon.services._metering import Drawn, drawn, ends_at, ran
from pylon.store.database import Transaction

__all__ = ["Work", "in_hand"]

_BY_HAND = timedelta(hours=72)
"""Work that nobody decided about gets no outcome; so long after its end it is no longer looked at."""
_ROUNDING_KWH = 0.006
"""Recorded energy has two decimals."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A workload that is booked, runs, or ran and is not settled. Energy is IT unless a name says otherwise."""

    id: UUID
    job_id: str
    status: WorkloadStatus
    is_simulated: bool
    power_kw: float
    duration: timedelta
    booked: tuple[Span, ...]
    started_at: datetime | None
    completed_at: datetime | None
    """When it ended, however it did."""
    reported_kwh: float | None
    """What its owner says it used."""
    migration_gbp: float
    """What it costs to run anywhere but at its origin."""
    data_centre_id: UUID
    site_status: DataCentreStatus
    site_is_simulated: bool
    site_opened_at: datetime | None
    """When its site was last opened again, where that is known. Of work that is due and has not started."""
    origin_dc_id: UUID | None
    decision_id: UUID | None
    """The decision that stands."""
    recorded: Drawn
    """The facility energy that is recorded, by half hour."""

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.status.is_final

    @property
    def starts_at(self) -> datetime:
        """When it started, or is to start: as booked, or when its site opens again."""
        booked = self.booked[0].starts_at
        return self.started_at or max(booked, self.site_opened_at or booked)

    @property
    def ends_at(self) -> datetime:
        """When it will have run for its duration, if it starts as booked or started when it did."""
        return ends_at(self.booked, self.starts_at, self.duration)

    def spans_until(self, until: datetime) -> list[Span]:
        """Return when it ran up to its end, or up to `until` while it has not ended."""
        return [] if self.started_at is None else ran(self.booked, self.started_at, self.completed_at or until)

    @cached_property
    def hours_run(self) -> timedelta:
        """How long it ran in all. Of work that has ended."""
        spans = self.spans_until(self.starts_at)
        return sum((span.ends_at - span.starts_at for span in spans), timedelta())

    @property
    def is_recorded(self) -> bool:
        """Whether every half hour in which it drew energy is recorded. Of work that has ended."""
        return self.recorded.keys() >= self.facility_kwh(1.0).keys()

    @property
    def it_kwh(self) -> float:
        """What it used: as reported, else its power for as long as it ran. Of work that has ended."""
        return (
            self.power_kw * (self.hours_run / timedelta(hours=1))
            if self.reported_kwh is None
            else self.reported_kwh
        )

    @property
    def it_power_kw(self) -> float:
        """Its mean power while it ran: as reported, else what it was to draw."""
        if self.reported_kwh is None or not self.is_final or not self.hours_run:
            return self.power_kw
        return self.reported_kwh / (self.hours_run / timedelta(hours=1))

    def facility_kwh(self, pue: float, until: datetime | None = None) -> Drawn:
        """Return the facility energy it drew, by half hour, up to its end or up to `until`."""
        spans = self.spans_until(until or self.starts_at)
        if not spans and self.reported_kwh and self.started_at:  # it ended in the second it began
            return {floor(self.started_at): self.reported_kwh * pue}
        return drawn(spans, self.it_power_kw * pue)

    def metered_kwh(self, pue: float) -> Drawn:
        """Return the facility energy it drew as it was metered. Of work that has ended.

        The site's PUE may have changed since: what is recorded stands, unless rounding alone sets it apart.
        """
        return {
            at: kwh if abs(self.recorded.get(at, kwh) - kwh) < _ROUNDING_KWH else self.recorded[at]
            for at, kwh in self.facility_kwh(pue).items()
        }


def in_hand(transaction: Transaction, operator_id: UUID, now: datetime) -> list[Work]:
    """Return the operator's work in hand, by id."""
    rows = transaction.all("work_in_hand", operator_id=operator_id, now=now, settled_by=now - _BY_HAND)
    return [_work(row) for row in rows]


def _work(row: Mapping[str, Any]) -> Work:
    started_at = _utc(row["started_at"])
    duration = timedelta(minutes=row["duration_mins"])
    if row["starts"]:
        booked = tuple(
            Span(begins.astimezone(UTC), ends.astimezone(UTC))
            for begins, ends in zip(row["starts"], row["ends"], strict=True)
        )
    else:  # placed by hand, with a start alone
        begins = (started_at or row["scheduled_start"]).astimezone(UTC)
        booked = (Span(begins, begins + duration),)
    return Work(
        id=row["id"],
        job_id=row["job_id"],
        status=WorkloadStatus(row["status"]),
        is_simulated=row["is_simulated"],
        power_kw=row["power_kw"],
        duration=duration,
        booked=booked,
        started_at=started_at,
        completed_at=_utc(row["completed_at"]),
        reported_kwh=row["reported_kwh"],
        migration_gbp=row["migration_gbp"],
        data_centre_id=row["data_centre_id"],
        site_status=DataCentreStatus(row["site_status"]),
        site_is_simulated=row["site_is_simulated"],
        site_opened_at=_utc(row["site_opened_at"]),
        origin_dc_id=row["origin_dc_id"],
        decision_id=row["decision_id"],
        recorded={
            at.astimezone(UTC): kwh
            for at, kwh in zip(row["half_hours"] or (), row["energies_kwh"] or (), strict=True)
        },
    )


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)
