"""Recall signals: what was known of each series at a moment, from the vintages recorded by then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pylon.errors import Invalid
from pylon.services.series import Series
from pylon.sources import feed
from pylon.sources.feed import Source
from pylon.store.database import Transaction, json_text

__all__ = ["Known", "Recalled", "Withheld", "not_ahead", "recall", "withheld"]


class Withheld(BaseModel):
    """A value that was received, kept raw, and found not fit to serve."""

    model_config = ConfigDict(frozen=True)

    starts_at: datetime = Field(description="Start of the half hour")
    rule: str = Field(description="The rule that found it, e.g. national_zero")
    raw: Any = Field(description="The value as received")
    reason: str = Field(description="What is wrong with it")
    flagged_at: datetime = Field(description="When it was found first")


@dataclass(frozen=True, slots=True)
class Known:
    """A value as it was known: who gave it, and when that was recorded."""

    value: float
    source: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was known of some series, by name and half hour; a half hour that was withheld has no value."""

    values: Mapping[str, Mapping[datetime, Known]]
    withheld: Mapping[str, Sequence[Withheld]]

    def at(self, name: str, half_hours: Iterable[datetime]) -> list[Known | None]:
        """Return the values of one series in these half hours, None where there was none."""
        known = self.values.get(name, {})
        return [known.get(at) for at in half_hours]


def recall(
    transaction: Transaction,
    series: Sequence[Series],
    *,
    start: datetime,
    end: datetime,
    as_of: datetime,
    sources: Sequence[Source] | None = None,
) -> Recalled:
    """Return what was known at `as_of` of the series in the half hours [start, end).

    In each half hour the value of the source that ranks highest, of equals the latest that was recorded by then;
    none where a quality flag stood. A simulated value never stands where a real one was known.
    """
    names = [one.name for one in series]
    ranks = json_text(feed.ranks(feed.discover() if sources is None else sources))
    flagged = withheld(transaction, series, start=start, end=end, as_of=as_of)
    hidden = {(name, flag.starts_at) for name, flags in flagged.items() for flag in flags}
    values: dict[str, dict[datetime, Known]] = defaultdict(dict)
    for row in transaction.all("signals_known", series=names, ranks=ranks, start=start, end=end, as_of=as_of):
        at = row["half_hour"].astimezone(UTC)
        if (row["series"], at) not in hidden:
            values[row["series"]][at] = Known(row["value"], row["source"], row["recorded_at"].astimezone(UTC))
    return Recalled(values, flagged)


def withheld(
    transaction: Transaction, series: Sequence[Series], *, start: datetime, end: datetime, as_of: datetime
) -> dict[str, list[Withheld]]:
    """Return the quality flags that stood at `as_of` on the half hours [start, end), by the name of the series."""
    names = [one.name for one in series]
    flags: dict[str, list[Withheld]] = defaultdict(list)
    for row in transaction.all("flags_known", series=names, start=start, end=end, as_of=as_of):
        times = {name: row[name].astimezone(UTC) for name in ("starts_at", "flagged_at")}
        flags[row["series"]].append(Withheld.model_validate({**row, **times}))
    return flags


def not_ahead(as_of: datetime, now: datetime) -> datetime:
    """Return `as_of` in UTC.

    Raises `Invalid` when it lies ahead of `now`: what will be known is not known.
    """
    if as_of > now:
        raise Invalid(
            f"as_of={as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} is in the future. Valid: a moment up to now, "
            f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}; leave it out for the latest."
        )
    return as_of.astimezone(UTC)
