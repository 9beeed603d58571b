from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linprog

from pylon.errors import Invalid
from pylon.planning.battery import Battery, Dispatch, dispatch, follow, most_worth
from tests.unit.planning.batteries import a_battery, best_value, does_what_it_can, least_short

NEAR = 1e-6


def plan(
    battery: Battery, *prices: float, hours: list[float] | None = None, least_mw: list[float] | None = None
) -> Dispatch:
    least = None if least_mw is None else np.array(least_mw)
    return dispatch(battery, np.array(prices, float), np.array(hours or [0.5] * len(prices)), least_mw=least)


def waste_pays(battery: Battery, prices: np.ndarray) -> np.ndarray:
    return prices * (1 - battery.efficiency) + battery.wear_gbp_mwh * battery.efficiency < 0


def value(battery: Battery, found: Dispatch, prices: np.ndarray, hours: np.ndarray) -> float:
    """Return what a dispatch is worth, added up half hour by half hour."""
    rows = zip(found.charge_mw, found.discharge_mw, prices, hours, strict=True)
    return sum(
        length * (price * (discharge - charge) - battery.wear_gbp_mwh * discharge)
        for charge, discharge, price, length in rows
        if not math.isnan(price)
    )


# An independent model: stored energy in whole steps, every path tried by dynamic programming. Where each limit is a
# whole number of steps there is an optimum of whole steps: once the directions are given it is a flow in a network.


class Lattice:
    """A random battery and field whose every limit is a whole number of steps."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.size = int(rng.integers(1, 25))
        self.step_mwh = rng.uniform(0.1, 5)
        self.top = int(rng.integers(1, 25))
        self.low, self.high = np.sort(rng.integers(0, self.top + 1, 2)).tolist()
        self.start, self.end = rng.integers(0, self.top + 1, 2).tolist()
        self.up, self.down = (3 * rng.integers(0, 4, 2)).tolist()  # steps in a whole half hour
        self.efficiency = float(rng.choice([1.0, rng.uniform(0.05, 0.5), rng.uniform(0.6, 1)]))
        self.wear = float(rng.choice([0.0, rng.uniform(0, 10)]))
        self.prices = np.round(rng.normal(rng.choice([60, 0, -60]), 50, self.size), 2)
        self.prices[rng.random(self.size) < 0.1] = np.nan
        self.thirds = np.full(self.size, 3)
        self.thirds[0] = rng.integers(1, 4)  # the first half hour may be partly gone

    @property
    def hours(self) -> np.ndarray:
        return self.thirds / 6

    @property
    def battery(self) -> Battery:
        each_way = self.efficiency**0.5
        return Battery(
            capacity_mwh=self.top * self.step_mwh,
            min_mwh=self.low * self.step_mwh,
            max_mwh=self.high * self.step_mwh,
            charge_mwh=self.start * self.step_mwh,
            max_charge_mw=self.up * self.step_mwh / each_way * 2,
            max_discharge_mw=self.down * self.step_mwh * each_way * 2,
            efficiency=self.efficiency,
            wear_gbp_mwh=self.wear,
            end_mwh=self.end * self.step_mwh,
        )

    def next_levels(self, level: int, t: int) -> range:
        """Levels that may follow: in the band, or as near it as full power leads."""
        if math.isnan(self.prices[t]):
            return range(level, level + 1)
        up, down = self.up * self.thirds[t] // 3, self.down * self.thirds[t] // 3
        least = min(self.low, level + up)
        most = max(self.high, level - down)
        return range(max(least, level - down), min(most, level + up) + 1)

    def earned(self, change: int, t: int) -> float:
        if change == 0:
            return 0.0
        each_way, energy = self.efficiency**0.5, change * self.step_mwh
        if change > 0:
            return -self.prices[t] * energy / each_way
        return (self.prices[t] - self.wear) * -energy * each_way

    def best(self) -> float:
        values = {self.start: 0.0}
        for t in range(self.size):
            reached: dict[int, float] = {}
            for level, value in values.items():
                for to in self.next_levels(level, t):
                    reached[to] = max(reached.get(to, -math.inf), value + self.earned(to - level, t))
            values = reached
        end = min(self.end, max(values))
        return max(value for level, value in values.items() if level >= end)


@pytest.mark.parametrize("block", range(5))
def test_no_path_of_an_independent_model_is_worth_more_or_less(block):
    clashes = 0
    for seed in range(block * 50, block * 50 + 50):
        lattice = Lattice(seed)
        found = dispatch(lattice.battery, lattice.prices, lattice.hours)
        assert found.is_exact
        assert found.value_gbp == pytest.approx(lattice.best(), rel=0, abs=NEAR), seed
        assert found.value_gbp == pytest.approx(
            value(lattice.battery, found, lattice.prices, lattice.hours), rel=1e-12
        )
        assert not ((found.charge_mw > 0) & (found.discharge_mw > 0)).any()
        clashes += bool(waste_pays(lattice.battery, lattice.prices).any())
    assert clashes > 10  # many of the fields are ones on which both ways at once would pay


# Another: charge and discharge alone, each limit on what is stored written out over all that came before it.


def best_of_dense_programme(battery: Battery, prices: np.ndarray, hours: np.ndarray) -> float:
    """Return the most that a field is worth on which going both ways at once never pays."""
    each_way, size = battery.efficiency**0.5, prices.size
    so_far = np.tril(np.ones((size, size))) * hours
    stored = np.hstack([each_way * so_far, -so_far / each_way])
    room, held = battery.max_mwh - battery.charge_mwh, np.full(size, battery.charge_mwh - battery.min_mwh)
    held[-1] = battery.charge_mwh - max(battery.end_mwh, battery.min_mwh)
    found = linprog(
        np.concatenate([hours * prices, hours * (battery.wear_gbp_mwh - prices)]),
        A_ub=np.vstack([stored, -stored]),
        b_ub=np.concatenate([np.full(size, room), held]),
        bounds=[(0, battery.max_charge_mw)] * size + [(0, battery.max_discharge_mw)] * size,
        method="highs-ipm",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return -float(found.fun)


def two_days(seed: int) -> tuple[Battery, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    battery = a_battery(
        max_charge_mw=rng.uniform(5, 60),
        max_discharge_mw=rng.uniform(5, 60),
        charge_mwh=rng.uniform(10, 95),
        end_mwh=rng.uniform(0, 60),
        efficiency=rng.uniform(0.7, 0.95),
    )
    least = -battery.wear_gbp_mwh * battery.efficiency / (1 - battery.efficiency)
    hours = np.full(96, 0.5)
    hours[0] = rng.uniform(0.01, 0.5)
    return battery, np.maximum(np.round(rng.normal(40, 45, 96), 2), least + 0.01), hours


@pytest.mark.parametrize("seed", range(40))
def test_two_days_are_worth_what_a_programme_written_otherwise_says(seed):
    battery, prices, hours = two_days(seed)
    found = dispatch(battery, prices, hours)
    assert (prices < 0).any()
    assert not waste_pays(battery, prices).any()
    assert found.value_gbp == pytest.approx(best_of_dense_programme(battery, prices, hours), rel=0, abs=NEAR)


SIZES = st.shared(st.integers(1, 30), key="size")
FIELDS = arrays.arrays(
    np.float64, SIZES, elements=st.one_of(st.floats(-300, 600, allow_subnormal=False), st.just(math.nan))
)


@st.composite
def batteries_of_any_kind(draw: st.DrawFn) -> Battery:
    share = st.floats(0, 1, allow_subnormal=False)
    capacity = draw(st.floats(0.1, 500))
    low, high = sorted((draw(share), draw(share)))
    return Battery(
        capacity_mwh=capacity,
        min_mwh=low * capacity,
        max_mwh=high * capacity,
        charge_mwh=draw(share) * capacity,
        max_charge_mw=draw(st.one_of(st.just(0.0), st.floats(0.01, 300))),
        max_discharge_mw=draw(st.one_of(st.just(0.0), st.floats(0.01, 300))),
        efficiency=draw(st.one_of(st.just(1.0), st.floats(0.05, 1))),
        wear_gbp_mwh=draw(st.floats(0, 20)),
        end_mwh=draw(share) * capacity,
    )


@given(batteries_of_any_kind(), FIELDS, st.floats(0, 0.5))
@settings(max_examples=60, deadline=None)
def test_a_dispatch_is_one_that_the_battery_can_do(battery, field, first_hours):
    hours = np.full(field.size, 0.5)
    hours[0] = first_hours
    found = dispatch(battery, field, hours)
    slack = 1e-6 * battery.capacity_mwh + NEAR
    assert not ((found.charge_mw > 0) & (found.discharge_mw > 0)).any()
    assert (found.charge_mw >= 0).all()
    assert (found.charge_mw <= battery.max_charge_mw + NEAR).all()
    assert (found.discharge_mw >= 0).all()
    assert (found.discharge_mw <= battery.max_discharge_mw + NEAR).all()
    assert (found.stored_mwh >= min(battery.min_mwh, battery.charge_mwh) - slack).all()
    assert (found.stored_mwh <= max(battery.max_mwh, battery.charge_mwh) + slack).all()
    assert not found.power_mw[np.isnan(field)].any()
    assert not found.power_mw[hours == 0].any()
    outside = np.maximum(found.stored_mwh - battery.max_mwh, battery.min_mwh - found.stored_mwh).clip(0)
    assert (np.diff(outside) <= slack).all()  # it never moves away from its band


@given(batteries_of_any_kind(), FIELDS)
@settings(max_examples=30, deadline=None)
def test_following_a_dispatch_comes_to_what_it_said(battery, field):
    hours = np.full(field.size, 0.5)
    found = dispatch(battery, field, hours)
    followed = follow(battery, found.power_mw, field, hours)
    slack = 1e-5 * (1 + battery.capacity_mwh)
    assert followed.stored_mwh == pytest.approx(found.stored_mwh, abs=slack)
    assert followed.value_gbp == pytest.approx(found.value_gbp, abs=600 * slack)


@given(batteries_of_any_kind(), FIELDS, st.data())
@settings(max_examples=30, deadline=None)
def test_nothing_a_battery_may_be_asked_beats_its_dispatch(battery, field, data):
    hours = np.full(field.size, 0.5)
    asked = data.draw(arrays.arrays(np.float64, field.size, elements=st.floats(-300, 300)))
    battery = replace(battery, min_mwh=0.0, max_mwh=battery.capacity_mwh, end_mwh=0.0)
    followed = follow(battery, np.where(np.isnan(field), 0.0, asked), field, hours)
    moved = float((followed.charge_mw + followed.discharge_mw) @ hours)
    assert followed.value_gbp <= dispatch(battery, field, hours).value_gbp + 1e-4 * (1 + moved)


def test_it_buys_low_and_sells_high():
    found = plan(a_battery(), 20, 120)
    assert found.charge_mw.tolist() == pytest.approx([50, 0])
    assert found.discharge_mw.tolist() == pytest.approx([0, 50 * 0.81])
    assert found.stored_mwh.tolist() == pytest.approx([72.5, 50])
    assert found.value_gbp == pytest.approx(25 * 0.81 * (120 - 3) - 25 * 20)


def test_a_spread_that_does_not_pay_for_loss_and_wear_is_left_alone():
    assert not plan(a_battery(), 100, 120).power_mw.any()
    assert plan(a_battery(efficiency=1.0), 100, 120).power_mw.tolist() == pytest.approx([-50, 50])
    assert not plan(a_battery(efficiency=1.0, wear_gbp_mwh=20.5), 100, 120).power_mw.any()


def test_one_half_hour_can_only_use_what_is_above_the_end():
    assert plan(a_battery(), 500).value_gbp == 0
    assert plan(a_battery(end_mwh=0.0), 500).discharge_mw.tolist() == pytest.approx([50])
    assert plan(a_battery(end_mwh=41.0), 500).discharge_mw.tolist() == pytest.approx([9 * 0.9 * 2])
    assert plan(a_battery(end_mwh=0.0), 500, hours=[0.1]).stored_mwh.tolist() == pytest.approx([50 - 5 / 0.9])


def test_a_full_one_cannot_charge_and_an_empty_one_cannot_discharge():
    assert not plan(a_battery(charge_mwh=95.0), -10).charge_mw.any()
    assert not plan(a_battery(charge_mwh=10.0, end_mwh=0.0), 900).discharge_mw.any()


@pytest.mark.parametrize("way", ["max_charge_mw", "max_discharge_mw"])
def test_without_power_one_way_the_other_still_works(way):
    found = plan(a_battery(**{way: 0.0}, end_mwh=0.0), -40, 200)
    assert bool(found.charge_mw.any()) == (way != "max_charge_mw")
    assert bool(found.discharge_mw.any()) == (way != "max_discharge_mw")


def test_one_without_any_power_idles_wherever_it_stands():
    for charge in (0.0, 50.0, 100.0):
        found = plan(a_battery(charge_mwh=charge, max_charge_mw=0.0, max_discharge_mw=0.0), -40, 200)
        assert not found.power_mw.any()
        assert found.stored_mwh.tolist() == [charge, charge]


def test_above_its_band_it_is_led_back_at_full_power_whatever_that_costs():
    found = plan(a_battery(charge_mwh=100.0, max_discharge_mw=3.6), -5, -5, -5, -5)
    assert found.stored_mwh.tolist() == pytest.approx([98, 96, 95, 95])
    assert found.value_gbp == pytest.approx(-(1.8 + 1.8 + 0.9) * (5 + 3))


def test_below_its_band_it_is_led_back_at_full_power_whatever_that_costs():
    found = plan(a_battery(charge_mwh=0.0, max_charge_mw=10.0, end_mwh=0.0), 300, 300, 300)
    assert found.stored_mwh.tolist() == pytest.approx([4.5, 9, 10])


def test_the_way_back_waits_where_there_is_no_price():
    found = plan(a_battery(charge_mwh=0.0, max_charge_mw=10.0, end_mwh=0.0), 300, math.nan, 300)
    assert found.stored_mwh.tolist() == pytest.approx([4.5, 4.5, 9])


def test_an_end_out_of_reach_is_neared_as_far_as_power_allows():
    found = plan(a_battery(charge_mwh=20.0, max_charge_mw=10.0, end_mwh=95.0), 300, 300)
    assert found.charge_mw.tolist() == pytest.approx([10, 10])


def test_no_price_at_all_is_an_idle_battery():
    found = plan(a_battery(charge_mwh=0.0), math.nan, math.nan)
    assert not found.power_mw.any()
    assert found.value_gbp == 0
    assert dispatch(a_battery(), np.array([]), np.array([])).stored_mwh.size == 0


def test_a_battery_never_wastes_energy_by_going_both_ways_at_once():
    full = a_battery(charge_mwh=95.0, end_mwh=95.0, wear_gbp_mwh=0.0)
    found = plan(full, -100, -100)
    assert found.stored_mwh.tolist() == pytest.approx([72.5, 95])
    assert found.value_gbp == pytest.approx(100 * (25 - 22.5 * 0.9))


@pytest.mark.parametrize("block", range(4))
def test_with_negative_prices_it_is_worth_what_a_programme_with_directions_proves_best(block):
    wasteful = 0
    for seed in range(block * 50, block * 50 + 50):
        battery, prices, hours = a_short_day(seed)
        found = dispatch(battery, prices, hours)
        assert does_what_it_can(battery, found, hours)
        assert found.value_gbp == pytest.approx(best_value(battery, prices, hours), rel=0, abs=NEAR), seed
        assert most_worth(battery, prices, hours) == pytest.approx(found.value_gbp, rel=0, abs=1e-3)
        assert most_worth(battery, prices, hours) >= found.value_gbp - 1e-9
        wasteful += bool(waste_pays(battery, prices).any())
    assert wasteful > 20


def a_short_day(seed: int) -> tuple[Battery, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(4, 13))
    charge = rng.uniform(10, 95)
    battery = a_battery(
        max_charge_mw=rng.uniform(5, 60),
        max_discharge_mw=rng.uniform(5, 60),
        charge_mwh=charge,
        end_mwh=charge * rng.uniform(0.5, 1),
        efficiency=rng.uniform(0.6, 0.98),
        wear_gbp_mwh=float(rng.choice([0.0, 3.0])),
    )
    hours = np.full(size, 0.5)
    hours[0] = rng.uniform(0.05, 0.5)
    return battery, np.round(rng.normal(rng.choice([50, 0, -60]), 50, size), 2), hours


@pytest.mark.parametrize("block", range(2))
def test_what_its_site_can_do_with_at_least_is_kept_to_as_far_as_can_be(block):
    met = 0
    for seed in range(block * 30, block * 30 + 30):
        battery, prices, hours = a_short_day(seed)
        battery, rng = replace(battery, end_mwh=0.0), np.random.default_rng(seed)
        least = np.where(rng.random(hours.size) < 0.4, rng.uniform(-20, 30, hours.size), -np.inf)
        found = dispatch(battery, prices, hours, least_mw=least)
        assert does_what_it_can(battery, found, hours)
        assert (found.power_mw >= least - found.short_mw - NEAR).all()
        assert found.short_mw @ hours == pytest.approx(least_short(battery, hours, least), abs=NEAR), seed
        if not found.short_mw.any():
            met += 1
            assert found.value_gbp == pytest.approx(best_value(battery, prices, hours, least), abs=NEAR), seed
    assert met > 5


def test_it_charges_with_no_more_than_there_is_room_for():
    found = plan(a_battery(charge_mwh=15.0, end_mwh=0.0), 20, 20, 120, least_mw=[-8.0, 0, -math.inf])
    assert found.charge_mw.tolist() == pytest.approx([8, 0, 0])
    assert not found.short_mw.any()


def test_it_keeps_what_work_will_need_though_it_is_worth_more_before():
    found = plan(a_battery(charge_mwh=20.0, end_mwh=0.0), 500, 50, least_mw=[-math.inf, 10.0])
    assert found.discharge_mw[1] == pytest.approx(10)
    assert found.discharge_mw[0] == pytest.approx((10 - 5 / 0.9) * 0.9 * 2)


def test_what_it_cannot_give_is_said_and_the_earlier_is_given_first():
    asked = [-math.inf, 60.0, 10.0]
    found = plan(a_battery(charge_mwh=40.0, max_charge_mw=0.0, end_mwh=40.0), 50, 50, 50, least_mw=asked)
    assert found.discharge_mw.tolist() == pytest.approx([0, 50, 2 * 0.9 * (30 - 25 / 0.9)])
    assert found.short_mw.tolist() == pytest.approx([0, 10, 10 - 2 * 0.9 * (30 - 25 / 0.9)])


def test_what_it_is_to_end_with_gives_way_unless_that_is_to_be_kept():
    battery = a_battery(max_charge_mw=5.0)
    yields, keeps = (
        dispatch(battery, np.full(2, 50.0), np.full(2, 0.5), least_mw=np.array([18.0, -np.inf]), keeps_end=keeps)
        for keeps in (False, True)
    )
    assert yields.stored_mwh.tolist() == pytest.approx([40, 42.25])
    assert keeps.stored_mwh.tolist() == pytest.approx([47.75, 50])
    assert keeps.short_mw[0] == pytest.approx(18 - 2.25 * 0.9 * 2)


def test_where_no_price_is_known_it_idles_and_is_short_of_what_is_asked():
    found = plan(a_battery(), math.nan, 50, least_mw=[10.0, 10.0])
    assert found.discharge_mw.tolist() == pytest.approx([0, 10])
    assert found.short_mw.tolist() == pytest.approx([10, 0])


def test_of_equal_plans_the_one_that_moves_least_is_chosen_then_the_earlier():
    ideal = a_battery(efficiency=1.0, wear_gbp_mwh=0.0)
    assert not plan(ideal, 80, 80, 80).power_mw.any()
    assert plan(ideal, 100, 50, 50, 50, 100, 100).power_mw.tolist() == pytest.approx([50, -50, -50, -40, 50, 40])
    assert plan(replace(ideal, end_mwh=40.0), 80, 80, 80).power_mw.tolist() == pytest.approx([20, 0, 0])


def test_the_same_question_has_the_same_answer_to_the_last_bit():
    questions = [two_days(seed) for seed in range(12)]
    questions += [(battery, prices - 60, hours) for battery, prices, hours in questions[:4]]  # on these waste pays
    alone = [dispatch(*question).power_mw.tobytes() for question in questions]
    backwards = [dispatch(*question).power_mw.tobytes() for question in reversed(questions)]
    with ThreadPoolExecutor(2) as threads:
        at_once = [found.power_mw.tobytes() for found in threads.map(lambda one: dispatch(*one), questions)]
    assert alone == backwards[::-1] == at_once


def test_beside_a_data_centre_it_charges_outside_the_half_hours_that_workloads_pay_for():
    price = np.array([24.0, 20, 22, 24, 120])
    scarcity = np.array([0.0, 3, 0, 0, 0])
    battery = a_battery(max_discharge_mw=40.5)  # all that one half hour's charge comes to
    free, priced = plan(battery, *price), plan(battery, *(price + scarcity))
    assert free.charge_mw.tolist() == pytest.approx([0, 50, 0, 0, 0])
    assert priced.charge_mw.tolist() == pytest.approx([0, 0, 50, 0, 0])
    assert priced.discharge_mw.tolist() == free.discharge_mw.tolist()


def test_beside_a_data_centre_it_discharges_in_the_half_hours_that_workloads_pay_for():
    price = np.array([20.0, 90, 95, 90])
    scarcity = np.array([0.0, 0, 0, 60])
    assert np.flatnonzero(plan(a_battery(), *price).discharge_mw).tolist() == [2]
    assert np.flatnonzero(plan(a_battery(), *(price + scarcity)).discharge_mw).tolist() == [3]


def test_following_stops_at_empty_and_at_full():
    asked = np.array([50.0, 50.0, 50.0, -80.0, -50, -50, -50, -50, -50])
    found = follow(a_battery(), asked, np.full(9, 100.0), np.full(9, 0.5))
    assert found.stored_mwh[:3].tolist() == pytest.approx([50 - 25 / 0.9, 0, 0], abs=NEAR)
    assert found.charge_mw[3] == 50
    assert found.stored_mwh[-1] == pytest.approx(100)
    assert not found.is_exact


def test_following_counts_no_money_where_there_is_no_price_but_keeps_the_energy():
    found = follow(a_battery(), np.array([10.0, 10.0]), np.array([math.nan, 100.0]), np.full(2, 0.5))
    assert found.value_gbp == pytest.approx(5 * 97)
    assert found.stored_mwh[-1] == pytest.approx(50 - 10 / 0.9)


def test_following_in_decimals_drops_what_is_beyond_them_and_never_the_last_whole_one():
    asked = np.array([0.0019999, -0.0019999, 0.3, -0.001])
    found = follow(a_battery(), asked, np.full(4, 100.0), np.full(4, 0.5), decimals=3)
    assert found.power_mw.tolist() == [0.001, -0.001, 0.3, -0.001]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"efficiency": 0.0}, "efficiency"),
        ({"efficiency": 85.0}, "efficiency"),
        ({"min_mwh": 96.0}, "min_mwh"),
        ({"max_mwh": 101.0}, "max_mwh"),
        ({"max_charge_mw": -1.0}, "max_charge_mw"),
        ({"wear_gbp_mwh": -1.0}, "wear_gbp_mwh"),
        ({"charge_mwh": math.nan}, "charge_mwh"),
        ({"end_mwh": math.nan}, "end_mwh"),
        ({"max_discharge_mw": math.inf}, "max_discharge_mw"),
    ],
)
def test_a_figure_out_of_range_is_refused_by_name(changes, named):
    with pytest.raises(Invalid, match=named):
        plan(a_battery(**changes), 10, 20)


def test_only_a_price_may_be_missing_and_nothing_is_infinite():
    with pytest.raises(Invalid, match="field_gbp_mwh"):
        plan(a_battery(), 10, -math.inf)
    with pytest.raises(Invalid, match="hours"):
        plan(a_battery(), 10, 20, hours=[0.5, math.nan])


def test_arrays_of_different_length_are_refused():
    with pytest.raises(Invalid, match="least_mw"):
        plan(a_battery(), 10, 20, least_mw=[1.0])
    with pytest.raises(Invalid, match="least_mw"):
        plan(a_battery(), 10, 20, least_mw=[1.0, math.nan])
    with pytest.raises(Invalid, match="field_gbp_mwh has 2"):
        dispatch(a_battery(), np.zeros(2), np.zeros(3))
    with pytest.raises(Invalid, match="power_mw has 1"):
        follow(a_battery(), np.zeros(1), np.zeros(3), np.zeros(3))
