"""A superuser who disables the triggers tampers with the log, in every way there is, and is found each time.

Ten logs of 1,000 decisions, each with a head published at number 900. A tamper touches a decision up to 900, is
verified through the same code as everything else, and is rolled back. Those called careful leave a chain that is
whole in itself: only the published head tells.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from pylon.ontology.identity import derived_uuid
from pylon.services.publish_heads import PublishedHead
from pylon.services.verify_log import FaultKind, Verification, verify_in
from pylon.store import log
from pylon.store.database import Database, Transaction
from tests.conftest import LOGIN, NOW, new_tenant
from tests.doubles.postgres import Cluster

LOGS, DECISIONS, PUBLISHED = 10, 1_000, 900
TAMPERS, FEWER = 1_000, 100

# Hashes and links everything from a number on anew, and the head with it: what a careful forger does last.
FORGE = """
create function pg_temp.forge(p_operator uuid, p_from bigint) returns void language plpgsql as $$
declare
    last text;
    d record;
begin
    select o.hash into last from public.orchestration_decisions o
    where o.operator_id = p_operator and o.seq = p_from - 1;
    last := coalesce(last, repeat('0', 64));
    for d in select o.id, o.seq, o.content from public.orchestration_decisions o
             where o.operator_id = p_operator and o.seq >= p_from order by o.seq loop
        update public.orchestration_decisions o set prev_hash = last,
            hash = encode(sha256(convert_to(last || E'\\n' || d.seq || E'\\n' || d.content, 'UTF8')), 'hex')
        where o.operator_id = p_operator and o.id = d.id returning o.hash into last;
    end loop;
    update public.chain_heads h set hash = last,
        seq = (select max(o.seq) from public.orchestration_decisions o where o.operator_id = p_operator)
    where h.operator_id = p_operator;
end
$$;

-- Changes what a decision says, in its content and in its columns alike.
create function pg_temp.rewrite(p_operator uuid, p_seq bigint, p_change jsonb) returns void language sql as $$
    update public.orchestration_decisions o set
        content = (o.content::jsonb || p_change)::text,
        reasoning = coalesce(p_change ->> 'reasoning', o.reasoning),
        cost_saved_gbp = coalesce((p_change ->> 'cost_saved_gbp')::numeric, o.cost_saved_gbp),
        decided_at = coalesce((p_change ->> 'decided_at')::timestamptz, o.decided_at)
    where o.operator_id = p_operator and o.seq = p_seq
$$;

-- Moves every decision from a number on up or down, past the others so that no two meet.
create function pg_temp.renumber(p_operator uuid, p_from bigint, p_by bigint) returns void language sql as $$
    update public.orchestration_decisions o set seq = o.seq + 1000000
    where o.operator_id = p_operator and o.seq >= p_from;
    update public.orchestration_decisions o set seq = o.seq - 1000000 + p_by
    where o.operator_id = p_operator and o.seq >= 1000000
$$;

-- Puts in a copy of a decision, under another name, at a number.
create function pg_temp.copy(p_operator uuid, p_seq bigint, p_at bigint, p_id uuid) returns void language sql as $$
    insert into public.orchestration_decisions
    select d.* from public.orchestration_decisions o
    cross join lateral jsonb_populate_record(o, jsonb_build_object(
        'seq', p_at, 'id', p_id, 'decision_id', p_id::text,
        'content', (o.content::jsonb || jsonb_build_object('id', p_id, 'decision_id', p_id::text))::text)) d
    where o.operator_id = p_operator and o.seq = p_seq
$$;
"""


INDEXES = b"""
select i.indexrelid::regclass::text as name from pg_index i
where i.indrelid = 'public.orchestration_decisions'::regclass and not i.indisunique
"""


@dataclass
class Forger:
    """A superuser's session with the triggers off, one log to tamper with, and dice."""

    session: psycopg.Connection[Any]
    dice: random.Random
    operator_id: UUID
    other_id: UUID

    def run(self, text: str, **values: Any) -> int:
        words = {"o": self.operator_id, "other": self.other_id, **values}
        return self.session.execute(text.encode(), words).rowcount

    def place(self, last: int = PUBLISHED) -> int:
        return self.dice.randint(1, last)

    def late_place(self) -> int:
        """Near the published head as a rule: all that follows is hashed anew, which takes its time."""
        return self.place() if self.dice.random() < 0.1 else PUBLISHED + 1 - self.place(50)

    def forge(self, seq: int) -> None:
        self.run("select pg_temp.forge(%(o)s, %(n)s)", n=seq)


COLUMNS = {
    "id": "gen_random_uuid()",
    "decision_id": "decision_id || '-'",
    "operator_id": "%(other)s",
    "decision_type": "'NEGOTIATE'",
    "agent_id": "gen_random_uuid()",
    "workload_id": "gen_random_uuid()",
    "source_dc_id": "gen_random_uuid()",
    "target_dc_id": "gen_random_uuid()",
    "storage_asset_id": "gen_random_uuid()",
    "input_grid_signal_id": "gen_random_uuid()",
    "input_run_id": "gen_random_uuid()",
    "input_carbon_intensity": "input_carbon_intensity + 1",
    "input_grid_stress": "1 - input_grid_stress",
    "input_price_gbp_mwh": "null",
    "reasoning": "reasoning || ' '",
    "constraints_evaluated": """'{"a": 1}'""",
    "alternatives_considered": """'{"terms": [1.0]}'""",
    "carbon_saved_gco2": "-carbon_saved_gco2",
    "cost_saved_gbp": "cost_saved_gbp + 0.0001",
    "flexibility_contribution_mw": "0",
    "inputs": "jsonb_set(inputs, '{digest}', '1')",
    "effect": """effect || '{"x": null}'""",
    "is_simulated": "not is_simulated",
    "decided_at": "decided_at + interval '1 microsecond'",
    "seq": "seq + 1000000",
    "content": "content || ' '",
    "prev_hash": "translate(prev_hash, '0123456789abcdef', '123456789abcdef0')",
    "hash": "translate(hash, '0123456789abcdef', '123456789abcdef0')",
}


def edit_a_column(forger: Forger) -> None:
    column = forger.dice.choice(list(COLUMNS))
    change = f"update public.orchestration_decisions set {column} = {COLUMNS[column]} "
    n = forger.place()
    if column == "operator_id":  # its place in the other log must be free
        forger.run("select pg_temp.renumber(%(other)s, %(n)s, 1)", n=n)
    assert forger.run(f"{change} where operator_id = %(o)s and seq = %(n)s", n=n) == 1


def replace_the_content(forger: Forger) -> None:
    content = forger.dice.choice(["", "{}", "null", "[", '{"id": 7}', '{"decided_at": "never"}', "{} {}"])
    change = "update public.orchestration_decisions set content = %(c)s where operator_id = %(o)s and seq = %(n)s"
    n = forger.place()
    assert forger.run(change, c=content, n=n) == 1
    if forger.dice.random() < 0.3:
        forger.forge(n)


def edit_content_and_columns(forger: Forger) -> None:
    forger.run("select pg_temp.rewrite(%(o)s, %(n)s, %(c)s)", n=forger.place(), c=change_of(forger))


def edit_and_hash_that_row_anew(forger: Forger) -> None:
    n = forger.place()
    forger.run("select pg_temp.rewrite(%(o)s, %(n)s, %(c)s)", n=n, c=change_of(forger))
    forger.run(
        "update public.orchestration_decisions set hash = encode(sha256(convert_to(prev_hash || E'\\n' || seq || "
        "E'\\n' || content, 'UTF8')), 'hex') where operator_id = %(o)s and seq = %(n)s",
        n=n,
    )


def delete_some(forger: Forger) -> None:
    n = forger.place()
    last = n + forger.dice.choice([0, 0, 1, 5])
    gone = "delete from public.orchestration_decisions where operator_id = %(o)s and seq between %(n)s and %(m)s"
    assert forger.run(gone, n=n, m=last) == last - n + 1


def put_one_in(forger: Forger) -> None:
    n = forger.place()
    forger.run("select pg_temp.renumber(%(o)s, %(n)s, 1)", n=n)
    put_copy(forger, n)


def swap_two(forger: Forger) -> None:
    exchange(forger, forger.place(), forger.place())


def cut_the_tail(forger: Forger) -> None:
    cut(forger, forger.place(PUBLISHED - 1))


def edit_and_forge(forger: Forger) -> None:
    n = forger.late_place()
    forger.run("select pg_temp.rewrite(%(o)s, %(n)s, %(c)s)", n=n, c=change_of(forger))
    forger.forge(n)


def delete_one_and_forge(forger: Forger) -> None:
    n = forger.late_place()
    forger.run("delete from public.orchestration_decisions where operator_id = %(o)s and seq = %(n)s", n=n)
    forger.run("select pg_temp.renumber(%(o)s, %(n)s, -1)", n=n)
    forger.forge(n)


def put_one_in_and_forge(forger: Forger) -> None:
    n = forger.late_place()
    forger.run("select pg_temp.renumber(%(o)s, %(n)s, 1)", n=n)
    put_copy(forger, n)
    forger.forge(n)


def swap_two_and_forge(forger: Forger) -> None:
    n, m = forger.late_place(), forger.late_place()
    exchange(forger, n, m)
    forger.forge(min(n, m))


def cut_the_tail_and_forge_the_head(forger: Forger) -> None:
    n = forger.place(PUBLISHED - 1)
    cut(forger, n)
    forger.forge(n)


def empty_the_log(forger: Forger) -> None:
    cut(forger, 0)
    forger.run("update public.chain_heads set seq = 0, hash = repeat('0', 64) where operator_id = %(o)s")


def forge_the_head_alone(forger: Forger) -> None:
    change = forger.dice.choice(["seq = seq - 1", "seq = seq + 1", "hash = repeat('a', 64)"])
    forger.run(f"update public.chain_heads set {change} where operator_id = %(o)s")


def remove_the_head(forger: Forger) -> None:
    forger.run("delete from public.chain_heads where operator_id = %(o)s")


def change_of(forger: Forger) -> str:
    return forger.dice.choice(
        ['{"reasoning": "It was cheaper."}', '{"cost_saved_gbp": "0.5"}', '{"decided_at": "2020-01-01T00:00:00Z"}']
    )


def put_copy(forger: Forger, at: int) -> None:
    new = derived_uuid(NOW, "copy", str(forger.dice.random()))
    forger.run("select pg_temp.copy(%(o)s, %(n)s, %(m)s, %(id)s)", n=at + 1, m=at, id=new)


def exchange(forger: Forger, n: int, m: int) -> None:
    m = m if m != n else n % PUBLISHED + 1
    move = "update public.orchestration_decisions set seq = %(to)s where operator_id = %(o)s and seq = %(n)s"
    for one, to in ((n, 1_000_000), (m, n), (1_000_000, m)):
        assert forger.run(move, n=one, to=to) == 1


def cut(forger: Forger, after: int) -> None:
    gone = "delete from public.orchestration_decisions where operator_id = %(o)s and seq > %(n)s"
    assert forger.run(gone, n=after) == DECISIONS - after


CARELESS = (
    edit_a_column,
    replace_the_content,
    edit_content_and_columns,
    edit_and_hash_that_row_anew,
    delete_some,
    put_one_in,
    swap_two,
    cut_the_tail,
)
CAREFUL = (
    edit_and_forge,
    delete_one_and_forge,
    put_one_in_and_forge,
    swap_two_and_forge,
    cut_the_tail_and_forge_the_head,
    empty_the_log,
)


@dataclass(frozen=True)
class Kept:
    """Ten logs that tampers are tried on, and what was published of each."""

    session: psycopg.Connection[Any]
    operators: list[UUID]
    heads: list[PublishedHead]

    def tampered(
        self, tamper: Callable[[Forger], None], dice: random.Random, *, heads: bool = True
    ) -> Verification:
        """Tamper with one of the logs, verify it, and undo the tampering."""
        mine, other = dice.sample(self.operators, 2)
        with self.session.transaction(force_rollback=True):
            tamper(Forger(self.session, dice, mine, other))
            return verify_in(Transaction(self.session), mine, self.heads if heads else ())


@pytest.fixture(scope="module")
def kept(cluster: Cluster, template: str) -> Iterator[Kept]:
    name = "pylon_log_tampers"
    cluster.create(name, template)
    with Database(cluster.dsn(name, LOGIN), pool_size=1) as database:
        tenants = [new_tenant(database, f"log {number}") for number in range(LOGS)]
        heads = [fill(database, tenant.id) for tenant in tenants]
    with psycopg.connect(cluster.dsn(name, "postgres"), row_factory=dict_row) as session:
        session.execute("alter table public.orchestration_decisions disable trigger refuse_change")
        session.execute("alter table public.orchestration_decisions disable trigger refuse_statement")
        session.execute("set session_replication_role = replica")  # no foreign key in the way
        for index in session.execute(INDEXES).fetchall():  # they slow the forging down, and no more
            session.execute(f"drop index public.{index['name']}".encode())
        session.execute(FORGE.encode())
        session.commit()
        yield Kept(session, [tenant.id for tenant in tenants], heads)
    cluster.drop(name)


def fill(database: Database, operator_id: UUID) -> PublishedHead:
    """Append the decisions of one log, and return the head that was published on the way."""
    decisions = [
        {
            "id": derived_uuid(NOW, str(operator_id), str(number)),
            "decision_id": f"{operator_id}-{number}",
            "decision_type": "ACCEPT_WORKLOAD",
            "reasoning": f"Decision {number}",
            "input_carbon_intensity": number,
            "input_grid_stress": 0.1,
            "input_price_gbp_mwh": 80,
            "carbon_saved_gco2": number,
            "cost_saved_gbp": 1,
            "inputs": {"digest": str(number)},
            "alternatives_considered": {"terms": [1]},
            "decided_at": NOW,
        }
        for number in range(1, DECISIONS + 1)
    ]
    with database.as_actor(operator_id) as transaction:
        log.append(transaction, operator_id, decisions, now=NOW)
        published = transaction.one("hashes_at", operator_id=operator_id, seqs=[PUBLISHED])
    assert published
    return PublishedHead(operator_id=operator_id, **published, exported_at=NOW)


def test_random_tampers_are_all_found_against_the_last_published_head(kept: Kept, is_soak: bool) -> None:
    dice = random.Random(20261122)
    missed = []
    for number in range(TAMPERS if is_soak else FEWER):
        tamper = dice.choice(CARELESS + CAREFUL)
        found = kept.tampered(tamper, dice)
        if found.fault is None or found.fault.seq > PUBLISHED:
            missed.append((number, tamper.__name__, found))
    assert missed == []


@pytest.mark.parametrize("tamper", [*CARELESS, forge_the_head_alone, remove_the_head], ids=lambda one: one.__name__)
def test_the_chain_itself_tells_of_a_careless_one(kept: Kept, tamper: Callable[[Forger], None]) -> None:
    for seed in range(10):
        assert kept.tampered(tamper, random.Random(seed), heads=False).fault, seed


@pytest.mark.parametrize("tamper", CAREFUL, ids=lambda one: one.__name__)
def test_only_the_published_head_tells_of_a_careful_one(kept: Kept, tamper: Callable[[Forger], None]) -> None:
    dice = random.Random(7)
    state = dice.getstate()
    assert kept.tampered(tamper, dice, heads=False).is_intact
    dice.setstate(state)
    found = kept.tampered(tamper, dice)
    assert found.fault
    assert found.fault.kind in (FaultKind.PUBLISHED_HEAD_DIFFERS, FaultKind.TRUNCATED)
    assert found.heads_met == 0


def test_whoever_rewrites_all_that_was_never_published_is_not_found_and_the_answer_says_so(kept: Kept) -> None:
    def tamper(forger: Forger) -> None:
        n = forger.dice.randint(PUBLISHED + 1, DECISIONS)
        forger.run("select pg_temp.rewrite(%(o)s, %(n)s, %(c)s)", n=n, c=change_of(forger))
        forger.forge(n)

    found = kept.tampered(tamper, random.Random(3))
    assert (found.is_intact, found.protected_upto, found.unprotected) == (True, PUBLISHED, DECISIONS - PUBLISHED)


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_can_be_edited(kept: Kept, column: str) -> None:
    class Loaded(random.Random):
        def choice(self, seq: Any) -> Any:
            return column if seq == list(COLUMNS) else super().choice(seq)

    for seed in range(2):
        assert kept.tampered(edit_a_column, Loaded(seed), heads=False).fault


def test_the_tampers_reach_every_column(kept: Kept) -> None:
    columns = kept.session.execute("select * from public.orchestration_decisions limit 1").description
    assert columns
    assert set(COLUMNS) == {column.name for column in columns}
    kept.session.commit()


def test_nothing_is_left_of_it(kept: Kept) -> None:
    for operator_id in kept.operators:
        assert verify_in(Transaction(kept.session), operator_id, kept.heads).is_intact
    kept.session.commit()
