"""What can forbid an option, by number: the limits in the order in which they are checked."""

from __future__ import annotations

from typing import Final

from pylon.planning.field import RESOURCES

__all__ = [
    "CARBON_CAP",
    "HORIZON",
    "LATEST_END",
    "MAX_PRICE",
    "NAMES",
    "NONE",
    "POWER",
    "REGION",
    "SIGNALS",
    "SITE_OPEN",
    "VALUE",
]

NAMES: Final = (
    "region",
    "site_open",
    *RESOURCES,
    "signals_known",
    "latest_end",
    "horizon",
    "carbon_cap",
    "max_price",
    "value",
)
REGION: Final = 0
SITE_OPEN: Final = 1
POWER: Final = 2  # and after it the other resources
SIGNALS: Final = 6
LATEST_END: Final = 7
HORIZON: Final = 8
CARBON_CAP: Final = 9
MAX_PRICE: Final = 10
VALUE: Final = 11
NONE: Final = 12
