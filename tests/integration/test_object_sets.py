"""Object sets against plain Python: what the database answers is what the documentation promises, for any request.

The other side is written from the documentation of `pylon.ontology.object_sets` and works on the rows as a
superuser sees them. Where the server has a linguistic collation, words are kept in it here: then they are in the
order of code points only if the statement says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from pylon.errors import Invalid, NotFound, TooCostly
from pylon.ontology import fields, object_set_reading
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES, ROWS
from pylon.ontology.fields import Kind, Op
from pylon.ontology.identity import derived_uuid
from pylon.ontology.object_sets import link_end
from pylon.ontology.regions import REGIONS
from pylon.ontology.types import Scope
from pylon.services import search_objects
from pylon.store import objects
from pylon.store.database import Database
from tests.conftest import NOW, Tenant, new_tenant
from tests.doubles.object_rows import WORDS, fleet_rows, grid_rows
from tests.doubles.postgres import Cluster

KEY = b"a key that signs cursors in this test"
LONDON = ZoneInfo("Europe/London")
NAMES = list(OBJECT_TYPES)
NOBODY = UUID(int=0)
Row = dict[str, Any]
Document = dict[str, Any]


class Stored:
    """Two operators' rows in a database, and the same rows as plain values."""

    def __init__(self, database: Database, a: Tenant, b: Tenant, rows: dict[str, list[Row]]) -> None:
        self.database, self.a, self.b, self.rows = database, a, b, rows

    def __repr__(self) -> str:
        return "stored"  # what a failing example prints

    def seen(self, name: str) -> list[Row]:
        """Return the rows that operator A may see."""
        table = ROWS[name].table
        if table.scope is not Scope.TENANT:
            return self.rows[name]
        return [row for row in self.rows[name] if row[table.tenant_column] == self.a.id]

    def search(self, name: str, **document: Any) -> search_objects.Page:
        query = object_set_reading.query(OBJECT_TYPES[name], document)
        return search_objects.search(self.database, self.a.id, query, cursor_key=KEY)

    def aggregate(self, name: str, **document: Any) -> search_objects.Groups:
        aggregation = object_set_reading.aggregation(OBJECT_TYPES[name], document)
        return search_objects.aggregate(self.database, self.a.id, aggregation)


@pytest.fixture(scope="module")
def stored(cluster: Cluster, template: str) -> Iterator[Stored]:
    name = "object_sets"
    cluster.create(name, template)
    with cluster.superuser(name) as superuser:
        if superuser.execute("select from pg_collation where collname = 'und-x-icu'").rowcount:
            for table, column in (("data_centres", "name"), ("compute_workloads", "job_id"), ("agents", "name")):
                superuser.execute(f'alter table {table} alter {column} type varchar(255) collate "und-x-icu"')
    try:
        with Database(cluster.dsn(name, "pylon_app"), pool_size=2) as database:
            yield filled(cluster, name, database)
    finally:
        cluster.drop(name)


def filled(cluster: Cluster, name: str, database: Database) -> Stored:
    a, b = (new_tenant(database, one) for one in "AB")
    grid = grid_rows(seed=1)
    with database.as_ingest() as transaction:
        for rows in grid:
            objects.add_missing(transaction, rows)
    for seed, tenant in enumerate((a, b)):
        with database.as_actor(tenant.id) as transaction:
            for rows in fleet_rows(seed, tenant.id, grid[0]):
                objects.add_missing(transaction, rows)
    held = {}
    with cluster.superuser(name) as superuser:
        superuser.row_factory = dict_row
        superuser.execute("set timezone to 'UTC'")
        for kind in [*OBJECT_TYPES, "WorkloadConsumption"]:
            held[kind] = superuser.execute(f"select * from {ROWS[kind].table.name}").fetchall()
    return Stored(database, a, b, held)


# What the documentation says, in plain Python


def holds(stored: Stored, name: str, row: Row, condition: Document) -> bool:
    match condition:
        case {"and": parts}:
            return all(holds(stored, name, row, part) for part in parts)
        case {"or": parts}:
            return any(holds(stored, name, row, part) for part in parts)
        case {"not": part}:
            return not holds(stored, name, row, part)
        case {"field": field, "op": op, "value": value}:
            return compares(row[field], op, value)
    inner = condition.get("where", {"and": []})
    ends = reached(stored, name, row, condition["link"], condition["direction"], condition["type"])
    return any(holds(stored, condition["type"], end, inner) for end in ends)


def compares(value: Any, op: str, other: Any) -> bool:
    if op == "isNull":
        return (value is None) is other
    if op == "ne":
        return bool(value != other)
    if value is None:
        return False
    comparisons: dict[str, Callable[[], Any]] = {
        "eq": lambda: value == other,
        "gt": lambda: value > other,
        "gte": lambda: value >= other,
        "lt": lambda: value < other,
        "lte": lambda: value <= other,
        "in": lambda: value in other,
        "contains": lambda: other in value,
    }
    return bool(comparisons[op]())


def reached(stored: Stored, name: str, row: Row, link: str, direction: str, other: str) -> list[Row]:
    source, target = (name, other) if direction == "out" else (other, name)
    (one,) = (each for each in LINKS if (each.name, each.source, each.target) == (link, source, target))
    if link == "CONSUMED":
        here, there = ("workload_id", "grid_signal_id") if direction == "out" else ("grid_signal_id", "workload_id")
        ids = {drawn[there] for drawn in stored.seen("WorkloadConsumption") if drawn[here] == row["id"]}
        return [end for end in stored.seen(other) if end["id"] in ids]
    is_held_here = (direction == "in") if one.inverse else (direction == "out")
    if is_held_here:
        return [end for end in stored.seen(other) if end["id"] == row[one.column]]
    return [end for end in stored.seen(other) if end[one.column] == row["id"]]


def is_simulated(stored: Stored, name: str, row: Row) -> bool:
    if name == "Region":
        return False
    if name == "AgentState":
        (agent,) = (one for one in stored.rows["Agent"] if one["id"] == row["agent_id"])
        return bool(agent["is_simulated"])
    if name == "GenerationMix":
        national = [one for one in stored.rows["GridSignal"] if one["id"] == row["grid_signal_id"]]
        regional = [one for one in stored.rows["RegionalGridSignal"] if one["id"] == row["regional_signal_id"]]
        labels = [one["provenance"].get("mix") for one in national] + [one["data_source"] for one in regional]
        return "simulated" in labels
    if name == "ComputeWorkload" and row["started_at"] is not None:
        hosts = [one for one in stored.rows["DataCentre"] if one["id"] == row["host_dc_id"]]
        if any(one["is_simulated"] for one in hosts):
            return True
    labels = [row.get("data_source"), *row.get("provenance", {}).values()]
    return bool(row.get("is_simulated")) or "simulated" in labels


def ordered(rows: list[Row], sort: list[str]) -> list[Row]:
    keys = list(sort)
    if "id" not in [key.removeprefix("-") for key in keys]:
        keys.append("-id" if keys and keys[-1].startswith("-") else "id")
    for key in reversed(keys):
        name = key.removeprefix("-")
        # Null behind everything: last ascending, first descending.
        rows = sorted(
            rows,
            key=lambda row: (row[name] is None, 0 if row[name] is None else row[name]),
            reverse=key != name,
        )
    return rows


def shown(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


# Any request


def known_values() -> dict[str, dict[str, list[Any]]]:
    """Return, by type and field, values that stored rows hold: the rows follow from their seeds."""
    grid = grid_rows(seed=1)
    fleet = fleet_rows(0, derived_uuid(NOW, "tenant", "A"), grid[0])
    found: dict[str, dict[str, list[Any]]] = {}
    for rows in [REGIONS, *grid, *fleet]:
        for row in rows:
            for name, value in row.model_dump().items():
                values = found.setdefault(type(row).__name__, {}).setdefault(name, [])
                if value is not None and value not in values:
                    values.append(value)
    return found


KNOWN = known_values()


@st.composite
def comparisons(draw: st.DrawFn, name: str) -> Document:
    field = draw(st.sampled_from(list(fields.of(OBJECT_TYPES[name]).values())))
    op = draw(st.sampled_from(field.kind.ops))
    return {"field": field.name, "op": op.value, "value": draw(operands(name, field, op))}


def operands(name: str, field: fields.Field, op: Op) -> st.SearchStrategy[Any]:
    held = KNOWN.get(name, {}).get(field.name, [])
    some = st.sampled_from(held) | unknown(field) if held else unknown(field)
    match op:
        case Op.IS_NULL:
            return st.booleans()
        case Op.CONTAINS if field.kind is Kind.INTEGERS:
            return st.integers(0, 9)
        case Op.CONTAINS:
            return st.sampled_from(["", "a", "A", " ", "l", "é", "%", "_", "\\", "電", "日"])
        case Op.IN:
            return st.lists(some, max_size=4)
    return some


def unknown(field: fields.Field) -> st.SearchStrategy[Any]:
    """Return values that perhaps no row holds."""
    if field.column.enum:
        return st.sampled_from([value.value for value in field.column.enum])
    first, last = datetime(2025, 12, 1), datetime(2026, 11, 1)  # noqa: DTZ001
    strategies: dict[Kind, st.SearchStrategy[Any]] = {
        Kind.UUID: st.uuids(),
        Kind.INSTANT: st.datetimes(first, last, timezones=st.just(UTC)),
        Kind.INTEGER: st.integers(-50, 100),
        Kind.NUMBER: st.decimals(-9, 9, places=3),
        Kind.BOOLEAN: st.booleans(),
    }
    return strategies.get(field.kind, st.sampled_from(WORDS))


@st.composite
def conditions(draw: st.DrawFn, name: str, depth: int) -> Document:
    shape = draw(st.sampled_from(["field", "field", "link", "and", "or", "not"] if depth else ["field"]))
    match shape:
        case "and" | "or":
            return {shape: draw(st.lists(conditions(name, depth - 1), max_size=3))}
        case "not":
            return {"not": draw(conditions(name, depth - 1))}
        case "link":
            out = [(link.name, "out", link.target) for link in LINKS if link.source == name]
            back = [(link.name, "in", link.source) for link in LINKS if link.target == name]
            link, direction, other = draw(st.sampled_from([*out, *back]))
            said = {"link": link, "direction": direction, "type": other}
            return {**said, "where": draw(conditions(other, depth - 1))} if draw(st.booleans()) else said
    return draw(comparisons(name))


@st.composite
def searches(draw: st.DrawFn) -> tuple[str, Document, list[str], int]:
    """Return an object type, a condition, a sort, and into how many pages to divide what is found."""
    name = draw(st.sampled_from(NAMES))
    names = [field.name for field in fields.of(OBJECT_TYPES[name]).values() if field.kind.is_sortable]
    signed = st.tuples(st.sampled_from(["", "-"]), st.sampled_from(names))
    sort = draw(st.lists(signed, max_size=3, unique_by=lambda pair: pair[1]))
    return name, draw(conditions(name, 4)), ["".join(pair) for pair in sort], draw(st.integers(1, 5))


@st.composite
def aggregations(draw: st.DrawFn) -> tuple[str, Document, list[Document], list[Document]]:
    """Return an object type, a condition, what to group by, and what to measure."""
    name = draw(st.sampled_from(NAMES))
    known = list(fields.of(OBJECT_TYPES[name]).values())
    chosen = draw(
        st.lists(
            st.sampled_from([field for field in known if field.kind.is_sortable]),
            max_size=3,
            unique_by=lambda field: field.name,
        )
    )
    keys: list[Document] = [{"field": field.name} for field in chosen]
    for field, key in zip(chosen, keys, strict=True):
        if field.kind is Kind.INSTANT and draw(st.integers(0, 4)):
            key["bucket"] = draw(st.sampled_from(["half_hour", "hour", "day", "week", "month", "year"]))
            key["time_zone"] = draw(st.sampled_from(["UTC", "Europe/London"]))
    quantities = [field.name for field in known if field.kind.is_quantity]
    in_order = quantities + [field.name for field in known if field.kind is Kind.INSTANT]
    choices = [{"op": "count"}]
    choices += [{"op": "count", "field": field.name} for field in known]
    choices += [{"op": op, "field": field} for op in ("sum", "avg") for field in quantities]
    choices += [{"op": op, "field": field} for op in ("min", "max") for field in in_order]
    measures = draw(st.lists(st.sampled_from(choices), min_size=1, max_size=4))
    return (
        name,
        draw(conditions(name, 2)),
        keys,
        [{**one, "as": f"figure_{number}"} for number, one in enumerate(measures)],
    )


MANY = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(MANY, max_examples=500)
@given(asked=searches())
def test_pages_are_what_plain_python_finds(stored: Stored, asked: tuple[str, Document, list[str], int]) -> None:
    """Filters, links over several hops, sorts and pages to the end: no object is lost, and none comes twice."""
    name, condition, sort, pages = asked
    expected = ordered([row for row in stored.seen(name) if holds(stored, name, row, condition)], sort)
    limit = max(1, -(-len(expected) // pages))
    found, simulated, cursor = [], 0, None
    for _ in range(pages + 1):
        page = stored.search(name, where=condition, sort=sort, limit=limit, cursor=cursor)
        assert len(page.objects) <= limit
        found += page.objects
        simulated += page.simulated
        cursor = page.next_cursor
        if cursor is None:
            break
    assert cursor is None
    assert [one["id"] for one in found] == [row["id"] for row in expected]
    names = list(fields.of(OBJECT_TYPES[name]))
    assert found == [{field: shown(row[field]) for field in names} for row in expected]
    assert simulated == sum(is_simulated(stored, name, row) for row in expected)


@settings(MANY, max_examples=200)
@given(asked=aggregations())
def test_figures_are_what_plain_python_computes(
    stored: Stored, asked: tuple[str, Document, list[Document], list[Document]]
) -> None:
    name, condition, keys, measures = asked
    said = stored.aggregate(name, where=condition, group_by=keys, measures=measures, limit=10_000)
    rows = [row for row in stored.seen(name) if holds(stored, name, row, condition)]
    groups: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): []}
    for row in rows:
        groups.setdefault(tuple(key_of(row, key) for key in keys), []).append(row)
    in_order = sorted(groups, key=lambda key: [(value is None, 0 if value is None else value) for value in key])
    assert [tuple(group.key.values()) for group in said.groups] == [tuple(map(shown, key)) for key in in_order]
    for group, key in zip(said.groups, in_order, strict=True):
        assert group.objects == len(groups[key])
        assert group.simulated == sum(is_simulated(stored, name, row) for row in groups[key])
        for one in measures:
            value = computed(groups[key], one)
            assert group.measures[one["as"]] == (
                value if value is None or isinstance(value, datetime) else pytest.approx(float(value), abs=1e-9)
            )
    assert said.contains_simulated is any(is_simulated(stored, name, row) for row in rows)
    assert said.truncated is False


def key_of(row: Row, key: Document) -> Any:
    value = row[key["field"]]
    if value is None or "bucket" not in key:
        return value
    if key["bucket"] in ("half_hour", "hour"):
        step = timedelta(minutes=30 if key["bucket"] == "half_hour" else 60)
        epoch = datetime(2000, 1, 1, tzinfo=UTC)
        return epoch + (value - epoch) // step * step
    zone = ZoneInfo(key["time_zone"])
    day = value.astimezone(zone).date()
    first = {
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "year": day.replace(month=1, day=1),
    }[key["bucket"]]
    return datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC)


def computed(rows: list[Row], measure: Document) -> Any:
    if "field" not in measure:
        return len(rows)
    values = [row[measure["field"]] for row in rows if row[measure["field"]] is not None]
    if measure["op"] == "count":
        return len(values)
    if not values:
        return None
    match measure["op"]:
        case "sum":
            return sum(map(Fraction, values))
        case "avg":
            return sum(map(Fraction, values)) / len(values)
        case "min":
            return min(values)
    return max(values)


# What the data must hold for the above to mean something


def test_the_data_are_rich_enough(stored: Stored) -> None:
    for name, kind in OBJECT_TYPES.items():
        rows = stored.seen(name)
        assert rows, name
        if name in ("Region", "Operator"):  # seeded, and two rows
            continue
        for field in fields.of(kind).values():
            values = [row[field.name] for row in rows]
            assert field.column.is_nullable == (None in values), f"{name}.{field.name}"
    tenants = [name for name in OBJECT_TYPES if OBJECT_TYPES[name].table.scope is Scope.TENANT]
    assert all(len(stored.rows[name]) > len(stored.seen(name)) for name in tenants)
    assert stored.seen("WorkloadConsumption")


def test_a_london_day_is_23_or_25_hours_when_the_clocks_change(stored: Stored) -> None:
    said = stored.aggregate(
        "GridSignal",
        group_by=[{"field": "timestamp", "bucket": "day", "time_zone": "Europe/London"}],
        measures=[{"op": "max", "field": "timestamp", "as": "last"}],
    )
    days = {group.key["timestamp"].isoformat(): group.measures for group in said.groups}
    assert "2026-10-24T23:00:00+00:00" in days  # midnight of the 25th, in summer time still
    assert days["2026-10-24T23:00:00+00:00"]["last"] == datetime(2026, 10, 25, 5, tzinfo=UTC)
    hours = stored.aggregate(
        "GridSignal",
        where={"field": "timestamp", "op": "gte", "value": "2026-10-25T00:00:00Z"},
        group_by=[{"field": "timestamp", "bucket": "hour", "time_zone": "Europe/London"}],
        measures=[{"op": "count"}],
    )
    assert {group.objects for group in hours.groups[:3]} == {2}  # both hours that London calls one o'clock


# What a page leads to


def test_a_cursor_is_good_for_its_own_query_alone(stored: Stored) -> None:
    where = {"field": "duration_mins", "op": "gt", "value": 1}
    page = stored.search("ComputeWorkload", where=where, sort=["-deadline"], limit=5)
    cursor = page.next_cursor
    assert cursor
    again = stored.search("ComputeWorkload", where=where, sort=["-deadline"], limit=9, select=["id"], cursor=cursor)
    assert len(again.objects) == 9  # how much is shown may change
    half = len(cursor) // 2
    mangled = [cursor[:-4], cursor[4:], cursor[:half] + ("A" if cursor[half] != "A" else "B") + cursor[half + 1 :]]
    for other in [*mangled, "", "é", "=" * 8, "A" * 100]:
        with pytest.raises(Invalid, match=r"The cursor is not valid for this query\. Start again without it\."):
            stored.search("ComputeWorkload", where=where, sort=["-deadline"], cursor=other)
    for changed in ({"where": where, "sort": ["deadline"]}, {"sort": ["-deadline"]}, {"where": where}):
        with pytest.raises(Invalid, match="Start again without it"):
            stored.search("ComputeWorkload", cursor=cursor, **changed)
    query = object_set_reading.query(
        OBJECT_TYPES["ComputeWorkload"], {"where": where, "sort": ["-deadline"], "cursor": cursor}
    )
    with pytest.raises(Invalid, match="Start again without it"):
        search_objects.search(stored.database, stored.b.id, query, cursor_key=KEY)
    with pytest.raises(Invalid, match="Start again without it"):
        search_objects.search(stored.database, stored.a.id, query, cursor_key=b"another key")


@pytest.mark.parametrize("name", NAMES)
def test_an_object_is_found_by_its_id_and_the_other_operators_is_not(stored: Stored, name: str) -> None:
    kind = OBJECT_TYPES[name]
    mine = stored.seen(name)
    said = search_objects.get(stored.database, stored.a.id, kind, mine[0]["id"])
    assert said.object == {field: shown(mine[0][field]) for field in fields.of(kind)}
    assert said.contains_simulated is is_simulated(stored, name, mine[0])
    theirs = [row["id"] for row in stored.rows[name] if row not in mine][:1]
    refusals = []
    for object_id in [NOBODY, *theirs]:
        with pytest.raises(NotFound) as refused:
            search_objects.get(stored.database, stored.a.id, kind, object_id)
        refusals.append(refused.value.detail)
    assert len(set(refusals)) == 1


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.name}-{link.source}-{link.target}")
def test_a_link_is_followed_both_ways(stored: Stored, link: Any) -> None:
    for direction, name, other in (("out", link.source, link.target), ("in", link.target, link.source)):
        kind = OBJECT_TYPES[name]
        end = link_end(kind, link.name, direction, other)
        counts = set()
        held = stored.seen(name)
        for row in held[:: max(1, len(held) // 12)]:
            expected = ordered(reached(stored, name, row, link.name, direction, other), [])
            query = object_set_reading.query(OBJECT_TYPES[other], {"limit": 1000, "select": ["id"]})
            page = search_objects.linked(stored.database, stored.a.id, kind, row["id"], end, query, cursor_key=KEY)
            assert [one["id"] for one in page.objects] == [row["id"] for row in expected]
            counts.add(len(expected))
        assert counts != {0}
        with pytest.raises(NotFound):
            search_objects.linked(
                stored.database, stored.a.id, kind, NOBODY, end, query, cursor_key=KEY
            )  # fmt: skip


def test_a_statement_that_takes_too_long_is_stopped(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_objects, "TIME_LIMIT_S", 0.001)
    hops: Document = {"link": "HAS_SIGNAL", "direction": "in"}
    for _ in range(2):
        hops = {"link": "HAS_SIGNAL", "direction": "in", "where": {"link": "HAS_SIGNAL", "where": hops}}
    with pytest.raises(TooCostly):
        stored.search("RegionalGridSignal", where={"or": [{"not": hops}] * 5})
