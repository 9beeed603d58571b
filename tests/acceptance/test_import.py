"""Bringing your own data, over real HTTP and by the real command line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pylon.interfaces import import_api
from pylon.interfaces.import_api import IMPORT, IMPORT_ALLOWANCE
from pylon.services.import_types import TYPES
from pylon.store import embedded
from tests.acceptance.homes import new_home
from tests.acceptance.support import Ended, World, ran, served

SITES = (
    "dc_id,name,region,pue,total_capacity_mw\nREADING-1,Reading 1,South England,1.25,20\nFIFE-1,Fife 1,2,1.15,12\n"
)
BAD = SITES + "LONDON-1,London 1,Lundon,0.5,10\n"
PARQUET = "application/vnd.apache.parquet"


@pytest.fixture(scope="module")
def asking(empty: World) -> Iterator[httpx2.Client]:
    with served(empty.runtime()) as client:
        yield client


@pytest.fixture
def client(asking: httpx2.Client, empty: World) -> httpx2.Client:
    """A client of a Pylon into which nothing has been imported."""
    for table in ("data_centres", "grid_signals", "regional_grid_signals", "tariff_rates", "pipeline_runs"):
        empty.execute(f"delete from public.{table}")
    return asking


def post(client: httpx2.Client, body: str | bytes, kind: str = "text/csv", **parameters: Any) -> httpx2.Response:
    return client.post(IMPORT, content=body, headers={"content-type": kind}, params=parameters)


def sites(world: World) -> list[str]:
    return [row["dc_id"] for row in world.select("select dc_id from data_centres order by 1")]


# Over HTTP


def test_a_dry_run_then_the_import_then_nothing_new(client: httpx2.Client, empty: World) -> None:
    answer = post(client, SITES, dry_run=True)
    said = answer.json()
    assert (answer.status_code, said["rows_new"], said["rows_stored"], said["is_stored"]) == (200, 2, 0, False)
    assert sites(empty) == []
    answer = post(client, SITES)
    assert (answer.json()["rows_new"], answer.json()["rows_stored"]) == (2, 2)
    assert (answer.status_code, answer.json()["object_type"], answer.json()["is_stored"]) == (
        201,
        "DataCentre",
        True,
    )
    assert sites(empty) == ["FIFE-1", "READING-1"]
    answer = post(client, SITES)
    assert (answer.status_code, answer.json()["rows_unchanged"], answer.json()["is_stored"]) == (200, 2, False)
    shown = client.get("/api/v1/live-state").json()["objects"]["DataCentre"]
    assert {row["dc_id"] for row in shown} == {"FIFE-1", "READING-1"}


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_refused_comes_as_a_problem_with_every_fault(
    client: httpx2.Client, empty: World, dry_run: bool
) -> None:
    answer = post(client, BAD, dry_run=dry_run)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    said = answer.json()
    assert (said["status"], said["code"], said["rows_read"], said["rows_refused"]) == (422, "invalid", 3, 1)
    assert (said["rows_new"], said["rows_stored"]) == (2, 0)
    assert [(one["line"], one["column"], one["value"]) for one in said["bad_rows"]] == [
        (4, "region", "'Lundon'"),
        (4, "pue", "'0.5'"),
    ]
    assert "Did you mean London?" in said["bad_rows"][0]["why"]
    assert sites(empty) == []
    assert post(client, BAD, skip_bad=True).status_code == 201
    assert sites(empty) == ["FIFE-1", "READING-1"]


def test_no_more_than_a_thousand_faults_come_and_their_number(client: httpx2.Client) -> None:
    rows = [{"tariff": "t", "starts_at": "never", "price_gbp_mwh": "dear"}] * 1500
    said = client.post(IMPORT, json=rows).json()
    assert (said["rows_refused"], said["faults"], len(said["bad_rows"])) == (1500, 3000, 1000)


def test_json_may_bring_its_own_map_and_parquet_its_own_types(client: httpx2.Client, empty: World) -> None:
    row = {"site": "A", "name": "A", "region": 13, "pue": 1.2, "total_capacity_mw": 20}
    assert client.post(IMPORT, json={"rows": [row], "map": {"site": "dc_id"}}).status_code == 201
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{**row, "site": "B"}]).rename_columns({"site": "dc_id"}), stream)
    assert post(client, stream.getvalue(), PARQUET).status_code == 201
    assert sites(empty) == ["A", "B"]


def test_signals_carry_the_label_they_are_given(client: httpx2.Client, empty: World) -> None:
    rows = [{"settlement_date": "01-NOV-2026", "settlement_period": 1, "wholesale_price_gbp_mwh": 80.5}]
    answer = client.post(IMPORT, json=rows, params={"label": "broker"})
    assert (answer.status_code, answer.json()["label"]) == (201, "import:broker")
    assert empty.select("select provenance from grid_signals") == [{"provenance": {"price": "import:broker"}}]
    (run,) = empty.select("select id::text from pipeline_runs where trigger = 'import'")
    assert run["id"] == answer.json()["run_id"]


@pytest.mark.parametrize("label", ["simulated", "carbon_intensity_api", "é"])
def test_a_label_that_is_not_the_importers_to_give_is_refused(
    client: httpx2.Client, empty: World, label: str
) -> None:
    answer = post(client, "timestamp,demand_mw\n2026-11-01T00:00Z,30000\n", label=label)
    assert (answer.status_code, "Give another: label=NAME." in answer.json()["detail"]) == (422, True)
    assert empty.select("select 1 from grid_signals") == []


@pytest.mark.parametrize(
    ("body", "kind", "parameters", "status", "says"),
    [
        (b"", "text/csv", {}, 422, "is empty"),
        (b"dc_id,name,region,pue,total_capacity_mw\n", "text/csv", {}, 422, "no rows"),
        (SITES.encode("utf-16"), "text/csv", {}, 422, "UTF-16"),
        (b"{", "application/json", {}, 422, "is not JSON"),
        (b"PAR1PAR1", PARQUET, {}, 422, "no Parquet file"),
        (SITES.encode(), "text/csv", {"type": "DataCenter"}, 422, "Did you mean DataCentre?"),
        (SITES.encode(), "text/csv", {"on_existing": "replace"}, 422, "update, skip or fail"),
        (SITES.encode(), "text/csv", {"dryrun": "true"}, 422, "has no parameter 'dryrun'. Valid: dry_run"),
        (SITES.encode(), "text/plain", {}, 415, "application/json or text/csv or application/vnd.apache.parquet"),
        (b"x" * (IMPORT_ALLOWANCE.max_body_bytes + 1), "text/csv", {}, 413, "at most 32,000,000 bytes"),
    ],
    ids=["empty", "header", "utf-16", "json", "parquet", "type", "existing", "parameter", "kind", "size"],
)
def test_a_slip_is_a_problem_that_says_what_is_valid(
    client: httpx2.Client, empty: World, body: bytes, kind: str, parameters: Any, status: int, says: str
) -> None:
    answer = post(client, body, kind, **parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]
    assert sites(empty) == []


def test_a_page_of_elsewhere_may_import_nothing(client: httpx2.Client, empty: World) -> None:
    headers = {"content-type": "text/csv", "origin": "https://evil.example"}
    assert client.post(IMPORT, content=SITES, headers=headers).status_code == 403
    assert sites(empty) == []


def test_no_other_path_takes_files_or_so_much(client: httpx2.Client) -> None:
    for path in ("/", "/api/v1/live-state", f"{IMPORT}/"):
        headers = {"content-type": "text/csv"}
        assert client.post(path, content=SITES, headers=headers).status_code == 415
        assert (
            client.post(path, content=b"1" * 1_000_001, headers={"content-type": "application/json"}).status_code
            == 413
        )


def test_it_is_described(client: httpx2.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"][IMPORT]["post"]
    assert operation["requestBody"]["content"].keys() == set(IMPORT_ALLOWANCE.media_types)
    assert {one["name"] for one in operation["parameters"]} == {
        "type",
        "dry_run",
        "label",
        "on_existing",
        "skip_bad",
    }
    assert {"200", "201", "4XX"} <= operation["responses"].keys()


# By the command line


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with new_home() as folder, embedded.acquire(folder):  # held, so that no command waits for it to start
        assert ran("db", "migrate", PYLON_HOME=str(folder)).code == 0
        yield folder


def pylon(home: Path, *words: str | Path) -> Ended:
    ended = ran("import", *(str(word) for word in words), PYLON_HOME=str(home))
    assert "Traceback" not in ended.said, ended.err
    return ended


def test_the_command_refuses_all_or_stores_the_good_and_reports_every_fault(home: Path, tmp_path: Path) -> None:
    file, report = tmp_path / "fleet.csv", tmp_path / "faults.csv"
    file.write_text(BAD)
    ended = pylon(home, file, "--report", report)
    assert ended.code == 1
    assert "Rows of DataCentre (the only type with these columns)" in ended.said
    assert "must be a region's number, 1 to 14, or its name. Did you mean London?" in ended.said
    assert "good, new 2" in ended.said
    assert "Nothing was stored. Mend what was refused, or import the other rows with --skip-bad." in ended.said
    with report.open(newline="") as stream:
        faults = list(csv.DictReader(stream))
    assert [(fault["line"], fault["column"]) for fault in faults] == [("4", "region"), ("4", "pue")]
    ended = pylon(home, file, "--dry-run", "--skip-bad")
    assert (ended.code, "A dry run: nothing was stored." in ended.said) == (0, True)
    assert "would be stored 2" in ended.said
    ended = pylon(home, file, "--skip-bad")
    assert (ended.code, "Stored. The rows refused were left out." in ended.said) == (0, True)
    assert " stored 2" in ended.said
    ended = pylon(home, file, "--skip-bad")
    assert (ended.code, "Nothing was stored: the rows that are good say nothing new." in ended.said) == (0, True)


def test_the_command_maps_columns_and_updates_what_is_there(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("site,name,region,pue,total_capacity_mw\nMAPPED-1,One,13,1.2,20\n")
    assert pylon(home, file, "--map", "site=dc_id", "--type", "DataCentre").code == 0
    file.write_text("site,name,region,pue,total_capacity_mw\nMAPPED-1,Renamed,13,1.2,20\n")
    ended = pylon(home, file, "--map", "site=dc_id")
    assert ended.code == 1
    assert "exists, with another name. Say --on-existing update or skip, or take the line out" in ended.said
    ended = pylon(home, file, "--map", "site=dc_id", "--on-existing", "update")
    assert (ended.code, "updated 1" in ended.said) == (0, True)


def test_a_file_s_name_is_the_label_as_far_as_it_can_be_one(home: Path, tmp_path: Path) -> None:
    file, reserved = tmp_path / "prices (1).csv", tmp_path / "simulated.csv"
    file.write_text("timestamp,demand_mw\n2026-11-01T00:00Z,30000\n")
    ended = pylon(home, file, "--dry-run")
    assert (ended.code, "labelled import:prices -1-" in ended.said) == (0, True)
    ended = pylon(home, file.rename(reserved), "--dry-run")
    assert (ended.code, "Give another: --label NAME." in ended.said) == (2, True)


def test_the_command_shows_twenty_faults_and_says_how_many_there_are(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "prices.jsonl"
    file.write_text('{"timestamp": "x", "demand_mw": "[red]\\u001b[31m"}\n' * 30)
    ended = pylon(home, file)
    assert ended.code == 1
    assert "... and 40 more; --report FILE writes all of them." in ended.said
    assert "\x1b" not in ended.out


@pytest.mark.parametrize(
    ("name", "content", "words", "code", "says"),
    [
        ("none.csv", None, (), 1, "There is no file"),
        ("empty.csv", b"", (), 2, "is empty"),
        ("latin.csv", SITES.encode("utf-8") + b"\xe9,", (), 2, "(line 4, character 0xE9) is not UTF-8"),
        ("fleet.xlsx", b"x", (), 2, "Valid: .csv, .json, .jsonl, .ndjson, .parquet."),
        ("fleet.parquet", b"not parquet", (), 2, "no Parquet file"),
        ("fleet.csv", SITES.encode(), ("--map", "dc_id"), 2, "--map site=dc_id"),
        ("fleet.csv", SITES.encode(), ("--type", "Fleet"), 2, "Valid: DataCentre, StorageAsset"),
        ("fleet.csv", b"a,b\n1,2\n", (), 2, "Say which it is with --type, or mend them."),
        ("fleet.csv", SITES.encode(), ("--on-existing", "replace"), 2, "--help"),
    ],
)
def test_a_slip_of_the_command_is_told_what_is_valid(
    home: Path, tmp_path: Path, name: str, content: bytes | None, words: tuple[str, ...], code: int, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ended = pylon(home, tmp_path / name, *words)
    assert (ended.code, says in ended.said) == (code, True), ended.said


def test_the_report_never_replaces_the_file_and_is_safe_in_a_spreadsheet(home: Path, tmp_path: Path) -> None:
    file, report = tmp_path / "fleet.jsonl", tmp_path / "faults.csv"
    file.write_text('{"tariff": "t", "starts_at": "2026-11-01T00:00Z"}\n{"tariff": "t", "=cmd()": 1}\n')
    before = file.read_bytes()
    ended = pylon(home, file, "--report", file)
    assert (ended.code, "--report names the file that is to be imported." in ended.said) == (2, True)
    assert file.read_bytes() == before
    assert pylon(home, file, "--report", report).code == 1
    assert "\n2,'=cmd(),1,is no column" in report.read_text()


def test_the_help_names_every_option(home: Path) -> None:
    ended = pylon(home, "--help")
    for option in ("--type", "--dry-run", "--map", "--on-existing", "--skip-bad", "--label", "--report"):
        assert option in ended.said
    assert len(TYPES) == 6


def test_one_import_goes_on_at_a_time(client: httpx2.Client) -> None:
    assert import_api._going_on.acquire(timeout=20)
    try:
        answer = post(client, "dc_id\nA\n", type="DataCentre", dry_run=True)
    finally:
        import_api._going_on.release()
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("number", ["1e99999999999999999999", "9e999999", "-1e400"])
def test_a_number_beyond_all_reason_is_the_senders_fault(client: httpx2.Client, number: str) -> None:
    body = f'[{{"job_id": "J", "workload_type": "OTHER", "duration_mins": 30, "estimated_energy_kwh": {number}}}]'
    answer = post(client, body, kind="application/json", type="ComputeWorkload", dry_run=True)
    assert answer.status_code == 422
