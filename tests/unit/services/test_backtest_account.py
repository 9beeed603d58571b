"""The account: sums that add up, savings against the same work run at once, load from places."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from pylon.agents import jobs
from pylon.agents.carbon_optimizer import Optimizing
from pylon.errors import Invalid
from pylon.planning import arrival
from pylon.planning.field import HALF_HOUR_MINS
from pylon.services import _backtest_policies as policies
from pylon.services._backtest_account import Tally, load_mw, tally
from pylon.services._backtest_policies import Decided
from pylon.services._backtest_vintages import fit
from pylon.services._backtest_world import World, make_world
from tests.unit.services.backtests import STARTS_AT, made_up

CONFIG = Optimizing()


@pytest.fixture(scope="module")
def world() -> World:
    record = made_up(days=9)
    until = STARTS_AT + timedelta(hours=12)
    return make_world(record, fit(record), since=STARTS_AT, until=until, per_week=1000, seed=4)


def test_a_workload_costs_what_the_arrival_planner_says_it_does(world: World) -> None:
    at_once = policies.run_now(world)
    field = world.actual()
    view = policies._view(world, 0, field)
    for one in world.workloads[:20]:
        place = at_once.places[one.id]
        found = tally(world, [one], at_once, at_once, CONFIG)
        job = jobs.job_of(view, one, CONFIG)
        spans = [(place.slots[0] * HALF_HOUR_MINS, (place.slots[-1] + 1) * HALF_HOUR_MINS)]
        option = arrival.evaluate(job, field, CONFIG.weights, place.site, spans)
        assert found.energy_mwh == pytest.approx(option.energy_mwh)
        assert found.carbon_kg == pytest.approx(option.carbon_kg)
        assert found.energy_gbp == pytest.approx(option.terms.energy)
        assert found.total_gbp == pytest.approx(option.terms.total)


def test_what_does_not_run_is_lost_and_not_saved(world: World) -> None:
    at_once = policies.run_now(world)
    gone, *rest = world.workloads
    without = Decided(places={id_: place for id_, place in at_once.places.items() if id_ != gone.id})

    found = tally(world, world.workloads, without, at_once, CONFIG)

    assert (found.ran, found.rejected) == (len(rest), 1)
    assert found.lost_gbp == float(gone.value_gbp or 0)
    assert found.carbon_at_once_kg == found.carbon_kg, "no carbon is saved by not running"
    assert found.paid_at_once_gbp == found.paid_gbp


def test_lost_work_without_a_worth_is_refused_and_not_free(world: World) -> None:
    gone = world.workloads[0].model_copy(update={"value_gbp": None})
    nothing = Decided(places={})
    priceless = CONFIG.model_copy(update={"lost_compute_gbp_mwh": None})

    assert tally(world, [gone], nothing, nothing, CONFIG).lost_gbp > 0
    with pytest.raises(Invalid, match="did not run, and nothing says what that cost"):
        tally(world, [gone], nothing, nothing, priceless)


def test_a_carbon_cap_is_held_in_each_half_hour_where_work_may_be_split(world: World) -> None:
    at_once = policies.run_now(world)
    longest = max(world.workloads, key=lambda one: one.duration_mins)
    place = at_once.places[longest.id]
    carbon = world.carbon_gco2_kwh[place.site, list(place.slots)]
    roomy = Decided(places={longest.id: place})
    between = (carbon.mean() + carbon.max()) / 2

    def broken(interruptible: bool, cap: float) -> int:
        limits = {"interruptible": interruptible, "carbon_cap_gco2": cap, "max_price_gbp": None}
        return tally(world, [longest.model_copy(update=limits)], roomy, at_once, CONFIG).broken

    assert (broken(True, between), broken(False, between)) == (1, 0)
    assert (broken(True, carbon.max()), broken(False, carbon.mean() - 1)) == (0, 1)


def test_tallies_of_stretches_add_up(world: World) -> None:
    at_once = policies.run_now(world)
    first, second = (
        tally(world, some, at_once, at_once, CONFIG) for some in (world.workloads[:10], world.workloads[10:])
    )
    whole = tally(world, world.workloads, at_once, at_once, CONFIG)

    assert (first + second).workloads == whole.workloads
    assert (first + second).total_gbp == pytest.approx(whole.total_gbp)
    assert (Tally(worst_gap=0.2) + Tally(worst_gap=0.1)).worst_gap == 0.2


def test_the_mean_gap_weighs_plans_by_their_bounds() -> None:
    assert Tally(gap_gbp=3.0, bound_gbp=100.0, plans=2).mean_gap == 0.03
    assert Tally().mean_gap is None


def test_load_is_the_energy_of_all_places(world: World) -> None:
    at_once = policies.run_now(world)
    found = tally(world, world.workloads, at_once, at_once, CONFIG)

    assert float(np.sum(load_mw(world, at_once.places))) / 2 == pytest.approx(found.energy_mwh)
