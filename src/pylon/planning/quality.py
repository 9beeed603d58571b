"""Quality: which national carbon values are not fit to serve, and by which rule.

The rules are read off a crawl of the Carbon Intensity API through 2023 (17,430 half hours) and its public issues
(github.com/carbon-intensity/carbon-intensity, 11 and 18 to 20; both read November 2026). In that year the API gave
five actuals of 0, which stayed for days, steps and outliers of more than 100 g in a single half hour, and five
actuals that never came. The generation mix times the factor of each fuel is the second opinion: against NESO's own
hourly carbon intensity of 2023 the API's actuals that are not 0 differ by 3 g on average and by at most
`TOLERANCE_GCO2_KWH` in all but 82 of 17,419 half hours.

Forecasts may jump. Regions may be at 0 and are not judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pylon.ontology.calendar import HALF_HOUR
from pylon.ontology.carbon import FUEL_FACTOR
from pylon.ontology.enums import Fuel

__all__ = ["TOLERANCE_GCO2_KWH", "HalfHour", "Quantity", "Rule", "Verdict", "judge", "mix_intensity"]

LEAST_GCO2_KWH = 15
"""The lowest half hour of 2023 is 26 g; below this an actual needs the mix to agree."""

FARTHEST_FROM_FORECAST_GCO2_KWH = 100
"""95 % of the last forecasts of 2023 are within 29 g of the actual."""

LONGEST_STEP_GCO2_KWH = 60
"""The most an actual moves from one half hour to the next without the mix having to agree."""

TOLERANCE_GCO2_KWH = 40
"""How far an actual may be from the mix times the factors and still agree with it."""


class Quantity(StrEnum):
    """The two values of a half hour, by their columns."""

    FORECAST = "carbon_intensity_forecast"
    ACTUAL = "carbon_intensity_actual"


class Rule(StrEnum):
    """Why a value is flagged."""

    ZERO = "national_zero"
    LOW = "carbon_low"
    FAR = "carbon_far_from_forecast"
    JUMP = "carbon_jump"
    MISSING = "actual_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfHour:
    """National carbon of one half hour in gCO2/kWh, None where it is not known."""

    starts_at: datetime
    forecast: int | None
    actual: int | None
    earlier_forecast: int | None = None
    """The forecast that stands where the one given is not fit to serve."""
    mix: float | None = None
    """Generation mix times factors."""
    is_overdue: bool = False
    """Whether the actual should have come long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One value that breaks one rule; `raw` None: an actual that never came, so there is nothing to withhold."""

    starts_at: datetime
    quantity: Quantity
    rule: Rule
    raw: int | None
    reason: str


def mix_intensity(mix: Mapping[Fuel, float]) -> float | None:
    """Return the carbon intensity of a mix (percent by fuel) in gCO2/kWh, or None for an empty one."""
    total = sum(float(percent) for percent in mix.values())
    if total <= 0:
        return None
    return sum(FUEL_FACTOR[fuel] * float(percent) for fuel, percent in mix.items()) / total


def judge(half_hours: Sequence[HalfHour], before: HalfHour | None = None) -> list[Verdict]:
    """Return a verdict for each value that breaks a rule, in the order of the half hours.

    `half_hours` are in order of time and may have gaps; `before` is the last one whose actual was served. A zero is
    never confirmed. Any other outlier passes when the mix agrees within `TOLERANCE_GCO2_KWH`, whatever it looks
    like; a step counts from the actual of the half hour just before, where that one is good.
    """
    verdicts: list[Verdict] = []
    good = before
    for half_hour in half_hours:
        is_next = good is not None and good.starts_at + HALF_HOUR == half_hour.starts_at
        found = list(_of_actual(half_hour, good.actual if good and is_next else None))
        verdicts += [*_of_forecast(half_hour), *found]
        if half_hour.actual is not None and not found:
            good = half_hour
    return verdicts


def _of_forecast(half_hour: HalfHour) -> Iterator[Verdict]:
    if half_hour.forecast == 0:
        reason = "The forecast is 0 gCO2/kWh, which Great Britain as a whole does not reach."
        yield _verdict(half_hour, Quantity.FORECAST, Rule.ZERO, reason)


def _of_actual(half_hour: HalfHour, last: int | None) -> Iterator[Verdict]:
    actual, forecast = half_hour.actual, half_hour.forecast or half_hour.earlier_forecast
    if actual is None:
        if half_hour.is_overdue:
            reason = "No actual has come long after the half hour."
            yield _verdict(half_hour, Quantity.ACTUAL, Rule.MISSING, reason)
        return
    if actual == 0:
        reason = "The actual is 0 gCO2/kWh, which Great Britain as a whole does not reach."
        yield _verdict(half_hour, Quantity.ACTUAL, Rule.ZERO, reason)
        return
    if half_hour.mix is not None and abs(actual - half_hour.mix) <= TOLERANCE_GCO2_KWH:
        return
    said = "no generation mix is known" if half_hour.mix is None else f"the generation mix says {half_hour.mix:.0f}"
    for rule, what in _odd(actual, forecast, last):
        reason = f"The actual of {actual} gCO2/kWh {what}; {said}."
        yield _verdict(half_hour, Quantity.ACTUAL, rule, reason)


def _odd(actual: int, forecast: int | None, last: int | None) -> Iterator[tuple[Rule, str]]:
    """Yield what is odd about an actual, as a rule and in words."""
    if actual < LEAST_GCO2_KWH:
        yield Rule.LOW, f"is below {LEAST_GCO2_KWH}"
    if forecast is not None and abs(actual - forecast) > FARTHEST_FROM_FORECAST_GCO2_KWH:
        yield Rule.FAR, f"is {abs(actual - forecast)} from the forecast of {forecast}"
    if last is not None and abs(actual - last) > LONGEST_STEP_GCO2_KWH:
        yield Rule.JUMP, f"is {abs(actual - last)} from the {last} of the half hour before"


def _verdict(half_hour: HalfHour, quantity: Quantity, rule: Rule, reason: str) -> Verdict:
    raw = half_hour.forecast if quantity is Quantity.FORECAST else half_hour.actual
    return Verdict(starts_at=half_hour.starts_at, quantity=quantity, rule=rule, raw=raw, reason=reason)
