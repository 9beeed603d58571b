"""Forecasts of the time: errors measured and drawn alike, revised and not redrawn, and what is not fit withheld."""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta

import numpy as np

from pylon.services._backtest_vintages import FAR_ERROR_GCO2_KWH, LEADS, Errors, fit, served, vintages
from tests.unit.services.backtests import DAY, STARTS_AT, made_up

ERRORS = Errors(last_sd_gco2_kwh=10.0, last_alike=0.7, news_sd_gco2_kwh=4.0, demand_sd_mw=900.0, demand_alike=0.8)


def test_what_was_recorded_is_measured() -> None:
    record = made_up(days=60)
    alike = np.zeros(record.half_hours)
    drawn = np.random.default_rng(5).normal(0, 12 * math.sqrt(1 - 0.6**2), alike.size)
    for row in range(1, alike.size):
        alike[row] = 0.6 * alike[row - 1] + drawn[row]

    errors = fit(dataclasses.replace(record, carbon_forecast=record.carbon_actual + alike))

    assert abs(errors.last_sd_gco2_kwh - 12) < 1
    assert abs(errors.last_alike - 0.6) < 0.06
    mean_square = errors.last_sd_gco2_kwh**2 + errors.news_sd_gco2_kwh**2 * (LEADS - 1) / 2
    assert math.isclose(math.sqrt(mean_square), FAR_ERROR_GCO2_KWH)


def test_the_last_forecast_is_the_recorded_one_and_errors_grow_with_the_lead() -> None:
    record = made_up(days=40)
    given, demand = vintages(record, record.carbon_actual, ERRORS, seed=1)

    assert np.array_equal(given[:, 0], record.carbon_forecast)
    assert np.array_equal(demand, record.demand_forecast_mw)
    spread = []
    for lead in (0, 8, 24, 96):
        rows = record.half_hours - lead
        spread.append(float((given[:rows, lead] - record.carbon_actual[lead:]).std()))
    assert spread == sorted(spread)
    assert abs(spread[-1] - math.hypot(9, 4 * math.sqrt(96))) < 8


def test_a_forecast_is_revised_and_its_neighbours_err_alike() -> None:
    record = made_up(days=40)
    errors = dataclasses.replace(ERRORS, last_sd_gco2_kwh=0.0)
    given, _ = vintages(
        dataclasses.replace(record, carbon_forecast=record.carbon_actual), record.carbon_actual, errors, 1
    )

    news = given[:-LEADS, 11] - given[1 : 1 - LEADS, 10]  # of one half hour, from one vintage to the next
    neighbours = given[:-LEADS, 12] - given[1 : 1 - LEADS, 11]
    assert abs(news.std() - 4) < 0.4
    assert 0.6 < np.corrcoef(news, neighbours)[0, 1] < 0.8


def test_stretches_agree_where_they_overlap() -> None:
    record = dataclasses.replace(made_up(days=9), carbon_forecast=np.full(9 * DAY, math.nan))
    later = record.cut(STARTS_AT + timedelta(days=3), record.ends_at)

    whole, _ = vintages(record, record.carbon_actual, ERRORS, seed=7)
    part, _ = vintages(later, later.carbon_actual, ERRORS, seed=7)
    other, _ = vintages(later, later.carbon_actual, ERRORS, seed=8)

    assert np.array_equal(whole[3 * DAY :], part, equal_nan=True)
    assert not np.array_equal(part, other, equal_nan=True)


def test_nothing_is_forecast_beyond_the_record() -> None:
    record = made_up(days=3)
    given, _ = vintages(record, record.carbon_actual, ERRORS, seed=1)

    assert np.isnan(given[-1, 1:]).all()
    assert not np.isnan(given[: DAY - 1]).any()


def test_a_false_zero_gives_way_to_the_forecast_before_it() -> None:
    given = np.arange(100.0, 100.0 + 4 * LEADS).reshape(4, LEADS)
    faulty = given.copy()
    faulty[1, 5] = faulty[2, 4] = faulty[0, 3] = 0.0

    found = served(faulty, STARTS_AT)

    assert found[1, 5] == given[0, 6], "what was said of that half hour before"
    assert found[2, 4] == given[0, 6]
    assert np.isnan(found[0, 3]), "nothing was said before: unknown, never 0"
    same = faulty != 0
    assert np.array_equal(found[same], given[same])
