"""The policies of a back-test: the same work and limits for all, nothing that runs is moved; and false zeros."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from pylon.agents.carbon_optimizer import Optimizing
from pylon.ontology.compute import ComputeWorkload
from pylon.planning.field import HALF_HOUR_MINS, Floats
from pylon.services import _backtest_policies as policies
from pylon.services._backtest_account import tally
from pylon.services._backtest_policies import Decided, Place
from pylon.services._backtest_vintages import LEADS, fit, served
from pylon.services._backtest_world import World, _on_the_half_hour, make_world
from tests.unit.services.backtests import DAY, STARTS_AT, made_up

CONFIG = Optimizing()
SLACK = 1e-6


@pytest.fixture(scope="module")
def world() -> World:
    record = made_up(days=9)
    return make_world(
        record, fit(record), since=STARTS_AT, until=STARTS_AT + timedelta(days=1), per_week=700, seed=4
    )


@pytest.fixture(scope="module")
def decided(world: World) -> Mapping[str, Decided]:
    return {
        "run now": policies.run_now(world),
        "greedy": policies.greedy(world, CONFIG),
        "Pylon": policies.rolling(world, CONFIG, lambda half_hours: None),
        "perfect": policies.perfect(world, CONFIG),
    }


def test_work_arrives_on_the_half_hour_and_lasts_whole_ones(world: World) -> None:
    assert len(world.workloads) > 60
    for slot, those in enumerate(world.arrivals):
        for one in those:
            assert one.created_at == world.at(slot)
            assert one.duration_mins % HALF_HOUR_MINS == 0
            assert one.deferral_window_mins is not None
            assert one.deferral_window_mins % HALF_HOUR_MINS == 0
            drawn = float(one.power_kw) * one.duration_mins / 60
            assert drawn == pytest.approx(float(one.estimated_energy_kwh or 0), abs=0.01)


def test_whole_half_hours_take_up_no_fewer_gpus(world: World) -> None:
    given = world.workloads[0].model_copy(update={"duration_mins": 45, "required_gpu_mins": 100})

    assert _on_the_half_hour(given).required_gpu_mins == 134, "100 / 45 GPUs for 60 min, rounded up"


def test_work_takes_up_its_room_once_where_the_forecast_is_of_the_whole_record() -> None:
    record = made_up(days=2)
    short = make_world(
        record, fit(record), since=STARTS_AT, until=STARTS_AT + timedelta(hours=12), per_week=200, seed=4
    )
    ledger = policies._Ledger.of(short)

    view = policies._view(short, 0, short.forecast(0, ledger.room))
    policies._place_arrivals(ledger, view, short.workloads, CONFIG)

    assert ledger.places
    assert short.half_hours <= LEADS
    assert np.allclose(ledger.room, short.room - _taken(short, ledger.places))


def test_work_that_is_worth_too_little_is_lost_and_not_hopeless(world: World) -> None:
    cheap, capped = world.workloads[:2]
    few = (
        cheap.model_copy(update={"value_gbp": Decimal("0.01"), "carbon_cap_gco2": None, "max_price_gbp": None}),
        capped.model_copy(update={"carbon_cap_gco2": 1}),
    )
    arrivals = [tuple(one for one in few if world.slot(one.created_at) == slot) for slot in range(world.half_hours)]

    found = policies.perfect(dataclasses.replace(world, arrivals=tuple(arrivals)), CONFIG)

    assert found.places == {}
    assert found.hopeless == {capped.id}


def test_regions_make_up_the_national_carbon(world: World) -> None:
    assert (world.carbon_gco2_kwh > 0).all()
    assert np.corrcoef(world.carbon_gco2_kwh.mean(axis=0), world.national_gco2_kwh)[0, 1] > 0.95


@pytest.mark.parametrize("name", ["greedy", "Pylon", "perfect"])
def test_everything_runs_within_its_own_limits_and_those_of_sites(
    world: World, decided: Mapping[str, Decided], name: str
) -> None:
    places = decided[name].places
    assert len(places) > 0.9 * len(world.workloads)
    for one in world.workloads:
        if one.id in places:
            _check_place(world, one, places[one.id])
    taken = _taken(world, places)
    resources = 2 if name == "perfect" else 4  # the fleet planner knows power and GPUs
    assert (taken[:resources] <= world.room[:resources] + SLACK).all()


def _check_place(world: World, one: ComputeWorkload, place: Place) -> None:
    assert len(place.slots) == one.duration_mins // HALF_HOUR_MINS
    assert list(place.slots) == sorted(set(place.slots))
    assert one.interruptible or place.slots[-1] - place.slots[0] == len(place.slots) - 1
    assert place.slots[0] >= world.slot(one.created_at)
    assert place.slots[-1] < world.end_slot(one)
    assert one.allowed_region_ids is None or world.regions[place.site] in one.allowed_region_ids


def _taken(world: World, places: Mapping[UUID, Place]) -> Floats:
    taken = np.zeros_like(world.room)
    for one in world.workloads:
        if one.id in places:
            place = places[one.id]
            taken[:, place.site, list(place.slots)] += np.array(
                [
                    float(one.power_kw) / 1000 * float(world.sites[place.site].pue),
                    (one.required_gpu_mins or 0) / one.duration_mins,
                    one.required_cpu_cores or 0,
                    one.required_memory_gb or 0,
                ]
            )[:, None]
    return taken


def test_run_now_runs_everything_at_its_origin_at_once(world: World, decided: Mapping[str, Decided]) -> None:
    places = decided["run now"].places
    for one in world.workloads:
        assert world.sites[places[one.id].site].id == one.origin_dc_id
        assert places[one.id].slots[0] == world.slot(one.created_at)


def test_nobody_does_better_than_the_bound_of_perfect_foresight(world: World) -> None:
    """Without caps: one that a wrong forecast misses is cheaper to break, and pieces keep theirs by the mean."""
    free = dataclasses.replace(
        world,
        arrivals=tuple(
            tuple(one.model_copy(update={"carbon_cap_gco2": None, "max_price_gbp": None}) for one in those)
            for those in world.arrivals
        ),
    )
    at_once, perfect = policies.run_now(free), policies.perfect(free, CONFIG)
    others = (policies.greedy(free, CONFIG), policies.rolling(free, CONFIG, lambda half_hours: None))

    best, *totals = (
        tally(free, free.workloads, one, at_once, CONFIG).total_gbp for one in (perfect, *others, at_once)
    )
    (gap,) = perfect.gaps
    assert best - gap.gap_gbp <= min(totals)
    assert best < totals[1] <= totals[0] < totals[2]


def test_the_account_of_perfect_foresight_is_its_plans_own(world: World, decided: Mapping[str, Decided]) -> None:
    """Energy, carbon, stress, moving, waiting and loss reckoned here are what the fleet planner reckoned there."""
    account = tally(world, world.workloads, decided["perfect"], decided["run now"], CONFIG)

    (gap,) = decided["perfect"].gaps
    assert account.total_gbp == pytest.approx(gap.gap_gbp + gap.bound_gbp, rel=1e-6)


def test_plans_are_proven_close(decided: Mapping[str, Decided]) -> None:
    gaps = decided["Pylon"].gaps
    assert len(gaps) > 36
    assert sum(gap.gap_gbp for gap in gaps) <= 0.01 * sum(gap.bound_gbp for gap in gaps)


def test_what_has_begun_is_not_moved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out, seen = policies._carry_out, 0

    def watched(ledger: policies._Ledger, waiting: object, wanted: Mapping[UUID, Place]) -> list[UUID]:
        nonlocal seen
        now = min((place.slots[0] for place in wanted.values()), default=0)
        begun = {id_: place for id_, place in ledger.places.items() if place.slots[0] < now}
        moved = carry_out(ledger, waiting, wanted)  # type: ignore[arg-type]
        assert begun.items() <= ledger.places.items()
        assert not begun.keys() & wanted.keys()
        seen += len(begun)
        return moved

    monkeypatch.setattr(policies, "_carry_out", watched)
    few = dataclasses.replace(world, arrivals=(*world.arrivals[:24], *([()] * (world.half_hours - 24))))
    policies.rolling(few, CONFIG, lambda half_hours: None)
    assert seen


def test_false_zeros_move_no_workload_but_would_without_the_quality_gate(world: World) -> None:
    """Forecasts are given once and not revised here, so that what was said before is what would have been said."""
    size = world.half_hours
    of = np.arange(size)[:, None] + np.arange(LEADS)[None, :]
    clean = np.where(of < size, np.rint(world.national_gco2_kwh)[np.minimum(of, size - 1)], np.nan)
    faulty = clean.copy()
    for made, lead in itertools.product(range(3, 30, 3), range(0, 40, 7)):
        faulty[made, lead : lead + 2] = 0.0
    few = dataclasses.replace(world, arrivals=(*world.arrivals[:20], *([()] * (size - 20))))

    def places(forecasts: Floats) -> tuple[Decided, Decided]:
        seen = dataclasses.replace(few, forecasts_gco2_kwh=forecasts)
        return policies.greedy(seen, CONFIG), policies.rolling(seen, CONFIG, lambda half_hours: None)

    expected = places(clean)
    assert places(served(faulty, STARTS_AT)) == expected
    without = places(faulty)
    assert [one.places for one in without] != [one.places for one in expected]
    assert all(mine.places != theirs.places for mine, theirs in zip(without, expected, strict=True))


def test_the_end_of_the_record_holds_no_work_that_could_not_end(world: World) -> None:
    record = made_up(days=3)
    short = make_world(record, fit(record), since=STARTS_AT, until=record.ends_at, per_week=200, seed=4)

    found = policies.rolling(short, CONFIG, lambda half_hours: None)

    assert max(place.slots[-1] for place in found.places.values()) < 3 * DAY
    assert len(found.places) > 0.8 * len(short.workloads)
