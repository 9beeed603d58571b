"""What a run withholds goes on being withheld until a value passes, whatever comes in between."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from pylon.ontology.calendar import HALF_HOUR
from pylon.services import ingest
from pylon.services.check_quality import Checked, check_quality
from pylon.sources.feed import SIMULATED, Batch, NationalReading
from pylon.store.database import Database
from tests.conftest import NOW

AT = NOW - timedelta(hours=6)
RANKS = {SIMULATED: 0, "api": 50}


def given(database: Database, number: int, *, forecast: int | None, actual: int | None) -> Checked:
    """Take one reading of the half hour, in the `number`th run."""
    reading = NationalReading(starts_at=AT, carbon_intensity_forecast=forecast, carbon_intensity_actual=actual)
    now, run_id = NOW + number * HALF_HOUR, UUID(int=number)
    with database.as_ingest() as transaction:
        batches = {"api": Batch(national=[reading], rows_seen=1)}
        checked = check_quality(transaction, batches, run_id=run_id, now=now)
        ingest.store_batch(transaction, "api", checked.batches["api"], ranks=RANKS, run_id=run_id, now=now)
    return checked


def standing(database: Database) -> set[str]:
    with database.as_anyone() as transaction:
        rows = transaction.statement(b"select rule from public.quality_flags where cleared_at is null").fetchall()
    return {row["rule"] for row in rows}


def stored(database: Database) -> tuple[int | None, int | None]:
    with database.as_anyone() as transaction:
        (row,) = transaction.all("national_signals", start=AT, end=AT + HALF_HOUR)
    return row["carbon_intensity_forecast"], row["carbon_intensity_actual"]


def test_a_false_zero_stands_until_a_value_comes_and_passes(database: Database) -> None:
    assert given(database, 1, forecast=150, actual=0).withheld == {"api": 1}
    assert (stored(database), standing(database)) == ((150, None), {"national_zero"})
    given(database, 2, forecast=150, actual=None)
    assert (stored(database), standing(database)) == ((150, None), {"national_zero", "actual_missing"})
    given(database, 3, forecast=150, actual=0)
    assert (stored(database), standing(database)) == ((150, None), {"national_zero"})
    given(database, 4, forecast=150, actual=160)
    assert (stored(database), standing(database)) == ((150, 160), set())


def test_a_forecast_of_zero_leaves_the_one_before_it(database: Database) -> None:
    given(database, 1, forecast=150, actual=140)
    assert given(database, 2, forecast=0, actual=140).withheld == {"api": 1}
    assert (stored(database), standing(database)) == ((150, 140), {"national_zero"})
    given(database, 3, forecast=155, actual=140)
    assert (stored(database), standing(database)) == ((155, 140), set())
