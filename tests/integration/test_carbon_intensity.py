"""The Carbon Intensity API over real HTTP: the stand-in's answers, and every way in which they may fail."""

from __future__ import annotations

import csv
import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pylon.errors import SourceChanged, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, floor, half_hours
from pylon.ontology.carbon import FACTORS_GCO2_KWH
from pylon.sources.carbon_intensity import SOURCES, Factors, Generation, National, Regional
from pylon.sources.feed import Batch, Request
from pylon.sources.http import Http
from tests.doubles.answers import (
    Answer,
    bad_request,
    broken_off,
    dripping,
    empty,
    html_error,
    no_data,
    server_error,
    slow,
    too_many_requests,
    truncated,
)
from tests.doubles.carbon_intensity import StandIn
from tests.doubles.carbon_series import stamp
from tests.doubles.recordings import recordings_folder

DAY = timedelta(days=1)


@pytest.fixture
def recordings() -> Path:
    return recordings_folder()


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(timeout_s=5, attempts=3, wait_s=0.01) as http:
        yield http


def request(api: StandIn, http: Http, start: datetime | None = None, end: datetime | None = None) -> Request:
    now = api.clock.now
    return Request(
        now=now,
        start=start or floor(now) - DAY,
        end=end or floor(now) + 2 * DAY,
        seed=1,
        http=http,
        base_urls={"carbon_intensity": api.url},
    )


def published(folder: Path) -> dict[datetime, tuple[int | None, int | None, str | None]]:
    """Read the national series of 2023 by itself, not through the stand-in: forecast, actual and index."""
    with gzip.open(folder / "replay" / "gb_2023_halfhourly_carbon_demand.csv.gz", "rt", newline="") as file:
        return {
            datetime.fromisoformat(row["start_utc"]): (
                int(float(row["ci_api_forecast"])) if row["ci_api_forecast"] else None,
                int(float(row["ci_api_actual"])) if row["ci_api_actual"] else None,
                row["ci_api_index"] or None,
            )
            for row in csv.DictReader(file)
        }


def carbon(batch: Batch) -> dict[datetime, tuple[int | None, int | None, str | None]]:
    return {
        row.starts_at: (row.carbon_intensity_forecast, row.carbon_intensity_actual, row.carbon_index)
        for row in batch.national
    }


# What the API says


def test_the_pipelines_request_is_answered_in_full(api, http):
    asked = request(api, http)
    with ThreadPoolExecutor(len(SOURCES)) as pool:
        batches = dict(
            zip((source.terms.name for source in SOURCES), pool.map(lambda s: s.fetch(asked), SOURCES), strict=True)
        )
    national, regional = batches["carbon_intensity_national"], batches["carbon_intensity_regional"]
    generation = batches["carbon_intensity_generation"]
    now = floor(api.clock.now)
    assert [row.starts_at for row in national.national] == list(half_hours(now - DAY, now + 2 * DAY))
    assert [row.starts_at for row in generation.national] == list(half_hours(now - DAY, now + HALF_HOUR))
    assert [row.starts_at for row in regional.national] == list(half_hours(now + HALF_HOUR, now + 2 * DAY))
    assert len(regional.regional) == 97 * 17
    assert (national.rows_seen, regional.rows_seen, generation.rows_seen) == (97 + 49, 97 * 18, 50)
    assert batches["carbon_intensity_factors"].factors == dict(FACTORS_GCO2_KWH)
    for batch in batches.values():
        assert (list(batch.rejected), list(batch.missing)) == ([], [])
    assert sorted(api.counts().items()) == [
        ("/generation", 1),
        ("/generation/2026-08-17T08:00Z/pt24h", 1),
        ("/intensity/2026-08-17T08:00Z/fw48h", 1),
        ("/intensity/2026-08-17T08:00Z/pt24h", 1),
        ("/intensity/factors", 1),
        ("/regional/intensity/2026-08-17T08:00Z/fw48h", 1),
    ]
    for seen in api.requests:
        assert seen.headers["accept-encoding"] == "gzip"
        assert seen.headers["user-agent"].startswith("pylon-deg/")


def test_only_what_is_past_has_an_actual(api, http):
    def last_actual() -> datetime:
        rows = National().fetch(request(api, http)).national
        return max(row.starts_at for row in rows if row.carbon_intensity_actual is not None)

    assert last_actual() == datetime(2026, 8, 17, 7, 0, tzinfo=UTC), "07:30 to 08:00 is known at 08:15"
    api.clock.advance(timedelta(minutes=5))
    assert last_actual() == datetime(2026, 8, 17, 7, 30, tzinfo=UTC)
    api.clock.advance(-DAY)
    assert last_actual() == datetime(2026, 8, 16, 7, 30, tzinfo=UTC)


def test_a_short_horizon_leaves_half_hours_missing(api, http):
    api.horizon = timedelta(hours=14)
    batch = National().fetch(request(api, http))
    assert len(batch.national) == 48 + 29
    assert len(batch.missing) == 96 - 29
    regional = Regional().fetch(request(api, http))
    assert list(regional.missing) == list(batch.missing)


def test_the_recorded_answers_come_through_unchanged(recordings, http):
    folder = recordings / "recordings" / "carbon_intensity"
    with StandIn.recorded(recordings) as api:
        body = json.loads((folder / "intensity_2026-08-17T0800Z_fw48h.json").read_bytes())
        batch = National().fetch(request(api, http))
        assert {stamp(at): values for at, values in carbon(batch).items()} == {
            row["from"]: (row["intensity"]["forecast"], None, row["intensity"]["index"]) for row in body["data"]
        }
        assert batch.rows_seen == 97
        assert len(batch.missing) == 47
        assert Factors().fetch(request(api, http)).factors == dict(FACTORS_GCO2_KWH)
        for path, name in {
            "/intensity/2026-08-01T00:00Z/2026-08-01T03:00Z": "intensity_2026-08-01T0000Z_0300Z.json",
            "/regional/intensity/2026-05-06T00:00Z/fw24h/regionid/13": "regional_intensity_fw24h_region_keyed.json",
        }.items():
            assert http.get_json(api.url + path) == json.loads((folder / name).read_bytes())
        api.clock.now = datetime(2026, 5, 6, 0, 12, tzinfo=UTC)
        regional = Regional().fetch(request(api, http))
        assert (regional.rows_seen, len(regional.regional), len(regional.national)) == (36, 34, 0)
        assert len(regional.missing) == 95
        with pytest.raises(SourceUnavailable, match="no data"):
            Generation().fetch(request(api, http))


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(date(2023, 1, 25), id="five null actuals and a false zero"),
        pytest.param(date(2023, 3, 22), id="clocks go forward"),
        pytest.param(date(2023, 6, 4), id="four false zeros"),
        pytest.param(date(2023, 10, 17), id="hole of 91 half hours"),
    ],
)
def test_a_week_of_2023_equals_what_was_published(recordings, http, start):
    since = datetime(start.year, start.month, start.day, tzinfo=UTC)
    until = since + 7 * DAY
    expected = {at: row for at, row in published(recordings).items() if since <= at < until}
    known = {at: row for at, row in expected.items() if row != (None, None, None)}
    with StandIn.replay(recordings, now=until + DAY) as api:
        batch = National().fetch(request(api, http, since, until))
        assert api.count() == 1
    assert carbon(batch) == known
    assert list(batch.missing) == [at for at in expected if at not in known]
    assert batch.rejected == []


def test_a_month_is_asked_for_in_three_ranges_and_a_forecast(recordings, http):
    now = datetime(2023, 5, 1, 12, 12, tzinfo=UTC)
    since = floor(now) - 30 * DAY
    series = published(recordings)
    with StandIn.replay(recordings, now=now) as api:
        batch = National().fetch(request(api, http, since))
        assert api.count("/intensity/2023-05-01T12:00Z/fw48h") == 1
        assert api.count() == 4
        mix = Generation().fetch(request(api, http, since))
    assert [row.starts_at for row in batch.national] == list(half_hours(since, floor(now) + 2 * DAY))
    for at, (forecast, actual, _) in carbon(batch).items():
        assert forecast == series[at][0]
        assert actual == (series[at][1] if at + HALF_HOUR + api.actual_delay <= now else None)
    assert [row.starts_at for row in mix.national] == list(half_hours(since, floor(now) + HALF_HOUR))


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("/intensity", 1),
        ("/intensity/date", 48),
        ("/intensity/date/2026-03-29", 46),
        ("/intensity/date/2025-10-26", 50),
        ("/intensity/date/2026-08-30", 0),
        ("/intensity/date/2026-08-17/48", 1),
        ("/intensity/2026-08-17T00:00Z", 1),
        ("/intensity/2026-08-17T08:00Z/fw24h", 49),
        ("/intensity/2026-08-17T08:00Z/fw48h", 97),
        ("/intensity/2026-08-17T08:01Z/fw48h", 96),
        ("/intensity/2026-08-17T08:00Z/pt24h", 49),
        ("/intensity/2026-08-01T00:00Z/2026-08-01T03:00Z", 7),
        ("/intensity/2026-08-01T00:00Z/2026-08-15T00:00Z", 14 * 48 + 1),
        ("/generation/2026-08-16T08:00Z/2026-08-17T08:00Z", 49),
        ("/regional", 1),
        ("/regional/regionid/13", 1),
        ("/regional/intensity/2026-08-17T08:00Z/pt24h", 49),
    ],
)
def test_the_stand_in_keeps_the_real_apis_row_counts(api, http, path, rows):
    assert len(http.get_json(api.url + path)["data"]) == rows


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/intensity/2026-08-01T00:00Z/2026-08-15T00:30Z", "valid datetime in ISO8601"),
        ("/intensity/2026-08-01/fw24h", "valid datetime in ISO8601"),
        ("/intensity/date/2026-08-17/49", "valid date in ISO8601 format YYYY-MM-DD and period 1-48"),
        ("/intensity/date/17-08-2026", "valid date in ISO8601"),
        ("/regional/regionid/18", "valid region ID i.e. 1-17"),
    ],
)
def test_the_stand_in_refuses_what_the_real_api_refuses(api, http, path, message):
    with pytest.raises(SourceUnavailable, match=message) as caught:
        http.get_json(api.url + path)
    assert caught.value.extra["upstream_status"] == 400
    assert api.count(path) == 1


# How it fails


@pytest.mark.parametrize(
    ("answer", "error", "says", "requests"),
    [
        pytest.param(server_error(), SourceUnavailable, "answered 500: Requested resource not found", 3, id="500"),
        pytest.param(server_error(503), SourceUnavailable, "answered 503", 3, id="503"),
        pytest.param(html_error(502), SourceUnavailable, "answered 502: an HTML page", 3, id="html 502"),
        pytest.param(too_many_requests(), SourceUnavailable, "answered 429", 3, id="429"),
        pytest.param(too_many_requests("0"), SourceUnavailable, "ask again in 0 s", 3, id="429 and 0 s"),
        pytest.param(too_many_requests("3600"), SourceUnavailable, "ask again in 3600 s", 1, id="429 and an hour"),
        pytest.param(broken_off(), SourceUnavailable, "broke the connection off", 3, id="broken off"),
        pytest.param(bad_request(), SourceUnavailable, "answered 400: Please enter a valid datetime", 1, id="400"),
        pytest.param(Answer(status=404), SourceUnavailable, "answered 404: no message", 1, id="404"),
        pytest.param(Answer(status=304), SourceUnavailable, "answered 304", 1, id="304"),
        pytest.param(no_data(), SourceUnavailable, "no data for 2026", 1, id="{}"),
        pytest.param(empty(), SourceChanged, "an empty body", 1, id="empty"),
        pytest.param(truncated(), SourceChanged, "not JSON", 1, id="truncated"),
        pytest.param(html_error(200), SourceChanged, "an HTML page", 1, id="html 200"),
        pytest.param(Answer(body=b"[]"), SourceChanged, "a list in place of an object", 1, id="list"),
        pytest.param(
            Answer(body=b"zip", headers={"Content-Encoding": "gzip"}), SourceChanged, "decompress", 1, id="not gzip"
        ),
    ],
)
def test_a_failure_says_what_happened_and_is_asked_again_only_where_that_may_help(
    api, http, answer, error, says, requests
):
    api.answer(answer, times=None)
    with pytest.raises(error, match=says) as caught:
        Factors().fetch(request(api, http))
    assert api.count() == requests
    assert "Traceback" not in caught.value.detail
    assert caught.value.problem()["code"] == error.code


@pytest.mark.parametrize("answer", [server_error(), too_many_requests(), broken_off(), html_error()])
def test_a_failure_that_passes_is_not_noticed(api, http, answer):
    api.answer(answer, times=2)
    assert Factors().fetch(request(api, http)).factors == dict(FACTORS_GCO2_KWH)
    assert api.count() == 3


@pytest.mark.parametrize("answer", [slow(3), dripping()], ids=["late", "a byte at a time"])
def test_a_time_out_bounds_the_whole_answer_and_is_tried_again(api, answer):
    api.answer(answer, times=None)
    with (
        Http(timeout_s=0.8, attempts=2, wait_s=0.01) as http,  # time for a busy machine to send the question
        pytest.raises(SourceUnavailable, match=r"did not answer within 0\.8 s.*PYLON_HTTP_TIMEOUT_S"),
    ):
        Factors().fetch(request(api, http))
    assert api.count() == 2


def test_retry_after_is_waited_for(api, http):
    api.answer(too_many_requests("1"))
    Factors().fetch(request(api, http))
    first, second = api.requests
    assert second.at_s - first.at_s >= 1


def test_a_server_that_is_not_there_is_tried_once_more_at_most():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started_s = time.monotonic()
    with Http(timeout_s=20, attempts=10, wait_s=5) as http:
        for url in (f"http://127.0.0.1:{port}/intensity", "http://nowhere.invalid/intensity"):
            with pytest.raises(SourceUnavailable, match=r"cannot be reached.*PYLON_GRID=simulated"):
                http.get_json(url)
    assert time.monotonic() - started_s < 5, "nine waits of 5 s and more would show"


@pytest.mark.parametrize("url", ["http://x:port/", "ftp://example.org/x", "nowhere", ""])
def test_an_address_that_is_none_is_named(http, url):
    with pytest.raises(SourceUnavailable, match="cannot be asked"):
        http.get_json(url)


def test_a_body_beyond_the_limit_is_refused_however_small_it_packs(api):
    with Http(timeout_s=5, attempts=3, max_body_bytes=100_000) as http:
        assert http.get_json(f"{api.url}/intensity/2026-08-17T08:00Z/fw24h")
        with pytest.raises(SourceChanged, match="more than 100000 bytes"):
            http.get_json(f"{api.url}/regional/intensity/2026-08-17T08:00Z/fw48h")
    assert api.count("/regional") == 1


def test_a_later_request_that_fails_leaves_the_earlier_ones_rows(api, http):
    api.answer(server_error(), times=None, path="/intensity/2026-08-17T08:00Z/pt24h")
    batch = National().fetch(request(api, http))
    assert len(batch.national) == 97
    assert len(batch.missing) == 47
    (rejection,) = batch.rejected
    assert rejection.what == "/intensity/2026-08-17T08:00Z/pt24h"
    assert "answered 500" in rejection.why


def test_a_closed_reader_opens_again(api, http):
    assert http.get_json(f"{api.url}/intensity/factors")
    http.close()
    assert http.get_json(f"{api.url}/intensity/factors")


def test_a_retry_prints_nothing(api):
    # In a process of its own: pytest's log handlers would hide a line that lands on the terminal.
    api.answer(server_error(), times=1)
    reader = "from pylon.sources.http import Http; Http(timeout_s=5, attempts=3, wait_s=0.01)"
    read = f"{reader}.get_json('{api.url}/intensity')"
    ran = subprocess.run([sys.executable, "-c", read], capture_output=True, check=True, timeout=60)
    assert (ran.stdout, ran.stderr, api.count()) == (b"", b"", 2)


def test_nobody_waits_for_a_turn_at_a_host_that_cannot_be_reached():
    faults = []

    def ask(http):
        for _ in range(3):
            with pytest.raises(SourceUnavailable, match="cannot be reached") as caught:
                http.get_json("http://127.0.0.1:1/", apart_s=3600)
            faults.append(caught.value)

    with Http(timeout_s=5, attempts=1) as http:
        asking = threading.Thread(target=ask, args=(http,), daemon=True)
        asking.start()
        asking.join(20)
    assert len(faults) == 3
