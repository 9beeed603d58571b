"""What `pylon windows` prints: the best windows of each region, and what a reader must know of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from pylon.interfaces.windows_command import windows_notes, windows_table
from pylon.services.find_windows import RegionWindows, WeighedWindow, WindowList, WindowTerms

T0 = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)


def window(hours: float, **values: Any) -> WeighedWindow:
    usual: dict[str, Any] = {
        "starts_at": T0 + timedelta(hours=hours),
        "ends_at": T0 + timedelta(hours=hours + 2),
        "carbon_gco2_kwh": 87.6,
        "carbon_index": None,
        "price_gbp_mwh": -1.5,
        "terms": WindowTerms(energy_gbp=1, carbon_gbp=1, stress_gbp=1),
        "total_gbp": 3,
        "simulated": [],
    }
    return WeighedWindow(**{**usual, **values})


def found(*regions: RegionWindows, **values: Any) -> WindowList:
    usual: dict[str, Any] = {
        "as_of": T0,
        "hours": 2.0,
        "by": T0 + timedelta(hours=48),
        "carbon_price_gbp_t": 100,
        "stress_price_gbp_mwh": 20,
        "notice": None,
        "contains_simulated": False,
        "regions": list(regions),
    }
    return WindowList(**{**usual, **values})


def london(*greenest: WeighedWindow, cheapest: list[WeighedWindow] | None = None) -> RegionWindows:
    return RegionWindows(region_id=13, short_name="London", greenest=list(greenest), cheapest=cheapest or [])


def drawn(what: WindowList) -> list[list[str]]:
    console = Console(width=120)
    with console.capture() as said:
        console.print(windows_table(what))
    return [line.split() for line in said.get().splitlines()]


def test_each_rank_has_the_greenest_and_the_cheapest() -> None:
    rows = drawn(found(london(window(1), window(9), cheapest=[window(3)])))
    assert ["13", "London", "Sun", "21:30-23:30", "88", "Sun", "23:30-01:30", "-1.50"] in rows
    assert ["Mon", "05:30-07:30", "88", "not", "known"] in rows


def test_a_region_of_which_nothing_is_known_says_so() -> None:
    what = found(london())
    assert ["13", "London", "not", "known", "not", "known"] in drawn(what)
    (said,) = windows_notes(what)
    assert said.startswith("Nothing is known of the hours ahead: `pylon pipeline`")


def test_what_is_simulated_and_whose_weights_these_are_is_said() -> None:
    region = london(window(1, simulated=["carbon"]), cheapest=[window(2, simulated=["price", "carbon"])])
    said = list(windows_notes(found(region, contains_simulated=True, notice="Usual weights.")))
    assert said == ["Usual weights.", "Rests on simulated carbon, price: made up, and good for a trial only."]
    assert list(windows_notes(found(london(window(1))))) == []
