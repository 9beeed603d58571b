"""NESO's data portal: Great Britain's demand as forecast for tomorrow and for 2 to 14 days ahead, and as measured.

https://api.neso.energy/api/3/action (CKAN), no key; NESO Open Data Licence. Written from recorded files and from
https://www.neso.energy/api-guidance, both read November 2026, which asks that a file be read again only when its
`last_modified` has moved: one small request says so, and most runs end there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from pylon.errors import SourceChanged, SourceUnavailable
from pylon.ontology.calendar import HALF_HOUR, LONDON, midnight
from pylon.sources import _neso_bodies as bodies
from pylon.sources.feed import Batch, Limits, NationalReading, Rejection, Request, Side, Source, Supply, Terms, gaps

__all__ = ["SOURCES", "DayAhead", "DemandUpdate", "TwoToFourteenDays"]

_MOST_ROWS = 32_000  # what one datastore_search gives at most
_NOT_FOUND = 404
_SETTLES = timedelta(minutes=15)
"""A file's table is filled after its `last_modified` moves: what is read sooner may still be the last edition."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file lies in the portal. Its id may be given anew; the names stay."""

    package: str
    name: str
    id: str


@dataclass(frozen=True, slots=True)
class _File:
    """A file as the portal has it now; `modified_at` and `marker` are None where it says nothing of its changes."""

    id: str
    url: str | None
    modified_at: datetime | None
    marker: str | None

    def is_settled(self, now: datetime) -> bool:
        """Return whether the file's table must hold its present edition."""
        return self.modified_at is None or now - self.modified_at >= _SETTLES

    def published_on(self, now: datetime) -> date:
        """Return the London day on which the file was published; today's when it does not say."""
        return (self.modified_at or now).astimezone(LONDON).date()


def _terms(
    name: str, title: str, place: _Place, *, side: Side, rank: int, poll_every: timedelta = timedelta(0)
) -> Terms:
    return Terms(
        name=name,
        title=f"NESO: {title}",
        data_source=name,
        supplies=frozenset({Supply.DEMAND}),
        homepage=f"https://www.neso.energy/data-portal/{place.package}",
        licence="NESO Open Data Licence",
        attribution="Supported by National Energy SO Open Data",
        cadence=_DAY,
        delay=_DAY if side is Side.PAST else timedelta(0),
        api="neso",
        base_url="https://api.neso.energy/api/3/action",
        rank=rank,
        sides=frozenset({side}),
        is_partial=True,
        poll_every=poll_every,
        limits=Limits(
            says="one action a second, two data searches a minute (neso.energy/api-guidance, read November 2026)",
            apart_s=1.0,
        ),
    )


class DayAhead:
    """The forecast for tomorrow, published at about 09:00 and 12:00 London time as a dozen points of the day."""

    place = _Place(
        "1-day-ahead-demand-forecast",
        "Day Ahead National Demand Forecast",
        "aec5601a-7f3e-4c4c-bf56-d8e4184d3c5b",
    )
    terms = _terms("neso_day_ahead", "demand tomorrow", place, side=Side.AHEAD, rank=30)

    def fetch(self, request: Request) -> Batch:
        """Return the half hours of the day that the file is for, made from its points by monotone interpolation.

        Raises as `Source` does: `SourceUnavailable` also when that day is past, and `SourceChanged` also when there
        are too few points to make a day from.
        """

        def read(file: _File) -> Batch:
            tomorrow = file.published_on(request.now) + _DAY
            rows = bodies.day_ahead(_records(self.terms, file, request))
            _drop_past_days(self.terms, rows, request.now)
            return _batch(self.terms, rows, gaps(rows.taken, *_days(tomorrow, 1)), _settled(file, request))

        return _if_changed(self.terms, self.place, request, read)


class TwoToFourteenDays:
    """The half-hourly forecast for the 13 days that begin the day after tomorrow, published each morning."""

    place = _Place(
        "2-14-days-ahead-national-demand-forecast",
        "2-14 Days Ahead Half Hourly Forecast",
        "7c0411cd-2714-4bb5-a408-adb065edf34d",
    )
    terms = _terms("neso_2_14_days", "demand in 2 to 14 days", place, side=Side.AHEAD, rank=20)

    def fetch(self, request: Request) -> Batch:
        """Return every half hour of the file, also those after the request's end. Raises as `Source` does."""

        def read(file: _File) -> Batch:
            first = file.published_on(request.now) + 2 * _DAY
            rows = bodies.half_hourly(_records(self.terms, file, request))
            return _batch(self.terms, rows, gaps(rows.taken, *_days(first, 13)), _settled(file, request))

        return _if_changed(self.terms, self.place, request, read)


class DemandUpdate:
    """The demand as it was, since the first of last month, published daily and revised for weeks."""

    place = _Place("daily-demand-update", "Demand Data Update", "177f6fa4-ae49-4182-81ea-0c6b35f26ca6")
    terms = _terms("neso_demand_update", "demand, measured", place, side=Side.PAST, rank=45, poll_every=_DAY)

    def fetch(self, request: Request) -> Batch:
        """Return every measured half hour of the file, also those before the request's start.

        Missing are the half hours between its first and its last that hold no demand. Raises as `Source` does.
        """

        def read(file: _File) -> Batch:
            if file.url is None:
                raise SourceChanged(f"{self.terms.title}: the portal gives no address for its file.")
            rows = bodies.demand_update(request.http.get_text(file.url, apart_s=self.terms.limits.apart_s))
            have = rows.taken
            missing = gaps(have, min(have), max(have) + HALF_HOUR) if have else ()
            return _batch(self.terms, rows, missing, file.marker)

        return _if_changed(self.terms, self.place, request, read)


SOURCES: tuple[Source, ...] = (DayAhead(), TwoToFourteenDays(), DemandUpdate())


def _if_changed(terms: Terms, place: _Place, request: Request, read: Callable[[_File], Batch]) -> Batch:
    """Return what `read` makes of the file at `place`, or that it is as it was when it was last read."""
    file = _find(terms, place, request)
    if file.marker is not None and file.marker == request.marker:
        return Batch(rows_seen=0, marker=file.marker, is_unchanged=True)
    return read(file)


def _find(terms: Terms, place: _Place, request: Request) -> _File:
    """Return the file at `place`, by its id, or by its name where the portal no longer knows the id."""
    try:
        return _file(terms, _action(terms, request, "resource_show", id=place.id), place)
    except SourceUnavailable as error:
        if error.extra.get("upstream_status") != _NOT_FOUND:
            raise
    resources = _action(terms, request, "package_show", id=place.package).get("resources")
    listed = [one for one in resources if isinstance(one, dict)] if isinstance(resources, list) else []
    for one in listed:
        if one.get("name") == place.name:
            return _file(terms, one, place)
    names = ", ".join(sorted({f"{one.get('name')!r:.60}" for one in listed})) or "none at all"
    raise SourceChanged(
        f"{terms.title}: the portal has neither the file {place.id} nor one named {place.name!r} in the package "
        f"{place.package}, which holds {names:.600}. Look for its new name at {terms.homepage}."
    )


def _file(terms: Terms, resource: dict[str, Any], place: _Place) -> _File:
    identity, url, modified_at = resource.get("id"), resource.get("url"), bodies.modified_at(resource)
    if not isinstance(identity, str) or not (identity and identity.isascii()):
        raise SourceChanged(f"{terms.title}: the portal's file {place.name!r} has no id.")
    marker = None if modified_at is None else str(resource["last_modified"])
    if marker is not None and identity != place.id:
        marker = f"{marker} {identity:.60}"  # a file made anew may keep its time, and is another file all the same
    return _File(identity, url if isinstance(url, str) and url.isascii() else None, modified_at, marker)


def _records(terms: Terms, file: _File, request: Request) -> list[Any]:
    # The portal blocks who searches too often, so a search that fails waits for the next run.
    found = _action(terms, request, "datastore_search", attempts=1, resource_id=file.id, limit=_MOST_ROWS)
    return bodies.records(found, limit=_MOST_ROWS)


def _action(
    terms: Terms, request: Request, action: str, *, attempts: int | None = None, **parameters: str | int
) -> dict[str, Any]:
    url = f"{request.address(terms)}/{action}?{urlencode(parameters)}"
    return bodies.result(request.http.get_json(url, apart_s=terms.limits.apart_s, attempts=attempts), url)


def _drop_past_days(terms: Terms, rows: bodies.Rows[datetime], now: datetime) -> None:
    """Drop, and say so, the days before today; raises `SourceUnavailable` when no other is there."""
    today = now.astimezone(LONDON).date()
    past = sorted({day for at in rows.taken if (day := at.astimezone(LONDON).date()) < today})
    kept = {at: mw for at, mw in rows.taken.items() if at >= midnight(today)}
    if past and not kept:
        raise SourceUnavailable(
            f"{terms.title}: the portal still has the file for {past[-1]}, which is past. Try again later."
        )
    rows.taken = kept
    rows.rejected += [Rejection(f"demand of {day}", "the day is past") for day in past]


def _settled(file: _File, request: Request) -> str | None:
    """Return the marker to compare with next time; None has the file read again."""
    return file.marker if file.is_settled(request.now) else None


def _days(first: date, number: int) -> tuple[datetime, datetime]:
    return midnight(first), midnight(first + number * _DAY)


def _batch(terms: Terms, rows: bodies.Rows[datetime], missing: Iterable[datetime], marker: str | None) -> Batch:
    """Return the batch of a file; one of which nothing was kept is refused, so that it is read again."""
    if not rows.taken and rows.rejected:
        first = rows.rejected[0]
        raise SourceChanged(
            f"{terms.title}: every row was refused ({len(rows.rejected)}). The first, {first.what}: {first.why}."
        )
    if not rows.taken:
        raise SourceUnavailable(f"{terms.title}: no data in {rows.seen} rows. Try again later.")
    return Batch(
        national=[NationalReading(starts_at=at, demand_mw=rows.taken[at]) for at in sorted(rows.taken)],
        rows_seen=rows.seen,
        rejected=rows.rejected,
        missing=tuple(missing),
        marker=marker,
    )
