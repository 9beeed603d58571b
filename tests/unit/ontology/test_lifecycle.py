"""The life of a workload."""

from __future__ import annotations

import itertools

from pylon.ontology.enums import WorkloadStatus
from pylon.ontology.lifecycle import DEFERRED, NEXT, may_follow

S = WorkloadStatus


def test_every_status_has_a_place() -> None:
    assert set(NEXT) == set(WorkloadStatus)
    assert {status for status in WorkloadStatus if status.name.startswith("DEFERRED_")} == DEFERRED


def test_what_has_ended_stays_ended_and_nothing_else_does() -> None:
    for status in WorkloadStatus:
        assert (NEXT[status] == frozenset()) is status.is_final


def test_only_what_runs_is_completed_and_what_runs_is_not_put_off() -> None:
    assert {status for status in WorkloadStatus if may_follow(status, S.COMPLETED)} == {S.RUNNING}
    assert not {S.PENDING, S.QUEUED, *DEFERRED} & NEXT[S.RUNNING]


def test_every_status_can_be_reached_and_every_life_can_end() -> None:
    def lives(status: WorkloadStatus, seen: frozenset[WorkloadStatus]) -> frozenset[WorkloadStatus]:
        for then in NEXT[status] - seen:
            seen = lives(then, seen | {then})
        return seen

    assert lives(S.PENDING, frozenset({S.PENDING})) == frozenset(WorkloadStatus)
    for status in WorkloadStatus:
        assert status.is_final or lives(status, frozenset()) & {S.CANCELLED}


def test_nothing_starts_without_being_booked_first() -> None:
    for now, then in itertools.product(WorkloadStatus, [S.RUNNING]):
        assert may_follow(now, then) is (now is S.QUEUED or now in DEFERRED)
