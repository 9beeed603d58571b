"""Tenancy: the database, not the application, keeps one operator's rows from another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pylon.derive.sql import CLAIMED_OPERATOR
from pylon.errors import Forbidden, NotFound
from pylon.ontology import columns
from pylon.ontology.agency import Agent, OrchestrationDecision
from pylon.ontology.catalogue import ROWS
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.fleet import DataCentre, Operator
from pylon.ontology.grid import GridSignal
from pylon.ontology.types import Row, Scope
from pylon.store import objects
from pylon.store.database import Database, Transaction
from tests.conftest import Described, Superuser, Tenants, tenant_types

TENANT_TABLES = [row.table for row in ROWS.values() if row.table.scope is Scope.TENANT]
SHARED_TABLES = [row.table.name for row in ROWS.values() if row.table.scope is Scope.SHARED]
OTHER_TABLES = [row.table.name for row in ROWS.values() if row.table.scope is not Scope.SHARED]

As = Callable[[Database, UUID], AbstractContextManager[Transaction]]
ROLES = {"authenticated": Database.as_reader, "pylon_actor": Database.as_actor}


@pytest.fixture(params=tenant_types(), ids=lambda row: row.table.name)
def row_type(request: pytest.FixtureRequest) -> type[Row]:
    """Every type whose rows belong to operators: a new one is covered by being declared."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=ROLES.values(), ids=ROLES)
def become(request: pytest.FixtureRequest) -> As:
    return request.param  # type: ignore[no-any-return]


def run(transaction: Transaction, text: str, **values: Any) -> psycopg.Cursor[dict[str, Any]]:
    return transaction.statement(text.encode(), **values)


def count(transaction: Transaction, table: str) -> int:
    row = run(transaction, f"select count(*) as n from public.{table}").fetchone()
    assert row is not None
    return int(row["n"])


def owners(transaction: Transaction, row_type: type[Row]) -> set[UUID]:
    return {row["o"] for row in run(transaction, f"select operator_id as o from public.{row_type.table.name}")}


# Rows


def test_an_operator_sees_its_own_rows_and_no_others(tenants: Tenants, row_type: type[Row], become: As) -> None:
    for tenant in (tenants.a, tenants.b):
        tenant.whole(row_type)
    for tenant in (tenants.a, tenants.b):
        with become(tenant.database, tenant.id) as transaction:
            assert owners(transaction, row_type) == {tenant.id}


def test_an_operator_sees_itself_alone(tenants: Tenants, become: As) -> None:
    with become(tenants.a.database, tenants.a.id) as transaction:
        assert [row["id"] for row in run(transaction, "select id from public.operators")] == [tenants.a.id]


def test_no_statement_of_one_operator_changes_or_removes_a_row_of_another(
    tenants: Tenants, row_type: type[Row]
) -> None:
    tenants.b.whole(row_type)
    table = row_type.table.name
    changes = [f"update public.{table} set operator_id = operator_id", f"delete from public.{table}"]
    for change in changes:
        if row_type.table.append_only:
            with pytest.raises(Forbidden), tenants.a.database.as_actor(tenants.a.id) as transaction:
                run(transaction, change)
        else:
            with tenants.a.database.as_actor(tenants.a.id) as transaction:
                assert run(transaction, change).rowcount == 0
    with tenants.b.database.as_reader(tenants.b.id) as transaction:
        assert count(transaction, table) == 1


def test_an_operator_cannot_change_or_remove_another(tenants: Tenants) -> None:
    with tenants.a.database.as_actor(tenants.a.id) as transaction:
        values = {"other": tenants.b.id}
        rename = "update public.operators set name = 'mine' where id = %(other)s"
        assert run(transaction, rename, **values).rowcount == 0
        assert run(transaction, "delete from public.operators where id = %(other)s", **values).rowcount == 0


def test_a_row_cannot_be_written_in_another_operators_name(tenants: Tenants, row_type: type[Row]) -> None:
    row = tenants.b.whole(row_type)
    with pytest.raises(Forbidden, match="row-level security"), tenants.a.database.as_actor(tenants.a.id) as mine:
        objects.add_missing(mine, [fresh(row)])


def test_a_row_cannot_be_given_away(tenants: Tenants) -> None:
    tenants.a.make(Agent)
    with pytest.raises(Forbidden, match="row-level security"), tenants.a.database.as_actor(tenants.a.id) as mine:
        run(mine, "update public.agents set operator_id = %(other)s", other=tenants.b.id)


def test_no_operator_can_be_made_in_another_ones_name(tenants: Tenants) -> None:
    other = tenants.a.operator.model_copy(update={"id": UUID(int=7)})
    with pytest.raises(Forbidden, match="row-level security"), tenants.a.database.as_actor(tenants.a.id) as mine:
        objects.add_missing(mine, [other])


def references() -> list[tuple[type[Row], ColumnSpec]]:
    """Every reference from one operator's row to another row of an operator."""
    return [
        (row, spec)
        for row in tenant_types()
        for spec in columns.of(row)
        if spec.ref and ROWS[spec.ref.target] in tenant_types()
    ]


@pytest.mark.parametrize(
    ("row", "spec"), references(), ids=[f"{row.table.name}.{spec.name}" for row, spec in references()]
)
def test_a_reference_cannot_name_another_operators_row(row: type[Row], spec: ColumnSpec, tenants: Tenants) -> None:
    theirs = tenants.b.target(spec)
    with pytest.raises(NotFound, match="foreign key"):
        tenants.a.whole(row, **{spec.name: theirs})


def test_two_operators_may_use_the_same_ids_of_their_own(tenants: Tenants) -> None:
    for tenant in (tenants.a, tenants.b):
        tenant.make(DataCentre, dc_id="dc-1")
        tenant.make(ComputeWorkload, job_id="job-1")
        tenant.make(Agent, agent_id="agent-1")
        tenant.make(OrchestrationDecision, decision_id="decision-1")


# Claims


@pytest.mark.parametrize("claims", ["", "{}", '{"app_metadata": {}}', '{"user_metadata": {"operator_id": "%s"}}'])
def test_no_claim_means_no_rows(claims: str, tenants: Tenants, superuser: Superuser) -> None:
    tenants.a.make(Agent)
    with superuser() as session, session.transaction():
        act_as(session, "authenticated", claims.replace("%s", str(tenants.a.id)))
        for table in TENANT_TABLES:
            column = table.tenant_column
            assert session.execute(f"select {column} from public.{table.name}".encode()).fetchall() == []


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ("not json", "invalid input syntax for type json"),
        ('{"app_metadata": {"operator_id": "me"}}', 'invalid input syntax for type uuid: "me"'),
    ],
)
def test_a_malformed_claim_is_an_error_not_an_empty_answer(
    claims: str, said: str, tenants: Tenants, superuser: Superuser
) -> None:
    tenants.a.make(Agent)
    with superuser() as session, session.transaction(force_rollback=True):
        act_as(session, "authenticated", claims)
        with pytest.raises(psycopg.errors.DataError, match=said):
            session.execute("select id from public.agents")


def test_a_claim_ends_with_its_transaction(database: Database, tenants: Tenants, app_dsn: str) -> None:
    tenants.a.make(Agent)
    with Database(app_dsn, pool_size=1) as single:
        with single.as_actor(tenants.a.id) as transaction:
            assert count(transaction, "agents") == 1
        with single.as_reader(tenants.b.id) as transaction:
            assert count(transaction, "agents") == 0
        with single.as_anyone() as transaction:
            row = run(transaction, "select current_setting('request.jwt.claims', true) as claims").fetchone()
            assert row == {"claims": ""}


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "failed"])
def test_a_role_ends_with_its_transaction(fails: bool, app_dsn: str) -> None:
    connection = psycopg.connect(app_dsn, autocommit=True)
    with connection:
        try:
            with connection.transaction():
                act_as(connection, "pylon_actor", "")
                if fails:
                    connection.execute("select 1 / 0")
        except psycopg.errors.DivisionByZero:
            pass
        assert connection.execute("select current_user").fetchone() == ("pylon_app",)


def test_the_login_itself_may_read_no_table(app_dsn: str) -> None:
    with psycopg.connect(app_dsn, autocommit=True) as connection:
        for row in ROWS.values():
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select from public.{row.table.name}".encode())


def test_the_login_cannot_take_back_more_than_its_roles(app_dsn: str) -> None:
    with psycopg.connect(app_dsn, autocommit=True) as connection:
        for role in ("service_role", "pylon_owner", "postgres"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"set role {role}".encode())


# Who sees what


def test_the_hash_of_a_key_is_shown_to_no_client(tenants: Tenants) -> None:
    for column in ("api_key_hash", "*"):
        with pytest.raises(Forbidden), tenants.a.database.as_reader(tenants.a.id) as transaction:
            run(transaction, f"select {column} from public.operators")


def test_reading_an_object_leaves_its_secrets_out(tenants: Tenants) -> None:
    with tenants.a.database.as_reader(tenants.a.id) as transaction:
        (row,) = objects.read(transaction, Operator, operator_id=tenants.a.id)
    assert row["name"] == "Operator A"
    assert "api_key_hash" not in row


def test_anyone_reads_grid_data_and_nothing_else(database: Database) -> None:
    for table in SHARED_TABLES:
        with database.as_anyone() as transaction:
            count(transaction, table)
    for table in OTHER_TABLES:
        with pytest.raises(Forbidden, match="permission denied"), database.as_anyone() as transaction:
            count(transaction, table)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "pylon_catalog"])
def test_no_client_role_may_write_anything(role: str, described: Described) -> None:
    grants = described["grants"]
    rights = {name: given[role] for name, given in grants.items() if role in given}
    allowed = {"schema": ["USAGE"], "table": ["SELECT"], "column": ["SELECT"]}
    checks = {name: ["EXECUTE"] for name in rights if name.startswith("function public.check_decisions")}
    assert rights == {name: allowed.get(name.split()[0], []) for name in rights} | checks


def test_no_function_may_be_called_by_everyone(described: Described) -> None:
    callers = {
        name: set(given) - {"pylon_owner"}
        for name, given in described["grants"].items()
        if name.startswith("function")
    }
    triggers = {name for name in callers if name.startswith(("function private.touch", "function private.refuse"))}
    of_the_log = {name for name in callers if name.endswith("_decisions") or "_decisions(" in name}
    assert {name for name, roles in callers.items() if roles - {"pylon_ingest"}} <= triggers | of_the_log
    for name in of_the_log:
        readers = {"authenticated", "service_role"} if "check_decisions" in name else set()
        assert callers[name] == {"pylon_actor", *readers}


def test_the_catalog_shows_published_centres_and_their_operators_only(tenants: Tenants) -> None:
    shown = tenants.a.make(DataCentre, published=True)
    hidden = tenants.b.make(DataCentre)
    tenants.a.make(ComputeWorkload, host_dc_id=shown.id)
    tenants.b.make(ComputeWorkload, host_dc_id=hidden.id)
    with tenants.a.database.as_catalog() as transaction:
        assert column(transaction, "id", "data_centres") == [shown.id]
        assert column(transaction, "id", "operators") == [tenants.a.id]
        assert column(transaction, "host_dc_id", "compute_workloads") == [shown.id]


def test_the_catalog_shows_what_an_offer_needs_and_no_more(database: Database) -> None:
    private = {
        "operators": ["email", "api_key_hash", "metadata"],
        "data_centres": ["postcode", "current_load_percentage", "min_load_percentage", "memory_gb"],
        "workload_placements": ["decision_id"],
        "compute_workloads": ["job_id", "deadline", "max_price_gbp", "value_gbp", "carbon_cap_gco2"],
    }
    for table, hidden in private.items():
        for name in hidden:
            with pytest.raises(Forbidden), database.as_catalog() as transaction:
                column(transaction, name, table)


def test_the_catalog_reaches_no_other_table_of_operators(database: Database) -> None:
    open_to_it = {"operators", "data_centres", "compute_workloads", "workload_placements"}
    for table in TENANT_TABLES:
        if table.name not in open_to_it:
            with pytest.raises(Forbidden), database.as_catalog() as transaction:
                column(transaction, table.tenant_column, table.name)


def test_ingest_sees_of_operators_only_where_their_centres_are(described: Described) -> None:
    grants = described["grants"]
    tenant_tables = {f"public.{table.name}" for table in TENANT_TABLES}
    seen = {
        name.removeprefix("column public."): given["pylon_ingest"]
        for name, given in grants.items()
        if "pylon_ingest" in given and any(name.split()[1].startswith(f"{table}.") for table in tenant_tables)
    }
    assert seen == {
        "data_centres.id": ["SELECT"],
        "data_centres.region_id": ["SELECT"],
        "data_centres.current_carbon_intensity": ["SELECT", "UPDATE"],
        "data_centres.current_carbon_source": ["SELECT", "UPDATE"],
    }
    assert not [name for name in tenant_tables if "pylon_ingest" in grants[f"table {name}"]]


def test_ingest_may_read_nothing_more_of_a_centre(tenants: Tenants) -> None:
    tenants.a.make(DataCentre)
    for name in ("operator_id", "dc_id", "name", "total_capacity_mw"):
        with pytest.raises(Forbidden), tenants.a.database.as_ingest() as transaction:
            column(transaction, name, "data_centres")


def test_an_actor_cannot_write_grid_data(tenants: Tenants) -> None:
    signal = tenants.a.target(next(spec for spec in columns.of(OrchestrationDecision) if refers(spec, GridSignal)))
    with pytest.raises(Forbidden), tenants.a.database.as_actor(tenants.a.id) as transaction:
        run(transaction, "update public.grid_signals set demand_mw = 1 where id = %(id)s", id=signal)


def test_leases_are_seen_by_no_client(database: Database, tenants: Tenants) -> None:
    for role in (database.as_anyone(), database.as_reader(tenants.a.id), database.as_catalog()):
        with pytest.raises(Forbidden), role as transaction:
            count(transaction, "leases")


# The rules themselves


def test_row_security_is_enabled_and_forced_on_every_table(database: Database, superuser: Superuser) -> None:
    with database.as_ingest() as transaction:
        transaction.value("record_vintages", series=VINTAGE, run_id=UUID(int=1), now="2026-11-22T09:00Z")
    with superuser() as session:
        tables = session.execute(
            "select relname::text, relrowsecurity, relforcerowsecurity, relispartition from pg_class "
            "where relkind in ('r', 'p') and relnamespace in ('public'::regnamespace, 'private'::regnamespace)"
        ).fetchall()
    assert ("signal_vintages_202611", True, False, True) in tables
    assert [name for name, enabled, forced, part in tables if not (enabled and (forced or part))] == []


def test_every_tenant_table_has_one_policy_made_of_the_shared_expression(
    described: Described, superuser: Superuser
) -> None:
    policies = described["policies"]
    claimed = as_stored(superuser, CLAIMED_OPERATOR)
    for table in TENANT_TABLES:
        rule = f"({table.tenant_column} = {claimed})"
        policy = policies[f"public.{table.name}.tenant_rows"]
        assert policy == {
            "permissive": "PERMISSIVE",
            "command": "ALL",
            "roles": ["authenticated", "pylon_actor"],
            "using": rule,
            "check": rule,
        }


def test_no_other_policy_lets_those_roles_at_a_tenant_table(described: Described) -> None:
    tenant_tables = tuple(f"public.{table.name}." for table in TENANT_TABLES)
    others = {
        name: set(policy["roles"])
        for name, policy in described["policies"].items()
        if name.startswith(tenant_tables) and not name.endswith(".tenant_rows")
    }
    assert all(roles <= {"pylon_catalog", "pylon_ingest"} for roles in others.values()), others


def test_the_claim_is_worked_out_once_a_statement_and_not_once_a_row(superuser: Superuser) -> None:
    with superuser() as session, session.transaction():
        act_as(session, "authenticated", f'{{"app_metadata": {{"operator_id": "{UUID(int=1)}"}}}}')
        session.execute("set local enable_indexscan = off; set local enable_bitmapscan = off")
        query = "explain (verbose) select id from public.compute_workloads"
        plan = "\n".join(str(line) for (line,) in session.execute(query).fetchall())
    scan = next(line for line in plan.splitlines() if "Filter" in line)
    assert "operator_id = " in scan
    assert "InitPlan" in plan
    assert "jsonb" not in scan, plan


VINTAGE = '[{"series": "s", "starts_at": "2026-11-22T09:00Z", "half_hour_values": [1], "source": "simulated"}]'


def act_as(session: psycopg.Connection[Any], role: str, claims: str) -> None:
    session.execute(
        "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)", [role, claims]
    )


def as_stored(superuser: Superuser, expression: str) -> str:
    """Return the expression as the catalogue writes it back."""
    with superuser() as session:
        session.execute("set search_path = ''")
        session.execute(f"create policy probe on public.agents using (operator_id = {expression})".encode())
        text = session.execute("select qual from pg_policies where policyname = 'probe'").fetchone()
        session.execute("drop policy probe on public.agents")
    assert text is not None
    return str(text[0]).removeprefix("(operator_id = ").removesuffix(")")


def column(transaction: Transaction, name: str, table: str) -> list[Any]:
    return [row[name] for row in run(transaction, f"select {name} from public.{table}")]


def refers(spec: ColumnSpec, row_type: type[Row]) -> bool:
    return spec.ref is not None and ROWS[spec.ref.target] is row_type


def fresh(row: Row) -> Row:
    """Return the same row under a key that is not taken."""
    return row.model_copy(update={"id": UUID(int=99)}) if "id" in type(row).model_fields else row
