"""How the actions on work that runs are carried out: its start, its end, and its being given up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from pylon.agents.contract import Span
from pylon.errors import Refused
from pylon.ontology import actions
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.enums import DataCentreStatus, WorkloadStatus
from pylon.ontology.fleet import DataCentre
from pylon.ontology.lifecycle import NEXT, may_follow
from pylon.services.desk import Asked, Desk, Handler

__all__ = ["HANDLERS", "must_become"]

_S = WorkloadStatus
_MOST_TIMES_ITS_POWER: Final = 3
_RUNS_THERE: Final = "At a simulated site: nothing is computed. Pylon ends it when its time is over, if you do not."
_RAN_THERE: Final = "Ran at a simulated site: nothing was computed, and its actual_* are simulated."


def must_become(workload: ComputeWorkload, status: WorkloadStatus) -> None:
    """Refuse what the status machine does not allow, naming what it does."""
    if not may_follow(workload.status, status):
        follow = ", ".join(sorted(NEXT[workload.status])) or "nothing: it has ended"
        raise Refused.because(
            "status",
            f"{workload.job_id!r} is {workload.status} and cannot become {status}. What may follow: {follow}.",
            job_id=workload.job_id,
            status=workload.status.value,
            wanted=status.value,
            valid=sorted(NEXT[workload.status]),
        )


def _start(desk: Desk, given: actions.StartWorkload, _: Asked) -> None:
    workload = desk.workload(given.job_id)
    must_become(workload, _S.RUNNING)
    at = given.at or desk.now
    if workload.host_dc_id is None:
        raise Refused.because("booked", f"{workload.job_id!r} is booked nowhere, so it cannot start.")
    if not workload.created_at <= at <= desk.now:
        raise _not_ahead(workload, "start", workload.created_at, desk.now)
    centre = desk.centre_of(workload.host_dc_id)
    if centre.status is DataCentreStatus.OFFLINE:
        detail = f"{centre.dc_id} is OFFLINE, so nothing starts there."
        raise Refused.because("not_offline", detail, dc_id=centre.dc_id)
    if at != workload.scheduled_start:
        _rebook(desk, workload, centre, at)
    started = {"status": _S.RUNNING, "started_at": at}
    desk.change(workload.model_copy(update={**started, **_site_label(desk, workload, _RUNS_THERE)}))


def _rebook(desk: Desk, workload: ComputeWorkload, centre: DataCentre, at: datetime) -> None:
    """Book the work where it runs from when it has in fact begun, in one piece: that is the room it takes up."""
    booking = desk.view.bookings.get(workload.id)
    if booking is not None and booking.decision_id is not None:
        ends_at = at + timedelta(minutes=workload.duration_mins)
        desk.book(workload, centre, [Span(at, ends_at)], booking.decision_id)
    desk.forget()


def _complete(desk: Desk, given: actions.CompleteWorkload, _: Asked) -> None:
    workload = desk.workload(given.job_id)
    must_become(workload, _S.COMPLETED)
    at = given.at or desk.now
    if workload.started_at is None or not workload.started_at <= at <= desk.now:
        raise _not_ahead(workload, "end", workload.started_at or workload.created_at, desk.now)
    hours = Decimal(max(at - workload.started_at, timedelta(minutes=1)) / timedelta(hours=1))
    most_kwh = round(_MOST_TIMES_ITS_POWER * workload.power_kw * hours, 2)
    if given.energy_kwh is not None and given.energy_kwh > most_kwh:
        drew = f"{workload.power_kw} kW for {hours:.2f} h cannot be {given.energy_kwh} kWh"
        detail = f"{drew} of IT energy. At most {most_kwh} kWh is believed."
        raise Refused.because("energy_plausible", detail, job_id=workload.job_id, most_kwh=float(most_kwh))
    ended = {"status": _S.COMPLETED, "completed_at": at, "actual_energy_kwh": given.energy_kwh}
    desk.change(workload.model_copy(update={**ended, **_site_label(desk, workload, _RAN_THERE)}))
    desk.forget()


def _site_label(desk: Desk, workload: ComputeWorkload, said: str) -> dict[str, str]:
    """Return what labels a real job at a simulated site; a simulated job is labelled as it is."""
    site = None if workload.is_simulated or workload.host_dc_id is None else desk.centre_of(workload.host_dc_id)
    return {"status_reason": said} if site is not None and site.is_simulated else {}


def _fail(desk: Desk, given: actions.FailWorkload, _: Asked) -> None:
    _end(desk, given, _S.FAILED)


def _cancel(desk: Desk, given: actions.CancelWorkload, _: Asked) -> None:
    _end(desk, given, _S.CANCELLED)


def _end(desk: Desk, given: actions.FailWorkload | actions.CancelWorkload, status: WorkloadStatus) -> None:
    """End a job before it is done. What it ran stays on record; what it was still to run is given up."""
    workload = desk.workload(given.job_id)
    must_become(workload, status)
    if workload.status is not _S.RUNNING:
        desk.clear(workload)
    desk.change(
        workload.model_copy(update={"status": status, "status_reason": given.reason, "completed_at": desk.now})
    )
    desk.forget()


def _not_ahead(workload: ComputeWorkload, what: str, since: datetime, now: datetime) -> Refused:
    valid = f"from {since:%Y-%m-%d %H:%M:%S} to {now:%Y-%m-%d %H:%M:%S} UTC"
    detail = f"{workload.job_id!r} cannot {what} then. Valid: {valid}."
    return Refused.because("not_ahead", detail, job_id=workload.job_id)


HANDLERS: Final[Mapping[str, Handler]] = {
    "start_workload": _start,
    "complete_workload": _complete,
    "fail_workload": _fail,
    "cancel_workload": _cancel,
}
"""The handler of each action on work that runs."""
