"""A small fleet on a grid whose every value a test chooses, and decisions written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pylon.ontology.calendar import HALF_HOUR, half_hours
from pylon.ontology.compute import ComputeWorkload
from pylon.ontology.deciding import StorageDispatch, WorkloadPlacement
from pylon.ontology.enums import DecisionType, WorkloadStatus, WorkloadType
from pylon.ontology.fleet import DataCentre, StorageAsset
from pylon.ontology.identity import derived_uuid
from pylon.ontology.regions import REGIONS
from pylon.services import ingest
from pylon.services.desk import Call
from pylon.services.view_fleet import Views
from pylon.sources.feed import SIMULATED, Batch, NationalReading, RegionalReading
from pylon.store import log, objects
from pylon.store.database import Database
from tests.conftest import Superuser, Tenant

REAL = "elexon"
RANKS = {REAL: 20, SIMULATED: 0}
_numbers = itertools.count(1)


@dataclass
class Bench:
    """One operator's fleet. `t0` is the start of a half hour; signals are stored for the half hours asked for."""

    tenant: Tenant
    superuser: Superuser
    t0: datetime
    views: Views = field(default_factory=Views)

    @property
    def database(self) -> Database:
        return self.tenant.database

    def call(self, now: datetime) -> Call:
        return Call(operator_id=self.tenant.id, now=now, entropy=lambda n: next(_numbers).to_bytes(n, "big"))

    def at(self, minutes: float) -> datetime:
        return self.t0 + timedelta(minutes=minutes)

    def signals(
        self,
        *,
        start: datetime | None = None,
        hours: float = 24,
        price: Mapping[int, float] | float | None = 100.0,
        carbon: Mapping[int, int] | int | None = 200,
        label: str = REAL,
        run_until: datetime | None = None,
    ) -> None:
        """Store national prices and the carbon of regions (all, or by number), and a run that asked for them.

        `price` by half hour counted from `start`, or one for all.
        """
        begin = start or self.t0
        ats = list(half_hours(begin, begin + timedelta(hours=hours)))
        prices = [price.get(i) if isinstance(price, Mapping) else price for i in range(len(ats))]
        by_region = carbon if isinstance(carbon, Mapping) else dict.fromkeys(range(1, 15), carbon)
        batch = Batch(
            rows_seen=0,
            national=[
                NationalReading(
                    starts_at=at,
                    carbon_intensity_forecast=200,
                    wholesale_price_gbp_mwh=None if one is None else Decimal(str(one)),
                )
                for at, one in zip(ats, prices, strict=True)
            ],
            regional=[
                RegionalReading(region_id=number, starts_at=at, carbon_intensity_forecast=one, carbon_index=None)
                for number, one in by_region.items()
                if one is not None
                for at in ats
            ],
        )
        run_id = derived_uuid(self.t0, "bench run", str(next(_numbers)))
        with self.database.as_ingest() as transaction:
            ingest.store_batch(transaction, label, batch, ranks=RANKS, run_id=run_id, now=begin)
        self.ran(run_until or begin + timedelta(hours=hours))

    def ran(self, as_of: datetime) -> None:
        """Record a pipeline run as of this moment."""
        run_id = derived_uuid(as_of, "bench run", str(next(_numbers)))
        report = f'{{"as_of": "{as_of:%Y-%m-%dT%H:%M:%SZ}"}}'
        with self.database.as_ingest() as transaction:
            transaction.run("start_run", id=run_id, trigger="test", now=as_of)
            transaction.run("finish_run", id=run_id, status="SUCCEEDED", now=as_of, report=report)

    def centre(self, name: str, *, region: int = 12, pue: float = 1.25, **values: Any) -> DataCentre:
        return self.tenant.make(
            DataCentre,
            dc_id=name,
            name=name,
            region_id=_region(region),
            pue=Decimal(str(pue)),
            **{
                "total_capacity_mw": 20,
                "base_load_mw": 5,
                "is_simulated": True,
                "created_at": self.t0,
                "updated_at": self.t0,
                **values,
            },
        )

    def battery(
        self, name: str, *, region: int = 12, charge_mwh: float | None = 5.0, **values: Any
    ) -> StorageAsset:
        return self.tenant.make(
            StorageAsset,
            asset_id=name,
            name=name,
            region_id=_region(region),
            **{
                "capacity_mwh": 10,
                "max_charge_rate_mw": 4,
                "max_discharge_rate_mw": 4,
                "efficiency_percentage": 81,
                "current_charge_mwh": charge_mwh,
                "wear_gbp_mwh": 5,
                "is_simulated": True,
                "created_at": self.t0,
                "updated_at": self.t0,
                **values,
            },
        )

    def job(self, name: str, origin: DataCentre | None, *, minutes: int = 90, **values: Any) -> ComputeWorkload:
        return self.tenant.make(
            ComputeWorkload,
            job_id=name,
            workload_type=WorkloadType.TRAINING_RUN,
            origin_dc_id=origin.id if origin else None,
            duration_mins=minutes,
            **{"power_kw": 1000, "is_simulated": True, "created_at": self.t0, **values},
        )

    def place(
        self,
        job: ComputeWorkload,
        centre: DataCentre,
        *spans: tuple[float, float],
        at: float = 0,
        status: WorkloadStatus = WorkloadStatus.QUEUED,
        **decision: Any,
    ) -> UUID:
        """Book a job by a decision taken `at` minutes after t0, for spans in minutes from t0."""
        decision_id = self.decide(
            at=at, workload_id=job.id, target_dc_id=centre.id, decision_type="ACCEPT_WORKLOAD", **decision
        )
        for begin, end in spans:
            self.tenant.make(
                WorkloadPlacement,
                workload_id=job.id,
                data_centre_id=centre.id,
                decision_id=decision_id,
                starts_at=self.at(begin),
                ends_at=self.at(end),
            )
        booked = job.model_copy(
            update={"status": status, "host_dc_id": centre.id, "scheduled_start": self.at(spans[0][0])}
        )
        with self.database.as_actor(self.tenant.id) as transaction:
            objects.change(transaction, [booked], ["status", "host_dc_id", "scheduled_start"])
        return decision_id

    def decide(self, *, at: float = 0, **values: Any) -> UUID:
        """Log a decision and return its id."""
        number = next(_numbers)
        decision_id = derived_uuid(self.at(at), "decision", str(number))
        row = {
            "id": decision_id,
            "decision_id": f"D-{number}",
            "decision_type": DecisionType.SCHEDULE_DISCHARGE,
            "reasoning": "A test says so.",
            "decided_at": self.at(at),
            "is_simulated": True,
            **values,
        }
        with self.database.as_actor(self.tenant.id) as transaction:
            log.append(transaction, self.tenant.id, [row], now=self.at(at))
        return decision_id

    def schedule(self, asset: StorageAsset, powers_mw: Sequence[float], *, at: float = 0, **decision: Any) -> UUID:
        """Schedule an asset from `at` minutes on, half hour by half hour."""
        decision_id = self.decide(at=at, storage_asset_id=asset.id, **decision)
        for number, power_mw in enumerate(powers_mw):
            self.tenant.make(
                StorageDispatch,
                storage_asset_id=asset.id,
                starts_at=self.at(at) + number * HALF_HOUR,
                power_mw=power_mw,
                decision_id=decision_id,
            )
        return decision_id

    def select(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return rows as the superuser sees them, with times in UTC."""
        with self.superuser() as connection:
            connection.execute("set timezone to 'UTC'")
            return connection.execute(query.encode(), values or None).fetchall()

    def one(self, query: str, *values: Any) -> tuple[Any, ...]:
        (row,) = self.select(query, *values)
        return row


def _region(number: int) -> UUID:
    return next(region.id for region in REGIONS if region.region_id == number)


MIDDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
