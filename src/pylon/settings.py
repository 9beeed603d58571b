"""Every setting: name, type, default and one line on what it does."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, HttpUrl, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pylon.errors import Invalid, why_invalid

__all__ = ["Settings", "load", "misspelt", "variable"]


def _default_home() -> Path:
    """/var/lib/pylon for root; otherwise pylon in $XDG_DATA_HOME or ~/.local/share."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/pylon")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "pylon"


class Settings(BaseSettings):
    """Settings come from environment variables only; `pylon settings` lists them with their present values."""

    model_config = SettingsConfigDict(
        env_prefix="PYLON_", extra="ignore", env_ignore_empty=True, frozen=True, populate_by_name=True
    )

    home: Path = Field(
        default_factory=_default_home,
        description="Folder of everything Pylon keeps on this machine, the embedded database included.",
    )
    database_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "SUPABASE_DB_URL"),
        description="PostgreSQL 15 to 18 to use in place of the embedded one (postgresql://user:password@host/name).",
        json_schema_extra={"secret": True},
    )
    supabase_url: str | None = Field(
        default=None,
        validation_alias="SUPABASE_URL",
        description="Address of a hosted Supabase project. Not used yet: give SUPABASE_DB_URL instead.",
    )
    operator: str | None = Field(
        default=None,
        description="Id of the operator this process acts for; the local operator when unset.",
    )
    synthetic: Literal["on", "off"] = Field(
        default="on",
        description="Whether a simulated fleet and its workloads are generated.",
    )
    grid: Literal["auto", "real", "simulated"] = Field(
        default="auto",
        description="Grid data: auto simulates only what no API answers; real never simulates; "
        "simulated never asks an API.",
    )
    seed: int = Field(default=2025, ge=0, lt=2**32, description="Seed of everything simulated.")
    carbon_intensity_url: HttpUrl = Field(
        default=HttpUrl("https://api.carbonintensity.org.uk"),
        description="Base address of the Carbon Intensity API.",
    )
    neso_url: HttpUrl = Field(
        default=HttpUrl("https://api.neso.energy/api/3/action"),
        description="Base address of NESO's data portal (CKAN actions).",
    )
    elexon_url: HttpUrl = Field(
        default=HttpUrl("https://data.elexon.co.uk/bmrs/api/v1"),
        description="Base address of Elexon's Insights API.",
    )
    http_timeout_s: float = Field(
        default=20.0, gt=0, le=300, description="Seconds a source may take to answer one request."
    )
    http_attempts: int = Field(
        default=3,
        ge=1,
        le=10,
        description="Attempts per request on 5xx, 429 and time-outs (never on other 4xx).",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address the API listens on; only loopback until authentication exists.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port the API listens on.")
    schedule: Literal["on", "off"] = Field(
        default="on", description="Whether `pylon serve` runs the pipeline at minutes 12 and 42."
    )
    secret: str | None = Field(
        default=None,
        min_length=16,
        description="What signs the cursors of paged answers; where several servers share the work, the same for "
        "all. A new one for each process when unset.",
        json_schema_extra={"secret": True},
    )
    pool_size: int = Field(default=8, ge=1, le=100, description="Database connections per process.")

    @property
    def base_urls(self) -> dict[str, str]:
        """The addresses of the grid APIs, by the API: `elexon_url` is that of `elexon`."""
        return {
            "carbon_intensity": str(self.carbon_intensity_url),
            "neso": str(self.neso_url),
            "elexon": str(self.elexon_url),
        }

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        """An address is bound without the brackets that a URL puts around IPv6."""
        return host.strip("[]").lower()


def load() -> Settings:
    """Return the settings of this environment.

    Raises `Invalid`, naming the variable, the value and what is valid, when one does not fit.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise Invalid("; ".join(_explain(fault) for fault in error.errors())) from None


def misspelt() -> dict[str, str]:
    """Return the PYLON_ variables of the environment that are no setting but look like one, and which."""
    known = [variable(name) for name in Settings.model_fields]
    given = [name for name in sorted(os.environ) if name.startswith("PYLON_") and name not in known]
    close = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.8) for name in given}
    return {name: found[0] for name, found in close.items() if found}


def variable(name: str) -> str:
    """Return the environment variable that sets the field `name` (the first, where several do)."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias) if alias else f"PYLON_{name.upper()}"


def _explain(fault: object) -> str:
    assert isinstance(fault, dict)  # noqa: S101  pydantic's own shape
    name = str(fault["loc"][0])
    env = name if name not in Settings.model_fields else variable(name)
    return f"{env}={fault['input']!r} is not valid: it {why_invalid(fault)}. `pylon settings` lists every setting."
