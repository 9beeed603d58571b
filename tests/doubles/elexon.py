"""A stand-in for Elexon's Insights API: the four calls Pylon makes, in their real shapes, with limits and faults.

Nothing is served that is published later than its clock says. Shapes, limits and the words of the one recorded
refusal are those on record by November 2026; what is not on record is marked below.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self

from starlette.routing import Route

from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, half_hours, periods_in
from tests.doubles import elexon_series as rows
from tests.doubles.elexon_series import Row, Series, json_bytes, made_up, nothing, replay, stamp
from tests.doubles.server import Refused, Server, endpoint

__all__ = ["Elexon", "Fault"]

_DAY = timedelta(days=1)
_WEEK = 7
# The recorded forecasts came at 10:16 and 10:49.
_MINUTES_OF_FORECASTS = timedelta(minutes=19)
_DIGITS = Decimal("0.123456789012345678")


class Fault(StrEnum):
    """What can be wrong with the rows; whole answers that fail are planned with `Server.answer`."""

    ZERO_VOLUMES = "zero volumes"
    """No exchange of the market index reports a trade: every row is 0 for 0."""
    BARE_LIST = "bare list"
    """The rows without an envelope, as the API's streams answer."""
    TEXT_NUMBERS = "text numbers"
    """Numbers come as text."""
    NAIVE_TIMES = "naive times"
    """Times come without their Z."""
    REPEATED = "repeated"
    """Every row comes twice: where it says when it was published, also with another value of minutes before."""
    OLDEST_FIRST = "oldest first"
    """Rows come in the order of time, not the newest first."""
    HOURLY = "hourly"
    """Only the full hours come."""
    MISSING_PERIODS = "missing periods"
    """Settlement periods 5, 10, 15 ... do not come."""
    TWO_PRICES = "two prices"
    """The system buy price of settlement periods 5, 10, 15 ... is one pound above the sell price."""
    WRONG_PERIOD = "wrong period"
    """Settlement periods 5, 10, 15 ... are numbered one too high, as when clocks are taken for UTC on a change."""
    FROM_THE_FUTURE = "from the future"
    """Demand rows published an hour after the clock, with other values, come too."""
    LONG_DIGITS = "long digits"
    """Prices have 18 decimals."""
    NEGATIVE_PRICES = "negative prices"
    """Every price is negative, which is legal."""
    NO_DATA = "no data"
    """The envelope, and no row in it."""
    SHORT_HORIZON = "short horizon"
    """The demand forecast ends with today in London."""


class Elexon(Server):
    """The stand-in for the Insights API.

    `series` gives demand and price, made up unless told. `outturn_delay` is how long after its half hour the demand
    outturn is published; both may be changed at any time.
    """

    def __init__(
        self,
        *,
        now: datetime = datetime(2026, 8, 19, 11, 12, tzinfo=UTC),
        series: Series = made_up,
        outturn_delay: timedelta = timedelta(minutes=30),
    ) -> None:
        super().__init__(now=now, routes=self._routes())
        self.series = series
        self.outturn_delay = outturn_delay
        self._at_first = (series, outturn_delay)

    @classmethod
    def replay(cls, folder: Path, *, now: datetime) -> Self:
        """Return a stand-in that knows the demand of 2023 and the market index of the first half of 2026."""
        return cls(now=now, series=replay(folder))

    @classmethod
    def recorded(cls, folder: Path, *, now: datetime = datetime(2026, 8, 19, 11, 12, tzinfo=UTC)) -> Self:
        """Return a stand-in that knows only recorded answers, byte for byte; every other one has no rows."""
        api, bodies = cls(now=now, series=nothing), folder / "recordings" / "elexon"
        for path, file in {
            "/datasets/NDF": "ndf_truncated.json",
            "/datasets/INDO": "indo.json",
            "/datasets/ITSDO": "itsdo.json",
            "/balancing/settlement/system-prices/2026-08-01": "system_prices.json",
        }.items():
            api.serve_recorded(path, bodies / file)
        return api

    def reset(self) -> None:
        """Forget plans, faults, requests and what was moved or changed."""
        super().reset()
        self.series, self.outturn_delay = self._at_first

    # Answering

    def _routes(self) -> list[Route]:
        answers: dict[str, Callable[..., bytes]] = {
            "/datasets/NDF": self._forecasts,
            "/datasets/INDO": self._outturns,
            "/balancing/pricing/market-index": self._market_index,
            "/balancing/settlement/system-prices/{day}": self._system_prices,
        }
        return [Route(path, endpoint(answer, takes_query=True)) for path, answer in answers.items()]

    def _forecasts(self, query: Mapping[str, str]) -> bytes:
        present = self.clock.now
        if "publishDateTimeFrom" not in query and "publishDateTimeTo" not in query:
            published = [_last_forecast(present)]
        else:
            since, until = _times(query, "publishDateTimeFrom", "publishDateTimeTo")
            # That a longer range is refused is documented; these words are those of the market index, by analogy.
            if until - since > _DAY:
                raise _refused("The date range between From and To inclusive must not exceed 1 days")
            until = min(until, present)
            times = [at + _MINUTES_OF_FORECASTS for at in half_hours(since - HALF_HOUR, until)]
            published = [at for at in times if since <= at <= until]
        return self._dataset(self._forecast(at) for at in reversed(published))

    def _forecast(self, published_at: datetime) -> list[Row]:
        today = published_at.astimezone(LONDON).date()
        days = 1 if Fault.SHORT_HORIZON in self.faults else 2
        start, end = floor(published_at) + HALF_HOUR, _midnight(today + days * _DAY)
        return [row for at in half_hours(start, end) if (row := rows.forecast(self.series, at, published_at))]

    def _outturns(self, query: Mapping[str, str]) -> bytes:
        since, until = _times(query, "publishDateTimeFrom", "publishDateTimeTo")
        until = min(until, self.clock.now)
        after = HALF_HOUR + self.outturn_delay
        starts = [at for at in half_hours(since - after, until) if since <= at + after <= until]
        found = [row for at in reversed(starts) if (row := rows.outturn(self.series, at, at + after))]
        return self._dataset([found])

    def _market_index(self, query: Mapping[str, str]) -> bytes:
        since, until = _times(query, "from", "to")
        if (until.date() - since.date()).days + 1 > _WEEK:
            raise _refused(f"The date range between From and To inclusive must not exceed {_WEEK} days")
        found = []
        for at in half_hours(since, until + timedelta(seconds=1)):
            if at >= since and at + HALF_HOUR <= self.clock.now and (row := rows.apx(self.series, at)):
                silent = {"price": Decimal("0.00"), "volume": Decimal("0.000")}
                found += [row | silent if Fault.ZERO_VOLUMES in self.faults else row, rows.n2ex(at)]
        return self._opinionated("MID", reversed(found))

    def _system_prices(self, _query: Mapping[str, str], day: str) -> bytes:
        try:
            asked = date.fromisoformat(day)
        except ValueError:
            raise _refused(f"The value '{day}' is not valid.", "settlementDate") from None
        start, now = _midnight(asked), self.clock.now
        known = [
            row
            for at in half_hours(start, start + periods_in(asked) * HALF_HOUR)
            if at + HALF_HOUR + timedelta(minutes=15) <= now and (row := rows.system(self.series, at, now))
        ]
        return self._opinionated("DISEBSP", reversed(known))

    # Shapes and faults

    def _dataset(self, publications: Iterable[Iterable[Row]]) -> bytes:
        found = self._faulty([row for publication in publications for row in publication])
        return json_bytes(found if Fault.BARE_LIST in self.faults else {"data": found})

    def _opinionated(self, dataset: str, known: Iterable[Row]) -> bytes:
        found = self._faulty(list(known))
        return json_bytes(
            found if Fault.BARE_LIST in self.faults else {"metadata": {"datasets": [dataset]}, "data": found}
        )

    def _faulty(self, found: list[Row]) -> list[Row]:
        changes: dict[Fault, Callable[[list[Row]], list[Row]]] = {
            Fault.NO_DATA: lambda _: [],
            Fault.HOURLY: lambda found: [row for row in found if row["startTime"].endswith(":00:00Z")],
            Fault.MISSING_PERIODS: lambda found: [row for row in found if not _is_fifth(row)],
            Fault.TWO_PRICES: lambda found: [_two_prices(row) if _is_fifth(row) else row for row in found],
            Fault.LONG_DIGITS: lambda found: [_of_prices(row, lambda price: price + _DIGITS) for row in found],
            Fault.NEGATIVE_PRICES: lambda found: [_of_prices(row, lambda price: -abs(price)) for row in found],
            Fault.REPEATED: lambda found: [again for row in found for again in (_earlier(row), row)],
            Fault.FROM_THE_FUTURE: lambda found: [
                one
                for row in found
                for one in (_published(row, self.clock.now + timedelta(hours=1)), row)
                if "demand" in row
            ],
            Fault.WRONG_PERIOD: lambda found: [
                row | {"settlementPeriod": row["settlementPeriod"] + _is_fifth(row)} for row in found
            ],
            Fault.OLDEST_FIRST: lambda found: sorted(found, key=lambda row: str(row["startTime"])),
            Fault.TEXT_NUMBERS: lambda found: [_in_words(row) for row in found],
            Fault.NAIVE_TIMES: lambda found: [
                {k: v.removesuffix("Z") if isinstance(v, str) else v for k, v in row.items()} for row in found
            ],
        }
        for fault, change in changes.items():
            if fault in self.faults:
                found = change(found)
        return found


def _last_forecast(at: datetime) -> datetime:
    """Return when the forecast that was the newest at a time was published."""
    return floor(at - _MINUTES_OF_FORECASTS) + _MINUTES_OF_FORECASTS


def _is_fifth(row: Row) -> bool:
    return bool(row["settlementPeriod"] % 5 == 0)


def _of_prices(row: Row, change: Callable[[Decimal], Decimal]) -> Row:
    named = ("price", "systemSellPrice", "systemBuyPrice")
    return row | {name: change(row[name]) for name in named if row.get(name)}


def _two_prices(row: Row) -> Row:
    return row | {"systemBuyPrice": row["systemSellPrice"] + 1} if "systemSellPrice" in row else row


def _earlier(row: Row) -> Row:
    name = "createdDateTime" if "createdDateTime" in row else "publishTime"
    return _published(row, datetime.fromisoformat(row[name]) - timedelta(minutes=7)) if name in row else dict(row)


def _published(row: Row, at: datetime) -> Row:
    """Return the row as published at another time, with another value, where it says when it was published."""
    if "createdDateTime" in row:
        return _of_prices(row, lambda price: price + 7) | {"createdDateTime": stamp(at)}
    return row | {"publishTime": stamp(at), "demand": row["demand"] + 7} if "publishTime" in row else row


def _in_words(row: Row) -> Row:
    return {
        name: str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value
        for name, value in row.items()
    }


def _times(query: Mapping[str, str], *names: str) -> list[datetime]:
    times = []
    for name in names:
        try:
            at = datetime.fromisoformat(query.get(name, ""))
        except ValueError:
            # That bad values are a 400 is documented; the words are not on record.
            raise _refused(f"The value '{query.get(name, '')}' is not valid.", name) from None
        times.append(at.replace(tzinfo=UTC) if at.tzinfo is None else at)
    return times


def _refused(message: str, name: str = "") -> Refused:
    problem = {
        "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
        "title": "One or more validation errors occurred.",
        "status": 400,
        "errors": {name: [message]},
    }
    return Refused(400, json.dumps(problem).encode())


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), LONDON).astimezone(UTC)
