"""NESO's data portal over real HTTP: how often it is asked, what is stored of its files, and how they may fail."""

from __future__ import annotations

import csv
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pylon.errors import SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours
from pylon.services import ingest
from pylon.services.ask_sources import Asked, ask_sources, source_report
from pylon.services.reports import Outcome, SourceReport
from pylon.sources.feed import Batch, NationalReading, Request, Source, ranks
from pylon.sources.http import Http
from pylon.sources.neso import SOURCES, DayAhead, DemandUpdate, TwoToFourteenDays
from pylon.store.database import Database
from tests.conftest import LOGIN
from tests.doubles.answers import server_error
from tests.doubles.neso import Fault, Neso
from tests.doubles.neso_files import DAY_AHEAD, TWO_TO_FOURTEEN, UPDATE, instant
from tests.doubles.postgres import Cluster
from tests.doubles.recordings import recordings_folder

DAY = timedelta(days=1)
GRID = "pylon_neso_tests"
NDF = "elexon_ndf"
RANKS = {**ranks(SOURCES), NDF: 40}
SHOW, PACKAGE, SEARCH = ACTIONS = ("/resource_show", "/package_show", "/datastore_search")


class Hasty(Http):
    """The real reader without its waits between requests, for tests that are not about them."""

    def get_json(self, url: str, *, apart_s: float = 0.0, **more: Any) -> Any:
        return super().get_json(url, **more)

    def get_text(self, url: str, *, apart_s: float = 0.0, **more: Any) -> str:
        return super().get_text(url, **more)


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Hasty(timeout_s=5, attempts=3, wait_s=0.01) as http:
        yield http


@pytest.fixture(scope="module")
def served() -> Iterator[Neso]:
    with Neso() as portal:
        yield portal


@pytest.fixture
def portal(served: Neso) -> Neso:
    served.reset()
    return served


@pytest.fixture(scope="module")
def grid(cluster: Cluster, template: str) -> Iterator[Database]:
    cluster.create(GRID, template)
    with Database(cluster.dsn(GRID, LOGIN), pool_size=2) as opened:
        yield opened
    cluster.drop(GRID)


@pytest.fixture
def database(grid: Database, cluster: Cluster) -> Database:
    """One database for the module, without grid data when a test begins: a clone for each would take longer."""
    with cluster.superuser(GRID) as session:
        session.execute("delete from public.grid_signals")
        months = session.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'public.signal_vintages'::regclass"
        ).fetchall()
        for (name,) in months:
            session.execute(f"drop table {name}".encode())
    return grid


@pytest.fixture
def recordings() -> Path:
    return recordings_folder()


def request(portal: Neso, http: Http, marker: str | None = None) -> Request:
    now = portal.clock.now
    return Request(
        now=now,
        start=floor(now) - DAY,
        end=floor(now) + 2 * DAY,
        seed=1,
        http=http,
        base_urls={"neso": portal.url},
        marker=marker,
    )


def demand(batch: Batch) -> dict[datetime, int | None]:
    return {row.starts_at: row.demand_mw for row in batch.national}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


Reports = Mapping[str, SourceReport]


def ask_all(sources: Sequence[Source], asked: Request, last: Reports) -> list[Asked]:
    return ask_sources(sources, asked, grid="real", last=last, stopwatch=time.perf_counter)


def run(
    portal: Neso, http: Http, database: Database, sources: Sequence[Source] = SOURCES, last: Reports | None = None
) -> dict[str, SourceReport]:
    """Ask the sources and store what they give, as a pipeline run does; return their reports by name."""
    last, now = last or {}, portal.clock.now
    reports = {}
    with database.as_ingest() as transaction:
        for one in ask_all(sources, request(portal, http), last):
            terms, stored = one.source.terms, ingest.Stored(0, 0, 0)
            if one.batch is not None:
                label = terms.data_source
                stored = ingest.store_batch(transaction, label, one.batch, ranks=RANKS, run_id=UUID(int=1), now=now)
            reports[terms.name] = source_report(one, stored, withheld=0, now=now, last=last.get(terms.name))
    return reports


def stored(database: Database) -> dict[datetime, tuple[str, int]]:
    """Return who said what of the demand of each half hour that is stored."""
    query = "select \"timestamp\", provenance ->> 'demand' as label, demand_mw from public.grid_signals"
    with database.as_ingest() as transaction:
        rows = transaction.statement(query.encode()).fetchall()
    return {row["timestamp"]: (row["label"], row["demand_mw"]) for row in rows}


# What it says


def test_the_first_run_reads_every_file_whole(portal, http, database):
    reports = run(portal, http, database)
    for table, source, rows, half_hours_given, first in (
        (DAY_AHEAD, DayAhead(), 12, 48, "2026-10-08T23:00"),
        (TWO_TO_FOURTEEN, TwoToFourteenDays(), 624, 624, "2026-10-09T23:00"),
        (UPDATE, DemandUpdate(), 2496, 1792, "2026-08-31T23:00"),
    ):
        report = reports[source.terms.name]
        assert (report.outcome, report.rows_seen, report.rows_written) == (Outcome.OK, rows, half_hours_given)
        assert (report.rejected, report.gaps) == ([], [])
        assert report.marker == portal.edition(table).replace(tzinfo=None).isoformat()
        mine = {start: mw for start, (label, mw) in stored(database).items() if label == source.terms.name}
        assert list(half_hours(at(first), max(mine) + HALF_HOUR)) == sorted(mine)
        assert len(mine) == half_hours_given
    values = stored(database)
    edition = portal.edition(TWO_TO_FOURTEEN)
    for start, (label, mw) in values.items():
        if label == "neso_demand_update":
            assert mw == portal.measured(start)
        if label == "neso_2_14_days":
            assert mw == portal.forecast(start, edition)
    ahead = portal.edition(DAY_AHEAD)
    for moment in ("2026-10-08T23:00", "2026-10-09T02:30", "2026-10-09T22:30"):
        assert values[at(moment)] == ("neso_day_ahead", portal.forecast(at(moment), ahead))


def test_what_is_to_come_or_not_filled_in_yet_is_absent(portal, http, database):
    run(portal, http, database, [DemandUpdate()])
    newest = max(stored(database))
    edition = floor(portal.edition(UPDATE))
    assert newest == edition - 3 * HALF_HOUR, (
        "the two newest measured rows hold 0, and those after them are forecasts"
    )


def test_terms_say_whose_it_is_and_what_is_allowed():
    for source in SOURCES:
        terms = source.terms
        assert (terms.data_source, terms.attribution) == (terms.name, "Supported by National Energy SO Open Data")
        assert terms.limits.apart_s == 1.0
    assert [source.terms.rank for source in SOURCES] == [30, 20, 45]


def test_the_recorded_files_come_through_unchanged(recordings, http, database):
    folder = recordings / "recordings" / "neso"

    def rows(name: str) -> list[dict[str, str]]:
        with (folder / name).open(newline="") as file:
            return list(csv.DictReader(file))

    with Neso.recorded(recordings) as portal:
        reports = run(portal, http, database)
        points = demand(DayAhead().fetch(request(portal, http)))
    assert {name: report.rows_seen for name, report in reports.items()} == {
        "neso_day_ahead": 12,
        "neso_2_14_days": 48,
        "neso_demand_update": 8,
    }
    assert all(report.outcome is Outcome.OK and not report.rejected for report in reports.values())
    values = stored(database)
    for row in rows("ng-demand-14da-hh_20261010.csv"):
        start = at(row["GDATETIME"]) - HALF_HOUR
        assert values.pop(start) == ("neso_2_14_days", int(row["NATIONALDEMAND"]))
    middles = ["23:00", "00:00", "01:00", "02:30", "04:30", "06:30", "09:00", "11:30", "13:30", "16:30", "18:00"]
    for row, middle in zip(rows("ng_demand_1da_20261009.csv"), [*middles, "22:30"], strict=True):
        day = "2026-10-08" if middle == "23:00" else "2026-10-09"
        assert points[at(f"{day}T{middle}")] == int(row["FORECASTDEMAND"])
    assert len(points) == 48
    assert {start: mw for start, (label, mw) in values.items() if label == "neso_day_ahead"} == points
    measured = {start: mw for start, (label, mw) in values.items() if label == "neso_demand_update"}
    assert measured == {
        at(f"2026-10-08T0{time}"): mw for time, mw in (("5:00", 21675), ("5:30", 24061), ("6:00", 26026))
    }
    assert reports["neso_2_14_days"].half_hours_missing == 12 * 48, "one day of the 13 was recorded"


def test_the_demand_of_2023_equals_what_was_published(recordings, http):
    with Neso.replay(recordings, now=datetime(2023, 2, 1, 12, tzinfo=UTC)) as portal:
        batch = DemandUpdate().fetch(request(portal, http))
        ahead = DayAhead().fetch(request(portal, http))
    since = at("2023-01-01T00:00")
    of_january = {start: mw for start, mw in demand(batch).items() if since <= start < at("2023-02-01T00:00")}
    assert of_january == {start: portal.measured(start) for start in half_hours(since, at("2023-02-01T00:00"))}
    errors_mw = [abs(mw - portal.forecast(start, portal.clock.now)) for start, mw in demand(ahead).items()]
    assert len(errors_mw) == 48
    assert sum(errors_mw) / 48 < 600, "twelve points stand for the day's half hours"


# How often it is asked


def test_an_unchanged_file_costs_one_small_request(portal, http, database):
    first = run(portal, http, database)
    portal.requests.clear()
    portal.clock.advance(DAY - timedelta(hours=2))
    with_marker = {name: report for name, report in first.items() if name != "neso_demand_update"}
    later = run(portal, http, database, [DayAhead(), TwoToFourteenDays()], with_marker)
    assert later["neso_2_14_days"].outcome is Outcome.UNCHANGED
    assert later["neso_2_14_days"].marker == first["neso_2_14_days"].marker
    assert later["neso_day_ahead"].outcome is Outcome.OK, "replaced at noon"
    assert portal.counts() == Counter({SHOW: 2, SEARCH: 1})


def test_every_source_searches_once_at_most_and_not_at_all_while_nothing_changes(portal, http, database):
    reports = run(portal, http, database)
    assert (portal.count(SHOW), portal.searches()) == (3, 2)
    portal.requests.clear()
    for _ in range(3):
        portal.clock.advance(HALF_HOUR)
        reports = run(portal, http, database, last=reports)
    assert {report.outcome for report in reports.values()} == {Outcome.UNCHANGED, Outcome.NOT_DUE}
    assert portal.counts() == Counter({SHOW: 2 * 3}), "the measured demand is asked for once a day"


def test_a_new_edition_is_read_and_kept_beside_the_old(portal, http, database):
    first = run(portal, http, database, [DayAhead()])
    before = stored(database)
    portal.clock.now = at("2026-10-08T11:42")
    second = run(portal, http, database, [DayAhead()], first)
    assert second["neso_day_ahead"].marker == "2026-10-08T11:06:02.118000"
    assert stored(database) != before
    with database.as_ingest() as transaction:
        rows = transaction.statement(
            b"select source, half_hour_values from public.signal_vintages where series = 'national.demand_mw'"
            b" order by recorded_at"
        ).fetchall()
    assert [row["source"] for row in rows] == ["neso_day_ahead"] * 2
    assert [list(row["half_hour_values"]) for row in rows] == [
        [mw for _, (_, mw) in sorted(values.items())] for values in (before, stored(database))
    ]


def test_what_is_read_as_the_table_is_being_filled_is_read_again(portal, http, database):
    portal.faults.add(Fault.TABLE_BEHIND)
    portal.clock.now = at("2026-10-08T08:12")
    early = run(portal, http, database, [DayAhead()])
    assert early["neso_day_ahead"].outcome is Outcome.OK
    assert early["neso_day_ahead"].marker is None
    assert early["neso_day_ahead"].half_hours_missing == 48, "tomorrow; the table is still of today"
    assert max(stored(database)) == at("2026-10-08T22:30")
    portal.clock.advance(HALF_HOUR)
    later = run(portal, http, database, [DayAhead()], early)
    assert (later["neso_day_ahead"].outcome, later["neso_day_ahead"].half_hours_missing) == (Outcome.OK, 0)
    assert max(stored(database)) == at("2026-10-09T22:30")


def test_a_search_that_fails_is_left_to_the_next_run_and_a_smaller_request_is_not(portal, http):
    portal.answer(server_error(503), times=1, path=SHOW)
    portal.answer(server_error(503), times=None, path=SEARCH)
    with pytest.raises(SourceUnavailable, match="503"):
        DayAhead().fetch(request(portal, http))
    assert portal.counts() == Counter({SHOW: 2, SEARCH: 1})


def test_all_at_once_keep_to_the_portals_limits(portal):
    portal.enforces_limits = True
    with Http(timeout_s=10, attempts=1) as http:
        asked = ask_all(SOURCES, request(portal, http), {})
    assert {one.source.terms.name: one.fault for one in asked} == dict.fromkeys(
        source.terms.name for source in SOURCES
    )
    times_s = [seen.at_s for seen in portal.requests if seen.path in ACTIONS]
    assert len(times_s) == 5
    assert all(later - earlier > 0.9 for earlier, later in itertools.pairwise(times_s))


def test_the_stand_in_blocks_who_asks_too_often(portal, http):
    portal.enforces_limits = True
    with pytest.raises(SourceUnavailable, match="429: an HTML page"):
        DayAhead().fetch(request(portal, http))


def test_the_stand_in_pages_as_ckan_does(portal, http):
    def search(query: str) -> dict[str, Any]:
        url = f"{portal.url}/datastore_search?resource_id={TWO_TO_FOURTEEN.id}{query}"
        return dict(http.get_json(url)["result"])

    assert (len(search("")["records"]), search("")["limit"], search("")["total"]) == (100, 100, 624)
    last = search("&limit=99999&offset=600&fields=GDATETIME,NATIONALDEMAND")
    assert (len(last["records"]), last["limit"], set(last["records"][0])) == (
        24,
        32_000,
        {"GDATETIME", "NATIONALDEMAND"},
    )
    newest = search("&sort=GDATETIME desc&limit=1")["records"]
    assert newest[0]["_id"] == 624
    with pytest.raises(SourceUnavailable, match="404: Not found: Resource was not found"):
        http.get_json(f"{portal.url}/datastore_search?resource_id=none")


# Whom to believe


@pytest.mark.parametrize("order", [*itertools.permutations(["neso_2_14_days", "neso_day_ahead", NDF])])
def test_the_nearer_forecast_is_believed_whatever_the_order_they_come_in(portal, http, database, order):
    portal.clock.now = at("2026-10-07T12:00")
    far = TwoToFourteenDays().fetch(request(portal, http))
    portal.clock.now = at("2026-10-08T12:00")
    near = DayAhead().fetch(request(portal, http))
    evening = at("2026-10-09T17:00")
    nearest = Batch(national=[NationalReading(starts_at=evening, demand_mw=31_234)], rows_seen=1)
    batches = {"neso_2_14_days": far, "neso_day_ahead": near, NDF: nearest}
    for hour, label in enumerate(order):
        with database.as_ingest() as transaction:
            now = portal.clock.now + timedelta(hours=hour)
            ingest.store_batch(transaction, label, batches[label], ranks=RANKS, run_id=UUID(int=hour + 1), now=now)
    values = stored(database)
    assert values[evening] == (NDF, 31_234)
    for start in half_hours(at("2026-10-08T23:00"), at("2026-10-09T23:00")):
        assert start == evening or values[start] == ("neso_day_ahead", demand(near)[start])
    assert values[at("2026-10-09T23:00")] == ("neso_2_14_days", demand(far)[at("2026-10-09T23:00")])


def test_what_was_measured_takes_the_place_of_what_was_forecast(portal, http, database):
    first = run(portal, http, database)
    morning = at("2026-10-09T04:00")
    assert stored(database)[morning][0] == "neso_day_ahead"
    portal.clock.now = at("2026-10-09T09:12")
    second = run(portal, http, database, last=first)
    assert second["neso_demand_update"].outcome is Outcome.OK
    assert stored(database)[morning] == ("neso_demand_update", portal.measured(morning))
    assert stored(database)[at("2026-10-09T12:00")][0] == "neso_day_ahead"


# When the clocks change


@pytest.mark.parametrize(
    ("now", "periods", "ahead_rows"),
    [
        pytest.param("2026-03-28T13:00", 46, 624, id="tomorrow has 46"),
        pytest.param("2026-10-24T13:00", 50, 624, id="tomorrow has 50"),
        pytest.param("2026-03-24T13:00", 48, 622, id="a later day has 46"),
        pytest.param("2026-10-20T13:00", 48, 626, id="a later day has 50"),
    ],
)
def test_days_on_which_the_clocks_change_are_whole(portal, http, database, now, periods, ahead_rows):
    portal.clock.now = at(now)
    portal.measured = lambda start: 20_000 + int(start.timestamp()) // 1800 % 97
    portal.forecast = lambda start, _: 30_000 + int(start.timestamp()) // 1800 % 89
    reports = run(portal, http, database)
    tomorrow = portal.clock.now.astimezone(LONDON).date() + DAY
    starts = list(half_hours(instant(tomorrow, 0), instant(tomorrow, 2400)))
    values = stored(database)
    assert len(starts) == periods
    assert {values[start][0] for start in starts} == {"neso_day_ahead"}
    assert (reports["neso_day_ahead"].rejected, reports["neso_day_ahead"].gaps) == ([], [])
    ahead = {start: mw for start, (label, mw) in values.items() if label == "neso_2_14_days"}
    assert len(ahead) == ahead_rows
    assert ahead == {start: portal.forecast(start, start) for start in ahead}
    assert reports["neso_2_14_days"].gaps == []


@pytest.mark.parametrize("now", ["2026-04-02T13:00", "2026-10-29T13:00"])
def test_measured_demand_is_whole_across_a_change_of_the_clocks(portal, http, now):
    portal.clock.now = at(now)
    portal.measured = lambda start: 20_000 + int(start.timestamp()) // 1800 % 97
    batch = DemandUpdate().fetch(request(portal, http))
    assert (list(batch.missing), batch.rejected) == ([], [])
    values = demand(batch)
    assert list(values) == list(half_hours(min(values), max(values) + HALF_HOUR))
    assert values == {start: portal.measured(start) for start in values}


# How it fails


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of a source under a fault: how many half hours are stored, and what is reported."""

    stored: int
    rejected: int = 0
    missing: int = 0
    says: str = ""
    """Part of the first refusal's reason, or of the fault when nothing is stored."""
    alters: bool = False
    """Whether what is stored may differ from what would be without the fault."""


AHEAD, FAR, PAST = DayAhead(), TwoToFourteenDays(), DemandUpdate()
FATES = [
    (Fault.FAILURE_WITH_200, AHEAD, Fate(stored=0, says="did not succeed: The search index is not there")),
    (Fault.FAILURE_WITH_200, PAST, Fate(stored=0, says="did not succeed: The search index is not there")),
    (Fault.MADE_ANEW, AHEAD, Fate(stored=48)),
    (Fault.MADE_ANEW, PAST, Fate(stored=1792)),
    (Fault.NOT_FOUND_WITH_200, FAR, Fate(stored=624)),
    (Fault.RENAMED, AHEAD, Fate(stored=0, says="nor one named 'Day Ahead National Demand Forecast'")),
    (Fault.NO_TIME, AHEAD, Fate(stored=48)),
    (Fault.NUMBERS_AS_TEXT, AHEAD, Fate(stored=48)),
    (Fault.NUMBERS_AS_TEXT, FAR, Fate(stored=624)),
    (Fault.ISO_DATES, AHEAD, Fate(stored=48)),
    (Fault.ISO_TIMES, AHEAD, Fate(stored=48)),
    (Fault.PADDED_POINTS, AHEAD, Fate(stored=48)),
    (Fault.OUT_OF_ORDER, AHEAD, Fate(stored=48)),
    (Fault.OUT_OF_ORDER, FAR, Fate(stored=624)),
    (Fault.OUT_OF_ORDER, PAST, Fate(stored=1792)),
    (Fault.OLD_DATES, PAST, Fate(stored=1792)),
    (Fault.OLDER_DATES, PAST, Fate(stored=1792)),
    (Fault.NO_ROWS, AHEAD, Fate(stored=0, says="no data in 0 rows")),
    (Fault.NO_ROWS, FAR, Fate(stored=0, says="no data in 0 rows")),
    (Fault.NO_ROWS, PAST, Fate(stored=0, says="no data in 0 rows")),
    (Fault.CUT_SHORT, AHEAD, Fate(stored=0, says="gave 6 rows of 12")),
    (Fault.CUT_SHORT, FAR, Fate(stored=0, says="gave 312 rows of 624")),
    (Fault.NOT_REPLACED, AHEAD, Fate(stored=0, says="still has the file for 2026-10-06, which is past")),
    (Fault.THREE_POINTS, AHEAD, Fate(stored=0, says="demand of 2026-10-09: it has 3 cardinal points")),
    (Fault.POINTS_LOST, AHEAD, Fate(stored=48, alters=True)),
    (
        Fault.SAME_ANCHOR,
        AHEAD,
        Fate(stored=48, rejected=1, says="another row is for the same half hour", alters=True),
    ),
    (Fault.WRONG_CTIME, FAR, Fate(stored=623, rejected=1, missing=1, says="GDATETIME says that it ends at 1030")),
    (Fault.HALF_HOURS_LOST, FAR, Fate(stored=622, missing=2)),
    (Fault.ZERO_BETWEEN, PAST, Fate(stored=1791, missing=1)),
    (
        Fault.NO_SUCH_PERIOD,
        PAST,
        Fate(stored=1791, rejected=1, missing=1, says="no settlement period 51; it has 48"),
    ),
    (Fault.IMPOSSIBLE, AHEAD, Fate(stored=48, rejected=3, says="FORECASTDEMAND is 0 MW", alters=True)),
    (Fault.IMPOSSIBLE, FAR, Fate(stored=621, rejected=3, missing=3, says="NATIONALDEMAND is 0 MW")),
    (Fault.IMPOSSIBLE, PAST, Fate(stored=1789, rejected=3, says="ND is -1 MW")),
    (Fault.OTHER_COLUMNS, AHEAD, Fate(stored=0, says="every row was refused (12)")),
    (Fault.OTHER_COLUMNS, FAR, Fate(stored=0, says="every row was refused (624)")),
    (Fault.OTHER_COLUMNS, PAST, Fate(stored=0, says="no column SETTLEMENT_DATE")),
]


def test_every_fault_has_its_fate():
    assert {fault for fault, _, _ in FATES} | {Fault.TABLE_BEHIND} == set(Fault)


@pytest.mark.parametrize(
    ("fault", "source", "fate"), FATES, ids=[f"{fault.name} {source.terms.name}" for fault, source, _ in FATES]
)
def test_what_a_fault_leaves_is_stored_and_the_rest_reported(portal, http, database, fault, source, fate):
    clean = demand(source.fetch(request(portal, http)))
    portal.faults.add(fault)
    portal.requests.clear()
    report = run(portal, http, database, [source])[source.terms.name]
    values = stored(database)
    assert len(values) == report.rows_written == fate.stored
    assert (report.rows_rejected, report.half_hours_missing) == (fate.rejected, fate.missing)
    assert fate.alters or values == {start: (source.terms.name, clean[start]) for start in values}
    assert portal.searches() <= 1
    if fate.stored:
        assert report.outcome is Outcome.OK
        assert fate.says in (report.rejected[0].why if report.rejected else "")
    else:
        assert (report.outcome, report.marker) == (Outcome.FAILED, None)
        assert report.fault is not None
        assert fate.says in report.fault["detail"]


def test_a_file_made_anew_is_found_by_its_name_and_read_once(portal, http, database):
    first = run(portal, http, database, [DayAhead()])
    portal.faults.add(Fault.MADE_ANEW)
    portal.requests.clear()
    anew = run(portal, http, database, [DayAhead()], first)
    assert anew["neso_day_ahead"].outcome is Outcome.OK, "another file, though it has the time of the old"
    assert portal.counts() == Counter({SHOW: 1, PACKAGE: 1, SEARCH: 1})
    again = run(portal, http, database, [DayAhead()], anew)
    assert again["neso_day_ahead"].outcome is Outcome.UNCHANGED
    assert portal.searches() == 1


def test_a_file_that_does_not_say_when_it_changed_is_always_read(portal, http, database):
    portal.faults.add(Fault.NO_TIME)
    reports = run(portal, http, database, [DayAhead()])
    reports = run(portal, http, database, [DayAhead()], reports)
    assert reports["neso_day_ahead"].marker is None
    assert (reports["neso_day_ahead"].rows_unchanged, portal.searches()) == (48, 2)


def test_points_that_are_lost_leave_the_evening_level(portal, http):
    portal.faults.add(Fault.POINTS_LOST)
    values = demand(DayAhead().fetch(request(portal, http)))
    last = at("2026-10-09T13:30")
    assert {values[start] for start in half_hours(last, at("2026-10-09T23:00"))} == {
        portal.forecast(last, portal.edition(DAY_AHEAD))
    }
