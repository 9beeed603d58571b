"""Inspection: the settings in force, and whether everything Pylon needs is there."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from rich import box
from rich.markup import escape
from rich.table import Table

from pylon.errors import NotFound, PylonError
from pylon.interfaces.gate import is_loopback
from pylon.settings import Settings, variable
from pylon.sources.http import Http
from pylon.store import access, migrations

__all__ = ["Finding", "Verdict", "findings", "psql_command", "settings_table"]

_LOW_DISK_GB = 1.0

_UPSTREAMS = {
    "carbon_intensity": ("Carbon Intensity API", "/intensity"),
    "elexon": ("Elexon Insights API", "/datasets/NDF?format=json"),
    "neso": ("NESO data portal", "/package_show?id=1-day-ahead-demand-forecast"),
}
"""Of each API, its name and the smallest question that Pylon asks it."""


class Verdict(Enum):
    """How a check went: BAD keeps Pylon from working, NOTE does not."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    verdict: Verdict
    subject: str
    detail: str


def findings(settings: Settings) -> Iterator[Finding]:
    """Check, one after the other, what `pylon up` needs; yield each finding as it is made."""
    yield Finding(Verdict.GOOD, "Python", f"{sys.version.split()[0]} at {sys.executable}")
    yield _disk(settings)
    yield from _database(settings)
    yield _port(settings)
    yield from _upstreams(settings)


def settings_table(settings: Settings) -> Table:
    """Return every setting with its value in force; secrets are not shown."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("what it does", overflow="fold")
    defaults = Settings.model_construct()
    for name, field in Settings.model_fields.items():
        is_secret = isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("secret")
        value, default = getattr(settings, name), getattr(defaults, name)
        shown = escape("set, not shown" if is_secret and value else _shown(value))
        if value != default:
            shown = f"[bold]{shown}[/] [dim](default: {escape(_shown(default))})[/]"
        table.add_row(variable(name), shown, escape(field.description or ""))
    return table


def psql_command(way_in: access.Access, command: str | None) -> tuple[list[str], dict[str, str]]:
    """Return the words that start psql, and the environment that tells it where; no password is in the words.

    Raises `NotFound` when psql is not installed.
    """
    program = shutil.which("psql")
    if program is None:
        raise NotFound(
            "psql is not on the PATH; the embedded server comes without it. Install PostgreSQL's client "
            "(Debian: postgresql-client, macOS: libpq)."
        )
    return [program, *(["-c", command] if command else [])], access.libpq_environment(way_in.owner)


def _disk(settings: Settings) -> Finding:
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Finding(Verdict.BAD, "Home", f"{folder} cannot be written; set PYLON_HOME to a folder that can")
    if free_gb < _LOW_DISK_GB:
        return Finding(Verdict.BAD, "Home", f"only {free_gb:.1f} GB free for {settings.home}; make room")
    return Finding(Verdict.GOOD, "Home", f"{settings.home}, {free_gb:.0f} GB free")


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        with access.reach(settings) as way_in:
            facts = access.inspect(way_in)
            state = migrations.state(way_in.owner)
    except PylonError as error:
        yield Finding(Verdict.BAD, "Database", error.detail)
        return
    is_known = 15 <= facts.major <= 18
    yield Finding(
        Verdict.GOOD if is_known else Verdict.NOTE,
        "Database",
        f"{way_in.place}, {facts.size_bytes / 1e6:.0f} MB"
        + ("" if is_known else "; tested on PostgreSQL 15 to 18"),
    )
    if facts.is_superuser or facts.passes_row_security or facts.is_owner:
        yield Finding(
            Verdict.NOTE,
            "Login",
            "it owns the tables or passes row security. Pylon becomes a lesser role for every transaction; a login "
            "of its own, granted only those roles, is safer",
        )
    if state.unknown:
        yield Finding(Verdict.BAD, "Schema", f"migrations this Pylon does not know: {', '.join(state.unknown)}")
    elif state.pending:
        yield Finding(Verdict.NOTE, "Schema", f"{len(state.pending)} migrations pending; `pylon db migrate`")
    else:
        yield Finding(Verdict.GOOD, "Schema", f"up to date ({len(state.applied)} migrations)")


def _port(settings: Settings) -> Finding:
    if not is_loopback(settings.host):
        return Finding(Verdict.BAD, "Address", f"PYLON_HOST={settings.host} is not a loopback address")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        taken = settings.port and probe.connect_ex((settings.host, settings.port)) == 0
    where = f"{settings.host}:{settings.port}"
    if taken:
        return Finding(Verdict.NOTE, "Address", f"something answers on {where}: a running Pylon, or set PYLON_PORT")
    return Finding(Verdict.GOOD, "Address", f"{where} is free")


def _upstreams(settings: Settings) -> Iterator[Finding]:
    urls = settings.base_urls
    with Http(timeout_s=min(5, settings.http_timeout_s), attempts=1) as http:
        for api, (title, question) in _UPSTREAMS.items():
            url = urls[api].rstrip("/")
            try:
                http.get_json(url + question)
            except PylonError as error:
                detail = f"{error.detail} Until it answers, what it gives is as old as it is, or simulated"
                yield Finding(Verdict.NOTE, title, detail)
            else:
                yield Finding(Verdict.GOOD, title, f"{url} answers")


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)
