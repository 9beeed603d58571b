"""The pipeline without a database: what it asks, and how its outcome follows from its sources'."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pylon import pipeline
from pylon.errors import SourceUnavailable
from pylon.ontology.enums import RunStatus
from pylon.services.ask_sources import Asked
from pylon.settings import Settings
from tests.doubles.scripted_source import EMPTY, Scripted

NOW = datetime(2026, 11, 22, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def this(behind: timedelta | None = None) -> pipeline.Run:
    return pipeline.Run(
        run_id=UUID(int=1), now=NOW, clock=lambda: NOW, operator_id=UUID(int=2), trigger="test", behind=behind
    )


@pytest.mark.parametrize(
    ("behind", "start"),
    [
        (None, datetime(2026, 11, 15, 9, 0, tzinfo=UTC)),  # neither has ever answered
        (timedelta(0), datetime(2026, 11, 22, 9, 0, tzinfo=UTC)),
        (3 * DAY, datetime(2026, 11, 19, 9, 0, tzinfo=UTC)),
    ],
)
def test_all_are_asked_for_the_same_half_hours_around_now(behind, start):
    api, other = Scripted("one", frozenset()), Scripted("other", frozenset())
    settings = Settings(seed=11, http_attempts=1, elexon_url="http://127.0.0.1:9/elexon")  # type: ignore[arg-type]
    pipeline._ask(settings, this(behind), [api, other], {})
    for (request,) in (api.asked, other.asked):
        assert (request.start, request.end) == (start, datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
        assert (request.now, request.seed) == (NOW, 11)
        assert request.base_urls["elexon"] == "http://127.0.0.1:9/elexon"


GOOD, BAD, NOT_DUE = {"batch": EMPTY}, {"fault": SourceUnavailable("No.")}, {}


@pytest.mark.parametrize(
    ("became", "status"),
    [
        ((GOOD, GOOD), RunStatus.SUCCEEDED),
        ((GOOD, BAD), RunStatus.PARTIAL),
        ((BAD, BAD), RunStatus.FAILED),
        ((GOOD, NOT_DUE), RunStatus.SUCCEEDED),
        ((BAD, NOT_DUE), RunStatus.FAILED),
        ((NOT_DUE, NOT_DUE), RunStatus.SUCCEEDED),
    ],
)
def test_a_run_is_as_good_as_the_sources_it_asked(became, status):
    asked = [Asked(source=Scripted("one", frozenset()), **words) for words in became]
    assert pipeline._status(asked) is status
