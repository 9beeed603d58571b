"""What waiting saves on a year of carbon intensity: the figures of "Let's Wait Awhile" (Middleware '21) again.

Scenario I is a job of half an hour every night at 01:00, which may run up to so many hours earlier or later.
Scenario II is 3,387 jobs of 4 to 90 hours that arrive in working hours and may wait until somebody looks at the
result: until 9:00 of the next day of work, or of the next Monday or Thursday. Waiting goes by a forecast, the truth
with noise on it (a share of the mean; 10 seeds), and is paid for by the truth. There is no limit of room, so that
the best half hours of each window are the optimum.

Each is worked out twice. "As published": windows hold one half hour more than they say, and so does the one of the
baseline, which may slip by half an hour; a nightly job whose window begins before the year is left out of the sum,
but not of the count. "Exact": windows as they are said, against running at once. The first is for comparison with
the paper, the second is what a product may say.

    python benchmarks/lets_wait_awhile.py --data FOLDER

FOLDER holds a file gb_ci.csv, and others of that form (fr_ci.csv ...): the paper's data sets, which are not shipped
here. A line each half hour, in order, from 2020-01-01 00:00 or before to 2021-01-05 or later; what lies between
(:15, :45) is left out.

    Time,Carbon Intensity
    2020-01-01 00:00:00,151.2
"""

from __future__ import annotations

import argparse
import csv
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

TIME, CARBON = "Time", "Carbon Intensity"
BEGINS, HALF_HOUR = datetime(2020, 1, 1), timedelta(minutes=30)  # as the paper has it  # noqa: DTZ001
DAY, NINE, FIVE = 48, 18, 34  # half hours; of the day
WEDNESDAY = 2  # of 1 January 2020; Monday is 0
NIGHTS, NIGHTLY_AT = 365, 2
JOBS, WORKDAYS_OF = 3387, 366
SEEDS, ERRORS, HOURS = 10, (0.0, 0.05, 0.10), (2, 4, 6, 8)
RULES = ("next workday", "semi-weekly")

PUBLISHED = {  # Great Britain, percent: the paper's own
    ("nightly", 2, 0.0): 6.81,
    ("nightly", 4, 0.0): 8.61,
    ("nightly", 8, 0.0): 10.41,
    ("nightly", 2, 0.05): 4.77,
    ("nightly", 4, 0.05): 6.30,
    ("nightly", 8, 0.05): 7.95,
    ("next workday", False, 0.05): 6.56,
    ("next workday", True, 0.05): 9.03,
    ("semi-weekly", False, 0.05): 14.73,
    ("semi-weekly", True, 0.05): 19.66,
}


def read(path):
    """Return gCO2/kWh by half hour from the start of 2020; SystemExit says what is wrong with the file."""
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if missing := {TIME, CARBON} - set(rows.fieldnames or ()):
                raise SystemExit(f"{path} has no column {' and '.join(sorted(missing))}; see --help.")
            lines = [(datetime.fromisoformat(row[TIME]), float(row[CARBON])) for row in rows]
    except OSError as error:
        raise SystemExit(f"{path} cannot be read: {error.strerror}. --data names its folder.") from None
    except (TypeError, ValueError) as error:
        raise SystemExit(f"{path} has a line that is not a time and a number: {error}.") from None
    year = [(at, value) for at, value in lines if at >= BEGINS and at.minute % 30 == 0]
    for number, (at, _) in enumerate(year):
        if at != BEGINS + number * HALF_HOUR:
            raise SystemExit(f"{path} should go on with {BEGINS + number * HALF_HOUR}, and has {at}.")
    if not year or not np.isfinite(values := np.array([value for _, value in year])).all():
        raise SystemExit(f"{path} has no value from {BEGINS} on, or one that is no number.")
    return values


def noisy(carbon, error, seed):
    """Return a forecast: the truth and noise of a standard deviation of `error` x mean."""
    return carbon + np.random.default_rng(seed).normal(0, error * carbon.mean(), carbon.size)


def nightly(carbon, forecast, reach, *, as_published):
    """Return the mean carbon of the nights' jobs, each in the best half hour up to `reach` away."""
    at = NIGHTLY_AT + DAY * np.arange(NIGHTS)
    if as_published:
        at = at[at >= reach]
    slots = at[:, None] + np.arange(-reach, reach + 1)
    within = (slots >= 0) & (slots < carbon.size)
    priced = np.where(within, forecast[np.clip(slots, 0, carbon.size - 1)], np.inf)
    chosen = slots[np.arange(at.size), priced.argmin(axis=1)]
    return carbon[chosen].sum() / NIGHTS


def jobs():
    """Return when the jobs arrive, and how long each is, in half hours: drawn as the authors drew them."""
    dice = np.random.default_rng(0)
    days = np.arange(WORKDAYS_OF)
    work = days[(days + WEDNESDAY) % 7 < 5]
    arrivals = []
    for day, count in zip(work, dice.multinomial(JOBS, [1 / work.size] * work.size), strict=True):
        arrivals.append(day * DAY + np.sort(dice.choice(np.arange(NINE, FIVE), count)))
    return np.concatenate(arrivals), dice.choice(np.arange(8, 180), JOBS)


def slack(rule, arrives, lengths):
    """Return how many half hours each job may wait so that its result is there when somebody looks."""
    ends = arrives + lengths
    day, of_day = np.divmod(ends, DAY)
    weekday, morning = (day + WEDNESDAY) % 7, day * DAY + NINE
    if rule == "next workday":
        is_worked = (of_day >= NINE) & (of_day <= FIVE)
        looked_at = np.select(
            [weekday == 5, (weekday == 6) | (of_day > FIVE), ~is_worked],
            [morning + 2 * DAY, morning + DAY, morning],
            ends,
        )
    else:
        since_monday = weekday * DAY + of_day
        to_thursday = (since_monday > NINE) & (since_monday <= 3 * DAY + NINE)
        ahead = np.where(to_thursday, 3 - weekday, (7 - weekday) % 7)
        looked_at = morning + ahead * DAY
    return looked_at - ends


def waited(carbon, forecast, arrives, lengths, slacks, *, may_split):
    """Return the carbon of all jobs, each in the best start, or half hours, that its window has by the forecast."""
    if (arrives + lengths + slacks).max() > carbon.size:
        raise SystemExit("The series ends before the last job must have; see --help.")
    if not may_split:
        starts = arrives[:, None] + np.arange(slacks.max() + 1)
        is_late = starts > (arrives + slacks)[:, None]
        starts = np.minimum(starts, (arrives + slacks)[:, None])
        sums = np.concatenate(([0.0], np.cumsum(forecast)))
        chosen = np.where(is_late, np.inf, sums[starts + lengths[:, None]] - sums[starts]).argmin(axis=1)
        true = np.concatenate(([0.0], np.cumsum(carbon)))
        return (true[arrives + chosen + lengths] - true[arrives + chosen]).sum()
    width = lengths + slacks
    slots = arrives[:, None] + np.arange(width.max())
    within = np.arange(width.max()) < width[:, None]
    slots = np.where(within, slots, 0)
    order = np.where(within, forecast[slots], np.inf).argsort(axis=1, kind="stable")
    best = np.take_along_axis(carbon[slots], order, axis=1)
    return best[np.arange(width.max()) < lengths[:, None]].sum()


def savings(carbon, *, as_published):
    """Return percent saved by (scenario, hours or whether jobs may be split, error)."""
    found, more = {}, 1 if as_published else 0
    at_once = nightly(carbon, carbon, 0, as_published=as_published)
    arrives, lengths = jobs()
    none = np.zeros(JOBS, int)
    baseline = waited(carbon, carbon, arrives, lengths, none + more, may_split=False)
    for error in ERRORS:
        forecasts = [noisy(carbon, error, seed) for seed in range(SEEDS)] if error else [carbon]
        for hours in HOURS:
            means = [nightly(carbon, one, 2 * hours, as_published=as_published) for one in forecasts]
            found["nightly", hours, error] = 100 * (1 - np.mean(means) / at_once)
        for rule in RULES:
            slacks = slack(rule, arrives, lengths) + more
            for may_split in (False, True):
                sums = [waited(carbon, one, arrives, lengths, slacks, may_split=may_split) for one in forecasts]
                found[rule, may_split, error] = 100 * (1 - np.mean(sums) / baseline)
    return found


def said(key):
    scenario, how, error = key
    if scenario == "nightly":
        return f"nightly, +-{how} h, error {error:.0%}"
    return f"{scenario}, {'interruptible' if how else 'in one piece'}, error {error:.0%}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    folder, differ = parser.parse_args().data, 0
    paths = sorted(folder.glob("*_ci.csv")) if folder.is_dir() else []
    if not paths:
        raise SystemExit(f"There is no file ..._ci.csv in {folder}; see --help for what is wanted.")
    for path in paths:
        carbon = read(path)
        published = PUBLISHED if path.name == "gb_ci.csv" else {}
        exact, theirs = savings(carbon, as_published=False), savings(carbon, as_published=True)
        print(f"\n{path.name}: {carbon.size} half hours, {carbon.mean():.2f} gCO2/kWh; percent of carbon saved")
        print(f"{'':44}{'as published':>14}{'paper':>8}{'exact':>8}")
        for key, value in theirs.items():
            paper = published.get(key)
            differs = paper is not None and abs(value - paper) > 0.01
            differ += differs
            shown = "" if paper is None else f"{paper:.2f}"
            print(f"{said(key):44}{value:14.2f}{shown:>8}{exact[key]:8.2f}{'  differs' if differs else ''}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
