from __future__ import annotations

import math

import numpy as np
import pytest

from pylon.planning import _kernels, _limits
from pylon.planning._ask import ROOM_SLACK, read_job

from .test_arrival import NAN, WEIGHTS, a_case, a_field, a_job

# In the order in which `read` and `pieces` return them.
KNOWN, RATES, CLOSED_BY, GATES, IS_DONE, COSTS, SPANS, SIZES, REFUSED = range(9)


def searched(job, field, weights=WEIGHTS, *, by_energy: bool = False, all_sites: bool = True) -> tuple:
    ask = read_job(job, weights, field.sites)
    read = _kernels.read(ask.numbers, ask.allowed, *arrays(field))
    grid = (field.signals, field.pue, *read[1:])
    return *read, *_kernels.pieces(ask.numbers, ask.may_split, by_energy, all_sites, *grid)


def arrays(field) -> tuple:
    return field.signals, field.stress, field.room, field.is_open, field.pue


def closed_at(job, field, site: int, column: int) -> str | None:
    """Return the first limit that closes a cell, by hand."""
    needs = (job.it_power_mw * field.pue[site], job.gpus, job.cpu_cores, job.memory_gb)
    for name, need, room in zip(_limits.NAMES[_limits.POWER :], needs, field.room[:, site, column], strict=False):
        if need > 0 and not need <= room + ROOM_SLACK:
            return name
    for values, cap in (
        (field.price_gbp_mwh, job.max_price_gbp),
        (field.carbon_gco2_kwh, job.carbon_cap_gco2_kwh),
    ):
        is_needed = np.isfinite(values).any() or not math.isnan(cap)
        if is_needed and not math.isfinite(values[site, column]):
            return "signals_known"
    return None


def gate_of(job, field, site: int) -> str | None:
    if not job.allowed[site]:
        return "region"
    return None if field.is_open[site] else "site_open"


def test_what_closes_each_site_and_each_cell_is_that_of_the_rules() -> None:
    names, seen = (*_limits.NAMES, None), set()
    for seed in range(400):
        job, field, weights = a_case(seed)
        found = searched(job, field, weights)
        gates = [names[gate] for gate in found[GATES]]
        assert gates == [gate_of(job, field, site) for site in range(field.sites)], seed
        for site in (site for site, gate in enumerate(gates) if gate is None):
            closed = [names[limit] for limit in found[CLOSED_BY][site]]
            assert closed == [closed_at(job, field, site, column) for column in range(field.half_hours)], seed
            seen.update(closed)
        seen.update(gates)
    assert seen == {*_limits.NAMES[: _limits.SIGNALS + 1], None}


def test_what_an_mwh_costs_is_the_sum_of_what_is_known() -> None:
    for seed in range(400):
        job, field, weights = a_case(seed)
        found = searched(job, field, weights)
        parts = (
            field.scarcity_gbp_mwh,
            field.price_gbp_mwh,
            field.carbon_gco2_kwh * weights.carbon_price_gbp_t / 1000,
            np.broadcast_to(field.stress * weights.stress_price_gbp_mwh, (field.sites, field.half_hours)),
        )
        expected = np.nansum(parts, axis=0)
        is_open = found[GATES] == _limits.NONE
        np.testing.assert_allclose(found[RATES][is_open], expected[is_open], rtol=1e-12, atol=1e-12)
        values = (field.price_gbp_mwh, field.carbon_gco2_kwh, field.stress)
        assert found[KNOWN] == tuple(bool(np.isfinite(one).any()) for one in values), seed


@pytest.mark.parametrize("first", range(4))
def test_a_cell_that_lacks_several_is_closed_by_the_first(first: int) -> None:
    room = np.full((4, 2, 6), 1000.0)
    room[first:, 1, 2] = 0.0
    price = np.full((2, 6), 80.0)
    price[1, 2] = NAN
    closed_by = searched(a_job(), a_field(room=room, price_gbp_mwh=price))[CLOSED_BY]
    expected = np.full((2, 6), _limits.NONE)
    expected[1, 2] = _limits.POWER + first
    assert closed_by.tolist() == expected.tolist()


@pytest.mark.parametrize("resource", range(4))
@pytest.mark.parametrize(
    ("short", "closes"), [(0.0, False), (0.9 * ROOM_SLACK, False), (1.1 * ROOM_SLACK, True), (NAN, True)]
)
def test_a_cell_has_room_for_what_is_short_of_a_rounding(resource: int, short: float, closes: bool) -> None:
    takes = (0.5 * 1.2, 8.0, 64.0, 512.0)[resource]  # the first is the facility's power
    room = np.full((4, 1, 6), math.inf)
    room[resource, 0, 3] = takes - short
    closed_by = searched(a_job(sites=1), a_field(sites=1, room=room))[CLOSED_BY][0]
    limit = _limits.POWER + resource if closes else _limits.NONE
    assert closed_by.tolist() == [*[_limits.NONE] * 3, limit, *[_limits.NONE] * 2]


def test_a_job_that_takes_nothing_needs_no_room() -> None:
    job = a_job(it_power_mw=0.0, gpus=0.0, cpu_cores=0.0, memory_gb=0.0)
    assert (searched(job, a_field(room=np.full((4, 2, 6), NAN)))[CLOSED_BY] == _limits.NONE).all()


@pytest.mark.parametrize(("interruptible", "halves"), [(False, 1), (True, 3)])
def test_a_job_that_may_split_has_room_for_its_spans_and_is_not_done(interruptible: bool, halves: int) -> None:
    found = searched(a_job(duration_mins=61, interruptible=interruptible), a_field())
    assert found[IS_DONE].tolist() == [not interruptible] * 2
    assert found[SIZES].tolist() == [1, 1]
    assert found[SPANS].shape == (2, halves, 2)
    assert found[SPANS][:, 0].tolist() == [[0.0, 61.0]] * 2


def test_a_closed_site_has_no_option_and_counts_each_start_under_its_gate() -> None:
    found = searched(a_job(latest_end_mins=120.0), a_field(is_open=[False, True]))
    assert found[COSTS].tolist() == [math.inf, pytest.approx(0.6 * (80 + 15 + 6))]
    assert found[REFUSED].sum(axis=0).tolist() == [3 if limit == _limits.SITE_OPEN else 0 for limit in range(12)]


# The comparison of sites, given what was found at each.


def compared(costs, ends, *, origin: int = -1, all_sites: bool = False, sizes=None):
    """Return what `compare` says of sites whose options cost and end so, in one span or as many as `sizes` says."""
    sites, (job, field) = len(costs), (a_job(len(costs), origin=origin), a_field(len(costs)))
    spans = np.full((sites, 2, 2), 9999.0)  # what lies beyond the spans used is not read
    sizes = np.ones(sites, np.int64) if sizes is None else np.array(sizes)
    for site, end in enumerate(ends):
        spans[site, : sizes[site]] = [(end - 60, end)] if sizes[site] == 1 else [(0.0, 30.0), (end - 30, end)]
    closed_by, gates = np.full((sites, 6), _limits.NONE), np.full(sites, _limits.NONE)
    numbers = read_job(job, WEIGHTS, sites).numbers
    given = (field.signals, field.stress, field.pue, closed_by, gates, np.array(costs), spans, sizes, all_sites)
    return _kernels.compare(numbers, *given)


@pytest.mark.parametrize(
    ("costs", "ends", "origin", "site"),
    [
        ([3.0, 2.0, 4.0], [60.0, 120.0, 60.0], 0, 1),
        ([2.0, 2.0, 2.0], [120.0, 90.0, 60.0], 0, 2),
        ([2.0, 2.0, 2.0], [60.0, 60.0, 60.0], 2, 2),
        ([2.0, 2.0, 2.0], [60.0, 60.0, 60.0], -1, 0),
        ([2.0, 2.0, 2.0], [90.0, 60.0, 60.0], 0, 1),
        ([3.0, 2.0, 2.0], [60.0, 60.0, 60.0], 0, 1),
        ([2.0, 2.0 - 5e-10, 2.0], [60.0, 90.0, 60.0], 2, 2),
        ([2.0, 2.0 - 5e-9, 2.0], [60.0, 90.0, 60.0], 2, 1),
        ([2.0 + 1.8e-9, 2.0 + 0.9e-9, 2.0], [60.0, 90.0, 120.0], -1, 1),  # rounding does not add up
        ([math.inf, 5.0, math.inf], [60.0, 90.0, 60.0], 0, 1),
        ([math.inf] * 3, [60.0] * 3, 0, -1),
        ([], [], -1, -1),
    ],
)
def test_of_equals_the_first_to_end_is_best_then_the_origin_then_the_lower_site(
    costs: list[float], ends: list[float], origin: int, site: int
) -> None:
    assert compared(np.array(costs, float), ends, origin=origin)[0] == site


def test_an_option_of_several_spans_ends_with_its_last() -> None:
    assert compared([2.0, 2.0], [120.0, 90.0], sizes=[2, 1])[0] == 1
    assert compared([2.0, 2.0], [90.0, 120.0], sizes=[2, 1])[0] == 0


def test_a_row_is_written_for_each_site_that_has_an_option_when_all_are_asked_for() -> None:
    best, rows = compared([3.0, math.inf, 2.0], [60.0, 60.0, 120.0], origin=1, all_sites=True)
    assert (best, rows.shape) == (2, (4, 11))
    assert rows[[0, 2, 3], 6].tolist() == pytest.approx([0.6, 0.6, 0.6])  # MWh
    alone = compared([3.0, math.inf, 2.0], [60.0, 60.0, 120.0], origin=1)[1]
    assert alone[[2, 3]].tolist() == rows[[2, 3]].tolist()


# One option by itself.


def searched_and_compared(job, field, weights) -> tuple:
    """Return what is found, the best site and the rows of all sites."""
    found = searched(job, field, weights)
    numbers = read_job(job, weights, field.sites).numbers
    options = (found[CLOSED_BY], found[GATES], found[COSTS], found[SPANS], found[SIZES])
    return found, *_kernels.compare(numbers, field.signals, field.stress, field.pue, *options, True)


def test_what_an_option_comes_to_by_itself_is_what_it_comes_to_when_sites_are_compared() -> None:
    options = baselines = 0
    for seed in range(400):
        job, field, weights = a_case(seed)
        found, _, rows = searched_and_compared(job, field, weights)
        sites = np.flatnonzero(found[COSTS] < math.inf).tolist()
        assert (rows[sites, -1] == _limits.NONE).all()
        cases = [(site, found[SPANS][site, :1], rows[site]) for site in sites]
        options += len(cases)
        if job.origin >= 0:
            now = np.array([[job.earliest_mins, job.earliest_mins + job.duration_mins]])
            cases.append((job.origin, now, rows[-1]))
            baselines += 1
        ask = read_job(job, weights, field.sites)
        for site, spans, row in cases:
            alone = _kernels.evaluate(ask.numbers, ask.allowed, site, spans, *arrays(field))
            np.testing.assert_array_equal(alone, row, str(seed))
    assert min(options, baselines) > 50


def test_the_last_row_is_that_of_running_at_once_at_origin_though_a_limit_forbids_it() -> None:
    field = a_field(price_gbp_mwh=[[80.0] * 6, [10.0, 20.0, 40.0, 80.0, 80.0, 80.0]], is_open=[True, False])
    job = a_job(origin=1, earliest_mins=10.0, migration_gbp=3.0)
    _, best, rows = searched_and_compared(job, field, WEIGHTS)
    assert best == 0
    assert rows[-1, 0] == pytest.approx(0.6 * (20 * 10 + 30 * 20 + 10 * 40) / 60)
    assert (rows[-1, 3], rows[0, 3], rows[-1, -1]) == (0.0, 3.0, _limits.SITE_OPEN)


def test_a_site_whose_pieces_are_left_out_has_none_that_is_as_cheap() -> None:
    left_out = 0
    for seed in range(400):
        job, field, weights = a_case(seed)
        whole, chosen = searched(job, field, weights), searched(job, field, weights, all_sites=False)
        least = min(whole[COSTS], default=math.inf)
        assert min(chosen[COSTS], default=math.inf) == least, seed
        for site in range(field.sites):
            if chosen[COSTS][site] == math.inf and not chosen[REFUSED][site].any():
                assert whole[COSTS][site] > least
                left_out += 1
            else:
                assert chosen[COSTS][site] == whole[COSTS][site]
                assert chosen[SPANS][site, 0].tolist() == whole[SPANS][site, 0].tolist()
                assert chosen[REFUSED][site].tolist() == whole[REFUSED][site].tolist()
    assert left_out > 10
