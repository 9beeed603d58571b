"""Dispatching 1,000 batteries over 96 half hours: time of `planning.battery.dispatch`, against HiGHS.

The prices are simulated: two days of a daily swing of 50 GBP/MWh with noise, about a mean. Four means are given:
one on which wasting energy pays nowhere, and three on which it pays in ever more half hours.

The peer is SciPy's `milp`, which is HiGHS, on the programme that most would write: in MW, with a direction for each
half hour in which wasting pays. It is asked for some of the batteries, and where it proves its optimum the two
values are held equal to 1e-6 GBP. Each battery is a call of its own. CPU time is this thread's; others may use the
machine.

    python benchmarks/battery.py [--batteries 1000] [--peers 25]
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_array, csr_array, diags_array, eye_array

HALF_HOURS = 96
HOURS = np.full(HALF_HOURS, 0.5)


def a_question(dice, mean):
    from pylon.planning.battery import Battery

    at = HOURS.cumsum()
    field = mean - 25 * np.cos((at - 18) / 24 * 2 * np.pi) + dice.normal(0, 15, HALF_HOURS)
    capacity = dice.uniform(5, 200)
    power = capacity / dice.uniform(1, 4)
    battery = Battery(
        capacity_mwh=capacity,
        min_mwh=0.1 * capacity,
        max_mwh=0.95 * capacity,
        charge_mwh=dice.uniform(0.1, 0.95) * capacity,
        max_charge_mw=power,
        max_discharge_mw=power * dice.uniform(0.8, 1.2),
        efficiency=dice.uniform(0.8, 0.92),
        wear_gbp_mwh=3.0,
        end_mwh=0.4 * capacity,
    )
    return battery, np.round(field, 2)


def peer_value(battery, field):
    """Return what a battery earns by HiGHS; None where that is not proven best."""
    each_way = battery.efficiency**0.5
    pays = np.flatnonzero(field * (1 - battery.efficiency) + battery.wear_gbp_mwh * battery.efficiency < 0)
    highest, lowest = np.full(HALF_HOURS, battery.max_mwh), np.full(HALF_HOURS, battery.min_mwh)
    lowest[-1] = max(battery.min_mwh, battery.end_mwh)
    start, zeros, one = np.zeros(HALF_HOURS), np.zeros(HALF_HOURS), np.ones(pays.size)
    start[0] = battery.charge_mwh
    pick = csr_array((one, (np.arange(pays.size), pays)), shape=(pays.size, HALF_HOURS))
    kept = eye_array(HALF_HOURS) - eye_array(HALF_HOURS, k=-1)
    balance = [diags_array(-each_way * HOURS), diags_array(HOURS / each_way), kept, None]
    charges = [pick, None, None, diags_array(-battery.max_charge_mw * one)]
    discharges = [None, pick, None, diags_array(battery.max_discharge_mw * one)]
    rows = block_array([balance, charges, discharges] if pays.size else [balance[:3]], format="csr")
    none = np.full(2 * pays.size, -np.inf)
    upper = np.concatenate([start, 0 * one, battery.max_discharge_mw * one])
    columns = [zeros + battery.max_charge_mw, zeros + battery.max_discharge_mw, highest, one]
    found = milp(
        np.concatenate([HOURS * field, HOURS * (battery.wear_gbp_mwh - field), zeros, 0 * one]),
        constraints=LinearConstraint(rows, np.concatenate([start, none]), upper),
        bounds=Bounds(np.concatenate([zeros, zeros, lowest, 0 * one]), np.concatenate(columns)),
        integrality=np.repeat([0, 1], [3 * HALF_HOURS, pays.size]),
        options={"mip_rel_gap": 0.0, "time_limit": 20.0},
    )
    return -found.fun if found.status == 0 else None


def timed(act, questions):
    """Return the answers, and CPU and wall seconds."""
    began = time.perf_counter(), time.thread_time()
    answers = [act(*question) for question in questions]
    return answers, time.thread_time() - began[1], time.perf_counter() - began[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batteries", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=25)
    given = parser.parse_args()
    from pylon.planning.battery import dispatch

    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    titles = ("mean", "batteries", "CPU s", "wall s", "ms each", "HiGHS ms", "ratio", "proven", "worst GBP")
    print("".join(f"{title:>11}" for title in titles))
    for mean in (60, 10, -20, -60):
        dice = np.random.default_rng(5)
        questions = [a_question(dice, mean) for _ in range(given.batteries)]
        dispatch(*questions[0], HOURS)  # what is compiled or imported at the first call
        found, cpu, wall = timed(lambda battery, field: dispatch(battery, field, HOURS), questions)
        each = cpu / given.batteries * 1e3
        peers, peer_cpu, _ = timed(peer_value, questions[: given.peers])
        off = [abs(one.value_gbp - peer) for one, peer in zip(found, peers, strict=False) if peer is not None]
        assert max(off, default=0.0) <= 1e-6, max(off)
        peer_each = peer_cpu / given.peers * 1e3
        print(
            f"{mean:11}{given.batteries:11}{cpu:11.2f}{wall:11.2f}{each:11.2f}{peer_each:11.2f}"
            f"{peer_each / each:11.1f}{len(off):11}{max(off, default=0.0):11.0e}"
        )


if __name__ == "__main__":
    main()
