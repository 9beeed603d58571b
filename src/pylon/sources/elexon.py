"""Elexon's Insights API: national demand and its forecast, the market index price and the system price.

https://data.elexon.co.uk/bmrs/api/v1, no key. Written from its documentation (bmrs.elexon.co.uk/api-documentation)
and from recorded answers, both read November 2026. Rows come in any order and, where a value was published again,
more than once: the one published last is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from pylon.errors import SourceChanged, SourceError, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, LONDON, floor, midnight, settlement_period
from pylon.sources import _elexon_bodies as bodies
from pylon.sources.feed import Batch, Limits, NationalReading, Rejection, Request, Side, Source, Supply, Terms, gaps

__all__ = ["SOURCES", "DemandForecast", "DemandOutturn", "MarketIndex", "SystemPrice"]

_DAY = timedelta(days=1)

# A forecast is published every half hour, so that several may fail to be before the newest one read is an old one.
_PUBLISHED_WITHIN = timedelta(hours=3)

# After so many failures in a row the API is down, and a year of requests would each wait for it.
_MOST_FAILURES = 3

K = TypeVar("K")
V = TypeVar("V")


def _terms(
    name: str, title: str, supply: Supply, side: Side, *, rank: int, delay: timedelta, longest_range: timedelta
) -> Terms:
    return Terms(
        name=f"elexon_{name}",
        title=f"Elexon: {title}",
        data_source=f"elexon_{name}",
        supplies=frozenset({supply}),
        homepage="https://bmrs.elexon.co.uk",
        licence="BMRS open data licence, "
        "https://www.elexon.co.uk/data/balancing-mechanism-reporting-agent/copyright-licence-bmrs-data/",
        # The licence wants this sentence; its year is the one the publisher gives with the data.
        attribution="Contains BMRS data © Elexon Limited copyright and database right 2026",
        cadence=HALF_HOUR,
        delay=delay,
        api="elexon",
        base_url="https://data.elexon.co.uk/bmrs/api/v1",
        rank=rank,
        sides=frozenset({side}),
        limits=Limits(
            says="no rate published, so at most 5 requests a second; a range of at most 7 days inclusive (market "
            "index), a day of publication (demand forecast; kept to for the outturn too) or a settlement date "
            "(system price) (bmrs.elexon.co.uk, read November 2026)",
            apart_s=0.2,
            longest_range=longest_range,
        ),
    )


class DemandForecast:
    """National demand of the half hours of today and tomorrow, as forecast; published every half hour."""

    terms = _terms(
        "ndf",
        "national demand forecast",
        Supply.DEMAND,
        Side.AHEAD,
        rank=40,
        delay=timedelta(0),
        longest_range=_DAY,
    )

    def fetch(self, request: Request) -> Batch:
        """Return the demand from the present half hour on, as last forecast by `now`; earlier half hours never.

        Reads `/datasets/NDF`. Half hours after the end of tomorrow in London are never missing. Raises as `Source`
        does.
        """
        start = max(floor(request.start), floor(request.now))
        if start >= request.end:
            return Batch(rows_seen=0)
        path = _publications("NDF", request.now - _PUBLISHED_WITHIN, request.now)
        read = partial(bodies.demand, dataset="NDF", until=request.now)
        rows = _read(request, self.terms, [path], read)
        readings = [NationalReading(starts_at=at, demand_mw=mw) for at, mw in rows.values.items()]
        return _batch(self.terms, rows, readings, start, request.end, due=_end_of_tomorrow(request.now))


class DemandOutturn:
    """National demand as it was: the initial outturn, published within 30 minutes of its half hour."""

    terms = _terms(
        "indo",
        "national demand outturn",
        Supply.DEMAND,
        Side.PAST,
        rank=50,
        delay=timedelta(minutes=30),
        longest_range=_DAY,
    )

    def fetch(self, request: Request) -> Batch:
        """Return the demand of the past half hours of [start, end). Reads `/datasets/INDO`, by day of publication.

        Raises as `Source` does.
        """
        start, end = _past(request)
        # Nothing is published before its half hour is over; what is published late is read on a later day's run.
        last = min(end + self.terms.delay + HALF_HOUR, request.now)
        spans = _spans(start + HALF_HOUR, last, self.terms)
        read = partial(bodies.demand, dataset="INDO", until=request.now)
        rows = _read(request, self.terms, [_publications("INDO", *span) for span in spans], read)
        readings = [NationalReading(starts_at=at, demand_mw=mw) for at, mw in rows.values.items()]
        return _batch(self.terms, rows, readings, start, end, due=_due(self.terms, request))


class MarketIndex:
    """The market index: what short-term trades for a half hour cost, weighted by volume over the exchanges."""

    # Nobody says when the index appears; an hour after its half hour it is taken to be late.
    terms = _terms(
        "market_index",
        "market index price",
        Supply.PRICE,
        Side.PAST,
        rank=50,
        delay=timedelta(hours=1),
        # Seven days inclusive: so that neither days nor dates are ever more than seven.
        longest_range=timedelta(days=6),
    )

    def fetch(self, request: Request) -> Batch:
        """Return the price of the past half hours of [start, end). Reads `/balancing/pricing/market-index`.

        A half hour in which no exchange reports a trade has no price. Raises as `Source` does.
        """
        start, end = _past(request)
        paths = [
            f"/balancing/pricing/market-index?from={_stamp(since)}&to={_stamp(until)}"
            for since, until in _spans(start, end, self.terms)
        ]
        rows = _read(request, self.terms, paths, bodies.market_index)
        trades: dict[datetime, list[bodies.Trade]] = {}
        for (at, _), trade in rows.values.items():
            trades.setdefault(at, []).append(trade)
        prices: Mapping[datetime, Decimal] = {at: bodies.mean_price(those) for at, those in trades.items()}
        readings = [NationalReading(starts_at=at, wholesale_price_gbp_mwh=price) for at, price in prices.items()]
        return _batch(self.terms, rows, readings, start, end, due=_due(self.terms, request))


class SystemPrice:
    """The system price: what imbalance cost in a half hour; indicative within minutes, settled the next day."""

    terms = _terms(
        "system_price",
        "system price",
        Supply.SYSTEM_PRICE,
        Side.PAST,
        rank=50,
        delay=timedelta(minutes=30),
        longest_range=_DAY,
    )

    def fetch(self, request: Request) -> Batch:
        """Return the price of the past half hours of [start, end), by its latest run: earlier ones are not served.

        Reads `/balancing/settlement/system-prices/{date}`, one London day a request. Raises as `Source` does.
        """
        start, end = _past(request)
        day, last = settlement_period(start)[0], settlement_period(end - HALF_HOUR)[0]
        days = [day + n * _DAY for n in range((last - day).days + 1)] if start < end else []
        paths = [f"/balancing/settlement/system-prices/{day}?format=json" for day in days]
        rows = _read(request, self.terms, paths, bodies.system_price)
        readings = [NationalReading(starts_at=at, system_price_gbp_mwh=price) for at, price in rows.values.items()]
        return _batch(self.terms, rows, readings, start, end, due=_due(self.terms, request))


SOURCES: tuple[Source, ...] = (DemandForecast(), DemandOutturn(), MarketIndex(), SystemPrice())


def _read(
    request: Request, terms: Terms, paths: Sequence[str], read: Callable[[Any], bodies.Said[K, V]]
) -> bodies.Rows[K, V]:
    """Read `paths`, the last ones first; one that fails costs its own rows alone, unless no other brings any."""
    base_url = request.address(terms)
    rows: bodies.Rows[K, V] = bodies.Rows()
    first: SourceError | None = None
    failures = 0
    for left, path in zip(range(len(paths) - 1, -1, -1), reversed(paths), strict=True):
        try:
            body = request.http.get_json(base_url + path, apart_s=terms.limits.apart_s, exact=True)
            rows.take(body, read, terms.title)
            failures = 0
        except SourceError as error:
            rows.rejected.append(Rejection(path, error.detail))
            rows.is_whole = False
            first, failures = first or error, failures + 1
        if failures == _MOST_FAILURES and left:
            rows.rejected.append(Rejection(f"{left} requests more", f"not made: {failures} failed in a row"))
            break
    if first and not rows.said:
        raise first
    return rows


def _batch(
    terms: Terms,
    rows: bodies.Rows[K, V],
    readings: Sequence[NationalReading],
    start: datetime,
    end: datetime,
    *,
    due: datetime,
) -> Batch:
    """Return the readings of [start, end), in order; missing are those before `due` that did not come."""
    kept = sorted((reading for reading in readings if start <= reading.starts_at < end), key=lambda r: r.starts_at)
    missing = gaps((reading.starts_at for reading in kept), start, min(end, due))
    if missing and not kept:
        raise _nothing(terms, rows, missing[0], missing[-1] + HALF_HOUR)
    return Batch(
        national=kept, rows_seen=rows.seen, rejected=rows.rejected, missing=missing, is_whole=rows.is_whole
    )


def _nothing(terms: Terms, rows: bodies.Rows[K, V], start: datetime, end: datetime) -> SourceError:
    """Return the error for an answer of which nothing was kept: all wrong, empty, or about other half hours."""
    if rows.rejected and not rows.said:
        worst = rows.rejected[0]
        return SourceChanged(
            f"{terms.title}: every row that says anything was refused ({len(rows.rejected)}). "
            f"The first, {worst.what}: {worst.why}."
        )
    came = f"none of the {rows.seen} rows received says anything" if rows.seen else "an empty answer"
    return SourceUnavailable(f"{terms.title}: {came} for {_stamp(start)} to {_stamp(end)}. Try again later.")


def _past(request: Request) -> tuple[datetime, datetime]:
    """Return the part [start, end) of the request that is over; empty when start is not before end."""
    return floor(request.start), min(request.end, floor(request.now))


def _due(terms: Terms, request: Request) -> datetime:
    """Return the half hour from which on a value may not be there yet."""
    return request.now - terms.delay - HALF_HOUR


def _spans(start: datetime, end: datetime, terms: Terms) -> Iterator[tuple[datetime, datetime]]:
    """Yield spans that cover [start, end], none longer than the source's limit; each begins where the last ends."""
    longest = terms.limits.longest_range or _DAY
    while start < end:
        until = min(start + longest, end)
        yield start, until
        start = until


def _publications(dataset: str, start: datetime, end: datetime) -> str:
    return f"/datasets/{dataset}?publishDateTimeFrom={_stamp(start)}&publishDateTimeTo={_stamp(end)}&format=json"


def _end_of_tomorrow(now: datetime) -> datetime:
    return midnight(now.astimezone(LONDON).date() + 2 * _DAY)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
