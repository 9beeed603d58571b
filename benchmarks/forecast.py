"""The forecast of carbon, demand and price on recorded half hours, beside four naive ones.

Rolling origins over the last 30 % of each series, one every 11 half hours so that every time of day has its turn;
all that is fitted is fitted on the past alone, again every 7 days. 48 hours from each origin are scored: MAE by
hours ahead; for forecasts that have quantiles CRPS, the coverage of the 90 % band and the share of values up to the
upper quantile (90 %); and which share of the saving of perfect foresight is kept by a job of 4 hours within 24 that
goes by the forecast (interruptible / in one go).

Naive forecasts are the last value, that of 24 hours or of a week ago, and the climatology: the mean of all past of
that half hour of the London day, by working day and weekend. "Usual" is ours without the anomaly.

The carbon and demand of 2023 and the market index price of 2026 are recorded; values of 0 g are known to be false
and count as missing. Then the seam: how far off the half hours after an official forecast ends are, with ours
plainly joined and blended; and how few days of history are enough for the band.

    python benchmarks/forecast.py --data FOLDER [--every 11]

FOLDER is that of PYLON_RECORDINGS: it has `replay/`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pylon.ontology.calendar import HALF_HOUR
from pylon.planning import forecast as planning
from pylon.planning._forecast_usual import read_clock

YEAR, PRICE = "gb_2023_halfhourly_carbon_demand.csv.gz", "gb_2026H1_mid_apx_halfhourly.csv.gz"
DAY, WEEK, TWO_DAYS = 48, 336, 96
RECENT = 96
NAIVE = ("persistence", "24 h ago", "a week ago", "climatology")


def read(folder, file, column, *, start="start_utc"):
    """Return the first half hour and the values of a column; missing half hours and false zeros are NaN."""
    with gzip.open(folder / "replay" / file, "rt", newline="") as text:
        rows = {datetime.fromisoformat(row[start]).astimezone(UTC): row[column] for row in csv.DictReader(text)}
    first, last = min(rows), max(rows)
    values = np.full((last - first) // HALF_HOUR + 1, math.nan)
    for at, text in rows.items():
        is_false = column.startswith("ci_api") and text and float(text) == 0
        values[(at - first) // HALF_HOUR] = float(text) if text and not is_false else math.nan
    return first, values


def series(folder):
    quantity = planning.Quantity
    return {
        "carbon 2023, gCO2/kWh": (quantity.CARBON, *read(folder, YEAR, "ci_api_actual")),
        "national demand 2023, MW": (quantity.DEMAND, *read(folder, YEAR, "nd_mw")),
        "market index price 2026, GBP/MWh": (quantity.PRICE, *read(folder, PRICE, "price", start="startTime")),
    }


def origins(size, every):
    return range(int(0.7 * size), size - TWO_DAYS, every)


def rolling(quantity, first, values, at, *, recent=RECENT):
    """Yield our forecast from each origin, by a model of the past that is at most 7 days old."""
    model, fitted = None, -WEEK
    for origin in at:
        if origin - fitted >= WEEK:
            model, fitted = planning.fit(values[:origin], first, quantity=quantity), origin
        yield planning.forecast(model, values[origin - recent : origin], first + origin * HALF_HOUR)


def naive(name, first, values, origin):
    past, ahead = values[:origin], np.arange(TWO_DAYS)
    if name == "persistence":
        return np.full(TWO_DAYS, past[np.isfinite(past)][-1])
    if name == "climatology":
        clock = read_clock(first, origin + TWO_DAYS)
        kinds = clock.is_weekend * DAY + clock.half_hour
        known = np.isfinite(past)
        sums = np.bincount(kinds[:origin][known], past[known], 2 * DAY)
        return (sums / np.bincount(kinds[:origin][known], minlength=2 * DAY))[kinds[origin:]]
    back = DAY if name == "24 h ago" else WEEK
    return past[origin - back + ahead % back]


def kept(forecasts, actual):
    """Return the shares kept, interruptible and in one go, as text."""
    shares = [
        planning.share_kept(forecasts, actual, job_half_hours=8, window_half_hours=DAY, is_interruptible=may_split)
        for may_split in (True, False)
    ]
    return " / ".join(f"{share:4.0%}" for share in shares)


def row(name, forecasts, actual, quantiles=None):
    spans = (slice(1, 2), slice(0, DAY), slice(DAY, TWO_DAYS), slice(0, TWO_DAYS))
    errors = "".join(f"{planning.mae(forecasts[:, span], actual[:, span]):9.1f}" for span in spans)
    sure = f"{'':27}"
    if quantiles is not None:
        band = planning.coverage(quantiles[0], quantiles[-1], actual)
        upper = quantiles[planning.LEVELS.index(planning.UPPER_LEVEL)]
        below = (actual <= upper)[np.isfinite(actual)].mean()
        sure = f"{planning.crps(quantiles, actual):9.1f}{band:9.3f}{below:9.3f}"
    print(f"{name:32}{errors}{sure}{kept(forecasts, actual):>16}", flush=True)


def compare(title, quantity, first, values, every):
    at = origins(values.size, every)
    actual = np.array([values[origin : origin + TWO_DAYS] for origin in at])
    print(f"\n{title}: {len(at)} origins\n{'':32}{'to 1 h':>9}{'0-24 h':>9}{'24-48 h':>9}{'0-48 h':>9}", end="")
    print(f"{'CRPS':>9}{'in band':>9}{'<= upper':>9}{'saving kept':>16}")
    for name in NAIVE:
        row(name, np.array([naive(name, first, values, origin) for origin in at]), actual)
    for name, recent in (("usual", 0), ("ours", RECENT)):
        ours = list(rolling(quantity, first, values, at, recent=recent))
        quantiles = np.stack([one.quantiles for one in ours], axis=1)
        row(name, np.array([one.mean for one in ours]), actual, quantiles)


def seam(folder, every):
    """Print the error of ours after an official forecast that ends: from its end on, plainly joined and blended."""
    quantity = planning.Quantity
    print("\nMAE after the official forecast ends, 0-3 h / 3-12 h / 12-24 h: plainly joined, blended, and its own")
    for title, kind, came, official in (
        ("carbon, last forecasts", quantity.CARBON, "ci_api_actual", "ci_api_forecast"),
        ("demand, day ahead", quantity.DEMAND, "nd_mw", "da_demand_forecast_mw"),
    ):
        (first, values), (_, theirs) = (read(folder, YEAR, column) for column in (came, official))
        at, size = origins(values.size, every), DAY
        actual = np.array([values[origin + size : origin + 2 * size] for origin in at])
        alone = np.array([theirs[origin + size : origin + 2 * size] for origin in at])
        plain, blended = [], []
        for origin, ours in zip(at, rolling(kind, first, values, at), strict=True):
            plain.append(ours.mean[size:])
            blended.append(planning.fill(theirs[origin : origin + size], ours).mean[size:])
        for name, forecasts in (("plain", np.array(plain)), ("blended", np.array(blended)), ("official", alone)):
            spans = (slice(0, 6), slice(6, 24), slice(24, 48))
            errors = "".join(f"{planning.mae(forecasts[:, span], actual[:, span]):10.1f}" for span in spans)
            print(f"{title + ': ' + name:42}{errors}", flush=True)


def short(folder):
    """Print how the 90 % band does with few days of history, over the year."""
    print("\nDays of history: share within the 90 % band, and MAE, 0-48 h, over the year")
    for title, (kind, first, values) in series(folder).items():
        texts = []
        for days in (1, 2, 3, 5, 7, 14, 28, 56):
            at = range(60 * DAY, values.size - TWO_DAYS, 5 * DAY + 11)
            ours = []
            for origin in at:
                start = origin - days * DAY
                if np.isfinite(values[start:origin]).sum() >= DAY:
                    model = planning.fit(values[start:origin], first + start * HALF_HOUR, quantity=kind)
                    made = planning.forecast(model, values[start:origin], first + origin * HALF_HOUR)
                    ours.append((made.mean, made.quantiles, values[origin : origin + TWO_DAYS]))
            mean, quantiles, actual = (np.array(each) for each in zip(*ours, strict=True))
            share = planning.coverage(quantiles[:, 0], quantiles[:, -1], actual)
            texts.append(f"{days}: {share:.2f}, {planning.mae(mean, actual):.0f}")
        print(f"{title:32} " + "   ".join(texts), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of recorded data")
    parser.add_argument("--every", type=int, default=11, help="half hours from one origin to the next")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for title, (kind, first, values) in series(options.data).items():
        compare(title, kind, first, values, options.every)
        began = time.process_time()
        model = planning.fit(values, first, quantity=kind)
        fitted = time.process_time()
        planning.forecast(model, values[-RECENT:], first + values.size * HALF_HOUR)
        made = time.process_time()
        days = values.size // DAY
        print(f"CPU time: fit on {days} days {fitted - began:.2f} s, 96 half hours {1000 * (made - fitted):.1f} ms")
    seam(options.data, options.every)
    short(options.data)


if __name__ == "__main__":
    main()
