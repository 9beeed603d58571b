"""Read rows: make an object of the ontology of each row of a file, or say everything that is wrong with it."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from pylon.ontology.calendar import HALF_HOUR, floor, settlement_period
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.ontology.grid import GridSignal, RegionalGridSignal
from pylon.ontology.identity import derived_uuid
from pylon.ontology.types import ObjectType
from pylon.services import _cells
from pylon.services._cells import Refused, closest, shown
from pylon.services.import_types import DATE, PERIOD, Choice
from pylon.sources.files import FileRow

__all__ = ["EARLIEST", "LATEST_AHEAD", "Fault", "Good", "Known", "RowReader", "broken_rules"]

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST_AHEAD = timedelta(days=3653)
"""From when and how far ahead signals can be imported: what is kept for each half hour stays small."""

_GRAMS, _PRICE = "gCO2/kWh", (-10_000, 10_000, "GBP/MWh")
_NATIONAL_CARBON = (1, 1000, f"{_GRAMS}: nationally a 0 has only ever been a fault of the source")
_BOUNDS: Mapping[type[ObjectType], Mapping[str, tuple[int, int, str]]] = {
    GridSignal: {
        "carbon_intensity_forecast": _NATIONAL_CARBON,
        "carbon_intensity_actual": _NATIONAL_CARBON,
        "demand_mw": (1, 100_000, "MW"),
        "wholesale_price_gbp_mwh": _PRICE,
        "system_price_gbp_mwh": _PRICE,
    },
    RegionalGridSignal: {"carbon_intensity_forecast": (0, 1000, _GRAMS)},
}
"""The least and the most of each quantity, and its unit: what the readers of the grid's own sources allow."""
_OUTTURNS = ("carbon_intensity_actual", "system_price_gbp_mwh")
_MINUTE = "%Y-%m-%dT%H:%MZ"
_SHOULD = re.compile(r"^[\w ]*?\bshould\b")
_NEVER_STORED = UUID(int=0)  # a signal's id is the database's to give


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a row; `column` is empty when it is the whole line."""

    line: int
    column: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Good:
    """A row that is an object; `given` are the columns the file speaks of, and what follows from them."""

    line: int
    row: ObjectType
    given: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What rows may refer to: the operator, its data centres by dc_id, and the regions as the store has them."""

    operator_id: UUID
    import_id: UUID
    now: datetime
    centres: Mapping[str, UUID]
    regions: tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class _Draft:
    """A row that is being read: its raw values by column, the values made of them, and what is wrong.

    `called` is what the file calls a column, where that is not its own name.
    """

    line: int
    called: Mapping[str, str]
    raw: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)

    def refuse(self, column: str, why: str) -> None:
        value = shown(self.raw[column]) if column in self.raw else ""
        self.faults.setdefault(column, Fault(self.line, self.called.get(column, column), value, why))

    def fill(self, column: str, value: Any) -> None:
        """Set a column that follows from others."""
        self.values[column] = value
        self.given.add(column)


class RowReader:
    """Reads the rows of one file, one after the other, and remembers which it has seen."""

    def __init__(self, choice: Choice, renames: Mapping[str, str], known: Known) -> None:
        """Read rows of the chosen type; `renames` is for columns that only later rows have."""
        self._type = choice.type
        self._columns = dict(choice.columns)
        self._renames = renames
        self._known = known
        self._called = {column: name for name, column in choice.columns.items()}
        self._regions = {
            str(name).casefold(): region
            for column in ("dno_region", "short_name", "id", "region_id")  # the last of two of one name counts
            for region in known.regions
            if (name := region[column]) is not None
        }
        self._is_site = choice.type.row_type in (DataCentre, StorageAsset)
        self._seen: dict[Any, int] = {}
        self._seen_half_hours: dict[UUID | None, array[int]] = {}

    def read(self, given: FileRow) -> Good | list[Fault]:
        """Return the row as an object, or everything that is wrong with it."""
        if given.fault is not None:
            return [Fault(given.line, "", "", given.fault)]
        draft = _Draft(given.line, self._called)
        for name, value in given.values.items():
            self._take(draft, name, value)
        self._settle_time(draft)
        (self._fill_signal if self._type.is_signal else self._fill)(draft)
        row = self._validated(draft)
        if row is not None:
            self._check(draft, row)
        if draft.faults or row is None:
            return list(draft.faults.values())
        return Good(given.line, row, frozenset(draft.given))

    def _take(self, draft: _Draft, name: str, value: Any) -> None:
        """Read one cell into the draft; blank is as good as absent."""
        names = self._type.names if name not in self._columns else {}
        column = self._columns.get(name) or names.get(self._renames.get(name, name))
        if column is None:
            why = f"is no column of {self._type.name} to import.{closest(name, names)}"
            draft.faults[name] = Fault(draft.line, name if name.isprintable() else shown(name), shown(value), why)
            return
        if column in draft.raw:
            draft.refuse(column, "is given twice, under two names")
            return
        self._columns[name] = column
        self._called.setdefault(column, name)
        draft.raw[column] = value
        draft.given.add(column)
        if _cells.is_blank(value):
            return
        try:
            draft.values[column] = self._parsed(column, value)
        except Refused as refused:
            draft.refuse(column, str(refused))

    def _parsed(self, column: str, value: Any) -> Any:
        if column == DATE:
            return _cells.settlement_day(value)
        if column == PERIOD:
            return _cells.integer(value.strip() if isinstance(value, str) else value)
        if column == "allowed_region_ids":
            parts = value.split(";") if isinstance(value, str) else value if isinstance(value, list) else [value]
            return [self._region(part)["region_id"] for part in parts if not _cells.is_blank(part)]
        spec = self._type.columns[column]
        if spec.ref and spec.ref.target == "Region":
            return self._region(value)["id"]
        if spec.ref and spec.ref.target == "DataCentre":
            return self._centre(value)
        return _cells.parsed(spec, value)

    def _region(self, value: Any) -> Mapping[str, Any]:
        """Return the region that is meant: by the API's number, its name, or its id."""
        text = value.strip() if isinstance(value, str) else str(value)
        found = self._regions.get(text.casefold())
        if found and not (self._is_site and found["is_aggregate"]):
            return found
        valid = [one for one in self._known.regions if not (self._is_site and one["is_aggregate"])]
        why = f"must be a region's number, 1 to {len(valid)}, or its name"
        if found:
            raise Refused(f"{why}: {found['short_name']} sums up several, and a site is in one of them")
        raise Refused(f"{why}.{closest(text, [one['short_name'] for one in valid])}")

    def _centre(self, value: Any) -> UUID:
        """Return the id of the operator's data centre that is meant: by its dc_id, or its id."""
        text = value.strip() if isinstance(value, str) else str(value)
        centres = self._known.centres
        if text in centres:
            return centres[text]
        for own in centres.values():
            if str(own) == text.lower():
                return own
        raise Refused(f"must be the dc_id of a data centre of yours.{closest(text, centres)}")

    def _settle_time(self, draft: _Draft) -> None:
        """Make the time of a settlement date and period; where both are given, they must agree."""
        day, number = draft.values.pop(DATE, None), draft.values.pop(PERIOD, None)
        draft.given -= {DATE, PERIOD}
        column = self._type.time
        if column is None or day is None or number is None:
            return
        try:
            starts_at = _cells.settlement_start(day, number)
        except Refused as refused:
            draft.refuse(PERIOD, str(refused))
            return
        if draft.values.get(column, starts_at) != starts_at:
            draft.refuse(column, f"is not period {number} of {day}, which begins at {starts_at:{_MINUTE}}")
        draft.fill(column, starts_at)

    def _fill(self, draft: _Draft) -> None:
        """Give a row of an operator what Pylon gives it, and refuse what only Pylon may."""
        values, known, fields = draft.values, self._known, self._type.row_type.model_fields
        if values.setdefault("operator_id", known.operator_id) != known.operator_id:
            draft.refuse("operator_id", "is not yours. Leave the column out")
        if values.get("is_simulated"):
            draft.refuse("is_simulated", "must be false: only what Pylon makes up is simulated")
        values.setdefault("id", derived_uuid(known.now, str(known.import_id), str(draft.line)))
        for stamp in ("created_at", "updated_at"):
            if stamp in fields:
                values.setdefault(stamp, known.now)
        if self._type.row_type is DataCentre and "location_region" not in values and "region_id" in values:
            draft.fill("location_region", self._regions[str(values["region_id"])]["short_name"])
        energy, minutes = values.get("estimated_energy_kwh"), values.get("duration_mins")
        if self._type.row_type is ComputeWorkload and "power_kw" not in values and energy is not None and minutes:
            draft.fill("power_kw", Decimal(energy) * 60 / minutes)

    def _fill_signal(self, draft: _Draft) -> None:
        """Check the values and the time of a signal, and give it what follows from that."""
        for column, (least, most, unit) in _BOUNDS[self._type.row_type].items():
            if column in draft.values and not least <= draft.values[column] <= most:
                draft.refuse(column, f"must be from {least:,} to {most:,} {unit}")
        at: datetime | None = draft.values.get("timestamp")
        if at is None:
            return
        newest = floor(self._known.now) - HALF_HOUR
        if at > newest:
            for column in draft.values.keys() & _OUTTURNS:
                draft.refuse(column, f"must be of a half hour that is over: the last one began {newest:{_MINUTE}}")
        if at != floor(at):
            draft.refuse("timestamp", "must be the start of a half hour: minute 0 or 30")
        if not EARLIEST <= at < self._known.now + LATEST_AHEAD:
            draft.refuse("timestamp", f"must be in {EARLIEST.year} or later, and at most ten years ahead")
        draft.values |= {"id": _NEVER_STORED, "fetched_at": self._known.now}
        if self._type.row_type is GridSignal:
            draft.values[PERIOD] = settlement_period(at)[1]

    def _validated(self, draft: _Draft) -> ObjectType | None:
        try:
            return self._type.row_type.model_validate(draft.values)
        except ValidationError as error:
            for one in error.errors(include_url=False, include_context=False, include_input=False):
                column = str(one["loc"][0])
                if one["type"] != "missing":
                    draft.refuse(column, _SHOULD.sub("must", one["msg"].removeprefix("Value error, ")))
                elif column in self._type.columns and column not in draft.faults:
                    is_settled = column == self._type.time and {DATE, PERIOD} & draft.faults.keys()
                    if not is_settled:
                        draft.refuse(column, "is required")
            return None

    def _check(self, draft: _Draft, row: ObjectType) -> None:
        """Check what concerns the whole row, and that it comes once."""
        if row.table.checks:
            for column, why in broken_rules(type(row), dict(row)):
                draft.refuse(column, why)
        if not draft.faults and (before := self._first_line(row, draft.line)):
            named = ", ".join(f"{name} {shown(getattr(row, name))}" for name in self._type.key)
            column = self._type.key[0]
            draft.refuse(column, f"is on line {before} already ({named})")

    def _first_line(self, row: ObjectType, line: int) -> int:
        """Return the line the same row came on before, or 0. Of signals, 4 bytes a half hour are kept."""
        if not isinstance(row, GridSignal | RegionalGridSignal):
            before = self._seen.setdefault(tuple(getattr(row, name) for name in self._type.key), line)
            return 0 if before == line else before
        region = row.region_id if isinstance(row, RegionalGridSignal) else None
        if region not in self._seen_half_hours:
            half_hours = (self._known.now + LATEST_AHEAD - EARLIEST) // HALF_HOUR + 1
            self._seen_half_hours[region] = array("I", bytes(4 * half_hours))
        lines, place = self._seen_half_hours[region], (row.timestamp - EARLIEST) // HALF_HOUR
        before, lines[place] = lines[place], lines[place] or line
        return before


def broken_rules(row_type: type[ObjectType], values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rules of the whole row that these values break: a column, and what it must be.

    The declaration's checks of the form `column <= column` are what is looked at.
    """
    broken = []
    for rule in row_type.table.checks.values():
        small, _, large = rule.partition(" <= ")
        at_most = values.get(large)
        if at_most is not None and (values.get(small) or 0) > at_most:
            broken.append((small, f"must be at most {large}, which is {at_most}"))
    return broken
