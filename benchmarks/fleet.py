"""Plans of whole fleets: how far from the best they are at most, how long they take, and a greedy plan beside them.

Simulated fleets of workloads over 48 hours and 14 sites; nothing here was measured at a real one. Each plan is
checked here, outside the planner: every limit, the cost worked out again, and the bound by NumPy alone from the
stored prices. `published` drops the waiting cost and the cap on money of interruptible workloads, `full` drops
nothing. Compilation is not in the times.

    python benchmarks/fleet.py --jobs 1000 10000 --util .62 --ramps
    python benchmarks/fleet.py --instances FILE     # with make(N, seed, util), in place of the fleets made here
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import resource
import time

import numpy as np

SITES, HALF_HOURS, HOURS = 14, 96, 0.5
CARBON_PRICE, STRESS_PRICE = 100.0, 20.0
NONE = 1e8  # a cap above this is none


def a_fleet(count, seed, util):
    """Return a fleet as arrays: a day and a half of arrivals, four in ten may pause, three in ten may not move."""
    dice = np.random.default_rng([count, seed, 48])
    carbon, price, stress = signals(dice)
    length = dice.choice(
        [1, 2, 3, 4, 6, 8, 12, 16, 24], count, p=[0.16, 0.18, 0.12, 0.16, 0.13, 0.11, 0.08, 0.04, 0.02]
    )
    power = dice.lognormal(0, 0.8, count)
    power *= 200 / power.sum()
    first = np.minimum(dice.integers(0, 60, count), HALF_HOURS - length - 1)
    slack = dice.choice([0, 4, 12, 24, 48, 96], count, p=[0.08, 0.12, 0.25, 0.25, 0.2, 0.1])
    origin = dice.integers(0, SITES, count)
    may_move = dice.random(count) < 0.7
    allowed = (dice.random((count, SITES)) < 0.75) & may_move[:, None]
    allowed[np.arange(count), origin] = True
    energy = power * length * HOURS
    pue = dice.uniform(1.08, 1.5, SITES)
    spare = energy.sum() * pue.mean() / util / (HALF_HOURS * HOURS) * dice.dirichlet(np.full(SITES, 40.0))
    daily = 1 + 0.25 * np.sin(2 * np.pi * (np.arange(HALF_HOURS) / 48 - 0.4))
    base = spare[:, None] * 1.2 * daily
    room = np.maximum(2.2 * spare[:, None] - base, 0)
    return {
        "L": length,
        "p": np.minimum(power, 0.9 * room.max() / pue.max()),
        "a": first,
        "b": np.minimum(first + length + slack, HALF_HOURS),
        "o": origin,
        "allowed": allowed,
        "inter": (dice.random(count) < 0.4) & (length > 1),
        "mig": np.where(may_move, energy * dice.choice([0.5, 2.0, 5.0], count), 0.0),
        "delay": energy * dice.choice([0, 0.05, 0.3, 1.0], count, p=[0.5, 0.25, 0.15, 0.1]),
        "cap_ci": np.where(dice.random(count) < 0.25, dice.choice([150.0, 200.0, 250.0, 300.0], count), np.inf),
        "maxp": np.where(dice.random(count) < 0.2, energy * dice.uniform(85, 150, count), np.inf),
        "rej": 600 * energy,
        "pue": pue,
        "cap": room,
        "base": base,
        "ramp": 0.77 * spare,
        "ci": carbon,
        "price": price,
        "stress": stress,
    }


def signals(dice):
    """Return carbon (D, T), price and stress (T,): daily shapes, one wind for all sites, little of each's own."""
    day = np.arange(HALF_HOURS) / 48
    evening = np.exp(-(((day % 1 - 0.74) / 0.06) ** 2))
    wind = np.cumsum(dice.normal(size=HALF_HOURS))
    wind = (wind - wind.mean()) / wind.std()
    own = np.cumsum(dice.normal(0, 0.5, (SITES, HALF_HOURS)), axis=1)
    shape = 1 + 0.18 * np.sin(2 * np.pi * (day - 0.55)) + 0.1 * np.sin(4 * np.pi * (day - 0.3)) - 0.18 * wind
    carbon = np.clip(np.linspace(40, 240, SITES)[:, None] * shape + 3 * own, 5, 600)
    price = 75 + 28 * np.sin(2 * np.pi * (day - 0.5)) + 18 * evening + 0.9 * np.cumsum(dice.normal(size=HALF_HOURS))
    stress = np.clip(0.35 + 0.3 * np.sin(2 * np.pi * (day - 0.5)) + 0.3 * evening, 0, 1)
    return carbon, np.maximum(price, -20), stress


def loaded(path):
    spec = importlib.util.spec_from_file_location("instances", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda count, seed, util: module.make(count, seed, util)


def problem_of(of, model, has_ramps):
    from pylon.planning.field import Weights
    from pylon.planning.fleet import FleetProblem, Jobs, Sites

    count, (sites, half_hours) = of["L"].size, of["cap"].shape
    drops = of["inter"] if model == "published" else np.zeros(count, bool)
    return FleetProblem(
        sites=Sites(
            price_gbp_mwh=np.repeat(of["price"][None, :], sites, axis=0),
            carbon_gco2_kwh=of["ci"],
            stress=of["stress"],
            pue=of["pue"],
            room_mw=of["cap"],
            room_gpus=np.full((sites, half_hours), np.inf),
            base_mw=of["base"],
            ramp_mw=of["ramp"] if has_ramps else np.full(sites, np.inf),
        ),
        jobs=Jobs(
            half_hours=of["L"],
            it_power_mw=of["p"],
            gpus=np.zeros(count),
            first_slot=of["a"],
            end_slot=of["b"],
            origin=of["o"],
            allowed=of["allowed"],
            interruptible=of["inter"],
            migration_gbp=of["mig"],
            wait_gbp_per_half_hour=np.where(drops, 0.0, of["delay"]),
            carbon_cap_gco2_kwh=np.where(of["cap_ci"] > NONE, np.inf, of["cap_ci"]),
            max_price_gbp=np.where(drops | (of["maxp"] > NONE), np.inf, of["maxp"]),
            value_gbp=of["rej"],
        ),
        weights=Weights(carbon_price_gbp_t=CARBON_PRICE, stress_price_gbp_mwh=STRESS_PRICE),
    )


def rate_of(problem):
    """Return (D, T) GBP per MWh at the facility."""
    sites = problem.sites
    return sites.price_gbp_mwh + CARBON_PRICE * sites.carbon_gco2_kwh / 1000 + STRESS_PRICE * sites.stress


def checked_cost(problem, plan):
    """Raise AssertionError where the plan breaks a rule; return what it costs."""
    jobs, sites, rate = problem.jobs, problem.sites, rate_of(problem)
    load, total = np.zeros(sites.shape), 0.0
    for j, site in enumerate(plan.places.site.tolist()):
        if site < 0:
            total += jobs.value_gbp[j]
            continue
        slots = plan.places.of(j)
        first, last, length = jobs.first_slot[j], slots[-1], jobs.half_hours[j]
        assert slots.size == length
        assert (np.diff(slots) > 0).all()
        assert first <= slots[0] <= last < jobs.end_slot[j]
        assert jobs.allowed[j, site]
        assert jobs.interruptible[j] or last - slots[0] == length - 1
        carbon, power = sites.carbon_gco2_kwh[site, slots], jobs.it_power_mw[j] * sites.pue[site]
        assert (carbon.max() if jobs.interruptible[j] else carbon.mean()) <= jobs.carbon_cap_gco2_kwh[j] + 1e-6
        assert HOURS * power * sites.price_gbp_mwh[site, slots].sum() <= jobs.max_price_gbp[j] + 1e-6
        load[site, slots] += power
        total += HOURS * power * rate[site, slots].sum() + (site != jobs.origin[j]) * jobs.migration_gbp[j]
        total += jobs.wait_gbp_per_half_hour[j] * (last + 1 - length - first)
    assert (load <= sites.room_mw + 1e-6).all()
    assert (np.abs(np.diff(sites.base_mw + load, axis=1)) <= sites.ramp_mw[:, None] + 1e-6).all()
    assert abs(total - plan.cost.total) < 1e-6 * total
    return total


def numpy_bound(problem, plan):
    """Return the bound at the plan's prices, with arrays alone: a job after another, at each of its sites."""
    jobs, sites, prices = problem.jobs, problem.sites, plan.prices
    net = (prices.rise_gbp_mwh - prices.fall_gbp_mwh)[:, :-1]
    priced = rate_of(problem) + prices.power_gbp_mwh
    priced[:, :-1] -= net
    priced[:, 1:] += net
    step = np.diff(sites.base_mw, axis=1)
    rise, fall = sites.ramp_mw[:, None] - step, sites.ramp_mw[:, None] + step
    worth = (prices.power_gbp_mwh * sites.room_mw).sum()
    for price, limit in ((prices.rise_gbp_mwh, rise), (prices.fall_gbp_mwh, fall)):
        worth += (price[:, :-1] * np.where(price[:, :-1] > 0, limit, 0.0)).sum()
    return sum(least_of(problem, priced, j) for j in range(len(jobs))) - HOURS * worth


def least_of(problem, priced, j):
    """Return the least that one job can cost at prices (D, T); a split's cap on money by a search for its price."""
    jobs, sites = problem.jobs, problem.sites
    window = slice(jobs.first_slot[j], min(jobs.end_slot[j], priced.shape[1]))
    where = np.flatnonzero(jobs.allowed[j])
    power = jobs.it_power_mw[j] * sites.pue[where, None]
    carbon, length = sites.carbon_gco2_kwh[where, window], jobs.half_hours[j]
    cost = HOURS * power * priced[where, window]
    money = HOURS * power * sites.price_gbp_mwh[where, window]
    cost = np.where(power > sites.room_mw[where, window] + 1e-9, np.inf, cost)
    if jobs.interruptible[j] and length > 1:
        cost[carbon > jobs.carbon_cap_gco2_kwh[j] + 1e-9] = np.inf
        least = np.array([split_bound(problem, j, *row) for row in zip(cost, money, strict=True)])
    elif cost.shape[1] < length:
        return jobs.value_gbp[j]
    else:
        runs = [
            np.lib.stride_tricks.sliding_window_view(values, length, axis=1) for values in (cost, money, carbon)
        ]
        totals = runs[0].sum(axis=2) + jobs.wait_gbp_per_half_hour[j] * np.arange(runs[0].shape[1])
        totals[(runs[1].sum(axis=2) > jobs.max_price_gbp[j] + 1e-9)] = np.inf
        totals[(runs[2].mean(axis=2) > jobs.carbon_cap_gco2_kwh[j] + 1e-9)] = np.inf
        least = totals.min(axis=1)
    least += np.where(where == jobs.origin[j], 0.0, jobs.migration_gbp[j])
    return min(jobs.value_gbp[j], least.min(initial=np.inf))


def split_bound(problem, j, cost, money):
    """Return the highest bound over prices of money: the least over splits is concave in that price."""
    jobs, length = problem.jobs, problem.jobs.half_hours[j]
    known, most = np.isfinite(cost), jobs.max_price_gbp[j] + 1e-9
    if known.sum() < length or np.sort(money[known])[:length].sum() > most:
        return np.inf

    def at(price):
        priced, least = np.where(known, cost + price * money, np.inf), np.inf
        for end in np.flatnonzero(known)[length - 1 :]:
            kept = np.partition(priced[:end], length - 2)[: length - 1].sum()
            least = min(least, kept + priced[end] + jobs.wait_gbp_per_half_hour[j] * (end + 1 - length))
        return least - (price * most if price else 0.0)

    free = at(0.0)
    if not np.isfinite(most) or at(1e-4) <= free:
        return free
    low, high = 0.0, 1.0
    while high < 1e6 and at(2 * high) > at(high):
        high *= 2
    low, high = 0.0, 2 * high
    for _ in range(60):
        third = (high - low) / 3
        low, high = (low + third, high) if at(low + third) < at(high - third) else (low, high - third)
    return at((low + high) / 2)


def timed(act):
    began, began_cpu = time.perf_counter(), time.process_time()
    result = act()
    return result, time.perf_counter() - began, time.process_time() - began_cpu


def row(make, args, count, util, model, has_ramps, seed):
    from pylon.planning import fleet

    problem = problem_of(make(count, seed, util), model, has_ramps)
    plan, wall, cpu = timed(lambda: fleet.plan(problem))
    peer, peer_wall, _ = timed(lambda: fleet.greedy(problem))
    cost = checked_cost(problem, plan)
    checked_cost(problem, peer)
    bound, said = plan.bound_gbp, "not again"
    if count <= args.rebound:
        again = numpy_bound(problem, plan)
        assert abs(again - bound) < 1e-6 * abs(bound), (again, bound)
        said = f"{again - bound:+.0e}"
    gap, peer_gap = 100 * (cost / bound - 1), 100 * (peer.cost.total / bound - 1)
    free_gap = 100 * (cost - bound) / (bound - plan.forced_gbp)
    avoidable = sum(one.has_option for one in plan.rejected)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{count:8} {util:5.2f} {model:9} {'ramps' if has_ramps else '-':5} {seed:4}"
        f" {gap:7.3f} {free_gap:7.3f} {peer_gap:7.2f} {avoidable:5} {len(plan.rejected) - avoidable:6}"
        f" {wall:7.2f} {cpu:7.2f} {peer_wall:7.2f} {peak:5.2f}  {said}",
        flush=True,
    )
    if args.warm and not has_ramps:
        warm_row(problem, plan, seed)
    if args.improve:
        solver_row("improved", problem, plan, lambda: fleet.improve(problem, plan))
    if args.exact is not None:
        solver_row("exact", problem, plan, lambda: fleet.solve_exactly(problem, plan, nodes=args.exact))


def solver_row(name, problem, plan, act):
    """Begin with the plan and put the fleet to HiGHS; the bound is then the higher of the two."""
    found, wall, cpu = timed(act)
    checked_cost(problem, found)
    free_gap = 100 * found.gap_gbp / (found.bound_gbp - found.forced_gbp)
    said = (
        f"GBP {plan.cost.total:.0f} to {found.cost.total:.0f}, bound {plan.bound_gbp:.0f} to {found.bound_gbp:.0f}"
    )
    print(f"{name:>34} {100 * found.gap:7.3f} {free_gap:7.3f} {'':20} {wall:7.2f} {cpu:7.2f}  {said}", flush=True)


def warm_row(problem, plan, seed):
    """Plan again after every signal is off by about 5 %, from the prices of the plan before."""
    from dataclasses import replace

    from pylon.planning import fleet

    dice = np.random.default_rng(seed)
    sites = problem.sites
    revised = replace(
        problem,
        sites=replace(
            sites,
            price_gbp_mwh=sites.price_gbp_mwh * dice.normal(1, 0.05, sites.shape[1]),
            carbon_gco2_kwh=sites.carbon_gco2_kwh * dice.normal(1, 0.05, sites.shape),
        ),
    )
    again, wall, cpu = timed(lambda: fleet.plan(revised, plan.prices))
    checked_cost(revised, again)
    print(f"{'again, revised by 5 %':>34} {100 * again.gap:7.3f} {'':35} {wall:7.2f} {cpu:7.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--util", type=float, nargs="+", default=[0.30, 0.45, 0.62, 1.0, 1.3])
    parser.add_argument("--models", nargs="+", default=["published", "full"], choices=["published", "full"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ramps", action="store_true", help="with ramp limits")
    parser.add_argument("--warm", action="store_true", help="also plan again after a revision")
    parser.add_argument(
        "--exact",
        type=int,
        metavar="NODES",
        help="also solve each fleet exactly, with so many nodes; small ones only",
    )
    parser.add_argument(
        "--improve", action="store_true", help="also go on to HiGHS, as plans of an operator's fleet do"
    )
    parser.add_argument(
        "--rebound", type=int, default=10_000, help="largest fleet whose bound NumPy works out again"
    )
    parser.add_argument("--instances", help="a Python file with make(N, seed, util)")
    args = parser.parse_args()
    from pylon.planning import fleet

    make = loaded(args.instances) if args.instances else a_fleet
    fleet.plan(problem_of(a_fleet(300, 0, 0.62), "full", False))  # compiles, or reads what was
    fleet.plan(problem_of(a_fleet(300, 0, 0.62), "full", True))
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}; simulated"
    )
    print(
        f"{'jobs':>8} {'util':>5} {'model':9} {'':5} {'seed':>4} {'gap %':>7} {'free %':>7} {'greedy':>7}"
        f" {'lost':>5} {'no opt':>6} {'wall s':>7} {'CPU s':>7} {'greedy':>7} {'GB':>5}  bound by NumPy"
    )
    for count in args.jobs:
        for util in args.util:
            for model in args.models:
                for seed in args.seeds:
                    row(make, args, count, util, model, args.ramps, seed)


if __name__ == "__main__":
    main()
