"""A whole 48-hour refresh: Pylon's ingest against COPY and INSERT .. ON CONFLICT of the same rows.

97 half hours, Great Britain and 17 regions, 9 fuels each: 1,746 signals and 15,714 shares. Both sides start from
the same readings in memory and end with a commit on the embedded server, in turn, in the same process. The ratio
is the peer's time divided by ours: above 1, Pylon is the faster. The peer's tables have the same columns, indexes,
checks and foreign keys; it keeps no provenance and no vintages, and passes no row-level security.

    python benchmarks/refresh.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import psycopg

from pylon.ontology.enums import Fuel
from pylon.services.ingest import store_batch
from pylon.settings import Settings
from pylon.sources import carbon_intensity
from pylon.sources.feed import Batch, NationalReading, RegionalReading, ranks
from pylon.store import access
from pylon.store.database import Database

HALF_HOURS = 97
START = datetime(2026, 1, 5, tzinfo=UTC)
LABEL = carbon_intensity.DATA_SOURCE
RANKS = ranks(carbon_intensity.SOURCES)

PEER_TABLES = """
create schema peer;
create table peer.national (like public.grid_signals including all);
create table peer.regional (like public.regional_grid_signals including all);
create table peer.mix (like public.generation_mix including all);
alter table peer.regional add foreign key (region_id) references public.regions (id);
alter table peer.mix add foreign key (grid_signal_id) references peer.national (id);
alter table peer.mix add foreign key (regional_signal_id) references peer.regional (id);
"""
PEER_STAGING = """
create temp table n ("timestamp" timestamptz, sp int, f int, idx text) on commit drop;
create temp table r (region int, "timestamp" timestamptz, f int, idx text) on commit drop;
create temp table m (region int, "timestamp" timestamptz, fuel text, share numeric(5,2)) on commit drop;
"""
PEER_MERGE = """
insert into peer.national ("timestamp", settlement_period, carbon_intensity_forecast, carbon_index)
  select * from n on conflict ("timestamp") do update
    set carbon_intensity_forecast = excluded.carbon_intensity_forecast, carbon_index = excluded.carbon_index,
        fetched_at = now();
insert into peer.regional (region_id, "timestamp", carbon_intensity_forecast, carbon_index)
  select g.id, r."timestamp", r.f, r.idx from r join public.regions g on g.region_id = r.region
  on conflict (region_id, "timestamp") do update set carbon_intensity_forecast = excluded.carbon_intensity_forecast,
    carbon_index = excluded.carbon_index, fetched_at = now();
insert into peer.mix (grid_signal_id, "timestamp", fuel_type, percentage)
  select s.id, m."timestamp", m.fuel, m.share from m join peer.national s using ("timestamp") where m.region = 18
  on conflict (grid_signal_id, fuel_type) do update set percentage = excluded.percentage, fetched_at = now();
insert into peer.mix (regional_signal_id, "timestamp", fuel_type, percentage)
  select s.id, m."timestamp", m.fuel, m.share from m join public.regions g on g.region_id = m.region
  join peer.regional s on s.region_id = g.id and s."timestamp" = m."timestamp"
  on conflict (regional_signal_id, fuel_type) do update set percentage = excluded.percentage, fetched_at = now();
"""


def batch(seed: int) -> Batch:
    """Return a refresh with values of its own for each seed."""
    pick = random.Random(seed)
    times = [START + timedelta(minutes=30 * i) for i in range(HALF_HOURS)]
    mixes = [{fuel: Decimal(pick.randrange(250)) / 10 for fuel in Fuel} for _ in range(50)]
    return Batch(
        national=[
            NationalReading(
                starts_at=at,
                carbon_intensity_forecast=pick.randrange(300),
                carbon_index="low",
                mix=pick.choice(mixes),
            )
            for at in times
        ],
        regional=[
            RegionalReading(
                region_id=number,
                starts_at=at,
                carbon_intensity_forecast=pick.randrange(300),
                carbon_index="low",
                mix=pick.choice(mixes),
            )
            for at in times
            for number in range(1, 18)
        ],
        rows_seen=HALF_HOURS * 18,
    )


def ours(database: Database, given: Batch) -> float:
    began = time.perf_counter()
    with database.as_ingest() as transaction:
        store_batch(transaction, LABEL, given, ranks=RANKS, run_id=uuid4(), now=datetime.now(UTC))
    return time.perf_counter() - began


def peer(connection: psycopg.Connection, given: Batch) -> float:
    began = time.perf_counter()
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(PEER_STAGING)
        with cursor.copy('copy n ("timestamp", sp, f, idx) from stdin') as copy:
            for row in given.national:
                copy.write_row((row.starts_at, 1, row.carbon_intensity_forecast, row.carbon_index))
        with cursor.copy("copy r from stdin") as copy:
            for row in given.regional:
                copy.write_row((row.region_id, row.starts_at, row.carbon_intensity_forecast, row.carbon_index))
        with cursor.copy("copy m from stdin") as copy:
            for row in given.national:
                for fuel, share in row.mix.items():
                    copy.write_row((18, row.starts_at, fuel.value, share))
            for row in given.regional:
                for fuel, share in row.mix.items():
                    copy.write_row((row.region_id, row.starts_at, fuel.value, share))
        cursor.execute(PEER_MERGE)
    return time.perf_counter() - began


def emptied(connection: psycopg.Connection) -> None:
    """Empty both sides the same way (a truncate would reach the append-only log, which refuses it)."""
    for name in ("generation_mix", "regional_grid_signals", "grid_signals"):
        connection.execute(f"delete from public.{name}")
        connection.execute(f"vacuum public.{name}")
    for name in ("mix", "regional", "national"):
        connection.execute(f"delete from peer.{name}")
        connection.execute(f"vacuum peer.{name}")


def compare(
    title: str, rounds: int, prepare: Callable[[int], Batch], database: Database, c: psycopg.Connection
) -> None:
    pairs = []
    for i in range(rounds + 2):
        given = prepare(i)
        if i % 2:
            theirs, mine = peer(c, given), ours(database, given)
        else:
            mine, theirs = ours(database, given), peer(c, given)
        pairs.append((mine, theirs))
    mine, theirs = (statistics.median(side) for side in zip(*pairs[2:], strict=True))
    ratio = statistics.median(b / a for a, b in pairs[2:])
    print(
        f"  {title:<22} pylon {mine * 1000:7.1f} ms   copy+on conflict {theirs * 1000:7.1f} ms   ratio {ratio:5.2f}"
    )


def main() -> None:
    rounds = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rounds.add_argument("--rounds", type=int, default=15)
    n = rounds.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="pylon-bench-"))
    home.chmod(0o755)
    settings = Settings(home=home, grid="simulated", synthetic="off")
    try:
        with access.opened(settings, lambda *_: None) as (way_in, database):
            assert way_in.server
            with psycopg.connect(way_in.server.superuser_dsn("pylon"), autocommit=True) as connection:
                connection.execute(PEER_TABLES)
                print(f"48 h refresh, {HALF_HOURS * 18:,} signals + {HALF_HOURS * 18 * 9:,} shares, median of {n}")
                server = way_in.place.partition(" in ")[0]
                print(f"  on {platform.machine()}, Python {platform.python_version()}, {server}")

                def fresh(i: int) -> Batch:
                    emptied(connection)
                    return batch(i)

                same = batch(-1)
                compare("fresh", n, fresh, database, connection)
                compare("unchanged", n, lambda _: same, database, connection)
                compare("every value changed", n, batch, database, connection)
    finally:
        from pylon.store import embedded

        embedded.destroy(home, force=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
