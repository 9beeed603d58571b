from __future__ import annotations

import collections
import itertools
import math
import random
from typing import Any, NamedTuple

import numpy as np
import pytest

from pylon.planning import _ask, _limits, _split
from pylon.planning.field import Field, Job, Weights

from .test_arrival import NAN, a_field, a_job

FREE = Weights(carbon_price_gbp_t=0.0, stress_price_gbp_mwh=0.0)


class Case(NamedTuple):
    """A job, a field, and what the search has made of the field; only splits are looked for, and not pieces."""

    job: Job
    field: Field
    closed_by: Any
    gates: Any
    by_energy: bool = False

    @property
    def halves(self) -> int:
        return math.ceil(self.job.duration_mins / 30)

    @property
    def rate(self):
        """An MWh costs as much more than its energy as the field says that it is scarce."""
        return self.field.price_gbp_mwh + self.field.scarcity_gbp_mwh

    def without_pieces(self) -> State:
        sites = self.field.sites
        return State(
            is_done=np.zeros(sites, bool),
            costs=np.full(sites, math.inf),
            spans=np.full((sites, self.halves, 2), 7777.0),
            sizes=np.ones(sites, np.int64),
            refused=np.zeros((sites, _limits.NONE), np.int64),
        )

    def improve(self, state: State, *, all_sites: bool) -> bool:
        numbers, field = _ask.read_job(self.job, FREE, self.field.sites).numbers, self.field
        given = (field.signals, field.pue, self.rate, self.closed_by, self.gates, self.by_energy, all_sites)
        return _split.improve(numbers, *given, *state)

    # The same by brute force: every choice of half hours, added up by hand.

    def splits(self, site: int):
        """Yield the spans of every split at a site that no limit but a cap forbids, those that touch not joined."""
        rest = self.job.duration_mins - 30 * (self.halves - 1)
        is_open = [
            30 * column >= self.job.earliest_mins and closed == _limits.NONE
            for column, closed in enumerate(self.closed_by[site])
        ]
        columns = [column for column, free in enumerate(is_open) if free and self.gates[site] == _limits.NONE]
        for chosen in itertools.combinations(columns, self.halves):
            if 30 * chosen[-1] + rest <= self.job.latest_end_mins:
                yield [(30.0 * c, 30.0 * c + (rest if c == chosen[-1] else 30)) for c in chosen]

    def over(self, values, site: int, spans) -> float:
        """Return the sum of a row over some spans, x hours."""
        pieces = [(begins, ends, 30 * column) for begins, ends in spans for column in range(self.field.half_hours)]
        mins = [max(0.0, min(ends, since + 30) - max(begins, since)) for begins, ends, since in pieces]
        return sum(m * values[site][since // 30] for m, (_, _, since) in zip(mins, pieces, strict=True)) / 60

    def energy(self, site: int, spans) -> float:
        return self.job.it_power_mw * self.field.pue[site] * self.over(self.field.price_gbp_mwh, site, spans)

    def total(self, site: int, spans) -> float:
        job, scarcity = self.job, self.over(self.field.scarcity_gbp_mwh, site, spans)
        waited = spans[-1][1] - job.duration_mins - job.arrived_mins
        total = self.energy(site, spans) + job.it_power_mw * self.field.pue[site] * scarcity
        return total + (site != job.origin) * job.migration_gbp + job.wait_gbp_per_hour * waited / 60

    def keeps_caps(self, site: int, spans) -> bool:
        job, grams = self.job, self.over(self.field.carbon_gco2_kwh, site, spans)
        return not (
            grams > job.carbon_cap_gco2_kwh * job.duration_mins / 60 + 1e-9
            or (not self.by_energy and self.energy(site, spans) > job.max_price_gbp + 1e-9)
            or self.total(site, spans) > job.value_gbp + 1e-9
        )

    def least(self) -> list[float]:
        """Return what the best split of each site costs, infinite without one."""
        cost = self.energy if self.by_energy else self.total
        return [
            min((cost(site, one) for one in self.splits(site) if self.keeps_caps(site, one)), default=math.inf)
            for site in range(self.field.sites)
        ]


class State(NamedTuple):
    """What `improve` writes to, in its order."""

    is_done: Any
    costs: Any
    spans: Any
    sizes: Any
    refused: Any

    def copy(self) -> State:
        return State(*(array.copy() for array in self))

    def spans_of(self, site: int) -> list[tuple[float, float]]:
        return [tuple(span) for span in self.spans[site, : self.sizes[site]].tolist()]


def a_case(seed: int, *, is_capped: bool, by_energy: bool = False) -> Case:
    """Return a random case of one to three sites and up to nine half hours."""
    dice = random.Random(seed)
    sites, half_hours = dice.randint(1, 3), dice.randint(3, 9)

    def cells(low: float, high: float):
        return np.array([[dice.uniform(low, high) for _ in range(half_hours)] for _ in range(sites)])

    field = a_field(
        sites,
        half_hours,
        price_gbp_mwh=cells(-30, 150),
        carbon_gco2_kwh=cells(50, 250),
        scarcity_gbp_mwh=cells(0, 40),
        pue=[dice.uniform(1, 1.6) for _ in range(sites)],
    )
    duration, power = dice.choice([31, 50, 60, 75, 90, 120, 130]), dice.uniform(0.1, 2)
    mwh, earliest = power * duration / 60, float(dice.choice([0, 10, 30]))
    job = a_job(
        sites,
        it_power_mw=power,
        duration_mins=duration,
        earliest_mins=earliest,
        latest_end_mins=dice.choice([math.inf, earliest + duration + dice.randint(0, 150)]),
        interruptible=True,
        migration_gbp=dice.uniform(0, 20),
        wait_gbp_per_hour=dice.choice([0, dice.uniform(0, 20)]),
        origin=dice.randint(-1, sites - 1),
        carbon_cap_gco2_kwh=dice.choice([NAN, dice.uniform(80, 180)]) if is_capped else NAN,
        max_price_gbp=dice.choice([NAN, mwh * dice.uniform(0, 120)]) if is_capped else NAN,
        value_gbp=dice.choice([NAN, mwh * dice.uniform(40, 200)]) if is_capped else NAN,
    )
    limits = [_limits.NONE] * 12 + [_limits.POWER, _limits.POWER + 1, _limits.SIGNALS]
    closed_by = np.array([[dice.choice(limits) for _ in range(half_hours)] for _ in range(sites)])
    gates = np.array([dice.choice([_limits.NONE] * 9 + [_limits.REGION]) for _ in range(sites)])
    return Case(job, field, closed_by, gates, by_energy)


def assert_is_as_said(case: Case, state: State, site: int) -> None:
    """Check that what is written of a site is a split that costs what it says."""
    spans, cost = state.spans_of(site), case.energy if case.by_energy else case.total
    assert cost(site, spans) == pytest.approx(state.costs[site], rel=1e-9, abs=1e-9)
    assert sum(ends - begins for begins, ends in spans) == pytest.approx(case.job.duration_mins)
    assert all(ends < begins for (_, ends), (begins, _) in itertools.pairwise(spans))
    columns = [
        (column, ends) for begins, ends in spans for column in range(int(begins // 30), math.ceil(ends / 30))
    ]
    assert [(30.0 * column, min(30.0 * column + 30, ends)) for column, ends in columns] in list(case.splits(site))
    assert case.keeps_caps(site, spans)


@pytest.mark.parametrize("is_capped", [False, True])
@pytest.mark.parametrize("by_energy", [False, True])
@pytest.mark.parametrize("block", range(5))
def test_the_best_split_of_every_site_is_that_of_brute_force(is_capped: bool, by_energy: bool, block: int) -> None:
    for seed in range(40 * block, 40 * block + 40):
        case = a_case(seed, is_capped=is_capped, by_energy=by_energy)
        state, least = case.without_pieces(), case.least()
        assert case.improve(state, all_sites=True), seed
        assert state.is_done.all()
        assert state.costs.tolist() == pytest.approx(least, rel=1e-9, abs=1e-9), seed
        assert state.refused.sum(axis=1).tolist() == [int(cost == math.inf) for cost in least], seed
        for site, cost in enumerate(least):
            if cost < math.inf:
                assert_is_as_said(case, state, site)


def test_sites_that_are_left_out_cannot_have_the_cheapest_and_are_done_when_asked_for() -> None:
    left_out = 0
    for seed in range(400):
        case = a_case(seed, is_capped=True)
        state, least = case.without_pieces(), case.least()
        assert case.improve(state, all_sites=False), seed
        assert min(state.costs) == pytest.approx(min(least), rel=1e-9, abs=1e-9), seed
        for site in np.flatnonzero(~state.is_done):
            assert state.costs[site] == math.inf
            assert not state.refused[site].any()
            assert min(state.costs) < math.inf
            left_out += 1
        first, whole = state.copy(), case.without_pieces()
        case.improve(state, all_sites=True)
        case.improve(whole, all_sites=True)
        assert state.is_done.all()
        assert state.costs.tolist() == pytest.approx(least, rel=1e-9, abs=1e-9), seed
        assert state.refused.tolist() == whole.refused.tolist()
        for before, after in zip(first, state, strict=True):  # what was done is left as it was
            np.testing.assert_array_equal(after[first.is_done], before[first.is_done])
    assert left_out > 20


def test_a_site_that_is_done_is_not_looked_at() -> None:
    for is_capped in (False, True):
        case = a_case(3, is_capped=is_capped)
        state = case.without_pieces()
        state.is_done[:] = True
        before = state.copy()
        assert case.improve(state, all_sites=True)
        for array, old in zip(state, before, strict=True):
            np.testing.assert_array_equal(array, old)


# The piece that a site has already, and the limit that leaves no split.


def by_hand(
    job: dict | None = None, price=(90.0, 10.0, 90.0, 10.0, 90.0, 90.0), closed=(), gate=_limits.NONE
) -> Case:
    """Return a case of one site: an hour of 1 MW facility power in six half hours, some closed by a limit."""
    changes = {"sites": 1, "it_power_mw": 1.0, "interruptible": True, "latest_end_mins": math.inf, **(job or {})}
    closed_by = np.full((1, 6), _limits.NONE)
    for column, limit in dict(closed).items():
        closed_by[0, column] = limit
    return Case(a_job(**changes), a_field(sites=1, price_gbp_mwh=[price], pue=[1.0]), closed_by, np.array([gate]))


@pytest.mark.parametrize(
    ("piece_gbp", "piece_span", "is_replaced"),
    [
        (9.9, (120.0, 180.0), False),
        (10.1, (0.0, 60.0), True),
        (10.0, (59.0, 119.0), False),
        (10.0, (60.0, 120.0), False),
        (10.0, (61.0, 121.0), True),
        (10.0 + 5e-10, (59.0, 119.0), False),
        (10.0 - 5e-10, (61.0, 121.0), True),
    ],
)
def test_a_split_replaces_a_piece_that_costs_more_or_as_much_and_ends_later(
    piece_gbp: float, piece_span: tuple[float, float], is_replaced: bool
) -> None:
    for carbon_cap in (NAN, 150.0):  # a cap that all keep to
        case = by_hand({"carbon_cap_gco2_kwh": carbon_cap})
        state = case.without_pieces()
        state.costs[0], state.spans[0, 0] = piece_gbp, piece_span
        assert case.improve(state, all_sites=True)
        assert state.spans_of(0) == ([(30.0, 60.0), (90.0, 120.0)] if is_replaced else [piece_span])
        assert state.costs[0] == pytest.approx(10.0 if is_replaced else piece_gbp, abs=1e-12)
        assert not state.refused.any()


SHUT = dict.fromkeys(range(6), _limits.POWER)


@pytest.mark.parametrize(
    ("limit", "case"),
    [
        ("region", by_hand(gate=_limits.REGION)),
        ("site_open", by_hand(gate=_limits.SITE_OPEN, closed=SHUT)),
        ("horizon", by_hand(closed={**SHUT, 0: _limits.NONE})),  # later half hours could be open
        ("power_mw", by_hand({"latest_end_mins": 180.0}, closed={**SHUT, 4: _limits.SIGNALS})),
        ("gpus", by_hand({"latest_end_mins": 180.0}, closed={0: 2, 1: 2, 2: 3, 3: 3, 4: 3})),
        ("signals_known", by_hand({"latest_end_mins": 90.0}, closed={0: _limits.SIGNALS, 2: _limits.SIGNALS})),
        ("latest_end", by_hand({"latest_end_mins": 59.0}, closed=SHUT)),
        ("latest_end", by_hand({"earliest_mins": 1.0, "latest_end_mins": 89.0})),
        ("horizon", by_hand({"earliest_mins": 121.0})),
        ("horizon", by_hand({"earliest_mins": 999.0})),
        ("carbon_cap", by_hand({"carbon_cap_gco2_kwh": 149.0})),
        ("max_price", by_hand({"max_price_gbp": 9.0})),
        ("value", by_hand({"value_gbp": 9.0})),
        (None, by_hand({"earliest_mins": 120.0})),
        (None, by_hand({"latest_end_mins": 60.0})),
        (None, by_hand({"carbon_cap_gco2_kwh": 150.0, "max_price_gbp": 10.0, "value_gbp": 10.0})),
    ],
)
def test_the_limit_that_leaves_no_split_is_counted_once(limit: str | None, case: Case) -> None:
    state = case.without_pieces()
    assert case.improve(state, all_sites=False)
    counts = collections.Counter(dict(zip(_limits.NAMES, state.refused[0].tolist(), strict=True)))
    assert +counts == ({limit: 1} if limit else {})
    assert (state.costs[0] == math.inf) == bool(limit)
    assert state.is_done.all()
