"""What NESO's portal may say of its files without a source failing in another way than with a `SourceError`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.errors import SourceChanged, SourceError, SourceUnavailable
from pylon.sources.feed import Batch, Request
from pylon.sources.neso import SOURCES, DayAhead, DemandUpdate
from tests.doubles.carbon_rows import JSON, places, put

NOW = datetime(2026, 10, 8, 9, 10, tzinfo=UTC)
TIME = "2026-10-08T08:04:11.502000"
FILE = {
    "id": DayAhead.place.id,
    "name": DayAhead.place.name,
    "url": "https://portal.test/a.csv",
    "last_modified": TIME,
}


@dataclass
class Portal:
    """Answers by action in place of a network; `show` may be an error."""

    show: Any
    package: Any = None
    search: Any = None
    text: str = ""

    def get_json(self, url: str, **_: Any) -> Any:
        action = url.removeprefix("https://portal.test/").partition("?")[0]
        answer = {"resource_show": self.show, "package_show": self.package, "datastore_search": self.search}[action]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_text(self, url: str, **_: Any) -> str:
        return self.text


def result(of: Any) -> dict[str, Any]:
    return {"success": True, "result": of}


def request(portal: Portal, marker: str | None = None) -> Request:
    return Request(
        now=NOW,
        start=NOW - timedelta(days=1),
        end=NOW + timedelta(days=2),
        seed=1,
        http=portal,  # type: ignore[arg-type]
        base_urls={"neso": "https://portal.test/"},
        marker=marker,
    )


ABSENT = SourceUnavailable("it answered 404", upstream_status=404)


def test_the_same_marker_is_all_that_is_read():
    batch = DayAhead().fetch(request(Portal(result(FILE), search=AssertionError("searched")), TIME))
    assert batch == Batch(rows_seen=0, marker=TIME, is_unchanged=True)


@pytest.mark.parametrize("time", [None, "", "soon", 5, "0001-01-01T00:00:00"])
def test_a_file_without_a_time_is_never_unchanged(time):
    portal = Portal(result({**FILE, "last_modified": time}), search=result({"records": [], "total": 0}))
    with pytest.raises(SourceUnavailable, match="no data in 0 rows"):
        DayAhead().fetch(request(portal, None if time is None else str(time)))


@pytest.mark.parametrize("identity", [None, "", 5, "\ud800", "né"])
def test_a_file_without_an_id_is_another_portal(identity):
    with pytest.raises(SourceChanged, match="has no id"):
        DayAhead().fetch(request(Portal(result({**FILE, "id": identity}))))


@pytest.mark.parametrize("url", [None, 5, "https://portal.test/\ud800"])
def test_a_file_without_an_address_is_another_portal(url):
    with pytest.raises(SourceChanged, match="no address"):
        DemandUpdate().fetch(request(Portal(result({**FILE, "url": url}))))


def test_a_failure_other_than_not_found_is_not_looked_around():
    broken = SourceUnavailable("it answered 503", upstream_status=503)
    with pytest.raises(SourceUnavailable, match="503"):
        DayAhead().fetch(request(Portal(broken, package=AssertionError("asked for the package"))))


@pytest.mark.parametrize(
    ("resources", "holds"),
    [
        (None, "none at all"),
        ([5], "none at all"),
        ([{"name": "A"}, {"name": None}], "'A', None"),
        ([{"name": f"{DayAhead.place.name}s"}], "'Day Ahead National Demand Forecasts'"),
    ],
)
def test_only_a_file_of_the_very_name_takes_the_place_of_one_that_is_gone(resources, holds):
    with pytest.raises(SourceChanged, match=f"which holds {holds}"):
        DayAhead().fetch(request(Portal(ABSENT, package=result({"resources": resources}))))


@given(st.sampled_from(SOURCES), st.sampled_from(["show", "package", "search"]), JSON, st.data())
def test_no_answer_in_any_place_breaks_a_source(source, action, junk, data):
    answers = {
        "show": result(FILE),
        "package": result({"resources": [FILE]}),
        "search": result({"records": [{"TARGETDATE": 20261009}], "total": 1}),
    }
    place = data.draw(st.sampled_from(places(answers[action])))
    answers[action] = put(answers[action], place, junk)
    show = ABSENT if action == "package" else answers["show"]
    portal = Portal(show, answers["package"], answers["search"], "SETTLEMENT_DATE,ND\n")
    with pytest.raises(SourceError):
        source.fetch(request(portal))
