"""Check quality: what a run received and should not serve is withheld, kept raw, and said why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from pylon.ontology.calendar import HALF_HOUR
from pylon.planning import quality
from pylon.planning.quality import HalfHour, Quantity, Verdict
from pylon.sources.feed import Batch, NationalReading
from pylon.store.database import Transaction, json_text

__all__ = ["Checked", "check_quality"]

_OVERDUE_AFTER = timedelta(hours=2)
"""An actual comes 15 to 30 minutes after its half hour; one that has not come after this long is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The batches of one run by source, fit to store, and how many values of each were withheld."""

    batches: Mapping[str, Batch]
    withheld: Mapping[str, int]
    flags_written: int


def check_quality(
    transaction: Transaction,
    given: Mapping[str, Batch],
    *,
    run_id: UUID,
    now: datetime,
    expects_actuals: bool = True,
) -> Checked:
    """Return the batches of a run, by source, without the values that are not fit to serve; record those.

    `given` holds what real sources gave: simulated values are not checked. National carbon is judged by
    `planning.quality`, with what is stored and the generation mix of this run beside it; a flag on a value that was
    judged again and passed is cleared. An actual that has not come is flagged where one is expected.
    """
    carbon = {name: found for name, batch in given.items() if (found := _carbon_of(batch))}
    if not carbon:
        return Checked(batches=given, withheld={}, flags_written=0)
    known = _known(transaction, given.values(), carbon.values())
    overdue_before = now - _OVERDUE_AFTER - HALF_HOUR if expects_actuals else None
    verdicts = {name: _judge(readings, known, overdue_before) for name, readings in carbon.items()}
    cleaned = {name: _without(given[name], found) for name, found in verdicts.items()}
    return Checked(
        batches={**given, **cleaned},
        withheld={name: _withheld(batch) for name, batch in cleaned.items()},
        flags_written=_record(transaction, verdicts, carbon, run_id=run_id, now=now),
    )


def _carbon_of(batch: Batch) -> list[NationalReading]:
    says = (r for r in batch.national if (r.carbon_intensity_forecast, r.carbon_intensity_actual) != (None, None))
    return sorted(says, key=lambda reading: reading.starts_at)


def _known(
    transaction: Transaction, given: Iterable[Batch], carbon: Iterable[list[NationalReading]]
) -> dict[datetime, HalfHour]:
    """Return what is known besides this run's carbon: stored carbon, and the mix, this run's over the stored."""
    half_hours = [reading.starts_at for readings in carbon for reading in readings]
    start, end = min(half_hours) - HALF_HOUR, max(half_hours) + HALF_HOUR
    stored = {row["timestamp"]: row for row in transaction.all("carbon_known", start=start, end=end)}
    mixes = {at: row["mix"] for at, row in stored.items() if row["mix"]}
    mixes |= {reading.starts_at: reading.mix for batch in given for reading in batch.national if reading.mix}
    return {
        at: HalfHour(
            starts_at=at,
            forecast=stored[at]["forecast"] if at in stored else None,
            actual=stored[at]["actual"] if at in stored else None,
            mix=quality.mix_intensity(mixes[at]) if at in mixes else None,
        )
        for at in {*stored, *mixes}
    }


def _judge(
    readings: list[NationalReading], known: Mapping[datetime, HalfHour], overdue_before: datetime | None
) -> list[Verdict]:
    half_hours = []
    for reading in readings:
        at = reading.starts_at
        stored = known.get(at, HalfHour(starts_at=at, forecast=None, actual=None))
        # An actual that the source once gave and now leaves out is served still, so it is judged still.
        actual = stored.actual if reading.carbon_intensity_actual is None else reading.carbon_intensity_actual
        half_hours.append(
            HalfHour(
                starts_at=at,
                forecast=reading.carbon_intensity_forecast,
                earlier_forecast=stored.forecast,
                actual=actual,
                mix=stored.mix,
                is_overdue=overdue_before is not None and at <= overdue_before,
            )
        )
    before = known.get(half_hours[0].starts_at - HALF_HOUR)
    return quality.judge(half_hours, before if before and before.actual is not None else None)


def _without(batch: Batch, verdicts: list[Verdict]) -> Batch:
    """Return the batch without the values judged; an index word that follows a withheld value goes with it."""
    bad: dict[datetime, set[Quantity]] = {}
    for verdict in verdicts:
        if verdict.raw is not None:
            bad.setdefault(verdict.starts_at, set()).add(verdict.quantity)
    if not bad:
        return batch
    national = [
        _clean(reading, bad[reading.starts_at]) if reading.starts_at in bad else reading
        for reading in batch.national
    ]
    return replace(batch, national=national)


def _clean(reading: NationalReading, bad: set[Quantity]) -> NationalReading:
    follows = Quantity.FORECAST if reading.carbon_intensity_actual is None else Quantity.ACTUAL
    return replace(
        reading,
        carbon_intensity_forecast=None if Quantity.FORECAST in bad else reading.carbon_intensity_forecast,
        carbon_intensity_actual=None if Quantity.ACTUAL in bad else reading.carbon_intensity_actual,
        carbon_index=None if follows in bad else reading.carbon_index,
        withheld=frozenset(bad),
    )


def _withheld(batch: Batch) -> int:
    return sum(len(reading.withheld) for reading in batch.national)


def _record(
    transaction: Transaction,
    verdicts: Mapping[str, list[Verdict]],
    carbon: Mapping[str, list[NationalReading]],
    *,
    run_id: UUID,
    now: datetime,
) -> int:
    """Record the flags and clear those that no longer hold; return how many rows that wrote."""
    flags = {
        (verdict.starts_at, verdict.quantity, verdict.rule): {
            "series": _series(verdict.quantity),
            "starts_at": verdict.starts_at,
            "rule": verdict.rule,
            "raw": verdict.raw,
            "reason": verdict.reason,
        }
        for found in verdicts.values()
        for verdict in found
    }
    # Where no value came nothing has passed: a flag that stands there goes on standing.
    came = {
        quantity: sorted({r.starts_at for rs in carbon.values() for r in rs if getattr(r, quantity) is not None})
        for quantity in Quantity
    }
    done = transaction.value(
        "record_flags",
        flags=json_text(list(flags.values())),
        checked=json_text([{"series": _series(quantity), "half_hours": came[quantity]} for quantity in Quantity]),
        run_id=run_id,
        now=now,
    )
    return int(done["raised"]) + int(done["cleared"])


def _series(quantity: Quantity) -> str:
    return f"national.{quantity}"
