"""Which addresses of the Carbon Intensity API a request leads to, and what becomes of their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylon.errors import SourceChanged, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, half_hours
from pylon.ontology.carbon import FACTORS_GCO2_KWH
from pylon.ontology.enums import Fuel
from pylon.sources.carbon_intensity import DATA_SOURCE, SOURCES, Factors, Generation, National, Regional
from pylon.sources.feed import Request, Supply
from tests.doubles.carbon_rows import (
    JSON,
    MIX,
    NOW,
    PRESENT,
    VALID,
    national,
    period,
    places,
    put,
    region,
    regional,
)
from tests.doubles.carbon_series import ending_in


@dataclass
class Answers:
    """Answers by path in place of a network: a body, or an error to raise; `asked` says which were wanted."""

    by_path: dict[str, Any]
    otherwise: Any = None
    asked: list[str] = field(default_factory=list)

    def get_json(self, url: str) -> Any:
        path = url.removeprefix("https://api.test")
        self.asked.append(path)
        answer = self.by_path.get(path, self.otherwise)
        if isinstance(answer, Exception):
            raise answer
        return answer


def request(answers: Answers, *, start: timedelta = -timedelta(hours=24), end: timedelta = timedelta(hours=48)):
    return Request(
        now=NOW,
        start=PRESENT + start,
        end=PRESENT + end,
        seed=1,
        http=answers,
        base_urls={"carbon_intensity": "https://api.test/"},
    )


FORECAST = "/intensity/2026-08-17T08:00Z/fw48h"
PAST = "/intensity/2026-08-17T08:00Z/pt24h"


def test_the_usual_request_is_the_forecast_and_a_day_back():
    ahead = [national(at) for at in half_hours(PRESENT - HALF_HOUR, PRESENT + timedelta(hours=48))]
    back = [national(at, actual=190) for at in half_hours(PRESENT - timedelta(hours=24.5), PRESENT)]
    answers = Answers({FORECAST: {"data": ahead}, PAST: {"data": back}})
    batch = National().fetch(request(answers))
    assert answers.asked == [FORECAST, PAST]
    assert [row.starts_at for row in batch.national] == list(
        half_hours(PRESENT - timedelta(hours=24), PRESENT + timedelta(hours=48))
    )
    assert batch.national[47].carbon_intensity_actual == 190, "the later answer holds where two overlap"
    assert (batch.rows_seen, batch.rejected, batch.missing) == (97 + 49, [], ())


def test_what_did_not_come_or_says_nothing_is_missing():
    answers = Answers({FORECAST: {"data": [national(), national(PRESENT + HALF_HOUR, forecast=None)]}, PAST: {}})
    batch = National().fetch(request(answers, start=timedelta(0), end=timedelta(hours=1.5)))
    assert answers.asked == [FORECAST]
    assert [row.starts_at for row in batch.national] == [PRESENT]
    assert batch.missing == (PRESENT + HALF_HOUR, PRESENT + 2 * HALF_HOUR)


@given(st.integers(49, 48 * 200), st.integers(-48 * 30, 96))
def test_a_longer_past_is_asked_for_in_ranges_that_cover_it(back, ahead):
    start, end = -back * HALF_HOUR, ahead * HALF_HOUR
    answers = Answers({}, otherwise={"data": [national(PRESENT - back * HALF_HOUR)]})
    if start >= end:
        return
    National().fetch(request(answers, start=start, end=end))
    covered: set[datetime] = set()
    for path in answers.asked:
        if path == FORECAST:
            continue
        since, until = (
            datetime.strptime(time, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC) for time in path.split("/")[2:]
        )
        assert timedelta(0) < until - since <= timedelta(days=13)
        covered |= set(ending_in(since, until))
    assert covered >= set(half_hours(PRESENT + start, min(PRESENT + end, PRESENT)))
    assert (FORECAST in answers.asked) == (ahead > 0)


def test_generation_goes_up_to_the_present_half_hour():
    rows = [period(at, generationmix=MIX) for at in half_hours(PRESENT - timedelta(hours=24.5), PRESENT)]
    answers = Answers(
        {
            "/generation/2026-08-17T08:00Z/pt24h": {"data": rows},
            "/generation": {"data": period(generationmix=MIX)},
        }
    )
    batch = Generation().fetch(request(answers))
    assert len(batch.national) == 49
    assert batch.national[-1].starts_at == PRESENT
    assert batch.national[-1].mix[Fuel.GAS] == Decimal("30.2")
    assert (batch.rows_seen, batch.missing) == (50, ())
    assert Generation().fetch(request(answers, start=HALF_HOUR)).rows_seen == 0


def test_regional_keeps_region_18_as_the_national_mix_ahead():
    rows = [regional(at) for at in half_hours(PRESENT - HALF_HOUR, PRESENT + timedelta(hours=2))]
    answers = Answers({"/regional/intensity/2026-08-17T08:00Z/fw48h": {"data": rows}})
    batch = Regional().fetch(request(answers, end=timedelta(hours=2.5)))
    assert batch.rows_seen == 5 * 18
    assert len(batch.regional) == 5 * 17
    assert {row.region_id for row in batch.regional} == set(range(1, 18))
    assert [row.starts_at for row in batch.national] == [PRESENT + n * HALF_HOUR for n in (1, 2, 3)]
    assert all(row.carbon_intensity_forecast is None and row.mix for row in batch.national)
    assert batch.missing == [PRESENT + 4 * HALF_HOUR]
    assert Regional().fetch(request(answers, end=timedelta(0))).rows_seen == 0


def test_a_half_hour_that_lacks_one_region_is_missing():
    lacking = period(regions=[region(number, None if number == 7 else 100) for number in range(1, 19)])
    batch = Regional().fetch(request(Answers({}, otherwise={"data": [lacking]}), end=HALF_HOUR))
    assert batch.missing == [PRESENT]
    assert len(batch.regional) == 17


def test_factors_are_given_by_name():
    batch = Factors().fetch(request(Answers({"/intensity/factors": {"data": [dict(FACTORS_GCO2_KWH)]}})))
    assert batch.factors == dict(FACTORS_GCO2_KWH)
    assert batch.rows_seen == 14


def test_a_later_failure_costs_only_what_it_would_have_brought():
    answers = Answers({FORECAST: {"data": [national()]}, PAST: SourceUnavailable("It answered 500.")})
    batch = National().fetch(request(answers))
    assert [row.starts_at for row in batch.national] == [PRESENT]
    (rejection,) = batch.rejected
    assert (rejection.what, rejection.why) == (PAST, "It answered 500.")
    assert PRESENT - HALF_HOUR in batch.missing


def test_a_first_failure_is_raised_and_nothing_more_is_asked():
    answers = Answers({}, otherwise=SourceUnavailable("It answered 500."))
    with pytest.raises(SourceUnavailable, match="500"):
        National().fetch(request(answers))
    assert answers.asked == [FORECAST]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.terms.name)
def test_no_data_is_unavailable_and_all_wrong_has_changed(source):
    for body in ({}, {"data": []}, {"error": {"message": "x"}}):
        with pytest.raises(SourceUnavailable, match=f"{source.terms.title}: no data for 2026-08-16T08:00Z"):
            source.fetch(request(Answers({}, otherwise=body)))
    with pytest.raises(SourceChanged, match=f"{source.terms.title}: every row was refused"):
        source.fetch(request(Answers({}, otherwise={"data": [{"from": -1, "to": "x"}]})))


def test_rows_of_other_half_hours_are_no_data():
    answers = Answers({}, otherwise={"data": [national(PRESENT + timedelta(days=9))]})
    with pytest.raises(SourceUnavailable, match="no data"):
        National().fetch(request(answers))


def test_every_quantity_is_supplied_under_one_licence():
    assert {supply for source in SOURCES for supply in source.terms.supplies} == {
        Supply.CARBON,
        Supply.MIX,
        Supply.REGIONAL,
        Supply.FACTORS,
    }
    assert len({source.terms.name for source in SOURCES}) == len(SOURCES)
    for source in SOURCES:
        assert source.terms.data_source == DATA_SOURCE == "carbon_intensity_api"
        assert source.terms.licence == "CC BY 4.0"
        assert "NESO" in source.terms.attribution
        assert not source.terms.is_simulated


@given(st.data())
def test_a_good_body_with_anything_put_anywhere_never_breaks(data):
    body = data.draw(st.sampled_from(VALID))
    body = put(body, data.draw(st.sampled_from(places(body))), data.draw(JSON))
    for source in SOURCES:
        try:
            batch = source.fetch(request(Answers({}, otherwise=body)))
        except (SourceChanged, SourceUnavailable):
            continue
        assert all(rejection.what and rejection.why.isprintable() for rejection in batch.rejected)
        assert all(PRESENT - timedelta(hours=24) <= row.starts_at for row in [*batch.national, *batch.regional])
