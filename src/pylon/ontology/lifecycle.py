"""The life of a workload: which status may follow which."""

from __future__ import annotations

from collections.abc import Mapping

from pylon.ontology.enums import WorkloadStatus

__all__ = ["DEFERRED", "NEXT", "may_follow"]

_S = WorkloadStatus

DEFERRED = frozenset({_S.DEFERRED_GRID_STRESS, _S.DEFERRED_CARBON, _S.DEFERRED_PRICE})
"""Put off, and why: with a later time booked, or for the present without."""

_NOT_RUN = frozenset({_S.FAILED, _S.CANCELLED})

NEXT: Mapping[WorkloadStatus, frozenset[WorkloadStatus]] = {
    _S.PENDING: DEFERRED | _NOT_RUN | {_S.PENDING, _S.QUEUED},
    _S.QUEUED: DEFERRED | _NOT_RUN | {_S.PENDING, _S.QUEUED, _S.RUNNING},
    **dict.fromkeys(sorted(DEFERRED), DEFERRED | _NOT_RUN | {_S.PENDING, _S.QUEUED, _S.RUNNING}),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED}),
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
}
"""What may follow each status. FAILED is also a job that was never started: rejected, or past its time."""


def may_follow(now: WorkloadStatus, then: WorkloadStatus) -> bool:
    """Return whether a workload that is `now` may become `then`."""
    return then in NEXT[now]
