"""The bodies of Elexon's Insights API as values: a faulty row is refused with its reason, the rest is taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Generic, NamedTuple, TypeVar

from pylon.errors import SourceChanged
from pylon.ontology.calendar import floor, settlement_period
from pylon.sources._rows import Fault, member, show
from pylon.sources.feed import Rejection

__all__ = ["Rows", "Said", "Trade", "demand", "market_index", "mean_price", "system_price"]

_MOST_MW = 100_000
_MOST_GBP_MWH = 10_000
_MOST_MWH = 1_000_000

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SENT = Decimal(1).scaleb(-18)
"""The API's numbers have up to 18 decimals."""
_PENNY = Decimal("0.01")
# Wide enough for the product of two of the API's numbers. Half-even, so that sums over many half hours do not
# drift: left to itself, the database's numeric(10,2) rounds halves away from zero.
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)

K = TypeVar("K")
V = TypeVar("V")


class Said(NamedTuple, Generic[K, V]):
    """What one row says: of which half hour (and by whom), published when, and the value; None: nothing."""

    key: K
    published_at: datetime
    value: V | None


class Trade(NamedTuple):
    """What one exchange says of a half hour: the price in GBP/MWh and the volume traded at it in MWh."""

    price_gbp_mwh: Decimal
    volume_mwh: Decimal


@dataclass(slots=True)
class Rows(Generic[K, V]):
    """The rows of one or more bodies: the value last published for each key, rows refused, how many there were.

    A null says nothing, so a value published before it stays.
    """

    said: dict[K, Said[K, V]] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    seen: int = 0
    is_whole: bool = True

    @property
    def values(self) -> dict[K, V]:
        """The values by key."""
        return {key: said.value for key, said in self.said.items() if said.value is not None}

    def take(self, body: Any, read: Callable[[Any], Said[K, V]], title: str) -> None:
        """Take the rows of a body, which `read` reads; raises `SourceChanged` when it has no place for rows."""
        for row in _data(body):
            self.seen += 1
            try:
                self._keep(read(row))
            except Fault as fault:
                self.rejected.append(Rejection(f"{title} {_label(row)}", str(fault)))

    def _keep(self, said: Said[K, V]) -> None:
        if said.value is None:
            return
        before = self.said.get(said.key)
        if before is None or said.published_at > before.published_at:
            self.said[said.key] = said
        elif said.published_at == before.published_at and said.value != before.value:
            raise Fault("it came twice with different values; the first is kept")


def demand(row: Any, *, dataset: str, until: datetime) -> Said[datetime, int]:
    """Return the demand in MW of a row of `dataset` that was published by `until`."""
    if (given := member(row, "dataset")) != dataset:
        raise Fault(f"dataset is {show(given)}, not {dataset}")
    if dataset == "NDF" and (given := member(row, "boundary")) != "N":
        raise Fault(f"boundary is {show(given)}, not N, the whole of Great Britain")
    starts_at, published_at = _starts_at(row), _instant(row, "publishTime")
    if published_at > until:
        raise Fault(f"publishTime is {show(row['publishTime'])}, later than was asked for")
    return Said(starts_at, published_at, _megawatts(row))


def market_index(row: Any) -> Said[tuple[datetime, str], Trade]:
    """Return the trade of one half hour by one exchange; where none was traded, none is said.

    The index does not say when it was published, so that of two rows with different values neither is the later.
    """
    starts_at, provider = _starts_at(row), member(row, "dataProvider")
    if not isinstance(provider, str) or not provider:
        raise Fault(f"dataProvider is {show(provider)}, not a name")
    price, volume = _price(row, "price"), _number(row, "volume", least=0, most=_MOST_MWH)
    # An exchange without trades sends a price of 0, which is none: N2EXMIDP always does.
    trade = Trade(price, volume) if volume and price is not None else None
    return Said((starts_at, provider), starts_at, trade)


def system_price(row: Any) -> Said[datetime, Decimal]:
    """Return the system price of a row in GBP/MWh, to the penny: for years one price for selling and buying."""
    starts_at, published_at = _starts_at(row), _instant(row, "createdDateTime")
    sell, buy = _price(row, "systemSellPrice"), _price(row, "systemBuyPrice")
    if sell != buy:
        raise Fault(f"systemSellPrice is {_plain(sell)} and systemBuyPrice is {_plain(buy)}, not the same")
    return Said(starts_at, published_at, None if sell is None else sell.quantize(_PENNY, context=_EXACT))


def mean_price(trades: Iterable[Trade]) -> Decimal:
    """Return the price in GBP/MWh of some trades together, weighted by their volumes, to the penny."""
    worth = volume = Decimal(0)
    for trade in trades:
        worth = _EXACT.add(worth, _EXACT.multiply(trade.price_gbp_mwh, trade.volume_mwh))
        volume = _EXACT.add(volume, trade.volume_mwh)
    return _EXACT.divide(worth, volume).quantize(_PENNY, context=_EXACT)


def _data(body: Any) -> list[Any]:
    """Return the rows of a body: a list under `data`, or a bare one, as the API's streams answer."""
    rows = body.get("data") if isinstance(body, dict) else body
    if isinstance(rows, list):
        return rows
    what = f"data={show(rows)}" if isinstance(body, dict) else show(body)
    raise SourceChanged(f"The Insights API answered with {what} in place of a list of rows. Nothing was taken.")


def _starts_at(row: Any) -> datetime:
    """Return the start of the row's half hour, which the row's settlement date and period must agree with."""
    starts_at = _instant(row, "startTime")
    if starts_at != floor(starts_at):
        raise Fault(f"startTime is {show(row['startTime'])}, not on the half hour")
    day, period = settlement_period(starts_at)
    if member(row, "settlementDate") != day.isoformat() or _whole(row, "settlementPeriod") != period:
        given = f"{show(member(row, 'settlementDate'))} period {show(member(row, 'settlementPeriod'))}"
        raise Fault(f"startTime is in period {period} of {day}, but the row says {given}")
    return starts_at


def _instant(row: Any, name: str) -> datetime:
    """Return a time of the row; one without a zone is UTC, as all of the API's times are."""
    value = member(row, name)
    try:
        at = datetime.fromisoformat(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise Fault(f"{name} is {show(value)}, not a time") from None
    # London's midnights must be there to count half hours from.
    if not date.min.year < at.year < date.max.year:
        raise Fault(f"{name} is {show(value)}, not a time")
    return at


def _megawatts(row: Any) -> int | None:
    value = member(row, "demand")
    if value is None:
        return None
    number = _decimal(value)
    if number is None or not 0 < number <= _MOST_MW or number != number.to_integral_value():
        raise Fault(f"demand is {show(value)}, not a whole number of MW from 1 to {_MOST_MW}")
    return int(number)


def _price(row: Any, name: str) -> Decimal | None:
    return _number(row, name, least=-_MOST_GBP_MWH, most=_MOST_GBP_MWH)


def _number(row: Any, name: str, *, least: int, most: int) -> Decimal | None:
    value = member(row, name)
    if value is None:
        return None
    number = _decimal(value)
    if number is None or not least <= number <= most:
        raise Fault(f"{name} is {show(value)}, not a number from {least} to {most}")
    return number.quantize(_SENT, context=_EXACT)


def _whole(row: Any, name: str) -> Decimal | None:
    return _decimal(member(row, name))


def _decimal(value: Any) -> Decimal | None:
    """Return a number, or the text of one, as it was written. A float is what the reader could not keep exact."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        return Decimal(value)
    except ArithmeticError:  # an exponent beyond all decimals
        return None


def _label(row: Any) -> str:
    """Return the row's half hour for a label, and the exchange where there is one."""
    parts = [member(row, "dataProvider"), member(row, "startTime")]
    return " ".join(show(part).strip("'") for part in parts if part is not None) or "without a time"


def _plain(price: Decimal | None) -> str:
    return "null" if price is None else f"{price.normalize(_EXACT):f}"
