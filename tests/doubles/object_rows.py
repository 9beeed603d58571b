"""Rows of every object type to search in: small, but with ties, gaps, odd words and signs, for two operators.

What they hold is drawn from short lists, so that many rows agree in a value; every column that may be null is null
in some, and all of them in the first of its kind. Nothing here knows how a search works.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pylon.ontology import columns
from pylon.ontology.agency import Agent, AgentState, OrchestrationDecision
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.catalogue import OBJECT_TYPES
from pylon.ontology.columns import ColumnSpec
from pylon.ontology.compute import ComputeWorkload, WorkloadConsumption
from pylon.ontology.deciding import LoadLimit
from pylon.ontology.enums import PlanStatus
from pylon.ontology.fleet import DataCentre, Operator, StorageAsset
from pylon.ontology.grid import GenerationMix, GridSignal, RegionalGridSignal
from pylon.ontology.identity import uuid7
from pylon.ontology.plans import Plan
from pylon.ontology.regions import REGIONS
from pylon.ontology.types import Row, Scope

__all__ = ["WORDS", "fleet_rows", "grid_rows"]

WORDS = (
    "ash",
    "Ash",
    "ash ",
    "élan",
    "Zoë",
    "zinc",
    "%",
    "a_b",
    "it's",
    "日本",
    "🔋",
    '"',
    "\\",
    "ß",
    "e\u0301lan",
)
_STARTS = (
    datetime(2025, 12, 31, 22, tzinfo=UTC),
    datetime(2026, 3, 28, 23, tzinfo=UTC),  # the clocks go forward in the night
    datetime(2026, 10, 24, 22, 30, tzinfo=UTC),  # and back
)
_INSTANTS = [start + n * HALF_HOUR for start in _STARTS for n in range(14)]
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_SOURCES = (None, "simulated", "carbon_intensity", "elexon")


def grid_rows(seed: int) -> list[list[Row]]:
    """Return the shared rows, in the order in which they can be stored."""
    make = _Maker(random.Random(seed), {"Region": [region.id for region in REGIONS]})
    signals = [make.row(GridSignal, timestamp=at) for at in _INSTANTS]
    regional = [
        make.row(RegionalGridSignal, region_id=region.id, timestamp=at)
        for region in REGIONS[:4]
        for at in _INSTANTS[::3]
    ]
    national_mix = [
        make.row(GenerationMix, grid_signal_id=one.id, regional_signal_id=None) for one in signals for _ in "12"
    ]
    regional_mix = [
        make.row(GenerationMix, grid_signal_id=None, regional_signal_id=one.id) for one in regional for _ in "12"
    ]
    return [signals, regional, [*national_mix, *regional_mix]]


def fleet_rows(seed: int, operator_id: UUID, signals: Iterable[Any]) -> list[list[Row]]:
    """Return one operator's rows, in the order in which they can be stored."""
    refs = {
        "Operator": [operator_id],
        "Region": [region.id for region in REGIONS[:5]],
        "GridSignal": [signal.id for signal in signals],
    }
    make = _Maker(random.Random(seed), refs)
    counts: dict[type[Row], int] = {
        DataCentre: 9,
        StorageAsset: 8,
        Agent: 6,
        AgentState: 25,
        Plan: 20,
        ComputeWorkload: 70,
    }
    others = [
        kind
        for kind in OBJECT_TYPES.values()
        if kind.table.scope is Scope.TENANT and kind not in (*counts, Operator, OrchestrationDecision)
    ]
    counts |= dict.fromkeys([*others, WorkloadConsumption, OrchestrationDecision], 60)
    return [[make.row(kind) for _ in range(count)] for kind, count in counts.items()]


class _Maker:
    """Makes rows whose references name rows that it made before."""

    def __init__(self, dice: random.Random, refs: dict[str, list[UUID]]) -> None:
        self._dice = dice
        self._refs = refs
        self._numbers = itertools.count()
        self._begun: set[type[Row]] = set()

    def row(self, kind: type[Row], **given: Any) -> Any:
        is_first = kind not in self._begun
        self._begun.add(kind)
        values = {
            spec.name: None if is_first and spec.is_nullable else self._value(spec) for spec in columns.of(kind)
        }
        row = kind.model_validate({**values, **self._rules(kind), **given})
        if "id" in values:
            self._refs.setdefault(kind.__name__, []).append(row.id)  # type: ignore[attr-defined]
        return row

    def _rules(self, kind: type[Row]) -> dict[str, Any]:
        """Return the values that rules of the whole row ask for."""
        rules: dict[type[Row], dict[str, Any]] = {
            DataCentre: {"total_capacity_mw": 500},
            StorageAsset: {"capacity_mwh": 500},
            LoadLimit: {"ends_at": None},
            Plan: {"status": PlanStatus.SUCCEEDED},  # of open ones an operator has one at most
            OrchestrationDecision: {"hash": "0" * 64, "prev_hash": "0" * 64},
            GridSignal: {"provenance": {key: self._source() for key in ("carbon", "price", "mix")}},
        }
        return rules.get(kind, {})

    def _source(self) -> str:
        return self._dice.choice(_SOURCES) or "none"

    def _value(self, spec: ColumnSpec) -> Any:
        targets = self._refs.get(spec.ref.target, []) if spec.ref else [None]
        if spec.is_nullable and (not targets or self._dice.random() < 0.25):
            return None
        if spec.ref:
            return self._dice.choice(targets)
        if spec.enum:
            return self._dice.choice(list(spec.enum))
        if spec.name == "data_source":
            return self._source()
        return self._plain(spec)

    def _plain(self, spec: ColumnSpec) -> Any:
        dice, kind = self._dice, spec.sql_type.partition("(")[0]
        floors = [floor for floor in (spec.ge, None if spec.gt is None else spec.gt + 1) if floor is not None]
        least = Decimal(max(floors, default=-40))
        most = min(Decimal(60), Decimal(60 if spec.le is None else spec.le))
        match kind:
            case "uuid":
                return uuid7(_LONG_AGO + dice.randrange(9) * timedelta(milliseconds=1), dice.randbytes(10))
            case "bigint":
                return next(self._numbers) + 1
            case "integer":
                return int(least) + dice.randrange(int(most - least) + 1)
            case "numeric":
                return (least + (most - least) * dice.randrange(9) / 8).quantize(Decimal("0.01"))
            case "boolean":
                return dice.random() < 0.5
            case "timestamptz":
                return dice.choice(_INSTANTS) + dice.choice((timedelta(), timedelta(microseconds=1)))
            case "integer[]":
                return dice.sample(range(1, 8), dice.randrange(4))
            case "jsonb":
                return {}
        word = dice.choice(WORDS)
        return f"{word}{next(self._numbers)}" if spec.name.endswith("_id") else word  # unique for its operator
