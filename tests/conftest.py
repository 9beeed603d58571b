"""Fixtures for every test that needs a real PostgreSQL: one server a run, one database a test, two operators.

cluster        the server; `--postgres` says from which folder of programs
template       a database migrated by an owner that is no superuser; cloned, never written to
described      the catalogue of the template, as `pylon.store.catalogue` tells it
new_database   makes more databases, empty or cloned, and drops them when the test is over
dsn            the owner's address of a fresh clone
app_dsn        the same for the login that serves: no owner, inherits nothing
database       `pylon.store.database.Database` on it
superuser      opens superuser sessions on it
tenants        operators A and B, stored, with `make` for rows of any type
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import hypothesis
import psycopg
import pytest

from pylon.ontology import columns
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.catalogue import ROWS
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.enums import OperatorType
from pylon.ontology.fleet import Operator
from pylon.ontology.identity import derived_uuid
from pylon.ontology.regions import REGIONS
from pylon.ontology.types import Row, Scope
from pylon.store import catalogue, migrations, objects
from pylon.store.database import Database
from tests.doubles.postgres import Cluster, wheel_binaries
from tests.doubles.postgres import cluster as started

LOGIN = "pylon_app"
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

R = TypeVar("R", bound=Row)
Described = dict[str, dict[str, Any]]
Superuser = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

hypothesis.settings.register_profile("pylon", deadline=None)  # no test is about how busy the machine is
hypothesis.settings.load_profile("pylon")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="repeat what is repeated at random as often as is published"
    )
    parser.addoption(
        "--postgres",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="folder of the PostgreSQL programs to test against (default: the embedded server's)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse two tests of one name: the workers of a run would carry out one of them, and count one."""
    twice = [name for name, times in Counter(item.nodeid for item in items).items() if times > 1]
    if twice:
        raise pytest.UsageError(f"Tests of the same name: {', '.join(twice)}. Give each a name of its own.")


@pytest.fixture(scope="session")
def is_soak(request: pytest.FixtureRequest) -> bool:
    """Whether what is repeated at random is repeated as often as is published (`make soak`), or fewer times."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with started(request.config.getoption("--postgres") or wheel_binaries()) as server:
        yield server


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The name of a migrated database; nothing may stay connected to it, for it is cloned."""
    owner = cluster.create("pylon_template")
    migrations.apply(owner)
    migrations.grant_roles(owner, LOGIN)
    return "pylon_template"


@pytest.fixture(scope="session")
def described(cluster: Cluster, template: str) -> Described:
    return catalogue.describe(cluster.dsn(template))


@pytest.fixture
def new_database(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Call it, with the name of a template or without, to get the owner's address of a new database."""
    made: list[str] = []

    def make(source: str = "template0") -> str:
        made.append(f"pylon_test_{next(_serial)}")
        return cluster.create(made[-1], source)

    yield make
    for name in made:
        cluster.drop(name)


@pytest.fixture
def dsn(new_database: Callable[..., str], template: str) -> str:
    return new_database(template)


@pytest.fixture
def app_dsn(cluster: Cluster, dsn: str) -> str:
    return cluster.dsn(name_of(dsn), LOGIN)


@pytest.fixture
def database(app_dsn: str) -> Iterator[Database]:
    with Database(app_dsn, pool_size=4) as opened:
        yield opened


@pytest.fixture
def superuser(cluster: Cluster, dsn: str) -> Superuser:
    return lambda: cluster.superuser(name_of(dsn))


@dataclass
class Tenant:
    """An operator, and the rows that a test has made for it."""

    database: Database
    operator: Operator
    made: dict[type[Row], Row] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return self.operator.id

    def make(self, row_type: type[R], **values: Any) -> R:
        """Store a row with these values and return it.

        What is not given and must be there is made up; a required reference names a row of the same operator, made
        if need be. `whole` makes the optional references too.
        """
        row = row_type.model_validate({**self._required(row_type, values), **values})
        with self.database.as_actor(self.id) as transaction:
            assert objects.add_missing(transaction, [row]) == 1, f"{row!r} was there already"
        self.made.setdefault(row_type, row)
        return row

    def whole(self, row_type: type[R], **values: Any) -> R:
        """Make a row all of whose references, the optional ones too, are set."""
        refs = {spec.name: self.target(spec) for spec in columns.of(row_type) if spec.ref}
        return self.make(row_type, **{**refs, **values})

    def target(self, spec: ColumnSpec) -> UUID:
        """Return the id of a row that the reference `spec` may name: this operator's, or a shared one."""
        assert spec.ref
        row_type = ROWS[spec.ref.target]
        if row_type is Operator:
            return self.id
        if row_type not in self.made:
            self.made[row_type] = self._shared(row_type) if _is_shared(row_type) else self.make(row_type)
        return self.made[row_type].id  # type: ignore[attr-defined]

    def _required(self, row_type: type[Row], given: dict[str, Any]) -> dict[str, Any]:
        return {
            spec.name: self.target(spec) if spec.ref else _sample(spec)
            for spec in columns.of(row_type)
            if row_type.model_fields[spec.name].is_required() and spec.name not in given
        }

    def _shared(self, row_type: type[Row]) -> Row:
        if row_type.table.name == "regions":
            return REGIONS[0]
        row = row_type.model_validate(self._required(row_type, {}))
        with self.database.as_ingest() as transaction:
            objects.add_missing(transaction, [row])
        return row


@dataclass(frozen=True)
class Tenants:
    """Two operators that must never see each other."""

    a: Tenant
    b: Tenant


@pytest.fixture
def tenants(database: Database) -> Tenants:
    return Tenants(*(new_tenant(database, name) for name in ("A", "B")))


def name_of(dsn: str) -> str:
    """Return the database's name in an address."""
    return str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])


def tenant_types() -> list[type[Row]]:
    """Return every row type that belongs to operators, the operators themselves apart."""
    return [row for row in ROWS.values() if row.table.scope is Scope.TENANT and row is not Operator]


_serial = itertools.count(1)


def new_tenant(database: Database, name: str) -> Tenant:
    """Store an operator and return it."""
    operator = Operator(
        id=derived_uuid(NOW, "tenant", name),
        name=f"Operator {name}",
        operator_type=OperatorType.COMPUTE_OPERATOR,
        api_key_hash=f"hash of {name}",
        created_at=NOW,
        updated_at=NOW,
    )
    with database.as_actor(operator.id) as transaction:
        objects.add_missing(transaction, [operator])
    return Tenant(database, operator)


def _is_shared(row_type: type[Row]) -> bool:
    return row_type.table.scope is not Scope.TENANT


def _sample(spec: ColumnSpec) -> Any:
    """Make up a value that the column takes; words and ids differ each time."""
    number = next(_serial)
    if spec.enum:
        return next(iter(spec.enum))
    kind = spec.sql_type.partition("(")[0]
    if kind == "bigint":
        return number
    if spec.sql_type == "varchar(64)":
        return f"{number:064x}"
    if spec.name == "ends_at":
        return NOW + number * HALF_HOUR  # what begins, made up below, lies before
    if kind in ("integer", "numeric", "double precision"):
        return min(max(spec.ge or 0, 1), spec.le or 1)
    return {
        "uuid": derived_uuid(NOW, "sample", str(number)),
        "varchar": f"{spec.name} {number}",
        "text": f"{spec.name} {number}",
        "timestamptz": NOW - number * HALF_HOUR,
        "boolean": False,
        "jsonb": {},
    }.get(kind, [])
