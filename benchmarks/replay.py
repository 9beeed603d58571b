"""The same bytes on another machine: plans and decisions worked out again as one processor would, and another.

With one thread and with two, with the kernels of two processors for linear algebra (BLAS), with machine code for
the oldest processor there is, and without what newer ones add to NumPy and to the mathematical library. All share
a new cache, in which machine code stands by the processor that it is for.

`made` are fleets, batteries and jobs that are made here: every digit of what comes out is compared. `kept` is a
simulated fleet that lives for some hours in a database of its own, where jobs arrive, plans are made and agents
decide; of that `pylon audit replay --all` makes everything again and compares it with what was stored.

    python benchmarks/replay.py --plans 200 --decisions 2000 [--what kept]
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import os
import pickle
import platform
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from arrival import a_field, a_job
from fleet import HALF_HOURS, a_fleet, problem_of

MACHINES = {
    "as this machine is": {},
    "1 thread": {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "2 threads": {"NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "BLAS of a Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "BLAS of a Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "machine code for any": {"NUMBA_CPU_NAME": "generic"},
    "NumPy and libm of old": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX512F",
    },
}
BATTERIES = 3  # beside each fleet


def problems(count):
    """Return fleets of 10 to 600 jobs, some with ramps, GPUs or present places, and batteries beside each."""
    dice = random.Random(1)
    return [a_problem(seed, dice) for seed in range(count)]


def a_problem(seed, dice):
    jobs = dice.choice((10, 60, 150, 300, 600))
    of = a_fleet(jobs, seed, dice.choice((0.3, 0.45, 0.62, 1.0)))
    problem = problem_of(of, "full", seed % 5 == 4)
    if seed % 3 == 1:
        gpus = np.floor(8 * problem.jobs.it_power_mw / problem.jobs.it_power_mw.mean())
        room = np.full(problem.sites.shape, float(np.floor(gpus.sum() / 8)))
        problem = dataclasses.replace(
            problem,
            jobs=dataclasses.replace(problem.jobs, gpus=gpus),
            sites=dataclasses.replace(problem.sites, room_gpus=room),
        )
    return problem, [a_store(dice, 0 if seed % 4 == 0 else -1) for _ in range(BATTERIES)]


def a_store(dice, site):
    """Return a battery at a site, or -1 for none, and a field: some prices are below 0, and one is not known."""
    from pylon.planning.battery import Battery
    from pylon.planning.joint import Store

    capacity = dice.uniform(1, 40)
    field = np.array([dice.gauss(40, 45) for _ in range(HALF_HOURS)])
    field[dice.randrange(HALF_HOURS)] = np.nan
    battery = Battery(
        capacity_mwh=capacity,
        charge_mwh=capacity * dice.random(),
        min_mwh=0.1 * capacity,
        max_mwh=0.9 * capacity,
        max_charge_mw=capacity / dice.uniform(1, 5),
        max_discharge_mw=capacity / dice.uniform(1, 5),
        efficiency=dice.uniform(0.7, 1.0),
        wear_gbp_mwh=dice.choice((0.0, 3.0, 8.5)),
        end_mwh=capacity * dice.uniform(0.1, 0.9),
    )
    hours = np.full(HALF_HOURS, 0.5)
    return Store(battery=battery, field_gbp_mwh=field, hours=hours, site=site)


def planned(problem, stores):
    """Return what a plan of jobs and batteries comes to, every digit of it."""
    from pylon.planning import joint

    together = joint.plan_together(problem, stores)
    plan = together.plan
    return {
        "site": plan.places.site.tolist(),
        "slots": plan.places.slots.tolist(),
        "cost": dataclasses.asdict(plan.cost),
        "bounds": [plan.bound_gbp, together.bound_gbp, together.rounds],
        "prices": together.prices.stack().ravel().tolist(),
        "binding": [dataclasses.asdict(one) for one in plan.binding],
        "rejected": [dataclasses.asdict(one) for one in plan.rejected],
        "batteries": [one.power_mw.tolist() for one in together.dispatches],
    }


def decided(job, field, weights):
    """Return what the placement of one job comes to: the choice, the best of every site, and all refusals."""
    from pylon.planning import arrival

    placement = arrival.place(job, field, weights)
    return repr((placement.chosen, placement.baseline, placement.by_site, placement.refused, placement.to_fit))


def work(kept, out):
    """Work out everything in the file `kept`; write a line for each to `out`."""
    fleets, jobs, field, weights = pickle.loads(kept.read_bytes())
    with out.open("w") as lines:
        for problem, stores in fleets:
            lines.write(json.dumps(planned(problem, stores)) + "\n")
        for job in jobs:
            lines.write(json.dumps(decided(job, field, weights)) + "\n")


def lines_of(path):
    with path.open() as lines:
        yield from lines


def first_difference(path, other):
    """Return the number of the first line that differs, and what it says here and there around that place."""
    for number, (here, there) in enumerate(itertools.zip_longest(lines_of(path), lines_of(other), fillvalue="")):
        if here != there:
            at = next((i for i, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1]), 0)
            return f"number {number}: ...{here[max(0, at - 40) : at + 40]}... / ...{there[at : at + 40]}..."
    return None


def keep(home, plans, decisions):
    """Live for a while: jobs arrive, plans are made of them, and agents decide; all of it is kept."""
    from pylon.interfaces import runtime
    from pylon.services.perform_action import perform

    dice, now = random.Random(3), datetime(2026, 11, 22, 9, 7, tzinfo=UTC)
    each = -(-decisions // plans)
    with runtime.opened(settings_of(home), clock=lambda: now) as here:
        for turn in range(plans):
            if turn % 4 == 0:
                here.run_pipeline("command")
            jobs = [a_submission(dice, now, f"JOB-{turn}-{one}") for one in range(each)]
            perform(here.database, here.views, here.call(), "submit_workloads", {"workloads": jobs})
            made = here.plan("benchmark")
            assert made.status == "SUCCEEDED", made
            here.decide("benchmark")
            here.execute()
            now += timedelta(minutes=7)


def settings_of(home):
    from pylon.settings import Settings

    return Settings(home=home, grid="simulated", schedule="off")


def a_submission(dice, now, job_id):
    return {
        "job_id": job_id,
        "workload_type": "INFERENCE_BATCH",
        "duration_mins": dice.randrange(10, 300),
        "power_kw": dice.choice((5, 50, 400, 1500)),
        "interruptible": dice.random() < 0.4,
        "deadline": (now + timedelta(minutes=dice.randrange(30, 900))).isoformat(),
        "carbon_cap_gco2": dice.choice((None, None, 60, 120, 200)),
        "max_price_gbp": dice.choice((None, None, None, 5, 60)),
        "value_gbp": dice.choice((None, 0.5, 50)),
        "migration_cost_gbp": dice.choice((0, 1, 30)),
    }


def replayed(home, cache, settings):
    """Return what `pylon audit replay --all` says in the end, on such a machine."""
    ended = subprocess.run(
        [sys.executable, "-m", "pylon", "audit", "replay", "--all"],
        env=os.environ | {"PYLON_HOME": str(home), "PYLON_GRID": "simulated"} | cache | settings,
        capture_output=True,
        text=True,
    )
    return ended.returncode, (ended.stdout or ended.stderr).strip().splitlines()


def compare(plans, decisions, folder, machines):
    """Print whether what is made here comes out the same on each machine; return how many differ."""
    from pylon.planning.field import Weights

    dice, differ, first = random.Random(7), 0, None
    kept, weights = Path(folder, "kept"), Weights(carbon_price_gbp_t=100, stress_price_gbp_mwh=20)
    field = a_field(dice)
    kept.write_bytes(pickle.dumps((problems(plans), [a_job(dice) for _ in range(decisions)], field, weights)))
    print(f"{plans} plans with batteries and {decisions} placements, made here: SHA-256 of every digit")
    for number, (name, settings) in enumerate(machines.items()):
        out, began = Path(folder, f"out-{number}"), time.perf_counter()
        cache = {"NUMBA_CACHE_DIR": str(Path(folder, "cache"))}
        words = [sys.executable, __file__, "--work", kept, out]
        subprocess.run(words, env=os.environ | cache | settings, check=True)
        digest = hashlib.sha256(out.read_bytes()).hexdigest()
        difference = first_difference(first, out) if first else None
        first, differ = first or out, differ + (difference is not None)
        print(f"{name:24} {digest[:16]} {time.perf_counter() - began:7.1f} s  {difference or 'same'}", flush=True)
    return differ


def compare_kept(plans, decisions, folder, machines):
    """Print whether what is kept in a database comes out as stored; return on how many machines it does not."""
    home, failed = Path(folder, "home"), 0
    home.mkdir()
    keep(home, plans, decisions)
    print("What was kept in a database, made again by `pylon audit replay --all`")
    for name, settings in machines.items():
        began = time.perf_counter()
        code, lines = replayed(home, {"NUMBA_CACHE_DIR": str(Path(folder, "cache"))}, settings)
        failed += code != 0
        print(f"{name:24} {time.perf_counter() - began:7.1f} s  {'; '.join(lines[-6:])}", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plans", type=int, default=200)
    parser.add_argument("--decisions", type=int, default=2000)
    parser.add_argument("--what", nargs="+", default=["made", "kept"], choices=["made", "kept"])
    parser.add_argument("--only", nargs="+", choices=MACHINES, help="these machines, and this one as it is")
    parser.add_argument("--work", nargs=2, type=Path, metavar=("KEPT", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(*args.work)
        return 0
    wanted = args.only or MACHINES
    machines = {name: settings for name, settings in MACHINES.items() if name in wanted or not settings}
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; simulated")
    # The server of the last command may still be ending when the folder goes.
    with tempfile.TemporaryDirectory(prefix="pylon-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as another user
        differ = compare(args.plans, args.decisions, folder, machines) if "made" in args.what else 0
        if "kept" in args.what:
            differ += compare_kept(args.plans, args.decisions, folder, machines)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
