"""Leases: one process at a time, for as long as it lives and a little longer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pylon.errors import Invalid, LeaseHeld, LeaseLost
from pylon.store.database import Database
from pylon.store.leases import held, hold
from tests.acceptance.support import until
from tests.conftest import NOW
from tests.doubles.clock import Clock

MINE, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


def take(database: Database, holder: UUID, now: datetime, *, term_s: int = 30) -> bool:
    with database.as_ingest() as transaction:
        return bool(transaction.value("take_lease", name="work", holder=holder, now=now, term_s=term_s))


def release(database: Database, holder: UUID) -> bool:
    with database.as_ingest() as transaction:
        return bool(transaction.value("release_lease", name="work", holder=holder))


def test_while_one_holds_it_no_other_may_take_it(database: Database, clock: Clock) -> None:
    with held(database, "work", MINE, clock):
        assert not take(database, OTHER, clock())


def test_leases_of_different_work_do_not_meet(database: Database, clock: Clock) -> None:
    with held(database, "work", MINE, clock), held(database, "other work", OTHER, clock):
        pass


def test_it_is_free_again_when_the_block_ends(database: Database, clock: Clock) -> None:
    with held(database, "work", MINE, clock):
        pass
    assert take(database, OTHER, clock())


def test_it_is_free_again_when_the_block_fails(database: Database, clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), held(database, "work", MINE, clock):
        raise ZeroDivisionError
    assert take(database, OTHER, clock())


def test_whoever_comes_second_is_told_until_when_to_wait(database: Database, clock: Clock) -> None:
    said = "Another process runs the work now; its lease ends at 09:00:30 UTC unless it renews it"
    take(database, OTHER, clock())
    with pytest.raises(LeaseHeld, match=said) as refused, held(database, "work", MINE, clock):
        pytest.fail("two hold the lease")
    assert refused.value.problem()["name"] == "work"


def test_a_lease_whose_holder_died_ends_by_itself(database: Database, clock: Clock) -> None:
    take(database, OTHER, clock(), term_s=30)
    assert not take(database, MINE, clock.advance(timedelta(seconds=29.999)))
    assert take(database, MINE, clock.advance(timedelta(milliseconds=1)))


def test_its_holder_may_take_it_again_and_has_it_for_longer(database: Database, clock: Clock) -> None:
    take(database, MINE, clock())
    assert take(database, MINE, clock.advance(timedelta(seconds=20)))
    assert not take(database, OTHER, clock.advance(timedelta(seconds=20)))
    with database.as_ingest() as transaction:
        lease = transaction.one("lease", name="work")
    assert lease is not None
    assert (lease["acquired_at"], lease["expires_at"]) == (NOW, NOW + timedelta(seconds=50))


def test_it_is_renewed_while_the_block_runs(database: Database) -> None:
    def wall() -> datetime:
        return datetime.now(UTC)

    def ends_at() -> datetime:
        with database.as_ingest() as transaction:
            lease = transaction.one("lease", name="work")
        assert lease is not None
        return lease["expires_at"]  # type: ignore[no-any-return]

    with held(database, "work", MINE, wall, term_s=3):
        first = ends_at()
        until(lambda: ends_at() > first)
        assert not take(database, OTHER, first)


def test_nobody_releases_what_another_holds(database: Database, clock: Clock) -> None:
    take(database, MINE, clock())
    assert not release(database, OTHER)
    assert release(database, MINE)


def test_what_is_written_under_it_is_written_by_its_holder(database: Database, clock: Clock) -> None:
    take(database, MINE, clock())
    with database.as_ingest() as transaction:
        hold(transaction, "work", MINE, clock())


def test_a_holder_whose_lease_ended_may_not_write(database: Database, clock: Clock) -> None:
    take(database, MINE, clock())
    said = "The lease on work ended before the work did; nothing was written"
    with pytest.raises(LeaseLost, match=said), database.as_ingest() as transaction:
        hold(transaction, "work", MINE, clock.advance(timedelta(seconds=30)))


def test_a_holder_whose_lease_another_took_may_not_write(database: Database, clock: Clock) -> None:
    take(database, MINE, clock())
    assert take(database, OTHER, clock.advance(timedelta(seconds=30)))
    with pytest.raises(LeaseLost), database.as_ingest() as transaction:
        hold(transaction, "work", MINE, clock())


def test_nobody_takes_it_between_the_check_and_the_commit(database: Database, clock: Clock) -> None:
    take(database, MINE, clock())
    later = clock() + timedelta(seconds=30)
    with ThreadPoolExecutor(1) as pool:
        with database.as_ingest() as transaction:
            hold(transaction, "work", MINE, clock())
            taking = pool.submit(take, database, OTHER, later)
            time.sleep(0.2)
            assert not taking.done()
        assert taking.result(10)


def test_of_many_that_race_for_it_exactly_one_wins(database: Database, clock: Clock) -> None:
    start = threading.Barrier(4)

    def race(number: int) -> bool:
        start.wait()
        return take(database, UUID(int=number), clock())

    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert sum(pool.map(race, range(1, 5))) == 1
            clock.advance(timedelta(seconds=60))


def test_a_lease_without_a_term_is_refused(database: Database, clock: Clock) -> None:
    with pytest.raises(Invalid, match="leases_term_s_range"):
        take(database, MINE, clock(), term_s=0)
