"""Object sets: the language in which objects are asked for, as plans that are made and tested without a database.

A condition holds of an object or it does not; there is no third answer:

- a comparison with a field that is null does not hold, but for `isNull`, and for `ne`: it is the negation of `eq`;
- `not` is the plain negation of what it stands before;
- `contains` looks for a part of a text, upper and lower case apart, or for an element of a list;
- a link holds when at least one object at its other end meets the condition given for it.

Text and enums are sorted by code point, `false` before `true`; null comes last ascending and first descending.
Objects that the sort leaves equal are sorted by id, in the direction of the last sort field.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from pylon.errors import Invalid
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.ontology.fields import MOST_CHARACTERS, MOST_VALUES, Op, shown
from pylon.ontology.links import LinkType
from pylon.ontology.types import ObjectType

__all__ = [
    "CONDITIONS",
    "GROUPS",
    "GROUP_FIELDS",
    "HOPS",
    "LIMITS",
    "MEASURES",
    "NESTING",
    "ROWS",
    "SORT_FIELDS",
    "Aggregation",
    "AllOf",
    "AnyOf",
    "Bucket",
    "Compare",
    "Condition",
    "Direction",
    "Function",
    "GroupKey",
    "Limit",
    "LinkEnd",
    "Linked",
    "Measure",
    "Not",
    "Query",
    "Sort",
    "TimeZone",
    "link_end",
    "link_ends",
]


@dataclass(frozen=True, slots=True)
class Limit:
    """The most there may be of something, how many there are when nothing is said, and why."""

    name: str
    most: int
    why: str
    default: int | None = None


ROWS = Limit("objects_per_page", 1000, "An answer stays below a few megabytes; a cursor leads on.", default=100)
NESTING = Limit("nesting", 8, "Deeper and, or and not can be written flatter.")
HOPS = Limit("link_hops", 5, "Each hop may multiply the work.")
CONDITIONS = Limit("conditions", 100, "Comparisons, links, and, or and not in all: each is work for every object.")
VALUES = Limit("values_of_in", MOST_VALUES, "A longer list is a page of objects: ask for it through a link.")
CHARACTERS = Limit("characters_of_a_value", MOST_CHARACTERS, "No field that is compared as a whole holds more.")
SORT_FIELDS = Limit("sort_fields", 4, "A cursor carries the value of each.")
GROUPS = Limit("groups", 10_000, "An answer stays below a few megabytes; narrow the condition.", default=1000)
GROUP_FIELDS = Limit("group_fields", 4, "Groups by more fields are nearly as many as objects.")
MEASURES = Limit("measures", 16, "Each is computed for every object.")

LIMITS = (ROWS, NESTING, HOPS, CONDITIONS, VALUES, CHARACTERS, SORT_FIELDS, GROUPS, GROUP_FIELDS, MEASURES)


class Direction(StrEnum):
    """Which way a link is followed: out, from its source to its target, or in."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """A link as seen from one of its ends: which way it is followed, and what lies at the other end."""

    link: LinkType
    direction: Direction

    @property
    def other(self) -> type[ObjectType]:
        """The object type at the other end."""
        return OBJECT_TYPES[self.link.target if self.direction is Direction.OUT else self.link.source]

    @property
    def back(self) -> LinkEnd:
        """The same link, followed the other way."""
        return LinkEnd(self.link, Direction.IN if self.direction is Direction.OUT else Direction.OUT)

    def __str__(self) -> str:
        """Return what tells this end from the others: `OPERATED_BY (in, DataCentre)`."""
        return f"{self.link.name} ({self.direction}, {self.other.__name__})"


@dataclass(frozen=True, slots=True)
class Compare:
    """A field compared with a value of its own type; a tuple of such for `in`."""

    field: str
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; of no parts, always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds; of no parts, never."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Linked:
    """At least one object lies at the other end of the link and meets the condition."""

    end: LinkEnd
    where: Condition | None = None


Condition = Compare | AllOf | AnyOf | Not | Linked


@dataclass(frozen=True, slots=True)
class Sort:
    """A field to sort by, and the direction."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """The objects of a type that meet a condition, one page of them.

    `select` names the fields shown, all of them when empty. `cursor` is the `next_cursor` of the page before.
    """

    object_type: type[ObjectType]
    where: Condition | None = None
    sort: tuple[Sort, ...] = ()
    select: tuple[str, ...] = ()
    limit: int = ROWS.default or ROWS.most
    cursor: str | None = None

    @property
    def order(self) -> tuple[Sort, ...]:
        """The sort with what makes it whole: no two objects are equal in it."""
        if any(sort.field == "id" for sort in self.sort):
            return self.sort
        return (*self.sort, Sort("id", bool(self.sort) and self.sort[-1].descending))


class Bucket(StrEnum):
    """A span of time that instants are gathered into; weeks begin on Monday."""

    HALF_HOUR = "half_hour"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class TimeZone(StrEnum):
    """Whose days, weeks, months and years are meant. Half hours and hours are the same in both."""

    UTC = "UTC"
    LONDON = "Europe/London"


@dataclass(frozen=True, slots=True)
class GroupKey:
    """A field by whose values objects are grouped; instants by the start of the bucket they fall in."""

    field: str
    bucket: Bucket | None = None
    time_zone: TimeZone = TimeZone.UTC


class Function(StrEnum):
    """What is computed of a group. Values that are null do not count; of no values, all but the count are null."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of each group, by its name in the answer. A count without a field is of objects."""

    name: str
    function: Function
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Aggregation:
    """Figures over the objects of a type that meet a condition, by group; without group keys, one group."""

    object_type: type[ObjectType]
    where: Condition | None = None
    group_by: tuple[GroupKey, ...] = ()
    measures: tuple[Measure, ...] = ()
    limit: int = GROUPS.default or GROUPS.most


@cache
def link_ends(object_type: type[ObjectType]) -> tuple[LinkEnd, ...]:
    """Return every way a link can be followed from an object type."""
    name = object_type.__name__
    out = [LinkEnd(link, Direction.OUT) for link in LINKS if link.source == name]
    return (*out, *(LinkEnd(link, Direction.IN) for link in LINKS if link.target == name))


def link_end(
    object_type: type[ObjectType], name: object, direction: object = None, other: object = None
) -> LinkEnd:
    """Return the one end of the link called `name` that can be followed from `object_type`.

    Where the name leaves a choice, `direction` (`out` or `in`) and `other` (an object type's name) settle it.
    Raises `Invalid`, naming the valid ones, when there is no such link or still a choice.
    """
    named = [end for end in link_ends(object_type) if end.link.name == name]
    found = [
        end for end in named if direction in (None, end.direction.value) and other in (None, end.other.__name__)
    ]
    if len(found) == 1:
        return found[0]
    here = object_type.__name__
    valid = ", ".join(str(end) for end in found or named or link_ends(object_type))
    if found:
        raise Invalid(
            f"{here} has several links {shown(name)}: {valid}. Say which by direction (out, in) and type."
        )
    if named:
        wanted = [shown(word) for word in (direction, other) if word is not None]
        raise Invalid(f"{here} has no link {shown(name)} ({', '.join(wanted)}). Valid: {valid}.")
    raise Invalid(f"{here} has no link {shown(name)}. Valid: {valid}.")
