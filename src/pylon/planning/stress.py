"""Grid stress: one score from 0 (slack) to 1 (emergency) a half hour, with everything it was made of.

Method version 1. Each component lies in [0, 1] and is monotone in its input; a missing input is NaN, never 0.

    A adequacy   derated margin and loss-of-load probability (Elexon LOLPDRM): MARGIN_MAP, and never below the LoLP
    W warnings   the gravest system warning in force (Elexon SYSWARN): WARNING_LEVEL
    F frequency  lowest five-minute mean frequency, under-frequency only: DEVIATION_MAP
    D demand     empirical rank of national demand within its season: max(0, 2 rank - 1)
    P price      empirical rank of the market index price: max(0, 2 rank - 1), and 1 from 6,000 GBP/MWh

    score = max(A, W, F, min(0.7, 0.6 D + 0.4 P))

When one of D and P is missing the other carries the weight; when all are missing the score is NaN. Demand and price
alone never exceed 0.7. Maps follow Elexon's LoLP methodology and NESO's Dynamic Containment curve (read November
2026); weights, the 0.7 ceiling and the bands are Pylon's own choice.

The caller decides what may enter: a simulated price must not be given for a score that is labelled real.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pylon.errors import Invalid

__all__ = [
    "METHOD_VERSION",
    "WARNING_LEVEL",
    "WINTER_MONTHS",
    "Band",
    "History",
    "Reference",
    "Signals",
    "Stress",
    "SystemWarning",
    "band",
    "rank",
    "score",
]

Floats = NDArray[np.float64]
_References: TypeAlias = tuple["Reference | None", ...]

METHOD_VERSION: Final = 1

NOMINAL_FREQUENCY_HZ: Final = 50.0
PRICE_CEILING_GBP_MWH: Final = 6000.0  # the administrative value of lost load in GB imbalance pricing
DEMAND_WEIGHT: Final = 0.6
PRICE_WEIGHT: Final = 0.4
DEMAND_PRICE_LIMIT: Final = 0.7
MIN_DEMAND_HISTORY: Final = 28 * 48  # half hours
MIN_PRICE_HISTORY: Final = 14 * 48  # half hours

# Derated margin in GW -> A, linear between, falling.
MARGIN_MAP: Final = ((0.0, 0.7, 2.0, 3.0, 6.0), (1.0, 0.85, 0.5, 0.25, 0.0))
# Deviation below 50 Hz in Hz -> F, linear between, rising.
DEVIATION_MAP: Final = ((0.015, 0.2, 0.5), (0.0, 0.5, 1.0))

# Two seasons, not four: they change with the clocks to within a few days, and it is darkness at the evening peak
# that sets GB demand apart; NESO's winter is the same five months.
WINTER_MONTHS: Final = frozenset({11, 12, 1, 2, 3})

# Reference distributions: the 0, 5, .., 100 % quantiles, used where too little history has been collected.
# National demand (MW), 2023, as NESO publishes it (ND, which is already net of embedded wind and solar).
# Supported by National Energy SO Open Data.
REFERENCE_WINTER_DEMAND_MW: Final = (
    15465, 20128, 21336, 22354, 23392, 24416, 25413, 26525, 27677, 28957, 30002,
    30962, 31974, 32825, 33708, 34653, 35627, 36779, 38020, 39505, 44109,
)  # fmt: skip
REFERENCE_SUMMER_DEMAND_MW: Final = (
    13601, 17111, 17987, 18652, 19264, 19918, 20585, 21337, 22086, 22830, 23492,
    24098, 24708, 25322, 25892, 26520, 27198, 27948, 29117, 30648, 37416,
)  # fmt: skip
# Market index price (APX, GBP/MWh), 8 January to 19 July 2026.
# Contains BMRS data (c) Elexon Limited copyright and database right 2026.
REFERENCE_PRICE_GBP_MWH: Final = (
    -58.54, 17.29, 52.77, 69.78, 76.28, 81.05, 85.40, 88.85, 91.97, 94.84, 97.64,
    100.46, 103.16, 106.13, 109.11, 112.45, 116.24, 120.97, 126.86, 137.57, 560.81,
)  # fmt: skip


class Band(StrEnum):
    """The word for a score."""

    LOW = "LOW"
    MODERATE = "MODERATE"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class SystemWarning(StrEnum):
    """A system warning to the market, as far as the score tells warnings apart."""

    NONE = "NONE"
    ELECTRICITY_MARGIN_NOTICE = "ELECTRICITY_MARGIN_NOTICE"
    CAPACITY_MARKET_NOTICE = "CAPACITY_MARKET_NOTICE"
    HIGH_RISK_OF_DEMAND_REDUCTION = "HIGH_RISK_OF_DEMAND_REDUCTION"
    DEMAND_CONTROL = "DEMAND_CONTROL"


WARNING_LEVEL: Final[Mapping[SystemWarning, float]] = {
    SystemWarning.NONE: 0.0,
    SystemWarning.ELECTRICITY_MARGIN_NOTICE: 0.8,
    SystemWarning.CAPACITY_MARKET_NOTICE: 0.8,
    SystemWarning.HIGH_RISK_OF_DEMAND_REDUCTION: 0.9,
    SystemWarning.DEMAND_CONTROL: 1.0,
}


class Reference(StrEnum):
    """What a value was ranked against."""

    TRAILING = "trailing"
    STORED = "stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is known of n half hours, in order. Each array has n values, NaN where unknown; None: all unknown."""

    is_winter: ArrayLike
    """Whether the half hour's London month is one of WINTER_MONTHS."""
    demand_mw: ArrayLike | None = None
    """National demand (ND: already net of embedded wind and solar)."""
    price_gbp_mwh: ArrayLike | None = None
    """Market index price; may be negative."""
    margin_gw: ArrayLike | None = None
    """Derated margin; negative when short."""
    lolp: ArrayLike | None = None
    """Loss-of-load probability, 0 to 1."""
    warning_level: ArrayLike | None = None
    """WARNING_LEVEL of the gravest warning in force, 0 when there is none."""
    frequency_hz: ArrayLike | None = None
    """Lowest five-minute mean frequency of the half hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What values are ranked against, in any order; NaN are left out.

    Demand: the trailing 365 days, by season. Price: the trailing 90 days. A sample of less than 28 days of demand
    (in that season) or 14 days of price is not used: the stored reference stands in, and the result says so.
    """

    winter_demand_mw: ArrayLike = ()
    summer_demand_mw: ArrayLike = ()
    price_gbp_mwh: ArrayLike = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """The scores of n half hours and what they were made of."""

    scores: Floats
    """Rounded to 3 places; NaN where every input is missing."""
    components: Mapping[str, Floats]
    """`adequacy`, `warnings`, `frequency`, `demand` and `price`: in [0, 1], NaN where the input is missing."""
    coverage: Mapping[str, float]
    """Share of the half hours that each component is known for, 0 to 1."""
    references: Mapping[str, tuple[Reference | None, ...]]
    """What `demand` and `price` were ranked against in each half hour; None where they are missing."""
    method_version: int = METHOD_VERSION

    def detail(self, position: int) -> dict[str, Any]:
        """Return what to store beside the score of one half hour, as JSON values.

        An unknown component is null; `coverage` here is the share of the five components that are known.
        """
        components = {name: _number(values[position]) for name, values in self.components.items()}
        known = sum(value is not None for value in components.values())
        return {
            "method_version": self.method_version,
            "components": components,
            "coverage": round(known / len(components), 3),
            "references": {
                name: None if of[position] is None else str(of[position]) for name, of in self.references.items()
            },
        }


def band(score: float | None) -> Band | None:
    """Return the word for a score: LOW below 0.4, MODERATE below 0.6, HIGH below 0.8; None for None or NaN."""
    if score is None or math.isnan(score):
        return None
    uppers = ((0.4, Band.LOW), (0.6, Band.MODERATE), (0.8, Band.HIGH))
    return next((word for upper, word in uppers if score < upper), Band.CRITICAL)


def rank(values: ArrayLike, sample: ArrayLike) -> Floats:
    """Return the empirical rank, 0 to 1, of each value in an ascending sample: the share of it that lies below.

    Ties count half (the mid-rank), so a value equal to the whole sample ranks 0.5. NaN ranks NaN.
    """
    wanted, ordered = np.asarray(values, np.float64), np.asarray(sample, np.float64)
    below = np.searchsorted(ordered, wanted, side="left")
    up_to = np.searchsorted(ordered, wanted, side="right")
    return np.where(np.isnan(wanted), np.nan, (below + up_to) / (2 * ordered.size))


def score(signals: Signals, history: History | None = None) -> Stress:
    """Return the stress of every half hour in `signals`, ranked against `history` where that is long enough.

    Raises `Invalid` when an array's length is not that of `is_winter`.
    """
    past = history or History()
    is_winter = np.asarray(signals.is_winter, np.bool_).ravel()
    size = is_winter.size
    demand, demand_references = _demand(_column(signals.demand_mw, size, "demand_mw"), is_winter, past)
    price, price_references = _price(_column(signals.price_gbp_mwh, size, "price_gbp_mwh"), past)
    components = {
        "adequacy": _adequacy(_column(signals.margin_gw, size, "margin_gw"), _column(signals.lolp, size, "lolp")),
        "warnings": np.clip(_column(signals.warning_level, size, "warning_level"), 0, 1),
        "frequency": _frequency(_column(signals.frequency_hz, size, "frequency_hz")),
        "demand": demand,
        "price": price,
    }
    tightness = np.minimum(DEMAND_PRICE_LIMIT, _weighted(demand, price))
    alarm = np.fmax(np.fmax(components["adequacy"], components["warnings"]), components["frequency"])
    return Stress(
        scores=np.round(np.fmax(alarm, tightness), 3),
        components=components,
        coverage={name: _share_known(values) for name, values in components.items()},
        references={"demand": demand_references, "price": price_references},
    )


def _column(values: ArrayLike | None, size: int, name: str) -> Floats:
    if values is None:
        return np.full(size, np.nan)
    column = np.asarray(values, np.float64).ravel()
    if column.size != size:
        raise Invalid(f"{name} has {column.size} half hours and is_winter has {size}; give one value for each.")
    return column


def _adequacy(margin_gw: Floats, lolp: Floats) -> Floats:
    return np.fmax(np.interp(margin_gw, *MARGIN_MAP), np.clip(lolp, 0, 1))


def _frequency(frequency_hz: Floats) -> Floats:
    return np.interp(NOMINAL_FREQUENCY_HZ - frequency_hz, *DEVIATION_MAP)


def _demand(demand_mw: Floats, is_winter: NDArray[np.bool_], past: History) -> tuple[Floats, _References]:
    winter, winter_reference = _rank_in(
        demand_mw, past.winter_demand_mw, MIN_DEMAND_HISTORY, REFERENCE_WINTER_DEMAND_MW
    )
    summer, summer_reference = _rank_in(
        demand_mw, past.summer_demand_mw, MIN_DEMAND_HISTORY, REFERENCE_SUMMER_DEMAND_MW
    )
    references = tuple(
        None if missing else winter_reference if cold else summer_reference
        for missing, cold in zip(np.isnan(demand_mw).tolist(), is_winter.tolist(), strict=True)
    )
    return _upper_half(np.where(is_winter, winter, summer)), references


def _price(price_gbp_mwh: Floats, past: History) -> tuple[Floats, _References]:
    ranks, reference = _rank_in(price_gbp_mwh, past.price_gbp_mwh, MIN_PRICE_HISTORY, REFERENCE_PRICE_GBP_MWH)
    component = np.where(price_gbp_mwh >= PRICE_CEILING_GBP_MWH, 1.0, _upper_half(ranks))
    return component, tuple(None if missing else reference for missing in np.isnan(price_gbp_mwh).tolist())


def _rank_in(values: Floats, sample: ArrayLike, least: int, stored: tuple[float, ...]) -> tuple[Floats, Reference]:
    known = np.asarray(sample, np.float64).ravel()
    known = known[~np.isnan(known)]
    if known.size >= least:
        return rank(values, np.sort(known)), Reference.TRAILING
    return np.interp(values, stored, np.linspace(0, 1, len(stored))), Reference.STORED


def _upper_half(ranks: Floats) -> Floats:
    return np.maximum(0, 2 * ranks - 1)


def _weighted(demand: Floats, price: Floats) -> Floats:
    both = DEMAND_WEIGHT * demand + PRICE_WEIGHT * price
    return np.where(np.isnan(demand), price, np.where(np.isnan(price), demand, both))


def _share_known(values: Floats) -> float:
    return float(np.mean(~np.isnan(values))) if values.size else 0.0


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)
