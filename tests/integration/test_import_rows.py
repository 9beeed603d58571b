"""Imports into a real database: all or nothing, twice is once, nobody else's, never over a source of the grid."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pylon.errors import Invalid, LeaseHeld
from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.fleet import DataCentre
from pylon.ontology.identity import derived_uuid
from pylon.services import import_rows as import_service
from pylon.services import ingest
from pylon.services.desk import opened
from pylon.services.import_rows import Fault, Import, ImportReport, OnExisting, import_rows
from pylon.services.status import readiness
from pylon.sources import files
from pylon.sources.feed import SIMULATED, Batch, NationalReading, RegionalReading, discover, ranks
from pylon.sources.files import Form
from pylon.store import leases, objects
from pylon.store.database import Database, json_text
from tests.conftest import NOW, Superuser, Tenant, Tenants
from tests.doubles.acting import Acting

SITES = "dc_id,name,region,pue,total_capacity_mw,postcode\nA,Site A,13,1.2,20,E1 6AN\nB,Site B,London,1.3,10,\n"
RATES = """tariff,settlement_date,settlement_period,price_gbp_mwh
day,01-Nov-26,1,80
day,01-Nov-26,15,212.5
day,01-Nov-26,47,
"""
PRICES = "timestamp,wholesale_price_gbp_mwh\n2026-11-01T00:00Z,80\n2026-11-01T00:30Z,-5.5\n2026-11-01T01:00Z,\n"
AT = datetime(2026, 11, 1, tzinfo=UTC)
LEASE = "pipeline"

Given = Callable[..., ImportReport]


def imported(tenant: Tenant, text: str | bytes, form: Form = Form.CSV, **more: Any) -> ImportReport:
    body = text if isinstance(text, bytes) else text.encode()
    return imported_from(tenant, io.BytesIO(body), form, **more)


def imported_from(
    tenant: Tenant, stream: Any, form: Form = Form.CSV, *, noted: list[Fault] | None = None, **more: Any
) -> ImportReport:
    imported_from.number += 1  # type: ignore[attr-defined]
    now = more.pop("now", NOW + timedelta(seconds=imported_from.number))  # type: ignore[attr-defined]
    words = {"name": "a test", "label": "test", **more}
    this = Import(import_id=derived_uuid(now, "import"), operator_id=tenant.id, now=now, clock=lambda: now, **words)
    on_fault = (lambda _: None) if noted is None else noted.append
    return import_rows(tenant.database, files.read(stream, form), this, on_fault=on_fault)


imported_from.number = 0  # type: ignore[attr-defined]


def rows(superuser: Superuser, query: str) -> list[tuple[Any, ...]]:
    with superuser() as connection:
        connection.execute("set timezone to 'UTC'")
        return connection.execute(query.encode()).fetchall()


def versions(superuser: Superuser) -> list[tuple[Any, ...]]:
    """Return every row version that an import could have made."""
    tables = (
        "data_centres",
        "storage_assets",
        "tariff_rates",
        "compute_workloads",
        "grid_signals",
        "regional_grid_signals",
        "signal_vintages",
        "pipeline_runs",
    )
    return [
        row
        for table in tables
        for row in rows(superuser, f"select '{table}', tableoid, ctid, xmin from {table} order by 2, 3")
    ]


def counts(report: ImportReport) -> dict[str, int]:
    """Return the counts that are not 0; what is good is named apart where it was not stored."""
    found = report.model_dump(include={name for name in ImportReport.model_fields if name.startswith("rows_")})
    if report.is_stored:
        assert (found.pop("rows_new"), found.pop("rows_changed")) == (report.rows_stored, report.rows_updated)
    return {name.removeprefix("rows_"): number for name, number in found.items() if number}


def store(database: Database, label: str, *, national: Any = (), regional: Any = ()) -> None:
    """Store what a source gave, as the pipeline does."""
    with database.as_ingest() as transaction:
        batch = Batch(national=national, regional=regional, rows_seen=1)
        run_id = derived_uuid(NOW, label)
        ingest.store_batch(transaction, label, batch, ranks=ranks(discover()), run_id=run_id, now=NOW)


# Objects


JOB = "job_id,workload_type,duration_mins,power_kw,urgency,host_dc,status,scheduled_start,started_at,completed_at\n"
RAN = "J,TRAINING_RUN,60,9,LOW,A,COMPLETED,,2026-07-01T09:00:00Z,2026-07-01T10:00:00Z\n"


def test_where_a_workload_stands_is_not_an_imports_to_change(tenants: Tenants, superuser: Superuser) -> None:
    imported(tenants.a, SITES)
    assert counts(imported(tenants.a, JOB + RAN)) == {"read": 1, "stored": 1}
    before = versions(superuser)
    again = "J,TRAINING_RUN,60,9,LOW,B,PENDING,2026-07-09T09:00:00Z,,\n"
    for existing in OnExisting:
        report = imported(tenants.a, JOB + again, on_existing=existing)
        assert (counts(report), report.is_stored) == ({"read": 1, "unchanged": 1}, False)
    assert versions(superuser) == before
    changed = again.replace("LOW", "HIGH")
    assert counts(imported(tenants.a, JOB + changed, on_existing=OnExisting.UPDATE)) == {"read": 1, "updated": 1}
    assert rows(
        superuser,
        "select w.urgency::text, w.status::text, d.dc_id, w.scheduled_start, w.completed_at is null "
        "from compute_workloads w join data_centres d on d.id = w.host_dc_id",
    ) == [("HIGH", "COMPLETED", "A", None, False)]


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("J,TRAINING_RUN,60,9,LOW,,QUEUED,2026-07-09T09:00:00Z,,\n", "host_dc_id and scheduled_start"),
        ("J,TRAINING_RUN,60,9,LOW,A,DEFERRED_CARBON,,,\n", "host_dc_id and scheduled_start"),
        ("J,TRAINING_RUN,60,9,LOW,A,RUNNING,2026-07-09T09:00:00Z,,\n", "host_dc_id and started_at"),
        ("J,TRAINING_RUN,60,9,LOW,A,COMPLETED,,2026-07-01T09:00:00Z,\n", "started_at and completed_at"),
    ],
)
def test_a_new_workload_says_what_goes_with_its_status(tenants: Tenants, line: str, needed: str) -> None:
    imported(tenants.a, SITES)
    report = imported(tenants.a, JOB + line)
    assert (report.is_stored, report.rows_refused) == (False, 1)
    (fault,) = report.bad_rows
    assert (fault.column, needed in fault.why) == ("status", True)


def test_an_import_of_a_fleet_is_noticed_by_whoever_keeps_a_view_of_it(tenants: Tenants) -> None:
    imported(tenants.a, SITES)
    here = Acting(tenants.a.database, tenants.a.id, now=NOW)
    here.do("submit_workload", job_id="mine", workload_type="OTHER", duration_mins=60, power_kw=1, origin="A")
    queued = f"J,TRAINING_RUN,60,5000,LOW,A,QUEUED,{NOW + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ},,\n"
    assert imported(tenants.a, JOB + queued).is_stored
    with opened(here.database, here.views, here.call) as desk:
        assert desk.workload("J").id in desk.view.bookings, "it holds its room"


def test_a_fleet_is_stored_and_the_same_file_again_changes_nothing(tenants: Tenants, superuser: Superuser) -> None:
    report = imported(tenants.a, SITES)
    assert (report.object_type, report.is_guessed, report.is_stored) == ("DataCentre", True, True)
    assert counts(report) == {"read": 2, "stored": 2}
    assert rows(superuser, "select dc_id, location_region, pue, is_simulated from data_centres order by 1") == [
        ("A", "London", Decimal("1.20"), False),
        ("B", "London", Decimal("1.30"), False),
    ]
    before = versions(superuser)
    for existing in OnExisting:
        report = imported(tenants.a, SITES, on_existing=existing)
        assert (counts(report), report.is_stored) == ({"read": 2, "unchanged": 2}, False)
    assert versions(superuser) == before


def test_every_type_of_an_operator_goes_in_and_names_its_own(tenants: Tenants, superuser: Superuser) -> None:
    imported(tenants.a, SITES)
    batteries = (
        "asset_id,name,region,capacity_mwh,max_charge_rate_mw,max_discharge_rate_mw,co_located_dc,current_charge_mwh\n"
        "BESS,Battery,13,40,20,20,A,10\n"
    )
    jobs = (
        '[{"job_id": "J", "workload_type": "TRAINING_RUN", "duration_mins": 60, "power_kw": 1.5, "origin_dc": "B"}]'
    )
    assert counts(imported(tenants.a, batteries)) == {"read": 1, "stored": 1}
    assert counts(imported(tenants.a, RATES)) == {"read": 3, "stored": 3}
    assert counts(imported(tenants.a, jobs, Form.JSON)) == {"read": 1, "stored": 1}
    assert rows(
        superuser,
        "select d.dc_id, s.current_charge_mwh from storage_assets s "
        "join data_centres d on d.id = s.co_located_dc_id",
    ) == [("A", 10)]
    assert rows(superuser, "select starts_at, price_gbp_mwh from tariff_rates order by 1") == [
        (AT, 80),
        (AT + 14 * HALF_HOUR, Decimal("212.50")),
        (AT + 46 * HALF_HOUR, None),
    ]
    assert rows(
        superuser,
        "select d.dc_id, w.power_kw from compute_workloads w join data_centres d on d.id = w.origin_dc_id",
    ) == [("B", Decimal("1.500"))]


def test_one_bad_row_keeps_all_out_and_every_fault_is_told(tenants: Tenants, superuser: Superuser) -> None:
    before = versions(superuser)
    noted: list[Fault] = []
    text = SITES + "C,Site C,99,0.5,20,\nD,Site D,13,1.2,20\n"
    report = imported(tenants.a, text, noted=noted)
    assert (counts(report), report.is_stored, report.faults) == ({"read": 4, "new": 2, "refused": 2}, False, 3)
    assert noted == report.bad_rows
    assert [(fault.line, fault.column) for fault in noted] == [(4, "region"), (4, "pue"), (5, "")]
    assert versions(superuser) == before
    report = imported(tenants.a, text, skip_bad=True)
    assert (counts(report), report.is_stored) == ({"read": 4, "stored": 2, "refused": 2}, True)
    assert [fault.line for fault in report.bad_rows] == [4, 4, 5]


def test_a_dry_run_says_what_happens_and_leaves_no_trace(tenants: Tenants, superuser: Superuser) -> None:
    for text in (SITES, RATES, PRICES):
        before = versions(superuser)
        dry = imported(tenants.a, text, dry_run=True)
        assert (dry.is_stored, dry.run_id) == (False, None)
        assert versions(superuser) == before
        done = imported(tenants.a, text)
        assert dry.rows_new > 0
        assert (dry.rows_stored, dry.rows_new, dry.rows_blank) == (0, done.rows_stored, done.rows_blank)


def test_a_dry_run_tells_what_would_be_updated_from_what_would_be_new(tenants: Tenants) -> None:
    imported(tenants.a, SITES)
    changed = SITES.replace("Site A", "Renamed") + "C,Site C,13,1.2,20,\n"
    dry = imported(tenants.a, changed, dry_run=True, on_existing=OnExisting.UPDATE)
    assert counts(dry) == {"read": 3, "new": 1, "changed": 1, "unchanged": 1}


def test_what_exists_with_other_values_is_refused_skipped_or_updated(
    tenants: Tenants, superuser: Superuser
) -> None:
    imported(tenants.a, SITES)
    changed = "dc_id,name,region,pue,total_capacity_mw\nA,Site A,13,1.2,20\nB,Renamed,12,1.25,10\n"
    report = imported(tenants.a, changed)
    assert (counts(report), report.is_stored) == ({"read": 2, "unchanged": 1, "refused": 1}, False)
    assert report.bad_rows[0].why.startswith("exists, with another location_region, name, pue, region_id.")
    assert counts(imported(tenants.a, changed, on_existing=OnExisting.SKIP)) == {
        "read": 2,
        "unchanged": 1,
        "skipped": 1,
    }
    report = imported(tenants.a, changed, on_existing=OnExisting.UPDATE, now=NOW + timedelta(days=1))
    assert (counts(report), report.is_stored) == ({"read": 2, "unchanged": 1, "updated": 1}, True)
    stored = rows(
        superuser, "select dc_id, name, location_region, pue, postcode, updated_at from data_centres order by 1"
    )
    assert stored[0][:5] == ("A", "Site A", "London", Decimal("1.20"), "E1 6AN")
    assert stored[1] == ("B", "Renamed", "South England", Decimal("1.25"), None, NOW + timedelta(days=1))


def test_a_column_the_file_has_is_replaced_and_one_it_lacks_is_left(tenants: Tenants, superuser: Superuser) -> None:
    imported(tenants.a, SITES)
    least = "dc_id,name,region,pue,total_capacity_mw"
    update = {"on_existing": OnExisting.UPDATE}
    imported(tenants.a, f"{least}\nA,Other,13,1.2,20\n", **update)
    assert rows(superuser, "select postcode from data_centres where dc_id = 'A'") == [("E1 6AN",)]
    imported(tenants.a, f"{least},postcode\nA,Other,13,1.2,20,\n", **update)
    assert rows(superuser, "select postcode from data_centres where dc_id = 'A'") == [(None,)]


def test_an_update_leaves_what_others_write_and_holds_to_the_rules_of_the_row(
    tenants: Tenants, superuser: Superuser
) -> None:
    columns = "asset_id,name,region,capacity_mwh,max_charge_rate_mw,max_discharge_rate_mw"
    imported(tenants.a, f"{columns},current_charge_mwh\nS,Battery,13,40,20,20,30\n")
    update = {"on_existing": OnExisting.UPDATE}
    imported(tenants.a, f"{columns},current_charge_mwh\nS,Battery,13,50,20,20,5\n", **update)
    assert rows(superuser, "select capacity_mwh, current_charge_mwh from storage_assets") == [(50, 30)]
    report = imported(tenants.a, f"{columns}\nS,Battery,13,29,20,20\n", **update)
    assert [(fault.column, fault.why) for fault in report.bad_rows] == [
        ("current_charge_mwh", "must be at most capacity_mwh, which is 29.00")
    ]


def test_what_pylon_made_up_is_not_taken_over(tenants: Tenants) -> None:
    tenants.a.make(DataCentre, dc_id="A", is_simulated=True)
    report = imported(tenants.a, SITES, on_existing=OnExisting.UPDATE)
    assert [fault.why.split(".")[0] for fault in report.bad_rows] == ["is the id of a simulated object"]


def test_what_was_read_from_pylon_can_be_given_back(tenants: Tenants) -> None:
    imported(tenants.a, SITES)
    with tenants.a.database.as_reader(tenants.a.id) as transaction:
        stored = objects.read(transaction, DataCentre, operator_id=tenants.a.id)
    own = [{name: value for name, value in row.items() if not name.startswith("current_carbon")} for row in stored]
    body = json_text(own).encode()
    assert counts(imported(tenants.a, body, Form.JSON)) == {"read": 2, "unchanged": 2}


# Tenancy


def test_another_operators_rows_are_neither_seen_nor_named(tenants: Tenants, superuser: Superuser) -> None:
    imported(tenants.b, SITES)
    assert counts(imported(tenants.a, SITES)) == {"read": 2, "stored": 2}
    theirs = tenants.b.make(DataCentre, dc_id="THEIRS")
    jobs = "job_id,workload_type,duration_mins,power_kw,host_dc,id,operator_id\n"
    for values, column in (
        (f"{theirs.id},,", "host_dc"),
        ("THEIRS,,", "host_dc"),
        (f",{theirs.id},", "id"),
        (f",,{tenants.b.id}", "operator_id"),
    ):
        report = imported(tenants.a, f"{jobs}J,OTHER,60,1,{values}\n")
        assert [(fault.line, fault.column) for fault in report.bad_rows] == [(2, column)]
        assert not report.is_stored
    assert rows(superuser, "select count(*) from compute_workloads") == [(0,)]


def test_an_id_of_ones_own_names_only_its_own_row(tenants: Tenants) -> None:
    mine = tenants.a.make(DataCentre, dc_id="MINE")
    columns = "id,dc_id,name,region,pue,total_capacity_mw\n"
    report = imported(tenants.a, f"{columns}{mine.id},NEW,x,13,1.2,20\n", on_existing=OnExisting.UPDATE)
    assert [fault.column for fault in report.bad_rows] == ["id"]
    report = imported(tenants.a, f"{columns}{mine.id},MINE,x,13,1.2,20\n", on_existing=OnExisting.UPDATE)
    assert counts(report) == {"read": 1, "updated": 1}


# Signals


def test_signals_fill_what_nobody_gave_under_their_own_label_and_run(
    tenants: Tenants, superuser: Superuser
) -> None:
    report = imported(tenants.a, PRICES, label="my prices")
    assert (report.label, counts(report)) == ("import:my prices", {"read": 3, "stored": 2, "blank": 1})
    assert rows(
        superuser,
        "select timestamp, settlement_period, wholesale_price_gbp_mwh, provenance, data_source "
        "from grid_signals order by 1",
    ) == [
        (AT, 1, 80, {"price": "import:my prices"}, None),
        (AT + HALF_HOUR, 2, Decimal("-5.50"), {"price": "import:my prices"}, None),
    ]
    assert rows(superuser, "select series, source, starts_at, half_hour_values, run_id from signal_vintages") == [
        ("national.wholesale_price_gbp_mwh", "import:my prices", AT, [80.0, -5.5], report.run_id)
    ]
    ((run_id, trigger, status, said),) = rows(superuser, "select id, trigger, status, report from pipeline_runs")
    assert (run_id, trigger, status) == (report.run_id, "import", "SUCCEEDED")
    assert said["sources"][0]["title"] == "Import of a test"


def test_the_same_signals_again_change_nothing_not_even_a_vintage(tenants: Tenants, superuser: Superuser) -> None:
    imported(tenants.a, PRICES)
    before = versions(superuser)
    report = imported(tenants.a, PRICES)
    assert (counts(report), report.is_stored) == ({"read": 3, "unchanged": 2, "blank": 1}, False)
    assert versions(superuser) == before


def test_an_import_replaces_simulated_values_and_earlier_imports(
    tenants: Tenants, database: Database, superuser: Superuser
) -> None:
    store(
        database,
        SIMULATED,
        national=[NationalReading(starts_at=AT, wholesale_price_gbp_mwh=Decimal(1), demand_mw=5)],
    )
    assert counts(imported(tenants.a, PRICES, label="one")) == {"read": 3, "stored": 1, "updated": 1, "blank": 1}
    assert counts(imported(tenants.a, PRICES, label="two")) == {"read": 3, "updated": 2, "blank": 1}
    assert rows(superuser, "select provenance, demand_mw from grid_signals order by timestamp limit 1") == [
        ({"price": "import:two", "demand": SIMULATED}, 5)
    ]


def test_an_import_never_replaces_what_a_source_of_the_grid_gave(
    tenants: Tenants, database: Database, superuser: Superuser
) -> None:
    real = next(source.terms.data_source for source in discover() if source.terms.rank > 10)
    store(
        database,
        real,
        national=[NationalReading(starts_at=AT, carbon_intensity_forecast=111)],
        regional=[RegionalReading(region_id=13, starts_at=AT, carbon_intensity_forecast=222, carbon_index=None)],
    )
    national = "timestamp,carbon_intensity_actual,demand_mw\n2026-11-01T00:00Z,5,30000\n2026-11-01T00:30Z,5,\n"
    assert counts(imported(tenants.a, national)) == {"read": 2, "stored": 1, "updated": 1, "kept": 1}
    assert counts(imported(tenants.a, national)) == {"read": 2, "unchanged": 2, "kept": 1}
    regional = "region,timestamp,carbon_intensity_forecast\n13,2026-11-01T00:00Z,5\n12,2026-11-01T00:00Z,0\n"
    assert counts(imported(tenants.a, regional)) == {"read": 2, "stored": 1, "kept": 1}
    assert counts(imported(tenants.a, regional)) == {"read": 2, "unchanged": 1, "kept": 1}
    assert rows(
        superuser,
        "select carbon_intensity_forecast, carbon_intensity_actual, demand_mw, provenance "
        "from grid_signals order by timestamp limit 1",
    ) == [(111, None, 30000, {"carbon": real, "demand": "import:test"})]
    assert rows(
        superuser, "select carbon_intensity_forecast, data_source from regional_grid_signals order by 1"
    ) == [(0, "import:test"), (222, real)]


def test_signals_wait_for_no_pipeline_and_no_pipeline_for_them(
    tenants: Tenants, database: Database, superuser: Superuser
) -> None:
    before = versions(superuser)
    with leases.held(database, LEASE, derived_uuid(NOW, "pipeline"), lambda: NOW), pytest.raises(LeaseHeld):
        imported(tenants.a, PRICES, now=NOW)
    assert versions(superuser) == before
    assert imported(tenants.a, SITES).is_stored  # the fleet is the operator's own, and waits for nobody
    assert imported(tenants.a, PRICES).is_stored


def test_an_import_is_no_run_of_the_pipeline(tenants: Tenants, database: Database) -> None:
    """Else `pylon up` would find the grid loaded, and status the sources heard, by a file of last year's prices."""
    assert imported(tenants.a, PRICES).is_stored
    assert not readiness(database, tenants.a.id, NOW).ready


@pytest.mark.parametrize("label", ["", "x" * 44, "a:b", "[red]", "a/b", "é"])
def test_a_label_that_does_not_fit_is_refused(tenants: Tenants, label: str) -> None:
    with pytest.raises(Invalid, match=r"at most 43 letters.* Give another: label=NAME"):
        imported(tenants.a, PRICES, label=label)


def test_no_label_of_a_source_and_none_that_says_simulated_is_taken(tenants: Tenants, superuser: Superuser) -> None:
    labels = {source.terms.data_source for source in discover()}
    assert SIMULATED in labels
    for label in (*labels, SIMULATED.upper()):
        with pytest.raises(Invalid, match=r"own calls its values.* Give another: label=NAME"):
            imported(tenants.a, PRICES, label=label)
    assert rows(superuser, "select count(*) from grid_signals") == [(0,)]
    assert imported(tenants.a, SITES, label=SIMULATED).is_stored  # a fleet has no label


# Files


@pytest.mark.parametrize("text", ["dc_id,name,region,pue,total_capacity_mw\n", "[]", '{"rows": []}'])
def test_a_file_without_rows_is_refused(tenants: Tenants, text: str) -> None:
    form = Form.CSV if "," in text else Form.JSON
    with pytest.raises(Invalid, match="no rows"):
        imported(tenants.a, text, form, type_name="DataCentre")


def test_a_file_that_breaks_off_stores_nothing(tenants: Tenants, superuser: Superuser) -> None:
    with pytest.raises(Invalid, match="not UTF-8"):
        imported(tenants.a, SITES.encode() + b"C,\xff,13,1.2,20,\n")
    assert rows(superuser, "select count(*) from data_centres") == [(0,)]


def test_text_of_any_kind_is_stored_as_text(tenants: Tenants, superuser: Superuser) -> None:
    name = "=cmd|' /C calc'!A0 '); drop table data_centres; --"
    imported(tenants.a, f'dc_id,name,region,pue,total_capacity_mw\nA,"{name}",13,1.2,20\n')
    assert rows(superuser, "select name from data_centres") == [(name,)]


def test_ten_times_the_rows_take_no_more_memory(
    tenants: Tenants, superuser: Superuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held does not grow with the file: each part is stored before the next is read."""
    monkeypatch.setattr(import_service, "_PART", 500)
    peaks = []
    for number in (1000, 10_000):
        start = datetime(2009 + len(peaks), 1, 1, tzinfo=UTC)
        lines = (f"{start + n * HALF_HOUR:%Y-%m-%dT%H:%MZ},{20_000 + n % 9000}\n" for n in range(number))
        stream = io.BytesIO(("timestamp,demand_mw\n" + "".join(lines)).encode())
        tracemalloc.start()
        report = imported_from(tenants.a, stream)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert counts(report) == {"read": number, "stored": number}
    assert peaks[1] < 1.2 * peaks[0]
    assert rows(superuser, "select count(*), count(distinct demand_mw) from grid_signals") == [(11_000, 9000)]


def test_half_hours_far_apart_are_vintages_of_their_own_month(tenants: Tenants, superuser: Superuser) -> None:
    """One array from the first to the last would have to be written and read, most of it empty."""
    header, far = "timestamp,wholesale_price_gbp_mwh\n", ("2001-01-01T00:00Z,80", "2026-11-01T00:00Z,90")
    assert imported(tenants.a, header + "\n".join(far) + "\n").is_stored
    lengths = rows(superuser, "select cardinality(half_hour_values) from public.signal_vintages")
    assert lengths == [(1,), (1,)]


def test_an_imported_actual_is_judged_like_any_other(tenants: Tenants, superuser: Superuser) -> None:
    text = "timestamp,carbon_intensity_forecast,carbon_intensity_actual\n2026-11-01T00:00Z,180,1\n"
    assert imported(tenants.a, text).is_stored
    stored = "select carbon_intensity_forecast, carbon_intensity_actual from public.grid_signals"
    assert rows(superuser, stored) == [(180, None)]
    assert rows(superuser, "select raw from public.quality_flags order by rule") == [(1,), (1,)]


def test_more_rows_than_are_taken_at_once_are_refused(tenants: Tenants, superuser: Superuser) -> None:
    with pytest.raises(Invalid, match="more than 2 rows"):
        imported(tenants.a, PRICES, most_rows=2)
    assert rows(superuser, "select 1 from public.grid_signals") == []
