from __future__ import annotations

import dataclasses
import itertools
import math
import random

import numba
import numpy as np
import pytest

from pylon.planning import _limits, _measure
from pylon.planning._ask import read_job
from pylon.planning.field import Weights

from .test_arrival import NAN, WEIGHTS, a_case, a_field, a_job

# Called from a kernel, as they are made to be.


@numba.njit
def measured(job, site, spans, signals, stress, pue, closed_by, gates, row):
    _measure.measure(job, site, spans, signals, stress, pue, closed_by, gates, row)


@numba.njit
def is_saving(cost, other):
    return _measure.saves(cost, other)


@numba.njit
def allowed(limit):
    return _measure.allowance(limit)


@numba.njit
def last_touched(ends, half_hours):
    return _measure.touched(ends, half_hours)


def row_of(job, field, weights, site, spans, *, closed_by=None, gate=_limits.NONE):
    """Return the row of an option at a site that is open, but for the half hours that are `closed_by` a limit."""
    cells = np.full((field.sites, field.half_hours), _limits.NONE)
    cells[site] = _limits.NONE if closed_by is None else closed_by
    row, gates = np.full(_measure.ROW, 1234.5), np.full(field.sites, gate)
    numbers = read_job(job, weights, field.sites).numbers
    measured(numbers, site, np.array(spans), field.signals, field.stress, field.pue, cells, gates, row)
    return row


def limit_of(job, field=None, weights=WEIGHTS, spans=((0.0, 60.0),), **closed) -> str | None:
    """Return the first limit that forbids an option at the first site."""
    limit = int(row_of(job, field or a_field(), weights, 0, spans, **closed)[-1])
    return (*_limits.NAMES, None)[limit]


def random_spans(dice: random.Random, half_hours: int) -> list[tuple[float, float]]:
    """Return one to three spans that begin and end on half minutes, some of them beyond the field."""
    edges = sorted(dice.sample(range(60 * half_hours + 120), 2 * dice.randint(1, 3)))
    return [(edges[i] / 2, edges[i + 1] / 2) for i in range(0, len(edges), 2)]


def added_up(job, field, weights, site, spans) -> list[float]:
    """Return the row without its limit, added up half minute by half minute."""
    halves = [half for begins, ends in spans for half in range(int(2 * begins), int(2 * ends))]
    columns = [half // 60 if half < 60 * field.half_hours else None for half in halves]
    mwh = job.it_power_mw * field.pue[site] / 120

    def each(values):
        return [
            values[column] if column is not None and math.isfinite(values[column]) else NAN for column in columns
        ]

    price, carbon, stress = each(field.price_gbp_mwh[site]), each(field.carbon_gco2_kwh[site]), each(field.stress)
    felt = [strain for strain in stress if not math.isnan(strain)]
    scarce = [scarcity for scarcity in each(field.scarcity_gbp_mwh[site]) if not math.isnan(scarcity)]
    return [
        mwh * sum(price),
        mwh * sum(carbon) * weights.carbon_price_gbp_t / 1000,
        mwh * sum(felt) * weights.stress_price_gbp_mwh if felt else NAN,
        0.0 if site == job.origin else job.migration_gbp,
        job.wait_gbp_per_hour * (spans[-1][1] - len(halves) / 2 - job.arrived_mins) / 60,
        mwh * sum(scarce),
        mwh * len(halves),
        mwh * sum(carbon),
        (len(stress) - len(felt)) / 2,
        mwh * sum(held_of(each, field, site)),
    ]


def held_of(each, field, site: int) -> list[float]:
    """Return what a carbon cap is held against: where nothing above the mean is known, the mean."""
    means = each(field.carbon_gco2_kwh[site])
    if field.carbon_upper_gco2_kwh is None:
        return means
    uppers = each(field.carbon_upper_gco2_kwh[site])
    return [mean if math.isnan(upper + mean) else upper for mean, upper in zip(means, uppers, strict=True)]


def with_an_infinite_cell(field, dice: random.Random):
    """Return a field where one price or carbon is infinite, which is to be as unknown as any."""
    name = dice.choice(["price_gbp_mwh", "carbon_gco2_kwh"])
    values = getattr(field, name).copy()
    values[dice.randrange(field.sites), dice.randrange(field.half_hours)] = dice.choice([-math.inf, math.inf])
    return dataclasses.replace(field, **{name: values})


def test_every_number_of_an_option_is_the_sum_over_its_half_minutes() -> None:
    in_part = beyond = apart = 0
    for seed in range(400):
        dice, (job, field, weights) = random.Random(seed), a_case(seed)
        if not field.sites:
            continue
        if seed % 4 == 0:
            field = with_an_infinite_cell(field, dice)
        spans, site = random_spans(dice, field.half_hours), dice.randrange(field.sites)
        job = dataclasses.replace(job, duration_mins=sum(ends - begins for begins, ends in spans))
        row = row_of(job, field, weights, site, spans)[:-1]
        expected = added_up(job, field, weights, site, spans)
        assert row.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), seed
        in_part += 0 < row[8] < job.duration_mins
        beyond += spans[-1][1] > 30 * field.half_hours
        apart += len(spans) > 1
    assert min(in_part, beyond, apart) > 50


def breaking(limits: set[str]) -> dict:
    """Return an option that breaks just these limits: six half hours, up to the end of nine and no later.

    Each limit of room and signals closes another half hour of them. A cap that is not to be broken is not set.
    """
    begins, codes = 91.0 if "horizon" in limits else 90.0, (6, 4, 2, 3, 5)  # the first limit neither first nor last
    closed_by = [code if _limits.NAMES[code] in limits else _limits.NONE for code in codes]
    job = a_job(
        duration_mins=180,
        latest_end_mins=begins + 179 if "latest_end" in limits else begins + 180,
        carbon_cap_gco2_kwh=149.0 if "carbon_cap" in limits else NAN,
        max_price_gbp=143.0 if "max_price" in limits else NAN,
        value_gbp=-1.0 if "value" in limits else NAN,
    )
    return {
        "job": job,
        "field": a_field(half_hours=9),
        "spans": [(begins, begins + 180)],
        "closed_by": [_limits.REGION] * 3 + closed_by + [_limits.NONE],  # the first three are not touched
        "gate": next((code for code in (0, 1) if _limits.NAMES[code] in limits), _limits.NONE),
    }


@pytest.mark.parametrize("limit", range(_limits.NONE + 1))
@pytest.mark.parametrize("with_all_after", [False, True])
def test_the_first_limit_that_an_option_breaks_is_named(limit: int, with_all_after: bool) -> None:
    broken = _limits.NAMES[limit:] if with_all_after else _limits.NAMES[limit : limit + 1]
    assert limit_of(**breaking(set(broken))) == (*_limits.NAMES, None)[limit]


def test_a_half_hour_counts_when_any_part_of_it_is_used() -> None:
    closed_by = [_limits.NONE, _limits.POWER, _limits.NONE, _limits.NONE, _limits.NONE, _limits.NONE]
    spans = [((0.0, 30.0), (60.0, 90.0)), ((0.0, 30.5), (60.0, 89.5)), ((0.0, 1.0), (59.0, 118.0))]
    job = a_job(interruptible=True)
    assert [limit_of(job, spans=one, closed_by=closed_by) for one in spans] == [None, "power_mw", "power_mw"]


@pytest.mark.parametrize(("ends", "column"), [(0.0, -1), (0.5, 0), (30.0, 0), (30.5, 1), (180.0, 5), (999.0, 5)])
def test_what_an_end_touches_is_the_half_hour_before_it(ends: float, column: int) -> None:
    assert last_touched(ends, 6) == column


@pytest.mark.parametrize(
    ("name", "price", "carbon"), [("carbon_cap", NAN, 150.0), ("max_price", 80.0, NAN), ("value", NAN, NAN)]
)
def test_a_cap_that_is_set_forbids_what_is_not_known(name: str, price: float, carbon: float) -> None:
    cells = np.ones((2, 6))
    cap = {"carbon_cap": "carbon_cap_gco2_kwh", "max_price": "max_price_gbp", "value": "value_gbp"}[name]
    known = a_field(price_gbp_mwh=price * cells, carbon_gco2_kwh=carbon * cells)
    nowhere = a_field(price_gbp_mwh=NAN * cells, carbon_gco2_kwh=NAN * cells)
    job = a_job(**{cap: 1e6})
    assert limit_of(job, known) is None
    assert limit_of(job, nowhere) == (None if name == "value" else name)  # the value is of the terms that are known


# Rounding: what an hour of 1 MW comes to, against the limit on it.

HOUR = np.ones((1, 6))
# For each limit: the job that has it, and the field and the end of an option that comes to an amount.
AMOUNTS = {
    "latest_end": ("latest_end_mins", lambda amount: ({}, {}, amount)),
    "carbon_cap": ("carbon_cap_gco2_kwh", lambda amount: ({}, {"carbon_gco2_kwh": amount * HOUR}, 60.0)),
    "max_price": ("max_price_gbp", lambda amount: ({}, {"price_gbp_mwh": amount * HOUR}, 60.0)),
    "value": ("value_gbp", lambda amount: ({"migration_gbp": amount}, {"price_gbp_mwh": 0 * HOUR}, 60.0)),
}


def limit_at(name: str, amount: float, limit: float) -> str | None:
    limited, coming_to = AMOUNTS[name]
    job, field, ends = coming_to(amount)
    job = a_job(
        **{"sites": 1, "origin": -1, "it_power_mw": 1.0, "latest_end_mins": math.inf, limited: limit, **job}
    )
    weights = Weights(carbon_price_gbp_t=0, stress_price_gbp_mwh=0)
    return limit_of(job, a_field(sites=1, pue=[1.0], **field), weights, [(ends - 60, ends)])


@pytest.mark.parametrize(
    ("name", "limit"),
    [("latest_end", 100.0), *itertools.product(("carbon_cap", "max_price", "value"), (-3000.0, 0.0, 0.25, 3000.0))],
)
def test_rounding_forbids_nothing_that_just_fits_and_the_search_lets_less_through(name: str, limit: float) -> None:
    slack = 1e-9 * max(1.0, abs(limit))
    for within in (limit - slack, limit, allowed(limit), limit + 0.9 * slack):
        assert limit_at(name, within, limit) is None
    assert limit_at(name, limit + 1.1 * slack, limit) == name
    assert limit < allowed(limit) < limit + 0.9 * slack


def test_what_is_not_limited_is_allowed_to_be_anything() -> None:
    assert allowed(math.inf) == math.inf


@pytest.mark.parametrize(
    ("cost", "other", "saves"),
    [
        (5.0, math.inf, True),
        (math.inf, math.inf, False),
        (math.inf, 5.0, False),
        (0.0, 0.0, False),
        (-0.9e-9, 0.0, False),
        (-1.1e-9, 0.0, True),
        (1e6 - 0.9e-6, 1e6, False),
        (1e6 - 1.1e-6, 1e6, True),
        (-1e6 - 0.9e-6, -1e6, False),
        (-1e6 - 1.1e-6, -1e6, True),
        (NAN, 5.0, False),
    ],
)
def test_a_cost_saves_when_it_is_lower_by_more_than_rounding(cost: float, other: float, saves: bool) -> None:
    assert is_saving(cost, other) is saves


def test_the_order_of_a_sum_saves_nothing() -> None:
    differing = 0
    for seed in range(200):
        dice = random.Random(seed)
        terms = [dice.uniform(-1e4, 1e4) for _ in range(300)]
        sums = []
        for _ in range(5):
            dice.shuffle(terms)
            sums.append(sum(terms[1:], start=terms[0]))
        differing += min(sums) < max(sums)
        assert not is_saving(min(sums), max(sums)), seed
    assert differing > 100
