"""The log of decisions from outside: checked and taken away, over HTTP and in a terminal, then checked alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from pylon.interfaces import audit_api
from pylon.interfaces.check_export import check
from pylon.store import log
from tests.acceptance.support import Ended, World, new_id, new_world, ran, served
from tests.acceptance.test_api import problem
from tests.conftest import new_tenant
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.postgres import Cluster

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
DECISIONS = 1_200  # more than one page of an export


@pytest.fixture
def world(cluster: Cluster, template: str, api: StandIn, tmp_path: Path) -> Iterator[World]:
    """A database in which 1,200 decisions have been made, and a home of its own."""
    with new_world(cluster, template, "acceptance_audit", api, home=tmp_path / "home") as world:
        append(world, world.operator_id, DECISIONS)
        yield world


@pytest.fixture
def http(world: World) -> Iterator[httpx2.Client]:
    with served(world.runtime()) as client:
        yield client


def append(world: World, operator_id: UUID, number: int) -> None:
    decisions = [
        {
            "id": (made := new_id()),
            "decision_id": f"D-{made}",
            "decision_type": "ACCEPT_WORKLOAD",
            "reasoning": "Günstig jetzt.",
            "decided_at": NOW,
        }
        for _ in range(number)
    ]
    with world.database.as_actor(operator_id) as transaction:
        log.append(transaction, operator_id, decisions, now=NOW)


def tamper(world: World, statement: str) -> None:
    """Change the log as a superuser who switches its guard off."""
    with world.superuser() as session:
        session.execute("alter table public.orchestration_decisions disable trigger user")
        assert session.execute(statement.encode()).rowcount >= 1
        session.execute("alter table public.orchestration_decisions enable trigger user")


def audit(world: World, *words: object) -> Ended:
    return ran("audit", *map(str, words), DATABASE_URL=world.owner_dsn, PYLON_HOME=str(world.settings.home))


def said(http: httpx2.Client, path: str, **words: Any) -> dict[str, Any]:
    answer = http.get(f"/api/v1/audit/{path}", params=words)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_log_is_checked_and_what_is_not_protected_is_said(world: World, http: httpx2.Client) -> None:
    found = said(http, "verify")
    assert (found["is_intact"], found["decisions"], found["checked"]) == (True, DECISIONS, DECISIONS)
    assert (found["heads_met"], found["protected_upto"], found["unprotected"]) == (0, 0, DECISIONS)
    assert f"Decision {DECISIONS}: {found['last_hash']}" in audit(world, "heads").said
    append(world, world.operator_id, 3)
    found = said(http, "verify")
    assert (found["heads_met"], found["protected_upto"], found["unprotected"]) == (1, DECISIONS, 3)


def test_a_change_is_told_over_http_and_in_the_terminal(world: World, http: httpx2.Client) -> None:
    audit(world, "heads")
    tamper(world, "update public.orchestration_decisions set reasoning = 'Teuer.' where seq = 234")
    found = said(http, "verify")
    assert found["fault"] == {
        "seq": 234,
        "kind": "columns_differ",
        "detail": "The columns of decision 234 are not what its content says: they were changed.",
    }
    ended = audit(world, "verify")
    assert ended.code == 1
    assert "The log is not as it was written. The columns of decision 234" in ended.said
    assert "233 of 1,200 decisions are in order before that" in ended.said


def test_a_tail_that_is_cut_with_its_head_is_told_by_the_published_one(world: World, http: httpx2.Client) -> None:
    audit(world, "heads")
    kept = world.settings.home.parent / "kept.jsonl"
    kept.write_bytes((world.settings.home / "chain-heads.jsonl").read_bytes())
    tamper(world, "delete from public.orchestration_decisions where seq > 1000")
    world.execute(
        "update public.chain_heads set seq = 1000, "
        "hash = (select hash from public.orchestration_decisions where seq = 1000)"
    )
    (world.settings.home / "chain-heads.jsonl").unlink()  # whoever owns the machine removes this one too
    assert said(http, "verify")["is_intact"]
    ended = audit(world, "verify", "--heads", kept)
    assert ended.code == 1
    assert "Decision 1001 is not there, nor any later one, and the head published at" in ended.said


def test_an_export_is_checked_with_python_alone(world: World, http: httpx2.Client, tmp_path: Path) -> None:
    audit(world, "heads")
    append(world, world.operator_id, 2)
    file = tmp_path / "out" / "log.jsonl"
    file.parent.mkdir()
    ended = audit(world, "export", "--out", file, "--with-checker")
    assert (ended.code, ended.out) == (0, "")
    assert file.read_bytes().count(b"\n") == DECISIONS + 3
    header = json.loads(file.read_bytes().splitlines()[0])
    assert (header["decisions"], header["head"]["seq"]) == (DECISIONS + 2, DECISIONS + 2)
    assert "Carbon Intensity API, National Energy System Operator (NESO), CC BY 4.0" in header["attribution"]
    words = [
        sys.executable,
        "-I",
        file.with_name("check_export.py"),
        file,
        world.settings.home / "chain-heads.jsonl",
    ]
    checked = subprocess.run(words, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"Nothing up to decision {DECISIONS} was changed" in checked.stdout
    assert "Decisions after the last of them: 2;" in checked.stdout
    again = audit(world, "verify", "--export", file)
    assert (again.code, again.out) == (0, checked.stdout)
    file.write_bytes(file.read_bytes().replace(b"stig jetzt", b"stig immer", 1))
    changed = audit(world, "verify", "--export", file)
    assert changed.code == 1
    assert "The hash of decision 1 is not that of its content" in changed.out


def test_the_export_over_http_is_the_same_and_may_begin_anywhere(world: World, http: httpx2.Client) -> None:
    answer = http.get("/api/v1/audit/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert f"decisions 1 to {DECISIONS}" in check(answer.content.splitlines())
    part = http.get("/api/v1/audit/export", params={"from": 1100}).content.splitlines()
    assert len(part) == 1 + 101
    assert f"decisions 1100 to {DECISIONS}" in check(part)
    assert part[1:] == answer.content.splitlines()[1100:]
    last = http.get("/api/v1/audit/export", params={"from": DECISIONS + 1}).content.splitlines()
    assert len(last) == 1
    ended = audit(world, "export", "--from", 1100)
    assert ended.out.encode().splitlines()[1:] == part[1:]


def test_an_export_that_begins_beyond_the_end_is_refused(world: World, http: httpx2.Client) -> None:
    refused = problem(http.get("/api/v1/audit/export", params={"from": 9999}), 422, "invalid")
    assert "begin at decision 9999: the log has 1200. Valid: 1 to 1201" in refused["detail"]
    problem(http.get("/api/v1/audit/export", params={"from": 0}), 422, "invalid")
    ended = audit(world, "export", "--from", 9999)
    assert ended.code == 2
    assert "Valid: 1 to 1201" in ended.said


def test_heads_over_http_protect_whoever_keeps_them(world: World, http: httpx2.Client, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text(http.get("/api/v1/audit/heads").text + "\n{cut")
    ended = audit(world, "verify", "--heads", kept)
    assert ended.code == 0
    assert "Published heads that are where they were: 1. The last is that of decision 1,200" in ended.said
    assert "no head can be read in line 2" in ended.said
    assert "after the last published head" not in ended.said


def test_lines_of_the_heads_that_are_none_are_told_over_http_too(world: World, http: httpx2.Client) -> None:
    assert said(http, "verify")["unreadable_lines"] == []
    audit(world, "heads")
    published = world.settings.home / "chain-heads.jsonl"
    published.write_bytes(b"\xff{cut\n" + published.read_bytes() + b"[" * 100_000)
    found = said(http, "verify")
    assert (found["is_intact"], found["heads_met"], found["unreadable_lines"]) == (True, 1, [1, 3])


def test_the_head_is_published_once(world: World) -> None:
    assert "Keep a copy where whoever runs this machine cannot change it" in audit(world, "heads").said
    assert "Nothing has been decided since the last head" in audit(world, "heads").said
    assert len((world.settings.home / "chain-heads.jsonl").read_bytes().splitlines()) == 1


def test_an_operator_checks_and_exports_its_own_log_alone(world: World) -> None:
    other = new_tenant(world.database, "other")
    append(world, other.id, 2)
    with served(world.runtime(other.id)) as http:
        assert said(http, "verify")["decisions"] == 2
        assert said(http, "heads")["seq"] == 2
        lines = http.get("/api/v1/audit/export").content.splitlines()
    assert [json.loads(json.loads(line)["content"])["operator_id"] for line in lines[1:]] == [str(other.id)] * 2


def test_one_check_at_a_time(http: httpx2.Client) -> None:
    with audit_api._one_at_a_time(audit_api._verifying, "The log is being checked"):
        refused = problem(http.get("/api/v1/audit/verify"), 409, "conflict")
    assert "Try again in a moment" in refused["detail"]
    assert said(http, "verify")["is_intact"]


def test_the_page_on_how_to_verify_does_what_it_says(world: World, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/verify-the-log.md").read_text("utf-8")
    commands = "".join(re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)).splitlines()
    assert len(commands) == 5
    programs = {"pylon": [sys.executable, "-m", "pylon"], "python": [sys.executable]}
    environment = {**os.environ, "DATABASE_URL": world.owner_dsn, "PYLON_HOME": str(world.settings.home)}
    for command in commands:
        if (published := world.settings.home / "chain-heads.jsonl").exists():
            (tmp_path / "kept-heads.jsonl").write_bytes(published.read_bytes())
        program, *words = shlex.split(command)
        ended = subprocess.run(
            [*programs[program], *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["verify", "--heads", "none.jsonl"], "There is no file none.jsonl"),
        (["export", "--with-checker"], "Say where that goes: --out FILE"),
        (["export", "--out", "."], "--out . cannot be written"),
    ],
)
def test_a_slip_is_told_what_to_do(world: World, words: list[str], why: str) -> None:
    ended = audit(world, *words)
    assert ended.code in (1, 2)
    assert why in ended.said
