"""Import types: what can be imported, which columns it may have, and which type a file's columns are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pylon.errors import Invalid
from pylon.ontology import columns
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fleet import DataCentre, StorageAsset, TariffRate
from pylon.ontology.grid import GridSignal, RegionalGridSignal
from pylon.ontology.types import ObjectType, Scope
from pylon.services._cells import closest, shown

__all__ = ["DATE", "PARAMETERS", "PERIOD", "TYPES", "Choice", "ImportType", "Wording", "choose"]

DATE, PERIOD = "settlement_date", "settlement_period"
"""The two columns that may stand in place of a time: the London day, and the number of the half hour in it."""

_SIGNALS: Mapping[type[ObjectType], tuple[str, ...]] = {
    GridSignal: (
        "carbon_intensity_forecast",
        "carbon_intensity_actual",
        "demand_mw",
        "wholesale_price_gbp_mwh",
        "system_price_gbp_mwh",
    ),
    RegionalGridSignal: ("carbon_intensity_forecast",),
}
_TIMES: Mapping[type[ObjectType], str] = {
    GridSignal: "timestamp",
    RegionalGridSignal: "timestamp",
    TariffRate: "starts_at",
}
_PYLONS_OWN = frozenset({"plan_id", "current_carbon_intensity", "current_carbon_source"})
_FILLED = frozenset({"id", "operator_id", "created_at", "updated_at", "fetched_at", PERIOD})
"""What a file need not have although every row does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportType:
    """An object type whose rows a file may hold."""

    row_type: type[ObjectType]
    columns: Mapping[str, ColumnSpec]
    """The columns a file may have, the two of a settlement period apart."""
    key: tuple[str, ...]
    """The columns that make two rows of one operator the same."""
    time: str | None
    """The column that a settlement date and period may stand in place of."""
    quantities: tuple[str, ...]
    """The values of a signal; empty for the types that belong to an operator."""

    @property
    def name(self) -> str:
        """The object type's name."""
        return self.row_type.__name__

    @property
    def is_signal(self) -> bool:
        """Whether its rows are shared grid data."""
        return self.row_type.table.scope is Scope.SHARED

    @property
    def names(self) -> Mapping[str, str]:
        """Every name a column may go by, and the column: `region` is region_id, `host_dc` is host_dc_id."""
        references = [name for name, spec in self.columns.items() if spec.ref and name != "operator_id"]
        settlement = (DATE, PERIOD) if self.time else ()
        return (
            {name.removesuffix("_id"): name for name in references}
            | {name: name for name in settlement}
            | {name: name for name in self.columns}
        )

    def missing(self, given: Sequence[str]) -> list[str]:
        """Return the columns without which no row of the type can be made from these."""
        required = {name for name, info in self.row_type.model_fields.items() if info.is_required()} - _FILLED
        if self.time and {DATE, PERIOD} <= set(given):
            required.discard(self.time)
        if "estimated_energy_kwh" in given:
            required.discard("power_kw")
        if self.quantities and not set(self.quantities) & set(given):
            required.add(" or ".join(self.quantities))
        return sorted(required - set(given))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How whoever imports says what a message asks for: as parameters of the API, or as options of a command."""

    type: str
    label: str
    on_existing: str


PARAMETERS = Wording(type="type=NAME", label="label=NAME", on_existing="on_existing=update or =skip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The type of a file's rows, and the column of the type that each column of the file is."""

    type: ImportType
    columns: Mapping[str, str]
    is_guessed: bool


@cache
def _type(row_type: type[ObjectType]) -> ImportType:
    specs = {spec.name: spec for spec in columns.of(row_type) if spec.name not in _PYLONS_OWN}
    quantities = _SIGNALS.get(row_type, ())
    unique = next(key for key in row_type.table.unique if "id" not in key)
    key = tuple(name for name in unique if name != "operator_id")
    if quantities:
        specs = {name: spec for name, spec in specs.items() if name in (*key, *quantities)}
    return ImportType(row_type=row_type, columns=specs, key=key, time=_TIMES.get(row_type), quantities=quantities)


TYPES: Mapping[str, ImportType] = {
    row_type.__name__: _type(row_type)
    for row_type in (DataCentre, StorageAsset, TariffRate, GridSignal, RegionalGridSignal, ComputeWorkload)
}


def choose(
    given: Sequence[str],
    *,
    type_name: str | None,
    renames: Mapping[str, str],
    is_regular: bool,
    wording: Wording = PARAMETERS,
) -> Choice:
    """Return the type of a file with these columns: the one named, or the only one they fit.

    `renames` gives Pylon's name of a column by the file's. In a file that is not regular another row may have what
    the first one lacks, so nothing is missed from it when the type is named.
    Raises `Invalid` with everything that is wrong with the columns.
    """
    if is_regular and (strange := [name for name in renames if name not in given]):
        raise Invalid(f"The file has no column {shown(strange[0])} to map.{closest(strange[0], given)}")
    if type_name is not None:
        if (named := TYPES.get(type_name)) is None:
            raise Invalid(
                f"{shown(type_name)} cannot be imported.{closest(type_name, TYPES)} Valid: {', '.join(TYPES)}."
            )
        faults = _faults(named, given, renames, is_complete=is_regular)
        if faults:
            raise Invalid(" ".join(faults))
        return Choice(type=named, columns=_columns(named, given, renames), is_guessed=False)
    found = {one.name: _faults(one, given, renames, is_complete=True) for one in TYPES.values()}
    fitting = [name for name, faults in found.items() if not faults]
    if len(fitting) == 1:
        one = TYPES[fitting[0]]
        return Choice(type=one, columns=_columns(one, given, renames), is_guessed=True)
    if fitting:
        raise Invalid(f"The columns fit {' and '.join(fitting)}. Say which it is with {wording.type}.")
    nearest = min(found, key=lambda name: (_strange(TYPES[name], given, renames), len(found[name])))
    raise Invalid(
        f"The columns fit none of {', '.join(TYPES)}. Say which it is with {wording.type}, or mend them. "
        f"As {nearest}: {' '.join(found[nearest])}"
    )


def _columns(one: ImportType, given: Sequence[str], renames: Mapping[str, str]) -> dict[str, str]:
    names = one.names
    return {column: names[renames.get(column, column)] for column in given}


def _strange(one: ImportType, given: Sequence[str], renames: Mapping[str, str]) -> int:
    """Return how many columns of the file are none of the type's."""
    return sum(renames.get(column, column) not in one.names for column in given)


def _faults(one: ImportType, given: Sequence[str], renames: Mapping[str, str], *, is_complete: bool) -> list[str]:
    """Return what is wrong with the columns of a file as one of this type, a sentence each."""
    names, found, faults = one.names, dict[str, str](), []
    for column in given:
        name = renames.get(column, column)
        if (field := names.get(name)) is None:
            faults.append(f"{one.name} has no column {shown(name)} to import.{closest(name, names)}")
        elif field in found:
            faults.append(f"Columns {shown(found[field])} and {shown(column)} are both {field}.")
        else:
            found[field] = column
    if (DATE in found) != (PERIOD in found) and one.time not in found:
        faults.append(f"{DATE} and {PERIOD} belong together.")
    if is_complete:
        faults += [f"A column {name} is missing." for name in one.missing(tuple(found))]
    return faults
