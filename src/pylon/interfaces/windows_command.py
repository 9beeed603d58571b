"""The command `pylon windows`: when power is greenest and cheapest, region by region.

Like every command it imports what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pylon.interfaces.instants import of_option
from pylon.interfaces.options import number, whole_number

if TYPE_CHECKING:
    from pylon.services.find_windows import RegionWindows, WeighedWindow, WindowList
    from pylon.settings import Settings

__all__ = ["add_windows_command", "windows_notes", "windows_table"]

out = Console(highlight=False)

_Hours = Annotated[
    float, number("--hours", least=0.25, most=47, says="How long the job runs: 1.5 is an hour and a half.")
]
_By = Annotated[
    str | None, typer.Option("--by", metavar="TIME", help="When it must be done, e.g. 2026-11-23T08:00Z.")
]
_Region = Annotated[
    int | None, whole_number("--region", least=1, most=14, says="Number of one region; every region if not given.")
]
_Top = Annotated[
    int, whole_number("--top", least=1, most=10, says="How many windows of each kind, the best first.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print what the API gives, with the cost of 1 MWh by reason.")]


def add_windows_command(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the command to `app`; `settings` loads them."""

    @app.command()
    def windows(
        hours: _Hours = 2, by: _By = None, region: _Region = None, top: _Top = 1, json: _Json = False
    ) -> None:
        """Print the greenest and the cheapest windows of the next 48 hours for a job of so many hours.

        For example `pylon windows --hours 4 --region 13 --top 3`. The price is the wholesale price; a site's own
        tariff is weighed when a job is placed.
        """
        from pylon.interfaces import runtime
        from pylon.services.find_windows import find_windows

        end = of_option("--by", by)
        with runtime.opened(settings(), may_create=False) as here:
            found = find_windows(
                here.database, here.operator_id, here.clock(), hours=hours, by=end, region=region, top=top
            )
        if json:
            typer.echo(found.model_dump_json(indent=2))
            return
        out.print(windows_table(found))
        for line in windows_notes(found):
            out.print(escape(line))


def windows_table(found: WindowList) -> Table:
    """Return a row a region and rank: its greenest window with its carbon, its cheapest with its price."""
    from pylon.interfaces.tables import new_table

    table = new_table(f"Windows of {found.hours:g} h that end by {found.by:%a %d %b %H:%M} UTC")
    table.add_column("region")
    table.add_column("greenest", no_wrap=True)
    table.add_column("gCO2\n/kWh", justify="right", no_wrap=True)
    table.add_column("cheapest", no_wrap=True)
    table.add_column("GBP\n/MWh", justify="right", no_wrap=True)
    for region in found.regions:
        for cells in _rows(region):
            table.add_row(*cells)
    return table


def windows_notes(found: WindowList) -> Iterator[str]:
    """Yield what a reader must know of them."""
    if found.notice:
        yield found.notice
    if found.contains_simulated:
        windows = [one for region in found.regions for one in (*region.greenest, *region.cheapest)]
        named = dict.fromkeys(name for one in windows for name in one.simulated)
        yield f"Rests on simulated {', '.join(named)}: made up, and good for a trial only."
    if not any(region.greenest or region.cheapest for region in found.regions):
        yield "Nothing is known of the hours ahead: `pylon pipeline` asks the sources, `pylon status` says more."


def _rows(region: RegionWindows) -> Iterator[tuple[str, ...]]:
    for rank in range(max(len(region.greenest), len(region.cheapest), 1)):
        green, cheap = _at(region.greenest, rank), _at(region.cheapest, rank)
        yield (
            f"{region.region_id} {region.short_name}" if rank == 0 else "",
            _when(green),
            _figure(green.carbon_gco2_kwh if green else None, 0),
            _when(cheap),
            _figure(cheap.price_gbp_mwh if cheap else None, 2),
        )


def _at(windows: list[WeighedWindow], rank: int) -> WeighedWindow | None:
    return windows[rank] if rank < len(windows) else None


def _when(window: WeighedWindow | None) -> str:
    return "not known" if window is None else f"{window.starts_at:%a %H:%M}-{window.ends_at:%H:%M}"


def _figure(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:,.{places}f}"
