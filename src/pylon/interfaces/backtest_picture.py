"""The picture of a back-test: carbon, price, and the load of running at once and of Pylon. matplotlib draws it.

Up to three weeks every half hour is drawn, beyond that the mean of every day.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pylon.errors import Invalid
from pylon.ontology.calendar import HALF_HOUR, LONDON
from pylon.planning.field import Floats
from pylon.services.backtest import Backtest, Policy, Week

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check", "draw"]

_ENDINGS: Final = (".svg", ".png")
_BY_HALF_HOUR: Final = timedelta(days=21)
_DAY: Final = 48
_BEFORE, _AFTER, _GRID = "#b3471b", "#1b6fb3", "#5a5a5a"


def check(path: Path) -> None:
    """Raise `Invalid` when no picture can be written to `path`: ending, folder, or no matplotlib."""
    if path.suffix.lower() not in _ENDINGS:
        raise Invalid(f"--picture {path.name!r} has an ending that says nothing. Valid: {', '.join(_ENDINGS)}.")
    if not path.absolute().parent.is_dir():
        raise Invalid(f"There is no folder {path.absolute().parent} to put the picture in.")
    if importlib.util.find_spec("matplotlib") is None:
        raise Invalid("A picture needs matplotlib: pip install 'pylon-deg[picture]', or leave --picture out.")


def draw(found: Backtest, path: Path) -> None:
    """Draw the back-test into `path`, which `check` has passed; the same back-test gives the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "pylon"  # or the names inside an SVG would differ each time
    figure = Figure(figsize=(12, 8), layout="constrained")
    carbon, price, load = figure.subplots(3, 1, sharex=True)
    _line(carbon, found, lambda week: week.national_gco2_kwh, _GRID, "national carbon, recorded")
    carbon.set_ylabel("gCO2/kWh")
    _line(price, found, lambda week: week.price_gbp_mwh, _GRID, "price, SIMULATED")
    price.set_ylabel("GBP/MWh")
    _line(load, found, lambda week: week.load_mw[Policy.RUN_NOW], _BEFORE, "load before: run now, SIMULATED")
    _line(load, found, lambda week: week.load_mw[Policy.PYLON], _AFTER, "load after: Pylon, SIMULATED")
    load.set_ylabel("MW")
    for axes in (carbon, price, load):
        axes.margins(x=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0)
    load.set_ylim(bottom=0)
    figure.suptitle(_title(found))
    is_svg = path.suffix.lower() == ".svg"
    figure.savefig(path, dpi=150, metadata={"Date": None} if is_svg else {"Software": None})


def _title(found: Backtest) -> str:
    days = f"{found.starts_at.astimezone(LONDON):%d %b %Y} to {found.ends_at.astimezone(LONDON):%d %b %Y}"
    by = "" if _is_short(found) else ", daily means"
    return f"Back-test {days}{by}. Workloads, sites, prices and regional carbon are SIMULATED"


def _is_short(found: Backtest) -> bool:
    return found.ends_at - found.starts_at <= _BY_HALF_HOUR


def _line(axes: Axes, found: Backtest, of: Callable[[Week], Floats], colour: str, label: str) -> None:
    values = np.concatenate([of(week) for week in found.weeks])
    every = 1 if _is_short(found) else _DAY
    whole = values[: values.size // every * every].reshape(-1, every)
    at: list[datetime] = [found.starts_at + row * every * HALF_HOUR for row in range(len(whole))]
    style: dict[str, Any] = {"where": "post"} if every == 1 else {}
    plot: Callable[..., Any] = axes.step if every == 1 else axes.plot
    plot(at, whole.mean(axis=1), color=colour, label=label, linewidth=1.2, **style)
