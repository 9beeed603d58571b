"""List signals: every series, what it means, how much is held of it, whose values, and what is withheld."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pylon.services.series import SERIES, Series
from pylon.sources.feed import SIMULATED
from pylon.store.database import Database

__all__ = ["SignalList", "SignalSummary", "list_signals"]


class SignalSummary(BaseModel):
    """One series."""

    model_config = ConfigDict(frozen=True)

    name: str
    unit: str = Field(description="Unit of the values; 1 for a plain number")
    doc: str
    object_type: str = Field(description="The object type it is a column of")
    column: str
    region_id: int | None = Field(description="The API's number of the region; null for a national series")
    first_half_hour: datetime | None = Field(description="Start of the first half hour held; null when none is")
    last_half_hour: datetime | None
    sources: list[str] = Field(description="Whose values are held, by label; `simulated` when Pylon made them up")
    contains_simulated: bool
    latest_vintage_at: datetime | None = Field(description="When a source last gave it otherwise than before")
    open_flags: int = Field(description="Values withheld at present")
    scored_against: str | None = Field(description="The series its forecasts are scored against, if any")


class SignalList(BaseModel):
    """Every series."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    signals: list[SignalSummary]


def list_signals(database: Database, now: datetime) -> SignalList:
    """Return every series, national ones first; those of which nothing is held too."""
    with database.as_anyone() as transaction:
        held = {row["series"]: row for row in transaction.all("signals_held")}
        vintages = {row["series"]: row for row in transaction.all("vintages_held")}
        flags = Counter[str]()
        for row in transaction.all("open_flags"):
            flags[row["series"]] += row["values_withheld"]
    return SignalList(
        as_of=now,
        signals=[
            _summary(series, held.get(name, {}), vintages.get(name, {}), flags[name])
            for name, series in SERIES.items()
        ],
    )


def _summary(series: Series, held: dict[str, Any], vintages: dict[str, Any], flags: int) -> SignalSummary:
    sources = sorted(label for label in held.get("sources", ()) if label)
    return SignalSummary(
        name=series.name,
        unit=series.spec.unit,
        doc=series.spec.doc,
        object_type=series.object_type.__name__,
        column=series.column,
        region_id=series.region_id,
        first_half_hour=held.get("first"),
        last_half_hour=held.get("last"),
        sources=sources,
        contains_simulated=SIMULATED in sources,
        latest_vintage_at=vintages.get("latest"),
        open_flags=flags,
        scored_against=series.actual,
    )
