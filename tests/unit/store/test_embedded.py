"""The parts of the embedded server that need no server: its addresses, its locks, its reports."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from pylon.errors import ServerUnavailable
from pylon.store import _postgres_files as files
from pylon.store import embedded


def _server(home: Path) -> embedded.EmbeddedServer:
    layout = files.Layout(home)
    return embedded.EmbeddedServer(
        home=layout.home,
        socket_dir=layout.base / "socket",
        log_path=layout.log,
        data_dir=layout.data,
        version="18.6",
        _password="p@ss/ word",
        _hold=embedded._Hold(None),
    )


@pytest.mark.parametrize("name", ["plain", "with space", "a/b?c=d&e", "at@colon:hash#", "%41"])
def test_dsn_carries_any_name_and_password(tmp_path: Path, name: str) -> None:
    server = _server(tmp_path / name)
    found = conninfo_to_dict(server.dsn(name, name, name))
    assert found == {
        "user": name,
        "password": name,
        "dbname": name,
        "host": str(server.socket_dir),
        "port": "5432",
    }


def test_superuser_dsn_is_the_superusers(tmp_path: Path) -> None:
    found = conninfo_to_dict(_server(tmp_path).superuser_dsn("pylon"))
    assert (found["user"], found["password"], found["dbname"]) == ("postgres", "p@ss/ word", "pylon")


def test_password_is_not_in_the_repr(tmp_path: Path) -> None:
    assert "p@ss" not in repr(_server(tmp_path))


def test_a_released_handle_refuses_to_start_the_server(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="released"):
        _server(tmp_path).ensure_running()
    assert list(tmp_path.iterdir()) == []


def test_shared_locks_keep_an_exclusive_one_out_until_the_last_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    first, second = files.try_lock(path, fcntl.LOCK_SH), files.try_lock(path, fcntl.LOCK_SH)
    assert first is not None
    assert second is not None
    assert files.held_only_shared(path)
    os.close(first)
    assert files.try_lock(path, fcntl.LOCK_EX) is None
    os.close(second)
    alone = files.try_lock(path, fcntl.LOCK_EX)
    assert alone is not None
    assert not files.held_only_shared(path)
    assert files.try_lock(path, fcntl.LOCK_SH) is None
    os.close(alone)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"phase": "ready"}', '{"unknown": 1}'])
def test_a_report_that_is_not_one_is_none(tmp_path: Path, text: str) -> None:
    layout = files.Layout(tmp_path)
    layout.base.mkdir(parents=True)
    assert files.read_report(layout) is None
    layout.report.write_text(text)
    assert files.read_report(layout) is None


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = files.Layout(tmp_path)
    layout.base.mkdir(parents=True)
    report = files.Report("failed", 7, 8, "18.6", "/run/x", 12.5, "no room")
    files.write_report(layout, report)
    assert files.read_report(layout) == report
    assert [path.name for path in layout.base.iterdir()] == ["keeper.json"]


def test_the_log_tail_starts_where_it_is_told(tmp_path: Path) -> None:
    layout = files.Layout(tmp_path)
    layout.base.mkdir(parents=True)
    assert layout.log_tail() == ""
    layout.log.write_text("old\n")
    start = layout.log_bytes()
    with layout.log.open("a") as log:
        log.write("".join(f"line {n}\n" for n in range(20)))
    assert layout.log_tail(start, lines=100).splitlines()[0] == "line 0"
    assert layout.log_tail(start, lines=2) == "line 18\nline 19"


def test_status_stop_and_destroy_of_an_unused_home_change_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    found = embedded.status(home)
    assert not found.running
    assert found.phase == "stopped"
    assert found.data_bytes == 0
    assert found.version.startswith(f"{files.MAJOR}.")
    assert embedded.stop(home) is False
    assert embedded.destroy(home) is False
    assert not home.exists()
