"""docs/how-to/add-an-agent-type.md, followed word for word in a copy of the source tree, on a real database."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pylon.store import migrations
from tests.doubles.postgres import Cluster
from tests.integration.test_how_to_object_type import COPIED, changed, contents

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/add-an-agent-type.md").read_text("utf-8")
ENUMS = "src/pylon/ontology/enums.py"
MODULE = "src/pylon/agents/price_guard.py"
MIGRATION = "supabase/migrations/20261201100000_price_guard.sql"
LAST_TYPE = '    CARBON_OPTIMIZER = "CARBON_OPTIMIZER"\n'


@dataclass(frozen=True)
class Followed:
    """The copy after the last step: what changed by hand and by the commands, what was printed, what is logged."""

    by_hand: set[str]
    by_command: set[str]
    printed: str
    agents: list[tuple[str, dict[str, float]]]
    caps: list[tuple[str, str, float]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Followed]:
    root = tmp_path_factory.mktemp("clone")
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, root / name)
    dsn = cluster.create("how_to_agent")
    migrations.apply(dsn)
    run(root, dsn, "pylon derive")  # whatever else is not current here is not this page's doing
    start = contents(root)
    named, module = blocks("python")
    write_migration, up_to_date, see = blocks("sh")
    enums = root / ENUMS
    enums.write_text(enums.read_text("utf-8").replace(LAST_TYPE, LAST_TYPE + named), "utf-8")
    # At the page's price nothing might be dear in the simulated half hour of the test; above nothing, all is.
    (root / MODULE).write_text(module.replace("= 300.0", "= -500.0").replace("ge=0", "ge=-500"), "utf-8")
    run(root, dsn, write_migration)
    edited = contents(root)
    run(root, dsn, up_to_date)
    by_command = changed(edited, contents(root))
    printed = run(root, dsn, see)
    with cluster.superuser("how_to_agent") as connection:
        agents = connection.execute(
            "select agent_id, config from public.agents where agent_type = 'PRICE_GUARD'"
        ).fetchall()
        caps = connection.execute(
            "select d.decision_type::text, c.dc_id, l.max_power_mw::float from public.load_limits l"
            " join public.orchestration_decisions d on d.id = l.decision_id"
            " join public.agents a on a.id = d.agent_id and a.agent_type = 'PRICE_GUARD'"
            " join public.data_centres c on c.id = l.data_centre_id"
        ).fetchall()
    yield Followed(changed(start, edited), by_command, printed, agents, caps)
    cluster.drop("how_to_agent")


def run(root: Path, dsn: str, command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(root / "src"), "DATABASE_URL": dsn}
    environment |= {"PYLON_HOME": str(root / "home"), "COLUMNS": "200"}
    done = subprocess.run(
        ["sh", "-euc", command], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_three_files_are_written_by_hand(followed: Followed) -> None:
    assert followed.by_hand == {ENUMS, MODULE, MIGRATION}
    for name in (ENUMS, MODULE, "supabase/migrations/"):
        assert f"`{name}`" in PAGE


def test_the_commands_write_derived_files_alone(followed: Followed) -> None:
    assert followed.by_command
    assert all(name.startswith(("schema/", "docs/reference/")) for name in followed.by_command)


def test_a_simulated_fleet_has_an_agent_of_the_type_with_its_config_written_out(followed: Followed) -> None:
    assert ("SIM-PRICE-GUARD", {"stop_from_gbp_mwh": -500.0}) in followed.agents


def test_it_decides_and_what_it_decided_is_done_and_logged(followed: Followed) -> None:
    assert len(followed.caps) >= 10
    assert {(kind, cap) for kind, _, cap in followed.caps} == {("SCALE_DOWN", 0.0)}
    assert re.search(r"Price Guard \(simulated\): \d+ SCALE_DOWN", followed.printed)
    assert "failed" not in followed.printed
