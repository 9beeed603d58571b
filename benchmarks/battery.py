"""Dispatching 1,000 batteries over 96 half hours: time of `planning.battery.dispatch`, against SciPy's `linprog`.

The prices are simulated: two days of a daily swing of 50 GBP/MWh with noise, about a mean. Three means are given:
one on which wasting energy pays nowhere, one on which it pays in some half hours, and one on which it pays in most,
so that directions have to be searched for; that last is done for a tenth of the batteries.

The peer states the same linear programme as most would, in MW with SciPy's sparse matrices, at the same tolerances.
It allows both ways at once, so it is asked for 100 batteries for which wasting pays nowhere, and the two values are
held equal to 1e-6 GBP. Each battery is a call of its own. CPU time is this thread's; others may use the machine.

    python benchmarks/battery.py [--batteries 1000]
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import diags_array, eye_array, hstack

HALF_HOURS, PEERS = 96, 100
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
    """Return what a battery earns by SciPy, its charge at both ends within its band."""
    each_way = battery.efficiency**0.5
    highest, lowest = np.full(HALF_HOURS, battery.max_mwh), np.full(HALF_HOURS, battery.min_mwh)
    lowest[-1] = max(battery.min_mwh, battery.end_mwh)
    start = np.zeros(HALF_HOURS)
    start[0] = battery.charge_mwh
    zeros = np.zeros(HALF_HOURS)
    found = linprog(
        np.concatenate([HOURS * field, HOURS * (battery.wear_gbp_mwh - field), zeros]),
        A_eq=hstack(
            [
                diags_array(-each_way * HOURS),
                diags_array(HOURS / each_way),
                eye_array(HALF_HOURS) - eye_array(HALF_HOURS, k=-1),
            ],
            format="csr",
        ),
        b_eq=start,
        bounds=np.column_stack(
            [
                np.concatenate([zeros, zeros, lowest]),
                np.concatenate([zeros + battery.max_charge_mw, zeros + battery.max_discharge_mw, highest]),
            ]
        ),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-10},
    )
    return -found.fun


def timed(act, questions):
    """Return the answers, and CPU and wall seconds."""
    began = time.perf_counter(), time.thread_time()
    answers = [act(*question) for question in questions]
    return answers, time.thread_time() - began[1], time.perf_counter() - began[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batteries", type=int, default=1000)
    count = parser.parse_args().batteries
    from pylon.planning.battery import dispatch

    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    titles = ("mean", "batteries", "CPU s", "wall s", "ms each", "SciPy ms", "ratio", "not proven")
    print("".join(f"{title:>11}" for title in titles))
    for mean, number in ((60, count), (10, count), (-20, max(1, count // 10))):
        dice = np.random.default_rng(5)
        questions = [a_question(dice, mean) for _ in range(number)]
        dispatch(*questions[0], HOURS)  # what is imported at the first call
        found, cpu, wall = timed(lambda battery, field: dispatch(battery, field, HOURS), questions)
        line = f"{mean:11}{number:11}{cpu:11.2f}{wall:11.2f}{cpu / number * 1e3:11.2f}"
        plain = [
            index
            for index, (battery, field) in enumerate(questions)
            if (field * (1 - battery.efficiency) + battery.wear_gbp_mwh * battery.efficiency >= 0).all()
        ][:PEERS]
        if plain:
            values, peer_cpu, _ = timed(peer_value, [questions[index] for index in plain])
            ours = [found[index].value_gbp for index in plain]
            assert np.allclose(ours, values, rtol=0, atol=1e-6), np.abs(np.subtract(ours, values)).max()
            each = peer_cpu / len(plain)
            line += f"{each * 1e3:11.2f}{each / (cpu / number):11.1f}"
        else:
            line += f"{'-':>11}{'-':>11}"
        print(line + f"{sum(not one.is_exact for one in found):11}")


if __name__ == "__main__":
    main()
