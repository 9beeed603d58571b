"""Placing one job at 14 sites x 97 half hours: time of `planning.arrival.place`, against NumPy without a compiler.

The jobs are a mix: 40 % interruptible, 25 % with a carbon cap, 20 % with a price cap, 30 % bound to their origin,
with 0 to 48 hours of slack. Timed is all that `place` does for one job: reading and checking it, the search, and
the choice and the baseline with their terms; the field is checked once, when it is made. The best option of every
site and the counts of refusals are made when they are asked for: a line of its own.

The first line is of one job after another, each placed once. Then each is placed in turn with the peer, whose
arrays take the processor's caches: once, and the least of several times, which is what it takes undisturbed. CPU
time is given too, because others may use the machine.

The peer makes the same choice (all starts at all sites at once in arrays; for an interruptible job a sort for every
half hour that it may end with) and nothing else: no terms, no limits by name, no baseline. It is not asked where
an interruptible job has a cap, and under a cap it does not try the minutes between the edges of half hours.

    python benchmarks/arrival.py [--jobs 2000]
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import platform
import random
import time
from collections import defaultdict

import numpy as np

SITES, HALF_HOURS = 14, 97
REPEATS = 5


def a_field(dice):
    from pylon.planning.field import Field

    hours = np.arange(HALF_HOURS) / 2
    shape = np.cos((hours - 18) / 24 * 2 * np.pi)
    noise = np.array([[dice.gauss(0, 8) for _ in range(HALF_HOURS)] for _ in range(SITES)])
    room = np.full((4, SITES, HALF_HOURS), 4000.0)
    room[0] = [
        [dice.uniform(0.2, 4) if dice.random() < 0.1 else 4 for _ in range(HALF_HOURS)] for _ in range(SITES)
    ]
    return Field(
        price_gbp_mwh=85 + 30 * shape + noise,
        carbon_gco2_kwh=np.maximum(0, 130 + 60 * shape + 3 * noise + 10 * np.arange(SITES)[:, None]),
        stress=np.clip(0.35 + 0.3 * shape, 0, 1),
        scarcity_gbp_mwh=np.zeros((SITES, HALF_HOURS)),
        room=room,
        is_open=np.ones(SITES, np.bool_),
        pue=np.array([dice.uniform(1.1, 1.5) for _ in range(SITES)]),
    )


def a_job(dice):
    from pylon.planning.field import Job

    duration, power = 15 * dice.randint(2, 40), dice.uniform(0.01, 0.5)
    earliest, origin = float(dice.randint(0, 29)), dice.randrange(SITES)
    is_bound = dice.random() < 0.3
    return Job(
        it_power_mw=power,
        duration_mins=duration,
        arrived_mins=earliest - 1,
        earliest_mins=earliest,
        latest_end_mins=earliest + duration + dice.uniform(0, 48 * 60),
        interruptible=dice.random() < 0.4,
        gpus=8.0,
        cpu_cores=64.0,
        memory_gb=512.0,
        carbon_cap_gco2_kwh=dice.uniform(110, 180) if dice.random() < 0.25 else math.nan,
        max_price_gbp=power * 1.3 * duration / 60 * dice.uniform(60, 110) if dice.random() < 0.2 else math.nan,
        value_gbp=power * duration / 60 * 600,
        migration_gbp=dice.uniform(0, 5),
        wait_gbp_per_hour=dice.choice([0.0, 0.1, 1.0]),
        origin=origin,
        allowed=np.array([not is_bound or site == origin for site in range(SITES)]),
    )


def numpy_total(job, field, weights):
    """Return the least total, with arrays alone; NaN for what this peer does not do."""
    is_capped = not (math.isnan(job.carbon_cap_gco2_kwh) and math.isnan(job.max_price_gbp))
    if job.interruptible and is_capped:
        return math.nan
    power = job.it_power_mw * field.pue
    rate = (
        field.price_gbp_mwh
        + weights.carbon_price_gbp_t * field.carbon_gco2_kwh / 1000
        + weights.stress_price_gbp_mwh * field.stress
        + field.scarcity_gbp_mwh
    )
    needs = (power[:, None], job.gpus, job.cpu_cores, job.memory_gb)
    closed = np.logical_or.reduce([room < need for room, need in zip(field.room, needs, strict=True)])
    closed |= ~(field.is_open & job.allowed)[:, None]
    edges = 30.0 * np.arange(HALF_HOURS + 1)
    last = min(job.latest_end_mins, edges[-1]) - job.duration_mins
    starts = np.unique(np.concatenate([[job.earliest_mins, last], edges, edges - job.duration_mins]))
    starts = starts[(starts >= job.earliest_mins) & (starts <= last)]
    ends = starts + job.duration_mins
    fixed = np.where(np.arange(SITES) == job.origin, 0, job.migration_gbp)[:, None]
    wait = job.wait_gbp_per_hour / 60

    def over(values):
        sums = np.concatenate([np.zeros((SITES, 1)), np.cumsum(30 * values, axis=1)], axis=1)
        return np.array([np.interp(ends, edges, row) - np.interp(starts, edges, row) for row in sums])

    counts = np.concatenate([np.zeros((SITES, 1)), np.cumsum(closed, axis=1)], axis=1)
    first, beyond = (starts // 30).astype(int), np.ceil(ends / 30).astype(int)
    totals = power[:, None] / 60 * over(rate) + fixed + wait * (starts - job.arrived_mins)
    forbidden = counts[:, beyond] > counts[:, first]
    if not math.isnan(job.carbon_cap_gco2_kwh):
        forbidden |= over(field.carbon_gco2_kwh) / job.duration_mins > job.carbon_cap_gco2_kwh
    if not math.isnan(job.max_price_gbp):
        forbidden |= power[:, None] / 60 * over(field.price_gbp_mwh) > job.max_price_gbp
    least = np.where(forbidden, np.inf, totals).min(initial=np.inf)
    size = math.ceil(job.duration_mins / 30)
    if job.interruptible and size > 1:
        rest, begin = job.duration_mins - 30 * (size - 1), math.ceil(job.earliest_mins / 30)
        priced = np.where(closed, np.inf, rate * power[:, None])
        for column in range(begin + size - 1, HALF_HOURS):
            end = 30 * column + rest
            if end > job.latest_end_mins:
                break
            kept = np.sort(priced[:, begin:column], axis=1)[:, : size - 1].sum(axis=1) / 2
            total = (
                kept
                + priced[:, column] * rest / 60
                + fixed[:, 0]
                + wait * (end - job.duration_mins - job.arrived_mins)
            )
            least = min(least, total.min())
    return least if least <= job.value_gbp else math.inf


def kind(job):
    is_capped = not (math.isnan(job.carbon_cap_gco2_kwh) and math.isnan(job.max_price_gbp))
    return ("interruptible" if job.interruptible else "in one piece") + (", capped" if is_capped else "")


def timed(act):
    began, began_cpu = time.perf_counter(), time.thread_time()
    result = act()
    return result, np.array([time.perf_counter() - began, time.thread_time() - began_cpu]) * 1e6


def line(title, took):
    medians, p99s = np.percentile(took, 50, axis=0), np.percentile(took, 99, axis=0)
    figures = (medians[0], p99s[0], medians[1], p99s[1])
    print(f"{title:34}{len(took):7}" + "".join(f"{figure:12.0f}" for figure in figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2000)
    count = parser.parse_args().jobs
    from pylon.planning import arrival
    from pylon.planning.field import Weights

    dice = random.Random(7)
    field, weights = a_field(dice), Weights(carbon_price_gbp_t=100, stress_price_gbp_mwh=20)
    jobs = [a_job(dice) for _ in range(count)]
    _, first_us = timed(lambda: [arrival.place(job, field, weights).by_site for job in jobs[:50]])
    took, ours, undisturbed, theirs, inexact = defaultdict(list), [], [], [], 0
    gc.freeze()
    in_a_row = [timed(lambda job=job: arrival.place(job, field, weights))[1] for job in jobs]
    for job in jobs:
        placement, us = timed(lambda job=job: arrival.place(job, field, weights))
        again = [timed(lambda job=job: arrival.place(job, field, weights))[1] for _ in range(REPEATS - 1)]
        undisturbed.append(np.min([us, *again], axis=0))
        _, more_us = timed(lambda placement=placement: (placement.by_site, placement.refused))
        total, peer_us = timed(lambda job=job: numpy_total(job, field, weights))
        ours.append(us)
        took[kind(job)].append(us)
        took["with the best of every site"].append(us + more_us)
        inexact += not placement.is_exact
        if not math.isnan(total):
            theirs.append(peer_us)
            found = placement.chosen.terms.total if placement.chosen else math.inf
            assert math.isclose(found, total, rel_tol=1e-9) or (kind(job).endswith("capped") and found < total)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"first 50 jobs, compiled or read from the cache: {first_us[0] / 1e6:.2f} s; not proven best: {inexact}")
    print(f"{'microseconds':34}{'jobs':>7}{'median':>12}{'p99':>12}{'CPU median':>12}{'CPU p99':>12}")
    line("place, one job after another", in_a_row)
    line("place, in turn with the peer", ours)
    line(f"  least of {REPEATS} for each job", undisturbed)
    for title in sorted(took):
        line(f"  {title}", took[title])
    line("NumPy (no capped interruptible)", theirs)


if __name__ == "__main__":
    main()
