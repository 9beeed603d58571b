"""TypeScript types of the object types."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pylon.derive import typescript
from pylon.ontology import columns
from pylon.ontology.catalogue import LINKS, OBJECT_TYPES
from pylon.ontology.fleet import DataCentre

TEXT = typescript.types()


def test_it_is_headed_as_generated() -> None:
    assert TEXT.startswith("// Generated")
    assert "do not edit" in TEXT.splitlines()[0]


@pytest.mark.parametrize("name", OBJECT_TYPES)
def test_every_object_type_has_its_columns_and_no_secret(name: str) -> None:
    found = re.search(rf"^export interface {name} {{\n(.*?)^}}", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    fields = re.findall(r"^  (\w+): ", found[1], re.MULTILINE)
    assert fields == [spec.name for spec in columns.of(OBJECT_TYPES[name]) if not spec.is_secret]
    assert "api_key_hash" not in TEXT


@pytest.mark.parametrize(
    "line",
    [
        "  id: string;",
        "  pue: number;",
        "  total_capacity_teraflops: number | null;",
        "  status: DataCentreStatus;",
        "  fuel_type: Fuel;",
        "  config: Record<string, unknown>;",
        "  allowed_region_ids: number[] | null;",
        "  deadline: string | null;",
        "  interruptible: boolean;",
        "  /** Power the site may draw [MW] */",
        '  | "DEFERRED_GRID_STRESS"',
        "  DataCentre: DataCentre;",
    ],
)
def test_types_follow_the_columns(line: str) -> None:
    assert line in TEXT.splitlines()


def test_every_name_that_is_used_is_declared() -> None:
    declared = set(re.findall(r"^export (?:type|interface) (\w+)", TEXT, re.MULTILINE))
    used = set(re.findall(r"^  \w+: ([A-Z]\w+)", TEXT, re.MULTILINE)) - {"Record"}
    assert used <= declared
    for link in LINKS:
        assert f'  | "{link.name}"' in TEXT


def test_an_sql_type_it_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = replace(columns.of(DataCentre)[1], sql_type="tsvector")
    monkeypatch.setattr(columns, "of", lambda _: (odd,))
    with pytest.raises(TypeError, match="column dc_id: tsvector has no TypeScript"):
        typescript.types()
