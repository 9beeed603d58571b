"""Settings: read from the environment, and refused by the name of the variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pylon import settings
from pylon.errors import Invalid


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("PYLON_", "SUPABASE_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)


def test_nothing_need_be_set() -> None:
    found = settings.load()
    assert (found.database_url, found.port, found.grid, found.synthetic) == (None, 8000, "auto", "on")
    assert found.host == "127.0.0.1"


def test_a_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYLON_HOME", str(tmp_path))
    monkeypatch.setenv("PYLON_SEED", "7")
    found = settings.load()
    assert (found.home, found.seed) == (tmp_path, 7)


@pytest.mark.parametrize("name", ["DATABASE_URL", "SUPABASE_DB_URL"])
def test_the_database_has_two_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "postgresql://here/pylon")
    assert settings.load().database_url == "postgresql://here/pylon"


def test_the_first_of_two_names_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_DB_URL", "postgresql://second")
    monkeypatch.setenv("DATABASE_URL", "postgresql://first")
    assert settings.load().database_url == "postgresql://first"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PYLON_PORT", "80000", "it must be 65535 or less"),
        ("PYLON_PORT", "http", "it must be a whole number"),
        ("PYLON_GRID", "fake", "it must be auto, real or simulated"),
        ("PYLON_SEED", "-1", "it must be 0 or more"),
        ("PYLON_CARBON_INTENSITY_URL", "ftp://here", "must begin with http or https"),
    ],
)
def test_what_is_not_valid_is_named_with_what_is(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Invalid) as caught:
        settings.load()
    assert caught.value.detail.startswith(f"{name}={value!r} is not valid: ")
    assert why in caught.value.detail
    assert "pylon settings" in caught.value.detail


def test_two_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_PORT", "x")
    monkeypatch.setenv("PYLON_SEED", "y")
    with pytest.raises(Invalid, match=r"(?s)PYLON_SEED='y'.*PYLON_PORT='x'|PYLON_PORT='x'.*PYLON_SEED='y'"):
        settings.load()


@pytest.mark.parametrize(
    ("field", "variable"),
    [("port", "PYLON_PORT"), ("database_url", "DATABASE_URL"), ("supabase_url", "SUPABASE_URL")],
)
def test_the_variable_of_a_field(field: str, variable: str) -> None:
    assert settings.variable(field) == variable


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.load().port = 1  # type: ignore[misc]


def test_root_keeps_its_data_where_another_account_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert settings.load().home == Path("/var/lib/pylon")


def test_anyone_else_keeps_it_among_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert settings.load().home == tmp_path / "pylon"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.load().home == tmp_path / ".local/share/pylon"


@pytest.mark.parametrize("name", ["DATABASE_URL", "PYLON_GRID", "PYLON_OPERATOR", "PYLON_PORT"])
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    monkeypatch.setenv("SUPABASE_DB_URL", "postgresql://there/pylon")
    found = settings.load()
    assert (found.database_url, found.grid, found.port) == ("postgresql://there/pylon", "auto", 8000)


def test_brackets_round_an_address_are_a_urls_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_HOST", "[::1]")
    assert settings.load().host == "::1"


def test_a_variable_that_looks_like_a_setting_is_named_with_the_one_it_is_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYLON_PROT", "9000")
    monkeypatch.setenv("PYLON_SOMETHING_ELSE_ENTIRELY", "1")
    assert settings.misspelt() == {"PYLON_PROT": "PYLON_PORT"}
