"""Every command of `pylon`: what it teaches, what it prints, how it ends, and what it says to a slip."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pylon.interfaces.cli import main
from pylon.settings import Settings, variable
from pylon.store import embedded, migrations
from tests.acceptance.homes import left_of, new_home
from tests.acceptance.support import NOBODY, Ended, ran
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.elexon import Elexon
from tests.doubles.neso import Neso

COMMANDS = (
    (),
    ("up",),
    ("serve",),
    ("pipeline",),
    ("status",),
    ("signals",),
    ("windows",),
    ("import",),
    ("plan",),
    ("decide",),
    ("backtest",),
    ("demo",),
    ("report",),
    ("audit",),
    ("audit", "verify"),
    ("audit", "export"),
    ("audit", "heads"),
    ("audit", "replay"),
    ("settings",),
    ("doctor",),
    ("purge",),
    ("db",),
    ("db", "migrate"),
    ("db", "status"),
    ("db", "psql"),
    ("db", "stop"),
    ("db", "reset"),
)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with new_home() as folder, embedded.acquire(folder):  # held, so that no command waits for it to start
        yield folder


@pytest.fixture(scope="module")
def loaded(home: Path) -> Ended:
    """The first `pylon pipeline` of a new home."""
    return pylon(home, "pipeline")


def pylon(home: Path, *words: str, **settings: str) -> Ended:
    """Run a command in a process of its own on the simulated grid."""
    ended = ran(*words, PYLON_HOME=str(home), PYLON_PORT="0", PYLON_GRID="simulated", **settings)
    assert "Traceback" not in ended.said, ended.err
    return ended


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command in this process: for what it says before it has started anything."""

    def run(*words: str, **settings: str) -> Ended:
        monkeypatch.setenv("COLUMNS", "100")
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["pylon", *words])
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run


# Help


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_teaches_every_command(here, words):
    ended = here(*words, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"{' '.join(('pylon', *words))} [OPTIONS]" in ended.said
    assert len(ended.out.splitlines()) > 5


def test_no_command_that_is_shown_lacks_a_line_of_help(here):
    for words in ((), ("db",), ("audit",)):
        shown = re.findall(r"^│ (\w+) {2,}(\S.*?) *│$", here(*words, "--help").out.partition("Commands")[2], re.M)
        assert {(*words, name) for name, _ in shown} == {
            c for c in COMMANDS if len(c) == len(words) + 1 and c[:-1] == words
        }
        assert all(len(line) > 10 for _, line in shown)


def test_a_slip_of_the_tongue_is_told_what_there_is(here):
    for words in (("pipelin",), ("db", "statsu"), ("up", "--no-such-option")):
        ended = here(*words)
        assert ended.code == 2
        assert "--help" in ended.err
        assert "Traceback" not in ended.err


def test_asking_for_help_loads_nothing_heavy():
    """It is what a new user sees first, so it is quick: no web framework, no driver, no numbers."""
    look = (
        "import sys\n"
        "from pylon.interfaces.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'fastapi', 'starlette', 'uvicorn', 'psycopg', 'numpy', 'httpx2', 'pydantic', 'faker'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


# Commands


def test_pipeline_loads_reports_and_names_its_run(loaded):
    assert (loaded.code, loaded.err) == (0, "")
    assert re.search(r"[\d,]+ rows written; run [0-9a-f-]{36}, SUCCEEDED\.", loaded.said)
    assert "Sources in the run of" in loaded.said
    assert "Simulated values are made up by Pylon" in loaded.said


def test_pipeline_again_in_the_same_half_hour_writes_nothing(loaded, home):
    """Unless a half hour begins between the two, when it writes the new one."""
    ended = pylon(home, "pipeline")
    assert ended.code == 0
    (written,) = re.findall(r"([\d,]+) rows written", ended.said)
    assert int(written.replace(",", "")) in range(10_000)


def test_status_shows_runs_sources_and_stock(loaded, home):
    ended = pylon(home, "status")
    assert (ended.code, ended.err) == (0, "")
    for title in ("Latest runs", "Sources in the run of", "What Pylon holds", "Database: embedded PostgreSQL"):
        assert title in ended.said


def test_signals_lists_each_in_a_line_and_draws_what_is_held_alone(loaded, home):
    ended = pylon(home, "signals", COLUMNS="80")
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert len(re.findall(r"^(?:national|region)\.\S+ .*simulated", ended.out, re.M)) == 22
    ended = pylon(home, "signals", "national.demand_mw")
    assert "simulated" in ended.said
    assert re.search(r"Held from \S+ \S+ to \S+ \S+ UTC, from: simulated\.", ended.said)
    ended = pylon(home, "signals", "national.system_price_gbp_mwh")
    assert re.fullmatch(r"No value from .* UTC: Nothing has been recorded of this series yet\.", ended.said)


def test_settings_lists_every_variable_and_shows_no_secret(home):
    ended = ran(
        "settings",
        PYLON_HOME=str(home),
        DATABASE_URL="postgresql://me:hunter2@db.example.org/pylon",
        PYLON_SEED="7",
        COLUMNS="200",
    )
    assert ended.code == 0
    assert "hunter2" not in ended.said
    assert "set, not shown" in ended.said
    for name in Settings.model_fields:
        assert re.search(rf"^\s*{variable(name)}\b", ended.out, re.M), name
    assert "PYLON_SEED 7 (default: 2025)" in ended.said


def test_doctor_checks_everything_and_changes_its_exit_code_only_for_what_is_bad(loaded, home):
    with StandIn() as api, Elexon() as elexon, Neso() as neso:
        urls = {"CARBON_INTENSITY": api.url, "ELEXON": elexon.url, "NESO": neso.url}
        ended = pylon(home, "doctor", **{f"PYLON_{name}_URL": url for name, url in urls.items()})
        assert (ended.code, ended.err) == (0, "")
        assert re.findall(r"^(\w+) +(\w[\w ]*):", ended.out, re.M) == [
            ("ok", "Python"),
            ("ok", "Home"),
            ("ok", "Database"),
            ("ok", "Schema"),
            ("ok", "Address"),
            ("ok", "Carbon Intensity API"),
            ("ok", "Elexon Insights API"),
            ("ok", "NESO data portal"),
        ]
    unreachable = {f"PYLON_{name}_URL": NOBODY for name in urls}
    ended = pylon(home, "doctor", **unreachable)
    assert ended.code == 0  # it works without: data are simulated
    for subject in ("Carbon Intensity API", "Elexon Insights API", "NESO data portal"):
        assert f"note {subject}" in ended.said
    ended = pylon(home, "doctor", PYLON_HOST="0.0.0.0", **unreachable)
    assert ended.code == 1
    assert "bad Address: PYLON_HOST=0.0.0.0 is not a loopback address" in ended.said


def test_db_status_names_the_place_and_every_migration(loaded, home):
    ended = pylon(home, "db", "status")
    assert ended.code == 0
    assert re.search(r"embedded PostgreSQL 18\S* in \S+: PostgreSQL 18, [\d.]+ MB", ended.said)
    assert re.search(r"applied \d{14}", ended.said)
    assert "pending" not in ended.said


def test_db_migrate_of_a_current_database_applies_nothing(loaded, home):
    ended = pylon(home, "db", "migrate")
    assert ended.code == 0
    assert "0 applied" in ended.said
    assert "is up to date." in ended.said


def test_purge_says_what_it_can_remove_and_removes_the_simulated_fleet(loaded, home):
    ended = pylon(home, "purge")
    assert ended.code == 2
    assert "Valid: `pylon purge --synthetic`." in ended.said
    ended = pylon(home, "purge", "--synthetic")
    assert ended.code == 0
    removed = {
        what: int(number.replace(",", ""))
        for number, what in re.findall(r"([\d,]+) simulated ([\w ]+) removed", ended.out)
    }
    assert removed.keys() == {"workloads", "storage assets", "agents", "data centres", "operators"}
    assert all(number > 0 for number in removed.values())
    assert "Set PYLON_SYNTHETIC=off" in ended.said
    ended = pylon(home, "status")
    assert "Your data centres" not in ended.said
    assert "National carbon" in ended.said  # purging is of the fleet, not of the grid


def test_an_operator_that_is_no_id_or_not_there_is_refused(loaded, home):
    ended = pylon(home, "status", PYLON_OPERATOR="me")
    assert ended.code == 2
    assert "PYLON_OPERATOR='me' is not an operator's id. Valid: a UUID" in ended.said
    nobody = "00000000-0000-7000-8000-000000000000"
    ended = pylon(home, "status", PYLON_OPERATOR=nobody)
    assert ended.code == 1
    assert f"No operator has the id {nobody}." in ended.said
    assert "Unset PYLON_OPERATOR" in ended.said


def test_the_life_of_an_embedded_database():
    """Made by the first command that needs it, empty until the first run, stopped, and deleted on a clear yes."""
    with new_home() as home:
        assert "There was none." in pylon(home, "db", "reset", "--yes").said
        ended = pylon(home, "status")  # it looks, and makes nothing
        assert ended.code == 1
        assert "Run `pylon up`" in ended.said
        assert pylon(home, "db", "migrate").code == 0
        ended = pylon(home, "status")
        assert ended.code == 0
        assert "No grid data have been loaded yet. Run `pylon pipeline`." in ended.said
        ended = pylon(home, "db", "stop")
        assert ended.code == 0
        assert ended.said in ("Stopped.", "It was not running.")
        assert not left_of(home)
        ended = pylon(home, "db", "reset")  # no terminal to say yes from
        assert ended.code == 1
        assert "This cannot be undone" in ended.said
        assert (home / "postgres" / "18" / "data").exists()
        assert "Deleted." in pylon(home, "db", "reset", "--yes").said
        assert not (home / "postgres" / "18" / "data").exists()


# Slips


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PYLON_PORT", "abc", "must be a whole number"),
        ("PYLON_PORT", "65536", "must be 65535 or less"),
        ("PYLON_GRID", "maybe", "must be auto, real or simulated"),
        ("PYLON_SYNTHETIC", "perhaps", "must be on or off"),
        ("PYLON_SEED", "-1", "must be 0 or more"),
        ("PYLON_HTTP_TIMEOUT_S", "0", "must be more than 0"),
        ("PYLON_CARBON_INTENSITY_URL", "not a url", "must be an address, such as https://example.org"),
        ("PYLON_POOL_SIZE", "0", "must be 1 or more"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_what_is_valid(here, tmp_path, name, value, says):
    ended = here("pipeline", **{"PYLON_HOME": str(tmp_path / "home"), name: value})
    assert ended.code == 2
    assert f"{name}='{value}' is not valid" in ended.said
    assert says in ended.said
    assert "`pylon settings` lists every setting." in ended.said
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["DATABASE_URL", "SUPABASE_DB_URL"])
def test_a_database_address_that_is_none_is_named(here, tmp_path, name):
    ended = here("status", **{"PYLON_HOME": str(tmp_path / "home"), name: "nonsense"})
    assert ended.code == 2
    assert "DATABASE_URL (or SUPABASE_DB_URL) is not a PostgreSQL address" in ended.said
    assert "Valid: postgresql://user:password@host:port/database." in ended.said


def test_a_database_that_does_not_answer_is_said_without_its_password(tmp_path):
    url = "postgresql://me:hunter2@127.0.0.1:1/pylon"
    ended = ran("status", PYLON_HOME=str(tmp_path / "home"), DATABASE_URL=url)
    assert ended.code == 1
    assert "The database cannot be reached." in ended.said
    assert "pylon doctor" in ended.said
    assert "hunter2" not in ended.said
    assert "Traceback" not in ended.said


def test_a_database_of_ones_own_is_not_stopped_or_deleted(here, tmp_path):
    for words in (("db", "stop"), ("db", "reset", "--yes")):
        ended = here(*words, PYLON_HOME=str(tmp_path / "home"), DATABASE_URL="postgresql://me@127.0.0.1:1/pylon")
        assert ended.code == 2
        assert "the database is not Pylon's own" in ended.said


def test_supabase_url_alone_is_told_what_else_is_needed(here, tmp_path):
    ended = here("status", PYLON_HOME=str(tmp_path / "home"), SUPABASE_URL="https://x.supabase.co")
    assert ended.code == 2
    assert "Set SUPABASE_DB_URL" in ended.said


def test_looking_at_a_database_changes_nothing_in_it(new_database: Callable[..., str]) -> None:
    address = new_database()
    ended = ran("status", DATABASE_URL=address)
    assert ended.code == 1
    assert f"lacks {len(migrations.files())} of Pylon's migrations" in ended.said
    assert "pylon db migrate" in ended.said
    with psycopg.connect(address) as connection:
        made = connection.execute(
            "select count(*) from pg_namespace where nspname = 'supabase_migrations'"
        ).fetchone()
    assert made == (0,)
